//! F20: an idle background that differs between targets.

use runlog::columns;

use super::scene::{carries_messages, connections_max, grouped, is_loopback};
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F20",
    title: "The idle background differs between targets",
    needs: "a step of idle connections against two targets over a real interface",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut differs = DETECTOR.finding(
        "idle-traffic-differs",
        Severity::Medium,
        "Idle connections cause much more traffic against one target than against the other",
        "One side answers probes that the other does not have; memory, context switches and latencies of \"idle\" \
                      are not of the same state.",
    );
    let mut looked = 0;
    for runs in scene.contested() {
        let rates: Vec<(&Reading, f64)> = runs
            .iter()
            .filter(|(r, s)| connections_max(s) >= CONNECTIONS_MIN && !carries_messages(r, s) && !is_loopback(s))
            .filter_map(|(r, s)| Some((*r, s.rate_over(columns::RX_PACKETS, 0..s.intervals.len())?)))
            .collect();
        let by_rate = |a: &&(&Reading, f64), b: &&(&Reading, f64)| a.1.total_cmp(&b.1);
        let (Some(least), Some(most)) = (rates.iter().min_by(by_rate), rates.iter().max_by(by_rate)) else { continue };
        if least.0.target == most.0.target {
            continue;
        }
        looked += 1;
        if most.1 > FACTOR * least.1 && most.1 - least.1 > DIFFERENCE_PER_S_MIN {
            let text = format!(
                "{} packets/s received by {}, {} by {}",
                grouped(most.1),
                most.0.name(),
                grouped(least.1),
                least.0.name()
            );
            differs.evidence.push(Proof::new(most.0.raw_file(), text));
        }
    }
    Looked::new(looked, [differs])
}

const CONNECTIONS_MIN: f64 = 1000.0;
/// Keep-alives that fall differently into two minutes differ by less.
const FACTOR: f64 = 2.0;
/// A host's own chatter, packets/s.
const DIFFERENCE_PER_S_MIN: f64 = 500.0;
