//! The process: the only crate to know sockets, hyper, the clock, the environment and signals.
//!
//! The secret this crate hides is how the parts are put together and kept alive: doors, bounds,
//! configuration, figures, start and stop. It decides nothing about segments or traces. Its face is
//! [`serve`] for the server and [`run`] for the command line around it.

mod accounts;
mod app;
mod cli;
mod clock;
mod config;
mod guard;
mod handlers;
mod house;
mod http;
mod limits;
mod log;
mod metrics;
mod origin;
mod pages;
mod serve;
mod service;
mod shutdown;

pub use cli::run;
pub use config::Config;
pub use serve::{ServeError, serve};
