//! Sampling as a whole, over a store in memory.
