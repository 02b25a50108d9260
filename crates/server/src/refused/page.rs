//! `GET /api/v1/refused`: what was refused lately, the newest first, with the filters of its query.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Response;
use model::{Account, Timestamp, TraceId};
use protocol::{ApiError, json_response};
use serde::Serialize;

use super::{Entry, RefusedLog};
use crate::app::App;
use crate::origin::Doorway;
use crate::parameters;

/// Answers a request for what an account was refused.
///
/// # Errors
/// Says what is wrong with the query.
pub(crate) async fn show(
    app: &App,
    query: &str,
    request_id: &str,
) -> Result<Response<Bytes>, ApiError> {
    let asked = Asked::parse(query).map_err(ApiError::invalid_request)?;
    let page = read(&app.refused, &asked).await;
    let shown = Shown {
        refused: page
            .entries
            .iter()
            .map(|entry| ShownEntry::of(&app.account, entry))
            .collect(),
        next: page.next.map(|id| id.to_string()),
    };
    Ok(json_response(&shown, request_id))
}

/// What a query asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) limit: usize,
    pub(super) door: Option<Doorway>,
    pub(super) code: Option<String>,
    pub(super) peer: Option<Peer>,
    /// A segment's or a trace's.
    pub(super) id: Option<String>,
    /// Not before.
    pub(super) since: Option<Timestamp>,
    /// Before.
    pub(super) until: Option<Timestamp>,
    /// Only entries with smaller ids than this.
    pub(super) after: u64,
}

/// Whom to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Address(IpAddr),
    Socket(SocketAddr),
}

/// Some of the entries, and where the next ones begin.
pub(super) struct Found {
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) next: Option<u64>,
}

/// Returns the newest entries that are asked for. The log is locked for a part of it at a time.
pub(super) async fn read(log: &RefusedLog, asked: &Asked) -> Found {
    let mut entries: Vec<Arc<Entry>> = Vec::new();
    let mut after = asked.after;
    loop {
        let part = log.before(after, ENTRIES_A_LOOK);
        let Some(last) = part.last() else { break };
        after = last.id;
        for entry in part {
            if !asked.wants(&entry) {
                continue;
            }
            if entries.len() == asked.limit {
                let next = entries.last().map(|entry| entry.id);
                return Found { entries, next };
            }
            entries.push(entry);
        }
        tokio::task::yield_now().await;
    }
    Found {
        entries,
        next: None,
    }
}

impl Asked {
    /// Reads a query.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        for (name, value) in parameters::read(query, &PARAMETERS)? {
            asked
                .set(name, &value)
                .map_err(|expected| format!("{name}: {expected} is expected"))?;
        }
        Ok(asked)
    }

    /// Sets one parameter or says what its value should be.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Cow<'static, str>> {
        match name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| LIMITS.contains(limit));
                self.limit = limit.ok_or("a number from 1 to 1000")?;
            }
            "door" => self.door = Some(door(value)?),
            "code" => self.code = Some(text(value).ok_or("a code such as MissingId")?),
            "peer" => self.peer = Some(peer(value).ok_or(PEER_EXPECTED)?),
            "id" => self.id = Some(text(value).ok_or("the id of a segment or a trace")?),
            "since" => self.since = Some(time(value).ok_or(TIME_EXPECTED)?),
            "until" => self.until = Some(time(value).ok_or(TIME_EXPECTED)?),
            _ => {
                let after = value.parse().ok();
                self.after = after.ok_or("what \"next\" of the page before says")?;
            }
        }
        Ok(())
    }

    fn wants(&self, entry: &Entry) -> bool {
        let refused = &entry.refused;
        let origin = refused.origin;
        self.door.is_none_or(|door| origin.doorway == door)
            && self.since.is_none_or(|since| refused.time >= since)
            && self.until.is_none_or(|until| refused.time < until)
            && self.peer.is_none_or(|peer| peer.is_of(origin.peer))
            && self.code.as_ref().is_none_or(|code| refused.code == code)
            && self.id.as_ref().is_none_or(|id| is_about(entry, id))
    }
}

impl Default for Asked {
    fn default() -> Self {
        Self {
            limit: LIMIT_DEFAULT,
            door: None,
            code: None,
            peer: None,
            id: None,
            since: None,
            until: None,
            after: u64::MAX,
        }
    }
}

impl Peer {
    fn is_of(self, peer: SocketAddr) -> bool {
        match self {
            Self::Address(address) => peer.ip().to_canonical() == address.to_canonical(),
            Self::Socket(socket) => {
                peer.port() == socket.port()
                    && peer.ip().to_canonical() == socket.ip().to_canonical()
            }
        }
    }
}

fn is_about(entry: &Entry, id: &str) -> bool {
    let refused = &entry.refused;
    let is_of_segment = refused.segment_id.as_deref() == Some(id);
    let trace_id = TraceId::parse(id).ok();
    is_of_segment || (trace_id.is_some() && refused.trace_id == trace_id)
}

fn door(name: &str) -> Result<Doorway, String> {
    let found = DOORS.into_iter().find(|door| door.name() == name);
    found.ok_or_else(|| format!("one of {}", DOORS.map(Doorway::name).join(", ")))
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

fn peer(value: &str) -> Option<Peer> {
    let socket = value.parse().map(Peer::Socket);
    socket.or_else(|_| value.parse().map(Peer::Address)).ok()
}

/// Reads a time as seconds since 1970, as the API writes times, or as logs write them.
fn time(value: &str) -> Option<Timestamp> {
    if let Ok(time) = Timestamp::parse_seconds(value) {
        return Some(time);
    }
    let time = humantime::parse_rfc3339_weak(value).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_nanos(u64::try_from(since.as_nanos()).ok()?))
}

#[derive(Serialize)]
struct Shown<'e> {
    refused: Vec<ShownEntry<'e>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct ShownEntry<'e> {
    id: u64,
    time: String,
    door: &'static str,
    peer: String,
    account: &'e str,
    region: &'e str,
    code: &'static str,
    message: &'e str,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_id: Option<&'e str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    n_documents: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    excerpt: &'e str,
}

impl<'e> ShownEntry<'e> {
    fn of(account: &'e Account, entry: &'e Entry) -> Self {
        let refused = &entry.refused;
        let since = Duration::from_nanos(refused.time.as_nanos());
        let time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since);
        Self {
            id: entry.id,
            time: time.to_string(),
            door: refused.origin.doorway.name(),
            peer: refused.origin.peer.to_string(),
            account: &account.id,
            region: &account.region,
            code: refused.code,
            message: &refused.message,
            segment_id: refused.segment_id.as_deref(),
            trace_id: refused.trace_id.map(|trace_id| trace_id.to_string()),
            n_documents: refused.n_documents,
            excerpt: &refused.excerpt,
        }
    }
}

const PARAMETERS: [&str; 8] = [
    "limit", "door", "code", "peer", "id", "since", "until", "after",
];
const DOORS: [Doorway; 4] = [
    Doorway::Api,
    Doorway::Udp,
    Doorway::OtlpHttp,
    Doorway::OtlpGrpc,
];
const LIMITS: std::ops::RangeInclusive<usize> = 1..=1000;
const LIMIT_DEFAULT: usize = 100;
const PEER_EXPECTED: &str = "an address such as 192.0.2.1, with or without a port,";
const TIME_EXPECTED: &str = "a time such as 2026-01-31T08:15:00Z or seconds since 1970";
/// About 20 microseconds of work under the lock.
const ENTRIES_A_LOOK: usize = 512;
