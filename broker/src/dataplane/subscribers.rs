//! Who wants the messages of one topic filter: the value in the topic index.

use std::cell::Cell;
use std::sync::Arc;

use hashbrown::HashTable;
use mqtt_wire::packet::RetainHandling;
use mqtt_wire::{QoS, SubscribeOptions};

use super::session::SessionRef;

/// Everything a worker knows about one topic filter.
#[derive(Debug, Default)]
pub(super) struct Interest {
    /// Sessions of this worker.
    pub(super) local: Subscribers,
    /// Bit `n`: worker `n` has subscribers.
    pub(super) remote: u64,
    /// Shared subscriptions, with the members of all workers.
    pub(super) groups: Option<Box<Vec<Group>>>,
}

/// A set of subscribers that iterates as a slice. Most filters have one subscriber, a few have very many.
#[derive(Debug, Default)]
pub(super) enum Subscribers {
    #[default]
    None,
    One(Subscriber),
    Few(Vec<Subscriber>),
    Many(Box<BySession<Subscriber>>),
}

/// A session of this worker and how it wants its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subscriber {
    pub(super) session: u32,
    /// Subscription identifier (section 3.8.2.1.2), 0 for none.
    pub(super) id: u32,
    /// [`SubscribeOptions`] as one byte.
    pub(super) options: u8,
}

/// A list with an index by session, so that coming and leaving cost the same however long it is. Who leaves is replaced by
/// the last one.
#[derive(Debug)]
pub(super) struct BySession<T> {
    list: Vec<T>,
    /// Places in `list`, hashed by session.
    places: HashTable<u32>,
}

/// What belongs to a session.
pub(super) trait OfSession {
    /// How the session is told from others.
    type Key: Copy + PartialEq;
    /// Which one it is.
    fn key(&self) -> Self::Key;
    /// A number of which the low bits tell keys apart: multiplied, they choose the place in the table.
    fn number(key: Self::Key) -> u64;
}

/// Subscribers that share the messages of a filter (section 4.8.2).
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Arc<GroupName>,
    pub(super) members: BySession<Member>,
    /// Whose turn it is. A cell, because routing only reads the index otherwise.
    pub(super) turn: Cell<u32>,
}

/// What a group is called: stays with its messages, for the case that the member that got one goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GroupName {
    /// `$share/`, share name and filter, as its members subscribe to it.
    text: Box<str>,
    /// Where in it the filter begins.
    filter_at: usize,
}

/// One member of a group, in any worker.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) session: SessionRef,
    pub(super) id: u32,
    pub(super) options: u8,
    /// Members that are connected come first.
    pub(super) online: bool,
}

/// The subscription identifiers to put into one delivery (section 3.3.2.3.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum SubscriptionIds {
    #[default]
    None,
    One(u32),
    Many(Box<[u32]>),
}

/// Above this number of subscribers they are indexed.
const FEW: usize = 16;

impl Interest {
    /// Whether the filter can be forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.local.as_slice().is_empty() && self.remote == 0 && self.groups.is_none()
    }

    /// The group of this name; made if it does not exist.
    pub(super) fn group(&mut self, filter: &str, share: &str) -> &mut Group {
        let groups = self.groups.get_or_insert_default();
        let place = groups.iter().position(|group| group.name.share() == share).unwrap_or_else(|| {
            let name = Arc::new(GroupName::new(share, filter));
            groups.push(Group { name, members: BySession::default(), turn: Cell::new(0) });
            groups.len() - 1
        });
        &mut groups[place]
    }

    /// The group of this name, if there is one.
    pub(super) fn find_group(&self, share: &str) -> Option<&Group> {
        self.groups.as_ref()?.iter().find(|group| group.name.share() == share)
    }

    /// Forgets groups without members.
    pub(super) fn prune_groups(&mut self) {
        if let Some(groups) = &mut self.groups {
            groups.retain(|group| !group.members.as_slice().is_empty());
            if groups.is_empty() {
                self.groups = None;
            }
        }
    }
}

impl GroupName {
    fn new(share: &str, filter: &str) -> Self {
        let text = format!("$share/{share}/{filter}").into_boxed_str();
        Self { filter_at: text.len() - filter.len(), text }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn share(&self) -> &str {
        &self.text["$share/".len()..self.filter_at - 1]
    }

    pub(super) fn filter(&self) -> &str {
        &self.text[self.filter_at..]
    }
}

impl Subscribers {
    pub(super) fn as_slice(&self) -> &[Subscriber] {
        match self {
            Self::None => &[],
            Self::One(subscriber) => std::slice::from_ref(subscriber),
            Self::Few(list) => list,
            Self::Many(indexed) => indexed.as_slice(),
        }
    }

    /// Whether a session is among them.
    pub(super) fn contains(&self, session: u32) -> bool {
        match self {
            Self::Many(indexed) => indexed.place_of(session).is_some(),
            few => few.as_slice().iter().any(|present| present.session == session),
        }
    }

    /// Adds a subscriber, or replaces the one of the same session.
    pub(super) fn insert(&mut self, subscriber: Subscriber) {
        match self {
            Self::None => *self = Self::One(subscriber),
            Self::One(present) if present.session == subscriber.session => *present = subscriber,
            Self::One(present) => *self = Self::Few(vec![*present, subscriber]),
            Self::Few(list) => {
                if let Some(present) = list.iter_mut().find(|present| present.session == subscriber.session) {
                    *present = subscriber;
                } else if list.len() < FEW {
                    list.push(subscriber);
                } else {
                    let mut indexed = BySession::default();
                    list.drain(..).chain([subscriber]).for_each(|each| indexed.insert(each));
                    *self = Self::Many(Box::new(indexed));
                }
            }
            Self::Many(indexed) => indexed.insert(subscriber),
        }
    }

    /// Removes the subscriber of a session.
    pub(super) fn remove(&mut self, session: u32) {
        match self {
            Self::None => {}
            Self::One(present) => {
                if present.session == session {
                    *self = Self::None;
                }
            }
            Self::Few(list) => {
                if let Some(place) = list.iter().position(|present| present.session == session) {
                    list.swap_remove(place);
                }
                if list.is_empty() {
                    *self = Self::None;
                }
            }
            Self::Many(indexed) => {
                indexed.remove(session);
                if indexed.as_slice().is_empty() {
                    *self = Self::None;
                }
            }
        }
    }
}

impl<T> Default for BySession<T> {
    fn default() -> Self {
        Self { list: Vec::new(), places: HashTable::new() }
    }
}

impl<T: OfSession> BySession<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        &self.list
    }

    /// What belongs to a session.
    pub(super) fn get_mut(&mut self, key: T::Key) -> Option<&mut T> {
        self.place_of(key).map(|place| &mut self.list[place as usize])
    }

    fn place_of(&self, key: T::Key) -> Option<u32> {
        self.places.find(hash_of::<T>(key), |&place| self.list[place as usize].key() == key).copied()
    }

    /// Adds one, or replaces that of the same session.
    pub(super) fn insert(&mut self, item: T) {
        let key = item.key();
        if let Some(present) = self.get_mut(key) {
            *present = item;
            return;
        }
        let Self { list, places } = self;
        places.insert_unique(hash_of::<T>(key), list.len() as u32, |&place| hash_of::<T>(list[place as usize].key()));
        list.push(item);
    }

    /// Removes what belongs to a session.
    pub(super) fn remove(&mut self, key: T::Key) {
        let Self { list, places } = self;
        let Ok(entry) = places.find_entry(hash_of::<T>(key), |&place| list[place as usize].key() == key) else {
            return;
        };
        let (place, _) = entry.remove();
        let last = list.len() as u32 - 1;
        if place != last {
            let moved = list[last as usize].key();
            if let Some(moved_place) = places.find_mut(hash_of::<T>(moved), |&at| at == last) {
                *moved_place = place;
            }
        }
        list.swap_remove(place as usize);
    }
}

/// Sessions are numbered by the broker, not by clients: spreading the bits is enough.
fn hash_of<T: OfSession>(key: T::Key) -> u64 {
    T::number(key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl OfSession for Subscriber {
    type Key = u32;

    fn key(&self) -> u32 {
        self.session
    }

    fn number(key: u32) -> u64 {
        u64::from(key)
    }
}

impl OfSession for Member {
    type Key = SessionRef;

    fn key(&self) -> SessionRef {
        self.session
    }

    fn number(key: SessionRef) -> u64 {
        u64::from(key.worker) << 32 | u64::from(key.slot)
    }
}

impl SubscriptionIds {
    /// The list of one subscription, whose identifier may be 0 for none.
    pub(super) fn of(id: u32) -> Self {
        if id == 0 { Self::None } else { Self::One(id) }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(id) => std::slice::from_ref(id),
            Self::Many(ids) => ids,
        }
    }

    /// Adds the identifier of an overlapping subscription.
    pub(super) fn add(&mut self, id: u32) {
        if id != 0 {
            *self = match std::mem::take(self) {
                Self::None => Self::One(id),
                ids => Self::Many(ids.as_slice().iter().copied().chain([id]).collect()),
            };
        }
    }
}

/// The QoS of an options byte.
pub(super) fn options_qos(options: u8) -> QoS {
    match options & 3 {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// The No Local bit of an options byte.
pub(super) fn options_no_local(options: u8) -> bool {
    options & SubscribeOptions::NO_LOCAL != 0
}

/// The Retain As Published bit of an options byte.
pub(super) fn options_retain_as_published(options: u8) -> bool {
    options & SubscribeOptions::RETAIN_AS_PUBLISHED != 0
}

/// Whether retained messages are to be sent for a subscription that existed or not.
pub(super) fn wants_retained(options: SubscribeOptions, existed: bool) -> bool {
    match options.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => !existed,
        RetainHandling::DoNotSend => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(session: u32, options: u8) -> Subscriber {
        Subscriber { session, id: 0, options }
    }

    #[test]
    fn grows_and_shrinks_through_all_forms() {
        let mut subscribers = Subscribers::default();
        for session in 0..100 {
            subscribers.insert(subscriber(session, 0));
            subscribers.insert(subscriber(session, 1));
            assert_eq!(subscribers.as_slice().len(), session as usize + 1);
            assert!(subscribers.contains(session) && subscribers.contains(0) && !subscribers.contains(session + 1));
        }
        assert!(subscribers.as_slice().iter().all(|each| each.options == 1));
        for session in (0..100).step_by(3).chain(0..100) {
            subscribers.remove(session);
            assert!(subscribers.as_slice().iter().all(|each| each.session != session));
        }
        assert!(subscribers.as_slice().is_empty());
        assert!(matches!(subscribers, Subscribers::None));
    }

    #[test]
    fn members_of_all_workers_come_and_go() {
        let session = |n: u32| SessionRef { worker: (n % 3) as u16, slot: n / 3, generation: n };
        let member = |n, id| Member { session: session(n), id, options: 0, online: true };
        let mut members = BySession::default();
        (0..100).for_each(|n| members.insert(member(n, 1)));
        (0..100).step_by(2).for_each(|n| members.insert(member(n, 2)));
        assert_eq!(members.as_slice().len(), 100);
        assert!((0..100).all(|n| members.get_mut(session(n)).unwrap().id == 2 - n % 2));
        // A slot is used again by another session.
        members.remove(SessionRef { generation: 1_000, ..session(7) });
        assert!(members.get_mut(session(7)).is_some());
        for n in (0..100).step_by(7).chain(0..100) {
            members.remove(session(n));
            assert!(members.get_mut(session(n)).is_none());
        }
        assert!(members.as_slice().is_empty() && members.places.is_empty());
    }

    #[test]
    fn a_group_knows_its_parts() {
        let name = GroupName::new("g", "a/+/#");
        assert_eq!((name.as_str(), name.share(), name.filter()), ("$share/g/a/+/#", "g", "a/+/#"));
    }

    #[test]
    fn identifiers_of_overlapping_subscriptions_add_up() {
        let mut ids = SubscriptionIds::of(0);
        for id in [7, 0, 9] {
            ids.add(id);
        }
        assert_eq!(ids.as_slice(), [7, 9]);
    }
}
