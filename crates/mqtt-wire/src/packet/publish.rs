//! PUBLISH (section 3.3): an application message, in either direction.

use super::connect::properties;
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties, Property, write_binary};
use crate::reader::Reader;
use crate::topic::TopicName;
use crate::types::{QoS, Version};

/// PUBLISH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this may be a repetition; never with QoS 0.
    pub dup: bool,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the server is to keep the message, or has kept it.
    pub retain: bool,
    /// Topic name, checked. Empty only in 5.0 where a topic alias stands for it.
    pub topic: &'a str,
    /// Packet identifier: not zero with QoS 1 and 2, zero (meaning none) with QoS 0.
    pub packet_id: u16,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
    /// Payload.
    pub payload: &'a [u8],
}

/// What stands in front of a PUBLISH's payload: enough to write the packet without its payload at hand.
#[derive(Clone, Copy, Debug)]
pub struct PublishHeader<'a> {
    /// See [`Publish::dup`].
    pub dup: bool,
    /// See [`Publish::qos`].
    pub qos: QoS,
    /// See [`Publish::retain`].
    pub retain: bool,
    /// See [`Publish::topic`].
    pub topic: &'a str,
    /// See [`Publish::packet_id`].
    pub packet_id: u16,
    /// See [`Publish::properties`].
    pub properties: Properties<'a>,
    /// Bytes of the payload that the caller appends.
    pub payload_len: usize,
}

impl<'a> Publish<'a> {
    /// Decodes a PUBLISH frame.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let qos = QoS::from_bits(frame.first >> 1 & 3)?;
        let dup = frame.first & 0x08 != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(DecodeError::Malformed("DUP with QoS 0 [MQTT-3.3.1-2]"));
        }
        let mut reader = Reader::new(frame.body);
        let topic = reader.string()?;
        let packet_id = if qos == QoS::AtMostOnce { 0 } else { reader.packet_id()? };
        let properties = properties(&mut reader, version, Carrier::Publish)?;
        if !topic.is_empty() || !version.has_properties() {
            TopicName::new(topic)?;
        } else if !properties.iter().any(|property| matches!(property, Property::TopicAlias(_))) {
            return Err(DecodeError::Protocol("empty topic name without topic alias (section 3.3.2.1)"));
        }
        Ok(Self { dup, qos, retain: frame.first & 1 != 0, topic, packet_id, properties, payload: reader.take_rest() })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Self { dup, qos, retain, topic, packet_id, properties, payload } = *self;
        PublishHeader { dup, qos, retain, topic, packet_id, properties, payload_len: payload.len() }
            .encode(version, out)?;
        out.extend_from_slice(payload);
        Ok(())
    }
}

impl PublishHeader<'_> {
    /// Bytes of the whole packet, payload included.
    #[must_use]
    pub fn packet_len(&self, version: Version) -> usize {
        let body_len = self.body_len(version);
        1 + crate::frame::varint_len(body_len as u32) + body_len
    }

    /// Appends everything in front of the payload.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let numbered = self.qos != QoS::AtMostOnce;
        if numbered != (self.packet_id != 0) {
            return Err(EncodeError::Invalid("packet identifier zero with QoS 1 or 2, or set with QoS 0"));
        }
        if self.dup && !numbered {
            return Err(EncodeError::Invalid("DUP with QoS 0 [MQTT-3.3.1-2]"));
        }
        if !version.has_properties() && !self.properties.is_empty() {
            return Err(EncodeError::Version("properties before MQTT 5.0"));
        }
        if self.topic.len() > 65_535 {
            return Err(EncodeError::FieldTooLong(self.topic.len()));
        }
        let first =
            PacketType::Publish.first_byte() | u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain);
        encode_header(first, self.body_len(version), out)?;
        write_binary(self.topic.as_bytes(), out)?;
        if numbered {
            out.extend_from_slice(&self.packet_id.to_be_bytes());
        }
        if version.has_properties() {
            self.properties.encode(out);
        }
        Ok(())
    }

    fn body_len(&self, version: Version) -> usize {
        let id_len = if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        let properties_len = if version.has_properties() { self.properties.encoded_len() } else { 0 };
        2 + self.topic.len() + id_len + properties_len + self.payload_len
    }
}
