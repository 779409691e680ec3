//! AUTH (section 3.15): one step of an extended authentication. MQTT 5.0 only.

use super::ack::{check_reason, encode_reason_tail, reason_tail, reason_tail_len};
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties, Property};
use crate::reader::Reader;
use crate::types::{ReasonCode, Version};

/// AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success, continue authentication, or re-authenticate.
    pub reason: ReasonCode,
    /// Authentication method and data, among others.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`]; always before 5.0, where packet type 15 is reserved.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        if !version.has_properties() {
            return Err(DecodeError::Malformed("packet type 15 is reserved before MQTT 5.0"));
        }
        let mut reader = Reader::new(frame.body);
        let (reason, properties) = reason_tail(&mut reader, Carrier::Auth)?;
        reader.finish()?;
        check_reason(reason, PacketType::Auth)?;
        // Section 3.15.2.1 lets a success carry nothing at all; whatever else an AUTH says, it names the method.
        let names_method = properties.iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
        if !names_method && (reason != ReasonCode::SUCCESS || !properties.is_empty()) {
            return Err(DecodeError::Protocol("AUTH without authentication method (section 3.15.2.2.2)"));
        }
        Ok(Self { reason, properties })
    }

    /// Appends the packet, in its shortest form.
    ///
    /// # Errors
    /// [`EncodeError`]; always before 5.0.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !version.has_properties() {
            return Err(EncodeError::Version("AUTH before MQTT 5.0"));
        }
        let tail_len = reason_tail_len(self.reason, self.properties, version)?;
        encode_header(PacketType::Auth.first_byte(), tail_len, out)?;
        encode_reason_tail(self.reason, self.properties, tail_len, out);
        Ok(())
    }
}
