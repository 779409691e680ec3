//! The server's side of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection};

use super::{Identity, TlsError, TlsStream, Versions, files, suites};

/// How a server does TLS.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Its certificate and key.
    pub identity: Identity,
    /// Authorities (PEM) that clients' certificates must come from; `None`: clients need no certificate.
    pub client_authorities: Option<PathBuf>,
    /// Whether a client without a certificate is accepted although there are authorities.
    pub client_certificate_optional: bool,
    /// Protocol versions accepted.
    pub versions: Versions,
    /// Cipher suites accepted, by name, best first; empty: all.
    pub cipher_suites: Vec<String>,
}

/// Accepts connections that share their settings.
#[derive(Debug, Clone)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
}

impl TlsServer {
    /// Reads the files that the settings name. Sessions can be resumed: TLS 1.2 from a memory of 256 sessions (rustls's
    /// default), TLS 1.3 by tickets from the same.
    ///
    /// # Errors
    /// What is wrong with the settings or their files.
    pub fn new(settings: &ServerSettings) -> Result<Self, TlsError> {
        let provider = suites::provider(&settings.cipher_suites, settings.versions)?;
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(settings.versions.list())?;
        let builder = match &settings.client_authorities {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(files::roots(path)?), provider);
                let verifier = match settings.client_certificate_optional {
                    true => verifier.allow_unauthenticated(),
                    false => verifier,
                };
                let failed = |error: rustls::server::VerifierBuilderError| TlsError::Verifier {
                    path: path.clone(),
                    error: error.to_string(),
                };
                builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
            }
        };
        let (certificates, key) = settings.identity.load()?;
        Ok(Self { config: Arc::new(builder.with_single_cert(certificates, key)?) })
    }

    /// Starts TLS on a connection that a listener accepted.
    ///
    /// # Errors
    /// [`TlsError::Settings`] where the settings exclude each other.
    pub fn accept(&self, socket: TcpStream) -> Result<TlsStream, TlsError> {
        Ok(TlsStream::new(socket, ServerConnection::new(self.config.clone())?))
    }
}
