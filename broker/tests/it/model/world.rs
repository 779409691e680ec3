//! The model: sessions, their subscriptions and flows, and the retained messages. It knows no sockets.

use std::collections::{BTreeMap, VecDeque};

use super::ops::{Manner, Note, Terms, WillNote, Wish};

/// A message as a client must receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Subscription identifiers, in ascending order.
    pub(super) ids: Vec<u32>,
    /// With a Message Expiry Interval.
    pub(super) expires: bool,
    /// With a User Property.
    pub(super) user: bool,
}

/// A message as it was published.
#[derive(Clone, Debug)]
struct Message {
    topic: &'static str,
    payload: String,
    qos: u8,
    retain: bool,
    expires: bool,
    user: bool,
    /// Serial of the session that published it.
    from: u64,
}

/// A message that one member of a group gets, whichever.
#[derive(Debug)]
struct Shared {
    message: Message,
    /// With its `$share/`.
    filter: &'static str,
    members: Vec<Member>,
    /// The session that had it has ended, or has unsubscribed: any member may get it now, whoever joins included.
    moved: bool,
    /// It may have been lost, with a session that ended or with a connection at QoS 0.
    doubtful: bool,
}

#[derive(Clone, Debug)]
struct Member {
    client: usize,
    /// Of its session.
    serial: u64,
    wish: Wish,
    /// A connection has ended since: it may have been sent on that.
    reconnected: bool,
}

/// A QoS 1 or 2 message on its way to a client.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) delivery: Delivery,
    /// Once the client has seen it.
    pub(super) id: Option<u16>,
    /// The client has sent PUBREC.
    pub(super) released: bool,
    /// The broker has sent PUBLISH, or PUBREL if released, on this connection.
    sent: bool,
    /// and the client has received it.
    received: bool,
    /// It may have been sent on an older connection and not received.
    doubtful: bool,
    /// The group that the client got it as a member of, and the message.
    origin: Option<(&'static str, Message)>,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// Which one of all sessions of all clients this is.
    pub(super) serial: u64,
    keep: bool,
    pub(super) maximum: usize,
    pub(super) is_v5: bool,
    pub(super) online: bool,
    pub(super) manner: Manner,
    /// Of the connection, or one that waits for the end of the session.
    will: Option<(WillNote, String)>,
    subscriptions: BTreeMap<&'static str, Wish>,
    /// QoS 0 messages to come.
    zero: VecDeque<Delivery>,
    pub(super) window: Vec<Flight>,
    queue: VecDeque<Delivery>,
    /// Retained messages to come, in any order.
    pub(super) replays: Vec<Delivery>,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) sessions: BTreeMap<usize, Session>,
    retained: BTreeMap<&'static str, Message>,
    /// Messages for groups that nobody has received yet.
    shared: Vec<Shared>,
    serials: u64,
}

impl Delivery {
    fn new(message: &Message, granted: u8, retain: bool, ids: &[u32]) -> Self {
        let mut ids: Vec<u32> = ids.iter().copied().filter(|id| *id != 0).collect();
        ids.sort_unstable();
        Self {
            topic: message.topic.to_owned(),
            payload: message.payload.clone(),
            qos: message.qos.min(granted),
            retain,
            ids,
            expires: message.expires,
            user: message.user,
        }
    }

    /// Whether this is what was received. A connection of 3.1.1 shows no properties.
    fn is(&self, got: &Self, is_v5: bool) -> bool {
        let plain = |delivery: &Self| Self { ids: Vec::new(), expires: false, user: false, ..delivery.clone() };
        if is_v5 { self == got } else { plain(self) == plain(got) }
    }
}

impl World {
    /// A client connects, or takes over. Returns whether there was a session to go on with.
    pub(super) fn connect(&mut self, client: usize, terms: &Terms, will_payload: &str) -> bool {
        self.end_connection(client, true);
        if terms.clean {
            self.end_session(client);
        }
        let present = self.sessions.contains_key(&client);
        self.serials += 1;
        let session = self.sessions.entry(client).or_insert_with(|| Session::new(self.serials));
        session.keep = terms.keep;
        session.maximum = terms.maximum.map_or(usize::MAX, usize::from);
        session.is_v5 = terms.version == conformance::wire::Version::V5;
        session.online = true;
        session.manner = Manner::Fully;
        session.will = terms.will.map(|will| (will, will_payload.to_owned()));
        session.advance();
        present
    }

    /// The session is to end with its connection.
    pub(super) fn forget(&mut self, client: usize) {
        self.sessions.get_mut(&client).expect("it is connected").keep = false;
    }

    /// The connection ends, if there is one. `abnormally`: the will is due.
    pub(super) fn end_connection(&mut self, client: usize, abnormally: bool) {
        let Some(session) = self.sessions.get_mut(&client).filter(|session| session.online) else { return };
        session.online = false;
        session.zero.clear();
        session.replays.clear();
        for flight in &mut session.window {
            flight.doubtful |= flight.sent && flight.id.is_none();
            (flight.sent, flight.received) = (false, false);
        }
        let (serial, keep) = (session.serial, session.keep);
        session.will = session.will.take().filter(|_| abnormally);
        // A delayed one waits for the end of the session.
        let due = session.will.take_if(|(will, _)| !(will.delayed && keep));
        self.note_end(serial, false);
        if let Some(will) = due {
            self.publish_will(will, serial);
        }
        if !keep {
            self.end_session(client);
        }
    }

    /// The session ends, if there is one; it has no connection.
    fn end_session(&mut self, client: usize) {
        let Some(session) = self.sessions.get_mut(&client) else { return };
        let (will, serial) = (session.will.take(), session.serial);
        if let Some(will) = will {
            self.publish_will(will, serial);
        }
        let ended = self.sessions.remove(&client).expect("it was there before");
        self.note_end(serial, true);
        // What it got as a member of a group and did not acknowledge is for the others (section 4.8.2).
        for flight in ended.window.into_iter().filter(|flight| flight.delivery.qos == 1) {
            let Some((filter, message)) = flight.origin else { continue };
            let mut shared = Shared { message, filter, members: Vec::new(), moved: false, doubtful: true };
            shared.give_to(&self.sessions);
            self.shared.push(shared);
        }
    }

    /// What was under way to a member of a group may be lost, or come again.
    fn note_end(&mut self, serial: u64, of_session: bool) {
        for shared in &mut self.shared {
            let qos = shared.message.qos;
            let mut had_it = false;
            for member in shared.members.iter_mut().filter(|member| member.serial == serial) {
                member.reconnected = true;
                shared.doubtful |= of_session || qos.min(member.wish.qos) == 0;
                had_it = true;
            }
            if of_session && had_it {
                shared.give_to(&self.sessions);
            }
        }
    }

    fn publish_will(&mut self, (will, payload): (WillNote, String), from: u64) {
        let WillNote { topic, qos, retain, .. } = will;
        self.enter(&Message { topic, payload, qos, retain, expires: false, user: false, from });
    }

    /// Returns the code of SUBACK.
    pub(super) fn subscribe(&mut self, client: usize, wish: Wish) -> u8 {
        let Self { sessions, retained, .. } = self;
        let session = sessions.get_mut(&client).expect("it is connected");
        let existed = session.subscriptions.insert(wish.filter, wish).is_some();
        let member = Member { client, serial: session.serial, wish, reconnected: false };
        for shared in self.shared.iter_mut().filter(|shared| shared.moved && shared.filter == wish.filter) {
            shared.members.push(member.clone());
        }
        let wanted = match wish.handling {
            _ if group(wish.filter).is_some() => false,
            0 => true,
            1 => !existed,
            _ => false,
        };
        for (topic, kept) in retained.iter().filter(|(topic, _)| wanted && matches(wish.filter, topic)) {
            debug_assert_eq!(*topic, kept.topic);
            if !(wish.no_local && kept.from == session.serial) {
                session.replays.push(Delivery::new(kept, wish.qos, true, &[wish.id]));
            }
        }
        wish.qos
    }

    /// Returns whether there was such a subscription.
    pub(super) fn unsubscribe(&mut self, client: usize, filter: &str) -> bool {
        let session = self.sessions.get_mut(&client).expect("it is connected");
        let (existed, serial) = (session.subscriptions.remove(filter).is_some(), session.serial);
        // What was still under way to it between workers goes to another member.
        for shared in self.shared.iter_mut().filter(|shared| shared.filter == filter) {
            if shared.members.iter().any(|member| member.serial == serial) {
                shared.give_to(&self.sessions);
                shared.doubtful = true;
            }
        }
        existed
    }

    /// Returns whether somebody had subscribed.
    pub(super) fn publish(&mut self, client: usize, note: &Note, payload: &str) -> bool {
        let Note { topic, qos, retain, .. } = *note;
        let session = &self.sessions[&client];
        let (expires, user) = (note.expires && session.is_v5, note.user && session.is_v5);
        let from = session.serial;
        self.enter(&Message { topic, payload: payload.to_owned(), qos, retain, expires, user, from })
    }

    fn enter(&mut self, message: &Message) -> bool {
        if message.retain && message.payload.is_empty() {
            self.retained.remove(message.topic);
        } else if message.retain {
            self.retained.insert(message.topic, message.clone());
        }
        let shared = self.share(message);
        self.route(message) || shared
    }

    fn route(&mut self, message: &Message) -> bool {
        let mut wanted = false;
        for session in self.sessions.values_mut() {
            let own = session.serial == message.from;
            let fits = |wish: &&Wish| {
                group(wish.filter).is_none() && matches(wish.filter, message.topic) && !(wish.no_local && own)
            };
            let hits: Vec<Wish> = session.subscriptions.values().filter(fits).copied().collect();
            let Some(granted) = hits.iter().map(|wish| wish.qos).max() else { continue };
            wanted = true;
            let retain = message.retain && hits.iter().any(|wish| wish.as_published);
            let ids: Vec<u32> = hits.iter().map(|wish| wish.id).collect();
            session.deliver(Delivery::new(message, granted, retain, &ids));
        }
        wanted
    }

    /// Leaves the message to one member of each group, to one that is connected if there is one.
    fn share(&mut self, message: &Message) -> bool {
        let mut groups: BTreeMap<&'static str, Vec<(bool, Member)>> = BTreeMap::new();
        for (&client, session) in &self.sessions {
            for (&filter, &wish) in &session.subscriptions {
                if group(filter).is_some_and(|filter| matches(filter, message.topic)) {
                    let member = Member { client, serial: session.serial, wish, reconnected: !session.online };
                    groups.entry(filter).or_default().push((session.online, member));
                }
            }
        }
        let wanted = !groups.is_empty();
        for (filter, members) in groups {
            let any_online = members.iter().any(|(online, _)| *online);
            let members = members.into_iter().filter(|(online, _)| *online || !any_online);
            let members: Vec<Member> = members.map(|(_, member)| member).collect();
            let doubtful = !any_online && members.iter().any(|member| message.qos.min(member.wish.qos) == 0);
            self.shared.push(Shared { message: message.clone(), filter, members, moved: false, doubtful });
        }
        wanted
    }

    /// The client has received a QoS 0 PUBLISH.
    pub(super) fn receive_zero(&mut self, client: usize, got: &Delivery) -> Result<(), String> {
        let session = self.sessions.get_mut(&client).expect("it is connected");
        if session.receive_zero(got) {
            return Ok(());
        }
        let wanted = session.zero.front().cloned();
        let found = self.receive_shared(client, got, false);
        found.map(|_| ()).ok_or_else(|| format!("wanted {wanted:?}, got {got:?}"))
    }

    /// The client has received a QoS 1 or 2 PUBLISH. Returns its place in the window.
    pub(super) fn receive(&mut self, client: usize, got: &Delivery, id: u16, dup: bool) -> Result<usize, String> {
        let session = self.sessions.get_mut(&client).expect("it is connected");
        if let Some(place) = session.receive(got, id, dup)? {
            return Ok(place);
        }
        let wanted = session.next_flight().map(|place| session.window[place].delivery.clone());
        let Some((delivery, shared)) = self.receive_shared(client, got, dup) else {
            return Err(format!("wanted {wanted:?}, got {got:?} dup {dup}"));
        };
        let session = self.sessions.get_mut(&client).expect("it is connected");
        Ok(session.receive_new(delivery, id, Some((shared.filter, shared.message))))
    }

    /// Finds what was received among the messages for groups to which the client belongs; nobody else may get it then.
    fn receive_shared(&mut self, client: usize, got: &Delivery, dup: bool) -> Option<(Delivery, Shared)> {
        let session = &self.sessions[&client];
        let as_received = |shared: &Shared| {
            let members = shared.members.iter().filter(|member| member.serial == session.serial);
            members.filter(|member| member.reconnected || !dup).find_map(|member| {
                let retain = shared.message.retain && member.wish.as_published;
                let delivery = Delivery::new(&shared.message, member.wish.qos, retain, &[member.wish.id]);
                delivery.is(got, session.is_v5).then_some(delivery)
            })
        };
        let (place, delivery) =
            self.shared.iter().enumerate().find_map(|(place, shared)| Some((place, as_received(shared)?)))?;
        Some((delivery, self.shared.remove(place)))
    }

    /// A message for a group of which everybody has read everything.
    pub(super) fn missing(&self) -> Option<String> {
        let is_here = |member: &Member| {
            let session = self.sessions.get(&member.client);
            session.is_some_and(|session| session.online && session.serial == member.serial)
        };
        let missing = self.shared.iter().find(|shared| !shared.doubtful && shared.members.iter().all(is_here));
        missing.map(|shared| format!("{shared:?}"))
    }
}

impl Shared {
    /// Who had it is a member no more: it may go to any that is one now.
    fn give_to(&mut self, sessions: &BTreeMap<usize, Session>) {
        self.moved = true;
        for (&client, session) in sessions {
            if let Some(&wish) = session.subscriptions.get(self.filter) {
                self.members.push(Member { client, serial: session.serial, wish, reconnected: !session.online });
            }
        }
    }
}

impl Session {
    fn new(serial: u64) -> Self {
        Self {
            serial,
            keep: false,
            maximum: 0,
            is_v5: false,
            online: false,
            manner: Manner::Fully,
            will: None,
            subscriptions: BTreeMap::new(),
            zero: VecDeque::new(),
            window: Vec::new(),
            queue: VecDeque::new(),
            replays: Vec::new(),
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        if delivery.qos > 0 {
            self.queue.push_back(delivery);
            self.advance();
        } else if self.online {
            self.zero.push_back(delivery);
        }
    }

    /// Whatever there is room for is on its way: first what was before, then what waits.
    fn advance(&mut self) {
        while self.online && self.window.iter().filter(|flight| flight.sent).count() < self.maximum {
            if let Some(flight) = self.window.iter_mut().find(|flight| !flight.sent) {
                flight.sent = true;
            } else if let Some(delivery) = self.queue.pop_front() {
                self.window.push(Flight::new(delivery));
            } else {
                return;
            }
        }
    }

    /// Whether a QoS 0 PUBLISH is the next one, or a retained message, which may look the same but is sent later.
    fn receive_zero(&mut self, got: &Delivery) -> bool {
        if self.zero.front().is_some_and(|next| next.is(got, self.is_v5)) {
            self.zero.pop_front();
            return true;
        }
        let place = self.replays.iter().position(|replay| replay.is(got, self.is_v5));
        place.map(|place| self.replays.swap_remove(place)).is_some()
    }

    fn next_flight(&self) -> Option<usize> {
        self.window.iter().position(|flight| flight.sent && !flight.received && !flight.released)
    }

    /// The place in the window of a QoS 1 or 2 PUBLISH that is the next one or a retained message; `None` if it is
    /// neither.
    fn receive(&mut self, got: &Delivery, id: u16, dup: bool) -> Result<Option<usize>, String> {
        let next = self.next_flight().filter(|&place| self.window[place].delivery.is(got, self.is_v5));
        let Some(place) = next else {
            let replay = self.replays.iter().position(|replay| !dup && replay.is(got, self.is_v5));
            return Ok(replay.map(|place| {
                let delivery = self.replays.swap_remove(place);
                self.receive_new(delivery, id, None)
            }));
        };
        let flight = &mut self.window[place];
        match flight.id {
            Some(known) if known != id || !dup => {
                return Err(format!("wanted {:?} again as {known} with DUP, got {id} dup {dup}", flight.delivery));
            }
            None if dup && !flight.doubtful => return Err(format!("DUP on what is new: {got:?}")),
            _ => {}
        }
        (flight.id, flight.received) = (Some(id), true);
        Ok(Some(place))
    }

    /// A message whose turn in the window is that of its arrival.
    fn receive_new(&mut self, delivery: Delivery, id: u16, origin: Option<(&'static str, Message)>) -> usize {
        let place = self.next_flight().unwrap_or(self.window.len());
        self.window.insert(place, Flight { received: true, id: Some(id), origin, ..Flight::new(delivery) });
        place
    }

    /// The client has received PUBREL, which must be for a message whose PUBREC it has sent.
    pub(super) fn receive_release(&mut self, id: u16) -> Result<(), String> {
        let flight = self.window.iter_mut().find(|flight| flight.id == Some(id) && flight.released && !flight.received);
        let Some(flight) = flight else { return Err(format!("PUBREL {id} for nothing in {:?}", self.window)) };
        flight.received = true;
        Ok(())
    }

    /// The client has sent PUBREC: PUBREL is to come.
    pub(super) fn release(&mut self, place: usize) {
        let flight = &mut self.window[place];
        (flight.released, flight.received) = (true, false);
    }

    /// The client has sent PUBACK or PUBCOMP.
    pub(super) fn settle(&mut self, place: usize) {
        self.window.remove(place);
        self.advance();
    }

    /// What should have come and has not.
    pub(super) fn missing(&self) -> Option<String> {
        let flight = self.window.iter().find(|flight| flight.sent && !flight.received);
        flight
            .map(|flight| format!("{} {:?}", if flight.released { "PUBREL of" } else { "PUBLISH of" }, flight.delivery))
            .or_else(|| self.zero.front().map(|delivery| format!("{delivery:?}")))
            .or_else(|| self.replays.first().map(|delivery| format!("retained {delivery:?}")))
    }
}

impl Flight {
    fn new(delivery: Delivery) -> Self {
        Self { delivery, id: None, released: false, sent: true, received: false, doubtful: false, origin: None }
    }

    /// Whether the client has it and owes an acknowledgement.
    pub(super) fn is_held(&self) -> bool {
        self.sent && self.received
    }
}

/// The filter of a shared subscription.
fn group(filter: &str) -> Option<&str> {
    filter.strip_prefix("$share/")?.split_once('/').map(|(_, filter)| filter)
}

/// Whether a filter matches a topic without `$` (section 4.7), by the letter.
fn matches(filter: &str, topic: &str) -> bool {
    let (mut wanted, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[test]
fn filters_match_as_the_specification_says() {
    for (filter, topic, wanted) in [
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("#", "/", true),
        ("+", "a", true),
        ("+", "/", false),
        ("+/+", "/", true),
        ("a/+", "a", false),
        ("a/+", "a/", true),
        ("a", "a/b", false),
    ] {
        assert_eq!(matches(filter, topic), wanted, "{filter} {topic}");
    }
}
