//! Every key of a partition is built and read here, and drawn in `migrations/README.md`.
//!
//! Integers are big-endian and of fixed width, so keys sort as their numbers do.

use model::{SegmentId, Tenant, Timestamp, TraceId};

use crate::{ControlKind, Position};

/// `segments`: tenant 4, trace 16, segment 8.
pub(crate) fn segment(tenant: Tenant, trace_id: TraceId, segment_id: SegmentId) -> [u8; 28] {
    concat(&[&trace_prefix(tenant, trace_id), &segment_id.0.to_be_bytes()])
}

/// What all `segments` keys of one trace begin with.
pub(crate) fn trace_prefix(tenant: Tenant, trace_id: TraceId) -> [u8; 20] {
    concat(&[&tenant.0.to_be_bytes(), trace_id.as_bytes()])
}

/// Takes a `segments` key apart.
pub(crate) fn read_segment(key: &[u8]) -> Option<(Tenant, TraceId, SegmentId)> {
    let (tenant, rest) = key.split_first_chunk::<4>()?;
    let (trace_id, rest) = rest.split_first_chunk::<16>()?;
    let segment_id = rest.try_into().ok().map(u64::from_be_bytes)?;
    let tenant = Tenant(u32::from_be_bytes(*tenant));
    Some((
        tenant,
        TraceId::from_bytes(*trace_id),
        SegmentId(segment_id),
    ))
}

/// `chunks`: blob 8, number of the chunk 2.
pub(crate) fn chunk(blob: u64, number: u16) -> [u8; 10] {
    concat(&[&blob.to_be_bytes(), &number.to_be_bytes()])
}

/// Takes a `chunks` key apart.
pub(crate) fn read_chunk(key: &[u8]) -> Option<(u64, u16)> {
    let (blob, number) = key.split_first_chunk::<8>()?;
    Some((
        u64::from_be_bytes(*blob),
        u16::from_be_bytes(number.try_into().ok()?),
    ))
}

/// `blocks`: tenant 4, start of the newest trace in it 8 (complemented, so newest comes first),
/// that trace 16 (complemented likewise).
pub(crate) fn block(tenant: Tenant, first: Position) -> [u8; 28] {
    let trace = !u128::from_be_bytes(*first.trace_id.as_bytes());
    let start = !first.start.as_nanos();
    concat(&[
        &tenant.0.to_be_bytes(),
        &start.to_be_bytes(),
        &trace.to_be_bytes(),
    ])
}

/// Takes a `blocks` key apart.
pub(crate) fn read_block(key: &[u8]) -> Option<(Tenant, Position)> {
    let (tenant, rest) = key.split_first_chunk::<4>()?;
    let (start, trace) = rest.split_first_chunk::<8>()?;
    let trace = !u128::from_be_bytes(trace.try_into().ok()?);
    let position = Position {
        start: Timestamp::from_nanos(!u64::from_be_bytes(*start)),
        trace_id: TraceId::from_bytes(trace.to_be_bytes()),
    };
    Some((Tenant(u32::from_be_bytes(*tenant)), position))
}

/// `graph`: tenant 4, group 4, grain 1, hour since 1970 4, part 4.
pub(crate) fn graph(tenant: Tenant, group: u32, grain: Grain, hour: u32, part: u32) -> [u8; 17] {
    concat(&[
        &graph_prefix(tenant, group, grain),
        &hour.to_be_bytes(),
        &part.to_be_bytes(),
    ])
}

/// How finely the sums of an hour are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Grain {
    /// By minute.
    Minutes = 0,
    /// The hour as one.
    Hour = 1,
}

/// What all `graph` keys of one group and grain begin with.
pub(crate) fn graph_prefix(tenant: Tenant, group: u32, grain: Grain) -> [u8; 9] {
    concat(&[
        &tenant.0.to_be_bytes(),
        &group.to_be_bytes(),
        &[grain as u8],
    ])
}

/// Returns the hour of a `graph` key.
pub(crate) fn read_graph_hour(key: &[u8]) -> Option<u32> {
    let (_, rest) = key.split_first_chunk::<9>()?;
    let (hour, part) = rest.split_first_chunk::<4>()?;
    (part.len() == 4).then(|| u32::from_be_bytes(*hour))
}

/// `telemetry`: tenant 4, stamp 8.
pub(crate) fn telemetry(tenant: Tenant, stamp: u64) -> [u8; 12] {
    concat(&[&tenant.0.to_be_bytes(), &stamp.to_be_bytes()])
}

/// Returns the stamp of a `telemetry` key.
pub(crate) fn read_telemetry_stamp(key: &[u8]) -> Option<u64> {
    let (_, stamp) = key.split_first_chunk::<4>()?;
    stamp.try_into().ok().map(u64::from_be_bytes)
}

/// `control`: tenant 4, kind 1, the record's own key.
pub(crate) fn control(tenant: Tenant, kind: ControlKind, key: &str) -> Vec<u8> {
    [&control_prefix(tenant, kind), key.as_bytes()].concat()
}

/// What all `control` keys of one kind begin with.
pub(crate) fn control_prefix(tenant: Tenant, kind: ControlKind) -> [u8; 5] {
    concat(&[&tenant.0.to_be_bytes(), &[kind as u8]])
}

/// Returns the record's own key of a `control` key.
pub(crate) fn read_control(key: &[u8]) -> Option<&str> {
    let (_, own) = key.split_first_chunk::<5>()?;
    std::str::from_utf8(own).ok()
}

/// Returns the least key greater than every key that begins with `prefix`; none if there is none.
pub(crate) fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let mut upper = prefix.to_vec();
    while let Some(last) = upper.pop() {
        if let Some(next) = last.checked_add(1) {
            upper.push(next);
            return Some(upper);
        }
    }
    None
}

/// Returns the parts one after another; they must add up to `N` bytes.
fn concat<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut key = [0; N];
    let bytes = parts.iter().flat_map(|part| part.iter());
    debug_assert_eq!(bytes.clone().count(), N);
    for (slot, byte) in key.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_sort_as_what_they_are_made_of(
            a: (u32, u128, u64), b: (u32, u128, u64)
        ) {
            let key = |(tenant, trace, id): (u32, u128, u64)| {
                segment(Tenant(tenant), TraceId::from_bytes(trace.to_be_bytes()), SegmentId(id))
            };
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            let control_key = |(tenant, trace, _): (u32, u128, u64)| {
                control(Tenant(tenant), ControlKind::Group, &trace.to_string())
            };
            prop_assert_eq!(
                control_key(a).cmp(&control_key(b)),
                a.0.cmp(&b.0).then(a.1.to_string().cmp(&b.1.to_string()))
            );
            let block_key = |(tenant, trace, start): (u32, u128, u64)| {
                let trace_id = TraceId::from_bytes(trace.to_be_bytes());
                block(Tenant(tenant), Position { start: Timestamp::from_nanos(start), trace_id })
            };
            prop_assert_eq!(
                block_key(a).cmp(&block_key(b)),
                a.0.cmp(&b.0).then(b.2.cmp(&a.2)).then(b.1.cmp(&a.1))
            );
        }

        #[test]
        fn keys_read_back(tenant: u32, trace: u128, id: u64, number: u16) {
            let trace_id = TraceId::from_bytes(trace.to_be_bytes());
            let (tenant, id) = (Tenant(tenant), SegmentId(id));
            prop_assert_eq!(read_segment(&segment(tenant, trace_id, id)), Some((tenant, trace_id, id)));
            prop_assert_eq!(read_chunk(&chunk(id.0, number)), Some((id.0, number)));
            let position = Position { start: Timestamp::from_nanos(id.0), trace_id };
            prop_assert_eq!(read_block(&block(tenant, position)), Some((tenant, position)));
            prop_assert_eq!(read_telemetry_stamp(&telemetry(tenant, id.0)), Some(id.0));
            let own = number.to_string();
            let key = control(tenant, ControlKind::Insight, &own);
            prop_assert_eq!(read_control(&key), Some(own.as_str()));
            prop_assert!(key.starts_with(&control_prefix(tenant, ControlKind::Insight)));
        }

        #[test]
        fn nothing_with_the_prefix_lies_after_it(prefix: Vec<u8>, rest: Vec<u8>) {
            let key = [prefix.clone(), rest].concat();
            if let Some(upper) = after_prefix(&prefix) {
                prop_assert!(key < upper);
                prop_assert!(upper > prefix);
            } else {
                prop_assert!(prefix.iter().all(|byte| *byte == 255));
            }
        }
    }

    #[test]
    fn keys_of_the_wrong_length_are_not_read() {
        assert_eq!(read_segment(&[0; 27]), None);
        assert_eq!(read_segment(&[0; 29]), None);
        assert_eq!(read_chunk(&[0; 9]), None);
        assert_eq!(read_block(&[0; 27]), None);
        assert_eq!(read_graph_hour(&[0; 16]), None);
        let key = graph(Tenant(1), 2, Grain::Hour, 3, 4);
        assert_eq!(read_graph_hour(&key), Some(3));
        assert_eq!(read_control(&[0; 4]), None);
        assert_eq!(read_telemetry_stamp(&[0; 11]), None);
        assert_eq!(read_telemetry_stamp(&[0; 13]), None);
    }
}
