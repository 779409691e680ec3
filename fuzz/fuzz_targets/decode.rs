//! A stream of bytes as a connection brings it: any version, any packets, any garbage.
//!
//! Nothing may panic; what is decoded can be encoded, and decodes again to the same packet; what is encoded is in its
//! shortest form, so that encoding it once more changes nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mqtt_wire::{Frame, Packet, Version};

/// A limit that the inputs reach, so that both sides of it are met.
const MAX_SIZE: u32 = 4096;

fuzz_target!(|input: &[u8]| {
    let Some((first, mut stream)) = input.split_first() else { return };
    let mut version = Version::ALL[usize::from(*first) % Version::ALL.len()];
    while let Ok(Some(frame)) = Frame::split(stream, MAX_SIZE) {
        stream = &stream[frame.raw.len()..];
        if let Ok(packet) = Packet::decode(&frame, version) {
            if let Packet::Connect(connect) = packet {
                version = connect.version;
            }
            check(&packet, version, frame.raw.len());
        }
    }
});

fn check(packet: &Packet<'_>, version: Version, read_len: usize) {
    let mut written = Vec::new();
    packet.encode(version, &mut written).expect("what was decoded can be encoded");
    assert!(written.len() <= read_len, "a shorter form was read than is written");
    let frame = Frame::split(&written, MAX_SIZE).expect("a valid header").expect("a whole packet");
    let again = Packet::decode(&frame, version).expect("what was encoded can be decoded");
    assert_eq!(&again, packet);
    let mut once_more = Vec::new();
    again.encode(version, &mut once_more).expect("what was decoded can be encoded");
    assert_eq!(written, once_more);
    walk(&again);
}

/// The lists inside a packet are read when they are used, not when it is decoded.
fn walk(packet: &Packet<'_>) {
    match packet {
        Packet::Subscribe(subscribe) => {
            assert!(subscribe.filters.iter().count() > 0);
            for (filter, _) in subscribe.filters.iter() {
                assert_eq!(filter.shared().is_some(), filter.as_str().starts_with("$share/"));
            }
            assert!(subscribe.properties.iter().all(|property| property.id() != 0));
        }
        Packet::Unsubscribe(unsubscribe) => assert!(unsubscribe.filters.iter().count() > 0),
        Packet::Publish(publish) => assert!(publish.properties.iter().all(|property| property.id() != 0)),
        _ => {}
    }
}
