//! PUBLISH from a client, and its acknowledgements (sections 3.3 to 3.7, 4.3).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{self, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("publish", "qos-0", "QoS 0 is delivered and not acknowledged", qos_0)
        .v311(&["3.3.4-1", "4.3.1-1", "2.3.1-5"])
        .v5(&["3.3.4-1", "4.3.1-1", "2.2.1-2"]),
    Case::new("publish", "qos-1", "QoS 1 is acknowledged by PUBACK with its identifier", qos_1)
        .v311(&["3.3.4-1", "2.3.1-6", "4.3.2-2"])
        .v5(&["3.3.4-1", "2.2.1-5", "4.3.2-4"]),
    Case::new("publish", "qos-2", "QoS 2 is acknowledged by PUBREC and PUBCOMP", qos_2)
        .v311(&["3.3.4-1", "2.3.1-6", "4.3.3-2"])
        .v5(&["3.3.4-1", "2.2.1-5", "4.3.3-8", "4.3.3-11"]),
    Case::new(
        "publish",
        "qos-1-id-again",
        "After PUBACK the same identifier is a new message, DUP or not",
        qos_1_again,
    )
    .v311(&["4.3.2-2"])
    .v5(&["4.3.2-5"]),
    Case::new(
        "publish",
        "qos-2-repeated",
        "Until PUBREL a repeated QoS 2 message is not delivered again",
        qos_2_repeated,
    )
    .v311(&["4.3.3-2"])
    .v5(&["4.3.3-10"]),
    Case::new("publish", "qos-2-id-again", "After PUBCOMP the same identifier is a new message", qos_2_again)
        .v311(&["4.3.3-2"])
        .v5(&["4.3.3-12"]),
    Case::new(
        "publish",
        "qos-2-refused",
        "After a PUBREC that refuses, the same identifier is a new message",
        qos_2_refused,
    )
    .v5(&["4.3.3-9", "§3.3.2.3.2"]),
    Case::new(
        "publish",
        "qos-2-over-reconnect",
        "A QoS 2 message repeated after a reconnect is not doubled",
        over_reconnect,
    )
    .v311(&["4.3.3-2", "4.4.0-1"])
    .v5(&["4.3.3-10", "4.4.0-1"]),
    Case::new(
        "publish",
        "qos-2-clean-start",
        "A clean start forgets the identifiers of QoS 2 messages",
        over_clean_start,
    )
    .v311(&["3.1.2-6"])
    .v5(&["3.1.2-4"]),
    Case::new("publish", "qos-2-many", "Many QoS 2 flows may overlap, and end in any order", qos_2_many)
        .v311(&["4.3.3-2"])
        .v5(&["4.3.3-8", "4.3.3-11"]),
    Case::new("publish", "pubrel-unknown", "PUBREL with an unknown identifier is answered by PUBCOMP", pubrel_unknown)
        .v311(&["4.3.3-2"])
        .v5(&["4.3.3-11", "3.7.2-1"]),
    Case::new("publish", "pubrel-unknown-reason", "and the PUBCOMP says 0x92", pubrel_unknown_reason)
        .v5(&["§3.7.2.1"])
        .optional(),
    Case::new(
        "publish",
        "no-matching-subscribers",
        "PUBACK and PUBREC may say that nobody has subscribed",
        no_matching,
    )
    .v5(&["3.4.2-1", "3.5.2-1"])
    .optional(),
    Case::new("publish", "reason-codes", "PUBACK and PUBREC carry codes of their tables", reason_codes)
        .v5(&["3.4.2-1", "3.5.2-1", "3.7.2-1"]),
    Case::new("publish", "dup-not-forwarded", "DUP of the publisher is not passed on", dup_not_forwarded)
        .v311(&["3.3.1-3"])
        .v5(&["3.3.1-3"]),
    Case::new("publish", "retain-not-forwarded", "RETAIN is 0 for an established subscription", retain_not_forwarded)
        .v311(&["3.3.1-9"])
        .v5(&["3.3.1-12"]),
    Case::new("publish", "dup-with-qos-0", "DUP with QoS 0 is malformed", dup_qos_0)
        .v311(&["3.3.1-2"])
        .v5(&["3.3.1-2", "4.13.1-1"])
        .optional(),
    Case::new("publish", "qos-3", "QoS 3 closes the connection", qos_3).v311(&["3.3.1-4"]).v5(&["3.3.1-4"]),
    Case::new("publish", "wildcard-in-topic", "A wildcard in a topic name closes the connection", wildcard_topic)
        .v311(&["3.3.2-2", "4.7.1-1"])
        .v5(&["3.3.2-2", "4.7.0-1"]),
    Case::new("publish", "empty-topic", "An empty topic name closes the connection", empty_topic)
        .v311(&["4.7.3-1"])
        .v5(&["4.7.3-1", "§3.3.2.1"]),
    Case::new("publish", "no-topic", "A PUBLISH without a whole topic closes the connection", no_topic)
        .v311(&["3.3.2-1"])
        .v5(&["3.3.2-1"]),
    Case::new("publish", "id-zero", "Packet identifier 0 closes the connection", id_zero)
        .v311(&["2.3.1-1"])
        .v5(&["2.2.1-3"]),
    Case::new("publish", "id-missing", "QoS 1 without room for an identifier closes the connection", id_missing)
        .v311(&["2.3.1-1"])
        .v5(&["2.2.1-3"]),
    Case::new("publish", "empty-payload", "An empty payload is delivered", empty_payload)
        .v311(&["§3.3.3"])
        .v5(&["§3.3.3"]),
    Case::new("publish", "binary-payload", "Any bytes are delivered as they are, zeros included", binary_payload)
        .v311(&["§3.3.3"])
        .v5(&["§3.3.3"]),
    Case::new("publish", "to-itself", "A client gets its own messages", to_itself).v311(&["4.5.0-1"]).v5(&["4.5.0-1"]),
    Case::new("publish", "puback-unknown", "Acknowledgements of nothing do no harm", puback_unknown)
        .v311(&["§4.3"])
        .v5(&["§4.3"]),
    Case::new("publish", "ack-id-zero", "Acknowledgements of packet identifier 0 close the connection", ack_id_zero)
        .v311(&["2.3.1-6"])
        .v5(&["2.2.1-5"])
        .optional(),
    Case::new("publish", "ack-cut-short", "An acknowledgement without an identifier closes the connection", ack_short)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new("publish", "ack-flags", "The other acknowledgements must have the flags 0000", ack_flags)
        .v311(&["2.2.2-2"])
        .v5(&["2.1.3-1"]),
    Case::new("publish", "acks-in-order", "Messages are acknowledged in the order in which they came", acks_in_order)
        .v311(&["§4.6"])
        .v5(&["§4.6"]),
    Case::new("publish", "pubrel-flags", "PUBREL must have the flags 0010", pubrel_flags)
        .v311(&["3.6.1-1", "2.2.2-2"])
        .v5(&["3.6.1-1"]),
    Case::new(
        "publish",
        "subscription-id-from-client",
        "A client may not send a subscription identifier",
        client_sub_id,
    )
    .v5(&["3.3.4-6"]),
];

fn qos_0(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x"))?;
    let message = subscriber.message(&topic, "x")?;
    subscriber.check(message.qos == 0 && !message.dup, "QoS 0 without DUP", format!("{message:?}"))?;
    publisher.silent("QoS 0 is not acknowledged")
}

fn qos_1(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for id in [1, 2, 255, 256, 65_535, 1] {
        publisher.send(&lab.publish(&topic, "x").qos(1, id).bytes());
        publisher.acknowledged(0x40, id)?;
        let message = subscriber.message(&topic, "x")?;
        subscriber.check(message.qos == 1 && !message.dup, "QoS 1 without DUP", format!("{message:?}"))?;
    }
    publisher.silent("one PUBACK for each")
}

fn qos_2(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for id in [1, 2, 65_535] {
        publisher.send(&lab.publish(&topic, "x").qos(2, id).bytes());
        publisher.acknowledged(0x50, id)?;
        publisher.send(&wire::ack(0x62, id));
        publisher.acknowledged(0x70, id)?;
        let message = subscriber.message(&topic, "x")?;
        subscriber.check(message.qos == 2 && !message.dup, "QoS 2 without DUP", format!("{message:?}"))?;
    }
    publisher.silent("one flow for each")?;
    subscriber.silent("one delivery for each")
}

fn qos_1_again(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for publish in [lab.publish(&topic, "1"), lab.publish(&topic, "2").dup(), lab.publish(&topic, "3")] {
        publisher.publish(&publish.qos(1, 5))?;
    }
    ["1", "2", "3"].iter().try_for_each(|text| subscriber.message(&topic, text).map(drop))
}

fn qos_2_repeated(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.send(&lab.publish(&topic, "x").qos(2, 5).bytes());
    publisher.acknowledged(0x50, 5)?;
    for _ in 0..2 {
        publisher.send(&lab.publish(&topic, "x").qos(2, 5).dup().bytes());
        publisher.acknowledged(0x50, 5)?;
    }
    publisher.send(&wire::ack(0x62, 5));
    publisher.acknowledged(0x70, 5)?;
    subscriber.message(&topic, "x")?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "the message was delivered before")
}

fn qos_2_again(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "1").qos(2, 5))?;
    publisher.publish(&lab.publish(&topic, "2").qos(2, 5).dup())?;
    subscriber.message(&topic, "1")?;
    subscriber.message(&topic, "2").map(drop)
}

fn over_reconnect(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let (mut publisher, _) = lab.persistent("publisher")?;
    publisher.send(&lab.publish(&topic, "x").qos(2, 5).bytes());
    publisher.acknowledged(0x50, 5)?;
    publisher.vanish()?;
    let (mut publisher, _) = lab.persistent("publisher")?;
    publisher.send(&lab.publish(&topic, "x").qos(2, 5).dup().bytes());
    publisher.acknowledged(0x50, 5)?;
    publisher.vanish()?;
    let (mut publisher, _) = lab.persistent("publisher")?;
    publisher.send(&wire::ack(0x62, 5));
    publisher.acknowledged(0x70, 5)?;
    subscriber.message(&topic, "x")?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "the message was delivered before")
}

fn over_clean_start(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let (mut publisher, _) = lab.persistent("publisher")?;
    publisher.send(&lab.publish(&topic, "1").qos(2, 5).bytes());
    publisher.acknowledged(0x50, 5)?;
    publisher.vanish()?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "2").qos(2, 5))?;
    // A server may hold a message back until PUBREL (method A of section 4.3.3): then the first never comes.
    let first = subscriber.incoming("a message")?;
    subscriber.accept(&first)?;
    if first.payload == b"1" {
        subscriber.message(&topic, "2")?;
    }
    Ok(())
}

fn qos_2_many(lab: &Lab) -> Outcome {
    const COUNT: u16 = 10;
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    for id in 1..=COUNT {
        publisher.send(&lab.publish(&topic, id.to_string()).qos(2, id).bytes());
    }
    for id in 1..=COUNT {
        publisher.acknowledged(0x50, id)?;
    }
    for id in (1..=COUNT).rev() {
        publisher.send(&wire::ack(0x62, id));
        publisher.acknowledged(0x70, id)?;
    }
    let mut seen = Vec::new();
    for _ in 0..COUNT {
        seen.push(String::from_utf8_lossy(&subscriber.incoming("ten messages")?.payload).into_owned());
    }
    seen.sort();
    seen.dedup();
    subscriber.check(seen.len() == usize::from(COUNT), "each once", format!("{seen:?}"))?;
    subscriber.silent("each once")
}

fn pubrel_unknown(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    client.send(&wire::ack(0x62, 77));
    let answer = client.acknowledged(0x70, 77)?;
    client.check(matches!(answer.codes[0], 0 | 0x92), "success or 0x92", format!("{answer:?}"))?;
    client.silent("one answer")
}

fn pubrel_unknown_reason(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    client.send(&wire::ack(0x62, 77));
    let answer = client.acknowledged(0x70, 77)?;
    client.check(answer.codes[0] == 0x92, "packet identifier not found", format!("{answer:?}"))
}

fn no_matching(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut publisher = lab.client("publisher")?;
    for qos in [1, 2] {
        let code = publisher.publish(&lab.publish(&topic, "x").qos(qos, 0))?;
        publisher.check(code == 0x10, "no matching subscribers", format!("0x{code:02x} at QoS {qos}"))?;
    }
    let _subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let code = publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    publisher.check(code == 0, "success", format!("0x{code:02x}"))
}

fn reason_codes(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let _subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    for (qos, topic) in [(1, &topic), (2, &topic), (1, &lab.topic("b")), (2, &lab.topic("b"))] {
        let code = publisher.publish(&lab.publish(topic, "x").qos(qos, 0))?;
        publisher.check(matches!(code, 0 | 0x10), "success or 0x10", format!("0x{code:02x} at QoS {qos}"))?;
    }
    Ok(())
}

fn dup_not_forwarded(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [1, 2] {
        publisher.publish(&lab.publish(&topic, "x").qos(qos, 0).dup())?;
        let message = subscriber.message(&topic, "x")?;
        subscriber.check(!message.dup, "no DUP", format!("{message:?}"))?;
    }
    Ok(())
}

fn retain_not_forwarded(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1, 2] {
        publisher.publish(&lab.publish(&topic, "x").qos(qos, 0).retain())?;
        let message = subscriber.message(&topic, "x")?;
        subscriber.check(!message.retain, "RETAIN 0", format!("{message:?}"))?;
    }
    Ok(())
}

/// Sends bytes on a new connection, which must be closed.
fn closes(lab: &Lab, wanted: &str, bytes: &[u8], reasons: &[u8]) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(bytes);
    client.closed_for(wanted, reasons)
}

/// Optional: 3.1.1 forbids it to the sender and says nothing of the receiver.
fn dup_qos_0(lab: &Lab) -> Outcome {
    closes(lab, "DUP with QoS 0", &lab.publish(&lab.topic("a"), "x").dup().bytes(), &[0x81, 0x82])
}

fn qos_3(lab: &Lab) -> Outcome {
    let body = lab.publish(&lab.topic("a"), "x").qos(3, 1).bytes();
    closes(lab, "QoS 3", &body, &[0x81, 0x82])
}

fn wildcard_topic(lab: &Lab) -> Outcome {
    for name in ["+", "#", "a/+/b", "a/#", "a+", "b#c"] {
        for qos in [0, 1] {
            let publish = lab.publish(&lab.topic(name), "x").qos(qos, 1);
            closes(lab, &format!("topic name \"{name}\""), &publish.bytes(), &[0x81, 0x82, 0x90])?;
        }
    }
    Ok(())
}

fn empty_topic(lab: &Lab) -> Outcome {
    closes(lab, "an empty topic name", &lab.publish("", "x").bytes(), &[0x81, 0x82, 0x90])
}

fn no_topic(lab: &Lab) -> Outcome {
    for body in [&[][..], &[0], &[0, 9, b'a']] {
        closes(lab, "a topic that is not whole", &frame(0x30, body), &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn id_zero(lab: &Lab) -> Outcome {
    for qos in [1, 2] {
        let publish = lab.publish(&lab.topic("a"), "x").qos(qos, 0);
        closes(lab, "packet identifier 0", &publish.bytes(), &[0x81, 0x82])?;
    }
    Ok(())
}

fn id_missing(lab: &Lab) -> Outcome {
    let whole = lab.publish(&lab.topic("a"), "").bytes();
    let body = if lab.is_v5() { &whole[2..whole.len() - 1] } else { &whole[2..] };
    closes(lab, "no packet identifier", &frame(0x32, body), &[0x81, 0x82])
}

fn empty_payload(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1, 2] {
        publisher.publish(&lab.publish(&topic, "").qos(qos, 0))?;
        subscriber.message(&topic, "")?;
    }
    Ok(())
}

fn binary_payload(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let bytes: Vec<u8> = (0..=255).chain([0, 0, 0, 0xFF, 0xFE]).collect();
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    lab.client("publisher")?.publish(&lab.publish(&topic, bytes.clone()).qos(1, 0))?;
    let message = subscriber.incoming("the bytes")?;
    subscriber.check(message.payload == bytes, "the same bytes", format!("{:02x?}", message.payload))
}

fn to_itself(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = lab.subscriber("both", &topic, 2)?;
    for qos in [0, 1, 2] {
        client.publish(&lab.publish(&topic, "x").qos(qos, 0))?;
        let message = client.message(&topic, "x")?;
        client.check(message.qos == qos, format!("QoS {qos}"), format!("{message:?}"))?;
    }
    client.silent("each once")
}

fn puback_unknown(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    client.send(&wire::ack(0x40, 99));
    client.send(&wire::ack(0x70, 98));
    client.silent("PUBACK and PUBCOMP are not answered")?;
    client.send(&wire::ack(0x50, 97));
    let answer = client.acknowledged(0x62, 97)?;
    client.check(matches!(answer.codes[0], 0 | 0x92), "PUBREL with success or 0x92", format!("{answer:?}"))?;
    client.silent("and nothing else")
}

fn ack_id_zero(lab: &Lab) -> Outcome {
    [0x40, 0x50, 0x62, 0x70]
        .iter()
        .try_for_each(|&first| closes(lab, "an acknowledgement of identifier 0", &wire::ack(first, 0), &[0x81, 0x82]))
}

fn ack_short(lab: &Lab) -> Outcome {
    [0x40, 0x50, 0x62, 0x70]
        .iter()
        .try_for_each(|&first| closes(lab, "an acknowledgement of one byte", &frame(first, &[0]), &[0x81, 0x82]))
}

fn pubrel_flags(lab: &Lab) -> Outcome {
    for first in [0x60, 0x61, 0x63, 0x66, 0x6A] {
        closes(lab, &format!("PUBREL as 0x{first:02x}"), &wire::ack(first, 1), &[0x81])?;
    }
    Ok(())
}

fn ack_flags(lab: &Lab) -> Outcome {
    for first in [0x41, 0x52, 0x7F] {
        closes(lab, &format!("flags in 0x{first:02x}"), &wire::ack(first, 1), &[0x81])?;
    }
    Ok(())
}

fn acks_in_order(lab: &Lab) -> Outcome {
    let mut client = lab.client("hasty")?;
    for (qos, first) in [(1, 0x40), (2, 0x50)] {
        let ids = [9, 3, 7, 1, 8];
        let packets: Vec<Vec<u8>> =
            ids.iter().map(|&id| lab.publish(&lab.topic("a"), "x").qos(qos, id).bytes()).collect();
        client.send(&packets.concat());
        for id in ids {
            let packet = client.next("an acknowledgement")?;
            let answer = client.read("an acknowledgement", packet.ack(first, lab.version))?;
            client.check(answer.id == id, format!("identifier {id}"), format!("{answer:?}"))?;
        }
    }
    Ok(())
}

fn client_sub_id(lab: &Lab) -> Outcome {
    let publish = lab.publish(&lab.topic("a"), "x").with(property::subscription_id(3));
    closes(lab, "a subscription identifier from a client", &publish.bytes(), &[0x81, 0x82])
}

/// A payload that is said to be text and is not may be refused; a server that does not look passes.
fn qos_2_refused(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.send(&lab.publish(&topic, [0xC3, 0x28]).qos(2, 1).with(property::payload_format(1)).bytes());
    let answer = publisher.acknowledged(0x50, 1)?;
    if answer.codes.first().is_none_or(|&code| code < 0x80) {
        publisher.send(&wire::ack(0x62, 1));
        return publisher.acknowledged(0x70, 1).map(drop);
    }
    publisher.check(answer.codes[0] == 0x99, "payload format invalid", format!("{answer:?}"))?;
    publisher.publish(&lab.publish(&topic, "new").qos(2, 1).with(property::payload_format(1)))?;
    subscriber.message(&topic, "new")?;
    subscriber.silent("nothing that was refused")
}
