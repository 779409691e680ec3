//! The HTTP/1.1 upgrade that a WebSocket begins with ([RFC 6455, section 4](https://www.rfc-editor.org/rfc/rfc6455#section-4)),
//! as a machine that is asked to go on at every event.

use std::io::{self, Read, Write};

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::SUBPROTOCOL;
use crate::transport::LayerError;

/// An upgrade under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    side: Side,
    out: Vec<u8>,
    sent: usize,
    received: Vec<u8>,
}

#[derive(Debug)]
enum Side {
    Client {
        key: String,
    },
    Server {
        path: Box<str>,
        message_bytes_max: usize,
        /// What was decided about the request.
        verdict: Option<Result<usize, LayerError>>,
    },
}

/// What a finished upgrade leads to.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) role: Role,
    /// What came behind the header: the first frames.
    pub(super) early: Vec<u8>,
    pub(super) message_bytes_max: usize,
}

impl Upgrade {
    pub(super) fn client(host: &str, path: &str) -> Self {
        let key = generate_key();
        let out = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
        );
        Self { side: Side::Client { key }, out: out.into_bytes(), sent: 0, received: Vec::new() }
    }

    pub(super) fn server(path: &str, message_bytes_max: usize) -> Self {
        let side = Side::Server { path: path.into(), message_bytes_max, verdict: None };
        Self { side, out: Vec::new(), sent: 0, received: Vec::new() }
    }

    /// Goes as far as the layer below allows.
    pub(super) fn advance(&mut self, lower: &mut (impl Read + Write)) -> io::Result<Progress> {
        loop {
            self.send(lower)?;
            if let Side::Server { verdict, message_bytes_max, .. } = &mut self.side
                && let Some(verdict) = verdict.take()
            {
                let early = self.received.split_off(verdict?);
                return Ok(Progress { role: Role::Server, early, message_bytes_max: *message_bytes_max });
            }
            self.receive(lower)?;
            match &mut self.side {
                Side::Client { key } => {
                    if let Some(length) = check_response(&self.received, key)? {
                        let early = self.received.split_off(length);
                        return Ok(Progress { role: Role::Client, early, message_bytes_max: MQTT_PACKET_BYTES_MAX });
                    }
                }
                Side::Server { path, verdict, .. } => match check_request(&self.received, path) {
                    Ok(None) => {}
                    Ok(Some((length, accept))) => {
                        self.out = format!(
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: {SUBPROTOCOL}\r\n\r\n"
                        )
                        .into_bytes();
                        *verdict = Some(Ok(length));
                    }
                    Err((status, why)) => {
                        self.out = format!(
                            "HTTP/1.1 {status}\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\n\
                             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{why}\n",
                            why.len() + 1
                        )
                        .into_bytes();
                        *verdict = Some(Err(LayerError::WebSocket(why)));
                    }
                },
            }
            if self.received.len() > HEADER_BYTES_MAX {
                let why = format!("more than {HEADER_BYTES_MAX} bytes of HTTP header");
                return Err(LayerError::WebSocket(why).into());
            }
        }
    }

    fn send(&mut self, lower: &mut impl Write) -> io::Result<()> {
        while self.sent < self.out.len() {
            match lower.write(&self.out[self.sent..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => self.sent += result?,
            }
        }
        match lower.flush() {
            // The layer below has it and sends it at the next writable event; the answer is waited for meanwhile.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }

    fn receive(&mut self, lower: &mut impl Read) -> io::Result<()> {
        let mut chunk = [0; 1_024];
        let count = loop {
            match lower.read(&mut chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if count == 0 {
            return Err(LayerError::ClosedDuring("WebSocket").into());
        }
        self.received.extend_from_slice(&chunk[..count]);
        Ok(())
    }
}

/// The length of the response's header, once it is whole and agrees to the upgrade.
fn check_response(bytes: &[u8], key: &str) -> Result<Option<usize>, LayerError> {
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut response = Response::new(&mut headers);
    let wrong = |what: &str| LayerError::WebSocket(what.to_owned());
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err(wrong(&format!("the server does not speak HTTP: {error}"))),
    };
    let status = response.code.unwrap_or_default();
    if status != 101 {
        return Err(LayerError::HttpStatus { status, reason: response.reason.unwrap_or_default().to_owned() });
    }
    let headers = &*response.headers;
    if !has_token(headers, "Upgrade", "websocket") || !has_token(headers, "Connection", "upgrade") {
        return Err(wrong("the server switches to another protocol than WebSocket"));
    }
    if value(headers, "Sec-WebSocket-Accept") != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(wrong("the server's Sec-WebSocket-Accept does not answer our key"));
    }
    if !has_token(headers, "Sec-WebSocket-Protocol", SUBPROTOCOL) {
        return Err(wrong("the server did not choose the subprotocol mqtt"));
    }
    Ok(Some(length))
}

/// The length of the request's header and the key of the answer, once it is whole and may be granted; otherwise the
/// status line and the reason of the refusal.
fn check_request(bytes: &[u8], path: &str) -> Result<Option<(usize, String)>, (&'static str, String)> {
    const BAD: &str = "400 Bad Request";
    let mut headers = [EMPTY_HEADER; HEADERS_MAX];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(error) => return Err((BAD, format!("not an HTTP request: {error}"))),
    };
    let headers = &*request.headers;
    let asked = request.path.unwrap_or_default();
    if asked.split('?').next() != Some(path) {
        return Err(("404 Not Found", format!("nothing at {asked}; MQTT is at {path}")));
    }
    if request.method != Some("GET") || !has_token(headers, "Upgrade", "websocket") {
        return Err(("426 Upgrade Required\r\nUpgrade: websocket", "MQTT over WebSocket only".to_owned()));
    }
    if value(headers, "Sec-WebSocket-Version") != Some("13") {
        return Err(("426 Upgrade Required\r\nUpgrade: websocket", "WebSocket version 13 only".to_owned()));
    }
    let Some(key) = value(headers, "Sec-WebSocket-Key").filter(|_| has_token(headers, "Connection", "upgrade")) else {
        return Err((BAD, "not a WebSocket upgrade".to_owned()));
    };
    if !has_token(headers, "Sec-WebSocket-Protocol", SUBPROTOCOL) {
        return Err((BAD, "the client must offer the subprotocol mqtt".to_owned()));
    }
    Ok(Some((length, derive_accept_key(key.as_bytes()))))
}

fn value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h str> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(header.value).ok().map(str::trim)
}

/// Whether one of the headers of this name has the token in its list.
fn has_token(headers: &[Header], name: &str, token: &str) -> bool {
    let named = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
    named
        .filter_map(|header| std::str::from_utf8(header.value).ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The longest packet that MQTT can express; a load tool takes what the broker sends.
const MQTT_PACKET_BYTES_MAX: usize = 268_435_460;
const HEADER_BYTES_MAX: usize = 16 * 1_024;
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn response(change: impl Fn(&str) -> String) -> Result<Option<usize>, LayerError> {
        let good = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
        check_response(change(good).as_bytes(), KEY)
    }

    #[test]
    fn a_response_must_agree_in_everything() {
        assert!(response(str::to_owned).unwrap().is_some());
        assert!(response(|good| good[..good.len() - 1].to_owned()).unwrap().is_none(), "not whole");
        for (from, to, why) in [
            ("101 Switching Protocols", "404 Not Found", "HTTP 404 Not Found"),
            ("WebSocket", "h2c", "another protocol"),
            ("s3p", "S3p", "our key"),
            ("col: mqtt", "col: wamp", "subprotocol"),
            ("HTTP/1.1", "SSH-2.0", "does not speak HTTP"),
        ] {
            let error = response(|good| good.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_request_is_granted_or_refused_with_its_status() {
        let good = format!(
            "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqttv3.1, mqtt\r\n\r\n"
        );
        let (length, accept) = check_request(good.as_bytes(), "/mqtt").unwrap().unwrap();
        assert_eq!((length, accept.as_str()), (good.len(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        for (from, to, status) in [
            ("/mqtt", "/", "404"),
            ("GET", "POST", "426"),
            ("Version: 13", "Version: 8", "426"),
            ("mqttv3.1, mqtt", "soap", "400"),
            ("Key:", "Lock:", "400"),
            ("GET", "\u{1}", "400"),
        ] {
            let refused = check_request(good.replace(from, to).as_bytes(), "/mqtt").unwrap_err();
            assert!(refused.0.starts_with(status), "{from} -> {to}: {refused:?}");
        }
    }
}
