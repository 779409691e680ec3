//! Which charts a report has, and the words that go with them.

use super::charts::bars::{self, Bar, Group};
use super::charts::{Chart, curve, scatter, timeline};
use super::experiment::StepKind;
use super::figures::{Figures, StepFigures};
use super::format::{estimate, number};
use super::metric::Metric;

/// Every chart with its anchor, in the order of presentation.
pub fn all(figures: &Figures) -> Vec<(String, Chart)> {
    let mut charts = Vec::new();
    let throughput: Vec<&StepFigures> = figures.steps_of(StepKind::Throughput).collect();
    let latency: Vec<&StepFigures> = figures.steps.iter().filter(|step| has(step, Metric::LatencyP99)).collect();
    for (id, title, metric, steps) in [
        ("throughput", "Messages delivered", Metric::DeliveredPerS, &throughput),
        ("cpu", "Broker CPU per delivered message", Metric::CpuPerMessage, &throughput),
        ("latency-p99", "Latency p99 by step", Metric::LatencyP99, &latency),
    ] {
        if steps.iter().any(|step| has(step, metric) || !step.failed.is_empty()) {
            charts.push((id.to_owned(), bar_chart(figures, title, metric, steps)));
        }
    }
    for step in figures.steps.iter().filter(|step| step.kind == StepKind::Latency && !step.curves.is_empty()) {
        charts.push((format!("curve-{}", step.name), curve_chart(figures, step)));
    }
    if figures.memory.iter().any(|memory| memory.points.len() > 1) {
        charts.push(("memory".to_owned(), memory_chart(figures)));
    }
    for step in throughput.iter().filter(|step| !step.timelines.is_empty()) {
        charts.push((format!("timeline-{}", step.name), timeline_chart(figures, step)));
    }
    charts
}

fn has(step: &StepFigures, metric: Metric) -> bool {
    step.row(metric).is_some_and(|row| row.figures.iter().any(|figure| figure.estimate.is_some()))
}

fn bar_chart(figures: &Figures, title: &str, metric: Metric, steps: &[&StepFigures]) -> Chart {
    let bar = |step: &StepFigures, target: usize| match step.estimate(metric, target) {
        Some(found) => Bar::Value(found.mean, found.bar()),
        None if step.failed_of(&figures.targets[target].label).next().is_some() => Bar::Failed,
        None => Bar::Absent,
    };
    let places = 0..figures.targets.len();
    let group = |step: &&StepFigures| Group {
        name: step.name.clone(),
        bars: places.clone().map(|target| bar(step, target)).collect(),
    };
    let groups: Vec<Group> = steps.iter().map(group).collect();
    let labels: Vec<String> = figures.targets.iter().map(|target| target.label.clone()).collect();
    let unit = format!("{}, {}", metric.title(), metric.unit());
    let words = |step: &&StepFigures| {
        let of = |target: usize| match (bar(step, target), step.estimate(metric, target)) {
            (Bar::Failed, _) => format!("{} failed", labels[target]),
            (_, Some(found)) => format!("{} {}", labels[target], estimate(found)),
            (_, None) => format!("{} none", labels[target]),
        };
        format!("{}: {}", step.name, places.clone().map(of).collect::<Vec<_>>().join(", "))
    };
    let alt = format!("Bar chart, {unit}. {}.", steps.iter().map(words).collect::<Vec<_>>().join("; "));
    let caption = format!(
        "{}, {}: mean over the repeats (n={} planned per bar), error bars from the least to the greatest repeat{}. A hatched \
         box is a failed point, not a zero.",
        metric.title(),
        metric.unit(),
        figures.repeats,
        if figures.repeats as usize >= crate::stats::estimate::INTERVAL_REPEATS_MIN {
            " or over the 95 % interval"
        } else {
            ""
        }
    );
    chart(title, caption, alt, bars::svg(&groups, &labels, &unit, &legend(figures)))
}

fn curve_chart(figures: &Figures, step: &StepFigures) -> Chart {
    let counts: Vec<String> =
        step.curves.iter().map(|curve| format!("{} {} messages", curve.label, number(curve.count as f64))).collect();
    let tails: Vec<String> = step
        .curves
        .iter()
        .filter_map(|curve| {
            let (quantile, us) = curve.corrected.last()?;
            Some(format!("{} reaches {} µs at {:.3} %", curve.label, number(*us), quantile * 100.0))
        })
        .collect();
    let caption = format!(
        "Latency by percentile, all repeats pooled ({}). Thick: from the due time. Thin: from the actual send. The curve ends at the \
         highest percentile that the count allows.",
        counts.join(", ")
    );
    let alt = format!("Latency percentile curves of {}, logarithmic axes. {}.", step.name, tails.join("; "));
    let title = format!("Latency curve, {}", step.name);
    chart(&title, caption, alt, curve::svg(&step.curves, |label| place(figures, label), &legend(figures)))
}

fn memory_chart(figures: &Figures) -> Chart {
    let words: Vec<String> = figures
        .memory
        .iter()
        .filter_map(|memory| {
            let line = memory.line?;
            let fit = match memory.points.len() {
                0..3 => String::new(),
                _ => format!(
                    " (r² {:.4}, no point farther than {} MiB off)",
                    line.r_squared,
                    number(line.residual_mib_max)
                ),
            };
            let (bytes, base) = (number(line.bytes_per_connection), number(line.baseline_mib));
            Some(format!("{}: {bytes} B per connection above {base} MiB{fit}", memory.label))
        })
        .collect();
    let caption = format!(
        "Resident memory of the broker against connections held, every repeat a marker, with the fitted line. {}.",
        words.join(". ")
    );
    let alt = format!("Scatter chart of broker memory against connections. {}.", words.join("; "));
    chart("Memory against connections", caption, alt, scatter::svg(&figures.memory, &legend(figures)))
}

fn timeline_chart(figures: &Figures, step: &StepFigures) -> Chart {
    let title = format!("Deliveries over time, {}", step.name);
    let words: Vec<String> = (0..figures.targets.len())
        .filter_map(|target| {
            let found = step.estimate(Metric::DeliveredPerS, target)?;
            Some(format!("{} {} msg/s in the measure phase", figures.targets[target].label, estimate(found)))
        })
        .collect();
    let caption = "Messages delivered to all subscribers per second, one line per repeat; the measure phase is shaded. Wide lines are A's, \
                   so that both are seen where they coincide."
        .to_owned();
    let alt = format!("Line chart of deliveries per second over time in {}. {}.", step.name, words.join("; "));
    let svg = timeline::svg(&step.timelines, step.measured_s, |label| place(figures, label), &legend(figures));
    chart(&title, caption, alt, svg)
}

fn chart(title: &str, caption: String, alt: String, svg: super::charts::frame::DrawResult<String>) -> Chart {
    let svg = svg.expect("drawing on a string cannot fail");
    Chart { title: title.to_owned(), caption, alt, svg }
}

fn legend(figures: &Figures) -> Vec<(usize, String)> {
    let name =
        |(place, target): (usize, &super::experiment::Target)| (place, format!("{} {}", target.label, target.name));
    figures.targets.iter().enumerate().map(name).collect()
}

fn place(figures: &Figures, label: &str) -> usize {
    figures.targets.iter().position(|target| target.label == label).unwrap_or(0)
}
