//! CONNECT (section 3.1): a client asks for a connection to the server.

use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties, write_binary};
use crate::reader::Reader;
use crate::topic::TopicName;
use crate::types::{QoS, Version};

/// CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Protocol version that the client speaks from here on.
    pub version: Version,
    /// Clean Start of 5.0, Clean Session of 3.1 and 3.1.1.
    pub clean_start: bool,
    /// Seconds; 0 switches keep alive off.
    pub keep_alive: u16,
    /// May be empty: the server then makes one up, if it is willing to.
    pub client_id: &'a str,
    /// Published by the server when the connection ends without DISCONNECT.
    pub will: Option<Will<'a>>,
    /// User name.
    pub user_name: Option<&'a str>,
    /// Password or any other credential.
    pub password: Option<&'a [u8]>,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
}

/// The will message (section 3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Quality of service of the will.
    pub qos: QoS,
    /// Whether the will is retained.
    pub retain: bool,
    /// Topic name, checked.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Empty before 5.0.
    pub properties: Properties<'a>,
}

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

impl<'a> Connect<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`]; [`DecodeError::UnsupportedVersion`] for a protocol name or level that is not MQTT 3.1, 3.1.1
    /// or 5.0.
    pub fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let name = reader.binary()?;
        let level = reader.u8()?;
        let version = Version::from_level(level)
            .filter(|version| version.protocol_name().as_bytes() == name)
            .ok_or(DecodeError::UnsupportedVersion(level))?;
        let flags = reader.u8()?;
        check_flags(flags, version)?;
        let keep_alive = reader.u16()?;
        let properties = properties(&mut reader, version, Carrier::Connect)?;
        let client_id = reader.string()?;
        let will = if flags & WILL != 0 { Some(decode_will(&mut reader, flags, version)?) } else { None };
        // In 3.1 the remaining length takes precedence over these two flags (3.1 section 3.1).
        let announced =
            |flag: u8, reader: &Reader<'_>| flags & flag != 0 && !(version == Version::V31 && reader.is_empty());
        let user_name = if announced(USER_NAME, &reader) { Some(reader.string()?) } else { None };
        let password = if announced(PASSWORD, &reader) { Some(reader.binary()?) } else { None };
        reader.finish()?;
        let clean_start = flags & CLEAN_START != 0;
        Ok(Self { version, clean_start, keep_alive, client_id, will, user_name, password, properties })
    }

    /// The protocol level of a CONNECT that need not be decodable, if its protocol name is the one of 3.1.1 and 5.0: it
    /// says in which form the client may understand a refusal.
    #[must_use]
    pub fn announced_level(frame: &Frame<'_>) -> Option<u8> {
        let is_connect = frame.first >> 4 == PacketType::Connect as u8;
        let mut reader = Reader::new(frame.body);
        let is_mqtt = reader.binary().is_ok_and(|name| name == Version::V5.protocol_name().as_bytes());
        if is_connect && is_mqtt { reader.u8().ok() } else { None }
    }

    /// Appends the packet, in its own version.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` may then end in a part of the packet ([`Packet::encode`](super::Packet::encode) removes
    /// it).
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let v5 = self.version.has_properties();
        if !v5 && (!self.properties.is_empty() || self.will.is_some_and(|will| !will.properties.is_empty())) {
            return Err(EncodeError::Version("properties before MQTT 5.0"));
        }
        if !v5 && self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeError::Version("password without user name [MQTT-3.1.2-22 of 3.1.1]"));
        }
        let properties_len = |properties: Properties<'_>| if v5 { properties.encoded_len() } else { 0 };
        let name = self.version.protocol_name();
        let mut body_len = 2 + name.len() + 4 + properties_len(self.properties) + 2 + self.client_id.len();
        let mut flags = if self.clean_start { CLEAN_START } else { 0 };
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << 3 | if will.retain { WILL_RETAIN } else { 0 };
            body_len += properties_len(will.properties) + 2 + will.topic.len() + 2 + will.payload.len();
        }
        if let Some(user_name) = self.user_name {
            flags |= USER_NAME;
            body_len += 2 + user_name.len();
        }
        if let Some(password) = self.password {
            flags |= PASSWORD;
            body_len += 2 + password.len();
        }
        encode_header(PacketType::Connect.first_byte(), body_len, out)?;
        let start = out.len();
        write_binary(name.as_bytes(), out)?;
        out.extend_from_slice(&[self.version.level(), flags]);
        out.extend_from_slice(&self.keep_alive.to_be_bytes());
        if v5 {
            self.properties.encode(out);
        }
        write_binary(self.client_id.as_bytes(), out)?;
        if let Some(will) = &self.will {
            if v5 {
                will.properties.encode(out);
            }
            write_binary(will.topic.as_bytes(), out)?;
            write_binary(will.payload, out)?;
        }
        if let Some(user_name) = self.user_name {
            write_binary(user_name.as_bytes(), out)?;
        }
        if let Some(password) = self.password {
            write_binary(password, out)?;
        }
        debug_assert_eq!(out.len() - start, body_len);
        Ok(())
    }
}

/// A property list where the version has them.
pub(super) fn properties<'a>(
    reader: &mut Reader<'a>,
    version: Version,
    carrier: Carrier,
) -> Result<Properties<'a>, DecodeError> {
    if version.has_properties() { Properties::read(reader, carrier) } else { Ok(Properties::EMPTY) }
}

fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    if flags & 1 != 0 && version != Version::V31 {
        return Err(DecodeError::Malformed("reserved connect flag [MQTT-3.1.2-3]"));
    }
    // Section 3.1 of 3.1 disregards them.
    if flags & WILL == 0 && flags & 0x38 != 0 && version != Version::V31 {
        return Err(DecodeError::Malformed("will QoS or will retain without will flag [MQTT-3.1.2-11, 3.1.2-13]"));
    }
    if !version.has_properties() && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(DecodeError::Malformed("password without user name [MQTT-3.1.2-22 of 3.1.1]"));
    }
    Ok(())
}

fn decode_will<'a>(reader: &mut Reader<'a>, flags: u8, version: Version) -> Result<Will<'a>, DecodeError> {
    let qos = QoS::from_bits(flags >> 3 & 3).map_err(|_| DecodeError::Malformed("will QoS 3 [MQTT-3.1.2-12]"))?;
    let properties = properties(reader, version, Carrier::Will)?;
    let topic = TopicName::new(reader.string()?)?.as_str();
    let payload = reader.binary()?;
    Ok(Will { qos, retain: flags & WILL_RETAIN != 0, topic, payload, properties })
}
