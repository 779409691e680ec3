//! The fifteen control packets (chapter 3), one file each. Decoding borrows from the frame; encoding appends to a buffer
//! and leaves it as it was when it fails.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod unsuback;
mod unsubscribe;

pub use ack::{Ack, AckKind};
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::{Publish, PublishHeader};
pub use suback::SubAck;
pub use subscribe::{RetainHandling, Subscribe, SubscribeFilters, SubscribeFiltersBuf, SubscribeOptions};
pub use unsuback::UnsubAck;
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters, UnsubscribeFiltersBuf};

use crate::error::{DecodeError, EncodeError};
use crate::frame::{Frame, PacketType};
use crate::types::Version;

/// PINGREQ as bytes (section 3.12).
pub const PINGREQ: [u8; 2] = [0xC0, 0];
/// PINGRESP as bytes (section 3.13).
pub const PINGRESP: [u8; 2] = [0xD0, 0];

/// Any control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is documented by the type that it holds")]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    ConnAck(ConnAck<'a>),
    Publish(Publish<'a>),
    /// PUBACK, PUBREC, PUBREL or PUBCOMP.
    Ack(Ack<'a>),
    Subscribe(Subscribe<'a>),
    SubAck(SubAck<'a>),
    Unsubscribe(Unsubscribe<'a>),
    UnsubAck(UnsubAck<'a>),
    /// Section 3.12.
    PingReq,
    /// Section 3.13.
    PingResp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Decodes a whole packet of a connection that speaks `version`. CONNECT names its version itself.
    ///
    /// # Errors
    /// [`DecodeError`] with the first statement of the specification that the bytes break.
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, DecodeError> {
        Ok(match frame.packet_type_in(version)? {
            PacketType::Connect => Self::Connect(Connect::decode(frame)?),
            PacketType::ConnAck => Self::ConnAck(ConnAck::decode(frame, version)?),
            PacketType::Publish => Self::Publish(Publish::decode(frame, version)?),
            PacketType::PubAck => Self::Ack(Ack::decode(frame, AckKind::PubAck, version)?),
            PacketType::PubRec => Self::Ack(Ack::decode(frame, AckKind::PubRec, version)?),
            PacketType::PubRel => Self::Ack(Ack::decode(frame, AckKind::PubRel, version)?),
            PacketType::PubComp => Self::Ack(Ack::decode(frame, AckKind::PubComp, version)?),
            PacketType::Subscribe => Self::Subscribe(Subscribe::decode(frame, version)?),
            PacketType::SubAck => Self::SubAck(SubAck::decode(frame, version)?),
            PacketType::Unsubscribe => Self::Unsubscribe(Unsubscribe::decode(frame, version)?),
            PacketType::UnsubAck => Self::UnsubAck(UnsubAck::decode(frame, version)?),
            PacketType::PingReq => empty_body(frame, Self::PingReq)?,
            PacketType::PingResp => empty_body(frame, Self::PingResp)?,
            PacketType::Disconnect => Self::Disconnect(Disconnect::decode(frame, version)?),
            PacketType::Auth => Self::Auth(Auth::decode(frame, version)?),
        })
    }

    /// Appends the packet as `version` writes it.
    ///
    /// # Errors
    /// [`EncodeError`], with `out` as it was.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = match self {
            Self::Connect(packet) => packet.encode(out),
            Self::ConnAck(packet) => packet.encode(version, out),
            Self::Publish(packet) => packet.encode(version, out),
            Self::Ack(packet) => packet.encode(version, out),
            Self::Subscribe(packet) => packet.encode(version, out),
            Self::SubAck(packet) => packet.encode(version, out),
            Self::Unsubscribe(packet) => packet.encode(version, out),
            Self::UnsubAck(packet) => packet.encode(version, out),
            Self::PingReq => raw(&PINGREQ, out),
            Self::PingResp => raw(&PINGRESP, out),
            Self::Disconnect(packet) => packet.encode(version, out),
            Self::Auth(packet) => packet.encode(version, out),
        };
        if result.is_err() {
            out.truncate(start);
        }
        result
    }
}

fn empty_body<'a>(frame: &Frame<'_>, packet: Packet<'a>) -> Result<Packet<'a>, DecodeError> {
    if frame.body.is_empty() { Ok(packet) } else { Err(DecodeError::Malformed("PINGREQ or PINGRESP with a body")) }
}

fn raw(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(bytes);
    Ok(())
}
