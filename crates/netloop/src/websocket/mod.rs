//! MQTT over WebSocket (MQTT 5.0 section 6, 3.1.1 section 6; [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455)): binary
//! messages whose borders mean nothing to MQTT. tungstenite makes and reads the frames; the upgrade is in `upgrade`.

mod upgrade;

use std::io::{self, Read, Write};

use tungstenite::Bytes;
use tungstenite::Message;
use tungstenite::error::{Error, ProtocolError};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig, WebSocketContext};

use crate::transport::{Ended, LayerError, Transport, end_behind};
use upgrade::{Progress, Upgrade};

/// The subprotocol that MQTT is registered with.
pub const SUBPROTOCOL: &str = "mqtt";

/// The path that brokers commonly serve MQTT at.
pub const PATH: &str = "/mqtt";

/// A WebSocket connection, either side, over a plain or a TLS connection.
#[derive(Debug)]
pub struct WsStream {
    lower: Transport,
    state: State,
    /// What is left of the last message.
    rest: Bytes,
    ended: Ended,
}

#[derive(Debug)]
enum State {
    Upgrading(Upgrade),
    Open(WebSocketContext),
}

impl WsStream {
    /// The client's side. `host` is what the Host header says: the name or address of the server, and its port unless
    /// that is the default one. `path` begins with a slash.
    #[must_use]
    pub fn client(lower: Transport, host: &str, path: &str) -> Self {
        Self::new(lower, Upgrade::client(host, path))
    }

    /// The server's side, which serves `path` alone and takes no message longer than `message_bytes_max`.
    #[must_use]
    pub fn server(lower: Transport, path: &str, message_bytes_max: usize) -> Self {
        Self::new(lower, Upgrade::server(path, message_bytes_max))
    }

    fn new(lower: Transport, upgrade: Upgrade) -> Self {
        Self { lower, state: State::Upgrading(upgrade), rest: Bytes::new(), ended: Ended::No }
    }

    pub(crate) fn lower(&self) -> &Transport {
        &self.lower
    }

    pub(crate) fn lower_mut(&mut self) -> &mut Transport {
        &mut self.lower
    }

    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        let State::Upgrading(upgrade) = &mut self.state else { return Ok(()) };
        self.lower.handshake()?;
        let Progress { role, early, message_bytes_max } = upgrade.advance(&mut self.lower)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_frame_size(Some(message_bytes_max))
            .max_message_size(Some(message_bytes_max));
        self.state = State::Open(WebSocketContext::from_partially_read(early, role, Some(config)));
        Ok(())
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        if let State::Open(frames) = &mut self.state {
            let normal = CloseFrame { code: CloseCode::Normal, reason: "".into() };
            // What the socket does not take now is lost: the connection ends.
            let _ = frames.close(&mut self.lower, Some(normal));
        }
        self.lower.finish()
    }

    /// The next message goes to `rest`. `WouldBlock`: not whole yet. `false`: there will be none; `ended` says why.
    fn receive(&mut self) -> io::Result<bool> {
        let State::Open(frames) = &mut self.state else { return Err(io::ErrorKind::WouldBlock.into()) };
        let failure = match frames.read(&mut self.lower) {
            Ok(Message::Binary(bytes)) => {
                self.rest = bytes;
                return Ok(true);
            }
            Ok(Message::Ping(_) | Message::Pong(_)) => return Ok(true),
            Ok(Message::Close(frame)) => {
                // The answer, as far as the socket takes it.
                let _ = frames.flush(&mut self.lower);
                frame
                    .filter(|frame| !matches!(frame.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status))
                    .map(|frame| {
                        LayerError::WsClosed { code: frame.code.into(), reason: frame.reason.as_str().to_owned() }
                            .into()
                    })
            }
            Ok(Message::Text(_) | Message::Frame(_)) => {
                Some(LayerError::WebSocket("a text message, where MQTT wants binary ones".to_owned()).into())
            }
            Err(
                Error::ConnectionClosed
                | Error::AlreadyClosed
                | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
            ) => None,
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            Err(error) => Some(to_io(error)),
        };
        self.ended = failure.map_or(Ended::Closed, Ended::Failed);
        Ok(false)
    }

    /// Hands frames to the layer below, and that layer's bytes to the socket.
    fn push(&mut self) -> io::Result<()> {
        let State::Open(frames) = &mut self.state else { return Err(io::ErrorKind::WouldBlock.into()) };
        frames.flush(&mut self.lower).map_err(to_io)
    }
}

impl Read for WsStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buf.len() {
            if !self.rest.is_empty() {
                let count = self.rest.len().min(buf.len() - filled);
                buf[filled..filled + count].copy_from_slice(&self.rest.split_to(count));
                filled += count;
                continue;
            }
            if matches!(self.ended, Ended::No) {
                match self.receive() {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(_) if filled > 0 => return Ok(filled),
                    Err(error) => return Err(error),
                }
            }
            return end_behind(filled, &mut self.ended, self.lower.socket());
        }
        Ok(filled)
    }
}

impl Write for WsStream {
    /// Takes one frame's worth, and only when all earlier frames have left, so that what waits here stays small.
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.push()?;
        let State::Open(frames) = &mut self.state else { return Err(io::ErrorKind::WouldBlock.into()) };
        let count = buf.len().min(FRAME_BYTES_MAX);
        let message = Message::Binary(Bytes::copy_from_slice(&buf[..count]));
        // Once the frame is made it is ours to send, whether or not the layer below had room.
        match frames.write(&mut self.lower, message).map_err(to_io).and_then(|()| self.push()) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.state {
            State::Upgrading(_) => self.lower.flush(),
            State::Open(_) => self.push(),
        }
    }
}

fn to_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        other => LayerError::WebSocket(other.to_string()).into(),
    }
}

/// Each connection has a read buffer of this size.
const READ_BUFFER_BYTES: usize = 4 * 1_024;
/// Longer output is cut into several messages.
const FRAME_BYTES_MAX: usize = 64 * 1_024;
