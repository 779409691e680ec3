//! Every bound of the `[limits]` section, and what happens at it.

use conformance::client::{Client, Outcome};
use conformance::wire::{self, Connect, Version, property};

use crate::support::Broker;

fn limited(limits: &str) -> Broker {
    Broker::start_with(1, &format!("[limits]\n{limits}\n"))
}

/// The reason of the CONNACK that refuses.
fn refusal(client: &mut Client, connect: &Connect) -> Outcome<u8> {
    client.send(&connect.bytes());
    let packet = client.next("CONNACK")?;
    let connack = client.read("CONNACK", packet.connack(client.version))?;
    client.closed("refused")?;
    Ok(connack.reason)
}

#[test]
fn connection_without_connect() -> Outcome {
    let broker = limited("connect_timeout_s = 1");
    let lab = broker.lab(Version::V5, "timeout");
    let mut silent = lab.open("silent")?;
    let mut half = lab.open("half")?;
    half.send(&lab.connect("half").bytes()[..5]);
    let mut prompt = lab.client("prompt")?;
    silent.closed("no CONNECT came")?;
    half.closed("half a CONNECT is none")?;
    prompt.silent("it has connected")?;
    assert_eq!(broker.stop().get("connect_timeouts"), 2);
    Ok(())
}

#[test]
fn connections() -> Outcome {
    for workers in [1, 3] {
        let mut broker = Broker::start_with(workers, "[limits]\nmax_connections = 2\n");
        let lab = broker.lab(Version::V5, "conns");
        let one = lab.client("one")?;
        let mut two = lab.client("two")?;
        lab.open("three")?.closed("two are as many as there may be")?;
        two.silent("undisturbed")?;
        one.disconnect()?;
        broker.wait_until_held(1, 1);
        lab.client("three")?.silent("there is room again")?;
        assert_eq!(broker.stop().get("refused_on_arrival"), 1);
    }
    Ok(())
}

#[test]
fn packet_size() -> Outcome {
    let broker = limited("max_packet_bytes = 1000");
    for version in Version::ALL {
        let lab = broker.lab(version, "size");
        let (mut client, connack) = lab.accepted("a", &lab.connect("a"))?;
        if lab.is_v5() {
            assert_eq!(connack.properties.number(0x27), Some(1000));
        }
        let overhead = lab.publish("t", "").qos(1, 1).bytes().len() + 1;
        client.publish(&lab.publish("t", "x".repeat(1000 - overhead)).qos(1, 0))?;
        client.send(&lab.publish("t", "x".repeat(1001 - overhead)).qos(1, 9).bytes());
        let reason = client.closed("too large")?;
        assert_eq!(reason, lab.is_v5().then_some(0x95));
        let mut client = lab.open("b")?;
        let large = Connect::new(version, "x".repeat(2000));
        if lab.is_v5() {
            assert_eq!(refusal(&mut client, &large)?, 0x95);
        } else {
            client.send(&large.bytes());
            client.closed("too large before CONNECT was accepted")?;
        }
    }
    assert_eq!(broker.stop().get("protocol_errors"), 4);
    Ok(())
}

#[test]
fn client_id() -> Outcome {
    let broker = limited("max_client_id_bytes = 10");
    for (version, reason) in [(Version::V311, 2), (Version::V5, 0x85)] {
        let lab = broker.lab(version, "id");
        lab.accepted("fits", &Connect::new(version, "x".repeat(10)))?;
        let seen = refusal(&mut lab.open("long")?, &Connect::new(version, "x".repeat(11)))?;
        assert_eq!(seen, reason);
    }
    assert_eq!(broker.stop().get("connect_refused"), 2);
    Ok(())
}

#[test]
fn topic_levels() -> Outcome {
    let broker = limited("max_topic_levels = 3");
    for (version, refused) in [(Version::V311, 0x80), (Version::V5, 0x8F)] {
        let lab = broker.lab(version, "levels");
        let mut client = lab.client("a")?;
        let codes = client.subscribe_all(&[], &[("a/b/c", 1), ("a/b/c/d", 1), ("a/#", 0)])?;
        assert_eq!(codes, [1, refused, 0]);
        client.publish(&lab.publish("a/b/c", "x").qos(1, 0))?;
        client.message("a/b/c", "x")?;
        client.send(&lab.publish("a/b/c/d", "x").bytes());
        assert_eq!(client.closed("too many levels")?, lab.is_v5().then_some(0x90));
        let will = wire::Will { topic: "a/b/c/d".to_owned(), ..wire::Will::default() };
        let seen = refusal(&mut lab.open("will")?, &lab.connect("will").will(will))?;
        assert!(seen != 0, "a will with too many levels");
    }
    let counters = broker.stop();
    assert_eq!((counters.get("refused_subscriptions"), counters.get("protocol_errors")), (2, 2), "{counters:?}");
    Ok(())
}

#[test]
fn subscriptions() -> Outcome {
    let broker = limited("max_subscriptions = 2");
    for (version, refused) in [(Version::V311, 0x80), (Version::V5, 0x97)] {
        let lab = broker.lab(version, "subs");
        let mut client = lab.client("a")?;
        assert_eq!(client.subscribe_all(&[], &[("a", 0), ("$share/g/b", 1), ("c", 0)])?, [0, 1, refused]);
        assert_eq!(client.subscribe_all(&[], &[("a", 2)])?, [2], "replaced, not added");
        client.unsubscribe(&["$share/g/b"])?;
        assert_eq!(client.subscribe_all(&[], &[("c", 1), ("d", 0)])?, [1, refused]);
        client.publish(&lab.publish("d", "x").qos(1, 0))?;
        client.publish(&lab.publish("c", "y").qos(1, 0))?;
        client.message("c", "y")?;
    }
    assert_eq!(broker.stop().get("refused_subscriptions"), 4);
    Ok(())
}

/// A message over the maximum is refused and not remembered: when it comes again it is a new one.
#[test]
fn receive_maximum() -> Outcome {
    let broker = limited("receive_maximum = 3");
    let lab = broker.lab(Version::V5, "recv");
    let mut subscriber = lab.subscriber("subscriber", "t", 2)?;
    let (mut client, connack) = lab.persistent("greedy")?;
    assert_eq!(connack.properties.number(0x21), Some(3));
    for id in 1..=4 {
        client.send(&lab.publish("t", id.to_string()).qos(2, id).bytes());
    }
    for id in 1..=3 {
        client.acknowledged(0x50, id)?;
    }
    assert_eq!(client.closed("a fourth one")?, Some(0x93));
    let (mut client, _) = lab.persistent("greedy")?;
    for id in 1..=3 {
        client.send(&wire::ack(0x62, id));
        client.acknowledged(0x70, id)?;
    }
    client.publish(&lab.publish("t", "4").qos(2, 4).dup())?;
    ["1", "2", "3", "4"].iter().try_for_each(|text| subscriber.message("t", text).map(drop))?;
    // Clients of 3.1.1 know of no maximum and are not held to it.
    let old = broker.lab(Version::V311, "old");
    let mut client = old.client("old")?;
    for id in 1..=10 {
        client.send(&old.publish("other", "x").qos(2, id).bytes());
    }
    (1..=10).try_for_each(|id| client.acknowledged(0x50, id).map(drop))?;
    assert_eq!(broker.stop().get("protocol_errors"), 1);
    Ok(())
}

#[test]
fn inflight() -> Outcome {
    let broker = limited("max_inflight = 2");
    for version in Version::ALL {
        let lab = broker.lab(version, "flight");
        let connect = lab.connect("slow");
        let connect = if lab.is_v5() { connect.with(property::receive_maximum(100)) } else { connect };
        let (mut client, _) = lab.accepted("slow", &connect)?;
        client.subscribe("t", 1)?;
        let mut publisher = lab.client("publisher")?;
        for text in ["1", "2", "3"] {
            publisher.publish(&lab.publish("t", text).qos(1, 0))?;
        }
        let first = client.incoming("1")?;
        client.incoming("2")?;
        client.silent("two in flight")?;
        client.accept(&first)?;
        client.message("t", "3")?;
    }
    Ok(())
}

#[test]
fn topic_aliases() -> Outcome {
    let broker = limited("topic_alias_maximum = 0");
    let lab = broker.lab(Version::V5, "alias");
    let (mut client, connack) = lab.accepted("a", &lab.connect("a"))?;
    assert_eq!(connack.properties.number(0x22).unwrap_or(0), 0);
    client.send(&lab.publish("t", "x").with(property::topic_alias(1)).bytes());
    assert_eq!(client.closed("no aliases")?, Some(0x94));
    assert_eq!(broker.stop().get("protocol_errors"), 1);
    Ok(())
}

fn queue(limits: &str, payload: &str, fits: usize) -> Outcome {
    const SENT: usize = 20;
    let broker = limited(limits);
    let lab = broker.lab(Version::V311, "queue");
    let (mut client, _) = lab.persistent("away")?;
    client.subscribe("t", 1)?;
    client.disconnect()?;
    let mut publisher = lab.client("publisher")?;
    for _ in 0..SENT {
        publisher.publish(&lab.publish("t", payload).qos(1, 0))?;
    }
    let (mut client, _) = lab.persistent("away")?;
    for _ in 0..fits {
        client.message("t", payload)?;
    }
    client.silent("the others were dropped")?;
    assert_eq!(broker.stop().get("dropped_queue_full"), (SENT - fits) as u64);
    Ok(())
}

#[test]
fn queued_messages() -> Outcome {
    queue("max_queued_messages = 5", "x", 5)
}

/// A queue that is under its limit takes one more, however large.
#[test]
fn queued_bytes() -> Outcome {
    queue("max_queued_bytes = 25000", &"x".repeat(10_000), 3)
}

#[test]
fn session_expiry() -> Outcome {
    let broker = limited("max_session_expiry_s = 1");
    let lab = broker.lab(Version::V5, "expiry");
    let (client, connack) = lab.persistent("a")?;
    assert_eq!(connack.properties.number(0x11), Some(1), "what differs from the wish is told");
    client.disconnect()?;
    let old = broker.lab(Version::V311, "old");
    old.persistent("b")?.0.disconnect()?;
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    assert_eq!(lab.persistent("a")?.1.flags, 0);
    assert_eq!(old.persistent("b")?.1.flags, 0);
    Ok(())
}

#[test]
fn retained_messages() -> Outcome {
    let broker = limited("max_retained = 2");
    let lab = broker.lab(Version::V311, "retained");
    let mut publisher = lab.client("publisher")?;
    for (topic, text) in [("a", "1"), ("b", "2"), ("c", "3"), ("a", "4")] {
        publisher.publish(&lab.publish(topic, text).qos(1, 0).retain())?;
    }
    let mut late = lab.subscriber("late", "+", 0)?;
    late.message("a", "4")?;
    late.message("b", "2")?;
    late.silent("there was no room for c")?;
    publisher.publish(&lab.publish("b", "").qos(1, 0).retain())?;
    publisher.publish(&lab.publish("c", "5").qos(1, 0).retain())?;
    let mut later = lab.subscriber("later", "+", 0)?;
    later.message("a", "4")?;
    later.message("c", "5")?;
    assert_eq!(broker.stop().get("dropped_retained_full"), 1);
    Ok(())
}

#[test]
fn retained_bytes() -> Outcome {
    let mut broker = Broker::start_with(3, "[limits]\nmax_retained_bytes = 3000\n");
    let lab = broker.lab(Version::V311, "bytes");
    let mut publisher = lab.client("publisher")?;
    let mut retain = |topic: &str, size: usize| {
        publisher.publish(&lab.publish(topic, "x".repeat(size)).qos(1, 0).retain()).map(drop)
    };
    let held = |name: &str| {
        let mut late = lab.subscriber(name, "+", 0)?;
        let mut seen: Vec<(String, usize)> = Vec::new();
        while let Some(packet) = late.next_within(std::time::Duration::from_millis(500), "retained messages")? {
            let message = late.read("PUBLISH", packet.publish(late.version))?;
            seen.push((message.topic, message.payload.len()));
        }
        seen.sort();
        Outcome::Ok(seen)
    };
    let pair = |topic: &str, size: usize| (topic.to_owned(), size);
    retain("a", 1_200)?;
    retain("b", 1_200)?;
    retain("c", 1_200)?;
    assert_eq!(held("first")?, [pair("a", 1_200), pair("b", 1_200)], "no room for c");
    // What it replaces makes room; what is out of date is not kept.
    retain("a", 1_300)?;
    assert_eq!(held("second")?, [pair("a", 1_300), pair("b", 1_200)]);
    retain("b", 1_900)?;
    assert_eq!(held("third")?, [pair("a", 1_300)], "no room for the new b, and the old one is outdated");
    retain("c", 1_200)?;
    retain("a", 0)?;
    retain("b", 1_500)?;
    assert_eq!(held("fourth")?, [pair("b", 1_500), pair("c", 1_200)]);
    assert_eq!(broker.report().get("dropped_retained_full"), 2);
    Ok(())
}

/// Each is found, however many there are.
#[test]
fn many_subscriptions_end_one_by_one() -> Outcome {
    const COUNT: usize = 3_000;
    let mut broker = limited("");
    let lab = broker.lab(Version::V5, "many");
    let mut client = lab.client("client")?;
    let filters: Vec<String> = (0..COUNT).map(|n| format!("many/{n}/+")).collect();
    let all: Vec<(&str, u8)> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    all.chunks(500).try_for_each(|some| client.subscribe_all(&[], some).map(|codes| assert_eq!(codes, [0; 500])))?;
    assert_eq!(broker.report().get("filters"), COUNT as u64);
    let (even, odd): (Vec<&str>, Vec<&str>) = (
        filters.iter().step_by(2).map(String::as_str).collect(),
        filters.iter().skip(1).step_by(2).map(String::as_str).collect(),
    );
    assert_eq!(client.unsubscribe(&even)?, vec![0; COUNT / 2]);
    assert_eq!(client.unsubscribe(&even)?, vec![0x11; COUNT / 2], "they are gone");
    assert_eq!(client.unsubscribe(&odd)?, vec![0; COUNT / 2]);
    assert_eq!(broker.report().get("filters"), 0);
    Ok(())
}

/// Who does not read loses QoS 0 messages, and nobody waits for it.
#[test]
fn output_of_a_slow_consumer() -> Outcome {
    const COUNT: usize = 4_000;
    let broker = limited("max_output_bytes = 100000");
    let lab = broker.lab(Version::V5, "slow");
    let mut slow = lab.subscriber("slow", "t", 0)?;
    let mut fast = lab.subscriber("fast", "t", 0)?;
    let mut publisher = lab.client("publisher")?;
    let payload = "x".repeat(10_000);
    for _ in 0..COUNT {
        publisher.publish(&lab.publish("t", payload.as_str()))?;
        fast.message("t", &payload)?;
    }
    publisher.publish(&lab.publish("t", "never to a full connection"))?;
    fast.message("t", "never to a full connection")?;
    // It still gets what it had room for, whole, and lives on.
    slow.message("t", &payload)?;
    let counters = broker.stop();
    let dropped = counters.get("dropped_slow_qos0");
    assert!(dropped > 0 && dropped < COUNT as u64, "{dropped} dropped");
    Ok(())
}

/// Members of a shared subscription are chosen as the configuration says.
#[test]
fn share_policy() -> Outcome {
    for (policy, by_topic) in [("hash-topic", true), ("hash-client", false)] {
        let broker = Broker::start_with(3, &format!("share_policy = \"{policy}\"\n"));
        let lab = broker.lab(Version::V5, "share");
        let mut members: Vec<Client> =
            (0..4).map(|n| lab.subscriber(&format!("m{n}"), "$share/g/#", 0)).collect::<Outcome<_>>()?;
        let mut publishers: Vec<Client> = (0..3).map(|n| lab.client(&format!("p{n}"))).collect::<Outcome<_>>()?;
        for (n, publisher) in publishers.iter_mut().enumerate() {
            for topic in ["x", "y", "z"] {
                for _ in 0..5 {
                    publisher.publish(&lab.publish(topic, format!("{n}{topic}")))?;
                }
            }
        }
        let mut seen = std::collections::BTreeMap::<String, std::collections::BTreeSet<usize>>::new();
        let mut count = 0;
        for (member, client) in members.iter_mut().enumerate() {
            for publisher in &mut publishers {
                for message in lab.reached(publisher, client)? {
                    let text = String::from_utf8_lossy(&message.payload).into_owned();
                    let key = if by_topic { text[1..].to_owned() } else { text[..1].to_owned() };
                    if message.topic.len() == 1 {
                        seen.entry(key).or_default().insert(member);
                        count += 1;
                    }
                }
            }
        }
        assert_eq!(count, 45, "{policy}: each message once");
        assert!(seen.values().all(|members| members.len() == 1), "{policy}: {seen:?}");
    }
    Ok(())
}
