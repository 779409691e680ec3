//! `analyze summary`: one run in a few windows.
//!
//! The three published rules are computed as published, from rates between successive samples
//! (`docs/methodology.md`). The fourth window, `plateau`, is ours: the measured phase where somebody marked it, else the part of the run
//! with load; a rate in it is the counter's difference over the elapsed time, and a level is a median.

use std::fmt::Write as _;
use std::ops::Range;

use anyhow::Result;
use runlog::columns;
use runlog::{Run, Warning};
use serde::Serialize;

use crate::phases;
use crate::series::{Clock, Series};
use crate::stats::{Rule, median, window};

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

/// The figures of one window; a figure is null when the run does not know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Window {
    /// Intervals in the window.
    pub rows: usize,
    /// Begin of the window since the first sample, s.
    pub from_s: f64,
    /// End of the window since the first sample, s.
    pub to_s: f64,
    /// Received, MiB/s.
    pub rx_mib_s: Option<f64>,
    /// Sent, MiB/s.
    pub tx_mib_s: Option<f64>,
    /// Received by the interface, packets/s.
    pub rx_pps: Option<f64>,
    /// Sent by the interface, packets/s; with segmentation offload a packet is a buffer of many segments.
    pub tx_pps: Option<f64>,
    /// TCP segments sent per second.
    pub tcp_outsegs_s: Option<f64>,
    /// Context switches of the host per second.
    pub ctxt_s: Option<f64>,
    /// TCP segments sent again per second.
    pub retrans_s: Option<f64>,
    /// Established connections.
    pub estab: Option<f64>,
    /// The fewest connections at any sample of the window.
    pub estab_min: Option<f64>,
    /// The most.
    pub estab_max: Option<f64>,
    /// Resident memory of the target, MiB.
    pub rss_mib: Option<f64>,
    /// Virtual memory of the target, MiB.
    pub vsz_mib: Option<f64>,
    /// CPU of the target, percent of one core.
    pub cpu_percent: Option<f64>,
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
    let series = Series::read(&raw)?;
    let summary = of_series(run, &series);
    Ok((summary, series.warnings))
}

/// Sums up a run whose samples have been read.
pub fn of_series(run: &Run, series: &Series) -> RunSummary {
    let rows = plateau(run, series);
    let mut doubts = time_doubts(series);
    let whole = 0..series.intervals.len();
    let windows = Windows {
        tail60: published(series, Rule::Tail60),
        rows60: published(series, Rule::Rows60),
        trim20_90: published(series, Rule::Trim20To90),
        plateau: ours(series, rows.clone().unwrap_or(whole)),
    };
    if rows.is_none() {
        doubts.push(Doubt { code: "no-load", message: "no load found: plateau is the whole run".to_owned() });
    }
    doubts.extend(window_doubts(&windows, series.clock));
    doubts.extend(series.warnings.iter().map(|w| Doubt { code: "input", message: w.to_string() }));
    let mut summary = identified(run, Some((series, windows)), doubts);
    summary.samples = series.table.rows();
    summary
}

/// The target's name: what the playbook said, else the second word of a tag such as `A-axmq-qos0-256-1to10-run1`.
pub fn target(run: &Run) -> Option<String> {
    if let Some(context) = &run.context {
        return Some(context.target.clone());
    }
    let (label, rest) = run.tag.split_once('-')?;
    let is_label = label.len() == 1 && label.bytes().all(|b| b.is_ascii_uppercase());
    is_label.then(|| rest.split('-').next().unwrap_or(rest).to_owned())
}

/// The intervals of the measured phase, or of the load where no phase is marked; `None` when there is neither.
pub fn plateau(run: &Run, series: &Series) -> Option<Range<usize>> {
    if let Some(span) = phases::measured(run) {
        let rows = series.intervals_between(span.begin_mono_ns, span.end_mono_ns);
        if !rows.is_empty() {
            return Some(rows);
        }
    }
    let sum = |a: Vec<f64>, b: Vec<f64>| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f64>>();
    let load = sum(series.rates(columns::RX_PACKETS)?, series.rates(columns::TX_PACKETS)?);
    let known: Vec<f64> = load.iter().map(|v| if v.is_finite() { *v } else { 0.0 }).collect();
    window::load_span(&known, IDLE_PACKETS_PER_S)
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

fn published(series: &Series, rule: Rule) -> Window {
    let rows = rule.rows(&series.interval_times_s());
    let rate = |name: &str| rule.centre(&known(&series.rates(name)?, &rows));
    let level = |name: &str| rule.centre(&known(&series.levels(name)?, &rows));
    window(series, rows.clone(), &rate, &level)
}

fn ours(series: &Series, rows: Range<usize>) -> Window {
    let rate = |name: &str| series.rate_over(name, rows.clone());
    let level = |name: &str| median(&known(&series.levels(name)?, &rows));
    window(series, rows.clone(), &rate, &level)
}

fn window(
    series: &Series,
    rows: Range<usize>,
    rate: &dyn Fn(&str) -> Option<f64>,
    level: &dyn Fn(&str) -> Option<f64>,
) -> Window {
    let mib = |bytes: f64| bytes / (1024.0 * 1024.0);
    let estab = series.levels(columns::TCP_ESTAB).map(|levels| known(&levels, &rows)).unwrap_or_default();
    let cpu_us = [columns::PROC_CPU_USER_US, columns::PROC_CPU_SYS_US].map(rate);
    let at = |row: Option<usize>, from: bool| {
        row.and_then(|row| series.intervals.get(row)).map_or(0.0, |i| series.times_s[if from { i.from } else { i.to }])
    };
    Window {
        rows: rows.len(),
        from_s: at(Some(rows.start), true),
        to_s: at(rows.end.checked_sub(1), false),
        rx_mib_s: rate(columns::RX_BYTES).map(mib),
        tx_mib_s: rate(columns::TX_BYTES).map(mib),
        rx_pps: rate(columns::RX_PACKETS),
        tx_pps: rate(columns::TX_PACKETS),
        tcp_outsegs_s: rate(columns::TCP_OUTSEGS),
        ctxt_s: rate(columns::CTXT),
        retrans_s: rate(columns::TCP_RETRANSSEGS),
        estab: level(columns::TCP_ESTAB),
        estab_min: estab.iter().copied().reduce(f64::min),
        estab_max: estab.iter().copied().reduce(f64::max),
        rss_mib: level(columns::PROC_RSS_KB).map(|kib| kib / 1024.0),
        vsz_mib: level(columns::PROC_VSZ_KB).map(|kib| kib / 1024.0),
        cpu_percent: cpu_us[0].zip(cpu_us[1]).map(|(user, system)| (user + system) / 1e4),
    }
}

fn known(values: &[f64], rows: &Range<usize>) -> Vec<f64> {
    values[rows.clone()].iter().copied().filter(|v| v.is_finite()).collect()
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

/// A table in Markdown: one line per run and window, and the doubts below.
pub fn markdown(summaries: &[RunSummary]) -> String {
    let mut text = String::from(
        "| run | window | RX MiB/s | TX MiB/s | TX packets/s | ctxt/s | retrans/s | connections (min..max) | RSS MiB | VSZ MiB | CPU % of a core |\n\
         | :-- | :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n",
    );
    for summary in summaries {
        for (name, w) in summary.windows.named().into_iter().filter(|(_, w)| w.rows > 0) {
            let connections = match (w.estab, w.estab_min, w.estab_max) {
                (Some(estab), Some(min), Some(max)) => format!("{estab:.0} ({min:.0}..{max:.0})"),
                _ => "–".to_owned(),
            };
            let cells = [(w.rx_mib_s, 1), (w.tx_mib_s, 1), (w.tx_pps, 0), (w.ctxt_s, 0), (w.retrans_s, 2)];
            let tail = [(w.rss_mib, 2), (w.vsz_mib, 2), (w.cpu_percent, 1)];
            let cell =
                |(value, decimals): (Option<f64>, usize)| value.map_or("–".to_owned(), |v| decimal(v, decimals));
            let row: Vec<String> = cells.map(cell).into_iter().chain([connections]).chain(tail.map(cell)).collect();
            push(&mut text, format_args!("| {} {} | {name} | {} |\n", summary.role, summary.tag, row.join(" | ")));
        }
    }
    for summary in summaries.iter().filter(|summary| !summary.doubts.is_empty()) {
        push(&mut text, format_args!("\n{} {} ({}):\n", summary.role, summary.tag, summary.dir));
        for doubt in &summary.doubts {
            push(&mut text, format_args!("- {}: {}\n", doubt.code, doubt.message));
        }
    }
    text
}

/// With the given decimals, and more for a small value that they would round away.
fn decimal(value: f64, decimals: usize) -> String {
    let decimals = if value != 0.0 && value.abs() < 1.0 && decimals > 0 { decimals.max(3) } else { decimals };
    format!("{value:.decimals$}")
}

/// One line per run and window; the columns are the JSON form's names.
pub fn csv(summaries: &[RunSummary]) -> String {
    let mut text = String::new();
    for summary in summaries {
        for (name, window) in summary.windows.named().into_iter().filter(|(_, window)| window.rows > 0) {
            let value = serde_json::to_value(window).expect("a window is plain numbers");
            let fields = value.as_object().expect("a struct is an object");
            if text.is_empty() {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                push(
                    &mut text,
                    format_args!("dir,role,tag,target,samples,duration_s,period_s,window,{}\n", names.join(",")),
                );
            }
            let cells: Vec<String> =
                fields.values().map(|v| if v.is_null() { String::new() } else { v.to_string() }).collect();
            let identity =
                [&summary.dir, &summary.role, &summary.tag, summary.target.as_ref().unwrap_or(&String::new())]
                    .map(|t| quoted(t));
            push(
                &mut text,
                format_args!(
                    "{},{},{},{},{name},{}\n",
                    identity.join(","),
                    summary.samples,
                    summary.duration_s,
                    summary.period_s,
                    cells.join(",")
                ),
            );
        }
    }
    text
}

/// A cell of a CSV file.
pub fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a String takes everything");
}

/// The tool whose runs hold samples.
pub const COLLECTOR: &str = "collector";
/// Name of our own window.
pub const PLATEAU: &str = "plateau";
/// Traffic below this is a host's own chatter, packets/s.
const IDLE_PACKETS_PER_S: f64 = 100.0;
