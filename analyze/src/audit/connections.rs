//! F3: connections that vanish inside the window that figures come from.

use super::scene::{connections, figure_rows, grouped};
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F3",
    title: "Connections vanish inside the window that figures come from",
    needs: "connection counts over time, or the load tools' own counts",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut lost = DETECTOR.finding(
        "connections-lost",
        Severity::High,
        "Clients were lost in the window that the figures come from, which a median hides",
        "The figure mixes the load that was meant with what the clients that were left made. A point with lost \
                      clients is a failed point.",
    );
    let published = || scene.brokers().filter(|(reading, _)| reading.is_published());
    for (reading, series) in published() {
        lost.evidence.extend(fall(reading, series));
    }
    for (reading, load) in scene.all_loads().filter(|(_, load)| load.disconnected.total > 0) {
        let reasons: Vec<String> =
            load.disconnected.by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let text = format!(
            "{} of {} clients of loadgen {} were disconnected: {}",
            load.disconnected.total,
            load.clients,
            load.mode,
            reasons.join(", ")
        );
        lost.evidence.push(Proof::new(reading.run.summary_path().display().to_string(), text));
    }
    Looked::new(published().count() + scene.all_loads().count(), [lost])
}

/// The fall of the connections in the window that the publisher used.
fn fall(reading: &Reading, series: &Series) -> Option<Proof> {
    let (levels, times) = (connections(series), series.interval_times_s());
    // A file of samples may have no such column.
    let rows = Some(figure_rows(reading, series)).filter(|rows| rows.end <= levels.len())?;
    let most = levels[rows.clone()].iter().copied().filter(|v| v.is_finite()).fold(0.0, f64::max);
    let whole = |row: &usize| levels[*row] >= FALL * most;
    let last_whole = rows.clone().rev().find(whole)?;
    let fallen = rows.clone().find(|row| *row > last_whole && !whole(row))?;
    let end = rows.end - 1;
    let text = format!(
        "{} connections until {:.0} s, {} from {:.0} s, {} at the end ({:.0} s): the last {:.0} s of the run",
        grouped(levels[last_whole]),
        times[last_whole],
        grouped(levels[fallen]),
        times[fallen],
        grouped(levels[end]),
        times[end],
        times[end] - times[last_whole]
    );
    Some(Proof::new(reading.raw_file(), text).at(reading, times[fallen]))
}

/// Fewer than this share of the window's most are a loss and not a client that comes and goes.
const FALL: f64 = 0.98;
