//! Retained messages (section 3.3.1.3). Each topic's is kept by the worker that the topic hashes to, and comes to a new
//! subscription from there, in slices ([`TopicMap::visit_some`](topic_index::TopicMap::visit_some)), while live messages
//! come from where they were published. What keeps the two in order is in ADR 8 (`docs/adr/0008-retained-order.md`).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use mqtt_wire::{QoS, SubscribeOptions};
use topic_index::Cursor;

use super::mail::Mail;
use super::message::{Message, MessageView};
use super::session::{OFFLINE, Pending, SessionRef};
use super::settings::{QUEUE_HIGH, QUEUE_LOW, RETAINED_PER_SLICE};
use super::subscribers::{SubscriptionIds, options_no_local, options_qos};
use super::worker::Worker;

/// Retained messages on their way to the subscriptions of a worker's sessions.
#[derive(Debug, Default)]
pub(super) struct Walks {
    /// By session and the hash of the filter.
    list: HashMap<(u32, u64), Walk>,
    /// Those that do not know yet whether all workers know of the subscription, in the order of `after`.
    waiting: VecDeque<Waiting>,
    /// Those that wait until their session's queue is short, or until it is connected, by session.
    parked: HashMap<u32, VecDeque<(u16, RetainedQuery)>>,
    /// The last number given to a walk.
    number: u32,
    updates: Updates,
    /// What is known of each worker.
    peers: Vec<Peer>,
    /// Questions asked of all other workers.
    questions: u64,
    /// Workers whose questions are to be answered, a bit for each.
    unanswered: u64,
}

/// The retained messages for one subscription.
#[derive(Debug)]
struct Walk {
    /// What is under way for an older walk of the same subscription is void.
    number: u32,
    options: u8,
    id: u32,
    /// Workers whose shard is not finished, a bit for each.
    owners: u64,
}

#[derive(Debug)]
struct Waiting {
    /// How many questions the others must have answered.
    after: u64,
    query: RetainedQuery,
    owners: u64,
}

/// What a worker knows of another one. Of itself, only the stamp.
#[derive(Clone, Copy, Debug, Default)]
struct Peer {
    /// Questions of this worker that it has answered.
    answered: u64,
    /// The count of retained messages when it did.
    stamp: u64,
    /// Questions that it has asked this worker.
    asked: u64,
}

/// Asks the owner of a shard for the messages that a subscription matches.
#[derive(Clone, Debug)]
pub(super) struct RetainedQuery {
    session: SessionRef,
    /// Of the session when it subscribed: QoS 0 does not wait for another connection.
    epoch: u32,
    filter: Box<str>,
    /// Of the walk.
    number: u32,
    /// The place of this question among the live messages that the session's worker receives: see [`Updates`].
    since: u64,
    /// Where to begin.
    from: Cursor,
    /// By worker: a message that was published there and is not older than this comes live.
    live_from: Arc<[u64]>,
}

/// The answer.
#[derive(Debug)]
pub(super) struct RetainedReply {
    owner: u16,
    query: RetainedQuery,
    messages: Vec<Message>,
    /// Where to go on; `None` at the end.
    next: Option<Cursor>,
}

/// The last live messages that were published to be retained, by topic, for as long as there are answers under way that
/// may be older.
#[derive(Debug, Default)]
struct Updates {
    /// Stamp, and place among all of them.
    latest: HashMap<Box<str>, (u64, u64)>,
    /// Places that have been given.
    place: u64,
    /// Answers that are under way, by the place of their question.
    expected: BTreeMap<u64, usize>,
    /// Size of `latest` from which on what is too old for any answer is left out.
    prune_from: usize,
}

/// Topics in [`Updates`] that are kept without a look at whether they are still needed.
const UPDATES_KEPT: usize = 1_024;

impl Walks {
    pub(super) fn new(workers: usize) -> Self {
        Self { peers: vec![Peer::default(); workers], ..Self::default() }
    }

    /// Whether some wait for their session.
    pub(super) fn are_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Whether there are questions to be answered.
    pub(super) fn are_asked_for(&self) -> bool {
        self.unanswered != 0
    }
}

impl RetainedReply {
    /// Bytes that it holds.
    pub(super) fn size(&self) -> usize {
        self.messages.iter().map(Message::size).sum()
    }
}

impl Worker {
    /// Gives a retained message its place among all of them: what anybody does after having learnt of it comes later.
    pub(super) fn next_stamp(&self) -> u64 {
        self.stamps.fetch_add(1, Ordering::SeqCst) + 1
    }

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

    /// Keeps a message of this worker's shard, unless a newer one has come first from another worker.
    pub(super) fn keep_retained(&mut self, message: &Message) {
        let MessageView { topic, stamp, .. } = message.view();
        let present = self.retained.get(topic);
        if present.is_some_and(|present| present.view().stamp > stamp) {
            return;
        }
        let before = present.map(Message::size);
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

    /// Sends the retained messages that a new subscription matches, once all workers know of it.
    pub(super) fn send_retained(&mut self, slot: u32, filter: &str, options: SubscribeOptions, id: u32) {
        self.end_walk(slot, filter);
        let hash = self.hash(filter);
        let everybody = u64::MAX >> (64 - self.worker_count());
        let owners = if filter.contains(['+', '#']) { everybody } else { 1 << self.owner(hash) };
        self.walks.number = self.walks.number.wrapping_add(1);
        let number = self.walks.number;
        self.walks.list.insert((slot, hash), Walk { number, options: options.to_bits(), id, owners });
        let since = self.walks.updates.expect(owners.count_ones() as usize);
        let query = RetainedQuery {
            session: self.session_ref(slot),
            epoch: self.sessions[slot as usize].epoch,
            filter: filter.into(),
            number,
            since,
            from: Cursor::default(),
            live_from: Arc::default(),
        };
        if self.worker_count() == 1 {
            return self.begin_walk(query, owners);
        }
        let worker = self.id;
        self.send_to_peers(|| Mail::Sync { worker });
        self.walks.peers[usize::from(worker)].stamp = self.stamps.load(Ordering::SeqCst);
        self.walks.questions += 1;
        self.walks.waiting.push_back(Waiting { after: self.walks.questions, query, owners });
    }

    /// Another worker asks whether what it has sent has arrived. The answer is for all that it has sent by now.
    pub(super) fn note_question(&mut self, worker: u16) {
        self.walks.peers[usize::from(worker)].asked += 1;
        self.walks.unanswered |= 1 << worker;
    }

    /// Answers the questions in a batch of mail.
    pub(super) fn answer_questions(&mut self) {
        let mut unanswered = std::mem::take(&mut self.walks.unanswered);
        while unanswered != 0 {
            let worker = unanswered.trailing_zeros() as u16;
            unanswered &= unanswered - 1;
            let count = self.walks.peers[usize::from(worker)].asked;
            let stamp = self.stamps.load(Ordering::SeqCst);
            self.send(worker, Mail::Synced { worker: self.id, count, stamp });
        }
    }

    /// Another worker knows what this one has sent, and has sent what it had for this one before it knew.
    pub(super) fn note_answer(&mut self, worker: u16, count: u64, stamp: u64) {
        let peer = &mut self.walks.peers[usize::from(worker)];
        (peer.answered, peer.stamp) = (count, stamp);
        let others = self.walks.peers.iter().enumerate().filter(|(worker, _)| *worker != usize::from(self.id));
        let answered = others.map(|(_, peer)| peer.answered).min().unwrap_or(u64::MAX);
        while let Some(waiting) = self.walks.waiting.pop_front_if(|waiting| waiting.after <= answered) {
            self.begin_walk(waiting.query, waiting.owners);
        }
    }

    /// All workers know of the subscription: what they publish from now on comes live, what they published before has
    /// arrived at the owners.
    fn begin_walk(&mut self, mut query: RetainedQuery, owners: u64) {
        query.live_from = if self.worker_count() == 1 {
            Arc::from([self.stamps.load(Ordering::SeqCst)])
        } else {
            self.walks.peers.iter().map(|peer| peer.stamp).collect()
        };
        for owner in (0..self.worker_count() as u16).filter(|owner| owners & (1 << owner) != 0) {
            if owner == self.id {
                let reply = self.look_up(query.clone());
                self.deliver_retained(reply);
            } else {
                self.send(owner, Mail::RetainedQuery(Box::new(query.clone())));
            }
        }
    }

    /// Answers a question about this shard.
    pub(super) fn answer_retained(&mut self, query: RetainedQuery) {
        let asker = query.session.worker;
        let reply = self.look_up(query);
        self.send(asker, Mail::Retained(Box::new(reply)));
    }

    /// A slice of the messages of this shard that match, those that have expired left out and forgotten.
    fn look_up(&mut self, query: RetainedQuery) -> RetainedReply {
        let mut messages = Vec::new();
        let mut expired = Vec::new();
        let mut cursor = query.from.clone();
        let finished = self.retained.visit_some(&query.filter, &mut cursor, RETAINED_PER_SLICE, |topic, message| {
            let view = message.view();
            if view.expires_ns <= self.now_ns {
                expired.push(topic.to_owned());
            } else if query.live_from.get(usize::from(view.origin.worker)).is_some_and(|&from| view.stamp <= from) {
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
        RetainedReply { owner: self.id, query, messages, next: (!finished).then_some(cursor) }
    }

    /// Delivers a slice to a session of this worker. The messages wait in its queue, so that many do not overrun it; a slice
    /// that finds the queue long, or no connection, is asked for again later.
    pub(super) fn deliver_retained(&mut self, reply: RetainedReply) {
        let RetainedReply { owner, mut query, messages, next } = reply;
        let slot = query.session.slot;
        let Some(at) = self.walk_at(&query) else { return self.walks.updates.received(query.since) };
        let Walk { options, id, .. } = self.walks.list[&at];
        let session = &self.sessions[slot as usize];
        let has_reconnected = session.epoch != query.epoch;
        if has_reconnected && options_qos(options) == QoS::AtMostOnce {
            self.walks.list.remove(&at);
            return self.walks.updates.received(query.since);
        }
        if session.conn == OFFLINE || session.queue_len() > QUEUE_HIGH {
            self.walks.updates.received(query.since);
            self.walks.parked.entry(slot).or_default().push_back((owner, query));
            return;
        }
        for message in messages {
            let view = message.view();
            let qos = view.qos.min(options_qos(options));
            let is_own = view.origin == query.session && options_no_local(options);
            let is_late = has_reconnected && qos == QoS::AtMostOnce;
            if !is_own && !is_late && !self.walks.updates.has_overtaken(&view, query.since) {
                let ids = SubscriptionIds::of(id);
                self.enqueue(slot, Pending { message, ids, qos, retain: true, group: None, replay: true });
            }
        }
        self.pump(slot);
        let Some(next) = next else {
            self.walks.updates.received(query.since);
            return self.finish_shard(at, owner, slot);
        };
        query.from = next;
        if self.sessions[slot as usize].queue_len() < QUEUE_LOW {
            self.send(owner, Mail::RetainedQuery(Box::new(query)));
        } else {
            self.walks.updates.received(query.since);
            self.walks.parked.entry(slot).or_default().push_back((owner, query));
        }
    }

    /// The key of the walk that a question belongs to, unless that is void.
    fn walk_at(&mut self, query: &RetainedQuery) -> Option<(u32, u64)> {
        self.session(query.session)?;
        let at = (query.session.slot, self.hash(&query.filter));
        self.walks.list.get(&at).filter(|walk| walk.number == query.number).map(|_| at)
    }

    fn finish_shard(&mut self, at: (u32, u64), owner: u16, slot: u32) {
        if let Some(walk) = self.walks.list.get_mut(&at) {
            walk.owners &= !(1 << owner);
            if walk.owners == 0 {
                self.walks.list.remove(&at);
            }
        }
        self.go_on_walking(slot);
    }

    /// The session takes messages again: one of its walks goes on, and when that has got somewhere, the next.
    pub(super) fn go_on_walking(&mut self, slot: u32) {
        while let Some(parked) = self.walks.parked.get_mut(&slot) {
            let session = &self.sessions[slot as usize];
            if session.conn == OFFLINE || session.queue_len() >= QUEUE_LOW {
                return;
            }
            let Some((owner, mut query)) = parked.pop_front() else {
                self.walks.parked.remove(&slot);
                return;
            };
            if self.walk_at(&query).is_some() {
                query.since = self.walks.updates.expect(1);
                return self.send(owner, Mail::RetainedQuery(Box::new(query)));
            }
        }
    }

    /// A subscription has ended, or is made anew, and what is under way for it is void.
    pub(super) fn end_walk(&mut self, slot: u32, filter: &str) {
        if self.walks.list.is_empty() {
            return;
        }
        let hash = self.hash(filter);
        if self.walks.list.remove(&(slot, hash)).is_some()
            && let Some(parked) = self.walks.parked.get_mut(&slot)
        {
            parked.retain(|(_, query)| *query.filter != *filter);
        }
    }

    /// A session has ended, after its subscriptions.
    pub(super) fn end_walks(&mut self, slot: u32) {
        self.walks.parked.remove(&slot);
    }

    /// A message that was published to be retained is about to be delivered to all subscriptions of this worker that match.
    pub(super) fn note_update(&mut self, view: &MessageView<'_>) {
        self.walks.updates.note(view);
    }

    /// The same at QoS 0, at once, whatever waits for the session: an older message of the topic that waits as a retained
    /// one is not sent any more.
    pub(super) fn drop_overtaken(&mut self, slot: u32, view: &MessageView<'_>) {
        let Some(flow) = self.sessions[slot as usize].flow.as_mut() else { return };
        let (mut at, mut left) = (0, flow.replays);
        while left > 0 {
            let pending = &flow.queue[at];
            let waiting = pending.message.view();
            if pending.replay && waiting.topic == view.topic && waiting.stamp <= view.stamp {
                flow.queued_bytes -= pending.message.size();
                flow.queue.remove(at);
                flow.replays -= 1;
                left -= 1;
            } else {
                left -= u32::from(pending.replay);
                at += 1;
            }
        }
    }
}

impl Updates {
    /// So many answers will come to a question that is asked now. Returns its place.
    fn expect(&mut self, answers: usize) -> u64 {
        *self.expected.entry(self.place).or_default() += answers;
        self.place
    }

    /// An answer has come, or will not be used.
    fn received(&mut self, since: u64) {
        if let Some(answers) = self.expected.get_mut(&since) {
            *answers -= 1;
            if *answers == 0 {
                self.expected.remove(&since);
            }
        }
        if self.expected.is_empty() {
            self.latest = HashMap::new();
        }
    }

    fn note(&mut self, view: &MessageView<'_>) {
        let Some((&oldest, _)) = self.expected.first_key_value() else { return };
        self.place += 1;
        let entry = (view.stamp, self.place);
        match self.latest.get_mut(view.topic) {
            Some(latest) => *latest = entry,
            None => {
                self.latest.insert(view.topic.into(), entry);
            }
        }
        if self.latest.len() > self.prune_from.max(UPDATES_KEPT) {
            self.latest.retain(|_, (_, place)| *place > oldest);
            self.prune_from = 2 * self.latest.len();
        }
    }

    /// Whether this message or a newer one of its topic has been delivered live since the question was asked.
    fn has_overtaken(&self, view: &MessageView<'_>, since: u64) -> bool {
        self.latest.get(view.topic).is_some_and(|&(stamp, place)| place > since && stamp >= view.stamp)
    }
}

#[cfg(test)]
mod tests;
