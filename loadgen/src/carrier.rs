//! What the connections are made of: TCP alone, or TLS and WebSocket on top.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use mio::net::TcpStream;
use netloop::tls::{ClientSettings, Identity, TlsClient, TlsError, Trust, Versions};
use netloop::transport::Transport;
use netloop::websocket::WsStream;

use crate::cli::transport::TransportArgs;

/// Puts the layers that the user wants on an established TCP connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Carrier {
    tls: Option<TlsClient>,
    verified: bool,
    /// The name asked for instead of the host's.
    server_name: Option<String>,
    ws_path: Option<String>,
}

impl Carrier {
    /// Reads the files that the flags name.
    pub(crate) fn from_args(args: TransportArgs) -> Result<Self> {
        let wants_tls = args.ssl || args.ssl_version.is_some();
        let tls_only = [
            ("--cacertfile", args.cacertfile.is_some()),
            ("--ssl-system-ca", args.ssl_system_ca),
            ("--certfile", args.certfile.is_some()),
            ("--ciphers", !args.ciphers.is_empty()),
            ("--ssl-server-name", args.ssl_server_name.is_some()),
            ("--ssl-resume", args.ssl_resume),
        ];
        if let Some((flag, _)) = tls_only.iter().find(|(_, given)| *given && !wants_tls) {
            bail!("{flag} without TLS would change nothing: add -S");
        }
        ensure!(
            args.ws_path.starts_with('/') && !args.ws_path.contains(char::is_whitespace),
            "--ws-path begins with /"
        );
        let trust = match (args.cacertfile, args.ssl_system_ca) {
            (Some(path), _) => Trust::File(path),
            (None, true) => Trust::System,
            (None, false) => Trust::Anyone,
        };
        let verified = trust != Trust::Anyone;
        let settings = ClientSettings {
            trust,
            identity: args.certfile.zip(args.keyfile).map(|(certificates, key)| Identity { certificates, key }),
            versions: args.ssl_version.as_deref().map_or(Ok(Versions::Both), versions)?,
            cipher_suites: args.ciphers,
            resumed_sessions_max: if args.ssl_resume { RESUMED_SESSIONS_MAX } else { 0 },
        };
        Self::new(wants_tls.then_some(settings), verified, args.ssl_server_name, args.ws.then_some(args.ws_path))
    }

    /// The same layers with TLS as mqtt-bench does it: the certificates of a server, or authority, certificate and key of
    /// a client.
    pub(crate) fn with_files(authority: PathBuf, identity: Option<Identity>, layers: Self) -> Result<Self> {
        // mqtt-bench verifies servers only where it has no certificate of its own.
        let trust = if identity.is_some() { Trust::Anyone } else { Trust::File(authority) };
        let verified = trust != Trust::Anyone;
        let settings = ClientSettings { trust, identity, ..ClientSettings::default() };
        Self::new(Some(settings), verified, None, layers.ws_path)
    }

    fn new(
        tls: Option<ClientSettings>,
        verified: bool,
        server_name: Option<String>,
        ws_path: Option<String>,
    ) -> Result<Self> {
        let tls = tls.map(|settings| TlsClient::new(&settings)).transpose()?;
        if tls.is_some() && !verified {
            eprintln!(
                "loadgen: the server's certificate is not verified: give --cacertfile FILE or --ssl-system-ca to verify it"
            );
        }
        Ok(Self { tls, verified, server_name, ws_path })
    }

    /// Whether connections are bare TCP.
    pub(crate) fn is_plain(&self) -> bool {
        self.tls.is_none() && self.ws_path.is_none()
    }

    /// `tcp`, `ssl`, `ws` or `wss`, for the records.
    pub(crate) fn name(&self) -> &'static str {
        match (&self.tls, &self.ws_path) {
            (None, None) => "tcp",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "ws",
            (Some(_), Some(_)) => "wss",
        }
    }

    /// Whether the server's certificate is verified; `None` without TLS.
    pub(crate) fn verifies(&self) -> Option<bool> {
        self.tls.as_ref().map(|_| self.verified)
    }

    /// The layers over `stream`, which goes to `host` at `port`.
    pub(crate) fn wrap(&self, stream: TcpStream, host: &str, port: u16) -> Result<Transport, TlsError> {
        let lower = match &self.tls {
            None => Transport::Plain(stream),
            Some(tls) => {
                let name = self.server_name.as_deref().unwrap_or(host);
                Transport::Tls(Box::new(tls.connect(stream, name)?))
            }
        };
        let Some(path) = &self.ws_path else { return Ok(lower) };
        let host = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Ok(Transport::WebSocket(Box::new(WsStream::client(lower, &host, path))))
    }
}

fn versions(text: &str) -> Result<Versions> {
    match text {
        "tlsv1.2" => Ok(Versions::Tls12),
        "tlsv1.3" | "tlsv1.3_nocompat" => Ok(Versions::Tls13),
        "tlsv1" | "tlsv1.1" => bail!("--ssl-version {text}: TLS before 1.2 is broken and not spoken here; use tlsv1.2"),
        _ => bail!("--ssl-version {text}: give tlsv1.2 or tlsv1.3"),
    }
}

/// Server names whose sessions are remembered; each keeps several tickets.
const RESUMED_SESSIONS_MAX: usize = 256;
