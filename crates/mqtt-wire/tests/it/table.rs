//! Table 2-4 (properties) and the lists of reason codes of MQTT 5.0, typed in from the specification and not from the
//! codec: a mistake in the codec's own tables shows as a difference.

use mqtt_wire::PacketType;
use mqtt_wire::properties::Carrier::{self, *};

/// How the value of a property is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One byte, 0 or 1.
    Flag,
    Two,
    /// Two bytes, not zero.
    TwoPositive,
    Four,
    /// Four bytes, not zero.
    FourPositive,
    /// Variable byte integer, not zero.
    VarPositive,
    Text,
    /// Text that is a topic name.
    Topic,
    Binary,
    Pair,
}

/// A row of table 2-4.
pub(crate) struct Row {
    pub(crate) id: u8,
    pub(crate) kind: Kind,
    pub(crate) carriers: &'static [Carrier],
}

const ACKS: [Carrier; 3] = [PubAck, SubAck, UnsubAck];

/// Every kind of packet that has properties.
pub(crate) const CARRIERS: [Carrier; 11] =
    [Connect, ConnAck, Publish, Will, PubAck, Subscribe, SubAck, Unsubscribe, UnsubAck, Disconnect, Auth];

/// Table 2-4.
pub(crate) const PROPERTIES: [Row; 27] = [
    Row { id: 0x01, kind: Kind::Flag, carriers: &[Publish, Will] },
    Row { id: 0x02, kind: Kind::Four, carriers: &[Publish, Will] },
    Row { id: 0x03, kind: Kind::Text, carriers: &[Publish, Will] },
    Row { id: 0x08, kind: Kind::Topic, carriers: &[Publish, Will] },
    Row { id: 0x09, kind: Kind::Binary, carriers: &[Publish, Will] },
    Row { id: 0x0B, kind: Kind::VarPositive, carriers: &[Publish, Subscribe] },
    Row { id: 0x11, kind: Kind::Four, carriers: &[Connect, ConnAck, Disconnect] },
    Row { id: 0x12, kind: Kind::Text, carriers: &[ConnAck] },
    Row { id: 0x13, kind: Kind::Two, carriers: &[ConnAck] },
    Row { id: 0x15, kind: Kind::Text, carriers: &[Connect, ConnAck, Auth] },
    Row { id: 0x16, kind: Kind::Binary, carriers: &[Connect, ConnAck, Auth] },
    Row { id: 0x17, kind: Kind::Flag, carriers: &[Connect] },
    Row { id: 0x18, kind: Kind::Four, carriers: &[Will] },
    Row { id: 0x19, kind: Kind::Flag, carriers: &[Connect] },
    Row { id: 0x1A, kind: Kind::Text, carriers: &[ConnAck] },
    Row { id: 0x1C, kind: Kind::Text, carriers: &[ConnAck, Disconnect] },
    Row { id: 0x1F, kind: Kind::Text, carriers: &[ConnAck, ACKS[0], ACKS[1], ACKS[2], Disconnect, Auth] },
    Row { id: 0x21, kind: Kind::TwoPositive, carriers: &[Connect, ConnAck] },
    Row { id: 0x22, kind: Kind::Two, carriers: &[Connect, ConnAck] },
    Row { id: 0x23, kind: Kind::TwoPositive, carriers: &[Publish] },
    Row { id: 0x24, kind: Kind::Flag, carriers: &[ConnAck] },
    Row { id: 0x25, kind: Kind::Flag, carriers: &[ConnAck] },
    Row { id: 0x26, kind: Kind::Pair, carriers: &CARRIERS },
    Row { id: 0x27, kind: Kind::FourPositive, carriers: &[Connect, ConnAck] },
    Row { id: 0x28, kind: Kind::Flag, carriers: &[ConnAck] },
    Row { id: 0x29, kind: Kind::Flag, carriers: &[ConnAck] },
    Row { id: 0x2A, kind: Kind::Flag, carriers: &[ConnAck] },
];

/// The reason codes that a packet of MQTT 5.0 may carry (tables 3-1, 3-4 to 3-9, 3-10, 3-11 and section 3.15.2.1).
pub(crate) fn reason_codes(packet: PacketType) -> &'static [u8] {
    match packet {
        PacketType::ConnAck => &[
            0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A,
            0x9B, 0x9C, 0x9D, 0x9F,
        ],
        PacketType::PubAck | PacketType::PubRec => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
        PacketType::PubRel | PacketType::PubComp => &[0x00, 0x92],
        PacketType::SubAck => &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
        PacketType::UnsubAck => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
        PacketType::Disconnect => &[
            0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
            0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
        ],
        PacketType::Auth => &[0x00, 0x18, 0x19],
        _ => &[],
    }
}
