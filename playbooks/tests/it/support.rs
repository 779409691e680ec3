//! The program under test, small experiments for it, and the processes that it starts.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use runlog::{Event, Run};
use serde_json::Value;
use tempfile::TempDir;

/// The program.
pub(crate) fn playbook() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_playbook"));
    command.stdin(Stdio::null());
    command
}

/// Runs it in a folder and returns what it said.
pub(crate) fn output(folder: &Path, args: &[&str]) -> Output {
    playbook().args(args).current_dir(folder).output().expect("the program starts")
}

/// Both streams, for messages of failed assertions.
pub(crate) fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\nstdout:\n{}\nstderr:\n{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Runs whose load is judged take turns: two at once on a small machine would fail each other's gates.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A temporary folder with an experiment `small.toml` of the given steps, A against B.
pub(crate) fn folder_with(targets: [&str; 2], steps: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [a, b] = targets;
    let text = format!(
        r#"
        name = "small"
        title = "A small experiment"
        purpose = "Tests the runner"
        repeats = 1
        [collect]
        iface = "lo"
        interval = "100ms"
        [[target]]
        any_of = ["{a}"]
        [[target]]
        any_of = ["{b}"]
        or_control = true
        {steps}
        "#
    );
    std::fs::write(folder.path().join("small.toml"), text).expect("written");
    folder
}

/// Gates that can fail because of what else the machine does.
pub(crate) const OF_THE_MACHINE: &[&str] = &["generator", "prober", "ticks"];

/// Nothing connected.
pub(crate) const IDLE: &str = r#"
    [[step]]
    name = "idle"
    purpose = "nothing connected"
    measure = "500ms"
"#;

/// A few subscribers, a few publishers, one probe.
pub(crate) const TRAFFIC: &str = r#"
    [[step]]
    name = "fan-q{qos}"
    purpose = "a little traffic"
    matrix = { qos = [0, 1] }
    ramp = "500ms"
    settle = "1s"
    measure = "4s"
    drain = "1s"
    [[step.load]]
    name = "sub"
    tool = "loadgen"
    connections = "5"
    args = ["sub", "-h", "{host}", "-p", "{port}", "-c", "5", "-t", "t", "-q", "{qos}", "--ifaddr", "{source}", "--prefix", "sub"]
    [[step.load]]
    name = "pub"
    tool = "loadgen"
    connections = "2"
    collect = true
    args = ["pub", "-h", "{host}", "-p", "{port}", "-c", "2", "-t", "t", "-q", "{qos}", "-s", "64", "-I", "50", "--ifaddr", "{source}", "--prefix", "pub"]
    [[step.load]]
    name = "probe"
    tool = "prober"
    start = "measure"
    ends = "by-itself"
    every = "20ms"
    args = ["-h", "{host}", "-p", "{port}", "-q", "{qos}", "-n", "{count}", "-i", "{every_ms}"]
"#;

/// Connections that stay until somebody stops them.
pub(crate) const LONG: &str = r#"
    [[step]]
    name = "hold"
    purpose = "connections for longer than the test waits"
    ramp = "500ms"
    measure = "10m"
    [[step.load]]
    name = "conn"
    tool = "loadgen"
    connections = "50"
    args = ["conn", "-h", "{host}", "-p", "{port}", "-c", "50", "-R", "1000", "--ifaddr", "{source}"]
"#;

/// The only experiment directory below `runs`.
pub(crate) fn experiment_dir(folder: &Path) -> PathBuf {
    let runs = folder.join("runs");
    let mut entries = std::fs::read_dir(&runs).expect("runs was made");
    let dir = entries.next().expect("an experiment was begun").expect("readable").path();
    assert!(entries.next().is_none(), "one experiment in {}", runs.display());
    dir
}

/// Whether an experiment was begun.
pub(crate) fn is_begun(folder: &Path) -> bool {
    std::fs::read_dir(folder.join("runs")).is_ok_and(|mut entries| entries.next().is_some())
}

/// The events of a target's repeat.
pub(crate) fn events(experiment: &Path, target_repeat: &str) -> Vec<Event> {
    let events = Run::open(experiment.join(target_repeat)).events().expect("readable events");
    assert!(events.warnings.is_empty(), "{:?}", events.warnings);
    events.value
}

/// The plan as JSON.
pub(crate) fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", said(output));
    serde_json::from_slice(&output.stdout).expect("a plan is JSON")
}

/// Waits for a condition for as long as a slow machine may need, and says what never came.
pub(crate) fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A process that cannot be mistaken for a later one with the same id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    started_ticks: u64,
    /// Name of the program.
    pub(crate) name: String,
}

impl Process {
    /// Whether it still runs (an ended one that nobody has waited for does not).
    pub(crate) fn lives(&self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.started_ticks == self.started_ticks && stat.state != 'Z')
    }
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of_parent = |pid: u32| {
        let stat = stat(pid).filter(|stat| stat.parent == parent && stat.state != 'Z')?;
        Some(Process { pid, started_ticks: stat.started_ticks, name: stat.name })
    };
    pids.filter_map(of_parent).collect()
}

struct Stat {
    name: String,
    state: char,
    parent: u32,
    started_ticks: u64,
}

/// `/proc/PID/stat`: the name stands in brackets and may hold anything; the rest are words.
fn stat(pid: u32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = text.rsplit_once(')')?;
    let words: Vec<&str> = after.split_whitespace().collect();
    Some(Stat {
        name: before.split_once('(')?.1.to_owned(),
        state: words.first()?.chars().next()?,
        parent: words.get(1)?.parse().ok()?,
        started_ticks: words.get(19)?.parse().ok()?,
    })
}
