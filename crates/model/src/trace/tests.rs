//! Documents and the trace they make up.

mod properties;
mod recorded;

use super::*;
use crate::{DocumentLimits, Segment};

const TRACE: &str = "1-581cf771-a006649127e371903a2de979";

pub(super) fn trace_id() -> TraceId {
    TraceId::parse(TRACE).unwrap()
}

/// Returns the stored copy of a document that is accepted.
pub(super) fn document(text: &str) -> Document {
    let segment = Segment::parse(text, &DocumentLimits::default()).unwrap();
    let in_progress = segment.in_progress();
    Document {
        segment_id: segment.id(),
        in_progress,
        stamp: 1,
        first_stamp: 1,
        text: text.to_owned(),
    }
}

/// Returns the documents of the compiled trace.
pub(super) fn rendered(trace: &Trace<'_>) -> Vec<String> {
    trace
        .segments
        .iter()
        .map(|segment| {
            let mut out = String::new();
            segment.write_document(&mut out);
            out
        })
        .collect()
}

/// Checks what documents compile to; in documents `T` is the trace's member, `I` are inferred ids.
fn check_with(orphans: Orphans, documents: &[&str], expected: &[&str], duration_ms: Option<u64>) {
    let fill = |text: &&str| text.replace("`T`", &format!("\"trace_id\":\"{TRACE}\""));
    let mut documents: Vec<Document> = documents
        .iter()
        .map(fill)
        .map(|text| document(&text))
        .collect();
    for _ in 0..2 {
        let trace = Trace::compile(trace_id(), &documents, orphans);
        let mut found = rendered(&trace);
        for (segment, text) in trace.segments.iter().zip(&mut found) {
            if segment.inferred() {
                *text = text.replace(&format!("{{\"id\":\"{}\"", segment.id()), "{\"id\":`I`");
            }
        }
        found.sort_unstable();
        let mut expected: Vec<String> = expected.iter().map(fill).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(trace.duration, duration_ms.map(Duration::from_millis));
        assert!(trace.segments.is_sorted_by_key(CompiledSegment::id));
        documents.reverse();
    }
}

fn check(documents: &[&str], expected: &[&str], duration_ms: Option<u64>) {
    check_with(Orphans::Visible, documents, expected, duration_ms);
}

#[test]
fn a_segment_alone_is_shown_in_the_usual_order_with_values_as_sent() {
    check(
        &[
            r#" { "end_time" : 1.50e0, "metadata":{"b" : [1.0, 1e1]}, "name":"a\u0062", "Dummy":1, "user":null, "subsegments":[],
            "inferred":true, `T`, "start_time":1.0, "in_progress":false, "type":"segment", "traced":true, "id":"000000000000000A" }"#,
        ],
        &[
            r#"{"id":"000000000000000A","name":"a\u0062","start_time":1.0,"end_time":1.50e0,"in_progress":false,"metadata":{"b" : [1.0, 1e1]},`T`}"#,
        ],
        Some(500),
    );
}

#[test]
fn nested_subsegments_keep_no_identity_but_their_id() {
    check(
        &[
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"subsegments":[null,
            {"id":"0000000000000003","name":"c","start_time":2,"end_time":3,"type":"subsegment","parent_id":"0000000000000001",`T`,"namespace":"local","traced":false,"x":1},
            {"id":"0000000000000002","name":"b","start_time":1,"end_time":2}]}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"end_time":3,`T`,"subsegments":[{"id":"0000000000000003","name":"c","start_time":2,"end_time":3,"namespace":"local","traced":false},{"id":"0000000000000002","name":"b","start_time":1,"end_time":2}]}"#,
        ],
        Some(2_000),
    );
}

#[test]
fn subsegments_sent_alone_hang_below_their_parents_at_any_depth() {
    check(
        &[
            r#"{`T`,"type":"subsegment","id":"0000000000000005","parent_id":"0000000000000004","name":"e","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000004","parent_id":"0000000000000002","name":"d","start_time":2,"end_time":3}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000003","parent_id":"0000000000000001","name":"c","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000006","parent_id":"0000000000000001","name":"f","start_time":0,"in_progress":true}"#,
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"subsegments":[{"id":"0000000000000002","name":"b","start_time":1,"end_time":2}]}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"end_time":3,`T`,"subsegments":[{"id":"0000000000000002","name":"b","start_time":1,"end_time":2,"subsegments":[{"id":"0000000000000004","name":"d","start_time":2,"end_time":3,"subsegments":[{"id":"0000000000000005","name":"e","start_time":1,"end_time":2}]}]},{"id":"0000000000000006","name":"f","start_time":0,"in_progress":true},{"id":"0000000000000003","name":"c","start_time":1,"end_time":2}]}"#,
        ],
        Some(2_000),
    );
}

#[test]
fn services_that_send_nothing_are_inferred() {
    check(
        &[
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"in_progress":true,"subsegments":[
            {"id":"0000000000000002","name":"DynamoDB","start_time":1,"end_time":2,"namespace":"aws","aws":{"table_name":"t"},"http":{"response":{"status":400}},"error":true,"cause":"abcdefghijklmnop","annotations":{"a":1},"metadata":{},"user":"u","in_progress":false},
            {"id":"0000000000000003","name":"db","start_time":1,"end_time":2,"namespace":"remote","sql":{"user":"u"}},
            {"id":"0000000000000004","name":"host","start_time":1,"namespace":"remote"},
            {"id":"0000000000000005","name":"traced","start_time":1,"end_time":2,"namespace":"remote","http":{"request":{"traced":true}}},
            {"id":"0000000000000006","name":"traced","start_time":1,"end_time":2,"namespace":"remote","traced":true},
            {"id":"0000000000000007","name":"here","start_time":1,"end_time":2,"namespace":"aws"},
            {"id":"0000000000000008","name":"local","start_time":1,"end_time":2,"namespace":"local"}]}"#,
            r#"{`T`,"id":"0000000000000009","parent_id":"0000000000000007","name":"here","start_time":1,"end_time":2,"origin":"AWS::Lambda"}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"in_progress":true,`T`,"subsegments":[{"id":"0000000000000002","name":"DynamoDB","start_time":1,"end_time":2,"in_progress":false,"http":{"response":{"status":400}},"aws":{"table_name":"t"},"error":true,"cause":"abcdefghijklmnop","annotations":{"a":1},"metadata":{},"user":"u","namespace":"aws"},{"id":"0000000000000003","name":"db","start_time":1,"end_time":2,"sql":{"user":"u"},"namespace":"remote"},{"id":"0000000000000004","name":"host","start_time":1,"namespace":"remote"},{"id":"0000000000000005","name":"traced","start_time":1,"end_time":2,"http":{"request":{"traced":true}},"namespace":"remote"},{"id":"0000000000000006","name":"traced","start_time":1,"end_time":2,"namespace":"remote","traced":true},{"id":"0000000000000007","name":"here","start_time":1,"end_time":2,"namespace":"aws"},{"id":"0000000000000008","name":"local","start_time":1,"end_time":2,"namespace":"local"}]}"#,
            r#"{"id":"0000000000000009","name":"here","start_time":1,"end_time":2,"parent_id":"0000000000000007",`T`,"origin":"AWS::Lambda"}"#,
            r#"{"id":`I`,"name":"DynamoDB","start_time":1,"end_time":2,"parent_id":"0000000000000002","inferred":true,"http":{"response":{"status":400}},"aws":{"table_name":"t"},"error":true,"cause":"abcdefghijklmnop",`T`,"origin":"AWS::DynamoDB::Table"}"#,
            r#"{"id":`I`,"name":"db","start_time":1,"end_time":2,"parent_id":"0000000000000003","inferred":true,"sql":{"user":"u"},`T`,"origin":"Database::SQL"}"#,
            r#"{"id":`I`,"name":"host","start_time":1,"in_progress":true,"parent_id":"0000000000000004","inferred":true,`T`}"#,
        ],
        Some(2_000),
    );
}

#[test]
fn orphans_are_entries_of_their_own_or_hidden() {
    let documents = [
        r#"{`T`,"type":"subsegment","id":"0000000000000003","parent_id":"0000000000000002","name":"c","start_time":1,"end_time":2}"#,
        r#"{`T`,"type":"subsegment","id":"0000000000000002","parent_id":"0000000000000001","name":"b","start_time":1,"end_time":2,"namespace":"remote"}"#,
    ];
    let orphan = r#"{"id":"0000000000000002","name":"b","start_time":1,"end_time":2,"parent_id":"0000000000000001",`T`,"type":"subsegment","namespace":"remote","subsegments":[{"id":"0000000000000003","name":"c","start_time":1,"end_time":2}]}"#;
    let inferred = r#"{"id":`I`,"name":"b","start_time":1,"end_time":2,"parent_id":"0000000000000002","inferred":true,`T`}"#;
    check(&documents, &[orphan, inferred], None);
    check_with(Orphans::Hidden, &documents, &[], None);
}

#[test]
fn circles_of_parents_are_cut_at_the_smallest_id() {
    check(
        &[
            r#"{`T`,"type":"subsegment","id":"0000000000000007","parent_id":"0000000000000007","name":"own","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000009","parent_id":"0000000000000003","name":"tail","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000003","parent_id":"0000000000000002","name":"c","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000002","parent_id":"0000000000000004","name":"b","start_time":1,"end_time":2,"subsegments":[{"id":"0000000000000005","name":"inner","start_time":1,"end_time":2}]}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000004","parent_id":"0000000000000003","name":"d","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000006","parent_id":"0000000000000008","name":"f","start_time":1,"end_time":2,"subsegments":[{"id":"0000000000000008","name":"inner","start_time":1,"end_time":2}]}"#,
        ],
        &[
            r#"{"id":"0000000000000002","name":"b","start_time":1,"end_time":2,"parent_id":"0000000000000004",`T`,"type":"subsegment","subsegments":[{"id":"0000000000000005","name":"inner","start_time":1,"end_time":2},{"id":"0000000000000003","name":"c","start_time":1,"end_time":2,"subsegments":[{"id":"0000000000000004","name":"d","start_time":1,"end_time":2},{"id":"0000000000000009","name":"tail","start_time":1,"end_time":2}]}]}"#,
            r#"{"id":"0000000000000006","name":"f","start_time":1,"end_time":2,"parent_id":"0000000000000008",`T`,"type":"subsegment","subsegments":[{"id":"0000000000000008","name":"inner","start_time":1,"end_time":2}]}"#,
            r#"{"id":"0000000000000007","name":"own","start_time":1,"end_time":2,"parent_id":"0000000000000007",`T`,"type":"subsegment"}"#,
        ],
        None,
    );
}

#[test]
fn ids_given_twice_lose_nothing() {
    check(
        &[
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"subsegments":[{"id":"0000000000000002","name":"x","start_time":1,"end_time":2,"namespace":"remote"},{"id":"0000000000000002","name":"y","start_time":1,"end_time":2,"namespace":"remote"},{"id":"0000000000000001","name":"z","start_time":1,"end_time":2}]}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000003","parent_id":"0000000000000002","name":"b","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000004","parent_id":"0000000000000001","name":"c","start_time":1,"end_time":2}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"end_time":3,`T`,"subsegments":[{"id":"0000000000000002","name":"x","start_time":1,"end_time":2,"namespace":"remote","subsegments":[{"id":"0000000000000003","name":"b","start_time":1,"end_time":2}]},{"id":"0000000000000002","name":"y","start_time":1,"end_time":2,"namespace":"remote"},{"id":"0000000000000001","name":"z","start_time":1,"end_time":2},{"id":"0000000000000004","name":"c","start_time":1,"end_time":2}]}"#,
            r#"{"id":`I`,"name":"x","start_time":1,"end_time":2,"parent_id":"0000000000000002","inferred":true,`T`}"#,
        ],
        Some(2_000),
    );
}

#[test]
fn a_document_is_the_parent_before_a_nested_subsegment_of_its_id() {
    check(
        &[
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"subsegments":[{"id":"0000000000000005","name":"x","start_time":1,"end_time":2}]}"#,
            r#"{`T`,"id":"0000000000000005","name":"b","start_time":1,"end_time":2}"#,
            r#"{`T`,"type":"subsegment","id":"0000000000000003","parent_id":"0000000000000005","name":"c","start_time":1,"end_time":2}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"end_time":3,`T`,"subsegments":[{"id":"0000000000000005","name":"x","start_time":1,"end_time":2}]}"#,
            r#"{"id":"0000000000000005","name":"b","start_time":1,"end_time":2,`T`,"subsegments":[{"id":"0000000000000003","name":"c","start_time":1,"end_time":2}]}"#,
        ],
        Some(2_000),
    );
}

#[test]
fn durations_count_what_documents_in_progress_mention() {
    check(
        &[
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"in_progress":true,"subsegments":[{"id":"0000000000000002","name":"x","start_time":1,"end_time":4.5}]}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"in_progress":true,`T`,"subsegments":[{"id":"0000000000000002","name":"x","start_time":1,"end_time":4.5}]}"#,
        ],
        Some(3_500),
    );
    check(&[], &[], None);
}

/// A trace exported has the subsegments nested in their segment that were sent alone.
#[test]
fn subsegments_of_an_open_segment_count_alike_nested_and_alone() {
    let duration = |texts: &[&str]| {
        let texts = texts
            .iter()
            .map(|text| text.replace("`T`", &format!(r#""trace_id":"{TRACE}""#)));
        let documents: Vec<Document> = texts.map(|text| document(&text)).collect();
        let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
        let heads: Vec<crate::Head> = documents
            .iter()
            .map(|document| {
                let segment = Segment::parse(&document.text, &DocumentLimits::default());
                segment.unwrap().head()
            })
            .collect();
        let summary = crate::Summary::of(trace_id(), &heads, 1);
        assert_eq!(trace.duration, Some(summary.end.since(summary.start)));
        trace.duration.unwrap().as_millis()
    };
    let check = |open: &str, expected: u128| {
        let root = |below: &str| {
            format!(
                r#"{{`T`,"id":"0000000000000001","name":"a","start_time":1,{open},"subsegments":[{below}]}}"#
            )
        };
        let nested = root(
            r#"{"id":"0000000000000002","name":"b","start_time":1,"end_time":2,"subsegments":[{"id":"0000000000000003","name":"c","start_time":1,"end_time":4}]}"#,
        );
        assert_eq!(duration(&[&nested]), expected);
        let alone = |id: u8, parent: u8, end: u8| {
            format!(
                r#"{{`T`,"type":"subsegment","id":"000000000000000{id}","parent_id":"000000000000000{parent}","name":"s","start_time":1,"end_time":{end}}}"#
            )
        };
        let parts = [root(""), alone(2, 1, 2), alone(3, 2, 4)];
        assert_eq!(duration(&[&parts[0], &parts[1], &parts[2]]), expected);
        let half = root(r#"{"id":"0000000000000002","name":"b","start_time":1,"end_time":2}"#);
        assert_eq!(duration(&[&half, &parts[2]]), expected);
    };
    check(r#""in_progress":true"#, 3_000);
    // What has ended ended when it says.
    check(r#""end_time":1.5"#, 500);
}

#[test]
fn of_several_copies_the_winner_is_shown_and_broken_ones_are_counted() {
    let text = |name: &str, end: &str| {
        format!(
            r#"{{"trace_id":"{TRACE}","id":"0000000000000001","name":"{name}","start_time":1{end}}}"#
        )
    };
    let started = document(&text("started", ",\"in_progress\":true"));
    let ended = document(&text("ended", ",\"end_time\":2"));
    let broken = Document {
        segment_id: SegmentId(2),
        text: text("broken", "")[..60].to_owned(),
        ..ended.clone()
    };
    let untimed = Document {
        segment_id: SegmentId(3),
        text: r#"{"id":"0000000000000003"}"#.to_owned(),
        ..ended.clone()
    };
    let started = Document {
        stamp: 9,
        ..started
    };
    let documents = [started, broken, ended, untimed];
    let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
    assert_eq!(trace.segments.len(), 1);
    assert_eq!(trace.segments[0].name(), "ended");
    assert_eq!(trace.n_unreadable, 2);
}

#[test]
fn accessors_read_what_root_causes_need() {
    let text = format!(
        r#"{{"trace_id":"{TRACE}","id":"0000000000000001","parent_id":"00000000000000aa","name":"a","start_time":1,"end_time":3,
        "origin":"AWS::EC2::Instance","aws":{{"account_id":"123456789012"}},"http":{{"response":{{"status":500}}}},"subsegments":[
        {{"id":"0000000000000002","name":"DynamoDB","namespace":"aws","start_time":1.5,"end_time":2,"fault":true,"aws":{{"table_name":"t"}},
        "cause":{{"exceptions":[{{"id":"3e9e11e3ab3fba60","type":"Oops","message":"it \"broke\"","remote":true}},null,{{"id":"x"}}]}}}}]}}"#
    );
    let documents = [document(&text)];
    let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
    let sent = trace
        .segments
        .iter()
        .find(|segment| !segment.inferred())
        .unwrap();
    assert_eq!(sent.kind(), CompiledKind::Sent);
    assert_eq!(sent.parent_id(), Some(SegmentId(0xaa)));
    assert_eq!(sent.service_name(), "a");
    assert_eq!(sent.service_type().as_deref(), Some("AWS::EC2::Instance"));
    assert_eq!(sent.account_id().as_deref(), Some("123456789012"));
    assert_eq!(sent.flags(), Flags::FAULT);
    assert_eq!(
        (sent.start(), sent.end()),
        (Timestamp::from_secs(1), Timestamp::from_secs(3))
    );
    assert_eq!(sent.exceptions(), []);
    let call = &sent.subsegments()[0];
    assert_eq!(
        (call.id(), call.name().as_ref()),
        (SegmentId(2), "DynamoDB")
    );
    assert_eq!(call.namespace().as_deref(), Some("aws"));
    assert_eq!(call.start(), Timestamp::from_nanos(1_500_000_000));
    assert_eq!(call.flags(), Flags::FAULT);
    let oops = Exception {
        name: Some("Oops".to_owned()),
        message: Some("it \"broke\"".to_owned()),
        remote: true,
    };
    assert_eq!(call.exceptions(), [oops, Exception::default()]);
    let inferred = trace
        .segments
        .iter()
        .find(|segment| segment.inferred())
        .unwrap();
    assert_eq!(inferred.parent_id(), Some(SegmentId(2)));
    assert_eq!(
        (inferred.name().as_ref(), inferred.service_name().as_ref()),
        ("DynamoDB", "t")
    );
    assert_eq!(inferred.origin().as_deref(), Some("AWS::DynamoDB::Table"));
    assert_eq!(inferred.exceptions().len(), 2);
}

#[test]
fn inferred_ids_are_stable_and_taken_by_nothing_else() {
    let text = |n: u64| {
        format!(
            r#"{{"trace_id":"{TRACE}","id":"0000000000000001","name":"a","start_time":1,"end_time":3,"subsegments":[
            {{"id":"0000000000000002","name":"x","namespace":"remote","start_time":1,"end_time":2}},
            {{"id":"{n:016x}","name":"y","start_time":1,"end_time":2}}]}}"#
        )
    };
    let inferred_id = |n: u64| {
        let documents = [document(&text(n))];
        let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
        trace
            .segments
            .iter()
            .find(|segment| segment.inferred())
            .unwrap()
            .id()
            .0
    };
    let id = inferred_id(3);
    assert_eq!(inferred_id(4), id);
    assert_eq!(inferred_id(id), id.wrapping_add(1));
}

/// Returns a chain of subsegments sent alone, the last below a segment, outermost last.
fn chain(n: u64) -> Vec<Document> {
    let mut documents: Vec<Document> = (2..=n)
        .rev()
        .map(|id| {
            document(&format!(
                r#"{{"trace_id":"{TRACE}","type":"subsegment","id":"{id:016x}","parent_id":"{:016x}","name":"a","start_time":1,"end_time":2}}"#,
                id - 1
            ))
        })
        .collect();
    documents.push(document(&format!(
        r#"{{"trace_id":"{TRACE}","id":"0000000000000001","name":"a","start_time":1,"end_time":2}}"#
    )));
    documents
}

#[test]
fn chains_of_any_length_stay_readable() {
    let documents = chain(100_000);
    let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
    assert_eq!(trace.segments.len(), 1);
    let text = rendered(&trace).remove(0);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(text.matches("\"id\":").count(), 100_000);
    let mut level = &value;
    let mut n_levels = 0;
    while let Some(next) = level["subsegments"].get(0) {
        level = next;
        n_levels += 1;
    }
    // A subsegment's own members may be nested seven levels deep there.
    assert_eq!(n_levels, 60);
    let deepest = &value.pointer(&"/subsegments/0".repeat(59)).unwrap()["subsegments"];
    assert_eq!(deepest.as_array().unwrap().len(), 100_000 - 60);
    assert_eq!(deepest[0].get("parent_id"), None);
    assert_eq!(deepest[1]["parent_id"], "000000000000003d");
}

#[test]
fn deeply_nested_documents_move_up_as_far_as_they_must() {
    let mut documents = chain(40);
    let metadata = format!("{}{}", "[".repeat(100), "]".repeat(100));
    documents.push(document(&format!(
        r#"{{"trace_id":"{TRACE}","type":"subsegment","id":"00000000000000ff","parent_id":"0000000000000028","name":"a","start_time":0,"end_time":2,"metadata":{metadata}}}"#
    )));
    let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
    let text = rendered(&trace).remove(0);
    assert_eq!(crate::json::nesting(&text), 127);
    assert!(text.contains("\"parent_id\":\"0000000000000028\""));
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

#[test]
fn nested_documents_count_with_their_own_levels() {
    // Four documents of thirty levels each, every one below the innermost subsegment of the last.
    let nested = |first: u64| {
        let inner = format!(
            r#"{{"id":"{:016x}","name":"a","start_time":1,"end_time":2}}"#,
            first + 29
        );
        let nested = (first..first + 29).rev().fold(inner, |inner, id| {
            format!(
                r#"{{"id":"{id:016x}","name":"a","start_time":1,"end_time":2,"subsegments":[{inner}]}}"#
            )
        });
        let parent_id = first - 1;
        let identity = format!(
            r#"{{"trace_id":"{TRACE}","type":"subsegment","parent_id":"{parent_id:016x}","#
        );
        document(&nested.replacen('{', &identity, 1))
    };
    let mut documents = chain(1);
    documents.extend([2, 32, 62, 92].map(nested));
    let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
    assert_eq!(trace.segments.len(), 1);
    let text = rendered(&trace).remove(0);
    assert_eq!(text.matches("\"id\":").count(), 121);
    assert_eq!(text.matches("\"parent_id\":").count(), 2);
    let n_levels = crate::json::nesting(&text);
    assert!((121..=127).contains(&n_levels), "{n_levels}");
}

#[test]
fn a_segment_is_no_call_itself() {
    check(
        &[
            r#"{`T`,"id":"0000000000000001","name":"a","start_time":1,"end_time":3,"namespace":"remote"}"#,
        ],
        &[
            r#"{"id":"0000000000000001","name":"a","start_time":1,"end_time":3,`T`,"namespace":"remote"}"#,
        ],
        Some(2_000),
    );
}

#[test]
fn many_subsegments_of_one_parent_compile() {
    let documents: Vec<Document> = (2..50_000_u64)
        .map(|id| {
            document(&format!(
                r#"{{"trace_id":"{TRACE}","type":"subsegment","id":"{id:016x}","parent_id":"0000000000000001","name":"a","start_time":{},"end_time":2}}"#,
                100_000 - id
            ))
        })
        .chain(chain(1))
        .collect();
    let trace = Trace::compile(trace_id(), &documents, Orphans::Visible);
    let subsegments = trace.segments[0].subsegments();
    assert_eq!(subsegments.len(), 49_998);
    assert!(subsegments.is_sorted_by_key(Node::start));
}
