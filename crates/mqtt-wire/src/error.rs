//! What can be wrong with bytes, or with a packet that is to become bytes.

use crate::types::ReasonCode;

/// Why bytes from a peer are not acceptable MQTT. Each error ends the network connection (section 4.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes cannot be parsed according to the specification ("Malformed Packet", section 1.2).
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    /// The bytes can be parsed, but say what the protocol does not allow ("Protocol Error", section 1.2).
    #[error("protocol error: {0}")]
    Protocol(&'static str),
    /// The packet is larger than the receiver accepts (section 3.1.2.11.4).
    #[error("packet of {size} bytes is larger than the {max} allowed")]
    TooLarge {
        /// Bytes of the whole packet, fixed header included, as announced by its remaining length.
        size: u32,
        /// Most bytes that the receiver accepts.
        max: u32,
    },
    /// CONNECT names a protocol that is not MQTT, or a version other than 3, 4 and 5 (section 3.1.2.2).
    #[error("unsupported protocol name or version {0}")]
    UnsupportedVersion(u8),
    /// CONNECT carries a client identifier that the protocol version does not allow (section 3.1.3.1).
    #[error("client identifier not valid: {0}")]
    ClientIdentifier(&'static str),
    /// A topic name is well-formed UTF-8 but not a valid topic name (section 3.3.2.1).
    #[error("topic name not valid: {0}")]
    TopicName(&'static str),
    /// A topic filter is well-formed UTF-8 but not a valid filter (section 4.7.1).
    #[error("topic filter not valid: {0}")]
    TopicFilter(&'static str),
    /// A topic alias is greater than the receiver has allowed (section 3.3.2.3.4) [MQTT-3.3.2-9].
    #[error("topic alias {0} is greater than the topic alias maximum [MQTT-3.3.2-9]")]
    TopicAlias(u16),
}

impl DecodeError {
    /// The reason code that tells a 5.0 peer (section 4.13.1).
    #[must_use]
    pub fn reason_code(self) -> ReasonCode {
        match self {
            Self::Malformed(_) => ReasonCode::MALFORMED_PACKET,
            Self::Protocol(_) => ReasonCode::PROTOCOL_ERROR,
            Self::TooLarge { .. } => ReasonCode::PACKET_TOO_LARGE,
            Self::UnsupportedVersion(_) => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::ClientIdentifier(_) => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
            Self::TopicName(_) => ReasonCode::TOPIC_NAME_INVALID,
            Self::TopicFilter(_) => ReasonCode::TOPIC_FILTER_INVALID,
            Self::TopicAlias(_) => ReasonCode::TOPIC_ALIAS_INVALID,
        }
    }
}

/// Why a packet cannot be written. The buffer is left as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field has more than 65,535 bytes (section 1.5.4).
    #[error("a field of {0} bytes does not fit its two-byte length")]
    FieldTooLong(usize),
    /// The body has more than 268,435,455 bytes (section 2.1.4).
    #[error("a body of {0} bytes does not fit the remaining length")]
    PacketTooLarge(usize),
    /// The packet carries what the protocol version has no place for.
    #[error("not possible in this protocol version: {0}")]
    Version(&'static str),
    /// The packet's fields contradict each other or the specification.
    #[error("not a valid packet: {0}")]
    Invalid(&'static str),
}
