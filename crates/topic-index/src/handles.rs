//! A hash table of handles, and the keyed hash beneath it.

use std::hash::{BuildHasher, Hasher, RandomState};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;
use hashbrown::HashTable;

/// Below this many entries a table is not worth shrinking.
const SHRINK_MIN: usize = 64;

/// The secret of one index. Peers choose what is hashed; without the secret they cannot choose what collides.
pub(crate) struct Secret {
    shared: SharedSeed,
    own: u64,
}

impl Secret {
    /// A secret from the operating system's randomness, by way of std's `RandomState`.
    pub(crate) fn random() -> Self {
        let state = RandomState::new();
        Self { shared: SharedSeed::from_u64(state.hash_one(0)), own: state.hash_one(1) }
    }

    #[inline]
    pub(crate) fn hash(&self, text: &[u8]) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.own, &self.shared);
        hasher.write(text);
        hasher.finish()
    }

    /// The hash of an edge of the trie, from its parent and the hash of its level.
    #[inline]
    pub(crate) fn hash_edge(&self, parent: u32, level_hash: u64) -> u64 {
        let product = u128::from(level_hash ^ u64::from(parent)) * u128::from(self.own | 1);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

/// Handles by the hash of what they stand for; equality is the caller's to judge.
///
/// A slot holds the handle and 32 bits of its hash, so that growing touches nothing but the table, and a false
/// candidate costs no look at its entry.
pub(crate) struct HandleTable {
    slots: HashTable<Slot>,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    handle: u32,
}

impl HandleTable {
    pub(crate) const fn new() -> Self {
        Self { slots: HashTable::new() }
    }

    /// Handles that fit before the table grows.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity()
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let short = shorten(hash);
        self.slots.find(widen(short), |slot| slot.hash == short && is_it(slot.handle)).map(|slot| slot.handle)
    }

    /// Adds a handle that is not in the table.
    pub(crate) fn insert(&mut self, hash: u64, handle: u32) {
        let hash = shorten(hash);
        self.slots.insert_unique(widen(hash), Slot { hash, handle }, |slot| widen(slot.hash));
    }

    /// Removes a handle that is in the table.
    pub(crate) fn remove(&mut self, hash: u64, handle: u32) {
        let hash = shorten(hash);
        match self.slots.find_entry(widen(hash), |slot| slot.handle == handle) {
            Ok(entry) => entry.remove(),
            Err(_) => unreachable!("handle {handle} is not in the table"),
        };
        self.shrink();
    }

    /// Shrinks at a quarter of the capacity to a half of it: far enough from the next growth that a filter coming and
    /// going does not rebuild the table each time.
    fn shrink(&mut self) {
        let len = self.slots.len();
        if len == 0 || (self.slots.capacity() >= SHRINK_MIN && len < self.slots.capacity() / 4) {
            self.slots.shrink_to(len * 2, |slot| widen(slot.hash));
        }
    }
}

const fn shorten(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The table places an entry by the low bits of its hash and filters by the highest seven: both come from the 32 kept.
const fn widen(hash: u32) -> u64 {
    ((hash as u64) << 32) | hash as u64
}
