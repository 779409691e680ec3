//! The codec against that of rumqttc 0.25: what one writes the other reads as the same packet, field by field, in both
//! directions. Where the two disagree, `known` says so, and which section of the specification decides.

mod known;
mod v311;
mod v5;

use bytes::Bytes;
use mqtt_wire::{Frame, Packet, Version};

use crate::owned::{OwnedPacket, OwnedProperty, Value};

/// Reads bytes with our codec and writes them again.
fn through_ours(bytes: &[u8], version: Version) -> Result<Vec<u8>, String> {
    let frame = Frame::split(bytes, u32::MAX).map_err(|error| error.to_string())?.ok_or("not whole")?;
    if frame.raw.len() != bytes.len() {
        return Err("more than one packet".to_owned());
    }
    let mut written = Vec::new();
    let packet = Packet::decode(&frame, version).map_err(|error| error.to_string())?;
    packet.encode(version, &mut written).map_err(|error| error.to_string())?;
    Ok(written)
}

/// rumqttc has no login whose user name or password is present and empty, and none whose password is not text
/// (`known`): such a packet is changed into its nearest neighbour.
fn with_plain_login(packet: &mut OwnedPacket) {
    if let OwnedPacket::Connect(connect) = packet {
        if connect.user_name.as_deref() == Some("") {
            connect.user_name = Some("user".to_owned());
        }
        if let Some(password) = &mut connect.password
            && (password.is_empty() || std::str::from_utf8(password).is_err())
        {
            *password = b"password".to_vec();
        }
    }
}

/// The user name and the password, where there is either.
fn login(packet: &crate::owned::OwnedConnect) -> Option<(String, String)> {
    if packet.user_name.is_none() && packet.password.is_none() {
        return None;
    }
    let password = packet.password.clone().unwrap_or_default();
    Some((packet.user_name.clone().unwrap_or_default(), String::from_utf8(password).unwrap()))
}

/// A property list, asked by identifier.
struct List<'a>(&'a [OwnedProperty]);

impl List<'_> {
    fn values(&self, id: u8) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |property| property.id == id).map(|property| &property.value)
    }

    fn byte(&self, id: u8) -> Option<u8> {
        self.values(id).next().map(|value| if let Value::Byte(value) = value { *value } else { panic!("{value:?}") })
    }

    fn two(&self, id: u8) -> Option<u16> {
        self.values(id).next().map(|value| if let Value::Two(value) = value { *value } else { panic!("{value:?}") })
    }

    fn four(&self, id: u8) -> Option<u32> {
        self.values(id).next().map(|value| if let Value::Four(value) = value { *value } else { panic!("{value:?}") })
    }

    fn vars(&self, id: u8) -> Vec<usize> {
        let number = |value: &_| if let Value::Var(value) = value { *value as usize } else { panic!("{value:?}") };
        self.values(id).map(number).collect()
    }

    fn text(&self, id: u8) -> Option<String> {
        let text = |value: &_| if let Value::Text(value) = value { value.clone() } else { panic!("{value:?}") };
        self.values(id).next().map(text)
    }

    fn binary(&self, id: u8) -> Option<Bytes> {
        let bytes =
            |value: &_| if let Value::Binary(value) = value { value.clone().into() } else { panic!("{value:?}") };
        self.values(id).next().map(bytes)
    }

    fn pairs(&self) -> Vec<(String, String)> {
        let pair = |value: &_| match value {
            Value::Pair(name, value) => (name.clone(), value.clone()),
            value => panic!("{value:?}"),
        };
        self.values(0x26).map(pair).collect()
    }

    /// What `make` makes of the list, or nothing if it is empty: rumqttc does not tell an empty list from none.
    fn unless_empty<T>(&self, make: impl FnOnce() -> T) -> Option<T> {
        if self.0.is_empty() { None } else { Some(make()) }
    }
}
