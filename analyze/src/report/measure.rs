//! The figures of one point, from the files of its runs.
//!
//! A rate is a counter's difference over the elapsed time between the first and the last sample inside the measure phase.
//! A figure that the data does not carry is *void*, with the reason; a void is not a number and enters no mean.

use std::collections::BTreeMap;
use std::ops::Range;

use runlog::hlog::{self, LatencyInterval};
use runlog::write::CounterRow;
use runlog::{LoadSummary, Percentiles, Run, Warning, columns, order, topics};

use super::experiment::{Load, Point, StepKind};
use super::metric::Metric;
use super::recovery;
use crate::phases::Span;
use crate::series::Series;
use crate::stats::changes::steady_load;
use crate::stats::median;
use crate::summary;

/// One figure of one point.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// The value, in the metric's unit.
    Number(f64),
    /// Why there is none.
    Void(String),
}

/// What one point shows.
#[derive(Debug, Default)]
pub struct Measured {
    /// Its figures.
    pub samples: BTreeMap<Metric, Sample>,
    /// Latency histograms of the measure phase (values in ns), for the curve.
    pub latencies: Vec<LatencyInterval>,
    /// Length of the measure phase, s.
    pub measured_s: Option<f64>,
    /// Why the point does not count after all.
    pub failures: Vec<String>,
    /// What was wrong with its files.
    pub warnings: Vec<Warning>,
    /// The fewest and the most established sockets in the window.
    pub estab: Option<(f64, f64)>,
    /// Established sockets over time, from the first sample where nobody marked a phase: what is lost before the window is
    /// missing in it. Time since the first sample, s.
    estab_over_time: Vec<(f64, f64)>,
    /// CPU time of the broker in the measure phase and the unit in which the kernel counts it, us.
    cpu_us: Option<(f64, f64)>,
}

impl Measured {
    /// Reads what the point's runs wrote; `is_plain` says that no runner judged them, so that the gates which samples allow
    /// are judged here.
    pub fn of(point: &Point, kind: StepKind, is_plain: bool) -> Self {
        let mut measured = Self::default();
        measured.measured_s = point.measured.map(|span| span.seconds());
        measured.take_loads(point, kind);
        measured.take_prober(point);
        measured.take_broker(point, is_plain);
        if is_plain {
            measured.judge_connections(kind);
        }
        measured.take_ratios(point, kind);
        let recovered = recovery::of_latency(point, &mut measured.warnings);
        measured.samples.extend(recovered.map(|sample| (Metric::Recovery, sample)));
        measured.samples.extend(recovery::of_clients(point).map(|sample| (Metric::AllBack, sample)));
        measured
    }

    /// The same without figures: of a point that turned out not to count. What its files say of clients is kept, because
    /// other points are judged by it.
    #[must_use]
    pub fn voided(self) -> Self {
        Self { warnings: self.warnings, estab: self.estab, measured_s: self.measured_s, ..Self::default() }
    }

    /// A figure, if it is a number.
    pub fn number(&self, metric: Metric) -> Option<f64> {
        match self.samples.get(&metric) {
            Some(Sample::Number(value)) => Some(*value),
            _ => None,
        }
    }

    fn set(&mut self, metric: Metric, value: f64) {
        let sample = if value.is_finite() { Sample::Number(value) } else { Sample::Void("not finite".to_owned()) };
        self.samples.insert(metric, sample);
    }

    fn void(&mut self, metric: Metric, reason: impl Into<String>) {
        self.samples.insert(metric, Sample::Void(reason.into()));
    }

    fn take_loads(&mut self, point: &Point, kind: StepKind) {
        let counters: Vec<(&Load, Vec<CounterRow>)> =
            point.loads.iter().map(|load| (load, point.by_one_clock(&load.run, self.counters(&load.run)))).collect();
        let span =
            point.measured.or_else(|| loaded_span(counters.iter().map(|(load, rows)| (&*load.summary.mode, &**rows))));
        let Some(span) = span else { return };
        let of_mode = |mode: &'static str| counters.iter().filter(move |(load, _)| load.summary.mode == mode);
        let rate = |mode, counter: fn(&CounterRow) -> u64| {
            of_mode(mode).map(|(_, rows)| rate_within(rows, span, counter)).sum::<Option<f64>>()
        };
        let connected = counters.iter().map(|(_, rows)| level_within(rows, span, |row| row.connected));
        if let Some(connected) = connected.sum::<Option<f64>>().filter(|_| !counters.is_empty()) {
            self.set(Metric::Connections, connected);
        }
        let tools_cpu_us = counters.iter().map(|(_, rows)| rate_within(rows, span, |row| row.self_cpu_us));
        if let Some(cpu_us) = tools_cpu_us.sum::<Option<f64>>().filter(|_| !counters.is_empty()) {
            self.set(Metric::LoadCpu, cpu_us / 1e4);
        }
        match kind {
            StepKind::Throughput => {
                let rates = [
                    (Metric::DeliveredPerS, rate("sub", |row| row.received)),
                    (Metric::OfferedPerS, rate("pub", |row| row.offered)),
                    (Metric::SentPerS, rate("pub", |row| row.written)),
                    (Metric::AckedPerS, rate("pub", |row| row.acked).filter(|_| acknowledges(point))),
                ];
                // Where nobody subscribes nothing is due to arrive: what the broker took is the figure.
                let is_heard = point.loads("sub").next().is_some();
                for (metric, rate) in rates {
                    let rate = rate.filter(|_| is_heard || metric != Metric::DeliveredPerS);
                    rate.into_iter().for_each(|rate| self.set(metric, rate));
                }
                if is_heard && rate("sub", |row| row.received).is_none() {
                    self.void(Metric::DeliveredPerS, "fewer than two counter samples lie in the measure phase");
                }
                self.take_receipts(point);
                self.take_returns(point);
            }
            // Probes may go beside connections that only live.
            StepKind::Connections | StepKind::Latency => self.take_connects(point),
            StepKind::Idle => {}
        }
    }

    /// Counts over the whole run: what was sent before and after the measure phase must arrive as well.
    fn take_receipts(&mut self, point: &Point) {
        let received: Vec<_> = point.loads("sub").filter_map(|load| load.summary.receive.as_ref()).collect();
        let count =
            |of: fn(&runlog::summary::ReceiveSummary) -> u64| received.iter().map(|r| of(r)).sum::<u64>() as f64;
        let delivered = count(|r| r.delivered);
        let is_heard = point.loads("sub").next().is_some();
        if is_heard {
            self.set(Metric::Lost, count(|r| r.lost));
            self.set(Metric::Duplicated, count(|r| r.duplicated));
            self.set(Metric::OutOfOrder, count(|r| r.out_of_order));
            self.set(Metric::Corrupted, count(|r| r.corrupted));
        }
        let disconnected: u64 = point.loads.iter().map(|load| load.summary.disconnected.total).sum();
        self.set(Metric::Disconnected, disconnected as f64);
        let published: Vec<_> = point.loads("pub").filter_map(|load| load.summary.publish.as_ref()).collect();
        let (sent, late_max_us) =
            published.iter().fold((0, 0), |(n, late), p| (n + p.written, late.max(p.late_max_us)));
        self.set(Metric::SendLateMax, late_max_us as f64);
        // Percentiles of several senders cannot be added up; the worst of them is an upper bound.
        let lags = published.iter().filter_map(|p| p.send_lag_us.p99).filter(|lag| lag.is_finite());
        lags.reduce(f64::max).into_iter().for_each(|lag| self.set(Metric::SendLagP99, lag));
        if sent > 0 && is_heard {
            self.set(Metric::DeliveredShare, 100.0 * delivered / (sent as f64 * fan_out(point)));
            if delivered == 0.0 {
                self.failures.push(format!("{sent} messages were sent and none was delivered"));
            }
        }
        self.take_receiver_latency(point);
    }

    /// Latency in the measure phase, from the histogram log; over the whole run where the log has no interval inside it.
    fn take_receiver_latency(&mut self, point: &Point) {
        let (mut logs, mut measured) = (Vec::new(), Vec::new());
        for load in point.loads("sub") {
            let of_load = self.latency_log(&load.run);
            measured.extend(of_load.iter().filter(|log| is_measured(log, point, &load.run)).cloned());
            logs.extend(of_load);
        }
        self.latencies = if measured.is_empty() { logs } else { measured };
        let of_tag = |tag: &str| {
            hlog::merge(&self.latencies, Some(tag)).map(|sum| Percentiles::of_histogram(&sum, US_PER_NS, 0))
        };
        match (of_tag(hlog::CORRECTED), of_tag(hlog::UNCORRECTED)) {
            (Some(corrected), uncorrected) => self.take_latency(&corrected, &uncorrected.unwrap_or_default()),
            (None, _) => {
                // Percentiles of several receivers cannot be added up; one process is the rule.
                let mut summaries = point.loads("sub").filter_map(|load| load.summary.receive.as_ref());
                if let (Some(only), None) = (summaries.next(), summaries.next()) {
                    self.take_latency(&only.latency_us, &only.uncorrected_latency_us);
                }
            }
        }
    }

    fn take_connects(&mut self, point: &Point) {
        let connects: Vec<&LoadSummary> = point.loads("conn").map(|load| &load.summary).collect();
        if connects.is_empty() {
            return;
        }
        let sum = |of: fn(&LoadSummary) -> f64| connects.iter().map(|summary| of(summary)).sum::<f64>();
        self.set(Metric::ConnectRate, sum(|s| s.connect.rate_per_s));
        self.set(Metric::ConnectFailed, sum(|s| s.connect.failed as f64));
        self.set(Metric::Disconnected, sum(|s| s.disconnected.total as f64));
        self.latencies = point.loads("conn").flat_map(|load| self.latency_log(&load.run)).collect();
        let of_all = || {
            let sum = hlog::merge(&self.latencies, Some(hlog::CONNACK))?;
            Some(Percentiles::of_histogram(&sum, US_PER_NS, 0))
        };
        let connack = match connects.as_slice() {
            [only] => Some(only.connect.connack_us.clone()),
            _ => of_all(),
        };
        if let Some(connack) = connack {
            self.take_connack(&connack);
        }
    }

    /// Of clients that leave and come back: what came of their attempts, and the CONNACK latency of those in the measure phase.
    fn take_returns(&mut self, point: &Point) {
        let returning: Vec<&Load> = point.loads.iter().filter(|load| load.summary.connect.churned > 0).collect();
        if returning.is_empty() {
            return;
        }
        let failed = returning.iter().map(|load| load.summary.connect.failed + load.summary.connect.retried);
        self.set(Metric::ConnectFailed, failed.sum::<u64>() as f64);
        let mut logs = Vec::new();
        for load in returning {
            logs.extend(self.latency_log(&load.run).into_iter().filter(|log| is_measured(log, point, &load.run)));
        }
        if let Some(sum) = hlog::merge(&logs, Some(hlog::CONNACK)) {
            self.take_connack(&Percentiles::of_histogram(&sum, US_PER_NS, 0));
        }
    }

    fn take_connack(&mut self, connack: &Percentiles) {
        self.take_percentile(Metric::ConnackP50, connack, "p50");
        self.take_percentile(Metric::ConnackP99, connack, "p99");
        self.take_percentile(Metric::ConnackP999, connack, "p999");
        self.take_extreme(Metric::ConnackMax, connack.max);
    }

    fn take_prober(&mut self, point: &Point) {
        let Some((run, summary)) = &point.prober else { return };
        self.set(Metric::Probes, summary.sent as f64);
        self.set(Metric::Lost, summary.lost as f64);
        self.set(Metric::Duplicated, summary.duplicated as f64);
        self.set(Metric::OutOfOrder, summary.out_of_order as f64);
        if let Some(late_us) = summary.send_lag_us.max.filter(|late| late.is_finite()) {
            self.set(Metric::SendLateMax, late_us);
        }
        self.take_latency(&summary.latency_us, &summary.uncorrected_latency_us);
        self.latencies = self.latency_log(run);
    }

    fn take_latency(&mut self, corrected: &Percentiles, uncorrected: &Percentiles) {
        use Metric::{LatencyMax, LatencyP50, LatencyP95, LatencyP99, LatencyP999};
        use Metric::{UncorrectedMax, UncorrectedP50, UncorrectedP95, UncorrectedP99, UncorrectedP999};
        for (of, [p50, p95, p99, p999, max]) in [
            (corrected, [LatencyP50, LatencyP95, LatencyP99, LatencyP999, LatencyMax]),
            (uncorrected, [UncorrectedP50, UncorrectedP95, UncorrectedP99, UncorrectedP999, UncorrectedMax]),
        ] {
            if of.count > 0 {
                self.take_percentile(p50, of, "p50");
                self.take_percentile(p95, of, "p95");
                self.take_percentile(p99, of, "p99");
                self.take_percentile(p999, of, "p999");
                self.take_extreme(max, of.max);
            }
        }
    }

    fn take_percentile(&mut self, metric: Metric, of: &Percentiles, name: &str) {
        match of.get(name) {
            Some(value) if value.is_finite() => self.set(metric, value),
            Some(_) => self.void(metric, "infinite: lost messages reach into this percentile"),
            None => {
                let quantile = Percentiles::QUANTILES.iter().find(|(known, _)| *known == name).map_or(0.5, |(_, q)| *q);
                let needed = order::samples_needed(quantile);
                self.void(metric, format!("needs {needed} samples, there are {}", of.count));
            }
        }
    }

    fn take_extreme(&mut self, metric: Metric, value: Option<f64>) {
        match value {
            Some(value) if value.is_finite() => self.set(metric, value),
            Some(_) => self.void(metric, "infinite: a message was lost"),
            None => {}
        }
    }

    /// Nobody said how many clients there should be, but a number that falls while load runs is no plateau; see F3 of
    /// `docs/methodology.md`. One role may be ten clients beside thousands, so one in a thousand is a loss.
    fn judge_connections(&mut self, kind: StepKind) {
        if !matches!(kind, StepKind::Throughput | StepKind::Connections) {
            return;
        }
        let most = self.estab_over_time.iter().map(|(_, level)| *level).fold(0.0, f64::max);
        let full = self.estab_over_time.iter().position(|(_, level)| *level >= most).unwrap_or(0);
        let after = &self.estab_over_time[full..];
        if let Some((at_s, level)) = after.iter().find(|(_, level)| *level < ESTAB_SHARE_MIN * most) {
            let least = after.iter().map(|(_, level)| *level).fold(most, f64::min);
            let (minute, second) = (*at_s as u64 / 60, *at_s as u64 % 60);
            self.failures.push(format!(
                "lost connections while load ran: {level:.0} of {most:.0} were left at {minute}:{second:02}, {least:.0} at the least"
            ));
        }
    }

    fn take_broker(&mut self, point: &Point, is_plain: bool) {
        let Some(run) = &point.broker else { return };
        let series = match Series::of_run(run) {
            Ok(series) => series,
            Err(error) => return self.failures.push(format!("broker samples: {error:#}")),
        };
        self.warnings.extend(series.warnings.iter().cloned());
        let rows = broker_rows(point, &series, is_plain);
        if self.measured_s.is_none() && !rows.is_empty() {
            self.measured_s = Some(series.intervals[rows.clone()].iter().map(|interval| interval.dt_s).sum());
        }
        if rows.is_empty() {
            return self.void(Metric::Rss, "no sample of the broker lies in the measure phase");
        }
        let known = |name: &str| {
            let levels = series.levels(name).unwrap_or_default();
            levels.get(rows.clone()).unwrap_or_default().iter().copied().filter(|v| v.is_finite()).collect::<Vec<_>>()
        };
        if known(columns::PROC_COUNT).contains(&0.0) {
            self.failures.push("the broker's process was gone during the measure phase".to_owned());
        }
        let rss = known(columns::PROC_RSS_KB);
        median(&rss).into_iter().for_each(|kib| self.set(Metric::Rss, kib / 1024.0));
        rss.iter().copied().reduce(f64::max).into_iter().for_each(|kib| self.set(Metric::RssMax, kib / 1024.0));
        let rate = |name: &str| series.rate_over(name, rows.clone());
        let ticks_per_s = run.meta.as_ref().and_then(|meta| meta.host.clock_ticks_per_s).unwrap_or(USUAL_TICKS_PER_S);
        let elapsed_s: f64 = series.intervals[rows.clone()].iter().map(|interval| interval.dt_s).sum();
        if let Some(cpu_us) = rate(columns::PROC_CPU_USER_US).zip(rate(columns::PROC_CPU_SYS_US)) {
            self.set(Metric::BrokerCpu, (cpu_us.0 + cpu_us.1) / 1e4);
            self.cpu_us = Some(((cpu_us.0 + cpu_us.1) * elapsed_s, 1e6 / ticks_per_s as f64));
        }
        host_busy(&rate).into_iter().for_each(|percent| self.set(Metric::HostBusy, percent));
        for (metric, counter, scale) in [
            (Metric::RxMib, columns::RX_BYTES, 1.0 / MIB),
            (Metric::TxMib, columns::TX_BYTES, 1.0 / MIB),
            (Metric::TxPackets, columns::TX_PACKETS, 1.0),
            (Metric::OutSegs, columns::TCP_OUTSEGS, 1.0),
            (Metric::Ctxt, columns::CTXT, 1.0),
            (Metric::Retrans, columns::TCP_RETRANSSEGS, 1.0),
            (Metric::CollectorCpu, columns::SELF_CPU_US, 1e-4),
        ] {
            rate(counter).into_iter().for_each(|found| self.set(metric, found * scale));
        }
        let page_kib = run.meta.as_ref().and_then(|meta| meta.host.page_size).unwrap_or(4096) as f64 / 1024.0;
        for (metric, gauge, scale, most) in [
            (Metric::Vsz, columns::PROC_VSZ_KB, 1.0 / 1024.0, false),
            (Metric::Slab, columns::SLAB_KB, 1.0 / 1024.0, false),
            (Metric::SockMem, columns::SOCK_TCP_MEM_PAGES, page_kib / 1024.0, true),
        ] {
            let levels = known(gauge);
            let found = if most { levels.into_iter().reduce(f64::max) } else { median(&levels) };
            found.into_iter().for_each(|level| self.set(metric, level * scale));
        }
        let begin = if is_plain && point.measured.is_none() { 0 } else { rows.start };
        let levels = series.levels(columns::TCP_ESTAB).unwrap_or_default();
        let over_time = series.interval_times_s().into_iter().zip(levels).take(rows.end).skip(begin);
        self.estab_over_time = over_time.filter(|(_, level)| level.is_finite()).collect();
        let estab = known(columns::TCP_ESTAB);
        self.estab = estab.iter().copied().reduce(f64::min).zip(estab.iter().copied().reduce(f64::max));
        if let Some((least, _)) = self.estab {
            self.set(Metric::Estab, least);
            if is_plain && point.loads.is_empty() {
                self.set(Metric::Connections, least);
            }
        }
    }

    fn take_ratios(&mut self, point: &Point, kind: StepKind) {
        if kind == StepKind::Throughput
            && let Some((cpu_us, tick_us)) = self.cpu_us
            && let (Some(cpu), Some(delivered)) = (self.number(Metric::BrokerCpu), self.number(Metric::DeliveredPerS))
        {
            if cpu_us < CPU_TICKS_MIN * tick_us {
                let (used_ms, tick_ms) = (cpu_us / 1e3, tick_us / 1e3);
                let reason = format!(
                    "the broker used {used_ms:.0} ms of CPU, too little for a kernel that counts in steps of {tick_ms:.0} ms"
                );
                self.void(Metric::CpuPerMessage, reason);
            } else if delivered > 0.0 {
                self.set(Metric::CpuPerMessage, cpu * 1e4 / delivered);
            }
        }
        let no_load = point.loads.is_empty() && kind == StepKind::Idle;
        if no_load {
            self.set(Metric::Connections, 0.0);
        }
    }

    fn counters(&mut self, run: &Run) -> Vec<CounterRow> {
        match run.counters() {
            Ok(loaded) => {
                self.warnings.extend(loaded.warnings);
                loaded.value
            }
            Err(error) => {
                self.failures.push(error.to_string());
                Vec::new()
            }
        }
    }

    fn latency_log(&mut self, run: &Run) -> Vec<LatencyInterval> {
        if !run.latency_path().exists() {
            return Vec::new();
        }
        match run.latency() {
            Ok(loaded) => {
                self.warnings.extend(loaded.warnings);
                loaded.value
            }
            Err(error) => {
                self.warnings.push(Warning { file: run.latency_path(), line: None, message: error.to_string() });
                Vec::new()
            }
        }
    }
}

/// Whether an interval of a histogram log lies in the measure phase.
fn is_measured(log: &LatencyInterval, point: &Point, run: &Run) -> bool {
    point.measured_of(run).is_some_and(|span| log.is_within(span.begin_wall_ns, span.end_wall_ns))
}

/// Whether the publishers ask for acknowledgements.
fn acknowledges(point: &Point) -> bool {
    point
        .loads("pub")
        .any(|load| config(&load.run, "qos").and_then(serde_json::Value::as_u64).is_some_and(|qos| qos > 0))
}

/// How many deliveries one message should cause: all subscribers share one topic, or each has its own (`%i` and its like), which is
/// a subscriber of one part of the load or of another where several hosts share it. Those to whose topics nobody publishes have none.
fn fan_out(point: &Point) -> f64 {
    let has_own_topic = |load: &Load| topics::of(&load.run).any(|topic| topic.contains('%'));
    let parts = |load: &Load| config(&load.run, "part").and_then(|part| part.get("of")?.as_f64()).unwrap_or(1.0);
    let of = |load: &Load| if has_own_topic(load) { 1.0 / parts(load) } else { load.summary.clients as f64 };
    let is_heard = |load: &&Load| point.loads("pub").any(|publisher| topics::may_hear(&load.run, &publisher.run));
    point.loads("sub").filter(is_heard).map(of).sum()
}

fn config<'a>(run: &'a Run, key: &str) -> Option<&'a serde_json::Value> {
    run.meta.as_ref()?.config.get(key)
}

/// The intervals of the broker's samples that figures are taken from: the measure phase; without marks all of a playbook's
/// point, and of other runs the steady part of the load.
pub fn broker_rows(point: &Point, series: &Series, is_plain: bool) -> Range<usize> {
    match point.broker.as_ref().map_or(point.measured, |run| point.measured_of(run)) {
        Some(span) => series.intervals_between(span.begin_mono_ns, span.end_mono_ns),
        None => Some(0..series.intervals.len())
            .filter(|_| !is_plain)
            .or_else(|| summary::loaded_and_joined(series))
            .unwrap_or(0..series.intervals.len()),
    }
}

/// Without phase marks: the steady part of the deliveries, from the modes and counters of the load tools.
pub fn loaded_span<'a>(tools: impl Iterator<Item = (&'a str, &'a [CounterRow])> + Clone) -> Option<Span> {
    let (mut subscribers, mut all) = (tools.clone().filter(|(mode, _)| *mode == "sub"), tools);
    let (_, rows) = subscribers.next().or_else(|| all.next())?;
    let moved: Vec<f64> =
        rows.windows(2).map(|pair| pair[1].received.saturating_sub(pair[0].received) as f64).collect();
    let whole = (0, rows.len().checked_sub(1)?);
    let (first, last) = steady_load(&moved, 1.0).map_or(whole, |range| (range.start, range.end));
    let (begin, end) = (rows[first], rows[last]);
    Some(Span {
        begin_mono_ns: begin.mono_ns,
        end_mono_ns: end.mono_ns,
        begin_wall_ns: begin.wall_ns,
        end_wall_ns: end.wall_ns,
    })
}

/// The rows of a tool inside a span.
pub fn tool_rows(rows: &[CounterRow], span: Span) -> &[CounterRow] {
    let begin = rows.partition_point(|row| row.mono_ns < span.begin_mono_ns);
    let end = rows.partition_point(|row| row.mono_ns <= span.end_mono_ns);
    &rows[begin..end.max(begin)]
}

/// A counter's difference over the elapsed time between the first and the last row inside the span, per second.
fn rate_within(rows: &[CounterRow], span: Span, counter: fn(&CounterRow) -> u64) -> Option<f64> {
    let rows = tool_rows(rows, span);
    let (first, last) = (rows.first()?, rows.last()?);
    let elapsed_s = (last.mono_ns - first.mono_ns) as f64 * 1e-9;
    (elapsed_s > 0.0).then(|| (counter(last) as f64 - counter(first) as f64) / elapsed_s)
}

/// The least level inside the span: a gauge that dipped is not made whole by its median.
fn level_within(rows: &[CounterRow], span: Span, gauge: fn(&CounterRow) -> u64) -> Option<f64> {
    tool_rows(rows, span).iter().map(gauge).min().map(|level| level as f64)
}

/// Share of all cores' time that was not idle, percent.
fn host_busy(rate: &dyn Fn(&str) -> Option<f64>) -> Option<f64> {
    let busy: f64 = [
        columns::CPU_USER_TICKS,
        columns::CPU_NICE_TICKS,
        columns::CPU_SYSTEM_TICKS,
        columns::CPU_IRQ_TICKS,
        columns::CPU_SOFTIRQ_TICKS,
        columns::CPU_STEAL_TICKS,
    ]
    .into_iter()
    .filter_map(rate)
    .sum();
    let idle = rate(columns::CPU_IDLE_TICKS)? + rate(columns::CPU_IOWAIT_TICKS).unwrap_or(0.0);
    (busy + idle > 0.0).then(|| 100.0 * busy / (busy + idle))
}

/// With fewer ticks than this the error of counting them exceeds a fifth.
const CPU_TICKS_MIN: f64 = 10.0;
const USUAL_TICKS_PER_S: u64 = 100;
const US_PER_NS: f64 = 1e-3;
const MIB: f64 = 1_048_576.0;
/// Below this share of the greatest number of connections, clients were lost.
const ESTAB_SHARE_MIN: f64 = 0.999;
