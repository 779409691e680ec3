//! One packet of each type with everything in it, cut at every length: the end of a body is never read past, and what is
//! cut off is missed.

use mqtt_wire::{DecodeError, Frame, Version};

use super::{decode, packet, properties, text};

struct Sample {
    what: &'static str,
    version: Version,
    first: u8,
    body: Vec<u8>,
    /// Lengths, other than the whole, at which a valid packet ends too.
    ends: Vec<usize>,
    /// Whether the body ends where its fields end, and not with the frame.
    closed: bool,
}

fn samples(version: Version) -> Vec<Sample> {
    let v5 = version == Version::V5;
    let list = properties(version, &[0x26, 0, 1, b'k', 0, 1, b'v']);
    let sample = |what, first, body: &[&[u8]], ends: &[usize], closed| Sample {
        what,
        version,
        first,
        body: body.concat(),
        ends: ends.to_vec(),
        closed,
    };
    let id = [1, 0];
    let head = list.len() + 2;
    let publish: Vec<usize> = (3 + head..3 + head + 7).collect();
    let mut samples = vec![
        sample(
            "CONNECT",
            0x10,
            &[
                &text(version.protocol_name()),
                &[version.level(), 0xEE, 0, 60],
                &list,
                &text("client"),
                &list,
                &text("will/topic"),
                &text("gone"),
                &text("user"),
                &text("secret"),
            ],
            &[],
            true,
        ),
        sample("CONNACK", 0x20, &[&[0, 0], &list], &[], true),
        sample("PUBLISH", 0x32, &[&text("a"), &id, &list, b"payload"], &publish, false),
        sample("SUBSCRIBE", 0x82, &[&id, &list, &text("a"), &[1], &text("b/#"), &[2]], &[head + 4], true),
        sample("SUBACK", 0x90, &[&id, &list, &[0, 1, 2]], &[head + 1, head + 2], false),
        sample("UNSUBSCRIBE", 0xA2, &[&id, &list, &text("a"), &text("b/#")], &[head + 3], true),
    ];
    if v5 {
        samples.push(sample("UNSUBACK", 0xB0, &[&id, &list, &[0, 0x11]], &[head + 1], false));
        for first in [0x40, 0x50, 0x62, 0x70] {
            samples.push(sample("acknowledgement", first, &[&id, &[0], &list], &[2, 3], true));
        }
        samples.push(sample("DISCONNECT", 0xE0, &[&[0], &list], &[0, 1], true));
        let list = properties(version, &[0x15, 0, 1, b'm', 0x16, 0, 1, 0]);
        samples.push(sample("AUTH", 0xF0, &[&[0], &list], &[0, 1], true));
    } else {
        samples.push(sample("UNSUBACK", 0xB0, &[&id], &[], true));
        for first in [0x40, 0x50, 0x62, 0x70] {
            samples.push(sample("acknowledgement", first, &[&id], &[], true));
        }
    }
    samples
}

#[test]
fn bodies_are_cut_at_every_length() {
    for version in [Version::V311, Version::V5] {
        for sample in samples(version) {
            for length in 0..=sample.body.len() {
                let valid = length == sample.body.len() || sample.ends.contains(&length);
                let bytes = packet(sample.first, &[&sample.body[..length]]);
                let result = decode(&bytes, sample.version);
                assert_eq!(result.is_ok(), valid, "{version:?} {} of {length} bytes: {result:?}", sample.what);
                if let Err(error) = result {
                    let class = matches!(error, DecodeError::Malformed(_) | DecodeError::Protocol(_));
                    assert!(class, "{version:?} {} of {length} bytes: {error:?}", sample.what);
                }
            }
        }
    }
}

#[test]
fn bytes_after_the_last_field_are_refused() {
    for version in [Version::V311, Version::V5] {
        for sample in samples(version).into_iter().filter(|sample| sample.closed) {
            for tail in [&[0][..], &[0xFF], &[0, 0, 0]] {
                let result = decode(&packet(sample.first, &[&sample.body, tail]), version);
                assert!(result.is_err(), "{version:?} {} and {tail:?}", sample.what);
            }
        }
    }
}

#[test]
fn streams_are_cut_at_every_length() {
    for version in [Version::V311, Version::V5] {
        for sample in samples(version) {
            let bytes = packet(sample.first, &[&sample.body]);
            for length in 0..bytes.len() {
                assert_eq!(Frame::split(&bytes[..length], u32::MAX), Ok(None), "{} of {length} bytes", sample.what);
            }
        }
    }
}
