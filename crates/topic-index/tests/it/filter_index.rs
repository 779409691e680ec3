use std::collections::BTreeMap;

use proptest::prelude::*;
use topic_index::{FilterIndex, matches};

use crate::text::{filter, topic};

#[derive(Clone, Debug)]
enum Operation {
    Insert(String, u32),
    Remove(String),
    Match(String),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (filter(), any::<u32>()).prop_map(|(filter, value)| Operation::Insert(filter, value)),
        2 => filter().prop_map(Operation::Remove),
        2 => topic().prop_map(Operation::Match),
    ]
}

/// The index as a list that is searched from end to end.
#[derive(Default)]
struct Model(BTreeMap<String, u32>);

impl Model {
    fn matching(&self, topic: &str) -> Vec<u32> {
        let mut values: Vec<u32> =
            self.0.iter().filter(|(filter, _)| matches(filter, topic)).map(|(_, value)| *value).collect();
        values.sort_unstable();
        values
    }
}

fn matching(index: &FilterIndex<u32>, topic: &str) -> Vec<u32> {
    let mut values = Vec::new();
    index.for_each_match(topic, |value| values.push(*value));
    values.sort_unstable();
    values
}

fn content(index: &FilterIndex<u32>) -> BTreeMap<String, u32> {
    let mut content = BTreeMap::new();
    index.for_each(|filter, value| assert_eq!(content.insert(filter.to_owned(), *value), None));
    content
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn does_what_the_model_does(operations in prop::collection::vec(operation(), 1..80)) {
        let (mut index, mut model) = (FilterIndex::new(), Model::default());
        for operation in operations {
            match operation {
                Operation::Insert(filter, value) => {
                    let expected = *model.0.entry(filter.clone()).or_insert(value);
                    prop_assert_eq!(*index.get_or_insert_with(&filter, || value), expected);
                }
                Operation::Remove(filter) => prop_assert_eq!(index.remove(&filter), model.0.remove(&filter)),
                Operation::Match(topic) => prop_assert_eq!(matching(&index, &topic), model.matching(&topic)),
            }
            prop_assert_eq!(index.len(), model.0.len());
        }
        prop_assert_eq!(&content(&index), &model.0);
        for (filter, value) in &mut model.0 {
            prop_assert_eq!(index.get(filter), Some(&*value));
            prop_assert_eq!(index.get_mut(filter), Some(value));
        }
    }

    #[test]
    fn is_the_same_whatever_came_and_went(
        stay in prop::collection::btree_set(filter(), 0..20),
        go in prop::collection::btree_set(filter(), 0..20),
    ) {
        let mut plain = FilterIndex::new();
        for filter in &stay {
            plain.get_or_insert_with(filter, || 0);
        }
        let mut index = FilterIndex::new();
        for filter in stay.iter().chain(&go) {
            index.get_or_insert_with(filter, || 0);
        }
        for filter in go.difference(&stay) {
            prop_assert_eq!(index.remove(filter), Some(0));
        }
        prop_assert_eq!(content(&index), content(&plain));
        prop_assert_eq!(index.stats().nodes, plain.stats().nodes);
        for filter in &stay {
            prop_assert_eq!(index.remove(filter), Some(0));
        }
        prop_assert!(index.is_empty());
        prop_assert_eq!((index.stats().nodes, index.stats().capacity), (0, 0));
    }
}

#[test]
fn holds_one_node_where_filters_part_and_none_for_their_own_levels() {
    let mut index = FilterIndex::new();
    for device in 0..1000 {
        index.get_or_insert_with(&format!("site/+/device/{device}/some/levels/of/its/own/#"), || device);
    }
    assert_eq!(index.stats().nodes, 3, "site, + and device");
    for device in 1..1000 {
        index.remove(&format!("site/+/device/{device}/some/levels/of/its/own/#"));
    }
    assert_eq!(index.stats().nodes, 0, "one filter needs no node");
    assert_eq!(matching(&index, "site/x/device/0/some/levels/of/its/own"), [0]);
}

#[test]
fn gives_memory_back_as_filters_go() {
    let mut index = FilterIndex::new();
    let filters: Vec<String> = (0..20_000).flat_map(|n| [format!("exact/{n}"), format!("wild/{n}/+/{n}")]).collect();
    for filter in &filters {
        index.get_or_insert_with(filter, || 0);
    }
    let full = index.stats().capacity;
    for filter in &filters[4_000..] {
        index.remove(filter);
    }
    assert!(index.stats().capacity < full / 2, "{} of {full} still held", index.stats().capacity);
    assert_eq!(index.len(), 4_000);
    for (nth, filter) in filters.iter().enumerate() {
        assert_eq!(index.get(filter).is_some(), nth < 4_000);
    }
}

/// As many levels as 65,535 bytes can hold: nothing may recurse over them or cost their square.
#[test]
fn takes_filters_and_topics_of_32768_levels() {
    let levels = 32_768;
    let topic = vec!["a"; levels].join("/");
    let mut index = FilterIndex::new();
    let plus = vec!["+"; levels].join("/");
    let other = format!("{}/b", vec!["+"; levels - 1].join("/"));
    let longer = format!("{plus}/#");
    for (filter, value) in [(&plus, 1), (&other, 2), (&longer, 3)] {
        index.get_or_insert_with(filter, || value);
    }
    assert_eq!(matching(&index, &topic), [1, 3]);
    assert_eq!(matching(&index, "a/b"), []);
    assert_eq!(content(&index).len(), 3);
    assert_eq!(index.remove(&plus), Some(1));
    assert_eq!(index.remove(&longer), Some(3));
    assert_eq!(index.stats().nodes, 0);
    assert_eq!(matching(&index, &format!("{}/b", vec![""; levels - 1].join("/"))), [2]);
}

/// Every way to write `a/a/.../b` with `+` for some levels: the walk reaches all nodes, each once, and more than fit
/// in its inline list.
#[test]
fn walks_a_trie_with_very_many_ways() {
    let mut index = FilterIndex::new();
    let depth = 12;
    for ways in 0..1_u32 << depth {
        let levels: Vec<&str> = (0..depth).map(|bit| if ways >> bit & 1 == 0 { "a" } else { "+" }).collect();
        index.get_or_insert_with(&levels.join("/"), || ways);
    }
    let all: Vec<u32> = (0..1 << depth).collect();
    assert_eq!(matching(&index, &vec!["a"; depth].join("/")), all);
    assert_eq!(matching(&index, &vec!["b"; depth].join("/")), [(1 << depth) - 1]);
}
