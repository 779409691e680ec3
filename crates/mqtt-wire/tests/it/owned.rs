//! Packets that own their fields: the codec's packets borrow, which a generator cannot.

use mqtt_wire::packet::{RetainHandling, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use mqtt_wire::{
    Ack, AckKind, Auth, ConnAck, Connect, Disconnect, EncodeError, Packet, PropertiesBuf, Property, Publish, QoS,
    ReasonCode, SubAck, Subscribe, SubscribeOptions, TopicFilter, UnsubAck, Unsubscribe, Version, Will,
};

/// A property and its value, in the form that its identifier demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedProperty {
    pub(crate) id: u8,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Byte(u8),
    Two(u16),
    Four(u32),
    Var(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedWill {
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) properties: Vec<OwnedProperty>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedConnect {
    pub(crate) version: Version,
    pub(crate) clean_start: bool,
    pub(crate) keep_alive: u16,
    pub(crate) client_id: String,
    pub(crate) will: Option<OwnedWill>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) properties: Vec<OwnedProperty>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedPublish {
    pub(crate) dup: bool,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    pub(crate) packet_id: u16,
    pub(crate) properties: Vec<OwnedProperty>,
    pub(crate) payload: Vec<u8>,
}

/// Any control packet, with the names of the codec's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedPacket {
    Connect(OwnedConnect),
    ConnAck { session_present: bool, reason: u8, properties: Vec<OwnedProperty> },
    Publish(OwnedPublish),
    Ack { kind: AckKind, packet_id: u16, reason: u8, properties: Vec<OwnedProperty> },
    Subscribe { packet_id: u16, properties: Vec<OwnedProperty>, filters: Vec<(String, SubscribeOptions)> },
    SubAck { packet_id: u16, properties: Vec<OwnedProperty>, codes: Vec<u8> },
    Unsubscribe { packet_id: u16, properties: Vec<OwnedProperty>, filters: Vec<String> },
    UnsubAck { packet_id: u16, properties: Vec<OwnedProperty>, codes: Vec<u8> },
    PingReq,
    PingResp,
    Disconnect { reason: u8, properties: Vec<OwnedProperty> },
    Auth { reason: u8, properties: Vec<OwnedProperty> },
}

impl OwnedPacket {
    /// Lends the packet to `act` as the codec's type.
    pub(crate) fn with<R>(&self, act: impl FnOnce(Packet<'_>) -> R) -> R {
        let properties = list(self.properties());
        let properties = properties.as_properties();
        match self {
            Self::Connect(connect) => connect.with(act),
            Self::ConnAck { session_present, reason, .. } => {
                let reason = ReasonCode(*reason);
                act(Packet::ConnAck(ConnAck { session_present: *session_present, reason, properties }))
            }
            Self::Publish(publish) => act(Packet::Publish(Publish {
                dup: publish.dup,
                qos: publish.qos,
                retain: publish.retain,
                topic: &publish.topic,
                packet_id: publish.packet_id,
                properties,
                payload: &publish.payload,
            })),
            Self::Ack { kind, packet_id, reason, .. } => {
                let (kind, packet_id, reason) = (*kind, *packet_id, ReasonCode(*reason));
                act(Packet::Ack(Ack { kind, packet_id, reason, properties }))
            }
            Self::Subscribe { packet_id, filters, .. } => {
                let mut list = SubscribeFiltersBuf::new();
                for (filter, options) in filters {
                    list.push(TopicFilter::new(filter).unwrap(), *options).unwrap();
                }
                act(Packet::Subscribe(Subscribe { packet_id: *packet_id, properties, filters: list.as_filters() }))
            }
            Self::SubAck { packet_id, codes, .. } => {
                act(Packet::SubAck(SubAck { packet_id: *packet_id, properties, codes }))
            }
            Self::Unsubscribe { packet_id, filters, .. } => {
                let mut list = UnsubscribeFiltersBuf::new();
                for filter in filters {
                    list.push(TopicFilter::new(filter).unwrap()).unwrap();
                }
                act(Packet::Unsubscribe(Unsubscribe { packet_id: *packet_id, properties, filters: list.as_filters() }))
            }
            Self::UnsubAck { packet_id, codes, .. } => {
                act(Packet::UnsubAck(UnsubAck { packet_id: *packet_id, properties, codes }))
            }
            Self::PingReq => act(Packet::PingReq),
            Self::PingResp => act(Packet::PingResp),
            Self::Disconnect { reason, .. } => {
                act(Packet::Disconnect(Disconnect { reason: ReasonCode(*reason), properties }))
            }
            Self::Auth { reason, .. } => act(Packet::Auth(Auth { reason: ReasonCode(*reason), properties })),
        }
    }

    /// The packet as the codec writes it.
    pub(crate) fn encode(&self, version: Version) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        self.with(|packet| packet.encode(version, &mut bytes))?;
        Ok(bytes)
    }

    /// The property list of the packet; that of its will not counted.
    pub(crate) fn properties(&self) -> &[OwnedProperty] {
        match self {
            Self::Connect(connect) => &connect.properties,
            Self::Publish(publish) => &publish.properties,
            Self::ConnAck { properties, .. }
            | Self::Ack { properties, .. }
            | Self::Subscribe { properties, .. }
            | Self::SubAck { properties, .. }
            | Self::Unsubscribe { properties, .. }
            | Self::UnsubAck { properties, .. }
            | Self::Disconnect { properties, .. }
            | Self::Auth { properties, .. } => properties,
            Self::PingReq | Self::PingResp => &[],
        }
    }
}

impl OwnedConnect {
    fn with<R>(&self, act: impl FnOnce(Packet<'_>) -> R) -> R {
        let properties = list(&self.properties);
        let will_properties = self.will.as_ref().map(|will| list(&will.properties)).unwrap_or_default();
        act(Packet::Connect(Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: &self.client_id,
            will: self.will.as_ref().map(|will| Will {
                qos: will.qos,
                retain: will.retain,
                topic: &will.topic,
                payload: &will.payload,
                properties: will_properties.as_properties(),
            }),
            user_name: self.user_name.as_deref(),
            password: self.password.as_deref(),
            properties: properties.as_properties(),
        }))
    }
}

impl OwnedProperty {
    /// The property as the codec's type.
    pub(crate) fn as_property(&self) -> Property<'_> {
        match (self.id, &self.value) {
            (0x01, Value::Byte(value)) => Property::PayloadFormatIndicator(*value),
            (0x02, Value::Four(value)) => Property::MessageExpiryInterval(*value),
            (0x03, Value::Text(value)) => Property::ContentType(value),
            (0x08, Value::Text(value)) => Property::ResponseTopic(value),
            (0x09, Value::Binary(value)) => Property::CorrelationData(value),
            (0x0B, Value::Var(value)) => Property::SubscriptionIdentifier(*value),
            (0x11, Value::Four(value)) => Property::SessionExpiryInterval(*value),
            (0x12, Value::Text(value)) => Property::AssignedClientIdentifier(value),
            (0x13, Value::Two(value)) => Property::ServerKeepAlive(*value),
            (0x15, Value::Text(value)) => Property::AuthenticationMethod(value),
            (0x16, Value::Binary(value)) => Property::AuthenticationData(value),
            (0x17, Value::Byte(value)) => Property::RequestProblemInformation(*value),
            (0x18, Value::Four(value)) => Property::WillDelayInterval(*value),
            (0x19, Value::Byte(value)) => Property::RequestResponseInformation(*value),
            (0x1A, Value::Text(value)) => Property::ResponseInformation(value),
            (0x1C, Value::Text(value)) => Property::ServerReference(value),
            (0x1F, Value::Text(value)) => Property::ReasonString(value),
            (0x21, Value::Two(value)) => Property::ReceiveMaximum(*value),
            (0x22, Value::Two(value)) => Property::TopicAliasMaximum(*value),
            (0x23, Value::Two(value)) => Property::TopicAlias(*value),
            (0x24, Value::Byte(value)) => Property::MaximumQoS(*value),
            (0x25, Value::Byte(value)) => Property::RetainAvailable(*value),
            (0x26, Value::Pair(name, value)) => Property::UserProperty(name, value),
            (0x27, Value::Four(value)) => Property::MaximumPacketSize(*value),
            (0x28, Value::Byte(value)) => Property::WildcardSubscriptionAvailable(*value),
            (0x29, Value::Byte(value)) => Property::SubscriptionIdentifierAvailable(*value),
            (0x2A, Value::Byte(value)) => Property::SharedSubscriptionAvailable(*value),
            (id, value) => panic!("property {id:#04x} has no value like {value:?}"),
        }
    }

    /// The bytes that section 2.2.2.2 demands, put together here and not by the codec.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.id];
        match &self.value {
            Value::Byte(value) => bytes.push(*value),
            Value::Two(value) => bytes.extend(value.to_be_bytes()),
            Value::Four(value) => bytes.extend(value.to_be_bytes()),
            Value::Var(value) => bytes.extend(varint(*value)),
            Value::Text(value) => bytes.extend(prefixed(value.as_bytes())),
            Value::Binary(value) => bytes.extend(prefixed(value)),
            Value::Pair(name, value) => {
                bytes.extend(prefixed(name.as_bytes()));
                bytes.extend(prefixed(value.as_bytes()));
            }
        }
        bytes
    }
}

/// Options from their parts, for tables.
pub(crate) fn options(qos: QoS, no_local: bool, as_published: bool, handling: RetainHandling) -> SubscribeOptions {
    SubscribeOptions { qos, no_local, retain_as_published: as_published, retain_handling: handling }
}

/// Section 1.5.5, written out.
pub(crate) fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value % 128) as u8;
        value /= 128;
        bytes.push(if value > 0 { byte | 0x80 } else { byte });
        if value == 0 {
            return bytes;
        }
    }
}

/// Section 1.5.4 and 1.5.6, written out.
pub(crate) fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("fields have at most 65,535 bytes");
    [&length.to_be_bytes(), bytes].concat()
}

fn list(properties: &[OwnedProperty]) -> PropertiesBuf {
    let mut list = PropertiesBuf::new();
    for property in properties {
        list.push(property.as_property()).unwrap();
    }
    list
}
