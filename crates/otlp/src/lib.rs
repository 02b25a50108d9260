//! Spans of OpenTelemetry and segments of X-Ray: each as the other.
#![warn(missing_docs)]
