//! Entries behind 32-bit handles.

use crate::prefetch::prefetch;

/// Slots in one chunk: large enough that the list of chunks stays in the cache, small enough that growing by one is
/// not felt.
const CHUNK_LEN: usize = 1024;

/// Ends a chunk's list of free slots.
const END: u32 = u32::MAX;

/// A store of entries that never move: it grows by chunks, so that no insertion copies what is already there, and it
/// gives a chunk back to the allocator when its last entry is removed.
pub(crate) struct Arena<T> {
    chunks: Vec<Chunk<T>>,
    /// The chunks that have room; the last one is filled first.
    open: Vec<u32>,
    len: usize,
}

struct Chunk<T> {
    slots: Vec<Slot<T>>,
    first_free: u32,
    len: u32,
}

enum Slot<T> {
    Free { next: u32 },
    Full(T),
}

impl<T> Arena<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new(), open: Vec::new(), len: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Slots for which memory is held.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.slots.capacity()).sum()
    }

    pub(crate) fn insert(&mut self, entry: T) -> u32 {
        let index = self.open_chunk();
        let chunk = &mut self.chunks[index as usize];
        let slot = chunk.insert(entry);
        if chunk.len as usize == CHUNK_LEN {
            self.open.pop();
        }
        self.len += 1;
        index * CHUNK_LEN as u32 + slot
    }

    /// Takes out the entry of a handle that `insert` gave and that was not removed since.
    pub(crate) fn remove(&mut self, handle: u32) -> T {
        let (index, slot) = place(handle);
        let chunk = &mut self.chunks[index];
        if chunk.len as usize == CHUNK_LEN {
            self.open.push(index as u32);
        }
        let entry = chunk.remove(slot);
        self.len -= 1;
        if self.len == 0 {
            *self = Self::new();
        }
        entry
    }

    /// Says that an entry will be read soon.
    #[inline]
    pub(crate) fn prefetch(&self, handle: u32) {
        let (chunk, slot) = place(handle);
        prefetch(&self.chunks[chunk].slots[slot]);
    }

    #[inline]
    pub(crate) fn get(&self, handle: u32) -> &T {
        let (chunk, slot) = place(handle);
        match &self.chunks[chunk].slots[slot] {
            Slot::Full(entry) => entry,
            Slot::Free { .. } => unreachable!("handle {handle} outlived its entry"),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, handle: u32) -> &mut T {
        let (chunk, slot) = place(handle);
        match &mut self.chunks[chunk].slots[slot] {
            Slot::Full(entry) => entry,
            Slot::Free { .. } => unreachable!("handle {handle} outlived its entry"),
        }
    }

    /// Every entry with its handle, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().enumerate().flat_map(|(index, chunk)| {
            let first = (index * CHUNK_LEN) as u32;
            chunk.slots.iter().enumerate().filter_map(move |(slot, entry)| match entry {
                Slot::Full(entry) => Some((first + slot as u32, entry)),
                Slot::Free { .. } => None,
            })
        })
    }

    fn open_chunk(&mut self) -> u32 {
        if let Some(&index) = self.open.last() {
            return index;
        }
        let index = self.chunks.len() as u32;
        assert!(index < END / CHUNK_LEN as u32 / 2, "an arena holds at most 2^31 entries");
        self.chunks.push(Chunk { slots: Vec::new(), first_free: END, len: 0 });
        self.open.push(index);
        index
    }
}

impl<T> Chunk<T> {
    fn insert(&mut self, entry: T) -> u32 {
        self.len += 1;
        let slot = self.first_free;
        if slot == END {
            self.slots.push(Slot::Full(entry));
            return self.slots.len() as u32 - 1;
        }
        match std::mem::replace(&mut self.slots[slot as usize], Slot::Full(entry)) {
            Slot::Free { next } => self.first_free = next,
            Slot::Full(_) => unreachable!("slot {slot} is in the list of free slots"),
        }
        slot
    }

    fn remove(&mut self, slot: usize) -> T {
        let free = Slot::Free { next: self.first_free };
        let Slot::Full(entry) = std::mem::replace(&mut self.slots[slot], free) else {
            unreachable!("slot {slot} was removed twice");
        };
        self.first_free = slot as u32;
        self.len -= 1;
        if self.len == 0 {
            self.slots = Vec::new();
            self.first_free = END;
        }
        entry
    }
}

const fn place(handle: u32) -> (usize, usize) {
    (handle as usize / CHUNK_LEN, handle as usize % CHUNK_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reuses_slots_and_returns_chunks() {
        let mut arena = Arena::new();
        let handles: Vec<u32> = (0..3 * CHUNK_LEN).map(|entry| arena.insert(entry)).collect();
        assert_eq!(arena.capacity(), 3 * CHUNK_LEN);
        for &handle in &handles[CHUNK_LEN..2 * CHUNK_LEN] {
            arena.remove(handle);
        }
        assert_eq!(arena.capacity(), 2 * CHUNK_LEN);
        arena.remove(handles[0]);
        let again: Vec<u32> = (0..=CHUNK_LEN).map(|_| arena.insert(0)).collect();
        assert!(again.contains(&handles[0]));
        assert_eq!(arena.capacity(), 3 * CHUNK_LEN);
        assert_eq!(*arena.get(handles[1]), 1);
        for handle in arena.iter().map(|(handle, _)| handle).collect::<Vec<_>>() {
            arena.remove(handle);
        }
        assert_eq!((arena.len(), arena.capacity()), (0, 0));
    }
}
