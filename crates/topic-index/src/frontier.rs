//! The nodes that a walk has reached at one level.

/// Most walks reach a handful of nodes: these need no allocation.
const INLINE_LEN: usize = 32;

/// A list of node handles that goes to the heap only when it is long.
pub(crate) struct Frontier {
    inline: [u32; INLINE_LEN],
    len: usize,
    /// Holds all of them once there are more than fit inline.
    spill: Vec<u32>,
}

impl Frontier {
    #[inline]
    pub(crate) const fn new() -> Self {
        Self { inline: [0; INLINE_LEN], len: 0, spill: Vec::new() }
    }

    #[inline]
    pub(crate) const fn of(handle: u32) -> Self {
        let mut frontier = Self::new();
        frontier.inline[0] = handle;
        frontier.len = 1;
        frontier
    }

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(crate) fn push(&mut self, handle: u32) {
        if self.len < INLINE_LEN {
            self.inline[self.len] = handle;
        } else {
            if self.len == INLINE_LEN {
                self.spill.extend_from_slice(&self.inline);
            }
            self.spill.push(handle);
        }
        self.len += 1;
    }

    #[inline]
    pub(crate) fn as_slice(&self) -> &[u32] {
        if self.len > INLINE_LEN { &self.spill } else { &self.inline[..self.len] }
    }

    /// Forgets the handles and keeps the memory for the next level.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.spill.clear();
    }
}
