//! `analyze compare A B`: how two sets of runs differ, how sure that is, and whether they may be compared at all.
//!
//! Each side is one run directory or a directory of repeats. Runs are paired by the step that they measured (what a playbook
//! wrote, else the tag without the target's name), and each quantity is taken over the plateau of each run: counter
//! difference over elapsed time, or the median of a level. With repeats the ratio's interval is by bootstrap over runs; with
//! one run a side it is by block bootstrap inside them, and then it says nothing about a repetition, which the verdict
//! states. Runs of one and the same target given as control show how much equal things differ (A/A): a difference within
//! that is none. Before any of it the sides must have held the same connections: a side that lost them is not comparable.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use anyhow::{Result, bail};
use runlog::{Role, Run, Warning, columns};
use serde::Serialize;

use crate::phases;
use crate::report::experiment::failure;
use crate::series::Series;
use crate::stats::resample::{ratio_inside_runs, ratio_over_runs};
use crate::stats::{mean, median};
use crate::summary;
use crate::tag::Tag;

/// Two sides in one step.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The step, or the tag without the target's name.
    pub step: String,
    /// Runs of the first side.
    pub a: Vec<String>,
    /// Runs of the second side.
    pub b: Vec<String>,
    /// Why the sides may not be compared; empty when they may.
    pub obstacles: Vec<String>,
    /// One row per quantity that both sides know; empty when they are not comparable.
    pub rows: Vec<Row>,
}

/// One quantity of two sides.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Which; stable.
    pub metric: &'static str,
    /// Mean over the runs of the first side.
    pub a: f64,
    /// Of the second.
    pub b: f64,
    /// First over second; null when the second is 0.
    pub ratio: Option<f64>,
    /// 95 % interval of the ratio.
    pub ratio_ci95: Option<(f64, f64)>,
    /// What the interval is about: `repeats`, `one-run` or `none`.
    pub basis: Basis,
    /// The greatest difference between two runs of the control, percent.
    pub noise_percent: Option<f64>,
    /// What may be said.
    pub verdict: String,
}

/// What an interval was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Three repeats or more on each side.
    Repeats,
    /// One run on each side.
    OneRun,
    /// Too little for an interval.
    None,
}

/// Compares the runs of two sides, `control` being runs of one target for the noise floor.
///
/// # Errors
/// A run cannot be read, a side has no broker's samples, or no step is on both sides.
pub fn compare(a: &[Run], b: &[Run], control: &[Run]) -> Result<(Vec<Comparison>, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let (a, b) = (measure(a, &mut warnings)?, measure(b, &mut warnings)?);
    let control = if control.is_empty() { Vec::new() } else { measure(control, &mut warnings)? };
    let steps = |runs: &[Measured]| {
        let mut steps: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        runs.iter().enumerate().for_each(|(index, run)| steps.entry(run.step.clone()).or_default().push(index));
        steps
    };
    let (in_a, in_b) = (steps(&a), steps(&b));
    // Two runs that carry names of their own are compared as they are.
    let pairs: Vec<(String, Vec<usize>, Vec<usize>)> = if in_a.len() == 1 && in_b.len() == 1 {
        let (name, of_a) = in_a.iter().next().expect("a side has a run");
        let (other, of_b) = in_b.iter().next().expect("a side has a run");
        let name = if name == other { name.clone() } else { format!("{name} against {other}") };
        vec![(name, of_a.clone(), of_b.clone())]
    } else {
        in_a.iter().filter_map(|(name, of_a)| Some((name.clone(), of_a.clone(), in_b.get(name)?.clone()))).collect()
    };
    if pairs.is_empty() {
        let names = |steps: &BTreeMap<String, Vec<usize>>| steps.keys().cloned().collect::<Vec<_>>().join(", ");
        bail!(
            "the two sides have no step in common: A has {}; B has {}; give one run of each to compare them as they are",
            names(&in_a),
            names(&in_b)
        );
    }
    let pick = |runs: &[Measured], indices: &[usize]| indices.iter().map(|i| runs[*i].clone()).collect::<Vec<_>>();
    let compared = pairs.into_iter().map(|(step, of_a, of_b)| {
        let of_step: Vec<Measured> = control.iter().filter(|run| run.step == step).cloned().collect();
        let control = if of_step.is_empty() { &control } else { &of_step };
        Comparison::of(step, &pick(&a, &of_a), &pick(&b, &of_b), control)
    });
    Ok((compared.collect(), warnings))
}

/// What one run shows.
#[derive(Debug, Clone)]
struct Measured {
    dir: String,
    step: String,
    /// Per metric: the figure, and the values in the order of time.
    figures: BTreeMap<&'static str, (f64, Vec<f64>)>,
    estab: Vec<(f64, f64)>,
    failures: Vec<String>,
}

fn measure(runs: &[Run], warnings: &mut Vec<Warning>) -> Result<Vec<Measured>> {
    let brokers: Vec<&Run> = runs.iter().filter(|run| run.role == Role::Broker && run.raw_path().exists()).collect();
    if brokers.is_empty() {
        let dirs: Vec<String> = runs.iter().map(|run| run.path.display().to_string()).collect();
        bail!("no samples of a broker in {}: give run directories of a collector with role broker", dirs.join(", "));
    }
    let mut measured = Vec::new();
    for run in brokers {
        let series = Series::read(&run.raw_path())?;
        warnings.extend(series.warnings.iter().cloned());
        measured.push(Measured::of(run, &series));
    }
    Ok(measured)
}

impl Measured {
    fn of(run: &Run, series: &Series) -> Self {
        let rows = summary::plateau(run, series).unwrap_or(0..series.intervals.len());
        let mut figures = BTreeMap::new();
        for (name, column, kind) in METRICS {
            let figure = match kind {
                Figure::Rate(unit) => rate(series, column, &rows).map(|(v, all)| (v / unit, scaled(all, unit))),
                Figure::Level(unit) => level(series, column, &rows).map(|(v, all)| (v / unit, scaled(all, unit))),
            };
            figure.into_iter().for_each(|figure| {
                figures.insert(name, figure);
            });
        }
        let estab = series.levels(columns::TCP_ESTAB).unwrap_or_default();
        let times = series.interval_times_s();
        // Where nobody marked the phases, what was lost before the plateau is missing in it.
        let begin = if phases::measured(run).is_some() { rows.start } else { 0 };
        Self {
            dir: run.path.display().to_string(),
            step: step(run),
            figures,
            estab: times.into_iter().zip(estab).take(rows.end).skip(begin).filter(|(_, v)| v.is_finite()).collect(),
            failures: failures(run),
        }
    }

    /// Why this side's run is no evidence: connections that it lost, and gates that failed.
    fn obstacles(&self, side: &str) -> Vec<String> {
        let mut found: Vec<String> = self.failures.iter().map(|reason| format!("{side}: {reason}")).collect();
        let most = self.estab.iter().map(|(_, level)| *level).fold(0.0, f64::max);
        let first_full = self.estab.iter().position(|(_, level)| *level >= most).unwrap_or(0);
        let lost = self.estab[first_full.min(self.estab.len())..].iter().find(|(_, level)| *level < LOST_SHARE * most);
        if let Some((at_s, _)) = lost.filter(|_| most > 0.0) {
            let least = self.estab[first_full..].iter().map(|(_, level)| *level).fold(most, f64::min);
            found.push(format!(
                "{side} lost connections: {:.0} of {most:.0} from {}, {least:.0} at the least",
                lost.map_or(0.0, |(_, level)| *level),
                minutes(*at_s)
            ));
        }
        found
    }

    fn connections(&self) -> f64 {
        self.estab.iter().map(|(_, level)| *level).fold(0.0, f64::max)
    }
}

impl Comparison {
    fn of(step: String, a: &[Measured], b: &[Measured], control: &[Measured]) -> Self {
        let mut obstacles: Vec<String> = Vec::new();
        for (side, runs) in [("A", a), ("B", b)] {
            obstacles.extend(runs.iter().flat_map(|run| run.obstacles(side)));
        }
        let held = |runs: &[Measured]| runs.iter().map(Measured::connections).fold(0.0, f64::max);
        let (held_a, held_b) = (held(a), held(b));
        if held_a.min(held_b) < LOST_SHARE * held_a.max(held_b) {
            obstacles.push(format!("A held {held_a:.0} connections and B {held_b:.0}"));
        }
        obstacles.dedup();
        let rows = if obstacles.is_empty() {
            METRICS.iter().filter_map(|(metric, ..)| Row::of(metric, a, b, control)).collect()
        } else {
            Vec::new()
        };
        let dirs = |runs: &[Measured]| runs.iter().map(|run| run.dir.clone()).collect();
        Self { step, a: dirs(a), b: dirs(b), obstacles, rows }
    }
}

impl Row {
    fn of(metric: &'static str, a: &[Measured], b: &[Measured], control: &[Measured]) -> Option<Self> {
        let values =
            |runs: &[Measured]| runs.iter().filter_map(|run| Some(run.figures.get(metric)?.0)).collect::<Vec<_>>();
        let (of_a, of_b) = (values(a), values(b));
        let (mean_a, mean_b) = (mean(&of_a)?, mean(&of_b)?);
        let (ratio, basis) = match (a, b) {
            ([only_a], [only_b]) => {
                let inside = ratio_inside_runs(&only_a.figures[metric].1, &only_b.figures[metric].1, SEED);
                // The figure is counter difference over elapsed time; the interval lies around the mean of the rates.
                let around = mean_a / mean_b;
                let ci95 = inside.and_then(|inside| {
                    let (low, high) = inside.ci95?;
                    let move_by = if inside.ratio == 0.0 { 1.0 } else { around / inside.ratio };
                    Some((low * move_by, high * move_by)).filter(|_| around.is_finite())
                });
                (ci95, if ci95.is_some() { Basis::OneRun } else { Basis::None })
            }
            _ => {
                let ci95 = ratio_over_runs(&of_a, &of_b, SEED).and_then(|ratio| ratio.ci95);
                (ci95, if ci95.is_some() { Basis::Repeats } else { Basis::None })
            }
        };
        let of_control = values(control);
        let spread = |values: &[f64]| {
            let (low, high) = values.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), v| (l.min(*v), h.max(*v)));
            (values.len() > 1 && low > 0.0).then(|| 100.0 * (high / low - 1.0))
        };
        let mut row = Self {
            metric,
            a: mean_a,
            b: mean_b,
            ratio: (mean_b != 0.0).then(|| mean_a / mean_b),
            ratio_ci95: ratio,
            basis,
            noise_percent: spread(&of_control),
            verdict: String::new(),
        };
        row.verdict = row.judge();
        Some(row)
    }

    fn judge(&self) -> String {
        let Some(ratio) = self.ratio else {
            return if self.a == 0.0 { "both are 0".to_owned() } else { "B is 0: no ratio".to_owned() };
        };
        let percent = 100.0 * (ratio - 1.0);
        let within_noise = self.noise_percent.is_some_and(|noise| percent.abs() <= noise);
        let holds_one = self.ratio_ci95.is_some_and(|(low, high)| low <= 1.0 && 1.0 <= high);
        if within_noise || holds_one {
            return "no difference within noise".to_owned();
        }
        let word = if percent < 0.0 { "lower" } else { "higher" };
        let interval = self.ratio_ci95.map_or(String::new(), |(low, high)| {
            let (one, other) = (100.0 * (low - 1.0), 100.0 * (high - 1.0));
            format!(" [{:.1}, {:.1}]", one.abs().min(other.abs()), one.abs().max(other.abs()))
        });
        let caveat = match self.basis {
            Basis::Repeats => "",
            Basis::OneRun => " in this one pair of runs; without repeats nothing says that it would come again",
            Basis::None => ", without an interval: too few repeats",
        };
        format!("A {word} by {:.1} %{interval}{caveat}", percent.abs())
    }
}

/// A table in Markdown per step.
pub fn markdown(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        push(
            &mut text,
            format_args!(
                "## {}\n\nA: {}\nB: {}\n\n",
                comparison.step,
                comparison.a.join(", "),
                comparison.b.join(", ")
            ),
        );
        for obstacle in &comparison.obstacles {
            push(&mut text, format_args!("- not comparable: {obstacle}\n"));
        }
        if !comparison.rows.is_empty() {
            text.push_str("| quantity | A | B | A/B | 95 % | verdict |\n| :-- | --: | --: | --: | --: | :-- |\n");
        }
        for row in &comparison.rows {
            let ratio = row.ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.3}"));
            let interval = row.ratio_ci95.map_or("–".to_owned(), |(low, high)| format!("{low:.3}–{high:.3}"));
            push(
                &mut text,
                format_args!(
                    "| {} | {:.2} | {:.2} | {ratio} | {interval} | {} |\n",
                    row.metric, row.a, row.b, row.verdict
                ),
            );
        }
        text.push('\n');
    }
    text
}

/// One line per quantity; a step that is not comparable has one line with the reasons.
pub fn csv(comparisons: &[Comparison]) -> String {
    let mut text = "step,metric,a,b,ratio,ratio_low,ratio_high,basis,noise_percent,verdict\n".to_owned();
    let cell = |value: Option<f64>| value.map_or(String::new(), |value| value.to_string());
    for comparison in comparisons {
        let step = quoted(&comparison.step);
        if !comparison.obstacles.is_empty() {
            let reasons = quoted(&format!("not comparable: {}", comparison.obstacles.join("; ")));
            push(&mut text, format_args!("{step},,,,,,,,,{reasons}\n"));
        }
        for row in &comparison.rows {
            let basis = match row.basis {
                Basis::Repeats => "repeats",
                Basis::OneRun => "one-run",
                Basis::None => "none",
            };
            let (low, high) = row.ratio_ci95.unzip();
            let ends = [cell(row.ratio), cell(low), cell(high)].join(",");
            let (noise, verdict) = (cell(row.noise_percent), quoted(&row.verdict));
            push(
                &mut text,
                format_args!("{step},{},{},{},{ends},{basis},{noise},{verdict}\n", row.metric, row.a, row.b),
            );
        }
    }
    text
}

/// What a run measured: the playbook's step, else the tag without `A-name-` before and `-run1` behind.
fn step(run: &Run) -> String {
    if let Some(context) = &run.context {
        return context.step.clone();
    }
    Tag::parse(&run.tag).map_or(&*run.tag, |tag| tag.step).to_owned()
}

/// What a playbook's gates say against the run's step.
fn failures(run: &Run) -> Vec<String> {
    let Some(context) = &run.context else { return Vec::new() };
    let Some(events) = run.path.parent().and_then(|parent| Run::open(parent).events().ok()) else { return Vec::new() };
    let of_step = |event: &&runlog::Event| phases::detail(event, "step") == Some(context.step.as_str());
    events.value.iter().filter(of_step).filter_map(failure).collect()
}

fn rate(series: &Series, column: &str, rows: &Range<usize>) -> Option<(f64, Vec<f64>)> {
    Some((series.rate_over(column, rows.clone())?, known(&series.rates(column)?, rows)))
}

fn level(series: &Series, column: &str, rows: &Range<usize>) -> Option<(f64, Vec<f64>)> {
    let levels = known(&series.levels(column)?, rows);
    Some((median(&levels)?, levels))
}

fn known(values: &[f64], rows: &Range<usize>) -> Vec<f64> {
    values[rows.clone()].iter().copied().filter(|v| v.is_finite()).collect()
}

fn scaled(values: Vec<f64>, unit: f64) -> Vec<f64> {
    values.into_iter().map(|value| value / unit).collect()
}

fn minutes(seconds: f64) -> String {
    format!("{}:{:02}", seconds as u64 / 60, seconds as u64 % 60)
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a String takes everything");
}

/// How a figure is made, and its unit in that of the column.
#[derive(Clone, Copy)]
enum Figure {
    Rate(f64),
    Level(f64),
}

/// Below this share of the most connections that were held, some were lost; the rest is other traffic of the host.
const LOST_SHARE: f64 = 0.999;
const MIB: f64 = 1_048_576.0;
const METRICS: [(&str, &str, Figure); 10] = [
    ("rx_mib_s", columns::RX_BYTES, Figure::Rate(MIB)),
    ("tx_mib_s", columns::TX_BYTES, Figure::Rate(MIB)),
    ("rx_pps", columns::RX_PACKETS, Figure::Rate(1.0)),
    ("tx_pps", columns::TX_PACKETS, Figure::Rate(1.0)),
    ("tcp_outsegs_s", columns::TCP_OUTSEGS, Figure::Rate(1.0)),
    ("retrans_s", columns::TCP_RETRANSSEGS, Figure::Rate(1.0)),
    ("ctxt_s", columns::CTXT, Figure::Rate(1.0)),
    ("rss_mib", columns::PROC_RSS_KB, Figure::Level(1_024.0)),
    ("vsz_mib", columns::PROC_VSZ_KB, Figure::Level(1_024.0)),
    ("estab", columns::TCP_ESTAB, Figure::Level(1.0)),
];
/// Every interval starts from it, so the same data gives the same interval.
const SEED: u64 = 0x5eed;
