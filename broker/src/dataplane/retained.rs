//! Retained messages (section 3.3.1.3). Each topic's is kept by the worker that the topic hashes to.

use mqtt_wire::{QoS, SubscribeOptions, TopicFilter};

use super::mail::{Mail, RetainedQuery, RetainedReply};
use super::message::{Message, MessageView};
use super::session::{OFFLINE, Pending};
use super::subscribers::{SubscriptionIds, options_no_local, options_qos};
use super::worker::Worker;

impl Worker {
    /// Keeps a message, or has its owner keep it. An empty payload removes what was kept [MQTT-3.3.1-6].
    pub(super) fn retain(&mut self, view: &MessageView<'_>, message: &mut Option<Message>) {
        let message = message.get_or_insert_with(|| Message::new(view, &mut self.scratch)).clone();
        let owner = self.owner(self.hash(view.topic));
        if owner == self.id {
            self.keep_retained(&message);
        } else {
            self.send(owner, Mail::Retain(message));
        }
    }

    /// Keeps a message of this worker's shard.
    pub(super) fn keep_retained(&mut self, message: &Message) {
        let topic = message.view().topic;
        let before = self.retained.get(topic).map(Message::size);
        if self.has_room_to_retain(before, message) {
            self.retained.insert(topic, message.clone());
        } else if before.is_some() {
            // Out of date, even when there is no room for what comes.
            self.retained.remove(topic);
        }
    }

    /// Whether a message is to be kept in the place of one of `before` bytes. Counts the one out and the other in.
    fn has_room_to_retain(&mut self, before: Option<usize>, message: &Message) -> bool {
        let short = self.memory_is_short();
        let (limits, totals) = (&self.settings.limits, &self.totals);
        if let Some(bytes) = before {
            totals.retained.give_back(1);
            totals.retained_bytes.give_back(bytes);
        }
        if message.view().payload.is_empty() {
            return false;
        }
        if short {
            self.counters.dropped_memory += 1;
            return false;
        }
        let fits = totals.retained.take(1, limits.max_retained);
        if fits && totals.retained_bytes.take(message.size(), limits.max_retained_bytes) {
            return true;
        }
        totals.retained.give_back(usize::from(fits));
        self.counters.dropped_retained_full += 1;
        false
    }

    /// Sends the retained messages that a new subscription matches, from this worker's shard and the others'.
    pub(super) fn send_retained(&mut self, slot: u32, filter: &str, options: SubscribeOptions, id: u32) {
        let session = self.session_ref(slot);
        let bits = options.to_bits();
        let wildcard = filter.contains(['+', '#']);
        let owner = self.owner(self.hash(filter));
        for worker in 0..self.worker_count() as u16 {
            if !wildcard && worker != owner {
                continue;
            }
            if worker == self.id {
                let messages = self.matching_retained(filter);
                self.deliver_retained(RetainedReply { session, filter: filter.into(), options: bits, id, messages });
            } else {
                let query = RetainedQuery { session, filter: filter.into(), options: bits, id };
                self.send(worker, Mail::RetainedQuery(Box::new(query)));
            }
        }
    }

    /// Answers another worker's question about this shard.
    pub(super) fn answer_retained(&mut self, query: &RetainedQuery) {
        let messages = self.matching_retained(&query.filter);
        if !messages.is_empty() {
            let RetainedQuery { session, ref filter, options, id } = *query;
            let reply = RetainedReply { session, filter: filter.clone(), options, id, messages };
            self.send(session.worker, Mail::Retained(Box::new(reply)));
        }
    }

    /// Delivers retained messages to a session of this worker. They wait in its queue, so that many do not overrun it.
    pub(super) fn deliver_retained(&mut self, reply: RetainedReply) {
        let slot = reply.session.slot;
        let Some(session) = self.session(reply.session) else { return };
        let is_online = session.conn != OFFLINE;
        // It may have unsubscribed before the answer of another worker came [MQTT-3.10.4-2].
        if !TopicFilter::new(&reply.filter).is_ok_and(|filter| self.is_subscribed(slot, filter)) {
            return;
        }
        for message in reply.messages {
            let view = message.view();
            let qos = view.qos.min(options_qos(reply.options));
            let is_own = view.origin == reply.session && options_no_local(reply.options);
            if is_own || (qos == QoS::AtMostOnce && !is_online) {
                continue;
            }
            self.enqueue(slot, Pending { message, ids: SubscriptionIds::of(reply.id), qos, retain: true, group: None });
        }
        if self.sessions[slot as usize].flow.is_some() {
            self.pump(slot);
        }
    }

    /// The messages of this shard that match, those that have expired left out and forgotten.
    fn matching_retained(&mut self, filter: &str) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut expired = Vec::new();
        self.retained.for_each_match(filter, |topic, message| {
            if message.view().expires_ns <= self.now_ns {
                expired.push(topic.to_owned());
            } else {
                messages.push(message.clone());
            }
        });
        for topic in expired {
            if let Some(message) = self.retained.remove(&topic) {
                self.totals.retained.give_back(1);
                self.totals.retained_bytes.give_back(message.size());
            }
            self.counters.dropped_expired += 1;
        }
        messages
    }
}
