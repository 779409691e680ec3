//! Section 1.5.4 (1.5.3 of 3.1.1): every text of every packet is well-formed UTF-8 without U+0000.

use mqtt_wire::{DecodeError, Version};

use super::Class::Malformed;
use super::{Case, case, decode, none, packet, properties, text};
use crate::owned::prefixed;

/// The name of a field, and the packet that has it.
type Field = (&'static str, fn(Version, &[u8]) -> Vec<u8>);

/// PUBLISH with these bytes as topic name.
fn topic(version: Version, bytes: &[u8]) -> Vec<u8> {
    packet(0x30, &[&prefixed(bytes), &none(version), b"payload"])
}

pub(super) const CASES: &[Case] = &[
    case("U+0000", "MQTT-1.5.3-2", "MQTT-1.5.4-2", Malformed, |v| [topic(v, b"a\0"), topic(v, b"a\x01")]),
    case("U+0000 alone", "MQTT-1.5.3-2", "MQTT-1.5.4-2", Malformed, |v| [topic(v, b"\0"), topic(v, b" ")]),
    case("U+0000 in two bytes", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xC0, 0x80]), topic(v, &[0xC2, 0x80])]
    }),
    case("a lone continuation byte", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[b'a', 0x80]), topic(v, &[b'a', 0xC2, 0x80])]
    }),
    case("a character that ends early", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xE2, 0x82]), topic(v, &[0xE2, 0x82, 0xAC])]
    }),
    case("'/' in an overlong form", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xC0, 0xAF]), topic(v, b"/")]
    }),
    case("'#' in an overlong form", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xE0, 0x80, 0xA3]), topic(v, &[0xE0, 0xA0, 0x80])]
    }),
    case("surrogate U+D800", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xED, 0xA0, 0x80]), topic(v, &[0xED, 0x9F, 0xBF])]
    }),
    case("surrogate U+DFFF", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xED, 0xBF, 0xBF]), topic(v, &[0xEE, 0x80, 0x80])]
    }),
    case("a pair of surrogates", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]), topic(v, &[0xF0, 0x9F, 0x98, 0x80])]
    }),
    case("beyond U+10FFFF", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xF4, 0x90, 0x80, 0x80]), topic(v, &[0xF4, 0x8F, 0xBF, 0xBF])]
    }),
    case("five bytes for one character", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| {
        [topic(v, &[0xF8, 0x88, 0x80, 0x80, 0x80]), topic(v, &[0xF0, 0x90, 0x80, 0x80])]
    }),
    case("byte 0xFF", "MQTT-1.5.3-1", "MQTT-1.5.4-1", Malformed, |v| [topic(v, &[0xFF]), topic(v, &[0x7F])]),
];

/// U+FEFF is a character like any other (MQTT-1.5.3-3, MQTT-1.5.4-3), and so are control characters and those that
/// Unicode calls non-characters: they should not, but may, be used.
#[test]
fn unusual_characters_stay() {
    for name in ["\u{FEFF}", "\u{FEFF}a", "\u{1}", "\u{1F}", "\u{7F}", "\u{9F}", "\u{FFFE}", "\u{FFFF}"] {
        let bytes = topic(Version::V311, name.as_bytes());
        let frame = mqtt_wire::Frame::split(&bytes, u32::MAX).unwrap().unwrap();
        assert_eq!(mqtt_wire::Publish::decode(&frame, Version::V311).unwrap().topic, name);
    }
}

/// The statement holds for each text of each packet, not for topic names only (MQTT-3.1.3-4, -11 and -12, MQTT-3.8.3-1,
/// MQTT-3.10.3-1, MQTT-1.5.7-1 and so on).
#[test]
fn every_text_field_is_checked() {
    let fields: [Field; 7] = [
        ("client identifier", |v, field| packet(0x10, &[&text("MQTT"), &[v.level(), 2, 0, 0], &none(v), field])),
        ("will topic", |v, field| {
            let id = text("id");
            packet(0x10, &[&text("MQTT"), &[v.level(), 6, 0, 0], &none(v), &id, &none(v), field, &text("gone")])
        }),
        ("user name", |v, field| {
            packet(0x10, &[&text("MQTT"), &[v.level(), 0x82, 0, 0], &none(v), &text("id"), field])
        }),
        ("topic name", |v, field| packet(0x30, &[field, &none(v)])),
        ("topic filter of SUBSCRIBE", |v, field| packet(0x82, &[&[0, 1], &none(v), field, &[0]])),
        ("topic filter of UNSUBSCRIBE", |v, field| packet(0xA2, &[&[0, 1], &none(v), field])),
        ("second topic filter", |v, field| packet(0xA2, &[&[0, 1], &none(v), &text("a"), field])),
    ];
    for version in [Version::V311, Version::V5] {
        for (name, with) in fields {
            check(name, version, |field| with(version, field));
        }
    }
}

/// Passwords, will payloads, correlation data and authentication data are bytes: anything goes.
#[test]
fn binary_fields_are_not_checked() {
    let bytes = prefixed(&[0, 0xFF, 0xC0, 0x80]);
    for v in [Version::V311, Version::V5] {
        let head = [&text("MQTT")[..], &[v.level(), 0xC6, 0, 0], &none(v), &text("id"), &none(v), &text("t")].concat();
        assert_eq!(decode(&packet(0x10, &[&head, &bytes, &text("u"), &bytes]), v), Ok(()));
    }
    let list = [&[0x09], &bytes[..]].concat();
    assert_eq!(decode(&packet(0x30, &[&text("t"), &properties(Version::V5, &list)]), Version::V5), Ok(()));
    let list = [&[0x15, 0, 1, b'm', 0x16], &bytes[..]].concat();
    assert_eq!(decode(&packet(0xF0, &[&[0x18], &properties(Version::V5, &list)]), Version::V5), Ok(()));
}

/// Checks that a text field is refused for its characters and accepted without them.
pub(super) fn check(name: &str, version: Version, with: impl Fn(&[u8]) -> Vec<u8>) {
    for bad in [&b"a\0"[..], &[0xC0, 0x80], &[0xED, 0xA0, 0x80], &[b'a', 0xFF], &[0xE2, 0x82]] {
        let result = decode(&with(&prefixed(bad)), version);
        assert!(matches!(result, Err(DecodeError::Malformed(_))), "{version:?} {name} {bad:02x?}: {result:?}");
    }
    for good in ["a", "größe", "\u{10FFFF}"] {
        assert_eq!(decode(&with(&text(good)), version), Ok(()), "{version:?} {name} {good}");
    }
}
