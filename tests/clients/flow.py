"""Drives the whole flow with boto3: flow.py ENDPOINT write|read|errors STATE.

Every answer is held against the client's own model of the service: no member it does not know, every value of
its type.
"""

import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

N_TRACES = 17
N_SEGMENTS = 40


def connect(endpoint):
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, read_timeout=60)
    client = boto3.client("xray", endpoint_url=endpoint, region_name="us-east-1", config=config)
    client.meta.events.register("before-parse.xray.*", check_answer)
    return client


def check_answer(operation_model, response_dict, **_):
    """Holds the raw body of a success against the output shape of the operation."""
    if response_dict["status_code"] == 200:
        check(json.loads(response_dict["body"] or b"{}"), operation_model.output_shape, operation_model.name)
        assert response_dict["headers"].get("x-amzn-requestid"), "no request id"


def check(value, shape, path):
    if value is None:
        return
    if shape.type_name == "structure":
        assert isinstance(value, dict), f"{path}: {value!r} is no object"
        for name, inner in value.items():
            assert name in shape.members, f"{path}.{name} is not in the model"
            check(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        assert isinstance(value, list), f"{path}: {value!r} is no list"
        for inner in value:
            assert inner is not None, f"{path} holds null"
            check(inner, shape.member, f"{path}[]")
    elif shape.type_name == "map":
        assert isinstance(value, dict), f"{path}: {value!r} is no map"
        for name, inner in value.items():
            check(inner, shape.value, f"{path}[{name}]")
    else:
        kinds = {"string": str, "integer": int, "long": int, "boolean": bool, "double": (int, float), "timestamp": (int, float)}
        assert isinstance(value, kinds[shape.type_name]), f"{path}: {value!r} is no {shape.type_name}"
        assert shape.type_name == "boolean" or not isinstance(value, bool), f"{path}: {value!r}"


def documents(now):
    """One trace of many segments, and many of one."""
    for number in range(N_TRACES):
        start = now - 100 - number
        trace_id = f"1-{start:08x}-{number:024x}"
        for segment in range(N_SEGMENTS if number == 0 else 1):
            document = {
                "name": "shop", "id": f"{segment + 1:016x}", "trace_id": trace_id, "start_time": start + 0.25, "end_time": start + 1.5,
                "http": {"request": {"method": "GET", "url": "https://shop.example.com/"}, "response": {"status": 500}},
                "fault": True, "user": "alice", "origin": "AWS::EC2::Instance",
                "annotations": {"tier": "gold", "items": 3, "returning": True},
                "metadata": {"default": {"fill": "x" * 300}},
                "aws": {"account_id": "123456789012", "ec2": {"instance_id": "i-1", "availability_zone": "us-east-1a"}},
                "cause": {"exceptions": [{"id": "00000000000000e1", "type": "Timeout", "message": "too slow"}]},
                "subsegments": [{"id": f"{segment + 1:08x}00000001", "name": "orders", "namespace": "remote", "start_time": start + 0.5, "end_time": start + 1.25, "fault": True}],
            }
            if segment > 0:
                document["parent_id"] = "0000000100000001"
            yield document


def write(client, state_path):
    now = int(time.time())
    sent = list(documents(now))
    texts = [json.dumps(document) for document in sent]
    for first in range(0, len(texts), 50):
        answer = client.put_trace_segments(TraceSegmentDocuments=texts[first:first + 50])
        assert answer["UnprocessedTraceSegments"] == [], answer
    answer = client.put_trace_segments(TraceSegmentDocuments=["{}", texts[0]])
    assert len(answer["UnprocessedTraceSegments"]) == 1, answer
    client.put_telemetry_records(
        TelemetryRecords=[{"Timestamp": now, "SegmentsReceivedCount": 3, "BackendConnectionErrors": {"OtherCount": 1}}],
        EC2InstanceId="", Hostname="here", ResourceARN="",
    )
    with open(state_path, "w", encoding="ascii") as state:
        json.dump({"now": now, "sent": sent}, state)


def read(client, state_path):
    with open(state_path, encoding="ascii") as state:
        state = json.load(state)
    read_traces(client, state["sent"])
    read_summaries(client, state["now"], {document["trace_id"] for document in state["sent"]})


def read_traces(client, sent):
    wanted = {}
    for document in sent:
        wanted.setdefault(document["trace_id"], {})[document["id"]] = document
    ids = list(wanted)
    found = {}
    n_pages = 0
    for first in range(0, len(ids), 5):
        for page in client.get_paginator("batch_get_traces").paginate(TraceIds=ids[first:first + 5]):
            n_pages += 1
            assert page["UnprocessedTraceIds"] == [], page
            for trace in page["Traces"]:
                assert abs(trace["Duration"] - 1.25) < 0.001, trace["Duration"]
                for segment in trace["Segments"]:
                    document = json.loads(segment["Document"])
                    assert document["id"] == segment["Id"]
                    assert found.setdefault(trace["Id"], {}).setdefault(segment["Id"], document) is document, "told twice"
    assert n_pages > len(ids) / 5 + 1, f"only {n_pages} pages"
    for trace_id, documents in wanted.items():
        for segment_id, document in documents.items():
            stored = found[trace_id][segment_id]
            for name, value in document.items():
                assert stored[name] == value, f"{name}: {stored[name]} is not {value}"


def read_summaries(client, now, trace_ids):
    for kind in ("TraceId", "Event", "Service"):
        seen = []
        n_pages = 0
        pages = client.get_paginator("get_trace_summaries").paginate(StartTime=now - 600, EndTime=now + 1, TimeRangeType=kind)
        for page in pages:
            n_pages += 1
            seen += page["TraceSummaries"]
        assert n_pages >= 4, f"only {n_pages} pages"
        assert sorted(summary["Id"] for summary in seen) == sorted(trace_ids), kind
        starts = [summary["StartTime"] for summary in seen]
        assert starts == sorted(starts, reverse=True), "not newest first"
        for summary in seen:
            assert summary["HasFault"] and summary["EntryPoint"]["Name"] == "shop", summary
            assert summary["Annotations"]["tier"][0]["AnnotationValue"] == {"StringValue": "gold"}, summary
            assert summary["FaultRootCauses"][0]["Services"], summary


def refused(call, code, words):
    try:
        call()
    except ClientError as error:
        answer = error.response["Error"]
        assert answer["Code"] == code, answer
        assert words in answer["Message"], answer
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error
    raise AssertionError(f"not refused with {code}")


def errors(client, _):
    known = "1-5759e988-bd862e3fe1be46a994272793"
    error = refused(lambda: client.batch_get_traces(TraceIds=[known] * 6), "InvalidRequestException", "Exceeding maximum query size: 5")
    assert isinstance(error, client.exceptions.InvalidRequestException)
    assert error.response["Message"], "the modeled member is empty"
    refused(lambda: client.put_trace_segments(TraceSegmentDocuments=["{}"] * 51), "InvalidRequestException", "Exceeding maximum segment count: 50")
    refused(lambda: client.batch_get_traces(TraceIds=[known], NextToken="x"), "InvalidRequestException", "")
    now = int(time.time())
    broken = lambda: client.get_trace_summaries(StartTime=now - 60, EndTime=now, FilterExpression="duration < ")
    refused(broken, "InvalidRequestException", "Error Location: line 1")
    assert client.batch_get_traces(TraceIds=[known])["Traces"] == []


if __name__ == "__main__":
    parts = {"write": write, "read": read, "errors": errors}
    parts[sys.argv[2]](connect(sys.argv[1]), sys.argv[3])
