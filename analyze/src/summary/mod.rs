//! `analyze summary`: one run in a few windows.
//!
//! - [`window`]: the figures of a window, how sure they are, and how much they hang on where it begins and ends.
//! - [`script`]: the rows that the published script makes of a file, odd ones included.
//! - [`deliveries`]: what the subscribers beside a run received meanwhile.
//! - [`render`]: Markdown and CSV.
//!
//! The three published rules are computed as published, from rates between successive samples (`docs/methodology.md`). The
//! fourth window, `plateau`, is ours: the measured phase where somebody marked it, else the steady part of the load that is
//! found in the data; a rate in it is the counter's difference over the elapsed time, and a level is a median.

pub mod deliveries;
pub mod render;
pub mod script;
pub mod window;

use std::ops::Range;

use anyhow::Result;
use runlog::columns;
use runlog::{Run, Warning};
use serde::Serialize;

use crate::phases;
use crate::series::{Clock, Series};
use crate::stats::changes::steady_load;
use crate::stats::{Rule, median};
use crate::tag::Tag;

pub use render::{csv, markdown};
pub use window::Window;
use window::{Centre, Rows};

/// One run in a few windows. The JSON form of this is stable: fields are added, never renamed or removed.
#[derive(Debug, Clone, Serialize)]
pub struct RunSummary {
    /// The run directory.
    pub dir: String,
    /// `broker`, `loadgen` or `prober`.
    pub role: String,
    /// What tells the run from its neighbours.
    pub tag: String,
    /// The broker under test, as far as metadata or tag name it.
    pub target: Option<String>,
    /// Rows of the run.
    pub samples: usize,
    /// Time from the first to the last sample, s.
    pub duration_s: f64,
    /// The true distance of two samples: duration over intervals, s.
    pub period_s: f64,
    /// What the windows show.
    pub windows: Windows,
    /// What a reader should know before using the figures.
    pub doubts: Vec<Doubt>,
}

/// The figures of a run by window.
#[derive(Debug, Clone, Serialize)]
pub struct Windows {
    /// Median of the rates of the last 60 s.
    pub tail60: Window,
    /// Median of the last 60 rates.
    pub rows60: Window,
    /// Mean of the rates from 20 % to 90 %.
    #[serde(rename = "trim20-90")]
    pub trim20_90: Window,
    /// Ours.
    pub plateau: Window,
}

impl Windows {
    /// Name and figures of each window.
    pub fn named(&self) -> [(&'static str, &Window); 4] {
        [("tail60", &self.tail60), ("rows60", &self.rows60), ("trim20-90", &self.trim20_90), (PLATEAU, &self.plateau)]
    }
}

/// A reason to look twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Doubt {
    /// Which kind; stable.
    pub code: &'static str,
    /// What it is about, with figures.
    pub message: String,
}

/// Reads a run and sums it up; the warnings are about its file.
///
/// # Errors
/// When its raw.csv cannot be read or is no series. A run that has none (a load tool's own) has empty windows and a doubt.
pub fn of_run(run: &Run) -> Result<(RunSummary, Vec<Warning>)> {
    let raw = run.raw_path();
    if !raw.exists() && run.meta.as_ref().is_some_and(|meta| meta.tool != COLLECTOR) {
        let message = "no raw.csv: this is a load tool's own run, whose figures are in its summary.json".to_owned();
        let no_raw = vec![Doubt { code: "no-raw", message }];
        return Ok((identified(run, None, no_raw), Vec::new()));
    }
    let series = Series::of_run(run)?;
    let summary = of_series(run, &series)?;
    Ok((summary, series.warnings))
}

/// Sums up a run whose samples have been read.
///
/// # Errors
/// The published rules read the file once more, and it cannot be read now.
pub fn of_series(run: &Run, series: &Series) -> Result<RunSummary> {
    let [tail60, rows60, trim20_90] = published(series)?;
    let (found, ours) = (plateau(run, series), Rows::of_series(series));
    let range = found.clone().unwrap_or(0..series.intervals.len());
    let mut plateau = Window::of(&ours, range.clone(), Centre::OverTime);
    plateau.take_deliveries(deliveries::per_s(run, series, range));
    let windows = Windows { tail60, rows60, trim20_90, plateau };
    let mut doubts = time_doubts(series);
    if found.is_none() {
        doubts.push(Doubt { code: "no-load", message: "no load found: plateau is the whole run".to_owned() });
    }
    doubts.extend(window_doubts(&windows, series.clock));
    doubts.extend(series.warnings.iter().map(|w| Doubt { code: "input", message: w.to_string() }));
    let mut summary = identified(run, Some((series, windows)), doubts);
    summary.samples = series.table.rows();
    Ok(summary)
}

/// The three published windows. Files with whole seconds are read as the published script reads them; those with
/// nanoseconds, which it could not, by their true intervals.
fn published(series: &Series) -> Result<[Window; 3]> {
    let rows = match series.clock {
        Clock::WholeSeconds => script::rows(&series.table.paths())?,
        Clock::Monotonic => Rows::of_series(series),
    };
    let of = |rule: Rule| {
        let centre = if rule == Rule::Trim20To90 { Centre::Mean } else { Centre::Median };
        Window::of(&rows, rule.rows(&rows.to_s), centre)
    };
    Ok(Rule::ALL.map(of))
}

/// The target's name: what the playbook said, else the tag.
pub fn target(run: &Run) -> Option<String> {
    match &run.context {
        Some(context) => Some(context.target.clone()),
        None => Tag::parse(&run.tag).map(|tag| tag.target.to_owned()),
    }
}

/// The intervals of the measured phase, or of the load where no phase is marked; `None` when there is neither.
pub fn plateau(run: &Run, series: &Series) -> Option<Range<usize>> {
    if let Some(span) = phases::measured(run) {
        let rows = series.intervals_between(span.begin_mono_ns, span.end_mono_ns);
        if !rows.is_empty() {
            return Some(rows);
        }
    }
    loaded(series)
}

/// The intervals of the steady part of the load, by packets in both directions; `None` when there is none.
pub fn loaded(series: &Series) -> Option<Range<usize>> {
    let (received, sent) = (series.rates(columns::RX_PACKETS)?, series.rates(columns::TX_PACKETS)?);
    let load: Vec<f64> = received.iter().zip(sent).map(|(rx, tx)| rx + tx).collect();
    steady_load(&load, IDLE_PACKETS_PER_S)
}

/// The same from when the clients have joined on.
pub fn loaded_and_joined(series: &Series) -> Option<Range<usize>> {
    let rows = loaded(series)?;
    let levels = series.levels(columns::TCP_ESTAB).unwrap_or_default();
    Some(joined(levels.get(rows.clone()).unwrap_or_default()) + rows.start..rows.end)
}

/// How many intervals of a load are ramp (F21 of `docs/methodology.md`): those before the connections first reach the level that
/// the fuller quarter of the load has. 0 where too little would be left.
fn joined(levels: &[f64]) -> usize {
    let mut sorted: Vec<f64> = levels.iter().copied().filter(|level| level.is_finite()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    // A few that come late, or twice, must not move the begin to the end.
    let Some(full) = sorted.get(sorted.len() * 3 / 4) else { return 0 };
    let begin = levels.iter().position(|level| *level >= JOINED_SHARE * full).unwrap_or(0);
    if levels.len() - begin < JOINED_ROWS_MIN { 0 } else { begin }
}

fn identified(run: &Run, found: Option<(&Series, Windows)>, doubts: Vec<Doubt>) -> RunSummary {
    let duration_s = found.as_ref().map_or(0.0, |(series, _)| series.duration_s());
    let intervals = found.as_ref().map_or(0, |(series, _)| series.intervals.len());
    let empty = || Windows {
        tail60: Window::default(),
        rows60: Window::default(),
        trim20_90: Window::default(),
        plateau: Window::default(),
    };
    RunSummary {
        dir: run.path.display().to_string(),
        role: run.role.to_string(),
        tag: run.tag.clone(),
        target: target(run),
        samples: 0,
        duration_s,
        period_s: if intervals > 0 { duration_s / intervals as f64 } else { 0.0 },
        windows: found.map_or_else(empty, |(_, windows)| windows),
        doubts,
    }
}

fn time_doubts(series: &Series) -> Vec<Doubt> {
    let lengths: Vec<f64> = series.intervals.iter().map(|i| i.dt_s).collect();
    let period_s = series.duration_s() / lengths.len() as f64;
    let usual_s = median(&lengths).unwrap_or(period_s);
    let bias = 100.0 * (period_s / usual_s - 1.0);
    if series.clock == Clock::Monotonic || bias.abs() < 1.0 {
        return Vec::new();
    }
    let usual = lengths.iter().filter(|dt| **dt == usual_s).count();
    let message = format!(
        "stamps are whole seconds and the true period is {period_s:.3} s: {usual} of {} intervals look like {usual_s:.0} s, \
         so their rates are off by {bias:+.0} %, and a median picks those",
        lengths.len()
    );
    vec![Doubt { code: "whole-second-stamps", message }]
}

fn window_doubts(windows: &Windows, clock: Clock) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let sent = [&windows.tail60, &windows.rows60].map(|w| w.tx_mib_s.unwrap_or(0.0));
    if sent[0].max(sent[1]) > 1.0 && (sent[0] - sent[1]).abs() > 0.1 * sent[0].max(sent[1]) {
        let message = format!("sent are {:.1} MiB/s by tail60 and {:.1} by rows60: the rule decides", sent[0], sent[1]);
        doubts.push(Doubt { code: "window-sensitive", message });
    }
    // The published rules are used on published runs; on ours, where they may reach into the ramp, they are a courtesy.
    let is_used = |name: &str| clock == Clock::WholeSeconds || name == PLATEAU;
    for (name, window) in windows.named().into_iter().filter(|(name, _)| is_used(name)) {
        let (Some(min), Some(max)) = (window.estab_min, window.estab_max) else { continue };
        if min < 0.98 * max {
            let message = format!("connections range from {min} to {max} within {name}: a median hides it");
            doubts.push(Doubt { code: "connections-vary", message });
        }
    }
    doubts
}

/// The tool whose runs hold samples.
pub const COLLECTOR: &str = "collector";
/// Name of our own window.
pub const PLATEAU: &str = "plateau";
/// One client in a thousand that comes late is no ramp.
const JOINED_SHARE: f64 = 0.999;
/// Of fewer samples nothing can be said.
const JOINED_ROWS_MIN: usize = 8;
/// Traffic below this is a host's own chatter, packets/s.
const IDLE_PACKETS_PER_S: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_still_join_are_no_plateau() {
        let ramp = |held: usize| -> Vec<f64> {
            (0..20).map(|at| 100.0 * f64::from(at)).chain(std::iter::repeat_n(2_000.0, held)).collect()
        };
        assert_eq!(joined(&ramp(40)), 20);
        assert_eq!(joined(&[ramp(40), vec![f64::NAN, 2_100.0, 900.0]].concat()), 20);
        assert_eq!(joined(&ramp(3)), 0, "all of it is ramp");
        assert_eq!(joined(&[2_000.0; 20]), 0);
        assert_eq!(joined(&[]), 0);
    }
}
