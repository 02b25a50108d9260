//! Calls: each is passed on as it came and written to the journal with its answer.
//!
//! 1. A call is read whole and sent on, by a task of its own: a client that hangs up takes nothing away from the journal.
//! 2. Its answer is collected until it ends, for no longer than a second and no larger than is recorded. Then the call is
//!    written: with an answer that ended, with the status of one that has begun, without any else.
//! 3. Only now its client is told something: what was collected, and the rest as it comes. A client that hangs up ends that.
//!
//! A call that the journal does not take is not passed on, and its client is told nothing: the connection breaks off.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use journal::{Answer, Call, Content, Door, Record, Verdicts};
use model::Timestamp;
use protocol::ApiError;
use tokio::time::{Instant, timeout, timeout_at};

use super::keeping::{Keeping, NotKept};
use super::passing::{Collected, Passing, collect};
use super::refusal::Tongue;
use super::upstream::{Upstream, is_grpc};
use super::verdicts::{Answered, verdicts};
use crate::stopping::Stopping;

/// Passes calls on to a server.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) upstream: Upstream,
    pub(super) keeping: Keeping,
    pub(super) now: fn() -> Timestamp,
    pub(super) stopping: Stopping,
    pub(super) figures: Arc<Figures>,
}

/// What did not go as its client wished.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Calls that got no answer from the server.
    pub(super) unanswered: AtomicU64,
    /// Calls that did not come whole, or are too large: they were neither passed on nor written.
    pub(super) unread: AtomicU64,
}

/// Why a client is told nothing; its connection breaks off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untold {
    /// There is no copy.
    #[error(transparent)]
    NotKept(#[from] NotKept),
    /// It went away itself.
    #[error("the call broke off")]
    BrokenOff,
    /// The task failed.
    #[error("the call failed: {0}")]
    Failed(#[from] tokio::task::JoinError),
}

/// A call whose copy is kept.
enum Kept {
    Answered(Response<Passing>),
    /// The server takes its time.
    Waiting(Waiting),
}

type Waiting = Pin<Box<dyn Future<Output = Response<Passing>> + Send>>;

/// What a client is told where there is no answer of the server.
struct NoAnswer(StatusCode, ApiError);

/// A call on its way to the journal.
struct Copy {
    call: Call,
    at: Timestamp,
    /// Since when the server may know of it.
    since: Timestamp,
    door: Door,
    peer: SocketAddr,
}

impl Pass {
    /// Answers a call with what the server answers. The call is taken at once, not only when somebody waits for the
    /// answer: a client that sends and hangs up has called, too.
    ///
    /// # Errors
    /// Says why its client is told nothing.
    pub(super) fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Result<Response<Passing>, Untold>> {
        let passing = tokio::spawn(async move { self.pass(request, peer).await });
        async move {
            match passing.await?? {
                Kept::Answered(response) => Ok(response),
                Kept::Waiting(waiting) => Ok(waiting.await),
            }
        }
    }

    async fn pass(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Kept, Untold> {
        let at = (self.now)();
        let (head, body) = request.into_parts();
        let tongue = Tongue::of(&head.headers);
        let body = match read(body).await {
            Ok(body) => body,
            Err(unread) => {
                self.figures.unread.fetch_add(1, Ordering::Relaxed);
                let NoAnswer(status, error) = unread.ok_or(Untold::BrokenOff)?;
                return Ok(Kept::Answered(tongue.refuse(status, &error)));
            }
        };
        if self.keeping.is_over() {
            return Err(NotKept.into());
        }
        let copy = Copy::of(&head, body.clone(), at, (self.now)(), peer);
        let begun = Instant::now();
        let mut forwarding = Box::pin(Arc::clone(&self).forward(head, body));
        let Ok(answer) = timeout_at(begun + ANSWER_WAIT, &mut forwarding).await else {
            self.keep(copy, None, None).await?;
            // Until it has answered it has not.
            self.figures.unanswered.fetch_add(1, Ordering::Relaxed);
            let waiting = Box::pin(async move {
                match forwarding.await {
                    Ok(response) => self.late(response),
                    Err(NoAnswer(status, error)) => tongue.refuse(status, &error),
                }
            });
            return Ok(Kept::Waiting(waiting));
        };
        match answer {
            Ok(response) => self.answer(copy, response, tongue, begun).await,
            Err(no_answer) => self.no_answer(copy, tongue, no_answer).await,
        }
        .map(Kept::Answered)
    }

    /// Sends a call on and returns the answer as soon as it begins.
    async fn forward(
        self: Arc<Self>,
        head: Parts,
        body: Bytes,
    ) -> Result<Response<Incoming>, NoAnswer> {
        let server = self.upstream.endpoint();
        match timeout(PATIENCE, self.upstream.send(head, body)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(cause)) => Err(self.broken_off(&cause)),
            Err(_elapsed) => {
                let message = format!("no answer from {server} in time");
                Err(NoAnswer(
                    StatusCode::GATEWAY_TIMEOUT,
                    ApiError::timeout(message),
                ))
            }
        }
    }

    /// Keeps a call whose answer has begun, and returns the answer.
    async fn answer(
        &self,
        copy: Copy,
        response: Response<Incoming>,
        tongue: Tongue,
        begun: Instant,
    ) -> Result<Response<Passing>, Untold> {
        let (head, body) = response.into_parts();
        let collected = if is_endless(&head.headers) {
            Ok(Collected::Begun(Passing::untouched(body)))
        } else {
            collect(body, begun + ANSWER_WAIT).await
        };
        let status = head.status.as_u16();
        match collected {
            Ok(Collected::Whole(body, trailers)) => {
                let copy = copy.took(begun.elapsed());
                let answered = Answered {
                    is_success: head.status.is_success(),
                    headers: head.headers.clone(),
                    body: body.clone(),
                    trailers: trailers.clone(),
                };
                let verdicts = judged(&copy, answered).await;
                let answer = Answer {
                    status,
                    body: body.clone(),
                };
                self.keep(copy, Some(answer), verdicts).await?;
                Ok(Response::from_parts(head, Passing::whole(body, trailers)))
            }
            Ok(Collected::Begun(passing)) => {
                let body = Bytes::new();
                self.keep(copy, Some(Answer { status, body }), None).await?;
                let passing = self.with_end(&head.headers, passing);
                Ok(Response::from_parts(head, passing))
            }
            Err(error) => {
                let no_answer = self.broken_off(&error.to_string());
                self.no_answer(copy, tongue, no_answer).await
            }
        }
    }

    /// Keeps a call that has no answer, and returns what its client is told.
    async fn no_answer(
        &self,
        copy: Copy,
        tongue: Tongue,
        NoAnswer(status, error): NoAnswer,
    ) -> Result<Response<Passing>, Untold> {
        self.keep(copy, None, None).await?;
        self.figures.unanswered.fetch_add(1, Ordering::Relaxed);
        Ok(tongue.refuse(status, &error))
    }

    /// Returns an answer that came when its call was kept.
    fn late(&self, response: Response<Incoming>) -> Response<Passing> {
        self.figures.unanswered.fetch_sub(1, Ordering::Relaxed);
        let (head, body) = response.into_parts();
        let passing = self.with_end(&head.headers, Passing::untouched(body));
        Response::from_parts(head, passing)
    }

    /// Lets an answer that has no end of its own end when the program is asked to.
    fn with_end(&self, headers: &HeaderMap, passing: Passing) -> Passing {
        if !is_endless(headers) {
            return passing;
        }
        let mut stopping = self.stopping.clone();
        passing.until(async move { stopping.asked().await })
    }

    fn broken_off(&self, cause: &str) -> NoAnswer {
        let message = format!("no answer from {}: {cause}", self.upstream.endpoint());
        NoAnswer(StatusCode::BAD_GATEWAY, ApiError::unavailable(message))
    }

    async fn keep(
        &self,
        copy: Copy,
        answer: Option<Answer>,
        verdicts: Option<Verdicts>,
    ) -> Result<(), NotKept> {
        let mut call = copy.call;
        call.answer = answer;
        let record = Record {
            at: copy.at,
            door: copy.door,
            account: None,
            peer: Some(copy.peer),
            content: Content::Http(call),
            verdicts,
        };
        self.keeping.keep(record, copy.since).await
    }
}

impl Copy {
    fn of(head: &Parts, body: Bytes, at: Timestamp, since: Timestamp, peer: SocketAddr) -> Self {
        let target = head.uri.path_and_query();
        let target = target.map_or("/", |target| target.as_str());
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        Self {
            call: Call::new(head.method.as_str(), target, headers, body),
            at,
            since,
            door: if is_grpc(&head.headers) {
                Door::OtlpGrpc
            } else {
                Door::Api
            },
            peer,
        }
    }

    fn took(self, took: Duration) -> Self {
        Self {
            call: self.call.with_took(took),
            ..self
        }
    }
}

/// Returns the body of a call.
///
/// # Errors
/// What its client is told; nothing if it is gone.
async fn read(body: Incoming) -> Result<Bytes, Option<NoAnswer>> {
    let collecting = Limited::new(body, BODY_BYTES_MAX).collect();
    match timeout(PATIENCE, collecting).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body has more than {BODY_BYTES_MAX} bytes");
            let error = ApiError::too_large(message);
            Err(Some(NoAnswer(StatusCode::PAYLOAD_TOO_LARGE, error)))
        }
        Ok(Err(_broken_off)) => Err(None),
        Err(_elapsed) => {
            let error = ApiError::timeout("the body did not come in time");
            Err(Some(NoAnswer(error.status(), error)))
        }
    }
}

/// Returns what became of the documents of a call; large ones take a while to read.
async fn judged(copy: &Copy, answered: Answered) -> Option<Verdicts> {
    let (call, at) = (copy.call.clone(), copy.at);
    let judging = tokio::task::spawn_blocking(move || verdicts(&call, &answered, at));
    // A copy without verdicts is a copy.
    judging.await.ok().flatten()
}

/// Tells whether an answer goes on for as long as somebody listens.
fn is_endless(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// More than any server takes.
const BODY_BYTES_MAX: usize = 48 << 20;
/// How long a server may take to begin its answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a copy waits for the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
