//! Reads the body of an export request (spec: OTLP 1.x, "Binary Protobuf Encoding" and "JSON Protobuf
//! Encoding").

mod json;
mod mend;
mod scalar;
mod shape;
#[cfg(test)]
mod tests;
mod weigh;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

pub use weigh::{Weight, weigh};

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`, and every message of gRPC.
    Protobuf,
    /// `application/json`.
    Json,
}

/// An export request: spans, by what sent them.
#[derive(Clone, Debug, PartialEq)]
pub struct Request(pub(crate) ExportTraceServiceRequest);

/// A body that is no export request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It is no message of protobuf, or one that is nested too deep.
    #[error("the body is no export request in protobuf")]
    Protobuf(#[from] prost::DecodeError),
    /// It is no JSON, nested too deep, or has a member of a wrong type.
    #[error("the body is no export request in JSON")]
    Json(#[from] serde_json::Error),
}

/// Returns the request a body holds. Members that OTLP does not know are passed over.
///
/// JSON is read as its writers write it: names of members in camel or snake case, numbers as numbers or
/// text, enumerations by number or name, ids in hex of either case or in base64, null for no value.
///
/// Text that is not UTF-8, or in JSON half of a surrogate pair, has U+FFFD where it is broken.
///
/// # Errors
/// [`DecodeError`] if the body is not of the encoding, or nested deeper than 100 messages or 127 levels
/// of JSON.
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Request, DecodeError> {
    let request = match encoding {
        Encoding::Protobuf => read_protobuf(body)?,
        Encoding::Json => read_json(body)?,
    };
    Ok(Request(request))
}

fn read_protobuf(body: &[u8]) -> Result<ExportTraceServiceRequest, prost::DecodeError> {
    ExportTraceServiceRequest::decode(body).or_else(|error| match mend::protobuf(body) {
        Some(body) => ExportTraceServiceRequest::decode(&body[..]),
        None => Err(error),
    })
}

fn read_json(body: &[u8]) -> Result<ExportTraceServiceRequest, serde_json::Error> {
    json::read(body).or_else(|error| match mend::json(body) {
        Some(body) => json::read(body.as_bytes()),
        None => Err(error),
    })
}

impl Request {
    /// Returns how many spans the request brings.
    pub fn n_spans(&self) -> usize {
        let scopes = self.resource_spans().iter();
        let scopes = scopes.flat_map(|resource_spans| &resource_spans.scope_spans);
        scopes.map(|scope_spans| scope_spans.spans.len()).sum()
    }

    pub(crate) fn resource_spans(&self) -> &[ResourceSpans] {
        &self.0.resource_spans
    }
}
