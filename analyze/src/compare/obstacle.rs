//! Why a point is no evidence, and why two sides may not be compared.
//!
//! A point whose subscribers went away, or got nothing, measures something else than its neighbour: it fails with the moment at
//! which that began, counted from the begin of the measure phase, or from the first sample where nobody marked one. Sides that were
//! loaded differently in a step of one name are not comparable; under different names they are what somebody asked to compare,
//! and the differences are noted.

use std::collections::{BTreeMap, BTreeSet};

use runlog::write::CounterRow;
use runlog::{LoadSummary, Run};
use serde_json::Value;

use super::Side;
use super::inside::Series;
use super::side::Observed;
use crate::audit::bare_acknowledgements;
use crate::report::experiment::{Point, StepKind};
use crate::report::measure::Measured;
use crate::stats::median;

/// What a point was loaded with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Load {
    /// Settings of the load tools, such as `pub clients`.
    pub conditions: BTreeMap<String, String>,
    /// The most connections that the broker's host held, where no load tool counted them.
    pub connections: Option<f64>,
}

impl Load {
    /// What the point's tools were told, and what the host held.
    pub fn of(point: &Point, measured: &Measured) -> Self {
        let mut values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut clients: BTreeMap<String, u64> = BTreeMap::new();
        for load in &point.loads {
            let mode = &load.summary.mode;
            *clients.entry(format!("{mode} clients")).or_default() += load.summary.clients;
            let config = load.run.meta.as_ref().map_or(&Value::Null, |meta| &meta.config);
            for key in CONDITIONS {
                if let Some(value) = config.get(key).filter(|value| !value.is_null()) {
                    values.entry(format!("{mode} {key}")).or_default().insert(value.to_string().replace('"', ""));
                }
            }
        }
        let mut conditions: BTreeMap<String, String> =
            values.into_iter().map(|(key, set)| (key, set.into_iter().collect::<Vec<_>>().join(" and "))).collect();
        conditions.extend(clients.into_iter().map(|(key, count)| (key, count.to_string())));
        let connections = measured.estab.map(|(_, most)| most).filter(|_| point.loads.is_empty());
        Self { conditions, connections }
    }
}

/// What went away inside a point.
pub fn inside(point: &Point, kind: StepKind, series: &Series) -> Vec<String> {
    let mut found = Vec::new();
    for (mode, one, many) in ROLES {
        // Connections that end on purpose are no loss.
        if point.loads(mode).any(|load| comes_and_goes(&load.run, &load.summary)) {
            continue;
        }
        found.extend(gone(&series.connected(mode), one, many));
    }
    if found.is_empty() {
        found.extend(silence(series));
    }
    if let Some((broker, _)) = series.broker.as_ref().filter(|_| point.loads.is_empty() && kind == StepKind::Throughput)
        && let Some((begin_s, end_s)) = bare_acknowledgements(broker)
    {
        found.push(format!(
            "had no subscriber from {} to {}: what it sent were bare acknowledgements",
            minutes(begin_s),
            minutes(end_s)
        ));
    }
    found
}

/// Why the two sides may not be compared.
pub fn between(a: &Side, of_a: &[&Observed], b: &Side, of_b: &[&Observed], is_one_step: bool) -> Vec<String> {
    let mut found: Vec<String> =
        [("A", a), ("B", b)].into_iter().flat_map(|(name, side)| all_failed(name, side)).collect();
    if !found.is_empty() {
        return found;
    }
    if is_one_step {
        found.extend(differences(of_a, of_b));
    }
    let held = |points: &[&Observed]| {
        let loaded = points.iter().filter(|point| point.kind != StepKind::Idle);
        median(&loaded.filter_map(|point| point.load.connections).collect::<Vec<_>>())
    };
    if let (Some(held_a), Some(held_b)) = (held(of_a), held(of_b))
        && held_a.min(held_b) < WHOLE * held_a.max(held_b)
    {
        found.push(format!("A held {held_a:.0} connections and B {held_b:.0}"));
    }
    found
}

/// The settings of the load tools that differ between the sides.
pub fn differences(a: &[&Observed], b: &[&Observed]) -> Vec<String> {
    let (a, b) = (conditions(a), conditions(b));
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let shown = |side: &BTreeMap<String, String>, key: &String| side.get(key).map_or("none", String::as_str).to_owned();
    let differing = keys.into_iter().filter(|key| a.get(*key) != b.get(*key));
    differing.map(|key| format!("{key}: {} for A and {} for B", shown(&a, key), shown(&b, key))).collect()
}

/// The settings of all points of a side.
fn conditions(points: &[&Observed]) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, BTreeSet<&String>> = BTreeMap::new();
    for (key, value) in points.iter().flat_map(|point| &point.load.conditions) {
        all.entry(key.clone()).or_default().insert(value);
    }
    let listed = |set: BTreeSet<&String>| set.into_iter().map(String::as_str).collect::<Vec<_>>().join(" or ");
    all.into_iter().map(|(key, set)| (key, listed(set))).collect()
}

fn all_failed(name: &str, side: &Side) -> Vec<String> {
    if side.points > 0 {
        return Vec::new();
    }
    match side.failed.as_slice() {
        [only] => only.reasons.iter().map(|reason| format!("{name} {reason}")).collect(),
        failed => {
            let reason = |point: &super::FailedPoint| format!("{}: {}", point.repeat, point.reasons.join("; "));
            let reasons: Vec<String> = failed.iter().map(reason).collect();
            vec![format!("{name} failed in all {} repeats ({})", failed.len(), reasons.join(" | "))]
        }
    }
}

fn comes_and_goes(run: &Run, summary: &LoadSummary) -> bool {
    let churns =
        run.meta.as_ref().and_then(|meta| meta.config.get("churn_per_s")).is_some_and(|value| !value.is_null());
    churns || summary.connect.churned > 0
}

/// The moment from which fewer clients of a role were connected than before.
fn gone(levels: &[(f64, f64)], one: &str, many: &str) -> Option<String> {
    let most = levels.iter().map(|(_, level)| *level).fold(0.0, f64::max);
    let full = levels.iter().position(|(_, level)| *level >= most)?;
    let (at_s, level) = levels[full..].iter().find(|(_, level)| *level < WHOLE * most)?;
    let from = minutes(*at_s);
    Some(match *level {
        0.0 => format!("had no {one} from {from}"),
        level => format!("had {level:.0} of {most:.0} {many} from {from}"),
    })
}

/// The moment from which nothing arrived any more, though messages were sent.
fn silence(series: &Series) -> Option<String> {
    let delivered = series.per_second("sub", |row: &CounterRow| row.received, series.watched);
    let sent = series.per_second("pub", |row: &CounterRow| row.written, series.watched);
    let begin = delivered.iter().rposition(|messages| *messages > 0.0).map_or(0, |last| last + 1);
    let unanswered: f64 = sent.get(begin..)?.iter().sum();
    let is_silent = delivered.len() - begin >= SILENCE_S_MIN && unanswered >= SILENCE_MESSAGES_MIN;
    is_silent
        .then(|| format!("delivered nothing from {}, while {unanswered:.0} messages were sent", minutes(begin as f64)))
}

fn minutes(seconds: f64) -> String {
    format!("{}:{:02}", seconds as u64 / 60, seconds as u64 % 60)
}

/// Below this share of the most clients that there were, some were lost: one role may be ten clients beside thousands.
const WHOLE: f64 = 0.999;
/// A broker may pause for shorter.
const SILENCE_S_MIN: usize = 5;
const SILENCE_MESSAGES_MIN: f64 = 10.0;
const ROLES: [(&str, &str, &str); 3] =
    [("sub", "subscriber", "subscribers"), ("pub", "publisher", "publishers"), ("conn", "client", "clients")];
/// Settings that make a load another one.
const CONDITIONS: [&str; 10] = [
    "transport",
    "protocol",
    "clean_start",
    "churn_per_s",
    "qos",
    "retain",
    "payload_bytes",
    "message_interval_ms",
    "pacing",
    "window",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_went_away_and_when() {
        let levels =
            |values: &[f64]| values.iter().enumerate().map(|(at, v)| (at as f64 * 10.0, *v)).collect::<Vec<_>>();
        let of = |values: &[f64]| gone(&levels(values), "subscriber", "subscribers");
        assert_eq!(of(&[0.0, 5.0, 10.0, 10.0]), None);
        assert_eq!(of(&[10.0, 10.0, 10.0, 0.0]).as_deref(), Some("had no subscriber from 0:30"));
        assert_eq!(of(&[3.0, 10.0, 9.0, 10.0]).as_deref(), Some("had 9 of 10 subscribers from 0:20"));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[0.0, 0.0]), None);
    }
}
