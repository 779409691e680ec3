//! Who gets a message: subscribers of this worker, one member of each group, and the other workers.

use std::sync::Arc;

use super::mail::{Direct, Mail};
use super::message::{Message, MessageView};
use super::session::{Flow, SessionRef};
use super::settings::SharePolicy;
use super::subscribers::{Group, GroupName, Interest, Member, Subscriber, SubscriptionIds, options_no_local};
use super::worker::Worker;
use mqtt_wire::QoS;

/// A session of this worker that gets the message.
#[derive(Debug)]
pub(super) struct Match {
    pub(super) session: u32,
    /// Of the one subscription, or of several that overlap: then the highest QoS.
    pub(super) options: u8,
    pub(super) ids: SubscriptionIds,
    /// The group that chose the session.
    pub(super) group: Option<Arc<GroupName>>,
}

impl Worker {
    /// Publishes a message that enters the broker here: keeps it if it is to be retained, and routes it. `false` when
    /// nobody wants it. `message` holds the shared copy once one is needed.
    pub(super) fn publish(&mut self, view: &MessageView<'_>, message: &mut Option<Message>) -> bool {
        if !view.retain {
            return self.route(view, message);
        }
        let view = MessageView { stamp: self.next_stamp(), ..*view };
        // That of a will was made before.
        *message = None;
        self.retain(&view, message);
        self.route(&view, message)
    }

    fn route(&mut self, view: &MessageView<'_>, message: &mut Option<Message>) -> bool {
        let mut elsewhere = Elsewhere::default();
        let mut matches = std::mem::take(&mut self.matches);
        self.find(view, &mut matches, Some(&mut elsewhere));
        let wanted = !matches.is_empty() || elsewhere.workers != 0 || !elsewhere.members.is_empty();
        self.deliver_all(&mut matches, view, message);
        self.matches = matches;
        if elsewhere.workers != 0 || !elsewhere.members.is_empty() {
            self.send_elsewhere(elsewhere, view, message);
        }
        if self.swamped != 0 {
            self.hold_for_workers(view.origin);
        }
        wanted
    }

    /// Routes a message that another worker sent because it knows of subscribers here.
    pub(super) fn route_from_peer(&mut self, message: &Message) {
        let view = message.view();
        let mut matches = std::mem::take(&mut self.matches);
        self.find(&view, &mut matches, None);
        self.deliver_all(&mut matches, &view, &mut Some(message.clone()));
        self.matches = matches;
    }

    /// Collects who matches. Groups and other workers only count where the message entered the broker.
    fn find(&mut self, view: &MessageView<'_>, matches: &mut Vec<Match>, mut elsewhere: Option<&mut Elsewhere>) {
        debug_assert!(matches.is_empty());
        if view.retain {
            self.note_update(view);
        }
        let (this, policy) = (self.id, self.settings.share_policy);
        let own = self.publisher_here(view.origin);
        let mut filters = 0;
        let mut chosen: Vec<Match> = Vec::new();
        let mut offline = 0;
        let hash_topic = || std::hash::BuildHasher::hash_one(&self.hasher, view.topic);
        self.filters.for_each_match(view.topic, |interest: &Interest| {
            let local = interest.local.as_slice();
            if !local.is_empty() {
                filters += 1;
                // Left out before overlapping subscriptions are merged: No Local says nothing of the others.
                let wanted =
                    |subscriber: &&Subscriber| !options_no_local(subscriber.options) || own != Some(subscriber.session);
                matches.extend(local.iter().filter(wanted).map(|subscriber| Match {
                    session: subscriber.session,
                    options: subscriber.options,
                    ids: SubscriptionIds::of(subscriber.id),
                    group: None,
                }));
            }
            let Some(elsewhere) = &mut elsewhere else { return };
            elsewhere.workers |= interest.remote;
            for group in interest.groups.iter().flat_map(|groups| groups.iter()) {
                let Some(member) = choose(group, policy, view, hash_topic) else {
                    offline += 1;
                    continue;
                };
                if member.session.worker == this {
                    chosen.push(Match::of_member(member, &group.name));
                } else {
                    elsewhere.members.push((member, Arc::clone(&group.name)));
                }
            }
        });
        if filters > 1 {
            merge_overlapping(matches);
        }
        self.counters.dropped_offline_qos0 += offline;
        // A shared subscription is one of its own: it does not merge with the session's others.
        matches.append(&mut chosen);
    }

    /// The slot of the session that published, if it is one of this worker's.
    fn publisher_here(&self, origin: SessionRef) -> Option<u32> {
        let session = self.sessions.get(origin.slot as usize).filter(|_| origin.worker == self.id)?;
        (session.generation == origin.generation).then_some(origin.slot)
    }

    fn send_elsewhere(&mut self, elsewhere: Elsewhere, view: &MessageView<'_>, message: &mut Option<Message>) {
        let message = message.get_or_insert_with(|| Message::new(view, &mut self.scratch)).clone();
        let mut workers = elsewhere.workers;
        while workers != 0 {
            let worker = workers.trailing_zeros() as u16;
            workers &= workers - 1;
            if self.memory_is_short() {
                self.counters.dropped_memory += 1;
            } else {
                self.send(worker, Mail::Publish(message.clone()));
            }
        }
        for (member, group) in elsewhere.members {
            self.send_direct(member, group, message.clone());
        }
    }

    fn send_direct(&mut self, member: Member, group: Arc<GroupName>, message: Message) {
        let Member { session, id, options, .. } = member;
        let direct = Direct { session, message, options, ids: SubscriptionIds::of(id), group };
        self.send(session.worker, Mail::Direct(Box::new(direct)));
    }

    /// Who has just published, and so has given a worker more mail than it deals with for now, waits until that is taken.
    fn hold_for_workers(&mut self, publisher: SessionRef) {
        let mut swamped = std::mem::take(&mut self.swamped);
        if publisher.worker != self.id {
            return;
        }
        while swamped != 0 {
            let worker = swamped.trailing_zeros() as u16;
            swamped &= swamped - 1;
            let held = &mut self.outboxes[usize::from(worker)].held;
            if held.contains(&publisher) {
                continue;
            }
            held.push(publisher);
            self.counters.worker_pauses += 1;
            // What it has published is sent with the end of this turn, if not already: it is taken after this.
            self.peers[usize::from(worker)].ask_for_room(self.id);
            self.pause_publisher(publisher, true);
        }
    }

    /// Whether publishers here wait for another worker.
    pub(super) fn holds_publishers(&self) -> bool {
        self.outboxes.iter().any(|outbox| !outbox.held.is_empty())
    }

    /// A worker has taken its mail.
    pub(super) fn release_held(&mut self, worker: u16) {
        let mut held = std::mem::take(&mut self.outboxes[usize::from(worker)].held);
        // The first has filled the mailbox before, the others have come too late: now the next may.
        let one = usize::from(!held.is_empty());
        held.rotate_left(one);
        for publisher in held {
            self.pause_publisher(publisher, false);
        }
    }

    /// A message that another worker has assigned to a member of a group here.
    pub(super) fn deliver_direct(&mut self, direct: &Direct) {
        if self.session(direct.session).is_none() || !self.has_filter(direct.session.slot, direct.group.as_str()) {
            // It has ended meanwhile, or has unsubscribed [MQTT-3.10.4-2].
            return self.choose_another(&direct.group, &direct.message);
        }
        let mut one = vec![Match {
            session: direct.session.slot,
            options: direct.options,
            ids: direct.ids.clone(),
            group: Some(Arc::clone(&direct.group)),
        }];
        self.deliver_all(&mut one, &direct.message.view(), &mut Some(direct.message.clone()));
    }

    /// A session has ended with messages that its client has not got. Those that came by a shared subscription go to
    /// another member, but for QoS 2 messages of which the delivery has begun (section 4.8.2) [MQTT-4.8.2-5].
    pub(super) fn pass_on_undelivered(&mut self, flow: Flow) {
        for (pending, was_sent) in flow.into_undelivered() {
            match pending.group {
                Some(group) if !was_sent || pending.qos == QoS::AtLeastOnce => {
                    self.choose_another(&group, &pending.message);
                }
                _ => self.counters.dropped_session_ended += 1,
            }
        }
    }

    /// Gives a message to a member of a group instead of one that is none any more.
    fn choose_another(&mut self, group: &Arc<GroupName>, message: &Message) {
        let view = message.view();
        let present = self.filters.get(group.filter()).and_then(|interest| interest.find_group(group.share()));
        let hash_topic = || std::hash::BuildHasher::hash_one(&self.hasher, view.topic);
        let member = present.and_then(|group| choose(group, self.settings.share_policy, &view, hash_topic));
        match member {
            None if view.qos == QoS::AtMostOnce => self.counters.dropped_offline_qos0 += 1,
            None => self.counters.dropped_session_ended += 1,
            Some(member) if member.session.worker == self.id => {
                let mut one = vec![Match::of_member(member, group)];
                self.deliver_all(&mut one, &view, &mut Some(message.clone()));
            }
            Some(member) => self.send_direct(member, Arc::clone(group), message.clone()),
        }
    }

    /// Another worker has subscribers to a filter, or has none any more.
    pub(super) fn note_interest(&mut self, filter: &str, worker: u16, wanted: bool) {
        if wanted {
            self.filters.get_or_insert_with(filter, Interest::default).remote |= 1 << worker;
        } else if let Some(interest) = self.filters.get_mut(filter) {
            interest.remote &= !(1 << worker);
            if interest.is_empty() {
                self.filters.remove(filter);
            }
        }
    }
}

/// Receivers in other workers.
#[derive(Debug, Default)]
struct Elsewhere {
    workers: u64,
    members: Vec<(Member, Arc<GroupName>)>,
}

impl Match {
    /// A member of this worker that its group has chosen.
    fn of_member(member: Member, group: &Arc<GroupName>) -> Self {
        let (session, options) = (member.session.slot, member.options);
        Self { session, options, ids: SubscriptionIds::of(member.id), group: Some(Arc::clone(group)) }
    }
}

/// Levels of a topic name or filter.
pub(super) fn levels(topic: &str) -> usize {
    1 + topic.bytes().filter(|&byte| byte == b'/').count()
}

/// One copy for each session, at the highest QoS that it asked for, with all its subscription identifiers
/// [MQTT-3.3.4-2, 3.3.4-4].
fn merge_overlapping(matches: &mut Vec<Match>) {
    matches.sort_by_key(|each| each.session);
    matches.dedup_by(|next, kept| {
        let same = next.session == kept.session;
        if same {
            for &id in next.ids.as_slice() {
                kept.ids.add(id);
            }
            let (qos, flags) = ((next.options & 3).max(kept.options & 3), kept.options | next.options);
            kept.options = qos | flags & mqtt_wire::SubscribeOptions::RETAIN_AS_PUBLISHED;
        }
        same
    });
}

/// The member of a group whose turn it is: one that is connected, or else, for a message that can wait, any.
fn choose(group: &Group, policy: SharePolicy, view: &MessageView<'_>, hash_topic: impl Fn() -> u64) -> Option<Member> {
    let (members, count) = (group.members.as_slice(), group.members.as_slice().len());
    let turn = group.turn.get();
    group.turn.set(turn.wrapping_add(1));
    let first = match policy {
        SharePolicy::RoundRobin => u64::from(turn),
        SharePolicy::Random => spread(u64::from(turn) ^ members.as_ptr() as u64),
        SharePolicy::HashClient => {
            spread(u64::from(view.origin.slot) << 16 | u64::from(view.origin.worker))
                ^ u64::from(view.origin.generation)
        }
        SharePolicy::HashTopic => hash_topic(),
    } as usize
        % count.max(1);
    let in_turn = || (0..count).map(|n| &members[(first + n) % count]);
    let mut online = in_turn().enumerate().filter(|(_, member)| member.online);
    if let Some((skipped, member)) = online.next() {
        // The turns of members that were passed over are used up, or their successor would get them all.
        group.turn.set(group.turn.get().wrapping_add(skipped as u32));
        return Some(*member);
    }
    if view.qos == QoS::AtMostOnce { None } else { in_turn().next().copied() }
}

/// Splitmix64's finalizer: neighbouring numbers get unlike results.
fn spread(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}
