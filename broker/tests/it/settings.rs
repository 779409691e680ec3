//! What else can be set: topic aliases to clients, the check of payload formats, response information; and what clients
//! are told in words.

use conformance::client::{Client, Outcome};
use conformance::received::Incoming;
use conformance::wire::{self, Version, Will, property};

use crate::support::Broker;

/// The topic and the alias that a message came with.
fn named(client: &mut Client) -> Outcome<(String, Option<u32>)> {
    let message: Incoming = client.incoming("a message")?;
    client.accept(&message)?;
    Ok((message.topic, message.properties.number(0x23)))
}

#[test]
fn topic_aliases_to_clients() -> Outcome {
    for (limit, wanted) in [(64, 2), (1, 1), (0, 0)] {
        let broker = Broker::start_with(1, &format!("[limits]\nmax_outgoing_topic_aliases = {limit}\n"));
        let lab = broker.lab(Version::V5, "alias");
        let mut plain = lab.subscriber("plain", "+/long/topic", 2)?;
        let connect = lab.connect("aliased").persistent(600).with(property::topic_alias_maximum(2));
        let mut publisher = lab.client("publisher")?;
        let full = |n: u32| format!("{n}/long/topic");
        for connection in 0..2 {
            let (mut aliased, _) = lab.accepted("aliased", &connect)?;
            aliased.subscribe("+/long/topic", 2)?;
            for qos in [0, 1, 2, 0] {
                for n in 1..=3 {
                    publisher
                        .publish(&lab.publish(&full(n), "x").qos(qos, 0).with(property::user_property("a", "b")))?;
                    assert_eq!(named(&mut plain)?, (full(n), None), "who takes none gets none");
                }
            }
            let seen: Vec<_> = (0..12).map(|_| named(&mut aliased)).collect::<Outcome<_>>()?;
            let expected: Vec<_> = (0..12)
                .map(|place| {
                    let n = place % 3 + 1;
                    let alias = (n <= wanted).then_some(n);
                    (if alias.is_some() && place > 2 { String::new() } else { full(n) }, alias)
                })
                .collect();
            assert_eq!(seen, expected, "connection {connection}, limit {limit}");
            aliased.disconnect()?;
        }
    }
    Ok(())
}

/// What is sent again on a new connection, and what waited for it, names its topic: aliases ended with the old one.
#[test]
fn aliases_and_what_is_sent_again() -> Outcome {
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V5, "again");
    let connect = lab.connect("client").persistent(600).with(property::topic_alias_maximum(5));
    let connect = connect.with(property::receive_maximum(2));
    let (mut client, _) = lab.accepted("client", &connect)?;
    client.subscribe("some/topic", 1)?;
    let mut publisher = lab.client("publisher")?;
    for text in ["1", "2", "3", "4"] {
        publisher.publish(&lab.publish("some/topic", text).qos(1, 0))?;
    }
    assert_eq!(client.incoming("1")?.topic, "some/topic");
    assert_eq!(client.incoming("2")?.topic, "", "by its alias");
    client.vanish()?;
    let (mut client, _) = lab.accepted("client", &connect)?;
    let again: Vec<_> = (0..2).map(|_| named(&mut client)).collect::<Outcome<_>>()?;
    assert!(again.iter().all(|(topic, _)| topic == "some/topic"), "{again:?}");
    let (third, fourth) = (named(&mut client)?, named(&mut client)?);
    assert_eq!((third, fourth), (("some/topic".to_owned(), Some(1)), (String::new(), Some(1))));
    Ok(())
}

#[test]
fn payload_format() -> Outcome {
    let broker = Broker::start_with(1, "check_payload_format = true\n");
    let lab = broker.lab(Version::V5, "format");
    let mut subscriber = lab.subscriber("subscriber", "t", 2)?;
    let mut publisher = lab.client("publisher")?;
    let text = |payload: &[u8]| lab.publish("t", payload).with(property::payload_format(1));
    let (good, bad) = ("grün".as_bytes(), [b'g', 0xFC, b'n']);
    for (qos, ack) in [(1, 0x40), (2, 0x50)] {
        publisher.send(&text(&bad).qos(qos, 9).bytes());
        let answer = publisher.acknowledged(ack, 9)?;
        assert_eq!(answer.codes, [0x99]);
        assert_eq!(answer.properties.text(0x1F).as_deref(), Some("payload format invalid"));
        publisher.publish(&text(good).qos(qos, 9))?;
        subscriber.message("t", "grün")?;
        publisher.publish(&lab.publish("t", bad).qos(qos, 9))?;
        assert_eq!(subscriber.incoming("bytes")?.payload, bad, "not said to be text");
    }
    publisher.send(&text(&bad).bytes());
    assert_eq!(publisher.closed("QoS 0 has no other answer")?, Some(0x99));
    let will = Will {
        topic: "t".to_owned(),
        payload: bad.to_vec(),
        properties: property::payload_format(1),
        ..Will::default()
    };
    let mut client = lab.open("will")?;
    client.send(&lab.connect("will").will(will).bytes());
    let packet = client.next("CONNACK")?;
    assert_eq!(client.read("CONNACK", packet.connack(lab.version))?.reason, 0x99);
    assert_eq!(broker.stop().get("refused_payload_format"), 3);
    // By default nobody looks.
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V5, "format");
    let mut subscriber = lab.subscriber("subscriber", "t", 1)?;
    lab.client("publisher")?.publish(&lab.publish("t", bad).with(property::payload_format(1)).qos(1, 0))?;
    assert_eq!(subscriber.incoming("bytes")?.payload, bad);
    Ok(())
}

#[test]
fn response_information() -> Outcome {
    let broker = Broker::start_with(1, "response_information = \"answers/{client_id}/\"\n");
    let lab = broker.lab(Version::V5, "answers");
    let told = |name: &str, properties: Vec<u8>| {
        lab.accepted(name, &lab.connect(name).with(properties)).map(|(_, connack)| connack.properties.text(0x1A))
    };
    let asks = || property::request_response_information(1);
    assert_eq!(told("a", asks())?, Some(format!("answers/{}/", lab.id("a"))));
    assert_eq!(told("b", Vec::new())?, None);
    assert_eq!(told("c", property::request_response_information(0))?, None);
    assert_eq!(told("d", [asks(), property::maximum_packet_size(30)].concat())?, None, "no room for it");
    let plain = Broker::start(1);
    let lab = plain.lab(Version::V5, "answers");
    let (_, connack) = lab.accepted("a", &lab.connect("a").with(asks()))?;
    assert_eq!(connack.properties.text(0x1A), None);
    Ok(())
}

/// Refusals say why in words, to a client that wants to know and has room for it.
#[test]
fn reason_strings() -> Outcome {
    let broker = Broker::start_with(1, "[limits]\nmax_topic_levels = 3\nmax_subscriptions = 1\n");
    let lab = broker.lab(Version::V5, "words");
    for (name, properties, has_words) in [
        ("wants", Vec::new(), true),
        ("wants-none", property::request_problem_information(0), false),
        ("no-room", property::maximum_packet_size(24), false),
    ] {
        let (mut client, _) = lab.accepted(name, &lab.connect(name).with(properties))?;
        let mut answers = Vec::new();
        for (id, filter) in [(1, "a/b/c/d"), (2, "a"), (3, "b")] {
            client.send(&wire::subscribe(lab.version, id, &[], &[(filter, 0)]));
            let packet = client.next("SUBACK")?;
            answers.push(client.read("SUBACK", packet.codes(0x90, lab.version))?);
        }
        client.send(&wire::ack(0x62, 7));
        answers.push(client.acknowledged(0x70, 7)?);
        let codes: Vec<u8> = answers.iter().flat_map(|answer| answer.codes.clone()).collect();
        assert_eq!(codes, [0x8F, 0, 0x97, 0x92], "{name}");
        let words: Vec<bool> = answers.iter().map(|answer| answer.properties.has(0x1F)).collect();
        assert_eq!(words, [has_words, false, has_words, has_words], "{name}: {answers:?}");
    }
    Ok(())
}
