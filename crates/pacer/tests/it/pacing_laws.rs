//! What every pacing promises: due times never go back, follow from the seed alone, do not depend on when they are asked
//! for, and have the rate that was asked for, however long the run.

use pacer::NS_PER_S;
use pacer::pacing::Pacing;
use pacer::schedule::Schedule;
use proptest::prelude::*;

/// All but flat out, which has no due times of its own.
fn pacings() -> impl Strategy<Value = Pacing> {
    prop_oneof![
        Just(Pacing::Constant),
        Just(Pacing::Poisson),
        (0.0..1_000.0, 0.1..1_000.0, 1..30 * NS_PER_S).prop_map(|(from_per_s, to_per_s, over_ns)| Pacing::Ramp {
            from_per_s,
            to_per_s,
            over_ns
        }),
        (1u32..50, 1_000..NS_PER_S).prop_map(|(count, period_ns)| Pacing::Burst { count, period_ns }),
    ]
}

fn first(schedule: &mut Schedule, count: usize) -> Vec<u64> {
    (0..count).filter_map(|_| schedule.take_due(u64::MAX - 1)).collect()
}

/// Messages due within `span_ns` of the start, where a real number is meaningful.
fn expected(pacing: Pacing, interval_ns: u64, span_ns: u64) -> f64 {
    let span = span_ns as f64;
    match pacing {
        Pacing::Constant | Pacing::Poisson => span / interval_ns as f64,
        Pacing::Burst { count, period_ns } => span / period_ns as f64 * f64::from(count),
        Pacing::Ramp { from_per_s, to_per_s, over_ns } => {
            let over = over_ns as f64;
            let inside = span.min(over);
            let at_end = from_per_s + (to_per_s - from_per_s) * inside / over;
            ((from_per_s + at_end) / 2.0 * inside + to_per_s * (span - inside)) / NS_PER_S as f64
        }
        Pacing::FlatOut => f64::INFINITY,
    }
}

proptest! {
    #[test]
    fn due_times_rise_and_follow_from_the_seed(
        pacing in pacings(), start in 0..u64::MAX / 4, interval in 1_000..NS_PER_S, index in any::<u32>(), seed in any::<u64>(),
    ) {
        let dues = first(&mut pacing.schedule(start, interval, index, seed), 300);
        prop_assert_eq!(dues.len(), 300);
        prop_assert!(dues.is_sorted() && dues[0] >= start);
        prop_assert_eq!(&dues, &first(&mut pacing.schedule(start, interval, index, seed), 300));
        // Poisson alone has chance in it.
        let other_seed = first(&mut pacing.schedule(start, interval, index, !seed), 300);
        prop_assert_eq!(dues != other_seed, pacing == Pacing::Poisson);
        // The same plan elsewhere in time: to the rounding of a nanosecond.
        let moved = first(&mut pacing.schedule(start + 12_345, interval, index, seed), 300);
        prop_assert!(dues.iter().zip(&moved).all(|(due, moved)| due + 12_345 == *moved));
    }

    #[test]
    fn asking_late_or_often_changes_nothing(
        pacing in pacings(), interval in 1_000_000..NS_PER_S, seed in any::<u64>(), steps in prop::collection::vec(0..NS_PER_S / 2, 1..20),
    ) {
        let (mut asked, mut now_ns) = (pacing.schedule(0, interval, 3, seed), 0);
        let mut got = Vec::new();
        for step in steps {
            now_ns += step;
            while let Some(due_ns) = asked.take_due(now_ns) {
                prop_assert!(due_ns <= now_ns);
                got.push(due_ns);
            }
            prop_assert!(asked.next_due_ns() > now_ns);
        }
        let mut at_once = pacing.schedule(0, interval, 3, seed);
        let all: Vec<u64> = std::iter::from_fn(|| at_once.take_due(now_ns)).collect();
        prop_assert_eq!(got, all);
    }

    /// The count over an hour differs from the rate's integral by no more than one message (one burst), and for Poisson
    /// by no more than six standard deviations: rounding does not add up.
    #[test]
    fn the_rate_is_kept_for_an_hour(pacing in pacings(), interval in 20_000_000..NS_PER_S, index in 0u32..10_000, seed in any::<u64>()) {
        let pacing = match pacing {
            // An hour of these would take long to count.
            Pacing::Ramp { from_per_s, to_per_s, over_ns } => {
                Pacing::Ramp { from_per_s: from_per_s / 20.0, to_per_s: to_per_s / 20.0, over_ns: over_ns * 100 }
            }
            Pacing::Burst { count, period_ns } => Pacing::Burst { count, period_ns: period_ns + NS_PER_S / 2 },
            other => other,
        };
        let span_ns = 3_600 * NS_PER_S;
        let mut schedule = pacing.schedule(0, interval, index, seed);
        let count = std::iter::from_fn(|| schedule.take_due(span_ns)).count() as f64;
        let expected = expected(pacing, interval, span_ns);
        let allowed = match pacing {
            Pacing::Poisson => 6.0 * expected.sqrt() + 1.0,
            Pacing::Burst { count, .. } => f64::from(count) + 0.001,
            _ => 1.001,
        };
        prop_assert!((count - expected).abs() <= allowed, "{} messages, {expected} expected", count);
    }
}
