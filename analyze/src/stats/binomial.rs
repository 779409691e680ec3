//! Exact intervals: of a share, and of a percentile.
//!
//! A share of k in n has Clopper and Pearson's interval (Biometrika 26, 1934), which holds the true share in at least 95 % of
//! cases whatever n is. How many of n samples lie below the true percentile is binomial too, so two order statistics enclose
//! it without any assumption about the distribution ([`runlog::order`]); the samples must be independent, which probes at
//! a low rate are and the messages of one burst are not.

use runlog::order;

use super::distribution::beta_quantile;

/// The 95 % interval of a share of which `hits` of `count` were seen; everything for a count of 0.
pub fn share_ci95(hits: u64, count: u64) -> (f64, f64) {
    let (k, n) = (hits.min(count) as f64, count as f64);
    let low = if hits == 0 { 0.0 } else { beta_quantile(0.025, k, n - k + 1.0) };
    let high = if hits >= count { 1.0 } else { beta_quantile(0.975, k + 1.0, n - k) };
    (low, high)
}

/// A percentile of `sorted` (rising) by rank, and its 95 % interval from order statistics; `None` where the count does not
/// bound it.
pub fn percentile_ci95(sorted: &[f64], quantile: f64) -> Option<(f64, (f64, f64))> {
    let count = sorted.len() as u64;
    let (low, high) = order::confidence_ranks(count, quantile)?;
    let at = |rank: u64| sorted[rank as usize - 1];
    Some((at(order::rank(count, quantile)), (at(low), at(high))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(k, n).proportion_ci(0.95, method='exact')` of scipy 1.17.1.
    #[test]
    fn clopper_pearson_agrees_with_scipy() {
        for ((k, n), (low, high)) in CP {
            let found = share_ci95(k, n);
            assert!((found.0 - low).abs() < 1e-9 && (found.1 - high).abs() < 1e-9, "{k} of {n}: {found:?}");
        }
        assert_eq!(share_ci95(0, 0), (0.0, 1.0));
    }

    /// Median of 10: ranks 2 and 9 (Conover, "Practical Nonparametric Statistics", table A3).
    #[test]
    fn a_percentile_lies_between_two_samples() {
        let sorted: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(percentile_ci95(&sorted, 0.5), Some((5.0, (2.0, 9.0))));
        assert_eq!(percentile_ci95(&sorted, 0.99), None);
    }

    const CP: [((u64, u64), (f64, f64)); 4] = [
        ((0, 10), (0.0, 0.308_497_107_818_762_94)),
        ((3, 10), (0.066_739_511_177_734_47, 0.652_452_850_060_008)),
        ((10, 10), (0.691_502_892_181_237_1, 1.0)),
        ((17, 2000), (0.004_959_135_021_568_091, 0.013_574_546_199_783_96)),
    ];
}
