//! Filters without wildcards: one hash look-up.

use crate::arena::Arena;
use crate::handles::{HandleTable, Secret};
use crate::text::Text;

/// Filter to value, for filters that match one topic only.
pub(crate) struct ExactMap<T> {
    entries: Arena<Entry<T>>,
    by_text: HandleTable,
}

struct Entry<T> {
    text: Text,
    value: T,
}

impl<T> ExactMap<T> {
    pub(crate) const fn new() -> Self {
        Self { entries: Arena::new(), by_text: HandleTable::new() }
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Slots held in the arena and in the table.
    pub(crate) fn capacity(&self) -> usize {
        self.entries.capacity() + self.by_text.capacity()
    }

    #[inline]
    pub(crate) fn find(&self, secret: &Secret, text: &[u8]) -> Option<u32> {
        self.by_text.find(secret.hash(text), |handle| self.entries.get(handle).text.bytes() == text)
    }

    #[inline]
    pub(crate) fn value(&self, handle: u32) -> &T {
        &self.entries.get(handle).value
    }

    pub(crate) fn value_mut(&mut self, handle: u32) -> &mut T {
        &mut self.entries.get_mut(handle).value
    }

    /// Adds a text that is not in the map.
    pub(crate) fn insert(&mut self, secret: &Secret, text: &[u8], value: T) -> u32 {
        let handle = self.entries.insert(Entry { text: Text::new(text), value });
        self.by_text.insert(secret.hash(text), handle);
        handle
    }

    pub(crate) fn remove(&mut self, secret: &Secret, text: &[u8]) -> Option<T> {
        let handle = self.find(secret, text)?;
        self.by_text.remove(secret.hash(text), handle);
        Some(self.entries.remove(handle).value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &T)> {
        self.entries.iter().map(|(_, entry)| (entry.text.bytes(), &entry.value))
    }
}
