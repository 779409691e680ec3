//! From a listening socket to packets: accepting, reading, cutting bytes into packets, dispatching them.

use std::io::{self, Read};
use std::os::fd::AsRawFd;

use mio::net::TcpStream;
use mqtt_wire::{AckKind, DecodeError, Frame, Packet, PacketType, ReasonCode};

use super::conn::{Conn, ConnRef, State, Transport};
use super::door::Entry;
use super::lifecycle::{End, Timer};
use super::mail::Adopted;
use super::settings::{
    ACCEPT_RETRY_NS, ACCEPTS_PER_TURN, FLUSH_BYTES, LARGE_PARTIAL_BYTES, LINGER, OUTPUT_HIGH_BYTES, READ_BYTES,
    READ_BYTES_WHEN_SWAMPED, TICK_NS,
};
use super::watch::{SLOTS, Subject};
use super::worker::Worker;

/// What a read left behind.
enum Read1 {
    /// There was nothing to read.
    Nothing,
    /// There was something, and the socket is empty now.
    Drained,
    /// There may be more.
    More,
    Closed(End),
}

impl Worker {
    pub(super) fn accept_waiting(&mut self) {
        let mut accepting = std::mem::take(&mut self.accepting);
        accepting.retain(|&listener| self.accept(listener));
        self.accepting = accepting;
    }

    /// Notes that a listener may have connections.
    pub(super) fn list_accepting(&mut self, listener: usize) {
        if !self.accepting.contains(&listener) {
            self.accepting.push(listener);
        }
    }

    /// Accepts a turn's share; `true` when there may be more.
    fn accept(&mut self, listener: usize) -> bool {
        for _ in 0..ACCEPTS_PER_TURN {
            match self.listeners[listener].accept() {
                Ok((stream, from)) => {
                    self.counters.accepted += 1;
                    self.meet(stream, from);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors or memory: connections wait in the backlog, and no event tells of them again.
                    tracing::warn!(%error, "cannot accept a connection");
                    self.wheel.schedule(self.now_ns + ACCEPT_RETRY_NS, Timer::Accept(listener));
                    return false;
                }
            }
        }
        true
    }

    /// Reads from a connection before it is watched: in a storm CONNECT is mostly there already, and a client that
    /// belongs to another worker is handed over without having been registered here.
    pub(super) fn greet(&mut self, mut stream: TcpStream, entry: Entry) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        match stream.read(&mut buffer) {
            Ok(0) => self.count_out(entry),
            Ok(length) => {
                let bytes = &buffer[..length];
                match self.owner_of_first(bytes) {
                    Some(owner) if owner != self.id && entry.refusal.is_none() => {
                        self.pass_on(stream, owner, bytes, entry);
                    }
                    _ => {
                        if let Some(at) = self.admit(Transport::Tcp(stream), entry) {
                            self.take_mail();
                            self.take_in(at, bytes);
                        }
                    }
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                self.admit(Transport::Tcp(stream), entry);
            }
            Err(error) => {
                tracing::debug!(%error, "a connection ended before it began");
                self.count_out(entry);
            }
        }
        self.read_buffer = buffer;
    }

    /// Gives a connection its place and its first deadline. `None`: there is no room, it is closed.
    pub(super) fn admit(&mut self, transport: Transport, entry: Entry) -> Option<ConnRef> {
        let (slot, most) = (self.conns.vacant_key(), self.settings.limits.max_connections);
        if self.memory_is_spent() || slot >= SLOTS || !self.totals.connections.take(1, most) {
            self.counters.refused_on_arrival += 1;
            tracing::debug!("too many connections, or too little memory");
            self.count_out(entry);
            return None;
        }
        let generation = self.next_generation();
        let slot = slot as u32;
        let at = ConnRef { slot, generation };
        if let Err(error) = self.watch.add(transport.tcp().as_raw_fd(), Subject::Conn(at)) {
            tracing::warn!(%error, "cannot watch a connection");
            self.totals.connections.give_back(1);
            self.count_out(entry);
            return None;
        }
        self.conns.insert(Conn::new(transport, generation, self.tick()));
        self.note_entry(slot, entry);
        let connect_timeout = self.settings.limits.connect_timeout;
        let patience = if entry.refusal.is_some() { connect_timeout.min(LINGER) } else { connect_timeout };
        self.set_conn_timer(at, self.now_ns + patience.as_nanos() as u64);
        Some(at)
    }

    /// Sets the one timer of a connection.
    pub(super) fn set_conn_timer(&mut self, at: ConnRef, deadline_ns: u64) {
        let timer_at = deadline_ns.div_ceil(TICK_NS) as u32;
        if let Some(conn) = self.conn(at) {
            conn.timer_at = timer_at;
            self.wheel.schedule(deadline_ns, Timer::Conn(at, timer_at));
        }
    }

    /// Takes over a connection that another worker accepted.
    pub(super) fn adopt(&mut self, adopted: Adopted) {
        let Some(at) = self.admit(Transport::Tcp(adopted.stream), adopted.entry) else { return };
        // What has arrived since raises an event: registering looks at the socket.
        self.take_in(at, &adopted.bytes);
    }

    /// Notes that a connection has something to read.
    pub(super) fn list_readable(&mut self, at: ConnRef) {
        let Some(conn) = self.conn(at) else { return };
        if !conn.listed && !conn.held {
            conn.listed = true;
            self.readable.push(at);
        }
    }

    /// Reads once from every connection that has something.
    pub(super) fn read_readable(&mut self) {
        let listed = std::mem::take(&mut self.readable);
        for &at in &listed {
            let most_unsent = self.settings.limits.max_output_bytes.max(OUTPUT_HIGH_BYTES) + FLUSH_BYTES;
            let Some(conn) = self.conn(at) else { continue };
            conn.listed = false;
            if conn.blocked && conn.unsent_bytes() > most_unsent {
                // It makes the broker answer and does not listen.
                conn.choked = true;
                self.counters.choked += 1;
            } else if !conn.held {
                self.read(at);
            }
        }
        // Keep the longer list's memory; what was listed meanwhile is for the next turn.
        if self.readable.is_empty() {
            self.readable = listed;
            self.readable.clear();
        }
    }

    fn read(&mut self, at: ConnRef) {
        let mut buffer = std::mem::take(&mut self.read_buffer);
        let outcome = self.read_into(at, &mut buffer);
        self.read_buffer = buffer;
        match outcome {
            // The event that told of these bytes may have told of the end behind them, which is not announced again.
            Read1::Drained if self.conn(at).is_some_and(|conn| conn.ended) => self.list_readable(at),
            Read1::Drained | Read1::Nothing => {}
            Read1::More => self.list_readable(at),
            // What is held back was sent before the end and still counts; the end is met again afterwards.
            Read1::Closed(_) if self.conn(at).is_some_and(|conn| conn.held) => {}
            Read1::Closed(end) => self.close_in_turn(at, end),
        }
    }

    fn read_into(&mut self, at: ConnRef, buffer: &mut [u8]) -> Read1 {
        let max = self.settings.limits.max_packet_bytes;
        // What is read now may have to be held back: of many publishers, a little of each.
        let swamped = self.holds_publishers() || self.memory_is_short();
        let Some(conn) = self.conn(at) else { return Read1::Nothing };
        let most = if swamped || conn.paused > 0 { READ_BYTES_WHEN_SWAMPED } else { READ_BYTES };
        let partial = conn.partial.take();
        match partial {
            // Held back until now. It may be again: nothing more is read before this has been acted upon.
            Some(bytes) if matches!(Frame::measure(&bytes, max), Ok(Some((_, size))) if size <= bytes.len()) => {
                self.take_mail();
                self.take_in(at, &bytes);
                Read1::More
            }
            Some(bytes) if bytes.len() >= LARGE_PARTIAL_BYTES => self.read_large(at, *bytes),
            partial => {
                let carried = partial.map_or(0, |bytes| {
                    buffer[..bytes.len()].copy_from_slice(&bytes);
                    bytes.len()
                });
                let (length, outcome) =
                    read_some(&mut conn.transport, &mut buffer[..READ_BYTES.min(carried + most)], carried);
                // Mail before bytes: whatever made the client send these, this worker now knows as well.
                self.take_mail();
                self.take_in(at, &buffer[..length]);
                outcome
            }
        }
    }

    /// Goes on reading a packet that is too large to be copied through the worker's buffer each time. Its buffer grows
    /// with what has arrived, never with what was announced.
    fn read_large(&mut self, at: ConnRef, mut bytes: Vec<u8>) -> Read1 {
        let Some(conn) = self.conn(at) else { return Read1::Nothing };
        let carried = bytes.len();
        bytes.resize(carried + READ_BYTES.max(carried), 0);
        let (length, outcome) = read_some(&mut conn.transport, &mut bytes, carried);
        bytes.truncate(length);
        let max = self.settings.limits.max_packet_bytes;
        if matches!(Frame::measure(&bytes, max), Ok(Some((_, size))) if size > bytes.len()) {
            if self.memory_is_spent() {
                self.counters.dropped_memory += 1;
                self.dismiss(at, ReasonCode::QUOTA_EXCEEDED);
                return Read1::Nothing;
            }
            let tick = self.tick();
            if let Some(conn) = self.conn(at) {
                conn.last_seen = tick;
                conn.partial = Some(Box::new(bytes));
            }
        } else {
            self.take_mail();
            self.take_in(at, &bytes);
        }
        outcome
    }

    /// Acts on the packets in `bytes` and keeps what is left over.
    fn take_in(&mut self, at: ConnRef, bytes: &[u8]) {
        let tick = self.tick();
        let Some(conn) = self.conn(at) else { return };
        conn.last_seen = tick;
        let mut rest = bytes;
        let short = self.memory_is_short();
        let (max, connect_max) = (self.settings.limits.max_packet_bytes, self.settings.limits.connect_bytes_max());
        while let Some(conn) = self.conn(at) {
            if conn.state == State::Lingering {
                return;
            }
            let is_first = conn.state == State::AwaitingConnect;
            match Frame::split(rest, if is_first { connect_max } else { max }) {
                // When memory is short nothing is held: what cannot be passed on at once is dropped and counted.
                Ok(Some(frame)) if conn.paused > 0 && frame.first >> 4 == PacketType::Publish as u8 && !short => {
                    conn.held = true;
                    break;
                }
                Ok(Some(frame)) => {
                    if !self.take_frame(at, &frame, rest) {
                        return;
                    }
                    rest = &rest[frame.raw.len()..];
                }
                // Nobody waits for the rest of a first packet that is not CONNECT.
                Ok(None) if is_first && rest.first().is_some_and(is_not_connect) => {
                    return self.reject(at, DecodeError::Protocol("first packet is not CONNECT [MQTT-3.1.0-1]"));
                }
                Ok(None) => break,
                Err(error) if is_first => return self.refuse_undecoded(at, &Frame::beginning(rest), error),
                Err(error) => return self.reject(at, error),
            }
        }
        if rest.len() > READ_BYTES_WHEN_SWAMPED && self.memory_is_spent() {
            self.counters.dropped_memory += 1;
            return self.dismiss(at, ReasonCode::QUOTA_EXCEEDED);
        }
        if let Some(conn) = self.conn(at)
            && !rest.is_empty()
        {
            conn.partial = Some(Box::new(rest.to_vec()));
        }
    }

    /// Acts on one packet; `false` when the connection is no longer this worker's business.
    fn take_frame(&mut self, at: ConnRef, frame: &Frame<'_>, rest: &[u8]) -> bool {
        let Some(conn) = self.conn(at) else { return false };
        if conn.state == State::AwaitingConnect {
            return self.on_first_packet(at, frame, rest);
        }
        let (version, session) = (conn.version, conn.session);
        match Packet::decode(frame, version) {
            Ok(packet) => {
                if let Err(error) = self.on_packet(at, session, &packet) {
                    self.reject(at, error);
                }
            }
            Err(error) => self.reject(at, error),
        }
        true
    }

    /// Dispatches a packet of an open connection.
    fn on_packet(&mut self, at: ConnRef, session: u32, packet: &Packet<'_>) -> Result<(), DecodeError> {
        match packet {
            Packet::Publish(publish) => self.on_publish(at, session, publish),
            Packet::Ack(ack) => {
                match ack.kind {
                    AckKind::PubAck => self.on_puback(session, ack),
                    AckKind::PubRec => self.on_pubrec(at, session, ack),
                    AckKind::PubRel => self.on_pubrel(at, session, ack),
                    AckKind::PubComp => self.on_pubcomp(session, ack),
                }
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.on_subscribe(at, session, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.on_unsubscribe(at, session, unsubscribe),
            Packet::PingReq => {
                self.write(at, &mqtt_wire::packet::PINGRESP);
                Ok(())
            }
            Packet::Disconnect(disconnect) => self.on_disconnect(at, session, disconnect),
            Packet::Connect(_) => Err(DecodeError::Protocol("second CONNECT [MQTT-3.1.0-2]")),
            Packet::Auth(_) => Err(DecodeError::Protocol("AUTH without an authentication method [MQTT-4.12.0-7]")),
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                Err(DecodeError::Protocol("packet that only a server sends"))
            }
        }
    }

    /// Closes a connection for what its peer sent, and says so where the protocol can (section 4.13).
    pub(super) fn reject(&mut self, at: ConnRef, error: DecodeError) {
        self.counters.protocol_errors += 1;
        tracing::debug!(slot = at.slot, %error, "connection rejected");
        self.dismiss_for(at, error.reason_code(), &error.to_string());
    }
}

fn is_not_connect(first: &u8) -> bool {
    first >> 4 != PacketType::Connect as u8
}

/// Fills `buffer` from `carried` on with one read. Returns how much of it is then valid.
fn read_some(transport: &mut Transport, buffer: &mut [u8], carried: usize) -> (usize, Read1) {
    loop {
        return match transport.read(&mut buffer[carried..]) {
            Ok(0) => (carried, Read1::Closed(End::Abnormal)),
            // A short read has emptied a stream socket, edge-triggered or not (epoll(7)).
            Ok(count) if carried + count < buffer.len() => (carried + count, Read1::Drained),
            Ok(count) => (carried + count, Read1::More),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (carried, Read1::Nothing),
            Err(_) => (carried, Read1::Closed(End::Abnormal)),
        };
    }
}
