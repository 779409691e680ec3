//! Ends of connections, hand-over, pauses: what the specification does not speak of and a broker has to get right.

use conformance::client::{Client, Outcome};
use conformance::wire::{self, Version, Will, property};

use crate::support::Broker;

/// A client that closes right behind its last bytes is noticed, and what it sent counts.
#[test]
fn end_behind_the_last_bytes() -> Outcome {
    const COUNT: usize = 150;
    let broker = Broker::start(3);
    let lab = broker.lab(Version::V311, "ends");
    let mut watcher = lab.subscriber("watcher", "ends/#", 1)?;
    for n in 0..COUNT {
        let name = format!("m{n}");
        let will =
            Will { topic: "ends/will".to_owned(), payload: name.clone().into_bytes(), qos: 1, ..Will::default() };
        let (mut client, _) = lab.accepted(&name, &lab.connect(&name).will(will))?;
        client.send(&lab.publish("ends/last", name.as_str()).qos(1, 1).bytes());
        client.vanish()?;
    }
    let (mut last, mut wills) = (0, 0);
    while last + wills < 2 * COUNT {
        let message = watcher.incoming("a last message and a will of each")?;
        watcher.accept(&message)?;
        *if message.topic == "ends/will" { &mut wills } else { &mut last } += 1;
    }
    assert_eq!((last, wills), (COUNT, COUNT));
    Ok(())
}

/// CONNECT and everything behind it in one go: whoever accepts the connection hands it over with all of that.
#[test]
fn whole_life_in_one_segment() -> Outcome {
    const CLIENTS: usize = 40;
    const EACH: usize = 200;
    let broker = Broker::start(4);
    let lab = broker.lab(Version::V5, "burst");
    let mut subscriber = lab.subscriber("subscriber", "burst/+", 0)?;
    for n in 0..CLIENTS {
        let mut life = lab.connect(&format!("b{n}")).bytes();
        let topic = format!("burst/{n}");
        (0..EACH).for_each(|m| life.extend(lab.publish(&topic, m.to_string()).bytes()));
        life.extend(wire::DISCONNECT);
        let mut client = lab.open(&format!("b{n}"))?;
        client.send(&life);
        for m in 0..EACH {
            subscriber.message(&topic, &m.to_string())?;
        }
        client.ended("it has said good-bye")?;
    }
    Ok(())
}

#[test]
fn first_byte_that_is_not_connect() -> Outcome {
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V5, "first");
    let mut client = lab.open("eager")?;
    // A PUBLISH that announces two megabytes, of which none comes.
    client.send(&[0x30, 0x80, 0x80, 0x7F]);
    client.closed("the first packet is not CONNECT")?;
    assert_eq!(broker.stop().get("protocol_errors"), 1);
    Ok(())
}

/// A publisher that is held back for a slow consumer, says good-bye and closes: everything it sent is delivered, and its
/// will is not.
#[test]
fn held_back_and_gone() -> Outcome {
    const COUNT: usize = 4_000;
    let broker = Broker::start(2);
    let lab = broker.lab(Version::V5, "held");
    let mut watcher = lab.subscriber("watcher", "held/will", 0)?;
    let connect = lab.connect("consumer").with(property::receive_maximum(20));
    let (mut consumer, _) = lab.accepted("consumer", &connect)?;
    consumer.subscribe("held/t", 1)?;
    let will = Will { topic: "held/will".to_owned(), payload: b"gone".to_vec(), ..Will::default() };
    let (mut publisher, _) = lab.accepted("publisher", &lab.connect("publisher").will(will))?;
    let sending = std::thread::spawn(move || {
        let packet = |n: usize| wire::Publish::new(Version::V5, "held/t", n.to_string()).qos(1, 1 + n as u16).bytes();
        // Fast: acknowledgements are not read, and the server sends them at once.
        for batch in (0..COUNT).collect::<Vec<_>>().chunks(100) {
            publisher.send(&batch.iter().flat_map(|&n| packet(n)).collect::<Vec<u8>>());
        }
        publisher.disconnect()
    });
    for n in 0..COUNT {
        consumer.message("held/t", &n.to_string())?;
    }
    sending.join().expect("the publisher does not panic")?;
    let mut other = lab.client("other")?;
    lab.nothing_reached(&mut other, &mut watcher, "the publisher said good-bye")?;
    let counters = broker.stop();
    assert!(counters.get("publisher_pauses") > 0, "the publisher was to be held back");
    assert_eq!(counters.get("dropped_queue_full"), 0);
    Ok(())
}

/// Retained messages at QoS 0 that a client did not read are gone with its connection: they are no part of its session.
#[test]
fn unread_qos_0_ends_with_the_connection() -> Outcome {
    const COUNT: usize = 200;
    let broker = Broker::start(2);
    let lab = broker.lab(Version::V311, "unread");
    let mut publisher = lab.client("publisher")?;
    let payload = "x".repeat(200_000);
    for n in 0..COUNT {
        publisher.publish(&lab.publish(&format!("kept/{n}"), payload.as_str()).retain().qos(1, 0))?;
    }
    let (mut reader, _) = lab.persistent("reader")?;
    reader.subscribe("kept/+", 0)?;
    reader.incoming("the first of many")?;
    // With most of it unread.
    drop(reader);
    let (mut reader, connack) = lab.persistent("reader")?;
    assert_eq!(connack.flags, 1, "the session is there");
    reader.silent("QoS 0 does not wait")
}

/// Hundreds of clients vanish at once: every will arrives, and a flow between others goes on.
#[test]
fn mass_disconnect() -> Outcome {
    const CLIENTS: usize = 300;
    let broker = Broker::start(3);
    let lab = broker.lab(Version::V5, "mass");
    let mut watcher = lab.subscriber("watcher", "mass/will", 1)?;
    let mut reader = lab.subscriber("reader", "mass/flow", 1)?;
    let mut writer = lab.client("writer")?;
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let name = format!("v{n}");
        let will =
            Will { topic: "mass/will".to_owned(), payload: name.clone().into_bytes(), qos: 1, ..Will::default() };
        let (mut client, _) = lab.accepted(&name, &lab.connect(&name).will(will))?;
        client.subscribe(&format!("mass/{n}"), 1)?;
        clients.push(client);
    }
    drop(clients);
    let mut names = std::collections::BTreeSet::new();
    for n in 0..CLIENTS {
        writer.publish(&lab.publish("mass/flow", n.to_string()).qos(1, 0))?;
        reader.message("mass/flow", &n.to_string())?;
        let will = watcher.incoming("a will of each client")?;
        watcher.accept(&will)?;
        names.insert(will.payload);
    }
    assert_eq!(names.len(), CLIENTS, "one will of each");
    watcher.silent("one will of each")?;
    assert_eq!(broker.stop().get("protocol_errors"), 0);
    Ok(())
}

/// One client id, many connections that take it over from each other, whichever worker accepts them.
#[test]
fn takeover_race() -> Outcome {
    const ROUNDS: usize = 60;
    let broker = Broker::start(4);
    let lab = broker.lab(Version::V5, "race");
    let mut contenders: Vec<Client> = Vec::new();
    for n in 0..ROUNDS {
        let mut contender = lab.open(&format!("c{n}"))?;
        contender.send(&lab.connect("one").persistent(600).bytes());
        contenders.push(contender);
    }
    // All were accepted, in some order; all but the last to be accepted were told of it.
    let mut alive = 0;
    for contender in &mut contenders {
        let packet = contender.next("CONNACK")?;
        contender.read("CONNACK", packet.connack(lab.version))?;
        contender.send(wire::PINGREQ);
        match contender.next_or_end("PINGRESP, DISCONNECT or the end")? {
            Some(packet) if packet.first == 0xD0 => alive += 1,
            Some(packet) => {
                let reason = contender.read("DISCONNECT", packet.disconnect(lab.version))?.codes[0];
                contender.check(reason == 0x8E, "session taken over", format!("0x{reason:02x}"))?;
            }
            None => {}
        }
    }
    assert_eq!(alive, 1, "one connection has the session");
    assert_eq!(broker.stop().get("taken_over"), ROUNDS as u64 - 1);
    Ok(())
}

/// Reasons in words are there for a client that wants them and takes packets that large.
#[test]
fn reason_strings() -> Outcome {
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V5, "why");
    for (properties, wanted) in [
        (Vec::new(), true),
        (property::request_problem_information(0), false),
        (property::maximum_packet_size(30), false),
    ] {
        let (mut client, _) = lab.accepted("a", &lab.connect("a").with(properties.clone()))?;
        client.send(&lab.publish("a/#", "x").bytes());
        let packet = client.next("DISCONNECT")?;
        let answer = client.read("DISCONNECT", packet.disconnect(lab.version))?;
        let text = answer.properties.text(0x1F);
        let told = text.as_ref().is_some_and(|text| text.contains("MQTT-3.3.2-2"));
        client.check(told == wanted, format!("a reason: {wanted}, with {properties:02x?}"), format!("{answer:?}"))?;
        client.closed("after DISCONNECT")?;
    }
    Ok(())
}
