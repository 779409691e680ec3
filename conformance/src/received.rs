//! What a server sent, taken apart by hand.

use std::fmt;

use crate::wire::Version;

/// One packet from the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// Type and flags.
    pub first: u8,
    /// Variable header and payload.
    pub body: Vec<u8>,
}

/// CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    /// Connect acknowledge flags: bit 0 is Session Present.
    pub flags: u8,
    /// Return or reason code.
    pub reason: u8,
    /// Properties.
    pub properties: Properties,
}

/// PUBLISH.
#[derive(Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: u8,
    /// Packet identifier; 0 with QoS 0.
    pub id: u16,
    /// RETAIN flag.
    pub retain: bool,
    /// DUP flag.
    pub dup: bool,
    /// Properties.
    pub properties: Properties,
}

/// An acknowledgement or DISCONNECT: packet identifier (0 for DISCONNECT), reason codes, properties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Packet identifier.
    pub id: u16,
    /// Reason or return codes; success where the packet leaves it out.
    pub codes: Vec<u8>,
    /// Properties.
    pub properties: Properties,
}

/// A property list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<(u8, Value)>);

/// The value of a property.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of section 1.5")]
pub enum Value {
    Number(u32),
    Bytes(Vec<u8>),
    Pair(Vec<u8>, Vec<u8>),
}

impl Packet {
    /// The packet at the start of `bytes` and how many bytes it takes; `None` when it is not whole.
    ///
    /// # Errors
    /// A remaining length of more than four bytes, as text.
    pub fn split(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let Some((length, taken)) = take_varint(bytes.get(1..).unwrap_or_default())? else { return Ok(None) };
        let start = 1 + taken;
        let Some(body) = bytes.get(start..start + length) else { return Ok(None) };
        Ok(Some((Self { first: bytes[0], body: body.to_vec() }, start + length)))
    }

    /// The type: the upper four bits of the first byte.
    #[must_use]
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// As CONNACK.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn connack(&self, version: Version) -> Result<ConnAck, String> {
        self.must_be(0x20)?;
        let mut rest = Rest(&self.body);
        let (flags, reason) = (rest.byte()?, rest.byte()?);
        let properties = rest.properties(version)?;
        rest.end()?;
        Ok(ConnAck { flags, reason, properties })
    }

    /// As PUBLISH.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn publish(&self, version: Version) -> Result<Incoming, String> {
        let (qos, dup, retain) = (self.first >> 1 & 3, self.first & 8 != 0, self.first & 1 != 0);
        if self.kind() != 3 || qos == 3 {
            return Err(format!("{self} instead of a PUBLISH"));
        }
        let mut rest = Rest(&self.body);
        let topic = String::from_utf8(rest.field()?).map_err(|_| "a topic that is not UTF-8".to_owned())?;
        let id = if qos == 0 { 0 } else { rest.two()? };
        if qos != 0 && id == 0 {
            return Err(format!("{self} with packet identifier 0"));
        }
        let properties = rest.properties(version)?;
        Ok(Incoming { topic, payload: rest.0.to_vec(), qos, id, retain, dup, properties })
    }

    /// As PUBACK, PUBREC, PUBREL or PUBCOMP.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn ack(&self, first: u8, version: Version) -> Result<Answer, String> {
        self.must_be(first)?;
        let mut rest = Rest(&self.body);
        let id = rest.two()?;
        let (codes, properties) = rest.reason(version)?;
        Ok(Answer { id, codes, properties })
    }

    /// As SUBACK (0x90) or UNSUBACK (0xB0).
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn codes(&self, first: u8, version: Version) -> Result<Answer, String> {
        self.must_be(first)?;
        let mut rest = Rest(&self.body);
        let id = rest.two()?;
        let properties = rest.properties(version)?;
        Ok(Answer { id, codes: rest.0.to_vec(), properties })
    }

    /// As DISCONNECT.
    ///
    /// # Errors
    /// What is wrong with it, as text.
    pub fn disconnect(&self, version: Version) -> Result<Answer, String> {
        self.must_be(0xE0)?;
        let (codes, properties) = Rest(&self.body).reason(version)?;
        Ok(Answer { id: 0, codes, properties })
    }

    fn must_be(&self, first: u8) -> Result<(), String> {
        if self.first == first { Ok(()) } else { Err(format!("{self} instead of {}", name(first))) }
    }
}

impl Properties {
    /// The number that the property has, if it is there.
    #[must_use]
    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).first().copied()
    }

    /// All numbers of a property.
    #[must_use]
    pub fn numbers(&self, id: u8) -> Vec<u32> {
        let value = |(at, value): &(u8, Value)| match value {
            Value::Number(number) if *at == id => Some(*number),
            _ => None,
        };
        self.0.iter().filter_map(value).collect()
    }

    /// The text of a property, if it is there.
    #[must_use]
    pub fn text(&self, id: u8) -> Option<String> {
        self.0.iter().find_map(|(at, value)| match value {
            Value::Bytes(bytes) if *at == id => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        })
    }

    /// The user properties in order.
    #[must_use]
    pub fn user(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let pair = |(_, value): &(u8, Value)| match value {
            Value::Pair(name, value) => Some((text(name), text(value))),
            _ => None,
        };
        self.0.iter().filter_map(pair).collect()
    }

    /// Whether a property is there.
    #[must_use]
    pub fn has(&self, id: u8) -> bool {
        self.0.iter().any(|(at, _)| *at == id)
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self.first, &self.body, f)
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, qos, id, retain, dup, properties, .. } = self;
        let text = String::from_utf8_lossy(&self.payload[..self.payload.len().min(24)]).into_owned();
        write!(f, "PUBLISH \"{topic}\" qos {qos} id {id} retain {retain} dup {dup} {text:?}")?;
        if self.payload.len() > 24 {
            write!(f, " ({} bytes)", self.payload.len())?;
        }
        if properties.0.is_empty() { Ok(()) } else { write!(f, " {properties:?}") }
    }
}

/// Bytes for people: the name of the packet and its first bytes.
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Packet::split(self.0) {
            Ok(Some((packet, taken))) if taken == self.0.len() => describe(packet.first, &packet.body, f),
            _ => hex(self.0, f),
        }
    }
}

fn describe(first: u8, body: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{} {first:02x}", name(first))?;
    if !body.is_empty() {
        f.write_str(" ")?;
        hex(body, f)?;
    }
    Ok(())
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const SHOWN: usize = 48;
    for (at, byte) in bytes.iter().take(SHOWN).enumerate() {
        let space = if at > 0 && at % 4 == 0 { " " } else { "" };
        write!(f, "{space}{byte:02x}")?;
    }
    if bytes.len() > SHOWN { write!(f, ".. ({} bytes)", bytes.len()) } else { Ok(()) }
}

fn name(first: u8) -> &'static str {
    const NAMES: [&str; 16] = [
        "type-0",
        "CONNECT",
        "CONNACK",
        "PUBLISH",
        "PUBACK",
        "PUBREC",
        "PUBREL",
        "PUBCOMP",
        "SUBSCRIBE",
        "SUBACK",
        "UNSUBSCRIBE",
        "UNSUBACK",
        "PINGREQ",
        "PINGRESP",
        "DISCONNECT",
        "AUTH",
    ];
    NAMES[usize::from(first >> 4)]
}

/// What of a packet is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take(&mut self, count: usize) -> Result<Vec<u8>, String> {
        let (head, tail) = self.0.split_at_checked(count).ok_or("a packet that ends inside a field")?;
        self.0 = tail;
        Ok(head.to_vec())
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take(1)?[0])
    }

    fn two(&mut self) -> Result<u16, String> {
        let bytes = self.take(2)?;
        Ok(u16::from(bytes[0]) << 8 | u16::from(bytes[1]))
    }

    fn four(&mut self) -> Result<u32, String> {
        Ok(u32::from(self.two()?) << 16 | u32::from(self.two()?))
    }

    fn field(&mut self) -> Result<Vec<u8>, String> {
        let length = self.two()?;
        self.take(usize::from(length))
    }

    fn varint(&mut self) -> Result<usize, String> {
        let (value, taken) = take_varint(self.0)?.ok_or("a packet that ends inside a number")?;
        self.0 = &self.0[taken..];
        Ok(value)
    }

    fn end(&self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes after the end of a packet", self.0.len())) }
    }

    fn reason(&mut self, version: Version) -> Result<(Vec<u8>, Properties), String> {
        let reason = if self.0.is_empty() { 0 } else { self.byte()? };
        let properties = if self.0.is_empty() { Properties::default() } else { self.properties(version)? };
        self.end()?;
        Ok((vec![reason], properties))
    }

    fn properties(&mut self, version: Version) -> Result<Properties, String> {
        if version != Version::V5 {
            return Ok(Properties::default());
        }
        let length = self.varint()?;
        let bytes = self.take(length)?;
        let mut rest = Rest(&bytes);
        let mut list = Vec::new();
        while !rest.0.is_empty() {
            let id = rest.byte()?;
            let value = match id {
                0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => Value::Number(u32::from(rest.byte()?)),
                0x13 | 0x21 | 0x22 | 0x23 => Value::Number(u32::from(rest.two()?)),
                0x02 | 0x11 | 0x18 | 0x27 => Value::Number(rest.four()?),
                0x0B => Value::Number(rest.varint()? as u32),
                0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => Value::Bytes(rest.field()?),
                0x26 => Value::Pair(rest.field()?, rest.field()?),
                _ => return Err(format!("unknown property 0x{id:02x}")),
            };
            list.push((id, value));
        }
        Ok(Properties(list))
    }
}

/// The number in seven-bit groups at the start of `bytes` and its length; `None` when it is not whole.
fn take_varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if at == 4 {
            return Err("a number of more than four bytes".to_owned());
        }
        value |= usize::from(byte & 127) << (7 * at);
        if byte & 128 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    #[test]
    fn a_publish_is_read_back_as_it_was_written() {
        let sent = wire::Publish::new(Version::V5, "a/b", "x")
            .qos(2, 7)
            .retain()
            .with(wire::property::user_property("n", "v"))
            .with(wire::property::subscription_id(300));
        let bytes = sent.bytes();
        assert!((0..bytes.len()).all(|cut| Packet::split(&bytes[..cut]).unwrap().is_none()));
        let (packet, taken) = Packet::split(&bytes).unwrap().unwrap();
        assert_eq!(taken, bytes.len());
        let read = packet.publish(Version::V5).unwrap();
        assert_eq!((read.topic.as_str(), read.qos, read.id, read.retain, read.dup), ("a/b", 2, 7, true, false));
        assert_eq!(read.properties.user(), [("n".to_owned(), "v".to_owned())]);
        assert_eq!(read.properties.numbers(0x0B), [300]);
    }

    #[test]
    fn reason_codes_may_be_left_out() {
        let short = Packet { first: 0x40, body: vec![0, 9] };
        assert_eq!(short.ack(0x40, Version::V5).unwrap().codes, [0]);
        let long = Packet { first: 0x40, body: vec![0, 9, 0x10, 0] };
        assert_eq!(long.ack(0x40, Version::V5).unwrap().codes, [0x10]);
        assert!(short.ack(0x50, Version::V5).unwrap_err().contains("PUBACK"));
    }
}
