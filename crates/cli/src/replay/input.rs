//! What is replayed, piece by piece in the order in which it is sent: a journal, or documents sorted by their own times.
//!
//! Items are numbered in the order in which a journal has them, which is that in which calls ended; pieces come in the order in
//! which they arrived. So a place in the journal says what was read, whatever was sent of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use journal::{Content, Position, ReadError, Reader, Record};
use model::Timestamp;
use otlp::Rules;
use protocol::Operation;

use super::opened::{Opened, open, operation};
use super::spool::Spool;
use super::window::Window;
use crate::exit::{Exit, Stop};
use crate::terminal::note;

/// What a recording is read from, again and again from its beginning if need be.
#[derive(Debug)]
pub(super) struct Input {
    source: Source,
    /// How spans become documents.
    rules: Rules,
    /// The number of the item that is read next.
    next_item: u64,
    /// What was read and waits for its turn.
    window: Window<Piece>,
    /// Whether everything was read.
    is_over: bool,
    /// What was read to be sent; nothing as long as nothing is sent.
    sending: Option<ToSend>,
    /// How many there are of each kind of thing that is not sent, since the input was rewound.
    passed_over: BTreeMap<&'static str, u64>,
    /// Whether damage was told already.
    is_told: bool,
    /// Files that were removed before they could be read.
    removed: BTreeSet<PathBuf>,
}

/// What is read to be sent.
#[derive(Debug)]
struct ToSend {
    /// Items with a smaller number are.
    n_items: u64,
    /// What was read since this was last asked for.
    read: Vec<(Range<u64>, Place)>,
}

/// What arrived together.
#[derive(Debug)]
pub(super) struct Piece {
    /// When it arrived.
    pub(super) at: Timestamp,
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

    /// Returns how many bytes they have.
    pub(super) fn n_bytes(&self) -> usize {
        match self {
            Self::Documents(documents) => documents.iter().map(String::len).sum(),
            Self::Call(_, body) => body.len(),
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
            window: Window::default(),
            is_over: false,
            sending: None,
            passed_over: BTreeMap::new(),
            is_told: false,
            removed: BTreeSet::new(),
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

    /// Tells whether it is a journal.
    pub(super) const fn is_journal(&self) -> bool {
        matches!(self.source, Source::Journal { .. })
    }

    /// Begins to remember what is read, and from now on ends before the item with this number.
    pub(super) fn send_before(&mut self, n_items: u64) {
        self.sending = Some(ToSend {
            n_items,
            read: Vec::new(),
        });
    }

    /// Returns which items were read and where, since this was last asked for, in the order of their numbers.
    pub(super) fn read_since(&mut self) -> Vec<(Range<u64>, Place)> {
        let read = self.sending.as_mut().map(|sending| &mut sending.read);
        read.map(std::mem::take).unwrap_or_default()
    }

    /// Goes back to the beginning.
    pub(super) fn rewind(&mut self) -> Result<(), Stop> {
        self.leave(0);
        self.passed_over.clear();
        match &mut self.source {
            Source::Journal { reader, start } => match start.map(|start| reader.seek(&start)) {
                Some(Err(error)) => pass_removed(&mut self.removed, error),
                Some(Ok(())) | None => Ok(()),
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
        self.leave(first_item);
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

    /// Tells whether a place, as text, is in this journal, whatever was removed of it that came before.
    pub(super) fn holds(&mut self, place: &str) -> bool {
        let Source::Journal { reader, .. } = &mut self.source else {
            return false;
        };
        let position = place.parse();
        position.is_ok_and(|position: Position| reader.seek(&position).is_ok())
    }

    fn leave(&mut self, next_item: u64) {
        self.next_item = next_item;
        self.window.clear();
        self.is_over = false;
        self.read_since();
    }

    /// Returns the next piece that has something to be sent.
    pub(super) fn next(&mut self) -> Result<Option<Piece>, Stop> {
        loop {
            if let Some(piece) = self.window.next() {
                return Ok(Some(piece));
            }
            let is_at_end = match &self.sending {
                Some(sending) => self.next_item >= sending.n_items,
                None => false,
            };
            if self.is_over || is_at_end {
                return Ok(self.window.rest());
            }
            let Some((place, piece)) = self.next_read()? else {
                self.is_over = true;
                continue;
            };
            if let Some(sending) = &mut self.sending {
                let numbers = piece.first_item..self.next_item;
                sending.read.push((numbers, place));
            }
            match self.source {
                // They are sorted.
                Source::Documents(_) => return Ok(Some(piece)),
                Source::Journal { .. } => self.window.add(piece.at, piece.items.n_bytes(), piece),
            }
        }
    }

    /// Returns the next piece in the order in which they are read, and where it is.
    fn next_read(&mut self) -> Result<Option<(Place, Piece)>, Stop> {
        loop {
            let Some((at, place, opened, took)) = self.read()? else {
                return Ok(None);
            };
            let items = match opened {
                Opened::Documents(documents) if documents.is_empty() => continue,
                Opened::Documents(documents) => Items::Documents(documents),
                // A part of a block would keep all of it in memory.
                Opened::Call(operation, body) => {
                    Items::Call(operation, Bytes::copy_from_slice(&body))
                }
                Opened::PassedOver(what) => {
                    *self.passed_over.entry(what).or_default() += 1;
                    continue;
                }
            };
            let first_item = self.next_item;
            self.next_item += items.len();
            let piece = Piece {
                at,
                first_item,
                items,
                took,
            };
            return Ok(Some((place, piece)));
        }
    }

    /// Returns how many files were removed before they could be read.
    pub(super) fn n_removed(&self) -> u64 {
        u64::try_from(self.removed.len()).unwrap_or(u64::MAX)
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
                Err(error) => pass_removed(&mut self.removed, error)?,
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

/// Takes note of a file that its writer removed to stay within its limit; the reader is at the next one then.
fn pass_removed(removed: &mut BTreeSet<PathBuf>, error: ReadError) -> Result<(), Stop> {
    match error {
        ReadError::Io { path, source, .. } if source.kind() == ErrorKind::NotFound => {
            if removed.is_empty() {
                let path = path.display();
                note(&format!("{path} was removed meanwhile; going on behind it"));
            }
            removed.insert(path);
            Ok(())
        }
        other => Err(unreadable(other)),
    }
}

fn unreadable(error: ReadError) -> Stop {
    Stop::new(Exit::Usage, error)
}

/// How a journal begins, see its format.
const MAGIC: &[u8] = b"RTGNJRNL";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use journal::{Call, Door, Journal, Limits};

    use super::*;
    use crate::replay::progress::{Keeper, Saved, Settings};
    use crate::replay::ranges::Ranges;

    /// Writes calls in this order, which arrived at these milliseconds and have so many documents each.
    fn write(path: &Path, calls: &[(u64, usize)]) {
        let now = Timestamp::from_secs(1_700_000_000);
        let mut journal = Journal::open_file(path, &Limits::default(), now).unwrap();
        for (at_ms, n_documents) in calls {
            let documents: Vec<String> = (0..*n_documents)
                .map(|nth| format!("{at_ms}.{nth}"))
                .collect();
            let body = serde_json::json!({ "TraceSegmentDocuments": documents }).to_string();
            let record = Record {
                at: Timestamp::from_nanos(now.as_nanos() + at_ms * 1_000_000),
                door: Door::Api,
                account: None,
                peer: None,
                content: Content::Http(Call::new("POST", "/TraceSegments", [], body.into())),
                verdicts: None,
            };
            journal.journal.append(&record, now).unwrap();
        }
        journal.journal.flush(now).unwrap();
    }

    fn open(path: &Path) -> Input {
        Input::open(&[path.to_owned()], Rules::default()).unwrap()
    }

    fn texts(piece: Piece) -> Vec<(u64, String)> {
        let Items::Documents(documents) = piece.items else {
            panic!("no documents");
        };
        (piece.first_item..).zip(documents).collect()
    }

    fn all(input: &mut Input) -> Vec<(u64, String)> {
        let mut came = Vec::new();
        while let Some(piece) = input.next().unwrap() {
            came.extend(texts(piece));
        }
        came
    }

    fn expected(items: &[(u64, &str)]) -> Vec<(u64, String)> {
        items
            .iter()
            .map(|(number, text)| (*number, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn what_arrived_first_comes_first_and_is_numbered_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        write(&path, &[(5, 2), (3, 1), (9, 1), (4, 1)]);
        let mut input = open(&path);
        let whole = [(2, "3.0"), (4, "4.0"), (0, "5.0"), (1, "5.1"), (3, "9.0")];
        assert_eq!(all(&mut input), expected(&whole));
        assert!(input.read_since().is_empty(), "nothing is sent yet");
        // What was written since the plan was made is not sent.
        input.send_before(3);
        input.rewind().unwrap();
        assert_eq!(
            all(&mut input),
            expected(&[(2, "3.0"), (0, "5.0"), (1, "5.1")])
        );
        let read: Vec<Range<u64>> = input
            .read_since()
            .into_iter()
            .map(|(numbers, _)| numbers)
            .collect();
        assert_eq!(read, [0..2, 2..3]);
        assert!(input.read_since().is_empty());
    }

    fn settings(n_items: u64) -> Saved {
        let settings = Settings {
            inputs: String::new(),
            to: String::new(),
            filter: None,
            spans: crate::spans::SpanFlags::default(),
            at: String::new(),
            new_ids: false,
            seed: 0,
            n_rounds: 1,
            shift_secs: 0,
            n_items,
        };
        Saved {
            settings,
            from: None,
            done: Ranges::default(),
        }
    }

    /// Wherever a replay ends, another one sends the rest, and nothing that is noted.
    #[tokio::test]
    async fn a_replay_that_ends_anywhere_goes_on_without_repeating_anything() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        // Longer than the window, with calls that ended up to a minute late.
        let mut calls: Vec<(u64, u64)> = (0..60)
            .map(|nth| (nth * 5000, nth * 7919 % 60_000))
            .collect();
        calls.sort_by_key(|(at_ms, took_ms)| at_ms + took_ms);
        let calls: Vec<(u64, usize)> = (0..)
            .zip(&calls)
            .map(|(nth, (at_ms, _))| (*at_ms, 1 + nth % 3))
            .collect();
        write(&path, &calls);
        let whole = all(&mut open(&path));
        let n_items = u64::try_from(whole.len()).unwrap();
        for n_pieces in 0..=calls.len() {
            let progress = folder.path().join("progress");
            let (keeper, thread) = Keeper::begin(&progress, settings(n_items)).unwrap();
            let mut input = open(&path);
            input.send_before(n_items);
            let mut sent = Vec::new();
            for nth in 0..n_pieces {
                let piece = input.next().unwrap().unwrap();
                for (numbers, place) in input.read_since() {
                    keeper.piece(numbers, place).await;
                }
                // Some are lost on their way.
                if nth % 5 != 3 {
                    let numbers = piece.first_item..piece.first_item + piece.items.len();
                    assert!(keeper.done(vec![numbers]).await);
                    sent.extend(texts(piece));
                }
            }
            drop(keeper);
            thread.join().unwrap().unwrap();
            let saved = Saved::read(&progress).unwrap().unwrap();
            let mut input = open(&path);
            input.send_before(n_items);
            if let Some((number, place)) = &saved.from {
                assert!(input.holds(place));
                input.seek(place, *number).unwrap();
            }
            let rest = all(&mut input);
            let rest = rest
                .into_iter()
                .filter(|(number, _)| !saved.done.holds(&(*number..number + 1)));
            sent.extend(rest);
            sent.sort();
            let mut every = whole.clone();
            every.sort();
            assert_eq!(sent, every, "after {n_pieces} pieces");
        }
    }

    #[test]
    fn files_that_are_removed_meanwhile_are_passed_over_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Files are in the order of their first blocks where they were begun at one time.
        for (at_ms, name) in (1..).zip(["a.journal", "b.journal", "c.journal", "d.journal"]) {
            write(&path(name), &[(at_ms, 1)]);
        }
        let check = |removed: &[&str], rest: &[(u64, &str)]| {
            for (at_ms, name) in (1..).zip(["a.journal", "b.journal", "c.journal", "d.journal"]) {
                if !path(name).exists() {
                    write(&path(name), &[(at_ms, 1)]);
                }
            }
            let mut input = open(folder.path());
            for name in removed {
                std::fs::remove_file(path(name)).unwrap();
            }
            input.rewind().unwrap();
            assert_eq!(all(&mut input), expected(rest), "{removed:?}");
            let n_removed = u64::try_from(removed.len()).unwrap();
            assert_eq!(input.n_removed(), n_removed, "{removed:?}");
            input.rewind().unwrap();
            assert_eq!(all(&mut input), expected(rest), "{removed:?}");
            assert_eq!(input.n_removed(), n_removed, "{removed:?}");
        };
        check(&[], &[(0, "1.0"), (1, "2.0"), (2, "3.0"), (3, "4.0")]);
        check(&["a.journal"], &[(0, "2.0"), (1, "3.0"), (2, "4.0")]);
        check(&["b.journal", "c.journal"], &[(0, "1.0"), (1, "4.0")]);
        check(&["d.journal"], &[(0, "1.0"), (1, "2.0"), (2, "3.0")]);
        check(&["a.journal", "b.journal", "c.journal", "d.journal"], &[]);
    }

    #[test]
    fn a_place_is_held_whatever_was_removed_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.journal");
        write(&path, &[(1, 1), (2, 1)]);
        let mut input = open(&path);
        input.send_before(2);
        all(&mut input);
        let places: Vec<String> = input
            .read_since()
            .iter()
            .map(|(_, place)| place.to_string())
            .collect();
        assert!(places.iter().all(|place| input.holds(place)));
        assert!(!input.holds("1/2/3/4"));
        assert!(!input.holds("nonsense"));
    }
}
