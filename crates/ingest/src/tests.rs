//! Verdicts, one literal case each, over a store in memory.

use std::borrow::Cow;

use model::{Tenant, Timestamp, TraceId};
use storage::TraceStore;
use storage::memory::MemoryStore;

use crate::{AcceptError, Limits, Verdicts, accept, n_entities};

const TRACE: &str = "1-581cf771-a006649127e371903a2de979";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn accept_all(store: &MemoryStore, documents: &[&str]) -> Result<Verdicts, AcceptError> {
    let limits = Limits {
        n_documents_max: 50,
        document_bytes_max: 65_536,
    };
    let documents = documents
        .iter()
        .map(|document| Cow::Borrowed(*document))
        .collect();
    block_on(accept(
        store,
        Tenant(0),
        documents,
        &limits,
        Timestamp::from_secs(1),
    ))
}

fn good(id: u64) -> String {
    format!(r#"{{"trace_id":"{TRACE}","id":"{id:016x}","name":"a","start_time":1,"end_time":2}}"#)
}

/// Checks id, code and beginning of the message of the only refusal.
fn check(document: &str, id: Option<&str>, code: &str, message: &str) {
    let verdicts = accept_all(&MemoryStore::default(), &[document]).unwrap();
    let [refusal] = verdicts.refused.as_slice() else {
        panic!("{document}: {verdicts:?}")
    };
    assert_eq!(refusal.id.as_deref(), id, "{document}");
    assert_eq!(refusal.code, code, "{document}");
    assert!(refusal.message.starts_with(message), "{}", refusal.message);
    assert_eq!(verdicts.n_accepted, 0);
}

#[test]
fn refusals_carry_id_code_and_cause() {
    let id = "70de5b6f19ff9a0b";
    check(
        &format!(r#"{{"trace_id":"1-x","id":"{id}","name":"a","start_time":1,"end_time":2}}"#),
        Some(id),
        "InvalidTraceId",
        "Invalid segment. ErrorCode: InvalidTraceId, Cause: ",
    );
    check(
        &format!(
            r#"{{"trace_id":"{TRACE}","id":"{id}","type":"subsegment","name":"a","start_time":1,"end_time":2}}"#
        ),
        Some(id),
        "MissingParentId",
        "Invalid subsegment. ErrorCode: MissingParentId, Cause: ",
    );
    check(
        "not json",
        None,
        "InvalidSegment",
        "Invalid segment. ErrorCode: InvalidSegment, Cause: ",
    );
    check(
        "[]",
        None,
        "MissingId",
        "Invalid segment. ErrorCode: MissingId",
    );
}

#[test]
fn good_documents_among_bad_ones_are_taken() {
    let store = MemoryStore::default();
    let (one, two) = (good(1), good(2));
    let verdicts = accept_all(&store, &[&one, "{", &two]).unwrap();
    assert_eq!((verdicts.n_accepted, verdicts.refused.len()), (2, 1));
    let stored = block_on(store.documents(Tenant(0), TraceId::parse(TRACE).unwrap())).unwrap();
    let mut texts: Vec<String> = stored
        .documents
        .into_iter()
        .map(|document| document.text)
        .collect();
    texts.sort();
    assert_eq!(texts, [one, two]);
}

#[test]
fn an_array_stands_for_its_elements() {
    let array = format!("\n[{}, {}, 7]", good(1), good(2));
    let verdicts = accept_all(&MemoryStore::default(), &[&array]).unwrap();
    assert_eq!((verdicts.n_accepted, verdicts.refused.len()), (2, 1));
}

#[test]
fn refusals_name_their_document_and_its_trace() {
    let array = format!(
        r#"[{},{{"trace_id":"{TRACE}","id":"x","user":"u"}}]"#,
        good(1)
    );
    let two = format!(r#"{{"trace_id":"{TRACE}","id":"70de5b6f19ff9a0b","#);
    let verdicts = accept_all(&MemoryStore::default(), &[&good(2), &array, &two]).unwrap();
    let trace_id = TraceId::parse(TRACE).ok();
    let told: Vec<_> = verdicts
        .refused
        .iter()
        .map(|refusal| {
            (
                refusal.document_idx,
                refusal.trace_id,
                refusal.excerpt.as_str(),
            )
        })
        .collect();
    let first = format!(r#"{{"trace_id":"{TRACE}","id":"*","user":"*"}}"#);
    let second = format!(r#"{{"trace_id":"{TRACE}","id":"70de5b6f19ff9a0b",..."#);
    assert_eq!(
        told,
        [
            (1, trace_id, first.as_str()),
            (2, trace_id, second.as_str())
        ]
    );
}

#[test]
fn arrays_count_for_their_elements() {
    let count = |documents: &[&str]| {
        let documents: Vec<_> = documents.iter().map(|text| Cow::Borrowed(*text)).collect();
        n_entities(&documents)
    };
    assert_eq!(count(&[]), 0);
    assert_eq!(count(&["{}", "no json", "[]", "[1"]), 4);
    assert_eq!(count(&["{}", " [1, [2, 3], {}]"]), 4);
}

#[test]
fn too_many_documents_are_refused_as_a_call() {
    let documents: Vec<String> = (0..51).map(good).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let error = accept_all(&MemoryStore::default(), &documents).unwrap_err();
    assert_eq!(error.to_string(), "Exceeding maximum segment count: 50");
}

#[test]
fn repeats_are_accepted() {
    let store = MemoryStore::default();
    let one = good(1);
    for _ in 0..2 {
        assert_eq!(accept_all(&store, &[&one]).unwrap().n_accepted, 1);
    }
}
