//! F10: one run per point, and targets that ran hours apart.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::experiment;
use super::{Detector, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::stats::estimate::INTERVAL_REPEATS_MIN;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F10",
    title: "Points are not repeated, or targets did not take turns",
    needs: "runs of a broker's host",
    look,
};

fn look(scene: &Scene) -> Looked {
    let finding = |code, severity, title: &str, consequence: &str| DETECTOR.finding(code, severity, title, consequence);
    let mut single = finding(
        "single-run",
        Severity::Medium,
        "Points were measured once",
        "The spread between equal runs is unknown, so no difference can be told from noise.",
    );
    let mut few = finding(
        "few-repeats",
        Severity::Low,
        "Points were measured too seldom for a confidence interval",
        "Ranges can be given; an interval needs three repeats.",
    );
    let mut apart = finding(
        "targets-apart",
        Severity::Low,
        "The targets of a step did not take turns",
        "What changed on the machines in between is part of the difference.",
    );
    let mut points: BTreeMap<(String, String, String), Vec<&Reading>> = BTreeMap::new();
    for (reading, _) in scene.brokers() {
        let who = reading.label.clone().or(reading.target.clone()).unwrap_or_default();
        points.entry((experiment(reading), reading.step.clone(), who)).or_default().push(reading);
    }
    for runs in points.values() {
        let repeats: BTreeSet<u32> = runs.iter().map(|reading| reading.repeat).collect();
        let proof =
            |text: &str| Proof::new(runs[0].run.path.display().to_string(), format!("{}: {text}", runs[0].name()));
        match repeats.len() {
            1 => single.evidence.push(proof("1 run")),
            n if n < INTERVAL_REPEATS_MIN => few.evidence.push(proof(&format!("{n} runs"))),
            _ => {}
        }
    }
    for runs in scene.contested() {
        let mut times: Vec<(u64, &Reading)> = runs.iter().filter_map(|(r, _)| Some((r.run.utc?, *r))).collect();
        times.sort_by_key(|(utc, _)| *utc);
        let turns = times.windows(2).filter(|pair| pair[0].1.target != pair[1].1.target);
        let nearest = turns.map(|pair| (pair[1].0 - pair[0].0, pair[0].1, pair[1].1)).min_by_key(|turn| turn.0);
        if let Some((gap_s, before, after)) = nearest.filter(|(gap_s, ..)| *gap_s > APART_S_MAX) {
            let text = format!(
                "{} ran {} after {}",
                after.name(),
                if gap_s < 7200 { format!("{} min", gap_s / 60) } else { format!("{:.1} h", gap_s as f64 / 3600.0) },
                before.name()
            );
            apart.evidence.push(Proof::new(after.run.path.display().to_string(), text));
        }
    }
    Looked::new(points.len(), [single, few, apart])
}

/// Targets that take turns with steps of five minutes and a restart each are this close, s.
const APART_S_MAX: u64 = 15 * 60;
