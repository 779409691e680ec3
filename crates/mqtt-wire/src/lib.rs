//! MQTT 3.1, 3.1.1 and 5.0 on the wire, without sockets and without a clock.
//!
//! Bytes go in, packets come out borrowed from those bytes; packets go in, bytes come out. Nothing here reads, writes or
//! waits. The modules, in the order in which a byte meets them:
//!
//! - [`frame`]: where one control packet ends and the next begins (fixed header, remaining length).
//! - [`packet`]: the fifteen control packets, one file each, decoded from a frame and encoded into a buffer.
//! - [`properties`]: the properties of MQTT 5.0, checked against the packet that carries them.
//! - [`topic`]: topic names and topic filters as checked types.
//! - [`window`]: packet identifiers in flight, in both directions (QoS 1 and 2).
//! - [`types`]: the protocol version, QoS and reason codes.
//! - [`error`]: what is wrong with bytes that are not MQTT, and the reason code that says so to the peer.
//!
//! The documents: *MQTT V3.1 Protocol Specification* (IBM and Eurotech, 2010), *MQTT Version 3.1.1* (OASIS, 2014) and
//! *MQTT Version 5.0* (OASIS, 2019). Section numbers in comments are of 5.0 unless another version is named.

pub mod error;
pub mod frame;
pub mod packet;
pub mod properties;
mod reader;
pub mod topic;
pub mod types;
pub mod window;

pub use error::{DecodeError, EncodeError};
pub use frame::{Frame, PacketType};
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, Packet, Publish, SubAck, Subscribe, SubscribeOptions, UnsubAck,
    Unsubscribe, Will,
};
pub use properties::{Properties, PropertiesBuf, Property};
pub use topic::{SharedFilter, TopicFilter, TopicName};
pub use types::{QoS, ReasonCode, Version};
