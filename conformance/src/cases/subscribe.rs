//! SUBSCRIBE and SUBACK (sections 3.8, 3.9).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{self, field, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("subscribe", "suback", "SUBACK has the packet identifier and the granted QoS", suback)
        .v311(&["3.8.4-1", "3.8.4-2", "2.3.1-7", "3.8.4-5"])
        .v5(&["3.8.4-1", "3.8.4-2", "2.2.1-6", "3.8.4-7"]),
    Case::new("subscribe", "several-filters", "SUBACK has one code for each filter, in order", several)
        .v311(&["3.8.4-4", "3.8.4-5", "3.9.3-1", "3.9.3-2"])
        .v5(&["3.8.4-5", "3.8.4-6", "3.9.3-1", "3.9.3-2"]),
    Case::new("subscribe", "qos", "Messages come at the lower QoS of publication and subscription", qos)
        .v311(&["3.8.4-6"])
        .v5(&["3.8.4-8"]),
    Case::new("subscribe", "replaced", "The same filter again replaces the subscription", replaced)
        .v311(&["3.8.4-3"])
        .v5(&["3.8.4-3"]),
    Case::new("subscribe", "replaced-without-loss", "Replacing a subscription loses no message", replaced_without_loss)
        .v311(&["3.8.4-3"])
        .v5(&["3.8.4-4"]),
    Case::new(
        "subscribe",
        "same-filter-twice",
        "One SUBSCRIBE may name a filter twice: the last one counts",
        same_twice,
    )
    .v311(&["3.8.4-4"])
    .v5(&["3.8.4-5"]),
    Case::new(
        "subscribe",
        "overlapping",
        "Overlapping subscriptions: at least one copy at the highest QoS",
        overlapping,
    )
    .v311(&["3.3.5-1"])
    .v5(&["3.3.4-2"]),
    Case::new("subscribe", "overlapping-one-copy", "and one copy only", overlapping_one_copy)
        .v311(&["§3.3.5"])
        .v5(&["§3.3.4"])
        .optional(),
    Case::new("subscribe", "fixed-header", "The flags must be 0010", flags)
        .v311(&["3.8.1-1", "2.2.2-2"])
        .v5(&["3.8.1-1"]),
    Case::new("subscribe", "no-filter", "A SUBSCRIBE without a filter closes the connection", no_filter)
        .v311(&["3.8.3-3"])
        .v5(&["3.8.3-2"]),
    Case::new("subscribe", "reserved-bits", "Reserved bits of the options close the connection", reserved_bits)
        .v311(&["3-8.3-4"])
        .v5(&["3.8.3-5"]),
    Case::new("subscribe", "qos-3", "QoS 3 closes the connection", qos_3).v311(&["3-8.3-4"]).v5(&["§3.8.3.1"]),
    Case::new("subscribe", "retain-handling-3", "Retain Handling 3 closes the connection", handling_3)
        .v5(&["§3.8.3.1"]),
    Case::new("subscribe", "id-zero", "Packet identifier 0 closes the connection", id_zero)
        .v311(&["2.3.1-1"])
        .v5(&["2.2.1-3"]),
    Case::new("subscribe", "filter-utf8", "An ill-formed filter closes the connection", filter_utf8)
        .v311(&["3.8.3-1", "1.5.3-1", "4.7.3-2"])
        .v5(&["3.8.3-1", "1.5.4-1", "4.7.3-2"]),
    Case::new("subscribe", "cut-short", "A filter without options closes the connection", cut_short)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new("subscribe", "bad-filters", "Filters with misplaced wildcards are refused", bad_filters)
        .v311(&["4.7.1-2", "4.7.1-3", "4.7.3-1"])
        .v5(&["4.7.1-1", "4.7.1-2", "4.7.3-1"]),
    Case::new("subscribe", "subscription-id", "Messages carry the identifier of their subscription", sub_id)
        .v5(&["3.3.4-3", "3.3.4-4"]),
    Case::new(
        "subscribe",
        "subscription-id-changes",
        "Subscribing again changes or removes the identifier",
        sub_id_changes,
    )
    .v5(&["3.8.4-3"]),
    Case::new("subscribe", "subscription-ids-overlapping", "The identifiers of all that overlap are there", sub_ids)
        .v5(&["3.3.4-3", "3.3.4-4", "3.3.4-5"]),
    Case::new(
        "subscribe",
        "subscription-id-kept",
        "A session keeps its identifiers, and so do waiting messages",
        sub_id_kept,
    )
    .v5(&["§4.1", "3.3.4-3"]),
    Case::new("subscribe", "subscription-id-retained", "Retained messages carry the identifier", sub_id_retained)
        .v5(&["3.3.4-3"]),
    Case::new("subscribe", "subscription-id-zero", "Identifier 0, or two of them, close the connection", sub_id_zero)
        .v5(&["§3.8.2.1.2"]),
    Case::new("subscribe", "subscription-id-largest", "268,435,455 is an identifier", sub_id_largest)
        .v5(&["§3.8.2.1.2"]),
    Case::new("subscribe", "no-local", "No Local keeps out one's own messages, and only those", no_local)
        .v5(&["3.8.3-3"]),
    Case::new(
        "subscribe",
        "no-local-overlapping",
        "Another subscription without No Local still gets them",
        no_local_overlap,
    )
    .v5(&["3.8.3-3", "3.3.4-2"]),
    Case::new("subscribe", "no-local-after-reconnect", "No Local belongs to the session", no_local_kept)
        .v5(&["3.8.3-3"]),
    Case::new("subscribe", "no-local-shared", "No Local on a shared subscription is an error", no_local_shared)
        .v5(&["3.8.3-4"]),
    Case::new("subscribe", "user-properties", "User properties of SUBSCRIBE are accepted", user_properties)
        .v5(&["§3.8.2.1.3"]),
    Case::new("subscribe", "many-filters", "A SUBSCRIBE with hundreds of filters is answered whole", many)
        .v311(&["3.8.4-5"])
        .v5(&["3.8.4-6"]),
];

fn suback(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    for (id, qos) in [(1, 0), (77, 1), (65_535, 2)] {
        client.send(&wire::subscribe(lab.version, id, &[], &[(&lab.topic("a"), qos)]));
        let packet = client.next("SUBACK")?;
        let answer = client.read("SUBACK", packet.codes(0x90, lab.version))?;
        let right = answer.id == id && answer.codes.len() == 1 && answer.codes[0] <= qos;
        client.check(right, format!("identifier {id}, QoS {qos}"), format!("{answer:?}"))?;
    }
    Ok(())
}

fn several(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    let names: Vec<String> = (0..6).map(|n| lab.topic(&n.to_string())).collect();
    let qos = [2, 0, 1, 1, 0, 2];
    let filters: Vec<(&str, u8)> = names.iter().map(String::as_str).zip(qos).collect();
    let codes = client.subscribe_all(&[], &filters)?;
    client.check(codes == qos, format!("{qos:?}"), format!("{codes:?}"))
}

fn qos(lab: &Lab) -> Outcome {
    let mut publisher = lab.client("publisher")?;
    for subscribed in [0, 1, 2] {
        let topic = lab.topic(&format!("a{subscribed}"));
        let mut subscriber = lab.subscriber("subscriber", &topic, subscribed)?;
        for published in [0, 1, 2] {
            publisher.publish(&lab.publish(&topic, "x").qos(published, 0))?;
            let message = subscriber.message(&topic, "x")?;
            let lower = published.min(subscribed);
            subscriber.check(message.qos == lower, format!("QoS {lower}"), format!("{message:?}"))?;
        }
    }
    Ok(())
}

fn replaced(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1, 2] {
        subscriber.subscribe(&topic, qos)?;
        publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
        let message = subscriber.message(&topic, "x")?;
        subscriber.check(message.qos == qos, format!("QoS {qos}"), format!("{message:?}"))?;
    }
    subscriber.silent("one copy: one subscription")
}

fn replaced_without_loss(lab: &Lab) -> Outcome {
    const COUNT: u16 = 60;
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for n in 1..=COUNT {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(1, 0))?;
        if n % 10 == 0 {
            subscriber.send(&wire::subscribe(lab.version, n, &[], &[(&topic, 1)]));
        }
    }
    let mut next = 1;
    while next <= COUNT {
        let packet = subscriber.next("every message")?;
        if packet.kind() == 3 {
            let message = subscriber.read("PUBLISH", packet.publish(lab.version))?;
            let right = message.payload == next.to_string().as_bytes();
            subscriber.check(right, format!("message {next}"), format!("{message:?}"))?;
            subscriber.accept(&message)?;
            next += 1;
        }
    }
    Ok(())
}

fn same_twice(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.client("subscriber")?;
    let codes = subscriber.subscribe_all(&[], &[(&topic, 2), (&topic, 0)])?;
    subscriber.check(codes == [2, 0], "two codes", format!("{codes:?}"))?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    let message = subscriber.message(&topic, "x")?;
    subscriber.check(message.qos == 0, "QoS 0", format!("{message:?}"))?;
    subscriber.silent("one copy")
}

fn overlapping(lab: &Lab) -> Outcome {
    let topic = lab.topic("a/b");
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut subscriber = lab.client("subscriber")?;
        let filters = [&topic, &lab.topic("a/+"), &lab.topic("#")];
        for (filter, qos) in filters.into_iter().zip(order) {
            subscriber.subscribe(filter, qos)?;
        }
        let mut publisher = lab.client("publisher")?;
        publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
        let reached = lab.reached(&mut publisher, &mut subscriber)?;
        let highest = reached.iter().map(|message| message.qos).max();
        subscriber.check(highest == Some(2), "one copy at QoS 2", format!("{reached:?}"))?;
    }
    Ok(())
}

fn overlapping_one_copy(lab: &Lab) -> Outcome {
    let topic = lab.topic("a/b");
    let mut subscriber = lab.client("subscriber")?;
    subscriber.subscribe_all(&[], &[(&topic, 0), (&lab.topic("a/+"), 2), (&lab.topic("a/#"), 1)])?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1, 2] {
        publisher.publish(&lab.publish(&topic, "x").qos(qos, 0))?;
    }
    let reached = lab.reached(&mut publisher, &mut subscriber)?;
    let seen: Vec<u8> = reached.iter().map(|message| message.qos).collect();
    subscriber.check(seen == [0, 1, 2], "one copy of each message", format!("{reached:?}"))
}

fn closes(lab: &Lab, wanted: &str, bytes: &[u8], reasons: &[u8]) -> Outcome {
    let mut client = lab.client("bad")?;
    client.send(bytes);
    client.closed_for(wanted, reasons)
}

fn flags(lab: &Lab) -> Outcome {
    for first in [0x80, 0x81, 0x83, 0x86, 0x8A] {
        let mut bytes = wire::subscribe(lab.version, 1, &[], &[(&lab.topic("a"), 0)]);
        bytes[0] = first;
        closes(lab, &format!("SUBSCRIBE as 0x{first:02x}"), &bytes, &[0x81])?;
    }
    Ok(())
}

fn no_filter(lab: &Lab) -> Outcome {
    closes(lab, "no filter", &wire::subscribe(lab.version, 1, &[], &[]), &[0x81, 0x82])
}

fn reserved_bits(lab: &Lab) -> Outcome {
    let bits: &[u8] = if lab.is_v5() { &[0x40, 0x80, 0xC1] } else { &[0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xFC] };
    for &options in bits {
        let bytes = wire::subscribe(lab.version, 1, &[], &[(&lab.topic("a"), options)]);
        closes(lab, &format!("options 0x{options:02x}"), &bytes, &[0x81, 0x82])?;
    }
    Ok(())
}

fn qos_3(lab: &Lab) -> Outcome {
    closes(lab, "QoS 3", &wire::subscribe(lab.version, 1, &[], &[(&lab.topic("a"), 3)]), &[0x81, 0x82])
}

fn handling_3(lab: &Lab) -> Outcome {
    closes(lab, "retain handling 3", &wire::subscribe(lab.version, 1, &[], &[(&lab.topic("a"), 0x30)]), &[0x81, 0x82])
}

fn id_zero(lab: &Lab) -> Outcome {
    closes(lab, "packet identifier 0", &wire::subscribe(lab.version, 0, &[], &[(&lab.topic("a"), 0)]), &[0x81, 0x82])
}

fn raw_filter(lab: &Lab, filter: &[u8]) -> Vec<u8> {
    let properties = if lab.is_v5() { vec![0] } else { Vec::new() };
    frame(0x82, &[vec![0, 1], properties, field(filter), vec![0]].concat())
}

fn filter_utf8(lab: &Lab) -> Outcome {
    let bad: [&[u8]; 4] = [&[b'a', 0xC3, 0x28], &[0xED, 0xB0, 0x80], b"a\0b", &[0xF5, 0x80, 0x80, 0x80]];
    for filter in bad {
        closes(lab, &format!("filter {filter:02x?}"), &raw_filter(lab, filter), &[0x81, 0x82, 0x8F])?;
    }
    Ok(())
}

fn cut_short(lab: &Lab) -> Outcome {
    let whole = raw_filter(lab, b"abc");
    for less in [1, 2, 4] {
        let body = &whole[2..whole.len() - less];
        closes(lab, "a SUBSCRIBE that ends too soon", &frame(0x82, body), &[0x81, 0x82])?;
    }
    Ok(())
}

/// Refused with a code or with the end of the connection.
fn bad_filters(lab: &Lab) -> Outcome {
    for filter in ["a#", "a/#/b", "##", "#/a", "a+", "+a", "a/b+", "a/+b/c", "++", ""] {
        let mut client = lab.client("bad")?;
        client.send(&wire::subscribe(lab.version, 1, &[], &[(filter, 0)]));
        client.refused_subscribe(&format!("filter \"{filter}\""))?;
    }
    Ok(())
}

fn sub_id(lab: &Lab) -> Outcome {
    let (a, b, c) = (lab.topic("a"), lab.topic("b/+"), lab.topic("c"));
    let mut subscriber = lab.client("subscriber")?;
    subscriber.subscribe_all(&property::subscription_id(1), &[(&a, 1)])?;
    subscriber.subscribe_all(&property::subscription_id(200_000), &[(&b, 1)])?;
    subscriber.subscribe(&c, 1)?;
    let mut publisher = lab.client("publisher")?;
    for (topic, ids) in [(&a, &[1][..]), (&lab.topic("b/x"), &[200_000]), (&c, &[])] {
        for qos in [0, 1] {
            publisher.publish(&lab.publish(topic, "x").qos(qos, 0))?;
            let message = subscriber.message(topic, "x")?;
            let seen = message.properties.numbers(0x0B);
            subscriber.check(seen == ids, format!("identifiers {ids:?}"), format!("{message:?}"))?;
        }
    }
    Ok(())
}

fn sub_id_changes(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.client("subscriber")?;
    let mut publisher = lab.client("publisher")?;
    for (properties, ids) in [
        (property::subscription_id(5), &[5][..]),
        (property::subscription_id(6), &[6]),
        (Vec::new(), &[]),
        (property::subscription_id(7), &[7]),
    ] {
        subscriber.subscribe_all(&properties, &[(&topic, 1)])?;
        publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
        let message = subscriber.message(&topic, "x")?;
        let seen = message.properties.numbers(0x0B);
        subscriber.check(seen == ids, format!("identifiers {ids:?}"), format!("{message:?}"))?;
    }
    Ok(())
}

fn sub_ids(lab: &Lab) -> Outcome {
    let topic = lab.topic("a/b");
    let mut subscriber = lab.client("subscriber")?;
    subscriber.subscribe_all(&property::subscription_id(1), &[(&topic, 0)])?;
    subscriber.subscribe_all(&property::subscription_id(2), &[(&lab.topic("a/+"), 1)])?;
    subscriber.subscribe_all(&property::subscription_id(3), &[(&lab.topic("x"), 1)])?;
    subscriber.subscribe(&lab.topic("+/b"), 0)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let reached = lab.reached(&mut publisher, &mut subscriber)?;
    let mut ids: Vec<u32> = reached.iter().flat_map(|message| message.properties.numbers(0x0B)).collect();
    ids.sort_unstable();
    subscriber.check(ids == [1, 2], "identifiers 1 and 2, over all copies", format!("{reached:?}"))?;
    if let [one] = &reached[..] {
        subscriber.check(one.qos == 1, "QoS 1", format!("{one:?}"))?;
    }
    Ok(())
}

fn sub_id_kept(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut subscriber, _) = lab.persistent("subscriber")?;
    subscriber.subscribe_all(&property::subscription_id(9), &[(&topic, 1)])?;
    subscriber.disconnect()?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    let (mut subscriber, _) = lab.persistent("subscriber")?;
    publisher.publish(&lab.publish(&topic, "2").qos(1, 0))?;
    for text in ["1", "2"] {
        let message = subscriber.message(&topic, text)?;
        let seen = message.properties.numbers(0x0B);
        subscriber.check(seen == [9], "identifier 9", format!("{message:?}"))?;
    }
    Ok(())
}

fn sub_id_retained(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0).retain())?;
    for qos in [0, 1] {
        let mut subscriber = lab.client("subscriber")?;
        subscriber.subscribe_all(&property::subscription_id(9), &[(&topic, qos)])?;
        let message = subscriber.message(&topic, "x")?;
        let seen = message.properties.numbers(0x0B);
        subscriber.check(seen == [9], "identifier 9", format!("{message:?}"))?;
    }
    Ok(())
}

fn sub_id_zero(lab: &Lab) -> Outcome {
    let twice = [property::subscription_id(1), property::subscription_id(2)].concat();
    for properties in [property::subscription_id(0), twice, vec![0x0B, 0x80, 0x80, 0x80, 0x80, 1]] {
        let bytes = wire::subscribe(lab.version, 1, &properties, &[(&lab.topic("a"), 0)]);
        closes(lab, &format!("properties {properties:02x?}"), &bytes, &[0x81, 0x82])?;
    }
    Ok(())
}

fn sub_id_largest(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.client("subscriber")?;
    subscriber.subscribe_all(&property::subscription_id(268_435_455), &[(&topic, 0)])?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x"))?;
    let message = subscriber.message(&topic, "x")?;
    let seen = message.properties.numbers(0x0B);
    subscriber.check(seen == [268_435_455], "the identifier", format!("{message:?}"))
}

fn no_local(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = lab.subscriber("client", &topic, 0x06)?;
    let mut other = lab.subscriber("other", &topic, 0x02)?;
    for qos in [0, 1, 2] {
        client.publish(&lab.publish(&topic, "own").qos(qos, 0))?;
        other.message(&topic, "own")?;
        other.publish(&lab.publish(&topic, "other").qos(qos, 0))?;
        client.message(&topic, "other")?;
        other.message(&topic, "other")?;
    }
    client.silent("none of one's own")
}

fn no_local_overlap(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = lab.client("client")?;
    client.subscribe_all(&property::subscription_id(1), &[(&topic, 0x06)])?;
    client.subscribe_all(&property::subscription_id(2), &[(&lab.topic("+"), 0x01)])?;
    client.publish(&lab.publish(&topic, "own").qos(2, 0))?;
    let message = client.message(&topic, "own")?;
    let ids = message.properties.numbers(0x0B);
    let right = message.qos == 1 && ids == [2];
    client.check(right, "only what the second subscription asks for: QoS 1, identifier 2", format!("{message:?}"))?;
    client.silent("one copy")
}

fn no_local_kept(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.persistent("client")?;
    client.subscribe(&topic, 0x05)?;
    client.disconnect()?;
    let (mut client, _) = lab.persistent("client")?;
    client.publish(&lab.publish(&topic, "own").qos(1, 0))?;
    client.silent("none of one's own")?;
    // Taken over: the session is the same, and so is the client identifier.
    let (mut newer, _) = lab.persistent("client")?;
    newer.publish(&lab.publish(&topic, "own").qos(1, 0))?;
    newer.silent("none of one's own")
}

fn no_local_shared(lab: &Lab) -> Outcome {
    let filter = format!("$share/g/{}", lab.topic("a"));
    closes(lab, "No Local shared", &wire::subscribe(lab.version, 1, &[], &[(&filter, 0x04)]), &[0x82])
}

fn user_properties(lab: &Lab) -> Outcome {
    let list = [property::user_property("a", "1"), property::user_property("a", "2")].concat();
    let mut client = lab.client("client")?;
    let codes = client.subscribe_all(&list, &[(&lab.topic("a"), 1)])?;
    client.check(codes == [1], "granted", format!("{codes:02x?}"))
}

fn many(lab: &Lab) -> Outcome {
    const COUNT: usize = 500;
    let topics: Vec<String> = (0..COUNT).map(|n| lab.topic(&format!("m/{n}"))).collect();
    let filters: Vec<(&str, u8)> =
        topics.iter().enumerate().map(|(n, topic)| (topic.as_str(), (n % 3) as u8)).collect();
    let mut client = lab.client("client")?;
    let codes = client.subscribe_all(&[], &filters)?;
    let wanted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
    client.check(codes == wanted, "every code in order", format!("{} codes", codes.len()))?;
    lab.client("publisher")?.publish(&lab.publish(&topics[COUNT - 1], "x"))?;
    client.message(&topics[COUNT - 1], "x").map(drop)
}
