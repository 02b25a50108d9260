//! Who may come in, and that accounts cannot see, count, page into or guess each other's.

use anyhow::{Context, Result};
use roentgen_tests::server::list;
use roentgen_tests::signing::{Signer, send};
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Response, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, trace_id};

pub(crate) const KEYS: &str = r#"
[[key]]
id = "AKALICE"
secret = "alices secret"
account = "111111111111"
regions = ["us-east-1", "eu-west-1"]
rights = ["write", "read", "admin"]

[[key]]
id = "AKBOB"
secret = "bobs secret"
account = "222222222222"
rights = ["write", "read", "admin"]

[[key]]
id = "AKAGENT"
secret = "agents secret"
account = "111111111111"
rights = ["write"]

[[key]]
id = "AKREADER"
secret = "readers secret"
account = "111111111111"
rights = ["read"]

[[key]]
id = "AKLENT"
secret = "lent secret"
session_token = "lent token"
account = "111111111111"
rights = ["write", "read"]

[[key]]
id = "AKOPERATOR"
secret = "operators secret"
account = "000000000000"
rights = ["admin"]
"#;

pub(crate) const ALICE: Signer = Signer::new("AKALICE", "alices secret");
const BOB: Signer = Signer::new("AKBOB", "bobs secret");
const AGENT: Signer = Signer::new("AKAGENT", "agents secret");
const READER: Signer = Signer::new("AKREADER", "readers secret");
pub(crate) const OPERATOR: Signer = Signer::new("AKOPERATOR", "operators secret");

pub(crate) fn write_keys(home: &Home, text: &str) -> Result<()> {
    Ok(std::fs::write(home.folder().join("keys.toml"), text)?)
}

fn check_refused(answer: &Response, status: u16, code: &str, words: &str) -> Result<()> {
    let message = crate::fixture::assert_error(answer, status, code)?;
    assert!(message.contains(words), "{words:?} is not in {message:?}");
    Ok(())
}

/// Starts a server with the keys above.
pub(crate) fn start(home: &Home, more: &str) -> Result<Server> {
    write_keys(home, KEYS)?;
    let config = format!("[auth]\nmode = \"sigv4\"\nkeys = \"keys.toml\"\n{more}");
    home.start_with(&home.config(&config)?)
}

fn window() -> Value {
    json!({ "StartTime": now() - 3600, "EndTime": now() + 60 })
}

/// Returns the ids of the traces a key sees in the last hour.
fn summaries(server: &Server, signer: &Signer) -> Result<Vec<Value>> {
    let answer = signer.post(server, "/TraceSummaries", &window())?;
    let summaries = list(&answer.success()?, "TraceSummaries")?;
    Ok(summaries
        .iter()
        .map(|summary| summary["Id"].clone())
        .collect())
}

fn traces(server: &Server, signer: &Signer, trace_id: &str) -> Result<Vec<Value>> {
    let request = json!({ "TraceIds": [trace_id] });
    let answer = signer.post(server, "/Traces", &request)?.success()?;
    list(&answer, "Traces")
}

#[test]
fn who_signs_well_comes_in_and_nobody_else() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let trace_id = trace_id(1);
    let document = segment(&trace_id, "00000000000000a1", &json!({}));
    ALICE.put_all(&server, &[document])?;
    assert_eq!(traces(&server, &ALICE, &trace_id)?.len(), 1);

    let lent = Signer {
        session_token: Some("lent token"),
        ..Signer::new("AKLENT", "lent secret")
    };
    assert_eq!(traces(&server, &lent, &trace_id)?.len(), 1);

    let body = json!({ "TraceIds": [trace_id] });
    let refused = |signer: Signer| signer.post(&server, "/Traces", &body);
    let invalid = "InvalidSignatureException";
    let check =
        |signer, code, words| -> Result<()> { check_refused(&refused(signer)?, 403, code, words) };
    let with = |change: fn(&mut Signer)| {
        let mut signer = ALICE;
        change(&mut signer);
        signer
    };
    check(with(|of| of.secret = "guessed"), invalid, "does not match")?;
    check(with(|of| of.id = "AKNOBODY"), invalid, "does not match")?;
    check(with(|of| of.region = "ap-south-1"), invalid, "valid region")?;
    check(with(|of| of.service = "s3"), invalid, "service")?;
    check(with(|of| of.ahead = -1000), invalid, "Signature expired")?;
    check(with(|of| of.ahead = 1000), invalid, "not yet current")?;
    let unrecognized = "UnrecognizedClientException";
    let words = "security token";
    check(
        with(|of| of.session_token = Some("made up")),
        unrecognized,
        words,
    )?;
    check(Signer::new("AKLENT", "lent secret"), unrecognized, words)?;

    let unsigned = server.post("/Traces", &body)?;
    check_refused(
        &unsigned,
        403,
        "MissingAuthenticationTokenException",
        "Missing",
    )?;
    let headers = ALICE.headers("POST", "/Traces", body.to_string().as_bytes())?;
    let other = json!({ "TraceIds": [trace_id], "NextToken": "" }).to_string();
    let changed = send(&server, "POST", "/Traces", &headers, other.as_bytes())?;
    check_refused(&changed, 403, invalid, "does not match")?;
    let elsewhere = send(
        &server,
        "POST",
        "/TraceGraph",
        &headers,
        body.to_string().as_bytes(),
    )?;
    check_refused(&elsewhere, 403, invalid, "does not match")
}

#[test]
fn a_key_that_is_not_known_is_answered_like_a_wrong_secret() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let answer = |signer: Signer| -> Result<(u16, String, Vec<String>)> {
        let answer = signer.post(&server, "/Traces", &json!({ "TraceIds": ["x"] }))?;
        let names = answer.headers.iter().map(|(name, _)| name.clone());
        Ok((answer.status, answer.text(), names.collect()))
    };
    let known = answer(Signer::new("AKALICE", "guessed"))?;
    assert_eq!(known, answer(Signer::new("AKNOBODY", "guessed"))?);
    assert!(!known.1.contains("AKALICE"), "{}", known.1);
    let log = server.log();
    assert!(
        !log.contains("guessed") && !log.contains("alices secret"),
        "{log}"
    );
    Ok(())
}

#[test]
fn rights_are_kept_apart() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let document = segment(&trace_id(1), "00000000000000a1", &json!({}));
    let put = json!({ "TraceSegmentDocuments": [document] });
    let rules = json!({});
    let group = json!({ "GroupName": "shop" });
    let denied = "AccessDeniedException";
    let check = |signer: Signer, path: &str, body: &Value, is_allowed: bool| -> Result<()> {
        let answer = signer.post(&server, path, body)?;
        if is_allowed {
            return answer.success().map(drop);
        }
        check_refused(&answer, 403, denied, "is not authorized to perform: xray:")
    };
    check(AGENT, "/TraceSegments", &put, true)?;
    check(AGENT, "/GetSamplingRules", &rules, true)?;
    check(AGENT, "/TraceSummaries", &window(), false)?;
    check(AGENT, "/CreateGroup", &group, false)?;
    check(READER, "/TraceSegments", &put, false)?;
    check(READER, "/GetSamplingRules", &rules, true)?;
    check(READER, "/TraceSummaries", &window(), true)?;
    check(READER, "/CreateGroup", &group, false)?;
    check(ALICE, "/CreateGroup", &group, true)?;
    let figures = OPERATOR.get(&server, "/metrics")?;
    assert_eq!(figures.status, 200);
    assert_eq!(ALICE.get(&server, "/metrics")?.status, 403);
    assert_eq!(server.get("/metrics")?.status, 403);
    assert_eq!(server.get("/healthz")?.status, 200);
    Ok(())
}

#[test]
fn accounts_and_regions_do_not_see_each_other() -> Result<()> {
    let home = Home::new()?;
    let mut server = start(&home, "")?;
    let abroad = Signer {
        region: "eu-west-1",
        ..ALICE
    };
    let trace_id = trace_id(1);
    let owners = [
        (&ALICE, "alices"),
        (&BOB, "bobs"),
        (&abroad, "alices abroad"),
    ];
    for (signer, name) in owners {
        // The same ids in all of them: nothing may overwrite, join or count what another one has.
        let document = segment(&trace_id, "00000000000000a1", &json!({ "name": name }));
        signer.put_all(&server, &[document])?;
    }
    for (signer, name) in owners {
        let group =
            json!({ "GroupName": "mine", "FilterExpression": format!("service(\"{name}\")") });
        signer.post(&server, "/CreateGroup", &group)?.success()?;
    }
    for round in 0..2 {
        for (signer, name) in owners {
            assert_eq!(summaries(&server, signer)?, [trace_id.as_str()]);
            let traces = traces(&server, signer, &trace_id)?;
            let segments = list(&traces[0], "Segments")?;
            assert_eq!(segments.len(), 1, "{name}");
            assert!(
                segments[0]["Document"]
                    .as_str()
                    .context("text")?
                    .contains(name)
            );
            let graph = signer
                .post(&server, "/ServiceGraph", &window())?
                .success()?;
            let nodes = list(&graph, "Services")?;
            let names: Vec<&str> = nodes
                .iter()
                .filter_map(|node| node["Name"].as_str())
                .collect();
            assert!(names.iter().all(|node| *node == name), "{names:?}");
            assert!(!names.is_empty());
            let groups = signer.post(&server, "/Groups", &json!({}))?.success()?;
            let groups = list(&groups, "Groups")?;
            let own = groups.iter().find(|group| group["GroupName"] == "mine");
            let arn = own.context("its group")?["GroupARN"].clone();
            let (id, region) = (account_of(signer), signer.region);
            let beginning = format!("arn:aws:xray:{region}:{id}:group/mine/");
            assert!(
                arn.as_str().context("ARN")?.starts_with(&beginning),
                "{arn}"
            );
        }
        if round == 0 {
            server.terminate()?;
            server = start(&home, "")?;
        }
    }
    Ok(())
}

fn account_of(signer: &Signer) -> &'static str {
    match signer.id {
        "AKBOB" => "222222222222",
        _ => "111111111111",
    }
}

#[test]
fn what_one_account_is_given_means_nothing_to_another() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "[query]\nsummaries_per_page = 1\n")?;
    for signer in [&ALICE, &BOB] {
        let documents: Vec<String> = (1..=3)
            .map(|number| segment(&trace_id(number), "00000000000000a1", &json!({})))
            .collect();
        signer.put_all(&server, &documents)?;
    }
    let mut request = window();
    let page = ALICE
        .post(&server, "/TraceSummaries", &request)?
        .success()?;
    request["NextToken"] = page["NextToken"].clone();
    assert!(request["NextToken"].is_string());
    ALICE
        .post(&server, "/TraceSummaries", &request)?
        .success()?;
    let borrowed = BOB.post(&server, "/TraceSummaries", &request)?;
    check_refused(&borrowed, 400, "InvalidRequestException", "NextToken")?;

    let retrieval = json!({
        "TraceIds": [trace_id(1)], "StartTime": now() - 3600, "EndTime": now() + 60,
    });
    let started = ALICE
        .post(&server, "/StartTraceRetrieval", &retrieval)?
        .success()?;
    let token = json!({ "RetrievalToken": started["RetrievalToken"] });
    ALICE
        .post(&server, "/ListRetrievedTraces", &token)?
        .success()?;
    let borrowed = BOB.post(&server, "/ListRetrievedTraces", &token)?;
    check_refused(&borrowed, 404, "ResourceNotFoundException", "")?;

    let rule = json!({ "SamplingRule": {
        "RuleName": "hers", "Priority": 10, "FixedRate": 0.5, "ReservoirSize": 1, "ServiceName": "*", "ServiceType": "*",
        "Host": "*", "HTTPMethod": "*", "URLPath": "*", "ResourceARN": "*", "Version": 1,
    }});
    let made = ALICE
        .post(&server, "/CreateSamplingRule", &rule)?
        .success()?;
    let arn = made["SamplingRuleRecord"]["SamplingRule"]["RuleARN"].clone();
    let rules = BOB
        .post(&server, "/GetSamplingRules", &json!({}))?
        .success()?;
    let rules = list(&rules, "SamplingRuleRecords")?;
    assert!(
        rules
            .iter()
            .all(|rule| rule["SamplingRule"]["RuleName"] == "Default"),
        "{rules:?}"
    );
    let tags = BOB.post(
        &server,
        "/ListTagsForResource",
        &json!({ "ResourceARN": arn }),
    )?;
    assert!((400..500).contains(&tags.status), "{}", tags.text());
    let deleted = BOB.post(&server, "/DeleteSamplingRule", &json!({ "RuleARN": arn }))?;
    assert_eq!(deleted.status, 400);
    let key = json!({ "Type": "KMS", "KeyId": "c234g4e8-39e9-4gb0-84e2-b0ea215cbba5" });
    ALICE
        .post(&server, "/PutEncryptionConfig", &key)?
        .success()?;
    let other = BOB
        .post(&server, "/EncryptionConfig", &json!({}))?
        .success()?;
    assert_eq!(other["EncryptionConfig"]["Type"], "NONE");
    Ok(())
}

#[test]
fn samplers_that_do_not_sign_are_told_the_rules_of_the_account_that_allows_it() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "unsigned_sampling = \"111111111111/us-east-1\"\n")?;
    let answer = server.post("/GetSamplingRules", &json!({}))?.success()?;
    let arn = answer["SamplingRuleRecords"][0]["SamplingRule"]["RuleARN"].clone();
    assert!(
        arn.as_str().context("ARN")?.contains(":111111111111:"),
        "{arn}"
    );
    let statistics = json!({ "SamplingStatisticsDocuments": [{
        "RuleName": "Default", "ClientID": "0123456789abcdef01234567", "Timestamp": now(),
        "RequestCount": 5, "SampledCount": 1, "BorrowCount": 1,
    }]});
    server.post("/SamplingTargets", &statistics)?.success()?;
    let missing = "MissingAuthenticationTokenException";
    for path in ["/SamplingStatisticSummaries", "/TraceSegments", "/Groups"] {
        check_refused(&server.post(path, &json!({}))?, 403, missing, "Missing")?;
    }
    let other = start(&Home::new()?, "")?;
    let answer = other.post("/GetSamplingRules", &json!({}))?;
    check_refused(&answer, 403, missing, "Missing")
}

#[test]
fn a_key_may_be_sent_as_a_password_from_this_machine() -> Result<()> {
    let home = Home::new()?;
    let server = start(&home, "")?;
    let get = |encoded: &str| {
        let header = ("authorization", format!("Basic {encoded}"));
        let header = [(header.0.to_owned(), header.1)];
        send(&server, "GET", "/metrics", &header, b"")
    };
    // AKOPERATOR:operators secret, then with another secret, of nobody, of a key that needs its token, and no pair at all.
    assert_eq!(get("QUtPUEVSQVRPUjpvcGVyYXRvcnMgc2VjcmV0")?.status, 200);
    for wrong in [
        "QUtPUEVSQVRPUjpndWVzcw==",
        "Tk9CT0RZOmd1ZXNz",
        "QUtMRU5UOmxlbnQgc2VjcmV0",
        "QUs=",
        "%%",
    ] {
        let answer = get(wrong)?;
        check_refused(&answer, 403, "InvalidSignatureException", "")?;
    }
    Ok(())
}

#[test]
fn a_server_without_usable_keys_does_not_start() -> Result<()> {
    let home = Home::new()?;
    let check = |config: &str, words: &str| -> Result<()> {
        let output = home.serve_output(&home.config(config)?)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(words), "{text}");
        Ok(())
    };
    check("[auth]\nmode = \"sigv4\"\n", "auth.keys")?;
    check(
        "[auth]\nmode = \"sigv4\"\nkeys = \"nowhere.toml\"\n",
        "nowhere.toml",
    )?;
    check("[auth]\nmode = \"open\"\n", "auth.mode")
}

#[test]
fn pages_of_other_sites_cannot_call_the_server() -> Result<()> {
    let home = Home::new()?;
    let config =
        "[server]\nhosts = [\"traces.example.com\"]\norigins = [\"https://app.example.com\"]\n";
    let server = home.start_with(&home.config(config)?)?;
    let ask = |method: &str, host: &str, more: &str| {
        let mut connection = server.connect()?;
        let head = format!(
            "{method} /Groups HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n{more}\r\n{{}}"
        );
        connection.send(head.as_bytes())?;
        connection.receive()
    };
    assert_eq!(ask("POST", "traces.example.com", "")?.status, 200);
    assert_eq!(ask("POST", "roentgen:2000", "")?.status, 200);
    let rebound = ask("POST", "evil.example.com", "")?;
    check_refused(&rebound, 403, "AccessDeniedException", "server.hosts")?;
    let foreign = ask("POST", "localhost", "Origin: https://evil.example.com\r\n")?;
    check_refused(&foreign, 403, "AccessDeniedException", "server.origins")?;
    let allowed = ask("POST", "localhost", "Origin: https://app.example.com\r\n")?;
    let admitted = |answer: &Response| {
        answer
            .header("access-control-allow-origin")
            .map(str::to_owned)
    };
    assert_eq!(allowed.status, 200);
    assert_eq!(
        admitted(&allowed).as_deref(),
        Some("https://app.example.com")
    );
    let question = "Origin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
    let preflight = ask("OPTIONS", "localhost", question)?;
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("authorization")
    );
    Ok(())
}
