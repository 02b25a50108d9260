//! Envoy's tracer for X-Ray: a proxy in front of a service, whose segments go out as datagrams.

use anyhow::{Context, Result};
use serde_json::json;

use super::place::Place;
use super::shop::{BALANCER, Shop, edges, named, owned, stored, summary};
use crate::fixture::trace_id;

#[test]
fn a_request_through_envoy_is_stored() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    let envoy = Shop::open(&place, "envoy", &[])?;
    let trace_id = trace_id(1);
    assert_eq!(envoy.visit("/stock?of=books", &trace_id)?.text(), "3 books");

    let documents = stored(&server, &trace_id, "the request is stored", |documents| {
        !documents.is_empty()
    })?;
    let segment = named(&documents, "front")?;
    assert_eq!(segment["parent_id"], BALANCER);
    assert_eq!(segment["http"]["request"]["method"], "GET");
    assert_eq!(segment["http"]["response"]["status"], 200);
    let url = segment["http"]["request"]["url"].as_str();
    assert!(
        url.is_some_and(|url| url.ends_with("/stock?of=books")),
        "{url:?}"
    );
    // Its tags are annotations, with dots in their names.
    assert_eq!(segment["annotations"]["upstream_cluster.name"], "shop");

    let id = segment["id"].as_str().context("an id")?;
    let told = envoy.told_stock().join("\n");
    for part in [format!("Root={trace_id}"), format!("Parent={id}")] {
        assert!(told.contains(&part), "{told} has no {part}");
    }
    let summary = summary(&server, &trace_id)?;
    assert_eq!(summary["Http"]["HttpStatus"], json!(200));
    assert_eq!(edges(&server, &trace_id)?, [("client", "front")].map(owned));
    envoy.close()
}
