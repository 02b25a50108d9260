//! The certificate doors show, and what is read from its files.
//!
//! TLS 1.2 and 1.3 with the suites of rustls; HTTP/2 and HTTP/1.1 are offered by ALPN. What connections are shown can be
//! replaced while the server runs: those that are open keep what they were shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretSlice};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};
use tracing::warn;

use crate::config::Tls;

/// The certificate new connections are shown.
#[derive(Debug)]
pub(crate) struct Certificates(ArcSwap<ServerConfig>);

/// A certificate that was read again.
#[derive(Debug)]
pub(crate) struct Renewed<'c> {
    certificates: &'c Certificates,
    shown: Arc<ServerConfig>,
}

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the file {} of {key}: {source}", path.display())]
    Read {
        /// The setting that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no certificate in the file.
    #[error("the file {} of tls.cert has no certificate (expected PEM, BEGIN CERTIFICATE)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be used.
    #[error("the file {} of tls.cert has a certificate that cannot be used: {reason}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There is no key in the file.
    #[error(
        "the file {} of tls.key has no private key that can be used (expected PEM, BEGIN PRIVATE KEY, EC PRIVATE KEY or \
         RSA PRIVATE KEY, not encrypted)",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A key is of no known kind.
    #[error("the file {} of tls.key has a key that cannot be used: {reason}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Key and certificate are not of each other.
    #[error(
        "the key in {} (tls.key) is not that of the first certificate in {} (tls.cert)",
        key.display(),
        cert.display()
    )]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the certificate.
        cert: PathBuf,
    },
    /// No file is named any more.
    #[error("tls.cert and tls.key are empty; whether doors speak TLS is decided at the start")]
    Off,
}

impl Certificates {
    /// Reads the certificate that is configured; nothing if doors are not to speak TLS.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub(crate) fn load(tls: &Tls) -> Result<Option<Self>, TlsError> {
        if tls.cert.as_os_str().is_empty() {
            return Ok(None);
        }
        let shown = read(tls)?;
        Ok(Some(Self(ArcSwap::from_pointee(shown))))
    }

    /// Reads the files again; what is in them now is shown to new connections once somebody says so.
    ///
    /// # Errors
    /// Names the file and what is wrong with it; connections are shown what they were before.
    pub(crate) fn renewed(&self, tls: &Tls) -> Result<Renewed<'_>, TlsError> {
        if tls.cert.as_os_str().is_empty() {
            return Err(TlsError::Off);
        }
        Ok(Renewed {
            certificates: self,
            shown: Arc::new(read(tls)?),
        })
    }

    /// Returns what takes the handshake of a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

impl Renewed<'_> {
    /// Lets new connections be shown this from now on.
    pub(crate) fn show(self) {
        self.certificates.0.store(self.shown);
    }
}

fn read(tls: &Tls) -> Result<ServerConfig, TlsError> {
    let chain = read_chain(&tls.cert)?;
    let key = read_key(&tls.key)?;
    let provider = Arc::new(ring::default_provider());
    let versions =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = versions
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| unusable(error, tls))?;
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(config)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = std::fs::read(path).map_err(|source| TlsError::Read {
        key: "tls.cert",
        path: path.to_owned(),
        source,
    })?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let chain = chain.map_err(|error| TlsError::Certificate {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

/// Reads the first key of a file. What is wrong inside of it is not told: its lines are secret.
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = std::fs::read(path).map_err(|source| TlsError::Read {
        key: "tls.key",
        path: path.to_owned(),
        source,
    })?;
    let pem = SecretSlice::from(pem);
    warn_if_open_to_all(path);
    PrivateKeyDer::from_pem_slice(pem.expose_secret()).map_err(|_secret| TlsError::NoKey {
        path: path.to_owned(),
    })
}

fn warn_if_open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    if metadata.permissions().mode() & READABLE_BY_ALL != 0 {
        warn!(file = %path.display(), "every user of this machine can read the private key; chmod 600 would keep it");
    }
}

fn unusable(error: Error, tls: &Tls) -> TlsError {
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            key: tls.key.clone(),
            cert: tls.cert.clone(),
        },
        Error::InvalidCertificate(reason) => TlsError::Certificate {
            path: tls.cert.clone(),
            reason: format!("{reason:?}"),
        },
        other => TlsError::Key {
            path: tls.key.clone(),
            reason: other.to_string(),
        },
    }
}

const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];
const READABLE_BY_ALL: u32 = 0o004;

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use tempfile::TempDir;

    use super::*;

    /// Files of a certificate and its key.
    struct Files(TempDir);

    impl Files {
        fn new() -> Self {
            let files = Self(tempfile::tempdir().unwrap());
            files.renew();
            files
        }

        fn renew(&self) {
            let made = made();
            self.write("cert.pem", &made.cert.pem());
            self.write("key.pem", &made.signing_key.serialize_pem());
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.0.path().join(name), text).unwrap();
        }

        fn tls(&self) -> Tls {
            Tls {
                cert: self.0.path().join("cert.pem"),
                key: self.0.path().join("key.pem"),
            }
        }

        /// Returns what is said of these files, without the folder.
        fn error(&self) -> String {
            let error = Certificates::load(&self.tls()).unwrap_err().to_string();
            error.replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    fn made() -> CertifiedKey<rcgen::KeyPair> {
        generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    #[test]
    fn no_files_are_no_tls() {
        let tls = Tls {
            cert: PathBuf::new(),
            key: PathBuf::new(),
        };
        assert!(Certificates::load(&tls).unwrap().is_none());
        let shown = Certificates::load(&Files::new().tls()).unwrap().unwrap();
        assert!(matches!(shown.renewed(&tls), Err(TlsError::Off)));
    }

    #[test]
    fn both_versions_of_http_are_offered() {
        let shown = Certificates::load(&Files::new().tls()).unwrap().unwrap();
        assert_eq!(
            shown.acceptor().config().alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
    }

    #[test]
    fn errors_name_the_file_and_what_is_wrong() {
        let files = Files::new();
        files.write("cert.pem", "nothing here\n");
        assert_eq!(
            files.error(),
            "the file cert.pem of tls.cert has no certificate (expected PEM, BEGIN CERTIFICATE)"
        );
        files.write(
            "cert.pem",
            "-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
        );
        assert!(
            files.error().starts_with(
                "the file cert.pem of tls.cert has a certificate that cannot be used: base64"
            ),
            "{}",
            files.error()
        );
        files.write(
            "cert.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        assert!(
            files.error().starts_with(
                "the file cert.pem of tls.cert has a certificate that cannot be used: "
            ),
            "{}",
            files.error()
        );
        files.renew();
        files.write("key.pem", &made().cert.pem());
        assert!(
            files
                .error()
                .starts_with("the file key.pem of tls.key has no private key that can be used"),
            "{}",
            files.error()
        );
        files.write(
            "key.pem",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        );
        assert!(
            files
                .error()
                .starts_with("the file key.pem of tls.key has a key that cannot be used: "),
            "{}",
            files.error()
        );
        files.write("key.pem", &made().signing_key.serialize_pem());
        assert_eq!(
            files.error(),
            "the key in key.pem (tls.key) is not that of the first certificate in cert.pem (tls.cert)"
        );
    }

    #[test]
    fn a_missing_file_is_named() {
        let files = Files::new();
        let mut tls = files.tls();
        tls.key = files.0.path().join("nowhere.pem");
        let error = Certificates::load(&tls).unwrap_err().to_string();
        assert!(
            error.contains("nowhere.pem of tls.key: No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_line_of_the_key_is_not_told() {
        let files = Files::new();
        files.write("key.pem", "-----BEGIN PRIVATE KEY-----SECRET\nSECRET\n");
        assert!(!files.error().contains("SECRET"), "{}", files.error());
    }

    #[test]
    fn another_certificate_is_shown_once_it_could_be_read() {
        let files = Files::new();
        let shown = Certificates::load(&files.tls()).unwrap().unwrap();
        let first = Arc::clone(shown.acceptor().config());
        files.write("key.pem", "");
        assert!(matches!(
            shown.renewed(&files.tls()),
            Err(TlsError::NoKey { .. })
        ));
        assert!(Arc::ptr_eq(&first, shown.acceptor().config()));
        files.renew();
        shown.renewed(&files.tls()).unwrap().show();
        assert!(!Arc::ptr_eq(&first, shown.acceptor().config()));
    }
}
