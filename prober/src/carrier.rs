//! What the connections are made of: TCP alone, or TLS and WebSocket on top. Flags and meanings are loadgen's.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use netloop::carrier::{Carrier, parse_ws_path};
use netloop::tls::{ClientSettings, Identity, Trust};
use netloop::websocket::PATH;

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
    #[arg(long, default_value = PATH, value_parser = parse_ws_path)]
    pub ws_path: String,
}

impl CarrierArgs {
    /// Reads the files that the flags name.
    pub(crate) fn carrier(&self) -> Result<Carrier> {
        let tls_only = [
            ("--cacertfile", self.cacertfile.is_some()),
            ("--ssl-system-ca", self.ssl_system_ca),
            ("--certfile", self.certfile.is_some()),
            ("--ssl-server-name", self.ssl_server_name.is_some()),
        ];
        if let Some((flag, _)) = tls_only.iter().find(|(_, given)| *given && !self.ssl) {
            bail!("{flag} without TLS would change nothing: add -S");
        }
        let identity = self.certfile.clone().zip(self.keyfile.clone());
        let settings = ClientSettings {
            trust: match (&self.cacertfile, self.ssl_system_ca) {
                (Some(path), _) => Trust::File(path.clone()),
                (None, true) => Trust::System,
                (None, false) => Trust::Anyone,
            },
            identity: identity.map(|(certificates, key)| Identity { certificates, key }),
            ..ClientSettings::default()
        };
        let ws_path = self.ws.then(|| self.ws_path.clone());
        let carrier = Carrier::new(self.ssl.then_some(&settings), self.ssl_server_name.clone(), ws_path)?;
        if carrier.verifies() == Some(false) {
            eprintln!(
                "prober: the server's certificate is not verified: give --cacertfile FILE or --ssl-system-ca to verify it"
            );
        }
        Ok(carrier)
    }
}
