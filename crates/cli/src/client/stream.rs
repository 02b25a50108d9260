//! Answers that come bit by bit and may never end.

use std::time::Duration;

use bytes::Bytes;
use http::header::USER_AGENT;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited};

use super::{CallError, Client, REPLY_TIMEOUT, Reply, agent};

/// An answer whose body is still coming.
#[derive(Debug)]
pub struct Stream {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    client: Client,
    body: UnsyncBoxBody<Bytes, BodyError>,
}

type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl Client {
    /// Sends a request for one of the server's URLs once, signed if requests are, and returns the answer as soon as it
    /// begins.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] and [`CallError::Unsigned`].
    pub async fn stream(&self, mut request: Request<Bytes>) -> Result<Stream, CallError> {
        if let Some(signer) = &self.shared.signer {
            signer.sign(&mut request).await?;
        }
        request.headers_mut().insert(USER_AGENT, agent());
        let response = self.shared.pool.request(request.map(Full::from));
        let response = tokio::time::timeout(REPLY_TIMEOUT, response)
            .await
            .map_err(|_| self.silent("it does not answer"))?
            .map_err(|error| self.unreachable(&error))?;
        let (head, body) = response.into_parts();
        Ok(Stream {
            status: head.status,
            headers: head.headers,
            client: self.clone(),
            body: body.map_err(BodyError::from).boxed_unsync(),
        })
    }
}

impl Stream {
    /// Returns what comes next, nothing after the end.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if the stream breaks off, or is silent for longer than `patience`.
    pub async fn next(&mut self, patience: Duration) -> Result<Option<Bytes>, CallError> {
        loop {
            let frame = tokio::time::timeout(patience, self.body.frame()).await;
            let frame = frame.map_err(|_| self.client.silent("it went silent"))?;
            let Some(frame) = frame else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| self.client.unreachable(&*error))?;
            // Trailers say nothing here.
            if let Ok(bytes) = frame.into_data() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Returns the whole answer, for one that is not the stream that was asked for.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if the rest does not come, or is far too large for an error.
    pub async fn whole(self) -> Result<Reply, CallError> {
        let body = Limited::new(self.body, ERROR_BYTES_MAX).collect();
        let body = tokio::time::timeout(REPLY_TIMEOUT, body).await;
        let body = body
            .map_err(|_| self.client.silent("it went silent"))?
            .map_err(|error| self.client.unreachable(&*error))?;
        Ok(Reply {
            status: self.status,
            headers: self.headers,
            body: body.to_bytes(),
        })
    }
}

const ERROR_BYTES_MAX: usize = 1 << 20;
