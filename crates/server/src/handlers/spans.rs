//! Spans of OpenTelemetry, over HTTP and gRPC: made segments of, and from there on what all documents are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use otlp::{Bounds, Encoding, Rules, Translated, Translation};
use protocol::{ApiError, ErrorKind, REQUEST_ID};
use tokio::task::spawn_blocking;
use tracing::debug;

use super::in_memory;
use crate::app::App;
use crate::clock;
use crate::config::Config;
use crate::http::answer::Answer;
use crate::http::body::{BodyLimits, Received};
use crate::http::grpc;
use crate::intake;
use crate::origin::Origin;

/// Where spans are posted to over HTTP (spec: OTLP, "OTLP/HTTP Request").
pub(crate) const PATH: &str = "/v1/traces";
/// The method that takes spans over gRPC (spec: `opentelemetry/proto/collector/trace/v1`).
pub(crate) const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Returns how a request writes its spans, and wants its answer written.
pub(crate) fn encoding(headers: &HeaderMap) -> Result<Encoding, ApiError> {
    let content_type = headers.get(CONTENT_TYPE);
    let text = content_type.and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next()).map(str::trim);
    match essence.map(str::to_ascii_lowercase).as_deref() {
        Some("application/x-protobuf" | "application/protobuf") => Ok(Encoding::Protobuf),
        Some("application/json") => Ok(Encoding::Json),
        Some(_) | None => Err(ApiError::unsupported_media(
            "spans are sent with Content-Type application/x-protobuf or application/json",
        )),
    }
}

/// Stores the spans of a request and says which ones were not taken.
pub(crate) async fn take(
    app: &Arc<App>,
    origin: Origin,
    body: &Bytes,
    encoding: Encoding,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let left_out = store(app, origin, body.clone(), encoding).await?;
    let body = otlp::encode_response(left_out.n_spans, &left_out.message, encoding);
    let mut response = Response::new(Bytes::from(body));
    dress(response.headers_mut(), encoding, request_id);
    Ok(Answer::from(response))
}

/// Does the same for a call of gRPC.
pub(crate) async fn take_grpc(
    app: Arc<App>,
    origin: Origin,
    head: Parts,
    received: Received,
    limits: &BodyLimits,
) -> Result<Answer, ApiError> {
    let body = received.bytes.clone();
    let house = Arc::clone(&app.house);
    let owner = Arc::clone(&app);
    let answering = grpc::unary(head, body, limits.bytes_max, async move |message| {
        // The message may be a part of the body, which keeps its place until it is stored.
        let _place = received;
        let left_out = store(&app, origin, message, Encoding::Protobuf).await?;
        let answer = otlp::encode_response(left_out.n_spans, &left_out.message, Encoding::Protobuf);
        Ok(Bytes::from(answer))
    });
    let answer = answering.await?;
    if let Some(status) = grpc::refusal(&answer) {
        let (code, detail) = (grpc::name(status.code()), status.message());
        debug!(code, detail, "a request was refused");
        let error = ApiError::invalid_request(detail.to_owned());
        intake::refuse_call(&house, Some(&owner), origin, error, b"");
    }
    Ok(answer)
}

/// Returns a refusal as OTLP writes it: a status of gRPC as the body (spec: OTLP, "Failures").
pub(crate) fn refusal(error: &ApiError, encoding: Encoding, request_id: &str) -> Response<Bytes> {
    let code = grpc::code(error);
    let body = otlp::encode_status(code.into(), error.message(), encoding);
    let mut response = Response::new(Bytes::from(body));
    // Exporters try 429, 502, 503 and 504 again, and no other status.
    *response.status_mut() = match error.kind() {
        ErrorKind::Timeout => http::StatusCode::SERVICE_UNAVAILABLE,
        _ => error.status(),
    };
    dress(response.headers_mut(), encoding, request_id);
    if error.kind() == ErrorKind::MethodNotAllowed {
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    if let Some(secs) = error.retry_after_secs() {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

/// The documents of a request, made piece by piece as they are asked for. Between two pieces no thread works for it.
pub(crate) struct Pieces {
    n_spans: usize,
    /// Absent when everything is made.
    translation: Option<Translation>,
}

impl Pieces {
    /// Reads a request whose documents may have so many bytes together.
    pub(crate) async fn of(
        config: Arc<Config>,
        body: Bytes,
        encoding: Encoding,
        documents_bytes_max: usize,
    ) -> Result<Self, ApiError> {
        let reading =
            spawn_blocking(move || translation(&config, &body, encoding, documents_bytes_max));
        let translation = reading
            .await
            .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))?;
        Ok(Self {
            n_spans: translation.n_spans(),
            translation: Some(translation),
        })
    }

    /// Returns what became of the next spans; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Translated>, ApiError> {
        let Some(mut translation) = self.translation.take() else {
            return Ok(None);
        };
        let making = spawn_blocking(move || {
            let piece = translation.next_piece();
            ((!translation.is_done()).then_some(translation), piece)
        });
        let (translation, piece) = making
            .await
            .map_err(|error| ApiError::internal(error.to_string()))?;
        self.translation = translation;
        Ok(Some(piece))
    }
}

/// Spans that were not taken.
#[derive(Default)]
struct LeftOut {
    n_spans: usize,
    /// Why the first of them was not.
    message: String,
}

impl LeftOut {
    fn add(&mut self, n_spans: usize, why: Option<&String>) {
        if let Some(why) = why.filter(|_| self.message.is_empty()) {
            self.message.clone_from(why);
        }
        self.n_spans += n_spans;
    }
}

/// Stores spans: the rate is asked once, for all of them, and then a piece at a time is made and stored.
async fn store(
    app: &Arc<App>,
    origin: Origin,
    body: Bytes,
    encoding: Encoding,
) -> Result<LeftOut, ApiError> {
    let config = app.config();
    let bytes_max = in_memory(config.otlp.documents_bytes.0);
    let mut pieces = Pieces::of(Arc::clone(&config), body, encoding, bytes_max)
        .await
        .map_err(|error| intake::refuse_call(&app.house, Some(app), origin, error, b""))?;
    intake::admit_segments(app, pieces.n_spans)
        .await
        .map_err(|error| intake::refuse_all(app, origin, pieces.n_spans, error.into()))?;
    let mut left_out = LeftOut::default();
    loop {
        let turn = app.house.pieces.acquire().await;
        let _turn = turn.map_err(|error| ApiError::internal(error.to_string()))?;
        let Some(piece) = pieces.next().await? else {
            return Ok(left_out);
        };
        store_piece(app, origin, piece, &mut left_out).await?;
    }
}

async fn store_piece(
    app: &App,
    origin: Origin,
    piece: Translated,
    left_out: &mut LeftOut,
) -> Result<(), ApiError> {
    intake::refuse_spans(app, origin, &piece.rejected);
    let why = piece.rejected.first().map(|span| &span.message);
    left_out.add(piece.rejected.len(), why);
    let documents = piece.documents.iter();
    let span_of: Vec<usize> = documents.map(|document| document.span_idx).collect();
    let documents = piece.documents.into_iter();
    let documents = documents
        .map(|document| Cow::Owned(document.text))
        .collect();
    // Bytes were bounded as those of spans; documents made of them hold the same in other words.
    let limits = ingest::Limits {
        n_documents_max: usize::MAX,
        document_bytes_max: in_memory(app.config().http.body_bytes.0),
    };
    let verdicts = intake::accept_admitted(app, origin, documents, &limits).await?;
    let refused = verdicts.refused.iter();
    let refused_spans: BTreeSet<usize> = refused
        .filter_map(|refusal| span_of.get(refusal.document_idx).copied())
        .collect();
    let why = verdicts.refused.first().map(|refusal| &refusal.message);
    left_out.add(refused_spans.len(), why);
    Ok(())
}

fn translation(
    config: &Config,
    body: &[u8],
    encoding: Encoding,
    documents_bytes_max: usize,
) -> Result<Translation, ApiError> {
    let invalid = |error: &dyn std::error::Error| {
        let cause = error
            .source()
            .map_or_else(String::new, |cause| format!(": {cause}"));
        ApiError::invalid_request(format!("{error}{cause}"))
    };
    let settings = &config.otlp;
    let bytes_max = in_memory(settings.request_bytes.0);
    if bytes_max > 0 && body.len() > bytes_max {
        return Err(ApiError::too_large(format!(
            "the request has {} bytes, the limit is {bytes_max} (setting otlp.request_bytes); send smaller batches",
            body.len()
        )));
    }
    let request = otlp::decode(body, encoding).map_err(|error| invalid(&error))?;
    let rules = Rules {
        indexed_attributes: settings.indexed_attributes.0.clone(),
        index_all_attributes: settings.index_all_attributes,
        log_groups: settings.log_groups.0.clone(),
        consumer_segments: settings.consumer_segments,
    };
    let bounds = Bounds {
        // The store takes no batch larger than what may wait for it.
        piece_bytes: PIECE_BYTES.min(in_memory(config.storage.bytes_in_flight.0) / 4),
        piece_spans: PIECE_SPANS,
        documents_bytes_max: Some(documents_bytes_max),
    };
    Translation::begin(request, rules, limits(config), bounds, clock::now())
        .map_err(|error| invalid(&error))
}

/// Zero stands for no limit.
fn limits(config: &Config) -> otlp::Limits {
    let settings = &config.otlp;
    let bytes = |bytes: u64| (bytes > 0).then(|| in_memory(bytes));
    let span = |span: std::time::Duration| (!span.is_zero()).then_some(span);
    otlp::Limits {
        spans_max: (settings.spans_per_request > 0).then_some(settings.spans_per_request),
        span_bytes_max: bytes(settings.span_bytes.0),
        resource_bytes_max: bytes(settings.resource_bytes.0),
        future: span(settings.future.0),
        age: span(settings.age.0),
        spread: span(settings.spread.0),
    }
}

fn dress(headers: &mut HeaderMap, encoding: Encoding, request_id: &str) {
    let content_type = match encoding {
        Encoding::Protobuf => HeaderValue::from_static("application/x-protobuf"),
        Encoding::Json => HeaderValue::from_static("application/json"),
    };
    headers.insert(CONTENT_TYPE, content_type);
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// Bytes of documents, and spans, that are made and stored at a time. Exporters send 512 spans at once.
const PIECE_BYTES: usize = 2 << 20;
const PIECE_SPANS: usize = 1024;
