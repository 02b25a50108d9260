//! The member `http` (source: `http.go` of the collector's X-Ray exporter; semantic conventions of HTTP spans, the old
//! and the new ones).

use std::net::Ipv6Addr;

use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use serde::Serialize;

use super::attributes::Attributes;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Http<'a> {
    pub(super) request: Request<'a>,
    pub(super) response: Response,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Request<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) x_forwarded_for: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_ip: Option<&'a str>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<i64>,
    pub(super) content_length: i64,
}

/// Returns the block of a span that has an attribute only HTTP spans have.
pub(super) fn http<'a>(
    attributes: &Attributes<'a>,
    events: &[Event],
    kind: SpanKind,
) -> Option<Http<'a>> {
    if !attributes.iter().any(|(key, _)| TELLTALE.contains(&key)) {
        return None;
    }
    let is_peer_known = attributes.value("net.peer.ip").is_some()
        || attributes.address("network.peer.address").is_some();
    // What a proxy forwarded says more than the address of the proxy.
    let forwarded = attributes.text("http.client_ip");
    let forwarded = forwarded.or_else(|| attributes.address("client.address"));
    let client_ip = forwarded
        .or_else(|| attributes.text("net.peer.ip"))
        .or_else(|| attributes.address("network.peer.address"));
    Some(Http {
        request: Request {
            x_forwarded_for: (!is_peer_known && client_ip.is_some()).then_some(true),
            method: attributes.first_text(&["http.method", "http.request.method"]),
            url: url(attributes, kind),
            user_agent: attributes.first_text(&["http.user_agent", "user_agent.original"]),
            client_ip,
        },
        response: Response {
            status: status(attributes),
            content_length: content_length(attributes, events),
        },
    })
}

/// Returns the HTTP status of a span.
pub(super) fn status(attributes: &Attributes<'_>) -> Option<i64> {
    attributes.first_whole(&["http.status_code", "http.response.status_code"])
}

/// Tells whether an attribute of this key is shown in the block and nowhere else.
pub(super) fn takes(key: &str) -> bool {
    TELLTALE.contains(&key) || BESIDE.contains(&key)
}

fn url(attributes: &Attributes<'_>, kind: SpanKind) -> Option<String> {
    if let Some(url) = attributes.first_text(&["http.url", "url.full"]) {
        return Some(url.to_owned());
    }
    let says_where = |(key, _): (&str, _)| PLACES.contains(&key);
    let is_peer_known = attributes.address("network.peer.address").is_some();
    if !attributes.iter().any(says_where) && !is_peer_known {
        return None;
    }
    let scheme = attributes.first_text(&["http.scheme", "url.scheme"]);
    let scheme = scheme.unwrap_or("http");
    let (host, port) = authority(attributes, kind);
    let is_usual = matches!(
        (scheme, port.as_deref()),
        ("http", Some("80")) | ("https", Some("443"))
    );
    let mut url = if host.parse::<Ipv6Addr>().is_ok() {
        format!("{scheme}://[{host}]")
    } else {
        format!("{scheme}://{host}")
    };
    if let Some(port) = port.filter(|_| !is_usual) {
        url.push(':');
        url.push_str(&port);
    }
    if let Some(target) = attributes.text("http.target") {
        url.push_str(target);
        return Some(url);
    }
    url.push_str(attributes.text("url.path").unwrap_or("/"));
    if let Some(query) = attributes.text("url.query") {
        url.push('?');
        url.push_str(query.strip_prefix('?').unwrap_or(query));
    }
    Some(url)
}

/// Returns the host and the port a request went to. The port of a peer is that of its address, and not of the name
/// of the server, which may stand behind a proxy.
fn authority<'a>(attributes: &Attributes<'a>, kind: SpanKind) -> (&'a str, Option<String>) {
    if let Some(host) = attributes.text("http.host") {
        // It has the port with it.
        return (host, None);
    }
    if kind == SpanKind::Server {
        let host = attributes.first_text(&SERVER_HOSTS);
        return (
            host.unwrap_or_default(),
            attributes.first_digits(&SERVER_PORTS),
        );
    }
    let peer = || attributes.address("network.peer.address");
    let (host, ports) = match attributes.first_text(&CLIENT_HOSTS) {
        Some(host) if Some(host) != attributes.text("net.peer.ip") => (host, &CLIENT_PORTS[..]),
        Some(host) => (host, &PEER_PORTS[..]),
        None => (peer().unwrap_or_default(), &PEER_PORTS[..]),
    };
    (host, attributes.first_digits(ports))
}

/// Returns the size of the response; 0 if nothing tells.
fn content_length(attributes: &Attributes<'_>, events: &[Event]) -> i64 {
    let received = |attributes: &Attributes<'_>| {
        let is_received = attributes.text("message.type") == Some("RECEIVED");
        let size = attributes.first_whole(&[
            "messaging.message_payload_size_bytes",
            "messaging.message.body.size",
        ]);
        size.filter(|size| is_received && *size != 0)
    };
    let of_event = |event: &Event| received(&Attributes::of(&event.attributes));
    received(attributes)
        .or_else(|| events.iter().find_map(of_event))
        .or_else(|| {
            attributes.first_whole(&["http.response_content_length", "http.response.body.size"])
        })
        .unwrap_or(0)
}

/// What only HTTP spans have.
const TELLTALE: [&str; 17] = [
    "http.method",
    "http.request.method",
    "http.client_ip",
    "http.user_agent",
    "user_agent.original",
    "http.status_code",
    "http.response.status_code",
    "http.url",
    "url.full",
    "http.scheme",
    "url.scheme",
    "http.host",
    "http.target",
    "http.server_name",
    "net.host.port",
    "url.path",
    "url.query",
];
/// What is taken from them besides.
const BESIDE: [&str; 10] = [
    "host.name",
    "net.host.name",
    "net.peer.name",
    "net.peer.port",
    "net.peer.ip",
    "network.peer.address",
    "network.peer.port",
    "client.address",
    "server.address",
    "server.port",
];
/// What says where a request went, so that its URL can be put together.
const PLACES: [&str; 7] = [
    "http.host",
    "http.server_name",
    "host.name",
    "net.host.name",
    "net.peer.name",
    "net.peer.ip",
    "server.address",
];
const SERVER_HOSTS: [&str; 4] = [
    "http.server_name",
    "net.host.name",
    "host.name",
    "server.address",
];
const SERVER_PORTS: [&str; 2] = ["net.host.port", "server.port"];
const CLIENT_HOSTS: [&str; 3] = ["net.peer.name", "net.peer.ip", "server.address"];
const CLIENT_PORTS: [&str; 2] = ["net.peer.port", "server.port"];
const PEER_PORTS: [&str; 3] = ["net.peer.port", "network.peer.port", "server.port"];
