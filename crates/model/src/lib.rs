//! What a segment document is, and how documents become a trace.
//!
//! The secret this crate hides is the segment schema: which members a document has, which of them a
//! server may trust, and how documents that arrive apart and in any order are one trace again.
//! Everything here is a pure function of its arguments: no clock, no I/O, no async, no store.
//!
//! The way of a document: [`Segment::parse`] checks its text and [`Segment::head`] takes the facts
//! that indexes keep. [`Summary::of`] makes the line of a trace list from the heads of a trace,
//! [`Trace::compile`] the trace itself from the documents. Of two copies of one document [`wins`]
//! tells which one counts.
//!
//! Invariants: what a function returns does not depend on the order of documents or heads; text that
//! was received is shown character by character or not at all; no input makes a function panic,
//! recurse without bound, or take more than linear time but for sorting.
//!
//! It must never know how documents arrive, how they are stored, or what a response looks like.
//!
//! ```
//! use model::{Document, DocumentLimits, Orphans, Segment, Summary, Trace};
//!
//! let text = r#"{"trace_id": "1-581cf771-a006649127e371903a2de979", "id": "70de5b6f19ff9a0a",
//!     "name": "Scorekeep", "start_time": 1478293361.271, "end_time": 1478293361.449,
//!     "subsegments": [{"id": "53995c3f42cd8ad8", "name": "SNS", "namespace": "aws",
//!         "start_time": 1478293361.3, "end_time": 1478293361.4}]}"#;
//! let segment = Segment::parse(text, &DocumentLimits::default())?;
//! let summary = Summary::of(segment.trace_id(), &[segment.head()], 1);
//! assert_eq!(summary.response_ns, Some(178_000_000));
//!
//! let document = Document {
//!     segment_id: segment.id(),
//!     in_progress: segment.in_progress(),
//!     stamp: 1,
//!     first_stamp: 1,
//!     text: text.to_owned(),
//! };
//! let documents = [document];
//! let trace = Trace::compile(segment.trace_id(), &documents, Orphans::Visible);
//! assert_eq!(trace.segments.len(), 2, "the segment and the inferred one of SNS");
//! # Ok::<(), model::Invalid>(())
//! ```
#![warn(missing_docs)]

mod account;
mod block;
mod callee;
mod document;
pub mod forecast;
pub mod graph;
mod head;
mod id;
mod json;
mod member;
mod segment;
mod summary;
mod tags;
mod time;
mod trace;
mod zone;

pub use account::Account;
pub use document::{Document, Version, wins};
pub use forecast::Band;
pub use graph::{Cells, EdgeCell, EdgeKey, EdgeKind, Statistics, TraceGraph};
pub use head::{AnnotationValue, Call, DocumentKind, Flags, Head, HttpFacts, Link};
pub use id::{InvalidId, SegmentId, Tenant, TraceId};
pub use segment::{DocumentLimits, Invalid, InvalidCode, Segment};
pub use summary::{
    Derived, EdgeFacts, IndexedAnnotation, RequestFacts, RequestState, Service, Summary,
    SummaryFlags, User,
};
pub use tags::{InvalidTags, Tags};
pub use time::{InvalidTime, Timestamp};
pub use trace::{CompiledKind, CompiledSegment, Exception, Node, Orphans, Trace};
pub use zone::ZoneFacts;
