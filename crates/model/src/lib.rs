//! What a segment document is, and how documents become a trace.
//!
//! The secret this crate hides is the segment schema: which members a document has, which of them a
//! server may trust, and how documents that arrive apart and in any order are one trace again.
//! Everything here is a pure function of its arguments: no clock, no I/O, no async, no store.
#![warn(missing_docs)]

mod head;
mod id;
mod summary;
mod time;

pub use head::{AnnotationValue, Call, DocumentKind, Flags, Head, HttpFacts};
pub use id::{InvalidId, SegmentId, Tenant, TraceId};
pub use summary::{IndexedAnnotation, Service, Summary, SummaryFlags, User};
pub use time::{InvalidTime, Timestamp};
