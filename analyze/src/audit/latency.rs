//! F16: a prober that measures itself.

use runlog::{ProbeSummary, Role, Summary};

use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F16",
    title: "The prober's own delays are in the latencies",
    needs: "the prober's own samples or summary, with due and actual times",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, severity, title: &str, consequence: &str| DETECTOR.finding(code, severity, title, consequence);
    let mut omission = finding(
        "coordinated-omission",
        Severity::Medium,
        "Counted from the actual send, latencies would look better than they were",
        "A prober that waits for each answer leaves out what queued behind a slow one; use the figures from due time.",
    );
    let mut late = finding(
        "prober-late",
        Severity::Medium,
        "The prober itself was late as often as the broker was slow",
        "The tail of the curve is the prober's machine.",
    );
    let mut lost = finding(
        "probes-lost",
        Severity::High,
        "Probes did not come back",
        "They count as infinite; a percentile that leaves them out is wrong.",
    );
    let probers: Vec<(&Reading, &ProbeSummary)> = scene
        .readings()
        .iter()
        .filter(|reading| reading.run.role == Role::Prober)
        .filter_map(|r| if let Some(Summary::Probe(probe)) = &r.tool { Some((r, &**probe)) } else { None })
        .collect();
    for (reading, probe) in &probers {
        let file = || reading.run.summary_path().display().to_string();
        if let (Some(due), Some(sent)) = (probe.latency_us.p99, probe.uncorrected_latency_us.p99)
            && due > OMISSION_MIN * sent
        {
            omission
                .evidence
                .push(Proof::new(file(), format!("p99 {due:.0} us from due time, {sent:.0} from the send")));
        }
        if let (Some(lag), Some(latency)) = (probe.send_lag_us.p99, probe.latency_us.p99)
            && lag > LAG_MAX * latency
        {
            late.evidence
                .push(Proof::new(file(), format!("p99 of the send's delay {lag:.0} us, of latency {latency:.0} us")));
        }
        if probe.lost > 0 {
            lost.evidence.push(Proof::new(file(), format!("{} of {} probes", probe.lost, probe.sent)));
        }
    }
    Looked::new(probers.len(), [omission, late, lost])
}

/// Half as much again is more than the confidence interval of a p99 of some thousand samples.
const OMISSION_MIN: f64 = 1.5;
/// Share of the p99 that the prober may add.
const LAG_MAX: f64 = 0.5;
