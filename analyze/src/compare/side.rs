//! The points of one side: each step of a target in each repeat, from all its runs.
//!
//! Runs that a playbook started are read together with what it noted beside them; several experiments may be on one side. A
//! point fails here as it does in the report, and also when its clients or its deliveries went away while load ran.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use runlog::{Run, Warning};

use super::{inside, obstacle};
use crate::report::experiment::{Experiment, Point, StepKind};
use crate::report::measure::{Measured, Sample};
use crate::report::metric::Metric;
use crate::stats::resample::Counted;

/// One step of one target in one repeat.
#[derive(Debug, Clone)]
pub struct Observed {
    /// The broker under test; with its label where an experiment has two of that name.
    pub target: String,
    /// What was done.
    pub step: String,
    /// What kind of load it was.
    pub kind: StepKind,
    /// Which repeat, from 1.
    pub repeat: u32,
    /// Its run directories.
    pub dirs: Vec<String>,
    /// Why it does not count; empty when it does.
    pub failures: Vec<String>,
    /// Its figures.
    pub samples: BTreeMap<Metric, Sample>,
    /// Some of them over time: values per interval, in order.
    pub over_time: BTreeMap<Metric, Vec<f64>>,
    /// Latencies (ns) with their counts, interval by interval.
    pub latencies: Vec<Counted>,
    /// What it was loaded with.
    pub load: obstacle::Load,
}

/// Reads the points of these runs.
///
/// # Errors
/// A plan beside the runs cannot be used.
pub fn observe(runs: Vec<Run>, warnings: &mut Vec<Warning>) -> Result<Vec<Observed>> {
    let mut homes: BTreeMap<Option<PathBuf>, Vec<Run>> = BTreeMap::new();
    for run in runs {
        let home = run.context.as_ref().and_then(|_| Some(run.path.parent()?.parent()?.to_owned()));
        homes.entry(home).or_default().push(run);
    }
    let mut observed = Vec::new();
    for (home, runs) in homes {
        let experiment = Experiment::load(&home.unwrap_or_else(|| PathBuf::from(".")), runs)?;
        warnings.extend(experiment.warnings.iter().cloned());
        for point in &experiment.points {
            // What the plan holds beyond the runs that were given was not asked about.
            if point.runs().next().is_some() {
                observed.push(Observed::of(&experiment, point, warnings));
            }
        }
    }
    number_repeats(&mut observed);
    Ok(observed)
}

/// Repeats of one name from several experiments are further repeats.
fn number_repeats(observed: &mut [Observed]) {
    let mut taken = std::collections::BTreeSet::new();
    for point in observed {
        while !taken.insert((point.target.clone(), point.step.clone(), point.repeat)) {
            point.repeat += 1;
        }
    }
}

impl Observed {
    fn of(experiment: &Experiment, point: &Point, warnings: &mut Vec<Warning>) -> Self {
        let (step, target) = (&experiment.steps[point.step], &experiment.targets[point.target]);
        let is_double = experiment.targets.iter().filter(|other| other.name == target.name).count() > 1;
        let mut observed = Self {
            target: if is_double { format!("{} ({})", target.name, target.label) } else { target.name.clone() },
            step: step.name.clone(),
            kind: step.kind,
            repeat: point.repeat,
            dirs: point.runs().map(|run| run.path.display().to_string()).collect(),
            failures: point.failures.clone(),
            samples: BTreeMap::new(),
            over_time: BTreeMap::new(),
            latencies: Vec::new(),
            load: obstacle::Load::default(),
        };
        if !observed.failures.is_empty() {
            return observed;
        }
        let measured = Measured::of(point, step.kind, experiment.is_plain);
        warnings.extend(measured.warnings.iter().cloned());
        observed.failures.extend(measured.failures.iter().cloned());
        let series = inside::Series::of(point, experiment.is_plain);
        observed.failures.extend(obstacle::inside(point, step.kind, &series));
        if observed.failures.is_empty() {
            observed.load = obstacle::Load::of(point, &measured);
            observed.over_time = series.over_time();
            observed.latencies = inside::latencies(&measured.latencies);
            observed.samples = measured.samples;
        }
        observed
    }
}
