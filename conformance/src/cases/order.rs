//! Order of messages (section 4.6).

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::wire;

pub(super) const CASES: &[Case] = &[
    Case::new("order", "qos-0", "QoS 0 messages of one client keep their order", qos_0)
        .v311(&["4.6.0-6"])
        .v5(&["4.6.0-5"]),
    Case::new("order", "qos-1", "QoS 1 messages keep their order", qos_1)
        .v311(&["4.6.0-5", "4.6.0-6"])
        .v5(&["4.6.0-5", "4.6.0-6"]),
    Case::new("order", "qos-2", "QoS 2 messages keep their order", qos_2)
        .v311(&["4.6.0-5", "4.6.0-6"])
        .v5(&["4.6.0-5", "4.6.0-6"]),
    Case::new("order", "several-subscribers", "Every subscriber sees the same order", several)
        .v311(&["4.6.0-6"])
        .v5(&["4.6.0-5"]),
    Case::new("order", "over-reconnect", "The order is kept over a lost connection", over_reconnect)
        .v311(&["4.6.0-1", "4.6.0-6"])
        .v5(&["4.6.0-5", "4.4.0-1"]),
];

const COUNT: u16 = 250;

/// `publisher` sends ten messages at a time, which every server takes; `subscribers` read afterwards.
fn flood(lab: &Lab, topic: &str, qos: u8, subscribers: &mut [Client]) -> Outcome {
    let mut publisher = lab.client("publisher")?;
    let numbers: Vec<u16> = (1..=COUNT).collect();
    for chunk in numbers.chunks(10) {
        let packets = chunk.iter().map(|&n| lab.publish(topic, n.to_string()).qos(qos, n).bytes());
        publisher.send(&packets.collect::<Vec<_>>().concat());
        if qos == 1 {
            chunk.iter().try_for_each(|&n| publisher.acknowledged(0x40, n).map(drop))?;
        }
        if qos == 2 {
            chunk.iter().try_for_each(|&n| publisher.acknowledged(0x50, n).map(drop))?;
            chunk.iter().for_each(|&n| publisher.send(&wire::ack(0x62, n)));
            chunk.iter().try_for_each(|&n| publisher.acknowledged(0x70, n).map(drop))?;
        }
    }
    for subscriber in subscribers {
        for n in 1..=COUNT {
            let message = subscriber.message(topic, &n.to_string())?;
            subscriber.check(message.qos == qos, format!("QoS {qos}"), format!("{message:?}"))?;
        }
    }
    Ok(())
}

fn qos_0(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let subscriber = lab.subscriber("subscriber", &topic, 2)?;
    flood(lab, &topic, 0, &mut [subscriber])
}

fn qos_1(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let subscriber = lab.subscriber("subscriber", &topic, 2)?;
    flood(lab, &topic, 1, &mut [subscriber])
}

fn qos_2(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let subscriber = lab.subscriber("subscriber", &topic, 2)?;
    flood(lab, &topic, 2, &mut [subscriber])
}

fn several(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let names = ["one", "two", "three", "four"];
    let mut subscribers = names.map(|name| lab.subscriber(name, &topic, 1)).into_iter().collect::<Outcome<Vec<_>>>()?;
    flood(lab, &topic, 1, &mut subscribers)
}

fn over_reconnect(lab: &Lab) -> Outcome {
    const ALL: u32 = 60;
    let topic = lab.topic("a");
    let (mut subscriber, _) = lab.persistent("subscriber")?;
    subscriber.subscribe(&topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    let mut expected = 0;
    for n in 0..ALL {
        publisher.publish(&lab.publish(&topic, n.to_string()).qos(1, 0))?;
        if n % 20 == 10 {
            // Reads some, acknowledges none, and comes back.
            subscriber.incoming("a message")?;
            subscriber.vanish()?;
            subscriber = lab.persistent("subscriber")?.0;
        }
        if n % 20 == 15 {
            while expected < n {
                subscriber.payload(&expected.to_string())?;
                expected += 1;
            }
        }
    }
    (expected..ALL).try_for_each(|n| subscriber.payload(&n.to_string()).map(drop))
}
