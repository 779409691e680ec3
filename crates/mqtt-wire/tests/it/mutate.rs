use mqtt_wire::{Frame, Packet, Version};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::generate::versioned_packet;

/// Decodes everything in `bytes`. What is accepted can be written, and what is written is read back as the same.
fn decode_all(mut bytes: &[u8], version: Version) -> Result<(), TestCaseError> {
    while let Ok(Some(frame)) = Frame::split(bytes, 1 << 20) {
        if let Ok(packet) = Packet::decode(&frame, version) {
            let version = if let Packet::Connect(connect) = packet { connect.version } else { version };
            let mut written = Vec::new();
            packet
                .encode(version, &mut written)
                .map_err(|error| TestCaseError::fail(format!("{packet:?}: {error}")))?;
            let frame = Frame::split(&written, u32::MAX).unwrap().unwrap();
            prop_assert_eq!(Packet::decode(&frame, version), Ok(packet));
        }
        bytes = &bytes[frame.raw.len()..];
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes(version in select(&Version::ALL[..]), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode_all(&bytes, version)?;
    }

    /// A fixed header that fits, so that more of the bodies are reached.
    #[test]
    fn any_body(version in select(&Version::ALL[..]), first in 0x10_u8.., body in prop::collection::vec(any::<u8>(), 0..120)) {
        let bytes = [&[first, body.len() as u8][..], &body].concat();
        decode_all(&bytes, version)?;
    }

    #[test]
    fn a_packet_with_some_bytes_changed(
        (version, packet) in versioned_packet(),
        read_as in select(&Version::ALL[..]),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = packet.encode(version).unwrap();
        for (place, byte) in changes {
            // Most of a packet may be payload: half of the changes go to its first bytes.
            let reach = if byte % 2 == 0 { bytes.len() } else { bytes.len().min(16) };
            let place = place.index(reach);
            bytes[place] = byte;
        }
        decode_all(&bytes, read_as)?;
    }

    /// Fields that end too early, or late, in a packet whose remaining length is right.
    #[test]
    fn a_packet_cut_or_grown((version, packet) in versioned_packet(), cut in any::<Index>(), tail in any::<[u8; 2]>(), grow in any::<bool>()) {
        let bytes = packet.encode(version).unwrap();
        let frame = Frame::split(&bytes, u32::MAX).unwrap().unwrap();
        let mut body = frame.body.to_vec();
        if grow {
            body.extend(tail);
        } else {
            body.truncate(cut.index(body.len() + 1));
        }
        let bytes = [&[bytes[0]][..], &crate::owned::varint(body.len() as u32), &body].concat();
        decode_all(&bytes, version)?;
    }
}
