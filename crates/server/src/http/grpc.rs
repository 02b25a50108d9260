//! gRPC around one message. Framing and status are tonic's; the message stays bytes. It is inflated here, since every byte has
//! its place before it is made (see [`body`]).

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use futures_util::stream;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body_util::StreamBody;
use hyper::body::Frame;
use protocol::{ApiError, ErrorKind};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::http::answer::Answer;
use crate::http::body::{self, BodyLimits, Received};

/// Tells whether a request is one of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// The body of a call, as one message and what frames it.
pub(crate) struct Framed {
    /// Both, or the frame alone.
    head: Bytes,
    /// A message that was inflated.
    inflated: Bytes,
}

/// Returns the body of a call with its message inflated, and its place in memory. A head that says it is gzip says so no more.
///
/// # Errors
/// Says what is wrong if it is not what its head says, or becomes too large.
pub(crate) async fn inflate(
    head: &mut Parts,
    received: Received,
    limits: &BodyLimits,
) -> Result<(Framed, Received), ApiError> {
    let is_gzip = |value: &http::HeaderValue| value.as_bytes() == b"gzip";
    let is_said_gzip = head.headers.get(ENCODING).is_some_and(is_gzip);
    if is_said_gzip {
        head.headers.remove(ENCODING);
    }
    if !is_said_gzip || received.bytes.first() != Some(&COMPRESSED) {
        let framed = Framed {
            head: received.bytes.clone(),
            inflated: Bytes::new(),
        };
        return Ok((framed, received.replaced(Bytes::new())));
    }
    let message = only_message(&received.bytes)
        .ok_or_else(|| ApiError::invalid_request("the body is not one whole message of gRPC"))?;
    let received = body::gunzip(received.replaced(message), limits).await?;
    let n_bytes = u32::try_from(received.bytes.len());
    let n_bytes = n_bytes.map_err(|error| ApiError::internal(error.to_string()))?;
    let [a, b, c, d] = n_bytes.to_be_bytes();
    let framed = Framed {
        head: Bytes::copy_from_slice(&[PLAIN, a, b, c, d]),
        inflated: received.bytes.clone(),
    };
    Ok((framed, received.replaced(Bytes::new())))
}

/// Returns what follows the frame of a body that is one message.
fn only_message(body: &Bytes) -> Option<Bytes> {
    let (frame, message) = body.split_first_chunk::<FRAME_BYTES>()?;
    let [_, a, b, c, d] = *frame;
    let n_bytes = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (message.len() == n_bytes).then(|| body.slice_ref(message))
}

/// Answers a call with what `call` makes of its message. What is no call is answered, too: see [`refusal`].
///
/// # Errors
/// What `call` says; the answer to it is [`refuse`].
pub(crate) async fn unary<F>(
    head: Parts,
    body: Framed,
    message_bytes_max: usize,
    call: impl FnOnce(Bytes) -> F + Send + 'static,
) -> Result<Answer, ApiError>
where
    F: Future<Output = Result<Bytes, ApiError>> + Send + 'static,
{
    if let Some(status) = unread(&head.headers) {
        return Ok(Answer::Framed(status.into_http::<tonic::body::Body>()));
    }
    let mut grpc = Grpc::new(AsIs).max_decoding_message_size(message_bytes_max);
    let Framed {
        head: first,
        inflated,
    } = body;
    let frames = [first, inflated].map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
    let request = Request::from_parts(head, StreamBody::new(stream::iter(frames)));
    let failure = Failure::default();
    let once = Once {
        call: Some(call),
        failure: Arc::clone(&failure),
    };
    let response = grpc.unary(once, request).await;
    let failure = failure
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    failure.map_or(Ok(Answer::Framed(response)), Err)
}

/// Returns what a call is told whose message is compressed in a way that is not read (spec: gRPC, "Compression", case of an
/// encoding the server does not support).
fn unread(headers: &HeaderMap) -> Option<Status> {
    let encoding = headers.get(ENCODING)?;
    if encoding.as_bytes() == b"identity" {
        return None;
    }
    let name: String = String::from_utf8_lossy(encoding.as_bytes())
        .chars()
        .take(40)
        .collect();
    let message = format!(
        "the message is compressed as {name:?}, which is not read here; send gzip or nothing"
    );
    let mut status = Status::unimplemented(message);
    let read = MetadataValue::from_static("gzip,identity");
    status.metadata_mut().insert(ACCEPT_ENCODING, read);
    Some(status)
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
    Answer::Framed(status(error).into_http::<tonic::body::Body>())
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

/// Where a call leaves its error, of which a status says less.
type Failure = Arc<Mutex<Option<ApiError>>>;

/// A service that is called once.
struct Once<C> {
    call: Option<C>,
    failure: Failure,
}

impl<C, F> UnaryService<Bytes> for Once<C>
where
    C: FnOnce(Bytes) -> F,
    F: Future<Output = Result<Bytes, ApiError>> + Send + 'static,
{
    type Response = Bytes;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send + 'static>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let answer = self.call.take().map(|call| call(request.into_inner()));
        let failure = Arc::clone(&self.failure);
        Box::pin(async move {
            let answer = answer.ok_or_else(|| Status::internal("called twice"))?;
            answer.await.map(tonic::Response::new).map_err(|error| {
                let status = status(&error);
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                status
            })
        })
    }
}

/// Takes messages as the bytes they are.
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

/// How a message that is compressed is; only one that has the flag is (spec: gRPC over HTTP/2, "Message-Encoding").
const ENCODING: &str = "grpc-encoding";
const ACCEPT_ENCODING: &str = "grpc-accept-encoding";
/// A flag, and the length of the message.
const FRAME_BYTES: usize = 5;
const PLAIN: u8 = 0;
const COMPRESSED: u8 = 1;
