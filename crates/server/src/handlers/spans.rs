//! Spans of OpenTelemetry, over HTTP and gRPC: made segments of, and from there on what all documents are.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response};
use otlp::{Encoding, Rules, Translated};
use protocol::{ApiError, ErrorKind, REQUEST_ID};

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
) -> Answer {
    let body = received.bytes.clone();
    grpc::unary(head, body, limits.bytes_max, async move |message| {
        // The message may be a part of the body, which keeps its place until it is stored.
        let _place = received;
        let left_out = store(&app, origin, message, Encoding::Protobuf).await?;
        let answer = otlp::encode_response(left_out.n_spans, &left_out.message, Encoding::Protobuf);
        Ok(Bytes::from(answer))
    })
    .await
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

/// Makes segment documents of the spans of a datagram.
pub(crate) fn documents(config: &Config, message: &[u8]) -> Result<Translated, ApiError> {
    translate(config, message, Encoding::Protobuf)
}

/// Spans that were not taken.
#[derive(Default)]
struct LeftOut {
    n_spans: usize,
    /// Why the first of them was not.
    message: String,
}

async fn store(
    app: &Arc<App>,
    origin: Origin,
    body: Bytes,
    encoding: Encoding,
) -> Result<LeftOut, ApiError> {
    let config = app.config();
    let translating = tokio::task::spawn_blocking(move || translate(&config, &body, encoding));
    let translated = translating
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())));
    let translated = translated
        .map_err(|error| intake::refuse_call(&app.house, Some(app), origin, error, b""))?;
    intake::refuse_spans(app, origin, &translated.rejected);
    let span_of: Vec<usize> = translated
        .documents
        .iter()
        .map(|document| document.span_idx)
        .collect();
    let documents = translated.documents.into_iter();
    let documents = documents
        .map(|document| Cow::Owned(document.text))
        .collect();
    // Bytes were bounded as those of spans; documents made of them hold the same in other words.
    let limits = ingest::Limits {
        n_documents_max: usize::MAX,
        document_bytes_max: in_memory(app.config().http.body_bytes.0),
    };
    let verdicts = intake::accept(app, origin, documents, &limits).await?;
    let refused = verdicts.refused.iter();
    let refused_spans: BTreeSet<usize> = refused
        .filter_map(|refusal| span_of.get(refusal.document_idx).copied())
        .collect();
    let first = translated.rejected.first().map(|span| span.message.clone());
    let first = first.or_else(|| {
        verdicts
            .refused
            .first()
            .map(|refusal| refusal.message.clone())
    });
    Ok(LeftOut {
        n_spans: translated.rejected.len() + refused_spans.len(),
        message: first.unwrap_or_default(),
    })
}

fn translate(config: &Config, body: &[u8], encoding: Encoding) -> Result<Translated, ApiError> {
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
    otlp::translate(&request, &rules, &limits(config), clock::now())
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
