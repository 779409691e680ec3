//! What the connections are made of: TCP alone, or TLS and WebSocket on top. Flags and meanings are loadgen's.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use mio::net::TcpStream;
use netloop::tls::{ClientSettings, Identity, TlsClient, Trust, Versions};
use netloop::transport::Transport;
use netloop::websocket::{PATH, WsStream};

/// TLS and WebSocket, as typed.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS and WebSocket")]
pub struct CarrierArgs {
    /// Use TLS. Without --cacertfile or --ssl-system-ca the server's certificate is NOT verified: any server is accepted.
    #[arg(short = 'S', long)]
    pub ssl: bool,
    /// PEM file of the certificate authorities that the server's certificate must come from; turns verification on.
    #[arg(long)]
    pub cacertfile: Option<PathBuf>,
    /// Verify the server's certificate with the system's certificate authorities.
    #[arg(long, conflicts_with = "cacertfile")]
    pub ssl_system_ca: bool,
    /// PEM file of the client's certificate (mutual TLS).
    #[arg(long, requires = "keyfile")]
    pub certfile: Option<PathBuf>,
    /// PEM file of the key of the client's certificate.
    #[arg(long, requires = "certfile")]
    pub keyfile: Option<PathBuf>,
    /// The server name asked for (SNI) and verified; default: the host given with -h.
    #[arg(long)]
    pub ssl_server_name: Option<String>,
    /// Use WebSocket (with --ssl: wss).
    #[arg(long)]
    pub ws: bool,
    /// Path of the WebSocket.
    #[arg(long, default_value = PATH)]
    pub ws_path: String,
}

/// Puts the layers that the user wants on a TCP connection.
#[derive(Debug, Clone)]
pub(crate) struct Carrier {
    tls: Option<TlsClient>,
    verified: bool,
    server_name: String,
    /// The host and port of an upgrade request, and its path.
    upgrade: Option<(String, String)>,
}

impl Carrier {
    /// Reads the files that the flags name; the connections go to `host` at `port`.
    pub(crate) fn new(args: &CarrierArgs, host: &str, port: u16) -> Result<Carrier> {
        let tls_only = [
            ("--cacertfile", args.cacertfile.is_some()),
            ("--ssl-system-ca", args.ssl_system_ca),
            ("--certfile", args.certfile.is_some()),
            ("--ssl-server-name", args.ssl_server_name.is_some()),
        ];
        if let Some((flag, _)) = tls_only.iter().find(|(_, given)| *given && !args.ssl) {
            bail!("{flag} without TLS would change nothing: add -S");
        }
        ensure!(
            args.ws_path.starts_with('/') && !args.ws_path.contains(char::is_whitespace),
            "--ws-path begins with /"
        );
        let trust = match (&args.cacertfile, args.ssl_system_ca) {
            (Some(path), _) => Trust::File(path.clone()),
            (None, true) => Trust::System,
            (None, false) => Trust::Anyone,
        };
        let verified = trust != Trust::Anyone;
        let identity = args.certfile.clone().zip(args.keyfile.clone());
        let settings = ClientSettings {
            trust,
            identity: identity.map(|(certificates, key)| Identity { certificates, key }),
            versions: Versions::Both,
            cipher_suites: Vec::new(),
            resumed_sessions_max: 0,
        };
        let tls = if args.ssl { Some(TlsClient::new(&settings)?) } else { None };
        if tls.is_some() && !verified {
            eprintln!(
                "prober: the server's certificate is not verified: give --cacertfile FILE or --ssl-system-ca to verify it"
            );
        }
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let server_name = args.ssl_server_name.clone().unwrap_or_else(|| host.to_owned());
        Ok(Carrier { tls, verified, server_name, upgrade: args.ws.then(|| (authority, args.ws_path.clone())) })
    }

    /// `tcp`, `ssl`, `ws` or `wss`, for the records.
    pub(crate) fn name(&self) -> &'static str {
        match (&self.tls, &self.upgrade) {
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

    /// The layers over `stream`, which may still be connecting.
    pub(crate) fn wrap(&self, stream: TcpStream) -> Result<Transport> {
        let lower = match &self.tls {
            None => Transport::Plain(stream),
            Some(tls) => {
                let layer = tls.connect(stream, &self.server_name);
                Transport::Tls(Box::new(layer.with_context(|| format!("TLS for {:?}", self.server_name))?))
            }
        };
        Ok(match &self.upgrade {
            None => lower,
            Some((authority, path)) => Transport::WebSocket(Box::new(WsStream::client(lower, authority, path))),
        })
    }
}
