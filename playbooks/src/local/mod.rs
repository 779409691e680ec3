//! The executor for this machine: plain processes, one step after the other.
//!
//! - [`step`]: one step from the broker's start to its end.
//! - [`child`]: a process that is stopped on every way out.
//! - [`gates`]: what must hold for a step to count.
//! - [`marks`]: phase marks and gate results as events.
//! - [`progress`]: what a person sees meanwhile.
//! - [`resume`]: going on with a run that was interrupted.
//! - [`signals`]: Ctrl-C and SIGTERM.
//! - [`site`]: the hosts of a step; this machine.

pub(crate) mod child;
pub(crate) mod gates;
mod marks;
mod progress;
pub(crate) mod resume;
mod signals;
pub(crate) mod site;
mod step;

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};

pub(crate) use self::child::set_apart;
pub(crate) use self::gates::{ANALYZE, analyze};
pub(crate) use self::signals::Signals;
pub(crate) use self::step::closing_time;

use self::gates::Gate;
use self::marks::Marks;
use self::progress::Progress;
use self::site::Site;
use crate::netns;
use crate::plan::{Plan, PlannedStep};

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Steps that ran to their end.
    pub(crate) steps_done: usize,
    /// Those of them that do not count.
    pub(crate) steps_failed: usize,
    /// The signal that ended the run early.
    pub(crate) interrupted_by: Option<i32>,
}

/// Runs every step that is not done yet, and calls `after_step` when one is over and its results are written. A step that fails is marked, and
/// the next one runs; an error means that the run cannot go on.
pub(crate) fn run(
    plan: &Plan,
    site: &mut dyn Site,
    signals: &Signals,
    after_step: &mut dyn FnMut(&PlannedStep) -> Result<()>,
) -> Result<Outcome> {
    let _held = keep_plan(plan)?;
    let mut outcome = Outcome::default();
    let mut marks = Marks::default();
    let mut progress = Progress::begin(plan);
    for planned in &plan.steps {
        if signals.stop_asked().is_some() {
            break;
        }
        if let Some(passed) = resume::done(planned) {
            progress.kept(planned, passed);
            outcome.steps_done += 1;
            outcome.steps_failed += usize::from(!passed);
            continue;
        }
        resume::clear(planned)?;
        progress.step(planned);
        marks.open(&planned.dir)?;
        let start = Instant::now();
        let gates = step::run(planned, &plan.steps, site, signals, &mut marks, &progress)?;
        let (failures, remarks) = (failures(&gates), remarks(&gates));
        if signals.stop_asked().is_some() {
            marks.note(planned, "interrupted", "the run was stopped during this step; what it measured is kept")?;
            after_step(planned)?;
            break;
        }
        marks.done(planned, failures.is_empty())?;
        progress.done(planned, start.elapsed(), &failures, &remarks);
        outcome.steps_done += 1;
        outcome.steps_failed += usize::from(!failures.is_empty());
        after_step(planned)?;
    }
    progress.finish();
    outcome.interrupted_by = signals.stop_asked();
    Ok(outcome)
}

/// What would make every step fail is found before the first one: programs that do not start, an unwritable directory.
pub(crate) fn preflight(plan: &Plan) -> Result<()> {
    let programs = Plan::program_paths(&plan.steps);
    let absent: Vec<&str> = programs.into_iter().filter(|program| !Path::new(program).is_file()).collect();
    if !absent.is_empty() {
        bail!("not on this machine: {}", absent.join(", "));
    }
    if !plan.hosts.is_empty() {
        netns::preflight(&plan.hosts)?;
    }
    if let Some(step) = plan.steps.iter().find(|step| connections_of(step) > plan.files_max) {
        let asked = connections_of(step);
        bail!(
            "step {} needs {asked} connections, and a process here may open {} files: raise `ulimit -n`, or lower the step",
            step.step,
            plan.files_max
        );
    }
    Ok(())
}

/// Connections that the step's processes hold.
pub(crate) fn connections_of(step: &PlannedStep) -> u64 {
    step.processes.iter().filter_map(|process| process.connections).sum()
}

fn failures(gates: &[Gate]) -> Vec<String> {
    let failed = gates.iter().filter_map(|gate| Some((gate, gate.failure.as_ref()?)));
    failed.map(|(gate, reason)| format!("{} {}: {reason}", gate.process, gate.name)).collect()
}

fn remarks(gates: &[Gate]) -> Vec<String> {
    gates.iter().filter_map(|gate| Some(format!("{}: {}", gate.name, gate.remark.as_ref()?))).collect()
}

/// The plan lies beside the results: what was meant to happen is part of what happened. The returned lock says that somebody
/// works in this directory.
pub(crate) fn keep_plan(plan: &Plan) -> Result<resume::Held> {
    let dir = Path::new(&plan.dir);
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let path = runlog::read::plan_path(dir);
    let held = resume::hold(&path)?;
    let text = serde_json::to_string_pretty(plan).context("a plan is always JSON")?;
    std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(claims) = &plan.claims {
        let path = runlog::read::claims_path(dir);
        std::fs::write(&path, claims).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(held)
}
