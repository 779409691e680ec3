//! Many clients, each with a schedule of its own, merged into one sequence of due times.
//!
//! An agenda answers "whose message is due next?" for the clients of one event loop. Clients join when they are ready
//! to publish and leave when their connection ends; a client that joins again starts a new plan.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::schedule::Schedule;

/// A message that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When it was planned, in nanoseconds.
    pub due_ns: u64,
    /// Whose it is.
    pub client: u32,
}

/// The merged plan of the clients of one event loop.
#[derive(Debug, Default)]
pub struct Agenda {
    /// The next message of every client, earliest first, with the life of the client that planned it.
    heap: BinaryHeap<Reverse<(Due, u32)>>,
    plans: Vec<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    /// `None` when the client is not on the agenda.
    schedule: Option<Schedule>,
    /// How often the client left. An entry of an earlier life is dropped when it comes up.
    life: u32,
}

impl Agenda {
    /// An agenda without clients.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a client, or gives it a new plan. The schedule must not be flat out: what is always due has no place in a
    /// sequence of due times.
    ///
    /// # Panics
    /// When the schedule is flat out.
    pub fn join(&mut self, client: u32, schedule: Schedule) {
        assert!(!schedule.is_flat_out(), "a flat-out schedule has no due times to merge");
        self.leave(client);
        let index = client as usize;
        if index >= self.plans.len() {
            self.plans.resize_with(index + 1, Plan::default);
        }
        let plan = &mut self.plans[index];
        self.heap.push(Reverse((Due { due_ns: schedule.next_due_ns(), client }, plan.life)));
        plan.schedule = Some(schedule);
    }

    /// Ends a client's plan. Harmless for a client that is not on the agenda.
    pub fn leave(&mut self, client: u32) {
        if let Some(plan) = self.plans.get_mut(client as usize) {
            plan.life = plan.life.wrapping_add(1);
            plan.schedule = None;
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
            let plan = &mut self.plans[due.client as usize];
            let Some(schedule) = plan.schedule.as_mut().filter(|_| plan.life == life) else {
                PeekMut::pop(top);
                continue;
            };
            schedule.take_due(due.due_ns);
            top.0.0.due_ns = schedule.next_due_ns();
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
        let mut agenda = Agenda::new();
        agenda.join(1, Schedule::every(3, 10));
        agenda.join(0, Schedule::every(0, 10));
        agenda.join(2, Schedule::every(12, 5));
        assert_eq!(drain(&mut agenda, 22), [(0, 0), (3, 1), (10, 0), (12, 2), (13, 1), (17, 2), (20, 0), (22, 2)]);
        assert_eq!(agenda.next_due_ns(), Some(23));
    }

    #[test]
    fn a_client_that_left_is_not_due_and_may_come_back() {
        let mut agenda = Agenda::new();
        agenda.join(0, Schedule::every(0, 10));
        agenda.join(1, Schedule::every(5, 10));
        agenda.leave(0);
        agenda.leave(7);
        assert_eq!(drain(&mut agenda, 6), [(5, 1)]);
        agenda.join(0, Schedule::every(8, 10));
        assert_eq!(drain(&mut agenda, 18), [(8, 0), (15, 1), (18, 0)]);
        agenda.join(0, Schedule::every(30, 1));
        assert_eq!(drain(&mut agenda, 31), [(25, 1), (30, 0), (31, 0)]);
    }

    /// A sender keeps a copy of its schedule to know which messages still wait: it must agree with the agenda.
    #[test]
    fn a_copy_of_a_random_schedule_gives_the_same_due_times() {
        let mut agenda = Agenda::new();
        let mut copies: Vec<_> = (0..10).map(|seed| Schedule::poisson(0, 1e6, seed)).collect();
        copies.iter().enumerate().for_each(|(client, schedule)| agenda.join(client as u32, schedule.clone()));
        let dues = drain(&mut agenda, 1_000_000);
        assert!((9_500..10_500).contains(&dues.len()), "10 clients at 1 per 1,000 ns gave {}", dues.len());
        for (due_ns, client) in dues {
            assert_eq!(copies[client as usize].take_due(u64::MAX), Some(due_ns));
        }
    }
}
