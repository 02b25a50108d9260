//! From documents back to an index, after a store was opened.
//!
//! One thread reads records from the engine, one a core decodes and parses them, the first puts the
//! heads together: opening takes about as long as the documents of one partition take to parse.

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use model::{DocumentLimits, Head, Segment, Tenant, TraceId};

use crate::dictionary::Dictionaries;
use crate::engine::{EngineError, Tree};
use crate::index::{Candidate, Index, text_hash};
use crate::keys;
use crate::partitions::Opened;
use crate::record::{Damage, Record, encode};

/// Returns the index of all documents of a partition; it learns the last stamp of telemetry, too.
///
/// A damaged document is left out, as it is when it is read; `check` finds it.
pub(super) fn index_of(opened: &Opened, dictionaries: &Dictionaries) -> Result<Index, EngineError> {
    let index = Mutex::new(Index::default());
    let n_workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(N_WORKERS_MAX);
    let (to_workers, from_reader) = sync_channel::<Vec<Stored>>(n_workers * 2);
    let from_reader = Mutex::new(from_reader);
    thread::scope(|scope| {
        for _ in 0..n_workers {
            scope.spawn(|| work(&from_reader, &index));
        }
        read(opened, dictionaries, to_workers)
    })?;
    let mut index = index.into_inner().unwrap_or_else(PoisonError::into_inner);
    index.telemetry_stamp = opened.telemetry_stamp()?;
    Ok(index)
}

/// A record and its document's text.
struct Stored {
    key: Vec<u8>,
    record: Record,
    text: Vec<u8>,
}

/// A document parsed again.
struct Parsed {
    tenant: Tenant,
    trace_id: TraceId,
    record: Record,
    head: Head,
    head_bytes: Vec<u8>,
    text_hash: u64,
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "dropping the sender ends the workers"
)]
fn read(
    opened: &Opened,
    dictionaries: &Dictionaries,
    to_workers: SyncSender<Vec<Stored>>,
) -> Result<(), EngineError> {
    let mut batch = Vec::with_capacity(BATCH);
    opened.scan_records(Tree::Segments, &[], &[], dictionaries, &mut |key, read| {
        match read {
            Ok((record, text)) => batch.push(Stored {
                key: key.to_vec(),
                record,
                text,
            }),
            Err(damage) => tracing::error!(%damage, "left a damaged document out of the index"),
        }
        if batch.len() == BATCH {
            // Workers end only after the reader.
            let _ = to_workers.send(std::mem::take(&mut batch));
        }
        ControlFlow::Continue(())
    })?;
    let _ = to_workers.send(batch);
    Ok(())
}

fn work(from_reader: &Mutex<Receiver<Vec<Stored>>>, index: &Mutex<Index>) {
    loop {
        let received = from_reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(batch) = received else { return };
        let parsed: Vec<Parsed> = batch.into_iter().filter_map(parse).collect();
        let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
        for parsed in parsed {
            let candidate = Candidate {
                tenant: parsed.tenant,
                trace_id: parsed.trace_id,
                head: &parsed.head,
                head_bytes: &parsed.head_bytes,
                text_hash: parsed.text_hash,
                text_len: parsed.record.raw_len,
                stamp: parsed.record.stamp,
            };
            index.replay(&candidate, &parsed.record);
        }
    }
}

fn parse(stored: Stored) -> Option<Parsed> {
    let parsed = try_parse(stored);
    if let Err(damage) = &parsed {
        tracing::error!(%damage, "left a damaged document out of the index");
    }
    parsed.ok()
}

fn try_parse(stored: Stored) -> Result<Parsed, Damage> {
    let (tenant, trace_id, _) =
        keys::read_segment(&stored.key).ok_or_else(|| Damage("not a key of ours".to_owned()))?;
    let text = std::str::from_utf8(&stored.text).map_err(|error| Damage(error.to_string()))?;
    let limits = DocumentLimits {
        document_bytes_max: usize::MAX,
    };
    let head = Segment::parse(text, &limits)
        .map_err(|invalid| Damage(invalid.detail))?
        .head();
    Ok(Parsed {
        tenant,
        trace_id,
        head_bytes: encode(&head),
        head,
        text_hash: text_hash(text),
        record: stored.record,
    })
}

const N_WORKERS_MAX: usize = 4;
const BATCH: usize = 256;
