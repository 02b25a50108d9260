//! An endpoint that answers what it is told to: for mistakes and moods no server of ours has.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;

/// An endpoint; dropping it ends it.
#[derive(Debug)]
pub struct Scripted {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Its path, with a query if it has one.
    pub path: String,
    /// Its body.
    pub body: String,
}

/// What a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A status, further headers (each with its line break), and a body: of JSON if the headers do not say.
    Said(u16, &'static str, String),
    /// Nothing, for as long as the client waits.
    Silence,
    /// The end of the connection.
    Closed,
}

impl Scripted {
    /// Starts an endpoint on a free port; requests of different connections are answered side by side.
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let answer = Arc::new(answer);
        let listener = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { return };
                let answer = Arc::clone(&answer);
                // A connection lives until its client or an answer closes it.
                std::thread::spawn(move || while answer_one(&stream, &*answer).is_some() {});
            }
        });
        Ok(Self {
            address,
            is_over,
            listener: Some(listener),
        })
    }

    /// Returns where it is.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// Answers one request; nothing at the end of the connection.
fn answer_one(stream: &TcpStream, answer: &impl Fn(&Asked) -> Answer) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let asked = Asked {
        path: head.split(' ').nth(1)?.to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    match answer(&asked) {
        Answer::Said(status, headers, body) => {
            let kind = if headers.to_ascii_lowercase().contains("content-type:") {
                ""
            } else {
                "Content-Type: application/json\r\n"
            };
            let n_bytes = body.len();
            let message = format!(
                "HTTP/1.1 {status} Said\r\n{kind}Content-Length: {n_bytes}\r\n{headers}\r\n{body}"
            );
            (&*stream).write_all(message.as_bytes()).ok()
        }
        Answer::Silence => {
            // The client ends it; whatever else it sends means nothing.
            let _ended = std::io::copy(&mut reader, &mut std::io::sink());
            None
        }
        Answer::Closed => {
            // What was read of a next request is lost with it.
            let _ended = stream.shutdown(std::net::Shutdown::Both);
            None
        }
    }
}
