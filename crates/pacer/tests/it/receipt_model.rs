//! A receiver that remembers everything, as the reference for the one that does not.

use std::collections::{BTreeSet, HashMap};

use pacer::receipt::{Receipts, Totals};
use proptest::prelude::*;

/// Remembers every number of every stream.
#[derive(Default)]
struct Naive {
    seen: HashMap<u64, BTreeSet<u32>>,
    duplicated: u64,
    out_of_order: u64,
    stale: u64,
    first: HashMap<u64, u32>,
}

impl Naive {
    fn record(&mut self, key: u64, sequence: u32) {
        let first = *self.first.entry(key).or_insert(sequence);
        let seen = self.seen.entry(key).or_default();
        if sequence < first {
            self.stale += 1;
        } else if seen.contains(&sequence) {
            self.duplicated += 1;
        } else {
            self.out_of_order += u64::from(seen.last().is_some_and(|highest| *highest > sequence));
            seen.insert(sequence);
        }
    }

    fn totals(&self) -> Totals {
        let delivered = self.seen.values().map(|seen| seen.len() as u64).sum();
        let span = |(key, seen): (&u64, &BTreeSet<u32>)| {
            seen.last().map_or(0, |highest| u64::from(*highest) - u64::from(self.first[key]) + 1)
        };
        let expected: u64 = self.seen.iter().map(span).sum();
        Totals {
            delivered,
            lost: expected - delivered,
            expired: 0,
            duplicated: self.duplicated,
            out_of_order: self.out_of_order,
            stale: self.stale,
        }
    }
}

/// What a bad network does to the next message of a stream.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Deliver,
    Drop,
    Repeat,
    /// Delivers it together with an earlier number, so many back.
    Echo(u32),
    /// Skips so many numbers.
    Jump(u32),
}

fn fates() -> impl Strategy<Value = Vec<(u64, Fate)>> {
    let fate = prop_oneof![
        8 => Just(Fate::Deliver),
        1 => Just(Fate::Drop),
        1 => Just(Fate::Repeat),
        2 => (1u32..40).prop_map(Fate::Echo),
        1 => (1u32..20).prop_map(Fate::Jump),
    ];
    prop::collection::vec((0u64..4, fate), 0..400)
}

proptest! {
    #[test]
    fn bounded_bookkeeping_agrees_with_remembering_everything(fates in fates(), base in 0u32..1_000) {
        let (mut receipts, mut naive) = (Receipts::new(), Naive::default());
        let mut next = [base; 4];
        let mut deliver = |key: u64, sequence: u32| {
            receipts.record(key, sequence);
            naive.record(key, sequence);
        };
        for (key, fate) in fates {
            let number = &mut next[key as usize];
            match fate {
                Fate::Deliver => deliver(key, *number),
                Fate::Drop => {}
                Fate::Repeat => {
                    deliver(key, *number);
                    deliver(key, *number);
                }
                Fate::Echo(back) => {
                    deliver(key, *number);
                    deliver(key, number.saturating_sub(back));
                }
                Fate::Jump(ahead) => *number += ahead,
            }
            *number += 1;
        }
        prop_assert_eq!(receipts.totals(), naive.totals());
    }

    /// Whatever arrives in whatever order: when everything from the first number on has come at least once, nothing
    /// is lost.
    #[test]
    fn a_complete_shuffled_delivery_loses_nothing(order in Just((1u32..200).collect::<Vec<_>>()).prop_shuffle()) {
        let mut receipts = Receipts::new();
        receipts.record(0, 0);
        for sequence in &order {
            receipts.record(0, *sequence);
        }
        let totals = receipts.totals();
        prop_assert_eq!((totals.delivered, totals.lost, totals.duplicated, totals.stale), (200, 0, 0, 0));
        let overtaken = |at: usize| order[..at].iter().any(|earlier| *earlier > order[at]);
        let out_of_order = (0..order.len()).filter(|at| overtaken(*at)).count() as u64;
        prop_assert_eq!(totals.out_of_order, out_of_order);
    }
}
