//! The trace of rewritten documents is the trace of the recorded ones, but for times and ids.

use model::{
    CompiledSegment, Document, DocumentLimits, Node, Orphans, Segment, SegmentId, Timestamp, Trace,
    TraceId,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{NewIds, Rewrite, Shift};

/// Checks the trace of some documents against that of the rewritten ones. Circles of parents are cut open where ids
/// say, so there must be none.
pub(super) fn check_compiled(trace_id: TraceId, documents: &[Document], rewrite: &Rewrite) {
    let rewritten: Vec<Document> = documents
        .iter()
        .map(|document| Document {
            segment_id: rewrite.segment_id(document.segment_id),
            text: rewrite.document(&document.text).unwrap().into_owned(),
            ..document.clone()
        })
        .collect();
    let old = Trace::compile(trace_id, documents, Orphans::Visible);
    let new = Trace::compile(rewrite.trace_id(trace_id), &rewritten, Orphans::Visible);
    assert_eq!(new.duration, old.duration);
    assert_eq!(new.n_unreadable, old.n_unreadable);
    assert_eq!(new.segments.len(), old.segments.len());
    let [mut old, mut new] = [old.segments, new.segments].map(Vec::from_iter);
    // Ids of inferred segments are made of other ids, and segments are in the order of ids.
    old.sort_by_key(|segment| key(segment, |id| rewrite.segment_id(id)));
    new.sort_by_key(|segment| key(segment, |id| id));
    for (old, new) in old.iter().zip(&new) {
        assert_eq!(new.kind(), old.kind());
        assert_eq!(
            new.parent_id(),
            old.parent_id().map(|id| rewrite.segment_id(id))
        );
        assert_eq!(new.service_type(), old.service_type());
        assert_eq!(new.account_id(), old.account_id());
        if !old.inferred() {
            assert_eq!(new.id(), rewrite.segment_id(old.id()));
            assert_eq!(written(new), rewrite.document(&written(old)).unwrap());
        }
        check_node(old.node(), new.node(), rewrite, old.inferred());
    }
}

fn key(segment: &CompiledSegment<'_>, id: impl Fn(SegmentId) -> SegmentId) -> (bool, SegmentId) {
    match segment.parent_id() {
        Some(parent_id) if segment.inferred() => (true, id(parent_id)),
        _ => (false, id(segment.id())),
    }
}

fn written(segment: &CompiledSegment<'_>) -> String {
    let mut document = String::new();
    segment.write_document(&mut document);
    document
}

fn check_node(old: &Node<'_>, new: &Node<'_>, rewrite: &Rewrite, inferred: bool) {
    assert!(inferred || new.id() == rewrite.segment_id(old.id()));
    assert_eq!(Ok(new.start()), rewrite.shift.time(old.start()));
    assert_eq!(Ok(new.end()), rewrite.shift.time(old.end()));
    assert_eq!(new.end().since(new.start()), old.end().since(old.start()));
    assert_eq!(new.name(), old.name());
    assert_eq!(new.namespace(), old.namespace());
    assert_eq!(new.in_progress(), old.in_progress());
    assert_eq!(new.flags(), old.flags());
    assert_eq!(new.exceptions(), old.exceptions());
    assert_eq!(new.subsegments().len(), old.subsegments().len());
    for (old, new) in old.subsegments().iter().zip(new.subsegments()) {
        check_node(old, new, rewrite, false);
    }
}

/// What is chosen of a segment or subsegment besides its place.
#[derive(Clone, Debug)]
struct Part {
    parent_idx: usize,
    is_nested: bool,
    is_segment: bool,
    in_progress: bool,
    decimals: String,
    blocks: Vec<&'static str>,
}

fn part() -> impl Strategy<Value = Part> {
    let blocks = proptest::sample::subsequence(BLOCKS.to_vec(), 0..=BLOCKS.len());
    (0..8_usize, any::<[bool; 3]>(), "[0-9]{1,12}", blocks).prop_map(
        |(parent_idx, [is_nested, is_segment, in_progress], decimals, blocks)| Part {
            parent_idx,
            is_nested,
            is_segment,
            in_progress,
            decimals,
            blocks,
        },
    )
}

const BLOCKS: [&str; 8] = [
    r#""namespace":"remote""#,
    r#""http":{"request":{"url":"http://x/"},"response":{"status":503}}"#,
    r#""aws":{"account_id":"123456789012","table_name":"t","id":"70de5b6f19ff9a0a"}"#,
    r#""cause":{"exceptions":[{"id":"70de5b6f19ff9a0b","message":"m","type":"t","cause":"70de5b6f19ff9a0c"}]}"#,
    r#""annotations":{"start_time":1478293361,"id":"70de5b6f19ff9a0a"}"#,
    r#""links":[{"trace_id":"1-581cf771-a006649127e371903a2de980","id":"70de5b6f19ff9a0a"}]"#,
    r#""metadata":{"a":{"start_time":1},"otel.span":{"kind":"SERVER","events":[{"timeUnixNano":"1478293361000000009"}]}}"#,
    r#""origin":"AWS::EC2::Instance","error":true"#,
];

/// Returns documents of a trace; each part starts at a second of its own, and its parent is an earlier part or unknown.
fn documents(parts: &[Part]) -> Vec<Document> {
    let mut nested: Vec<Vec<String>> = vec![Vec::new(); parts.len()];
    let mut documents = Vec::new();
    for (idx, part) in parts.iter().enumerate().rev() {
        let id = SegmentId(ID_OF_FIRST + u64::try_from(idx).unwrap());
        let start = 1_478_293_361 + idx;
        let mut members = vec![format!(
            r#""id":"{id}","name":"n{idx}","start_time":{start}.{}"#,
            part.decimals
        )];
        members.push(if part.in_progress {
            r#""in_progress":true"#.to_owned()
        } else {
            format!(r#""end_time":1.{}5E9"#, start + 30 - 1_000_000_000)
        });
        members.extend(part.blocks.iter().map(|block| (*block).to_owned()));
        if !nested[idx].is_empty() {
            members.push(format!("\"subsegments\":[{}]", nested[idx].join(",")));
        }
        let has_parent = part.parent_idx < idx;
        if has_parent && part.is_nested {
            nested[part.parent_idx].insert(0, format!("{{{}}}", members.join(" ,")));
            continue;
        }
        let parent_id = SegmentId(ID_OF_FIRST + u64::try_from(part.parent_idx).unwrap());
        members.push(format!(r#""trace_id":"{TRACE_ID}""#));
        if !part.is_segment {
            members.push(r#""type":"subsegment""#.to_owned());
        }
        if has_parent || part.parent_idx >= parts.len() || !part.is_segment {
            members.push(format!(
                r#""parent_id":"{}""#,
                if has_parent { parent_id } else { SegmentId(1) }
            ));
        }
        documents.push((id, part.in_progress, format!("{{{}}}", members.join(", "))));
    }
    let documents = documents.into_iter().zip(1..);
    let documents = documents.map(|((segment_id, in_progress, text), stamp)| Document {
        segment_id,
        in_progress,
        stamp,
        first_stamp: stamp,
        text,
    });
    documents.collect()
}

const TRACE_ID: &str = "1-581cf771-a006649127e371903a2de979";
const ID_OF_FIRST: u64 = 0x70de_5b6f_19ff_9a0a;

proptest! {
    #[test]
    fn traces_are_the_same_but_for_times_and_ids(
        parts in vec(part(), 1..9),
        secs in -400_000_000_i64..9_000_000_000,
        seed in proptest::option::of(any::<u64>()),
    ) {
        let documents = documents(&parts);
        for document in &documents {
            prop_assert!(Segment::parse(&document.text, &DocumentLimits::default()).is_ok(), "{}", document.text);
        }
        let shift = Shift::by(Timestamp::from_secs(1_478_293_361), secs);
        let rewrite = Rewrite { shift, ids: seed.map(|seed| NewIds::new(seed, 3)) };
        check_compiled(TraceId::parse(TRACE_ID).unwrap(), &documents, &rewrite);
    }
}
