//! CONNACK (section 3.2): the server's answer to CONNECT.

use super::connect::properties;
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties};
use crate::reader::Reader;
use crate::types::{ReasonCode, Version};

/// CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnAck<'a> {
    /// Whether the server had a session for the client. Always `false` in 3.1, which has no such flag.
    pub session_present: bool,
    /// Connect reason code of 5.0; in 3.1 and 3.1.1 the return code, whose values 1 to 5 mean other things (3.1.1
    /// section 3.2.2.3, [`ReasonCode::to_v3_connack`]).
    pub reason: ReasonCode,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let flags = reader.u8()?;
        if flags > 1 && version != Version::V31 {
            return Err(DecodeError::Malformed("reserved connect acknowledge flags [MQTT-3.2.2-1]"));
        }
        let reason = ReasonCode(reader.u8()?);
        let session_present = flags & 1 != 0 && version != Version::V31;
        if session_present && reason != ReasonCode::SUCCESS {
            return Err(DecodeError::Protocol("session present in a refusal [MQTT-3.2.2-6]"));
        }
        let properties = properties(&mut reader, version, Carrier::ConnAck)?;
        reader.finish()?;
        Ok(Self { session_present, reason, properties })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.session_present && self.reason != ReasonCode::SUCCESS {
            return Err(EncodeError::Invalid("session present in a refusal [MQTT-3.2.2-6]"));
        }
        if !version.has_properties() && !self.properties.is_empty() {
            return Err(EncodeError::Version("properties before MQTT 5.0"));
        }
        let body_len = 2 + if version.has_properties() { self.properties.encoded_len() } else { 0 };
        encode_header(PacketType::ConnAck.first_byte(), body_len, out)?;
        out.extend_from_slice(&[u8::from(self.session_present && version != Version::V31), self.reason.0]);
        if version.has_properties() {
            self.properties.encode(out);
        }
        Ok(())
    }
}
