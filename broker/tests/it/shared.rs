//! Shared subscriptions whose members go: their messages go to others, or are counted (section 4.8.2).

use conformance::client::Outcome;
use conformance::wire::{self, Connect, Version, property};

use crate::support::Broker;

/// What waits for a member whose session ends goes to the others, whatever worker they belong to.
#[test]
fn what_waits_goes_to_another_member() -> Outcome {
    const COUNT: usize = 40;
    for workers in [1, 3] {
        for qos in [1, 2] {
            let mut broker = Broker::start(workers);
            let lab = broker.lab(Version::V5, "shared");
            let away: Vec<String> = (0..4).map(|n| lab.id(&format!("away{n}"))).collect();
            for id in &away {
                let (mut client, _) =
                    lab.accepted("away", &Connect::new(lab.version, id).with(property::session_expiry(600)))?;
                client.subscribe("$share/g/t/+", qos)?;
                client.disconnect()?;
            }
            broker.wait_until_held(0, 4);
            let mut publisher = lab.client("publisher")?;
            for n in 0..COUNT {
                publisher.publish(&lab.publish(&format!("t/{n}"), n.to_string()).qos(qos, 0))?;
            }
            let mut stays = lab.subscriber("stays", "$share/g/t/+", qos)?;
            stays.silent("the messages were given to others")?;
            for id in &away {
                lab.accepted("away", &Connect::new(lab.version, id).clean(true))?.0.disconnect()?;
            }
            let mut numbers = Vec::new();
            for _ in 0..COUNT {
                let message = stays.incoming("a message of another member")?;
                stays.accept(&message)?;
                assert_eq!((message.qos, message.dup), (qos, false));
                numbers.push(String::from_utf8_lossy(&message.payload).parse::<usize>().expect("a number"));
            }
            numbers.sort_unstable();
            assert_eq!(numbers, (0..COUNT).collect::<Vec<_>>(), "each once");
            stays.silent("nothing else")?;
            let counters = broker.stop();
            assert_eq!((counters.get("dropped_session_ended"), counters.get("delivered")), (0, COUNT as u64));
        }
    }
    Ok(())
}

/// A QoS 2 delivery that has begun is not moved; nothing is moved where nobody is left. Both are counted.
#[test]
fn what_no_other_member_may_get_is_counted() -> Outcome {
    for workers in [1, 3] {
        let mut broker = Broker::start(workers);
        let lab = broker.lab(Version::V5, "counted");
        let connect = lab.connect("first").with(property::receive_maximum(2));
        let (mut first, _) = lab.accepted("first", &connect)?;
        first.subscribe("$share/g/t", 2)?;
        let mut publisher = lab.client("publisher")?;
        for text in ["1", "2", "3", "4"] {
            publisher.publish(&lab.publish("t", text).qos(2, 0))?;
        }
        first.incoming("1")?;
        let second_message = first.incoming("2")?;
        // The client has the second one, and does not come to say that it has forgotten its identifier.
        first.send(&wire::ack(0x50, second_message.id));
        first.acknowledged(0x62, second_message.id)?;
        let mut second = lab.subscriber("second", "$share/g/t", 2)?;
        first.vanish()?;
        second.message("t", "3")?;
        second.message("t", "4")?;
        second.silent("1 and 2 had begun")?;
        assert_eq!(broker.report().get("dropped_session_ended"), 1, "the first; the second was delivered");
        for text in ["5", "6"] {
            publisher.publish(&lab.publish("t", text).qos(1, 0))?;
            second.incoming(text)?;
        }
        second.vanish()?;
        let report = broker.wait_until_held(1, 1);
        assert_eq!(report.get("dropped_session_ended"), 3, "nobody is left for 5 and 6");
    }
    Ok(())
}

/// QoS 0 messages of a group of which nobody is there are counted like those of any session that is not.
#[test]
fn nobody_is_there() -> Outcome {
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V311, "nobody");
    let (mut away, _) = lab.persistent("away")?;
    away.subscribe("$share/g/t", 1)?;
    away.disconnect()?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish("t", "x"))?;
    publisher.silent("acted upon")?;
    assert_eq!(broker.stop().get("dropped_offline_qos0"), 1);
    Ok(())
}
