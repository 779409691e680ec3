//! Which schedule every client of a load keeps, and the words in which a user asks for it.

use std::fmt;
use std::str::FromStr;

use crate::NS_PER_S;
use crate::rng::mix;
use crate::schedule::{Schedule, phase, phase_ns};

/// How the messages of one client follow each other. Written as in [`Pacing::GRAMMAR`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Pacing {
    /// Evenly; the clients are spread over the interval.
    #[default]
    Constant,
    /// Independent arrivals with the interval as their mean.
    Poisson,
    /// A rate that goes from one value to another and stays there.
    Ramp {
        /// Messages per second of a client at the start.
        from_per_s: f64,
        /// And from the end of the ramp on.
        to_per_s: f64,
        /// Length of the ramp.
        over_ns: u64,
    },
    /// Many messages at once; all clients at the same time.
    Burst {
        /// Messages of a client in one burst.
        count: u32,
        /// From one burst to the next.
        period_ns: u64,
    },
    /// As fast as the connection and its window take them.
    FlatOut,
}

/// Words that are no pacing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {problem}; give {grammar}", grammar = Pacing::GRAMMAR)]
pub struct PacingError {
    text: String,
    problem: &'static str,
}

impl Pacing {
    /// What [`Pacing::from_str`] reads.
    pub const GRAMMAR: &'static str = "constant, poisson, ramp:FROM-TO@TIME (messages per second of a client, such as \
        ramp:1-50@30s), burst:N@TIME (such as burst:100@1s) or flat-out";

    /// The schedule of client `index` from `start_ns` on, where messages are `interval_ns` apart unless the pacing says
    /// otherwise. Random choices follow from `seed` and `index`. An interval of 0 means flat out.
    #[must_use]
    pub fn schedule(self, start_ns: u64, interval_ns: u64, index: u32, seed: u64) -> Schedule {
        match self {
            Self::Constant => Schedule::every(start_ns + phase_ns(index, interval_ns), interval_ns),
            Self::Poisson => {
                let rate_per_s = if interval_ns == 0 { 0.0 } else { NS_PER_S as f64 / interval_ns as f64 };
                Schedule::poisson(start_ns, rate_per_s, mix(seed ^ mix(u64::from(index))))
            }
            // Phase 0 would have the first client begin at once however slow the ramp begins.
            Self::Ramp { from_per_s, to_per_s, over_ns } => {
                Schedule::ramp(start_ns, from_per_s, to_per_s, over_ns, phase(index.wrapping_add(1)))
            }
            Self::Burst { count, period_ns } => Schedule::burst(start_ns, count, period_ns),
            Self::FlatOut => Schedule::flat_out(start_ns),
        }
    }

    /// The delay from which on a message counts as overrun: the shortest distance of messages, or of bursts. 0 for flat
    /// out, which is never late.
    #[must_use]
    pub fn period_ns(self, interval_ns: u64) -> u64 {
        match self {
            Self::Constant | Self::Poisson => interval_ns,
            Self::Ramp { from_per_s, to_per_s, .. } => (NS_PER_S as f64 / from_per_s.max(to_per_s)) as u64,
            Self::Burst { period_ns, .. } => period_ns,
            Self::FlatOut => 0,
        }
    }
}

impl FromStr for Pacing {
    type Err = PacingError;

    fn from_str(text: &str) -> Result<Self, PacingError> {
        let wrong = |problem| PacingError { text: text.to_owned(), problem };
        let (kind, values) = text.split_once(':').map_or((text, None), |(kind, values)| (kind, Some(values)));
        let timed = || {
            let (what, time) =
                values.and_then(|values| values.split_once('@')).ok_or_else(|| wrong("`@TIME` is missing"))?;
            let time_ns =
                time_ns(time).ok_or_else(|| wrong("the time is not a positive number with us, ms, s or m"))?;
            Ok((what, time_ns))
        };
        match (kind, values) {
            ("constant", None) => Ok(Self::Constant),
            ("poisson", None) => Ok(Self::Poisson),
            ("flat-out", None) => Ok(Self::FlatOut),
            ("ramp", _) => {
                let (rates, over_ns) = timed()?;
                let (from, to) = rates.split_once('-').ok_or_else(|| wrong("`FROM-TO` is missing"))?;
                let from_per_s = rate(from).ok_or_else(|| wrong("FROM is not a rate between 0 and 1e9"))?;
                let to_per_s = rate(to).filter(|rate| *rate >= RATE_MIN);
                let to_per_s = to_per_s.ok_or_else(|| wrong("TO is not a rate between 1e-6 and 1e9"))?;
                Ok(Self::Ramp { from_per_s, to_per_s, over_ns })
            }
            ("burst", _) => {
                let (count, period_ns) = timed()?;
                let count = count.parse().ok().filter(|count| *count > 0);
                Ok(Self::Burst { count: count.ok_or_else(|| wrong("N is not a positive whole number"))?, period_ns })
            }
            ("constant" | "poisson" | "flat-out", Some(_)) => Err(wrong("it takes no values")),
            _ => Err(wrong("this is no pacing")),
        }
    }
}

impl fmt::Display for Pacing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |ns: u64| ns as f64 / NS_PER_S as f64;
        match *self {
            Self::Constant => f.write_str("constant"),
            Self::Poisson => f.write_str("poisson"),
            Self::Ramp { from_per_s, to_per_s, over_ns } => {
                write!(f, "ramp:{from_per_s}-{to_per_s}@{}s", seconds(over_ns))
            }
            Self::Burst { count, period_ns } => write!(f, "burst:{count}@{}s", seconds(period_ns)),
            Self::FlatOut => f.write_str("flat-out"),
        }
    }
}

fn rate(text: &str) -> Option<f64> {
    text.parse().ok().filter(|rate| (0.0..=1e9).contains(rate))
}

/// `10ms`, `1.5s`, `2m`; at least a nanosecond and at most about 30 years.
fn time_ns(text: &str) -> Option<u64> {
    let units = [("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9)];
    let (number, scale) = units.iter().find_map(|(unit, scale)| Some((text.strip_suffix(unit)?, scale)))?;
    let ns = number.parse::<f64>().ok()? * scale;
    (1.0..1e18).contains(&ns).then_some(ns.round() as u64)
}

/// A slower ramp would never send.
const RATE_MIN: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    fn dues(pacing: Pacing, interval_ns: u64, index: u32, until_ns: u64) -> Vec<u64> {
        let mut schedule = pacing.schedule(1_000, interval_ns, index, 7);
        std::iter::from_fn(|| schedule.take_due(until_ns)).collect()
    }

    #[test]
    fn words_are_read_and_written() {
        for text in ["constant", "poisson", "ramp:0.5-50@30s", "burst:100@0.25s", "flat-out"] {
            assert_eq!(text.parse::<Pacing>().unwrap().to_string(), text);
        }
        assert_eq!("burst:3@250ms".parse(), Ok(Pacing::Burst { count: 3, period_ns: 250_000_000 }));
        let ramp = Pacing::Ramp { from_per_s: 1.0, to_per_s: 50.0, over_ns: 120 * NS_PER_S };
        assert_eq!("ramp:1-50@2m".parse(), Ok(ramp));
    }

    #[test]
    fn nonsense_is_refused_with_the_grammar() {
        for text in [
            "",
            "fast",
            "constant:1",
            "poisson:2@1s",
            "ramp",
            "ramp:1-2",
            "ramp:1@1s",
            "ramp:-1-2@1s",
            "ramp:1-0@1s",
            "ramp:a-2@1s",
            "ramp:1-nan@1s",
            "ramp:1-inf@1s",
            "ramp:1-2@0s",
            "ramp:1-2@1",
            "ramp:1-2@1h1",
            "burst:0@1s",
            "burst:1.5@1s",
            "burst:5",
            "burst:5@-1s",
            "burst:5@",
            "burst:99999999999@1s",
            "ramp:1-2@1e300s",
            "flat-out:1",
            "Poisson",
        ] {
            let error = text.parse::<Pacing>().expect_err(text).to_string();
            assert!(error.contains("ramp:FROM-TO@TIME") && error.starts_with(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn all_clients_burst_together_and_take_turns_otherwise() {
        let burst = Pacing::Burst { count: 2, period_ns: 10 };
        assert_eq!(dues(burst, 0, 5, 1_025), [1_000, 1_000, 1_010, 1_010, 1_020, 1_020]);
        let ramp = Pacing::Ramp { from_per_s: 0.0, to_per_s: 10.0, over_ns: NS_PER_S };
        let mut all: Vec<u64> = (0..100).flat_map(|index| dues(ramp, 0, index, NS_PER_S + 1_000)).collect();
        all.sort_unstable();
        // 100 clients that reach 10 per second: 500 messages, half of them in the last 0.29 s.
        assert!((490..=510).contains(&all.len()), "{}", all.len());
        let early = all.iter().filter(|due_ns| **due_ns < 707_106_781 + 1_000).count();
        assert!((240..=260).contains(&early), "{early} before the middle of the messages");
    }
}
