//! PUBLISH and acknowledgements from a client (sections 3.3 to 3.7 and 4.3).

use mqtt_wire::{
    Ack, AckKind, DecodeError, Packet, Properties, PropertiesBuf, Property, Publish, QoS, ReasonCode, TopicName,
    Version,
};

use super::conn::{Conn, ConnRef};
use super::message::{MessageView, NEVER};
use super::session::Outgoing;
use super::worker::Worker;

impl Worker {
    /// PUBLISH from a client.
    pub(super) fn on_publish(&mut self, at: ConnRef, session: u32, publish: &Publish<'_>) -> Result<(), DecodeError> {
        let origin = self.session_ref(session);
        if publish.properties.is_empty() {
            return self.accept_publish(
                at,
                session,
                publish,
                &MessageView {
                    topic: publish.topic,
                    payload: publish.payload,
                    properties: Properties::EMPTY,
                    qos: publish.qos,
                    retain: publish.retain,
                    stamp: 0,
                    expires_ns: NEVER,
                    origin,
                },
            );
        }
        if publish.properties.iter().any(|property| matches!(property, Property::SubscriptionIdentifier(_))) {
            return Err(DecodeError::Protocol("subscription identifier from a client [MQTT-3.3.4-6]"));
        }
        if self.settings.check_payload_format && !has_its_format(publish.properties, publish.payload) {
            self.refuse_format(at, publish);
            return Ok(());
        }
        if self.memory_is_spent()
            && publish.properties.iter().any(|property| matches!(property, Property::TopicAlias(_)))
        {
            // A topic to be remembered, of up to 64 KiB.
            self.counters.dropped_memory += 1;
            self.dismiss(at, ReasonCode::QUOTA_EXCEEDED);
            return Ok(());
        }
        let aliased = self.resolve_alias(at, publish)?;
        let (properties, expiry_s) = forwarded(publish.properties);
        let expires_ns = expiry_s.map_or(NEVER, |seconds| self.now_ns + u64::from(seconds) * 1_000_000_000);
        self.accept_publish(
            at,
            session,
            publish,
            &MessageView {
                topic: aliased.as_deref().unwrap_or(publish.topic),
                payload: publish.payload,
                properties: properties.as_ref().map_or(publish.properties, PropertiesBuf::as_properties),
                qos: publish.qos,
                retain: publish.retain,
                stamp: 0,
                expires_ns,
                origin,
            },
        )
    }

    /// Refuses a message whose payload is not what it is said to be (section 3.3.2.3.2).
    fn refuse_format(&mut self, at: ConnRef, publish: &Publish<'_>) {
        self.counters.refused_payload_format += 1;
        let reason = ReasonCode::PAYLOAD_FORMAT_INVALID;
        match publish.qos {
            QoS::AtMostOnce => self.dismiss(at, reason),
            QoS::AtLeastOnce => self.acknowledge_with(at, AckKind::PubAck, publish.packet_id, reason),
            QoS::ExactlyOnce => self.acknowledge_with(at, AckKind::PubRec, publish.packet_id, reason),
        }
    }

    /// Routes a message and acknowledges it as its QoS demands.
    fn accept_publish(
        &mut self,
        at: ConnRef,
        session: u32,
        publish: &Publish<'_>,
        view: &MessageView<'_>,
    ) -> Result<(), DecodeError> {
        if super::route::levels(view.topic) > self.settings.limits.max_topic_levels {
            return Err(DecodeError::TopicName("more levels than the server allows"));
        }
        match publish.qos {
            QoS::AtMostOnce => {
                self.counters.received += 1;
                self.publish(view, &mut None);
            }
            QoS::AtLeastOnce => {
                self.counters.received += 1;
                let matched = self.publish(view, &mut None);
                self.acknowledge_publish(at, AckKind::PubAck, publish.packet_id, matched);
            }
            QoS::ExactlyOnce => {
                let (receive_maximum, send_max) =
                    (usize::from(self.settings.limits.receive_maximum), self.settings.limits.max_inflight);
                let limited = self.conn(at).is_some_and(|conn| conn.version.has_properties());
                let received = &mut self.sessions[session as usize].flow(send_max).received;
                if limited && received.len() >= receive_maximum && !received.contains(publish.packet_id) {
                    self.counters.protocol_errors += 1;
                    self.dismiss(at, ReasonCode::RECEIVE_MAXIMUM_EXCEEDED);
                    return Ok(());
                }
                // Method B of section 4.3.3: the message is passed on now, and its identifier kept until PUBREL.
                let fresh = received.insert(publish.packet_id);
                let mut matched = true;
                if fresh {
                    self.counters.received += 1;
                    matched = self.publish(view, &mut None);
                }
                self.acknowledge_publish(at, AckKind::PubRec, publish.packet_id, matched);
            }
        }
        Ok(())
    }

    fn acknowledge_publish(&mut self, at: ConnRef, kind: AckKind, packet_id: u16, matched: bool) {
        let Some(conn) = self.conn(at) else { return };
        let reason = if matched || conn.version != Version::V5 {
            ReasonCode::SUCCESS
        } else {
            ReasonCode::NO_MATCHING_SUBSCRIBERS
        };
        self.acknowledge_with(at, kind, packet_id, reason);
    }

    /// Writes an acknowledgement. The common form needs no encoder: two bytes of header, two of identifier.
    fn acknowledge_with(&mut self, at: ConnRef, kind: AckKind, packet_id: u16, reason: ReasonCode) {
        if reason == ReasonCode::SUCCESS {
            let [high, low] = packet_id.to_be_bytes();
            self.write(at, &[kind.packet_type().first_byte(), 2, high, low]);
        } else {
            let list = self.reason_string(at, if reason.is_error() { reason.name() } else { "" }, 5);
            self.send_packet(at, &Packet::Ack(Ack { kind, packet_id, reason, properties: list.as_properties() }));
        }
    }

    /// The topic that an alias stands for, when the packet names none; remembers the alias when it names one
    /// (section 3.3.2.3.4).
    fn resolve_alias(&mut self, at: ConnRef, publish: &Publish<'_>) -> Result<Option<Box<str>>, DecodeError> {
        let alias = publish.properties.iter().find_map(|property| match property {
            Property::TopicAlias(alias) => Some(alias),
            _ => None,
        });
        let Some(alias) = alias else { return Ok(None) };
        if alias > self.settings.limits.topic_alias_maximum {
            return Err(DecodeError::TopicAlias(alias));
        }
        let index = usize::from(alias) - 1;
        let Some(Conn { v5: Some(v5), .. }) = self.conn(at) else { return Ok(None) };
        if publish.topic.is_empty() {
            let known = v5.aliases.get(index).and_then(Option::as_ref);
            return known.cloned().map(Some).ok_or(DecodeError::Protocol("unknown topic alias [MQTT-3.3.2-7]"));
        }
        debug_assert!(TopicName::new(publish.topic).is_ok());
        if v5.aliases.len() <= index {
            v5.aliases.resize(index + 1, None);
        }
        v5.aliases[index] = Some(publish.topic.into());
        Ok(None)
    }

    /// PUBACK: a QoS 1 message has arrived.
    pub(super) fn on_puback(&mut self, session: u32, ack: &Ack<'_>) {
        if let Some(flow) = &mut self.sessions[session as usize].flow
            && let Some(Outgoing::Publish { pending, .. }) = flow.window.get_mut(ack.packet_id)
            && pending.qos == QoS::AtLeastOnce
        {
            flow.settle(ack.packet_id);
            self.on_progress(session);
        }
    }

    /// PUBREC: a QoS 2 message has arrived; PUBREL lets the client forget its identifier.
    pub(super) fn on_pubrec(&mut self, at: ConnRef, session: u32, ack: &Ack<'_>) {
        let flow = self.sessions[session as usize].flow.as_mut();
        let known = match flow.and_then(|flow| flow.window.get_mut(ack.packet_id)) {
            Some(Outgoing::Publish { pending, .. }) => pending.qos == QoS::ExactlyOnce,
            Some(Outgoing::Released { .. }) => true,
            None => false,
        };
        if !known {
            let v5 = self.conn(at).is_some_and(|conn| conn.version.has_properties());
            let reason = if v5 { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND } else { ReasonCode::SUCCESS };
            self.acknowledge_with(at, AckKind::PubRel, ack.packet_id, reason);
        } else if ack.reason.is_error() {
            // The client will not have it [section 4.3.3]: done.
            self.forget_outgoing(session, ack.packet_id);
        } else {
            if let Some(flow) = &mut self.sessions[session as usize].flow {
                flow.release(ack.packet_id);
            }
            self.acknowledge_with(at, AckKind::PubRel, ack.packet_id, ReasonCode::SUCCESS);
            self.on_progress(session);
        }
    }

    /// PUBREL: the client will not repeat the message with this identifier.
    pub(super) fn on_pubrel(&mut self, at: ConnRef, session: u32, ack: &Ack<'_>) {
        let flow = self.sessions[session as usize].flow.as_mut();
        let known = flow.is_some_and(|flow| flow.received.remove(ack.packet_id));
        let v5 = self.conn(at).is_some_and(|conn| conn.version.has_properties());
        let reason = if known || !v5 { ReasonCode::SUCCESS } else { ReasonCode::PACKET_IDENTIFIER_NOT_FOUND };
        self.acknowledge_with(at, AckKind::PubComp, ack.packet_id, reason);
    }

    /// PUBCOMP: a QoS 2 delivery is complete.
    pub(super) fn on_pubcomp(&mut self, session: u32, ack: &Ack<'_>) {
        let flow = self.sessions[session as usize].flow.as_mut();
        if let Some(Outgoing::Released { .. }) = flow.and_then(|flow| flow.window.get_mut(ack.packet_id)) {
            self.forget_outgoing(session, ack.packet_id);
        }
    }

    fn forget_outgoing(&mut self, session: u32, packet_id: u16) {
        if let Some(flow) = &mut self.sessions[session as usize].flow {
            flow.settle(packet_id);
            self.on_progress(session);
        }
    }
}

/// Whether a payload that is said to be text is UTF-8.
pub(super) fn has_its_format(properties: Properties<'_>, payload: &[u8]) -> bool {
    !properties.iter().any(|property| property == Property::PayloadFormatIndicator(1))
        || std::str::from_utf8(payload).is_ok()
}

/// The properties of a PUBLISH or will that are passed on as they are, and the message expiry interval in seconds. Topic
/// alias, expiry interval and will delay are the broker's to act on. `None`: all are passed on.
pub(super) fn forwarded(properties: Properties<'_>) -> (Option<PropertiesBuf>, Option<u32>) {
    let kept = |property: &Property<'_>| {
        !matches!(
            property,
            Property::TopicAlias(_) | Property::MessageExpiryInterval(_) | Property::WillDelayInterval(_)
        )
    };
    if properties.iter().all(|property| kept(&property)) {
        return (None, None);
    }
    let mut list = PropertiesBuf::new();
    for property in properties.iter().filter(kept) {
        list.push(property).expect("a property that was decoded can be encoded");
    }
    let expiry_s = properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(seconds),
        _ => None,
    });
    (Some(list), expiry_s)
}
