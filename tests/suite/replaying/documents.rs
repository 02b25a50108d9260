//! Recorded documents of real clients, each replayed by itself and compared with itself. They lie beside the project, where
//! there are any; where there are none this says so.

use std::path::Path;

use anyhow::{Context, Result};
use roentgen_tests::ledger::difference;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use super::place::{file, replay_all};

#[test]
fn recorded_documents_have_the_same_answers_at_another_time() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/segment");
    if !folder.is_dir() {
        eprintln!("not tried: there are no recordings beside the project");
        return Ok(());
    }
    let (home, other) = (Home::new()?, Home::new()?);
    let (server, target) = (home.start()?, other.start()?);
    let mut n_compared = 0;
    for (number, entry) in std::fs::read_dir(folder)?.enumerate() {
        let text = std::fs::read_to_string(entry?.path())?;
        let sent: Value = serde_json::from_str(&text)?;
        let Some((epoch, unique)) = sent["trace_id"]
            .as_str()
            .and_then(|id| Some((id.get(2..10)?, id.get(11..)?)))
        else {
            continue;
        };
        // Some are of one trace; each is looked at by itself.
        let own = format!("{number:024x}");
        let document = text.replace(unique, &own);
        let old = format!("1-{epoch}-{own}");
        if !server.put(&[&document])?.is_empty() {
            continue;
        }
        let path = file(&home, "a.json", &[document])?;
        let report = replay_all(&home, &path, &target.url(), &["--at", "-1h"])?;
        let shift_secs = report["ShiftSeconds"].as_i64().context("a shift")?;
        // Where the time in the id is not the document's, there is nothing to be found by it.
        let Ok(moved) = u32::try_from(i64::from_str_radix(epoch, 16)? + shift_secs) else {
            continue;
        };
        let new = format!("1-{moved:08x}-{own}");
        let answers = |server: &Server, trace_id: &str, shift_secs: i64| -> Result<Value> {
            let graph = server.post("/TraceGraph", &json!({ "TraceIds": [trace_id] }))?;
            let mut traces = server.traces(&[trace_id])?;
            let documents = server.documents(trace_id)?;
            traces[0]["Segments"] = json!(documents);
            let mut all = json!([graph.success()?, traces]);
            move_times(&mut all, shift_secs);
            let documents = all[1][0]["Segments"].as_array_mut().context("documents")?;
            // The ids of inferred ones are made of their trace's.
            for document in documents
                .iter_mut()
                .filter(|document| document["inferred"] == true)
            {
                document["id"] = Value::Null;
            }
            documents.sort_by_key(Value::to_string);
            Ok(serde_json::from_str(
                &all.to_string().replace(trace_id, "id"),
            )?)
        };
        let (here, there) = (
            answers(&server, &old, shift_secs)?,
            answers(&target, &new, 0)?,
        );
        assert_eq!(difference(&here, &there), None, "{sent}");
        n_compared += 1;
    }
    assert!(n_compared > 5, "only {n_compared} documents found");
    Ok(())
}

/// Moves every time by whole seconds and rounds it as floats of these sizes are.
fn move_times(value: &mut Value, secs: i64) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| move_times(item, secs)),
        Value::Object(members) => {
            for (name, member) in members {
                let is_time =
                    ["start_time", "end_time", "StartTime", "EndTime"].contains(&name.as_str());
                match member.as_f64().filter(|_| is_time) {
                    Some(time) => {
                        let shift: f64 = secs.to_string().parse().unwrap();
                        *member = json!(format!("{:.5}", time + shift));
                    }
                    None => move_times(member, secs),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
