//! A quantity of two sides: estimates, ratio, interval, noise, and the sentence that these allow.

use serde::Serialize;

use super::side::Observed;
use crate::report::measure::Sample;
use crate::report::metric::{Better, Metric};
use crate::stats::Estimate;
use crate::stats::estimate::{Noise, noise_floor};
use crate::stats::resample::{Ratio, quantile_ratio_inside_runs, ratio_inside_runs, ratio_over_runs};

/// One quantity of two sides.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Which; the keys are those of report.json.
    pub metric: Metric,
    /// Its unit.
    pub unit: &'static str,
    /// The points of the first side; null where none has the figure.
    pub a: Option<Estimate>,
    /// Of the second.
    pub b: Option<Estimate>,
    /// First mean over second; null when the second is 0 or one is missing.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio.
    pub ratio_ci95: Option<(f64, f64)>,
    /// What the interval is about.
    pub basis: Basis,
    /// How far two equal sides with as many points may lie apart, by the control.
    pub noise: Option<Noise>,
    /// Which side a user is better off with, where they differ and the quantity has a direction.
    pub better: Option<&'static str>,
    /// The verdict as a word.
    pub kind: Kind,
    /// The verdict as a sentence.
    pub verdict: String,
}

/// What an interval was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Three repeats or more on each side.
    Repeats,
    /// One run on each side, and what it showed over time.
    OneRun,
    /// Too little for an interval.
    None,
}

impl Basis {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Repeats => "repeats",
            Self::OneRun => "one-run",
            Self::None => "none",
        }
    }
}

/// The verdict as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A is lower.
    Lower,
    /// A is higher.
    Higher,
    /// The interval holds no difference, or equal runs differ as much.
    NoDifference,
    /// Too few repeats, and their ranges overlap.
    Undecided,
    /// A side has no figure, or no ratio exists.
    NotComparable,
}

impl Kind {
    /// The word for it, as in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Lower => "lower",
            Self::Higher => "higher",
            Self::NoDifference => "no-difference",
            Self::Undecided => "undecided",
            Self::NotComparable => "not-comparable",
        }
    }
}

impl Row {
    /// Compares a quantity; `None` where neither side has a figure or a reason for having none.
    pub fn of(metric: Metric, a: &[&Observed], b: &[&Observed], control: &[&Observed]) -> Option<Self> {
        let [of_a, of_b, of_control] = [a, b, control].map(|points| values(metric, points));
        if !a.iter().chain(b).any(|point| point.samples.contains_key(&metric)) {
            return None;
        }
        let (estimate_a, estimate_b) = (Estimate::of(&of_a), Estimate::of(&of_b));
        let mut row = Self {
            metric,
            unit: metric.unit(),
            ratio: None,
            ratio_ci95: None,
            basis: Basis::None,
            noise: noise_floor(&of_control, of_a.len(), of_b.len()),
            better: None,
            kind: Kind::NotComparable,
            verdict: String::new(),
            a: estimate_a,
            b: estimate_b,
        };
        row.judge(a, b, (&of_a, &of_b));
        Some(row)
    }

    fn judge(&mut self, a: &[&Observed], b: &[&Observed], (of_a, of_b): (&[f64], &[f64])) {
        let (Some(first), Some(second)) = (&self.a, &self.b) else {
            let (name, side) = if self.a.is_none() { ("A", a) } else { ("B", b) };
            self.verdict = format!("not comparable: {name} has no figure{}", reason(self.metric, side));
            return;
        };
        if first.mean == 0.0 && second.mean == 0.0 {
            self.kind = Kind::NoDifference;
            "both are 0".clone_into(&mut self.verdict);
            return;
        }
        if second.mean == 0.0 {
            self.kind = Kind::Higher;
            self.better = self.better_side();
            self.verdict = format!("A higher: {} against 0, which has no ratio", number(first.mean));
            return;
        }
        let ratio = first.mean / second.mean;
        self.ratio = Some(ratio);
        (self.ratio_ci95, self.basis) = match (a, b) {
            ([only_a], [only_b]) => one_run(self.metric, only_a, only_b, ratio),
            _ => match ratio_over_runs(of_a, of_b, SEED).and_then(|found| found.ci95) {
                Some(ci95) => (Some(ci95), Basis::Repeats),
                None => (None, Basis::None),
            },
        };
        let ranges_apart = first.max < second.min || second.max < first.min;
        (self.kind, self.verdict) = self.sentence(ratio, ranges_apart, of_a.len().max(of_b.len()));
        self.better = self.better_side();
    }

    fn sentence(&self, ratio: f64, ranges_apart: bool, repeats: usize) -> (Kind, String) {
        let percent = 100.0 * (ratio - 1.0);
        let ends = self.ratio_ci95.map(|(low, high)| (100.0 * (low - 1.0), 100.0 * (high - 1.0)));
        let holds_none = ends.is_some_and(|(low, high)| low <= 0.0 && 0.0 <= high);
        let signed = ends.map_or(String::new(), |(low, high)| format!(" [{low:+.1}, {high:+.1}] %"));
        let equals =
            self.noise.map_or(String::new(), |noise| format!("equal runs differ by up to {:.1} %", noise.percent));
        if self.noise.is_some_and(|noise| percent.abs() <= noise.percent) {
            return (Kind::NoDifference, format!("no difference within noise: {percent:+.1} %{signed}, and {equals}"));
        }
        if ratio == 1.0 && ends.is_none() {
            return (Kind::NoDifference, "no difference: the same figure".to_owned());
        }
        if holds_none {
            return (Kind::NoDifference, format!("no difference within noise: {percent:+.1} %{signed}"));
        }
        if self.basis == Basis::None && repeats > 1 && !ranges_apart {
            let text = format!(
                "undecided: {percent:+.1} %, the ranges of the repeats overlap; three on each side give an interval"
            );
            return (Kind::Undecided, text);
        }
        let (kind, word) = if percent < 0.0 { (Kind::Lower, "lower") } else { (Kind::Higher, "higher") };
        let caveat = match (self.basis, self.noise) {
            (Basis::Repeats, None) => String::new(),
            (Basis::None, _) if repeats > 1 => {
                ", without an interval: too few repeats, but their ranges lie apart".to_owned()
            }
            (_, Some(_)) => format!("; {equals}"),
            (Basis::OneRun, None) => {
                " in this one pair of runs; without repeats nothing says that it would come again".to_owned()
            }
            (Basis::None, None) => ", without an interval: one run a side".to_owned(),
        };
        (kind, format!("A {word}{}{caveat}", amount(ratio, self.ratio_ci95)))
    }

    fn better_side(&self) -> Option<&'static str> {
        match (self.kind, self.metric.better()) {
            (Kind::Lower, Better::Lower) | (Kind::Higher, Better::Higher) => Some("A"),
            (Kind::Lower, Better::Higher) | (Kind::Higher, Better::Lower) => Some("B"),
            _ => None,
        }
    }
}

/// How much a ratio is away from 1, with its interval: in percent, and from ten on as a multiple.
fn amount(ratio: f64, ci95: Option<(f64, f64)>) -> String {
    if ratio >= MULTIPLE_MIN {
        let interval = ci95.map_or(String::new(), |(low, high)| format!(" [{low:.1}, {high:.1}]"));
        return format!(": {ratio:.1} times as much{interval}");
    }
    let percent = |ratio: f64| (100.0 * (ratio - 1.0)).abs();
    let interval = ci95.map_or(String::new(), |(low, high)| {
        let (one, other) = (percent(low), percent(high));
        format!(" [{:.1}, {:.1}]", one.min(other), one.max(other))
    });
    format!(" by {:.1} %{interval}", percent(ratio))
}

/// The interval of the ratio inside a pair of single runs. The figure itself is a counter's difference over the elapsed time, or
/// comes from all latencies; the interval, which lies around the mean of what was seen over time, is moved to it.
fn one_run(metric: Metric, a: &Observed, b: &Observed, ratio: f64) -> (Option<(f64, f64)>, Basis) {
    let inside: Option<Ratio> = match quantile(metric) {
        Some(quantile) => quantile_ratio_inside_runs(&a.latencies, &b.latencies, quantile, SEED),
        None => a
            .over_time
            .get(&metric)
            .zip(b.over_time.get(&metric))
            .and_then(|(of_a, of_b)| ratio_inside_runs(of_a, of_b, SEED)),
    };
    let moved = inside.and_then(|inside| {
        let (low, high) = inside.ci95?;
        let by = if inside.ratio == 0.0 { 1.0 } else { ratio / inside.ratio };
        by.is_finite().then_some((low * by, high * by))
    });
    (moved, if moved.is_some() { Basis::OneRun } else { Basis::None })
}

/// The quantile that a latency is; `None` for anything else.
fn quantile(metric: Metric) -> Option<f64> {
    match metric {
        Metric::LatencyP50 => Some(0.5),
        Metric::LatencyP95 => Some(0.95),
        Metric::LatencyP99 => Some(0.99),
        Metric::LatencyP999 => Some(0.999),
        _ => None,
    }
}

fn values(metric: Metric, points: &[&Observed]) -> Vec<f64> {
    let value = |point: &&Observed| match point.samples.get(&metric) {
        Some(Sample::Number(value)) => Some(*value),
        _ => None,
    };
    points.iter().filter_map(value).collect()
}

/// Why a side has no figure, where its files tell.
fn reason(metric: Metric, points: &[&Observed]) -> String {
    let void = points.iter().find_map(|point| match point.samples.get(&metric) {
        Some(Sample::Void(reason)) => Some(reason),
        _ => None,
    });
    void.map_or(String::new(), |reason| format!(" ({reason})"))
}

/// A figure for people.
pub fn number(value: f64) -> String {
    crate::report::format::number(value)
}

/// From here on a percentage is hard to read.
const MULTIPLE_MIN: f64 = 10.0;
/// Every interval starts from it, so the same data gives the same interval.
const SEED: u64 = 0x5eed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_percent_and_as_multiples() {
        assert_eq!(amount(0.62, Some((0.60, 0.64))), " by 38.0 % [36.0, 40.0]");
        assert_eq!(amount(1.5, None), " by 50.0 %");
        assert_eq!(amount(23.28, Some((18.01, 28.88))), ": 23.3 times as much [18.0, 28.9]");
    }
}
