//! The chart of a step over time: plot areas one above the other over one axis, with the phases behind them and the events
//! numbered. Deliveries, latency, connections, memory, CPU of the broker and of the load tools are then seen at one moment.

use super::charts::Chart;
use super::charts::frame::{Axis, LEAST_US};
use super::charts::lines::{self, Backdrop, Line, Panel};
use super::experiment::StepKind;
use super::figures::{Figures, StepFigures};
use super::format::number;
use super::picture::{chart, legend, place};
use super::text::Text;
use super::timeline::{Quantity, Timeline};
use crate::text;

/// What one plot area shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Area {
    /// The thick line.
    main: Quantity,
    /// A thin line beside it.
    beside: Option<Quantity>,
    /// Whether it is a time on a logarithmic axis.
    is_log: bool,
}

/// The chart of a step; `None` when nothing was sampled over time.
pub(super) fn of_step(figures: &Figures, step: &StepFigures) -> Option<Chart> {
    let areas = areas(step);
    let shown = |area: &Area| [Some(area.main), area.beside].into_iter().flatten();
    let all = || {
        let quantities = || areas.iter().flat_map(shown);
        step.timelines.iter().flat_map(move |timeline| quantities().filter_map(|q| timeline.line(q))).flatten()
    };
    let (begin, end) = all().fold((f64::MAX, f64::MIN), |(begin, end), (t, _)| (begin.min(*t), end.max(*t)));
    if end <= begin {
        return None;
    }
    // A failed point may have ended before its phases were over.
    let marked = step.timelines.iter().filter(|timeline| !timeline.phases.is_empty());
    let marked = marked.max_by_key(|timeline| (!timeline.is_failed, timeline.phases.len()));
    let time = match marked {
        Some(_) => Text::pair("time since the begin of the measure phase, s", "自测量阶段开始的时间，s"),
        None => Text::pair("time since the first sample, s", "自首个样本的时间，s"),
    };
    let x = Axis::within(begin..end, time);
    let marks = marks(step);
    let backdrop = Backdrop {
        phases: marked.map(|timeline| timeline.phases.clone()).unwrap_or_default(),
        marks: marks.iter().map(|(t, _)| *t).collect(),
    };
    let panels: Vec<Panel> = areas.iter().map(|area| panel(figures, step, *area)).collect();
    let picture = lines::draw_panels(&x, &panels, &backdrop, &legend(figures, true));
    let name = &step.name;
    let title = text!("Over time: {name}", "随时间的变化：{name}");
    Some(chart(title, caption(step, &areas, marked.is_some(), &marks), alt(step, &areas), picture))
}

/// What is worth showing of a step: what it is for first, then what explains it.
fn areas(step: &StepFigures) -> Vec<Area> {
    let has = |quantity| step.timelines.iter().any(|timeline| timeline.line(quantity).is_some());
    let linear = |main| Area { main, beside: None, is_log: false };
    let log = |main, beside| Area { main, beside, is_log: true };
    let either = |first, second| linear(if has(first) { first } else { second });
    let connections = either(Quantity::Connected, Quantity::Established);
    let latency = log(Quantity::LatencyMax, Some(Quantity::LatencyMedian));
    let mut areas = match step.kind {
        StepKind::Idle => Vec::new(),
        StepKind::Connections => {
            vec![connections, log(Quantity::ConnackMax, Some(Quantity::ConnackMedian))]
        }
        StepKind::Latency => vec![latency, connections],
        StepKind::Throughput => vec![either(Quantity::Delivered, Quantity::Sent), latency, connections],
    };
    if step.kind != StepKind::Idle {
        areas.extend([linear(Quantity::Rss), linear(Quantity::Cpu), linear(Quantity::LoadCpu)]);
        areas.push(log(Quantity::SendLagMax, None));
    }
    areas.retain(|area| has(area.main));
    areas
}

fn panel(figures: &Figures, step: &StepFigures, area: Area) -> Panel {
    let mut drawn = Vec::new();
    for timeline in &step.timelines {
        let target = place(figures, &timeline.label);
        // The first target's line is the wider one, so that both are seen where they coincide.
        let width = if target == 0 { 3 } else { 2 };
        for (quantity, width, is_main) in [(Some(area.main), width, true), (area.beside, 1, false)] {
            let Some(points) = quantity.and_then(|quantity| timeline.line(quantity)) else { continue };
            let height = |value: f64| if area.is_log { value.max(LEAST_US).log10() } else { value };
            let points: Vec<(f64, f64)> = points.iter().map(|(t, value)| (*t, height(*value))).collect();
            let has_markers = points.len() == 1 && is_main;
            let is_failed = timeline.is_failed && is_main;
            drawn.push(Line { target, points, width, has_markers, is_failed });
        }
    }
    let heights = || drawn.iter().flat_map(|line| &line.points).map(|(_, height)| *height);
    let title = area.main.axis();
    let y = if area.is_log {
        let title = text!("{title}: greatest and median of each second", "{title}：每秒的最大值与中位数"; title);
        let title = if area.beside.is_some() {
            title
        } else {
            let title = area.main.axis();
            text!("{title}: greatest of each second", "{title}：每秒的最大值"; title)
        };
        let (low, high) = heights().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)));
        Axis::log_us(10_f64.powf(low), 10_f64.powf(high), title)
    } else {
        Axis::from_zero_short(heights().fold(0.0, f64::max) * 1.04, title)
    };
    Panel { y, lines: drawn }
}

/// What happened, of all points together, by time.
fn marks(step: &StepFigures) -> Vec<(f64, String)> {
    let of = |timeline: &Timeline| {
        let named = |(t, what): &(f64, String)| (*t, format!("{} #{} {what}", timeline.label, timeline.repeat));
        timeline.marks.iter().map(named).collect::<Vec<_>>()
    };
    let mut marks: Vec<(f64, String)> = step.timelines.iter().flat_map(of).collect();
    marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    marks.truncate(MARKS_MAX);
    marks
}

fn caption(step: &StepFigures, areas: &[Area], is_marked: bool, marks: &[(f64, String)]) -> Text {
    let names = Text::listed(&areas.iter().map(|area| area.main.axis()).collect::<Vec<_>>());
    let n = step.timelines.len();
    let listed: Vec<String> =
        marks.iter().enumerate().map(|(i, (t, what))| format!("{}: {what} ({t:.1} s)", i + 1)).collect();
    let listed = listed.join(", ");
    let events = if listed.is_empty() { Text::default() } else { text!(" Events: {listed}.", "事件：{listed}。") };
    let bands = match is_marked {
        true => Text::pair(" The phases are shaded, the measured one most.", "阴影为各阶段，测量阶段最深。"),
        false => Text::default(),
    };
    let thin = match areas.iter().any(|area| area.beside.is_some()) {
        true => {
            Text::pair(" Thick: the greatest of each second; thin: its median.", "粗线：每秒的最大值；细线：中位数。")
        }
        false => Text::default(),
    };
    let has_rates = areas.iter().any(|area| matches!(area.main, Quantity::Sent | Quantity::Cpu));
    let stamps = match has_rates && step.timelines.iter().any(|timeline| timeline.has_whole_seconds) {
        true => Text::pair(
            " Stamps are whole seconds and the true period is longer: the regular dips of rates are the clock's, not the broker's.",
            "时间戳为整秒而实际周期更长：速率的规律性下陷来自时钟，而非服务端。",
        ),
        false => Text::default(),
    };
    let cross = match step.timelines.iter().any(|timeline| timeline.is_failed) {
        true => Text::pair(" A line that ends in a cross is of a failed point.", "以叉号结束的线属于失败的点。"),
        false => Text::default(),
    };
    text!(
        "From the top: {names}. One line per target and repeat (n={n}).{thin}{bands}{stamps}{cross}{events}",
        "自上而下：{names}。每个被测对象、每次重复一条线（n={n}）。{thin}{bands}{stamps}{cross}{events}";
        names, thin, bands, stamps, cross, events
    )
}

/// The range of each quantity with each target.
fn alt(step: &StepFigures, areas: &[Area]) -> Text {
    let mut labels: Vec<&str> = step.timelines.iter().map(|timeline| timeline.label.as_str()).collect();
    labels.sort_unstable();
    labels.dedup();
    let range = |area: &Area, label: &str| {
        let of_label = step.timelines.iter().filter(|timeline| timeline.label == label);
        let values = of_label.filter_map(|timeline| timeline.line(area.main)).flatten().map(|(_, value)| *value);
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), v| (least.min(v), most.max(v)));
        let (least, most, unit) = (number(least), number(most), if area.is_log { " µs" } else { "" });
        (least != number(f64::MAX)).then(|| text!("{label} {least} to {most}{unit}", "{label} {least} 至 {most}{unit}"))
    };
    let words = |area: &Area| {
        let ranges: Vec<Text> = labels.iter().filter_map(|label| range(area, label)).collect();
        let (axis, ranges) = (area.main.axis(), Text::join(&ranges, &Text::pair(", ", "，")));
        text!("{axis}: {ranges}", "{axis}：{ranges}"; axis, ranges)
    };
    let (name, words) = (&step.name, Text::listed(&areas.iter().map(words).collect::<Vec<_>>()));
    text!("Line charts over time in {name}. {words}.", "{name} 随时间变化的折线图。{words}。"; words)
}

const MARKS_MAX: usize = 12;
