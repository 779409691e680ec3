//! A hash table of handles, and the keyed hash beneath it.

use std::hash::{BuildHasher, Hasher, RandomState};

use foldhash::SharedSeed;
use foldhash::quality::FoldHasher;

use crate::prefetch::prefetch;

/// Slots of one bucket: hashes and handles together fill one cache line.
const BUCKET_LEN: usize = 8;

/// Handles in a segment on average, above which one segment is split, and below which one is merged. They bound the work
/// that a single insertion or removal may cause.
const SPLIT_LEN: usize = 3000;
const MERGE_LEN: usize = 1000;

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
/// A table of segments that grows by linear hashing (Litwin, 1980): when it is too full on average, the next segment in
/// turn is split in two. So no insertion ever moves more than one segment, where a table that doubles would stop a broker
/// with a million subscriptions for tens of milliseconds. A segment is an array of buckets of one cache line each, with
/// linear probing from bucket to bucket: a look-up costs one cache miss, and 32 bits of each hash are at hand, so that a
/// false candidate costs no look at its entry, and moving a handle does not either.
pub(crate) struct HandleTable {
    segments: Vec<Segment>,
    len: usize,
}

#[derive(Default)]
struct Segment {
    buckets: Box<[Bucket]>,
    len: usize,
}

/// The used slots of a bucket come first; an unused one has hash 0, which no handle has.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    hashes: [u32; BUCKET_LEN],
    handles: [u32; BUCKET_LEN],
}

impl HandleTable {
    pub(crate) const fn new() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }

    /// Slots for which memory is held.
    pub(crate) fn capacity(&self) -> usize {
        self.segments.iter().map(Segment::capacity).sum()
    }

    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let hash = shorten(hash);
        self.segments.get(self.segment(hash))?.find(hash, is_it)
    }

    /// Says that a hash will be looked up soon.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let hash = shorten(hash);
        let segment = self.segments.get(self.segment(hash));
        if let Some(bucket) = segment.and_then(|segment| segment.buckets.get(segment.home(hash))) {
            prefetch(bucket);
        }
    }

    /// A handle with this hash, which may stand for something else all the same.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<u32> {
        self.find(hash, |_| true)
    }

    /// Adds a handle that is not in the table.
    pub(crate) fn insert(&mut self, hash: u64, handle: u32) {
        if self.len >= self.segments.len() * SPLIT_LEN {
            self.split();
        }
        let hash = shorten(hash);
        let segment = self.segment(hash);
        self.segments[segment].insert(hash, handle);
        self.len += 1;
    }

    /// Removes a handle that is in the table.
    pub(crate) fn remove(&mut self, hash: u64, handle: u32) {
        let hash = shorten(hash);
        let segment = self.segment(hash);
        self.segments[segment].remove(hash, handle);
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
        } else if self.segments.len() > 1 && self.len < (self.segments.len() - 1) * MERGE_LEN {
            self.merge();
        }
    }

    /// The segment of a hash: as many of its low bits as there are segments, or one less where that segment has not been
    /// split yet.
    #[inline]
    fn segment(&self, hash: u32) -> usize {
        let mask = self.segments.len().next_power_of_two() - 1;
        let segment = hash as usize & mask;
        if segment < self.segments.len() { segment } else { segment & (mask >> 1) }
    }

    /// Adds a segment, and moves to it what belongs there.
    fn split(&mut self) {
        let new = self.segments.len();
        self.segments.push(Segment::default());
        if new == 0 {
            return;
        }
        let old = buddy(new);
        let mask = (new + 1).next_power_of_two() - 1;
        let (moves, stays): (Vec<_>, Vec<_>) =
            self.segments[old].slots().partition(|(hash, _)| *hash as usize & mask == new);
        self.segments[old] = Segment::of(&stays);
        self.segments[new] = Segment::of(&moves);
    }

    /// The reverse of `split`.
    fn merge(&mut self) {
        let Some(last) = self.segments.pop() else { return };
        let old = buddy(self.segments.len());
        let slots: Vec<_> = self.segments[old].slots().chain(last.slots()).collect();
        self.segments[old] = Segment::of(&slots);
    }
}

impl Segment {
    /// A segment with room to grow.
    fn of(slots: &[(u32, u32)]) -> Self {
        let mut segment = Self::with_buckets((slots.len() * 3 / 2).div_ceil(BUCKET_LEN));
        for &(hash, handle) in slots {
            segment.insert(hash, handle);
        }
        segment
    }

    fn with_buckets(count: usize) -> Self {
        Self { buckets: vec![Bucket::EMPTY; count].into_boxed_slice(), len: 0 }
    }

    const fn capacity(&self) -> usize {
        self.buckets.len() * BUCKET_LEN
    }

    #[inline]
    fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(hash);
        loop {
            let bucket = self.buckets.get(place)?;
            let mut found = bucket.matches(hash);
            while found != 0 {
                let handle = bucket.handles[found.trailing_zeros() as usize];
                if is_it(handle) {
                    return Some(handle);
                }
                found &= found - 1;
            }
            if !bucket.is_full() {
                return None;
            }
            place = self.after(place);
        }
    }

    fn insert(&mut self, hash: u32, handle: u32) {
        if (self.len + 1) * 16 > self.capacity() * 13 {
            self.rebuild(self.buckets.len() + (self.buckets.len() / 4).max(1));
        }
        let mut place = self.home(hash);
        while self.buckets[place].is_full() {
            place = self.after(place);
        }
        self.buckets[place].push(hash, handle);
        self.len += 1;
    }

    fn remove(&mut self, hash: u32, handle: u32) {
        let mut place = self.home(hash);
        let slot = loop {
            let bucket = &self.buckets[place];
            if let Some(slot) = (0..BUCKET_LEN).find(|&at| bucket.hashes[at] == hash && bucket.handles[at] == handle) {
                break slot;
            }
            assert!(bucket.is_full(), "handle {handle} is not in the table");
            place = self.after(place);
        };
        self.take(place, slot);
        self.len -= 1;
        if self.len * 8 < self.capacity() * 3 {
            self.rebuild((self.len * 3 / 2).div_ceil(BUCKET_LEN));
        }
    }

    /// Empties a slot. A look-up ends at a bucket that is not full: a handle that had to go past this bucket moves back
    /// into it, and so on behind that one.
    fn take(&mut self, mut hole: usize, slot: usize) {
        let mut was_full = self.buckets[hole].is_full();
        self.buckets[hole].swap_remove(slot);
        let mut place = hole;
        while was_full {
            place = self.after(place);
            if place == hole {
                return;
            }
            let bucket = self.buckets[place];
            was_full = bucket.is_full();
            let count = self.buckets.len();
            let distance = |from: usize| (place + count - from) % count;
            let passed = |hash: u32| distance(self.home(hash)) >= distance(hole);
            if let Some(slot) = (0..bucket.len()).find(|&at| passed(bucket.hashes[at])) {
                self.buckets[hole].push(bucket.hashes[slot], bucket.handles[slot]);
                self.buckets[place].swap_remove(slot);
                hole = place;
            }
        }
    }

    fn rebuild(&mut self, buckets: usize) {
        let old = std::mem::replace(self, Self::with_buckets(buckets));
        for (hash, handle) in old.slots() {
            self.insert(hash, handle);
        }
    }

    fn slots(&self) -> impl Iterator<Item = (u32, u32)> {
        self.buckets.iter().flat_map(|bucket| (0..bucket.len()).map(|at| (bucket.hashes[at], bucket.handles[at])))
    }

    /// Where to look first: the high bits of the hash, scaled to the number of buckets.
    #[inline]
    const fn home(&self, hash: u32) -> usize {
        ((hash as u64 * self.buckets.len() as u64) >> 32) as usize
    }

    #[inline]
    const fn after(&self, place: usize) -> usize {
        if place + 1 == self.buckets.len() { 0 } else { place + 1 }
    }
}

impl Bucket {
    const EMPTY: Self = Self { hashes: [0; BUCKET_LEN], handles: [0; BUCKET_LEN] };

    /// A bit for each slot that has this hash.
    #[inline]
    fn matches(&self, hash: u32) -> u32 {
        let mut bits = 0;
        for (at, other) in self.hashes.iter().enumerate() {
            bits |= u32::from(*other == hash) << at;
        }
        bits
    }

    #[inline]
    const fn is_full(&self) -> bool {
        self.hashes[BUCKET_LEN - 1] != 0
    }

    fn len(&self) -> usize {
        self.hashes.iter().position(|hash| *hash == 0).unwrap_or(BUCKET_LEN)
    }

    fn push(&mut self, hash: u32, handle: u32) {
        let at = self.len();
        self.hashes[at] = hash;
        self.handles[at] = handle;
    }

    fn swap_remove(&mut self, at: usize) {
        let last = self.len() - 1;
        self.hashes[at] = self.hashes[last];
        self.handles[at] = self.handles[last];
        self.hashes[last] = 0;
    }
}

/// The segment from which a segment was split off.
const fn buddy(segment: usize) -> usize {
    segment - (1 << segment.ilog2())
}

/// The part of a hash that is kept, which is never 0.
#[inline]
const fn shorten(hash: u64) -> u32 {
    let hash = (hash >> 32) as u32;
    if hash == 0 { 1 } else { hash }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Handles and hashes that collide as often as `spread` lets them: in one bucket, in neighbours, in one hash.
    fn churn(spread: u64, most: u32) {
        let secret = Secret { shared: SharedSeed::from_u64(7), own: 11 };
        let hash = |handle: u32| secret.hash(&(u64::from(handle) % spread).to_le_bytes());
        let (mut table, mut model) = (HandleTable::new(), HashSet::new());
        let mut state = 1_u64;
        for step in 0..u64::from(most) * 8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let handle = (state >> 33) as u32 % most;
            // Grows for half of the time and then shrinks to nothing.
            let grow = (state >> 20) & 3 != 0;
            if grow == (step < u64::from(most) * 4) {
                if model.insert(handle) {
                    table.insert(hash(handle), handle);
                }
            } else if model.remove(&handle) {
                table.remove(hash(handle), handle);
            }
            assert_eq!(table.find(hash(handle), |found| found == handle).is_some(), model.contains(&handle));
        }
        assert_eq!(table.len, model.len());
        for handle in 0..most {
            assert_eq!(table.find(hash(handle), |found| found == handle).is_some(), model.contains(&handle));
        }
        for handle in model {
            table.remove(hash(handle), handle);
        }
        assert_eq!(table.capacity(), 0);
    }

    #[test]
    fn keeps_what_is_put_in_however_it_collides() {
        churn(u64::MAX, 20_000);
        churn(300, 3_000);
        churn(3, 100);
        churn(1, 40);
    }

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }
}
