//! Runs in network namespaces, which root alone can make; elsewhere these tests say so and end.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};
use runlog::{EventKind, Summary, discover};
use serde_json::Value;

use crate::support::{
    LONG, OF_THE_MACHINE, Process, TRAFFIC, children, events, experiment_dir, folder_with, output, playbook, said,
};
use crate::support::{json, turn, wait_for};

/// Whether such a test can run here; says why not.
pub(crate) fn can_run() -> bool {
    let reason = if !Uid::effective().is_root() {
        "not root"
    } else if !["/usr/sbin/ip", "/sbin/ip", "/usr/bin/ip", "/bin/ip"].iter().any(|place| Path::new(place).exists()) {
        "no iproute2"
    } else {
        return true;
    };
    eprintln!("skipped: {reason}, so no network namespaces");
    false
}

#[test]
fn every_role_has_a_network_of_its_own_and_its_counters() {
    if !can_run() {
        return;
    }
    let _turn = turn();
    let folder = folder_with(["ours", "mosquitto"], TRAFFIC);
    let before = interfaces();
    let args = ["run", "--no-build", "--no-report", "--in", "netns", "small.toml", "--duration-scale", "0.3"];
    let output = output(folder.path(), &args);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    assert_eq!(interfaces(), before, "nothing is left in this machine's own network");

    let experiment = experiment_dir(folder.path());
    for target_repeat in ["ours-1", "mosquitto-1"] {
        let events = events(&experiment, target_repeat);
        let gates = events.iter().filter(|event| event.kind == EventKind::Gate);
        let failed: Vec<_> = gates.filter(|gate| gate.detail["passed"] != Value::Bool(true)).collect();
        assert!(failed.iter().all(|gate| OF_THE_MACHINE.contains(&gate.name.as_str())), "{target_repeat}: {failed:?}");
    }
    let runs = discover(&[experiment]).expect("readable");
    for role in ["broker", "loadgen", "prober"] {
        let collected: Vec<_> = runs
            .iter()
            .filter_map(|run| Some((run, run.meta.as_ref()?)))
            .filter(|(_, meta)| meta.tool == "collector" && meta.role.to_string() == role)
            .collect();
        assert_eq!(collected.len(), 4, "two steps against two targets, {role}");
        for (run, _) in collected {
            let summary = run.summary().expect("a whole summary").expect("a summary");
            assert!(matches!(&summary, Summary::Collect(collect) if collect.ok && collect.ticks > 0), "{summary:?}");
            let carried = rise(&run.path.join("raw.csv"), "rx_bytes");
            assert!(carried > 1_000, "{role}: {carried} bytes came through its interface");
        }
    }
    let receivers = runs.iter().filter_map(|run| match run.summary() {
        Ok(Some(Summary::Load(load))) => load.receive,
        _ => None,
    });
    let delivered: Vec<u64> = receivers.map(|receive| receive.delivered).collect();
    assert!(delivered.iter().filter(|count| **count > 0).count() >= 4, "{delivered:?}");
}

#[test]
fn plan_names_the_hosts_and_their_addresses() {
    let folder = folder_with(["ours", "ours"], TRAFFIC);
    let plan = json(&output(folder.path(), &["plan", "--in", "netns", "small.toml"]));
    let names: Vec<&str> =
        plan["hosts"].as_array().expect("hosts").iter().filter_map(|host| host["name"].as_str()).collect();
    assert_eq!(names, ["sut", "tester", "prober"]);
    let secondary = plan["hosts"][1]["secondary"].as_array().expect("addresses");
    assert!(secondary.len() >= 20, "as many as the guide binds");
    for process in plan["steps"][0]["processes"].as_array().expect("processes") {
        let argv: Vec<&str> = process["argv"].as_array().expect("a command").iter().filter_map(Value::as_str).collect();
        if let Some(at) = argv.iter().position(|word| *word == "--ifaddr") {
            assert!(secondary.contains(&argv[at + 1].into()), "{argv:?}");
        }
    }
}

/// A run in its measure phase, with every process that it has started.
struct Held {
    folder: tempfile::TempDir,
    runner: Child,
    started: Vec<(Process, PathBuf)>,
}

fn held() -> Held {
    let folder = folder_with(["ours", "ours"], LONG);
    let log = std::fs::File::create(folder.path().join("runner.log")).expect("created");
    let mut runner = playbook()
        .args(["run", "--no-build", "--no-report", "--in", "netns", "small.toml", "--targets", "ours"])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the program starts");
    let mut started = Vec::new();
    wait_for("broker, load, and both their collectors", || {
        let ended = runner.try_wait().expect("our own child");
        let said = std::fs::read_to_string(folder.path().join("runner.log")).unwrap_or_default();
        assert_eq!(ended, None, "{said}");
        let named = |child: Process| Some((std::fs::read_link(format!("/proc/{}/ns/net", child.pid)).ok()?, child));
        started =
            children(runner.id()).into_iter().filter_map(named).map(|(network, child)| (child, network)).collect();
        let mut names: Vec<&str> = started.iter().map(|(child, _)| child.name.as_str()).collect();
        names.sort_unstable();
        names == ["broker", "collector", "collector", "loadgen"]
    });
    Held { folder, runner, started }
}

#[test]
fn two_runs_do_not_meet_and_a_killed_one_leaves_nothing() {
    if !can_run() {
        return;
    }
    let _turn = turn();
    let before = interfaces();
    let (mut one, mut other) = (held(), held());
    let ours = std::fs::read_link("/proc/self/ns/net").expect("Linux has namespaces");
    for (child, network) in &one.started {
        assert!(
            *network != ours && other.started.iter().all(|(_, others)| network != others),
            "{child:?} shares a network"
        );
    }
    kill(Pid::from_raw(one.runner.id().cast_signed()), Signal::SIGKILL).expect("the runner lives");
    one.runner.wait().expect("our own child");
    wait_for("the kernel to stop the children", || one.started.iter().all(|(child, _)| !child.lives()));
    let networks: Vec<&PathBuf> = one.started.iter().map(|(_, network)| network).collect();
    wait_for("nobody to be in its networks", || !anybody_in(&networks));
    assert_eq!(interfaces(), before, "nothing is left in this machine's own network");
    for (child, _) in &other.started {
        assert!(child.lives(), "{child:?} belongs to the other run");
    }
    kill(Pid::from_raw(other.runner.id().cast_signed()), Signal::SIGTERM).expect("the runner lives");
    let status = other.runner.wait().expect("our own child");
    assert_eq!(status.code(), Some(128 + Signal::SIGTERM as i32), "{status}");
    assert!(other.started.iter().all(|(child, _)| !child.lives()));
    assert!(other.folder.path().join("runs").is_dir());
}

/// Whether any process holds one of these namespaces, by being in it or by a descriptor.
fn anybody_in(networks: &[&PathBuf]) -> bool {
    let entries = std::fs::read_dir("/proc").expect("Linux has /proc");
    let processes = entries.flatten().map(|entry| entry.path()).filter(|path| path.join("ns").exists());
    let held = processes.flat_map(|process| {
        let descriptors =
            std::fs::read_dir(process.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
        descriptors.chain([process.join("ns/net")]).filter_map(|path| std::fs::read_link(path).ok()).collect::<Vec<_>>()
    });
    held.into_iter().any(|link| networks.contains(&&link))
}

/// Names of the interfaces in this process's network.
fn interfaces() -> Vec<String> {
    let text = std::fs::read_to_string("/proc/net/dev").expect("Linux has /proc/net/dev");
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// How much a counter rose from the first sample to the last.
fn rise(csv: &Path, column: &str) -> u64 {
    let text = std::fs::read_to_string(csv).expect("samples");
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let at = lines.next().expect("a header").iter().position(|name| *name == column).expect("the column");
    let values: Vec<u64> = lines.filter_map(|row| row.get(at)?.parse().ok()).collect();
    values.last().expect("samples") - values.first().expect("samples")
}
