//! Trace retrieval: started once, fetched page by page in both formats, called off, and drawn as a graph.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use roentgen_tests::server::{documents_of, list};
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::assert_error;
use crate::graph::past_hour;
use crate::groups::assert_resource_error;

const LIST: &str = "/ListRetrievedTraces";
const GRAPH: &str = "/GetRetrievedTracesGraph";
const CANCEL: &str = "/CancelTraceRetrieval";

fn trace_id(start: u64, number: u64) -> String {
    format!("1-{start:08x}-{number:024x}")
}

/// Puts so many traces, one a minute: a service with a call another one answers, one nobody does, and work.
fn put_traces(server: &Server, start: u64, n_traces: u64) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    for number in 0..n_traces {
        let id = trace_id(start, number);
        let at = start + number * 60;
        let root = json!({
            "trace_id": id, "id": "00000000000000a1", "name": "shop", "origin": "AWS::EC2::Instance",
            "start_time": at, "end_time": at + 9, "fault": true, "user": "alice",
            "annotations": { "tier": "gold" },
            "http": { "request": { "method": "POST", "url": "https://shop.example.com/" }, "response": { "status": 500 } },
            "cause": { "exceptions": [{ "id": "00000000000000e1", "type": "Timeout", "message": "too slow" }] },
            "subsegments": [
                { "id": "00000000000000a2", "name": "stock", "namespace": "remote", "start_time": at + 1, "end_time": at + 3 },
                {
                    "id": "00000000000000a3", "name": "work", "start_time": at + 3, "end_time": at + 8,
                    "subsegments": [{
                        "id": "00000000000000a4", "name": "DynamoDB", "namespace": "aws", "start_time": at + 4, "end_time": at + 5,
                        "aws": { "table_name": "orders", "operation": "GetItem" },
                    }],
                },
            ],
        });
        let stock = json!({
            "trace_id": id, "id": "00000000000000b1", "parent_id": "00000000000000a2", "name": "stock",
            "start_time": at + 1, "end_time": at + 2,
        });
        server.put_all(&[stock.to_string(), root.to_string()])?;
        ids.push(id);
    }
    Ok(ids)
}

fn start(server: &Server, ids: &[String], (from, to): (u64, u64)) -> Result<String> {
    let request = json!({ "TraceIds": ids, "StartTime": from, "EndTime": to });
    let answer = server.post("/StartTraceRetrieval", &request)?.success()?;
    let token = answer["RetrievalToken"]
        .as_str()
        .context("RetrievalToken")?;
    assert!((1..=1020).contains(&token.len()), "{token}");
    let request = json!({ "RetrievalToken": token });
    until("the retrieval is complete", || {
        let answer = server.post(LIST, &request)?.success()?;
        let status = answer["RetrievalStatus"]
            .as_str()
            .context("RetrievalStatus")?
            .to_owned();
        let is_known = ["SCHEDULED", "RUNNING", "COMPLETE"].contains(&status.as_str());
        anyhow::ensure!(is_known, "{status}");
        Ok((status == "COMPLETE").then_some(()))
    })?;
    Ok(token.to_owned())
}

/// Documents by trace and span id.
type Documents = BTreeMap<String, BTreeMap<String, Value>>;

/// Returns the documents of each retrieved trace, all pages joined, by span id, and how many pages there were.
fn retrieved(server: &Server, token: &str, format: Option<&str>) -> Result<(Documents, usize)> {
    let mut request = json!({ "RetrievalToken": token });
    if let Some(format) = format {
        request["TraceFormat"] = json!(format);
    }
    let mut traces = Documents::new();
    for n_pages in 1.. {
        let page = server.post(LIST, &request)?.success()?;
        assert_eq!(page["RetrievalStatus"], "COMPLETE");
        assert_eq!(page["TraceFormat"], format.unwrap_or("XRAY"));
        let on_page = list(&page, "Traces")?;
        assert!(on_page.len() <= 5, "{} traces on a page", on_page.len());
        for trace in on_page {
            let spans = list(&trace, "Spans")?;
            assert!(
                (1..=100).contains(&spans.len()),
                "{} spans on a page",
                spans.len()
            );
            assert!(trace.get("Segments").is_none());
            let id = trace["Id"].as_str().context("Id")?.to_owned();
            let documents = traces.entry(id).or_default();
            for span in spans {
                let id = span["Id"].as_str().context("Id")?;
                assert!((1..=16).contains(&id.len()), "{id}");
                let document = span["Document"].as_str().context("Document")?;
                let before = documents.insert(id.to_owned(), serde_json::from_str(document)?);
                assert!(before.is_none(), "{id} twice");
            }
        }
        let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
            return Ok((traces, n_pages));
        };
        request["NextToken"] = token.clone();
    }
    unreachable!("pages are counted without end")
}

/// Returns the documents of traces as `BatchGetTraces` has them, in the same form.
fn batch(server: &Server, ids: &[String]) -> Result<Documents> {
    let mut traces = BTreeMap::new();
    for id in ids {
        for trace in server.traces(&[id])? {
            let documents = documents_of(&trace)?.into_iter();
            let by_id = documents.map(|one| (one["id"].as_str().unwrap().to_owned(), one));
            traces.insert(id.clone(), by_id.collect());
        }
    }
    Ok(traces)
}

#[test]
fn segments_are_those_of_batch_get_traces() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let mut ids = put_traces(&server, window.0, 12)?;
    let expected = batch(&server, &ids)?;
    assert_eq!(expected.len(), 12);
    // What is not there is left out, what is named again counts once.
    ids.push(trace_id(window.0, 99));
    ids.push(ids[0].clone());
    let token = start(&server, &ids, window)?;
    for format in [None, Some("XRAY")] {
        let (traces, n_pages) = retrieved(&server, &token, format)?;
        assert_eq!(traces, expected);
        assert!(n_pages >= 3, "{n_pages} pages");
    }
    let page = server
        .post(LIST, &json!({ "RetrievalToken": token }))?
        .success()?;
    assert_eq!(page["Traces"][0]["Duration"].as_f64(), Some(9.0));
    Ok(())
}

#[test]
fn spans_are_those_of_opentelemetry() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let ids = put_traces(&server, window.0, 2)?;
    let token = start(&server, &ids, window)?;
    let (traces, _) = retrieved(&server, &token, Some("OTEL"))?;
    assert_eq!(
        traces.keys().collect::<Vec<_>>(),
        ids.iter().collect::<Vec<_>>()
    );
    for (trace_id, spans) in &traces {
        let hex = trace_id.replacen("1-", "", 1).replace('-', "");
        let parents: BTreeMap<&str, Option<&str>> = spans
            .iter()
            .map(|(id, span)| (id.as_str(), span["parentSpanId"].as_str()))
            .collect();
        let expected = [
            ("00000000000000a1", None),
            ("00000000000000a2", Some("00000000000000a1")),
            ("00000000000000a3", Some("00000000000000a1")),
            ("00000000000000a4", Some("00000000000000a3")),
            ("00000000000000b1", Some("00000000000000a2")),
        ];
        assert_eq!(parents, expected.into_iter().collect());
        for (id, span) in spans {
            assert_eq!(
                (&span["traceId"], &span["spanId"]),
                (&json!(hex), &json!(id))
            );
            let (start, end) = (&span["startTimeUnixNano"], &span["endTimeUnixNano"]);
            let nanos = |time: &Value| {
                let text = time.to_string();
                let text = text.trim_matches('"');
                text.parse::<u64>().with_context(|| span.to_string())
            };
            assert!(nanos(start)? < nanos(end)?, "{span}");
            assert_eq!(
                nanos(start)? % 1_000_000_000,
                0,
                "times keep their digits: {span}"
            );
            assert!(
                span["name"].is_string() && span["attributes"].is_object(),
                "{span}"
            );
            assert!(
                span["kind"].is_string() && span["status"].is_object(),
                "{span}"
            );
        }
        let root = &spans["00000000000000a1"];
        assert_eq!(root["kind"], "SERVER");
        assert_eq!(root["status"]["code"], "ERROR");
        assert_eq!(root["attributes"]["tier"], "gold");
        assert_eq!(root["attributes"]["http.response.status_code"], 500);
        assert_eq!(root["resource"]["attributes"]["service.name"], "shop");
        let exception = &root["events"][0]["attributes"];
        assert_eq!(exception["exception.type"], "Timeout");
        assert_eq!(spans["00000000000000a4"]["kind"], "CLIENT");
        assert_eq!(spans["00000000000000a3"]["kind"], "INTERNAL");
    }
    Ok(())
}

#[test]
fn a_large_trace_goes_on_on_the_next_page() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let mut ids = put_traces(&server, window.0, 3)?;
    let large = trace_id(window.0, 50);
    let documents: Vec<String> = (1..=250_u64)
        .map(|number| {
            json!({
                "trace_id": large, "id": format!("{number:016x}"), "name": "shop",
                "start_time": window.0 + number, "end_time": window.0 + number + 1,
            })
            .to_string()
        })
        .collect();
    documents
        .chunks(50)
        .try_for_each(|some| server.put_all(some))?;
    ids.insert(1, large.clone());
    let expected = batch(&server, &ids)?;
    let token = start(&server, &ids, window)?;
    let (traces, n_pages) = retrieved(&server, &token, None)?;
    assert_eq!(traces, expected);
    assert!(n_pages >= 3, "{n_pages} pages for 250 segments of a trace");
    let (spans, _) = retrieved(&server, &token, Some("OTEL"))?;
    assert_eq!(spans[&large].len(), 250);
    Ok(())
}

#[test]
fn only_traces_of_the_window_are_retrieved_its_end_included() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let from = past_hour().0;
    // One a minute, each of nine seconds.
    let ids = put_traces(&server, from, 5)?;
    let found = |window: (u64, u64)| -> Result<BTreeSet<String>> {
        let token = start(&server, &ids, window)?;
        let (traces, _) = retrieved(&server, &token, None)?;
        let answer = server
            .post(GRAPH, &json!({ "RetrievalToken": token }))?
            .success()?;
        assert_eq!(list(&answer, "Services")?.is_empty(), traces.is_empty());
        Ok(traces.into_keys().collect())
    };
    let some = |range: std::ops::Range<usize>| ids[range].iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(found((from, from + 3_600))?, some(0..5));
    assert_eq!(found((from + 60, from + 120))?, some(1..3));
    assert_eq!(found((from + 61, from + 119))?, some(1..2));
    assert_eq!(found((from + 10, from + 59))?, some(0..0));
    assert_eq!(found((from + 9, from + 9))?, some(0..1));
    Ok(())
}

#[test]
fn what_was_called_off_has_nothing() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let ids = put_traces(&server, window.0, 2)?;
    let token = start(&server, &ids, window)?;
    let kept = start(&server, &ids, window)?;
    assert_ne!(token, kept);
    let request = json!({ "RetrievalToken": token });
    assert_eq!(server.post(CANCEL, &request)?.success()?, json!({}));
    assert_eq!(
        server.post(CANCEL, &request)?.success()?,
        json!({}),
        "again"
    );
    let check = |server: &Server| -> Result<()> {
        let listed = server.post(LIST, &request)?.success()?;
        assert_eq!(listed["RetrievalStatus"], "CANCELLED");
        assert!(list(&listed, "Traces")?.is_empty(), "{listed}");
        let graph = server.post(GRAPH, &request)?.success()?;
        assert_eq!(graph["RetrievalStatus"], "CANCELLED");
        assert!(list(&graph, "Services")?.is_empty(), "{graph}");
        let (traces, _) = retrieved(server, &kept, None)?;
        assert_eq!(traces.len(), 2, "the other retrieval");
        Ok(())
    };
    check(&server)?;
    assert!(server.terminate()?.success());
    let server = home.start()?;
    check(&server).context("after a stop")?;
    server.kill9()?;
    check(&home.start()?).context("after a kill")
}

#[test]
fn a_token_nobody_was_given_is_not_found() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    for token in [
        "nobody-was-given-this",
        "00000000-0000-4000-8000-000000000000",
        "a b/c\u{fc}",
    ] {
        for path in [LIST, GRAPH, CANCEL] {
            let response = server.post(path, &json!({ "RetrievalToken": token }))?;
            assert_resource_error(&response, 404, "ResourceNotFoundException", token)
                .with_context(|| format!("{path} {token}"))?;
        }
    }
    for path in [LIST, GRAPH, CANCEL] {
        let response = server.post(path, &json!({}))?;
        assert_error(&response, 400, "InvalidRequestException").context(path)?;
        let long = json!({ "RetrievalToken": "x".repeat(1_021) });
        assert_error(&server.post(path, &long)?, 400, "InvalidRequestException").context(path)?;
    }
    Ok(())
}

#[test]
fn wrong_requests_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (from, to) = past_hour();
    let id = trace_id(from, 1);
    let many: Vec<String> = (0..101).map(|number| trace_id(from, number)).collect();
    for request in [
        json!({ "StartTime": from, "EndTime": to }),
        json!({ "TraceIds": [id], "EndTime": to }),
        json!({ "TraceIds": [id], "StartTime": from }),
        json!({ "TraceIds": [id], "StartTime": to, "EndTime": from }),
        json!({ "TraceIds": many, "StartTime": from, "EndTime": to }),
        json!({ "TraceIds": ["nonsense"], "StartTime": from, "EndTime": to }),
        json!({ "TraceIds": id, "StartTime": from, "EndTime": to }),
    ] {
        let response = server.post("/StartTraceRetrieval", &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| request.to_string())?;
    }
    let token = start(&server, &many[..100], (from, to))?;
    let (traces, _) = retrieved(&server, &token, None)?;
    assert!(traces.is_empty());
    for members in [
        json!({ "TraceFormat": "XML" }),
        json!({ "TraceFormat": "otel" }),
        json!({ "NextToken": "never given out" }),
    ] {
        let mut request = members;
        request["RetrievalToken"] = json!(token);
        let response = server.post(LIST, &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| request.to_string())?;
    }
    Ok(())
}

#[test]
fn the_graph_is_that_of_the_traces() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let ids = put_traces(&server, window.0, 6)?;
    let token = start(&server, &ids[..4], window)?;
    let answer = server
        .post(GRAPH, &json!({ "RetrievalToken": token }))?
        .success()?;
    assert_eq!(answer["RetrievalStatus"], "COMPLETE");
    assert!(
        answer.get("NextToken").is_none_or(Value::is_null),
        "{answer}"
    );
    let retrieved = list(&answer, "Services")?;
    let services: Vec<Value> = retrieved.iter().map(|one| one["Service"].clone()).collect();
    assert!(
        retrieved.iter().all(|one| one["Links"].is_array()),
        "{answer}"
    );
    let graph = server
        .post("/TraceGraph", &json!({ "TraceIds": ids[..4] }))?
        .success()?;
    assert_eq!(services, list(&graph, "Services")?);
    assert_eq!(
        services.len(),
        4,
        "client, shop, stock and a table: {services:?}"
    );
    Ok(())
}

#[test]
fn the_graph_tells_which_traces_are_linked() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let (sender, receiver) = (trace_id(window.0, 1), trace_id(window.0, 2));
    let at = window.0 + 60;
    let told = json!({
        "trace_id": sender, "id": "00000000000000a1", "name": "shop", "start_time": at, "end_time": at + 2,
        "subsegments": [{ "id": "00000000000000a2", "name": "SQS", "namespace": "aws", "start_time": at, "end_time": at + 1 }],
    });
    let heard = json!({
        "trace_id": receiver, "id": "00000000000000b1", "name": "worker", "start_time": at + 30, "end_time": at + 31,
        "links": [{ "trace_id": sender, "id": "00000000000000a2" }],
    });
    server.put_all(&[heard.to_string(), told.to_string()])?;
    let token = start(&server, &[sender.clone(), receiver.clone()], window)?;
    let answer = server
        .post(GRAPH, &json!({ "RetrievalToken": token }))?
        .success()?;
    let services = list(&answer, "Services")?;
    let links: Vec<Value> = services
        .iter()
        .flat_map(|one| one["Links"].as_array().cloned().unwrap())
        .collect();
    assert!(!links.is_empty(), "{answer}");
    for link in &links {
        let destinations = list(link, "DestinationTraceIds")?;
        let ends = [&link["SourceTraceId"], &destinations[0]];
        let (from, to) = (json!(sender), json!(receiver));
        assert!(ends == [&from, &to] || ends == [&to, &from], "{link}");
        assert!(link["ReferenceType"].is_string(), "{link}");
    }
    Ok(())
}
