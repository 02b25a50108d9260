//! Answers: whole, or streamed with the client's speed.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::Response;
use hyper::body::{Body, Frame, SizeHint};
use protocol::ApiError;

use crate::http::body::room::{Place, Share};

/// Why an answer that has begun cannot be finished; the connection is broken off for it, so that no
/// client takes a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off: {0}")]
pub(crate) struct BrokenOff(pub(crate) String);

/// The pieces of an answer, made as the client takes them.
pub(crate) type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>;

/// The body of an answer. What it carries along is dropped when the answer has ended.
pub(crate) struct AnswerBody<G> {
    source: Source,
    _place: Option<Place>,
    _guard: Option<G>,
}

enum Source {
    Whole(Bytes),
    Chunks(Chunks),
    Framed(tonic::body::Body),
}

/// An answer before it is sent.
pub(crate) enum Answer {
    /// Its body is there.
    Whole(Response<Bytes>),
    /// The same, with a place among the answers that wait to be taken.
    Held(Response<Bytes>, Place),
    /// Its body is being made; the head is that of an empty answer.
    Streamed(Response<Bytes>, Chunks),
    /// It is of gRPC, whose status follows the body.
    Framed(Response<tonic::body::Body>),
}

impl Answer {
    /// Returns the answer whose body begins with what is made already.
    pub(crate) fn streamed<const N: usize>(
        head: Response<Bytes>,
        begun: [Result<Bytes, BrokenOff>; N],
        rest: Chunks,
    ) -> Self {
        Self::Streamed(head, Box::pin(stream::iter(begun).chain(rest)))
    }

    /// Returns the answer with a place in memory until it is taken; small ones need none.
    ///
    /// # Errors
    /// Throttles who has too many answers waiting.
    pub(crate) fn placed(self, share: &Arc<Share>) -> Result<Self, ApiError> {
        match self {
            Self::Whole(response) if response.body().len() > super::HTTP2_SEND_BYTES => {
                let place = share.answer_place(response.body().len());
                let place = place.ok_or_else(unread)?;
                Ok(Self::Held(response, place))
            }
            Self::Whole(_) | Self::Held(..) | Self::Streamed(..) | Self::Framed(_) => Ok(self),
        }
    }

    /// Returns the answer as the server sends it; `guard` lives until it is sent.
    pub(crate) fn into_response<G>(self, guard: G) -> Response<AnswerBody<G>> {
        let body = |source, place| AnswerBody {
            source,
            _place: place,
            _guard: Some(guard),
        };
        match self {
            Self::Whole(response) => response.map(|bytes| body(Source::Whole(bytes), None)),
            Self::Held(response, place) => {
                response.map(|bytes| body(Source::Whole(bytes), Some(place)))
            }
            Self::Streamed(head, chunks) => head.map(|_| body(Source::Chunks(chunks), None)),
            Self::Framed(response) => response.map(|framed| body(Source::Framed(framed), None)),
        }
    }
}

/// Returns what a client is told whose answers find no place any more.
pub(crate) fn unread() -> ApiError {
    ApiError::throttled("too many answers wait to be read; read them, or retry with backoff")
}

impl From<Response<Bytes>> for Answer {
    fn from(response: Response<Bytes>) -> Self {
        Self::Whole(response)
    }
}

impl<G: Unpin> Body for AnswerBody<G> {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.source {
            Source::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Source::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Source::Chunks(chunks) => chunks
                .poll_next_unpin(context)
                .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
            Source::Framed(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|status| BrokenOff(status.to_string())),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Chunks(_) => false,
            Source::Framed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Source::Chunks(_) | Source::Framed(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http_body_util::BodyExt;

    use super::*;
    use crate::http::body::BodyRoom;
    use crate::http::places::Peer;

    #[tokio::test]
    async fn a_large_answer_has_a_place_until_it_is_dropped() {
        let peer = Peer::of(IpAddr::from([127, 0, 0, 1]));
        let share = BodyRoom::new(100_000).share(peer, 60_000);
        let answer = |n_bytes| {
            let answer = Answer::from(Response::new(Bytes::from(vec![b' '; n_bytes])));
            let placed = answer.placed(&share);
            placed.map(|answer| answer.into_response(()).into_body())
        };
        let held = answer(40_000).unwrap();
        assert_eq!(answer(40_000).err().unwrap().status(), 429);
        assert!(answer(1000).is_ok());
        drop(held);
        let mut taken = answer(60_000).unwrap();
        // Handing over the only piece does not mean that it was sent.
        assert!(taken.frame().await.unwrap().is_ok());
        assert!(answer(40_000).is_err());
        drop(taken);
        assert!(answer(40_000).is_ok());
    }

    #[tokio::test]
    async fn a_whole_answer_knows_its_length() {
        let answer = Answer::from(Response::new(Bytes::from_static(b"abc")));
        let body = answer.into_response(()).into_body();
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn a_streamed_answer_is_its_chunks_in_order() {
        let rest = Box::pin(stream::iter([
            Ok(Bytes::from_static(b"b")),
            Ok(Bytes::from_static(b"c")),
        ]));
        let answer = Answer::streamed(Response::default(), [Ok(Bytes::from_static(b"a"))], rest);
        let body = answer.into_response(()).into_body();
        assert_eq!(body.size_hint().exact(), None);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    }

    #[tokio::test]
    async fn an_error_in_the_middle_breaks_the_answer_off() {
        let rest = Box::pin(stream::iter([Err(BrokenOff("disk".into()))]));
        let answer = Answer::streamed(Response::default(), [Ok(Bytes::from_static(b"a"))], rest);
        let error = answer
            .into_response(())
            .into_body()
            .collect()
            .await
            .unwrap_err();
        assert_eq!(error.to_string(), "the answer broke off: disk");
    }
}
