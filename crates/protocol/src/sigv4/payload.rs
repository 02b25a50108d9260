//! What a signature says of the body: its hash, nothing, or that it is signed chunk by chunk.

use bytes::Bytes;
use http::{HeaderMap, HeaderName};

use super::chunks::{self, Chain, Framing};
use super::claim::single;
use super::error::AuthError;
use super::mac::{parse_hex, sha256_hex};

/// How a body is signed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// As a whole, by the hash that is given.
    Whole { digest: String },
    /// Not at all.
    Unsigned,
    /// In chunks (`aws-chunked`).
    Chunks {
        literal: &'static str,
        framing: Framing,
    },
}

impl Payload {
    /// Returns how the head of a request says that its body is signed.
    ///
    /// # Errors
    /// Refuses a hash that is not the body's and a head that says nothing understood.
    pub(super) fn of(headers: &HeaderMap, body: &[u8]) -> Result<Self, AuthError> {
        let Some(said) = single(headers, &CONTENT_SHA256)? else {
            let digest = sha256_hex(body);
            return Ok(Self::Whole { digest });
        };
        if said == UNSIGNED {
            return Ok(Self::Unsigned);
        }
        if let Some((literal, is_signed, has_trailers)) =
            CHUNKED.into_iter().find(|(literal, ..)| *literal == said)
        {
            let trailers = has_trailers.then(|| announced(headers)).transpose()?;
            let framing = Framing {
                is_signed,
                decoded_bytes: decoded_bytes(headers)?,
                trailers,
            };
            return Ok(Self::Chunks { literal, framing });
        }
        if parse_hex(said.as_bytes()).is_none() {
            return Err(AuthError::incomplete(
                "'x-amz-content-sha256' must be a SHA-256 in lowercase hexadecimal digits, UNSIGNED-PAYLOAD, or one of the STREAMING forms of AWS4-HMAC-SHA256.",
            ));
        }
        let digest = sha256_hex(body);
        if said != digest {
            return Err(AuthError::Payload);
        }
        Ok(Self::Whole { digest })
    }

    /// Returns what is signed in the place of the body.
    pub(super) fn literal(&self) -> &str {
        match self {
            Self::Whole { digest } => digest,
            Self::Unsigned => UNSIGNED,
            Self::Chunks { literal, .. } => literal,
        }
    }

    /// Returns the body the sender meant; `chain` begins with the signature of the request.
    pub(super) fn open(&self, body: &Bytes, chain: Chain<'_>) -> Result<Bytes, AuthError> {
        match self {
            Self::Whole { .. } | Self::Unsigned => Ok(body.clone()),
            Self::Chunks { framing, .. } => chunks::decode(body, framing, chain),
        }
    }
}

fn decoded_bytes(headers: &HeaderMap) -> Result<usize, AuthError> {
    let said = single(headers, &DECODED_CONTENT_LENGTH)?;
    let said = said.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    said.and_then(|text| text.parse().ok()).ok_or_else(|| {
        AuthError::incomplete(
            "A body in chunks needs its length in 'x-amz-decoded-content-length'.",
        )
    })
}

/// Returns the names of the trailers a request announces, lowercase.
fn announced(headers: &HeaderMap) -> Result<Vec<String>, AuthError> {
    let said = single(headers, &TRAILER)?.unwrap_or_default();
    let names: Vec<_> = said
        .split(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    if names.iter().any(String::is_empty) {
        return Err(AuthError::incomplete(
            "A body with trailers needs their names in 'x-amz-trailer'.",
        ));
    }
    Ok(names)
}

const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The forms of chunks: whether they are signed, and whether headers follow them.
const CHUNKED: [(&str, bool, bool); 3] = [
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false),
    ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true),
    ("STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true),
];
const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DECODED_CONTENT_LENGTH: HeaderName = HeaderName::from_static("x-amz-decoded-content-length");
const TRAILER: HeaderName = HeaderName::from_static("x-amz-trailer");
