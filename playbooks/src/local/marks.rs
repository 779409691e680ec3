//! The phase marks and gate results of a target's repeat: its events file, beside the run directories.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use runlog::write::EventLog;
use runlog::{Edge, Event, EventKind, RunDir};
use serde_json::json;

use super::gates::Gate;
use crate::plan::{Phase, PlannedStep};

/// Name of the event that a step ran to its end.
pub(super) const STEP_DONE: &str = "step-done";

/// The events files that are open, by directory.
#[derive(Default)]
pub(super) struct Marks {
    logs: BTreeMap<String, EventLog>,
}

impl Marks {
    /// Opens the file of this directory, if it is not open yet.
    pub(super) fn open(&mut self, dir: &str) -> Result<()> {
        if !self.logs.contains_key(dir) {
            let log = RunDir::reopen(dir).and_then(|run| run.events());
            self.logs.insert(dir.to_owned(), log.with_context(|| format!("cannot begin the events of {dir}"))?);
        }
        Ok(())
    }

    /// Begin or end of a phase.
    pub(super) fn phase(&mut self, step: &PlannedStep, phase: Phase, edge: Edge) -> Result<Event> {
        let detail = json!({"step": step.step, "phase": phase.as_str()});
        let event = Event::now(EventKind::Phase, phase.as_str()).edge(edge).detail(detail);
        self.append(step, &event)?;
        Ok(event)
    }

    /// The verdict of a gate.
    pub(super) fn gate(&mut self, step: &PlannedStep, gate: &Gate) -> Result<()> {
        let detail = json!({
            "step": step.step, "process": gate.process, "passed": gate.failure.is_none(), "reason": gate.failure,
            "remark": gate.remark,
        });
        self.append(step, &Event::now(EventKind::Gate, gate.name).detail(detail))
    }

    /// The step ran to its end: a run that goes on does not repeat it.
    pub(super) fn done(&mut self, step: &PlannedStep, passed: bool) -> Result<()> {
        let detail = json!({"step": step.step, "passed": passed});
        self.append(step, &Event::now(EventKind::Note, STEP_DONE).detail(detail))
    }

    /// What was found before the step began, or something done to a process in its course, with its facts.
    pub(super) fn fact(&mut self, step: &PlannedStep, name: &str, mut facts: serde_json::Value) -> Result<()> {
        facts["step"] = step.step.clone().into();
        self.append(step, &Event::now(EventKind::Note, name).detail(facts))
    }

    /// Anything else worth keeping.
    pub(super) fn note(&mut self, step: &PlannedStep, name: &str, text: &str) -> Result<()> {
        self.append(step, &Event::now(EventKind::Note, name).detail(json!({"step": step.step, "text": text})))
    }

    fn append(&mut self, step: &PlannedStep, event: &Event) -> Result<()> {
        let log = self.logs.get_mut(&step.dir).expect("the step's directory was opened before its first event");
        log.append(event).with_context(|| format!("cannot note an event in {}", step.dir))
    }
}
