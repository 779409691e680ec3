//! F17: a headline percentile that hides a worse one.

use std::collections::BTreeMap;

use runlog::Summary;

use super::{Detector, Looked, Proof, Scene, Severity};
use crate::claims::expression::{Function, Tree};
use crate::report::metric::Metric;

pub(super) const DETECTOR: Detector = Detector {
    flaw: "F17",
    title: "A percentile hides that a higher one is the other way round",
    needs: "two percentiles or more of two targets, measured or published",
    look,
};

fn look(scene: &Scene) -> Looked {
    let mut crosses = DETECTOR.finding(
        "curves-cross",
        Severity::High,
        "One target is better at one percentile and worse at a higher one",
        "A headline with one of them says what its author likes; show the whole curve.",
    );
    let curves = published(scene).into_iter().chain(measured(scene)).filter(|(_, targets)| targets.len() > 1);
    let mut looked = 0;
    for ((file, step), targets) in curves {
        looked += 1;
        let names: Vec<&String> = targets.keys().collect();
        for (at, one) in names.iter().enumerate() {
            for two in &names[at + 1..] {
                let text = crossing(one, &targets[*one], two, &targets[*two]);
                crosses.evidence.extend(text.map(|text| Proof::new(file.clone(), format!("{step}{text}"))));
            }
        }
    }
    Looked::new(looked, [crosses])
}

/// Latency by place on the curve (order in [`PERCENTILES`]).
type Curve = BTreeMap<usize, f64>;
/// Curves of one file and step, by target.
type Curves = BTreeMap<(String, String), BTreeMap<String, Curve>>;

/// The widest crossing of two curves, in words.
fn crossing(one: &str, a: &Curve, two: &str, b: &Curve) -> Option<String> {
    let ratios: Vec<(usize, f64)> =
        a.iter().filter_map(|(place, value)| Some((*place, b.get(place)? / value))).collect();
    for (low, ratio) in &ratios {
        let turned = |(_, other): &&(usize, f64)| {
            (*ratio >= CLEAR && *other <= 1.0 / CLEAR) || (*ratio <= 1.0 / CLEAR && *other >= CLEAR)
        };
        if let Some((high, _)) = ratios.iter().filter(|(place, _)| place > low).find(turned) {
            let name = |place: &usize| PERCENTILES[*place].0;
            return Some(format!(
                "{}: {one} {}, {two} {} us; {}: {one} {}, {two} {} us",
                name(low),
                a[low],
                b[low],
                name(high),
                a[high],
                b[high]
            ));
        }
    }
    None
}

/// What publishers print: claims that are one latency percentile of one target.
fn published(scene: &Scene) -> Curves {
    let mut curves = Curves::new();
    for claim in scene.published.iter().flat_map(|file| file.claims.iter().map(move |claim| (file, claim))) {
        let (file, claim) = claim;
        if !scene.is_about(file) {
            continue;
        }
        let Some(Tree::Metric(Function::Median, selection)) = claim.expression.as_ref().map(|e| &e.tree) else {
            continue;
        };
        let place = PERCENTILES.iter().position(|(_, metric)| metric.key() == selection.metric);
        let target = selection.matchers.iter().find(|m| m.label == "target" && m.is_equal);
        if let (Some(place), Some(target)) = (place, target) {
            let key = (format!("{}, section {}", file.document, claim.section), String::new());
            curves.entry(key).or_default().entry(target.pattern.clone()).or_default().insert(place, claim.value);
        }
    }
    curves
}

/// What probers measured, by step.
fn measured(scene: &Scene) -> Curves {
    let mut curves = Curves::new();
    for reading in scene.readings() {
        let (Some(Summary::Probe(probe)), Some(target)) = (&reading.tool, &reading.target) else { continue };
        let of = &probe.latency_us;
        let values = [of.p50, of.p95, of.p99, of.max];
        let curve =
            values.into_iter().enumerate().filter_map(|(place, value)| Some((place, value.filter(|v| v.is_finite())?)));
        let home = reading.run.path.parent().and_then(std::path::Path::parent).unwrap_or(&reading.run.path);
        let key = (home.display().to_string(), format!("{} (repeat {}), ", reading.step, reading.repeat));
        // A maximum is one sample, and says too little of a measured curve.
        curves.entry(key).or_default().insert(target.clone(), curve.filter(|(place, _)| *place < 3).collect());
    }
    curves
}

/// From low to high.
const PERCENTILES: [(&str, Metric); 4] = [
    ("p50", Metric::LatencyP50),
    ("p95", Metric::LatencyP95),
    ("p99", Metric::LatencyP99),
    ("max", Metric::LatencyMax),
];
/// A factor that no confidence interval of some thousand samples reaches.
const CLEAR: f64 = 1.5;
