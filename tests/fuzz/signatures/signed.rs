//! Requests as the reference signer signs them, in all forms, and what about them is signed.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SessionTokenMode, SignableBody, SignableRequest, SignatureLocation,
    SigningSettings, sign,
};
use aws_sigv4::sign::v4::{SigningParams, calculate_signature, generate_signing_key};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Uri};
use model::Timestamp;
use percent_encoding::percent_decode_str;
use protocol::sigv4::Key;
use sha2::{Digest, Sha256};

use super::request::text_of;

/// A request that was signed.
pub(super) struct Signed {
    pub(super) name: &'static str,
    /// As it is sent.
    pub(super) text: Vec<u8>,
    /// The body its sender meant.
    pub(super) opened: Bytes,
    parts: Parts,
    header_names: Vec<String>,
    covers_body: bool,
}

/// How a request is signed.
struct Plan {
    name: &'static str,
    target: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: SignableBody<'static>,
    in_query: bool,
    session_token: Option<&'static str>,
    signs_token: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            name: "plain",
            target: "/TraceSegments",
            headers: &[],
            body: SignableBody::Bytes(BODY),
            in_query: false,
            session_token: None,
            signs_token: true,
        }
    }
}

/// Returns the time at which all is signed and verified.
pub(super) fn now() -> Timestamp {
    Timestamp::from_secs(SECS)
}

/// Returns what is known of a key.
pub(super) fn key_of(access_key_id: &str) -> Option<Key<'static>> {
    let session_token = match access_key_id {
        "AKIDEXAMPLE" => None,
        "ASIAEXAMPLE" => Some(TOKEN),
        _ => return None,
    };
    Some(Key {
        secret: SECRET,
        session_token,
    })
}

/// Returns a request of each form there is.
pub(super) fn all_signed() -> Vec<Signed> {
    let plans = [
        Plan::default(),
        Plan {
            name: "with headers",
            headers: &[
                ("content-type", "application/json"),
                ("h-a", "a  b, c"),
                ("x-amz-target", "X.Y"),
            ],
            ..Plan::default()
        },
        Plan {
            name: "with a query and a path",
            target: "/a//b/../c%20d/%C3%A9?b=2&a=1&a=%2B+&c",
            ..Plan::default()
        },
        Plan {
            name: "with a token",
            session_token: Some(TOKEN),
            ..Plan::default()
        },
        Plan {
            name: "with a token added later",
            session_token: Some(TOKEN),
            signs_token: false,
            ..Plan::default()
        },
        Plan {
            name: "in the query",
            target: "/Traces?a=1",
            in_query: true,
            ..Plan::default()
        },
        Plan {
            name: "in the query with a token",
            in_query: true,
            session_token: Some(TOKEN),
            signs_token: false,
            ..Plan::default()
        },
        Plan {
            name: "without its body",
            body: SignableBody::UnsignedPayload,
            ..Plan::default()
        },
    ];
    let mut signed: Vec<Signed> = plans.iter().map(|plan| Signed::of(plan, BODY)).collect();
    signed.extend(in_chunks());
    signed
}

/// Returns requests whose bodies come in chunks.
fn in_chunks() -> Vec<Signed> {
    const TRAILERS: &[(&str, &str)] = &[
        ("x-amz-decoded-content-length", "12"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let plan = |name, literal: &str, headers| Plan {
        name,
        body: SignableBody::Precomputed(literal.to_owned()),
        headers,
        ..Plan::default()
    };
    let forms = [
        plan(
            "chunks",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            &TRAILERS[..1],
        ),
        plan(
            "chunks and trailers",
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
            TRAILERS,
        ),
        plan(
            "unsigned chunks",
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            TRAILERS,
        ),
    ];
    let signed = forms.iter().map(|plan| {
        let head = Signed::of(plan, b"");
        let is_signed = plan.name != "unsigned chunks";
        let has_trailers = plan.name != "chunks";
        let body = chunked(&signature_of(&head.parts), is_signed, has_trailers);
        Signed {
            text: text_of(&head.parts, &body),
            opened: Bytes::from_static(CHUNKS.concat().leak()),
            covers_body: is_signed,
            ..head
        }
    });
    signed.collect()
}

/// Returns a body in chunks; `previous` is the signature of the request.
fn chunked(previous: &str, is_signed: bool, has_trailers: bool) -> Vec<u8> {
    let key = generate_signing_key(SECRET, time(), "us-east-1", "xray");
    let mut previous = previous.to_owned();
    let mut sign = |kind: &str, digests: &str| {
        let text = format!("{kind}\n{BASIC_TIME}\n{SCOPE}\n{previous}\n{digests}");
        previous = calculate_signature(&key, text.as_bytes());
        previous.clone()
    };
    let mut body = Vec::new();
    for chunk in CHUNKS {
        let mut line = format!("{:x}", chunk.len());
        if is_signed {
            let digests = format!("{}\n{}", sha256_hex(b""), sha256_hex(chunk));
            line += ";chunk-signature=";
            line += &sign("AWS4-HMAC-SHA256-PAYLOAD", &digests);
        }
        body.extend([line.as_bytes(), b"\r\n", chunk].concat());
        if !chunk.is_empty() {
            body.extend(b"\r\n");
        }
    }
    if has_trailers {
        let trailer = "x-amz-checksum-crc32:AAAAAA==\n";
        body.extend(trailer.replace('\n', "\r\n").bytes());
        if is_signed {
            let signature = sign("AWS4-HMAC-SHA256-TRAILER", &sha256_hex(trailer.as_bytes()));
            body.extend(format!("x-amz-trailer-signature:{signature}\r\n").bytes());
        }
        body.extend(b"\r\n");
    }
    body
}

impl Signed {
    fn of(plan: &Plan, body: &'static [u8]) -> Self {
        let id = if plan.session_token.is_some() {
            "ASIAEXAMPLE"
        } else {
            "AKIDEXAMPLE"
        };
        let token = plan.session_token.map(str::to_owned);
        let identity = Credentials::new(id, SECRET, token, None, "test").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region("us-east-1")
            .name("xray")
            .time(time())
            .settings(plan.settings())
            .build()
            .unwrap()
            .into();
        let url = format!("http://xray.example:2000{}", plan.target);
        let headers = plan.headers.iter().copied();
        let payload = match &plan.body {
            SignableBody::Bytes(bytes) => SignableBody::Bytes(bytes),
            SignableBody::Precomputed(literal) => SignableBody::Precomputed(literal.clone()),
            _ => SignableBody::UnsignedPayload,
        };
        let signable = SignableRequest::new("POST", &url, headers, payload).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        let mut request = Request::builder().method("POST").uri(&url);
        for (name, value) in plan.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        instructions.apply_to_request_http1x(&mut request);
        let host = HeaderValue::from_static("xray.example:2000");
        request.headers_mut().insert("host", host);
        let target = request.uri().path_and_query().unwrap().as_str();
        *request.uri_mut() = target.parse().unwrap();
        let (parts, ()) = request.into_parts();
        Self {
            name: plan.name,
            text: text_of(&parts, body),
            opened: Bytes::from_static(body),
            header_names: signed_headers(&parts),
            covers_body: matches!(plan.body, SignableBody::Bytes(_)),
            parts,
        }
    }

    /// Tells whether a request says what this one does, as far as it is signed; `opened` is its body.
    ///
    /// Paths may be normalised or not, queries are a list of pairs, white space in headers does not count, and a session
    /// token in a query is held against the key's.
    pub(super) fn is_same(&self, parts: &Parts, opened: &Bytes) -> bool {
        let has_header = |name: &String| values(parts, name) == values(&self.parts, name);
        signature_of(parts) == signature_of(&self.parts)
            && parts.method == self.parts.method
            && normal(parts.uri.path()) == normal(self.parts.uri.path())
            && pairs(&parts.uri) == pairs(&self.parts.uri)
            && self.header_names.iter().all(has_header)
            && (!self.covers_body || *opened == self.opened)
    }
}

impl Plan {
    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        settings.expires_in = Some(Duration::from_mins(1));
        if self.in_query {
            settings.signature_location = SignatureLocation::QueryParams;
        }
        if !matches!(self.body, SignableBody::Bytes(_)) {
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        if !self.signs_token {
            settings.session_token_mode = SessionTokenMode::Exclude;
        }
        settings
    }
}

/// Returns the signature a request has in its headers or its query.
fn signature_of(parts: &Parts) -> String {
    if let Some(authorization) = parts.headers.get("authorization") {
        let authorization = authorization.to_str().unwrap();
        let (_, rest) = authorization.rsplit_once("Signature=").unwrap();
        return rest.split(',').next().unwrap().trim().to_owned();
    }
    let query = parts.uri.query().unwrap_or_default();
    let said = |piece: &str| {
        let (name, value) = piece.split_once('=')?;
        let is_signature = percent_decode_str(name).eq(b"X-Amz-Signature".iter().copied());
        is_signature.then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
    };
    query.split('&').find_map(said).unwrap()
}

fn signed_headers(parts: &Parts) -> Vec<String> {
    let said = if let Some(authorization) = parts.headers.get("authorization") {
        let authorization = authorization.to_str().unwrap();
        let (_, rest) = authorization.split_once("SignedHeaders=").unwrap();
        rest.split(',').next().unwrap().to_owned()
    } else {
        let named = |(name, _): &(Vec<u8>, Vec<u8>)| name == b"X-Amz-SignedHeaders";
        let (_, value) = pairs(&parts.uri).into_iter().find(named).unwrap();
        String::from_utf8(value).unwrap()
    };
    said.split(';').map(str::to_owned).collect()
}

/// Returns the segments of a path that are left when `.` and `..` are followed.
fn normal(path: &str) -> Vec<&str> {
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
    if matches!(path.rsplit('/').next(), Some("" | "." | "..")) {
        segments.push("");
    }
    segments
}

/// Returns the parameters of a query, sorted and without the signature and the token.
fn pairs(uri: &Uri) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decode = |text: &str| -> Vec<u8> { percent_decode_str(&text.replace('+', " ")).collect() };
    let pieces = uri.query().unwrap_or_default().split('&');
    let mut pairs: Vec<_> = pieces
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .filter(|(name, _)| name != b"X-Amz-Signature" && name != b"X-Amz-Security-Token")
        .collect();
    pairs.sort_unstable();
    pairs
}

/// Returns the values of a header, one space where there was white space; the host may be in the target instead.
fn values(parts: &Parts, name: &str) -> String {
    let said = |headers: &HeaderMap| {
        let values = headers.get_all(name).iter();
        let words = values.map(|value| {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            text.split([' ', '\t'])
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        });
        words.collect::<Vec<_>>().join(",")
    };
    match parts.uri.authority() {
        Some(authority) if name == "host" && !parts.headers.contains_key("host") => {
            authority.to_string()
        }
        Some(_) | None => said(&parts.headers),
    }
}

fn sha256_hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(bytes) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(SECS)
}

const SECS: u64 = 1_440_938_160;
const BASIC_TIME: &str = "20150830T123600Z";
const SCOPE: &str = "20150830/us-east-1/xray/aws4_request";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "a/Session+Token==";
const BODY: &[u8] = b"{\"TraceSegmentDocuments\":[\"{}\"]}";
const CHUNKS: [&[u8]; 3] = [b"{\"a\":", b"\"bcdef}", b""];
