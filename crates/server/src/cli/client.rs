//! A client of the API over plain HTTP, for the commands that talk to a server.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use protocol::Operation;
use serde::Deserialize;

use crate::cli::{Exit, Stop, printable};
use crate::config::Config;

/// A server to talk to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    /// Scheme, host and port, without a slash at the end.
    base: String,
}

/// A server's answer.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// An open way to a server.
pub(crate) struct Connection {
    endpoint: Endpoint,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Endpoint {
    /// Returns the server that was named, or else the one the configuration would start here.
    pub(crate) fn choose(named: Option<&str>, config: &Config) -> Result<Self, String> {
        match named {
            Some(text) => Self::parse(text),
            None => Self::parse(&reachable(&config.server.listen.0)),
        }
    }

    /// Returns the server of a URL, or of a bare host and port.
    fn parse(text: &str) -> Result<Self, String> {
        let wanted = "expected a URL such as http://127.0.0.1:2000";
        let url = if text.contains("://") {
            text.to_owned()
        } else {
            format!("http://{text}")
        };
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("endpoint {text}: {error}; {wanted}"))?;
        match (uri.scheme_str(), uri.authority(), uri.path()) {
            (Some("http"), Some(authority), "" | "/") => Ok(Self {
                base: format!("http://{authority}"),
            }),
            (Some("http"), Some(_), _) => Err(format!("endpoint {text} has a path; {wanted}")),
            _ => Err(format!(
                "endpoint {text}: only plain http is spoken here; {wanted}"
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

impl Reply {
    /// Returns the code and the message of an answer that is no result.
    pub(crate) fn error(&self) -> (String, String) {
        #[derive(Default, Deserialize)]
        struct Error {
            #[serde(rename = "__type", default)]
            code: String,
            #[serde(rename = "Message", default)]
            message: String,
        }
        let error: Error = serde_json::from_slice(&self.body).unwrap_or_default();
        let code = if error.code.is_empty() {
            self.status.to_string()
        } else {
            error.code
        };
        (printable(&code), printable(&error.message))
    }
}

impl Connection {
    /// Returns the way to a server; nothing is sent yet.
    pub(crate) fn new(endpoint: &Endpoint) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            endpoint: endpoint.clone(),
            client,
        }
    }

    /// Calls an operation and returns whatever the server answers.
    ///
    /// # Errors
    /// Stops with [`Exit::Unreachable`] if no answer comes.
    pub(crate) async fn call(&self, operation: Operation, body: Vec<u8>) -> Result<Reply, Stop> {
        let request = Request::post(self.url(operation.path()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body))
            .map_err(|error| Stop::new(Exit::Usage, error))?;
        self.send(request).await
    }

    /// Returns the URL of a path at the server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// Sends a request for one of the server's URLs and returns whatever the server answers.
    ///
    /// # Errors
    /// Stops with [`Exit::Unreachable`] if no answer comes.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Reply, Stop> {
        let unreachable = |cause: &dyn fmt::Display| {
            let endpoint = &self.endpoint;
            Stop::new(
                Exit::Unreachable,
                format!(
                    "no answer from {endpoint}: {cause}; start one with `roentgen serve`, or name another with --endpoint"
                ),
            )
        };
        debug_assert!(!request.headers().contains_key(HOST), "the client adds it");
        let exchange = async {
            let response = self
                .client
                .request(request)
                .await
                .map_err(|error| unreachable(&root_cause(&error)))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, REPLY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| unreachable(&error))?.to_bytes();
            Ok(Reply {
                status: head.status,
                headers: head.headers,
                body,
            })
        };
        let seconds = REPLY_TIMEOUT.as_secs();
        tokio::time::timeout(REPLY_TIMEOUT, exchange)
            .await
            .map_err(|_| unreachable(&format!("{seconds} seconds passed")))?
    }
}

/// Returns the innermost reason; the client's own words add only "client error (Connect)".
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Returns an address to connect to for one to listen at: "every address" is no destination.
fn reachable(listen: &str) -> String {
    match listen.rsplit_once(':') {
        Some(("0.0.0.0", port)) => format!("127.0.0.1:{port}"),
        Some(("[::]", port)) => format!("[::1]:{port}"),
        Some(_) | None => listen.to_owned(),
    }
}

const REPLY_TIMEOUT: Duration = Duration::from_mins(1);
const REPLY_BYTES_MAX: usize = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, base: &str) {
        assert_eq!(Endpoint::parse(text).unwrap().to_string(), base);
    }

    #[test]
    fn endpoints_are_urls_or_addresses() {
        check("http://127.0.0.1:2000", "http://127.0.0.1:2000");
        check("http://xray.local/", "http://xray.local");
        check("localhost:2000", "http://localhost:2000");
        check("[::1]:2000", "http://[::1]:2000");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for text in [
            "https://xray.us-east-1.amazonaws.com",
            "http://h/path",
            "ftp://h",
            "http://",
            "a b",
        ] {
            assert!(Endpoint::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_server_on_every_address_is_reached_on_this_machine() {
        assert_eq!(reachable("0.0.0.0:2000"), "127.0.0.1:2000");
        assert_eq!(reachable("[::]:2000"), "[::1]:2000");
        assert_eq!(reachable("10.0.0.1:2000"), "10.0.0.1:2000");
    }

    #[test]
    fn an_answer_that_is_no_json_still_has_a_code() {
        let reply = Reply {
            status: StatusCode::BAD_GATEWAY,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"<html>"),
        };
        assert_eq!(reply.error(), ("502 Bad Gateway".to_owned(), String::new()));
    }
}
