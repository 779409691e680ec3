//! What the specifications forbid: for each statement the bytes that break it, and beside them a valid twin that differs
//! in nothing else, so that no case fails for another reason than the one it names.
//!
//! Bytes are written by hand, so that a mistake cannot hide in an encoder. Version 3.1 has no numbered statements; its
//! cases are in `v31`.

mod acks;
mod connect;
mod fixed_header;
mod properties;
mod publish;
mod samples;
mod strings;
mod subscribe;
mod v31;

use mqtt_wire::{DecodeError, Frame, Packet, Version};

use crate::owned::{prefixed, varint};

/// The class of an error: what a server would tell the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Malformed,
    Protocol,
    TopicName,
    TopicFilter,
    Version,
}

struct Case {
    what: &'static str,
    /// The statement or section of MQTT 3.1.1 that the bytes break; empty where that version has no such rule.
    v311: &'static str,
    /// The same of MQTT 5.0.
    v5: &'static str,
    class: Class,
    /// The bytes and their valid twin.
    bytes: fn(Version) -> [Vec<u8>; 2],
}

const fn case(
    what: &'static str,
    v311: &'static str,
    v5: &'static str,
    class: Class,
    bytes: fn(Version) -> [Vec<u8>; 2],
) -> Case {
    Case { what, v311, v5, class, bytes }
}

#[test]
fn every_statement_is_kept() {
    let tables = [fixed_header::CASES, connect::CASES, publish::CASES, subscribe::CASES, acks::CASES, strings::CASES];
    let mut wrong = Vec::new();
    let mut count = 0;
    for case in tables.into_iter().flatten() {
        for (version, statement) in [(Version::V311, case.v311), (Version::V5, case.v5)] {
            if statement.is_empty() {
                continue;
            }
            count += 1;
            let [bad, good] = (case.bytes)(version);
            let result = decode(&bad, version);
            if result.map_err(class) != Err(case.class) {
                wrong.push(format!("{version:?} {statement}, {}: {bad:02x?} gave {result:?}", case.what));
            }
            if let Err(error) = decode(&good, version) {
                wrong.push(format!("{version:?} {statement}, twin of {}: {good:02x?} gave {error:?}", case.what));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 150, "only {count} cases were looked at");
}

/// Decodes one packet, which must be whole.
fn decode(bytes: &[u8], version: Version) -> Result<(), DecodeError> {
    let frame = Frame::split(bytes, u32::MAX)?.expect("the cases are whole packets");
    assert_eq!(frame.raw.len(), bytes.len(), "the cases are single packets");
    Packet::decode(&frame, version).map(drop)
}

fn class(error: DecodeError) -> Class {
    match error {
        DecodeError::Malformed(_) => Class::Malformed,
        DecodeError::Protocol(_) => Class::Protocol,
        DecodeError::TopicName(_) => Class::TopicName,
        DecodeError::TopicFilter(_) => Class::TopicFilter,
        DecodeError::UnsupportedVersion(_) => Class::Version,
        error => panic!("no case expects {error:?}"),
    }
}

/// A packet from its first byte and the parts of its body.
fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[first], varint(body.len() as u32).as_slice(), &body].concat()
}

/// A string with its length.
fn text(text: &str) -> Vec<u8> {
    prefixed(text.as_bytes())
}

/// A property list where the version has one.
fn properties(version: Version, list: &[u8]) -> Vec<u8> {
    if version == Version::V5 { [varint(list.len() as u32).as_slice(), list].concat() } else { Vec::new() }
}

/// No properties.
fn none(version: Version) -> Vec<u8> {
    properties(version, &[])
}
