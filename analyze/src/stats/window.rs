//! Which rows of a series of rates a rule looks at, and how it sums them up.
//!
//! The rules are those of a published benchmark, offered by name so that its figures can be checked and never used for a
//! statement of our own; see `docs/methodology.md`. Ours is [`super::changes::steady_load`].

use std::ops::Range;

use super::quantile::{mean, median};

/// A published window rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Median of the rates of the last 60 seconds, the sample at the boundary included.
    Tail60,
    /// Median of the last 60 rows, whatever time they span.
    Rows60,
    /// Mean of the rows from 20 % to 90 % of all rows.
    Trim20To90,
}

impl Rule {
    /// The three rules in the order of presentation.
    pub const ALL: [Self; 3] = [Self::Tail60, Self::Rows60, Self::Trim20To90];

    /// The name by which tables and JSON call the rule.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tail60 => "tail60",
            Self::Rows60 => "rows60",
            Self::Trim20To90 => "trim20-90",
        }
    }

    /// The rows that the rule takes from a series with a rate at each of `times_s` (seconds, ascending).
    pub fn rows(self, times_s: &[f64]) -> Range<usize> {
        let n = times_s.len();
        match self {
            Self::Tail60 => {
                let begin_s = times_s.last().map_or(0.0, |end| end - 60.0);
                times_s.partition_point(|t| *t < begin_s)..n
            }
            Self::Rows60 => n.saturating_sub(60)..n,
            Self::Trim20To90 => (n as f64 * 0.2) as usize..(n as f64 * 0.9) as usize,
        }
    }

    /// One figure for the rows of the window; `None` when there are none.
    pub fn centre(self, values: &[f64]) -> Option<f64> {
        match self {
            Self::Tail60 | Self::Rows60 => median(values),
            Self::Trim20To90 => mean(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail60_includes_the_boundary_and_rows60_counts_rows() {
        let times: Vec<f64> = (0..100).map(|i| f64::from(i) * 2.0).collect();
        assert_eq!(Rule::Tail60.rows(&times), 69..100);
        assert_eq!(Rule::Rows60.rows(&times), 40..100);
        assert_eq!(Rule::Trim20To90.rows(&times), 20..90);
    }

    #[test]
    fn short_and_empty_series() {
        assert_eq!(Rule::Tail60.rows(&[0.0, 1.0]), 0..2);
        assert_eq!(Rule::Rows60.rows(&[0.0, 1.0]), 0..2);
        for rule in Rule::ALL {
            assert!(rule.rows(&[]).is_empty());
            assert_eq!(rule.centre(&[]), None);
        }
    }

    #[test]
    fn trim_takes_the_mean_and_the_tails_take_the_median() {
        let values = [1.0, 2.0, 9.0];
        assert_eq!(Rule::Trim20To90.centre(&values), Some(4.0));
        assert_eq!(Rule::Tail60.centre(&values), Some(2.0));
    }
}
