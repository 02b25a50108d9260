//! `roentgen conform`: everything passes against this server, and against wrong ones it says so.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use roentgen_tests::http::Connection;
use roentgen_tests::process::describe;
use roentgen_tests::scripted::{Answer, Scripted};
use roentgen_tests::terminal::Terminal;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, trace_id};

/// Runs the examination; the server need not be one of ours.
fn conform(home: &Home, endpoint: &str, arguments: &[&str]) -> Result<Output> {
    let mut all = vec!["conform", "--endpoint", endpoint];
    all.extend(arguments);
    home.run(&all)
}

fn lines(output: &Output) -> Result<Vec<Value>> {
    let text = String::from_utf8(output.stdout.clone())?;
    let lines = text.lines().map(serde_json::from_str);
    lines
        .collect::<Result<_, _>>()
        .with_context(|| describe(output))
}

/// Returns how many checks of each operation passed and failed.
fn scores(checks: &[Value]) -> BTreeMap<&str, (usize, usize)> {
    let mut scores = BTreeMap::new();
    for check in checks {
        let (n_passed, n_failed): &mut (usize, usize) = scores
            .entry(check["operation"].as_str().unwrap())
            .or_default();
        if check["passed"].as_bool().unwrap() {
            *n_passed += 1;
        } else {
            *n_failed += 1;
        }
    }
    scores
}

/// Returns everything a run could leave behind or change.
fn settings(server: &Server) -> Result<Vec<Value>> {
    let paths = [
        "/Groups",
        "/GetSamplingRules",
        "/ListResourcePolicies",
        "/EncryptionConfig",
        "/GetTraceSegmentDestination",
    ];
    let mut settings = Vec::new();
    for path in paths {
        settings.push(server.post(path, &json!({}))?.success()?);
    }
    // Setting a rule again is a change of it, and only its time may tell.
    let rules = server.post("/GetIndexingRules", &json!({}))?.success()?;
    settings.push(rules["IndexingRules"][0]["Rule"].clone());
    Ok(settings)
}

#[test]
fn everything_passes_here_and_nothing_is_left_behind() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    // A server with data of its own.
    server.put_all(&[segment(
        &trace_id(1),
        "00000000000000a1",
        &json!({ "fault": true }),
    )])?;
    server
        .post(
            "/CreateGroup",
            &json!({ "GroupName": "mine", "FilterExpression": "fault" }),
        )?
        .success()?;
    let before = settings(&server)?;

    let output = conform(&home, &server.url(), &["--json", "--change-settings"])?;
    let mut checks = lines(&output)?;
    let sum = checks.pop().context("a sum")?;
    let failed: Vec<_> = checks
        .iter()
        .filter(|check| check["passed"] != json!(true))
        .collect();
    assert!(failed.is_empty(), "{failed:#?}\n{}", server.log());
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(
        sum,
        json!({ "passed": checks.len(), "total": checks.len() })
    );
    assert_eq!(scores(&checks).len(), 38);
    let thin: Vec<_> = scores(&checks)
        .into_iter()
        .filter(|(_, (n_passed, _))| *n_passed < 5)
        .collect();
    assert!(thin.is_empty(), "operations with hardly a check: {thin:?}");

    assert_eq!(settings(&server)?, before);
    Ok(())
}

#[test]
fn everything_passes_on_small_pages() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[query]\npage_bytes = 1024\nsummaries_per_page = 2\n")?;
    let server = home.start_with(&config)?;
    let output = conform(&home, &server.url(), &[])?;
    assert!(
        output.status.success(),
        "{}\n{}",
        describe(&output),
        server.log()
    );
    Ok(())
}

#[test]
fn the_table_has_a_row_for_each_operation() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let some = [
        "--only",
        "GetGroups,PutTelemetryRecords",
        "--only",
        "GetEncryptionConfig",
    ];
    let output = conform(&home, &server.url(), &some)?;
    assert!(output.status.success(), "{}", describe(&output));
    let text = String::from_utf8(output.stdout)?;
    let rows: Vec<&str> = text
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let named = [
        "OPERATION",
        "GetEncryptionConfig",
        "GetGroups",
        "PutTelemetryRecords",
    ];
    assert_eq!(rows[..4], named, "{text}");
    assert!(text.ends_with("3 of 3 operations passed all\n"), "{text}");

    let output = conform(&home, &server.url(), &["--only", "GetNothing"])?;
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    let address = server.url();
    server.kill9()?;
    let output = conform(&home, &address, &[])?;
    assert_eq!(output.status.code(), Some(4), "{}", describe(&output));
    Ok(())
}

/// Passes requests on to a server, and holds the first one of a path until it is told to go on. Returns what tells that it
/// is held, and what lets it go.
fn held(server: &Server, path: &'static str) -> Result<(Scripted, Receiver<()>, Sender<()>)> {
    let address = server.address();
    let (tell, reached) = channel();
    let (release, go) = channel();
    let gate = Mutex::new(Some((tell, go)));
    let endpoint = Scripted::start(move |asked| {
        if asked.path == path {
            let gate = gate.lock().unwrap().take();
            if let Some((tell, go)) = gate {
                tell.send(()).unwrap();
                // Also when the test is over.
                let _told = go.recv();
            }
        }
        let passed = Connection::open(address)
            .and_then(|mut server| server.post(&asked.path, asked.body.as_bytes()));
        match passed {
            Ok(answer) => Answer::Said(answer.status, REQUEST_ID, answer.text()),
            Err(_) => Answer::Closed,
        }
    })?;
    Ok((endpoint, reached, release))
}

#[test]
fn ctrl_c_leaves_nothing_behind_and_tells_what_was_checked() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let before = settings(&server)?;
    let (endpoint, reached, release) = held(&server, "/DeleteSamplingRule")?;
    let mut command = home.command();
    command
        .args(["conform", "--endpoint", &endpoint.url()])
        .args(["--change-settings", "--patience", "100ms"]);
    let mut terminal = Terminal::start(&command, 80)?;
    reached.recv()?;
    assert_ne!(settings(&server)?, before);
    terminal.interrupt()?;
    terminal.wait_for("a second signal")?;
    release.send(())?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert_eq!(settings(&server)?, before);
    assert!(text.contains("/21 parts, "), "{text}");
    assert!(text.contains("CreateSamplingRule  "), "{text}");
    assert!(!text.contains("PutResourcePolicy  "), "{text}");
    assert!(text.contains(" checks passed"), "{text}");
    Ok(())
}

#[test]
fn a_server_that_falls_silent_does_not_keep_an_examination_from_ending() -> Result<()> {
    let home = Home::new()?;
    let n_calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&n_calls);
    let server = Scripted::start(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0..30 => Answer::Said(200, REQUEST_ID, "{}".to_owned()),
        _ => Answer::Silence,
    })?;
    let mut command = home.command();
    command
        .args(["conform", "--endpoint", &server.url()])
        .args(["--patience", "0s"]);
    let mut terminal = Terminal::start(&command, 80)?;
    until("the server is silent", || {
        Ok((n_calls.load(Ordering::SeqCst) > 30).then_some(()))
    })?;
    terminal.interrupt()?;
    let (status, text) = terminal.finish()?;
    assert_eq!(status.code(), Some(130), "{text}");
    assert!(text.contains(" checks passed"), "{text}");
    assert!(text.contains("could not be removed in time"), "{text}");
    Ok(())
}

#[test]
fn the_table_fits_the_terminal_and_shows_failures_in_red() -> Result<()> {
    let server = Scripted::start(|_| {
        Answer::Said(200, REQUEST_ID, json!({ "x".repeat(200): 1 }).to_string())
    })?;
    let home = Home::new()?;
    for n_columns in [40, 80, 250] {
        let mut command = home.command();
        command
            .args(["conform", "--endpoint", &server.url()])
            .args(["--only", "GetGroups,GetServiceGraph"])
            .args(["--patience", "0s"]);
        let coloured = Terminal::start(&command, n_columns)?.finish()?.1;
        assert!(coloured.contains("\u{1b}[31m"), "{coloured}");
        command.env("NO_COLOR", "1");
        let text = Terminal::start(&command, n_columns)?.finish()?.1;
        let (_, table) = text.split_once("OPERATION").with_context(|| text.clone())?;
        let widths = table.lines().map(|line| line.chars().count());
        let widest = widths.max().unwrap_or_default();
        assert!(widest <= usize::from(n_columns), "{n_columns}: {table}");
        assert_eq!(table.contains(".."), n_columns < 250, "{table}");
    }
    Ok(())
}

/// How a server that is wrong on purpose answers: status, further headers, body. It is told the path and the request's body.
type Wrong = fn(&str, &str) -> (u16, &'static str, String);

/// Examines a fake and returns its checks; the run must end with exit code 1.
fn failures(answer: Wrong) -> Result<Vec<Value>> {
    let fake = Scripted::start(move |asked| {
        let (status, headers, body) = answer(&asked.path, &asked.body);
        Answer::Said(status, headers, body)
    })?;
    let home = Home::new()?;
    let arguments = ["--json", "--change-settings", "--patience", "100ms"];
    let output = conform(&home, &fake.url(), &arguments)?;
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let mut checks = lines(&output)?;
    checks.pop().context("a sum")?;
    assert_eq!(scores(&checks).len(), 38);
    Ok(checks)
}

const REQUEST_ID: &str = "x-amzn-requestid: 1\r\n";

#[test]
fn a_server_that_says_nothing_fails_every_operation() -> Result<()> {
    let checks = failures(|_, _| (200, "", "{}".to_owned()))?;
    for (operation, (_, n_failed)) in scores(&checks) {
        assert!(
            n_failed > 0,
            "{operation} passes with nothing but an empty object"
        );
    }
    // An empty object is right where the model has no output, and nowhere else.
    let speechless = [
        "CancelTraceRetrieval",
        "DeleteGroup",
        "DeleteResourcePolicy",
        "PutTelemetryRecords",
        "TagResource",
        "UntagResource",
    ];
    for check in checks.iter().filter(|check| check["passed"] == json!(true)) {
        let operation = check["operation"].as_str().unwrap();
        let name = check["check"].as_str().unwrap();
        assert!(
            speechless.contains(&operation) && !name.ends_with("is refused"),
            "{check}"
        );
    }
    Ok(())
}

#[test]
fn a_server_that_refuses_everything_fails_every_operation() -> Result<()> {
    let checks = failures(|_, _| {
        let body = r#"{"__type": "InvalidRequestException", "Message": "no"}"#;
        (
            400,
            "x-amzn-requestid: 1\r\nx-amzn-errortype: InvalidRequestException\r\n",
            body.to_owned(),
        )
    })?;
    for (operation, (_, n_failed)) in scores(&checks) {
        let due = match operation {
            // Nobody can make an insight on demand: of these only refusals can be checked.
            "GetInsight" | "GetInsightEvents" | "GetInsightImpactGraph" => 0,
            _ => 1,
        };
        assert!(
            n_failed >= due,
            "{operation} passes though it refuses everything"
        );
    }
    Ok(())
}

/// Fails unless a check of an operation failed, with these words, against a server with one mistake.
fn check_seen(answer: Wrong, operation: &str, words: &str) -> Result<()> {
    let checks = failures(answer)?;
    let seen = checks.iter().any(|check| {
        let failure = check["failure"].as_str().unwrap_or_default();
        check["operation"] == operation && failure.contains(words)
    });
    let of_operation: Vec<_> = checks
        .iter()
        .filter(|check| check["operation"] == operation)
        .collect();
    assert!(seen, "{operation} {words}: {of_operation:#?}");
    Ok(())
}

#[test]
fn mistakes_in_results_are_named() -> Result<()> {
    check_seen(
        |_, _| (200, REQUEST_ID, r#"{"groups": []}"#.to_owned()),
        "GetGroups",
        "groups: the model knows no such member",
    )?;
    check_seen(
        |_, _| {
            (
                200,
                REQUEST_ID,
                r#"{"ApproximateTime": "2026-01-01T00:00:00Z"}"#.to_owned(),
            )
        },
        "GetTraceSummaries",
        "is not a number of seconds",
    )?;
    check_seen(
        |_, _| {
            (
                200,
                REQUEST_ID,
                r#"{"Traces": [{"Segments": [{"Id": 1}]}]}"#.to_owned(),
            )
        },
        "BatchGetTraces",
        "Traces[0].Segments[0].Id: 1 is not a text",
    )?;
    check_seen(
        |_, _| {
            (
                200,
                REQUEST_ID,
                r#"{"Groups": [], "NextToken": "again"}"#.to_owned(),
            )
        },
        "GetGroups",
        "the same NextToken twice",
    )?;
    let groups = |_: &str, _: &str| (200, "", r#"{"Groups": []}"#.to_owned());
    check_seen(groups, "GetGroups", "no header x-amzn-requestid")?;
    check_seen(
        |_, _| (200, REQUEST_ID, "<html>".to_owned()),
        "GetGroups",
        "no JSON",
    )
}

#[test]
fn mistakes_in_errors_are_named() -> Result<()> {
    const NOT_FOUND: &str =
        "x-amzn-requestid: 1\r\nx-amzn-errortype: ResourceNotFoundException\r\n";
    check_seen(
        |_, _| (404, NOT_FOUND, r#"{"Message": "m"}"#.to_owned()),
        "GetGroup",
        "InvalidRequestException was due",
    )?;
    check_seen(
        |_, _| (400, NOT_FOUND, r#"{"Message": "m"}"#.to_owned()),
        "TagResource",
        "ResourceNotFoundException has status 404",
    )?;
    check_seen(
        |_, _| (404, NOT_FOUND, "{}".to_owned()),
        "TagResource",
        "without a Message",
    )?;
    check_seen(
        |_, _| {
            let body = r#"{"__type": "InvalidRequestException", "message": "m"}"#;
            (400, REQUEST_ID, body.to_owned())
        },
        "GetGroup",
        "no header x-amzn-errortype",
    )
}

#[test]
fn a_server_that_forgets_is_found_out() -> Result<()> {
    // It echoes what it is told to make and never has it again.
    let checks = failures(|path, body| {
        let asked: Value = serde_json::from_str(body).unwrap_or_default();
        let answer = match path {
            "/CreateGroup" => json!({ "Group": {
                "GroupName": asked["GroupName"], "FilterExpression": asked["FilterExpression"],
                "GroupARN": format!("arn:aws:xray:us-east-1:000000000000:group/{}/A", asked["GroupName"].as_str().unwrap_or_default()),
                "InsightsConfiguration": asked["InsightsConfiguration"],
            } }),
            "/TraceSegments" => json!({ "UnprocessedTraceSegments": [] }),
            "/Traces" => json!({ "Traces": [], "UnprocessedTraceIds": [] }),
            _ => json!({}),
        };
        (200, REQUEST_ID, answer.to_string())
    })?;
    let outcome = |operation: &str, name: &str| {
        let check = checks
            .iter()
            .find(|check| check["operation"] == operation && check["check"] == name);
        check
            .with_context(|| format!("no check {name} of {operation}"))
            .map(|check| check["passed"] == json!(true))
    };
    assert!(outcome("CreateGroup", "a new group is answered whole")?);
    assert!(!outcome("GetGroup", "a group is found by its name")?);
    assert!(!outcome("GetGroups", "every group is listed, Default too")?);
    assert!(outcome("PutTraceSegments", "good documents are taken")?);
    assert!(!outcome("BatchGetTraces", "all traces are found")?);
    assert!(outcome("BatchGetTraces", "an unknown trace is left out")?);
    Ok(())
}
