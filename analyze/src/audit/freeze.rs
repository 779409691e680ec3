//! F19: a host that is said to freeze.

use super::{Detector, Finding, Looked, Proof, Scene, Severity};
use crate::stats::median;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F19",
    title: "A freeze of the host is claimed, or shows",
    needs: "a run in which the load's host is killed, with a scheduling canary on the broker's host and an echo over another \
            path, both as time series",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut gaps = Finding {
        flaw: DETECTOR.flaw,
        code: "sampling-gap",
        severity: Severity::High,
        title: "The host did not let its sampler run for seconds".to_owned(),
        evidence: Vec::new(),
        consequence: "Whatever stopped the sampler stopped other programs as well.".to_owned(),
    };
    for (reading, series) in scene.brokers() {
        let usual_s = median(&series.intervals.iter().map(|i| i.dt_s).collect::<Vec<_>>()).unwrap_or(0.0);
        for interval in series.intervals.iter().filter(|i| i.dt_s > GAP_S_MIN && i.dt_s > GAP_FACTOR * usual_s) {
            let at_s = series.times_s[interval.from];
            let text = format!("no sample for {:.1} s, usual are {usual_s:.1} s", interval.dt_s);
            gaps.evidence.push(Proof::new(reading.raw_file(), text).at(reading, at_s));
        }
    }
    // Without a kill and a canary the absence of gaps shows nothing.
    Looked::new(0, [gaps])
}

/// Shorter ones happen on busy machines, s.
const GAP_S_MIN: f64 = 5.0;
const GAP_FACTOR: f64 = 4.0;
