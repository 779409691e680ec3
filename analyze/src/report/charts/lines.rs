//! One quantity over another, or over time: lines and markers in the target's colour, dash and shape, phases as shaded bands,
//! events as numbered lines.

use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::frame::{
    self, Axis, DrawResult, INK, Legend, MUTED, Paper, Picture, Plot, SIZE, TICK_PX, marker, path, style, text_width,
    words,
};
use crate::report::text::Text as Words;

/// What is drawn of one target.
#[derive(Debug, Clone)]
pub struct Line {
    /// Place of the target.
    pub target: usize,
    /// The points, by rising x.
    pub points: Vec<(f64, f64)>,
    /// Width of the connecting line, px; 0 for none.
    pub width: u32,
    /// Whether each point has its marker.
    pub has_markers: bool,
    /// Whether it belongs to a failed point: it ends in a cross then.
    pub is_failed: bool,
}

/// A range at a point, such as the least and the greatest repeat.
#[derive(Debug, Clone, Copy)]
pub struct ErrorBar {
    /// Place of the target.
    pub target: usize,
    /// Where.
    pub x: f64,
    /// Its ends.
    pub range: (f64, f64),
}

/// A plot area of a chart that has several, one above the other.
pub struct Panel {
    /// Its y axis.
    pub y: Axis,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// What lies behind the lines.
#[derive(Debug, Clone, Default)]
pub struct Backdrop {
    /// Name, begin and end of bands.
    pub phases: Vec<(String, f64, f64)>,
    /// Where the numbered lines stand.
    pub marks: Vec<f64>,
}

/// Draws the lines.
///
/// # Errors
/// As [`frame::draw`].
pub fn draw(
    size: (u32, u32),
    x: &Axis,
    y: &Axis,
    lines: &[Line],
    backdrop: &Backdrop,
    legend: &Legend,
) -> DrawResult<Picture> {
    frame::draw(size, x, y, legend, |paper, plot| draw_panel(paper, plot, x, y, lines, backdrop, true))
}

/// Draws panels one above the other over the same x axis; the names of phases and the numbers of events stand in the first.
///
/// # Errors
/// As [`frame::draw`].
pub fn draw_panels(x: &Axis, panels: &[Panel], backdrop: &Backdrop, legend: &Legend) -> DrawResult<Picture> {
    let height = |place: usize| if place == 0 { FIRST_PANEL_PX } else { PANEL_PX };
    let ys: Vec<(&Axis, u32)> = panels.iter().enumerate().map(|(place, panel)| (&panel.y, height(place))).collect();
    frame::draw_stacked(WIDE.0, x, &ys, legend, |paper, plot, place| {
        draw_panel(paper, plot, x, &panels[place].y, &panels[place].lines, backdrop, place == 0)
    })
}

/// Draws markers, their error bars, and a cross on the axis for each failed point.
///
/// # Errors
/// As [`frame::draw`].
pub fn draw_scatter(
    x: &Axis,
    y: &Axis,
    lines: &[Line],
    bars: &[ErrorBar],
    failed: &[(usize, f64)],
    legend: &Legend,
) -> DrawResult<Picture> {
    frame::draw(SIZE, x, y, legend, |paper, plot| {
        for bar in bars {
            let ends = [bar.range.0, bar.range.1].map(|value| plot.backend_coord(&(bar.x, value.max(y.range.start))));
            // The second target's bar stands a little aside, so that both are seen where they coincide.
            let aside = bar.target as i32 * 4;
            let [low, high] = ends.map(|(column, row)| (column + aside, row));
            let style = frame::colour(bar.target).stroke_width(2);
            for path in
                [[low, high], [(low.0 - 4, low.1), (low.0 + 4, low.1)], [(high.0 - 4, high.1), (high.0 + 4, high.1)]]
            {
                paper.draw(&PathElement::new(path, style))?;
            }
        }
        draw_panel(paper, plot, x, y, lines, &Backdrop::default(), true)?;
        for (target, at) in failed {
            let (column, bottom) = plot.backend_coord(&(*at, y.range.start));
            let place = (column + *target as i32 * 14, bottom - 9);
            paper.draw(&Cross::new(place, 6, frame::colour(*target).stroke_width(3)))?;
        }
        Ok(())
    })
}

fn draw_panel(
    paper: &Paper,
    plot: &mut Plot,
    x: &Axis,
    y: &Axis,
    lines: &[Line],
    backdrop: &Backdrop,
    has_names: bool,
) -> DrawResult {
    draw_phases(paper, plot, x, y, &backdrop.phases, has_names)?;
    for line in lines {
        if line.width > 0 && line.points.len() > 1 {
            path(plot, line.points.clone(), line.target, line.width)?;
        }
        if line.has_markers {
            for point in &line.points {
                marker(paper, plot.backend_coord(point), line.target)?;
            }
        }
        if let Some(end) = line.points.last().filter(|_| line.is_failed) {
            let place = plot.backend_coord(end);
            paper.draw(&Cross::new(place, 7, INK.stroke_width(2)))?;
        }
    }
    draw_marks(paper, plot, x, y, &backdrop.marks, has_names)
}

/// Every second band is shaded, and the measure phase more than the others; a name that does not fit is left out.
fn draw_phases(
    paper: &Paper,
    plot: &Plot,
    x: &Axis,
    y: &Axis,
    phases: &[(String, f64, f64)],
    has_names: bool,
) -> DrawResult {
    for (name, begin, end) in phases {
        let (begin, end) = (begin.max(x.range.start), end.min(x.range.end));
        if end <= begin {
            continue;
        }
        let is_measured = name == crate::report::timeline::ZERO_PHASE;
        let [from, to] = [(begin, y.range.end), (end, y.range.start)].map(|place| plot.backend_coord(&place));
        paper.draw(&Rectangle::new([from, to], INK.mix(if is_measured { 0.09 } else { 0.03 }).filled()))?;
        paper.draw(&PathElement::new([from, (from.0, to.1)], MUTED.mix(0.5).stroke_width(1)))?;
        let text = phase_name(name);
        if has_names && text_width(&text.en, PHASE_PX) < f64::from(to.0 - from.0) {
            let place = (i32::midpoint(from.0, to.0), from.1 + 3);
            paper.draw(&Text::new(words(&text), place, style(PHASE_PX, MUTED, HPos::Center, VPos::Top)))?;
        }
    }
    Ok(())
}

fn draw_marks(paper: &Paper, plot: &Plot, x: &Axis, y: &Axis, marks: &[f64], has_numbers: bool) -> DrawResult {
    let mut last = i32::MIN;
    for (index, at) in marks.iter().enumerate().filter(|(_, at)| x.range.contains(at)) {
        let [top, bottom] = [y.range.end, y.range.start].map(|edge| plot.backend_coord(&(*at, edge)));
        paper.draw(&DashedPathElement::new([top, bottom], 2, 3, INK.stroke_width(1)))?;
        if has_numbers && top.0.saturating_sub(last) > NUMBER_PX {
            let number = (index + 1).to_string();
            paper.draw(&Text::new(number, (top.0, top.1 - 2), style(TICK_PX, INK, HPos::Center, VPos::Bottom)))?;
            last = top.0;
        }
    }
    Ok(())
}

/// The runner's phases in both languages; another name is data.
fn phase_name(name: &str) -> Words {
    let zh = match name {
        "idle" => "空闲",
        "ramp" => "建连",
        "settle" => "稳定",
        "measure" => "测量",
        "drain" => "排空",
        other => other,
    };
    Words::pair(name, zh)
}

/// Size of a chart over time, px.
pub const WIDE: (u32, u32) = (640, 320);
const PHASE_PX: f64 = 12.0;
/// Heights of the plot areas of a chart that has several, px.
const FIRST_PANEL_PX: u32 = 170;
const PANEL_PX: u32 = 104;
/// Numbers that stand closer than this would touch, px.
const NUMBER_PX: i32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: usize, is_failed: bool) -> Line {
        let points = vec![(-0.5, 0.0), (0.0, 900.0), (1.0, 1000.0)];
        Line { target, points, width: 2, has_markers: true, is_failed }
    }

    fn picture(lines: &[Line], backdrop: &Backdrop) -> String {
        let (x, y) = (Axis::within(-1.0..2.0, Words::same("s")), Axis::from_zero(1000.0, Words::same("msg/s")));
        draw(WIDE, &x, &y, lines, backdrop, &Legend::default()).unwrap().both()
    }

    #[test]
    fn targets_differ_in_colour_dash_and_marker() {
        let svg = picture(&[line(0, false), line(1, false)], &Backdrop::default());
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("<polygon").count(), 3, "{svg}");
        let dashes = svg.matches("stroke=\"#D55E00\"").count();
        assert!(dashes > 10, "the second target's line is not dashed: {dashes}");
        assert_eq!(svg.matches("<polyline fill=\"none\" opacity=\"1\" stroke=\"#0072B2\"").count(), 1);
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn phases_are_named_and_events_numbered() {
        let backdrop = Backdrop { phases: vec![("measure".to_owned(), 0.0, 1.5)], marks: vec![0.7, 0.71, 9.0] };
        let svg = picture(&[line(0, true)], &backdrop);
        assert!(svg.contains("measure") && svg.contains("测量"));
        assert!(svg.contains(">\n1\n<") && !svg.contains(">\n2\n<"), "{svg}");
    }
}
