//! `GET /api/v1/backup`: a copy of the whole store while it is served, as `storage` makes it.
//!
//! One thread makes it, a few hundred kilobytes ahead of the client at most. Where that goes wrong the answer breaks off, and
//! the copy has no end: `roentgen restore` refuses it.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use protocol::{ApiError, json_head};
use storage::{Backup, BackupError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::spawn_blocking;
use tracing::{Span, info, warn};

use crate::app::App;
use crate::clock;
use crate::handlers::store_error;
use crate::http::answer::{Answer, BrokenOff};

/// Answers a request for a backup.
///
/// # Errors
/// Says why there is none now: another one is under way, or the store takes no writes.
pub(crate) async fn open(app: &Arc<App>, request_id: &str) -> Result<Answer, ApiError> {
    let turn = Arc::clone(&app.house.backups).try_acquire_owned();
    let turn = turn.map_err(|_| ApiError::throttled("a backup is under way already"))?;
    let (house, now) = (Arc::clone(&app.house), clock::now());
    let begun = spawn_blocking(move || house.store.backup(&house.control, now)).await;
    let begun = begun.map_err(|error| ApiError::internal(error.to_string()))?;
    let backup = begun.map_err(|error| refusal(&error))?;
    let (pieces, taken) = mpsc::channel(PIECES_AHEAD);
    let span = Span::current();
    spawn_blocking(move || span.in_scope(|| make(&backup, pieces, turn)));
    let chunks = stream::unfold(taken, next);
    Ok(Answer::streamed(
        head(request_id, now.as_secs()),
        [],
        Box::pin(chunks),
    ))
}

type Piece = Result<Bytes, BrokenOff>;

async fn next(mut taken: Receiver<Piece>) -> Option<(Piece, Receiver<Piece>)> {
    let piece = taken.recv().await?;
    Some((piece, taken))
}

/// Makes a backup as its client takes it. Blocks.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the next one may begin when this one has ended"
)]
fn make(backup: &Backup, pieces: Sender<Piece>, _turn: OwnedSemaphorePermit) {
    info!("a backup is made");
    match backup.write(Pieces::to(&pieces)) {
        Ok(()) => info!("a backup was made"),
        Err(error) => {
            warn!(%error, "a backup was broken off");
            // Nobody is told if nobody is there.
            let _gone = pieces.blocking_send(Err(BrokenOff(error.to_string())));
        }
    }
}

fn refusal(error: &BackupError) -> ApiError {
    match error {
        BackupError::Store(error) => store_error(error),
        BackupError::NotSealed { .. } => {
            ApiError::unavailable("the partition that takes writes cannot be sealed at the moment")
                .with_logged(error.to_string())
        }
        BackupError::Gone { .. } | BackupError::Read(_) | BackupError::Write(_) => {
            ApiError::internal(error.to_string())
        }
    }
}

fn head(request_id: &str, secs: u64) -> Response<Bytes> {
    let mut head = json_head(request_id);
    let headers = head.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        http::HeaderValue::from_static("application/zstd"),
    );
    let disposition = format!("attachment; filename=\"roentgen-{secs}.tar.zst\"");
    if let Ok(disposition) = disposition.parse() {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    head
}

/// Hands on what is written, in pieces.
struct Pieces<'s> {
    pieces: &'s Sender<Piece>,
    gathered: Vec<u8>,
}

impl<'s> Pieces<'s> {
    const fn to(pieces: &'s Sender<Piece>) -> Self {
        Self {
            pieces,
            gathered: Vec::new(),
        }
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.gathered));
        let sent = self.pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client went away"))
    }
}

const PIECE_BYTES: usize = 64 << 10;
const PIECES_AHEAD: usize = 4;
