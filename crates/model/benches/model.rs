//! What accepting a document and showing a trace cost.

use divan::{Bencher, black_box};
use model::{Document, DocumentLimits, Head, Orphans, Segment, Summary, Trace, TraceId};

fn main() {
    divan::main();
}

/// A request to a web service as an SDK sends it: 1.7 kB, three calls in two levels.
const WEB: &str = r#"{"id":"ID______________","name":"checkout-api","start_time":1795304303.875123,"trace_id":"1-6b022b70-e59e7d7ba97e9f28118c6ea8","end_time":1795304303.907456,"parent_id":"PARENT__________","origin":"AWS::ECS::Fargate","user":"5M388M1E","http":{"request":{"method":"POST","url":"https://shop.example.com/api/cart/42/checkout","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0 Safari/537.36","client_ip":"203.0.113.17","x_forwarded_for":true},"response":{"status":200,"content_length":1482}},"aws":{"account_id":"123456789012","ecs":{"container":"ip-10-0-0-17.ec2.internal","availability_zone":"us-west-2b"},"xray":{"sdk":"X-Ray for Python","sdk_version":"2.15.0","sampling_rule_name":"Default"}},"service":{"runtime":"CPython","runtime_version":"3.12.4","version":"1.8.2"},"annotations":{"tier":"gold","cart_items":7,"beta":false},"metadata":{"default":{"cart":{"id":42,"items":[{"sku":"A-1","n":2},{"sku":"B-7","n":5}]}}},"subsegments":[{"id":"A_______________","name":"%% checkout","start_time":1795304303.876,"end_time":1795304303.905,"annotations":{"step":"pay"},"subsegments":[{"id":"B_______________","name":"DynamoDB","namespace":"aws","start_time":1795304303.877,"end_time":1795304303.889,"http":{"response":{"status":200,"content_length":58}},"aws":{"table_name":"carts","operation":"UpdateItem","region":"us-west-2","request_id":"3AIENM5J4ELQ3SPODHKBIRVIC3VV4KQNSO5AEMVJF66Q9ASUAAJG","retries":0,"resource_names":["carts"]}},{"id":"C_______________","name":"payments.example.com","namespace":"remote","start_time":1795304303.89,"end_time":1795304303.904,"http":{"request":{"method":"POST","url":"https://payments.example.com/v1/charges"},"response":{"status":201,"content_length":310}}}]}]}"#;

/// Returns the n-th request of a chain of services that call one another.
fn web(n: usize) -> String {
    let id = |kind: u64, n: usize| format!("{kind:08x}{n:08x}");
    let parent = if n == 0 {
        String::new()
    } else {
        format!("\"parent_id\":\"{}\",", id(3, n - 1))
    };
    WEB.replace("\"parent_id\":\"PARENT__________\",", &parent)
        .replace("\"ID______________\"", &format!("\"{}\"", id(0, n)))
        .replace("A_______________", &id(1, n))
        .replace("B_______________", &id(2, n))
        .replace("C_______________", &id(3, n))
}

/// Returns a subsegment sent alone below the first service.
fn alone(n: usize) -> String {
    format!(
        r#"{{"id":"00000009{n:08x}","name":"sub{n}","start_time":1795304303.8787497,"parent_id":"0000000100000000","in_progress":false,"trace_id":"1-6b022b70-e59e7d7ba97e9f28118c6ea8","type":"subsegment","namespace":"local","end_time":1795304303.8787643}}"#
    )
}

fn parse(text: &str) -> Segment<'_> {
    match Segment::parse(text, &DocumentLimits::default()) {
        Ok(segment) => segment,
        Err(invalid) => unreachable!("the documents are valid: {invalid}"),
    }
}

/// Returns the documents of a trace: so many services, ten times as many subsegments sent alone.
fn documents(n: usize) -> Vec<Document> {
    (0..n)
        .map(web)
        .chain((0..10 * n).map(alone))
        .map(|text| Document {
            segment_id: parse(&text).id(),
            in_progress: false,
            stamp: 1,
            first_stamp: 1,
            text,
        })
        .collect()
}

fn trace_id() -> TraceId {
    parse(&web(0)).trace_id()
}

#[divan::bench]
fn parse_web_document(bencher: Bencher<'_, '_>) {
    let text = web(0);
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench(|| parse(black_box(&text)));
}

#[divan::bench]
fn head_of_web_document(bencher: Bencher<'_, '_>) {
    let text = web(0);
    let segment = parse(&text);
    bencher.bench(|| black_box(&segment).head());
}

#[divan::bench]
fn parse_and_head_of_subsegment(bencher: Bencher<'_, '_>) {
    let text = alone(0);
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench(|| parse(black_box(&text)).head());
}

#[divan::bench]
fn refuse_document(bencher: Bencher<'_, '_>) {
    let text = web(0).replace("%% checkout", "checkout?");
    bencher.bench(|| Segment::parse(black_box(&text), &DocumentLimits::default()).is_err());
}

#[divan::bench(args = [1, 10, 1_000])]
fn compile(bencher: Bencher<'_, '_>, n: usize) {
    let documents = documents(n);
    bencher.bench(|| Trace::compile(trace_id(), black_box(&documents), Orphans::Visible));
}

#[divan::bench(args = [1, 10, 1_000])]
fn compile_segments_and_write(bencher: Bencher<'_, '_>, n: usize) {
    let documents: Vec<Document> = documents(n).into_iter().take(n).collect();
    let trace_id = trace_id();
    bencher.bench(|| {
        let mut out = String::new();
        for segment in Trace::compile(trace_id, black_box(&documents), Orphans::Visible).segments {
            segment.write_document(&mut out);
        }
        out
    });
}

#[divan::bench(args = [1, 3, 10, 100, 10_000])]
fn summary(bencher: Bencher<'_, '_>, n: usize) {
    let heads: Vec<Head> = (0..n).map(|n| parse(&web(n)).head()).collect();
    let trace_id = trace_id();
    bencher.bench(|| Summary::of(trace_id, black_box(&heads), 1));
}

#[divan::bench(args = [1, 10])]
fn summary_with_subsegments_sent_alone(bencher: Bencher<'_, '_>, n: usize) {
    let heads: Vec<Head> = documents(n)
        .iter()
        .map(|document| parse(&document.text).head())
        .collect();
    let trace_id = trace_id();
    bencher.bench(|| Summary::of(trace_id, black_box(&heads), 1));
}
