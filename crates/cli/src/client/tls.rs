//! How https endpoints are trusted.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::endpoint::Endpoint;

/// Which version of HTTP connections are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge.
    Http2,
}

/// Returns what opens connections to a server. It is trusted by the authorities of the file if there is one, by those
/// of the system else.
///
/// # Errors
/// Says what is wrong with the file, or that the system has no authorities.
pub(crate) fn connector(
    endpoint: &Endpoint,
    ca_file: Option<&Path>,
    protocol: Protocol,
) -> Result<HttpsConnector<HttpConnector>, String> {
    let roots = match ca_file {
        Some(file) => of_file(file)?,
        None if endpoint.is_https => of_system()?,
        None => RootCertStore::empty(),
    };
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut sockets = HttpConnector::new();
    sockets.enforce_http(false);
    sockets.set_nodelay(true);
    let connectors = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http();
    Ok(match protocol {
        Protocol::Http1 => connectors.enable_http1().wrap_connector(sockets),
        Protocol::Http2 => connectors.enable_http2().wrap_connector(sockets),
    })
}

fn of_file(file: &Path) -> Result<RootCertStore, String> {
    let name = file.display();
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("--ca-file {name}: {error}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate)
            .map_err(|error| format!("--ca-file {name}: {error}"))?;
    }
    if roots.is_empty() {
        return Err(format!("--ca-file {name}: no certificate in it"));
    }
    Ok(roots)
}

fn of_system() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "this system has no certificates of authorities; name some with --ca-file".to_owned(),
        );
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::parse("https://127.0.0.1:1").unwrap();
        let refusal = |file: &Path| connector(&endpoint, Some(file), Protocol::Http1).unwrap_err();
        let file = folder.path().join("ca.pem");
        assert!(refusal(&file).contains("ca.pem"));
        std::fs::write(&file, "nothing").unwrap();
        assert!(refusal(&file).contains("no certificate"));
    }
}
