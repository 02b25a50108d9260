//! One request of a check, and the answer to it as it came.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request};
use protocol::Operation;
use serde_json::Value;

use crate::client::{Client, Reply};
use crate::exit::Stop;

/// A body and how it is sent.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    body: Vec<u8>,
    method: Method,
    path: Option<&'static str>,
    has_type: bool,
    is_signed: bool,
}

impl Ask {
    /// Returns a request with these bytes as its body.
    pub(super) fn raw(body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            method: Method::POST,
            path: None,
            has_type: true,
            is_signed: true,
        }
    }

    /// Returns a request with no body and no content type, as AWS SDKs send it if there is nothing to say.
    pub(super) fn empty() -> Self {
        Self {
            has_type: false,
            ..Self::raw("")
        }
    }

    /// Sends it as sampling clients do: nobody signed it, and nothing says what the body is.
    pub(super) fn bare(self) -> Self {
        Self {
            has_type: false,
            is_signed: false,
            ..self
        }
    }

    /// Sends it somewhere else.
    pub(super) fn to(self, method: Method, path: &'static str) -> Self {
        Self {
            method,
            path: Some(path),
            ..self
        }
    }

    /// Returns the same request for the page this token begins; only a JSON object has further pages.
    pub(super) fn with_token(&self, token: &str) -> Option<Self> {
        let mut body: Value = if self.body.is_empty() {
            Value::Object(serde_json::Map::new())
        } else {
            serde_json::from_slice(&self.body).ok()?
        };
        let members = body.as_object_mut()?;
        members.insert("NextToken".to_owned(), Value::from(token));
        Some(Self {
            has_type: true,
            body: body.to_string().into_bytes(),
            ..self.clone()
        })
    }

    /// Sends it and returns the answer, whatever it is.
    pub(super) async fn send(&self, client: &Client, operation: Operation) -> Result<Reply, Stop> {
        let path = self.path.unwrap_or(operation.path());
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(client.url(path));
        if self.has_type {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if self.is_signed && !client.is_signing() {
            request = request.header(AUTHORIZATION, SIGNATURE);
        }
        let request = request
            .body(Bytes::from(self.body.clone()))
            .map_err(Stop::usage)?;
        let reply = if self.is_signed {
            client.send(request).await
        } else {
            client.send_bare(request).await
        };
        Ok(reply?)
    }
}

impl From<&Value> for Ask {
    fn from(body: &Value) -> Self {
        Self::raw(body.to_string())
    }
}

impl From<Value> for Ask {
    fn from(body: Value) -> Self {
        Self::from(&body)
    }
}

/// The form of a signature; nobody's key made it.
const SIGNATURE: &str = "AWS4-HMAC-SHA256 Credential=AKIACONFORM/20260101/us-east-1/xray/aws4_request, \
     SignedHeaders=content-type;host, Signature=0000000000000000000000000000000000000000000000000000000000000000";
