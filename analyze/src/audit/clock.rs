//! F1: whole-second stamps while the true period is another.

use runlog::columns;

use super::scene::carries_messages;
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::{Clock, Series};
use crate::stats::median;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F1",
    title: "Rates are formed from whole-second stamps",
    needs: "a raw.csv with two samples or more",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut stamps = DETECTOR.finding(
        "whole-second-stamps",
        Severity::Medium,
        "Samples carry whole seconds while their true distance is another: most rates are off by it",
        "A rate over an interval that looks shorter than it was is too high, and a median picks those. Use \
                      counter difference over elapsed time.",
    );
    let mut differs = DETECTOR.finding(
        "bias-differs",
        Severity::Medium,
        "The error of the stamps differs between the targets of one step",
        "The difference of the two errors is part of the difference that the table shows.",
    );
    for (reading, series) in scene.brokers() {
        if let Some((percent, text)) = bias(reading, series).filter(|(percent, _)| percent.abs() >= BIAS_PERCENT_MIN) {
            let text = format!("rates off by {percent:+.1} %: {text}");
            stamps.evidence.push(Proof::new(reading.raw_file(), text));
        }
    }
    for runs in scene.contested() {
        let biases: Vec<(&Reading, f64)> =
            runs.iter().filter_map(|(reading, series)| Some((*reading, bias(reading, series)?.0))).collect();
        let by_bias = |a: &&(&Reading, f64), b: &&(&Reading, f64)| a.1.total_cmp(&b.1);
        if let (Some(least), Some(most)) = (biases.iter().min_by(by_bias), biases.iter().max_by(by_bias))
            && most.1 - least.1 >= BIAS_PERCENT_MIN
        {
            let text = format!("{:+.1} % for {}, {:+.1} % for {}", most.1, most.0.name(), least.1, least.0.name());
            differs.evidence.push(Proof::new(most.0.raw_file(), text));
        }
    }
    Looked::new(scene.brokers().count(), [stamps, differs])
}

/// Percent by which most intervals overstate their rates; `None` with exact stamps.
fn bias(reading: &Reading, series: &Series) -> Option<(f64, String)> {
    if series.clock == Clock::Monotonic {
        return None;
    }
    let lengths: Vec<f64> = series.intervals.iter().map(|i| i.dt_s).collect();
    let (period_s, usual_s) = (series.duration_s() / lengths.len() as f64, median(&lengths)?);
    let usual = lengths.iter().filter(|dt| **dt == usual_s).count();
    let rows = reading.plateau.clone();
    let rates = series.rates(columns::TX_BYTES)?;
    let known: Vec<f64> = rates[rows.clone()].iter().copied().filter(|v| v.is_finite()).collect();
    let by_median = median(&known)? / MIB;
    let by_time = series.rate_over(columns::TX_BYTES, rows)? / MIB;
    let mut text =
        format!("{usual} of {} intervals look like {usual_s:.0} s, the true period is {period_s:.3} s", lengths.len());
    if reading.is_loaded && carries_messages(reading, series) {
        text +=
            &format!("; under load {by_median:.1} MiB/s sent by the median of the rates, {by_time:.1} by elapsed time");
    }
    Some((100.0 * (period_s / usual_s - 1.0), text))
}

/// Below this a figure's second digit is safe.
const BIAS_PERCENT_MIN: f64 = 1.0;
const MIB: f64 = 1024.0 * 1024.0;
