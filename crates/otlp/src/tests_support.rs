//! Requests for tests: any that can be, and ones with the attributes this crate knows.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Keys the translation knows, in spans, events and resources.
pub(crate) const KNOWN: &[&str] = &[
    "aws.account_id",
    "aws.dynamodb.table_names",
    "aws.local.service",
    "aws.log.group.arns",
    "aws.log.group.names",
    "aws.operation",
    "aws.region",
    "aws.remote.service",
    "aws.request_id",
    "aws.service",
    "aws.span.kind",
    "aws.table_name",
    "aws.xray.annotations",
    "aws.xray.document.user",
    "aws.xray.document.without",
    "aws.xray.metadata.default",
    "aws.xray.metadata.http",
    "aws.xray.metadata.otel.span",
    "client.address",
    "cloud.platform",
    "cloud.provider",
    "cloud.region",
    "container.id",
    "db.connection_string",
    "db.name",
    "db.namespace",
    "db.statement",
    "db.system",
    "enduser.id",
    "exception.message",
    "exception.stacktrace",
    "exception.type",
    "host.id",
    "http.client_ip",
    "http.host",
    "http.method",
    "http.request.method",
    "http.response.status_code",
    "http.status_code",
    "http.status_text",
    "http.target",
    "http.url",
    "k8s.cluster.name",
    "message.type",
    "messaging.url",
    "net.peer.ip",
    "net.peer.name",
    "net.peer.port",
    "network.peer.address",
    "network.peer.port",
    "otel.resource.service.name",
    "peer.service",
    "rpc.method",
    "rpc.service",
    "rpc.system",
    "rpc.system.name",
    "server.address",
    "server.port",
    "service.instance.id",
    "service.name",
    "service.peer.name",
    "service.version",
    "telemetry.sdk.language",
    "telemetry.sdk.name",
    "url.full",
    "url.path",
    "url.query",
];

/// Values that mean something.
const TELLING: &[&str] = &[
    "LOCAL_ROOT",
    "aws",
    "aws-api",
    "aws_ec2",
    "aws_ecs",
    "aws_eks",
    "aws_elastic_beanstalk",
    "java",
    "python",
    "nodejs",
    "dotnet",
    "go",
    "mysql",
    "10.0.0.1",
    "{\"a\":1.10,\"b\":[{}]}",
    "{",
    "500",
    "RECEIVED",
    "jdbc:mysql://db:3306/x",
    "E\n\tat a.b(C.java:1)\nCaused by: X: y\n\tat c.d(E.java:2)",
    "T\n  File \"a.py\", line 1, in f\nX: y\n\nDuring handling of the above exception, another exception occurred:\n\n  File \"b.py\", line 2, in g\nZ",
];

pub(crate) fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    vec(resource_spans(), 0..3)
        .prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    let entity = (text(), text(), vec(text(), 0..2), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    );
    let resource = (attributes(), 0..3_u32, vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    );
    (option::of(resource), vec(scope_spans(), 0..3), text()).prop_map(
        |(resource, scope_spans, schema_url)| ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        },
    )
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    let scope = (text(), text(), attributes(), 0..3_u32).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    );
    (option::of(scope), vec(span(), 0..3), text()).prop_map(|(scope, spans, schema_url)| {
        ScopeSpans {
            scope,
            spans,
            schema_url,
        }
    })
}

/// Returns spans; most have ids that are taken.
pub(crate) fn span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), prop_oneof![Just(Vec::new()), id(8)]);
    let times = prop_oneof![
        (any::<u64>(), any::<u64>()),
        (
            1_700_000_000_000_000_000..1_700_000_001_000_000_000_u64,
            Just(0)
        ),
    ];
    let status = (text(), -1..4_i32).prop_map(|(message, code)| Status { message, code });
    let counts = (0..3_u32, 0..3_u32, 0..3_u32);
    let lists = (attributes(), vec(event(), 0..3), vec(link(), 0..3));
    (
        ids,
        (text(), text(), any::<u32>(), -1..8_i32),
        times,
        lists,
        counts,
        option::of(status),
    )
        .prop_map(
            |(ids, (name, trace_state, flags, kind), times, lists, counts, status)| Span {
                trace_id: ids.0,
                span_id: ids.1,
                parent_span_id: ids.2,
                name,
                trace_state,
                flags,
                kind,
                start_time_unix_nano: times.0,
                end_time_unix_nano: times.1,
                attributes: lists.0,
                events: lists.1,
                links: lists.2,
                dropped_attributes_count: counts.0,
                dropped_events_count: counts.1,
                dropped_links_count: counts.2,
                status,
            },
        )
}

fn event() -> impl Strategy<Value = Event> {
    let name = prop_oneof![
        Just("exception".to_owned()),
        Just("HTTP request failure".to_owned()),
        text()
    ];
    (any::<u64>(), name, attributes(), 0..3_u32).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (id(16), id(8), text(), attributes(), 0..3_u32, any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

/// Returns ids of a length; a few are of another one, or zero.
fn id(n_bytes: usize) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        12 => vec(any::<u8>(), n_bytes),
        1 => vec(any::<u8>(), 0..20),
        1 => Just(vec![0; n_bytes]),
    ]
}

/// Returns attributes, each key once.
fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let key = prop_oneof![
        3 => prop::sample::select(KNOWN).prop_map(str::to_owned),
        1 => text(),
    ];
    prop::collection::btree_map(key, value(), 0..8).prop_map(|members| {
        let members = members.into_iter();
        members.map(|(key, value)| key_value(key, value)).collect()
    })
}

fn key_value(key: String, value: Value) -> KeyValue {
    KeyValue {
        key,
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => prop::sample::select(TELLING).prop_map(|text| Value::StringValue(text.to_owned())),
        2 => text().prop_map(Value::StringValue),
        1 => any::<bool>().prop_map(Value::BoolValue),
        2 => any::<i64>().prop_map(Value::IntValue),
        1 => (0..600_i64).prop_map(Value::IntValue),
        2 => any::<f64>().prop_filter("a number", |double| double.is_finite()).prop_map(Value::DoubleValue),
        1 => vec(any::<u8>(), 0..5).prop_map(Value::BytesValue),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let any_value = inner.prop_map(|value| AnyValue { value: Some(value) });
        let keys = prop_oneof![
            text(),
            Just("bytesValue".to_owned()),
            Just("kvlistValue".to_owned())
        ];
        let members = prop::collection::btree_map(keys, any_value.clone(), 0..3);
        prop_oneof![
            vec(any_value, 0..4).prop_map(|values| Value::ArrayValue(ArrayValue { values })),
            members.prop_map(|members| {
                let members = members.into_iter();
                let members = members.map(|(key, value)| KeyValue {
                    key,
                    value: Some(value),
                    ..KeyValue::default()
                });
                Value::KvlistValue(KeyValueList {
                    values: members.collect(),
                })
            }),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z.]{1,8}",
        "\\PC{0,12}",
        "[\\x00-\\x7f]{0,12}"
    ]
}
