//! Page tokens: a cursor the client carries and cannot read into, change or use elsewhere.
//!
//! A token is base64url of a version byte, the payload and the first 16 bytes of an HMAC-SHA256 over
//! version, kind, fingerprint and payload. The fingerprint is what of the request a token is bound to:
//! a token of one query does not open for another.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::digest::Key;
use hmac::{Hmac, KeyInit, Mac};
use model::Tenant;
use sha2::Sha256;

use crate::ApiError;

/// The secret tokens are sealed with: one per installation, kept by the store, and one of each account made of it.
#[derive(Clone)]
pub struct TokenKey(pub [u8; 32]);

impl TokenKey {
    /// Returns the key of one account's tokens, so that those of another one mean nothing to it.
    #[must_use]
    pub fn of(&self, tenant: Tenant) -> Self {
        let mut mac = keyed(self);
        mac.update(b"tenant");
        mac.update(&tenant.0.to_be_bytes());
        Self(mac.finalize().into_bytes().into())
    }
}

/// What a token is for: mostly, which operation's pages it walks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pages of `BatchGetTraces`.
    BatchGetTraces,
    /// Pages of `GetTraceSummaries`.
    GetTraceSummaries,
    /// Pages of `GetGroups`.
    GetGroups,
    /// Pages of `GetInsightEvents`.
    GetInsightEvents,
    /// Pages of `GetInsightSummaries`.
    GetInsightSummaries,
    /// Pages of `GetRetrievedTracesGraph`.
    GetRetrievedTracesGraph,
    /// Pages of `GetSamplingRules`.
    GetSamplingRules,
    /// Pages of `GetSamplingStatisticSummaries`.
    GetSamplingStatisticSummaries,
    /// Pages of `GetServiceGraph`.
    GetServiceGraph,
    /// Pages of `GetTimeSeriesServiceStatistics`.
    GetTimeSeriesServiceStatistics,
    /// Pages of `GetTraceGraph`.
    GetTraceGraph,
    /// Pages of `ListRetrievedTraces`.
    ListRetrievedTraces,
}

/// How many bytes of payload fit into a token of `GetGroups`, which may have at most 100 characters.
pub const SHORT_PAYLOAD_BYTES_MAX: usize = 58;

/// A token that this server did not make for this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "NextToken was not issued for this request; repeat the request of the previous page unchanged, or leave NextToken out to start over"
)]
pub struct InvalidToken;

impl From<InvalidToken> for ApiError {
    fn from(error: InvalidToken) -> Self {
        Self::invalid_request(error.to_string())
    }
}

/// Returns the token of a payload; the same arguments give the same token.
pub fn seal(key: &TokenKey, kind: Kind, fingerprint: &[u8], payload: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(1 + payload.len() + MAC_BYTES);
    bytes.push(VERSION);
    bytes.extend_from_slice(payload);
    let mac = mac(key, kind, fingerprint, payload).finalize().into_bytes();
    bytes.extend(mac.into_iter().take(MAC_BYTES));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Returns the payload of a token.
///
/// # Errors
/// Refuses whatever was not sealed with the same key, kind and fingerprint.
pub fn open(
    key: &TokenKey,
    kind: Kind,
    fingerprint: &[u8],
    token: &str,
) -> Result<Vec<u8>, InvalidToken> {
    if token.len() > TOKEN_CHARS_MAX {
        return Err(InvalidToken);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| InvalidToken)?;
    let (version, rest) = bytes.split_first().ok_or(InvalidToken)?;
    if *version != VERSION {
        return Err(InvalidToken);
    }
    let n_payload = rest.len().checked_sub(MAC_BYTES).ok_or(InvalidToken)?;
    let (payload, sent_mac) = rest.split_at_checked(n_payload).ok_or(InvalidToken)?;
    let mac = mac(key, kind, fingerprint, payload);
    mac.verify_truncated_left(sent_mac)
        .map_err(|_| InvalidToken)?;
    Ok(payload.to_vec())
}

/// Returns the MAC over everything a token vouches for; the fingerprint is length-prefixed, so that
/// no part can be moved into its neighbour.
fn mac(key: &TokenKey, kind: Kind, fingerprint: &[u8], payload: &[u8]) -> Hmac<Sha256> {
    let kind = match kind {
        Kind::BatchGetTraces => 1,
        Kind::GetTraceSummaries => 2,
        Kind::GetGroups => 3,
        Kind::GetInsightEvents => 5,
        Kind::GetInsightSummaries => 7,
        Kind::GetRetrievedTracesGraph => 8,
        Kind::GetSamplingRules => 9,
        Kind::GetSamplingStatisticSummaries => 10,
        Kind::GetServiceGraph => 11,
        Kind::GetTimeSeriesServiceStatistics => 12,
        Kind::GetTraceGraph => 13,
        Kind::ListRetrievedTraces => 15,
    };
    // HMAC itself fills a short key up with zeros to the hash's block; here it is done in the open.
    let mut mac = keyed(key);
    let n_fingerprint = u64::try_from(fingerprint.len()).unwrap_or(u64::MAX);
    mac.update(&[VERSION, kind]);
    mac.update(&n_fingerprint.to_be_bytes());
    mac.update(fingerprint);
    mac.update(payload);
    mac
}

fn keyed(key: &TokenKey) -> Hmac<Sha256> {
    let mut block = Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key.0) {
        *to = from;
    }
    <Hmac<Sha256> as KeyInit>::new(&block)
}

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
const TOKEN_CHARS_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: TokenKey = TokenKey([7; 32]);

    #[test]
    fn a_token_is_stable_text() {
        let token = seal(&KEY, Kind::BatchGetTraces, b"f", b"cursor");
        assert_eq!(token, "AWN1cnNvcg5-hUK-IWPNt73qG7gFQu4");
    }

    fn check_longest(payload_bytes_max: usize, n_chars: usize) {
        let longest = |n_bytes| seal(&KEY, Kind::GetGroups, b"", &vec![0xff; n_bytes]).len();
        assert_eq!(longest(payload_bytes_max), n_chars);
        assert!(longest(payload_bytes_max + 1) > n_chars);
    }

    #[test]
    fn the_longest_payloads_fit_as_the_model_bounds_tokens() {
        check_longest(SHORT_PAYLOAD_BYTES_MAX, 100);
    }

    #[test]
    fn a_token_opens_as_its_own_kind_only() {
        let kinds = [
            Kind::BatchGetTraces,
            Kind::GetTraceSummaries,
            Kind::GetGroups,
            Kind::GetInsightEvents,
            Kind::GetInsightSummaries,
            Kind::GetRetrievedTracesGraph,
            Kind::GetSamplingRules,
            Kind::GetSamplingStatisticSummaries,
            Kind::GetServiceGraph,
            Kind::GetTimeSeriesServiceStatistics,
            Kind::GetTraceGraph,
            Kind::ListRetrievedTraces,
        ];
        for sealed in kinds {
            let token = seal(&KEY, sealed, b"f", b"p");
            let opens = |kind: &Kind| open(&KEY, *kind, b"f", &token).is_ok();
            let opened: Vec<_> = kinds.into_iter().filter(opens).collect();
            assert_eq!(opened, [sealed]);
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for token in ["", "A", "AQ", "!!!!", "AWN1cnNvcg==", &"A".repeat(10_000)] {
            assert_eq!(
                open(&KEY, Kind::BatchGetTraces, b"f", token),
                Err(InvalidToken),
                "{token}"
            );
        }
    }

    proptest! {
        #[test]
        fn opened_gives_back_what_was_sealed(fingerprint: Vec<u8>, payload: Vec<u8>) {
            let token = seal(&KEY, Kind::GetTraceSummaries, &fingerprint, &payload);
            prop_assert_eq!(open(&KEY, Kind::GetTraceSummaries, &fingerprint, &token), Ok(payload));
        }

        #[test]
        fn another_request_key_or_kind_is_refused(fingerprint: Vec<u8>, other: Vec<u8>, payload: Vec<u8>) {
            prop_assume!(fingerprint != other);
            let token = seal(&KEY, Kind::GetTraceSummaries, &fingerprint, &payload);
            prop_assert_eq!(open(&KEY, Kind::GetTraceSummaries, &other, &token), Err(InvalidToken));
            prop_assert_eq!(open(&KEY, Kind::BatchGetTraces, &fingerprint, &token), Err(InvalidToken));
            let key = TokenKey([8; 32]);
            prop_assert_eq!(open(&key, Kind::GetTraceSummaries, &fingerprint, &token), Err(InvalidToken));
        }

        #[test]
        fn any_change_is_refused(payload: Vec<u8>, at: prop::sample::Index, to in "[A-Za-z0-9_-]") {
            let token = seal(&KEY, Kind::BatchGetTraces, b"f", &payload);
            let at = at.index(token.len());
            prop_assume!(token[at..=at] != to);
            let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
            prop_assert_eq!(open(&KEY, Kind::BatchGetTraces, b"f", &changed), Err(InvalidToken));
            prop_assert_eq!(open(&KEY, Kind::BatchGetTraces, b"f", &token[..at]), Err(InvalidToken));
        }
    }
}
