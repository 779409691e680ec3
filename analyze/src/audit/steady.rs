//! F5: memory that grows as long as the load lasts, and rates that drift meanwhile.

use std::ops::Range;

use runlog::columns;

use super::{Detector, Looked, Proof, Scene, Severity};
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
    let finding = |code, severity, title: &str| {
        DETECTOR.finding(
            code,
            severity,
            title,
            "The state is not one that lasts: what is measured is how fast a buffer fills, and the run ends before \
                      it is full. A rate is sustained only where memory is flat.",
        )
    };
    let mut grows = finding("memory-grows", Severity::High, "Memory grows throughout, by more than half of itself");
    let mut drifts = finding("memory-drifts", Severity::Medium, "Memory grows throughout");
    let mut slips = DETECTOR.finding(
        "rate-drifts",
        Severity::Medium,
        "What the broker sends rises or falls throughout",
        "There is no one rate to be stated: a longer or a later window gives another.",
    );
    for (reading, series) in scene.loaded().filter(|(reading, _)| !super::scene::never_measured(reading)) {
        slips.evidence.extend(slip(reading, series));
    }
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
    Looked::new(looked, [grows, drifts, slips])
}

/// A trend of what is sent that makes a difference over the window.
fn slip(reading: &Reading, series: &Series) -> Option<Proof> {
    let (rates, times) = (series.rates(columns::TX_BYTES)?, series.interval_times_s());
    let rows = reading.plateau.clone();
    let (times, rates) = (times.get(rows.clone())?, rates.get(rows)?);
    let known: Vec<f64> = rates.iter().copied().filter(|rate| rate.is_finite()).collect();
    let (usual, trend) = (median(&known).filter(|_| known.len() >= SAMPLES_MIN)?, Trend::of(times, rates)?);
    let (begin_s, end_s) = (*times.first()?, *times.last()?);
    let by = trend.slope * (end_s - begin_s) / usual;
    (trend.is_there() && by.abs() >= SLIP_MIN).then(|| {
        let text = format!(
            "bytes sent change by {:+.0} % from {begin_s:.0} s to {end_s:.0} s (median {:.1} MiB/s, tau {:+.2})",
            100.0 * by,
            usual / (1024.0 * 1024.0),
            trend.tau
        );
        Proof::new(reading.raw_file(), text).at(reading, begin_s)
    })
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
pub(crate) const GROWTH_MIB_MIN: f64 = 8.0;
/// Share of the median; below it an hour's run would still be the same state.
pub(crate) const GROWTH_SHARE_MIN: f64 = 0.03;
/// Share of the median rate that a drift makes over the window; equal runs differ by half of it.
const SLIP_MIN: f64 = 0.1;
const MIB_IN_MB: f64 = 1.048_576;
