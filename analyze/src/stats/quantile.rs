//! Quantiles of a sample, by linear interpolation between order statistics.
//!
//! This is definition 7 of Hyndman and Fan (1996), the default of numpy and R; the median of an even count is the mean of
//! the two middle values, as in Python's `statistics.median`, which the published tables were made with.

/// The arithmetic mean; `None` for an empty sample.
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median; `None` for an empty sample.
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile `q` (0 to 1) of `values`, which need not be sorted; `None` for an empty sample. NaN sorts last.
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let position = q.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
    // The middle of two is their mean, to the last bit.
    if position.fract() == 0.5 { Some((low + high) / 2.0) } else { Some(low + (high - low) * position.fract()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }

    /// `numpy.percentile([15, 20, 35, 40, 50], [5, 30, 40, 50, 100])` of numpy 1.26.
    #[test]
    fn quantiles_agree_with_numpy() {
        let sample = [15.0, 20.0, 35.0, 40.0, 50.0];
        for (q, expected) in [(0.05, 16.0), (0.3, 23.0), (0.4, 29.0), (0.5, 35.0), (1.0, 50.0)] {
            assert!((quantile(&sample, q).unwrap() - expected).abs() < 1e-9, "quantile {q}");
        }
    }

    #[test]
    fn mean_of_a_sample() {
        assert_eq!(mean(&[1.0, 2.0, 6.0]), Some(3.0));
        assert_eq!(mean(&[]), None);
    }
}
