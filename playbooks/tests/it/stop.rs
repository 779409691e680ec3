//! Interrupted runs leave data behind, and no process.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{Edge, Run, discover};

use crate::support::{LONG, Process, children, experiment_dir, folder_with, playbook, turn, wait_for};

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
            folder.path().join("runs").is_dir() && measures(&folder)
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
