//! A value per step and target: bars from zero with error bars; a failed point is a hatched box that says so.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::frame::{
    self, Axis, DrawResult, INK, Legend, MUTED, Paper, Picture, Plot, SIZE, TICK_PX, colour, compact, shortened, style,
    text_width, words,
};
use crate::report::format::number;
use crate::report::text::Text as Words;

/// Bars that belong together.
pub struct Group {
    /// What they have in common: the step.
    pub name: String,
    /// One per target.
    pub bars: Vec<Bar>,
}

/// A bar, or what stands in its place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    /// Value with the ends of its error bar.
    Value(f64, (f64, f64)),
    /// The point failed.
    Failed,
    /// The step does not have this figure.
    Absent,
}

/// Draws the bars; `labels` are the targets' letters.
///
/// # Errors
/// As [`frame::draw`].
pub fn draw(groups: &[Group], labels: &[String], unit: Words, legend: &Legend) -> DrawResult<Picture> {
    let top = |bar: &Bar| if let Bar::Value(value, (_, high)) = bar { value.max(*high) } else { 0.0 };
    let max = groups.iter().flat_map(|group| &group.bars).map(top).fold(0.0, f64::max);
    // Room above the highest bar for its value.
    let mut y = Axis::from_zero(max * 1.08, unit);
    if max <= 0.0 {
        // Failed points alone have no scale.
        y.ticks.truncate(1);
    }
    let x = Axis {
        range: 0.0..groups.len().max(1) as f64,
        ticks: Vec::new(),
        title: Words::pair("step, and target by its letter", "步骤；字母为被测对象"),
    };
    // Wide enough for the figures above the bars, however many there are.
    let bars_px = groups.len() as f64 * (labels.len() as f64 + GAP_SLOTS) * BAR_PX_MIN;
    let size = (SIZE.0.max(bars_px as u32 + SIDES_PX), SIZE.1);
    let room = f64::from(size.0 - SIDES_PX) / groups.len().max(1) as f64 - 6.0;
    // All figures of a chart in one form: the short one where one of them is wider than its bar.
    let bar_px =
        f64::from(size.0 - SIDES_PX) / groups.len().max(1) as f64 * BAR_SHARE / (labels.len() as f64 + GAP_SLOTS);
    let is_wide = |bar: &Bar| matches!(bar, Bar::Value(value, _) if text_width(&number(*value), TICK_PX) > bar_px);
    let form = if groups.iter().flat_map(|group| &group.bars).any(is_wide) { compact } else { number };
    frame::draw(size, &x, &y, legend, |paper, plot| {
        let slots = labels.len() as f64 + GAP_SLOTS;
        for (index, group) in groups.iter().enumerate() {
            for (target, bar) in group.bars.iter().enumerate() {
                let left = index as f64 + (GAP_SLOTS / 2.0 + target as f64) / slots;
                let place = Place { left, right: left + BAR_SHARE / slots, target };
                draw_bar(paper, plot, &place, *bar, form)?;
                let (column, bottom) = plot.backend_coord(&(place.middle(), 0.0));
                let letter = style(TICK_PX, MUTED, HPos::Center, VPos::Top);
                paper.draw(&Text::new(labels[target].clone(), (column, bottom + 4), letter))?;
            }
            let (column, bottom) = plot.backend_coord(&(index as f64 + 0.5, 0.0));
            paper.draw(&Text::new(
                shortened(&group.name, room, TICK_PX),
                (column, bottom + 20),
                style(TICK_PX, INK, HPos::Center, VPos::Top),
            ))?;
        }
        Ok(())
    })
}

struct Place {
    left: f64,
    right: f64,
    target: usize,
}

impl Place {
    fn middle(&self) -> f64 {
        f64::midpoint(self.left, self.right)
    }
}

fn draw_bar(paper: &Paper, plot: &Plot, place: &Place, bar: Bar, form: fn(f64) -> String) -> DrawResult {
    match bar {
        Bar::Absent => Ok(()),
        Bar::Failed => draw_failed(paper, plot, place),
        Bar::Value(value, (low, high)) => {
            let [top_left, bottom_right] =
                [plot.backend_coord(&(place.left, value)), plot.backend_coord(&(place.right, 0.0))];
            paper.draw(&Rectangle::new([top_left, bottom_right], colour(place.target).filled()))?;
            let mut label_row = top_left.1;
            if high > low {
                let (column, high_row) = plot.backend_coord(&(place.middle(), high));
                let (_, low_row) = plot.backend_coord(&(place.middle(), low.max(0.0)));
                label_row = label_row.min(high_row);
                for path in [
                    [(column, high_row), (column, low_row)],
                    [(column - 5, high_row), (column + 5, high_row)],
                    [(column - 5, low_row), (column + 5, low_row)],
                ] {
                    paper.draw(&PathElement::new(path, INK.stroke_width(2)))?;
                }
            }
            let label = form(value);
            let (column, _) = plot.backend_coord(&(place.middle(), 0.0));
            paper.draw(&Text::new(label, (column, label_row - 5), style(TICK_PX, INK, HPos::Center, VPos::Bottom)))
        }
    }
}

/// A hatched box of fixed height, which no value has, with a cross and a word above it.
fn draw_failed(paper: &Paper, plot: &Plot, place: &Place) -> DrawResult {
    let (left, bottom) = plot.backend_coord(&(place.left, 0.0));
    let (right, _) = plot.backend_coord(&(place.right, 0.0));
    let top = bottom - FAILED_HEIGHT_PX;
    let line = colour(place.target).stroke_width(1);
    let mut offset = HATCH_PX;
    while offset < (right - left) + FAILED_HEIGHT_PX {
        let from = (left + offset.min(right - left), bottom - (offset - (right - left)).max(0));
        let to = (left + (offset - FAILED_HEIGHT_PX).max(0), bottom - offset.min(FAILED_HEIGHT_PX));
        paper.draw(&PathElement::new([from, to], line))?;
        offset += HATCH_PX;
    }
    paper.draw(&Rectangle::new([(left, top), (right, bottom)], colour(place.target).stroke_width(1)))?;
    let fits = text_width("failed", TICK_PX) <= f64::from(right - left) * 1.1;
    let word = if fits { words(&Words::pair("failed", "失败")) } else { "✕".to_owned() };
    let place = (i32::midpoint(left, right), top - 5);
    paper.draw(&Text::new(word, place, style(TICK_PX, INK, HPos::Center, VPos::Bottom)))
}

/// Of its place; the rest parts it from its neighbour.
const BAR_SHARE: f64 = 0.92;
/// Free room of a group, in widths of a bar.
const GAP_SLOTS: f64 = 0.7;
/// A bar that is narrower cannot carry its figure.
const BAR_PX_MIN: f64 = 44.0;
/// What the axes and margins take of the width.
const SIDES_PX: u32 = 104;
const FAILED_HEIGHT_PX: i32 = 32;
const HATCH_PX: i32 = 7;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_failures_and_units_are_in_the_picture() {
        let groups = [
            Group { name: "fan-q0".to_owned(), bars: vec![Bar::Value(30_000.0, (29_000.0, 31_000.0)), Bar::Failed] },
            Group { name: "fan-q1".to_owned(), bars: vec![Bar::Absent, Bar::Value(0.0, (0.0, 0.0))] },
        ];
        let labels = ["A".to_owned(), "B".to_owned()];
        let legend = Legend { targets: vec![(0, "A ours".to_owned()), (1, "B other".to_owned())], has_lines: false };
        let svg = draw(&groups, &labels, Words::same("msg/s"), &legend).unwrap().both();
        for text in ["30,000", "failed", "失败", "msg/s", "fan-q0", "fan-q1", "A ours", "B other", "#0072B2", "#D55E00"]
        {
            assert!(svg.contains(text), "{text} is missing");
        }
        assert!(!svg.contains("NaN"));
    }
}
