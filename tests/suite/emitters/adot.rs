//! adot
