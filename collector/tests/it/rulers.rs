//! CPU time and context switches against sysstat's `pidstat` and `sar`, which agree within 2 % over the same time.
//!
//! The two tools read at moments of their own. A target that is stopped (SIGSTOP) before the first reading and after the
//! last counts nothing at either edge, so that both saw the same. A host cannot be stopped: there the tool must agree
//! with one of the windows of rows that it can have read at.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{clock, columns};

use crate::support::{Collected, Collector, Target, stderr, wait_for, wait_for_rows};

/// One thread that works and sleeps in turn.
const WORKER: &str = "exec python3 -c '
import time
while True:
    sum(range(40000))
    time.sleep(0.0005)'";

/// Whether a program of sysstat is on this machine.
fn is_here(program: &str) -> bool {
    let is_here = Command::new(program).arg("-V").output().is_ok();
    if !is_here {
        eprintln!("skipped: no {program} (apt-get install sysstat)");
    }
    is_here
}

#[test]
fn a_process_as_pidstat_sees_it() {
    if !is_here("pidstat") {
        return;
    }
    let target = Target::shell(WORKER);
    let ticks = || cpu_ticks(target.pid());
    wait_for("work", || (ticks() > 5).then_some(()));
    stop(&target);
    let args = ["--pid", &target.pid_text(), "--iface", "lo", "--interval", "50ms"];
    let mut collector = Collector::new(&args);
    let child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(collector.out.path(), 1);
    let mut pidstat = Pidstat::start(target.pid());
    assert_eq!(pidstat.next(), Work::default(), "a stopped process does nothing");

    let before = ticks();
    kill(Pid::from_raw(target.pid() as i32), Signal::SIGCONT).unwrap();
    wait_for("a second of CPU time", || (ticks() > before + 100).then_some(()));
    stop(&target);
    let mut seen = Work::default();
    // An interval that holds the end, or none any more; the next one begins after it.
    loop {
        let interval = pidstat.next();
        if interval == Work::default() {
            break;
        }
        seen = seen.plus(interval);
    }
    let rows = wait_for_rows(collector.out.path(), 1).raw().unwrap().rows;
    wait_for_rows(collector.out.path(), rows + 1);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let collected = collector.collected(&child.wait_with_output().unwrap());

    let grown = |column: &str| (collected.last(column).unwrap() - collected.column(column)[0].unwrap()) as f64;
    let cpu_ms = (grown(columns::PROC_CPU_USER_US) + grown(columns::PROC_CPU_SYS_US)) / 1_000.0;
    assert!(cpu_ms >= 1_000.0 && seen.voluntary > 10.0, "{cpu_ms} ms, {seen:?}");
    for (name, ours, theirs) in [
        ("CPU time, ms", cpu_ms, seen.cpu_ms),
        ("voluntary switches", grown(columns::PROC_VOL_CTXT), seen.voluntary),
        ("all switches", grown(columns::PROC_VOL_CTXT) + grown(columns::PROC_INVOL_CTXT), seen.switches()),
    ] {
        assert!((ours - theirs).abs() <= theirs * AGREEMENT, "{name}: {ours} here, {theirs} by pidstat");
    }
}

#[test]
fn the_host_as_sar_sees_it() {
    if !is_here("sar") {
        return;
    }
    let _work = Target::shell(WORKER);
    let mut collector = Collector::new(&["--role", "loadgen", "--iface", "lo", "--interval", "20ms"]);
    let child = collector.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_rows(collector.out.path(), 2);
    let begun_ns = clock::mono_ns();
    let sar = Command::new("sar").args(["-u", "-w", "3", "1"]).env("LC_ALL", "C").output();
    let sar = sar.unwrap();
    let ended_ns = clock::mono_ns();
    let rows = wait_for_rows(collector.out.path(), 1).raw().unwrap().rows;
    wait_for_rows(collector.out.path(), rows + 2);
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    let collected = collector.collected(&child.wait_with_output().unwrap());
    assert!(sar.status.success(), "{}", stderr(&sar));
    let text = String::from_utf8(sar.stdout).unwrap();

    let rates: Vec<[f64; 3]> = windows(&collected, begun_ns, ended_ns).collect();
    assert!(!rates.is_empty(), "no window of 3 s in {} ms", (ended_ns - begun_ns) / 1_000_000);
    let theirs =
        [average(&text, "%user") + average(&text, "%nice"), average(&text, "%idle"), average(&text, "cswch/s")];
    // CPU time is counted in ticks of 10 ms: one of them more or less is no disagreement.
    let tick = 100.0 / (3.0 * 100.0);
    for (index, (name, slack)) in [("%user", tick), ("%idle", tick), ("cswch/s", 0.0)].into_iter().enumerate() {
        let ours = rates.iter().map(|rate| rate[index]);
        let (low, high) = (ours.clone().fold(f64::MAX, f64::min), ours.fold(0.0, f64::max));
        let (low, high) = (low * (1.0 - AGREEMENT) - slack, high * (1.0 + AGREEMENT) + slack);
        assert!((low..=high).contains(&theirs[index]), "{name}: {} by sar, not in {low}..{high}", theirs[index]);
    }
}

/// How far the tools may be apart.
const AGREEMENT: f64 = 0.02;

/// User and idle percent and context switches a second, over each window of rows that `sar 3 1` can have read at: at
/// least its interval long, within its life.
fn windows(collected: &Collected, begun_ns: u64, ended_ns: u64) -> impl Iterator<Item = [f64; 3]> {
    let column =
        |name: &str| -> Vec<u64> { collected.column(name).into_iter().map(|cell| cell.expect("cell")).collect() };
    let stamps = column(columns::MONO_NS);
    let switches = column(columns::CTXT);
    let classes: Vec<Vec<u64>> = [
        columns::CPU_USER_TICKS,
        columns::CPU_NICE_TICKS,
        columns::CPU_IDLE_TICKS,
        columns::CPU_SYSTEM_TICKS,
        columns::CPU_IOWAIT_TICKS,
        columns::CPU_IRQ_TICKS,
        columns::CPU_SOFTIRQ_TICKS,
        columns::CPU_STEAL_TICKS,
    ]
    .map(column)
    .into();
    // One row to either side of its life: what it read lies between rows.
    let first = stamps.partition_point(|stamp| *stamp < begun_ns).saturating_sub(1);
    let last = stamps.partition_point(|stamp| *stamp < ended_ns).min(stamps.len() - 1);
    let pairs = (first..last).flat_map(move |start| (start + 1..=last).map(move |end| (start, end)));
    pairs.filter_map(move |(start, end)| {
        let elapsed_ns = stamps[end] - stamps[start];
        (elapsed_ns >= 3 * clock::NS_PER_S).then(|| {
            let grown: Vec<f64> = classes.iter().map(|ticks| ticks[end].saturating_sub(ticks[start]) as f64).collect();
            let percent = |ticks: f64| 100.0 * ticks / grown.iter().sum::<f64>();
            let per_s = (switches[end] - switches[start]) as f64 / (elapsed_ns as f64 / clock::NS_PER_S as f64);
            [percent(grown[0] + grown[1]), percent(grown[2]), per_s]
        })
    })
}

/// A cell of sar's `Average:` line, by the heading above it.
fn average(text: &str, heading: &str) -> f64 {
    let mut lines = text.lines().filter(|line| line.starts_with("Average:"));
    let index = lines.find_map(|line| line.split_whitespace().position(|word| word == heading));
    let line = lines.next().unwrap_or_else(|| panic!("no {heading}: {text}"));
    line.split_whitespace().nth(index.expect("a heading that was found")).unwrap().parse().unwrap()
}

/// What a process did in a time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Work {
    cpu_ms: f64,
    voluntary: f64,
    involuntary: f64,
}

impl Work {
    fn plus(self, other: Work) -> Work {
        Work {
            cpu_ms: self.cpu_ms + other.cpu_ms,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }

    fn switches(self) -> f64 {
        self.voluntary + self.involuntary
    }
}

/// A running `pidstat`, one interval after the other; killed at the end.
struct Pidstat {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Pidstat {
    fn start(pid: u32) -> Pidstat {
        // Line by line, also into a pipe.
        let mut command = Command::new("stdbuf");
        command.args(["-oL", "pidstat", "-h", "-u", "-w", "-T", "ALL", "-p", &pid.to_string(), "1"]);
        let child = command.env("LC_ALL", "C").stdout(Stdio::piped()).spawn();
        let mut child = child.expect("pidstat (apt-get install sysstat coreutils)");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Pidstat { child, lines }
    }

    /// The next interval. Switches are told as rates over a length that is not told; it follows from CPU time, which is
    /// told as percent of it and in ms.
    fn next(&mut self) -> Work {
        let rates = self.table("%CPU");
        let times = self.table("usr-ms");
        let cpu_ms = times("usr-ms") + times("system-ms");
        let percent = rates("%usr") + rates("%system");
        let seconds = if percent > 0.0 { cpu_ms / percent / 10.0 } else { 0.0 };
        Work { cpu_ms, voluntary: rates("cswch/s") * seconds, involuntary: rates("nvcswch/s") * seconds }
    }

    /// The next line of numbers under a heading that holds this word, by heading.
    fn table(&mut self, word: &str) -> impl Fn(&str) -> f64 + use<> {
        let mut line = || self.lines.next().expect("pidstat goes on").unwrap();
        let words = |line: &str| -> Vec<String> { line.split_whitespace().map(str::to_owned).collect() };
        let heading = loop {
            let line = line();
            if line.starts_with('#') && words(&line).iter().any(|heading| heading == word) {
                break words(&line);
            }
        };
        let cells = words(&line());
        move |name| {
            // The heading has a `#` more than the line has cells.
            let index = heading.iter().position(|heading| heading == name).expect(name) - 1;
            cells[index].parse().unwrap_or_else(|_| panic!("{name}: {cells:?}"))
        }
    }
}

impl Drop for Pidstat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Stops a process, and waits until it stands.
fn stop(target: &Target) {
    kill(Pid::from_raw(target.pid() as i32), Signal::SIGSTOP).unwrap();
    wait_for("stop", || (stat(target.pid())[0] == "T").then_some(()));
}

fn cpu_ticks(pid: u32) -> u64 {
    let stat = stat(pid);
    stat[11].parse::<u64>().unwrap() + stat[12].parse::<u64>().unwrap()
}

/// The words of `/proc/PID/stat` from the state on.
fn stat(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.rsplit_once(')').unwrap().1.split_whitespace().map(str::to_owned).collect()
}
