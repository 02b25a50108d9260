//! How far a replay is, kept in a small file so that another run can go on.
//!
//! The first line is JSON: what is replayed, and how. Each further line is written behind it and synced: `3-7`, the items
//! from 3 and before 7 are done, or `@3 PLACE`, all before item 3 are done and it is found there. A last line without its
//! end is none. Now and then the file is written anew with what matters of it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::input::Place;
use super::ranges::Ranges;
use crate::exit::Stop;
use crate::spans::SpanFlags;

/// What is replayed, and how: with other settings, items that are done would have been others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// What tells the input from others.
    pub(super) inputs: String,
    /// Who is sent to.
    pub(super) to: String,
    /// Which traces are sent.
    pub(super) filter: Option<String>,
    /// How spans become documents.
    pub(super) spans: SpanFlags,
    /// What times are moved to, as it was said.
    pub(super) at: String,
    /// Whether ids are exchanged.
    pub(super) new_ids: bool,
    /// What new ids are made of.
    pub(super) seed: u64,
    /// How often all is sent.
    pub(super) n_rounds: u64,
    /// How far times are moved in the first round.
    pub(super) shift_secs: i64,
    /// How many items a round has.
    pub(super) n_items: u64,
}

/// What an earlier run left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    /// What it was about.
    pub(super) settings: Settings,
    /// The first item that may not be done, and where it is.
    pub(super) from: Option<(u64, String)>,
    /// Items that are done.
    pub(super) done: Ranges,
}

/// Keeps the progress of a replay; cloning is cheap.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    notes: mpsc::Sender<Note>,
}

#[derive(Debug)]
enum Note {
    /// A piece is about to be sent.
    Piece(Range<u64>, Place),
    /// Items are done; whoever waits is told once that is durable.
    Done(Vec<Range<u64>>, Option<oneshot::Sender<()>>),
}

/// The file and all that is known of what it says.
#[derive(Debug)]
struct Book {
    path: PathBuf,
    file: File,
    head: String,
    n_bytes: usize,
    n_bytes_kept: usize,
    done: Ranges,
    pieces: VecDeque<(Range<u64>, Place)>,
    /// All items before this one are done, and it is found there.
    from: Option<(u64, String)>,
}

impl Settings {
    /// Returns the name of the first option in which these settings differ from others, as people say it.
    pub(super) fn difference(&self, other: &Self) -> Option<&'static str> {
        let differences = [
            (self.inputs != other.inputs, "the recording"),
            (self.to != other.to, "--to"),
            (self.filter != other.filter, "--filter"),
            (self.spans != other.spans, "what becomes of spans"),
            (self.at != other.at, "--at"),
            (self.new_ids != other.new_ids, "--new-ids"),
            (self.seed != other.seed, "--seed"),
            (self.n_rounds != other.n_rounds, "--loop"),
            (self.n_items > other.n_items, "the length of the recording"),
        ];
        let mut differences = differences.into_iter();
        differences.find_map(|(differs, what)| differs.then_some(what))
    }
}

impl Saved {
    /// Returns what an earlier run left in a file; nothing if there is no file.
    ///
    /// # Errors
    /// Stops if the file is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Stop> {
        let told = |what: &dyn std::fmt::Display| {
            Stop::usage(format!("progress file {}: {what}", path.display()))
        };
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).map(Some).map_err(|what| told(&what)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'));
        let head = lines.next().unwrap_or_default();
        let settings = serde_json::from_str(head).map_err(|error| error.to_string())?;
        let mut saved = Self {
            settings,
            from: None,
            done: Ranges::default(),
        };
        for line in lines {
            saved
                .take(line)
                .ok_or_else(|| format!("{line:?} is no line of it"))?;
        }
        Ok(saved)
    }

    fn take(&mut self, line: &str) -> Option<()> {
        if let Some(from) = line.strip_prefix('@') {
            let (number, place) = from.split_once(' ')?;
            let number = number.parse().ok()?;
            self.done.add(&(0..number));
            self.from = Some((number, place.to_owned()));
            return Some(());
        }
        let (start, end) = line.split_once('-')?;
        self.done.add(&(start.parse().ok()?..end.parse().ok()?));
        Some(())
    }
}

impl Keeper {
    /// Begins a file, over an older one, or goes on with what was saved. The thread that is returned ends with the last keeper.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn begin(
        path: &Path,
        saved: Saved,
    ) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let mut book = Book {
            path: path.to_owned(),
            head: serde_json::to_string(&saved.settings)? + "\n",
            file: File::open("/dev/null")?,
            n_bytes: 0,
            n_bytes_kept: 0,
            done: saved.done,
            pieces: VecDeque::new(),
            from: saved.from,
        };
        book.write_anew()?;
        let (notes, taken) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("progress".to_owned());
        let thread = thread.spawn(move || book.keep(taken))?;
        Ok((Self { notes }, thread))
    }

    /// Takes note of a piece that is about to be sent.
    pub(super) async fn piece(&self, numbers: Range<u64>, place: Place) {
        // Who has failed is found out by those who wait for an acknowledgement.
        let _failed = self.notes.send(Note::Piece(numbers, place)).await;
    }

    /// Takes note of items that need not be sent.
    pub(super) async fn passed(&self, numbers: Range<u64>) {
        let _failed = self.notes.send(Note::Done(vec![numbers], None)).await;
    }

    /// Takes note of items that are done, and returns once that is durable; tells whether it is.
    pub(super) async fn done(&self, numbers: Vec<Range<u64>>) -> bool {
        let (tell, told) = oneshot::channel();
        let sent = self.notes.send(Note::Done(numbers, Some(tell))).await;
        sent.is_ok() && told.await.is_ok()
    }
}

impl Book {
    fn keep(mut self, mut notes: mpsc::Receiver<Note>) -> io::Result<()> {
        while let Some(first) = notes.blocking_recv() {
            let mut waiting = Vec::new();
            let mut lines = String::new();
            let mut next = Some(first);
            while let Some(note) = next {
                self.take(note, &mut lines, &mut waiting);
                next = if waiting.len() < QUEUE {
                    notes.try_recv().ok()
                } else {
                    None
                };
            }
            if waiting.is_empty() {
                continue;
            }
            self.write(&lines)?;
            for tell in waiting {
                let _gone = tell.send(());
            }
        }
        self.write_anew()
    }

    fn take(&mut self, note: Note, lines: &mut String, waiting: &mut Vec<oneshot::Sender<()>>) {
        match note {
            Note::Piece(numbers, place) => self.pieces.push_back((numbers, place)),
            Note::Done(numbers, tell) => {
                for numbers in numbers {
                    self.done.add(&numbers);
                    if tell.is_some() {
                        write_range(&numbers, lines);
                    }
                }
                waiting.extend(tell);
            }
        }
    }

    /// Writes lines, and in front of which piece all is done.
    fn write(&mut self, lines: &str) -> io::Result<()> {
        let mut lines = lines.to_owned();
        if self.advance() {
            self.write_from(&mut lines);
        }
        self.file.write_all(lines.as_bytes())?;
        self.file.sync_data()?;
        self.n_bytes += lines.len();
        if self.n_bytes > FILE_BYTES.max(2 * self.n_bytes_kept) {
            return self.write_anew();
        }
        Ok(())
    }

    /// Goes on to the first piece that is not done; tells whether that is another one than before.
    fn advance(&mut self) -> bool {
        let mut has_moved = false;
        while let Some((numbers, place)) = self.pieces.front() {
            if !self.done.holds(numbers) {
                let from = (numbers.start, place.to_string());
                has_moved = self.from.as_ref() != Some(&from);
                self.from = Some(from);
                break;
            }
            self.pieces.pop_front();
        }
        if let Some((number, _)) = &self.from {
            self.done.forget_below(*number);
        }
        has_moved
    }

    fn write_from(&self, lines: &mut String) {
        if let Some((number, place)) = &self.from {
            let _infallible = writeln!(lines, "@{number} {place}");
        }
    }

    /// Puts a new file in the place of the old one, in one step.
    fn write_anew(&mut self) -> io::Result<()> {
        self.advance();
        let mut text = self.head.clone();
        self.write_from(&mut text);
        for numbers in self.done.iter() {
            write_range(&numbers, &mut text);
        }
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let new = PathBuf::from(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        let folder = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        self.file = file;
        self.n_bytes = text.len();
        self.n_bytes_kept = text.len();
        Ok(())
    }
}

fn write_range(numbers: &Range<u64>, lines: &mut String) {
    let _infallible = writeln!(lines, "{}-{}", numbers.start, numbers.end);
}

/// How many notes may wait.
const QUEUE: usize = 1024;
/// Beyond this the file is written anew.
const FILE_BYTES: usize = 1 << 20;

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "ranges are what is meant")]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            inputs: "documents 1".to_owned(),
            to: "http://h".to_owned(),
            filter: None,
            spans: SpanFlags::default(),
            at: "now".to_owned(),
            new_ids: true,
            seed: 7,
            n_rounds: 1,
            shift_secs: -3,
            n_items: 9,
        }
    }

    fn begun() -> Saved {
        Saved {
            settings: settings(),
            from: None,
            done: Ranges::default(),
        }
    }

    fn check(lines: &str, from: Option<(u64, &str)>, done: &[Range<u64>]) {
        let head = serde_json::to_string(&settings()).unwrap();
        let saved = Saved::parse(&format!("{head}\n{lines}")).unwrap();
        let from = from.map(|(number, place)| (number, place.to_owned()));
        assert_eq!(saved.from, from, "{lines:?}");
        assert_eq!(saved.done.iter().collect::<Vec<_>>(), done, "{lines:?}");
    }

    #[test]
    fn lines_say_what_is_done() {
        check("", None, &[]);
        check("0-2\n3-4\n", None, &[0..2, 3..4]);
        check("3-4\n@2 a/b\n", Some((2, "a/b")), &[0..2, 3..4]);
        check("0-2\n3-", None, &[0..2]);
        check("0-2\n3-45", None, &[0..2]);
    }

    #[test]
    fn another_file_is_none() {
        for text in ["", "x", "{}\n", "0-2\n"] {
            assert!(Saved::parse(text).is_err(), "{text:?}");
        }
        let head = serde_json::to_string(&settings()).unwrap();
        assert!(Saved::parse(&format!("{head}\nnonsense\n")).is_err());
    }

    #[test]
    fn the_option_that_differs_is_named() {
        let mut other = settings();
        assert_eq!(settings().difference(&other), None);
        other.shift_secs = 100;
        other.n_items = 10;
        assert_eq!(settings().difference(&other), None);
        other.seed = 8;
        assert_eq!(settings().difference(&other), Some("--seed"));
        other.filter = Some("fault".to_owned());
        assert_eq!(settings().difference(&other), Some("--filter"));
        let spans = r#"{"indexed_attributes":["k"],"index_all_attributes":false,"log_groups":[],"consumer_segments":false}"#;
        let mut other = settings();
        other.spans = serde_json::from_str(spans).unwrap();
        let differs = settings().difference(&other);
        assert_eq!(differs, Some("what becomes of spans"));
    }

    #[tokio::test]
    async fn what_is_acknowledged_is_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.progress");
        let (keeper, thread) = Keeper::begin(&path, begun()).unwrap();
        let read = || Saved::read(&path).unwrap().unwrap();
        assert_eq!(read(), begun());
        keeper.piece(0..3, Place::Document(10)).await;
        keeper.piece(3..5, Place::Document(11)).await;
        assert!(keeper.done(vec![1..2, 3..4]).await);
        assert_eq!(read().from, Some((0, "10".to_owned())));
        assert_eq!(read().done.iter().collect::<Vec<_>>(), [1..2, 3..4]);
        keeper.passed(0..1).await;
        assert!(keeper.done(vec![2..3]).await);
        assert_eq!(read().from, Some((3, "11".to_owned())));
        assert_eq!(read().done.iter().collect::<Vec<_>>(), [0..4]);
        drop(keeper);
        thread.join().unwrap().unwrap();
        assert_eq!(read().done.iter().collect::<Vec<_>>(), [0..4]);

        let (keeper, thread) = Keeper::begin(&path, read()).unwrap();
        assert_eq!(read().done.iter().collect::<Vec<_>>(), [0..4]);
        drop(keeper);
        thread.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_long_file_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.progress");
        let (keeper, thread) = Keeper::begin(&path, begun()).unwrap();
        let n = 200_000_u64;
        keeper.piece(0..n + 1, Place::Document(0)).await;
        for batch in 0..4 {
            let odd = (0..n / 4).map(|number| number + batch * n / 4);
            let odd = odd.filter(|number| number % 2 == 1);
            assert!(
                keeper
                    .done(odd.map(|number| number..number + 1).collect())
                    .await
            );
        }
        // The second time nothing is new, and the file has grown enough.
        for _ in 0..2 {
            let even = (0..n).step_by(2);
            let even = even.map(|number| number..number + 1).collect();
            assert!(keeper.done(even).await);
        }
        assert!(fs::metadata(&path).unwrap().len() < 300);
        assert!(Saved::read(&path).unwrap().unwrap().done.holds(&(0..n)));
        drop(keeper);
        thread.join().unwrap().unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 300);
    }
}
