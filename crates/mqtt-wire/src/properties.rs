//! The properties of MQTT 5.0 (section 2.2.2): checked once against the packet that carries them, then read from the
//! packet's own bytes.

use crate::error::{DecodeError, EncodeError};
use crate::frame::{VARINT_MAX, encode_varint, varint_len};
use crate::reader::Reader;

/// One property, borrowed. The names are those of the specification's table 2-4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    /// 0: unspecified bytes, 1: UTF-8 text.
    PayloadFormatIndicator(u8),
    /// Seconds.
    MessageExpiryInterval(u32),
    /// The application's name for what the payload is.
    ContentType(&'a str),
    /// Topic name for a response.
    ResponseTopic(&'a str),
    /// Ties a response to its request.
    CorrelationData(&'a [u8]),
    /// Chosen by the subscriber, 1 to 268,435,455.
    SubscriptionIdentifier(u32),
    /// Seconds that the session outlives its connection; `u32::MAX` means for ever.
    SessionExpiryInterval(u32),
    /// The client identifier that the server made up.
    AssignedClientIdentifier(&'a str),
    /// Seconds; replaces what the client asked for.
    ServerKeepAlive(u16),
    /// Name of the authentication method.
    AuthenticationMethod(&'a str),
    /// Defined by the method.
    AuthenticationData(&'a [u8]),
    /// 0 or 1.
    RequestProblemInformation(u8),
    /// Seconds between the loss of the connection and the will.
    WillDelayInterval(u32),
    /// 0 or 1.
    RequestResponseInformation(u8),
    /// Basis for a response topic.
    ResponseInformation(&'a str),
    /// Another server to use.
    ServerReference(&'a str),
    /// For people who read logs.
    ReasonString(&'a str),
    /// QoS 1 and 2 messages in flight that the sender of this accepts; not zero.
    ReceiveMaximum(u16),
    /// Highest topic alias that the sender of this accepts.
    TopicAliasMaximum(u16),
    /// Stands for the topic name; not zero.
    TopicAlias(u16),
    /// 0 or 1; absent means 2.
    MaximumQoS(u8),
    /// 0 or 1.
    RetainAvailable(u8),
    /// A name and a value; the only property that any packet may repeat at will.
    UserProperty(&'a str, &'a str),
    /// Bytes; not zero.
    MaximumPacketSize(u32),
    /// 0 or 1.
    WildcardSubscriptionAvailable(u8),
    /// 0 or 1.
    SubscriptionIdentifierAvailable(u8),
    /// 0 or 1.
    SharedSubscriptionAvailable(u8),
}

/// Which packet carries a property list. Decides what may be in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[allow(missing_docs, reason = "the names are those of the control packets")]
pub enum Carrier {
    Connect = 1,
    ConnAck = 1 << 1,
    Publish = 1 << 2,
    Will = 1 << 3,
    /// PUBACK, PUBREC, PUBREL and PUBCOMP.
    PubAck = 1 << 4,
    Subscribe = 1 << 5,
    SubAck = 1 << 6,
    Unsubscribe = 1 << 7,
    UnsubAck = 1 << 8,
    Disconnect = 1 << 9,
    Auth = 1 << 10,
}

impl Property<'_> {
    /// The property's identifier (table 2-4).
    #[must_use]
    pub fn id(&self) -> u8 {
        match self {
            Self::PayloadFormatIndicator(_) => 0x01,
            Self::MessageExpiryInterval(_) => 0x02,
            Self::ContentType(_) => 0x03,
            Self::ResponseTopic(_) => 0x08,
            Self::CorrelationData(_) => 0x09,
            Self::SubscriptionIdentifier(_) => 0x0B,
            Self::SessionExpiryInterval(_) => 0x11,
            Self::AssignedClientIdentifier(_) => 0x12,
            Self::ServerKeepAlive(_) => 0x13,
            Self::AuthenticationMethod(_) => 0x15,
            Self::AuthenticationData(_) => 0x16,
            Self::RequestProblemInformation(_) => 0x17,
            Self::WillDelayInterval(_) => 0x18,
            Self::RequestResponseInformation(_) => 0x19,
            Self::ResponseInformation(_) => 0x1A,
            Self::ServerReference(_) => 0x1C,
            Self::ReasonString(_) => 0x1F,
            Self::ReceiveMaximum(_) => 0x21,
            Self::TopicAliasMaximum(_) => 0x22,
            Self::TopicAlias(_) => 0x23,
            Self::MaximumQoS(_) => 0x24,
            Self::RetainAvailable(_) => 0x25,
            Self::UserProperty(..) => 0x26,
            Self::MaximumPacketSize(_) => 0x27,
            Self::WildcardSubscriptionAvailable(_) => 0x28,
            Self::SubscriptionIdentifierAvailable(_) => 0x29,
            Self::SharedSubscriptionAvailable(_) => 0x2A,
        }
    }

    /// Whether a packet may carry the property (table 2-4).
    #[must_use]
    pub fn allowed_in(&self, carrier: Carrier) -> bool {
        carriers(self.id()) & carrier as u16 != 0
    }
}

/// Bit set of [`Carrier`]s in which the property may stand (table 2-4).
fn carriers(id: u8) -> u16 {
    const CONNECT: u16 = Carrier::Connect as u16;
    const CONNACK: u16 = Carrier::ConnAck as u16;
    const PUBLISH: u16 = Carrier::Publish as u16;
    const WILL: u16 = Carrier::Will as u16;
    const ACKS: u16 = Carrier::PubAck as u16 | Carrier::SubAck as u16 | Carrier::UnsubAck as u16;
    const DISCONNECT: u16 = Carrier::Disconnect as u16;
    const AUTH: u16 = Carrier::Auth as u16;
    match id {
        0x01 | 0x02 | 0x03 | 0x08 | 0x09 => PUBLISH | WILL,
        0x0B => PUBLISH | Carrier::Subscribe as u16,
        0x11 => CONNECT | CONNACK | DISCONNECT,
        0x12 | 0x13 | 0x1A | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => CONNACK,
        0x15 | 0x16 => CONNECT | CONNACK | AUTH,
        0x17 | 0x19 => CONNECT,
        0x18 => WILL,
        0x1C => CONNACK | DISCONNECT,
        0x1F => CONNACK | ACKS | DISCONNECT | AUTH,
        0x21 | 0x22 | 0x27 => CONNECT | CONNACK,
        0x23 => PUBLISH,
        0x26 => u16::MAX,
        _ => 0,
    }
}

/// The property list of one packet: the bytes between its length and its end, already checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self { raw: &[] };

    /// Reads a property list with its length and checks every property.
    pub(crate) fn read(reader: &mut Reader<'a>, carrier: Carrier) -> Result<Self, DecodeError> {
        let length = reader.varint()?;
        if length == 0 {
            return Ok(Self::EMPTY);
        }
        Self::check(reader.bytes(length as usize)?, carrier)
    }

    /// Checks the bytes of a property list, without its length.
    ///
    /// # Errors
    /// [`DecodeError`] for malformed bytes, for a property that `carrier` may not have, for one that stands twice, and
    /// for values outside their range.
    pub fn check(raw: &'a [u8], carrier: Carrier) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw);
        let mut seen = 0_u64;
        while !reader.is_empty() {
            let property = read_property(&mut reader)?;
            let id = property.id();
            if !property.allowed_in(carrier) {
                return Err(DecodeError::Protocol("property not allowed in this packet"));
            }
            let repeatable = matches!(property, Property::UserProperty(..))
                || (matches!(property, Property::SubscriptionIdentifier(_)) && carrier == Carrier::Publish);
            if seen & (1 << id) != 0 && !repeatable {
                return Err(DecodeError::Protocol("property stands twice"));
            }
            seen |= 1 << id;
            check_value(&property)?;
        }
        if seen & (1 << 0x15 | 1 << 0x16) == 1 << 0x16 {
            return Err(DecodeError::Protocol("authentication data without a method (section 3.1.2.11.10)"));
        }
        Ok(Self { raw })
    }

    /// A list whose bytes were taken from another one with [`as_bytes`](Self::as_bytes), and so need no check. Other
    /// bytes do no harm: the list then ends at the first property that cannot be read.
    #[must_use]
    pub fn from_checked(raw: &'a [u8]) -> Self {
        Self { raw }
    }

    /// The properties, in the order in which they stand.
    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || if reader.is_empty() { None } else { read_property(&mut reader).ok() })
    }

    /// The encoded properties, without their length.
    #[must_use]
    pub fn as_bytes(self) -> &'a [u8] {
        self.raw
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }

    /// Bytes that the list takes on the wire, its length included.
    pub(crate) fn encoded_len(self) -> usize {
        varint_len(self.raw.len() as u32) + self.raw.len()
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        encode_varint(self.raw.len() as u32, out);
        out.extend_from_slice(self.raw);
    }
}

/// A property list under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf {
    bytes: Vec<u8>,
}

impl PropertiesBuf {
    /// An empty list; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one property.
    ///
    /// # Errors
    /// [`EncodeError`] when a string is too long, a value is outside its range, or the list is full; the list is then
    /// unchanged.
    pub fn push(&mut self, property: Property<'_>) -> Result<(), EncodeError> {
        check_value(&property).map_err(|_| EncodeError::Invalid("property value outside its range"))?;
        let start = self.bytes.len();
        self.bytes.push(property.id());
        let pushed = write_value(&property, &mut self.bytes);
        let fits = self.bytes.len() <= VARINT_MAX as usize;
        let result = pushed.and(if fits { Ok(()) } else { Err(EncodeError::PacketTooLarge(self.bytes.len())) });
        if result.is_err() {
            self.bytes.truncate(start);
        }
        result
    }

    /// Appends properties that are already encoded and checked.
    pub fn extend(&mut self, properties: Properties<'_>) {
        self.bytes.extend_from_slice(properties.raw);
    }

    /// The list, to put into a packet.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties { raw: &self.bytes }
    }

    /// Empties the list and keeps its memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

fn read_property<'a>(reader: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
    Ok(match reader.varint()? {
        0x01 => Property::PayloadFormatIndicator(reader.u8()?),
        0x02 => Property::MessageExpiryInterval(reader.u32()?),
        0x03 => Property::ContentType(reader.string()?),
        0x08 => Property::ResponseTopic(reader.string()?),
        0x09 => Property::CorrelationData(reader.binary()?),
        0x0B => Property::SubscriptionIdentifier(reader.varint()?),
        0x11 => Property::SessionExpiryInterval(reader.u32()?),
        0x12 => Property::AssignedClientIdentifier(reader.string()?),
        0x13 => Property::ServerKeepAlive(reader.u16()?),
        0x15 => Property::AuthenticationMethod(reader.string()?),
        0x16 => Property::AuthenticationData(reader.binary()?),
        0x17 => Property::RequestProblemInformation(reader.u8()?),
        0x18 => Property::WillDelayInterval(reader.u32()?),
        0x19 => Property::RequestResponseInformation(reader.u8()?),
        0x1A => Property::ResponseInformation(reader.string()?),
        0x1C => Property::ServerReference(reader.string()?),
        0x1F => Property::ReasonString(reader.string()?),
        0x21 => Property::ReceiveMaximum(reader.u16()?),
        0x22 => Property::TopicAliasMaximum(reader.u16()?),
        0x23 => Property::TopicAlias(reader.u16()?),
        0x24 => Property::MaximumQoS(reader.u8()?),
        0x25 => Property::RetainAvailable(reader.u8()?),
        0x26 => Property::UserProperty(reader.string()?, reader.string()?),
        0x27 => Property::MaximumPacketSize(reader.u32()?),
        0x28 => Property::WildcardSubscriptionAvailable(reader.u8()?),
        0x29 => Property::SubscriptionIdentifierAvailable(reader.u8()?),
        0x2A => Property::SharedSubscriptionAvailable(reader.u8()?),
        _ => return Err(DecodeError::Malformed("unknown property identifier")),
    })
}

/// The ranges of single values (sections 3.1.2.11 to 3.3.2.3).
fn check_value(property: &Property<'_>) -> Result<(), DecodeError> {
    let broken = match *property {
        Property::PayloadFormatIndicator(value)
        | Property::RequestProblemInformation(value)
        | Property::RequestResponseInformation(value)
        | Property::MaximumQoS(value)
        | Property::RetainAvailable(value)
        | Property::WildcardSubscriptionAvailable(value)
        | Property::SubscriptionIdentifierAvailable(value)
        | Property::SharedSubscriptionAvailable(value)
            if value > 1 =>
        {
            "property value other than 0 and 1"
        }
        Property::SubscriptionIdentifier(0) => "subscription identifier 0 (section 3.8.2.1.2)",
        Property::ReceiveMaximum(0) => "receive maximum 0 (section 3.1.2.11.3)",
        Property::TopicAlias(0) => return Err(DecodeError::Protocol("topic alias 0 [MQTT-3.3.2-8]")),
        Property::MaximumPacketSize(0) => "maximum packet size 0 (section 3.1.2.11.4)",
        Property::ResponseTopic("") => "empty response topic [MQTT-4.7.3-1]",
        Property::ResponseTopic(topic) if topic.contains(['+', '#']) => {
            "wildcard character in a response topic [MQTT-3.3.2-14]"
        }
        _ => return Ok(()),
    };
    Err(DecodeError::Protocol(broken))
}

fn write_value(property: &Property<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match *property {
        Property::PayloadFormatIndicator(value)
        | Property::RequestProblemInformation(value)
        | Property::RequestResponseInformation(value)
        | Property::MaximumQoS(value)
        | Property::RetainAvailable(value)
        | Property::WildcardSubscriptionAvailable(value)
        | Property::SubscriptionIdentifierAvailable(value)
        | Property::SharedSubscriptionAvailable(value) => out.push(value),
        Property::ServerKeepAlive(value)
        | Property::ReceiveMaximum(value)
        | Property::TopicAliasMaximum(value)
        | Property::TopicAlias(value) => out.extend_from_slice(&value.to_be_bytes()),
        Property::MessageExpiryInterval(value)
        | Property::SessionExpiryInterval(value)
        | Property::WillDelayInterval(value)
        | Property::MaximumPacketSize(value) => out.extend_from_slice(&value.to_be_bytes()),
        Property::SubscriptionIdentifier(value) => {
            if value > VARINT_MAX {
                return Err(EncodeError::Invalid("property value outside its range"));
            }
            encode_varint(value, out);
        }
        Property::ContentType(text)
        | Property::ResponseTopic(text)
        | Property::AssignedClientIdentifier(text)
        | Property::AuthenticationMethod(text)
        | Property::ResponseInformation(text)
        | Property::ServerReference(text)
        | Property::ReasonString(text) => write_binary(text.as_bytes(), out)?,
        Property::CorrelationData(bytes) | Property::AuthenticationData(bytes) => write_binary(bytes, out)?,
        Property::UserProperty(name, value) => {
            write_binary(name.as_bytes(), out)?;
            write_binary(value.as_bytes(), out)?;
        }
    }
    Ok(())
}

/// Appends bytes with their two-byte length (sections 1.5.4 and 1.5.6).
pub(crate) fn write_binary(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let length = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong(bytes.len()))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}
