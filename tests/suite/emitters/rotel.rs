//! rotel, a collector: OTLP in, its exporter for X-Ray out. It signs, and says that its bodies are compressed, which they
//! are not.

use std::net::TcpStream;

use anyhow::Result;
use roentgen_tests::wait::until;
use serde_json::Value;

use super::otel::in_form_of_xray;
use super::place::Place;
use super::shop::{edges, named, owned, stored, summary, within};

#[test]
fn what_rotel_exports_is_stored() -> Result<()> {
    let place = Place::new()?;
    let server = place.serve()?;
    let mut rotel = place.follow("rotel", &[])?;
    until("rotel takes spans", || {
        rotel.assert_running()?;
        Ok(TcpStream::connect((place.address(), 5318)).ok())
    })?;
    let through_rotel = [(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "http://127.0.0.1:5318/v1/traces",
    )];
    let printed = place
        .follow("otel-python-http", &through_rotel)?
        .finish_quietly()?;
    let ids: Value = serde_json::from_str(&printed)?;
    let trace_id = in_form_of_xray(&ids)?;
    let documents = stored(&server, &trace_id, "the trace is stored", |documents| {
        !documents.is_empty()
    })?;
    // It keeps the tree and the times of the spans, and little else of them.
    let segment = named(&documents, "GET /checkout")?;
    assert_eq!(segment["id"], ids["span_id"]);
    assert_eq!(segment["http"]["request"]["method"], "GET");
    for name in ["price", "GET", "pay"] {
        let subsegment = within(&documents, name)?;
        assert!(subsegment["end_time"].is_number(), "{subsegment}");
    }
    assert_eq!(summary(&server, &trace_id)?["IsPartial"], false);
    assert_eq!(
        edges(&server, &trace_id)?,
        [("client", "GET /checkout")].map(owned)
    );
    rotel.stop()
}
