//! How far a pull has come, noted in a file that is whole or the one before.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::exit::Stop;
use crate::moving::output::{Readers, Unfinished, cannot_write};
use crate::moving::slices::{Overlap, Slice};
use crate::times::Window;

/// A state, and where it is noted.
#[derive(Debug)]
pub(super) struct Noted {
    path: PathBuf,
    pub(super) state: State,
}

/// What a pull is, and how far it has come.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    pub(super) endpoint: String,
    pub(super) filter: Option<String>,
    /// The window as it was typed, which may mean another time later.
    pub(super) said: String,
    from_nanos: u64,
    to_nanos: u64,
    /// Up to when all traces are there.
    done_to_nanos: u64,
    /// What of that is asked for again, and which traces are there of it.
    pub(super) overlap: Overlap,
    pub(super) n_traces: u64,
    pub(super) n_missing: u64,
    /// The ids of traces that the server did not look at.
    pub(super) unprocessed: Vec<String>,
    /// Where that ends in the output.
    pub(super) end: End,
}

/// What became of some traces.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) n_traces: u64,
    pub(super) n_missing: u64,
    pub(super) unprocessed: Vec<String>,
}

/// Where what is done ends in the output.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct End {
    /// The last file, in a folder.
    pub(super) file: Option<String>,
    /// Its length.
    pub(super) n_bytes: u64,
}

impl State {
    pub(super) fn new(
        endpoint: String,
        filter: Option<String>,
        said: String,
        window: Window,
    ) -> Self {
        Self {
            version: VERSION,
            endpoint,
            filter,
            said,
            from_nanos: window.from.as_nanos(),
            to_nanos: window.to.as_nanos(),
            done_to_nanos: window.from.as_nanos(),
            overlap: Overlap::default(),
            n_traces: 0,
            n_missing: 0,
            unprocessed: Vec::new(),
            end: End::default(),
        }
    }

    pub(super) const fn to(&self) -> Timestamp {
        Timestamp::from_nanos(self.to_nanos)
    }

    pub(super) const fn done_to(&self) -> Timestamp {
        Timestamp::from_nanos(self.done_to_nanos)
    }
}

impl Noted {
    /// Returns a pull that begins; nothing is noted yet.
    pub(super) const fn new(path: PathBuf, state: State) -> Self {
        Self { path, state }
    }

    /// Returns what was noted, nothing if nothing was.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Stop> {
        let wrong = |error: &dyn std::fmt::Display| {
            Stop::usage(format!("cannot go on with {}: {error}", path.display()))
        };
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(&error)),
        };
        let state: State = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        if state.version != VERSION {
            return Err(wrong(&format!("it is of version {}", state.version)));
        }
        Ok(Some(Self::new(path.to_owned(), state)))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether all slices are done, and whatever the server did not look at at first.
    pub(super) const fn is_done(&self) -> bool {
        self.is_all_asked() && self.state.unprocessed.is_empty()
    }

    /// Tells whether all slices are done.
    pub(super) const fn is_all_asked(&self) -> bool {
        self.state.done_to_nanos >= self.state.to_nanos
    }

    /// Notes that a further slice is durable.
    pub(super) fn note(&mut self, slice: &Slice, done: Done, end: End) -> Result<(), Stop> {
        self.state.done_to_nanos = slice.window.to.as_nanos();
        self.state.overlap = slice.overlap.clone();
        self.state.unprocessed.extend(done.unprocessed);
        self.state.n_traces += done.n_traces;
        self.state.n_missing += done.n_missing;
        self.state.end = end;
        self.write()
    }

    /// Notes that what was asked for again is durable.
    pub(super) fn note_again(&mut self, done: Done, end: End) -> Result<(), Stop> {
        self.state.unprocessed = done.unprocessed;
        self.state.n_traces += done.n_traces;
        self.state.n_missing += done.n_missing;
        self.state.end = end;
        self.write()
    }

    /// Takes for gone what the server never looked at; that is noted nowhere.
    pub(super) fn give_up(&mut self) {
        let unprocessed = std::mem::take(&mut self.state.unprocessed);
        self.state.n_missing += u64::try_from(unprocessed.len()).unwrap_or_default();
    }

    /// Makes durable what is to be noted.
    pub(super) fn write(&self) -> Result<(), Stop> {
        let text = serde_json::to_string_pretty(&self.state).map_err(Stop::failed)?;
        let unfinished = Unfinished::begin(&self.path, Readers::Usual)?;
        let written = unfinished.file().write_all(format!("{text}\n").as_bytes());
        written.map_err(|error| cannot_write(&self.path, &error))?;
        unfinished.finish()
    }

    /// Returns what forgets everything, once the output is whole.
    pub(super) fn remover(&self) -> impl FnOnce() -> Result<(), Stop> + use<> {
        let path = self.path.clone();
        move || fs::remove_file(&path).map_err(|error| cannot_write(&path, &error))
    }
}

const VERSION: u32 = 2;
