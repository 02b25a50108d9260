//! Servers that do not look at all they are asked for, or have no room.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::Home;
use roentgen_tests::process::describe;
use serde_json::{Value, json};

use super::{file, lines};

/// A server that lists three traces, and looks at one of them from a certain time on it is asked for it.
struct Unwilling {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// How often each trace was asked for.
    n_asked: HashMap<String, u32>,
    /// From which time on the trace "c" is looked at.
    n_needed: u32,
    /// When each request came.
    times: Vec<Instant>,
    /// Which request is told that there is no room.
    throttled: Option<usize>,
}

impl Unwilling {
    fn open(n_needed: u32, throttled: Option<usize>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State {
            n_needed,
            throttled,
            ..State::default()
        }));
        let kept = Arc::clone(&state);
        // Ends with the tests.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&kept);
                std::thread::spawn(move || drop(serve(stream, &state)));
            }
        });
        Ok(Self { address, state })
    }

    fn pull(&self, home: &Home, arguments: &[&str], code: i32) -> Result<String> {
        let url = format!("http://{}", self.address);
        let mut all = vec!["pull", "--endpoint", &url];
        all.extend(arguments);
        let output = home.run(&all)?;
        anyhow::ensure!(output.status.code() == Some(code), "{}", describe(&output));
        Ok(describe(&output))
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) -> Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let (mut path, mut n_body) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if path.is_empty() {
                path = line.split(' ').nth(1).context("a path")?.to_owned();
            }
            if let Some(length) = line.to_lowercase().strip_prefix("content-length: ") {
                n_body = length.trim().parse()?;
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; n_body];
        requests.read_exact(&mut body)?;
        let (head, answer) = answer(&path, &serde_json::from_slice(&body)?, state);
        let answer = answer.to_string();
        let n_bytes = answer.len();
        write!(
            answers,
            "HTTP/1.1 {head}\r\ncontent-length: {n_bytes}\r\n\r\n{answer}"
        )?;
    }
}

fn answer(path: &str, request: &Value, state: &Mutex<State>) -> (&'static str, Value) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.times.push(Instant::now());
    if state.throttled == Some(state.times.len()) {
        let refusal = json!({ "__type": "ThrottledException" });
        return ("429 Too Many Requests\r\nretry-after: 3", refusal);
    }
    if path == "/TraceSummaries" {
        let summaries = ["a", "b", "c"].map(|id| json!({ "Id": id, "StartTime": 1000.0 }));
        return ("200 OK", json!({ "TraceSummaries": summaries }));
    }
    let (mut traces, mut unprocessed) = (Vec::new(), Vec::new());
    for id in request["TraceIds"].as_array().into_iter().flatten() {
        let id = id.as_str().unwrap_or_default();
        let n_needed = if id == "c" { state.n_needed } else { 0 };
        let n_asked = state.n_asked.entry(id.to_owned()).or_default();
        *n_asked += 1;
        if *n_asked < n_needed {
            unprocessed.push(id);
        } else {
            let segment = json!({ "Id": "1", "Document": "{}" });
            traces.push(json!({ "Id": id, "Segments": [segment] }));
        }
    }
    let answer = json!({ "Traces": traces, "UnprocessedTraceIds": unprocessed });
    ("200 OK", answer)
}

#[test]
fn what_a_server_does_not_look_at_is_asked_for_by_the_next_command() -> Result<()> {
    let home = Home::new()?;
    let (path, text) = file(&home, "some.jsonl");
    let server = Unwilling::open(11, None)?;
    let window = ["--from", "900", "--to", "1100", "-o", &text];
    let told = server.pull(&home, &window, 5)?;
    assert!(told.contains("did not look at 1 traces"), "{told}");
    assert!(!path.exists());
    server.pull(&home, &["-o", &text, "--resume"], 0)?;
    let ids: Vec<Value> = lines(&path)?
        .iter()
        .map(|line| line["Id"].clone())
        .collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let state = server.state.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!([state.n_asked["a"], state.n_asked["c"]], [1, 11]);
    Ok(())
}

#[test]
fn a_server_without_room_is_left_alone_by_all_for_as_long_as_it_asks() -> Result<()> {
    let home = Home::new()?;
    let (_, text) = file(&home, "some.jsonl");
    let server = Unwilling::open(0, Some(2))?;
    let window = ["--from", "900", "--to", "1100", "-o", &text];
    server.pull(&home, &window, 0)?;
    let state = server.state.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(state.times.len(), 3);
    let pause = state.times[2] - state.times[1];
    assert!(pause >= Duration::from_secs(3), "{pause:?}");
    Ok(())
}
