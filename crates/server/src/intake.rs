//! Temporary.
use crate::app::App;
use crate::clock;
use crate::origin::Origin;
use ingest::{Limits, Verdicts};
use protocol::ApiError;
use std::borrow::Cow;
pub(crate) async fn accept(
    app: &App,
    _origin: Origin,
    documents: Vec<Cow<'_, str>>,
    limits: &Limits,
) -> Result<Verdicts, ApiError> {
    ingest::accept(
        &*app.house.store,
        app.tenant,
        documents,
        limits,
        clock::now(),
    )
    .await
    .map_err(|error| ApiError::internal(error.to_string()))
}
