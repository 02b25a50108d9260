//! Requests of graphs and time series that are unusual or wrong. What right ones answer is compared in `graph`.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::filters::{corpus, tables, text};
use crate::fixture::assert_error;
use crate::graph::past_hour;

const SERIES: &str = "/TimeSeriesServiceStatistics";

/// Puts one request a minute, the last ones first, each with this many faults beside it.
fn put_minutes(server: &Server, start: u64, n_minutes: u64, n_faults: u64) -> Result<()> {
    let mut documents = Vec::new();
    for minute in (0..n_minutes).rev() {
        for number in 0..=n_faults {
            let at = start + minute * 60 + number;
            documents.push(
                json!({
                    "trace_id": format!("1-{at:08x}-{number:024x}"), "id": "00000000000000a1", "name": "shop",
                    "origin": "AWS::EC2::Instance", "start_time": at, "end_time": at + 2, "fault": number > 0,
                })
                .to_string(),
            );
        }
    }
    documents
        .chunks(50)
        .try_for_each(|some| server.put_all(some))
}

/// Returns a request with these members over a window.
fn with((from, to): (u64, u64), members: &Value) -> Value {
    let mut request = json!({ "StartTime": from, "EndTime": to });
    let members = members.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(members);
    request
}

fn entries(server: &Server, request: &Value) -> Result<Vec<Value>> {
    let answer = server.post(SERIES, request)?.success()?;
    assert_eq!(answer["ContainsOldGroupVersions"], false);
    list(&answer, "TimeSeriesServiceStatistics")
}

/// Returns start and number of requests of each entry.
fn counts(server: &Server, request: &Value) -> Result<Vec<(u64, u64)>> {
    let entries = entries(server, request)?;
    let count = |entry: &Value| {
        let statistics = [
            &entry["ServiceSummaryStatistics"],
            &entry["EdgeSummaryStatistics"],
        ];
        let total = statistics.iter().find_map(|one| one["TotalCount"].as_u64());
        let start = entry["Timestamp"].as_f64().context("Timestamp")?;
        Ok((
            format!("{start}").parse()?,
            total.with_context(|| entry.to_string())?,
        ))
    };
    entries.iter().map(count).collect()
}

#[test]
fn periods_begin_at_multiples_of_their_length() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    // A minute that is a multiple of 15 minutes.
    let start = past_hour().0 / 900 * 900;
    put_minutes(&server, start, 20, 0)?;
    let counted = |window, members: Value| counts(&server, &with(window, &members));
    let all = (start, start + 1_200);
    let each_minute: Vec<(u64, u64)> = (0..20).map(|minute| (start + minute * 60, 1)).collect();
    assert_eq!(
        counted(all, json!({}))?,
        each_minute,
        "a minute is the default"
    );
    assert_eq!(counted(all, json!({ "Period": 60 }))?, each_minute);
    let each_5: Vec<(u64, u64)> = (0..4).map(|period| (start + period * 300, 5)).collect();
    assert_eq!(counted(all, json!({ "Period": 300 }))?, each_5);
    assert_eq!(
        counted(all, json!({ "Period": 900 }))?,
        [(start, 15), (start + 900, 5)]
    );
    let day = start / 86_400 * 86_400;
    let whole_day = counted(all, json!({ "Period": 86_400 }))?;
    assert_eq!(whole_day.iter().map(|(_, count)| count).sum::<u64>(), 20);
    assert!(
        whole_day
            .iter()
            .all(|(at, _)| *at == day || *at == day + 86_400)
    );
    // Every period with an instant of the window is counted whole.
    let inside = (start + 310, start + 601);
    assert_eq!(counted(inside, json!({ "Period": 300 }))?, each_5[1..3]);
    Ok(())
}

#[test]
fn empty_periods_are_zeros_with_a_selector_and_left_out_without() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let start = past_hour().0;
    put_minutes(&server, start + 600, 1, 0)?;
    let window = (start, start + 1_200);
    assert_eq!(
        counts(&server, &with(window, &json!({})))?,
        [(start + 600, 1)]
    );
    for selector in [
        "service(\"shop\")",
        "service(\"nobody\")",
        "edge(\"a\", \"b\")",
        "id(name: \"shop\")",
    ] {
        let request = with(window, &json!({ "EntitySelectorExpression": selector }));
        let entries = entries(&server, &request)?;
        assert_eq!(entries.len(), 20, "{selector}");
        let is_edge = selector.starts_with("edge");
        let member = if is_edge {
            "EdgeSummaryStatistics"
        } else {
            "ServiceSummaryStatistics"
        };
        for (entry, minute) in entries.iter().zip(0..) {
            let n_requests = u64::from(minute == 10 && selector.contains("shop"));
            let expected = json!({
                "OkCount": n_requests,
                "ErrorStatistics": { "ThrottleCount": 0, "OtherCount": 0, "TotalCount": 0 },
                "FaultStatistics": { "OtherCount": 0, "TotalCount": 0 },
                "TotalCount": n_requests,
            });
            let mut statistics = entry[member].clone();
            let took = statistics
                .as_object_mut()
                .unwrap()
                .remove("TotalResponseTime");
            assert_eq!(statistics, expected, "{selector} {minute}");
            assert_eq!(
                took.and_then(|took| took.as_f64()),
                Some(if n_requests == 1 { 2.0 } else { 0.0 })
            );
            assert!(entry["ResponseTimeHistogram"].is_array(), "{entry}");
        }
    }
    Ok(())
}

#[test]
fn pages_of_a_series_join_to_the_whole() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let end = past_hour().1;
    let start = end - 3 * 86_400;
    put_minutes(&server, start, 3, 0)?;
    put_minutes(&server, end - 180, 3, 0)?;
    let mut request = with(
        (start, end),
        &json!({ "EntitySelectorExpression": "service(\"shop\")" }),
    );
    let (mut times, mut n_requests, mut n_pages) = (Vec::new(), 0, 0);
    loop {
        let page = server.post(SERIES, &request)?.success()?;
        n_pages += 1;
        for entry in list(&page, "TimeSeriesServiceStatistics")? {
            times.push(entry["Timestamp"].as_f64().context("Timestamp")?);
            n_requests += entry["ServiceSummaryStatistics"]["TotalCount"]
                .as_u64()
                .context("TotalCount")?;
        }
        let Some(token) = page.get("NextToken").filter(|token| !token.is_null()) else {
            break;
        };
        let other = with(
            (start, end - 60),
            &json!({ "NextToken": token, "EntitySelectorExpression": "service(\"shop\")" }),
        );
        assert_error(
            &server.post(SERIES, &other)?,
            400,
            "InvalidRequestException",
        )?;
        request["NextToken"] = token.clone();
    }
    assert!(n_pages > 1, "three days of minutes are on one page");
    let minutes = u32::try_from(start / 60)?..u32::try_from(end / 60)?;
    let expected: Vec<f64> = minutes.map(|minute| f64::from(minute) * 60.0).collect();
    assert_eq!(times, expected);
    assert_eq!(n_requests, 6);
    Ok(())
}

#[test]
fn what_is_no_period_and_no_window_is_refused() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let refuse = |path: &str, request: &Value| -> Result<String> {
        let response = server.post(path, request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| format!("{path} {request}"))
    };
    for period in [
        json!(0),
        json!(-60),
        json!(1),
        json!(30),
        json!(61),
        json!(90),
        json!("60"),
        json!(60.5),
    ] {
        refuse(SERIES, &with(window, &json!({ "Period": period })))?;
    }
    let group = "arn:aws:xray:us-east-1:000000000000:group/gone/ID";
    for path in [SERIES, "/ServiceGraph"] {
        for members in [
            json!({ "StartTime": null }),
            json!({ "EndTime": null }),
            json!({ "StartTime": window.1, "EndTime": window.0 }),
            json!({ "StartTime": "yesterday" }),
            json!({ "NextToken": "never given out" }),
            json!({ "GroupName": "gone" }),
            json!({ "GroupARN": group }),
            json!({ "GroupName": "" }),
            json!({ "GroupName": "g".repeat(33) }),
        ] {
            refuse(path, &with(window, &members))?;
        }
        let nothing = server
            .post(path, &with((window.0, window.0), &json!({})))?
            .success()?;
        let member = if path == SERIES {
            "TimeSeriesServiceStatistics"
        } else {
            "Services"
        };
        assert_eq!(nothing[member], json!([]), "an instant");
    }
    Ok(())
}

#[test]
fn what_is_no_selector_is_refused_with_its_place() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let mut n_checked = 0;
    for rejected in tables(&corpus("filter_refused.toml")?, "rejected_selector") {
        let selector = text(&rejected, "expr");
        let request = with(window, &json!({ "EntitySelectorExpression": selector }));
        let response = server.post(SERIES, &request)?;
        let message = assert_error(&response, 400, "InvalidRequestException").context(request)?;
        if (1..=500).contains(&selector.len()) {
            let place = format!(
                "Error Location: line {}, position {} : ",
                rejected["line"], rejected["position"]
            );
            assert!(message.contains(&place), "{selector}: {message}");
            assert!(
                message.contains(text(&rejected, "message")),
                "{selector}: {message}"
            );
        }
        n_checked += 1;
    }
    assert!(n_checked > 10);
    for accepted in tables(&corpus("filter_refused.toml")?, "selector") {
        let request = with(
            window,
            &json!({ "EntitySelectorExpression": text(&accepted, "expr") }),
        );
        let response = server.post(SERIES, &request)?;
        response.success().context(request)?;
    }
    Ok(())
}

#[test]
fn forecasts_are_of_services_named_by_id() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let start = past_hour().0;
    put_minutes(&server, start, 30, 2)?;
    let window = (start, start + 1_800);
    let forecast = |selector: Value| {
        let members = json!({ "ForecastStatistics": true, "EntitySelectorExpression": selector });
        server.post(SERIES, &with(window, &members))
    };
    for selector in [
        Value::Null,
        json!("service()"),
        json!("service(\"shop\")"),
        json!("edge(\"a\", \"b\")"),
    ] {
        assert_error(&forecast(selector)?, 400, "InvalidRequestException")?;
    }
    for selector in [
        "service(id(name: \"shop\", type: \"AWS::EC2::Instance\"))",
        "id(name: \"shop\")",
    ] {
        let answer = forecast(json!(selector))?.success()?;
        let entries = list(&answer, "TimeSeriesServiceStatistics")?;
        assert_eq!(entries.len(), 30, "{selector}");
        let band = |entry: &Value| {
            let forecast = entry
                .get("ServiceForecastStatistics")
                .filter(|band| !band.is_null())?;
            Some((
                forecast["FaultCountLow"].as_u64()?,
                forecast["FaultCountHigh"].as_u64()?,
            ))
        };
        assert_eq!(
            band(&entries[0]),
            None,
            "nothing is known before the first minute"
        );
        for entry in &entries[15..] {
            let (low, high) = band(entry).with_context(|| entry.to_string())?;
            assert!(
                low <= 2 && (2..20).contains(&high),
                "two faults a minute: {low} to {high}"
            );
        }
    }
    let plain = with(
        window,
        &json!({ "EntitySelectorExpression": "id(name: \"shop\")" }),
    );
    for entry in entries(&server, &plain)? {
        assert!(
            entry
                .get("ServiceForecastStatistics")
                .is_none_or(Value::is_null),
            "{entry}"
        );
    }
    Ok(())
}

#[test]
fn graphs_of_named_traces_know_what_is_there() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let start = past_hour().0;
    put_minutes(&server, start, 2, 0)?;
    let id = |minute: u64| format!("1-{:08x}-{:024x}", start + minute * 60, 0);
    let totals = |ids: &[String]| -> Result<Vec<(Value, u64)>> {
        let answer = server
            .post("/TraceGraph", &json!({ "TraceIds": ids }))?
            .success()?;
        let services = list(&answer, "Services")?;
        let named = services
            .iter()
            .filter(|service| service["Type"] != "client");
        let total = |service: &Value| service["SummaryStatistics"]["TotalCount"].as_u64();
        Ok(named
            .map(|one| (one["Name"].clone(), total(one).unwrap_or(0)))
            .collect())
    };
    assert_eq!(totals(&[id(0)])?, [(json!("shop"), 1)]);
    assert_eq!(totals(&[id(0), id(1)])?, [(json!("shop"), 2)]);
    assert_eq!(
        totals(&[id(0), id(0), id(0)])?,
        [(json!("shop"), 1)],
        "named again"
    );
    assert_eq!(totals(&[id(7)])?, []);
    assert_eq!(totals(&[id(7), id(1)])?, [(json!("shop"), 1)]);
    let w3c = id(0).replacen("1-", "", 1).replace('-', "");
    assert_eq!(totals(&[w3c])?, [(json!("shop"), 1)]);
    // What is no trace id is refused, or known to nobody.
    let nonsense = server.post("/TraceGraph", &json!({ "TraceIds": ["nonsense", id(0)] }))?;
    if nonsense.status == 200 {
        assert_eq!(
            totals(&["nonsense".to_owned(), id(0)])?,
            [(json!("shop"), 1)]
        );
    } else {
        assert_error(&nonsense, 400, "InvalidRequestException")?;
    }
    for request in [
        json!({}),
        json!({ "TraceIds": "1-5759e988-bd862e3fe1be46a994272793" }),
        json!({ "TraceIds": [""] }),
        json!({ "TraceIds": [id(0)], "NextToken": "never given out" }),
    ] {
        let response = server.post("/TraceGraph", &request)?;
        assert_error(&response, 400, "InvalidRequestException")
            .with_context(|| request.to_string())?;
    }
    Ok(())
}

#[test]
fn what_is_asked_for_is_echoed() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (from, to) = past_hour();
    put_minutes(&server, from, 1, 0)?;
    let answer = server
        .post(
            "/ServiceGraph",
            &json!({ "StartTime": from, "EndTime": to }),
        )?
        .success()?;
    let time = |member: &str| answer[member].as_f64().context(member.to_owned());
    let asked = |at: u64| f64::from(u32::try_from(at).unwrap());
    assert!(
        time("StartTime")? >= asked(from) && time("EndTime")? <= asked(to),
        "{answer}"
    );
    assert_eq!(answer["ContainsOldGroupVersions"], false);
    let services = list(&answer, "Services")?;
    let mut numbers: Vec<u64> = services
        .iter()
        .filter_map(|one| one["ReferenceId"].as_u64())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1], "numbers begin with 0");
    // Grafana reads these without a check.
    for service in &services {
        let edges = list(service, "Edges")?;
        let has_figures = |value: &Value| value["SummaryStatistics"]["TotalCount"].is_u64();
        assert!(
            has_figures(service) || edges.first().is_some_and(has_figures),
            "{service}"
        );
        assert!(
            service["Names"].is_array() && service["State"].is_string(),
            "{service}"
        );
    }
    Ok(())
}
