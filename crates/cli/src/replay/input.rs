//! What is replayed, piece by piece in the order in which it is sent: a journal, or documents sorted by their own times.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use journal::{Content, Position, ReadError, Reader, Record};
use model::Timestamp;
use otlp::Rules;
use protocol::Operation;

use super::opened::{Opened, open, operation};
use super::spool::Spool;
use crate::exit::{Exit, Stop};
use crate::terminal::note;

/// What a recording is read from, again and again from its beginning if need be.
#[derive(Debug)]
pub(super) struct Input {
    source: Source,
    /// How spans become documents.
    rules: Rules,
    /// The number of the item that comes next.
    next_item: u64,
    /// How many there are of each kind of thing that is not sent, since the input was rewound.
    passed_over: BTreeMap<&'static str, u64>,
    /// Whether damage was told already.
    is_told: bool,
}

/// What arrived together.
#[derive(Debug)]
pub(super) struct Piece {
    /// When it arrived.
    pub(super) at: Timestamp,
    /// Where it is, to begin there later.
    pub(super) place: Place,
    /// The number of its first item: every document is one, and every call that is sent as a whole.
    pub(super) first_item: u64,
    /// What it brought.
    pub(super) items: Items,
    /// How long its answer took when it was recorded, if that is known, and of what.
    pub(super) took: Option<(Operation, Duration)>,
}

/// What is sent.
#[derive(Debug)]
pub(super) enum Items {
    /// Segment documents.
    Documents(Vec<String>),
    /// A call that is sent as a whole.
    Call(Operation, Bytes),
}

/// Where a piece is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In a journal.
    Journal(Position),
    /// Among sorted documents.
    Document(usize),
}

#[derive(Debug)]
enum Source {
    Journal {
        reader: Box<Reader>,
        /// Nothing if there are no files.
        start: Option<Position>,
    },
    Documents(Spool),
}

impl Items {
    /// Returns how many there are.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Documents(documents) => u64::try_from(documents.len()).unwrap_or(u64::MAX),
            Self::Call(..) => 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(position) => position.fmt(f),
            Self::Document(number) => number.fmt(f),
        }
    }
}

impl Input {
    /// Opens journals, or files of documents; "-" is standard input. Spans become documents by these rules.
    ///
    /// # Errors
    /// Stops if a file cannot be read, or there are both kinds.
    pub(super) fn open(paths: &[PathBuf], rules: Rules) -> Result<Self, Stop> {
        let mut n_journals = 0;
        for path in paths {
            n_journals += usize::from(is_journal(path)?);
        }
        let source = if n_journals == paths.len() {
            let reader = Reader::open(paths).map_err(unreadable)?;
            Source::Journal {
                start: Reader::position(&reader),
                reader: Box::new(reader),
            }
        } else if n_journals == 0 {
            Source::Documents(Spool::of(paths)?)
        } else {
            let message = "journals and files of documents cannot be replayed together";
            return Err(Stop::usage(message));
        };
        Ok(Self {
            source,
            rules,
            next_item: 0,
            passed_over: BTreeMap::new(),
            is_told: false,
        })
    }

    /// Returns what tells this input from others.
    pub(super) fn fingerprint(&self) -> String {
        match &self.source {
            Source::Journal { start, .. } => {
                start.map_or_else(|| "empty".to_owned(), |start| format!("journal {start}"))
            }
            Source::Documents(spool) => format!("documents {}", spool.fingerprint()),
        }
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) -> Result<(), Stop> {
        self.next_item = 0;
        self.passed_over.clear();
        match &mut self.source {
            Source::Journal { reader, start } => match start {
                Some(start) => reader.seek(start).map_err(unreadable),
                None => Ok(()),
            },
            Source::Documents(spool) => {
                spool.seek(0);
                Ok(())
            }
        }
    }

    /// Goes to the place of a piece, as text, and the number of its first item.
    pub(super) fn seek(&mut self, place: &str, first_item: u64) -> Result<(), Stop> {
        let wrong = || Stop::usage(format!("{place:?} is no place in this recording"));
        self.next_item = first_item;
        match &mut self.source {
            Source::Journal { reader, .. } => {
                let position = place.parse().map_err(|_| wrong())?;
                reader.seek(&position).map_err(unreadable)
            }
            Source::Documents(spool) => {
                spool.seek(place.parse().map_err(|_| wrong())?);
                Ok(())
            }
        }
    }

    /// Returns the next piece that has something to be sent.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Stop> {
        loop {
            let Some((at, place, opened, took)) = self.read()? else {
                return Ok(None);
            };
            let items = match opened {
                Opened::Documents(documents) if documents.is_empty() => continue,
                Opened::Documents(documents) => Items::Documents(documents),
                Opened::Call(operation, body) => Items::Call(operation, body),
                Opened::PassedOver(what) => {
                    *self.passed_over.entry(what).or_default() += 1;
                    continue;
                }
            };
            let first_item = self.next_item;
            self.next_item += items.len();
            return Ok(Some(Piece {
                at,
                place,
                first_item,
                items,
                took,
            }));
        }
    }

    /// Returns how many there were of each kind of thing that is not sent.
    pub(super) fn passed_over(&self) -> BTreeMap<&'static str, u64> {
        let mut passed_over = self.passed_over.clone();
        let (what, n) = match &self.source {
            Source::Journal { reader, .. } => ("records of later versions", reader.n_unknown()),
            Source::Documents(spool) => ("inferred segments", spool.n_inferred()),
        };
        if n > 0 {
            passed_over.insert(what, n);
        }
        passed_over
    }

    #[expect(clippy::type_complexity, reason = "taken apart by its only caller")]
    fn read(
        &mut self,
    ) -> Result<Option<(Timestamp, Place, Opened, Option<(Operation, Duration)>)>, Stop> {
        let reader = match &mut self.source {
            Source::Documents(spool) => {
                let place = Place::Document(spool.next_place());
                let next = spool.next()?;
                return Ok(next.map(|(at, text)| (at, place, Opened::Documents(vec![text]), None)));
            }
            Source::Journal { reader, .. } => reader,
        };
        loop {
            let place = Reader::position(reader);
            let (Some(place), Some(next)) = (place, reader.next()) else {
                return Ok(None);
            };
            match next {
                Ok(record) => {
                    let place = Place::Journal(place);
                    return Ok(Some((
                        record.at,
                        place,
                        open(&record, &self.rules),
                        took(&record),
                    )));
                }
                Err(error @ (ReadError::Damaged { .. } | ReadError::Malformed { .. })) => {
                    *self.passed_over.entry("damaged places").or_default() += 1;
                    if !std::mem::replace(&mut self.is_told, true) {
                        note(&format!("{error}; going on behind it"));
                    }
                }
                Err(error) => return Err(unreadable(error)),
            }
        }
    }
}

fn took(record: &Record) -> Option<(Operation, Duration)> {
    let Content::Http(call) = &record.content else {
        return None;
    };
    Some((operation(call)?, call.took()?))
}

fn is_journal(path: &PathBuf) -> Result<bool, Stop> {
    if path.as_os_str() == "-" {
        return Ok(false);
    }
    if path.is_dir() {
        return Ok(true);
    }
    let mut start = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start));
    read.map_err(|error| {
        Stop::new(
            Exit::Usage,
            format!("cannot read {}: {error}", path.display()),
        )
    })?;
    Ok(start == MAGIC)
}

fn unreadable(error: ReadError) -> Stop {
    Stop::new(Exit::Usage, error)
}

/// How a journal begins, see its format.
const MAGIC: &[u8] = b"RTGNJRNL";
