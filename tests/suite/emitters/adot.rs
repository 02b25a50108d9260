//! AWS's distribution of OpenTelemetry for Python: it instruments a shop that knows nothing of it, samples by the server's
//! rules, and in Lambda sends datagrams with OTLP in them.

use anyhow::{Context, Result};
use roentgen_tests::Server;
use serde_json::Value;

use super::otel::in_form_of_xray;
use super::place::Place;
use super::sampling::Sampled;
use super::shop::{BALANCER, Shop, edges, named, owned, stored, summary, within};
use crate::fixture::trace_id;

/// Nothing but traces, and those soon.
const TRACES_ONLY: [(&str, &str); 4] = [
    ("OTEL_SERVICE_NAME", "shop"),
    ("OTEL_METRICS_EXPORTER", "none"),
    ("OTEL_LOGS_EXPORTER", "none"),
    ("OTEL_BSP_SCHEDULE_DELAY", "100"),
];

#[test]
fn what_it_instruments_is_stored() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    let shop = Shop::open(&place, "adot", &TRACES_ONLY)?;
    let (checkout, failure) = (trace_id(1), trace_id(2));
    assert_eq!(shop.visit("/checkout", &checkout)?.text(), "3 books");
    assert_eq!(shop.visit("/fail", &failure)?.status, 500);

    let documents = stored(&server, &checkout, "the checkout is stored", |documents| {
        documents.len() == 2
    })?;
    let segment = named(&documents, "shop")?;
    assert_eq!(segment["parent_id"], BALANCER);
    assert_eq!(segment["http"]["request"]["method"], "GET");
    assert_eq!(segment["http"]["response"]["status"], 200);
    assert_eq!(segment["aws"]["xray"]["auto_instrumentation"], true);
    // Its spans of calls say no more of who is called than the address: they are named after the method.
    let call = within(&documents, "GET")?;
    assert_eq!(call["namespace"], "remote");
    assert_eq!(
        call["http"]["request"]["url"],
        place.moved_here("http://127.0.0.1:9090/stock")
    );
    let told = shop.told_stock().join("\n");
    assert!(told.contains(&format!("Root={checkout}")), "{told}");
    assert_eq!(
        edges(&server, &checkout)?,
        [("client", "shop"), ("shop", "GET")].map(owned)
    );

    let documents = stored(&server, &failure, "the failure is stored", |documents| {
        !documents.is_empty()
    })?;
    let segment = named(&documents, "shop")?;
    assert_eq!(segment["fault"], true);
    assert_eq!(segment["http"]["response"]["status"], 500);
    assert_eq!(summary(&server, &failure)?["HasFault"], true);
    shop.close()
}

#[test]
fn its_sampler_obeys_the_rules_of_the_server() -> Result<()> {
    let sampled = Sampled::open("adot", &TRACES_ONLY)?;
    sampled.assert_rates()?;
    sampled.assert_share()?;
    let recorded = sampled.assert_reported()?;
    assert!(recorded.len() >= 30, "{recorded:?}");
    Ok(())
}

#[test]
fn in_lambda_its_datagrams_are_stored() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    let ids = in_lambda(&place, &[])?;
    assert_eq!(ids["sampled"], true);
    assert_function(&server, &ids)
}

/// With Application Signals on, spans that were not sampled are sent, too.
#[test]
fn in_lambda_spans_that_were_not_sampled_are_kept() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    let not_sampled = [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_AWS_APPLICATION_SIGNALS_ENABLED", "true"),
        ("OTEL_AWS_APPLICATION_SIGNALS_RUNTIME_ENABLED", "false"),
    ];
    let ids = in_lambda(&place, &not_sampled)?;
    assert_eq!(ids["sampled"], false);
    assert_function(&server, &ids)
}

/// Runs the function once and returns the ids it printed.
fn in_lambda(place: &Place, environment: &[(&str, &str)]) -> Result<Value> {
    let environment = [&TRACES_ONLY, environment].concat();
    let printed = place.follow("adot-lambda", &environment)?.finish()?;
    // The instrumentation of Lambda prints that it finds no handler before that.
    let ids = printed.lines().last().context("nothing was printed")?;
    Ok(serde_json::from_str(ids)?)
}

fn assert_function(server: &Server, ids: &Value) -> Result<()> {
    let trace_id = in_form_of_xray(ids)?;
    let documents = stored(server, &trace_id, "the trace is stored", |documents| {
        documents.len() == 2
    })?;
    let segment = named(&documents, "shop")?;
    assert_eq!(segment["id"], ids["span_id"]);
    let stock = within(&documents, "stock")?;
    assert_eq!(stock["namespace"], "remote");
    assert_eq!(named(&documents, "stock")?["inferred"], true);
    assert_eq!(summary(server, &trace_id)?["HasFault"], false);
    assert_eq!(
        edges(server, &trace_id)?,
        [("client", "shop"), ("shop", "stock")].map(owned)
    );
    Ok(())
}
