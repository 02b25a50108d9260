//! What a server said of the documents of a call, as far as its answer tells.

use bytes::Bytes;
use http::HeaderMap;
use journal::{Call, Refusal, Verdicts};
use model::Timestamp;
use otlp::{Encoding, Limits, Rules};
use protocol::Operation;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use serde_json::Value;

use super::upstream::is_grpc;
use crate::replay::opened::{SPANS_OF_GRPC, body_of, inflated, message, request_of_spans};

/// An answer that came to its end.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) is_success: bool,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

/// Returns what became of the documents of a call that came at `at`; nothing if the answer does not tell.
///
/// Of spans an answer tells how many were rejected and not which, so of those there are verdicts only if all were taken.
pub(super) fn verdicts(call: &Call, answered: &Answered, at: Timestamp) -> Option<Verdicts> {
    if call.method() != "POST" || !answered.is_success {
        return None;
    }
    if call.path() == Operation::PutTraceSegments.path() {
        return of_documents(call, &answered.body);
    }
    let (encoding, request) = request_of_spans(call)?;
    let answer = match call.path() {
        SPANS_OF_GRPC if is_grpc(&answered.headers) && has_gone_well(answered) => {
            message(&answered.body)?
        }
        SPANS_OF_GRPC => return None,
        _ => inflated(&answered.body)?,
    };
    if !is_full_success(&answer, encoding) {
        return None;
    }
    let request = otlp::decode(&request?, encoding).ok()?;
    let translated = otlp::translate(&request, &Rules::default(), &Limits::NONE, at).ok()?;
    // A server that took what is none of ours has rules of its own.
    translated.rejected.is_empty().then(|| Verdicts {
        n_accepted: u32::try_from(translated.documents.len()).unwrap_or(u32::MAX),
        refused: Vec::new(),
    })
}

fn of_documents(call: &Call, answer: &Bytes) -> Option<Verdicts> {
    let body = body_of(call)?;
    let request: PutTraceSegmentsRequest<'_> = protocol::decode(&body).ok()?;
    let answer = inflated(answer)?;
    let answer: PutTraceSegmentsResponse = serde_json::from_slice(&answer).ok()?;
    let refused = answer.unprocessed_trace_segments.into_iter();
    let refused: Vec<Refusal> = refused
        .map(|refused| Refusal {
            id: refused.id,
            code: refused.error_code,
        })
        .collect();
    let n_documents = request.trace_segment_documents.len();
    let n_accepted = u32::try_from(n_documents.saturating_sub(refused.len()));
    Some(Verdicts {
        n_accepted: n_accepted.unwrap_or(u32::MAX),
        refused,
    })
}

/// Tells whether a call of gRPC has the status that says so, which is in the trailers, or in the head of an answer without
/// a message.
fn has_gone_well(answered: &Answered) -> bool {
    let trailers = answered.trailers.as_ref().unwrap_or(&answered.headers);
    trailers.get("grpc-status").is_some_and(|code| code == "0")
}

/// Tells whether an answer of OTLP says that every span was taken (spec: OTLP, "Full Success"). Collectors write a partial
/// success that has nothing in it.
fn is_full_success(answer: &[u8], encoding: Encoding) -> bool {
    match encoding {
        Encoding::Protobuf => answer.is_empty() || answer == EMPTY_PARTIAL_SUCCESS,
        Encoding::Json => {
            let Ok(Value::Object(answer)) = serde_json::from_slice(answer) else {
                return false;
            };
            let n_rejected = answer
                .get("partialSuccess")
                .and_then(|partial| partial.get("rejectedSpans"));
            n_rejected.is_none_or(|number| number == 0 || number == "0")
        }
    }
}

const EMPTY_PARTIAL_SUCCESS: &[u8] = &[0x0a, 0];

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::replay::opened::SPANS_OF_HTTP;

    type Counts = Option<(u32, usize)>;

    fn counts(call: &Call, answered: &Answered) -> Counts {
        let verdicts = verdicts(call, answered, Timestamp::from_secs(1_700_000_000))?;
        Some((verdicts.n_accepted, verdicts.refused.len()))
    }

    fn answered(is_success: bool, body: &[u8]) -> Answered {
        Answered {
            is_success,
            headers: HeaderMap::new(),
            body: Bytes::copy_from_slice(body),
            trailers: None,
        }
    }

    #[test]
    fn verdicts_are_read_from_answers() {
        let check = |method: &str, path: &str, is_success: bool, answer: &str, expected: Counts| {
            let body = r#"{"TraceSegmentDocuments":["a","b","c"]}"#;
            let call = Call::new(method, path, [], body.into());
            let answered = answered(is_success, answer.as_bytes());
            assert_eq!(counts(&call, &answered), expected, "{path} {answer}");
        };
        let one = r#"{"UnprocessedTraceSegments":[{"Id":"1","ErrorCode":"A","Message":"m"}]}"#;
        check("POST", "/TraceSegments", true, one, Some((2, 1)));
        check("POST", "/TraceSegments", true, "{}", Some((3, 0)));
        check("POST", "/TraceSegments", false, one, None);
        check("GET", "/TraceSegments", true, one, None);
        check("POST", "/TraceSegments", true, "<html>", None);
        check("POST", "/Traces", true, "{}", None);
    }

    fn spans(span_id: &str) -> String {
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{"traceId":"581cf771a006649127e371903a2de979",
            "spanId":"{span_id}","name":"a","kind":2,"startTimeUnixNano":"1478293361271000001",
            "endTimeUnixNano":"1478293361449000000"}}]}}]}}]}}"#
        )
    }

    #[test]
    fn spans_have_verdicts_if_all_were_taken() {
        let good = "70de5b6f19ff9a0a";
        let check = |span_id: &str, answer: &str, expected: Counts| {
            let json = [("content-type", &b"application/json"[..])];
            let call = Call::new("POST", SPANS_OF_HTTP, json, spans(span_id).into());
            let counts = counts(&call, &answered(true, answer.as_bytes()));
            assert_eq!(counts, expected, "{span_id} {answer}");
        };
        check(good, "{}", Some((1, 0)));
        check(good, r#"{"partialSuccess":{}}"#, Some((1, 0)));
        let rejected = |number: &str| {
            format!(r#"{{"partialSuccess":{{"rejectedSpans":{number},"errorMessage":"m"}}}}"#)
        };
        check(good, &rejected("0"), Some((1, 0)));
        check(good, &rejected("\"0\""), Some((1, 0)));
        check(good, &rejected("\"1\""), None);
        check(good, &rejected("1"), None);
        check(good, "", None);
        check("0000000000000000", "{}", None);
    }

    #[test]
    fn of_grpc_the_trailers_tell() {
        // One span: ids, and nothing else that has to be there.
        let span = [
            [vec![0x0a, 16], vec![7; 16]].concat(),
            [vec![0x12, 8], vec![7; 8]].concat(),
        ]
        .concat();
        let nest = |number: u8, inner: &[u8]| {
            let head = [number << 3 | 2, u8::try_from(inner.len()).unwrap()];
            [&head, inner].concat()
        };
        let request = nest(1, &nest(2, &nest(2, &span)));
        let length = u8::try_from(request.len()).unwrap();
        let body: Bytes = [&[0, 0, 0, 0, length], &request[..]].concat().into();
        let check = |status: Option<&'static str>, answer: &[u8], expected: Counts| {
            let grpc = [("content-type", &b"application/grpc"[..])];
            let call = Call::new("POST", SPANS_OF_GRPC, grpc, body.clone());
            let mut answered = answered(true, answer);
            let content_type = HeaderValue::from_static("application/grpc");
            answered.headers.insert("content-type", content_type);
            answered.trailers = status.map(|status| {
                let status = HeaderValue::from_static(status);
                [("grpc-status".parse().unwrap(), status)]
                    .into_iter()
                    .collect()
            });
            assert_eq!(counts(&call, &answered), expected, "{status:?} {answer:?}");
        };
        check(Some("0"), &[0; 5], Some((1, 0)));
        check(Some("0"), &[0, 0, 0, 0, 2, 0x0a, 0], Some((1, 0)));
        check(Some("0"), &[0, 0, 0, 0, 4, 0x0a, 2, 8, 1], None);
        check(Some("0"), &[], None);
        check(Some("8"), &[0; 5], None);
        check(None, &[0; 5], None);
    }
}
