//! Made-up requests: spans with and without attributes that mean something to the exporter.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Returns requests of one trace, whose spans all have other ids.
pub(super) fn requests() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope_spans = (option::of(scope()), vec(span(), 1..4), text());
    let scope_spans = scope_spans.prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    });
    let resource_spans = (option::of(resource()), vec(scope_spans, 1..3), text());
    let resource_spans =
        resource_spans.prop_map(|(resource, scope_spans, schema_url)| ResourceSpans {
            resource,
            scope_spans,
            schema_url,
        });
    vec(resource_spans, 1..3).prop_map(|resource_spans| {
        let mut request = ExportTraceServiceRequest { resource_spans };
        let groups = request
            .resource_spans
            .iter_mut()
            .flat_map(|group| &mut group.scope_spans);
        for (id, span) in (1_u64..).zip(groups.flat_map(|group| &mut group.spans)) {
            span.span_id = id.to_be_bytes().to_vec();
        }
        request
    })
}

fn span() -> impl Strategy<Value = Span> {
    let place = (option::of(1..12_u64), 0..=5_i32, 0..=2_i32, text());
    let times = (time(), prop_oneof![4 => time(), 1 => Just(0)]);
    let counts = (count(), count(), count(), any::<u32>());
    let parts = (
        attributes(),
        vec(event(), 0..3),
        vec(link(), 0..3),
        option::of(text()),
    );
    (place, times, counts, parts, name()).prop_map(|(place, times, counts, parts, name)| {
        let (parent, kind, code, trace_state) = place;
        let (attributes, events, links, message) = parts;
        Span {
            trace_id: TRACE_ID.to_vec(),
            span_id: Vec::new(),
            trace_state,
            parent_span_id: parent
                .map(|id| id.to_be_bytes().to_vec())
                .unwrap_or_default(),
            flags: counts.3,
            name,
            kind,
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes,
            dropped_attributes_count: counts.0,
            events,
            dropped_events_count: counts.1,
            links,
            dropped_links_count: counts.2,
            status: message.map(|message| Status { message, code }),
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    let name = prop_oneof![
        3 => Just("exception".to_owned()),
        1 => Just("HTTP request failure".to_owned()),
        1 => text(),
    ];
    let keys = prop_oneof![
        Just("exception.type"),
        Just("exception.message"),
        Just("exception.stacktrace"),
        Just("exception.escaped"),
        Just("http.response.status_code"),
        Just("aws.http.error_message"),
        Just("message.type"),
    ];
    let known = btree_map(keys.prop_map(str::to_owned), value(), 0..4).prop_map(key_values);
    (name, time(), prop_oneof![known, attributes()], count()).prop_map(
        |(name, time, attributes, n_dropped)| Event {
            time_unix_nano: time,
            name,
            attributes,
            dropped_attributes_count: n_dropped,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (
        any::<u128>(),
        any::<u64>(),
        text(),
        attributes(),
        count(),
        any::<u32>(),
    )
        .prop_map(
            |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
                trace_id: trace_id.to_be_bytes().to_vec(),
                span_id: span_id.to_be_bytes().to_vec(),
                trace_state,
                attributes,
                dropped_attributes_count,
                flags,
            },
        )
}

fn resource() -> impl Strategy<Value = Resource> {
    let keys = prop_oneof![
        select(RESOURCE_KEYS.to_vec()).prop_map(str::to_owned),
        "[a-z.]{0,4}"
    ];
    let entity =
        (text(), text(), vec(text(), 0..2)).prop_map(|(schema_url, name, id_keys)| EntityRef {
            schema_url,
            r#type: name,
            id_keys: id_keys.clone(),
            description_keys: id_keys,
        });
    let attributes = btree_map(keys, value(), 0..8).prop_map(key_values);
    (attributes, count(), vec(entity, 0..2)).prop_map(
        |(attributes, dropped_attributes_count, entity_refs)| Resource {
            attributes,
            dropped_attributes_count,
            entity_refs,
        },
    )
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (text(), text(), attributes(), count()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let keys = prop_oneof![4 => select(KEYS.to_vec()).prop_map(str::to_owned), 1 => "[a-z._ ]{0,4}", 1 => text()];
    btree_map(keys, value(), 0..8).prop_map(key_values)
}

fn key_values(members: BTreeMap<String, AnyValue>) -> Vec<KeyValue> {
    let members = members.into_iter().map(|(key, value)| KeyValue {
        key,
        value: Some(value),
        key_strindex: 0,
    });
    members.collect()
}

fn value() -> impl Strategy<Value = AnyValue> {
    let known = select(VALUES.to_vec()).prop_map(|text| Some(Any::StringValue(text.to_owned())));
    let leaf = prop_oneof![
        4 => known,
        1 => text().prop_map(|text| Some(Any::StringValue(text))),
        1 => any::<bool>().prop_map(|it| Some(Any::BoolValue(it))),
        2 => prop_oneof![any::<i64>(), 190..600_i64].prop_map(|it| Some(Any::IntValue(it))),
        1 => any::<f64>().prop_map(|it| Some(Any::DoubleValue(it))),
        1 => vec(any::<u8>(), 0..3).prop_map(|it| Some(Any::BytesValue(it))),
        1 => Just(None),
    ];
    let leaf = leaf.prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let keys = prop_oneof![
            select(vec!["a", "bytesValue", "doubleValue", "kvlistValue"]),
            Just("")
        ];
        let array =
            vec(inner.clone(), 0..3).prop_map(|values| Any::ArrayValue(ArrayValue { values }));
        let members = btree_map(keys.prop_map(str::to_owned), inner, 0..3);
        let kvlist = members.prop_map(|members| {
            Any::KvlistValue(KeyValueList {
                values: key_values(members),
            })
        });
        prop_oneof![array, kvlist].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z /]{0,8}",
        text(),
        Just("GET /users/{id}?".to_owned()),
        Just("x".repeat(201))
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 2 => "[ -~]{0,6}", 1 => "\\PC{0,3}", 1 => any::<String>()]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        1_700_000_000_000_000_000..1_800_000_000_000_000_000_u64
    ]
}

fn count() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => any::<u32>()]
}

const TRACE_ID: [u8; 16] = [
    0x58, 0x1c, 0xf7, 0x71, 0xa0, 0x06, 0x64, 0x91, 0x27, 0xe3, 0x71, 0x90, 0x3a, 0x2d, 0xe9, 0x79,
];

/// Attributes the exporter, or this crate, looks at.
const KEYS: [&str; 62] = [
    "http.method",
    "http.request.method",
    "http.client_ip",
    "http.user_agent",
    "user_agent.original",
    "http.status_code",
    "http.response.status_code",
    "http.status_text",
    "http.url",
    "url.full",
    "http.scheme",
    "url.scheme",
    "http.host",
    "http.target",
    "http.server_name",
    "url.path",
    "url.query",
    "host.name",
    "net.host.name",
    "net.host.port",
    "net.peer.name",
    "net.peer.port",
    "net.peer.ip",
    "network.peer.address",
    "network.peer.port",
    "client.address",
    "server.address",
    "server.port",
    "http.response.body.size",
    "http.response_content_length",
    "message.type",
    "messaging.message.body.size",
    "messaging.url",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "peer.service",
    "aws.service",
    "aws.operation",
    "aws.account_id",
    "aws.region",
    "aws.request_id",
    "aws.requestId",
    "aws.queue_url",
    "aws.queue.url",
    "aws.table_name",
    "aws.dynamodb.table_names",
    "aws.span.kind",
    "aws.local.service",
    "aws.remote.service",
    "aws.remote.operation",
    "db.system",
    "db.connection_string",
    "db.name",
    "db.statement",
    "db.user",
    "enduser.id",
    "aws.xray.annotations",
    "aws.xray.metadata.default",
    "aws.xray.metadata.otel",
    "aws.xray.document.user",
    "aws.xray.document.without",
];

const RESOURCE_KEYS: [&str; 31] = [
    "service.name",
    "service.version",
    "service.namespace",
    "service.instance.id",
    "cloud.provider",
    "cloud.platform",
    "cloud.account.id",
    "cloud.region",
    "cloud.availability_zone",
    "host.id",
    "host.name",
    "host.type",
    "host.image.id",
    "container.name",
    "container.id",
    "k8s.cluster.name",
    "k8s.pod.name",
    "aws.ecs.cluster.arn",
    "aws.ecs.container.arn",
    "aws.ecs.task.arn",
    "aws.ecs.task.family",
    "aws.ecs.launchtype",
    "aws.log.group.names",
    "aws.log.group.arns",
    "telemetry.sdk.name",
    "telemetry.sdk.language",
    "telemetry.sdk.version",
    "telemetry.auto.version",
    "telemetry.distro.version",
    "otel.resource.x",
    "default",
];

/// Texts that mean something under one of the keys.
const VALUES: [&str; 33] = [
    "",
    "GET",
    "200",
    "404",
    "http://h/p?q",
    "10.0.0.1",
    "h",
    "aws-api",
    "AWS.SDK.DynamoDB",
    "AWS::S3",
    "LOCAL_ROOT",
    "RECEIVED",
    "mysql",
    "postgresql",
    "mysql://db:3306",
    "aws",
    "gcp",
    "aws_ec2",
    "aws_ecs",
    "aws_eks",
    "aws_elastic_beanstalk",
    "aws_app_runner",
    "fargate",
    "32",
    "java",
    "python",
    "nodejs",
    "go",
    "opentelemetry",
    "E: m\n\tat a.b(C.java:7)\nCaused by: F: n\n\tat c(d:1)",
    "Traceback\n  File \"x\", line 3, in f\nE: m",
    "{\"a\":1}",
    "a{b}",
];
