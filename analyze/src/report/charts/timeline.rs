//! A rate over time: one line per target and repeat, the measure phase shaded.

use plotters::prelude::*;

use super::frame::{self, Axis, DrawResult, INK, colour};
use crate::report::figures::Timeline;

/// Draws the lines; `place` gives a label's place among the targets, `measured_s` the length of the measure phase.
///
/// # Errors
/// As [`frame::draw`].
pub fn svg(
    timelines: &[Timeline],
    measured_s: Option<f64>,
    place: impl Fn(&str) -> usize,
    legend: &[(usize, String)],
) -> DrawResult<String> {
    let all = || timelines.iter().flat_map(|timeline| &timeline.deliveries);
    let (begin, end) =
        all().fold((0.0, measured_s.unwrap_or(1.0)), |(b, e): (f64, f64), (t, _)| (b.min(*t), e.max(*t)));
    let x = Axis::within(begin..end, "time since the begin of the measure phase, s");
    let y = Axis::from_zero(all().map(|(_, rate)| *rate).fold(0.0, f64::max) * 1.05, "delivered, msg/s");
    let top = y.range.end;
    frame::draw(SIZE, &x, &y, legend, |_, plot| {
        if let Some(measured_s) = measured_s {
            plot.draw_series([Rectangle::new([(0.0, 0.0), (measured_s, top)], INK.mix(0.06).filled())])?;
        }
        for timeline in timelines {
            let target = place(&timeline.label);
            // The first target's line is the wider one, so that both are seen where they coincide.
            let width = if target == 0 { 4 } else { 2 };
            let points = timeline.deliveries.clone();
            plot.draw_series([PathElement::new(points, colour(target).stroke_width(width))])?;
        }
        Ok(())
    })
}

const SIZE: (u32, u32) = (640, 300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repeat_has_a_line() {
        let timeline = |label: &str, repeat| Timeline {
            label: label.to_owned(),
            repeat,
            deliveries: vec![(-0.5, 0.0), (0.0, 900.0), (1.0, 1000.0)],
        };
        let timelines = [timeline("A", 1), timeline("A", 2), timeline("B", 1)];
        let svg = svg(&timelines, Some(1.0), |label| usize::from(label == "B"), &[]).unwrap();
        assert_eq!((svg.matches("#0072B2").count(), svg.matches("#D55E00").count()), (2, 1));
        assert!(svg.contains("msg/s") && svg.contains(", s<") || svg.contains(", s\n"), "{svg}");
    }
}
