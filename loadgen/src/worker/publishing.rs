//! Open-loop publishing. The agenda says whose message is due; a due message is offered, whatever the state of its
//! connection; it is attempted as soon as the window and the socket have room, with its due time unchanged.

use mqtt_wire::packet::PublishHeader;
use mqtt_wire::window::SendWindow;
use mqtt_wire::{Properties, QoS};
use pacer::schedule::{Schedule, phase_ns};
use pacer::stamp::Stamp;
use runlog::clock::mono_ns;

use super::{Share, Worker};
use crate::board::{Board, Tally};
use crate::client::{Client, Flight, Publisher, Stage};
use crate::control::Phase;
use crate::naming::{self, Variables};
use crate::reason;
use crate::settings::PubSettings;

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
}

impl Share {
    /// Gives a client what a publisher has, and lets it begin unless all are to wait for each other.
    pub(super) fn become_publisher(
        &mut self,
        client: &mut Client,
        index: u32,
        publish: &PubSettings,
        window_max: u16,
        now_ns: u64,
    ) {
        if let Some(publisher) = &mut client.publisher {
            // It has come back; what became due meanwhile waits.
            publisher.window_max = window_max;
            self.list_if_able(client, index);
            return;
        }
        let identity = self.identity(client, index);
        let variables = Variables::of(self.number(index), &identity);
        client.publisher = Some(Box::new(Publisher {
            topic: naming::topic(&publish.topic, variables).into(),
            sequence: 0,
            waiting: 0,
            cursor: Schedule::flat_out(now_ns),
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
        if publish.interval_ns == 0 {
            self.list_if_able(client, index);
            return;
        }
        let first_due_ns = start_ns + phase_ns(self.global_index(index), publish.interval_ns);
        publisher.cursor = Schedule::every(first_due_ns, publish.interval_ns);
        self.agenda.join(index, publisher.cursor.clone());
    }

    /// Counts the messages that are due as offered.
    pub(super) fn offer(&mut self, clients: &mut [Client], tally: &mut Tally) {
        let now_ns = mono_ns();
        while let Some(due) = self.agenda.take_due(now_ns) {
            if !self.control.take_ticket() {
                self.agenda = Default::default();
                return;
            }
            let Some(publisher) = &mut clients[due.client as usize].publisher else { continue };
            publisher.waiting += 1;
            tally.offered += 1;
            tally.waiting += 1;
            if !publisher.listed && !publisher.held_up {
                publisher.listed = true;
                self.senders.push(due.client);
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
        clients.iter_mut().filter_map(|client| client.publisher.as_mut()).for_each(|publisher| publisher.waiting = 0);
    }

    /// Puts a publisher on the list of those with something to send, if it has something and may send it.
    pub(super) fn list_if_able(&mut self, client: &mut Client, index: u32) {
        let Some(publisher) = &mut client.publisher else { return };
        let able = client.stage == Stage::Ready && client.outbox.is_empty() && publisher.may_send();
        let willing = publisher.waiting > 0 || publisher.cursor.is_flat_out() && self.is_flat_out_going();
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
        let sender = self.first_sender.wrapping_add(index * self.settings.threads as u32 + self.index);
        while self.out.len() < BATCH_BYTES && publisher.may_send() {
            let Some(due_ns) = next_due(publisher, now_ns, &self.control, &mut board.tally) else { break };
            let stamp = Stamp { sender, sequence: publisher.sequence, due_ns };
            encode(publish, publisher, stamp, now_ns, self.settings.version, &mut self.out)?;
            self.ends.push(self.out.len());
            record_send(publish, &stamp, now_ns, was_held_up, board);
        }
        self.transmit(client, now_ns, &mut board.tally).map_err(|error| reason::of_error(&error))?;
        self.list_if_able(client, index);
        if let Some(publisher) = &mut client.publisher {
            publisher.held_up = publisher.waiting > 0 && !publisher.listed;
        }
        Ok(())
    }

    fn is_flat_out_going(&self) -> bool {
        self.control.phase() == Phase::Run && self.control.go_ns().is_some() && !self.control.is_exhausted()
    }
}

/// The due time of the next message to send; `None` when nothing is due. Flat out, a message is offered and due when it
/// can be sent.
fn next_due(
    publisher: &mut Publisher,
    now_ns: u64,
    control: &crate::control::Control,
    tally: &mut Tally,
) -> Option<u64> {
    if publisher.cursor.is_flat_out() {
        if control.phase() != Phase::Run || !control.take_ticket() {
            return None;
        }
        tally.offered += 1;
        return Some(now_ns);
    }
    if publisher.waiting == 0 {
        return None;
    }
    publisher.waiting -= 1;
    tally.waiting -= 1;
    publisher.cursor.take_due(now_ns)
}

/// Appends the next message of a publisher, and takes its number and its place in the window.
fn encode(
    publish: &PubSettings,
    publisher: &mut Publisher,
    stamp: Stamp,
    now_ns: u64,
    version: mqtt_wire::Version,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let packet_id = match publish.qos {
        QoS::AtMostOnce => 0,
        _ => {
            let flight = Flight { due_ns: stamp.due_ns, released: false };
            publisher.window.push(flight).map_err(|_| "no packet identifier left".to_owned())?
        }
    };
    let numbered;
    let topic = if naming::is_numbered(&publisher.topic) {
        numbered = naming::numbered_topic(&publisher.topic, stamp.sequence);
        &numbered
    } else {
        &*publisher.topic
    };
    let header = PublishHeader {
        dup: false,
        qos: publish.qos,
        retain: publish.retain,
        topic,
        packet_id,
        properties: Properties::EMPTY,
        payload_len: publish.payload_len,
    };
    header.encode(version, out).map_err(|error| error.to_string())?;
    let payload_at = out.len();
    out.resize(payload_at + publish.payload_len, 0);
    stamp.fill_sent_at(now_ns, &mut out[payload_at..]);
    publisher.sequence = publisher.sequence.wrapping_add(1);
    Ok(())
}

fn record_send(publish: &PubSettings, stamp: &Stamp, now_ns: u64, was_held_up: bool, board: &mut Board) {
    let lag_ns = now_ns.saturating_sub(stamp.due_ns);
    let tally = &mut board.tally;
    tally.attempted += 1;
    tally.in_flight += u64::from(publish.qos != QoS::AtMostOnce);
    tally.late_max_ns = tally.late_max_ns.max(lag_ns);
    tally.overrun += u64::from(publish.interval_ns > 0 && lag_ns >= publish.interval_ns);
    board.series.send_lag.record(lag_ns);
    if !was_held_up {
        board.series.own_lag.record(lag_ns);
    }
}

/// Bytes of one client's messages in one write.
const BATCH_BYTES: usize = 64 * 1_024;
