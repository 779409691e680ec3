//! A few connections to a broker with three workers, run by hand on a clock of the target's: well-formed packets, any
//! bytes, ends of every kind, time that passes, and workers that take their turns in any order.
//!
//! Nothing may panic; what the broker writes is MQTT; a client that keeps to the rules is served whatever the others do;
//! and when all have gone and all sessions have expired, nothing of them is left.

#![no_main]

#[expect(dead_code, unused_imports, reason = "threads are not started here, nor is everything counted")]
#[path = "../../broker/src/dataplane/mod.rs"]
mod dataplane;
// Its allocator is not used here: the budget is never reached.
#[path = "../../broker/src/memory.rs"]
mod memory;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::LazyLock;
use std::time::Duration;

use dataplane::{Limits, Settings, SharePolicy, Stage};
use libfuzzer_sys::fuzz_target;
use mqtt_wire::packet::{SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use mqtt_wire::{
    Ack, AckKind, Connect, Disconnect, Frame, Packet, PacketType, PropertiesBuf, Property, Publish, QoS, ReasonCode,
    Subscribe, SubscribeOptions, TopicFilter, Unsubscribe, Version, Will,
};

const WORKERS: usize = 3;
const CLIENTS: usize = 4;
const SESSION_EXPIRY_S: u32 = 100;
const IDS: [&str; 4] = ["", "one", "two", "three"];
const TOPICS: [&str; 6] = ["a", "b", "a/b", "/", "$x/a", "a/b/c/d/e"];
const FILTERS: [&str; 10] = ["a", "#", "+", "+/b", "a/#", "/", "$x/#", "$share/g/a", "$share/g/#", "$share/h/+/b"];
const WITNESS: &str = "the client that keeps to the rules";

/// Small bounds, so that they are met.
static SETTINGS: LazyLock<Settings> = LazyLock::new(|| Settings {
    limits: Limits {
        max_packet_bytes: 64 * 1024,
        max_topic_levels: 4,
        max_subscriptions: 6,
        receive_maximum: 3,
        max_inflight: 4,
        topic_alias_maximum: 2,
        max_queued_messages: 8,
        max_queued_bytes: 128 * 1024,
        max_output_bytes: 16 * 1024,
        max_session_expiry_s: SESSION_EXPIRY_S,
        max_retained: 2,
        max_memory_bytes: usize::MAX,
        ..Limits::default()
    },
    share_policy: SharePolicy::RoundRobin,
    ..Settings::default()
});

fuzz_target!(|input: &[u8]| {
    let mut world = World::new();
    let mut input = Input(input);
    while let Some(byte) = input.0.first().copied() {
        input.0 = &input.0[1..];
        world.operate(byte & 15, usize::from(byte >> 4) % CLIENTS, &mut input);
    }
    world.finish();
});

/// What is left of the input; zeros once nothing is.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::from(self.byte()) % from.len()]
    }

    fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }
}

struct Client {
    stream: UnixStream,
    /// What its own CONNECT says; unknown if that was made of any bytes.
    version: Option<Version>,
    unread: Vec<u8>,
}

struct World {
    stage: Stage,
    witness: Client,
    clients: [Option<Client>; CLIENTS],
}

impl World {
    fn new() -> Self {
        let mut stage = Stage::new(&SETTINGS, WORKERS).expect("workers");
        let mut witness = Client::new(stage.connect(0).expect("a connection"));
        witness.send(&connect(Version::V5, WITNESS, false, None, &PropertiesBuf::new()));
        witness.send(&subscribe(Version::V5, "witness", 1, &PropertiesBuf::new()));
        stage.settle();
        assert_eq!(witness.received().map(|packet| packet[0]).collect::<Vec<_>>(), [0x20, 0x90]);
        Self { stage, witness, clients: [const { None }; CLIENTS] }
    }

    fn operate(&mut self, operation: u8, client: usize, input: &mut Input<'_>) {
        let worker = usize::from(input.byte()) % WORKERS;
        match operation {
            0 => self.clients[client] = Some(Client::new(self.stage.connect(worker).expect("a connection"))),
            1 => self.stage.collect(worker),
            2 => self.stage.send_mail(worker),
            3 => self.stage.write_out(worker),
            4 => (0..WORKERS).for_each(|worker| self.stage.turn(worker)),
            5 => self.stage.advance(Duration::from_millis(input.pick(&[0, 1, 100, 1_000, 15_000, 120_000]))),
            _ => {
                let Some(present) = &mut self.clients[client] else { return };
                if operation == 6 {
                    present.check();
                } else if !present.act(operation, input) {
                    self.clients[client] = None;
                }
            }
        }
    }

    /// Everybody has gone but the witness, which is served as ever; then it goes too.
    fn finish(mut self) {
        self.settle();
        self.witness.check();
        let properties = PropertiesBuf::new();
        let publish = Publish {
            dup: false,
            qos: QoS::AtLeastOnce,
            retain: false,
            topic: "witness",
            packet_id: 7,
            properties: properties.as_properties(),
            payload: b"served",
        };
        self.witness.send(&encoded(&Packet::Publish(publish), Version::V5));
        self.settle();
        let mut kinds: Vec<u8> = self.witness.received().map(|packet| packet[0] & 0xF0).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, [0x30, 0x40], "the witness has its message and its PUBACK");
        self.clients.iter_mut().for_each(|client| *client = None);
        self.settle();
        self.stage.advance(Duration::from_secs(u64::from(SESSION_EXPIRY_S) + 1));
        self.settle();
        let held = self.stage.gauges();
        assert_eq!((held.connections, held.sessions), (1, 1), "{held:?}");
        drop(self.witness);
        self.stage.settle();
        let held = self.stage.gauges();
        assert_eq!((held.connections, held.sessions, held.filters), (0, 0, 0), "{held:?}");
    }

    /// Everything that is under way arrives, publishers that were held back included.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.stage.settle();
            self.clients.iter_mut().flatten().for_each(Client::check);
            self.stage.advance(Duration::from_millis(200));
        }
        self.stage.settle();
    }
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        Self { stream, version: None, unread: Vec::new() }
    }

    /// Sends what the socket takes: a cut packet is one more case.
    fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write(bytes);
    }

    /// One operation of the client; `false` when that was its end.
    fn act(&mut self, operation: u8, input: &mut Input<'_>) -> bool {
        let version = self.version.unwrap_or(Version::V5);
        let mut properties = PropertiesBuf::new();
        match operation {
            7 => {
                let bytes = input.bytes();
                self.send(bytes);
            }
            8 => self.connect(input),
            9 => {
                let (filter, options, id) = (input.pick(&FILTERS), input.byte(), input.byte());
                if version == Version::V5 && id != 0 {
                    properties.push(Property::SubscriptionIdentifier(u32::from(id))).expect("in its range");
                }
                self.send(&subscribe(version, filter, options, &properties));
            }
            10 => {
                let mut filters = UnsubscribeFiltersBuf::new();
                filters.push(TopicFilter::new(input.pick(&FILTERS)).expect("a filter")).expect("it fits");
                let filters = filters.as_filters();
                let packet = Unsubscribe { packet_id: 1, properties: properties.as_properties(), filters };
                self.send(&encoded(&Packet::Unsubscribe(packet), version));
            }
            11 => self.publish(version, input),
            12 => {
                let kind = input.pick(&[AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp]);
                let packet = Ack::new(kind, 1 + u16::from(input.byte() % 8));
                self.send(&encoded(&Packet::Ack(packet), version));
            }
            13 => self.send(&encoded(&Packet::PingReq, version)),
            14 => {
                let reason = if input.byte() % 2 == 0 { ReasonCode::SUCCESS } else { ReasonCode(4) };
                let reason = if version == Version::V5 { reason } else { ReasonCode::SUCCESS };
                let packet = Disconnect { reason, properties: properties.as_properties() };
                self.send(&encoded(&Packet::Disconnect(packet), version));
            }
            _ if input.byte() % 2 == 0 => {
                let _ = self.stream.shutdown(Shutdown::Write);
            }
            _ => return false,
        }
        true
    }

    fn connect(&mut self, input: &mut Input<'_>) {
        let (version, id, bits) = (input.pick(&Version::ALL), input.pick(&IDS), input.byte());
        let (topic, kind) = (input.pick(&TOPICS), input.byte());
        let clean = bits & 1 != 0 || id.is_empty();
        let id = if id.is_empty() && version == Version::V31 { "one" } else { id };
        let (mut properties, mut of_will) = (PropertiesBuf::new(), PropertiesBuf::new());
        if version == Version::V5 {
            let mut push = |property| properties.push(property).expect("in its range");
            push(Property::SessionExpiryInterval([0, 10, u32::MAX][usize::from(bits >> 1) % 3]));
            if bits & 8 != 0 {
                push(Property::ReceiveMaximum(1 + u16::from(bits >> 6)));
            }
            if bits & 16 != 0 {
                push(Property::MaximumPacketSize(40));
            }
            if kind & 8 != 0 {
                of_will.push(Property::WillDelayInterval(5)).expect("in its range");
            }
        }
        let will = (kind & 3 != 3).then(|| Will {
            qos: qos(kind),
            retain: kind & 4 != 0,
            topic,
            payload: b"will",
            properties: of_will.as_properties(),
        });
        self.version = self.version.or(Some(version));
        self.send(&connect(version, id, clean, will, &properties));
    }

    fn publish(&mut self, version: Version, input: &mut Input<'_>) {
        let (topic, bits, length) = (input.pick(&TOPICS), input.byte(), usize::from(input.byte()));
        let qos = qos(bits);
        let mut properties = PropertiesBuf::new();
        let mut topic = topic;
        if version == Version::V5 && bits & 16 != 0 {
            properties.push(Property::MessageExpiryInterval(1)).expect("in its range");
        }
        if version == Version::V5 && bits & 32 != 0 {
            properties.push(Property::TopicAlias(1)).expect("in its range");
            topic = if bits & 64 != 0 { "" } else { topic };
        }
        // Mostly short; some that fill the socket.
        let length = if length > 240 { (length - 240) * 4_000 } else { length / 16 };
        let publish = Publish {
            dup: bits & 8 != 0 && qos != QoS::AtMostOnce,
            qos,
            retain: bits & 4 != 0,
            topic,
            packet_id: if qos == QoS::AtMostOnce { 0 } else { 1 + u16::from(input.byte() % 8) },
            properties: properties.as_properties(),
            payload: &vec![b'p'; length],
        };
        self.send(&encoded(&Packet::Publish(publish), version));
    }

    /// Reads everything, which must be packets that a server sends, in the client's version.
    fn check(&mut self) {
        let version = self.version;
        for packet in self.received() {
            let kind = packet[0] >> 4;
            let frame = Frame::split(&packet, u32::MAX).expect("it was split before").expect("and whole");
            let of_server = [2, 3, 4, 5, 6, 7, 9, 11, 13, 14].contains(&kind);
            assert!(of_server, "a server does not send packets of type {kind}");
            // A reason to close may be told in the version that the server would like.
            let Some(version) = version.filter(|_| kind != PacketType::ConnAck as u8) else { continue };
            if let Err(error) = Packet::decode(&frame, version) {
                panic!("{error}: {packet:?} in {version:?}");
            }
        }
    }

    /// The whole packets that have arrived.
    fn received(&mut self) -> impl Iterator<Item = Vec<u8>> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Closed with bytes unread by the broker, or nothing there.
                Err(_) => break,
            }
        }
        let mut packets = Vec::new();
        let mut rest = &self.unread[..];
        while let Some(frame) = Frame::split(rest, u32::MAX).expect("the broker writes MQTT") {
            packets.push(frame.raw.to_vec());
            rest = &rest[frame.raw.len()..];
        }
        self.unread = rest.to_vec();
        packets.into_iter()
    }
}

fn qos(bits: u8) -> QoS {
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce][usize::from(bits & 3)]
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes).expect("a packet in order");
    bytes
}

fn connect(version: Version, id: &str, clean: bool, will: Option<Will<'_>>, properties: &PropertiesBuf) -> Vec<u8> {
    let packet = Connect {
        version,
        clean_start: clean,
        keep_alive: if clean { 10 } else { 0 },
        client_id: id,
        will,
        user_name: None,
        password: None,
        properties: properties.as_properties(),
    };
    encoded(&Packet::Connect(packet), version)
}

fn subscribe(version: Version, filter: &str, options: u8, properties: &PropertiesBuf) -> Vec<u8> {
    let shared = filter.starts_with("$share/");
    let allowed = if shared { options & !SubscribeOptions::NO_LOCAL } else { options };
    let options = SubscribeOptions::from_bits(allowed, version).unwrap_or(SubscribeOptions::with_qos(qos(options)));
    let mut filters = SubscribeFiltersBuf::new();
    filters.push(TopicFilter::new(filter).expect("a filter"), options).expect("it fits");
    let packet = Subscribe { packet_id: 1, properties: properties.as_properties(), filters: filters.as_filters() };
    encoded(&Packet::Subscribe(packet), version)
}
