//! What all workers hold together, for the limits of the whole broker. Counted when something comes or goes, never for
//! a message on its way.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One set for all workers.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) connections: Total,
    pub(super) sessions: Total,
    pub(super) retained: Total,
    /// Bytes of the retained messages.
    pub(super) retained_bytes: Total,
}

/// A number with a limit.
#[derive(Debug, Default)]
pub(super) struct Total(AtomicUsize);

impl Total {
    /// Adds so many, unless there would be more than `most`; `false` then.
    pub(super) fn take(&self, count: usize, most: usize) -> bool {
        let more = |held: usize| held.checked_add(count).filter(|&sum| sum <= most);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// So many have gone.
    pub(super) fn give_back(&self, count: usize) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_up_to_the_limit_and_again_what_was_given_back() {
        let total = Total::default();
        assert!(total.take(2, 3) && total.take(1, 3));
        assert!(!total.take(1, 3) && !total.take(usize::MAX, usize::MAX));
        total.give_back(2);
        assert!(!total.take(3, 3) && total.take(2, 3));
    }
}
