//! A run as it was read: who it is of, its series, what the windows show, its events and its tool's own summary.
//!
//! `audit` and `claims` look at many runs from many sides; here each is read once. Runs of a playbook say in their metadata
//! which target, step and repeat they are of; the published ones say it in their tag ([`crate::tag`]).

use std::ops::Range;

use runlog::columns::TIME_UTC;
use runlog::{Event, Format, Role, Run, Summary, clock};

use crate::phases::{self, Span};
use crate::series::{Clock, Series};
use crate::summary::{self, RunSummary};
use crate::tag::Tag;

/// A run with everything that was in it.
pub struct Reading {
    /// The directory and its metadata.
    pub run: Run,
    /// `A` or `B`, where somebody said so.
    pub label: Option<String>,
    /// The broker under test.
    pub target: Option<String>,
    /// What was done: the same for all targets and repeats.
    pub step: String,
    /// Which repeat of the step, from 1.
    pub repeat: u32,
    /// Samples of the host and the target; `None` for a load tool's own run.
    pub series: Option<Series>,
    /// The run in a few windows.
    pub summary: Option<RunSummary>,
    /// The intervals with load, or those of the measured phase; all of them where there is neither.
    pub plateau: Range<usize>,
    /// Whether there was load or a measured phase at all.
    pub is_loaded: bool,
    /// The measured phase, where somebody marked it.
    pub measured: Option<Span>,
    /// What the tool wrote down as it went.
    pub events: Vec<Event>,
    /// What the tool says of its own run.
    pub tool: Option<Summary>,
    /// What could not be read, in words.
    pub unread: Vec<String>,
}

impl Reading {
    /// Reads a run; what cannot be read is told in [`Reading::unread`], and the rest is used.
    pub fn of(run: &Run) -> Self {
        let (label, target, step, repeat) = identity(run);
        let mut reading = Self {
            label,
            target,
            step,
            repeat,
            series: None,
            summary: None,
            plateau: 0..0,
            is_loaded: false,
            measured: phases::measured(run),
            events: Vec::new(),
            tool: None,
            unread: Vec::new(),
            run: run.clone(),
        };
        match run.summary() {
            Ok(tool) => reading.tool = tool,
            Err(error) => reading.unread.push(error.to_string()),
        }
        match run.events() {
            Ok(events) => reading.events = events.value,
            Err(error) => reading.unread.push(error.to_string()),
        }
        let is_load_tool = matches!(reading.tool, Some(Summary::Load(_) | Summary::Probe(_)))
            || run.meta.as_ref().is_some_and(|meta| meta.tool != summary::COLLECTOR);
        if run.raw_path().exists() || !is_load_tool {
            match Series::of_run(run) {
                Ok(series) => reading.take_series(series),
                Err(error) => reading.unread.push(format!("{error:#}")),
            }
        }
        reading
    }

    fn take_series(&mut self, series: Series) {
        let plateau = summary::plateau(&self.run, &series);
        self.is_loaded = plateau.is_some();
        self.plateau = plateau.unwrap_or(0..series.intervals.len());
        match summary::of_series(&self.run, &series) {
            Ok(summary) => self.summary = Some(summary),
            Err(error) => self.unread.push(format!("{error:#}")),
        }
        self.series = Some(series);
    }

    /// The file of samples, as text.
    pub fn raw_file(&self) -> String {
        self.run.raw_path().display().to_string()
    }

    /// Whether the run samples the broker's host.
    pub fn is_broker(&self) -> bool {
        self.run.role == Role::Broker && self.series.is_some()
    }

    /// Whether the published tools wrote it.
    pub fn is_published(&self) -> bool {
        self.run.format == Format::Guide || self.series.as_ref().is_some_and(|s| s.clock == Clock::WholeSeconds)
    }

    /// Target and step as a reader would name them.
    pub fn name(&self) -> String {
        match &self.target {
            Some(target) => format!("{target} {}", self.step),
            None => self.run.tag.clone(),
        }
    }

    /// The UTC second at this time since the first sample.
    pub fn utc_at(&self, since_s: f64) -> Option<String> {
        let begin_s = clock::parse_utc(self.series.as_ref()?.table.texts(TIME_UTC)?.first()?)?;
        let at_s = begin_s as f64 + since_s.max(0.0);
        Some(clock::utc_text(at_s as u64 * clock::NS_PER_S))
    }
}

/// Label, target, step and repeat of a run.
fn identity(run: &Run) -> (Option<String>, Option<String>, String, u32) {
    if let Some(context) = &run.context {
        return (Some(context.label.clone()), Some(context.target.clone()), context.step.clone(), context.repeat);
    }
    match Tag::parse(&run.tag) {
        Some(tag) => (Some(tag.label.to_owned()), Some(tag.target.to_owned()), tag.step.to_owned(), tag.repeat),
        None => (None, None, run.tag.clone(), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity_of(name: &str) -> (Option<String>, Option<String>, String, u32) {
        identity(&Run::open(std::path::Path::new("nowhere").join(name)))
    }

    #[test]
    fn a_published_tag_tells_target_step_and_repeat() {
        let of = |label: &str, target: &str, step: &str, repeat| {
            (Some(label.to_owned()), Some(target.to_owned()), step.to_owned(), repeat)
        };
        assert_eq!(
            identity_of("broker-A-axmq-qos0-256-1to10-run2-20251230T135910Z"),
            of("A", "axmq", "qos0-256-1to10", 2)
        );
        assert_eq!(
            identity_of("broker-B-emqx-c1m-conn100k-idle-20251230T135910Z"),
            of("B", "emqx", "c1m-conn100k-idle", 1)
        );
        assert_eq!(identity_of("broker-mine-20251230T135910Z"), (None, None, "mine".to_owned(), 1));
    }
}
