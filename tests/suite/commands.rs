//! The commands that ask a server, against one whose traffic is known.

mod loads;
mod tails;
pub(crate) mod told;

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use anyhow::{Context, Result};
use roentgen_tests::process::describe;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::fixture::{segment, trace_id};

/// A server with three traces: one whose payment fails, one of a wrong address, and a slow one.
struct Shop {
    home: Home,
    server: Server,
    faulty: String,
    lost: String,
    slow: String,
}

impl Shop {
    fn open() -> Result<Self> {
        let home = Home::new()?;
        let server = home.start()?;
        let (faulty, lost, slow) = (trace_id(1), trace_id(2), trace_id(3));
        let http = |method: &str, path: &str, status: u16| {
            json!({ "request": { "method": method, "url": format!("http://shop.test{path}") },
                    "response": { "status": status } })
        };
        let start = f64::from(roentgen_tests::wait::now() - 60);
        let call = json!({
            "http": http("POST", "/pay", 500), "fault": true, "annotations": { "tier": "gold" },
            "subsegments": [{ "id": "00000000000000b1", "name": "payments", "namespace": "remote",
                "start_time": start + 0.25, "end_time": start + 0.75, "fault": true }],
        });
        let payment = json!({
            "name": "payments", "parent_id": "00000000000000b1", "fault": true,
            "start_time": start + 0.25, "end_time": start + 0.75,
        });
        let nowhere = json!({ "http": http("GET", "/nowhere", 404), "error": true });
        let long = json!({ "http": http("GET", "/", 200), "end_time": start + 5.0 });
        server.put_all(&[
            segment(&faulty, "00000000000000a1", &call),
            segment(&faulty, "00000000000000c1", &payment),
            segment(&lost, "00000000000000a2", &nowhere),
            segment(&slow, "00000000000000a3", &long),
        ])?;
        Ok(Self {
            home,
            server,
            faulty,
            lost,
            slow,
        })
    }

    /// Runs a command against the server.
    fn run(&self, arguments: &[&str]) -> Result<Output> {
        run(&self.home, &self.server.url(), arguments)
    }

    /// Runs a command that must succeed and returns what it printed.
    fn print(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            describe(&output)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a command that must succeed and returns the lines of JSON it printed.
    fn lines(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let text = self.print(&[arguments, &["--json"]].concat())?;
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().context(text.clone())
    }

    fn code(&self, arguments: &[&str]) -> Result<i32> {
        let output = self.run(arguments)?;
        output.status.code().with_context(|| describe(&output))
    }
}

fn run(home: &Home, endpoint: &str, arguments: &[&str]) -> Result<Output> {
    home.run(&[arguments, &["--endpoint", endpoint]].concat())
}

/// Runs a command with this on its standard input.
fn fed(shop: &Shop, arguments: &[&str], input: &str) -> Result<Output> {
    let mut command = shop.home.command();
    command
        .args(arguments)
        .args(["--endpoint", &shop.server.url()]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child
        .stdin
        .take()
        .context("stdin")?
        .write_all(input.as_bytes())?;
    Ok(child.wait_with_output()?)
}

#[test]
fn traces_are_found_by_expression_and_in_order() -> Result<()> {
    let shop = Shop::open()?;
    let ids = |arguments: &[&str]| -> Result<Vec<String>> {
        let text = shop.print(&[&["find", "--ids"], arguments].concat())?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let mut all = ids(&[])?;
    all.sort();
    let mut expected = vec![shop.faulty.clone(), shop.lost.clone(), shop.slow.clone()];
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(ids(&["fault"])?, [shop.faulty.as_str()]);
    assert_eq!(
        ids(&["annotation.tier = \"gold\""])?,
        [shop.faulty.as_str()]
    );
    assert_eq!(
        ids(&["--sort", "duration", "--limit", "1"])?,
        [shop.slow.as_str()]
    );
    assert_eq!(ids(&["--limit", "2"])?.len(), 2);
    assert_eq!(ids(&["--from", "-5m", "--to", "now"])?.len(), 3);
    assert_eq!(shop.code(&["find", "--from", "-2h", "--to", "-1h"])?, 3);
    assert_eq!(shop.code(&["find", "service(\"nobody\")"])?, 3);
    Ok(())
}

#[test]
fn traces_found_are_a_table_with_flags() -> Result<()> {
    let shop = Shop::open()?;
    let table = shop.print(&["find"])?;
    let lines: Vec<&str> = table.lines().collect();
    let header: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        header,
        ["TIME", "DURATION", "ID", "FLAGS", "HTTP", "NAME", "REQUEST"]
    );
    let words = |id: &str| -> Result<Vec<&str>> {
        let line = lines
            .iter()
            .find(|line| line.contains(id))
            .context("a line")?;
        Ok(line.split_whitespace().skip(4).collect())
    };
    assert_eq!(
        words(&shop.faulty)?,
        ["F", "500", "shop", "POST", "http://shop.test/pay"]
    );
    assert_eq!(
        words(&shop.lost)?,
        ["E", "404", "shop", "GET", "http://shop.test/nowhere"]
    );
    assert_eq!(
        words(&shop.slow)?,
        ["200", "shop", "GET", "http://shop.test/"]
    );
    let plain = shop.print(&["find", "fault", "--plain"])?;
    assert_eq!(plain.split('\t').nth(3), Some("F"), "{plain}");
    let found = shop.lines(&["find", "fault"])?;
    assert_eq!(found.len(), 1);
    assert_eq!(
        (&found[0]["Id"], &found[0]["HasFault"]),
        (&json!(shop.faulty), &json!(true))
    );
    Ok(())
}

#[test]
fn ids_found_are_read_by_get() -> Result<()> {
    let shop = Shop::open()?;
    let ids = shop.print(&["find", "fault OR error", "--ids"])?;
    let output = fed(&shop, &["get", "-"], "")?;
    assert_eq!(output.status.code(), Some(3), "{}", describe(&output));
    let output = fed(&shop, &["get", "-"], &ids)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.matches("shop").count() == 2,
        "{}",
        describe(&output)
    );
    Ok(())
}

#[test]
fn an_expression_that_is_wrong_is_shown_with_its_place() -> Result<()> {
    let shop = Shop::open()?;
    for command in ["find", "tail", "open"] {
        let output = shop.run(&[command, "duration >> 5"])?;
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        assert!(
            message.contains("\n  duration >> 5\n            ^"),
            "{message}"
        );
    }
    Ok(())
}

#[test]
fn services_and_their_calls_are_shown() -> Result<()> {
    let shop = Shop::open()?;
    let lines = shop.lines(&["map"])?;
    let line = |kind: &str, from: Option<&str>, name: &str| {
        let found = lines.iter().find(|line| {
            line["Kind"] == kind
                && line["From"].as_str() == from
                && line["Name"] == name
                && line["Type"] != "client"
        });
        found.with_context(|| format!("{kind} {from:?} {name} in {lines:?}"))
    };
    let service = line("Service", None, "shop")?;
    assert_eq!(
        (&service["Requests"], &service["Faults"], &service["Errors"]),
        (&json!(3), &json!(1), &json!(1))
    );
    let rate = service["FaultRate"].as_f64().context("a rate")?;
    assert!((rate - 1.0 / 3.0).abs() < 1e-9, "{rate}");
    let call = line("Call", Some("shop"), "payments")?;
    assert_eq!(
        (&call["Requests"], &call["FaultRate"], &call["P50"]),
        (&json!(1), &json!(1.0), &json!(0.5))
    );
    let table = shop.print(&["map"])?;
    assert!(
        table.starts_with("SERVICE") && table.contains("  -> payments"),
        "{table}"
    );
    assert_eq!(shop.code(&["map", "--from", "-2h", "--to", "-1h"])?, 3);
    let graph = shop.print(&["map", "--format", "dot"])?;
    assert!(
        graph.starts_with("digraph") && graph.contains("label=\"payments"),
        "{graph}"
    );
    Ok(())
}

#[test]
fn figures_are_shown_over_time() -> Result<()> {
    let shop = Shop::open()?;
    let count = |arguments: &[&str], member: &str| -> Result<u64> {
        let periods = shop.lines(&[&["stats"], arguments].concat())?;
        Ok(periods
            .iter()
            .filter_map(|period| period[member].as_u64())
            .sum())
    };
    assert_eq!(count(&[], "Requests")?, 3);
    assert_eq!(
        count(&["--service", "shop", "--period", "300"], "Faults")?,
        1
    );
    assert_eq!(count(&["--edge", "shop", "payments"], "Requests")?, 1);
    let table = shop.print(&["stats", "--service", "payments"])?;
    assert!(
        table.starts_with("TIME") && table.contains("100.0%"),
        "{table}"
    );
    assert_eq!(shop.code(&["stats", "--service", "nobody"])?, 3);
    // Without a terminal there is nothing but the table.
    assert!(!table.contains("max"), "{table}");
    Ok(())
}

#[test]
fn rules_are_made_changed_shown_and_deleted() -> Result<()> {
    let shop = Shop::open()?;
    let rule = r#"{"RuleName": "pay", "Priority": 7, "FixedRate": 0.5, "ReservoirSize": 2, "URLPath": "/pay"}"#;
    let output = fed(&shop, &["rules", "put", "-"], rule)?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "made pay\n",
        "{}",
        describe(&output)
    );
    let file = shop.home.folder().join("pay.json");
    fs::write(
        &file,
        shop.print(&["rules", "show", "pay"])?
            .replace("0.5", "0.25"),
    )?;
    let file = file.display().to_string();
    assert_eq!(shop.print(&["rules", "put", &file])?, "changed pay\n");
    let rules = shop.lines(&["rules"])?;
    assert_eq!(rules[0]["RuleName"], "pay");
    assert_eq!(
        (&rules[0]["FixedRate"], &rules[0]["URLPath"]),
        (&json!(0.25), &json!("/pay"))
    );
    // The one that is always there says all there is to it, and takes what may change.
    fs::write(
        &file,
        shop.print(&["rules", "show", "Default"])?
            .replace("0.05", "0.75"),
    )?;
    assert_eq!(shop.print(&["rules", "put", &file])?, "changed Default\n");
    let table = shop.print(&["rules"])?;
    assert!(table.contains("0.75") && table.contains("/pay"), "{table}");
    assert_eq!(shop.code(&["rules", "delete", "pay", "nothing"])?, 5);
    for arguments in [&["rules", "delete", "pay"][..], &["rules", "show", "pay"]] {
        assert_eq!(shop.code(arguments)?, 3);
    }
    let wrong = fed(
        &shop,
        &["rules", "put", "-"],
        r#"{"RuleName": "x", "Priority": 0}"#,
    )?;
    assert_eq!(wrong.status.code(), Some(1), "{}", describe(&wrong));
    let nonsense = fed(&shop, &["rules", "put", "-"], "[5]")?;
    assert_eq!(nonsense.status.code(), Some(2), "{}", describe(&nonsense));
    Ok(())
}

#[test]
fn groups_are_made_changed_and_deleted() -> Result<()> {
    let shop = Shop::open()?;
    assert_eq!(
        shop.print(&["groups", "put", "bad", "fault", "--insights"])?,
        "made bad\n"
    );
    let group = |name: &str| -> Result<Value> {
        let groups = shop.lines(&["groups"])?;
        let found = groups.into_iter().find(|group| group["GroupName"] == name);
        found.with_context(|| format!("no {name}"))
    };
    let bad = group("bad")?;
    assert_eq!(bad["FilterExpression"], "fault");
    assert_eq!(bad["InsightsConfiguration"]["InsightsEnabled"], true);
    assert_eq!(
        shop.print(&["groups", "put", "bad", "error"])?,
        "changed bad\n"
    );
    let bad = group("bad")?;
    assert_eq!(bad["FilterExpression"], "error");
    assert_eq!(bad["InsightsConfiguration"]["InsightsEnabled"], true);
    assert_eq!(
        shop.print(&["groups", "put", "bad", "", "--insights=off"])?,
        "changed bad\n"
    );
    assert_eq!(
        group("bad")?["InsightsConfiguration"]["InsightsEnabled"],
        false
    );
    let table = shop.print(&["groups"])?;
    assert!(
        table.starts_with("NAME") && table.contains("Default"),
        "{table}"
    );
    assert_eq!(shop.code(&["groups", "put", "worse", "faul"])?, 2);
    assert_eq!(shop.print(&["groups", "delete", "bad"])?, "deleted bad\n");
    assert_eq!(shop.code(&["groups", "delete", "bad"])?, 3);
    Ok(())
}

#[test]
fn a_trace_is_opened_in_the_browser_of_the_user() -> Result<()> {
    let shop = Shop::open()?;
    let folder = shop.home.folder();
    let (browser, seen) = (folder.join("browser"), folder.join("seen"));
    fs::write(
        &browser,
        format!("#!/bin/sh\ncat \"$2\" > {}\n", seen.display()),
    )?;
    fs::set_permissions(&browser, fs::Permissions::from_mode(0o755))?;
    let mut command = shop.home.command();
    command
        .args(["open", "fault", "--endpoint", &shop.server.url()])
        .env(
            "BROWSER",
            format!("/does/not/exist:{} --new %s", browser.display()),
        )
        .env("TMPDIR", folder)
        .stdin(Stdio::null());
    let output = command.output()?;
    assert!(output.status.success(), "{}", describe(&output));
    let file = String::from_utf8(output.stdout)?;
    let page = fs::read_to_string(file.trim_end())?;
    assert!(Path::new(file.trim_end()).starts_with(folder), "{file}");
    assert_eq!(fs::read_to_string(&seen)?, page);
    assert!(
        page.contains(&shop.faulty) && !page.contains(&shop.slow),
        "{page}"
    );

    // Without a browser the page is only written.
    let named = folder.join("page.html").display().to_string();
    assert_eq!(
        shop.print(&["open", &shop.slow, "-o", &named])?,
        format!("{named}\n")
    );
    assert!(fs::read_to_string(&named)?.contains(&shop.slow));
    let both = shop.print(&["open", &shop.slow, &shop.lost, "-o", "-"])?;
    assert!(
        both.starts_with("<!DOCTYPE html>") && both.contains(&shop.lost),
        "{both}"
    );
    assert_eq!(shop.code(&["open", &trace_id(9)])?, 3);
    assert_eq!(
        shop.code(&["open", &trace_id(9), &shop.slow, "-o", "-"])?,
        5
    );
    assert_eq!(shop.code(&["open", "throttle"])?, 3);
    Ok(())
}

#[test]
fn what_a_server_takes_is_measured_and_compared() -> Result<()> {
    let shop = Shop::open()?;
    let file = shop.home.folder().join("baseline.json");
    let path = file.display().to_string();
    let small = [
        "bench",
        "--for",
        "60s",
        "--documents",
        "200",
        "--connections",
        "2",
    ];
    let figures = shop.lines(&[&small[..], &["-o", &path]].concat())?;
    let figures = figures.first().context("figures")?;
    assert_eq!(figures["DocumentsAcknowledged"], 200);
    assert_eq!(
        (&figures["Calls"], &figures["DocumentsRefused"]),
        (&json!(8), &json!(0))
    );
    assert!(figures["P50Ms"].as_f64() <= figures["P99Ms"].as_f64());
    let found = shop.print(&["find", "service(\"bench-front\")", "--ids"])?;
    // Five documents are a trace; two connections made two hundred, the last trace of each may be short.
    assert!((40..=42).contains(&found.lines().count()), "{found}");

    let mut baseline: Value = serde_json::from_str(&fs::read_to_string(&file)?)?;
    let held = |baseline: &Value, more: &[&str]| -> Result<Output> {
        fs::write(&file, baseline.to_string())?;
        shop.run(&[&small[..], &["--compare", &path], more].concat())
    };
    baseline["DocumentsPerSecond"] = json!(0.001);
    baseline["P50Ms"] = json!(1e9);
    baseline["P99Ms"] = json!(1e9);
    let better = held(&baseline, &[])?;
    assert!(better.status.success(), "{}", describe(&better));
    baseline["DocumentsPerSecond"] = json!(1e12);
    let worse = held(&baseline, &["--tolerance", "50%"])?;
    assert_eq!(worse.status.code(), Some(6), "{}", describe(&worse));
    assert!(describe(&worse).contains("regression: documents/s"));
    let other = held(&baseline, &["--batch", "10"])?;
    assert_eq!(other.status.code(), Some(2), "{}", describe(&other));
    Ok(())
}

#[test]
fn every_command_tells_when_no_server_answers() -> Result<()> {
    let shop = Shop::open()?;
    let (home, endpoint) = (shop.home, shop.server.url());
    shop.server.kill9()?;
    for arguments in [
        &["find"][..],
        &["tail"],
        &["map"],
        &["stats"],
        &["rules"],
        &["rules", "delete", "x"],
        &["groups"],
        &["groups", "put", "x", "fault"],
        &["open", "fault"],
        &["bench"],
    ] {
        let output = run(&home, &endpoint, arguments)?;
        assert_eq!(
            output.status.code(),
            Some(4),
            "{arguments:?}: {}",
            describe(&output)
        );
        assert!(output.stdout.is_empty(), "{}", describe(&output));
    }
    Ok(())
}
