//! New ids, made of old ones.

use model::{SegmentId, TraceId};

use crate::Shift;
use crate::feistel::Feistel;

/// Gives ids in place of recorded ones: a function of the id, a seed and a round that no two ids share a result of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewIds {
    segment_ids: Feistel,
    /// What is behind the time of a trace id.
    unique_parts: Feistel,
    /// Trace ids that are random throughout.
    trace_ids: Feistel,
}

impl NewIds {
    /// Returns the new ids of a seed and, where a recording is sent again and again, of a round.
    pub fn new(seed: u64, round: u64) -> Self {
        Self {
            segment_ids: Feistel::new(32, &[seed, round, 0]),
            unique_parts: Feistel::new(48, &[seed, round, 1]),
            trace_ids: Feistel::new(64, &[seed, round, 2]),
        }
    }

    /// Returns the new id of a segment, subsegment or exception. Zero stands for none and stays.
    pub fn segment_id(&self, id: SegmentId) -> SegmentId {
        if id.0 == 0 {
            return id;
        }
        // What would become zero takes the place of zero: following a permutation from another number leads there.
        let mut number = self.segment_ids.permute(u128::from(id.0));
        if number == 0 {
            number = self.segment_ids.permute(0);
        }
        u64::try_from(number).map_or(id, SegmentId)
    }

    /// Returns the new id of a trace whose time has been moved. One that is random throughout stays one without a time.
    pub(crate) fn trace_id(&self, id: TraceId, shift: &Shift) -> TraceId {
        let mut number = u128::from_be_bytes(*id.as_bytes());
        if shift.is_moved_epoch(epoch(number)) {
            let number = (number & !UNIQUE) | self.unique_parts.permute(number & UNIQUE);
            return TraceId::from_bytes(number.to_be_bytes());
        }
        // Following the permutation to the next id without a time permutes these ids.
        loop {
            number = self.trace_ids.permute(number);
            if !shift.is_moved_epoch(epoch(number)) {
                return TraceId::from_bytes(number.to_be_bytes());
            }
        }
    }
}

/// Returns the first 32 bits.
pub(crate) fn epoch(number: u128) -> u32 {
    let [a, b, c, d, ..] = number.to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// The last 96 bits.
pub(crate) const UNIQUE: u128 = (1 << 96) - 1;
