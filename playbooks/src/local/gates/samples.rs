//! Collectors: whether they were on time, and what they saw of the connections.

use runlog::table::Table;
use runlog::{Role, Run, columns};

use super::{Gate, Window, Written};
use crate::plan::{Phase, PlannedProcess, ProcessKind};

/// A collector ends with a summary of its own, and samples when it should.
pub(super) fn judge(process: &PlannedProcess, run: &Run, measure: Option<Window>) -> Vec<Gate> {
    let table = match run.raw() {
        Ok(table) => table,
        Err(error) => return vec![Gate::failed("ticks", &process.name, error.to_string())],
    };
    let window = measure.map(|(begin, end)| (begin.max(first_due(process, &table)), end));
    let late = window.zip(process.interval_ms).and_then(|(window, interval_ms)| late(&table, window, interval_ms));
    vec![Gate::judged("ticks", &process.name, late)]
}

/// A collector that is started in the measure phase, with what it watches, owes no sample before its first one.
fn first_due(process: &PlannedProcess, table: &Table) -> u64 {
    if process.start != Phase::Measure {
        return 0;
    }
    table.numbers(columns::MONO_NS).ok().and_then(|at| at.into_iter().flatten().next()).unwrap_or(0)
}

/// Moments of the measure phase without a sample in the first half of their interval. Rates survive a late sample, since it is
/// stamped; the least and the most of a gauge, and the edges of the window, do not.
fn late(table: &Table, (begin, end): Window, interval_ms: u64) -> Option<String> {
    let (Ok(at), Ok(late_us)) = (table.numbers(columns::MONO_NS), table.numbers(columns::LATE_US)) else {
        return Some("its samples carry no monotonic stamps".into());
    };
    let due = end.saturating_sub(begin) / NS_PER_MS / interval_ms;
    let within = at.iter().zip(&late_us).filter(|(at, _)| at.is_some_and(|at| (begin..=end).contains(&at)));
    let on_time =
        within.filter(|(_, late_us)| late_us.is_none_or(|late_us| late_us <= interval_ms * 1_000 / 2)).count();
    let missing = due.saturating_sub(on_time as u64);
    let allowed = MISSING_MIN.max((due as f64 * MISSING_SHARE_MAX) as u64);
    (missing > allowed)
        .then(|| format!("{missing} of {due} samples of the measure phase were late by half an interval or never made"))
}

/// The kernel of the broker's host has counted at least as many established connections as the load tools say they held: a
/// second pair of eyes beside the tools' own gauges. On loopback it counts both ends.
pub(super) fn witness(written: &[Written<'_>], measure: &dyn Fn(&PlannedProcess) -> Option<Window>) -> Option<Gate> {
    let held = |process: &&PlannedProcess| {
        process.kind == ProcessKind::Loadgen && process.start == Phase::Ramp && process.stop_ms.is_none()
    };
    let asked: u64 = written.iter().map(|(process, _)| *process).filter(held).filter_map(|load| load.connections).sum();
    let (process, run) = written.iter().find(|(process, run)| {
        process.kind == ProcessKind::Collector && run.path.file_name().is_some_and(is_brokers)
    })?;
    let (begin, end) = measure(process)?;
    let table = run.raw().ok()?;
    let (at, estab) = (table.numbers(columns::MONO_NS).ok()?, table.numbers(columns::TCP_ESTAB).ok()?);
    let within = at.iter().zip(&estab).filter(|(at, _)| at.is_some_and(|at| (begin..=end).contains(&at)));
    let least = within.filter_map(|(_, estab)| *estab).min()?;
    let failure = (least < asked).then(|| {
        format!("the kernel counted {least} established connections at the least, and the load tools held {asked}")
    });
    (asked > 0).then(|| Gate::judged("role-count", &process.name, failure))
}

fn is_brokers(folder: &std::ffi::OsStr) -> bool {
    folder.to_str().is_some_and(|name| name.starts_with(&format!("{}-", Role::Broker)))
}

/// So many may be missing whatever the length of the phase: its edges lie between two samples.
const MISSING_MIN: u64 = 2;

const MISSING_SHARE_MAX: f64 = 0.05;

const NS_PER_MS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples at these milliseconds, late by so many.
    fn samples(rows: &[(u64, u64)]) -> Table {
        let rows = rows.iter().map(|(at_ms, late_ms)| format!("{},{}\n", at_ms * NS_PER_MS, late_ms * 1_000));
        let text = format!("{},{}\n{}", columns::MONO_NS, columns::LATE_US, rows.collect::<String>());
        Table::parse("raw.csv".into(), text.as_bytes()).expect("a table")
    }

    #[test]
    fn late_and_absent_samples_count_and_those_outside_the_phase_do_not() {
        let window = (1_000 * NS_PER_MS, 2_000 * NS_PER_MS);
        let all: Vec<(u64, u64)> = (0..40).map(|tick| (tick * 100, 0)).collect();
        assert_eq!(late(&samples(&all), window, 100), None);
        let stopped: Vec<(u64, u64)> = all.iter().copied().filter(|(at, _)| !(1_200..1_800).contains(at)).collect();
        let why = late(&samples(&stopped), window, 100).expect("six are absent");
        assert!(why.starts_with("5 of 10 "), "{why}");
        let dragging: Vec<(u64, u64)> = all.iter().map(|(at, _)| (at + 60, 60)).collect();
        assert!(late(&samples(&dragging), window, 100).is_some());
        let before: Vec<(u64, u64)> = all.iter().copied().filter(|(at, _)| *at >= 1_000).collect();
        assert_eq!(late(&samples(&before), window, 100), None);
    }
}
