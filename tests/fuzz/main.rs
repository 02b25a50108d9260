//! Fuzzing of everything that reads bytes from outside, in this process and without tools: see `engine`.
//!
//! Each target runs for two seconds, with `LONG` set in the environment for a minute. `FUZZ_SEED` repeats a run. What
//! was found is kept as a plain test next to the code it was found in.

#[cfg(test)]
mod bytes;
#[cfg(test)]
mod datagrams;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod json;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod protobuf;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod signatures;
#[cfg(test)]
mod spans;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod trips;
