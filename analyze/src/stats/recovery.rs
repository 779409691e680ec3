//! How long latency stays disturbed after an event.
//!
//! What was usual before the event decides: probes slower than all but one in a hundred of those count as slow. After it the
//! probes are looked at in groups of [`GROUP`]; a group with more than a fifth slow ones is disturbed. The last disturbed one ends
//! the disturbance, wherever it is: what a server learns by keep alive comes long after the event.

/// What became of latency after an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recovery {
    /// Nothing was noticed.
    Undisturbed,
    /// From the event to the last probe of the last disturbed group, s.
    After(f64),
    /// The probes end with a disturbed group, or fewer than [`QUIET_GROUPS`] after one: so many seconds after the event.
    NotWithin(f64),
}

/// Judges probes in the order of their due times: when each was due since the event, s (negative before it), and how long it
/// took, in any unit; infinite when it was lost.
///
/// Of undisturbed and independent probes one group in several millions looks disturbed by chance (six or more of 25 where one in a
/// hundred is expected); probes within one hiccup of the machine are not independent, and count as what they are. `None` with fewer than [`BEFORE_MIN`] probes before the event, or fewer than [`QUIET_GROUPS`] groups after it.
pub fn recovery(probes: &[(f64, f64)]) -> Option<Recovery> {
    let (before, after) = probes.split_at(probes.partition_point(|(due_s, _)| *due_s < 0.0));
    let groups = after.chunks_exact(GROUP);
    if before.len() < BEFORE_MIN || groups.len() < QUIET_GROUPS {
        return None;
    }
    let mut usual: Vec<f64> = before.iter().map(|(_, latency)| *latency).collect();
    usual.sort_by(f64::total_cmp);
    let usual_max = usual[(usual.len() * 99).div_ceil(100) - 1];
    let is_disturbed =
        |group: &[(f64, f64)]| group.iter().filter(|(_, latency)| *latency > usual_max).count() > SLOW_MAX;
    let count = groups.len();
    let Some((last, group)) = groups.enumerate().rfind(|(_, group)| is_disturbed(group)) else {
        return Some(Recovery::Undisturbed);
    };
    if last + QUIET_GROUPS < count {
        return Some(Recovery::After(group[GROUP - 1].0));
    }
    Some(Recovery::NotWithin(after[after.len() - 1].0))
}

/// Probes that are judged together, and so the resolution.
pub const GROUP: usize = 25;
/// Groups without a disturbance after the last one with it, to call it the last.
pub const QUIET_GROUPS: usize = 3;
/// Probes before the event, to know what is usual.
pub const BEFORE_MIN: usize = 50;
const SLOW_MAX: usize = GROUP / 5;

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes 10 ms apart from 1 s before the event to 5 s after it; usual are 1 to 100, and `slow` says which are slower.
    fn probes(slow: impl Fn(f64) -> Option<f64>) -> Vec<(f64, f64)> {
        (-100..500)
            .map(|at: i32| {
                let due_s = f64::from(at) / 100.0;
                (due_s, slow(due_s).unwrap_or(f64::from(at.rem_euclid(100) + 1)))
            })
            .collect()
    }

    #[test]
    fn the_end_is_that_of_the_last_disturbed_group() {
        assert_eq!(recovery(&probes(|_| None)), Some(Recovery::Undisturbed));
        let stall = |s: f64| (0.0..1.1).contains(&s).then_some(1e6);
        assert_eq!(recovery(&probes(stall)), Some(Recovery::After(1.24)));
        let lost = |s: f64| (0.0..0.32).contains(&s).then_some(f64::INFINITY);
        assert_eq!(recovery(&probes(lost)), Some(Recovery::After(0.49)));
    }

    #[test]
    fn what_comes_late_counts_and_a_hiccup_does_not() {
        let late = |s: f64| (3.0..3.2).contains(&s).then_some(1e6);
        assert_eq!(recovery(&probes(late)), Some(Recovery::After(3.24)));
        let hiccup = |s: f64| (3.0..3.05).contains(&s).then_some(1e6);
        assert_eq!(recovery(&probes(hiccup)), Some(Recovery::Undisturbed));
    }

    #[test]
    fn no_end_within_what_was_probed() {
        assert_eq!(recovery(&probes(|s| (s >= 0.0).then_some(1e6))), Some(Recovery::NotWithin(4.99)));
        // Two quiet groups are left at the end, or three.
        assert_eq!(recovery(&probes(|s| (0.0..4.5).contains(&s).then_some(1e6))), Some(Recovery::NotWithin(4.99)));
        assert_eq!(recovery(&probes(|s| (0.0..4.25).contains(&s).then_some(1e6))), Some(Recovery::After(4.24)));
    }

    #[test]
    fn slow_before_is_usual() {
        let always = |s: f64| (s.rem_euclid(0.5) < 0.1).then_some(1e6);
        assert_eq!(recovery(&probes(always)), Some(Recovery::Undisturbed));
    }

    #[test]
    fn too_little_to_judge_by() {
        assert_eq!(recovery(&probes(|_| None)[60..]), None, "40 probes before");
        assert_eq!(recovery(&probes(|_| None)[..174]), None, "two groups after");
        assert_eq!(recovery(&[]), None);
    }
}
