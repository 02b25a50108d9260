//! Traces by their ids, several calls at a time, in the order of the ids.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use crate::client::{CallError, Client, Trace};
use crate::exit::Stop;
use crate::stopping::Stopping;

/// What became of the traces that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// How many came.
    pub(crate) n_traces: usize,
    /// How many are not there, or no longer.
    pub(crate) n_missing: usize,
    /// The ids the server did not look at, however often it was asked.
    pub(crate) unprocessed: Vec<String>,
    /// Whether the end was asked for before all came.
    pub(crate) is_cut_short: bool,
}

/// What became of one.
#[derive(Debug)]
enum Fate {
    Here(Trace),
    Gone,
    Unprocessed(String),
}

/// Hands on the traces of these ids, one after the other, in the order of the ids.
pub(crate) async fn each(
    client: &Client,
    trace_ids: &[String],
    stopping: &Stopping,
    mut take: impl FnMut(&Trace) -> Result<(), Stop>,
) -> Result<Fetched, Stop> {
    let calls = trace_ids.chunks(IDS_PER_CALL).map(|ids| {
        let (client, ids) = (client.clone(), ids.to_vec());
        async move { call(&client, ids).await }
    });
    let mut answers = stream::iter(calls).buffered(CALLS_MAX);
    let mut fetched = Fetched::default();
    let mut stopping = stopping.clone();
    loop {
        let answer = tokio::select! {
            biased;
            () = stopping.asked() => {
                fetched.is_cut_short = true;
                break;
            }
            answer = answers.next() => answer,
        };
        let Some(answer) = answer else {
            break;
        };
        for fate in answer? {
            match fate {
                Fate::Here(trace) => {
                    take(&trace)?;
                    fetched.n_traces += 1;
                }
                Fate::Gone => fetched.n_missing += 1,
                Fate::Unprocessed(id) => fetched.unprocessed.push(id),
            }
        }
    }
    Ok(fetched)
}

/// Returns what became of the traces of some ids, in their order. What the server did not look at is asked for again, after
/// longer and longer pauses.
async fn call(client: &Client, trace_ids: Vec<String>) -> Result<Vec<Fate>, CallError> {
    let mut found: HashMap<String, Trace> = HashMap::with_capacity(trace_ids.len());
    let mut wanted = trace_ids.clone();
    let mut pauses = (0..PAUSES_MAX).map(|n_pauses| PAUSE_FIRST * (1 << n_pauses));
    loop {
        let batch = client.batch_get(&wanted).await?;
        let traces = batch.traces.into_iter();
        found.extend(traces.map(|trace| (trace.id.clone(), trace)));
        wanted = batch.unprocessed;
        wanted.retain(|id| !found.contains_key(id));
        if wanted.is_empty() {
            break;
        }
        let Some(pause) = pauses.next() else {
            break;
        };
        tokio::time::sleep(pause).await;
    }
    let fates = trace_ids.into_iter().map(|id| match found.remove(&id) {
        Some(trace) => Fate::Here(trace),
        None if wanted.contains(&id) => Fate::Unprocessed(id),
        None => Fate::Gone,
    });
    Ok(fates.collect())
}

const IDS_PER_CALL: usize = 5;
const CALLS_MAX: usize = 4;
const PAUSES_MAX: u32 = 4;
const PAUSE_FIRST: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::{Value, json};

    use super::*;
    use crate::moving::fake;

    #[tokio::test]
    async fn what_was_not_looked_at_is_told_from_what_is_gone() {
        let n_asked: Mutex<HashMap<String, u32>> = Mutex::default();
        let server = fake::server(move |_, request: &Value| {
            let (mut traces, mut unprocessed) = (Vec::new(), Vec::new());
            for id in request["TraceIds"].as_array().unwrap() {
                let id = id.as_str().unwrap();
                let mut n_asked = n_asked.lock().unwrap();
                let n_asked = n_asked.entry(id.to_owned()).or_default();
                *n_asked += 1;
                match id {
                    "here" => traces.push(json!({ "Id": id })),
                    "late" if *n_asked == 5 => traces.push(json!({ "Id": id })),
                    "gone" => {}
                    _ => unprocessed.push(id.to_owned()),
                }
            }
            (
                200,
                json!({ "Traces": traces, "UnprocessedTraceIds": unprocessed }),
            )
        })
        .await;
        let ids = ["never", "here", "gone", "late"].map(str::to_owned);
        let fates = call(&fake::client(&server.url), ids.to_vec())
            .await
            .unwrap();
        let shown: Vec<String> = fates
            .iter()
            .map(|fate| match fate {
                Fate::Here(trace) => format!("here {}", trace.id),
                Fate::Gone => "gone".to_owned(),
                Fate::Unprocessed(id) => format!("unprocessed {id}"),
            })
            .collect();
        assert_eq!(
            shown,
            ["unprocessed never", "here here", "gone", "here late"]
        );
        // Only what was not looked at is asked for again.
        let asked = server.asked.lock().unwrap();
        assert_eq!(
            asked.last().unwrap().1["TraceIds"],
            json!(["never", "late"])
        );
    }
}
