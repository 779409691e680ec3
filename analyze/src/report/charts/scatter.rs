//! Memory over connections: every repeat a marker, and the line through them, whose slope is the cost of a connection.

use plotters::prelude::*;

use super::frame::{self, Axis, DrawResult, SIZE, colour};
use crate::report::figures::MemoryFigures;

/// Draws the points and lines; the n-th of `memory` belongs to the n-th target.
///
/// # Errors
/// As [`frame::draw`].
pub fn svg(memory: &[MemoryFigures], legend: &[(usize, String)]) -> DrawResult<String> {
    let all = || memory.iter().flat_map(|target| &target.points);
    let connections_max = all().map(|point| point.0).fold(0.0, f64::max);
    let x = Axis::from_zero(connections_max, "connections held");
    let y = Axis::from_zero(all().map(|point| point.1).fold(0.0, f64::max) * 1.05, "broker memory (RSS), MiB");
    frame::draw(SIZE, &x, &y, legend, |_, plot| {
        for (target, memory) in memory.iter().enumerate() {
            let colour = colour(target);
            if let Some(line) = memory.line {
                let at = |connections: f64| line.baseline_mib + line.bytes_per_connection * connections / MIB;
                let ends = [(0.0, at(0.0)), (connections_max, at(connections_max))];
                plot.draw_series([PathElement::new(ends, colour.stroke_width(2))])?;
            }
            for point in &memory.points {
                match target {
                    0 => plot.draw_series([Circle::new(*point, 5, colour.filled())])?,
                    1 => plot.draw_series([TriangleMarker::new(*point, 7, colour.filled())])?,
                    _ => plot.draw_series([Cross::new(*point, 5, colour.stroke_width(2))])?,
                };
            }
        }
        Ok(())
    })
}

const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::MemoryLine;

    #[test]
    fn points_and_line_are_in_the_picture() {
        let line =
            MemoryLine { bytes_per_connection: 1000.0, baseline_mib: 5.0, r_squared: 1.0, residual_mib_max: 0.1 };
        let memory = |label: &str| MemoryFigures {
            label: label.to_owned(),
            points: vec![(0.0, 5.0), (10_000.0, 14.5)],
            line: Some(line),
            bytes_per_connection: None,
        };
        let svg = svg(&[memory("A"), memory("B")], &[]).unwrap();
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polygon").count()), (2, 2));
        assert!(svg.contains("MiB") && svg.contains("connections held") && !svg.contains("NaN"));
    }
}
