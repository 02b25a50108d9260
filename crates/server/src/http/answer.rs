//! Answers: whole, or streamed with the client's speed.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use http::Response;
use hyper::body::{Body, Frame, SizeHint};

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

    /// Returns the answer as the server sends it; `guard` lives until it is sent.
    pub(crate) fn into_response<G>(self, guard: G) -> Response<AnswerBody<G>> {
        match self {
            Self::Whole(response) => response.map(|bytes| AnswerBody {
                source: Source::Whole(bytes),
                _guard: Some(guard),
            }),
            Self::Streamed(head, chunks) => head.map(|_| AnswerBody {
                source: Source::Chunks(chunks),
                _guard: Some(guard),
            }),
            Self::Framed(response) => response.map(|body| AnswerBody {
                source: Source::Framed(body),
                _guard: Some(guard),
            }),
        }
    }
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
    use http_body_util::BodyExt;

    use super::*;

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
