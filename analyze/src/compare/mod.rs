//! `analyze compare A B`: how two sets of runs differ, how sure that is, and whether they may be compared at all.
//!
//! - [`side`]: the points of each side: what was run, what it shows, which of it failed.
//! - [`inside`]: what a point shows over time, for an interval where there is but one.
//! - [`obstacle`]: why two sides may not be compared.
//! - [`verdict`]: a quantity of two sides, and what may be said.
//! - [`render`]: Markdown and CSV.
//!
//! Figures are those of the report ([`crate::report::measure`]): messages and latencies by the load tools, CPU, memory and
//! traffic by the collector, from the measure phase, or the plateau where nobody marked one. Sides are paired by step. With three
//! repeats or more the ratio's interval is by bootstrap over them; with one run a side it is by block bootstrap inside the two,
//! and then it says nothing about a repetition, which the verdict states. Runs of one and the same target, given as control, show how
//! much equal things differ (A/A): a difference within that is none. A point that failed is listed and gives no figure.

pub mod inside;
pub mod obstacle;
pub mod render;
pub mod side;
pub mod verdict;

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use runlog::{Run, Warning};
use serde::Serialize;

use crate::report::metric::Metric;
pub use render::{csv, markdown, matrix};
pub use side::Observed;
pub use verdict::{Basis, Kind, Row};

/// Two sides in one step.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The step; both, where two single steps of different names are compared.
    pub step: String,
    /// The first side.
    pub a: Side,
    /// The second side.
    pub b: Side,
    /// Why the sides may not be compared; empty when they may.
    pub obstacles: Vec<String>,
    /// What a reader should know all the same: settings of the load that differ between two steps of different names, and a
    /// control that does not have this step.
    pub notes: Vec<String>,
    /// One row per quantity that a side knows; empty when they are not comparable.
    pub rows: Vec<Row>,
}

/// One side in one step.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// The brokers under test, as far as metadata or tag name them.
    pub targets: Vec<String>,
    /// Every run that was looked at.
    pub dirs: Vec<String>,
    /// Points that gave figures.
    pub points: usize,
    /// Points that failed, and are in no figure.
    pub failed: Vec<FailedPoint>,
}

/// A point that does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedPoint {
    /// Which repeat, from 1.
    pub repeat: u32,
    /// Why; one sentence each.
    pub reasons: Vec<String>,
}

/// Compares the runs of two sides. `control` are runs of one target, for the noise floor; `metrics` names the quantities that
/// are wanted, all when empty.
///
/// # Errors
/// A side has no runs with figures, or no step is on both sides.
pub fn compare(
    a: Vec<Run>,
    b: Vec<Run>,
    control: Vec<Run>,
    metrics: &[Metric],
) -> Result<(Vec<Comparison>, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let [a, b, control] = [a, b, control].map(|runs| side::observe(runs, &mut warnings));
    let (a, b, control) = (a?, b?, control?);
    let comparisons = paired(&a, &b, &control, metrics)?;
    Ok((comparisons, warnings))
}

/// Compares every target with every other, step by step.
///
/// # Errors
/// The runs are of fewer than two targets.
pub fn compare_all(runs: Vec<Run>, control: Vec<Run>, metrics: &[Metric]) -> Result<(Vec<Comparison>, Vec<Warning>)> {
    let mut warnings = Vec::new();
    let (observed, control) = (side::observe(runs, &mut warnings)?, side::observe(control, &mut warnings)?);
    let targets: BTreeSet<&str> = observed.iter().map(|point| point.target.as_str()).collect();
    if targets.len() < 2 {
        let found = targets.into_iter().collect::<Vec<_>>().join(", ");
        bail!(
            "a matrix needs runs of two targets or more, and these are of {found}: a playbook names them, and so do tags such \
             as A-name-step-run1"
        );
    }
    let targets: Vec<&str> = targets.into_iter().collect();
    let of = |target: &str| observed.iter().filter(|point| point.target == target).cloned().collect::<Vec<_>>();
    let mut comparisons = Vec::new();
    for (index, first) in targets.iter().enumerate() {
        for second in &targets[index + 1..] {
            let (first, second) = (of(first), of(second));
            let steps: BTreeSet<&str> = first.iter().map(|point| point.step.as_str()).collect();
            if second.iter().any(|point| steps.contains(point.step.as_str())) {
                comparisons.extend(paired_by_step(&first, &second, &control, metrics));
            }
        }
    }
    comparisons.sort_by(|x, y| x.step.cmp(&y.step));
    Ok((comparisons, warnings))
}

fn paired(a: &[Observed], b: &[Observed], control: &[Observed], metrics: &[Metric]) -> Result<Vec<Comparison>> {
    for (points, name) in [(a, "A"), (b, "B")] {
        if points.is_empty() {
            bail!("side {name} has no point: give run directories of a collector, or those that a playbook wrote");
        }
    }
    let (steps_a, steps_b) = (steps(a), steps(b));
    // Two single steps that carry names of their own are compared as they are.
    if let ([of_a], [of_b]) = (steps_a.as_slice(), steps_b.as_slice()) {
        let name = if of_a == of_b { of_a.clone() } else { format!("{of_a} against {of_b}") };
        return Ok(vec![Comparison::of(name, of_a, a, b, control, metrics)]);
    }
    let found = paired_by_step(a, b, control, metrics);
    if found.is_empty() {
        bail!(
            "the two sides have no step in common: A has {}; B has {}; give one step of each to compare them as they are",
            steps_a.join(", "),
            steps_b.join(", ")
        );
    }
    Ok(found)
}

fn paired_by_step(a: &[Observed], b: &[Observed], control: &[Observed], metrics: &[Metric]) -> Vec<Comparison> {
    let of = |points: &[Observed], step: &str| {
        points.iter().filter(|point| point.step == step).cloned().collect::<Vec<Observed>>()
    };
    let of_b = steps(b);
    let common = steps(a).into_iter().filter(|step| of_b.contains(step));
    common.map(|step| Comparison::of(step.clone(), &step, &of(a, &step), &of(b, &step), control, metrics)).collect()
}

/// The steps of these points, each once, in their order.
fn steps(points: &[Observed]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    points.iter().map(|point| point.step.clone()).filter(|step| seen.insert(step.clone())).collect()
}

impl Comparison {
    /// Compares what was observed in one step; `of_a` is the step's name in A, by which the control's is found.
    fn of(step: String, of_a: &str, a: &[Observed], b: &[Observed], control: &[Observed], metrics: &[Metric]) -> Self {
        let (side_a, counting_a) = Side::of(a);
        let (side_b, counting_b) = Side::of(b);
        let is_one_step = step == of_a;
        let obstacles = obstacle::between(&side_a, &counting_a, &side_b, &counting_b, is_one_step);
        let mut notes: Vec<String> = Vec::new();
        if !is_one_step {
            let differences = obstacle::differences(&counting_a, &counting_b).into_iter();
            notes.extend(differences.map(|difference| format!("the load differs: {difference}")));
        }
        let one_step = steps(control).len() == 1;
        let of_step = |point: &&Observed| point.failures.is_empty() && (one_step || point.step == of_a);
        let of_control: Vec<&Observed> = control.iter().filter(of_step).collect();
        if !control.is_empty() && of_control.len() < 2 {
            notes.push("the control has no two points of this step that count: the noise is unknown".to_owned());
        }
        let wanted = |metric: &Metric| metrics.is_empty() || metrics.contains(metric);
        let rows = if obstacles.is_empty() {
            let row = |metric| Row::of(metric, &counting_a, &counting_b, &of_control);
            Metric::ALL.into_iter().filter(wanted).filter_map(row).collect()
        } else {
            Vec::new()
        };
        Self { step, a: side_a, b: side_b, obstacles, notes, rows }
    }
}

impl Side {
    /// The side, and its points that count.
    fn of(points: &[Observed]) -> (Self, Vec<&Observed>) {
        let (counting, failed): (Vec<&Observed>, Vec<&Observed>) =
            points.iter().partition(|point| point.failures.is_empty());
        let targets: BTreeSet<String> = points.iter().map(|point| point.target.clone()).collect();
        let failed = failed.iter().map(|point| FailedPoint { repeat: point.repeat, reasons: point.failures.clone() });
        let side = Self {
            targets: targets.into_iter().collect(),
            dirs: points.iter().flat_map(|point| point.dirs.clone()).collect(),
            points: counting.len(),
            failed: failed.collect(),
        };
        (side, counting)
    }
}
