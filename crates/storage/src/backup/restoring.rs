//! Making a store of a backup.
//!
//! 1. Everything is unpacked into a folder below the one that is asked for; checksums and lengths are taken as files
//!    come.
//! 2. The last file says what they should be.
//! 3. What is whole is made durable and moves up. Cut off anywhere before, no store is there.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::{Archive, Entry};

use super::site::{Site, Watch};
use super::sums::{Sum, Sums};
use super::{
    DICTIONARIES, FORMAT, HEAD, HEAD_WORDS, MANIFEST, MEMBERS, RestoreError, SETTINGS, SUMS, TREES,
    failed,
};
use crate::SledControl;
use crate::control::{CONTROL_VALUE_BYTES_MAX, SettingsCopy};
use crate::dictionary::write_durably;
use crate::engine::{Engine, EngineError, SledEngine, Tree, VALUE_BYTES_MAX};
use crate::manifest::Manifest;
use crate::migrations;
use crate::open::PARTITIONS;
use crate::partitions::{Handle, Opened};

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Partitions.
    pub n_partitions: usize,
    /// Bytes of all files of the backup.
    pub n_bytes: u64,
}

/// Makes a store of a backup in a folder that is not there or empty, which may be a mount point. Blocks.
///
/// # Errors
/// As [`RestoreError`] says; the folder is then as it was.
pub fn restore(input: impl Read, data: &Path) -> Result<Restored, RestoreError> {
    restore_watched(input, data, &mut |_| {})
}

/// Does what [`restore`] does, and tells before each step of the end.
pub(crate) fn restore_watched(
    input: impl Read,
    data: &Path,
    watch: Watch<'_>,
) -> Result<Restored, RestoreError> {
    let site = Site::begin(data)?;
    let restored = Restoring::new(site.below()).run(input);
    let settled = restored.and_then(|restored| site.settle(watch).map(|()| restored));
    if settled.is_err() {
        site.clear();
    }
    settled
}

struct Restoring {
    dir: PathBuf,
    engine: Arc<dyn Engine>,
    sums: Sums,
    manifest: Option<Manifest>,
    settings: SettingsCopy,
    /// The partition whose files come at the moment.
    current: Option<Handle>,
    n_partitions: usize,
}

/// What a file of a backup is.
enum Place {
    Head,
    Manifest,
    Dictionary(String),
    Settings,
    Members(String),
    Records(String, Tree),
    Sums,
}

impl Place {
    fn of(name: &str) -> Option<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            [HEAD] => Some(Self::Head),
            [MANIFEST] => Some(Self::Manifest),
            [SUMS] => Some(Self::Sums),
            [DICTIONARIES, file] => {
                let number = file.strip_suffix(".zdict")?;
                is_number(number).then(|| Self::Dictionary((*file).to_owned()))
            }
            [SETTINGS, number] => is_number(number).then_some(Self::Settings),
            [PARTITIONS, folder, MEMBERS] => Some(Self::Members((*folder).to_owned())),
            [PARTITIONS, folder, tree, number] => {
                let tree = TREES.into_iter().find(|known| known.name() == *tree)?;
                is_number(number).then(|| Self::Records((*folder).to_owned(), tree))
            }
            _ => None,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl Restoring {
    fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            engine: Arc::new(SledEngine),
            sums: Sums::default(),
            manifest: None,
            settings: SettingsCopy::default(),
            current: None,
            n_partitions: 0,
        }
    }

    fn run(mut self, input: impl Read) -> Result<Restored, RestoreError> {
        for folder in [PARTITIONS, DICTIONARIES] {
            let path = self.dir.join(folder);
            fs::create_dir(&path).map_err(failed("making", &path))?;
        }
        let unpacked = zstd::Decoder::new(input).map_err(|error| unreadable(&error))?;
        let mut archive = Archive::new(unpacked);
        let mut is_whole = false;
        for entry in archive.entries().map_err(|error| unreadable(&error))? {
            let mut file = Incoming::of(entry.map_err(|error| self.broken(&error))?)?;
            let place = Place::of(&file.name);
            let Some(place) = place.filter(|place| self.is_expected(place)) else {
                return Err(self.unexpected(&file.name));
            };
            is_whole = matches!(place, Place::Sums);
            if is_whole {
                self.compare(&mut file)?;
                break;
            }
            self.take(place, &mut file)?;
            self.sums.add(file.sum()?);
        }
        if !is_whole {
            return Err(RestoreError::CutOff("its last file is missing".to_owned()));
        }
        // What follows is the end of the archive, and the checksum of the compression.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| unreadable(&error))?;
        self.conclude()
    }

    /// Tells whether a file may come now: the first two are the ones that say what the others are.
    fn is_expected(&self, place: &Place) -> bool {
        let n_files = self.sums.len();
        match place {
            Place::Head => n_files == 0,
            Place::Manifest => n_files == 1,
            Place::Dictionary(_) | Place::Settings | Place::Sums => n_files >= 2,
            Place::Members(folder) | Place::Records(folder, _) => {
                let manifest = self.manifest.as_ref();
                let mut entries = manifest.iter().flat_map(|manifest| &manifest.partitions);
                entries.any(|entry| entry.folder == *folder)
            }
        }
    }

    fn unexpected(&self, name: &str) -> RestoreError {
        let name: String = name.chars().take(100).collect();
        let told = format!("{name:?} is no file of one at this place");
        if self.sums.len() == 0 {
            return RestoreError::Foreign(told);
        }
        RestoreError::Damaged(told)
    }

    /// Tells what cannot be read at all from what ends too early.
    fn broken(&self, error: &io::Error) -> RestoreError {
        if self.sums.len() == 0 {
            return RestoreError::Foreign(error.to_string());
        }
        unreadable(error)
    }

    fn take(&mut self, place: Place, file: &mut Incoming<impl Read>) -> Result<(), RestoreError> {
        match place {
            Place::Head => check_head(&file.whole()?),
            Place::Manifest => {
                let bytes = file.whole()?;
                let path = self.dir.join(MANIFEST);
                write_durably(&path, &bytes).map_err(failed("writing", &path))?;
                self.manifest = Some(migrations::look(&self.dir)?);
                Ok(())
            }
            Place::Dictionary(name) => {
                let path = self.dir.join(DICTIONARIES).join(name);
                let bytes = file.whole()?;
                write_durably(&path, &bytes).map_err(failed("writing", &path))
            }
            Place::Settings => {
                while let Some((key, payload)) = file.record(CONTROL_VALUE_BYTES_MAX)? {
                    self.settings.add(key, payload);
                }
                Ok(())
            }
            Place::Members(folder) => {
                self.begin_partition(&folder)?;
                let path = self.dir.join(PARTITIONS).join(folder).join(MEMBERS);
                let bytes = file.whole()?;
                write_durably(&path, &bytes).map_err(failed("writing", &path))
            }
            Place::Records(folder, tree) => {
                let is_current = |handle: &&Handle| handle.dir().ends_with(&folder);
                let Some(handle) = self.current.as_ref().filter(is_current) else {
                    return Err(self.unexpected(&file.name));
                };
                while let Some((key, value)) = file.record(VALUE_BYTES_MAX)? {
                    let inserted = handle.with(|opened| opened.engine().insert(tree, &key, &value));
                    inserted.map_err(|error| engine_failed(handle, &error))?;
                }
                Ok(())
            }
            Place::Sums => Ok(()),
        }
    }

    fn begin_partition(&mut self, folder: &str) -> Result<(), RestoreError> {
        self.end_partition()?;
        let dir = self.dir.join(PARTITIONS).join(folder);
        if dir.exists() {
            return Err(RestoreError::Damaged(format!("{folder} comes twice")));
        }
        let handle = Handle::new(Arc::clone(&self.engine), dir, CACHE_BYTES);
        handle
            .create()
            .map_err(|error| engine_failed(&handle, &error))?;
        self.n_partitions += 1;
        self.current = Some(handle);
        Ok(())
    }

    /// Makes the partition durable and has it opened once more, which writes the snapshot that makes opening quick.
    fn end_partition(&mut self) -> Result<(), RestoreError> {
        let Some(handle) = self.current.take() else {
            return Ok(());
        };
        let ended = handle.with(Opened::sync).and_then(|()| {
            handle.close();
            handle.with(Opened::sync)
        });
        handle.close();
        ended.map_err(|error| engine_failed(&handle, &error))
    }

    fn compare(&self, file: &mut Incoming<impl Read>) -> Result<(), RestoreError> {
        let damaged = |what: String| RestoreError::Damaged(what);
        let text = String::from_utf8(file.whole()?);
        let expected = text.ok().and_then(|text| Sums::parse(&text));
        let expected = expected.ok_or_else(|| damaged(format!("{SUMS} cannot be read")))?;
        let difference = self.sums.difference(&expected);
        difference.map_or(Ok(()), |difference| Err(damaged(difference)))
    }

    /// Ends what is whole, but for its name.
    fn conclude(mut self) -> Result<Restored, RestoreError> {
        self.end_partition()?;
        let manifest = self.manifest.as_ref();
        let n_listed = manifest.map_or(0, |manifest| manifest.partitions.len());
        if n_listed != self.n_partitions {
            let n_partitions = self.n_partitions;
            let text = format!("of {n_listed} listed partitions, {n_partitions} are there");
            return Err(RestoreError::Damaged(text));
        }
        let control = SledControl::open(&self.dir)?;
        let put = control.take(&self.settings).and_then(|()| control.close());
        put.map_err(|error| RestoreError::Io {
            action: "writing the settings in",
            path: self.dir.clone(),
            source: io::Error::other(error),
        })?;
        for folder in [PARTITIONS, DICTIONARIES, ""] {
            let path = self.dir.join(folder);
            let synced = File::open(&path).and_then(|dir| dir.sync_all());
            synced.map_err(failed("syncing", &path))?;
        }
        Ok(Restored {
            n_partitions: self.n_partitions,
            n_bytes: self.sums.n_bytes(),
        })
    }
}

fn check_head(bytes: &[u8]) -> Result<(), RestoreError> {
    let text = std::str::from_utf8(bytes).ok();
    let format = text.and_then(|text| text.strip_prefix(HEAD_WORDS)?.trim().parse::<u32>().ok());
    match format {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(RestoreError::Newer {
            found,
            known: FORMAT,
        }),
        _ => Err(RestoreError::Foreign(
            "its first file is another".to_owned(),
        )),
    }
}

/// A key and its value.
type Stored = (Vec<u8>, Vec<u8>);

/// A file of a backup as it comes.
struct Incoming<R> {
    name: String,
    content: R,
    n_bytes: u64,
    n_read: u64,
    crc: u32,
}

impl<'a, R: Read> Incoming<Entry<'a, R>> {
    fn of(entry: Entry<'a, R>) -> Result<Self, RestoreError> {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !entry.header().entry_type().is_file() {
            return Err(RestoreError::Damaged(format!("{name:?} is no file")));
        }
        Ok(Self {
            n_bytes: entry.size(),
            name,
            content: entry,
            n_read: 0,
            crc: 0,
        })
    }
}

impl<R: Read> Incoming<R> {
    /// Returns all of a file that is small.
    fn whole(&mut self) -> Result<Vec<u8>, RestoreError> {
        if self.n_bytes > SMALL_BYTES_MAX {
            let text = format!("{} has {} bytes", self.name, self.n_bytes);
            return Err(RestoreError::Damaged(text));
        }
        let n_bytes = usize::try_from(self.n_bytes).unwrap_or(usize::MAX);
        self.exactly(n_bytes)
    }

    /// Returns the next record of a file of records; nothing at its end.
    fn record(&mut self, value_bytes_max: usize) -> Result<Option<Stored>, RestoreError> {
        if self.n_read == self.n_bytes {
            return Ok(None);
        }
        let (key_len, value_len) = (self.length()?, self.length()?);
        if key_len > KEY_BYTES_MAX || value_len > value_bytes_max {
            let text = format!("{} has a record that is too large", self.name);
            return Err(RestoreError::Damaged(text));
        }
        Ok(Some((self.exactly(key_len)?, self.exactly(value_len)?)))
    }

    fn length(&mut self) -> Result<usize, RestoreError> {
        let bytes = self.exactly(4)?;
        let length = bytes.try_into().map_or(u32::MAX, u32::from_be_bytes);
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn exactly(&mut self, n_bytes: usize) -> Result<Vec<u8>, RestoreError> {
        let limit = u64::try_from(n_bytes).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        let read = (&mut self.content).take(limit).read_to_end(&mut bytes);
        read.map_err(|error| unreadable(&error))?;
        if bytes.len() < n_bytes {
            let text = format!("{} ends in the middle", self.name);
            return Err(RestoreError::CutOff(text));
        }
        self.n_read += limit;
        self.crc = crc32c::crc32c_append(self.crc, &bytes);
        Ok(bytes)
    }

    fn sum(&self) -> Result<Sum, RestoreError> {
        if self.n_read != self.n_bytes {
            let text = format!("{} is longer than it should be", self.name);
            return Err(RestoreError::Damaged(text));
        }
        Ok(Sum {
            name: self.name.clone(),
            n_bytes: self.n_bytes,
            crc: self.crc,
        })
    }
}

fn unreadable(error: &io::Error) -> RestoreError {
    match error.kind() {
        ErrorKind::UnexpectedEof => RestoreError::CutOff(error.to_string()),
        _ => RestoreError::Damaged(error.to_string()),
    }
}

fn engine_failed(handle: &Handle, error: &EngineError) -> RestoreError {
    failed("writing", handle.dir())(io::Error::other(error.to_string()))
}

/// What is loaded whole: manifests, dictionaries, members of a partition.
const SMALL_BYTES_MAX: u64 = 1 << 30;
const KEY_BYTES_MAX: usize = 64 << 10;
const CACHE_BYTES: u64 = 64 << 20;
