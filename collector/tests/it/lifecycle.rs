//! Ticks, signals, and targets that end or are replaced.

use std::process::{Command, Stdio};

use runlog::{Context, Role, columns};

use crate::support::{Collector, Target, stderr, wait_for, wait_for_rows};

#[test]
fn ticks_do_not_drift() {
    let collected =
        Collector::new(&["--role", "prober", "--iface", "lo", "--duration", "1s", "--interval", "20ms"]).run();
    let summary = collected.summary();
    // One second of 20 ms has 51 moments, both ends counted, each sampled or marked as missed.
    assert_eq!(summary.ticks + summary.missed_ticks, 51);
    assert_eq!((summary.ok, summary.ended_by.as_str()), (true, "duration"));
    assert_eq!(collected.raw.rows, summary.ticks);
    let stamps: Vec<u64> = collected.column(columns::MONO_NS).into_iter().map(Option::unwrap).collect();
    let late_us: Vec<u64> = collected.column(columns::LATE_US).into_iter().map(Option::unwrap).collect();
    let first_ns = stamps[0] - late_us[0] * 1_000;
    let indexes: Vec<u64> = stamps.iter().map(|stamp| (stamp - first_ns) / 20_000_000).collect();
    assert!(indexes.is_sorted_by(|a, b| a < b), "two samples at one moment: {indexes:?}");
    assert_eq!(late_us.iter().max(), Some(&summary.late_us_max));
    let walls: Vec<u64> = collected.column(columns::WALL_NS).into_iter().map(Option::unwrap).collect();
    assert!(walls.is_sorted());
    assert_eq!(collected.run.role, Role::Prober);
}

#[test]
fn sigterm_and_sigint_end_a_run_in_order() {
    for signal in ["TERM", "INT"] {
        let mut collector = Collector::new(&["--role", "loadgen", "--iface", "lo", "--interval", "20ms"]);
        let child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_rows(collector.out.path(), 3);
        Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        let collected = collector.collected(&output);
        let summary = collected.summary();
        assert_eq!((summary.ok, summary.ended_by), (true, format!("SIG{signal}")));
        assert!(summary.ticks >= 3 && summary.ticks == collected.raw.rows);
    }
}

#[test]
fn a_killed_collector_leaves_whole_rows() {
    let mut collector = Collector::new(&["--role", "loadgen", "--iface", "lo", "--interval", "10ms"]);
    let mut child = collector.command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_rows(collector.out.path(), 5);
    child.kill().unwrap();
    child.wait().unwrap();
    let run = wait_for_rows(collector.out.path(), 5);
    assert_eq!(run.raw().unwrap().warnings, []);
    assert!(run.meta.is_some() && run.summary().unwrap().is_none());
}

#[test]
fn a_target_that_ends_is_marked_and_the_rest_goes_on() {
    let mut target = Target::shell("exec sleep 600");
    let pid = target.pid_text();
    let mut collector = Collector::new(&["--pid", &pid, "--iface", "lo", "--interval", "20ms"]);
    let child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(collector.out.path(), 3);
    target.end();
    let rows = wait_for_rows(collector.out.path(), 3).raw().unwrap().rows;
    wait_for_rows(collector.out.path(), rows + 5);
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let collected = collector.collected(&child.wait_with_output().unwrap());
    assert!(collected.has_event("target exited"));
    assert!(collected.column(columns::PROC_RSS_KB)[0].is_some());
    assert_eq!((collected.last(columns::PROC_COUNT), collected.last(columns::PROC_RSS_KB)), (Some(0), None));
    assert!(collected.last(columns::RX_BYTES).is_some());
    assert_eq!(collected.summary().restarts, 0);
}

#[test]
fn a_zombie_counts_as_ended() {
    let mut target = Target::shell("exit 0");
    let stat = || std::fs::read_to_string(format!("/proc/{}/stat", target.pid())).unwrap();
    wait_for("zombie", || stat().contains(") Z").then_some(()));
    let message = Collector::new(&["--pid", &target.pid_text(), "--duration", "1s"]).fail();
    assert!(message.contains("zombie"), "{message}");
    target.end();
}

#[test]
fn a_target_that_is_replaced_is_followed() {
    // Two processes of one name, one after the other: a copy of `sleep` under a name that nobody else uses.
    let directory = tempfile::tempdir().unwrap();
    let name = format!("napper{}", std::process::id());
    let program = directory.path().join(&name);
    std::fs::copy("/bin/sleep", &program).unwrap();
    let start = || {
        let target = Target(Command::new(&program).arg("600").spawn().unwrap());
        wait_for("exec", || {
            (std::fs::read_to_string(format!("/proc/{}/comm", target.pid())).ok()?.trim() == name).then_some(())
        });
        target
    };
    let mut first = start();
    let mut collector = Collector::new(&["--name", &name, "--iface", "lo", "--interval", "20ms"]);
    let child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(collector.out.path(), 2);
    first.end();
    let second = start();
    wait_for("the successor", || {
        let run = wait_for_rows(collector.out.path(), 2);
        run.events().unwrap().value.into_iter().find(|event| event.name == "target restarted")
    });
    let rows = wait_for_rows(collector.out.path(), 2).raw().unwrap().rows;
    wait_for_rows(collector.out.path(), rows + 2);
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let collected = collector.collected(&child.wait_with_output().unwrap());
    let events = collected.run.events().unwrap().value;
    let restarted = events.iter().find(|event| event.name == "target restarted").unwrap();
    assert_eq!(restarted.detail["pid"], second.pid());
    assert_eq!(restarted.detail["old_pid"], first.pid());
    assert_eq!(collected.summary().restarts, 1);
    assert_eq!(collected.last(columns::PROC_COUNT), Some(1));
    let restarts: Vec<u64> = collected.column(columns::PROC_RESTARTS).into_iter().map(Option::unwrap).collect();
    assert!(restarts.is_sorted() && restarts[0] == 0 && restarts.last() == Some(&1), "{restarts:?}");
    let pids = collected.column(columns::PROC_PID);
    assert_eq!((pids[0], *pids.last().unwrap()), (Some(first.pid().into()), Some(second.pid().into())));
    // While nobody lives there is no process id.
    let living = |pid: &Option<u64>| pid.is_none_or(|pid| [first.pid(), second.pid()].map(u64::from).contains(&pid));
    assert!(pids.iter().all(living) && pids.contains(&None), "{pids:?}");
}

#[test]
fn the_guides_environment_and_the_playbooks_context() {
    let target = Target::shell("exec sleep 600");
    let mut collector = Collector::new(&[]);
    let context = Context {
        experiment: "e".into(),
        target: "t".into(),
        label: "B".into(),
        step: "idle".into(),
        repeat: 1,
        ..Context::default()
    };
    let settings = [
        ("EXP_TAG", "B-x-Idle"),
        ("DURATION_SEC", "0.06"),
        ("INTERVAL_SEC", "0.03"),
        ("INTERFACE", "lo"),
        ("PID", &target.pid_text()),
        (Context::VARIABLE, &context.to_env()),
    ];
    collector.command.envs(settings);
    let collected = collector.run();
    assert_eq!((collected.run.tag.as_str(), collected.run.role), ("B-x-Idle", Role::Broker));
    assert_eq!(collected.run.context, Some(context));
    let summary = collected.summary();
    assert_eq!(summary.ticks + summary.missed_ticks, 3);
    assert_eq!(collected.run.meta.as_ref().unwrap().process.as_ref().unwrap().pid, target.pid());
}
