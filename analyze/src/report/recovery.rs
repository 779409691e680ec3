//! What clients that leave at once do to others, and how long it takes until they are back.

use runlog::{Edge, Event, EventKind, Warning, event};

use super::experiment::Point;
use super::measure::Sample;
use crate::phases::Span;
use crate::stats::recovery::{self, Recovery};

/// How long a probe's latency stayed disturbed after what happened in the measure phase: a load that the runner stopped or
/// paused, or a storm. What is damaged in the file of probes is added to `warnings`. Of several moments the one that took longest. `None` where nothing happened or nobody probed.
pub fn of_latency(point: &Point, warnings: &mut Vec<Warning>) -> Option<Sample> {
    let (run, _) = point.prober.as_ref()?;
    let measured = point.measured?;
    let moments = moments(point, measured);
    if moments.is_empty() {
        return None;
    }
    let probes = match run.probes() {
        Ok(probes) => {
            warnings.extend(probes.warnings);
            probes.value
        }
        Err(error) => return Some(Sample::Void(format!("the probes one by one: {error}"))),
    };
    let mut worst_s = 0.0_f64;
    for (at, (name, begin_ns)) in moments.iter().enumerate() {
        let since_s = |ns: u64| (i128::from(ns) - i128::from(*begin_ns)) as f64 * 1e-9;
        // What is usual is known from before the first of them, and what comes after the next one is that one's doing.
        let first_s = since_s(moments[0].1);
        let next_s = moments.get(at + 1).map_or(f64::INFINITY, |(_, next_ns)| since_s(*next_ns));
        let probes: Vec<(f64, f64)> = probes
            .iter()
            .map(|probe| {
                (since_s(point.mono_ns_of(run, probe.due_ns)), probe.latency_ns().map_or(f64::INFINITY, |ns| ns as f64))
            })
            .filter(|(due_s, _)| *due_s < first_s || (0.0..next_s).contains(due_s))
            .collect();
        match recovery::recovery(&probes) {
            Some(Recovery::Undisturbed) => {}
            Some(Recovery::After(s)) => worst_s = worst_s.max(s),
            Some(Recovery::NotWithin(s)) => {
                return Some(Sample::Void(format!("{name}: latency was not as before within {s:.1} s")));
            }
            None => {
                let (before, groups) = (recovery::BEFORE_MIN, recovery::QUIET_GROUPS * recovery::GROUP);
                return Some(Sample::Void(format!("{name}: needs {before} probes before it and {groups} after it")));
            }
        }
    }
    Some(Sample::Number(worst_s))
}

/// From the begin of a storm until all its clients were back, s: the longest of the storms. `None` without one.
pub fn of_clients(point: &Point) -> Option<Sample> {
    let stretches = point.loads.iter().flat_map(|load| &load.summary.stretches);
    let mut storms = stretches.filter(|stretch| stretch.name.starts_with(STORM)).peekable();
    storms.peek()?;
    let mut worst_s = 0.0_f64;
    for storm in storms {
        match storm.settled_s {
            Some(settled_s) => worst_s = worst_s.max(settled_s),
            None => {
                let reason = format!(
                    "{}: not all of {} clients were back within {:.1} s",
                    storm.name, storm.clients, storm.length_s
                );
                return Some(Sample::Void(reason));
            }
        }
    }
    Some(Sample::Number(worst_s))
}

/// Name and moment (by the clock of who marked the phases) of what happened within the measure phase, in order.
fn moments(point: &Point, measured: Span) -> Vec<(String, u64)> {
    let mut moments: Vec<(String, u64)> = point
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Note && ACTIONS.contains(&event.name.as_str()))
        .map(|event| (event.name.clone(), event.mono_ns))
        .collect();
    for load in &point.loads {
        let events = load.run.events().map(|events| events.value).unwrap_or_default();
        let is_storm = |event: &&Event| event.edge == Some(Edge::Begin) && event.name.starts_with(STORM);
        let storms = events.iter().filter(is_storm);
        moments.extend(storms.map(|event| (event.name.clone(), point.mono_ns_of(&load.run, event.mono_ns))));
    }
    moments.retain(|(_, at_ns)| (measured.begin_mono_ns..measured.end_mono_ns).contains(at_ns));
    moments.sort_by_key(|(_, at_ns)| *at_ns);
    moments
}

/// What a runner does to a load in the middle of a step; one that goes on again disturbs as well.
const ACTIONS: [&str; 3] = [event::LOAD_STOPPED, event::LOAD_PAUSED, event::LOAD_RESUMED];
const STORM: &str = "storm-";
