//! The figures of a window, how sure they are, and how much they hang on where it begins and ends.

use std::collections::BTreeMap;
use std::ops::Range;

use runlog::columns;
use serde::Serialize;

use crate::series::Series;
use crate::stats::serial::{INDEPENDENT_MIN, SerialMean, median_ci95};
use crate::stats::{mean, median};

/// The figures of one window; a figure is null when the run does not know it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Window {
    /// Intervals in the window.
    pub rows: usize,
    /// Begin of the window since the first sample, s.
    pub from_s: f64,
    /// End of the window since the first sample, s.
    pub to_s: f64,
    /// Received, MiB/s.
    pub rx_mib_s: Option<f64>,
    /// Sent, MiB/s.
    pub tx_mib_s: Option<f64>,
    /// Received, MB/s (10^6 bytes); the published tables say MB and mean MiB.
    pub rx_mb_s: Option<f64>,
    /// Sent, MB/s.
    pub tx_mb_s: Option<f64>,
    /// Received by the interface, packets/s.
    pub rx_pps: Option<f64>,
    /// Sent by the interface, packets/s; with segmentation offload a packet is a buffer of many segments.
    pub tx_pps: Option<f64>,
    /// TCP segments sent per second.
    pub tcp_outsegs_s: Option<f64>,
    /// Context switches of the host per second.
    pub ctxt_s: Option<f64>,
    /// TCP segments sent again per second.
    pub retrans_s: Option<f64>,
    /// Established connections.
    pub estab: Option<f64>,
    /// The fewest connections at any sample of the window.
    pub estab_min: Option<f64>,
    /// The most.
    pub estab_max: Option<f64>,
    /// Resident memory of the target, MiB.
    pub rss_mib: Option<f64>,
    /// Virtual memory of the target, MiB.
    pub vsz_mib: Option<f64>,
    /// CPU of the target, percent of one core.
    pub cpu_percent: Option<f64>,
    /// Messages that the subscribers beside the run received per second; only in the plateau, and where they recorded it.
    pub delivered_s: Option<f64>,
    /// CPU time of the target per message received by those subscribers, us.
    pub cpu_us_per_message: Option<f64>,
    /// 95 % interval of each figure that has one; serial dependence is allowed for.
    pub ci95: BTreeMap<&'static str, (f64, f64)>,
    /// By how much each figure differs, in percent of itself, between the first and the last five sixths of the window.
    pub sensitivity_percent: BTreeMap<&'static str, f64>,
}

/// Rates and levels by time, as one reader of a file sees them.
pub struct Rows {
    /// Begin of each row's interval since the first sample, s.
    pub from_s: Vec<f64>,
    /// Its end, which is the row's time.
    pub to_s: Vec<f64>,
    /// Rates and levels by column, NaN where unknown.
    pub values: BTreeMap<&'static str, Vec<f64>>,
}

/// How one figure is made of the values of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Centre {
    /// The median.
    Median,
    /// The mean.
    Mean,
    /// Ours: of a rate the difference over the elapsed time, of a level the median.
    OverTime,
}

impl Rows {
    /// The intervals of a series, with the columns that figures are made of.
    pub fn of_series(series: &Series) -> Self {
        let value = |(column, is_rate): (&'static str, bool)| {
            let values = if is_rate { series.rates(column) } else { series.levels(column) };
            Some((column, values?))
        };
        Self {
            from_s: series.intervals.iter().map(|i| series.times_s[i.from]).collect(),
            to_s: series.interval_times_s(),
            values: needed_columns().into_iter().filter_map(value).collect(),
        }
    }

    /// A figure's values in a window; one that is made of several columns is known where all are.
    fn figure(&self, made_of: MadeOf, range: &Range<usize>) -> Option<Vec<f64>> {
        let (names, unit) = match made_of {
            MadeOf::Rate(names, unit) => (names, unit),
            MadeOf::Level(name, unit) => (std::slice::from_ref(name), unit),
        };
        let columns: Vec<&[f64]> =
            names.iter().map(|name| Some(&self.values.get(name)?[range.clone()])).collect::<Option<_>>()?;
        Some((0..range.len()).map(|row| columns.iter().map(|column| column[row]).sum::<f64>() * unit).collect())
    }
}

impl Window {
    /// The figures of some rows.
    pub fn of(rows: &Rows, range: Range<usize>, centre: Centre) -> Self {
        let mut window = Self { rows: range.len(), ..Self::default() };
        if range.is_empty() {
            return window;
        }
        (window.from_s, window.to_s) = (rows.from_s[range.start], rows.to_s[range.end - 1]);
        let lengths: Vec<f64> = range.clone().map(|row| rows.to_s[row] - rows.from_s[row]).collect();
        for (name, made_of) in FIGURES {
            let Some(values) = rows.figure(made_of, &range) else { continue };
            let centre = match (centre, made_of) {
                (Centre::OverTime, MadeOf::Level(..)) => Centre::Median,
                (centre, _) => centre,
            };
            let Some(figure) = centre.of(&values, &lengths) else { continue };
            *window.field(name) = Some(figure);
            window.ci95.extend(centre.ci95(&values, figure).map(|ci95| (name, ci95)));
            let cut = values.len() / 6;
            let parts = [0..values.len() - cut, cut..values.len()];
            let [first, last] = parts.map(|part| centre.of(&values[part.clone()], &lengths[part]));
            if let (Some(first), Some(last), true) = (first, last, cut > 0 && figure != 0.0) {
                window.sensitivity_percent.insert(name, 100.0 * ((last - first) / figure).abs());
            }
        }
        let estab = rows.values.get(columns::TCP_ESTAB).map(|levels| known(&levels[range])).unwrap_or_default();
        window.estab_min = estab.iter().copied().reduce(f64::min);
        window.estab_max = estab.iter().copied().reduce(f64::max);
        window
    }

    /// Adds what subscribers received per second.
    pub fn take_deliveries(&mut self, delivered_s: Option<f64>) {
        self.delivered_s = delivered_s;
        let cpu = self.cpu_percent.zip(delivered_s.filter(|rate| *rate > 0.0));
        self.cpu_us_per_message = cpu.map(|(percent, rate)| percent * 1e4 / rate);
    }

    fn field(&mut self, name: &str) -> &mut Option<f64> {
        match name {
            "rx_mib_s" => &mut self.rx_mib_s,
            "tx_mib_s" => &mut self.tx_mib_s,
            "rx_mb_s" => &mut self.rx_mb_s,
            "tx_mb_s" => &mut self.tx_mb_s,
            "rx_pps" => &mut self.rx_pps,
            "tx_pps" => &mut self.tx_pps,
            "tcp_outsegs_s" => &mut self.tcp_outsegs_s,
            "ctxt_s" => &mut self.ctxt_s,
            "retrans_s" => &mut self.retrans_s,
            "estab" => &mut self.estab,
            "rss_mib" => &mut self.rss_mib,
            "vsz_mib" => &mut self.vsz_mib,
            "cpu_percent" => &mut self.cpu_percent,
            _ => unreachable!("FIGURES names no other field, see the test"),
        }
    }
}

impl Centre {
    /// One figure of values over intervals of these lengths, s; unknown values are left out.
    fn of(self, values: &[f64], lengths: &[f64]) -> Option<f64> {
        match self {
            Self::Median => median(&known(values)),
            Self::Mean => mean(&known(values)),
            Self::OverTime => {
                let of_known = values.iter().zip(lengths).filter(|(value, _)| value.is_finite());
                let (increase, elapsed_s) =
                    of_known.fold((0.0, 0.0), |(sum, time), (value, length)| (sum + value * length, time + length));
                (elapsed_s > 0.0).then(|| increase / elapsed_s)
            }
        }
    }

    /// How far repeats of this stretch would lie apart. A long one is looked at in equal blocks: what resembles each other
    /// inside a block is one value then. Of values that all hang together, such as those on both sides of a collapse, there
    /// is none.
    fn ci95(self, values: &[f64], figure: f64) -> Option<(f64, f64)> {
        let values = known(values);
        let size = values.len().div_ceil(BLOCKS_MAX).max(1);
        let centre = |block: &[f64]| if self == Self::Median { median(block) } else { mean(block) };
        let blocks: Vec<f64> = values.chunks_exact(size).filter_map(centre).collect();
        if self == Self::Median {
            return median_ci95(&blocks);
        }
        let sure = SerialMean::of(&blocks).filter(|sure| sure.independent() >= INDEPENDENT_MIN)?;
        // Intervals of different lengths weigh the same in the mean of the rates, and not in the figure.
        let scale = if sure.mean == 0.0 { 1.0 } else { figure / sure.mean };
        Some((sure.ci95.0 * scale, sure.ci95.1 * scale))
    }
}

fn known(values: &[f64]) -> Vec<f64> {
    values.iter().copied().filter(|v| v.is_finite()).collect()
}

/// The columns that figures are made of, and whether they are counters.
pub fn needed_columns() -> BTreeMap<&'static str, bool> {
    FIGURES
        .into_iter()
        .flat_map(|(_, made_of)| match made_of {
            MadeOf::Rate(names, _) => names.iter().map(|name| (*name, true)).collect::<Vec<_>>(),
            MadeOf::Level(name, _) => vec![(*name, false)],
        })
        .collect()
}

/// What a figure is made of, and what the sum of its columns is multiplied with.
#[derive(Debug, Clone, Copy)]
pub enum MadeOf {
    /// Counters.
    Rate(&'static [&'static str], f64),
    /// A level.
    Level(&'static &'static str, f64),
}

/// Every figure of a window that comes from columns, in the order of presentation.
pub const FIGURES: [(&str, MadeOf); 13] = [
    ("rx_mib_s", MadeOf::Rate(&[columns::RX_BYTES], 1.0 / MIB)),
    ("tx_mib_s", MadeOf::Rate(&[columns::TX_BYTES], 1.0 / MIB)),
    ("rx_mb_s", MadeOf::Rate(&[columns::RX_BYTES], 1e-6)),
    ("tx_mb_s", MadeOf::Rate(&[columns::TX_BYTES], 1e-6)),
    ("rx_pps", MadeOf::Rate(&[columns::RX_PACKETS], 1.0)),
    ("tx_pps", MadeOf::Rate(&[columns::TX_PACKETS], 1.0)),
    ("tcp_outsegs_s", MadeOf::Rate(&[columns::TCP_OUTSEGS], 1.0)),
    ("ctxt_s", MadeOf::Rate(&[columns::CTXT], 1.0)),
    ("retrans_s", MadeOf::Rate(&[columns::TCP_RETRANSSEGS], 1.0)),
    ("estab", MadeOf::Level(&columns::TCP_ESTAB, 1.0)),
    ("rss_mib", MadeOf::Level(&columns::PROC_RSS_KB, 1.0 / 1_024.0)),
    ("vsz_mib", MadeOf::Level(&columns::PROC_VSZ_KB, 1.0 / 1_024.0)),
    ("cpu_percent", MadeOf::Rate(&[columns::PROC_CPU_USER_US, columns::PROC_CPU_SYS_US], 1e-4)),
];

const MIB: f64 = 1_048_576.0;
/// The dependence of more values than this is not looked at one by one.
const BLOCKS_MAX: usize = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f64]) -> Rows {
        let times: Vec<f64> = (0..=values.len()).map(|second| second as f64).collect();
        let levels = vec![7.0; values.len()];
        Rows {
            from_s: times[..values.len()].to_vec(),
            to_s: times[1..].to_vec(),
            values: BTreeMap::from([(columns::CTXT, values.to_vec()), (columns::TCP_ESTAB, levels)]),
        }
    }

    #[test]
    fn every_figure_has_its_field() {
        let mut window = Window::default();
        for (name, _) in FIGURES {
            *window.field(name) = Some(1.0);
        }
        assert_eq!(window.cpu_percent, Some(1.0));
    }

    #[test]
    fn a_window_that_holds_a_step_is_sensitive_and_a_steady_one_is_not() {
        let step: Vec<f64> = (0..60).map(|second| if second < 6 { 100.0 } else { 1_000.0 }).collect();
        let window = Window::of(&rows(&step), 0..60, Centre::OverTime);
        assert_eq!(window.ctxt_s, Some((600.0 + 54_000.0) / 60.0));
        // The first 50 rows hold all of the low ones, the last 50 none.
        let expected = 100.0 * (1_000.0 - (600.0 + 44_000.0) / 50.0) / 910.0;
        assert!((window.sensitivity_percent["ctxt_s"] - expected).abs() < 1e-9);
        assert_eq!((window.sensitivity_percent["estab"], window.ci95["estab"]), (0.0, (7.0, 7.0)));
        let (low, high) = window.ci95["ctxt_s"];
        assert!(low < 910.0 && 910.0 < high, "{low} {high}");
    }

    #[test]
    fn unknown_values_enter_nothing() {
        let window = Window::of(&rows(&[10.0, f64::NAN, 20.0]), 0..3, Centre::Mean);
        assert_eq!((window.ctxt_s, window.ci95.get("ctxt_s")), (Some(15.0), None));
        assert_eq!(Window::of(&rows(&[f64::NAN]), 0..1, Centre::OverTime).ctxt_s, None);
        assert_eq!(Window::of(&rows(&[]), 0..0, Centre::Median), Window::default());
    }
}
