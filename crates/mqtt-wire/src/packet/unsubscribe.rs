//! UNSUBSCRIBE (section 3.10): topic filters that a client no longer wants.

use super::connect::properties;
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties, write_binary};
use crate::reader::Reader;
use crate::topic::TopicFilter;
use crate::types::Version;

/// UNSUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// Answered by the UNSUBACK with the same identifier.
    pub packet_id: u16,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: UnsubscribeFilters<'a>,
}

/// The topic filters of an UNSUBSCRIBE, checked, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a> {
    raw: &'a [u8],
}

/// Topic filters of an UNSUBSCRIBE under construction.
#[derive(Clone, Debug, Default)]
pub struct UnsubscribeFiltersBuf {
    bytes: Vec<u8>,
}

impl<'a> Unsubscribe<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let properties = properties(&mut reader, version, Carrier::Unsubscribe)?;
        let filters = UnsubscribeFilters { raw: reader.take_rest() };
        let mut checked = Reader::new(filters.raw);
        if checked.is_empty() {
            return Err(DecodeError::Protocol("UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]"));
        }
        while !checked.is_empty() {
            TopicFilter::new(checked.string()?)?;
        }
        Ok(Self { packet_id, properties, filters })
    }

    /// Appends the packet.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let v5 = version.has_properties();
        if self.packet_id == 0 || self.filters.raw.is_empty() {
            return Err(EncodeError::Invalid("UNSUBSCRIBE without packet identifier or topic filter"));
        }
        if !v5 && !self.properties.is_empty() {
            return Err(EncodeError::Version("properties before MQTT 5.0"));
        }
        let properties_len = if v5 { self.properties.encoded_len() } else { 0 };
        encode_header(PacketType::Unsubscribe.first_byte(), 2 + properties_len + self.filters.raw.len(), out)?;
        out.extend_from_slice(&self.packet_id.to_be_bytes());
        if v5 {
            self.properties.encode(out);
        }
        out.extend_from_slice(self.filters.raw);
        Ok(())
    }
}

impl<'a> UnsubscribeFilters<'a> {
    /// The filters, in order.
    pub fn iter(self) -> impl Iterator<Item = TopicFilter<'a>> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || if reader.is_empty() { None } else { TopicFilter::new(reader.string().ok()?).ok() })
    }
}

impl UnsubscribeFiltersBuf {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one filter.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`]: never for a [`TopicFilter`] that was checked.
    pub fn push(&mut self, filter: TopicFilter<'_>) -> Result<(), EncodeError> {
        write_binary(filter.as_str().as_bytes(), &mut self.bytes)
    }

    /// The list, to put into a packet.
    #[must_use]
    pub fn as_filters(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters { raw: &self.bytes }
    }
}
