//! The runs, read once, and what the publisher says of them.

use std::collections::BTreeMap;
use std::ops::Range;

use runlog::columns;
use runlog::{LoadSummary, Summary};

use crate::claims::file::Declared;
use crate::claims::{self, ClaimsFile, Evidence, Judged};
use crate::reading::Reading;
use crate::series::Series;
use crate::stats::{Rule, median};

/// What detectors look at.
pub struct Scene<'a> {
    /// The runs.
    pub evidence: &'a Evidence,
    /// What publishers say of runs.
    pub published: &'a [ClaimsFile],
    /// Their claims, judged by the runs.
    pub judged: Vec<Vec<Judged>>,
}

impl<'a> Scene<'a> {
    /// Judges the published claims by the runs.
    pub fn of(evidence: &'a Evidence, published: &'a [ClaimsFile]) -> Self {
        let judged = published.iter().map(|file| claims::judge_by(file, evidence)).collect();
        Self { evidence, published, judged }
    }

    /// All runs.
    pub fn readings(&self) -> &'a [Reading] {
        self.evidence.readings()
    }

    /// The runs that sample a broker's host, with their samples.
    pub fn brokers(&self) -> impl Iterator<Item = (&'a Reading, &'a Series)> {
        self.readings().iter().filter(|r| r.is_broker()).filter_map(|r| Some((r, r.series.as_ref()?)))
    }

    /// Those of them with load.
    pub fn loaded(&self) -> impl Iterator<Item = (&'a Reading, &'a Series)> {
        self.brokers().filter(|(reading, series)| {
            reading.is_loaded && (reading.measured.is_some() || carries_messages(reading, series))
        })
    }

    /// The load tools' runs of the same step, target and repeat.
    pub fn loads(&self, of: &Reading) -> Vec<(&'a Reading, &'a LoadSummary)> {
        let key = point(of);
        let tools = self.readings().iter().filter(|r| point(r) == key);
        tools.filter_map(|r| if let Some(Summary::Load(load)) = &r.tool { Some((r, &**load)) } else { None }).collect()
    }

    /// Every load tool's run.
    pub fn all_loads(&self) -> impl Iterator<Item = (&'a Reading, &'a LoadSummary)> {
        let load = |r: &'a Reading| if let Some(Summary::Load(load)) = &r.tool { Some((r, &**load)) } else { None };
        self.readings().iter().filter_map(load)
    }

    /// Broker runs by step, where the step was run against more than one target.
    pub fn contested(&self) -> Vec<Vec<(&'a Reading, &'a Series)>> {
        let mut steps: BTreeMap<(String, &str), Vec<(&Reading, &Series)>> = BTreeMap::new();
        for (reading, series) in self.brokers().filter(|(reading, _)| reading.target.is_some()) {
            steps.entry((experiment(reading), &reading.step)).or_default().push((reading, series));
        }
        let is_contested = |runs: &Vec<(&Reading, &Series)>| runs.iter().any(|(r, _)| r.target != runs[0].0.target);
        steps.into_values().filter(is_contested).collect()
    }

    /// What the publishers say of a run.
    pub fn declared(&self, reading: &Reading) -> impl Iterator<Item = (&'a ClaimsFile, &'a Declared)> {
        let tag = reading.run.tag.clone();
        let files = self.published.iter().filter(|_| reading.is_published());
        files.flat_map(move |file| {
            let tag = tag.clone();
            file.declared.iter().filter(move |declared| declared.is_about(&tag)).map(move |declared| (file, declared))
        })
    }

    /// Whether any of the runs is one that a document is about.
    pub fn is_about(&self, file: &ClaimsFile) -> bool {
        self.readings().iter().any(|reading| self.declared(reading).any(|(other, _)| other.document == file.document))
    }
}

/// What makes runs of one point: experiment, step, target or label, repeat.
pub fn point(reading: &Reading) -> (String, String, Option<String>, u32) {
    let target = reading.label.clone().or(reading.target.clone());
    (experiment(reading), reading.step.clone(), target, reading.repeat)
}

/// The experiment that a run names; published runs name none.
pub fn experiment(reading: &Reading) -> String {
    reading.run.context.as_ref().map(|context| context.experiment.clone()).unwrap_or_default()
}

/// Whether a playbook ran it and its measure phase never came: such a point has failed, and gives no figure.
pub fn never_measured(reading: &Reading) -> bool {
    reading.run.context.is_some() && reading.measured.is_none()
}

/// The window that figures of this run are taken from: the published 60 s, or ours.
pub fn figure_rows(reading: &Reading, series: &Series) -> Range<usize> {
    if reading.is_published() { Rule::Tail60.rows(&series.interval_times_s()) } else { reading.plateau.clone() }
}

/// Connections at the end of each interval. The exact count of the port's sockets where it is known.
pub fn connections(series: &Series) -> Vec<f64> {
    series.levels(columns::TCP_ESTAB).unwrap_or_default()
}

/// The most connections of a run.
pub fn connections_max(series: &Series) -> f64 {
    connections(series).into_iter().filter(|v| v.is_finite()).fold(0.0, f64::max)
}

/// Whether more flows than keep-alive would explain.
pub fn carries_messages(reading: &Reading, series: &Series) -> bool {
    let bytes = |name| series.rate_over(name, reading.plateau.clone()).unwrap_or(0.0);
    bytes(columns::RX_BYTES).max(bytes(columns::TX_BYTES)) > MESSAGES_BYTES_PER_S
}

/// Bytes of a mean packet in each interval; NaN where there was none.
pub fn bytes_per_packet(series: &Series, bytes: &str, packets: &str) -> Vec<f64> {
    let (bytes, packets) = (series.increases(bytes).unwrap_or_default(), series.increases(packets).unwrap_or_default());
    bytes
        .into_iter()
        .zip(packets)
        .map(|(bytes, packets)| if packets > 0.0 { bytes / packets } else { f64::NAN })
        .collect()
}

/// Whether the interface is the loopback, whose packets are as large as the kernel likes.
pub fn is_loopback(series: &Series) -> bool {
    series.table.texts(columns::IFACE).and_then(|names| names.first().map(|name| *name == "lo")).unwrap_or(false)
}

/// A running median over five values, unknown ones left out: what lasts, without what flickers.
pub fn smooth(values: &[f64]) -> Vec<f64> {
    let around = |at: usize| {
        let near = &values[at.saturating_sub(2)..(at + 3).min(values.len())];
        let known: Vec<f64> = near.iter().copied().filter(|v| v.is_finite()).collect();
        median(&known).unwrap_or(f64::NAN)
    };
    (0..values.len()).map(around).collect()
}

/// Whole numbers with commas between thousands.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Above what keep-alive of a million clients takes, B/s.
const MESSAGES_BYTES_PER_S: f64 = 2e6;
