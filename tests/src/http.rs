//! A client of HTTP/1.1, with and without TLS, small enough to send wrong things on purpose and to cost a benchmark little.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use serde_json::Value;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

/// One kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    reader: BufReader<Wire>,
}

/// What bytes go over.
#[derive(Debug)]
pub enum Wire {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, and values, in the order received.
    pub headers: Vec<(String, String)>,
    /// The body, chunks joined.
    pub body: Vec<u8>,
}

impl Connection {
    /// Connects; reads and writes that take more than half a minute are errors.
    pub fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self::over(Wire::open(address)?))
    }

    /// Connects with TLS to a server that must show a certificate for `127.0.0.1`.
    pub fn open_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        Ok(Self::over(Wire::open_tls(address, config)?))
    }

    /// Speaks over what is open already.
    pub fn over(wire: Wire) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, wire),
        }
    }

    /// Sends a JSON body to a path and returns the answer.
    pub fn post(&mut self, path: &str, body: &[u8]) -> Result<Response> {
        self.request("POST", path, &[("Content-Type", "application/json")], body)
    }

    /// Sends a request with these headers and a `Content-Length`, and returns the answer.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            write!(head, "{name}: {value}\r\n")?;
        }
        head.push_str("\r\n");
        let mut message = head.into_bytes();
        message.extend_from_slice(body);
        self.send(&message)?;
        self.receive()
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.reader.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent; answers can still be received.
    pub fn finish_sending(&mut self) -> io::Result<()> {
        self.reader.get_ref().stream().shutdown(Shutdown::Write)
    }

    /// Returns the next answer. A connection closed before an answer is an error.
    pub fn receive(&mut self) -> Result<Response> {
        match self.receive_or_closed()? {
            Some(response) => Ok(response),
            None => bail!("the server closed the connection without an answer"),
        }
    }

    /// Returns the next answer, or nothing if the server closed or reset the connection before one began.
    pub fn receive_or_closed(&mut self) -> Result<Option<Response>> {
        let Some(status_line) = self.line_or_closed()? else {
            return Ok(None);
        };
        let status = parse_status(&status_line)?;
        let headers = self.headers()?;
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if status == 100 {
            return self.receive_or_closed();
        }
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value.contains("chunked"))
        {
            response.body = self.chunks()?;
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().context("content-length of the answer")?;
            response.body = vec![0; length];
            self.reader.read_exact(&mut response.body)?;
        } else {
            self.reader.read_to_end(&mut response.body)?;
        }
        Ok(Some(response))
    }

    fn line_or_closed(&mut self) -> Result<Option<String>> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(line)),
            Err(error) if is_closed(&error) => Ok(None),
            Err(error) => Err(error).context("read the status line"),
        }
    }

    fn headers(&mut self) -> Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line.split_once(':').context("a header without a colon")?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn chunks(&mut self) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = u64::from_str_radix(self.line()?.trim(), 16).context("size of a chunk")?;
            let n_read = (&mut self.reader).take(size).read_to_end(&mut body)?;
            anyhow::ensure!(
                u64::try_from(n_read)? == size,
                "the answer ended in the middle of a chunk"
            );
            let end = self.line()?;
            anyhow::ensure!(end.is_empty(), "a chunk is longer than it says");
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let n_read = self.reader.read_line(&mut line)?;
        anyhow::ensure!(n_read > 0, "the answer ended in the middle");
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl Wire {
    /// Connects; reads and writes that take more than half a minute are errors.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).context("connect to the server under test")?;
        Self::of(stream)
    }

    /// Connects from an address of this machine, such as `127.0.0.2`.
    pub fn open_from(from: IpAddr, address: SocketAddr) -> Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        bind(&socket, &SocketAddr::new(from, 0))?;
        connect(&socket, &address).context("connect to the server under test")?;
        Self::of(socket.into())
    }

    /// Connects with TLS to a server that must show a certificate for `127.0.0.1`.
    pub fn open_tls(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<Self> {
        let Self::Plain(stream) = Self::open(address)? else {
            bail!("encrypted already");
        };
        let name = ServerName::try_from("127.0.0.1")?;
        let session = ClientConnection::new(Arc::clone(config), name)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self::Tls(Box::new(stream)))
    }

    /// Returns the connection below.
    pub fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Returns the version of HTTP that was agreed on in the handshake.
    pub fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => stream.conn.alpn_protocol(),
        }
    }

    fn of(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Plain(stream))
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

impl Response {
    /// Returns the first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("body is not JSON: {}", self.text()))
    }

    /// Returns the body of a 200 as JSON; any other answer is an error that shows it.
    pub fn success(&self) -> Result<Value> {
        anyhow::ensure!(
            self.status == 200,
            "status {}: {}",
            self.status,
            self.text()
        );
        self.json()
    }

    /// Returns status, type and message of an error that every AWS client can read: restJson1 with the type
    /// in the header and in the body.
    pub fn error(&self) -> Result<(u16, String, String)> {
        anyhow::ensure!(
            self.status >= 400,
            "status {} is no error: {}",
            self.status,
            self.text()
        );
        let header = self
            .header("x-amzn-errortype")
            .context("an error without x-amzn-ErrorType")?;
        let code = header.split(':').next().unwrap_or_default();
        let body = self.json()?;
        let message = body
            .get("Message")
            .or_else(|| body.get("message"))
            .and_then(Value::as_str);
        let message = message.with_context(|| format!("an error without a message: {body}"))?;
        anyhow::ensure!(
            self.header("x-amzn-requestid").is_some(),
            "an error without a request id"
        );
        Ok((self.status, code.to_owned(), message.to_owned()))
    }
}

fn parse_status(line: &str) -> Result<u16> {
    let rest = line
        .strip_prefix("HTTP/1.")
        .with_context(|| format!("not an answer of HTTP/1: {line:?}"))?;
    let code = rest
        .split(' ')
        .nth(1)
        .context("a status line without a code")?;
    Ok(code.trim().parse()?)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof
    )
}

const PATIENCE: Duration = Duration::from_secs(30);
