//! Protocol version, quality of service, reason codes.

use crate::error::DecodeError;
use crate::frame::PacketType;

/// The protocol version of a connection, as the protocol level byte of CONNECT names it (section 3.1.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Version {
    /// MQTT 3.1 (`MQIsdp`, level 3).
    V31 = 3,
    /// MQTT 3.1.1 (`MQTT`, level 4).
    V311 = 4,
    /// MQTT 5.0 (`MQTT`, level 5).
    V5 = 5,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// The version with this protocol level, if there is one.
    #[must_use]
    pub fn from_level(level: u8) -> Option<Self> {
        match level {
            3 => Some(Self::V31),
            4 => Some(Self::V311),
            5 => Some(Self::V5),
            _ => None,
        }
    }

    /// The protocol level byte.
    #[must_use]
    pub fn level(self) -> u8 {
        self as u8
    }

    /// Whether packets of this version carry properties and reason codes.
    #[must_use]
    pub fn has_properties(self) -> bool {
        self == Self::V5
    }

    /// The protocol name field of CONNECT.
    #[must_use]
    pub fn protocol_name(self) -> &'static str {
        if self == Self::V31 { "MQIsdp" } else { "MQTT" }
    }
}

/// Quality of service (section 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// All levels, lowest first.
    pub const ALL: [Self; 3] = [Self::AtMostOnce, Self::AtLeastOnce, Self::ExactlyOnce];

    /// The level whose two bits these are; 3 is malformed [MQTT-3.3.1-4].
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] for any value over 2.
    pub fn from_bits(bits: u8) -> Result<Self, DecodeError> {
        match bits {
            0 => Ok(Self::AtMostOnce),
            1 => Ok(Self::AtLeastOnce),
            2 => Ok(Self::ExactlyOnce),
            _ => Err(DecodeError::Malformed("QoS 3 [MQTT-3.3.1-4]")),
        }
    }
}

/// A reason code of MQTT 5.0 (section 2.4), or a return code of 3.1.1 where the packet is of that version. Codes from
/// 0x80 on mean failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)*) => {
        impl ReasonCode {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The name that the specification gives to the code; codes with two names (0x00) get the common one.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($value => $text,)*
                    _ => "unknown reason code",
                }
            }
        }
    };
}

reason_codes! {
    /// Success, normal disconnection, granted QoS 0.
    SUCCESS = 0x00, "success";
    /// Granted QoS 1.
    GRANTED_QOS_1 = 0x01, "granted QoS 1";
    /// Granted QoS 2.
    GRANTED_QOS_2 = 0x02, "granted QoS 2";
    /// Disconnect with will message.
    DISCONNECT_WITH_WILL = 0x04, "disconnect with will message";
    /// No matching subscribers.
    NO_MATCHING_SUBSCRIBERS = 0x10, "no matching subscribers";
    /// No subscription existed.
    NO_SUBSCRIPTION_EXISTED = 0x11, "no subscription existed";
    /// Continue authentication.
    CONTINUE_AUTHENTICATION = 0x18, "continue authentication";
    /// Re-authenticate.
    RE_AUTHENTICATE = 0x19, "re-authenticate";
    /// Unspecified error (and the only failure of a 3.1.1 SUBACK).
    UNSPECIFIED_ERROR = 0x80, "unspecified error";
    /// Malformed packet.
    MALFORMED_PACKET = 0x81, "malformed packet";
    /// Protocol error.
    PROTOCOL_ERROR = 0x82, "protocol error";
    /// Implementation specific error.
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "implementation specific error";
    /// Unsupported protocol version.
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "unsupported protocol version";
    /// Client identifier not valid.
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "client identifier not valid";
    /// Bad user name or password.
    BAD_USER_NAME_OR_PASSWORD = 0x86, "bad user name or password";
    /// Not authorized.
    NOT_AUTHORIZED = 0x87, "not authorized";
    /// Server unavailable.
    SERVER_UNAVAILABLE = 0x88, "server unavailable";
    /// Server busy.
    SERVER_BUSY = 0x89, "server busy";
    /// Banned.
    BANNED = 0x8A, "banned";
    /// Server shutting down.
    SERVER_SHUTTING_DOWN = 0x8B, "server shutting down";
    /// Bad authentication method.
    BAD_AUTHENTICATION_METHOD = 0x8C, "bad authentication method";
    /// Keep alive timeout.
    KEEP_ALIVE_TIMEOUT = 0x8D, "keep alive timeout";
    /// Session taken over.
    SESSION_TAKEN_OVER = 0x8E, "session taken over";
    /// Topic filter invalid.
    TOPIC_FILTER_INVALID = 0x8F, "topic filter invalid";
    /// Topic name invalid.
    TOPIC_NAME_INVALID = 0x90, "topic name invalid";
    /// Packet identifier in use.
    PACKET_IDENTIFIER_IN_USE = 0x91, "packet identifier in use";
    /// Packet identifier not found.
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "packet identifier not found";
    /// Receive maximum exceeded.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "receive maximum exceeded";
    /// Topic alias invalid.
    TOPIC_ALIAS_INVALID = 0x94, "topic alias invalid";
    /// Packet too large.
    PACKET_TOO_LARGE = 0x95, "packet too large";
    /// Message rate too high.
    MESSAGE_RATE_TOO_HIGH = 0x96, "message rate too high";
    /// Quota exceeded.
    QUOTA_EXCEEDED = 0x97, "quota exceeded";
    /// Administrative action.
    ADMINISTRATIVE_ACTION = 0x98, "administrative action";
    /// Payload format invalid.
    PAYLOAD_FORMAT_INVALID = 0x99, "payload format invalid";
    /// Retain not supported.
    RETAIN_NOT_SUPPORTED = 0x9A, "retain not supported";
    /// QoS not supported.
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported";
    /// Use another server.
    USE_ANOTHER_SERVER = 0x9C, "use another server";
    /// Server moved.
    SERVER_MOVED = 0x9D, "server moved";
    /// Shared subscriptions not supported.
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "shared subscriptions not supported";
    /// Connection rate exceeded.
    CONNECTION_RATE_EXCEEDED = 0x9F, "connection rate exceeded";
    /// Maximum connect time.
    MAXIMUM_CONNECT_TIME = 0xA0, "maximum connect time";
    /// Subscription identifiers not supported.
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "subscription identifiers not supported";
    /// Wildcard subscriptions not supported.
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "wildcard subscriptions not supported";
}

impl ReasonCode {
    /// Whether the code means failure (section 2.4).
    #[must_use]
    pub fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// Whether a packet of MQTT 5.0 may carry the code (table 2-6, and the table of each packet). Whatever reports failure
    /// to connect is let pass: a client had rather know the code than that it should not be there.
    #[must_use]
    pub fn allowed_in(self, packet: PacketType) -> bool {
        match packet {
            PacketType::ConnAck => self == Self::SUCCESS || self.is_error(),
            PacketType::PubAck | PacketType::PubRec => {
                matches!(self.0, 0x00 | 0x10 | 0x80 | 0x83 | 0x87 | 0x90 | 0x91 | 0x97 | 0x99)
            }
            PacketType::PubRel | PacketType::PubComp => matches!(self.0, 0x00 | 0x92),
            PacketType::SubAck => {
                matches!(self.0, 0x00..=0x02 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91 | 0x97 | 0x9E | 0xA1 | 0xA2)
            }
            PacketType::UnsubAck => matches!(self.0, 0x00 | 0x11 | 0x80 | 0x83 | 0x87 | 0x8F | 0x91),
            PacketType::Disconnect => {
                matches!(self.0, 0x00 | 0x04 | 0x80..=0x83 | 0x87 | 0x89 | 0x8B | 0x8D..=0x90 | 0x93..=0xA2)
            }
            PacketType::Auth => matches!(self.0, 0x00 | 0x18 | 0x19),
            _ => false,
        }
    }

    /// The CONNACK return code of MQTT 3.1.1 that comes nearest (3.1.1 section 3.2.2.3).
    #[must_use]
    pub fn to_v3_connack(self) -> u8 {
        match self {
            Self::SUCCESS => 0,
            Self::UNSUPPORTED_PROTOCOL_VERSION => 1,
            Self::CLIENT_IDENTIFIER_NOT_VALID => 2,
            Self::BAD_USER_NAME_OR_PASSWORD => 4,
            Self::NOT_AUTHORIZED | Self::BANNED => 5,
            _ => 3,
        }
    }
}
