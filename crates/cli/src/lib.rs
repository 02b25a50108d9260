//! The commands that talk to a server, and what every command needs of a terminal.
//!
//! The secret this crate hides is how any endpoint that speaks the X-Ray API is talked to (addresses, signatures,
//! patience, pages) and how a terminal is written to. Its face is [`Command`], which the program takes into its own
//! command line, and [`run`]; its modules are what commands are made of. It must never know the configuration of a server, its store or its parts: what it needs
//! of where it runs is handed to it in [`Surroundings`].
//!
//! What holds of every command: results go to standard output and everything else to standard error; text of others
//! reaches a terminal without control characters; [`Exit`] says what came of it.
#![warn(missing_docs)]

pub mod client;
mod conform;
mod documents;
pub mod endpoint;
mod exit;
mod export;
pub mod filter;
mod get;
mod import;
mod moving;
mod pull;
mod put;
pub mod stopping;
pub mod terminal;
pub mod times;
mod tree;

use std::ffi::OsString;

use clap::{Args, Subcommand};
use model::Timestamp;

use client::Client;
pub use endpoint::ServerFlags;
pub use exit::{Exit, Stop};
pub use terminal::{note, print, printable};

/// What a server can be asked from the command line.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send segment documents to a server
    #[command(before_help = put::EXAMPLES, long_about = put::ABOUT)]
    Put(Asked<put::Options>),
    /// Print traces of a server
    #[command(before_help = get::EXAMPLES, long_about = get::ABOUT)]
    Get(Asked<get::Options>),
    /// Check how well a server speaks the X-Ray API
    #[command(before_help = conform::EXAMPLES, long_about = conform::ABOUT)]
    Conform(Asked<conform::Options>),
    /// Write all traces of a window to a file
    #[command(before_help = export::EXAMPLES, long_about = export::ABOUT)]
    Export(Asked<export::Options>),
    /// Send traces of files, in any of the usual formats, to a server
    #[command(before_help = import::EXAMPLES, long_about = import::ABOUT)]
    Import(Asked<import::Options>),
    /// Fetch the traces of a running account, in a way that can be gone on with
    #[command(before_help = pull::EXAMPLES, long_about = pull::ABOUT)]
    Pull(Asked<pull::Options>),
}

/// What a command is asked to do, and the server it talks to.
#[derive(Args, Debug)]
pub struct Asked<O: Args> {
    #[command(flatten)]
    options: O,
    #[command(flatten)]
    server: ServerFlags,
}

/// What the commands know of where they run.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Where the configuration would have a server listen: who is talked to if nobody else is named.
    pub listen: String,
    /// The environment's variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Documents one call may carry as the configuration says.
    pub documents_per_call: usize,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// A server to talk to, and what is around.
#[derive(Clone, Debug)]
pub struct Session {
    /// The way to the server.
    pub client: Client,
    /// Documents one call may carry.
    pub documents_per_call: usize,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// Runs a command to its end.
///
/// # Errors
/// Stops with what kept it from its end.
pub fn run(command: Command, surroundings: &Surroundings) -> Result<Exit, Stop> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format!("starting: {error}")))?;
    runtime.block_on(perform(command, surroundings))
}

async fn perform(command: Command, surroundings: &Surroundings) -> Result<Exit, Stop> {
    match command {
        Command::Put(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(put::run(&session, &options)).await
        }
        Command::Get(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(get::run(&session, &options)).await
        }
        Command::Conform(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(conform::run(&session, &options)).await
        }
        Command::Export(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(export::run(&session, &options)).await
        }
        Command::Import(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(import::run(&session, &options)).await
        }
        Command::Pull(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(pull::run(&session, &options)).await
        }
    }
}

impl<O: Args> Asked<O> {
    /// Returns the way to the server and what is to be done; nothing is sent yet.
    fn open(self, surroundings: &Surroundings) -> Result<(Session, O), Stop> {
        let endpoint = self
            .server
            .endpoint(&surroundings.environment, &surroundings.listen)?;
        let client = Client::new(
            endpoint,
            &self.server,
            &surroundings.environment,
            surroundings.now,
        )?;
        let session = Session {
            client,
            documents_per_call: surroundings.documents_per_call,
            now: surroundings.now,
        };
        Ok((session, self.options))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn every_help_begins_with_examples() {
        use clap::CommandFactory;
        Line::command().debug_assert();
        for command in Line::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.starts_with("Examples:\n  roentgen "), "{help}");
        }
    }

    #[test]
    fn a_command_takes_its_options_and_its_server() {
        let line = ["roentgen", "put", "-", "--endpoint", "http://h", "--sign"];
        let Command::Put(asked) = Line::try_parse_from(line).unwrap().command else {
            panic!("not put");
        };
        assert!(asked.server.sign);
    }
}
