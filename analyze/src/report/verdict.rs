//! What may be said, in sentences, the most important first, each with a link to its evidence.
//!
//! The sentences are honest about counts: an interval needs three repeats, a load that both targets carried whole does not
//! separate them, and a failed point is named instead of compared.

use serde::Serialize;

use super::experiment::StepKind;
use super::figures::{Figure, Figures, Pooled, StepFigures};
use super::format::{self, contrast_sentence, estimate, number};
use super::metric::Metric;
use crate::stats::estimate::INTERVAL_REPEATS_MIN;
use crate::stats::{Contrast, Estimate};

/// One sentence and the part of the report that shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictLine {
    /// What may be said.
    pub text: String,
    /// Anchor of the evidence in the report.
    pub anchor: String,
}

/// All sentences.
pub fn lines(figures: &Figures) -> Vec<VerdictLine> {
    let mut lines = Vec::new();
    if figures.targets.len() == 2 {
        if figures.is_control() {
            let text = "Control: A and B are the same program (equal SHA-256), so every difference below is noise of this machine.";
            lines.push(VerdictLine { text: text.to_owned(), anchor: "targets".to_owned() });
        }
        lines.extend(throughput(figures));
        lines.extend(cpu(figures));
        lines.extend(figures.steps_of(StepKind::Latency).map(|step| latency(figures, step)));
        lines.extend(memory(figures));
        lines.extend(figures.steps_of(StepKind::Connections).last().map(|step| connections(figures, step)));
    }
    lines.extend(failures(figures));
    lines
}

/// The id of a step's section.
pub fn anchor(step: &str) -> String {
    format!("step-{step}")
}

/// One sentence for all loads that both carried whole, and one for each other.
fn throughput(figures: &Figures) -> Vec<VerdictLine> {
    let mut whole = Vec::new();
    let mut lines = Vec::new();
    for step in figures.steps_of(StepKind::Throughput) {
        let (a, b) = match compare(figures, step, Metric::DeliveredPerS) {
            Comparison::Both(a, b) => (a, b),
            Comparison::Void(reason) => {
                lines.push(line(step, &reason));
                continue;
            }
        };
        let shares = [0, 1].map(|target| step.estimate(Metric::DeliveredShare, target).map_or(0.0, |e| e.min));
        if shares.iter().all(|share| *share >= WHOLE_PERCENT) {
            whole.push(format!("{} {} and {} msg/s", step.name, number(a.mean), number(b.mean)));
            continue;
        }
        let text = format!(
            "A delivers {} msg/s ({} % of what was due), B {} msg/s ({} %) ({}){}",
            estimate(a),
            number(shares[0]),
            estimate(b),
            number(shares[1]),
            repeats(a, b),
            conclusion(step, Metric::DeliveredPerS, a, b)
        );
        lines.push(line(step, &text));
    }
    if !whole.is_empty() {
        let text = format!(
            "Throughput: A and B both deliver all that is due ({}), so these loads do not separate them; the CPU that they spend \
             on it, and latency, may.",
            whole.join(", ")
        );
        lines.insert(0, VerdictLine { text, anchor: "throughput".to_owned() });
    }
    lines
}

/// One sentence for all steps that have the figure for both.
fn cpu(figures: &Figures) -> Option<VerdictLine> {
    let mut repeats_min = usize::MAX;
    let parts: Vec<String> = figures
        .steps_of(StepKind::Throughput)
        .filter_map(|step| {
            let Comparison::Both(a, b) = compare(figures, step, Metric::CpuPerMessage) else { return None };
            repeats_min = repeats_min.min(a.n).min(b.n);
            let contrast = step.row(Metric::CpuPerMessage)?.contrast.as_ref()?;
            let (a, b) = (number(a.mean), number(b.mean));
            Some(format!("{} {a} and {b} µs ({})", step.name, format::contrast(contrast)))
        })
        .collect();
    let text =
        format!("CPU: per delivered message the brokers spend, A and B: {}.{}", parts.join("; "), too_few(repeats_min));
    (!parts.is_empty()).then(|| VerdictLine { text, anchor: "cpu".to_owned() })
}

fn latency(figures: &Figures, step: &StepFigures) -> VerdictLine {
    let mut repeats_min = usize::MAX;
    let mut part = |metric, name: &str| match compare(figures, step, metric) {
        Comparison::Both(a, b) => {
            repeats_min = repeats_min.min(a.n).min(b.n);
            let contrast = step.row(metric).and_then(|row| row.contrast.as_ref());
            let words = contrast.map_or(String::new(), |contrast| format!(" ({})", format::contrast(contrast)));
            format!("{name} {} µs with A, {} µs with B{words}", number(a.mean), number(b.mean))
        }
        Comparison::Void(reason) => match pooled(step, metric) {
            Some([a, b]) => format!(
                "{name} {} µs with A, {} µs with B (all repeats pooled, {} and {} messages; intervals of the sampling)",
                format::pooled(&a),
                format::pooled(&b),
                number(a.count as f64),
                number(b.count as f64)
            ),
            None => format!("{name}: {reason}"),
        },
    };
    let parts = [part(Metric::LatencyP50, "median"), part(Metric::LatencyP99, "p99")];
    let text = format!("{}: latency from due time: {}.{}", step.name, parts.join("; "), too_few(repeats_min));
    VerdictLine { text, anchor: format!("curve-{}", step.name) }
}

fn pooled(step: &StepFigures, metric: Metric) -> Option<[Pooled; 2]> {
    match step.row(metric)?.figures.as_slice() {
        [Figure { pooled: Some(a), .. }, Figure { pooled: Some(b), .. }] => Some([*a, *b]),
        _ => None,
    }
}

fn connections(figures: &Figures, step: &StepFigures) -> VerdictLine {
    let (a, b) = match compare(figures, step, Metric::ConnectRate) {
        Comparison::Both(a, b) => (a, b),
        Comparison::Void(reason) => return line(step, &reason),
    };
    let words = |metric| {
        let contrast = step.row(metric).and_then(|row| row.contrast.as_ref());
        contrast.map_or(String::new(), |contrast| format!(", {}", format::contrast(contrast)))
    };
    let connack = match compare(figures, step, Metric::ConnackP99) {
        Comparison::Both(a, b) => format!(
            "; p99 of the CONNACK latency {} and {} µs ({}{})",
            number(a.mean),
            number(b.mean),
            repeats(a, b),
            words(Metric::ConnackP99)
        ),
        Comparison::Void(_) => String::new(),
    };
    let text = format!(
        "A and B take {} and {} connections/s ({}{}), of a load generator that asks for a set rate and no more{connack}",
        number(a.mean),
        number(b.mean),
        repeats(a, b),
        words(Metric::ConnectRate)
    );
    line(step, &text)
}

fn memory(figures: &Figures) -> Option<VerdictLine> {
    let [a, b] = figures.memory.as_slice() else { return None };
    let (a, b) = (a.bytes_per_connection.as_ref()?, b.bytes_per_connection.as_ref()?);
    let contrast = Contrast::between(a, b);
    let text = format!(
        "Memory: an idle connection costs A {} B and B {} B of resident memory (slope over the connection steps; {}){}.",
        estimate(a),
        estimate(b),
        repeats(a, b),
        contrast.map_or_else(String::new, |c| format!(": {}", contrast_sentence(&c, "A", a.n.min(b.n))))
    );
    Some(VerdictLine { text, anchor: "memory".to_owned() })
}

/// A closing sentence where the repeats allow no interval.
fn too_few(repeats: usize) -> String {
    match repeats {
        n if n >= INTERVAL_REPEATS_MIN => String::new(),
        1 => " With a single repeat nothing is known of the noise.".to_owned(),
        n => format!(" {} repeats are too few for a confidence interval.", capitalised(&format::count(n))),
    }
}

fn failures(figures: &Figures) -> Option<VerdictLine> {
    let failed: usize = figures.steps.iter().map(|step| step.failed.len()).sum();
    let points = figures.steps.len() * figures.targets.len() * figures.repeats as usize;
    (failed > 0).then(|| VerdictLine {
        text: format!(
            "Failed points: {failed} of {points} failed; they are shown as failed, with their reasons, and enter no figure."
        ),
        anchor: "failed".to_owned(),
    })
}

/// What there is to compare.
enum Comparison<'a> {
    /// Both have figures.
    Both(&'a Estimate, &'a Estimate),
    /// One or both have none; why.
    Void(String),
}

fn compare<'a>(figures: &Figures, step: &'a StepFigures, metric: Metric) -> Comparison<'a> {
    let missing = |target: usize| {
        let label = &figures.targets[target].label;
        let reason = step.failed_of(label).next().map(|failed| failed.reasons.join("; "));
        let void = step.row(metric).and_then(|row| row.figures[target].voids.first()).map(|(_, reason)| reason.clone());
        format!("{label} has no valid figure ({})", reason.or(void).unwrap_or_else(|| "not measured".to_owned()))
    };
    let found = |target: usize, e: &Estimate| {
        let label = &figures.targets[target].label;
        format!("{label} shows {} {} ({})", estimate(e), metric.unit(), format::repeats(e))
    };
    match [0, 1].map(|target| step.estimate(metric, target)) {
        [Some(a), Some(b)] => Comparison::Both(a, b),
        [Some(a), None] => Comparison::Void(format!("no comparison: {}; {}", missing(1), found(0, a))),
        [None, Some(b)] => Comparison::Void(format!("no comparison: {}; {}", missing(0), found(1, b))),
        [None, None] => Comparison::Void(format!("no comparison: {}; {}", missing(0), missing(1))),
    }
}

fn conclusion(step: &StepFigures, metric: Metric, a: &Estimate, b: &Estimate) -> String {
    let contrast = step.row(metric).and_then(|row| row.contrast.as_ref());
    contrast.map_or_else(String::new, |contrast| format!(": {}", contrast_sentence(contrast, "A", a.n.min(b.n))))
}

fn repeats(a: &Estimate, b: &Estimate) -> String {
    if a.n == b.n { format!("n={} each", a.n) } else { format!("n={} and n={}", a.n, b.n) }
}

fn line(step: &StepFigures, text: &str) -> VerdictLine {
    VerdictLine { text: format!("{}: {}.", step.name, capitalised(text)), anchor: anchor(&step.name) }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

/// From this share on a load counts as delivered whole: the rest is what the end of a run cuts off.
const WHOLE_PERCENT: f64 = 99.9;
