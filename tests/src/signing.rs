//! A signer that signs what it is told, by the reference implementation: right requests and wrong ones.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use serde_json::{Value, json};

use crate::server::list;
use crate::wait::now;
use crate::{Response, Server};

/// An access key as a client has it.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The id of the key.
    pub id: &'static str,
    /// Its secret.
    pub secret: &'static str,
    /// The token that comes with a lent key.
    pub session_token: Option<&'static str>,
    /// The region signed for.
    pub region: &'static str,
    /// The service signed for.
    pub service: &'static str,
    /// How far the client's clock is ahead, in seconds.
    pub ahead: i64,
}

impl Signer {
    /// Returns a signer for a key in the region servers are in by default.
    pub const fn new(id: &'static str, secret: &'static str) -> Self {
        Self {
            id,
            secret,
            session_token: None,
            region: "us-east-1",
            service: "xray",
            ahead: 0,
        }
    }

    /// Returns the headers that sign a request.
    pub fn headers(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<(String, String)>> {
        let session_token = self.session_token.map(str::to_owned);
        let identity = Credentials::new(self.id, self.secret, session_token, None, "test").into();
        let seconds = i64::from(now()) + self.ahead;
        let time: SystemTime = UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds)?);
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(time)
            .settings(SigningSettings::default())
            .build()?
            .into();
        let headers = [("host", "localhost"), ("content-type", "application/json")];
        let uri = Cow::Owned(format!("http://localhost{path}"));
        let body = SignableBody::Bytes(body);
        let request = SignableRequest::new(method, uri, headers.into_iter(), body)?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let mut headers: Vec<(String, String)> = instructions
            .headers()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
        Ok(headers)
    }

    /// Posts a JSON value, signed.
    pub fn post(&self, server: &Server, path: &str, body: &Value) -> Result<Response> {
        let body = body.to_string();
        let headers = self.headers("POST", path, body.as_bytes())?;
        send(server, "POST", path, &headers, body.as_bytes())
    }

    /// Returns the answer to a signed GET.
    pub fn get(&self, server: &Server, path: &str) -> Result<Response> {
        send(server, "GET", path, &self.headers("GET", path, b"")?, b"")
    }

    /// Puts documents and fails if one of them is refused.
    pub fn put_all(&self, server: &Server, documents: &[String]) -> Result<()> {
        let request = json!({ "TraceSegmentDocuments": documents });
        let answer = self.post(server, "/TraceSegments", &request)?.success()?;
        let unprocessed = list(&answer, "UnprocessedTraceSegments")?;
        anyhow::ensure!(unprocessed.is_empty(), "refused: {unprocessed:?}");
        Ok(())
    }
}

/// Sends a request with these headers.
pub fn send(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Response> {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    server.connect()?.request(method, path, &headers, body)
}
