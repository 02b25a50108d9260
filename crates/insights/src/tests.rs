//! The detector over generated traffic, and insights over a store in memory.

mod detector;
mod quiet;
mod support;
