//! gRPC around one message. Framing, compression and status are tonic's; the message stays bytes.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body_util::Full;
use protocol::{ApiError, ErrorKind};
use tonic::codec::{
    Codec, CompressionEncoding, DecodeBuf, Decoder, EnabledCompressionEncodings, EncodeBuf, Encoder,
};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::http::answer::Answer;

/// Tells whether a request is one of gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers a call with what `call` makes of its message. What is no call is answered, too: see [`refusal`].
///
/// # Errors
/// What `call` says; the answer to it is [`refuse`].
pub(crate) async fn unary<F>(
    head: Parts,
    body: Bytes,
    message_bytes_max: usize,
    call: impl FnOnce(Bytes) -> F + Send + 'static,
) -> Result<Answer, ApiError>
where
    F: Future<Output = Result<Bytes, ApiError>> + Send + 'static,
{
    let mut accepted = EnabledCompressionEncodings::default();
    accepted.enable(CompressionEncoding::Gzip);
    let mut grpc = Grpc::new(AsIs)
        .apply_compression_config(accepted, EnabledCompressionEncodings::default())
        .max_decoding_message_size(message_bytes_max);
    let request = Request::from_parts(head, Full::new(body));
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
