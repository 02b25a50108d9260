//! The messages a request is made of (source: `trace.proto`, `resource.proto` and `common.proto` of OTLP), as far as they
//! hold texts or each other.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    ResourceSpans,
    Resource,
    EntityRef,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// What is in a field that holds a text or a message, once or in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Text,
    Texts,
    Message(Message),
    Messages(Message),
}

impl Message {
    /// Returns what is in the field of a number in protobuf; none for numbers, bytes, and fields that are not known.
    pub(super) fn field(self, number: u32) -> Option<Field> {
        let field = match (self, number) {
            (Self::ResourceSpans | Self::ScopeSpans | Self::Link, 3)
            | (Self::EntityRef | Self::Scope, 1 | 2)
            | (Self::Span, 3 | 5)
            | (Self::Event | Self::Status, 2)
            | (Self::KeyValue | Self::AnyValue, 1) => Field::Text,
            (Self::EntityRef, 3 | 4) => Field::Texts,
            (Self::Request, 1) => Field::Messages(Self::ResourceSpans),
            (Self::ResourceSpans, 1) => Field::Message(Self::Resource),
            (Self::ResourceSpans, 2) => Field::Messages(Self::ScopeSpans),
            (Self::Resource, 3) => Field::Messages(Self::EntityRef),
            (Self::ScopeSpans, 1) => Field::Message(Self::Scope),
            (Self::ScopeSpans, 2) => Field::Messages(Self::Span),
            (Self::Span, 11) => Field::Messages(Self::Event),
            (Self::Span, 13) => Field::Messages(Self::Link),
            (Self::Span, 15) => Field::Message(Self::Status),
            (Self::Resource | Self::KeyValueList, 1)
            | (Self::Scope | Self::Event, 3)
            | (Self::Span, 9)
            | (Self::Link, 4) => Field::Messages(Self::KeyValue),
            (Self::KeyValue, 2) => Field::Message(Self::AnyValue),
            (Self::ArrayValue, 1) => Field::Messages(Self::AnyValue),
            (Self::AnyValue, 5) => Field::Message(Self::ArrayValue),
            (Self::AnyValue, 6) => Field::Message(Self::KeyValueList),
            _ => return None,
        };
        Some(field)
    }

    /// Returns what is in the member of a name in JSON; none for single texts, numbers, and members that are not known.
    pub(super) fn member(self, name: &[u8]) -> Option<Field> {
        let field = match (self, name) {
            (Self::Request, b"resourceSpans" | b"resource_spans") => {
                Field::Messages(Self::ResourceSpans)
            }
            (Self::ResourceSpans, b"resource") => Field::Message(Self::Resource),
            (
                Self::ResourceSpans,
                b"scopeSpans"
                | b"scope_spans"
                | b"instrumentationLibrarySpans"
                | b"instrumentation_library_spans",
            ) => Field::Messages(Self::ScopeSpans),
            (Self::Resource, b"entityRefs" | b"entity_refs") => Field::Messages(Self::EntityRef),
            (
                Self::EntityRef,
                b"idKeys" | b"id_keys" | b"descriptionKeys" | b"description_keys",
            ) => Field::Texts,
            (
                Self::ScopeSpans,
                b"scope" | b"instrumentationLibrary" | b"instrumentation_library",
            ) => Field::Message(Self::Scope),
            (Self::ScopeSpans, b"spans") => Field::Messages(Self::Span),
            (Self::Span, b"events") => Field::Messages(Self::Event),
            (Self::Span, b"links") => Field::Messages(Self::Link),
            (
                Self::Resource | Self::Scope | Self::Span | Self::Event | Self::Link,
                b"attributes",
            )
            | (Self::KeyValueList, b"values") => Field::Messages(Self::KeyValue),
            (Self::KeyValue, b"value") => Field::Message(Self::AnyValue),
            (Self::ArrayValue, b"values") => Field::Messages(Self::AnyValue),
            (Self::AnyValue, b"arrayValue" | b"array_value") => Field::Message(Self::ArrayValue),
            (Self::AnyValue, b"kvlistValue" | b"kvlist_value") => {
                Field::Message(Self::KeyValueList)
            }
            _ => return None,
        };
        Some(field)
    }

    /// Returns the bytes one takes in memory, without what it refers to.
    pub(super) const fn n_bytes(self) -> usize {
        match self {
            Self::Request => size_of::<ExportTraceServiceRequest>(),
            Self::ResourceSpans => size_of::<ResourceSpans>(),
            Self::Resource => size_of::<Resource>(),
            Self::EntityRef => size_of::<EntityRef>(),
            Self::ScopeSpans => size_of::<ScopeSpans>(),
            Self::Scope => size_of::<InstrumentationScope>(),
            Self::Span => size_of::<Span>(),
            Self::Event => size_of::<Event>(),
            Self::Link => size_of::<Link>(),
            Self::Status => size_of::<Status>(),
            Self::KeyValue => size_of::<KeyValue>(),
            Self::AnyValue => size_of::<AnyValue>(),
            Self::ArrayValue => size_of::<ArrayValue>(),
            Self::KeyValueList => size_of::<KeyValueList>(),
        }
    }
}

/// How many messages may be nested in each other, as `prost` reads them.
pub(super) const LEVELS_MAX: usize = 100;
