//! Generators of valid packets.

use mqtt_wire::packet::RetainHandling;
use mqtt_wire::properties::Carrier;
use mqtt_wire::{AckKind, PacketType, QoS, Version};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::owned::{OwnedConnect, OwnedPacket, OwnedProperty, OwnedPublish, OwnedWill, Value, options};
use crate::table::{Kind, PROPERTIES, Row, reason_codes};

/// A packet of any type that the version has.
pub(crate) fn packet(version: Version) -> BoxedStrategy<OwnedPacket> {
    prop_oneof![
        3 => connect(version),
        1 => connack(version),
        4 => publish(version),
        3 => ack(version),
        2 => subscribe(version),
        2 => suback(version),
        2 => unsubscribe(version),
        2 => unsuback(version),
        1 => select(vec![OwnedPacket::PingReq, OwnedPacket::PingResp]),
        1 => disconnect(version),
        1 => if version == Version::V5 { auth() } else { disconnect(version) },
    ]
    .boxed()
}

/// A version and a packet of it.
pub(crate) fn versioned_packet() -> impl Strategy<Value = (Version, OwnedPacket)> {
    select(&Version::ALL[..]).prop_flat_map(|version| packet(version).prop_map(move |packet| (version, packet)))
}

/// A property list that the packet may carry, in any order.
pub(crate) fn properties(version: Version, carrier: Carrier) -> BoxedStrategy<Vec<OwnedProperty>> {
    if !version.has_properties() {
        return Just(Vec::new()).boxed();
    }
    let lists: Vec<_> = PROPERTIES
        .iter()
        .filter(|row| row.carriers.contains(&carrier))
        .map(|row| {
            let most = if row.kind == Kind::Pair || (row.id == 0x0B && carrier == Carrier::Publish) { 3 } else { 1 };
            vec(property(row), 0..=most)
        })
        .collect();
    (lists, any::<bool>())
        .prop_map(|(lists, none)| if none { Vec::new() } else { with_method(lists.concat()) })
        .prop_shuffle()
        .boxed()
}

/// A topic name, often an awkward one.
pub(crate) fn topic() -> impl Strategy<Value = String> {
    vec(select(vec!["", "a", "sensor", "$SYS", "größe", "温度", " ", "\u{1F600}"]), 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has at least one character", |topic| !topic.is_empty())
}

/// A topic filter, shared now and then.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = select(vec!["", "a", "sensor", "$SYS", "größe", "+", "+"]);
    (vec(level, 0..5), option::of(Just("#")), option::weighted(0.2, select(vec!["$share/g", "$share/ü"])))
        .prop_map(|(levels, rest, share)| share.into_iter().chain(levels).chain(rest).collect::<Vec<_>>().join("/"))
        .prop_filter("a filter has at least one character", |filter| {
            !filter.is_empty() && !["$share/g", "$share/ü", "$share/g/", "$share/ü/"].contains(&filter.as_str())
        })
}

/// Text with characters of every length in UTF-8, and its longest form now and then.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let characters = vec!['a', 'Z', '0', '/', '+', '#', '$', ' ', '\u{1}', 'é', '\u{FEFF}', '温', '\u{10FFFF}'];
    prop_oneof![
        200 => vec(select(characters), 0..12).prop_map(|characters| characters.into_iter().collect()),
        1 => Just("x".repeat(65_535)),
    ]
}

/// Bytes, with lengths on both sides of where the remaining length gets longer.
pub(crate) fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        20 => vec(any::<u8>(), 0..20),
        2 => vec(any::<u8>(), 100..140),
        1 => (16_370_usize..16_400).prop_map(|length| vec![0xA5; length]),
    ]
}

fn connect(version: Version) -> BoxedStrategy<OwnedPacket> {
    let login = (option::of(text()), option::of(binary())).prop_map(move |(user, password)| {
        if version == Version::V5 || user.is_some() { (user, password) } else { (user, None) }
    });
    (any::<bool>(), any::<u16>(), text(), option::of(will(version)), login, properties(version, Carrier::Connect))
        .prop_map(move |(clean_start, keep_alive, client_id, will, (user_name, password), properties)| {
            OwnedPacket::Connect(OwnedConnect {
                version,
                clean_start,
                keep_alive,
                client_id,
                will,
                user_name,
                password,
                properties,
            })
        })
        .boxed()
}

fn will(version: Version) -> impl Strategy<Value = OwnedWill> {
    (qos(), any::<bool>(), topic(), binary(), properties(version, Carrier::Will))
        .prop_map(|(qos, retain, topic, payload, properties)| OwnedWill { qos, retain, topic, payload, properties })
}

fn connack(version: Version) -> BoxedStrategy<OwnedPacket> {
    let codes = if version == Version::V5 { reason_codes(PacketType::ConnAck) } else { &[0, 1, 2, 3, 4, 5] };
    (any::<bool>(), prop_oneof![Just(0), select(codes)], properties(version, Carrier::ConnAck))
        .prop_map(move |(session_present, reason, properties)| OwnedPacket::ConnAck {
            session_present: session_present && reason == 0 && version != Version::V31,
            reason,
            properties,
        })
        .boxed()
}

fn publish(version: Version) -> BoxedStrategy<OwnedPacket> {
    (
        any::<bool>(),
        qos(),
        any::<bool>(),
        topic(),
        packet_id(),
        properties(version, Carrier::Publish),
        binary(),
        any::<bool>(),
    )
        .prop_map(|(dup, qos, retain, topic, packet_id, properties, payload, by_alias)| {
            let numbered = qos != QoS::AtMostOnce;
            let by_alias = by_alias && properties.iter().any(|property| property.id == 0x23);
            OwnedPacket::Publish(OwnedPublish {
                dup: dup && numbered,
                qos,
                retain,
                topic: if by_alias { String::new() } else { topic },
                packet_id: if numbered { packet_id } else { 0 },
                properties,
                payload,
            })
        })
        .boxed()
}

fn ack(version: Version) -> BoxedStrategy<OwnedPacket> {
    select(vec![AckKind::PubAck, AckKind::PubRec, AckKind::PubRel, AckKind::PubComp])
        .prop_flat_map(move |kind| {
            (packet_id(), reason(version, kind.packet_type()), properties(version, Carrier::PubAck)).prop_map(
                move |(packet_id, reason, properties)| OwnedPacket::Ack { kind, packet_id, reason, properties },
            )
        })
        .boxed()
}

fn subscribe(version: Version) -> BoxedStrategy<OwnedPacket> {
    let handling = select(vec![RetainHandling::Send, RetainHandling::SendIfNew, RetainHandling::DoNotSend]);
    let options =
        (qos(), any::<bool>(), any::<bool>(), handling).prop_map(move |(qos, no_local, as_published, handling)| {
            if version == Version::V5 {
                options(qos, no_local, as_published, handling)
            } else {
                options(qos, false, false, RetainHandling::Send)
            }
        });
    let filter = (filter(), options).prop_map(|(filter, mut options)| {
        options.no_local &= !filter.starts_with("$share/");
        (filter, options)
    });
    (packet_id(), properties(version, Carrier::Subscribe), vec(filter, 1..5))
        .prop_map(|(packet_id, properties, filters)| OwnedPacket::Subscribe { packet_id, properties, filters })
        .boxed()
}

fn suback(version: Version) -> BoxedStrategy<OwnedPacket> {
    let codes = match version {
        Version::V5 => reason_codes(PacketType::SubAck),
        Version::V311 => &[0, 1, 2, 0x80],
        Version::V31 => &[0, 1, 2],
    };
    (packet_id(), properties(version, Carrier::SubAck), vec(select(codes), 1..5))
        .prop_map(|(packet_id, properties, codes)| OwnedPacket::SubAck { packet_id, properties, codes })
        .boxed()
}

fn unsubscribe(version: Version) -> BoxedStrategy<OwnedPacket> {
    (packet_id(), properties(version, Carrier::Unsubscribe), vec(filter(), 1..5))
        .prop_map(|(packet_id, properties, filters)| OwnedPacket::Unsubscribe { packet_id, properties, filters })
        .boxed()
}

fn unsuback(version: Version) -> BoxedStrategy<OwnedPacket> {
    let count = if version == Version::V5 { 1..5 } else { 0..1 };
    (packet_id(), properties(version, Carrier::UnsubAck), vec(select(reason_codes(PacketType::UnsubAck)), count))
        .prop_map(|(packet_id, properties, codes)| OwnedPacket::UnsubAck { packet_id, properties, codes })
        .boxed()
}

fn disconnect(version: Version) -> BoxedStrategy<OwnedPacket> {
    (reason(version, PacketType::Disconnect), properties(version, Carrier::Disconnect))
        .prop_map(|(reason, properties)| OwnedPacket::Disconnect { reason, properties })
        .boxed()
}

fn auth() -> BoxedStrategy<OwnedPacket> {
    (reason(Version::V5, PacketType::Auth), properties(Version::V5, Carrier::Auth))
        .prop_map(|(reason, mut properties)| {
            if reason != 0 || !properties.is_empty() {
                require_method(&mut properties);
            }
            OwnedPacket::Auth { reason, properties }
        })
        .boxed()
}

fn reason(version: Version, packet: PacketType) -> BoxedStrategy<u8> {
    if version == Version::V5 { prop_oneof![Just(0), select(reason_codes(packet))].boxed() } else { Just(0).boxed() }
}

fn qos() -> impl Strategy<Value = QoS> {
    select(&QoS::ALL[..])
}

fn packet_id() -> impl Strategy<Value = u16> {
    prop_oneof![1_u16.., Just(1), Just(u16::MAX)]
}

fn property(row: &Row) -> impl Strategy<Value = OwnedProperty> + use<> {
    let id = row.id;
    let value = match row.kind {
        Kind::Flag => (0_u8..=1).prop_map(Value::Byte).boxed(),
        Kind::Two => any::<u16>().prop_map(Value::Two).boxed(),
        Kind::TwoPositive => (1_u16..).prop_map(Value::Two).boxed(),
        Kind::Four => any::<u32>().prop_map(Value::Four).boxed(),
        Kind::FourPositive => (1_u32..).prop_map(Value::Four).boxed(),
        Kind::VarPositive => {
            let edges = select(vec![1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455]);
            prop_oneof![edges, 1_u32..=268_435_455].prop_map(Value::Var).boxed()
        }
        Kind::Text => text().prop_map(Value::Text).boxed(),
        Kind::Topic => topic().prop_map(Value::Text).boxed(),
        Kind::Binary => binary().prop_map(Value::Binary).boxed(),
        Kind::Pair => (text(), text()).prop_map(|(name, value)| Value::Pair(name, value)).boxed(),
    };
    value.prop_map(move |value| OwnedProperty { id, value })
}

/// Authentication data is allowed only with a method (section 3.1.2.11.10).
fn with_method(mut properties: Vec<OwnedProperty>) -> Vec<OwnedProperty> {
    if properties.iter().any(|property| property.id == 0x16) {
        require_method(&mut properties);
    }
    properties
}

fn require_method(properties: &mut Vec<OwnedProperty>) {
    if properties.iter().all(|property| property.id != 0x15) {
        properties.push(OwnedProperty { id: 0x15, value: Value::Text("SCRAM-SHA-256".to_owned()) });
    }
}
