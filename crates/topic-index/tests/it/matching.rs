use proptest::prelude::*;
use topic_index::matches;

use crate::text::{filter, topic};

/// MQTT 5.0, section 4.7: its examples, the empty levels that it allows, and the borders of `$`.
const EXAMPLES: &[(&str, &str, bool)] = &[
    ("sport/tennis/player1/#", "sport/tennis/player1", true),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
    ("sport/#", "sport", true),
    ("#", "sport", true),
    ("#", "/", true),
    ("sport/tennis/+", "sport/tennis/player1", true),
    ("sport/tennis/+", "sport/tennis/player1/ranking", false),
    ("sport/+", "sport", false),
    ("sport/+", "sport/", true),
    ("+/+", "/finance", true),
    ("/+", "/finance", true),
    ("+", "/finance", false),
    ("#", "$SYS/", false),
    ("+/monitor/Clients", "$SYS/monitor/Clients", false),
    ("$SYS/#", "$SYS/", true),
    ("$SYS/#", "$SYS", true),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
    ("+/$SYS", "a/$SYS", true),
    ("a/+", "a/$b", true),
    ("ACCOUNTS", "Accounts", false),
    ("Accounts payable", "Accounts payable", true),
    ("finance", "/finance", false),
    ("a//b", "a//b", true),
    ("a/+/b", "a//b", true),
    ("a//b", "a/b", false),
    ("+/#", "a", true),
    ("a/b/#", "a", false),
    ("+/+/#", "a", false),
    ("a/#", "ab", false),
    ("a/+", "a", false),
    ("größe/+", "größe/ä", true),
];

#[test]
fn follows_the_examples_of_the_specification() {
    for (filter, topic, expected) in EXAMPLES {
        assert_eq!(matches(filter, topic), *expected, "{filter} and {topic}");
    }
}

/// The rule once more, by recursion on collected levels.
fn matches_by_recursion(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        (["#"], _) | ([], []) => true,
        (["+", filter @ ..], [_, topic @ ..]) => matches_by_recursion(filter, topic),
        ([wanted, filter @ ..], [level, topic @ ..]) => wanted == level && matches_by_recursion(filter, topic),
        _ => false,
    }
}

proptest! {
    #[test]
    fn agrees_with_another_way_to_compute_it(filter in filter(), topic in topic()) {
        let filter_levels: Vec<&str> = filter.split('/').collect();
        let topic_levels: Vec<&str> = topic.split('/').collect();
        let hidden = topic.starts_with('$') && ["+", "#"].contains(&filter_levels[0]);
        prop_assert_eq!(matches(&filter, &topic), !hidden && matches_by_recursion(&filter_levels, &topic_levels));
    }
}
