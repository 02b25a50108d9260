//! sled 0.34 behind the engine's face, with the mitigations its hazards need.
//!
//! Read `crates/README.md`, "Guards around sled", before changing anything here.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::{Engine, EngineError, Partition, Tree, VALUE_BYTES_MAX, Visit};

/// sled, one `Db` a partition.
pub(crate) struct SledEngine;

struct SledPartition {
    db: sled::Db,
    trees: Vec<sled::Tree>,
}

impl Engine for SledEngine {
    fn open(&self, dir: &Path, cache_bytes: u64) -> Result<Box<dyn Partition>, EngineError> {
        let action = "opening the partition";
        fs::create_dir_all(dir).map_err(|error| io_error(action, &error))?;
        remove_half_snapshots(dir).map_err(|error| io_error(action, &error))?;
        let partition = match open_when_free(dir, cache_bytes) {
            Err(EngineError::Damaged { detail, .. }) => {
                tracing::warn!(dir = %dir.display(), detail, "open failed, retrying without snapshots");
                set_snapshots_aside(dir).map_err(|error| io_error(action, &error))?;
                open_when_free(dir, cache_bytes)?
            }
            opened => opened?,
        };
        sync_files(dir).map_err(|error| io_error(action, &error))?;
        Ok(Box::new(partition))
    }
}

impl Partition for SledPartition {
    fn insert(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        debug_assert!(
            value.len() <= VALUE_BYTES_MAX,
            "values over the limit become blob files"
        );
        contained("writing", || self.tree(tree)?.insert(key, value).map(drop))
    }

    fn remove(&self, tree: Tree, key: &[u8]) -> Result<(), EngineError> {
        contained("removing", || self.tree(tree)?.remove(key).map(drop))
    }

    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        contained("reading", || {
            Ok(self.tree(tree)?.get(key)?.map(|value| value.to_vec()))
        })
    }

    fn scan(
        &self,
        tree: Tree,
        from: &[u8],
        upper: Option<&[u8]>,
        visit: Visit<'_>,
    ) -> Result<(), EngineError> {
        contained("scanning", || {
            let tree = self.tree(tree)?;
            let entries = match upper {
                Some(upper) => tree.range(from..upper),
                None => tree.range(from..),
            };
            for entry in entries {
                let (key, value) = entry?;
                if visit(&key, &value).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn last_key(&self, tree: Tree) -> Result<Option<Vec<u8>>, EngineError> {
        contained("reading", || {
            Ok(self.tree(tree)?.last()?.map(|(key, _)| key.to_vec()))
        })
    }

    fn sync(&self) -> Result<(), EngineError> {
        contained("syncing", || self.db.flush().map(drop))
    }
}

impl SledPartition {
    fn tree(&self, tree: Tree) -> sled::Result<&sled::Tree> {
        let position = Tree::ALL.iter().position(|known| *known == tree);
        position
            .and_then(|position| self.trees.get(position))
            .ok_or_else(|| sled::Error::Unsupported(format!("tree {} is not open", tree.name())))
    }
}

/// Opens the `Db`, waiting for a closed one to let go of its files: what sled freed last is dropped by
/// its background threads, the file's lock with it. No other process can hold that lock, since the
/// store's own is taken first.
fn open_when_free(dir: &Path, cache_bytes: u64) -> Result<SledPartition, EngineError> {
    let began = Instant::now();
    loop {
        match open_contained(dir, cache_bytes) {
            Err(EngineError::Io { detail, .. })
                if detail.contains("could not acquire lock") && began.elapsed() < LOCK_WAIT_MAX =>
            {
                thread::park_timeout(LOCK_POLL);
            }
            opened => return opened,
        }
    }
}

/// Opens the `Db`; sled panics over some damaged files, and such a panic is damage like any other.
fn open_contained(dir: &Path, cache_bytes: u64) -> Result<SledPartition, EngineError> {
    contained("opening the partition", || {
        let db = sled::Config::new()
            .path(dir)
            .cache_capacity(cache_bytes)
            // Never `None`: sled frees segments only in its flusher thread.
            .flush_every_ms(Some(500))
            .open()?;
        let trees = Tree::ALL
            .iter()
            .map(|tree| db.open_tree(tree.name()))
            .collect::<sled::Result<_>>()?;
        Ok(SledPartition { db, trees })
    })
}

/// Runs a call into sled, turning its errors and its panics into ours.
fn contained<T>(
    action: &'static str,
    call: impl FnOnce() -> sled::Result<T>,
) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(io_error(action, &error)),
        Ok(Err(error)) => Err(EngineError::Damaged {
            action,
            detail: error.to_string(),
        }),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            let detail = format!("the engine panicked: {}", text.unwrap_or("no message"));
            Err(EngineError::Damaged { action, detail })
        }
    }
}

fn io_error(action: &'static str, error: &io::Error) -> EngineError {
    EngineError::Io {
        action,
        detail: error.to_string(),
    }
}

/// Removes snapshots whose writing was cut off: with one of them sled refuses to open for ever.
fn remove_half_snapshots(dir: &Path) -> io::Result<()> {
    for_each_file(
        dir,
        |name| name.ends_with(".generating"),
        |path| fs::remove_file(path),
    )
}

/// Renames all snapshots: without one sled reads its whole log, which is slower and always complete.
fn set_snapshots_aside(dir: &Path) -> io::Result<()> {
    for_each_file(
        dir,
        |name| name.starts_with("snap."),
        |path| fs::rename(path, path.with_file_name(aside_name(path))),
    )
}

/// `snap.0123` becomes `aside.snap.0123`, which sled does not take for a snapshot.
fn aside_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("aside.{name}")
}

fn for_each_file(
    dir: &Path,
    wanted: impl Fn(&str) -> bool,
    act: impl Fn(&Path) -> io::Result<()>,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if wanted(&entry.file_name().to_string_lossy()) {
            act(&entry.path())?;
        }
    }
    Ok(())
}

/// Makes a fresh partition's files and their names durable.
fn sync_files(dir: &Path) -> io::Result<()> {
    for name in ["db", "conf"] {
        File::open(dir.join(name))?.sync_all()?;
    }
    let blobs = dir.join("blobs");
    if blobs.is_dir() {
        File::open(blobs)?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

const LOCK_WAIT_MAX: Duration = Duration::from_secs(30);
const LOCK_POLL: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;

    fn open(dir: &Path) -> Box<dyn Partition> {
        SledEngine.open(dir, 1 << 20).unwrap()
    }

    #[test]
    fn a_half_written_snapshot_does_not_keep_a_partition_shut() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).insert(Tree::Segments, b"k", b"v").unwrap();
        fs::write(
            dir.path().join("snap.00000000000FFFFF.generating"),
            b"cut off",
        )
        .unwrap();
        assert_eq!(
            open(dir.path()).get(Tree::Segments, b"k").unwrap().unwrap(),
            b"v"
        );
    }

    #[test]
    fn a_damaged_snapshot_is_set_aside_and_the_log_read_instead() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).insert(Tree::Segments, b"k", b"v").unwrap();
        drop(open(dir.path()));
        for_each_file(
            dir.path(),
            |name| name.starts_with("snap."),
            |path| fs::write(path, b"damaged"),
        )
        .unwrap();
        assert_eq!(
            open(dir.path()).get(Tree::Segments, b"k").unwrap().unwrap(),
            b"v"
        );
    }

    #[test]
    fn a_damaged_log_is_an_error_and_not_a_panic() {
        let dir = tempfile::tempdir().unwrap();
        let partition = open(dir.path());
        for number in 0..2_000_u32 {
            partition
                .insert(Tree::Segments, &number.to_be_bytes(), &[7; 1_000])
                .unwrap();
        }
        drop(partition);
        drop(open(dir.path()));
        let path = dir.path().join("db");
        let mut bytes = fs::read(&path).unwrap();
        for byte in bytes.iter_mut().skip(64).step_by(97) {
            *byte ^= 0xff;
        }
        fs::write(&path, bytes).unwrap();
        let outcome = SledEngine.open(dir.path(), 1 << 20).and_then(|partition| {
            let mut n_keys = 0;
            partition.scan(Tree::Segments, b"", None, &mut |_, _| {
                n_keys += 1;
                ControlFlow::Continue(())
            })?;
            Ok(n_keys)
        });
        // sled may drop what it cannot read; it must neither panic out of here nor invent keys.
        if let Ok(n_keys) = outcome {
            assert!(n_keys < 2_000);
        }
    }

    #[test]
    fn values_at_the_limit_make_no_blob_files() {
        let dir = tempfile::tempdir().unwrap();
        let partition = open(dir.path());
        for number in 0..500_u32 {
            let value = vec![u8::try_from(number % 251).unwrap(); VALUE_BYTES_MAX];
            partition
                .insert(Tree::Chunks, &number.to_be_bytes(), &value)
                .unwrap();
        }
        partition.sync().unwrap();
        assert_eq!(fs::read_dir(dir.path().join("blobs")).unwrap().count(), 0);
    }
}
