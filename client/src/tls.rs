//! What an encrypted connection trusts, and what it says when a handshake fails.

use crate::error::{Error, Result};
use redis::{Client, ClientTlsConfig, ConnectionInfo, RedisError, TlsCertificates};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{AlertDescription, CertificateError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is longer is no certificate.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The PEM files of an encrypted connection. Without any the server's certificate must be signed by a public authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that are trusted, in place of the public ones.
    pub ca: Option<PathBuf>,
    /// Certificate that this side shows, with those between it and its authority. Goes with `key`.
    pub cert: Option<PathBuf>,
    /// Private key of `cert`.
    pub key: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether no file is named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read(&self) -> Result<TlsCertificates> {
        let client_tls = match (&self.cert, &self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: pem(cert, "CERTIFICATE-----")?,
                client_key: pem(key, "PRIVATE KEY-----")?,
            }),
            _ => {
                return Err(Error::Config("a certificate of ours and its key go together: name both files".to_owned()));
            }
        };
        let root_cert = self.ca.as_deref().map(|ca| pem(ca, "CERTIFICATE-----")).transpose()?;
        Ok(TlsCertificates { client_tls, root_cert })
    }
}

fn pem(path: &Path, what: &str) -> Result<Vec<u8>> {
    let unusable = |why: &dyn std::fmt::Display| Error::Config(format!("the PEM file {} {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| unusable(&format!("cannot be read: {error}")))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unusable(&format!("is longer than {FILE_BYTES_MAX} bytes")));
    }
    let bytes = std::fs::read(path).map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    // An empty list of authorities would be taken as it is, and then every server refused.
    let holds = bytes.windows(what.len()).any(|window| window == what.as_bytes());
    if holds { Ok(bytes) } else { Err(unusable(&format!("holds no '{what}'"))) }
}

/// The same place, trusting what the files say.
pub(crate) fn secured(info: &ConnectionInfo, files: &TlsFiles) -> Result<ConnectionInfo> {
    let bad = |error: &RedisError| Error::Config(format!("the TLS files are not usable: {error}"));
    let client = Client::build_with_tls(info.clone(), files.read()?).map_err(|error| bad(&error))?;
    Ok(client.get_connection_info().clone())
}

/// `rustls` takes what the process has chosen for its cryptography. Where nobody has chosen, and a dependency of the
/// program's brings another one as well, it would panic.
pub(crate) fn choose_provider() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else who was faster is fine.
        let _ = ring::default_provider().install_default();
    }
}

/// What to do about a handshake that failed; `None` where it was not the handshake.
pub(crate) fn next_step(error: &RedisError) -> Option<&'static str> {
    let error = std::error::Error::source(error)?.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?;
    Some(match inner.downcast_ref::<rustls::Error>()? {
        // Another authority of the same name is found out by its signature.
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "no authority that is trusted here has signed its certificate: REDIS_CA_FILE (redis.ca_file of the engine) \
             names the PEM file of the one that has"
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name: connect by a name or an address that stands in it",
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired: renew it, or look at this machine's clock"
        }
        rustls::Error::InvalidCertificate(_) => "its certificate is not valid: have its authority make a new one",
        rustls::Error::InvalidMessage(_) => "it does not speak TLS there: rediss:// wants its tls-port",
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::HandshakeFailure,
        ) => {
            "it wants a certificate of ours that it trusts: REDIS_CERT_FILE and REDIS_KEY_FILE (redis.cert_file and \
             redis.key_file of the engine) name the files"
        }
        _ => "client and server do not agree on how to encrypt",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn files_that_cannot_be_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.pem");
        let secure = |files: TlsFiles| Config::from_url("rediss://h/").unwrap().with_tls_files(&files).unwrap_err();
        let ca = TlsFiles { ca: Some(path.clone()), ..TlsFiles::default() };
        assert!(secure(ca.clone()).to_string().contains("some.pem cannot be read"));
        std::fs::write(&path, "nothing of the kind").unwrap();
        assert!(secure(ca.clone()).to_string().contains("holds no 'CERTIFICATE"), "{}", secure(ca));
        let half = TlsFiles { cert: Some(path), ..TlsFiles::default() };
        assert!(secure(half).to_string().contains("go together"));
    }

    #[test]
    fn files_without_encryption_are_a_mistake() {
        let files = TlsFiles { ca: Some("/tmp/ca.pem".into()), ..TlsFiles::default() };
        for url in ["redis://h/", "/run/redis.sock", "redis+sentinel://h/main"] {
            let error = Config::from_url(url).unwrap().with_tls_files(&files).unwrap_err();
            assert!(error.to_string().contains("rediss://"), "{error}");
        }
        assert!(Config::from_url("redis://h/").unwrap().with_tls_files(&TlsFiles::default()).is_ok());
    }

    #[test]
    fn the_certificate_is_always_checked() {
        let error = Config::from_url("rediss://bob:s3cret@h/#insecure").unwrap_err().to_string();
        assert!(error.contains("REDIS_CA_FILE") && !error.contains("s3cret"), "{error}");
    }
}
