//! Section 2.2.2: every property in every packet, by the table.

use mqtt_wire::properties::{Carrier, Properties};
use mqtt_wire::{DecodeError, Version};

use super::{decode, packet, properties, strings, text};
use crate::table::{CARRIERS, Kind, PROPERTIES, Row};

/// A value that is valid for the property.
fn sample(row: &Row) -> Vec<u8> {
    let value: &[u8] = match row.kind {
        Kind::Flag => &[1],
        Kind::Two | Kind::TwoPositive => &[0, 1],
        Kind::Four | Kind::FourPositive => &[0, 0, 0, 1],
        Kind::VarPositive => &[1],
        Kind::Text | Kind::Topic | Kind::Binary => &[0, 1, b'x'],
        Kind::Pair => &[0, 1, b'x', 0, 1, b'y'],
    };
    [&[row.id], value].concat()
}

/// The packet of this kind with these properties, and with whatever else it must have.
fn carry(carrier: Carrier, list: &[u8]) -> Vec<u8> {
    let version = Version::V5;
    let needs_method = match carrier {
        Carrier::Auth => !list.contains(&0x15),
        Carrier::Connect | Carrier::ConnAck => list.first() == Some(&0x16),
        _ => false,
    };
    let method: &[u8] = if needs_method { &[0x15, 0, 1, b'm'] } else { &[] };
    let list = properties(version, &[list, method].concat());
    let none = properties(version, &[]);
    let id = [0, 1];
    match carrier {
        Carrier::Connect => packet(0x10, &[&text("MQTT"), &[5, 2, 0, 0], &list, &text("id")]),
        Carrier::Will => {
            packet(0x10, &[&text("MQTT"), &[5, 6, 0, 0], &none, &text("id"), &list, &text("topic"), &text("gone")])
        }
        Carrier::ConnAck => packet(0x20, &[&[0, 0], &list]),
        Carrier::Publish => packet(0x30, &[&text("topic"), &list]),
        Carrier::PubAck => packet(0x40, &[&id, &[0], &list]),
        Carrier::Subscribe => packet(0x82, &[&id, &list, &text("a"), &[0]]),
        Carrier::SubAck => packet(0x90, &[&id, &list, &[0]]),
        Carrier::Unsubscribe => packet(0xA2, &[&id, &list, &text("a")]),
        Carrier::UnsubAck => packet(0xB0, &[&id, &list, &[0]]),
        Carrier::Disconnect => packet(0xE0, &[&[0], &list]),
        Carrier::Auth => packet(0xF0, &[&[0x18], &list]),
    }
}

/// Each property with each packet that may carry it.
fn pairs() -> impl Iterator<Item = (&'static Row, Carrier)> {
    PROPERTIES.iter().flat_map(|row| row.carriers.iter().map(move |carrier| (row, *carrier)))
}

fn check(row: &Row, carrier: Carrier, list: &[u8]) -> Result<(), DecodeError> {
    let result = decode(&carry(carrier, list), Version::V5);
    if let Err(DecodeError::Malformed(_) | DecodeError::Protocol(_)) | Ok(()) = result {
        return result;
    }
    panic!("property {:#04x} of {carrier:?}: {result:?}", row.id)
}

/// Table 2-4: who may carry what. The four acknowledgements of PUBLISH share a row of the codec's table, so each is tried.
#[test]
fn stand_only_where_the_table_allows_them() {
    for row in &PROPERTIES {
        for carrier in CARRIERS {
            let result = check(row, carrier, &sample(row));
            if row.carriers.contains(&carrier) {
                assert_eq!(result, Ok(()), "{:#04x} in {carrier:?}", row.id);
            } else {
                assert!(matches!(result, Err(DecodeError::Protocol(_))), "{:#04x} in {carrier:?}: {result:?}", row.id);
            }
        }
        for first in [0x40, 0x50, 0x62, 0x70] {
            let bytes = packet(first, &[&[0, 1, 0], &properties(Version::V5, &sample(row))]);
            let allowed = row.carriers.contains(&Carrier::PubAck);
            assert_eq!(decode(&bytes, Version::V5).is_ok(), allowed, "{:#04x} in {first:#04x}", row.id);
        }
    }
}

/// "It is a Protocol Error to include ... more than once": all but user properties, and subscription identifiers on their
/// way to a subscriber.
#[test]
fn stand_once() {
    for (row, carrier) in pairs() {
        let repeatable = row.kind == Kind::Pair || (row.id == 0x0B && carrier == Carrier::Publish);
        let result = check(row, carrier, &sample(row).repeat(2));
        if repeatable {
            assert_eq!(result, Ok(()), "{:#04x} in {carrier:?}", row.id);
        } else {
            assert!(matches!(result, Err(DecodeError::Protocol(_))), "{:#04x} in {carrier:?}: {result:?}", row.id);
        }
    }
}

#[test]
fn have_values_in_their_range() {
    for (row, carrier) in pairs() {
        let (valid, invalid): (&[&[u8]], &[&[u8]]) = match row.kind {
            Kind::Flag => (&[&[0], &[1]], &[&[2], &[0x80], &[0xFF]]),
            Kind::Two => (&[&[0, 0], &[0xFF, 0xFF]], &[]),
            Kind::TwoPositive => (&[&[0, 1], &[0xFF, 0xFF]], &[&[0, 0]]),
            Kind::Four => (&[&[0; 4], &[0xFF; 4]], &[]),
            Kind::FourPositive => (&[&[0, 0, 0, 1], &[0xFF; 4]], &[&[0; 4]]),
            Kind::VarPositive => (&[&[1], &[0xFF, 0xFF, 0xFF, 0x7F]], &[&[0]]),
            Kind::Topic => (&[&[0, 1, b'/']], &[&[0, 0], &[0, 1, b'+'], &[0, 1, b'#']]),
            Kind::Text | Kind::Binary => (&[&[0, 0], &[0, 1, b'+']], &[]),
            Kind::Pair => (&[&[0, 0, 0, 0], &[0, 0, 0, 1, b'#']], &[]),
        };
        for value in valid {
            assert_eq!(check(row, carrier, &[&[row.id], *value].concat()), Ok(()), "{:#04x} {value:?}", row.id);
        }
        for value in invalid {
            let result = check(row, carrier, &[&[row.id], *value].concat());
            assert!(matches!(result, Err(DecodeError::Protocol(_))), "{:#04x} {value:?}: {result:?}", row.id);
        }
    }
}

#[test]
fn have_whole_values() {
    for (row, carrier) in pairs() {
        let whole = sample(row);
        for cut in 1..whole.len() {
            let result = Properties::check(&whole[..cut], carrier);
            assert!(matches!(result, Err(DecodeError::Malformed(_))), "{:02x?}: {result:?}", &whole[..cut]);
        }
    }
}

#[test]
fn have_known_identifiers() {
    for id in (0..=0x7F_u8).filter(|id| PROPERTIES.iter().all(|row| row.id != *id)) {
        for carrier in CARRIERS {
            let list = [id, 0, 0, 0, 0, 0, 0];
            let result = Properties::check(&list, carrier);
            assert!(matches!(result, Err(DecodeError::Malformed(_))), "{id:#04x} in {carrier:?}: {result:?}");
        }
    }
}

/// MQTT-1.5.4-1 and -2 for the text properties, MQTT-1.5.7-1 for both texts of a pair.
#[test]
fn have_checked_texts() {
    for (row, carrier) in pairs() {
        let name = format!("property {:#04x} of {carrier:?}", row.id);
        let with = |before: &[u8], field: &[u8], after: &[u8]| carry(carrier, &[before, field, after].concat());
        match row.kind {
            Kind::Text | Kind::Topic => strings::check(&name, Version::V5, |field| with(&[row.id], field, &[])),
            Kind::Pair => {
                strings::check(&name, Version::V5, |field| with(&[row.id], field, &[0, 1, b'v']));
                strings::check(&name, Version::V5, |field| with(&[row.id, 0, 1, b'n'], field, &[]));
            }
            _ => {}
        }
    }
}
