//! The command line: what a person types, and the messages and exit codes they get.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result};
use roentgen_tests::process::describe;
use roentgen_tests::{Home, server};
use serde_json::{Value, json};

use crate::accounts::{self, ALICE};
use crate::fixture::{segment, trace_id};

#[test]
fn the_version_is_printed() -> Result<()> {
    let home = Home::new()?;
    for arguments in [&["version"][..], &["--version"]] {
        let output = home.run(arguments)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success()
                && text.contains("roentgen")
                && text.contains(env!("CARGO_PKG_VERSION")),
            "{}",
            describe(&output)
        );
    }
    Ok(())
}

#[test]
fn settings_are_shown_with_their_origin() -> Result<()> {
    let home = Home::new()?;
    let [flag, file] = home.config("[query]\npage_bytes = 4096\n")?;
    let mut command = home.command();
    command
        .args(["config", "show", &flag, &file, "--retention", "3d"])
        .env("ROENTGEN_LOG_FORMAT", "json");
    let output = command.output()?;
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = |key: &str| {
        text.lines()
            .find(|line| line.starts_with(key))
            .with_context(|| format!("no {key} in\n{text}"))
    };
    for (key, value, origin) in [
        ("query.page_bytes", "4096", "file"),
        ("storage.retention", "3d", "flag"),
        ("log.format", "json", "environment"),
        ("limits.documents_per_call", "50", "default"),
    ] {
        let line = line(key)?;
        assert!(line.contains(value) && line.contains(origin), "{line}");
    }
    // What is shown can be used as a file again.
    std::fs::write(home.folder().join("again.toml"), &text)?;
    let again = home.run(&[
        "config",
        "show",
        "--config",
        &home.folder().join("again.toml").display().to_string(),
    ])?;
    assert!(again.status.success(), "{}", describe(&again));
    Ok(())
}

#[test]
fn wrong_settings_stop_the_start_and_say_which() -> Result<()> {
    let home = Home::new()?;
    for (toml, named) in [
        ("[query]\npage_byte = 1\n", "page_byte"),
        ("[storage]\nretention = \"soon\"\n", "retention"),
        ("[storage]\ndurability = \"maybe\"\n", "durability"),
        ("[storage]\nmax_disk = -5\n", "max_disk"),
        ("not toml", "roentgen.toml"),
    ] {
        let output = home.serve_output(&home.config(toml)?)?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && message.contains(named),
            "{toml}: {}",
            describe(&output)
        );
        assert!(!message.contains("panicked"), "{message}");
    }
    for arguments in [
        &["--retention", "soon"][..],
        &["--listen", "nowhere"],
        &["--config", "/does/not/exist.toml"],
        &["--max-disk", "lots"],
        &["--no-such-flag"],
    ] {
        let output = home.serve_output(arguments)?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success()
                && message.contains(arguments[0].trim_start_matches('-'))
                    | message.contains(arguments.get(1).unwrap_or(&"")),
            "{}",
            describe(&output)
        );
    }
    let mut command = home.command();
    let output = command
        .args(["config", "show"])
        .env("ROENTGEN_QUERY_PAGE_BITES", "1")
        .output()?;
    assert!(
        !output.status.success()
            && String::from_utf8_lossy(&output.stderr).contains("ROENTGEN_QUERY_PAGE_BITES"),
        "{}",
        describe(&output)
    );
    Ok(())
}

#[test]
fn a_port_that_is_taken_stops_the_start() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let other = Home::new()?;
    let mut command = other.command();
    let output = command
        .args(["serve", "--listen", &server.address().to_string()])
        .output()?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains(&server.address().to_string()),
        "{}",
        describe(&output)
    );
    Ok(())
}

#[test]
fn a_bare_start_serves() -> Result<()> {
    let home = Home::new()?;
    // No subcommand: what `cargo run --release` starts. Everything else comes from the environment.
    let mut command = home.command();
    command
        .env("ROENTGEN_SERVER_LISTEN", "127.0.0.1:0")
        .env("ROENTGEN_SERVER_UDP", "off");
    command
        .env("ROENTGEN_SERVER_OTLP_GRPC", "off")
        .env("ROENTGEN_SERVER_OTLP_HTTP", "off");
    let mut child = command
        .env("ROENTGEN_DATA_DIR", home.data())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut line = String::new();
    std::io::BufRead::read_line(
        &mut std::io::BufReader::new(child.stdout.take().context("stdout")?),
        &mut line,
    )?;
    let ready = serde_json::from_str::<Value>(&line);
    child.kill()?;
    child.wait()?;
    assert!(
        ready.is_ok_and(|ready| ready.to_string().contains("127.0.0.1:")),
        "{line:?}"
    );
    Ok(())
}

#[test]
fn put_and_get_work_from_the_shell() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (first, second) = (trace_id(1), trace_id(2));
    let file = home.folder().join("segments.json");
    std::fs::write(
        &file,
        segment(
            &first,
            "00000000000000a1",
            &json!({ "user": "from a file" }),
        ),
    )?;
    let endpoint = server.url();
    let output = home.run(&["put", &file.display().to_string(), "--endpoint", &endpoint])?;
    assert!(output.status.success(), "{}", describe(&output));

    let mut child = home.command();
    let mut child = child
        .args(["put", "-", "--endpoint", &endpoint])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("stdin")?.write_all(
        segment(
            &second,
            "00000000000000a1",
            &json!({ "user": "from a pipe" }),
        )
        .as_bytes(),
    )?;
    let output = child.wait_with_output()?;
    assert!(output.status.success(), "{}", describe(&output));

    let output = home.run(&["get", &first, &second, "--json", "--endpoint", &endpoint])?;
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("from a file") && text.contains("from a pipe"),
        "{text}"
    );
    let output = home.run(&["get", &first, "--endpoint", &endpoint])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("shop") && text.contains(&first),
        "{text}"
    );
    Ok(())
}

#[test]
fn put_and_get_say_what_went_wrong() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let endpoint = server.url();
    let file = home.folder().join("bad.json");
    std::fs::write(
        &file,
        segment(
            &trace_id(1),
            "00000000000000a1",
            &json!({ "name": "what?" }),
        ),
    )?;
    let refused = home.run(&["put", &file.display().to_string(), "--endpoint", &endpoint])?;
    assert!(
        !refused.status.success() && describe(&refused).contains("InvalidName"),
        "{}",
        describe(&refused)
    );
    let missing = home.run(&["put", "/does/not/exist.json", "--endpoint", &endpoint])?;
    assert!(
        !missing.status.success() && describe(&missing).contains("/does/not/exist.json"),
        "{}",
        describe(&missing)
    );
    let unknown = home.run(&["get", &trace_id(2), "--endpoint", &endpoint])?;
    assert!(!unknown.status.success(), "{}", describe(&unknown));
    server.kill9()?;
    let gone = home.run(&["get", &trace_id(2), "--endpoint", &endpoint])?;
    assert!(
        !gone.status.success() && describe(&gone).contains(endpoint.trim_start_matches("http://")),
        "{}",
        describe(&gone)
    );
    Ok(())
}

#[test]
fn the_ready_line_names_the_addresses() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    assert!(server.ready().is_object(), "{}", server.ready());
    assert_ne!(server.address().port(), 0);
    assert!(server::binary_under_test()?.is_file());
    Ok(())
}

#[test]
fn requests_are_signed_with_the_usual_credentials() -> Result<()> {
    let home = Home::new()?;
    let server = accounts::start(&home, "")?;
    let endpoint = server.url();
    let id = trace_id(1);
    let file = home.folder().join("signed.json");
    std::fs::write(&file, segment(&id, "00000000000000a1", &json!({})))?;
    let file = file.display().to_string();
    let signed = |arguments: &[&str], secret: &str| -> Result<_> {
        let mut command = home.command();
        command.args(arguments).args(["--endpoint", &endpoint]);
        command
            .env("AWS_ACCESS_KEY_ID", ALICE.id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_REGION", "us-east-1");
        Ok(command.output()?)
    };
    let secret = ALICE.secret;
    for arguments in [&["put", &file, "--sign"][..], &["get", &id, "--sign"]] {
        let output = signed(arguments, secret)?;
        assert!(output.status.success(), "{}", describe(&output));
    }
    for (arguments, secret) in [
        (&["get", &id, "--sign"][..], "another"),
        (&["get", &id][..], secret),
    ] {
        let output = signed(arguments, secret)?;
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    }
    Ok(())
}

#[test]
fn a_trace_is_waited_for_until_it_is_done() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let endpoint = server.url();
    let id = trace_id(1);
    let begun = json!({ "in_progress": true, "end_time": null });
    server.put_all(&[segment(&id, "00000000000000a1", &begun)])?;
    let get = |wait: &str| -> Result<_> {
        let mut command = home.command();
        command.args(["get", "-", "--format", "documents", "--wait", wait]);
        let mut child = command
            .args(["--endpoint", &endpoint])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        writeln!(child.stdin.take().context("stdin")?, "{id}")?;
        Ok(child)
    };
    let output = get("100ms")?.wait_with_output()?;
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    let waiting = get("60s")?;
    server.put_all(&[segment(&id, "00000000000000a1", &json!({ "user": "late" }))])?;
    let output = waiting.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("late") && text.lines().count() == 1,
        "{}",
        describe(&output)
    );
    Ok(())
}

#[test]
fn a_shell_and_a_reader_are_told_of_every_command() -> Result<()> {
    let home = Home::new()?;
    for shell in ["bash", "zsh", "fish"] {
        let output = home.run(&["completions", shell])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("conform"), "{}", describe(&output));
    }
    let folder = home.folder().join("man1");
    let output = home.run(&["man", "--dir", &folder.display().to_string()])?;
    assert!(output.status.success(), "{}", describe(&output));
    let page = std::fs::read_to_string(folder.join("roentgen-get.1"))?;
    assert!(page.contains(".SH EXAMPLES"), "{page}");
    Ok(())
}
