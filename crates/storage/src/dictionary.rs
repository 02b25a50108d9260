//! Compression dictionaries: what documents have in common, so that each one can be compressed alone.
//!
//! A store begins with the built-in text of number 1 and trains the next one on its own traffic as
//! soon as it has seen enough documents. A dictionary is never deleted: records name theirs by number.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use xxhash_rust::xxh3::xxh3_64;

/// One dictionary.
#[derive(Clone)]
pub(crate) struct Dictionary {
    /// Its number, which records carry.
    pub(crate) number: u32,
    /// Hash of its bytes: the key of the per-thread compression contexts.
    pub(crate) hash: u64,
    /// Its bytes.
    pub(crate) bytes: Arc<[u8]>,
}

/// The dictionaries of a store; cheap to clone.
#[derive(Clone)]
pub(crate) struct Dictionaries {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    known: RwLock<BTreeMap<u32, Dictionary>>,
    samples: Mutex<Samples>,
}

/// Documents kept to train on.
#[derive(Default)]
struct Samples {
    texts: Vec<String>,
    n_bytes: usize,
    done: bool,
}

impl Dictionaries {
    /// Reads all dictionaries of a store, writing the built-in one if it is not there yet.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        if !path_of(dir, 1).exists() {
            write_durably(&path_of(dir, 1), BUILT_IN)?;
        }
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let is_dictionary = path
                .extension()
                .is_some_and(|extension| extension == "zdict");
            let Some(number) = stem
                .filter(|_| is_dictionary)
                .and_then(|stem| stem.parse().ok())
            else {
                continue;
            };
            known.insert(number, Dictionary::new(number, &fs::read(&path)?));
        }
        let done = known.len() > 1;
        let shared = Shared {
            dir: dir.to_owned(),
            known: RwLock::new(known),
            samples: Mutex::new(Samples {
                done,
                ..Samples::default()
            }),
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Returns the dictionary new documents are compressed with.
    pub(crate) fn current(&self) -> Option<Dictionary> {
        let known = self
            .shared
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        known
            .last_key_value()
            .map(|(_, dictionary)| dictionary.clone())
    }

    /// Returns the dictionary of a number.
    pub(crate) fn get(&self, number: u32) -> Option<Dictionary> {
        let known = self
            .shared
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        known.get(&number).cloned()
    }

    /// Keeps a document to train on, as long as samples are wanted; tells whether there are enough.
    pub(crate) fn sample(&self, text: &str) -> bool {
        // Whoever holds the lock samples another document: missing one costs nothing.
        let Ok(mut samples) = self.shared.samples.try_lock() else {
            return false;
        };
        if samples.done || text.len() > SAMPLE_BYTES_MAX {
            return false;
        }
        samples.n_bytes += text.len();
        samples.texts.push(text.to_owned());
        samples.texts.len() >= N_SAMPLES || samples.n_bytes >= SAMPLES_BYTES
    }

    /// Trains a dictionary on the samples and takes it into use; once per store. Takes about a second.
    pub(crate) fn train(&self) -> io::Result<()> {
        let texts = {
            let mut samples = self
                .shared
                .samples
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if std::mem::replace(&mut samples.done, true) {
                return Ok(());
            }
            std::mem::take(&mut samples.texts)
        };
        let bytes = zstd::dict::from_samples(&texts, DICTIONARY_BYTES)?;
        let number = self.current().map_or(1, |newest| newest.number + 1);
        write_durably(&path_of(&self.shared.dir, number), &bytes)?;
        let mut known = self
            .shared
            .known
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        known.insert(number, Dictionary::new(number, &bytes));
        tracing::info!(
            number,
            n_bytes = bytes.len(),
            "trained a compression dictionary"
        );
        Ok(())
    }
}

impl Dictionary {
    fn new(number: u32, bytes: &[u8]) -> Self {
        Self {
            number,
            hash: xxh3_64(bytes),
            bytes: bytes.into(),
        }
    }
}

fn path_of(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:04}.zdict"))
}

/// Writes a file so that it is there whole, or not at all, whatever happens.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(parent)?.sync_all()
}

/// What documents of all SDKs have in common, written by hand as text.
const BUILT_IN: &[u8] = include_bytes!("../dictionaries/0001.txt");
const N_SAMPLES: usize = 3_000;
const SAMPLES_BYTES: usize = 4 << 20;
const SAMPLE_BYTES_MAX: usize = 16 << 10;
const DICTIONARY_BYTES: usize = 64 << 10;
