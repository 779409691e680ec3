//! An experiment as found on disk: which steps against which targets how often, and what became of each point.
//!
//! A *point* is one step against one target in one repeat. The plan that a playbook leaves beside the runs says which points
//! there should be; without it every combination of what was found is expected. A point fails when a gate failed, when a tool
//! gave up, or when nothing was run, and then it has reasons and no figures.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use runlog::name::repeat_directory_name;
use runlog::write::CounterRow;
use runlog::{Event, EventKind, LoadSummary, ProbeSummary, Run, Summary, Warning};
use serde::Serialize;
use serde_json::Value;

use super::configuration::{self, Configuration};
use super::plain;
use crate::phases::{self, MEASURE, Span};

/// Everything that was found of one experiment.
pub struct Experiment {
    /// Its directory.
    pub dir: PathBuf,
    /// Its name.
    pub name: String,
    /// Whether no playbook started the runs: there is no plan, and nobody marked phases or judged gates.
    pub is_plain: bool,
    /// What the plan says of it.
    pub plan: PlanText,
    /// The brokers, by label.
    pub targets: Vec<Target>,
    /// The steps in the order of the plan, or of time.
    pub steps: Vec<Step>,
    /// Repeats per step.
    pub repeats: u32,
    /// Every step against every target in every repeat.
    pub points: Vec<Point>,
    /// How the brokers were set up.
    pub configurations: Vec<Configuration>,
    /// What was wrong with files.
    pub warnings: Vec<Warning>,
}

/// The words of a plan.
#[derive(Debug, Default, Serialize)]
pub struct PlanText {
    /// Headline.
    pub title: Option<String>,
    /// What the experiment is for.
    pub purpose: Option<String>,
    /// Whose method it follows.
    pub sources: Vec<String>,
    /// What its author says against it.
    pub caveats: Vec<String>,
    /// What was changed of what was asked for, and why.
    pub notes: Vec<String>,
    /// The commit of the checkout that the tools were built from.
    pub commit: Option<String>,
}

/// A broker of the comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Target {
    /// `A` or `B`.
    pub label: String,
    /// Name in directories.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// What it says of its version.
    pub version: Option<String>,
    /// Path of its executable.
    pub exe: Option<String>,
    /// SHA-256 of the executable.
    pub sha256: Option<String>,
    /// Command lines that it was started with.
    pub argv: Vec<String>,
}

/// A step of the experiment.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Name, such as `fan-q1`.
    pub name: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// What kind of figures it gives.
    pub kind: StepKind,
    /// Something is meant to change in its measure phase (`steady = "off"` in the plan), so that a trend is no finding.
    pub is_to_change: bool,
}

/// What a step loads the broker with, which decides what it can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// Nobody connects.
    Idle,
    /// Connections that only live.
    Connections,
    /// Probes.
    Latency,
    /// Messages.
    Throughput,
}

impl StepKind {
    /// Whether connections were held and little else was done, so that the broker's memory is theirs. Probes go beside
    /// connections that an experiment may also cut off: those have no level. `lost`: how many ended meanwhile, where known.
    pub fn holds_connections(self, lost: Option<f64>) -> bool {
        match self {
            Self::Idle | Self::Connections => true,
            Self::Latency => lost == Some(0.0),
            Self::Throughput => false,
        }
    }
}

/// One step against one target in one repeat.
pub struct Point {
    /// Index into [`Experiment::steps`].
    pub step: usize,
    /// Index into [`Experiment::targets`].
    pub target: usize,
    /// From 1.
    pub repeat: u32,
    /// The measure phase, by the clocks of who marked it.
    pub measured: Option<Span>,
    /// The same by the clocks of the run's host, where runs come from several.
    pub measured_there: BTreeMap<PathBuf, Span>,
    /// Samples of the broker's process and host.
    pub broker: Option<Run>,
    /// Load tools with their summaries.
    pub loads: Vec<Load>,
    /// The prober with its summary.
    pub prober: Option<(Run, ProbeSummary)>,
    /// Runs that the figures do not need, such as samples of the load tools' processes.
    pub others: Vec<Run>,
    /// What the runner noted of the point: phases, gates, errors.
    pub events: Vec<Event>,
    /// Why the point does not count; empty when it does.
    pub failures: Vec<String>,
}

/// A load tool's run.
pub struct Load {
    /// The directory.
    pub run: Run,
    /// What the tool says of it.
    pub summary: LoadSummary,
}

impl Point {
    /// The loads of a mode: `conn`, `sub`, `pub`.
    pub fn loads<'a>(&'a self, mode: &'a str) -> impl Iterator<Item = &'a Load> {
        self.loads.iter().filter(move |load| load.summary.mode == mode)
    }

    /// The measure phase by the clocks that stamped a run.
    pub fn measured_of(&self, run: &Run) -> Option<Span> {
        self.measured_there.get(&run.path).copied().or(self.measured)
    }

    /// A moment by the clocks that stamped a run, by those of who marked the phases.
    pub fn mono_ns_of(&self, run: &Run, mono_ns: u64) -> u64 {
        match (self.measured, self.measured_of(run)) {
            (Some(ours), Some(theirs)) => {
                let moved = i128::from(mono_ns) - i128::from(theirs.begin_mono_ns) + i128::from(ours.begin_mono_ns);
                u64::try_from(moved).unwrap_or(0)
            }
            _ => mono_ns,
        }
    }

    /// Rows of a run's counters with their monotonic stamps by the clock of who marked the phases.
    pub fn by_one_clock(&self, run: &Run, mut rows: Vec<CounterRow>) -> Vec<CounterRow> {
        rows.iter_mut().for_each(|row| row.mono_ns = self.mono_ns_of(run, row.mono_ns));
        rows
    }

    /// Every run of the point.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        let prober = self.prober.iter().map(|(run, _)| run);
        self.broker.iter().chain(self.loads.iter().map(|load| &load.run)).chain(prober).chain(&self.others)
    }
}

impl Experiment {
    /// Reads the experiment in `dir`.
    ///
    /// # Errors
    /// When there is no run, or several experiments.
    pub fn load(dir: &Path, runs: Vec<Run>) -> Result<Self> {
        let (mut runs, mut strangers): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.context.is_some());
        let is_plain = runs.is_empty();
        if is_plain {
            runs = std::mem::take(&mut strangers);
            plain::give_contexts(&folder_name(dir), &mut runs);
        }
        let dir = if is_plain { dir.to_owned() } else { experiment_dir(dir, &runs)? };
        let plan = runlog::read::plan(&dir).context("the plan beside the runs cannot be used")?.unwrap_or_default();
        let mut warnings: Vec<Warning> = runs.iter().flat_map(|run| run.warnings.clone()).collect();
        warnings.extend(strangers.iter().map(|run| Warning {
            file: run.path.clone(),
            line: None,
            message: "belongs to no experiment (its metadata has no context): left out of the report".to_owned(),
        }));
        let targets = targets(&plan, &runs);
        let steps = steps(&plan, &runs);
        let contexts = runs.iter().filter_map(|run| run.context.as_ref());
        let planned = plan_steps(&plan).filter_map(|step| step.get("repeat")?.as_u64());
        let repeats = contexts.map(|c| c.repeat).chain(planned.map(|r| r as u32)).max().unwrap_or(1);
        let name =
            text(&plan, "experiment").or(runs.first().and_then(|run| Some(run.context.as_ref()?.experiment.clone())));
        let mut experiment = Self {
            name: name.unwrap_or_default(),
            is_plain,
            plan: PlanText::of(&plan),
            targets,
            steps,
            repeats,
            points: Vec::new(),
            configurations: Vec::new(),
            warnings,
            dir,
        };
        experiment.fill_points(runs);
        experiment.configurations = configuration::of(&experiment, &plan);
        Ok(experiment)
    }

    /// The points of a step and target, by repeat.
    pub fn points_of(&self, step: usize, target: usize) -> impl Iterator<Item = &Point> {
        self.points.iter().filter(move |point| point.step == step && point.target == target)
    }

    fn fill_points(&mut self, runs: Vec<Run>) {
        for step in 0..self.steps.len() {
            for target in 0..self.targets.len() {
                for repeat in 1..=self.repeats {
                    let point = Point {
                        step,
                        target,
                        repeat,
                        measured: None,
                        measured_there: BTreeMap::new(),
                        broker: None,
                        loads: Vec::new(),
                        prober: None,
                        others: Vec::new(),
                        events: Vec::new(),
                        failures: Vec::new(),
                    };
                    self.points.push(point);
                }
            }
        }
        for run in runs {
            self.file(run);
        }
        for index in 0..self.points.len() {
            self.judge(index);
        }
    }

    /// Puts a run into its point.
    fn file(&mut self, run: Run) {
        let context = run.context.clone().expect("runs without a context were left out");
        let is_point = |point: &&mut Point| {
            self.steps[point.step].name == context.step
                && self.targets[point.target].label == context.label
                && point.repeat == context.repeat
        };
        let point = self.points.iter_mut().find(is_point).expect("points cover the contexts of all runs");
        if let Some(span) = phases::measured(&run) {
            point.measured = point.measured.or(Some(span));
            if context.host.is_some() {
                point.measured_there.insert(run.path.clone(), span);
            }
        }
        let tool = run.meta.as_ref().map(|meta| meta.tool.clone()).unwrap_or_default();
        match run.summary() {
            Ok(Some(Summary::Load(summary))) => point.loads.push(Load { run, summary: *summary }),
            Ok(Some(Summary::Probe(summary))) => point.prober = Some((run, *summary)),
            Ok(Some(Summary::Collect(_))) if run.role == runlog::Role::Broker => point.broker = Some(run),
            Ok(Some(Summary::Collect(_) | Summary::Other(_))) => point.others.push(run),
            Ok(None) if run.role == runlog::Role::Broker => point.broker = Some(run),
            Ok(None) if run.meta.is_none() => point.others.push(run),
            Ok(None) => point.failures.push(format!("{tool} {}: no summary, it was stopped before its end", run.tag)),
            Err(error) => point.failures.push(error.to_string()),
        }
    }

    /// Adds the reasons for which a point does not count.
    fn judge(&mut self, index: usize) {
        let (step, target) = (&self.steps[self.points[index].step].name, &self.targets[self.points[index].target].name);
        let beside = self.dir.join(repeat_directory_name(target, self.points[index].repeat));
        let events = match Run::open(&beside).events() {
            Ok(loaded) if !self.is_plain => {
                self.warnings.extend(loaded.warnings);
                loaded.value
            }
            _ => Vec::new(),
        };
        let of_step: Vec<&Event> =
            events.iter().filter(|event| phases::detail(event, "step") == Some(step.as_str())).collect();
        let point = &mut self.points[index];
        point.events = of_step.iter().map(|event| (*event).clone()).collect();
        point.measured = phases::span(&events, MEASURE, Some(step)).or(point.measured);
        let own = own_failures(point);
        let is_judged = of_step.iter().any(|event| event.kind == EventKind::Gate);
        if !is_judged {
            point.failures.extend(own);
        }
        point.failures.extend(of_step.iter().filter_map(|event| failure(event)));
        if point.runs().next().is_none() && point.failures.is_empty() {
            point.failures.push("not run: there is no run directory of this point".to_owned());
        }
        let mut seen = BTreeSet::new();
        point.failures.retain(|reason| seen.insert(reason.clone()));
    }
}

impl PlanText {
    fn of(plan: &Value) -> Self {
        let list = |key: &str| {
            let items = plan.get(key).and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
        };
        Self {
            title: text(plan, "title"),
            purpose: text(plan, "purpose"),
            sources: list("sources"),
            caveats: list("caveats"),
            notes: list("notes"),
            commit: text(plan, "commit"),
        }
    }
}

/// The one experiment that the runs belong to: the directory above the targets' directories.
fn experiment_dir(dir: &Path, runs: &[Run]) -> Result<PathBuf> {
    let homes: BTreeSet<&Path> = runs.iter().filter_map(home).collect();
    let mut homes = homes.into_iter();
    match (homes.next(), homes.next()) {
        (None, _) => bail!("{}: the runs lie in no directory of an experiment", dir.display()),
        (Some(home), None) => Ok(home.to_owned()),
        (Some(first), Some(second)) => {
            let all: Vec<String> =
                [first, second].into_iter().chain(homes).map(|home| home.display().to_string()).collect();
            bail!("{} holds {} experiments: give one of {}", dir.display(), all.len(), all.join(", "))
        }
    }
}

/// The directory of the experiment that a run belongs to: a run of one of several hosts lies a folder deeper.
fn home(run: &Run) -> Option<&Path> {
    let host = run.context.as_ref().and_then(|context| context.host.as_deref());
    let folder = run.path.parent()?;
    let is_of_host = host.is_some() && folder.file_name().and_then(|name| name.to_str()) == host;
    let repeat = if is_of_host { folder.parent()? } else { folder };
    repeat.parent()
}

/// The last part of a path that has a name; "runs" when none has.
fn folder_name(dir: &Path) -> String {
    let full = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    full.file_name().map_or_else(|| "runs".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn targets(plan: &Value, runs: &[Run]) -> Vec<Target> {
    let planned = plan.get("targets").and_then(Value::as_array).into_iter().flatten();
    let mut targets: Vec<Target> = planned
        .map(|target| Target {
            label: text(target, "label").unwrap_or_default(),
            name: text(target, "name").unwrap_or_default(),
            title: text(target, "title").or(text(target, "name")).unwrap_or_default(),
            version: text(target, "version"),
            exe: text(target, "exe"),
            sha256: text(target, "sha256"),
            argv: Vec::new(),
        })
        .collect();
    for run in runs {
        let context = run.context.as_ref().expect("only runs with a context get here");
        if !targets.iter().any(|target| target.label == context.label) {
            let (label, name) = (context.label.clone(), context.target.clone());
            targets.push(Target { label, title: name.clone(), name, ..Target::default() });
        }
        let target = targets.iter_mut().find(|target| target.label == context.label).expect("it was just added");
        if let Some(process) =
            run.meta.as_ref().and_then(|meta| meta.process.as_ref()).filter(|_| run.role == runlog::Role::Broker)
        {
            target.version = target.version.take().or_else(|| process.version.clone());
            target.exe = target.exe.take().or_else(|| process.exe.clone());
            target.sha256 = target.sha256.take().or_else(|| process.sha256.clone());
            let argv = process.argv.join(" ");
            if !target.argv.contains(&argv) {
                target.argv.push(argv);
            }
        }
    }
    targets.sort_by(|a, b| a.label.cmp(&b.label));
    targets
}

fn steps(plan: &Value, runs: &[Run]) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for planned in plan_steps(plan) {
        let Some(name) = text(planned, "step") else { continue };
        if !steps.iter().any(|step| step.name == name) {
            let is_to_change = planned.get("steady").and_then(Value::as_str) == Some("off");
            let (purpose, kind) = (text(planned, "purpose"), planned_kind(planned));
            steps.push(Step { name, purpose, kind, is_to_change });
        }
    }
    let mut by_time: Vec<&Run> = runs.iter().collect();
    by_time.sort_by_key(|run| run.utc.unwrap_or(u64::MAX));
    for run in by_time {
        let context = run.context.as_ref().expect("only runs with a context get here");
        let kind = run_kind(run);
        match steps.iter_mut().find(|step| step.name == context.step) {
            Some(step) => step.kind = step.kind.max(kind),
            None => steps.push(Step { name: context.step.clone(), purpose: None, kind, is_to_change: false }),
        }
    }
    steps
}

fn planned_kind(step: &Value) -> StepKind {
    let processes = step.get("processes").and_then(Value::as_array).into_iter().flatten();
    let kind = |process: &Value| match (
        process.get("kind").and_then(Value::as_str),
        process.get("argv").and_then(|argv| argv.get(1)?.as_str()),
    ) {
        (Some("prober"), _) => StepKind::Latency,
        (Some("loadgen"), Some("conn")) => StepKind::Connections,
        (Some("loadgen"), _) => StepKind::Throughput,
        _ => StepKind::Idle,
    };
    processes.map(kind).max().unwrap_or(StepKind::Idle)
}

fn run_kind(run: &Run) -> StepKind {
    match run.summary() {
        Ok(Some(Summary::Load(load))) if load.mode == "conn" => StepKind::Connections,
        Ok(Some(Summary::Load(_))) => StepKind::Throughput,
        Ok(Some(Summary::Probe(_))) => StepKind::Latency,
        _ if run.format == runlog::Format::Guide || run.meta.is_none() => {
            plain::kind(run.context.as_ref().map_or("", |context| context.step.as_str()))
        }
        _ => StepKind::Idle,
    }
}

fn plan_steps(plan: &Value) -> impl Iterator<Item = &Value> {
    plan.get("steps").and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

/// What the tools' own summaries say against a point, where no runner has judged it.
fn own_failures(point: &Point) -> Vec<String> {
    let mut failures = Vec::new();
    for Load { summary, .. } in &point.loads {
        if !summary.ok {
            failures.push(format!("loadgen {}: {}", summary.mode, reasons(&summary.failures)));
        }
        if summary.generator_limited {
            failures.push(format!("loadgen {}: the generator could not keep its own plan", summary.mode));
        }
    }
    if let Some((_, summary)) = point.prober.as_ref().filter(|(_, summary)| !summary.ok) {
        failures.push(format!("prober: {}", reasons(&summary.failures)));
    }
    failures
}

fn reasons(failures: &[String]) -> String {
    if failures.is_empty() { "failed without a reason".to_owned() } else { failures.join("; ") }
}

/// What a gate that passed says nevertheless.
pub fn remark(event: &Event) -> Option<String> {
    let text = phases::detail(event, "remark").filter(|_| event.kind == EventKind::Gate)?;
    let process = phases::detail(event, "process").unwrap_or_default();
    Some(format!("{process} {}: {text}", event.name).trim_start().to_owned())
}

/// What an event of the runner says against a point.
pub fn failure(event: &Event) -> Option<String> {
    let reason = phases::detail(event, "reason").or(phases::detail(event, "text"));
    let is_interrupted = event.kind == EventKind::Note && event.name == "interrupted";
    match event.kind {
        EventKind::Gate if event.detail.get("passed").and_then(Value::as_bool) == Some(false) => {
            let process = phases::detail(event, "process").unwrap_or_default();
            Some(format!("{process} {}: {}", event.name, reason.unwrap_or("failed")).trim_start().to_owned())
        }
        EventKind::Error => Some(format!("{}: {}", event.name, reason.unwrap_or("error"))),
        EventKind::Note if is_interrupted => Some(format!("interrupted: {}", reason.unwrap_or("the run was stopped"))),
        _ => None,
    }
}
