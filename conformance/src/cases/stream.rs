//! Packets do not care how the stream is cut (section 4.2).

use std::thread::sleep;
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire;

pub(super) const CASES: &[Case] = &[
    Case::new("stream", "byte-by-byte", "A whole conversation in segments of one byte", byte_by_byte)
        .v311(&["7.1.1-1"])
        .v5(&["4.2.0-1"]),
    Case::new("stream", "many-in-one", "Hundreds of packets in one segment", many_in_one)
        .v311(&["7.1.1-1"])
        .v5(&["4.2.0-1"]),
    Case::new("stream", "odd-cuts", "Packets cut at every place", odd_cuts).v311(&["7.1.1-1"]).v5(&["4.2.0-1"]),
    Case::new("stream", "half-a-packet", "Half a packet holds nobody up, and its end comes to nothing", half_a_packet)
        .v311(&["§4.2"])
        .v5(&["§4.2"]),
];

fn byte_by_byte(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = lab.open("slow")?;
    let conversation = [
        lab.connect("slow").bytes(),
        wire::subscribe(lab.version, 1, &[], &[(&topic, 2)]),
        lab.publish(&topic, "some payload").qos(1, 2).bytes(),
        wire::PINGREQ.to_vec(),
    ];
    for byte in conversation.concat() {
        client.send(&[byte]);
        sleep(Duration::from_micros(300));
    }
    client.wait_for("CONNACK", |packet| packet.first == 0x20)?;
    client.wait_for("SUBACK", |packet| packet.first == 0x90)?;
    client.acknowledged(0x40, 2)?;
    client.message(&topic, "some payload")?;
    client.expect(wire::PINGRESP)
}

fn many_in_one(lab: &Lab) -> Outcome {
    const COUNT: u16 = 400;
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    let packet = |n: u16| [lab.publish(&topic, n.to_string()).bytes(), wire::PINGREQ.to_vec()].concat();
    publisher.send(&(1..=COUNT).map(packet).collect::<Vec<_>>().concat());
    (1..=COUNT).try_for_each(|_| publisher.expect(wire::PINGRESP))?;
    (1..=COUNT).try_for_each(|n| subscriber.message(&topic, &n.to_string()).map(drop))
}

fn odd_cuts(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    let pair = [lab.publish(&topic, "1").bytes(), lab.publish(&topic, "2").bytes()].concat();
    for cut in 1..pair.len() {
        publisher.send(&pair[..cut]);
        sleep(Duration::from_millis(1));
        publisher.send(&pair[cut..]);
        subscriber.message(&topic, "1")?;
        subscriber.message(&topic, "2")?;
    }
    Ok(())
}

fn half_a_packet(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    let mut stuck = lab.client("stuck")?;
    let whole = lab.publish(&topic, "half").bytes();
    stuck.send(&whole[..whole.len() - 2]);
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    subscriber.message(&topic, "x")?;
    stuck.vanish()?;
    lab.nothing_reached(&mut publisher, &mut subscriber, "half a packet is none")
}
