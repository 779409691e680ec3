//! Phase marks: when the part of a run began and ended that figures are taken from.
//!
//! A playbook marks its phases in the events beside the run directories of one target and repeat, with the step in the detail;
//! a tool that ran alone may have marked them in its own.

use runlog::{Edge, Event, EventKind, Run};

/// A stretch of time, by both clocks: counters are stamped with the monotonic one, histogram logs with the wall's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Begin, ns of `CLOCK_MONOTONIC`.
    pub begin_mono_ns: u64,
    /// End, ns.
    pub end_mono_ns: u64,
    /// Begin, ns since 1970.
    pub begin_wall_ns: u64,
    /// End, ns.
    pub end_wall_ns: u64,
}

impl Span {
    /// Length, s.
    pub fn seconds(&self) -> f64 {
        (self.end_mono_ns - self.begin_mono_ns) as f64 * 1e-9
    }
}

/// The phase that figures are taken from.
pub const MEASURE: &str = "measure";

/// The measured part of a run by the marks beside it or in it; `None` when nobody marked it.
pub fn measured(run: &Run) -> Option<Span> {
    let step = run.context.as_ref().map(|context| context.step.as_str());
    let beside = run.path.parent().map(Run::open).and_then(|parent| parent.events().ok());
    let own = run.events().ok();
    [beside, own].into_iter().flatten().find_map(|events| span(&events.value, MEASURE, step))
}

/// Begin and end of the last phase of this name, of a step when one is given.
pub fn span(events: &[Event], phase: &str, step: Option<&str>) -> Option<Span> {
    let mark = |edge: Edge| {
        let mut marks =
            events.iter().filter(|event| event.edge == Some(edge) && is_phase(event, phase) && is_of_step(event, step));
        marks.next_back()
    };
    let (begin, end) = (mark(Edge::Begin)?, mark(Edge::End)?);
    let span = Span {
        begin_mono_ns: begin.mono_ns,
        end_mono_ns: end.mono_ns,
        begin_wall_ns: begin.wall_ns,
        end_wall_ns: end.wall_ns,
    };
    (span.end_mono_ns > span.begin_mono_ns).then_some(span)
}

/// Whether an event belongs to a step; one that names no step belongs to any.
pub fn is_of_step(event: &Event, step: Option<&str>) -> bool {
    match (detail(event, "step"), step) {
        (Some(of), Some(step)) => of == step,
        _ => true,
    }
}

/// A text in an event's detail.
pub fn detail<'a>(event: &'a Event, key: &str) -> Option<&'a str> {
    event.detail.get(key)?.as_str()
}

fn is_phase(event: &Event, phase: &str) -> bool {
    event.kind == EventKind::Phase && (event.name == phase || detail(event, "phase") == Some(phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(mono_ns: u64, edge: Edge, step: &str) -> Event {
        let detail = serde_json::json!({"step": step, "phase": MEASURE});
        Event { mono_ns, wall_ns: 1000 + mono_ns, ..Event::now(EventKind::Phase, MEASURE).edge(edge).detail(detail) }
    }

    #[test]
    fn a_span_is_that_of_its_step() {
        let events = [
            mark(10, Edge::Begin, "idle"),
            mark(20, Edge::End, "idle"),
            mark(30, Edge::Begin, "fan"),
            mark(50, Edge::End, "fan"),
        ];
        let between = |begin, end| Span {
            begin_mono_ns: begin,
            end_mono_ns: end,
            begin_wall_ns: 1000 + begin,
            end_wall_ns: 1000 + end,
        };
        assert_eq!(span(&events, MEASURE, Some("idle")), Some(between(10, 20)));
        assert_eq!(span(&events, MEASURE, Some("fan")), Some(between(30, 50)));
        assert_eq!(span(&events, MEASURE, Some("other")), None);
        assert_eq!(span(&events, "drain", Some("fan")), None);
        assert_eq!(span(&events[..3], MEASURE, Some("fan")), None);
    }
}
