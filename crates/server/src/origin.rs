//! Where something came in: through which door, from whom.

use std::net::SocketAddr;

/// A door documents come in through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Doorway {
    /// The main address: the X-Ray API, OTLP over HTTP and the pages.
    Api,
    /// Datagrams of X-Ray SDKs.
    Udp,
    /// The address of OTLP over HTTP.
    OtlpHttp,
    /// The address of OTLP over gRPC.
    OtlpGrpc,
}

/// Where a request or datagram came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    pub(crate) doorway: Doorway,
    pub(crate) peer: SocketAddr,
    /// Whether nobody between could read it.
    pub(crate) is_tls: bool,
    /// Which one it is of those that are taken in together, counted from 0.
    pub(crate) nth: usize,
}

impl Doorway {
    /// Returns the name logs, figures and `/api/v1/refused` use.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Udp => "udp",
            Self::OtlpHttp => "otlp-http",
            Self::OtlpGrpc => "otlp-grpc",
        }
    }
}
