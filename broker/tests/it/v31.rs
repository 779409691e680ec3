//! MQTT 3.1: named MQIsdp, without numbered statements. What differs from 3.1.1.

use conformance::client::{Client, Outcome};
use conformance::wire::{self, Version, field, frame};

use crate::support::Broker;

/// CONNECT of 3.1 with flags and payload as given.
fn connect(flags: u8, payload: &[&[u8]]) -> Vec<u8> {
    let head = [field("MQIsdp"), vec![3, flags, 0, 0]].concat();
    frame(0x10, &[head, payload.concat()].concat())
}

fn open(broker: &Broker, id: &str, flags: u8) -> Outcome<Client> {
    // After CONNECT the packets of 3.1 are those of 3.1.1.
    let mut client = broker.lab(Version::V311, "v31").open(id)?;
    client.send(&connect(flags, &[&field(id)]));
    client.expect(&[0x20, 2, 0, 0])?;
    Ok(client)
}

#[test]
fn session_is_kept_and_not_announced() -> Outcome {
    let broker = Broker::start(3);
    let lab = broker.lab(Version::V311, "v31");
    let mut client = open(&broker, "keeper", 0)?;
    client.subscribe("t", 2)?;
    client.disconnect()?;
    let mut publisher = open(&broker, "publisher", 2)?;
    for qos in [1, 2] {
        publisher.publish(&lab.publish("t", qos.to_string()).qos(qos, 0))?;
    }
    // Its CONNACK has no session present flag: the second byte is reserved and 0, which `open` checks.
    let mut client = open(&broker, "keeper", 0)?;
    client.message("t", "1")?;
    client.message("t", "2")?;
    client.silent("each once")
}

#[test]
fn client_id_has_at_least_one_character() -> Outcome {
    let broker = Broker::start(1);
    let mut client = broker.lab(Version::V311, "v31").open("nameless")?;
    client.send(&connect(2, &[&field("")]));
    client.expect(&[0x20, 2, 0, 2])?;
    client.closed("identifier rejected")?;
    // More than 23 are let in, as most servers do.
    open(&broker, &"x".repeat(64), 2)?.silent("accepted")
}

#[test]
fn name_and_level_belong_together() -> Outcome {
    let broker = Broker::start(1);
    for (name, level) in [("MQIsdp", 4), ("MQTT", 3), ("MQIsdp", 5), ("MQIsd", 3)] {
        let mut client = broker.lab(Version::V311, "v31").open("odd")?;
        let body = [field(name), vec![level, 2, 0, 0], field("odd")].concat();
        client.send(&frame(0x10, &body));
        if let Some(packet) = client.next_or_end("a refusal or the end")? {
            client.check(packet.first == 0x20 && packet.body[1] == 1, "code 1", packet)?;
            client.closed("refused")?;
        }
    }
    Ok(())
}

/// Section 3.1: without the will flag the other will flags are disregarded, and so is bit 0.
#[test]
fn flags_without_meaning_are_disregarded() -> Outcome {
    let broker = Broker::start(1);
    for flags in [0x03, 0x0A, 0x22, 0x3A] {
        open(&broker, "flags", flags)?.silent("accepted")?;
    }
    Ok(())
}

/// Section 2.1: DUP may be set on SUBSCRIBE, UNSUBSCRIBE and PUBREL.
#[test]
fn requests_may_be_sent_again() -> Outcome {
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V311, "v31");
    let mut client = open(&broker, "again", 2)?;
    let mut subscribe = wire::subscribe(Version::V311, 7, &[], &[("t", 1)]);
    client.send(&subscribe);
    client.expect(&[0x90, 3, 0, 7, 1])?;
    subscribe[0] = 0x8A;
    client.send(&subscribe);
    client.expect(&[0x90, 3, 0, 7, 1])?;
    client.send(&lab.publish("t", "x").qos(2, 5).bytes());
    client.acknowledged(0x50, 5)?;
    client.message("t", "x")?;
    for first in [0x62, 0x6A] {
        client.send(&wire::ack(first, 5));
        client.expect(&[0x70, 2, 0, 5])?;
    }
    client.send(&frame(0xAA, &[&[0, 9][..], &field("t")].concat()));
    client.expect(&[0xB0, 2, 0, 9])
}

#[test]
fn will_is_published() -> Outcome {
    let broker = Broker::start(3);
    let mut watcher = broker.lab(Version::V5, "v31").subscriber("watcher", "will", 1)?;
    let mut client = broker.lab(Version::V311, "v31").open("mortal")?;
    client.send(&connect(0x0E, &[&field("mortal"), &field("will"), &field("gone")]));
    client.expect(&[0x20, 2, 0, 0])?;
    client.vanish()?;
    let message = watcher.message("will", "gone")?;
    watcher.check(message.qos == 1, "QoS 1", format!("{message:?}"))
}
