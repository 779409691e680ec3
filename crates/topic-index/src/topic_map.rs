//! Topic to value, asked with a filter.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::matching::is_hidden;

/// How many neighbours a walk looks at before it searches from the top of the tree: the next candidate is often near.
const NEAR: usize = 4;

/// A map from topic names to values that finds all topics matching a filter: the retained store.
///
/// The topics are kept in byte order. All topics below one level are neighbours there, so a filter with wildcards is
/// answered by leaping from candidate to candidate: no topic is looked at twice, and those under a literal level of the
/// filter that differs are leapt over. Being ordered, a walk can stop anywhere and go on later ([`Cursor`]), although
/// topics came and went in between.
///
/// ```
/// let mut retained = topic_index::TopicMap::new();
/// retained.insert("sensors/7/temperature", 21);
/// retained.insert("sensors/7/humidity", 40);
/// let mut found = Vec::new();
/// retained.for_each_match("sensors/+/temperature", |topic, value| found.push((topic.to_owned(), *value)));
/// assert_eq!(found, [("sensors/7/temperature".to_owned(), 21)]);
/// ```
#[derive(Clone, Debug)]
pub struct TopicMap<T> {
    topics: BTreeMap<Box<str>, T>,
}

/// Where an interrupted walk goes on.
#[derive(Clone, Debug, Default)]
pub struct Cursor {
    /// The first topic not yet looked at is at or after this text.
    from: String,
}

/// What a topic tells a walk.
enum Step {
    Match,
    /// No match; the next topic may be one.
    Next,
    /// No match, nor is any topic before the one that was put together.
    Leap,
    /// No match, nor is any topic after this one.
    End,
}

impl<T> TopicMap<T> {
    /// An empty map, which holds no memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { topics: BTreeMap::new() }
    }

    /// The number of topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// Whether there is no topic.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The value of this topic.
    #[must_use]
    pub fn get(&self, topic: &str) -> Option<&T> {
        self.topics.get(topic)
    }

    /// The value of this topic, to change it.
    pub fn get_mut(&mut self, topic: &str) -> Option<&mut T> {
        self.topics.get_mut(topic)
    }

    /// Sets the value of a topic and returns the one it had.
    pub fn insert(&mut self, topic: &str, value: T) -> Option<T> {
        if let Some(present) = self.topics.get_mut(topic) {
            return Some(std::mem::replace(present, value));
        }
        self.topics.insert(topic.into(), value)
    }

    /// Removes a topic and returns its value.
    pub fn remove(&mut self, topic: &str) -> Option<T> {
        self.topics.remove(topic)
    }

    /// Keeps the topics for which `keep` returns true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut T) -> bool) {
        self.topics.retain(|topic, value| keep(topic, value));
    }

    /// Every topic with its value, in byte order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.topics.iter().map(|(topic, value)| (&**topic, value))
    }

    /// Visits every topic that matches the filter, each once, in byte order.
    ///
    /// A topic that begins with `$` is not matched by a filter whose first level is a wildcard ([MQTT-4.7.2-1]).
    pub fn for_each_match<'a>(&'a self, filter: &str, visit: impl FnMut(&str, &'a T)) {
        let finished = self.visit_some(filter, &mut Cursor::default(), usize::MAX, visit);
        debug_assert!(finished);
    }

    /// The same in slices, so that a filter which sees a million topics does not hold everything else up: looks at no
    /// more than `budget` topics, matching or not, and returns whether the walk is finished. If not, the next call with
    /// the same filter and cursor goes on; a topic that is inserted or removed between the calls may be missed or not,
    /// every other is visited once.
    pub fn visit_some<'a>(
        &'a self,
        filter: &str,
        cursor: &mut Cursor,
        budget: usize,
        mut visit: impl FnMut(&str, &'a T),
    ) -> bool {
        if !filter.contains(['+', '#']) {
            if let Some((topic, value)) = self.topics.get_key_value(filter) {
                visit(topic, value);
            }
            return true;
        }
        let mut target = std::mem::take(&mut cursor.from);
        if target.is_empty() {
            target.push_str(literal_prefix(filter));
        }
        let mut candidates = self.from(&target);
        let mut near = 0;
        for _ in 0..budget {
            let Some((topic, value)) = candidates.next() else { return true };
            if near > 0 && **topic < *target {
                near -= 1;
                if near == 0 {
                    candidates = self.from(&target);
                }
                continue;
            }
            near = 0;
            match step(filter, topic, &mut target) {
                Step::Match => visit(topic, value),
                Step::Next => {}
                Step::Leap => near = NEAR,
                Step::End => return true,
            }
        }
        match candidates.next() {
            Some((topic, _)) if near > 0 && **topic < *target => cursor.from = target,
            Some((topic, _)) => cursor.from.push_str(topic),
            None => return true,
        }
        false
    }

    fn from(&self, target: &str) -> std::collections::btree_map::Range<'_, Box<str>, T> {
        self.topics.range::<str, _>((Bound::Included(target), Bound::Unbounded))
    }
}

impl<T> Default for TopicMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The levels before the first wildcard: every match begins with them.
fn literal_prefix(filter: &str) -> &str {
    let wildcard = filter.find(['+', '#']).unwrap_or(filter.len());
    filter[..wildcard].trim_end_matches('/')
}

/// Compares a topic with a filter; for `Step::Leap`, puts the text to go on from into `target`.
///
/// `/` is followed by `0` in byte order, so that "everything below `a`" ends where `a0` begins.
fn step(filter: &str, topic: &str, target: &mut String) -> Step {
    if is_hidden(topic) && filter.starts_with(['+', '#']) {
        return leap(target, &["%"]);
    }
    let mut wanted_levels = filter.split('/');
    let mut levels = topic.split('/');
    // Where the current level begins, where the last one under a `+` ends, and whether that was the one before.
    let (mut begin, mut plus_end, mut after_plus) = (0, None, false);
    loop {
        let (wanted, level) = match (wanted_levels.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return Step::Match,
            (Some(_), None) if after_plus => return Step::Next,
            (Some(_), None) => return leap(target, &[topic, "/"]),
            (None, Some(_)) => return leap(target, &[&topic[..begin - 1], "0"]),
            (Some(wanted), Some(level)) => (wanted, level),
        };
        after_plus = wanted == "+";
        if after_plus {
            plus_end = Some(begin + level.len());
        } else if wanted != level {
            return leap_to_level(topic, begin, wanted, wanted_levels.next().is_some(), plus_end, target);
        }
        begin += level.len() + 1;
    }
}

/// The level of `topic` that begins at `begin` should be `wanted` and is not.
fn leap_to_level(
    topic: &str,
    begin: usize,
    wanted: &str,
    more_levels: bool,
    plus_end: Option<usize>,
    target: &mut String,
) -> Step {
    let tail = &topic.as_bytes()[begin..];
    if wanted.as_bytes() > tail {
        return leap(target, &[&topic[..begin], wanted]);
    }
    if more_levels && wanted.bytes().chain([b'/']).gt(tail.iter().copied()) {
        return leap(target, &[&topic[..begin], wanted, "/"]);
    }
    match plus_end {
        Some(end) => leap(target, &[&topic[..end], "0"]),
        None => Step::End,
    }
}

fn leap(target: &mut String, parts: &[&str]) -> Step {
    target.clear();
    target.extend(parts.iter().copied());
    Step::Leap
}
