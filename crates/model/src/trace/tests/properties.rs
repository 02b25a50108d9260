//! What holds for every set of documents.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{document, rendered, trace_id};
use crate::{Document, Orphans, Segment, Summary, Trace};

/// Returns documents of a made-up trace: every id from 1 occurs once; parents and nesting are as
/// `shape` has it, which includes parents that never come and circles.
fn documents(shape: &[(u64, u8)]) -> Vec<Document> {
    let ids: Vec<u64> = (1..).take(shape.len()).collect();
    let mut nested: HashMap<u64, Vec<u64>> = HashMap::new();
    let mut alone = Vec::new();
    for (id, (parent, kind)) in ids.iter().zip(shape) {
        // Nesting below smaller ids only is free of circles, as JSON is.
        let is_nested = kind % 3 == 0 && *parent > 0 && parent < id;
        if is_nested {
            nested.entry(*parent).or_default().push(*id);
        } else {
            alone.push((*id, *parent, kind % 3 == 1));
        }
    }
    alone
        .iter()
        .map(|(id, parent, is_segment)| {
            let kind = if *is_segment {
                ""
            } else {
                ",\"type\":\"subsegment\""
            };
            let identity = format!(
                "\"trace_id\":\"{}\",\"parent_id\":\"{parent:016x}\"{kind},",
                trace_id()
            );
            document(&written(*id, &identity, &nested))
        })
        .collect()
}

fn written(id: u64, identity: &str, nested: &HashMap<u64, Vec<u64>>) -> String {
    let below: Vec<String> = nested
        .get(&id)
        .into_iter()
        .flatten()
        .map(|below| written(*below, "", nested))
        .collect();
    let namespace = ["local", "remote", "aws"][usize::try_from(id % 3).unwrap()];
    let progress = if id.is_multiple_of(5) {
        "\"in_progress\":true"
    } else {
        "\"end_time\":1.50e1"
    };
    format!(
        r#"{{{identity}"id":"{id:016x}","name":"n{}","namespace":"{namespace}","start_time":{}.50,{progress},
        "annotations":{{"a":{id}.10,"b":true}},"user":"u{}","subsegments":[{}]}}"#,
        id % 4,
        id % 7,
        id % 2,
        below.join(",")
    )
}

fn shape() -> impl Strategy<Value = Vec<(u64, u8)>> {
    prop::collection::vec((0..30_u64, 0..3_u8), 0..30)
}

fn summary(documents: &[Document]) -> Summary {
    let heads: Vec<_> = documents
        .iter()
        .map(|document| {
            Segment::parse(&document.text, &crate::DocumentLimits::default())
                .unwrap()
                .head()
        })
        .collect();
    Summary::of(trace_id(), &heads, 1)
}

proptest! {
    #[test]
    fn the_order_of_documents_does_not_matter((sent, shuffled) in shape().prop_flat_map(|shape| {
        let sent = documents(&shape);
        (Just(sent.clone()), Just(sent).prop_shuffle())
    })) {
        for orphans in [Orphans::Visible, Orphans::Hidden] {
            let one = Trace::compile(trace_id(), &sent, orphans);
            let other = Trace::compile(trace_id(), &shuffled, orphans);
            prop_assert_eq!(rendered(&one), rendered(&other));
            prop_assert_eq!(one.duration, other.duration);
        }
        prop_assert_eq!(summary(&sent), summary(&shuffled));
    }

    #[test]
    fn every_id_is_shown_exactly_once(shape in shape()) {
        let sent = documents(&shape);
        let trace = Trace::compile(trace_id(), &sent, Orphans::Visible);
        let shown: Vec<String> = trace
            .segments
            .iter()
            .zip(rendered(&trace))
            .filter(|(segment, _)| !segment.inferred())
            .map(|(_, text)| text)
            .collect();
        let shown = shown.concat();
        for id in (1..).take(shape.len()) {
            let id = format!("\"id\":\"{id:016x}\"");
            prop_assert_eq!(shown.replace("parent_id", "").matches(&id).count(), 1, "{}", id);
        }
    }

    #[test]
    fn what_is_shown_is_json_with_numbers_as_sent(shape in shape()) {
        let sent = documents(&shape);
        let trace = Trace::compile(trace_id(), &sent, Orphans::Visible);
        prop_assert_eq!(trace.n_unreadable, 0);
        let texts = rendered(&trace);
        for text in &texts {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            prop_assert!(value.get("id").is_some());
        }
        let shown = texts.concat();
        for id in (1..).take(shape.len()) {
            let annotations = format!("\"annotations\":{{\"a\":{id}.10,");
            prop_assert_eq!(shown.matches(annotations.as_str()).count(), 1);
        }
        prop_assert_eq!(trace.segments.iter().filter(|segment| segment.inferred()).count(), trace.segments.iter()
            .filter(|segment| segment.inferred()).map(super::CompiledSegment::id).collect::<std::collections::HashSet<_>>().len());
    }

    #[test]
    fn compiling_twice_gives_the_same_ids(shape in shape()) {
        let sent = documents(&shape);
        let one = Trace::compile(trace_id(), &sent, Orphans::Visible);
        let other = Trace::compile(trace_id(), &sent, Orphans::Visible);
        prop_assert_eq!(rendered(&one), rendered(&other));
    }
}
