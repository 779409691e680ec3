//! Runs in a virtual machine: interrupted, gone on with, and stopped, with everything measured at home. They take an installed
//! QEMU and a kernel that is there already (`playbook run --in vm --yes` fetches both), and are left out elsewhere.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{Event, Run, discover};

use crate::support::{LONG, Process, children, events, experiment_dir, folder_with, playbook, turn, wait_for};

/// Whether there is what a machine needs; says what there is not.
fn can_run() -> bool {
    let has_qemu = Command::new("qemu-system-x86_64").arg("--version").stdout(Stdio::null()).status().is_ok();
    let cache = Path::new(env!("CARGO_BIN_EXE_playbook")).ancestors().nth(2).expect("target/debug/playbook");
    let has_kernel = |root: &Path| {
        let entries = std::fs::read_dir(root.join("boot")).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|name| {
            name.strip_prefix("vmlinuz-").is_some_and(|version| root.join("lib/modules").join(version).is_dir())
        })
    };
    let reason = if !has_qemu {
        "no qemu-system-x86_64"
    } else if !has_kernel(Path::new("/")) && !has_kernel(&cache.join("targets/kernel")) {
        "no kernel"
    } else {
        return true;
    };
    eprintln!("skipped: {reason}, so no virtual machine");
    false
}

/// Two short steps that claim a steady state, and one that lasts until somebody stops it.
const STEPS: &str = r#"
    [[step]]
    name = "idle-{half}"
    purpose = "nothing connected, long enough for a verdict on a steady state"
    matrix = { half = ["a", "b"] }
    measure = "3s"
    steady = "gate"
"#;

/// A runner with its machine.
struct Started {
    runner: Child,
    log: std::path::PathBuf,
}

impl Started {
    fn begin(folder: &Path, log: &str) -> Self {
        let log = folder.join(log);
        let runner = playbook()
            .args(["run", "--no-build", "--no-report", "--targets", "ours", "small.toml"])
            .args(["--in", "vm", "--vm-memory", "1536", "--vm-cpus", "2"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("created"))
            .spawn()
            .expect("the program starts");
        Self { runner, log }
    }

    fn said(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until the machine's console has said this.
    fn wait_for(&mut self, words: &str) {
        wait_for(words, || {
            let said = self.said();
            let ended = self.runner.try_wait().expect("our own child");
            assert!(said.contains(words) || ended.is_none(), "{ended:?}: {said}");
            said.contains(words)
        });
    }

    /// Sends the runner a signal; returns how it ended, when its machine is gone as well.
    fn end(&mut self, signal: Signal) -> std::process::ExitStatus {
        let machines: Vec<Process> = children(self.runner.id());
        assert!(machines.iter().any(|child| child.name.starts_with("qemu")), "{machines:?}");
        kill(Pid::from_raw(self.runner.id().cast_signed()), signal).expect("the runner lives");
        let status = self.runner.wait().expect("our own child");
        wait_for("the machine to end", || machines.iter().all(|machine| !machine.lives()));
        status
    }
}

#[test]
fn machine_ends_with_its_runner_and_its_run_is_gone_on_with_and_stopped() {
    if !can_run() {
        return;
    }
    let _turn = turn();
    let folder = folder_with(["ours", "ours"], &(STEPS.to_owned() + LONG));
    let mut killed = Started::begin(folder.path(), "killed.log");
    killed.wait_for("idle-b A ours #1: ramp");
    killed.end(Signal::SIGKILL);
    let experiment = experiment_dir(folder.path());
    let first = runs_of(&experiment, "idle-a");
    assert!(!first.is_empty(), "the first step had come home: {}", killed.said());
    // As if the machine had been killed while it was asked to stop: that must not stop the next one.
    std::fs::write(experiment.join(".vm-stop"), "").expect("written");

    let mut stopped = Started::begin(folder.path(), "stopped.log");
    stopped.wait_for("hold A ours #1: measure");
    let status = stopped.end(Signal::SIGINT);
    assert_eq!(status.code(), Some(128 + Signal::SIGINT as i32), "{}", stopped.said());
    assert!(stopped.said().contains("going on with"), "{}", stopped.said());
    assert_eq!(experiment_dir(folder.path()), experiment, "no second experiment was begun");
    let paths = |runs: &[Run]| runs.iter().map(|run| run.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&runs_of(&experiment, "idle-a")), paths(&first), "what was done is kept");
    assert!(!runs_of(&experiment, "idle-b").is_empty(), "{}", stopped.said());

    // All of the step that was stopped is at home: samples, counters, summaries, marks.
    let hold = runs_of(&experiment, "hold");
    let tools: Vec<&str> = hold.iter().filter_map(|run| Some(run.meta.as_ref()?.tool.as_str())).collect();
    assert!(tools.contains(&"collector") && tools.contains(&"loadgen"), "{tools:?}");
    assert!(hold.iter().all(|run| run.summary().is_ok_and(|summary| summary.is_some())), "{}", stopped.said());
    let marks = events(&experiment, "ours-1");
    let of = |step: &str, name: &str| -> Vec<Event> {
        let wanted = marks.iter().filter(|event| event.name == name && event.detail["step"] == step);
        wanted.cloned().collect()
    };
    assert_eq!((of("hold", "measure").len(), of("hold", "interrupted").len()), (2, 1));
    for step in ["idle-a", "idle-b"] {
        let steady = of(step, "steady");
        assert_eq!(steady.len(), 1, "{step}: {marks:?}");
        assert!(steady[0].detail["remark"].is_null(), "it was judged in the machine: {:?}", steady[0].detail);
    }
    let left = std::fs::read_dir(&experiment).expect("readable").flatten();
    let talk: Vec<_> =
        left.map(|entry| entry.file_name()).filter(|name| name.to_string_lossy().starts_with(".vm")).collect();
    assert!(talk.is_empty(), "{talk:?}");
}

/// The runs of a step.
fn runs_of(experiment: &Path, step: &str) -> Vec<Run> {
    let runs = discover(&[experiment.to_path_buf()]).expect("readable").into_iter();
    runs.filter(|run| run.context.as_ref().is_some_and(|context| context.step == step)).collect()
}
