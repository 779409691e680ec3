//! Packet identifiers in flight (sections 2.2.1 and 4.6): the window of a sender and the set of a QoS 2 receiver.

use std::collections::VecDeque;

/// Packet identifiers run from 1 to this and then start again.
const IDS: u32 = 65_535;

/// Messages sent at QoS 1 or 2 that the peer has not acknowledged to the end, in the order in which they were sent.
///
/// Identifiers are given out in sequence, so the window is a ring that begins at the oldest unacknowledged message:
/// finding one is an index, and what is acknowledged in order costs no search. A message that the peer never
/// acknowledges holds the ring open until all 65,535 identifiers are used.
#[derive(Clone, Debug)]
pub struct SendWindow<T> {
    /// Identifier of the front of `ring`.
    first: u16,
    ring: VecDeque<Option<T>>,
    live: u16,
}

impl<T> Default for SendWindow<T> {
    fn default() -> Self {
        Self { first: 1, ring: VecDeque::new(), live: 0 }
    }
}

impl<T> SendWindow<T> {
    /// Messages in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.live)
    }

    /// Whether nothing is in flight.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Whether an identifier is left to give out.
    #[must_use]
    pub fn has_id(&self) -> bool {
        self.ring.len() < IDS as usize
    }

    /// Puts a message into flight and returns its identifier, or gives it back when no identifier is free.
    ///
    /// # Errors
    /// The message, when all identifiers are in use.
    pub fn push(&mut self, message: T) -> Result<u16, T> {
        if !self.has_id() {
            return Err(message);
        }
        let id = nth_id(self.first, self.ring.len());
        self.ring.push_back(Some(message));
        self.live += 1;
        Ok(id)
    }

    /// The message in flight with this identifier.
    pub fn get_mut(&mut self, id: u16) -> Option<&mut T> {
        let index = self.index(id)?;
        self.ring.get_mut(index)?.as_mut()
    }

    /// Takes a message out of flight.
    pub fn remove(&mut self, id: u16) -> Option<T> {
        let index = self.index(id)?;
        let message = self.ring.get_mut(index)?.take()?;
        self.live -= 1;
        while let Some(None) = self.ring.front() {
            self.ring.pop_front();
            self.first = nth_id(self.first, 1);
        }
        if self.ring.is_empty() && self.ring.capacity() > 64 {
            self.ring = VecDeque::new();
        }
        Some(message)
    }

    /// The messages in flight with their identifiers, oldest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u16, &mut T)> {
        let first = self.first;
        self.ring
            .iter_mut()
            .enumerate()
            .filter_map(move |(index, slot)| slot.as_mut().map(|message| (nth_id(first, index), message)))
    }

    fn index(&self, id: u16) -> Option<usize> {
        if id == 0 {
            return None;
        }
        let index = (u32::from(id) + IDS - u32::from(self.first)) % IDS;
        Some(index as usize)
    }
}

/// The identifier `n` places after `first`, leaving out 0.
fn nth_id(first: u16, n: usize) -> u16 {
    ((u32::from(first) - 1 + n as u32) % IDS + 1) as u16
}

/// Identifiers of QoS 2 messages that were received and not released yet (section 4.3.3, method B).
#[derive(Clone, Debug, Default)]
pub struct ReceivedIds {
    sorted: VecDeque<u16>,
}

impl ReceivedIds {
    /// Identifiers held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Whether the identifier is held.
    #[must_use]
    pub fn contains(&self, id: u16) -> bool {
        self.sorted.binary_search(&id).is_ok()
    }

    /// Holds an identifier; `false` when it was held before, so that the message is a repetition.
    pub fn insert(&mut self, id: u16) -> bool {
        match self.sorted.binary_search(&id) {
            Ok(_) => false,
            Err(place) => {
                self.sorted.insert(place, id);
                true
            }
        }
    }

    /// Releases an identifier; `false` when it was not held.
    pub fn remove(&mut self, id: u16) -> bool {
        self.sorted.binary_search(&id).map(|place| self.sorted.remove(place)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_run_in_sequence_and_skip_zero() {
        let mut window = SendWindow::default();
        for round in 0..3_u32 {
            for n in 0..IDS {
                let id = window.push(n).unwrap();
                assert_eq!(u32::from(id), n + 1, "round {round}");
                assert_eq!(window.remove(id), Some(n));
            }
        }
        assert!(window.is_empty());
    }

    #[test]
    fn acknowledged_out_of_order() {
        let mut window = SendWindow::default();
        let ids: Vec<u16> = (0..5).map(|n| window.push(n).unwrap()).collect();
        assert_eq!(window.remove(ids[2]), Some(2));
        assert_eq!(window.remove(ids[2]), None);
        assert_eq!(window.remove(ids[0]), Some(0));
        assert_eq!(window.len(), 3);
        assert_eq!(window.iter_mut().map(|(id, n)| (id, *n)).collect::<Vec<_>>(), [(2, 1), (4, 3), (5, 4)]);
        assert_eq!(window.push(5), Ok(6));
        assert_eq!(window.remove(0), None);
        assert_eq!(window.remove(7), None);
    }

    #[test]
    fn full_when_every_identifier_is_in_flight() {
        let mut window = SendWindow::default();
        for _ in 0..IDS {
            window.push(()).unwrap();
        }
        assert_eq!(window.push(()), Err(()));
        assert_eq!(window.remove(1), Some(()));
        assert_eq!(window.push(()), Ok(1));
        assert_eq!(window.len(), IDS as usize);
    }

    #[test]
    fn received_ids() {
        let mut ids = ReceivedIds::default();
        assert!(ids.insert(65_535) && ids.insert(1) && ids.insert(2));
        assert!(!ids.insert(1) && ids.contains(2));
        assert!(ids.remove(1) && !ids.remove(1));
        assert_eq!(ids.len(), 2);
    }
}
