//! Traces that are written in a form and read again.

use std::collections::BTreeMap;
use std::io::Read;

use model::{Document, DocumentLimits, Orphans, Segment, TraceId};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::form::Form;
use super::input::unpacked;
use super::output::{Compression, Packer};
use crate::client::{self, Trace};
use crate::import::documents_of;

const TRACE_ID: &str = "1-581cf771-a006649127e371903a2de979";

/// Members of a segment or subsegment, but for its place in the trace. Times are to the microsecond.
fn members() -> impl Strategy<Value = Value> {
    let name = prop_oneof!["[a-z]{1,8}", "[a-z]{1,4}\\.example\\.com"];
    let text = "[ -~\u{e9}\u{4e16}]{0,12}";
    let value = prop_oneof![
        text.prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        (-1e6..1e6_f64).prop_map(Value::from),
    ];
    let values = proptest::collection::btree_map("[a-z_]{1,6}", value, 0..4);
    let times = (0..1_000_000_u32, 0..5_000_000_u32);
    let http = option::of((100..600_u32, prop_oneof![Just("GET"), Just("POST")]));
    let flags = (any::<bool>(), any::<bool>(), option::of("[a-z]{1,8}"));
    let namespace = option::of(prop_oneof![Just("aws"), Just("remote")]);
    (name, times, values.clone(), values, http, flags, namespace).prop_map(
        |(name, (start, length), annotations, metadata, http, (fault, error, message), namespace)| {
            let micros = |micros: u32| f64::from(micros) / 1e6 + 1_478_293_361.0;
            let mut members = json!({ "name": name, "start_time": micros(start), "end_time": micros(start + length) });
            if !annotations.is_empty() {
                members["annotations"] = json!(annotations);
            }
            if !metadata.is_empty() {
                members["metadata"] = json!({ "default": metadata });
            }
            if let Some((status, method)) = http {
                members["http"] = json!({ "request": { "method": method, "url": "http://h/a?b=c" }, "response": { "status": status } });
            }
            if fault {
                members["fault"] = json!(true);
            }
            if error {
                members["error"] = json!(true);
            }
            if let Some(message) = message {
                members["cause"] = json!({ "exceptions": [{ "id": "00000000000000ee", "type": "E", "message": message }] });
            }
            if let Some(namespace) = namespace {
                members["namespace"] = json!(namespace);
            }
            members
        },
    )
}

/// Documents of a trace: segments, subsegments nested in them and subsegments sent alone.
fn documents() -> impl Strategy<Value = Vec<String>> {
    vec((members(), 0..8_usize, 0..3_u8), 1..8).prop_map(|parts| {
        let mut placed: Vec<(Value, Option<usize>)> = Vec::new();
        for (idx, (mut members, parent, kind)) in parts.into_iter().enumerate() {
            members["id"] = json!(format!("{:016x}", idx + 1));
            let parent_idx = (idx > 0).then(|| parent % idx);
            let nested_in = parent_idx.filter(|_| kind == 0);
            if nested_in.is_none() {
                members["trace_id"] = json!(TRACE_ID);
                if let Some(parent_idx) = parent_idx {
                    members["parent_id"] = json!(format!("{:016x}", parent_idx + 1));
                }
            }
            match (kind, parent_idx) {
                (1, Some(_)) => members["type"] = json!("subsegment"),
                // Only calls have one.
                (_, _) if nested_in.is_none() => {
                    members.as_object_mut().unwrap().remove("namespace");
                }
                (_, _) => {}
            }
            placed.push((members, nested_in));
        }
        let mut texts = Vec::new();
        while let Some((members, nested_in)) = placed.pop() {
            match nested_in {
                Some(parent_idx) => {
                    let parent = placed[parent_idx].0.as_object_mut().unwrap();
                    let below = parent.entry("subsegments").or_insert_with(|| json!([]));
                    below.as_array_mut().unwrap().insert(0, members);
                }
                None => texts.push(members.to_string()),
            }
        }
        texts
    })
}

/// Returns the entries of the trace that documents make up, by id.
fn compiled(texts: &[String]) -> BTreeMap<String, Value> {
    let documents = (1..).zip(texts).map(|(stamp, text)| {
        let segment = Segment::parse(text, &DocumentLimits::default());
        let segment = segment.unwrap_or_else(|error| panic!("{error}: {text}"));
        Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        }
    });
    let documents: Vec<Document> = documents.collect();
    let trace_id = TraceId::parse(TRACE_ID).unwrap();
    let trace = model::Trace::compile(trace_id, &documents, Orphans::Visible);
    let entries = trace.segments.iter().map(|segment| {
        let mut text = String::new();
        segment.write_document(&mut text);
        (
            segment.id().to_string(),
            in_order(serde_json::from_str(&text).unwrap()),
        )
    });
    entries.collect()
}

/// Subsegments below one parent lose their order where each is sent alone.
fn in_order(mut entry: Value) -> Value {
    if let Some(below) = entry.get_mut("subsegments").and_then(Value::as_array_mut) {
        *below = below.drain(..).map(in_order).collect();
        below.sort_by_key(|entry| entry["id"].to_string());
    }
    entry
}

/// Returns a trace as a server answers it.
fn answered(texts: &[String]) -> Trace {
    let documents: Vec<Document> = (1..)
        .zip(texts)
        .map(|(stamp, text)| Document {
            segment_id: Segment::parse(text, &DocumentLimits::default())
                .unwrap()
                .id(),
            in_progress: false,
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        })
        .collect();
    let trace_id = TraceId::parse(TRACE_ID).unwrap();
    let trace = model::Trace::compile(trace_id, &documents, Orphans::Visible);
    let segments = trace.segments.iter().map(|segment| {
        let mut document = String::new();
        segment.write_document(&mut document);
        client::Segment {
            id: segment.id().to_string(),
            document,
        }
    });
    Trace {
        id: TRACE_ID.to_owned(),
        duration: None,
        limit_exceeded: false,
        segments: segments.collect(),
    }
}

fn there_and_back(form: Form, trace: &Trace) -> Vec<String> {
    let mut text = form.head().to_owned();
    form.write(trace, true, &mut text);
    text.push_str(form.foot());
    documents_of(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

proptest! {
    #[test]
    fn documents_come_back_byte_for_byte(texts in documents()) {
        let trace = answered(&texts);
        let segments = trace.segments.iter();
        let sent = segments.filter(|segment| !segment.document.contains("\"inferred\":true"));
        let sent: Vec<String> = sent.map(|segment| segment.document.clone()).collect();
        let back = there_and_back(Form::Xray, &trace);
        prop_assert_eq!(&back, &sent);
        prop_assert_eq!(compiled(&back), compiled(&texts));
    }

    #[test]
    fn spans_make_the_same_trace(texts in documents()) {
        let back = there_and_back(Form::Otlp, &answered(&texts));
        prop_assert_eq!(compiled(&back), compiled(&texts));
    }

    #[test]
    fn jaeger_holds_the_same_trace(texts in documents()) {
        let back = there_and_back(Form::Jaeger, &answered(&texts));
        prop_assert_eq!(compiled(&back), compiled(&texts));
    }

    #[test]
    fn pieces_compressed_one_after_the_other_are_one_file(pieces in vec(vec(any::<u8>(), 0..200), 0..4)) {
        for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
            let mut file = Vec::new();
            for piece in &pieces {
                let mut packer = Packer::new(file, compression).unwrap();
                std::io::Write::write_all(&mut packer, piece).unwrap();
                file = packer.finish().unwrap();
            }
            // What is not compressed must not look as if it were.
            let whole = pieces.concat();
            if compression == Compression::None && (whole.starts_with(&[0x1f]) || whole.starts_with(&[0x28])) {
                continue;
            }
            let mut read = Vec::new();
            unpacked(Box::new(std::io::Cursor::new(file))).unwrap().read_to_end(&mut read).unwrap();
            prop_assert_eq!(read, whole);
        }
    }
}

#[test]
fn a_request_is_the_same_after_jaeger() {
    let text = json!({ "trace_id": TRACE_ID, "id": "00000000000000a1", "name": "shop", "start_time": 1_478_293_361.5, "end_time": 1_478_293_362.0,
        "annotations": { "a": 1, "b": true, "c": "d", "e": 1.5 }, "fault": true });
    let (request, _) = super::form::spans(TRACE_ID, &[&text.to_string()]);
    let request: Value = serde_json::from_slice(&request).unwrap();
    let jaeger = super::jaeger::from_otlp("581cf771a006649127e371903a2de979", &request);
    let trace = serde_json::from_value(jaeger).unwrap();
    let decode = |request: &Value| {
        let body = request.to_string();
        otlp::decode(body.as_bytes(), otlp::Encoding::Json).unwrap()
    };
    assert_eq!(decode(&super::jaeger::to_otlp(&trace)), decode(&request));
}

#[test]
fn a_name_says_how_a_file_is_compressed() {
    let check = |asked, name: &str, expected| {
        assert_eq!(
            Compression::of(asked, std::path::Path::new(name)),
            expected,
            "{name}"
        );
    };
    check(None, "a.jsonl.gz", Compression::Gzip);
    check(None, "a.zst", Compression::Zstd);
    check(None, "-", Compression::None);
    check(Some(Compression::None), "a.gz", Compression::None);
    check(Some(Compression::Zstd), "-", Compression::Zstd);
}
