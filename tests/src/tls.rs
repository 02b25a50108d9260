//! Certificates made for one test, and clients that believe in nothing else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Somebody who certifies, known to nobody else.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// The files a server is given.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let name = "Roentgen's tests";
        params.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// Writes a certificate for this machine and its key into a folder, for `tls.cert` and `tls.key`.
    pub fn certify(&self, folder: &Path) -> Result<Files> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names)?;
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let files = Files {
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        std::fs::write(&files.cert, cert.pem() + &self.issuer.pem())?;
        std::fs::write(&files.key, key.serialize_pem())?;
        Ok(files)
    }

    /// Writes what clients are to trust into a folder.
    pub fn publish(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("ca.pem");
        std::fs::write(&path, self.issuer.pem())?;
        Ok(path)
    }

    /// Returns clients that believe this authority alone and offer these versions of HTTP.
    pub fn clients(&self, alpn: &[&str]) -> Result<Arc<ClientConfig>> {
        self.clients_of(&[&TLS13, &TLS12], alpn)
    }

    /// Returns clients of these versions of TLS alone.
    pub fn clients_of(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

impl Files {
    /// Returns the section of a configuration file that names them.
    pub fn config(&self) -> Result<String> {
        let cert = self.cert.to_str().context("a path that is text")?;
        let key = self.key.to_str().context("a path that is text")?;
        Ok(format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n"))
    }
}
