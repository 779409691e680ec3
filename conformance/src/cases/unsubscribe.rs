//! UNSUBSCRIBE and UNSUBACK (sections 3.10, 3.11).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{self, field, frame};

pub(super) const CASES: &[Case] = &[
    Case::new("unsubscribe", "unsuback", "UNSUBACK has the packet identifier", unsuback)
        .v311(&["3.10.4-4", "2.3.1-7"])
        .v5(&["3.10.4-4", "3.10.4-5", "2.2.1-6"]),
    Case::new("unsubscribe", "no-more-messages", "No messages come after UNSUBACK", no_more)
        .v311(&["3.10.4-1", "3.10.4-2"])
        .v5(&["3.10.4-1", "3.10.4-2"]),
    Case::new("unsubscribe", "of-nothing", "Unsubscribing from nothing is answered", of_nothing)
        .v311(&["3.10.4-5"])
        .v5(&["3.10.4-5", "3.11.3-2"]),
    Case::new("unsubscribe", "reason-codes", "UNSUBACK has one code for each filter, in order", codes)
        .v5(&["3.11.3-1", "3.11.3-2", "3.10.4-6"]),
    Case::new("unsubscribe", "several", "Several filters are answered once", several)
        .v311(&["3.10.4-6"])
        .v5(&["3.10.4-6"]),
    Case::new(
        "unsubscribe",
        "exact-text",
        "A filter is compared by its characters, not by what it matches",
        exact_text,
    )
    .v311(&["3.10.4-1"])
    .v5(&["3.10.4-1"]),
    Case::new("unsubscribe", "delivery-completed", "What was being delivered is completed", completed)
        .v311(&["3.10.4-3"])
        .v5(&["3.10.4-3"]),
    Case::new("unsubscribe", "fixed-header", "The flags must be 0010", flags).v311(&["3.10.1-1"]).v5(&["3.10.1-1"]),
    Case::new("unsubscribe", "no-filter", "An UNSUBSCRIBE without a filter closes the connection", no_filter)
        .v311(&["3.10.3-2"])
        .v5(&["3.10.3-2"]),
    Case::new("unsubscribe", "filter-utf8", "An ill-formed filter closes the connection", filter_utf8)
        .v311(&["3.10.3-1", "1.5.3-1"])
        .v5(&["3.10.3-1", "1.5.4-1"]),
    Case::new("unsubscribe", "id-zero", "Packet identifier 0 closes the connection", id_zero)
        .v311(&["2.3.1-1"])
        .v5(&["2.2.1-3"]),
];

fn unsuback(lab: &Lab) -> Outcome {
    let mut client = lab.subscriber("a", &lab.topic("a"), 0)?;
    for id in [1, 300, 65_535] {
        client.send(&wire::unsubscribe(lab.version, id, &[&lab.topic("a")]));
        let packet = client.next("UNSUBACK")?;
        let answer = client.read("UNSUBACK", packet.codes(0xB0, lab.version))?;
        client.check(answer.id == id, format!("identifier {id}"), format!("{answer:?}"))?;
        let count = usize::from(lab.is_v5());
        client.check(answer.codes.len() == count, format!("{count} codes"), format!("{answer:?}"))?;
    }
    Ok(())
}

fn no_more(lab: &Lab) -> Outcome {
    let (topic, wild) = (lab.topic("a/b"), lab.topic("a/+"));
    let mut subscriber = lab.client("subscriber")?;
    subscriber.subscribe_all(&[], &[(&topic, 1), (&wild, 1)])?;
    subscriber.unsubscribe(&[&topic])?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    subscriber.message(&topic, "x")?;
    subscriber.unsubscribe(&[&wild])?;
    publisher.publish(&lab.publish(&topic, "y").qos(1, 0))?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "unsubscribed")
}

fn of_nothing(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    let codes = client.unsubscribe(&[&lab.topic("a")])?;
    let wanted: &[u8] = if lab.is_v5() { &[0x11] } else { &[] };
    client.check(codes == wanted, format!("{wanted:02x?}"), format!("{codes:02x?}"))
}

fn codes(lab: &Lab) -> Outcome {
    let (a, b) = (lab.topic("a"), lab.topic("b"));
    let mut client = lab.subscriber("a", &a, 0)?;
    client.subscribe(&b, 0)?;
    let codes = client.unsubscribe(&[&lab.topic("c"), &b, &lab.topic("d"), &a, &a])?;
    client.check(codes == [0x11, 0, 0x11, 0, 0x11], "[11, 00, 11, 00, 11]", format!("{codes:02x?}"))
}

fn several(lab: &Lab) -> Outcome {
    let names: Vec<String> = (0..4).map(|n| lab.topic(&n.to_string())).collect();
    let filters: Vec<(&str, u8)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    let mut subscriber = lab.client("subscriber")?;
    subscriber.subscribe_all(&[], &filters)?;
    subscriber.unsubscribe(&[&names[0], &names[1], &names[3]])?;
    subscriber.silent("one UNSUBACK")?;
    let mut publisher = lab.client("publisher")?;
    for name in &names {
        publisher.publish(&lab.publish(name, "x").qos(1, 0))?;
    }
    subscriber.message(&names[2], "x")?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "unsubscribed from the others")
}

fn exact_text(lab: &Lab) -> Outcome {
    let topic = lab.topic("a/b");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    subscriber.unsubscribe(&[&lab.topic("a/+"), &lab.topic("#"), &lab.topic("a/B"), &lab.topic("a/b/")])?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    subscriber.message(&topic, "x").map(drop)
}

fn completed(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, _) = lab.persistent("subscriber")?;
    subscriber.subscribe(&topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    publisher.publish(&lab.publish(&topic, "2").qos(2, 0))?;
    let (one, two) = (subscriber.incoming("1")?, subscriber.incoming("2")?);
    subscriber.unsubscribe(&[&topic])?;
    subscriber.vanish()?;
    let (mut subscriber, _) = lab.persistent("subscriber")?;
    for first in [one, two] {
        let again = subscriber.incoming("the message again")?;
        subscriber.check(again.id == first.id && again.dup, format!("{first:?} with DUP"), format!("{again:?}"))?;
        subscriber.accept(&again)?;
    }
    subscriber.silent("completed")
}

fn closes(lab: &Lab, wanted: &str, bytes: &[u8], reasons: &[u8]) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(bytes);
    client.closed_for(wanted, reasons)
}

fn flags(lab: &Lab) -> Outcome {
    for first in [0xA0, 0xA1, 0xA3, 0xAA] {
        let mut bytes = wire::unsubscribe(lab.version, 1, &[&lab.topic("a")]);
        bytes[0] = first;
        closes(lab, &format!("UNSUBSCRIBE as 0x{first:02x}"), &bytes, &[0x81])?;
    }
    Ok(())
}

fn no_filter(lab: &Lab) -> Outcome {
    closes(lab, "no filter", &wire::unsubscribe(lab.version, 1, &[]), &[0x81, 0x82])
}

fn filter_utf8(lab: &Lab) -> Outcome {
    let properties = if lab.is_v5() { vec![0] } else { Vec::new() };
    for filter in [&[b'a', 0xFF][..], b"a\0"] {
        let bytes = frame(0xA2, &[vec![0, 1], properties.clone(), field(filter)].concat());
        closes(lab, &format!("filter {filter:02x?}"), &bytes, &[0x81, 0x82, 0x8F])?;
    }
    Ok(())
}

fn id_zero(lab: &Lab) -> Outcome {
    closes(lab, "packet identifier 0", &wire::unsubscribe(lab.version, 0, &[&lab.topic("a")]), &[0x81, 0x82])
}
