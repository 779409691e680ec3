//! F13: a sampler that is slowed by what it samples.

use runlog::{Summary, columns};

use super::scene::{connections_max, grouped};
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;
use crate::stats::median;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F13",
    title: "Sampling is slowed by what it samples",
    needs: "a raw.csv with two samples or more",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, title: &str| {
        DETECTOR.finding(
            code,
            Severity::Medium,
            title,
            "The sampler took CPU from what it measured, more of it the more connections there were, and the samples \
                      are fewer than the table lets believe.",
        )
    };
    let mut stretched = finding("period-stretched", "The period of sampling is longer than asked for");
    let mut costly = finding("collector-costly", "The collector itself used much CPU");
    let fastest = fastest_s(scene);
    for (reading, series) in scene.brokers() {
        let period_s = series.duration_s() / series.intervals.len() as f64;
        let Some(asked_s) = asked_s(scene, reading).or(fastest.filter(|_| reading.is_published())) else { continue };
        if period_s >= STRETCH_MIN * asked_s {
            stretched.evidence.push(Proof::new(reading.raw_file(), stretch(series, period_s, asked_s)));
        }
        if let Some(self_us) = series.rate_over(columns::SELF_CPU_US, reading.plateau.clone())
            && self_us > 1e6 * COST_MAX
        {
            costly.evidence.push(Proof::new(reading.raw_file(), format!("{:.1} % of a core", self_us / 1e4)));
        }
        if let Some(Summary::Collect(collect)) = &reading.tool
            && collect.missed_ticks as f64 > MISSED_MAX * collect.ticks as f64
        {
            let text =
                format!("{} of {} samples are missing", collect.missed_ticks, collect.missed_ticks + collect.ticks);
            stretched.evidence.push(Proof::new(reading.run.summary_path().display().to_string(), text));
        }
    }
    Looked::new(scene.brokers().count(), [stretched, costly])
}

fn stretch(series: &Series, period_s: f64, asked_s: f64) -> String {
    let connections = connections_max(series);
    let mut text = format!("one sample each {period_s:.2} s instead of {asked_s:.2} s");
    if connections >= 1000.0 {
        let each_us = 1e6 * (period_s - asked_s) / connections;
        text += &format!(", with {} connections: {each_us:.1} us more per connection", grouped(connections));
    }
    text
}

/// The period that was asked for, by the tool's own settings or the document.
fn asked_s(scene: &Scene, reading: &Reading) -> Option<f64> {
    let own = reading.run.meta.as_ref().and_then(|meta| meta.config.get("interval_us")?.as_f64());
    let declared = || scene.declared(reading).find_map(|(_, declared)| declared.interval_s);
    own.map(|us| us * 1e-6).or_else(declared)
}

/// The usual period of the fastest published run: what the tool does when nothing slows it.
fn fastest_s(scene: &Scene) -> Option<f64> {
    let usual = |series: &Series| median(&series.intervals.iter().map(|i| i.dt_s).collect::<Vec<_>>());
    scene.brokers().filter(|(reading, _)| reading.is_published()).filter_map(|(_, s)| usual(s)).reduce(f64::min)
}

/// The published sampler's own overhead makes 5 to 16 % without any connections.
const STRETCH_MIN: f64 = 1.25;
/// Share of a core.
const COST_MAX: f64 = 0.05;
/// Share of the samples.
const MISSED_MAX: f64 = 0.02;
