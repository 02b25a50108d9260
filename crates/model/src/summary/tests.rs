//! Documents of a trace and the summary they make up.

use super::*;
use crate::{DocumentLimits, Head, Segment};

const TRACE: &str = "1-581cf771-a006649127e371903a2de979";

/// Returns the summary of documents whose common members are left out: a document starts with its id.
fn summary(documents: &[&str]) -> Summary {
    let mut heads: Vec<Head> = documents
        .iter()
        .map(|members| {
            let text = format!(r#"{{"trace_id":"{TRACE}","id":"00000000000000{members}}}"#);
            Segment::parse(&text, &DocumentLimits::default())
                .unwrap()
                .head()
        })
        .collect();
    let summary = Summary::of(TraceId::parse(TRACE).unwrap(), &heads, 3);
    heads.reverse();
    assert_eq!(
        Summary::of(summary.trace_id, &heads, 3),
        summary,
        "the order of heads must not matter"
    );
    summary
}

/// Returns the services as `name/type`, inferred ones in brackets.
fn services(summary: &Summary) -> Vec<String> {
    summary
        .services
        .iter()
        .map(|service| {
            let text = format!(
                "{}/{}",
                service.name,
                service.service_type.as_deref().unwrap_or("-")
            );
            if service.inferred {
                format!("({text})")
            } else {
                text
            }
        })
        .collect()
}

fn check_services(documents: &[&str], expected: &[&str], entry: Option<u16>) {
    let summary = summary(documents);
    assert_eq!(services(&summary), expected);
    assert_eq!(summary.entry, entry);
}

fn check_flags(documents: &[&str], expected: &[SummaryFlags]) {
    let expected = expected
        .iter()
        .fold(SummaryFlags::default(), |set, flag| set.union(*flag));
    assert_eq!(summary(documents).flags, expected, "{documents:?}");
}

#[test]
fn a_trace_without_documents_is_empty() {
    let summary = summary(&[]);
    assert_eq!(
        (summary.start, summary.end),
        (Timestamp::ZERO, Timestamp::ZERO)
    );
    assert_eq!(
        (summary.n_segments, summary.entry, summary.response_ns),
        (0, None, None)
    );
    assert_eq!(summary.services, []);
}

#[test]
fn times_are_those_of_segments_and_the_response_that_of_the_root() {
    let summary = summary(&[
        r#"01","name":"root","start_time":2,"end_time":4"#,
        r#"02","name":"late","start_time":3,"end_time":9,"parent_id":"0000000000000005""#,
        r#"03","name":"sub","start_time":1,"end_time":20,"type":"subsegment","parent_id":"0000000000000001""#,
    ]);
    assert_eq!(
        (summary.start, summary.end),
        (Timestamp::from_secs(2), Timestamp::from_secs(9))
    );
    assert_eq!(summary.response_ns, Some(2_000_000_000));
    assert_eq!((summary.n_segments, summary.revision), (2, 3));
}

#[test]
fn subsegments_alone_have_times_but_no_entry() {
    let summary = summary(&[
        r#"03","name":"sub","start_time":1,"end_time":4,"type":"subsegment","parent_id":"0000000000000001","annotations":{"a":1},"fault":true"#,
        r#"04","name":"api","start_time":2,"end_time":5,"type":"subsegment","parent_id":"0000000000000003","namespace":"remote""#,
    ]);
    assert_eq!(
        (summary.start, summary.end),
        (Timestamp::from_secs(1), Timestamp::from_secs(5))
    );
    assert_eq!(
        (summary.n_segments, summary.entry, summary.response_ns),
        (0, None, None)
    );
    assert_eq!(services(&summary), ["(api/remote)"]);
    assert!(summary.annotations[0].services.is_empty());
    assert_eq!(
        summary.flags,
        SummaryFlags::DEEP_FAULT.union(SummaryFlags::HAS_INFERRED)
    );
}

#[test]
fn the_root_is_without_parent_or_entered_from_outside_or_first() {
    let root = |documents: &[&str]| {
        let summary = summary(documents);
        summary.services[usize::from(summary.entry.unwrap())]
            .name
            .clone()
    };
    let looped = r#"01","name":"a","start_time":1,"end_time":2,"parent_id":"0000000000000003""#;
    let no_parent = r#"02","name":"b","start_time":2,"end_time":3"#;
    let entered = r#"03","name":"c","start_time":3,"end_time":4,"parent_id":"0000000000000099""#;
    let entered_later =
        r#"04","name":"d","start_time":4,"end_time":5,"parent_id":"0000000000000098""#;
    let no_parent_later = r#"05","name":"e","start_time":4,"end_time":5"#;
    let looped_back =
        r#"03","name":"f","start_time":5,"end_time":6,"parent_id":"0000000000000001""#;
    assert_eq!(root(&[looped, no_parent, entered, no_parent_later]), "b");
    assert_eq!(root(&[looped, entered, entered_later]), "c");
    assert_eq!(root(&[looped, looped_back]), "a");
    assert_eq!(root(&[entered]), "c");
}

#[test]
fn an_unfinished_root_has_no_response_time_yet() {
    let summary = summary(&[r#"01","name":"a","start_time":1,"in_progress":true"#]);
    assert_eq!(summary.response_ns, None);
    assert_eq!(summary.flags, SummaryFlags::IS_PARTIAL);
}

#[test]
fn flags_are_the_entry_services_or_anyones() {
    let root = r#"01","name":"root","start_time":1,"end_time":9"#;
    check_flags(&[root], &[]);
    check_flags(
        &[r#"01","name":"root","start_time":1,"end_time":9,"http":{"response":{"status":500}}"#],
        &[SummaryFlags::HAS_FAULT, SummaryFlags::DEEP_FAULT],
    );
    // Lambda: the service's segment is the root, the function's has its name.
    check_flags(
        &[
            root,
            r#"02","name":"root","start_time":2,"end_time":3,"parent_id":"0000000000000001","error":true"#,
        ],
        &[SummaryFlags::HAS_ERROR, SummaryFlags::DEEP_ERROR],
    );
    check_flags(
        &[
            root,
            r#"02","name":"other","start_time":2,"end_time":3,"parent_id":"0000000000000001","error":true,"throttle":true"#,
        ],
        &[SummaryFlags::DEEP_ERROR, SummaryFlags::HAS_THROTTLE],
    );
    check_flags(
        &[
            root,
            r#"02","name":"root","type":"subsegment","start_time":2,"end_time":3,"parent_id":"0000000000000001","fault":true"#,
        ],
        &[SummaryFlags::DEEP_FAULT],
    );
    check_flags(
        &[
            r#"01","name":"root","start_time":1,"end_time":9,"subsegments":[{"id":"0000000000000007","name":"s","start_time":1,"in_progress":true}]"#,
        ],
        &[SummaryFlags::IS_PARTIAL],
    );
}

#[test]
fn services_are_the_sent_the_inferred_and_the_client() {
    check_services(
        &[
            r#"01","name":"front","origin":"AWS::EC2::Instance","start_time":5,"end_time":9,"subsegments":[
                {"id":"0000000000000011","name":"back","namespace":"remote","start_time":5,"end_time":6},
                {"id":"0000000000000012","name":"DynamoDB","namespace":"aws","aws":{"table_name":"t"},"start_time":7,"end_time":8},
                {"id":"0000000000000013","name":"DynamoDB","namespace":"aws","aws":{"table_name":"t"},"start_time":8,"end_time":9},
                {"id":"0000000000000014","name":"gone","namespace":"remote","start_time":8,"end_time":9,"http":{"request":{"traced":true}}},
                {"id":"0000000000000015","name":"elsewhere","namespace":"remote","start_time":5.5,"end_time":6}]"#,
            r#"02","name":"back","start_time":4,"end_time":6,"parent_id":"0000000000000011""#,
            r#"03","name":"back","start_time":6,"end_time":7,"parent_id":"0000000000000011""#,
        ],
        &[
            "front/AWS::EC2::Instance",
            "back/-",
            "(elsewhere/remote)",
            "(t/AWS::DynamoDB::Table)",
            "front/client",
        ],
        Some(0),
    );
}

#[test]
fn a_service_that_sends_is_not_inferred_twice() {
    check_services(
        &[
            r#"01","name":"front","start_time":5,"end_time":9,"subsegments":[
                {"id":"0000000000000011","name":"SNS","namespace":"aws","start_time":5,"end_time":6}]"#,
            r#"02","name":"SNS","origin":"AWS::SNS","start_time":6,"end_time":7,"parent_id":"0000000000000001""#,
        ],
        &["front/-", "SNS/AWS::SNS", "front/client"],
        Some(0),
    );
}

#[test]
fn annotations_belong_to_the_services_that_set_them() {
    let summary = summary(&[
        r#"01","name":"a","start_time":1,"end_time":9,"annotations":{"k":1,"on":true},"user":"u","subsegments":[
            {"id":"0000000000000011","name":"s","start_time":1,"end_time":2,"annotations":{"k":1.0,"z":-0.0}}]"#,
        r#"02","name":"b","start_time":2,"end_time":3,"parent_id":"0000000000000001","annotations":{"k":"1","z":0},"user":"u""#,
        r#"03","name":"s","type":"subsegment","start_time":3,"end_time":4,"parent_id":"0000000000000004","annotations":{"k":"1"}"#,
        r#"04","name":"s","type":"subsegment","start_time":5,"end_time":6,"parent_id":"0000000000000011","user":"v""#,
        r#"05","name":"s","type":"subsegment","start_time":6,"end_time":7,"parent_id":"0000000000000006","annotations":{"lost":1}"#,
        r#"06","name":"s","type":"subsegment","start_time":7,"end_time":8,"parent_id":"0000000000000005","annotations":{"lost":1}"#,
    ]);
    let found: Vec<(&str, &AnnotationValue, &[u16])> = summary
        .annotations
        .iter()
        .map(|annotation| {
            (
                annotation.key.as_str(),
                &annotation.value,
                annotation.services.as_slice(),
            )
        })
        .collect();
    let one = AnnotationValue::Number(1.0);
    let text = AnnotationValue::String("1".to_owned());
    let expected: [(&str, &AnnotationValue, &[u16]); 5] = [
        ("k", &one, &[0]),
        ("on", &AnnotationValue::Boolean(true), &[0]),
        ("z", &AnnotationValue::Number(0.0), &[0, 1]),
        ("k", &text, &[1, 0]),
        ("lost", &one, &[]),
    ];
    assert_eq!(found, expected);
    let users = [
        User {
            name: "u".to_owned(),
            services: vec![0, 1],
        },
        User {
            name: "v".to_owned(),
            services: vec![0],
        },
    ];
    assert_eq!(summary.users, users);
}

#[test]
fn at_most_fifty_keys_are_indexed() {
    let annotations: Vec<String> = (0..60).map(|key| format!("\"k{key}\":1")).collect();
    let first = format!(
        r#"01","name":"a","start_time":1,"end_time":9,"annotations":{{{}}}"#,
        annotations.join(",")
    );
    let second = r#"02","name":"b","start_time":2,"end_time":9,"parent_id":"0000000000000001","annotations":{"k59":1,"k0":2}"#;
    let summary = summary(&[&first, second]);
    assert_eq!(summary.annotations.len(), 51);
    assert!(
        summary
            .annotations
            .iter()
            .all(|annotation| annotation.key != "k59")
    );
}

#[test]
fn hosts_and_resources_are_distinct() {
    let host = |id: &str, instance: &str, zone: &str| {
        format!(
            r#"{id}","name":"a","start_time":1,"end_time":9,"resource_arn":"arn:x","aws":{{"ec2":{{"instance_id":"{instance}","availability_zone":"{zone}"}}}}"#
        )
    };
    let summary = summary(&[
        &host("01", "i-1", "a"),
        &host("02", "i-2", "a"),
        &host("03", "i-1", "b"),
    ]);
    assert_eq!(summary.resource_arns, ["arn:x"]);
    assert_eq!(summary.instance_ids, ["i-1", "i-2"]);
    assert_eq!(summary.availability_zones, ["a", "b"]);
}

#[test]
fn http_is_the_roots() {
    let summary = summary(&[
        r#"01","name":"a","start_time":2,"end_time":9,"http":{"request":{"method":"GET"},"response":{"status":200}}"#,
        r#"02","name":"b","start_time":1,"end_time":9,"parent_id":"0000000000000001","http":{"response":{"status":404}}"#,
    ]);
    assert_eq!(
        (summary.http.method.as_deref(), summary.http.status),
        (Some("GET"), Some(200))
    );
}

/// Returns so many heads that share nothing.
fn heads(n: u32) -> Vec<Head> {
    let text = format!(
        r#"{{"trace_id":"{TRACE}","id":"0000000000000001","name":"a","start_time":1,"end_time":2,"annotations":{{"k":1}},
        "namespace":"remote","type":"subsegment","parent_id":"0000000000000000"}}"#
    );
    let head = Segment::parse(&text, &DocumentLimits::default())
        .unwrap()
        .head();
    (0..n)
        .map(|idx| {
            let segment_id = crate::SegmentId(u64::from(idx));
            let kind = if idx < n / 2 {
                crate::DocumentKind::Segment
            } else {
                head.kind
            };
            let parent_id = Some(crate::SegmentId(u64::from(idx.saturating_sub(1))));
            let annotations = vec![("k".to_owned(), AnnotationValue::Number(f64::from(idx)))];
            let mut calls = head.calls.clone();
            for call in &mut calls {
                call.id = crate::SegmentId(u64::from(idx + n));
                call.service_name = format!("call{idx}");
            }
            let name = format!("service{idx}");
            Head {
                segment_id,
                kind,
                parent_id,
                name,
                annotations,
                calls,
                user: Some(format!("u{idx}")),
                ..head.clone()
            }
        })
        .collect()
}

#[test]
fn huge_traces_have_summaries_of_bounded_size() {
    let heads = heads(100_000);
    let summary = Summary::of(TraceId::parse(TRACE).unwrap(), &heads, 1);
    assert_eq!(summary.n_segments, 50_000);
    assert_eq!(summary.services.len(), LIST_MAX);
    assert_eq!(
        summary.services.last().unwrap().service_type.as_deref(),
        Some("client")
    );
    assert_eq!(summary.users.len(), LIST_MAX);
    assert_eq!(summary.annotations.len(), 10_000);
}
