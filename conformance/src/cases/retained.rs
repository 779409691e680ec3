//! Retained messages (sections 3.3.1.3, 3.8.3.1).

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};

pub(super) const CASES: &[Case] = &[
    Case::new("retained", "kept", "A retained message reaches a later subscriber with RETAIN 1", kept)
        .v311(&["3.3.1-5", "3.3.1-6", "3.3.1-8"])
        .v5(&["3.3.1-5", "3.3.1-9"]),
    Case::new("retained", "qos", "It is delivered at the lower of its QoS and the subscription's", qos)
        .v311(&["3.3.1-5", "3.8.4-6"])
        .v5(&["3.3.1-5", "3.8.4-8"]),
    Case::new("retained", "replaced", "The last one counts", replaced).v311(&["3.3.1-6"]).v5(&["3.3.1-5"]),
    Case::new("retained", "replaced-by-qos-0", "A QoS 0 message replaces an older one", replaced_by_qos_0)
        .v311(&["3.3.1-7"])
        .v5(&["3.3.1-5"]),
    Case::new("retained", "deleted", "An empty payload deletes it, and is delivered as a message", deleted)
        .v311(&["3.3.1-10", "3.3.1-11"])
        .v5(&["3.3.1-6", "3.3.1-7"]),
    Case::new(
        "retained",
        "plain-leaves-it",
        "A message without RETAIN neither replaces nor deletes it",
        plain_leaves_it,
    )
    .v311(&["3.3.1-12"])
    .v5(&["3.3.1-8"]),
    Case::new("retained", "wildcards", "Filters with wildcards get all that match, each once", wildcards)
        .v311(&["3.3.1-6", "3.3.2-3"])
        .v5(&["3.3.1-9", "3.3.2-3"]),
    Case::new("retained", "hidden-topics", "Leading wildcards do not match retained topics with $", hidden)
        .v311(&["4.7.2-1"])
        .v5(&["4.7.2-1"]),
    Case::new("retained", "subscribed-again", "Subscribing again sends it again", subscribed_again)
        .v311(&["3.8.4-3"])
        .v5(&["3.8.4-4", "3.3.1-9"]),
    Case::new("retained", "several-filters", "Every filter of a SUBSCRIBE gets its own", several_filters)
        .v311(&["3.8.4-4"])
        .v5(&["3.8.4-5"]),
    Case::new("retained", "survives-reconnect", "It is not sent again when a session resumes", not_on_resume)
        .v311(&["3.3.1-6"])
        .v5(&["3.3.1-9"]),
    Case::new("retained", "waits-for-session", "Sent at QoS 1 and not acknowledged, it is sent again", waits)
        .v311(&["4.4.0-1"])
        .v5(&["4.4.0-1"]),
    Case::new("retained", "handling-1", "Retain Handling 1: only when the subscription is new", handling_1)
        .v5(&["3.3.1-10"]),
    Case::new("retained", "handling-2", "Retain Handling 2: never", handling_2).v5(&["3.3.1-11"]),
    Case::new("retained", "handling-1-after-unsubscribe", "After UNSUBSCRIBE a subscription is new", handling_1_anew)
        .v5(&["3.3.1-10"]),
    Case::new("retained", "as-published", "Retain As Published keeps the flag of live messages", as_published)
        .v5(&["3.3.1-13", "3.3.1-12"]),
    Case::new(
        "retained",
        "as-published-replayed",
        "What is sent for a new subscription has RETAIN 1 either way",
        replayed,
    )
    .v5(&["§3.3.1.3"]),
    Case::new("retained", "not-for-shared", "A shared subscription gets no retained messages", not_for_shared)
        .v5(&["§4.8.2"]),
    Case::new("retained", "not-own-with-no-local", "No Local keeps out one's own retained messages too", no_local)
        .v5(&["3.8.3-3"]),
    Case::new(
        "retained",
        "unsubscribed-at-once",
        "SUBSCRIBE and UNSUBSCRIBE in one segment leave nothing behind",
        at_once,
    )
    .v311(&["3.10.4-2"])
    .v5(&["3.10.4-2"]),
    Case::new("retained", "many", "Hundreds of retained messages arrive, each once", many)
        .v311(&["3.3.1-6"])
        .v5(&["3.3.1-9"]),
];

fn keep(lab: &Lab, topic: &str, payload: &str, qos: u8) -> Outcome<Client> {
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(topic, payload).qos(qos, 0).retain())?;
    publisher.silent("published")?;
    Ok(publisher)
}

fn kept(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut late = lab.subscriber("late", &topic, 1)?;
    let message = late.message(&topic, "x")?;
    late.check(message.retain && !message.dup, "RETAIN 1", format!("{message:?}"))?;
    late.silent("once")?;
    // Not retained any more is how it goes to the others.
    keep(lab, &topic, "y", 1)?;
    let message = late.message(&topic, "y")?;
    late.check(!message.retain, "RETAIN 0", format!("{message:?}"))
}

fn qos(lab: &Lab) -> Outcome {
    for (published, subscribed) in [(0, 2), (1, 0), (1, 1), (2, 1), (2, 2)] {
        let topic = lab.retained_topic(&format!("a{published}{subscribed}"));
        keep(lab, &topic, "x", published)?;
        let mut late = lab.subscriber("late", &topic, subscribed)?;
        let message = late.message(&topic, "x")?;
        let lower = published.min(subscribed);
        late.check(message.qos == lower, format!("QoS {lower}"), format!("{message:?}"))?;
    }
    Ok(())
}

fn replaced(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut publisher = keep(lab, &topic, "1", 1)?;
    for text in ["2", "3"] {
        publisher.publish(&lab.publish(&topic, text).qos(2, 0).retain())?;
    }
    let mut late = lab.subscriber("late", &topic, 2)?;
    late.message(&topic, "3")?;
    late.silent("only the last")
}

fn replaced_by_qos_0(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "1", 1)?;
    keep(lab, &topic, "2", 0)?;
    let mut late = lab.subscriber("late", &topic, 1)?;
    // A server may forget a QoS 0 message, but not bring the older one back.
    let reached = lab.reached(&mut lab.client("other")?, &mut late)?;
    let texts: Vec<_> = reached.iter().map(|message| String::from_utf8_lossy(&message.payload)).collect();
    late.check(texts.is_empty() || texts == ["2"], "the newer message or none", format!("{texts:?}"))
}

fn deleted(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut early = lab.subscriber("early", &topic, 1)?;
    early.message(&topic, "x")?;
    keep(lab, &topic, "", 1)?;
    let message = early.message(&topic, "")?;
    early.check(!message.retain, "RETAIN 0", format!("{message:?}"))?;
    lab.subscriber("late", &topic, 1)?.silent("it was deleted")?;
    // Once more, where there is nothing to delete.
    keep(lab, &topic, "", 0)?;
    early.message(&topic, "")?;
    lab.subscriber("late", &topic, 1)?.silent("an empty message is not retained")
}

fn plain_leaves_it(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut publisher = keep(lab, &topic, "x", 1)?;
    publisher.publish(&lab.publish(&topic, "y").qos(1, 0))?;
    publisher.publish(&lab.publish(&topic, "").qos(1, 0))?;
    let mut late = lab.subscriber("late", &topic, 1)?;
    late.message(&topic, "x")?;
    late.silent("once")
}

fn payloads(lab: &Lab, client: &mut Client) -> Outcome<Vec<String>> {
    let reached = lab.reached(&mut lab.client("other")?, client)?;
    let own = reached.iter().filter(|message| lab.is_own(&message.topic));
    let mut texts: Vec<String> = own.map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect();
    texts.sort();
    Ok(texts)
}

/// Retained messages may come from several places of a server: waits until as many have come.
fn retained_texts(client: &mut Client, count: usize) -> Outcome<Vec<String>> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let message = client.incoming(&format!("{count} retained messages"))?;
        client.check(message.retain, "RETAIN 1", format!("{message:?}"))?;
        texts.push(String::from_utf8_lossy(&message.payload).into_owned());
        client.accept(&message)?;
    }
    texts.sort();
    Ok(texts)
}

fn wildcards(lab: &Lab) -> Outcome {
    for name in ["a", "a/b", "a/b/c", "d/b", "a/"] {
        keep(lab, &lab.retained_topic(name), name, 1)?;
    }
    let sets: [(&str, &[&str]); 6] = [
        ("#", &["a", "a/", "a/b", "a/b/c", "d/b"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c"]),
        ("+/b", &["a/b", "d/b"]),
        ("a/+", &["a/", "a/b"]),
        ("+", &["a"]),
        ("+/+/c", &["a/b/c"]),
    ];
    for (filter, wanted) in sets {
        let mut late = lab.subscriber("late", &lab.topic(filter), 1)?;
        let texts = retained_texts(&mut late, wanted.len())?;
        late.check(texts == wanted, format!("{wanted:?} for \"{filter}\""), format!("{texts:?}"))?;
        std::thread::sleep(std::time::Duration::from_millis(50));
        late.silent("each once")?;
    }
    Ok(())
}

/// Optional in effect: a server may refuse topics with `$` from clients, and then has nothing to hide.
fn hidden(lab: &Lab) -> Outcome {
    let topic = format!("${}", lab.retained_topic("a"));
    let mut publisher = lab.client("publisher")?;
    publisher.send(&lab.publish(&topic, "x").qos(1, 1).retain().bytes());
    if publisher.acknowledged(0x40, 1).is_err() {
        return Ok(());
    }
    let mut late = lab.subscriber("late", "+/a", 1)?;
    let texts = payloads(lab, &mut late)?;
    late.check(texts.is_empty(), format!("\"{topic}\" hidden from \"+/a\""), format!("{texts:?}"))?;
    publisher.publish(&lab.publish(&topic, "").qos(1, 2).retain()).map(drop)
}

fn subscribed_again(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut late = lab.subscriber("late", &topic, 0)?;
    let message = late.message(&topic, "x")?;
    late.check(message.qos == 0 && message.retain, "QoS 0, RETAIN 1", format!("{message:?}"))?;
    late.subscribe(&topic, 1)?;
    let message = late.message(&topic, "x")?;
    late.check(message.qos == 1 && message.retain, "QoS 1, RETAIN 1", format!("{message:?}"))?;
    late.silent("once for each SUBSCRIBE")
}

fn several_filters(lab: &Lab) -> Outcome {
    let (a, b) = (lab.retained_topic("a"), lab.retained_topic("b"));
    keep(lab, &a, "1", 1)?;
    keep(lab, &b, "2", 1)?;
    let mut late = lab.client("late")?;
    late.subscribe_all(&[], &[(&a, 1), (&b, 0)])?;
    let texts = retained_texts(&mut late, 2)?;
    late.check(texts == ["1", "2"], "both messages", format!("{texts:?}"))
}

fn not_on_resume(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let (mut late, _) = lab.persistent("late")?;
    late.subscribe(&topic, 1)?;
    late.message(&topic, "x")?;
    late.disconnect()?;
    let (mut late, _) = lab.persistent("late")?;
    let texts = payloads(lab, &mut late)?;
    late.check(texts.is_empty(), "no retained message without SUBSCRIBE", format!("{texts:?}"))
}

fn waits(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let (mut late, _) = lab.persistent("late")?;
    late.subscribe(&topic, 1)?;
    let first = late.incoming("the retained message")?;
    late.vanish()?;
    let (mut late, _) = lab.persistent("late")?;
    let again = late.message(&topic, "x")?;
    late.check(again.dup && again.retain && again.id == first.id, "DUP, RETAIN, the same id", format!("{again:?}"))
}

fn handling_1(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut late = lab.subscriber("late", &topic, 0x11)?;
    late.message(&topic, "x")?;
    late.subscribe(&topic, 0x10)?;
    let texts = payloads(lab, &mut late)?;
    late.check(texts.is_empty(), "nothing: the subscription existed", format!("{texts:?}"))
}

fn handling_2(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut late = lab.subscriber("late", &topic, 0x21)?;
    let texts = payloads(lab, &mut late)?;
    late.check(texts.is_empty(), "nothing: Retain Handling is 2", format!("{texts:?}"))?;
    keep(lab, &topic, "y", 1)?;
    late.message(&topic, "y").map(drop)
}

fn handling_1_anew(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut late = lab.subscriber("late", &topic, 0x11)?;
    late.message(&topic, "x")?;
    late.unsubscribe(&[&topic])?;
    late.subscribe(&topic, 0x11)?;
    late.message(&topic, "x").map(drop)
}

fn as_published(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut keeps = lab.subscriber("keeps", &topic, 0x09)?;
    let mut clears = lab.subscriber("clears", &topic, 0x01)?;
    let mut publisher = lab.client("publisher")?;
    for (qos, retain) in [(0, true), (0, false), (1, true), (1, false), (2, true)] {
        let mut publish = lab.publish(&topic, "x").qos(qos, 0);
        publish.retain = retain;
        publisher.publish(&publish)?;
        let message = keeps.message(&topic, "x")?;
        keeps.check(message.retain == retain, format!("RETAIN {retain}"), format!("{message:?}"))?;
        let message = clears.message(&topic, "x")?;
        clears.check(!message.retain, "RETAIN 0", format!("{message:?}"))?;
    }
    // The flag comes with the delete as well.
    publisher.publish(&lab.publish(&topic, "").retain())?;
    let message = keeps.message(&topic, "")?;
    keeps.check(message.retain, "RETAIN 1", format!("{message:?}"))
}

fn replayed(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    for options in [0x00, 0x08] {
        let mut late = lab.subscriber("late", &topic, options)?;
        let message = late.message(&topic, "x")?;
        late.check(message.retain, format!("RETAIN 1 with options 0x{options:02x}"), format!("{message:?}"))?;
    }
    Ok(())
}

fn not_for_shared(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    let mut member = lab.subscriber("member", &format!("$share/{}/{topic}", lab.id("g")), 1)?;
    let texts = payloads(lab, &mut member)?;
    member.check(texts.is_empty(), "no retained message for a shared subscription", format!("{texts:?}"))
}

fn no_local(lab: &Lab) -> Outcome {
    let (own, other) = (lab.retained_topic("own"), lab.retained_topic("other"));
    keep(lab, &other, "2", 1)?;
    let mut client = lab.client("client")?;
    client.publish(&lab.publish(&own, "1").qos(1, 0).retain())?;
    client.subscribe_all(&[], &[(&own, 0x05), (&other, 0x05)])?;
    client.message(&other, "2")?;
    let texts = payloads(lab, &mut client)?;
    client.check(texts.is_empty(), "not one's own message", format!("{texts:?}"))
}

fn at_once(lab: &Lab) -> Outcome {
    use crate::wire;
    let topic = lab.retained_topic("a");
    keep(lab, &topic, "x", 1)?;
    for _ in 0..20 {
        let mut client = lab.client("late")?;
        client.send(
            &[wire::subscribe(lab.version, 1, &[], &[(&topic, 1)]), wire::unsubscribe(lab.version, 2, &[&topic])]
                .concat(),
        );
        client.wait_for("SUBACK", |packet| packet.first == 0x90)?;
        // Sent before UNSUBACK it is in order; after it nothing may follow.
        let mut packet = client.next("UNSUBACK")?;
        while packet.kind() == 3 {
            packet = client.next("UNSUBACK")?;
        }
        client.read("UNSUBACK", packet.codes(0xB0, lab.version))?;
        std::thread::sleep(std::time::Duration::from_millis(5));
        client.silent("unsubscribed")?;
    }
    Ok(())
}

fn many(lab: &Lab) -> Outcome {
    const COUNT: usize = 300;
    let mut publisher = lab.client("publisher")?;
    for n in 0..COUNT {
        publisher.publish(&lab.publish(&lab.retained_topic(&format!("m/{n}")), n.to_string()).qos(1, 0).retain())?;
    }
    let mut late = lab.subscriber("late", &lab.topic("m/+"), 1)?;
    let mut numbers: Vec<usize> =
        retained_texts(&mut late, COUNT)?.iter().filter_map(|text| text.parse().ok()).collect();
    numbers.sort_unstable();
    late.check(numbers == (0..COUNT).collect::<Vec<_>>(), "each once", format!("{numbers:?}"))?;
    late.silent("each once")
}
