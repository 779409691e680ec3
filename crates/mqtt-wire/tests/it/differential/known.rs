//! Where the two codecs disagree, and who is right by the specification. The rows are asserted, so that one which a new
//! version of either settles is found and removed.

use bytes::BytesMut;
use mqtt_wire::Version;
use rumqttc::v5::mqttbytes::v5::{Disconnect, DisconnectReasonCode};

use super::{through_ours, v5, v311};

/// Bytes that one codec accepts and the other does not.
struct Row {
    what: &'static str,
    /// The section of the specification that decides for us.
    section: &'static str,
    version: Version,
    bytes: &'static [u8],
    ours: bool,
}

const fn accepted(what: &'static str, section: &'static str, version: Version, bytes: &'static [u8]) -> Row {
    Row { what, section, version, bytes, ours: true }
}

const fn refused(what: &'static str, section: &'static str, version: Version, bytes: &'static [u8]) -> Row {
    Row { what, section, version, bytes, ours: false }
}

use Version::{V5, V311};

const ROWS: &[Row] = &[
    accepted("AUTH", "3.15", V5, &[0xF0, 6, 0x18, 4, 0x15, 0, 1, b'm']),
    accepted("DISCONNECT without a body", "3.14.2.1", V5, &[0xE0, 0]),
    accepted("DISCONNECT without property length", "3.14.2.2.1", V5, &[0xE0, 1, 0x04]),
    accepted(
        "a password that is not text",
        "3.1.3.6",
        V5,
        &[0x10, 19, 0, 4, b'M', b'Q', b'T', b'T', 5, 0xC2, 0, 60, 0, 0, 0, 0, 1, b'u', 0, 1, 0xFF],
    ),
    accepted(
        "a password that is not text",
        "3.1.3.5",
        V311,
        &[0x10, 18, 0, 4, b'M', b'Q', b'T', b'T', 4, 0xC2, 0, 60, 0, 0, 0, 1, b'u', 0, 1, 0xFF],
    ),
    refused("reserved flags of PUBACK", "2.2.2", V311, &[0x42, 2, 0, 1]),
    refused("reserved flags of SUBSCRIBE", "3.8.1", V311, &[0x80, 6, 0, 1, 0, 1, b'a', 0]),
    refused("reserved flags of SUBSCRIBE", "3.8.1", V5, &[0x80, 7, 0, 1, 0, 0, 1, b'a', 0]),
    refused("reserved connect flag", "3.1.2.3", V311, &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x03, 0, 60, 0, 0]),
    refused(
        "a 3.1.1 CONNECT of level 5",
        "3.1.2.2",
        V311,
        &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0],
    ),
    refused(
        "password without user name",
        "3.1.2.9",
        V311,
        &[0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 4, 0x42, 0, 60, 0, 0, 0, 1, b'p'],
    ),
    refused("dup with QoS 0", "3.3.1.1", V311, &[0x38, 3, 0, 1, b'a']),
    refused("dup with QoS 0", "3.3.1.1", V5, &[0x38, 4, 0, 1, b'a', 0]),
    refused("wildcard in a topic name", "3.3.2.1", V311, &[0x30, 3, 0, 1, b'#']),
    refused("wildcard in a topic name", "3.3.2.1", V5, &[0x30, 4, 0, 1, b'+', 0]),
    refused("empty topic name", "4.7.3", V311, &[0x30, 2, 0, 0]),
    refused("empty topic name without alias", "3.3.2.1", V5, &[0x30, 3, 0, 0, 0]),
    refused("ill-formed topic name", "1.5.4", V5, &[0x30, 4, 0, 1, 0xFF, 0]),
    refused("U+0000 in a topic name", "1.5.3", V311, &[0x30, 3, 0, 1, 0]),
    refused("topic alias 0", "3.3.2.3.4", V5, &[0x30, 7, 0, 1, b'a', 3, 0x23, 0, 0]),
    refused("two topic aliases", "3.3.2.3.4", V5, &[0x30, 10, 0, 1, b'a', 6, 0x23, 0, 1, 0x23, 0, 1]),
    refused("packet identifier 0 of PUBACK", "2.3.1", V311, &[0x40, 2, 0, 0]),
    refused("packet identifier 0 of SUBSCRIBE", "2.2.1", V5, &[0x82, 7, 0, 0, 0, 0, 1, b'a', 0]),
    refused("reserved subscription options", "3.8.3", V311, &[0x82, 6, 0, 1, 0, 1, b'a', 0x04]),
    refused("reserved subscription options", "3.8.3.1", V5, &[0x82, 7, 0, 1, 0, 0, 1, b'a', 0x40]),
    refused("filter a#", "4.7.1.2", V311, &[0x82, 7, 0, 1, 0, 2, b'a', b'#', 0]),
    refused("subscription identifier 0", "3.8.2.1.2", V5, &[0x82, 9, 0, 1, 2, 0x0B, 0, 0, 1, b'a', 0]),
    refused("UNSUBSCRIBE without a filter", "3.10.3", V311, &[0xA2, 2, 0, 1]),
    refused("UNSUBSCRIBE without a filter", "3.10.3", V5, &[0xA2, 3, 0, 1, 0]),
    refused("bytes after the end of PUBACK", "3.4.2", V311, &[0x40, 4, 0, 1, 0, 0]),
    refused("bytes after the end of CONNACK", "3.2.3", V5, &[0x20, 4, 0, 0, 0, 0]),
    refused("a session present in a refusal", "3.2.2.2", V311, &[0x20, 2, 1, 5]),
];

#[test]
fn rows_are_true() {
    for Row { what, section, version, bytes, ours } in ROWS {
        let theirs = match version {
            V5 => v5::read(bytes).map(drop),
            _ => v311::read(bytes).map(drop),
        };
        let read = through_ours(bytes, *version);
        assert_eq!(read.is_ok(), *ours, "{version:?} {section} {what}, ours: {read:?}");
        assert_eq!(theirs.is_ok(), !*ours, "{version:?} {section} {what}, theirs: {theirs:?}");
    }
}

/// rumqttc writes one byte more than it announces when a DISCONNECT has a reason and no properties (section 3.14.2.2.1):
/// the next packet then begins with a byte that is none.
#[test]
fn a_disconnect_with_reason_is_written_too_long() {
    let mut written = BytesMut::new();
    Disconnect::new(DisconnectReasonCode::DisconnectWithWillMessage).write(&mut written).unwrap();
    assert_eq!(&written[..], [0xE0, 1, 0x04, 0x00]);
}

/// rumqttc counts a subscription identifier one byte too long (section 3.3.2.3.8), so that what stands after several of
/// them is taken for payload.
#[test]
fn properties_after_subscription_identifiers_are_missed() {
    let bytes = [0x30, 10, 0, 1, b'a', 6, 0x0B, 1, 0x0B, 2, 0x01, 1];
    let rumqttc::v5::mqttbytes::v5::Packet::Publish(publish) = v5::read(&bytes).unwrap() else { panic!("PUBLISH") };
    assert_eq!(&publish.payload[..], [0x01, 1]);
    assert_eq!(through_ours(&bytes, V5).as_deref(), Ok(&bytes[..]));
}
