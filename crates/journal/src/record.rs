//! What is kept of a call or datagram: all that is needed to send it again, and no credentials.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use model::{Account, Timestamp};

/// Something that came in.
///
/// One that was read from a file shares the memory of its block: who keeps a body keeps the block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it arrived.
    pub at: Timestamp,
    /// The door it came through.
    pub door: Door,
    /// Whose it was, if that was known.
    pub account: Option<Account>,
    /// Who sent it, if that was known.
    pub peer: Option<SocketAddr>,
    /// What was sent.
    pub content: Content,
    /// What became of its documents, if somebody judged them.
    pub verdicts: Option<Verdicts>,
}

/// A door things come in through; the number is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Door {
    /// The X-Ray API.
    Api = 1,
    /// Datagrams of X-Ray SDKs.
    Udp = 2,
    /// OTLP over HTTP at its own address.
    OtlpHttp = 3,
    /// OTLP over gRPC at its own address.
    OtlpGrpc = 4,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A call over HTTP; gRPC is one, too.
    Http(Call),
    /// A datagram, as received.
    Datagram(Bytes),
}

/// A call over HTTP without what would let others in: of its headers only some are kept, of its target the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    method: String,
    path: String,
    headers: Vec<(String, Bytes)>,
    body: Bytes,
    /// What was answered, if anything was.
    pub answer: Option<Answer>,
    took: Option<Duration>,
}

/// An answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status of HTTP.
    pub status: u16,
    /// The body, as sent; empty also when it was not kept.
    pub body: Bytes,
}

/// What became of the documents of a call or datagram.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// How many were taken.
    pub n_accepted: u32,
    /// The others.
    pub refused: Vec<Refusal>,
}

/// A document that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its id as sent, if that could be read.
    pub id: Option<String>,
    /// The code it was refused with.
    pub code: String,
}

impl Door {
    /// Every door there is.
    pub const ALL: [Self; 4] = [Self::Api, Self::Udp, Self::OtlpHttp, Self::OtlpGrpc];

    /// Returns the number that is stored.
    pub(crate) const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the door with this number, if this version knows it.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|door| door.number() == number)
    }
}

impl Call {
    /// Returns what is kept of a call that has no answer yet.
    ///
    /// The body is what was received, before it is unpacked. Of the headers those remain that say how the body is to
    /// be read or who sent it; names are in lower case, the order is kept. Of the target the path remains: no
    /// operation has a query, and presigned ones carry signatures there.
    pub fn new<'h>(
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
        body: Bytes,
    ) -> Self {
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let is_kept = HEADERS_KEPT.contains(&name.as_str());
            is_kept.then(|| (name, Bytes::copy_from_slice(value)))
        });
        Self {
            method: method.to_owned(),
            path: path_of(target).to_owned(),
            headers: headers.collect(),
            body,
            answer: None,
            took: None,
        }
    }

    /// Returns the call with how long its answer took, from when the call was read whole to when the answer was made;
    /// beyond 584 years it is not known.
    #[must_use]
    pub fn with_took(self, took: Duration) -> Self {
        let is_countable = u64::try_from(took.as_nanos()).is_ok();
        Self {
            took: is_countable.then_some(took),
            ..self
        }
    }

    /// Returns how long the answer took, if that is known.
    pub const fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Returns the method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the path, which begins with `/`, or is `*`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the headers that were kept, in their order; a name may come several times.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &[u8])> {
        let headers = self.headers.iter();
        headers.map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// Returns the body as it was received.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Returns the path of a target in any of the forms HTTP has; `/` where there is none.
fn path_of(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let path = match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => {
            rest.find('/').and_then(|slash| rest.get(slash..))
        }
        _ => Some(target),
    };
    match path {
        Some(path) if path.starts_with('/') || path == "*" => path,
        _ => "/",
    }
}

/// Headers that say how a body is to be read, or who sent it. Whatever is not named here is not kept.
const HEADERS_KEPT: &[&str] = &[
    "accept",
    "content-encoding",
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "te",
    "user-agent",
    "x-amz-target",
    "x-amz-user-agent",
    "x-amzn-trace-id",
    "x-amzn-xray-timestamp",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, path: &str) {
        let call = Call::new("GET", target, [], Bytes::new());
        assert_eq!(call.path(), path, "{target}");
    }

    #[test]
    fn of_a_target_only_the_path_is_kept() {
        check("/TraceSegments", "/TraceSegments");
        check("/Traces?X-Amz-Signature=abc&a=b", "/Traces");
        check("/Traces#x", "/Traces");
        check("http://user:secret@host:80/Traces?x", "/Traces");
        check("http://user:secret@host:80", "/");
        check("http://user:secret@host:80?/x", "/");
        check("user:secret@host:80", "/");
        check("/a://b/c", "/a://b/c");
        check("*", "*");
        check("", "/");
        check("?x", "/");
    }

    #[test]
    fn credentials_are_not_kept() {
        let headers: [(&str, &[u8]); 10] = [
            ("Authorization", b"AWS4-HMAC-SHA256 Credential=a"),
            ("Proxy-Authorization", b"b"),
            ("X-Amz-Security-Token", b"c"),
            ("Cookie", b"d"),
            ("X-Api-Key", b"e"),
            ("Content-Type", b"application/json"),
            ("X-Amz-Date", b"f"),
            ("USER-AGENT", b"\xff"),
            ("x-amz-target", b"one"),
            ("x-amz-target", b"two"),
        ];
        let call = Call::new("POST", "/", headers, Bytes::new());
        let kept: Vec<(&str, &[u8])> = call.headers().collect();
        let expected: [(&str, &[u8]); 4] = [
            ("content-type", b"application/json"),
            ("user-agent", b"\xff"),
            ("x-amz-target", b"one"),
            ("x-amz-target", b"two"),
        ];
        assert_eq!(kept, expected);
    }
}
