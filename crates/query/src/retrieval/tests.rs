use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use model::{DocumentLimits, Segment, Tenant, Timestamp};
use protocol::shapes::{
    ListRetrievedTracesRequest, ListRetrievedTracesResponse, RetrievalStatus,
    StartTraceRetrievalRequest, TraceFormat,
};
use protocol::token::TokenKey;
use storage::control::memory::MemoryControl;
use storage::memory::MemoryStore;
use storage::{NewDocument, TraceStore};

use super::{RetrievalOptions, Retrievals, retrieved_traces};
use crate::QueryError;

const TENANT: Tenant = Tenant(0);
const NOW: Timestamp = Timestamp::from_secs(1_795_000_000);
const TOKEN: &str = "a-token";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.build().unwrap().block_on(future)
}

fn trace_id(trace: u32) -> String {
    format!("1-6afd79c0-{trace:024x}")
}

fn put(store: &MemoryStore, text: &str) {
    let limits = DocumentLimits::default();
    let segment = Segment::parse(text, &limits).unwrap();
    let document = NewDocument {
        trace_id: segment.trace_id(),
        head: segment.head(),
        text: text.to_owned(),
    };
    block_on(store.put(TENANT, vec![document], NOW)).unwrap();
}

fn segment(trace: u32, id: u64) -> String {
    format!(
        r#"{{"trace_id":"{}","id":"{id:016x}","name":"shop","start_time":1795000000.000000001,"end_time":1795000001.5,"user":"u"}}"#,
        trace_id(trace)
    )
}

fn request(traces: &[String], from: u64, to: u64) -> StartTraceRetrievalRequest {
    StartTraceRetrievalRequest {
        trace_ids: traces.to_vec(),
        start_time: Timestamp::from_secs(from),
        end_time: Timestamp::from_secs(to),
    }
}

struct Fixture {
    store: MemoryStore,
    control: Arc<MemoryControl>,
    retrievals: Retrievals,
}

impl Fixture {
    fn new() -> Self {
        let control = Arc::new(MemoryControl::default());
        let retrievals = Retrievals::open(control.clone(), TENANT, NOW).unwrap();
        Self {
            store: MemoryStore::default(),
            control,
            retrievals,
        }
    }

    fn start(&self, traces: &[String]) {
        let request = request(traces, 1_794_999_000, 1_795_000_500);
        self.retrievals.start(&request, TOKEN, NOW).unwrap();
    }

    fn list_at(
        &self,
        format: Option<TraceFormat>,
        next_token: Option<String>,
        page_bytes: usize,
        now: Timestamp,
    ) -> Result<ListRetrievedTracesResponse, QueryError> {
        let request = ListRetrievedTracesRequest {
            retrieval_token: TOKEN.to_owned(),
            trace_format: format,
            next_token,
        };
        let options = RetrievalOptions {
            page_bytes,
            token_key: TokenKey([1; 32]),
        };
        block_on(retrieved_traces(
            &self.store,
            TENANT,
            &self.retrievals,
            &request,
            &options,
            now,
        ))
    }

    /// Returns trace and document ids of every page.
    fn pages(&self, page_bytes: usize) -> Vec<Vec<(String, Vec<String>)>> {
        let mut pages = Vec::new();
        let mut next_token = None;
        loop {
            let page = self.list_at(None, next_token, page_bytes, NOW).unwrap();
            assert_eq!(page.retrieval_status, RetrievalStatus::Complete);
            let traces = page.traces.into_iter().map(|trace| {
                let ids = trace.spans.into_iter().map(|span| span.id);
                (trace.id, ids.collect::<Vec<_>>())
            });
            pages.push(traces.collect());
            next_token = page.next_token;
            if next_token.is_none() {
                return pages;
            }
        }
    }
}

#[test]
fn pages_hold_five_traces_of_a_hundred_documents() {
    let fixture = Fixture::new();
    for trace in 1..=7 {
        put(&fixture.store, &segment(trace, 1));
    }
    for id in 2..=250 {
        put(&fixture.store, &segment(3, id));
    }
    let mut traces: Vec<String> = (1..=7).map(trace_id).collect();
    traces.insert(1, trace_id(99));
    traces.push(trace_id(1));
    fixture.start(&traces);
    let pages = fixture.pages(usize::MAX);
    let counts: Vec<Vec<usize>> = pages
        .iter()
        .map(|page| page.iter().map(|(_, ids)| ids.len()).collect())
        .collect();
    assert_eq!(counts, [vec![1, 1, 100], vec![100], vec![50, 1, 1, 1, 1]]);
    let small = fixture.pages(1);
    assert_eq!(small.len(), 256, "a document a page");
    let ids = |pages: Vec<Vec<(String, Vec<String>)>>| -> Vec<(String, String)> {
        let traces = pages.into_iter().flatten();
        traces
            .flat_map(|(trace, ids)| ids.into_iter().map(move |id| (trace.clone(), id)))
            .collect()
    };
    assert_eq!(ids(small), ids(pages));
}

#[test]
fn traces_outside_the_window_are_left_out() {
    let check = |from: u64, to: u64, n_traces: usize| {
        let fixture = Fixture::new();
        put(&fixture.store, &segment(1, 1));
        let request = request(&[trace_id(1)], from, to);
        fixture.retrievals.start(&request, TOKEN, NOW).unwrap();
        let page = fixture.list_at(None, None, usize::MAX, NOW).unwrap();
        assert_eq!(page.traces.len(), n_traces, "{from} {to}");
    };
    check(1_794_999_000, 1_794_999_999, 0);
    check(1_794_999_000, 1_795_000_001, 1);
    check(1_795_000_001, 1_795_000_009, 1);
    check(1_795_000_002, 1_795_000_009, 0);
}

#[test]
fn a_retrieval_ends_and_is_forgotten() {
    let fixture = Fixture::new();
    put(&fixture.store, &segment(1, 1));
    fixture.start(&[trace_id(1)]);
    let later = |minutes: u64| Timestamp::from_secs(1_795_000_000 + minutes * 60);
    let check = |now, expected, n_traces| {
        let page = fixture.list_at(None, None, usize::MAX, now).unwrap();
        assert_eq!(
            (page.retrieval_status, page.traces.len()),
            (expected, n_traces)
        );
    };
    check(later(60), RetrievalStatus::Complete, 1);
    check(later(61), RetrievalStatus::Timeout, 0);
    fixture.retrievals.cancel(TOKEN, later(61)).unwrap();
    check(later(61), RetrievalStatus::Timeout, 0);
    fixture.retrievals.cancel(TOKEN, later(5)).unwrap();
    check(later(5), RetrievalStatus::Cancelled, 0);
    let again = Retrievals::open(fixture.control.clone(), TENANT, NOW).unwrap();
    assert_eq!(
        again.find(TOKEN, NOW).unwrap().status(NOW),
        RetrievalStatus::Cancelled
    );
    let gone = fixture.list_at(None, None, usize::MAX, later(25 * 60));
    assert!(matches!(gone, Err(QueryError::NotFound { .. })));
    let again = Retrievals::open(fixture.control.clone(), TENANT, later(25 * 60)).unwrap();
    assert!(again.find(TOKEN, NOW).is_err(), "its record is removed");
}

#[test]
fn what_is_no_retrieval_is_refused() {
    let fixture = Fixture::new();
    let error = fixture.retrievals.cancel("nothing", NOW).unwrap_err();
    assert!(matches!(error, QueryError::NotFound { .. }), "{error}");
    let bad = request(&["1-2-3".to_owned()], 1, 2);
    let error = fixture.retrievals.start(&bad, TOKEN, NOW).unwrap_err();
    assert!(matches!(error, QueryError::Invalid(_)), "{error}");
    fixture.start(&[trace_id(1)]);
    let error = fixture.list_at(None, Some("x".to_owned()), 1, NOW);
    assert!(matches!(error, Err(QueryError::Invalid(_))));
}

#[test]
fn spans_of_opentelemetry_say_what_the_segment_says() {
    let fixture = Fixture::new();
    put(
        &fixture.store,
        &format!(
            r#"{{"trace_id":"{}","id":"000000000000000a","name":"shop","start_time":1795000000.000000001,"end_time":1795000001.5,
            "origin":"AWS::EC2::Instance","resource_arn":"arn","fault":true,"http":{{"request":{{"method":"GET","url":"http://x/"}},"response":{{"status":500}}}},
            "annotations":{{"tier":"gold"}},"cause":{{"exceptions":[{{"id":"00000000000000ff","type":"E","message":"m"}}]}},
            "subsegments":[{{"id":"000000000000000b","name":"db","namespace":"remote","start_time":1795000000.25,"in_progress":true,
            "subsegments":[{{"id":"000000000000000c","name":"local","start_time":1795000000.5,"end_time":1795000000.75}}]}}]}}"#,
            trace_id(1)
        ),
    );
    fixture.start(&[trace_id(1)]);
    let page = fixture.list_at(Some(TraceFormat::Otel), None, usize::MAX, NOW);
    let page = page.unwrap();
    let trace = page.traces.first().unwrap();
    assert_eq!(trace.duration.unwrap().0, Duration::new(1, 499_999_999));
    let documents = trace
        .spans
        .iter()
        .map(|span| serde_json::from_str::<serde_json::Value>(&span.document).unwrap());
    let documents: Vec<serde_json::Value> = documents.collect();
    let [shop, db, local] = documents.as_slice() else {
        panic!("{documents:?}")
    };
    assert_eq!(shop["traceId"], "6afd79c0000000000000000000000001");
    assert_eq!(shop["startTimeUnixNano"], 1_795_000_000_000_000_001_u64);
    assert_eq!(shop["kind"], "SERVER");
    assert_eq!(shop["status"]["code"], "ERROR");
    assert_eq!(shop["resource"]["attributes"]["service.name"], "shop");
    assert_eq!(shop["attributes"]["http.response.status_code"], 500);
    assert_eq!(shop["attributes"]["tier"], "gold");
    assert_eq!(shop["attributes"]["aws.xray.annotations"][0], "tier");
    assert_eq!(shop["events"][0]["attributes"]["exception.type"], "E");
    assert!(shop.get("parentSpanId").is_none());
    assert_eq!(db["parentSpanId"], "000000000000000a");
    assert_eq!(
        (&db["kind"], db.get("endTimeUnixNano")),
        (&"CLIENT".into(), None)
    );
    assert_eq!(local["parentSpanId"], "000000000000000b");
    assert_eq!(local["kind"], "INTERNAL");
    // What no convention has a name for is carried along.
    assert_eq!(
        shop["attributes"]["aws.xray.document.origin"],
        serde_json::Value::Null
    );
    assert_eq!(
        shop["attributes"]["aws.xray.document.resource_arn"],
        "\"arn\""
    );
    assert_eq!(local["durationNano"], 250_000_000);
}

#[test]
fn spans_that_came_as_spans_come_back_as_they_were_sent() {
    let body = r#"{"resourceSpans":[{
        "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeSpans":[{"scope":{"name":"lib","version":"1"},"spans":[{
            "traceId":"6afd79c0000000000000000000000001","spanId":"000000000000000a","name":"GET {id}","kind":5,
            "startTimeUnixNano":"1795000000000000001","endTimeUnixNano":"1795000001500000000","traceState":"a=b",
            "attributes":[{"key":"n","value":{"intValue":"7"}},{"key":"http.method","value":{"stringValue":"GET"}}],
            "events":[{"name":"e","timeUnixNano":"1795000000000000002"}],"status":{"code":1}}]}]}]}"#;
    let request = otlp::decode(body.as_bytes(), otlp::Encoding::Json).unwrap();
    let rules = otlp::Rules::default();
    let translated = otlp::translate(&request, &rules, &otlp::Limits::NONE, NOW).unwrap();
    let fixture = Fixture::new();
    for document in &translated.documents {
        put(&fixture.store, &document.text);
    }
    fixture.start(&[trace_id(1)]);
    let page = fixture.list_at(Some(TraceFormat::Otel), None, usize::MAX, NOW);
    let page = page.unwrap();
    let documents = page.traces.iter().flat_map(|trace| &trace.spans);
    let documents: Vec<serde_json::Value> = documents
        .map(|span| serde_json::from_str(&span.document).unwrap())
        .collect();
    let expected = serde_json::json!([{
        "resource": {"attributes": {"service.name": "shop"}},
        "scope": {"name": "lib", "version": "1"},
        "traceId": "6afd79c0000000000000000000000001",
        "spanId": "000000000000000a",
        "traceState": "a=b",
        "name": "GET {id}",
        "kind": "CONSUMER",
        "startTimeUnixNano": 1_795_000_000_000_000_001_u64,
        "endTimeUnixNano": 1_795_000_001_500_000_000_u64,
        "durationNano": 1_499_999_999,
        "attributes": {"n": 7, "http.method": "GET"},
        "events": [{"name": "e", "timeUnixNano": 1_795_000_000_000_000_002_u64, "attributes": {}}],
        "links": [],
        "status": {"code": "OK"},
    }]);
    assert_eq!(serde_json::Value::Array(documents), expected);
}
