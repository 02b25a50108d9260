//! Calls: each is passed on as it came and written to the journal with its answer.
//!
//! No answer reaches a client before its call is in the journal. An upstream that takes its time does not keep the copy
//! waiting: after a second it is written without the answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use journal::{Answer, Call, Content, Door, Record, Refusal, Verdicts};
use model::Timestamp;
use protocol::shapes::{PutTraceSegmentsRequest, PutTraceSegmentsResponse};
use protocol::{ApiError, Operation, error_response};
use uuid::Uuid;

use super::keeping::Keeping;
use crate::client::signer::Signer;
use crate::endpoint::Endpoint;
use crate::replay::opened::inflated;

/// Passes calls on to a server.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) upstream: Endpoint,
    pub(super) pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Who signs in the place of the clients, if anybody does.
    pub(super) signer: Option<Signer>,
    pub(super) keeping: Keeping,
    pub(super) now: fn() -> Timestamp,
    /// Calls that got no answer from the server.
    pub(super) n_unanswered: AtomicU64,
}

/// What came from the server, or stands for it.
struct Passed {
    response: Response<Bytes>,
    /// Whether the server itself answered.
    is_answer: bool,
}

impl Pass {
    /// Answers a call with what the server answers.
    pub(super) async fn serve(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        // On a task of its own, so that a client that hangs up takes nothing away from the journal.
        let serving = tokio::spawn(async move { self.pass(request, peer).await });
        let response = serving.await.unwrap_or_else(|error| {
            refusal(
                StatusCode::BAD_GATEWAY,
                &ApiError::internal(error.to_string()),
            )
        });
        Ok(response.map(Full::from))
    }

    async fn pass(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Bytes> {
        let at = (self.now)();
        let (head, body) = request.into_parts();
        let collecting = Limited::new(body, BODY_BYTES_MAX).collect();
        let body = match tokio::time::timeout(PATIENCE, collecting).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => {
                let error = ApiError::too_large(format!("cannot read the body: {error}"));
                return refusal(StatusCode::PAYLOAD_TOO_LARGE, &error);
            }
            Err(_elapsed) => {
                let error = ApiError::timeout("the body did not come in time");
                return refusal(error.status(), &error);
            }
        };
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let headers = head.headers.iter();
        let headers = headers.map(|(name, value)| (name.as_str(), value.as_bytes()));
        let call = Call::new(head.method.as_str(), target, headers, body.clone());
        let record = Record {
            at,
            door: Door::Api,
            account: None,
            peer: Some(peer),
            content: Content::Datagram(Bytes::new()),
            verdicts: None,
        };
        let begun = Instant::now();
        let mut forwarding = pin!(self.forward(head, body));
        let passed = tokio::select! {
            passed = &mut forwarding => passed,
            () = tokio::time::sleep(ANSWER_WAIT) => {
                let content = Content::Http(call);
                self.keeping.keep(Record { content, ..record }).await;
                return forwarding.await.response;
            }
        };
        let record = recorded(record, call, &passed, begun.elapsed());
        self.keeping.keep(record).await;
        passed.response
    }

    /// Sends a call on and returns the answer, or what the client is told instead of one.
    async fn forward(&self, head: Parts, body: Bytes) -> Passed {
        let exchange = async {
            let request = self.request(head, body).await?;
            let response = self.pool.request(request.map(Full::from)).await;
            let response = response.map_err(|error| cause(&error))?;
            let (mut head, body) = response.into_parts();
            strip(&mut head.headers);
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>(Response::from_parts(head, body))
        };
        let (status, error) = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(mut response)) => {
                *response.version_mut() = Version::default();
                return Passed {
                    response,
                    is_answer: true,
                };
            }
            Ok(Err(cause)) => {
                let message = format!("no answer from {}: {cause}", self.upstream);
                (StatusCode::BAD_GATEWAY, ApiError::unavailable(message))
            }
            Err(_elapsed) => {
                let message = format!("no answer from {} in time", self.upstream);
                (StatusCode::GATEWAY_TIMEOUT, ApiError::timeout(message))
            }
        };
        self.n_unanswered.fetch_add(1, Ordering::Relaxed);
        Passed {
            response: refusal(status, &error),
            is_answer: false,
        }
    }

    /// Returns the request as the server gets it.
    async fn request(&self, head: Parts, body: Bytes) -> Result<Request<Bytes>, String> {
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(head.method)
            .uri(format!("{}{target}", self.upstream))
            .body(body)
            .map_err(|error| error.to_string())?;
        let mut headers = head.headers;
        strip(&mut headers);
        let authority = head.uri.authority().map(http::uri::Authority::as_str);
        if let Some(host) = authority.filter(|_| !headers.contains_key(HOST)) {
            let host = HeaderValue::from_str(host).map_err(|error| error.to_string())?;
            headers.insert(HOST, host);
        }
        *request.headers_mut() = headers;
        if let Some(signer) = &self.signer {
            for name in OF_SIGNATURES {
                request.headers_mut().remove(&name);
            }
            let signed = signer.sign(&mut request).await;
            signed.map_err(|error| error.to_string())?;
        }
        Ok(request)
    }
}

/// Returns a record with what was answered.
fn recorded(record: Record, call: Call, passed: &Passed, took: Duration) -> Record {
    if !passed.is_answer {
        let content = Content::Http(call);
        return Record { content, ..record };
    }
    let verdicts = verdicts(&call, passed);
    let mut call = call.with_took(took);
    let body = passed.response.body();
    call.answer = Some(Answer {
        status: passed.response.status().as_u16(),
        body: if body.len() <= ANSWER_BYTES_MAX {
            body.clone()
        } else {
            Bytes::new()
        },
    });
    Record {
        content: Content::Http(call),
        verdicts,
        ..record
    }
}

/// Returns what the server said of the documents of a call.
fn verdicts(call: &Call, passed: &Passed) -> Option<Verdicts> {
    if call.path() != Operation::PutTraceSegments.path() || !passed.response.status().is_success() {
        return None;
    }
    let body = inflated(call.body())?;
    let request: PutTraceSegmentsRequest<'_> = protocol::decode(&body).ok()?;
    let answer = inflated(passed.response.body())?;
    let answer: PutTraceSegmentsResponse = serde_json::from_slice(&answer).ok()?;
    let refused = answer.unprocessed_trace_segments.into_iter();
    let refused: Vec<Refusal> = refused
        .map(|refused| Refusal {
            id: refused.id,
            code: refused.error_code,
        })
        .collect();
    let n_documents = request.trace_segment_documents.len();
    let n_accepted = u32::try_from(n_documents.saturating_sub(refused.len()));
    Some(Verdicts {
        n_accepted: n_accepted.unwrap_or(u32::MAX),
        refused,
    })
}

/// Takes out the headers that are of one connection alone (RFC 9110, section 7.6.1), and what the next one says anew.
fn strip(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&OF_CONNECTIONS) {
        headers.remove(name);
    }
}

/// Returns an error as the X-Ray API has them, with another status.
fn refusal(status: StatusCode, error: &ApiError) -> Response<Bytes> {
    let mut response = error_response(error, &Uuid::new_v4().to_string());
    *response.status_mut() = status;
    response
}

fn cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

const OF_CONNECTIONS: [HeaderName; 11] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];
/// What a client's own signature consists of, and the host it is for.
const OF_SIGNATURES: [HeaderName; 5] = [
    AUTHORIZATION,
    HOST,
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
];
/// Of a request and of an answer; more than any server takes.
const BODY_BYTES_MAX: usize = 48 << 20;
/// Larger answers are passed on and not recorded.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_mins(1);
/// How long a copy waits for the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_go_no_further() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("content-length", "7"),
            ("content-type", "application/json"),
            ("authorization", "AWS4-HMAC-SHA256 x"),
            ("x-amz-date", "20231114T221320Z"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "content-type", "x-amz-date"]);
    }

    fn check_verdicts(path: &str, status: u16, answer: &str, expected: Option<(u32, usize)>) {
        let body = r#"{"TraceSegmentDocuments":["a","b","c"]}"#;
        let call = Call::new("POST", path, [], body.into());
        let response = Response::builder().status(status);
        let passed = Passed {
            response: response
                .body(Bytes::copy_from_slice(answer.as_bytes()))
                .unwrap(),
            is_answer: true,
        };
        let verdicts = verdicts(&call, &passed);
        let verdicts = verdicts.map(|verdicts| (verdicts.n_accepted, verdicts.refused.len()));
        assert_eq!(verdicts, expected, "{path} {status} {answer}");
    }

    #[test]
    fn verdicts_are_read_from_answers() {
        let one = r#"{"UnprocessedTraceSegments":[{"Id":"1","ErrorCode":"A","Message":"m"}]}"#;
        check_verdicts("/TraceSegments", 200, one, Some((2, 1)));
        check_verdicts("/TraceSegments", 200, "{}", Some((3, 0)));
        check_verdicts("/TraceSegments", 429, one, None);
        check_verdicts("/TraceSegments", 200, "<html>", None);
        check_verdicts("/Traces", 200, "{}", None);
    }
}
