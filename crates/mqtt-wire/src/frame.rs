//! Where one control packet ends and the next begins: the fixed header (section 2.1).

use crate::error::{DecodeError, EncodeError};
use crate::types::Version;

/// Largest value of a variable byte integer, and so of the remaining length (section 1.5.5).
pub const VARINT_MAX: u32 = 268_435_455;

/// The type of a control packet: the upper four bits of its first byte (section 2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names are those of the specification's table 2-1")]
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// The type that a first byte names.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for type 0, which is reserved.
    pub fn from_first_byte(first: u8) -> Result<Self, DecodeError> {
        Ok(match first >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return Err(DecodeError::Malformed("packet type 0 is reserved")),
        })
    }

    /// The first byte of every packet of this type but PUBLISH, whose flags vary (section 2.1.3).
    #[must_use]
    pub fn first_byte(self) -> u8 {
        let flags = match self {
            Self::PubRel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        };
        (self as u8) << 4 | flags
    }
}

/// One whole control packet, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Type and flags.
    pub first: u8,
    /// Variable header and payload.
    pub body: &'a [u8],
    /// The whole packet, fixed header included.
    pub raw: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame at the start of `bytes`, or `None` when it is not whole yet.
    ///
    /// # Errors
    /// A remaining length that is malformed, or a packet over `max_size` bytes: known as soon as its length is, before
    /// its body has arrived.
    pub fn split(bytes: &'a [u8], max_size: u32) -> Result<Option<Self>, DecodeError> {
        let Some((header_len, size)) = Self::measure(bytes, max_size)? else { return Ok(None) };
        let Some(raw) = bytes.get(..size) else { return Ok(None) };
        Ok(Some(Self { first: raw[0], body: &raw[header_len..], raw }))
    }

    /// The packet that `bytes` begin with, as much of it as is there: for what can be said of one that is refused before
    /// it is whole. Its body is empty where the fixed header is not whole or malformed.
    #[must_use]
    pub fn beginning(bytes: &'a [u8]) -> Self {
        let (&first, length) = bytes.split_first().unwrap_or((&0, &[]));
        let length_len = decode_varint(length).ok().flatten().map_or(length.len(), |(_, length_len)| length_len);
        Self { first, body: &length[length_len..], raw: bytes }
    }

    /// Bytes of the fixed header and of the whole packet that `bytes` begin with, or `None` when even the header is
    /// not whole yet.
    ///
    /// # Errors
    /// As [`split`](Self::split).
    pub fn measure(bytes: &[u8], max_size: u32) -> Result<Option<(usize, usize)>, DecodeError> {
        let Some((&first, length)) = bytes.split_first() else { return Ok(None) };
        if first >> 4 == 0 {
            return Err(DecodeError::Malformed("packet type 0 is reserved"));
        }
        let Some((remaining, length_len)) = decode_varint(length)? else { return Ok(None) };
        let size = 1 + length_len as u32 + remaining;
        if size > max_size {
            return Err(DecodeError::TooLarge { size, max: max_size });
        }
        Ok(Some((1 + length_len, size as usize)))
    }

    /// The type of the packet, on a connection that speaks `version`. MQTT 3.1 allows DUP on a PUBREL, SUBSCRIBE or
    /// UNSUBSCRIBE that is sent again (3.1 section 2.1).
    ///
    /// # Errors
    /// As [`packet_type`](Self::packet_type).
    pub fn packet_type_in(&self, version: Version) -> Result<PacketType, DecodeError> {
        let first = match self.first {
            0x6A | 0x8A | 0xAA if version == Version::V31 => self.first & !0x08,
            first => first,
        };
        Self { first, ..*self }.packet_type()
    }

    /// The type of the packet.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when the flags are not those that the type demands [MQTT-2.1.3-1].
    pub fn packet_type(&self) -> Result<PacketType, DecodeError> {
        let packet_type = PacketType::from_first_byte(self.first)?;
        if packet_type != PacketType::Publish && self.first != packet_type.first_byte() {
            return Err(DecodeError::Malformed("reserved flags of the fixed header [MQTT-2.1.3-1]"));
        }
        Ok(packet_type)
    }
}

/// The variable byte integer at the start of `bytes` and how many bytes it takes, or `None` when it is not whole yet.
/// Overlong forms are accepted here: the remaining length of an MQTT 3.1.1 peer may use them.
///
/// # Errors
/// [`DecodeError::Malformed`] when the fourth byte still has its continuation bit.
pub fn decode_varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0_u32;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(DecodeError::Malformed("variable byte integer of more than four bytes"))
    }
}

/// Bytes that a variable byte integer takes in its shortest form [MQTT-1.5.5-1].
#[must_use]
pub fn varint_len(value: u32) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// Appends a variable byte integer. `value` must not exceed [`VARINT_MAX`].
pub fn encode_varint(mut value: u32, out: &mut Vec<u8>) {
    debug_assert!(value <= VARINT_MAX);
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a fixed header for a body of `body_len` bytes.
///
/// # Errors
/// [`EncodeError::PacketTooLarge`], with nothing appended.
pub fn encode_header(first: u8, body_len: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let remaining = u32::try_from(body_len).ok().filter(|&n| n <= VARINT_MAX);
    let remaining = remaining.ok_or(EncodeError::PacketTooLarge(body_len))?;
    out.push(first);
    encode_varint(remaining, out);
    Ok(())
}
