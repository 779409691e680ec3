//! Latency over percentiles: each nine gets the same width, and latency has a logarithmic axis, so that the median and the
//! tail can both be read. Solid: from the due time. Thin: from the actual send, which hides what a stall delayed.

use super::frame::{self, Axis, DrawResult, LEAST_US, Legend, Picture, SIZE, marker, path};
use crate::report::figures::LatencyCurves;
use crate::report::text::Text as Words;

/// Draws the curves; `place` gives a label's place among the targets.
///
/// # Errors
/// As [`frame::draw`].
pub fn draw(curves: &[LatencyCurves], place: impl Fn(&str) -> usize, legend: &Legend) -> DrawResult<Picture> {
    let all = || curves.iter().flat_map(|curve| curve.corrected.iter().chain(&curve.uncorrected));
    let nines_max = all().map(|(quantile, _)| nines(*quantile)).fold(1.0, f64::max);
    let (low, high) =
        all().map(|(_, us)| us.max(LEAST_US)).fold((f64::MAX, LEAST_US), |(l, h), us| (l.min(us), h.max(us)));
    let x = Axis {
        range: 0.0..nines_max * 1.02,
        ticks: percentile_ticks(nines_max),
        title: Words::pair("percentile (each nine as wide)", "百分位（每个 9 等宽）"),
    };
    let y = Axis::log_us(low.min(high), high, Words::pair("latency (logarithmic)", "延迟（对数轴）"));
    frame::draw(SIZE, &x, &y, legend, |paper, plot| {
        for curve in curves {
            let target = place(&curve.label);
            let points =
                |of: &[(f64, f64)]| of.iter().map(|(q, us)| (nines(*q), us.max(LEAST_US).log10())).collect::<Vec<_>>();
            path(plot, points(&curve.uncorrected), target, 1)?;
            let corrected = points(&curve.corrected);
            // A marker at each whole nine that the curve reaches, and at its end.
            let step = corrected.len().div_ceil(MARKERS).max(1);
            for point in corrected.iter().step_by(step).chain(corrected.last()) {
                marker(paper, plot.backend_coord(point), target)?;
            }
            path(plot, corrected, target, 3)?;
        }
        Ok(())
    })
}

/// 0 for the least value, 1 for 90 %, 2 for 99 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-12).log10()
}

fn percentile_ticks(nines_max: f64) -> Vec<(f64, String)> {
    [0.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999, 99.9999]
        .into_iter()
        // Each nine is as wide as the picture divided by their number: with many of them the small steps would touch.
        .filter(|percent| nines_max < 3.5 || ![75.0, 95.0].contains(percent))
        .map(|percent| (nines(percent / 100.0), format!("{percent} %")))
        .filter(|(nines, _)| *nines <= nines_max)
        .collect()
}

/// Markers on a curve.
const MARKERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_name_percentiles_and_units() {
        let curve = LatencyCurves {
            label: "A".to_owned(),
            corrected: vec![(0.0, 50.0), (0.5, 80.0), (0.99, 4_000.0)],
            uncorrected: vec![(0.0, 40.0), (0.5, 70.0), (0.99, 900.0)],
            count: 500,
            percentiles: runlog::Percentiles::default(),
        };
        let svg = draw(&[curve], |_| 0, &Legend::default()).unwrap().both();
        for text in ["50 %", "99 %", "100 µs", "1 ms", "10 ms", "logarithmic"] {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn a_single_value_has_an_axis_too() {
        let axis = Axis::log_us(100.0, 100.0, Words::default());
        assert_eq!(axis.range, 2.0..3.0);
    }
}
