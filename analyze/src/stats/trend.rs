//! Whether a series rises or falls, and how fast.
//!
//! Mann and Kendall's test asks of every pair of values which came first, so it needs neither a straight line nor a bell
//! curve (H. B. Mann, Econometrica 13, 1945; M. G. Kendall, "Rank Correlation Methods", 1948; ties by the same). Serial
//! dependence makes it cry wolf; Hamed and Rao's correction (Journal of Hydrology 204, 1998) widens its variance by the
//! autocorrelation of the ranks once the slope is taken out. The slope is the median of the slopes of all pairs (H. Theil,
//! 1950; P. K. Sen, JASA 63, 1968), with Sen's interval. All pairs of a long series are many, so a series beyond
//! [`POINTS_MAX`] is first averaged in equal blocks. Void below [`POINTS_MIN`] points.

use serde::Serialize;

use super::distribution::{normal_cdf, normal_quantile};
use super::quantile::{mean, median};

/// The fewest points for which a trend is judged.
pub const POINTS_MIN: usize = 10;
/// Longer series are averaged down to at most this many points.
pub const POINTS_MAX: usize = 1_000;

/// What the test and the slope say of one series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Trend {
    /// Points that were judged.
    pub n: usize,
    /// Median slope, units of the values per unit of time.
    pub slope: f64,
    /// 95 % interval of the slope, with the corrected variance.
    pub slope_ci95: (f64, f64),
    /// Kendall's tau: -1 (always falls) to 1 (always rises).
    pub tau: f64,
    /// Probability of so strong an order without a trend, two-sided, serial dependence allowed for.
    pub p: f64,
    /// The same as if the values were independent.
    pub p_independent: f64,
    /// How much serial dependence widened the variance; at least 1.
    pub correction: f64,
}

impl Trend {
    /// Judges `values` at `times` (ascending); points that are not finite are left out. `None` below [`POINTS_MIN`].
    pub fn of(times: &[f64], values: &[f64]) -> Option<Self> {
        let finite = |(t, v): (&f64, &f64)| (t.is_finite() && v.is_finite()).then_some((*t, *v));
        let points: Vec<(f64, f64)> = times.iter().zip(values).filter_map(finite).collect();
        let points = averaged(points);
        let n = points.len();
        if n < POINTS_MIN {
            return None;
        }
        let test = mann_kendall(&points.iter().map(|(_, v)| *v).collect::<Vec<_>>());
        let mut slopes = pair_slopes(&points);
        let slope = median(&slopes)?;
        let detrended: Vec<f64> = points.iter().map(|(t, v)| v - slope * t).collect();
        let correction = hamed_rao(&detrended).max(1.0);
        let variance = test.variance * correction;
        slopes.sort_unstable_by(f64::total_cmp);
        let reach = normal_quantile(0.975) * variance.sqrt();
        let at = |rank: f64| slopes[(rank.round().max(0.0) as usize).min(slopes.len() - 1)];
        let (low, high) = ((slopes.len() as f64 - reach) / 2.0, (slopes.len() as f64 + reach) / 2.0);
        Some(Self {
            n,
            slope,
            slope_ci95: (at(low - 1.0), at(high)),
            tau: test.s / (n * (n - 1) / 2) as f64,
            p: two_sided(test.s, variance),
            p_independent: two_sided(test.s, test.variance),
            correction,
        })
    }

    /// Whether there is a trend at the level of 1 %, which is asked for because many series are looked at.
    pub fn is_there(&self) -> bool {
        self.p < 0.01 && self.slope != 0.0
    }
}

/// Mann and Kendall's statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MannKendall {
    /// Pairs that rise less pairs that fall.
    pub s: f64,
    /// Variance of `s` without a trend and for independent values, ties allowed for.
    pub variance: f64,
}

/// Mann and Kendall's statistic of values in the order of time.
pub fn mann_kendall(values: &[f64]) -> MannKendall {
    let n = values.len() as f64;
    let later = |(i, a): (usize, &f64)| values[i + 1..].iter().map(|b| sign(b - a)).sum::<f64>();
    let s = values.iter().enumerate().map(later).sum();
    let spread = |t: f64| t * (t - 1.0) * (2.0 * t + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let ties: f64 = sorted.chunk_by(|a, b| a == b).map(|group| spread(group.len() as f64)).sum();
    MannKendall { s, variance: (spread(n) - ties) / 18.0 }
}

/// Two-sided probability of `s` with this variance, with the continuity correction.
pub fn two_sided(s: f64, variance: f64) -> f64 {
    if variance <= 0.0 || s == 0.0 {
        return 1.0;
    }
    let z = (s.abs() - 1.0) / variance.sqrt();
    2.0 * (1.0 - normal_cdf(z.max(0.0)))
}

/// By how much serial dependence of detrended values widens the variance of `s`: 1 + 2 / (n (n-1) (n-2)) Σ (n-k) (n-k-1)
/// (n-k-2) ρ(k), over the lags whose rank autocorrelation is significant at 95 %.
fn hamed_rao(detrended: &[f64]) -> f64 {
    let n = detrended.len();
    let ranks = ranks(detrended);
    let centre = mean(&ranks).unwrap_or(0.0);
    let deviations: Vec<f64> = ranks.iter().map(|r| r - centre).collect();
    let variance: f64 = deviations.iter().map(|d| d * d).sum();
    if variance == 0.0 {
        return 1.0;
    }
    let bound = normal_quantile(0.975) / (n as f64).sqrt();
    let weight = |k: usize| (n - k) as f64 * ((n - k) as f64 - 1.0) * ((n - k) as f64 - 2.0);
    let term = |k: usize| {
        let rho = deviations.iter().zip(&deviations[k..]).map(|(a, b)| a * b).sum::<f64>() / variance;
        if rho.abs() > bound { weight(k) * rho } else { 0.0 }
    };
    1.0 + 2.0 * (1..n - 2).map(term).sum::<f64>() / weight(0)
}

/// Mid-ranks from 1.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut below = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let rank = below as f64 + (group.len() as f64 + 1.0) / 2.0;
        group.iter().for_each(|i| ranks[*i] = rank);
        below += group.len();
    }
    ranks
}

fn pair_slopes(points: &[(f64, f64)]) -> Vec<f64> {
    let mut slopes = Vec::with_capacity(points.len() * (points.len() - 1) / 2);
    for (i, (t1, v1)) in points.iter().enumerate() {
        let later = points[i + 1..].iter().filter(|(t2, _)| t2 > t1);
        slopes.extend(later.map(|(t2, v2)| (v2 - v1) / (t2 - t1)));
    }
    slopes
}

/// Means of equal blocks, where there are more than [`POINTS_MAX`] points.
fn averaged(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let block = points.len().div_ceil(POINTS_MAX);
    if block <= 1 {
        return points;
    }
    let centre = |points: &[(f64, f64)]| {
        let n = points.len() as f64;
        (points.iter().map(|p| p.0).sum::<f64>() / n, points.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks_exact(block).map(centre).collect()
}

fn sign(difference: f64) -> f64 {
    if difference == 0.0 { 0.0 } else { difference.signum() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::serial::tests::ar1;

    const X: [f64; 14] = [1.0, 2.0, 4.0, 3.0, 5.0, 7.0, 6.0, 8.0, 9.0, 7.0, 8.0, 10.0, 9.0, 12.0];

    fn times(n: usize) -> Vec<f64> {
        (0..n).map(|t| t as f64).collect()
    }

    /// `pymannkendall.original_test(x)` of pymannkendall 1.4.3.
    #[test]
    fn statistic_agrees_with_pymannkendall() {
        let test = mann_kendall(&X);
        assert_eq!(test.s, MK_S);
        assert!((test.variance - MK_VAR).abs() < 1e-9, "{test:?}");
        let trend = Trend::of(&times(14), &X).unwrap();
        assert!((trend.p_independent / MK_P - 1.0).abs() < 1e-6, "{trend:?}");
        assert!((trend.slope - MK_SLOPE).abs() < 1e-12, "{trend:?}");
    }

    /// `scipy.stats.theilslopes(x, arange(14), 0.95)` of scipy; its interval has Sen's ranks and no serial correction, as
    /// here where none is needed.
    #[test]
    fn slope_interval_agrees_with_scipy() {
        let trend = Trend::of(&times(14), &X).unwrap();
        assert_eq!(trend.correction, 1.0, "{trend:?}");
        assert!((trend.slope_ci95.0 - TS_CI.0).abs() < 1e-12, "{trend:?}");
        assert!((trend.slope_ci95.1 - TS_CI.1).abs() < 1e-12, "{trend:?}");
    }

    /// `pymannkendall.hamed_rao_modification_test(y)` for y = sin(i / 6) + 0.02 i, i = 0..60: `var_s` over the
    /// uncorrected `var_s`.
    #[test]
    fn correction_agrees_with_pymannkendall() {
        let y: Vec<f64> = (0..60).map(|i| (f64::from(i) / 6.0).sin() + 0.02 * f64::from(i)).collect();
        let trend = Trend::of(&times(60), &y).unwrap();
        assert!((trend.correction / HR_FACTOR - 1.0).abs() < 1e-6, "{trend:?}");
        assert!((trend.p / HR_P - 1.0).abs() < 1e-6, "{trend:?}");
    }

    /// Without a trend the test should cry wolf about as often as its level; uncorrected it does so several times as often.
    #[test]
    fn dependence_alone_is_no_trend() {
        let alarms = |p: fn(&Trend) -> f64| {
            (0..300).filter(|seed| p(&Trend::of(&times(200), &ar1(0.6, 200, 50 + seed)).unwrap()) < 0.05).count()
        };
        let (corrected, independent) = (alarms(|t| t.p), alarms(|t| t.p_independent));
        assert!(corrected < 45 && independent > 2 * corrected, "{corrected} and {independent} of 300");
    }

    #[test]
    fn a_leak_is_found_with_its_rate_and_a_level_is_not() {
        let noise = ar1(0.3, 300, 5);
        let leak: Vec<f64> = noise.iter().enumerate().map(|(t, e)| 100.0 + 0.5 * t as f64 + e).collect();
        let trend = Trend::of(&times(300), &leak).unwrap();
        assert!(trend.is_there() && trend.slope_ci95.0 < 0.5 && 0.5 < trend.slope_ci95.1, "{trend:?}");
        assert!(!Trend::of(&times(300), &[7.0; 300]).unwrap().is_there());
        assert_eq!(Trend::of(&times(9), &[1.0; 9]), None);
    }

    #[test]
    fn long_series_are_averaged_and_keep_their_slope() {
        let n = 25_500;
        let line: Vec<f64> = (0..n).map(|t| 3.0 * t as f64).collect();
        let trend = Trend::of(&times(n), &line).unwrap();
        assert!(trend.n <= POINTS_MAX && (trend.slope - 3.0).abs() < 1e-9 && trend.tau == 1.0, "{trend:?}");
    }

    const MK_S: f64 = 76.0;
    const MK_VAR: f64 = 330.666_666_666_666_7;
    const MK_P: f64 = 3.716_215_300_153_536e-5;
    const MK_SLOPE: f64 = 0.714_285_714_285_714_3;
    const TS_CI: (f64, f64) = (0.5, 1.0);
    const HR_FACTOR: f64 = 4.585_481_328_909_955;
    const HR_P: f64 = 0.181_120_062_385_057_5;
}
