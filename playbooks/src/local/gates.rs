//! Gates: what must hold for a step's figures to count. A gate that fails makes the step a failed point with a reason;
//! the run goes on.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use runlog::{LoadSummary, ProbeSummary, Run, Summary};

use super::child::{Stopped, describe};
use crate::plan::{PlannedProcess, ProcessKind};

/// The verdict of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) name: &'static str,
    /// The process that it judges.
    pub(super) process: String,
    /// Why it failed; absent when it passed.
    pub(super) failure: Option<String>,
}

impl Gate {
    /// A gate that failed.
    pub(super) fn failed(name: &'static str, process: &str, reason: impl Into<String>) -> Self {
        Self { name, process: process.to_owned(), failure: Some(reason.into()) }
    }

    fn judged(name: &'static str, process: &str, failure: Option<String>) -> Self {
        Self { name, process: process.to_owned(), failure }
    }
}

/// A tool must end well: exit code 0, within its grace.
pub(super) fn tool_exit(process: &str, stopped: &Stopped, last_words: &str) -> Gate {
    let failure = killed(stopped, last_words).or_else(|| {
        let status = stopped.status;
        (!status.success()).then(|| format!("ended with {}; {last_words}", describe(status)))
    });
    Gate::judged("exit", process, failure)
}

/// A broker must live until it is asked to end, and end within its grace. What it then says is its own affair: some
/// return 0, some let SIGTERM end them, some return 143.
pub(super) fn broker_exit(process: &str, stopped: &Stopped, last_words: &str) -> Gate {
    let status = stopped.status;
    let on_request = status.success()
        || status.signal() == Some(Signal::SIGTERM as i32)
        || status.code() == Some(128 + Signal::SIGTERM as i32);
    let failure = killed(stopped, last_words)
        .or_else(|| (!on_request).then(|| format!("ended with {}; {last_words}", describe(status))));
    Gate::judged("exit", process, failure)
}

fn killed(stopped: &Stopped, last_words: &str) -> Option<String> {
    stopped.killed.then(|| format!("did not end when asked, and was killed; {last_words}"))
}

/// What a load tool's own summary and counters say. `measure` is the measure phase in monotonic nanoseconds.
pub(super) fn judge(process: &PlannedProcess, run: &Run, measure: Option<(u64, u64)>) -> Vec<Gate> {
    if process.kind == ProcessKind::Collector {
        return Vec::new();
    }
    match run.summary() {
        Ok(Some(Summary::Load(summary))) => judge_load(process, run, &summary, measure),
        Ok(Some(Summary::Probe(summary))) => vec![judge_probe(process, &summary)],
        Ok(Some(Summary::Collect(_) | Summary::Other(_))) => {
            let reason = format!("{} was written by another tool", run.summary_path().display());
            vec![Gate::failed("summary", &process.name, reason)]
        }
        Ok(None) => vec![Gate::failed("summary", &process.name, format!("no {}", run.summary_path().display()))],
        Err(error) => vec![Gate::failed("summary", &process.name, error.to_string())],
    }
}

fn judge_load(process: &PlannedProcess, run: &Run, summary: &LoadSummary, measure: Option<(u64, u64)>) -> Vec<Gate> {
    let reasons = if summary.failures.is_empty() { "it gives no reason".into() } else { summary.failures.join("; ") };
    let mut gates = vec![
        Gate::judged("summary", &process.name, (!summary.ok).then_some(reasons)),
        Gate::judged("generator", &process.name, generator_failure(summary)),
    ];
    if let Some(asked) = process.connections {
        gates.push(Gate::judged("role-count", &process.name, role_count_failure(run, summary, asked, measure)));
    }
    gates
}

fn generator_failure(summary: &LoadSummary) -> Option<String> {
    let late_ms = summary.publish.as_ref().map_or(0.0, |publish| publish.late_max_us as f64 / 1e3);
    let text = format!("the generator could not keep its own plan (latest send {late_ms:.1} ms after its due time)");
    summary.generator_limited.then_some(text)
}

/// All clients that were asked for connect, and none is missing at any moment of the measure phase: minimum and maximum
/// of the gauge, never its median.
fn role_count_failure(run: &Run, summary: &LoadSummary, asked: u64, measure: Option<(u64, u64)>) -> Option<String> {
    let succeeded = summary.connect.succeeded;
    if succeeded != asked {
        let reasons: Vec<String> =
            summary.connect.by_reason.iter().map(|(reason, count)| format!("{reason}: {count}")).collect();
        return Some(format!("{succeeded} of {asked} clients connected ({})", reasons.join(", ")));
    }
    let (begin, end) = measure?;
    let rows = match run.counters() {
        Ok(loaded) => loaded.value,
        Err(error) => return Some(error.to_string()),
    };
    let gauges = rows.iter().filter(|row| (begin..=end).contains(&row.mono_ns)).map(|row| row.connected);
    let (least, most) = gauges.fold((u64::MAX, 0), |(least, most), gauge| (least.min(gauge), most.max(gauge)));
    match (least, most) {
        (u64::MAX, _) => Some("no counter was written during the measure phase".into()),
        _ if least == asked && most == asked => None,
        _ => Some(format!("between {least} and {most} of {asked} clients were connected during the measure phase")),
    }
}

fn judge_probe(process: &PlannedProcess, summary: &ProbeSummary) -> Gate {
    let failure = (!summary.ok).then(|| {
        let counts = format!("{} of {} probes arrived", summary.received, summary.sent);
        if summary.failures.is_empty() { counts } else { format!("{counts}; {}", summary.failures.join("; ")) }
    });
    Gate::judged("summary", &process.name, failure)
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use runlog::RunDir;
    use runlog::write::CounterRow;

    use super::*;

    /// The role-count gate over a run of 10 clients whose gauge had these values at 1, 2, 3, ... ns.
    fn role_count(succeeded: u64, gauges: &[u64], measure: Option<(u64, u64)>) -> Option<String> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = RunDir::create(folder.path().join("run")).expect("a new directory");
        let mut counters = dir.counters_writer().expect("writable");
        for (mono_ns, connected) in (1..).zip(gauges.iter().copied()) {
            counters.append(&CounterRow { mono_ns, connected, ..CounterRow::default() }).expect("writable");
        }
        let mut summary = LoadSummary::default();
        summary.connect.succeeded = succeeded;
        summary.connect.by_reason = [("ECONNREFUSED".to_owned(), 10 - succeeded.min(10))].into();
        role_count_failure(&Run::open(dir.path()), &summary, 10, measure)
    }

    #[test]
    fn role_count_looks_at_every_moment_of_the_measure_phase_and_at_no_other() {
        assert_eq!(role_count(10, &[3, 10, 10, 10, 0], Some((2, 4))), None);
        let dip = role_count(10, &[10, 10, 9, 10, 10], Some((2, 4))).expect("a client was missing");
        assert_eq!(dip, "between 9 and 10 of 10 clients were connected during the measure phase");
        let more = role_count(10, &[10, 11, 10], Some((1, 3))).expect("one too many");
        assert!(more.contains("between 10 and 11"), "{more}");
    }

    #[test]
    fn role_count_wants_every_client_and_a_witness() {
        let refused = role_count(7, &[7, 7], Some((1, 2))).expect("three are missing");
        assert_eq!(refused, "7 of 10 clients connected (ECONNREFUSED: 3)");
        let unseen = role_count(10, &[10], Some((5, 9))).expect("nobody looked");
        assert!(unseen.contains("no counter"), "{unseen}");
    }

    #[test]
    fn brokers_may_end_by_the_signal_and_tools_may_not() {
        // As in wait(2): the signal in the low byte, or the exit code in the next one.
        let ended = |wait_status: i32, killed| Stopped { status: ExitStatus::from_raw(wait_status), killed };
        let sigterm = Signal::SIGTERM as i32;
        assert_eq!(broker_exit("broker", &ended(sigterm, false), "").failure, None);
        assert_eq!(broker_exit("broker", &ended(143 << 8, false), "").failure, None);
        assert!(broker_exit("broker", &ended(1 << 8, false), "").failure.is_some());
        assert!(broker_exit("broker", &ended(Signal::SIGKILL as i32, true), "").failure.is_some());
        assert!(
            tool_exit("pub", &ended(sigterm, false), "it said: x").failure.is_some_and(|why| why.contains("SIGTERM"))
        );
        assert_eq!(tool_exit("pub", &ended(0, false), "").failure, None);
    }
}
