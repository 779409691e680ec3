//! A session: what the broker knows of a client, connected or not (section 4.1).

use std::collections::VecDeque;
use std::sync::Arc;

use mqtt_wire::QoS;
use mqtt_wire::window::{ReceivedIds, SendWindow};

use super::message::Message;
use super::subscribers::{GroupName, SubscriptionIds};
use super::subscriptions::Subscriptions;

/// Names a session across workers and for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SessionRef {
    pub(super) worker: u16,
    pub(super) slot: u32,
    /// A slot is used again; its generation is not.
    pub(super) generation: u32,
}

/// No connection.
pub(super) const OFFLINE: u32 = u32::MAX;

/// One client's session. Small, because there are as many as clients; what only busy sessions need is behind `flow`.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Box<str>,
    pub(super) generation: u32,
    /// Slot of the connection, or [`OFFLINE`].
    pub(super) conn: u32,
    /// Seconds that the session outlives its connection; `u32::MAX` is for ever (section 3.1.2.11.2).
    pub(super) expiry_s: u32,
    /// Changes at each connect and disconnect, so that a timer set before knows that it is void.
    pub(super) epoch: u32,
    pub(super) subscriptions: Option<Box<Subscriptions>>,
    pub(super) will: Option<Box<WillMessage>>,
    pub(super) flow: Option<Box<Flow>>,
}

/// The will message and how long it waits (section 3.1.3.2.2).
#[derive(Debug)]
pub(super) struct WillMessage {
    pub(super) message: Message,
    pub(super) delay_s: u32,
    /// Its message expiry interval, which begins when it is published (section 3.1.3.2.4).
    pub(super) expiry_s: Option<u32>,
}

/// Messages on their way: exists once a session has sent or received QoS 1 or 2.
#[derive(Debug)]
pub(super) struct Flow {
    /// Sent to the client and not acknowledged to the end.
    pub(super) window: SendWindow<Outgoing>,
    /// To be sent, in order.
    pub(super) queue: VecDeque<Pending>,
    /// Bytes of the messages in `queue`.
    pub(super) queued_bytes: usize,
    /// QoS 2 identifiers from the client that it has not released.
    pub(super) received: ReceivedIds,
    /// Most messages in flight to the client: its Receive Maximum or ours.
    pub(super) send_max: u16,
    /// Messages in `queue` that are there because they were retained.
    pub(super) replays: u32,
    /// Messages in `window` that were not sent on this connection yet.
    pub(super) unsent: u16,
    /// When the client last took something, monotonic nanoseconds.
    pub(super) progress_ns: u64,
    /// Publishers that wait until `queue` is short again.
    pub(super) waiters: Vec<SessionRef>,
}

/// A message waiting for a session.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) message: Message,
    pub(super) ids: SubscriptionIds,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    /// The group of which this session was chosen to get it.
    pub(super) group: Option<Arc<GroupName>>,
    /// Sent because it was retained when the client subscribed.
    pub(super) replay: bool,
}

/// A message in flight to the client.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// PUBLISH sent, PUBACK or PUBREC awaited. `sent`: on the present connection.
    Publish { pending: Pending, sent: bool },
    /// PUBREC received and PUBREL sent, PUBCOMP awaited.
    Released { sent: bool },
}

impl Session {
    /// Messages that wait for it.
    pub(super) fn queue_len(&self) -> usize {
        self.flow.as_ref().map_or(0, |flow| flow.queue.len())
    }

    /// The session's flow; made when it is first needed.
    pub(super) fn flow(&mut self, send_max: u16) -> &mut Flow {
        self.flow.get_or_insert_with(|| Box::new(Flow::new(send_max)))
    }
}

impl Flow {
    pub(super) fn new(send_max: u16) -> Self {
        Self {
            window: SendWindow::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            received: ReceivedIds::default(),
            send_max,
            replays: 0,
            unsent: 0,
            progress_ns: 0,
            waiters: Vec::new(),
        }
    }

    /// Messages in flight on the present connection.
    pub(super) fn in_flight(&self) -> usize {
        self.window.len() - usize::from(self.unsent)
    }

    /// The connection has ended: what was in flight is to be sent again, and what is at QoS 0 waits for no other one.
    /// Returns how many that were.
    pub(super) fn end_connection(&mut self) -> usize {
        let before = self.queue.len();
        self.unsent = self.window.len() as u16;
        self.window.iter_mut().for_each(|(_, outgoing)| outgoing.mark_unsent());
        self.queue.retain(|pending| pending.qos != QoS::AtMostOnce);
        self.replays = self.queue.iter().filter(|pending| pending.replay).count() as u32;
        self.queued_bytes = self.queue.iter().map(|pending| pending.message.size()).sum();
        before - self.queue.len()
    }

    /// The messages that the client has not got, and whether each was sent to it.
    pub(super) fn into_undelivered(mut self) -> Vec<(Pending, bool)> {
        let in_flight = self.window.iter_mut().filter_map(|(_, outgoing)| match outgoing {
            Outgoing::Publish { pending, .. } => Some((pending.clone(), true)),
            Outgoing::Released { .. } => None,
        });
        let mut all: Vec<(Pending, bool)> = in_flight.collect();
        all.extend(self.queue.into_iter().map(|pending| (pending, false)));
        all
    }

    /// Takes a message out of flight: the client has acknowledged it to the end, or will not have it. It may not have
    /// been sent on this connection yet.
    pub(super) fn settle(&mut self, packet_id: u16) {
        if let Some(outgoing) = self.window.remove(packet_id) {
            self.unsent -= u16::from(!outgoing.is_sent());
        }
    }

    /// Notes that the client has a QoS 2 message, and that PUBREL is on its way.
    pub(super) fn release(&mut self, packet_id: u16) {
        if let Some(outgoing) = self.window.get_mut(packet_id) {
            self.unsent -= u16::from(!outgoing.is_sent());
            *outgoing = Outgoing::Released { sent: true };
        }
    }

    /// Whether one more may be put into flight.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight() < usize::from(self.send_max) && self.window.has_id()
    }
}
