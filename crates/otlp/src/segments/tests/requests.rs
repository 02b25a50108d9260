use std::time::Duration;

use super::*;
use crate::{
    Bounds, Encoding, LimitError, RejectedSpan, RejectionCode, Translated, Translation, decode,
};

/// A local root that calls is two documents, which are the same every time.
#[test]
fn local_roots_that_call() {
    let members = json!({
        "aws.span.kind": "LOCAL_ROOT", "aws.local.service": "my!shop", "aws.remote.service": "AWS.SDK.SQS",
        "aws.remote.operation": "Send", "rpc.system": "aws-api", "rpc.method": "Send", "http.method": "POST",
        "aws.account_id": "1", "aws.region": "r", "aws.request_id": "q", "messaging.url": "u", "aws.table_name": "t",
        "aws.xray.metadata.m": "{\"a\":1}",
    });
    let link = opentelemetry_proto::tonic::trace::v1::span::Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..Default::default()
    };
    for kind in [UNSPECIFIED, CLIENT, PRODUCER, CONSUMER] {
        let of = |span: Span| Span {
            links: vec![link.clone()],
            ..span
        };
        let resource = json!({"service.name": "x"});
        let below = request(of(below(span(kind, &members))), &resource);
        let [call, service] = &documents(&below, &Rules::default())[..] else {
            panic!("two documents are expected");
        };
        assert_eq!(service["name"], "my_shop");
        assert_eq!(service["parent_id"], "0909090909090909");
        assert_eq!(
            service["metadata"],
            json!({"otel.span": {"serviceOf": "0102030405060708"}})
        );
        for member in ["type", "namespace", "http"] {
            assert_eq!(service.get(member), None, "{member}");
        }
        assert_eq!(
            service["aws"],
            json!({"xray": {"auto_instrumentation": false}})
        );
        let is_consumer = kind == CONSUMER;
        assert_eq!(service.get("links").is_some(), is_consumer);
        assert_eq!(call.get("links").is_some(), !is_consumer);

        assert_eq!(call["name"], "SQS");
        assert_eq!(call["id"], "0102030405060708");
        assert_eq!(call["parent_id"], service["id"]);
        assert_eq!(call["type"], "subsegment");
        assert_eq!(call["namespace"], "aws");
        assert_eq!(call["aws"]["operation"], "Send");
        assert_eq!(call["metadata"]["m"], json!({"a": 1}));
        assert_eq!(
            call["metadata"]["otel.span"]["parentSpanId"],
            "0909090909090909"
        );
        assert!(call["http"].is_object());

        let root = request(of(span(kind, &members)), &resource);
        let [call, above] = &documents(&root, &Rules::default())[..] else {
            panic!("two documents are expected");
        };
        assert_eq!(
            above["id"], service["id"],
            "follows from the id of the span"
        );
        assert_eq!(above.get("parent_id"), None);
        let shown = json!({"otel.resource.service.name": "x"});
        assert_eq!(above["metadata"]["default"], shown);
        assert_eq!(call["type"], "subsegment");
        assert_eq!(call["metadata"]["otel.span"]["parentSpanId"], "");
        assert_eq!(
            translated(&root, &Rules::default()),
            translated(&root, &Rules::default())
        );
    }
}

#[test]
fn local_roots_that_do_not_call() {
    let members = json!({"aws.span.kind": "LOCAL_ROOT", "aws.local.service": "shop", "rpc.system": "aws-api"});
    for kind in [SERVER, INTERNAL] {
        let document = document(below(span(kind, &members)), &json!({}));
        assert_eq!(document["name"], "shop");
        assert_eq!(document["parent_id"], "0909090909090909");
        assert_eq!(document.get("type"), None);
        assert_eq!(document.get("namespace"), None);
    }
    let remote = json!({"aws.span.kind": "REMOTE", "aws.local.service": "shop"});
    let document = document(below(span(INTERNAL, &remote)), &json!({}));
    assert_eq!(document["name"], "GET /id");
    assert_eq!(document["type"], "subsegment");
}

#[test]
fn local_roots_without_names_of_services() {
    let members = json!({"aws.span.kind": "LOCAL_ROOT"});
    let documents = documents(
        &request(span(PRODUCER, &members), &json!({})),
        &Rules::default(),
    );
    assert_eq!(documents[0]["namespace"], "remote");
    assert_eq!(documents[0]["name"], "GET /id");
    assert_eq!(documents[1]["name"], "GET /id");
}

/// What a local root says of its call is said of the call only.
#[test]
fn services_are_not_named_by_what_they_call() {
    let members = json!({
        "aws.span.kind": "LOCAL_ROOT", "aws.remote.service": "S3", "aws.remote.operation": "Put",
        "remoteTarget": "bucket", "K8s.RemoteNamespace": "n",
    });
    let rules = Rules {
        index_all_attributes: true,
        ..Rules::default()
    };
    let documents = documents(&request(span(CLIENT, &members), &json!({})), &rules);
    assert_eq!(documents[0]["name"], "S3");
    assert_eq!(documents[0]["annotations"]["aws.remote.operation"], "Put");
    assert_eq!(documents[1]["name"], "GET /id");
    assert_eq!(
        documents[1]["annotations"],
        json!({"aws.span.kind": "LOCAL_ROOT"})
    );
}

/// Returns the name, the type and the namespace of each document of a span.
fn shapes(consumer_segments: bool, span: Span) -> Vec<[Value; 3]> {
    let rules = Rules {
        consumer_segments,
        ..Rules::default()
    };
    let documents = documents(&request(span, &json!({"service.name": "shop"})), &rules);
    let documents = documents.into_iter();
    let shape = |document: Value| ["name", "type", "namespace"].map(|name| document[name].clone());
    documents.map(shape).collect()
}

#[test]
fn consumers_may_be_segments() {
    let check = |kind, members: Value, off: [Value; 3], on: [Value; 3]| {
        let span = || below(span(kind, &members));
        assert_eq!(shapes(false, span()), [off], "{kind} {members}");
        assert_eq!(shapes(true, span()), [on], "{kind} {members}");
    };
    let within = |name: &str| [json!(name), json!("subsegment"), Value::Null];
    let call = |name: &str| [json!(name), json!("subsegment"), json!("remote")];
    let aws = || [json!("GET /id"), json!("subsegment"), json!("aws")];
    let segment = |name: &str| [json!(name), Value::Null, Value::Null];
    let none = json!({});
    let services = json!({"aws.local.service": "local", "aws.remote.service": "SQS"});
    let sdk = json!({"rpc.system": "aws-api"});
    let peer = json!({"peer.service": "p"});
    let rpc = json!({"rpc.service": "r"});
    check(CONSUMER, none.clone(), within("GET /id"), segment("shop"));
    check(CONSUMER, services.clone(), call("SQS"), segment("local"));
    check(CONSUMER, peer, within("p"), segment("p"));
    check(CONSUMER, rpc, within("r"), segment("shop"));
    check(CONSUMER, sdk.clone(), aws(), segment("shop"));
    check(PRODUCER, none.clone(), within("GET /id"), call("GET /id"));
    check(PRODUCER, services, call("SQS"), call("SQS"));
    check(PRODUCER, sdk, aws(), aws());
    check(CLIENT, none.clone(), call("GET /id"), call("GET /id"));
    check(INTERNAL, none.clone(), within("GET /id"), within("GET /id"));
    check(SERVER, none, segment("shop"), segment("shop"));
    let root = || span(CONSUMER, &json!({}));
    assert_eq!(shapes(false, root()), [segment("GET /id")]);
    assert_eq!(shapes(true, root()), [segment("shop")]);
}

/// A consumer that is a segment has its parent, and shows the resource.
#[test]
fn consumers_that_are_segments_are_below_what_they_consume() {
    let rules = Rules {
        consumer_segments: true,
        ..Rules::default()
    };
    let request = request(below(span(CONSUMER, &json!({}))), &json!({"a": 1}));
    let document = documents(&request, &rules).remove(0);
    assert_eq!(document["parent_id"], "0909090909090909");
    assert_eq!(
        document["metadata"]["default"],
        json!({"otel.resource.a": 1})
    );
}

#[test]
fn consumers_that_begin_the_work_of_a_service_stay_two_documents() {
    let check = |consumer_segments, members: Value, call: &str, service: &str| {
        let mut span = below(span(CONSUMER, &members));
        let root = attributes(&json!({"aws.span.kind": "LOCAL_ROOT"}));
        span.attributes.extend(root);
        let expected = [
            [json!(call), json!("subsegment"), json!("remote")],
            [json!(service), Value::Null, Value::Null],
        ];
        assert_eq!(shapes(consumer_segments, span), expected, "{members}");
    };
    let services = json!({"aws.local.service": "local", "aws.remote.service": "SQS"});
    for consumer_segments in [false, true] {
        check(consumer_segments, services.clone(), "SQS", "local");
    }
    check(false, json!({}), "GET /id", "GET /id");
    check(true, json!({}), "GET /id", "shop");
}

/// What is nested as deep as a request can be still makes documents that are taken.
#[test]
fn deep_values_make_documents() {
    for wrap in [
        |value: Value| json!([value]),
        |value: Value| json!({"k": value}),
        |value: Value| json!({"kvlistValue": {"bytesValue": value}}),
    ] {
        let mut value = json!("leaf");
        for n_levels in 0..60 {
            let request = request(span(SERVER, &json!({"k": value})), &json!({"k": value}));
            let body = prost::Message::encode_to_vec(&request.0);
            let Ok(request) = decode(&body, Encoding::Protobuf) else {
                assert!(n_levels > 25, "{n_levels}");
                break;
            };
            assert_eq!(documents(&request, &Rules::default()).len(), 1);
            value = wrap(value);
        }
    }
}

fn check_rejected(span: Span, limits: &Limits, now: u64, expected: Option<(RejectionCode, &str)>) {
    let request = request(span, &json!({"k": "0123456789"}));
    let translated = translate(
        &request,
        &Rules::default(),
        limits,
        Timestamp::from_secs(now),
    )
    .unwrap();
    let found = translated.rejected.first();
    let found = found.map(|rejected| (rejected.code, rejected.message.as_str()));
    assert_eq!(found, expected);
    assert_eq!(translated.documents.len(), usize::from(expected.is_none()));
}

#[test]
fn ids_that_are_none_are_rejected() {
    let good = || below(span(CLIENT, &json!({})));
    let check = |span: Span, expected| check_rejected(span, &Limits::NONE, 0, expected);
    check(good(), None);
    let trace_id = |trace_id| Span { trace_id, ..good() };
    check(
        trace_id(vec![]),
        Some((RejectionCode::TraceId, "the span has no trace id")),
    );
    check(
        trace_id(vec![1, 2]),
        Some((
            RejectionCode::TraceId,
            "trace id 0102 is not 16 bytes that are not all zero",
        )),
    );
    check(
        trace_id(vec![0; 16]),
        Some((
            RejectionCode::TraceId,
            "trace id 00000000000000000000000000000000 is not 16 bytes that are not all zero",
        )),
    );
    let span_id = |span_id| Span { span_id, ..good() };
    check(
        span_id(vec![]),
        Some((RejectionCode::SpanId, "the span has no span id")),
    );
    check(
        span_id(vec![0; 8]),
        Some((
            RejectionCode::SpanId,
            "span id 0000000000000000 is not 8 bytes that are not all zero",
        )),
    );
    let parent = |parent_span_id| Span {
        parent_span_id,
        ..good()
    };
    check(parent(vec![0; 3]), None);
    check(
        parent(vec![7]),
        Some((
            RejectionCode::ParentSpanId,
            "parent span id 07 is not 8 bytes",
        )),
    );
}

#[test]
fn spans_beyond_the_limits_are_rejected() {
    let good = || {
        span(
            SERVER,
            &json!({"key": "0123456789012345678901234567890123456789"}),
        )
    };
    let (start, end) = (1_700_000_000, 1_700_000_001);
    let hour = Some(Duration::from_hours(1));
    let future = Limits {
        future: hour,
        ..Limits::NONE
    };
    check_rejected(good(), &future, end - 3_599, None);
    let ahead = "3601 seconds ahead, the limit is 3600";
    check_rejected(
        good(),
        &future,
        end - 3_601,
        Some((RejectionCode::TooFarAhead, ahead)),
    );
    let age = Limits {
        age: hour,
        ..Limits::NONE
    };
    check_rejected(good(), &age, start + 3_600, None);
    let old = "3600 seconds old, the limit is 3600";
    check_rejected(
        good(),
        &age,
        start + 3_601,
        Some((RejectionCode::TooOld, old)),
    );
    let n_bytes = prost::Message::encoded_len(&good());
    let large = |n| Limits {
        span_bytes_max: Some(n),
        ..Limits::NONE
    };
    check_rejected(good(), &large(n_bytes), 0, None);
    let message = format!("a span of {n_bytes} bytes, the limit is {}", n_bytes - 1);
    check_rejected(
        good(),
        &large(n_bytes - 1),
        0,
        Some((RejectionCode::SpanTooLarge, &message)),
    );
    let resource = |n| Limits {
        resource_bytes_max: Some(n),
        ..Limits::NONE
    };
    check_rejected(good(), &resource(19), 0, None);
    let message = "a resource and scope of 19 bytes, the limit is 18";
    check_rejected(
        good(),
        &resource(18),
        0,
        Some((RejectionCode::ResourceTooLarge, message)),
    );
}

/// Returns a request of so many spans, a second apart.
fn many(n_spans: u64) -> Request {
    let spans = (1..=n_spans).map(|number| Span {
        span_id: number.to_be_bytes().to_vec(),
        start_time_unix_nano: number * 1_000_000_000,
        end_time_unix_nano: number * 1_000_000_000,
        ..span(SERVER, &json!({"http.method": "GET", "number": 1}))
    });
    let mut request = request(Span::default(), &json!({"service.name": "shop"}));
    request.0.resource_spans[0].scope_spans[0].spans = spans.collect();
    request
}

/// Returns a request of three resources whose scopes have so many spans.
fn scattered(n_spans: [&[u64]; 3]) -> Request {
    let mut scattered = many(0);
    let resource_spans = scattered.0.resource_spans.remove(0);
    for scopes in n_spans {
        let mut resource_spans = resource_spans.clone();
        let scope = resource_spans.scope_spans.remove(0);
        for n_spans in scopes {
            let mut scope = scope.clone();
            let spans = many(*n_spans).0.resource_spans.remove(0).scope_spans;
            scope.spans = spans.into_iter().flat_map(|scope| scope.spans).collect();
            resource_spans.scope_spans.push(scope);
        }
        scattered.0.resource_spans.push(resource_spans);
    }
    scattered
}

fn pieces(request: &Request, limits: &Limits, bounds: &Bounds) -> Vec<Translated> {
    let (request, rules) = (request.clone(), Rules::default());
    let (limits, bounds) = (limits.clone(), bounds.clone());
    let now = Timestamp::from_secs(1000);
    let mut translation = Translation::begin(request, rules, limits, bounds, now).unwrap();
    let mut pieces = Vec::new();
    while !translation.is_done() {
        pieces.push(translation.next_piece());
    }
    assert_eq!(translation.next_piece(), Translated::default());
    pieces
}

#[test]
fn pieces_put_together_are_the_whole() {
    let whole = |request: &Request, limits: &Limits| {
        let now = Timestamp::from_secs(1000);
        translate(request, &Rules::default(), limits, now).unwrap()
    };
    let limits = Limits {
        age: Some(Duration::from_millis(995_500)),
        ..Limits::NONE
    };
    let check = |n_spans, piece_spans, piece_bytes, n_pieces: usize| {
        let request = scattered(n_spans);
        let bounds = Bounds {
            piece_bytes,
            piece_spans,
            documents_bytes_max: None,
        };
        let pieces = pieces(&request, &limits, &bounds);
        assert_eq!(pieces.len(), n_pieces, "{n_spans:?}");
        let mut together = Translated::default();
        for piece in pieces {
            together.documents.extend(piece.documents);
            together.rejected.extend(piece.rejected);
        }
        assert_eq!(together, whole(&request, &limits));
    };
    let all = usize::MAX;
    check([&[], &[], &[]], 1, 1, 1);
    check([&[0, 0], &[], &[0]], 1, 1, 1);
    check([&[5], &[], &[]], all, all, 1);
    check([&[5], &[], &[]], 1, all, 5);
    check([&[5, 0, 6], &[0], &[7]], 4, all, 5);
    check([&[5, 1, 6], &[3], &[7]], 2, all, 11);
    // Four spans of each scope are too old and have no bytes.
    check([&[5], &[6], &[7]], all, 1, 6);
    // A piece that has not come to an end with one document does with two.
    let made = whole(&scattered([&[5], &[6], &[7]]), &limits).documents;
    check([&[5], &[6], &[7]], all, made[0].text.len() + 1, 3);
}

#[test]
fn documents_beyond_their_bytes_are_not_made() {
    let request = scattered([&[3], &[3, 2], &[2]]);
    let whole = pieces(&request, &Limits::NONE, &Bounds::NONE).remove(0);
    let sizes: Vec<usize> = whole.documents.iter().map(|made| made.text.len()).collect();
    let total: usize = sizes.iter().sum();
    let check = |documents_bytes_max: usize, n_made: usize| {
        for piece_spans in [1, 4, usize::MAX] {
            let bounds = Bounds {
                piece_spans,
                documents_bytes_max: Some(documents_bytes_max),
                ..Bounds::NONE
            };
            let pieces = pieces(&request, &Limits::NONE, &bounds);
            let made = pieces.iter().flat_map(|piece| &piece.documents);
            assert!(made.eq(&whole.documents[..n_made]));
            let rejected: Vec<&RejectedSpan> =
                pieces.iter().flat_map(|piece| &piece.rejected).collect();
            assert_eq!(rejected.len(), 10 - n_made, "{documents_bytes_max}");
            for rejected in rejected {
                assert_eq!(rejected.code, RejectionCode::DocumentsTooLarge);
                assert!(
                    rejected.message.contains(&documents_bytes_max.to_string()),
                    "{rejected:?}"
                );
            }
        }
    };
    check(0, 0);
    check(sizes[0] - 1, 0);
    check(sizes[0], 1);
    check(sizes[..4].iter().sum::<usize>() + 1, 4);
    check(total - 1, 9);
    check(total, 10);
}

#[test]
fn requests_beyond_the_limits_are_refused() {
    let check = |n_spans, limits: &Limits, expected: Result<(), LimitError>| {
        let translated = translate(&many(n_spans), &Rules::default(), limits, Timestamp::ZERO);
        assert_eq!(translated.map(|_| ()), expected);
    };
    let spans_max = Limits {
        spans_max: Some(3),
        ..Limits::NONE
    };
    check(3, &spans_max, Ok(()));
    check(
        4,
        &spans_max,
        Err(LimitError::TooManySpans {
            n_spans: 4,
            spans_max: 3,
        }),
    );
    let spread_max = Duration::from_secs(3);
    let spread = Limits {
        spread: Some(spread_max),
        ..Limits::NONE
    };
    check(0, &spread, Ok(()));
    check(4, &spread, Ok(()));
    let apart = LimitError::TooFarApart {
        spread: Duration::from_secs(4),
        spread_max,
    };
    assert_eq!(
        apart.to_string(),
        "the spans of the request are 4 seconds apart, the limit is 3"
    );
    check(5, &spread, Err(apart));
}

#[test]
fn documents_and_rejections_say_which_span_they_are_of() {
    let mut request = many(3);
    request.0.resource_spans[0].scope_spans[0].spans[1].span_id = vec![5];
    let other = many(1).0.resource_spans.remove(0);
    request.0.resource_spans.push(other);
    let translated = translated(&request, &Rules::default());
    let of: Vec<usize> = translated
        .documents
        .iter()
        .map(|document| document.span_idx)
        .collect();
    assert_eq!(of, [0, 2, 3]);
    let rejected = &translated.rejected[0];
    assert_eq!((rejected.span_idx, rejected.span_id.as_str()), (1, "05"));
    assert_eq!(rejected.trace_id, "0102030405060708090a0b0c0d0e0f10");
}

/// Ten thousand spans in one scope share one resource, which is read once.
#[test]
fn large_requests_are_one_pass() {
    let n_documents = translated(&many(10_000), &Rules::default()).documents.len();
    assert_eq!(n_documents, 10_000);
}
