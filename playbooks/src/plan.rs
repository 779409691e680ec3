//! What an experiment means on this machine: every step with its exact commands.
//!
//! A plan is all that an executor needs; `playbook plan` prints it, and `playbook run` keeps it beside the results. Only
//! what cannot be known before the run is left open, as `${...}` in arguments, environments and paths:
//!
//! - `${PID:name}`: process id of the step's process `name` (the broker is `broker`).
//! - `${UTC}`: the second at which the process is started, as in `20251230T135910Z`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use nix::sys::signal::Signal;
use runlog::event;
use serde::{Deserialize, Serialize};

/// A whole experiment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Identity of this run of the experiment, and the name of its directory.
    pub(crate) experiment: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) purpose: String,
    pub(crate) sources: Vec<String>,
    pub(crate) caveats: Vec<String>,
    /// What the plan changed of what was asked, and why.
    pub(crate) notes: Vec<String>,
    /// What was asked for on the command line: a run is gone on with only by the same request.
    pub(crate) request: Vec<String>,
    /// Decides which target begins at each point; 0 alternates.
    pub(crate) seed: u64,
    /// The start of this machine's kernel that the plan was made in.
    pub(crate) boot_id: Option<String>,
    /// sha256 of each of the programs that the steps start, by path; absent for those that cannot be read.
    pub(crate) programs: BTreeMap<String, String>,
    /// `git describe` of the checkout that the tools were built from, when they were.
    pub(crate) commit: Option<String>,
    /// Directory of the experiment.
    pub(crate) dir: String,
    /// Most files that a process may open here.
    pub(crate) files_max: u64,
    /// Expected time of all steps.
    pub(crate) expected_s: f64,
    /// Hosts with networks of their own; empty: everything on this machine's loopback.
    pub(crate) hosts: Vec<PlannedHost>,
    pub(crate) targets: Vec<PlannedTarget>,
    /// The claims that the report judges by the results, as a claims file; absent: none.
    pub(crate) claims: Option<String>,
    /// In the order of running.
    pub(crate) steps: Vec<PlannedStep>,
}

/// A host of the experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlannedHost {
    /// `sut`, `tester`, `prober`, or its name in the inventory.
    pub(crate) name: String,
    /// The interface between it and the others.
    pub(crate) interface: String,
    pub(crate) address: Ipv4Addr,
    /// Further addresses, for more ports.
    pub(crate) secondary: Vec<Ipv4Addr>,
    /// Of a host over SSH: the folder on it that holds our programs and what they write; its results come home to a folder of
    /// its name.
    #[serde(default)]
    pub(crate) folder: Option<String>,
    /// The start of its kernel that the plan was made in, where that is not this machine's.
    #[serde(default)]
    pub(crate) boot_id: Option<String>,
}

impl PlannedHost {
    /// Where a tool's program lies on it, if it has its own.
    pub(crate) fn program(&self, name: &str) -> Option<String> {
        self.folder.as_ref().map(|folder| format!("{folder}/bin/{name}"))
    }

    /// Its own folder for a target's repeat, if it has one: `dir` is the folder here.
    pub(crate) fn folder_for(&self, experiment: &str, dir: &str) -> Option<String> {
        let repeat = dir.rsplit('/').next().unwrap_or(dir);
        self.folder.as_ref().map(|folder| format!("{folder}/runs/{experiment}/{repeat}"))
    }
}

/// A broker of the comparison.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedTarget {
    /// `A`, `B`, ...
    pub(crate) label: String,
    /// Name in directories and reports; differs from `file` in an A/A control.
    pub(crate) name: String,
    /// The target file's name.
    pub(crate) file: String,
    pub(crate) title: String,
    pub(crate) sources: Vec<String>,
    pub(crate) exe: String,
    /// First line that it says of itself; absent when it is not here yet.
    pub(crate) version: Option<String>,
    pub(crate) sha256: Option<String>,
}

/// One step against one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedStep {
    pub(crate) step: String,
    pub(crate) purpose: String,
    /// Name of the target.
    pub(crate) target: String,
    pub(crate) label: String,
    /// From 1.
    pub(crate) repeat: u32,
    /// `A-ours-fan-q1`: begins the tag of every run directory of the step.
    pub(crate) tag: String,
    /// Directory of the target's repeat, which holds the run directories and the phase marks.
    pub(crate) dir: String,
    /// Environment of every tool of the step.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) phases: Vec<PlannedPhase>,
    /// What may be left of earlier steps when this one begins; absent: whatever there is.
    pub(crate) clean: Option<PlannedClean>,
    /// Commands that end with 0 when declared settings are those observed: before the broker is started, and after it has ended.
    pub(crate) manifest: Vec<PlannedCheck>,
    pub(crate) broker: PlannedBroker,
    /// Commands that end with 0 when the broker delivers: once it accepts connections, before anything else meets it, side
    /// by side.
    pub(crate) smoke: Vec<PlannedCheck>,
    /// What the test for a steady state decides.
    pub(crate) steady: Steady,
    /// In the order of starting.
    pub(crate) processes: Vec<PlannedProcess>,
}

/// A clean slate.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct PlannedClean {
    /// Sockets in TIME_WAIT on each host at most.
    pub(crate) time_wait_max: u64,
    /// How long to wait for the others to go.
    pub(crate) limit_ms: u64,
}

/// A command that must end with 0.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedCheck {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) argv: Vec<String>,
    pub(crate) limit_ms: u64,
    /// Its standard output and error.
    pub(crate) log: String,
}

/// What the test for a steady state (Mann and Kendall's, of memory and throughput over the measure phase) decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Steady {
    /// It is not made: the load is meant to change.
    Off,
    /// A trend is a remark.
    #[default]
    Note,
    /// A trend fails the point: the step claims a figure that can be sustained.
    Gate,
}

/// A phase and how long it lasts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedPhase {
    pub(crate) name: Phase,
    pub(crate) expected_ms: u64,
    /// For phases that end when something is done: when to give up.
    pub(crate) limit_ms: u64,
}

/// The phases of a step, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Phase {
    /// Clients connect and subscribe; ends when all are ready.
    Ramp,
    /// Load runs, nothing is judged yet.
    Settle,
    /// What the figures are taken from.
    Measure,
    /// Senders are stopped; what is under way arrives.
    Drain,
}

impl Phase {
    /// The name in phase marks.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ramp => "ramp",
            Self::Settle => "settle",
            Self::Measure => "measure",
            Self::Drain => "drain",
        }
    }
}

/// The broker of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedBroker {
    /// Processors that it may use; empty: all.
    pub(crate) cpus: Vec<usize>,
    /// Empty: it runs already, and is neither started nor stopped.
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    /// Written before the start.
    pub(crate) files: Vec<PlannedFile>,
    /// Name of its host.
    pub(crate) host: String,
    /// Where it listens; connecting there is the ready check.
    pub(crate) address: String,
    /// Name of the host that the ready check is made from.
    pub(crate) reached_from: String,
    pub(crate) ready_timeout_ms: u64,
    /// Between SIGTERM and SIGKILL.
    pub(crate) stop_grace_ms: u64,
    /// Its standard output and error.
    pub(crate) log: String,
}

/// A file to write.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A tool process of one step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PlannedProcess {
    pub(crate) name: String,
    pub(crate) kind: ProcessKind,
    /// Name of its host; the broker's is `sut`.
    pub(crate) host: String,
    /// Processors that it may use; empty: all.
    pub(crate) cpus: Vec<usize>,
    pub(crate) argv: Vec<String>,
    /// Started at the beginning of this phase; a collector of another process, with that process.
    pub(crate) start: Phase,
    /// Whether the next one waits for this one: for a load until its events say `ready`, for a collector until it has its
    /// first sample.
    pub(crate) awaits_ready: bool,
    /// Started at once with the one before: another host's part of the same load, or what watches it.
    pub(crate) with_previous: bool,
    /// Name of the load that it is, or is a part of; of a collector: that it watches.
    pub(crate) load: String,
    pub(crate) ends_by_itself: bool,
    /// Connections that must be held: the role-count gate.
    pub(crate) connections: Option<u64>,
    /// Of a load that may lag behind its plan.
    pub(crate) saturates: bool,
    /// Of a collector: the distance of its samples.
    pub(crate) interval_ms: Option<u64>,
    /// Asked to end so long after the begin of the measure phase.
    pub(crate) stop_ms: Option<u64>,
    /// Stands still (SIGSTOP, SIGCONT) from and until so long after the begin of the measure phase.
    pub(crate) pause_ms: Option<[u64; 2]>,
    /// The run directory that it writes.
    pub(crate) run_dir: String,
    /// Its standard output and error.
    pub(crate) log: String,
}

/// What a process does in the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProcessKind {
    Loadgen,
    Prober,
    Collector,
}

impl Plan {
    /// Every program that the steps start, each once.
    pub(crate) fn program_paths(steps: &[PlannedStep]) -> BTreeSet<&str> {
        steps.iter().flat_map(PlannedStep::programs).collect()
    }
}

impl PlannedStep {
    /// The programs that this step starts.
    pub(crate) fn programs(&self) -> impl Iterator<Item = &str> {
        let tools = self.processes.iter().map(|process| &process.argv);
        let checks = self.manifest.iter().chain(&self.smoke).map(|check| &check.argv);
        tools.chain(checks).chain([&self.broker.argv]).filter_map(|argv| Some(argv.first()?.as_str()))
    }

    /// Those that it starts on a host.
    pub(crate) fn programs_on<'a>(&'a self, host: &'a str) -> impl Iterator<Item = &'a str> {
        let tools = self.processes.iter().filter(move |process| process.host == host);
        let checks = self.manifest.iter().chain(&self.smoke).filter(move |check| check.host == host);
        let broker = (self.broker.host == host).then_some(&self.broker.argv);
        let argvs = tools.map(|process| &process.argv).chain(checks.map(|check| &check.argv)).chain(broker);
        argvs.filter_map(|argv| Some(argv.first()?.as_str()))
    }

    /// Expected time from the broker's start to its end.
    pub(crate) fn expected_ms(&self) -> u64 {
        STEP_OVERHEAD_MS + self.phases.iter().map(|phase| phase.expected_ms).sum::<u64>()
    }

    /// What is done in the measure phase: milliseconds after its begin, what, to which process; in the order of time.
    pub(crate) fn actions(&self) -> Vec<(u64, Action, &str)> {
        let of = |process: &PlannedProcess| {
            let pause = process.pause_ms.map(|[from, until]| [(from, Action::Pause), (until, Action::Resume)]);
            let stop = process.stop_ms.map(|at| (at, Action::Stop));
            pause.into_iter().flatten().chain(stop).collect::<Vec<_>>()
        };
        let all = self
            .processes
            .iter()
            .flat_map(|process| of(process).into_iter().map(|(at_ms, action)| (at_ms, action, process.name.as_str())));
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    }

    /// All parts of the load that is stopped first when the measure phase is over: of those that do not end before, the one that
    /// was started last.
    pub(crate) fn senders(&self) -> impl Iterator<Item = &PlannedProcess> {
        let stopped = |process: &&PlannedProcess| {
            process.kind != ProcessKind::Collector && !process.ends_by_itself && process.stop_ms.is_none()
        };
        let last = self.processes.iter().rfind(stopped).map(|process| process.load.as_str());
        let of_last = move |process: &&PlannedProcess| stopped(process) && Some(process.load.as_str()) == last;
        self.processes.iter().rev().filter(of_last)
    }

    /// The phase of this name.
    pub(crate) fn phase(&self, name: Phase) -> &PlannedPhase {
        self.phases.iter().find(|phase| phase.name == name).expect("a plan has every phase")
    }

    /// `fan-q1 A ours #2`, for people.
    pub(crate) fn label(&self) -> String {
        format!("{} {} {} #{}", self.step, self.label, self.target, self.repeat)
    }
}

/// Starting and stopping a broker and the tools, as measured on two cores.
const STEP_OVERHEAD_MS: u64 = 700;

/// What is done to a load in the course of the measure phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    Stop,
    Pause,
    Resume,
}

impl Action {
    /// Name of its event.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stop => event::LOAD_STOPPED,
            Self::Pause => event::LOAD_PAUSED,
            Self::Resume => event::LOAD_RESUMED,
        }
    }

    /// What the process is sent.
    pub(crate) fn signal(self) -> Signal {
        match self {
            Self::Stop => Signal::SIGTERM,
            Self::Pause => Signal::SIGSTOP,
            Self::Resume => Signal::SIGCONT,
        }
    }
}
