//! Ids of spans of which several may share one: the two sides of a call, and whatever else was written under one id.
//!
//! What was called gets an id made of the shared one, its service and its time, whether the side that called is there or
//! not. Without the mark `shared` it is told by the kinds of the sides; for that it is remembered, up to a bound, what
//! came before. Whatever else comes under an id that is taken gets one of its own, so that nothing is lost.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::Span;

/// The ids that were given, also in the batches before.
pub(crate) struct Ids {
    given: HashMap<Key, Vec<Given>>,
    /// The keys, the oldest first.
    order: VecDeque<Key>,
    keys_max: usize,
}

/// A span's trace and id.
type Key = (u128, u64);

/// A span that has an id.
#[derive(Clone, Copy)]
struct Given {
    id: u64,
    side: Side,
    service: u64,
    micros: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// It calls.
    Calling,
    /// It is called; whether the one that called has the same id is not told.
    Serving,
    /// It is called and shares the id of what called it.
    Called,
    Neither,
}

impl Default for Ids {
    fn default() -> Self {
        Self {
            given: HashMap::new(),
            order: VecDeque::new(),
            keys_max: KEYS_MAX,
        }
    }
}

impl Ids {
    /// Returns the ids of some spans and of their parents, 0 for none. They are timed.
    pub(super) fn of(&mut self, spans: &[Span]) -> Vec<(u64, u64)> {
        // Who calls comes first: the id is the caller's.
        for span in spans.iter().filter(|span| side(span) == Side::Calling) {
            self.give(span);
        }
        let ids: Vec<Given> = spans.iter().map(|span| self.give(span)).collect();
        let all = spans.iter().zip(ids);
        let all = all.map(|(span, given)| (given.id, self.parent(span, given)));
        let all = all.collect();
        self.forget();
        all
    }

    /// Gives a span its id, the same as before if it was there before.
    fn give(&mut self, span: &Span) -> Given {
        let key = key(span);
        let micros = span.timestamp.unwrap_or_default();
        let service = mixed(span.service().as_bytes(), SERVICE);
        let others = match self.given.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                self.order.push_back(key);
                entry.insert(Vec::new())
            }
        };
        let mut side = side(span);
        let is_below_caller = others.iter().any(|other| other.side == Side::Calling);
        if side == Side::Serving && is_below_caller {
            side = Side::Called;
        }
        let same =
            |other: &&Given| (other.side, other.service, other.micros) == (side, service, micros);
        if let Some(given) = others.iter().find(same) {
            return *given;
        }
        let is_free = others.iter().all(|other| other.id != key.1);
        let id = if is_free && side != Side::Called {
            key.1
        } else {
            let number = u64::from(side == Side::Called);
            let parts = [key.1, service, micros, number].map(u64::to_be_bytes);
            mixed(parts.as_flattened(), CALLED).max(1)
        };
        let given = Given {
            id,
            side,
            service,
            micros,
        };
        others.push(given);
        given
    }

    /// Returns the parent of a span: what was called is below what called it, and what it did in turn below that.
    fn parent(&self, span: &Span, given: Given) -> u64 {
        let (trace_id, own) = key(span);
        if given.side == Side::Called {
            return own;
        }
        let Some(parent_id) = span.parent_id.as_deref() else {
            return 0;
        };
        let parent_id = u64::from_str_radix(parent_id, 16).unwrap_or_default();
        let others = self.given.get(&(trace_id, parent_id)).into_iter().flatten();
        let called =
            others.filter(|other| other.side == Side::Called && other.service == given.service);
        // Of several tries the last that had begun; clocks may differ, so one at all if none had.
        let called = called.max_by_key(|other| {
            let had_begun = other.micros <= given.micros;
            let distance = other.micros.abs_diff(given.micros);
            (had_begun, std::cmp::Reverse(distance))
        });
        called.map_or(parent_id, |called| called.id)
    }

    fn forget(&mut self) {
        while self.order.len() > self.keys_max {
            if let Some(key) = self.order.pop_front() {
                self.given.remove(&key);
            }
        }
    }
}

fn key(span: &Span) -> Key {
    // Both were looked at when the span was read.
    let trace_id = u128::from_str_radix(&span.trace_id, 16).unwrap_or_default();
    let id = u64::from_str_radix(&span.id, 16).unwrap_or_default();
    (trace_id, id)
}

fn side(span: &Span) -> Side {
    let kind = span.kind.as_deref().unwrap_or_default();
    let is = |name: &str| kind.eq_ignore_ascii_case(name);
    if span.shared == Some(true) {
        Side::Called
    } else if is("CLIENT") || is("PRODUCER") {
        Side::Calling
    } else if is("SERVER") || is("CONSUMER") {
        Side::Serving
    } else {
        Side::Neither
    }
}

/// Returns a number each bit of which depends on all bytes (FNV-1a, and the finalizer of splitmix64).
fn mixed(bytes: &[u8], begin: u64) -> u64 {
    let mut bits = bytes.iter().fold(begin, |bits, byte| {
        (bits ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The golden ratio in 64 bits; any number would do.
const CALLED: u64 = 0x9e37_79b9_7f4a_7c15;
/// The square root of two; any other number would do.
const SERVICE: u64 = 0x6a09_e667_f3bc_c908;
/// About 100 MB.
const KEYS_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::{Value, json};

    use super::*;

    fn span(id: &str, parent: Option<&str>, kind: &str, service: &str, micros: u64) -> Value {
        json!({ "traceId": "1", "id": id, "parentId": parent, "timestamp": micros, "kind": kind,
            "localEndpoint": { "serviceName": service } })
    }

    fn shared(id: &str, service: &str, micros: u64) -> Value {
        let mut span = span(id, None, "SERVER", service, micros);
        span["shared"] = json!(true);
        span
    }

    fn spans(spans: &[Value]) -> Vec<Span> {
        serde_json::from_value(json!(spans)).unwrap()
    }

    fn n_different(ids: &[(u64, u64)]) -> usize {
        ids.iter().map(|(id, _)| id).collect::<HashSet<_>>().len()
    }

    #[test]
    fn what_was_called_gets_an_id_of_its_own_and_what_it_did_is_below_it() {
        let ids = Ids::default().of(&spans(&[
            span("a", None, "CLIENT", "front", 1),
            shared("a", "back", 2),
            span("b", Some("a"), "CLIENT", "back", 3),
            span("c", Some("a"), "CLIENT", "front", 3),
        ]));
        let called = ids[1].0;
        assert_eq!(ids, [(0xa, 0), (called, 0xa), (0xb, called), (0xc, 0xa)]);
        assert!(![0xa, 0xb, 0xc].contains(&called));
    }

    #[test]
    fn a_shared_id_means_the_same_whatever_else_is_there() {
        let alone = Ids::default().of(&spans(&[shared("a", "back", 2)]));
        let both = [
            span("a", None, "CLIENT", "front", 1),
            shared("a", "back", 2),
        ];
        assert_eq!(Ids::default().of(&spans(&both))[1], alone[0]);
        assert_eq!(alone[0].1, 0xa);
    }

    #[test]
    fn several_that_were_called_are_several() {
        let ids = Ids::default().of(&spans(&[
            shared("a", "one", 2),
            shared("a", "other", 2),
            shared("a", "one", 9),
            span("b", Some("a"), "CLIENT", "one", 5),
            span("c", Some("a"), "CLIENT", "one", 10),
            span("d", Some("a"), "CLIENT", "other", 1),
        ]));
        assert_eq!(n_different(&ids), 6, "{ids:?}");
        let parents: Vec<u64> = ids[3..].iter().map(|(_, parent)| *parent).collect();
        assert_eq!(parents, [ids[0].0, ids[2].0, ids[1].0]);
    }

    #[test]
    fn sides_are_told_by_their_kinds_in_one_batch_or_two() {
        let client = span("a", Some("f"), "CLIENT", "front", 1);
        let server = span("a", Some("f"), "SERVER", "back", 2);
        let expected = Ids::default().of(&spans(&[client.clone(), server.clone()]));
        assert_eq!((expected[0], expected[1].1), ((0xa, 0xf), 0xa));
        assert_eq!(n_different(&expected), 2);
        let turned = Ids::default().of(&spans(&[server.clone(), client.clone()]));
        assert_eq!(turned, [expected[1], expected[0]]);
        let mut ids = Ids::default();
        let first = ids.of(&spans(std::slice::from_ref(&client)));
        let second = ids.of(&spans(std::slice::from_ref(&server)));
        assert_eq!([first[0], second[0]], [expected[0], expected[1]]);
        // Once the id is the server's it stays so, and the client is not lost.
        let mut ids = Ids::default();
        let first = ids.of(&spans(&[server]));
        let second = ids.of(&spans(&[client]));
        assert_eq!(first, [(0xa, 0xf)]);
        assert_eq!((second[0].0 == 0xa, second[0].1), (false, 0xf));
    }

    #[test]
    fn the_same_span_again_has_the_same_id_and_another_one_not() {
        let one = span("a", None, "", "one", 1);
        let mut ids = Ids::default();
        let first = ids.of(&spans(&[one.clone(), one.clone()]));
        assert_eq!(first, [(0xa, 0), (0xa, 0)]);
        let others = [
            one,
            span("a", None, "", "other", 1),
            span("a", None, "", "one", 2),
        ];
        let others = ids.of(&spans(&others));
        assert_eq!((others[0].0, n_different(&others)), (0xa, 3));
    }

    #[test]
    fn a_server_alone_keeps_its_id_and_memory_is_bounded() {
        let mut ids = Ids {
            keys_max: 2,
            ..Ids::default()
        };
        for id in ["a", "b", "c", "d"] {
            let of = ids.of(&spans(&[span(id, None, "SERVER", "back", 1)]));
            assert_eq!(of, [(u64::from_str_radix(id, 16).unwrap(), 0)]);
        }
        assert_eq!((ids.given.len(), ids.order.len()), (2, 2));
    }
}
