//! What carries the bytes of a connection: plain TCP, TLS, WebSocket, or WebSocket over TLS, behind one enum, so that an
//! event loop reads and writes any of them without knowing which.
//!
//! A plain connection costs its socket and nothing else; the others keep their state in a box. The rules for the loop:
//!
//! 1. When TCP is established call [`Transport::handshake`], and again on every event until it returns `Ok`. Then read
//!    once: bytes may have come together with the end of the handshake, and no event tells of them again.
//! 2. Reading and writing are those of a non-blocking socket in an edge-triggered poller: a read that brings less than
//!    was asked for has emptied the socket (should the end of the stream or a failure lie behind those bytes, an event
//!    comes for it), and a write that takes less than it was given is followed by a writable event.
//! 3. What a layer has taken may wait inside it for the socket: on a writable event call `flush` before anything else
//!    ([`Outbox::flush`](crate::buffer::Outbox::flush) does), even when nothing waits outside.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::event::Source;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use crate::tls::TlsStream;
use crate::websocket::WsStream;

/// A byte stream that can be registered with a poller.
#[derive(Debug)]
pub enum Transport {
    /// Bytes as they are on a TCP connection.
    Plain(TcpStream),
    /// TLS records.
    Tls(Box<TlsStream>),
    /// Binary WebSocket messages, over either of the above.
    WebSocket(Box<WsStream>),
}

/// What was wrong with the peer's bytes above TCP. It is the inner error of the [`io::Error`] that a transport returns,
/// whose text is the same.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// TLS: an alert that came, a certificate that is not trusted, bytes that are not TLS.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The peer closed the connection while the named handshake was under way.
    #[error("{0}: closed by the peer during the handshake")]
    ClosedDuring(&'static str),
    /// The answer to a WebSocket upgrade was another one than 101.
    #[error("WebSocket: refused with HTTP {status} {reason}")]
    HttpStatus {
        /// The status code.
        status: u16,
        /// The reason phrase that came with it.
        reason: String,
    },
    /// The peer closed the WebSocket and said why.
    #[error("WebSocket: closed by the peer with {code} {reason}")]
    WsClosed {
        /// The close code ([RFC 6455, 7.4](https://www.rfc-editor.org/rfc/rfc6455#section-7.4)).
        code: u16,
        /// Words of the peer.
        reason: String,
    },
    /// Bytes that are not WebSocket, or not as MQTT wants it.
    #[error("WebSocket: {0}")]
    WebSocket(String),
}

impl From<LayerError> for io::Error {
    fn from(error: LayerError) -> Self {
        Self::other(error)
    }
}

impl Transport {
    /// Brings the layers above TCP up. `Ok`: bytes can be sent and received, as is the case at once with plain TCP.
    ///
    /// # Errors
    /// `WouldBlock` while it is under way; anything else is its end, with a [`LayerError`] for what the peer did.
    pub fn handshake(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.handshake(),
            Self::WebSocket(stream) => stream.handshake(),
        }
    }

    /// The socket underneath, for its options and addresses.
    #[must_use]
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.socket(),
            Self::WebSocket(stream) => stream.lower().socket(),
        }
    }

    /// The TLS session, where there is one.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(stream),
            Self::WebSocket(stream) => stream.lower().tls(),
        }
    }

    /// Tells the peer that nothing more will be sent, on every layer, as far as the socket takes it.
    ///
    /// # Errors
    /// What `shutdown` said, such as `NotConnected`.
    pub fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.shutdown(Shutdown::Write),
            Self::Tls(stream) => stream.finish(),
            Self::WebSocket(stream) => stream.finish(),
        }
    }

    fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.socket_mut(),
            Self::WebSocket(stream) => stream.lower_mut().socket_mut(),
        }
    }
}

impl Read for Transport {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
            Self::WebSocket(stream) => stream.read(buf),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buf),
            Self::Tls(stream) => stream.write(buf),
            Self::WebSocket(stream) => stream.write(buf),
        }
    }

    /// Hands what waits inside the layers to the socket.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::WebSocket(stream) => stream.flush(),
        }
    }
}

impl Source for Transport {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.socket_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.socket_mut().deregister(registry)
    }
}

/// How the input of a layer ended, kept until everything before it has been read.
#[derive(Debug, Default)]
pub(crate) enum Ended {
    /// It goes on.
    #[default]
    No,
    /// In order.
    Closed,
    /// With this, which is told once; after that the stream is closed.
    Failed(io::Error),
}

impl Ended {
    /// What a read that found nothing more returns; `None` while input goes on.
    pub(crate) fn outcome(&mut self) -> Option<io::Result<usize>> {
        match std::mem::replace(self, Self::Closed) {
            Self::No => {
                *self = Self::No;
                None
            }
            Self::Closed => Some(Ok(0)),
            Self::Failed(error) => Some(Err(error)),
        }
    }
}

/// A layer has met its end behind `filled` bytes that it hands out first. Closing the reading side of the socket raises
/// one more event, at which the loop reads again and is told the end.
pub(crate) fn end_behind(filled: usize, ended: &mut Ended, socket: &TcpStream) -> io::Result<usize> {
    if filled > 0 {
        // Fails when the connection is gone; then the poller tells of that.
        let _ = socket.shutdown(Shutdown::Read);
        return Ok(filled);
    }
    ended.outcome().unwrap_or(Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_connection_stays_small() {
        // The socket (in debug builds mio adds to it) and one word that says what is on top.
        let bytes = size_of::<TcpStream>().next_multiple_of(8) + 8;
        assert!(size_of::<Option<Transport>>() <= bytes, "{} bytes", size_of::<Option<Transport>>());
    }
}
