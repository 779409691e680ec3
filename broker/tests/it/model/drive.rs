//! Runs operations against a broker and compares what arrives with the model.

use std::collections::BTreeMap;

use conformance::case::Lab;
use conformance::client::{Client, Mismatch};
use conformance::received::Packet;
use conformance::wire::{self, Connect, Publish, Version, Will, property};

use super::ops::{CLIENTS, Manner, Note, Op, Parting, Terms, Wish};
use super::world::{Delivery, World};
use crate::support::Broker;

/// Clients that do nothing but answer for their workers, by the number of workers: so many that one of a thousand brokers, or
/// fewer, has a worker without.
const SENTRIES: [usize; 4] = [1, 16, 24, 32];

/// The packet identifier of what is begun and finished later; the others are counted from 1.
const BEGUN: u16 = 60_000;
/// Seconds; longer than any test.
const EXPIRY_S: u32 = 6_000;

/// Runs a list; the error says what went wrong, and after how many operations.
pub(super) fn run(broker: &Broker, workers: usize, list: &[Op]) -> Result<(), Failure> {
    let failure = |run: usize, what: String| Failure { run, what };
    let mut stage = Stage::new(broker, SENTRIES[workers - 1]).map_err(|mismatch| failure(0, describe(&mismatch)))?;
    for (at, op) in list.iter().enumerate() {
        stage.step(at, op).map_err(|problem| failure(at + 1, format!("at operation {at}, {op:?}:\n{problem}")))?;
    }
    stage.settle().map_err(|problem| failure(list.len(), format!("at the end:\n{problem}")))
}

/// What went wrong.
pub(super) struct Failure {
    /// So many operations were enough.
    pub(super) run: usize,
    pub(super) what: String,
}

fn describe(mismatch: &Mismatch) -> String {
    format!("{mismatch}\n    {}", mismatch.packets.join("\n    "))
}

struct Stage {
    labs: [Lab; 2],
    world: World,
    clients: BTreeMap<usize, Client>,
    sentries: Vec<Client>,
    /// What clients have begun to publish and not finished.
    begun: BTreeMap<usize, Begun>,
    /// Everything that other workers must know, they know.
    settled: bool,
}

struct Begun {
    /// Of the session.
    serial: u64,
    note: Note,
    payload: String,
}

impl Stage {
    fn new(broker: &Broker, sentries: usize) -> Result<Self, Mismatch> {
        let labs = Version::ALL.map(|version| broker.lab(version, "m"));
        let sentries = (0..sentries).map(|n| labs[0].client(&format!("sentry{n}"))).collect::<Result<_, _>>()?;
        Ok(Self {
            labs,
            world: World::default(),
            clients: BTreeMap::new(),
            sentries,
            begun: BTreeMap::new(),
            settled: true,
        })
    }

    fn step(&mut self, at: usize, op: &Op) -> Result<(), String> {
        let connected = |client: &usize| self.clients.contains_key(client);
        match op {
            Op::Connect(client, terms) => self.connect(at, *client, terms),
            Op::Settle => self.settle(),
            Op::Disconnect(client, parting) if connected(client) => self.disconnect(*client, *parting),
            Op::Vanish(client) if connected(client) => self.vanish(*client),
            Op::Subscribe(client, wish) if connected(client) => self.subscribe(*client, *wish),
            Op::Unsubscribe(client, filter) if connected(client) => self.unsubscribe(*client, filter),
            Op::Publish(client, note) if connected(client) => self.publish(at, *client, note),
            Op::Begin(client, note) if connected(client) => self.begin(at, *client, *note),
            Op::Finish(client) if connected(client) => self.finish(at, *client),
            Op::Acknowledge(client, manner) if connected(client) => self.acknowledge(*client, *manner),
            _ => Ok(()),
        }
    }

    fn connect(&mut self, at: usize, client: usize, terms: &Terms) -> Result<(), String> {
        let lab = &self.labs[usize::from(terms.version == Version::V5)];
        let mut connect = Connect::new(terms.version, format!("client-{client}")).clean(terms.clean);
        if terms.version == Version::V5 {
            connect = connect.with(property::session_expiry(if terms.keep { EXPIRY_S } else { 0 }));
            if let Some(maximum) = terms.maximum {
                connect = connect.with(property::receive_maximum(maximum));
            }
        }
        let last_words = format!("will {at}");
        if let Some(will) = terms.will {
            let properties = if will.delayed { property::will_delay(EXPIRY_S) } else { Vec::new() };
            let (topic, payload) = (will.topic.to_owned(), last_words.clone().into_bytes());
            connect = connect.will(Will { topic, payload, qos: will.qos, retain: will.retain, properties });
        }
        let present = self.world.connect(client, terms, &last_words);
        let old = self.clients.remove(&client);
        let mut new = lab.open(&format!("client-{client}")).map_err(|mismatch| describe(&mismatch))?;
        new.send(&connect.bytes());
        let packet = new.next("CONNACK").map_err(|mismatch| describe(&mismatch))?;
        let connack = packet.connack(terms.version)?;
        if (connack.reason, connack.flags) != (0, u8::from(present)) {
            return Err(format!("session present {present}, got {connack:?}"));
        }
        self.clients.insert(client, new);
        if let Some(mut old) = old {
            old.ended("it was taken over").map_err(|mismatch| describe(&mismatch))?;
        }
        self.settled = false;
        if at.is_multiple_of(2) { self.settle() } else { self.tell_all() }
    }

    fn disconnect(&mut self, client: usize, parting: Parting) -> Result<(), String> {
        let Some(connection) = self.clients.remove(&client) else { return Ok(()) };
        let parting = if connection.is_v5() { parting } else { Parting::Plain };
        let ended = match parting {
            Parting::Plain => connection.disconnect(),
            Parting::WithWill => connection.disconnect_with(&wire::disconnect(0x04, &[])),
            Parting::Forget => connection.disconnect_with(&wire::disconnect(0, &property::session_expiry(0))),
        };
        ended.map_err(|mismatch| describe(&mismatch))?;
        if parting == Parting::Forget {
            self.world.forget(client);
        }
        self.world.end_connection(client, parting == Parting::WithWill);
        self.tell_all()
    }

    fn vanish(&mut self, client: usize) -> Result<(), String> {
        let Some(connection) = self.clients.remove(&client) else { return Ok(()) };
        connection.vanish().map_err(|mismatch| describe(&mismatch))?;
        self.world.end_connection(client, true);
        self.tell_all()
    }

    fn subscribe(&mut self, client: usize, wish: Wish) -> Result<(), String> {
        let session = &self.world.sessions[&client];
        // Which of several retained messages is in flight when only a few may be, depends on the workers' speed.
        let handling = if session.maximum == usize::MAX { wish.handling } else { 2 };
        let is_v5 = session.is_v5;
        let wish = if is_v5 {
            // A shared subscription with No Local is an error [MQTT-3.8.3-4].
            Wish { handling, no_local: wish.no_local && !wish.filter.starts_with('$'), ..wish }
        } else {
            Wish { no_local: false, as_published: false, handling: 0, id: 0, ..wish }
        };
        let bits = wish.qos | u8::from(wish.no_local) << 2 | u8::from(wish.as_published) << 3 | wish.handling << 4;
        let properties = if wish.id == 0 { Vec::new() } else { property::subscription_id(wish.id as usize) };
        let code = self.world.subscribe(client, wish);
        let connection = self.clients.get_mut(&client).expect("it is connected");
        let codes = connection.subscribe_all(&properties, &[(wish.filter, bits)]);
        let codes = codes.map_err(|mismatch| describe(&mismatch))?;
        if codes != [code] {
            return Err(format!("code {code}, got {codes:?}"));
        }
        if self.world.sessions[&client].replays.is_empty() { Ok(()) } else { self.settle() }
    }

    fn unsubscribe(&mut self, client: usize, filter: &str) -> Result<(), String> {
        let existed = self.world.unsubscribe(client, filter);
        let connection = self.clients.get_mut(&client).expect("it is connected");
        let codes = connection.unsubscribe(&[filter]).map_err(|mismatch| describe(&mismatch))?;
        let wanted: &[u8] = match (connection.is_v5(), existed) {
            (false, _) => &[],
            (true, true) => &[0],
            (true, false) => &[0x11],
        };
        if codes == wanted { Ok(()) } else { Err(format!("codes {wanted:?}, got {codes:?}")) }
    }

    fn publish(&mut self, at: usize, client: usize, note: &Note) -> Result<(), String> {
        let payload = if note.empty { String::new() } else { format!("message {at}") };
        let wanted = self.world.publish(client, note, &payload);
        let connection = self.clients.get_mut(&client).expect("it is connected");
        let version = connection.version;
        let mut publish = packet(version, note, payload);
        let mut repeated = None;
        if note.qos == 2 && note.repeat {
            publish.id = connection.new_id();
            connection.send(&publish.bytes());
            let answer = connection.acknowledged(0x50, publish.id).map_err(|mismatch| describe(&mismatch))?;
            repeated = Some(answer.codes[0]);
            publish.dup = true;
        }
        let code = connection.publish(&publish).map_err(|mismatch| describe(&mismatch))?;
        if note.qos == 0 {
            // Nothing answers it: PINGRESP says that it was read, and that the other workers have it.
            connection.send(wire::PINGREQ);
            let pong = connection.wait_for("PINGRESP", |packet| packet.first == 0xD0);
            pong.map_err(|mismatch| describe(&mismatch))?;
        }
        let expected = if wanted || version != Version::V5 || note.qos == 0 { 0 } else { 0x10 };
        let code = repeated.unwrap_or(code);
        if self.settled && code != expected {
            return Err(format!("reason code {expected:#04x}, got {code:#04x}"));
        }
        Ok(())
    }

    fn begin(&mut self, at: usize, client: usize, note: Note) -> Result<(), String> {
        if self.begun.contains_key(&client) {
            return Ok(());
        }
        let payload = format!("message {at}");
        self.world.publish(client, &note, &payload);
        let connection = self.clients.get_mut(&client).expect("it is connected");
        let publish = Publish { id: BEGUN, ..packet(connection.version, &note, payload.clone()) };
        connection.send(&publish.bytes());
        connection.acknowledged(0x50, BEGUN).map_err(|mismatch| describe(&mismatch))?;
        self.begun.insert(client, Begun { serial: self.world.sessions[&client].serial, note, payload });
        Ok(())
    }

    fn finish(&mut self, at: usize, client: usize) -> Result<(), String> {
        let Some(Begun { serial, note, mut payload }) = self.begun.remove(&client) else { return Ok(()) };
        if self.world.sessions[&client].serial != serial {
            // Another session knows nothing of it, and passes it on. As another message, to be told from the first.
            payload = format!("message {at}");
            self.world.publish(client, &note, &payload);
        }
        let connection = self.clients.get_mut(&client).expect("it is connected");
        let publish = Publish { id: BEGUN, dup: true, ..packet(connection.version, &note, payload) };
        let code = connection.publish(&publish).map_err(|mismatch| describe(&mismatch))?;
        if code < 0x80 { Ok(()) } else { Err(format!("PUBREC with {code:#04x}")) }
    }

    fn acknowledge(&mut self, client: usize, manner: Manner) -> Result<(), String> {
        self.read(client)?;
        let session = self.world.sessions.get_mut(&client).expect("it is connected");
        session.manner = manner;
        let connection = self.clients.get_mut(&client).expect("it is connected");
        // What is owed under the new rule, oldest first.
        let mut place = 0;
        while let Some(flight) = session.window.get(place) {
            let (held, released, qos, id) = (flight.is_held(), flight.released, flight.delivery.qos, flight.id);
            let Some(id) = id.filter(|_| held && manner != Manner::Not) else {
                place += 1;
                continue;
            };
            if qos == 1 {
                connection.send(&wire::ack(0x40, id));
                session.settle(place);
            } else if !released {
                connection.send(&wire::ack(0x50, id));
                session.release(place);
                place += 1;
            } else if manner == Manner::Fully {
                connection.send(&wire::ack(0x70, id));
                session.settle(place);
            } else {
                place += 1;
            }
        }
        self.read(client)
    }

    /// Everybody has received what is to come, and nothing else.
    fn settle(&mut self) -> Result<(), String> {
        self.tell_all()?;
        (0..CLIENTS)
            .filter(|client| self.clients.contains_key(client))
            .collect::<Vec<_>>()
            .into_iter()
            .try_for_each(|client| self.read(client).map_err(|problem| format!("client {client}: {problem}")))?;
        self.world.missing().map_or(Ok(()), |missing| Err(format!("nobody has received {missing}")))
    }

    /// Every worker has finished the turn in which it acted upon what was sent before, and has read the mail that the
    /// others sent in theirs; and once more, for questions that are answered by mail.
    fn tell_all(&mut self) -> Result<(), String> {
        for _ in 0..3 {
            for sentry in &mut self.sentries {
                sentry.send(wire::PINGREQ);
            }
            for sentry in &mut self.sentries {
                sentry.expect(wire::PINGRESP).map_err(|mismatch| describe(&mismatch))?;
            }
        }
        self.settled = true;
        Ok(())
    }

    /// A client reads everything that has come, acknowledges it in its manner, and so on, until nothing more comes.
    fn read(&mut self, client: usize) -> Result<(), String> {
        let connection = self.clients.get_mut(&client).expect("it is connected");
        loop {
            connection.send(wire::PINGREQ);
            let mut news = false;
            loop {
                let packet = connection.next("what is to come, or PINGRESP").map_err(|mismatch| describe(&mismatch))?;
                match packet.first {
                    0xD0 => break,
                    0x62 => {
                        let id = packet.ack(0x62, connection.version)?.id;
                        let session = self.world.sessions.get_mut(&client).expect("who is connected has a session");
                        session.receive_release(id)?;
                        if session.manner == Manner::Fully {
                            connection.send(&wire::ack(0x70, id));
                            let place = session.window.iter().position(|flight| flight.id == Some(id));
                            session.settle(place.expect("it was found before"));
                        }
                    }
                    _ => accept(client, connection, &mut self.world, &packet)?,
                }
                news = true;
            }
            if !news {
                let missing = self.world.sessions[&client].missing();
                return missing.map_or(Ok(()), |missing| Err(format!("missing: {missing}")));
            }
        }
    }
}

/// Takes a PUBLISH and acknowledges it in the client's manner.
fn accept(client: usize, connection: &mut Client, world: &mut World, packet: &Packet) -> Result<(), String> {
    let message = packet.publish(connection.version)?;
    let mut ids = message.properties.numbers(0x0B);
    ids.sort_unstable();
    let expires = match message.properties.number(0x02) {
        Some(left) if (1..=EXPIRY_S).contains(&left) => true,
        None => false,
        Some(other) => return Err(format!("message expiry interval {other} of {EXPIRY_S}")),
    };
    let got = Delivery {
        topic: message.topic,
        payload: String::from_utf8_lossy(&message.payload).into_owned(),
        qos: message.qos,
        retain: message.retain,
        ids,
        expires,
        user: message.properties.user() == [("key".to_owned(), "value".to_owned())],
    };
    if got.qos == 0 {
        return world.receive_zero(client, &got);
    }
    let place = world.receive(client, &got, message.id, message.dup)?;
    let session = world.sessions.get_mut(&client).expect("who is connected has a session");
    match (session.manner, got.qos) {
        (Manner::Not, _) => {}
        (_, 1) => {
            connection.send(&wire::ack(0x40, message.id));
            session.settle(place);
        }
        _ => {
            connection.send(&wire::ack(0x50, message.id));
            session.release(place);
        }
    }
    Ok(())
}

/// A PUBLISH without its packet identifier.
fn packet(version: Version, note: &Note, payload: String) -> Publish {
    let mut publish = Publish::new(version, note.topic, payload).qos(note.qos, 0);
    publish.retain = note.retain;
    if version == Version::V5 && note.expires {
        publish = publish.with(property::message_expiry(EXPIRY_S));
    }
    if version == Version::V5 && note.user {
        publish = publish.with(property::user_property("key", "value"));
    }
    publish
}
