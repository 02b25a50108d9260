//! Literal documents, what is read from them and why they are refused.

mod samples;

use proptest::prelude::*;

use super::*;
use crate::{AnnotationValue, Call, Document, Flags, Head, HttpFacts, Orphans, Trace};

const IDENTITY: &str = r#""trace_id":"1-581cf771-a006649127e371903a2de979","id":"70de5b6f19ff9a0b","name":"Scorekeep""#;

/// Returns a finished segment with further members.
fn segment(members: &str) -> String {
    format!("{{{IDENTITY},\"start_time\":1.5,\"end_time\":2.25{members}}}")
}

fn head(text: &str) -> Head {
    Segment::parse(text, &DocumentLimits::default())
        .unwrap()
        .head()
}

/// Checks that a document is refused: its id as echoed, the code, whether a subsegment is at fault.
fn check_invalid(text: &str, id: Option<&str>, code: InvalidCode, in_subsegment: bool) -> String {
    let invalid = Segment::parse(text, &DocumentLimits::default()).unwrap_err();
    let found = (invalid.id.as_deref(), invalid.code, invalid.in_subsegment);
    assert_eq!(
        found,
        (id, code, in_subsegment),
        "{text}: {}",
        invalid.detail
    );
    invalid.detail
}

const ID: Option<&str> = Some("70de5b6f19ff9a0b");

#[test]
fn the_least_segment_passes() {
    let text = format!("  {{{IDENTITY},\"start_time\":1,\"end_time\":2}}\n");
    let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
    assert_eq!(
        segment.trace_id().to_string(),
        "1-581cf771-a006649127e371903a2de979"
    );
    assert_eq!(segment.id().to_string(), "70de5b6f19ff9a0b");
    assert_eq!(segment.name(), "Scorekeep");
    assert_eq!(segment.kind(), DocumentKind::Segment);
    assert_eq!(segment.parent_id(), None);
    assert_eq!(segment.start(), Timestamp::from_secs(1));
    assert!(!segment.in_progress());
    assert_eq!(
        segment.head(),
        Head {
            segment_id: segment.id(),
            parent_id: None,
            kind: DocumentKind::Segment,
            in_progress: false,
            start: Timestamp::from_secs(1),
            end: Timestamp::from_secs(2),
            latest: Timestamp::from_secs(2),
            flags: Flags::default(),
            name: "Scorekeep".to_owned(),
            origin: None,
            account_id: None,
            http: None,
            user: None,
            annotations: Vec::new(),
            resource_arn: None,
            instance_id: None,
            availability_zone: None,
            calls: Vec::new(),
            nested_ids: Vec::new(),
            links: Vec::new(),
        }
    );
}

#[test]
fn identity_rules_have_codes() {
    let with = |members: &str| format!("{{{members}}}");
    let trace_id = r#""trace_id":"1-581cf771-a006649127e371903a2de979""#;
    let id = r#""id":"70de5b6f19ff9a0b""#;
    let times = r#""start_time":1,"end_time":2"#;
    let check =
        |members: &str, id: Option<&str>, code| check_invalid(&with(members), id, code, false);
    check("", None, InvalidCode::MissingId);
    check(r#""id":null"#, None, InvalidCode::MissingId);
    check(r#""id":"""#, Some(""), InvalidCode::MissingId);
    check(r#""id":7"#, None, InvalidCode::InvalidId);
    check(
        r#""id":"70de5b6f19ff9a0""#,
        Some("70de5b6f19ff9a0"),
        InvalidCode::InvalidId,
    );
    check(
        r#""id":"zzde5b6f19ff9a0b""#,
        Some("zzde5b6f19ff9a0b"),
        InvalidCode::InvalidId,
    );
    check(id, ID, InvalidCode::MissingTraceId);
    check(
        &format!(r#"{id},"trace_id":"""#),
        ID,
        InvalidCode::MissingTraceId,
    );
    check(
        &format!(r#"{id},"trace_id":[]"#),
        ID,
        InvalidCode::InvalidTraceId,
    );
    check(
        &format!(r#"{id},"trace_id":"1-581cf771-a006649127e371903a2de97""#),
        ID,
        InvalidCode::InvalidTraceId,
    );
    check(&format!("{id},{trace_id}"), ID, InvalidCode::MissingName);
    check(
        &format!(r#"{id},{trace_id},"name":"""#),
        ID,
        InvalidCode::MissingName,
    );
    check(
        &format!(r#"{id},{trace_id},"name":5"#),
        ID,
        InvalidCode::InvalidName,
    );
    check(
        &format!(r#"{id},{trace_id},"name":"a?b",{times}"#),
        ID,
        InvalidCode::InvalidName,
    );
    check(
        &format!(r#"{id},{trace_id},"name":"a\tb",{times}"#),
        ID,
        InvalidCode::InvalidName,
    );
    check(
        &format!(r#"{id},{trace_id},"name":"{}",{times}"#, "x".repeat(201)),
        ID,
        InvalidCode::InvalidName,
    );
}

#[test]
fn a_w3c_trace_id_is_refused_with_the_form_to_use() {
    let text = r#"{"id":"70de5b6f19ff9a0b","trace_id":"581cf771a006649127e371903a2de979","name":"a","start_time":1,"end_time":2}"#;
    let detail = check_invalid(text, ID, InvalidCode::InvalidTraceId, false);
    assert!(
        detail.ends_with("a W3C trace id is written 1-581cf771-a006649127e371903a2de979 here"),
        "{detail}"
    );
}

#[test]
fn time_rules_have_codes() {
    let check =
        |times: &str, code| check_invalid(&format!("{{{IDENTITY}{times}}}"), ID, code, false);
    check("", InvalidCode::MissingStartTime);
    check(r#","start_time":null"#, InvalidCode::MissingStartTime);
    check(
        r#","start_time":"1478293361.271""#,
        InvalidCode::InvalidStartTime,
    );
    check(r#","start_time":-1"#, InvalidCode::InvalidStartTime);
    check(r#","start_time":true"#, InvalidCode::InvalidStartTime);
    let detail = check(
        r#","start_time":1478293361271"#,
        InvalidCode::InvalidStartTime,
    );
    assert!(detail.contains("milliseconds"), "{detail}");
    check(r#","start_time":1"#, InvalidCode::MissingEndTime);
    check(
        r#","start_time":1,"in_progress":false"#,
        InvalidCode::MissingEndTime,
    );
    check(
        r#","start_time":1,"in_progress":"true""#,
        InvalidCode::MissingEndTime,
    );
    check(
        r#","start_time":1,"end_time":null"#,
        InvalidCode::MissingEndTime,
    );
    check(
        r#","start_time":1,"end_time":{}"#,
        InvalidCode::InvalidEndTime,
    );
    check(
        r#","start_time":1,"end_time":"2","in_progress":true"#,
        InvalidCode::InvalidEndTime,
    );
}

#[test]
fn parents_and_annotations_have_codes() {
    let check = |members: &str, code, in_subsegment| {
        check_invalid(&segment(members), ID, code, in_subsegment)
    };
    check(
        r#","type":"subsegment""#,
        InvalidCode::MissingParentId,
        true,
    );
    check(
        r#","type":"subsegment","parent_id":"""#,
        InvalidCode::MissingParentId,
        true,
    );
    check(
        r#","parent_id":"short""#,
        InvalidCode::InvalidParentId,
        false,
    );
    check(r#","parent_id":5"#, InvalidCode::InvalidParentId, false);
    check(
        r#","annotations":[]"#,
        InvalidCode::InvalidAnnotations,
        false,
    );
    check(
        r#","annotations":"a""#,
        InvalidCode::InvalidAnnotations,
        false,
    );
    check(
        r#","annotations":true"#,
        InvalidCode::InvalidAnnotations,
        false,
    );
}

#[test]
fn a_nested_fault_refuses_the_whole_document() {
    let nested = |subsegment: &str| segment(&format!(",\"subsegments\":[null,{{{subsegment}}}]"));
    let inner = r#""id":"53995c3f42cd8ad8","name":"a","start_time":1"#;
    let check = |subsegment: &str, code| check_invalid(&nested(subsegment), ID, code, true);
    check("", InvalidCode::MissingId);
    check(r#""id":"x""#, InvalidCode::InvalidId);
    check(r#""id":"53995c3f42cd8ad8""#, InvalidCode::MissingName);
    check(
        r#""id":"53995c3f42cd8ad8","name":"GET /?a=b","start_time":1,"end_time":2"#,
        InvalidCode::InvalidName,
    );
    check(
        r#""id":"53995c3f42cd8ad8","name":"a""#,
        InvalidCode::MissingStartTime,
    );
    check(inner, InvalidCode::MissingEndTime);
    check(
        &format!(r#"{inner},"end_time":2,"annotations":7"#),
        InvalidCode::InvalidAnnotations,
    );
    let deep = format!(r#"{inner},"end_time":2,"subsegments":[{{{inner}}}]"#);
    let detail = check(&deep, InvalidCode::MissingEndTime);
    assert!(
        detail.starts_with("subsegments[1].subsegments[0].end_time:"),
        "{detail}"
    );
}

#[test]
fn what_is_around_a_subsegment_may_be_in_progress_for_it() {
    let inner = r#"{"id":"53995c3f42cd8ad8","name":"a","start_time":7}"#;
    let outer =
        format!(r#"{{{IDENTITY},"start_time":1,"in_progress":true,"subsegments":[{inner}]}}"#);
    let head = head(&outer);
    assert!(head.in_progress);
    assert!(head.flags.contains(Flags::DEEP_IN_PROGRESS));
    assert_eq!(head.end, Timestamp::from_secs(7));
}

#[test]
fn what_is_no_object_is_no_segment() {
    check_invalid("[]", None, InvalidCode::MissingId, false);
    check_invalid(" [ \n ] ", None, InvalidCode::MissingId, false);
    for text in ["", "null", "5", "\"x\"", "[{}]", "segment"] {
        check_invalid(text, None, InvalidCode::InvalidSegment, false);
    }
    let cut = &segment("")[..100];
    check_invalid(cut, ID, InvalidCode::InvalidSegment, false);
    let detail = check_invalid(
        &segment(",\"http\":{]"),
        ID,
        InvalidCode::InvalidSegment,
        false,
    );
    assert!(detail.contains("line 1 column"), "{detail}");
    check_invalid(
        &format!("{} x", segment("")),
        ID,
        InvalidCode::InvalidSegment,
        false,
    );
    check_invalid(
        &segment(",\"subsegments\":{}"),
        ID,
        InvalidCode::InvalidSegment,
        false,
    );
    check_invalid(
        &segment(",\"subsegments\":[7]"),
        ID,
        InvalidCode::InvalidSegment,
        false,
    );
}

/// Found by fuzzing: the reader's account quotes a wrong value whole, so that a refusal was as long as the document.
#[test]
fn refusals_show_the_beginning_of_a_wrong_value() {
    let check = |members: &str, expected: &str| {
        let text = segment(members);
        let detail = check_invalid(&text, ID, InvalidCode::InvalidSegment, false);
        assert!(detail.starts_with(expected), "{detail}");
        assert!(detail.chars().count() <= 190, "{detail}");
        detail
    };
    let long = "\u{e9}m".repeat(10_000);
    let detail = check(
        &format!(",\"subsegments\":[\"{long}\"]"),
        "invalid type: string \"\u{e9}m\u{e9}m",
    );
    assert!(
        detail.contains("...") && detail.contains("\", expected a segment or subsegment"),
        "{detail}"
    );
    let detail = check(
        ",\"subsegments\":[\"short\"]",
        "invalid type: string \"short\", expected a",
    );
    assert!(!detail.contains("..."), "{detail}");
}

#[test]
fn a_member_must_not_occur_twice() {
    let detail = check_invalid(
        &segment(",\"name\":\"b\""),
        ID,
        InvalidCode::InvalidSegment,
        false,
    );
    assert!(detail.starts_with("duplicate member `name`"), "{detail}");
    let nested = r#","subsegments":[{"id":"53995c3f42cd8ad8","id":"53995c3f42cd8ad9"}]"#;
    let detail = check_invalid(&segment(nested), ID, InvalidCode::InvalidSegment, false);
    assert!(detail.starts_with("duplicate member `id`"), "{detail}");
    let detail = check_invalid(
        &segment(r#","aws":{"ec2":1,"ec2":2}"#),
        ID,
        InvalidCode::InvalidSegment,
        false,
    );
    assert!(detail.contains("`ec2`"), "{detail}");
    assert_eq!(head(&segment(",\"Dummy\":1,\"Dummy\":2")).name, "Scorekeep");
}

#[test]
fn size_and_depth_are_bounded() {
    let limits = DocumentLimits {
        document_bytes_max: 200,
    };
    let text = segment(&format!(",\"metadata\":{{\"a\":\"{}\"}}", "x".repeat(200)));
    let invalid = Segment::parse(&text, &limits).unwrap_err();
    assert_eq!(invalid.id.as_deref(), ID);
    assert_eq!(invalid.code, InvalidCode::InvalidSegment);
    assert_eq!(
        invalid.detail,
        format!("document is {} bytes, the limit is 200", text.len())
    );
    for (n_levels, is_valid) in [(124, true), (125, false), (9_000, false)] {
        let metadata = format!(
            ",\"metadata\":{}{}",
            "[".repeat(n_levels),
            "]".repeat(n_levels)
        );
        let text = segment(&metadata);
        assert_eq!(
            Segment::parse(&text, &DocumentLimits::default()).is_ok(),
            is_valid,
            "{n_levels}"
        );
    }
    let nested = nested_levels(62);
    let segment = Segment::parse(&nested, &DocumentLimits::default()).unwrap();
    assert_eq!(segment.head().nested_ids.len(), 62);
    let detail = check_invalid(
        &nested_levels(63),
        Some("0000000000000000"),
        InvalidCode::InvalidSegment,
        false,
    );
    assert_eq!(
        detail,
        "document is nested 127 levels deep, the limit is 125"
    );
}

/// Returns a segment with so many levels of subsegments.
fn nested_levels(n_levels: usize) -> String {
    let inner = format!(r#"{{"id":"{n_levels:016x}","name":"a","start_time":1,"end_time":2}}"#);
    let nested = (0..n_levels).rev().fold(inner, |inner, level| {
        format!(r#"{{"id":"{level:016x}","name":"a","start_time":1,"end_time":2,"subsegments":[{inner}]}}"#)
    });
    nested.replacen(
        '{',
        r#"{"trace_id":"1-581cf771-a006649127e371903a2de979","#,
        1,
    )
}

#[test]
fn members_outside_the_schema_are_tolerated() {
    for members in [
        r#","in_progress":false"#,
        r#","Dummy":false,"traced":true"#,
        r#","http":null,"aws":null,"sql":null,"cause":null,"annotations":null,"metadata":null"#,
        r#","subsegments":null,"parent_id":null,"type":null,"user":null,"error":null,"links":null"#,
        r#","http":{"request":null,"response":{"status":"200","content_length":"861"}}"#,
        r#","http":"x","aws":[1],"sql":2,"cause":"abcdefghijklmnop","service":7,"metadata":[{"a":1}]"#,
        r#","namespace":"","type":"segment","error":"yes","user":5,"origin":{}"#,
        r#","type":"something","precursor_ids":7,"links":{}"#,
        r#","parent_id":"""#,
        r#","annotations":{"guid:x-request-id":"a","o":{"a":[1]},"l":[1],"n":null,"":1}"#,
        r#","aws":{"xray":{"rule_name":"Default","sampling_rule_name":"x"}},"service":{"runtime":"node"}"#,
    ] {
        let head = head(&segment(members));
        assert_eq!(head.kind, DocumentKind::Segment, "{members}");
        assert_eq!(head.end, Timestamp::from_nanos(2_250_000_000), "{members}");
        assert_eq!(head.annotations, [], "{members}");
    }
}

#[test]
fn an_end_before_the_start_is_accepted_as_sent() {
    let head = head(&format!(
        "{{{IDENTITY},\"start_time\":1.478293361271E9,\"end_time\":3}}"
    ));
    assert_eq!(head.start, Timestamp::from_nanos(1_478_293_361_271_000_000));
    assert_eq!(head.end, Timestamp::from_secs(3));
}

#[test]
fn long_strings_are_kept() {
    let url = format!("https://example.com/?{}", "x".repeat(4_000));
    let head = head(&segment(&format!(
        r#","http":{{"request":{{"url":"{url}"}}}}"#
    )));
    assert_eq!(head.http.unwrap().url, Some(url));
}

#[test]
fn facts_of_the_document_are_read() {
    let head = head(&segment(
        r#","parent_id":"0c544c1b1bbff948","origin":"AWS::ElasticBeanstalk::Environment","user":"5M388M1E",
        "resource_arn":"arn:aws:lambda:us-west-2:123456789012:function:f",
        "http":{"request":{"url":"http:\/\/e.com/","method":"POST","user_agent":"Mozilla","client_ip":"205.251.233.183"},
                "response":{"status":200.0,"content_length":-1}},
        "aws":{"account_id":123456789012,"ec2":{"instance_id":"i-0cd9e448944061b4a","availability_zone":"us-west-2c"},
               "ecs":{"availability_zone":"us-west-2d"}},
        "annotations":{"UserID":"5M388M1E","ok":true,"n":-2,"f":0.5,"a.b":1,"long":"LONG"}"#
            .replace("LONG", &"x".repeat(1_001))
            .as_str(),
    ));
    assert_eq!(head.parent_id, Some(SegmentId(0x0c54_4c1b_1bbf_f948)));
    assert_eq!(
        head.origin.as_deref(),
        Some("AWS::ElasticBeanstalk::Environment")
    );
    assert_eq!(head.account_id.as_deref(), Some("123456789012"));
    assert_eq!(head.user.as_deref(), Some("5M388M1E"));
    assert_eq!(
        head.resource_arn.as_deref(),
        Some("arn:aws:lambda:us-west-2:123456789012:function:f")
    );
    assert_eq!(head.instance_id.as_deref(), Some("i-0cd9e448944061b4a"));
    assert_eq!(head.availability_zone.as_deref(), Some("us-west-2c"));
    let http = HttpFacts {
        url: Some("http://e.com/".to_owned()),
        method: Some("POST".to_owned()),
        status: Some(200),
        user_agent: Some("Mozilla".to_owned()),
        client_ip: Some("205.251.233.183".to_owned()),
    };
    assert_eq!(head.http, Some(http));
    let annotations = [
        (
            "UserID".to_owned(),
            AnnotationValue::String("5M388M1E".to_owned()),
        ),
        ("ok".to_owned(), AnnotationValue::Boolean(true)),
        ("n".to_owned(), AnnotationValue::Number(-2.0)),
        ("f".to_owned(), AnnotationValue::Number(0.5)),
        ("a.b".to_owned(), AnnotationValue::Number(1.0)),
    ];
    assert_eq!(head.annotations, annotations);
}

#[test]
fn what_is_nested_is_gathered() {
    let head = head(&segment(
        r#","annotations":{"a":1},"subsegments":[
          {"id":"0000000000000001","name":"work","start_time":1,"end_time":9,"annotations":{"a":2},"subsegments":[
            {"id":"0000000000000002","name":"DynamoDB","namespace":"aws","start_time":1.1,"end_time":1.2,
             "aws":{"table_name":"users"},"http":{"response":{"status":429}}}]},
          {"id":"0000000000000003","name":"api.example.com","namespace":"remote","start_time":1.3,"end_time":9,"in_progress":true,
           "http":{"request":{"traced":true}}},
          {"id":"0000000000000004","name":"db@host","namespace":"remote","start_time":1.4,"end_time":1.5,"sql":{},"fault":true}]"#,
    ));
    let ids: Vec<u64> = head.nested_ids.iter().map(|id| id.0).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    let expected = Flags::DEEP_ERROR
        .union(Flags::DEEP_THROTTLE)
        .union(Flags::DEEP_FAULT)
        .union(Flags::DEEP_IN_PROGRESS);
    assert_eq!(head.flags, expected);
    assert_eq!(head.end, Timestamp::from_nanos(2_250_000_000));
    assert_eq!(head.annotations.len(), 2);
    let call = |id: u64, name: &str, kind: &str, millis: [u64; 2], flags: Flags| Call {
        id: SegmentId(id),
        service_name: name.to_owned(),
        service_type: kind.to_owned(),
        start: Timestamp::from_nanos(millis[0] * 1_000_000),
        end: Timestamp::from_nanos(millis[1] * 1_000_000),
        flags,
        status: (id == 2).then_some(429),
        traced: id == 3,
        in_progress: id == 3,
    };
    let throttled = Flags::ERROR.union(Flags::THROTTLE);
    let calls = [
        call(
            2,
            "users",
            "AWS::DynamoDB::Table",
            [1_100, 1_200],
            throttled,
        ),
        call(
            3,
            "api.example.com",
            "remote",
            [1_300, 1_300],
            Flags::default(),
        ),
        call(4, "db@host", "Database::SQL", [1_400, 1_500], Flags::FAULT),
    ];
    assert_eq!(head.calls, calls);
}

#[test]
fn a_subsegment_sent_alone_may_be_a_call_itself() {
    let text = segment(
        r#","type":"subsegment","parent_id":"defdfd9912dc5a56","namespace":"remote","traced":true,
        "http":{"response":{"status":503}}"#,
    );
    let head = head(&text);
    assert_eq!(head.kind, DocumentKind::Subsegment);
    assert_eq!(head.calls.len(), 1);
    assert!(head.calls[0].traced);
    assert_eq!(head.flags, Flags::FAULT.union(Flags::DEEP_FAULT));
    assert_eq!(head.nested_ids, []);
    let as_segment = self::head(&segment(r#","namespace":"remote""#));
    assert_eq!(as_segment.calls, []);
}

/// Returns how many segments a document alone is shown as, inferred ones aside.
fn shown(text: &str, segment: &Segment<'_>) -> usize {
    let document = Document {
        segment_id: segment.id(),
        in_progress: segment.in_progress(),
        stamp: 1,
        first_stamp: 1,
        text: text.to_owned(),
    };
    let documents = [document];
    let trace = Trace::compile(segment.trace_id(), &documents, Orphans::Visible);
    trace
        .segments
        .iter()
        .filter(|segment| !segment.inferred())
        .count()
}

proptest! {
    #[test]
    fn parsing_never_panics(text in "\\PC*") {
        let _ = Segment::parse(&text, &DocumentLimits::default());
    }

    #[test]
    fn parsing_of_mutated_documents_never_panics(
        at in 0..700_usize,
        n_cut in 0..5_usize,
        insert in prop::sample::select(vec!["", "{", "}", "[", "]", "\"", ",", ":", "null", "1e9", "-", "\\", "\u{e9}", "\\ud800"]),
    ) {
        let text = segment(
            r#","parent_id":"0c544c1b1bbff948","http":{"request":{"url":"http://e.com/"},"response":{"status":200}},
            "aws":{"account_id":"1","ec2":{"instance_id":"i"}},"annotations":{"a":"b","c":1.5},"metadata":{"a":{"b":[1]}},
            "cause":{"exceptions":[{"id":"3e9e11e3ab3fba60"}]},"subsegments":[{"id":"53995c3f42cd8ad8","name":"a",
            "start_time":1,"end_time":2,"namespace":"remote","http":{"request":{"traced":true}}}]"#,
        );
        let at = at.min(text.len());
        let end = (at + n_cut).min(text.len());
        let mutated = format!("{}{insert}{}", &text[..at], &text[end..]);
        match Segment::parse(&mutated, &DocumentLimits::default()) {
            Ok(segment) => {
                prop_assert_eq!(segment.head().segment_id, segment.id());
                prop_assert_eq!(shown(&mutated, &segment), 1, "what is accepted can be shown");
            }
            Err(invalid) => prop_assert!(!invalid.detail.is_empty()),
        }
    }

    #[test]
    fn ids_and_times_round_trip(trace in any::<[u8; 16]>(), id in any::<u64>(), nanos in any::<u64>()) {
        let (trace_id, id) = (TraceId::from_bytes(trace), SegmentId(id));
        let start = Timestamp::from_nanos(nanos);
        prop_assert_eq!(TraceId::parse(&trace_id.to_string()), Ok(trace_id));
        prop_assert_eq!(id.to_string().parse(), Ok(id));
        prop_assert_eq!(Timestamp::parse_seconds(&start.to_string()), Ok(start));
        let text = format!(
            r#"{{"trace_id":"{trace_id}","id":"{id}","name":"a","start_time":{start},"in_progress":true}}"#
        );
        let segment = Segment::parse(&text, &DocumentLimits::default()).unwrap();
        prop_assert_eq!((segment.trace_id(), segment.id(), segment.start()), (trace_id, id, start));
    }
}
