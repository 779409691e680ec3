//! What a person sees while it runs: a bar on a terminal, plain lines elsewhere. On standard error; the results go to
//! standard output.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::plan::{Phase, Plan, PlannedStep};

/// The progress of one run.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    /// On a serial console, the only window of a machine: a line for each phase, so that somebody who waits sees where it is.
    says_phases: bool,
    steps: usize,
    done: usize,
}

impl Progress {
    /// Begins with nothing done.
    pub(super) fn begin(plan: &Plan) -> Self {
        // A serial console is a terminal too, but one that only takes lines.
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let bar = (std::io::stderr().is_terminal() && !is_dumb).then(|| bar(plan.steps.len() as u64));
        Self { bar, says_phases: is_dumb, steps: plan.steps.len(), done: 0 }
    }

    /// A step begins.
    pub(super) fn step(&self, step: &PlannedStep) {
        if let Some(bar) = &self.bar {
            bar.set_message(step.label());
        }
    }

    /// A phase of the current step begins.
    pub(super) fn phase(&self, step: &PlannedStep, phase: Phase) {
        let text = format!("{}: {}", step.label(), phase.as_str());
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.says_phases => eprintln!("{text}"),
            None => {}
        }
    }

    /// The current step is done; `failures` are the reasons why it does not count, `remarks` what to know although it does.
    pub(super) fn done(&mut self, step: &PlannedStep, took: Duration, failures: &[String], remarks: &[String]) {
        self.done += 1;
        let verdict = if failures.is_empty() { "ok".to_owned() } else { format!("FAILED: {}", failures.join("; ")) };
        let line =
            format!("[{:>2}/{}] {:<32} {:>5.1} s  {verdict}", self.done, self.steps, step.label(), took.as_secs_f64());
        self.line(&line);
        for remark in remarks {
            self.say(&format!("{:>8}note: {remark}", ""));
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => eprintln!("{text}"),
        }
    }

    fn line(&self, line: &str) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
        self.say(line);
    }

    /// A step was done by a run that this one goes on with.
    pub(super) fn kept(&mut self, step: &PlannedStep, passed: bool) {
        self.done += 1;
        let verdict = if passed { "ok" } else { "FAILED" };
        self.line(&format!("[{:>2}/{}] {:<32} kept: {verdict}", self.done, self.steps, step.label()));
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{elapsed_precise} [{bar:32}] {pos}/{len} {msg}");
    let bar =
        ProgressBar::new(steps).with_style(style.expect("the template is a constant and valid").progress_chars("=> "));
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
