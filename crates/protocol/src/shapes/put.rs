//! `PutTraceSegments`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::Violations;
use crate::decode::{List, Shape};

/// The request of `PutTraceSegments`.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutTraceSegmentsRequest<'a> {
    /// Segment documents, each a JSON text; borrowed from the body where it holds no escapes.
    pub trace_segment_documents: Vec<Cow<'a, str>>,
}

/// The response of `PutTraceSegments`.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutTraceSegmentsResponse {
    /// The documents that were refused, in the order of the request.
    #[serde(default)]
    pub unprocessed_trace_segments: Vec<UnprocessedTraceSegment>,
}

/// One document that was refused.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UnprocessedTraceSegment {
    /// The document's id whenever it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Why, for programs.
    pub error_code: String,
    /// Why, for people.
    pub message: String,
}

/// The members of the request as they come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutTraceSegmentsWire<'a> {
    #[serde(borrow)]
    trace_segment_documents: Option<List<Text<'a>>>,
}

impl<'a> Shape<'a> for PutTraceSegmentsRequest<'a> {
    type Wire = PutTraceSegmentsWire<'a>;

    fn from_wire(wire: Self::Wire, violations: &mut Violations) -> Option<Self> {
        let documents = wire.trace_segment_documents;
        let List(documents) = violations.required("traceSegmentDocuments", documents)?;
        let trace_segment_documents = documents.into_iter().map(|Text(text)| text).collect();
        Some(Self {
            trace_segment_documents,
        })
    }
}

/// A string, borrowed if it can be; inside a list a plain `Cow` would always be copied.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode;

    fn check(body: &str, expected: &[&str]) {
        let request: PutTraceSegmentsRequest<'_> = decode(body.as_bytes()).unwrap();
        assert_eq!(request.trace_segment_documents, expected);
    }

    fn check_refused(body: &str, message: &str) {
        let error = decode::<PutTraceSegmentsRequest<'_>>(body.as_bytes()).unwrap_err();
        assert_eq!((error.status().as_u16(), error.message()), (400, message));
    }

    #[test]
    fn documents_are_taken_in_order() {
        check(r#"{"TraceSegmentDocuments": []}"#, &[]);
        check(
            r#"{"TraceSegmentDocuments": ["{}", "{\"id\": \"\\ud800\"}"]}"#,
            &["{}", r#"{"id": "\ud800"}"#],
        );
        check(
            r#" {"Other": [1, {"a": null}], "TraceSegmentDocuments": ["x"]} "#,
            &["x"],
        );
    }

    #[test]
    fn documents_without_escapes_are_not_copied() {
        let request: PutTraceSegmentsRequest<'_> =
            decode(br#"{"TraceSegmentDocuments": ["plain", "a\nb"]}"#).unwrap();
        let documents = request.trace_segment_documents;
        assert!(matches!(documents[0], Cow::Borrowed("plain")));
        assert!(matches!(documents[1], Cow::Owned(_)));
    }

    #[test]
    fn refusals_name_what_is_wrong() {
        let missing = "1 validation error detected: Value null at 'traceSegmentDocuments' failed to satisfy constraint: Member must not be null";
        check_refused("", missing);
        check_refused(" \n", missing);
        check_refused("{}", missing);
        check_refused(r#"{"TraceSegmentDocuments": null}"#, missing);
        check_refused(
            r#"{"TraceSegmentDocuments": "x"}"#,
            "the request body cannot be read: TraceSegmentDocuments: invalid type: string \"x\", expected a list at line 1 column 29",
        );
        check_refused(
            r#"{"TraceSegmentDocuments": ["x", {"id": 1}]}"#,
            "the request body cannot be read: TraceSegmentDocuments[1]: invalid type: map, expected a string at line 1 column 32",
        );
        check_refused(
            r#"{"TraceSegmentDocuments": ["x"], "TraceSegmentDocuments": []}"#,
            "the request body cannot be read: duplicate field `TraceSegmentDocuments` at line 1 column 56",
        );
        check_refused(
            r#"[["x"]]"#,
            "the request body cannot be read: invalid type: sequence, expected a JSON object at line 1 column 0",
        );
        check_refused(
            r#"{"TraceSegmentDocuments": ["x"#,
            "the request body cannot be read: TraceSegmentDocuments[0]: EOF while parsing a string at line 1 column 29",
        );
        check_refused(
            r#"{"TraceSegmentDocuments": []} x"#,
            "the request body cannot be read: trailing characters at line 1 column 31",
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let error =
            decode::<PutTraceSegmentsRequest<'_>>(b"{\"TraceSegmentDocuments\": [\"\xff\"]}")
                .unwrap_err();
        assert!(
            error
                .message()
                .contains("TraceSegmentDocuments[0]: invalid unicode"),
            "{error}"
        );
    }

    #[test]
    fn a_body_of_tiny_items_is_refused() {
        let body = format!(
            r#"{{"TraceSegmentDocuments": [{}""]}}"#,
            r#""","#.repeat(10_000)
        );
        let error = decode::<PutTraceSegmentsRequest<'_>>(body.as_bytes()).unwrap_err();
        assert!(
            error.message().contains("a list has at most 10000 items"),
            "{error}"
        );
    }

    #[test]
    fn an_id_that_could_not_be_read_is_left_out() {
        let refused = |id| UnprocessedTraceSegment {
            id,
            error_code: "MissingId".into(),
            message: "Invalid segment. ErrorCode: MissingId".into(),
        };
        let response = PutTraceSegmentsResponse {
            unprocessed_trace_segments: vec![refused(None), refused(Some("a".into()))],
        };
        insta::assert_snapshot!(serde_json::to_string(&response).unwrap(), @r#"{"UnprocessedTraceSegments":[{"ErrorCode":"MissingId","Message":"Invalid segment. ErrorCode: MissingId"},{"Id":"a","ErrorCode":"MissingId","Message":"Invalid segment. ErrorCode: MissingId"}]}"#);
    }
}
