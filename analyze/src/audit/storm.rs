//! F18: many connections, and nothing about how they came to be.

use super::scene::{connections, connections_max, grouped};
use super::{Detector, Looked, Proof, Scene, Severity};

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F18",
    title: "Connections without connection rate, CONNACK latency or failures",
    needs: "runs with ten thousand connections or more",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut unknown = DETECTOR.finding(
        "no-connect-figures",
        Severity::Medium,
        "Many connections are shown, and nothing of how they were made",
        "Holding connections is the easy part; how fast they come, how long each waits for its CONNACK and how \
                      many fail is what an outage asks for.",
    );
    let crowded = || scene.brokers().filter(|(_, series)| connections_max(series) >= CONNECTIONS_MIN);
    for (reading, series) in crowded() {
        if scene.loads(reading).iter().any(|(_, load)| load.connect.attempted > 0) {
            continue;
        }
        let first = connections(series).first().copied().unwrap_or(0.0);
        let (most, share) = (connections_max(series), first / connections_max(series));
        let ramp = if share > 0.9 { "all of them there at the first sample" } else { "their ramp in the run" };
        let text =
            format!("{} connections, {ramp}, no connection rate, CONNACK latency or failure count", grouped(most));
        unknown.evidence.push(Proof::new(reading.raw_file(), text));
    }
    Looked::new(crowded().count(), [unknown])
}

/// Where making connections becomes a load of its own.
const CONNECTIONS_MIN: f64 = 10_000.0;
