//! gRPC around one message. How an answer and a status are written is tonic's. What comes is taken apart here: the message
//! is a part of the body, and inflated as bodies are, so that every byte has its place before it is made (see [`body`]).

use std::time::Duration;

use bytes::{BufMut, Bytes};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use protocol::{ApiError, ErrorKind};
use tonic::codec::{EncodeBody, EncodeBuf, Encoder, SingleMessageCompressionOverride};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::http::answer::Answer;
use crate::http::body::{self, BodyLimits, Received};

/// Why there is no message.
pub(crate) enum Unread {
    /// It is refused as bodies are.
    Refused(ApiError),
    /// It is none that gRPC lets be read here; this is the answer.
    Told(Status),
}

/// Tells whether a request is one of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Returns the message of a call, inflated, in its place in memory.
///
/// # Errors
/// Says why there is none.
pub(crate) async fn message(
    headers: &HeaderMap,
    received: Received,
    limits: &BodyLimits,
) -> Result<Received, Unread> {
    let encoding = headers.get(ENCODING).map(HeaderValue::as_bytes);
    let is_gzip = encoding == Some(b"gzip");
    if let Some(other) = encoding.filter(|name| !is_gzip && *name != b"identity") {
        return Err(Unread::Told(not_read(other)));
    }
    let (flag, message) = only_message(&received.bytes).ok_or_else(|| {
        Unread::Refused(ApiError::invalid_request(
            "the body is not one whole message of gRPC",
        ))
    })?;
    let received = received.replaced(message);
    match flag {
        PLAIN => Ok(received),
        COMPRESSED if is_gzip => {
            let inflated = body::gunzip(received, limits).await;
            inflated.map_err(|error| Unread::Refused(error.into()))
        }
        _ => Err(Unread::Told(Status::internal(
            "the message is flagged as compressed, and grpc-encoding does not say how",
        ))),
    }
}

/// Returns the flag and the message of a body that is one message.
fn only_message(body: &Bytes) -> Option<(u8, Bytes)> {
    let (frame, message) = body.split_first_chunk::<FRAME_BYTES>()?;
    let [flag, a, b, c, d] = *frame;
    let n_bytes = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (message.len() == n_bytes).then(|| (flag, body.slice_ref(message)))
}

/// Returns what a call is told whose message is compressed in a way that is not read (spec: gRPC, "Compression").
fn not_read(encoding: &[u8]) -> Status {
    let name = String::from_utf8_lossy(encoding);
    let name: String = name.chars().take(40).collect();
    let mut status = Status::unimplemented(format!(
        "the message is compressed as {name:?}, which is not read here; send gzip or nothing"
    ));
    let read = MetadataValue::from_static("gzip,identity");
    status.metadata_mut().insert(ACCEPT_ENCODING, read);
    status
}

/// Returns the answer of a call that was taken.
pub(crate) fn answer(message: Bytes) -> Answer {
    let messages = stream::iter([Ok(message)]);
    let whole = SingleMessageCompressionOverride::default();
    let framed = EncodeBody::new_server(AsIs, messages, None, whole, None);
    let mut response = Response::new(tonic::body::Body::new(framed));
    let content_type = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Answer::Framed(response)
}

/// Returns the answer of a call that is told a status.
pub(crate) fn tell(status: Status) -> Answer {
    Answer::Framed(status.into_http::<tonic::body::Body>())
}

/// Returns what an answer says at once that is no answer of a call: there was none, or none that can be read.
pub(crate) fn refusal(answer: &Answer) -> Option<Status> {
    match answer {
        Answer::Framed(response) => Status::from_header_map(response.headers()),
        Answer::Whole(_) | Answer::Held(..) | Answer::Streamed(..) => None,
    }
}

/// Returns the code figures show for an answer that is no error of ours.
pub(crate) fn outcome(answer: &Answer) -> &'static str {
    refusal(answer).map_or("OK", |status| name(status.code()))
}

/// Returns the name gRPC has for a code.
pub(crate) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Returns the answer of a call that is refused.
pub(crate) fn refuse(error: &ApiError) -> Answer {
    tell(status(error))
}

/// Returns an error in the terms of gRPC. What can be tried again is `UNAVAILABLE`, which exporters do try again
/// (spec: OTLP, "OTLP/gRPC Throttling").
fn status(error: &ApiError) -> Status {
    let code = code(error);
    if code == Code::Unavailable {
        let wait = error.retry_after_secs().unwrap_or(1);
        let wait = Duration::from_secs(wait.into());
        let details = ErrorDetails::with_retry_info(Some(wait));
        return Status::with_error_details(code, error.message(), details);
    }
    Status::new(code, error.message())
}

/// Returns the code of gRPC that says what an error says.
pub(crate) fn code(error: &ApiError) -> Code {
    match error.kind() {
        ErrorKind::Throttled | ErrorKind::Unavailable | ErrorKind::Timeout => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
        ErrorKind::UnknownOperation | ErrorKind::MethodNotAllowed => Code::Unimplemented,
        ErrorKind::ResourceNotFound => Code::NotFound,
        ErrorKind::TooLarge => Code::ResourceExhausted,
        ErrorKind::MissingAuthenticationToken
        | ErrorKind::IncompleteSignature
        | ErrorKind::InvalidSignature
        | ErrorKind::UnrecognizedClient => Code::Unauthenticated,
        ErrorKind::AccessDenied | ErrorKind::Forbidden => Code::PermissionDenied,
        ErrorKind::InvalidRequest
        | ErrorKind::UnsupportedMedia
        | ErrorKind::TooManyTags
        | ErrorKind::RuleLimitExceeded
        | ErrorKind::InvalidPolicyRevisionId
        | ErrorKind::MalformedPolicyDocument
        | ErrorKind::LockoutPrevention
        | ErrorKind::PolicyCountLimitExceeded
        | ErrorKind::PolicySizeLimitExceeded => Code::InvalidArgument,
    }
}

/// Writes messages as the bytes they are.
struct AsIs;

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

/// How a message that is compressed is; only one that has the flag is (spec: gRPC over HTTP/2, "Message-Encoding").
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// A flag, and the length of the message.
const FRAME_BYTES: usize = 5;
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_message() {
        let check = |body: &'static [u8], expected: Option<(u8, &[u8])>| {
            let message = only_message(&Bytes::from_static(body));
            let message = message
                .as_ref()
                .map(|(flag, message)| (*flag, &message[..]));
            assert_eq!(message, expected, "{body:?}");
        };
        check(b"\0\0\0\0\0", Some((0, b"")));
        check(b"\x01\0\0\0\x02ab", Some((1, b"ab")));
        check(b"\x07\0\0\0\x01a", Some((7, b"a")));
        check(b"", None);
        check(b"\0\0\0\0", None);
        check(b"\0\0\0\0\x03ab", None);
        check(b"\0\0\0\0\x01ab", None);
        check(b"\0\xff\xff\xff\xffab", None);
    }
}
