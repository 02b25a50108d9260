//! Summaries, service graphs, trace graphs and time series of generated traffic, compared with a slow and
//! plain derivation from the documents that were sent.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use roentgen_tests::random::Random;
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::is_long;
use crate::reference::{
    Fact, Reference, What, difference, graph, plain, plain_graph, plain_summary, series,
};
use crate::stories::Teller;

/// A time series to ask for: the selector, and what it means.
struct Series {
    selector: Option<&'static str>,
    period_s: u64,
    is_meant: fn(&What) -> bool,
}

const SERIES: &[Series] = &[
    Series {
        selector: None,
        period_s: 60,
        is_meant: |what| matches!(what, What::Called(call) if call.from.1.as_deref() == Some("client")),
    },
    Series {
        selector: None,
        period_s: 300,
        is_meant: |what| matches!(what, What::Called(call) if call.from.1.as_deref() == Some("client")),
    },
    Series {
        selector: Some("service(\"web\")"),
        period_s: 60,
        is_meant: |what| matches!(what, What::Served { by, .. } if by.0 == "web"),
    },
    Series {
        selector: Some(
            "service(id(name: \"api\", type: \"AWS::ECS::Container\", account.id: \"444455556666\"))",
        ),
        period_s: 120,
        is_meant: |what| matches!(what, What::Served { by, .. } if by.0 == "api" && by.2.as_deref() == Some("444455556666")),
    },
    Series {
        selector: Some("service(id(type: \"AWS::DynamoDB::Table\"))"),
        period_s: 900,
        is_meant: |what| matches!(what, What::Served { by, .. } if by.1.as_deref() == Some("AWS::DynamoDB::Table")),
    },
    Series {
        selector: Some("edge(\"web\", \"auth\")"),
        period_s: 300,
        is_meant: |what| matches!(what, What::Called(call) if call.from.0 == "web" && call.to.0 == "auth"),
    },
    Series {
        selector: Some("edge(id(name: \"web\"), id(type: \"AWS::SNS\"))"),
        period_s: 60,
        is_meant: |what| matches!(what, What::Called(call) if call.from.0 == "web" && call.to.1.as_deref() == Some("AWS::SNS")),
    },
];

/// Returns all services of an answer, all pages joined.
pub(crate) fn services(server: &Server, path: &str, request: &Value) -> Result<Vec<Value>> {
    let mut request = request.clone();
    let mut services = Vec::new();
    loop {
        let page = server.post(path, &request)?.success()?;
        services.extend(list(&page, "Services")?);
        let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
            return Ok(services);
        };
        request["NextToken"] = token.clone();
    }
}

fn assert_same(what: &str, actual: &Value, expected: &Value) {
    if let Some(difference) = difference(actual, expected) {
        panic!("{what}: {difference}");
    }
}

/// Returns the summaries of a window in the form of the reference.
pub(crate) fn summaries(server: &Server, window: (u64, u64)) -> Result<BTreeMap<String, Value>> {
    let request = json!({ "StartTime": window.0, "EndTime": window.1, "TimeRangeType": "Event" });
    let found = crate::fixture::summaries(server, &request)?;
    let mut summaries = BTreeMap::new();
    for summary in found {
        let plain = plain_summary(&summary);
        let before = summaries.insert(summary["Id"].as_str().context("Id")?.to_owned(), plain);
        assert!(before.is_none(), "a trace twice: {summary}");
    }
    Ok(summaries)
}

fn contains(told: &Value, left: &Value) -> bool {
    let (Some(told), Some(left)) = (told.as_array(), left.as_array()) else {
        return false;
    };
    left.iter().all(|one| told.contains(one))
}

fn check_summaries(server: &Server, reference: &Reference, window: (u64, u64)) -> Result<()> {
    let actual = json!(summaries(server, window)?);
    assert_same("summaries", &actual, &json!(reference.summaries()));
    Ok(())
}

/// Sums are kept by minute: what is asked for counts from the minute its start lies in to the one before its
/// end, that one included if the end is within it.
pub(crate) fn whole_minutes((from, to): (u64, u64)) -> (u64, u64) {
    (from / 60 * 60_000, to.div_ceil(60) * 60_000)
}

pub(crate) fn check_graph(server: &Server, facts: &[Fact], window: (u64, u64)) -> Result<()> {
    let request = json!({ "StartTime": window.0, "EndTime": window.1 });
    let actual = plain_graph(&services(server, "/ServiceGraph", &request)?);
    let (from, to) = whole_minutes(window);
    let expected = graph(facts, from, to);
    assert_same(&format!("graph of {window:?}"), &actual, &expected);
    Ok(())
}

/// Compares a graph of several partitions.
///
/// Two things may differ: first start and last end, and the names callers use, are gathered and cannot be taken
/// away again, so that those of a version of a trace that was replaced in a newer partition still count. What is
/// told may be wider than what is left, never narrower. Tests of their own are about that.
pub(crate) fn check_graph_but_for_sets(
    server: &Server,
    facts: &[Fact],
    window: (u64, u64),
) -> Result<()> {
    let request = json!({ "StartTime": window.0, "EndTime": window.1 });
    let mut actual = plain_graph(&services(server, "/ServiceGraph", &request)?);
    let (from, to) = whole_minutes(window);
    let expected = graph(facts, from, to);
    narrow(&mut actual, &expected);
    assert_same(&format!("graph of {window:?}"), &actual, &expected);
    Ok(())
}

/// Sets times and names of nodes and edges that are wider than expected to what is expected.
fn narrow(actual: &mut Value, expected: &Value) {
    let (Some(actual), Some(expected)) = (actual.as_object_mut(), expected.as_object()) else {
        return;
    };
    for (name, value) in actual {
        let Some(expected) = expected.get(name) else {
            continue;
        };
        let (told, left) = (value.as_f64(), expected.as_f64());
        let is_wider = match name.as_str() {
            "StartTime" => told <= left,
            "EndTime" => told >= left,
            "Aliases" => contains(value, expected),
            _ => false,
        };
        if is_wider {
            *value = expected.clone();
        }
        narrow(value, expected);
    }
}

/// Compares a series; without a selector periods without requests are left out.
fn check_series(server: &Server, facts: &[Fact], window: (u64, u64), asked: &Series) -> Result<()> {
    let mut request =
        json!({ "StartTime": window.0, "EndTime": window.1, "Period": asked.period_s });
    if let Some(selector) = asked.selector {
        request["EntitySelectorExpression"] = json!(selector);
    }
    let is_service = asked
        .selector
        .is_some_and(|selector| selector.starts_with("service"));
    let member = if is_service {
        "ServiceSummaryStatistics"
    } else {
        "EdgeSummaryStatistics"
    };
    let answer = server
        .post("/TimeSeriesServiceStatistics", &request)?
        .success()?;
    assert!(
        answer.get("NextToken").is_none_or(Value::is_null),
        "{answer}"
    );
    let mut actual = Vec::new();
    for entry in list(&answer, "TimeSeriesServiceStatistics")? {
        let other = if is_service {
            "EdgeSummaryStatistics"
        } else {
            "ServiceSummaryStatistics"
        };
        assert!(entry.get(other).is_none_or(Value::is_null), "{entry}");
        let time = entry["Timestamp"].as_f64().context("Timestamp")?;
        actual.push((
            time,
            plain(&entry[member]),
            plain(&entry["ResponseTimeHistogram"]),
        ));
    }
    let mut expected = series(
        facts,
        whole_minutes(window),
        asked.period_s * 1_000,
        asked.is_meant,
    );
    if asked.selector.is_none() {
        expected.retain(|(_, statistics, _)| statistics["TotalCount"] != json!(0.0));
    }
    assert_eq!(actual, expected, "{request}");
    Ok(())
}

/// Compares which traces are listed for a part of the hour, in each of the three kinds of windows.
fn check_windows(server: &Server, reference: &Reference, (from, to): (u64, u64)) -> Result<()> {
    let seconds = |at: u64| f64::from(u32::try_from(at).unwrap());
    let (from_s, to_s) = (seconds(from), seconds(to));
    for kind in ["TraceId", "Event", "Service"] {
        let request = json!({ "StartTime": from, "EndTime": to, "TimeRangeType": kind });
        let found = crate::fixture::summaries(server, &request)?;
        let mut found: Vec<&str> = found
            .iter()
            .map(|one| one["Id"].as_str().unwrap())
            .collect();
        found.sort_unstable();
        let all = reference.summaries();
        let is_within = |summary: &Value| {
            let start = summary["StartTime"].as_f64().unwrap();
            let end = start + summary["Duration"].as_f64().unwrap();
            match kind {
                "TraceId" => start >= from_s && start < to_s,
                "Event" => start < to_s && end >= from_s,
                _ => end >= from_s && end < to_s,
            }
        };
        let expected = all.iter().filter(|(_, summary)| is_within(summary));
        let expected: Vec<&str> = expected.map(|(id, _)| id.as_str()).collect();
        assert_eq!(found, expected, "{request}");
    }
    Ok(())
}

/// Compares everything the server tells of an hour of traffic.
fn check_all(server: &Server, reference: &Reference, window: (u64, u64), seed: u64) -> Result<()> {
    check_summaries(server, reference, window)?;
    let facts = reference.facts();
    let mut random = Random::new(seed);
    check_graph_but_for_sets(server, &facts, window)?;
    for _ in 0..2 {
        let from = window.0 + u64::from(random.below(3_000));
        let to = from + u64::from(random.between(1, 600));
        check_graph_but_for_sets(server, &facts, (from, to))?;
        check_windows(server, reference, (from, to))?;
        for asked in SERIES {
            check_series(server, &facts, (from, to), asked)?;
        }
    }
    for asked in SERIES {
        check_series(server, &facts, window, asked)?;
    }
    let ids: Vec<&String> = reference.traces.keys().collect();
    for n_traces in [1, 1, 5, 60] {
        let n_ids = u32::try_from(ids.len())?;
        let mut some: Vec<&String> = Vec::new();
        for _ in 0..n_traces {
            some.push(ids[usize::try_from(random.below(n_ids))?]);
        }
        some.sort();
        some.dedup();
        let actual = services(server, "/TraceGraph", &json!({ "TraceIds": some }))?;
        let facts = reference.facts_of(&some);
        assert_same(
            "graph of traces",
            &plain_graph(&actual),
            &graph(&facts, 0, u64::MAX),
        );
    }
    Ok(())
}

/// Puts a batch and notes it. Documents are made larger, so that partitions fill.
pub(crate) fn put(
    server: &Server,
    reference: &mut Reference,
    batch: &[Value],
    fill_bytes: usize,
) -> Result<()> {
    let mut texts = Vec::new();
    for document in batch {
        reference.put(document);
        let mut sent = document.clone();
        sent["metadata"] = json!({ "default": { "fill": "x".repeat(fill_bytes) } });
        texts.push(sent.to_string());
    }
    server.put_all(&texts)
}

fn n_partitions(home: &Home) -> Result<usize> {
    let folders = std::fs::read_dir(home.data().join("p"))?;
    Ok(folders
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .count())
}

/// Puts documents of another year until the partition that took the last write takes no more.
pub(crate) fn fill_partition(home: &Home, server: &Server) -> Result<()> {
    let before = n_partitions(home)?;
    let mut random = Random::new(u64::try_from(before)?);
    for number in 0..400 {
        let trace_id = format!("1-3b9aca00-{number:024x}");
        // Text that does not compress.
        let noise: Vec<String> = (0..3_700)
            .map(|_| format!("{:016x}", random.bits()))
            .collect();
        let fill = json!({ "default": { "fill": noise.concat() } });
        let document = json!({
            "trace_id": trace_id, "id": "00000000000000f1", "name": "fill", "start_time": 1_000_000_000,
            "end_time": 1_000_000_001, "metadata": fill,
        });
        server.put_all(&[document.to_string()])?;
        if n_partitions(home)? > before {
            return Ok(());
        }
    }
    anyhow::bail!("the partition takes whatever comes")
}

/// The hour the traffic of a test is in: it ended a while ago, and begins with a minute.
pub(crate) fn past_hour() -> (u64, u64) {
    let end = u64::from(now()) / 60 * 60 - 600;
    (end - 3_600, end)
}

#[test]
fn answers_are_those_of_the_documents_before_and_after_restarts() -> Result<()> {
    (1..=if is_long() { 10 } else { 1 }).try_for_each(check_seed)
}

/// Puts the traffic of a seed into several partitions, with a kill on the way, and compares again and again.
fn check_seed(seed: u64) -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let mut server = home.start_with(&config)?;
    let window = past_hour();
    let mut teller = Teller::new(seed, u32::try_from(window.0)?, 3_500);
    let documents = teller.documents(220);
    let batches = teller.batches(documents);
    let mut reference = Reference::default();
    let n_batches = batches.len();
    for (batch_idx, batch) in batches.iter().enumerate() {
        put(&server, &mut reference, batch, 3_500)?;
        if batch_idx % (n_batches / 3) == 0 {
            check_all(&server, &reference, window, 7)?;
        }
        if batch_idx == n_batches / 2 {
            server.kill9()?;
            server = home.start_with(&config)?;
            check_all(&server, &reference, window, 8)?;
        }
    }
    let n_partitions = n_partitions(&home)?;
    assert!(n_partitions > 3, "{n_partitions} partitions");
    check_all(&server, &reference, window, 9)?;
    assert!(server.terminate()?.success());
    let server = home.start_with(&config)?;
    check_all(&server, &reference, window, 10)?;
    server.kill9()?;
    let server = home.start_with(&config)?;
    check_all(&server, &reference, window, 11)
}

/// A group's filter, and what it means to a summary of the reference.
type Group = (&'static str, &'static str, fn(&Value) -> bool);

const GROUPS: &[Group] = &[
    ("failed", "fault", |one| one["HasFault"] == true),
    ("not-partial", "!partial AND duration > 1", |one| {
        one["IsPartial"] == false && one["Duration"].as_f64() > Some(1.0)
    }),
    ("gold", "annotation.tier = \"gold\"", |one| {
        one["Annotations"]["tier"].get("\"gold\"").is_some()
    }),
    ("auth", "service(\"auth\")", |one| {
        let services = one["ServiceIds"].as_array().unwrap();
        services.iter().any(|service| service["Name"] == "auth")
    }),
    ("all", "", |_| true),
];

/// Compares graph and series of each group with those of the traces that match its filter as they are now.
fn check_groups(server: &Server, reference: &Reference, window: (u64, u64)) -> Result<()> {
    let summaries = reference.summaries();
    let (from, to) = whole_minutes(window);
    for (name, _, means) in GROUPS {
        let matching = summaries.iter().filter(|(_, summary)| means(summary));
        let ids: Vec<&String> = matching.map(|(id, _)| id).collect();
        assert!(!ids.is_empty(), "{name}");
        let facts = reference.facts_of(&ids);
        let request = json!({ "StartTime": window.0, "EndTime": window.1, "GroupName": name });
        let mut actual = plain_graph(&services(server, "/ServiceGraph", &request)?);
        let expected = graph(&facts, from, to);
        narrow(&mut actual, &expected);
        assert_same(&format!("group {name}"), &actual, &expected);
        let answer = server
            .post("/TimeSeriesServiceStatistics", &request)?
            .success()?;
        let entries = list(&answer, "TimeSeriesServiceStatistics")?;
        let told = entries
            .iter()
            .map(|one| plain(&one["EdgeSummaryStatistics"]));
        let expected = series(&facts, (from, to), 60_000, SERIES[0].is_meant).into_iter();
        let expected = expected.map(|(_, statistics, _)| statistics);
        let expected = expected.filter(|statistics| statistics["TotalCount"] != json!(0.0));
        assert_eq!(
            told.collect::<Vec<_>>(),
            expected.collect::<Vec<_>>(),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn graphs_of_groups_are_those_of_the_traces_that_match() -> Result<()> {
    (1..=if is_long() { 10 } else { 1 }).try_for_each(check_groups_of_seed)
}

/// Puts the traffic of a seed into several partitions, and compares what groups hold of it.
fn check_groups_of_seed(seed: u64) -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let mut server = home.start_with(&config)?;
    for (name, filter, _) in GROUPS {
        let group = json!({ "GroupName": name, "FilterExpression": filter });
        server.post("/CreateGroup", &group)?.success()?;
    }
    let window = past_hour();
    let mut teller = Teller::new(100 + seed, u32::try_from(window.0)?, 3_500);
    let documents = teller.documents(150);
    let batches = teller.batches(documents);
    let mut reference = Reference::default();
    for (batch_idx, batch) in batches.iter().enumerate() {
        put(&server, &mut reference, batch, 4_000)?;
        if batch_idx == batches.len() / 2 {
            check_groups(&server, &reference, window)?;
            server.kill9()?;
            server = home.start_with(&config)?;
        }
    }
    let n_partitions = n_partitions(&home)?;
    assert!(n_partitions > 2, "{n_partitions} partitions");
    check_groups(&server, &reference, window)?;
    assert!(server.terminate()?.success());
    let server = home.start_with(&config)?;
    check_groups(&server, &reference, window)
}

#[test]
fn answers_about_linked_traces_are_those_of_the_documents() -> Result<()> {
    for seed in 2..if is_long() { 20 } else { 4 } {
        let home = Home::new()?;
        let server = home.start()?;
        let window = past_hour();
        let mut teller = Teller::new(seed, u32::try_from(window.0)?, 3_500).linked();
        let documents = teller.documents(120);
        let mut reference = Reference::default();
        for batch in teller.batches(documents) {
            put(&server, &mut reference, &batch, 0)?;
        }
        check_all(&server, &reference, window, seed)?;
        check_graph(&server, &reference.facts(), window)?;
    }
    Ok(())
}
