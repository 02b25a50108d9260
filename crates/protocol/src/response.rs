//! Responses as bytes: results and, in one place, errors.

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::{ApiError, ErrorKind};

/// The header every answer carries: the id under which the server logged the request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// Returns the answer 200 with a result as its JSON body.
pub fn json_response<T: Serialize>(result: &T, request_id: &str) -> Response<Bytes> {
    match serde_json::to_vec(result) {
        Ok(body) => respond(StatusCode::OK, Bytes::from(body), request_id),
        Err(error) => error_response(&ApiError::internal(error.to_string()), request_id),
    }
}

/// Returns the head of the answer 200 whose JSON body is made elsewhere.
pub fn json_head(request_id: &str) -> Response<Bytes> {
    respond(StatusCode::OK, Bytes::new(), request_id)
}

/// Returns an error as the answer every client understands.
///
/// The type is sent in the header and in `__type`, the message in both spellings: the service model
/// says `Message`, strictly typed clients read `message`, and none minds the other.
pub fn error_response(error: &ApiError, request_id: &str) -> Response<Bytes> {
    let body = ErrorBody {
        code: error.code(),
        upper: error.message(),
        lower: error.message(),
        resource_name: error.resource_name(),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    let mut response = respond(error.status(), Bytes::from(body), request_id);
    let headers = response.headers_mut();
    headers.insert(ERROR_TYPE, HeaderValue::from_static(error.code()));
    if let Some(secs) = error.retry_after_secs() {
        headers.insert(RETRY_AFTER, HeaderValue::from(secs));
    }
    if error.kind() == ErrorKind::MethodNotAllowed {
        headers.insert(ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(rename = "__type")]
    code: &'a str,
    #[serde(rename = "Message")]
    upper: &'a str,
    #[serde(rename = "message")]
    lower: &'a str,
    #[serde(rename = "ResourceName", skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
}

fn respond(status: StatusCode, body: Bytes, request_id: &str) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(request_id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, request_id);
    }
    response
}

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Operation;

    fn check(error: &ApiError, status: u16, code: &str) {
        let response = error_response(error, "id-1");
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["x-amzn-errortype"], code);
        assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
        assert_eq!(response.headers()["content-type"], "application/json");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["__type"], code);
        assert_eq!(body["Message"], error.message());
        assert_eq!(body["message"], error.message());
    }

    #[test]
    fn errors_say_their_type_twice_and_their_message() {
        check(
            &ApiError::invalid_request("a \"b\""),
            400,
            "InvalidRequestException",
        );
        check(&ApiError::throttled("t"), 429, "ThrottledException");
        check(
            &ApiError::unavailable("u"),
            503,
            "ServiceUnavailableException",
        );
        check(&ApiError::internal("i"), 500, "InternalFailure");
        check(
            &ApiError::unknown_operation("/x"),
            404,
            "UnknownOperationException",
        );
        check(&ApiError::too_large("l"), 413, "InvalidRequestException");
        check(&ApiError::timeout("l"), 408, "RequestTimeoutException");
    }

    #[test]
    fn every_modeled_error_has_its_own_code_and_status() {
        let not_found = ApiError::resource_not_found("m", "arn:a");
        check(&not_found, 404, "ResourceNotFoundException");
        let too_many = ApiError::too_many_tags("m", "arn:a");
        check(&too_many, 400, "TooManyTagsException");
        let error = ApiError::rule_limit_exceeded("m");
        check(&error, 400, "RuleLimitExceededException");
        let error = ApiError::invalid_policy_revision_id("m");
        check(&error, 400, "InvalidPolicyRevisionIdException");
        let error = ApiError::malformed_policy_document("m");
        check(&error, 400, "MalformedPolicyDocumentException");
        let error = ApiError::lockout_prevention("m");
        check(&error, 400, "LockoutPreventionException");
        let error = ApiError::policy_count_limit_exceeded("m");
        check(&error, 400, "PolicyCountLimitExceededException");
        let error = ApiError::policy_size_limit_exceeded("m");
        check(&error, 400, "PolicySizeLimitExceededException");
    }

    #[test]
    fn every_refusal_of_who_asks_is_a_403() {
        let error = ApiError::missing_authentication_token();
        check(&error, 403, "MissingAuthenticationTokenException");
        let error = ApiError::incomplete_signature("m");
        check(&error, 403, "IncompleteSignatureException");
        let error = ApiError::invalid_signature("m");
        check(&error, 403, "InvalidSignatureException");
        let error = ApiError::unrecognized_client("m");
        check(&error, 403, "UnrecognizedClientException");
        let error = ApiError::access_denied("111122223333", "AKID", Operation::GetGroups);
        check(&error, 403, "AccessDeniedException");
        check(&ApiError::forbidden("m"), 403, "AccessDeniedException");
    }

    #[test]
    fn errors_about_a_resource_name_it() {
        let error = ApiError::too_many_tags("m", "arn:a");
        let body = error_response(&error, "id").into_body();
        insta::assert_snapshot!(String::from_utf8(body.to_vec()).unwrap(), @r#"{"__type":"TooManyTagsException","Message":"m","message":"m","ResourceName":"arn:a"}"#);
        let body = error_response(&ApiError::invalid_request("m"), "id").into_body();
        insta::assert_snapshot!(String::from_utf8(body.to_vec()).unwrap(), @r#"{"__type":"InvalidRequestException","Message":"m","message":"m"}"#);
    }

    #[test]
    fn some_errors_say_what_to_do_next() {
        let throttled = error_response(&ApiError::throttled("t"), "id");
        assert_eq!(throttled.headers()["retry-after"], "1");
        let unavailable = error_response(&ApiError::unavailable("u"), "id");
        assert_eq!(unavailable.headers()["retry-after"], "5");
        let later = ApiError::throttled("t").with_retry_after(30);
        assert_eq!(error_response(&later, "id").headers()["retry-after"], "30");
        let never = ApiError::invalid_request("m").with_retry_after(30);
        assert!(
            !error_response(&never, "id")
                .headers()
                .contains_key("retry-after")
        );
        let error = ApiError::method_not_allowed("GetGroups", &http::Method::GET);
        assert_eq!(error_response(&error, "id").headers()["allow"], "POST");
    }

    #[test]
    fn results_are_json() {
        let response = json_response(&vec![1, 2], "id-2");
        assert_eq!(response.status(), 200);
        assert_eq!(response.body().as_ref(), b"[1,2]");
        assert_eq!(response.headers()["x-amzn-requestid"], "id-2");
    }
}
