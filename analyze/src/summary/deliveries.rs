//! What the subscribers beside a run received meanwhile.
//!
//! Runs that lie in one directory and are of one step saw the same load. Load tools write what they received into their
//! counters with both clocks; the wall clock is the one that hosts share.

use std::ops::Range;

use runlog::columns::WALL_NS;
use runlog::{Role, Run};

use crate::series::Series;

/// Messages per second that all load tools beside `run` received in these intervals; `None` where none recorded any. A tool
/// counts from its first to its last counter line inside.
pub fn per_s(run: &Run, series: &Series, intervals: Range<usize>) -> Option<f64> {
    let walls = series.table.counts(WALL_NS)?;
    let first = series.intervals.get(intervals.start)?.from;
    let last = series.intervals.get(intervals.end.checked_sub(1)?)?.to;
    let (begin_ns, end_ns) = (walls[first]?, walls[last]?);
    let received = beside(run).filter_map(|tool| {
        // A damaged line costs its sample; what is wrong with the file is told where the tool's own run is read.
        let rows = tool.counters().ok()?.value;
        let inside: Vec<_> = rows.iter().filter(|row| (begin_ns..=end_ns).contains(&row.wall_ns)).collect();
        let (first, last) = (inside.first()?, inside.last()?);
        let elapsed_s = last.wall_ns.checked_sub(first.wall_ns)? as f64 * 1e-9;
        let messages = last.received.checked_sub(first.received)? as f64;
        (elapsed_s > 0.0 && messages > 0.0).then(|| messages / elapsed_s)
    });
    received.reduce(|sum, rate| sum + rate)
}

/// The load tools' runs in the same directory, of the same step where a playbook says which.
fn beside(run: &Run) -> impl Iterator<Item = Run> {
    let step = run.context.as_ref().map(|context| context.step.clone());
    let entries = run.path.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir());
    let tools = paths.map(Run::open).filter(|tool| tool.role == Role::Loadgen && tool.counters_path().exists());
    tools.filter(move |tool| tool.context.as_ref().map(|context| context.step.clone()) == step)
}
