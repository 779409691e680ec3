//! What went on at one point over time: rates and levels, phases, events. Failed points have one too: it is the evidence.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use runlog::hlog::{self, LatencyInterval};
use runlog::write::CounterRow;
use runlog::{Edge, Event, EventKind, Run, clock, columns};
use serde::{Serialize, Serializer};

use super::experiment::{Load, Point};
use super::measure;
use super::steady::Steadiness;
use super::text::Text;
use crate::phases::{self, MEASURE};
use crate::series::{Clock, Series};

/// One point over time. Times are seconds since the begin of the measure phase, or since the first sample where nobody
/// marked one.
#[derive(Debug, Serialize)]
pub struct Timeline {
    /// Label of the target.
    pub label: String,
    /// Repeat.
    pub repeat: u32,
    /// Whether the point counts.
    pub is_failed: bool,
    /// Whether the broker's samples have whole-second stamps, so that rates jump where the true period is no whole second.
    pub has_whole_seconds: bool,
    /// The lines.
    pub lines: Vec<(Quantity, Vec<(f64, f64)>)>,
    /// Name, begin and end of each phase.
    pub phases: Vec<(String, f64, f64)>,
    /// How rate, memory and connections went in the window that figures are taken from.
    pub steady: Vec<Steadiness>,
    /// What happened: failed gates, errors, disconnects.
    pub marks: Vec<(f64, String)>,
}

/// Seconds and values.
type Points = Vec<(f64, f64)>;

/// A quantity over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// Messages received by all subscribers.
    Delivered,
    /// Messages that the plan had due.
    Offered,
    /// Connections that live.
    Connected,
    /// Sent by the broker's interface.
    Sent,
    /// Received by it.
    Received,
    /// Established sockets.
    Established,
    /// Memory of the broker.
    Rss,
    /// CPU of the broker.
    Cpu,
    /// CPU of the load tools.
    LoadCpu,
    /// Latency from the due time: median of each interval of the histogram log.
    LatencyMedian,
    /// The same: greatest.
    LatencyMax,
    /// From the begin of the TCP connect to the CONNACK: median of each interval.
    ConnackMedian,
    /// The same: greatest.
    ConnackMax,
    /// From when a message was due to when it was sent: greatest of each interval.
    SendLagMax,
}

impl Quantity {
    /// All.
    pub const ALL: [Self; 14] = [
        Self::Delivered,
        Self::Offered,
        Self::Connected,
        Self::Sent,
        Self::Received,
        Self::Established,
        Self::Rss,
        Self::Cpu,
        Self::LoadCpu,
        Self::LatencyMedian,
        Self::LatencyMax,
        Self::ConnackMedian,
        Self::ConnackMax,
        Self::SendLagMax,
    ];

    /// Stable name in JSON, unit last.
    pub fn key(self) -> &'static str {
        match self {
            Self::Delivered => "delivered_per_s",
            Self::Offered => "offered_per_s",
            Self::Connected => "connected",
            Self::Sent => "tx_mib_s",
            Self::Received => "rx_mib_s",
            Self::Established => "sockets_established",
            Self::Rss => "broker_rss_mib",
            Self::Cpu => "broker_cpu_percent",
            Self::LoadCpu => "load_cpu_percent",
            Self::LatencyMedian => "latency_us_median",
            Self::LatencyMax => "latency_us_max",
            Self::ConnackMedian => "connack_us_median",
            Self::ConnackMax => "connack_us_max",
            Self::SendLagMax => "send_lag_us_max",
        }
    }

    /// Whether it comes from histogram logs.
    pub fn is_of_histograms(self) -> bool {
        matches!(
            self,
            Self::LatencyMedian | Self::LatencyMax | Self::ConnackMedian | Self::ConnackMax | Self::SendLagMax
        )
    }

    /// Name and unit, for an axis.
    pub fn axis(self) -> Text {
        match self {
            Self::Delivered => Text::pair("delivered, msg/s", "投递，条/s"),
            Self::Offered => Text::pair("offered, msg/s", "应发，条/s"),
            Self::Connected => Text::pair("clients connected", "已连接的客户端，个"),
            Self::Sent => Text::pair("sent by the broker's host, MiB/s", "服务端主机发送，MiB/s"),
            Self::Received => Text::pair("received by the broker's host, MiB/s", "服务端主机接收，MiB/s"),
            Self::Established => Text::pair("established TCP sockets", "已建立的 TCP 套接字，个"),
            Self::Rss => Text::pair("broker memory (RSS), MiB", "服务端内存（RSS），MiB"),
            Self::Cpu => Text::pair("broker CPU, % of a core", "服务端 CPU，单核 %"),
            Self::LoadCpu => Text::pair("CPU of the load tools, % of a core", "负载工具 CPU，单核 %"),
            Self::LatencyMedian => Text::pair("latency from due time, median", "延迟（自应发时刻），中位数"),
            Self::LatencyMax => Text::pair("latency from due time", "延迟（自应发时刻）"),
            Self::ConnackMedian => Text::pair("CONNACK latency, median", "CONNACK 延迟，中位数"),
            Self::ConnackMax => Text::pair("CONNACK latency", "CONNACK 延迟"),
            Self::SendLagMax => Text::pair("send lag: from due time to send", "发送滞后：应发到发送"),
        }
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.key())
    }
}

impl Timeline {
    /// Reads what the point's runs sampled; `None` when nothing did.
    pub fn of(point: &Point, label: &str, is_plain: bool) -> Option<Self> {
        let series = point.broker.as_ref().and_then(|run| Series::of_run(run).ok());
        let counters = point.loads.iter().filter_map(|load| {
            let rows = load.run.counters().ok()?.value;
            Some((load, point.by_one_clock(&load.run, rows)))
        });
        let counters: Vec<(&Load, Vec<CounterRow>)> = counters.collect();
        let first = counters.iter().filter_map(|(_, rows)| Some(rows.first()?.mono_ns)).min();
        let sampled = series.as_ref().and_then(|series| {
            let run = point.broker.as_ref()?;
            Some(point.mono_ns_of(run, series.origin_mono_ns?))
        });
        let origin_ns = point.measured.map(|span| span.begin_mono_ns).or(sampled).or(first);
        let since = |mono_ns: u64| (i128::from(mono_ns) - i128::from(origin_ns.unwrap_or(mono_ns))) as f64 * 1e-9;
        let mut lines: Vec<(Quantity, Vec<(f64, f64)>)> = Vec::new();
        let mut steady = Vec::new();
        let window = window_s(point, series.as_ref(), &counters, &since, is_plain);
        let mut add = |quantity, points: Vec<(f64, f64)>| {
            // What a shared host sends is of all its programs; it stands for deliveries only where nobody counted them.
            let is_judged = Steadiness::QUANTITIES.contains(&quantity) && (is_plain || quantity != Quantity::Sent);
            if is_judged {
                steady.extend(window.and_then(|window| Steadiness::of(quantity, &points, window)));
            }
            // One second of a histogram log is a figure; one sample of a counter is none.
            if points.len() > 1 || (quantity.is_of_histograms() && !points.is_empty()) {
                lines.push((quantity, thinned(points)));
            }
        };
        let of_mode = |mode: &'static str| {
            counters.iter().filter(move |(load, _)| load.summary.mode == mode).map(|(_, rows)| rows.as_slice())
        };
        let all = || counters.iter().map(|(_, rows)| rows.as_slice());
        add(Quantity::Delivered, rates(of_mode("sub"), &since, |row| row.received));
        add(Quantity::Offered, rates(of_mode("pub"), &since, |row| row.offered));
        add(Quantity::Connected, levels(all(), &since, |row| row.connected));
        let cpu = rates(all(), &since, |row| row.self_cpu_us);
        add(Quantity::LoadCpu, cpu.into_iter().map(|(t, us)| (t, us / 1e4)).collect());
        let logs = |runs: &mut dyn Iterator<Item = &Run>, tag: &str| distribution(runs, tag, point, origin_ns);
        let of_mode = |mode: &'static str| point.loads(mode).map(|load| &load.run);
        let probers = || point.prober.iter().map(|(run, _)| run);
        let (median, max) = logs(&mut of_mode("sub").chain(probers()), hlog::CORRECTED);
        add(Quantity::LatencyMedian, median);
        add(Quantity::LatencyMax, max);
        let (median, max) = logs(&mut of_mode("conn"), hlog::CONNACK);
        add(Quantity::ConnackMedian, median);
        add(Quantity::ConnackMax, max);
        add(Quantity::SendLagMax, logs(&mut of_mode("pub"), hlog::SEND_LAG).1);
        if let Some(series) = &series {
            let offset = sampled.map_or(0.0, since);
            let of = |values: Option<Vec<f64>>, scale: f64| -> Vec<(f64, f64)> {
                let times = series.interval_times_s().into_iter();
                let points = times.zip(values.unwrap_or_default()).map(|(t, v)| (t + offset, v * scale));
                points.filter(|(_, v)| v.is_finite()).collect()
            };
            add(Quantity::Sent, of(series.rates(columns::TX_BYTES), 1.0 / MIB));
            add(Quantity::Received, of(series.rates(columns::RX_BYTES), 1.0 / MIB));
            add(Quantity::Established, of(series.levels(columns::TCP_ESTAB), 1.0));
            add(Quantity::Rss, of(series.levels(columns::PROC_RSS_KB), 1.0 / 1024.0));
            let used = series.rates(columns::PROC_CPU_USER_US).zip(series.rates(columns::PROC_CPU_SYS_US));
            add(Quantity::Cpu, of(used.map(|(user, sys)| user.iter().zip(sys).map(|(u, s)| u + s).collect()), 1e-4));
        }
        // What happens once the measure phase is over is the end of the step, which stops everything.
        let is_before_end = |event: &Event| point.measured.is_none_or(|span| event.mono_ns <= span.end_mono_ns);
        let own = |run| {
            let events = own_events(run).unwrap_or_default().into_iter();
            events.map(|event| Event { mono_ns: point.mono_ns_of(run, event.mono_ns), ..event })
        };
        let own: Vec<Event> = point.runs().flat_map(own).filter(is_before_end).collect();
        let marks = marks(point.events.iter().chain(&own), &since);
        let phases = phases(&point.events, &since);
        let is_failed = !point.failures.is_empty();
        let has_whole_seconds = series.as_ref().is_some_and(|series| series.clock == Clock::WholeSeconds);
        let label = label.to_owned();
        (!lines.is_empty()).then_some(Self {
            label,
            repeat: point.repeat,
            is_failed,
            has_whole_seconds,
            lines,
            phases,
            steady,
            marks,
        })
    }

    /// The line of a quantity.
    pub fn line(&self, quantity: Quantity) -> Option<&[(f64, f64)]> {
        self.lines.iter().find(|(known, _)| *known == quantity).map(|(_, points)| points.as_slice())
    }
}

/// Begin and end of the window that figures are taken from: the marked phase, or the part with load.
fn window_s(
    point: &Point,
    series: Option<&Series>,
    counters: &[(&Load, Vec<CounterRow>)],
    since: &dyn Fn(u64) -> f64,
    is_plain: bool,
) -> Option<(f64, f64)> {
    let of_series = || {
        let series = series?;
        let (times, offset) = (series.interval_times_s(), series.origin_mono_ns.map_or(0.0, since));
        let times = times.get(measure::broker_rows(point, series, is_plain))?;
        Some((times.first()? + offset, times.last()? + offset))
    };
    let tools = counters.iter().map(|(load, rows)| (load.summary.mode.as_str(), rows.as_slice()));
    let span = point.measured.or_else(|| measure::loaded_span(tools));
    span.map(|span| (since(span.begin_mono_ns), since(span.end_mono_ns))).or_else(of_series)
}

/// Median and greatest value (us) of each second of the runs' histogram logs, at the middle of the second's interval.
fn distribution(
    runs: &mut dyn Iterator<Item = &Run>,
    tag: &str,
    point: &Point,
    origin_mono_ns: Option<u64>,
) -> (Points, Points) {
    let mut seconds: BTreeMap<u64, LatencyInterval> = BTreeMap::new();
    let mut origin_wall_ns = point.measured.map(|span| span.begin_wall_ns);
    for run in runs.filter(|run| run.latency_path().exists()) {
        let Ok(log) = run.latency() else { continue };
        // The log has the wall's clock only; a run's metadata says how both clocks stood at its begin.
        let clocks = run.meta.as_ref().zip(origin_mono_ns);
        origin_wall_ns = origin_wall_ns.or(clocks.and_then(|(meta, origin)| {
            let since_ns = i128::from(origin) - i128::from(meta.started_mono_ns);
            u64::try_from(i128::from(meta.started_wall_ns) + since_ns).ok()
        }));
        let begins =
            point.measured.zip(point.measured_of(run)).map(|(ours, theirs)| (ours.begin_wall_ns, theirs.begin_wall_ns));
        for mut interval in log.value.into_iter().filter(|interval| interval.tag.as_deref() == Some(tag)) {
            if let Some((ours, theirs)) = begins {
                interval.start_wall_ns = (interval.start_wall_ns + ours).saturating_sub(theirs);
            }
            match seconds.entry(interval.start_wall_ns / clock::NS_PER_S) {
                Entry::Vacant(place) => {
                    place.insert(interval);
                }
                Entry::Occupied(mut place) => {
                    let sum = &mut place.get_mut().histogram;
                    sum.auto(true);
                    sum.add(&interval.histogram).expect("an auto-resizing histogram takes every value");
                }
            }
        }
    }
    let filled: Vec<LatencyInterval> = seconds.into_values().filter(|second| !second.histogram.is_empty()).collect();
    let Some(origin) = origin_wall_ns.or(filled.first().map(|second| second.start_wall_ns)) else {
        return (Vec::new(), Vec::new());
    };
    let at = |second: &LatencyInterval| {
        let middle_ns = i128::from(second.start_wall_ns) + i128::from(second.length_ns / 2) - i128::from(origin);
        middle_ns as f64 * 1e-9
    };
    let line = |value: &dyn Fn(&LatencyInterval) -> u64| {
        filled.iter().map(|second| (at(second), value(second) as f64 * US_PER_NS)).collect()
    };
    (line(&|second| second.histogram.value_at_quantile(0.5)), line(&|second| second.histogram.max()))
}

fn own_events(run: &Run) -> Option<Vec<Event>> {
    Some(run.events().ok()?.value)
}

/// Begin and end of each phase that the runner marked.
fn phases(events: &[Event], since: &dyn Fn(u64) -> f64) -> Vec<(String, f64, f64)> {
    let begins = events.iter().filter(|event| event.kind == EventKind::Phase && event.edge == Some(Edge::Begin));
    let span = |event: &Event| {
        let span = phases::span(events, &event.name, None)?;
        Some((event.name.clone(), since(span.begin_mono_ns), since(span.end_mono_ns)))
    };
    begins.filter_map(span).collect()
}

/// What a reader should see beside the lines; many of a kind at one moment would hide each other.
fn marks<'a>(events: impl Iterator<Item = &'a Event>, since: &dyn Fn(u64) -> f64) -> Vec<(f64, String)> {
    let mut marks: Vec<(f64, String)> = Vec::new();
    for event in events {
        let text = match event.kind {
            EventKind::Error => format!("error {}", event.name),
            EventKind::Disconnect => format!("disconnect {}", event.name),
            EventKind::Gate if event.detail.get("passed") == Some(&serde_json::Value::Bool(false)) => {
                format!("gate {}", event.name)
            }
            EventKind::Note if event.name == "interrupted" => event.name.clone(),
            _ => continue,
        };
        let at = since(event.mono_ns);
        let is_near = |(t, known): &(f64, String)| *known == text && (t - at).abs() < MARK_DISTANCE_S;
        if marks.len() < MARKS_MAX && !marks.iter().any(is_near) {
            marks.push((at, text));
        }
    }
    marks
}

/// Rate of a counter of all tools of a kind together, by the rows of the first of them.
fn rates<'a>(
    tools: impl Iterator<Item = &'a [CounterRow]>,
    since: &dyn Fn(u64) -> f64,
    counter: fn(&CounterRow) -> u64,
) -> Vec<(f64, f64)> {
    let of = |rows: &[CounterRow]| -> Vec<(f64, f64)> {
        let pairs = rows.windows(2).filter(|pair| pair[1].mono_ns > pair[0].mono_ns);
        let rate = |pair: &[CounterRow]| {
            let elapsed_s = (pair[1].mono_ns - pair[0].mono_ns) as f64 * 1e-9;
            (since(pair[1].mono_ns), counter(&pair[1]).saturating_sub(counter(&pair[0])) as f64 / elapsed_s)
        };
        pairs.map(rate).collect()
    };
    summed(tools.map(of))
}

/// A level of all tools together, by the rows of the first of them.
fn levels<'a>(
    tools: impl Iterator<Item = &'a [CounterRow]>,
    since: &dyn Fn(u64) -> f64,
    gauge: fn(&CounterRow) -> u64,
) -> Vec<(f64, f64)> {
    summed(tools.map(|rows| rows.iter().map(|row| (since(row.mono_ns), gauge(row) as f64)).collect()))
}

/// The lines added up: at each time of the first, the last known value of every other.
fn summed(lines: impl Iterator<Item = Vec<(f64, f64)>>) -> Vec<(f64, f64)> {
    let mut lines = lines.filter(|line| !line.is_empty());
    let Some(mut sum) = lines.next() else { return Vec::new() };
    for line in lines {
        for point in &mut sum {
            let known = line.partition_point(|(t, _)| *t <= point.0);
            point.1 += known.checked_sub(1).map_or(0.0, |last| line[last].1);
        }
    }
    sum
}

/// At most [`POINTS_MAX`] points: of each stretch its least and its greatest, so that no dip and no peak is lost.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points;
    }
    let stretch = points.len().div_ceil(POINTS_MAX / 2);
    let of = |part: &[(f64, f64)]| {
        let least = part.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1));
        let most = part.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut both = [least, most].into_iter().flatten().collect::<Vec<_>>();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        both.dedup();
        both
    };
    points.chunks(stretch).flat_map(of).collect()
}

/// The phase whose begin is time 0.
pub const ZERO_PHASE: &str = MEASURE;
const POINTS_MAX: usize = 400;
const MARKS_MAX: usize = 12;
const MARK_DISTANCE_S: f64 = 1.0;
const US_PER_NS: f64 = 1e-3;
const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_dips_and_peaks() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 100.0)).collect();
        points[5_001].1 = 0.0;
        points[7_777].1 = 900.0;
        let thin = thinned(points);
        assert!(thin.len() <= POINTS_MAX, "{}", thin.len());
        assert!(thin.contains(&(5_001.0, 0.0)) && thin.contains(&(7_777.0, 900.0)));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn lines_of_several_tools_add_up_by_time_not_by_row() {
        let lines = [vec![(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)], vec![(0.5, 10.0), (1.5, 20.0)]];
        assert_eq!(summed(lines.into_iter()), [(0.0, 1.0), (1.0, 12.0), (2.0, 23.0)]);
        assert_eq!(summed(std::iter::empty()), []);
    }
}
