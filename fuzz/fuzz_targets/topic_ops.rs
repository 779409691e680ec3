//! Operations on the filter index and on the topic map, checked against lists that are searched from end to end.

#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use topic_index::{Cursor, FilterIndex, TopicMap, matches};

/// Few levels, so that filters and topics meet; with the awkward ones, and two longer than a short text.
const LEVELS: [&str; 14] = [
    "+",
    "+",
    "",
    "a",
    "b",
    "ab",
    "a!",
    "a0",
    "$",
    "$SYS",
    "ö",
    "0",
    "a level longer than a short text",
    "another of the long levels",
];

fuzz_target!(|input: &[u8]| {
    let mut bytes = input.iter().copied();
    let mut world = World::default();
    while let Some(operation) = bytes.next() {
        let (text, value) = (text(&mut bytes), u32::from(operation));
        match operation % 8 {
            0..=2 => world.insert_filter(&text, value),
            3 => world.remove_filter(&text),
            4 => world.match_topic(&text),
            5 => world.insert_topic(&text, value),
            6 => world.remove_topic(&text),
            _ => world.match_filter(&text, usize::from(operation / 8) + 1),
        }
    }
    world.finish();
});

#[derive(Default)]
struct World {
    index: FilterIndex<u32>,
    filters: BTreeMap<String, u32>,
    map: TopicMap<u32>,
    topics: BTreeMap<String, u32>,
}

impl World {
    fn insert_filter(&mut self, filter: &str, value: u32) {
        let expected = *self.filters.entry(filter.to_owned()).or_insert(value);
        assert_eq!(*self.index.get_or_insert_with(filter, || value), expected);
    }

    fn remove_filter(&mut self, filter: &str) {
        assert_eq!(self.index.remove(filter), self.filters.remove(filter));
        assert_eq!(self.index.get(filter), None);
    }

    fn match_topic(&self, topic: &str) {
        let topic = topic.replace(['+', '#'], "a");
        let mut found = Vec::new();
        self.index.for_each_match(&topic, |value| found.push(*value));
        let mut expected: Vec<u32> =
            self.filters.iter().filter(|(filter, _)| matches(filter, &topic)).map(|(_, value)| *value).collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{topic}");
    }

    fn insert_topic(&mut self, topic: &str, value: u32) {
        let topic = topic.replace(['+', '#'], "a");
        assert_eq!(self.map.insert(&topic, value), self.topics.insert(topic, value));
    }

    fn remove_topic(&mut self, topic: &str) {
        assert_eq!(self.map.remove(topic), self.topics.remove(topic));
    }

    fn match_filter(&self, filter: &str, budget: usize) {
        let expected: Vec<(&str, u32)> = self
            .topics
            .iter()
            .filter(|(topic, _)| matches(filter, topic))
            .map(|(topic, value)| (topic.as_str(), *value))
            .collect();
        let mut found = Vec::new();
        self.map.for_each_match(filter, |topic, value| found.push((topic.to_owned(), *value)));
        assert!(found.iter().map(|(topic, value)| (topic.as_str(), *value)).eq(expected.iter().copied()), "{filter}");
        let (mut sliced, mut cursor) = (Vec::new(), Cursor::default());
        while !self.map.visit_some(filter, &mut cursor, budget, |topic, value| sliced.push((topic.to_owned(), *value)))
        {
        }
        assert_eq!(sliced, found, "{filter} in slices of {budget}");
    }

    /// Everything that was put in is there; when it is taken out, nothing is left.
    fn finish(mut self) {
        let mut content = BTreeMap::new();
        self.index.for_each(|filter, value| assert_eq!(content.insert(filter.to_owned(), *value), None));
        assert_eq!(content, self.filters);
        for (filter, value) in content {
            assert_eq!(self.index.remove(&filter), Some(value));
        }
        let stats = self.index.stats();
        assert_eq!((stats.nodes, stats.capacity), (0, 0));
    }
}

/// A filter: up to seven levels, and whether `#` ends it.
fn text(bytes: &mut impl Iterator<Item = u8>) -> String {
    let shape = bytes.next().unwrap_or(0);
    let mut levels: Vec<&str> =
        bytes.take(usize::from(shape % 8)).map(|byte| LEVELS[usize::from(byte) % LEVELS.len()]).collect();
    if shape % 32 >= 24 {
        levels.push("#");
    }
    let text = levels.join("/");
    if text.is_empty() { "/".to_owned() } else { text }
}
