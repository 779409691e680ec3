use mqtt_wire::packet::PublishHeader;
use mqtt_wire::{Frame, Packet, Publish, Version};
use proptest::prelude::*;

use crate::generate::{packet, topic, versioned_packet};
use crate::owned::{OwnedPacket, OwnedProperty, varint};

const MAX_SIZE: u32 = u32::MAX;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_written_is_read_back((version, packet) in versioned_packet(), before in any::<[u8; 3]>(), after in any::<[u8; 2]>()) {
        let mut bytes = before.to_vec();
        packet.with(|packet| packet.encode(version, &mut bytes)).unwrap();
        prop_assert_eq!(&bytes[..3], before, "encoding appends");
        let size = bytes.len() - 3;
        bytes.extend(after);
        let frame = Frame::split(&bytes[3..], MAX_SIZE).unwrap().expect("the packet is whole");
        prop_assert_eq!(frame.raw.len(), size);
        prop_assert_eq!(frame.raw.len() - frame.body.len(), 1 + varint(frame.body.len() as u32).len());
        let decoded = Packet::decode(&frame, version).unwrap();
        packet.with(|packet| {
            prop_assert_eq!(decoded, packet);
            Ok(())
        })?;
    }

    #[test]
    fn lists_are_read_back_in_order((version, packet) in versioned_packet()) {
        let bytes = packet.encode(version).unwrap();
        let frame = Frame::split(&bytes, MAX_SIZE).unwrap().unwrap();
        let decoded = Packet::decode(&frame, version).unwrap();
        match (&packet, decoded) {
            (OwnedPacket::Subscribe { filters, .. }, Packet::Subscribe(subscribe)) => {
                let read: Vec<_> =
                    subscribe.filters.iter().map(|(filter, options)| (filter.as_str().to_owned(), options)).collect();
                prop_assert_eq!(filters, &read);
            }
            (OwnedPacket::Unsubscribe { filters, .. }, Packet::Unsubscribe(unsubscribe)) => {
                let read: Vec<_> = unsubscribe.filters.iter().map(|filter| filter.as_str().to_owned()).collect();
                prop_assert_eq!(filters, &read);
            }
            _ => {}
        }
        let properties = properties_of(&decoded);
        prop_assert!(properties.iter().eq(packet.properties().iter().map(OwnedProperty::as_property)));
        let expected: Vec<u8> = packet.properties().iter().flat_map(OwnedProperty::bytes).collect();
        prop_assert_eq!(properties.as_bytes(), expected);
    }

    /// What has not arrived yet is not an error, wherever the stream stops.
    #[test]
    fn a_part_of_a_packet_is_not_whole_yet((version, packet) in versioned_packet(), cut in any::<prop::sample::Index>()) {
        let bytes = packet.encode(version).unwrap();
        let cut = cut.index(bytes.len());
        prop_assert_eq!(Frame::split(&bytes[..cut], MAX_SIZE), Ok(None));
        for cut in 0..bytes.len().min(6) {
            prop_assert_eq!(Frame::split(&bytes[..cut], MAX_SIZE), Ok(None));
        }
    }

    /// The limit is the whole packet's, and is known from the fixed header alone.
    #[test]
    fn the_size_limit_counts_the_whole_packet((version, packet) in versioned_packet()) {
        let bytes = packet.encode(version).unwrap();
        let size = bytes.len() as u32;
        prop_assert!(Frame::split(&bytes, size).unwrap().is_some());
        if size > 2 {
            let header = 1 + varint(size - 2).len().min(bytes.len());
            let too_large = mqtt_wire::DecodeError::TooLarge { size, max: size - 1 };
            prop_assert_eq!(Frame::split(&bytes, size - 1), Err(too_large));
            prop_assert_eq!(Frame::measure(&bytes[..header.min(5)], size - 1).unwrap_err(), too_large);
        }
    }

    /// A header written without the payload at hand is the same header.
    #[test]
    fn a_publish_header_and_its_payload_are_the_packet(topic in topic(), payload in prop::collection::vec(any::<u8>(), 0..300), v5 in any::<bool>()) {
        let version = if v5 { Version::V5 } else { Version::V311 };
        let publish = Publish { topic: &topic, payload: &payload, ..EMPTY_PUBLISH };
        let Publish { dup, qos, retain, topic, packet_id, properties, .. } = publish;
        let header = PublishHeader { dup, qos, retain, topic, packet_id, properties, payload_len: payload.len() };
        let (mut whole, mut parts) = (Vec::new(), Vec::new());
        publish.encode(version, &mut whole).unwrap();
        header.encode(version, &mut parts).unwrap();
        parts.extend_from_slice(&payload);
        prop_assert_eq!(header.packet_len(version), whole.len());
        prop_assert_eq!(whole, parts);
    }

    /// Before 5.0 there is no place for what only 5.0 has; the buffer stays as it was.
    #[test]
    fn what_a_version_cannot_say_is_not_written(packet in packet(Version::V5)) {
        let only_v5 = match &packet {
            OwnedPacket::Connect(_) => return Ok(()),
            OwnedPacket::Auth { .. } | OwnedPacket::UnsubAck { .. } => true,
            OwnedPacket::Ack { reason, properties, .. } | OwnedPacket::Disconnect { reason, properties } => {
                *reason != 0 || !properties.is_empty()
            }
            OwnedPacket::Subscribe { properties, filters, .. } => {
                !properties.is_empty() || filters.iter().any(|(_, options)| options.to_bits() > 2)
            }
            packet => !packet.properties().is_empty(),
        };
        let mut bytes = vec![1, 2, 3];
        let result = packet.with(|packet| packet.encode(Version::V311, &mut bytes));
        prop_assert_eq!(result.is_err(), only_v5, "{:?}", result);
        if only_v5 {
            prop_assert_eq!(bytes, [1, 2, 3]);
        }
    }
}

const EMPTY_PUBLISH: Publish<'static> = Publish {
    dup: false,
    qos: mqtt_wire::QoS::AtMostOnce,
    retain: false,
    topic: "",
    packet_id: 0,
    properties: mqtt_wire::Properties::EMPTY,
    payload: &[],
};

fn properties_of<'a>(packet: &Packet<'a>) -> mqtt_wire::Properties<'a> {
    match packet {
        Packet::Connect(packet) => packet.properties,
        Packet::ConnAck(packet) => packet.properties,
        Packet::Publish(packet) => packet.properties,
        Packet::Ack(packet) => packet.properties,
        Packet::Subscribe(packet) => packet.properties,
        Packet::SubAck(packet) => packet.properties,
        Packet::Unsubscribe(packet) => packet.properties,
        Packet::UnsubAck(packet) => packet.properties,
        Packet::Disconnect(packet) => packet.properties,
        Packet::Auth(packet) => packet.properties,
        Packet::PingReq | Packet::PingResp => mqtt_wire::Properties::EMPTY,
    }
}
