//! What it costs to read an expression and to judge summaries by it: the figures are for all summaries.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run stops")]

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use model::{DocumentLimits, Segment, Summary, ZoneFacts};
use query::Filter;
use storage::{Judgement, TraceFilter};

fn main() {
    divan::main();
}

/// Returns summaries of traces of a frontend, two services behind it and a table; few of them fail.
fn summaries() -> Vec<Summary> {
    (0..N_TRACES).map(summary).collect()
}

fn summary(number: u64) -> Summary {
    let status = if number.is_multiple_of(100) { 500 } else { 200 };
    let seconds = 0.01 * f64::from(u32::try_from(number % 300).unwrap());
    let segment = |id: u64, name: &str, rest: &str| {
        format!(
            r#"{{"trace_id":"1-581cf771-{number:024x}","id":"{id:016x}","name":"{name}","start_time":{number},
            "end_time":{},"origin":"AWS::ECS::Container","http":{{"request":{{"method":"GET",
            "url":"https://shop.example.com/items/{number}"}},"response":{{"status":{status}}}}},
            "annotations":{{"customer":"c{}","shard":{}}},"user":"u{}"{rest}}}"#,
            f64::from(u32::try_from(number).unwrap()) + seconds,
            number % 1_000,
            number % 16,
            number % 500,
        )
    };
    let call = |id: u64, name: &str, rest: &str| {
        format!(
            r#"{{"id":"{id:016x}","name":"{name}","start_time":{number},"end_time":{},{rest}}}"#,
            number + 1
        )
    };
    let calls = [
        call(0x11, "cart", r#""namespace":"remote""#),
        call(0x12, "prices", r#""namespace":"remote""#),
        call(
            0x13,
            "DynamoDB",
            r#""namespace":"aws","aws":{"table_name":"orders"}"#,
        ),
    ];
    let texts = [
        segment(
            1,
            "front",
            &format!(r#","subsegments":[{}]"#, calls.join(",")),
        ),
        segment(2, "cart", r#","parent_id":"0000000000000011""#),
        segment(3, "prices", r#","parent_id":"0000000000000012""#),
    ];
    let heads = texts.each_ref().map(|text| {
        let segment = Segment::parse(text, &DocumentLimits::default()).unwrap();
        (segment.trace_id(), segment.head())
    });
    let trace_id = heads[0].0;
    Summary::of(trace_id, &heads.map(|(_, head)| head), 1)
}

fn filter(text: &str) -> Filter {
    Filter::parse(text, &|_| None).unwrap()
}

#[divan::bench(args = [
    "ok",
    "fault",
    "responsetime > 2.9",
    "http.url CONTAINS \"/items/77\"",
    "annotation.customer = \"c7\"",
    "service(\"cart\")",
    "!service(\"nobody\")",
    "service(\"cart\") { fault }",
    "edge(\"front\", \"orders\") { responsetime > 0.5 }",
    "rootcause.fault.service { name = \"cart\" }",
    "service(\"cart\") { http.url CONTAINS \"x\" }",
    "(fault OR duration > 2) AND annotation.shard < 8 AND !user = \"u1\" AND service(\"prices\") { !ok }",
])]
fn judge_10_000(bencher: Bencher<'_, '_>, text: &str) {
    let summaries = summaries();
    let filter = filter(text);
    bencher
        .counter(ItemsCount::new(summaries.len()))
        .bench_local(|| {
            let is_kept = |summary: &&Summary| filter.judge(summary) == Judgement::Keep;
            summaries.iter().filter(is_kept).count()
        });
}

#[divan::bench(args = ["fault AND service(\"nobody\")", "annotation.customer = \"nobody\"", "duration > 100"])]
fn may_match_one_block(bencher: Bencher<'_, '_>, text: &str) {
    let zone = ZoneFacts::of(summaries().iter().take(256));
    let filter = filter(text);
    bencher.bench_local(|| filter.may_match(black_box(&zone)));
}

#[divan::bench(args = [1, 100])]
fn parse(bencher: Bencher<'_, '_>, n_parts: usize) {
    let part = "service(id(name: \"front\", type: \"t\")) { fault OR responsetime >= 5 } AND annotation.k = \"v\"";
    let text = vec![part; n_parts].join(" OR ");
    bencher.bench_local(|| filter(black_box(&text)));
}

const N_TRACES: u64 = 10_000;
