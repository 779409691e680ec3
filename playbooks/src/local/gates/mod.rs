//! Gates: what must hold for a step's figures to count. A gate that fails makes the step a failed point with a reason;
//! the run goes on.
//!
//! - [`clean`]: the state from which a step begins.
//! - [`load`]: load tools and probers, by their own summaries, counters and events.
//! - [`samples`]: collectors: on time, and witnesses of the connections.
//! - [`manifest`]: settings as declared, and the same in every repeat.
//! - [`mod@steady`]: no trend in memory and throughput.
//!
//! All but `clean` look at files alone: what a run left can be judged again.

mod clean;
mod load;
mod manifest;
mod samples;
mod steady;

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::Signal;
use runlog::Run;

pub(crate) use self::clean::time_wait;
pub(super) use self::manifest::{differences, since_first};
pub(super) use self::steady::steady;
pub(crate) use self::steady::{ANALYZE, analyze};

use super::child::{Stopped, describe};
use crate::plan::{PlannedProcess, ProcessKind};

/// A process of the step, and what it wrote.
pub(super) type Written<'a> = (&'a PlannedProcess, &'a Run);

/// The measure phase, monotonic nanoseconds.
pub(super) type Window = (u64, u64);

/// The verdict of one gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) name: &'static str,
    /// The process that it judges.
    pub(super) process: String,
    /// Why it failed; absent when it passed.
    pub(super) failure: Option<String>,
    /// What a reader should know although it passed.
    pub(super) remark: Option<String>,
}

impl Gate {
    /// A gate that failed.
    pub(super) fn failed(name: &'static str, process: &str, reason: impl Into<String>) -> Self {
        Self::judged(name, process, Some(reason.into()))
    }

    /// A gate that passed when there is no failure.
    pub(super) fn judged(name: &'static str, process: &str, failure: Option<String>) -> Self {
        Self { name, process: process.to_owned(), failure, remark: None }
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

/// What the files of a step's processes say. `measure` is the measure phase by the clock of a process's host; absent when that
/// phase never came to its end.
pub(super) fn judge(written: &[Written<'_>], measure: &dyn Fn(&PlannedProcess) -> Option<Window>) -> Vec<Gate> {
    let mut gates = Vec::new();
    for (process, run) in written {
        gates.extend(match process.kind {
            ProcessKind::Collector => samples::judge(process, run, measure(process)),
            ProcessKind::Loadgen | ProcessKind::Prober => load::judge(process, run, measure(process)),
        });
    }
    gates.extend(load::lost_roles(written));
    gates.extend(load::unverified(written));
    gates.extend(samples::witness(written, measure));
    gates
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;
    use crate::plan::Phase;

    /// A process of this name, for tests of what such processes wrote.
    pub(super) fn process(name: &str) -> PlannedProcess {
        PlannedProcess {
            name: name.to_owned(),
            kind: ProcessKind::Loadgen,
            host: "tester".to_owned(),
            cpus: Vec::new(),
            argv: Vec::new(),
            start: Phase::Ramp,
            awaits_ready: true,
            ends_by_itself: false,
            connections: None,
            with_previous: false,
            load: name.to_owned(),
            saturates: false,
            interval_ms: None,
            stop_ms: None,
            pause_ms: None,
            run_dir: String::new(),
            log: String::new(),
        }
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
