//! Sections 3.1 and 3.2: CONNECT and CONNACK.

use mqtt_wire::Version;

use super::Class::{Malformed, Protocol, TopicName, Version as WrongVersion};
use super::{Case, case, none, packet, properties, text};

/// CONNECT with these flags, and the payload that belongs to them.
fn connect(version: Version, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    with_header(&text("MQTT"), version.level(), version, flags, payload)
}

fn with_header(name: &[u8], level: u8, version: Version, flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[name, &[level, flags, 0, 60], &none(version), &payload.concat()])
}

/// CONNECT with nothing optional.
pub(super) fn simple(version: Version) -> Vec<u8> {
    connect(version, 0x02, &[&text("id")])
}

/// CONNECT with a will of this topic.
fn with_will(version: Version, flags: u8, topic: &[u8]) -> Vec<u8> {
    connect(version, flags, &[&text("id"), &none(version), topic, &text("gone")])
}

fn connack(version: Version, flags: u8, code: u8) -> Vec<u8> {
    packet(0x20, &[&[flags, code], &none(version)])
}

fn failure(version: Version) -> u8 {
    if version == Version::V5 { 0x87 } else { 5 }
}

pub(super) const CASES: &[Case] = &[
    case("protocol name MQIsdp", "MQTT-3.1.2-1", "MQTT-3.1.2-1", WrongVersion, |v| {
        [with_header(&text("MQIsdp"), v.level(), v, 2, &[&text("id")]), simple(v)]
    }),
    case("protocol name in lower case", "MQTT-3.1.2-1", "MQTT-3.1.2-1", WrongVersion, |v| {
        [with_header(&text("mqtt"), v.level(), v, 2, &[&text("id")]), simple(v)]
    }),
    case("empty protocol name", "MQTT-3.1.2-1", "MQTT-3.1.2-1", WrongVersion, |v| {
        [with_header(&text(""), v.level(), v, 2, &[&text("id")]), simple(v)]
    }),
    case("HTTP in its place", "MQTT-3.1.2-1", "MQTT-3.1.2-1", WrongVersion, |v| {
        [with_header(&text("HTTP/1.1"), v.level(), v, 2, &[&text("id")]), simple(v)]
    }),
    case("level 0", "MQTT-3.1.2-2", "MQTT-3.1.2-2", WrongVersion, |v| {
        [with_header(&text("MQTT"), 0, v, 2, &[&text("id")]), simple(v)]
    }),
    case("level 3 with the name of level 4", "MQTT-3.1.2-2", "MQTT-3.1.2-2", WrongVersion, |v| {
        [with_header(&text("MQTT"), 3, v, 2, &[&text("id")]), simple(v)]
    }),
    case("level 6", "MQTT-3.1.2-2", "MQTT-3.1.2-2", WrongVersion, |v| {
        [with_header(&text("MQTT"), 6, v, 2, &[&text("id")]), simple(v)]
    }),
    case("reserved connect flag", "MQTT-3.1.2-3", "MQTT-3.1.2-3", Malformed, |v| {
        [connect(v, 0x03, &[&text("id")]), simple(v)]
    }),
    case("will QoS 1 without a will", "MQTT-3.1.2-13", "MQTT-3.1.2-11", Malformed, |v| {
        [connect(v, 0x0A, &[&text("id")]), simple(v)]
    }),
    case("will QoS 2 without a will", "MQTT-3.1.2-13", "MQTT-3.1.2-11", Malformed, |v| {
        [connect(v, 0x12, &[&text("id")]), simple(v)]
    }),
    case("will retain without a will", "MQTT-3.1.2-15", "MQTT-3.1.2-13", Malformed, |v| {
        [connect(v, 0x22, &[&text("id")]), simple(v)]
    }),
    case("will QoS 3", "MQTT-3.1.2-14", "MQTT-3.1.2-12", Malformed, |v| {
        [with_will(v, 0x1E, &text("t")), with_will(v, 0x16, &text("t"))]
    }),
    case("no client identifier", "MQTT-3.1.3-3", "MQTT-3.1.3-3", Malformed, |v| [connect(v, 2, &[]), simple(v)]),
    case("will flag, and no will", "MQTT-3.1.2-9", "MQTT-3.1.2-9", Malformed, |v| {
        [connect(v, 0x06, &[&text("id")]), with_will(v, 0x06, &text("t"))]
    }),
    case("will flag, and a will topic only", "MQTT-3.1.2-9", "MQTT-3.1.2-9", Malformed, |v| {
        [connect(v, 0x06, &[&text("id"), &none(v), &text("t")]), with_will(v, 0x06, &text("t"))]
    }),
    case("a will, and no will flag", "3.1.3", "3.1.3", Malformed, |v| {
        [with_will(v, 0x02, &text("t")), with_will(v, 0x06, &text("t"))]
    }),
    case("empty will topic", "MQTT-4.7.3-1", "MQTT-4.7.3-1", TopicName, |v| {
        [with_will(v, 0x06, &text("")), with_will(v, 0x06, &text("t"))]
    }),
    case("'#' in the will topic", "MQTT-3.3.2-2", "MQTT-3.3.2-2", TopicName, |v| {
        [with_will(v, 0x06, &text("t/#")), with_will(v, 0x06, &text("t/"))]
    }),
    case("'+' in the will topic", "MQTT-3.3.2-2", "MQTT-3.3.2-2", TopicName, |v| {
        [with_will(v, 0x06, &text("+")), with_will(v, 0x06, &text("$"))]
    }),
    case("user name flag, and none", "MQTT-3.1.2-19", "MQTT-3.1.2-17", Malformed, |v| {
        [connect(v, 0x82, &[&text("id")]), connect(v, 0x82, &[&text("id"), &text("u")])]
    }),
    case("a user name, and no flag", "MQTT-3.1.2-18", "MQTT-3.1.2-16", Malformed, |v| {
        [connect(v, 0x02, &[&text("id"), &text("u")]), connect(v, 0x82, &[&text("id"), &text("u")])]
    }),
    case("password flag, and none", "MQTT-3.1.2-21", "MQTT-3.1.2-19", Malformed, |v| {
        let user = [&text("id")[..], &text("u")].concat();
        [connect(v, 0xC2, &[&user]), connect(v, 0xC2, &[&user, &text("p")])]
    }),
    case("a password, and no flag", "MQTT-3.1.2-20", "MQTT-3.1.2-18", Malformed, |v| {
        let login = [&text("id")[..], &text("u"), &text("p")].concat();
        [connect(v, 0x82, &[&login]), connect(v, 0xC2, &[&login])]
    }),
    case("password without user name", "MQTT-3.1.2-22", "", Malformed, |v| {
        [connect(v, 0x42, &[&text("id"), &text("p")]), connect(v, 0xC2, &[&text("id"), &text("u"), &text("p")])]
    }),
    case("bytes after the payload", "3.1.3", "3.1.3", Malformed, |v| {
        [connect(v, 0x02, &[&text("id"), &[0]]), simple(v)]
    }),
    case("a client identifier that ends early", "3.1.3", "3.1.3", Malformed, |v| {
        [connect(v, 0x02, &[&[0, 3], b"id"]), connect(v, 0x02, &[&[0, 2], b"id"])]
    }),
    case("a password that ends early", "3.1.3.5", "3.1.3.6", Malformed, |v| {
        let user = [&text("id")[..], &text("u")].concat();
        [connect(v, 0xC2, &[&user, &[0xFF, 0xFF, 1]]), connect(v, 0xC2, &[&user, &[0, 1, 0xFF]])]
    }),
    case("nothing after the flags", "3.1.2.10", "3.1.2.10", Malformed, |v| {
        [packet(0x10, &[&text("MQTT"), &[v.level(), 2]]), simple(v)]
    }),
    case("no property length", "", "MQTT-2.2.2-1", Malformed, |v| {
        [packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60]]), simple(v)]
    }),
    case("no will property length", "", "MQTT-2.2.2-1", Malformed, |v| {
        [connect(v, 0x06, &[&text("id"), &text("topic"), &text("gone")]), with_will(v, 0x06, &text("topic"))]
    }),
    case("authentication data without a method", "", "3.1.2.11.10", Protocol, |v| {
        let with = |list: &[u8]| packet(0x10, &[&text("MQTT"), &[5, 2, 0, 60], &properties(v, list), &text("id")]);
        [with(&[0x16, 0, 1, 7]), with(&[0x16, 0, 1, 7, 0x15, 0, 1, b'm'])]
    }),
    case("CONNACK, reserved flag 2", "3.2.2.1", "MQTT-3.2.2-1", Malformed, |v| [connack(v, 2, 0), connack(v, 0, 0)]),
    case("CONNACK, reserved flag 128", "3.2.2.1", "MQTT-3.2.2-1", Malformed, |v| {
        [connack(v, 0x81, 0), connack(v, 1, 0)]
    }),
    case("CONNACK, a session in a refusal", "MQTT-3.2.2-4", "MQTT-3.2.2-6", Protocol, |v| {
        [connack(v, 1, failure(v)), connack(v, 0, failure(v))]
    }),
    case("CONNACK of one byte", "3.2.2", "3.2.2", Malformed, |v| [packet(0x20, &[&[0]]), connack(v, 0, 0)]),
    case("CONNACK without a body", "3.2.2", "3.2.2", Malformed, |v| [packet(0x20, &[]), connack(v, 0, 0)]),
    case("CONNACK, bytes after its end", "3.2.3", "3.2.3", Malformed, |v| {
        [packet(0x20, &[&[0, 0], &none(v), &[0]]), connack(v, 0, 0)]
    }),
    case("CONNACK without property length", "", "MQTT-2.2.2-1", Malformed, |v| {
        [packet(0x20, &[&[0, 0]]), connack(v, 0, 0)]
    }),
];
