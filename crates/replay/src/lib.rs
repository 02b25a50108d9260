//! Recorded traffic, moved to another time and given new ids, and when each piece of it is due.
//!
//! The secret this crate hides is where in a document or request body times and ids stand, and how they are exchanged
//! while every other byte stays as it is. [`Rewrite`] does that for segment documents, request bodies and datagrams;
//! [`Pace`] says when they are to be sent.
//!
//! # Times
//!
//! A [`Shift`] is a whole number of seconds. So every number keeps its notation and all its digits below the second,
//! integers stay integers, lengths of time stay exact to the last digit, and the epoch inside trace ids moves by exactly
//! as much as the times beside it. Moved are `start_time` and `end_time` of segments and of subsegments at any depth, the
//! seconds inside of trace ids, the times of events in what is kept of a span (metadata, namespace `otel.span`), and
//! `Timestamp` in statistics of samplers and records of telemetry. A number in a string is moved and stays a string.
//! Annotations, other metadata, `http`, `aws` and `sql` say what users and services say, and are never looked into.
//!
//! # Ids
//!
//! [`NewIds`] are permutations, keyed by a seed and a round: no two ids become one, no table is kept, and one id becomes
//! the same id in every document, process and resumed run. Segment ids map alike in every trace: a link's id needs its
//! own trace no more than a subsegment sent without a readable one does. Mapped are `trace_id`, `id`, `parent_id`,
//! `precursor_ids`, the two ids of `links`, `cause` that is an id, `id` and `cause` of exceptions, and the ids of parents,
//! links and services in what is kept of a span. The case of hex digits stays.
//!
//! # What is malformed
//!
//! A replay of bad input is bad input: what is not JSON stays as it is, byte for byte, and so does every time or id that a
//! server would not take as one (`null`, milliseconds beyond the year 2554, 15 hex digits). JSON that breaks other rules
//! is moved like any other, so that its refusal names the new id.
//!
//! Everything here is a pure function of its arguments, in linear time and without recursion.
//! It must never know where traffic is recorded, how it is sent, or what time it is.
//!
//! ```
//! use model::Timestamp;
//! use replay::{NewIds, Rewrite, Shift};
//!
//! let text = r#"{"trace_id": "1-581cf771-a006649127e371903a2de979", "id": "70de5b6f19ff9a0a",
//!     "name": "Scorekeep", "start_time": 1.478293361271E9, "end_time": 1478293361.449}"#;
//! let recorded = replay::first_start(text).ok_or("no start")?;
//! let shift = Shift::between(recorded, Timestamp::from_secs(1_700_000_000));
//! let moved = Rewrite { shift, ids: None }.document(text)?;
//! assert_eq!(moved, r#"{"trace_id": "1-6553f0ff-a006649127e371903a2de979", "id": "70de5b6f19ff9a0a",
//!     "name": "Scorekeep", "start_time": 1.699999999271E9, "end_time": 1699999999.449}"#);
//!
//! let ids = Some(NewIds::new(7, 0));
//! let renamed = Rewrite { shift, ids }.document(text)?;
//! assert!(!renamed.contains("70de5b6f19ff9a0a"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![warn(missing_docs)]

mod feistel;
mod ids;
mod members;
mod number;
mod pace;
mod rewrite;
mod scan;
mod shift;
#[cfg(test)]
mod tests;
mod unescape;

pub use ids::NewIds;
pub use pace::{Pace, Pacing, Speed, Turn, turn};
pub use rewrite::{Body, Rewrite, Unchanged, first_start};
pub use shift::{OutOfRange, Shift};
