//! Will messages (sections 3.1.2.5, 3.1.3.2, 3.14.4).

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::wire::{self, Connect, Will, frame, property};

pub(super) const CASES: &[Case] = &[
    Case::new("will", "on-abnormal-end", "A connection that breaks off publishes the will", on_abnormal_end)
        .v311(&["3.1.2-8"])
        .v5(&["3.1.2-8", "3.1.2-7"]),
    Case::new("will", "not-after-disconnect", "DISCONNECT deletes the will", not_after_disconnect)
        .v311(&["3.1.2-10", "3.14.4-3"])
        .v5(&["3.1.2-10", "3.14.4-3"]),
    Case::new("will", "after-protocol-error", "A connection closed for an error publishes the will", after_error)
        .v311(&["3.1.2-8"])
        .v5(&["3.1.2-8"]),
    Case::new("will", "once", "A will is published once", once).v311(&["3.1.2-10"]).v5(&["3.1.2-10"]),
    Case::new("will", "none", "No will without the will flag", none).v311(&["3.1.2-12"]).v5(&["§3.1.2.5"]),
    Case::new("will", "qos", "The will has its QoS", qos).v311(&["3.1.2-9", "3.1.2-14"]).v5(&["3.1.2-12"]),
    Case::new("will", "retain", "The will is retained if its flag says so", retain)
        .v311(&["3.1.2-16", "3.1.2-17"])
        .v5(&["3.1.2-14", "3.1.2-15"]),
    Case::new("will", "empty-payload", "A will may be empty, and may clear a retained message", empty_payload)
        .v311(&["3.3.1-10"])
        .v5(&["3.3.1-6"]),
    Case::new("will", "on-takeover", "The connection that is taken over publishes its will", on_takeover)
        .v311(&["3.1.2-8"])
        .v5(&["3.1.2-8"]),
    Case::new("will", "disconnect-with-will", "DISCONNECT with 0x04 publishes the will", disconnect_with_will)
        .v5(&["3.1.2-8", "§3.14.2.1"]),
    Case::new("will", "properties", "The will's properties come with it", properties).v5(&["§3.1.3.2", "3.1.3-10"]),
    Case::new("will", "expiry-counts-from-publication", "Its message expiry counts from its publication", expiry)
        .v5(&["§3.1.3.2.4"]),
    Case::new("will", "delay", "The will waits for its delay", delay).v5(&["3.1.2-8"]),
    Case::new("will", "delay-ends-with-session", "The delay ends when the session ends", delay_and_session)
        .v5(&["3.1.2-8"]),
    Case::new(
        "will",
        "delay-cut-by-clean-start",
        "A clean start ends the session and so the delay",
        delay_and_clean_start,
    )
    .v5(&["§3.1.3.2.2"])
    .optional(),
    Case::new("will", "delay-and-return", "A client that returns in time keeps its will unpublished", delay_and_return)
        .v5(&["3.1.3-9"]),
    Case::new("will", "replaced", "The newer connection's will replaces the older one", replaced)
        .v311(&["3.1.2-10"])
        .v5(&["3.1.3-9", "3.1.2-10"]),
    Case::new("will", "in-refused-connect", "The will of a refused CONNECT is not published", in_refused)
        .v311(&["3.1.2-8"])
        .v5(&["3.1.2-7"]),
];

fn with_will(lab: &Lab, name: &str, topic: &str, change: impl FnOnce(&mut Will)) -> Connect {
    let mut will = Will { topic: topic.to_owned(), payload: b"gone".to_vec(), ..Will::default() };
    change(&mut will);
    lab.connect(name).will(will)
}

/// A client that has connected with a will on `topic`, and who watches that topic.
fn pair(lab: &Lab, topic: &str) -> Outcome<(Client, Client)> {
    let watcher = lab.subscriber("watcher", topic, 2)?;
    let (client, _) = lab.accepted("mortal", &with_will(lab, "mortal", topic, |_| ()))?;
    Ok((client, watcher))
}

/// No will comes: other workers or threads of a server had time to publish it.
fn no_will(lab: &Lab, watcher: &mut Client, wanted: &str) -> Outcome {
    sleep(Duration::from_millis(300));
    let mut publisher = lab.client("later")?;
    lab.nothing_reached(&mut publisher, watcher, wanted)
}

fn on_abnormal_end(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let (client, mut watcher) = pair(lab, &topic)?;
    watcher.silent("the client is connected")?;
    client.vanish()?;
    let message = watcher.message(&topic, "gone")?;
    watcher.check(!message.retain && !message.dup, "no flags", format!("{message:?}"))
}

fn not_after_disconnect(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let (client, mut watcher) = pair(lab, &topic)?;
    client.disconnect()?;
    if lab.is_v5() {
        let (client, _) = lab.accepted("mortal", &with_will(lab, "mortal", &topic, |_| ()))?;
        client.disconnect_with(&wire::disconnect(0, &[]))?;
    }
    no_will(lab, &mut watcher, "DISCONNECT deletes the will")
}

fn after_error(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let (mut client, mut watcher) = pair(lab, &topic)?;
    client.send(&frame(0x82, &[]));
    client.closed("a SUBSCRIBE without content")?;
    watcher.message(&topic, "gone").map(drop)
}

fn once(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 1)?;
    let connect = with_will(lab, "mortal", &topic, |_| ()).persistent(600);
    lab.accepted("mortal", &connect)?.0.vanish()?;
    watcher.message(&topic, "gone")?;
    // The session comes back without a will and breaks off again.
    lab.persistent("mortal")?.0.vanish()?;
    no_will(lab, &mut watcher, "the will was published before")
}

fn none(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("other", &lab.topic("#"), 1)?;
    let (client, _) = pair(lab, &topic)?;
    client.disconnect()?;
    lab.client("mortal")?.vanish()?;
    no_will(lab, &mut watcher, "the newer connection has no will")
}

fn qos(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 2)?;
    for qos in [0, 1, 2] {
        let (client, _) = lab.accepted("mortal", &with_will(lab, "mortal", &topic, |will| will.qos = qos))?;
        client.vanish()?;
        let message = watcher.message(&topic, "gone")?;
        watcher.check(message.qos == qos, format!("QoS {qos}"), format!("{message:?}"))?;
    }
    Ok(())
}

fn retain(lab: &Lab) -> Outcome {
    let (plain, kept) = (lab.topic("plain"), lab.retained_topic("kept"));
    let mut watcher = lab.subscriber("watcher", &lab.topic("+"), 1)?;
    lab.accepted("mortal", &with_will(lab, "mortal", &plain, |_| ()))?.0.vanish()?;
    watcher.message(&plain, "gone")?;
    lab.accepted("mortal", &with_will(lab, "mortal", &kept, |will| will.retain = true))?.0.vanish()?;
    let live = watcher.message(&kept, "gone")?;
    watcher.check(!live.retain, "RETAIN 0 for an established subscription", format!("{live:?}"))?;
    let mut late = lab.subscriber("late", &lab.topic("+"), 1)?;
    let message = late.message(&kept, "gone")?;
    late.check(message.retain, "RETAIN 1", format!("{message:?}"))?;
    late.silent("the plain will is not retained")
}

fn empty_payload(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("status");
    lab.client("publisher")?.publish(&lab.publish(&topic, "online").retain().qos(1, 0))?;
    let mut watcher = lab.subscriber("watcher", &topic, 1)?;
    watcher.message(&topic, "online")?;
    let connect = with_will(lab, "mortal", &topic, |will| (will.retain, will.payload) = (true, Vec::new()));
    lab.accepted("mortal", &connect)?.0.vanish()?;
    watcher.message(&topic, "")?;
    lab.subscriber("late", &topic, 1)?.silent("the retained message was removed")
}

fn on_takeover(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let (mut old, mut watcher) = pair(lab, &topic)?;
    let mut new = lab.client("mortal")?;
    old.closed("taken over")?;
    watcher.message(&topic, "gone")?;
    new.silent("the newer connection works")
}

fn disconnect_with_will(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let (client, mut watcher) = pair(lab, &topic)?;
    client.disconnect_with(&wire::disconnect(0x04, &[]))?;
    watcher.message(&topic, "gone").map(drop)
}

fn properties(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    let list = [
        property::payload_format(1),
        property::content_type("text"),
        property::response_topic("r/t"),
        property::correlation_data(&[0, 1, 2]),
        property::user_property("a", "1"),
        property::user_property("a", "2"),
    ];
    let connect = with_will(lab, "mortal", &topic, |will| will.properties = list.concat());
    lab.accepted("mortal", &connect)?.0.vanish()?;
    let message = watcher.message(&topic, "gone")?;
    let properties = &message.properties;
    let pair = |value: &str| ("a".to_owned(), value.to_owned());
    let same = properties.number(0x01) == Some(1)
        && properties.text(0x03).as_deref() == Some("text")
        && properties.text(0x08).as_deref() == Some("r/t")
        && properties.text(0x09).as_deref() == Some("\0\x01\x02")
        && properties.user() == [pair("1"), pair("2")]
        && !properties.has(0x18);
    watcher.check(same, "the properties of the will", format!("{message:?}"))
}

fn expiry(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    let connect = with_will(lab, "mortal", &topic, |will| will.properties = property::message_expiry(1));
    let (client, _) = lab.accepted("mortal", &connect)?;
    // Connected for longer than the message will live.
    sleep(Duration::from_millis(2_000));
    client.vanish()?;
    let message = watcher.message(&topic, "gone")?;
    watcher.check(message.properties.number(0x02) == Some(1), "message expiry of 1 s", format!("{message:?}"))
}

fn delayed(lab: &Lab, topic: &str, delay_s: u32, session_s: u32) -> Outcome<Client> {
    let connect = with_will(lab, "mortal", topic, |will| will.properties = property::will_delay(delay_s));
    Ok(lab.accepted("mortal", &connect.persistent(session_s))?.0)
}

fn delay(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    delayed(lab, &topic, 2, 600)?.vanish()?;
    let start = Instant::now();
    watcher.message(&topic, "gone")?;
    let took = start.elapsed();
    watcher.check(took >= Duration::from_millis(1_700), "the will after 2 s", format!("after {took:?}"))
}

fn delay_and_session(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    delayed(lab, &topic, 600, 1)?.vanish()?;
    let start = Instant::now();
    watcher.message(&topic, "gone")?;
    let took = start.elapsed();
    watcher.check(took >= Duration::from_millis(700), "the will at the session's end", format!("after {took:?}"))?;
    // A session without expiry ends with its connection.
    let connect = with_will(lab, "brief", &topic, |will| will.properties = property::will_delay(600));
    lab.accepted("brief", &connect)?.0.vanish()?;
    watcher.message(&topic, "gone").map(drop)
}

fn delay_and_clean_start(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    delayed(lab, &topic, 600, 600)?.vanish()?;
    watcher.silent("the will waits")?;
    let _new = lab.client("mortal")?;
    watcher.message(&topic, "gone").map(drop)
}

fn delay_and_return(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    delayed(lab, &topic, 2, 600)?.vanish()?;
    let (mut client, _) = lab.persistent("mortal")?;
    sleep(Duration::from_millis(3_000));
    client.silent("connected")?;
    no_will(lab, &mut watcher, "the client returned in time")
}

fn replaced(lab: &Lab) -> Outcome {
    let (first, second) = (lab.topic("first"), lab.topic("second"));
    let mut watcher = lab.subscriber("watcher", &lab.topic("+"), 0)?;
    lab.accepted("mortal", &with_will(lab, "mortal", &first, |_| ()).persistent(600))?.0.disconnect()?;
    lab.accepted("mortal", &with_will(lab, "mortal", &second, |_| ()).persistent(600))?.0.vanish()?;
    watcher.message(&second, "gone")?;
    if lab.is_v5() {
        delayed(lab, &first, 2, 600)?.vanish()?;
        let connect = with_will(lab, "mortal", &second, |will| will.properties = property::will_delay(0));
        lab.accepted("mortal", &connect.persistent(600))?.0.vanish()?;
        watcher.message(&second, "gone")?;
        sleep(Duration::from_millis(2_500));
    }
    no_will(lab, &mut watcher, "the first will was replaced")
}

fn in_refused(lab: &Lab) -> Outcome {
    let topic = lab.topic("will");
    let mut watcher = lab.subscriber("watcher", &topic, 0)?;
    let mut bytes = with_will(lab, "mortal", &topic, |_| ()).bytes();
    // The reserved flag.
    bytes[9] |= 1;
    let mut client = lab.open("mortal")?;
    client.send(&bytes);
    client.vanish()?;
    no_will(lab, &mut watcher, "CONNECT was refused")
}
