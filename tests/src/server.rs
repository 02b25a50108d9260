//! The real binary, started in a folder of its own on a free port, with a cleared environment.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Connection, Response};
use crate::process;

/// The folder of one server under test: its data, its configuration file and its log.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    data: PathBuf,
    binary: PathBuf,
}

/// A running server. Dropping it kills this process and no other.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
    ready: Value,
    log: PathBuf,
    // Held open, so that a server that prints more is not stopped by a closed pipe.
    _stdout: BufReader<ChildStdout>,
}

impl Home {
    /// Makes an empty folder for the development build of the binary.
    pub fn new() -> Result<Self> {
        Self::of_binary(binary_under_test()?)
    }

    /// Makes an empty folder for this binary.
    pub fn of_binary(binary: PathBuf) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("roentgen-test-")
            .tempdir()?;
        let data = folder.path().join("data");
        Ok(Self {
            folder,
            data,
            binary,
        })
    }

    /// Keeps the data in another place than the folder, such as a mounted file system.
    #[must_use]
    pub fn with_data(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// Returns the data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the folder that holds the data directory, for files of the test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a configuration file and returns the arguments that name it.
    pub fn config(&self, toml: &str) -> Result<[String; 2]> {
        let path = self.folder.path().join("roentgen.toml");
        std::fs::write(&path, toml)?;
        Ok(["--config".to_owned(), path.display().to_string()])
    }

    /// Starts `roentgen serve` with defaults and waits until it says it is ready.
    pub fn start(&self) -> Result<Server> {
        self.start_with::<&str>(&[])
    }

    /// Starts `roentgen serve` with further arguments and waits until it says it is ready.
    pub fn start_with<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Server> {
        let log = self.folder.path().join("server.log");
        let stderr = File::options().create(true).append(true).open(&log)?;
        let mut command = self.serve(arguments);
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .context("start the server")?;
        let stdout = child.stdout.take().context("stdout of the server")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready = serde_json::from_str::<Value>(&line).ok();
        let Some((ready, address)) =
            ready.and_then(|ready| Some((ready.clone(), first_address(&ready)?)))
        else {
            let _ = child.kill();
            let status = child.wait()?;
            anyhow::bail!(
                "the server did not get ready ({status}), it printed {line:?}\n{}",
                tail(&log)
            );
        };
        Ok(Server {
            child,
            address,
            ready,
            log,
            _stdout: stdout,
        })
    }

    /// Runs `roentgen serve` that is expected to end by itself, and returns what it printed.
    pub fn serve_output<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Output> {
        Ok(self.serve(arguments).stdin(Stdio::null()).output()?)
    }

    /// Starts `roentgen serve` and returns its process at once, ready or not; the caller ends it.
    pub fn serve_child<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Child> {
        let mut command = self.serve(arguments);
        Ok(command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?)
    }

    /// Runs the binary with these arguments alone and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self
            .command()
            .args(arguments)
            .stdin(Stdio::null())
            .output()?)
    }

    /// Runs `roentgen check` on the data directory.
    pub fn check(&self) -> Result<Output> {
        self.run(&["check", "--data", &self.data.display().to_string()])
    }

    /// Returns the binary with a cleared environment, ready for arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().current_dir(self.folder.path());
        command
    }

    /// Only the main door is open, at any free port, unless the arguments say otherwise.
    fn serve<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = self.command();
        command.arg("serve").arg("--data").arg(&self.data);
        for (flag, value) in DOORS {
            if !arguments.iter().any(|argument| argument.as_ref() == flag) {
                command.args([flag, value]);
            }
        }
        command
            .args(arguments.iter().map(AsRef::as_ref))
            .stdin(Stdio::null());
        command
    }
}

impl Server {
    /// Returns the address the server listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the line the server printed when it was ready.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    /// Returns where a door is open that the server named when it was ready, such as `otlp_http`.
    pub fn door(&self, name: &str) -> Option<SocketAddr> {
        first_address(self.ready.get(name)?)
    }

    /// Returns the URL clients are given.
    pub fn url(&self) -> String {
        let is_tls = self.ready.get("tls").and_then(Value::as_bool);
        let scheme = if is_tls == Some(true) {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// Returns the server's process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection of its own.
    pub fn connect(&self) -> Result<Connection> {
        Connection::open(self.address)
    }

    /// Posts a JSON value to a path and returns the answer.
    pub fn post(&self, path: &str, body: &Value) -> Result<Response> {
        self.connect()?.post(path, body.to_string().as_bytes())
    }

    /// Returns the answer to a GET.
    pub fn get(&self, path: &str) -> Result<Response> {
        self.connect()?.request("GET", path, &[], &[])
    }

    /// Puts documents in one call and returns `UnprocessedTraceSegments`.
    pub fn put<S: AsRef<str>>(&self, documents: &[S]) -> Result<Vec<Value>> {
        let documents: Vec<&str> = documents.iter().map(AsRef::as_ref).collect();
        let answer = self
            .post(
                "/TraceSegments",
                &json!({ "TraceSegmentDocuments": documents }),
            )?
            .success()?;
        list(&answer, "UnprocessedTraceSegments")
    }

    /// Puts documents and fails if one of them is refused.
    pub fn put_all<S: AsRef<str>>(&self, documents: &[S]) -> Result<()> {
        let unprocessed = self.put(documents)?;
        anyhow::ensure!(unprocessed.is_empty(), "refused: {unprocessed:?}");
        Ok(())
    }

    /// Returns all traces of these ids, all pages joined, as the answers hold them: parts of one trace that
    /// continue on a later page are put together.
    pub fn traces<S: AsRef<str>>(&self, trace_ids: &[S]) -> Result<Vec<Value>> {
        let trace_ids: Vec<&str> = trace_ids.iter().map(AsRef::as_ref).collect();
        let mut connection = self.connect()?;
        let mut traces: Vec<Value> = Vec::new();
        let mut token = Value::Null;
        loop {
            let body = json!({ "TraceIds": trace_ids, "NextToken": token });
            let answer = connection
                .post("/Traces", body.to_string().as_bytes())?
                .success()?;
            for part in list(&answer, "Traces")? {
                join_trace(&mut traces, part)?;
            }
            token = answer.get("NextToken").cloned().unwrap_or(Value::Null);
            if token.is_null() {
                return Ok(traces);
            }
        }
    }

    /// Returns the documents of one trace, parsed; empty if the trace is unknown.
    pub fn documents(&self, trace_id: &str) -> Result<Vec<Value>> {
        match self.traces(&[trace_id])?.first() {
            Some(trace) => documents_of(trace),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the text of `/metrics`.
    pub fn metrics(&self) -> Result<String> {
        let response = self.get("/metrics")?;
        anyhow::ensure!(
            response.status == 200,
            "metrics answers {}",
            response.status
        );
        Ok(response.text())
    }

    /// Kills the server with SIGKILL and waits until it is gone.
    pub fn kill9(mut self) -> Result<()> {
        self.child.kill().context("send SIGKILL")?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the server to stop with SIGTERM and returns its exit status.
    pub fn terminate(mut self) -> Result<ExitStatus> {
        process::terminate(self.child.id())?;
        Ok(self.child.wait()?)
    }

    /// Returns the end of the server's log.
    pub fn log(&self) -> String {
        tail(&self.log)
    }

    /// Returns the memory the server holds now, in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        process::resident_bytes(self.pid())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the segment documents of one trace of an answer, parsed.
pub fn documents_of(trace: &Value) -> Result<Vec<Value>> {
    let segments = list(trace, "Segments")?;
    segments.iter().map(parse_document).collect()
}

/// Returns the list member of an answer; a missing one is an error that shows the answer.
pub fn list(answer: &Value, member: &str) -> Result<Vec<Value>> {
    let items = answer.get(member).and_then(Value::as_array);
    items
        .cloned()
        .with_context(|| format!("no list {member} in {answer}"))
}

/// Returns the binary that tests drive: the one of `BIN_UNDER_TEST`, else the one built beside the test.
pub fn binary_under_test() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("BIN_UNDER_TEST") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let folder = test
        .parent()
        .and_then(Path::parent)
        .context("the test lies in target/<profile>/deps")?;
    let binary = folder.join("roentgen");
    if !binary.is_file() {
        process::run("cargo", &["build", "--package", "server"])?;
    }
    anyhow::ensure!(
        binary.is_file(),
        "{} is missing: run cargo build",
        binary.display()
    );
    Ok(binary)
}

fn parse_document(segment: &Value) -> Result<Value> {
    let text = segment
        .get("Document")
        .and_then(Value::as_str)
        .context("a segment without Document")?;
    let document: Value =
        serde_json::from_str(text).with_context(|| format!("document is not JSON: {text}"))?;
    anyhow::ensure!(
        document.get("id") == segment.get("Id"),
        "Id and document differ: {segment}"
    );
    Ok(document)
}

fn join_trace(traces: &mut Vec<Value>, part: Value) -> Result<()> {
    let continued = traces
        .last_mut()
        .filter(|last| last.get("Id") == part.get("Id"));
    let Some(last) = continued else {
        traces.push(part);
        return Ok(());
    };
    let segments = last
        .get_mut("Segments")
        .and_then(Value::as_array_mut)
        .context("a trace without Segments")?;
    segments.extend(list(&part, "Segments")?);
    Ok(())
}

fn first_address(value: &Value) -> Option<SocketAddr> {
    match value {
        Value::String(text) => text.trim_start_matches("http://").parse().ok(),
        Value::Array(items) => items.iter().find_map(first_address),
        Value::Object(members) => members.values().find_map(first_address),
        _ => None,
    }
}

const DOORS: [(&str, &str); 4] = [
    ("--listen", "127.0.0.1:0"),
    ("--udp", "off"),
    ("--otlp-grpc", "off"),
    ("--otlp-http", "off"),
];

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(40).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
