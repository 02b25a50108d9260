//! A recorder that runs, and the server behind it, whose every word a test says itself.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use journal::{Reader, Record};
use roentgen_tests::process::{describe, terminate};
use roentgen_tests::wait::until;
use roentgen_tests::{Connection, Home};
use serde_json::Value;

/// A running `roentgen record`. Dropping it kills it, and no other process.
pub(super) struct Passage {
    child: Child,
    pub(super) http: SocketAddr,
    pub(super) udp: Option<SocketAddr>,
    journal: PathBuf,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

/// A server that says what a test says.
pub(super) struct Upstream(TcpListener);

/// A call that came to the server, on a connection of its own.
pub(super) struct Call {
    /// In lower case, without what ends them.
    pub(super) head: Vec<String>,
    stream: BufReader<TcpStream>,
}

impl Passage {
    pub(super) fn open(home: &Home, upstream: &str, more: &[&str]) -> Result<Self> {
        Self::of(home, home.command(), upstream, more)
    }

    /// Opens one that can write files of so many bytes and no larger ones, as if the disk were full then.
    pub(super) fn with_room(home: &Home, upstream: &str, n_bytes: u64) -> Result<Self> {
        let mut command = home.command();
        let program = command.get_program().to_owned();
        command = {
            let mut shell = Command::new("/bin/sh");
            shell.env_clear().current_dir(home.folder());
            // What is too large is told as an error, not by the end of the process.
            let script = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", n_bytes / 512);
            shell.args(["-c", &script, "sh"]).arg(program);
            shell
        };
        Self::of(home, command, upstream, &[])
    }

    fn of(home: &Home, mut command: Command, upstream: &str, more: &[&str]) -> Result<Self> {
        let journal = home.folder().join("a.journal");
        command
            .args(["record", "--listen", "127.0.0.1:0"])
            .args(["--upstream", upstream, "-o"])
            .arg(&journal)
            .args(more)
            .env("HOME", home.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdout = BufReader::new(child.stdout.take().context("its stdout")?);
        let stderr = BufReader::new(child.stderr.take().context("its stderr")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let address = |name: &str| ready[name].as_str().and_then(|text| text.parse().ok());
        Ok(Self {
            http: address("http").context("no address")?,
            udp: address("udp"),
            journal,
            child,
            stdout,
            stderr,
        })
    }

    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::open(self.http)
    }

    /// Connects to read an answer byte by byte.
    pub(super) fn connect_bare(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.http)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    pub(super) fn journal(&self) -> &Path {
        &self.journal
    }

    /// Returns what is on disk.
    pub(super) fn on_disk(&self) -> Result<Vec<Record>> {
        Ok(Reader::open(&[&self.journal])?.collect::<Result<_, _>>()?)
    }

    /// Waits until there are so many records on disk, and returns them.
    pub(super) fn written(&self, n_records: usize) -> Result<Vec<Record>> {
        until("the calls are on disk", || {
            let records = self.on_disk()?;
            Ok((records.len() >= n_records).then_some(records))
        })
    }

    /// Asks it to end.
    pub(super) fn ask_to_end(&self) -> Result<()> {
        terminate(self.child.id())
    }

    /// Waits until it has begun to end, which it says if it does not end at once.
    pub(super) fn until_ending(&mut self) -> Result<()> {
        let mut line = String::new();
        self.stderr.read_line(&mut line)?;
        anyhow::ensure!(line.contains("stopping"), "{line}");
        Ok(())
    }

    /// Kills it and returns the only record it left.
    pub(super) fn kill9(mut self) -> Result<Record> {
        self.child.kill()?;
        self.child.wait()?;
        let mut records = self.on_disk()?;
        anyhow::ensure!(records.len() == 1, "{} records", records.len());
        records.pop().context("one record")
    }

    /// Ends it and returns its totals.
    pub(super) fn close(self) -> Result<Value> {
        self.ask_to_end()?;
        let (status, totals, _) = self.end()?;
        assert_eq!(status.code(), Some(143));
        Ok(totals)
    }

    /// Waits until it has ended, and returns how, its totals and what it said last.
    pub(super) fn end(mut self) -> Result<(ExitStatus, Value, String)> {
        let status = until("the recorder has ended", || Ok(self.child.try_wait()?))?;
        let (mut totals, mut said) = (String::new(), String::new());
        self.stdout.read_line(&mut totals)?;
        self.stderr.read_to_string(&mut said)?;
        let totals = serde_json::from_str(&totals).with_context(|| format!("{totals} {said}"))?;
        Ok((status, totals, said))
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Upstream {
    pub(super) fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        Ok(Self(listener))
    }

    pub(super) fn url(&self) -> Result<String> {
        Ok(format!("http://{}", self.0.local_addr()?))
    }

    /// Waits until a call comes, and returns it with its head read.
    pub(super) fn call(&self) -> Result<Call> {
        let stream = until("the server is called", || match self.0.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.into()),
        })?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                return Ok(Call { head, stream });
            }
            head.push(line);
        }
    }

    /// Tells whether nobody connected but those whose calls were taken.
    pub(super) fn is_left_alone(&self) -> bool {
        self.0.accept().is_err()
    }
}

impl Call {
    /// Reads the body.
    pub(super) fn body(&mut self) -> Result<Vec<u8>> {
        let mut lengths = self
            .head
            .iter()
            .filter_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; lengths.next().context("a length")?.parse()?];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.get_mut().write_all(text.as_bytes())?)
    }

    /// Waits until the other side has hung up.
    pub(super) fn until_hung_up(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Returns a request that posts a body.
pub(super) fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: here\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads an answer until it ends with this text.
pub(super) fn read_to(stream: &mut impl Read, end: &str) -> Result<String> {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .with_context(|| String::from_utf8_lossy(&read).into_owned())?;
        read.extend(byte);
    }
    Ok(String::from_utf8(read)?)
}

/// Sends what was recorded to another server, which must accept all of it.
pub(super) fn replay(home: &Home, journal: &Path, to: &str) -> Result<()> {
    let mut command = home.command();
    command.arg("replay").arg(journal);
    let output = command.args(["--to", to, "--at", "keep"]).output()?;
    anyhow::ensure!(output.status.success(), "{}", describe(&output));
    Ok(())
}

const PATIENCE: Duration = Duration::from_secs(30);
