//! The clients people use: boto3, the AWS CLI and the AWS SDKs for JavaScript and Rust, at pinned versions, from the
//! environments `cargo xtask test` makes.

mod rust_sdk;
mod steps;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result};
use roentgen_tests::process::describe;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, trace_id};

fn venv() -> Result<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv");
    anyhow::ensure!(
        venv.join("bin/aws").is_file(),
        "{} is missing: cargo xtask test makes it",
        venv.display()
    );
    Ok(venv)
}

/// Returns a program of the environment that talks to nobody but the server.
pub(crate) fn client(program: &str, home: &Home) -> Result<Command> {
    Ok(alone(Command::new(venv()?.join("bin").join(program)), home))
}

/// Returns Node with the packages of `tests/clients`.
fn node(home: &Home) -> Result<Command> {
    let packages = folder().join("node_modules/@aws-sdk/client-xray");
    anyhow::ensure!(
        packages.is_dir(),
        "{} is missing: cargo xtask test makes it",
        packages.display()
    );
    let mut command = alone(Command::new("node"), home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    Ok(command)
}

/// Returns where the scripts are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

/// Takes everything from a client that could lead it elsewhere.
fn alone(mut command: Command, home: &Home) -> Command {
    command
        .env_clear()
        .env("HOME", home.folder())
        .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    command
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_PAGER", "");
    command
        .env("AWS_MAX_ATTEMPTS", "1")
        .current_dir(home.folder());
    command
}

fn boto3(home: &Home, server: &Server, part: &str) -> Result<()> {
    let script = folder().join("flow.py");
    let output = client("python", home)?
        .arg(&script)
        .args([&server.url(), part])
        .arg(home.folder().join("state.json"))
        .output()?;
    assert!(
        output.status.success(),
        "{part}: {}\n{}",
        describe(&output),
        server.log()
    );
    Ok(())
}

/// Runs `aws xray` and returns its answer.
fn aws(home: &Home, server: &Server, arguments: &[&str]) -> Result<Value> {
    let output = aws_output(home, server, arguments)?;
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{}",
        describe(&output),
        server.log()
    );
    if output.stdout.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&output.stdout).with_context(|| describe(&output))
}

fn aws_output(home: &Home, server: &Server, arguments: &[&str]) -> Result<Output> {
    let mut command = client("aws", home)?;
    command
        .arg("xray")
        .args(arguments)
        .args(["--endpoint-url", &server.url(), "--output", "json"]);
    Ok(command.output()?)
}

#[test]
fn boto3_drives_every_operation() -> Result<()> {
    let home = Home::new()?;
    let mut command = client("python", &home)?;
    command.arg(folder().join("boto3_steps.py"));
    steps::drive(&home, command)
}

#[test]
fn the_aws_cli_drives_every_operation() -> Result<()> {
    let home = Home::new()?;
    let mut command = client("python", &home)?;
    command.arg(folder().join("cli_steps.py"));
    steps::drive(&home, command)
}

#[test]
fn the_javascript_sdk_drives_every_operation() -> Result<()> {
    let home = Home::new()?;
    let mut command = node(&home)?;
    command.arg(folder().join("steps.mjs"));
    steps::drive(&home, command)
}

#[test]
fn boto3_reads_pages_of_what_it_wrote_over_a_kill() -> Result<()> {
    let home = Home::new()?;
    // Small pages, so that the paginators have something to join.
    let config = home.config("[query]\npage_bytes = 4096\nsummaries_per_page = 5\n")?;
    let server = home.start_with(&config)?;
    boto3(&home, &server, "write")?;
    boto3(&home, &server, "read")?;
    boto3(&home, &server, "errors")?;
    server.kill9()?;
    let server = home.start_with(&config)?;
    boto3(&home, &server, "read")
}

#[test]
fn the_aws_cli_finds_the_same_answers_after_a_kill() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let trace_id = trace_id(1);
    let document = segment(
        &trace_id,
        "00000000000000a1",
        &json!({
            "http": { "request": { "method": "GET", "url": "https://shop.example.com/" }, "response": { "status": 200 } },
            "annotations": { "tier": "gold" },
        }),
    );
    let put = aws(
        &home,
        &server,
        &["put-trace-segments", "--trace-segment-documents", &document],
    )?;
    assert_eq!(put, json!({ "UnprocessedTraceSegments": [] }));
    let (from, to) = ((now() - 600).to_string(), (now() + 60).to_string());
    let read = |server: &Server| -> Result<(Value, Value)> {
        let traces = aws(
            &home,
            server,
            &["batch-get-traces", "--trace-ids", &trace_id],
        )?;
        let summaries = aws(
            &home,
            server,
            &[
                "get-trace-summaries",
                "--start-time",
                &from,
                "--end-time",
                &to,
                "--time-range-type",
                "Event",
            ],
        )?;
        Ok((traces, summaries))
    };
    let before = read(&server)?;
    let stored: Value = serde_json::from_str(
        before.0["Traces"][0]["Segments"][0]["Document"]
            .as_str()
            .context("a document")?,
    )?;
    assert_eq!(
        roentgen_tests::ledger::difference(&serde_json::from_str(&document)?, &stored),
        None
    );
    assert_eq!(before.1["TraceSummaries"][0]["Id"], trace_id);

    server.kill9()?;
    let server = home.start()?;
    let after = read(&server)?;
    assert_eq!(after.0, before.0);
    assert_eq!(after.1["TraceSummaries"], before.1["TraceSummaries"]);
    Ok(())
}

#[test]
fn the_aws_cli_shows_errors_by_their_name() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let mut arguments = vec!["batch-get-traces", "--trace-ids"];
    arguments.extend(["1-5759e988-bd862e3fe1be46a994272793"; 6]);
    let output = aws_output(&home, &server, &arguments)?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success()
            && message.contains("InvalidRequestException")
            && message.contains("Exceeding maximum query size: 5"),
        "{message}"
    );
    let unknown = [
        "list-tags-for-resource",
        "--resource-arn",
        "arn:aws:xray:us-east-1:000000000000:group/a/B",
    ];
    let output = aws_output(&home, &server, &unknown)?;
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && message.contains("ResourceNotFoundException"),
        "{message}"
    );
    let telemetry = aws(
        &home,
        &server,
        &[
            "put-telemetry-records",
            "--telemetry-records",
            "Timestamp=1700000000,SegmentsReceivedCount=1",
        ],
    )?;
    assert!(telemetry.is_null() || telemetry == json!({}), "{telemetry}");
    Ok(())
}
