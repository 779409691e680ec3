//! What all charts share: colours, dashes and markers of the targets, type, axes with ticks and titles, the legend, and words
//! in both languages.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::report::text::{Lang, Text as Words};

/// Why a chart could not be drawn; with a string as paper it is a bug.
pub type DrawResult<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

/// Paper that a chart is drawn on.
pub type Paper<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Text and axes.
pub const INK: RGBColor = RGBColor(0x1B, 0x1F, 0x24);
/// Words of the second rank.
pub const MUTED: RGBColor = RGBColor(0x5B, 0x64, 0x70);
/// Lines behind the data.
pub const GRID: RGBColor = RGBColor(0xD4, 0xD8, 0xDD);

/// The colour of a target, by its place: blue and vermilion of Okabe and Ito, then their green, purple, orange
/// and sky blue.
pub fn colour(target: usize) -> RGBColor {
    let colours = [
        RGBColor(0x00, 0x72, 0xB2),
        RGBColor(0xD5, 0x5E, 0x00),
        RGBColor(0x00, 0x9E, 0x73),
        RGBColor(0xCC, 0x79, 0xA7),
        RGBColor(0xE6, 0x9F, 0x00),
        RGBColor(0x56, 0xB4, 0xE9),
    ];
    colours[target % colours.len()]
}

/// The dash of a target's lines, by its place: length and gap, px. The first is solid.
fn dash(target: usize) -> Option<(i32, i32)> {
    [None, Some((9, 4)), Some((3, 3)), Some((14, 3))][target % 4]
}

/// A line in a target's colour and dash, so that grey print keeps targets apart.
///
/// # Errors
/// As [`draw`].
pub fn path(plot: &mut Plot, points: Vec<(f64, f64)>, target: usize, width: u32) -> DrawResult {
    let style = colour(target).stroke_width(width);
    match dash(target) {
        None => plot.draw_series([PathElement::new(points, style)])?,
        Some((length, gap)) => plot.draw_series([DashedPathElement::new(points, length, gap, style)])?,
    };
    Ok(())
}

/// The marker of a target at a place on the paper: circle, triangle, square, cross.
///
/// # Errors
/// As [`draw`].
pub fn marker(paper: &Paper, place: (i32, i32), target: usize) -> DrawResult {
    let fill = colour(target).filled();
    match target % 4 {
        0 => paper.draw(&Circle::new(place, 5, fill)),
        1 => paper.draw(&TriangleMarker::new(place, 7, fill)),
        2 => paper.draw(&Rectangle::new([(place.0 - 4, place.1 - 4), (place.0 + 4, place.1 + 4)], fill)),
        _ => paper.draw(&Cross::new(place, 5, colour(target).stroke_width(2))),
    }
}

/// A text for the picture that has both languages in it until [`Picture`] is asked for one or both.
pub fn words(text: &Words) -> String {
    if text.en == text.zh { text.en.clone() } else { format!("{OPEN}{}{BETWEEN}{}", text.en, text.zh) }
}

/// A drawn chart, whose words are there in both languages.
#[derive(Debug, Clone)]
pub struct Picture(String);

impl Picture {
    /// Width on paper, px.
    pub fn width(&self) -> u32 {
        let width = self.0.split_once("width=\"").and_then(|(_, rest)| rest.split_once('"'));
        width.and_then(|(width, _)| width.parse().ok()).unwrap_or(SIZE.0)
    }

    /// SVG with every word in both languages, marked as such, for a page that shows one of them.
    pub fn both(&self) -> String {
        self.split(|head, en, zh| format!("{head} lang=\"en\">{en}</text>\n{head} lang=\"zh\">{zh}</text>"))
    }

    /// SVG in one language, which stands alone: white paper, title and description.
    pub fn alone(&self, lang: Lang, title: &str, description: &str) -> String {
        let svg = self.split(|head, en, zh| {
            let text = Words::pair(en, zh);
            format!("{head}>{}</text>", text.of(lang))
        });
        let (open, rest) = svg.split_once('>').expect("an SVG begins with its element");
        format!(
            "{open} xml:lang=\"{}\" role=\"img\">\n<title>{title}</title>\n<desc>{description}</desc>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#FFFFFF\"/>{rest}",
            lang.tag()
        )
    }

    /// Rewrites the text elements that have two forms.
    fn split(&self, form: impl Fn(&str, &str, &str) -> String) -> String {
        let mut out = String::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find(OPEN) {
            let head = rest[..at].rfind("<text").expect("words stand in text elements");
            let (open, inner) = (rest[head..at].trim_end().trim_end_matches('>'), &rest[at + OPEN.len_utf8()..]);
            let (inner, after) = inner.split_once("</text>").expect("a text element is closed");
            let (en, zh) = inner.split_once(BETWEEN).unwrap_or((inner, inner));
            out.push_str(&rest[..head]);
            out.push_str(&form(open, en.trim(), zh.trim()));
            rest = after;
        }
        out.push_str(rest);
        out
    }
}

/// A type size in pixels, as plotters wants it: its SVG backend divides by this factor.
pub fn type_size(pixels: f64) -> FontDesc<'static> {
    ("system-ui, sans-serif", pixels * 1.24).into_font()
}

/// Text at a place.
pub fn style(pixels: f64, colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    type_size(pixels).color(&colour).pos(Pos::new(h, v))
}

/// Width that a text takes, px; a guess that errs on the wide side.
pub fn text_width(text: &str, pixels: f64) -> f64 {
    text.chars().count() as f64 * pixels * GLYPH
}

/// An axis: its range, its ticks with their labels, and its title with the unit.
pub struct Axis {
    /// Values at both ends.
    pub range: Range<f64>,
    /// Where a tick stands and what it says.
    pub ticks: Vec<(f64, String)>,
    /// What is on the axis, with unit.
    pub title: Words,
}

impl Axis {
    /// From 0 to a round number at or above `max`, with four to six round ticks.
    pub fn from_zero(max: f64, title: Words) -> Self {
        Self::zero_based(max, 5.0, title)
    }

    /// The same with half as many ticks, for a plot area of little height.
    pub fn from_zero_short(max: f64, title: Words) -> Self {
        Self::zero_based(max, 2.5, title)
    }

    fn zero_based(max: f64, steps: f64, title: Words) -> Self {
        let max = if max.is_finite() && max > 0.0 { max } else { 1.0 };
        let step = round_step(max / steps);
        let last = (max / step - 1e-9).ceil();
        Self { range: 0.0..last * step, ticks: ticks(0, last as i64, step), title }
    }

    /// Powers of ten of a time in us that enclose the values, for points whose y is the logarithm; with few of them, also 2
    /// and 5 times.
    pub fn log_us(low: f64, high: f64, title: Words) -> Self {
        let first = low.log10().floor() as i32;
        let last = (high.log10().ceil() as i32).max(first + 1);
        let factors: &[f64] = if last - first <= 2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks = (first..=last)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)))
            .filter(|us| *us <= 10_f64.powi(last))
            .map(|us| (us.log10(), duration(us)))
            .collect();
        Self { range: f64::from(first)..f64::from(last), ticks, title }
    }

    /// Round ticks inside a range that need not begin at 0.
    pub fn within(range: Range<f64>, title: Words) -> Self {
        let step = round_step((range.end - range.start).max(f64::MIN_POSITIVE) / 6.0);
        let (first, last) = ((range.start / step).ceil() as i64, (range.end / step).floor() as i64);
        Self { range, ticks: ticks(first, last, step), title }
    }
}

/// Multiples of a step, all with the same number of decimals, and in thousands or millions when they are large.
fn ticks(first: i64, last: i64, step: f64) -> Vec<(f64, String)> {
    let greatest = first.abs().max(last.abs()) as f64 * step;
    let (scale, unit) = match greatest {
        m if m >= 2e6 => (1e6, "M"),
        m if m >= 2e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let decimals = (-(step / scale).log10().floor()).max(0.0) as usize;
    let label = |value: f64| match value {
        0.0 => "0".to_owned(),
        value => format!("{}{unit}", grouped(&format!("{:.decimals$}", value / scale)).replace('-', "−")),
    };
    (first..=last).map(|i| (i as f64 * step, label(i as f64 * step))).collect()
}

/// A round time in its usual unit.
fn duration(us: f64) -> String {
    match us {
        us if us >= 1e6 => format!("{} s", us / 1e6),
        us if us >= 1e3 => format!("{} ms", us / 1e3),
        us => format!("{us} µs"),
    }
}

/// Thousands separated.
fn grouped(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').map_or((digits, ""), |(whole, fraction)| (whole, fraction));
    let cut = whole.len().saturating_sub(3);
    let whole = if cut > 0 && whole.len() > 3 && &whole[..cut] != "-" {
        format!("{},{}", &whole[..cut], &whole[cut..])
    } else {
        whole.to_owned()
    };
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

/// 1, 2 or 5 times a power of ten, at or above `raw`.
fn round_step(raw: f64) -> f64 {
    let power = 10_f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// A number in few characters: `30k`, `1.5M`, `0.25`.
pub fn compact(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        m if m >= 1e9 => (value / 1e9, "G"),
        m if m >= 1e6 => (value / 1e6, "M"),
        m if m >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let decimals = match scaled.abs() {
        m if m >= 100.0 || m == 0.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{}{unit}", text.replace('-', "−"))
}

/// The plot area with its coordinates.
pub type Plot<'a, 'b> = ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws a chart on new paper: `draw` gets the paper and the plot area, whose axes are already there.
///
/// # Errors
/// None that a string as paper can cause; they are plotters' own.
pub fn draw(
    size: (u32, u32),
    x: &Axis,
    y: &Axis,
    legend: &Legend,
    draw: impl FnOnce(&Paper, &mut Plot) -> DrawResult,
) -> DrawResult<Picture> {
    let mut draw = Some(draw);
    let height = size.1 - MARGIN_TOP - AREA_BOTTOM;
    draw_stacked(size.0, x, &[(y, height)], legend, |paper, plot, _| match draw.take() {
        Some(draw) => draw(paper, plot),
        None => Ok(()),
    })
}

/// Draws plot areas one above the other, whose x axis is the same; each has its y axis and its height, px. `draw` gets the
/// paper, the plot area and its place from the top.
///
/// # Errors
/// As [`draw()`].
pub fn draw_stacked(
    width: u32,
    x: &Axis,
    ys: &[(&Axis, u32)],
    legend: &Legend,
    mut draw: impl FnMut(&Paper, &mut Plot, usize) -> DrawResult,
) -> DrawResult<Picture> {
    let heights: u32 = ys.iter().map(|(_, height)| height).sum();
    let size = (width, MARGIN_TOP + heights + STACK_GAP * (ys.len() as u32).saturating_sub(1) + AREA_BOTTOM);
    let mut svg = String::new();
    {
        let paper = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw_legend(&paper, legend)?;
        let mut top = MARGIN_TOP;
        for (place, (y, height)) in ys.iter().enumerate() {
            let part = paper.clone().shrink((0, top), (width, *height));
            let mut plot = ChartBuilder::on(&part)
                .margin_right(MARGIN_RIGHT)
                .y_label_area_size(AREA_LEFT)
                .build_cartesian_2d(x.range.clone(), y.range.clone())?;
            let foot = (place + 1 == ys.len()).then_some(size.1 as i32 - 6);
            axes(&paper, &plot, foot, x, y)?;
            draw(&paper, &mut plot, place)?;
            top += height + STACK_GAP;
        }
        paper.present()?;
    }
    Ok(Picture(svg))
}

/// Grid, ticks and titles; the x axis has its numbers and its title only where `foot` says how far down the title stands.
fn axes(paper: &Paper, plot: &Plot, foot: Option<i32>, x: &Axis, y: &Axis) -> DrawResult {
    let at = |x: f64, y: f64| plot.backend_coord(&(x, y));
    let (left, bottom) = at(x.range.start, y.range.start);
    let (right, top) = at(x.range.end, y.range.end);
    for (value, label) in &y.ticks {
        let (_, row) = at(x.range.start, *value);
        paper.draw(&PathElement::new([(left, row), (right, row)], GRID.stroke_width(1)))?;
        paper.draw(&Text::new(label.clone(), (left - 8, row), style(TICK_PX, INK, HPos::Right, VPos::Center)))?;
    }
    for (value, label) in &x.ticks {
        let (column, _) = at(*value, y.range.start);
        paper.draw(&PathElement::new([(column, top), (column, bottom + 5)], GRID.stroke_width(1)))?;
        if foot.is_some() {
            paper.draw(&Text::new(
                label.clone(),
                (column, bottom + 9),
                style(TICK_PX, INK, HPos::Center, VPos::Top),
            ))?;
        }
    }
    paper.draw(&PathElement::new([(left, bottom), (right, bottom)], INK.stroke_width(1)))?;
    if let Some(foot) = foot {
        let place = (i32::midpoint(left, right), foot);
        paper.draw(&Text::new(words(&x.title), place, style(TITLE_PX, MUTED, HPos::Center, VPos::Bottom)))?;
    }
    // Above the axis and upright: easier to read than on its side, and it needs no room that ticks could want.
    let head = (8, top - 12);
    paper.draw(&Text::new(words(&y.title), head, style(TITLE_PX, MUTED, HPos::Left, VPos::Bottom)))
}

/// The targets of a chart, and what stands for them in the legend.
#[derive(Debug, Clone, Default)]
pub struct Legend {
    /// Place and name of each.
    pub targets: Vec<(usize, String)>,
    /// Whether the chart has lines; else bars.
    pub has_lines: bool,
}

/// A sample and a name per target, in the first line, from the left edge, which a narrow screen shows first. Names that do not
/// fit are cut short.
fn draw_legend(paper: &Paper, legend: &Legend) -> DrawResult {
    let (width, _) = paper.dim_in_pixel();
    let mut left = 8;
    let room = (f64::from(width) - 40.0) / legend.targets.len().max(1) as f64 - 50.0;
    for (target, name) in &legend.targets {
        if legend.has_lines {
            let style = colour(*target).stroke_width(3);
            let ends = [(left, 16), (left + 30, 16)];
            match dash(*target) {
                None => paper.draw(&PathElement::new(ends, style))?,
                Some((length, gap)) => paper.draw(&DashedPathElement::new(ends, length, gap, style))?,
            }
            marker(paper, (left + 15, 16), *target)?;
            left += 36;
        } else {
            paper.draw(&Rectangle::new([(left, 10), (left + 12, 22)], colour(*target).filled()))?;
            left += 18;
        }
        let name = shortened(name, room, TITLE_PX);
        let width = text_width(&name, TITLE_PX) as i32;
        paper.draw(&Text::new(name, (left, 16), style(TITLE_PX, INK, HPos::Left, VPos::Center)))?;
        left += width + 16;
    }
    Ok(())
}

/// A text that fits into `room` px, its middle left out where it does not.
pub fn shortened(text: &str, room: f64, pixels: f64) -> String {
    let fits = ((room / (pixels * GLYPH)).floor().max(3.0)) as usize;
    let characters: Vec<char> = text.chars().collect();
    if characters.len() <= fits {
        return text.to_owned();
    }
    let (head, tail) = (fits / 2, fits - fits / 2 - 1);
    let part = |range: Range<usize>| characters[range].iter().collect::<String>();
    format!("{}…{}", part(0..head), part(characters.len() - tail..characters.len()))
}

/// A time of 0 has no place on a logarithmic axis, us.
pub const LEAST_US: f64 = 0.1;
/// Size of most charts, px.
pub const SIZE: (u32, u32) = (640, 380);
/// Type size of ticks, px.
pub const TICK_PX: f64 = 14.0;
/// Type size of axis titles and the legend, px.
pub const TITLE_PX: f64 = 14.0;
/// Width of a usual character as a share of the type size.
const GLYPH: f64 = 0.58;
/// Characters of the private use area, which no font has: they hold the two languages of a text apart.
const OPEN: char = '\u{E000}';
const BETWEEN: char = '\u{E001}';
const MARGIN_TOP: u32 = 64;
const MARGIN_RIGHT: u32 = 34;
const AREA_BOTTOM: u32 = 62;
/// Between two plot areas: room for the title of the lower one.
const STACK_GAP: u32 = 34;
const AREA_LEFT: u32 = 68;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_from_zero_holds_its_greatest_value_and_has_round_ticks() {
        for (max, end) in [(7.0, 8.0), (30_000.0, 30_000.0), (30_001.0, 40_000.0), (0.013, 0.015), (1.0, 1.0)] {
            let axis = Axis::from_zero(max, Words::default());
            assert!((axis.range.end - end).abs() < 1e-9, "{max}: {:?}", axis.range);
            assert!((4..=7).contains(&axis.ticks.len()), "{max}: {:?}", axis.ticks);
        }
        assert_eq!(Axis::from_zero(f64::NAN, Words::default()).range, 0.0..1.0);
    }

    #[test]
    fn ticks_inside_a_range() {
        let labels: Vec<String> =
            Axis::within(-1.0..4.5, Words::default()).ticks.into_iter().map(|(_, label)| label).collect();
        assert_eq!(labels, ["−1", "0", "1", "2", "3", "4"]);
    }

    #[test]
    fn ticks_of_one_axis_look_alike() {
        let labels = |max: f64| {
            Axis::from_zero(max, Words::default()).ticks.into_iter().map(|(_, label)| label).collect::<Vec<_>>()
        };
        assert_eq!(labels(9_000.0), ["0", "2,000", "4,000", "6,000", "8,000", "10,000"]);
        assert_eq!(labels(40_000.0), ["0", "10k", "20k", "30k", "40k"]);
        assert_eq!(labels(0.7), ["0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!(labels(5e6), ["0", "1M", "2M", "3M", "4M", "5M"]);
    }

    #[test]
    fn a_picture_has_both_languages_or_one() {
        let title = Words::pair("time, s", "时间，s");
        let axes = [Axis::from_zero(1.0, title.clone()), Axis::from_zero(1.0, Words::same("MiB/s"))];
        let picture = draw(SIZE, &axes[0], &axes[1], &Legend::default(), |_, _| Ok(())).unwrap();
        let both = picture.both();
        assert!(both.contains("lang=\"en\">time, s</text>") && both.contains("lang=\"zh\">时间，s</text>"), "{both}");
        assert!(!both.contains(OPEN) && !both.contains(BETWEEN));
        let zh = picture.alone(Lang::Zh, "t", "d");
        assert!(zh.contains("时间，s") && !zh.contains("time, s") && zh.contains("<desc>d</desc>"), "{zh}");
        assert_eq!(picture.width(), SIZE.0);
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("abcdefghij", 1000.0, 14.0), "abcdefghij");
        assert_eq!(shortened("abcdefghij", 5.0 * 14.0 * GLYPH + 0.1, 14.0), "ab…ij");
    }

    #[test]
    fn few_characters() {
        for (value, text) in
            [(0.0, "0"), (0.25, "0.25"), (1500.0, "1500"), (30_000.0, "30k"), (1.5e6, "1.5M"), (100.0, "100")]
        {
            assert_eq!(compact(value), text);
        }
    }
}
