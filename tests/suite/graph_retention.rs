//! Summaries and graphs once retention has dropped a part of the traffic, compared with the derivation from what
//! `BatchGetTraces` still returns.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use roentgen_tests::process::disk_bytes;
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server};
use serde_json::{Value, json};

use crate::graph::{
    check_graph, check_graph_but_for_sets, fill_partition, past_hour, put, services, summaries,
    whole_minutes,
};
use crate::reference::{Reference, graph, plain_graph};
use crate::stories::Teller;

/// Returns the ids of all documents of a trace that are still returned, nested ones among them.
fn ids(server: &Server, trace_id: &str) -> Result<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    let mut waiting = server.documents(trace_id)?;
    while let Some(part) = waiting.pop() {
        if part["inferred"] == true {
            continue;
        }
        ids.insert(part["id"].as_str().context("an id")?.to_owned());
        waiting.extend(part["subsegments"].as_array().cloned().unwrap_or_default());
    }
    Ok(ids)
}

/// Returns what is left of documents: those that are still returned.
fn left(server: &Server, sent: &Reference) -> Result<Reference> {
    let mut left = Reference::default();
    for (trace_id, documents) in &sent.traces {
        let ids = ids(server, trace_id)?;
        for (id, document) in documents {
            if ids.contains(id) {
                left.put(document);
            }
        }
    }
    Ok(left)
}

/// Puts so many traces of a third of the hour.
fn put_wave(server: &Server, window: (u64, u64), seed: u64) -> Result<Reference> {
    let mut teller = Teller::new(seed, u32::try_from(window.0)?, 1_100);
    let documents = teller.documents(80);
    let mut reference = Reference::default();
    for batch in teller.batches(documents) {
        put(server, &mut reference, &batch, 0)?;
    }
    Ok(reference)
}

/// Returns root and called segment of traces that go on in a later partition.
fn going_on(start: u64) -> (Vec<Value>, Vec<Value>) {
    let mut begun = Vec::new();
    let mut continued = Vec::new();
    for number in 0..20 {
        let trace_id = format!("1-{start:08x}-{number:024x}");
        let at = start + number;
        begun.push(json!({
            "trace_id": trace_id, "id": "00000000000000a1", "name": "early", "start_time": at, "end_time": at + 5,
            "fault": number % 3 == 0,
            "subsegments": [{
                "id": "00000000000000a2", "name": "later", "namespace": "remote", "start_time": at, "end_time": at + 2,
            }],
        }));
        continued.push(json!({
            "trace_id": trace_id, "id": "00000000000000b1", "parent_id": "00000000000000a2", "name": "later",
            "start_time": at, "end_time": at + 1,
        }));
    }
    (begun, continued)
}

/// Fails unless traces that were begun in a dropped partition are told of as a whole or as what is left.
///
/// Their sums lie in the newest partition, as of when that was written, and may then still count what was
/// dropped since; what is derived anew counts what is left. Either is allowed, a mixture is not.
fn check_going_on(server: &Server, sent: &Reference, window: (u64, u64)) -> Result<()> {
    let left = left(server, sent)?;
    assert!(
        left.traces.values().all(|documents| documents.len() == 1),
        "half of each trace is left"
    );
    let request = json!({ "StartTime": window.0, "EndTime": window.1 });
    let actual = plain_graph(&services(server, "/ServiceGraph", &request)?);
    let (from, to) = whole_minutes(window);
    let allowed = [sent, &left].map(|reference| graph(&reference.facts(), from, to));
    assert!(
        allowed.contains(&actual),
        "graph {actual}\nis neither {}\nnor {}",
        allowed[0],
        allowed[1]
    );
    let actual = summaries(server, window)?;
    let allowed = [sent.summaries(), left.summaries()];
    assert!(
        allowed.contains(&actual),
        "summaries {actual:?}\nare neither {:?}\nnor {:?}",
        allowed[0],
        allowed[1]
    );
    Ok(())
}

#[test]
fn what_was_dropped_counts_no_more_and_the_rest_as_before() -> Result<()> {
    let home = Home::new()?;
    let mut config = home
        .config("[storage]\npartition_bytes = \"1MiB\"\n")?
        .to_vec();
    let server = home.start_with(&config)?;
    let (start, _) = past_hour();
    let third = |number: u64| (start + number * 1_200, start + (number + 1) * 1_200);
    let hour_before = (start - 3_600, start - 600);
    let (begun, continued) = going_on(hour_before.0 + 600);
    let mut sent_before = Reference::default();

    let first = put_wave(&server, third(0), 1)?;
    put(&server, &mut sent_before, &begun, 0)?;
    for _ in 0..3 {
        fill_partition(&home, &server)?;
    }
    let second = put_wave(&server, third(1), 2)?;
    fill_partition(&home, &server)?;
    let third_wave = put_wave(&server, third(2), 3)?;
    put(&server, &mut sent_before, &continued, 0)?;
    let waves = [&first, &second, &third_wave];
    for (number, sent) in (0..).zip(waves) {
        check_graph(&server, &sent.facts(), third(number))?;
    }
    check_graph_but_for_sets(&server, &sent_before.facts(), hour_before)?;
    assert!(server.terminate()?.success());

    // The oldest partitions are of no more use than their bytes: those go that hold the first wave.
    let limit = disk_bytes(home.data())? - 600_000;
    config.extend(["--max-disk".to_owned(), limit.to_string()]);
    let mut server = home.start_with(&config)?;
    until("the oldest partition is dropped", || {
        Ok(left(&server, &first)?.traces.is_empty().then_some(()))
    })?;
    for is_again in [false, true] {
        if is_again {
            server.kill9()?;
            server = home.start_with(&config)?;
        }
        for (number, sent) in (0..).zip(waves) {
            let left = left(&server, sent)?;
            let n_left: usize = left.traces.values().map(BTreeMap::len).sum();
            let n_sent: usize = sent.traces.values().map(BTreeMap::len).sum();
            assert!(
                n_left == 0 || n_left == n_sent,
                "wave {number}: {n_left} of {n_sent} are left"
            );
            check_graph(&server, &left.facts(), third(number))?;
            // What lasts beyond its third is listed in the next one, too.
            let mut listed = summaries(&server, (start, start + 3_700))?;
            listed.retain(|trace_id, _| sent.traces.contains_key(trace_id));
            assert_eq!(listed, left.summaries(), "wave {number}");
        }
        assert!(!left(&server, &third_wave)?.traces.is_empty());
        assert!(left(&server, &second)?.traces.len() == second.traces.len());
        check_going_on(&server, &sent_before, hour_before)?;
    }
    Ok(())
}
