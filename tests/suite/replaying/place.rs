//! What replays and recordings are run by and against.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Connection, Home, Server};
use serde_json::{Value, json};

/// A running `roentgen record`.
pub(super) struct Passage {
    child: Child,
    pub(super) http: SocketAddr,
    pub(super) udp: Option<SocketAddr>,
    stdout: BufReader<ChildStdout>,
}

/// Somebody who takes calls and remembers their documents.
pub(super) struct Taker {
    pub(super) address: SocketAddr,
    log: Arc<Mutex<Vec<Seen>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How a call is answered.
pub(super) enum Said {
    /// The documents are taken.
    Taken,
    /// This answer, with this status; documents are not taken.
    Else(u16, String),
    /// Documents are taken but for the refused ones of this answer.
    But(Vec<String>, Value),
    /// The connection ends without an answer.
    Nothing,
}

/// Answers a call by its path and the names of its documents.
type Answers = dyn Fn(&str, &[String]) -> Said + Send + Sync;

/// A call that was taken.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// The names of the documents.
    pub(super) names: Vec<String>,
    pub(super) at: Instant,
}

impl Passage {
    pub(super) fn open(home: &Home, upstream: &str, journal: &Path, more: &[&str]) -> Result<Self> {
        let mut command = home.command();
        command
            .args([
                "record",
                "--listen",
                "127.0.0.1:0",
                "--upstream",
                upstream,
                "-o",
            ])
            .arg(journal)
            .args(more)
            .env("HOME", home.folder());
        Self::of(command)
    }

    /// Runs a command that is or becomes `roentgen record`.
    pub(super) fn of(mut command: Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("its stdout")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let address = |name: &str| ready[name].as_str().and_then(|text| text.parse().ok());
        Ok(Self {
            http: address("http").context("no address")?,
            udp: address("udp"),
            child,
            stdout,
        })
    }

    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::open(self.http)
    }

    /// Ends it and returns its totals.
    pub(super) fn close(mut self) -> Result<Value> {
        terminate(self.child.id())?;
        let status = self.child.wait()?;
        assert_eq!(status.code(), Some(143));
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Taker {
    /// Takes every call, after it has told so many that there is no room.
    pub(super) fn open(n_throttled: u32) -> Result<Self> {
        let left = AtomicU32::new(n_throttled);
        Self::answering(move |_, _| {
            let is_throttled = left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
            if is_throttled {
                Said::Else(429, "{}".to_owned())
            } else {
                Said::Taken
            }
        })
    }

    /// Answers as it is told.
    pub(super) fn answering(
        answers: impl Fn(&str, &[String]) -> Said + Send + Sync + 'static,
    ) -> Result<Self> {
        let answers: Arc<Answers> = Arc::new(answers);
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let log = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (kept, over) = (Arc::clone(&log), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (log, answers) = (Arc::clone(&kept), Arc::clone(&answers));
                // Ends when its client is gone.
                std::thread::spawn(move || drop(serve(stream, &log, &*answers)));
            }
        });
        Ok(Self {
            address,
            log,
            is_over,
            thread: Some(thread),
        })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what was taken so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }

    pub(super) fn n_documents(&self) -> usize {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(|seen| seen.names.len()).sum()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream, log: &Mutex<Vec<Seen>>, answers: &Answers) -> Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut n_bytes = 0;
        let mut path = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(length) = line.strip_prefix("content-length:") {
                n_bytes = length.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; n_bytes];
        reader.read_exact(&mut body)?;
        let names = names(&body)?;
        let (status, answer, taken) = match answers(&path, &names) {
            Said::Taken => (200, "{}".to_owned(), Some(names)),
            Said::But(taken, answer) => (200, answer.to_string(), Some(taken)),
            Said::Else(status, answer) => (status, answer, None),
            Said::Nothing => return Ok(()),
        };
        if let Some(names) = taken {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let at = Instant::now();
            log.push(Seen { names, at });
        }
        let n_bytes = answer.len();
        let response = format!(
            "HTTP/1.1 {status} x\r\nRetry-After: 0\r\nContent-Length: {n_bytes}\r\n\r\n{answer}"
        );
        writer.write_all(response.as_bytes())?;
    }
}

/// Returns the names of the documents of a call; none of another one.
fn names(body: &[u8]) -> Result<Vec<String>> {
    let body: Value = serde_json::from_slice(body)?;
    if body["TraceSegmentDocuments"].is_null() {
        return Ok(Vec::new());
    }
    let documents = list(&body, "TraceSegmentDocuments")?;
    let names = documents.iter().filter_map(|text| {
        let document: Value = serde_json::from_str(text.as_str()?).ok()?;
        Some(document["name"].as_str()?.to_owned())
    });
    Ok(names.collect())
}

/// Runs `roentgen replay` to its end.
pub(super) fn replay(home: &Home, file: &Path, to: &str, more: &[&str]) -> Result<Output> {
    let mut command = home.command();
    command
        .arg("replay")
        .arg(file)
        .args(["--to", to])
        .args(more);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// Runs `roentgen replay`, which must accept everything, and returns its report.
pub(super) fn replay_all(home: &Home, file: &Path, to: &str, more: &[&str]) -> Result<Value> {
    let more = [&["--json"], more].concat();
    let output = replay(home, file, to, &more)?;
    anyhow::ensure!(output.status.success(), "{}", describe(&output));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Writes documents to a file, one a line.
pub(super) fn file(home: &Home, name: &str, documents: &[String]) -> Result<PathBuf> {
    let path = home.folder().join(name);
    std::fs::write(&path, documents.join("\n"))?;
    Ok(path)
}

/// Returns what a server says of its traces in a window, without ids and times: summaries, the graph, and the sums of
/// the time series.
pub(super) fn view(server: &Server, shift_secs: i64) -> Result<Value> {
    let from = i64::from(now()) - 12 * 3600 + shift_secs;
    let window = |from: i64, to: i64| json!({ "StartTime": from, "EndTime": to });
    let mut summaries = Vec::new();
    let mut graphs: BTreeMap<String, Value> = BTreeMap::new();
    let mut series = Vec::new();
    for hours in 0..4 {
        let start = from + hours * 6 * 3600;
        let mut request = window(start, start + 6 * 3600);
        loop {
            let page = server.post("/TraceSummaries", &request)?.success()?;
            summaries.extend(list(&page, "TraceSummaries")?.iter().map(bare));
            request["NextToken"] = page.get("NextToken").cloned().unwrap_or(Value::Null);
            if request["NextToken"].is_null() {
                break;
            }
        }
        let mut request = window(start, start + 6 * 3600);
        request["Period"] = json!(300);
        let page = server
            .post("/TimeSeriesServiceStatistics", &request)?
            .success()?;
        series.extend(list(&page, "TimeSeriesServiceStatistics")?);
    }
    summaries.sort_by_key(Value::to_string);
    for trace_ids in trace_ids(server, shift_secs)?.chunks(100) {
        let page = server
            .post("/TraceGraph", &json!({ "TraceIds": trace_ids }))?
            .success()?;
        for service in list(&page, "Services")? {
            let key = format!(
                "{} {} {}",
                service["Name"], service["Type"], service["SummaryStatistics"]
            );
            graphs.insert(key, nodes(&service));
        }
    }
    let sums = sums(&series);
    Ok(json!({ "summaries": summaries, "graph": graphs, "sums": sums }))
}

/// Returns the ids of the traces of a day, in the order of what else is said of them.
fn trace_ids(server: &Server, shift_secs: i64) -> Result<Vec<String>> {
    let from = i64::from(now()) - 12 * 3600 + shift_secs;
    let mut ids = Vec::new();
    for hours in 0..4 {
        let start = from + hours * 6 * 3600;
        let mut request = json!({ "StartTime": start, "EndTime": start + 6 * 3600 });
        loop {
            let page = server.post("/TraceSummaries", &request)?.success()?;
            for summary in list(&page, "TraceSummaries")? {
                let id = summary["Id"].as_str().unwrap_or_default().to_owned();
                ids.push((bare(&summary).to_string(), id));
            }
            request["NextToken"] = page.get("NextToken").cloned().unwrap_or(Value::Null);
            if request["NextToken"].is_null() {
                break;
            }
        }
    }
    ids.sort();
    Ok(ids.into_iter().map(|(_, id)| id).collect())
}

/// Returns a summary without what a replay exchanges.
fn bare(summary: &Value) -> Value {
    let mut summary = summary.clone();
    for member in ["Id", "MatchedEventTime", "StartTime", "Revision"] {
        summary.as_object_mut().unwrap().remove(member);
    }
    sort(&mut summary);
    summary
}

/// Sorts every list: some are in the order of ids.
fn sort(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(sort);
            items.sort_by_key(Value::to_string);
        }
        Value::Object(members) => members.values_mut().for_each(sort),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn nodes(service: &Value) -> Value {
    let edges = service["Edges"].as_array().cloned().unwrap_or_default();
    let mut statistics: Vec<String> = edges
        .iter()
        .map(|edge| edge["SummaryStatistics"].to_string())
        .collect();
    statistics.sort();
    json!({ "Edges": statistics, "Durations": service["DurationHistogram"], "ResponseTimes": service["ResponseTimeHistogram"] })
}

/// Adds up the numbers of a time series: where its parts begin depends on the time.
fn sums(series: &[Value]) -> Value {
    let sum = |pointer: &str| -> u64 {
        let counts = series
            .iter()
            .filter_map(|entry| entry.pointer(pointer)?.as_u64());
        counts.sum()
    };
    json!({
        "n": sum("/ServiceSummaryStatistics/TotalCount"),
        "ok": sum("/ServiceSummaryStatistics/OkCount"),
        "errors": sum("/ServiceSummaryStatistics/ErrorStatistics/TotalCount"),
        "faults": sum("/ServiceSummaryStatistics/FaultStatistics/TotalCount"),
    })
}
