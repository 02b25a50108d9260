//! What is too large, too old or too far ahead to have a document.

use model::Timestamp;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};
use prost::Message;

use super::RejectionCode;
use crate::Limits;
use crate::limits::latest_of;

/// Why a span has no document.
pub(super) struct Rejection {
    pub(super) code: RejectionCode,
    pub(super) message: String,
}

/// What spans of one resource and scope are measured by.
pub(super) struct Room<'a> {
    limits: &'a Limits,
    now: Timestamp,
    n_resource_bytes: usize,
}

impl<'a> Room<'a> {
    pub(super) fn of(
        n_resource_bytes: usize,
        scope: &ScopeSpans,
        limits: &'a Limits,
        now: Timestamp,
    ) -> Self {
        let n_scope_bytes = scope.scope.as_ref().map_or(0, Message::encoded_len);
        Self {
            limits,
            now,
            n_resource_bytes: n_resource_bytes + n_scope_bytes,
        }
    }

    /// Checks a span that comes with the resource and the scope.
    pub(super) fn check(&self, span: &Span) -> Result<(), Rejection> {
        let Limits {
            span_bytes_max,
            resource_bytes_max,
            future,
            age,
            ..
        } = self.limits;
        let too_large = |what, n_bytes, limit: Option<usize>| {
            let limit = limit.filter(|limit| n_bytes > *limit)?;
            Some(format!("{what} of {n_bytes} bytes, the limit is {limit}"))
        };
        let refused = |code, message| Err(Rejection { code, message });
        if let Some(message) = too_large("a span", span.encoded_len(), *span_bytes_max) {
            return refused(RejectionCode::SpanTooLarge, message);
        }
        let n_bytes = self.n_resource_bytes;
        if let Some(message) = too_large("a resource and scope", n_bytes, *resource_bytes_max) {
            return refused(RejectionCode::ResourceTooLarge, message);
        }
        let ahead = latest_of(span).since(self.now);
        if let Some(future) = future.filter(|future| ahead > *future) {
            let message = format!(
                "{} seconds ahead, the limit is {}",
                ahead.as_secs(),
                future.as_secs()
            );
            return refused(RejectionCode::TooFarAhead, message);
        }
        let ago = self
            .now
            .since(Timestamp::from_nanos(span.start_time_unix_nano));
        if let Some(age) = age.filter(|age| ago > *age) {
            let message = format!(
                "{} seconds old, the limit is {}",
                ago.as_secs(),
                age.as_secs()
            );
            return refused(RejectionCode::TooOld, message);
        }
        Ok(())
    }
}
