//! What clients are told that the server did not say.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use protocol::{ApiError, error_response};
use uuid::Uuid;

use super::passing::Passing;
use super::upstream::is_grpc;

/// How a client wants to be told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tongue {
    /// As the X-Ray API does.
    Api,
    /// By a status of gRPC.
    Grpc,
}

impl Tongue {
    /// Returns the tongue of a call with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if is_grpc(headers) {
            Self::Grpc
        } else {
            Self::Api
        }
    }

    /// Returns an error with another status.
    pub(super) fn refuse(self, status: StatusCode, error: &ApiError) -> Response<Passing> {
        match self {
            Self::Api => {
                let mut response = error_response(error, &Uuid::new_v4().to_string());
                *response.status_mut() = status;
                response.map(|body| Passing::whole(body, None))
            }
            Self::Grpc => {
                let mut response = Response::new(Passing::whole(Bytes::new(), None));
                let headers = response.headers_mut();
                let content_type = HeaderValue::from_static("application/grpc");
                headers.insert(CONTENT_TYPE, content_type);
                headers.insert("grpc-status", HeaderValue::from_static(code(status)));
                let message = utf8_percent_encode(error.message(), UNSAFE).to_string();
                if let Ok(message) = HeaderValue::try_from(message) {
                    headers.insert("grpc-message", message);
                }
                response
            }
        }
    }
}

/// Returns the code of gRPC for a status: what may go better another time is `UNAVAILABLE`, what is too large
/// `RESOURCE_EXHAUSTED`.
fn code(status: StatusCode) -> &'static str {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        "8"
    } else {
        "14"
    }
}

/// What is written as its number in a message of gRPC (spec: gRPC over HTTP/2, "Percent-Encoded").
const UNSAFE: &AsciiSet = &CONTROLS.add(b'%');

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: StatusCode, message: &'static str, expected: [&str; 2]) {
        let response = Tongue::Grpc.refuse(status, &ApiError::unavailable(message));
        assert_eq!(response.status(), StatusCode::OK);
        let told = ["grpc-status", "grpc-message"].map(|name| &response.headers()[name]);
        assert_eq!(told, expected);
    }

    #[test]
    fn clients_of_grpc_are_told_a_status() {
        let unavailable = StatusCode::BAD_GATEWAY;
        check(unavailable, "no answer", ["14", "no answer"]);
        check(unavailable, "50% \u{e9}\n", ["14", "50%25 %C3%A9%0A"]);
        let too_large = StatusCode::PAYLOAD_TOO_LARGE;
        check(too_large, "too large", ["8", "too large"]);
    }
}
