//! Files of every form, and files that are not whole.

use model::{DocumentLimits, Segment, Timestamp};
use otlp::Rules;
use serde_json::{Value, json};

use super::elements::{Elements, Findings, Flow, Format};
use super::frames::Frames;
use super::scan::{Place, Scanner};
use super::*;

/// Keeps what is found.
#[derive(Default)]
struct Kept {
    documents: Vec<String>,
    bad: Vec<String>,
}

impl Findings for Kept {
    fn document(&mut self, text: String, _place: Place) -> Flow {
        self.documents.push(text);
        Flow::On
    }

    fn bad(&mut self, message: String, place: Place) -> Flow {
        self.bad.push(format!("{} {message}", place.number));
        Flow::On
    }
}

fn read(bytes: &[u8], format: Format) -> Kept {
    let mut kept = Kept::default();
    let mut elements = Elements::new(format, Rules::default(), Timestamp::MAX);
    let mut scanner = Scanner::new(bytes);
    while let Some(element) = scanner.next().unwrap() {
        match &element.json {
            Ok(json) => elements.json(json, element.member, element.place, &mut kept),
            Err(message) => kept.bad(message.clone(), element.place),
        };
    }
    elements.flush(&mut kept);
    kept
}

/// Returns the documents of a file in memory.
pub(crate) fn documents_of(bytes: &[u8]) -> Result<Vec<String>, String> {
    let kept = read(bytes, Format::Auto);
    if kept.bad.is_empty() {
        Ok(kept.documents)
    } else {
        Err(kept.bad.join("; "))
    }
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(documents_of(text.as_bytes()).unwrap(), expected, "{text}");
}

#[test]
fn documents_are_found_in_every_form_of_the_api() {
    let document = r#"{"trace_id": "1-2-3", "id": "a"}"#;
    let quoted = r#""{\"trace_id\": \"1-2-3\", \"id\": \"a\"}""#;
    check(document, &[document]);
    check(&format!("[{document}, {quoted}]"), &[document, document]);
    check(
        &format!(r#"{{"TraceSegmentDocuments": [{quoted}]}}"#),
        &[document],
    );
    check(
        &format!(r#"[{{"TraceSegmentDocuments": [{quoted}, {document}]}}]"#),
        &[document, document],
    );
    check(
        &format!(r#"{{"Id": "1-2-3", "Segments": [{{"Id": "a", "Document": {quoted}}}]}}"#),
        &[document],
    );
    check(
        &format!(
            r#"{{"Traces": [{{"Id": "1-2-3", "Segments": [{{"Document": {document}}}]}}, {{"Segments": []}}], "NextToken": null}}"#
        ),
        &[document],
    );
    check(&format!("[{{\"Document\": {quoted}}}]"), &[document]);
}

fn span(id: &str) -> Value {
    json!({ "traceId": "581cf771a006649127e371903a2de979", "spanId": id, "name": "work", "kind": 2,
        "startTimeUnixNano": "1478293361000000000", "endTimeUnixNano": "1478293362000000000" })
}

fn ids(texts: &[String]) -> Vec<String> {
    let ids = texts.iter().map(|text| {
        let segment = Segment::parse(text, &DocumentLimits::default());
        segment
            .unwrap_or_else(|error| panic!("{error}: {text}"))
            .id()
            .to_string()
    });
    ids.collect()
}

#[test]
fn spans_are_found_in_every_form() {
    let group = json!({ "scopeSpans": [{ "spans": [span("00000000000000a1")] }] });
    let request = json!({ "resourceSpans": [group, group] });
    let twice = ["00000000000000a1", "00000000000000a1"];
    for text in [
        request.to_string(),
        serde_json::to_string_pretty(&request).unwrap(),
        format!("[{request}]"),
        json!({ "batches": [group, group] }).to_string(),
        json!({ "result": request }).to_string(),
        format!(
            "{}\n{}\n",
            json!({ "resourceSpans": [group] }),
            json!({ "resourceSpans": [group] })
        ),
    ] {
        assert_eq!(
            ids(&documents_of(text.as_bytes()).unwrap()),
            twice,
            "{text}"
        );
    }
}

#[test]
fn protobuf_is_read_message_by_message() {
    let request = otlp_request();
    let message = request.encode(otlp::Encoding::Protobuf);
    let mut prefixed = Vec::new();
    for _ in 0..2 {
        prefixed.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        prefixed.extend(&message);
    }
    for (bytes, n_documents) in [(message.clone(), 1), (prefixed, 2), (message.repeat(3), 3)] {
        assert!(frames::is_binary(&bytes));
        let mut kept = Kept::default();
        let elements = Elements::new(Format::Auto, Rules::default(), Timestamp::MAX);
        let mut frames = Frames::new(bytes.as_slice());
        while let Some((place, message)) = frames.next() {
            elements.protobuf(&message.unwrap(), place, &mut kept);
        }
        assert_eq!((kept.documents.len(), kept.bad), (n_documents, Vec::new()));
    }
}

fn otlp_request() -> otlp::Spans {
    let text = r#"{"trace_id": "1-581cf771-a006649127e371903a2de979", "id": "70de5b6f19ff9a0a",
        "name": "shop", "start_time": 1478293361, "end_time": 1478293362}"#;
    let documents = [model::Document {
        segment_id: Segment::parse(text, &DocumentLimits::default())
            .unwrap()
            .id(),
        in_progress: false,
        stamp: 1,
        first_stamp: 1,
        text: text.to_owned(),
    }];
    let trace_id = model::TraceId::parse("1-581cf771-a006649127e371903a2de979").unwrap();
    otlp::spans_of(&model::Trace::compile(
        trace_id,
        &documents,
        model::Orphans::Visible,
    ))
}

#[test]
fn jaeger_and_zipkin_are_found() {
    let jaeger = json!({ "data": [{ "traceID": "83a9", "spans": [{
        "traceID": "83a9", "spanID": "a1", "operationName": "GET /", "startTime": 1_706_678_909_209_712_u64, "duration": 123,
        "references": [{ "refType": "CHILD_OF", "traceID": "83a9", "spanID": "b1" }],
        "tags": [{ "key": "span.kind", "type": "string", "value": "server" }, { "key": "error", "type": "bool", "value": true },
            { "key": "n", "type": "int64", "value": 5 }],
        "logs": [{ "timestamp": 1_706_678_909_209_713_u64, "fields": [{ "key": "event", "type": "string", "value": "e" }] }],
        "processID": "p1",
    }], "processes": { "p1": { "serviceName": "shop", "tags": [] } } }] });
    let texts = documents_of(jaeger.to_string().as_bytes()).unwrap();
    let document: Value = serde_json::from_str(&texts[0]).unwrap();
    assert_eq!(texts.len(), 1);
    let shown =
        ["trace_id", "id", "parent_id", "name", "fault"].map(|member| document[member].clone());
    let expected = json!([
        "1-00000000-0000000000000000000083a9",
        "00000000000000a1",
        "00000000000000b1",
        "shop",
        true
    ]);
    assert_eq!(json!(shown), expected);
    assert_eq!(document["start_time"].as_f64(), Some(1_706_678_909.209_712));
    assert_eq!(document["end_time"].as_f64(), Some(1_706_678_909.209_835));

    let zipkin = json!([
        { "traceId": "ef86c83c0a05a6d6", "id": "a1", "kind": "CLIENT", "name": "get", "timestamp": 1_531_282_088_548_312_u64,
            "duration": 20_333, "localEndpoint": { "serviceName": "front" }, "remoteEndpoint": { "serviceName": "back" },
            "tags": { "http.method": "GET", "http.status_code": "404" } },
        { "traceId": "ef86c83c0a05a6d6", "id": "a1", "kind": "SERVER", "name": "get", "timestamp": 1_531_282_088_548_412_u64,
            "duration": 20_000, "localEndpoint": { "serviceName": "back" }, "shared": true },
    ]);
    let texts = documents_of(zipkin.to_string().as_bytes()).unwrap();
    let called: Value = serde_json::from_str(&texts[1]).unwrap();
    assert_eq!(
        (&called["name"], &called["parent_id"]),
        (&json!("back"), &json!("00000000000000a1"))
    );
    assert_eq!(ids(&texts)[0], "00000000000000a1");
    assert_eq!(texts, documents_of(zipkin.to_string().as_bytes()).unwrap());
}

#[test]
fn what_is_bad_is_told_and_the_rest_is_found() {
    let good = r#"{"trace_id": "1", "id": "a"}"#;
    let kept = read(
        format!("{good}\n{{\"id\": tru}}\n{good}\n{{\"traceId\": \"1\", \"id\": \"a\"}}\n")
            .as_bytes(),
        Format::Auto,
    );
    assert_eq!(kept.documents, [good, good]);
    insta::assert_snapshot!(kept.bad.join("\n"), @"
    2 not JSON of a trace: expected ident at line 1 column 11
    4 nothing says when this span was, nor when its trace was
    ");
    let kept = read(good.as_bytes(), Format::Otlp);
    assert_eq!((kept.documents.len(), kept.bad.len()), (0, 1));
    let kept = read(b"{\"trace_id\": \"\xff\"}", Format::Auto);
    assert_eq!(kept.bad, ["1 not UTF-8 text"]);
}

#[test]
fn what_came_of_it_decides_the_exit() {
    let check = |accepted, refused, bad, skip_bad, expected| {
        let totals = Totals {
            documents: accepted + refused,
            accepted,
            refused,
            bad,
            inferred: 0,
        };
        assert_eq!(totals.exit(skip_bad), expected, "{totals:?}");
    };
    check(5, 0, 0, false, Exit::Done);
    check(0, 0, 0, false, Exit::NotFound);
    check(5, 1, 0, false, Exit::Failed);
    check(5, 0, 1, false, Exit::Failed);
    check(5, 1, 1, true, Exit::Partly);
    check(0, 1, 1, true, Exit::Failed);
}

#[test]
fn the_sides_of_a_call_are_two_however_far_apart_they_are_read() {
    let side = |kind: &str, service: &str, trace: &str, micros: u64| {
        json!({ "traceId": trace, "id": "a1", "kind": kind, "timestamp": micros, "duration": 5,
            "localEndpoint": { "serviceName": service } })
        .to_string()
    };
    let others = |n: usize| {
        let others = (0..n).map(|number| {
            json!({ "traceId": format!("{:x}", number + 100), "id": "b1", "timestamp": 9, "duration": 1 })
                .to_string()
        });
        others.collect::<Vec<_>>()
    };
    for n_between in [0, 4_990, 4_999, 12_000] {
        let mut lines = vec![side("CLIENT", "front", "1", 1_000_000)];
        lines.extend(others(n_between));
        lines.push(side("SERVER", "back", "1", 1_000_001));
        let found = documents_of(lines.join("\n").as_bytes()).unwrap();
        let found: Vec<Value> = found
            .iter()
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        let of_call: Vec<&Value> = found
            .iter()
            .filter(|document| document["trace_id"] == "1-00000000-000000000000000000000001")
            .collect();
        let ids: HashSet<String> = of_call
            .iter()
            .map(|found| found["id"].to_string())
            .collect();
        assert_eq!((of_call.len(), ids.len()), (2, 2), "{n_between}");
    }
}

#[test]
fn what_is_bad_of_waiting_spans_is_told_with_its_own_place() {
    let good = r#"{"traceId": "1", "id": "a", "timestamp": 5}"#;
    let untimed = r#"{"traceId": "2", "id": "a"}"#;
    let zero = r#"{"traceId": "1", "id": "0", "timestamp": 5}"#;
    let kept = read(
        format!("{good}\n{untimed}\n{zero}\n{good}\n").as_bytes(),
        Format::Auto,
    );
    assert_eq!(kept.documents.len(), 2);
    insta::assert_snapshot!(kept.bad.join("\n"), @"
    2 nothing says when this span was, nor when its trace was
    3 span 0000000000000000: span id 0000000000000000 is not 8 bytes that are not all zero
    ");
}

#[test]
fn what_is_of_something_else_is_told() {
    let text = "{\"resourceMetrics\": [{}]}\n{ }\n{\"resourceLogs\": []}\n{\"id\": \"a\"}\n";
    let kept = read(text.as_bytes(), Format::Auto);
    assert_eq!(kept.documents, ["{\"id\": \"a\"}"]);
    insta::assert_snapshot!(kept.bad.join("\n"), @"
    1 metrics of OpenTelemetry, no traces
    2 an empty object, no traces
    3 logs of OpenTelemetry, no traces
    ");
}

/// Returns what is handed on of files with these bytes.
fn handed_on(files: &[&[u8]], skip_bad: bool) -> Vec<Item> {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Vec::new();
    for (idx, bytes) in files.iter().enumerate() {
        let path = folder.path().join(idx.to_string());
        std::fs::write(&path, bytes).unwrap();
        sources.push(Source::of(&path).unwrap());
    }
    let job = Job {
        sources,
        format: Format::Auto,
        skip_bad,
        rules: Rules::default(),
        meter: None,
        n_batch: 50,
        now: Timestamp::MAX,
    };
    let (sender, mut items) = mpsc::channel(100);
    job.send(None, sender);
    std::iter::from_fn(|| items.try_recv().ok()).collect()
}

/// Returns the elements of each batch, and what is bad without the name of its file.
fn shown(items: &[Item]) -> Vec<String> {
    let shown = items.iter().filter_map(|item| match item {
        Item::Batch(batch) => {
            let numbers = batch
                .iter()
                .map(|document| document.place.number.to_string());
            Some(numbers.collect::<Vec<_>>().join(" "))
        }
        Item::Bad(message) => {
            let (_, rest) = message.split_once(": ").unwrap();
            Some(rest.to_owned())
        }
        Item::End { .. } => None,
    });
    shown.collect()
}

#[test]
fn a_cut_file_says_where_and_ends_the_import() {
    let good = r#"{"trace_id": "1", "id": "a"}"#;
    let line = format!("{good}\n");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut encoder, line.repeat(3).as_bytes()).unwrap();
    let packed = encoder.finish().unwrap();
    let cut = &packed[..packed.len() - 20];
    let told = shown(&handed_on(&[cut], false));
    let (bad, before) = told.split_last().unwrap();
    assert_eq!(before, ["1", "2"]);
    assert!(bad.starts_with("element 3, line 3, byte "), "{bad}");

    let cut = b"\0\0\0\x09ab";
    let told = shown(&handed_on(&[cut, line.as_bytes()], false));
    assert_eq!(told.len(), 1, "{told:?}");
    let told = shown(&handed_on(&[cut, line.as_bytes()], true));
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn no_two_documents_of_a_batch_have_one_id() {
    let line = |trace: u8, id: &str| format!("{{\"trace_id\": \"{trace}\"{id}}}\n");
    let (a, b) = (", \"id\": \"a\"", ", \"id\": \"b\"");
    let text = [line(1, a), line(1, b), line(2, a), line(3, ""), line(4, "")].concat();
    let told = shown(&handed_on(&[text.as_bytes()], false));
    assert_eq!(told, ["1 2", "3 4", "5"]);
}
