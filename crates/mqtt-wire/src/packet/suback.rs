//! SUBACK (section 3.9): the server's answer to SUBSCRIBE, one code a filter.

use super::connect::properties;
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties};
use crate::reader::Reader;
use crate::types::{ReasonCode, Version};

/// SUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubAck<'a> {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: u16,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
    /// One reason code a filter, in the order of the SUBSCRIBE: 0 to 2 grant a QoS, 0x80 and above refuse.
    pub codes: &'a [u8],
}

impl<'a> SubAck<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let properties = properties(&mut reader, version, Carrier::SubAck)?;
        let codes = reader.take_rest();
        if codes.is_empty() {
            return Err(DecodeError::Protocol("SUBACK without a reason code"));
        }
        let allowed = |code: u8| match version {
            Version::V5 => ReasonCode(code).allowed_in(PacketType::SubAck),
            _ => matches!(code, 0x00..=0x02 | 0x80),
        };
        if !codes.iter().all(|&code| allowed(code)) {
            return Err(DecodeError::Protocol("reason code reserved in SUBACK [MQTT-3.9.3-2]"));
        }
        Ok(Self { packet_id, properties, codes })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.codes.is_empty() {
            return Err(EncodeError::Invalid("SUBACK without a reason code"));
        }
        encode_codes(PacketType::SubAck, self.packet_id, self.properties, self.codes, version, out)
    }
}

/// SUBACK and UNSUBACK differ in their first byte only.
pub(super) fn encode_codes(
    packet_type: PacketType,
    packet_id: u16,
    properties: Properties<'_>,
    codes: &[u8],
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let v5 = version.has_properties();
    if packet_id == 0 {
        return Err(EncodeError::Invalid("packet identifier 0 [MQTT-2.2.1-3]"));
    }
    if !v5 && !properties.is_empty() {
        return Err(EncodeError::Version("properties before MQTT 5.0"));
    }
    let properties_len = if v5 { properties.encoded_len() } else { 0 };
    encode_header(packet_type.first_byte(), 2 + properties_len + codes.len(), out)?;
    out.extend_from_slice(&packet_id.to_be_bytes());
    if v5 {
        properties.encode(out);
    }
    out.extend_from_slice(codes);
    Ok(())
}
