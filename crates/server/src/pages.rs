//! What is read with a browser or by a machine that watches: health, readiness, figures.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response};
use protocol::{ApiError, json_response};
use serde::Serialize;

use crate::app::App;
use crate::auth::Errand;
use crate::house::{House, InForce};
use crate::http::answer::Answer;
use crate::{backup, refused, tail};

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
    /// `/api/v1/tail`: traces as they arrive.
    Tail,
    /// `/api/v1/backup`: a copy of the store.
    Backup,
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
            "/api/v1/tail" => Self::Tail,
            "/api/v1/backup" => Self::Backup,
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
            Self::Tail => Errand::Tail,
            Self::Backup => Errand::Backup,
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
            Self::Tail => "tail",
            Self::Backup => "backup",
        }
    }
}

/// Returns a page as an account may see it.
pub(crate) async fn show(
    app: &Arc<App>,
    in_force: &InForce,
    page: Page,
    parts: &Parts,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let house = &app.house;
    let query = parts.uri.query().unwrap_or_default();
    match page {
        Page::Index => Ok(json_response(&INDEX, request_id).into()),
        Page::Health => Ok(json_response(&State { status: "alive" }, request_id).into()),
        Page::Ready if house.store.stats().is_writable => {
            Ok(json_response(&State { status: "ready" }, request_id).into())
        }
        Page::Ready => Err(ApiError::unavailable(
            "the store takes no writes; the log says why",
        )),
        Page::Metrics => metrics(house).map(Answer::from),
        Page::Refused => {
            let shown = refused::page::show(app, query, request_id).await;
            shown.map(Answer::from)
        }
        Page::Tail => tail::open(app, in_force, query, &parts.headers, request_id).await,
        // Looking whether it is there is not to cost a copy.
        Page::Backup if parts.method == Method::HEAD => {
            Err(ApiError::invalid_request("a backup is asked for with GET"))
        }
        Page::Backup => backup::open(app, request_id).await,
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
    hint: "this is an X-Ray API endpoint: point an AWS SDK, a daemon or Grafana at it; see /healthz, /readyz, /metrics, /api/v1/refused and /api/v1/tail",
};
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
