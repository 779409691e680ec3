//! What a handful of repeats says about a quantity, and about the difference of two.
//!
//! A confidence interval needs repeats to be estimated from. With one repeat there is no spread at all; with two, Student's
//! factor is 12.7 and the interval says nothing; so an interval is given from three repeats on, and below that only the
//! range that was seen. Intervals are 95 %, two-sided, for the mean (Student 1908) and for the difference of two means with
//! unequal variances (Welch 1947).

use serde::Serialize;

use super::distribution::student_quantile;
use super::quantile::{mean, median};

/// The fewest repeats for which an interval is given.
pub const INTERVAL_REPEATS_MIN: usize = 3;

/// Several measurements of one quantity, summed up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Number of repeats.
    pub n: usize,
    /// Mean over the repeats.
    pub mean: f64,
    /// Median over the repeats.
    pub median: f64,
    /// Least value seen.
    pub min: f64,
    /// Greatest value seen.
    pub max: f64,
    /// Standard deviation of the repeats; absent for fewer than two.
    pub sd: Option<f64>,
    /// 95 % confidence interval of the mean; absent for fewer than [`INTERVAL_REPEATS_MIN`] repeats.
    pub ci95: Option<(f64, f64)>,
}

impl Estimate {
    /// Sums `values` up; `None` when there are none or one of them is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let (mean, median) = (mean(values)?, median(values)?);
        if !values.iter().all(|v| v.is_finite()) {
            return None;
        }
        let n = values.len();
        let sd = (n > 1).then(|| (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1) as f64).sqrt());
        let ci95 = sd.filter(|_| n >= INTERVAL_REPEATS_MIN).map(|sd| {
            let half = student_quantile(0.975, (n - 1) as f64) * sd / (n as f64).sqrt();
            (mean - half, mean + half)
        });
        let min = values.iter().copied().fold(f64::INFINITY, f64::min);
        let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { n, mean, median, min, max, sd, ci95 })
    }

    /// The error bar to draw: the interval where there is one, else the range of what was seen.
    pub fn bar(&self) -> (f64, f64) {
        self.ci95.unwrap_or((self.min, self.max))
    }
}

/// How two estimates of the same quantity differ: the first against the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contrast {
    /// First mean over second mean.
    pub ratio: f64,
    /// How much the first is above (positive) or below the second, in percent of the second.
    pub percent: f64,
    /// 95 % interval of the difference of the means in percent of the second mean, where both have repeats enough.
    pub percent_ci95: Option<(f64, f64)>,
    /// What may be said.
    pub verdict: Verdict,
}

/// What the repeats allow to be said about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Too few repeats for an interval, but every repeat of one is above every repeat of the other.
    Apart,
    /// Too few repeats for an interval, and the ranges overlap.
    Overlapping,
    /// One measurement of each: nothing is known of the noise.
    Single,
    /// The 95 % interval of the difference leaves 0 out.
    Different,
    /// The 95 % interval of the difference holds 0.
    NoDifference,
}

impl Contrast {
    /// Compares `a` with `b`; `None` when the second mean is 0 and a ratio has no meaning.
    pub fn between(a: &Estimate, b: &Estimate) -> Option<Self> {
        if b.mean == 0.0 {
            return None;
        }
        let percent_ci95 = welch_interval(a, b).map(|(low, high)| (100.0 * low / b.mean, 100.0 * high / b.mean));
        let verdict = match percent_ci95 {
            Some((low, high)) if low > 0.0 || high < 0.0 => Verdict::Different,
            Some(_) => Verdict::NoDifference,
            None if a.n == 1 || b.n == 1 => Verdict::Single,
            None if a.min > b.max || a.max < b.min => Verdict::Apart,
            None => Verdict::Overlapping,
        };
        Some(Self { ratio: a.mean / b.mean, percent: 100.0 * (a.mean - b.mean) / b.mean, percent_ci95, verdict })
    }
}

/// The chance that the ranges of two equal quantities lie apart when they are measured `n` and `m` times: of all orders in
/// which the n + m values can fall, two have all of one below all of the other.
pub fn chance_apart(n: usize, m: usize) -> f64 {
    let orders = (1..=m).fold(1.0, |orders, i| orders * (n + i) as f64 / i as f64);
    2.0 / orders
}

/// How far two equal quantities may lie apart, by runs of one and the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Noise {
    /// The difference of the means, percent.
    pub percent: f64,
    /// Runs of the control.
    pub runs: usize,
}

/// The noise floor of a comparison of `a` runs with `b` runs, from a control's runs of one target: 95 of 100 differences between
/// the means of equal sides stay below it (Student's factor, with the control's deviation). Two runs of a control have too little
/// for that, and the difference that they showed is all that can be said. `None` for fewer, and for a mean of 0.
pub fn noise_floor(control: &[f64], a: usize, b: usize) -> Option<Noise> {
    let estimate = Estimate::of(control).filter(|estimate| estimate.mean != 0.0)?;
    let share = match (estimate.n, estimate.sd?) {
        (2, _) => (estimate.max - estimate.min) / estimate.mean.abs(),
        (n, sd) => {
            let runs = |count: usize| 1.0 / count.max(1) as f64;
            student_quantile(0.975, (n - 1) as f64) * sd * (runs(a) + runs(b)).sqrt() / estimate.mean.abs()
        }
    };
    Some(Noise { percent: 100.0 * share, runs: estimate.n })
}

/// The 95 % interval of the difference of the means by Welch's method.
fn welch_interval(a: &Estimate, b: &Estimate) -> Option<(f64, f64)> {
    if a.n < INTERVAL_REPEATS_MIN || b.n < INTERVAL_REPEATS_MIN {
        return None;
    }
    let share = |e: &Estimate| Some(e.sd?.powi(2) / e.n as f64);
    let (va, vb) = (share(a)?, share(b)?);
    let difference = a.mean - b.mean;
    if va + vb == 0.0 {
        return Some((difference, difference));
    }
    let freedom = (va + vb).powi(2) / (va.powi(2) / (a.n - 1) as f64 + vb.powi(2) / (b.n - 1) as f64);
    let half = student_quantile(0.975, freedom) * (va + vb).sqrt();
    Some((difference - half, difference + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "found {found}, expected {expected}");
    }

    /// `scipy.stats.t.interval(0.95, 2, mean, sem)` of scipy 1.17.1.
    #[test]
    fn interval_of_three_repeats() {
        let estimate = Estimate::of(&[10.0, 14.0, 12.0]).unwrap();
        assert_eq!((estimate.n, estimate.mean, estimate.median, estimate.sd), (3, 12.0, 12.0, Some(2.0)));
        let (low, high) = estimate.ci95.unwrap();
        close(low, 7.031_724_6, 1e-6);
        close(high, 16.968_275_4, 1e-6);
        assert_eq!(estimate.bar(), (low, high));
    }

    #[test]
    fn two_repeats_give_a_range_and_one_gives_no_spread() {
        let two = Estimate::of(&[5.0, 7.0]).unwrap();
        assert_eq!((two.ci95, two.bar()), (None, (5.0, 7.0)));
        let one = Estimate::of(&[5.0]).unwrap();
        assert_eq!((one.sd, one.bar()), (None, (5.0, 5.0)));
    }

    #[test]
    fn nothing_and_nan_are_no_estimate() {
        assert_eq!(Estimate::of(&[]), None);
        assert_eq!(Estimate::of(&[1.0, f64::NAN]), None);
    }

    /// `scipy.stats.ttest_ind(a, b, equal_var=False).confidence_interval()` of scipy 1.17.1.
    #[test]
    fn welch_interval_of_a_difference() {
        let a = Estimate::of(&[19.0, 22.1, 20.5, 19.5, 23.0]).unwrap();
        let b = Estimate::of(&[22.0, 23.5, 24.0, 22.4, 23.0]).unwrap();
        let (low, high) = welch_interval(&a, &b).unwrap();
        close(low, -4.243_372_9, 1e-6);
        close(high, -0.076_627_1, 1e-6);
        assert_eq!(Contrast::between(&a, &b).unwrap().verdict, Verdict::Different);
    }

    #[test]
    fn verdicts_follow_the_count_of_repeats() {
        let estimate = |values: &[f64]| Estimate::of(values).unwrap();
        let verdict = |a: &[f64], b: &[f64]| Contrast::between(&estimate(a), &estimate(b)).unwrap().verdict;
        assert_eq!(verdict(&[1.0], &[2.0]), Verdict::Single);
        assert_eq!(verdict(&[1.0, 2.0], &[3.0, 4.0]), Verdict::Apart);
        assert_eq!(verdict(&[1.0, 3.0], &[2.0, 4.0]), Verdict::Overlapping);
        assert_eq!(verdict(&[10.0, 11.0, 12.0], &[10.5, 11.0, 11.5]), Verdict::NoDifference);
        assert_eq!(Contrast::between(&estimate(&[1.0]), &estimate(&[0.0])), None);
    }

    /// 2 over the binomial coefficient: 2/2, 2/6, 2/20, 2/10.
    #[test]
    fn ranges_of_equals_are_often_apart() {
        for ((n, m), chance) in [((1, 1), 1.0), ((2, 2), 1.0 / 3.0), ((3, 3), 0.1), ((2, 3), 0.2)] {
            close(chance_apart(n, m), chance, 1e-12);
        }
    }

    #[test]
    fn percent_is_of_the_second() {
        let contrast = Contrast::between(&Estimate::of(&[150.0]).unwrap(), &Estimate::of(&[100.0]).unwrap()).unwrap();
        assert_eq!((contrast.ratio, contrast.percent), (1.5, 50.0));
    }

    /// sd 2 around 100, Student's factor for 2 degrees of freedom 4.302653 (scipy), times the root of 1/a + 1/b.
    #[test]
    fn noise_floor_of_a_control() {
        let floor = |a, b| noise_floor(&[98.0, 102.0, 100.0], a, b).unwrap().percent;
        assert!((floor(1, 1) - 4.302_653 * 2.0 * 2.0_f64.sqrt()).abs() < 1e-5, "{}", floor(1, 1));
        assert!((floor(4, 4) - 4.302_653 * 2.0 * 0.5_f64.sqrt()).abs() < 1e-5, "{}", floor(4, 4));
        assert_eq!(noise_floor(&[98.0, 102.0], 3, 3), Some(Noise { percent: 4.0, runs: 2 }));
        assert_eq!(noise_floor(&[98.0], 1, 1), None);
        assert_eq!(noise_floor(&[0.0, 0.0], 1, 1), None);
    }
}
