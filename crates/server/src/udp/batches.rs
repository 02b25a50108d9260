//! What becomes of queued datagrams: opened, collected, taken in together.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ingest::Limits;
use ingest::datagram::{self, Framed};
use otlp::Encoding;
use protocol::ApiError;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{info, warn};

use super::owner;
use super::queue::Datagram;
use crate::accounts::Accounts;
use crate::app::App;
use crate::clock;
use crate::config::values::Unsampled;
use crate::handlers::in_memory;
use crate::handlers::spans::{Pieces, Reading};
use crate::house::House;
use crate::intake::rates::RateError;
use crate::intake::{self, IntakeError};
use crate::origin::{Doorway, Origin};
use crate::record;
use crate::refused::{self, Refused};

/// Takes in what is queued until nobody queues any more and nothing is left. From a deadline on, if one is given, what
/// is left is counted as lost.
pub(super) async fn take_in(
    accounts: Arc<Accounts>,
    mut queued: UnboundedReceiver<Datagram>,
    mut deadline: watch::Receiver<Option<Instant>>,
) {
    let house = &accounts.house;
    loop {
        let datagrams = collect(&mut queued, house.config().udp.batch_wait.0).await;
        if datagrams.is_empty() {
            return;
        }
        let is_over = deadline.borrow().is_some_and(|at| at <= Instant::now());
        let Some(app) = owner(&accounts) else {
            lose(house, None, &datagrams, UNOWNED);
            continue;
        };
        let recording = house.recorder.batch(&app.account, datagrams.len());
        let taking_in = async {
            if is_over {
                return lose(house, Some(&app), &datagrams, STOPPED);
            }
            let opened = Opened::of(&app, &datagrams).await;
            opened.documents.take_in(&app, &mut deadline).await;
            take_in_spans(&app, opened.spans, &mut deadline).await;
        };
        recording.watch(taking_in).await;
        let datagrams = datagrams.into_iter();
        recording.keep(datagrams.map(|datagram| (datagram.at, datagram.peer, datagram.bytes)));
    }
}

/// Returns the next datagrams: those that come within `batch_wait`, but not too many; none at the end.
async fn collect(queued: &mut UnboundedReceiver<Datagram>, batch_wait: Duration) -> Vec<Datagram> {
    let mut datagrams: Vec<Datagram> = Vec::new();
    let Some(first) = queued.recv().await else {
        return datagrams;
    };
    let until = Instant::now() + batch_wait;
    let mut n_bytes = first.bytes.len();
    datagrams.push(first);
    while datagrams.len() < BATCH_DATAGRAMS && n_bytes < BATCH_BYTES {
        let next = match queued.try_recv() {
            Ok(datagram) => Some(datagram),
            Err(TryRecvError::Empty) => timeout_at(until, queued.recv()).await.ok().flatten(),
            Err(TryRecvError::Disconnected) => None,
        };
        let Some(mut datagram) = next else { break };
        n_bytes += datagram.bytes.len();
        datagram.nth = datagrams.len();
        datagrams.push(datagram);
    }
    datagrams
}

/// What some datagrams carry.
struct Opened<'d> {
    documents: Batch<'d>,
    /// Requests of spans.
    spans: Vec<(&'d Datagram, Bytes)>,
}

/// Documents that are taken in together, and whence each came.
struct Batch<'d> {
    documents: Vec<Cow<'d, str>>,
    origins: Vec<Origin>,
    document_bytes_max: usize,
    n_bytes: usize,
}

impl<'d> Opened<'d> {
    /// Opens datagrams; those that carry nothing are counted and remembered.
    async fn of(app: &App, datagrams: &'d [Datagram]) -> Self {
        let config = app.config();
        let mut opened = Self {
            documents: Batch::new(in_memory(config.limits.document_bytes.0)),
            spans: Vec::new(),
        };
        for datagram in datagrams {
            let origin = origin(datagram);
            match datagram::open(&datagram.bytes) {
                Ok(Framed::Document(document)) => {
                    opened.documents.add(Cow::Borrowed(document), origin);
                }
                Ok(Framed::Spans { sampled: false, .. })
                    if config.otlp.unsampled == Unsampled::Drop =>
                {
                    drop_one(&app.house, Some(app), datagram, UNSAMPLED);
                }
                Ok(Framed::Spans { protobuf, .. }) => {
                    opened.spans.push((datagram, Bytes::from(protobuf)));
                    tokio::task::yield_now().await;
                }
                Err(dropped) => {
                    let why = (dropped.code(), dropped.to_string());
                    drop_one(&app.house, Some(app), datagram, (why.0, &why.1));
                }
            }
        }
        opened
    }
}

/// Takes in the documents of spans as they are made, so that there never are more than some MiB of them.
async fn take_in_spans(
    app: &App,
    spans: Vec<(&Datagram, Bytes)>,
    deadline: &mut watch::Receiver<Option<Instant>>,
) {
    let config = app.config();
    let bytes_max = in_memory(config.otlp.documents_bytes.0).min(MADE_BYTES_PER_DATAGRAM);
    // Documents made of spans may be larger than others.
    let document_bytes_max = in_memory(config.http.body_bytes.0);
    let mut batch = Batch::new(document_bytes_max);
    for (datagram, protobuf) in spans {
        // One is read at a time, and becomes no more than some MiB: it takes no place among what others become.
        let read = Pieces::of(Reading {
            config: Arc::clone(&config),
            body: protobuf,
            encoding: Encoding::Protobuf,
            documents_bytes_max: bytes_max,
        });
        let mut pieces = match read.await {
            Ok(pieces) => pieces,
            Err(error) => {
                drop_one(
                    &app.house,
                    Some(app),
                    datagram,
                    (INVALID_SPANS, error.message()),
                );
                continue;
            }
        };
        while let Some(piece) = pieces.next().await.unwrap_or_else(|error| {
            drop_one(
                &app.house,
                Some(app),
                datagram,
                (INVALID_SPANS, error.message()),
            );
            None
        }) {
            let origin = origin(datagram);
            intake::refuse_spans(app, origin, &piece.rejected);
            for document in piece.documents {
                batch.add(Cow::Owned(document.text), origin);
            }
            if batch.n_bytes >= MADE_BYTES {
                batch.take_in(app, deadline).await;
                batch = Batch::new(document_bytes_max);
            }
        }
    }
    batch.take_in(app, deadline).await;
}

impl<'d> Batch<'d> {
    const fn new(document_bytes_max: usize) -> Self {
        Self {
            documents: Vec::new(),
            origins: Vec::new(),
            document_bytes_max,
            n_bytes: 0,
        }
    }

    fn add(&mut self, document: Cow<'d, str>, origin: Origin) {
        self.n_bytes += document.len();
        self.documents.push(document);
        self.origins.push(origin);
    }

    /// Takes in the documents, in halves of halves where they are too many at once.
    async fn take_in(&self, app: &App, deadline: &mut watch::Receiver<Option<Instant>>) {
        let n_documents = self.documents.len();
        let all = Some(0..n_documents).filter(|all| !all.is_empty());
        let mut parts = Vec::from_iter(all);
        let mut is_admitted = false;
        while let Some(part) = parts.pop() {
            let taken = self.take_in_part(app, &part, &mut is_admitted, deadline);
            let Err(error) = taken.await else {
                continue;
            };
            if error.is_of_size() && part.len() > 1 {
                let middle = part.start + part.len() / 2;
                parts.push(middle..part.end);
                parts.push(part.start..middle);
                continue;
            }
            // Whatever else went wrong went wrong until the deadline.
            let lost = if error.is_of_size() {
                part
            } else {
                parts.clear();
                part.start..n_documents
            };
            self.give_up(app, &lost, error);
        }
    }

    /// Takes in some of the documents; tries again whatever time may help.
    async fn take_in_part(
        &self,
        app: &App,
        part: &Range<usize>,
        is_admitted: &mut bool,
        deadline: &mut watch::Receiver<Option<Instant>>,
    ) -> Result<(), IntakeError> {
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.attempt(app, part, is_admitted).await {
                Ok(()) => {
                    if pause > PAUSE_MIN {
                        info!("datagrams are taken in again");
                    }
                    return Ok(());
                }
                Err(error) if error.is_of_size() => return Err(error),
                Err(error) => error,
            };
            if pause == PAUSE_MIN {
                warn!(%error, "datagrams cannot be taken in at the moment; they wait");
            }
            let wanted = match &error {
                IntakeError::Rate(RateError { retry_after, .. }) => *retry_after,
                IntakeError::Accept(_) => pause,
            };
            pause = (pause * 2).min(PAUSE_MAX);
            if !rest(wanted.min(PAUSE_MAX), deadline).await {
                return Err(error);
            }
        }
    }

    /// Tries once. The rate is asked for all documents at once, until it lets them in.
    async fn attempt(
        &self,
        app: &App,
        part: &Range<usize>,
        is_admitted: &mut bool,
    ) -> Result<(), IntakeError> {
        if !*is_admitted {
            intake::admit(app, &self.documents).await?;
            *is_admitted = true;
        }
        let documents = self.documents.get(part.clone()).unwrap_or_default();
        let origins = self.origins.get(part.clone()).unwrap_or_default();
        let limits = Limits {
            n_documents_max: usize::MAX,
            document_bytes_max: self.document_bytes_max,
        };
        let borrowed = documents.iter().map(|document| Cow::Borrowed(&**document));
        intake::accept_each(app, origins, borrowed.collect(), &limits).await?;
        Ok(())
    }

    /// Counts and remembers documents that are lost.
    fn give_up(&self, app: &App, part: &Range<usize>, error: IntakeError) {
        let Some(first) = self.origins.get(part.start) else {
            return;
        };
        let n_documents = part.len();
        let error: ApiError = intake::refuse_all(app, *first, n_documents, error);
        let detail = error.logged().unwrap_or_else(|| error.message());
        warn!(n_documents, detail, "datagrams are lost");
    }
}

/// Waits, but not beyond the deadline; tells whether there is time left.
async fn rest(pause: Duration, deadline: &mut watch::Receiver<Option<Instant>>) -> bool {
    let over = async {
        // The sender outlives this task's work; were it gone, there would be no time left either.
        let given = deadline.wait_for(Option::is_some).await;
        let at = given.ok().and_then(|given| *given);
        if let Some(at) = at {
            sleep_until(at).await;
        }
    };
    tokio::select! {
        biased;
        () = over => false,
        () = sleep(pause) => true,
    }
}

/// Why datagrams are not taken in: the name figures use, and a sentence.
type Why<'w> = (&'static str, &'w str);

fn lose(house: &House, app: Option<&App>, datagrams: &[Datagram], why: Why<'_>) {
    for datagram in datagrams {
        drop_one(house, app, datagram, why);
    }
    let n_datagrams = datagrams.len();
    warn!(n_datagrams, reason = why.0, "datagrams are lost");
}

/// Counts a datagram that is not taken in, and remembers it for its owner.
fn drop_one(house: &House, app: Option<&App>, datagram: &Datagram, (code, message): Why<'_>) {
    house.metrics.datagrams.dropped(code, 1);
    record::tally(|tallies| tallies.refused(datagram.nth, None, code));
    let beginning = datagram.bytes.get(..EXCERPT_SOURCE_BYTES);
    let beginning = String::from_utf8_lossy(beginning.unwrap_or(&datagram.bytes));
    let refused = Refused {
        time: clock::now(),
        origin: origin(datagram),
        code,
        message: message.to_owned(),
        segment_id: None,
        trace_id: None,
        n_documents: 1,
        excerpt: ingest::excerpt(&beginning),
    };
    refused::record(house, app, refused);
}

fn origin(datagram: &Datagram) -> Origin {
    Origin {
        doorway: Doorway::Udp,
        peer: datagram.peer,
        is_tls: false,
        nth: datagram.nth,
    }
}

/// The server stopped before they could be taken in.
const STOPPED: Why<'_> = ("stopped", "the server stopped before it could be taken in");
/// Everybody has to sign, and they cannot be signed.
const UNOWNED: Why<'_> = (
    "unowned",
    "datagrams cannot be signed, and auth.datagrams does not say whose they are",
);
/// No sampler chose the spans, and such are not wanted.
const UNSAMPLED: Why<'_> = (
    "unsampled",
    "spans that are not sampled are dropped: otlp.unsampled",
);
/// The spans cannot be read, or are too many.
const INVALID_SPANS: &str = "invalid_spans";
const BATCH_DATAGRAMS: usize = 512;
const BATCH_BYTES: usize = 4 << 20;
/// What is made of spans is taken in when it has so many bytes.
const MADE_BYTES: usize = 2 << 20;
/// What the spans of one datagram may become; of real ones it is a hundredth of that.
const MADE_BYTES_PER_DATAGRAM: usize = 4 << 20;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// An excerpt is made of no more of a datagram.
const EXCERPT_SOURCE_BYTES: usize = 1024;
