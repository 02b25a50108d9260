//! Documents, their spans, and the documents that are made of those: the trace is the same.
//!
//! Compiled traces are compared, since what was nested may come back as documents sent alone. They are
//! the same member by member, with these exceptions:
//! - subsegments that hang on one parent come in the order of their ids here: their documents' order is lost;
//! - while a segment is in progress it lasts to the latest time its document mentions, which may stand in another one then;
//! - times are the same instants, which X-Ray and this server know to the nanosecond;
//! - a nested subsegment that has no end because something around it is in progress says so itself afterwards;
//! - ids that occur twice in a trace, or are zero, which no span may have.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{
    CompiledSegment, Document, DocumentLimits, Orphans, Segment, Timestamp, Trace, TraceId,
};
use proptest::prelude::*;

use super::documents::documents;
use crate::spans::{Carried, Members};
use crate::{Encoding, Limits, Rules, decode, spans_of, translate};

const TRACE_ID: &str = "1-581cf771-a006649127e371903a2de979";

/// Returns documents as a store keeps them.
fn stored(texts: &[String]) -> Vec<Document> {
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let documents = (1..).zip(texts).map(|(stamp, text)| {
        let segment =
            Segment::parse(text, &limits).unwrap_or_else(|error| panic!("{error}: {text}"));
        Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp,
            first_stamp: stamp,
            text: text.clone(),
        }
    });
    documents.collect()
}

/// Returns the documents that are made of the spans of documents.
fn there_and_back(trace_id: TraceId, texts: &[String], encoding: Encoding) -> Vec<String> {
    let documents = stored(texts);
    let trace = Trace::compile(trace_id, &documents, Orphans::Visible);
    let body = spans_of(&trace).encode(encoding);
    let request = decode(&body, encoding).unwrap();
    let translated = translate(&request, &Rules::default(), &Limits::NONE, Timestamp::MAX).unwrap();
    assert_eq!(translated.rejected, [], "{texts:#?}");
    translated
        .documents
        .into_iter()
        .map(|document| document.text)
        .collect()
}

/// One entry of a compiled trace: members, and what is below it by id.
#[derive(Debug)]
struct Entry {
    members: Members,
    below: Vec<Entry>,
}

impl Entry {
    fn parse(json: &str) -> Self {
        let mut members = Members::parse(json).unwrap();
        let below = members
            .0
            .remove("subsegments")
            .unwrap_or_else(|| "[]".to_owned());
        let below: Vec<&serde_json::value::RawValue> = serde_json::from_str(&below).unwrap();
        let mut below: Vec<Self> = below.iter().map(|json| Self::parse(json.get())).collect();
        below.sort_by_key(|entry| entry.members.0.get("id").cloned());
        Self { members, below }
    }
}

fn check_same(sent: &Entry, back: &Entry, context: &str) {
    assert_eq!(
        sent.members.0.get("id"),
        back.members.0.get("id"),
        "{context}"
    );
    assert_eq!(
        sent.members.0.get("trace_id"),
        back.members.0.get("trace_id"),
        "{context}"
    );
    let difference = Carried::between(&sent.members, &back.members);
    assert!(
        difference == Carried::default(),
        "{difference:#?}\nsent: {}\nback: {}\n{context}",
        sent.members.to_document(),
        back.members.to_document(),
    );
    assert_eq!(sent.below.len(), back.below.len(), "{context}");
    for (sent, back) in sent.below.iter().zip(&back.below) {
        check_same(sent, back, context);
    }
}

fn check(trace_id: &str, texts: &[String], encoding: Encoding) {
    let trace_id = TraceId::parse(trace_id).unwrap();
    let back = there_and_back(trace_id, texts, encoding);
    let context = format!("from {texts:#?}\nto {back:#?}");
    let (sent, back) = (stored(texts), stored(&back));
    let sent = Trace::compile(trace_id, &sent, Orphans::Visible);
    let back = Trace::compile(trace_id, &back, Orphans::Visible);
    if !sent.segments.iter().any(CompiledSegment::in_progress) {
        assert_eq!(sent.duration, back.duration, "{context}");
    }
    let entries = |trace: &Trace<'_>| -> Vec<Entry> {
        let entries = trace.segments.iter().map(|segment| {
            let mut document = String::new();
            segment.write_document(&mut document);
            Entry::parse(&document)
        });
        entries.collect()
    };
    let pairs = (entries(&sent), entries(&back));
    assert_eq!(pairs.0.len(), pairs.1.len(), "{context}");
    for (sent, back) in pairs.0.iter().zip(&pairs.1) {
        check_same(sent, back, &context);
    }
    let flat = |trace: &Trace<'_>| {
        let mut flat = spans_of(trace).flat();
        flat.sort_by_key(|span| span.id);
        flat
    };
    assert_eq!(flat(&sent), flat(&back), "{context}");
}

proptest! {
    #[test]
    fn made_up_documents_come_back(texts in documents(TRACE_ID)) {
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            check(TRACE_ID, &texts, encoding);
        }
    }
}

/// Returns the recorded documents of a folder that can be accepted; none if the folder is not at hand.
fn recorded(folder: &str) -> Vec<(String, Vec<String>)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return Vec::new();
    };
    let files = entries.map(|entry| {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let texts = match folder {
            "segment" => vec![text],
            "segment-batch" => {
                let batch: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
                batch.iter().map(|json| json.get().to_owned()).collect()
            }
            _ => {
                let datagrams: Vec<String> = serde_json::from_str(&text).unwrap();
                let texts = datagrams
                    .iter()
                    .filter_map(|it| Some(it.split_once('\n')?.1.to_owned()));
                texts.filter(|text| text.starts_with('{')).collect()
            }
        };
        (path.display().to_string(), texts)
    });
    files.collect()
}

#[test]
fn recorded_documents_come_back() {
    for folder in ["segment", "segment-batch", "udp-datagrams"] {
        for (name, texts) in recorded(folder) {
            let mut traces: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for text in texts {
                // The guide prints fragments, too.
                if let Ok(segment) = Segment::parse(&text, &DocumentLimits::default()) {
                    let trace_id = segment.trace_id().to_string();
                    traces.entry(trace_id).or_default().push(text.clone());
                }
            }
            for (trace_id, texts) in traces {
                eprintln!("{name}: {trace_id}, {} documents", texts.len());
                check(&trace_id, &texts, Encoding::Protobuf);
            }
        }
    }
}
