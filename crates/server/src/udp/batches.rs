//! What becomes of queued datagrams: opened, collected, taken in together.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ingest::Limits;
use ingest::datagram::{self, Framed};
use protocol::ApiError;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{info, warn};

use super::queue::{Datagram, STOPPED};
use super::{SpansDropped, spans};
use crate::app::App;
use crate::clock;
use crate::handlers::in_memory;
use crate::intake::rates::RateError;
use crate::intake::{self, IntakeError};
use crate::origin::{Doorway, Origin};
use crate::refused::{self, Refused};

/// Takes in what is queued until nobody queues any more and nothing is left. From a deadline on, if one is given, what
/// is left is counted as lost.
pub(super) async fn take_in(
    app: Arc<App>,
    mut queued: UnboundedReceiver<Datagram>,
    mut deadline: watch::Receiver<Option<Instant>>,
) {
    loop {
        let batch_wait = app.config().udp.batch_wait.0;
        let datagrams = collect(&mut queued, batch_wait).await;
        if datagrams.is_empty() {
            return;
        }
        let is_over = deadline.borrow().is_some_and(|at| at <= Instant::now());
        if is_over {
            lose(&app, &datagrams);
            continue;
        }
        let batch = Batch::open(&app, &datagrams);
        batch.take_in(&app, &mut deadline).await;
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
        let Some(datagram) = next else { break };
        n_bytes += datagram.bytes.len();
        datagrams.push(datagram);
    }
    datagrams
}

/// Documents that are taken in together, and whence each came.
#[derive(Default)]
struct Batch<'d> {
    documents: Vec<Cow<'d, str>>,
    origins: Vec<Origin>,
}

impl<'d> Batch<'d> {
    /// Returns the documents in some datagrams; those without are counted and remembered.
    fn open(app: &App, datagrams: &'d [Datagram]) -> Self {
        let mut batch = Self::default();
        for datagram in datagrams {
            let origin = origin(datagram);
            match datagram::open(&datagram.bytes) {
                Ok(Framed::Document(document)) => batch.add(Cow::Borrowed(document), origin),
                Ok(Framed::Spans { protobuf, sampled }) => match spans(app, &protobuf, sampled) {
                    Ok(documents) => {
                        for document in documents {
                            batch.add(Cow::Owned(document), origin);
                        }
                    }
                    Err(SpansDropped { code, message }) => drop_one(app, datagram, code, message),
                },
                Err(dropped) => drop_one(app, datagram, dropped.code(), dropped.to_string()),
            }
        }
        batch
    }

    fn add(&mut self, document: Cow<'d, str>, origin: Origin) {
        self.documents.push(document);
        self.origins.push(origin);
    }

    /// Takes in the documents, in halves of halves where they are too many at once.
    async fn take_in(&self, app: &App, deadline: &mut watch::Receiver<Option<Instant>>) {
        let mut parts = vec![0..self.documents.len()];
        while let Some(part) = parts.pop() {
            let Err(error) = self.take_in_part(app, &part, deadline).await else {
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
                part.start..self.documents.len()
            };
            self.give_up(app, &lost, error);
        }
    }

    /// Takes in some of the documents; tries again whatever time may help.
    async fn take_in_part(
        &self,
        app: &App,
        part: &Range<usize>,
        deadline: &mut watch::Receiver<Option<Instant>>,
    ) -> Result<(), IntakeError> {
        let documents = self.documents.get(part.clone()).unwrap_or_default();
        let origins = self.origins.get(part.clone()).unwrap_or_default();
        let mut pause = PAUSE_MIN;
        loop {
            let limits = Limits {
                n_documents_max: usize::MAX,
                document_bytes_max: in_memory(app.config().limits.document_bytes.0),
            };
            let borrowed = documents.iter().map(|document| Cow::Borrowed(&**document));
            let taken = intake::accept_each(app, origins, borrowed.collect(), &limits).await;
            let error = match taken {
                Ok(_) => {
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
                IntakeError::Rate(RateError::NotYet { retry_after, .. }) => *retry_after,
                IntakeError::Rate(_) | IntakeError::Accept(_) => pause,
            };
            pause = (pause * 2).min(PAUSE_MAX);
            if !rest(wanted.min(PAUSE_MAX), deadline).await {
                return Err(error);
            }
        }
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

/// Counts and remembers datagrams there was no time for.
fn lose(app: &App, datagrams: &[Datagram]) {
    for datagram in datagrams {
        let message = "the server stopped before it could be taken in".to_owned();
        drop_one(app, datagram, STOPPED, message);
    }
}

/// Counts and remembers a datagram that is not taken in.
fn drop_one(app: &App, datagram: &Datagram, code: &'static str, message: String) {
    app.house.metrics.datagrams.dropped(code, 1);
    let beginning = datagram.bytes.get(..EXCERPT_SOURCE_BYTES);
    let beginning = String::from_utf8_lossy(beginning.unwrap_or(&datagram.bytes));
    let refused = Refused {
        time: clock::now(),
        origin: origin(datagram),
        code,
        message,
        segment_id: None,
        trace_id: None,
        n_documents: 1,
        excerpt: ingest::excerpt(&beginning),
    };
    refused::record(&app.house, Some(&app.account), refused);
}

fn origin(datagram: &Datagram) -> Origin {
    Origin {
        doorway: Doorway::Udp,
        peer: datagram.peer,
        is_tls: false,
    }
}

const BATCH_DATAGRAMS: usize = 512;
const BATCH_BYTES: usize = 4 << 20;
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// An excerpt is made of no more of a datagram.
const EXCERPT_SOURCE_BYTES: usize = 1024;
