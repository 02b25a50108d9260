//! What the black-box suite and the benchmarks stand on: starting the real binary, speaking to it over
//! plain sockets, making realistic load, and remembering what it acknowledged.
//!
//! The secret it hides: how a server under test is found, started, watched and stopped. It knows the wire
//! and the command line and nothing of the house: no crate of the server is imported here.

pub mod disk;
pub mod generate;
pub mod http;
pub mod http2;
pub mod ledger;
pub mod process;
pub mod random;
pub mod scripted;
pub mod server;
pub mod signing;
pub mod terminal;
pub mod tls;
pub mod traffic;
pub mod wait;

pub use http::{Connection, Response};
pub use ledger::Ledger;
pub use server::{Home, Server};
