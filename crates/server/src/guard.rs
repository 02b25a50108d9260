//! Requests a web page makes a browser send, which nobody meant to: refused unless they are asked for.
//!
//! - DNS rebinding: a page lets its own name resolve to this server and then is, to the browser, the same origin. So the
//!   `Host` of a request must be an address or a name that no stranger can own: without a dot, under a domain reserved for
//!   private use, this machine's, or one of `server.hosts`.
//! - Cross-site requests: browsers say in `Origin` whose page a request is of. It must be the server's own or one of
//!   `server.origins`, which are also told so in the way browsers expect (CORS, spec: WHATWG Fetch).

use std::net::IpAddr;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, HOST, ORIGIN, VARY,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::config::Config;
use crate::config::values::AuthMode;

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stranger {
    /// It names the server in a way somebody else could have arranged.
    #[error(
        "the server is not known as {host:?}; use its address, or add the name to the setting server.hosts"
    )]
    Host {
        /// The name.
        host: String,
    },
    /// It is of another site's page.
    #[error(
        "pages of {origin:?} may not call this server; the setting server.origins lists those that may"
    )]
    Origin {
        /// The page's origin.
        origin: String,
    },
}

/// The page of another origin that sends a request, and may.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    origin: HeaderValue,
    asks_for: Option<HeaderValue>,
}

/// Returns the page of another origin a request is of, if it is of one; refuses what no page may send.
pub(crate) fn check(parts: &Parts, config: &Config) -> Result<Option<Visitor>, Stranger> {
    let authority = authority(parts);
    if let Some(authority) = &authority
        && !is_proved(parts, config)
        && !is_ours(authority, &config.server.hosts.0)
    {
        let host = excerpt(authority.host());
        return Err(Stranger::Host { host });
    }
    let Some(origin) = parts.headers.get(ORIGIN) else {
        return Ok(None);
    };
    let text = origin.to_str().unwrap_or("null");
    let own = text
        .split_once("://")
        .map(|(_, host_and_port)| host_and_port);
    if own.is_some() && own == authority.as_ref().map(Authority::as_str) {
        return Ok(None);
    }
    let origins = &config.server.origins.0;
    let is_allowed = origins
        .iter()
        .any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(text));
    if !is_allowed {
        let origin = excerpt(text);
        return Err(Stranger::Origin { origin });
    }
    let asks_for = parts.headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
    Ok(Some(Visitor {
        origin: origin.clone(),
        asks_for: asks_for.cloned(),
    }))
}

/// Tells whether a request only asks whether another one may be sent.
pub(crate) fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Visitor {
    /// Adds what lets the page read an answer.
    pub(crate) fn admit(&self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin.clone());
        headers.insert(VARY, HeaderValue::from_static("Origin"));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }

    /// Returns the answer to the question whether a request may be sent: yes.
    pub(crate) fn invite(&self) -> http::Response<bytes::Bytes> {
        let mut response = http::Response::new(bytes::Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
        if let Some(asks_for) = &self.asks_for {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asks_for.clone());
        }
        response
    }
}

/// Returns what the request calls the server; HTTP/1.0 may leave it out, browsers never do.
fn authority(parts: &Parts) -> Option<Authority> {
    let header = parts.headers.get(HOST);
    let of_header = header.map(|host| {
        let authority = host.to_str().ok().and_then(|host| host.parse().ok());
        authority
            .filter(is_plain)
            .unwrap_or_else(|| Authority::from_static("unreadable.invalid"))
    });
    of_header.or_else(|| parts.uri.authority().cloned())
}

/// Tells whether the request is from who has a key, or goes no further: no page has one, and a signature covers the host.
fn is_proved(parts: &Parts, config: &Config) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    let is_presigned = query.contains("X-Amz-Signature=");
    config.auth.mode == AuthMode::SigV4
        && (is_presigned || parts.headers.contains_key(AUTHORIZATION))
}

/// Tells whether there is nothing but a host and a port.
fn is_plain(authority: &Authority) -> bool {
    let port = authority.as_str().strip_prefix(authority.host());
    port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
}

/// Tells whether nobody else can own the name.
fn is_ours(authority: &Authority, hosts: &[String]) -> bool {
    let host = authority.host().trim_end_matches('.').to_ascii_lowercase();
    !host.is_empty()
        && (is_address(&host) || is_private(&host) || is_listed(&host, hosts) || is_machine(&host))
}

fn is_address(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok()
}

fn is_private(host: &str) -> bool {
    let mut domains = PRIVATE_DOMAINS.iter();
    !host.contains('.') || domains.any(|domain| is_below(host, domain))
}

fn is_listed(host: &str, hosts: &[String]) -> bool {
    hosts.iter().any(|listed| match listed.strip_prefix("*.") {
        Some(domain) => is_below(host, &domain.to_ascii_lowercase()),
        None => listed == "*" || listed.eq_ignore_ascii_case(host),
    })
}

fn is_machine(host: &str) -> bool {
    let system = rustix::system::uname();
    let name = system.nodename().to_str();
    name.is_ok_and(|name| name.eq_ignore_ascii_case(host))
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|below| below.ends_with('.'))
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Domains no stranger can have a name in (RFC 6761, RFC 6762, RFC 8375; `internal` is reserved by ICANN).
const PRIVATE_DOMAINS: [&str; 5] = ["localhost", "local", "internal", "test", "home.arpa"];
const EXPOSED: HeaderValue =
    HeaderValue::from_static("x-amzn-requestid, x-amzn-errortype, retry-after");
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::config::{Config, Sources};

    fn config(hosts: &str, origins: &str) -> Config {
        let variables = [
            ("ROENTGEN_SERVER_HOSTS", hosts),
            ("ROENTGEN_SERVER_ORIGINS", origins),
        ];
        let environment = variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()));
        let sources = Sources {
            environment: environment.collect(),
            ..Sources::default()
        };
        Config::load(&sources).unwrap().0
    }

    fn parts(headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post("/Traces");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn check_host(host: &str, hosts: &str, is_let_in: bool) {
        let outcome = check(&parts(&[("host", host)]), &config(hosts, ""));
        assert_eq!(outcome.is_ok(), is_let_in, "{host} with {hosts:?}");
    }

    #[test]
    fn names_a_stranger_can_own_are_refused() {
        for host in [
            "127.0.0.1:2000",
            "10.1.2.3",
            "[::1]:2000",
            "localhost:2000",
            "LOCALHOST",
            "shop.localhost:80",
            "roentgen:2000",
            "host.docker.internal:2000",
            "roentgen.tracing.svc.cluster.local",
            "box.home.arpa",
        ] {
            check_host(host, "", true);
        }
        for host in [
            "evil.example:2000",
            "127.0.0.1.nip.io",
            "localhost.evil.example",
            "evillocal.com",
            "[::1].evil.example",
            "a b",
            "",
        ] {
            check_host(host, "", false);
        }
    }

    #[test]
    fn names_that_are_listed_are_let_in() {
        check_host("traces.example.com:443", "traces.example.com", true);
        check_host("Traces.Example.com", "traces.example.com", true);
        check_host("a.example.com", "*.example.com", true);
        check_host("example.com", "*.example.com", false);
        check_host("notexample.com", "*.example.com", false);
        check_host("anything.at.all", "*", true);
    }

    #[test]
    fn who_proves_a_key_may_call_the_server_what_he_likes() {
        let mut config = config("", "");
        let headers = [("host", "traces.example"), ("authorization", "any")];
        assert!(check(&parts(&headers), &config).is_err());
        config.auth.mode = AuthMode::SigV4;
        assert!(check(&parts(&headers), &config).is_ok());
        assert!(check(&parts(&headers[..1]), &config).is_err());
    }

    fn check_origin(origin: &str, origins: &str, expected: Option<bool>) {
        let headers = [("host", "127.0.0.1:2000"), ("origin", origin)];
        let outcome = check(&parts(&headers), &config("", origins));
        let is_visitor = outcome.ok().map(|visitor| visitor.is_some());
        assert_eq!(is_visitor, expected, "{origin} with {origins:?}");
    }

    #[test]
    fn pages_of_other_sites_are_refused_unless_listed() {
        check_origin("http://127.0.0.1:2000", "", Some(false));
        check_origin("https://127.0.0.1:2000", "", Some(false));
        check_origin("http://127.0.0.1:3000", "", None);
        check_origin("https://evil.example", "", None);
        check_origin("null", "", None);
        check_origin("https://app.example", "https://app.example", Some(true));
        check_origin("https://app.example.evil", "https://app.example", None);
        check_origin("null", "*", Some(true));
    }

    #[test]
    fn a_listed_page_is_told_it_may_send_what_it_asks_to_send() {
        let headers = [
            ("host", "127.0.0.1:2000"),
            ("origin", "https://app.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "content-type,x-amz-date"),
        ];
        let mut parts = parts(&headers);
        assert!(!is_preflight(&parts));
        parts.method = Method::OPTIONS;
        assert!(is_preflight(&parts));
        let visitor = check(&parts, &config("", "https://app.example")).unwrap();
        let visitor = visitor.unwrap();
        let mut invitation = visitor.invite();
        visitor.admit(invitation.headers_mut());
        assert_eq!(invitation.status(), 204);
        let header = |name: &str| invitation.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("access-control-allow-origin"), "https://app.example");
        assert_eq!(
            header("access-control-allow-headers"),
            "content-type,x-amz-date"
        );
    }
}
