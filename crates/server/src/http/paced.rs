//! An answer's body, handed over in small pieces, that tells how fast the client takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::http::activity::{Activity, Handing};

/// A body whose pieces are noted as they are asked for. HTTP/2 keeps a piece whole until the client has taken all of it,
/// so none is large.
pub(crate) struct Paced<B> {
    body: B,
    /// What is left of the body's last piece.
    rest: Bytes,
    handing: Handing,
}

impl<B> Paced<B> {
    /// Returns the body of an answer on a connection.
    pub(crate) fn new(body: B, activity: &Arc<Activity>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            handing: activity.handing(),
        }
    }

    /// Returns the next piece of what is there.
    fn piece(&mut self) -> Bytes {
        let n_bytes = self.rest.len().min(PIECE_BYTES);
        self.rest.split_to(n_bytes)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.handing.taken();
        if !self.rest.is_empty() {
            self.handing.hand();
            return Poll::Ready(Some(Ok(Frame::data(self.piece()))));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Poll::Ready(Some(Ok(frame))) = frame else {
            return frame;
        };
        self.handing.hand();
        match frame.into_data() {
            Ok(data) => {
                self.rest = data;
                Poll::Ready(Some(Ok(Frame::data(self.piece()))))
            }
            Err(trailers) => Poll::Ready(Some(Ok(trailers))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let n_rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let hint = self.body.size_hint();
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower().saturating_add(n_rest));
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper.saturating_add(n_rest));
        }
        whole
    }
}

/// As much as HTTP/2 may keep for one answer.
const PIECE_BYTES: usize = super::HTTP2_SEND_BYTES;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use futures_util::stream;
    use http::HeaderMap;
    use http_body_util::{BodyExt, Full, StreamBody};

    use super::*;
    use crate::http::activity::Timeouts;
    use crate::http::places::{Bounds, Peer, Pool};

    fn activity() -> Arc<Activity> {
        let bounds = Bounds {
            total: 1,
            per_peer: 1,
        };
        let peer = Peer::of(IpAddr::from([127, 0, 0, 1]));
        let found = Pool::default().find(peer, bounds).unwrap();
        let timeouts = Timeouts {
            header: Duration::from_secs(1),
            idle: Duration::from_secs(1),
        };
        Activity::new(timeouts, found.place)
    }

    /// Checks the lengths of the pieces a body of one frame becomes.
    async fn check(n_bytes: usize, expected: &[usize]) {
        let mut paced = Paced::new(Full::new(Bytes::from(vec![b' '; n_bytes])), &activity());
        let mut n_left = n_bytes;
        let mut pieces = Vec::new();
        assert_eq!(paced.size_hint().exact(), Some(n_left as u64));
        while let Some(frame) = paced.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            n_left -= data.len();
            assert_eq!(paced.size_hint().exact(), Some(n_left as u64));
            assert_eq!(paced.is_end_stream(), n_left == 0);
            pieces.push(data.len());
        }
        assert_eq!(pieces, expected);
    }

    #[tokio::test]
    async fn pieces_are_small_and_add_up() {
        check(0, &[]).await;
        check(1, &[1]).await;
        check(PIECE_BYTES, &[PIECE_BYTES]).await;
        check(2 * PIECE_BYTES + 1, &[PIECE_BYTES, PIECE_BYTES, 1]).await;
    }

    #[tokio::test]
    async fn what_follows_a_large_piece_comes_after_it() {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        let frames = [
            Frame::data(Bytes::from(vec![b'a'; PIECE_BYTES + 1])),
            Frame::data(Bytes::from_static(b"b")),
            Frame::trailers(trailers.clone()),
        ];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        let paced = Paced::new(StreamBody::new(stream::iter(frames)), &activity());
        let collected = paced.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        let mut expected = vec![b'a'; PIECE_BYTES + 1];
        expected.push(b'b');
        assert!(collected.to_bytes() == expected);
    }
}
