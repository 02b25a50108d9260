//! Temporary face.
#![allow(missing_docs, unused_variables)]
use std::time::Duration;
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Protobuf,
    Json,
}
pub struct Request;
impl Request {
    pub fn n_spans(&self) -> usize {
        0
    }
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct DecodeError;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct LimitError;
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub spans_max: Option<usize>,
    pub span_bytes_max: Option<usize>,
    pub resource_bytes_max: Option<usize>,
    pub future: Option<Duration>,
    pub age: Option<Duration>,
    pub spread: Option<Duration>,
}
#[derive(Clone, Debug, Default)]
pub struct Rules {
    pub indexed_attributes: Vec<String>,
    pub index_all_attributes: bool,
    pub log_groups: Vec<String>,
}
#[derive(Debug)]
pub struct SpanDocument {
    pub text: String,
    pub span_idx: usize,
}
#[derive(Debug)]
pub enum RejectionCode {
    A,
}
impl RejectionCode {
    pub fn as_str(&self) -> &'static str {
        ""
    }
}
#[derive(Debug)]
pub struct RejectedSpan {
    pub span_idx: usize,
    pub span_id: String,
    pub trace_id: String,
    pub code: RejectionCode,
    pub message: String,
}
pub struct Translated {
    pub documents: Vec<SpanDocument>,
    pub rejected: Vec<RejectedSpan>,
}
pub fn decode(body: &[u8], encoding: Encoding) -> Result<Request, DecodeError> {
    Ok(Request)
}
pub fn translate(
    request: &Request,
    rules: &Rules,
    limits: &Limits,
    now: model::Timestamp,
) -> Result<Translated, LimitError> {
    Ok(Translated {
        documents: vec![],
        rejected: vec![],
    })
}
pub fn encode_response(n: usize, message: &str, encoding: Encoding) -> Vec<u8> {
    vec![]
}
pub fn encode_status(code: i32, message: &str, encoding: Encoding) -> Vec<u8> {
    vec![]
}
