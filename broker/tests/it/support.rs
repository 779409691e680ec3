//! Starts the broker that this build made, on a free port, and stops it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use conformance::case::Lab;
use conformance::wire::Version;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long to wait for what should come. Long: the machine may be busy; nothing is slower for it unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A broker of its own. Killed by its process id when dropped.
pub(crate) struct Broker {
    child: Child,
    log: Receiver<String>,
    lines: Vec<String>,
    pub(crate) address: SocketAddr,
}

impl Broker {
    /// Starts with so many workers on a free port of 127.0.0.1.
    pub(crate) fn start(workers: usize) -> Self {
        Self::start_with(workers, "")
    }

    /// Starts with a configuration file of this text, which must not name addresses or workers.
    pub(crate) fn start_with(workers: usize, config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("broker.toml");
        std::fs::write(&file, config).expect("the configuration file is written");
        let mut command = command();
        command.args(["--listen", "tcp://127.0.0.1:0", "--workers", &workers.to_string(), "--config"]).arg(&file);
        Self::spawn(&mut command)
    }

    /// Starts a command that listens on one address, and waits until it does.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the broker starts");
        let stderr = child.stderr.take().expect("standard error is piped");
        let (sender, log) = channel();
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines();
            lines.map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        let mut broker = Self { child, log, lines: Vec::new(), address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = broker.wait_for_line("listening on ");
        broker.wait_for_line("started");
        let (_, address) = line.split_once("listening on ").expect("the line that was waited for");
        broker.address = address.trim().parse().expect("an address");
        broker
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What a case works with, against this broker. `unique`: letters and digits, at most 12.
    pub(crate) fn lab(&self, version: Version, unique: &str) -> Lab {
        Lab::new(self.address, version, PATIENCE, unique.to_owned())
    }

    /// The first line of the log that holds a text.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(line) = self.lines.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.lines.push(line),
                Err(RecvTimeoutError::Timeout) => panic!("no line with {text:?} in the log: {:#?}", self.lines),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("the broker ended without a line with {text:?}: {:#?}", self.lines)
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a process id"));
        kill(pid, signal).expect("the broker is there to be signalled");
    }

    /// The value of each counter and gauge, as logged on SIGUSR1.
    pub(crate) fn report(&mut self) -> Counters {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.lines.retain(|line| !line.contains("report"));
            self.signal(Signal::SIGUSR1);
            let line = self.wait_for_line("report");
            // A worker that is busy for long, on a machine that is, answers too late: then there is none.
            if line.contains("report: ") {
                return Counters::parse(&line, "report: ");
            }
            assert!(Instant::now() < deadline, "no report in {PATIENCE:?}");
        }
    }

    /// Reports until it holds so many connections and sessions.
    pub(crate) fn wait_until_held(&mut self, connections: u64, sessions: u64) -> Counters {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            if (report.get("connections"), report.get("sessions")) == (connections, sessions) {
                return report;
            }
            assert!(Instant::now() < deadline, "not {connections} connections and {sessions} sessions: {report:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it by SIGTERM, checks that it ends with success, and returns the value of each counter that it logs.
    pub(crate) fn stop(mut self) -> Counters {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "the broker ended with {status}: {:#?}", self.lines);
        Counters::parse(&self.wait_for_line("stopped: "), "stopped: ")
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the broker is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the broker does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended already; both then say so, and there is nothing left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the broker has counted.
#[derive(Debug)]
pub(crate) struct Counters(Vec<(String, u64)>);

impl Counters {
    fn parse(line: &str, after: &str) -> Self {
        let (_, list) = line.split_once(after).expect("the line that was waited for");
        let pair =
            |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.parse().expect("a count")));
        Self(list.split_whitespace().filter_map(pair).collect())
    }

    pub(crate) fn get(&self, name: &str) -> u64 {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("a counter {name} in {:?}", self.0)).1
    }
}

/// The broker's program, not started.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_broker"))
}

/// Runs a command to its end; it must not take longer than [`PATIENCE`]. Returns its status and what it wrote.
pub(crate) fn output(command: &mut Command) -> (ExitStatus, String, String) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {:?}: {error}", command.get_program()));
    let collect = |mut pipe: Box<dyn std::io::Read + Send>| {
        thread::spawn(move || {
            let mut text = Vec::new();
            pipe.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
        })
    };
    let stdout = collect(Box::new(child.stdout.take().expect("piped")));
    let stderr = collect(Box::new(child.stderr.take().expect("piped")));
    let deadline = Instant::now() + PATIENCE * 3;
    let status = loop {
        if let Some(status) = child.try_wait().expect("our child") {
            break status;
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            let _ = child.wait();
            let text = stderr.join().expect("reads").unwrap_or_default();
            panic!("{command:?} does not end; it wrote {text}");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let text = |thread: thread::JoinHandle<std::io::Result<String>>| thread.join().expect("reads").expect("readable");
    (status, text(stdout), text(stderr))
}

/// Says on the terminal, past the capture of test output, that a test did not run.
pub(crate) fn skipped(test: &str, why: &str) {
    let mut stderr = std::io::stderr();
    // A terminal that is gone takes the notice with it.
    let _ = writeln!(stderr, "SKIPPED {test}: {why}");
}

/// The folder of build products: the test binary lies in `<target>/<profile>/deps`.
pub(crate) fn target_folder() -> PathBuf {
    let program = std::env::current_exe().expect("the path of this test binary");
    program.ancestors().nth(3).expect("<target>/<profile>/deps/it").to_path_buf()
}
