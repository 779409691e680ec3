//! Filters and topics that meet often: few distinct levels, the awkward ones among them.

use proptest::prelude::*;
use proptest::sample::select;

const LEVELS: [&str; 10] = ["", "a", "b", "ab", "a!", "a0", "$SYS", "$", "größe", "a level longer than the short text"];

/// A valid topic name of one to six levels.
pub(crate) fn topic() -> impl Strategy<Value = String> {
    let levels = prop::collection::vec(select(&LEVELS[..]), 1..=6);
    levels
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has at least one character", |topic| !topic.is_empty())
}

/// A valid topic filter, with wildcards more often than not.
pub(crate) fn filter() -> impl Strategy<Value = String> {
    let level = prop_oneof![2 => select(&LEVELS[..]), 1 => Just("+")];
    (prop::collection::vec(level, 0..=5), prop::bool::weighted(0.3))
        .prop_map(|(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter has at least one character", |filter| !filter.is_empty())
}
