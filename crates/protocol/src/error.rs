//! What a call can be answered with instead of a result.

use http::{Method, StatusCode};

use crate::Operation;

/// A call that gets no result: a refusal of the request or a failure of the server.
///
/// What is sent to the client and what an operator reads are separate: [`ApiError::message`] goes on
/// the wire, [`ApiError::logged`] never does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", self.code())]
pub struct ApiError {
    kind: ErrorKind,
    message: String,
    resource_name: Option<String>,
    retry_after_secs: Option<u32>,
    logged: Option<String>,
}

/// What kind of answer an [`ApiError`] is: it decides status and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is malformed or breaks a constraint.
    InvalidRequest,
    /// The server has more to do than it may take on; the same call works later.
    Throttled,
    /// The store takes no writes or gives no answers at the moment.
    Unavailable,
    /// A failure the client can do nothing about.
    Internal,
    /// No operation lives at the path.
    UnknownOperation,
    /// An operation lives at the path, under the method POST.
    MethodNotAllowed,
    /// The body is larger than the server takes.
    TooLarge,
    /// The body is of a kind, or compressed in a way, that the server does not read.
    UnsupportedMedia,
    /// The body did not arrive in time.
    Timeout,
    /// What the request names is not there: a resource with tags, an indexing rule, a retrieval.
    ///
    /// A group, a sampling rule or an insight that is not there is an [`ErrorKind::InvalidRequest`].
    ResourceNotFound,
    /// The resource would have more tags than it may.
    TooManyTags,
    /// There would be more sampling rules than there may.
    RuleLimitExceeded,
    /// The policy is not at the revision the request names.
    InvalidPolicyRevisionId,
    /// The policy is no policy.
    MalformedPolicyDocument,
    /// The policy would shut its author out.
    LockoutPrevention,
    /// There would be more policies than there may.
    PolicyCountLimitExceeded,
    /// The policy is larger than it may be.
    PolicySizeLimitExceeded,
    /// The request is not signed, and must be.
    MissingAuthenticationToken,
    /// What the request presents is not a whole signature.
    IncompleteSignature,
    /// The signature is not good: wrong, too old, or for something else.
    InvalidSignature,
    /// The session token is not the key's.
    UnrecognizedClient,
    /// Who asks may not do this.
    AccessDenied,
    /// The request comes by a way no request may come, whoever asks.
    Forbidden,
}

impl ErrorKind {
    /// Returns the HTTP status.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidRequest
            | Self::TooManyTags
            | Self::RuleLimitExceeded
            | Self::InvalidPolicyRevisionId
            | Self::MalformedPolicyDocument
            | Self::LockoutPrevention
            | Self::PolicyCountLimitExceeded
            | Self::PolicySizeLimitExceeded => StatusCode::BAD_REQUEST,
            Self::Throttled => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::UnknownOperation | Self::ResourceNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMedia => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::MissingAuthenticationToken
            | Self::IncompleteSignature
            | Self::InvalidSignature
            | Self::UnrecognizedClient
            | Self::AccessDenied
            | Self::Forbidden => StatusCode::FORBIDDEN,
        }
    }

    /// Returns the error type clients match on.
    pub const fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::TooLarge => "InvalidRequestException",
            Self::Throttled => "ThrottledException",
            Self::Unavailable => "ServiceUnavailableException",
            Self::Internal => "InternalFailure",
            Self::UnknownOperation | Self::MethodNotAllowed => "UnknownOperationException",
            Self::UnsupportedMedia => "UnsupportedMediaTypeException",
            Self::Timeout => "RequestTimeoutException",
            Self::ResourceNotFound => "ResourceNotFoundException",
            Self::TooManyTags => "TooManyTagsException",
            Self::RuleLimitExceeded => "RuleLimitExceededException",
            Self::InvalidPolicyRevisionId => "InvalidPolicyRevisionIdException",
            Self::MalformedPolicyDocument => "MalformedPolicyDocumentException",
            Self::LockoutPrevention => "LockoutPreventionException",
            Self::PolicyCountLimitExceeded => "PolicyCountLimitExceededException",
            Self::PolicySizeLimitExceeded => "PolicySizeLimitExceededException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::AccessDenied | Self::Forbidden => "AccessDeniedException",
        }
    }
}

impl ApiError {
    /// Returns the refusal of a malformed request; `message` says what to correct.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::InvalidRequest, message)
    }

    /// Returns the refusal of a call that would be taken later.
    pub fn throttled(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Throttled, message)
    }

    /// Returns the answer of a server whose store cannot serve the call at the moment.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Unavailable, message)
    }

    /// Returns a failure; the client learns nothing but that it happened, `detail` is for the log.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::of(
            ErrorKind::Internal,
            "the server could not serve this request; its log says why",
        )
        .with_logged(detail)
    }

    /// Returns the refusal of a path no operation lives at.
    pub fn unknown_operation(path: &str) -> Self {
        let path = excerpt(path, 100);
        Self::of(
            ErrorKind::UnknownOperation,
            format!("no operation is served at {path}"),
        )
    }

    /// Returns the refusal of a name no operation has.
    pub fn unknown_target(name: &str) -> Self {
        let name = excerpt(name, 100);
        Self::of(
            ErrorKind::UnknownOperation,
            format!("no operation is called '{name}'"),
        )
    }

    /// Returns the refusal of any method but POST.
    pub fn method_not_allowed(name: &str, method: &Method) -> Self {
        let method = excerpt(method.as_str(), 20);
        Self::of(
            ErrorKind::MethodNotAllowed,
            format!("{name} is asked for with POST, not {method}"),
        )
    }

    /// Returns the refusal of a body the server cannot read; `message` says what it reads.
    pub fn unsupported_media(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::UnsupportedMedia, message)
    }

    /// Returns the refusal of a body that is too large.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::TooLarge, message)
    }

    /// Returns the refusal of a body that came too slowly.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Timeout, message)
    }

    /// Returns the answer of a call that names a resource that is not there.
    pub fn resource_not_found(
        message: impl Into<String>,
        resource_name: impl Into<String>,
    ) -> Self {
        Self::of(ErrorKind::ResourceNotFound, message).with_resource(resource_name)
    }

    /// Returns the refusal of tags a resource has no room for.
    pub fn too_many_tags(message: impl Into<String>, resource_name: impl Into<String>) -> Self {
        Self::of(ErrorKind::TooManyTags, message).with_resource(resource_name)
    }

    /// Returns the refusal of one sampling rule too many.
    pub fn rule_limit_exceeded(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::RuleLimitExceeded, message)
    }

    /// Returns the refusal of a change of another revision of a policy.
    pub fn invalid_policy_revision_id(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::InvalidPolicyRevisionId, message)
    }

    /// Returns the refusal of what is no policy.
    pub fn malformed_policy_document(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::MalformedPolicyDocument, message)
    }

    /// Returns the refusal of a policy that would shut its author out.
    pub fn lockout_prevention(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::LockoutPrevention, message)
    }

    /// Returns the refusal of one policy too many.
    pub fn policy_count_limit_exceeded(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::PolicyCountLimitExceeded, message)
    }

    /// Returns the refusal of a policy that is too large.
    pub fn policy_size_limit_exceeded(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::PolicySizeLimitExceeded, message)
    }

    /// Returns the refusal of a request that is not signed.
    pub fn missing_authentication_token() -> Self {
        Self::of(
            ErrorKind::MissingAuthenticationToken,
            "Missing Authentication Token",
        )
    }

    /// Returns the refusal of what is not a whole signature.
    pub fn incomplete_signature(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::IncompleteSignature, message)
    }

    /// Returns the refusal of a signature that is not good.
    pub fn invalid_signature(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::InvalidSignature, message)
    }

    /// Returns the refusal of a session token that is not the key's.
    pub fn unrecognized_client(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::UnrecognizedClient, message)
    }

    /// Returns the refusal of an operation the owner of a key may not ask for.
    pub fn access_denied(account_id: &str, access_key_id: &str, operation: Operation) -> Self {
        let (account_id, access_key_id) = (excerpt(account_id, 20), excerpt(access_key_id, 128));
        let name = operation.name();
        Self::of(
            ErrorKind::AccessDenied,
            format!(
                "User: arn:aws:iam::{account_id}:user/{access_key_id} is not authorized to perform: xray:{name}"
            ),
        )
    }

    /// Returns the refusal of a request whoever asks, as for a host or an origin that is not the server's.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::of(ErrorKind::Forbidden, message)
    }

    /// Returns the same error with how long to wait before asking again; only a refusal that goes by says it.
    #[must_use]
    pub fn with_retry_after(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Returns the same error with a detail only the log shows.
    #[must_use]
    pub fn with_logged(mut self, detail: impl Into<String>) -> Self {
        self.logged = Some(detail.into());
        self
    }

    /// Returns the kind.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.kind.status()
    }

    /// Returns the error type clients match on.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Returns the message for the client.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the resource the error is about, at most 1011 characters of it, if it is about one.
    pub fn resource_name(&self) -> Option<&str> {
        self.resource_name.as_deref()
    }

    /// Returns the seconds to wait before asking again, if that may help.
    pub const fn retry_after_secs(&self) -> Option<u32> {
        let usual = match self.kind {
            ErrorKind::Throttled => 1,
            ErrorKind::Unavailable => 5,
            ErrorKind::InvalidRequest
            | ErrorKind::Internal
            | ErrorKind::UnknownOperation
            | ErrorKind::MethodNotAllowed
            | ErrorKind::TooLarge
            | ErrorKind::UnsupportedMedia
            | ErrorKind::Timeout
            | ErrorKind::ResourceNotFound
            | ErrorKind::TooManyTags
            | ErrorKind::RuleLimitExceeded
            | ErrorKind::InvalidPolicyRevisionId
            | ErrorKind::MalformedPolicyDocument
            | ErrorKind::LockoutPrevention
            | ErrorKind::PolicyCountLimitExceeded
            | ErrorKind::PolicySizeLimitExceeded
            | ErrorKind::MissingAuthenticationToken
            | ErrorKind::IncompleteSignature
            | ErrorKind::InvalidSignature
            | ErrorKind::UnrecognizedClient
            | ErrorKind::AccessDenied
            | ErrorKind::Forbidden => return None,
        };
        match self.retry_after_secs {
            Some(secs) => Some(secs),
            None => Some(usual),
        }
    }

    /// Returns the detail for the log, if there is more to say than the message.
    pub fn logged(&self) -> Option<&str> {
        self.logged.as_deref()
    }

    fn of(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            resource_name: None,
            retry_after_secs: None,
            logged: None,
        }
    }

    /// Names the resource; the service model wants 1 to 1011 characters.
    fn with_resource(mut self, resource_name: impl Into<String>) -> Self {
        let mut resource_name = resource_name.into();
        if let Some((end, _)) = resource_name.char_indices().nth(1011) {
            resource_name.truncate(end);
        }
        self.resource_name = Some(resource_name).filter(|name| !name.is_empty());
        self
    }
}

/// Returns at most `n_chars` of a text from outside, marked where it was cut.
pub(crate) fn excerpt(text: &str, n_chars: usize) -> String {
    match text.char_indices().nth(n_chars) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logged_detail_is_not_the_message() {
        let error = ApiError::internal("disk on fire");
        assert_eq!(error.logged(), Some("disk on fire"));
        assert!(!error.message().contains("fire"));
    }

    #[test]
    fn the_name_of_a_resource_is_as_long_as_the_model_allows() {
        let named = |name: &str| ApiError::resource_not_found("m", name);
        assert_eq!(named("a").resource_name(), Some("a"));
        assert_eq!(named("").resource_name(), None);
        let long = "\u{e9}".repeat(1012);
        assert_eq!(named(&long).resource_name(), long.get(..2022));
        assert_eq!(ApiError::invalid_request("m").resource_name(), None);
    }

    fn check_retry_after(error: &ApiError, expected: Option<u32>, told: Option<u32>) {
        assert_eq!(error.retry_after_secs(), expected, "{error}");
        let error = error.clone().with_retry_after(30);
        assert_eq!(error.retry_after_secs(), told, "{error}");
    }

    #[test]
    fn only_refusals_that_go_by_say_when() {
        check_retry_after(&ApiError::throttled("m"), Some(1), Some(30));
        check_retry_after(&ApiError::unavailable("m"), Some(5), Some(30));
        check_retry_after(&ApiError::internal("m"), None, None);
        check_retry_after(&ApiError::invalid_request("m"), None, None);
        check_retry_after(&ApiError::invalid_signature("m"), None, None);
    }

    #[test]
    fn who_may_not_is_told_what_and_who() {
        let denied = ApiError::access_denied("111122223333", "AKIDEXAMPLE", Operation::GetGroups);
        assert_eq!(
            denied.message(),
            "User: arn:aws:iam::111122223333:user/AKIDEXAMPLE is not authorized to perform: xray:GetGroups"
        );
    }

    #[test]
    fn excerpts_end_at_a_character() {
        assert_eq!(excerpt("abc", 3), "abc");
        assert_eq!(excerpt("a\u{e9}\u{e9}d", 2), "a\u{e9}...");
    }
}
