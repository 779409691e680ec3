//! From the plan of connections to clients that are ready: TCP connect, CONNECT, CONNACK, SUBSCRIBE, SUBACK; and the
//! deadlines of all that, and keep-alive.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;

use mio::{Interest, Token};
use mqtt_wire::packet::{PINGREQ, SubscribeFiltersBuf};
use mqtt_wire::{ConnAck, Connect, Property, SubAck, Subscribe, TopicFilter, Will};
use netloop::socket;
use netloop::source::SourcePlan;
use netloop::tls::TlsStream;
use netloop::transport::Transport;
use runlog::clock::mono_ns;

use super::publishing::Allowance;
use super::{Share, Worker, settle, spread, to_ms};
use crate::board::Board;
use crate::client::{Absence, Client, Stage};
use crate::control::{Admission, Phase};
use crate::identity::Identity;
use crate::naming::{self, Variables};
use crate::reason;
use crate::settings::{RoleSettings, SubSettings};

/// The worker's part of the connection plan.
pub(super) struct Ramp {
    /// The client that connects next.
    next: u32,
    /// Source pairs, one plan per target.
    sources: Vec<SourcePlan>,
    /// When clients that failed or were lost connect again.
    comebacks: BinaryHeap<Reverse<(u64, u32)>>,
    /// Failed attempts in a row, of clients that have any.
    misses: HashMap<u32, u32>,
}

impl Ramp {
    pub(super) fn new(sources: Vec<SourcePlan>) -> Self {
        Self { next: 0, sources, comebacks: BinaryHeap::new(), misses: HashMap::new() }
    }

    pub(super) fn skipped_ports(&self) -> u64 {
        self.sources.iter().map(SourcePlan::skipped).sum()
    }
}

impl Worker {
    /// When the next connection is due; `None` when none is, or when too many are on their way. Only connecting flat
    /// out is bounded like that: a rate is a plan, and a plan does not look at the peer.
    pub(super) fn next_connection_ns(&self) -> Option<u64> {
        let comeback = self.connecting.comebacks.peek().map(|Reverse((due_ns, _))| *due_ns);
        self.next_first_ns().into_iter().chain(comeback).min()
    }

    fn next_first_ns(&self) -> Option<u64> {
        let flat_out = self.settings.connect_interval.0 == 0;
        if self.connecting.next as usize >= self.clients.len() || flat_out && self.share.open >= OPEN_MAX {
            return None;
        }
        let index = self.share.global_index(self.connecting.next);
        let Admission { first, limit, begin_ns } = self.control.admission();
        (index < limit).then(|| begin_ns + self.settings.connect_after_ns(index - first))
    }

    /// Begins the connections that are due, as many as fit a turn.
    pub(super) fn begin_connections(&mut self, board: &mut Board) {
        for _ in 0..BEGUN_PER_TURN {
            let now_ns = mono_ns();
            let comeback = self.connecting.comebacks.peek().filter(|Reverse((due_ns, _))| *due_ns <= now_ns);
            let index = if let Some(Reverse((_, index))) = comeback.copied() {
                self.connecting.comebacks.pop();
                board.tally.returning -= 1;
                index
            } else if self.next_first_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                self.connecting.next += 1;
                self.connecting.next - 1
            } else {
                return;
            };
            self.begin_connection(index, now_ns, board);
            self.give_up_broken(board);
        }
    }

    fn begin_connection(&mut self, index: u32, now_ns: u64, board: &mut Board) {
        board.tally.connect_attempted += 1;
        let target = self.target(index);
        let connected = self.connecting.sources[target].connect(self.settings.targets[target]);
        let started = connected.and_then(|(connect, _)| {
            let established = matches!(connect, socket::Connect::Established(_));
            let mut stream = connect.into_stream();
            let interests = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(index as usize), interests)?;
            Ok((stream, established))
        });
        let client = &mut self.clients[index as usize];
        client.since_ns = now_ns;
        client.sent_at_ms = to_ms(now_ns);
        match started {
            Ok((stream, established)) => {
                client.transport = Some(Transport::Plain(stream));
                client.stage = Stage::Connecting;
                self.share.open += 1;
                self.share.wake(client, index, now_ns + WATCH_NS);
                if established {
                    self.dress(index, board);
                }
            }
            Err(error) => self.broken.push((index, reason::of_error(&error))),
        }
    }

    /// Plans another attempt of a client that has failed or was lost, unless it has had its share. Attempts back off,
    /// from a tenth of a second to five seconds.
    pub(super) fn come_back(&mut self, index: u32, was_ready: bool, board: &mut Board) -> bool {
        let Client { settled, absence, .. } = self.clients[index as usize];
        let attempts_max = match absence {
            // Who leaves on purpose is to come back; how often it must try is the server's doing.
            Absence::Left | Absence::ShutOut => u32::MAX,
            _ if settled => self.settings.reconnects_max,
            _ => self.settings.retries_max,
        };
        let misses = if was_ready { 0 } else { self.connecting.misses.get(&index).copied().unwrap_or(0) + 1 };
        // A loss is no attempt; a first connection is one that does not count.
        let attempts = if settled || was_ready { misses } else { misses - 1 };
        if self.control.phase() != Phase::Run || attempts >= attempts_max {
            self.connecting.misses.remove(&index);
            return false;
        }
        self.connecting.misses.insert(index, misses);
        let now_ns = mono_ns();
        let due_ns = match was_ready && absence == Absence::Left {
            true => self.returns_at_ns(index, now_ns),
            false => now_ns + (COMEBACK_NS_MIN << misses.min(6)).min(COMEBACK_NS_MAX),
        };
        self.connecting.comebacks.push(Reverse((due_ns, index)));
        board.tally.returning += 1;
        true
    }

    /// The source pair of a connection that has ended may serve another one.
    pub(super) fn give_back_pair(&mut self, index: u32) {
        if self.settings.retries_max == 0 && self.settings.reconnects_max == 0 && !self.churn.is_on() {
            return;
        }
        let Some(transport) = &self.clients[index as usize].transport else { return };
        if let Ok(pair) = transport.socket().local_addr() {
            let target = self.target(index);
            self.connecting.sources[target].give_back(pair);
        }
    }

    fn target(&self, index: u32) -> usize {
        self.share.global_index(index) as usize % self.settings.targets.len()
    }

    /// The socket of a connection in progress has become writable.
    pub(super) fn on_connected(&mut self, index: u32, board: &mut Board) {
        let Some(transport) = &self.clients[index as usize].transport else { return };
        match socket::finish_connect(transport.socket()) {
            Ok(()) => self.dress(index, board),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.broken.push((index, reason::of_error(&error))),
        }
    }

    /// TCP is established: puts the layers on top of it.
    fn dress(&mut self, index: u32, board: &mut Board) {
        board.series.established.record(mono_ns().saturating_sub(self.clients[index as usize].since_ns));
        if self.settings.carrier.is_plain() {
            return self.greet(index, board);
        }
        let target = self.target(index);
        let (host, port) = (&self.settings.hosts[target], self.settings.targets[target].port());
        let client = &mut self.clients[index as usize];
        let Some(Transport::Plain(stream)) = client.transport.take() else { return };
        match self.settings.carrier.wrap(stream, host, port) {
            Ok(transport) => {
                client.transport = Some(transport);
                client.stage = Stage::Securing;
                self.secure(index, board);
            }
            Err(error) => self.broken.push((index, error.to_string())),
        }
    }

    /// Goes on with the handshakes of the layers.
    pub(super) fn secure(&mut self, index: u32, board: &mut Board) {
        let Some(transport) = &mut self.clients[index as usize].transport else { return };
        match transport.handshake() {
            Ok(()) => {
                if let Some(resumed) = transport.tls().and_then(TlsStream::is_resumed) {
                    board.tally.tls_handshakes += 1;
                    board.tally.tls_resumed += u64::from(resumed);
                }
                self.greet(index, board);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.broken.push((index, reason::of_error(&error))),
        }
    }

    /// Sends CONNECT.
    fn greet(&mut self, index: u32, board: &mut Board) {
        let client = &mut self.clients[index as usize];
        client.stage = Stage::Greeting;
        let sent = self.share.encode_connect(client, index).and_then(|()| {
            let now_ns = mono_ns();
            self.share.transmit(client, now_ns, &mut board.tally)
        });
        if let Err(error) = sent {
            self.broken.push((index, reason::of_error(&error)));
        }
    }

    /// Looks at the clients whose deadline has come: not ready in time, or silent for the keep alive interval.
    pub(super) fn look_at_deadlines(&mut self, board: &mut Board) {
        let now_ns = mono_ns();
        let mut reached = Vec::new();
        self.share.wheel.advance(now_ns, &mut reached);
        for index in reached {
            let client = &mut self.clients[index as usize];
            if to_ms(now_ns).wrapping_sub(client.wake_at_ms).cast_signed() < 0 {
                continue;
            }
            match client.stage {
                Stage::Connecting | Stage::Securing | Stage::Greeting | Stage::Subscribing => {
                    if now_ns - client.since_ns < READY_TIMEOUT_NS {
                        self.share.wake(client, index, now_ns + WATCH_NS);
                    } else {
                        self.broken.push((index, reason::CONNECT_TIMEOUT.to_owned()));
                    }
                }
                Stage::Ready => {
                    if let Err(reason) = self.share.keep_alive(client, index, now_ns, board) {
                        self.broken.push((index, reason));
                    }
                }
                Stage::Leaving => self.broken.push((index, reason::CLOSED.to_owned())),
                Stage::New | Stage::Gone => {}
            }
        }
    }
}

impl Share {
    fn encode_connect(&mut self, client: &mut Client, index: u32) -> io::Result<()> {
        let settings = &*self.settings;
        let identity = self.identity(client, index);
        let topic;
        let will = match &settings.connect.will {
            None => None,
            Some(will) => {
                topic = naming::topic(&will.topic, Variables::of(self.number(index), &identity));
                Some(Will {
                    qos: will.qos,
                    retain: will.retain,
                    topic: &topic,
                    payload: &will.payload,
                    properties: will.properties.as_properties(),
                })
            }
        };
        client.keep_alive_s = settings.keep_alive_s;
        let connect = Connect {
            version: settings.version,
            clean_start: settings.clean_start,
            keep_alive: settings.keep_alive_s,
            client_id: &identity.client_id,
            will,
            user_name: identity.user_name.as_deref(),
            password: identity.password.as_deref().map(str::as_bytes),
            properties: settings.connect.properties.as_properties(),
        };
        connect.encode(&mut self.out).map_err(io::Error::other)
    }

    /// Who a client is. Its source address is a part of its client id where the user chose the addresses.
    pub(super) fn identity(&self, client: &Client, index: u32) -> Identity {
        let source = client.transport.as_ref().filter(|_| !self.settings.ifaddrs.is_empty());
        // A connection that is gone already has no address; nothing is sent on it either.
        let source =
            source.and_then(|transport| transport.socket().local_addr().ok()).map(|addr| addr.ip().to_string());
        self.settings.identities.of(self.global_index(index), self.number(index), source.as_deref())
    }

    /// CONNACK has come: subscribe, or be ready.
    pub(super) fn on_connack(
        &mut self,
        client: &mut Client,
        index: u32,
        connack: &ConnAck,
        now_ns: u64,
        board: &mut Board,
    ) -> Result<(), String> {
        if connack.reason.0 != 0 {
            return Err(reason::of_connack(self.settings.version, connack.reason));
        }
        let mut receive_max = u16::MAX;
        let (mut qos_max, mut packet_bytes_max, mut takes_retained, mut alias_max) = (2, u32::MAX, true, 0);
        for property in connack.properties.iter() {
            match property {
                Property::ServerKeepAlive(seconds) => client.keep_alive_s = seconds,
                Property::ReceiveMaximum(max) => receive_max = max,
                Property::MaximumQoS(max) => qos_max = max,
                Property::MaximumPacketSize(max) => packet_bytes_max = max,
                Property::RetainAvailable(value) => takes_retained = value != 0,
                Property::TopicAliasMaximum(max) => alias_max = max,
                _ => {}
            }
        }
        let settings = self.settings.clone();
        if let RoleSettings::Pub(publish) = &settings.role {
            if publish.qos_max() as u8 > qos_max {
                return Err(format!("server allows QoS {qos_max} only"));
            }
            if publish.retain && !takes_retained {
                return Err("server takes no retained messages".to_owned());
            }
            let longest = publish.lanes.iter().filter_map(|lane| lane.content.fixed_len()).max();
            if longest.is_some_and(|bytes| bytes > packet_bytes_max as usize) {
                return Err(format!("server takes packets of at most {packet_bytes_max} bytes"));
            }
        }
        match client.settled {
            true => board.tally.reconnect_succ += 1,
            false => board.tally.connect_succ += 1,
        }
        board.tally.connected += 1;
        board.series.connack.record(now_ns.saturating_sub(client.since_ns));
        match &settings.role {
            RoleSettings::Conn => self.on_ready(client, index, now_ns, board),
            // The server has kept the subscriptions.
            RoleSettings::Sub(_) if client.settled && connack.session_present => {
                self.on_ready(client, index, now_ns, board);
            }
            RoleSettings::Sub(sub) => {
                client.stage = Stage::Subscribing;
                client.since_ns = now_ns;
                self.encode_subscribe(sub, client, index).map_err(|error| error.to_string())?;
            }
            RoleSettings::Pub(publish) => {
                self.on_ready(client, index, now_ns, board);
                let window_max = publish.window.min(receive_max);
                self.become_publisher(client, index, publish, Allowance { window_max, alias_max }, now_ns);
            }
        }
        Ok(())
    }

    fn encode_subscribe(&mut self, sub: &SubSettings, client: &Client, index: u32) -> io::Result<()> {
        let identity = self.identity(client, index);
        let variables = Variables::of(self.number(index), &identity);
        let mut filters = SubscribeFiltersBuf::new();
        for template in &sub.filters {
            let filter = naming::topic(template, variables);
            let filter = TopicFilter::new(&filter).map_err(io::Error::other)?;
            filters.push(filter, sub.options).map_err(io::Error::other)?;
        }
        let packet =
            Subscribe { packet_id: 1, properties: sub.properties.as_properties(), filters: filters.as_filters() };
        packet.encode(self.settings.version, &mut self.out).map_err(io::Error::other)
    }

    /// SUBACK has come.
    pub(super) fn on_suback(
        &mut self,
        client: &mut Client,
        index: u32,
        suback: &SubAck,
        now_ns: u64,
        board: &mut Board,
    ) -> Result<(), String> {
        let RoleSettings::Sub(sub) = &self.settings.role else { return Err("SUBACK without SUBSCRIBE".to_owned()) };
        if client.stage != Stage::Subscribing || suback.packet_id != 1 {
            return Err("SUBACK without SUBSCRIBE".to_owned());
        }
        if let Some(code) = suback.codes.iter().find(|code| **code >= 0x80) {
            return Err(reason::of_suback(*code));
        }
        if let Some(code) = suback.codes.iter().find(|code| **code < sub.options.qos as u8) {
            return Err(format!("SUBACK grants QoS {code} instead of {}", sub.options.qos as u8));
        }
        board.series.suback.record(now_ns.saturating_sub(client.since_ns));
        board.tally.subscribed += u64::from(!client.settled);
        if !client.settled {
            self.note_subscription(client, index, now_ns);
        }
        self.on_ready(client, index, now_ns, board);
        Ok(())
    }

    fn on_ready(&mut self, client: &mut Client, index: u32, now_ns: u64, board: &mut Board) {
        client.stage = Stage::Ready;
        client.since_ns = now_ns;
        self.open -= 1;
        if self.settings.keep_alive_spread {
            // As if it had been silent for a while already: it keeps this place among the others from ping to ping.
            let silent_ms = spread(self.global_index(index), u64::from(keep_alive_ms(client.keep_alive_s))) as u32;
            client.sent_at_ms = to_ms(now_ns).wrapping_sub(silent_ms);
        }
        match std::mem::take(&mut client.absence) {
            Absence::None => {}
            Absence::Lost => board.tally.recovered += 1,
            Absence::Left => board.tally.rejoined += 1,
            Absence::ShutOut => {
                board.tally.rejoined += 1;
                board.tally.shut_out -= 1;
            }
        }
        settle(client, &mut board.tally);
    }

    /// Sets the client's deadline, in place of the one that it has.
    pub(super) fn wake(&mut self, client: &mut Client, index: u32, at_ns: u64) {
        client.wake_at_ms = to_ms(at_ns);
        self.wheel.schedule(at_ns, index);
    }

    /// Sends PINGREQ when nothing else was sent for long enough, and sets the next deadline.
    fn keep_alive(&mut self, client: &mut Client, index: u32, now_ns: u64, board: &mut Board) -> Result<(), String> {
        if client.keep_alive_s == 0 {
            return Ok(());
        }
        let interval_ms = keep_alive_ms(client.keep_alive_s);
        let silent_ms = to_ms(now_ns).wrapping_sub(client.sent_at_ms);
        let mut wait_ms = interval_ms.saturating_sub(silent_ms);
        if wait_ms == 0 {
            if client.ping_pending {
                return Err(reason::PING_TIMEOUT.to_owned());
            }
            client.ping_pending = true;
            self.out.extend_from_slice(&PINGREQ);
            self.transmit(client, now_ns, &mut board.tally).map_err(|error| reason::of_error(&error))?;
            wait_ms = interval_ms;
        }
        self.wake(client, index, now_ns + u64::from(wait_ms) * 1_000_000);
        Ok(())
    }
}

/// How long a client stays silent before it sends PINGREQ: a tenth, but at most five seconds, less than the keep alive
/// interval, as the packet has to arrive within it.
fn keep_alive_ms(keep_alive_s: u16) -> u32 {
    let interval_ms = u32::from(keep_alive_s) * 1_000;
    interval_ms - (interval_ms / 10).min(5_000)
}

/// From a failure or a loss to the next attempt, doubled by each failure in a row up to the maximum.
const COMEBACK_NS_MIN: u64 = 100_000_000;
const COMEBACK_NS_MAX: u64 = 5_000_000_000;
/// Clients on their way at the same time, per worker, when connecting flat out: enough to keep a broker busy, and well
/// below the usual accept backlog.
const OPEN_MAX: u32 = 256;
/// Connections begun between two looks at the sockets.
const BEGUN_PER_TURN: u32 = 32;
/// From the begin of a connect until CONNACK must have come, and from SUBSCRIBE to SUBACK.
const READY_TIMEOUT_NS: u64 = 60_000_000_000;
/// From the begin of a connect until it is looked at first, and between further looks until it is ready. Not longer than
/// the shortest keep alive interval that a server may impose.
const WATCH_NS: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_leave_before_the_interval_is_over() {
        assert_eq!(keep_alive_ms(1_500), 1_495_000);
        assert_eq!(keep_alive_ms(10), 9_000);
        assert_eq!(keep_alive_ms(1), 900);
    }
}
