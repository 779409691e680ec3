//! Malformed packets and protocol errors end their own connection and nobody else's (section 4.13).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{self, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("errors", "others-undisturbed", "What one client does wrong does not disturb another", undisturbed)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new("errors", "server-packets", "Packets that only servers send close the connection", server_packets)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new("errors", "reserved-types", "Reserved packet types close the connection", reserved_types)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new("errors", "nothing-after-error", "What follows an error is not acted upon", nothing_after)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new("errors", "before-error-counts", "What came before an error counts", before_counts)
        .v311(&["§4.8"])
        .v5(&["§4.13"]),
    Case::new("errors", "disconnect-flags", "DISCONNECT with flags closes the connection, and the will is due", flags)
        .v311(&["3.14.1-1"])
        .v5(&["3.14.1-1"]),
    Case::new("errors", "after-disconnect", "What follows DISCONNECT is not acted upon", after_disconnect)
        .v311(&["3.14.4-2"])
        .v5(&["3.14.4-1"]),
    Case::new(
        "errors",
        "disconnect-properties",
        "DISCONNECT may carry a reason string and user properties",
        with_properties,
    )
    .v5(&["§3.14.2.2"]),
    Case::new("errors", "disconnect-bad-reason", "DISCONNECT with an unknown reason closes the connection", bad_reason)
        .v5(&["§3.14.2.1"]),
    Case::new("errors", "disconnect-reason-of-server", "A DISCONNECT says why, by a code of its table", reason_given)
        .v5(&["3.14.2-1", "3.14.2-2", "3.14.4-2", "4.13.2-1"]),
    Case::new("errors", "no-disconnect-3.1.1", "A server of 3.1.1 closes without a word", no_disconnect)
        .v311(&["§3.14"]),
    Case::new("errors", "ack-reason-codes", "Acknowledgements with codes outside their tables are errors", ack_codes)
        .v5(&["3.4.2-1", "3.5.2-1", "3.6.2-1", "3.7.2-1"])
        .optional(),
    Case::new("errors", "garbage", "Random bytes close the connection", garbage).v311(&["4.8.0-1"]).v5(&["4.13.1-1"]),
];

fn bad_packets(lab: &Lab) -> Vec<Vec<u8>> {
    vec![
        frame(0x82, &[]),
        frame(0x32, &[0]),
        lab.publish("a/#", "x").bytes(),
        vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        vec![0x00, 0x00],
        frame(0x62, &[]),
        frame(0xA2, &[0, 1, 0, 9, b'x']),
        lab.connect("again").bytes(),
    ]
}

fn undisturbed(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for bad in bad_packets(lab) {
        let mut offender = lab.subscriber("offender", &topic, 1)?;
        offender.send(&bad);
        publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
        subscriber.message(&topic, "x")?;
        // The message may have reached it before the end.
        offender.ended("a bad packet")?;
        subscriber.silent("undisturbed")?;
        publisher.silent("undisturbed")?;
    }
    Ok(())
}

fn closes(lab: &Lab, wanted: &str, bytes: &[u8]) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(bytes);
    client.closed_for(wanted, &[0x81, 0x82])
}

fn server_packets(lab: &Lab) -> Outcome {
    let empty: &[u8] = if lab.is_v5() { &[0] } else { &[] };
    closes(lab, "CONNACK from a client", &frame(0x20, &[&[0, 0], empty].concat()))?;
    closes(lab, "SUBACK from a client", &frame(0x90, &[&[0, 1], empty, &[0]].concat()))?;
    let codes: &[u8] = if lab.is_v5() { &[0, 0] } else { &[] };
    closes(lab, "UNSUBACK from a client", &frame(0xB0, &[&[0, 1], codes].concat()))?;
    closes(lab, "PINGRESP from a client", wire::PINGRESP)
}

fn reserved_types(lab: &Lab) -> Outcome {
    closes(lab, "packet type 0", &[0x00, 0])?;
    closes(lab, "packet type 0 with flags", &[0x0F, 0])?;
    if lab.is_v5() { Ok(()) } else { closes(lab, "packet type 15", &[0xF0, 0]) }
}

fn nothing_after(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let mut offender = lab.client("offender")?;
    offender.send(&[frame(0x82, &[]), lab.publish(&topic, "x").bytes()].concat());
    offender.closed("an empty SUBSCRIBE")?;
    let mut publisher = lab.client("publisher")?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "the connection had ended")
}

fn before_counts(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut offender = lab.client("offender")?;
    offender.send(&[lab.publish(&topic, "x").qos(1, 3).bytes(), frame(0x82, &[])].concat());
    subscriber.message(&topic, "x")?;
    offender.acknowledged(0x40, 3)?;
    offender.closed("an empty SUBSCRIBE").map(drop)
}

fn flags(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    for first in [0xE1, 0xE2, 0xEF] {
        let will = wire::Will { topic: topic.clone(), payload: b"gone".to_vec(), ..wire::Will::default() };
        let (mut client, _) = lab.accepted("bad", &lab.connect("bad").will(will))?;
        client.send(&[first, 0]);
        client.closed_for("DISCONNECT with flags", &[0x81])?;
        watcher.message(&topic, "gone")?;
    }
    Ok(())
}

fn after_disconnect(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let mut leaving = lab.client("leaving")?;
    leaving.send(&[wire::DISCONNECT.to_vec(), lab.publish(&topic, "x").bytes()].concat());
    leaving.closed("DISCONNECT")?;
    let mut publisher = lab.client("publisher")?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "the publisher had left")
}

fn with_properties(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    let will = wire::Will { topic, payload: b"gone".to_vec(), ..wire::Will::default() };
    let (client, _) = lab.accepted("polite", &lab.connect("polite").will(will))?;
    let list = [property::reason_string("enough"), property::user_property("a", "b")].concat();
    client.disconnect_with(&wire::disconnect(0, &list))?;
    let mut publisher = lab.client("publisher")?;
    lab.nothing_reached(&mut publisher, &mut watcher, "a normal disconnection")
}

fn bad_reason(lab: &Lab) -> Outcome {
    for reason in [0x01, 0x03, 0x10, 0x92] {
        let mut client = lab.client("bad")?;
        client.send(&wire::disconnect(reason, &[]));
        client.closed_for(&format!("DISCONNECT with 0x{reason:02x}"), &[0x81, 0x82])?;
    }
    Ok(())
}

/// The codes of DISCONNECT for an error that a server may send (table 3-13 of 5.0).
const OF_A_SERVER: &[u8] = &[
    0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A,
    0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];

fn reason_given(lab: &Lab) -> Outcome {
    for bad in bad_packets(lab) {
        let mut client = lab.client("bad")?;
        client.send(&bad);
        let Some(packet) = client.next_or_end("DISCONNECT or the end")? else { continue };
        let answer = client.read("DISCONNECT", packet.disconnect(lab.version))?;
        let code = answer.codes[0];
        client.check(
            OF_A_SERVER.contains(&code),
            "a code that a server may send for an error",
            format!("{answer:?}"),
        )?;
        client.check(!answer.properties.has(0x11), "no session expiry from a server", format!("{answer:?}"))?;
        client
            .closed("after DISCONNECT")
            .and_then(|second| client.check(second.is_none(), "nothing after DISCONNECT", format!("{second:02x?}")))?;
    }
    Ok(())
}

fn no_disconnect(lab: &Lab) -> Outcome {
    for bad in bad_packets(lab) {
        let mut client = lab.client("bad")?;
        client.send(&bad);
        client.closed("an error")?;
    }
    Ok(())
}

/// Optional: the sender must not, and the receiver may be lenient.
fn ack_codes(lab: &Lab) -> Outcome {
    for (first, code) in [(0x40, 0x01), (0x50, 0x92), (0x62, 0x10), (0x70, 0x80)] {
        closes(lab, &format!("0x{first:02x} with code 0x{code:02x}"), &wire::ack_with(first, 7, code))?;
    }
    Ok(())
}

fn garbage(lab: &Lab) -> Outcome {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..20 {
        let mut bytes: Vec<u8> = (0..200)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        // A complete packet of an odd type first, so that nothing waits for the rest of a long one.
        bytes.splice(0..0, [0x00, 0x00]);
        let mut client = lab.client("noise")?;
        client.send(&bytes);
        client.closed("noise")?;
        let mut fresh = lab.open("noise")?;
        fresh.send(&bytes);
        fresh.closed("noise instead of CONNECT")?;
    }
    Ok(())
}
