//! Open-loop publishing. The agenda says whose message is due; a due message is offered, whatever the state of its
//! connection; it is attempted as soon as the window and the socket have room, with its due time unchanged.

use mqtt_wire::packet::PublishHeader;
use mqtt_wire::window::SendWindow;
use mqtt_wire::{Ack, AckKind, Properties, PropertiesBuf, Property, QoS, Version};
use pacer::pacing::Pacing;
use pacer::rng::mix;
use pacer::schedule::Schedule;
use pacer::stamp::Stamp;
use runlog::clock::{mono_ns, wall_ns};

use super::{Share, Worker, to_ms};
use crate::board::{Board, Tally};
use crate::client::{Alias, Client, Flight, Lane, Publisher, Stage};
use crate::content::Message;
use crate::control::{Control, Phase};
use crate::naming::{self, Variables};
use crate::reason;
use crate::scenario::paced_ns;
use crate::settings::PubSettings;

/// What a server allows a publisher.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// QoS 1 and 2 messages in flight.
    pub(super) window_max: u16,
    /// Topic aliases.
    pub(super) alias_max: u16,
}

impl Worker {
    /// Serves the publishers that have something to send, one write each.
    pub(super) fn send_what_is_due(&mut self, board: &mut Board) {
        let settings = self.settings.clone();
        let Some(publish) = settings.publishing().filter(|_| !self.share.senders.is_empty()) else { return };
        // Two lists that change places: those served now, and those that have more for the next turn.
        let mut served = std::mem::replace(&mut self.share.senders, std::mem::take(&mut self.served));
        for index in served.drain(..) {
            let client = &mut self.clients[index as usize];
            if let Some(publisher) = &mut client.publisher {
                publisher.listed = false;
                if let Err(reason) = self.share.publish(client, index, publish, board) {
                    self.broken.push((index, reason));
                }
            }
        }
        self.served = served;
    }

    /// Sends again what has gone unacknowledged for too long, where that is wanted.
    pub(super) fn repeat_unacknowledged(&mut self, board: &mut Board) {
        let settings = self.settings.clone();
        let Some((publish, interval_ns)) =
            settings.publishing().and_then(|publish| Some((publish, publish.retry_interval_ns?)))
        else {
            return;
        };
        let now_ns = mono_ns();
        if now_ns - self.repeated_at_ns < REPEAT_LOOK_NS {
            return;
        }
        self.repeated_at_ns = now_ns;
        for (index, client) in self.clients.iter_mut().enumerate() {
            let index = index as u32;
            if client.stage == Stage::Ready
                && client.outbox.is_empty()
                && let Err(reason) = self.share.repeat(client, index, publish, to_ms(interval_ns), board)
            {
                self.broken.push((index, reason));
            }
        }
    }
}

impl Share {
    /// Gives a client what a publisher has, and lets it begin unless all are to wait for each other.
    pub(super) fn become_publisher(
        &mut self,
        client: &mut Client,
        index: u32,
        publish: &PubSettings,
        allowance: Allowance,
        now_ns: u64,
    ) {
        let Allowance { window_max, alias_max } = allowance;
        let alias = |lane: usize| match u16::try_from(lane + 1) {
            Ok(alias) if publish.aliases && alias <= alias_max => Alias::Untold(alias),
            _ => Alias::Unused,
        };
        if let Some(publisher) = &mut client.publisher {
            // It has come back; what became due meanwhile waits. A new connection knows no aliases.
            publisher.window_max = window_max;
            publisher.lanes.iter_mut().enumerate().for_each(|(at, lane)| lane.alias = alias(at));
            self.list_if_able(client, index);
            return;
        }
        let identity = self.identity(client, index);
        let number = self.number(index);
        let lanes = publish.lanes.iter().enumerate().map(|(at, lane)| {
            let topic = naming::topic(&lane.topic, Variables::of(number, &identity));
            Lane {
                // A topic that changes with each message has no alias.
                alias: if naming::is_numbered(&topic) { Alias::Unused } else { alias(at) },
                topic: topic.into(),
                content: lane
                    .content
                    .is_per_client()
                    .then(|| Box::new(lane.content.of_client(number, &identity.client_id))),
                waiting: 0,
                cursor: Schedule::flat_out(now_ns),
            }
        });
        client.publisher = Some(Box::new(Publisher {
            lanes: lanes.collect(),
            sequence: 0,
            remaining: publish.limit_per_client.unwrap_or(u32::MAX),
            since_ns: now_ns,
            offered: 0,
            acked: 0,
            unwritten_lost: 0,
            waiting: 0,
            flat_out: false,
            listed: false,
            held_up: false,
            window_max,
            window: SendWindow::default(),
            unwritten: None,
        }));
        match self.control.go_ns() {
            Some(_) => self.begin_publishing(client, index, now_ns),
            None => self.held.push(index),
        }
    }

    /// Puts a publisher on the agenda from `start_ns` on. The clients' phases spread them over the interval.
    pub(super) fn begin_publishing(&mut self, client: &mut Client, index: u32, start_ns: u64) {
        let settings = self.settings.clone();
        let (Some(publish), Some(publisher)) = (settings.publishing(), &mut client.publisher) else { return };
        let (shortest_ns, longest_ns) = publish.random_wait_ns;
        let random = mix(settings.seed ^ mix(u64::from(self.number(index))));
        let start_ns = start_ns + shortest_ns + random % (longest_ns - shortest_ns + 1);
        publisher.since_ns = start_ns;
        let global_index = self.global_index(index);
        for (at, (lane, wanted)) in publisher.lanes.iter_mut().zip(&publish.lanes).enumerate() {
            // Each topic has a chance of its own.
            let seed = settings.seed ^ at as u64;
            let interval_ns = paced_ns(wanted.interval_ns, self.control.pace);
            lane.cursor = publish.pacing.schedule(start_ns, interval_ns, global_index, seed);
        }
        if publish.pacing == Pacing::FlatOut {
            // Of its plan the agenda knows the beginning.
            self.agenda.join(index, Schedule::every(start_ns, u64::MAX / 2));
            return;
        }
        for (at, lane) in publisher.lanes.iter().enumerate() {
            self.agenda.join(index * publish.lanes.len() as u32 + at as u32, lane.cursor.clone());
        }
    }

    /// Takes a publisher off the agenda.
    pub(super) fn leave_agenda(&mut self, index: u32) {
        let lanes = self.settings.publishing().map_or(0, |publish| publish.lanes.len() as u32);
        (index * lanes..(index + 1) * lanes).for_each(|lane| self.agenda.leave(lane));
    }

    /// Counts the messages that are due as offered.
    pub(super) fn offer(&mut self, clients: &mut [Client], tally: &mut Tally) {
        if self.agenda.next_due_ns().is_none() {
            return;
        }
        let settings = self.settings.clone();
        let Some(publish) = settings.publishing() else { return };
        let lanes = publish.lanes.len() as u32;
        let now_ns = mono_ns();
        while let Some(due) = self.agenda.take_due(now_ns) {
            let (index, lane) = (due.client / lanes, due.client % lanes);
            let client = &mut clients[index as usize];
            let Some(publisher) = &mut client.publisher else { continue };
            if publish.pacing == Pacing::FlatOut {
                publisher.flat_out = true;
                self.agenda.leave(due.client);
                self.list_if_able(client, index);
                continue;
            }
            if publisher.remaining == 0 {
                self.agenda.leave(due.client);
                continue;
            }
            if !self.control.take_ticket() {
                self.agenda = Default::default();
                return;
            }
            publisher.remaining -= 1;
            publisher.waiting += 1;
            publisher.offered += 1;
            publisher.lanes[lane as usize].waiting += 1;
            tally.offered += 1;
            tally.waiting += 1;
            if !publisher.listed && !publisher.held_up {
                publisher.listed = true;
                self.senders.push(index);
            }
        }
    }

    /// The run is over: what was offered and waits stays unsent, and offered.
    pub(super) fn give_up_waiting(&mut self, clients: &mut [Client], tally: &mut Tally) {
        if self.agenda.next_due_ns().is_none() && tally.waiting == 0 && self.held.is_empty() {
            return;
        }
        self.agenda = Default::default();
        self.held.clear();
        tally.waiting = 0;
        let publishers = clients.iter_mut().filter_map(|client| client.publisher.as_mut());
        publishers.for_each(|publisher| publisher.give_up_waiting());
    }

    /// Puts a publisher on the list of those with something to send, if it has something and may send it.
    pub(super) fn list_if_able(&mut self, client: &mut Client, index: u32) {
        let Some(publisher) = &mut client.publisher else { return };
        let able = client.stage == Stage::Ready && client.outbox.is_empty() && publisher.may_send();
        let flat_out = publisher.flat_out && publisher.remaining > 0;
        let willing = publisher.waiting > 0 || flat_out && self.may_offer();
        if able && willing && !publisher.listed {
            publisher.listed = true;
            self.senders.push(index);
        }
    }

    /// Sends the messages of one client that wait, as many as the window, the socket and a turn allow.
    fn publish(
        &mut self,
        client: &mut Client,
        index: u32,
        publish: &PubSettings,
        board: &mut Board,
    ) -> Result<(), String> {
        let Some(publisher) = &mut client.publisher else { return Ok(()) };
        if client.stage != Stage::Ready || !client.outbox.is_empty() {
            publisher.held_up = publisher.waiting > 0;
            return Ok(());
        }
        let now_ns = mono_ns();
        let was_held_up = std::mem::take(&mut publisher.held_up);
        let sender = self.sender(index);
        let sent_wall_ns = if publish.needs_wall_clock { wall_ns() } else { 0 };
        while self.out.len() < BATCH_BYTES && publisher.may_send() {
            let Some((at, due_ns)) = next_due(publisher, now_ns, &self.control, &mut board.tally) else { break };
            let stamp = Stamp { sender, sequence: publisher.sequence, due_ns };
            let packet_id = match publish.lanes[at].qos {
                QoS::AtMostOnce => 0,
                _ => {
                    let (sequence, lane) = (stamp.sequence, at as u16);
                    let flight = Flight {
                        due_ns,
                        first_sent_ns: now_ns,
                        sent_at_ms: to_ms(now_ns),
                        sequence,
                        lane,
                        released: false,
                    };
                    publisher.window.push(flight).map_err(|_| "no packet identifier left".to_owned())?
                }
            };
            publisher.sequence = publisher.sequence.wrapping_add(1);
            let message = Message { stamp, sent_ns: now_ns, sent_wall_ns };
            encode(publish, publisher, at, &message, packet_id, false, self.settings.version, &mut self.out)?;
            self.ends.push(self.out.len());
            record_send(publish, at, &stamp, now_ns, was_held_up, board);
        }
        self.transmit(client, now_ns, &mut board.tally).map_err(|error| reason::of_error(&error))?;
        self.list_if_able(client, index);
        if let Some(publisher) = &mut client.publisher {
            publisher.held_up = publisher.waiting > 0 && !publisher.listed;
        }
        Ok(())
    }

    /// Sends a client's messages again that were last sent more than `interval_ms` ago and are still unacknowledged.
    fn repeat(
        &mut self,
        client: &mut Client,
        index: u32,
        publish: &PubSettings,
        interval_ms: u32,
        board: &mut Board,
    ) -> Result<(), String> {
        let Some(publisher) = client.publisher.as_mut().filter(|publisher| !publisher.window.is_empty()) else {
            return Ok(());
        };
        let now_ns = mono_ns();
        let wall_offset_ns = wall_ns().wrapping_sub(now_ns);
        let sender = self.sender(index);
        let is_old = |flight: &&mut Flight| to_ms(now_ns).wrapping_sub(flight.sent_at_ms) >= interval_ms;
        let mut old = Vec::new();
        for (packet_id, flight) in publisher.window.iter_mut().filter(|(_, flight)| is_old(flight)) {
            flight.sent_at_ms = to_ms(now_ns);
            old.push((packet_id, *flight));
        }
        for (packet_id, flight) in old {
            let version = self.settings.version;
            board.tally.resent += 1;
            if flight.released {
                Ack::new(AckKind::PubRel, packet_id)
                    .encode(version, &mut self.out)
                    .map_err(|error| error.to_string())?;
                continue;
            }
            let stamp = Stamp { sender, sequence: flight.sequence, due_ns: flight.due_ns };
            let sent_wall_ns = wall_offset_ns.wrapping_add(flight.first_sent_ns);
            let message = Message { stamp, sent_ns: flight.first_sent_ns, sent_wall_ns };
            encode(publish, publisher, usize::from(flight.lane), &message, packet_id, true, version, &mut self.out)?;
        }
        self.transmit(client, now_ns, &mut board.tally).map_err(|error| reason::of_error(&error))
    }

    fn may_offer(&self) -> bool {
        self.control.phase() == Phase::Run && !self.control.is_exhausted()
    }
}

/// The lane and due time of the next message to send; `None` when nothing is due. Flat out, a message is offered and due
/// when it can be sent.
fn next_due(publisher: &mut Publisher, now_ns: u64, control: &Control, tally: &mut Tally) -> Option<(usize, u64)> {
    if publisher.flat_out {
        if publisher.remaining == 0 || control.phase() != Phase::Run || !control.take_ticket() {
            return None;
        }
        publisher.remaining -= 1;
        tally.offered += 1;
        return Some((0, now_ns));
    }
    if publisher.waiting == 0 {
        return None;
    }
    let waiting = publisher.lanes.iter_mut().enumerate().filter(|(_, lane)| lane.waiting > 0);
    let (at, lane) = waiting.min_by_key(|(_, lane)| lane.cursor.next_due_ns())?;
    publisher.waiting -= 1;
    lane.waiting -= 1;
    tally.waiting -= 1;
    Some((at, lane.cursor.take_due(now_ns)?))
}

/// Appends a message of a publisher's lane.
#[allow(clippy::too_many_arguments, reason = "two callers, and a struct of these eight would be built for them alone")]
fn encode(
    publish: &PubSettings,
    publisher: &mut Publisher,
    at: usize,
    message: &Message,
    packet_id: u16,
    dup: bool,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let (wanted, lane) = (&publish.lanes[at], &mut publisher.lanes[at]);
    let content = lane.content.as_deref().unwrap_or(&wanted.content);
    let numbered;
    let mut topic = if naming::is_numbered(&lane.topic) {
        numbered = naming::numbered_topic(&lane.topic, message.stamp.sequence);
        &*numbered
    } else {
        &*lane.topic
    };
    let mut properties = publish.properties.as_properties();
    let mut with_alias = PropertiesBuf::new();
    if let Alias::Untold(alias) | Alias::Told(alias) = lane.alias {
        with_alias.extend(properties);
        with_alias.push(Property::TopicAlias(alias)).map_err(|error| error.to_string())?;
        properties = with_alias.as_properties();
        if matches!(lane.alias, Alias::Told(_)) {
            topic = "";
        }
        lane.alias = Alias::Told(alias);
    }
    let header = |payload_len| PublishHeader {
        dup,
        qos: wanted.qos,
        retain: publish.retain,
        topic,
        packet_id,
        properties: if version == Version::V5 { properties } else { Properties::EMPTY },
        payload_len,
    };
    match content.fixed_len() {
        Some(payload_len) => {
            header(payload_len).encode(version, out).map_err(|error| error.to_string())?;
            content.append(message, out);
        }
        None => {
            let mut payload = Vec::new();
            content.append(message, &mut payload);
            header(payload.len()).encode(version, out).map_err(|error| error.to_string())?;
            out.extend_from_slice(&payload);
        }
    }
    Ok(())
}

fn record_send(publish: &PubSettings, at: usize, stamp: &Stamp, now_ns: u64, was_held_up: bool, board: &mut Board) {
    let lane = &publish.lanes[at];
    let lag_ns = now_ns.saturating_sub(stamp.due_ns);
    let tally = &mut board.tally;
    tally.attempted += 1;
    tally.in_flight += u64::from(lane.qos != QoS::AtMostOnce);
    tally.late_max_ns = tally.late_max_ns.max(lag_ns);
    let period_ns = publish.pacing.period_ns(lane.interval_ns);
    tally.overrun += u64::from(period_ns > 0 && lag_ns >= period_ns);
    board.series.send_lag.record(lag_ns);
    if !was_held_up {
        board.series.own_lag.record(lag_ns);
    }
}

/// Bytes of one client's messages in one write.
const BATCH_BYTES: usize = 64 * 1_024;
/// How often a worker looks for messages to send again.
const REPEAT_LOOK_NS: u64 = 250_000_000;
