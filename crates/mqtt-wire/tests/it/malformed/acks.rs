//! Sections 3.4 to 3.7, 3.14 and 3.15: the acknowledgements, DISCONNECT and AUTH.

use mqtt_wire::{DecodeError, PacketType, Version};

use super::Class::{Malformed, Protocol};
use super::{Case, case, decode, packet};
use crate::table::reason_codes;

const ID: [u8; 2] = [0, 9];
const ZERO: [u8; 2] = [0, 0];
/// A reason string: the one property that all of these may have.
const REASON: [u8; 4] = [0x1F, 0, 1, b'r'];
/// An authentication method.
const METHOD: [u8; 4] = [0x15, 0, 1, b'm'];

pub(super) const CASES: &[Case] = &[
    case("PUBACK, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-5", Protocol, |_| {
        [packet(0x40, &[&ZERO]), packet(0x40, &[&ID])]
    }),
    case("PUBREC, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-5", Protocol, |_| {
        [packet(0x50, &[&ZERO]), packet(0x50, &[&ID])]
    }),
    case("PUBREL, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-5", Protocol, |_| {
        [packet(0x62, &[&ZERO]), packet(0x62, &[&ID])]
    }),
    case("PUBCOMP, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-5", Protocol, |_| {
        [packet(0x70, &[&ZERO]), packet(0x70, &[&ID])]
    }),
    case("PUBACK without packet identifier", "3.4.2", "3.4.2", Malformed, |_| {
        [packet(0x40, &[]), packet(0x40, &[&ID])]
    }),
    case("PUBREL, half a packet identifier", "3.6.2", "3.6.2", Malformed, |_| {
        [packet(0x62, &[&[0]]), packet(0x62, &[&ID])]
    }),
    case("PUBACK with a reason code before 5.0", "3.4.2", "", Malformed, |_| {
        [packet(0x40, &[&ID, &[0]]), packet(0x40, &[&ID])]
    }),
    case("PUBCOMP with a payload before 5.0", "3.7.3", "", Malformed, |_| {
        [packet(0x70, &[&ID, &[0, 0]]), packet(0x70, &[&ID])]
    }),
    case("PUBACK, bytes after its end", "", "3.4.3", Malformed, |_| {
        [packet(0x40, &[&ID, &[0, 0, 0]]), packet(0x40, &[&ID, &[0, 0]])]
    }),
    case("PUBREC, a property length beyond the end", "", "3.5.2.2.1", Malformed, |_| {
        [packet(0x50, &[&ID, &[0, 5], &REASON]), packet(0x50, &[&ID, &[0, 4], &REASON])]
    }),
    case("PUBREL, a property length short of the end", "", "3.6.2.2.1", Malformed, |_| {
        [packet(0x62, &[&ID, &[0, 3], &REASON]), packet(0x62, &[&ID, &[0, 4], &REASON])]
    }),
    case("PUBCOMP, two reason strings", "", "3.7.2.2.2", Protocol, |_| {
        [packet(0x70, &[&ID, &[0, 8], &REASON, &REASON]), packet(0x70, &[&ID, &[0, 4], &REASON])]
    }),
    case("DISCONNECT with a body before 5.0", "3.14.2", "", Malformed, |_| [packet(0xE0, &[&[0]]), packet(0xE0, &[])]),
    case("DISCONNECT, bytes after its end", "", "3.14.3", Malformed, |_| {
        [packet(0xE0, &[&[0, 0, 0]]), packet(0xE0, &[&[0, 0]])]
    }),
    case("DISCONNECT, two reason strings", "", "3.14.2.2.3", Protocol, |_| {
        [packet(0xE0, &[&[0, 8], &REASON, &REASON]), packet(0xE0, &[&[0, 4], &REASON])]
    }),
    case("DISCONNECT, a receive maximum", "", "2.2.2.2, table 2-4", Protocol, |_| {
        [packet(0xE0, &[&[0, 3, 0x21, 0, 1]]), packet(0xE0, &[&[0, 5, 0x11, 0, 0, 0, 1]])]
    }),
    case("AUTH without a method", "", "3.15.2.2.2", Protocol, |_| {
        [packet(0xF0, &[&[0x18, 0]]), packet(0xF0, &[&[0x18, 4], &METHOD])]
    }),
    case("AUTH, a reason string and no method", "", "3.15.2.2.2", Protocol, |_| {
        [packet(0xF0, &[&[0, 4], &REASON]), packet(0xF0, &[&[0, 8], &REASON, &METHOD])]
    }),
    case("AUTH, two methods", "", "3.15.2.2.2", Protocol, |_| {
        [packet(0xF0, &[&[0x18, 8], &METHOD, &METHOD]), packet(0xF0, &[&[0x18, 4], &METHOD])]
    }),
    case("AUTH, bytes after its end", "", "3.15.3", Malformed, |_| {
        [packet(0xF0, &[&[0x19, 4], &METHOD, &[0]]), packet(0xF0, &[&[0x19, 4], &METHOD])]
    }),
];

/// The tables of reason codes, all 256 values of each.
#[test]
fn reason_codes_are_those_of_the_tables() {
    for (packet_type, first, head) in [
        (PacketType::PubAck, 0x40, &ID[..]),
        (PacketType::PubRec, 0x50, &ID),
        (PacketType::PubRel, 0x62, &ID),
        (PacketType::PubComp, 0x70, &ID),
        (PacketType::Disconnect, 0xE0, &[]),
    ] {
        for code in 0..=255 {
            let bytes = packet(first, &[head, &[code]]);
            let result = decode(&bytes, Version::V5);
            let valid = reason_codes(packet_type).contains(&code);
            let refused = matches!(result, Err(DecodeError::Protocol(_)));
            assert_eq!((result.is_ok(), refused), (valid, !valid), "{packet_type:?} {code:#04x}: {result:?}");
        }
    }
    for code in 0..=255 {
        let result = decode(&packet(0xF0, &[&[code, 4], &METHOD]), Version::V5);
        assert_eq!(result.is_ok(), reason_codes(PacketType::Auth).contains(&code), "AUTH {code:#04x}: {result:?}");
    }
}

/// Sections 3.4.2.1, 3.14.2.1 and 3.15.2.1: what may be left out means success, or nothing.
#[test]
fn short_forms_are_valid() {
    for bytes in [
        packet(0x40, &[&ID]),
        packet(0x50, &[&ID, &[0x10]]),
        packet(0x62, &[&ID, &[0x92]]),
        packet(0x70, &[&ID, &[0x00, 0x00]]),
        packet(0xE0, &[]),
        packet(0xE0, &[&[0x04]]),
        packet(0xE0, &[&[0x00, 0x00]]),
        packet(0xF0, &[]),
    ] {
        assert_eq!(decode(&bytes, Version::V5), Ok(()), "{bytes:02x?}");
    }
}
