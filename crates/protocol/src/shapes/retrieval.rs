//! Trace retrieval: `StartTraceRetrieval`, `CancelTraceRetrieval`, `ListRetrievedTraces`,
//! `GetRetrievedTracesGraph`.

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Violations;
use crate::decode::{List, Shape};
use crate::shapes::wire::{not_empty, window};
use crate::shapes::{Service, WireSeconds, WireTime};

/// The request of `StartTraceRetrieval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartTraceRetrievalRequest {
    /// Ids as the client wrote them, at most 100, each of 1 to 35 characters.
    pub trace_ids: Vec<String>,
    /// Start of the window, part of it.
    pub start_time: Timestamp,
    /// End of the window, part of it; not before the start.
    pub end_time: Timestamp,
}

/// The request of `CancelTraceRetrieval`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelTraceRetrievalRequest {
    /// The retrieval, at most 1020 characters.
    pub retrieval_token: String,
}

/// The request of `ListRetrievedTraces`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRetrievedTracesRequest {
    /// The retrieval, at most 1020 characters.
    pub retrieval_token: String,
    /// The form of the documents; absent, it is left to the server.
    pub trace_format: Option<TraceFormat>,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The request of `GetRetrievedTracesGraph`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetRetrievedTracesGraphRequest {
    /// The retrieval, at most 1020 characters.
    pub retrieval_token: String,
    /// Where the last page ended; never empty.
    pub next_token: Option<String>,
}

/// The form of a trace's documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TraceFormat {
    /// Segment documents.
    #[serde(rename = "XRAY")]
    XRay,
    /// Spans of OpenTelemetry.
    Otel,
}

/// How far a retrieval is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RetrievalStatus {
    /// It waits.
    Scheduled,
    /// It is at work.
    Running,
    /// Everything is there.
    Complete,
    /// It went wrong.
    Failed,
    /// The client called it off.
    Cancelled,
    /// It is too old.
    Timeout,
}

/// The response of `StartTraceRetrieval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartTraceRetrievalResponse {
    /// The retrieval, at most 1020 characters.
    pub retrieval_token: String,
}

/// The response of `ListRetrievedTraces`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRetrievedTracesResponse {
    /// How far the retrieval is.
    pub retrieval_status: RetrievalStatus,
    /// The form of the documents.
    pub trace_format: TraceFormat,
    /// The traces, at most 5 a page; none unless the retrieval is complete.
    pub traces: Vec<RetrievedTrace>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A trace that was retrieved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetrievedTrace {
    /// Its id.
    pub id: String,
    /// Time from its earliest start to its latest end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<WireSeconds>,
    /// Its documents, at most 100 a page.
    pub spans: Vec<RetrievedSpan>,
}

/// A document of a trace that was retrieved; the API calls it `Span` whatever its form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetrievedSpan {
    /// Its id, 1 to 16 characters.
    pub id: String,
    /// The document, a JSON text of at most 204 800 characters.
    pub document: String,
}

/// The response of `GetRetrievedTracesGraph`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRetrievedTracesGraphResponse {
    /// How far the retrieval is.
    pub retrieval_status: RetrievalStatus,
    /// The nodes, at most 1000 a page.
    pub services: Vec<RetrievedService>,
    /// Where the next page starts; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A node of the graph of what was retrieved.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RetrievedService {
    /// The node.
    pub service: Service,
    /// Its links to other traces, at most 100.
    pub links: Vec<GraphLink>,
}

/// A link from one trace to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphLink {
    /// What the others are to the one: `parent` or `child`.
    pub reference_type: String,
    /// The one.
    pub source_trace_id: String,
    /// The others.
    pub destination_trace_ids: Vec<String>,
}

/// The members of `StartTraceRetrieval` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StartTraceRetrievalWire {
    trace_ids: Option<List<String>>,
    start_time: Option<WireTime>,
    end_time: Option<WireTime>,
}

/// The members of `CancelTraceRetrieval` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CancelTraceRetrievalWire {
    retrieval_token: Option<String>,
}

/// The members of `ListRetrievedTraces` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListRetrievedTracesWire {
    retrieval_token: Option<String>,
    trace_format: Option<String>,
    next_token: Option<String>,
}

/// The members of `GetRetrievedTracesGraph` as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetRetrievedTracesGraphWire {
    retrieval_token: Option<String>,
    next_token: Option<String>,
}

impl Shape<'_> for StartTraceRetrievalRequest {
    type Wire = StartTraceRetrievalWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let window = window(wire.start_time, wire.end_time, violations);
        let List(trace_ids) = violations.required("traceIds", wire.trace_ids)?;
        violations.size("traceIds", trace_ids.len(), 0, 100);
        violations.texts("traceIds", &trace_ids, 1, 35);
        let (start_time, end_time) = window?;
        Some(Self {
            trace_ids,
            start_time,
            end_time,
        })
    }
}

impl Shape<'_> for CancelTraceRetrievalRequest {
    type Wire = CancelTraceRetrievalWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let retrieval_token = retrieval_token(wire.retrieval_token, violations)?;
        Some(Self { retrieval_token })
    }
}

impl Shape<'_> for ListRetrievedTracesRequest {
    type Wire = ListRetrievedTracesWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let retrieval_token = retrieval_token(wire.retrieval_token, violations);
        let formats = [("XRAY", TraceFormat::XRay), ("OTEL", TraceFormat::Otel)];
        let format = wire.trace_format.as_deref();
        Some(Self {
            trace_format: violations.choice("traceFormat", format, &formats),
            retrieval_token: retrieval_token?,
            next_token: not_empty(wire.next_token),
        })
    }
}

impl Shape<'_> for GetRetrievedTracesGraphRequest {
    type Wire = GetRetrievedTracesGraphWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        Some(Self {
            retrieval_token: retrieval_token(wire.retrieval_token, violations)?,
            next_token: not_empty(wire.next_token),
        })
    }
}

fn retrieval_token(token: Option<String>, violations: &mut Violations) -> Option<String> {
    violations.required_text("retrievalToken", token, 0, 1020)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    #[test]
    fn ids_are_counted_and_measured() {
        let body = format!(
            r#"{{"StartTime": 2, "EndTime": 1, "TraceIds": [{}""]}}"#,
            r#""1-a","#.repeat(100)
        );
        let error = decode::<StartTraceRetrievalRequest>(body.as_bytes()).unwrap_err();
        assert_eq!(
            error.message(),
            "3 validation errors detected: Value '1.0' at 'endTime' failed to satisfy constraint: Member must not be before startTime; Value '101 items' at 'traceIds' failed to satisfy constraint: Member must have length less than or equal to 100; Value '' at 'traceIds.101.member' failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
    }

    #[test]
    fn a_format_is_asked_for_or_not() {
        let format = |body: &str| {
            decode::<ListRetrievedTracesRequest>(body.as_bytes())
                .map(|request| request.trace_format)
        };
        assert_eq!(format(r#"{"RetrievalToken": ""}"#), Ok(None));
        assert_eq!(
            format(r#"{"RetrievalToken": "t", "TraceFormat": "XRAY"}"#),
            Ok(Some(TraceFormat::XRay))
        );
        assert_eq!(
            format(r#"{"RetrievalToken": "t", "TraceFormat": "OTEL"}"#),
            Ok(Some(TraceFormat::Otel))
        );
        assert!(format(r#"{"RetrievalToken": "t", "TraceFormat": "otel"}"#).is_err());
    }
}
