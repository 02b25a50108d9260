//! Signatures held against AWS's own cases, against the reference signer, and refused in every way.

mod chunks;
mod reference;
mod refusals;
mod suite;

use std::time::Duration;

use http::{Request, Uri};

use super::*;

/// The key of the examples in AWS's documentation.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const IDS: [&str; 3] = ["AKIDEXAMPLE", "AKIAIOSFODNN7EXAMPLE", "ANOTREAL"];

const KEY: Key<'_> = Key {
    secret: SECRET,
    session_token: None,
};

const SCOPE: Scope<'_> = Scope {
    service: "xray",
    clock_skew: Duration::from_mins(5),
};

fn time(text: &str) -> Timestamp {
    calendar::parse_basic(text).unwrap()
}

fn claim_of(parts: &Parts) -> Claim {
    match read(parts).unwrap() {
        Presented::Signature(claim) => claim,
        Presented::Nothing => panic!("the request presents nothing"),
    }
}

/// Reads and verifies at once, as a server does that knows one key under each of the ids of the examples.
fn accept(
    (parts, body): &(Parts, Bytes),
    key: Option<Key<'_>>,
    scope: Scope<'_>,
    now: Timestamp,
) -> Result<Bytes, AuthError> {
    match read(parts)? {
        Presented::Signature(claim) => {
            let key = key.filter(|_| IDS.contains(&claim.access_key_id.as_str()));
            verify(&claim, parts, body, key, scope, now)
        }
        Presented::Nothing => Err(AuthError::Missing),
    }
}

/// Returns the request a text is, or nothing if it is none.
///
/// Lines end in a line feed, the target may have spaces in it, and a header goes on in lines that begin with a space, as
/// the cases of AWS have it. What follows the empty line is the body.
fn parse_request(text: &[u8]) -> Option<(Parts, Bytes)> {
    let head_end = text.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = match head_end {
        Some(end) => (&text[..end], text[end + 2..].trim_ascii_end()),
        None => (text.trim_ascii_end(), &b""[..]),
    };
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        match lines.last_mut() {
            Some(last) if line.starts_with(b" ") => last.extend_from_slice(line),
            Some(_) | None => lines.push(line.to_vec()),
        }
    }
    let mut lines = lines.iter();
    let first = str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let target = target.strip_suffix(" HTTP/1.1").unwrap_or(target);
    let target: Uri = target.replace(' ', "%20").parse().ok()?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], line[colon + 1..].trim_ascii());
    }
    let request = request.body(Bytes::copy_from_slice(body)).ok()?;
    Some(request.into_parts())
}
