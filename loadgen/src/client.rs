//! One client: what an idle connection costs is what stands here.

use std::collections::VecDeque;

use mqtt_wire::window::{ReceivedIds, SendWindow};
use netloop::buffer::{Outbox, Spill};
use netloop::transport::Transport;
use pacer::schedule::Schedule;

use crate::content::Content;

/// A client of a worker. Everything beyond the connection's identity exists only while it is needed.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) transport: Option<Transport>,
    pub(crate) stage: Stage,
    /// Has been ready, or has failed for good: the ramp no longer waits for it.
    pub(crate) settled: bool,
    pub(crate) absence: Absence,
    /// A PINGREQ is unanswered.
    pub(crate) ping_pending: bool,
    /// Seconds; what the server asked for, where it did.
    pub(crate) keep_alive_s: u16,
    /// When something was last sent, in milliseconds of `CLOCK_MONOTONIC`, wrapping.
    pub(crate) sent_at_ms: u32,
    /// The deadline that counts, on the same clock: the wheel may hold older ones of earlier connections.
    pub(crate) wake_at_ms: u32,
    /// Until CONNACK: when the connect began. Until SUBACK: when SUBSCRIBE was sent. Then: since when the client is ready.
    pub(crate) since_ns: u64,
    /// Bytes of this connection that have been dealt with.
    pub(crate) received_bytes: u64,
    pub(crate) spill: Spill,
    pub(crate) outbox: Outbox,
    /// QoS 2 messages received and not released.
    pub(crate) inbound: Option<Box<ReceivedIds>>,
    pub(crate) publisher: Option<Box<Publisher>>,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Not begun.
    #[default]
    New,
    /// The TCP handshake is under way.
    Connecting,
    /// The handshakes of TLS and WebSocket are.
    Securing,
    /// CONNECT is sent.
    Greeting,
    /// SUBSCRIBE is sent.
    Subscribing,
    /// Doing what it is for.
    Ready,
    /// DISCONNECT is sent.
    Leaving,
    /// Without a connection, for good.
    Gone,
}

/// Why a client that has been ready is not, or not yet again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Absence {
    /// It is, or has never been.
    #[default]
    None,
    /// Its connection was lost.
    Lost,
    /// It left on purpose.
    Left,
    /// The same, and an attempt to come back has failed.
    ShutOut,
}

/// What a publishing client has beyond others.
#[derive(Debug)]
pub(crate) struct Publisher {
    /// What it publishes; as many as [`PubSettings::lanes`](crate::settings::PubSettings::lanes).
    pub(crate) lanes: Box<[Lane]>,
    /// Sequence number of the next message.
    pub(crate) sequence: u32,
    /// Messages that may still be offered; `u32::MAX` is as good as no limit.
    pub(crate) remaining: u32,
    /// When its plan began.
    pub(crate) since_ns: u64,
    /// Messages that were due.
    pub(crate) offered: u64,
    /// Messages acknowledged to the end.
    pub(crate) acked: u64,
    /// Messages that ended with a connection before the kernel had taken them.
    pub(crate) unwritten_lost: u64,
    /// Messages that are due and not sent, of all lanes.
    pub(crate) waiting: u64,
    /// Sends whenever it can: flat out, and begun.
    pub(crate) flat_out: bool,
    /// On the worker's list of publishers with something to send.
    pub(crate) listed: bool,
    /// Messages wait because the window or the socket was full: their delay is the peer's doing.
    pub(crate) held_up: bool,
    /// Most messages in flight.
    pub(crate) window_max: u16,
    /// QoS 1 and 2.
    pub(crate) window: SendWindow<Flight>,
    /// Exists only while the socket has not taken everything.
    pub(crate) unwritten: Option<Box<Unwritten>>,
}

/// One topic of a publisher, with a schedule of its own.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) topic: Box<str>,
    /// Only where it differs from client to client.
    pub(crate) content: Option<Box<Content>>,
    /// Messages that are due and not sent.
    pub(crate) waiting: u64,
    /// Due times of the messages that wait; a copy of the lane's schedule on the agenda, behind it by `waiting`.
    pub(crate) cursor: Schedule,
    pub(crate) alias: Alias,
}

/// Whether the topic is sent as a topic alias (MQTT 5.0, 3.3.2.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alias {
    Unused,
    /// The server will be told this one with the next message.
    Untold(u16),
    /// The server knows it.
    Told(u16),
}

/// A message in flight: all that is needed to make it again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) due_ns: u64,
    /// When it was sent first.
    pub(crate) first_sent_ns: u64,
    /// When it was sent last, in milliseconds of `CLOCK_MONOTONIC`, wrapping.
    pub(crate) sent_at_ms: u32,
    pub(crate) sequence: u32,
    pub(crate) lane: u16,
    /// QoS 2: PUBREC has come, PUBCOMP is to come.
    pub(crate) released: bool,
}

/// Where the messages in an outbox end, to know when the kernel has taken each of them whole. Offsets count from the
/// first byte that went through the outbox.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    pub(crate) ends: VecDeque<u64>,
    pub(crate) queued: u64,
    pub(crate) taken: u64,
}

impl Publisher {
    /// Whether the window has room.
    pub(crate) fn may_send(&self) -> bool {
        self.window.len() < usize::from(self.window_max) && self.window.has_id()
    }

    /// Forgets what was due.
    pub(crate) fn give_up_waiting(&mut self) {
        self.waiting = 0;
        self.lanes.iter_mut().for_each(|lane| lane.waiting = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter of the budget of 300 bytes of resident memory for an idle connection; the rest is the timer wheel's and
    /// the allocator's.
    #[test]
    fn an_idle_client_is_small() {
        // In debug builds mio adds to the socket.
        let debug = if cfg!(debug_assertions) { 8 } else { 0 };
        assert!(size_of::<Client>() <= 88 + debug, "{} bytes", size_of::<Client>());
    }
}
