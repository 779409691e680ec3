//! How far a host's clocks are from ours, measured over the control channel.
//!
//! Our clock is read before a question and after its answer, the host's in between. At the moment of its reading the host was
//! somewhere in our interval: the middle is wrong by half of its length at most. Of many exchanges the shortest is kept, as NTP
//! does (RFC 5905, section 10). Between two measurements, before a step and after it, clocks drift; a moment in between is
//! interpolated.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use runlog::clock;
use serde_json::{Value, json};

use super::link::Link;
use super::protocol::{Answer, Ask};

/// What one series of exchanges has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offset {
    /// Our monotonic clock in the middle of the shortest exchange, ns.
    pub(crate) at_ns: u64,
    /// The host's monotonic clock less ours, ns.
    pub(crate) mono_ns: i64,
    /// The host's wall clock less its monotonic one, ns.
    pub(crate) wall_less_mono_ns: i64,
    /// The most that the offset can be wrong, ns.
    pub(crate) bound_ns: u64,
}

impl Offset {
    /// Asks a host [`EXCHANGES`] times, or as often as fits into [`ENOUGH`] once it was a few times.
    pub(crate) fn measure(link: &Link) -> Result<Self> {
        let begin = Instant::now();
        let mut best: Option<Self> = None;
        for number in 0..EXCHANGES {
            if number >= EXCHANGES_MIN && begin.elapsed() > ENOUGH {
                break;
            }
            let reply = link.ask_timed(Ask::Clock, LIMIT)?;
            let Answer::Clock { mono_ns, wall_ns } = reply.answer else {
                bail!("{}: no answer to the question for its clocks", link.host);
            };
            let offset = Self::of(reply.asked_ns, reply.answered_ns, mono_ns, wall_ns);
            if best.is_none_or(|best| offset.bound_ns < best.bound_ns) {
                best = Some(offset);
            }
        }
        Ok(best.expect("there was one exchange at least"))
    }

    /// One exchange: asked and answered by our monotonic clock, the host's clocks in between.
    fn of(asked_ns: u64, answered_ns: u64, mono_ns: u64, wall_ns: u64) -> Self {
        let length_ns = answered_ns.saturating_sub(asked_ns);
        let at_ns = asked_ns + length_ns / 2;
        Self {
            at_ns,
            mono_ns: difference(mono_ns, at_ns),
            wall_less_mono_ns: difference(wall_ns, mono_ns),
            bound_ns: length_ns.div_ceil(2),
        }
    }

    /// For the events of a step.
    pub(crate) fn detail(&self, host: &str, when: &str) -> Value {
        let wall_ns = i128::from(self.mono_ns) + i128::from(self.wall_less_mono_ns);
        let ours = i128::from(difference(clock::wall_ns(), clock::mono_ns()));
        json!({
            "host": host, "when": when, "mono_offset_ns": self.mono_ns, "bound_ns": self.bound_ns,
            "wall_offset_ns": (wall_ns - ours) as i64,
        })
    }
}

/// The clocks of a host during a step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    pub(crate) before: Offset,
    pub(crate) after: Offset,
}

impl Clocks {
    /// What the host's monotonic clock showed when ours showed this.
    pub(crate) fn mono_ns(&self, ours: u64) -> u64 {
        moved(ours, self.offset_ns(ours))
    }

    /// What its wall clock showed then.
    pub(crate) fn wall_ns(&self, ours: u64) -> u64 {
        moved(self.mono_ns(ours), self.after.wall_less_mono_ns)
    }

    /// The most that these can be wrong, as long as the clocks drift evenly.
    pub(crate) fn bound_ns(&self) -> u64 {
        self.before.bound_ns.max(self.after.bound_ns)
    }

    fn offset_ns(&self, ours: u64) -> i64 {
        let (begin, end) = (self.before.at_ns, self.after.at_ns);
        if end <= begin {
            return self.before.mono_ns;
        }
        let share = (ours.clamp(begin, end) - begin) as f64 / (end - begin) as f64;
        self.before.mono_ns + ((self.after.mono_ns - self.before.mono_ns) as f64 * share) as i64
    }
}

fn difference(a: u64, b: u64) -> i64 {
    (i128::from(a) - i128::from(b)) as i64
}

fn moved(ns: u64, by: i64) -> u64 {
    (i128::from(ns) + i128::from(by)).max(0) as u64
}

/// Exchanges of one measurement: enough that one of them is not held up anywhere.
const EXCHANGES: u32 = 40;
const EXCHANGES_MIN: u32 = 8;
/// A measurement must not hold up a run on hosts that are slow to answer.
const ENOUGH: Duration = Duration::from_secs(2);

/// For one answer.
const LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_lies_within_the_bound_however_lopsided_the_way() {
        let truth = 5_000_000_000_i64;
        for (to, back) in [(100, 100), (900, 100), (100, 901), (0, 1_000)] {
            let asked = 1_000_000;
            let host = moved(asked + to, truth);
            let offset = Offset::of(asked, asked + to + back, host, host + 7);
            assert!(offset.mono_ns.abs_diff(truth) <= offset.bound_ns, "{to} {back}: {offset:?}");
            assert_eq!(offset.wall_less_mono_ns, 7);
        }
    }

    #[test]
    fn moments_between_two_measurements_are_interpolated() {
        let of = |at_ns, mono_ns| Offset { at_ns, mono_ns, wall_less_mono_ns: 1_000, bound_ns: 3 };
        let clocks = Clocks { before: of(100, -50), after: of(300, -30) };
        assert_eq!([100, 200, 300, 400].map(|ours| clocks.mono_ns(ours)), [50, 160, 270, 370]);
        assert_eq!(clocks.wall_ns(200), 1_160);
        assert_eq!(clocks.bound_ns(), 3);
    }
}
