//! F19: a host that is said to freeze.

use runlog::columns;

use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;
use crate::stats::median;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F19",
    title: "A freeze of the host is claimed, or shows",
    needs: "a run in which the load's host is killed, with a scheduling canary on the broker's host and an echo over another \
            path, both as time series",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut gaps = DETECTOR.finding(
        "sampling-gap",
        Severity::High,
        "The host did not let its sampler run for seconds",
        "Whatever stopped the sampler stopped other programs as well.",
    );
    for (reading, series) in scene.brokers() {
        let usual_s = median(&series.intervals.iter().map(|i| i.dt_s).collect::<Vec<_>>()).unwrap_or(0.0);
        for interval in series.intervals.iter().filter(|i| i.dt_s > GAP_S_MIN && i.dt_s > GAP_FACTOR * usual_s) {
            let at_s = series.times_s[interval.from];
            let text = format!("no sample for {:.1} s, usual are {usual_s:.1} s", interval.dt_s);
            gaps.evidence.push(Proof::new(reading.raw_file(), text).at(reading, at_s));
        }
    }
    let mut stalls = DETECTOR.finding(
        "canary-late",
        Severity::High,
        "A program that only had to wake up did so a second late or more",
        "The host gave no core to a program that was ready: every other program on it, the broker among them, may have \
         waited as long.",
    );
    let mut watched = 0;
    for (reading, series) in scene.brokers() {
        let Some(late_us) = series.levels(columns::CANARY_LATE_US_MAX) else { continue };
        watched += usize::from(late_us.iter().any(|late| late.is_finite()));
        stalls.evidence.extend(worst_stall(reading, series, &late_us));
    }
    // Without a canary the absence of gaps shows nothing.
    Looked::new(watched, [gaps, stalls])
}

/// The latest wake-up, where it is a stall, and what the echo did meanwhile.
fn worst_stall(reading: &Reading, series: &Series, late_us: &[f64]) -> Option<Proof> {
    let stalled = late_us.iter().filter(|late| **late >= STALL_US_MIN).count();
    let known = late_us.iter().enumerate().filter(|(_, late)| **late >= STALL_US_MIN);
    let (row, worst_us) = known.max_by(|a, b| a.1.total_cmp(b.1))?;
    let mut text =
        format!("the canary woke up {:.1} s late, and in {stalled} samples a second late or more", worst_us / 1e6);
    let echoed = series.increases(columns::ECHO_BYTES).map(|bytes| bytes[row]).filter(|bytes| bytes.is_finite());
    if let Some(echoed) = echoed {
        text += if echoed > 0.0 { "; the echo answered meanwhile" } else { "; the echo was silent meanwhile" };
    }
    let at_s = series.times_s[series.intervals[row].to];
    Some(Proof::new(reading.raw_file(), text).at(reading, at_s))
}

/// What a person feels as a freeze, us.
const STALL_US_MIN: f64 = 1e6;
/// Shorter ones happen on busy machines, s.
const GAP_S_MIN: f64 = 5.0;
const GAP_FACTOR: f64 = 4.0;
