//! What a record of a journal brought: documents, a call that is sent as a whole, or nothing that is sent again.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use http::Method;
use ingest::datagram::{self, Framed};
use journal::{Call, Content, Record};
use model::Timestamp;
use otlp::{Encoding, Limits, Rules};
use protocol::Operation;
use protocol::shapes::PutTraceSegmentsRequest;
use serde_json::value::RawValue;

/// What a record brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    /// Segment documents, each by itself; spans are made documents.
    Documents(Vec<String>),
    /// A call that is sent as it is but for its times and ids.
    Call(Operation, Bytes),
    /// Nothing; which kind of thing it is, in the plural.
    PassedOver(&'static str),
}

/// Opens a record: unpacked, unescaped, translated by rules.
pub(super) fn open(record: &Record, rules: &Rules) -> Opened {
    match &record.content {
        Content::Datagram(bytes) => open_datagram(bytes, rules, record.at),
        Content::Http(call) => match request_of_spans(call) {
            Some((encoding, Some(request))) => spans(&request, encoding, rules, record.at),
            Some((_, None)) => Opened::PassedOver(MALFORMED_SPANS),
            None => open_call(call),
        },
    }
}

/// Returns the request a call of spans brought, whatever it was wrapped in, and how it is written; no request if it cannot
/// be unwrapped, nothing if the call is none of spans.
pub(crate) fn request_of_spans(call: &Call) -> Option<(Encoding, Option<Bytes>)> {
    match call.path() {
        SPANS_OF_GRPC => Some((Encoding::Protobuf, message(call.body()))),
        SPANS_OF_HTTP => {
            let is_json = header(call, "content-type").is_some_and(|it| it.contains("json"));
            let encoding = if is_json {
                Encoding::Json
            } else {
                Encoding::Protobuf
            };
            Some((encoding, body_of(call)))
        }
        _ => None,
    }
}

/// Returns the operation of a call, if it is one.
pub(super) fn operation(call: &Call) -> Option<Operation> {
    let method = Method::from_bytes(call.method().as_bytes()).ok()?;
    Operation::route(&method, call.path(), header(call, "x-amz-target")).ok()
}

/// Returns the body of a call without its compression, as the doors of a server read it: gzip is known by the first
/// bytes, whatever the headers say, deflate by the header. Nothing if it cannot be unpacked.
pub(crate) fn body_of(call: &Call) -> Option<Bytes> {
    let values = call
        .headers()
        .filter(|(name, _)| *name == "content-encoding");
    let names = values.flat_map(|(_, value)| value.split(|byte| *byte == b','));
    let mut names = names
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .filter(|name| !SEEN_OR_NOTHING.contains(&name.as_slice()));
    let body = call.body();
    match (names.next(), names.next()) {
        (Some(name), None) if name == b"deflate" && !body.starts_with(GZIP) => {
            unpacked(ZlibDecoder::new(body.as_ref()))
        }
        _ => inflated(body),
    }
}

/// Returns a body without its compression, which its first bytes tell; nothing if it cannot be unpacked.
pub(crate) fn inflated(body: &Bytes) -> Option<Bytes> {
    if !body.starts_with(GZIP) {
        return Some(body.clone());
    }
    unpacked(MultiGzDecoder::new(body.as_ref()))
}

fn unpacked(packed: impl Read) -> Option<Bytes> {
    let mut unpacked = Vec::new();
    let n_read = packed
        .take(BODY_BYTES_MAX as u64)
        .read_to_end(&mut unpacked);
    let is_whole = n_read.is_ok() && unpacked.len() < BODY_BYTES_MAX;
    is_whole.then(|| unpacked.into())
}

fn open_datagram(bytes: &[u8], rules: &Rules, at: Timestamp) -> Opened {
    match datagram::open(bytes) {
        Ok(Framed::Document(document)) => Opened::Documents(elements(document.to_owned())),
        Ok(Framed::Spans { protobuf, .. }) => spans(&protobuf, Encoding::Protobuf, rules, at),
        Err(_) => Opened::PassedOver("datagrams without a document"),
    }
}

fn open_call(call: &Call) -> Opened {
    let Some(operation) = operation(call) else {
        return Opened::PassedOver("calls of no operation");
    };
    // What cannot be unpacked is sent as it came: a replay of bad input is bad input.
    let body = body_of(call).unwrap_or_else(|| call.body().clone());
    match operation {
        Operation::PutTraceSegments => {
            match protocol::decode::<PutTraceSegmentsRequest<'_>>(&body) {
                Ok(request) if !request.trace_segment_documents.is_empty() => {
                    let documents = request.trace_segment_documents.into_iter();
                    let documents = documents.flat_map(|document| elements(document.into_owned()));
                    Opened::Documents(documents.collect())
                }
                Ok(_) | Err(_) => Opened::Call(operation, body),
            }
        }
        Operation::PutTelemetryRecords | Operation::GetSamplingTargets => {
            Opened::Call(operation, body)
        }
        other => Opened::PassedOver(kind(other)),
    }
}

/// Returns what people are told a call is that is not sent again.
fn kind(operation: Operation) -> &'static str {
    let name = operation.name();
    let is_read = ["Get", "BatchGet", "List"];
    if is_read.iter().any(|verb| name.starts_with(verb)) {
        "reads"
    } else {
        "changes of settings"
    }
}

/// Returns the documents that spans are made; refused ones are no part of them, as at the door they came through.
fn spans(body: &[u8], encoding: Encoding, rules: &Rules, at: Timestamp) -> Opened {
    let translated = otlp::decode(body, encoding)
        .ok()
        .and_then(|request| otlp::translate(&request, rules, &Limits::NONE, at).ok());
    match translated {
        Some(translated) => {
            let documents = translated.documents.into_iter();
            Opened::Documents(documents.map(|document| document.text).collect())
        }
        None => Opened::PassedOver(MALFORMED_SPANS),
    }
}

/// Returns the one message of a body of gRPC: a flag, its length and its bytes, compressed if the flag says so.
pub(crate) fn message(body: &Bytes) -> Option<Bytes> {
    let (flag, rest) = body.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let n_bytes = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let message = body.slice_ref(rest.get(..n_bytes)?);
    match flag {
        0 => Some(message),
        _ => inflated(&message),
    }
}

/// Returns the elements of a document that is an array of some, else the document.
fn elements(document: String) -> Vec<String> {
    if document.trim_start().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(&document).unwrap_or_default();
        if !elements.is_empty() {
            return elements
                .iter()
                .map(|element| element.get().to_owned())
                .collect();
        }
    }
    vec![document]
}

fn header<'c>(call: &'c Call, wanted: &str) -> Option<&'c str> {
    let mut headers = call.headers();
    let (_, value) = headers.find(|(name, _)| *name == wanted)?;
    std::str::from_utf8(value).ok()
}

pub(crate) const SPANS_OF_HTTP: &str = "/v1/traces";
pub(crate) const SPANS_OF_GRPC: &str =
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const MALFORMED_SPANS: &str = "spans that cannot be read";
const GZIP: &[u8] = &[0x1f, 0x8b];
/// Names of encodings that need no word: none at all, one that is seen, one that signatures undo.
const SEEN_OR_NOTHING: [&[u8]; 5] = [b"", b"identity", b"gzip", b"x-gzip", b"aws-chunked"];
/// Unpacked, every body is smaller.
const BODY_BYTES_MAX: usize = 256 << 20;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use journal::Door;

    use super::*;

    fn call(path: &str, body: impl Into<Bytes>) -> Record {
        record(Content::Http(Call::new("POST", path, [], body.into())))
    }

    fn record(content: Content) -> Record {
        Record {
            at: Timestamp::from_secs(1_700_000_000),
            door: Door::Api,
            account: None,
            peer: None,
            content,
            verdicts: None,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "literal cases read better")]
    fn check(record: Record, expected: &[&str]) {
        let expected = expected.iter().map(ToString::to_string).collect();
        assert_eq!(
            open(&record, &Rules::default()),
            Opened::Documents(expected),
            "{:?}",
            record.content
        );
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn bodies_are_unpacked_by_every_door_as_the_server_does() {
        let segments = r#"{"TraceSegmentDocuments":["{\"id\":1}"]}"#;
        let spans = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"581cf771a006649127e371903a2de979",
            "spanId":"70de5b6f19ff9a0a","name":"a","kind":2,"startTimeUnixNano":"1478293361271000001",
            "endTimeUnixNano":"1478293361449000000"}]}]}]}"#;
        let check = |pack: fn(&[u8]) -> Vec<u8>, encodings: &[&str], is_read: bool| {
            for (path, body, id) in [
                ("/TraceSegments", segments, r#"{"id":1}"#),
                (SPANS_OF_HTTP, spans, "70de5b6f19ff9a0a"),
            ] {
                let headers = encodings
                    .iter()
                    .map(|name| ("Content-Encoding", name.as_bytes()));
                let headers = [("content-type", &b"application/json"[..])]
                    .into_iter()
                    .chain(headers);
                let body = pack(body.as_bytes()).into();
                let call = Call::new("POST", path, headers, body);
                let opened = open(&record(Content::Http(call)), &Rules::default());
                let has_come = matches!(
                    &opened,
                    Opened::Documents(documents) if documents.len() == 1 && documents[0].contains(id)
                );
                assert_eq!(has_come, is_read, "{path} {encodings:?}: {opened:?}");
            }
        };
        check(<[u8]>::to_vec, &[], true);
        check(<[u8]>::to_vec, &["identity"], true);
        check(gzip, &[], true);
        check(gzip, &["gzip"], true);
        check(gzip, &["deflate"], true);
        check(deflate, &["deflate"], true);
        check(deflate, &["aws-chunked, Deflate "], true);
        check(deflate, &["identity", "deflate"], true);
        check(deflate, &[], false);
        check(deflate, &["br"], false);
    }

    #[test]
    fn documents_are_taken_out_of_whatever_brought_them() {
        let body = r#"{"TraceSegmentDocuments":["{\"id\":1}","[{\"id\":2},{\"id\":3}]","[]","x"]}"#;
        let documents = [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, "[]", "x"];
        check(call("/TraceSegments", body), &documents);
        check(call("/TraceSegments", gzip(body.as_bytes())), &documents);
        let datagram = "{\"format\":\"json\",\"version\":1}\n{\"id\":1}\n";
        check(record(Content::Datagram(datagram.into())), &[r#"{"id":1}"#]);
    }

    #[test]
    fn spans_become_documents_by_every_door() {
        let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"581cf771a006649127e371903a2de979",
            "spanId":"70de5b6f19ff9a0a","name":"a","kind":2,"startTimeUnixNano":"1478293361271000001",
            "endTimeUnixNano":"1478293361449000000"}]}]}]}"#;
        let headers = [("content-type", &b"application/json"[..])];
        let of_json = |body: Bytes| {
            record(Content::Http(Call::new(
                "POST",
                SPANS_OF_HTTP,
                headers,
                body,
            )))
        };
        for body in [body.into(), gzip(body.as_bytes()).into()] {
            let Opened::Documents(documents) = open(&of_json(body), &Rules::default()) else {
                panic!("no documents");
            };
            assert!(documents[0].contains("70de5b6f19ff9a0a"), "{documents:?}");
        }
        let none = call(SPANS_OF_HTTP, "\u{1}nonsense");
        assert_eq!(
            open(&none, &Rules::default()),
            Opened::PassedOver(MALFORMED_SPANS)
        );
    }

    #[test]
    fn spans_become_documents_by_the_rules_of_their_server() {
        let body = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"581cf771a006649127e371903a2de979",
            "spanId":"70de5b6f19ff9a0a","name":"a","kind":2,"startTimeUnixNano":"1478293361271000001",
            "endTimeUnixNano":"1478293361449000000",
            "attributes":[{"key":"tier","value":{"stringValue":"gold"}}]}]}]}]}"#;
        let annotated = |rules: &Rules| {
            let spans = spans(body.as_bytes(), Encoding::Json, rules, Timestamp::ZERO);
            let Opened::Documents(documents) = spans else {
                panic!("no documents");
            };
            documents[0].contains(r#""annotations":{"tier":"gold"}"#)
        };
        assert!(!annotated(&Rules::default()));
        assert!(annotated(&Rules {
            indexed_attributes: vec!["tier".to_owned()],
            ..Rules::default()
        }));
    }

    #[test]
    fn a_message_of_grpc_is_framed() {
        let check = |bytes: &[u8], expected: Option<&[u8]>| {
            let message = message(&Bytes::copy_from_slice(bytes));
            assert_eq!(message.as_deref(), expected, "{bytes:?}");
        };
        check(&[0, 0, 0, 0, 2, 7, 8], Some(&[7, 8]));
        check(&[0, 0, 0, 0, 2, 7, 8, 9], Some(&[7, 8]));
        check(&[0, 0, 0, 0, 2, 7], None);
        check(&[0, 0, 0], None);
        let packed = gzip(&[7, 8]);
        let length = u8::try_from(packed.len()).unwrap();
        check(
            &[&[1, 0, 0, 0, length], &packed[..]].concat(),
            Some(&[7, 8]),
        );
    }

    #[test]
    fn what_is_not_sent_again_is_said() {
        let passed = |record: &Record| match open(record, &Rules::default()) {
            Opened::PassedOver(what) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(passed(&call("/Traces", "{}")), "reads");
        assert_eq!(passed(&call("/CreateGroup", "{}")), "changes of settings");
        assert_eq!(passed(&call("/favicon.ico", "")), "calls of no operation");
        let datagram = record(Content::Datagram("one line".into()));
        assert_eq!(passed(&datagram), "datagrams without a document");
    }

    #[test]
    fn calls_without_documents_are_sent_as_they_are() {
        for (path, body, operation) in [
            ("/SamplingTargets", "{}", Operation::GetSamplingTargets),
            ("/TelemetryRecords", "{}", Operation::PutTelemetryRecords),
            ("/TraceSegments", "nonsense", Operation::PutTraceSegments),
            (
                "/TraceSegments",
                r#"{"TraceSegmentDocuments":[]}"#,
                Operation::PutTraceSegments,
            ),
        ] {
            let expected = Opened::Call(operation, body.into());
            assert_eq!(open(&call(path, body), &Rules::default()), expected);
        }
    }
}
