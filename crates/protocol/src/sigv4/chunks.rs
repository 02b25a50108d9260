//! Bodies in chunks (`aws-chunked`), each signed together with the one before it.
//!
//! Source: the Amazon S3 API reference, "Signature Calculations for the Authorization Header: Transferring
//! Payload in Multiple Chunks" and the page on trailing headers after it.

use bytes::{Bytes, BytesMut};

use super::claim::Claim;
use super::error::AuthError;
use super::mac::{SigningKey, hex, parse_hex, sha256_hex};

/// How a body is put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framing {
    /// Whether each chunk has a signature.
    pub(super) is_signed: bool,
    /// How many bytes the chunks have together.
    pub(super) decoded_bytes: usize,
    /// The names of the headers that follow the chunks, if there may be any.
    pub(super) trailers: Option<Vec<String>>,
}

/// The signatures of a body: each covers the one before it, the first covers that of the request.
pub(super) struct Chain<'a> {
    key: &'a SigningKey,
    claim: &'a Claim,
    previous: [u8; 32],
}

impl<'a> Chain<'a> {
    /// Returns the chain that begins with the signature of a request.
    pub(super) fn new(key: &'a SigningKey, claim: &'a Claim) -> Self {
        let previous = claim.signature;
        Self {
            key,
            claim,
            previous,
        }
    }

    fn check_chunk(&mut self, data: &[u8], signature: [u8; 32]) -> Result<(), AuthError> {
        let digests = format!("{}\n{}", sha256_hex(b""), sha256_hex(data));
        self.check("AWS4-HMAC-SHA256-PAYLOAD", &digests, signature)
    }

    fn check_trailers(&mut self, lines: &str, signature: [u8; 32]) -> Result<(), AuthError> {
        let digest = sha256_hex(lines.as_bytes());
        self.check("AWS4-HMAC-SHA256-TRAILER", &digest, signature)
    }

    fn check(&mut self, kind: &str, digests: &str, signature: [u8; 32]) -> Result<(), AuthError> {
        let (timestamp, scope) = (self.claim.timestamp(), self.claim.scope());
        let previous = hex(&self.previous);
        let text = format!("{kind}\n{timestamp}\n{scope}\n{previous}\n{digests}");
        if !self.key.is_code(text.as_bytes(), &signature) {
            return Err(AuthError::Mismatch {
                access_key_id: self.claim.access_key_id.clone(),
                is_known: true,
            });
        }
        self.previous = signature;
        Ok(())
    }
}

/// Returns the chunks of a body put together.
///
/// # Errors
/// Refuses a signature that is wrong and a body that is not put together as its head says.
pub(super) fn decode(
    body: &[u8],
    framing: &Framing,
    mut chain: Chain<'_>,
) -> Result<Bytes, AuthError> {
    // A body has more bytes than what is in it, so what a head says cannot make the server set aside more.
    let mut decoded = BytesMut::with_capacity(framing.decoded_bytes.min(body.len()));
    let mut rest = body;
    loop {
        let (line, after) = line(rest)?;
        let (n_data, signature) = chunk_head(line, framing.is_signed)?;
        let (data, after) = after
            .split_at_checked(n_data)
            .ok_or(AuthError::Chunks("it ends within a chunk"))?;
        if let Some(signature) = signature {
            chain.check_chunk(data, signature)?;
        }
        if n_data == 0 {
            rest = after;
            break;
        }
        decoded.extend_from_slice(data);
        rest = after
            .strip_prefix(b"\r\n")
            .ok_or(AuthError::Chunks("a chunk is longer than it says"))?;
    }
    if decoded.len() != framing.decoded_bytes {
        return Err(AuthError::Chunks(
            "its chunks have another length than x-amz-decoded-content-length",
        ));
    }
    match &framing.trailers {
        Some(announced) => check_trailers(rest, announced, framing.is_signed.then_some(chain))?,
        None if matches!(rest, b"" | b"\r\n") => {}
        None => return Err(AuthError::Chunks("more follows its last chunk")),
    }
    Ok(decoded.freeze())
}

/// Returns the first line of a text without its end, and what follows it.
fn line(text: &[u8]) -> Result<(&[u8], &[u8]), AuthError> {
    let end = text
        .windows(2)
        .take(LINE_BYTES_MAX)
        .position(|pair| pair == b"\r\n");
    let end = end.ok_or(AuthError::Chunks("a chunk has no head"))?;
    let (line, after) = text.split_at_checked(end).unwrap_or((text, b""));
    Ok((line, after.strip_prefix(b"\r\n").unwrap_or_default()))
}

/// Returns the length of a chunk and its signature, if it must have one.
fn chunk_head(line: &[u8], is_signed: bool) -> Result<(usize, Option<[u8; 32]>), AuthError> {
    let mut parts = line.splitn(2, |byte| *byte == b';');
    let (length, extension) = (parts.next().unwrap_or_default(), parts.next());
    let is_length = length.iter().all(u8::is_ascii_hexdigit);
    let length = str::from_utf8(length).ok().filter(|_| is_length);
    let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let length = length.ok_or(AuthError::Chunks("a chunk does not say its length"))?;
    if !is_signed {
        return Ok((length, None));
    }
    let signature = extension.and_then(|extension| extension.strip_prefix(b"chunk-signature="));
    let signature = signature.and_then(parse_hex);
    let signature = signature.ok_or(AuthError::Chunks("a chunk has no signature"))?;
    Ok((length, Some(signature)))
}

/// Checks that the trailers are those announced and, where there is a chain, that they are signed.
///
/// Lines may end in either way, and an empty one may follow each: clients differ.
fn check_trailers(
    rest: &[u8],
    announced: &[String],
    chain: Option<Chain<'_>>,
) -> Result<(), AuthError> {
    let malformed = AuthError::Chunks("its trailers are no headers");
    if rest.len() > TRAILER_BYTES_MAX {
        return Err(AuthError::Chunks("its trailers are too long"));
    }
    let text = str::from_utf8(rest).map_err(|_| malformed.clone())?;
    let mut signature = None;
    let mut trailers = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed.clone())?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == TRAILER_SIGNATURE && signature.is_none() {
            signature = Some(value);
        } else {
            trailers.push((name, value));
        }
    }
    trailers.sort_unstable();
    let mut expected: Vec<_> = announced.iter().collect();
    expected.sort_unstable();
    if !trailers.iter().map(|(name, _)| name).eq(expected) {
        return Err(AuthError::Chunks(
            "its trailers are not those of x-amz-trailer",
        ));
    }
    let Some(mut chain) = chain else {
        return Ok(());
    };
    let signature = signature.and_then(|digits| parse_hex(digits.as_bytes()));
    let signature = signature.ok_or(AuthError::Chunks("its trailers have no signature"))?;
    let lines = trailers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"));
    chain.check_trailers(&lines.collect::<String>(), signature)
}

const TRAILER_SIGNATURE: &str = "x-amz-trailer-signature";
const LINE_BYTES_MAX: usize = 256;
const TRAILER_BYTES_MAX: usize = 16 * 1024;
