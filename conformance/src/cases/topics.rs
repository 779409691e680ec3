//! Topic names, filters and their matching (section 4.7).

use crate::case::{Case, Lab};
use crate::client::Outcome;
use crate::wire;

pub(super) const CASES: &[Case] = &[
    Case::new("topics", "single-level", "+ matches exactly one level, which may be empty", single_level)
        .v311(&["4.7.1-3", "3.3.2-3"])
        .v5(&["4.7.1-2", "3.3.2-3"]),
    Case::new("topics", "multi-level", "# matches any number of levels, and the parent", multi_level)
        .v311(&["4.7.1-2", "3.3.2-3"])
        .v5(&["4.7.1-1", "3.3.2-3"]),
    Case::new("topics", "both", "+ and # go together", both).v311(&["4.7.1-2", "4.7.1-3"]).v5(&["4.7.1-1", "4.7.1-2"]),
    Case::new("topics", "exact", "Without wildcards only the same text matches", exact)
        .v311(&["4.7.3-4"])
        .v5(&["4.7.3-4"]),
    Case::new("topics", "no-normalisation", "Text that looks alike is not the same", no_normalisation)
        .v311(&["4.7.3-4", "1.5.3-3"])
        .v5(&["4.7.3-4", "1.5.4-3"]),
    Case::new("topics", "dollar", "Filters that begin with a wildcard do not match topics with $", dollar)
        .v311(&["4.7.2-1"])
        .v5(&["4.7.2-1"]),
    Case::new("topics", "dollar-named", "A filter that names the $ level does", dollar_named)
        .v311(&["§4.7.2"])
        .v5(&["§4.7.2"])
        .optional(),
    Case::new("topics", "dollar-inside", "$ elsewhere is an ordinary character", dollar_inside)
        .v311(&["§4.7.2"])
        .v5(&["§4.7.2"]),
    Case::new("topics", "separators", "Empty levels count: /, //, a//b", separators)
        .v311(&["4.7.1-3", "4.7.3-1"])
        .v5(&["4.7.1-2", "4.7.3-1"]),
    Case::new("topics", "long", "Topics of 65,535 bytes can be used", long)
        .v311(&["4.7.3-3"])
        .v5(&["4.7.3-3"])
        .optional(),
    Case::new("topics", "utf8", "An ill-formed topic name closes the connection", utf8)
        .v311(&["1.5.3-1", "1.5.3-2", "3.3.2-1", "4.7.3-2"])
        .v5(&["1.5.4-1", "1.5.4-2", "3.3.2-1", "4.7.3-2"]),
    Case::new("topics", "all-planes", "Characters of four bytes, and U+FEFF, pass unchanged", all_planes)
        .v311(&["1.5.3-3"])
        .v5(&["1.5.4-3"]),
];

/// Each topic is published to with a subscription to the filter; those that match, and no others, arrive.
fn matches(lab: &Lab, filter: &str, matching: &[&str], others: &[&str]) -> Outcome {
    let mut subscriber = lab.subscriber("subscriber", &lab.topic(filter), 0)?;
    let mut publisher = lab.client("publisher")?;
    for name in matching.iter().chain(others) {
        publisher.publish(&lab.publish(&lab.topic(name), "x"))?;
    }
    let reached = lab.reached(&mut publisher, &mut subscriber)?;
    let seen: Vec<&str> = reached.iter().map(|message| message.topic.as_str()).collect();
    let wanted: Vec<String> = matching.iter().map(|name| lab.topic(name)).collect();
    subscriber.check(seen == wanted, format!("{wanted:?} for \"{filter}\""), format!("{seen:?}"))
}

fn single_level(lab: &Lab) -> Outcome {
    matches(lab, "s/+", &["s/a", "s/", "s/b b"], &["s", "s/a/b", "s/a/", "sa", "S/a"])?;
    matches(lab, "+/e", &["a/e", "/e"], &["e", "a/b/e", "//e"])?;
    matches(lab, "a/+/c", &["a/b/c", "a//c"], &["a/c", "a/b/b/c", "a/b/c/d"])?;
    matches(lab, "p/+/+", &["p/a/b", "p//"], &["p/a", "p/a/b/c"])
}

fn multi_level(lab: &Lab) -> Outcome {
    matches(lab, "m/#", &["m", "m/", "m/a", "m/a/b/c/d/e", "m//"], &["mm", "M/a", "x/m/a"])?;
    matches(lab, "n/o/#", &["n/o", "n/o/p"], &["n", "n/p/o"])
}

fn both(lab: &Lab) -> Outcome {
    matches(lab, "+/b/#", &["a/b", "a/b/c", "/b/"], &["b", "a/a/b"])?;
    matches(lab, "+/+/#", &["a/b", "a/b/c", "/"], &["a"])?;
    matches(lab, "q/+/r/#", &["q/x/r", "q/x/r/s/t"], &["q/r", "q/x/y/r"])
}

fn exact(lab: &Lab) -> Outcome {
    matches(lab, "e/F g", &["e/F g"], &["e/f g", "e/F%20g", "e/F  g", "e/F g/", "e//F g", "e/F"])
}

fn no_normalisation(lab: &Lab) -> Outcome {
    // One accented letter as one character and as two; with and without a mark of no width.
    matches(lab, "é", &["é"], &["e\u{301}"])?;
    matches(lab, "x\u{FEFF}", &["x\u{FEFF}"], &["x"])?;
    matches(lab, "a/./b", &["a/./b"], &["a/b", "a/../a/b"])
}

/// Whether the server lets clients publish to a topic that begins with `$` at all; it need not.
fn may_publish_dollar(lab: &Lab, topic: &str) -> Outcome<bool> {
    let mut publisher = lab.client("publisher")?;
    publisher.send(&lab.publish(topic, "x").qos(1, 1).bytes());
    Ok(publisher.acknowledged(0x40, 1).is_ok_and(|answer| answer.codes[0] < 0x80))
}

fn dollar(lab: &Lab) -> Outcome {
    let topic = format!("${}", lab.topic("a"));
    let mut all = lab.subscriber("all", "#", 0)?;
    let mut level = lab.subscriber("level", "+/a", 0)?;
    may_publish_dollar(lab, &topic)?;
    let mut publisher = lab.client("other")?;
    for subscriber in [&mut all, &mut level] {
        let reached = lab.reached(&mut publisher, subscriber)?;
        let seen: Vec<_> = reached.iter().filter(|message| message.topic == topic).collect();
        subscriber.check(seen.is_empty(), format!("\"{topic}\" hidden"), format!("{seen:?}"))?;
    }
    Ok(())
}

fn dollar_named(lab: &Lab) -> Outcome {
    let topic = format!("${}", lab.topic("a/b"));
    let mut named = lab.subscriber("named", &format!("${}", lab.topic("#")), 0)?;
    let mut exact = lab.subscriber("exact", &topic, 0)?;
    may_publish_dollar(lab, &topic)?;
    named.message(&topic, "x")?;
    exact.message(&topic, "x").map(drop)
}

fn dollar_inside(lab: &Lab) -> Outcome {
    matches(lab, "+", &["$a", "a$"], &["$a/b"])?;
    matches(lab, "d/#", &["d/$SYS", "d/$share/g/x"], &["$d"])
}

fn separators(lab: &Lab) -> Outcome {
    matches(lab, "z//+", &["z//a", "z//"], &["z/a", "z/"])?;
    let mut subscriber = lab.client("slashes")?;
    let topic = format!("/{}", lab.topic(""));
    subscriber.subscribe_all(&[], &[(&format!("/{}", lab.topic("+")), 0)])?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x"))?;
    subscriber.message(&topic, "x").map(drop)
}

fn long(lab: &Lab) -> Outcome {
    let topic = lab.topic("");
    let topic = format!("{topic}{}", "x".repeat(65_535 - topic.len()));
    let mut subscriber = lab.subscriber("subscriber", &topic, 1)?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x").qos(1, 0))?;
    subscriber.message(&topic, "x").map(drop)
}

fn utf8(lab: &Lab) -> Outcome {
    let bad: [&[u8]; 5] = [&[b'a', 0xC3, 0x28], &[0xED, 0xA0, 0x80], b"a\0b", &[0xF4, 0x90, 0x80, 0x80], &[0xE2, 0x82]];
    for name in bad {
        let properties = if lab.is_v5() { vec![0] } else { Vec::new() };
        let mut client = lab.client("bad")?;
        client.send(&wire::frame(0x30, &[wire::field(name), properties, b"x".to_vec()].concat()));
        client.closed_for(&format!("topic name {name:02x?}"), &[0x81, 0x82, 0x90])?;
    }
    Ok(())
}

fn all_planes(lab: &Lab) -> Outcome {
    let topic = lab.topic("\u{FEFF}a\u{1F600}/\u{10FFFD}ü\u{7FF}\u{800}\u{FFFD}");
    let mut subscriber = lab.subscriber("subscriber", &topic, 0)?;
    lab.client("publisher")?.publish(&lab.publish(&topic, "x"))?;
    subscriber.message(&topic, "x").map(drop)
}
