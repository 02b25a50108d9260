//! What is signed: a request put into the one form that signer and verifier agree on.
//!
//! Source: the AWS guide "Create a signed AWS API request", held against AWS's own test suite.

use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, utf8_percent_encode};

use super::claim::{ALGORITHM, Claim, Form};
use super::error::AuthError;
use super::mac::sha256_hex;
use super::query;
use crate::error::excerpt;

/// Returns every form a signer may have put the request into, at most four and nearly always one.
///
/// Signers differ in two things. All services but S3 normalise the path and encode it once more, S3 takes it
/// as sent; both are good, and they are the same for every path that is served. And a session token may be
/// added to a query after it was signed: it is held against the key's own in any case.
///
/// # Errors
/// Refuses a request that lacks what its signature names, or that has unsigned what must be signed.
pub(super) fn requests(
    claim: &Claim,
    parts: &Parts,
    payload: &str,
) -> Result<Vec<Vec<u8>>, AuthError> {
    let sent = parts.uri.query().unwrap_or_default();
    let path = parts.uri.path();
    if sent.len() + path.len() > TARGET_BYTES_MAX {
        return Err(AuthError::Incomplete(format!(
            "A signed request may have at most {TARGET_BYTES_MAX} bytes in its path and query."
        )));
    }
    check_signed(claim, &parts.headers)?;
    let headers = header_lines(claim, parts)?;
    let names = claim.signed_headers.join(";");
    let mut requests = Vec::new();
    for query in queries(claim, sent) {
        for path in paths(path) {
            let mut request = format!("{}\n{path}\n{query}\n", parts.method).into_bytes();
            request.extend_from_slice(&headers);
            request.extend_from_slice(format!("\n{names}\n{payload}").as_bytes());
            requests.push(request);
        }
    }
    Ok(requests)
}

/// Returns the text whose code is the signature of a canonical request.
pub(super) fn string_to_sign(claim: &Claim, request: &[u8]) -> String {
    let (timestamp, scope) = (claim.timestamp(), claim.scope());
    let digest = sha256_hex(request);
    format!("{ALGORITHM}\n{timestamp}\n{scope}\n{digest}")
}

/// Checks that what must be signed is: the host, and what AWS itself adds to requests.
fn check_signed(claim: &Claim, headers: &HeaderMap) -> Result<(), AuthError> {
    let is_signed = |name: &str| claim.signed_headers.iter().any(|signed| signed == name);
    let unsigned = |header: &str| AuthError::Unsigned {
        header: excerpt(header, NAME_CHARS_SHOWN),
    };
    if !is_signed(HOST.as_str()) {
        return Err(unsigned(HOST.as_str()));
    }
    let is_excused = |name: &str| {
        ADDED_LATER.contains(&name)
            || claim.form != Form::Header && ADDED_BY_SENDERS.contains(&name)
    };
    let mut amz = headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| name.starts_with("x-amz-") && !is_excused(name));
    match amz.find(|name| !is_signed(name)) {
        Some(name) => Err(unsigned(name)),
        None => Ok(()),
    }
}

/// Returns the signed headers, a line each.
fn header_lines(claim: &Claim, parts: &Parts) -> Result<Vec<u8>, AuthError> {
    let mut lines = Vec::new();
    for name in &claim.signed_headers {
        lines.extend_from_slice(name.as_bytes());
        lines.push(b':');
        if name == HOST.as_str() {
            lines.extend_from_slice(&host(parts)?);
        } else {
            let mut values = parts.headers.get_all(name).iter();
            let first = values.next().ok_or_else(|| absent(name))?;
            collapse(first.as_bytes(), &mut lines);
            for value in values {
                lines.push(b',');
                collapse(value.as_bytes(), &mut lines);
            }
        }
        lines.push(b'\n');
        if lines.len() > HEADER_BYTES_MAX {
            return Err(AuthError::Incomplete(format!(
                "The signed headers may have at most {HEADER_BYTES_MAX} bytes."
            )));
        }
    }
    Ok(lines)
}

/// Returns the host: HTTP/1.1 says it in a header, HTTP/2 in the target, and some say it twice.
fn host(parts: &Parts) -> Result<Vec<u8>, AuthError> {
    let mut values = parts.headers.get_all(HOST).iter();
    let header = values.next().map(HeaderValue::as_bytes);
    let authority = parts.uri.authority().map(Authority::as_str);
    let is_ambiguous = values.next().is_some()
        || header
            .zip(authority)
            .is_some_and(|(header, authority)| !header.eq_ignore_ascii_case(authority.as_bytes()));
    if is_ambiguous {
        return Err(AuthError::incomplete(
            "The request names more than one 'Host'.",
        ));
    }
    let said = header.or(authority.map(str::as_bytes));
    let mut host = Vec::new();
    collapse(said.ok_or_else(|| absent(HOST.as_str()))?, &mut host);
    Ok(host)
}

fn absent(name: &str) -> AuthError {
    let name = excerpt(name, NAME_CHARS_SHOWN);
    AuthError::Incomplete(format!(
        "'{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
    ))
}

/// Adds a value without white space around it, and with one space for each white space in it.
fn collapse(value: &[u8], to: &mut Vec<u8>) {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let words = value.split(is_space).filter(|word| !word.is_empty());
    for (word_idx, word) in words.enumerate() {
        if word_idx > 0 {
            to.push(b' ');
        }
        to.extend_from_slice(word);
    }
}

fn queries(claim: &Claim, sent: &str) -> Vec<String> {
    match claim.form {
        Form::Header => vec![query::canonical(sent, &[])],
        Form::Query { .. } => {
            let mut queries = vec![query::canonical(sent, &[query::SIGNATURE])];
            if claim.session_token.is_some() {
                let left_out = [query::SIGNATURE, query::SECURITY_TOKEN];
                queries.push(query::canonical(sent, &left_out));
            }
            queries
        }
    }
}

fn paths(sent: &str) -> Vec<String> {
    let encoded = utf8_percent_encode(&normalise(sent), ENCODED_IN_PATHS).to_string();
    if encoded == sent {
        vec![encoded]
    } else {
        vec![encoded, sent.to_owned()]
    }
}

/// Returns a path without empty segments, `.` and `..` (RFC 3986, section 5.2.4, with slashes merged).
fn normalise(path: &str) -> String {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let ends_in_slash = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    if ends_in_slash && !segments.is_empty() {
        segments.push("");
    }
    format!("/{}", segments.join("/"))
}

/// What may be there unsigned: the session token, which is held against the key's own, and what `CloudFront`
/// adds on the way.
const ADDED_LATER: [&str; 2] = ["x-amz-security-token", "x-amz-cf-id"];
/// What clients add when they send a query that was signed before.
const ADDED_BY_SENDERS: [&str; 2] = ["x-amz-user-agent", "x-amz-checksum-mode"];
const ENCODED_IN_PATHS: &AsciiSet = &query::ENCODED.remove(b'/');
/// Names of headers are as long as clients like.
const NAME_CHARS_SHOWN: usize = 64;
const TARGET_BYTES_MAX: usize = 16 * 1024;
const HEADER_BYTES_MAX: usize = 64 * 1024;
