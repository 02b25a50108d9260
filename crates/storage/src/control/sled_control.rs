//! The control store on sled: one small database in `control/`, under the guards partitions have.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use model::Tenant;

use super::rewrite::{self, Former, Rewriting};
use super::{ControlKind, ControlRecord, ControlStore, check_size};
use crate::dictionary::Dictionaries;
use crate::engine::{Engine, EngineError, SledEngine, Tree};
use crate::open::OpenError;
use crate::partitions::{Handle, Opened, ReadRecord};
use crate::record::{Body, Damage, Record};
use crate::{StoreError, keys};

/// The records of a store, in the folder `control/` beside its partitions.
///
/// Whoever opens it has the store of the same folder open, whose lock keeps other processes out.
/// After a failed write or flush nothing more is written to the same files: the next write begins
/// a fresh database with all that can be read from the old one, but for the change that failed: its
/// caller was told that it did not happen. So does [`SledControl::close`].
pub struct SledControl {
    rewriting: Rewriting,
    /// Written to while the database is replaced.
    home: RwLock<Handle>,
    /// One write at a time.
    writer: Mutex<Writer>,
}

/// Keys and payloads of all records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SettingsCopy(Vec<(Vec<u8>, Vec<u8>)>);

impl SettingsCopy {
    pub(crate) fn add(&mut self, key: Vec<u8>, payload: Vec<u8>) {
        self.0.push((key, payload));
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let records = self.0.iter();
        records.map(|(key, payload)| (key.as_slice(), payload.as_slice()))
    }
}

enum Writer {
    Working,
    /// A write failed: the files may hold less than readers see, and readers may see what failed. This is
    /// what was there before, if that could be read.
    Poisoned(Option<Former>),
    Closed,
}

impl SledControl {
    /// Opens the records in `data`, making an empty database if there is none, and verifies each.
    /// Rewrites the database if it is much larger than what it holds.
    ///
    /// # Errors
    /// [`OpenError::ControlDamaged`] if what is there cannot be trusted; it is never taken for empty.
    pub fn open(data: &Path) -> Result<Self, OpenError> {
        Self::open_with(Arc::new(SledEngine), data)
    }

    pub(crate) fn open_with(engine: Arc<dyn Engine>, data: &Path) -> Result<Self, OpenError> {
        let dictionaries = Dictionaries::open(&data.join("dict"))
            .map_err(|source| OpenError::io("reading dictionaries of", data, &source))?;
        let rewriting = Rewriting {
            engine,
            data: data.to_owned(),
            dictionaries,
        };
        let failed = |error: EngineError| open_error(rewriting.dir(), &error);
        rewriting.settle().map_err(failed)?;
        let home = if rewriting.dir().exists() {
            rewriting.handle()
        } else {
            rewriting.fresh().map_err(failed)?
        };
        let live_bytes = home
            .with(|opened| verify(opened, &rewriting.dictionaries))
            .map_err(failed)?;
        let home = if rewrite::is_worthwhile(home.dir(), live_bytes) {
            home.retire();
            rewriting.rewrite(&[]).map_err(failed)?
        } else {
            home
        };
        Ok(Self {
            rewriting,
            home: RwLock::new(home),
            writer: Mutex::new(Writer::Working),
        })
    }

    /// Makes everything put so far durable and closes the database; calls after it are refused.
    pub fn close(&self) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let mut home = self.home.write().unwrap_or_else(PoisonError::into_inner);
        let synced = match &*writer {
            Writer::Working => home.with(Opened::sync).map_err(|error| unavailable(&error)),
            Writer::Poisoned(former) => self.renew(&mut home, former.as_slice()),
            Writer::Closed => Ok(()),
        };
        *writer = Writer::Closed;
        home.retire();
        synced
    }

    /// Returns all records there are, as they are at one moment.
    pub(crate) fn copy(&self) -> Result<SettingsCopy, StoreError> {
        let writer = self.writer();
        match &*writer {
            Writer::Working => {}
            Writer::Closed => return Err(StoreError::Closed),
            Writer::Poisoned(_) => {
                let reason = "a write of settings failed, and none was made since".to_owned();
                return Err(StoreError::Unavailable { reason });
            }
        }
        let home = self.home.read().unwrap_or_else(PoisonError::into_inner);
        let mut copy = SettingsCopy::default();
        let copied = home.with(|opened| {
            rewrite::each(opened, &self.rewriting.dictionaries, &mut |key, payload| {
                copy.add(key.to_owned(), payload.to_owned());
                Ok(())
            })
        });
        drop(writer);
        copied.map(|()| copy).map_err(|error| StoreError::Read {
            reason: error.to_string(),
        })
    }

    /// Puts all records of a copy, durably.
    pub(crate) fn take(&self, copy: &SettingsCopy) -> Result<(), StoreError> {
        let home = self.home.read().unwrap_or_else(PoisonError::into_inner);
        let put = home.with(|opened| {
            for (key, payload) in copy.records() {
                opened.replace(Tree::Control, key, Record::of_payload(payload))?;
            }
            opened.sync()
        });
        put.map_err(|error| unavailable(&error))
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record of a key, in a fresh database if a write failed before.
    fn write(
        &self,
        key: &[u8],
        act: impl FnOnce(&Opened) -> Result<(), EngineError>,
    ) -> Result<(), StoreError> {
        let mut writer = self.writer();
        match &*writer {
            Writer::Working => {}
            Writer::Closed => return Err(StoreError::Closed),
            Writer::Poisoned(former) => {
                let mut home = self.home.write().unwrap_or_else(PoisonError::into_inner);
                self.renew(&mut home, former.as_slice())?;
                *writer = Writer::Working;
            }
        }
        let home = self.home.read().unwrap_or_else(PoisonError::into_inner);
        let mut former = None;
        let written = home.with(|opened| {
            former = Former::read(opened, key, &self.rewriting.dictionaries)?;
            act(opened)
        });
        written.map_err(|error| {
            tracing::error!(%error, "a write of settings failed");
            *writer = Writer::Poisoned(former);
            unavailable(&error)
        })
    }

    /// Goes on in a fresh database after a failed write.
    fn renew(&self, home: &mut Handle, formers: &[Former]) -> Result<(), StoreError> {
        home.close();
        let renewed = self.rewriting.rewrite(formers);
        *home = renewed.map_err(|error| unavailable(&error))?;
        tracing::warn!("settings go on in a fresh database after a failed write");
        Ok(())
    }
}

impl ControlStore for SledControl {
    fn load(&self, tenant: Tenant, kind: ControlKind) -> Result<Vec<ControlRecord>, StoreError> {
        let mut records = Vec::new();
        let mut damage = None;
        let home = self.home.read().unwrap_or_else(PoisonError::into_inner);
        let scanned = home.with(|opened| {
            let prefix = keys::control_prefix(tenant, kind);
            let dictionaries = &self.rewriting.dictionaries;
            opened.scan_records(
                Tree::Control,
                &prefix,
                &[],
                dictionaries,
                &mut |key, read| {
                    match to_record(key, read) {
                        Ok(record) => records.push(record),
                        Err(found) => damage = Some(found),
                    }
                    ControlFlow::Continue(())
                },
            )
        });
        let reason = match (scanned, damage) {
            (Ok(()), None) => return Ok(records),
            (Err(EngineError::Gone), _) => return Err(StoreError::Closed),
            (Err(error), _) => error.to_string(),
            (Ok(()), Some(damage)) => damage.to_string(),
        };
        Err(StoreError::Read { reason })
    }

    fn put(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        check_size(record)?;
        let key = keys::control(tenant, kind, &record.key);
        self.write(&key, |opened| {
            put(opened, &key, record)?;
            opened.sync()
        })
    }

    fn put_soon(
        &self,
        tenant: Tenant,
        kind: ControlKind,
        record: &ControlRecord,
    ) -> Result<(), StoreError> {
        check_size(record)?;
        let key = keys::control(tenant, kind, &record.key);
        self.write(&key, |opened| put(opened, &key, record))
    }

    fn remove(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        let key = keys::control(tenant, kind, key);
        self.write(&key, |opened| {
            remove(opened, &key)?;
            opened.sync()
        })
    }

    fn remove_soon(&self, tenant: Tenant, kind: ControlKind, key: &str) -> Result<(), StoreError> {
        let key = keys::control(tenant, kind, key);
        self.write(&key, |opened| remove(opened, &key))
    }
}

fn put(opened: &Opened, key: &[u8], record: &ControlRecord) -> Result<(), EngineError> {
    debug_assert!((1..=KEY_BYTES_MAX).contains(&record.key.len()));
    opened.replace(Tree::Control, key, Record::of_payload(&record.value))
}

/// Takes a record away, and then its chunks.
fn remove(opened: &Opened, key: &[u8]) -> Result<(), EngineError> {
    let engine = opened.engine();
    let before = engine.get(Tree::Control, key)?;
    engine.remove(Tree::Control, key)?;
    let before = before.and_then(|value| Record::decode(key, &value).ok());
    if let Some(Body::Chunked(chunked)) = before.map(|record| record.body) {
        for number in 0..chunked.n_chunks {
            engine.remove(Tree::Chunks, &keys::chunk(chunked.blob, number))?;
        }
    }
    Ok(())
}

/// Reads every record and returns the bytes of their keys and payloads.
fn verify(opened: &Opened, dictionaries: &Dictionaries) -> Result<u64, EngineError> {
    let mut live_bytes = 0;
    rewrite::each(opened, dictionaries, &mut |key, payload| {
        live_bytes += key.len() as u64 + payload.len() as u64;
        Ok(())
    })?;
    Ok(live_bytes)
}

fn to_record(key: &[u8], read: ReadRecord) -> Result<ControlRecord, Damage> {
    let own =
        keys::read_control(key).ok_or_else(|| Damage("its key is not one of ours".to_owned()));
    let (_, value) = read?;
    Ok(ControlRecord {
        key: own?.to_owned(),
        value,
    })
}

fn unavailable(error: &EngineError) -> StoreError {
    match error {
        EngineError::Gone => StoreError::Closed,
        EngineError::Damaged { .. } | EngineError::Io { .. } => StoreError::Unavailable {
            reason: error.to_string(),
        },
    }
}

/// Tells damage, about which the operator must decide, from what the system refused for now.
fn open_error(dir: PathBuf, error: &EngineError) -> OpenError {
    if error.is_damage() {
        let detail = error.to_string();
        return OpenError::ControlDamaged { dir, detail };
    }
    let source = std::io::Error::other(error.to_string());
    OpenError::io("opening the settings in", &dir, &source)
}

const KEY_BYTES_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: Tenant = Tenant(0);
    const KIND: ControlKind = ControlKind::Group;

    fn record(n_bytes: usize) -> ControlRecord {
        let mut random = 1_u64;
        let mut next = || {
            random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            random.to_be_bytes()[0]
        };
        ControlRecord {
            key: "a".to_owned(),
            value: (0..n_bytes).map(|_| next()).collect(),
        }
    }

    fn last_chunk(store: &SledControl) -> Option<Vec<u8>> {
        let home = store.home.read().unwrap();
        home.with(|opened| opened.engine().last_key(Tree::Chunks))
            .unwrap()
    }

    #[test]
    fn a_removed_record_takes_its_chunks_along() {
        let data = tempfile::tempdir().unwrap();
        let store = SledControl::open(data.path()).unwrap();
        store.put(TENANT, KIND, &record(20_000)).unwrap();
        assert!(last_chunk(&store).is_some());
        store.remove(TENANT, KIND, "a").unwrap();
        assert_eq!(last_chunk(&store), None);
        store.put(TENANT, KIND, &record(20_000)).unwrap();
        store.put(TENANT, KIND, &record(20)).unwrap();
        assert_eq!(last_chunk(&store), None);
    }

    #[test]
    fn a_record_that_spoils_meanwhile_is_not_left_out() {
        let data = tempfile::tempdir().unwrap();
        let store = SledControl::open(data.path()).unwrap();
        store.put(TENANT, KIND, &record(20)).unwrap();
        let key = keys::control(TENANT, KIND, "a");
        store
            .write(&key, |opened| {
                opened.engine().insert(Tree::Control, &key, b"spoilt")
            })
            .unwrap();
        let read = store.load(TENANT, KIND);
        assert!(matches!(read, Err(StoreError::Read { .. })), "{read:?}");
    }
}
