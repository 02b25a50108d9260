use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, EntityRef, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::decode;
use crate::tests_support::request;

/// What the lists of a request that is decoded take: by their lengths, and by the room they really have.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    n_spans: usize,
    by_length: usize,
    by_capacity: usize,
}

impl Held {
    fn of(request: &ExportTraceServiceRequest) -> Self {
        let mut held = Self::default();
        held.list(&request.resource_spans, Self::resource_spans);
        held
    }

    fn list<T>(&mut self, items: &Vec<T>, add: impl Fn(&mut Self, &T)) {
        let n_places = match items.len() {
            0 => 0,
            n_items => n_items.next_power_of_two().max(4),
        };
        self.by_length += n_places * size_of::<T>();
        self.by_capacity += items.capacity() * size_of::<T>();
        for item in items {
            add(self, item);
        }
    }

    fn resource_spans(&mut self, of: &ResourceSpans) {
        if let Some(resource) = &of.resource {
            self.list(&resource.attributes, Self::attribute);
            self.list(&resource.entity_refs, Self::entity);
        }
        self.list(&of.scope_spans, Self::scope_spans);
    }

    fn entity(&mut self, entity: &EntityRef) {
        self.list(&entity.id_keys, |_, _| ());
        self.list(&entity.description_keys, |_, _| ());
    }

    fn scope_spans(&mut self, of: &ScopeSpans) {
        if let Some(scope) = &of.scope {
            self.list(&scope.attributes, Self::attribute);
        }
        self.list(&of.spans, Self::span);
    }

    fn span(&mut self, span: &Span) {
        self.n_spans += 1;
        self.list(&span.attributes, Self::attribute);
        self.list(&span.events, |held, event: &Event| {
            held.list(&event.attributes, Self::attribute);
        });
        self.list(&span.links, |held, link: &Link| {
            held.list(&link.attributes, Self::attribute);
        });
    }

    fn attribute(&mut self, attribute: &KeyValue) {
        if let Some(value) = &attribute.value {
            self.value(value);
        }
    }

    fn value(&mut self, value: &AnyValue) {
        match &value.value {
            Some(Value::ArrayValue(array)) => self.list(&array.values, Self::value),
            Some(Value::KvlistValue(list)) => self.list(&list.values, Self::attribute),
            _ => {}
        }
    }
}

/// Fails unless a body is told to take what it does take.
fn check_exact(body: &[u8], encoding: Encoding) {
    let weight = weigh(body, encoding);
    let held = Held::of(&decode(body, encoding).unwrap().0);
    let shown = String::from_utf8_lossy(body);
    assert_eq!(weight.n_spans, held.n_spans, "{shown}");
    assert_eq!(weight.n_bytes, body.len() + held.by_length, "{shown}");
    assert!(held.by_length >= held.by_capacity, "{held:?} {shown}");
}

/// Fails if a body becomes more than is told.
fn check_enough(body: &[u8], encoding: Encoding) {
    if let Ok(request) = decode(body, encoding) {
        let weight = weigh(body, encoding);
        let held = Held::of(&request.0);
        let shown = String::from_utf8_lossy(body);
        assert!(weight.n_spans >= held.n_spans, "{shown}");
        assert!(
            weight.n_bytes >= body.len() + held.by_capacity,
            "{held:?} {weight:?} {shown}"
        );
    }
}

/// Returns a field of protobuf that holds bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut field);
    field.extend_from_slice(content);
    field
}

/// Returns a request of one scope whose fields are these.
fn in_scope(fields: &[u8]) -> Vec<u8> {
    field(1, &field(2, fields))
}

#[test]
fn lists_begin_with_four_places_and_double_them() {
    let check = |n_items: usize, expected: usize| {
        let n_places: usize = (1..=n_items).map(n_more_places).sum();
        assert_eq!(n_places, expected, "{n_items}");
    };
    for (n_items, expected) in [
        (0, 0),
        (1, 4),
        (4, 4),
        (5, 8),
        (8, 8),
        (9, 16),
        (1000, 1024),
    ] {
        check(n_items, expected);
    }
}

#[test]
fn what_is_short_and_becomes_long_is_known() {
    for list in [
        field(2, b"").repeat(1000),
        field(2, &field(9, b"").repeat(100)).repeat(10),
        field(
            2,
            &[field(11, b""), field(13, b""), field(9, b"")]
                .concat()
                .repeat(77),
        )
        .repeat(10),
        field(2, &field(11, &field(3, b"").repeat(33))).repeat(10),
        field(
            2,
            &field(9, &field(2, &field(5, &field(1, b"").repeat(100)))),
        )
        .repeat(10),
        field(
            2,
            &field(9, &field(2, &field(6, &field(1, b"").repeat(100)))),
        )
        .repeat(10),
        field(1, &field(3, b"").repeat(50)),
    ] {
        check_exact(&in_scope(&list), Encoding::Protobuf);
    }
    let entities = field(3, &[field(3, b""), field(4, b"")].concat().repeat(9)).repeat(9);
    check_exact(&field(1, &field(1, &entities)), Encoding::Protobuf);
    check_exact(&field(1, b"").repeat(1000), Encoding::Protobuf);
    check_exact(&field(1, &field(2, b"").repeat(1000)), Encoding::Protobuf);
    for spans in ["{},".repeat(999), r#"{"events":[{},{},null]},"#.repeat(10)] {
        let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}{{}}]}}]}}]}}"#);
        check_exact(json.as_bytes(), Encoding::Json);
    }
}

/// Fields that are not known, of every form, and lists that come in pieces.
#[test]
fn what_is_not_known_is_passed_over() {
    let group = b"\x9b\x06\x08\x01\xa3\x06\x12\x02xx\xa4\x06\x9c\x06";
    let unknown = [
        &group[..],
        b"\x80\x02\x96\x01",
        b"\x85\x02abcd",
        b"\x81\x02abcdefgh",
        b"\x82\x02\x03\x12\x01x",
    ]
    .concat();
    let span = field(2, &[&unknown[..], &field(9, b""), &unknown].concat());
    let body = in_scope(&[&unknown[..], &span, &unknown, &span].concat());
    check_exact(
        &[&unknown[..], &body, &unknown].concat(),
        Encoding::Protobuf,
    );
    let json = r#"{"a":[{"spans":[{}]}],"resourceSpans":[{"scopeSpans":[{"b":{"spans":[{}]},"spans":[{"Events":[{}]}]}]}]}"#;
    check_exact(json.as_bytes(), Encoding::Json);
}

/// The decoder has read all that before it finds what is wrong.
#[test]
fn what_is_wrong_in_the_end_hides_nothing() {
    let check = |body: &[u8], encoding| {
        assert!(decode(body, encoding).is_err());
        let weight = weigh(body, encoding);
        let shown = String::from_utf8_lossy(body);
        assert!(weight.n_spans >= 1000, "{weight:?} {shown}");
        assert!(weight.n_bytes >= 1000 * size_of::<Span>(), "{weight:?}");
    };
    let spans = field(2, b"").repeat(1000);
    check(
        &[&in_scope(&spans)[..], b"\xff"].concat(),
        Encoding::Protobuf,
    );
    // A message that says it is longer than the one around it.
    let longer = [b"\x0a\x03", &field(2, &spans)[..]].concat();
    check(&longer, Encoding::Protobuf);
    let spans = "{},".repeat(1000);
    let json = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}"#);
    check(json.as_bytes(), Encoding::Json);
}

/// A broken text, which is mended before the body is read again, hides nothing.
#[test]
fn what_is_mended_is_weighed() {
    let spans = "{},".repeat(1000);
    for broken in [&b"\xff"[..], b"\\ud83d"] {
        for member in [&b"\"BROKEN\":1,"[..], b"\"schemaUrl\":\"BROKEN\","] {
            let head = String::from_utf8_lossy(member);
            let (before, after) = head.split_once("BROKEN").unwrap();
            let body = [
                br#"{"resourceSpans":[{"#,
                before.as_bytes(),
                broken,
                after.as_bytes(),
                br#""scopeSpans":[{"spans":["#,
                spans.as_bytes(),
                b"{}]}]}]}",
            ]
            .concat();
            check_exact(&body, Encoding::Json);
        }
    }
    let broken = field(2, &field(5, b"\xff"));
    check_exact(&in_scope(&broken.repeat(100)), Encoding::Protobuf);
}

#[test]
fn no_nesting_is_too_deep() {
    let mut value = Vec::new();
    for _ in 0..10_000 {
        value = field(1, &field(5, &value));
        if value.len() > 20_000 {
            break;
        }
    }
    let body = in_scope(&field(2, &field(9, &field(2, &value))));
    assert!(weigh(&body, Encoding::Protobuf).n_bytes > body.len());
    let json = r#"{"resourceSpans":["#.repeat(10_000);
    weigh(json.as_bytes(), Encoding::Json);
}

proptest! {
    #[test]
    fn requests_take_what_is_told(request in request()) {
        check_exact(&request.encode_to_vec(), Encoding::Protobuf);
        check_exact(&serde_json::to_vec(&request).unwrap(), Encoding::Json);
    }

    /// Fields that come in pieces, twice, or are broken, count once or twice and never not at all.
    #[test]
    fn changed_bodies_take_no_more_than_is_told(
        request in request(),
        other in request(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let protobuf = [request.encode_to_vec(), other.encode_to_vec()].concat();
        let json = serde_json::to_vec(&request).unwrap();
        for (mut body, encoding) in [(protobuf, Encoding::Protobuf), (json, Encoding::Json)] {
            for (at, byte) in &changes {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = *byte;
                }
            }
            check_enough(&body, encoding);
        }
    }
}
