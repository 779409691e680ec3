//! Sessions: Session Present, what is kept and for how long (sections 3.1.2.4, 3.2.2.1, 4.1).

use std::thread::sleep;
use std::time::Duration;

use crate::case::{Case, Lab};
use crate::client::{Client, Outcome};
use crate::received::ConnAck;
use crate::wire::{self, property};

pub(super) const CASES: &[Case] = &[
    Case::new("session", "not-present-when-new", "Session Present is 0 without a session", not_present_when_new)
        .v311(&["3.2.2-3", "3.1.4-4"])
        .v5(&["3.2.2-3", "3.1.2-6", "3.1.4-5", "3.2.2-1"]),
    Case::new(
        "session",
        "present-when-resumed",
        "Session Present is 1 when a session is resumed",
        present_when_resumed,
    )
    .v311(&["3.2.2-2", "3.1.2-4"])
    .v5(&["3.2.2-3", "3.1.2-5", "3.1.2-23"]),
    Case::new("session", "clean-discards", "A clean start discards the session", clean_discards)
        .v311(&["3.1.2-6", "3.2.2-1", "3.1.4-3"])
        .v5(&["3.1.2-4", "3.2.2-2", "3.1.4-4"]),
    Case::new("session", "clean-does-not-last", "A clean session ends with its connection", clean_does_not_last)
        .v311(&["3.1.2-6"])
        .v5(&["4.1.0-2"]),
    Case::new("session", "subscriptions-kept", "A resumed session has its subscriptions", subscriptions_kept)
        .v311(&["3.1.2-4", "4.1.0-1"])
        .v5(&["3.1.2-5", "3.1.2-23", "4.1.0-1"]),
    Case::new("session", "offline-messages", "QoS 1 and 2 messages wait for an offline session, in order", offline)
        .v311(&["3.1.2-5", "4.5.0-1"])
        .v5(&["3.1.2-23", "4.5.0-1"]),
    Case::new("session", "clean-start-drops-messages", "A clean start drops what waited", clean_start_drops)
        .v311(&["3.1.2-6"])
        .v5(&["3.1.2-4"]),
    Case::new("session", "retained-outlives", "Retained messages are no part of a session", retained_outlives)
        .v311(&["3.1.2-7"])
        .v5(&["§4.1"]),
    Case::new("session", "expiry-absent", "Without an expiry interval the session ends at once", expiry_absent)
        .v5(&["§3.1.2.11.2", "4.1.0-2"]),
    Case::new("session", "expiry-with-clean-start", "A clean start with an expiry interval lasts", clean_with_expiry)
        .v5(&["3.1.2-23", "§3.1.2.11.2"]),
    Case::new("session", "expiry-passes", "A session ends when its interval has passed, not before", expiry_passes)
        .v5(&["4.1.0-2", "3.1.2-23"]),
    Case::new("session", "expiry-restarts", "The interval counts from the last connection's end", expiry_restarts)
        .v5(&["4.1.0-1", "4.1.0-2"]),
    Case::new("session", "expiry-for-ever", "0xFFFFFFFF is accepted, and the session lasts", expiry_for_ever)
        .v5(&["§3.1.2.11.2"]),
    Case::new("session", "disconnect-shortens", "DISCONNECT may set the interval to 0", disconnect_shortens)
        .v5(&["§3.14.2.2.2"]),
    Case::new("session", "disconnect-lengthens", "DISCONNECT may change an interval above 0", disconnect_lengthens)
        .v5(&["§3.14.2.2.2"]),
    Case::new(
        "session",
        "disconnect-not-from-zero",
        "DISCONNECT may not set an interval where CONNECT set none",
        from_zero,
    )
    .v5(&["§3.14.2.2.2"]),
    Case::new("session", "takeover-keeps-messages", "Messages and subscriptions survive a takeover", takeover_keeps)
        .v311(&["3.1.4-2", "3.1.2-4"])
        .v5(&["3.1.4-3", "3.1.2-5"]),
];

fn present(client: &Client, connack: &ConnAck, wanted: bool) -> Outcome {
    let flags = u8::from(wanted);
    client.check(connack.flags == flags, format!("CONNACK with flags {flags}"), format!("{connack:?}"))
}

fn not_present_when_new(lab: &Lab) -> Outcome {
    let (client, connack) = lab.persistent("new")?;
    present(&client, &connack, false)?;
    let (client, connack) = lab.accepted("clean", &lab.connect("clean"))?;
    present(&client, &connack, false)
}

fn present_when_resumed(lab: &Lab) -> Outcome {
    lab.persistent("again")?.0.disconnect()?;
    let (client, connack) = lab.persistent("again")?;
    present(&client, &connack, true)?;
    client.vanish()?;
    let (client, connack) = lab.persistent("again")?;
    present(&client, &connack, true)
}

fn clean_discards(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.persistent("again")?;
    client.subscribe(&topic, 1)?;
    client.disconnect()?;
    let (client, connack) = lab.accepted("again", &lab.connect("again").persistent(600).clean(true))?;
    present(&client, &connack, false)?;
    let mut client = client;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    lab.nothing_reached(&mut publisher, &mut client, "the subscription was discarded")
}

fn clean_does_not_last(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let mut client = lab.subscriber("brief", &topic, 1)?;
    client.silent("nothing was published")?;
    client.disconnect()?;
    let (mut client, connack) = lab.persistent("brief")?;
    present(&client, &connack, false)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    lab.nothing_reached(&mut publisher, &mut client, "the session has ended")
}

fn subscriptions_kept(lab: &Lab) -> Outcome {
    let (topic, wild) = (lab.topic("a"), lab.topic("+/c"));
    let (mut client, _) = lab.persistent("again")?;
    client.subscribe(&topic, 1)?;
    client.subscribe(&wild, 0)?;
    client.vanish()?;
    let (mut client, _) = lab.persistent("again")?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    let message = client.message(&topic, "1")?;
    client.check(message.qos == 1, "QoS 1 as subscribed", format!("{message:?}"))?;
    publisher.publish(&lab.publish(&lab.topic("b/c"), "2").qos(1, 0))?;
    let message = client.message(&lab.topic("b/c"), "2")?;
    client.check(message.qos == 0, "QoS 0 as subscribed", format!("{message:?}"))
}

fn offline(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    for qos in [1, 2] {
        let (mut client, _) = lab.persistent("away")?;
        client.subscribe(&topic, 2)?;
        client.disconnect()?;
        let mut publisher = lab.client("publisher")?;
        let texts: Vec<String> = (0..20).map(|n| format!("{qos}-{n}")).collect();
        for text in &texts {
            publisher.publish(&lab.publish(&topic, text.as_str()).qos(qos, 0))?;
        }
        let (mut client, _) = lab.persistent("away")?;
        for text in &texts {
            let message = client.message(&topic, text)?;
            client.check(message.qos == qos && !message.dup, "the published QoS, no DUP", format!("{message:?}"))?;
        }
        client.silent("everything was delivered once")?;
        client.disconnect()?;
    }
    Ok(())
}

fn clean_start_drops(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.persistent("away")?;
    client.subscribe(&topic, 1)?;
    client.disconnect()?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    let mut client = lab.client("away")?;
    client.silent("the waiting message was dropped")?;
    client.disconnect()?;
    let (mut client, connack) = lab.persistent("away")?;
    present(&client, &connack, false)?;
    client.silent("the waiting message was dropped")
}

fn retained_outlives(lab: &Lab) -> Outcome {
    let topic = lab.retained_topic("a");
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "kept").retain().qos(1, 0))?;
    publisher.disconnect()?;
    lab.subscriber("late", &topic, 0)?.message(&topic, "kept").map(drop)
}

fn expiry_absent(lab: &Lab) -> Outcome {
    lab.accepted("brief", &lab.connect("brief").clean(false))?.0.disconnect()?;
    let (client, connack) = lab.persistent("brief")?;
    present(&client, &connack, false)
}

fn clean_with_expiry(lab: &Lab) -> Outcome {
    lab.accepted("lasting", &lab.connect("lasting").persistent(600).clean(true))?.0.disconnect()?;
    let (client, connack) = lab.persistent("lasting")?;
    present(&client, &connack, true)
}

fn expiry_passes(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut client, _) = lab.accepted("brief", &lab.connect("brief").persistent(5))?;
    client.subscribe(&topic, 1)?;
    client.disconnect()?;
    sleep(Duration::from_millis(1_000));
    let (client, connack) = lab.accepted("brief", &lab.connect("brief").persistent(1))?;
    present(&client, &connack, true)?;
    client.vanish()?;
    sleep(Duration::from_millis(3_000));
    let (mut client, connack) = lab.accepted("brief", &lab.connect("brief").persistent(1))?;
    present(&client, &connack, false)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    lab.nothing_reached(&mut publisher, &mut client, "the session has expired")
}

fn expiry_restarts(lab: &Lab) -> Outcome {
    lab.accepted("busy", &lab.connect("busy").persistent(3))?.0.disconnect()?;
    sleep(Duration::from_millis(1_000));
    let (client, connack) = lab.accepted("busy", &lab.connect("busy").persistent(3))?;
    present(&client, &connack, true)?;
    // Connected for longer than the interval: it does not run meanwhile.
    sleep(Duration::from_millis(4_000));
    client.disconnect()?;
    let (client, connack) = lab.accepted("busy", &lab.connect("busy").persistent(3))?;
    present(&client, &connack, true)
}

fn expiry_for_ever(lab: &Lab) -> Outcome {
    let (client, connack) = lab.accepted("lasting", &lab.connect("lasting").persistent(u32::MAX))?;
    client.check(connack.reason == 0, "success", format!("{connack:?}"))?;
    client.disconnect()?;
    let (client, connack) = lab.persistent("lasting")?;
    present(&client, &connack, true)
}

fn disconnect_shortens(lab: &Lab) -> Outcome {
    let (client, _) = lab.persistent("leaving")?;
    client.disconnect_with(&wire::disconnect(0, &property::session_expiry(0)))?;
    let (client, connack) = lab.persistent("leaving")?;
    present(&client, &connack, false)
}

fn disconnect_lengthens(lab: &Lab) -> Outcome {
    let (client, _) = lab.accepted("leaving", &lab.connect("leaving").persistent(1))?;
    client.disconnect_with(&wire::disconnect(0, &property::session_expiry(600)))?;
    sleep(Duration::from_millis(2_500));
    let (client, connack) = lab.persistent("leaving")?;
    present(&client, &connack, true)
}

fn from_zero(lab: &Lab) -> Outcome {
    let mut client = lab.client("leaving")?;
    client.send(&wire::disconnect(0, &property::session_expiry(600)));
    client.closed_for("an expiry interval at the end only", &[0x82])?;
    let (client, connack) = lab.persistent("leaving")?;
    present(&client, &connack, false)
}

fn takeover_keeps(lab: &Lab) -> Outcome {
    let topic = lab.topic("a");
    let (mut old, _) = lab.persistent("same")?;
    old.subscribe(&topic, 1)?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish(&topic, "1").qos(1, 0))?;
    old.incoming("the message, which is not acknowledged")?;
    let (mut new, connack) = lab.persistent("same")?;
    present(&new, &connack, true)?;
    let again = new.message(&topic, "1")?;
    new.check(again.dup, "DUP on what is sent again", format!("{again:?}"))?;
    publisher.publish(&lab.publish(&topic, "2").qos(1, 0))?;
    new.message(&topic, "2").map(drop)
}
