//! The steps of `tests/clients/steps.json`, taken by the clients that are scripts.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result};
use roentgen_tests::process::describe;
use roentgen_tests::wait::now;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

/// What steps are told: one trace of two services, some times, some policies.
pub(super) struct Variables {
    pub(super) trace_id: String,
    pub(super) front: String,
    pub(super) back: String,
    pub(super) policy: String,
    pub(super) base: u32,
    pub(super) now: u32,
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Variables {
    pub(super) fn new() -> Self {
        let now = now();
        let base = now - 60;
        let at = |seconds: f64| f64::from(base) + seconds;
        let trace_id = format!("1-{base:08x}-{:024x}", 1);
        let call = json!({
            "name": "back", "id": "00000000000000a2", "namespace": "remote", "fault": true,
            "start_time": at(0.5), "end_time": at(1.25),
        });
        let front = json!({
            "name": "front", "id": "00000000000000a1", "trace_id": trace_id, "start_time": at(0.0), "end_time": at(2.0),
            "annotations": { "tier": "gold" }, "subsegments": [call],
            "http": { "request": { "method": "GET", "url": "http://shop/" }, "response": { "status": 200 } },
        });
        let back = json!({
            "name": "back", "id": "00000000000000a3", "trace_id": trace_id, "parent_id": "00000000000000a2",
            "start_time": at(0.5), "end_time": at(1.0), "fault": true,
        });
        Self {
            front: front.to_string(),
            back: back.to_string(),
            policy: policy("Allow", &json!({ "Service": "sns.amazonaws.com" })),
            trace_id,
            base,
            now,
            start: base - 60,
            end: now + 60,
        }
    }

    fn json(&self) -> Value {
        let tags = (0..51).map(|number| json!({ "Key": format!("key{number}"), "Value": "" }));
        json!({
            "trace_id": self.trace_id, "front": self.front, "back": self.back,
            "now": self.now, "start": self.start, "end": self.end,
            "tags_51": tags.collect::<Vec<_>>(), "policy": self.policy,
            "deny": policy("Deny", &json!("*")), "large": policy("Allow", &json!({ "Service": "x".repeat(6000) })),
        })
    }
}

fn policy(effect: &str, principal: &Value) -> String {
    let statement =
        json!({ "Effect": effect, "Principal": principal, "Action": "xray:*", "Resource": "*" });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

/// Runs a client through all steps on a fresh server: each must be right, and every operation the client
/// offers must be among them.
pub(super) fn drive(home: &Home, server: &Server, mut command: Command) -> Result<()> {
    let variables = home.folder().join("variables.json");
    std::fs::write(&variables, Variables::new().json().to_string())?;
    let output = command.arg(server.url()).arg(&variables).output()?;
    assert!(
        output.status.success(),
        "{}\n{}",
        describe(&output),
        server.log()
    );
    let lines: Vec<Value> = String::from_utf8(output.stdout)?
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let (head, steps) = lines.split_first().context("nothing was printed")?;
    let wrong: Vec<_> = steps
        .iter()
        .filter(|step| step["ok"] != json!(true))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", server.log());
    let offered = head["offered"]
        .as_array()
        .context("no list of operations")?;
    let offered: BTreeSet<_> = offered.iter().filter_map(Value::as_str).collect();
    let driven: BTreeSet<_> = steps
        .iter()
        .filter_map(|step| step["operation"].as_str())
        .collect();
    assert_eq!((offered.len(), driven), (38, offered));
    Ok(())
}
