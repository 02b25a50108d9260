//! Filter expressions on the wire: the corpus selects what it says, from recent and from sealed partitions, and
//! pages of a filtered list add up.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::{Connection, Home, Server};
use serde_json::{Value, json};
use toml::Table;

use crate::fixture::{assert_error, segment, summaries};
use crate::graph::{fill_partition, past_hour};
use crate::stories::Teller;

pub(crate) fn corpus(file: &str) -> Result<Table> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    Ok(std::fs::read_to_string(folder.join(file))?.parse()?)
}

pub(crate) fn tables(corpus: &Table, name: &str) -> Vec<Table> {
    let entries = corpus[name].as_array().unwrap().iter();
    entries
        .map(|entry| entry.as_table().unwrap().clone())
        .collect()
}

pub(crate) fn text<'t>(table: &'t Table, name: &str) -> &'t str {
    table[name].as_str().unwrap()
}

fn texts(list: &toml::Value) -> Vec<String> {
    let items = list.as_array().unwrap().iter();
    items
        .map(|item| item.as_str().unwrap().to_owned())
        .collect()
}

/// Makes the groups of the corpus and returns what stands for the names and ARNs of its expressions. A filter that
/// is none makes no group.
fn make_groups(server: &Server, corpus: &Table) -> Result<Vec<(String, String)>> {
    let mut arns = Vec::new();
    for group in tables(corpus, "group") {
        let name = &text(&group, "name").replace('_', "-");
        let created = if name == "Default" {
            server.post("/GetGroup", &json!({ "GroupName": name }))?
        } else {
            let request = json!({ "GroupName": name, "FilterExpression": text(&group, "filter") });
            server.post("/CreateGroup", &request)?
        };
        if created.status == 400 {
            let is_none = ["circle", "around", "broken"].contains(&name.as_str());
            assert!(is_none, "{name}: {}", created.text());
            continue;
        }
        let arn = created.success()?["Group"]["GroupARN"]
            .as_str()
            .context("GroupARN")?
            .to_owned();
        arns.push((text(&group, "arn").to_owned(), arn));
        arns.push((
            format!("\"{}\"", text(&group, "name")),
            format!("\"{name}\""),
        ));
    }
    Ok(arns)
}

fn with_arns(expression: &str, arns: &[(String, String)]) -> String {
    let replace = |expression: String, (from, to): &(String, String)| expression.replace(from, to);
    arns.iter().fold(expression.to_owned(), replace)
}

/// Fails unless every expression of the corpus selects the traces it says.
fn check_selected(server: &Server, corpus: &Table, arns: &[(String, String)]) -> Result<()> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut order = Vec::new();
    for trace in tables(corpus, "trace") {
        let document: Value = serde_json::from_str(&texts(&trace["documents"])[0])?;
        let name = text(&trace, "name").to_owned();
        names.insert(
            document["trace_id"]
                .as_str()
                .context("trace_id")?
                .to_owned(),
            name.clone(),
        );
        order.push(name);
    }
    let mut connection = server.connect()?;
    let mut findings = Vec::new();
    let mut n_checked = 0;
    for accepted in tables(corpus, "accepted") {
        let Some(expected) = accepted.get("traces").map(texts) else {
            continue;
        };
        let expression = with_arns(text(&accepted, "expr"), arns);
        let window = json!({ "StartTime": 0, "EndTime": 10_000, "FilterExpression": expression });
        let response = connection.post("/TraceSummaries", window.to_string().as_bytes())?;
        n_checked += 1;
        if response.status != 200 {
            findings.push(format!("{expression}\n    {}", response.text()));
            continue;
        }
        let found = list(&response.success()?, "TraceSummaries")?;
        let found: Vec<&String> = found
            .iter()
            .map(|one| &names[one["Id"].as_str().unwrap()])
            .collect();
        let mut in_order = order.clone();
        in_order.retain(|name| found.contains(&name));
        if in_order != expected || found.len() != expected.len() {
            findings.push(format!(
                "{expression}\n    selects {found:?}\n    not     {expected:?}"
            ));
        }
    }
    assert!(n_checked > 100, "{n_checked} expressions");
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    Ok(())
}

#[test]
fn the_corpus_selects_the_same_traces_recent_sealed_and_after_restarts() -> Result<()> {
    let corpus = corpus("filter.toml")?;
    let home = Home::new()?;
    // Every trace that has ended has root causes of its response time, as the corpus has it.
    let config = "[storage]\npartition_bytes = \"1MiB\"\n[query]\nslow_trace = \"0s\"\n";
    let config = home.config(config)?;
    let server = home.start_with(&config)?;
    let arns = make_groups(&server, &corpus)?;
    for trace in tables(&corpus, "trace") {
        let mut documents = texts(&trace["documents"]);
        documents.reverse();
        for document in documents {
            server.put_all(&[document])?;
        }
    }
    check_selected(&server, &corpus, &arns).context("recent")?;
    server.kill9()?;
    let server = home.start_with(&config)?;
    check_selected(&server, &corpus, &arns).context("recovered")?;
    fill_partition(&home, &server)?;
    check_selected(&server, &corpus, &arns).context("sealed")?;
    assert!(server.terminate()?.success());
    let server = home.start_with(&config)?;
    check_selected(&server, &corpus, &arns).context("sealed, and opened again")
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let arns = make_groups(&server, &corpus("filter.toml")?)?;
    let mut connection = server.connect()?;
    let mut n_checked = 0;
    let mut findings = Vec::new();
    for rejected in tables(&corpus("filter_refused.toml")?, "rejected") {
        let expression = with_arns(text(&rejected, "expr"), &arns);
        if expression.trim().is_empty() {
            // Clients send an empty filter for none.
            continue;
        }
        n_checked += 1;
        let place = format!(
            "Error Location: line {}, position {} : ",
            rejected["line"], rejected["position"]
        );
        // Groups whose filters refer to each other or are none are not made: there is no such group.
        let is_made = !["\"circle\"", "\"broken\""]
            .iter()
            .any(|name| expression.contains(name));
        let told = if is_made {
            text(&rejected, "message")
        } else {
            ""
        };
        let window = json!({ "StartTime": 0, "EndTime": 10_000, "FilterExpression": expression });
        let response = connection.post("/TraceSummaries", window.to_string().as_bytes())?;
        if response.status != 400 {
            findings.push(format!("{expression}\n    is answered {}", response.status));
            continue;
        }
        let message = assert_error(&response, 400, "InvalidRequestException")?;
        if !message.contains(&place) || !message.contains(told) {
            findings.push(format!(
                "{expression}\n    {message}\n    not {place}{told}"
            ));
        }
    }
    assert!(n_checked > 80, "{n_checked} expressions");
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
    Ok(())
}

#[test]
fn an_empty_expression_is_none() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    server.put_all(&[segment(
        &crate::fixture::trace_id(1),
        "00000000000000a1",
        &json!({}),
    )])?;
    for expression in [json!(""), Value::Null] {
        let found = summaries(&server, &json!({ "FilterExpression": expression }))?;
        assert_eq!(found.len(), 1, "{expression}");
    }
    Ok(())
}

/// An expression, and what it means to a summary.
type Case = (&'static str, fn(&Value) -> bool);

const CASES: &[Case] = &[
    ("fault", |one| one["HasFault"] == true),
    ("!fault AND !error", |one| {
        one["HasFault"] == false && one["HasError"] == false
    }),
    ("annotation.tier = \"gold\"", |one| {
        has_annotation(one, "tier", &json!({ "StringValue": "gold" }))
    }),
    ("annotation.items > 1", |one| {
        let items = one["Annotations"]["items"].as_array();
        let items = items.into_iter().flatten();
        let mut items = items.filter_map(|item| item["AnnotationValue"]["NumberValue"].as_f64());
        items.any(|number| number > 1.0)
    }),
    ("user = \"alice\" OR user = \"bob\"", |one| {
        let users = one["Users"].as_array().unwrap();
        users
            .iter()
            .any(|user| ["alice", "bob"].contains(&user["UserName"].as_str().unwrap()))
    }),
    (
        "service(id(name: \"api\", account.id: \"444455556666\"))",
        |one| {
            let services = one["ServiceIds"].as_array().unwrap();
            services
                .iter()
                .any(|service| service["Name"] == "api" && service["AccountId"] == "444455556666")
        },
    ),
    ("duration > 2.5 partial", |one| {
        one["Duration"].as_f64() > Some(2.5) && one["IsPartial"] == true
    }),
    ("responsetime <= 1", |one| {
        one["ResponseTime"].as_f64().is_some_and(|took| took <= 1.0)
    }),
    (
        "http.url CONTAINS \"com/1\" AND http.method = \"GET\"",
        |one| {
            let url = one["Http"]["HttpURL"].as_str();
            url.is_some_and(|url| url.contains("com/1")) && one["Http"]["HttpMethod"] == "GET"
        },
    ),
    ("user = \"nobody\"", |_| false),
];

fn has_annotation(summary: &Value, key: &str, value: &Value) -> bool {
    let values = summary["Annotations"][key].as_array();
    values
        .into_iter()
        .flatten()
        .any(|one| one["AnnotationValue"] == *value)
}

/// One list, page by page.
struct Pages {
    connection: Connection,
    request: Value,
    is_done: bool,
}

impl Pages {
    fn of(server: &Server, window: (u64, u64), expression: Option<&str>) -> Result<Self> {
        let mut request =
            json!({ "StartTime": window.0, "EndTime": window.1, "TimeRangeType": "Event" });
        if let Some(expression) = expression {
            request["FilterExpression"] = json!(expression);
        }
        Ok(Self {
            connection: server.connect()?,
            request,
            is_done: false,
        })
    }

    /// Returns the next page, none after the last.
    fn next(&mut self) -> Result<Option<Value>> {
        if self.is_done {
            return Ok(None);
        }
        let body = self.request.to_string();
        let page = self
            .connection
            .post("/TraceSummaries", body.as_bytes())?
            .success()?;
        match page.get("NextToken").filter(|token| !token.is_null()) {
            Some(token) => self.request["NextToken"] = token.clone(),
            None => self.is_done = true,
        }
        Ok(Some(page))
    }
}

fn ids(page: &Value) -> Result<Vec<String>> {
    let found = list(page, "TraceSummaries")?;
    found
        .iter()
        .map(|one| Ok(one["Id"].as_str().context("Id")?.to_owned()))
        .collect()
}

fn put_traffic(server: &Server, seed: u64, window: (u64, u64), n_traces: u32) -> Result<()> {
    let mut teller = Teller::new(seed, u32::try_from(window.0)?, 3_500);
    let documents = teller.documents(n_traces);
    for batch in teller.batches(documents) {
        let filled = batch.into_iter().map(|mut document| {
            document["metadata"] = json!({ "default": { "fill": "x".repeat(1_500) } });
            document.to_string()
        });
        server.put_all(&filled.collect::<Vec<_>>())?;
    }
    Ok(())
}

#[test]
fn filtered_pages_joined_are_the_whole_list_filtered_by_hand() -> Result<()> {
    let home = Home::new()?;
    let config = "[storage]\npartition_bytes = \"1MiB\"\n[query]\nsummaries_per_page = 7\ntraces_scanned_per_page = 20\n";
    let server = home.start_with(&home.config(config)?)?;
    let window = past_hour();
    put_traffic(&server, 1, window, 220)?;
    let all = summaries(
        &server,
        &json!({ "StartTime": window.0, "EndTime": window.1 }),
    )?;
    assert_eq!(all.len(), 220);
    for (expression, means) in CASES {
        let selected = all.iter().filter(|summary| means(summary));
        let expected: Vec<String> = selected
            .map(|one| one["Id"].as_str().unwrap().to_owned())
            .collect();
        let mut pages = Pages::of(&server, window, Some(expression))?;
        let (mut found, mut n_processed, mut n_pages) = (Vec::new(), 0, 0);
        while let Some(page) = pages.next()? {
            let on_page = ids(&page)?;
            assert!(
                on_page.len() <= 7,
                "{expression}: {} on a page",
                on_page.len()
            );
            found.extend(on_page);
            n_processed += page["TracesProcessedCount"]
                .as_u64()
                .context("TracesProcessedCount")?;
            n_pages += 1;
            assert!(n_pages <= 220, "{expression}: pages without end");
        }
        assert_eq!(found, expected, "{expression}");
        let n_selected = u64::try_from(expected.len())?;
        assert!(
            n_processed >= n_selected,
            "{expression}: {n_processed} traces looked at"
        );
        assert!(n_pages > 0, "{expression}: {n_pages} pages");
    }
    let n_selected: usize = CASES
        .iter()
        .map(|(_, means)| all.iter().filter(|one| means(one)).count())
        .sum();
    assert!(
        n_selected > 100,
        "the filters select {n_selected} of the traces in all"
    );
    Ok(())
}

#[test]
fn filtered_pages_are_of_when_the_first_was_asked_for() -> Result<()> {
    let home = Home::new()?;
    let config = "[storage]\npartition_bytes = \"1MiB\"\n[query]\nsummaries_per_page = 5\ntraces_scanned_per_page = 30\n";
    let config = home.config(config)?;
    let mut server = home.start_with(&config)?;
    let window = past_hour();
    put_traffic(&server, 2, window, 120)?;
    let all = summaries(
        &server,
        &json!({ "StartTime": window.0, "EndTime": window.1 }),
    )?;
    for (case_idx, (expression, means)) in CASES.iter().enumerate().take(4) {
        let was_there = |id: &String| all.iter().any(|one| one["Id"] == **id);
        let selected = all.iter().filter(|summary| means(summary));
        let expected: Vec<String> = selected
            .map(|one| one["Id"].as_str().unwrap().to_owned())
            .collect();
        // What came for the cases before is there now, too.
        let mut pages = Pages::of(&server, window, Some(expression))?;
        let before: Vec<String> = {
            let mut whole = Pages::of(&server, window, Some(expression))?;
            let mut found = Vec::new();
            while let Some(page) = whole.next()? {
                found.extend(ids(&page)?);
            }
            found
        };
        let mut found = Vec::new();
        let mut n_pages = 0;
        while let Some(page) = pages.next()? {
            found.extend(ids(&page)?);
            n_pages += 1;
            if n_pages == 3 {
                put_traffic(&server, 10 + u64::try_from(case_idx)?, window, 60)?;
            }
            if n_pages == 4 && case_idx == 1 {
                server.kill9()?;
                server = home.start_with(&config)?;
                pages.connection = server.connect()?;
            }
        }
        assert!(n_pages > 4, "{expression}: {n_pages} pages");
        assert_eq!(found, before, "{expression}");
        let old: Vec<String> = found.into_iter().filter(was_there).collect();
        assert_eq!(old, expected, "{expression}");
    }
    Ok(())
}

#[test]
fn traces_that_do_not_match_are_counted_as_processed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start_with(&home.config("[storage]\npartition_bytes = \"1MiB\"\n")?)?;
    let window = past_hour();
    put_traffic(&server, 1, window, 220)?;
    for expression in [None, Some("fault"), Some("user = \"nobody\"")] {
        let mut pages = Pages::of(&server, window, expression)?;
        let mut n_processed = 0;
        while let Some(page) = pages.next()? {
            n_processed += page["TracesProcessedCount"]
                .as_u64()
                .context("TracesProcessedCount")?;
        }
        // Of a block that the index denies all traces count as processed, also those that went on in a newer
        // partition: which of them did is not looked up.
        let most = if expression == Some("user = \"nobody\"") {
            u64::MAX
        } else {
            220
        };
        assert!(
            (220..=most).contains(&n_processed),
            "{expression:?}: {n_processed}"
        );
    }
    Ok(())
}

#[test]
fn a_group_of_the_guide_can_be_made() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    // The guide to filter expressions refers to a group of this name.
    let request =
        json!({ "GroupName": "high_response_time", "FilterExpression": "responsetime > 1" });
    server.post("/CreateGroup", &request)?.success()?;
    let filter =
        json!({ "FilterExpression": "group.name = \"high_response_time\" AND user = \"alice\"" });
    assert!(summaries(&server, &filter)?.is_empty());
    Ok(())
}
