//! Processes of the tests: a broker, loadgen, and the files that they leave behind.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{Event, EventKind, LoadSummary, Run};
use tempfile::TempDir;

/// Nothing in these tests takes so long unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A Mosquitto of our own on a free port; killed when dropped.
pub(crate) struct Mosquitto {
    child: Child,
    pub(crate) addr: SocketAddr,
    dir: TempDir,
}

impl Mosquitto {
    /// Starts one that takes everything, or says on the terminal that the test is skipped because there is none.
    pub(crate) fn start() -> Option<Self> {
        Self::with_settings("allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n")
    }

    pub(crate) fn with_settings(settings: &str) -> Option<Self> {
        Self::at(free_addr(), settings)
    }

    /// Starts one at an address that a test has chosen before.
    pub(crate) fn at(addr: SocketAddr, settings: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        // As root it would become `mosquitto`, who may not read the certificates.
        let config = format!("user root\nlistener {} 127.0.0.1\n{settings}", addr.port());
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let child = Self::spawn(&dir);
        let Ok(child) = child else {
            // Not eprintln: the test harness would swallow it.
            let _ = writeln!(std::io::stderr(), "SKIPPED: mosquitto is not on PATH");
            return None;
        };
        let broker = Self { child, addr, dir };
        wait_until("mosquitto listens", || TcpStream::connect(addr).is_ok());
        Some(broker)
    }

    /// Starts it again after [`kill`](Self::kill), without what it knew.
    pub(crate) fn restart(&mut self) {
        self.child = Self::spawn(&self.dir).unwrap();
        wait_until("mosquitto listens again", || TcpStream::connect(self.addr).is_ok());
    }

    fn spawn(dir: &TempDir) -> std::io::Result<Child> {
        let config = dir.path().join("mosquitto.conf");
        Command::new("mosquitto").arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Our broker on a free port; killed when dropped.
pub(crate) struct Ours {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Ours {
    /// Starts the one that lies beside our own program.
    pub(crate) fn start() -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_loadgen")).with_file_name("broker");
        let addr = free_addr();
        let child = Command::new(&program)
            .args(["--listen", &format!("tcp://{addr}"), "--workers", "1"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: cargo build -p broker", program.display()));
        let broker = Self { child, addr };
        wait_until("our broker listens", || TcpStream::connect(addr).is_ok());
        broker
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `mosquitto_sub` (MQTT 5.0, QoS 2) that waits for so many messages; killed when dropped.
pub(crate) struct Listener {
    child: Child,
    lines: Receiver<String>,
}

impl Listener {
    /// Starts it and waits until it has subscribed. `format` is that of its `-F`.
    pub(crate) fn start(broker: SocketAddr, topic: &str, format: &str, count: usize) -> Self {
        // Line by line: into a pipe it would keep its lines for itself.
        let mut child = Command::new("stdbuf")
            .args([
                "-oL",
                "mosquitto_sub",
                "-h",
                &broker.ip().to_string(),
                "-p",
                &broker.port().to_string(),
                "-V",
                "5",
                "-q",
                "2",
                "-d",
            ])
            .args(["-t", topic, "-C", &count.to_string(), "-F", &format!("MESSAGE {format}")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto_sub is on PATH: apt-get install mosquitto-clients");
        let output = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        let listener = Self { child, lines };
        while !listener.lines.recv_timeout(PATIENCE).expect("mosquitto_sub subscribes").starts_with("Subscribed") {}
        listener
    }

    /// What it said of the messages.
    pub(crate) fn finish(self) -> Vec<String> {
        let mut messages = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => messages.extend(line.strip_prefix("MESSAGE ").map(str::to_owned)),
                Err(RecvTimeoutError::Disconnected) => return messages,
                Err(RecvTimeoutError::Timeout) => panic!("mosquitto_sub waits for more than {messages:?}"),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running loadgen with a run directory; killed when dropped.
pub(crate) struct Loadgen {
    child: Option<Child>,
    pub(crate) run_dir: PathBuf,
    _dir: TempDir,
}

impl Loadgen {
    /// Starts `loadgen MODE ... -h HOST -p PORT --run-dir DIR`.
    pub(crate) fn start(mode: &str, target: SocketAddr, args: &str) -> Self {
        Self::line(&format!("{mode} -h {} -p {} {args}", target.ip(), target.port()))
    }

    /// Starts `loadgen LINE --run-dir DIR`.
    pub(crate) fn line(line: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let run_dir = dir.path().join("run");
        let mut words = line.split_whitespace();
        let child = command(words.next().expect("a command"))
            .args(words)
            .arg("--run-dir")
            .arg(&run_dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child: Some(child), run_dir, _dir: dir }
    }

    /// Waits for the mark that all clients are ready.
    pub(crate) fn wait_ready(&self) {
        wait_until("loadgen is ready", || {
            self.events().iter().any(|event| event.kind == EventKind::Phase && event.name == "ready")
        });
    }

    /// Waits until so many messages have been received.
    pub(crate) fn wait_received(&self, count: u64) {
        wait_until("loadgen has received everything", || {
            let counters = Run::open(&self.run_dir).counters();
            counters.is_ok_and(|rows| rows.value.last().is_some_and(|row| row.received >= count))
        });
    }

    /// The row of counters that was written last.
    pub(crate) fn last_row(&self) -> Option<runlog::write::CounterRow> {
        Run::open(&self.run_dir).counters().ok()?.value.pop()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        Run::open(&self.run_dir).events().map(|events| events.value).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("not finished yet");
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) -> Finished {
        let mut child = self.child.take().expect("finished once");
        // The pipes hold more than these runs print; so the end can be awaited before they are read.
        let deadline = Instant::now() + PATIENCE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("loadgen did not end in {PATIENCE:?}: {:?}", child.wait_with_output());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let output = child.wait_with_output().unwrap();
        let text = std::fs::read_to_string(self.run_dir.join("summary.json")).expect("a summary was written");
        let summary = serde_json::from_str(&text).unwrap();
        Finished { code: output.status.code(), output: text_of(&output), summary, process: self }
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(self) -> Finished {
        self.signal(Signal::SIGTERM);
        self.finish()
    }
}

impl Drop for Loadgen {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A loadgen that has ended; its run directory lives as long as this.
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) output: String,
    pub(crate) summary: LoadSummary,
    process: Loadgen,
}

impl Finished {
    /// The run directory holds everything, undamaged, and its last row agrees with the summary.
    pub(crate) fn assert_run_dir_complete(&self) {
        let run = Run::open(self.run_dir());
        assert!(run.warnings.is_empty(), "{:?}", run.warnings);
        let meta = run.meta.as_ref().expect("meta.json");
        assert_eq!((meta.tool.as_str(), meta.tag.as_str()), ("loadgen", self.summary.mode.as_str()));
        assert!(meta.seed.is_some() && meta.config["clients"] == self.summary.clients);
        let counters = run.counters().unwrap();
        assert!(counters.warnings.is_empty(), "{:?}", counters.warnings);
        let last = counters.value.last().expect("a row");
        assert_eq!(last.connect_succ, self.summary.connect.succeeded);
        assert_eq!(last.disconnected, self.summary.disconnected.total);
        if let Some(publish) = &self.summary.publish {
            let row = (last.offered, last.attempted, last.written, last.acked);
            assert_eq!(row, (publish.offered, publish.attempted, publish.written, publish.acked));
        }
        let names: Vec<_> = self.process.events().iter().map(|event| event.name.clone()).collect();
        assert_eq!(names.first().map(String::as_str), Some("ramp"), "{names:?}");
        assert!(names.iter().any(|name| name == "drain"), "{names:?}");
        let latency = run.latency().unwrap();
        assert!(latency.warnings.is_empty(), "{:?}", latency.warnings);
        assert_eq!(latency.value.is_empty(), self.summary.connect.succeeded == 0);
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.process.events()
    }

    pub(crate) fn run_dir(&self) -> &Path {
        &self.process.run_dir
    }
}

/// A running loadgen whose run directory, if any, is the test's business; killed when dropped.
pub(crate) struct Background(Option<Child>);

impl Background {
    pub(crate) fn start(args: &str) -> Self {
        let mut words = args.split_whitespace();
        let mut command = command(words.next().unwrap());
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().unwrap()))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.as_ref().expect("not finished yet").id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn finish(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        let mut child = self.0.take().expect("finished once");
        while child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                let _ = child.kill();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.wait_with_output().unwrap()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs loadgen to its end without a run directory.
pub(crate) fn run(args: &str) -> Output {
    let mut words = args.split_whitespace();
    command(words.next().unwrap()).args(words).output().unwrap()
}

/// Everything that a process printed.
pub(crate) fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An address that nobody listens on, for the moment. Its port is not one of those that the kernel gives to outgoing
/// connections: such a one could be taken by a client of any other test before the broker listens, or while it is restarted;
/// a client that waits for the broker could even be connected to itself.
pub(crate) fn free_addr() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let end: u32 = range.split_whitespace().next().unwrap().parse().unwrap();
    let ports = end.min(32_768) - PORT_MIN;
    // Test programs that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(7_919);
    let port = || PORT_MIN + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % ports;
    let addr = |port: u32| SocketAddr::from((Ipv4Addr::LOCALHOST, port as u16));
    (0..ports).map(|_| addr(port())).find(|addr| TcpListener::bind(addr).is_ok()).expect("a free port")
}

const PORT_MIN: u32 = 10_000;

fn command(mode: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgen"));
    command.arg(mode).env_remove("RUNLOG_CONTEXT").stdin(Stdio::null());
    command
}
