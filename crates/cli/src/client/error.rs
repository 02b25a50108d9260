//! Why a call has no result.

use http::header::LOCATION;
use serde_json::{Map, Value};
use tokio_rustls::rustls::{self, CertificateError};

use super::Reply;
use crate::exit::{Exit, Stop};
use crate::terminal::printable;

/// Why a call has no result.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came.
    #[error("no answer from {endpoint}: {cause}; {advice}")]
    Unreachable {
        /// Who was asked.
        endpoint: String,
        /// What happened instead.
        cause: String,
        /// What may help.
        advice: &'static str,
    },
    /// The server does not do it.
    #[error("the server refused: {code}: {message}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// Why, for programs.
        code: String,
        /// Why, for people.
        message: String,
    },
    /// What came is not what the operation returns, or what was to be sent cannot be.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(String),
    /// There is nothing to sign the request with.
    #[error("cannot sign the request: {0}")]
    Unsigned(String),
}

impl CallError {
    /// Returns the error of an answer that is no result.
    pub(super) fn refused(reply: &Reply) -> Self {
        let (code, message) = reply.error();
        Self::Refused {
            status: reply.status.as_u16(),
            code,
            message,
        }
    }

    pub(super) fn nonsense(cause: impl std::fmt::Display) -> Self {
        Self::Nonsense(printable(&cause.to_string()))
    }

    /// Tells whether the server refused with this code.
    pub fn is_refusal(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        let exit = match error {
            CallError::Unreachable { .. } => Exit::Unreachable,
            CallError::Refused { .. } | CallError::Nonsense(_) => Exit::Failed,
            CallError::Unsigned(_) => Exit::Usage,
        };
        Self::new(exit, error)
    }
}

/// Returns the code and the message of an answer that is no result. The code is in a header or in the body, bare or
/// with a namespace before and an address behind it.
pub(super) fn told(reply: &Reply) -> (String, String) {
    let members: Map<String, Value> = serde_json::from_slice(&reply.body).unwrap_or_default();
    // Some servers send a message under both names.
    let text = |names: [&str; 2]| {
        let mut texts = names
            .iter()
            .filter_map(|name| members.get(*name)?.as_str())
            .map(str::to_owned);
        texts.find(|text| !text.is_empty())
    };
    let header = reply.headers.get("x-amzn-errortype");
    let header = header.and_then(|value| value.to_str().ok());
    let code = header
        .map(str::to_owned)
        .or_else(|| text(["__type", "code"]))
        .map(|code| bare(&code).to_owned())
        .filter(|code| !code.is_empty())
        .unwrap_or_else(|| reply.status.to_string());
    let message = text(["Message", "message"]).unwrap_or_else(|| reason(reply));
    (printable(&code), printable(&message))
}

/// Returns what an answer says that gives no reason.
fn reason(reply: &Reply) -> String {
    let location = reply.headers.get(LOCATION);
    match (
        location.and_then(|location| location.to_str().ok()),
        reply.status.as_u16(),
    ) {
        (Some(location), _) => format!("it points to {location}; name that with --endpoint"),
        (None, 404 | 405 | 501) => "it does not know this operation of the X-Ray API".to_owned(),
        (None, _) => "without a reason".to_owned(),
    }
}

/// Returns what may help if this is why there is no answer.
pub(super) fn advice(cause: &(dyn std::error::Error + 'static)) -> &'static str {
    let wrapped = cause
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match wrapped.or_else(|| cause.downcast_ref()) {
        Some(rustls::Error::InvalidMessage(_)) => {
            "it does not speak TLS there: name it with http://"
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => "name it as its certificate does",
        Some(rustls::Error::InvalidCertificate(_)) => "name who certified it with --ca-file",
        _ => START_ONE,
    }
}

/// Returns a code without its namespace and without the address behind it.
fn bare(code: &str) -> &str {
    let code = code.split(':').next().unwrap_or(code);
    code.rsplit('#').next().unwrap_or(code)
}

/// What helps when nobody is there.
pub(super) const START_ONE: &str =
    "start one with `roentgen serve`, or name another with --endpoint";

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;

    fn check(header: Option<&'static str>, body: &'static str, code: &str, message: &str) {
        let mut headers = HeaderMap::new();
        if let Some(header) = header {
            headers.insert("x-amzn-errortype", HeaderValue::from_static(header));
        }
        let reply = Reply {
            status: StatusCode::BAD_GATEWAY,
            headers,
            body: Bytes::from_static(body.as_bytes()),
        };
        assert_eq!(
            reply.error(),
            (code.to_owned(), message.to_owned()),
            "{body}"
        );
    }

    #[test]
    fn errors_are_understood_in_every_dialect() {
        check(None, r#"{"__type": "A", "Message": "m"}"#, "A", "m");
        check(
            None,
            r#"{"__type": "com.amazonaws.xray#A", "message": "m"}"#,
            "A",
            "m",
        );
        check(
            Some("A:http://internal.amazon.com/x/"),
            r#"{"Message": "m"}"#,
            "A",
            "m",
        );
        let both = r#"{"__type": "A", "message": "m", "Message": "m"}"#;
        check(Some("A"), both, "A", "m");
        check(Some("A"), "", "A", "without a reason");
        let null = r#"{"code": "A", "message": null}"#;
        check(None, null, "A", "without a reason");
    }

    #[test]
    fn an_answer_that_is_no_json_still_has_a_code() {
        check(None, "<html>", "502 Bad Gateway", "without a reason");
        let check = |status, location: Option<&'static str>, expected: &str| {
            let location = location.map(|location| (LOCATION, HeaderValue::from_static(location)));
            let reply = Reply {
                status,
                headers: location.into_iter().collect(),
                body: Bytes::new(),
            };
            let (_, message) = reply.error();
            assert!(message.contains(expected), "{message}");
        };
        check(StatusCode::NOT_FOUND, None, "does not know this operation");
        check(StatusCode::FOUND, Some("https://h/x"), "https://h/x");
    }

    #[test]
    fn an_error_decides_how_the_program_ends() {
        let check = |error: CallError, exit| assert_eq!(Stop::from(error).exit, exit);
        let text = String::new;
        check(
            CallError::Unreachable {
                endpoint: text(),
                cause: text(),
                advice: START_ONE,
            },
            Exit::Unreachable,
        );
        check(CallError::Nonsense(text()), Exit::Failed);
        check(CallError::Unsigned(text()), Exit::Usage);
        let refused = CallError::Refused {
            status: 400,
            code: "A".to_owned(),
            message: text(),
        };
        assert!(refused.is_refusal("A") && !refused.is_refusal("B"));
        check(refused, Exit::Failed);
    }
}
