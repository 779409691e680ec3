//! Publisher, owner of the topic and subscriber on three workers, whose steps are taken in an order that seldom occurs.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use mqtt_wire::packet::SubscribeFiltersBuf;
use mqtt_wire::{
    Ack, AckKind, Connect, Frame, Packet, PropertiesBuf, Publish, QoS, Subscribe, SubscribeOptions, TopicFilter,
    Version,
};

use super::super::settings::{RETAINED_PER_SLICE, Settings};
use super::super::stage::Stage;

const PUBLISHER: usize = 0;
const OWNER: usize = 1;
const SUBSCRIBER: usize = 2;

struct Client {
    stream: UnixStream,
    unread: Vec<u8>,
}

/// A PUBLISH that a client has received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Received {
    topic: String,
    payload: String,
    retain: bool,
}

impl Client {
    /// A client that belongs to a worker; its identifier begins with a text.
    fn of(stage: &mut Stage, worker: usize, text: &str) -> Self {
        let name = name_of(stage, worker, text);
        let mut client = Self { stream: stage.connect(worker).expect("a connection"), unread: Vec::new() };
        let list = PropertiesBuf::new();
        client.send(&Packet::Connect(Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive: 0,
            client_id: &name,
            will: None,
            user_name: None,
            password: None,
            properties: list.as_properties(),
        }));
        stage.settle();
        client
    }

    fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        packet.encode(Version::V5, &mut bytes).expect("a packet in order");
        self.stream.write_all(&bytes).expect("the socket takes it");
    }

    fn retain(&mut self, topic: &str, payload: &[u8], qos: QoS) {
        let list = PropertiesBuf::new();
        let packet_id = u16::from(qos != QoS::AtMostOnce);
        let properties = list.as_properties();
        self.send(&Packet::Publish(Publish { dup: false, qos, retain: true, topic, packet_id, properties, payload }));
    }

    fn subscribe(&mut self, filter: &str, qos: QoS) {
        let list = PropertiesBuf::new();
        let mut filters = SubscribeFiltersBuf::new();
        filters.push(TopicFilter::new(filter).expect("a filter"), SubscribeOptions::with_qos(qos)).expect("it fits");
        let (properties, filters) = (list.as_properties(), filters.as_filters());
        self.send(&Packet::Subscribe(Subscribe { packet_id: 1, properties, filters }));
    }

    /// The messages that have arrived, acknowledged.
    fn received(&mut self) -> Vec<Received> {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the broker has closed the connection"),
                Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let bytes = std::mem::take(&mut self.unread);
        let (mut rest, mut messages) = (&bytes[..], Vec::new());
        while let Some(frame) = Frame::split(rest, u32::MAX).expect("the broker writes MQTT") {
            if let Packet::Publish(publish) = Packet::decode(&frame, Version::V5).expect("the broker writes MQTT") {
                if publish.qos == QoS::AtLeastOnce {
                    self.send(&Packet::Ack(Ack::new(AckKind::PubAck, publish.packet_id)));
                }
                messages.push(Received {
                    topic: publish.topic.to_owned(),
                    payload: String::from_utf8_lossy(&publish.payload[..publish.payload.len().min(8)]).into_owned(),
                    retain: publish.retain,
                });
            }
            rest = &rest[frame.raw.len()..];
        }
        self.unread = rest.to_vec();
        messages
    }
}

/// A client identifier or topic that belongs to a worker.
fn name_of(stage: &Stage, worker: usize, text: &str) -> String {
    (0..).map(|n| format!("{text}{n}")).find(|name| stage.owner(name) == worker).expect("one of very many")
}

/// Three workers, a publisher, a subscriber, and a topic with a retained message.
fn scene() -> (Stage, Client, Client, String) {
    let mut stage = Stage::new(&Settings::default(), 3).expect("workers");
    let (mut publisher, subscriber) = (Client::of(&mut stage, PUBLISHER, "p"), Client::of(&mut stage, SUBSCRIBER, "s"));
    let topic = name_of(&stage, OWNER, "topic");
    publisher.retain(&topic, b"old", QoS::AtLeastOnce);
    stage.settle();
    (stage, publisher, subscriber, topic)
}

fn payloads(messages: &[Received]) -> Vec<&str> {
    messages.iter().map(|message| message.payload.as_str()).collect()
}

#[test]
fn an_update_and_a_subscription_at_once_do_not_miss_each_other() {
    for filter in ["the topic", "#"] {
        let (mut stage, mut publisher, mut subscriber, topic) = scene();
        // The publisher's worker knows no subscriber, and the owner has not heard of the update, ...
        publisher.retain(&topic, b"new", QoS::AtLeastOnce);
        stage.collect(PUBLISHER);
        // ... when the subscription is made, and its question comes to the owner first.
        subscriber.subscribe(if filter == "#" { filter } else { &topic }, QoS::AtLeastOnce);
        stage.turn(SUBSCRIBER);
        stage.turn(OWNER);
        stage.send_mail(PUBLISHER);
        stage.settle();
        assert_eq!(payloads(&subscriber.received()), ["new"], "{filter}");
    }
}

#[test]
fn an_answer_that_is_late_does_not_bring_back_what_was_replaced() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let (mut stage, mut publisher, mut subscriber, topic) = scene();
        subscriber.subscribe(&topic, qos);
        for worker in [SUBSCRIBER, OWNER, PUBLISHER, SUBSCRIBER] {
            stage.turn(worker);
        }
        // The owner has put the old message into its answer, which is under way for longer than the new one.
        stage.collect(OWNER);
        publisher.retain(&topic, b"new", QoS::AtLeastOnce);
        stage.turn(PUBLISHER);
        stage.turn(SUBSCRIBER);
        stage.send_mail(OWNER);
        stage.settle();
        assert_eq!(payloads(&subscriber.received()), ["new"], "{qos:?}");
    }
}

#[test]
fn nothing_retained_comes_after_what_is_newer() {
    let (mut stage, mut publisher, mut subscriber, topic) = scene();
    subscriber.subscribe(&topic, QoS::AtLeastOnce);
    stage.turn(SUBSCRIBER);
    // The publisher's worker knows of the subscription before the owner does.
    publisher.retain(&topic, b"new", QoS::AtLeastOnce);
    stage.turn(PUBLISHER);
    stage.turn(SUBSCRIBER);
    stage.settle();
    assert_eq!(payloads(&subscriber.received()), ["new"]);
}

#[test]
fn many_retained_messages_come_in_slices_and_each_once() {
    const TOPICS: usize = 4 * RETAINED_PER_SLICE;
    for workers in [1, 3] {
        let mut stage = Stage::new(&Settings::default(), workers).expect("workers");
        let (mut publisher, mut subscriber) =
            (Client::of(&mut stage, 0, "p"), Client::of(&mut stage, workers - 1, "s"));
        for n in 0..TOPICS {
            publisher.retain(&format!("many/{n}"), b"kept", QoS::AtMostOnce);
            stage.settle();
        }
        subscriber.subscribe("#", QoS::AtLeastOnce);
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut live_at = None;
        // One that is published meanwhile does not wait for the rest.
        publisher.retain("another", b"live", QoS::AtLeastOnce);
        for _ in 0..1_000 {
            (0..workers).for_each(|worker| stage.turn(worker));
            let messages = subscriber.received();
            assert!(messages.len() <= workers * RETAINED_PER_SLICE + 1, "{} in one turn", messages.len());
            for message in messages {
                if message.topic == "another" {
                    live_at = Some(counts.len());
                }
                *counts.entry(message.topic).or_default() += 1;
            }
        }
        assert_eq!(counts.len(), TOPICS + 1);
        assert!(counts.values().all(|&count| count == 1), "{workers} workers: {counts:?}");
        assert!(live_at.is_some_and(|at| at < TOPICS), "{live_at:?}");
    }
}

#[test]
fn a_subscriber_that_does_not_read_is_not_sent_everything_at_once() {
    const TOPICS: usize = 6 * RETAINED_PER_SLICE;
    let payload = vec![b'x'; 8 * 1024];
    let mut stage = Stage::new(&Settings::default(), 1).expect("workers");
    let (mut publisher, mut subscriber) = (Client::of(&mut stage, 0, "p"), Client::of(&mut stage, 0, "s"));
    for n in 0..TOPICS {
        publisher.retain(&format!("many/{n:05}"), &payload, QoS::AtMostOnce);
        stage.settle();
    }
    subscriber.subscribe("many/#", QoS::AtMostOnce);
    stage.settle();
    // What waits is overtaken by what is published meanwhile: the last topics in order are still to come.
    let newest = format!("many/{:05}", TOPICS - 1);
    publisher.retain(&newest, b"new", QoS::AtMostOnce);
    stage.settle();
    assert!(stage.queued() < 2 * RETAINED_PER_SLICE, "{} messages wait", stage.queued());
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    loop {
        let messages = subscriber.received();
        if messages.is_empty() {
            break;
        }
        for message in messages {
            seen.entry(message.topic).or_default().push(message.payload);
        }
        stage.settle();
    }
    assert_eq!(seen.len(), TOPICS);
    assert_eq!(seen[&newest], ["new"]);
}
