//! AWS Signature Version 4: whether a request comes from who has a key's secret, and says what it said then.
//!
//! Two steps, between which the caller looks the key up: [`read`] gives what a request claims, [`verify`] checks
//! it. Both are pure; the time is given. What holds after [`verify`]: method, path, query, the signed headers
//! (the host and all `x-amz-*` among them) and the body are those that were signed with the secret, the
//! signature is for this service and was made, by the caller's clock, not longer ago than it is good for.
//!
//! Nobody without a secret learns which keys there are: a key that is not known costs the same work and gives
//! the same answer as a secret that is wrong. What is checked before that follows from the request alone. Codes are
//! compared in constant time. A signature can be used again by who sees it, as long as it is good; that is so with AWS too.
//!
//! Source: the AWS guides "Create a signed AWS API request" and "Troubleshoot Signature Version 4 signing".

mod calendar;
mod canonical;
mod chunks;
mod claim;
mod error;
mod mac;
mod payload;
mod query;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use model::Timestamp;

pub use claim::{Claim, Presented, read};
pub use error::AuthError;

use chunks::Chain;
use mac::SigningKey;
use payload::Payload;

/// What is known of a key.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// Its secret.
    pub secret: &'a str,
    /// The token that must come with it, if it is one that is lent for some time.
    pub session_token: Option<&'a str>,
}

/// What signatures are good for.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The service they must name.
    pub service: &'a str,
    /// How far the clocks of clients may be from the server's.
    pub clock_skew: Duration,
}

/// Returns the body of a request that was signed with a key: as received, or put together if it came in chunks.
///
/// `claim` is what [`read`] gave for the same `parts`, `body` is what came over the wire, before any decompression, and
/// `key` is what is known under [`Claim::access_key_id`]. Whether the key is good for the region is for the caller
/// to say, afterwards.
///
/// # Errors
/// Says what is wrong with the request as far as that follows from it alone, then [`AuthError::Mismatch`] for a wrong
/// secret, for a key that is not known and for any change of what was signed, then the rest: see [`AuthError`].
pub fn verify(
    claim: &Claim,
    parts: &Parts,
    body: &Bytes,
    key: Option<Key<'_>>,
    scope: Scope<'_>,
    now: Timestamp,
) -> Result<Bytes, AuthError> {
    claim.check_service(scope.service)?;
    claim.check_time(scope.clock_skew, now)?;
    let payload = Payload::of(&parts.headers, body)?;
    let requests = canonical::requests(claim, parts, payload.literal())?;

    let access_key_id = || claim.access_key_id.clone();
    let secret = key.map_or(SECRET_OF_NOBODY, |key| key.secret);
    let signing_key = SigningKey::derive(secret, &claim.date(), &claim.region, &claim.service);
    // All are tried, even after one that fits: how long it takes says nothing.
    let mut is_signed = false;
    for request in &requests {
        let text = canonical::string_to_sign(claim, request);
        is_signed |= signing_key.is_code(text.as_bytes(), &claim.signature);
    }
    let Some(key) = key.filter(|_| is_signed) else {
        return Err(AuthError::Mismatch {
            access_key_id: access_key_id(),
            is_known: key.is_some(),
        });
    };
    let is_token = match (&claim.session_token, key.session_token) {
        (None, None) => true,
        (Some(sent), Some(token)) => signing_key.is_same(sent.as_bytes(), token.as_bytes()),
        (Some(_), None) | (None, Some(_)) => false,
    };
    if !is_token {
        return Err(AuthError::SessionToken {
            access_key_id: access_key_id(),
        });
    }
    payload.open(body, Chain::new(&signing_key, claim))
}

/// Tells whether a secret was presented as it is, in the same time for one that is wrong and for a key that is not known.
pub fn is_secret(presented: &str, secret: Option<&str>) -> bool {
    let known = secret.unwrap_or(SECRET_OF_NOBODY);
    let key = SigningKey::derive(known, "", "", "");
    key.is_same(presented.as_bytes(), known.as_bytes()) && secret.is_some()
}

/// Stands in for the secret of a key that is not known, as long as secrets are; what is signed with it is not believed.
const SECRET_OF_NOBODY: &str = "no-key-has-this-secret-so-none-is-helped";
