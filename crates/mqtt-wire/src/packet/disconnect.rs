//! DISCONNECT (section 3.14): the last packet of a connection.

use super::ack::{check_reason, encode_reason_tail, reason_tail, reason_tail_len};
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties};
use crate::reader::Reader;
use crate::types::{ReasonCode, Version};

/// DISCONNECT. Before 5.0 only clients send it, and it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disconnect<'a> {
    /// Why; always success before 5.0.
    pub reason: ReasonCode,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let (reason, properties) =
            if version.has_properties() { reason_tail(&mut reader, Carrier::Disconnect)? } else { Default::default() };
        reader.finish()?;
        check_reason(reason, PacketType::Disconnect)?;
        Ok(Self { reason, properties })
    }

    /// Appends the packet, in its shortest form.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let tail_len = reason_tail_len(self.reason, self.properties, version)?;
        encode_header(PacketType::Disconnect.first_byte(), tail_len, out)?;
        encode_reason_tail(self.reason, self.properties, tail_len, out);
        Ok(())
    }
}
