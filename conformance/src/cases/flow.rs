//! Flow control: Receive Maximum in both directions (sections 3.3.4, 4.9).

use std::time::Duration;

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::received::Incoming;
use crate::wire::{self, property};

pub(super) const CASES: &[Case] = &[
    Case::new("flow", "receive-maximum-of-client", "No more messages in flight than the client takes", of_client)
        .v5(&["3.3.4-9", "4.9.0-1", "4.9.0-2"]),
    Case::new("flow", "qos-0-not-counted", "QoS 0 messages are not held back", qos_0).v5(&["4.9.0-2"]),
    Case::new("flow", "others-not-delayed", "Other packets are answered while the quota is used up", others)
        .v5(&["3.3.4-10", "4.9.0-3"]),
    Case::new("flow", "qos-2-until-pubcomp", "A QoS 2 message counts until PUBCOMP", until_pubcomp).v5(&["3.3.4-9"]),
    Case::new("flow", "pubrec-error-counts", "A PUBREC with an error frees its place", pubrec_error).v5(&["3.3.4-9"]),
    Case::new("flow", "offline-queue", "A queue is delivered within the quota", offline_queue)
        .v5(&["3.3.4-9", "4.9.0-1"]),
    Case::new("flow", "lowered", "A connection with a smaller maximum gets what was in flight piece by piece", lowered)
        .v5(&["3.3.4-9", "4.4.0-1", "4.9.0-1"]),
    Case::new(
        "flow",
        "lowered-and-acknowledged",
        "Acknowledging what was not sent again yet does no harm",
        lowered_acks,
    )
    .v5(&["4.3.2-3", "4.9.0-2"]),
    Case::new("flow", "receive-maximum-of-server", "A client may use the server's whole maximum", of_server)
        .v5(&["4.9.0-1", "3.3.4-7"]),
    Case::new("flow", "exceeded", "A client that exceeds it is disconnected with 0x93", exceeded)
        .v5(&["3.3.4-7"])
        .optional(),
    Case::new("flow", "unlimited-3.1.1", "Clients of 3.1.1 get messages without waiting", unlimited).v311(&["§4.3"]),
];

fn limited(lab: &Lab, maximum: u16) -> Outcome<Client> {
    let connect = lab.connect("limited").persistent(600).with(property::receive_maximum(maximum));
    Ok(lab.accepted("limited", &connect)?.0)
}

fn next(client: &mut Client, number: impl Into<u64>) -> Outcome<Incoming> {
    let payload = number.into().to_string();
    let message = client.incoming(&payload)?;
    client.check(message.payload == payload.as_bytes(), format!("PUBLISH {payload:?}"), format!("{message:?}"))?;
    Ok(message)
}

fn nothing_more(client: &mut Client) -> Outcome {
    match client.next_within(Duration::from_millis(300), "nothing: the quota is used up")? {
        None => Ok(()),
        Some(packet) => Err(client.mismatch("nothing: the quota is used up", packet)),
    }
}

fn publish(lab: &Lab, topic: &str, numbers: std::ops::Range<u32>, qos: u8) -> Outcome {
    let mut publisher = lab.client("publisher")?;
    for n in numbers {
        publisher.publish(&lab.publish(topic, n.to_string()).qos(qos, 0))?;
    }
    publisher.disconnect()
}

fn of_client(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = limited(lab, 2)?;
    client.subscribe(&topic, 1)?;
    publish(lab, &topic, 0..6, 1)?;
    let mut held = vec![next(&mut client, 0_u32)?, next(&mut client, 1_u32)?];
    nothing_more(&mut client)?;
    for n in 2..6_u32 {
        client.accept(&held.remove(0))?;
        held.push(next(&mut client, n)?);
    }
    nothing_more(&mut client)
}

fn qos_0(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = limited(lab, 1)?;
    client.subscribe(&topic, 1)?;
    publish(lab, &topic, 0..2, 1)?;
    let first = next(&mut client, 0_u32)?;
    publish(lab, &topic, 7..10, 0)?;
    for n in 7..10_u32 {
        next(&mut client, n)?;
    }
    client.accept(&first)?;
    next(&mut client, 1_u32).map(drop)
}

fn others(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = limited(lab, 1)?;
    client.subscribe(&topic, 1)?;
    publish(lab, &topic, 0..3, 1)?;
    let first = next(&mut client, 0_u32)?;
    client.silent("the quota is used up")?;
    client.subscribe(&lab.topic("b"), 1)?;
    client.publish(&lab.publish(&lab.topic("c"), "x").qos(1, 0))?;
    client.publish(&lab.publish(&lab.topic("c"), "x").qos(2, 0))?;
    client.unsubscribe(&[&lab.topic("b")])?;
    client.silent("the quota is used up")?;
    client.accept(&first)?;
    next(&mut client, 1_u32).map(drop)
}

fn until_pubcomp(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = limited(lab, 1)?;
    client.subscribe(&topic, 2)?;
    publish(lab, &topic, 0..2, 2)?;
    let first = next(&mut client, 0_u32)?;
    client.send(&wire::ack(0x50, first.id));
    client.acknowledged(0x62, first.id)?;
    nothing_more(&mut client)?;
    client.send(&wire::ack(0x70, first.id));
    next(&mut client, 1_u32).map(drop)
}

fn pubrec_error(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = limited(lab, 1)?;
    client.subscribe(&topic, 2)?;
    publish(lab, &topic, 0..2, 2)?;
    let first = next(&mut client, 0_u32)?;
    client.send(&wire::ack_with(0x50, first.id, 0x80));
    next(&mut client, 1_u32).map(drop)
}

fn offline_queue(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = limited(lab, 3)?;
    client.subscribe(&topic, 1)?;
    client.disconnect()?;
    publish(lab, &topic, 0..10, 1)?;
    let mut client = limited(lab, 3)?;
    let mut held = vec![next(&mut client, 0_u32)?, next(&mut client, 1_u32)?, next(&mut client, 2_u32)?];
    nothing_more(&mut client)?;
    for n in 3..10_u32 {
        client.accept(&held.remove(0))?;
        held.push(next(&mut client, n)?);
    }
    Ok(())
}

/// Five in flight, unacknowledged, and one more waiting.
fn five_in_flight(lab: &Lab, topic: &str) -> Outcome<Vec<Incoming>> {
    let mut client = limited(lab, 5)?;
    client.subscribe(topic, 1)?;
    publish(lab, topic, 0..6, 1)?;
    let held = (0..5_u32).map(|n| next(&mut client, n)).collect::<Outcome<Vec<_>>>()?;
    client.vanish()?;
    Ok(held)
}

fn lowered(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let before = five_in_flight(lab, &topic)?;
    let mut client = limited(lab, 2)?;
    let mut held = Vec::new();
    for (n, first) in before.iter().enumerate() {
        if n >= 2 {
            nothing_more(&mut client)?;
            client.accept(&held[n - 2])?;
        }
        let again = next(&mut client, n as u64)?;
        client.check(again.dup && again.id == first.id, format!("{first:?} with DUP"), format!("{again:?}"))?;
        held.push(again);
    }
    client.accept(&held[3])?;
    let last = next(&mut client, 5_u32)?;
    client.check(!last.dup, "no DUP for a new message", format!("{last:?}"))?;
    client.accept(&held[4])?;
    client.accept(&last)?;
    client.silent("everything was delivered")?;
    client.disconnect()?;
    limited(lab, 2)?.silent("everything was acknowledged")
}

fn lowered_acks(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let before = five_in_flight(lab, &topic)?;
    let mut client = limited(lab, 1)?;
    // All of them at once, although only the first was sent again on this connection.
    let acks: Vec<Vec<u8>> = before.iter().map(|message| wire::ack(0x40, message.id)).collect();
    client.send(&acks.concat());
    // Some may have been on their way again; then comes what had waited, and what is new.
    let mut message = client.incoming("message 5")?;
    while message.dup {
        client.accept(&message)?;
        message = client.incoming("message 5")?;
    }
    client.check(message.payload == b"5", "message 5", format!("{message:?}"))?;
    client.accept(&message)?;
    publish(lab, &topic, 6..9, 1)?;
    for n in 6..9_u32 {
        let message = next(&mut client, n)?;
        client.accept(&message)?;
    }
    client.silent("everything was delivered")
}

fn of_server(lab: &Lab) -> Outcome {
    let (mut client, connack) = lab.accepted("eager", &lab.connect("eager"))?;
    // Not more than needed where the maximum is large.
    let maximum = connack.properties.number(0x21).unwrap_or(65_535).min(200) as u16;
    for id in 1..=maximum {
        client.send(&lab.publish(&lab.topic("a"), "x").qos(2, id).bytes());
    }
    for id in 1..=maximum {
        client.acknowledged(0x50, id)?;
    }
    for id in 1..=maximum {
        client.send(&wire::ack(0x62, id));
        client.acknowledged(0x70, id)?;
    }
    client.silent("within the maximum")
}

/// Optional: the client must not, and the server may go on.
fn exceeded(lab: &Lab) -> Outcome {
    let (mut client, connack) = lab.accepted("greedy", &lab.connect("greedy"))?;
    let maximum = connack.properties.number(0x21).unwrap_or(65_535);
    if maximum == 65_535 {
        return Err(client.mismatch("a receive maximum that can be exceeded", "65,535"));
    }
    let packets: Vec<Vec<u8>> =
        (1..=maximum + 1).map(|id| lab.publish(&lab.topic("a"), "x").qos(2, id as u16).bytes()).collect();
    client.send(&packets.concat());
    for id in 1..=maximum {
        client.acknowledged(0x50, id as u16)?;
    }
    let reason = client.closed("the receive maximum was exceeded")?;
    client.check(reason == Some(0x93), "DISCONNECT 0x93", format!("{reason:02x?}"))
}

fn unlimited(lab: &Lab) -> Outcome {
    const COUNT: u32 = 15;
    let topic = lab.topic("a");
    let (mut client, _) = lab.persistent("old")?;
    client.subscribe(&topic, 1)?;
    publish(lab, &topic, 0..COUNT, 1)?;
    for n in 0..COUNT {
        next(&mut client, n)?;
    }
    Ok(())
}
