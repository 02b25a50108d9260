//! The project's automation: `cargo xtask <task>`. `cargo xtask test` is the only definition of green.

mod bench;
mod run;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use anyhow::{Result, bail};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test"] => test::all(test::Mode::Normal),
        ["test", "--long"] => test::all(test::Mode::Long),
        ["tidy"] => tidy::all(),
        ["crash"] => test::crash(),
        ["bench", options @ ..] => bench::all(options),
        _ => bail!("unknown task\n\n{USAGE}"),
    }
}

const USAGE: &str = "\
cargo xtask test [--long]             install what is missing, then check and test everything;
                                      --long runs the crash and power rounds in full
cargo xtask tidy                      the project's own rules alone
cargo xtask crash                     the crash and power-loss rounds alone, in full
cargo xtask bench [--quick | --full]  the whole server beside a raw append of the same bytes; --full fills 10 GB";
