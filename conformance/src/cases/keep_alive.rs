//! Keep Alive and PING (sections 3.1.2.10, 3.12).

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire::{self, Will};

pub(super) const CASES: &[Case] = &[
    Case::new("keep-alive", "ping", "PINGREQ is answered by PINGRESP", ping).v311(&["3.12.4-1"]).v5(&["3.12.4-1"]),
    Case::new("keep-alive", "ping-with-body", "A PINGREQ with a body is malformed", ping_with_body)
        .v311(&["4.8.0-1"])
        .v5(&["4.13.1-1"]),
    Case::new(
        "keep-alive",
        "silence-closes",
        "Silence for 1.5 times the interval closes, for less than the interval it does not",
        silence_closes,
    )
    .v311(&["3.1.2-24"])
    .v5(&["3.1.2-22", "3.2.2-22"]),
    Case::new("keep-alive", "silence-publishes-will", "The will of a silent client is published", silence_and_will)
        .v311(&["3.1.2-24", "3.1.2-8"])
        .v5(&["3.1.2-22", "3.1.2-8"]),
    Case::new("keep-alive", "any-packet-counts", "Any packet from the client keeps the connection", any_packet)
        .v311(&["3.1.2-24"])
        .v5(&["3.1.2-22"]),
    Case::new("keep-alive", "server-packets-do-not-count", "What the server sends does not count", server_packets)
        .v311(&["3.1.2-24"])
        .v5(&["3.1.2-22"]),
    Case::new("keep-alive", "zero-is-off", "Keep Alive 0 never closes the connection", zero_is_off)
        .v311(&["§3.1.2.10"])
        .v5(&["§3.1.2.10"]),
];

/// How late a server may be: it need not look at each moment.
const LATE: Duration = Duration::from_secs(8);

fn ping(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    for _ in 0..3 {
        client.send(wire::PINGREQ);
        client.expect(wire::PINGRESP)?;
    }
    client.send(&wire::PINGREQ.repeat(50));
    (0..50).try_for_each(|_| client.expect(wire::PINGRESP))
}

fn ping_with_body(lab: &Lab) -> Outcome {
    let mut client = lab.client("a")?;
    client.send(&[0xC0, 1, 0]);
    client.closed_for("PINGREQ with a body", &[0x81, 0x82])
}

fn silence_closes(lab: &Lab) -> Outcome {
    let (client, _) = lab.accepted("silent", &lab.connect("silent").keep_alive(1))?;
    let (mut client, start) = (client.patient(LATE), Instant::now());
    client.closed_for("silence", &[0x8D])?;
    let took = start.elapsed();
    let limits = Duration::from_millis(1_000)..Duration::from_millis(1_500) + LATE;
    client.check(limits.contains(&took), format!("closed after {limits:?}"), format!("{took:?}"))
}

fn silence_and_will(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?.patient(LATE);
    let will = Will { topic: topic.clone(), payload: b"gone".to_vec(), ..Will::default() };
    let (_client, _) = lab.accepted("silent", &lab.connect("silent").keep_alive(1).will(will))?;
    watcher.message(&topic, "gone").map(drop)
}

fn any_packet(lab: &Lab) -> Outcome {
    let (mut client, _) = lab.accepted("busy", &lab.connect("busy").keep_alive(4))?;
    // Each long before the end, all of it longer than a silent client may stay.
    for round in 0..3 {
        sleep(Duration::from_millis(2_200));
        match round % 3 {
            0 => client.publish(&lab.publish(&lab.topic("a"), "x")).map(drop)?,
            1 => client.silent("no reason to close")?,
            _ => client.subscribe(&lab.topic("b"), 0).map(drop)?,
        }
    }
    client.silent("no reason to close")
}

fn server_packets(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.accepted("silent", &lab.connect("silent").keep_alive(1))?;
    client.subscribe(&topic, 0)?;
    let mut publisher = lab.client("publisher")?;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1_500) + LATE {
        publisher.publish(&lab.publish(&topic, "x"))?;
        match client.next_within(Duration::from_millis(200), "messages or the end") {
            Err(_) => return Ok(()),
            Ok(Some(packet)) if packet.first == 0xE0 => return client.closed("after DISCONNECT").map(drop),
            Ok(_) => {}
        }
    }
    Err(client.mismatch("the connection of a silent client closed", "it stays open"))
}

fn zero_is_off(lab: &Lab) -> Outcome {
    let (mut client, _) = lab.accepted("silent", &lab.connect("silent").keep_alive(0))?;
    sleep(Duration::from_millis(3_500));
    client.silent("Keep Alive is off")
}
