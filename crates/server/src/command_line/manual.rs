//! `roentgen completions` and `roentgen man`: the command line told to shells and to readers.

use std::fs;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use clap_complete::Shell;
use clap_mangen::Man;
use cli::{Exit, Stop, print};

/// Prints what a shell needs to complete the command line.
pub(super) fn complete(mut program: Command, shell: Shell) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, NAME, &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Prints the manual page of the program, or writes one for each command into a folder that is made if need be.
pub(super) fn print_or_write(mut program: Command, folder: Option<&Path>) -> Result<Exit, Stop> {
    program.build();
    let Some(folder) = folder else {
        print(&page(&program)?)?;
        return Ok(Exit::Done);
    };
    let failed = |error| Stop::new(Exit::Failed, format!("{}: {error}", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    for (name, text) in pages(&program)? {
        fs::write(folder.join(name), text).map_err(failed)?;
    }
    Ok(Exit::Done)
}

/// Returns the name and the text of the page of a command and of each one below it that is not hidden.
fn pages(program: &Command) -> Result<Vec<(String, String)>, Stop> {
    let mut pages = Vec::new();
    let mut waiting = vec![program];
    while let Some(command) = waiting.pop() {
        let man = Man::new(command.clone());
        pages.push((man.get_filename(), page(command)?));
        let below = command.get_subcommands();
        waiting.extend(below.filter(|below| !below.is_hide_set() && below.get_name() != "help"));
    }
    Ok(pages)
}

fn page(command: &Command) -> Result<String, Stop> {
    let mut text = Vec::new();
    let name = command.get_display_name().unwrap_or(command.get_name());
    Man::new(command.clone().override_usage(usage(command)))
        .title(name.to_uppercase())
        .date(DATE)
        .manual("User Commands")
        .source(concat!("roentgen ", env!("CARGO_PKG_VERSION")))
        .render(&mut text)
        .map_err(|error| Stop::new(Exit::Failed, error))?;
    // An empty line is one macro, not three lines.
    let text = String::from_utf8_lossy(&text).replace(".br\n\n.br\n", ".sp\n");
    let Some(examples) = command.get_before_help() else {
        return Ok(text);
    };
    // They come before the description, as in the help.
    let examples = section(&examples.to_string());
    let (before, behind) = text.split_once(DESCRIPTION).unwrap_or((&text, ""));
    Ok(format!("{before}{examples}{DESCRIPTION}{behind}"))
}

/// Returns how a command is called, with the values of its flags, which the generator leaves out.
fn usage(command: &Command) -> String {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let mut parts = vec![name.to_owned()];
    let arguments = command.get_arguments();
    let (places, flags): (Vec<&Arg>, Vec<&Arg>) = arguments
        .filter(|argument| !argument.is_hide_set())
        .partition(|argument| argument.is_positional());
    parts.extend(flags.into_iter().chain(places).map(one));
    if command.has_subcommands() {
        parts.push("<COMMAND>".to_owned());
    }
    parts.join(" ")
}

/// Returns an argument as a usage has it, in brackets if it may be left out.
fn one(argument: &Arg) -> String {
    let flags = [
        argument.get_short().map(|short| format!("-{short}")),
        argument.get_long().map(|long| format!("--{long}")),
    ];
    let mut text = flags.into_iter().flatten().collect::<Vec<_>>().join("|");
    if argument.is_positional() || argument.get_action().takes_values() {
        let names = argument.get_value_names().unwrap_or_default();
        for name in names {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(name);
        }
    }
    let is_list = matches!(argument.get_action(), ArgAction::Append);
    let more = if is_list { "..." } else { "" };
    if argument.is_required_set() {
        format!("{text}{more}")
    } else {
        format!("[{text}]{more}")
    }
}

/// Returns the section with a command's examples, which the generator leaves out.
fn section(examples: &str) -> String {
    let mut text = ".SH EXAMPLES\n.nf\n".to_owned();
    for line in examples.lines().skip(1) {
        // No line may begin with what roff takes for a request.
        text.push_str("\\&");
        text.push_str(&line.trim_start().replace('\\', "\\e").replace('-', "\\-"));
        text.push('\n');
    }
    text.push_str(".fi\n");
    text
}

const NAME: &str = "roentgen";
/// When the pages were written. It is not the time of the build, so that the same source makes the same pages.
const DATE: &str = "2026-11-22";
const DESCRIPTION: &str = ".SH DESCRIPTION\n";
pub(super) const COMPLETIONS_EXAMPLES: &str = "Examples:
  roentgen completions bash > /etc/bash_completion.d/roentgen
  roentgen completions zsh > ~/.zfunc/_roentgen
  roentgen completions fish > ~/.config/fish/completions/roentgen.fish";
pub(super) const MAN_EXAMPLES: &str = "Examples:
  roentgen man | man -l -
  roentgen man --dir /usr/local/share/man/man1";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::command_line::Cli;

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let mut program = Cli::command();
        program.build();
        let pages = pages(&program).unwrap();
        let text = |wanted: &str| {
            let page = pages.iter().find(|(name, _)| name == wanted);
            page.map(|(_, text)| text.as_str()).unwrap_or_default()
        };
        for command in [
            "roentgen",
            "roentgen-get",
            "roentgen-config-show",
            "roentgen-man",
        ] {
            let text = text(&format!("{command}.1"));
            assert!(text.contains(".SH SYNOPSIS"), "{command}: {text}");
        }
        let put = text("roentgen-put.1");
        let at = |section: &str| put.find(&format!(".SH {section}\n"));
        assert!(at("SYNOPSIS") < at("EXAMPLES") && at("EXAMPLES") < at("DESCRIPTION"));
        let (_, options) = put.split_once(DESCRIPTION).unwrap();
        assert!(options.contains(".SH OPTIONS\n"), "{put}");
        let head = put.lines().find(|line| line.starts_with(".TH"));
        let source = concat!("roentgen ", env!("CARGO_PKG_VERSION"));
        let expected = format!(".TH ROENTGEN-PUT 1 {DATE} \"{source}\" \"User Commands\"");
        assert_eq!(head, Some(expected.as_str()));
        assert!(!pages.iter().any(|(name, _)| name.contains("help")));
    }

    #[test]
    fn a_usage_has_the_values_of_flags() {
        let check = |argument: Arg, expected: &str| assert_eq!(one(&argument), expected);
        check(
            Arg::new("a").long("all").action(ArgAction::SetTrue),
            "[--all]",
        );
        check(
            Arg::new("a").short('o').long("output").value_name("FILE"),
            "[-o|--output FILE]",
        );
        check(
            Arg::new("a")
                .long("edge")
                .value_names(["FROM", "TO"])
                .required(true),
            "--edge FROM TO",
        );
        check(
            Arg::new("a").value_name("ID").action(ArgAction::Append),
            "[ID]...",
        );
        check(Arg::new("a").value_name("FILE").required(true), "FILE");
    }

    #[test]
    fn examples_reach_the_page_as_they_are() {
        assert_eq!(
            section("Examples:\n  roentgen get - \\{\n  .x"),
            ".SH EXAMPLES\n.nf\n\\&roentgen get \\- \\e{\n\\&.x\n.fi\n"
        );
    }

    #[test]
    fn completions_name_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(
                script.contains("conform") && script.contains("endpoint"),
                "{shell}"
            );
        }
    }
}
