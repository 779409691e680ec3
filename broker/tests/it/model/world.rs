//! The model: sessions, their subscriptions and flows, and the retained messages. It knows no sockets.

use std::collections::{BTreeMap, VecDeque};

use super::ops::{Manner, Note, Terms, Wish};

/// A message as a client must receive it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Delivery {
    pub(super) topic: String,
    pub(super) payload: String,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Subscription identifiers, in ascending order.
    pub(super) ids: Vec<u32>,
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
    will: Option<(&'static str, u8)>,
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
    retained: BTreeMap<&'static str, Kept>,
    serials: u64,
}

#[derive(Debug)]
struct Kept {
    payload: String,
    qos: u8,
    /// Serial of the session that published it.
    from: u64,
}

impl Delivery {
    /// Whether this is what was received. A connection of 3.1.1 shows no identifiers.
    fn is(&self, got: &Self, is_v5: bool) -> bool {
        let plain = |delivery: &Self| Self { ids: Vec::new(), ..delivery.clone() };
        plain(self) == plain(got) && (!is_v5 || self.ids == got.ids)
    }
}

impl World {
    /// A client connects, or takes over. Returns whether there was a session to go on with.
    pub(super) fn connect(&mut self, client: usize, terms: &Terms, will_payload: &str) -> bool {
        self.end_connection(client, true, will_payload);
        if terms.clean {
            self.sessions.remove(&client);
        }
        let present = self.sessions.contains_key(&client);
        self.serials += 1;
        let session = self.sessions.entry(client).or_insert_with(|| Session::new(self.serials));
        session.keep = terms.keep;
        session.maximum = terms.maximum.map_or(usize::MAX, usize::from);
        session.is_v5 = terms.version == conformance::wire::Version::V5;
        session.online = true;
        session.manner = Manner::Fully;
        session.will = terms.will;
        session.advance();
        present
    }

    /// The connection ends, if there is one. `abnormally`: the will is due.
    pub(super) fn end_connection(&mut self, client: usize, abnormally: bool, will_payload: &str) {
        let Some(session) = self.sessions.get_mut(&client).filter(|session| session.online) else { return };
        session.online = false;
        session.zero.clear();
        session.replays.clear();
        for flight in &mut session.window {
            flight.doubtful |= flight.sent && flight.id.is_none();
            (flight.sent, flight.received) = (false, false);
        }
        let (will, serial, keep) = (session.will.take(), session.serial, session.keep);
        if let Some((topic, qos)) = will.filter(|_| abnormally) {
            self.route(topic, will_payload, qos, false, serial);
        }
        if !keep {
            self.sessions.remove(&client);
        }
    }

    /// Returns the code of SUBACK.
    pub(super) fn subscribe(&mut self, client: usize, wish: Wish) -> u8 {
        let Self { sessions, retained, .. } = self;
        let session = sessions.get_mut(&client).expect("it is connected");
        let existed = session.subscriptions.insert(wish.filter, wish).is_some();
        let wanted = match wish.handling {
            0 => true,
            1 => !existed,
            _ => false,
        };
        for (topic, kept) in retained.iter().filter(|(topic, _)| wanted && matches(wish.filter, topic)) {
            if !(wish.no_local && kept.from == session.serial) {
                session.replays.push(Delivery {
                    topic: (*topic).to_owned(),
                    payload: kept.payload.clone(),
                    qos: kept.qos.min(wish.qos),
                    retain: true,
                    ids: ids(&[wish.id]),
                });
            }
        }
        wish.qos
    }

    /// Returns whether there was such a subscription.
    pub(super) fn unsubscribe(&mut self, client: usize, filter: &str) -> bool {
        let session = self.sessions.get_mut(&client).expect("it is connected");
        session.subscriptions.remove(filter).is_some()
    }

    /// Returns whether somebody had subscribed.
    pub(super) fn publish(&mut self, client: usize, note: &Note, payload: &str) -> bool {
        let from = self.sessions[&client].serial;
        if note.retain && payload.is_empty() {
            self.retained.remove(note.topic);
        } else if note.retain {
            self.retained.insert(note.topic, Kept { payload: payload.to_owned(), qos: note.qos, from });
        }
        self.route(note.topic, payload, note.qos, note.retain, from)
    }

    fn route(&mut self, topic: &str, payload: &str, qos: u8, retain: bool, from: u64) -> bool {
        let mut wanted = false;
        for session in self.sessions.values_mut() {
            let own = session.serial == from;
            let hits =
                session.subscriptions.values().filter(|wish| matches(wish.filter, topic) && !(wish.no_local && own));
            let hits: Vec<Wish> = hits.copied().collect();
            let Some(granted) = hits.iter().map(|wish| wish.qos).max() else { continue };
            wanted = true;
            session.deliver(Delivery {
                topic: topic.to_owned(),
                payload: payload.to_owned(),
                qos: qos.min(granted),
                retain: retain && hits.iter().any(|wish| wish.as_published),
                ids: ids(&hits.iter().map(|wish| wish.id).collect::<Vec<_>>()),
            });
        }
        wanted
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

    /// The client has received a QoS 0 PUBLISH: the next one, or a retained message, which may look the same but is
    /// sent later.
    pub(super) fn receive_zero(&mut self, got: &Delivery) -> Result<(), String> {
        if self.zero.front().is_some_and(|next| next.is(got, self.is_v5)) {
            self.zero.pop_front();
            return Ok(());
        }
        if let Some(place) = self.replays.iter().position(|replay| replay.is(got, self.is_v5)) {
            self.replays.swap_remove(place);
            return Ok(());
        }
        Err(format!("wanted {:?}, got {got:?}", self.zero.front()))
    }

    /// The client has received a QoS 1 or 2 PUBLISH: the next one, or a retained message. Returns its place in the
    /// window.
    pub(super) fn receive(&mut self, got: &Delivery, id: u16, dup: bool) -> Result<usize, String> {
        let next = self.window.iter().position(|flight| flight.sent && !flight.received && !flight.released);
        let Some(place) = next.filter(|&place| self.window[place].delivery.is(got, self.is_v5)) else {
            let Some(place) = self.replays.iter().position(|replay| !dup && replay.is(got, self.is_v5)) else {
                let wanted = next.map(|place| &self.window[place].delivery);
                return Err(format!("wanted {wanted:?}, got {got:?} dup {dup}"));
            };
            // Its turn in the window is that of its arrival.
            let flight = Flight { received: true, id: Some(id), ..Flight::new(self.replays.swap_remove(place)) };
            self.window.push(flight);
            return Ok(self.window.len() - 1);
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
        Ok(place)
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
        Self { delivery, id: None, released: false, sent: true, received: false, doubtful: false }
    }

    /// Whether the client has it and owes an acknowledgement.
    pub(super) fn is_held(&self) -> bool {
        self.sent && self.received
    }
}

fn ids(ids: &[u32]) -> Vec<u32> {
    let mut ids: Vec<u32> = ids.iter().copied().filter(|id| *id != 0).collect();
    ids.sort_unstable();
    ids
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
