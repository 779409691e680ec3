//! Interrupted runs leave data behind, and no process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{Edge, Run, discover};

use crate::support::{
    IDLE, LONG, Process, children, experiment_dir, folder_with, is_begun, playbook, said, turn, wait_for,
};

/// A run that is in its measure phase, and what it has started.
struct Held {
    folder: tempfile::TempDir,
    runner: Child,
    children: Vec<Process>,
}

impl Held {
    fn begin() -> Self {
        let folder = folder_with(["ours", "mosquitto"], LONG);
        let log = std::fs::File::create(folder.path().join("runner.log")).expect("created");
        let mut runner = playbook()
            .args(["run", "--no-build", "small.toml", "--targets", "mosquitto,ours"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        wait_for("the measure phase", || {
            let ended = runner.try_wait().expect("our own child");
            let said = || std::fs::read_to_string(folder.path().join("runner.log")).unwrap_or_default();
            assert_eq!(ended, None, "{}", said());
            is_begun(folder.path()) && measures(&folder)
        });
        let children = children(runner.id());
        let mut names: Vec<&str> = children.iter().map(|child| child.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["collector", "loadgen", "mosquitto"]);
        Self { folder, runner, children }
    }

    fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.runner.id().cast_signed()), signal).expect("the runner lives");
    }

    /// Rows that the broker's collector has written, and clients that the load had connected at the end.
    fn kept(&self) -> (usize, u64) {
        let runs = discover(&[experiment_dir(self.folder.path())]).expect("readable");
        let of = |tool: &str| {
            let written_by = |run: &&Run| run.meta.as_ref().is_some_and(|meta| meta.tool == tool);
            runs.iter().find(written_by).unwrap_or_else(|| panic!("a run of {tool}"))
        };
        let samples = of("collector").raw().expect("readable samples").rows as usize;
        let counters = of("loadgen").counters().expect("readable counters").value;
        (samples, counters.iter().map(|row| row.connected).max().unwrap_or(0))
    }
}

fn measures(folder: &tempfile::TempDir) -> bool {
    let events = Run::open(experiment_dir(folder.path()).join("mosquitto-1")).events();
    events.is_ok_and(|events| {
        let mut marks = events.value.iter().filter(|event| event.name == "measure");
        marks.any(|event| event.edge == Some(Edge::Begin))
    })
}

#[test]
fn sigterm_stops_every_child_and_keeps_the_data() {
    let _turn = turn();
    let mut held = Held::begin();
    wait_for("two samples", || held.kept().0 >= 2);
    held.send(Signal::SIGTERM);
    let status = held.runner.wait().expect("our own child");
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32), "{status}");
    for child in &held.children {
        assert!(!child.lives(), "{child:?} was left behind");
    }
    let (samples, connected) = held.kept();
    assert!(samples >= 2 && connected == 50, "{samples} samples, {connected} connected");
    let runs = discover(&[experiment_dir(held.folder.path())]).expect("readable");
    for run in runs {
        assert!(run.summary().expect("a whole summary").is_some(), "{} ended in order", run.path.display());
    }
}

#[test]
fn interrupted_run_is_gone_on_with() {
    killed_and_gone_on_with("local");
}

#[test]
fn interrupted_run_in_namespaces_is_gone_on_with() {
    if crate::netns::can_run() {
        killed_and_gone_on_with("netns");
    }
}

/// Kills the runner in the middle of the second step, and runs the same again.
fn killed_and_gone_on_with(place: &str) {
    let _turn = turn();
    let steps = IDLE.to_owned() + &LONG.replace("10m", "3s");
    let folder = folder_with(["ours", "ours"], &steps);
    let run = |extra: &[&str]| {
        let mut command = playbook();
        command
            .args(["run", "--no-build", "--no-report", "small.toml", "--in", place])
            .args(extra)
            .current_dir(folder.path());
        command
    };
    let log = std::fs::File::create(folder.path().join("runner.log")).expect("created");
    let mut runner = run(&[]).stdout(Stdio::null()).stderr(log).spawn().expect("the program starts");
    wait_for("the measure phase of the second step", || {
        assert_eq!(runner.try_wait().expect("our own child"), None, "ended before it could be killed");
        is_begun(folder.path()) && marks_of(&folder, "ours-1", "hold", "measure") > 0
    });
    let children = children(runner.id());
    kill(Pid::from_raw(runner.id().cast_signed()), Signal::SIGKILL).expect("the runner lives");
    runner.wait().expect("our own child");
    wait_for("the kernel to stop the children", || children.iter().all(|child| !child.lives()));

    let dir = experiment_dir(folder.path());
    let idle_runs = |dir: &std::path::Path| -> Vec<std::path::PathBuf> {
        let runs = discover(&[dir.to_path_buf()]).expect("readable").into_iter();
        let of_idle = runs.filter(|run| run.context.as_ref().is_some_and(|context| context.step == "idle"));
        of_idle.map(|run| run.path).collect()
    };
    let before = idle_runs(&dir);
    let output = run(&[]).output().expect("the program starts");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    assert!(said(&output).contains("going on with"), "{}", said(&output));
    assert_eq!(experiment_dir(folder.path()), dir, "no second experiment was begun");
    assert_eq!(idle_runs(&dir), before, "what was done is kept");
    let aside = std::fs::read_dir(dir.join("ours-1/interrupted")).expect("the interrupted step was set aside").count();
    assert!(aside >= 3, "{aside} entries: two runs and the events");
    assert_eq!(marks_of(&folder, "ours-1", "hold", "measure"), 2, "begin and end of one measure phase");

    let output = run(&[]).output().expect("the program starts");
    assert!(!said(&output).contains("going on with"), "a finished run is not gone on with: {}", said(&output));
}

/// Marks of a phase in the events of a target's repeat.
fn marks_of(folder: &tempfile::TempDir, repeat: &str, step: &str, phase: &str) -> usize {
    let events = Run::open(experiment_dir(folder.path()).join(repeat)).events();
    let is_mark = |event: &&runlog::Event| event.name == phase && event.detail["step"] == step;
    events.map(|events| events.value.iter().filter(is_mark).count()).unwrap_or(0)
}

#[test]
fn killed_runner_leaves_no_process_behind() {
    let _turn = turn();
    let mut held = Held::begin();
    wait_for("two samples", || held.kept().0 >= 2);
    held.send(Signal::SIGKILL);
    let status = held.runner.wait().expect("our own child");
    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32));
    wait_for("the kernel to stop the children", || held.children.iter().all(|child| !child.lives()));
    assert!(held.kept().0 >= 2);
}
