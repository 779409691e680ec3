//! CONNACK (section 3.2).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{Connect, property};

pub(super) const CASES: &[Case] = &[
    Case::new("connack", "bytes", "Success is exactly 20 02 00 00", bytes).v311(&["3.1.4-4", "3.2.0-1"]),
    Case::new("connack", "flags", "Bits 7 to 1 of the flags are 0", flags).v5(&["3.2.2-1", "3.2.2-2"]),
    Case::new("connack", "properties", "Its properties are those of CONNACK, each once, in their ranges", properties)
        .v5(&["§3.2.2.3", "3.2.2-8"]),
    Case::new("connack", "no-response-information", "No response information unless it was asked for", no_response)
        .v5(&["3.1.2-28"]),
    Case::new(
        "connack",
        "no-authentication",
        "No authentication method unless the client named one",
        no_authentication,
    )
    .v5(&["4.12.0-6"]),
    Case::new("connack", "fits-maximum-packet-size", "CONNACK fits the client's maximum packet size", fits)
        .v5(&["3.1.2-24", "3.2.2-19", "3.2.2-20"]),
    Case::new(
        "connack",
        "no-assigned-id-for-the-named",
        "No identifier is assigned to a client that has one",
        no_assigned,
    )
    .v5(&["§3.2.2.3.7"]),
];

fn bytes(lab: &Lab) -> Outcome {
    let mut client = lab.open("a")?;
    client.send(&lab.connect("a").bytes());
    client.expect(&[0x20, 2, 0, 0])
}

fn flags(lab: &Lab) -> Outcome {
    let (client, connack) = lab.accepted("a", &lab.connect("a"))?;
    client.check(connack.flags == 0, "flags 0", format!("{connack:?}"))
}

fn properties(lab: &Lab) -> Outcome {
    let connect = lab.connect("a").with(property::session_expiry(5)).with(property::topic_alias_maximum(5));
    let (client, connack) = lab.accepted("a", &connect)?;
    let list = &connack.properties;
    let allowed =
        [0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A];
    for (id, _) in &list.0 {
        client.check(allowed.contains(id), "properties of CONNACK", format!("0x{id:02x} in {connack:?}"))?;
        let count = list.0.iter().filter(|(other, _)| other == id).count();
        client.check(count == 1 || *id == 0x26, "each property once", format!("{count} of 0x{id:02x}"))?;
    }
    for id in [0x24, 0x25, 0x28, 0x29, 0x2A] {
        client.check(list.number(id).is_none_or(|value| value <= 1), "0 or 1", format!("0x{id:02x} in {connack:?}"))?;
    }
    for id in [0x21, 0x27] {
        client.check(list.number(id) != Some(0), "not 0", format!("0x{id:02x} in {connack:?}"))?;
    }
    Ok(())
}

fn no_response(lab: &Lab) -> Outcome {
    for connect in [lab.connect("a"), lab.connect("b").with(property::request_response_information(0))] {
        let (client, connack) = lab.accepted("a", &connect)?;
        client.check(!connack.properties.has(0x1A), "no response information", format!("{connack:?}"))?;
    }
    let asking = lab.connect("c").with(property::request_response_information(1));
    lab.accepted("c", &asking)?.0.disconnect()
}

fn no_authentication(lab: &Lab) -> Outcome {
    let (client, connack) = lab.accepted("a", &lab.connect("a"))?;
    let none = !connack.properties.has(0x15) && !connack.properties.has(0x16);
    client.check(none, "no authentication properties", format!("{connack:?}"))
}

/// A client that takes next to nothing either gets a CONNACK that fits or none at all.
fn fits(lab: &Lab) -> Outcome {
    for maximum in [4, 8, 12, 20, 40, 100] {
        let mut client = lab.open("tiny")?;
        client.send(&lab.connect("tiny").with(property::maximum_packet_size(maximum)).bytes());
        if let Some(packet) = client.next_or_end("CONNACK, or the end")? {
            let size = 2 + packet.body.len();
            let seen = format!("{size} bytes: {packet}");
            client.check(size <= maximum as usize, format!("no packet over {maximum} bytes"), seen)?;
        }
    }
    Ok(())
}

fn no_assigned(lab: &Lab) -> Outcome {
    let (client, connack) = lab.accepted("named", &Connect::new(lab.version, lab.id("named")))?;
    client.check(!connack.properties.has(0x12), "no assigned client identifier", format!("{connack:?}"))
}
