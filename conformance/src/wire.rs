//! MQTT packets as bytes, put together and taken apart by hand.
//!
//! This is on purpose no codec: it checks nothing, so that a case can write any nonsense, and it shares no line with the
//! codec of the broker, so that an error there cannot hide at both ends.

use std::fmt;

/// The protocol version that a case speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}

impl Version {
    /// Both versions.
    pub const ALL: [Self; 2] = [Self::V311, Self::V5];

    /// The protocol level byte of CONNECT.
    #[must_use]
    pub fn level(self) -> u8 {
        if self == Self::V5 { 5 } else { 4 }
    }

    /// A property list with its length, or nothing where the version has none.
    fn list(self, properties: &[u8]) -> Vec<u8> {
        if self == Self::V5 { [varint(properties.len()), properties.to_vec()].concat() } else { Vec::new() }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V5 { "5.0" } else { "3.1.1" })
    }
}

/// A packet: first byte, remaining length, body.
#[must_use]
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    [&[first], &varint(body.len())[..], body].concat()
}

/// A number in seven-bit groups, lowest first (sections 1.5.5 and 2.1.4).
#[must_use]
pub fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let group = (number % 128) as u8;
        number /= 128;
        if number == 0 {
            bytes.push(group);
            return bytes;
        }
        bytes.push(group | 128);
    }
}

/// Text or bytes with a length of two bytes.
#[must_use]
pub fn field(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

/// Properties as bytes, identifier first (section 2.2.2.2).
pub mod property {
    use super::{field, varint};

    /// 0x01
    #[must_use]
    pub fn payload_format(value: u8) -> Vec<u8> {
        vec![0x01, value]
    }

    /// 0x02
    #[must_use]
    pub fn message_expiry(seconds: u32) -> Vec<u8> {
        four(0x02, seconds)
    }

    /// 0x03
    #[must_use]
    pub fn content_type(text: &str) -> Vec<u8> {
        [vec![0x03], field(text)].concat()
    }

    /// 0x08
    #[must_use]
    pub fn response_topic(text: &str) -> Vec<u8> {
        [vec![0x08], field(text)].concat()
    }

    /// 0x09
    #[must_use]
    pub fn correlation_data(bytes: &[u8]) -> Vec<u8> {
        [vec![0x09], field(bytes)].concat()
    }

    /// 0x0B
    #[must_use]
    pub fn subscription_id(id: usize) -> Vec<u8> {
        [vec![0x0B], varint(id)].concat()
    }

    /// 0x11
    #[must_use]
    pub fn session_expiry(seconds: u32) -> Vec<u8> {
        four(0x11, seconds)
    }

    /// 0x15
    #[must_use]
    pub fn authentication_method(text: &str) -> Vec<u8> {
        [vec![0x15], field(text)].concat()
    }

    /// 0x16
    #[must_use]
    pub fn authentication_data(bytes: &[u8]) -> Vec<u8> {
        [vec![0x16], field(bytes)].concat()
    }

    /// 0x17
    #[must_use]
    pub fn request_problem_information(value: u8) -> Vec<u8> {
        vec![0x17, value]
    }

    /// 0x18
    #[must_use]
    pub fn will_delay(seconds: u32) -> Vec<u8> {
        four(0x18, seconds)
    }

    /// 0x19
    #[must_use]
    pub fn request_response_information(value: u8) -> Vec<u8> {
        vec![0x19, value]
    }

    /// 0x1F
    #[must_use]
    pub fn reason_string(text: &str) -> Vec<u8> {
        [vec![0x1F], field(text)].concat()
    }

    /// 0x21
    #[must_use]
    pub fn receive_maximum(value: u16) -> Vec<u8> {
        two(0x21, value)
    }

    /// 0x22
    #[must_use]
    pub fn topic_alias_maximum(value: u16) -> Vec<u8> {
        two(0x22, value)
    }

    /// 0x23
    #[must_use]
    pub fn topic_alias(value: u16) -> Vec<u8> {
        two(0x23, value)
    }

    /// 0x26
    #[must_use]
    pub fn user_property(name: &str, value: &str) -> Vec<u8> {
        [vec![0x26], field(name), field(value)].concat()
    }

    /// 0x27
    #[must_use]
    pub fn maximum_packet_size(bytes: u32) -> Vec<u8> {
        four(0x27, bytes)
    }

    fn two(id: u8, value: u16) -> Vec<u8> {
        [&[id][..], &value.to_be_bytes()].concat()
    }

    fn four(id: u8, value: u32) -> Vec<u8> {
        [&[id][..], &value.to_be_bytes()].concat()
    }
}

/// CONNECT to be sent.
#[derive(Clone, Debug)]
pub struct Connect {
    /// Decides the protocol level and whether there are properties.
    pub version: Version,
    /// Client identifier.
    pub client_id: String,
    /// Clean Start or Clean Session.
    pub clean: bool,
    /// Seconds.
    pub keep_alive: u16,
    /// Encoded properties, without their length.
    pub properties: Vec<u8>,
    /// Will message.
    pub will: Option<Will>,
}

/// The will of a [`Connect`].
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// 0 to 2; 3 is written too.
    pub qos: u8,
    /// Will Retain flag.
    pub retain: bool,
    /// Encoded will properties, without their length.
    pub properties: Vec<u8>,
}

impl Connect {
    /// A clean connection without keep alive.
    #[must_use]
    pub fn new(version: Version, client_id: impl Into<String>) -> Self {
        let client_id = client_id.into();
        Self { version, client_id, clean: true, keep_alive: 0, properties: Vec::new(), will: None }
    }

    /// Asks for the session that is there, and to keep it: in 5.0 for `expiry_s` seconds, in 3.1.1 for good.
    #[must_use]
    pub fn persistent(mut self, expiry_s: u32) -> Self {
        self.clean = false;
        if self.version == Version::V5 {
            self.properties.extend(property::session_expiry(expiry_s));
        }
        self
    }

    /// Sets Clean Start.
    #[must_use]
    pub fn clean(mut self, clean: bool) -> Self {
        self.clean = clean;
        self
    }

    /// Sets Keep Alive.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// Adds a will.
    #[must_use]
    pub fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    /// The packet.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut flags = u8::from(self.clean) << 1;
        let mut payload = field(&self.client_id);
        if let Some(will) = &self.will {
            flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
            payload.extend(self.version.list(&will.properties));
            payload.extend(field(&will.topic));
            payload.extend(field(&will.payload));
        }
        connect_bytes(self.version, flags, self.keep_alive, &self.properties, &payload)
    }
}

/// CONNECT with flags and payload as given.
#[must_use]
pub fn connect_bytes(version: Version, flags: u8, keep_alive: u16, properties: &[u8], payload: &[u8]) -> Vec<u8> {
    let head = [field("MQTT"), vec![version.level(), flags], keep_alive.to_be_bytes().to_vec()].concat();
    frame(0x10, &[head, version.list(properties), payload.to_vec()].concat())
}

/// PUBLISH to be sent.
#[derive(Clone, Debug)]
pub struct Publish {
    /// Decides whether there are properties.
    pub version: Version,
    /// Topic name.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// Quality of service.
    pub qos: u8,
    /// Written when `qos` is not 0.
    pub id: u16,
    /// RETAIN flag.
    pub retain: bool,
    /// DUP flag.
    pub dup: bool,
    /// Encoded properties, without their length.
    pub properties: Vec<u8>,
}

impl Publish {
    /// A QoS 0 message.
    #[must_use]
    pub fn new(version: Version, topic: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            version,
            topic: topic.into(),
            payload: payload.into(),
            qos: 0,
            id: 0,
            retain: false,
            dup: false,
            properties: Vec::new(),
        }
    }

    /// Sets QoS and packet identifier.
    #[must_use]
    pub fn qos(mut self, qos: u8, id: u16) -> Self {
        (self.qos, self.id) = (qos, id);
        self
    }

    /// Sets RETAIN.
    #[must_use]
    pub fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Sets DUP.
    #[must_use]
    pub fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn with(mut self, property: Vec<u8>) -> Self {
        self.properties.extend(property);
        self
    }

    /// The packet.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let first = 0x30 | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let id = if self.qos == 0 { Vec::new() } else { self.id.to_be_bytes().to_vec() };
        frame(first, &[field(&self.topic), id, self.version.list(&self.properties), self.payload.clone()].concat())
    }
}

/// SUBSCRIBE with one options byte for each filter.
#[must_use]
pub fn subscribe(version: Version, id: u16, properties: &[u8], filters: &[(&str, u8)]) -> Vec<u8> {
    let mut body = [id.to_be_bytes().to_vec(), version.list(properties)].concat();
    for (filter, options) in filters {
        body.extend(field(filter));
        body.push(*options);
    }
    frame(0x82, &body)
}

/// UNSUBSCRIBE.
#[must_use]
pub fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = [id.to_be_bytes().to_vec(), version.list(&[])].concat();
    filters.iter().for_each(|filter| body.extend(field(filter)));
    frame(0xA2, &body)
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP that reports success: `first` is 0x40, 0x50, 0x62 or 0x70.
#[must_use]
pub fn ack(first: u8, id: u16) -> Vec<u8> {
    frame(first, &id.to_be_bytes())
}

/// The same with a reason code of 5.0.
#[must_use]
pub fn ack_with(first: u8, id: u16, reason: u8) -> Vec<u8> {
    frame(first, &[&id.to_be_bytes()[..], &[reason]].concat())
}

/// PINGREQ.
pub const PINGREQ: &[u8] = &[0xC0, 0];
/// PINGRESP.
pub const PINGRESP: &[u8] = &[0xD0, 0];
/// DISCONNECT without reason code.
pub const DISCONNECT: &[u8] = &[0xE0, 0];

/// DISCONNECT of 5.0 with a reason code and encoded properties.
#[must_use]
pub fn disconnect(reason: u8, properties: &[u8]) -> Vec<u8> {
    frame(0xE0, &[vec![reason], varint(properties.len()), properties.to_vec()].concat())
}
