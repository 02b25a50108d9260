//! Calls that are tried until something comes of them: who has no room is waited for, who answers no more for a while.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use protocol::Operation;

use crate::client::retry::{TRIES_MAX, may_repeat, pause};
use crate::client::{CallError, Client, Reply};
use crate::exit::{Exit, Stop};
use crate::stopping::Stopping;
use crate::terminal::{Progress, printable};

/// A server of the API.
#[derive(Debug)]
pub(super) struct Server {
    client: Client,
    /// When it last answered anything; nothing if it never did.
    last_answer: Mutex<Option<Instant>>,
    /// What people were told that is waited for.
    told: Mutex<BTreeSet<String>>,
    progress: Arc<Progress>,
}

/// What came of a call.
pub(super) enum Answered {
    /// An answer, and how long it took.
    Reply(Reply, Duration),
    /// The call was sent, no answer came, and it must not be sent twice.
    Lost(String),
    /// The end was asked for while the server was waited for.
    Never,
}

impl Server {
    /// Returns a server that nothing was sent to yet.
    pub(super) fn new(client: Client, progress: Arc<Progress>) -> Self {
        Self {
            client,
            last_answer: Mutex::new(None),
            told: Mutex::new(BTreeSet::new()),
            progress,
        }
    }

    /// Calls an operation until it is answered. A server without room is asked again for ever, one that fails until it
    /// has failed `n_failures_max` times, and one that answers nobody any more for [`PATIENCE`]. Adds to `n_again` how
    /// often it was tried again.
    ///
    /// # Errors
    /// Stops if no server answers, or requests cannot be signed.
    pub(super) async fn exchange(
        &self,
        operation: Operation,
        body: &Bytes,
        n_failures_max: u32,
        stopping: &mut Stopping,
        n_again: &mut u64,
    ) -> Result<Answered, Stop> {
        let (mut n_tries, mut n_failures) = (0_u32, 0);
        let mut lost_since: Option<Instant> = None;
        loop {
            let begun = Instant::now();
            let outcome = self.client.send(self.request(operation, body)?).await;
            let took = begun.elapsed();
            n_tries = n_tries.saturating_add(1);
            n_failures += u32::from(is_failure(&outcome));
            let last_answer = self.note_answer(outcome.is_ok());
            let Some(last_answer) = last_answer else {
                return Err(lost(outcome.err(), false));
            };
            match &outcome {
                Ok(_) => lost_since = None,
                Err(CallError::Unreachable { cause, .. }) => {
                    let first = *lost_since.get_or_insert(begun);
                    if is_given_up(last_answer, first, Instant::now()) {
                        return Err(lost(outcome.err(), true));
                    }
                    if !may_repeat(operation) {
                        return Ok(Answered::Lost(cause.clone()));
                    }
                }
                Err(_) => return Err(lost(outcome.err(), true)),
            }
            let is_over = is_failure(&outcome) && n_failures >= n_failures_max;
            // However often a server without room was asked, it is asked again.
            let pause = pause(&outcome, may_repeat(operation), n_tries.min(TRIES_MAX - 1));
            let Some(pause) = pause.filter(|_| !is_over) else {
                return match outcome {
                    Ok(reply) => Ok(Answered::Reply(reply, took)),
                    Err(error) => Err(lost(Some(error), true)),
                };
            };
            if n_tries >= TRIES_SILENT {
                self.tell(&outcome);
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => *n_again += 1,
                () = stopping.asked() => return Ok(Answered::Never),
            }
        }
    }

    /// Waits before documents are sent again that the server had no room for, as its answer asks; after so many tries in
    /// vain. Tells whether they are to be sent, which they are not if the end is asked for.
    pub(super) async fn wait(
        &self,
        headers: HeaderMap,
        code: &str,
        n_tries: u32,
        stopping: &mut Stopping,
    ) -> bool {
        let outcome = Ok(throttled(headers, code));
        if n_tries >= TRIES_SILENT {
            self.tell(&outcome);
        }
        let pause = pause(&outcome, false, n_tries.clamp(1, TRIES_MAX - 1));
        tokio::select! {
            () = tokio::time::sleep(pause.unwrap_or_default()) => true,
            () = stopping.asked() => false,
        }
    }

    /// Returns when the server last answered, which may be now.
    fn note_answer(&self, has_answered: bool) -> Option<Instant> {
        let mut last_answer = self
            .last_answer
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if has_answered {
            *last_answer = Some(Instant::now());
        }
        *last_answer
    }

    /// Tells people what is waited for, of each reason once.
    fn tell(&self, outcome: &Result<Reply, CallError>) {
        let (what, why) = match outcome {
            Ok(reply) => {
                let (code, message) = reply.error();
                (code.clone(), format!("{code}: {message}"))
            }
            Err(CallError::Unreachable { cause, .. }) => {
                let minutes = PATIENCE.as_secs() / 60;
                let why = format!("no answer: {cause}; it is given up after {minutes} minutes");
                ("no answer".to_owned(), why)
            }
            Err(_) => return,
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert(what) {
            let endpoint = self.client.endpoint();
            let line = format!("waiting for {endpoint}: {why}");
            self.progress.note(&printable(&line));
        }
    }

    fn request(&self, operation: Operation, body: &Bytes) -> Result<Request<Bytes>, Stop> {
        let url = self.client.url(operation.path());
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.body(body.clone()).map_err(Stop::failed)
    }
}

/// Tells whether an answer says that the server failed, and not that it has no room.
pub(super) fn is_failure(outcome: &Result<Reply, CallError>) -> bool {
    let Ok(reply) = outcome else {
        return false;
    };
    let has_no_room =
        reply.status == StatusCode::SERVICE_UNAVAILABLE || pause(outcome, false, 1).is_some();
    reply.status.is_server_error() && !has_no_room
}

/// Tells whether a server is waited for no longer that answered last, somebody, at one time, and does not answer this call
/// since another one.
fn is_given_up(last_answer: Instant, lost_since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(last_answer.max(lost_since)) > PATIENCE
}

fn throttled(headers: HeaderMap, code: &str) -> Reply {
    Reply {
        headers,
        ..throttled_as(StatusCode::TOO_MANY_REQUESTS, code)
    }
}

fn throttled_as(status: StatusCode, code: &str) -> Reply {
    let body = serde_json::json!({ "__type": code });
    Reply {
        status,
        headers: HeaderMap::new(),
        body: body.to_string().into(),
    }
}

/// Returns the end of a replay whose target does not answer, or cannot be asked.
fn lost(error: Option<CallError>, was_there: bool) -> Stop {
    match error {
        Some(CallError::Unreachable {
            endpoint, cause, ..
        }) if was_there => {
            let message = format!("{endpoint} answers no more: {cause}");
            Stop::new(Exit::Unreachable, message)
        }
        Some(other) => other.into(),
        None => Stop::failed("no answer"),
    }
}

/// How long a server that answered before is waited for: some times as long as one try may take.
const PATIENCE: Duration = Duration::from_mins(5);
/// So many tries in vain are nothing people have to know of.
const TRIES_SILENT: u32 = 3;
/// Of so many reasons to wait people are told.
const TOLD_MAX: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_not_a_lack_of_room() {
        for (status, code, expected) in [
            (200, "", false),
            (400, "InvalidRequestException", false),
            (429, "", false),
            (500, "InternalFailure", true),
            (500, "ThrottlingException", false),
            (501, "", true),
            (502, "", true),
            (503, "ServiceUnavailable", false),
            (504, "", true),
        ] {
            let reply = throttled_as(StatusCode::from_u16(status).unwrap(), code);
            assert_eq!(is_failure(&Ok(reply)), expected, "{status} {code}");
        }
    }

    #[test]
    fn patience_begins_with_the_last_answer_of_anybody() {
        let begin = Instant::now();
        let check = |last_answer_secs: u64, lost_secs: u64, now_secs: u64, expected| {
            let at = |secs| begin + Duration::from_secs(secs);
            let is_given_up = is_given_up(at(last_answer_secs), at(lost_secs), at(now_secs));
            assert_eq!(
                is_given_up, expected,
                "{last_answer_secs} {lost_secs} {now_secs}"
            );
        };
        // A try that hung for a minute while others were answered.
        check(59, 0, 60, false);
        check(0, 0, 61, false);
        check(0, 0, 301, true);
        check(299, 0, 301, false);
        // Nothing was sent for a long time, and then the server is away for a moment.
        check(0, 3600, 3601, false);
        check(0, 3600, 3901, true);
    }
}
