//! The messages of OTLP, read from JSON member by member.
//!
//! The published types can read themselves, too, but refuse what real clients send: ids in base64, enumerations
//! by name, null, values of members they do not know.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::scalar::{Base64, Boolean, Code, Double, Id, Integer, Kind, Text, Whole};

/// Returns the request a text holds.
pub(super) fn read(body: &[u8]) -> Result<ExportTraceServiceRequest, serde_json::Error> {
    serde_json::from_slice(body).map(|Object(request)| request)
}

/// A message that is read member by member.
trait Message: Default {
    /// Reads the value of a member; tells whether there is one of that name, else the value is still there.
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error>;
}

/// A message, null for an empty one. Of a member that occurs twice the last value counts.
struct Object<T>(T);

impl<'de, T: Message> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Message> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut message = T::default();
        while let Some(Name(name)) = members.next_key()? {
            if !message.read(&name, &mut members)? {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Object(message))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Object(T::default()))
    }
}

/// The name of a member, borrowed from the body if it can be.
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// Returns the messages of a list, none for null.
fn list<'de, T: Message, A: MapAccess<'de>>(members: &mut A) -> Result<Vec<T>, A::Error> {
    let list = members.next_value::<Option<Vec<Object<T>>>>()?;
    let list = list.unwrap_or_default().into_iter();
    Ok(list.map(|Object(message)| message).collect())
}

fn object<'de, T: Message, A: MapAccess<'de>>(members: &mut A) -> Result<Option<T>, A::Error> {
    let object = members.next_value::<Option<Object<T>>>()?;
    Ok(object.map(|Object(message)| message))
}

fn text<'de, A: MapAccess<'de>>(members: &mut A) -> Result<String, A::Error> {
    members.next_value().map(|Text(text)| text)
}

fn texts<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Vec<String>, A::Error> {
    let list = members.next_value::<Option<Vec<Text>>>()?;
    let list = list.unwrap_or_default().into_iter();
    Ok(list.map(|Text(text)| text).collect())
}

fn id<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Vec<u8>, A::Error> {
    members.next_value().map(|Id(bytes)| bytes)
}

fn whole<'de, T: TryFrom<i128>, A: MapAccess<'de>>(members: &mut A) -> Result<T, A::Error> {
    let Whole(number) = members.next_value()?;
    T::try_from(number).map_err(|_| A::Error::custom(format_args!("{number} is out of range")))
}

impl Message for ExportTraceServiceRequest {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "resourceSpans" | "resource_spans" => self.resource_spans = list(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Scopes were called instrumentation libraries once; what has the new name goes before.
impl Message for ResourceSpans {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "resource" => self.resource = object(members)?,
            "scopeSpans" | "scope_spans" => {
                let scope_spans = list(members)?;
                if !scope_spans.is_empty() {
                    self.scope_spans = scope_spans;
                }
            }
            "instrumentationLibrarySpans" | "instrumentation_library_spans" => {
                let scope_spans = list(members)?;
                if self.scope_spans.is_empty() {
                    self.scope_spans = scope_spans;
                }
            }
            "schemaUrl" | "schema_url" => self.schema_url = text(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Resource {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "attributes" => self.attributes = list(members)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                self.dropped_attributes_count = whole(members)?;
            }
            "entityRefs" | "entity_refs" => self.entity_refs = list(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for EntityRef {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "schemaUrl" | "schema_url" => self.schema_url = text(members)?,
            "type" => self.r#type = text(members)?,
            "idKeys" | "id_keys" => self.id_keys = texts(members)?,
            "descriptionKeys" | "description_keys" => self.description_keys = texts(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for ScopeSpans {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "scope" => self.scope = object(members)?.or(self.scope.take()),
            "instrumentationLibrary" | "instrumentation_library" => {
                let scope = object(members)?;
                self.scope = self.scope.take().or(scope);
            }
            "spans" => self.spans = list(members)?,
            "schemaUrl" | "schema_url" => self.schema_url = text(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for InstrumentationScope {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "name" => self.name = text(members)?,
            "version" => self.version = text(members)?,
            "attributes" => self.attributes = list(members)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                self.dropped_attributes_count = whole(members)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Span {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "traceId" | "trace_id" => self.trace_id = id(members)?,
            "spanId" | "span_id" => self.span_id = id(members)?,
            "traceState" | "trace_state" => self.trace_state = text(members)?,
            "parentSpanId" | "parent_span_id" => self.parent_span_id = id(members)?,
            "flags" => self.flags = whole(members)?,
            "name" => self.name = text(members)?,
            "kind" => Kind(self.kind) = members.next_value()?,
            "startTimeUnixNano" | "start_time_unix_nano" => {
                self.start_time_unix_nano = whole(members)?;
            }
            "endTimeUnixNano" | "end_time_unix_nano" => self.end_time_unix_nano = whole(members)?,
            "attributes" => self.attributes = list(members)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                self.dropped_attributes_count = whole(members)?;
            }
            "events" => self.events = list(members)?,
            "droppedEventsCount" | "dropped_events_count" => {
                self.dropped_events_count = whole(members)?;
            }
            "links" => self.links = list(members)?,
            "droppedLinksCount" | "dropped_links_count" => {
                self.dropped_links_count = whole(members)?;
            }
            "status" => self.status = object(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Event {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "timeUnixNano" | "time_unix_nano" => self.time_unix_nano = whole(members)?,
            "name" => self.name = text(members)?,
            "attributes" => self.attributes = list(members)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                self.dropped_attributes_count = whole(members)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Link {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "traceId" | "trace_id" => self.trace_id = id(members)?,
            "spanId" | "span_id" => self.span_id = id(members)?,
            "traceState" | "trace_state" => self.trace_state = text(members)?,
            "attributes" => self.attributes = list(members)?,
            "droppedAttributesCount" | "dropped_attributes_count" => {
                self.dropped_attributes_count = whole(members)?;
            }
            "flags" => self.flags = whole(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for Status {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "message" => self.message = text(members)?,
            "code" => Code(self.code) = members.next_value()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for KeyValue {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "key" => self.key = text(members)?,
            "value" => self.value = object(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A member that is null leaves the value as it is.
impl Message for AnyValue {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        let value = match name {
            "stringValue" | "string_value" => members
                .next_value::<Option<Text>>()?
                .map(|Text(text)| Value::StringValue(text)),
            "boolValue" | "bool_value" => members
                .next_value::<Option<Boolean>>()?
                .map(|Boolean(boolean)| Value::BoolValue(boolean)),
            "intValue" | "int_value" => members
                .next_value::<Option<Integer>>()?
                .map(|Integer(value)| value),
            "doubleValue" | "double_value" => members
                .next_value::<Option<Double>>()?
                .map(|Double(double)| Value::DoubleValue(double)),
            "arrayValue" | "array_value" => object(members)?.map(Value::ArrayValue),
            "kvlistValue" | "kvlist_value" => object(members)?.map(Value::KvlistValue),
            "bytesValue" | "bytes_value" => members
                .next_value::<Option<Base64>>()?
                .map(|Base64(bytes)| Value::BytesValue(bytes)),
            _ => return Ok(false),
        };
        self.value = value.or(self.value.take());
        Ok(true)
    }
}

impl Message for ArrayValue {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "values" => self.values = list(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Message for KeyValueList {
    fn read<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        members: &mut A,
    ) -> Result<bool, A::Error> {
        match name {
            "values" => self.values = list(members)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
