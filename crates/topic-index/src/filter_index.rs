//! Filter to value, asked with a topic.

use crate::exact::ExactMap;
use crate::handles::Secret;
use crate::matching::{has_wildcard, is_hidden};
use crate::wild::WildTrie;

/// A map from topic filters to values that finds all filters matching a topic.
///
/// A filter without wildcards is found by one hash look-up; the wildcard filters are walked only when there are any,
/// and the walk looks at each node of their trie at most once, whatever the filters and the topic.
///
/// The caller has checked filters and topics against MQTT 5.0, section 4.7; others do no harm beyond matching oddly.
///
/// ```
/// let mut index = topic_index::FilterIndex::new();
/// index.get_or_insert_with("sensors/+/temperature", Vec::new).push("alice");
/// index.get_or_insert_with("sensors/7/temperature", Vec::new).push("bob");
/// let mut found: Vec<&str> = Vec::new();
/// index.for_each_match("sensors/7/temperature", |subscribers| found.extend(subscribers));
/// found.sort();
/// assert_eq!(found, ["alice", "bob"]);
/// ```
pub struct FilterIndex<T> {
    exact: ExactMap<T>,
    wild: WildTrie<T>,
    secret: Secret,
}

/// How much an index holds, to watch its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterIndexStats {
    /// Filters without wildcards.
    pub exact_filters: usize,
    /// Filters with wildcards.
    pub wildcard_filters: usize,
    /// Inner nodes of the wildcard trie, its root not counted.
    pub nodes: usize,
    /// Entries for which memory is held, used or not, over all tables and arenas.
    pub capacity: usize,
}

impl<T> FilterIndex<T> {
    /// An empty index, which holds no memory.
    #[must_use]
    pub fn new() -> Self {
        Self { exact: ExactMap::new(), wild: WildTrie::new(), secret: Secret::random() }
    }

    /// The number of filters.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.exact.len() + self.wild.len()
    }

    /// Whether there is no filter.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the index holds.
    #[must_use]
    pub fn stats(&self) -> FilterIndexStats {
        FilterIndexStats {
            exact_filters: self.exact.len(),
            wildcard_filters: self.wild.len(),
            nodes: self.wild.node_count(),
            capacity: self.exact.capacity() + self.wild.capacity(),
        }
    }

    /// The value of exactly this filter; wildcards in it are not expanded.
    #[must_use]
    pub fn get(&self, filter: &str) -> Option<&T> {
        if has_wildcard(filter) {
            self.wild.find(&self.secret, filter.as_bytes()).map(|handle| self.wild.value(handle))
        } else {
            self.exact.find(&self.secret, filter.as_bytes()).map(|handle| self.exact.value(handle))
        }
    }

    /// The value of exactly this filter, to change it.
    pub fn get_mut(&mut self, filter: &str) -> Option<&mut T> {
        if has_wildcard(filter) {
            let handle = self.wild.find(&self.secret, filter.as_bytes())?;
            Some(self.wild.value_mut(handle))
        } else {
            let handle = self.exact.find(&self.secret, filter.as_bytes())?;
            Some(self.exact.value_mut(handle))
        }
    }

    /// The value of exactly this filter, which is added with the value from `make` where it is absent.
    pub fn get_or_insert_with(&mut self, filter: &str, make: impl FnOnce() -> T) -> &mut T {
        let text = filter.as_bytes();
        if has_wildcard(filter) {
            let found = self.wild.find(&self.secret, text);
            let handle = found.unwrap_or_else(|| self.wild.insert(&self.secret, text, make()));
            self.wild.value_mut(handle)
        } else {
            let found = self.exact.find(&self.secret, text);
            let handle = found.unwrap_or_else(|| self.exact.insert(&self.secret, text, make()));
            self.exact.value_mut(handle)
        }
    }

    /// Removes exactly this filter, and what only it needed.
    pub fn remove(&mut self, filter: &str) -> Option<T> {
        if has_wildcard(filter) {
            self.wild.remove(&self.secret, filter.as_bytes())
        } else {
            self.exact.remove(&self.secret, filter.as_bytes())
        }
    }

    /// Visits the value of every filter that matches the topic, each once, in no particular order.
    ///
    /// A topic that begins with `$` is not matched by a filter whose first level is a wildcard ([MQTT-4.7.2-1]).
    #[inline]
    pub fn for_each_match<'a>(&'a self, topic: &str, mut visit: impl FnMut(&'a T)) {
        if let Some(handle) = self.exact.find(&self.secret, topic.as_bytes()) {
            visit(self.exact.value(handle));
        }
        if !self.wild.is_empty() {
            self.wild.for_each_match(&self.secret, topic.as_bytes(), is_hidden(topic), visit);
        }
    }

    /// Visits every filter with its value, in no particular order.
    pub fn for_each(&self, mut visit: impl FnMut(&str, &T)) {
        let mut visit = |filter: &[u8], value: &T| {
            visit(std::str::from_utf8(filter).expect("filters come in as str and levels end at '/'"), value);
        };
        self.exact.iter().for_each(|(filter, value)| visit(filter, value));
        self.wild.for_each(visit);
    }
}

impl<T> Default for FilterIndex<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for FilterIndex<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_map();
        self.for_each(|filter, value| {
            map.entry(&filter, value);
        });
        map.finish()
    }
}
