//! When a call is tried again, and after how long.
//!
//! The pause is a random part of a bound that doubles, so that clients refused together do not come back together
//! (full jitter). A server that says how long it needs is believed, within reason.

use std::time::Duration;

use http::header::{DATE, RETRY_AFTER};
use httpdate::parse_http_date;
use protocol::Operation;

use super::{CallError, Reply};

/// How long a server is tried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    tries_max: u32,
    /// The longest time a server that says how long it needs is believed.
    asked_max: Duration,
    /// After how long no further try is begun.
    pub(super) whole: Duration,
}

impl Patience {
    /// Of somebody who waits.
    pub(super) const USUAL: Self = Self {
        tries_max: TRIES_MAX,
        asked_max: Duration::from_secs(30),
        whole: Duration::from_mins(1),
    };
    /// Of work that takes long anyway.
    pub(super) const LONG: Self = Self {
        tries_max: u32::MAX,
        asked_max: Duration::MAX,
        whole: Duration::from_mins(15),
    };

    /// Returns how long to wait before the next try, see [`pause`].
    pub(super) fn pause(
        self,
        outcome: &Result<Reply, CallError>,
        may_repeat: bool,
        n_tries: u32,
    ) -> Option<Duration> {
        if n_tries >= self.tries_max || !is_worth_it(outcome, may_repeat) {
            return None;
        }
        let asked = outcome.as_ref().ok().and_then(asked);
        let part = getrandom::u32().unwrap_or(u32::MAX / 2);
        let jittered = part_of(bound(n_tries), part);
        Some(asked.map_or(jittered, |asked| {
            asked
                .min(self.asked_max)
                .saturating_add(part_of(PAUSE_FIRST, part))
        }))
    }
}

/// Returns how long to wait before the next try, nothing if there shall be none. `may_repeat` tells whether a call that
/// failed may be done again; one the server had no room for always may.
pub(crate) fn pause(
    outcome: &Result<Reply, CallError>,
    may_repeat: bool,
    n_tries: u32,
) -> Option<Duration> {
    Patience::USUAL.pause(outcome, may_repeat, n_tries)
}

fn is_worth_it(outcome: &Result<Reply, CallError>, may_repeat: bool) -> bool {
    match outcome {
        Ok(reply) => is_throttled(reply) || (may_repeat && reply.status.is_server_error()),
        Err(CallError::Unreachable { .. }) => may_repeat,
        Err(CallError::Refused { .. } | CallError::Nonsense(_) | CallError::Unsigned(_)) => false,
    }
}

/// Tells whether an operation may be done twice. Documents may: the same one again changes nothing.
pub(crate) fn may_repeat(operation: Operation) -> bool {
    let name = operation.name();
    let is_read = ["Get", "BatchGet", "List"]
        .iter()
        .any(|verb| name.starts_with(verb));
    // What clients used of their quotas would be counted twice.
    let is_counted = operation == Operation::GetSamplingTargets;
    (is_read && !is_counted) || operation == Operation::PutTraceSegments
}

/// Tells whether the server has no room now, in whatever words.
pub(super) fn is_throttled(reply: &Reply) -> bool {
    if reply.status.is_success() {
        return false;
    }
    let (code, _) = reply.error();
    reply.status.as_u16() == 429 || is_throttling(&code)
}

/// Tells whether a code says that there is no room now.
pub(crate) fn is_throttling(code: &str) -> bool {
    THROTTLING.contains(&code)
}

/// Returns how long the server asks to be left alone. A point in time is one of its own clock.
pub(super) fn asked(reply: &Reply) -> Option<Duration> {
    let text = |name| reply.headers.get(name)?.to_str().ok().map(str::trim);
    let value = text(RETRY_AFTER)?;
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = parse_http_date(value).ok()?;
    let now = parse_http_date(text(DATE)?).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// Returns the longest pause after this many tries.
fn bound(n_tries: u32) -> Duration {
    let doubled = n_tries.saturating_sub(1).min(16);
    PAUSE_FIRST.saturating_mul(1 << doubled).min(PAUSE_MAX)
}

/// Returns a part of a time, `u32::MAX` the whole.
fn part_of(whole: Duration, part: u32) -> Duration {
    whole.mul_f64(f64::from(part) / f64::from(u32::MAX))
}

pub(crate) const TRIES_MAX: u32 = 8;
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);
const THROTTLING: &[&str] = &[
    "ThrottledException",
    "ThrottlingException",
    "Throttling",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
];

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn reply(status: u16, code: &str, retry_after: Option<&'static str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        Reply {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Bytes::from(format!("{{\"__type\": \"{code}\"}}")),
        }
    }

    fn check(status: u16, code: &str, may_repeat: bool, is_repeated: bool) {
        let outcome = Ok(reply(status, code, None));
        let pause = pause(&outcome, may_repeat, 1);
        assert_eq!(pause.is_some(), is_repeated, "{status} {code} {may_repeat}");
    }

    #[test]
    fn what_may_be_done_again_is() {
        check(200, "", true, false);
        check(400, "InvalidRequestException", true, false);
        check(429, "", false, true);
        check(400, "ThrottledException", false, true);
        check(400, "x#ThrottlingException", false, true);
        check(500, "", false, false);
        check(503, "", true, true);
        let unreachable = || {
            Err(CallError::Unreachable {
                endpoint: String::new(),
                cause: String::new(),
                advice: "",
            })
        };
        assert!(pause(&unreachable(), true, 1).is_some());
        assert_eq!(pause(&unreachable(), false, 1), None);
        assert_eq!(
            pause(&Err(CallError::Unsigned(String::new())), true, 1),
            None
        );
    }

    #[test]
    fn tries_and_pauses_are_bounded() {
        let outcome = || Ok(reply(429, "", None));
        assert!(pause(&outcome(), true, TRIES_MAX - 1).is_some_and(|pause| pause <= PAUSE_MAX));
        assert_eq!(pause(&outcome(), true, TRIES_MAX), None);
        let bounds: Vec<u128> = (1..=7).map(|n_tries| bound(n_tries).as_millis()).collect();
        assert_eq!(bounds, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(part_of(PAUSE_MAX, 0), Duration::ZERO);
        assert_eq!(part_of(PAUSE_MAX, u32::MAX), PAUSE_MAX);
    }

    #[test]
    fn a_server_that_says_when_is_believed() {
        let wait = |text| pause(&Ok(reply(429, "", Some(text))), true, 1).unwrap();
        assert!(wait("3") >= Duration::from_secs(3) && wait("3") < Duration::from_secs(4));
        assert!(wait("100000") <= Patience::USUAL.asked_max + PAUSE_FIRST);
        assert!(wait("soon") <= PAUSE_FIRST);
    }

    #[test]
    fn who_takes_long_anyway_waits_as_long_as_it_is_told_to() {
        let refused = Ok(reply(429, "", Some("60")));
        let pause = Patience::LONG.pause(&refused, true, 500).unwrap();
        assert!(pause >= Duration::from_mins(1) && pause < Duration::from_secs(61));
        assert!(
            Patience::LONG
                .pause(&Ok(reply(503, "", None)), true, 500)
                .is_some()
        );
    }

    #[test]
    fn a_point_in_time_is_as_far_away_as_the_server_says() {
        let check = |until: &'static str, expected: Option<u64>| {
            let mut reply = reply(429, "", Some(until));
            assert_eq!(asked(&reply), None, "nothing says what time it is");
            let now = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
            reply.headers.insert(DATE, now);
            assert_eq!(asked(&reply).map(|asked| asked.as_secs()), expected);
        };
        check("Sun, 06 Nov 1994 08:50:47 GMT", Some(70));
        check("Mon, 07 Nov 1994 08:49:37 GMT", Some(86_400));
        check("Sun, 06 Nov 1994 08:00:00 GMT", Some(0));
        check("Sun, 06 Nov 1994 08:50:47", None);
        check("Sun, 06 Nox 1994 08:50:47 GMT", None);
        check("soon, please", None);
    }

    #[test]
    fn reads_and_documents_may_be_sent_twice() {
        for (operation, expected) in [
            (Operation::BatchGetTraces, true),
            (Operation::GetTraceSummaries, true),
            (Operation::ListTagsForResource, true),
            (Operation::PutTraceSegments, true),
            (Operation::GetSamplingTargets, false),
            (Operation::CreateGroup, false),
            (Operation::StartTraceRetrieval, false),
        ] {
            assert_eq!(may_repeat(operation), expected, "{}", operation.name());
        }
    }
}
