//! A network connection. An idle one owns no buffers.

use std::io::{self, Read, Write};

use mio::net::TcpStream;
use mqtt_wire::Version;

use super::alias::{Alias, SentAliases};
use super::session::OFFLINE;

/// Slot and generation of a connection. A slot is used again, its generation is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnRef {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

/// How bytes travel. TLS and WebSocket get variants of their own.
#[derive(Debug)]
pub(super) enum Transport {
    Tcp(TcpStream),
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing but CONNECT is accepted.
    AwaitingConnect,
    /// CONNECT was answered with success.
    Open,
    /// The peer was told why and our end is shut; what it still sends is thrown away until it closes its end.
    Lingering,
}

/// One connection. There are as many as clients: every byte here counts.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) transport: Transport,
    pub(super) generation: u32,
    /// Slot of the session, or [`OFFLINE`] before CONNECT.
    pub(super) session: u32,
    /// Tick of the last bytes from the peer; the timer looks at it.
    pub(super) last_seen: u32,
    /// Tick at which the connection's one valid timer is due.
    pub(super) timer_at: u32,
    /// Seconds; 0: none.
    pub(super) keep_alive: u16,
    /// Consumers for which this publisher waits; while above zero its next PUBLISH is held back.
    pub(super) paused: u16,
    pub(super) state: State,
    pub(super) version: Version,
    /// A PUBLISH is held back, and the socket is not read.
    pub(super) held: bool,
    /// There is something to read, but the client first has to take what it was sent.
    pub(super) choked: bool,
    /// In the list of connections to read from.
    pub(super) listed: bool,
    /// An event has told that the peer has closed its end: it comes after what is still to be read.
    pub(super) ended: bool,
    /// In the list of connections to write to.
    pub(super) dirty: bool,
    /// The last write left something over: wait until the socket is writable.
    pub(super) blocked: bool,
    /// The start of a packet whose end has not come, or packets held back.
    pub(super) partial: Option<Box<Vec<u8>>>,
    pub(super) output: Option<Box<Output>>,
    pub(super) v5: Option<Box<V5>>,
}

/// Bytes to be written. Lent by the worker's pool as long as there are any.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// Written up to here.
    pub(super) start: usize,
}

/// What only a 5.0 connection has.
#[derive(Debug, Default)]
pub(super) struct V5 {
    /// Largest packet that the client takes; 0: any.
    pub(super) max_packet_bytes: u32,
    /// Topics that the client has given aliases, by alias - 1 (section 3.3.2.3.4).
    pub(super) aliases: Vec<Option<Box<str>>>,
    /// The other way round.
    pub(super) sent_aliases: Option<Box<SentAliases>>,
    /// Whether reason strings and user properties may be sent with any packet (section 3.1.2.11.7).
    pub(super) problem_information: bool,
}

impl Conn {
    pub(super) fn new(transport: Transport, generation: u32, now_tick: u32) -> Self {
        Self {
            transport,
            generation,
            session: OFFLINE,
            last_seen: now_tick,
            timer_at: 0,
            keep_alive: 0,
            paused: 0,
            held: false,
            choked: false,
            state: State::AwaitingConnect,
            version: Version::V311,
            listed: false,
            ended: false,
            dirty: false,
            blocked: false,
            partial: None,
            output: None,
            v5: None,
        }
    }

    /// How a message to the client is to name its topic.
    #[inline]
    pub(super) fn alias_of(&self, topic: &str) -> Alias {
        let aliases = self.v5.as_ref().and_then(|v5| v5.sent_aliases.as_ref());
        aliases.map_or(Alias::None, |aliases| aliases.of(topic))
    }

    /// Notes that a message was written that names its topic so.
    #[inline]
    pub(super) fn note_alias(&mut self, alias: Alias, topic: &str) {
        if alias != Alias::None
            && let Some(aliases) = self.v5.as_mut().and_then(|v5| v5.sent_aliases.as_mut())
        {
            aliases.sent(alias, topic);
        }
    }

    /// Bytes that wait to be written.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.bytes.len() - output.start)
    }
}

impl Transport {
    pub(super) fn tcp(&self) -> &TcpStream {
        let Self::Tcp(stream) = self;
        stream
    }

    pub(super) fn tcp_mut(&mut self) -> &mut TcpStream {
        let Self::Tcp(stream) = self;
        stream
    }

    /// Says that nothing more will be written.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        self.tcp().shutdown(std::net::Shutdown::Write)
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tcp_mut().read(buffer)
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
