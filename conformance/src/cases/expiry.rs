//! Message expiry (sections 3.3.2.3.3, 4.3.3).

use std::thread::sleep;
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::wire::{self, Publish, property};

pub(super) const CASES: &[Case] = &[
    Case::new("expiry", "at-once", "A message that does not wait keeps its whole interval", at_once).v5(&["3.3.2-6"]),
    Case::new("expiry", "waiting", "What has waited arrives with what is left of its interval", waiting)
        .v5(&["3.3.2-6"]),
    Case::new("expiry", "expired", "What has waited too long is not delivered; the rest is, in order", expired)
        .v5(&["3.3.2-5"]),
    Case::new("expiry", "retained", "Retained messages expire", retained).v5(&["3.3.2-5", "3.3.2-6"]),
    Case::new("expiry", "in-flight", "What has been sent does not expire, and is sent again", in_flight)
        .v5(&["4.3.3-7", "4.4.0-1"]),
    Case::new("expiry", "flow-goes-on", "The flow of an expired message goes on with its publisher", flow_goes_on)
        .v5(&["4.3.3-13"]),
];

fn expiring(lab: &Lab, topic: &str, payload: &str, seconds: u32) -> Publish {
    lab.publish(topic, payload).qos(1, 0).with(property::message_expiry(seconds))
}

fn away(lab: &Lab, topic: &str) -> Outcome {
    let (mut client, _) = lab.persistent("away")?;
    client.subscribe(topic, 2)?;
    client.disconnect()
}

fn check_left(client: &Client, message: &crate::received::Incoming, left: std::ops::RangeInclusive<u32>) -> Outcome {
    let fits = message.properties.number(0x02).is_some_and(|seconds| left.contains(&seconds));
    client.check(fits, format!("message expiry of {left:?} s"), format!("{message:?}"))
}

fn at_once(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    for qos in [0, 1] {
        let publish = Publish { qos, ..expiring(lab, &topic, "x", 100) };
        publisher.publish(&publish)?;
        let message = subscriber.message(&topic, "x")?;
        check_left(&subscriber, &message, 99..=100)?;
    }
    Ok(())
}

fn waiting(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    away(lab, &topic)?;
    lab.client("publisher")?.publish(&expiring(lab, &topic, "x", 100))?;
    sleep(Duration::from_millis(2_200));
    let (mut client, _) = lab.persistent("away")?;
    let message = client.message(&topic, "x")?;
    check_left(&client, &message, 90..=98)
}

fn expired(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    away(lab, &topic)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&expiring(lab, &topic, "1", 1))?;
    publisher.publish(&lab.publish(&topic, "2").qos(1, 0))?;
    publisher.publish(&expiring(lab, &topic, "3", 1).qos(2, 0))?;
    publisher.publish(&expiring(lab, &topic, "4", 100))?;
    sleep(Duration::from_millis(2_500));
    let (mut client, _) = lab.persistent("away")?;
    client.message(&topic, "2")?;
    client.message(&topic, "4")?;
    client.silent("the others have expired")
}

fn retained(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    lab.client("publisher")?.publish(&expiring(lab, &topic, "x", 4).retain())?;
    let mut early = lab.subscriber("early", &topic, 1)?;
    let message = early.message(&topic, "x")?;
    check_left(&early, &message, 3..=4)?;
    sleep(Duration::from_millis(5_500));
    lab.subscriber("late", &topic, 1)?.silent("it has expired")
}

fn in_flight(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.persistent("away")?;
    client.subscribe(&topic, 2)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&expiring(lab, &topic, "1", 1))?;
    publisher.publish(&expiring(lab, &topic, "2", 1).qos(2, 0))?;
    publisher.publish(&expiring(lab, &topic, "3", 100))?;
    let first = [client.incoming("1")?, client.incoming("2")?, client.incoming("3")?];
    sleep(Duration::from_millis(2_500));
    client.vanish()?;
    let (mut client, _) = lab.persistent("away")?;
    for wanted in &first {
        let again = client.incoming("the message again")?;
        let same = again.id == wanted.id && again.payload == wanted.payload && again.dup;
        client.check(same, format!("{wanted:?} with DUP"), format!("{again:?}"))?;
        if again.payload == b"3" {
            check_left(&client, &again, 80..=98)?;
        }
        client.accept(&again)?;
    }
    Ok(())
}

fn flow_goes_on(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    away(lab, &topic)?;
    let mut publisher = lab.client("publisher")?;
    publisher.send(&expiring(lab, &topic, "x", 1).qos(2, 5).bytes());
    publisher.acknowledged(0x50, 5)?;
    sleep(Duration::from_millis(2_000));
    publisher.send(&wire::ack(0x62, 5));
    publisher.acknowledged(0x70, 5).map(drop)
}
