//! An expression over runs, in one window.
//!
//! Metrics are of two sorts. Those of a *run* come from the samples of a host (`analyze summary` shows them) and depend on
//! the window. Those of a *point* come from what the tools of a playbook's step counted (`analyze report` shows them); their
//! window is the measure phase, whatever rule is asked for. A point that failed has no figures, only reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use runlog::Run;

use super::expression::{Function, Operator, Selection, Tree};
use super::file::Rule;
use crate::reading::Reading;
use crate::report::experiment::Experiment;
use crate::report::measure::{Measured, Sample};
use crate::report::metric::Metric;
use crate::stats;
use crate::summary::Window;

/// Runs, read once, and the points of the experiments that they belong to.
pub struct Evidence {
    readings: Vec<Reading>,
    points: Vec<PointFigures>,
}

/// A value with the run directories that it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The value.
    pub value: f64,
    /// Directories, sorted.
    pub runs: Vec<String>,
}

/// The figures of one step against one target in one repeat.
struct PointFigures {
    labels: BTreeMap<&'static str, String>,
    figures: Result<BTreeMap<Metric, Sample>, String>,
    runs: Vec<String>,
}

impl Evidence {
    /// Reads runs.
    pub fn of(runs: &[Run]) -> Self {
        // Whoever looks for the first of equals finds the same one, in whatever order the runs were given.
        let mut runs = runs.to_vec();
        runs.sort_by(|a, b| a.path.cmp(&b.path));
        Self { readings: runs.iter().map(Reading::of).collect(), points: points(&runs) }
    }

    /// The runs as read.
    pub fn readings(&self) -> &[Reading] {
        &self.readings
    }

    /// The value of an expression; `rule` is the window of every metric that names none.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn value(&self, tree: &Tree, rule: Rule) -> Result<Found, String> {
        let mut runs = BTreeSet::new();
        let value = self.compute(tree, rule, &mut runs)?;
        if !value.is_finite() {
            return Err("a division by zero".to_owned());
        }
        Ok(Found { value, runs: runs.into_iter().collect() })
    }

    fn compute(&self, tree: &Tree, rule: Rule, runs: &mut BTreeSet<String>) -> Result<f64, String> {
        match tree {
            Tree::Number(number) => Ok(*number),
            Tree::Negative(inner) => Ok(-self.compute(inner, rule, runs)?),
            Tree::Binary(left, operator, right) => {
                let (left, right) = (self.compute(left, rule, runs)?, self.compute(right, rule, runs)?);
                Ok(operator.apply(left, right))
            }
            Tree::Metric(function, selection) => {
                let values = match Metric::ALL.into_iter().find(|metric| metric.key() == selection.metric) {
                    Some(metric) => self.point_values(selection, metric, runs)?,
                    None => self.run_values(selection, selection.window.unwrap_or(rule), runs)?,
                };
                function.apply(&values).ok_or_else(|| format!("{selection} has no value"))
            }
        }
    }

    fn run_values(&self, selection: &Selection, rule: Rule, runs: &mut BTreeSet<String>) -> Result<Vec<f64>, String> {
        let of_broker = |reading: &&Reading| {
            reading.is_broker() || selection.matchers.iter().any(|m| m.label == "role" && reading.series.is_some())
        };
        let selected: Vec<&Reading> =
            self.readings.iter().filter(of_broker).filter(|r| accepts(selection, &run_labels(r))).collect();
        if selected.is_empty() {
            return Err(format!("no run for {selection}"));
        }
        let mut values = Vec::new();
        for reading in selected {
            let Some(summary) = reading.summary.as_ref() else { continue };
            if let Some(value) = window_metric(rule.of(&summary.windows), &selection.metric) {
                values.push(value);
                runs.insert(reading.run.path.display().to_string());
            }
        }
        if values.is_empty() {
            return Err(format!("the runs of {selection} do not record it"));
        }
        Ok(values)
    }

    fn point_values(
        &self,
        selection: &Selection,
        metric: Metric,
        runs: &mut BTreeSet<String>,
    ) -> Result<Vec<f64>, String> {
        let selected: Vec<&PointFigures> = self.points.iter().filter(|p| accepts(selection, &p.labels)).collect();
        if selected.is_empty() {
            return Err(format!("no point of a playbook's run for {selection}"));
        }
        let mut values = Vec::new();
        for point in selected {
            match &point.figures {
                Err(failures) => return Err(format!("a point of {selection} failed: {failures}")),
                Ok(figures) => match figures.get(&metric) {
                    Some(Sample::Number(value)) => {
                        values.push(*value);
                        runs.extend(point.runs.iter().cloned());
                    }
                    Some(Sample::Void(why)) => return Err(format!("{selection} is void: {why}")),
                    None => {}
                },
            }
        }
        if values.is_empty() {
            return Err(format!("the points of {selection} do not record it"));
        }
        Ok(values)
    }
}

/// Labels that a selector may ask for.
pub const LABELS: [&str; 7] = ["tag", "target", "label", "step", "repeat", "role", "experiment"];

/// Whether there is a metric of this name.
pub fn is_metric(name: &str) -> bool {
    metrics().contains(&name)
}

/// Every metric: those of a run in a window first.
pub fn metrics() -> Vec<&'static str> {
    WINDOW_METRICS.iter().map(|(name, _)| *name).chain(Metric::ALL.iter().map(|metric| metric.key())).collect()
}

fn window_metric(window: &Window, name: &str) -> Option<f64> {
    let (_, of) = WINDOW_METRICS.iter().find(|(known, _)| *known == name)?;
    of(window)
}

fn accepts(selection: &Selection, labels: &BTreeMap<&'static str, String>) -> bool {
    let value = |label: &str| labels.get(label).map_or("", String::as_str);
    selection.matchers.iter().all(|matcher| matcher.accepts(value(&matcher.label)))
}

fn run_labels(reading: &Reading) -> BTreeMap<&'static str, String> {
    let experiment = reading.run.context.as_ref().map(|context| context.experiment.clone());
    BTreeMap::from([
        ("tag", reading.run.tag.clone()),
        ("target", reading.target.clone().unwrap_or_default()),
        ("label", reading.label.clone().unwrap_or_default()),
        ("step", reading.step.clone()),
        ("repeat", reading.repeat.to_string()),
        ("role", reading.run.role.to_string()),
        ("experiment", experiment.unwrap_or_default()),
    ])
}

/// The points of every experiment among the runs.
fn points(runs: &[Run]) -> Vec<PointFigures> {
    let mut by_home: BTreeMap<PathBuf, Vec<Run>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.context.is_some()) {
        let home = run.path.parent().and_then(std::path::Path::parent);
        by_home.entry(home.unwrap_or(&run.path).to_owned()).or_default().push(run.clone());
    }
    by_home.into_iter().flat_map(|(home, runs)| experiment_points(&home, runs)).collect()
}

fn experiment_points(home: &std::path::Path, runs: Vec<Run>) -> Vec<PointFigures> {
    let Ok(experiment) = Experiment::load(home, runs) else { return Vec::new() };
    let figures = |point: &crate::report::experiment::Point| {
        let step = &experiment.steps[point.step];
        let target = &experiment.targets[point.target];
        let measured = Measured::of(point, step.kind, false);
        let failures: Vec<&str> = point.failures.iter().chain(&measured.failures).map(String::as_str).collect();
        PointFigures {
            labels: BTreeMap::from([
                ("target", target.name.clone()),
                ("label", target.label.clone()),
                ("step", step.name.clone()),
                ("repeat", point.repeat.to_string()),
                ("experiment", experiment.name.clone()),
                ("tag", format!("{}-{}-{}", target.label, target.name, step.name)),
            ]),
            figures: if failures.is_empty() { Ok(measured.samples) } else { Err(failures.join("; ")) },
            runs: point.runs().map(|run| run.path.display().to_string()).collect(),
        }
    };
    experiment.points.iter().map(figures).collect()
}

impl Operator {
    fn apply(self, left: f64, right: f64) -> f64 {
        match self {
            Self::Plus => left + right,
            Self::Minus => left - right,
            Self::Times => left * right,
            Self::Over => left / right,
        }
    }
}

impl Function {
    fn apply(self, values: &[f64]) -> Option<f64> {
        match self {
            Self::Median => stats::median(values),
            Self::Mean => stats::mean(values),
            Self::Min => values.iter().copied().reduce(f64::min),
            Self::Max => values.iter().copied().reduce(f64::max),
            Self::Sum => Some(values.iter().sum()),
            Self::Count => Some(values.len() as f64),
        }
    }
}

/// A figure of a window.
type WindowFigure = fn(&Window) -> Option<f64>;

const WINDOW_METRICS: [(&str, WindowFigure); 15] = [
    ("rx_mib_s", |w| w.rx_mib_s),
    ("tx_mib_s", |w| w.tx_mib_s),
    ("rx_mb_s", |w| w.rx_mb_s),
    ("tx_mb_s", |w| w.tx_mb_s),
    ("rx_pps", |w| w.rx_pps),
    ("tx_pps", |w| w.tx_pps),
    ("tcp_outsegs_s", |w| w.tcp_outsegs_s),
    ("ctxt_s", |w| w.ctxt_s),
    ("retrans_s", |w| w.retrans_s),
    ("estab", |w| w.estab),
    ("estab_min", |w| w.estab_min),
    ("estab_max", |w| w.estab_max),
    ("rss_mib", |w| w.rss_mib),
    ("vsz_mib", |w| w.vsz_mib),
    ("cpu_percent", |w| w.cpu_percent),
];
