//! The heap of an agenda gives exactly the sorted union of its clients' arithmetic progressions.

use pacer::agenda::Agenda;
use pacer::schedule::Schedule;
use proptest::prelude::*;

proptest! {
    #[test]
    fn agenda_is_the_sorted_union(phases in prop::collection::vec(0u64..1_000, 1..30), interval in 1u64..500) {
        let until = 3_000;
        let mut agenda = Agenda::new();
        let mut expected = Vec::new();
        for (client, phase) in phases.iter().enumerate() {
            agenda.join(client as u32, Schedule::every(*phase, interval));
            expected.extend((*phase..=until).step_by(interval as usize).map(|due| (due, client as u32)));
        }
        expected.sort_unstable();
        let got: Vec<_> =
            std::iter::from_fn(|| agenda.take_due(until)).map(|due| (due.due_ns, due.client)).collect();
        prop_assert_eq!(got, expected);
    }
}
