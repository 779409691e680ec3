//! UNSUBACK (section 3.11): the server's answer to UNSUBSCRIBE.

use super::connect::properties;
use super::suback::encode_codes;
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType};
use crate::properties::{Carrier, Properties};
use crate::reader::Reader;
use crate::types::{ReasonCode, Version};

/// UNSUBACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubAck<'a> {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: u16,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
    /// One reason code a filter in 5.0; empty before.
    pub codes: &'a [u8],
}

impl<'a> UnsubAck<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let properties = properties(&mut reader, version, Carrier::UnsubAck)?;
        let codes = if version.has_properties() { reader.take_rest() } else { &[] };
        reader.finish()?;
        if version.has_properties() && codes.is_empty() {
            return Err(DecodeError::Protocol("UNSUBACK without a reason code [MQTT-3.11.3-1]"));
        }
        if !codes.iter().all(|&code| ReasonCode(code).allowed_in(PacketType::UnsubAck)) {
            return Err(DecodeError::Protocol("reason code reserved in UNSUBACK [MQTT-3.11.3-2]"));
        }
        Ok(Self { packet_id, properties, codes })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if version.has_properties() == self.codes.is_empty() {
            return Err(EncodeError::Version("UNSUBACK has reason codes in MQTT 5.0 and none before"));
        }
        encode_codes(PacketType::UnsubAck, self.packet_id, self.properties, self.codes, version, out)
    }
}
