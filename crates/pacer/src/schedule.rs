//! One sequence of due times.
//!
//! A schedule is asked "is something due at `now`?" and answers with the *planned* time, which may lie in the past when
//! the caller is late. Nothing is ever skipped: a caller that comes back after a second of delay receives every due
//! time of that second, one by one.

use crate::NS_PER_S;
use crate::rng::Rng;

/// A sequence of due times in nanoseconds, without end.
#[derive(Debug, Clone)]
pub struct Schedule {
    next_ns: u64,
    spacing: Spacing,
}

#[derive(Debug, Clone)]
enum Spacing {
    /// `whole + part / parts` nanoseconds between two messages, carried exactly, so that a rate that does not divide a
    /// second evenly does not drift over hours.
    Even { whole_ns: u64, part: u64, parts: u64, carry: u64 },
    /// Exponential gaps: independent arrivals with a mean rate.
    Poisson { mean_ns: f64, fraction: f64, rng: Rng },
    /// A rate that changes linearly, and stays.
    Ramp(Box<Ramp>),
    /// `count` messages at once, every `period_ns`.
    Burst { count: u32, period_ns: u64, left: u32 },
    /// Always due: as fast as the caller can.
    FlatOut,
}

/// Message `k` is due when the integral of the rate reaches `k + phase`: computed from the start each time, so that no
/// error adds up.
#[derive(Debug, Clone)]
struct Ramp {
    start_ns: u64,
    /// Messages per nanosecond at both ends.
    from: f64,
    to: f64,
    over_ns: f64,
    /// The message that is due next, plus the phase.
    next: f64,
}

impl Ramp {
    fn due_ns(&self) -> u64 {
        let Self { from, to, over_ns, next, .. } = *self;
        let at_the_end = (from + to) / 2.0 * over_ns;
        let after_ns = if next >= at_the_end {
            over_ns + (next - at_the_end) / to
        } else {
            // The smaller root of slope / 2 * t^2 + from * t = next, in the form that does not cancel.
            let slope = (to - from) / over_ns;
            2.0 * next / (from + (from * from + 2.0 * slope * next).max(0.0).sqrt())
        };
        self.start_ns.saturating_add(after_ns.round() as u64)
    }
}

impl Schedule {
    /// `rate_per_s` messages a second, evenly spaced, the first at `start_ns`. A rate of 0 means flat out.
    #[must_use]
    pub fn constant(start_ns: u64, rate_per_s: u64) -> Self {
        if rate_per_s == 0 {
            return Self::flat_out(start_ns);
        }
        let (whole_ns, part) = (NS_PER_S / rate_per_s, NS_PER_S % rate_per_s);
        Self { next_ns: start_ns, spacing: Spacing::Even { whole_ns, part, parts: rate_per_s, carry: 0 } }
    }

    /// One message every `interval_ns`, the first at `start_ns`. An interval of 0 means flat out.
    #[must_use]
    pub fn every(start_ns: u64, interval_ns: u64) -> Self {
        if interval_ns == 0 {
            return Self::flat_out(start_ns);
        }
        Self { next_ns: start_ns, spacing: Spacing::Even { whole_ns: interval_ns, part: 0, parts: 1, carry: 0 } }
    }

    /// Independent arrivals with a mean of `rate_per_s`, decided by `seed`; the first gap starts at `start_ns`.
    /// A rate that is not positive means flat out.
    #[must_use]
    pub fn poisson(start_ns: u64, rate_per_s: f64, seed: u64) -> Self {
        if rate_per_s.is_nan() || rate_per_s <= 0.0 {
            return Self::flat_out(start_ns);
        }
        let mean_ns = NS_PER_S as f64 / rate_per_s;
        let spacing = Spacing::Poisson { mean_ns, fraction: 0.0, rng: Rng::new(seed) };
        let mut schedule = Self { next_ns: start_ns, spacing };
        schedule.advance();
        schedule
    }

    /// A rate that goes linearly from `from_per_s` to `to_per_s` within `over_ns` and then stays. `phase`, from 0 to 1,
    /// is how much of a message has passed at `start_ns`: sequences of different phases interleave.
    ///
    /// # Panics
    /// When a rate is negative, not a number or infinite, the last one is 0, or `over_ns` is 0.
    #[must_use]
    pub fn ramp(start_ns: u64, from_per_s: f64, to_per_s: f64, over_ns: u64, phase: f64) -> Self {
        let sound = from_per_s.is_finite() && to_per_s.is_finite() && from_per_s >= 0.0 && to_per_s > 0.0;
        assert!(sound && over_ns > 0, "a ramp from {from_per_s}/s to {to_per_s}/s in {over_ns} ns");
        let per_ns = 1.0 / NS_PER_S as f64;
        let ramp = Box::new(Ramp {
            start_ns,
            from: from_per_s * per_ns,
            to: to_per_s * per_ns,
            over_ns: over_ns as f64,
            next: phase.clamp(0.0, 1.0),
        });
        Self { next_ns: ramp.due_ns(), spacing: Spacing::Ramp(ramp) }
    }

    /// `count` messages at once, every `period_ns`, the first at `start_ns`. A count or a period of 0 means flat out.
    #[must_use]
    pub fn burst(start_ns: u64, count: u32, period_ns: u64) -> Self {
        if count == 0 || period_ns == 0 {
            return Self::flat_out(start_ns);
        }
        Self { next_ns: start_ns, spacing: Spacing::Burst { count, period_ns, left: count - 1 } }
    }

    /// Always due from `start_ns` on. The due time of such a message is the moment at which it is taken.
    #[must_use]
    pub fn flat_out(start_ns: u64) -> Self {
        Self { next_ns: start_ns, spacing: Spacing::FlatOut }
    }

    /// Whether this schedule is always due.
    #[must_use]
    pub fn is_flat_out(&self) -> bool {
        matches!(self.spacing, Spacing::FlatOut)
    }

    /// When the next message is due. In the past when the caller is late.
    #[must_use]
    pub fn next_due_ns(&self) -> u64 {
        self.next_ns
    }

    /// Takes the next message when it is due at `now_ns`, and answers with the time at which it was due.
    pub fn take_due(&mut self, now_ns: u64) -> Option<u64> {
        if self.next_ns > now_ns {
            return None;
        }
        if self.is_flat_out() {
            return Some(now_ns);
        }
        let due_ns = self.next_ns;
        self.advance();
        Some(due_ns)
    }

    fn advance(&mut self) {
        match &mut self.spacing {
            Spacing::Even { whole_ns, part, parts, carry } => {
                self.next_ns = self.next_ns.saturating_add(*whole_ns);
                *carry += *part;
                if *carry >= *parts {
                    *carry -= *parts;
                    self.next_ns += 1;
                }
            }
            Spacing::Poisson { mean_ns, fraction, rng } => {
                let gap_ns = rng.exponential(*mean_ns) + *fraction;
                *fraction = gap_ns.fract();
                self.next_ns = self.next_ns.saturating_add(gap_ns as u64);
            }
            Spacing::Ramp(ramp) => {
                ramp.next += 1.0;
                self.next_ns = ramp.due_ns();
            }
            Spacing::Burst { count, period_ns, left } => {
                if *left == 0 {
                    *left = *count;
                    self.next_ns = self.next_ns.saturating_add(*period_ns);
                }
                *left -= 1;
            }
            Spacing::FlatOut => {}
        }
    }
}

/// The share of a turn, from 0 to 1, at which client `index` stands, by the rule of [`phase_ns`].
#[must_use]
pub fn phase(index: u32) -> f64 {
    u64::from(index).wrapping_mul(crate::rng::GOLDEN_GAMMA) as f64 / 2f64.powi(64)
}

/// The offset of client `index` within an interval, so that any number of clients that join in index order are spread
/// over the interval almost evenly: multiples of the golden ratio modulo 1 (a low-discrepancy sequence). Client 0 has
/// offset 0.
#[must_use]
pub fn phase_ns(index: u32, interval_ns: u64) -> u64 {
    let turn = u64::from(index).wrapping_mul(crate::rng::GOLDEN_GAMMA);
    ((u128::from(turn) * u128::from(interval_ns)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        (0..count).filter_map(|_| schedule.take_due(u64::MAX - 1)).collect()
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_does_not_drift() {
        let mut schedule = Schedule::constant(5, 3);
        assert_eq!(first(&mut schedule, 4), [5, 333_333_338, 666_666_671, 1_000_000_005]);
        let mut schedule = Schedule::constant(0, 7_919);
        let dues = first(&mut schedule, 7_919 * 3 + 1);
        assert_eq!(dues.last(), Some(&(3 * NS_PER_S)));
    }

    #[test]
    fn nothing_is_due_early_and_nothing_is_skipped_late() {
        let mut schedule = Schedule::every(100, 10);
        assert_eq!(schedule.take_due(99), None);
        assert_eq!(schedule.take_due(100), Some(100));
        assert_eq!(schedule.take_due(100), None);
        assert_eq!(schedule.take_due(135), Some(110));
        assert_eq!(schedule.take_due(135), Some(120));
        assert_eq!(schedule.take_due(135), Some(130));
        assert_eq!(schedule.take_due(135), None);
        assert_eq!(schedule.next_due_ns(), 140);
    }

    #[test]
    fn flat_out_is_due_at_the_moment_of_asking() {
        let mut schedule = Schedule::every(50, 0);
        assert_eq!(schedule.take_due(49), None);
        assert_eq!(schedule.take_due(60), Some(60));
        assert_eq!(schedule.take_due(60), Some(60));
    }

    #[test]
    fn poisson_has_its_mean_and_its_variance_and_follows_its_seed() {
        let mut schedule = Schedule::poisson(0, 1_000.0, 42);
        let dues = first(&mut schedule, 100_000);
        let gaps: Vec<f64> = dues.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.03, "exponential gaps have deviation = mean");
        assert_eq!(first(&mut Schedule::poisson(0, 1_000.0, 42), 5), dues[..5]);
        assert_ne!(first(&mut Schedule::poisson(0, 1_000.0, 43), 5), dues[..5]);
    }

    #[test]
    fn phases_of_any_prefix_of_clients_are_spread() {
        for clients in [2u32, 7, 100, 4_000] {
            let mut phases: Vec<u64> = (0..clients).map(|index| phase_ns(index, 16_000_000)).collect();
            phases.sort_unstable();
            let ideal = 16_000_000 / u64::from(clients);
            let widest = phases.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
            assert!(widest <= ideal * 2, "{clients} clients: widest gap {widest}, even spacing {ideal}");
            assert!(phases.iter().all(|phase| *phase < 16_000_000));
        }
    }
}
