//! Sections 3.8 to 3.11: SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK.

use mqtt_wire::{DecodeError, PacketType, Version};

use super::Class::{Malformed, Protocol, TopicFilter};
use super::{Case, case, decode, none, packet, properties, text};
use crate::table::reason_codes;

const ID: [u8; 2] = [0, 7];

/// SUBSCRIBE to one filter.
fn subscribe(version: Version, filter: &str, options: u8) -> Vec<u8> {
    packet(0x82, &[&ID, &none(version), &text(filter), &[options]])
}

fn unsubscribe(version: Version, filter: &str) -> Vec<u8> {
    packet(0xA2, &[&ID, &none(version), &text(filter)])
}

/// SUBSCRIBE with nothing special.
pub(super) fn simple(version: Version) -> Vec<u8> {
    subscribe(version, "a/+", 1)
}

fn suback(version: Version, codes: &[u8]) -> Vec<u8> {
    packet(0x90, &[&ID, &none(version), codes])
}

fn unsuback(version: Version) -> Vec<u8> {
    let codes: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    packet(0xB0, &[&ID, &none(version), codes])
}

pub(super) const CASES: &[Case] = &[
    case("packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-3", Protocol, |v| {
        [packet(0x82, &[&[0, 0], &none(v), &text("a"), &[0]]), packet(0x82, &[&[0, 1], &none(v), &text("a"), &[0]])]
    }),
    case("no filter", "MQTT-3.8.3-3", "MQTT-3.8.3-2", Protocol, |v| [packet(0x82, &[&ID, &none(v)]), simple(v)]),
    case("a filter without options", "MQTT-3.8.3-3", "MQTT-3.8.3-2", Malformed, |v| {
        [packet(0x82, &[&ID, &none(v), &text("a")]), subscribe(v, "a", 0)]
    }),
    case("a second filter without options", "MQTT-3.8.3-3", "MQTT-3.8.3-2", Malformed, |v| {
        let one = [&ID[..], &none(v), &text("a"), &[0], &text("b")].concat();
        [packet(0x82, &[&one]), packet(0x82, &[&one, &[2]])]
    }),
    case("a filter that ends early", "3.8.3", "3.8.3", Malformed, |v| {
        [packet(0x82, &[&ID, &none(v), &[0, 5], b"ab", &[0]]), packet(0x82, &[&ID, &none(v), &[0, 2], b"ab", &[0]])]
    }),
    case("QoS 3", "MQTT-3-8.3-4", "3.8.3.1", Protocol, |v| [subscribe(v, "a", 3), subscribe(v, "a", 2)]),
    case("reserved option 0x80", "MQTT-3-8.3-4", "MQTT-3.8.3-5", Malformed, |v| {
        [subscribe(v, "a", 0x80), subscribe(v, "a", 0)]
    }),
    case("reserved option 0x40", "MQTT-3-8.3-4", "MQTT-3.8.3-5", Malformed, |v| {
        [subscribe(v, "a", 0x41), subscribe(v, "a", 1)]
    }),
    case("No Local before 5.0", "MQTT-3-8.3-4", "", Malformed, |v| [subscribe(v, "a", 0x04), subscribe(v, "a", 0)]),
    case("Retain As Published before 5.0", "MQTT-3-8.3-4", "", Malformed, |v| {
        [subscribe(v, "a", 0x0A), subscribe(v, "a", 2)]
    }),
    case("Retain Handling before 5.0", "MQTT-3-8.3-4", "", Malformed, |v| {
        [subscribe(v, "a", 0x10), subscribe(v, "a", 0)]
    }),
    case("Retain Handling 3", "", "3.8.3.1", Protocol, |v| [subscribe(v, "a", 0x30), subscribe(v, "a", 0x2E)]),
    case("No Local and shared", "", "MQTT-3.8.3-4", Protocol, |v| {
        [subscribe(v, "$share/g/a", 0x04), subscribe(v, "$share/g/a", 0x08)]
    }),
    case("empty filter", "MQTT-4.7.3-1", "MQTT-4.7.3-1", TopicFilter, |v| [subscribe(v, "", 0), subscribe(v, "/", 0)]),
    case("empty second filter", "MQTT-4.7.3-1", "MQTT-4.7.3-1", TopicFilter, |v| {
        let two = |second: &str| packet(0x82, &[&ID, &none(v), &text("a"), &[0], &text(second), &[0]]);
        [two(""), two("b")]
    }),
    case("'#' before the last level", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| {
        [subscribe(v, "sport/tennis/#/ranking", 0), subscribe(v, "sport/tennis/+/ranking", 0)]
    }),
    case("'#' beside a letter", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| {
        [subscribe(v, "sport/tennis#", 0), subscribe(v, "sport/tennis/#", 0)]
    }),
    case("a letter after '#'", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| {
        [subscribe(v, "a/#b", 0), subscribe(v, "a/#", 0)]
    }),
    case("'#' twice", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| [subscribe(v, "##", 0), subscribe(v, "#", 0)]),
    case("'#/'", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| [subscribe(v, "#/", 0), subscribe(v, "+/", 0)]),
    case("a letter before '+'", "MQTT-4.7.1-3", "MQTT-4.7.1-2", TopicFilter, |v| {
        [subscribe(v, "sport+", 0), subscribe(v, "sport/+", 0)]
    }),
    case("a letter after '+'", "MQTT-4.7.1-3", "MQTT-4.7.1-2", TopicFilter, |v| {
        [subscribe(v, "a/+b/c", 0), subscribe(v, "a/+/c", 0)]
    }),
    case("'+' twice", "MQTT-4.7.1-3", "MQTT-4.7.1-2", TopicFilter, |v| [subscribe(v, "++", 0), subscribe(v, "+/+", 0)]),
    case("'+#'", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| [subscribe(v, "+#", 0), subscribe(v, "+/#", 0)]),
    case("empty share name", "", "MQTT-4.8.2-1", TopicFilter, |v| {
        [subscribe(v, "$share//a", 0), subscribe(v, "$share/g/a", 0)]
    }),
    case("wildcard in the share name", "", "MQTT-4.8.2-2", TopicFilter, |v| {
        [subscribe(v, "$share/+/a", 0), subscribe(v, "$share/g/+", 0)]
    }),
    case("share name without filter", "", "MQTT-4.8.2-2", TopicFilter, |v| {
        [subscribe(v, "$share/g", 0), subscribe(v, "$share/g/a", 0)]
    }),
    case("share name and an empty filter", "", "MQTT-4.8.2-2", TopicFilter, |v| {
        [subscribe(v, "$share/g/", 0), subscribe(v, "$share/g//", 0)]
    }),
    case("subscription identifier 0", "", "3.8.2.1.2", Protocol, |v| {
        let with = |list: &[u8]| packet(0x82, &[&ID, &properties(v, list), &text("a"), &[0]]);
        [with(&[0x0B, 0]), with(&[0x0B, 1])]
    }),
    case("two subscription identifiers", "", "3.8.2.1.2", Protocol, |v| {
        let with = |list: &[u8]| packet(0x82, &[&ID, &properties(v, list), &text("a"), &[0]]);
        [with(&[0x0B, 1, 0x0B, 2]), with(&[0x0B, 1])]
    }),
    case("SUBACK, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-5", Protocol, |v| {
        [packet(0x90, &[&[0, 0], &none(v), &[0]]), suback(v, &[0])]
    }),
    case("SUBACK without a code", "3.9.3", "MQTT-3.8.4-6", Protocol, |v| [suback(v, &[]), suback(v, &[0])]),
    case("SUBACK, code 3", "MQTT-3.9.3-2", "3.9.3", Protocol, |v| [suback(v, &[0, 3]), suback(v, &[0, 2])]),
    case("SUBACK, code 0x7F", "MQTT-3.9.3-2", "3.9.3", Protocol, |v| [suback(v, &[0x7F]), suback(v, &[0x80])]),
    case("SUBACK, a code of 5.0", "MQTT-3.9.3-2", "", Protocol, |v| [suback(v, &[0x87]), suback(v, &[0x80])]),
    case("UNSUBSCRIBE, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-3", Protocol, |v| {
        [packet(0xA2, &[&[0, 0], &none(v), &text("a")]), unsubscribe(v, "a")]
    }),
    case("UNSUBSCRIBE without a filter", "MQTT-3.10.3-2", "MQTT-3.10.3-2", Protocol, |v| {
        [packet(0xA2, &[&ID, &none(v)]), unsubscribe(v, "a")]
    }),
    case("UNSUBSCRIBE, empty filter", "MQTT-4.7.3-1", "MQTT-4.7.3-1", TopicFilter, |v| {
        [unsubscribe(v, ""), unsubscribe(v, "/")]
    }),
    case("UNSUBSCRIBE, '#' before the end", "MQTT-4.7.1-2", "MQTT-4.7.1-1", TopicFilter, |v| {
        [unsubscribe(v, "#/a"), unsubscribe(v, "+/a")]
    }),
    case("UNSUBSCRIBE, half a filter", "3.10.3", "3.10.3", Malformed, |v| {
        [packet(0xA2, &[&ID, &none(v), &[0, 2, b'a']]), packet(0xA2, &[&ID, &none(v), &[0, 1, b'a']])]
    }),
    case("UNSUBACK, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-6", Protocol, |v| {
        let mut bytes = unsuback(v);
        bytes[3] = 0;
        [bytes, unsuback(v)]
    }),
    case("UNSUBACK with a payload", "3.11.3", "", Malformed, |v| [packet(0xB0, &[&ID, &[0]]), unsuback(v)]),
    case("UNSUBACK without a code", "", "MQTT-3.11.3-1", Protocol, |v| [packet(0xB0, &[&ID, &[0]]), unsuback(v)]),
];

/// Tables 3-8 and 3-9 of 5.0, and 3.1.1 section 3.9.3.
#[test]
fn reason_codes_of_suback_and_unsuback() {
    for code in 0..=255 {
        let check = |version, bytes: &[u8], valid: bool| {
            let result = decode(bytes, version);
            let refused = matches!(result, Err(DecodeError::Protocol(_)));
            assert_eq!((result.is_ok(), refused), (valid, !valid), "{version:?} {bytes:02x?}: {result:?}");
        };
        let of = |packet| reason_codes(packet).contains(&code);
        check(Version::V5, &suback(Version::V5, &[0, code]), of(PacketType::SubAck));
        check(Version::V311, &suback(Version::V311, &[0, code]), [0, 1, 2, 0x80].contains(&code));
        check(Version::V5, &packet(0xB0, &[&ID, &[0, code, 0]]), of(PacketType::UnsubAck));
    }
}
