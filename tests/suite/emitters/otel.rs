//! OpenTelemetry's SDKs for Python and JavaScript, through every exporter of OTLP they have.

use anyhow::{Context, Result};
use roentgen_tests::Server;
use roentgen_tests::server::list;
use serde_json::{Value, json};

use super::place::Place;
use super::shop::{edges, named, owned, stored, summary, within};

const PROTOBUF: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
const JSON: (&str, &str) = ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
const GZIP: (&str, &str) = ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip");
/// The address of the API takes OTLP, too.
const API: (&str, &str) = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "http://127.0.0.1:2000/v1/traces",
);

/// What differs between the languages.
struct Language {
    name: &'static str,
    exception: &'static str,
    /// The largest integer that its program sends.
    large: u64,
}

const PYTHON: Language = Language {
    name: "python",
    exception: "ValueError",
    large: 9_007_199_254_740_993,
};
const JAVASCRIPT: Language = Language {
    name: "nodejs",
    exception: "TypeError",
    large: 9_007_199_254_740_991,
};

#[test]
fn python_sends_otlp_over_http() -> Result<()> {
    let ways = [&[][..], &[GZIP], &[JSON], &[JSON, GZIP], &[PROTOBUF, API]];
    check("otel-python-http", &ways, &PYTHON)
}

#[test]
fn python_sends_otlp_over_grpc() -> Result<()> {
    check("otel-python-grpc", &[&[], &[GZIP]], &PYTHON)
}

#[test]
fn javascript_sends_otlp_over_http() -> Result<()> {
    let ways = [&[][..], &[GZIP], &[JSON], &[JSON, GZIP], &[PROTOBUF, API]];
    check("otel-js-http", &ways, &JAVASCRIPT)
}

#[test]
fn javascript_sends_otlp_over_grpc() -> Result<()> {
    check("otel-js-grpc", &[&[], &[GZIP]], &JAVASCRIPT)
}

/// Follows the recipe in each of these ways, and asks for the trace that its program sent.
fn check(recipe: &str, ways: &[&[(&str, &str)]], language: &Language) -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    for way in ways {
        let printed = place.follow(recipe, way)?.finish_quietly()?;
        let ids: Value = serde_json::from_str(&printed)?;
        assert_stored(&server, &ids, language).with_context(|| format!("{recipe} with {way:?}"))?;
    }
    Ok(())
}

/// Fails unless the trace of the example program is there, whole.
fn assert_stored(server: &Server, ids: &Value, language: &Language) -> Result<()> {
    let trace_id = in_form_of_xray(ids)?;
    let documents = stored(server, &trace_id, "the trace is stored", |documents| {
        documents.len() == 3
    })?;
    let segment = named(&documents, "shop")?;
    assert_segment(segment, ids, language)?;

    within(&documents, "price")?;
    let stock = within(&documents, "stock")?;
    assert_eq!(
        (&stock["namespace"], &stock["error"], &stock["fault"]),
        (&json!("remote"), &json!(true), &json!(false))
    );
    assert_eq!(
        stock["http"]["request"]["url"],
        "http://stock.example.com/stock"
    );
    assert_eq!(named(&documents, "stock")?["parent_id"], stock["id"]);
    let bank = within(&documents, "bank")?;
    assert_eq!(bank["fault"], true);
    let exception = &bank["cause"]["exceptions"][0];
    assert_eq!(exception["type"], language.exception);
    assert_eq!(exception["message"], "the card was refused");
    assert!(!list(exception, "stack")?.is_empty(), "{exception}");

    let summary = summary(server, &trace_id)?;
    assert_eq!(
        (
            &summary["HasFault"],
            &summary["HasError"],
            &summary["Http"]["HttpStatus"]
        ),
        (&json!(true), &json!(false), &json!(500))
    );
    assert_eq!(
        summary["Annotations"]["tier"][0]["AnnotationValue"],
        json!({ "StringValue": "gold" })
    );
    let drawn = edges(server, &trace_id)?;
    assert_eq!(
        drawn,
        [("client", "shop"), ("shop", "bank"), ("shop", "stock")].map(owned)
    );
    Ok(())
}

fn assert_segment(segment: &Value, ids: &Value, language: &Language) -> Result<()> {
    assert_eq!(segment["id"], ids["span_id"]);
    assert_eq!(
        segment["annotations"],
        json!({ "tier": "gold", "items": 3, "gift": true, "weight": 1.5 })
    );
    assert_eq!(segment["user"], "anna");
    assert_eq!(
        segment["http"]["request"],
        json!({ "method": "GET", "url": "http://shop.example.com/checkout?basket=7", "user_agent": "browser" })
    );
    assert_eq!(segment["http"]["response"]["status"], 500);
    assert_eq!(segment["fault"], true);
    assert_eq!(
        segment["aws"]["xray"]["sdk"],
        format!("opentelemetry for {}", language.name)
    );
    let metadata = &segment["metadata"]["default"];
    assert_eq!(metadata["sizes"], json!([1, 2, 3]));
    assert_eq!(metadata["large"], language.large);
    assert_eq!(metadata["otel.resource.deployment.environment"], "test");
    let link = &list(segment, "links")?[0];
    assert_eq!(link["trace_id"], "1-6afd79c0-a006649127e371903a2de979");
    assert_eq!(link["id"], "70de5b6f19ff9a0b");
    Ok(())
}

/// Returns the trace id a program printed, as X-Ray writes it.
pub(super) fn in_form_of_xray(ids: &Value) -> Result<String> {
    let trace_id = ids["trace_id"].as_str().context("a trace id")?;
    let (time, rest) = trace_id.split_at_checked(8).context("32 digits")?;
    Ok(format!("1-{time}-{rest}"))
}
