//! What only documents tell.

use model::SummaryFlags;
use storage::{Judgement, TraceFilter};

use super::{filter, keeps, trace};

const TRACE_ID: &str = "1-581cf771-a006649127e371903a2de979";

fn segment(id: u32, name: &str, rest: &str) -> String {
    format!(
        r#"{{"trace_id":"{TRACE_ID}","id":"{id:016x}","name":"{name}","start_time":10,"end_time":12{rest}}}"#
    )
}

fn check(texts: &[String], expression: &str, expected: bool) {
    let (summary, documents) = trace(texts);
    let is_kept = keeps(&filter(expression), &summary, &documents);
    assert_eq!(is_kept, expected, "{expression}");
}

/// Returns two services that make calls at the same time to one service that sends nothing.
fn alike() -> Vec<String> {
    let calls = |ids: [u32; 2], paths: [&str; 2]| {
        let call = |(id, path): (u32, &str)| {
            format!(
                r#"{{"id":"{id:016x}","name":"db","namespace":"remote","start_time":10.5,"end_time":11,
                "http":{{"request":{{"url":"http://db/{path}","method":"GET"}}}}}}"#
            )
        };
        let calls: Vec<String> = ids.into_iter().zip(paths).map(call).collect();
        format!(r#","subsegments":[{}]"#, calls.join(","))
    };
    vec![
        segment(1, "one", &calls([0x11, 0x12], ["a", "b"])),
        segment(2, "two", &calls([0x21, 0x22], ["c", "d"])),
    ]
}

#[test]
fn calls_that_are_alike_keep_what_they_asked_for() {
    let edge = |from: &str, path: &str| {
        format!(r#"edge("{from}", "db") {{ http.url = "http://db/{path}" }}"#)
    };
    for (from, path, expected) in [
        ("one", "a", true),
        ("one", "b", true),
        ("one", "c", false),
        ("one", "d", false),
        ("two", "a", false),
        ("two", "c", true),
        ("two", "d", true),
    ] {
        check(&alike(), &edge(from, path), expected);
    }
    for path in ["a", "b", "c", "d"] {
        let service = format!(r#"service("db") {{ inferred AND http.url ENDSWITH "/{path}" }}"#);
        check(&alike(), &service, true);
    }
    check(
        &alike(),
        r#"service("db") { http.url ENDSWITH "/e" }"#,
        false,
    );
}

#[test]
fn a_subsegment_sent_alone_asks_for_the_service_it_hangs_on() {
    let segment = segment(1, "front", "");
    let middle = format!(
        r#"{{"type":"subsegment","trace_id":"{TRACE_ID}","id":"00000000000000aa","parent_id":"{:016x}","name":"step",
        "start_time":10,"end_time":11}}"#,
        1
    );
    let call = format!(
        r#"{{"type":"subsegment","trace_id":"{TRACE_ID}","id":"00000000000000bb","parent_id":"00000000000000aa",
        "name":"back","namespace":"remote","start_time":10,"end_time":11,"user":"u",
        "http":{{"request":{{"client_ip":"10.1.1.1","user_agent":"x/1"}}}}}}"#
    );
    let texts = [call, middle, segment];
    let block = r#"{ http.clientip = "10.1.1.1" AND http.useragent = "x/1" AND user = "u" }"#;
    check(&texts, &format!(r#"edge("front", "back") {block}"#), true);
    check(&texts, &format!(r#"service("back") {block}"#), true);
    check(&texts, &format!(r#"service("front") {block}"#), false);
}

#[test]
fn an_answered_call_and_its_answer_are_told_apart() {
    let call = r#","subsegments":[{"id":"00000000000000aa","name":"back","namespace":"remote","start_time":10,
        "end_time":12,"http":{"request":{"url":"http://caller-side"}}}]"#;
    let answer = r#","parent_id":"00000000000000aa","http":{"request":{"url":"http://own-side"}}"#;
    let texts = [segment(1, "front", call), segment(2, "back", answer)];
    check(
        &texts,
        r#"edge("front", "back") { http.url = "http://caller-side" }"#,
        true,
    );
    check(
        &texts,
        r#"edge("front", "back") { http.url = "http://own-side" }"#,
        false,
    );
    check(
        &texts,
        r#"service("back") { http.url = "http://own-side" }"#,
        true,
    );
    check(
        &texts,
        r#"service("back") { http.url = "http://caller-side" }"#,
        false,
    );
}

#[test]
fn members_of_wrong_types_are_absent() {
    let call = r#","http":5,"user":7,"subsegments":[{"id":"00000000000000aa","name":"back","namespace":"remote",
        "start_time":10,"end_time":12,"http":[],"user":{}},{"id":"00000000000000ab","name":"back",
        "namespace":"remote","start_time":10,"end_time":11,"http":{"request":{"url":["x"],"method":""}}}]"#;
    let texts = [segment(1, "front", call)];
    let none = "{ http.url OR http.method OR user OR http.clientip OR http.useragent }";
    check(&texts, &format!("service() {none}"), false);
    check(&texts, &format!("edge(,) {none}"), false);
    check(&texts, r#"edge("front", "back")"#, true);
}

#[test]
fn a_trace_of_more_requests_than_a_summary_holds_is_searched_whole() {
    let call = |id: u32| {
        let status = if id == 3_100 { 503 } else { 200 };
        format!(
            r#"{{"id":"{id:016x}","name":"db","namespace":"remote","start_time":10.{id:04},"end_time":11.5,
            "http":{{"request":{{"url":"http://db/{id}"}},"response":{{"status":{status}}}}}}}"#
        )
    };
    let calls: Vec<String> = (1_000..3_200).map(call).collect();
    let texts = [segment(
        1,
        "front",
        &format!(r#","subsegments":[{}]"#, calls.join(",")),
    )];
    let (summary, documents) = trace(&texts);
    assert!(summary.flags.contains(SummaryFlags::FACTS_CUT));
    let fault = filter(r#"service("db") { fault }"#);
    assert_eq!(fault.judge(&summary), Judgement::ReadDocuments);
    let check = |expression: &str, expected: bool| {
        let is_kept = keeps(&filter(expression), &summary, &documents);
        assert_eq!(is_kept, expected, "{expression}");
    };
    check(r#"service("db") { fault }"#, true);
    check(
        r#"edge("front", "db") { fault AND http.url ENDSWITH "/3100" }"#,
        true,
    );
    check(
        r#"edge("front", "db") { fault AND http.url ENDSWITH "/3101" }"#,
        false,
    );
    check(r#"service("db") { throttle }"#, false);
    check(r#"service("db") { ok }"#, true);
    check(r#"service("front") { ok }"#, true);
    check(r#"edge("db", "front")"#, false);
    check(r#"!edge("db", "front")"#, true);
}

#[test]
fn ok_of_a_trace_throttled_somewhere_is_its_roots() {
    let throttled = r#","throttle":true"#;
    let child = r#","parent_id":"0000000000000001","throttle":true"#;
    check(&[segment(1, "front", throttled)], "ok", false);
    check(
        &[segment(1, "front", ""), segment(2, "back", child)],
        "ok AND throttle",
        true,
    );
    for (rest, expected) in [(throttled, false), ("", true)] {
        let texts = [segment(1, "front", rest), segment(2, "back", child)];
        let (mut summary, documents) = trace(&texts);
        summary.requests.clear();
        summary.flags = summary.flags.union(SummaryFlags::FACTS_CUT);
        assert_eq!(filter("ok").judge(&summary), Judgement::ReadDocuments);
        assert_eq!(keeps(&filter("ok"), &summary, &documents), expected);
        assert_eq!(keeps(&filter("!ok"), &summary, &documents), !expected);
    }
}
