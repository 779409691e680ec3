//! Starting brokers and probers, and waiting for what they do.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{ProbeSummary, Run, Summary};
use tempfile::TempDir;

/// A broker of this test alone; killed when the test ends.
pub(crate) struct Broker {
    child: Child,
    pub(crate) port: u16,
    _config: TempDir,
}

impl Broker {
    /// Starts a Mosquitto that lets everybody in.
    pub(crate) fn mosquitto() -> Broker {
        Broker::mosquitto_with("allow_anonymous true")
    }

    /// Starts a Mosquitto with further lines of configuration.
    pub(crate) fn mosquitto_with(settings: &str) -> Broker {
        Broker::start(|port, config| {
            let file = config.join("mosquitto.conf");
            std::fs::write(&file, format!("listener {port} 127.0.0.1\n{settings}\n")).unwrap();
            let mut command = Command::new("mosquitto");
            command.arg("-c").arg(&file);
            command
        })
    }

    /// Starts the broker of this workspace, which lies beside the prober once the workspace is built.
    pub(crate) fn ours() -> Broker {
        let program = neighbour("broker");
        Broker::start(|port, _| {
            let mut command = Command::new(&program);
            command.args(["--listen", &format!("tcp://127.0.0.1:{port}")]);
            command
        })
    }

    fn start(command: impl Fn(u16, &Path) -> Command) -> Broker {
        // A port that is free now may be taken a moment later.
        for _ in 0..20 {
            let config = tempfile::tempdir().unwrap();
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut command = command(port, config.path());
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            let child = child.unwrap_or_else(|error| panic!("{command:?}: {error} (apt-get install mosquitto)"));
            let mut broker = Broker { child, port, _config: config };
            if broker.is_up() {
                return broker;
            }
        }
        panic!("the broker does not start on any of 20 free ports");
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    fn is_up(&mut self) -> bool {
        wait_for("broker", || {
            let ended = self.child.try_wait().unwrap().is_some();
            let up = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            (ended || up).then_some(up && !ended)
        })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program of this workspace, which lies beside the prober once the workspace is built.
fn neighbour(name: &str) -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_prober")).with_file_name(name);
    assert!(program.exists(), "{} is absent: cargo build -p {name}", program.display());
    program
}

/// A collector that serves an echo; killed when the test ends.
pub(crate) struct Echo {
    child: Child,
    pub(crate) port: u16,
    pub(crate) run_dir: PathBuf,
    _root: TempDir,
}

impl Echo {
    pub(crate) fn start() -> Echo {
        let root = tempfile::tempdir().unwrap();
        let run_dir = root.path().join("run");
        let mut command = Command::new(neighbour("collector"));
        command.args(["--role", "prober", "--iface", "lo", "--interval", "20ms", "--echo", "0", "--run-dir"]);
        for variable in ["PID", "PORT", "INTERFACE", "DURATION_SEC", "INTERVAL_SEC", "EXP_TAG", "RUNLOG_CONTEXT"] {
            command.env_remove(variable);
        }
        let mut child = command.arg(&run_dir).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let port = lines.find_map(|line| line.strip_prefix("echo on port ")?.parse().ok()).expect("the echo's port");
        // What it says later must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Echo { child, port, run_dir, _root: root }
    }

    /// Ends its run in order.
    pub(crate) fn end(&mut self) -> Run {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        Run::open(&self.run_dir)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A prober's command line with its own run directory.
pub(crate) struct Prober {
    root: TempDir,
    pub(crate) command: Command,
}

impl Prober {
    pub(crate) fn new(port: u16, args: &[&str]) -> Prober {
        let root = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_prober"));
        command.args(["-h", "127.0.0.1", "-p", &port.to_string(), "--run-dir"]).arg(root.path().join("run"));
        command.args(args).env_remove("RUNLOG_CONTEXT").stdout(Stdio::piped()).stderr(Stdio::piped());
        Prober { root, command }
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// Starts it and waits for its first measured probe.
    pub(crate) fn measuring(mut self) -> (Prober, Child) {
        let child = self.command.spawn().unwrap();
        wait_for("first probe", || has_event(&self.run_dir(), "measure").then_some(()));
        (self, child)
    }

    /// Runs to the end, whatever it is.
    pub(crate) fn run(mut self) -> Probed {
        let output = self.command.output().unwrap();
        self.probed(output)
    }

    pub(crate) fn probed(self, output: Output) -> Probed {
        let run = Run::open(self.run_dir());
        assert_eq!(run.warnings, []);
        Probed { _root: self.root, run, output }
    }
}

/// What a prober left behind.
pub(crate) struct Probed {
    _root: TempDir,
    pub(crate) run: Run,
    pub(crate) output: Output,
}

impl Probed {
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    pub(crate) fn succeeded(self) -> Probed {
        assert!(self.output.status.success(), "{}", self.stderr());
        self
    }

    pub(crate) fn failed(self) -> Probed {
        assert_eq!(self.output.status.code(), Some(1), "{}", self.stderr());
        self
    }

    pub(crate) fn summary(&self) -> ProbeSummary {
        match self.run.summary().unwrap() {
            Some(Summary::Probe(summary)) => *summary,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn has_event(&self, name: &str) -> bool {
        has_event(&self.run.path, name)
    }
}

pub(crate) fn has_event(run: &Path, name: &str) -> bool {
    Run::open(run).events().unwrap().value.iter().any(|event| event.name == name)
}

/// Asks again until there is an answer. The limit is only there so that something broken ends the test.
pub(crate) fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let limit = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < limit, "no {what} in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
