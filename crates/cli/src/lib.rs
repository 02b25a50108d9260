//! The commands that talk to a server, and what every command needs of a terminal.
//!
//! The secret this crate hides is how any endpoint that speaks the X-Ray API is talked to (addresses, signatures,
//! patience, pages) and how a terminal is written to. Its face is [`Command`], which the program takes into its own
//! command line, and [`run`]. It must never know the configuration of a server or look into its store: what it needs of where
//! it runs is handed to it in [`Surroundings`].
//!
//! What holds of every command: results go to standard output and everything else to standard error; text of others
//! reaches a terminal without control characters; [`Exit`] says what came of it.
#![warn(missing_docs)]

mod backup;
mod bench;
mod client;
mod conform;
mod documents;
mod endpoint;
mod exit;
mod export;
mod figures;
mod filter;
mod find;
mod get;
mod groups;
mod import;
mod map;
mod moving;
mod named;
mod open;
mod pull;
mod put;
mod record;
mod replay;
mod rules;
mod spans;
mod stats;
mod stopping;
mod summary;
mod tail;
mod terminal;
mod timeline;
mod times;
mod tree;

use std::ffi::OsString;

use clap::{Args, Subcommand};
use model::Timestamp;

use client::Client;
pub use endpoint::ServerFlags;
pub use exit::{Exit, Stop};
pub use terminal::{counted, note, print, printable};

/// What a server can be asked from the command line.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Send segment documents to a server
    #[command(before_help = put::EXAMPLES, long_about = put::ABOUT)]
    Put(Asked<put::Options>),
    /// Print traces of a server
    #[command(before_help = get::EXAMPLES, long_about = get::ABOUT)]
    Get(Asked<get::Options>),
    /// Find traces of a server by a filter expression
    #[command(before_help = find::EXAMPLES, long_about = find::ABOUT)]
    Find(Asked<find::Options>),
    /// Show traces of a server as they arrive
    #[command(before_help = tail::EXAMPLES, long_about = tail::ABOUT)]
    Tail(Asked<tail::Options>),
    /// Show traces of a server in a browser
    #[command(before_help = open::EXAMPLES, long_about = open::ABOUT)]
    Open(Asked<open::Options>),
    /// Show the services of a server and their calls
    #[command(before_help = map::EXAMPLES, long_about = map::ABOUT)]
    Map(Asked<map::Options>),
    /// Show how requests fared over time
    #[command(before_help = stats::EXAMPLES, long_about = stats::ABOUT)]
    Stats(Asked<stats::Options>),
    /// List, show, put and delete sampling rules
    #[command(before_help = rules::EXAMPLES, long_about = rules::ABOUT)]
    Rules(Asked<rules::Options>),
    /// List, put and delete groups of traces
    #[command(before_help = groups::EXAMPLES, long_about = groups::ABOUT)]
    Groups(Asked<groups::Options>),
    /// Measure how much a server takes
    #[command(before_help = bench::EXAMPLES, long_about = bench::ABOUT)]
    Bench(Asked<bench::Options>),
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
    /// Keep a copy of a running server's store
    #[command(before_help = backup::EXAMPLES, long_about = backup::ABOUT)]
    Backup(Asked<backup::Options>),
    /// Send recorded traffic again
    #[command(before_help = replay::EXAMPLES, long_about = replay::ABOUT)]
    Replay(Asked<replay::Options>),
    /// Pass traffic on to a server and keep a copy of it
    #[command(before_help = record::EXAMPLES, long_about = record::ABOUT)]
    Record(record::Options),
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
    /// The environment's variables.
    pub environment: Vec<(OsString, OsString)>,
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
        Command::Find(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(find::run(&session, &options)).await
        }
        Command::Tail(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(tail::run(&session, &options)).await
        }
        Command::Open(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(open::run(&session, &options)).await
        }
        Command::Map(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(map::run(&session, &options)).await
        }
        Command::Stats(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(stats::run(&session, &options)).await
        }
        Command::Rules(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(rules::run(&session, &options)).await
        }
        Command::Groups(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(groups::run(&session, &options)).await
        }
        Command::Bench(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(bench::run(&session, &options)).await
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
        Command::Backup(asked) => {
            let (session, options) = asked.open(surroundings)?;
            Box::pin(backup::run(&session, &options)).await
        }
        Command::Replay(asked) => {
            let (session, options) = asked.towards()?.open(surroundings)?;
            Box::pin(replay::run(&session, &options)).await
        }
        Command::Record(options) => Box::pin(record::run(&options, surroundings)).await,
    }
}

impl Asked<replay::Options> {
    /// Takes the server that is sent to for the one that is talked to.
    fn towards(mut self) -> Result<Self, Stop> {
        if self.options.to.is_some() && self.server.endpoint.is_some() {
            return Err(Stop::usage("--to and --endpoint say the same; give one"));
        }
        if self.options.udp().is_none() {
            let to = self.options.to.clone();
            self.server.endpoint = to.or(self.server.endpoint);
        }
        Ok(self)
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
            environment: surroundings.environment.clone(),
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
        let mut line = Line::command();
        line.build();
        let mut n_commands = 0;
        let mut waiting: Vec<_> = line.get_subcommands_mut().collect();
        while let Some(command) = waiting.pop() {
            if command.get_name() == "help" {
                continue;
            }
            let help = command.clone().render_long_help().to_string();
            assert!(help.starts_with("Examples:\n  "), "{help}");
            assert!(
                help.lines()
                    .nth(1)
                    .is_some_and(|line| line.contains("roentgen "))
            );
            n_commands += 1;
            waiting.extend(command.get_subcommands_mut());
        }
        assert!(n_commands > 10, "{n_commands}");
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
