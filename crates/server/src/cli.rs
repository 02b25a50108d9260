//! The command line: what can be asked of the program, and its exit codes.

mod check;
mod client;
mod conform;
mod documents;
mod get;
mod put;
mod restore;
mod tree;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::config::settings::{self, Flag, Settings};
use crate::config::values::Durability;
use crate::config::{Config, Sources};
use crate::log;
use crate::reload::Reload;
use crate::serve::serve;
use crate::shutdown::Signals;
use client::Endpoint;

/// A persistent trace server that speaks the AWS X-Ray API.
#[derive(Debug, Parser)]
#[command(name = "roentgen", version, max_term_width = 100, args_override_self = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    settings: SettingFlags,
    #[command(flatten)]
    experiments: ExperimentFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Flags for tests of the program itself.
#[derive(Debug, Args)]
struct ExperimentFlags {
    /// Run without the guard that makes writes durable: the control of the power-loss test
    #[arg(long, global = true, hide = true)]
    unsafe_no_guard: bool,
}

/// Flags that set what the configuration file and the environment can set, too.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
struct SettingFlags {
    /// Where the X-Ray API is served; port 0 takes any free port
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where datagrams of X-Ray SDKs are taken, or "off"
    #[arg(long, global = true, value_name = "ADDRESS|off")]
    udp: Option<String>,
    /// Where OpenTelemetry spans are taken over gRPC, or "off"
    #[arg(long, global = true, value_name = "ADDRESS|off")]
    otlp_grpc: Option<String>,
    /// Where OpenTelemetry spans are taken over HTTP, or "off"
    #[arg(long, global = true, value_name = "ADDRESS|off")]
    otlp_http: Option<String>,
    /// The folder everything is kept in
    #[arg(long, global = true, value_name = "FOLDER")]
    data: Option<String>,
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "A configuration file; also ROENTGEN_CONFIG"
    )]
    config: Option<PathBuf>,
    /// How long a trace is kept, such as 12h or 7d
    #[arg(long, global = true, value_name = "TIME")]
    retention: Option<String>,
    /// How much disk the data may take, such as 20GiB; the oldest goes first
    #[arg(long, global = true, value_name = "SIZE")]
    max_disk: Option<String>,
    /// How log lines are written: text or json
    #[arg(long, global = true, value_name = "FORMAT")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a command, too)
    Serve,
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Send segment documents to a server
    #[command(long_about = PUT_ABOUT)]
    Put {
        /// The file to read, "-" for standard input
        file: PathBuf,
        #[command(flatten)]
        server: ServerFlag,
    },
    /// Print traces of a server
    ///
    /// Exit codes: 0 all found, 5 some missing, 3 none found, 4 no server, 2 not a trace id.
    Get {
        /// Trace ids, as X-Ray or W3C trace context writes them
        #[arg(required = true, value_name = "TRACE_ID")]
        trace_ids: Vec<String>,
        #[arg(
            long,
            help = "Print the traces as JSON, as BatchGetTraces returns them"
        )]
        json: bool,
        #[command(flatten)]
        server: ServerFlag,
    },
    /// Check how well a server speaks the X-Ray API
    #[command(long_about = CONFORM_ABOUT)]
    Conform {
        #[command(flatten)]
        options: conform::Options,
        #[command(flatten)]
        server: ServerFlag,
    },
    /// Verify every record of a store no server has open; exit code 6 if anything is damaged
    Check {
        #[arg(
            long,
            help = "Also make again what is derived from documents, and compare"
        )]
        deep: bool,
    },
    /// Make a store of a backup, in the data folder, which must be empty or not there, and check it
    #[command(long_about = RESTORE_ABOUT)]
    Restore {
        /// The backup, "-" for standard input
        file: PathBuf,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting, its value and where it is from
    Show,
}

#[derive(Debug, Args)]
struct ServerFlag {
    #[arg(
        long,
        value_name = "URL",
        help = "The server to talk to; also ROENTGEN_ENDPOINT [default: the configured listen address]"
    )]
    endpoint: Option<String>,
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Done,
    /// It was not done.
    Failed,
    /// What was asked for makes no sense.
    Usage,
    /// What was asked for is not there.
    NotFound,
    /// No server answers.
    Unreachable,
    /// Only a part was done.
    Partly,
    /// The store is damaged.
    Damaged,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotFound => 3,
            Exit::Unreachable => 4,
            Exit::Partly => 5,
            Exit::Damaged => 6,
        })
    }
}

/// A command that ended before its end, and what to tell the user.
#[derive(Debug)]
pub(crate) struct Stop {
    exit: Exit,
    message: String,
}

impl Stop {
    /// Returns the end of a command with a message for people.
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }
}

/// Runs the program as its command line says.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let environment: Vec<_> = std::env::vars_os().collect();
    match dispatch(cli, environment) {
        Ok(exit) => exit.into(),
        Err(stop) => {
            note(&format!("roentgen: {}", stop.message));
            stop.exit.into()
        }
    }
}

fn dispatch(cli: Cli, environment: Vec<(OsString, OsString)>) -> Result<Exit, Stop> {
    let endpoint = settings::endpoint(&environment);
    let sources = cli.settings.into_sources(environment);
    if let Some(Command::Version) = cli.command {
        return print(&format!("roentgen {}\n", env!("CARGO_PKG_VERSION")));
    }
    let (config, settings) =
        Config::load(&sources).map_err(|error| Stop::new(Exit::Usage, error))?;
    let address = |flag: ServerFlag| {
        let text = flag.endpoint.or(endpoint);
        Endpoint::choose(text.as_deref(), &config).map_err(|error| Stop::new(Exit::Usage, error))
    };
    match cli.command {
        None | Some(Command::Serve) => {
            serve_until_signalled(config, settings, sources, &cli.experiments)
        }
        Some(Command::Config {
            command: ConfigCommand::Show,
        }) => print(&settings.to_string()),
        Some(Command::Put { file, server }) => {
            let documents = documents::read(&file)?;
            let n_batch = config
                .limits
                .documents_per_call
                .min(put::DOCUMENTS_PER_CALL);
            client_runtime()?.block_on(put::run(&address(server)?, &documents, n_batch))
        }
        Some(Command::Get {
            trace_ids,
            json,
            server,
        }) => {
            let endpoint = address(server)?;
            client_runtime()?.block_on(get::run(&endpoint, &trace_ids, json))
        }
        Some(Command::Conform { options, server }) => {
            client_runtime()?.block_on(conform::run(&address(server)?, &options))
        }
        Some(Command::Check { deep: false }) => check::run(&config),
        Some(Command::Check { deep: true }) => check::run_deep(&config),
        Some(Command::Restore { file }) => restore::run(&config, &file),
        Some(Command::Version) => Ok(Exit::Done),
    }
}

impl SettingFlags {
    fn into_sources(self, environment: Vec<(OsString, OsString)>) -> Sources {
        let values = [
            ("--listen", "server.listen", self.listen),
            ("--udp", "server.udp", self.udp),
            ("--otlp-grpc", "server.otlp_grpc", self.otlp_grpc),
            ("--otlp-http", "server.otlp_http", self.otlp_http),
            ("--data", "data.dir", self.data),
            ("--retention", "storage.retention", self.retention),
            ("--max-disk", "storage.max_disk", self.max_disk),
            ("--log", "log.format", self.log),
        ];
        let set = |(name, key, value): (_, _, Option<String>)| {
            value.map(|value| Flag { name, key, value })
        };
        Sources {
            flags: values.into_iter().filter_map(set).collect(),
            file: self.config,
            environment,
        }
    }
}

/// Runs the server. The guard must stand before any thread exists, so it is set up here, before the
/// runtime is.
fn serve_until_signalled(
    config: Config,
    settings: Settings,
    sources: Sources,
    experiments: &ExperimentFlags,
) -> Result<Exit, Stop> {
    let guard = if experiments.unsafe_no_guard {
        Ok(())
    } else {
        storage::guard::install()
    };
    let log = log::start(&config);
    if experiments.unsafe_no_guard {
        tracing::error!("running without the guard: the loss of power may destroy the whole store");
    }
    match (guard, config.storage.durability) {
        (Ok(()), _) => {}
        (Err(error), Durability::Sync) => return Err(Stop::new(Exit::Failed, error)),
        (Err(error), Durability::Interval) => {
            tracing::warn!(%error, "writes may be lost when power fails");
        }
    }
    let reload = Reload {
        sources,
        settings: Mutex::new(settings),
        log,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("roentgen")
        .build()
        .map_err(|error| Stop::new(Exit::Failed, format!("starting threads: {error}")))?;
    runtime.block_on(async {
        let failed = |error| Stop::new(Exit::Failed, error);
        let signals = Signals::catch().map_err(failed)?;
        let hangups = signal(SignalKind::hangup()).map_err(failed)?;
        serve(config, reload, hangups, signals.stop())
            .await
            .map_err(|error| Stop::new(Exit::Failed, error))?;
        Ok(Exit::Done)
    })
}

fn client_runtime() -> Result<tokio::runtime::Runtime, Stop> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::new(Exit::Failed, format!("starting: {error}")))
}

/// Writes a result to standard output; that nobody reads it is no failure (`roentgen get ... | head`).
fn print(text: &str) -> Result<Exit, Stop> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Stop::new(
            Exit::Failed,
            format!("writing the result: {error}"),
        )),
        Ok(()) | Err(_) => Ok(Exit::Done),
    }
}

/// Writes a line for people to standard error; there is nowhere to tell that this did not work.
fn note(line: &str) {
    let _unheard = writeln!(io::stderr().lock(), "{line}");
}

/// Returns text of others with control characters made harmless for a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

const AFTER_HELP: &str = "Every setting, its default and how to set it in a file or in the environment: roentgen config show";
const PUT_ABOUT: &str = "Send segment documents to a server

The input is one document, a list of documents, documents one after the other (such as one a line), or
whole PutTraceSegments bodies. Exit codes: 0 all accepted, 5 some refused, 1 none accepted, 4 no server,
2 unreadable input.";
const RESTORE_ABOUT: &str = "Make a store of a backup, in the data folder, which must be empty or not there, and check it

A backup is what GET /api/v1/backup of a server answers. It is unpacked beside the folder, verified against its checksums
and only then given its name. Exit codes: 0 restored and sound, 2 the folder is not empty, 3 no such file, 6 no whole backup.";
const CONFORM_ABOUT: &str = "Check how well a server speaks the X-Ray API

Every operation is called, rightly and wrongly, and every answer is held against the service model and against
what was sent before. What is made carries a name that begins with conform- and is removed again, traces apart:
they go with the server's retention. Exit codes: 0 everything passed, 1 something failed, 4 no server.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    fn check(arguments: &[&str], flags: &[(&str, &str)]) {
        let cli = Cli::try_parse_from([&["roentgen"], arguments].concat()).unwrap();
        let sources = cli.settings.into_sources(Vec::new());
        let set: Vec<_> = sources
            .flags
            .iter()
            .map(|flag| (flag.key, flag.value.as_str()))
            .collect();
        assert_eq!(set, flags);
    }

    #[test]
    fn settings_are_taken_with_and_without_the_command() {
        check(&[], &[]);
        check(
            &["--listen", "127.0.0.1:0"],
            &[("server.listen", "127.0.0.1:0")],
        );
        check(
            &["serve", "--listen", "127.0.0.1:0"],
            &[("server.listen", "127.0.0.1:0")],
        );
        check(
            &["--data", "d", "serve", "--log", "json"],
            &[("data.dir", "d"), ("log.format", "json")],
        );
        check(&["check", "--data", "d"], &[("data.dir", "d")]);
        check(
            &[
                "--udp",
                "off",
                "--otlp-grpc",
                "off",
                "--otlp-http",
                "off",
                "--retention",
                "1d",
                "--max-disk",
                "1GiB",
            ],
            &[
                ("server.udp", "off"),
                ("server.otlp_grpc", "off"),
                ("server.otlp_http", "off"),
                ("storage.retention", "1d"),
                ("storage.max_disk", "1GiB"),
            ],
        );
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\u{fffd}");
    }
}
