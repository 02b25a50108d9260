//! An answer on its way to a client: what came of it while its call was written to the journal, then the rest as it comes.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, timeout_at};

/// The body of an answer.
pub(super) struct Passing<B = Incoming> {
    collected: VecDeque<Frame<Bytes>>,
    rest: Option<B>,
    /// Ends an answer that has no end of its own.
    end: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// How far an answer came.
pub(super) enum Collected<B = Incoming> {
    /// To its end.
    Whole(Bytes, Option<HeaderMap>),
    /// Not as far.
    Begun(Passing<B>),
}

/// Collects an answer until it ends, is too large to be recorded, or nobody waits for it any longer.
///
/// # Errors
/// Says why it broke off.
pub(super) async fn collect<B>(mut body: B, deadline: Instant) -> Result<Collected<B>, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut collected = VecDeque::new();
    let mut n_bytes = 0;
    while n_bytes <= ANSWER_BYTES_MAX {
        let Ok(frame) = timeout_at(deadline, body.frame()).await else {
            return Ok(Collected::Begun(Passing::begun(collected, body)));
        };
        let Some(frame) = frame else {
            let (data, trailers) = joined(collected);
            return Ok(Collected::Whole(data, trailers));
        };
        let frame = frame?;
        n_bytes += frame.data_ref().map_or(0, Bytes::len);
        collected.push_back(frame);
    }
    Ok(Collected::Begun(Passing::begun(collected, body)))
}

fn joined(frames: VecDeque<Frame<Bytes>>) -> (Bytes, Option<HeaderMap>) {
    let mut data = BytesMut::new();
    let mut trailers = None;
    for frame in frames {
        match frame.into_data() {
            Ok(piece) => data.extend_from_slice(&piece),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    (data.freeze(), trailers)
}

impl<B> Passing<B> {
    /// Returns an answer that is there.
    pub(super) fn whole(data: Bytes, trailers: Option<HeaderMap>) -> Self {
        let data = Some(data).filter(|data| !data.is_empty());
        let frames = data.into_iter().map(Frame::data);
        Self {
            collected: frames
                .chain(trailers.into_iter().map(Frame::trailers))
                .collect(),
            rest: None,
            end: None,
        }
    }

    /// Returns an answer of which nothing was collected.
    pub(super) fn untouched(rest: B) -> Self {
        Self::begun(VecDeque::new(), rest)
    }

    /// Returns the answer with an end, wherever it is then.
    pub(super) fn until(self, end: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            end: Some(Box::pin(end)),
            ..self
        }
    }

    fn begun(collected: VecDeque<Frame<Bytes>>, rest: B) -> Self {
        Self {
            collected,
            rest: Some(rest),
            end: None,
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Passing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if let Some(frame) = self.collected.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let has_ended = self
            .end
            .as_mut()
            .is_some_and(|end| end.as_mut().poll(context).is_ready());
        if has_ended {
            self.end = None;
            self.rest = None;
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.collected.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Exact only for an answer that is there and has no trailers: one whose length is said has no room for them in
    /// HTTP/1.1.
    fn size_hint(&self) -> SizeHint {
        let n_collected: usize = self
            .collected
            .iter()
            .filter_map(|frame| Some(frame.data_ref()?.len()))
            .sum();
        let n_collected = u64::try_from(n_collected).unwrap_or(u64::MAX);
        let has_trailers = self.collected.iter().any(Frame::is_trailers);
        if self.rest.is_none() && !has_trailers {
            return SizeHint::with_exact(n_collected);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(n_collected);
        hint
    }
}

/// Larger answers are passed on and not recorded.
const ANSWER_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures_util::{StreamExt, stream};
    use http::HeaderValue;
    use http_body_util::StreamBody;

    use super::*;

    fn trailers() -> HeaderMap {
        let status = HeaderValue::from_static("0");
        [("grpc-status".parse().unwrap(), status)]
            .into_iter()
            .collect()
    }

    /// Returns a body of these pieces and trailers, which ends or goes on without a word.
    fn body(
        pieces: &[&'static [u8]],
        has_end: bool,
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin + use<> {
        let pieces = pieces.iter().map(|piece| Bytes::from_static(piece));
        let frames: Vec<_> = pieces.map(|piece| Ok(Frame::data(piece))).collect();
        let said = stream::iter(frames);
        let rest = if has_end {
            stream::iter([Ok(Frame::trailers(trailers()))]).boxed()
        } else {
            stream::pending().boxed()
        };
        StreamBody::new(said.chain(rest).boxed())
    }

    async fn all<B>(passing: Passing<B>) -> (Bytes, Option<HeaderMap>)
    where
        B: Body<Data = Bytes, Error = Infallible> + Unpin,
    {
        let collected = passing.collect().await.unwrap();
        let trailers = collected.trailers().cloned();
        (collected.to_bytes(), trailers)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_ends_is_collected_with_its_trailers() {
        let deadline = Instant::now() + Duration::from_secs(1);
        let collected = collect(body(&[b"a", b"bc"], true), deadline).await;
        let Ok(Collected::Whole(data, found)) = collected else {
            panic!("it is not whole");
        };
        assert_eq!((&data[..], &found), (&b"abc"[..], &Some(trailers())));
        let passing = Passing::<Incoming>::whole(data.clone(), None);
        assert_eq!(passing.size_hint().exact(), Some(3));
        let passing = Passing::<Incoming>::whole(Bytes::new(), None);
        assert!(passing.is_end_stream());
        // A length would leave no room for what follows.
        let passing = Passing::<http_body_util::Empty<Bytes>>::whole(data, found);
        assert_eq!(passing.size_hint().exact(), None);
        assert_eq!(all(passing).await, ("abc".into(), Some(trailers())));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_more_than_a_while() {
        let deadline = Instant::now() + Duration::from_secs(1);
        let collected = collect(body(&[b"a", b"bc"], false), deadline).await;
        assert_eq!(Instant::now(), deadline);
        let Ok(Collected::Begun(passing)) = collected else {
            panic!("it is whole");
        };
        assert!(!passing.is_end_stream());
        assert_eq!(passing.size_hint().exact(), None);
        let end = Instant::now() + Duration::from_hours(1);
        let passing = passing.until(tokio::time::sleep_until(end));
        assert_eq!(all(passing).await, ("abc".into(), None));
        assert_eq!(Instant::now(), end);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_not_collected() {
        static LARGE: [u8; ANSWER_BYTES_MAX] = [7; ANSWER_BYTES_MAX];
        let begun = Instant::now();
        let deadline = begun + Duration::from_secs(1);
        let largest = collect(body(&[&LARGE], true), deadline).await;
        assert!(matches!(largest, Ok(Collected::Whole(..))));
        let Ok(Collected::Begun(passing)) = collect(body(&[&LARGE, b"x"], true), deadline).await
        else {
            panic!("it is whole");
        };
        assert_eq!(Instant::now(), begun);
        let (data, found) = all(passing).await;
        assert_eq!((data.len(), found), (LARGE.len() + 1, Some(trailers())));
    }
}
