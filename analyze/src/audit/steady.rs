//! F5: memory that grows as long as the load lasts.

use std::ops::Range;

use runlog::columns;

use super::{Detector, Finding, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;
use crate::stats::{Line, Trend, median};

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F5",
    title: "Memory is not steady while figures are taken",
    needs: "the broker's memory over 20 samples or more of load",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, severity, title: &str| Finding {
        flaw: DETECTOR.flaw,
        code,
        severity,
        title: title.to_owned(),
        evidence: Vec::new(),
        consequence:
            "The state is not one that lasts: what is measured is how fast a buffer fills, and the run ends before \
                      it is full. A rate is sustained only where memory is flat."
                .to_owned(),
    };
    let mut grows = finding("memory-grows", Severity::High, "Memory grows throughout, by more than half of itself");
    let mut drifts = finding("memory-drifts", Severity::Medium, "Memory grows throughout");
    let mut looked = 0;
    for (reading, series) in scene.brokers().filter(|(reading, _)| !super::scene::never_measured(reading)) {
        let rows = if reading.is_loaded { reading.plateau.clone() } else { 0..series.intervals.len() };
        let Some(growth) = Growth::over(series, rows) else { continue };
        looked += 1;
        if growth.is_steady() {
            continue;
        }
        let finding = if growth.by_mib > 0.5 * growth.median_mib { &mut grows } else { &mut drifts };
        finding.evidence.push(growth.proof(reading));
    }
    Looked::new(looked, [grows, drifts])
}

/// How memory went over some rows.
struct Growth {
    begin_s: f64,
    end_s: f64,
    first_mib: f64,
    last_mib: f64,
    median_mib: f64,
    /// What the slope makes of the whole stretch.
    by_mib: f64,
    trend: Trend,
    /// The straight line's slope, which is the mean growth.
    mib_per_s: f64,
}

impl Growth {
    fn over(series: &Series, rows: Range<usize>) -> Option<Self> {
        let (levels, times) = (series.levels(columns::PROC_RSS_KB)?, series.interval_times_s());
        let points: Vec<(f64, f64)> =
            rows.map(|row| (times[row], levels[row] / 1024.0)).filter(|(_, rss)| rss.is_finite()).collect();
        if points.len() < SAMPLES_MIN {
            return None;
        }
        let (times, all): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        let (first, last) = (points[0], points[points.len() - 1]);
        let trend = Trend::of(&times, &all)?;
        Some(Self {
            begin_s: first.0,
            end_s: last.0,
            first_mib: first.1,
            last_mib: last.1,
            median_mib: median(&all)?,
            by_mib: trend.slope * (last.0 - first.0),
            trend,
            mib_per_s: Line::through(&points)?.slope,
        })
    }

    fn is_steady(&self) -> bool {
        !self.trend.is_there() || self.by_mib < GROWTH_MIB_MIN || self.by_mib < GROWTH_SHARE_MIN * self.median_mib
    }

    fn proof(&self, reading: &Reading) -> Proof {
        let text = format!(
            "RSS from {:.0} MiB at {:.0} s to {:.0} MiB at {:.0} s: {:+.1} MiB/s ({:+.1} MB/s), median slope {:+.1} \
             [{:.1}, {:.1}]",
            self.first_mib,
            self.begin_s,
            self.last_mib,
            self.end_s,
            self.mib_per_s,
            self.mib_per_s * MIB_IN_MB,
            self.trend.slope,
            self.trend.slope_ci95.0,
            self.trend.slope_ci95.1
        );
        Proof::new(reading.raw_file(), text).at(reading, self.begin_s)
    }
}

/// With fewer, the order of a few neighbours decides.
const SAMPLES_MIN: usize = 20;
/// A broker's own housekeeping moves by less, MiB.
const GROWTH_MIB_MIN: f64 = 8.0;
/// Share of the median; below it an hour's run would still be the same state.
const GROWTH_SHARE_MIN: f64 = 0.03;
const MIB_IN_MB: f64 = 1.048_576;
