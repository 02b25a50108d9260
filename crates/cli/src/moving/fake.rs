//! A server on loopback that answers what a function says.

use std::sync::{Arc, Mutex};

use model::Timestamp;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Client;
use crate::endpoint::{Endpoint, ServerFlags};

/// A server, and what it was asked.
pub(crate) struct Fake {
    pub(crate) url: String,
    /// Paths and bodies.
    pub(crate) asked: Arc<Mutex<Vec<(String, Value)>>>,
}

/// What a server says to a path and a body.
pub(crate) type Answer = (u16, Value);

/// Starts a server; it ends with the test.
pub(crate) async fn server(
    answer: impl Fn(&str, &Value) -> Answer + Send + Sync + 'static,
) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked: Arc<Mutex<Vec<(String, Value)>>> = Arc::default();
    let answer = Arc::new(answer);
    let seen = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
            tokio::spawn(async move { serve(stream, &*answer, &seen).await });
        }
    });
    Fake { url, asked }
}

/// Returns a way to a server.
pub(crate) fn client(url: &str) -> Client {
    let endpoint = Endpoint::parse(url).unwrap();
    Client::new(endpoint, &ServerFlags::default(), &[], || Timestamp::ZERO).unwrap()
}

/// Answers what comes on a connection up to its end.
async fn serve(
    stream: TcpStream,
    answer: &(impl Fn(&str, &Value) -> Answer + ?Sized),
    seen: &Mutex<Vec<(String, Value)>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        stream.read_exact(&mut body).await.ok()?;
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let request: Value = serde_json::from_slice(&body).unwrap();
        let (status, body) = answer(&path, &request);
        seen.lock().unwrap().push((path, request));
        let mut headers = String::new();
        if let Some(seconds) = body.get("RetryAfter") {
            headers = format!("retry-after: {seconds}\r\n");
        }
        let body = body.to_string();
        let n_bytes = body.len();
        let text =
            format!("HTTP/1.1 {status} Said\r\ncontent-length: {n_bytes}\r\n{headers}\r\n{body}");
        stream.write_all(text.as_bytes()).await.ok()?;
    }
}
