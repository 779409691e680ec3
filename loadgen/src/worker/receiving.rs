//! What comes in: bytes to packets, packets to acts, and the account of the messages received.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use mqtt_wire::{Ack, AckKind, Frame, Packet, Property, Publish, QoS};
use netloop::buffer::Input;
use pacer::receipt::{Arrival, Receipts};
use pacer::stamp::{Reading, Stamp};
use runlog::clock::{mono_ns, wall_ns};

use super::{Share, Worker};
use crate::board::{Board, Tally};
use crate::client::{Client, Stage};
use crate::content;
use crate::reason;
use crate::settings::SubSettings;

impl Worker {
    /// Reads what a socket holds, acts on it and sends the answers with one write. `ending`: the poller has seen the end
    /// of the stream, so that reading goes on until it is met.
    pub(super) fn read(&mut self, index: u32, ending: bool, board: &mut Board) {
        let Self { clients, inlet, share, unread, broken, .. } = self;
        let client = &mut clients[index as usize];
        for round in 0.. {
            let Some(transport) = client.transport.as_mut().filter(|_| client.stage > Stage::Securing) else {
                return;
            };
            match inlet.read(&mut client.spill, transport) {
                Ok(Input::Bytes { more }) => {
                    let used = share.on_bytes(client, index, inlet.bytes(), board);
                    match used {
                        Ok(used) => inlet.keep(&mut client.spill, used),
                        Err(reason) => return broken.push((index, reason)),
                    }
                    if !more && !ending {
                        break;
                    }
                }
                Ok(Input::Nothing) => break,
                Ok(Input::End) => return broken.push((index, reason::CLOSED.to_owned())),
                Err(error) => return broken.push((index, reason::of_error(&error))),
            }
            if round == READS_PER_TURN {
                unread.push(index);
                break;
            }
        }
    }
}

impl Share {
    /// Acts on the packets in `bytes`; returns how many bytes they took. An error ends the connection.
    fn on_bytes(&mut self, client: &mut Client, index: u32, bytes: &[u8], board: &mut Board) -> Result<usize, String> {
        let now_ns = mono_ns();
        let mut used = 0;
        let outcome = loop {
            let begin = used;
            let Tally { damaged, unrecognised, .. } = board.tally;
            match Frame::split(&bytes[used..], PACKET_MAX) {
                Ok(Some(frame)) => {
                    used += frame.raw.len();
                    if let Err(reason) = self.on_frame(client, index, &frame, now_ns, board) {
                        self.keep_evidence(client, index, &reason, begin, bytes);
                        break Err(reason);
                    }
                    let tally = &board.tally;
                    if tally.damaged != damaged || tally.unrecognised != unrecognised && tally.verified > 0 {
                        self.keep_evidence(client, index, "corrupted payload", begin, &bytes[..used]);
                    }
                }
                Ok(None) => break Ok(used),
                Err(error) => {
                    let reason = error.to_string();
                    self.keep_evidence(client, index, &reason, begin, bytes);
                    break Err(reason);
                }
            }
        };
        client.received_bytes += used as u64;
        if !self.out.is_empty() {
            let sent = self.transmit(client, now_ns, &mut board.tally);
            self.list_if_able(client, index);
            return outcome.and(sent.map(|()| used).map_err(|error| reason::of_error(&error)));
        }
        self.list_if_able(client, index);
        outcome
    }

    fn keep_evidence(&mut self, client: &Client, index: u32, reason: &str, begin: usize, bytes: &[u8]) {
        let (number, offset) = (self.number(index), client.received_bytes + begin as u64);
        self.books.keep_evidence(number, reason, offset, &bytes[begin..]);
    }

    fn on_frame(
        &mut self,
        client: &mut Client,
        index: u32,
        frame: &Frame,
        now_ns: u64,
        board: &mut Board,
    ) -> Result<(), String> {
        let packet = Packet::decode(frame, self.settings.version).map_err(|error| error.to_string())?;
        match packet {
            Packet::Publish(publish) => self.on_publish(client, index, &publish, now_ns, board),
            Packet::Ack(ack) => self.on_ack(client, &ack, now_ns, board),
            Packet::ConnAck(connack) if client.stage == Stage::Greeting => {
                self.on_connack(client, index, &connack, now_ns, board)
            }
            Packet::SubAck(suback) => self.on_suback(client, index, &suback, now_ns, board),
            Packet::PingResp => {
                client.ping_pending = false;
                Ok(())
            }
            Packet::Disconnect(disconnect) => Err(reason::of_disconnect(disconnect.reason)),
            _ => Err(format!("unexpected packet, first byte 0x{:02x}", frame.first)),
        }
    }

    fn on_publish(
        &mut self,
        client: &mut Client,
        index: u32,
        publish: &Publish,
        now_ns: u64,
        board: &mut Board,
    ) -> Result<(), String> {
        let repeated = match publish.qos {
            QoS::AtMostOnce => false,
            QoS::AtLeastOnce => self.acknowledge(AckKind::PubAck, publish.packet_id).map(|()| false)?,
            QoS::ExactlyOnce => {
                let first = client.inbound.get_or_insert_default().insert(publish.packet_id);
                self.acknowledge(AckKind::PubRec, publish.packet_id).map(|()| !first)?
            }
        };
        if !repeated {
            board.tally.received += 1;
            board.tally.progress_at_ns = now_ns;
            board.tally.received_bytes += publish.payload.len() as u64;
            self.account(client, index, publish, now_ns, board);
        }
        Ok(())
    }

    /// Enters a message into the books.
    fn account(&mut self, client: &Client, index: u32, publish: &Publish, now_ns: u64, board: &mut Board) {
        if publish.retain {
            board.tally.retained += 1;
            return;
        }
        let sub = self.settings.subscribing();
        let headers = sub.map_or(&[][..], |sub| &sub.headers);
        // The messages of a shared subscription are divided among the clients: they have one account.
        let is_shared = sub.is_some_and(SubSettings::is_shared);
        let account = if is_shared { u64::from(u32::MAX) } else { u64::from(index) } << 32;
        let Some((found, body)) = content::split_headers(headers, publish.payload) else {
            board.tally.unstamped += 1;
            return;
        };
        let latency_ms = found.sent_at_ms.map(|sent_at_ms| (wall_ns() / 1_000_000).saturating_sub(sent_at_ms));
        if let Some(latency_ms) = latency_ms {
            board.tally.header_latency_ms += latency_ms;
            board.tally.header_latencies += 1;
        }
        let stamp = match Stamp::read(body) {
            Reading::Intact(stamp) => stamp,
            _ if found.counter.is_some() => {
                // The counter runs per publisher; the topic stands for the publisher.
                let mut topic = DefaultHasher::new();
                publish.topic.hash(&mut topic);
                let key = account | topic.finish() & u64::from(u32::MAX);
                let counter = found.counter.unwrap_or_default() as u32;
                match is_shared {
                    true => self.receipts.record_divided(key, counter),
                    false => self.receipts.record(key, counter),
                };
                latency_ms.into_iter().for_each(|ms| board.series.latency.record(ms * 1_000_000));
                return;
            }
            Reading::Corrupted => {
                board.tally.damaged += 1;
                self.books.corrupted(publish.topic);
                return;
            }
            Reading::Foreign => {
                board.tally.unrecognised += 1;
                self.books.corrupted(publish.topic);
                return;
            }
            Reading::Unstamped => {
                board.tally.unstamped += 1;
                return;
            }
        };
        board.tally.verified += 1;
        let key = account | u64::from(stamp.sender);
        let arrival = match is_shared {
            true => self.receipts.record_divided(key, stamp.sequence),
            false => self.receipts.record(key, stamp.sequence),
        };
        if arrival == Arrival::First {
            self.books.heard(stamp.sender, publish.topic);
        }
        if self.settings.part.is_some_and(|part| !part.is_of_this_host(stamp.sender)) {
            return;
        }
        let expiry_s = expiry_s(publish);
        self.heads.see(key, &stamp, expiry_s, arrival, client.since_ns, &mut self.receipts);
        if matches!(arrival, Arrival::Duplicated | Arrival::Stale) {
            return;
        }
        board.series.latency.record(now_ns.saturating_sub(stamp.due_ns));
        if let Some(sent_ns) = Stamp::peek_sent_ns(body) {
            board.series.uncorrected.record(now_ns.saturating_sub(sent_ns));
        }
    }

    /// PUBACK, PUBREC, PUBREL or PUBCOMP has come.
    fn on_ack(&mut self, client: &mut Client, ack: &Ack, now_ns: u64, board: &mut Board) -> Result<(), String> {
        if ack.kind == AckKind::PubRel {
            if let Some(inbound) = &mut client.inbound {
                inbound.remove(ack.packet_id);
                if inbound.is_empty() {
                    client.inbound = None;
                }
            }
            return self.acknowledge(AckKind::PubComp, ack.packet_id);
        }
        let unexpected = || format!("{:?} for packet {} that is not in flight", ack.kind, ack.packet_id);
        let publisher = client.publisher.as_mut().ok_or_else(unexpected)?;
        let flight = publisher.window.get_mut(ack.packet_id).ok_or_else(unexpected)?;
        let tally = &mut board.tally;
        if ack.reason.is_error() {
            publisher.window.remove(ack.packet_id);
            tally.in_flight -= 1;
            tally.pub_fail += 1;
            return Ok(());
        }
        if ack.kind == AckKind::PubRec {
            flight.released = true;
            return self.acknowledge(AckKind::PubRel, ack.packet_id);
        }
        if (ack.kind == AckKind::PubComp) != flight.released {
            return Err(unexpected());
        }
        board.series.ack.record(now_ns.saturating_sub(flight.due_ns));
        publisher.window.remove(ack.packet_id);
        publisher.acked += 1;
        tally.in_flight -= 1;
        tally.acked += 1;
        tally.progress_at_ns = now_ns;
        Ok(())
    }

    fn acknowledge(&mut self, kind: AckKind, packet_id: u16) -> Result<(), String> {
        Ack::new(kind, packet_id).encode(self.settings.version, &mut self.out).map_err(|error| error.to_string())
    }
}

/// Streams that began with another number than 0, and streams of messages that expire.
///
/// If the publisher was at work before the subscriber was, the numbers before the first one seen were never for it. If
/// not, they are lost. The second message of the stream tells: it shows how far apart the sender's messages are, and so
/// how many of them were due after the subscription was confirmed.
///
/// A message with a Message Expiry Interval (MQTT 5.0, 3.3.2.3.3) says how much of its time is left. What was due so much
/// earlier, and has not come before it, had no time left when it came: it has expired, and is not lost. The interval has whole
/// seconds, so one second counts for the benefit of the server. Messages that are missing after the last one of their sender
/// have nothing that could tell of them.
#[derive(Debug, Default)]
pub(super) struct Heads {
    undecided: HashMap<u64, (Stamp, Option<u32>)>,
    /// Of streams of messages that expire: number and due time of the latest message.
    expiring: HashMap<u64, (u32, u64)>,
}

impl Heads {
    fn see(
        &mut self,
        key: u64,
        stamp: &Stamp,
        expiry_s: Option<u32>,
        arrival: Arrival,
        ready_ns: u64,
        receipts: &mut Receipts,
    ) {
        match arrival {
            Arrival::First if stamp.sequence > 0 && stamp.due_ns > ready_ns => {
                self.undecided.insert(key, (*stamp, expiry_s));
            }
            Arrival::InOrder | Arrival::AfterGap(_) if !self.undecided.is_empty() => {
                if let Some((first, first_expiry_s)) = self.undecided.remove(&key) {
                    let interval_ns = interval_ns((first.sequence, first.due_ns), (stamp.sequence, stamp.due_ns));
                    let missing = missing_before(&first, interval_ns, ready_ns);
                    receipts.expect_from(key, first.sequence - missing);
                    if let Some(expiry_s) = first_expiry_s {
                        receipts.expire(key, expired(missing.into(), interval_ns, expiry_s));
                    }
                }
            }
            _ => {}
        }
        // Mosquitto leaves the interval out where nothing is left of the last second.
        let had_one = !self.expiring.is_empty() && self.expiring.contains_key(&key);
        let Some(expiry_s) = expiry_s.or(had_one.then_some(0)) else { return };
        let latest = (stamp.sequence, stamp.due_ns);
        if let (Arrival::AfterGap(missing), Some(before)) = (arrival, self.expiring.get(&key)) {
            receipts.expire(key, expired(missing, interval_ns(*before, latest), expiry_s));
        }
        if matches!(arrival, Arrival::First | Arrival::InOrder | Arrival::AfterGap(_)) {
            self.expiring.insert(key, latest);
        }
    }

    /// A stream of a single message: whatever came before it is missing.
    pub(super) fn finish(&mut self, receipts: &mut Receipts) {
        for (key, _) in self.undecided.drain() {
            receipts.expect_from(key, 0);
        }
    }
}

/// What is left of a message's time, where it has any: whole seconds.
fn expiry_s(publish: &Publish) -> Option<u32> {
    publish.properties.iter().find_map(|property| match property {
        Property::MessageExpiryInterval(seconds) => Some(seconds),
        _ => None,
    })
}

/// Between two messages of a sender, from number and due time of one that it sent before and of one that it sent later.
fn interval_ns(before: (u32, u64), after: (u32, u64)) -> u64 {
    let messages = u64::from(after.0.wrapping_sub(before.0).max(1));
    (after.1.saturating_sub(before.1) / messages).max(1)
}

fn missing_before(first: &Stamp, interval_ns: u64, ready_ns: u64) -> u32 {
    let due_since_ready = first.due_ns.saturating_sub(ready_ns) / interval_ns;
    u32::try_from(due_since_ready).unwrap_or(u32::MAX).min(first.sequence)
}

/// How many of the messages missing just before one that came had expired when it came with so much of its time left.
fn expired(missing: u64, interval_ns: u64, left_s: u32) -> u64 {
    let earlier_ns = u64::from(left_s.saturating_sub(1)) * 1_000_000_000;
    missing.saturating_sub(earlier_ns / interval_ns)
}

/// The largest packet that MQTT can express: a load tool takes what the broker sends.
const PACKET_MAX: u32 = 268_435_460;
/// Reads of one socket in one turn; what is left waits for the next turn, so that the others are served.
const READS_PER_TURN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(ready_ns: u64, arrivals: &[(u32, u64)]) -> u64 {
        let (mut heads, mut receipts) = (Heads::default(), Receipts::new());
        for (sequence, due_ns) in arrivals {
            let stamp = Stamp { sender: 1, sequence: *sequence, due_ns: *due_ns };
            let arrival = receipts.record(1, *sequence);
            heads.see(1, &stamp, None, arrival, ready_ns, &mut receipts);
        }
        heads.finish(&mut receipts);
        receipts.totals().lost
    }

    #[test]
    fn the_head_of_a_stream_is_lost_only_if_the_subscriber_was_there() {
        assert_eq!(lost(0, &[(3, 400), (4, 500)]), 3, "subscribed before the sender began");
        assert_eq!(lost(1_000, &[(30, 990), (31, 1_090)]), 0, "due before the subscription");
        assert_eq!(lost(1_000, &[(30, 1_050), (31, 1_150)]), 0, "the first that was due after it");
        assert_eq!(lost(1_000, &[(30, 1_350), (31, 1_450)]), 3, "three others were");
        assert_eq!(lost(0, &[(2, 300)]), 2, "a single message of a stream");
        assert_eq!(lost(0, &[(0, 100), (1, 200)]), 0);
    }

    /// Lost and expired of a sender of 10 messages a second; each arrival with its number and the seconds that it has left.
    fn expiring(arrivals: &[(u32, u32)]) -> (u64, u64) {
        let (mut heads, mut receipts) = (Heads::default(), Receipts::new());
        for (sequence, left_s) in arrivals {
            let stamp = Stamp { sender: 1, sequence: *sequence, due_ns: u64::from(*sequence) * 100_000_000 };
            let arrival = receipts.record(1, *sequence);
            let left_s = Some(*left_s).filter(|left_s| *left_s > 0);
            heads.see(1, &stamp, left_s, arrival, 0, &mut receipts);
        }
        (receipts.totals().lost, receipts.totals().expired)
    }

    #[test]
    fn what_is_missing_has_expired_only_if_its_time_was_over() {
        assert_eq!(expiring(&[(0, 60), (50, 60)]), (49, 0), "each had most of a minute left");
        assert_eq!(expiring(&[(0, 3), (50, 1)]), (0, 49), "the one that came had hardly any time left itself");
        assert_eq!(expiring(&[(0, 1), (50, 0)]), (0, 49), "that one was not told of its last second");
        assert_eq!(expiring(&[(0, 3), (50, 3)]), (20, 29), "those of the last two seconds were still to come");
        // 5 s before the subscriber's first message, which tells of the time left as well.
        assert_eq!(expiring(&[(50, 3), (51, 3)]), (20, 30));
    }
}
