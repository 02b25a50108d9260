//! Which traces a filter takes: all documents of the recording go to a store of their own, and the filter judges whole traces.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use model::{Tenant, Timestamp, TraceId};
use query::Filter;
use storage::{Config, Durability, Scan, SledStore, TraceStore, Window, WindowBy};

use super::input::{Input, Items};
use crate::exit::Stop;
use crate::terminal::Progress;

/// Returns the traces of a recording that a filter takes. In memory are only their ids.
pub(super) async fn chosen(
    input: &mut Input,
    filter: Filter,
    now: Timestamp,
) -> Result<HashSet<TraceId>, Stop> {
    let told = |error: &dyn std::fmt::Display| Stop::failed(format!("filtering: {error}"));
    let folder = tempfile::Builder::new()
        .prefix("roentgen-replay-")
        .tempdir();
    let folder = folder.map_err(|error| told(&error))?;
    let opening = config(folder.path().to_owned());
    let opened = tokio::task::spawn_blocking(move || SledStore::open(opening, now)).await;
    let store = opened
        .map_err(|error| told(&error))?
        .map_err(|error| told(&error))?;
    load(input, &store, now).await?;
    let traces = taken(&store, filter).await.map_err(|error| told(&error))?;
    let closed = tokio::task::spawn_blocking(move || drop(store)).await;
    closed.map_err(|error| told(&error))?;
    Ok(traces)
}

/// Puts every document in the store; those it refuses are in no trace.
async fn load(input: &mut Input, store: &SledStore, now: Timestamp) -> Result<(), Stop> {
    let progress = Progress::endless("documents read for the filter");
    let limits = ingest::Limits {
        n_documents_max: usize::MAX,
        document_bytes_max: usize::MAX,
    };
    let mut batch: Vec<Cow<'_, str>> = Vec::new();
    let mut n_bytes = 0;
    loop {
        let piece = input.next()?;
        let is_last = piece.is_none();
        if let Some(Items::Documents(documents)) = piece.map(|piece| piece.items) {
            n_bytes += documents.iter().map(String::len).sum::<usize>();
            batch.extend(documents.into_iter().map(Cow::Owned));
        }
        if n_bytes >= BATCH_BYTES || (is_last && !batch.is_empty()) {
            let n_documents = u64::try_from(batch.len()).unwrap_or(u64::MAX);
            let taken = ingest::accept(store, TENANT, std::mem::take(&mut batch), &limits, now);
            let taken = Box::pin(taken).await;
            taken.map_err(|error| Stop::failed(format!("filtering: {error}")))?;
            progress.advance(n_documents);
            n_bytes = 0;
        }
        if is_last {
            progress.finish();
            return Ok(());
        }
    }
}

async fn taken(store: &SledStore, filter: Filter) -> Result<HashSet<TraceId>, storage::StoreError> {
    let mut scan = Scan {
        window: Window {
            by: WindowBy::Activity,
            from: Timestamp::ZERO,
            to: Timestamp::from_nanos(u64::MAX),
        },
        after: None,
        as_of: None,
        n_kept_max: 1000,
        n_scanned_max: 1_000_000,
        filter: Arc::new(filter),
    };
    let mut traces = HashSet::new();
    loop {
        let page = store.summaries(TENANT, scan.clone()).await?;
        traces.extend(page.summaries.iter().map(|summary| summary.trace_id));
        scan.as_of = Some(page.as_of);
        match page.next {
            Some(next) => scan.after = Some(next),
            None => return Ok(traces),
        }
    }
}

/// The store lives as long as the command: nothing in it has to survive anything.
fn config(data: std::path::PathBuf) -> Config {
    Config {
        data,
        durability: Durability::Interval(Duration::from_mins(1)),
        retention: Duration::from_hours(24 * 365),
        disk_bytes_max: u64::MAX / 2,
        free_bytes_min: 64 << 20,
        partition_bytes: 128 << 20,
        partition_age: Duration::from_hours(24 * 365),
        cache_bytes: 64 << 20,
        bytes_in_flight: 256 << 20,
        queue_wait: Duration::from_mins(10),
        trace_bytes_max: 0,
    }
}

const TENANT: Tenant = Tenant(0);
const BATCH_BYTES: usize = 4 << 20;
