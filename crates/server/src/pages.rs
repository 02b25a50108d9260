//! What is read with a browser or by a machine that watches: health, readiness, figures.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Response};
use protocol::{ApiError, json_response};
use serde::Serialize;

use crate::app::App;
use crate::auth::Errand;
use crate::house::House;
use crate::refused;

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
    /// `/api/v1/refused`: what was refused lately.
    Refused,
}

impl Page {
    /// Returns the page at a path, if there is one and it is to be read.
    pub(crate) fn at(method: &Method, path: &str) -> Option<Self> {
        let page = match path {
            "/" => Self::Index,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/api/v1/refused" => Self::Refused,
            _ => return None,
        };
        (method == Method::GET || method == Method::HEAD).then_some(page)
    }

    /// Tells whether every door shows it.
    pub(crate) const fn is_everywhere(self) -> bool {
        matches!(self, Self::Health | Self::Ready)
    }

    /// Returns what it takes to see it.
    pub(crate) const fn errand(self) -> Errand {
        match self {
            Self::Index | Self::Health | Self::Ready => Errand::Public,
            Self::Metrics => Errand::Figures,
            Self::Refused => Errand::Refused,
        }
    }

    /// Returns the name logs and figures use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Health => "healthz",
            Self::Ready => "readyz",
            Self::Metrics => "metrics",
            Self::Refused => "refused",
        }
    }
}

/// Returns a page as an account may see it.
pub(crate) async fn show(
    app: &App,
    page: Page,
    query: &str,
    request_id: &str,
) -> Result<Response<Bytes>, ApiError> {
    let house = &app.house;
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
        Page::Refused => refused::page::show(app, query, request_id).await,
    }
}

fn metrics(house: &House) -> Result<Response<Bytes>, ApiError> {
    let text = house
        .metrics
        .render(&house.store.stats(), house.refused.n_kept());
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
    hint: "this is an X-Ray API endpoint: point an AWS SDK, a daemon or Grafana at it; see /healthz, /readyz, /metrics and /api/v1/refused",
};
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
