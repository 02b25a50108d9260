//! Reads files and hands on what is to be sent, batch by batch. It blocks, so it has a thread of its own; the channel to
//! who sends holds it back.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufReader, Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;

use model::Timestamp;
use otlp::Rules;
use replay::{Rewrite, Shift};
use tokio::sync::mpsc::Sender;

use super::elements::{Elements, Findings, Flow, Format};
use super::frames::{Frames, is_binary};
use super::scan::{Place, Scanner};
use crate::exit::Stop;
use crate::moving::split::split;
use crate::moving::{Facts, input};
use crate::terminal::Progress;

/// What is read, and how.
pub(super) struct Job {
    pub(super) sources: Vec<Source>,
    pub(super) format: Format,
    /// Whether what is bad is passed over; else the first of it is the end.
    pub(super) skip_bad: bool,
    /// How spans become documents.
    pub(super) rules: Rules,
    /// Documents of a batch.
    pub(super) n_batch: usize,
    pub(super) now: Timestamp,
    /// What is told how many bytes were read; nothing if nobody knows how many there are.
    pub(super) meter: Option<Arc<Progress>>,
}

/// A file, or standard input.
pub(super) struct Source {
    pub(super) name: String,
    from: From,
}

enum From {
    Path(PathBuf),
    Stdin,
    /// What came from standard input, to be read several times.
    Kept(File),
}

/// What is handed on.
#[derive(Debug)]
pub(super) enum Item {
    Batch(Vec<Document>),
    /// What cannot be sent, and why.
    Bad(String),
    /// The end, and how many segments were left out that servers made up.
    End {
        n_inferred: u64,
    },
}

/// A document that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) text: String,
    /// The same for copies of one document.
    pub(super) key: u64,
    /// Which of the files it is from.
    pub(super) source_idx: usize,
    pub(super) place: Place,
}

impl Source {
    /// Returns the file of a path, "-" for standard input.
    pub(super) fn of(path: &PathBuf) -> Result<Self, Stop> {
        if path.as_os_str() == "-" {
            return Ok(Self {
                name: "standard input".to_owned(),
                from: From::Stdin,
            });
        }
        let name = path.display().to_string();
        // Told before anything is sent.
        File::open(path).map_err(|error| Stop::usage(format!("cannot read {name}: {error}")))?;
        Ok(Self {
            name,
            from: From::Path(path.clone()),
        })
    }

    /// Makes it one that can be read several times.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        if matches!(self.from, From::Stdin) {
            self.from = From::Kept(input::kept(io::stdin().lock())?);
        }
        Ok(())
    }

    /// Returns how many bytes there are to read, if that is known before.
    pub(super) fn n_bytes(&self) -> Option<u64> {
        let From::Path(path) = &self.from else {
            return None;
        };
        let metadata = std::fs::metadata(path).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    fn open(&self, meter: Option<&Arc<Progress>>) -> io::Result<Box<dyn Read + Send>> {
        let source: Box<dyn Read + Send> = match &self.from {
            From::Path(path) => {
                let file = File::open(path)?;
                match meter.map(Arc::clone) {
                    Some(meter) => Box::new(Metered { file, meter }),
                    None => Box::new(file),
                }
            }
            From::Stdin => Box::new(io::stdin()),
            From::Kept(file) => {
                let mut file = file.try_clone()?;
                file.rewind()?;
                Box::new(file)
            }
        };
        input::unpacked(source)
    }

    /// Returns a place in it as people are told.
    pub(super) fn place(&self, place: Place) -> String {
        let Place {
            line,
            offset,
            number,
        } = place;
        format!(
            "{}: element {number}, line {line}, byte {offset}",
            self.name
        )
    }
}

impl Job {
    /// Hands on all documents, in their order, moved in time if they are to be.
    pub(super) fn send(&self, shift: Option<Shift>, sender: Sender<Item>) {
        let mut batcher = Batcher {
            job: self,
            sender,
            rewrite: shift.map(|shift| Rewrite { shift, ids: None }),
            source_idx: 0,
            batch: Vec::new(),
            batch_bytes: 0,
            n_inferred: 0,
        };
        self.read(&mut batcher);
        batcher.hand_on();
        let n_inferred = batcher.n_inferred;
        // Who does not listen any more does not care.
        let _unheard = batcher.sender.blocking_send(Item::End { n_inferred });
    }

    /// Returns the latest time of all documents, nothing if there are none.
    pub(super) fn latest(&self) -> Option<Timestamp> {
        let mut latest = Latest {
            skip_bad: self.skip_bad,
            found: None,
        };
        self.read(&mut latest);
        latest.found
    }

    fn read(&self, findings: &mut impl Finder) {
        for (source_idx, source) in self.sources.iter().enumerate() {
            findings.begin(source_idx);
            let mut elements = Elements::new(self.format, self.rules.clone(), self.now);
            let read = source
                .open(self.meter.as_ref())
                .and_then(|opened| read_one(opened, &mut elements, findings));
            let flow = match read {
                Ok(flow) => flow,
                Err(error) => findings.bad(format!("cannot be read on: {error}"), Place::default()),
            };
            if elements.flush(findings) == Flow::Stop || flow == Flow::Stop {
                return;
            }
        }
    }
}

/// Findings of several files.
trait Finder: Findings {
    fn begin(&mut self, source_idx: usize);
}

fn read_one(
    mut opened: Box<dyn Read + Send>,
    elements: &mut Elements,
    findings: &mut impl Findings,
) -> io::Result<Flow> {
    let mut head = Vec::new();
    let read = opened.by_ref().take(HEAD_BYTES).read_to_end(&mut head);
    let is_binary = is_binary(&head);
    // What was read before it broke off counts.
    let broken = BrokenOff(read.err());
    let whole = io::Cursor::new(head).chain(broken).chain(opened);
    if is_binary {
        let mut frames = Frames::new(BufReader::new(whole));
        while let Some((place, message)) = frames.next() {
            let flow = match message {
                Ok(message) => elements.protobuf(&message, place, findings),
                // Where the next message begins is not known either.
                Err(message) => {
                    findings.bad(message, place);
                    return Ok(Flow::On);
                }
            };
            if flow == Flow::Stop {
                return Ok(flow);
            }
        }
        return Ok(Flow::On);
    }
    let mut scanner = Scanner::new(whole);
    while let Some(element) = scanner.next()? {
        let flow = match &element.json {
            Ok(json) => elements.json(json, element.member, element.place, findings),
            Err(message) if element.is_last => {
                let message = format!("{message}; what follows cannot be read");
                findings.bad(message, element.place)
            }
            Err(message) => findings.bad(message.clone(), element.place),
        };
        if flow == Flow::Stop {
            return Ok(flow);
        }
    }
    Ok(Flow::On)
}

/// A file that tells how much of it was read.
struct Metered {
    file: File,
    meter: Arc<Progress>,
}

impl Read for Metered {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.file.read(bytes)?;
        self.meter
            .advance(u64::try_from(n_bytes).unwrap_or_default());
        Ok(n_bytes)
    }
}

/// The place at which a file cannot be read on, if there is one.
struct BrokenOff(Option<io::Error>);

impl Read for BrokenOff {
    fn read(&mut self, _bytes: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Gathers documents to be sent.
struct Batcher<'j> {
    job: &'j Job,
    sender: Sender<Item>,
    rewrite: Option<Rewrite>,
    source_idx: usize,
    batch: Vec<Document>,
    batch_bytes: usize,
    n_inferred: u64,
}

impl Batcher<'_> {
    fn hand_on(&mut self) -> Flow {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if batch.is_empty() {
            return Flow::On;
        }
        self.tell(Item::Batch(batch))
    }

    fn tell(&self, item: Item) -> Flow {
        match self.sender.blocking_send(item) {
            Ok(()) => Flow::On,
            Err(_) => Flow::Stop,
        }
    }

    fn push(&mut self, text: String, key: u64, place: Place) -> Flow {
        let is_full =
            self.batch.len() >= self.job.n_batch || self.batch_bytes + text.len() > BATCH_BYTES_MAX;
        let flow = if is_full { self.hand_on() } else { Flow::On };
        self.batch_bytes += text.len();
        self.batch.push(Document {
            text,
            key,
            source_idx: self.source_idx,
            place,
        });
        flow
    }
}

impl Findings for Batcher<'_> {
    fn document(&mut self, text: String, place: Place) -> Flow {
        let facts = Facts::of(&text);
        if facts.is_inferred() {
            self.n_inferred += 1;
            return Flow::On;
        }
        let mut hasher = DefaultHasher::new();
        let ids = [facts.trace_id, facts.id].map(|id| id.map(serde_json::value::RawValue::get));
        ids.hash(&mut hasher);
        let key = hasher.finish();
        let text = match &self.rewrite {
            Some(rewrite) => match rewrite.document(&text) {
                Ok(moved) => moved.into_owned(),
                Err(error) => return self.bad(error.to_string(), place),
            },
            None => text,
        };
        let texts = split(text);
        // Parts of one document go in one call or in several; none of them is a copy of another.
        let mut flow = Flow::On;
        for text in texts {
            if self.push(text, key, place) == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        flow
    }

    fn bad(&mut self, message: String, place: Place) -> Flow {
        // What was good before it is not lost.
        if self.hand_on() == Flow::Stop {
            return Flow::Stop;
        }
        let source = self.job.sources.get(self.source_idx);
        let place = source.map(|source| source.place(place)).unwrap_or_default();
        let told = self.tell(Item::Bad(format!("{place}: {message}")));
        if self.job.skip_bad { told } else { Flow::Stop }
    }
}

impl Finder for Batcher<'_> {
    fn begin(&mut self, source_idx: usize) {
        self.source_idx = source_idx;
    }
}

/// Looks for the latest time.
struct Latest {
    skip_bad: bool,
    found: Option<Timestamp>,
}

impl Findings for Latest {
    fn document(&mut self, text: String, _place: Place) -> Flow {
        let facts = Facts::of(&text);
        if !facts.is_inferred() {
            self.found = self.found.max(facts.latest());
        }
        Flow::On
    }

    fn bad(&mut self, _message: String, _place: Place) -> Flow {
        if self.skip_bad { Flow::On } else { Flow::Stop }
    }
}

impl Finder for Latest {
    fn begin(&mut self, _source_idx: usize) {}
}

/// Escaped twice over, this still fits the server's default limit of 16 MiB.
const BATCH_BYTES_MAX: usize = 4 << 20;
const HEAD_BYTES: u64 = 256;
