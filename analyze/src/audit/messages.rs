//! F7: bytes presented as deliveries.

use runlog::{LoadSummary, columns};

use super::scene::carries_messages;
use super::{Detector, Finding, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector =
    Detector { flaw: "F7", title: "Bytes stand for deliveries", needs: "runs with load", look };

fn look(scene: &Scene) -> Looked {
    let mut bytes_only = Finding {
        flaw: DETECTOR.flaw,
        code: "bytes-only",
        severity: Severity::Medium,
        title: "Runs with load hold no count of messages received".to_owned(),
        evidence: Vec::new(),
        consequence:
            "Bytes of an interface hold headers, acknowledgements and repeats, whose share differs between brokers: \
                      a difference in bytes is not the same difference in deliveries."
                .to_owned(),
    };
    let has_messages = |reading: &Reading, series: &Series| {
        let moves = |load: &LoadSummary| load.publish.is_some() || load.receive.is_some();
        carries_messages(reading, series) || scene.loads(reading).iter().any(|(_, load)| moves(load))
    };
    let busy = || scene.loaded().filter(|(reading, series)| has_messages(reading, series));
    for (reading, series) in busy() {
        if scene.loads(reading).iter().any(|(_, load)| load.receive.is_some()) {
            continue;
        }
        let rate = |name| series.rate_over(name, reading.plateau.clone()).unwrap_or(0.0) / (1024.0 * 1024.0);
        let text = format!(
            "{:.1} MiB/s sent and {:.1} received by the host, messages unknown",
            rate(columns::TX_BYTES),
            rate(columns::RX_BYTES)
        );
        bytes_only.evidence.push(Proof::new(reading.raw_file(), text));
    }
    Looked::new(busy().count(), [bytes_only])
}
