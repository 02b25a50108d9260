//! Where a page ended: the payload of page tokens. Fixed width, big-endian.

use model::{SegmentId, Timestamp, TraceId};
use protocol::token::InvalidToken;
use storage::Position;

/// Where a page of `BatchGetTraces` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchCursor {
    /// Documents that first arrived after this stamp are not part of any page.
    pub(crate) as_of: u64,
    /// Which of the request's traces goes on.
    pub(crate) trace_idx: u32,
    /// Its last segment that was sent; nothing if none was.
    pub(crate) after: Option<SegmentId>,
}

/// Where a page of `GetTraceSummaries` ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SummariesCursor {
    /// Traces that first arrived after this stamp are not part of any page.
    pub(crate) as_of: u64,
    /// The last trace looked at.
    pub(crate) after: Position,
}

/// Where a page of `ListRetrievedTraces` ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetrievalCursor {
    /// Which of the retrieval's traces goes on.
    pub(crate) trace_idx: u32,
    /// How many of its documents were sent.
    pub(crate) n_spans: u32,
}

impl RetrievalCursor {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.trace_idx.to_be_bytes().to_vec();
        bytes.extend(self.n_spans.to_be_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidToken> {
        let (trace_idx, n_spans) = bytes.split_first_chunk::<4>().ok_or(InvalidToken)?;
        Ok(Self {
            trace_idx: u32::from_be_bytes(*trace_idx),
            n_spans: u32::from_be_bytes(n_spans.try_into().map_err(|_| InvalidToken)?),
        })
    }
}

impl BatchCursor {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.as_of.to_be_bytes().to_vec();
        bytes.extend(self.trace_idx.to_be_bytes());
        if let Some(after) = self.after {
            bytes.extend(after.0.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidToken> {
        let (as_of, rest) = bytes.split_first_chunk::<8>().ok_or(InvalidToken)?;
        let (trace_idx, rest) = rest.split_first_chunk::<4>().ok_or(InvalidToken)?;
        let after = match rest {
            [] => None,
            rest => Some(u64::from_be_bytes(
                rest.try_into().map_err(|_| InvalidToken)?,
            )),
        };
        Ok(Self {
            as_of: u64::from_be_bytes(*as_of),
            trace_idx: u32::from_be_bytes(*trace_idx),
            after: after.map(SegmentId),
        })
    }
}

impl SummariesCursor {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.as_of.to_be_bytes().to_vec();
        bytes.extend(self.after.start.as_nanos().to_be_bytes());
        bytes.extend(self.after.trace_id.as_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidToken> {
        let (as_of, rest) = bytes.split_first_chunk::<8>().ok_or(InvalidToken)?;
        let (start, rest) = rest.split_first_chunk::<8>().ok_or(InvalidToken)?;
        let trace_id: [u8; 16] = rest.try_into().map_err(|_| InvalidToken)?;
        let after = Position {
            start: Timestamp::from_nanos(u64::from_be_bytes(*start)),
            trace_id: TraceId::from_bytes(trace_id),
        };
        Ok(Self {
            as_of: u64::from_be_bytes(*as_of),
            after,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_read_back() {
        for after in [None, Some(SegmentId(7))] {
            let cursor = BatchCursor {
                as_of: 9,
                trace_idx: 3,
                after,
            };
            assert_eq!(BatchCursor::parse(&cursor.to_bytes()), Ok(cursor));
        }
        let after = Position {
            start: Timestamp::from_secs(5),
            trace_id: TraceId::from_bytes([3; 16]),
        };
        let cursor = RetrievalCursor {
            trace_idx: 4,
            n_spans: 200,
        };
        assert_eq!(RetrievalCursor::parse(&cursor.to_bytes()), Ok(cursor));
        let cursor = SummariesCursor { as_of: 9, after };
        assert_eq!(SummariesCursor::parse(&cursor.to_bytes()), Ok(cursor));
    }

    #[test]
    fn cursors_of_another_length_are_refused() {
        for length in [0, 11, 13, 19, 21] {
            assert_eq!(
                BatchCursor::parse(&vec![0; length]),
                Err(InvalidToken),
                "{length}"
            );
        }
        assert_eq!(SummariesCursor::parse(&[0; 31]), Err(InvalidToken));
        assert_eq!(RetrievalCursor::parse(&[0; 7]), Err(InvalidToken));
    }
}
