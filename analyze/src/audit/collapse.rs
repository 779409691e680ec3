//! F6: delivery that collapses, and runs that were kept out of the tables.

use runlog::columns;

use super::scene::{grouped, smooth};
use super::{Detector, Finding, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F6",
    title: "Delivery collapses, or a run was kept out of the tables",
    needs: "runs with load",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, severity, title: &str, consequence: &str| Finding {
        flaw: DETECTOR.flaw,
        code,
        severity,
        title: title.to_owned(),
        evidence: Vec::new(),
        consequence: consequence.to_owned(),
    };
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
    for (reading, load) in scene.all_loads() {
        if let Some(receive) = load.receive.as_ref().filter(|receive| receive.corrupted > 0) {
            let text =
                format!("{} of {} payloads", grouped(receive.corrupted as f64), grouped(receive.delivered as f64));
            corrupted.evidence.push(Proof::new(reading.run.summary_path().display().to_string(), text));
        }
    }
    Looked::new(scene.loaded().count(), [collapses, memory, withheld, corrupted])
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
