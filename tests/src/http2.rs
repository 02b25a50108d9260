//! A client of HTTP/2 (RFC 9113) that sends frame by frame what it is told to, right or wrong.

use std::collections::HashMap;
use std::io::{self, Read, Write};

use anyhow::{Context, Result, bail};

use crate::http::Wire;

/// One connection.
#[derive(Debug)]
pub struct Http2 {
    wire: Wire,
    next_stream: u32,
    answers: HashMap<u32, Answer>,
}

/// An answer, as far as it has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 if it is not among those that have a short form.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
    /// Whether this is all.
    pub is_whole: bool,
    /// The code it was broken off with.
    pub reset: Option<u32>,
}

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A part of an answer.
    Answer(u32),
    /// The server wants no more requests, for this reason.
    GoAway(u32),
    /// Something about the connection.
    Other,
    /// The connection is closed.
    Closed,
}

impl Http2 {
    /// Returns the status of an answer that has begun; 0 for one that has no short form.
    pub fn status(&self, stream: u32) -> Option<u16> {
        self.answers.get(&stream).map(|answer| answer.status)
    }

    /// Begins with these settings, each a number and a value.
    pub fn open(wire: Wire, settings: &[(u16, u32)]) -> Result<Self> {
        let mut this = Self {
            wire,
            next_stream: 1,
            answers: HashMap::new(),
        };
        this.wire.write_all(PREFACE)?;
        let mut payload = Vec::new();
        for (number, value) in settings {
            payload.extend(number.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        this.send(SETTINGS, 0, 0, &payload)?;
        Ok(this)
    }

    /// Posts a JSON body and returns the whole answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Answer> {
        let stream = self.start("POST", path, body.is_empty())?;
        self.data(stream, body, true)?;
        self.finish(stream)
    }

    /// Gets a page and returns the whole answer.
    pub fn get(&mut self, path: &str) -> Result<Answer> {
        let stream = self.start("GET", path, true)?;
        self.finish(stream)
    }

    /// Sends the head of a request and returns its number.
    pub fn start(&mut self, method: &str, path: &str, is_whole: bool) -> io::Result<u32> {
        let fields = [("content-type", "application/json")];
        self.start_with(method, path, &fields, is_whole)
    }

    /// Sends the head of a request with these fields and returns its number.
    pub fn start_with(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        is_whole: bool,
    ) -> io::Result<u32> {
        let stream = self.next_stream;
        self.next_stream += 2;
        let mut block = Vec::new();
        let pseudo = [
            (":method", method),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
        ];
        for (name, value) in pseudo.iter().chain(fields) {
            field(&mut block, name, value);
        }
        let end = if is_whole { END_STREAM } else { 0 };
        self.send(HEADERS, END_HEADERS | end, stream, &block)?;
        Ok(stream)
    }

    /// Sends a part of a body; nothing if there is none.
    pub fn data(&mut self, stream: u32, body: &[u8], is_end: bool) -> io::Result<()> {
        let n_chunks = body.chunks(FRAME_BYTES).len();
        for (nth, chunk) in body.chunks(FRAME_BYTES).enumerate() {
            let is_last = is_end && nth + 1 == n_chunks;
            let flags = if is_last { END_STREAM } else { 0 };
            self.send(DATA, flags, stream, chunk)?;
        }
        Ok(())
    }

    /// Returns what has come of an answer so far.
    pub fn so_far(&self, stream: u32) -> Answer {
        self.answers.get(&stream).cloned().unwrap_or_default()
    }

    /// Takes a request back.
    pub fn reset(&mut self, stream: u32) -> io::Result<()> {
        self.send(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
    }

    /// Asks whether the server is there.
    pub fn ping(&mut self) -> io::Result<()> {
        self.send(PING, 0, 0, &[7; 8])
    }

    /// Reads until an answer is whole or broken off, and returns it.
    pub fn finish(&mut self, stream: u32) -> Result<Answer> {
        loop {
            match self.event()? {
                Event::Closed => bail!("the server closed the connection without an answer"),
                Event::Answer(of) if of == stream => {
                    let answer = self.answers.get(&stream).cloned().unwrap_or_default();
                    if answer.is_whole || answer.reset.is_some() {
                        return Ok(answer);
                    }
                }
                Event::Answer(_) | Event::GoAway(_) | Event::Other => {}
            }
        }
    }

    /// Reads until the server closes the connection; returns why it said it would.
    pub fn until_closed(&mut self) -> Result<Option<u32>> {
        let mut reason = None;
        loop {
            match self.event()? {
                Event::Closed => return Ok(reason),
                Event::GoAway(code) => reason = Some(code),
                Event::Answer(_) | Event::Other => {}
            }
        }
    }

    /// Returns what the server sends next. Pings and settings are confirmed.
    pub fn event(&mut self) -> Result<Event> {
        let mut head = [0; 9];
        if let Err(error) = self.wire.read_exact(&mut head) {
            return if is_closed(&error) {
                Ok(Event::Closed)
            } else {
                Err(error).context("read a frame")
            };
        }
        let [high, middle, low, kind, flags, a, b, c, d] = head;
        let n_bytes = u32::from_be_bytes([0, high, middle, low]);
        let stream = u32::from_be_bytes([a, b, c, d]) & !(1 << 31);
        let mut payload = vec![0; usize::try_from(n_bytes)?];
        match self.wire.read_exact(&mut payload) {
            Ok(()) => {}
            Err(error) if is_closed(&error) => return Ok(Event::Closed),
            Err(error) => return Err(error).context("read a frame"),
        }
        self.take(kind, flags, stream, &payload)
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Result<Event> {
        let is_confirmation = flags & ACK != 0;
        match kind {
            // What cannot be sent any more is told by the next read.
            SETTINGS if !is_confirmation => drop(self.send(SETTINGS, ACK, 0, &[])),
            PING if !is_confirmation => drop(self.send(PING, ACK, 0, payload)),
            GOAWAY => return Ok(Event::GoAway(number(payload, 4)?)),
            HEADERS | DATA | RST_STREAM => {
                let answer = self.answers.entry(stream).or_default();
                match kind {
                    HEADERS if answer.status == 0 => answer.status = status(payload),
                    DATA => answer.body.extend_from_slice(payload),
                    RST_STREAM => answer.reset = Some(number(payload, 0)?),
                    _ => {}
                }
                answer.is_whole |= kind != RST_STREAM && flags & END_STREAM != 0;
                return Ok(Event::Answer(stream));
            }
            _ => {}
        }
        Ok(Event::Other)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let n_bytes = u32::try_from(payload.len()).map_err(io::Error::other)?;
        let [_, high, middle, low] = n_bytes.to_be_bytes();
        let mut frame = vec![high, middle, low, kind, flags];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.wire.write_all(&frame)?;
        self.wire.flush()
    }
}

/// Adds a header field in full, which the other side is not to remember (RFC 7541, 6.2.2).
fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        // Lengths from 127 on take more bytes; nothing here is as long.
        block.push(u8::try_from(text.len()).unwrap_or(0) & 0x7f);
        block.extend(text.as_bytes());
    }
}

/// Returns the status at the start of a block of header fields (RFC 7541, appendix A).
fn status(block: &[u8]) -> u16 {
    match block.first() {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}

fn number(payload: &[u8], at: usize) -> Result<u32> {
    let bytes = payload.get(at..at + 4).context("a short frame")?;
    Ok(u32::from_be_bytes(bytes.try_into()?))
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    )
}

/// The setting that says how much of an answer may be sent before more is asked for.
pub const INITIAL_WINDOW_SIZE: u16 = 4;
/// The reason of an end that is nobody's fault.
pub const NO_ERROR: u32 = 0;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_BYTES: usize = 16 * 1024;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: u32 = 8;
