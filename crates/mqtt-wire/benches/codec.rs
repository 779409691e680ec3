//! What it costs to decode and to encode a packet.
//!
//! `cargo bench -p mqtt-wire [-- NAME_PART]` prints nanoseconds, the median over batches. For instruction counts, which
//! a busy machine does not move, `--repeat COUNT` does nothing but the chosen operation: the difference of
//! `valgrind --tool=callgrind target/release/deps/codec-* 'NAME' --repeat 2000` and the same with 1000, divided by 1000,
//! is what one takes.

use std::hint::black_box;
use std::time::Instant;

use mqtt_wire::packet::{PublishHeader, SubscribeFiltersBuf};
use mqtt_wire::{
    Ack, AckKind, Connect, Frame, Packet, Properties, PropertiesBuf, Property, Publish, QoS, Subscribe,
    SubscribeOptions, TopicFilter, Version,
};

const BATCHES: usize = 2000;
const BATCH_LEN: u64 = 1000;
const TOPIC: &str = "site/7/device/123456/temperature";

struct Case {
    name: &'static str,
    version: Version,
    bytes: Vec<u8>,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let repeat = args.iter().position(|arg| arg == "--repeat").map(|at| {
        let count = args.get(at + 1).and_then(|count| count.parse::<u64>().ok());
        count.expect("--repeat needs a number: how often to do the operation")
    });
    let wanted = args.iter().find(|arg| !arg.starts_with('-') && arg.parse::<u64>().is_err());
    // One operation is named in full when it is counted, as many as have the text in their name when they are timed.
    let is_wanted = |name: &str| match wanted {
        Some(wanted) if repeat.is_some() => name == wanted,
        Some(wanted) => name.contains(wanted.as_str()),
        None => true,
    };
    for case in cases() {
        let mut out = Vec::with_capacity(4096);
        let operations: [(&str, &mut dyn FnMut()); 2] =
            [("decode", &mut || decode(&case)), ("decode and encode", &mut || reencode(&case, &mut out))];
        for (operation, act) in operations {
            let name = format!("{} {operation}", case.name);
            if !is_wanted(&name) {
                continue;
            }
            match repeat {
                Some(count) => (0..count).for_each(|_| act()),
                None => println!("{:7.1} ns  {name}, {} bytes", median_ns(act), case.bytes.len()),
            }
        }
    }
    let header = PublishHeader {
        dup: false,
        qos: QoS::AtLeastOnce,
        retain: false,
        topic: TOPIC,
        packet_id: 7,
        properties: Properties::EMPTY,
        payload_len: 256,
    };
    let mut out = Vec::with_capacity(4096);
    let mut act = || {
        out.clear();
        black_box(&header).encode(Version::V311, &mut out).expect("a valid header");
        black_box(&out);
    };
    let name = "PUBLISH header encode";
    if is_wanted(name) {
        match repeat {
            Some(count) => (0..count).for_each(|_| act()),
            None => println!("{:7.1} ns  {name}", median_ns(&mut act)),
        }
    }
}

fn decode(case: &Case) {
    let frame = Frame::split(black_box(&case.bytes), u32::MAX).expect("valid").expect("whole");
    black_box(Packet::decode(&frame, case.version).expect("valid"));
}

fn reencode(case: &Case, out: &mut Vec<u8>) {
    out.clear();
    let frame = Frame::split(black_box(&case.bytes), u32::MAX).expect("valid").expect("whole");
    let packet = Packet::decode(&frame, case.version).expect("valid");
    packet.encode(case.version, out).expect("valid");
    black_box(out);
}

fn median_ns(act: &mut dyn FnMut()) -> f64 {
    let mut batches: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..BATCH_LEN).for_each(|_| act());
            start.elapsed().as_nanos() as f64 / BATCH_LEN as f64
        })
        .collect();
    batches.sort_unstable_by(f64::total_cmp);
    batches[BATCHES / 2]
}

fn cases() -> Vec<Case> {
    let payload = [0x5A; 256];
    let publish = |qos: QoS, properties| {
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { 7 };
        Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: TOPIC,
            packet_id,
            properties,
            payload: &payload,
        })
    };
    let mut some = PropertiesBuf::new();
    for property in [
        Property::MessageExpiryInterval(60),
        Property::ContentType("application/json"),
        Property::UserProperty("trace", "0123456789abcdef"),
    ] {
        some.push(property).expect("valid");
    }
    let mut filters = SubscribeFiltersBuf::new();
    let filter = TopicFilter::new("site/+/device/123456/#").expect("valid");
    filters.push(filter, SubscribeOptions::with_qos(QoS::AtLeastOnce)).expect("valid");
    let none = Properties::EMPTY;
    let connect = |version| {
        Packet::Connect(Connect {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id: "0123456789abcdef0123456789abcdef0123",
            will: None,
            user_name: None,
            password: None,
            properties: none,
        })
    };
    let case = |name, version, packet: Packet<'_>| {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes).expect("valid");
        Case { name, version, bytes }
    };
    vec![
        case("PUBLISH 3.1.1 QoS 0", Version::V311, publish(QoS::AtMostOnce, none)),
        case("PUBLISH 3.1.1 QoS 1", Version::V311, publish(QoS::AtLeastOnce, none)),
        case("PUBLISH 5.0 QoS 1", Version::V5, publish(QoS::AtLeastOnce, none)),
        case("PUBLISH 5.0 QoS 1 with 3 properties", Version::V5, publish(QoS::AtLeastOnce, some.as_properties())),
        case("PUBACK 3.1.1", Version::V311, Packet::Ack(Ack::new(AckKind::PubAck, 7))),
        case("PUBACK 5.0", Version::V5, Packet::Ack(Ack::new(AckKind::PubAck, 7))),
        case(
            "SUBSCRIBE 5.0",
            Version::V5,
            Packet::Subscribe(Subscribe { packet_id: 7, properties: none, filters: filters.as_filters() }),
        ),
        case("CONNECT 3.1.1", Version::V311, connect(Version::V311)),
        case("CONNECT 5.0", Version::V5, connect(Version::V5)),
        case("PINGREQ", Version::V311, Packet::PingReq),
    ]
}
