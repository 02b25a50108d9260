//! Documents, bodies and datagrams, as a whole.

mod compiled;
mod recorded;
mod spans;
mod tables;
mod texts;
