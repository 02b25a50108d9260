//! The detector over generated traffic, and insights over a store in memory.

mod detector;
mod graph;
mod keeper;
mod properties;
mod quiet;
mod reads;
pub(crate) mod support;
