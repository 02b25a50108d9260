//! A client of the API, for the commands that talk to a server.
//!
//! One pool of connections, one signer. A call is tried again if the server asks for patience, and, of operations
//! that may be done twice, if it fails; how often and how long is bounded. A server that never answered is given up
//! at once: it is not there.

mod error;
mod pages;
pub(crate) mod retry;
pub(crate) mod signer;
mod stream;
pub(crate) mod tls;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use model::Timestamp;
use protocol::Operation;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use error::CallError;
#[cfg(test)]
pub(crate) use pages::Segment;
pub(crate) use pages::{Batch, Summaries, Summary, Trace};
use signer::Signer;
pub(crate) use stream::Stream;

use crate::endpoint::{Endpoint, ServerFlags};
use crate::exit::Stop;

/// A way to a server; cloning is cheap and shares its connections.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    signer: Option<Signer>,
    has_answered: AtomicBool,
    n_throttled: AtomicU64,
}

/// A server's answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Reply {
    /// Returns the code and the message of an answer that is no result, as the server wrote them.
    pub fn error(&self) -> (String, String) {
        error::told(self)
    }
}

impl Client {
    /// Returns the way to a server; nothing is sent yet. Requests are signed as of what `now` tells.
    ///
    /// # Errors
    /// Stops if the file of certificates cannot be used.
    pub fn new(
        endpoint: Endpoint,
        flags: &ServerFlags,
        environment: &[(OsString, OsString)],
        now: fn() -> Timestamp,
    ) -> Result<Self, Stop> {
        let connector = tls::connector(&endpoint, flags.ca_file.as_deref(), tls::Protocol::Http1)
            .map_err(Stop::usage)?;
        let is_signed = flags.sign || endpoint.is_aws();
        let signer = is_signed.then(|| Signer::new(&endpoint, flags, environment, now));
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Ok(Self {
            shared: Arc::new(Shared {
                endpoint,
                pool,
                signer,
                has_answered: AtomicBool::new(false),
                n_throttled: AtomicU64::new(0),
            }),
        })
    }

    /// Returns the server that is talked to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// Returns the URL of a path at the server.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.shared.endpoint)
    }

    /// Tells whether requests are signed.
    pub fn is_signing(&self) -> bool {
        self.shared.signer.is_some()
    }

    /// Returns how many answers so far said that the server had no room.
    pub fn n_throttled(&self) -> u64 {
        self.shared.n_throttled.load(Ordering::Relaxed)
    }

    /// Calls an operation and returns its result.
    ///
    /// # Errors
    /// [`CallError`] after all tries.
    pub async fn call<T: DeserializeOwned>(
        &self,
        operation: Operation,
        request: &impl Serialize,
    ) -> Result<T, CallError> {
        let body = serde_json::to_vec(request).map_err(CallError::nonsense)?;
        let reply = self.exchange(operation, body.into()).await?;
        if !reply.status.is_success() {
            return Err(CallError::refused(&reply));
        }
        serde_json::from_slice(&reply.body).map_err(CallError::nonsense)
    }

    /// Calls an operation with this body and returns whatever the server answers after all tries.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] and [`CallError::Unsigned`].
    pub async fn exchange(&self, operation: Operation, body: Bytes) -> Result<Reply, CallError> {
        let deadline = Instant::now() + CALL_TIMEOUT;
        let mut n_tries = 0;
        loop {
            let mut request = Request::new(body.clone());
            *request.method_mut() = http::Method::POST;
            *request.uri_mut() = self
                .url(operation.path())
                .parse()
                .map_err(CallError::nonsense)?;
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
            let outcome = self.send(request).await;
            n_tries += 1;
            if outcome.as_ref().is_ok_and(retry::is_throttled) {
                self.shared.n_throttled.fetch_add(1, Ordering::Relaxed);
            }
            let has_answered = self.shared.has_answered.load(Ordering::Relaxed);
            let may_repeat = has_answered && retry::may_repeat(operation);
            let Some(pause) = retry::pause(&outcome, may_repeat, n_tries) else {
                return outcome;
            };
            if Instant::now() + pause > deadline {
                return outcome;
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a request for one of the server's URLs once, signed if requests are, and returns whatever the server
    /// answers.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] and [`CallError::Unsigned`].
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Reply, CallError> {
        if let Some(signer) = &self.shared.signer {
            signer.sign(&mut request).await?;
        }
        self.send_bare(request).await
    }

    /// Sends a request for one of the server's URLs once, as it is, and returns whatever the server answers.
    ///
    /// # Errors
    /// [`CallError::Unreachable`] if no answer comes.
    pub async fn send_bare(&self, mut request: Request<Bytes>) -> Result<Reply, CallError> {
        debug_assert!(!request.headers().contains_key(HOST), "the pool adds it");
        request.headers_mut().insert(USER_AGENT, agent());
        let exchange = async {
            let response = self.shared.pool.request(request.map(Full::from)).await;
            let response = response.map_err(|error| self.unreachable(&error))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
                Ok(_) => CallError::Nonsense(format!("it is longer than {REPLY_BYTES_MAX} bytes")),
                Err(error) => self.unreachable(&*error),
            })?;
            let body = body.to_bytes();
            self.shared.has_answered.store(true, Ordering::Relaxed);
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        let seconds = REPLY_TIMEOUT.as_secs();
        tokio::time::timeout(REPLY_TIMEOUT, exchange)
            .await
            .map_err(|_| self.silent(&format!("{seconds} seconds passed")))?
    }

    fn unreachable(&self, error: &(dyn std::error::Error + 'static)) -> CallError {
        let cause = root_cause(error);
        CallError::Unreachable {
            endpoint: self.shared.endpoint.to_string(),
            cause: cause.to_string(),
            advice: error::advice(cause),
        }
    }

    fn silent(&self, cause: &str) -> CallError {
        CallError::Unreachable {
            endpoint: self.shared.endpoint.to_string(),
            cause: cause.to_owned(),
            advice: error::START_ONE,
        }
    }
}

/// Returns who the command line says it is.
const fn agent() -> HeaderValue {
    HeaderValue::from_static(concat!("roentgen/", env!("CARGO_PKG_VERSION")))
}

/// Returns the innermost reason; the client's own words add only "client error (Connect)".
pub(crate) fn root_cause<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> &'e (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// How long one try may take.
const REPLY_TIMEOUT: Duration = Duration::from_mins(1);
/// After how long no further try is begun.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);
const REPLY_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests;
