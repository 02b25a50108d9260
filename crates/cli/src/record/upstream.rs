//! The server that calls are passed on to, and what of a call and its answer is of one connection alone.

use std::path::Path;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderName,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::client::root_cause;
use crate::client::signer::Signer;
use crate::client::tls::{self, Protocol};
use crate::endpoint::Endpoint;

/// A server, and the connections to it.
#[derive(Debug)]
pub(super) struct Upstream {
    endpoint: Endpoint,
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Of HTTP/2: gRPC has no other.
    grpc: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Who signs in the place of the clients, if anybody does.
    signer: Option<Signer>,
}

impl Upstream {
    /// Returns the way to a server; nothing is sent yet.
    ///
    /// # Errors
    /// Says what is wrong with the file of certificates.
    pub(super) fn new(
        endpoint: Endpoint,
        ca_file: Option<&Path>,
        signer: Option<Signer>,
    ) -> Result<Self, String> {
        let connector = |protocol| tls::connector(&endpoint, ca_file, protocol);
        let (of_http1, of_http2) = (connector(Protocol::Http1)?, connector(Protocol::Http2)?);
        let executor = TokioExecutor::new();
        Ok(Self {
            pool: Pool::builder(executor.clone()).build(of_http1),
            grpc: Pool::builder(executor).http2_only(true).build(of_http2),
            endpoint,
            signer,
        })
    }

    /// Returns the server.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a call on and returns the answer as soon as it begins.
    ///
    /// # Errors
    /// Says why there is none.
    pub(super) async fn send(
        &self,
        head: Parts,
        body: Bytes,
    ) -> Result<Response<Incoming>, String> {
        let pool = if is_grpc(&head.headers) {
            &self.grpc
        } else {
            &self.pool
        };
        let request = self.request(head, body).await?;
        let response = pool.request(request.map(Full::from)).await;
        let mut response = response.map_err(|error| root_cause(&error).to_string())?;
        let headers = response.headers_mut();
        if headers.contains_key(TRANSFER_ENCODING) {
            headers.remove(CONTENT_LENGTH);
        }
        strip(headers);
        *response.version_mut() = Version::default();
        Ok(response)
    }

    /// Returns the request as the server gets it.
    async fn request(&self, head: Parts, body: Bytes) -> Result<Request<Bytes>, String> {
        let target = head
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(head.method)
            .uri(format!("{}{target}", self.endpoint))
            .body(body)
            .map_err(|error| error.to_string())?;
        let mut headers = head.headers;
        let is_grpc = is_grpc(&headers);
        let takes_trailers = takes_trailers(&headers);
        strip(&mut headers);
        headers.remove(CONTENT_LENGTH);
        let authority = head.uri.authority().map(Authority::as_str);
        if is_grpc {
            // HTTP/2 says it in another place, and only once.
            headers.remove(HOST);
        } else if let Some(host) = authority.filter(|_| !headers.contains_key(HOST)) {
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
        // What is of this connection is never signed.
        if takes_trailers {
            let headers = request.headers_mut();
            headers.insert(TE, HeaderValue::from_static("trailers"));
            if !is_grpc {
                headers.insert(CONNECTION, HeaderValue::from_static("te"));
            }
        }
        Ok(request)
    }
}

/// Tells whether a call is one of gRPC, which its trailers end (spec: gRPC over HTTP/2, "Content-Type"); gRPC-Web is none.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = content_type.and_then(|value| value.strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

/// Tells whether a client takes trailers.
fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Takes out the headers that are of one connection alone (RFC 9110, section 7.6.1).
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

const OF_CONNECTIONS: [HeaderName; 9] = [
    CONNECTION,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio_rustls::rustls::crypto;

    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn headers_of_one_connection_go_no_further() {
        let mut headers = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("trailer", "x-sum"),
            ("content-type", "application/json"),
            ("authorization", "AWS4-HMAC-SHA256 x"),
            ("x-amz-date", "20231114T221320Z"),
        ]);
        strip(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["authorization", "content-type", "trailer", "x-amz-date"]
        );
    }

    #[test]
    fn clients_say_whether_they_take_trailers() {
        let check = |value: &'static str, expected: bool| {
            assert_eq!(
                takes_trailers(&headers(&[("te", value)])),
                expected,
                "{value}"
            );
        };
        check("trailers", true);
        check("gzip;q=0.5, Trailers", true);
        check("gzip", false);
        check("", false);
        assert!(!takes_trailers(&headers(&[])));
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let check = |value: &'static str, expected: bool| {
            assert_eq!(
                is_grpc(&headers(&[("content-type", value)])),
                expected,
                "{value}"
            );
        };
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("application/grpc;x=1", true);
        check("application/grpc-web", false);
        check("application/json", false);
    }

    /// Returns what a server would get of a call.
    async fn passed_on(request: http::request::Builder) -> Vec<String> {
        let endpoint = Endpoint::parse("http://server:1").unwrap();
        let upstream = Upstream::new(endpoint, None, None).unwrap();
        let (head, ()) = request.body(()).unwrap().into_parts();
        let request = upstream.request(head, Bytes::new()).await.unwrap();
        let headers = request.headers().iter();
        let headers = headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        let mut told: Vec<String> = headers.collect();
        told.sort_unstable();
        told.insert(0, request.uri().to_string());
        told
    }

    #[tokio::test]
    async fn calls_go_to_the_server_as_they_came() {
        let plain = Request::post("/Traces?a=b")
            .header(HOST, "here")
            .header(CONTENT_LENGTH, "7")
            .header(TE, "trailers");
        assert_eq!(
            passed_on(plain).await,
            [
                "http://server:1/Traces?a=b",
                "connection: te",
                "host: here",
                "te: trailers"
            ]
        );
        let of_http_2 = Request::post("http://here/Traces");
        assert_eq!(
            passed_on(of_http_2).await,
            ["http://server:1/Traces", "host: here"]
        );
        let grpc = Request::post("http://here/x.Y/Z")
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers");
        assert_eq!(
            passed_on(grpc).await,
            [
                "http://server:1/x.Y/Z",
                "content-type: application/grpc",
                "te: trailers"
            ]
        );
    }

    /// Accepts a connection as a server that knows both versions of HTTP, and returns which one was agreed on.
    async fn agreed_on(content_type: &'static str) -> Option<Vec<u8>> {
        let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, certified.cert.pem()).unwrap();
        let key = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der());
        let provider = Arc::new(crypto::ring::default_provider());
        let mut config = tokio_rustls::rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key.unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let endpoint = Endpoint::parse(&url).unwrap();
        let upstream = Upstream::new(endpoint, Some(&ca_file), None).unwrap();
        let call = Request::post("/x.Y/Z").header(CONTENT_TYPE, content_type);
        let (head, ()) = call.body(()).unwrap().into_parts();
        let accepting = async {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
            let stream = acceptor.accept(stream).await.unwrap();
            let (_, session) = stream.get_ref();
            session.alpn_protocol().map(<[u8]>::to_vec)
        };
        let (agreed_on, unanswered) = tokio::join!(accepting, upstream.send(head, Bytes::new()));
        assert!(unanswered.is_err());
        agreed_on
    }

    #[tokio::test]
    async fn through_tls_http_2_is_agreed_on_for_grpc() {
        let of_grpc = agreed_on("application/grpc").await;
        assert_eq!(of_grpc.as_deref(), Some(&b"h2"[..]));
        assert_eq!(agreed_on("application/json").await, None);
    }
}
