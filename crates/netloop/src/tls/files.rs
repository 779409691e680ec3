//! Certificates and keys from PEM files.

use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// A certificate chain and the private key that belongs to it, each in a PEM file. They may be the same file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate of this side first, then those that lead to an authority.
    pub certificates: PathBuf,
    /// PKCS #8, PKCS #1 or SEC1, without a passphrase.
    pub key: PathBuf,
}

impl Identity {
    pub(super) fn load(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| TlsError::File {
            what: "a private key",
            path: self.key.clone(),
            error: error.to_string(),
        })?;
        Ok((certificates(&self.certificates)?, key))
    }
}

/// The certificate authorities of a file.
pub(super) fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| TlsError::Verifier { path: path.into(), error: error.to_string() })?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error: String| TlsError::File { what: "certificates", path: path.into(), error };
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() { Err(failed("no PEM certificate in it".to_owned())) } else { Ok(certificates) }
}
