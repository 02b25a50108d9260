//! Documents that real clients sent, where the project's shared data is at hand; the literal cases
//! beside this file cover the same traits.

use std::path::PathBuf;

use crate::{DocumentLimits, InvalidCode, Segment};

/// Returns the contents of the JSON files of a folder of samples; none if it is not at hand.
fn samples(folder: &str) -> Vec<(String, String)> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data")
        .join(folder);
    let Ok(entries) = std::fs::read_dir(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return Vec::new();
    };
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect()
}

#[test]
fn sample_documents_pass_unless_they_are_fragments() {
    for (name, text) in samples("segment") {
        let has_trace_id = text.contains("\"trace_id\"");
        match Segment::parse(&text, &DocumentLimits::default()) {
            Ok(segment) => assert_eq!(segment.head().segment_id, segment.id(), "{name}"),
            Err(invalid) => {
                assert!(!has_trace_id, "{name}: {invalid}");
                assert_eq!(invalid.code, InvalidCode::MissingTraceId, "{name}");
            }
        }
    }
}

#[test]
fn batches_and_datagrams_pass() {
    for (name, text) in samples("segment-batch") {
        let batch: Vec<&serde_json::value::RawValue> = serde_json::from_str(&text).unwrap();
        for document in batch {
            Segment::parse(document.get(), &DocumentLimits::default())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    for (name, text) in samples("udp-datagrams") {
        let datagrams: Vec<String> = serde_json::from_str(&text).unwrap();
        for datagram in datagrams {
            let (_, document) = datagram.split_once('\n').unwrap();
            if document.starts_with('{') {
                Segment::parse(document, &DocumentLimits::default())
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
            }
        }
    }
}
