//! A shop that a client traces: it is visited as a browser would, behind a load balancer that decides what is recorded.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use roentgen_tests::wait::until;
use roentgen_tests::{Connection, Response, Server};
use serde_json::{Value, json};

use super::place::{Client, Place};
use crate::fixture::summaries;

/// A running shop and what it asks for its stock.
pub(super) struct Shop {
    address: SocketAddr,
    client: Client,
    stock: Stock,
}

/// An untraced service that answers everybody, and remembers what it was asked.
pub(super) struct Stock {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Shop {
    /// Opens the shop of a recipe and waits until it can be reached.
    pub(super) fn open(place: &Place, recipe: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let stock = Stock::open(place.address())?;
        let address = SocketAddr::from((place.address(), 8080));
        let mut client = place.follow(recipe, environment)?;
        until("the shop is open", || {
            client.assert_running()?;
            Ok(TcpStream::connect(address).ok())
        })?;
        Ok(Self {
            address,
            client,
            stock,
        })
    }

    /// Visits a page; this trace is to be recorded.
    pub(super) fn visit(&self, path: &str, trace_id: &str) -> Result<Response> {
        let header = format!("Root={trace_id};Parent={BALANCER};Sampled=1");
        self.get(path, &[("X-Amzn-Trace-Id", &header)])
    }

    /// Visits a page and leaves it to the shop whether to record that.
    pub(super) fn drop_in(&self, path: &str) -> Result<Response> {
        self.get(path, &[])
    }

    /// Returns the trace header of each request for stock, in their order.
    pub(super) fn told_stock(&self) -> Vec<String> {
        self.stock.trace_headers()
    }

    /// Closes the shop.
    pub(super) fn close(self) -> Result<()> {
        self.client.stop()
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response> {
        Connection::open(self.address)?.request("GET", path, headers, &[])
    }
}

impl Stock {
    pub(super) fn open(address: Ipv4Addr) -> Result<Self> {
        let listener = TcpListener::bind((address, 9090))?;
        let address = listener.local_addr()?;
        let heads = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (kept, over) = (Arc::clone(&heads), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                if let Ok(head) = stream.and_then(answer) {
                    kept.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(head);
                }
            }
        });
        Ok(Self {
            address,
            heads,
            is_over,
            thread: Some(thread),
        })
    }

    /// Returns the trace header of each request, in their order.
    pub(super) fn trace_headers(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let headers = heads.iter().flat_map(|head| head.lines());
        let traced = headers.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-amzn-trace-id")
                .then(|| value.trim().to_owned())
        });
        traced.collect()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits until the documents of a trace are as asked for and none of them waits for its segment, and returns them.
pub(super) fn stored(
    server: &Server,
    trace_id: &str,
    what: &str,
    is_whole: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let mut seen = Vec::new();
    let found = until(what, || {
        seen = server.documents(trace_id)?;
        let is_joined = seen.iter().all(|entry| entry["type"] != "subsegment");
        Ok((is_joined && is_whole(&seen)).then_some(()))
    });
    found.with_context(|| format!("{trace_id} has {}", json!(seen)))?;
    Ok(seen)
}

/// Returns the subsegment of this name, at any depth, of the documents.
pub(super) fn within<'a>(documents: &'a [Value], name: &str) -> Result<&'a Value> {
    let mut waiting: Vec<&Value> = documents.iter().collect();
    while let Some(document) = waiting.pop() {
        let inner = document["subsegments"].as_array();
        for subsegment in inner.into_iter().flatten() {
            if subsegment["name"] == name {
                return Ok(subsegment);
            }
            waiting.push(subsegment);
        }
    }
    anyhow::bail!("no subsegment {name} in {}", json!(documents))
}

/// Returns the document of this name.
pub(super) fn named<'a>(documents: &'a [Value], name: &str) -> Result<&'a Value> {
    let found = documents.iter().find(|document| document["name"] == name);
    found.with_context(|| format!("no {name} in {}", json!(documents)))
}

/// Returns the summary of one trace.
pub(super) fn summary(server: &Server, trace_id: &str) -> Result<Value> {
    let all = summaries(server, &json!({}))?;
    let found = all.iter().find(|summary| summary["Id"] == trace_id);
    found
        .cloned()
        .with_context(|| format!("no {trace_id} among {}", json!(all)))
}

/// Returns the edges of the graph of a trace, as the names of their ends.
pub(super) fn edges(server: &Server, trace_id: &str) -> Result<Vec<(String, String)>> {
    let graph = server
        .post("/TraceGraph", &json!({ "TraceIds": [trace_id] }))?
        .success()?;
    let services = graph["Services"].as_array().context("services")?;
    let name = |id: &Value| {
        let service = services
            .iter()
            .find(|service| service["ReferenceId"] == *id)?;
        let name = service["Name"].as_str()?;
        Some(match service["Type"].as_str() {
            Some("client") => "client".to_owned(),
            _ => name.to_owned(),
        })
    };
    let mut edges = Vec::new();
    for service in services {
        let out = service["Edges"].as_array().context("edges")?;
        for edge in out {
            let ends = name(&service["ReferenceId"]).zip(name(&edge["ReferenceId"]));
            edges.push(ends.with_context(|| format!("an edge to nowhere in {graph}"))?);
        }
    }
    edges.sort();
    Ok(edges)
}

/// Returns an edge as [`edges`] does.
pub(super) fn owned((from, to): (&str, &str)) -> (String, String) {
    (from.to_owned(), to.to_owned())
}

/// Reads one request and answers it; returns its head.
fn answer(stream: TcpStream) -> std::io::Result<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    reader
        .get_mut()
        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\n3 books")?;
    Ok(head)
}

/// The segment of the load balancer, which is not recorded.
pub(super) const BALANCER: &str = "53995c3f42cd8ad8";
