//! F14: "packets" that are offloaded buffers.

use runlog::columns;

use super::scene::is_loopback;
use super::{Detector, Looked, Proof, Scene, Severity};

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F14",
    title: "Packet counts are counts of offloaded buffers",
    needs: "runs with load over a real interface",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut buffers = DETECTOR.finding(
        "packets-are-buffers",
        Severity::Medium,
        "What is called packets is larger than a packet can be",
        "With segmentation offload one count stands for several packets, how many depends on how the broker \
                      writes: fewer of them can be more traffic. Use TCP segments.",
    );
    let wired = || scene.loaded().filter(|(_, series)| !is_loopback(series));
    for (reading, series) in wired() {
        let rate = |name| series.rate_over(name, reading.plateau.clone());
        let (Some(bytes), Some(packets)) = (rate(columns::TX_BYTES), rate(columns::TX_PACKETS)) else { continue };
        let size = bytes / packets;
        if size > PACKET_BYTES_MAX {
            let mut text = format!("{size:.0} B in a mean packet sent");
            if let Some(segments) = rate(columns::TCP_OUTSEGS) {
                text += &format!(", {:.2} TCP segments each", segments / packets);
            }
            buffers.evidence.push(Proof::new(reading.raw_file(), text));
        }
    }
    Looked::new(wired().count(), [buffers])
}

/// Largest Ethernet frame of the usual MTU, with a VLAN tag.
const PACKET_BYTES_MAX: f64 = 1518.0;
