//! What the span of a segment says, by the semantic conventions.

use model::{Document, DocumentLimits, Orphans, Segment, Trace};
use serde_json::{Value, json};

use crate::{Encoding, decode, spans_of};

const TRACE_ID: &str = "1-581cf771-a006649127e371903a2de979";

/// Returns the spans of documents in flat form; identity and times are added to the documents.
fn flat(documents: &[&str]) -> Vec<Value> {
    let texts = documents.iter().map(|members| {
        let identity =
            format!(r#"{{"trace_id":"{TRACE_ID}","start_time":1.5,"end_time":2.000000001,"#);
        members.replacen('{', &identity, 1)
    });
    let texts: Vec<String> = texts.collect();
    let documents = (1..).zip(&texts).map(|(stamp, text)| {
        let segment = Segment::parse(text, &DocumentLimits::default()).unwrap();
        Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        }
    });
    let documents: Vec<Document> = documents.collect();
    let trace_id = Segment::parse(&texts[0], &DocumentLimits::default())
        .unwrap()
        .trace_id();
    let spans = spans_of(&Trace::compile(trace_id, &documents, Orphans::Visible));
    spans
        .flat()
        .iter()
        .map(|span| serde_json::from_str(&span.json).unwrap())
        .collect()
}

/// Checks what a segment's span says in some places.
fn check_segment(members: &str, expected: &[(&str, Value)]) {
    let document = format!(r#"{{"id":"000000000000000a","name":"shop",{members}}}"#);
    check_span(&flat(&[&document])[0], expected, &document);
}

/// Checks what the span of a subsegment without segment says in some places.
fn check_call(members: &str, expected: &[(&str, Value)]) {
    let document = format!(
        r#"{{"id":"000000000000000b","parent_id":"000000000000000a","type":"subsegment","name":"db",{members}}}"#
    );
    check_span(&flat(&[&document])[0], expected, &document);
}

fn check_span(span: &Value, expected: &[(&str, Value)], context: &str) {
    for (place, value) in expected {
        let found = match place.split_once(' ') {
            Some((object, key)) => span.pointer(object).and_then(|object| object.get(key)),
            None => span.pointer(place),
        };
        assert_eq!(
            found.unwrap_or(&Value::Null),
            value,
            "{place} of {context}\nin {span:#}"
        );
    }
}

#[test]
fn identity_and_times_are_kept_to_the_nanosecond() {
    let spans = flat(&[
        r#"{"id":"000000000000000a","name":"shop","parent_id":"00000000000000ff","subsegments":[
            {"id":"000000000000000b","name":"in","start_time":1.123456789,"in_progress":true,
             "subsegments":[{"id":"000000000000000c","name":"deep","start_time":3,"end_time":1}]}]}"#,
        r#"{"id":"000000000000000d","name":"alone","type":"subsegment","parent_id":"000000000000000b"}"#,
        r#"{"id":"000000000000000e","name":"orphan","type":"subsegment","parent_id":"0000000000000099"}"#,
    ]);
    let found = spans.iter().map(|span| {
        let shown = [
            &span["spanId"],
            &span["parentSpanId"],
            &span["name"],
            &span["kind"],
            &span["startTimeUnixNano"],
            &span["endTimeUnixNano"],
            &span["resource"]["attributes"]["service.name"],
        ];
        let shown = shown.map(|value| value.to_string().replace('"', ""));
        shown.join(" ")
    });
    assert_eq!(
        found.collect::<Vec<_>>(),
        [
            "000000000000000a 00000000000000ff shop SERVER 1500000000 2000000001 shop",
            "000000000000000b 000000000000000a in INTERNAL 1123456789 null shop",
            "000000000000000c 000000000000000b deep INTERNAL 3000000000 1000000000 shop",
            "000000000000000d 000000000000000b alone INTERNAL 1500000000 2000000001 shop",
            "000000000000000e 0000000000000099 orphan INTERNAL 1500000000 2000000001 null",
        ]
    );
    assert_eq!(spans[0]["traceId"], "581cf771a006649127e371903a2de979");
    assert_eq!(spans[2]["durationNano"], 0, "the end lies before the start");
}

#[test]
fn outcomes_become_statuses() {
    let status = |code: &str| vec![("/status/code", json!(code))];
    check_segment(r#""fault":true"#, &status("ERROR"));
    check_segment(
        r#""fault":false,"http":{"response":{"status":500}}"#,
        &status("UNSET"),
    );
    check_segment(r#""http":{"response":{"status":503}}"#, &status("ERROR"));
    check_segment(r#""error":true"#, &status("UNSET"));
    check_segment(r#""http":{"response":{"status":404}}"#, &status("UNSET"));
    check_call(r#""error":true,"namespace":"remote""#, &status("ERROR"));
    check_call(r#""error":true"#, &status("UNSET"));
    check_call(
        r#""namespace":"aws","http":{"response":{"status":429}}"#,
        &status("ERROR"),
    );
}

#[test]
fn requests_and_calls_are_said_by_the_conventions() {
    check_segment(
        r#""user":"ann","http":{"request":{"method":"GET","url":"http://x/","user_agent":"ua","client_ip":"10.0.0.1"},
        "response":{"status":200,"content_length":12}}"#,
        &[
            ("/attributes http.request.method", json!("GET")),
            ("/attributes url.full", json!("http://x/")),
            ("/attributes user_agent.original", json!("ua")),
            ("/attributes client.address", json!("10.0.0.1")),
            ("/attributes http.response.status_code", json!(200)),
            ("/attributes http.response.body.size", json!(12)),
            ("/attributes enduser.id", json!("ann")),
        ],
    );
    check_call(
        r#""namespace":"aws","aws":{"operation":"Query","region":"eu-west-1","request_id":"r","table_name":"t","account_id":"1"}"#,
        &[
            ("/kind", json!("CLIENT")),
            ("/attributes rpc.system", json!("aws-api")),
            ("/attributes rpc.service", json!("db")),
            ("/attributes rpc.method", json!("Query")),
            ("/attributes aws.region", json!("eu-west-1")),
            ("/attributes aws.request_id", json!("r")),
            ("/attributes aws.account_id", json!("1")),
            ("/attributes aws.dynamodb.table_names", json!(["t"])),
        ],
    );
    check_call(
        r#""namespace":"remote","sql":{"database_type":"mysql","user":"u","sanitized_query":"q","connection_string":"mysql://h/d"}"#,
        &[
            ("/attributes peer.service", json!("db")),
            ("/attributes db.system", json!("mysql")),
            ("/attributes db.user", json!("u")),
            ("/attributes db.query.text", json!("q")),
            ("/attributes db.connection_string", json!("mysql://h")),
            ("/attributes db.name", json!("d")),
        ],
    );
}

#[test]
fn annotations_and_metadata_are_attributes() {
    check_segment(
        r#""annotations":{"tier":"gold","n":1.50,"ok":true,"http.request.method":"x","aws.xray.y":1,"list":[1]},
        "http":{"request":{"method":"GET"}},"metadata":{"debug":{"a":[1, {"b":2.50}]},"odd":1}"#,
        &[
            ("/attributes tier", json!("gold")),
            ("/attributes n", json!(1.5)),
            ("/attributes ok", json!(true)),
            ("/attributes http.request.method", json!("GET")),
            ("/attributes aws.xray.y", Value::Null),
            ("/attributes list", Value::Null),
            (
                "/attributes aws.xray.annotations",
                json!(["n", "ok", "tier"]),
            ),
            (
                "/attributes aws.xray.metadata.debug",
                json!(r#"{"a":[1,{"b":2.50}]}"#),
            ),
            ("/attributes aws.xray.metadata.odd", json!("1")),
        ],
    );
}

#[test]
fn what_a_segment_says_of_its_place_is_its_resource() {
    const ATTRIBUTES: &str = "/resource/attributes";
    let check = |members: &str, expected: &[(&str, Value)]| {
        let expected: Vec<(String, Value)> = expected
            .iter()
            .map(|(key, value)| (format!("{ATTRIBUTES} {key}"), value.clone()))
            .collect();
        let expected: Vec<(&str, Value)> = expected
            .iter()
            .map(|(place, value)| (place.as_str(), value.clone()))
            .collect();
        check_segment(members, &expected);
    };
    check(
        r#""user":"u""#,
        &[
            ("service.name", json!("shop")),
            ("cloud.provider", Value::Null),
        ],
    );
    check(
        r#""origin":"AWS::EC2::Instance","aws":{"account_id":"1","ec2":{"instance_id":"i","availability_zone":"z","instance_size":"s","ami_id":"m"},
        "xray":{"sdk":"X-Ray SDK for Java","sdk_version":"2"}},"service":{"version":"7","runtime":"r","runtime_version":"8"}"#,
        &[
            ("cloud.provider", json!("aws")),
            ("cloud.platform", json!("aws_ec2")),
            ("cloud.account.id", json!("1")),
            ("cloud.availability_zone", json!("z")),
            ("host.id", json!("i")),
            ("host.type", json!("s")),
            ("host.image.id", json!("m")),
            ("telemetry.sdk.name", json!("X-Ray SDK")),
            ("telemetry.sdk.language", json!("java")),
            ("telemetry.sdk.version", json!("2")),
            ("service.version", json!("7")),
            ("process.runtime.name", json!("r")),
            ("process.runtime.version", json!("8")),
        ],
    );
    check(
        r#""origin":"AWS::ECS::Fargate","aws":{"ecs":{"container":"c","container_id":"ci","container_arn":"ca","cluster_arn":"cl","task_arn":"ta","task_family":"tf"},
        "cloudwatch_logs":[{"log_group":"g","arn":"a"},{"log_group":"h"}]}"#,
        &[
            ("cloud.platform", json!("aws_ecs")),
            ("aws.ecs.launchtype", json!("fargate")),
            ("container.name", json!("c")),
            ("container.id", json!("ci")),
            ("aws.ecs.container.arn", json!("ca")),
            ("aws.ecs.cluster.arn", json!("cl")),
            ("aws.ecs.task.arn", json!("ta")),
            ("aws.ecs.task.family", json!("tf")),
            ("aws.log.group.names", json!(["g", "h"])),
            ("aws.log.group.arns", Value::Null),
        ],
    );
    check(
        r#""origin":"AWS::ElasticBeanstalk::Environment","aws":{"eks":{"cluster_name":"k","pod":"p"},
        "elastic_beanstalk":{"environment_name":"e","version_label":"v","deployment_id":32}},
        "metadata":{"default":{"otel.resource.a.b":[1,2.5],"x":1}}"#,
        &[
            ("cloud.platform", json!("aws_elastic_beanstalk")),
            ("k8s.cluster.name", json!("k")),
            ("k8s.pod.name", json!("p")),
            ("service.namespace", json!("e")),
            ("service.version", json!("v")),
            ("service.instance.id", json!("32")),
            ("a.b", json!([1, 2.5])),
            ("x", Value::Null),
        ],
    );
}

#[test]
fn exceptions_are_events_with_stacks_as_their_language_prints_them() {
    let check = |sdk: &str, stack: &str| {
        let members = format!(
            r#""aws":{{"xray":{{"sdk":"X-Ray for {sdk}"}}}},"cause":{{"exceptions":[{{"id":"00000000000000ff","type":"E","message":"m",
            "stack":[{{"path":"p","line":7,"label":"f"}},{{"label":"g"}}]}},{{"id":"00000000000000fe"}},7]}}"#
        );
        check_segment(
            &members,
            &[
                ("/events/0/name", json!("exception")),
                ("/events/0/timeUnixNano", json!(2_000_000_001_u64)),
                ("/events/0/attributes exception.type", json!("E")),
                ("/events/0/attributes exception.message", json!("m")),
                ("/events/0/attributes exception.stacktrace", json!(stack)),
                ("/events/1/attributes", json!({})),
                ("/events/2", Value::Null),
            ],
        );
    };
    check("Java", "E: m\n\tat f(p:7)\n\tat g(:0)");
    check("Node.js", "E: m\n    at f (p:7:0)\n    at g (:0:0)");
    check("Go", "E: m\nf\n\tp:7\ng\n\t:0");
    check(".NET", "E: m\n   at f in p:line 7\n   at g in :line 0");
    check(
        "Python",
        "Traceback (most recent call last):\n  File \"\", line 0, in g\n  File \"p\", line 7, in f\nE: m",
    );
}

#[test]
fn links_point_to_spans() {
    check_segment(
        r#""links":[{"trace_id":"1-581cf771-a006649127e371903a2de970","id":"00000000000000aa","attributes":{"a":1}},{"id":"x"}]"#,
        &[(
            "/links",
            json!([{"traceId": "581cf771a006649127e371903a2de970", "spanId": "00000000000000aa", "attributes": {"a": 1}}]),
        )],
    );
}

#[test]
fn values_nested_deep_do_not_make_spans_unreadable() {
    let check = |member: &str, n_levels: usize, is_said: bool| {
        let deep = format!("{}1{}", r#"{"a":["#.repeat(n_levels), "]}".repeat(n_levels));
        let member = member.replace("DEEP", &deep);
        let text = format!(
            r#"{{"trace_id":"{TRACE_ID}","id":"000000000000000a","name":"shop","start_time":1,"end_time":2,{member}}}"#
        );
        let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
        let documents = [Document {
            segment_id: segment.id(),
            in_progress: false,
            stamp: 1,
            first_stamp: 1,
            text: text.clone(),
        }];
        let trace = Trace::compile(segment.trace_id(), &documents, Orphans::Visible);
        let spans = spans_of(&trace);
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            let request = decode(&spans.encode(encoding), encoding).unwrap();
            assert_eq!(request.n_spans(), 1);
        }
        // As text it is always there.
        let json = &spans.flat()[0].json;
        assert!(json.contains(&deep) || json.contains(&deep.replace('"', "\\\"")));
        assert_eq!(json.contains(&deep), is_said, "{member}");
    };
    let links = r#""links":[{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"00000000000000aa","attributes":{"d":DEEP}}]"#;
    let resource = r#""metadata":{"default":{"otel.resource.d":DEEP}}"#;
    let kept = r#""metadata":{"otel.span":{"kind":"SERVER","attributes":{"d":DEEP}}}"#;
    for member in [links, resource, kept] {
        check(member, 13, true);
        check(member, 50, false);
    }
}
