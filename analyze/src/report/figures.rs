//! The figures of an experiment: every metric of every step and target, over its repeats.
//!
//! This is all that a report shows, before it has a form; `report.json` is this structure.

use runlog::hlog::{self, LatencyInterval};
use runlog::{Percentiles, order};
use serde::Serialize;

use super::checks::Checks;
use super::clocks::HostClock;
use super::configuration::Configuration;
use super::console::{self, ConsoleCourse};
use super::experiment::{Experiment, PlanText, Point, StepKind, Target, remark};
use super::main_metrics;
use super::manifest::Manifest;
use super::measure::{Measured, Sample};
use super::metric::{Better, Metric};
use super::noise::Noise;
use super::provenance::Provenance;
use super::timeline::Timeline;
use super::verdict::{self, VerdictLine};
use crate::stats::{Contrast, Estimate, Line};
use crate::summary::{self, RunSummary};

/// All that a report says.
#[derive(Serialize)]
pub struct Figures {
    /// Name of the experiment.
    pub experiment: String,
    /// The words of its plan.
    pub plan: PlanText,
    /// The brokers, by label.
    pub targets: Vec<Target>,
    /// Repeats per step and target.
    pub repeats: u32,
    /// Whether no playbook started the runs.
    pub is_plain: bool,
    /// Three sentences for those who read no further.
    pub headline: Vec<VerdictLine>,
    /// What may be said, the most important first.
    pub verdicts: Vec<VerdictLine>,
    /// The steps in their order.
    pub steps: Vec<StepFigures>,
    /// Memory against connections, one per target.
    pub memory: Vec<MemoryFigures>,
    /// How much equal things differed.
    pub noise: Noise,
    /// Receive rates from console logs.
    pub consoles: Vec<ConsoleCourse>,
    /// How the brokers were set up.
    pub configurations: Vec<Configuration>,
    /// Every broker run in the published windows and in ours.
    pub windows: Vec<RunSummary>,
    /// Claims and audit.
    pub checks: Checks,
    /// Settings, clean slates, message counts, observers.
    pub provenance: Provenance,
    /// The clocks of the hosts, where the runner was on another one.
    pub clocks: Vec<HostClock>,
    /// Hosts, tools and files.
    pub manifest: Manifest,
    /// What was wrong with files, one sentence each.
    pub warnings: Vec<String>,
}

/// The figures of one step.
#[derive(Serialize)]
pub struct StepFigures {
    /// Name of the step.
    pub name: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// What it loads the broker with.
    pub kind: StepKind,
    /// Length of the measure phase, s, as marked; the mean over the points.
    pub measured_s: Option<f64>,
    /// One row per metric that any point has.
    pub rows: Vec<Row>,
    /// Points without figures.
    pub failed: Vec<Failed>,
    /// What gates remarked of points that they let pass.
    pub remarked: Vec<Remarked>,
    /// Latency curves, one per target.
    pub curves: Vec<LatencyCurves>,
    /// What went on over time, one per point that has samples.
    pub timelines: Vec<Timeline>,
}

/// One metric of one step.
#[derive(Serialize)]
pub struct Row {
    /// Which.
    pub metric: Metric,
    /// Its unit.
    pub unit: &'static str,
    /// One figure per target.
    pub figures: Vec<Figure>,
    /// The first target against the second.
    pub contrast: Option<Contrast>,
}

/// One metric of one step and target, over the repeats.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figure {
    /// The repeats that have a number.
    pub estimate: Option<Estimate>,
    /// The numbers themselves, by repeat.
    pub values: Vec<(u32, f64)>,
    /// Why the other repeats have none.
    pub voids: Vec<(u32, String)>,
    /// What all repeats together say of a percentile for which each alone has too few messages.
    pub pooled: Option<Pooled>,
}

/// A percentile of the messages of all repeats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Pooled {
    /// The percentile.
    pub value: f64,
    /// Its 95 % interval by order statistics: that of the sampling, without the noise between repeats.
    pub ci95: (f64, f64),
    /// Messages.
    pub count: u64,
}

/// A point without figures.
#[derive(Debug, Clone, Serialize)]
pub struct Failed {
    /// Label of the target.
    pub label: String,
    /// Name of the target.
    pub target: String,
    /// Repeat.
    pub repeat: u32,
    /// Why; at least one reason.
    pub reasons: Vec<String>,
}

/// A point of which gates remarked something.
#[derive(Debug, Clone, Serialize)]
pub struct Remarked {
    /// Label of the target.
    pub label: String,
    /// Name of the target.
    pub target: String,
    /// Repeat.
    pub repeat: u32,
    /// What; at least one remark.
    pub remarks: Vec<String>,
}

/// The latency distribution of a target, pooled over the repeats.
#[derive(Serialize)]
pub struct LatencyCurves {
    /// Label of the target.
    pub label: String,
    /// From the due time: (quantile, us).
    pub corrected: Vec<(f64, f64)>,
    /// From the actual send.
    pub uncorrected: Vec<(f64, f64)>,
    /// Messages behind the first.
    pub count: u64,
    /// Percentiles of the first, us, with the 95 % intervals of the sampling.
    pub percentiles: Percentiles,
}

/// Memory of a target against the connections that it held.
#[derive(Serialize)]
pub struct MemoryFigures {
    /// Label of the target.
    pub label: String,
    /// Connections, RSS in MiB.
    pub points: Vec<(f64, f64)>,
    /// The line through all points: slope in bytes per connection, intercept in MiB, and how far a point lies off it.
    pub line: Option<MemoryLine>,
    /// Slope of each repeat on its own, summed up, B per connection.
    pub bytes_per_connection: Option<Estimate>,
}

/// A straight line through memory against connections.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct MemoryLine {
    /// B per connection.
    pub bytes_per_connection: f64,
    /// MiB without connections.
    pub baseline_mib: f64,
    /// Share of the variance that the line explains.
    pub r_squared: f64,
    /// Largest distance of a point from it, MiB.
    pub residual_mib_max: f64,
    /// Standard error of the slope, B per connection; absent with fewer than three points.
    pub bytes_error: Option<f64>,
}

impl Figures {
    /// Measures every point and sums the repeats up.
    pub fn of(mut experiment: Experiment, checks: Checks) -> Self {
        let mut measured = measure(&mut experiment);
        if experiment.is_plain {
            compare_clients(&mut experiment, &mut measured);
        }
        relate_memory(&experiment, &mut measured);
        let steps: Vec<StepFigures> =
            (0..experiment.steps.len()).map(|step| step_figures(&experiment, &measured, step)).collect();
        let memory = (0..experiment.targets.len()).map(|target| memory(&experiment, &measured, target)).collect();
        let (consoles, damage) = match experiment.is_plain {
            true => console::find(&experiment.dir, &experiment.targets),
            // A playbook keeps what its tools print too, and their counters beside it.
            false => (Vec::new(), Vec::new()),
        };
        experiment.warnings.extend(damage);
        let manifest = Manifest::of(&experiment);
        let provenance = Provenance::of(&experiment);
        let clocks = HostClock::of(experiment.points.iter().flat_map(|point| &point.events));
        let brokers = experiment.points.iter().filter_map(|point| point.broker.as_ref());
        let windows = brokers.filter_map(|run| Some(summary::of_run(run).ok()?.0)).collect();
        let mut warnings: Vec<String> = experiment.warnings.iter().map(ToString::to_string).collect();
        warnings.extend(measured.iter().flat_map(|m| m.warnings.iter().map(ToString::to_string)));
        let mut figures = Self {
            experiment: experiment.name,
            plan: experiment.plan,
            targets: experiment.targets,
            repeats: experiment.repeats,
            is_plain: experiment.is_plain,
            headline: Vec::new(),
            verdicts: Vec::new(),
            steps,
            memory,
            noise: Noise::default(),
            consoles,
            configurations: experiment.configurations,
            windows,
            checks,
            provenance,
            clocks,
            manifest,
            warnings,
        };
        figures.noise = Noise::of(&figures);
        figures.headline = verdict::headline(&figures);
        figures.verdicts = verdict::lines(&figures);
        figures
    }

    /// The steps of a kind.
    pub fn steps_of(&self, kind: StepKind) -> impl Iterator<Item = &StepFigures> {
        self.steps.iter().filter(move |step| step.kind == kind)
    }

    /// Whether both targets are the same program: differences are then noise by design.
    pub fn is_control(&self) -> bool {
        let hash = |index: usize| self.targets.get(index).and_then(|target| target.sha256.as_ref());
        hash(0).is_some() && hash(0) == hash(1)
    }
}

impl StepFigures {
    /// The figures of a metric, one per target.
    pub fn row(&self, metric: Metric) -> Option<&Row> {
        self.rows.iter().find(|row| row.metric == metric)
    }

    /// The estimate of a metric for a target.
    pub fn estimate(&self, metric: Metric, target: usize) -> Option<&Estimate> {
        self.row(metric)?.figures[target].estimate.as_ref()
    }

    /// Whether a target's memory in this step is that of its connections.
    pub fn holds_connections(&self, target: usize) -> bool {
        self.kind.holds_connections(self.estimate(Metric::Disconnected, target).map(|lost| lost.mean))
    }

    /// Whether any target has a figure above 0.
    pub fn is_above_zero(&self, metric: Metric) -> bool {
        let figures = self.row(metric).map(|row| row.figures.as_slice()).unwrap_or_default();
        figures.iter().filter_map(|figure| figure.estimate.as_ref()).any(|estimate| estimate.max > 0.0)
    }

    /// The failed points of a target.
    pub fn failed_of<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a Failed> {
        self.failed.iter().filter(move |failed| failed.label == label)
    }
}

/// Measures the points that count; those that turn out to be void fail after all.
fn measure(experiment: &mut Experiment) -> Vec<Measured> {
    let mut all = Vec::with_capacity(experiment.points.len());
    for point in &mut experiment.points {
        let mut measured = Measured::default();
        if point.failures.is_empty() {
            measured = Measured::of(point, experiment.steps[point.step].kind, experiment.is_plain);
            point.failures.append(&mut measured.failures);
            if !point.failures.is_empty() {
                measured = measured.voided();
            }
        }
        all.push(measured);
    }
    all
}

/// Equal commands connect equally many clients: a target that held fewer than another in the same step had clients missing,
/// and if these were the subscribers, its figures are of another load. See F4 of `docs/methodology.md`.
fn compare_clients(experiment: &mut Experiment, measured: &mut [Measured]) {
    for step in (0..experiment.steps.len()).filter(|step| experiment.steps[*step].kind == StepKind::Throughput) {
        let of_step = |index: &usize| experiment.points[*index].step == step;
        let most = |index: usize| measured[index].estab.map_or(0.0, |(_, most)| most);
        let indices: Vec<usize> = (0..measured.len()).filter(of_step).collect();
        let Some(fullest) = indices.iter().copied().max_by(|a, b| most(*a).total_cmp(&most(*b))) else { continue };
        let (expected, label) = (most(fullest), experiment.targets[experiment.points[fullest].target].label.clone());
        for index in indices {
            let held = measured[index].estab.map(|(_, most)| most);
            if let Some(held) = held.filter(|held| *held < expected) {
                let reason = format!(
                    "it held {held:.0} connections, and {expected:.0} with {label} in the same step: {:.0} clients were \
                     missing, and if they were the subscribers, nothing was delivered to anybody",
                    expected - held
                );
                experiment.points[index].failures.push(reason);
                measured[index] = std::mem::take(&mut measured[index]).voided();
            }
        }
    }
}

/// Memory per connection needs the idle step of the same target and repeat.
fn relate_memory(experiment: &Experiment, measured: &mut [Measured]) {
    let idle_of = |target: usize, repeat: u32| {
        let is_idle = |index: &usize| {
            let point = &experiment.points[*index];
            point.target == target && point.repeat == repeat && experiment.steps[point.step].kind == StepKind::Idle
        };
        (0..experiment.points.len()).find(is_idle)
    };
    for index in 0..measured.len() {
        let point = &experiment.points[index];
        let Some(idle) = idle_of(point.target, point.repeat).filter(|idle| *idle != index) else { continue };
        let kind = experiment.steps[point.step].kind;
        let of = |index: usize, metric| measured[index].number(metric);
        if let (Some(rss), Some(base), Some(connections)) =
            (of(index, Metric::Rss), of(idle, Metric::Rss), of(index, Metric::Connections))
            && connections > 0.0
            && kind != StepKind::Idle
            && kind.holds_connections(of(index, Metric::Disconnected))
        {
            let bytes = (rss - base) * MIB / connections;
            measured[index].samples.insert(Metric::BytesPerConnection, Sample::Number(bytes));
        }
    }
}

fn step_figures(experiment: &Experiment, measured: &[Measured], step: usize) -> StepFigures {
    let places = 0..experiment.targets.len();
    let label = |target: usize| experiment.targets[target].label.as_str();
    let of_target = |target: usize| {
        let points = experiment.points.iter().zip(measured);
        points.filter(move |(point, _)| point.step == step && point.target == target)
    };
    let curves: Vec<LatencyCurves> = places
        .clone()
        .filter_map(|target| {
            let logs: Vec<_> = of_target(target).flat_map(|(_, m)| &m.latencies).collect();
            let lost: f64 = of_target(target).filter_map(|(_, m)| m.number(Metric::Lost)).sum();
            LatencyCurves::of(label(target), &logs, lost as u64)
        })
        .collect();
    let figure = |metric: Metric, target: usize| {
        let samples = of_target(target).filter_map(|(point, m)| Some((point.repeat, m.samples.get(&metric)?)));
        let mut figure = Figure::of(samples);
        if figure.estimate.is_none() {
            figure.pooled =
                curves.iter().find(|curve| curve.label == label(target)).and_then(|curve| curve.pooled(metric));
        }
        figure
    };
    let kind = experiment.steps[step].kind;
    let row = |metric| Row::of(metric, kind, places.clone().map(|target| figure(metric, target)).collect());
    let mut rows: Vec<Row> = Metric::ALL.into_iter().map(row).filter(Row::is_known).collect();
    if rows.is_empty() {
        // A step that failed throughout keeps a row, so that it is seen to have failed.
        rows.extend(main_metrics(experiment.steps[step].kind).first().map(|metric| row(*metric)));
    }
    let timeline = |(point, _): (&Point, &Measured)| {
        let mut timeline = Timeline::of(point, label(point.target), experiment.is_plain)?;
        if experiment.steps[point.step].is_to_change {
            timeline.steady.clear();
        }
        Some(timeline)
    };
    let lengths: Vec<f64> = places.clone().flat_map(of_target).filter_map(|(_, m)| m.measured_s).collect();
    StepFigures {
        name: experiment.steps[step].name.clone(),
        purpose: experiment.steps[step].purpose.clone(),
        kind: experiment.steps[step].kind,
        measured_s: crate::stats::mean(&lengths),
        rows,
        failed: places.clone().flat_map(of_target).filter_map(|(point, _)| failed(experiment, point)).collect(),
        remarked: places.clone().flat_map(of_target).filter_map(|(point, _)| remarked(experiment, point)).collect(),
        timelines: places.flat_map(of_target).filter_map(timeline).collect(),
        curves,
    }
}

fn remarked(experiment: &Experiment, point: &Point) -> Option<Remarked> {
    let Target { label, name, .. } = &experiment.targets[point.target];
    let remarks: Vec<String> = point.events.iter().filter_map(remark).collect();
    let remarked = Remarked { label: label.clone(), target: name.clone(), repeat: point.repeat, remarks };
    (!remarked.remarks.is_empty()).then_some(remarked)
}

fn failed(experiment: &Experiment, point: &Point) -> Option<Failed> {
    let Target { label, name, .. } = &experiment.targets[point.target];
    let reasons = point.failures.clone();
    let failed = Failed { label: label.clone(), target: name.clone(), repeat: point.repeat, reasons };
    (!failed.reasons.is_empty()).then_some(failed)
}

impl Figure {
    fn of<'a>(samples: impl Iterator<Item = (u32, &'a Sample)>) -> Self {
        let mut figure = Self::default();
        for (repeat, sample) in samples {
            match sample {
                Sample::Number(value) => figure.values.push((repeat, *value)),
                Sample::Void(reason) => figure.voids.push((repeat, reason.clone())),
            }
        }
        let values: Vec<f64> = figure.values.iter().map(|(_, value)| *value).collect();
        figure.estimate = Estimate::of(&values);
        figure
    }
}

impl Row {
    fn is_known(&self) -> bool {
        self.figures.iter().any(|figure| figure.estimate.is_some() || !figure.voids.is_empty())
    }

    fn of(metric: Metric, kind: StepKind, figures: Vec<Figure>) -> Self {
        // What an idle host sends is the background that somebody gave it, not an achievement.
        let is_background = metric == Metric::TxMib && kind != StepKind::Throughput;
        let contrast = match figures.as_slice() {
            [Figure { estimate: Some(a), .. }, Figure { estimate: Some(b), .. }]
                if metric.better() != Better::Neither && !is_background =>
            {
                Contrast::between(a, b)
            }
            _ => None,
        };
        Self { metric, unit: metric.unit(), figures, contrast }
    }
}

impl LatencyCurves {
    /// Pools the histograms; `lost` further messages count as infinite, and the curve ends where they begin.
    fn of(label: &str, logs: &[&LatencyInterval], lost: u64) -> Option<Self> {
        let of_tag = |tag: Option<&str>| {
            let lost = if tag == Some(hlog::CONNACK) { 0 } else { lost };
            let histogram = hlog::merge(logs.iter().copied(), tag).filter(|histogram| !histogram.is_empty())?;
            let all = histogram.len() + lost;
            let arrived = |quantile: f64| quantile * all as f64 / histogram.len() as f64;
            let at = |quantile: f64| (quantile, histogram.value_at_quantile(arrived(quantile)) as f64 * US_PER_NS);
            let quantiles = curve_quantiles(all).into_iter().filter(|quantile| arrived(*quantile) <= 1.0);
            Some((quantiles.map(at).collect(), Percentiles::of_histogram(&histogram, US_PER_NS, lost)))
        };
        let (corrected, percentiles) =
            of_tag(Some(hlog::CORRECTED)).or_else(|| of_tag(Some(hlog::CONNACK))).or_else(|| of_tag(None))?;
        let uncorrected = of_tag(Some(hlog::UNCORRECTED)).map(|(curve, _)| curve).unwrap_or_default();
        Some(Self { label: label.to_owned(), count: percentiles.count, corrected, uncorrected, percentiles })
    }

    /// A percentile of the pooled messages, where their count allows it and they arrived.
    fn pooled(&self, metric: Metric) -> Option<Pooled> {
        let name = match metric {
            Metric::LatencyP50 => "p50",
            Metric::LatencyP95 => "p95",
            Metric::LatencyP99 => "p99",
            Metric::LatencyP999 => "p999",
            _ => return None,
        };
        let interval = self.percentiles.ci95.get(name)?;
        let pooled =
            Pooled { value: self.percentiles.get(name)?, ci95: (interval.low?, interval.high?), count: self.count };
        (pooled.value.is_finite() && pooled.ci95.1.is_finite()).then_some(pooled)
    }
}

/// Quantiles at equal distances on the axis of nines, up to what the count allows.
fn curve_quantiles(count: u64) -> Vec<f64> {
    let nines_max = -(1.0 - order::highest_quantile(count)).log10();
    let steps = (nines_max * CURVE_POINTS_PER_NINE).floor().max(0.0) as u32;
    let mut quantiles: Vec<f64> =
        (0..=steps).map(|step| 1.0 - 10_f64.powf(-f64::from(step) / CURVE_POINTS_PER_NINE)).collect();
    quantiles.push(order::highest_quantile(count));
    quantiles
}

fn memory(experiment: &Experiment, measured: &[Measured], target: usize) -> MemoryFigures {
    let of_target: Vec<(u32, (f64, f64))> = experiment
        .points
        .iter()
        .zip(measured)
        .filter(|(point, m)| {
            let kind = experiment.steps[point.step].kind;
            point.target == target && kind.holds_connections(m.number(Metric::Disconnected))
        })
        .filter_map(|(point, m)| Some((point.repeat, (m.number(Metric::Connections)?, m.number(Metric::Rss)?))))
        .collect();
    let points: Vec<(f64, f64)> = of_target.iter().map(|(_, point)| *point).collect();
    let slope = |repeat: u32| {
        let of_repeat: Vec<(f64, f64)> =
            of_target.iter().filter(|(r, _)| *r == repeat).map(|(_, point)| *point).collect();
        Some(Line::through(&of_repeat)?.slope * MIB)
    };
    let slopes: Vec<f64> = (1..=experiment.repeats).filter_map(slope).collect();
    let line = Line::through(&points).map(|line| MemoryLine {
        bytes_per_connection: line.slope * MIB,
        baseline_mib: line.intercept,
        r_squared: line.r_squared,
        residual_mib_max: line.residual_max,
        bytes_error: slope_error(&points, &line).map(|error| error * MIB),
    });
    MemoryFigures {
        label: experiment.targets[target].label.clone(),
        points,
        line,
        bytes_per_connection: Estimate::of(&slopes),
    }
}

/// The usual standard error of a least-squares slope: spread of the residuals over spread of x.
fn slope_error(points: &[(f64, f64)], line: &Line) -> Option<f64> {
    let freedom = points.len().checked_sub(2).filter(|freedom| *freedom > 0)?;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / points.len() as f64;
    let xx: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    let residuals: f64 = points.iter().map(|p| (p.1 - line.at(p.0)).powi(2)).sum();
    Some((residuals / freedom as f64 / xx).sqrt())
}

const US_PER_NS: f64 = 1e-3;
const MIB: f64 = 1_048_576.0;
const CURVE_POINTS_PER_NINE: f64 = 40.0;
