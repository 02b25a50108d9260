//! Which traces a group holds, seen through graphs and time series: those that matched its filter when they came.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{assert_error, segment, summaries};
use crate::graph::fill_partition;

/// Makes a group and returns its ARN.
fn create(server: &Server, name: &str, filter: &str) -> Result<String> {
    let request = json!({ "GroupName": name, "FilterExpression": filter });
    let answer = server.post("/CreateGroup", &request)?.success()?;
    Ok(answer["Group"]["GroupARN"]
        .as_str()
        .context("GroupARN")?
        .to_owned())
}

fn update(server: &Server, name: &str, filter: &str) -> Result<()> {
    let request = json!({ "GroupName": name, "FilterExpression": filter });
    server.post("/UpdateGroup", &request)?.success()?;
    Ok(())
}

/// Returns the same trace id whenever it is asked for.
fn trace_id(number: u32) -> String {
    format!("1-65000000-{number:024x}")
}

/// Puts a trace of one service.
fn put(server: &Server, number: u32, members: &Value) -> Result<()> {
    let document = segment(&trace_id(number), "00000000000000a1", members);
    server.put_all(&[document])
}

/// Returns graph and series of a group, or of all traces, over the last ten minutes.
fn answers(server: &Server, group: &Value) -> Result<[Value; 2]> {
    let mut request = json!({ "StartTime": now() - 600, "EndTime": now() + 60 });
    request
        .as_object_mut()
        .unwrap()
        .extend(group.as_object().unwrap().clone());
    let graph = server.post("/ServiceGraph", &request)?.success()?;
    let series = server
        .post("/TimeSeriesServiceStatistics", &request)?
        .success()?;
    Ok([graph, series])
}

/// Returns how many requests of the service `shop` a group holds, which its graph and its series agree on.
fn count(server: &Server, group: &Value) -> Result<u64> {
    let [graph, series] = answers(server, group)?;
    let services = list(&graph, "Services")?;
    let shops = services
        .iter()
        .filter(|one| one["Name"] == "shop" && one["Type"] != "client");
    let in_graph: u64 = shops
        .filter_map(|one| one["SummaryStatistics"]["TotalCount"].as_u64())
        .sum();
    let entries = list(&series, "TimeSeriesServiceStatistics")?;
    let counts = entries
        .iter()
        .filter_map(|one| one["EdgeSummaryStatistics"]["TotalCount"].as_u64());
    assert_eq!(in_graph, counts.sum::<u64>(), "{group}: {graph} {series}");
    Ok(in_graph)
}

fn named(name: &str) -> Value {
    json!({ "GroupName": name })
}

#[test]
fn a_group_holds_what_matched_when_it_came() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    let arn = create(&server, "failed", "fault")?;
    create(&server, "everything", "")?;
    create(
        &server,
        "alice",
        "user = \"alice\" OR service(\"stock\") { error }",
    )?;
    put(&server, 1, &json!({ "fault": true }))?;
    put(&server, 2, &json!({ "user": "alice" }))?;
    put(
        &server,
        3,
        &json!({ "http": { "response": { "status": 503 } } }),
    )?;
    put(&server, 4, &json!({ "error": true }))?;
    create(&server, "late", "")?;
    let check = |server: &Server, expected: [u64; 4]| -> Result<()> {
        for (name, expected) in ["failed", "everything", "alice", "late"]
            .into_iter()
            .zip(expected)
        {
            assert_eq!(count(server, &named(name))?, expected, "{name}");
        }
        assert_eq!(
            count(server, &json!({ "GroupARN": arn }))?,
            expected[0],
            "by ARN"
        );
        assert_eq!(
            count(server, &json!({}))?,
            count(server, &named("Default"))?,
            "all"
        );
        Ok(())
    };
    check(&server, [2, 4, 1, 0])?;
    assert_eq!(count(&server, &json!({}))?, 4);

    // Once put to the test a trace is in or out by its documents, whenever they come.
    let inner = json!({
        "name": "stock", "parent_id": "00000000000000a1", "error": true,
    });
    server.put_all(&[segment(&trace_id(4), "00000000000000b1", &inner)])?;
    put(&server, 2, &json!({ "user": "alice", "fault": true }))?;
    check(&server, [3, 4, 2, 0])?;

    // A filter that changes does not look back.
    update(&server, "failed", "!fault")?;
    check(&server, [3, 4, 2, 0])?;
    put(&server, 5, &json!({ "fault": true }))?;
    put(&server, 6, &json!({}))?;
    check(&server, [4, 6, 2, 2])?;
    server.kill9()?;
    let server = home.start_with(&config)?;
    check(&server, [4, 6, 2, 2]).context("after a kill")?;
    fill_partition(&home, &server)?;
    check(&server, [4, 6, 2, 2]).context("sealed")?;
    put(&server, 7, &json!({}))?;
    check(&server, [5, 7, 2, 3]).context("from two partitions")?;
    // A trace begun before the change goes on to be judged by the filter of then.
    put(&server, 1, &json!({ "fault": false }))?;
    check(&server, [4, 7, 2, 3]).context("changed in another partition")?;
    assert!(server.terminate()?.success());
    let server = home.start_with(&config)?;
    check(&server, [4, 7, 2, 3]).context("after a stop")
}

#[test]
fn answers_say_whether_the_filter_changed_within_the_window() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    create(&server, "g", "fault")?;
    let contains = |server: &Server, from: u32, to: u32| -> Result<Value> {
        let request = json!({ "StartTime": from, "EndTime": to, "GroupName": "g" });
        let graph = server.post("/ServiceGraph", &request)?.success()?;
        let series = server
            .post("/TimeSeriesServiceStatistics", &request)?
            .success()?;
        let told = graph["ContainsOldGroupVersions"].clone();
        assert_eq!(series["ContainsOldGroupVersions"], told);
        Ok(told)
    };
    assert_eq!(
        contains(&server, now() - 600, now() + 60)?,
        false,
        "only one version yet"
    );
    // What leaves the filter alone is no new version.
    let insights =
        json!({ "GroupName": "g", "InsightsConfiguration": { "InsightsEnabled": true } });
    server.post("/UpdateGroup", &insights)?.success()?;
    assert_eq!(contains(&server, now() - 600, now() + 60)?, false);
    update(&server, "g", "error")?;
    assert_eq!(contains(&server, now() - 600, now() + 60)?, true);
    assert_eq!(
        contains(&server, now() - 7_200, now() - 3_600)?,
        false,
        "before the change"
    );
    assert_eq!(
        contains(&server, now() + 3_600, now() + 7_200)?,
        false,
        "after the change"
    );
    server.kill9()?;
    let server = home.start()?;
    assert_eq!(contains(&server, now() - 600, now() + 60)?, true);
    Ok(())
}

#[test]
fn groups_that_are_not_there_are_invalid_requests() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let arn = create(&server, "gone", "fault")?;
    put(&server, 1, &json!({ "fault": true }))?;
    assert_eq!(count(&server, &named("gone"))?, 1);
    server.post("/DeleteGroup", &named("gone"))?.success()?;
    for group in [
        named("gone"),
        json!({ "GroupARN": arn }),
        named("never"),
        named("default"),
    ] {
        for path in [
            "/ServiceGraph",
            "/TimeSeriesServiceStatistics",
            "/InsightSummaries",
        ] {
            let mut request = group.clone();
            request["StartTime"] = json!(now() - 600);
            request["EndTime"] = json!(now());
            let response = server.post(path, &request)?;
            assert_error(&response, 400, "InvalidRequestException")
                .with_context(|| format!("{path} {request}"))?;
        }
    }
    // Made again, a group knows nothing of the one before.
    create(&server, "gone", "fault")?;
    assert_eq!(count(&server, &named("gone"))?, 0);
    Ok(())
}

#[test]
fn a_filter_refers_to_what_a_group_means_now() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let arn = create(&server, "g", "fault OR error")?;
    put(&server, 1, &json!({ "fault": true, "user": "alice" }))?;
    put(&server, 2, &json!({ "error": true }))?;
    put(&server, 3, &json!({ "user": "alice" }))?;
    let selected = |expression: &str| -> Result<usize> {
        Ok(summaries(&server, &json!({ "FilterExpression": expression }))?.len())
    };
    assert_eq!(selected("group.name = \"g\"")?, 2);
    // The group's filter is one operand, whatever it is made of.
    assert_eq!(selected("group.name = \"g\" AND user = \"alice\"")?, 1);
    assert_eq!(selected("!group.name = \"g\"")?, 1);
    assert_eq!(selected(&format!("group.arn = \"{arn}\""))?, 2);
    assert_eq!(selected("group.name = \"Default\"")?, 3);
    update(&server, "g", "!fault")?;
    assert_eq!(selected("group.name = \"g\"")?, 2);
    assert_eq!(selected("group.name = \"g\" AND user = \"alice\"")?, 1);
    let request = json!({ "StartTime": 1, "EndTime": 2, "FilterExpression": "group.name = \"h\"" });
    assert_error(
        &server.post("/TraceSummaries", &request)?,
        400,
        "InvalidRequestException",
    )?;
    Ok(())
}
