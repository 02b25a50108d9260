//! Recorded documents and datagrams, if they are at hand.

use std::path::Path;

use model::{Document, DocumentLimits, Orphans, Segment, Timestamp, Trace};
use serde_json::Value;

use super::compiled::check_compiled;
use crate::{Body, NewIds, Rewrite, Shift, first_start};

/// Returns the files of a folder and their text; none if the folder is not at hand.
fn files(folder: &str) -> Vec<(String, String)> {
    let parents = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let folders = parents.map(|parent| parent.join("shared/data").join(folder));
    let entries = folders.filter_map(|folder| std::fs::read_dir(folder).ok());
    let entries = entries.take(1).flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    paths
        .map(|path| (path.display().to_string(), text(&path)))
        .collect()
}

fn rewrites(recorded: Timestamp) -> [Rewrite; 2] {
    let shift = Shift::between(recorded, Timestamp::from_secs(1_700_000_000));
    let ids = Some(NewIds::new(1, 2));
    [Rewrite { shift, ids: None }, Rewrite { shift, ids }]
}

/// Checks that a document comes back, and that its trace is the same but for times and ids.
fn check(name: &str, text: &str) {
    let Some(recorded) = first_start(text) else {
        panic!("{name} has no start");
    };
    let [moving, renaming] = rewrites(recorded);
    let moved = moving.document(text).unwrap();
    assert_ne!(moved, text, "{name}");
    let back = Rewrite {
        shift: moving.shift.inverse(),
        ids: None,
    };
    assert_eq!(back.document(&moved).unwrap(), text, "{name}");
    let limits = DocumentLimits::default();
    if let Ok(segment) = Segment::parse(text, &limits) {
        let document = Document {
            segment_id: segment.id(),
            in_progress: segment.in_progress(),
            stamp: 1,
            first_stamp: 1,
            text: text.to_owned(),
        };
        let trace = Trace::compile(
            segment.trace_id(),
            std::slice::from_ref(&document),
            Orphans::Visible,
        );
        assert_eq!(trace.n_unreadable, 0, "{name}");
        check_compiled(segment.trace_id(), &[document], &renaming);
    }
}

#[test]
fn recorded_documents_are_moved() {
    for (name, text) in files("segment") {
        check(&name, &text);
    }
    for (name, text) in files("segment-batch") {
        let batch: Vec<Value> = serde_json::from_str(&text).unwrap();
        check(&name, &text);
        for document in batch {
            check(&name, &document.to_string());
        }
    }
}

#[test]
fn recorded_datagrams_are_moved() {
    for (name, text) in files("udp-datagrams") {
        let datagrams: Vec<String> = serde_json::from_str(&text).unwrap();
        for datagram in datagrams {
            let (header, document) = datagram.split_once('\n').unwrap();
            if document.starts_with("T1") {
                continue;
            }
            check(&name, document);
            let [_, renaming] = rewrites(first_start(document).unwrap());
            let expected = format!("{header}\n{}", renaming.document(document).unwrap());
            let rewritten = renaming.datagram(datagram.as_bytes());
            assert_eq!(
                rewritten,
                Ok(Body::Rewritten(expected.into_bytes())),
                "{name}"
            );
        }
    }
}

#[test]
fn recorded_requests_are_moved() {
    for (name, text) in files("http-requests") {
        let request: Value = serde_json::from_str(&text).unwrap();
        let [path, body] =
            ["path", "body"].map(|member| request.get(member).and_then(Value::as_str));
        let Some((path, body)) = path.zip(body) else {
            continue;
        };
        let recorded = Timestamp::from_secs(1_795_304_400);
        for rewrite in rewrites(recorded) {
            let back = Rewrite {
                shift: rewrite.shift.inverse(),
                ids: None,
            };
            match rewrite.body(path, body.as_bytes()).unwrap() {
                Body::Rewritten(moved) => {
                    assert_ne!(moved, body.as_bytes(), "{name}");
                    let again = back.body(path, &moved).unwrap();
                    let is_back = again == Body::Rewritten(body.as_bytes().to_vec());
                    // New ids do not come back.
                    assert_eq!(
                        is_back,
                        rewrite.ids.is_none() || path != "/TraceSegments",
                        "{name}"
                    );
                }
                Body::Unchanged(_) => {
                    let moves = ["/TraceSegments", "/SamplingTargets", "/TelemetryRecords"];
                    assert!(!moves.contains(&path), "{name}");
                }
            }
        }
    }
}
