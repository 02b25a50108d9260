"""Signs with right and wrong keys, and prints for each step what a user of boto3 sees. Writes and reads the trace of TRACE_ID,
which is DOCUMENT."""

import datetime
import json
import os
import sys

import boto3
import botocore.auth
from botocore.config import Config
from botocore.exceptions import ClientError

RIGHT = {"aws_access_key_id": "SHOPDEVELOPER", "aws_secret_access_key": "a secret of the shop"}
AGENT = {"aws_access_key_id": "SHOPAGENT", "aws_secret_access_key": "a secret of its agents"}
READER = {"aws_access_key_id": "SHOPREADER", "aws_secret_access_key": "a secret of its readers"}
OTHER = {"aws_access_key_id": "OTHERDEVELOPER", "aws_secret_access_key": "a secret of others"}


def main():
    trace_id, document = os.environ["TRACE_ID"], os.environ["DOCUMENT"]

    def step(name, keys, call, region="us-east-1", minutes=0):
        clock = botocore.auth.get_current_datetime
        shift = datetime.timedelta(minutes=minutes)
        botocore.auth.get_current_datetime = lambda *options: clock(*options) + shift
        try:
            config = Config(retries={"total_max_attempts": 1})
            client = boto3.client("xray", region_name=region, config=config, **keys)
            answer = call(client)
            seen = [trace["Id"] for trace in answer["Traces"]] if "Traces" in answer else "done"
        except ClientError as error:
            seen = f"{error.response['ResponseMetadata']['HTTPStatusCode']} {error.response['Error']['Code']}"
            print(error, file=sys.stderr)
        finally:
            botocore.auth.get_current_datetime = clock
        print(json.dumps({"name": name, "seen": seen}))

    def put(client):
        answer = client.put_trace_segments(TraceSegmentDocuments=[document])
        assert answer["UnprocessedTraceSegments"] == [], answer
        return answer

    def get(client):
        return client.batch_get_traces(TraceIds=[trace_id])

    def sample(client):
        return client.get_sampling_rules()

    def change(client):
        return client.create_group(GroupName="shop")

    step("an agent writes", AGENT, put)
    step("a developer reads", RIGHT, get)
    step("a reader reads", READER, get)
    step("another account reads", OTHER, get)
    step("another region reads", RIGHT, get, region="eu-west-1")
    step("a region the key has not", AGENT, put, region="eu-west-1")
    step("a wrong secret", RIGHT | {"aws_secret_access_key": "a guess"}, get)
    step("a key nobody has", RIGHT | {"aws_access_key_id": "NOBODY"}, get)
    step("a clock four minutes fast", RIGHT, get, minutes=4)
    step("a clock an hour fast", RIGHT, get, minutes=60)
    step("a clock an hour slow", RIGHT, get, minutes=-60)
    step("a reader writes", READER, put)
    step("an agent reads", AGENT, get)
    step("an agent samples", AGENT, sample)
    step("a developer changes settings", RIGHT, change)


if __name__ == "__main__":
    main()
