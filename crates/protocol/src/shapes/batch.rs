//! `BatchGetTraces`: the request, and a writer that makes the response piece by piece.

use std::io::Write;
use std::time::Duration;

use serde::Deserialize;

use crate::Violations;
use crate::decode::{List, Shape};
use crate::shapes::WireSeconds;
use crate::shapes::wire::not_empty;

/// The request of `BatchGetTraces`.
#[derive(Debug, PartialEq, Eq)]
pub struct BatchGetTracesRequest {
    /// Ids as the client wrote them, each of 1 to 35 characters.
    pub trace_ids: Vec<String>,
    /// Where the last page ended.
    pub next_token: Option<String>,
}

/// The members of the request as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BatchGetTracesWire {
    trace_ids: Option<List<String>>,
    next_token: Option<String>,
}

impl Shape<'_> for BatchGetTracesRequest {
    type Wire = BatchGetTracesWire;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let List(trace_ids) = violations.required("traceIds", wire.trace_ids)?;
        violations.texts("traceIds", &trace_ids, 1, 35);
        let next_token = not_empty(wire.next_token);
        Some(Self {
            trace_ids,
            next_token,
        })
    }
}

/// Writes the response of `BatchGetTraces` as its traces become known.
///
/// Calls come in the order `open`, then for each trace `trace_start`, any number of `segment`,
/// `trace_end`, and at last `finish`. What was written is taken away with [`BatchWriter::take`] at any
/// time between calls, so a response never has to be in memory as a whole.
#[derive(Debug, Default)]
pub struct BatchWriter {
    bytes: Vec<u8>,
    n_traces: usize,
    n_segments: usize,
}

impl BatchWriter {
    /// Returns the writer with the response's start written.
    pub fn open() -> Self {
        Self {
            bytes: br#"{"Traces":["#.to_vec(),
            n_traces: 0,
            n_segments: 0,
        }
    }

    /// Starts a trace; its duration is null as long as no segment of it came.
    pub fn trace_start(
        &mut self,
        trace_id: &str,
        duration: Option<Duration>,
        limit_exceeded: bool,
    ) {
        if self.n_traces > 0 {
            self.bytes.push(b',');
        }
        self.n_traces += 1;
        self.n_segments = 0;
        self.raw(r#"{"Id":"#);
        self.text(trace_id);
        self.raw(r#","Duration":"#);
        match duration {
            Some(duration) => self.raw(&WireSeconds(duration).to_string()),
            None => self.raw("null"),
        }
        self.raw(if limit_exceeded {
            r#","LimitExceeded":true"#
        } else {
            r#","LimitExceeded":false"#
        });
        self.raw(r#","Segments":["#);
    }

    /// Writes one segment of the trace that was started.
    pub fn segment(&mut self, segment_id: &str, document: &str) {
        if self.n_segments > 0 {
            self.bytes.push(b',');
        }
        self.n_segments += 1;
        self.raw(r#"{"Id":"#);
        self.text(segment_id);
        self.raw(r#","Document":"#);
        self.text(document);
        self.bytes.push(b'}');
    }

    /// Ends the trace that was started.
    pub fn trace_end(&mut self) {
        self.raw("]}");
    }

    /// Ends the response; a last page has no token.
    pub fn finish(&mut self, unprocessed_trace_ids: &[String], next_token: Option<&str>) {
        self.raw(r#"],"UnprocessedTraceIds":["#);
        for (idx, trace_id) in unprocessed_trace_ids.iter().enumerate() {
            if idx > 0 {
                self.bytes.push(b',');
            }
            self.text(trace_id);
        }
        self.bytes.push(b']');
        if let Some(next_token) = next_token {
            self.raw(r#","NextToken":"#);
            self.text(next_token);
        }
        self.bytes.push(b'}');
    }

    /// Returns how many bytes wait to be taken.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Tells whether nothing waits to be taken.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes what was written since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    fn raw(&mut self, json: &str) {
        self.bytes.extend_from_slice(json.as_bytes());
    }

    /// Writes a JSON string.
    fn text(&mut self, text: &str) {
        let written = serde_json::to_writer(self.bytes.by_ref(), text);
        debug_assert!(written.is_ok(), "a text is always written to memory");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode;

    fn check_refused(body: &str, message: &str) {
        let error = decode::<BatchGetTracesRequest>(body.as_bytes()).unwrap_err();
        assert_eq!(error.message(), message);
    }

    #[test]
    fn requests_are_read() {
        let request: BatchGetTracesRequest =
            decode(br#"{"TraceIds": ["a", "b"], "NextToken": null, "Extra": {}}"#).unwrap();
        assert_eq!(request.trace_ids, ["a", "b"]);
        assert_eq!(request.next_token, None);
        let request: BatchGetTracesRequest =
            decode(br#"{"TraceIds": [], "NextToken": "t"}"#).unwrap();
        assert_eq!(request.next_token.as_deref(), Some("t"));
        let request: BatchGetTracesRequest =
            decode(br#"{"TraceIds": [], "NextToken": ""}"#).unwrap();
        assert_eq!(request.next_token, None);
    }

    #[test]
    fn constraints_are_told_together() {
        check_refused(
            "{}",
            "1 validation error detected: Value null at 'traceIds' failed to satisfy constraint: Member must not be null",
        );
        check_refused(
            r#"{"TraceIds": ["", "1-581cf771-a006649127e371903a2de979", "1-581cf771-a006649127e371903a2de9790"]}"#,
            "2 validation errors detected: Value '' at 'traceIds.1.member' failed to satisfy constraint: Member must have length greater than or equal to 1; Value '1-581cf771-a006649127e371903a2de9790' at 'traceIds.3.member' failed to satisfy constraint: Member must have length less than or equal to 35",
        );
        check_refused(
            r#"{"TraceIds": ["a", null]}"#,
            "the request body cannot be read: TraceIds[1]: invalid type: null, expected a string at line 1 column 23",
        );
        check_refused(
            r#"{"TraceIds": [], "NextToken": 5}"#,
            "the request body cannot be read: NextToken: invalid type: integer `5`, expected a string at line 1 column 31",
        );
    }

    #[test]
    fn an_empty_response_is_whole() {
        let mut writer = BatchWriter::open();
        writer.finish(&[], None);
        assert_eq!(writer.take(), br#"{"Traces":[],"UnprocessedTraceIds":[]}"#);
    }

    #[test]
    fn pieces_join_to_the_response() {
        let mut writer = BatchWriter::open();
        let mut bytes = writer.take();
        writer.trace_start("1-a", Some(Duration::from_millis(3232)), false);
        writer.segment("s1", r#"{"name":"a\"b"}"#);
        bytes.extend(writer.take());
        writer.segment("s2", "{}");
        writer.trace_end();
        writer.trace_start("1-b", None, true);
        writer.trace_end();
        writer.finish(&["1-c".into(), "1-d".into()], Some("tok"));
        assert!(!writer.is_empty() && writer.len() > 10);
        bytes.extend(writer.take());
        insta::assert_snapshot!(String::from_utf8(bytes).unwrap(), @r#"{"Traces":[{"Id":"1-a","Duration":3.232,"LimitExceeded":false,"Segments":[{"Id":"s1","Document":"{\"name\":\"a\\\"b\"}"},{"Id":"s2","Document":"{}"}]},{"Id":"1-b","Duration":null,"LimitExceeded":true,"Segments":[]}],"UnprocessedTraceIds":["1-c","1-d"],"NextToken":"tok"}"#);
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_back(
            traces in prop::collection::vec((".*", prop::option::of(0_u64..1 << 60), prop::collection::vec((".*", ".*"), 0..4)), 0..4),
            unprocessed in prop::collection::vec(".*", 0..3),
            token in prop::option::of(".*"),
        ) {
            let mut writer = BatchWriter::open();
            for (id, nanos, segments) in &traces {
                writer.trace_start(id, nanos.map(Duration::from_nanos), false);
                for (id, document) in segments {
                    writer.segment(id, document);
                }
                writer.trace_end();
            }
            writer.finish(&unprocessed, token.as_deref());
            let response: serde_json::Value = serde_json::from_slice(&writer.take()).unwrap();
            prop_assert_eq!(response["NextToken"].as_str(), token.as_deref());
            prop_assert_eq!(response["Traces"].as_array().unwrap().len(), traces.len());
            for (trace, (id, _, segments)) in response["Traces"].as_array().unwrap().iter().zip(&traces) {
                prop_assert_eq!(trace["Id"].as_str(), Some(id.as_str()));
                for (idx, (id, document)) in segments.iter().enumerate() {
                    prop_assert_eq!(trace["Segments"][idx]["Id"].as_str(), Some(id.as_str()));
                    prop_assert_eq!(trace["Segments"][idx]["Document"].as_str(), Some(document.as_str()));
                }
            }
        }
    }
}
