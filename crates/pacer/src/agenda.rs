//! Many clients, each with the same cadence and a phase of its own, merged into one sequence of due times.
//!
//! An agenda answers "whose message is due next?" for the clients of one event loop. Clients join when they are ready
//! to publish and leave when their connection ends; a client that joins again starts a new plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::rng::Rng;

/// The gaps between the messages of one client.
#[derive(Debug, Clone)]
pub enum Cadence {
    /// The same gap every time, in nanoseconds.
    Every(u64),
    /// Exponential gaps with this mean in nanoseconds, drawn from the generator: independent arrivals.
    Poisson(u64, Rng),
}

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When it was planned, in nanoseconds.
    pub due_ns: u64,
    /// Whose it is.
    pub client: u32,
}

/// The merged plan of the clients of one event loop.
#[derive(Debug)]
pub struct Agenda {
    cadence: Cadence,
    heap: BinaryHeap<Reverse<(Due, u32)>>,
    /// Per client: how often it left. An entry of an earlier life is dropped when it comes up.
    lives: Vec<u32>,
}

impl Agenda {
    /// An agenda without clients. A cadence shorter than a nanosecond is taken as one nanosecond; flat-out publishing
    /// needs no agenda.
    #[must_use]
    pub fn new(cadence: Cadence) -> Self {
        Self { cadence, heap: BinaryHeap::new(), lives: Vec::new() }
    }

    /// Adds a client whose first message is due at `first_due_ns`. It must not be on the agenda already.
    pub fn join(&mut self, client: u32, first_due_ns: u64) {
        let index = client as usize;
        if index >= self.lives.len() {
            self.lives.resize(index + 1, 0);
        }
        self.heap.push(Reverse((Due { due_ns: first_due_ns, client }, self.lives[index])));
    }

    /// Ends a client's plan. Harmless for a client that never joined.
    pub fn leave(&mut self, client: u32) {
        if let Some(life) = self.lives.get_mut(client as usize) {
            *life = life.wrapping_add(1);
        }
    }

    /// When the next message is due; in the past when the caller is late. `None` without clients. May name the time of
    /// a client that has left.
    #[must_use]
    pub fn next_due_ns(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((due, _))| due.due_ns)
    }

    /// Takes the earliest message that is due at `now_ns`, and plans the client's next one.
    pub fn take_due(&mut self, now_ns: u64) -> Option<Due> {
        loop {
            let mut top = self.heap.peek_mut()?;
            let Reverse((due, life)) = *top;
            if due.due_ns > now_ns {
                return None;
            }
            if self.lives[due.client as usize] != life {
                PeekMut::pop(top);
                continue;
            }
            let gap_ns = match &mut self.cadence {
                Cadence::Every(interval_ns) => *interval_ns,
                Cadence::Poisson(mean_ns, rng) => rng.exponential(*mean_ns as f64).round() as u64,
            };
            top.0.0.due_ns = due.due_ns.saturating_add(gap_ns.max(1));
            return Some(due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(agenda: &mut Agenda, now_ns: u64) -> Vec<(u64, u32)> {
        std::iter::from_fn(|| agenda.take_due(now_ns)).map(|due| (due.due_ns, due.client)).collect()
    }

    #[test]
    fn merges_clients_in_order_of_due_time() {
        let mut agenda = Agenda::new(Cadence::Every(10));
        agenda.join(1, 3);
        agenda.join(0, 0);
        agenda.join(2, 12);
        assert_eq!(drain(&mut agenda, 22), [(0, 0), (3, 1), (10, 0), (12, 2), (13, 1), (20, 0), (22, 2)]);
        assert_eq!(agenda.next_due_ns(), Some(23));
    }

    #[test]
    fn a_client_that_left_is_not_due_and_may_come_back() {
        let mut agenda = Agenda::new(Cadence::Every(10));
        agenda.join(0, 0);
        agenda.join(1, 5);
        agenda.leave(0);
        agenda.leave(7);
        assert_eq!(drain(&mut agenda, 6), [(5, 1)]);
        agenda.join(0, 8);
        assert_eq!(drain(&mut agenda, 18), [(8, 0), (15, 1), (18, 0)]);
    }

    #[test]
    fn poisson_clients_keep_their_mean_rate() {
        let mut agenda = Agenda::new(Cadence::Poisson(1_000, Rng::new(1)));
        (0..10).for_each(|client| agenda.join(client, 0));
        let count = drain(&mut agenda, 1_000_000).len();
        assert!((9_500..10_500).contains(&count), "10 clients at 1 per 1,000 ns gave {count} in 1,000,000 ns");
    }
}
