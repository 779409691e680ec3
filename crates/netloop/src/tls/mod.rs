//! TLS over a non-blocking socket: rustls, which knows no sockets, driven by readiness. Client and server differ only in
//! how a stream is made: [`TlsClient::connect`] and [`TlsServer::accept`].

mod client;
mod files;
mod server;
mod suites;

use std::io::{self, Read, Write};
use std::net::Shutdown;

use mio::net::TcpStream;
use rustls::{Connection, HandshakeKind};

use crate::transport::{Ended, LayerError, end_behind};

pub use client::{ClientSettings, TlsClient, Trust};
pub use files::Identity;
pub use server::{ServerSettings, TlsServer};
pub use suites::Versions;

/// Why TLS cannot be set up. Nothing has been sent yet.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A PEM file cannot be read or holds something else.
    #[error("cannot read {what} from {path}: {error}")]
    File {
        /// What was looked for.
        what: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// What went wrong.
        error: String,
    },
    /// A name that is none of a cipher suite that rustls has.
    #[error("unknown cipher suite `{name}`: choose from {known}")]
    UnknownSuite {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// All cipher suites asked for belong to versions that were not.
    #[error("none of the cipher suites belongs to {0}")]
    NoSuite(&'static str),
    /// The system's certificate authorities cannot be found.
    #[error("no certificate authorities found on this system ({0}): give a CA file")]
    NoSystemRoots(String),
    /// Neither a host name nor an address.
    #[error("`{0}` cannot be the name of a TLS server: give a host name or an IP address")]
    Name(String),
    /// What rustls said, for instance that key and certificate do not belong together.
    #[error("TLS settings: {0}")]
    Settings(#[from] rustls::Error),
    /// The certificates of a CA file do not make a verifier.
    #[error("certificate authorities in {path}: {error}")]
    Verifier {
        /// The file.
        path: std::path::PathBuf,
        /// What was wrong with them.
        error: String,
    },
}

/// A TLS connection, either side.
#[derive(Debug)]
pub struct TlsStream {
    socket: TcpStream,
    session: Connection,
    ended: Ended,
}

impl TlsStream {
    fn new(socket: TcpStream, session: impl Into<Connection>) -> Self {
        Self { socket, session: session.into(), ended: Ended::No }
    }

    /// Whether the handshake resumed an earlier session; `None` before its end.
    #[must_use]
    pub fn is_resumed(&self) -> Option<bool> {
        self.session.handshake_kind().map(|kind| kind == HandshakeKind::Resumed)
    }

    /// The protocol version agreed on, such as `TLSv1_3`.
    #[must_use]
    pub fn version(&self) -> Option<&'static str> {
        self.session.protocol_version().and_then(|version| version.as_str())
    }

    /// The name of the cipher suite agreed on.
    #[must_use]
    pub fn cipher_suite(&self) -> Option<&'static str> {
        self.session.negotiated_cipher_suite().map(|suite| suites::name(suite.suite()))
    }

    /// The peer's own certificate (DER), where it sent one.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<&[u8]> {
        Some(self.session.peer_certificates()?.first()?.as_ref())
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        loop {
            self.push()?;
            if !self.session.is_handshaking() {
                return Ok(());
            }
            if !self.receive()? {
                return Err(LayerError::ClosedDuring("TLS").into());
            }
        }
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.session.send_close_notify();
        // What the socket does not take now is lost: the connection ends.
        let _ = self.push();
        self.socket.shutdown(Shutdown::Write)
    }

    /// Reads what the socket has once and decrypts it. `false`: the peer has ended the TCP connection.
    fn receive(&mut self) -> io::Result<bool> {
        let count = loop {
            match self.session.read_tls(&mut self.socket) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if let Err(error) = self.session.process_new_packets() {
            // The alert that tells the peer what was wrong with its bytes.
            let _ = self.push();
            return Err(LayerError::Tls(error).into());
        }
        Ok(count > 0)
    }

    /// Hands encrypted records to the socket.
    fn push(&mut self) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut self.socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for TlsStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.session.reader().read(&mut buf[filled..]) {
                Ok(count) if count > 0 => {
                    filled += count;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A close_notify, or the end of TCP without one: MQTT packets tell themselves whether they are whole.
                _ => {
                    if matches!(self.ended, Ended::No) {
                        self.ended = Ended::Closed;
                    }
                    return end_behind(filled, &mut self.ended, &self.socket);
                }
            }
            if !matches!(self.ended, Ended::No) {
                return end_behind(filled, &mut self.ended, &self.socket);
            }
            match self.receive() {
                // Answers of the protocol itself. A socket that is full takes them at its writable event.
                Ok(_) => drop(self.push()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return if filled > 0 { Ok(filled) } else { Err(error) };
                }
                Err(error) => {
                    self.ended = Ended::Failed(error);
                    // Plaintext that came before the failure is still to be had.
                    if let Ok(count) = self.session.reader().read(&mut buf[filled..]) {
                        filled += count;
                    }
                    return end_behind(filled, &mut self.ended, &self.socket);
                }
            }
        }
        Ok(filled)
    }
}

impl Write for TlsStream {
    /// Takes plaintext only when all earlier records have left, so that what waits here stays small.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.push()?;
        let count = self.session.writer().write(buf)?;
        match self.push() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}
