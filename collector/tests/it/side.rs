//! The canary, the echo, and the target process by process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use runlog::columns;

use crate::support::{Collector, Target, wait_for_rows};

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
