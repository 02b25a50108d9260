//! The command line: what can be asked of the program, and its exit codes.

mod check;
mod examples;
mod manual;
mod restore;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use cli::{Exit, Stop, Surroundings, note, print, printable};
use tokio::signal::unix::{SignalKind, signal};

use crate::clock;
use crate::config::settings::{DEFAULTS, Flag, Settings};
use crate::config::values::Durability;
use crate::config::{Config, Sources};
use crate::log;
use crate::reload::Reload;
use crate::serve::serve;
use crate::shutdown::Signals;

/// A persistent trace server that speaks the AWS X-Ray API.
#[derive(Debug, Parser)]
#[command(
    name = "roentgen", version, max_term_width = 100, args_override_self = true,
    before_help = examples::PROGRAM, after_help = AFTER_HELP
)]
struct Cli {
    #[command(flatten)]
    settings: SettingFlags,
    #[command(subcommand)]
    command: Option<Command>,
}

// What is told of the last part is told of the whole.
#[derive(Debug, Parser)]
#[command(name = "roentgen")]
struct Whole {
    #[command(flatten)]
    experiments: ExperimentFlags,
    #[command(flatten)]
    cli: Cli,
}

/// Flags for tests of the program itself.
#[derive(Debug, Args)]
struct ExperimentFlags {
    /// Run without the guard that makes writes durable: the control of the power-loss test
    #[arg(long, global = true, hide = true)]
    unsafe_no_guard: bool,
}

/// Flags that set what the configuration file and the environment can set, too. They stand before the command, or behind one that
/// is about a server of this machine.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
struct SettingFlags {
    /// Where the X-Ray API is served; port 0 takes any free port
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where datagrams of X-Ray SDKs are taken, or "off"
    #[arg(long, value_name = "ADDRESS|off")]
    udp: Option<String>,
    /// Where OpenTelemetry spans are taken over gRPC, or "off"
    #[arg(long, value_name = "ADDRESS|off")]
    otlp_grpc: Option<String>,
    /// Where OpenTelemetry spans are taken over HTTP, or "off"
    #[arg(long, value_name = "ADDRESS|off")]
    otlp_http: Option<String>,
    #[command(flatten)]
    place: PlaceFlags,
    /// How long a trace is kept, such as 12h or 7d
    #[arg(long, value_name = "TIME")]
    retention: Option<String>,
    /// How much disk the data may take, such as 20GiB; the oldest goes first
    #[arg(long, value_name = "SIZE")]
    max_disk: Option<String>,
    /// How log lines are written: text or json
    #[arg(long, value_name = "FORMAT")]
    log: Option<String>,
}

/// Flags that say which store is meant.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
struct PlaceFlags {
    /// The folder everything is kept in
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
    #[arg(
        long,
        value_name = "FILE",
        help = "A configuration file; also ROENTGEN_CONFIG"
    )]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a command, too)
    #[command(before_help = examples::SERVE)]
    Serve {
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Look at the configuration
    #[command(before_help = examples::CONFIG)]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    #[command(flatten)]
    Client(Box<cli::Command>),
    /// Verify every record of a store no server has open; exit code 6 if anything is damaged
    #[command(before_help = examples::CHECK)]
    Check {
        #[arg(
            long,
            help = "Also make again what is derived from documents, and compare"
        )]
        deep: bool,
        #[command(flatten)]
        place: PlaceFlags,
    },
    /// Make a store of a backup, in the data folder, which must be empty or not there, and check it
    #[command(before_help = examples::RESTORE, long_about = RESTORE_ABOUT)]
    Restore {
        /// The backup, "-" for standard input
        file: PathBuf,
        #[command(flatten)]
        place: PlaceFlags,
    },
    /// Print completions for a shell
    #[command(before_help = manual::COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each command
    #[command(before_help = manual::MAN_EXAMPLES)]
    Man {
        /// The folder to write a page for each command into
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
    /// Print the version
    #[command(before_help = examples::VERSION)]
    Version,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every setting, its value and where it is from
    #[command(before_help = examples::CONFIG_SHOW)]
    Show {
        #[command(flatten)]
        settings: SettingFlags,
    },
    /// Tell whether a configuration file is right; exit code 2 and what is wrong if not
    #[command(before_help = examples::CONFIG_CHECK)]
    Check {
        /// The file
        file: PathBuf,
    },
    /// Print the file of defaults, which explains every setting
    #[command(before_help = examples::CONFIG_DEFAULT)]
    Default,
}

/// Runs the program as its command line says.
pub fn run() -> ExitCode {
    let environment: Vec<_> = std::env::vars_os().collect();
    let ended = match Whole::try_parse() {
        Ok(whole) => dispatch(whole, environment),
        // Asked for help or the version: a result like any other.
        Err(told) if !told.use_stderr() && !std::io::stdout().is_terminal() => {
            print(&told.render().to_string()).map(|()| Exit::Done)
        }
        Err(told) => told.exit(),
    };
    match ended {
        Ok(exit) => exit.into(),
        Err(stop) => {
            if !stop.message.is_empty() {
                note(&format!("roentgen: {}", stop.message));
            }
            stop.exit.into()
        }
    }
}

fn dispatch(whole: Whole, environment: Vec<(OsString, OsString)>) -> Result<Exit, Stop> {
    let Whole {
        mut cli,
        experiments,
    } = whole;
    let sources = cli.sources(environment);
    let load = || Config::load(&sources).map_err(|error| Stop::new(Exit::Usage, error));
    match cli.command {
        None | Some(Command::Serve { .. }) => {
            let (config, settings) = load()?;
            serve_until_signalled(config, settings, sources, &experiments)
        }
        Some(Command::Config { command }) => configure(command, &sources),
        Some(Command::Client(command)) => {
            let (config, _) = load()?;
            let surroundings = Surroundings {
                listen: config.server.listen.0,
                environment: sources.environment,
                documents_per_call: config.limits.documents_per_call,
                now: clock::now,
            };
            cli::run(*command, &surroundings)
        }
        Some(Command::Completions { shell }) => manual::complete(Cli::command(), shell),
        Some(Command::Man { dir }) => manual::print_or_write(Cli::command(), dir.as_deref()),
        Some(Command::Version) => {
            print(&format!("roentgen {}\n", env!("CARGO_PKG_VERSION"))).map(|()| Exit::Done)
        }
        Some(Command::Check { deep: false, .. }) => check::run(&load()?.0),
        Some(Command::Check { deep: true, .. }) => check::run_deep(&load()?.0),
        Some(Command::Restore { file, .. }) => restore::run(&load()?.0, &file),
    }
}

fn configure(command: ConfigCommand, sources: &Sources) -> Result<Exit, Stop> {
    let load = |sources: &Sources| {
        let loaded = Config::load(sources);
        loaded.map_err(|error| Stop::new(Exit::Usage, error))
    };
    let text = match command {
        ConfigCommand::Show { .. } => load(sources)?.1.to_string(),
        ConfigCommand::Check { file } => {
            // What is set elsewhere must not hide what is wrong here.
            let name = printable(&file.display().to_string());
            load(&Sources {
                file: Some(file),
                ..Sources::default()
            })?;
            format!("{name}: sound\n")
        }
        ConfigCommand::Default => DEFAULTS.to_owned(),
    };
    print(&text).map(|()| Exit::Done)
}

impl Cli {
    /// Returns what was set; what stands behind the command goes before what stands before it.
    fn sources(&mut self, environment: Vec<(OsString, OsString)>) -> Sources {
        let behind = match &mut self.command {
            Some(
                Command::Serve { settings }
                | Command::Config {
                    command: ConfigCommand::Show { settings },
                },
            ) => std::mem::take(settings),
            Some(Command::Check { place, .. } | Command::Restore { place, .. }) => SettingFlags {
                place: std::mem::take(place),
                ..SettingFlags::default()
            },
            _ => SettingFlags::default(),
        };
        let before = std::mem::take(&mut self.settings);
        Sources {
            file: behind
                .place
                .config
                .clone()
                .or_else(|| before.place.config.clone()),
            flags: before.into_flags().chain(behind.into_flags()).collect(),
            environment,
        }
    }
}

impl SettingFlags {
    fn into_flags(self) -> impl Iterator<Item = Flag> {
        let values = [
            ("--listen", "server.listen", self.listen),
            ("--udp", "server.udp", self.udp),
            ("--otlp-grpc", "server.otlp_grpc", self.otlp_grpc),
            ("--otlp-http", "server.otlp_http", self.otlp_http),
            ("--data", "data.dir", self.place.data),
            ("--retention", "storage.retention", self.retention),
            ("--max-disk", "storage.max_disk", self.max_disk),
            ("--log", "log.format", self.log),
        ];
        values.into_iter().filter_map(|(name, key, value)| {
            let value = value?;
            Some(Flag { name, key, value })
        })
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

const AFTER_HELP: &str = "Every setting, its default and how to set it in a file or in the environment: roentgen config show";
const RESTORE_ABOUT: &str = "Make a store of a backup, in the data folder, which must be empty or not there, and check it

A backup is what GET /api/v1/backup of a server answers. It is unpacked into a folder of its own in the data folder, which
may be a mount point, verified against its checksums, and only then moved to its place. Exit codes: 0 restored and sound, 2 the
folder is not empty or holds what is left of a restore that was cut off, 3 no such file, 6 no whole backup.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Whole::command().debug_assert();
    }

    #[test]
    fn every_help_begins_with_examples() {
        let mut program = Cli::command();
        program.build();
        let mut names = Vec::new();
        let mut waiting = vec![&mut program];
        while let Some(command) = waiting.pop() {
            if command.get_name() == "help" {
                continue;
            }
            let help = command.clone().render_long_help().to_string();
            let mut lines = help.lines();
            assert_eq!(lines.next(), Some("Examples:"), "{help}");
            let example = lines.next().unwrap_or_default();
            assert!(
                example.starts_with("  ") && example.contains("roentgen"),
                "{help}"
            );
            names.push(command.get_name().to_owned());
            waiting.extend(command.get_subcommands_mut());
        }
        for name in [
            "serve",
            "default",
            "get",
            "bench",
            "rules",
            "show",
            "completions",
        ] {
            assert!(
                names.iter().any(|there| there == name),
                "{name} in {names:?}"
            );
        }
    }

    fn check(arguments: &[&str], flags: &[(&str, &str)]) {
        let mut cli = Cli::try_parse_from([&["roentgen"], arguments].concat()).unwrap();
        let sources = cli.sources(Vec::new());
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
        check(
            &["--data", "c", "serve", "--data", "d"],
            &[("data.dir", "c"), ("data.dir", "d")],
        );
        check(&["check", "--data", "d"], &[("data.dir", "d")]);
        check(&["--data", "d", "find"], &[("data.dir", "d")]);
        let misplaced = Cli::try_parse_from(["roentgen", "find", "--data", "d"]);
        assert!(misplaced.is_err());
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
}
