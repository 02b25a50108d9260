//! The process: the only crate to know sockets, hyper, the clock, the environment and signals.
//!
//! The secret this crate hides is how the parts are put together and kept alive: doors, bounds,
//! configuration, figures, start and stop. It decides nothing about segments or traces. Its face is
//! [`run`], the command line, which starts the server too.

mod accounts;
mod app;
mod auth;
mod backup;
mod cli;
mod clock;
mod config;
mod guard;
mod handlers;
mod house;
mod http;
mod intake;
mod limits;
mod log;
mod metrics;
mod origin;
mod pages;
mod parameters;
mod record;
mod refused;
mod reload;
mod serve;
mod service;
mod shutdown;
mod tail;
mod udp;

pub use cli::run;
pub use config::Config;
