//! The X-Ray SDKs for Python and Node.js: datagrams for what is recorded, unsigned calls for what is to be sampled.

use anyhow::{Context, Result};
use roentgen_tests::Server;
use roentgen_tests::server::list;
use serde_json::{Value, json};

use super::place::Place;
use super::sampling::Sampled;
use super::shop::{BALANCER, Shop, edges, named, owned, stored, summary, within};
use crate::fixture::{summaries, trace_id};

/// What differs between the languages.
struct Sdk {
    recipe: &'static str,
    name: &'static str,
    runtime: &'static str,
    exception: &'static str,
    /// The member that names the rule a request was recorded for.
    rule: &'static str,
}

const PYTHON: Sdk = Sdk {
    recipe: "xray-python",
    name: "X-Ray for Python",
    runtime: "CPython",
    exception: "ValueError",
    rule: "sampling_rule_name",
};
const NODE: Sdk = Sdk {
    recipe: "xray-node",
    name: "X-Ray for Node.js",
    runtime: "node",
    exception: "TypeError",
    rule: "rule_name",
};

#[test]
fn what_the_python_sdk_records_is_stored() -> Result<()> {
    records(&PYTHON)
}

#[test]
fn what_the_node_sdk_records_is_stored() -> Result<()> {
    records(&NODE)
}

#[test]
fn the_python_sdk_samples_by_the_rules_of_the_server() -> Result<()> {
    let sampled = Sampled::open(PYTHON.recipe, &[])?;
    sampled.assert_rates()?;
    sampled.assert_share()?;
    assert_named(&PYTHON, &sampled.assert_reported()?);
    Ok(())
}

#[test]
fn the_node_sdk_samples_by_the_rules_of_the_server() -> Result<()> {
    // This SDK takes the end of a share, which is told in seconds, for milliseconds, and so never uses one.
    let sampled = Sampled::open(NODE.recipe, &[])?;
    sampled.assert_rates()?;
    assert_named(&NODE, &sampled.assert_reported()?);
    Ok(())
}

fn records(sdk: &Sdk) -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    let shop = Shop::open(&place, sdk.recipe, &[])?;
    checkout(sdk, &place, &server, &shop)?;
    failure(sdk, &server, &shop)?;
    catalogue(&server, &shop)?;
    shop.close()
}

/// A page that prices a basket and calls another service: annotations, metadata, user, the call and who is called.
fn checkout(sdk: &Sdk, place: &Place, server: &Server, shop: &Shop) -> Result<()> {
    let trace_id = trace_id(1);
    let answer = shop.visit("/checkout", &trace_id)?;
    assert_eq!((answer.status, answer.text().as_str()), (200, "3 books"));
    let documents = stored(server, &trace_id, "the checkout is stored", |documents| {
        documents.len() == 2
    })?;
    let segment = named(&documents, "shop")?;
    assert_eq!(segment["parent_id"], BALANCER);
    assert_eq!(segment["user"], "anna");
    assert_eq!(segment["aws"]["xray"]["sdk"], sdk.name);
    assert_eq!(segment["service"]["runtime"], sdk.runtime);
    assert_eq!(segment["http"]["request"]["method"], "GET");
    assert_eq!(segment["http"]["response"]["status"], 200);

    let price = within(&documents, "price")?;
    assert_eq!(
        price["annotations"],
        json!({ "tier": "gold", "items": 3, "gift": true })
    );
    assert_eq!(
        price["metadata"]["shop"]["basket"],
        json!({ "books": 2, "pens": [1.5, null] })
    );

    // The SDKs name a called service after its host.
    let stock = place.address().to_string();
    let call = within(&documents, &stock)?;
    assert_eq!(call["namespace"], "remote");
    assert_eq!(call["http"]["response"]["status"], 200);
    let inferred = named(&documents, &stock)?;
    assert_eq!(
        (&inferred["inferred"], &inferred["parent_id"]),
        (&json!(true), &call["id"])
    );
    let call_id = call["id"].as_str().context("an id")?;
    let told = shop.told_stock();
    let told = told.last().context("stock was asked with a trace header")?;
    for part in [
        format!("Root={trace_id}"),
        format!("Parent={call_id}"),
        "Sampled=1".into(),
    ] {
        assert!(told.contains(&part), "{told} has no {part}");
    }

    let summary = summary(server, &trace_id)?;
    assert_eq!(
        summary["Annotations"]["items"][0]["AnnotationValue"],
        json!({ "NumberValue": 3.0 })
    );
    assert_eq!(summary["Users"][0]["UserName"], "anna");
    assert_eq!(
        edges(server, &trace_id)?,
        [("client", "shop"), ("shop", &stock)].map(owned)
    );
    Ok(())
}

/// A page that throws: the exception with its stack, and a fault in list and graph.
fn failure(sdk: &Sdk, server: &Server, shop: &Shop) -> Result<()> {
    let trace_id = trace_id(2);
    assert_eq!(shop.visit("/fail", &trace_id)?.status, 500);
    let documents = stored(server, &trace_id, "the failure is stored", |documents| {
        !documents.is_empty()
    })?;
    let segment = named(&documents, "shop")?;
    assert_eq!(segment["fault"], true);
    assert_eq!(segment["http"]["response"]["status"], 500);
    let exception = &within(&documents, "pay")?["cause"]["exceptions"][0];
    assert_eq!(exception["type"], sdk.exception);
    assert_eq!(exception["message"], "the card was refused");
    let frames = list(exception, "stack")?;
    assert!(!frames.is_empty(), "{exception}");

    let summary = summary(server, &trace_id)?;
    assert_eq!(summary["HasFault"], true);
    let cause = &summary["FaultRootCauses"][0]["Services"][0];
    assert_eq!(cause["Name"], "shop");
    let expression = json!({ "FilterExpression": "fault AND service(\"shop\")" });
    let found = summaries(server, &expression)?;
    assert!(found.iter().any(|found| found["Id"] == trace_id));
    Ok(())
}

/// A page with more subsegments than the SDK keeps: it sends them one by one, before their segment.
fn catalogue(server: &Server, shop: &Shop) -> Result<()> {
    let trace_id = trace_id(3);
    assert_eq!(shop.visit("/catalogue", &trace_id)?.status, 200);
    let n_inner = |documents: &[Value]| {
        let inner = documents
            .iter()
            .filter_map(|document| document["subsegments"].as_array());
        inner.map(Vec::len).sum::<usize>()
    };
    let documents = stored(server, &trace_id, "150 subsegments are in place", |all| {
        all.len() == 1 && n_inner(all) == 150
    })?;
    let segment = named(&documents, "shop")?;
    let numbers = list(segment, "subsegments")?;
    let mut numbers: Vec<u64> = numbers
        .iter()
        .filter_map(|book| book["annotations"]["number"].as_u64())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..150).collect::<Vec<_>>());
    Ok(())
}

/// Fails unless the segments of the rule `always` name it.
fn assert_named(sdk: &Sdk, said: &[Value]) {
    // Those recorded before the SDK had the rules name none.
    let by_rule = said.iter().filter(|said| said[sdk.rule] == "always");
    assert!(by_rule.count() >= 20, "{said:?}");
}
