//! One thread of MQTT 3.1.1 clients: connects, subscribes, publishes, and counts and times what comes back.
//!
//! Latency runs from the moment of sending, not from the planned one: the driver compares brokers within a run and must
//! not add its own lateness. What a user would see is measured by `loadgen` and `prober`, from the planned moment.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use mqtt_wire::packet::{PublishHeader, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use mqtt_wire::{
    Connect, Frame, PacketType, Properties, QoS, Subscribe, SubscribeOptions, TopicFilter, Unsubscribe, Version,
};

/// The clients and what they have seen.
pub(crate) struct Driver {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    /// Clients whose last read filled the buffer.
    more: Vec<usize>,
    started: Instant,
    payload: Vec<u8>,
    pub(crate) seen: Seen,
}

/// What came back since this was last reset.
#[derive(Debug)]
pub(crate) struct Seen {
    /// PUBLISH packets sent and received.
    pub(crate) sent: u64,
    pub(crate) received: u64,
    /// Nanoseconds from sending to receiving.
    pub(crate) latency_ns: Histogram<u64>,
    /// Nanoseconds from the start of a connection to its CONNACK.
    pub(crate) connect_ns: Histogram<u64>,
    connacks: u64,
    subacks: u64,
    unsubacks: u64,
    /// Connections that the broker closed.
    pub(crate) closed: u64,
}

struct Client {
    stream: Option<TcpStream>,
    open: bool,
    /// Does not read: a slow consumer.
    deaf: bool,
    started_ns: u64,
    in_flight: usize,
    /// PINGREQs without an answer.
    pings: usize,
    last_id: u16,
    input: Vec<u8>,
    output: Vec<u8>,
}

/// Messages in flight from one publisher at QoS 1 and 2.
const WINDOW: usize = 16;
/// Unsent bytes from which on a publisher waits.
const BACKLOG_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 256 * 1024;
/// Twice as many connections, at most, are on their way at once: Mosquitto has 100 wait for being accepted.
const CONNECTING: usize = 32;
/// Reads of one socket in a row.
const READS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);

impl Driver {
    /// No clients yet; messages will have payloads of `payload_bytes`, at least the eight of their stamp.
    pub(crate) fn new(address: SocketAddr, payload_bytes: usize) -> Result<Self> {
        Ok(Self {
            address,
            poll: Poll::new().context("cannot make a poller")?,
            events: Events::with_capacity(512),
            clients: Vec::new(),
            buffer: vec![0; READ_BYTES],
            more: Vec::new(),
            started: Instant::now(),
            payload: vec![b'x'; payload_bytes.max(8)],
            seen: Seen::new(),
        })
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// Connects one more client and returns its number; CONNACK comes later.
    pub(crate) fn connect(&mut self, keep_alive_s: u16) -> Result<usize> {
        let number = self.clients.len();
        let mut stream = netloop::socket::connect(self.address).context("cannot connect")?.into_stream();
        // Ended by a reset, it leaves no TIME_WAIT behind to disturb the next measurement.
        netloop::socket::reset_on_close(&stream)?;
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(number), both)?;
        let client_id = format!("bench-{:08x}-client-number-{number:08}", std::process::id());
        let connect = Connect {
            version: Version::V311,
            clean_start: true,
            keep_alive: keep_alive_s,
            client_id: &client_id,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::EMPTY,
        };
        let mut output = Vec::new();
        connect.encode(&mut output)?;
        self.clients.push(Client {
            stream: Some(stream),
            open: false,
            deaf: false,
            started_ns: self.now_ns(),
            in_flight: 0,
            pings: 0,
            last_id: 0,
            input: Vec::new(),
            output,
        });
        self.flush(number);
        Ok(number)
    }

    /// Connects so many clients and waits for their CONNACKs; returns their numbers. Never more than a broker's queue of
    /// connections to accept holds are on their way: what overflows it is sent again after a second, two, four, and may
    /// be lost for longer than anybody waits.
    pub(crate) fn connect_all(&mut self, count: usize, keep_alive_s: u16) -> Result<std::ops::Range<usize>> {
        let (first, before) = (self.clients.len(), self.seen.connacks);
        for made in 1..=count {
            self.connect(keep_alive_s)?;
            if made % CONNECTING == 0 {
                self.wait_for(|seen| seen.connacks - before + CONNECTING as u64 >= made as u64, "CONNACK")?;
            }
        }
        self.wait_for(|seen| seen.connacks - before >= count as u64, "CONNACK")?;
        Ok(first..first + count)
    }

    /// Connects so many clients at `rate` a second, and waits for their CONNACKs.
    pub(crate) fn connect_paced(&mut self, count: usize, rate: f64) -> Result<()> {
        let (start, before) = (self.now_ns(), self.seen.connacks);
        let mut made = 0;
        while made < count {
            let due = (((self.now_ns() - start) as f64 / 1e9 * rate) as usize).min(count);
            while made < due {
                self.connect(0)?;
                made += 1;
            }
            self.pump(Duration::from_millis(1))?;
        }
        self.wait_for(|seen| seen.connacks - before >= count as u64, "CONNACK")
    }

    /// Subscribes a client and waits for SUBACK.
    pub(crate) fn subscribe(&mut self, number: usize, filter: &str, qos: QoS) -> Result<()> {
        let mut filters = SubscribeFiltersBuf::new();
        filters.push(TopicFilter::new(filter)?, SubscribeOptions::with_qos(qos))?;
        let subscribe = Subscribe { packet_id: 1, properties: Properties::EMPTY, filters: filters.as_filters() };
        subscribe.encode(Version::V311, &mut self.clients[number].output)?;
        let before = self.seen.subacks;
        self.flush(number);
        self.wait_for(|seen| seen.subacks > before, "SUBACK")
    }

    /// Unsubscribes a client and waits for UNSUBACK.
    pub(crate) fn unsubscribe(&mut self, number: usize, filter: &str) -> Result<()> {
        let mut filters = UnsubscribeFiltersBuf::new();
        filters.push(TopicFilter::new(filter)?)?;
        let unsubscribe = Unsubscribe { packet_id: 1, properties: Properties::EMPTY, filters: filters.as_filters() };
        unsubscribe.encode(Version::V311, &mut self.clients[number].output)?;
        let before = self.seen.unsubacks;
        self.flush(number);
        self.wait_for(|seen| seen.unsubacks > before, "UNSUBACK")
    }

    /// From now on the client reads nothing.
    pub(crate) fn stop_reading(&mut self, number: usize) {
        self.clients[number].deaf = true;
    }

    /// Sends PINGREQ.
    pub(crate) fn ping(&mut self, number: usize) {
        self.clients[number].pings += 1;
        self.clients[number].output.extend_from_slice(&mqtt_wire::packet::PINGREQ);
        self.flush(number);
    }

    /// Publishes one message, unless the client has to wait. It is written by the next [`flush`](Self::flush).
    pub(crate) fn publish(&mut self, number: usize, topic: &str, qos: QoS) -> bool {
        let now_ns = self.now_ns();
        let client = &mut self.clients[number];
        let numbered = qos != QoS::AtMostOnce;
        if !client.open || client.output.len() > BACKLOG_BYTES || numbered && client.in_flight >= WINDOW {
            return false;
        }
        if numbered {
            client.in_flight += 1;
            client.last_id = client.last_id.wrapping_add(1).max(1);
        }
        self.payload[..8].copy_from_slice(&now_ns.to_le_bytes());
        let header = PublishHeader {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: if numbered { client.last_id } else { 0 },
            properties: Properties::EMPTY,
            payload_len: self.payload.len(),
        };
        header.encode(Version::V311, &mut client.output).expect("topics of the rows are short");
        client.output.extend_from_slice(&self.payload);
        self.seen.sent += 1;
        true
    }

    /// Writes what a client has to send, as much as its socket takes.
    pub(crate) fn flush(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some(stream) = &mut client.stream else { return };
        let mut written = 0;
        while written < client.output.len() {
            match stream.write(&client.output[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Not connected yet, or full: an event tells when it goes on.
                Err(_) => break,
            }
        }
        client.output.drain(..written);
    }

    /// Waits for events up to `timeout`, and acts on them.
    pub(crate) fn pump(&mut self, timeout: Duration) -> Result<()> {
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(1));
        let timeout = if self.more.is_empty() { timeout } else { Duration::ZERO };
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for number in std::mem::take(&mut self.more) {
            self.read(number)?;
        }
        for event in &events {
            let number = event.token().0;
            if event.is_writable() && !self.clients[number].output.is_empty() {
                self.flush(number);
            }
            if event.is_readable() {
                self.read(number)?;
            }
        }
        self.events = events;
        Ok(())
    }

    /// Waits until a client's PINGREQs and messages are all answered, and `received` messages have come in all.
    pub(crate) fn wait_for_answers(&mut self, number: usize, received: u64) -> Result<()> {
        let waiting = Instant::now();
        while self.clients[number].pings > 0 || self.clients[number].in_flight > 0 || self.seen.received < received {
            if waiting.elapsed() > PATIENCE {
                bail!("the broker does not answer: {} messages of {received} have come", self.seen.received);
            }
            self.pump(Duration::from_millis(10))?;
        }
        Ok(())
    }

    /// Pumps until `done`.
    fn wait_for(&mut self, done: impl Fn(&Seen) -> bool, what: &str) -> Result<()> {
        let waiting = Instant::now();
        while !done(&self.seen) {
            if waiting.elapsed() > PATIENCE {
                bail!("the broker does not answer with {what} ({} connections closed by it)", self.seen.closed);
            }
            self.pump(Duration::from_millis(10))?;
        }
        Ok(())
    }

    fn read(&mut self, number: usize) -> Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for round in 1..=READS {
            let client = &mut self.clients[number];
            let Some(stream) = client.stream.as_mut().filter(|_| !client.deaf) else { break };
            let carried = client.input.len();
            buffer[..carried].copy_from_slice(&client.input);
            let length = match stream.read(&mut buffer[carried..]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(0) | Err(_) => {
                    client.stream = None;
                    client.open = false;
                    self.seen.closed += 1;
                    break;
                }
                Ok(count) => carried + count,
            };
            self.clients[number].input.clear();
            let mut at = 0;
            while let Some(frame) = Frame::split(&buffer[at..length], u32::MAX)? {
                at += frame.raw.len();
                self.act(number, &frame);
            }
            self.clients[number].input.extend_from_slice(&buffer[at..length]);
            if length < buffer.len() {
                break;
            }
            if round == READS {
                self.more.push(number);
            }
        }
        self.buffer = buffer;
        if !self.clients[number].output.is_empty() {
            self.flush(number);
        }
        Ok(())
    }

    /// Reads no more of a packet than the measurement needs: the driver must cost less than what it measures. Brokers
    /// that send nonsense are the business of `conformance`.
    fn act(&mut self, number: usize, frame: &Frame<'_>) {
        let now_ns = self.now_ns();
        let client = &mut self.clients[number];
        let answer = |kind: PacketType, id: &[u8]| [kind.first_byte(), 2, id[0], id[1]];
        match PacketType::from_first_byte(frame.first) {
            Ok(PacketType::ConnAck) => {
                client.open = frame.body.get(1) == Some(&0);
                self.seen.connacks += u64::from(client.open);
                self.seen.connect_ns.saturating_record(now_ns - client.started_ns);
            }
            Ok(PacketType::SubAck) => self.seen.subacks += 1,
            Ok(PacketType::UnsubAck) => self.seen.unsubacks += 1,
            Ok(PacketType::Publish) => {
                let topic_len = usize::from(u16::from_be_bytes([frame.body[0], frame.body[1]]));
                let rest = &frame.body[2 + topic_len..];
                let (id, payload) = rest.split_at(if frame.first & 0x06 == 0 { 0 } else { 2 });
                match frame.first >> 1 & 3 {
                    0 => {}
                    1 => client.output.extend_from_slice(&answer(PacketType::PubAck, id)),
                    _ => client.output.extend_from_slice(&answer(PacketType::PubRec, id)),
                }
                let sent_ns = u64::from_le_bytes(payload[..8].try_into().expect("eight bytes"));
                self.seen.received += 1;
                self.seen.latency_ns.saturating_record(now_ns.saturating_sub(sent_ns));
            }
            Ok(PacketType::PingResp) => client.pings -= 1,
            Ok(PacketType::PubAck | PacketType::PubComp) => client.in_flight -= 1,
            Ok(PacketType::PubRec) => client.output.extend_from_slice(&answer(PacketType::PubRel, frame.body)),
            Ok(PacketType::PubRel) => client.output.extend_from_slice(&answer(PacketType::PubComp, frame.body)),
            _ => {}
        }
    }
}

impl Seen {
    fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("bounds in order");
        let (latency_ns, connect_ns) = (histogram(), histogram());
        Self { sent: 0, received: 0, latency_ns, connect_ns, connacks: 0, subacks: 0, unsubacks: 0, closed: 0 }
    }

    /// Forgets everything but the connections.
    pub(crate) fn reset(&mut self) {
        (self.sent, self.received) = (0, 0);
        self.latency_ns.reset();
    }

    /// Microseconds of a percentile of latency.
    pub(crate) fn latency_us(&self, percentile: f64) -> f64 {
        self.latency_ns.value_at_percentile(percentile) as f64 / 1e3
    }
}
