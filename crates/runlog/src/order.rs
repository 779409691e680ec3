//! Order statistics: which percentiles a number of samples allows, and how sure they are.
//!
//! The p-quantile of n samples is the sample of rank ⌈p·n⌉. How many samples lie below the true p-quantile is binomial
//! (n, p) whatever the distribution, so the samples of two ranks enclose it with a known probability: an exact interval
//! without any assumption (H. A. David, H. N. Nagaraja, "Order Statistics", 7.1). A percentile is *allowed* when that
//! interval, at 95 % and two-sided, ends at samples on both sides; else the data does not bound it.

/// Probability that may lie on each side of the interval.
pub const TAIL: f64 = 0.025;

/// Rank (from 1) of the `quantile` (0 to 1) of `count` samples.
pub fn rank(count: u64, quantile: f64) -> u64 {
    // A product such as 0.95 * 20 may come out a hair above the integer that it stands for.
    let exact = quantile * count as f64;
    let nearest = exact.round();
    let rank = if (exact - nearest).abs() < 1e-9 * count as f64 { nearest } else { exact.ceil() };
    (rank as u64).clamp(1, count.max(1))
}

/// Whether `count` samples bound the `quantile` on both sides with 95 % confidence.
pub fn allows(count: u64, quantile: f64) -> bool {
    let count = count as f64;
    count > 0.0 && quantile.powf(count) <= TAIL && (1.0 - quantile).powf(count) <= TAIL
}

/// The highest quantile (0 to 1) that `count` samples allow; 0 when they allow not even the median.
pub fn highest_quantile(count: u64) -> f64 {
    let highest = if count == 0 { 0.0 } else { TAIL.powf(1.0 / count as f64) };
    if highest < 0.5 { 0.0 } else { highest }
}

/// The smallest number of samples that [`allows`] the `quantile`.
pub fn samples_needed(quantile: f64) -> u64 {
    (TAIL.ln() / quantile.max(1.0 - quantile).ln()).ceil() as u64
}

/// Ranks (from 1) of the two samples that enclose the `quantile` with at least 95 % confidence; `None` where
/// [`allows`] says no.
pub fn confidence_ranks(count: u64, quantile: f64) -> Option<(u64, u64)> {
    if !allows(count, quantile) {
        return None;
    }
    let (first, probabilities) = binomial(count, quantile);
    let (mut below, mut low, mut high) = (0.0, first.max(1), None);
    for (below_count, probability) in (first..).zip(&probabilities) {
        // Here `below` is P(B < below_count): the lower rank may rise to below_count while that is within the tail,
        // and the upper rank is the first that leaves no more than the tail above it.
        if below <= TAIL {
            low = below_count.max(1);
        } else if high.is_none() && below >= 1.0 - TAIL {
            high = Some(below_count);
        }
        below += probability;
    }
    Some((low, high.unwrap_or(first + probabilities.len() as u64).min(count)))
}

/// The binomial distribution around its mode, where it is not negligible: the first count and the probabilities from
/// there on. Built from ratios of neighbours, so that no factorial is needed, and normalised by its own sum.
fn binomial(count: u64, probability: f64) -> (u64, Vec<f64>) {
    let n = count as f64;
    let odds = probability / (1.0 - probability);
    let mode = ((n + 1.0) * probability).floor().min(n) as u64;
    let mut down = Vec::new();
    let (mut k, mut weight) = (mode, 1.0);
    while k > 0 && weight > NEGLIGIBLE {
        weight *= k as f64 / ((n - k as f64 + 1.0) * odds);
        down.push(weight);
        k -= 1;
    }
    let first = k;
    let mut weights: Vec<f64> = down.into_iter().rev().chain([1.0]).collect();
    let (mut k, mut weight) = (mode, 1.0);
    while k < count && weight > NEGLIGIBLE {
        weight *= (n - k as f64) * odds / (k as f64 + 1.0);
        weights.push(weight);
        k += 1;
    }
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    (first, weights)
}

/// Probability, relative to the mode's, below which the rest of a tail cannot move a rank.
const NEGLIGIBLE: f64 = 1e-18;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_quantiles() {
        assert_eq!(rank(100, 0.95), 95);
        assert_eq!(rank(20, 0.95), 19);
        assert_eq!(rank(2_000, 0.999), 1_998);
        assert_eq!(rank(3, 0.5), 2);
        assert_eq!(rank(1, 0.99), 1);
        assert_eq!(rank(1_000_000_000, 0.999), 999_000_000);
    }

    #[test]
    fn samples_that_a_percentile_needs() {
        // Published table of distribution-free two-sided 95 % intervals: median from 6, p90 from 36, p95 from 72.
        for (quantile, needed) in [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3_688)] {
            assert_eq!(samples_needed(quantile), needed, "{quantile}");
            assert!(allows(needed, quantile) && !allows(needed - 1, quantile), "{quantile}");
        }
        assert!(highest_quantile(2_000) > 0.998 && highest_quantile(2_000) < 0.9982);
        assert_eq!(highest_quantile(5), 0.0);
    }

    #[test]
    fn intervals_of_the_published_tables() {
        // Conover, "Practical Nonparametric Statistics": 95 % intervals of the median by ranks.
        for (count, ranks) in [(6, (1, 6)), (10, (2, 9)), (20, (6, 15)), (50, (18, 33)), (100, (40, 61))] {
            assert_eq!(confidence_ranks(count, 0.5), Some(ranks), "{count}");
        }
        assert_eq!(confidence_ranks(71, 0.95), None);
    }

    #[test]
    fn intervals_enclose_the_estimate_at_every_size() {
        for count in [72, 100, 1_000, 4_000, 1_000_000, 100_000_000] {
            for quantile in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999] {
                let Some((low, high)) = confidence_ranks(count, quantile) else { continue };
                let estimate = rank(count, quantile);
                assert!(1 <= low && low <= estimate && estimate <= high && high <= count, "{count} {quantile}");
                // The normal approximation gives the width for large counts.
                let sigma = (count as f64 * quantile * (1.0 - quantile)).sqrt();
                if sigma > 100.0 {
                    assert!(((high - low) as f64 / (2.0 * 1.96 * sigma) - 1.0).abs() < 0.02, "{count} {quantile}");
                }
            }
        }
    }
}
