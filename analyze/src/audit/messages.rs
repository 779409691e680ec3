//! F7: bytes presented as deliveries, and how far the two differ where both are known.

use std::collections::BTreeMap;

use runlog::{LoadSummary, columns};

use super::scene::carries_messages;
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;
use crate::stats::mean;

pub(super) const DETECTOR: Detector =
    Detector { flaw: "F7", title: "Bytes stand for deliveries", needs: "runs with load", look };

fn look(scene: &Scene) -> Looked {
    let mut bytes_only = DETECTOR.finding(
        "bytes-only",
        Severity::Medium,
        "Runs with load hold no count of messages received",
        "Bytes of an interface hold headers, acknowledgements and repeats, whose share differs between brokers: \
                      a difference in bytes is not the same difference in deliveries.",
    );
    let mut differs = DETECTOR.finding(
        "bytes-are-not-messages",
        Severity::Medium,
        "The difference between targets is another in bytes than in messages",
        "Which target is ahead, and by how much, hangs on what is counted: headers, acknowledgements and framing are bytes and no \
         deliveries.",
    );
    for runs in scene.contested() {
        differs.evidence.extend(by_bytes_and_messages(&runs));
    }
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
    Looked::new(busy().count(), [bytes_only, differs])
}

/// The ratio of two targets' means by bytes sent and by messages received, where these tell different things.
fn by_bytes_and_messages(runs: &[(&Reading, &Series)]) -> Option<Proof> {
    let mut targets: BTreeMap<&str, Vec<(f64, f64)>> = BTreeMap::new();
    for (reading, _) in runs {
        let plateau = &reading.summary.as_ref()?.windows.plateau;
        if let (Some(sent), Some(messages)) = (plateau.tx_mib_s, plateau.delivered_s) {
            targets.entry(reading.target.as_deref()?).or_default().push((sent, messages));
        }
    }
    let of = |values: &[(f64, f64)]| {
        let (sent, messages): (Vec<f64>, Vec<f64>) = values.iter().copied().unzip();
        Some((mean(&sent)?, mean(&messages)?))
    };
    let means: Vec<(&str, (f64, f64))> =
        targets.iter().filter_map(|(target, values)| Some((*target, of(values)?))).collect();
    let (first, rest) = means.split_first()?;
    rest.iter().find_map(|second| {
        let (in_bytes, in_messages) = (first.1.0 / second.1.0, first.1.1 / second.1.1);
        let apart = in_bytes / in_messages;
        let differs = apart.is_finite() && apart > 0.0 && apart.max(1.0 / apart) > APART;
        differs.then(|| {
            let text = format!(
                "{} against {} at {}: {:+.0} % in bytes sent, {:+.0} % in messages received",
                first.0,
                second.0,
                runs[0].0.step,
                100.0 * (in_bytes - 1.0),
                100.0 * (in_messages - 1.0)
            );
            Proof::new(runs[0].0.raw_file(), text)
        })
    })
}

/// Packets that fill differently from run to run move bytes by less.
const APART: f64 = 1.05;
