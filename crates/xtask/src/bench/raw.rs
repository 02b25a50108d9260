//! The limit: the same documents appended to one file, acknowledged after an `fdatasync` that all waiting writers
//! share. Nothing is parsed, indexed or sent anywhere.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use roentgen_tests::generate::{Feed, Pool};
use roentgen_tests::wait::now;

use super::load::Round;

/// A file and who waits for it to be on disk.
struct Log {
    file: File,
    progress: Mutex<Progress>,
    synced: Condvar,
}

#[derive(Default)]
struct Progress {
    n_appended: u64,
    n_synced: u64,
    is_syncing: bool,
}

/// Appends for this long from so many threads, and removes the file.
pub(super) fn append(
    pool: &Arc<Pool>,
    path: &Path,
    n_writers: u32,
    batch: usize,
    time: Duration,
) -> Result<Round> {
    let log = Log {
        file: File::create(path)?,
        progress: Mutex::default(),
        synced: Condvar::new(),
    };
    let started = Instant::now();
    let rounds = std::thread::scope(|scope| {
        let write = |number: u32| write(&log, pool, u64::from(number) + 1, batch, started + time);
        let threads: Vec<_> = (0..n_writers)
            .map(|number| scope.spawn(move || write(number)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a writer panicked")?)
            .collect::<Result<Vec<Round>>>()
    })?;
    let mut sum = Round {
        elapsed: started.elapsed(),
        ..Round::default()
    };
    for round in rounds {
        sum.merge(round);
    }
    std::fs::remove_file(path)?;
    Ok(sum)
}

fn write(log: &Log, pool: &Arc<Pool>, seed: u64, batch: usize, until: Instant) -> Result<Round> {
    let mut feed = Feed::new(Arc::clone(pool), seed, now(), 6 * 3600);
    let mut round = Round::default();
    let mut bytes = Vec::new();
    while Instant::now() < until {
        bytes.clear();
        for planned in feed.batch(batch) {
            feed.pool().write_plain(&planned, &mut bytes);
        }
        let called = Instant::now();
        log.append(&bytes)?;
        round.latencies.push(called.elapsed());
        round.n_documents += u64::try_from(batch)?;
        round.n_bytes += u64::try_from(bytes.len())?;
    }
    Ok(round)
}

impl Log {
    /// Appends and returns once the bytes are on disk: whoever finds nobody syncing syncs for all.
    fn append(&self, bytes: &[u8]) -> Result<()> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.file).write_all(bytes)?;
        progress.n_appended += 1;
        let ticket = progress.n_appended;
        while progress.n_synced < ticket {
            if progress.is_syncing {
                progress = self
                    .synced
                    .wait(progress)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            progress.is_syncing = true;
            let n_appended = progress.n_appended;
            drop(progress);
            self.file.sync_data()?;
            progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.n_synced = n_appended;
            progress.is_syncing = false;
            self.synced.notify_all();
        }
        Ok(())
    }
}
