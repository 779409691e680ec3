//! Large packets, and Maximum Packet Size in both directions (sections 2.1.4, 3.1.2.11.4, 3.2.2.3.6).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{self, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("size", "length-steps", "Every length of the remaining length works", length_steps)
        .v311(&["§2.2.3"])
        .v5(&["§2.1.4"]),
    Case::new("size", "1-megabyte", "A payload of 1 MB arrives whole", megabyte).v311(&["§3.3.3"]).v5(&["§3.3.3"]),
    Case::new(
        "size",
        "10-megabytes",
        "So does one of 10 MB, unless the server says that it is too large",
        ten_megabytes,
    )
    .v311(&["§3.3.3"])
    .v5(&["§3.3.3", "3.2.2-15"])
    .optional(),
    Case::new(
        "size",
        "remaining-length-too-long",
        "A remaining length of five bytes closes the connection",
        five_bytes,
    )
    .v311(&["§2.2.3", "4.8.0-1"])
    .v5(&["§2.1.4", "4.13.1-1"]),
    Case::new("size", "maximum-of-client", "No packet over the client's maximum reaches it", of_client)
        .v5(&["3.1.2-24", "3.1.2-25"]),
    Case::new(
        "size",
        "answers-fit-maximum",
        "Reason strings and user properties make no answer larger than the client's maximum",
        answers_fit,
    )
    .v5(&[
        "3.4.2-2", "3.4.2-3", "3.5.2-2", "3.5.2-3", "3.6.2-2", "3.6.2-3", "3.7.2-2", "3.7.2-3", "3.9.2-1", "3.9.2-2",
        "3.11.2-1", "3.11.2-2", "3.14.2-3", "3.14.2-4",
    ]),
    Case::new(
        "size",
        "maximum-of-client-in-flight",
        "What is dropped as too large leaves no gap in the flow",
        dropped_flow,
    )
    .v5(&["3.1.2-25"]),
    Case::new(
        "size",
        "maximum-lowered",
        "A session with a smaller maximum gets nothing larger, sent before or not",
        lowered,
    )
    .v5(&["3.1.2-24", "3.1.2-25"]),
    Case::new("size", "maximum-of-client-shared", "Others get what is too large for one", others_get_it)
        .v5(&["3.1.2-25"]),
    Case::new("size", "maximum-of-server", "A packet over the server's maximum closes the connection, 0x95", of_server)
        .v5(&["3.2.2-15"])
        .optional(),
];

fn length_steps(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    let overhead = lab.publish(&topic, "").bytes().len() - 2;
    for total in [125, 126, 127, 128, 129, 16_382, 16_383, 16_384, 16_385] {
        let payload = "x".repeat(total - overhead);
        publisher.publish(&lab.publish(&topic, payload.as_str()))?;
        subscriber.message(&topic, &payload)?;
    }
    Ok(())
}

fn carry(lab: &Lab, bytes: usize) -> Outcome {
    let topic = lab.topic("a");
    let payload: Vec<u8> = (0..bytes).map(|n| (n * 31 / 7) as u8).collect();
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1] {
        publisher.publish(&lab.publish(&topic, payload.clone()).qos(qos, 0))?;
        let message = subscriber.incoming("the payload")?;
        subscriber.accept(&message)?;
        let seen = format!("{} bytes", message.payload.len());
        subscriber.check(message.payload == payload, format!("the same {bytes} bytes"), seen)?;
    }
    Ok(())
}

fn megabyte(lab: &Lab) -> Outcome {
    carry(lab, 1_000_000)
}

fn ten_megabytes(lab: &Lab) -> Outcome {
    carry(lab, 10_000_000)
}

fn five_bytes(lab: &Lab) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(&[0x30, 0x80, 0x80, 0x80, 0x80, 0x01, 0, 0]);
    client.closed_for("a remaining length of five bytes", &[0x81, 0x82, 0x95])
}

fn of_client(lab: &Lab) -> Outcome {
    const MAXIMUM: usize = 200;
    let topic = lab.topic("a");
    let connect = lab.connect("small").with(property::maximum_packet_size(MAXIMUM as u32));
    let (mut client, _) = lab.accepted("small", &connect)?;
    client.subscribe(&topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1] {
        let overhead = lab.publish(&topic, "x".repeat(100)).qos(qos, 1).bytes().len() - 100;
        // The length itself grows by a byte at 128.
        let fits = MAXIMUM - overhead - 1;
        for (size, arrives) in [(fits, true), (fits + 2, false), (5_000, false), (10, true)] {
            let payload = "x".repeat(size);
            publisher.publish(&lab.publish(&topic, payload.as_str()).qos(qos, 0))?;
            if arrives {
                client.message(&topic, &payload)?;
            }
        }
        publisher.publish(&lab.publish(&topic, "last").qos(qos, 0))?;
        client.message(&topic, "last")?;
    }
    client.silent("nothing that is too large")
}

/// Requests that a server may want to say more about than a code: no subscriber, no such identifier, no such filter, a
/// filter that may not be used. Where CONNACK does not fit there is nothing to see.
fn answers_fit(lab: &Lab) -> Outcome {
    let topic = lab.topic("nobody");
    let deep = lab.topic(&"/x".repeat(300));
    for maximum in [16, 20, 24, 28, 32, 40, 60, 120] {
        let mut client = lab.open("terse")?;
        client.send(&lab.connect("terse").with(property::maximum_packet_size(maximum)).bytes());
        let Some(connack) = client.next_or_end("CONNACK, or the end")? else { continue };
        client.check(connack.first == 0x20, "CONNACK", &connack)?;
        let requests = [
            lab.publish(&topic, "x").qos(1, 1).bytes(),
            lab.publish(&topic, "x").qos(2, 2).bytes(),
            wire::ack(0x62, 2),
            wire::ack(0x62, 3),
            wire::ack(0x50, 4),
            wire::unsubscribe(lab.version, 5, &[&topic]),
            wire::subscribe(lab.version, 6, &[], &[(&topic, 0), (&deep, 0)]),
            lab.publish("a/#", "x").bytes(),
        ];
        for request in &requests {
            client.send(request);
            client.send(wire::PINGREQ);
            while let Some(packet) = client.next_or_end("an answer, or the end")? {
                let size = 2 + packet.body.len();
                client.check(size <= maximum as usize, format!("no packet over {maximum} bytes"), &packet)?;
                if packet.first == 0xD0 {
                    break;
                }
            }
        }
    }
    Ok(())
}

fn dropped_flow(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let connect = lab.connect("small").persistent(600);
    let connect = connect.with(property::maximum_packet_size(200)).with(property::receive_maximum(1));
    let (mut client, _) = lab.accepted("small", &connect)?;
    client.subscribe(&topic, 2)?;
    client.disconnect()?;
    let mut publisher = lab.client("publisher")?;
    let large = "x".repeat(500);
    for payload in ["1", &large, &large, "2", &large, "3"] {
        publisher.publish(&lab.publish(&topic, payload).qos(2, 0))?;
    }
    let (mut client, _) = lab.accepted("small", &connect)?;
    ["1", "2", "3"].iter().try_for_each(|text| client.message(&topic, text).map(drop))?;
    client.silent("nothing that is too large")
}

fn lowered(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.persistent("small")?;
    client.subscribe(&topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    let large = "x".repeat(500);
    publisher.publish(&lab.publish(&topic, large.as_str()).qos(1, 0))?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    client.incoming("the large message, not acknowledged")?;
    client.incoming("the small one, not acknowledged")?;
    client.vanish()?;
    publisher.publish(&lab.publish(&topic, large.as_str()).qos(1, 0))?;
    publisher.publish(&lab.publish(&topic, "2").qos(1, 0))?;
    let connect = lab.connect("small").persistent(600).with(property::maximum_packet_size(200));
    let (mut client, _) = lab.accepted("small", &connect)?;
    client.message(&topic, "1")?;
    client.message(&topic, "2")?;
    client.silent("nothing that is too large")
}

fn others_get_it(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let connect = lab.connect("small").with(property::maximum_packet_size(100));
    let (mut small, _) = lab.accepted("small", &connect)?;
    small.subscribe(&topic, 1)?;
    let mut one = lab.subscriber("one", &topic, 1)?;
    let mut two = lab.subscriber("two", &topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    let large = "x".repeat(300);
    for qos in [0, 1] {
        for payload in [large.as_str(), "y"] {
            publisher.publish(&lab.publish(&topic, payload).qos(qos, 0))?;
            one.message(&topic, payload)?;
            two.message(&topic, payload)?;
        }
        small.message(&topic, "y")?;
    }
    Ok(())
}

/// Optional: a server need not have a maximum.
fn of_server(lab: &Lab) -> Outcome {
    let (mut client, connack) = lab.accepted("large", &lab.connect("large"))?;
    let Some(maximum) = connack.properties.number(0x27).filter(|maximum| *maximum < 200_000_000) else {
        return Err(client.mismatch("a maximum packet size", format!("{connack:?}")));
    };
    // Its header says enough.
    let header = frame(0x30, &[]);
    client.send(&[&header[..1], &wire::varint(maximum as usize)].concat());
    client.send(&[0; 64]);
    let reason = client.closed("a packet over the maximum")?;
    client.check(reason.is_none_or(|reason| reason == 0x95), "0x95", format!("{reason:02x?}"))
}
