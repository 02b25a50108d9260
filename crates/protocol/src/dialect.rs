//! The protocols a client may speak: all carry the same JSON, only the heads differ.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use crate::operation::TARGET;

/// The protocol an answer is dressed in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// restJson1, what the service model says.
    #[default]
    RestJson,
    /// AWS JSON 1.0.
    Json10,
    /// AWS JSON 1.1.
    Json11,
}

impl Dialect {
    /// Returns the protocol of a request: only one to `/` that names a target speaks AWS JSON, and
    /// its content type tells which; one without speaks 1.1, as the clients seen do.
    pub fn of(path: &str, headers: &HeaderMap) -> Self {
        if path != "/" || !headers.contains_key(TARGET) {
            return Self::RestJson;
        }
        let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let media_type = content_type.unwrap_or_default().split(|byte| *byte == b';');
        match media_type.map(<[u8]>::trim_ascii).next() {
            Some(name) if name.eq_ignore_ascii_case(JSON_1_0.as_bytes()) => Self::Json10,
            Some(_) | None => Self::Json11,
        }
    }

    /// Turns the head of any JSON answer, a result or an error, into this protocol's.
    ///
    /// Bodies need no change: members have the same names, and `__type` is in every error. Its status is
    /// that of restJson1, clients of AWS JSON ask the type.
    pub fn dress(self, headers: &mut HeaderMap) {
        let name = match self {
            Self::RestJson => return,
            Self::Json10 => JSON_1_0,
            Self::Json11 => JSON_1_1,
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(name));
    }
}

const JSON_1_0: &str = "application/x-amz-json-1.0";
const JSON_1_1: &str = "application/x-amz-json-1.1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ApiError, error_response, json_response};

    fn check(path: &str, target: Option<&str>, content_type: Option<&str>, expected: Dialect) {
        let mut headers = HeaderMap::new();
        if let Some(target) = target {
            headers.insert(TARGET, HeaderValue::from_str(target).unwrap());
        }
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        }
        assert_eq!(Dialect::of(path, &headers), expected);
    }

    #[test]
    fn the_target_at_the_root_makes_the_dialect() {
        let target = Some("XRay_20160712.GetGroups");
        check(
            "/",
            target,
            Some("application/x-amz-json-1.0"),
            Dialect::Json10,
        );
        check(
            "/",
            target,
            Some("Application/X-Amz-Json-1.0 ; charset=utf-8"),
            Dialect::Json10,
        );
        check(
            "/",
            target,
            Some("application/x-amz-json-1.1"),
            Dialect::Json11,
        );
        check("/", target, Some("application/json"), Dialect::Json11);
        check("/", target, None, Dialect::Json11);
        check("/", Some(""), None, Dialect::Json11);
        check(
            "/",
            None,
            Some("application/x-amz-json-1.1"),
            Dialect::RestJson,
        );
        check(
            "/Groups",
            target,
            Some("application/x-amz-json-1.1"),
            Dialect::RestJson,
        );
    }

    fn check_dressed(dialect: Dialect, expected: &str) {
        let mut result = json_response(&1, "id");
        let mut error = error_response(&ApiError::invalid_request("m"), "id");
        for response in [&mut result, &mut error] {
            dialect.dress(response.headers_mut());
            assert_eq!(response.headers()[CONTENT_TYPE], expected);
            assert_eq!(response.headers().get_all(CONTENT_TYPE).iter().count(), 1);
        }
        assert_eq!(error.status(), 400);
        assert!(
            error
                .body()
                .starts_with(br#"{"__type":"InvalidRequestException""#)
        );
    }

    #[test]
    fn answers_say_the_dialect_they_were_asked_in() {
        check_dressed(Dialect::RestJson, "application/json");
        check_dressed(Dialect::Json10, "application/x-amz-json-1.0");
        check_dressed(Dialect::Json11, "application/x-amz-json-1.1");
    }
}
