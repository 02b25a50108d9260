//! Spans of OpenTelemetry, over HTTP and gRPC: made segments of, and from there on what all documents are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use otlp::{Bounds, Encoding, Rules, Translated, Translation, Weight};
use protocol::{ApiError, ErrorKind, REQUEST_ID};
use tokio::task::spawn_blocking;
use tracing::debug;

use super::in_memory;
use crate::app::App;
use crate::clock;
use crate::config::Config;
use crate::http::answer::Answer;
use crate::http::body::room::Place;
use crate::http::body::{BodyLimits, Received};
use crate::http::grpc::{self, Unread};
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
    limits: &BodyLimits,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let left_out = store(app, origin, body.clone(), encoding, limits).await?;
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
    let refuse = |error| intake::refuse_call(&app.house, Some(&app), origin, error, b"");
    let message = match grpc::message(&head.headers, received, limits).await {
        Ok(message) => message,
        Err(Unread::Refused(error)) => return Err(refuse(error)),
        Err(Unread::Told(status)) => {
            let (code, detail) = (grpc::name(status.code()), status.message());
            debug!(code, detail, "a request was refused");
            refuse(ApiError::invalid_request(detail.to_owned()));
            return Ok(grpc::tell(status));
        }
    };
    let encoding = Encoding::Protobuf;
    let left_out = store(&app, origin, message.bytes.clone(), encoding, limits).await?;
    let answer = otlp::encode_response(left_out.n_spans, &left_out.message, encoding);
    Ok(grpc::answer(Bytes::from(answer)))
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
    source: Option<Source>,
}

/// What pieces are made of.
struct Source {
    translation: Translation,
    /// Where it is in memory, also while nobody waits for it any more.
    _place: Option<Place>,
}

/// How a request becomes documents.
pub(crate) struct Reading {
    pub(crate) config: Arc<Config>,
    pub(crate) body: Bytes,
    pub(crate) encoding: Encoding,
    /// Bytes the documents may have together.
    pub(crate) documents_bytes_max: usize,
}

impl Pieces {
    /// Reads a request; refuses one that is too much before anything is made of it.
    pub(crate) async fn of(reading: Reading) -> Result<Self, ApiError> {
        reading.weigh().await?;
        Self::read(reading, None).await
    }

    /// Does the same once there is a place for what the request becomes.
    async fn placed(reading: Reading, limits: &BodyLimits) -> Result<Self, ApiError> {
        let weight = reading.weigh().await?;
        let place = limits.decoded_place(weight.n_bytes).await?;
        Self::read(reading, Some(place)).await
    }

    async fn read(reading: Reading, place: Option<Place>) -> Result<Self, ApiError> {
        let reading = spawn_blocking(move || {
            Ok(Source {
                translation: reading.translation()?,
                _place: place,
            })
        });
        let source = reading
            .await
            .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))?;
        Ok(Self {
            n_spans: source.translation.n_spans(),
            source: Some(source),
        })
    }

    /// Returns what became of the next spans; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Translated>, ApiError> {
        let Some(mut source) = self.source.take() else {
            return Ok(None);
        };
        let making = spawn_blocking(move || {
            let piece = source.translation.next_piece();
            ((!source.translation.is_done()).then_some(source), piece)
        });
        let (source, piece) = making
            .await
            .map_err(|error| ApiError::internal(error.to_string()))?;
        self.source = source;
        Ok(Some(piece))
    }
}

impl Reading {
    /// Returns what the request takes once it is decoded, if it is to be.
    async fn weigh(&self) -> Result<Weight, ApiError> {
        let bytes_max = in_memory(self.config.otlp.request_bytes.0);
        if bytes_max > 0 && self.body.len() > bytes_max {
            return Err(ApiError::too_large(format!(
                "the request has {} bytes, the limit is {bytes_max} (setting otlp.request_bytes); send smaller batches",
                self.body.len()
            )));
        }
        let (body, encoding) = (self.body.clone(), self.encoding);
        let weighing = spawn_blocking(move || otlp::weigh(&body, encoding)).await;
        let weight = weighing.map_err(|error| ApiError::internal(error.to_string()))?;
        let bytes_max = in_memory(self.config.http.body_bytes.0).saturating_mul(DECODED_PER_BYTE);
        let checked = limits(&self.config).check_weight(weight, bytes_max);
        checked.map_err(|error| ApiError::invalid_request(error.to_string()))?;
        Ok(weight)
    }

    fn translation(&self) -> Result<Translation, ApiError> {
        let invalid = |error: &dyn std::error::Error| {
            let cause = error
                .source()
                .map_or_else(String::new, |cause| format!(": {cause}"));
            ApiError::invalid_request(format!("{error}{cause}"))
        };
        let config = &*self.config;
        let settings = &config.otlp;
        let request = otlp::decode(&self.body, self.encoding).map_err(|error| invalid(&error))?;
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
            documents_bytes_max: Some(self.documents_bytes_max),
        };
        Translation::begin(request, rules, limits(config), bounds, clock::now())
            .map_err(|error| invalid(&error))
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

/// Stores spans: what they take is known before they are decoded, the rate is asked once, for all of them, and then a
/// piece at a time is made and stored.
async fn store(
    app: &Arc<App>,
    origin: Origin,
    body: Bytes,
    encoding: Encoding,
    limits: &BodyLimits,
) -> Result<LeftOut, ApiError> {
    let config = app.config();
    let reading = Reading {
        body,
        encoding,
        documents_bytes_max: in_memory(config.otlp.documents_bytes.0),
        config,
    };
    let mut pieces = Pieces::placed(reading, limits)
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
/// Bytes of memory a request may take for each byte the largest body may have. Of exporters it takes two to five for each
/// byte it has itself.
const DECODED_PER_BYTE: usize = 8;
