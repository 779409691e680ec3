//! Shared subscriptions (section 4.8.2).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::wire::{self, property};

pub(super) const CASES: &[Case] = &[
    Case::new("shared", "one-receiver", "Each message goes to one member", one_receiver).v5(&["4.8.2-1", "§4.8.2"]),
    Case::new("shared", "balanced", "Members take turns", balanced).v5(&["§4.8.2"]).optional(),
    Case::new("shared", "3.1.1", "Clients of 3.1.1 may share too", one_receiver).v311(&["§4.8.2 of 5.0"]).optional(),
    Case::new("shared", "groups", "Each group gets every message, and so do plain subscribers", groups).v5(&["§4.8.2"]),
    Case::new("shared", "own-plain-subscription", "A member's plain subscription is another one", own_plain)
        .v5(&["§4.8.2"]),
    Case::new("shared", "qos", "Each member gets the QoS that it was granted", qos).v5(&["4.8.2-3"]),
    Case::new("shared", "wildcards", "The filter may have wildcards", wildcards).v5(&["4.8.2-2"]),
    Case::new("shared", "subscription-id", "Messages carry the member's identifier", sub_id).v5(&["3.3.4-3"]),
    Case::new("shared", "leaving", "Who unsubscribes gets no more; the others get all", leaving).v5(&["§4.8.2"]),
    Case::new("shared", "vanishing", "What a member with a clean session leaves goes to the others", vanishing)
        .v5(&["§4.8.2"]),
    Case::new("shared", "offline-waits", "QoS 1 messages wait where all members are offline", offline_waits)
        .v5(&["4.5.0-1"]),
    Case::new("shared", "qos-2-completed", "A QoS 2 delivery is completed to the same member", qos_2_completed)
        .v5(&["4.8.2-4"]),
    Case::new("shared", "session-ends", "A QoS 2 delivery that began is not moved to another member", session_ends)
        .v5(&["4.8.2-5"]),
    Case::new(
        "shared",
        "undelivered-moved",
        "What a member did not acknowledge at QoS 1, or was not sent, goes to another when its session ends",
        moved,
    )
    .v5(&["§4.8.2"])
    .optional(),
    Case::new("shared", "refused-not-moved", "A refused message is not given to another member", refused)
        .v5(&["4.8.2-6"]),
    Case::new("shared", "retain-flag", "Live messages have RETAIN 0", retain_flag).v5(&["3.3.1-12"]),
    Case::new("shared", "subscribed-twice", "Subscribing again makes no second member", twice).v5(&["§4.8.2"]),
    Case::new("shared", "bad-names", "Share names without filter, empty or with wildcards are refused", bad_names)
        .v5(&["4.8.2-1", "4.8.2-2"]),
    Case::new("shared", "unsuback", "UNSUBSCRIBE takes the whole text", unsuback).v5(&["3.10.4-1"]),
];

/// How long what was sent to a member that had gone may take to come to another.
const MOVED_WITHIN: Duration = Duration::from_secs(10);

/// Members of one group, each with its own connection.
fn members(lab: &Lab, count: usize, filter: &str, options: u8) -> Outcome<Vec<Client>> {
    (0..count).map(|n| lab.subscriber(&format!("m{n}"), filter, options)).collect()
}

fn share(lab: &Lab, topic: &str) -> String {
    format!("$share/{}/{topic}", lab.id("g"))
}

/// What each member got of messages `0..count`, which all together must be each message once.
fn collect(lab: &Lab, publisher: &mut Client, members: &mut [Client], count: usize) -> Outcome<Vec<Vec<usize>>> {
    let mut got = Vec::new();
    let mut all = BTreeMap::new();
    for member in members.iter_mut() {
        let reached = lab.reached(publisher, member)?;
        let numbers: Vec<usize> =
            reached.iter().filter_map(|message| String::from_utf8_lossy(&message.payload).parse().ok()).collect();
        numbers.iter().for_each(|number| *all.entry(*number).or_insert(0) += 1);
        got.push(numbers);
    }
    let right = all.len() == count && all.values().all(|&times| times == 1);
    publisher.check(right, format!("each of {count} messages to one member"), format!("{got:?}"))?;
    Ok(got)
}

fn one_receiver(lab: &Lab) -> Outcome {
    const COUNT: usize = 30;
    let topic = lab.topic("a");
    let mut members = members(lab, 3, &share(lab, &topic), 0)?;
    let mut publisher = lab.client("publisher")?;
    for n in 0..COUNT {
        publisher.publish(&lab.publish(&topic, n.to_string()))?;
    }
    collect(lab, &mut publisher, &mut members, COUNT).map(drop)
}

fn balanced(lab: &Lab) -> Outcome {
    const COUNT: usize = 60;
    let topic = lab.topic("a");
    let mut members = members(lab, 4, &share(lab, &topic), 0)?;
    let mut publisher = lab.client("publisher")?;
    for n in 0..COUNT {
        publisher.publish(&lab.publish(&topic, n.to_string()))?;
    }
    let got = collect(lab, &mut publisher, &mut members, COUNT)?;
    let fair = got.iter().all(|numbers| numbers.len() == COUNT / 4);
    publisher.check(fair, "fifteen to each member", format!("{got:?}"))
}

fn groups(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut first = lab.subscriber("first", &share(lab, &topic), 1)?;
    let mut second = lab.subscriber("second", &format!("$share/{}/{topic}", lab.id("h")), 1)?;
    let mut plain = lab.subscriber("plain", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for text in ["1", "2", "3"] {
        publisher.publish(&lab.publish(&topic, text).qos(1, 0))?;
        first.message(&topic, text)?;
        second.message(&topic, text)?;
        plain.message(&topic, text)?;
    }
    Ok(())
}

fn own_plain(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut member = lab.subscriber("member", &share(lab, &topic), 1)?;
    member.subscribe(&topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let mut qos: Vec<u8> = lab.reached(&mut publisher, &mut member)?.iter().map(|message| message.qos).collect();
    qos.sort_unstable();
    member.check(qos == [0, 1], "one copy for each subscription", format!("QoS {qos:?}"))
}

fn qos(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    for granted in [0, 1, 2] {
        let mut member = lab.subscriber("member", &share(lab, &topic), granted)?;
        let mut publisher = lab.client("publisher")?;
        for published in [0, 1, 2] {
            publisher.publish(&lab.publish(&topic, "x").qos(published, 0))?;
            let message = member.message(&topic, "x")?;
            let lower = granted.min(published);
            member.check(message.qos == lower, format!("QoS {lower}"), format!("{message:?}"))?;
        }
        member.disconnect()?;
    }
    Ok(())
}

fn wildcards(lab: &Lab) -> Outcome {
    const COUNT: usize = 12;
    let mut members = members(lab, 2, &share(lab, &lab.topic("+/b/#")), 0)?;
    let mut publisher = lab.client("publisher")?;
    for n in 0..COUNT {
        publisher.publish(&lab.publish(&lab.topic(&format!("{n}/b/c")), n.to_string()))?;
        publisher.publish(&lab.publish(&lab.topic(&format!("{n}/c")), "none"))?;
    }
    collect(lab, &mut publisher, &mut members, COUNT).map(drop)
}

fn sub_id(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut publisher = lab.client("publisher")?;
    for id in [7, 8] {
        let mut member = lab.client("member")?;
        member.subscribe_all(&property::subscription_id(id), &[(&share(lab, &topic), 1)])?;
        publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
        let message = member.message(&topic, "x")?;
        let seen = message.properties.numbers(0x0B);
        member.check(seen == [id as u32], format!("identifier {id}"), format!("{message:?}"))?;
        member.disconnect()?;
    }
    Ok(())
}

fn leaving(lab: &Lab) -> Outcome {
    const COUNT: usize = 10;
    let topic = lab.topic("a");
    let filter = share(lab, &topic);
    let mut members = members(lab, 3, &filter, 0)?;
    let mut publisher = lab.client("publisher")?;
    for left in [0, 1] {
        members[left].unsubscribe(&[&filter])?;
        for n in 0..COUNT {
            publisher.publish(&lab.publish(&topic, n.to_string()))?;
        }
        let got = collect(lab, &mut publisher, &mut members, COUNT)?;
        members[left].check(got[left].is_empty(), "nothing for who has left", format!("{got:?}"))?;
    }
    members[2].unsubscribe(&[&filter])?;
    publisher.publish(&lab.publish(&topic, "x"))?;
    lab.nothing_reached(&mut publisher, &mut members[2], "everyone has left")
}

/// The server learns late that a connection broke off: what it sent there meanwhile comes to the others later.
fn vanishing(lab: &Lab) -> Outcome {
    const COUNT: usize = 10;
    let topic = lab.topic("a");
    let mut members = members(lab, 4, &share(lab, &topic), 1)?;
    let mut publisher = lab.client("publisher")?;
    members.pop().map_or(Ok(()), Client::vanish)?;
    members.pop().map_or(Ok(()), Client::disconnect)?;
    for n in 0..COUNT {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(1, 0))?;
    }
    let (start, mut got) = (Instant::now(), Vec::new());
    while got.len() < COUNT && start.elapsed() < MOVED_WITHIN {
        for member in &mut members {
            got.extend(lab.reached(&mut publisher, member)?.into_iter().map(|message| message.payload));
        }
    }
    got.sort();
    let wanted: Vec<Vec<u8>> = (0..COUNT).map(|n| n.to_string().into_bytes()).collect();
    publisher.check(got == wanted, format!("each of {COUNT} messages to one member"), format!("{got:?}"))
}

fn offline_waits(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut member, _) = lab.persistent("member")?;
    member.subscribe(&share(lab, &topic), 1)?;
    member.disconnect()?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let (mut member, _) = lab.persistent("member")?;
    member.message(&topic, "x").map(drop)
}

fn qos_2_completed(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut first, _) = lab.persistent("first")?;
    first.subscribe(&share(lab, &topic), 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    let message = first.incoming("x")?;
    let mut second = lab.subscriber("second", &share(lab, &topic), 2)?;
    first.vanish()?;
    let (mut first, _) = lab.persistent("first")?;
    let again = first.incoming("x again")?;
    first.check(again.id == message.id && again.dup, "the same with DUP", format!("{again:?}"))?;
    first.accept(&again)?;
    second.silent("the other member had it")
}

fn session_ends(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut first = lab.subscriber("first", &share(lab, &topic), 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(2, 0))?;
    first.incoming("x")?;
    let mut second = lab.subscriber("second", &share(lab, &topic), 2)?;
    first.vanish()?;
    std::thread::sleep(Duration::from_millis(200));
    second.silent("the delivery to the other member had begun")
}

fn moved(lab: &Lab) -> Outcome {
    for (qos, not_moved) in [(1, 0), (2, 1)] {
        let topic = lab.topic("a");
        let connect = lab.connect("first").with(property::receive_maximum(1));
        let (mut first, _) = lab.accepted("first", &connect)?;
        first.subscribe(&share(lab, &topic), qos)?;
        let mut publisher = lab.client("publisher")?;
        for text in ["1", "2", "3"] {
            publisher.publish(&lab.publish(&topic, text).qos(qos, 0))?;
        }
        // The delivery of one has begun, the others wait for it.
        first.incoming("1")?;
        let mut second = lab.subscriber("second", &share(lab, &topic), qos)?;
        first.vanish()?;
        for text in ["1", "2", "3"].iter().skip(not_moved) {
            second.message(&topic, text)?;
        }
        second.silent("nothing else")?;
        second.disconnect()?;
    }
    Ok(())
}

fn refused(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut members = members(lab, 2, &share(lab, &topic), 2)?;
    let mut publisher = lab.client("publisher")?;
    for (n, (qos, ack)) in [(1, 0x40), (2, 0x50), (1, 0x40), (2, 0x50)].into_iter().enumerate() {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(qos, 0))?;
        let mut found = 0;
        for member in &mut members {
            for message in lab.reached(&mut publisher, member)? {
                found += 1;
                member.send(&wire::ack_with(ack, message.id, 0x83));
                member.silent("refused")?;
            }
        }
        for member in &mut members {
            found += lab.reached(&mut publisher, member)?.len();
        }
        publisher.check(found == 1, "one delivery, although it was refused", format!("{found} deliveries"))?;
    }
    Ok(())
}

fn retain_flag(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut member = lab.subscriber("member", &share(lab, &topic), 1)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0).retain())?;
    let message = member.message(&topic, "x")?;
    member.check(!message.retain, "RETAIN 0", format!("{message:?}"))
}

fn twice(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut members = members(lab, 2, &share(lab, &topic), 0)?;
    members[0].subscribe(&share(lab, &topic), 1)?;
    let mut publisher = lab.client("publisher")?;
    for n in 0..6 {
        publisher.publish(&lab.publish(&topic, n.to_string()))?;
    }
    collect(lab, &mut publisher, &mut members, 6)?;
    members[0].unsubscribe(&[&share(lab, &topic)])?;
    for n in 0..6 {
        publisher.publish(&lab.publish(&topic, n.to_string()))?;
    }
    let got = collect(lab, &mut publisher, &mut members, 6)?;
    publisher.check(got[0].is_empty(), "nothing for who has left", format!("{got:?}"))
}

fn bad_names(lab: &Lab) -> Outcome {
    for filter in ["$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/g#/a", "$share/"] {
        let mut client = lab.client("bad")?;
        client.send(&wire::subscribe(lab.version, 1, &[], &[(filter, 0)]));
        client.refused_subscribe(&format!("filter \"{filter}\""))?;
    }
    Ok(())
}

fn unsuback(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut member = lab.subscriber("member", &share(lab, &topic), 1)?;
    let codes = member.unsubscribe(&[&topic, &format!("$share/{}/{topic}", lab.id("h")), &share(lab, &topic)])?;
    member.check(codes == [0x11, 0x11, 0], "[11, 11, 00]", format!("{codes:02x?}"))
}
