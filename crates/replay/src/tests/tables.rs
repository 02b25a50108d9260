//! Every member and form, one by one.

use model::{SegmentId, Timestamp, TraceId};

use crate::{Body, NewIds, Rewrite, Shift, Unchanged, first_start};

fn recorded() -> Timestamp {
    Timestamp::from_secs(1_478_293_361)
}

/// Moves by a thousand seconds.
fn moving() -> Rewrite {
    Rewrite {
        shift: Shift::by(recorded(), 1000),
        ids: None,
    }
}

/// Gives new ids.
fn renaming() -> Rewrite {
    Rewrite {
        shift: Shift::by(recorded(), 0),
        ids: Some(NewIds::new(7, 0)),
    }
}

fn check_moved(text: &str, expected: &str) {
    assert_eq!(moving().document(text).unwrap(), expected, "{text}");
    let back = Rewrite {
        shift: moving().shift.inverse(),
        ids: None,
    };
    assert_eq!(back.document(expected).unwrap(), text, "{expected}");
}

/// Checks that exactly these ids of a document are exchanged, at all their places.
fn check_renamed(text: &str, ids: &[&str]) {
    let mut expected = text.to_owned();
    for id in ids {
        expected = expected.replace(id, &renamed(id));
    }
    assert_eq!(renaming().document(text).unwrap(), expected, "{text}");
    assert_eq!(moving().shift.secs(), 1000);
    let is_new = ids.is_empty() || expected != text;
    assert!(is_new, "{text}");
}

fn renamed(id: &str) -> String {
    match TraceId::parse(id) {
        Ok(id) => renaming().trace_id(id).to_string(),
        Err(_) => renaming().segment_id(id.parse().unwrap()).to_string(),
    }
}

#[test]
fn times_are_moved_where_they_stand() {
    check_moved(
        r#"{"start_time":1478293361.271,"end_time":1.478293361449E9}"#,
        r#"{"start_time":1478294361.271,"end_time":1.478294361449E9}"#,
    );
    check_moved(
        r#"{ "start_time" : "1478293361.271" , "in_progress" : true } "#,
        r#"{ "start_time" : "1478294361.271" , "in_progress" : true } "#,
    );
    check_moved(
        r#"{"subsegments":[{"start_time":1,"subsegments":[{"end_time":2.50}]},null,3]}"#,
        r#"{"subsegments":[{"start_time":1001,"subsegments":[{"end_time":1002.50}]},null,3]}"#,
    );
    check_moved(
        r#"[{"start_time":1},[{"start_time":1}],{"end_time":2}]"#,
        r#"[{"start_time":1001},[{"start_time":1}],{"end_time":1002}]"#,
    );
    check_moved(
        r#"{"start_time":1,"start_time":2,"st\u0061rt_time":3}"#,
        r#"{"start_time":1001,"start_time":1002,"st\u0061rt_time":1003}"#,
    );
    check_moved(
        r#"{"metadata":{"otel.span":{"events":[{"timeUnixNano":"1478293361271000001"},{"timeUnixNano":"0"}]}}}"#,
        r#"{"metadata":{"otel.span":{"events":[{"timeUnixNano":"1478294361271000001"},{"timeUnixNano":"0"}]}}}"#,
    );
}

#[test]
fn the_epoch_of_a_trace_id_is_moved_along() {
    check_moved(
        r#"{"trace_id":"1-581cf771-a006649127e371903a2de979"}"#,
        r#"{"trace_id":"1-581cfb59-a006649127e371903a2de979"}"#,
    );
    check_moved(
        r#"{"trace_id":"1-581CF771-A006649127E371903A2DE979"}"#,
        r#"{"trace_id":"1-581CFB59-A006649127E371903A2DE979"}"#,
    );
    check_moved(
        r#"{"links":[{"trace_id":"581cf771a006649127e371903a2de979","id":"70de5b6f19ff9a0a"}]}"#,
        r#"{"links":[{"trace_id":"581cfb59a006649127e371903a2de979","id":"70de5b6f19ff9a0a"}]}"#,
    );
    check_moved(
        r#"{"metadata":{"otel.span":{"links":[{"traceId":"581cf771a006649127e371903a2de979"}]}}}"#,
        r#"{"metadata":{"otel.span":{"links":[{"traceId":"581cfb59a006649127e371903a2de979"}]}}}"#,
    );
    for random in [
        "1-ffffffff-a006649127e371903a2de979",
        "1-00000000-a006649127e371903a2de979",
    ] {
        let text = format!(r#"{{"trace_id":"{random}","start_time":null}}"#);
        check_moved(&text, &text);
    }
}

#[test]
fn ids_are_exchanged_where_they_stand() {
    check_renamed(
        r#"{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"70de5b6f19ff9a0a","parent_id":"53995c3f42cd8ad8"}"#,
        &[
            "1-581cf771-a006649127e371903a2de979",
            "70de5b6f19ff9a0a",
            "53995c3f42cd8ad8",
        ],
    );
    check_renamed(
        r#"{"type":"subsegment","precursor_ids":["70de5b6f19ff9a0a",null,"53995c3f42cd8ad8",["70de5b6f19ff9a0b"]]}"#,
        &["70de5b6f19ff9a0a", "53995c3f42cd8ad8"],
    );
    check_renamed(
        r#"{"links":[{"attributes":{"id":"00000000000000aa"},"id":"70de5b6f19ff9a0a","trace_id":"1-ffffffff-a006649127e371903a2de979"}]}"#,
        &["70de5b6f19ff9a0a", "1-ffffffff-a006649127e371903a2de979"],
    );
    check_renamed(r#"{"cause":"70de5b6f19ff9a0a"}"#, &["70de5b6f19ff9a0a"]);
    check_renamed(
        r#"{"cause":{"id":"00000000000000aa","exceptions":[{"id":"70de5b6f19ff9a0a","cause":"53995c3f42cd8ad8","message":"00000000000000aa","stack":[{"id":"00000000000000aa"}]}]}}"#,
        &["70de5b6f19ff9a0a", "53995c3f42cd8ad8"],
    );
    check_renamed(
        r#"{"subsegments":[{"id":"70de5b6f19ff9a0a","cause":{"exceptions":[{"id":"53995c3f42cd8ad8"}]}}]}"#,
        &["70de5b6f19ff9a0a", "53995c3f42cd8ad8"],
    );
    check_renamed(
        r#"{"metadata":{"otel.span":{"parentSpanId":"70de5b6f19ff9a0a","links":[{"spanId":"53995c3f42cd8ad8"}],"attributes":{"parentSpanId":"00000000000000aa"}}}}"#,
        &["70de5b6f19ff9a0a", "53995c3f42cd8ad8"],
    );
    check_renamed(
        r#"{"metadata":{"otel.span":{"serviceOf":"70de5b6f19ff9a0a"}}}"#,
        &["70de5b6f19ff9a0a"],
    );
}

#[test]
fn what_users_and_services_say_stays() {
    let said = r#"{"id":"70de5b6f19ff9a0a","parent_id":"70de5b6f19ff9a0a","start_time":1478293361.5,"end_time":5,"trace_id":"1-581cf771-a006649127e371903a2de979","subsegments":[{"start_time":5}],"cause":"70de5b6f19ff9a0a","otel.span":{"parentSpanId":"70de5b6f19ff9a0a"},"parentSpanId":"70de5b6f19ff9a0a","events":[{"timeUnixNano":"5"}]}"#;
    for member in [
        "annotations",
        "aws",
        "http",
        "sql",
        "service",
        "user",
        "origin",
        "x",
        "name",
        "namespace",
        "type",
        "in_progress",
        "inferred",
        "Subsegments",
        "subsegments ",
    ] {
        let text = format!(r#"{{"{member}":{said}}}"#);
        check_moved(&text, &text);
        check_renamed(&text, &[]);
    }
    for namespace in ["default", "otel", "otel.span.x", "subsegments"] {
        let text = format!(r#"{{"metadata":{{"{namespace}":{said}}}}}"#);
        check_moved(&text, &text);
        check_renamed(&text, &[]);
    }
}

#[test]
fn values_that_are_no_times_and_no_ids_stay() {
    for value in [
        "null",
        "true",
        "-1",
        "1700000000000",
        "\"soon\"",
        "\"\"",
        "[1]",
        "{\"id\":1}",
        "\"70de5b6f19ff9a0\"",
        "\"\\ud800\"",
        "\"70de5b6f19ff9a0ag\"",
        "\"2-581cf771-a006649127e371903a2de979\"",
        "1111111111111111111",
        "\"581cf771-a006649127e371903a2de979\"",
    ] {
        for member in [
            "id",
            "trace_id",
            "parent_id",
            "start_time",
            "end_time",
            "precursor_ids",
            "links",
            "metadata",
        ] {
            let text = format!(r#"{{"{member}":{value}}}"#);
            check_moved(&text, &text);
            check_renamed(&text, &[]);
        }
    }
    check_renamed(
        r#"{"id":1111111111111111,"parent_id":"0000000000000000"}"#,
        &[],
    );
}

#[test]
fn what_is_malformed_stays_byte_for_byte() {
    for text in [
        "",
        " ",
        "{",
        "nul",
        "{\"start_time\":1478293361,}",
        "{\"start_time\":1478293361} x",
        "{\"start_time\":01478293361}",
        "{start_time:1478293361}",
        "{\"start_time\" 1478293361}",
        "{\"start_time\":1478293361",
        "[{\"start_time\":1478293361}",
        "{\"id\":\"70de5b6f19ff9a0a}",
        "{\"format\":\"json\",\"version\":1}\n{\"start_time\":1478293361}",
        "1478293361",
        "\"70de5b6f19ff9a0a\"",
    ] {
        check_moved(text, text);
        check_renamed(text, &[]);
    }
}

#[test]
fn depth_is_no_limit() {
    let levels = 100_000;
    let nested = |time: u64| {
        let open = format!(r#"{{"start_time":{time},"subsegments":["#).repeat(levels);
        open + &"]}".repeat(levels)
    };
    check_moved(&nested(5), &nested(1005));
    let passed = format!(
        r#"{{"http":{}{},"end_time":5}}"#,
        "[".repeat(levels),
        "]".repeat(levels)
    );
    check_moved(&passed, &passed.replace(":5}", ":1005}"));
}

#[test]
fn ids_with_escapes_are_read() {
    let text =
        r#"{"id":"70de5b6f19ff9a0\u0061","trace_id":"\u0031-581cf771-a006649127e371903a2de979"}"#;
    let expected = format!(
        r#"{{"id":"{}","trace_id":"{}"}}"#,
        renamed("70de5b6f19ff9a0a"),
        renamed("1-581cf771-a006649127e371903a2de979")
    );
    assert_eq!(renaming().document(text).unwrap(), expected);
    assert_eq!(
        moving().document(text).unwrap(),
        r#"{"id":"70de5b6f19ff9a0\u0061","trace_id":"1-581cfb59-a006649127e371903a2de979"}"#
    );
}

#[test]
fn the_case_of_new_ids_is_that_of_the_old_ones() {
    let id = SegmentId(0x70de_5b6f_19ff_9a0a);
    let new = renaming().segment_id(id).to_string();
    let text = r#"{"id":"70DE5B6F19FF9A0A"}"#;
    let expected = format!(r#"{{"id":"{}"}}"#, new.to_ascii_uppercase());
    assert_eq!(renaming().document(text).unwrap(), expected);
    let text = r#"{"id":"70DE5b6f19ff9a0a"}"#;
    assert_eq!(
        renaming().document(text).unwrap(),
        format!(r#"{{"id":"{new}"}}"#)
    );
}

#[test]
fn a_time_without_a_place_leaves_the_document_unmoved() {
    let shift = Shift::by(recorded(), -2000);
    let rewrite = Rewrite { shift, ids: None };
    let text = r#"{"start_time":1478293361,"subsegments":[{"start_time":1000.5}]}"#;
    let error = rewrite.document(text).unwrap_err();
    assert_eq!(error.time, Timestamp::from_nanos(1_000_500_000_000));
    assert_eq!(
        error.to_string(),
        "the time 1000.5, moved by -2000 s, is before 1970 or after the year 2554"
    );
    assert_eq!(
        rewrite.datagram(format!("{{}}\n{text}").as_bytes()),
        Err(error)
    );
}

fn check_body(path: &str, body: &str, expected: &str) {
    let rewritten = moving().body(path, body.as_bytes()).unwrap();
    assert_eq!(
        rewritten,
        Body::Rewritten(expected.as_bytes().to_vec()),
        "{path} {body}"
    );
}

#[test]
fn documents_in_bodies_stay_escaped_as_they_were() {
    check_body(
        "/TraceSegments",
        r#"{ "TraceSegmentDocuments" : [ "{\"start_time\":1478293361.5,\"name\":\"zo\u00eb\\n\\u00eb\/\",\"end_time\":2}" ] , "x":1}"#,
        r#"{ "TraceSegmentDocuments" : [ "{\"start_time\":1478294361.5,\"name\":\"zo\u00eb\\n\\u00eb\/\",\"end_time\":1002}" ] , "x":1}"#,
    );
    check_body(
        "/TraceSegments",
        r#"{"TraceSegmentDocuments":["{\u0022start_time\u0022:\u0031}","[{\"end_time\":1}]","{\"end_time\":","",null,{"end_time":1},"\ud800"]}"#,
        r#"{"TraceSegmentDocuments":["{\u0022start_time\u0022:1001}","[{\"end_time\":1001}]","{\"end_time\":","",null,{"end_time":1},"\ud800"]}"#,
    );
    check_body(
        "/TraceSegments",
        r#"{"start_time":1}"#,
        r#"{"start_time":1}"#,
    );
    check_body("/TraceSegments", "[1]", "[1]");
}

#[test]
fn ids_in_embedded_documents_are_those_of_plain_ones() {
    let document = r#"{"trace_id":"1-581cf771-a006649127e371903a2de979","id":"70de5b6f19ff9a0a","name":"a\"\\\u00eb"}"#;
    let body = |document: &str| {
        serde_json::json!({ "TraceSegmentDocuments": [document] })
            .to_string()
            .into_bytes()
    };
    let expected = body(&renaming().document(document).unwrap());
    assert_ne!(expected, body(document));
    assert_eq!(
        renaming().body("/TraceSegments", &body(document)),
        Ok(Body::Rewritten(expected))
    );
}

#[test]
fn times_of_statistics_are_moved() {
    check_body(
        "/SamplingTargets",
        r#"{"SamplingStatisticsDocuments": [{"ClientID": "c664ec1b31752c2538915a33", "Timestamp": 1795304430.652448}, {"Timestamp": 1795304430}], "SamplingBoostStatisticsDocuments": [{"Timestamp": 1.5E9}]}"#,
        r#"{"SamplingStatisticsDocuments": [{"ClientID": "c664ec1b31752c2538915a33", "Timestamp": 1795305430.652448}, {"Timestamp": 1795305430}], "SamplingBoostStatisticsDocuments": [{"Timestamp": 1.500001E9}]}"#,
    );
    check_body(
        "/TelemetryRecords",
        r#"{"TelemetryRecords":[{"SegmentsSentCount":1,"Timestamp":1795304413}],"Timestamp":5}"#,
        r#"{"TelemetryRecords":[{"SegmentsSentCount":1,"Timestamp":1795305413}],"Timestamp":5}"#,
    );
}

#[test]
fn other_bodies_stay() {
    let check = |path: &str, body: &[u8], why| {
        assert_eq!(
            moving().body(path, body),
            Ok(Body::Unchanged(why)),
            "{path} {body:?}"
        );
    };
    let segment = br#"{"start_time":1478293361}"#;
    check("/Traces", segment, Unchanged::OtherOperation);
    check(
        "/TraceSummaries",
        br#"{"StartTime":1478293361}"#,
        Unchanged::OtherOperation,
    );
    check("/SamplingRules", b"", Unchanged::OtherOperation);
    check("/v1/traces", segment, Unchanged::Spans);
    check("/TraceSegments", b"", Unchanged::Malformed);
    check("/TraceSegments", b"\x1f\x8b\x08", Unchanged::Malformed);
    check("/TraceSegments", b"{\"x\":\"\xff\"}", Unchanged::Malformed);
    check(
        "/TelemetryRecords",
        b"{\"TelemetryRecords\":[}",
        Unchanged::Malformed,
    );
}

#[test]
fn datagrams_keep_their_header() {
    let check = |datagram: &str, expected: &str| {
        let rewritten = moving().datagram(datagram.as_bytes()).unwrap();
        assert_eq!(
            rewritten,
            Body::Rewritten(expected.as_bytes().to_vec()),
            "{datagram}"
        );
    };
    check(
        "{\"format\": \"json\", \"version\": 1}\n{\"start_time\":1}\n",
        "{\"format\": \"json\", \"version\": 1}\n{\"start_time\":1001}\n",
    );
    check(
        "start_time\n\n \r\n{\"start_time\":1}",
        "start_time\n\n \r\n{\"start_time\":1001}",
    );
    let stays = |datagram: &[u8], why| {
        assert_eq!(
            moving().datagram(datagram),
            Ok(Body::Unchanged(why)),
            "{datagram:?}"
        );
    };
    stays(b"", Unchanged::Malformed);
    stays(b"{\"start_time\":1}", Unchanged::Malformed);
    stays(b"{}\n", Unchanged::Malformed);
    stays(b"{}\n{\"a\":\"\xff\"}", Unchanged::Malformed);
    stays(b"{}\nT1SCgA=", Unchanged::Spans);
    stays(b"{}\nT1UCgA=", Unchanged::Spans);
}

#[test]
fn the_first_start_is_found() {
    let check = |text: &str, expected: Option<&str>| {
        let expected = expected.map(|time| Timestamp::parse_seconds(time).unwrap());
        assert_eq!(first_start(text), expected, "{text}");
    };
    check(r#"{"end_time":1,"start_time":5.5}"#, Some("5.5"));
    check(
        r#"[{"start_time":5.5},{"start_time":"4"},{"start_time":-3}]"#,
        Some("4"),
    );
    check(
        r#"{"start_time":5,"subsegments":[{"start_time":4}]}"#,
        Some("4"),
    );
    check(
        r#"{"TraceSegmentDocuments":["{\"start_time\":3}","{\"start_time\":2}","{"]}"#,
        Some("2"),
    );
    check(r#"{"http":{"start_time":1}}"#, None);
    check("{", None);
}
