//! What a server sends again, and what it does not (sections 4.3, 4.4).

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::received::Incoming;
use crate::wire;

pub(super) const CASES: &[Case] = &[
    Case::new("redelivery", "qos-1", "An unacknowledged QoS 1 message is sent again with DUP and its id", qos_1)
        .v311(&["4.4.0-1", "3.3.1-1", "2.3.1-4"])
        .v5(&["4.4.0-1", "3.3.1-1"]),
    Case::new("redelivery", "qos-2", "So is a QoS 2 message before PUBREC", qos_2)
        .v311(&["4.4.0-1", "3.3.1-1"])
        .v5(&["4.4.0-1", "3.3.1-1", "4.3.3-3"]),
    Case::new("redelivery", "pubrel", "After PUBREC it is PUBREL that is sent again", pubrel)
        .v311(&["4.4.0-1", "4.3.3-1"])
        .v5(&["4.4.0-1", "4.3.3-5", "4.3.3-6"]),
    Case::new("redelivery", "acknowledged-not-again", "What was acknowledged is not sent again", acknowledged)
        .v311(&["4.3.2-1"])
        .v5(&["4.3.2-3"]),
    Case::new("redelivery", "order", "Messages are sent again in their first order", order)
        .v311(&["4.6.0-1"])
        .v5(&["4.6.0-1", "4.6.0-5"]),
    Case::new("redelivery", "before-what-waited", "What is sent again comes before what waited", before_waiting)
        .v311(&["4.6.0-6"])
        .v5(&["4.6.0-5"]),
    Case::new("redelivery", "twice", "A message that is lost twice is sent a third time", twice)
        .v311(&["4.4.0-1"])
        .v5(&["4.4.0-1"]),
    Case::new("redelivery", "not-on-same-connection", "Nothing is sent again on the same connection", not_on_same)
        .v5(&["4.4.0-1"]),
    Case::new("redelivery", "not-after-clean-start", "A clean start ends all flows", not_after_clean)
        .v311(&["3.1.2-6"])
        .v5(&["3.1.2-4"]),
    Case::new("redelivery", "ids-in-use", "New messages do not use the identifiers of those in flight", ids_in_use)
        .v311(&["2.3.1-4", "4.3.2-1", "4.3.3-1"])
        .v5(&["2.2.1-4", "4.3.2-1", "4.3.3-1", "4.3.2-2", "4.3.3-2"]),
    Case::new("redelivery", "acks-out-of-order", "Acknowledgements may come in any order", out_of_order)
        .v311(&["4.3.2-1"])
        .v5(&["4.3.2-3", "4.3.3-4"]),
    Case::new(
        "redelivery",
        "late-acks",
        "Acknowledgements of the older connection's messages count at once",
        late_acks,
    )
    .v311(&["4.3.2-1", "4.3.3-1"])
    .v5(&["4.3.2-3", "4.3.3-4"]),
    Case::new("redelivery", "puback-with-error", "PUBACK with an error ends the flow", puback_error).v5(&["4.4.0-2"]),
    Case::new("redelivery", "pubrec-with-error", "PUBREC with an error ends the flow, without PUBREL", pubrec_error)
        .v5(&["4.4.0-2", "4.3.3-4"]),
    Case::new("redelivery", "pubrec-repeated", "A repeated PUBREC is answered by PUBREL again", pubrec_repeated)
        .v311(&["4.3.3-1"])
        .v5(&["4.3.3-4"]),
    Case::new("redelivery", "pubrel-order", "PUBRELs follow the order of PUBRECs", pubrel_order)
        .v311(&["4.6.0-4"])
        .v5(&["4.6.0-4"]),
];

/// A session with one subscription at QoS 2, and a publisher.
fn pair(lab: &Lab, topic: &str) -> Outcome<(Client, Client)> {
    let (mut subscriber, _) = lab.persistent("subscriber")?;
    subscriber.subscribe(topic, 2)?;
    Ok((subscriber, lab.client("publisher")?))
}

fn back(lab: &Lab) -> Outcome<Client> {
    Ok(lab.persistent("subscriber")?.0)
}

/// The next message, of this payload, as it is, not acknowledged.
fn plain(client: &mut Client, payload: &str) -> Outcome<Incoming> {
    let message = client.incoming(payload)?;
    client.check(message.payload == payload.as_bytes(), format!("PUBLISH {payload:?}"), format!("{message:?}"))?;
    Ok(message)
}

fn resent(client: &mut Client, first: &Incoming) -> Outcome<Incoming> {
    let again = client.incoming("the message again")?;
    let same = again.id == first.id && again.payload == first.payload && again.qos == first.qos && again.dup;
    client.check(same, format!("the same with DUP: {first:?}"), format!("{again:?}"))?;
    Ok(again)
}

fn qos_1(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let first = plain(&mut subscriber, "x")?;
    subscriber.check(!first.dup, "no DUP at first", format!("{first:?}"))?;
    subscriber.vanish()?;
    let mut subscriber = back(lab)?;
    let again = resent(&mut subscriber, &first)?;
    subscriber.accept(&again)?;
    subscriber.silent("acknowledged")
}

fn qos_2(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    let first = plain(&mut subscriber, "x")?;
    subscriber.vanish()?;
    let mut subscriber = back(lab)?;
    let again = resent(&mut subscriber, &first)?;
    subscriber.accept(&again)?;
    subscriber.silent("acknowledged")
}

fn pubrel(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    let first = plain(&mut subscriber, "x")?;
    subscriber.send(&wire::ack(0x50, first.id));
    subscriber.acknowledged(0x62, first.id)?;
    subscriber.vanish()?;
    let mut subscriber = back(lab)?;
    let packet = subscriber.next("PUBREL, not PUBLISH")?;
    let answer = subscriber.read("PUBREL, not PUBLISH", packet.ack(0x62, lab.version))?;
    subscriber.check(answer.id == first.id, format!("identifier {}", first.id), format!("{answer:?}"))?;
    subscriber.send(&wire::ack(0x70, first.id));
    subscriber.silent("complete")?;
    subscriber.vanish()?;
    back(lab)?.silent("complete")
}

fn acknowledged(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    for qos in [1, 2] {
        publisher.publish(&lab.publish(&topic, "x").qos(qos, 0))?;
        subscriber.message(&topic, "x")?;
    }
    subscriber.silent("acknowledged")?;
    subscriber.vanish()?;
    back(lab)?.silent("everything was acknowledged")
}

fn order(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    let mut first = Vec::new();
    for n in 0..12_u8 {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(1 + n % 2, 0))?;
        first.push(plain(&mut subscriber, &n.to_string())?);
    }
    // One in the middle is done.
    subscriber.accept(&first.remove(4))?;
    subscriber.silent("the connection works")?;
    subscriber.vanish()?;
    let mut subscriber = back(lab)?;
    for message in &first {
        resent(&mut subscriber, message)?;
    }
    subscriber.silent("no more than those")
}

fn before_waiting(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    let first = plain(&mut subscriber, "1")?;
    subscriber.vanish()?;
    for text in ["2", "3"] {
        publisher.publish(&lab.publish(&topic, text).qos(1, 0))?;
    }
    let mut subscriber = back(lab)?;
    resent(&mut subscriber, &first)?;
    for text in ["2", "3"] {
        let message = plain(&mut subscriber, text)?;
        subscriber.check(!message.dup && message.id != first.id, "a new message", format!("{message:?}"))?;
    }
    subscriber.silent("no more than those")
}

fn twice(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let first = plain(&mut subscriber, "x")?;
    subscriber.vanish()?;
    for _ in 0..3 {
        let mut subscriber = back(lab)?;
        resent(&mut subscriber, &first)?;
        subscriber.vanish()?;
    }
    let mut subscriber = back(lab)?;
    let again = resent(&mut subscriber, &first)?;
    subscriber.accept(&again)
}

fn not_on_same(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    plain(&mut subscriber, "x")?;
    std::thread::sleep(std::time::Duration::from_millis(2_500));
    subscriber.silent("nothing is sent again while the connection lasts")
}

fn not_after_clean(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    plain(&mut subscriber, "x")?;
    publisher.publish(&lab.publish(&topic, "y").qos(2, 0))?;
    let message = plain(&mut subscriber, "y")?;
    subscriber.send(&wire::ack(0x50, message.id));
    subscriber.acknowledged(0x62, message.id)?;
    subscriber.vanish()?;
    lab.client("subscriber")?.silent("a new session")
}

fn ids_in_use(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    let mut ids = Vec::new();
    for n in 0..10_u8 {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(1 + n % 2, 0))?;
        let message = plain(&mut subscriber, &n.to_string())?;
        subscriber.check(!message.dup, "no DUP at first", format!("{message:?}"))?;
        ids.push(message.id);
    }
    subscriber.vanish()?;
    publisher.publish(&lab.publish(&topic, "later").qos(1, 0))?;
    let mut subscriber = back(lab)?;
    for _ in 0..10 {
        subscriber.incoming("the message again")?;
    }
    ids.push(plain(&mut subscriber, "later")?.id);
    let seen = format!("{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    subscriber.check(ids.len() == 11 && ids[0] != 0, "eleven different identifiers", seen)
}

fn out_of_order(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    let mut messages = Vec::new();
    for n in 0..6_u8 {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(1 + n % 2, 0))?;
        messages.push(plain(&mut subscriber, &n.to_string())?);
    }
    for at in [3, 0, 5, 1, 4, 2] {
        subscriber.accept(&messages[at])?;
    }
    subscriber.silent("all acknowledged")?;
    subscriber.vanish()?;
    back(lab)?.silent("all acknowledged")
}

/// A client may have acknowledgements to send before it has read what comes again.
fn late_acks(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    publisher.publish(&lab.publish(&topic, "2").qos(2, 0))?;
    let (one, two) = (plain(&mut subscriber, "1")?, plain(&mut subscriber, "2")?);
    subscriber.vanish()?;
    let mut subscriber = back(lab)?;
    subscriber.send(&[wire::ack(0x40, one.id), wire::ack(0x50, two.id)].concat());
    subscriber.acknowledged(0x62, two.id)?;
    subscriber.send(&wire::ack(0x70, two.id));
    // What had been sent again meanwhile.
    resent(&mut subscriber, &one)?;
    resent(&mut subscriber, &two)?;
    publisher.publish(&lab.publish(&topic, "3").qos(1, 0))?;
    subscriber.message(&topic, "3")?;
    subscriber.silent("all acknowledged")?;
    subscriber.vanish()?;
    back(lab)?.silent("all acknowledged")
}

fn puback_error(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let message = plain(&mut subscriber, "x")?;
    subscriber.send(&wire::ack_with(0x40, message.id, 0x87));
    subscriber.silent("acknowledged, though with an error")?;
    subscriber.vanish()?;
    back(lab)?.silent("acknowledged, though with an error")
}

fn pubrec_error(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    let message = plain(&mut subscriber, "x")?;
    subscriber.send(&wire::ack_with(0x50, message.id, 0x97));
    subscriber.silent("no PUBREL after an error")?;
    subscriber.vanish()?;
    back(lab)?.silent("acknowledged, though with an error")
}

fn pubrec_repeated(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    let message = plain(&mut subscriber, "x")?;
    for _ in 0..2 {
        subscriber.send(&wire::ack(0x50, message.id));
        subscriber.acknowledged(0x62, message.id)?;
    }
    subscriber.send(&wire::ack(0x70, message.id));
    subscriber.silent("complete")
}

fn pubrel_order(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, mut publisher) = pair(lab, &topic)?;
    let mut ids = Vec::new();
    for text in ["0", "1", "2"] {
        publisher.publish(&lab.publish(&topic, text).qos(2, 0))?;
        ids.push(plain(&mut subscriber, text)?.id);
    }
    for at in [1, 0, 2] {
        subscriber.send(&wire::ack(0x50, ids[at]));
    }
    for at in [1, 0, 2] {
        let packet = subscriber.next("PUBREL")?;
        let answer = subscriber.read("PUBREL", packet.ack(0x62, lab.version))?;
        subscriber.check(answer.id == ids[at], format!("PUBREL for {}", ids[at]), format!("{answer:?}"))?;
    }
    Ok(())
}
