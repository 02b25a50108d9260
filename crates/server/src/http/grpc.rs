//! gRPC around one message. Framing, compression and status are tonic's; the message stays bytes.

use std::future::Future;
use std::pin::Pin;
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

/// Answers a call with what `call` makes of its message.
pub(crate) async fn unary<F>(
    head: Parts,
    body: Bytes,
    message_bytes_max: usize,
    call: impl FnOnce(Bytes) -> F + Send + 'static,
) -> Answer
where
    F: Future<Output = Result<Bytes, ApiError>> + Send + 'static,
{
    let mut accepted = EnabledCompressionEncodings::default();
    accepted.enable(CompressionEncoding::Gzip);
    let mut grpc = Grpc::new(AsIs)
        .apply_compression_config(accepted, EnabledCompressionEncodings::default())
        .max_decoding_message_size(message_bytes_max);
    let request = Request::from_parts(head, Full::new(body));
    Answer::Framed(grpc.unary(Once(Some(call)), request).await)
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

/// A service that is called once.
struct Once<C>(Option<C>);

impl<C, F> UnaryService<Bytes> for Once<C>
where
    C: FnOnce(Bytes) -> F,
    F: Future<Output = Result<Bytes, ApiError>> + Send + 'static,
{
    type Response = Bytes;
    type Future =
        Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send + 'static>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let answer = self.0.take().map(|call| call(request.into_inner()));
        Box::pin(async move {
            let answer = answer.ok_or_else(|| Status::internal("called twice"))?;
            answer
                .await
                .map(tonic::Response::new)
                .map_err(|error| status(&error))
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
