//! What is read with a browser or by a machine that watches: health, readiness, figures.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use protocol::{ApiError, json_response};
use serde::Serialize;

use crate::house::House;

/// A page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// `/`: what this is.
    Index,
    /// `/healthz`: 200 as long as the process lives.
    Health,
    /// `/readyz`: 200 when the store takes writes, else 503.
    Ready,
    /// `/metrics`: figures.
    Metrics,
}

impl Page {
    /// Returns the page at a path, if there is one and it is to be read.
    pub(crate) fn at(method: &Method, path: &str) -> Option<Self> {
        let page = match path {
            "/" => Self::Index,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            _ => return None,
        };
        (method == Method::GET || method == Method::HEAD).then_some(page)
    }

    /// Returns the name logs and figures use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Metrics => "metrics",
        }
    }
}

/// Returns a page.
pub(crate) fn show(
    house: &House,
    page: Page,
    request_id: &str,
) -> Result<Response<Bytes>, ApiError> {
    match page {
        Page::Index => Ok(json_response(&INDEX, request_id)),
        Page::Health => Ok(json_response(&State { status: "alive" }, request_id)),
        Page::Ready if house.store.stats().is_writable => {
            Ok(json_response(&State { status: "ready" }, request_id))
        }
        Page::Ready => Err(ApiError::unavailable(
            "the store takes no writes; the log says why",
        )),
        Page::Metrics => metrics(house),
    }
}

fn metrics(house: &House) -> Result<Response<Bytes>, ApiError> {
    let text = house.metrics.render(&house.store.stats());
    let text = text.map_err(|error| ApiError::internal(format!("rendering metrics: {error}")))?;
    let mut response = Response::new(Bytes::from(text));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    Ok(response)
}

#[derive(Serialize)]
struct State {
    status: &'static str,
}

#[derive(Serialize)]
struct Index {
    server: &'static str,
    version: &'static str,
    hint: &'static str,
}

const INDEX: Index = Index {
    server: "roentgen",
    version: env!("CARGO_PKG_VERSION"),
    hint: "this is an X-Ray API endpoint: point an AWS SDK, a daemon or Grafana at it; see /healthz, /readyz and /metrics",
};
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
