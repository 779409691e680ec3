//! Who publishes for whom, as far as metadata tells.
//!
//! Tools keep topics as they were typed: `bench/%i` is another topic for each client. What such a placeholder stands for is not
//! known here, so it may be anything within its level.

use crate::Run;

/// The topics and filters in a load tool's metadata.
pub fn of(run: &Run) -> impl Iterator<Item = &str> {
    let topics = run.meta.as_ref().and_then(|meta| meta.config.get("topics")?.as_array());
    topics.into_iter().flatten().filter_map(|topic| topic.as_str())
}

/// Whether a subscriber may get what a publisher publishes; both are runs of load tools. Where the metadata of one of them names
/// no topics, it may.
pub fn may_hear(subscriber: &Run, publisher: &Run) -> bool {
    let is_unknown = [subscriber, publisher].into_iter().any(|run| of(run).next().is_none());
    is_unknown || of(subscriber).any(|filter| of(publisher).any(|topic| may_match(filter, topic)))
}

/// Whether messages to `topic` may match `filter` (MQTT 5.0, 4.7 and 4.8.2), both as they were typed.
pub fn may_match(filter: &str, topic: &str) -> bool {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    let (mut filter, mut topic) = (shared.map_or(filter, |(_, filter)| filter).split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level || wanted.contains('%') || level.contains('%') => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_may_be_anything_within_their_level() {
        for (filter, topic) in [
            ("bench/1", "bench/1"),
            ("bench/%i", "bench/%i"),
            ("bench/%i", "bench/7"),
            ("bench/7", "bench/%i"),
            ("bench/+/x", "bench/%i/x"),
            ("#", "bench/1"),
            ("bench/#", "bench"),
            ("$share/g/bench/%i", "bench/3"),
        ] {
            assert!(may_match(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("bench/churn/%i", "bench/steady"),
            ("bench/churn/%i", "bench/steady/%i"),
            ("bench/%i", "bench/%i/x"),
            ("bench/+", "bench"),
            ("$share/g/bench", "g/bench"),
        ] {
            assert!(!may_match(filter, topic), "{filter} {topic}");
        }
    }
}
