//! The process: the only crate to know listeners, configuration, the clock and the environment.
//!
//! The secret this crate hides is how the parts are put together and kept alive: doors, bounds,
//! configuration, figures, start and stop. It decides nothing about segments or traces. Its face is
//! [`run`], the command line, which starts the server too.

mod accounts;
mod app;
mod auth;
mod backup;
mod clock;
mod command_line;
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

pub use command_line::run;
pub use config::Config;
