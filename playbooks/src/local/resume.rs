//! Going on with a run that was interrupted: which steps are done, and where the pieces of a step that is not go.
//!
//! A step is done when the events of its target's repeat say so, which is the last thing that is written of it. Everything else
//! that an interrupted step left is set aside, not deleted, and the step runs anew.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use runlog::{EventKind, Run, RunDir};

use super::marks::STEP_DONE;
use crate::plan::{Plan, PlannedStep};

/// A lock on an experiment's directory; released when dropped, also by the death of its holder.
pub(crate) struct Held {
    _lock: Flock<File>,
}

/// Locks the plan's file, which is made when it is absent.
pub(crate) fn hold(plan_path: &Path) -> Result<Held> {
    let file = File::options().create(true).append(true).open(plan_path);
    let file = file.with_context(|| format!("cannot create {}", plan_path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Held { _lock: lock }),
        Err((_, error)) => bail!("{}: another runner works there ({error})", plan_path.display()),
    }
}

/// An experiment that was begun by the same request and is not finished.
pub(crate) struct Unfinished {
    pub(crate) plan: Plan,
    pub(crate) steps_done: usize,
}

/// Looks for the newest experiment in `out` that `fresh` would repeat, and that can be gone on with: same request, same
/// programs, same start of the machine's kernel, no runner at work, steps left. Says why not where there is one that cannot.
pub(crate) fn unfinished(out: &Path, fresh: &Plan) -> Option<Result<Unfinished, String>> {
    let mut dirs: Vec<PathBuf> = fs::read_dir(out).ok()?.flatten().map(|entry| entry.path()).collect();
    dirs.retain(|dir| is_of(dir, &fresh.name));
    dirs.sort();
    let plan = dirs.iter().rev().find_map(|dir| same_request(dir, fresh))?;
    let steps_done = plan.steps.iter().filter(|step| done(step).is_some()).count();
    if steps_done == plan.steps.len() {
        return None;
    }
    Some(match obstacle(&plan, fresh) {
        Some(reason) => Err(format!("{} is not finished, and is not gone on with: {reason}", plan.dir)),
        None => Ok(Unfinished { plan, steps_done }),
    })
}

/// `<name>-<utc>`.
fn is_of(dir: &Path, name: &str) -> bool {
    let folder = dir.file_name().and_then(|folder| folder.to_str()).unwrap_or_default();
    folder.strip_prefix(name).is_some_and(|rest| rest.starts_with('-') && !rest[1..].contains('-'))
}

fn same_request(dir: &Path, fresh: &Plan) -> Option<Plan> {
    let value = runlog::read::plan(dir).ok().flatten()?;
    let plan: Plan = serde_json::from_value(value).ok()?;
    (plan.request == fresh.request).then_some(plan)
}

fn obstacle(plan: &Plan, fresh: &Plan) -> Option<String> {
    let path = runlog::read::plan_path(Path::new(&plan.dir));
    if let Err(error) = hold(&path) {
        return Some(format!("{error:#}"));
    }
    if plan.boot_id != fresh.boot_id {
        return Some("this machine was started anew since".into());
    }
    if plan.hosts != fresh.hosts {
        return Some("its hosts are not the same any more, or were started anew since".into());
    }
    let changed = plan.programs.iter().find(|(path, hash)| fresh.programs.get(*path) != Some(hash));
    changed.map(|(path, _)| format!("{path} has changed since"))
}

/// Whether a step is done; if so, whether it passed its gates.
pub(crate) fn done(step: &PlannedStep) -> Option<bool> {
    let events = Run::open(&step.dir).events().ok()?.value;
    let mut marks = events.iter().filter(|event| {
        event.kind == EventKind::Note && event.name == STEP_DONE && event.detail["step"] == step.step.as_str()
    });
    marks.next_back().and_then(|event| event.detail["passed"].as_bool())
}

/// Sets aside what an interrupted attempt at this step left: beside the step's marks, and where hosts of their own have theirs.
pub(crate) fn clear(step: &PlannedStep) -> Result<()> {
    let homes = step.processes.iter().filter_map(|process| Path::new(&process.run_dir).parent());
    let folders: BTreeSet<&Path> = homes.chain([Path::new(&step.dir)]).collect();
    folders.into_iter().filter(|folder| folder.is_dir()).try_for_each(|folder| clear_folder(step, folder))
}

fn clear_folder(step: &PlannedStep, dir: &Path) -> Result<()> {
    let run_dir = RunDir::reopen(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    let at = || format!("cannot set aside what an interrupted run left in {}", dir.display());
    let entries = fs::read_dir(dir).with_context(at)?;
    for name in entries.flatten().map(|entry| entry.file_name()) {
        if name.to_str().is_some_and(|name| is_run_of(name, step)) {
            run_dir.set_aside(Path::new(&name)).with_context(at)?;
        }
    }
    let checks = step.manifest.iter().chain(&step.smoke).map(|check| &check.log);
    let logs = step.processes.iter().map(|process| &process.log).chain(checks).chain([&step.broker.log]);
    for log in logs.filter_map(|log| Path::new(log).strip_prefix(dir).ok()).filter(|log| dir.join(log).exists()) {
        run_dir.set_aside(log).with_context(at)?;
    }
    run_dir.set_events_aside(|event| event.detail["step"] == step.step.as_str()).with_context(at)
}

/// Whether this is the name of a run directory of one of the step's processes, at any time.
fn is_run_of(name: &str, step: &PlannedStep) -> bool {
    let mut patterns = step.processes.iter().filter_map(|process| Path::new(&process.run_dir).file_name()?.to_str());
    patterns.any(|pattern| is_run_of_pattern(name, pattern))
}

/// Whether a planned name of a run directory can have become this one.
pub(super) fn is_run_of_pattern(name: &str, pattern: &str) -> bool {
    let Some((before, after)) = pattern.split_once("${UTC}") else { return name == pattern };
    let utc = name.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
    utc.is_some_and(|utc| runlog::clock::parse_utc(utc).is_some())
}
