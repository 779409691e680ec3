//! The client's side of TLS.

use std::path::PathBuf;
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Identity, TlsError, TlsStream, Versions, files, suites};

/// Whom a client takes for the server it wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Anyone: the connection is encrypted, but not authenticated.
    #[default]
    Anyone,
    /// Servers certified by an authority that the system trusts.
    System,
    /// Servers certified by an authority of this PEM file.
    File(PathBuf),
}

/// How a client does TLS.
#[derive(Debug, Clone, Default)]
pub struct ClientSettings {
    /// Which servers it accepts.
    pub trust: Trust,
    /// Its own certificate (mutual TLS).
    pub identity: Option<Identity>,
    /// Protocol versions offered.
    pub versions: Versions,
    /// Cipher suites offered, by name, best first; empty: all.
    pub cipher_suites: Vec<String>,
    /// Whether connections resume sessions of earlier ones to the same server, of which so many are remembered.
    pub resumed_sessions_max: usize,
}

/// Makes connections that share their settings and their remembered sessions.
#[derive(Debug, Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

impl TlsClient {
    /// Reads the files that the settings name.
    ///
    /// # Errors
    /// What is wrong with the settings or their files.
    pub fn new(settings: &ClientSettings) -> Result<Self, TlsError> {
        let provider = suites::provider(&settings.cipher_suites, settings.versions)?;
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(settings.versions.list())?;
        let builder = match &settings.trust {
            Trust::Anyone => builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyone { provider })),
            Trust::System => builder.with_root_certificates(system_roots()?),
            Trust::File(path) => builder.with_root_certificates(files::roots(path)?),
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (certificates, key) = identity.load()?;
                builder.with_client_auth_cert(certificates, key)?
            }
        };
        config.resumption = match settings.resumed_sessions_max {
            0 => Resumption::disabled(),
            sessions => Resumption::in_memory_sessions(sessions),
        };
        Ok(Self { config: Arc::new(config) })
    }

    /// Starts TLS on an established connection. `name` is what the certificate must be for, and, unless it is an IP
    /// address, what the server is told (SNI).
    ///
    /// # Errors
    /// [`TlsError::Name`]; [`TlsError::Settings`] where the settings exclude each other.
    pub fn connect(&self, socket: TcpStream, name: &str) -> Result<TlsStream, TlsError> {
        let server = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        Ok(TlsStream::new(socket, ClientConnection::new(self.config.clone(), server)?))
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(TlsError::NoSystemRoots(errors.join("; ")));
    }
    Ok(roots)
}

/// Takes any certificate. The handshake's signatures are still checked: the peer has the key of what it shows.
#[derive(Debug)]
struct AcceptAnyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AcceptAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
