//! `analyze console FILE..`: what the console logs of emqtt_bench and `loadgen` show over time.
//!
//! A log holds totals at whole seconds. A rate here is the difference of two totals over the time between their lines, never
//! the rate that was printed, which stands beside it. The steady part of a counter is found as that of a load
//! ([`steady_load`]); its rate is the difference of its end points, and its interval allows for serial dependence.
//! [`rates`] gives the series alone, such as received messages over time. What makes a log doubtful is found in [`doubts`],
//! from where `analyze audit` takes it ([`logs`]).

pub mod doubts;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use runlog::Warning;
use runlog::console::{self, ConsoleRun};
use serde::Serialize;

pub use self::doubts::Doubt;
use crate::report::format::number;
use crate::stats::SerialMean;
use crate::stats::changes::steady_load;
use crate::stats::serial::INDEPENDENT_MIN;

/// One run of a log, summed up.
#[derive(Debug, Clone, Serialize)]
pub struct ConsoleSummary {
    /// The log.
    pub file: String,
    /// Which run of the log, from 1.
    pub run: usize,
    /// The line at which it begins.
    pub line: u64,
    /// The command line, where the log shows it.
    pub command: Option<String>,
    /// Time of its last line, s.
    pub duration_s: u64,
    /// Its counters, by name.
    pub counters: Vec<Counter>,
    /// What a reader should know before using the figures.
    pub doubts: Vec<Doubt>,
}

/// One counter of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Counter {
    /// Its name: `recv`, `pub`, `sub`, `connect_succ` and others.
    pub name: String,
    /// The last total.
    pub total: u64,
    /// Its lines.
    pub lines: usize,
    /// Time of its first line, s.
    pub from_s: u64,
    /// Time of its last line, s.
    pub to_s: u64,
    /// Increase from the first line to the last over the time between them, per second; null with one line.
    pub mean_per_s: Option<f64>,
    /// Its steady part; null where there is none.
    pub steady: Option<Steady>,
    /// Its rates over time.
    pub series: Vec<RatePoint>,
}

/// The steady part of a counter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Steady {
    /// Begin, s since the begin of the run.
    pub from_s: u64,
    /// End, s.
    pub to_s: u64,
    /// Increase over the time, per second.
    pub per_s: f64,
    /// 95 % interval of it; null for too few lines.
    pub ci95: Option<(f64, f64)>,
}

/// The rate of a counter between two of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RatePoint {
    /// Time of the later line since the begin of the run, s.
    pub at_s: u64,
    /// The total there.
    pub total: u64,
    /// Time between the lines, s; above 0.
    pub dt_s: u64,
    /// Increase over that time, per second.
    pub per_s: f64,
    /// What the tool printed.
    pub printed_per_s: f64,
}

/// A counter's rates over time; empty where the run has no two lines of it at different times. A total that fell begins anew,
/// and there is no rate across the fall.
pub fn rates(run: &ConsoleRun, counter: &str) -> Vec<RatePoint> {
    let lines = run.counters.get(counter).map(Vec::as_slice).unwrap_or_default();
    let mut points = Vec::with_capacity(lines.len());
    let Some(mut last) = lines.first() else { return points };
    for line in &lines[1..] {
        let dt_s = line.at_s.saturating_sub(last.at_s);
        if dt_s == 0 && line.total >= last.total {
            // Its increase goes to the next line.
            continue;
        }
        if let Some(increase) = line.total.checked_sub(last.total).filter(|_| dt_s > 0) {
            let per_s = increase as f64 / dt_s as f64;
            points.push(RatePoint { at_s: line.at_s, total: line.total, dt_s, per_s, printed_per_s: line.rate });
        }
        last = line;
    }
    points
}

/// A log with its runs.
#[derive(Debug, Clone)]
pub struct Log {
    /// The file.
    pub file: String,
    /// What it holds, in its order; at least one.
    pub runs: Vec<ConsoleRun>,
}

/// The logs among these files and below these directories, and what is damaged in them. Text that holds no run is none, and what
/// a playbook kept of the terminals of its tools is left out: they wrote down the same exactly.
///
/// # Errors
/// A directory cannot be read.
pub fn logs(places: &[PathBuf]) -> Result<(Vec<Log>, Vec<Warning>)> {
    let (mut logs, mut warnings, mut files) = (Vec::new(), Vec::new(), Vec::new());
    for place in places {
        match place.is_dir() {
            true => files.extend(console::find(place)?.into_iter().filter(|path| !console::is_of_playbook(path))),
            false => files.push(place.clone()),
        }
    }
    files.sort();
    files.dedup();
    for path in files {
        // A file that cannot be read, or is no text, is no log.
        let Ok(loaded) = console::read(&path) else { continue };
        if !loaded.value.is_empty() {
            warnings.extend(loaded.warnings);
            logs.push(Log { file: path.display().to_string(), runs: loaded.value });
        }
    }
    Ok((logs, warnings))
}

/// Reads logs and sums their runs up; `counters` names those that are wanted, all when empty.
///
/// # Errors
/// A file cannot be read, or holds no line of a counter.
pub fn read(path: &Path, counters: &[String]) -> Result<(Vec<ConsoleSummary>, Vec<Warning>)> {
    let loaded = console::read(path).context("give a console log of emqtt_bench or loadgen")?;
    if loaded.value.is_empty() {
        bail!(
            "{}: no line of a counter, such as `1m28s recv total=2816 rate=32.00/sec`: this is no console log of emqtt_bench or \
             loadgen",
            path.display()
        );
    }
    let file = path.display().to_string();
    let of = |(index, run): (usize, &ConsoleRun)| ConsoleSummary::of(&file, index + 1, run, counters);
    let runs: Vec<ConsoleSummary> = loaded.value.iter().enumerate().map(of).collect();
    if runs.iter().all(|run| run.counters.is_empty()) {
        let known: std::collections::BTreeSet<&String> =
            loaded.value.iter().flat_map(|run| run.counters.keys()).collect();
        let known: Vec<&str> = known.into_iter().map(String::as_str).collect();
        bail!("{file}: no counter {}; there are {}", counters.join(", "), known.join(", "));
    }
    Ok((runs, loaded.warnings))
}

impl ConsoleSummary {
    fn of(file: &str, number: usize, run: &ConsoleRun, wanted: &[String]) -> Self {
        let ends = run.counters.values().filter_map(|lines| Some(lines.last()?.at_s));
        let named = run.counters.keys().filter(|name| wanted.is_empty() || wanted.contains(name));
        Self {
            file: file.to_owned(),
            run: number,
            line: run.line,
            command: run.command.clone(),
            duration_s: ends.max().unwrap_or(0),
            counters: named.filter_map(|name| Counter::of(run, name)).collect(),
            doubts: doubts::of(run),
        }
    }
}

impl Counter {
    fn of(run: &ConsoleRun, name: &str) -> Option<Self> {
        let lines = run.counters.get(name)?;
        let (first, last) = (lines.first()?, lines.last()?);
        let series = rates(run, name);
        let elapsed_s: u64 = series.iter().map(|point| point.dt_s).sum();
        Some(Self {
            name: name.to_owned(),
            total: last.total,
            lines: lines.len(),
            from_s: first.at_s,
            to_s: last.at_s,
            mean_per_s: (elapsed_s > 0).then(|| increase(&series) / elapsed_s as f64),
            steady: Steady::of(&series),
            series,
        })
    }
}

impl Steady {
    fn of(series: &[RatePoint]) -> Option<Self> {
        let all: Vec<f64> = series.iter().map(|point| point.per_s).collect();
        let part = &series[steady_load(&all, 0.0)?];
        let (first, last) = (part.first()?, part.last()?);
        let elapsed_s: u64 = part.iter().map(|point| point.dt_s).sum();
        let per_s = increase(part) / elapsed_s as f64;
        let mean = SerialMean::of(&part.iter().map(|point| point.per_s).collect::<Vec<_>>());
        // Lines that all hang together, such as those of a ramp, have no interval.
        let mean = mean.filter(|mean| mean.independent() >= INDEPENDENT_MIN);
        // The mean of the rates weighs lines, the figure weighs time: the interval is moved to the figure.
        let moved = |mean: SerialMean| {
            let by = if mean.mean == 0.0 { 1.0 } else { per_s / mean.mean };
            (mean.ci95.0 * by, mean.ci95.1 * by)
        };
        Some(Self { from_s: first.at_s - first.dt_s, to_s: last.at_s, per_s, ci95: mean.map(moved) })
    }
}

/// The increase over these points; what lies across a fall belongs to none of them.
fn increase(series: &[RatePoint]) -> f64 {
    series.iter().map(|point| point.per_s * point.dt_s as f64).sum()
}

/// A table in Markdown with one line per counter, and the doubts below.
pub fn markdown(runs: &[ConsoleSummary]) -> String {
    let mut text = String::new();
    for run in runs {
        push(&mut text, format_args!("## {}:{}, run {}, {}\n\n", run.file, run.line, run.run, clock(run.duration_s)));
        if let Some(command) = &run.command {
            push(&mut text, format_args!("    {command}\n\n"));
        }
        text.push_str("| counter | total | lines | from | to | mean/s | steady/s | 95 % | steady from | to |\n");
        text.push_str("| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: |\n");
        for counter in &run.counters {
            let steady = counter.steady.as_ref();
            let of = |pick: fn(&Steady) -> String| steady.map_or(NONE.to_owned(), pick);
            let interval = steady.and_then(|steady| steady.ci95);
            let row = [
                counter.total.to_string(),
                counter.lines.to_string(),
                clock(counter.from_s),
                clock(counter.to_s),
                counter.mean_per_s.map_or(NONE.to_owned(), number),
                of(|steady| number(steady.per_s)),
                interval.map_or(NONE.to_owned(), |(low, high)| format!("{}–{}", number(low), number(high))),
                of(|steady| clock(steady.from_s)),
                of(|steady| clock(steady.to_s)),
            ];
            push(&mut text, format_args!("| {} | {} |\n", counter.name, row.join(" | ")));
        }
        text.push('\n');
        for doubt in &run.doubts {
            push(&mut text, format_args!("- line {}, {}: {}\n", doubt.line, doubt.code, doubt.message));
        }
        if !run.doubts.is_empty() {
            text.push('\n');
        }
    }
    text
}

/// The rates over time, one line per counter and moment.
pub fn csv(runs: &[ConsoleSummary]) -> String {
    let mut text = "file,run,counter,at_s,total,dt_s,per_s,printed_per_s\n".to_owned();
    for run in runs {
        let file = if run.file.contains([',', '"', '\n']) {
            format!("\"{}\"", run.file.replace('"', "\"\""))
        } else {
            run.file.clone()
        };
        for counter in &run.counters {
            for point in &counter.series {
                let RatePoint { at_s, total, dt_s, per_s, printed_per_s } = point;
                let (number, name) = (run.run, &counter.name);
                push(
                    &mut text,
                    format_args!("{file},{number},{name},{at_s},{total},{dt_s},{per_s:.2},{printed_per_s:.2}\n"),
                );
            }
        }
    }
    text
}

fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a String takes everything");
}

const NONE: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(log: &str) -> Vec<ConsoleRun> {
        console::parse(Path::new("log"), log.as_bytes()).value
    }

    #[test]
    fn rates_come_from_totals_and_skip_a_fall() {
        let log = "8s recv total=80 rate=10.00/sec\n9s recv total=100 rate=20.00/sec\n9s recv total=110 rate=1.00/sec\n\
                   11s recv total=140 rate=15.00/sec\n12s recv total=5 rate=5.00/sec\n13s recv total=25 rate=20.00/sec\n";
        let points: Vec<(u64, u64, f64)> =
            rates(&runs(log)[0], "recv").iter().map(|point| (point.at_s, point.dt_s, point.per_s)).collect();
        assert_eq!(points, [(9, 1, 20.0), (11, 2, 20.0), (13, 1, 20.0)]);
        assert_eq!(rates(&runs(log)[0], "pub"), []);
    }

    #[test]
    fn the_steady_part_is_found_with_its_interval() {
        let line = |(at, total): (u64, u64)| format!("{at}s recv total={total} rate=1.00/sec\n");
        let ramp = (1..10).map(|at| (at, at)).map(line);
        let load = (10..70).map(|at| (at, 10 + (at - 9) * 500)).map(line);
        let rest = (70..80).map(|at| (at, 30_010 + at - 69)).map(line);
        let log: String = ramp.chain(load).chain(rest).collect();
        let steady = Counter::of(&runs(&log)[0], "recv").unwrap().steady.unwrap();
        assert_eq!((steady.from_s, steady.to_s), (9, 69));
        assert!((steady.per_s / 500.0 - 1.0).abs() < 1e-3, "{steady:?}");
        let (low, high) = steady.ci95.unwrap();
        assert!(low <= steady.per_s && steady.per_s <= high && high - low < 5.0, "{steady:?}");
    }
}
