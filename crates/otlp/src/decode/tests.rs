use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use proptest::prelude::*;

use super::*;
use crate::tests_support::request;
use crate::value::Exact;

/// Returns the span a JSON object stands for.
fn span(json: &str) -> Result<Span, DecodeError> {
    let body = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{json}]}}]}}]}}"#);
    let Request(mut request) = decode(body.as_bytes(), Encoding::Json)?;
    Ok(request
        .resource_spans
        .remove(0)
        .scope_spans
        .remove(0)
        .spans
        .remove(0))
}

fn check(json: &str, expected: &Span) {
    assert_eq!(span(json).unwrap(), *expected, "{json}");
}

#[test]
fn ids_are_hex_of_either_case_or_base64() {
    let of = |trace_id: &[u8], span_id: &[u8]| Span {
        trace_id: trace_id.to_vec(),
        span_id: span_id.to_vec(),
        ..Span::default()
    };
    let trace_id = [
        0x5b, 0x8e, 0xff, 0xf7, 0x98, 3, 0x81, 3, 0xd2, 0x69, 0xb6, 0x33, 0x81, 0x3f, 0xc6, 0x0c,
    ];
    let span_id = [0xee, 0xe1, 0x9b, 0x7e, 0xc3, 0xc1, 0xb1, 0x74];
    for json in [
        r#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174"}"#,
        r#"{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","parentSpanId":""}"#,
        r#"{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=","parentSpanId":null}"#,
    ] {
        check(json, &of(&trace_id, &span_id));
    }
    check(r#"{"traceId":"5b8e","spanId":""}"#, &of(&[0x5b, 0x8e], &[]));
    assert!(span(r#"{"spanId":"not an id"}"#).is_err());
    assert!(span(r#"{"spanId":12}"#).is_err());
}

#[test]
fn numbers_are_numbers_or_text() {
    let of = |start_time_unix_nano, flags| Span {
        start_time_unix_nano,
        flags,
        ..Span::default()
    };
    check(
        r#"{"startTimeUnixNano":"1544712660000000001","flags":257}"#,
        &of(1_544_712_660_000_000_001, 257),
    );
    check(
        r#"{"startTimeUnixNano":1544712660000000001,"flags":"257"}"#,
        &of(1_544_712_660_000_000_001, 257),
    );
    check(
        r#"{"start_time_unix_nano":1.5e3,"flags":"2e0"}"#,
        &of(1_500, 2),
    );
    check(
        r#"{"startTimeUnixNano":"18446744073709551615","flags":null}"#,
        &of(u64::MAX, 0),
    );
    for json in [
        r#"{"startTimeUnixNano":-1}"#,
        r#"{"startTimeUnixNano":"18446744073709551616"}"#,
        r#"{"startTimeUnixNano":1.5}"#,
        r#"{"startTimeUnixNano":"soon"}"#,
        r#"{"startTimeUnixNano":true}"#,
        r#"{"flags":4294967296}"#,
        r#"{"kind":1e300}"#,
    ] {
        assert!(span(json).is_err(), "{json}");
    }
}

#[test]
fn enumerations_are_numbers_or_names() {
    let of = |kind, code| Span {
        kind,
        status: Some(opentelemetry_proto::tonic::trace::v1::Status {
            code,
            ..Default::default()
        }),
        ..Span::default()
    };
    check(r#"{"kind":2,"status":{"code":2}}"#, &of(2, 2));
    check(
        r#"{"kind":"SPAN_KIND_SERVER","status":{"code":"STATUS_CODE_ERROR"}}"#,
        &of(2, 2),
    );
    check(r#"{"kind":"CONSUMER","status":{"code":"OK"}}"#, &of(5, 1));
    check(r#"{"kind":"3","status":{"code":null}}"#, &of(3, 0));
    check(r#"{"kind":77,"status":{}}"#, &of(77, 0));
    check(
        r#"{"kind":"SPAN_KIND_NEW","status":{"code":"?"}}"#,
        &of(0, 0),
    );
}

#[test]
fn what_is_not_known_or_null_is_passed_over() {
    check(
        r#"{"Name":"x","entityRefs":[{"a":[1,{}]}],"attributes":null,"events":null,"status":null,"name":null}"#,
        &Span::default(),
    );
    let name = "n".to_owned();
    check(
        r#"{"name":"m","name":"n"}"#,
        &Span {
            name,
            ..Span::default()
        },
    );
    for body in [
        "{}",
        r#"{"resourceSpans":null}"#,
        " {\"resource_spans\" : []}\n",
    ] {
        let request = decode(body.as_bytes(), Encoding::Json).unwrap();
        assert_eq!(request.n_spans(), 0, "{body}");
    }
    let nulls =
        r#"{"resourceSpans":[null,{"resource":null,"scopeSpans":[null,{"spans":[null]}]}]}"#;
    assert_eq!(
        decode(nulls.as_bytes(), Encoding::Json).unwrap().n_spans(),
        1
    );
    for body in [
        "",
        "[]",
        "null x",
        "1",
        r#"{"resourceSpans":{}}"#,
        r#"{"resourceSpans":[]"#,
    ] {
        assert!(decode(body.as_bytes(), Encoding::Json).is_err(), "{body}");
    }
}

/// Old writers call scopes instrumentation libraries (spec: `trace.proto` 0.15: what has the new name counts).
#[test]
fn scopes_have_an_old_name() {
    let check = |resource_spans: &str, expected: &[(&str, &str)]| {
        let body = format!(r#"{{"resourceSpans":[{resource_spans}]}}"#);
        let request = decode(body.as_bytes(), Encoding::Json).unwrap();
        let scopes = request.resource_spans()[0].scope_spans.iter();
        let found: Vec<(&str, &str)> = scopes
            .map(|scope_spans| {
                let scope = scope_spans.scope.as_ref().unwrap();
                (&scope.name[..], &scope_spans.spans[0].name[..])
            })
            .collect();
        assert_eq!(found, expected, "{body}");
    };
    let old = r#""instrumentationLibrarySpans":[{"instrumentationLibrary":{"name":"a"},"spans":[{"name":"x"}]}]"#;
    let new = r#""scopeSpans":[{"scope":{"name":"b"},"spans":[{"name":"y"}]}]"#;
    check(&format!("{{{old}}}"), &[("a", "x")]);
    let snake = old
        .replace("instrumentationLibrary", "instrumentation_library")
        .replace("Spans", "_spans");
    check(&format!("{{{snake}}}"), &[("a", "x")]);
    check(&format!("{{{old},{new}}}"), &[("b", "y")]);
    check(&format!("{{{new},{old}}}"), &[("b", "y")]);
    check(&format!(r#"{{{old},"scopeSpans":[]}}"#), &[("a", "x")]);
    check(
        r#"{"scopeSpans":[{"instrumentationLibrary":{"name":"a"},"scope":{"name":"b"},"spans":[{}]},
            {"scope":{"name":"b"},"instrumentationLibrary":{"name":"a"},"spans":[{}]}]}"#,
        &[("b", ""), ("b", "")],
    );
}

/// Returns the exact form of a value, or nothing if it is refused.
fn exact_of(json: &str) -> Option<String> {
    let json = format!(r#"{{"attributes":[{{"key":"k","value":{json}}}]}}"#);
    let attribute = span(&json).ok()?.attributes.remove(0);
    let value = attribute.value.unwrap_or_default();
    Some(serde_json::to_string(&Exact(&value)).unwrap())
}

#[test]
fn values() {
    for (json, exact) in [
        (r#"{"stringValue":"a\"b"}"#, r#""a\"b""#),
        (r#"{"stringValue":""}"#, r#""""#),
        (r#"{"intValue":1}"#, "1"),
        (
            r#"{"int_value":"-9223372036854775808"}"#,
            "-9223372036854775808",
        ),
        (r#"{"boolValue":false}"#, "false"),
        (r#"{"doubleValue":1}"#, "1.0"),
        (r#"{"doubleValue":0.1}"#, "0.1"),
        (r#"{"doubleValue":"1.5"}"#, "1.5"),
        (r#"{"doubleValue":"NaN"}"#, r#"{"doubleValue":"NaN"}"#),
        (
            r#"{"doubleValue":"Infinity"}"#,
            r#"{"doubleValue":"Infinity"}"#,
        ),
        (
            r#"{"doubleValue":"-Infinity"}"#,
            r#"{"doubleValue":"-Infinity"}"#,
        ),
        (r#"{"bytesValue":"AQL/"}"#, r#"{"bytesValue":"AQL/"}"#),
        (r#"{"bytesValue":"AQL_AQ"}"#, r#"{"bytesValue":"AQL/AQ=="}"#),
        (r#"{"stringValue":null}"#, "null"),
        (r#"{"stringValue":"a","intValue":null}"#, r#""a""#),
        (r#"{"newValue":{"a":[]}}"#, "null"),
        ("{}", "null"),
        ("null", "null"),
        (
            r#"{"arrayValue":{"values":[{"stringValue":"x"},null]}}"#,
            r#"["x",null]"#,
        ),
        (r#"{"arrayValue":{}}"#, "[]"),
        (
            r#"{"kvlist_value":{"values":[{"key":"a","value":{"intValue":1}},{"key":"b"}]}}"#,
            r#"{"a":1,"b":null}"#,
        ),
    ] {
        assert_eq!(exact_of(json).as_deref(), Some(exact), "{json}");
    }
    for json in [
        r#"{"boolValue":"true"}"#,
        r#"{"doubleValue":"much"}"#,
        r#"{"bytesValue":"?"}"#,
        r#"{"stringValue":1}"#,
        r#""x""#,
    ] {
        assert_eq!(exact_of(json), None, "{json}");
    }
}

/// JavaScript writes whole numbers of any size as such.
#[test]
fn whole_numbers_of_any_size_are_values() {
    for (json, exact) in [
        (r#"{"intValue":1e3}"#, "1000"),
        (r#"{"intValue":9223372036854775807}"#, "9223372036854775807"),
        (
            r#"{"intValue":9223372036854775808}"#,
            "9.223372036854776e+18",
        ),
        (
            r#"{"intValue":"-9223372036854775809"}"#,
            "-9.223372036854776e+18",
        ),
        (r#"{"intValue":1e+21}"#, "1e+21"),
        (r#"{"intValue":" -1E21 "}"#, "-1e+21"),
        (r#"{"intValue":1e400}"#, r#""1e400""#),
        (r#"{"intValue":"-1e400"}"#, r#""-1e400""#),
        (r#"{"intValue":null}"#, "null"),
    ] {
        assert_eq!(exact_of(json).as_deref(), Some(exact), "{json}");
    }
    for json in [
        r#"{"intValue":1.5}"#,
        r#"{"intValue":"1.5"}"#,
        r#"{"intValue":"-inf"}"#,
        r#"{"intValue":"Infinity"}"#,
        r#"{"intValue":"NaN"}"#,
        r#"{"intValue":"soon"}"#,
        r#"{"intValue":""}"#,
        r#"{"intValue":true}"#,
        r#"{"intValue":[1]}"#,
    ] {
        assert_eq!(exact_of(json), None, "{json}");
    }
}

/// Nested lists are refused before the stack is used up, and dropped without using it up.
#[test]
fn nesting_is_bounded() {
    let nested = |n_levels| {
        let mut json = "{}".to_owned();
        for _ in 0..n_levels {
            json = format!(r#"{{"arrayValue":{{"values":[{json}]}}}}"#);
        }
        span(&format!(
            r#"{{"attributes":[{{"key":"k","value":{json}}}]}}"#
        ))
    };
    assert!(nested(38).is_ok());
    assert!(nested(1_000).is_err());

    let protobuf = |n_levels| {
        let mut value = AnyValue { value: None };
        for _ in 0..n_levels {
            let array = ArrayValue {
                values: vec![value],
            };
            value = AnyValue {
                value: Some(Value::ArrayValue(array)),
            };
        }
        let attribute = KeyValue {
            value: Some(value),
            ..KeyValue::default()
        };
        let span = Span {
            attributes: vec![attribute],
            ..Span::default()
        };
        let scope = ScopeSpans {
            spans: vec![span],
            ..ScopeSpans::default()
        };
        let resource_spans = ResourceSpans {
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![resource_spans],
        };
        decode(&request.encode_to_vec(), Encoding::Protobuf)
    };
    assert!(protobuf(45).is_ok());
    assert!(protobuf(200).is_err());
    let brackets = r#"{"resourceSpans":"#.to_owned() + &"[".repeat(100_000);
    assert!(decode(brackets.as_bytes(), Encoding::Json).is_err());
    let unknown = format!(r#"{{"x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let request = decode(unknown.as_bytes(), Encoding::Json).unwrap();
    assert_eq!(request.n_spans(), 0);
}

/// Returns a request whose texts are all the same one.
fn request_of(text: &str) -> ExportTraceServiceRequest {
    let json = r#"{"resourceSpans": [{
        "resource": {"attributes": [ATTRIBUTE],
            "entityRefs": [{"schemaUrl": "TEXT", "type": "TEXT", "idKeys": ["TEXT"], "descriptionKeys": ["TEXT"]}]},
        "schemaUrl": "TEXT",
        "scopeSpans": [{
            "scope": {"name": "TEXT", "version": "TEXT", "attributes": [ATTRIBUTE]},
            "schemaUrl": "TEXT",
            "spans": [{"traceId": "ff", "spanId": "fe", "flags": 257, "traceState": "TEXT", "name": "TEXT",
                "startTimeUnixNano": "1544712660000000001",
                "attributes": [{"key": "list", "value": {"arrayValue": {"values": [{"stringValue": "TEXT"}]}}},
                    {"key": "members", "value": {"kvlistValue": {"values": [ATTRIBUTE]}}},
                    {"key": "bytes", "value": {"bytesValue": "/w=="}}],
                "events": [{"name": "TEXT", "attributes": [ATTRIBUTE]}],
                "links": [{"traceState": "TEXT", "attributes": [ATTRIBUTE]}],
                "status": {"message": "TEXT", "code": 2}}]}]}]}"#;
    let attribute = r#"{"key": "TEXT", "value": {"stringValue": "TEXT"}}"#;
    let json = json.replace("ATTRIBUTE", attribute).replace("TEXT", text);
    decode(json.as_bytes(), Encoding::Json).unwrap().0
}

/// Returns a body in which some bytes are others.
fn with(body: &[u8], bytes: &[u8], others: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(bytes) {
            out.extend_from_slice(others);
            rest = after;
        } else {
            out.push(*first);
            rest = &rest[1..];
        }
    }
    out
}

#[test]
fn broken_texts_of_protobuf_are_mended() {
    let body = request_of("broken").encode_to_vec();
    let check = |others: &[u8], expected: &str| {
        let Request(request) = decode(&with(&body, b"broken", others), Encoding::Protobuf).unwrap();
        assert_eq!(request, request_of(expected), "{others:?}");
    };
    check(b"brok\xffn", "brok\u{fffd}n");
    check(b"\xf0\x9f\x92abc", "\u{fffd}abc");
    check(b"\xff\xff\xff\xff\xff\xff", &"\u{fffd}".repeat(6));
    check(b"broke\xe2", "broke\u{fffd}");
    let broken = with(&body, b"broken", b"brok\xffn");
    for n_bytes in [1, 2, 10, broken.len() / 2, broken.len() - 1] {
        let is_read = decode(&broken[..n_bytes], Encoding::Protobuf).is_ok();
        assert!(!is_read, "{n_bytes} bytes");
    }
}

#[test]
fn broken_texts_of_json_are_mended() {
    let check = |name: &[u8], expected: &str| {
        let body = [
            br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"#,
            name,
            b",\"flags\":7}]}]}]}",
        ];
        let request = decode(&body.concat(), Encoding::Json).unwrap();
        let span = &request.resource_spans()[0].scope_spans[0].spans[0];
        let shown = String::from_utf8_lossy(name);
        assert_eq!((&span.name[..], span.flags), (expected, 7), "{shown}");
    };
    check(br#""\ud83d""#, "\u{fffd}");
    check(br#""a\uD83Db\udc00""#, "a\u{fffd}b\u{fffd}");
    check(br#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}");
    check(br#""\ude00\ud83d""#, "\u{fffd}\u{fffd}");
    check(br#""\\ud83d\ud83d\"\u0041""#, "\\ud83d\u{fffd}\"A");
    check(br#""\ud83d\n""#, "\u{fffd}\n");
    check(b"\"a\xffb\"", "a\u{fffd}b");
    check(
        b"\"\xed\xa0\x80\\ud800\"",
        "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
    );
    for body in [
        &br#"{"resourceSpans":[{"schemaUrl":"\ud83d"}]"#[..],
        br#"{"resourceSpans":"\ud83d"}"#,
        br#"{"resourceSpans":[{"schemaUrl":"\ud83"}]}"#,
        br#"{"resourceSpans":[{"schemaUrl":"\ud83d"#,
        b"{\"resourceSpans\":[{\"schemaUrl\":\"\\\xc3\xa9\\ud800\"}]}",
        b"\xff",
        b"\\",
    ] {
        let is_read = decode(body, Encoding::Json).is_ok();
        assert!(!is_read, "{}", String::from_utf8_lossy(body));
    }
}

proptest! {
    #[test]
    fn both_encodings_say_the_same(request in request()) {
        let protobuf = decode(&request.encode_to_vec(), Encoding::Protobuf).unwrap();
        prop_assert_eq!(&protobuf.0, &request);
        let json = serde_json::to_vec(&request).unwrap();
        let json = decode(&json, Encoding::Json).unwrap();
        prop_assert_eq!(&json.0, &request);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, json in "[\\[\\]{}\":,a-z0-9]{0,200}") {
        let _ = decode(&bytes, Encoding::Protobuf);
        let _ = decode(&bytes, Encoding::Json);
        let _ = decode(json.as_bytes(), Encoding::Json);
    }

    #[test]
    fn no_change_of_a_body_panics(request in request(), at: prop::sample::Index, byte: u8) {
        let mut bodies = [request.encode_to_vec(), serde_json::to_vec(&request).unwrap()];
        for body in &mut bodies {
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] = byte;
            }
            let _ = decode(body, Encoding::Protobuf);
            let _ = decode(body, Encoding::Json);
        }
    }
}
