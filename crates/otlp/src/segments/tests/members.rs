use opentelemetry_proto::tonic::trace::v1::Status;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};

use super::{span as span_of, *};

/// Checks what stands at a place of the document of a span.
fn check_at(place: &str, span: Span, resource: &Value, expected: &Value) {
    let shown = format!("{span:?} {resource}");
    let document = document(span, resource);
    let found = document.pointer(place).unwrap_or(&Value::Null);
    assert_eq!(found, expected, "{place} of {shown}");
}

#[test]
fn kinds_of_documents() {
    let check = |span: Span, kind: Value, parent_id: Value| {
        check_at("/type", span.clone(), &json!({}), &kind);
        check_at("/parent_id", span, &json!({}), &parent_id);
    };
    let none = json!({});
    for kind in [UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER, 9] {
        check(span(kind, &none), Value::Null, Value::Null);
        let zero = Span {
            parent_span_id: vec![0; 8],
            ..span(kind, &none)
        };
        check(zero, Value::Null, Value::Null);
        let is_segment = kind == SERVER;
        let expected = if is_segment {
            Value::Null
        } else {
            json!("subsegment")
        };
        check(
            below(span(kind, &none)),
            expected,
            json!("0909090909090909"),
        );
    }
}

#[test]
fn times() {
    let check = |start, end, expected: &[&str]| {
        let span = Span {
            start_time_unix_nano: start,
            end_time_unix_nano: end,
            ..span(SERVER, &json!({}))
        };
        let translated = translated(&request(span, &json!({})), &Rules::default());
        let text = &translated.documents[0].text;
        for part in expected {
            assert!(text.contains(part), "{part} in {text}");
        }
        Segment::parse(text, &DocumentLimits::default()).unwrap();
    };
    check(
        1_700_000_000_123_456_789,
        1_700_000_001_000_000_000,
        &[
            r#""start_time":1700000000.123456789,"#,
            r#""end_time":1700000001.0,"#,
        ],
    );
    check(0, 0, &[r#""start_time":0.0,"#, r#""in_progress":true,"#]);
    check(
        2_000_000_000,
        1,
        &[r#""start_time":2.0,"#, r#""end_time":0.000000001,"#],
    );
    check(
        u64::MAX,
        u64::MAX,
        &[r#""end_time":18446744073.709551615,"#],
    );
}

fn check_name(kind: i32, members: &Value, resource: &Value, expected: &str) {
    check_at(
        "/name",
        below(span(kind, members)),
        resource,
        &json!(expected),
    );
}

/// Takes the attributes away one by one, in the order in which they count.
#[test]
fn names() {
    let all = json!({
        "aws.local.service": "local", "aws.remote.service": "AWS.SDK.remote", "peer.service": "peer",
        "aws.service": "aws", "db.name": "db", "rpc.service": "rpc", "http.host": "host", "net.peer.name": "net",
    });
    let service = json!({"service.name": "shop"});
    check_name(SERVER, &all, &service, "local");
    check_name(CLIENT, &all, &service, "AWS.SDK.remote");
    check_name(PRODUCER, &all, &service, "AWS.SDK.remote");
    check_name(CONSUMER, &all, &service, "AWS.SDK.remote");
    check_name(INTERNAL, &all, &service, "peer");
    let mut left = all;
    left.as_object_mut().unwrap().remove("aws.local.service");
    for (key, with_service, without_service) in [
        ("peer.service", "peer", "peer"),
        ("aws.service", "aws", "aws"),
        ("db.name", "db", "db"),
        ("rpc.service", "shop", "rpc"),
        ("http.host", "shop", "host"),
        ("net.peer.name", "shop", "net"),
        ("aws.remote.service", "shop", "GET /id"),
    ] {
        check_name(SERVER, &left, &service, with_service);
        check_name(SERVER, &left, &json!({}), without_service);
        check_name(INTERNAL, &left, &service, without_service);
        left.as_object_mut().unwrap().remove(key).unwrap();
    }
}

#[test]
fn names_of_calls() {
    let check = |members: Value, expected| check_name(CLIENT, &members, &json!({}), expected);
    let sdk = |name: &str| json!({"rpc.system": "aws-api", "aws.remote.service": name});
    check(sdk("AWS.SDK.DynamoDB"), "DynamoDB");
    check(sdk("AWS::S3"), "S3");
    check(sdk("other"), "other");
    check(json!({"server.address": "example.com"}), "example.com");
    let url = "jdbc:mysql://db.dev.example.com:3306";
    let database = |url: &str| json!({"db.name": "orders", "db.connection_string": url});
    check(database(url), "orders@db.dev.example.com");
    check(database("?"), "orders");
    let database = json!({"db.namespace": "orders", "server.address": "db"});
    check(database, "orders@db");
    check(
        json!({"db.namespace": "7", "server.address": "cache"}),
        "cache",
    );
    check(json!({"db.namespace": "7"}), "GET /id");
    check(json!({"db.namespace": "7a"}), "7a");
    let redis = json!({"db.name": "7", "db.namespace": "1", "server.address": "cache"});
    check(redis, "7@cache");
    let new_sdk = json!({"rpc.system.name": "aws-api", "aws.remote.service": "AWS::S3"});
    check(new_sdk, "S3");
    check(
        json!({"service.peer.name": "bank", "aws.service": "S3"}),
        "bank",
    );
    check(
        json!({"service.peer.name": "new", "peer.service": "old"}),
        "old",
    );
    check(json!({"peer.service": ""}), "GET /id");
    check(json!({"peer.service": 5}), "GET /id");
    check(json!({"peer.service": "my!shop"}), "my_shop");
    let service = json!({"service.name": "my!shop"});
    check_name(SERVER, &json!({}), &service, "my_shop");
}

#[test]
fn namespaces() {
    let check = |kind, members: Value, expected: Value| {
        check_at(
            "/namespace",
            below(span(kind, &members)),
            &json!({}),
            &expected,
        );
    };
    check(SERVER, json!({}), Value::Null);
    check(INTERNAL, json!({}), Value::Null);
    check(CLIENT, json!({}), json!("remote"));
    check(PRODUCER, json!({}), Value::Null);
    check(
        CONSUMER,
        json!({"aws.remote.service": "x"}),
        json!("remote"),
    );
    check(
        PRODUCER,
        json!({"aws.remote.service": "x"}),
        json!("remote"),
    );
    check(INTERNAL, json!({"aws.remote.service": "x"}), Value::Null);
    check(CLIENT, json!({"rpc.system": "aws-api"}), json!("aws"));
    check(CLIENT, json!({"rpc.system.name": "aws-api"}), json!("aws"));
    check(
        CLIENT,
        json!({"rpc.system": "grpc", "rpc.system.name": "aws-api"}),
        json!("remote"),
    );
    check(CLIENT, json!({"rpc.system": "grpc"}), json!("remote"));
    check(INTERNAL, json!({"aws.service": "S3"}), json!("aws"));
    check(
        CLIENT,
        json!({"aws.service": "S3", "peer.service": "x"}),
        json!("remote"),
    );
    let root = span(CLIENT, &json!({}));
    check_at("/namespace", root, &json!({}), &json!("remote"));
}

#[test]
fn regions_of_calls() {
    let check = |members: Value, expected: Value| {
        let span = below(span(CLIENT, &members));
        check_at("/aws/region", span, &json!({}), &expected);
    };
    check(json!({"aws.region": "a"}), json!("a"));
    check(json!({"cloud.region": "b"}), Value::Null);
    for key in ["rpc.system", "rpc.system.name"] {
        check(json!({key: "aws-api", "cloud.region": "b"}), json!("b"));
        check(
            json!({key: "aws-api", "aws.region": "a", "cloud.region": "b"}),
            json!("a"),
        );
        check(json!({key: "grpc", "cloud.region": "b"}), Value::Null);
    }
}

#[test]
fn flags() {
    let check = |members: Value, code, expected: [bool; 3]| {
        let span = Span {
            status: Some(Status {
                code,
                ..Status::default()
            }),
            ..span(SERVER, &members)
        };
        let document = document(span, &json!({}));
        let found = ["error", "throttle", "fault"].map(|flag| document[flag] == json!(true));
        assert_eq!(found, expected, "{members} {code}");
        assert!(document["fault"].is_boolean());
    };
    let [none, error, throttle, fault] = [
        [false; 3],
        [true, false, false],
        [true, true, false],
        [false, false, true],
    ];
    check(json!({}), 0, none);
    check(json!({}), 1, none);
    check(json!({}), 2, fault);
    for key in ["http.status_code", "http.response.status_code"] {
        check(json!({key: 200}), 0, none);
        check(json!({key: 200}), 2, fault);
        check(json!({key: 399}), 2, fault);
        check(json!({key: 400}), 2, error);
        check(json!({key: 429}), 0, throttle);
        check(json!({key: "499"}), 0, error);
        check(json!({key: 500}), 1, fault);
        check(json!({key: 599}), 0, fault);
        check(json!({key: 600}), 0, none);
    }
    check(
        json!({"http.status_code": 404, "http.response.status_code": 500}),
        0,
        error,
    );
}

fn exception(members: &Value) -> Event {
    Event {
        time_unix_nano: 1_700_000_000_500_000_999,
        name: "exception".to_owned(),
        attributes: attributes(members),
        ..Event::default()
    }
}

#[test]
fn causes_of_exceptions() {
    let thrown = exception(&json!({
        "exception.type": "java.lang.IllegalStateException", "exception.message": "bad state",
        "exception.stacktrace": "X: bad state\n\tat a.b(C.java:12)\nCaused by: Y: why\n\tat d.e(F.java:3)",
    }));
    let empty = exception(&json!({"exception.type": "EmptyError"}));
    let span = |kind| Span {
        events: vec![thrown.clone(), empty.clone()],
        ..below(span(kind, &json!({})))
    };
    let java = json!({"telemetry.sdk.language": "java"});
    let document = document(span(CLIENT), &java);
    let exceptions = document["cause"]["exceptions"].as_array().unwrap();
    let ids: Vec<&str> = exceptions
        .iter()
        .map(|exception| exception["id"].as_str().unwrap())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert!(ids.iter().all(|id| id.len() == 16));
    let expected = json!([
        {
            "id": ids[0], "type": "java.lang.IllegalStateException", "message": "bad state", "remote": true,
            "cause": ids[1], "stack": [{"path": "C.java", "line": 12, "label": "a.b"}],
        },
        {
            "id": ids[1], "type": "Y", "message": "why", "remote": true,
            "stack": [{"path": "F.java", "line": 3, "label": "d.e"}],
        },
        {"id": ids[2], "type": "EmptyError", "remote": true},
    ]);
    assert_eq!(document["cause"]["exceptions"], expected);
    check_at(
        "/cause/exceptions/0/remote",
        span(PRODUCER),
        &java,
        &json!(true),
    );
    check_at(
        "/cause/exceptions/0/remote",
        span(SERVER),
        &java,
        &json!(false),
    );
    check_at(
        "/cause/exceptions/0/stack",
        span(SERVER),
        &json!({}),
        &Value::Null,
    );
}

#[test]
fn causes_of_failed_attempts() {
    let failure = Event {
        name: "HTTP request failure".to_owned(),
        ..exception(&json!({"http.response.status_code": 503, "aws.http.error_message": "busy"}))
    };
    let of = |members: Value, event: &Event| Span {
        events: vec![event.clone()],
        ..below(span(CLIENT, &members))
    };
    let sdk = json!({"rpc.system": "aws-api"});
    let at = "/cause/exceptions/0/message";
    check_at(
        at,
        of(sdk.clone(), &failure),
        &json!({}),
        &json!("503@1700000000.500000@busy"),
    );
    let kind = "/cause/exceptions/0/type";
    check_at(
        kind,
        of(sdk.clone(), &failure),
        &json!({}),
        &json!("aws.http.error.event"),
    );
    check_at("/cause", of(json!({}), &failure), &json!({}), &Value::Null);
    let silent = Event {
        attributes: Vec::new(),
        ..failure
    };
    check_at("/cause", of(sdk, &silent), &json!({}), &Value::Null);
}

#[test]
fn causes_of_statuses() {
    let of = |members: Value, code, message: &str| Span {
        status: Some(Status {
            code,
            message: message.to_owned(),
        }),
        ..span(SERVER, &members)
    };
    let check = |span: Span, expected: Value| {
        check_at("/cause/exceptions/0/message", span, &json!({}), &expected);
    };
    let text = json!({"http.status_text": "Gone"});
    check(of(json!({}), 2, "bad"), json!("bad"));
    check(of(text.clone(), 2, "bad"), json!("bad"));
    check(of(text.clone(), 2, ""), json!("Gone"));
    check(of(text.clone(), 1, "bad"), Value::Null);
    check(of(json!({}), 2, ""), Value::Null);
    let shown = "/metadata/default/http.status_text";
    check_at(shown, of(text.clone(), 2, ""), &json!({}), &Value::Null);
    check_at(shown, of(text, 0, ""), &json!({}), &json!("Gone"));
}

#[test]
fn origins() {
    let check = |resource: Value, expected: Value| {
        check_at("/origin", span(SERVER, &json!({})), &resource, &expected);
    };
    for (platform, origin) in [
        ("aws_app_runner", "AWS::AppRunner::Service"),
        ("aws_eks", "AWS::EKS::Container"),
        (
            "aws_elastic_beanstalk",
            "AWS::ElasticBeanstalk::Environment",
        ),
        ("aws_ecs", "AWS::ECS::Container"),
        ("aws_ec2", "AWS::EC2::Instance"),
    ] {
        check(json!({"cloud.platform": platform}), json!(origin));
        check(
            json!({"cloud.platform": platform, "cloud.provider": "aws"}),
            json!(origin),
        );
        check(
            json!({"cloud.platform": platform, "cloud.provider": "gcp"}),
            Value::Null,
        );
    }
    check(
        json!({"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "ec2"}),
        json!("AWS::ECS::EC2"),
    );
    check(
        json!({"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "fargate"}),
        json!("AWS::ECS::Fargate"),
    );
    check(
        json!({"cloud.platform": "aws_ecs", "aws.ecs.launchtype": "?"}),
        json!("AWS::ECS::Container"),
    );
    check(json!({"cloud.platform": "gcp_app_engine"}), Value::Null);
    check(json!({"cloud.provider": "aws"}), Value::Null);
}

#[test]
fn http() {
    let check = |kind, members: Value, request: Value, response: Value| {
        let expected = json!({"request": request, "response": response});
        check_at("/http", below(span(kind, &members)), &json!({}), &expected);
    };
    check(
        SERVER,
        json!({
            "http.method": "GET", "http.scheme": "https", "http.host": "shop.com:8443", "http.target": "/a?b",
            "http.user_agent": "curl", "http.client_ip": "1.2.3.4", "http.status_code": 200, "net.host.port": 1,
        }),
        json!({
            "method": "GET", "url": "https://shop.com:8443/a?b", "user_agent": "curl", "client_ip": "1.2.3.4",
            "x_forwarded_for": true,
        }),
        json!({"status": 200, "content_length": 0}),
    );
    check(
        SERVER,
        json!({
            "http.request.method": "POST", "url.scheme": "https", "server.address": "shop.com", "server.port": 443,
            "url.path": "/a", "url.query": "b=c", "user_agent.original": "curl", "client.address": "1.2.3.4",
            "network.peer.address": "10.0.0.1", "http.response.status_code": 429, "http.response.body.size": 7,
        }),
        json!({"method": "POST", "url": "https://shop.com/a?b=c", "user_agent": "curl", "client_ip": "1.2.3.4"}),
        json!({"status": 429, "content_length": 7}),
    );
    let unknown = json!({"content_length": 0});
    let full = json!({"url.full": "https://a.b/c"});
    check(
        CLIENT,
        full,
        json!({"url": "https://a.b/c"}),
        unknown.clone(),
    );
    let peer = json!({"http.method": "GET", "net.peer.ip": "10.0.0.1"});
    let request = json!({"method": "GET", "client_ip": "10.0.0.1", "url": "http:///"});
    check(SERVER, peer, request, unknown.clone());
    let odd =
        json!({"http.method": "GET", "client.address": "/tmp/x", "network.peer.address": "?"});
    check(SERVER, odd, json!({"method": "GET"}), unknown.clone());
    check(SERVER, json!({"http.target": "/t"}), json!({}), unknown);
    let other = span(CLIENT, &json!({"net.peer.name": "a", "server.port": 1}));
    check_at("/http", other, &json!({}), &Value::Null);
}

#[test]
fn urls_are_put_together() {
    let check = |kind, members: Value, expected: Value| {
        let span = below(span(kind, &members));
        check_at("/http/request/url", span, &json!({}), &expected);
    };
    for (members, expected) in [
        (json!({"http.method": "GET"}), Value::Null),
        (
            json!({"http.scheme": "https", "http.host": "b", "net.peer.name": "a"}),
            json!("https://b/"),
        ),
        (
            json!({"http.method": "GET", "net.peer.name": "a", "net.peer.port": 8080}),
            json!("http://a:8080/"),
        ),
        (
            json!({"http.method": "GET", "net.peer.ip": "::1", "net.peer.port": "80"}),
            json!("http://[::1]/"),
        ),
        (
            json!({"url.scheme": "https", "server.address": "a", "server.port": 443, "url.path": "/x"}),
            json!("https://a/x"),
        ),
        (
            json!({"url.query": "?q", "server.address": "a", "network.peer.port": 81}),
            json!("http://a/?q"),
        ),
    ] {
        check(CLIENT, members, expected);
    }
    for (members, expected) in [
        (json!({"http.method": "GET"}), Value::Null),
        (
            json!({"http.method": "GET", "http.server_name": "a", "net.host.port": 8080}),
            json!("http://a:8080/"),
        ),
        (
            json!({"http.method": "GET", "net.host.name": "a", "host.name": "b"}),
            json!("http://a/"),
        ),
        (
            json!({"http.target": "/t", "host.name": "b"}),
            json!("http://b/t"),
        ),
        (
            json!({"url.path": "/t", "server.address": "::1", "server.port": 81}),
            json!("http://[::1]:81/t"),
        ),
        (
            json!({"http.target": "/t", "http.url": "u", "host.name": "b"}),
            json!("u"),
        ),
    ] {
        check(SERVER, members, expected);
    }
}

#[test]
fn urls_of_calls_have_the_port_of_their_host() {
    for (members, expected) in [
        (
            json!({"http.method": "GET", "server.address": "a", "server.port": 82,
                "network.peer.address": "10.0.0.1", "network.peer.port": 81}),
            json!("http://a:82/"),
        ),
        (
            json!({"http.method": "GET", "server.address": "a", "net.peer.port": 80, "server.port": 82}),
            json!("http://a/"),
        ),
        (
            json!({"http.method": "GET", "network.peer.address": "10.0.0.1", "network.peer.port": 81, "server.port": 82}),
            json!("http://10.0.0.1:81/"),
        ),
        (
            json!({"http.method": "GET", "network.peer.address": "fe80::1", "network.peer.port": 81}),
            json!("http://[fe80::1]:81/"),
        ),
        (
            json!({"http.method": "GET", "net.peer.ip": "10.0.0.1", "network.peer.port": 81}),
            json!("http://10.0.0.1:81/"),
        ),
        (
            json!({"http.method": "GET", "server.address": "2001:db8::1", "server.port": 8443, "url.scheme": "https"}),
            json!("https://[2001:db8::1]:8443/"),
        ),
        (
            json!({"http.method": "GET", "server.address": "[::1]", "server.port": 81}),
            json!("http://[::1]:81/"),
        ),
        (
            json!({"http.method": "GET", "http.host": "[::1]:81"}),
            json!("http://[::1]:81/"),
        ),
        (
            json!({"http.method": "GET", "http.host": "::1"}),
            json!("http://[::1]/"),
        ),
    ] {
        let span = below(span(CLIENT, &members));
        check_at("/http/request/url", span, &json!({}), &expected);
    }
}

#[test]
fn content_lengths() {
    let received = json!({"message.type": "RECEIVED", "messaging.message_payload_size_bytes": 12});
    let of_event = Span {
        events: vec![Event {
            attributes: attributes(&received),
            ..Event::default()
        }],
        ..span(SERVER, &json!({"http.method": "GET"}))
    };
    let at = "/http/response/content_length";
    check_at(at, of_event, &json!({}), &json!(12));
    for (members, expected) in [
        (
            json!({"http.method": "GET", "message.type": "RECEIVED", "messaging.message.body.size": 9}),
            9,
        ),
        (
            json!({"http.method": "GET", "message.type": "SENT", "messaging.message.body.size": 9}),
            0,
        ),
        (
            json!({"http.method": "GET", "http.response_content_length": "861"}),
            861,
        ),
        (
            json!({"http.method": "GET", "http.response.body.size": -1}),
            -1,
        ),
    ] {
        check_at(at, span(SERVER, &members), &json!({}), &json!(expected));
    }
}

#[test]
fn aws_of_resources() {
    let check = |resource: Value, expected: Value| {
        check_at("/aws", span(SERVER, &json!({})), &resource, &expected);
    };
    let xray = json!({"auto_instrumentation": false});
    check(
        json!({"cloud.account.id": "123", "cloud.availability_zone": "a", "host.id": "i-1", "host.type": "m5", "host.image.id": "ami-1"}),
        json!({"account_id": "123", "xray": xray, "ec2": {"instance_id": "i-1", "availability_zone": "a", "instance_size": "m5", "ami_id": "ami-1"}}),
    );
    check(
        json!({
            "cloud.provider": "aws", "cloud.platform": "aws_ecs", "container.name": "c", "container.id": "i",
            "aws.ecs.task.arn": "t", "aws.ecs.task.family": "f", "aws.ecs.cluster.arn": "k",
            "aws.ecs.container.arn": "n", "cloud.availability_zone": "z", "aws.ecs.launchtype": "ec2",
        }),
        json!({"xray": xray, "ecs": {
            "container": "c", "container_id": "i", "task_arn": "t", "task_family": "f", "cluster_arn": "k",
            "container_arn": "n", "availability_zone": "z", "launch_type": "ec2",
        }}),
    );
    check(
        json!({"k8s.cluster.name": "k", "k8s.pod.name": "p", "container.id": "c"}),
        json!({"xray": xray, "eks": {"cluster_name": "k", "pod": "p", "container_id": "c"}}),
    );
    check(
        json!({"cloud.platform": "aws_elastic_beanstalk", "service.namespace": "e", "service.version": "v", "service.instance.id": "23"}),
        json!({"xray": xray, "elastic_beanstalk": {"environment_name": "e", "version_label": "v", "deployment_id": 23}}),
    );
    check(
        json!({"telemetry.sdk.name": "opentelemetry", "telemetry.sdk.language": "java", "telemetry.sdk.version": "1.2", "telemetry.distro.version": "3"}),
        json!({"xray": {"sdk": "opentelemetry for java", "sdk_version": "1.2", "auto_instrumentation": true}}),
    );
    check(
        json!({"aws.log.group.arns": "arn:aws:logs:us-east-1:123:log-group:a&arn", "aws.log.group.names": ["b"]}),
        json!({"xray": xray, "cloudwatch_logs": [{"log_group": "a", "arn": "arn:aws:logs:us-east-1:123:log-group:a"}, {"log_group": "arn", "arn": "arn"}]}),
    );
    check(
        json!({"aws.log.group.names": ["b", "c"]}),
        json!({"xray": xray, "cloudwatch_logs": [{"log_group": "b"}, {"log_group": "c"}]}),
    );
    check(
        json!({"cloud.provider": "azure", "host.id": "x"}),
        Value::Null,
    );
    check_at(
        "/service",
        span(SERVER, &json!({})),
        &json!({"service.version": "1.0"}),
        &json!({"version": "1.0"}),
    );
    check_at(
        "/service",
        span(SERVER, &json!({})),
        &json!({"container.image.tag": "2"}),
        &json!({"version": "2"}),
    );
    let rules = Rules {
        log_groups: vec!["mine".to_owned()],
        ..Rules::default()
    };
    let of_rules = documents(&request(span(SERVER, &json!({})), &json!({})), &rules);
    assert_eq!(
        of_rules[0]["aws"]["cloudwatch_logs"],
        json!([{"log_group": "mine"}])
    );
}

#[test]
fn aws_of_calls() {
    let check = |members: Value, member: &str, expected: Value| {
        let span = below(span(CLIENT, &members));
        check_at(
            &format!("/aws/{member}"),
            span,
            &json!({"cloud.account.id": "0"}),
            &expected,
        );
    };
    check(
        json!({"aws.operation": "PutItem", "rpc.method": "x"}),
        "operation",
        json!("PutItem"),
    );
    check(
        json!({"rpc.method": "PutItem"}),
        "operation",
        json!("PutItem"),
    );
    check(json!({}), "account_id", json!("0"));
    check(json!({"aws.account_id": "1"}), "account_id", json!("1"));
    check(
        json!({"aws.region": "eu-west-1"}),
        "region",
        json!("eu-west-1"),
    );
    check(json!({"aws.request_id": "r"}), "request_id", json!("r"));
    check(json!({"aws.requestId": "r"}), "request_id", json!("r"));
    for key in [
        "messaging.url",
        "aws.sqs.queue.url",
        "aws.queue_url",
        "aws.queue.url",
    ] {
        check(json!({key: "q"}), "queue_url", json!("q"));
    }
    for key in [
        "aws.table_name",
        "aws.table.name",
        "aws.dynamodb.table_names",
    ] {
        check(json!({key: "t"}), "table_name", json!("t"));
    }
    check(
        json!({"aws.dynamodb.table_names": ["t"]}),
        "table_name",
        json!("t"),
    );
    let two = json!({"aws.dynamodb.table_names": ["t", "u"], "aws.table_name": "t"});
    check(two.clone(), "table_names", json!(["t", "u"]));
    check(two, "table_name", Value::Null);
    check(
        json!({"aws.dynamodb.table_names": [], "aws.table_name": "t"}),
        "table_name",
        json!("t"),
    );
}

#[test]
fn sql() {
    let check = |members: Value, expected: Value| {
        check_at("/sql", below(span(CLIENT, &members)), &json!({}), &expected);
    };
    check(
        json!({"db.system": "mysql", "db.connection_string": "jdbc:mysql://db:3306", "db.name": "orders", "db.user": "me", "db.statement": "SELECT ?"}),
        json!({"url": "GET /{id}", "connection_string": "jdbc:mysql://db:3306/orders", "database_type": "mysql", "user": "me", "sanitized_query": "SELECT ?"}),
    );
    check(
        json!({"db.system.name": "postgresql", "db.namespace": "orders", "db.query.text": "SELECT ?"}),
        json!({"url": "GET /{id}", "connection_string": "localhost/orders", "database_type": "postgresql", "sanitized_query": "SELECT ?"}),
    );
    check(
        json!({"db.system": "redis", "db.statement": "GET a"}),
        Value::Null,
    );
    let redis = below(span(CLIENT, &json!({"db.system": "redis"})));
    check_at(
        "/metadata/default",
        redis,
        &json!({}),
        &json!({"db.system": "redis"}),
    );
}

#[test]
fn users_and_links() {
    check_at(
        "/user",
        span(SERVER, &json!({"enduser.id": "me"})),
        &json!({}),
        &json!("me"),
    );
    let link = |trace_id: Vec<u8>| Link {
        trace_id,
        span_id: vec![2; 8],
        trace_state: "a=b".to_owned(),
        attributes: attributes(&json!({"k": 1, "b": {"bytesValue": "AQ=="}})),
        flags: 1,
        ..Link::default()
    };
    let linked = Span {
        links: vec![link(vec![1; 16]), link(vec![0; 16])],
        ..span(SERVER, &json!({}))
    };
    let shown = json!([{"trace_id": "1-01010101-010101010101010101010101", "id": "0202020202020202", "attributes": {"k": 1, "b": "AQ=="}}]);
    check_at("/links", linked.clone(), &json!({}), &shown);
    let kept = |trace_id: &str| {
        json!({
            "traceId": trace_id.repeat(16), "spanId": "0202020202020202", "traceState": "a=b", "flags": 1,
            "attributes": {"k": 1, "b": {"bytesValue": "AQ=="}},
        })
    };
    check_at(
        "/metadata/otel.span/links",
        linked,
        &json!({}),
        &json!([kept("01"), kept("00")]),
    );
}

/// What annotations, `default` and the kept attributes are to be.
struct Placed {
    annotations: Value,
    default: Value,
    kept: Value,
}

fn check_placed(rules: &Rules, span: Span, expected: &Placed) {
    let resource = json!({"service.name": "shop", "list": [1]});
    let document = documents(&request(span, &resource), rules).remove(0);
    let found = |place| {
        document
            .pointer(place)
            .cloned()
            .unwrap_or_else(|| json!({}))
    };
    assert_eq!(found("/annotations"), expected.annotations);
    assert_eq!(found("/metadata/default"), expected.default);
    assert_eq!(found("/metadata/otel.span/attributes"), expected.kept);
    assert_eq!(found("/metadata/otel.span/resource/attributes"), resource);
}

/// Returns attributes of every type, and where they are without rules.
fn of_every_type() -> (Value, Placed) {
    let members = json!({
        "text": "a", "two words": 1, "flag": true, "ratio": 0.5, "list": ["x"], "map": {"k": null}, "none": null,
        "bytes": {"bytesValue": "AQ=="}, "http.method": "GET", "nan": {"doubleValue": "NaN"},
    });
    let placed = Placed {
        annotations: json!({}),
        default: json!({
            "text": "a", "two words": 1, "flag": true, "ratio": 0.5, "list": ["x"], "map": {"k": null},
            "bytes": "AQ==", "nan": "NaN",
        }),
        kept: json!({
            "http.method": "GET", "none": null, "bytes": {"bytesValue": "AQ=="}, "nan": {"doubleValue": "NaN"},
        }),
    };
    (members, placed)
}

#[test]
fn attributes_without_a_member_are_metadata() {
    let (members, mut expected) = of_every_type();
    let rules = Rules::default();
    check_placed(&rules, below(span(CLIENT, &members)), &expected);
    expected.default["otel.resource.service.name"] = json!("shop");
    expected.default["otel.resource.list"] = json!([1]);
    check_placed(&rules, span(CLIENT, &members), &expected);
}

#[test]
fn attributes_that_are_named_are_annotations() {
    let (mut members, mut expected) = of_every_type();
    let named = ["two words", "http.method", "list", "absent"].map(str::to_owned);
    let rules = Rules {
        indexed_attributes: named.to_vec(),
        ..Rules::default()
    };
    expected.annotations = json!({"two_words": 1, "http.method": "GET"});
    expected
        .default
        .as_object_mut()
        .unwrap()
        .remove("two words");
    expected.kept["two words"] = json!(1);
    check_placed(&rules, below(span(CLIENT, &members)), &expected);
    let list = json!(["two words", "http.method", "list", 7, "absent"]);
    members["aws.xray.annotations"] = list.clone();
    expected.kept["aws.xray.annotations"] = list;
    check_placed(&Rules::default(), below(span(CLIENT, &members)), &expected);
}

#[test]
fn attributes_of_resources_are_named_by_their_prefix() {
    let rules = Rules {
        indexed_attributes: vec!["otel.resource.service.name".to_owned()],
        ..Rules::default()
    };
    let expected = Placed {
        annotations: json!({"otel.resource.service.name": "shop"}),
        default: json!({"otel.resource.list": [1]}),
        kept: json!({}),
    };
    check_placed(&rules, span(CLIENT, &json!({})), &expected);
}

#[test]
fn all_attributes_are_annotations() {
    let (members, mut expected) = of_every_type();
    let rules = Rules {
        index_all_attributes: true,
        ..Rules::default()
    };
    expected.annotations = json!({
        "text": "a", "two_words": 1, "flag": true, "ratio": 0.5, "otel.resource.service.name": "shop",
    });
    expected.default = json!({
        "list": ["x"], "map": {"k": null}, "bytes": "AQ==", "nan": "NaN", "otel.resource.list": [1],
    });
    for (key, value) in [
        ("text", json!("a")),
        ("two words", json!(1)),
        ("flag", json!(true)),
        ("ratio", json!(0.5)),
    ] {
        expected.kept[key] = value;
    }
    check_placed(&rules, span(SERVER, &members), &expected);
}

#[test]
fn metadata_in_json() {
    let members = json!({
        "aws.xray.metadata.http": "{\"n\": 1.10}", "aws.xray.metadata.Default": "{\"a\":1,\"b\":2}", "a": "x",
        "aws.xray.metadata.plain": "text", "aws.xray.metadata.list": "[1]", "aws.xray.metadata.otel.span": "{}",
        "otel.resource.k": "v",
    });
    let resource = json!({"k": "w"});
    let span = span(SERVER, &members);
    let translated = translated(&request(span.clone(), &resource), &Rules::default());
    assert!(
        translated.documents[0]
            .text
            .contains(r#""http":{"n": 1.10}"#)
    );
    let metadata = document(span, &resource)["metadata"].clone();
    let default = json!({
        "a": "x", "b": 2, "aws.xray.metadata.plain": "text", "aws.xray.metadata.list": "[1]",
        "aws.xray.metadata.otel.span": "{}", "otel.resource.k": "v",
    });
    assert_eq!(metadata["default"], default);
    assert_eq!(
        metadata["otel.span"]["attributes"], members,
        "all are kept beside mixed ones"
    );

    let deep = format!("{{\"a\":{}{}}}", "[".repeat(110), "]".repeat(110));
    let lone = "{\"a\":\"\\ud800\"}";
    for text in [&deep[..], lone] {
        let members = json!({"aws.xray.metadata.x": text});
        let document = document(span_of(SERVER, &members), &json!({}));
        assert_eq!(document["metadata"]["default"], members, "stays text");
    }
}

#[test]
fn what_no_member_says_is_kept() {
    let event = Event {
        name: "cache miss".to_owned(),
        dropped_attributes_count: 4,
        ..exception(&json!({"k": [1, 1.0]}))
    };
    let span = Span {
        trace_state: "a=b".to_owned(),
        flags: 257,
        status: Some(Status {
            code: 1,
            message: "fine".to_owned(),
        }),
        events: vec![event],
        dropped_attributes_count: 1,
        dropped_events_count: 2,
        dropped_links_count: 3,
        ..below(span_of(PRODUCER, &json!({})))
    };
    let expected = json!({
        "kind": "PRODUCER", "name": "GET /{id}", "traceState": "a=b", "flags": 257,
        "status": {"code": "OK", "message": "fine"},
        "events": [{
            "name": "cache miss", "timeUnixNano": "1700000000500000999", "droppedAttributesCount": 4,
            "attributes": {"k": [1, 1.0]},
        }],
        "droppedAttributesCount": 1, "droppedEventsCount": 2, "droppedLinksCount": 3,
    });
    check_at("/metadata/otel.span", span, &json!({}), &expected);
    let unknown = Span {
        kind: 9,
        name: "n".to_owned(),
        status: Some(Status {
            code: 7,
            ..Status::default()
        }),
        ..span_of(9, &json!({}))
    };
    let expected = json!({"kind": 9, "status": {"code": 7}});
    check_at("/metadata/otel.span", unknown, &json!({}), &expected);
}
