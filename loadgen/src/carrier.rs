//! What the flags for TLS and WebSocket mean.

use std::path::PathBuf;

use anyhow::{Result, bail};
use netloop::carrier::Carrier;
use netloop::tls::{ClientSettings, Identity, Trust, Versions};

use crate::cli::transport::TransportArgs;

/// Reads the files that the flags name.
pub(crate) fn from_args(args: TransportArgs) -> Result<Carrier> {
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
    let settings = ClientSettings {
        trust: match (args.cacertfile, args.ssl_system_ca) {
            (Some(path), _) => Trust::File(path),
            (None, true) => Trust::System,
            (None, false) => Trust::Anyone,
        },
        identity: args.certfile.zip(args.keyfile).map(|(certificates, key)| Identity { certificates, key }),
        versions: args.ssl_version.as_deref().map_or(Ok(Versions::Both), versions)?,
        cipher_suites: args.ciphers,
        resumed_sessions_max: if args.ssl_resume { RESUMED_SESSIONS_MAX } else { 0 },
    };
    made(wants_tls.then_some(&settings), args.ssl_server_name, args.ws.then_some(args.ws_path))
}

/// The same layers with TLS as mqtt-bench does it: the certificates of a server, or authority, certificate and key of a
/// client.
pub(crate) fn with_files(authority: PathBuf, identity: Option<Identity>, layers: &Carrier) -> Result<Carrier> {
    // mqtt-bench verifies servers only where it has no certificate of its own.
    let trust = if identity.is_some() { Trust::Anyone } else { Trust::File(authority) };
    let settings = ClientSettings { trust, identity, ..ClientSettings::default() };
    made(Some(&settings), None, layers.ws_path().map(str::to_owned))
}

fn made(tls: Option<&ClientSettings>, server_name: Option<String>, ws_path: Option<String>) -> Result<Carrier> {
    let carrier = Carrier::new(tls, server_name, ws_path)?;
    if carrier.verifies() == Some(false) {
        eprintln!(
            "loadgen: the server's certificate is not verified: give --cacertfile FILE or --ssl-system-ca to verify it"
        );
    }
    Ok(carrier)
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
