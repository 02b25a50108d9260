//! Graphs of traces of which something was replaced or came later, over several partitions.

use anyhow::Result;
use roentgen_tests::Home;
use serde_json::json;

use crate::graph::*;
use crate::reference::*;
use crate::stories::Teller;

/// What is counted is exact over partitions; times only grow: what a sealed partition says of when something
/// began that was replaced later is not taken away.
#[test]
fn figures_are_those_of_what_was_not_replaced() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    let window = past_hour();
    let start = window.0 + 600;
    let trace_id = crate::fixture::trace_id(1);
    let mut reference = Reference::default();
    let calls = |id: &str, call_id: &str, at: u64| {
        json!({
            "trace_id": trace_id, "id": id, "name": "shop", "start_time": at, "end_time": at + 9,
            "subsegments": [{
                "id": call_id, "name": "stock", "namespace": "remote", "start_time": at + 1, "end_time": at + 2,
            }],
        })
    };
    let early = calls("00000000000000a1", "00000000000000a2", start);
    let late = calls("00000000000000b1", "00000000000000b2", start + 900);
    put(&server, &mut reference, &[early, late], 0)?;
    check_graph(&server, &reference.facts(), window)?;
    fill_partition(&home, &server)?;
    // Stock did send something about the early call: what was thought of it is no longer so.
    let answer = json!({
        "trace_id": trace_id, "id": "00000000000000c1", "parent_id": "00000000000000a2", "name": "stock",
        "origin": "AWS::ECS::Container", "start_time": start + 1, "end_time": start + 2,
    });
    put(&server, &mut reference, &[answer], 0)?;
    check_graph_but_for_sets(&server, &reference.facts(), window)
}

#[test]
fn links_follow_their_senders_while_those_change() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let mut teller = Teller::new(5, u32::try_from(window.0)?, 3_500).linked();
    let documents = teller.documents(120);
    let mut reference = Reference::default();
    for batch in teller.batches(documents) {
        put(&server, &mut reference, &batch, 0)?;
        check_graph(&server, &reference.facts(), window)?;
    }
    Ok(())
}

/// Names callers use only grow, too.
#[test]
fn figures_of_calls_are_those_of_who_answered() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    let window = past_hour();
    let start = window.0 + 600;
    let trace_id = crate::fixture::trace_id(1);
    let mut reference = Reference::default();
    let call = |id: &str, name: &str| {
        json!({
            "id": id, "name": name, "namespace": "remote", "start_time": start + 1, "end_time": start + 5,
        })
    };
    let answered_by = |id: &str, parent_id: &str, name: &str, at: u64| {
        json!({
            "trace_id": trace_id, "id": id, "parent_id": parent_id, "name": name, "start_time": at, "end_time": at + 1,
        })
    };
    let documents = [
        json!({
            "trace_id": trace_id, "id": "00000000000000a1", "name": "shop", "start_time": start, "end_time": start + 9,
            "subsegments": [call("00000000000000a2", "stock"), call("00000000000000a3", "stock.internal")],
        }),
        answered_by("00000000000000b1", "00000000000000a2", "stock", start + 2),
        answered_by("00000000000000b2", "00000000000000a3", "stock", start + 3),
    ];
    put(&server, &mut reference, &documents, 0)?;
    check_graph(&server, &reference.facts(), window)?;
    fill_partition(&home, &server)?;
    // Somebody else answered the call by the other name, before stock did.
    let gate = answered_by("00000000000000c1", "00000000000000a3", "gate", start + 2);
    put(&server, &mut reference, &[gate], 0)?;
    check_graph_but_for_sets(&server, &reference.facts(), window)
}

#[test]
fn a_link_leads_to_whoever_answered_the_call_once_that_is_known() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let window = past_hour();
    let start = window.0 + 600;
    let (sender, receiver) = (crate::fixture::trace_id(1), crate::fixture::trace_id(2));
    let mut reference = Reference::default();
    let documents = [
        json!({
            "trace_id": sender, "id": "00000000000000a1", "name": "shop", "start_time": start, "end_time": start + 3,
            "subsegments": [{
                "id": "00000000000000a2", "name": "queue.internal", "namespace": "remote", "start_time": start, "end_time": start + 1,
            }],
        }),
        json!({
            "trace_id": receiver, "id": "00000000000000b1", "name": "worker", "start_time": start + 5, "end_time": start + 6,
            "links": [{ "trace_id": sender, "id": "00000000000000a2" }],
        }),
    ];
    put(&server, &mut reference, &documents, 0)?;
    check_graph(&server, &reference.facts(), window)?;
    let queue = json!({
        "trace_id": sender, "id": "00000000000000c1", "parent_id": "00000000000000a2", "name": "queue",
        "start_time": start, "end_time": start + 1,
    });
    put(&server, &mut reference, &[queue], 0)?;
    check_graph(&server, &reference.facts(), window)
}

/// A link is resolved when its trace is summed up for good: a sender that comes a partition later is drawn
/// without it, and nothing else is amiss.
#[test]
fn a_link_to_a_sender_that_comes_a_partition_later_is_not_drawn() -> Result<()> {
    let home = Home::new()?;
    let config = home.config("[storage]\npartition_bytes = \"1MiB\"\n")?;
    let server = home.start_with(&config)?;
    let window = past_hour();
    let start = window.0 + 600;
    let (queue, worker) = (crate::fixture::trace_id(1), crate::fixture::trace_id(2));
    let mut reference = Reference::default();
    let received = json!({
        "trace_id": worker, "id": "00000000000000b1", "name": "worker", "start_time": start + 5, "end_time": start + 6,
        "links": [{ "trace_id": queue, "id": "00000000000000a1" }],
    });
    put(&server, &mut reference, &[received], 0)?;
    fill_partition(&home, &server)?;
    let sent = json!({
        "trace_id": queue, "id": "00000000000000a1", "name": "shop", "start_time": start, "end_time": start + 1,
    });
    put(&server, &mut reference, &[sent], 0)?;
    let facts = reference.facts().into_iter();
    let without_link =
        facts.filter(|fact| !matches!(&fact.what, What::Called(call) if call.age.is_some()));
    check_graph(&server, &without_link.collect::<Vec<_>>(), window)
}

#[test]
fn figures_of_a_service_are_those_of_its_segments_alone() -> Result<()> {
    let home = Home::new()?;
    let server = home.start()?;
    let (from, to) = past_hour();
    let start = from + 600;
    let call = |id: &str, took: f64| {
        json!({
            "id": id, "name": "legacy", "namespace": "remote", "start_time": start, "end_time": f64::from(u32::try_from(start).unwrap()) + took,
        })
    };
    let trace_id = crate::fixture::trace_id(1);
    let mut reference = Reference::default();
    // What is thought to have been served goes by the same name and type as what was.
    let documents = [
        json!({
            "trace_id": trace_id, "id": "00000000000000a1", "name": "shop", "start_time": start, "end_time": start + 9,
            "subsegments": [call("00000000000000a2", 2.0), call("00000000000000a3", 5.0)],
        }),
        json!({
            "trace_id": trace_id, "id": "00000000000000b1", "parent_id": "00000000000000a2", "name": "legacy",
            "origin": "remote", "start_time": start, "end_time": start + 1,
        }),
    ];
    put(&server, &mut reference, &documents, 0)?;
    check_graph(&server, &reference.facts(), (from, to))
}
