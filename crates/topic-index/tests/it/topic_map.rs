use std::collections::BTreeMap;

use proptest::prelude::*;
use topic_index::{Cursor, TopicMap, matches};

use crate::text::{filter, topic};

#[derive(Clone, Debug)]
enum Operation {
    Insert(String, u32),
    Remove(String),
    Match(String),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (topic(), any::<u32>()).prop_map(|(topic, value)| Operation::Insert(topic, value)),
        1 => topic().prop_map(Operation::Remove),
        2 => filter().prop_map(Operation::Match),
    ]
}

fn matching(map: &TopicMap<u32>, filter: &str) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    map.for_each_match(filter, |topic, value| found.push((topic.to_owned(), *value)));
    found
}

fn matching_in_slices(map: &TopicMap<u32>, filter: &str, budget: usize) -> Vec<(String, u32)> {
    let (mut found, mut cursor, mut slices) = (Vec::new(), Cursor::default(), 0);
    while !map.visit_some(filter, &mut cursor, budget, |topic, value| found.push((topic.to_owned(), *value))) {
        slices += 1;
        assert!(slices <= 5 * map.len(), "the walk does not advance");
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn does_what_the_model_does(operations in prop::collection::vec(operation(), 1..80), budget in 1_usize..5) {
        let (mut map, mut model) = (TopicMap::new(), BTreeMap::new());
        for operation in operations {
            match operation {
                Operation::Insert(topic, value) => {
                    prop_assert_eq!(map.insert(&topic, value), model.insert(topic, value));
                }
                Operation::Remove(topic) => prop_assert_eq!(map.remove(&topic), model.remove(&topic)),
                Operation::Match(filter) => {
                    let expected: Vec<(String, u32)> = model
                        .iter()
                        .filter(|(topic, _)| matches(&filter, topic))
                        .map(|(topic, value)| (topic.clone(), *value))
                        .collect();
                    prop_assert_eq!(&matching(&map, &filter), &expected);
                    prop_assert_eq!(matching_in_slices(&map, &filter, budget), expected);
                }
            }
            prop_assert_eq!(map.len(), model.len());
        }
        for (topic, value) in &model {
            prop_assert_eq!(map.get(topic), Some(value));
        }
        map.retain(|_, value| *value % 2 == 0);
        prop_assert_eq!(map.len(), model.values().filter(|value| **value % 2 == 0).count());
    }
}

#[test]
fn goes_on_after_topics_came_and_went() {
    let mut map: TopicMap<u32> = TopicMap::new();
    for n in 0..100 {
        map.insert(&format!("t/{n:02}/x"), n);
    }
    let (mut found, mut cursor) = (Vec::new(), Cursor::default());
    assert!(!map.visit_some("t/+/x", &mut cursor, 50, |_, value| found.push(*value)));
    for n in 40..60 {
        map.remove(&format!("t/{n:02}/x"));
    }
    map.insert("t/99/y", 0);
    assert!(map.visit_some("t/+/x", &mut cursor, 1000, |_, value| found.push(*value)));
    let expected: Vec<u32> = (0..50).chain(60..100).collect();
    assert_eq!(found, expected);
}

/// A filter that names its levels must not look at what lies beside them: with a budget of a few looks it still comes
/// to its end.
#[test]
fn leaps_over_what_cannot_match() {
    let mut map: TopicMap<u32> = TopicMap::new();
    for n in 0..10_000 {
        map.insert(&format!("site/{n:04}/status"), n);
        map.insert(&format!("other/{n:04}/status"), n);
        map.insert(&format!("site/0007/sensor/{n:04}"), n);
    }
    for (filter, matches) in
        [("site/0007/+", 1), ("site/0007/sensor/#", 10_000), ("none/#", 0), ("site/0007/+/0001", 1)]
    {
        let mut found = 0;
        assert!(map.visit_some(filter, &mut Cursor::default(), matches + 20, |_, _| found += 1), "{filter}");
        assert_eq!(found, matches, "{filter}");
    }
}

#[test]
fn takes_filters_and_topics_of_32768_levels() {
    let levels = 32_768;
    let mut map = TopicMap::new();
    map.insert(&vec!["a"; levels].join("/"), 1);
    map.insert(&vec!["a"; levels - 1].join("/"), 2);
    assert_eq!(matching(&map, &vec!["+"; levels].join("/")).len(), 1);
    assert_eq!(matching(&map, &format!("{}/#", vec!["+"; levels - 1].join("/"))).len(), 2);
}
