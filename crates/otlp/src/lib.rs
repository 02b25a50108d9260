//! Spans of OpenTelemetry and segments of X-Ray: each as the other.
#![warn(missing_docs)]

mod spans;

pub use spans::{FlatSpan, Spans, spans_of};

#[cfg(test)]
mod tests;
