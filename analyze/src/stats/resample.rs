//! Intervals by resampling: over runs, and inside one run.
//!
//! **Over runs** the bootstrap draws repeats with replacement (B. Efron, Annals of Statistics 7, 1979). With a handful of
//! repeats its percentiles are too narrow; they are widened to where Student's distribution puts them (the expanded
//! percentile interval: T. Hesterberg, The American Statistician 69, 2015, 5.3). Void below
//! [`super::estimate::INTERVAL_REPEATS_MIN`] repeats on a side.
//!
//! **Inside a run** successive values depend on each other, so blocks of them are drawn: the stationary bootstrap (D. Politis,
//! J. Romano, JASA 89, 1994), with blocks of random length whose mean is at least the autocorrelation time and the cube
//! root of the count. What it gives is the uncertainty of *this* run. Repeats differ by more than that, so an interval from
//! one run must be called that, and is no evidence that a difference would come again.
//!
//! All draws come from a seed: the same data gives the same interval.

use serde::Serialize;

use super::distribution::{normal_cdf, student_quantile};
use super::estimate::INTERVAL_REPEATS_MIN;
use super::quantile::mean;
use super::random::Random;
use super::serial::{VALUES_MIN, correlation_time};

/// A ratio of two means with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// First mean over second mean.
    pub ratio: f64,
    /// 95 % interval, where the counts allow one.
    pub ci95: Option<(f64, f64)>,
}

/// The ratio of the means of repeated runs, `a` over `b`; `None` when the second mean is 0 or a value is not finite.
pub fn ratio_over_runs(a: &[f64], b: &[f64], seed: u64) -> Option<Ratio> {
    let ratio = ratio_of(mean(a)?, mean(b)?)?;
    let count = a.len().min(b.len());
    if count < INTERVAL_REPEATS_MIN {
        return Some(Ratio { ratio, ci95: None });
    }
    let mut random = Random::new(seed);
    // Sorted, so that the order of directories changes nothing.
    let (a, b) = (sorted(a), sorted(b));
    let draw = |random: &mut Random| ratio_of(redrawn_mean(&a, random), redrawn_mean(&b, random));
    let tail = expanded_tail(count);
    Some(Ratio { ratio, ci95: interval((0..DRAWS).filter_map(|_| draw(&mut random)).collect(), tail) })
}

/// The ratio of the means of two single runs' values in the order of time; `None` as in [`ratio_over_runs`]. The interval is
/// that of these two runs.
pub fn ratio_inside_runs(a: &[f64], b: &[f64], seed: u64) -> Option<Ratio> {
    let ratio = ratio_of(mean(a)?, mean(b)?)?;
    if a.len().min(b.len()) < VALUES_MIN {
        return Some(Ratio { ratio, ci95: None });
    }
    let mut random = Random::new(seed);
    let (block_a, block_b) = (block_length(a), block_length(b));
    let draw = |random: &mut Random| ratio_of(block_mean(a, block_a, random), block_mean(b, block_b, random));
    let independent = (a.len() as f64 / block_a).min(b.len() as f64 / block_b).max(2.0);
    let tail = expanded_tail(independent as usize);
    Some(Ratio { ratio, ci95: interval((0..DRAWS).filter_map(|_| draw(&mut random)).collect(), tail) })
}

/// The mean of one run's values and its 95 % interval by the block bootstrap; `None` below [`VALUES_MIN`] values.
pub fn mean_inside_run(values: &[f64], seed: u64) -> Option<(f64, (f64, f64))> {
    if values.len() < VALUES_MIN || !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    let mut random = Random::new(seed);
    let block = block_length(values);
    let draws = (0..DRAWS).map(|_| block_mean(values, block, &mut random)).collect();
    let tail = expanded_tail(((values.len() as f64 / block) as usize).max(2));
    Some((mean(values)?, interval(draws, tail)?))
}

/// Values with their counts, ascending: one interval of a histogram log.
pub type Counted = Vec<(u64, u64)>;

/// The ratio of a quantile (0 to 1) of two single runs, `a` over `b`, each given as the counts of successive intervals; whole
/// intervals are drawn in blocks. `None` when a run has no values or the second quantile is 0; an interval from
/// [`VALUES_MIN`] intervals with values on, and it is that of these two runs.
pub fn quantile_ratio_inside_runs(a: &[Counted], b: &[Counted], quantile: f64, seed: u64) -> Option<Ratio> {
    let (a, b) = (Intervals::of(a), Intervals::of(b));
    let all = |intervals: &Intervals| intervals.quantile(0..intervals.counts.len(), quantile);
    let ratio = ratio_of(all(&a)?, all(&b)?)?;
    if a.counts.len().min(b.counts.len()) < VALUES_MIN {
        return Some(Ratio { ratio, ci95: None });
    }
    let mut random = Random::new(seed);
    let draw = |random: &mut Random| {
        let of_a = a.quantile(blocks(a.counts.len(), a.block, random), quantile)?;
        ratio_of(of_a, b.quantile(blocks(b.counts.len(), b.block, random), quantile)?)
    };
    let tail = expanded_tail(a.independent().min(b.independent()));
    Some(Ratio { ratio, ci95: interval((0..QUANTILE_DRAWS).filter_map(|_| draw(&mut random)).collect(), tail) })
}

/// The intervals of a run that have values, over one list of all values that occur.
struct Intervals {
    values: Vec<u64>,
    /// Place in `values` and count.
    counts: Vec<Vec<(usize, u64)>>,
    block: f64,
}

impl Intervals {
    fn of(intervals: &[Counted]) -> Self {
        let filled: Vec<&Counted> = intervals.iter().filter(|counts| counts.iter().any(|(_, n)| *n > 0)).collect();
        let mut values: Vec<u64> = filled.iter().flat_map(|counts| counts.iter().map(|(value, _)| *value)).collect();
        values.sort_unstable();
        values.dedup();
        let place = |value: &u64| values.binary_search(value).expect("the list holds every value");
        let counts = filled.iter().map(|counts| counts.iter().map(|(value, n)| (place(value), *n)).collect()).collect();
        let level = |counts: &&Counted| {
            let (sum, n) = counts
                .iter()
                .fold((0.0, 0.0), |(sum, all), (value, n)| (sum + *value as f64 * *n as f64, all + *n as f64));
            sum / n
        };
        let block = block_length(&filled.iter().map(level).collect::<Vec<_>>());
        Self { values, counts, block }
    }

    fn independent(&self) -> usize {
        ((self.counts.len() as f64 / self.block) as usize).max(2)
    }

    /// A quantile of the values of these intervals together, by rank.
    fn quantile(&self, intervals: impl Iterator<Item = usize>, quantile: f64) -> Option<f64> {
        let (mut sums, mut all) = (vec![0_u64; self.values.len()], 0);
        for (place, n) in intervals.flat_map(|interval| &self.counts[interval]) {
            sums[*place] += n;
            all += n;
        }
        let rank = ((quantile * all as f64).ceil() as u64).max(1);
        let mut below = 0;
        let place = sums.iter().position(|n| {
            below += n;
            below >= rank
        })?;
        Some(self.values[place] as f64)
    }
}

/// Mean length of a block: the autocorrelation time, and at least the cube root of the count.
pub fn block_length(values: &[f64]) -> f64 {
    let quarter = values.len() as f64 / 4.0;
    correlation_time(values).max((values.len() as f64).cbrt()).min(quarter.max(1.0))
}

fn ratio_of(a: f64, b: f64) -> Option<f64> {
    (b != 0.0 && a.is_finite() && b.is_finite()).then(|| a / b)
}

fn redrawn_mean(values: &[f64], random: &mut Random) -> f64 {
    (0..values.len()).map(|_| values[random.below(values.len())]).sum::<f64>() / values.len() as f64
}

/// Mean of as many values, drawn in blocks.
fn block_mean(values: &[f64], block: f64, random: &mut Random) -> f64 {
    blocks(values.len(), block, random).map(|at| values[at]).sum::<f64>() / values.len() as f64
}

/// `n` places of a series of `n`, drawn in blocks of this mean length around its circle.
fn blocks(n: usize, block: f64, random: &mut Random) -> impl Iterator<Item = usize> {
    let mut next = random.below(n);
    (0..n).map(move |_| {
        let at = next;
        next = if random.unit() * block < 1.0 { random.below(n) } else { (at + 1) % n };
        at
    })
}

/// The share to cut off at each side so that an interval from `count` values is as wide as Student's.
fn expanded_tail(count: usize) -> f64 {
    let n = count as f64;
    normal_cdf(-(n / (n - 1.0)).sqrt() * student_quantile(0.975, n - 1.0))
}

fn interval(mut draws: Vec<f64>, tail: f64) -> Option<(f64, f64)> {
    draws.sort_unstable_by(f64::total_cmp);
    let last = draws.len().checked_sub(1)?;
    let cut = (tail * last as f64).floor() as usize;
    Some((draws[cut], draws[last - cut]))
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values
}

const DRAWS: usize = 4_000;
/// Fewer, because each adds up whole histograms; the ends of an interval then wobble by a tenth of its width.
const QUANTILE_DRAWS: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::serial::SerialMean;
    use crate::stats::serial::tests::ar1;

    fn noise(n: usize, centre: f64, seed: u64) -> Vec<f64> {
        ar1(0.0, n, seed).into_iter().map(|e| centre + e).collect()
    }

    /// 95 % intervals must hold the truth nearly that often, even from five runs a side.
    #[test]
    fn intervals_over_runs_cover_the_true_ratio() {
        let covered = (0..300).filter(|seed| {
            let (a, b) = (noise(5, 80.0, 7 + seed), noise(5, 100.0, 9_000 + seed));
            let (low, high) = ratio_over_runs(&a, &b, 1).unwrap().ci95.unwrap();
            low <= 0.8 && 0.8 <= high
        });
        let share = covered.count() as f64 / 300.0;
        assert!((0.90..=0.995).contains(&share), "{share}");
    }

    #[test]
    fn intervals_inside_runs_allow_for_dependence() {
        let covered = (0..80).filter(|seed| {
            let level =
                |centre: f64, seed: u64| ar1(0.6, 120, seed).into_iter().map(|e| centre + e).collect::<Vec<_>>();
            let (a, b) = (level(50.0, 7 + seed), level(100.0, 9_000 + seed));
            let (low, high) = ratio_inside_runs(&a, &b, 1).unwrap().ci95.unwrap();
            low <= 0.5 && 0.5 <= high
        });
        let share = covered.count() as f64 / 80.0;
        assert!(share >= 0.85, "{share}");
    }

    /// Two ways to the same error: blocks, and the autocorrelation time.
    #[test]
    fn block_bootstrap_agrees_with_the_serial_error() {
        let values = ar1(0.5, 1_000, 3);
        let (_, (low, high)) = mean_inside_run(&values, 1).unwrap();
        let serial = SerialMean::of(&values).unwrap().ci95;
        let ratio = (high - low) / (serial.1 - serial.0);
        assert!((0.75..1.25).contains(&ratio), "{ratio}");
    }

    #[test]
    fn the_same_seed_and_any_order_of_runs_give_the_same_interval() {
        let (a, b) = ([3.0, 1.0, 2.0], [5.0, 6.0, 4.0]);
        let found = ratio_over_runs(&a, &b, 42).unwrap();
        assert_eq!(Some(found), ratio_over_runs(&[1.0, 2.0, 3.0], &[6.0, 4.0, 5.0], 42));
        let (low, high) = found.ci95.unwrap();
        assert!(low <= found.ratio && found.ratio <= high && found.ratio == 0.4);
    }

    #[test]
    fn too_little_has_a_ratio_and_no_interval() {
        assert_eq!(ratio_over_runs(&[1.0, 3.0], &[4.0, 4.0, 4.0], 1), Some(Ratio { ratio: 0.5, ci95: None }));
        assert_eq!(ratio_inside_runs(&[1.0; 7], &[2.0; 30], 1), Some(Ratio { ratio: 0.5, ci95: None }));
        assert_eq!(ratio_over_runs(&[1.0], &[0.0], 1), None);
        assert_eq!(ratio_over_runs(&[], &[1.0], 1), None);
        assert_eq!(mean_inside_run(&[1.0; 3], 1), None);
    }

    #[test]
    fn equal_values_have_an_interval_of_no_width() {
        assert_eq!(ratio_over_runs(&[2.0; 3], &[4.0; 3], 1).unwrap().ci95, Some((0.5, 0.5)));
    }

    /// The median of 40 intervals of 50 values around 200 is that over 100 of the others, times two.
    #[test]
    fn a_quantiles_interval_holds_the_true_ratio() {
        let counted = |values: Vec<f64>| values.into_iter().map(|value| (value as u64, 1)).collect::<Counted>();
        let run = |centre: f64, seed: u64| {
            (0..40).map(|at| counted(sorted(&noise(50, centre, seed * 100 + at)))).collect::<Vec<_>>()
        };
        let covered = (0..40).filter(|seed| {
            let found = quantile_ratio_inside_runs(&run(2e6, *seed), &run(1e6, 500 + seed), 0.5, 1).unwrap();
            let (low, high) = found.ci95.unwrap();
            low <= 2.0 && 2.0 <= high
        });
        assert!(covered.count() >= 34);
    }

    #[test]
    fn a_quantile_of_counts_goes_by_rank() {
        let run = [vec![(10, 3), (20, 1)], vec![], vec![(30, 6)]];
        let of = |quantile| quantile_ratio_inside_runs(&run, &[vec![(1, 1)]], quantile, 1);
        assert_eq!(of(0.3), Some(Ratio { ratio: 10.0, ci95: None }));
        assert_eq!(of(0.4), Some(Ratio { ratio: 20.0, ci95: None }));
        assert_eq!(of(0.5), Some(Ratio { ratio: 30.0, ci95: None }));
        assert_eq!(quantile_ratio_inside_runs(&[], &run, 0.5, 1), None);
        assert_eq!(quantile_ratio_inside_runs(&run, &[vec![(0, 5)]], 0.5, 1), None);
    }
}
