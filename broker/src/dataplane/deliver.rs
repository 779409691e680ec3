//! A message to one session: encoding, in-flight window, queue, what is dropped and who is slowed down.

use mqtt_wire::packet::PublishHeader;
use mqtt_wire::{PropertiesBuf, Property, QoS, Version};

use super::alias::Alias;
use super::conn::{Conn, ConnRef};
use super::counters::Counters;
use super::lifecycle::Timer;
use super::mail::Mail;
use super::message::{Message, MessageView, NEVER};
use super::output::output_of;
use super::route::Match;
use super::session::{Flow, OFFLINE, Outgoing, Pending, SessionRef};
use super::settings::{FLUSH_BYTES, INFLIGHT_WHEN_SHORT, OUTPUT_HIGH_BYTES, QUEUE_HIGH, QUEUE_LOW, STALL_NS, TICK_NS};
use super::subscribers::{SubscriptionIds, options_qos, options_retain_as_published};
use super::worker::Worker;

/// Turns messages into PUBLISH packets. During a fan-out it keeps what it has encoded: receivers that speak the same
/// version at the same QoS class get the same bytes but for the first byte and the packet identifier.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    /// By version class (3.x or 5.0) and by whether there is a packet identifier; empty: not encoded yet.
    frames: [Frame; 4],
    properties: PropertiesBuf,
}

#[derive(Debug, Default)]
struct Frame {
    bytes: Vec<u8>,
    id_at: usize,
}

/// What the connection at the other end can take.
#[derive(Clone, Copy, Debug)]
struct Receiver {
    version: Version,
    max_bytes: usize,
    now_ns: u64,
    /// The message goes to several receivers: what is encoded for one may serve the next.
    shared: bool,
    /// How the topic is named.
    alias: Alias,
}

/// How one receiver gets a message.
#[derive(Clone, Copy, Debug)]
struct Form<'a> {
    qos: QoS,
    retain: bool,
    dup: bool,
    packet_id: u16,
    ids: &'a [u32],
}

/// Messages larger than this are encoded for each receiver: one copy less counts for more than one encoding less.
const SHARED_FRAME_BYTES: usize = 64 * 1024;

impl Worker {
    /// Delivers a message to all its matches, which are used up.
    pub(super) fn deliver_all(
        &mut self,
        matches: &mut Vec<Match>,
        view: &MessageView<'_>,
        message: &mut Option<Message>,
    ) {
        let shared = matches.len() > 1 && view.payload.len() < SHARED_FRAME_BYTES;
        self.encoder.forget();
        for each in matches.drain(..) {
            if !self.sessions.contains(each.session as usize) {
                continue;
            }
            let qos = view.qos.min(options_qos(each.options));
            let retain = view.retain && options_retain_as_published(each.options);
            if qos == QoS::AtMostOnce {
                self.deliver_unnumbered(each.session, &each.ids, retain, view, shared);
            } else {
                let message = message.get_or_insert_with(|| Message::new(view, &mut self.scratch)).clone();
                self.deliver_numbered(
                    each.session,
                    Pending { message, ids: each.ids, qos, retain, group: each.group, replay: false },
                    view,
                    shared,
                );
            }
        }
    }

    /// QoS 0: now or never.
    fn deliver_unnumbered(
        &mut self,
        slot: u32,
        ids: &SubscriptionIds,
        retain: bool,
        view: &MessageView<'_>,
        shared: bool,
    ) {
        let Some(at) = self.make_way(slot) else {
            self.counters.dropped_offline_qos0 += 1;
            return;
        };
        let conn = &mut self.conns[at.slot as usize];
        let unsent_bytes = conn.unsent_bytes();
        if unsent_bytes > self.settings.limits.max_output_bytes {
            self.counters.dropped_slow_qos0 += 1;
            return;
        }
        if conn.blocked && self.memory_is_short() {
            self.counters.dropped_memory += 1;
            return;
        }
        if view.retain {
            self.drop_overtaken(slot, view);
        }
        let conn = &mut self.conns[at.slot as usize];
        let to = Receiver::of(conn, self.now_ns, shared).for_topic(conn, view.topic);
        let form = Form { qos: QoS::AtMostOnce, retain, dup: false, packet_id: 0, ids: ids.as_slice() };
        let output = output_of(conn, at, &mut self.dirty, &mut self.pool);
        let sent = self.encoder.append(view, to, form, output);
        sent.note(conn, view, &mut self.counters);
    }

    /// QoS 1 and 2: now, or when it is its turn.
    fn deliver_numbered(&mut self, slot: u32, pending: Pending, view: &MessageView<'_>, shared: bool) {
        let now_ns = self.now_ns;
        let way = self.make_way(slot);
        let short = self.memory_is_short();
        let session = &mut self.sessions[slot as usize];
        let flow = session.flow(self.settings.limits.max_inflight);
        if short && (way.is_none() || flow.window.len() >= INFLIGHT_WHEN_SHORT || !flow.queue.is_empty()) {
            self.counters.dropped_memory += 1;
            return;
        }
        if let Some(at) = way
            && flow.queue.is_empty()
            && flow.unsent == 0
            && flow.has_room()
            && self.conns[at.slot as usize].unsent_bytes() < OUTPUT_HIGH_BYTES
        {
            let conn = &mut self.conns[at.slot as usize];
            let to = Receiver::of(conn, now_ns, shared).for_topic(conn, view.topic);
            let output = output_of(conn, at, &mut self.dirty, &mut self.pool);
            let sent = send_numbered(flow, pending, view, to, &mut self.encoder, output);
            sent.note(conn, view, &mut self.counters);
            return;
        }
        let limits = &self.settings.limits;
        if flow.queue.len() >= limits.max_queued_messages || flow.queued_bytes >= limits.max_queued_bytes {
            self.counters.dropped_queue_full += 1;
            return;
        }
        if flow.queue.is_empty() {
            flow.progress_ns = now_ns;
        }
        flow.queued_bytes += pending.message.size();
        flow.queue.push_back(pending);
        let keeps_up = now_ns - flow.progress_ns < STALL_NS;
        if flow.queue.len() > QUEUE_HIGH && keeps_up && session.conn != OFFLINE {
            self.hold_publisher(slot, view.origin);
        }
    }

    /// The connection of a session, its output written if there is much of it. `None` when it is offline.
    fn make_way(&mut self, slot: u32) -> Option<ConnRef> {
        let conn_slot = self.sessions[slot as usize].conn;
        let conn = self.conns.get(conn_slot as usize)?;
        let at = ConnRef { slot: conn_slot, generation: conn.generation };
        if conn.unsent_bytes() >= FLUSH_BYTES && !conn.blocked {
            self.write_now(at);
        }
        Some(at)
    }

    /// The client has acknowledged something.
    pub(super) fn on_progress(&mut self, slot: u32) {
        let Some(flow) = &mut self.sessions[slot as usize].flow else { return };
        flow.progress_ns = self.now_ns;
        if !flow.queue.is_empty() || flow.unsent > 0 {
            self.pump(slot);
        }
    }

    /// The client's socket has taken something.
    pub(super) fn on_written(&mut self, slot: u32, all: bool) {
        let Some(session) = self.sessions.get_mut(slot as usize) else { return };
        let Some(flow) = &mut session.flow else { return };
        flow.progress_ns = self.now_ns;
        if all && (!flow.queue.is_empty() || flow.unsent > 0) {
            self.pump(slot);
        }
    }

    /// A session has its connection back: what it did not acknowledge is sent again, then what waited [MQTT-4.4.0-1].
    pub(super) fn resume(&mut self, slot: u32) {
        self.pump(slot);
        self.go_on_walking(slot);
    }

    /// Sends what waits for a session, as far as its window and its connection take it.
    pub(super) fn pump(&mut self, slot: u32) {
        let now_ns = self.now_ns;
        let Self { sessions, conns, dirty, pool, encoder, counters, .. } = self;
        let session = &mut sessions[slot as usize];
        let (Some(flow), Some(conn)) = (&mut session.flow, conns.get_mut(session.conn as usize)) else { return };
        let at = ConnRef { slot: session.conn, generation: conn.generation };
        let to = Receiver::of(conn, now_ns, false);
        if flow.unsent > 0 && flow.in_flight() < usize::from(flow.send_max) && conn.unsent_bytes() < OUTPUT_HIGH_BYTES {
            send_again(flow, to, encoder, counters, output_of(conn, at, dirty, pool));
        }
        while flow.unsent == 0 && conn.unsent_bytes() < OUTPUT_HIGH_BYTES {
            if flow.queue.front().is_some_and(|front| front.qos != QoS::AtMostOnce && !flow.has_room()) {
                break;
            }
            let Some(pending) = flow.queue.pop_front() else { break };
            flow.queued_bytes -= pending.message.size();
            flow.replays -= u32::from(pending.replay);
            let message = pending.message.clone();
            let view = message.view();
            let to = to.for_topic(conn, view.topic);
            let output = output_of(conn, at, dirty, pool);
            let sent = if pending.qos == QoS::AtMostOnce {
                let ids = pending.ids.as_slice();
                let form = Form { qos: pending.qos, retain: pending.retain, dup: false, packet_id: 0, ids };
                encoder.append(&view, to, form, output)
            } else {
                send_numbered(flow, pending, &view, to, encoder, output)
            };
            sent.note(conn, &view, counters);
        }
        if flow.queue.is_empty() && flow.queue.capacity() > QUEUE_LOW {
            flow.queue = std::collections::VecDeque::new();
        }
        if flow.queue.len() < QUEUE_LOW && !flow.waiters.is_empty() {
            self.release_waiters(slot);
        }
        if self.walks.are_parked() {
            self.go_on_walking(slot);
        }
    }

    /// Puts a message into a session's queue whatever its length, to be sent when it is its turn: for retained messages, of
    /// which a slice comes at a time.
    pub(super) fn enqueue(&mut self, slot: u32, pending: Pending) {
        if self.memory_is_short() {
            // A client may ask for the same messages again and again.
            self.counters.dropped_memory += 1;
            return;
        }
        let flow = self.sessions[slot as usize].flow(self.settings.limits.max_inflight);
        flow.queued_bytes += pending.message.size();
        flow.replays += u32::from(pending.replay);
        flow.queue.push_back(pending);
    }

    /// A consumer that takes its messages, but not fast enough, slows down who publishes to it.
    fn hold_publisher(&mut self, slot: u32, publisher: SessionRef) {
        let consumer = self.session_ref(slot);
        let Some(flow) = &mut self.sessions[slot as usize].flow else { return };
        if flow.waiters.contains(&publisher) {
            return;
        }
        flow.waiters.push(publisher);
        if flow.waiters.len() == 1 {
            self.wheel.schedule(self.now_ns + STALL_NS, Timer::Stall(consumer));
        }
        self.counters.publisher_pauses += 1;
        self.tell_publisher(publisher, true);
    }

    /// Publishers need not wait for this session any more.
    pub(super) fn release_waiters(&mut self, slot: u32) {
        let Some(flow) = &mut self.sessions[slot as usize].flow else { return };
        for publisher in std::mem::take(&mut flow.waiters) {
            self.tell_publisher(publisher, false);
        }
    }

    /// A consumer that has taken nothing for a while has stalled: its messages wait in its queue up to the limit, and
    /// nobody waits for it.
    pub(super) fn check_stall(&mut self, consumer: SessionRef) {
        let now_ns = self.now_ns;
        let Some(flow) = self.session(consumer).and_then(|session| session.flow.as_mut()) else { return };
        if flow.waiters.is_empty() {
            return;
        }
        if now_ns - flow.progress_ns >= STALL_NS {
            self.release_waiters(consumer.slot);
        } else {
            self.wheel.schedule(now_ns + STALL_NS, Timer::Stall(consumer));
        }
    }

    fn tell_publisher(&mut self, publisher: SessionRef, paused: bool) {
        if publisher.worker == self.id {
            self.pause_publisher(publisher, paused);
        } else {
            self.send(publisher.worker, Mail::Pause { publisher, paused });
        }
    }

    /// Lets a publisher's next PUBLISH wait, or no longer. Its acknowledgements are still acted upon: two clients that
    /// publish to each other must not wait for each other.
    pub(super) fn pause_publisher(&mut self, publisher: SessionRef, paused: bool) {
        let Some(conn_slot) = self.session(publisher).map(|session| session.conn) else { return };
        let Some(conn) = self.conns.get_mut(conn_slot as usize) else { return };
        if paused {
            conn.paused = conn.paused.saturating_add(1);
            return;
        }
        conn.paused = conn.paused.saturating_sub(1);
        let at = ConnRef { slot: conn_slot, generation: conn.generation };
        if conn.paused == 0 && conn.held {
            conn.held = false;
            // It was not read meanwhile: that it was not heard of is no silence of its own.
            conn.last_seen = (self.now_ns / TICK_NS) as u32;
            self.list_readable(at);
        }
    }
}

/// What became of a message at its delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// With the topic named so.
    Written(Alias),
    Expired,
    TooLarge,
}

impl Sent {
    /// Counts it, and remembers an alias that the receiver has learnt.
    #[inline]
    fn note(self, conn: &mut Conn, view: &MessageView<'_>, counters: &mut Counters) {
        match self {
            Self::Written(alias) => {
                counters.delivered += 1;
                conn.note_alias(alias, view.topic);
            }
            Self::Expired => counters.dropped_expired += 1,
            Self::TooLarge => counters.dropped_too_large += 1,
        }
    }
}

/// Puts a message into flight and writes it.
fn send_numbered(
    flow: &mut Flow,
    pending: Pending,
    view: &MessageView<'_>,
    to: Receiver,
    encoder: &mut Encoder,
    output: &mut Vec<u8>,
) -> Sent {
    let (qos, retain, ids) = (pending.qos, pending.retain, pending.ids.clone());
    let Ok(packet_id) = flow.window.push(Outgoing::Publish { pending, sent: true }) else {
        unreachable!("the caller has seen that an identifier is free");
    };
    let form = Form { qos, retain, dup: false, packet_id, ids: ids.as_slice() };
    let sent = encoder.append(view, to, form, output);
    if !matches!(sent, Sent::Written(_)) {
        flow.window.remove(packet_id);
    }
    sent
}

/// Sends what was in flight when the last connection ended, as far as the client takes it: PUBLISH with DUP, or PUBREL
/// [MQTT-4.4.0-1]. The caller has seen that there is something to send and room for it.
fn send_again(flow: &mut Flow, to: Receiver, encoder: &mut Encoder, counters: &mut Counters, output: &mut Vec<u8>) {
    let room = usize::from(flow.send_max).saturating_sub(flow.in_flight());
    let most_bytes = output.len() + OUTPUT_HIGH_BYTES;
    let mut too_large = Vec::new();
    let mut again = 0;
    for (packet_id, outgoing) in flow.window.iter_mut().filter(|(_, outgoing)| !outgoing.is_sent()).take(room) {
        if output.len() >= most_bytes {
            break;
        }
        match outgoing {
            Outgoing::Publish { pending, sent } => {
                *sent = true;
                let ids = pending.ids.as_slice();
                let form = Form { qos: pending.qos, retain: pending.retain, dup: true, packet_id, ids };
                if encoder.append(&pending.message.view(), to, form, output) == Sent::TooLarge {
                    too_large.push(packet_id);
                }
            }
            Outgoing::Released { sent } => {
                *sent = true;
                let [high, low] = packet_id.to_be_bytes();
                output.extend_from_slice(&[mqtt_wire::PacketType::PubRel.first_byte(), 2, high, low]);
            }
        }
        again += 1;
    }
    flow.unsent -= again;
    // This connection takes smaller packets than the last one: as if they had been delivered [MQTT-3.1.2-25].
    for packet_id in too_large {
        flow.window.remove(packet_id);
        counters.dropped_too_large += 1;
    }
}

impl Receiver {
    fn of(conn: &Conn, now_ns: u64, shared: bool) -> Self {
        let max_bytes = match &conn.v5 {
            Some(v5) if v5.max_packet_bytes != 0 => v5.max_packet_bytes as usize,
            _ => usize::MAX,
        };
        Self { version: conn.version, max_bytes, now_ns, shared, alias: Alias::None }
    }

    /// With a topic that may have an alias.
    #[inline]
    fn for_topic(self, conn: &Conn, topic: &str) -> Self {
        Self { alias: conn.alias_of(topic), ..self }
    }
}

impl Encoder {
    /// A new message begins.
    fn forget(&mut self) {
        self.frames.iter_mut().for_each(|frame| frame.bytes.clear());
    }

    /// Appends the message as one PUBLISH, unless it has expired or is too large for the receiver.
    fn append(&mut self, view: &MessageView<'_>, to: Receiver, form: Form<'_>, output: &mut Vec<u8>) -> Sent {
        let Receiver { version, max_bytes, now_ns, shared, alias } = to;
        // What was sent before does not expire [MQTT-4.3.3-7].
        if view.expires_ns <= now_ns && !form.dup {
            return Sent::Expired;
        }
        let own =
            version.has_properties() && (!form.ids.is_empty() || view.expires_ns != NEVER || alias != Alias::None);
        if !shared || own {
            let header = self.header(view, to, form, own);
            if header.packet_len(version) > max_bytes {
                return match alias {
                    // To tell the alias takes three bytes.
                    Alias::New(_) => self.append(view, Receiver { alias: Alias::None, ..to }, form, output),
                    _ => Sent::TooLarge,
                };
            }
            return match header.encode(version, output) {
                Ok(()) => {
                    output.extend_from_slice(view.payload);
                    Sent::Written(alias)
                }
                Err(_) => Sent::TooLarge,
            };
        }
        let numbered = form.qos != QoS::AtMostOnce;
        let index = usize::from(version.has_properties()) * 2 + usize::from(numbered);
        if self.frames[index].bytes.is_empty() {
            let mut bytes = std::mem::take(&mut self.frames[index].bytes);
            let encoded = self.header(view, to, form, false).encode(version, &mut bytes);
            let id_at = bytes.len() - properties_len(view, version) - 2;
            bytes.extend_from_slice(view.payload);
            self.frames[index] = Frame { bytes, id_at };
            if encoded.is_err() {
                self.frames[index].bytes.clear();
                return Sent::TooLarge;
            }
        }
        let frame = &self.frames[index];
        if frame.bytes.len() > max_bytes {
            return Sent::TooLarge;
        }
        let start = output.len();
        output.extend_from_slice(&frame.bytes);
        output[start] = first_byte(form);
        if numbered {
            output[start + frame.id_at..start + frame.id_at + 2].copy_from_slice(&form.packet_id.to_be_bytes());
        }
        Sent::Written(Alias::None)
    }

    /// The packet's header; `own`: with properties that only this receiver gets.
    fn header<'a>(&'a mut self, view: &MessageView<'a>, to: Receiver, form: Form<'_>, own: bool) -> PublishHeader<'a> {
        let (version, now_ns) = (to.version, to.now_ns);
        let Form { qos, retain, dup, packet_id, ids } = form;
        let mut properties = if version.has_properties() { view.properties } else { mqtt_wire::Properties::EMPTY };
        if own {
            self.properties.clear();
            self.properties.extend(view.properties);
            if view.expires_ns != NEVER {
                // The time that is left [MQTT-3.3.2-6], rounded: the worker that the message came from may have read the
                // clock a little later than this one. Zero only when it is over.
                let left_ns = view.expires_ns.saturating_sub(now_ns);
                let left_s = ((left_ns + 500_000_000) / 1_000_000_000).max(u64::from(left_ns > 0));
                let left_s = left_s.min(u64::from(u32::MAX)) as u32;
                let _ = self.properties.push(Property::MessageExpiryInterval(left_s));
            }
            if let Alias::New(number) | Alias::Known(number) = to.alias {
                // Cannot fail: numbers begin with 1.
                let _ = self.properties.push(Property::TopicAlias(number));
            }
            for &id in ids {
                // Cannot fail: identifiers were decoded from a subscription.
                let _ = self.properties.push(Property::SubscriptionIdentifier(id));
            }
            properties = self.properties.as_properties();
        }
        let topic = if matches!(to.alias, Alias::Known(_)) { "" } else { view.topic };
        PublishHeader { dup, qos, retain, topic, packet_id, properties, payload_len: view.payload.len() }
    }
}

fn first_byte(form: Form<'_>) -> u8 {
    mqtt_wire::PacketType::Publish.first_byte()
        | u8::from(form.dup) << 3
        | (form.qos as u8) << 1
        | u8::from(form.retain)
}

/// Bytes of the property list between packet identifier and payload.
fn properties_len(view: &MessageView<'_>, version: Version) -> usize {
    let length = view.properties.as_bytes().len();
    if version.has_properties() { mqtt_wire::frame::varint_len(length as u32) + length } else { 0 }
}

impl Outgoing {
    /// Whether this was sent on the present connection.
    pub(super) fn is_sent(&self) -> bool {
        match self {
            Self::Publish { sent, .. } | Self::Released { sent } => *sent,
        }
    }

    /// The connection on which this was sent has ended.
    pub(super) fn mark_unsent(&mut self) {
        match self {
            Self::Publish { sent, .. } | Self::Released { sent } => *sent = false,
        }
    }
}
