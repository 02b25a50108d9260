//! The only definition of green.

use anyhow::Result;

use crate::run::{cargo, run, step};
use crate::{tidy, tools};

/// How thorough a run is.
#[derive(Clone, Copy)]
pub(crate) enum Mode {
    /// Minutes: what every change passes.
    Normal,
    /// Half an hour and more: crash and power rounds in full, overload and fuzzing by the minute.
    Long,
}

/// Installs what is missing, then checks and tests everything. The tests come last, so that their summary
/// closes the output.
pub(crate) fn all(mode: Mode) -> Result<()> {
    step("tools", tools::install)?;
    step("fmt", || run(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", tidy::all)?;
    step("clippy", || {
        run(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    // Advisories need a database that is fetched: deny.toml holds the decisions for those who check them.
    step("deny", || {
        run(&mut cargo(&[
            "deny",
            "--locked",
            "--workspace",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))
    })?;
    step("build", || {
        run(&mut cargo(&["build", "--package", "server", "--locked"]))
    })?;
    step("doc tests", || {
        run(&mut cargo(&[
            "test",
            "--doc",
            "--workspace",
            "--locked",
            "--quiet",
        ]))
    })?;
    step("tests", || nextest(mode, &["--workspace"]))
}

/// Runs the crash and power-loss rounds alone, in full.
pub(crate) fn crash() -> Result<()> {
    step("tools", tools::install)?;
    step("build", || {
        run(&mut cargo(&["build", "--package", "server", "--locked"]))
    })?;
    let rounds = "test(/^(crash|power)::/)";
    step("crash", || {
        nextest(
            Mode::Long,
            &[
                "--package",
                "roentgen-tests",
                "--no-capture",
                "--filterset",
                rounds,
            ],
        )
    })
}

fn nextest(mode: Mode, arguments: &[&str]) -> Result<()> {
    let mut command = cargo(&["nextest", "run", "--locked", "--profile"]);
    match mode {
        Mode::Normal => command.arg("ci"),
        Mode::Long => command.arg("long").env("LONG", "1"),
    };
    run(command.args(arguments))
}
