//! A table as a time series: when each row was taken, which pairs of rows make an interval, and what happened to counters
//! and levels in between.
//!
//! Our files carry `CLOCK_MONOTONIC` in nanoseconds, read together with the counters, and intervals are as long as that clock
//! says. The published files carry whole seconds: while their true period was 1.08 to 1.16 s, most of their intervals look like
//! 1 s, so a rate of theirs is 8 to 16 % too high as often as not. Their intervals are taken as they stand, and
//! [`Series::clock`] says so.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};
use runlog::columns::{MONO_NS, TIME_UTC, WALL_NS};
use runlog::{Run, Warning, clock};

use crate::stats::median;
use crate::table::{Table, push_capped};

/// Where the times of a series come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Nanoseconds of `CLOCK_MONOTONIC`, taken with the counters.
    Monotonic,
    /// Seconds of UTC, cut off.
    WholeSeconds,
}

/// Two rows between which a rate can be formed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The earlier row.
    pub from: usize,
    /// The later row, whose time is the interval's time.
    pub to: usize,
    /// Elapsed time, s; above 0.
    pub dt_s: f64,
}

/// A CSV file of a run, with its times understood.
pub struct Series {
    /// The columns.
    pub table: Table,
    /// What the times are made of.
    pub clock: Clock,
    /// Time of each row since the first one, s.
    pub times_s: Vec<f64>,
    /// `CLOCK_MONOTONIC` at the first row, ns; only of files that carry it.
    pub origin_mono_ns: Option<u64>,
    /// The intervals between successive rows.
    pub intervals: Vec<Interval>,
    /// What is wrong with the file or odd about its times.
    pub warnings: Vec<Warning>,
}

impl Series {
    /// Reads a file.
    ///
    /// # Errors
    /// Those of [`Table::read`], and a file with fewer than two rows whose time is known.
    pub fn read(path: &Path) -> Result<Self> {
        Self::of(Table::read(path)?)
    }

    /// Reads the samples of a run, from all its files where the one was cut.
    ///
    /// # Errors
    /// As [`Series::read`].
    pub fn of_run(run: &Run) -> Result<Self> {
        let mut table = Table::read(&run.raw_path())?;
        for path in &run.raw_paths()[1..] {
            table.read_on(path)?;
        }
        Self::of(table)
    }

    fn of(mut table: Table) -> Result<Self> {
        let mut warnings = std::mem::take(&mut table.warnings);
        let (clock, stamps) = stamps(&table);
        let origin = stamps.iter().flatten().next().copied();
        let scale = if clock == Clock::Monotonic { 1e-9 } else { 1.0 };
        let since = |stamp: &Option<u64>| match (stamp, origin) {
            (Some(stamp), Some(origin)) => (i128::from(*stamp) - i128::from(origin)) as f64 * scale,
            _ => f64::NAN,
        };
        let times_s: Vec<f64> = stamps.iter().map(since).collect();
        let intervals = intervals(&table, &times_s, &mut warnings);
        if intervals.is_empty() {
            bail!(
                "{}: {} rows, and no two of them form an interval: a rate needs two samples at different times; \
                 let the tool run longer",
                table.path().display(),
                table.rows()
            );
        }
        report_gaps(&table, &intervals, &mut warnings);
        report_clock_steps(&table, &mut warnings);
        let origin_mono_ns = origin.filter(|_| clock == Clock::Monotonic);
        let mut series = Self { table, clock, times_s, origin_mono_ns, intervals, warnings };
        series.report_resets();
        Ok(series)
    }

    /// Time of each interval's end since the first row, s.
    pub fn interval_times_s(&self) -> Vec<f64> {
        self.intervals.iter().map(|i| self.times_s[i.to]).collect()
    }

    /// A counter's increase in each interval; NaN where a cell is blank or the counter fell. `None` without that column.
    pub fn increases(&self, counter: &str) -> Option<Vec<f64>> {
        let counts = self.table.counts(counter)?;
        let increase = |i: &Interval| match (counts[i.from], counts[i.to]) {
            (Some(before), Some(after)) if after >= before => (after - before) as f64,
            _ => f64::NAN,
        };
        Some(self.intervals.iter().map(increase).collect())
    }

    /// A counter's rate per second in each interval; NaN as in [`Series::increases`].
    pub fn rates(&self, counter: &str) -> Option<Vec<f64>> {
        let increases = self.increases(counter)?;
        Some(increases.into_iter().zip(&self.intervals).map(|(increase, i)| increase / i.dt_s).collect())
    }

    /// A level at the end of each interval; NaN where blank. `None` without that column.
    pub fn levels(&self, gauge: &str) -> Option<Vec<f64>> {
        let levels = self.table.numbers(gauge)?;
        Some(self.intervals.iter().map(|i| levels[i.to]).collect())
    }

    /// Difference of a counter over the elapsed time, per second, in a range of intervals; intervals in which the counter is
    /// unknown or fell are left out of both. `None` when nothing remains.
    pub fn rate_over(&self, counter: &str, rows: Range<usize>) -> Option<f64> {
        let increases = self.increases(counter)?;
        let (mut increase, mut elapsed_s) = (0.0, 0.0);
        for row in rows {
            if increases[row].is_finite() {
                increase += increases[row];
                elapsed_s += self.intervals[row].dt_s;
            }
        }
        (elapsed_s > 0.0).then(|| increase / elapsed_s)
    }

    /// The intervals that lie wholly between two times since the first row, s.
    pub fn intervals_within(&self, begin_s: f64, end_s: f64) -> Range<usize> {
        let begin = self.intervals.partition_point(|i| self.times_s[i.from] < begin_s - TIME_SLACK_S);
        let end = self.intervals.partition_point(|i| self.times_s[i.to] <= end_s + TIME_SLACK_S);
        begin..end.max(begin)
    }

    /// The intervals that lie wholly between two moments of `CLOCK_MONOTONIC`; empty for files without that clock.
    pub fn intervals_between(&self, begin_mono_ns: u64, end_mono_ns: u64) -> Range<usize> {
        let Some(origin) = self.origin_mono_ns else { return 0..0 };
        let since = |ns: u64| (i128::from(ns) - i128::from(origin)) as f64 * 1e-9;
        self.intervals_within(since(begin_mono_ns), since(end_mono_ns))
    }

    /// Time from the first row to the last, s.
    pub fn duration_s(&self) -> f64 {
        self.intervals.last().map_or(0.0, |last| self.times_s[last.to]) - self.times_s[self.intervals[0].from]
    }

    fn report_resets(&mut self) {
        let mut found = Vec::new();
        for name in self.table.header().iter().filter(|name| Table::kind(name) == runlog::columns::Kind::Counter) {
            let Some(counts) = self.table.counts(name) else { continue };
            for i in &self.intervals {
                if let (Some(before), Some(after)) = (counts[i.from], counts[i.to])
                    && after < before
                {
                    let message =
                        format!("{name} fell from {before} to {after}: its source began anew; this rate is left blank");
                    found.push(self.table.warning(i.to, message));
                }
            }
        }
        push_capped(&mut self.warnings, found, "falls of a counter");
    }
}

/// The time of each row in the unit of its clock.
fn stamps(table: &Table) -> (Clock, Vec<Option<u64>>) {
    match (table.counts(MONO_NS), table.texts(TIME_UTC)) {
        (Some(stamps), _) => (Clock::Monotonic, stamps),
        (None, Some(texts)) => (Clock::WholeSeconds, texts.into_iter().map(clock::parse_utc).collect()),
        (None, None) => (Clock::WholeSeconds, Vec::new()),
    }
}

/// Pairs each row with the last one before it that has an earlier time. A row with the same time as the one before makes no
/// interval, and its increase goes to the next one; after a step back in time a new chain begins.
fn intervals(table: &Table, times_s: &[f64], warnings: &mut Vec<Warning>) -> Vec<Interval> {
    let mut intervals = Vec::with_capacity(times_s.len());
    let mut odd = Vec::new();
    let mut from: Option<usize> = None;
    for (to, time_s) in times_s.iter().enumerate() {
        let Some(last) = from.filter(|_| !time_s.is_nan()) else {
            if time_s.is_nan() {
                odd.push(table.warning(to, "no time in this row: dropped"));
            } else {
                from = Some(to);
            }
            continue;
        };
        let dt_s = time_s - times_s[last];
        if dt_s > 0.0 {
            intervals.push(Interval { from: last, to, dt_s });
        } else if dt_s == 0.0 {
            odd.push(table.warning(to, "the same time as the row before: no rate for this row"));
            continue;
        } else {
            odd.push(table.warning(to, format!("time went back by {:.3} s: no rate for this row", -dt_s)));
        }
        from = Some(to);
    }
    push_capped(warnings, odd, "rows with an odd time");
    intervals
}

fn report_gaps(table: &Table, intervals: &[Interval], warnings: &mut Vec<Warning>) {
    let lengths: Vec<f64> = intervals.iter().map(|i| i.dt_s).collect();
    let usual_s = median(&lengths).unwrap_or(0.0);
    let is_gap = |i: &&Interval| i.dt_s > GAP_FACTOR * usual_s;
    let gap = |i: &Interval| {
        table.warning(i.to, format!("{:.1} s since the row before, usual are {usual_s:.1} s: a gap", i.dt_s))
    };
    push_capped(warnings, intervals.iter().filter(is_gap).map(gap).collect(), "gaps");
}

/// A step of the wall clock against the monotonic one: harmless to our rates, not to anybody who lays two hosts side by side.
fn report_clock_steps(table: &Table, warnings: &mut Vec<Warning>) {
    let (Some(mono), Some(wall)) = (table.counts(MONO_NS), table.counts(WALL_NS)) else { return };
    let mut found = Vec::new();
    let mut last: Option<i128> = None;
    for (row, stamps) in mono.into_iter().zip(wall).enumerate() {
        let (Some(mono), Some(wall)) = stamps else { continue };
        let offset_ns = i128::from(wall) - i128::from(mono);
        let step_s = last.map_or(0.0, |last| (offset_ns - last) as f64 * 1e-9);
        if step_s.abs() > CLOCK_STEP_S {
            found.push(table.warning(row, format!("the wall clock was set by {step_s:+.3} s before this row")));
        }
        last = Some(offset_ns);
    }
    push_capped(warnings, found, "steps of the wall clock");
}

/// An interval this many times longer than the usual one is a gap.
pub const GAP_FACTOR: f64 = 2.5;
/// A clock that is merely disciplined moves by less than this between two samples, s.
pub const CLOCK_STEP_S: f64 = 0.1;
/// Times are compared with this much slack, s: a mark and a sample of the same moment may differ by rounding.
const TIME_SLACK_S: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Series> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("raw.csv");
        std::fs::write(&path, text).unwrap();
        Series::read(&path)
    }

    fn messages(series: &Series) -> Vec<String> {
        series.warnings.iter().map(|w| format!("{}: {}", w.line.unwrap(), w.message)).collect()
    }

    #[test]
    fn nanoseconds_are_taken_before_whole_seconds() {
        let text = "time_utc,rx_bytes,proc_rss_kb,mono_ns\n\
                    2026-01-01T00:00:00Z,100,5,1000000000\n\
                    2026-01-01T00:00:01Z,210,6,2100000000\n\
                    2026-01-01T00:00:03Z,310,7,3100000000\n";
        let series = read(text).unwrap();
        assert_eq!(series.clock, Clock::Monotonic);
        let rates = series.rates("rx_bytes").unwrap();
        assert!((rates[0] - 100.0).abs() < 1e-9 && (rates[1] - 100.0).abs() < 1e-9, "{rates:?}");
        assert_eq!(series.levels("proc_rss_kb"), Some(vec![6.0, 7.0]));
        assert!((series.rate_over("rx_bytes", 0..2).unwrap() - 100.0).abs() < 1e-9);
        assert!((series.duration_s() - 2.1).abs() < 1e-9);
        assert_eq!(series.intervals_between(1_000_000_000, 2_100_000_000), 0..1);
        assert_eq!(series.intervals_between(1_100_000_000, 3_100_000_000), 1..2);
        assert_eq!(series.intervals_between(1_100_000_000, 3_000_000_000), 1..1);
        assert_eq!(messages(&series), [""; 0]);
    }

    #[test]
    fn resets_gaps_and_repeated_times_are_reported_and_counted_once() {
        let text = "time_utc,rx_bytes\n\
                    2026-01-01T00:00:00Z,100\n\
                    2026-01-01T00:00:01Z,200\n\
                    2026-01-01T00:00:01Z,250\n\
                    2026-01-01T00:00:02Z,300\n\
                    2026-01-01T00:00:03Z,30\n\
                    2026-01-01T00:00:07Z,70\n";
        let series = read(text).unwrap();
        assert_eq!(series.clock, Clock::WholeSeconds);
        let rates = series.rates("rx_bytes").unwrap();
        assert_eq!((rates[0], rates[1], rates[3]), (100.0, 100.0, 10.0));
        assert!(rates[2].is_nan());
        assert_eq!(series.rate_over("rx_bytes", 0..4), Some(240.0 / 6.0));
        assert_eq!(
            messages(&series),
            [
                "4: the same time as the row before: no rate for this row",
                "7: 4.0 s since the row before, usual are 1.0 s: a gap",
                "6: rx_bytes fell from 300 to 30: its source began anew; this rate is left blank",
            ]
        );
    }

    #[test]
    fn a_step_of_the_wall_clock_and_of_time_itself() {
        let text =
            "time_utc,mono_ns,wall_ns\n,1000000000,51000000000\n,2000000000,52000000000\n,3000000000,55000000000\n";
        assert_eq!(messages(&read(text).unwrap()), ["4: the wall clock was set by +2.000 s before this row"]);
        let text = "time_utc\n2026-01-01T00:00:05Z\n2026-01-01T00:00:02Z\n2026-01-01T00:00:03Z\nnoon\n";
        let series = read(text).unwrap();
        assert_eq!(series.intervals.len(), 1);
        assert_eq!(
            messages(&series),
            ["3: time went back by 3.000 s: no rate for this row", "5: no time in this row: dropped"]
        );
    }

    #[test]
    fn one_sample_is_no_series() {
        let error = format!("{:#}", read("time_utc,rx_bytes\n2026-01-01T00:00:00Z,100\n").err().unwrap());
        assert!(error.contains("1 rows") && error.contains("let the tool run longer"), "{error}");
    }
}
