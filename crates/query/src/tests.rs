//! Pages over a store in memory: their shape, their ends, and that they add up.

use std::sync::Arc;
use std::time::Duration;

use model::{DocumentLimits, Orphans, Segment, Tenant, Timestamp};
use proptest::prelude::*;
use protocol::shapes::{
    BatchGetTracesRequest, GetTraceSummariesRequest, GetTraceSummariesResponse, SamplingStrategy,
    TimeRangeType,
};
use protocol::token::TokenKey;
use serde_json::Value;
use storage::memory::MemoryStore;
use storage::{NewDocument, TraceStore};

use crate::{BatchOptions, QueryError, SummariesOptions, batch_get, summaries};

const TENANT: Tenant = Tenant(0);
const KEY: TokenKey = TokenKey([7; 32]);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn trace(number: u64) -> String {
    format!("1-6afd79c0-{number:024x}")
}

fn put(store: &MemoryStore, texts: &[String]) {
    let limits = DocumentLimits::default();
    let document = |text: &String| {
        let segment = Segment::parse(text, &limits).unwrap();
        NewDocument {
            trace_id: segment.trace_id(),
            head: segment.head(),
            text: text.clone(),
        }
    };
    let batch = texts.iter().map(document).collect();
    block_on(store.put(TENANT, batch, Timestamp::from_secs(9))).unwrap();
}

fn segment(number: u64, id: u64, members: &str) -> String {
    let trace = trace(number);
    format!(
        r#"{{"trace_id":"{trace}","id":"{id:016x}","name":"s","start_time":{},{members}}}"#,
        100 + number
    )
}

fn done(number: u64, id: u64) -> String {
    segment(number, id, &format!(r#""end_time":{}"#, 101 + number))
}

fn batch(
    store: &MemoryStore,
    trace_ids: &[String],
    page_bytes: usize,
    next_token: Option<&str>,
) -> Result<Value, QueryError> {
    let request = BatchGetTracesRequest {
        trace_ids: trace_ids.to_vec(),
        next_token: next_token.map(str::to_owned),
    };
    let options = BatchOptions {
        n_trace_ids_max: 5,
        page_bytes,
        orphans: Orphans::Visible,
        trace_bytes_max: 0,
        token_key: KEY,
    };
    block_on(async {
        let mut page = batch_get(Arc::new(store.clone()), TENANT, &request, options)?;
        let mut body = Vec::new();
        while let Some(chunk) = page.next().await? {
            body.extend(chunk);
        }
        Ok(serde_json::from_slice(&body).unwrap())
    })
}

/// Returns trace and segment ids of a page, in order.
fn segments(page: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for trace in page["Traces"].as_array().unwrap() {
        for segment in trace["Segments"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            found.push((text(&trace["Id"]), text(&segment["Id"])));
        }
    }
    found
}

#[test]
fn one_page_looks_as_the_services_answer() {
    let store = MemoryStore::default();
    put(&store, &[done(1, 1)]);
    let page = batch(&store, &[trace(1), trace(2)], 1 << 20, None).unwrap();
    assert_eq!(page["Traces"].as_array().unwrap().len(), 1);
    assert_eq!(page["UnprocessedTraceIds"], serde_json::json!([]));
    assert!(page.get("NextToken").is_none());
    assert_eq!(page["Traces"][0]["Duration"], 1.0);
    assert_eq!(page["Traces"][0]["LimitExceeded"], false);
}

#[test]
fn ids_in_both_forms_and_twice_are_one_and_ids_that_are_none_are_unprocessed() {
    let store = MemoryStore::default();
    put(&store, &[done(1, 1)]);
    let w3c = trace(1).replace("1-", "").replace('-', "");
    let page = batch(
        &store,
        &[w3c, trace(1), "nonsense".to_owned()],
        1 << 20,
        None,
    )
    .unwrap();
    assert_eq!(segments(&page).len(), 1);
    assert_eq!(page["Traces"][0]["Id"], trace(1));
    assert_eq!(page["UnprocessedTraceIds"], serde_json::json!(["nonsense"]));
}

#[test]
fn too_many_ids_are_refused_with_the_services_words() {
    let ids: Vec<String> = (0..6).map(trace).collect();
    let error = batch(&MemoryStore::default(), &ids, 1, None).unwrap_err();
    assert_eq!(error.to_string(), "Exceeding maximum query size: 5");
}

#[test]
fn a_token_is_good_for_its_request_only() {
    let store = MemoryStore::default();
    put(&store, &[done(1, 1), done(1, 2), done(2, 1)]);
    let page = batch(&store, &[trace(1)], 1, None).unwrap();
    let token = page["NextToken"].as_str().unwrap();
    assert!(batch(&store, &[trace(1)], 1, Some(token)).is_ok());
    for (ids, token) in [
        (vec![trace(2)], token),
        (vec![trace(1)], "x"),
        (vec![trace(1)], &token[1..]),
    ] {
        assert!(matches!(
            batch(&store, &ids, 1, Some(token)),
            Err(QueryError::Invalid(_))
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Pages put together are what was there at first, also while more arrives and documents change;
    /// every page makes progress.
    #[test]
    fn pages_put_together_are_the_whole_while_more_arrives(
        first in prop::collection::vec((0..3_u64, 0..40_u64, any::<bool>(), any::<bool>()), 1..40),
        later in prop::collection::vec((0..3_u64, 0..40_u64), 0..20),
        page_bytes in 1..900_usize,
    ) {
        let store = MemoryStore::default();
        let call = |id: u64| format!(r#""subsegments":[{{"id":"{:016x}","name":"r","namespace":"remote","start_time":100,"end_time":101}}]"#, 1_000 + id);
        let text = |(number, id, finished, calls): (u64, u64, bool, bool)| {
            let state = if finished { r#""end_time":200"#.to_owned() } else { r#""in_progress":true"#.to_owned() };
            let members = if calls { format!("{state},{}", call(id)) } else { state };
            segment(number, id, &members)
        };
        put(&store, &first.into_iter().map(text).collect::<Vec<_>>());
        let ids = [trace(0), trace(1), trace(2)];
        let whole = segments(&batch(&store, &ids, usize::MAX, None).unwrap());
        let mut paged = Vec::new();
        let mut token: Option<String> = None;
        let mut later = later.into_iter();
        loop {
            let page = batch(&store, &ids, page_bytes, token.as_deref()).unwrap();
            let found = segments(&page);
            paged.extend(found.iter().cloned());
            let Some(next) = page["NextToken"].as_str() else { break };
            prop_assert!(!found.is_empty());
            token = Some(next.to_owned());
            if let Some((number, id)) = later.next() {
                // New segments, some of which are the called services' own.
                let parent = format!(r#""end_time":150,"parent_id":"{:016x}""#, 1_000 + id);
                put(&store, &[segment(number, 5_000 + id, &parent)]);
            }
        }
        prop_assert_eq!(paged, whole);
    }
}

fn list(
    store: &MemoryStore,
    change: impl FnOnce(&mut GetTraceSummariesRequest),
) -> Result<GetTraceSummariesResponse, QueryError> {
    let mut request = GetTraceSummariesRequest {
        start_time: Timestamp::from_secs(0),
        end_time: Timestamp::from_secs(1_000),
        time_range_type: TimeRangeType::TraceId,
        sampling: false,
        sampling_strategy: None,
        filter_expression: None,
        next_token: None,
    };
    change(&mut request);
    let options = SummariesOptions {
        groups: Arc::new(|_| None),
        n_summaries_max: 2,
        n_scanned_max: 1_000,
        slow_trace: Duration::from_millis(500),
        token_key: KEY,
    };
    block_on(summaries(store, TENANT, &request, &options))
}

fn ids(page: &GetTraceSummariesResponse) -> Vec<&str> {
    page.trace_summaries
        .iter()
        .map(|summary| summary.id.as_str())
        .collect()
}

#[test]
fn lists_are_newest_first_and_go_on() {
    let store = MemoryStore::default();
    put(&store, &[done(1, 1), done(2, 1), done(3, 1)]);
    let first = list(&store, |_| {}).unwrap();
    assert_eq!(ids(&first), [trace(3), trace(2)]);
    assert_eq!(first.traces_processed_count, 2);
    assert_eq!(first.approximate_time.unwrap().0, Timestamp::from_secs(102));
    // Grafana's data source changes the sampling strategy between the pages of a chain.
    let rest = list(&store, |request| {
        request.next_token = first.next_token.clone();
        request.sampling = true;
        request.sampling_strategy = Some(SamplingStrategy {
            name: None,
            value: Some(1.0),
        });
    });
    let rest = rest.unwrap();
    assert_eq!(ids(&rest), [trace(1)]);
    assert!(rest.next_token.is_none());
    let other_window = list(&store, |request| {
        request.next_token = first.next_token.clone();
        request.end_time = Timestamp::from_secs(999);
    });
    assert!(matches!(other_window, Err(QueryError::Invalid(_))));
}

#[test]
fn a_window_must_not_end_before_it_starts_and_a_filter_must_be_one() {
    let store = MemoryStore::default();
    let refused = list(&store, |request| request.end_time = Timestamp::ZERO);
    assert!(refused.is_ok(), "an empty window is one");
    let refused = list(&store, |request| {
        request.start_time = Timestamp::from_secs(2_000);
    });
    assert!(matches!(refused, Err(QueryError::Invalid(_))));
    let refused = list(&store, |request| {
        request.filter_expression = Some("fault or".to_owned());
    });
    let Err(QueryError::Invalid(message)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        message.starts_with("Error Location: line 1, position 9"),
        "{message}"
    );
    assert!(
        list(&store, |request| request.filter_expression =
            Some("  ".to_owned()))
        .is_ok()
    );
}

#[test]
fn sampling_keeps_a_share_and_always_the_same_one() {
    let store = MemoryStore::default();
    put(
        &store,
        &(0..400).map(|number| done(number, 1)).collect::<Vec<_>>(),
    );
    let sampled = |value| {
        let strategy = SamplingStrategy {
            name: None,
            value: Some(value),
        };
        let mut found = Vec::new();
        let mut next_token = None;
        loop {
            let page = list(&store, |request| {
                request.sampling = true;
                request.sampling_strategy = Some(strategy);
                request.next_token = next_token.clone();
            });
            let page = page.unwrap();
            found.extend(ids(&page).into_iter().map(str::to_owned));
            next_token = page.next_token;
            if next_token.is_none() {
                return found;
            }
        }
    };
    let half = sampled(0.5);
    assert!((120..280).contains(&half.len()), "{}", half.len());
    assert_eq!(half, sampled(0.5));
    assert_eq!(sampled(0.0).len(), 0);
    assert_eq!(sampled(1.0).len(), 400);
}

#[test]
fn events_say_when_they_matched() {
    let store = MemoryStore::default();
    put(&store, &[segment(1, 1, r#""end_time":300"#)]);
    let page = list(&store, |request| {
        request.time_range_type = TimeRangeType::Event;
        request.start_time = Timestamp::from_secs(250);
    });
    let page = page.unwrap();
    assert_eq!(
        page.trace_summaries[0].matched_event_time.unwrap().0,
        Timestamp::from_secs(250)
    );
    // The root took 199 seconds: slow enough for a root cause.
    assert_eq!(page.trace_summaries[0].response_time_root_causes.len(), 1);
}
