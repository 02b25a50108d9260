//! Spans of OpenTelemetry in both encodings: every span has a document or a reason why not, and every document is one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use model::{Document, DocumentLimits, Orphans, Segment, Timestamp, Trace, TraceId};
use otlp::{Encoding, Limits, Request, Rules, Translated, decode, translate};

use crate::bytes::Vocabulary;
use crate::engine::{Form, Target, class, fuzz, size};
use crate::json::Json;
use crate::protobuf::{self, Field, Protobuf, bytes, fixed64, message, varint};
use crate::seeds;

#[test]
fn spans_in_json() {
    let mut inputs = seeds::lines("spans.txt");
    let recorded = seeds::recorded("otlp").into_iter();
    inputs.extend(recorded.map(|request| request.to_string().into_bytes()));
    for request in seeds::recorded("http-requests") {
        if request["path"] == "/v1/traces"
            && let Some(body) = request["body"].as_str()
        {
            inputs.push(body.as_bytes().to_vec());
        }
    }
    run("spans_in_json", inputs, Encoding::Json, &SPANS);
}

#[test]
fn spans_in_protobuf() {
    let mut inputs = vec![protobuf::write(&request()), Vec::new()];
    for request in seeds::recorded("http-requests") {
        if let Some(body) = request["body_b64"].as_str() {
            inputs.push(STANDARD.decode(body).unwrap());
        }
    }
    let form = Protobuf {
        vocabulary: VOCABULARY,
        number_max: 20,
    };
    run("spans_in_protobuf", inputs, Encoding::Protobuf, &form);
}

fn run(name: &'static str, seeds: Vec<Vec<u8>>, encoding: Encoding, form: &dyn Form) {
    fuzz(&Target {
        name,
        seeds,
        vocabulary: VOCABULARY,
        form,
        bytes_max: 64_000,
        attempt: &|input| attempt(input, encoding),
    });
}

fn attempt(input: &[u8], encoding: Encoding) -> u64 {
    match decode(input, encoding) {
        Ok(request) => class_of(&request),
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let cause = cause.unwrap_or_default();
            // Without what is quoted and without the place.
            let words: String = cause.split(['`', '"', '\'']).step_by(2).collect();
            class(words.split(" at line").next())
        }
    }
}

/// Translates a request by several rules and checks what comes of it; returns its class.
pub(crate) fn class_of(request: &Request) -> u64 {
    let now = Timestamp::from_secs(1_478_293_362);
    let all = Rules {
        indexed_attributes: vec!["a".to_owned(), "otel.resource.a".to_owned()],
        index_all_attributes: true,
        log_groups: vec!["group".to_owned()],
        consumer_segments: true,
    };
    for rules in [&all, &Rules::default()] {
        let translated = translate(request, rules, &Limits::NONE, now).unwrap();
        check(request, &translated);
        let again = translate(request, rules, &Limits::NONE, now).unwrap();
        assert_eq!(again, translated);
    }
    match translate(request, &all, &LIMITS, now) {
        Ok(translated) => {
            check(request, &translated);
            let codes: Vec<_> = translated
                .rejected
                .iter()
                .map(|rejected| rejected.code)
                .collect();
            let n_bytes = translated
                .documents
                .iter()
                .map(|document| document.text.len());
            class((
                size(request.n_spans()),
                size(translated.documents.len()),
                size(n_bytes.sum()),
                codes.first(),
                members(&translated),
            ))
        }
        Err(error) => class(std::mem::discriminant(&error)),
    }
}

/// Returns which members of interest the documents have.
fn members(translated: &Translated) -> u32 {
    let has = |member: &&str| {
        let mut documents = translated.documents.iter();
        documents.any(|document| document.text.contains(*member))
    };
    (0..)
        .zip(MEMBERS)
        .filter(|(_, member)| has(member))
        .map(|(bit, _)| 1_u32 << bit)
        .sum()
}

/// Checks that each span has documents or is rejected, and that the documents are good ones.
fn check(request: &Request, translated: &Translated) {
    let mut span_idxs: Vec<usize> = translated
        .documents
        .iter()
        .map(|document| document.span_idx)
        .collect();
    assert!(span_idxs.is_sorted());
    span_idxs.dedup();
    span_idxs.extend(translated.rejected.iter().map(|rejected| rejected.span_idx));
    span_idxs.sort_unstable();
    assert!(span_idxs.into_iter().eq(0..request.n_spans()));
    for rejected in &translated.rejected {
        assert!(!rejected.message.is_empty());
    }
    let unlimited = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let mut stored: Vec<(TraceId, Document)> = Vec::new();
    for (stamp, document) in (1..).zip(&translated.documents) {
        let segment = match Segment::parse(&document.text, &unlimited) {
            Ok(segment) => segment,
            Err(invalid) => panic!("{invalid:?} {}", document.text),
        };
        let of_segment = Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: document.text.clone(),
        };
        stored.push((segment.trace_id(), of_segment));
    }
    if let Some((trace_id, _)) = stored.first() {
        let of_trace = stored.iter().filter(|(other, _)| other == trace_id);
        let documents: Vec<Document> = of_trace.map(|(_, document)| document.clone()).collect();
        let trace = Trace::compile(*trace_id, &documents, Orphans::Visible);
        assert_eq!(trace.n_unreadable, 0);
        assert!(!trace.segments.is_empty());
    }
}

/// Returns a request with most of what spans have.
fn request() -> Vec<Field> {
    let text = |value: &str| message(2, vec![bytes(1, value.as_bytes())]);
    let attribute = |key: &str, value: Field| vec![bytes(1, key.as_bytes()), value];
    let list = message(
        5,
        vec![
            message(1, vec![varint(3, 1)]),
            message(1, vec![bytes(1, b"a")]),
        ],
    );
    let members = message(
        6,
        vec![message(1, attribute("k", message(2, vec![varint(2, 1)])))],
    );
    let event = vec![
        fixed64(1, 1_478_293_361_300_000_000),
        bytes(2, b"exception"),
        message(3, attribute("exception.type", text("T"))),
        message(
            3,
            attribute("exception.stacktrace", text("T: m\n  at a (b.js:1:2)")),
        ),
    ];
    let link = vec![bytes(1, &[3; 16]), bytes(2, &[4; 8])];
    let mut span = vec![
        bytes(1, &[1; 16]),
        bytes(2, &[2; 8]),
        bytes(3, b"a=b"),
        bytes(5, b"GET /cart"),
        varint(6, 2),
        fixed64(7, 1_478_293_361_271_000_000),
        fixed64(8, 1_478_293_361_449_000_000),
        message(11, event),
        message(13, link),
        message(15, vec![bytes(2, b"m"), varint(3, 2)]),
    ];
    for (key, value) in [
        ("http.request.method", text("GET")),
        (
            "http.response.status_code",
            message(2, vec![varint(3, 500)]),
        ),
        ("db.system", text("mysql")),
        (
            "double",
            message(2, vec![fixed64(4, 0x3ff8_0000_0000_0000)]),
        ),
        ("list", message(2, vec![list])),
        ("members", message(2, vec![members])),
        ("bytes", message(2, vec![bytes(7, b"\xff\x00")])),
    ] {
        span.push(message(9, attribute(key, value)));
    }
    let resource = vec![
        message(1, attribute("service.name", text("shop"))),
        message(1, attribute("telemetry.sdk.language", text("nodejs"))),
        message(1, attribute("cloud.platform", text("aws_ecs"))),
    ];
    let scope = vec![bytes(1, b"lib"), bytes(2, b"1")];
    let spans = vec![message(1, scope), message(2, span)];
    vec![message(1, vec![message(1, resource), message(2, spans)])]
}

/// Limits that requests of the fuzzer come near to.
const LIMITS: Limits = Limits {
    spans_max: Some(100),
    span_bytes_max: Some(4096),
    resource_bytes_max: Some(1024),
    future: Some(Duration::from_hours(2)),
    age: Some(Duration::from_hours(14 * 24)),
    spread: Some(Duration::from_hours(24)),
};
const MEMBERS: &[&str] = &[
    "\"subsegment\"",
    "\"in_progress\"",
    "\"http\"",
    "\"sql\"",
    "\"aws\"",
    "\"cause\"",
    "\"stack\"",
    "\"annotations\"",
    "\"links\"",
    "\"remote\"",
    "\"fault\":true",
    "\"error\":true",
    "\"origin\"",
    "\"serviceOf\"",
];
const SPANS: Json<'_> = Json {
    names: &[
        "resourceSpans",
        "resource",
        "scopeSpans",
        "scope",
        "spans",
        "attributes",
        "key",
        "value",
        "stringValue",
        "intValue",
        "doubleValue",
        "boolValue",
        "bytesValue",
        "arrayValue",
        "kvlistValue",
        "values",
        "traceId",
        "spanId",
        "parentSpanId",
        "traceState",
        "name",
        "kind",
        "startTimeUnixNano",
        "endTimeUnixNano",
        "events",
        "timeUnixNano",
        "links",
        "status",
        "code",
        "message",
        "flags",
        "droppedAttributesCount",
        "schemaUrl",
        "start_time_unix_nano",
        "SPAN_KIND_CLIENT",
        "STATUS_CODE_ERROR",
        "exception",
        "exception.type",
        "exception.message",
        "exception.stacktrace",
        "aws.span.kind",
        "LOCAL_ROOT",
        "aws.local.service",
        "aws.remote.service",
        "peer.service",
        "rpc.system",
        "aws-api",
        "rpc.service",
        "rpc.method",
        "db.system",
        "db.name",
        "db.connection_string",
        "db.statement",
        "db.user",
        "server.address",
        "http.url",
        "url.full",
        "http.method",
        "http.status_code",
        "http.response.status_code",
        "http.target",
        "http.host",
        "client.address",
        "enduser.id",
        "service.name",
        "service.version",
        "telemetry.sdk.language",
        "telemetry.sdk.name",
        "cloud.provider",
        "cloud.platform",
        "aws_ec2",
        "aws_ecs",
        "aws_elastic_beanstalk",
        "host.id",
        "aws.log.group.names",
        "aws.xray.annotations",
        "aws.xray.metadata.default",
        "aws.table_name",
        "aws.operation",
        "message.type",
        "java",
        "python",
        "nodejs",
        "dotnet",
        "go",
    ],
    values: &[
        "null",
        "0",
        "1",
        "2",
        "\"2\"",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        "true",
        "\"581cf771a006649127e371903a2de979\"",
        "\"70de5b6f19ff9a0a\"",
        "\"WBz3caAGZJEn43GQOi3peQ==\"",
        "\"1478293361271000001\"",
        "1478293361271000001",
        "{\"stringValue\":\"a\"}",
        "{\"intValue\":\"500\"}",
        "{\"doubleValue\":\"NaN\"}",
        "{\"bytesValue\":\"AQ==\"}",
        "{\"arrayValue\":{\"values\":[{\"stringValue\":\"a\"}]}}",
        "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"intValue\":1}}]}}",
        "{\"key\":\"http.url\",\"value\":{\"stringValue\":\"http://a/b\"}}",
        "{\"key\":\"exception.stacktrace\",\"value\":{\"stringValue\":\"E: m\\n\\tat a.b.C.d(C.java:1)\\nCaused by: F\"}}",
        "{\"key\":\"aws.xray.metadata.default\",\"value\":{\"stringValue\":\"{\\\"a\\\":[1]}\"}}",
    ],
};
const VOCABULARY: Vocabulary = Vocabulary {
    words: &[
        b"\"",
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\n",
        b"\n\tat ",
        b"\\ud800",
        b"\xc3\xa9",
        b"\xff",
        b"http.url",
        b"http.status_code",
        b"exception.stacktrace",
        b"exception.type",
        b"exception",
        b"aws.span.kind",
        b"LOCAL_ROOT",
        b"aws.local.service",
        b"db.system",
        b"db.connection_string",
        b"rpc.system",
        b"aws-api",
        b"peer.service",
        b"service.name",
        b"telemetry.sdk.language",
        b"java",
        b"python",
        b"dotnet",
        b"go",
        b"nodejs",
        b"Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nE: m",
        b"E: m\n\tat a.b.C.d(C.java:1)\n\tSuppressed: F: n\nCaused by: G: o\n\t... 3 more",
        b"goroutine 1 [running]:\nmain.f(0x1)\n\t/a/b.go:12 +0x1d",
        b"   at A.B.C(D e) in /f.cs:line 3",
        b"E: m\n    at f (/a/b.js:1:2)\n    at /c.js:3:4",
        b"aws.xray.metadata.default",
        b"{\"a\":[1]}",
        b"aws.xray.annotations",
        b"cloud.platform",
        b"aws_ecs",
        b"\x0a\x00",
        b"\x12\x00",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    ],
    brackets: &[
        (b"{\"arrayValue\":{\"values\":[", b"]}}"),
        (
            b"{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":",
            b"}]}}",
        ),
        (b"[", b"]"),
        (b"\x0a\x04\x2a\x02\x0a\x00", b""),
        (b"\nCaused by: ", b""),
        (b"(", b")"),
    ],
};
