//! MQTT 3.1, whose specification has no numbered statements: where it differs from 3.1.1.

use mqtt_wire::{Connect, DecodeError, Frame, Packet, Version};

use super::{decode, packet, text};

fn connect(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    packet(0x10, &[&text("MQIsdp"), &[3, flags, 0, 60], &payload.concat()])
}

fn decoded(bytes: &[u8]) -> Result<Connect<'_>, DecodeError> {
    Connect::decode(&Frame::split(bytes, u32::MAX).unwrap().unwrap())
}

#[test]
fn is_named_mqisdp_at_level_3() {
    let good = connect(2, &[&text("id")]);
    let connect = decoded(&good).unwrap();
    assert_eq!((connect.version, connect.client_id), (Version::V31, "id"));
    for (name, level) in [("MQTT", 3), ("MQIsdp", 4), ("MQIsdp", 5), ("MQisdp", 3), ("MQIsd", 3)] {
        let bad = packet(0x10, &[&text(name), &[level, 2, 0, 60], &text("id")]);
        assert_eq!(decoded(&bad), Err(DecodeError::UnsupportedVersion(level)), "{name} {level}");
    }
}

/// Section 3.1: bit 0 of the connect flags is unused, and not said to be zero; without will flag the will's QoS and
/// retain flag are disregarded.
#[test]
fn ignores_unused_bits() {
    for flags in [0x03, 0x0A, 0x1A, 0x22] {
        let bytes = connect(flags, &[&text("id")]);
        let connect = decoded(&bytes).unwrap();
        assert!(connect.clean_start && connect.will.is_none(), "{flags:02x}");
    }
    let bytes = packet(0x20, &[&[0xFF, 0]]);
    let frame = Frame::split(&bytes, u32::MAX).unwrap().unwrap();
    let Ok(Packet::ConnAck(connack)) = Packet::decode(&frame, Version::V31) else { panic!("CONNACK of 3.1") };
    assert!(!connack.session_present, "3.1 has no such flag");
}

/// Section 2.1: DUP may be set on what is sent again, PUBREL, SUBSCRIBE and UNSUBSCRIBE too.
#[test]
fn sends_more_than_publish_again() {
    let id = [0, 1];
    for bytes in [packet(0x6A, &[&id]), packet(0x8A, &[&id, &text("a"), &[1]]), packet(0xAA, &[&id, &text("a")])] {
        assert_eq!(decode(&bytes, Version::V31), Ok(()), "{bytes:02x?}");
        assert!(matches!(decode(&bytes, Version::V311), Err(DecodeError::Malformed(_))), "{bytes:02x?}");
    }
}

/// Section 3.1: the remaining length takes precedence over the user name and password flags.
#[test]
fn may_leave_out_what_the_flags_announce() {
    let bytes = connect(0xC2, &[&text("id")]);
    let none = decoded(&bytes).unwrap();
    assert_eq!((none.user_name, none.password), (None, None));
    let bytes = connect(0xC2, &[&text("id"), &text("u")]);
    let user = decoded(&bytes).unwrap();
    assert_eq!((user.user_name, user.password), (Some("u"), None));
    let bytes = connect(0xC2, &[&text("id"), &text("u"), &text("p")]);
    let both = decoded(&bytes).unwrap();
    assert_eq!((both.user_name, both.password), (Some("u"), Some(&b"p"[..])));
    let cut = connect(0xC2, &[&text("id"), &[0, 2, b'u']]);
    assert!(matches!(decoded(&cut), Err(DecodeError::Malformed(_))));
}

/// Section 3.1: "It is not valid to supply a password without supplying a user name."
#[test]
fn has_no_password_without_user_name() {
    let bytes = connect(0x42, &[&text("id"), &text("p")]);
    assert!(matches!(decoded(&bytes), Err(DecodeError::Malformed(_))));
}

/// Will QoS 3, packet identifier 0, QoS 3, wildcards in a topic: as in 3.1.1.
#[test]
fn refuses_what_3_1_1_refuses() {
    let id = text("id");
    for bytes in [
        connect(0x1E, &[&id, &text("t"), &text("gone")]),
        connect(0x06, &[&id, &text("t/#"), &text("gone")]),
        connect(0x02, &[&id, &[0]]),
        packet(0x36, &[&text("a"), &[0, 1]]),
        packet(0x38, &[&text("a")]),
        packet(0x30, &[&text("a/+")]),
        packet(0x30, &[&text("")]),
        packet(0x32, &[&text("a"), &[0, 0]]),
        packet(0x82, &[&[0, 1]]),
        packet(0x82, &[&[0, 1], &text("a#"), &[0]]),
        packet(0x82, &[&[0, 1], &text("a"), &[3]]),
        packet(0x40, &[&[0, 0]]),
        packet(0xF0, &[]),
    ] {
        assert!(decode(&bytes, Version::V31).is_err(), "{bytes:02x?}");
    }
}
