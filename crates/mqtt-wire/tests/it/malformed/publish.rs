//! Section 3.3: PUBLISH.

use mqtt_wire::Version;

use super::Class::{Malformed, Protocol, TopicName};
use super::{Case, case, none, packet, properties, text};

/// PUBLISH with this first byte and, unless empty, packet identifier.
pub(super) fn publish(version: Version, first: u8, topic: &str, id: &[u8]) -> Vec<u8> {
    packet(first, &[&text(topic), id, &none(version), b"payload"])
}

/// PUBLISH of 5.0 with QoS 0 and these properties.
fn with_properties(topic: &str, list: &[u8]) -> Vec<u8> {
    packet(0x30, &[&text(topic), &properties(Version::V5, list), b"payload"])
}

const ID: [u8; 2] = [0, 1];

pub(super) const CASES: &[Case] = &[
    case("QoS 3", "MQTT-3.3.1-4", "MQTT-3.3.1-4", Malformed, |v| {
        [publish(v, 0x36, "a", &ID), publish(v, 0x34, "a", &ID)]
    }),
    case("QoS 3, dup and retain", "MQTT-3.3.1-4", "MQTT-3.3.1-4", Malformed, |v| {
        [publish(v, 0x3F, "a", &ID), publish(v, 0x3D, "a", &ID)]
    }),
    case("dup with QoS 0", "MQTT-3.3.1-2", "MQTT-3.3.1-2", Malformed, |v| {
        [publish(v, 0x38, "a", &[]), publish(v, 0x30, "a", &[])]
    }),
    case("dup and retain with QoS 0", "MQTT-3.3.1-2", "MQTT-3.3.1-2", Malformed, |v| {
        [publish(v, 0x39, "a", &[]), publish(v, 0x31, "a", &[])]
    }),
    case("QoS 1, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-3", Protocol, |v| {
        [publish(v, 0x32, "a", &[0, 0]), publish(v, 0x32, "a", &[0, 1])]
    }),
    case("QoS 2, packet identifier 0", "MQTT-2.3.1-1", "MQTT-2.2.1-3", Protocol, |v| {
        [publish(v, 0x34, "a", &[0, 0]), publish(v, 0x34, "a", &[1, 0])]
    }),
    case("QoS 1, half a packet identifier", "3.3.2.2", "3.3.2.2", Malformed, |v| {
        [packet(0x32, &[&text("a"), &[1]]), packet(0x32, &[&text("a"), &[1, 0], &none(v)])]
    }),
    case("QoS 1, no packet identifier", "3.3.2.2", "3.3.2.2", Malformed, |v| {
        [packet(0x32, &[&text("a")]), packet(0x32, &[&text("a"), &ID, &none(v)])]
    }),
    case("empty topic name", "MQTT-4.7.3-1", "", TopicName, |v| {
        [publish(v, 0x30, "", &[]), publish(v, 0x30, "/", &[])]
    }),
    case("empty topic name without alias", "", "3.3.2.1", Protocol, |_| {
        [with_properties("", &[]), with_properties("", &[0x23, 0, 1])]
    }),
    case("'#' as topic name", "MQTT-3.3.2-2", "MQTT-3.3.2-2", TopicName, |v| {
        [publish(v, 0x30, "#", &[]), publish(v, 0x30, "$", &[])]
    }),
    case("'+' as topic name", "MQTT-3.3.2-2", "MQTT-3.3.2-2", TopicName, |v| {
        [publish(v, 0x30, "+", &[]), publish(v, 0x30, "*", &[])]
    }),
    case("'#' inside a topic name", "MQTT-3.3.2-2", "MQTT-3.3.2-2", TopicName, |v| {
        [publish(v, 0x30, "a/b#c", &[]), publish(v, 0x30, "a/b c", &[])]
    }),
    case("'+' at the end of a topic name", "MQTT-4.7.1-1", "MQTT-4.7.0-1", TopicName, |v| {
        [publish(v, 0x30, "a/+", &[]), publish(v, 0x30, "a/", &[])]
    }),
    case("wildcard in a topic name with alias", "", "MQTT-3.3.2-2", TopicName, |_| {
        [with_properties("a/#", &[0x23, 0, 1]), with_properties("a/", &[0x23, 0, 1])]
    }),
    case("a topic name that ends early", "3.3.2.1", "3.3.2.1", Malformed, |v| {
        [packet(0x30, &[&[0, 9], b"a"]), packet(0x30, &[&[0, 1], b"a", &none(v)])]
    }),
    case("half a topic length", "3.3.2.1", "3.3.2.1", Malformed, |v| {
        [packet(0x30, &[&[0]]), packet(0x30, &[&[0, 1], b"a", &none(v)])]
    }),
    case("no property length", "", "MQTT-2.2.2-1", Malformed, |v| {
        [packet(0x30, &[&text("a")]), packet(0x30, &[&text("a"), &none(v)])]
    }),
    case("a property length beyond the end", "", "2.2.2.1", Malformed, |_| {
        [packet(0x30, &[&text("a"), &[3, 0x01, 0x01]]), packet(0x30, &[&text("a"), &[2, 0x01, 0x01]])]
    }),
    case("a property length of five bytes", "", "1.5.5", Malformed, |_| {
        [packet(0x30, &[&text("a"), &[0x80, 0x80, 0x80, 0x80, 0x00]]), packet(0x30, &[&text("a"), &[0]])]
    }),
    case("a property length in an overlong form", "", "MQTT-1.5.5-1", Malformed, |_| {
        [packet(0x30, &[&text("a"), &[0x82, 0x00, 0x01, 0x01]]), packet(0x30, &[&text("a"), &[0x02, 0x01, 0x01]])]
    }),
    case("topic alias 0", "", "MQTT-3.3.2-8", Protocol, |_| {
        [with_properties("a", &[0x23, 0, 0]), with_properties("a", &[0x23, 0, 1])]
    }),
    case("payload format 2", "", "3.3.2.3.2", Protocol, |_| {
        [with_properties("a", &[0x01, 2]), with_properties("a", &[0x01, 1])]
    }),
    case("subscription identifier 0", "", "3.3.2.3.8", Protocol, |_| {
        [with_properties("a", &[0x0B, 0]), with_properties("a", &[0x0B, 1])]
    }),
    case("subscription identifier of five bytes", "", "1.5.5", Malformed, |_| {
        [
            with_properties("a", &[0x0B, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]),
            with_properties("a", &[0x0B, 0xFF, 0xFF, 0xFF, 0x7F]),
        ]
    }),
    case("subscription identifier in an overlong form", "", "MQTT-1.5.5-1", Malformed, |_| {
        [with_properties("a", &[0x0B, 0x81, 0x00]), with_properties("a", &[0x0B, 0x01])]
    }),
    case("'#' in the response topic", "", "MQTT-3.3.2-14", Protocol, |_| {
        [with_properties("a", &[0x08, 0, 1, b'#']), with_properties("a", &[0x08, 0, 1, b'b'])]
    }),
    case("'+' in the response topic", "", "MQTT-3.3.2-14", Protocol, |_| {
        [with_properties("a", &[0x08, 0, 3, b'b', b'/', b'+']), with_properties("a", &[0x08, 0, 2, b'b', b'/'])]
    }),
    case("empty response topic", "", "MQTT-4.7.3-1", Protocol, |_| {
        [with_properties("a", &[0x08, 0, 0]), with_properties("a", &[0x08, 0, 1, b'/'])]
    }),
    case("two topic aliases", "", "3.3.2.3.4", Protocol, |_| {
        [with_properties("a", &[0x23, 0, 1, 0x23, 0, 1]), with_properties("a", &[0x23, 0, 1])]
    }),
    case("two expiry intervals", "", "3.3.2.3.3", Protocol, |_| {
        [
            with_properties("a", &[2, 0, 0, 0, 1, 2, 0, 0, 0, 1]),
            with_properties("a", &[2, 0, 0, 0, 1, 0x0B, 1, 0x0B, 1]),
        ]
    }),
    case("a property identifier that is none", "", "2.2.2.2", Malformed, |_| {
        [with_properties("a", &[0x04, 0]), with_properties("a", &[0x01, 0])]
    }),
    case("property identifier 0", "", "2.2.2.2", Malformed, |_| {
        [with_properties("a", &[0x00]), with_properties("a", &[])]
    }),
    case("a property identifier of two bytes", "", "2.2.2.2", Malformed, |_| {
        [with_properties("a", &[0x81, 0x01, 0]), with_properties("a", &[0x01, 0])]
    }),
    case("a property identifier in an overlong form", "", "MQTT-1.5.5-1", Malformed, |_| {
        [with_properties("a", &[0x81, 0x00, 0]), with_properties("a", &[0x01, 0])]
    }),
];
