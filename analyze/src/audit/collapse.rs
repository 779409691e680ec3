//! F6: delivery that collapses, and runs that were kept out of the tables.

use std::collections::BTreeMap;

use runlog::columns;

use super::scene::{grouped, smooth};
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F6",
    title: "Delivery collapses, or a run was kept out of the tables",
    needs: "runs with load",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, severity, title: &str, consequence: &str| DETECTOR.finding(code, severity, title, consequence);
    let mut collapses = finding(
        "delivery-collapse",
        Severity::High,
        "Delivery ends while senders go on",
        "The rate before the collapse is not one that the broker can keep; the point failed, whatever the tools say.",
    );
    let mut memory = finding(
        "collapse-at-memory-limit",
        Severity::High,
        "Delivery ends when memory stops growing",
        "The broker's memory limit ended the delivery, and not the tool that received it.",
    );
    let mut withheld = finding(
        "run-not-published",
        Severity::Medium,
        "A run with load is used by no published figure",
        "Tables from which some runs are left out show the runs that were liked.",
    );
    let mut corrupted = finding(
        "payload-corrupted",
        Severity::High,
        "Payloads arrived that were not those sent",
        "Deliveries that are not what was sent are failures, and count as none.",
    );
    for (reading, series) in scene.loaded() {
        if let Some(collapse) = Collapse::of(series) {
            collapses.evidence.push(Proof::new(reading.raw_file(), collapse.text()).at(reading, collapse.at_s));
            memory.evidence.extend(collapse.memory_proof(scene, reading, series));
        }
        withheld.evidence.extend(kept_out(scene, reading));
    }
    let mut gone = finding(
        "broker-gone",
        Severity::High,
        "The broker or one of its processes ended while the run went on",
        "What was measured afterwards is another process with empty caches and sessions, or none.",
    );
    for (reading, series) in scene.brokers() {
        gone.evidence.extend(ended(reading, series));
    }
    for (reading, load) in scene.all_loads() {
        if let Some(receive) = load.receive.as_ref().filter(|receive| receive.corrupted > 0) {
            let text =
                format!("{} of {} payloads", grouped(receive.corrupted as f64), grouped(receive.delivered as f64));
            corrupted.evidence.push(Proof::new(reading.run.summary_path().display().to_string(), text));
        }
    }
    Looked::new(scene.loaded().count(), [collapses, memory, withheld, corrupted, gone])
}

/// Moments at which the broker's process was gone, replaced or killed, by the collector's own columns; and which of several
/// processes of it ended.
fn ended(reading: &Reading, series: &Series) -> Vec<Proof> {
    let (begin, end) = (reading.plateau.start, reading.plateau.end);
    let proof = |row: usize, text: String| {
        Proof::new(reading.raw_file(), text).at(reading, series.times_s[series.intervals[row].to])
    };
    let mut found = Vec::new();
    let counts = series.levels(columns::PROC_COUNT).unwrap_or_default();
    if let Some(row) = counts.get(begin..end).and_then(|counts| counts.iter().position(|count| *count == 0.0)) {
        found.push(proof(begin + row, "the broker's process was gone".to_owned()));
    }
    for (counter, what) in [
        (columns::PROC_RESTARTS, "was replaced by another process"),
        (columns::CGROUP_OOM_KILLS, "was killed for want of memory"),
    ] {
        let increases = series.increases(counter).unwrap_or_default();
        let inside = increases.get(begin..end).unwrap_or_default();
        if let Some(row) = inside.iter().position(|increase| *increase > 0.0) {
            found.push(proof(begin + row, format!("the broker {what}")));
        }
    }
    if found.is_empty() {
        found.extend(vanished(reading, series));
    }
    found
}

/// Processes that were there when the window began and are not when it ends, by processes.csv.
fn vanished(reading: &Reading, series: &Series) -> Option<Proof> {
    let table = reading.run.processes().ok()?;
    let (stamps, pids, names) =
        (table.numbers(columns::MONO_NS).ok()?, table.numbers("pid").ok()?, table.texts("comm").ok()?);
    let moment = |row: usize| Some(series.origin_mono_ns? + (series.times_s[row] * 1e9) as u64);
    let first_ns = moment(series.intervals.get(reading.plateau.start)?.from)?;
    let last_ns = moment(series.intervals.get(reading.plateau.end.checked_sub(1)?)?.to)?;
    let mut seen: BTreeMap<u64, (u64, u64, &str)> = BTreeMap::new();
    for ((stamp, pid), name) in stamps.into_iter().zip(pids).zip(&names) {
        let (Some(stamp), Some(pid)) = (stamp, pid) else { continue };
        let (_, last, _) = seen.entry(pid).or_insert((stamp, stamp, name));
        *last = stamp;
    }
    let newest_ns = seen.values().map(|(_, last, _)| *last).max()?;
    // A process that was seen once only is a helper that comes and goes.
    let slack_ns = (last_ns - first_ns) / 10;
    let is_gone = |(first, last, _): &&(u64, u64, &str)| {
        *first <= first_ns + slack_ns && *last + slack_ns < newest_ns.min(last_ns)
    };
    let gone: Vec<&str> = seen.values().filter(is_gone).map(|(.., name)| *name).collect();
    let at_ns = seen.values().filter(is_gone).map(|(_, last, _)| *last).min()?;
    let at_s = at_ns.saturating_sub(series.origin_mono_ns?) as f64 * 1e-9;
    let text = format!("{} of {} processes of the broker ended: {}", gone.len(), seen.len(), gone.join(", "));
    Some(Proof::new(reading.run.path.display().to_string(), text).at(reading, at_s))
}

/// A lasting fall of what is sent while what is received goes on.
struct Collapse {
    at_s: f64,
    before_mib_s: f64,
    after_mib_s: f64,
    received_mib_s: f64,
    lasts_s: f64,
}

impl Collapse {
    fn of(series: &Series) -> Option<Self> {
        let mib = |rate: Vec<f64>| rate.into_iter().map(|v| v / MIB).collect::<Vec<f64>>();
        let sent = smooth(&mib(series.rates(columns::TX_BYTES)?));
        let received = smooth(&mib(series.rates(columns::RX_BYTES)?));
        let times = series.interval_times_s();
        let level = sent.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
        if level < SENT_MIB_S_MIN {
            return None;
        }
        let last_good = sent.iter().rposition(|v| *v >= FALL * level)?;
        let rows = last_good + 1..sent.len();
        let first = rows.clone().next()?;
        let half = received.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max) / 2.0;
        let still_sent = rows.clone().filter(|row| received[*row] >= half).count();
        let lasts_s = times[rows.end - 1] - times[last_good];
        if lasts_s < LASTS_S_MIN || still_sent * 2 < rows.len() {
            return None;
        }
        let rate = |name: &str| series.rate_over(name, rows.clone()).map(|v| v / MIB);
        Some(Self {
            at_s: times[first],
            before_mib_s: level_before(series, last_good)?,
            after_mib_s: rate(columns::TX_BYTES)?,
            received_mib_s: rate(columns::RX_BYTES)?,
            lasts_s,
        })
    }

    fn text(&self) -> String {
        format!(
            "sent fell from {:.0} to {:.1} MiB/s for the remaining {:.0} s, while {:.0} MiB/s were received",
            self.before_mib_s, self.after_mib_s, self.lasts_s, self.received_mib_s
        )
    }

    /// Memory that grew until then and no more.
    fn memory_proof(&self, scene: &Scene, reading: &Reading, series: &Series) -> Option<Proof> {
        let (levels, times) = (series.levels(columns::PROC_RSS_KB)?, series.interval_times_s());
        let rss_at = |s: f64| {
            let row = times.partition_point(|t| *t < s).min(times.len() - 1);
            levels[row] / 1024.0
        };
        let most = levels.iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max) / 1024.0;
        let (before, at) = (rss_at(self.at_s - NEAR_S), rss_at(self.at_s));
        let after = rss_at((self.at_s + NEAR_S).min(times[times.len() - 1]));
        let grew = (at - before) / NEAR_S;
        if grew < GROWTH_MIB_S_MIN || (after - at) / NEAR_S > 0.1 * grew || at < 0.95 * most {
            return None;
        }
        let mut text = format!(
            "RSS grew by {grew:.1} MiB/s over the {NEAR_S:.0} s before, to {at:.0} MiB, and by {:.2} MiB/s in the {NEAR_S:.0} s after; \
             greatest {most:.0} MiB",
            (after - at) / NEAR_S
        );
        for (file, declared) in scene.declared(reading) {
            if let Some(limit) = declared.memory_limit_bytes {
                text += &format!(
                    ", which is {:.1} % of the broker's own limit of {:.2} GB ({}, section {})",
                    100.0 * most * MIB / limit,
                    limit / 1e9,
                    file.document,
                    declared.section
                );
            }
        }
        Some(Proof::new(reading.raw_file(), text).at(reading, self.at_s))
    }
}

/// Sent in the minute before, MiB/s.
fn level_before(series: &Series, last_good: usize) -> Option<f64> {
    let times = series.interval_times_s();
    let begin = times.partition_point(|t| *t < times[last_good] - 60.0);
    Some(series.rate_over(columns::TX_BYTES, begin..last_good + 1)? / MIB)
}

/// A run of a published document that none of its figures uses.
fn kept_out(scene: &Scene, reading: &Reading) -> Option<Proof> {
    let (file, _) = scene.declared(reading).next()?;
    let dir = reading.run.path.display().to_string();
    let uses = |judged: &crate::claims::Judged| judged.runs.contains(&dir);
    let of_file = scene.published.iter().position(|other| other.document == file.document)?;
    let is_used = scene.judged[of_file].iter().any(uses);
    (!is_used).then(|| Proof::new(reading.raw_file(), format!("no figure of {} comes from this run", file.document)))
}

/// What is left of delivery after a collapse: less than this share of its best.
const FALL: f64 = 0.2;
/// Shorter pauses come and go, s.
const LASTS_S_MIN: f64 = 20.0;
/// Below this there was no delivery to speak of, MiB/s.
const SENT_MIB_S_MIN: f64 = 10.0;
/// How far around the collapse memory is looked at, s.
const NEAR_S: f64 = 20.0;
/// Memory that grows by less has not been on its way to a limit, MiB/s.
const GROWTH_MIB_S_MIN: f64 = 1.0;
const MIB: f64 = 1024.0 * 1024.0;
