//! A page of traces on its way to the client.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use protocol::{ApiError, json_head};
use query::BatchPage;
use storage::SledStore;
use tracing::{Span, error};

use crate::handlers::query_error;
use crate::http::answer::{Answer, BrokenOff, Chunks, unread};
use crate::http::body::room::{Patience, Place, Share};

/// Returns a page as it is made. A page of one piece has a length; and a store that fails at the
/// first two pieces is still answered with an error instead of half a page.
///
/// # Errors
/// Throttles who has too many answers waiting.
pub(super) async fn answer(
    page: BatchPage<SledStore>,
    share: Arc<Share>,
    mut patience: Patience,
    request_id: &str,
) -> Result<Answer, ApiError> {
    let mut making = Making {
        page,
        share,
        place: None,
        n_bytes_begun: 0,
    };
    let first = making.next(&mut patience).await?.unwrap_or_default();
    making.n_bytes_begun = first.len();
    let head = json_head(request_id);
    let Some(second) = making.next(&mut patience).await? else {
        return Ok(Answer::Whole(head.map(|_| first)));
    };
    let begun = [Ok(first), Ok(second)];
    Ok(Answer::streamed(head, begun, chunks(making)))
}

/// Returns the pieces of a page that are not made yet, each made once the one before was sent.
fn chunks(making: Making) -> Chunks {
    let unmade = Some((making, Span::current()));
    Box::pin(stream::unfold(unmade, async |unmade| {
        let (mut making, span) = unmade?;
        // Whoever asks for more has taken what was there.
        making.n_bytes_begun = 0;
        let mut patience = Patience::ENDLESS;
        match making.next(&mut patience).await {
            Ok(Some(chunk)) => Some((Ok(chunk), Some((making, span)))),
            Ok(None) => None,
            Err(error) => {
                let error = error.logged().unwrap_or_else(|| error.message()).to_owned();
                span.in_scope(|| error!(error, "a page of traces was broken off"));
                Some((Err(BrokenOff(error)), None))
            }
        }
    }))
}

/// A page that is being made, and its place among the answers that wait to be taken: a trace is made at once, and the
/// client may take its time.
struct Making {
    page: BatchPage<SledStore>,
    share: Arc<Share>,
    place: Option<Place>,
    /// Bytes of the beginning, which is held back until it is known that it can be made.
    n_bytes_begun: usize,
}

impl Making {
    /// Returns the next piece. There is a place for it before it is made, and afterwards for it and all that waits behind it.
    async fn next(&mut self, patience: &mut Patience) -> Result<Option<Bytes>, ApiError> {
        if self.page.n_bytes_made() == 0 {
            self.place = None;
            let n_bytes_max = self.n_bytes_begun + self.page.n_bytes_unmade();
            let place = self.share.making_place(n_bytes_max, patience).await;
            self.place = Some(place.ok_or_else(unread)?);
        }
        let piece = self.page.next().await.map_err(query_error)?;
        if let Some(place) = &mut self.place {
            let n_bytes = piece.as_ref().map_or(0, Bytes::len);
            place.keep(self.n_bytes_begun + n_bytes + self.page.n_bytes_made());
        }
        Ok(piece)
    }
}
