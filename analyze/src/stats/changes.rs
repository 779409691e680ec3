//! Where the level of a series changes: the begin and the end of a load, and steps in between.
//!
//! The series is cut into stretches of constant level so that the squared deviations from their means, plus a price for each
//! cut, are least. PELT finds the exact optimum, in a time that grows about linearly where there are changes to find
//! (R. Killick, P. Fearnhead, I. A. Eckley, JASA 107, 2012). The price is 3 ln n times the variance of the noise (a
//! Schwarz penalty for a level, its place and the dependence of neighbours), and the noise is measured by the median
//! distance of neighbours, which a few steps do not move. Void for fewer than [`VALUES_MIN`] values.

use std::ops::Range;

use super::quantile::{mean, median};

/// The fewest values in which a change is looked for.
pub const VALUES_MIN: usize = 8;

/// The stretches of constant level, in order and without gaps; one stretch where nothing changes. Values that are not finite
/// count as the value before them.
pub fn stretches(values: &[f64]) -> Vec<Range<usize>> {
    let values = filled(values);
    if values.len() < VALUES_MIN {
        return std::iter::once(0..values.len()).filter(|whole| !whole.is_empty()).collect();
    }
    let penalty = 3.0 * (values.len() as f64).ln() * noise_variance(&values);
    pelt(&values, penalty)
}

/// The load's steady part: the stretches at the height of the load, dips in between included; `None` when there is no load
/// worth the name.
///
/// The height of the load is the level above which the busiest half of the loaded time lies. The load begins with the first
/// stretch at four fifths of it and ends with the last at half of it. What rises before and falls after is ramp and drain; what
/// collapses and comes back stays in, because a user would have felt it. `floor` is the level below which the
/// series counts as idle.
///
/// A long series is looked at in equal blocks, by their means, and the range begins and ends with a block.
pub fn steady_load(load: &[f64], floor: f64) -> Option<Range<usize>> {
    let size = load.len().div_ceil(BLOCKS_MAX).max(1);
    if size > 1 {
        let block_mean = |block: &[f64]| {
            let finite: Vec<f64> = block.iter().copied().filter(|v| v.is_finite()).collect();
            mean(&finite).unwrap_or(f64::NAN)
        };
        let blocks = steady_load(&load.chunks(size).map(block_mean).collect::<Vec<_>>(), floor)?;
        return Some(blocks.start * size..(blocks.end * size).min(load.len()));
    }
    let levels: Vec<(Range<usize>, f64)> = stretches(load)
        .into_iter()
        .map(|stretch| {
            let finite: Vec<f64> = load[stretch.clone()].iter().copied().filter(|v| v.is_finite()).collect();
            let level = median(&finite).unwrap_or(0.0);
            (stretch, level)
        })
        .collect();
    let loaded: Vec<f64> = levels
        .iter()
        .filter(|(_, level)| *level >= floor && *level > 0.0)
        .flat_map(|(stretch, level)| std::iter::repeat_n(*level, stretch.len()))
        .collect();
    let height = median(&loaded)?;
    let reaches = |share: f64| move |(_, level): &&(Range<usize>, f64)| *level >= share * height;
    let begin = levels.iter().find(reaches(RISEN_SHARE))?.0.start;
    let end = levels.iter().rfind(reaches(LOAD_SHARE))?.0.end;
    Some(begin..end)
}

/// The optimal partition for this price per cut.
fn pelt(values: &[f64], penalty: f64) -> Vec<Range<usize>> {
    let n = values.len();
    let centre = mean(values).unwrap_or(0.0);
    let (mut sum, mut squares) = (vec![0.0; n + 1], vec![0.0; n + 1]);
    for (i, value) in values.iter().enumerate() {
        let centred = value - centre;
        (sum[i + 1], squares[i + 1]) = (sum[i] + centred, squares[i] + centred * centred);
    }
    let cost = |from: usize, to: usize| {
        let total = sum[to] - sum[from];
        (squares[to] - squares[from] - total * total / (to - from) as f64).max(0.0)
    };
    let mut best = vec![0.0; n + 1];
    best[0] = -penalty;
    let mut last_cut = vec![0; n + 1];
    let mut candidates = vec![0];
    for to in STRETCH_MIN..=n {
        let price = |from: usize| best[from] + cost(from, to) + penalty;
        let (from, least) = candidates
            .iter()
            .map(|from| (*from, price(*from)))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .expect("the begin of the series is always a candidate");
        (best[to], last_cut[to]) = (least, from);
        // A cut that could not win even without a price for the next one never will.
        candidates.retain(|from| best[*from] + cost(*from, to) <= least);
        let next = to + 1 - STRETCH_MIN;
        if next >= STRETCH_MIN {
            candidates.push(next);
        }
        if candidates.is_empty() {
            candidates.push(from);
        }
    }
    let mut cuts = Vec::new();
    let mut to = n;
    while to > 0 {
        cuts.push(last_cut[to]..to);
        to = last_cut[to];
    }
    cuts.reverse();
    cuts
}

/// Variance of the noise from the median distance of neighbours: 1.4826 times the median makes a bell curve's deviation of
/// it, and neighbours differ by two noises. Where most neighbours are equal, a thousandth of the range stands in.
fn noise_variance(values: &[f64]) -> f64 {
    let distances: Vec<f64> = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    let deviation = 1.4826 * median(&distances).unwrap_or(0.0) / std::f64::consts::SQRT_2;
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    deviation.max(1e-3 * (high - low)).powi(2).max(f64::MIN_POSITIVE)
}

fn filled(values: &[f64]) -> Vec<f64> {
    let first = values.iter().copied().find(|v| v.is_finite()).unwrap_or(0.0);
    let keep = |last: &mut f64, value: &f64| {
        if value.is_finite() {
            *last = *value;
        }
        Some(*last)
    };
    values.iter().scan(first, keep).collect()
}

/// A stretch shorter than this is an outlier, not a level.
const STRETCH_MIN: usize = 2;
/// Series up to this length are looked at value by value.
const BLOCKS_MAX: usize = 16_384;
/// With the first stretch at this share of the load's height the ramp is over.
const RISEN_SHARE: f64 = 0.8;
/// A stretch below this share of the load's height is not load.
const LOAD_SHARE: f64 = 0.5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    fn noisy(levels: &[(usize, f64)], noise: f64) -> Vec<f64> {
        let mut random = Random::new(11);
        let mut value = |level: f64| level + noise * ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0);
        levels.iter().flat_map(|(n, level)| vec![*level; *n]).map(&mut value).collect()
    }

    /// Least squares by trying every pair of cuts agrees with the pruned search.
    #[test]
    fn pruning_loses_nothing() {
        let values = noisy(&[(9, 10.0), (8, 16.0), (9, 11.0)], 1.0);
        let squares = |part: &[f64]| {
            let m = mean(part).unwrap();
            part.iter().map(|v| (v - m).powi(2)).sum::<f64>()
        };
        let pairs = (2..values.len() - 3).flat_map(|i| (i + 2..values.len() - 1).map(move |j| (i, j)));
        let of = |(i, j): (usize, usize)| squares(&values[..i]) + squares(&values[i..j]) + squares(&values[j..]);
        let (i, j) = pairs.min_by(|a, b| of(*a).total_cmp(&of(*b))).unwrap();
        assert_eq!(stretches(&values), [0..i, i..j, j..values.len()]);
    }

    #[test]
    fn steps_are_found_where_they_are() {
        let values = noisy(&[(40, 0.0), (120, 100.0), (30, 20.0)], 2.0);
        assert_eq!(stretches(&values), [0..40, 40..160, 160..190]);
    }

    #[test]
    fn noise_alone_has_no_steps() {
        assert_eq!(stretches(&noisy(&[(300, 5.0)], 1.0)).as_slice(), std::slice::from_ref(&(0..300)));
        assert_eq!(stretches(&[5.0; 100]).as_slice(), std::slice::from_ref(&(0..100)));
        assert_eq!(stretches(&[1.0, 9.0, 1.0]).as_slice(), std::slice::from_ref(&(0..3)));
        assert!(stretches(&[]).is_empty());
    }

    #[test]
    fn a_lone_outlier_and_a_hole_are_no_level() {
        let mut values = noisy(&[(60, 50.0)], 1.0);
        values[30] = 53.0;
        values[40] = f64::NAN;
        assert_eq!(stretches(&values).as_slice(), std::slice::from_ref(&(0..60)));
    }

    #[test]
    fn load_begins_and_ends_at_its_height() {
        // Idle, two steps of a ramp, load, a collapse that heals, load, drain, idle.
        let values =
            noisy(&[(20, 0.0), (5, 20.0), (5, 60.0), (60, 100.0), (6, 10.0), (50, 98.0), (8, 15.0), (20, 0.0)], 1.0);
        let load = steady_load(&values, 5.0).unwrap();
        assert!(load.start == 25 || load.start == 30, "{load:?}");
        assert_eq!(load.end, 146);
    }

    #[test]
    fn idle_is_no_load() {
        assert_eq!(steady_load(&noisy(&[(50, 10.0)], 1.0), 100.0), None);
        assert_eq!(steady_load(&[0.0; 20], 0.0), None);
        assert_eq!(steady_load(&[], 0.0), None);
    }

    #[test]
    fn ten_thousand_values_take_no_time() {
        let values = noisy(&[(2_000, 0.0), (7_000, 100.0), (1_000, 0.0)], 5.0);
        assert_eq!(steady_load(&values, 10.0), Some(2_000..9_000));
    }
}
