//! What of a message passes through unchanged (section 3.3.2.3).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::received::Value;
use crate::wire::{self, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("properties", "pass-through", "Properties of a message reach every subscriber unaltered", pass_through)
        .v5(&["3.3.2-4", "3.3.2-15", "3.3.2-16", "3.3.2-17", "3.3.2-20"]),
    Case::new("properties", "user-property-order", "User properties keep their order, twins included", user_order)
        .v5(&["3.3.2-18", "3.3.2-17"]),
    Case::new("properties", "kept-while-waiting", "They are kept with retained and waiting messages", kept)
        .v5(&["3.3.2-17", "3.3.2-18", "3.3.2-20"]),
    Case::new("properties", "not-for-3.1.1", "Subscribers of 3.1.1 get the message without them", not_for_v311)
        .v5(&["§2.2.2"]),
    Case::new("properties", "none-added", "A message without properties arrives without", none_added).v5(&["2.2.2-1"]),
    Case::new("properties", "hop-by-hop-removed", "Topic alias is not passed on", alias_removed)
        .v5(&["3.1.2-27", "3.3.2-7"]),
    Case::new("properties", "empty-values", "Empty strings and data pass", empty_values).v5(&["3.3.2-16", "3.3.2-17"]),
    Case::new("properties", "large", "Sixty thousand bytes of them pass", large).v5(&["3.3.2-17"]),
    Case::new("properties", "response-topic-wildcard", "Wildcards in a response topic are an error", wildcard)
        .v5(&["3.3.2-14"]),
    Case::new("properties", "utf8", "Ill-formed strings close the connection", utf8)
        .v5(&["3.3.2-13", "3.3.2-19", "1.5.7-1"]),
    Case::new("properties", "twice", "A property that stands twice closes the connection", twice)
        .v5(&["§3.3.2.3", "4.13.1-1"]),
    Case::new("properties", "payload-format-2", "A payload format over 1 closes the connection", payload_format)
        .v5(&["§3.3.2.3.2"])
        .optional(),
    Case::new("properties", "of-other-packets", "Properties of other packets close the connection", of_others)
        .v5(&["§2.2.2.2", "4.13.1-1"]),
    Case::new("properties", "length-too-long", "A property length over the packet's closes the connection", too_long)
        .v5(&["4.13.1-1"]),
    Case::new("properties", "overlong-number", "A number longer than it need be closes the connection", overlong)
        .v5(&["1.5.5-1"])
        .optional(),
    Case::new(
        "properties",
        "acks-of-client",
        "Reason strings and user properties of a client are accepted",
        client_acks,
    )
    .v5(&["§3.4.2.2"]),
    Case::new("properties", "problem-information", "Without problem information acknowledgements are bare", problems)
        .v5(&["3.1.2-29"]),
];

fn everything() -> Vec<u8> {
    [
        property::payload_format(1),
        property::content_type("text/plain"),
        property::response_topic("answers/7"),
        property::correlation_data(&[0, 255, 1]),
        property::user_property("key", "value"),
    ]
    .concat()
}

fn same(properties: &[(u8, Value)]) -> bool {
    let bytes = |value: &[u8]| Value::Bytes(value.to_vec());
    let wanted = [
        (0x01, Value::Number(1)),
        (0x03, bytes(b"text/plain")),
        (0x08, bytes(b"answers/7")),
        (0x09, bytes(&[0, 255, 1])),
        (0x26, Value::Pair(b"key".to_vec(), b"value".to_vec())),
    ];
    // Their order is free but for user properties.
    properties.len() == wanted.len() && wanted.iter().all(|property| properties.contains(property))
}

fn pass_through(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut publisher = lab.client("publisher")?;
    let mut subscribers = [
        lab.subscriber("zero", &topic, 0)?,
        lab.subscriber("one", &lab.topic("+"), 1)?,
        lab.subscriber("two", &format!("$share/{}/{topic}", lab.id("g")), 2)?,
    ];
    for qos in [0, 1, 2] {
        publisher.publish(&lab.publish(&topic, "x").qos(qos, 0).with(everything()))?;
        for subscriber in &mut subscribers {
            let message = subscriber.message(&topic, "x")?;
            subscriber.check(same(&message.properties.0), "the same properties", format!("{message:?}"))?;
        }
    }
    Ok(())
}

fn user_order(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("a", "1"), ("é", "漢")];
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publish = lab.publish(&topic, "x").qos(1, 0);
    for (name, value) in pairs {
        publish = publish.with(property::user_property(name, value));
    }
    lab.client("publisher")?.publish(&publish)?;
    let message = subscriber.message(&topic, "x")?;
    let wanted = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    subscriber.check(message.properties.user() == wanted, format!("{wanted:?}"), format!("{message:?}"))
}

fn kept(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let (mut away, _) = lab.persistent("away")?;
    away.subscribe(&topic, 1)?;
    away.disconnect()?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0).retain().with(everything()))?;
    let mut late = lab.subscriber("late", &topic, 1)?;
    let (mut away, _) = lab.persistent("away")?;
    for client in [&mut late, &mut away] {
        let message = client.message(&topic, "x")?;
        client.check(same(&message.properties.0), "the same properties", format!("{message:?}"))?;
    }
    Ok(())
}

fn not_for_v311(lab: &Lab) -> Outcome {
    let old = lab.twin(wire::Version::V311);
    let topic = lab.topic("a");
    let mut subscriber = old.subscriber("old", &topic, 1)?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0).with(everything()))?;
    subscriber.message(&topic, "x")?;
    // And the other way round.
    let mut subscriber = lab.subscriber("new", &topic, 1)?;
    old.client("writer")?.publish(&old.publish(&topic, "y").qos(1, 0))?;
    let message = subscriber.message(&topic, "y")?;
    subscriber.check(message.properties.0.is_empty(), "no properties", format!("{message:?}"))
}

fn none_added(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1, 2] {
        publisher.publish(&lab.publish(&topic, "x").qos(qos, 0))?;
        let message = subscriber.message(&topic, "x")?;
        subscriber.check(message.properties.0.is_empty(), "no properties", format!("{message:?}"))?;
    }
    Ok(())
}

fn alias_removed(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let (mut publisher, connack) = lab.accepted("publisher", &lab.connect("publisher"))?;
    if connack.properties.number(0x22).is_none_or(|maximum| maximum == 0) {
        return Ok(());
    }
    publisher
        .publish(&lab.publish(&topic, "x").with(property::topic_alias(1)).with(property::user_property("a", "b")))?;
    let message = subscriber.message(&topic, "x")?;
    let clean = !message.properties.has(0x23) && message.properties.user().len() == 1;
    subscriber.check(clean, "the user property and no alias", format!("{message:?}"))
}

fn empty_values(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let list = [property::content_type(""), property::correlation_data(b""), property::user_property("", "")].concat();
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").with(list))?;
    let message = subscriber.message(&topic, "x")?;
    let right = message.properties.text(0x03).as_deref() == Some("")
        && message.properties.text(0x09).as_deref() == Some("")
        && message.properties.user() == [(String::new(), String::new())];
    subscriber.check(right, "three empty properties", format!("{message:?}"))
}

fn large(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let value = "v".repeat(60_000);
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let publish = lab.publish(&topic, "x").qos(1, 0).with(property::user_property("k", &value));
    lab.client("publisher")?.publish(&publish.with(property::correlation_data(&[7; 60_000])))?;
    let message = subscriber.message(&topic, "x")?;
    let user = message.properties.user();
    let right = user.len() == 1 && user[0].1 == value && message.properties.has(0x09);
    subscriber.check(right, "60,000 bytes each", format!("{} user properties", user.len()))
}

fn closes(lab: &Lab, properties: &[u8], reasons: &[u8]) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(&lab.publish(&lab.topic("a"), "x").with(properties.to_vec()).bytes());
    client.closed_for(&format!("properties {properties:02x?}"), reasons)
}

fn wildcard(lab: &Lab) -> Outcome {
    closes(lab, &property::response_topic("a/+"), &[0x81, 0x82, 0x90])?;
    closes(lab, &property::response_topic("#"), &[0x81, 0x82, 0x90])
}

fn utf8(lab: &Lab) -> Outcome {
    for id in [0x03, 0x08] {
        for text in [&[0xC3, 0x28][..], b"\0"] {
            closes(lab, &[vec![id], wire::field(text)].concat(), &[0x81, 0x82, 0x90])?;
        }
    }
    closes(lab, &[vec![0x26], wire::field([0xFF]), wire::field("v")].concat(), &[0x81, 0x82])?;
    closes(lab, &[vec![0x26], wire::field("k"), wire::field([0xED, 0xA0, 0x80])].concat(), &[0x81, 0x82])
}

fn twice(lab: &Lab) -> Outcome {
    let list = [
        property::payload_format(0),
        property::message_expiry(9),
        property::content_type("x"),
        property::response_topic("x"),
        property::correlation_data(b"x"),
        property::topic_alias(1),
    ];
    list.iter().try_for_each(|property| closes(lab, &property.repeat(2), &[0x81, 0x82]))
}

/// Optional: section 3.3.2.3.2 gives the values 0 and 1 and does not say what another is.
fn payload_format(lab: &Lab) -> Outcome {
    closes(lab, &property::payload_format(2), &[0x81, 0x82, 0x99])
}

fn of_others(lab: &Lab) -> Outcome {
    for property in [property::session_expiry(1), property::receive_maximum(1), property::reason_string("x")] {
        closes(lab, &property, &[0x81, 0x82])?;
    }
    closes(lab, &[0x7E, 0], &[0x81, 0x82])
}

fn too_long(lab: &Lab) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(&frame(0x30, &[wire::field(lab.topic("a")), vec![100, 1, 0]].concat()));
    client.closed_for("a property length over the packet's", &[0x81, 0x82])?;
    // A string that ends after the list does.
    closes(lab, &[0x03, 0, 200, b'x'], &[0x81, 0x82])
}

fn overlong(lab: &Lab) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(&frame(0x30, &[wire::field(lab.topic("a")), vec![0x80, 0x00], b"x".to_vec()].concat()));
    client.closed_for("property length 0 in two bytes", &[0x81, 0x82])
}

fn client_acks(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let list = [property::reason_string("because"), property::user_property("a", "b")].concat();
    let tail = [vec![0, list.len() as u8], list].concat();
    let with = |first: u8, id: u16| frame(first, &[id.to_be_bytes().to_vec(), tail.clone()].concat());
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    let one = subscriber.incoming("1")?;
    subscriber.send(&with(0x40, one.id));
    publisher.send(&lab.publish(&topic, "2").qos(2, 9).bytes());
    publisher.acknowledged(0x50, 9)?;
    publisher.send(&with(0x62, 9));
    publisher.acknowledged(0x70, 9)?;
    let two = subscriber.incoming("2")?;
    subscriber.send(&with(0x50, two.id));
    subscriber.acknowledged(0x62, two.id)?;
    subscriber.send(&with(0x70, two.id));
    subscriber.silent("all accepted")
}

fn problems(lab: &Lab) -> Outcome {
    let connect = lab.connect("quiet").with(property::request_problem_information(0));
    let (mut client, _) = lab.accepted("quiet", &connect)?;
    let topic = lab.topic("a");
    let bare = |properties: &crate::received::Properties| !properties.has(0x1F) && !properties.has(0x26);
    client.send(&lab.publish(&topic, "x").qos(1, 1).bytes());
    let answer = client.acknowledged(0x40, 1)?;
    client.check(bare(&answer.properties), "a bare PUBACK", format!("{answer:?}"))?;
    client.send(&lab.publish(&topic, "x").qos(2, 2).bytes());
    let answer = client.acknowledged(0x50, 2)?;
    client.check(bare(&answer.properties), "a bare PUBREC", format!("{answer:?}"))?;
    client.send(&wire::ack(0x62, 3));
    let answer = client.acknowledged(0x70, 3)?;
    client.check(bare(&answer.properties), "a bare PUBCOMP", format!("{answer:?}"))?;
    client.send(&wire::unsubscribe(lab.version, 4, &[&topic]));
    let packet = client.next("UNSUBACK")?;
    let answer = client.read("UNSUBACK", packet.codes(0xB0, lab.version))?;
    client.check(bare(&answer.properties), "a bare UNSUBACK", format!("{answer:?}"))?;
    client.send(&wire::subscribe(lab.version, 5, &[], &[(&topic, 0)]));
    let packet = client.next("SUBACK")?;
    let answer = client.read("SUBACK", packet.codes(0x90, lab.version))?;
    client.check(bare(&answer.properties), "a bare SUBACK", format!("{answer:?}"))
}
