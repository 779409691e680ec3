//! CONNECT (section 3.1): finding the worker that the client belongs to, taking over, making or resuming the session.

use std::os::fd::AsRawFd;

use mio::net::TcpStream;
use mqtt_wire::packet::Will;
use mqtt_wire::properties::Carrier;
use mqtt_wire::{
    ConnAck, Connect, DecodeError, Frame, Packet, PacketType, Properties, PropertiesBuf, Property, ReasonCode, Version,
};

use super::alias::SentAliases;
use super::conn::{ConnRef, State, Transport, V5};
use super::door::Entry;
use super::mail::{Adopted, Mail};
use super::message::{Message, MessageView};
use super::session::{OFFLINE, Session, SessionRef, WillMessage};
use super::worker::Worker;

/// What CONNECT asks of the session and the connection, with the server's bounds applied.
struct Terms {
    expiry_s: u32,
    keep_alive: u16,
    send_max: u16,
    v5: Option<Box<V5>>,
}

impl Worker {
    /// Acts on the first packet of a connection, which must be CONNECT [MQTT-3.1.0-1]. `false` when the connection is
    /// closed or has gone to another worker with `rest`, which begins with that packet.
    pub(super) fn on_first_packet(&mut self, at: ConnRef, frame: &Frame<'_>, rest: &[u8]) -> bool {
        let connect = match frame.packet_type() {
            Ok(PacketType::Connect) => Connect::decode(frame),
            Ok(_) => Err(DecodeError::Protocol("first packet is not CONNECT [MQTT-3.1.0-1]")),
            Err(error) => Err(error),
        };
        let connect = match connect {
            Ok(connect) => connect,
            Err(error) => {
                self.refuse_undecoded(at, frame, error);
                return false;
            }
        };
        let turned_away = self.entries.get(&at.slot).and_then(|entry| entry.refusal);
        let checked =
            turned_away.map_or_else(|| self.check(&connect), |reason| Err((reason, "too many from this address")));
        if let Err((reason, why)) = checked {
            tracing::debug!(client_id = connect.client_id, why, "connection refused");
            self.refuse(at, connect.version, reason, Some((why, max_packet_bytes(connect.properties))));
            return false;
        }
        if connect.client_id.is_empty() {
            let assigned = self.make_client_id();
            return self.open(at, &Connect { client_id: &assigned, ..connect }, true);
        }
        let owner = self.owner(self.hash(connect.client_id));
        if owner == self.id {
            return self.open(at, &connect, false);
        }
        self.hand_over(at, owner, rest);
        false
    }

    /// Gives the connection to the worker that its client belongs to.
    fn hand_over(&mut self, at: ConnRef, owner: u16, bytes: &[u8]) {
        let conn = self.conns.remove(at.slot as usize);
        let entry = self.take_entry(at.slot);
        self.totals.connections.give_back(1);
        if let Err(error) = self.watch.remove(conn.transport.tcp().as_raw_fd()) {
            tracing::warn!(%error, "cannot hand a connection over");
            self.count_out(entry);
            return;
        }
        let Transport::Tcp(stream) = conn.transport;
        self.pass_on(stream, owner, bytes, entry);
    }

    /// Sends a connection, with what was read from it, to the worker that its client belongs to.
    pub(super) fn pass_on(&mut self, stream: TcpStream, owner: u16, bytes: &[u8], entry: Entry) {
        self.send(owner, Mail::Adopt(Box::new(Adopted { stream, entry, bytes: bytes.to_vec() })));
    }

    /// The worker to which a client belongs whose first bytes these are, when they say so.
    pub(super) fn owner_of_first(&self, bytes: &[u8]) -> Option<u16> {
        let frame = Frame::split(bytes, self.settings.limits.connect_bytes_max()).ok()??;
        let connect = frame.packet_type().ok().filter(|&first| first == PacketType::Connect);
        let connect = connect.and_then(|_| Connect::decode(&frame).ok())?;
        (!connect.client_id.is_empty()).then(|| self.owner(self.hash(connect.client_id)))
    }

    /// What the specification lets a server refuse, and our limits.
    fn check(&self, connect: &Connect<'_>) -> Result<(), (ReasonCode, &'static str)> {
        let limits = &self.settings.limits;
        if connect.client_id.is_empty() && connect.version != Version::V5 && !connect.clean_start {
            let why = "empty client identifier without clean session [MQTT-3.1.3-8 of 3.1.1]";
            return Err((ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, why));
        }
        if connect.client_id.is_empty() && connect.version == Version::V31 {
            let why = "client identifier of 3.1 not between 1 and 23 characters (3.1 section 3.1)";
            return Err((ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, why));
        }
        if connect.client_id.len() > limits.max_client_id_bytes {
            return Err((ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "client identifier longer than the limit"));
        }
        let extended = connect.properties.iter().any(|property| matches!(property, Property::AuthenticationMethod(_)));
        if extended {
            return Err((ReasonCode::BAD_AUTHENTICATION_METHOD, "no extended authentication method is configured"));
        }
        if connect.properties.iter().any(|property| matches!(property, Property::AuthenticationData(_))) {
            return Err((ReasonCode::PROTOCOL_ERROR, "authentication data without a method (section 3.1.2.11.10)"));
        }
        if self.settings.check_payload_format
            && connect.will.is_some_and(|will| !super::inbound::has_its_format(will.properties, will.payload))
        {
            return Err((ReasonCode::PAYLOAD_FORMAT_INVALID, "will that is said to be text and is not UTF-8"));
        }
        if connect.will.is_some_and(|will| super::route::levels(will.topic) > limits.max_topic_levels) {
            return Err((ReasonCode::TOPIC_NAME_INVALID, "will topic with more levels than the limit"));
        }
        Ok(())
    }

    /// Answers a first packet that is not an acceptable CONNECT, where an answer can be understood.
    pub(super) fn refuse_undecoded(&mut self, at: ConnRef, frame: &Frame<'_>, error: DecodeError) {
        tracing::debug!(slot = at.slot, %error, "connection rejected");
        self.counters.protocol_errors += 1;
        let level = Connect::announced_level(frame);
        match (error, level) {
            (DecodeError::UnsupportedVersion(_), Some(level)) => {
                let version = if level > Version::V5.level() { Version::V5 } else { Version::V311 };
                self.refuse(at, version, ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, None);
            }
            (error, Some(5)) => self.refuse(at, Version::V5, error.reason_code(), None),
            _ => self.linger(at),
        }
    }

    /// CONNACK with a reason, in words too where the client's Maximum Packet Size is known, and the end.
    fn refuse(&mut self, at: ConnRef, version: Version, reason: ReasonCode, why: Option<(&str, usize)>) {
        self.counters.connect_refused += 1;
        if let Some(conn) = self.conn(at) {
            conn.version = version;
        }
        let mut list = PropertiesBuf::new();
        if let Some((why, max_bytes)) = why.filter(|_| version.has_properties()) {
            // Cannot fail: our reasons are short. Left out where it does not fit [MQTT-3.2.2-19].
            let _ = list.push(Property::ReasonString(why));
            if connack_len(&list) > max_bytes {
                list.clear();
            }
        }
        let reason = if version.has_properties() { reason } else { ReasonCode(reason.to_v3_connack()) };
        let refusal = ConnAck { session_present: false, reason, properties: list.as_properties() };
        if why.is_none_or(|(_, max_bytes)| connack_len(&list) <= max_bytes) {
            self.send_packet(at, &Packet::ConnAck(refusal));
        }
        self.linger(at);
    }

    /// A client identifier that belongs to this worker, so that the connection need not be handed over.
    fn make_client_id(&mut self) -> String {
        loop {
            let number = self.next_generation();
            let random = self.hash(&format!("{}-{number}-{}", self.id, self.now_ns));
            let id = format!("auto-{random:016x}");
            let hash = self.hash(&id);
            if self.owner(hash) == self.id && self.find_session(&id, hash).is_none() {
                return id;
            }
        }
    }

    fn find_session(&self, client_id: &str, hash: u64) -> Option<u32> {
        self.directory.find(hash, |&slot| &*self.sessions[slot as usize].client_id == client_id).copied()
    }

    /// Opens the connection of a client that belongs here.
    fn open(&mut self, at: ConnRef, connect: &Connect<'_>, assigned: bool) -> bool {
        let terms = self.terms(connect);
        let acknowledge = self.acknowledge(connect, &terms, assigned);
        if connack_len(&acknowledge) > max_packet_bytes(connect.properties) {
            // It may not be sent [MQTT-3.1.2-24], and without it nothing else may be.
            tracing::debug!(client_id = connect.client_id, "CONNACK is larger than the client's maximum packet size");
            self.counters.connect_refused += 1;
            self.linger(at);
            return false;
        }
        let hash = self.hash(connect.client_id);
        let mut present = self.find_session(connect.client_id, hash);
        if let Some(slot) = present {
            self.take_over(slot, at);
            if connect.clean_start && self.sessions.contains(slot as usize) {
                self.end_session(slot);
            }
            // A session without expiry ended with its connection.
            present = self.find_session(connect.client_id, hash);
        }
        if present.is_none() && !self.totals.sessions.take(1, self.settings.limits.max_sessions) {
            self.counters.refused_sessions += 1;
            let why = ("as many sessions as there may be", max_packet_bytes(connect.properties));
            self.refuse(at, connect.version, ReasonCode::QUOTA_EXCEEDED, Some(why));
            return false;
        }
        let session_present = present.is_some();
        let slot = present.unwrap_or_else(|| self.make_session(connect.client_id, hash));
        let origin = self.session_ref(slot);
        let will = connect.will.as_ref().map(|will| Box::new(self.keep_will(will, origin)));
        self.join(at, slot, connect.version, terms, will);
        self.send_packet(
            at,
            &Packet::ConnAck(ConnAck {
                session_present,
                reason: ReasonCode::SUCCESS,
                properties: acknowledge.as_properties(),
            }),
        );
        self.counters.connected += 1;
        if session_present {
            self.note_presence(slot, true);
            self.resume(slot);
        }
        true
    }

    /// Ends the connection that a session has now [MQTT-3.1.4-3].
    fn take_over(&mut self, slot: u32, by: ConnRef) {
        let conn = self.sessions[slot as usize].conn;
        let Some(present) = self.conns.get(conn as usize) else { return };
        let old = ConnRef { slot: conn, generation: present.generation };
        debug_assert_ne!(old, by);
        self.counters.taken_over += 1;
        self.dismiss(old, ReasonCode::SESSION_TAKEN_OVER);
    }

    fn make_session(&mut self, client_id: &str, hash: u64) -> u32 {
        let session = Session {
            client_id: client_id.into(),
            generation: self.next_generation(),
            conn: OFFLINE,
            expiry_s: 0,
            epoch: 0,
            subscriptions: None,
            will: None,
            flow: None,
        };
        let slot = self.sessions.insert(session) as u32;
        let (sessions, hasher) = (&self.sessions, &self.hasher);
        self.directory.insert_unique(hash, slot, |&slot| {
            std::hash::BuildHasher::hash_one(hasher, &*sessions[slot as usize].client_id)
        });
        slot
    }

    /// Reads what CONNECT asks for.
    fn terms(&self, connect: &Connect<'_>) -> Terms {
        let limits = &self.settings.limits;
        let is_v5 = connect.version.has_properties();
        let expiry_s = if is_v5 || connect.clean_start { 0 } else { u32::MAX };
        let mut terms = Terms { expiry_s, keep_alive: connect.keep_alive, send_max: limits.max_inflight, v5: None };
        let mut v5 = V5 { problem_information: true, ..V5::default() };
        for property in connect.properties.iter() {
            match property {
                Property::SessionExpiryInterval(seconds) => terms.expiry_s = seconds,
                Property::ReceiveMaximum(maximum) => terms.send_max = maximum.min(limits.max_inflight),
                Property::MaximumPacketSize(bytes) => v5.max_packet_bytes = bytes,
                Property::TopicAliasMaximum(most) => {
                    v5.sent_aliases = SentAliases::up_to(most.min(limits.max_outgoing_topic_aliases));
                }
                Property::RequestProblemInformation(wanted) => v5.problem_information = wanted != 0,
                _ => {}
            }
        }
        terms.expiry_s = terms.expiry_s.min(limits.max_session_expiry_s);
        terms.v5 = is_v5.then(|| Box::new(v5));
        terms
    }

    fn keep_will(&mut self, will: &Will<'_>, origin: SessionRef) -> WillMessage {
        let delay_s = will.properties.iter().find_map(|property| match property {
            Property::WillDelayInterval(seconds) => Some(seconds),
            _ => None,
        });
        let delay_s = delay_s.unwrap_or(0);
        let (properties, expiry_s) = super::inbound::forwarded(will.properties);
        let view = MessageView {
            topic: will.topic,
            payload: will.payload,
            properties: properties.as_ref().map_or(will.properties, PropertiesBuf::as_properties),
            qos: will.qos,
            retain: will.retain,
            stamp: 0,
            expires_ns: super::message::NEVER,
            origin,
        };
        WillMessage { message: Message::new(&view, &mut self.scratch), delay_s, expiry_s }
    }

    /// The properties of CONNACK: where the server differs from what the client asked for or may assume.
    fn acknowledge(&self, connect: &Connect<'_>, terms: &Terms, assigned: bool) -> PropertiesBuf {
        let mut list = PropertiesBuf::new();
        if !connect.version.has_properties() {
            return list;
        }
        let limits = &self.settings.limits;
        let asked_expiry = connect.properties.iter().find_map(|property| match property {
            Property::SessionExpiryInterval(seconds) => Some(seconds),
            _ => None,
        });
        let mut push = |property| list.push(property).expect("settings are in the ranges of their properties");
        push(Property::ReceiveMaximum(limits.receive_maximum));
        push(Property::MaximumPacketSize(limits.max_packet_bytes));
        push(Property::TopicAliasMaximum(limits.topic_alias_maximum));
        if asked_expiry.unwrap_or(0) != terms.expiry_s {
            push(Property::SessionExpiryInterval(terms.expiry_s));
        }
        if assigned {
            push(Property::AssignedClientIdentifier(connect.client_id));
        }
        if terms.keep_alive != connect.keep_alive {
            push(Property::ServerKeepAlive(terms.keep_alive));
        }
        self.add_response_information(connect, &mut list);
        debug_assert!(Properties::check(list.as_properties().as_bytes(), Carrier::ConnAck).is_ok());
        list
    }

    /// Adds what the operator has set for clients that ask for it, where it fits.
    fn add_response_information(&self, connect: &Connect<'_>, list: &mut PropertiesBuf) {
        let wanted = connect.properties.iter().any(|property| property == Property::RequestResponseInformation(1));
        if self.settings.response_information.is_empty() || !wanted {
            return;
        }
        let text = self.settings.response_information.replace("{client_id}", connect.client_id);
        let with = 1 + 2 + text.len();
        if connack_len(list) + with + 2 <= max_packet_bytes(connect.properties) {
            // Cannot fail but for a client identifier that leaves no room in a string: then it is left out.
            let _ = list.push(Property::ResponseInformation(&text));
        }
    }

    /// Ties connection and session together.
    fn join(&mut self, at: ConnRef, slot: u32, version: Version, terms: Terms, will: Option<Box<WillMessage>>) {
        let session = &mut self.sessions[slot as usize];
        session.conn = at.slot;
        session.epoch = session.epoch.wrapping_add(1);
        session.expiry_s = terms.expiry_s;
        session.will = will;
        if terms.send_max < self.settings.limits.max_inflight {
            session.flow(terms.send_max);
        }
        if let Some(flow) = &mut session.flow {
            flow.send_max = terms.send_max;
        }
        let Some(conn) = self.conn(at) else { return };
        conn.session = slot;
        conn.version = version;
        conn.state = State::Open;
        conn.keep_alive = terms.keep_alive;
        conn.v5 = terms.v5;
        // The timer of the connect timeout becomes the one of the keep-alive when it is reached; a shorter
        // keep-alive needs one of its own.
        let patience_ns = u64::from(terms.keep_alive) * 1_500_000_000;
        if terms.keep_alive != 0 && patience_ns < self.settings.limits.connect_timeout.as_nanos() as u64 {
            self.set_conn_timer(at, self.now_ns + patience_ns);
        }
    }
}

/// The client's Maximum Packet Size (section 3.1.2.11.4).
fn max_packet_bytes(properties: Properties<'_>) -> usize {
    let asked = properties.iter().find_map(|property| match property {
        Property::MaximumPacketSize(bytes) => Some(bytes as usize),
        _ => None,
    });
    asked.unwrap_or(usize::MAX)
}

/// Bytes of a CONNACK of 5.0 with these properties.
fn connack_len(properties: &PropertiesBuf) -> usize {
    let length = properties.as_properties().as_bytes().len();
    let body = 2 + mqtt_wire::frame::varint_len(length as u32) + length;
    1 + mqtt_wire::frame::varint_len(body as u32) + body
}
