//! How sure a mean is when successive values resemble each other.
//!
//! A second of a broker's life resembles the second before. The textbook error sd/√n takes the values as independent and is
//! then too small, often by half. Two estimates here do not: the integrated autocorrelation time with Sokal's window
//! (A. Sokal, "Monte Carlo Methods in Statistical Mechanics", 1997, section 3), which says how many values are worth one
//! independent value, and the long-run variance of Newey and West (Econometrica 55, 1987). Both are void below
//! [`VALUES_MIN`] values; a series with a trend has no mean to be sure of, which [`super::trend`] finds out first.

use serde::Serialize;

use super::distribution::{normal_quantile, student_quantile};
use super::quantile::{mean, quantile};

/// The fewest values for which an error is given.
pub const VALUES_MIN: usize = 8;

/// Of fewer independent values not even least and greatest bound the median at 95 %.
pub const INDEPENDENT_MIN: f64 = 6.0;

/// A mean of serially dependent values, with its error.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SerialMean {
    /// Number of values.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Standard error of the mean, the serial dependence allowed for.
    pub se: f64,
    /// How many values in a row say as much as one independent value; at least 1.
    pub correlation_time: f64,
    /// 95 % confidence interval of the mean, by Student's distribution with as many degrees of freedom as the estimate of the
    /// dependence has: the values over the width of Sokal's window (M. Priestley, "Spectral Analysis", 1981, 6.2.4).
    pub ci95: (f64, f64),
}

impl SerialMean {
    /// The mean of `values` in the order of time; `None` for fewer than [`VALUES_MIN`] or values that are not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.len() < VALUES_MIN || !values.iter().all(|v| v.is_finite()) {
            return None;
        }
        let (n, mean) = (values.len(), mean(values)?);
        let (correlation_time, window) = correlation(values);
        let se = (autocovariance(values, 0) * correlation_time / n as f64).sqrt();
        let freedom = (n as f64 / (2 * window + 1) as f64).max(1.0);
        let half = student_quantile(0.975, freedom) * se;
        Some(Self { n, mean, se, correlation_time, ci95: (mean - half, mean + half) })
    }

    /// How many independent values the series is worth.
    pub fn independent(&self) -> f64 {
        self.n as f64 / self.correlation_time
    }
}

/// 95 % interval of the median: the values at the ranks between which it lies, with as many independent values as the
/// autocorrelation time leaves (order statistics by the bell curve, David and Nagaraja, 7.1). `None` where fewer than six
/// are left, or a value is not finite.
pub fn median_ci95(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < VALUES_MIN || !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let independent = values.len() as f64 / correlation_time(values);
    let aside = 0.5 * normal_quantile(0.975) / independent.sqrt();
    let at = |q: f64| quantile(values, q);
    if independent >= INDEPENDENT_MIN { at(0.5 - aside).zip(at(0.5 + aside)) } else { None }
}

/// The autocovariance at a lag, divided by the number of all values (the estimate that is never negative as a sequence).
pub fn autocovariance(values: &[f64], lag: usize) -> f64 {
    let Some(mean) = mean(values) else { return 0.0 };
    let pairs = values.iter().zip(values.iter().skip(lag));
    pairs.map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / values.len() as f64
}

/// The integrated autocorrelation time 1 + 2 Σ ρ(k), summed up to the first lag that is five times the sum so far
/// (Sokal's window), and corrected for what taking the mean out costs (U. Wolff, Computer Physics Communications 156, 2004,
/// equation 49). At least 1: values that alternate are taken as independent, which errs on the safe side.
pub fn correlation_time(values: &[f64]) -> f64 {
    correlation(values).0
}

/// The autocorrelation time, and the lag up to which it was summed.
fn correlation(values: &[f64]) -> (f64, usize) {
    let n = values.len();
    let variance = autocovariance(values, 0);
    // A sum of squares that is nothing but rounding has no correlations.
    let scale = mean(values).unwrap_or(0.0).abs();
    if variance.sqrt() <= 1e-12 * scale || variance == 0.0 {
        return (1.0, 0);
    }
    let (mut time, mut window) = (1.0, 0);
    while window + 1 < n && (window as f64) < SOKAL_WINDOW * time {
        window += 1;
        time += 2.0 * autocovariance(values, window) / variance;
    }
    let corrected = time * (1.0 + (2 * window + 1) as f64 / n as f64);
    (corrected.max(1.0), window)
}

/// The standard error of the mean by Newey and West with Bartlett weights over `lags` lags; the textbook's error for 0.
pub fn newey_west_se(values: &[f64], lags: usize) -> f64 {
    let weighted = |lag: usize| (1.0 - lag as f64 / (lags + 1) as f64) * autocovariance(values, lag);
    let long_run = autocovariance(values, 0) + 2.0 * (1..=lags.min(values.len())).map(weighted).sum::<f64>();
    (long_run.max(0.0) / values.len() as f64).sqrt()
}

/// Newey and West's number of lags for `n` values, ⌊4 (n/100)^(2/9)⌋ (Review of Economic Studies 61, 1994).
pub fn newey_west_lags(n: usize) -> usize {
    (4.0 * (n as f64 / 100.0).powf(2.0 / 9.0)).floor() as usize
}

const SOKAL_WINDOW: f64 = 5.0;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::stats::random::Random;

    /// An AR(1) series with unit innovations (sums of twelve uniforms), after 200 values of settling.
    pub(crate) fn ar1(phi: f64, n: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        let mut noise = || (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let mut x = 0.0;
        let mut next = || {
            x = phi * x + noise();
            x
        };
        (0..200).for_each(|_| {
            next();
        });
        (0..n).map(|_| next()).collect()
    }

    const X: [f64; 12] = [1.0, 2.0, 4.0, 3.0, 5.0, 7.0, 6.0, 8.0, 9.0, 7.0, 8.0, 10.0];

    /// `statsmodels.api.OLS(x, ones).fit(cov_type='HAC', cov_kwds={'maxlags': L, 'use_correction': False}).bse[0]` of
    /// statsmodels 0.15.0 for the numbers above.
    #[test]
    fn newey_west_agrees_with_statsmodels() {
        for (lags, expected) in [(0, NW[0]), (2, NW[1]), (4, NW[2])] {
            let found = newey_west_se(&X, lags);
            assert!((found - expected).abs() < 1e-10, "{lags} lags: {found}, expected {expected}");
        }
        assert_eq!([newey_west_lags(50), newey_west_lags(100), newey_west_lags(1000)], [3, 4, 6]);
    }

    /// `statsmodels.tsa.stattools.acovf(x, adjusted=False)[:4]` of statsmodels 0.15.0.
    #[test]
    fn autocovariance_agrees_with_statsmodels() {
        for (lag, expected) in ACOVF.into_iter().enumerate() {
            assert!((autocovariance(&X, lag) - expected).abs() < 1e-10, "lag {lag}: {}", autocovariance(&X, lag));
        }
    }

    /// For AR(1) the time is (1 + phi) / (1 - phi).
    #[test]
    fn correlation_time_of_a_known_process() {
        for (phi, expected) in [(0.0, 1.0), (0.5, 3.0), (0.8, 9.0)] {
            let found = correlation_time(&ar1(phi, 40_000, 7));
            assert!((found / expected - 1.0).abs() < 0.15, "phi {phi}: {found}, expected {expected}");
        }
        assert_eq!(correlation_time(&[5.0; 20]), 1.0);
        assert_eq!(correlation_time(&[1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0]), 1.0);
    }

    /// The interval must hold the true mean (0) about as often as it says; the textbook's would do so in 65 %.
    #[test]
    fn interval_covers_the_mean_of_dependent_values() {
        let covered = (0..400).filter(|seed| {
            let (low, high) = SerialMean::of(&ar1(0.6, 300, 1000 + seed)).unwrap().ci95;
            low <= 0.0 && 0.0 <= high
        });
        let share = covered.count() as f64 / 400.0;
        assert!((0.90..=0.98).contains(&share), "{share}");
    }

    #[test]
    fn too_few_or_infinite_values_have_no_error() {
        assert_eq!(SerialMean::of(&[1.0; 7]), None);
        assert_eq!(SerialMean::of(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, f64::NAN]), None);
        let constant = SerialMean::of(&[4.0; 9]).unwrap();
        assert_eq!((constant.mean, constant.se, constant.ci95), (4.0, 0.0, (4.0, 4.0)));
    }

    const NW: [f64; 3] = [0.789_104_039_518_988_8, 1.136_967_665_877_543_6, 1.310_687_313_804_441_7];
    const ACOVF: [f64; 4] =
        [7.472_222_222_222_223, 4.567_129_629_629_63, 2.925_925_925_925_925_6, 2.854_166_666_666_666_5];

    /// The share of 400 series whose interval holds the true median 0 is near 95 %, with and without dependence.
    #[test]
    fn interval_covers_the_median_of_dependent_values() {
        for phi in [0.0, 0.6] {
            let holds = |seed| {
                let (low, high) = median_ci95(&ar1(phi, 200, seed)).unwrap();
                low <= 0.0 && 0.0 <= high
            };
            let covered = (0..400).filter(|seed| holds(*seed)).count() as f64 / 400.0;
            assert!((0.90..0.99).contains(&covered), "{phi}: {covered}");
        }
        assert_eq!(median_ci95(&[1.0; 7]), None);
        assert_eq!(median_ci95(&(0..50).map(f64::from).collect::<Vec<_>>()), None);
        assert_eq!(median_ci95(&[3.0; 20]), Some((3.0, 3.0)));
    }
}
