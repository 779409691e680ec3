//! Topic aliases (section 3.3.2.3.4).

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::wire::{Publish, property};

pub(super) const CASES: &[Case] = &[
    Case::new("alias", "used", "An alias stands for its topic", used).v5(&["3.3.2-12"]),
    Case::new("alias", "changed", "An alias can be given to another topic", changed).v5(&["§3.3.2.3.4"]),
    Case::new("alias", "largest", "Every alias up to the maximum works", largest).v5(&["3.3.2-12", "3.2.2-17"]),
    Case::new("alias", "all-qos", "Aliases work at every QoS and for retained messages", all_qos).v5(&["3.3.2-12"]),
    Case::new("alias", "per-connection", "An alias ends with its connection", per_connection).v5(&["3.3.2-7"]),
    Case::new("alias", "own-to-each-client", "Each client has its own aliases", own).v5(&["§3.3.2.3.4"]),
    Case::new("alias", "unknown", "An alias that was never set is a protocol error", unknown)
        .v5(&["§3.3.2.3.4", "4.13.1-1"]),
    Case::new("alias", "too-large", "An alias above the maximum closes the connection, 0x94", too_large)
        .v5(&["3.3.2-9", "3.2.2-17", "3.2.2-18"]),
    Case::new("alias", "zero", "Alias 0 closes the connection", zero).v5(&["3.3.2-8"]),
    Case::new("alias", "none-to-client", "A client that takes no aliases gets none", none_to_client).v5(&["3.1.2-27"]),
    Case::new("alias", "to-client-in-range", "Aliases to a client are within its maximum, and known to it", to_client)
        .v5(&["3.1.2-26", "3.3.2-11", "3.3.2-8"]),
];

/// A publisher, and how many aliases the server takes from it. A server that takes none passes the cases about them.
fn publisher(lab: &Lab, name: &str) -> Outcome<(Client, u16)> {
    let (client, connack) = lab.accepted(name, &lab.connect(name))?;
    let maximum = connack.properties.number(0x22).unwrap_or(0) as u16;
    Ok((client, maximum))
}

fn aliased(lab: &Lab, topic: &str, payload: &str, alias: u16) -> Publish {
    lab.publish(topic, payload).with(property::topic_alias(alias))
}

fn used(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let (mut publisher, maximum) = publisher(lab, "publisher")?;
    if maximum == 0 {
        return Ok(());
    }
    publisher.publish(&aliased(lab, &topic, "1", 1))?;
    subscriber.message(&topic, "1")?;
    for text in ["2", "3"] {
        publisher.publish(&aliased(lab, "", text, 1))?;
        subscriber.message(&topic, text)?;
    }
    // The name goes on working, and so does the alias.
    publisher.publish(&lab.publish(&topic, "4"))?;
    publisher.publish(&aliased(lab, "", "5", 1))?;
    subscriber.message(&topic, "4")?;
    subscriber.message(&topic, "5").map(drop)
}

fn changed(lab: &Lab) -> Outcome {
    let (a, b) = (lab.topic("a"), lab.topic("b"));
    let mut subscriber = lab.subscriber("subscriber", &lab.topic("+"), 0)?;
    let (mut publisher, maximum) = publisher(lab, "publisher")?;
    if maximum == 0 {
        return Ok(());
    }
    publisher.publish(&aliased(lab, &a, "1", 1))?;
    publisher.publish(&aliased(lab, &b, "2", 1))?;
    publisher.publish(&aliased(lab, "", "3", 1))?;
    subscriber.message(&a, "1")?;
    subscriber.message(&b, "2")?;
    subscriber.message(&b, "3").map(drop)
}

fn largest(lab: &Lab) -> Outcome {
    let mut subscriber = lab.subscriber("subscriber", &lab.topic("+"), 0)?;
    let (mut publisher, maximum) = publisher(lab, "publisher")?;
    let aliases: Vec<u16> = (1..=maximum.min(20)).chain((maximum > 20).then_some(maximum)).collect();
    for &alias in &aliases {
        publisher.publish(&aliased(lab, &lab.topic(&alias.to_string()), "x", alias))?;
        subscriber.message(&lab.topic(&alias.to_string()), "x")?;
    }
    for &alias in aliases.iter().rev() {
        publisher.publish(&aliased(lab, "", "y", alias))?;
        subscriber.message(&lab.topic(&alias.to_string()), "y")?;
    }
    Ok(())
}

fn all_qos(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 2)?;
    let (mut publisher, maximum) = publisher(lab, "publisher")?;
    if maximum == 0 {
        return Ok(());
    }
    publisher.publish(&aliased(lab, &topic, "1", 1).qos(2, 0))?;
    publisher.publish(&aliased(lab, "", "2", 1).qos(2, 0))?;
    publisher.publish(&aliased(lab, "", "3", 1).qos(1, 0).retain())?;
    for text in ["1", "2", "3"] {
        subscriber.message(&topic, text)?;
    }
    lab.subscriber("late", &topic, 1)?.message(&topic, "3").map(drop)
}

fn per_connection(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut publisher, connack) = lab.accepted("publisher", &lab.connect("publisher").persistent(600))?;
    if connack.properties.number(0x22).unwrap_or(0) == 0 {
        return Ok(());
    }
    publisher.publish(&aliased(lab, &topic, "1", 1).qos(1, 0))?;
    publisher.disconnect()?;
    let (mut publisher, _) = lab.persistent("publisher")?;
    publisher.send(&aliased(lab, "", "2", 1).bytes());
    publisher.closed_for("an alias of an older connection", &[0x82, 0x94])
}

fn own(lab: &Lab) -> Outcome {
    let (a, b) = (lab.topic("a"), lab.topic("b"));
    let mut subscriber = lab.subscriber("subscriber", &lab.topic("+"), 0)?;
    let (mut first, maximum) = publisher(lab, "first")?;
    let (mut second, _) = publisher(lab, "second")?;
    if maximum == 0 {
        return Ok(());
    }
    first.publish(&aliased(lab, &a, "1", 1))?;
    subscriber.message(&a, "1")?;
    second.publish(&aliased(lab, &b, "2", 1))?;
    subscriber.message(&b, "2")?;
    first.publish(&aliased(lab, "", "3", 1))?;
    subscriber.message(&a, "3").map(drop)
}

fn unknown(lab: &Lab) -> Outcome {
    let (mut publisher, _) = publisher(lab, "publisher")?;
    publisher.send(&aliased(lab, "", "x", 1).bytes());
    publisher.closed_for("an unknown alias", &[0x82, 0x94])
}

fn too_large(lab: &Lab) -> Outcome {
    let (mut publisher, maximum) = publisher(lab, "publisher")?;
    let Some(alias) = maximum.checked_add(1) else { return Ok(()) };
    publisher.send(&aliased(lab, &lab.topic("a"), "x", alias).bytes());
    publisher.closed_for("an alias above the maximum", &[0x94, 0x82])
}

fn zero(lab: &Lab) -> Outcome {
    let (mut publisher, _) = publisher(lab, "publisher")?;
    publisher.send(&aliased(lab, &lab.topic("a"), "x", 0).bytes());
    publisher.closed_for("alias 0", &[0x94, 0x82, 0x81])
}

fn none_to_client(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    for connect in [lab.connect("plain"), lab.connect("zero").with(property::topic_alias_maximum(0))] {
        let (mut subscriber, _) = lab.accepted("subscriber", &connect)?;
        subscriber.subscribe(&topic, 1)?;
        let mut publisher = lab.client("publisher")?;
        for _ in 0..4 {
            publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
            let message = subscriber.message(&topic, "x")?;
            subscriber.check(!message.properties.has(0x23), "no alias", format!("{message:?}"))?;
        }
    }
    Ok(())
}

fn to_client(lab: &Lab) -> Outcome {
    let connect = lab.connect("subscriber").with(property::topic_alias_maximum(2));
    let (mut subscriber, _) = lab.accepted("subscriber", &connect)?;
    subscriber.subscribe(&lab.topic("+"), 1)?;
    let mut publisher = lab.client("publisher")?;
    let mut names: [Option<String>; 2] = Default::default();
    for n in 0..40 {
        let topic = lab.topic(&(n % 4).to_string());
        publisher.publish(&lab.publish(&topic, "x").qos(n % 2, 0))?;
        let message = subscriber.incoming("a message")?;
        subscriber.accept(&message)?;
        let named = match message.properties.number(0x23) {
            None => message.topic.clone(),
            Some(alias @ 1..=2) => {
                let known = &mut names[alias as usize - 1];
                if !message.topic.is_empty() {
                    *known = Some(message.topic.clone());
                }
                known.clone().unwrap_or_default()
            }
            Some(alias) => return Err(subscriber.mismatch("an alias of 1 or 2", alias)),
        };
        subscriber.check(named == topic, format!("topic \"{topic}\", named or by alias"), format!("{message:?}"))?;
    }
    Ok(())
}
