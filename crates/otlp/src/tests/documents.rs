//! Made-up documents: every member of the schema, in forms clients send and in forms nobody should.

use std::collections::BTreeMap;

use model::{DocumentLimits, Segment};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::strategy::Union;

/// A segment or subsegment: members but for its place in the trace, and the JSON of each.
type Members = BTreeMap<&'static str, String>;

/// Returns documents of the trace `trace_id`: segments, subsegments sent alone and subsegments nested in
/// either, whose parents may be anything or nothing. Every id occurs once, and every document is one a server takes.
pub(super) fn documents(trace_id: &'static str) -> impl Strategy<Value = Vec<String>> {
    let parts = vec((members(), 0..9_usize, 0..3_u8), 1..8);
    parts.prop_map(move |parts| {
        let mut texts = written(trace_id, &parts);
        texts.retain(|text| Segment::parse(text, &DocumentLimits::default()).is_ok());
        texts
    })
}

fn written(trace_id: &str, parts: &[(Members, usize, u8)]) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut below: Vec<Vec<String>> = vec![Vec::new(); parts.len()];
    // What is nested in a part comes after it, so it is written before it.
    for (idx, (members, parent, kind)) in parts.iter().enumerate().rev() {
        let mut written = vec![format!("\"id\":\"{:016x}\"", idx + 1)];
        let named = members.iter();
        written.extend(named.map(|(name, json)| format!("\"{name}\":{json}")));
        if !below[idx].is_empty() {
            written.push(format!("\"subsegments\":[{}]", below[idx].join(" , ")));
        }
        let is_nested = *kind == 0 && *parent < idx;
        if is_nested {
            below[*parent].insert(0, format!("{{{}}}", written.join(",")));
            continue;
        }
        written.push(format!("\"trace_id\":\"{trace_id}\""));
        if *kind == 1 {
            written.push("\"type\":\"subsegment\"".to_owned());
        }
        if *kind == 1 || *parent > 0 {
            written.push(format!("\"parent_id\":\"{parent:016x}\""));
        }
        texts.push(format!("{{{}}}", written.join(",")));
    }
    texts
}

fn members() -> impl Strategy<Value = Members> {
    let times = (name(), time(), time(), 0..4_u8);
    let blocks = vec(option::weighted(0.4, Just(())), MEMBERS.len());
    let values = MEMBERS.iter().map(|name| member(name)).collect::<Vec<_>>();
    (times, blocks, values).prop_map(|((name, start, end, progress), is_there, values)| {
        let named = MEMBERS.iter().copied().zip(values).zip(is_there);
        let named = named.filter_map(|(member, is_there)| is_there.map(|()| member));
        let mut members: Members = named.collect();
        members.insert("name", name);
        members.insert("start_time", start);
        if progress != 1 {
            members.insert("end_time", end);
        }
        match progress {
            0 | 1 => members.insert("in_progress", "true".to_owned()),
            2 => members.insert("in_progress", "false".to_owned()),
            _ => None,
        };
        members
    })
}

/// Members that may be there and may be of any type.
const MEMBERS: [&str; 19] = [
    "http",
    "aws",
    "service",
    "sql",
    "error",
    "fault",
    "throttle",
    "cause",
    "annotations",
    "metadata",
    "precursor_ids",
    "links",
    "user",
    "origin",
    "resource_arn",
    "namespace",
    "traced",
    "inferred",
    "Dummy",
];

/// Returns a value for a member: most often one the schema has in mind.
fn member(name: &str) -> BoxedStrategy<String> {
    let usual = match name {
        "http" => http(),
        "aws" => aws(),
        "service" => object(&["version", "runtime", "runtime_version", "compiler"]),
        "sql" => sql(),
        "error" | "fault" | "throttle" | "traced" => boolean(),
        "cause" => cause(),
        "annotations" => {
            return btree_map(key(), scalar(), 0..4)
                .prop_map(|it| braces(&it))
                .boxed();
        }
        "metadata" => btree_map(namespace(), btree_map(key(), json(), 0..3), 0..3)
            .prop_map(|it| {
                braces(
                    &it.iter()
                        .map(|(key, it)| (key.clone(), braces(it)))
                        .collect(),
                )
            })
            .boxed(),
        "links" => vec(link(), 0..3).prop_map(|it| brackets(&it)).boxed(),
        "namespace" => one_of(&["\"aws\"", "\"remote\"", "\"local\"", "\"\""]),
        "origin" => one_of(&[
            "\"AWS::EC2::Instance\"",
            "\"AWS::ECS::Fargate\"",
            "\"AWS::ECS::Container\"",
            "\"AWS::EKS::Container\"",
            "\"AWS::ElasticBeanstalk::Environment\"",
            "\"AWS::Lambda\"",
            "\"other\"",
        ]),
        _ => text(),
    };
    prop_oneof![8 => usual, 1 => json()].boxed()
}

fn http() -> BoxedStrategy<String> {
    let request = object(&[
        "method",
        "url",
        "user_agent",
        "client_ip",
        "x_forwarded_for",
    ]);
    let status = one_of(&["200", "404", "429", "500", "200.0", "\"503\"", "-1", "null"]);
    let response = (status, integer())
        .prop_map(|(status, length)| format!(r#"{{"status":{status},"content_length":{length}}}"#));
    let parts = (option::of(request), option::of(response));
    parts
        .prop_map(|(request, response)| {
            let request = request.map(|json| ("request".to_owned(), json));
            let response = response.map(|json| ("response".to_owned(), json));
            braces(&request.into_iter().chain(response).collect())
        })
        .boxed()
}

fn aws() -> BoxedStrategy<String> {
    let members: Vec<BoxedStrategy<(String, String)>> = [
        ("account_id", text()),
        ("operation", text()),
        ("region", text()),
        ("request_id", text()),
        ("queue_url", text()),
        ("table_name", text()),
        (
            "table_names",
            vec(text(), 0..3).prop_map(|it| brackets(&it)).boxed(),
        ),
        ("retries", integer()),
        (
            "ec2",
            object(&[
                "instance_id",
                "availability_zone",
                "instance_size",
                "ami_id",
            ]),
        ),
        (
            "ecs",
            object(&[
                "container",
                "container_id",
                "container_arn",
                "task_family",
                "launch_type",
            ]),
        ),
        ("eks", object(&["cluster_name", "pod", "container_id"])),
        (
            "elastic_beanstalk",
            object(&["environment_name", "version_label", "deployment_id"]),
        ),
        (
            "cloudwatch_logs",
            vec(object(&["log_group", "arn"]), 0..3)
                .prop_map(|it| brackets(&it))
                .boxed(),
        ),
        ("xray", sdk()),
    ]
    .into_iter()
    .map(|(name, json)| (Just(name.to_owned()), json).boxed())
    .collect();
    vec(Union::new(members), 0..5)
        .prop_map(|it| braces(&it.into_iter().collect()))
        .boxed()
}

fn sdk() -> BoxedStrategy<String> {
    let sdk = one_of(&[
        "\"X-Ray for Go\"",
        "\"X-Ray SDK for Java\"",
        "\"opentelemetry for python\"",
        "\"x\"",
    ]);
    (sdk, text(), option::of(boolean()))
        .prop_map(|(sdk, version, auto)| {
            let auto = auto.map_or(String::new(), |auto| {
                format!(",\"auto_instrumentation\":{auto}")
            });
            format!(r#"{{"sdk":{sdk},"sdk_version":{version}{auto}}}"#)
        })
        .boxed()
}

fn sql() -> BoxedStrategy<String> {
    let kinds = one_of(&[
        "\"mysql\"",
        "\"postgresql\"",
        "\"mongodb\"",
        "\"PostgreSQL\"",
    ]);
    let rest = object(&[
        "connection_string",
        "url",
        "sanitized_query",
        "user",
        "preparation",
    ]);
    (kinds, rest)
        .prop_map(|(kind, rest)| {
            format!(
                r#"{{"database_type":{kind},{}"#,
                rest.strip_prefix('{').unwrap_or("}")
            )
        })
        .prop_map(|it| it.replace(",}", "}"))
        .boxed()
}

fn cause() -> BoxedStrategy<String> {
    let frame = (text(), integer(), text()).prop_map(|(path, line, label)| {
        format!(r#"{{"path":{path},"line":{line},"label":{label}}}"#)
    });
    let stack = vec(frame, 0..3).prop_map(|it| brackets(&it));
    let exception = (text(), text(), option::of(stack), boolean()).prop_map(|(name, message, stack, remote)| {
        let stack = stack.map_or(String::new(), |stack| format!(",\"stack\":{stack}"));
        format!(r#"{{"id":"00000000000000ff","type":{name},"message":{message},"remote":{remote}{stack}}}"#)
    });
    let object = (vec(exception, 0..3), text()).prop_map(|(it, path)| {
        format!(
            r#"{{"exceptions":{},"working_directory":{path}}}"#,
            brackets(&it)
        )
    });
    prop_oneof![4 => object, 1 => Just("\"4fe5fa0ee5f4c9b3\"".to_owned())].boxed()
}

fn link() -> BoxedStrategy<String> {
    let ids = one_of(&[
        r#""trace_id":"1-581cf771-a006649127e371903a2de979","id":"70de5b6f19ff9a0b""#,
        r#""trace_id":"581CF771a006649127e371903a2de979","id":"70DE5B6F19FF9A0B""#,
        r#""trace_id":"x","id":1"#,
    ]);
    let attributes = option::of(btree_map(key(), json(), 0..3));
    (ids, attributes)
        .prop_map(|(ids, attributes)| {
            let attributes = attributes.map_or(String::new(), |it| {
                format!(",\"attributes\":{}", braces(&it))
            });
            format!("{{{ids}{attributes}}}")
        })
        .boxed()
}

/// Returns objects that have some of some members, most often texts.
fn object(names: &'static [&'static str]) -> BoxedStrategy<String> {
    let name = (0..names.len()).prop_map(|idx| names[idx].to_owned());
    let value = prop_oneof![6 => text(), 1 => integer(), 1 => json()];
    btree_map(name, value, 0..=names.len())
        .prop_map(|it| braces(&it))
        .boxed()
}

fn name() -> BoxedStrategy<String> {
    prop_oneof![
        one_of(&[
            "\"shop\"",
            "\"DynamoDB\"",
            "\"db@host.example\"",
            "\"a\\\\b\"",
            "\"zo\u{eb} \u{661}\u{a0}\""
        ]),
        "[a-zA-Z0-9 _.:/%&#=+@-]{1,12}".prop_map(|name| format!("\"{name}\"")),
    ]
    .boxed()
}

fn time() -> BoxedStrategy<String> {
    let whole = 0..4_000_000_000_u64;
    prop_oneof![
        (whole.clone(), 0..1_000_000_000_u32)
            .prop_map(|(secs, nanos)| format!("{secs}.{nanos:09}")),
        whole.clone().prop_map(|secs| secs.to_string()),
        whole.prop_map(|secs| format!("{}.{:010}E10", secs / 7_000_000_000, secs)),
        Just("0".to_owned()),
    ]
    .boxed()
}

fn integer() -> BoxedStrategy<String> {
    prop_oneof![
        any::<i64>().prop_map(|it| it.to_string()),
        (-1..600_i64).prop_map(|it| it.to_string())
    ]
    .boxed()
}

fn boolean() -> BoxedStrategy<String> {
    any::<bool>().prop_map(|it| it.to_string()).boxed()
}

fn text() -> BoxedStrategy<String> {
    let plain = "[ -~]{0,8}".prop_map(|it: String| serde_json::Value::from(it).to_string());
    let wild = "\\PC{0,4}".prop_map(|it: String| serde_json::Value::from(it).to_string());
    let odd = one_of(&[
        "\"\\u0041\\n\"",
        "\"\\ud800\"",
        "\"a/b\"",
        "\"localhost/\"",
        "\"::1\"",
        "\"10.0.0.1\"",
        "\"\"",
    ]);
    prop_oneof![4 => plain, 1 => wild, 1 => odd].boxed()
}

fn scalar() -> BoxedStrategy<String> {
    prop_oneof![text(), number(), boolean()].boxed()
}

fn number() -> BoxedStrategy<String> {
    let odd = one_of(&[
        "-0",
        "1.50",
        "1e5",
        "12345678901234567890",
        "0.1",
        "1E-7",
        "1e400",
        "0.30000000000000004",
    ]);
    let double = any::<f64>().prop_filter("JSON has no other ones", |it| it.is_finite());
    prop_oneof![
        integer(),
        odd,
        double.prop_map(|it| serde_json::json!(it).to_string())
    ]
    .boxed()
}

/// Returns keys of annotations, of metadata and of attributes: some mean something to the exporter.
fn key() -> BoxedStrategy<String> {
    let known = one_of(&[
        "http.method",
        "http.request.method",
        "http.response.status_code",
        "http.client_ip",
        "rpc.system",
        "peer.service",
        "db.system",
        "aws.span.kind",
        "aws.local.service",
        "aws.remote.service",
        "aws.xray.annotations",
        "aws.xray.metadata.x",
        "aws.xray.document.user",
        "aws.xray.document.without",
        "otel.resource.service.name",
        "otel.resource.x",
        "enduser.id",
        "Kind",
        "a:b",
    ]);
    prop_oneof![3 => "[a-zA-Z0-9_.]{0,6}", 2 => known].boxed()
}

fn namespace() -> BoxedStrategy<String> {
    prop_oneof![
        one_of(&["default", "Default", "otel.span", "", "x"]),
        "[a-z.]{1,4}"
    ]
    .boxed()
}

/// Returns any JSON, spelled as it need not be.
fn json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![scalar(), Just("null".to_owned())];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(|it| brackets(&it)),
            vec((key(), inner), 0..3).prop_map(|it| {
                let members = it
                    .iter()
                    .map(|(key, json)| format!("{} : {json}", serde_json::json!(key)));
                format!("{{ {} }}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
    .boxed()
}

fn one_of(texts: &[&'static str]) -> BoxedStrategy<String> {
    proptest::sample::select(texts.to_vec())
        .prop_map(str::to_owned)
        .boxed()
}

fn braces(members: &BTreeMap<String, String>) -> String {
    let members = members
        .iter()
        .map(|(key, json)| format!("{}:{json}", serde_json::json!(key)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

fn brackets(elements: &[String]) -> String {
    format!("[{}]", elements.join(","))
}
