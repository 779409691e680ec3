//! What the connections are made of, as typed.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// TLS and WebSocket.
#[derive(Debug, Args)]
#[command(next_help_heading = "TLS and WebSocket")]
pub(crate) struct TransportArgs {
    /// Use TLS. Without --cacertfile or --ssl-system-ca the server's certificate is NOT verified, as in emqtt_bench: any
    /// server is accepted.
    #[arg(short = 'S', long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) ssl: bool,
    /// TLS version: tlsv1.2 or tlsv1.3; default: the best that both sides have. Implies --ssl.
    #[arg(long)]
    pub(crate) ssl_version: Option<String>,
    /// PEM file of the certificate authorities that the server's certificate must come from; turns verification on.
    #[arg(long)]
    pub(crate) cacertfile: Option<PathBuf>,
    /// Verify the server's certificate with the system's certificate authorities.
    #[arg(long, conflicts_with = "cacertfile")]
    pub(crate) ssl_system_ca: bool,
    /// PEM file of the client's certificate (mutual TLS).
    #[arg(long, requires = "keyfile")]
    pub(crate) certfile: Option<PathBuf>,
    /// PEM file of the key of the client's certificate.
    #[arg(long, requires = "certfile")]
    pub(crate) keyfile: Option<PathBuf>,
    /// Cipher suites, separated by commas, best first; names of IANA or OpenSSL.
    #[arg(long, value_delimiter = ',')]
    pub(crate) ciphers: Vec<String>,
    /// The server name asked for (SNI) and verified; default: the host given with -h.
    #[arg(long)]
    pub(crate) ssl_server_name: Option<String>,
    /// Let connections resume earlier TLS sessions where the server offers that; resumed handshakes are counted.
    #[arg(long)]
    pub(crate) ssl_resume: bool,
    /// Use WebSocket (with --ssl: wss).
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) ws: bool,
    /// Path of the WebSocket.
    #[arg(long, default_value = netloop::websocket::PATH, value_parser = netloop::carrier::parse_ws_path)]
    pub(crate) ws_path: String,
}
