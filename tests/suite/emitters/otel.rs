//! otel
