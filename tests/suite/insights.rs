//! Insights: an hour of steady traffic, then faults; found by a server that was not there while they happened.
//!
//! The server evaluates when it starts and every half minute after, up to the minutes that ended a minute and
//! a half ago. So the test enables insights once all traffic is in, and starts the server anew.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::wait::{now, until};
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::assert_error;

const PER_MINUTE: u32 = 12;
const FAULTS: u32 = 8;
const MINUTES: u32 = 90;
/// Minutes with faults, counted from the first one of the traffic: one incident that is over, one that goes on.
const OVER: std::ops::Range<u32> = 50..55;
const GOES_ON: std::ops::Range<u32> = 84..90;

/// A server with traffic of the group `shop`, the start of that traffic, and the ids of the two insights.
struct Watched {
    home: Home,
    server: Server,
    begin: u32,
}

fn is_faulty(minute: u32) -> bool {
    OVER.contains(&minute) || GOES_ON.contains(&minute)
}

/// Returns the two segments of one request: `web` calls `stock`, whose faults are seen by clients.
fn request(begin: u32, minute: u32, number: u32) -> [String; 2] {
    let at = begin + minute * 60 + number * 4;
    let trace_id = format!("1-{at:08x}-{number:024x}");
    let fault = is_faulty(minute) && number < FAULTS;
    let web = json!({
        "trace_id": trace_id, "id": "00000000000000a1", "name": "web", "origin": "AWS::EC2::Instance",
        "start_time": at, "end_time": at + 2, "fault": fault,
        "subsegments": [{
            "id": "00000000000000a2", "name": "stock", "namespace": "remote", "start_time": at, "end_time": at + 1,
            "fault": fault,
        }],
    });
    let stock = json!({
        "trace_id": trace_id, "id": "00000000000000b1", "parent_id": "00000000000000a2", "name": "stock",
        "origin": "AWS::ECS::Container", "start_time": at, "end_time": at + 1, "fault": fault,
    });
    [web.to_string(), stock.to_string()]
}

fn window(begin: u32) -> Value {
    json!({ "StartTime": begin, "EndTime": now() + 60, "GroupName": "shop" })
}

/// Returns a server that has evaluated the traffic.
fn watched() -> Result<Watched> {
    let home = Home::new()?;
    let server = home.start()?;
    let group = json!({ "GroupName": "shop", "FilterExpression": "service(\"web\")" });
    server.post("/CreateGroup", &group)?.success()?;
    // The last minute ended two minutes ago.
    let begin = now() / 60 * 60 - (MINUTES + 2) * 60;
    let requests =
        (0..MINUTES).flat_map(|minute| (0..PER_MINUTE).map(move |number| (minute, number)));
    let documents: Vec<String> = requests
        .flat_map(|(minute, number)| request(begin, minute, number))
        .collect();
    documents
        .chunks(50)
        .try_for_each(|some| server.put_all(some))?;
    let none = server
        .post("/InsightSummaries", &window(begin))?
        .success()?;
    assert_eq!(none["InsightSummaries"], json!([]), "nobody watches yet");
    let enable =
        json!({ "GroupName": "shop", "InsightsConfiguration": { "InsightsEnabled": true } });
    server.post("/UpdateGroup", &enable)?.success()?;
    assert!(server.terminate()?.success());
    let server = home.start()?;
    until("both insights are found", || {
        Ok((summaries(&server, begin, &json!({}))?.len() >= 2).then_some(()))
    })?;
    Ok(Watched {
        home,
        server,
        begin,
    })
}

fn summaries(server: &Server, begin: u32, members: &Value) -> Result<Vec<Value>> {
    let mut request = window(begin);
    request
        .as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    let page = server.post("/InsightSummaries", &request)?.success()?;
    assert!(page.get("NextToken").is_none_or(Value::is_null), "{page}");
    list(&page, "InsightSummaries")
}

fn id(insight: &Value) -> Result<&str> {
    insight["InsightId"].as_str().context("InsightId")
}

/// Fails unless an insight is about the faults of these minutes.
fn check_insight(insight: &Value, begin: u32, minutes: &std::ops::Range<u32>) -> Result<()> {
    let n_minutes = minutes.end - minutes.start;
    let stock = json!({ "Name": "stock", "Names": ["stock"], "Type": "AWS::ECS::Container" });
    assert_eq!(insight["RootCauseServiceId"], stock);
    assert_eq!(insight["Categories"], json!(["FAULT"]));
    assert_eq!(insight["GroupName"], "shop");
    let arn = insight["GroupARN"].as_str().context("GroupARN")?;
    assert!(arn.contains(":group/shop/"), "{arn}");
    assert_eq!(
        insight["StartTime"].as_f64(),
        Some(f64::from(begin + minutes.start * 60))
    );
    let impact = json!({
        "FaultCount": n_minutes * FAULTS, "OkCount": n_minutes * (PER_MINUTE - FAULTS), "TotalCount": n_minutes * PER_MINUTE,
    });
    assert_eq!(
        insight["RootCauseServiceRequestImpactStatistics"], impact,
        "{insight}"
    );
    assert_eq!(
        insight["ClientRequestImpactStatistics"], impact,
        "{insight}"
    );
    let top = list(insight, "TopAnomalousServices")?;
    assert!(top.iter().any(|one| one["ServiceId"] == stock), "{insight}");
    let summary = insight["Summary"].as_str().context("Summary")?;
    // Grafana shows what stands between the first two full stops, once it is over.
    let shown = if insight["State"] == "CLOSED" {
        summary.split('.').nth(1)
    } else {
        Some(summary)
    };
    assert!(
        shown.is_some_and(|shown| shown.contains("stock")),
        "{summary}"
    );
    Ok(())
}

#[test]
fn faults_become_insights_with_their_events_and_their_graph() -> Result<()> {
    let Watched {
        home,
        server,
        begin,
    } = watched()?;
    let found = summaries(&server, begin, &json!({}))?;
    assert_eq!(found.len(), 2, "{found:?}");
    let (open, closed) = (&found[0], &found[1]);
    check_insight(open, begin, &GOES_ON)?;
    check_insight(closed, begin, &OVER)?;
    assert_eq!(
        (&open["State"], &closed["State"]),
        (&json!("ACTIVE"), &json!("CLOSED"))
    );
    assert!(open.get("EndTime").is_none_or(Value::is_null), "{open}");
    let end = closed["EndTime"].as_f64().context("EndTime")?;
    let last_minute = f64::from(begin + (OVER.end - 1) * 60);
    assert!(
        (last_minute..=last_minute + 60.0).contains(&end),
        "{closed}"
    );
    for insight in &found {
        let updated = insight["LastUpdateTime"]
            .as_f64()
            .context("LastUpdateTime")?;
        assert!(
            updated > insight["StartTime"].as_f64().context("StartTime")?,
            "{insight}"
        );
    }
    check_lists(&server, begin, open, closed)?;
    check_one(&server, &found)?;
    check_graph(&server, begin, open)?;

    // The same insights are known by the same ids: at once after a stop, and found anew if a kill lost them.
    let ids = |list: &[Value]| {
        list.iter()
            .map(|one| one["InsightId"].clone())
            .collect::<Vec<_>>()
    };
    assert!(server.terminate()?.success());
    let server = home.start()?;
    let again = summaries(&server, begin, &json!({}))?;
    assert_eq!(ids(&again), ids(&found), "after a stop");
    assert_eq!(again[1], found[1], "what is over changes no more");
    server.kill9()?;
    let server = home.start()?;
    let again = until("both insights are there again", || {
        let found = summaries(&server, begin, &json!({}))?;
        Ok((found.len() >= 2).then_some(found))
    })?;
    assert_eq!(ids(&again), ids(&found), "after a kill");
    assert_eq!(again[1], found[1], "what is over changes no more");
    Ok(())
}

/// States, windows and pages of the list of insights.
fn check_lists(server: &Server, begin: u32, open: &Value, closed: &Value) -> Result<()> {
    let listed = |members: Value| summaries(server, begin, &members);
    assert_eq!(
        listed(json!({ "States": ["ACTIVE"] }))?,
        std::slice::from_ref(open)
    );
    assert_eq!(
        listed(json!({ "States": ["CLOSED"] }))?,
        std::slice::from_ref(closed)
    );
    assert_eq!(listed(json!({ "States": [] }))?.len(), 2);
    let arn = json!({ "GroupName": null, "GroupARN": open["GroupARN"] });
    assert_eq!(listed(arn)?.len(), 2);
    assert_eq!(
        listed(json!({ "EndTime": begin + (GOES_ON.start - 5) * 60 }))?,
        std::slice::from_ref(closed)
    );
    assert_eq!(
        listed(json!({ "StartTime": begin + (OVER.end + 10) * 60 }))?,
        std::slice::from_ref(open)
    );
    assert!(listed(json!({ "EndTime": begin + 60 }))?.is_empty());
    assert!(listed(json!({ "GroupName": "Default" }))?.is_empty());

    let mut request = window(begin);
    request["MaxResults"] = json!(1);
    let first = server.post("/InsightSummaries", &request)?.success()?;
    assert_eq!(id(&first["InsightSummaries"][0])?, id(open)?);
    request["NextToken"] = first["NextToken"].clone();
    let second = server.post("/InsightSummaries", &request)?.success()?;
    assert_eq!(second["InsightSummaries"], json!([closed]));
    assert!(
        second.get("NextToken").is_none_or(Value::is_null),
        "{second}"
    );
    Ok(())
}

/// One insight, and what happened to it.
fn check_one(server: &Server, found: &[Value]) -> Result<()> {
    for summary in found {
        let request = json!({ "InsightId": id(summary)? });
        let answer = server.post("/Insight", &request)?.success()?;
        let mut expected = summary.clone();
        expected.as_object_mut().unwrap().remove("LastUpdateTime");
        assert_eq!(answer, json!({ "Insight": expected }));

        let answer = server.post("/InsightEvents", &request)?.success()?;
        let events = list(&answer, "InsightEvents")?;
        assert!(!events.is_empty());
        let mut times: Vec<f64> = events
            .iter()
            .filter_map(|event| event["EventTime"].as_f64())
            .collect();
        assert_eq!(times.len(), events.len());
        assert!(
            times.is_sorted_by(|newer, older| newer >= older),
            "{times:?}"
        );
        times.reverse();
        assert!(
            times[0] >= summary["StartTime"].as_f64().unwrap(),
            "{times:?}"
        );
        for event in &events {
            for member in [
                "ClientRequestImpactStatistics",
                "RootCauseServiceRequestImpactStatistics",
            ] {
                assert!(event[member]["FaultCount"].is_u64(), "{event}");
            }
            assert!(
                event["Summary"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{event}"
            );
            assert!(event["TopAnomalousServices"].is_array(), "{event}");
        }
        // Page by page they are the same.
        let mut paged = request.clone();
        paged["MaxResults"] = json!(1);
        let mut joined = Vec::new();
        loop {
            let page = server.post("/InsightEvents", &paged)?.success()?;
            joined.extend(list(&page, "InsightEvents")?);
            let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
                break;
            };
            paged["NextToken"] = token.clone();
        }
        assert_eq!(joined, events);
    }
    Ok(())
}

/// The graph of what an insight affected.
fn check_graph(server: &Server, begin: u32, insight: &Value) -> Result<()> {
    let request = json!({
        "InsightId": id(insight)?, "StartTime": begin + GOES_ON.start * 60, "EndTime": begin + GOES_ON.end * 60,
    });
    let answer = server.post("/InsightImpactGraph", &request)?.success()?;
    assert_eq!(answer["InsightId"], insight["InsightId"]);
    for (member, asked) in [("StartTime", "StartTime"), ("EndTime", "EndTime")] {
        assert_eq!(answer[member].as_f64(), request[asked].as_f64(), "{answer}");
    }
    assert!(
        answer["ServiceGraphStartTime"].is_number() && answer["ServiceGraphEndTime"].is_number()
    );
    let services = list(&answer, "Services")?;
    let named = |name: &str, kind: &str| {
        let found = services
            .iter()
            .find(|one| one["Name"] == name && one["Type"] == kind);
        found.with_context(|| format!("{name} in {answer}"))
    };
    let web = named("web", "AWS::EC2::Instance")?;
    let stock = named("stock", "AWS::ECS::Container")?;
    let edge = json!({ "ReferenceId": stock["ReferenceId"] });
    assert!(list(web, "Edges")?.contains(&edge), "{answer}");
    for service in &services {
        assert!(
            service["Names"].is_array() && service["Edges"].is_array(),
            "{service}"
        );
    }
    let mut long = request.clone();
    long["StartTime"] = json!(begin - 6 * 3_600);
    assert_error(
        &server.post("/InsightImpactGraph", &long)?,
        400,
        "InvalidRequestException",
    )?;
    let mut turned = request;
    turned["StartTime"] = json!(begin + GOES_ON.end * 60 + 1);
    assert_error(
        &server.post("/InsightImpactGraph", &turned)?,
        400,
        "InvalidRequestException",
    )?;
    Ok(())
}

#[test]
fn wrong_requests_are_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let unknown = "00000000-0000-4000-8000-000000000000";
    let (from, to) = (now() - 600, now());
    let window = json!({ "StartTime": from, "EndTime": to, "GroupName": "Default" });
    let within = |members: &Value| {
        let mut request = window.clone();
        request
            .as_object_mut()
            .unwrap()
            .extend(members.as_object().unwrap().clone());
        request
    };
    let page = json!({ "InsightId": unknown, "NextToken": "" });
    for (path, request) in [
        ("/Insight", json!({})),
        ("/Insight", json!({ "InsightId": unknown })),
        ("/Insight", json!({ "InsightId": "no uuid" })),
        ("/InsightEvents", json!({})),
        ("/InsightEvents", json!({ "InsightId": unknown })),
        (
            "/InsightEvents",
            json!({ "InsightId": unknown, "MaxResults": 51 }),
        ),
        ("/InsightEvents", page),
        ("/InsightImpactGraph", json!({ "InsightId": unknown })),
        (
            "/InsightImpactGraph",
            within(&json!({ "InsightId": unknown })),
        ),
        ("/InsightSummaries", within(&json!({ "GroupName": null }))),
        ("/InsightSummaries", within(&json!({ "EndTime": null }))),
        ("/InsightSummaries", within(&json!({ "EndTime": from - 1 }))),
        ("/InsightSummaries", within(&json!({ "GroupName": "gone" }))),
        ("/InsightSummaries", within(&json!({ "States": ["OPEN"] }))),
        (
            "/InsightSummaries",
            within(&json!({ "States": ["ACTIVE", "CLOSED"] })),
        ),
        ("/InsightSummaries", within(&json!({ "MaxResults": 0 }))),
        ("/InsightSummaries", within(&json!({ "MaxResults": 101 }))),
        (
            "/InsightSummaries",
            within(&json!({ "StartTime": from - 31 * 86_400 })),
        ),
        (
            "/InsightSummaries",
            within(&json!({ "NextToken": "never given out" })),
        ),
    ] {
        let response = server.post(path, &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| format!("{path} {request}"))?;
    }
    let answer = server.post("/InsightSummaries", &window)?.success()?;
    assert_eq!(answer, json!({ "InsightSummaries": [] }));
    Ok(())
}
