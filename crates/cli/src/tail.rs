//! `roentgen tail`: traces as they arrive.
//!
//! A server of ours tells (`/api/v1/tail`); one that does not know that page is asked again and again.

mod events;
mod poll;

use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::Session;
use crate::client::{CallError, Stream, Summary};
use crate::exit::{Exit, Stop};
use crate::filter::filter;
use crate::stopping::Stopping;
use crate::terminal::{Listing, OutFlags, counted, note, printable};
use events::{Event, Events};

/// Which traces to follow, and how they are shown.
#[derive(Args, Debug)]
pub struct Options {
    /// Which traces, as a filter expression; all without one
    #[arg(value_name = "EXPRESSION")]
    expression: Option<String>,
    /// Go on behind this event: the id an earlier tail ended with
    #[arg(long, value_name = "ID", value_parser = event_id)]
    since: Option<String>,
    #[command(flatten)]
    out: OutFlags,
}

/// What was shown so far.
struct Shown {
    listing: Listing<Summary>,
    n_traces: u64,
    n_gaps: u64,
    /// Whether the server ever began to tell.
    is_told: bool,
}

/// How a stream of events ended.
enum End {
    /// The end was asked for.
    Asked,
    /// It broke off, for this reason; whether it had told anything.
    Broken { cause: String, had_begun: bool },
    /// The server has no such page.
    Unknown,
}

/// Prints traces as they arrive, until the end is asked for.
pub(crate) async fn run(session: &Session, options: &Options) -> Result<Exit, Stop> {
    let expression = options.expression.as_deref();
    if let Some(expression) = expression {
        filter(expression)?;
    }
    let mut stopping = Stopping::catch()?;
    let mut shown = Shown {
        listing: options.out.out().listing(),
        n_traces: 0,
        n_gaps: 0,
        is_told: false,
    };
    let mut events = Events::default();
    if let Some(id) = &options.since {
        events.since(id);
    }
    let is_told = !session.client.endpoint().is_aws()
        && listen(session, expression, &mut events, &mut shown, &mut stopping).await?;
    if !is_told {
        note("this server does not tell what arrives: asking for new traces every two seconds");
        if options.since.is_some() {
            note("--since means nothing to it");
        }
        poll::run(session, expression, &mut shown, &mut stopping).await?;
    }
    let (traces, gaps) = (
        counted(shown.n_traces, "trace"),
        counted(shown.n_gaps, "gap"),
    );
    note(&format!("{traces}, {gaps}"));
    if let Some(id) = events.last_id().filter(|id| !id.is_empty()) {
        note(&format!("go on with --since {}", printable(id)));
    }
    Ok(stopping.exit_or(Exit::Done))
}

/// Shows what the server tells until the end is asked for, over as many connections as it takes; returns whether it
/// is one that tells.
async fn listen(
    session: &Session,
    expression: Option<&str>,
    events: &mut Events,
    shown: &mut Shown,
    stopping: &mut Stopping,
) -> Result<bool, Stop> {
    let mut pause = PAUSE_FIRST;
    loop {
        match stream(session, expression, events, shown, stopping).await? {
            End::Asked => return Ok(true),
            End::Unknown => return Ok(false),
            End::Broken { cause, had_begun } => {
                if had_begun {
                    pause = PAUSE_FIRST;
                }
                note(&format!("{cause}; trying again"));
            }
        }
        tokio::select! {
            () = stopping.asked() => return Ok(true),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MAX);
        events.begin_anew();
    }
}

/// Shows what the server tells over one connection.
async fn stream(
    session: &Session,
    expression: Option<&str>,
    events: &mut Events,
    shown: &mut Shown,
    stopping: &mut Stopping,
) -> Result<End, Stop> {
    let request = request(session, expression, events.last_id())?;
    let opened = tokio::select! {
        () = stopping.asked() => return Ok(End::Asked),
        opened = session.client.stream(request) => opened,
    };
    let mut stream = match opened {
        Ok(stream) if stream.status.is_success() && is_events(&stream.headers) => stream,
        Ok(stream) => return refused(stream, shown.is_told).await,
        // A server that never told anything is not there.
        Err(error @ CallError::Unreachable { .. }) if shown.is_told => {
            return Ok(broken(&error, false));
        }
        Err(error) => return Err(error.into()),
    };
    shown.is_told = true;
    let mut had_begun = false;
    loop {
        let bytes = tokio::select! {
            () = stopping.asked() => return Ok(End::Asked),
            bytes = stream.next(SILENCE_MAX) => bytes,
        };
        let bytes = match bytes {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(broken(&"the server ended the stream", had_begun)),
            Err(error) => return Ok(broken(&error, had_begun)),
        };
        had_begun = true;
        for event in events.read(&bytes).map_err(Stop::failed)? {
            shown.event(&event)?;
        }
        shown.listing.show()?;
    }
}

fn broken(cause: &dyn std::fmt::Display, had_begun: bool) -> End {
    End::Broken {
        cause: cause.to_string(),
        had_begun,
    }
}

/// Returns the request for what arrives behind the last event.
fn request(
    session: &Session,
    expression: Option<&str>,
    last_id: Option<&str>,
) -> Result<Request<Bytes>, Stop> {
    let filter = match expression {
        Some(text) => format!("?filter={}", utf8_percent_encode(text, NON_ALPHANUMERIC)),
        None => String::new(),
    };
    let url = session.client.url(&format!("{PATH}{filter}"));
    let mut request = Request::get(url).header(ACCEPT, EVENT_STREAM);
    if let Some(id) = last_id.filter(|id| !id.is_empty()) {
        let id = HeaderValue::from_str(id);
        let id = id.map_err(|_| Stop::usage("--since: expected the id of an event"))?;
        request = request.header(LAST_EVENT_ID, id);
    }
    request.body(Bytes::new()).map_err(Stop::failed)
}

/// Tells whether an answer is a stream of events.
fn is_events(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()?.split(';').next());
    kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Returns what an answer means that is no stream of events.
async fn refused(stream: Stream, is_told: bool) -> Result<End, Stop> {
    if is_unknown(stream.status) {
        // One that told before is hidden for a while, by what stands before it.
        let cause = format!("{} instead of events", stream.status);
        return Ok(if is_told {
            broken(&cause, false)
        } else {
            End::Unknown
        });
    }
    let reply = stream.whole().await?;
    let (code, message) = reply.error();
    match reply.status {
        StatusCode::BAD_REQUEST if !is_told => Ok(End::Unknown),
        StatusCode::TOO_MANY_REQUESTS => Ok(broken(&format!("{code}: {message}"), false)),
        status if status.is_server_error() => Ok(broken(&format!("{code}: {message}"), false)),
        _ => Err(Stop::failed(format!(
            "the server refused: {code}: {message}"
        ))),
    }
}

/// Tells whether an answer that is no stream of events comes from a server that does not know the page: what answers
/// every address with a page of its own does not, either.
fn is_unknown(status: StatusCode) -> bool {
    status.is_success()
        || matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        )
}

/// Returns an id as events have it.
fn event_id(text: &str) -> Result<String, String> {
    let id = text.parse::<u64>();
    id.map(|_| text.to_owned())
        .map_err(|_| "expected the number an earlier tail ended with".to_owned())
}

impl Shown {
    fn trace(&mut self, summary: &Summary) -> Result<(), Stop> {
        self.n_traces += 1;
        self.listing.push(summary)
    }

    /// Shows an event; one of a kind that is not known means nothing.
    fn event(&mut self, event: &Event) -> Result<(), Stop> {
        match event.name.as_str() {
            "trace" => match serde_json::from_str(&event.data) {
                Ok(summary) => self.trace(&summary),
                Err(error) => {
                    note(&format!(
                        "an event that is no summary: {}",
                        printable(&error.to_string())
                    ));
                    Ok(())
                }
            },
            "gap" => {
                self.gap(&gap(&event.data));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn gap(&mut self, told: &str) {
        self.n_gaps += 1;
        note(told);
    }
}

/// Returns what people are told of a gap.
fn gap(data: &str) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Gap {
        n_changes: Option<u64>,
    }
    let gap: Gap = serde_json::from_str(data).unwrap_or_default();
    match gap.n_changes {
        Some(n_changes) => format!("a gap: {} not shown", counted(n_changes, "change")),
        None => "a gap: some changes not shown".to_owned(),
    }
}

pub(crate) const EXAMPLES: &str = "Examples:
  roentgen tail
  roentgen tail 'fault OR responsetime > 2'
  roentgen tail error --json | jq -r .Id
  roentgen tail --since 1795300000000042";
pub(crate) const ABOUT: &str = "Show traces of a server as they arrive

A line for each trace that is new or has changed, until Ctrl-C; connections that break are made again and
nothing is left out, or the gap is told. FLAGS are F fault, E error, T throttled, P in progress.
Exit codes: 130 and 143 ended by a signal, 2 not an expression, 4 no server.";
const PATH: &str = "/api/v1/tail";
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The server gives a sign of life every 15 seconds.
const SILENCE_MAX: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_with_its_size_if_known() {
        let check = |data: &str, expected: &str| assert!(gap(data).contains(expected), "{data}");
        check(
            r#"{"after": 1, "until": 5, "n_changes": 4}"#,
            "4 changes not",
        );
        check(r#"{"n_changes": 1}"#, "1 change not");
        check(r#"{"n_changes": null}"#, "some changes");
        check("nonsense", "some changes");
    }

    #[test]
    fn a_stream_of_events_says_what_it_is() {
        let check = |kind: Option<&'static str>, expected| {
            let kind = kind.map(|kind| (CONTENT_TYPE, HeaderValue::from_static(kind)));
            assert_eq!(is_events(&kind.into_iter().collect()), expected);
        };
        check(Some("text/event-stream"), true);
        check(Some("Text/Event-Stream ; charset=utf-8"), true);
        check(Some("text/html"), false);
        check(Some("application/json"), false);
        check(None, false);
    }

    #[test]
    fn the_example_has_an_id_of_a_time() {
        let id = EXAMPLES
            .split("--since ")
            .nth(1)
            .and_then(|id| id.lines().next());
        let micros: u64 = id.unwrap().parse().unwrap();
        let year = 1970 + micros / 1_000_000 / 31_556_952;
        assert!((2020..2100).contains(&year), "{year}");
        assert!(event_id("x").is_err() && event_id("-1").is_err());
    }
}
