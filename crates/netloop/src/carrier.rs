//! What the connections of a client are made of: TCP alone, or TLS and WebSocket on top.

use mio::net::TcpStream;

use crate::tls::{ClientSettings, TlsClient, TlsError, Trust};
use crate::transport::Transport;
use crate::websocket::WsStream;

/// Puts the layers that a user wants on a TCP connection.
#[derive(Debug, Clone, Default)]
pub struct Carrier {
    tls: Option<TlsClient>,
    is_verified: bool,
    /// The name asked for instead of the host's.
    server_name: Option<String>,
    ws_path: Option<String>,
}

impl Carrier {
    /// TLS with these settings if any, asking for `server_name` instead of the host's name; a WebSocket at `ws_path` if any.
    ///
    /// # Errors
    /// A file of the TLS settings cannot be used, or they make no sense.
    pub fn new(
        tls: Option<&ClientSettings>,
        server_name: Option<String>,
        ws_path: Option<String>,
    ) -> Result<Self, TlsError> {
        let is_verified = tls.is_some_and(|settings| settings.trust != Trust::Anyone);
        Ok(Self { tls: tls.map(TlsClient::new).transpose()?, is_verified, server_name, ws_path })
    }

    /// Whether connections are bare TCP.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.ws_path.is_none()
    }

    /// `tcp`, `ssl`, `ws` or `wss`.
    pub fn name(&self) -> &'static str {
        match (&self.tls, &self.ws_path) {
            (None, None) => "tcp",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "ws",
            (Some(_), Some(_)) => "wss",
        }
    }

    /// Whether the server's certificate is verified; `None` without TLS.
    pub fn verifies(&self) -> Option<bool> {
        self.tls.as_ref().map(|_| self.is_verified)
    }

    /// Path of the WebSocket, if there is one.
    pub fn ws_path(&self) -> Option<&str> {
        self.ws_path.as_deref()
    }

    /// The layers over `stream`, which goes to `host` at `port` and may still be connecting.
    ///
    /// # Errors
    /// The server's name is none that a certificate could have.
    pub fn wrap(&self, stream: TcpStream, host: &str, port: u16) -> Result<Transport, TlsError> {
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

/// Checks the path of a WebSocket as typed.
///
/// # Errors
/// It is no path; the text says what is.
pub fn parse_ws_path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && !text.contains(char::is_whitespace) {
        true => Ok(text.to_owned()),
        false => Err("a path begins with / and has no white space".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_carrier_says_what_it_is_made_of() {
        let tls = ClientSettings::default();
        let carrier = |tls, ws: Option<&str>| Carrier::new(tls, None, ws.map(str::to_owned)).unwrap();
        let told = |carrier: Carrier| (carrier.name(), carrier.verifies(), carrier.is_plain());
        assert_eq!(told(carrier(None, None)), ("tcp", None, true));
        assert_eq!(told(carrier(Some(&tls), None)), ("ssl", Some(false), false));
        assert_eq!(told(carrier(None, Some("/mqtt"))), ("ws", None, false));
        assert_eq!(told(carrier(Some(&tls), Some("/mqtt"))), ("wss", Some(false), false));
        assert!(parse_ws_path("/mqtt").is_ok() && parse_ws_path("mqtt").is_err() && parse_ws_path("/a b").is_err());
    }
}
