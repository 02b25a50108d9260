use crate::{Cells, Derived, DocumentLimits, EdgeKind, Head, Segment, TraceId};

use super::LinkSource;

const TRACE: &str = r#""trace_id":"1-581cf771-a006649127e371903a2de979""#;

fn head(members: &str) -> Head {
    let text = format!("{{{TRACE},{members}}}");
    let limits = DocumentLimits::default();
    Segment::parse(&text, &limits).unwrap().head()
}

fn segment(id: u64, name: &str, members: &str) -> Head {
    head(&format!(
        r#""id":"{id:016x}","name":"{name}","start_time":10,"end_time":12{members}"#
    ))
}

fn call(id: u64, name: &str, members: &str) -> String {
    format!(
        r#","subsegments":[{{"id":"{id:016x}","name":"{name}","start_time":10.5,"end_time":11.5{members}}}]"#
    )
}

fn parent(id: u64) -> String {
    format!(r#","parent_id":"{id:016x}""#)
}

/// Returns nodes as `name(type) ok/throttled/errors/faults` and edges as `from -> to ...`, sorted.
fn drawn(heads: &[Head]) -> Vec<String> {
    let trace_id = TraceId::from_bytes([7; 16]);
    let Derived { summary, graph } = Derived::of(trace_id, heads, 1);
    let mut cells = Cells::default();
    cells.add_trace(&summary.services, &graph);
    let counts = |statistics: &super::Statistics| {
        let super::Statistics {
            n_ok,
            n_throttled,
            n_errors,
            n_faults,
            ..
        } = statistics;
        format!("{n_ok}/{n_throttled}/{n_errors}/{n_faults}")
    };
    let name = |service: &crate::Service| {
        let kind = service.service_type.as_deref().unwrap_or("-");
        let mark = if service.inferred { "?" } else { "" };
        format!("{}({kind}){mark}", service.name)
    };
    let nodes = cells.nodes.iter();
    let mut lines: Vec<String> = nodes
        .map(|(service, statistics)| format!("{} {}", name(service), counts(statistics)))
        .collect();
    for (key, cell) in &cells.edges {
        let aliases: Vec<&str> = cell.aliases.iter().map(|(name, _)| name.as_str()).collect();
        let also = if aliases.is_empty() {
            String::new()
        } else {
            format!(" as {}", aliases.join(","))
        };
        let (from, to) = (name(&key.from), name(&key.to));
        assert_eq!(key.kind, EdgeKind::Call);
        lines.push(format!("{from} -> {to} {}{also}", counts(&cell.statistics)));
    }
    lines
}

fn check(heads: &[Head], expected: &[&str]) {
    assert_eq!(drawn(heads), expected);
    let backwards: Vec<Head> = heads.iter().rev().cloned().collect();
    assert_eq!(drawn(&backwards), expected, "in another order");
}

#[test]
fn a_request_has_a_client_and_a_service() {
    check(
        &[segment(1, "shop", r#","http":{"response":{"status":429}}"#)],
        &["shop(-) 0/1/0/0", "shop(client) -> shop(-) 0/1/0/0"],
    );
    check(
        &[head(
            r#""id":"0000000000000001","name":"shop","start_time":10,"in_progress":true"#,
        )],
        &["shop(-) 0/0/0/0", "shop(client) -> shop(-) 0/0/0/0"],
    );
}

#[test]
fn calls_lead_to_inferred_services_until_they_answer() {
    let calls = call(
        2,
        "DynamoDB",
        r#","namespace":"aws","aws":{"table_name":"carts"},"fault":true"#,
    );
    let shop = segment(1, "shop", &calls);
    check(
        std::slice::from_ref(&shop),
        &[
            "carts(AWS::DynamoDB::Table)? 0/0/0/1",
            "shop(-) 1/0/0/0",
            "shop(-) -> carts(AWS::DynamoDB::Table)? 0/0/0/1",
            "shop(client) -> shop(-) 1/0/0/0",
        ],
    );
    let answer = segment(3, "store", &parent(2));
    check(
        &[shop, answer],
        &[
            "shop(-) 1/0/0/0",
            "store(-) 1/0/0/0",
            "shop(-) -> store(-) 0/0/0/1 as carts",
            "shop(client) -> shop(-) 1/0/0/0",
        ],
    );
}

#[test]
fn announced_and_local_calls_add_nothing() {
    let traced = call(
        2,
        "api",
        r#","namespace":"remote","http":{"request":{"traced":true}}"#,
    );
    let expected = ["shop(-) 1/0/0/0", "shop(client) -> shop(-) 1/0/0/0"];
    check(&[segment(1, "shop", &traced)], &expected);
    check(
        &[segment(
            1,
            "shop",
            &call(2, "work", r#","namespace":"local""#),
        )],
        &expected,
    );
}

#[test]
fn parents_that_are_no_calls_are_callers_too() {
    let shop = segment(1, "shop", &call(2, "work", ""));
    let expected = [
        "shop(-) 1/0/0/0",
        "store(-) 0/0/1/0",
        "shop(-) -> store(-) 0/0/1/0",
        "shop(client) -> shop(-) 1/0/0/0",
    ];
    for parent_id in [1, 2] {
        let members = format!(r#"{},"error":true"#, parent(parent_id));
        check(&[shop.clone(), segment(3, "store", &members)], &expected);
    }
    let alone = head(
        r#""type":"subsegment","id":"0000000000000004","parent_id":"0000000000000001","name":"work",
        "start_time":10,"end_time":11"#,
    );
    let members = format!(r#"{},"error":true"#, parent(4));
    check(
        &[segment(1, "shop", ""), alone, segment(3, "store", &members)],
        &expected,
    );
}

#[test]
fn a_service_that_sends_segments_is_not_counted_by_calls() {
    let calls = call(2, "DynamoDB", r#","namespace":"aws","fault":true"#);
    let sent = segment(
        3,
        "DynamoDB",
        r#","origin":"AWS::DynamoDB","parent_id":"0000000000000001""#,
    );
    check(
        &[segment(1, "shop", &calls), sent],
        &[
            "DynamoDB(AWS::DynamoDB) 1/0/0/0",
            "shop(-) 1/0/0/0",
            "shop(-) -> DynamoDB(AWS::DynamoDB) 1/0/0/1",
            "shop(client) -> shop(-) 1/0/0/0",
        ],
    );
}

#[test]
fn a_call_is_counted_once_however_many_answer() {
    let calls = call(2, "Lambda", r#","namespace":"aws","throttle":true"#);
    let lambda = |id, origin: &str| {
        let members = format!(r#"{},"origin":"{origin}""#, parent(2));
        segment(id, "f", &members)
    };
    check(
        &[
            segment(1, "shop", &calls),
            lambda(3, "AWS::Lambda"),
            lambda(4, "AWS::Lambda"),
        ],
        &[
            "f(AWS::Lambda) 2/0/0/0",
            "shop(-) 1/0/0/0",
            "shop(-) -> f(AWS::Lambda) 1/1/0/0 as Lambda",
            "shop(client) -> shop(-) 1/0/0/0",
        ],
    );
}

#[test]
fn calls_sent_alone_belong_to_the_service_they_hang_on() {
    let alone = head(
        r#""type":"subsegment","id":"0000000000000002","parent_id":"0000000000000001","name":"SNS","namespace":"aws",
        "start_time":10,"end_time":11"#,
    );
    check(std::slice::from_ref(&alone), &[]);
    check(
        &[alone, segment(1, "shop", "")],
        &[
            "SNS(AWS::SNS)? 1/0/0/0",
            "shop(-) 1/0/0/0",
            "shop(-) -> SNS(AWS::SNS)? 1/0/0/0",
            "shop(client) -> shop(-) 1/0/0/0",
        ],
    );
}

#[test]
fn a_link_comes_from_what_it_names() {
    let calls = call(2, "SQS", r#","namespace":"aws""#);
    let shop = segment(1, "shop", &calls);
    let source = |heads: &[Head], id: u64| {
        let source = LinkSource::find(heads, crate::SegmentId(id))?;
        Some((source.service.name, source.sent.as_nanos() / 100_000_000))
    };
    let heads = [shop.clone()];
    assert_eq!(source(&heads, 2), Some(("SQS".to_owned(), 115)));
    assert_eq!(source(&heads, 1), Some(("shop".to_owned(), 120)));
    assert_eq!(source(&heads, 9), None);
    let answered = [shop, segment(3, "queue", &parent(2))];
    assert_eq!(source(&answered, 2), Some(("queue".to_owned(), 115)));
}

#[test]
fn links_are_read_from_segments_and_subsegments() {
    let links = |id: u64| {
        format!(
            r#","links":[{{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"{id:016x}"}},{{"id":7}},null]"#
        )
    };
    let nested = call(2, "work", &links(8));
    let head = segment(1, "shop", &format!("{}{nested}", links(9)));
    let ids: Vec<u64> = head.links.iter().map(|link| link.id.0).collect();
    assert_eq!(ids, [9, 8]);
}
