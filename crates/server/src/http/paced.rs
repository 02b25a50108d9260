//! An answer's body that tells how fast the client takes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use crate::http::activity::{Activity, Handing};

/// A body whose pieces are noted as they are asked for.
pub(crate) struct Paced<B> {
    body: B,
    handing: Handing,
}

impl<B> Paced<B> {
    /// Returns the body of an answer on a connection.
    pub(crate) fn new(body: B, activity: &Arc<Activity>) -> Self {
        Self {
            body,
            handing: activity.handing(),
        }
    }
}

impl<B: Body + Unpin> Body for Paced<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.handing.taken();
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = frame {
            self.handing.hand();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
