//! The canary, the echo, and the target process by process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use runlog::columns;

use crate::support::{Collector, Target, wait_for, wait_for_rows};

#[test]
fn the_echo_answers_while_samples_are_taken() {
    let args = ["--role", "prober", "--iface", "lo", "--interval", "20ms", "--echo", "0", "--canary", "10ms"];
    let mut collector = Collector::new(&args);
    let mut child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let port = lines.find_map(|line| line.strip_prefix("echo on port ").map(str::to_owned)).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
    let mut back = [0; 5];
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"hello");
    let rows = wait_for_rows(collector.out.path(), 1).raw().unwrap().rows;
    wait_for_rows(collector.out.path(), rows + 10);
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    let collected = collector.collected(&child.wait_with_output().unwrap());
    assert_eq!(collected.last(columns::ECHO_BYTES), Some(5));
    assert_eq!(collected.last(columns::ECHO_CONNECTIONS), Some(1));

    let woken: u64 = collected.column(columns::CANARY_COUNT).into_iter().map(Option::unwrap).sum();
    assert!(woken > 0);
    let latency = collected.run.latency().unwrap();
    assert_eq!(latency.warnings, []);
    let logged: u64 = latency.value.iter().map(|interval| interval.histogram.len()).sum();
    assert!(latency.value.iter().all(|interval| interval.tag.as_deref() == Some("canary")));
    assert!(logged >= woken, "{logged} wake-ups logged, {woken} in rows");
}

#[test]
fn a_stall_shows_in_its_column_and_in_the_log() {
    // All threads of the collector stand still, as they do when the host's hypervisor does.
    let mut collector =
        Collector::new(&["--role", "prober", "--iface", "lo", "--interval", "20ms", "--canary", "10ms"]);
    let child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let signal = |signal: &str| {
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    };
    wait_for_rows(collector.out.path(), 5);
    signal("-STOP");
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    wait_for("stop", || state().contains(") T ").then_some(()));
    let stopped = Instant::now();
    std::thread::sleep(STALL);
    let stall_us = stopped.elapsed().as_micros() as u64;
    let rows = wait_for_rows(collector.out.path(), 5).raw().unwrap().rows;
    signal("-CONT");
    wait_for_rows(collector.out.path(), rows + 5);
    signal("-TERM");
    let collected = collector.collected(&child.wait_with_output().unwrap());

    // Its period is 10 ms: a stall is seen but for the time to the wake-up that first misses its moment.
    let seen_us = stall_us - 10_000;
    let late_us: Vec<u64> = collected.column(columns::CANARY_LATE_US_MAX).into_iter().map(Option::unwrap).collect();
    assert!(late_us.iter().any(|late| *late >= seen_us), "{late_us:?} us, a stall of {stall_us} us");
    let intervals = collected.run.latency().unwrap().value;
    let max_ns = intervals.iter().map(|interval| interval.histogram.max()).max().unwrap();
    // Three digits.
    assert!(max_ns >= seen_us * 999, "{max_ns} ns in the log, a stall of {stall_us} us");
    // Every planned moment within it counts, not one.
    let half_ns = stall_us * 1_000 / 2;
    let late: u64 = intervals.iter().map(|each| each.histogram.count_between(half_ns, u64::MAX)).sum();
    assert!(late >= stall_us / 10_000 / 2 - 2, "{late} wake-ups late by half of it");
    let summary = collected.summary();
    assert!(summary.missed_ticks >= stall_us / 20_000 - 2, "{} ticks missed", summary.missed_ticks);
}

/// Far more than a busy machine makes a thread wait.
const STALL: Duration = Duration::from_millis(1_500);

#[test]
fn the_target_process_by_process_and_thread_by_thread() {
    let target = Target::shell("sleep 600 & while :; do :; done");
    let collected = Collector::new(&["--pid", &target.pid_text(), "--duration", "200ms", "--interval", "50ms"]).run();
    let processes = collected.run.processes().unwrap();
    assert_eq!(processes.warnings, []);
    let pids = processes.numbers("pid").unwrap();
    let mine = |pid: &Option<u64>| *pid == Some(target.pid().into());
    assert_eq!(pids.iter().filter(|pid| mine(pid)).count() as u64, collected.raw.rows);
    let user = processes.numbers("cpu_user_us").unwrap();
    let of_shell: Vec<u64> = pids.iter().zip(user).filter(|(pid, _)| mine(pid)).map(|(_, us)| us.unwrap()).collect();
    assert!(of_shell.is_sorted());
    let threads = collected.run.threads().unwrap();
    assert!(threads.numbers("tid").unwrap().iter().any(mine));
    assert!(threads.numbers("cpu_us").unwrap().iter().any(|us| *us > Some(0)));
    assert_eq!(collected.last(columns::PROC_PID), Some(target.pid().into()));
    assert_eq!(collected.last(columns::PROC_RESTARTS), Some(0));
    assert_eq!(collected.last(columns::CLOCK_STEPS), Some(0));

    let meta = collected.run.meta.as_ref().unwrap();
    assert!(meta.process.as_ref().unwrap().environment.contains_key("PATH"));
    assert!(meta.host.topology.packages.is_some() && !meta.host.interfaces.is_empty());
}
