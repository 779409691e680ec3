//! What one point shows over time: for the interval of a pair of single runs, and for the moment at which something went away.

use std::collections::BTreeMap;
use std::ops::Range;

use runlog::columns;
use runlog::hlog::{self, LatencyInterval};
use runlog::write::CounterRow;

use crate::phases::Span;
use crate::report::experiment::Point;
use crate::report::measure::{broker_rows, loaded_span, tool_rows};
use crate::report::metric::Metric;
use crate::series;
use crate::stats::resample::Counted;

/// The series of a point, and which part of each the figures are from.
pub struct Series {
    /// Samples of the broker's host, and the intervals of the window.
    pub broker: Option<(series::Series, Range<usize>)>,
    /// Counters of each load tool with its mode.
    pub tools: Vec<(String, Vec<CounterRow>)>,
    /// The window by the tools' clock.
    pub span: Option<Span>,
    /// In which clients and deliveries are watched: the window, or from the begin to the last message sent where nobody marked
    /// one, because the plateau of a load ends where its receivers do.
    pub watched: Option<Span>,
}

impl Series {
    /// Reads what the point's runs wrote; what is wrong with the files is told where the figures are made.
    pub fn of(point: &Point, is_plain: bool) -> Self {
        let read = |run: &runlog::Run| series::Series::of_run(run).ok();
        let broker = point.broker.as_ref().and_then(read).map(|series| {
            let rows = broker_rows(point, &series, is_plain);
            (series, rows)
        });
        let tools: Vec<(String, Vec<CounterRow>)> = point
            .loads
            .iter()
            .map(|load| {
                let rows = load.run.counters().map(|rows| rows.value).unwrap_or_default();
                (load.summary.mode.clone(), point.by_one_clock(&load.run, rows))
            })
            .collect();
        let span = point.measured.or_else(|| loaded_span(tools.iter().map(|(mode, rows)| (mode.as_str(), &rows[..]))));
        let watched = point.measured.or_else(|| sending(&tools));
        Self { broker, tools, span, watched }
    }

    /// Some figures per interval, in the order of time.
    pub fn over_time(&self) -> BTreeMap<Metric, Vec<f64>> {
        let mut found = BTreeMap::new();
        if let Some((series, rows)) = &self.broker {
            for (metric, counters, scale) in RATES {
                let rates: Option<Vec<Vec<f64>>> = counters.iter().map(|counter| series.rates(counter)).collect();
                let Some(rates) = rates else { continue };
                let sum = rows.clone().map(|row| rates.iter().map(|rates| rates[row]).sum::<f64>() * scale);
                found.insert(metric, known(sum));
            }
            for (metric, gauge, scale) in LEVELS {
                let Some(levels) = series.levels(gauge) else { continue };
                found.insert(metric, known(levels[rows.clone()].iter().map(|level| level * scale)));
            }
        }
        let per_second = |mode, counter| self.per_second(mode, counter, self.span);
        found.insert(Metric::DeliveredPerS, per_second("sub", |row| row.received));
        found.insert(Metric::OfferedPerS, per_second("pub", |row| row.offered));
        found.insert(Metric::SentPerS, per_second("pub", |row| row.written));
        found.insert(Metric::AckedPerS, per_second("pub", |row| row.acked));
        found.insert(Metric::CpuPerMessage, self.cpu_per_message());
        found.retain(|_, values| !values.is_empty());
        found
    }

    /// What the tools of a mode counted together in each second of a span.
    pub fn per_second(&self, mode: &str, counter: fn(&CounterRow) -> u64, span: Option<Span>) -> Vec<f64> {
        let grid = self.grid(span);
        let mut sums = vec![0.0; grid.len().saturating_sub(1)];
        let mut is_known = false;
        for (_, rows) in self.tools.iter().filter(|(of, _)| of == mode) {
            let counts: Vec<(u64, f64)> = rows.iter().map(|row| (row.wall_ns, counter(row) as f64)).collect();
            let Some(counts) = at(&counts, &grid) else { return Vec::new() };
            sums.iter_mut().zip(counts.windows(2)).for_each(|(sum, pair)| *sum += pair[1] - pair[0]);
            is_known = true;
        }
        if is_known { sums } else { Vec::new() }
    }

    /// CPU time of the broker over messages delivered, in each second with a message, us.
    fn cpu_per_message(&self) -> Vec<f64> {
        let delivered = self.per_second("sub", |row| row.received, self.span);
        let Some((series, _)) = &self.broker else { return Vec::new() };
        let columns = [columns::WALL_NS, columns::PROC_CPU_USER_US, columns::PROC_CPU_SYS_US];
        let [Some(walls), Some(user), Some(system)] = columns.map(|name| series.table.counts(name)) else {
            return Vec::new();
        };
        let used = walls.iter().zip(user).zip(system);
        let used: Vec<(u64, f64)> =
            used.filter_map(|((wall, user), system)| Some(((*wall)?, (user? + system?) as f64))).collect();
        let Some(used) = at(&used, &self.grid(self.span)) else { return Vec::new() };
        let per_second = used.windows(2).map(|pair| pair[1] - pair[0]).zip(delivered);
        per_second.filter(|(_, messages)| *messages > 0.0).map(|(cpu_us, messages)| cpu_us / messages).collect()
    }

    /// The seconds of a span for which every tool and the broker's sampler have rows around them.
    fn grid(&self, span: Option<Span>) -> Vec<u64> {
        let Some(span) = span else { return Vec::new() };
        let (mut begin, mut end) = (span.begin_wall_ns, span.end_wall_ns);
        for (_, rows) in &self.tools {
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Vec::new() };
            (begin, end) = (begin.max(first.wall_ns), end.min(last.wall_ns));
        }
        let walls = self.broker.as_ref().and_then(|(series, _)| series.table.counts(columns::WALL_NS));
        if let Some(walls) = walls {
            let known: Vec<u64> = walls.into_iter().flatten().collect();
            let (Some(first), Some(last)) = (known.first(), known.last()) else { return Vec::new() };
            (begin, end) = (begin.max(*first), end.min(*last));
        }
        let seconds = end.saturating_sub(begin) / runlog::clock::NS_PER_S;
        (0..=seconds.min(SECONDS_MAX)).map(|second| begin + second * runlog::clock::NS_PER_S).collect()
    }

    /// The connections of all tools of a mode at each row of the first of them while they are watched: time since the begin of
    /// that, s, and their number.
    pub fn connected(&self, mode: &str) -> Vec<(f64, f64)> {
        let Some(span) = self.watched else { return Vec::new() };
        let tools: Vec<&[CounterRow]> =
            self.tools.iter().filter(|(of, _)| of == mode).map(|(_, rows)| tool_rows(rows, span)).collect();
        let Some(first) = tools.first() else { return Vec::new() };
        let level = |row: &CounterRow| {
            let latest = |rows: &&[CounterRow]| {
                let after = rows.partition_point(|other| other.mono_ns <= row.mono_ns);
                rows.get(after.saturating_sub(1)).map_or(0.0, |row| row.connected as f64)
            };
            let since_ns = row.mono_ns.saturating_sub(span.begin_mono_ns);
            (since_ns as f64 * 1e-9, tools.iter().map(latest).sum::<f64>())
        };
        first.iter().map(level).collect()
    }
}

/// From the first row of the tools to the last in which a message was sent; without publishers to the last row but one, since the
/// last is written when the clients have left.
fn sending(tools: &[(String, Vec<CounterRow>)]) -> Option<Span> {
    let first = tools.iter().filter_map(|(_, rows)| rows.first()).min_by_key(|row| row.mono_ns)?;
    let sent = tools.iter().flat_map(|(_, rows)| rows.windows(2)).filter(|pair| pair[1].written > pair[0].written);
    let last_sent = sent.map(|pair| pair[1]).max_by_key(|row| row.mono_ns);
    let before_last = || {
        let rows = tools.iter().filter_map(|(_, rows)| rows.get(rows.len().checked_sub(2)?));
        rows.min_by_key(|row| row.mono_ns).copied()
    };
    let last = last_sent.or_else(before_last).filter(|last| last.mono_ns > first.mono_ns)?;
    Some(Span {
        begin_mono_ns: first.mono_ns,
        end_mono_ns: last.mono_ns,
        begin_wall_ns: first.wall_ns,
        end_wall_ns: last.wall_ns,
    })
}

/// The intervals of a latency log as plain counts: those from due times where there are any.
pub fn latencies(log: &[LatencyInterval]) -> Vec<Counted> {
    let of_tag = |tag: Option<&str>| {
        let mut intervals: Vec<&LatencyInterval> = log.iter().filter(|line| line.tag.as_deref() == tag).collect();
        intervals.sort_by_key(|line| line.start_wall_ns);
        let counted = |line: &LatencyInterval| {
            line.histogram.iter_recorded().map(|value| (value.value_iterated_to(), value.count_at_value())).collect()
        };
        intervals.into_iter().map(counted).collect::<Vec<Counted>>()
    };
    let corrected = of_tag(Some(hlog::CORRECTED));
    if corrected.is_empty() { of_tag(None) } else { corrected }
}

/// A count at these moments, on straight lines between its readings; `None` where a moment lies outside of them.
fn at(readings: &[(u64, f64)], moments: &[u64]) -> Option<Vec<f64>> {
    moments
        .iter()
        .map(|moment| {
            let after = readings.partition_point(|(wall_ns, _)| wall_ns < moment);
            let (end, later) = *readings.get(after)?;
            if end == *moment {
                return Some(later);
            }
            let (begin, earlier) = *readings.get(after.checked_sub(1)?)?;
            let share = (moment - begin) as f64 / (end - begin) as f64;
            Some(earlier + share * (later - earlier))
        })
        .collect()
}

fn known(values: impl Iterator<Item = f64>) -> Vec<f64> {
    values.filter(|value| value.is_finite()).collect()
}

/// A damaged stamp must not ask for a grid without end.
const SECONDS_MAX: u64 = 1_000_000;
const MIB: f64 = 1_048_576.0;
const RATES: [(Metric, &[&str], f64); 7] = [
    (Metric::BrokerCpu, &[columns::PROC_CPU_USER_US, columns::PROC_CPU_SYS_US], 1e-4),
    (Metric::RxMib, &[columns::RX_BYTES], 1.0 / MIB),
    (Metric::TxMib, &[columns::TX_BYTES], 1.0 / MIB),
    (Metric::TxPackets, &[columns::TX_PACKETS], 1.0),
    (Metric::OutSegs, &[columns::TCP_OUTSEGS], 1.0),
    (Metric::Ctxt, &[columns::CTXT], 1.0),
    (Metric::Retrans, &[columns::TCP_RETRANSSEGS], 1.0),
];
const LEVELS: [(Metric, &str, f64); 3] = [
    (Metric::Rss, columns::PROC_RSS_KB, 1.0 / 1024.0),
    (Metric::Vsz, columns::PROC_VSZ_KB, 1.0 / 1024.0),
    (Metric::Slab, columns::SLAB_KB, 1.0 / 1024.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_between_its_readings() {
        let readings = [(10, 0.0), (20, 100.0), (40, 100.0)];
        assert_eq!(at(&readings, &[10, 15, 20, 30, 40]), Some(vec![0.0, 50.0, 100.0, 100.0, 100.0]));
        assert_eq!(at(&readings, &[9]), None);
        assert_eq!(at(&readings, &[41]), None);
        assert_eq!(at(&[], &[1]), None);
    }
}
