//! rotel, a collector: OTLP in, its exporter for X-Ray out. It signs, and says that its bodies are compressed, which they
//! are not.

use std::net::TcpStream;

use anyhow::Result;
use roentgen_tests::wait::until;
use serde_json::Value;

use super::otel::{PYTHON, assert_stored};
use super::place::Place;

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
    let printed = place.follow("otel-python-http", &through_rotel)?.finish()?;
    let ids: Value = serde_json::from_str(&printed)?;
    assert_stored(&server, &ids, &PYTHON)?;
    rotel.stop()
}
