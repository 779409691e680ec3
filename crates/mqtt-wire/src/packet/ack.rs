//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): four packets of one shape.

use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType, encode_header};
use crate::properties::{Carrier, Properties};
use crate::reader::Reader;
use crate::types::{ReasonCode, Version};

/// Which of the four acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AckKind {
    /// Answers a QoS 1 PUBLISH.
    PubAck,
    /// First answer to a QoS 2 PUBLISH.
    PubRec,
    /// Answers PUBREC.
    PubRel,
    /// Answers PUBREL.
    PubComp,
}

impl AckKind {
    /// The packet type.
    #[must_use]
    pub fn packet_type(self) -> PacketType {
        match self {
            Self::PubAck => PacketType::PubAck,
            Self::PubRec => PacketType::PubRec,
            Self::PubRel => PacketType::PubRel,
            Self::PubComp => PacketType::PubComp,
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Which one.
    pub kind: AckKind,
    /// The packet identifier of the PUBLISH.
    pub packet_id: u16,
    /// Always success before 5.0.
    pub reason: ReasonCode,
    /// Empty before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    /// An acknowledgement that reports success and carries nothing else.
    #[must_use]
    pub fn new(kind: AckKind, packet_id: u16) -> Self {
        Self { kind, packet_id, reason: ReasonCode::SUCCESS, properties: Properties::EMPTY }
    }

    /// Decodes the body.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(frame: &Frame<'a>, kind: AckKind, version: Version) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let (reason, properties) =
            if version.has_properties() { reason_tail(&mut reader, Carrier::PubAck)? } else { Default::default() };
        reader.finish()?;
        check_reason(reason, kind.packet_type())?;
        Ok(Self { kind, packet_id, reason, properties })
    }

    /// Appends the packet, in its shortest form.
    ///
    /// # Errors
    /// [`EncodeError`].
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.packet_id == 0 {
            return Err(EncodeError::Invalid("packet identifier 0 [MQTT-2.2.1-3]"));
        }
        let tail_len = reason_tail_len(self.reason, self.properties, version)?;
        encode_header(self.kind.packet_type().first_byte(), 2 + tail_len, out)?;
        out.extend_from_slice(&self.packet_id.to_be_bytes());
        encode_reason_tail(self.reason, self.properties, tail_len, out);
        Ok(())
    }
}

/// The end that the acknowledgements, DISCONNECT and AUTH share in 5.0: nothing, a reason code, or a reason code and
/// properties (sections 3.4.2.1, 3.14.2.1).
pub(super) fn reason_tail<'a>(
    reader: &mut Reader<'a>,
    carrier: Carrier,
) -> Result<(ReasonCode, Properties<'a>), DecodeError> {
    if reader.is_empty() {
        return Ok(Default::default());
    }
    let reason = ReasonCode(reader.u8()?);
    let properties = if reader.is_empty() { Properties::EMPTY } else { Properties::read(reader, carrier)? };
    Ok((reason, properties))
}

/// [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.14.2-1] and [MQTT-3.15.2-1].
pub(super) fn check_reason(reason: ReasonCode, packet: PacketType) -> Result<(), DecodeError> {
    if reason.allowed_in(packet) {
        Ok(())
    } else {
        Err(DecodeError::Protocol("reason code that the packet may not carry (section 2.4)"))
    }
}

pub(super) fn reason_tail_len(
    reason: ReasonCode,
    properties: Properties<'_>,
    version: Version,
) -> Result<usize, EncodeError> {
    match (version.has_properties(), properties.is_empty(), reason) {
        (false, true, ReasonCode::SUCCESS) | (true, true, ReasonCode::SUCCESS) => Ok(0),
        (false, ..) => Err(EncodeError::Version("reason codes and properties before MQTT 5.0")),
        (true, true, _) => Ok(1),
        (true, false, _) => Ok(1 + properties.encoded_len()),
    }
}

pub(super) fn encode_reason_tail(reason: ReasonCode, properties: Properties<'_>, tail_len: usize, out: &mut Vec<u8>) {
    if tail_len > 0 {
        out.push(reason.0);
    }
    if tail_len > 1 {
        properties.encode(out);
    }
}
