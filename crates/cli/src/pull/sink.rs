//! Where pulled traces go, slice by slice: what is written of a slice is durable at its end, and cut off if that never came.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use journal::{Call, Content, Door, Journal, Limits, Record};
use model::Timestamp;
use protocol::shapes::PutTraceSegmentsRequest;

use super::progress::{End, Noted};
use crate::client::Trace;
use crate::exit::Stop;
use crate::moving::Facts;
use crate::moving::form::Form;
use crate::moving::output::{Compression, Packer, beside, cannot_write, rename};
use crate::moving::split::split;

/// Where traces go.
pub(super) enum Sink {
    File(FileSink),
    Folder(FolderSink),
}

/// A file that gets its name when it is whole. Each slice is compressed for itself, so that the file may end behind any.
pub(super) struct FileSink {
    file: File,
    part: PathBuf,
    path: PathBuf,
    compression: Compression,
    packer: Option<Packer<BufWriter<File>>>,
    text: String,
}

/// A journal.
pub(super) struct FolderSink {
    journal: Journal,
    path: PathBuf,
    now: Timestamp,
    /// Held so that nobody else pulls there.
    _lock: File,
}

impl Sink {
    /// Opens the file where the last slice ended; nothing if all is there and it has its name.
    pub(super) fn file(
        path: &Path,
        compression: Compression,
        noted: &mut Noted,
    ) -> Result<Option<Self>, Stop> {
        let part = beside(path, "part");
        if noted.is_done() && !part.exists() && path.exists() {
            noted.remover()()?;
            return Ok(None);
        }
        let failed = |error: std::io::Error| cannot_write(&part, &error);
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false);
        let mut file = options.open(&part).map_err(failed)?;
        lock(&file, &part)?;
        let n_bytes = noted.state.end.n_bytes;
        let n_there = file.metadata().map_err(failed)?.len();
        if n_there < n_bytes {
            let (part, noted) = (part.display(), noted.path().display());
            return Err(Stop::usage(format!(
                "{part} is shorter than was noted; remove {noted} to begin anew"
            )));
        }
        noted.write()?;
        file.set_len(n_bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Some(Self::File(FileSink {
            file,
            part,
            path: path.to_owned(),
            compression,
            packer: None,
            text: String::new(),
        })))
    }

    /// Opens the folder as it was when the last slice ended.
    pub(super) fn folder(path: &Path, noted: &mut Noted, now: Timestamp) -> Result<Self, Stop> {
        let failed = |error: std::io::Error| cannot_write(path, &error);
        fs::create_dir_all(path).map_err(failed)?;
        let lock_path = path.join("pull.lock");
        let lock_file = File::create(&lock_path).map_err(failed)?;
        lock(&lock_file, &lock_path)?;
        if noted.path().exists() {
            cut(path, &noted.state.end).map_err(failed)?;
        } else {
            noted.state.end = end_of(last_journal(path)).map_err(failed)?;
            noted.write()?;
        }
        let limits = Limits {
            dir_bytes_max: NO_LIMIT,
            ..Limits::default()
        };
        let opened = Journal::open_folder(path, &limits, now).map_err(Stop::failed)?;
        Ok(Self::Folder(FolderSink {
            journal: opened.journal,
            path: path.to_owned(),
            now,
            _lock: lock_file,
        }))
    }

    /// Begins a slice.
    pub(super) fn begin(&mut self) -> Result<(), Stop> {
        let Self::File(sink) = self else {
            return Ok(());
        };
        let file = sink.file.try_clone();
        let packer = file.and_then(|file| Packer::new(BufWriter::new(file), sink.compression));
        sink.packer = Some(packer.map_err(|error| cannot_write(&sink.part, &error))?);
        Ok(())
    }

    /// Writes a trace; tells whether there was anything to write.
    pub(super) fn write(&mut self, trace: &Trace) -> Result<bool, Stop> {
        match self {
            Self::File(sink) => sink.write(trace),
            Self::Folder(sink) => sink.write(trace),
        }
    }

    /// Makes the slice durable and returns where it ends.
    pub(super) fn end(&mut self) -> Result<End, Stop> {
        match self {
            Self::File(sink) => {
                let end = sink.end();
                end.map_err(|error| cannot_write(&sink.part, &error))
            }
            Self::Folder(sink) => {
                sink.journal.flush(sink.now).map_err(Stop::failed)?;
                let current = Some(sink.journal.path().to_owned());
                end_of(current).map_err(|error| cannot_write(&sink.path, &error))
            }
        }
    }

    /// Makes the output whole, and forgets how it came about.
    pub(super) fn finish(self, forget: impl FnOnce() -> Result<(), Stop>) -> Result<(), Stop> {
        if let Self::File(sink) = &self {
            let renamed = rename(&sink.part, &sink.path);
            renamed.map_err(|error| cannot_write(&sink.path, &error))?;
        }
        forget()
    }
}

impl FileSink {
    fn write(&mut self, trace: &Trace) -> Result<bool, Stop> {
        self.text.clear();
        Form::Xray.write(trace, false, &mut self.text);
        if let Some(packer) = &mut self.packer {
            let written = packer.write_all(self.text.as_bytes());
            written.map_err(|error| cannot_write(&self.part, &error))?;
        }
        Ok(!self.text.is_empty())
    }

    fn end(&mut self) -> std::io::Result<End> {
        if let Some(packer) = self.packer.take() {
            packer.finish()?.flush()?;
        }
        self.file.sync_data()?;
        Ok(End {
            file: None,
            n_bytes: self.file.metadata()?.len(),
        })
    }
}

impl FolderSink {
    fn write(&mut self, trace: &Trace) -> Result<bool, Stop> {
        let mut texts = Vec::new();
        let mut latest = Timestamp::ZERO;
        for segment in &trace.segments {
            let facts = Facts::of(&segment.document);
            if facts.is_inferred() {
                continue;
            }
            latest = latest.max(facts.latest().unwrap_or_default());
            texts.extend(split(segment.document.clone()));
        }
        for batch in texts.chunks(DOCUMENTS_PER_CALL) {
            let documents = batch.iter().map(|text| text.as_str().into());
            let request = PutTraceSegmentsRequest {
                trace_segment_documents: documents.collect(),
            };
            let body = serde_json::to_vec(&request).map_err(Stop::failed)?;
            let headers = [("content-type", &b"application/json"[..])];
            let call = Call::new("POST", "/TraceSegments", headers, body.into());
            let record = Record {
                at: latest,
                door: Door::Api,
                account: None,
                peer: None,
                content: Content::Http(call),
                verdicts: None,
            };
            self.journal
                .append(&record, self.now)
                .map_err(Stop::failed)?;
        }
        Ok(!texts.is_empty())
    }
}

/// Returns the last journal file of a folder, if it has any.
pub(super) fn last_journal(folder: &Path) -> Option<PathBuf> {
    journals(folder).ok()?.into_iter().max()
}

fn journals(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "journal")
        {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Returns where a folder ends whose last file has this path.
fn end_of(last: Option<PathBuf>) -> std::io::Result<End> {
    let Some(last) = last else {
        return Ok(End::default());
    };
    let n_bytes = fs::metadata(&last)?.len();
    let name = last
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Ok(End {
        file: name,
        n_bytes,
    })
}

/// Cuts off what was written behind the end: names of files are in their order.
fn cut(folder: &Path, end: &End) -> std::io::Result<()> {
    let last = end.file.as_ref().map(|file| folder.join(file));
    for path in journals(folder)? {
        if Some(&path) > last.as_ref() {
            fs::remove_file(&path)?;
        } else if Some(&path) == last.as_ref() {
            let file = OpenOptions::new().write(true).open(&path)?;
            file.set_len(end.n_bytes)?;
            file.sync_all()?;
        }
    }
    Ok(())
}

fn lock(file: &File, path: &Path) -> Result<(), Stop> {
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => {
            Stop::usage(format!("another pull writes to {}", path.display()))
        }
        fs::TryLockError::Error(error) => cannot_write(path, &error),
    })
}

const DOCUMENTS_PER_CALL: usize = 50;
/// Nothing that was pulled is removed to make room.
const NO_LIMIT: u64 = 1 << 62;
