"""Takes every step with the AWS CLI: cli_steps.py ENDPOINT VARIABLES.

The commands run in this process, by the function the `aws` program calls: starting it a hundred times takes minutes.
"""

import contextlib
import io
import json
import re
import sys

import botocore
from awscli.clidriver import create_clidriver

import steps

REFUSED = re.compile(r"An error occurred \((\w+)\) when calling the (\w+) operation[^:]*: (.*)", re.DOTALL)


def main(endpoint, variables_path):
    driver = create_clidriver()
    model = driver.session.get_service_model("xray")
    commands = {botocore.xform_name(name, "-"): name for name in model.operation_names}

    def call(operation, members):
        command = botocore.xform_name(operation, "-")
        assert commands[command] == operation
        arguments = ["xray", command, "--cli-input-json", json.dumps(members), "--endpoint-url", endpoint, "--output", "json"]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = driver.main(arguments)
        if code == 0:
            return ("result", json.loads(out.getvalue() or "{}"))
        refused = REFUSED.search(err.getvalue())
        assert refused and refused[2] == operation, f"exit code {code}: {err.getvalue()}"
        return ("error", refused[1], refused[3].strip())

    steps.drive(commands.values(), call, variables_path)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
