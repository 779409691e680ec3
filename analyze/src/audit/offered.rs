//! F8: less was offered than the table says.

use runlog::columns;

use super::scene::grouped;
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F8",
    title: "Less was offered than asked for",
    needs: "the publishers' own counts, or a declared rate and payload with a run to compare",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut behind = DETECTOR.finding(
        "offered-less",
        Severity::High,
        "Publishers sent less than was asked of them",
        "Publishers that wait for the broker offer what it takes: the load differs between targets, and latency \
                      leaves out the waiting.",
    );
    let mut looked = 0;
    for (reading, load) in scene.all_loads() {
        let Some(publish) = &load.publish else { continue };
        looked += 1;
        let share = publish.written as f64 / publish.offered.max(1) as f64;
        if share < SHARE_MIN || load.generator_limited {
            let text = format!(
                "{} of {} due messages were sent ({:.1} %){}",
                grouped(publish.written as f64),
                grouped(publish.offered as f64),
                100.0 * share,
                if load.generator_limited { "; the generator could not keep its plan" } else { "" }
            );
            behind.evidence.push(Proof::new(reading.run.summary_path().display().to_string(), text));
        }
    }
    let mut unanswered = DETECTOR.finding(
        "acks-missing",
        Severity::High,
        "Messages that ask for an acknowledgement got none",
        "The broker did not take responsibility for them, whatever it delivered.",
    );
    let mut lost = DETECTOR.finding(
        "messages-lost",
        Severity::High,
        "Messages were sent and did not arrive",
        "The rate of what arrived belongs to a lower load than the one that was sent.",
    );
    for (reading, load) in scene.all_loads() {
        let file = || reading.run.summary_path().display().to_string();
        let asks =
            reading.run.meta.as_ref().and_then(|meta| meta.config.get("qos")?.as_u64()).is_some_and(|qos| qos > 0);
        if let Some(publish) =
            load.publish.as_ref().filter(|publish| asks && (publish.acked as f64) < SHARE_MIN * publish.written as f64)
        {
            let text = format!("{} of {} acknowledged", grouped(publish.acked as f64), grouped(publish.written as f64));
            unanswered.evidence.push(Proof::new(file(), text));
        }
        if let Some(receive) = load.receive.as_ref().filter(|receive| receive.lost > 0) {
            let due = (receive.delivered + receive.lost) as f64;
            let text = format!(
                "{} of {} messages ({:.2} %) did not arrive",
                grouped(receive.lost as f64),
                grouped(due),
                100.0 * receive.lost as f64 / due
            );
            lost.evidence.push(Proof::new(file(), text));
        }
    }
    for (reading, series) in scene.loaded() {
        for (file, declared) in scene.declared(reading) {
            let (Some(offered), Some(payload)) = (declared.offered_per_s, declared.payload_bytes) else { continue };
            let Some(most) = messages_per_s_max(reading, series, payload) else { continue };
            looked += 1;
            if most < SHARE_MIN_BY_BYTES * offered {
                let text = format!(
                    "at most {} messages/s fit into the bytes received, {} (section {}) asks for {}",
                    grouped(most),
                    file.document,
                    declared.section,
                    grouped(offered)
                );
                behind.evidence.push(Proof::new(reading.raw_file(), text));
            }
        }
    }
    Looked::new(looked, [behind, unanswered, lost])
}

/// No more PUBLISH packets of this payload than these can have come in: bytes without the headers of the frames, over the
/// smallest packet.
fn messages_per_s_max(reading: &Reading, series: &Series, payload: u64) -> Option<f64> {
    let rate = |name| series.rate_over(name, reading.plateau.clone());
    let (bytes, packets) = (rate(columns::RX_BYTES)?, rate(columns::RX_PACKETS)?);
    Some((bytes - FRAME_BYTES * packets).max(0.0) / (payload as f64 + PUBLISH_BYTES_MIN))
}

/// What a message may be late at the end of a run.
const SHARE_MIN: f64 = 0.99;
/// Bytes are a coarse measure.
const SHARE_MIN_BY_BYTES: f64 = 0.9;
/// Ethernet, IP and TCP headers without options.
const FRAME_BYTES: f64 = 54.0;
/// Fixed header, topic length and one byte of topic.
const PUBLISH_BYTES_MIN: f64 = 5.0;
