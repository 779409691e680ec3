//! SUBSCRIBE (section 3.8): topic filters that a client wants messages for.

use super::connect::properties;
use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties, write_binary};
use crate::reader::Reader;
use crate::topic::TopicFilter;
use crate::types::{QoS, Version};

/// SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// Answered by the SUBACK with the same identifier.
    pub packet_id: u16,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
    /// At least one.
    pub filters: SubscribeFilters<'a>,
}

/// The topic filters of a SUBSCRIBE, checked, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilters<'a> {
    raw: &'a [u8],
}

/// Topic filters of a SUBSCRIBE under construction.
#[derive(Clone, Debug, Default)]
pub struct SubscribeFiltersBuf {
    bytes: Vec<u8>,
}

/// What a subscriber wants of a filter's messages (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscribeOptions {
    /// Highest QoS at which to deliver.
    pub qos: QoS,
    /// Do not deliver what the subscriber itself publishes.
    pub no_local: bool,
    /// Deliver with the RETAIN flag as published, instead of cleared.
    pub retain_as_published: bool,
    /// Whether retained messages are sent when the subscription is made.
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent (section 3.8.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// At every subscribe.
    #[default]
    Send = 0,
    /// Only when the subscription did not exist.
    SendIfNew = 1,
    /// Never.
    DoNotSend = 2,
}

impl SubscribeOptions {
    /// The No Local bit of the options byte.
    pub const NO_LOCAL: u8 = 1 << 2;
    /// The Retain As Published bit of the options byte.
    pub const RETAIN_AS_PUBLISHED: u8 = 1 << 3;

    /// Options that ask for a QoS and nothing else, as 3.1.1 does.
    #[must_use]
    pub fn with_qos(qos: QoS) -> Self {
        Self { qos, ..Self::default() }
    }

    /// The options byte.
    #[must_use]
    pub fn to_bits(self) -> u8 {
        self.qos as u8
            | if self.no_local { Self::NO_LOCAL } else { 0 }
            | if self.retain_as_published { Self::RETAIN_AS_PUBLISHED } else { 0 }
            | (self.retain_handling as u8) << 4
    }

    /// Reads the options byte.
    ///
    /// # Errors
    /// [`DecodeError`] for QoS 3, retain handling 3, and reserved bits.
    pub fn from_bits(bits: u8, version: Version) -> Result<Self, DecodeError> {
        let reserved = if version.has_properties() { 0xC0 } else { 0xFC };
        if bits & reserved != 0 {
            return Err(DecodeError::Malformed("reserved subscription option bits [MQTT-3.8.3-5]"));
        }
        let qos =
            QoS::from_bits(bits & 3).map_err(|_| DecodeError::Protocol("QoS 3 in a subscription (section 3.8.3.1)"))?;
        let retain_handling = match bits >> 4 & 3 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(DecodeError::Protocol("retain handling 3 (section 3.8.3.1)")),
        };
        Ok(Self {
            qos,
            no_local: bits & Self::NO_LOCAL != 0,
            retain_as_published: bits & Self::RETAIN_AS_PUBLISHED != 0,
            retain_handling,
        })
    }
}

impl<'a> Subscribe<'a> {
    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let properties = properties(&mut reader, version, Carrier::Subscribe)?;
        let filters = SubscribeFilters { raw: reader.take_rest() };
        let mut checked = Reader::new(filters.raw);
        if checked.is_empty() {
            return Err(DecodeError::Protocol("SUBSCRIBE without a topic filter [MQTT-3.8.3-2]"));
        }
        while !checked.is_empty() {
            let filter = TopicFilter::new(checked.string()?)?;
            let options = SubscribeOptions::from_bits(checked.u8()?, version)?;
            if options.no_local && filter.shared().is_some() {
                return Err(DecodeError::Protocol("No Local on a shared subscription [MQTT-3.8.3-4]"));
            }
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
            return Err(EncodeError::Invalid("SUBSCRIBE without packet identifier or topic filter"));
        }
        if !v5 && (!self.properties.is_empty() || self.filters.iter().any(|(_, options)| options.to_bits() > 2)) {
            return Err(EncodeError::Version("properties and subscription options before MQTT 5.0"));
        }
        let properties_len = if v5 { self.properties.encoded_len() } else { 0 };
        encode_header(PacketType::Subscribe.first_byte(), 2 + properties_len + self.filters.raw.len(), out)?;
        out.extend_from_slice(&self.packet_id.to_be_bytes());
        if v5 {
            self.properties.encode(out);
        }
        out.extend_from_slice(self.filters.raw);
        Ok(())
    }
}

impl<'a> SubscribeFilters<'a> {
    /// The filters and their options, in order.
    pub fn iter(self) -> impl Iterator<Item = (TopicFilter<'a>, SubscribeOptions)> {
        let mut reader = Reader::new(self.raw);
        std::iter::from_fn(move || {
            if reader.is_empty() {
                return None;
            }
            let filter = TopicFilter::new(reader.string().ok()?).ok()?;
            let options = SubscribeOptions::from_bits(reader.u8().ok()?, Version::V5).ok()?;
            Some((filter, options))
        })
    }
}

impl SubscribeFiltersBuf {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one filter.
    ///
    /// # Errors
    /// [`EncodeError::FieldTooLong`]: never for a [`TopicFilter`] that was checked.
    pub fn push(&mut self, filter: TopicFilter<'_>, options: SubscribeOptions) -> Result<(), EncodeError> {
        write_binary(filter.as_str().as_bytes(), &mut self.bytes)?;
        self.bytes.push(options.to_bits());
        Ok(())
    }

    /// The list, to put into a packet.
    #[must_use]
    pub fn as_filters(&self) -> SubscribeFilters<'_> {
        SubscribeFilters { raw: &self.bytes }
    }
}
