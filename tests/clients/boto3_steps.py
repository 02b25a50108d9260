"""Takes every step with boto3: boto3_steps.py ENDPOINT VARIABLES."""

import sys

import botocore
from botocore.exceptions import ClientError

import flow
import steps


def main(endpoint, variables_path):
    client = flow.connect(endpoint)

    def call(operation, members):
        method = botocore.xform_name(operation)
        try:
            if client.can_paginate(method):
                answer = client.get_paginator(method).paginate(**members).build_full_result()
                if operation == "GetServiceGraph":
                    # The paginator keeps only what it joins and what it is told to keep.
                    assert "ContainsOldGroupVersions" in answer, answer
            else:
                answer = getattr(client, method)(**members)
            return ("result", answer)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            typed = getattr(client.exceptions, code)
            assert type(error) is typed, f"{code} came as {type(error)}"
            assert error.response["ResponseMetadata"]["RequestId"], error.response
            assert error.response["Message"], error.response
            return ("error", type(error).__name__, error.response["Error"]["Message"])

    steps.drive(client.meta.service_model.operation_names, call, variables_path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
