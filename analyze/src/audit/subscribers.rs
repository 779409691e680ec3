//! F4: points without subscribers, whose "throughput" is acknowledgements.

use std::ops::Range;

use runlog::columns;

use super::scene::{bytes_per_packet, connections_max, grouped, is_loopback};
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const DETECTOR: Detector =
    Detector { flaw: "F4", title: "Receivers are missing", needs: "runs with load", look };

fn look(scene: &Scene) -> Looked {
    let consequence = "A comparison with such a point compares deliveries with nothing. It is a failed point, not a small \
                       number.";
    let finding = |code, title: &str| DETECTOR.finding(code, Severity::High, title, consequence);
    let mut acks =
        finding("only-acknowledgements", "The broker sends nothing but bare acknowledgements for a long time");
    for (reading, series) in scene.loaded().filter(|(_, series)| !is_loopback(series)) {
        acks.evidence.extend(bare_stretch(reading, series));
    }
    let mut count =
        finding("clients-missing", "Fewer clients were connected than against the other target, or than declared");
    for runs in scene.contested() {
        let most = runs.iter().map(|(_, series)| connections_max(series)).fold(0.0, f64::max);
        let full = runs.iter().find(|(_, series)| connections_max(series) == most);
        for (reading, series) in runs.iter().filter(|(reading, _)| reading.is_published() && reading.is_loaded) {
            let connected = connections_max(series);
            if connected < MISSING * most
                && let Some((other, _)) = full
            {
                let text = format!(
                    "never more than {} connections, {} had {}: {} are missing",
                    grouped(connected),
                    other.name(),
                    grouped(most),
                    grouped(most - connected)
                );
                count.evidence.push(Proof::new(reading.raw_file(), text));
            }
        }
    }
    for (reading, series) in scene.loaded() {
        for (file, declared) in scene.declared(reading) {
            let connected = connections_max(series);
            if let Some(due) = declared.connections.filter(|due| connected < MISSING * *due as f64) {
                let text = format!(
                    "never more than {} connections, {} (section {}) says {}",
                    grouped(connected),
                    file.document,
                    declared.section,
                    grouped(due as f64)
                );
                count.evidence.push(Proof::new(reading.raw_file(), text));
            }
        }
    }
    for (reading, load) in scene.all_loads().filter(|(_, load)| load.connect.succeeded < load.clients) {
        let text = format!("loadgen {}: {} of {} clients connected", load.mode, load.connect.succeeded, load.clients);
        count.evidence.push(Proof::new(reading.run.summary_path().display().to_string(), text));
    }
    let mut nothing = finding("nothing-delivered", "Messages were sent and none was received");
    for (reading, _) in scene.brokers() {
        let loads = scene.loads(reading);
        let sent: u64 = loads.iter().filter_map(|(_, load)| Some(load.publish.as_ref()?.written)).sum();
        for (receiver, load) in loads.iter().filter(|_| sent > 0) {
            if load.receive.as_ref().is_some_and(|receive| receive.delivered == 0) {
                let text =
                    format!("0 messages received by {} clients, {} were sent", load.clients, grouped(sent as f64));
                nothing.evidence.push(Proof::new(receiver.run.summary_path().display().to_string(), text));
            }
        }
    }
    Looked::new(scene.loaded().count(), [acks, count, nothing])
}

/// The longest stretch in which what is sent is as small as a bare acknowledgement while messages come in.
fn bare_stretch(reading: &Reading, series: &Series) -> Option<Proof> {
    let stretch = bare_rows(series)?;
    let times = series.interval_times_s();
    let (begin, end) = (times[stretch.start], times[stretch.end - 1]);
    let of = |bytes: &str, packets: &str| {
        Some(series.rate_over(bytes, stretch.clone())? / series.rate_over(packets, stretch.clone())?)
    };
    let text = format!(
        "from {begin:.0} s to {end:.0} s packets sent have {:.0} B, which is an empty TCP segment, while those received have {:.0} B",
        of(columns::TX_BYTES, columns::TX_PACKETS)?,
        of(columns::RX_BYTES, columns::RX_PACKETS)?
    );
    Some(Proof::new(reading.raw_file(), text).at(reading, begin))
}

/// Begin and end of that stretch, s since the first sample; `None` on a loopback, whose packets have any size.
pub(crate) fn bare_acknowledgements(series: &Series) -> Option<(f64, f64)> {
    let stretch = bare_rows(series).filter(|_| !is_loopback(series))?;
    let times = series.interval_times_s();
    Some((times[stretch.start], times[stretch.end - 1]))
}

/// The intervals of that stretch, where it lasts.
fn bare_rows(series: &Series) -> Option<Range<usize>> {
    let sent = bytes_per_packet(series, columns::TX_BYTES, columns::TX_PACKETS);
    let received = bytes_per_packet(series, columns::RX_BYTES, columns::RX_PACKETS);
    let rate = series.rates(columns::TX_PACKETS)?;
    // A file may lack one of the columns.
    let rows = sent.len().min(received.len());
    let is_bare = |row: usize| {
        sent[row] <= BARE_BYTES_MAX && received[row] >= MESSAGE_BYTES_MIN && rate[row] >= PACKETS_PER_S_MIN
    };
    let stretch = longest((0..rows).map(is_bare));
    let times = series.interval_times_s();
    let (begin, end) = (*times.get(stretch.start)?, *times.get(stretch.end.checked_sub(1)?)?);
    (end - begin >= STRETCH_S_MIN).then_some(stretch)
}

/// The longest run of true values, as rows.
fn longest(values: impl Iterator<Item = bool>) -> Range<usize> {
    let (mut best, mut begin) = (0..0, 0);
    for (row, is_true) in values.chain([false]).enumerate() {
        if !is_true {
            if row - begin > best.len() {
                best = begin..row;
            }
            begin = row + 1;
        }
    }
    best
}

/// One client in a thousand that broke is not a role that is missing.
const MISSING: f64 = 0.999;
/// Ethernet, IP and TCP with time stamps take 66 B, a PUBACK 4 more; the smallest PUBLISH is larger.
const BARE_BYTES_MAX: f64 = 72.0;
/// Something that carries a message.
const MESSAGE_BYTES_MIN: f64 = 100.0;
/// Below this a host's own chatter decides the mean.
const PACKETS_PER_S_MIN: f64 = 1000.0;
/// Shorter pauses are not the point's result.
const STRETCH_S_MIN: f64 = 20.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_stretch() {
        assert_eq!(longest([false, true, true, false, true].into_iter()), 1..3);
        assert_eq!(longest([true, false, true, true].into_iter()), 2..4);
        assert_eq!(longest([].into_iter()), 0..0);
    }
}
