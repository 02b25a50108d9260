//! Why a signature is refused, in the words of AWS where there are some: people look for them.

use std::time::Duration;

use model::Timestamp;

use super::calendar::format_basic;
use crate::ApiError;
use crate::error::excerpt;

/// A request that may not be believed to come from the owner of a key.
///
/// Up to [`AuthError::Mismatch`] everything follows from the request alone, so it tells a stranger nothing
/// about keys. What comes after it is told only to those who have the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The request is not signed, and must be.
    #[error("Missing Authentication Token")]
    Missing,
    /// What the request presents is not a whole signature.
    #[error("{0}")]
    Incomplete(String),
    /// The signature is for another service, day or kind of request.
    #[error("{0}")]
    Scope(String),
    /// A header that must be signed is not.
    #[error("'{header}' must be a 'SignedHeader' in the AWS Authorization.")]
    Unsigned {
        /// Its name.
        header: String,
    },
    /// The request is older than it may be.
    #[error(
        "Signature expired: {} is now earlier than {} ({} - {})",
        format_basic(*signed_at), format_basic(now.before(*valid_for)), format_basic(*now), length(*valid_for)
    )]
    Expired {
        /// The time of the request.
        signed_at: Timestamp,
        /// The time of the server.
        now: Timestamp,
        /// How old a request may be.
        valid_for: Duration,
    },
    /// The request is from the future.
    #[error(
        "Signature not yet current: {} is still later than {} ({} + {})",
        format_basic(*signed_at), format_basic(after(*now, *clock_skew)), format_basic(*now), length(*clock_skew)
    )]
    NotYetCurrent {
        /// The time of the request.
        signed_at: Timestamp,
        /// The time of the server.
        now: Timestamp,
        /// How far clocks may be apart.
        clock_skew: Duration,
    },
    /// The body is not the one whose hash the request gives.
    #[error("The provided 'x-amz-content-sha256' header does not match what was computed.")]
    Payload,
    /// The signature is not the one the key makes, or there is no such key: nobody is told which.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details. (An access key id this server does not know is answered the same.)"
    )]
    Mismatch {
        /// The key the request names; for the log.
        access_key_id: String,
        /// Whether there is such a key; for the log.
        is_known: bool,
    },
    /// The session token is not the key's.
    #[error("The security token included in the request is invalid.")]
    SessionToken {
        /// The key; for the log.
        access_key_id: String,
    },
    /// The key is not good for the region.
    #[error("Credential should be scoped to a valid region, not '{region}'.")]
    Region {
        /// The region the request is signed for.
        region: String,
    },
    /// The chunks of the body are not put together as its head says.
    #[error("the body is not what x-amz-content-sha256 says: {0}")]
    Chunks(&'static str),
}

impl AuthError {
    /// Returns the refusal of what is not a whole signature.
    pub(super) fn incomplete(message: impl Into<String>) -> Self {
        Self::Incomplete(message.into())
    }

    /// Returns the refusal of another algorithm than the one there is.
    pub(super) fn algorithm(name: &str) -> Self {
        let name = excerpt(name, 40);
        Self::Incomplete(format!(
            "Unsupported AWS 'algorithm': '{name}'. Requests are signed with AWS4-HMAC-SHA256."
        ))
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        let message = error.to_string();
        match error {
            AuthError::Missing => Self::missing_authentication_token(),
            AuthError::Incomplete(_) => Self::incomplete_signature(message),
            AuthError::Scope(_)
            | AuthError::Unsigned { .. }
            | AuthError::Expired { .. }
            | AuthError::NotYetCurrent { .. }
            | AuthError::Payload
            | AuthError::Region { .. } => Self::invalid_signature(message),
            AuthError::Mismatch {
                access_key_id,
                is_known,
            } => Self::invalid_signature(message).with_logged(if is_known {
                format!("the signature is not one of key {access_key_id}")
            } else {
                format!("key {access_key_id} is not known")
            }),
            AuthError::SessionToken { access_key_id } => Self::unrecognized_client(message)
                .with_logged(format!(
                    "the session token is not that of key {access_key_id}"
                )),
            AuthError::Chunks(_) => Self::invalid_request(message),
        }
    }
}

/// Returns the instant `duration` after another one, the last instant if that is out of range.
pub(super) fn after(time: Timestamp, duration: Duration) -> Timestamp {
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(time.as_nanos().saturating_add(nanos))
}

fn length(duration: Duration) -> String {
    match duration.as_secs() {
        secs if secs % 60 == 0 => format!("{} min.", secs / 60),
        secs => format!("{secs} sec."),
    }
}
