//! Whether a point was in a state that lasts while figures were taken.
//!
//! A mean over a window in which something rises or falls is a figure of that window and of no other (F5 of
//! `docs/methodology.md`). Each point's rate, memory and connections are judged over the same window as its figures, by
//! Mann and Kendall's test with Theil and Sen's slope ([`crate::stats::Trend`]).

use serde::Serialize;

use super::timeline::Quantity;
use crate::audit::steady::{GROWTH_MIB_MIN, GROWTH_SHARE_MIN};
use crate::stats::{Trend, median};

/// One quantity of one point in its window.
#[derive(Debug, Clone, Serialize)]
pub struct Steadiness {
    /// What.
    pub quantity: Quantity,
    /// Samples in the window.
    pub samples: usize,
    /// Length of the window, s.
    pub window_s: f64,
    /// Median, in the quantity's unit.
    pub level: f64,
    /// What the test says; absent with too few samples.
    pub trend: Option<Trend>,
    /// What it means.
    pub course: Course,
}

/// How a quantity went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// No trend, or one that is small against the level.
    Steady,
    /// It rises.
    Rises,
    /// It falls.
    Falls,
    /// Too few samples to tell.
    Unknown,
}

impl Steadiness {
    /// Judges the points (time in s, value) that lie in the window; `None` when none does.
    pub fn of(quantity: Quantity, points: &[(f64, f64)], (begin_s, end_s): (f64, f64)) -> Option<Self> {
        let inside = points.iter().filter(|(t, v)| (begin_s..=end_s).contains(t) && v.is_finite());
        let (times, values): (Vec<f64>, Vec<f64>) = inside.copied().unzip();
        let level = median(&values)?;
        let window_s = times.last()? - times.first()?;
        let trend = Trend::of(&times, &values);
        let mut found = Self { quantity, samples: values.len(), window_s, level, trend, course: Course::Unknown };
        if let Some(trend) = &found.trend {
            let change = found.change().unwrap_or(0.0);
            let is_small = change.abs() < GROWTH_SHARE_MIN * level.abs()
                || (quantity == Quantity::Rss && change.abs() < GROWTH_MIB_MIN);
            found.course = match trend.is_there() && !is_small {
                false => Course::Steady,
                true if change > 0.0 => Course::Rises,
                true => Course::Falls,
            };
        }
        Some(found)
    }

    /// What the slope makes of the whole window, in the quantity's unit.
    pub fn change(&self) -> Option<f64> {
        Some(self.trend.as_ref()?.slope * self.window_s)
    }

    /// The quantities that are judged.
    pub const QUANTITIES: [Quantity; 5] =
        [Quantity::Delivered, Quantity::Sent, Quantity::Connected, Quantity::Established, Quantity::Rss];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(quantity: Quantity, value: impl Fn(f64) -> f64, count: u32) -> Course {
        // A little noise, the same in every run.
        let noise = |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 20) / 4_096.0 - 0.5;
        let points: Vec<(f64, f64)> = (0..count).map(|i| (f64::from(i), value(f64::from(i)) + noise(i))).collect();
        Steadiness::of(quantity, &points, (0.0, f64::from(count))).unwrap().course
    }

    #[test]
    fn a_course_is_steady_unless_it_goes_somewhere() {
        assert_eq!(course(Quantity::Delivered, |_| 1_000.0, 60), Course::Steady);
        assert_eq!(course(Quantity::Delivered, |t| 1_000.0 + 5.0 * t, 60), Course::Rises);
        assert_eq!(course(Quantity::Delivered, |t| 1_000.0 - 5.0 * t, 60), Course::Falls);
        // A trend that is there and small.
        assert_eq!(course(Quantity::Delivered, |t| 100_000.0 + 5.0 * t, 60), Course::Steady);
        // Memory that grows by less than a broker's own housekeeping.
        assert_eq!(course(Quantity::Rss, |t| 6.0 + 0.1 * t, 60), Course::Steady);
        assert_eq!(course(Quantity::Rss, |t| 6.0 + 1.0 * t, 60), Course::Rises);
        assert_eq!(course(Quantity::Rss, |t| 6.0 + 1.0 * t, 5), Course::Unknown);
    }

    #[test]
    fn only_the_window_counts() {
        let points: Vec<(f64, f64)> = (0..60).map(|t| (f64::from(t), if t < 30 { 0.0 } else { 100.0 })).collect();
        let found = Steadiness::of(Quantity::Sent, &points, (30.0, 59.0)).unwrap();
        assert_eq!((found.samples, found.level, found.course), (30, 100.0, Course::Steady));
        assert!(Steadiness::of(Quantity::Sent, &points, (90.0, 99.0)).is_none());
    }
}
