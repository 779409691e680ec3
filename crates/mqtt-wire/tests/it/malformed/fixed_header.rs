//! Sections 2.1 and 1.5.5: the first byte and the remaining length.

use mqtt_wire::{DecodeError, Frame, Packet, Version};

use super::Class::Malformed;
use super::{Case, case, connect, none, packet, publish, subscribe, text};

/// A valid packet, and the same with another first byte.
fn with_first(first: u8, good: Vec<u8>) -> [Vec<u8>; 2] {
    let mut bad = good.clone();
    bad[0] = first;
    [bad, good]
}

const ID: [u8; 2] = [0, 10];

pub(super) const CASES: &[Case] = &[
    case("CONNECT, flag 1", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |v| with_first(0x11, connect::simple(v))),
    case("CONNECT, flag 8", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |v| with_first(0x18, connect::simple(v))),
    case("CONNACK, flag 1", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |v| {
        with_first(0x21, packet(0x20, &[&[0, 0], &none(v)]))
    }),
    case("PUBACK, flag 2", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |_| with_first(0x42, packet(0x40, &[&ID]))),
    case("PUBREC, flag 2", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |_| with_first(0x52, packet(0x50, &[&ID]))),
    case("PUBREL, no flags", "MQTT-3.6.1-1", "MQTT-3.6.1-1", Malformed, |_| with_first(0x60, packet(0x62, &[&ID]))),
    case("PUBREL, flag 8 too", "MQTT-3.6.1-1", "MQTT-3.6.1-1", Malformed, |_| with_first(0x6A, packet(0x62, &[&ID]))),
    case("PUBREL, flag 1 too", "MQTT-3.6.1-1", "MQTT-3.6.1-1", Malformed, |_| with_first(0x63, packet(0x62, &[&ID]))),
    case("PUBCOMP, flag 2", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |_| with_first(0x72, packet(0x70, &[&ID]))),
    case("SUBSCRIBE, no flags", "MQTT-3.8.1-1", "MQTT-3.8.1-1", Malformed, |v| with_first(0x80, subscribe::simple(v))),
    case("SUBSCRIBE, flag 4", "MQTT-3.8.1-1", "MQTT-3.8.1-1", Malformed, |v| with_first(0x84, subscribe::simple(v))),
    case("SUBSCRIBE, flag 8 too", "MQTT-3.8.1-1", "MQTT-3.8.1-1", Malformed, |v| {
        with_first(0x8A, subscribe::simple(v))
    }),
    case("SUBACK, flag 2", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |v| {
        with_first(0x92, packet(0x90, &[&ID, &none(v), &[0]]))
    }),
    case("UNSUBSCRIBE, no flags", "MQTT-3.10.1-1", "MQTT-3.10.1-1", Malformed, |v| {
        with_first(0xA0, packet(0xA2, &[&ID, &none(v), &text("a")]))
    }),
    case("UNSUBSCRIBE, flag 8 too", "MQTT-3.10.1-1", "MQTT-3.10.1-1", Malformed, |v| {
        with_first(0xAA, packet(0xA2, &[&ID, &none(v), &text("a")]))
    }),
    case("UNSUBACK, flag 2", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |v| {
        let codes: &[u8] = if v == Version::V5 { &[0, 0] } else { &[] };
        with_first(0xB2, packet(0xB0, &[&ID, codes]))
    }),
    case("PINGREQ, flag 1", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |_| with_first(0xC1, packet(0xC0, &[]))),
    case("PINGRESP, flag 8", "MQTT-2.2.2-2", "MQTT-2.1.3-1", Malformed, |_| with_first(0xD8, packet(0xD0, &[]))),
    case("DISCONNECT, flag 1", "MQTT-3.14.1-1", "MQTT-3.14.1-1", Malformed, |_| with_first(0xE1, packet(0xE0, &[]))),
    case("DISCONNECT, flag 2", "MQTT-3.14.1-1", "MQTT-3.14.1-1", Malformed, |_| with_first(0xE2, packet(0xE0, &[]))),
    case("AUTH, flag 4", "", "MQTT-3.15.1-1", Malformed, |_| with_first(0xF4, packet(0xF0, &[]))),
    case("type 15", "2.2.1, table 2.1", "", Malformed, |_| with_first(0xF0, packet(0xE0, &[]))),
    case("type 0", "2.2.1, table 2.1", "2.1.2, table 2-1", Malformed, |_| with_first(0x00, packet(0xC0, &[]))),
    case("type 0 with flags", "2.2.1, table 2.1", "2.1.2, table 2-1", Malformed, |_| {
        with_first(0x02, packet(0xC0, &[]))
    }),
    case("PINGREQ with a body", "3.12.1", "3.12.1", Malformed, |_| [packet(0xC0, &[&[0]]), packet(0xC0, &[])]),
    case("PINGRESP with a body", "3.13.1", "3.13.1", Malformed, |_| [packet(0xD0, &[&[0]]), packet(0xD0, &[])]),
    case("PUBLISH without a body", "3.3.2.1", "3.3.2.1", Malformed, |v| {
        [packet(0x30, &[]), publish::publish(v, 0x30, "a", &[])]
    }),
];

#[test]
fn a_remaining_length_has_four_bytes_at_most() {
    for bytes in
        [&[0x30, 0x80, 0x80, 0x80, 0x80][..], &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F], &[0x30, 0x80, 0x80, 0x80, 0x80, 0]]
    {
        let error = Frame::split(bytes, u32::MAX).unwrap_err();
        assert!(matches!(error, DecodeError::Malformed(_)), "{bytes:02x?}: {error:?}");
    }
    for bytes in
        [&[0x30][..], &[0x30, 0x80], &[0x30, 0x80, 0x80], &[0x30, 0x80, 0x80, 0x80], &[0x30, 0xFF, 0xFF, 0xFF, 0x7F]]
    {
        assert_eq!(Frame::split(bytes, u32::MAX), Ok(None), "{bytes:02x?}");
    }
}

/// Table 2.4 of 3.1.1 and table 1-1 of 5.0: where the remaining length gets longer.
#[test]
fn remaining_lengths_of_the_tables() {
    for (length, bytes) in [
        (0, &[0x00][..]),
        (127, &[0x7F]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xFF, 0x7F]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xFF, 0xFF, 0x7F]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
        (268_435_455, &[0xFF, 0xFF, 0xFF, 0x7F]),
    ] {
        let header = [&[0x30], bytes].concat();
        let sizes = (header.len(), header.len() + length);
        assert_eq!(Frame::measure(&header, u32::MAX), Ok(Some(sizes)), "{length}");
        let mut written = Vec::new();
        mqtt_wire::frame::encode_header(0x30, length, &mut written).unwrap();
        assert_eq!(written, header);
    }
    let mut written = vec![7];
    assert!(mqtt_wire::frame::encode_header(0x30, 268_435_456, &mut written).is_err());
    assert_eq!(written, [7]);
}

/// A packet type that is reserved is refused at its first byte, before its length has arrived.
#[test]
fn type_0_is_refused_at_once() {
    assert!(matches!(Frame::split(&[0x00], u32::MAX), Err(DecodeError::Malformed(_))));
}

/// Each of the 256 first bytes is either the one that its type demands, or any of PUBLISH.
#[test]
fn only_seventeen_first_bytes_but_those_of_publish_are_valid() {
    let valid = |v5: bool| {
        let mut valid = vec![0x10, 0x20, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0];
        if v5 {
            valid.push(0xF0);
        }
        valid
    };
    for version in [Version::V311, Version::V5] {
        for first in (0x10..=0xFF_u8).filter(|first| first >> 4 != 3) {
            let bytes = [first, 0];
            let frame = Frame::split(&bytes, u32::MAX).unwrap().unwrap();
            let flags_refused = match Packet::decode(&frame, version) {
                Err(DecodeError::Malformed(reason)) => reason.contains("flags") || reason.contains("type 15"),
                _ => false,
            };
            assert_eq!(flags_refused, !valid(version == Version::V5).contains(&first), "{version:?} {first:#04x}");
        }
    }
}
