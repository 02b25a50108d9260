//! A server that answers as a test says: late, never, or until it is gone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result};
use serde_json::{Value, json};

/// What the server does with a call.
pub(crate) enum Answer {
    /// Answers this.
    Is(Value),
    /// Has no room, for so many seconds.
    NoRoom(u32),
    /// Keeps the connection and says nothing.
    Never,
    /// Ends: nobody listens any more.
    Gone,
}

/// A server whose calls are answered one after the other.
pub(crate) struct Odd {
    address: SocketAddr,
}

impl Odd {
    /// Opens a server; `answer` is told the number of the call, from 0, its path and its body.
    pub(crate) fn open(
        mut answer: impl FnMut(usize, &str, &Value) -> Answer + Send + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for number in 0.. {
                // A client that is gone is no matter here.
                let Ok((mut stream, path, body)) = call(&listener) else {
                    continue;
                };
                let _unheard = match answer(number, &path, &body) {
                    Answer::Is(body) => reply(&mut stream, "200 OK", &body),
                    Answer::NoRoom(seconds) => {
                        let head = format!("429 Busy\r\nretry-after: {seconds}");
                        reply(
                            &mut stream,
                            &head,
                            &json!({ "__type": "ThrottledException" }),
                        )
                    }
                    Answer::Never => {
                        silent.push(stream);
                        Ok(())
                    }
                    Answer::Gone => return,
                };
            }
        });
        Ok(Self { address })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn call(listener: &TcpListener) -> Result<(TcpStream, String, Value)> {
    let (stream, _) = listener.accept()?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        anyhow::ensure!(reader.read_line(&mut head)? > 0, "closed");
    }
    let path = head.split(' ').nth(1).context("a path")?.to_owned();
    let head = head.to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(Ok(0), str::parse)?];
    reader.read_exact(&mut body)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Ok((reader.into_inner(), path, body))
}

fn reply(stream: &mut TcpStream, head: &str, body: &Value) -> Result<()> {
    let body = body.to_string();
    let n_bytes = body.len();
    write!(
        stream,
        "HTTP/1.1 {head}\r\ncontent-length: {n_bytes}\r\nconnection: close\r\n\r\n{body}"
    )?;
    Ok(())
}
