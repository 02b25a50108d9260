//! Traces by their ids, several calls at a time, in the order of the ids.

use std::collections::HashMap;

use futures_util::{StreamExt, stream};

use super::pace::Pace;
use crate::client::{CallError, Client, Trace};
use crate::exit::Stop;
use crate::stopping::Stopping;

/// What became of the traces that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// How many came.
    pub(crate) n_traces: usize,
    /// How many are not there, or no longer.
    pub(crate) n_missing: usize,
    /// Whether the end was asked for before all came.
    pub(crate) is_cut_short: bool,
}

/// Hands on the traces of these ids, one after the other, in the order of the ids.
pub(crate) async fn each(
    client: &Client,
    pace: &Pace,
    trace_ids: &[String],
    stopping: &Stopping,
    mut take: impl FnMut(&Trace) -> Result<(), Stop>,
) -> Result<Fetched, Stop> {
    let calls = trace_ids.chunks(IDS_PER_CALL).map(|ids| {
        let (client, pace, ids) = (client.clone(), pace.clone(), ids.to_vec());
        async move { call(&client, &pace, ids).await }
    });
    let mut answers = stream::iter(calls).buffered(CALLS_MAX);
    let mut fetched = Fetched::default();
    while let Some(answer) = answers.next().await {
        for trace in answer? {
            match trace {
                Some(trace) => {
                    take(&trace)?;
                    fetched.n_traces += 1;
                }
                None => fetched.n_missing += 1,
            }
        }
        if stopping.is_asked() {
            fetched.is_cut_short = true;
            break;
        }
    }
    Ok(fetched)
}

/// Returns the traces of some ids in their order, nothing for one that is not there. What the server did not look at is
/// asked for again.
async fn call(
    client: &Client,
    pace: &Pace,
    trace_ids: Vec<String>,
) -> Result<Vec<Option<Trace>>, CallError> {
    let mut found: HashMap<String, Trace> = HashMap::with_capacity(trace_ids.len());
    let mut wanted = trace_ids.clone();
    for _ in 0..TRIES_MAX {
        pace.turn(client).await;
        let batch = client.batch_get(&wanted).await?;
        let traces = batch.traces.into_iter();
        found.extend(traces.map(|trace| (trace.id.clone(), trace)));
        wanted = batch.unprocessed;
        wanted.retain(|id| !found.contains_key(id));
        if wanted.is_empty() {
            break;
        }
    }
    Ok(trace_ids.iter().map(|id| found.remove(id)).collect())
}

const IDS_PER_CALL: usize = 5;
const CALLS_MAX: usize = 4;
const TRIES_MAX: usize = 3;
