//! What people are told of the commands: helps, pages, completions, configuration files, and the recipe of README.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::describe;
use roentgen_tests::server::binary_under_test;

#[test]
fn configuration_files_are_made_and_checked() -> Result<()> {
    let home = Home::new()?;
    let defaults = home.run(&["config", "default"])?;
    assert!(defaults.status.success(), "{}", describe(&defaults));
    let file = home.folder().join("roentgen.toml");
    let check = |text: &[u8]| -> Result<Output> {
        fs::write(&file, text)?;
        let mut command = home.command();
        // What the environment sets does not hide what is wrong in the file.
        command
            .args(["config", "check", "roentgen.toml"])
            .env("ROENTGEN_STORAGE_RETENTION", "7d");
        Ok(command.output()?)
    };
    let sound = check(&defaults.stdout)?;
    assert!(sound.status.success(), "{}", describe(&sound));
    for wrong in [
        "[storage]\nretention = \"soon\"\n",
        "[storag]\nx = 1\n",
        "not toml",
    ] {
        let output = check(wrong.as_bytes())?;
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(
            describe(&output).contains("roentgen.toml"),
            "{}",
            describe(&output)
        );
    }
    Ok(())
}

/// Returns the names of all commands, those below a command with a space.
fn commands(home: &Home, above: &[&str]) -> Result<Vec<Vec<String>>> {
    let output = home.run(&[above, &["--help"]].concat())?;
    let text = String::from_utf8(output.stdout)?;
    let below = text.split("\nCommands:\n").nth(1).unwrap_or_default();
    let mut all = Vec::new();
    for line in below.lines().take_while(|line| line.starts_with("  ")) {
        let name = line.split_whitespace().next();
        let Some(name) = name.filter(|name| *name != "help" && !line.starts_with("     ")) else {
            continue;
        };
        let path: Vec<&str> = [above, &[name]].concat();
        all.push(path.iter().map(|name| (*name).to_owned()).collect());
        all.extend(commands(home, &path)?);
    }
    Ok(all)
}

#[test]
fn every_command_has_examples_a_page_and_completions() -> Result<()> {
    let home = Home::new()?;
    let commands = commands(&home, &[])?;
    assert!(commands.len() > 20, "{commands:?}");
    let folder = home.folder().join("man1");
    let output = home.run(&["man", "--dir", &folder.display().to_string()])?;
    assert!(output.status.success(), "{}", describe(&output));
    for command in &commands {
        let path: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = home.run(&[&path[..], &["--help"]].concat())?;
        assert!(
            help.stdout.starts_with(b"Examples:\n  "),
            "{}",
            describe(&help)
        );
        let page = folder.join(format!("roentgen-{}.1", command.join("-")));
        let page = fs::read_to_string(&page).with_context(|| page.display().to_string())?;
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = home.run(&["completions", shell])?;
        let script = home.folder().join(shell);
        fs::write(&script, &output.stdout)?;
        let text = String::from_utf8(output.stdout)?;
        let missing = commands
            .iter()
            .flatten()
            .find(|name| !text.contains(name.as_str()));
        assert_eq!(missing, None, "{shell}");
        if shell == "bash" {
            let parsed = Command::new("bash").arg("-n").arg(&script).output()?;
            assert!(parsed.status.success(), "{}", describe(&parsed));
        }
    }
    Ok(())
}

/// The lines README shows are run to the letter, at an address of their own.
#[test]
fn the_recipe_for_tests_works_to_the_letter() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let lines = recipe("A trace in a test.")?;
    assert!(lines.len() >= 3, "{lines:?}");
    let script = lines
        .join("\n")
        .replace("127.0.0.1:2000", &server.address().to_string());
    let follow = |script: &str| -> Result<Output> { Ok(shell(&home, script)?.output()?) };
    let output = follow(&script)?;
    assert!(output.status.success(), "{script}\n{}", describe(&output));
    // Without the trace the test fails.
    let without = lines.iter().filter(|line| !line.contains("roentgen put"));
    let without: Vec<&str> = without.map(String::as_str).collect();
    let without = without
        .join("\n")
        .replace("127.0.0.1:2000", &server.address().to_string());
    let output = follow(&without.replace("--wait 30s", "--wait 100ms"))?;
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    Ok(())
}

/// Returns the lines of the recipe README tells under a title.
pub(crate) fn recipe(title: &str) -> Result<Vec<String>> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let title = format!("**{title}**");
    let (_, recipe) = readme.split_once(&title).context(title)?;
    let (_, recipe) = recipe.split_once("```console\n").context("its lines")?;
    let recipe = recipe.split("```").next().unwrap_or_default();
    let lines = recipe.lines().filter_map(|line| line.strip_prefix("$ "));
    Ok(lines.map(str::to_owned).collect())
}

/// Returns a shell that knows the program under test and runs a script in a home's folder.
pub(crate) fn shell(home: &Home, script: &str) -> Result<Command> {
    let binary = binary_under_test()?;
    let programs = binary.parent().context("where the program is")?;
    let mut shell = Command::new("bash");
    shell
        .args(["-e", "-o", "pipefail", "-c", script])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
        .current_dir(home.folder());
    Ok(shell)
}
