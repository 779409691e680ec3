//! F21: no phase marks, and the ramp inside the run.

use super::scene::{connections, connections_max, grouped, never_measured};
use super::{Detector, Looked, Proof, Scene, Severity};

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F21",
    title: "The ramp lies inside the run, which nobody marked",
    needs: "runs with connections",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut ramp = DETECTOR.finding(
        "ramp-in-run",
        Severity::Medium,
        "Clients were still connecting in the run, and no mark says where the ramp ends",
        "A window that is cut by rows or percent contains part of the ramp in one run and not in another; \
                      samplers that are started by hand begin at different stages of it.",
    );
    let connected = || scene.brokers().filter(|(_, series)| connections_max(series) >= CONNECTIONS_MIN);
    for (reading, series) in connected().filter(|(reading, _)| reading.measured.is_none() && !never_measured(reading)) {
        let (levels, times, most) = (connections(series), series.interval_times_s(), connections_max(series));
        let first = levels.iter().copied().find(|v| v.is_finite()).unwrap_or(most);
        let full = levels.iter().position(|v| *v >= FULL * most);
        if let Some(full) = full.filter(|_| first < BEGUN * most) {
            let text = format!(
                "{} connections at the begin, {} first reached after {:.0} of {:.0} s",
                grouped(first),
                grouped(levels[full]),
                times[full],
                series.duration_s()
            );
            ramp.evidence.push(Proof::new(reading.raw_file(), text).at(reading, times[full]));
        }
    }
    Looked::new(connected().count(), [ramp])
}

const CONNECTIONS_MIN: f64 = 10.0;
/// The ramp is over with this share of the most connections.
const FULL: f64 = 0.999;
/// A run that begins with this share has the ramp behind it.
const BEGUN: f64 = 0.95;
