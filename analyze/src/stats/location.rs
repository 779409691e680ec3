//! How far one sample lies from another, without a bell curve: Hodges and Lehmann.
//!
//! The shift is the median of all differences of pairs, one from each sample (J. L. Hodges, E. L. Lehmann, Annals of
//! Mathematical Statistics 34, 1963). Its interval runs between two of the ordered differences, at the ranks that Mann and
//! Whitney's statistic allows: exactly, by counting orders (Lehmann, "Nonparametrics", 1975, 2.4). It assumes that both
//! samples have one shape. Void when the counts cannot give 95 % (three against three, say): four against four can.

use serde::Serialize;

use super::quantile::median;

/// A shift between two samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Shift {
    /// First sample less second, in the unit of the values.
    pub shift: f64,
    /// Interval of at least 95 %, where the counts can give one.
    pub ci95: Option<(f64, f64)>,
}

impl Shift {
    /// The shift of `a` against `b`; `None` when one is empty or a value is not finite.
    pub fn between(a: &[f64], b: &[f64]) -> Option<Self> {
        if !a.iter().chain(b).all(|v| v.is_finite()) {
            return None;
        }
        let mut differences: Vec<f64> = a.iter().flat_map(|a| b.iter().map(move |b| a - b)).collect();
        differences.sort_unstable_by(f64::total_cmp);
        let ci95 =
            lower_rank(a.len(), b.len()).map(|rank| (differences[rank], differences[differences.len() - 1 - rank]));
        Some(Self { shift: median(&differences)?, ci95 })
    }
}

/// Index of the lower end among the ordered differences: the largest with at most 2.5 % below it, by counting all orders of
/// n + m values. Counts beyond [`EXACT_MAX`] use the normal approximation with continuity correction.
fn lower_rank(n: usize, m: usize) -> Option<usize> {
    if n.max(m) > EXACT_MAX {
        let (n, m) = (n as f64, m as f64);
        let rank = n * m / 2.0 - 0.5 - 1.959_964 * (n * m * (n + m + 1.0) / 12.0).sqrt();
        return (rank >= 0.0).then_some(rank as usize);
    }
    let ways = orders(n, m);
    let total: f64 = ways.iter().sum();
    let mut below = 0.0;
    let mut rank = None;
    for (u, ways) in ways.iter().enumerate() {
        below += ways / total;
        if below > 0.025 {
            break;
        }
        rank = Some(u);
    }
    rank
}

/// In how many orders of n and m values Mann and Whitney's statistic is 0, 1, 2, ... (Mann and Whitney's recursion, as the
/// coefficients of a product of polynomials).
fn orders(n: usize, m: usize) -> Vec<f64> {
    let mut ways = vec![0.0; n * m + 1];
    ways[0] = 1.0;
    for i in 1..=n {
        let (up, down) = (m + i, i);
        for u in (up..ways.len()).rev() {
            ways[u] -= ways[u - up];
        }
        for u in down..ways.len() {
            ways[u] += ways[u - down];
        }
    }
    ways
}

const EXACT_MAX: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_orders() {
        // All C(4, 2) = 6 orders of two and two: 1, 1, 2, 1, 1.
        assert_eq!(orders(2, 2), [1.0, 1.0, 2.0, 1.0, 1.0]);
        assert_eq!(orders(5, 6).iter().sum::<f64>(), 462.0);
    }

    /// `numpy.sort([u - v for u in a for v in b])` of numpy 2.4.6: its median, and its entries 3 and 26, because of the 462
    /// orders (`itertools.combinations(range(11), 5)`) 1.5 % have a statistic of at most 3 and 2.6 % of at most 4.
    #[test]
    fn shift_and_interval_by_enumeration() {
        let (a, b) = ([19.0, 22.1, 20.5, 19.5, 23.0], [22.0, 23.5, 24.0, 22.4, 23.0, 25.1]);
        let shift = Shift::between(&a, &b).unwrap();
        assert!((shift.shift + 2.7).abs() < 1e-12, "{shift:?}");
        let (low, high) = shift.ci95.unwrap();
        assert!((low - HL.0).abs() < 1e-12 && (high - HL.1).abs() < 1e-12, "{shift:?}");
    }

    #[test]
    fn three_against_three_cannot_give_95_percent() {
        assert_eq!(Shift::between(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap().ci95, None);
        let four = Shift::between(&[1.0, 2.0, 3.0, 4.0], &[5.0, 6.0, 7.0, 8.0]).unwrap();
        assert_eq!((four.shift, four.ci95), (-4.0, Some((-7.0, -1.0))));
        assert_eq!(Shift::between(&[], &[1.0]), None);
        assert_eq!(Shift::between(&[f64::NAN], &[1.0]), None);
    }

    /// The normal approximation meets the exact count where it takes over.
    #[test]
    fn the_approximation_is_continuous() {
        let exact = lower_rank(25, 25).unwrap();
        let near = (25.0 * 25.0 / 2.0 - 0.5 - 1.959_964 * (625.0_f64 * 51.0 / 12.0).sqrt()) as usize;
        assert!(exact.abs_diff(near) <= 1, "{exact} {near}");
        assert!(lower_rank(26, 25).is_some_and(|rank| rank > exact));
    }

    const HL: (f64, f64) = (-4.6, 0.0);
}
