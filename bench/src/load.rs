//! What our load generator costs. Here the broker is always the floor, and the programs that load it are measured: ours,
//! and as its floor the least client that does the same work, which is this program's own [`Driver`] in a process of its
//! own. The least client takes time stamps and counts; ours also plans, numbers, verifies and reconciles each message and
//! keeps a run directory.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mqtt_wire::QoS;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::driver::Driver;
use crate::hold::{Held, READY};
use crate::rows::{Figures, Flow, MIB, PAIRS, PAYLOAD_BYTES, Setting, prepare, publish_for};
use crate::target::{Running, Target, cpu_ns_of, rss_bytes_of};

/// A row about the load generator.
#[derive(Clone, Copy)]
pub(crate) enum LoadWork {
    /// So many connections that only keep alive.
    Idle,
    /// 500 pairs at QoS 0, so many messages a second.
    Pairs(f64),
    /// The same for as long as the flood: does it grow?
    Steady(f64),
    /// As many connections as possible, as fast as possible, from several addresses.
    Storm,
}

impl LoadWork {
    /// Whether the row makes sense for a target: ours stands for our load generator, the floor for the least client.
    pub(crate) fn applies_to(self, target: &Target) -> bool {
        match target {
            // Its ports are left to the kernel's search, which is no floor of a storm.
            Target::Floor => !matches!(self, Self::Steady(_) | Self::Storm),
            target => *target == Target::Ours(None, false),
        }
    }
}

/// Source addresses of the storm.
const STORM_SOURCES: &str = "127.0.0.2-6";
/// Threads of our load generator where it is held against a client of one thread.
const THREADS: &str = "1";
/// After the first signs of life, until the load is steady.
const SETTLE: Duration = Duration::from_secs(1);

/// Measures once: our load generator, or where the target is the floor, the least client.
pub(crate) fn measure(target: &Target, work: LoadWork, setting: &Setting) -> Result<Figures> {
    let broker = Target::Floor.start(&setting.broker)?;
    let least = *target == Target::Floor;
    match work {
        LoadWork::Idle if least => idle(setting, |count| HeldClients::start(&broker, count)),
        LoadWork::Idle => idle(setting, |count| Loadgen::connected(&broker, setting, count)),
        LoadWork::Pairs(rate) if least => pairs(&mut Least::start(&broker, rate)?, setting.seconds),
        LoadWork::Pairs(rate) => {
            let mut loadgen = Loadgen::pairs(&broker, setting, rate)?;
            let mut figures = pairs(&mut loadgen, setting.seconds)?;
            figures.extend(loadgen.stop()?.of_pairs()?);
            Ok(figures)
        }
        LoadWork::Steady(rate) => {
            let loadgen = Loadgen::pairs(&broker, setting, rate)?;
            let figures = steady(&loadgen, setting.flood_seconds)?;
            loadgen.stop()?.of_pairs()?;
            Ok(figures)
        }
        LoadWork::Storm => storm(&broker, setting),
    }
}

/// A program that makes load.
trait Program {
    fn pid(&self) -> u32;
}

/// One that tells every second how much it has received.
trait Telling: Program {
    /// Waits for the next second; messages received so far.
    fn next_total(&mut self) -> Result<f64>;
}

/// Resident memory of so many idle connections, less that of one.
fn idle<P: Program>(setting: &Setting, start: impl Fn(usize) -> Result<P>) -> Result<Figures> {
    let resident = |count| -> Result<f64> {
        let program = start(count)?;
        // What the storm needed for a moment is given back by then.
        std::thread::sleep(2 * SETTLE);
        Ok(rss_bytes_of(&program.pid().to_string())? as f64)
    };
    let (one, many) = (resident(1)?, resident(setting.connections)?);
    Ok(vec![("bytes_per_conn", (many - one) / (setting.connections - 1) as f64), ("empty_mib", one / MIB)])
}

/// Processor time per message, which is one publish and one receive. The program's own seconds bound what is measured.
fn pairs(program: &mut impl Telling, seconds: f64) -> Result<Figures> {
    std::thread::sleep(SETTLE);
    let (first, cpu_ns, started) = (program.next_total()?, cpu_ns_of(program.pid())?, Instant::now());
    loop {
        let messages = program.next_total()? - first;
        let (used_ns, took_s) = ((cpu_ns_of(program.pid())? - cpu_ns) as f64, started.elapsed().as_secs_f64());
        if took_s > seconds - 0.5 {
            return Ok(vec![
                ("cpu_us_per_msg", used_ns / 1e3 / messages),
                ("cpu_share", used_ns / 1e9 / took_s),
                ("out_per_s", messages / took_s),
            ]);
        }
    }
}

/// Resident memory over time.
fn steady(program: &impl Program, seconds: f64) -> Result<Figures> {
    std::thread::sleep(SETTLE);
    let (started, mut rss) = (Instant::now(), Vec::new());
    while started.elapsed().as_secs_f64() < seconds {
        std::thread::sleep(Duration::from_millis(500).min(Duration::from_secs_f64(seconds / 4.0)));
        rss.push(rss_bytes_of(&program.pid().to_string())? as f64 / MIB);
    }
    let settled = rss.get(rss.len() / 6).copied().unwrap_or_default();
    let last = rss.last().copied().unwrap_or_default();
    Ok(vec![("rss_mib", last), ("rss_growth_mib", last - settled)])
}

fn storm(broker: &Running, setting: &Setting) -> Result<Figures> {
    let count = setting.connections.to_string();
    let arguments = ["conn", "-V", "4", "-c", &count, "-i", "0", "--ifaddr", STORM_SOURCES, "--duration", "100ms"];
    let summary = Loadgen::start(broker, setting, &arguments)?.finish()?;
    let (connect, clients) = (&summary.0["connect"], setting.connections as u64);
    ensure!(connect["succeeded"] == clients, "not all clients connected: {connect}");
    Ok(vec![
        ("connections_per_s", number(&connect["rate_per_s"])?),
        ("connack_p99_us", number(&connect["connack_us"]["p99"])?),
    ])
}

/// Our load generator, running.
struct Loadgen {
    child: Child,
    lines: BufReader<ChildStdout>,
    folder: TempDir,
}

/// What it said at the end.
struct Summary(Value);

const SUMMARY: &str = "summary.json";

impl Loadgen {
    fn start(broker: &Running, setting: &Setting, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        Self::start_in(folder, broker, setting, arguments)
    }

    fn start_in(folder: TempDir, broker: &Running, setting: &Setting, arguments: &[&str]) -> Result<Self> {
        let log = std::fs::File::create(folder.path().join("stderr"))?;
        let mut child = Command::new(&setting.loadgen)
            .args(arguments)
            .args(["-h", "127.0.0.1", "-p", &broker.address.port().to_string()])
            .arg("--json")
            .arg(folder.path().join(SUMMARY))
            .arg("--run-dir")
            .arg(folder.path().join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", setting.loadgen.display()))?;
        let lines = BufReader::new(child.stdout.take().context("no pipe")?);
        Ok(Self { child, lines, folder })
    }

    /// With so many idle connections.
    fn connected(broker: &Running, setting: &Setting, count: usize) -> Result<Self> {
        let clients = count.to_string();
        let arguments = ["conn", "-V", "4", "-c", &clients, "-R", "5000", "--ifaddr", STORM_SOURCES];
        let mut loadgen = Self::start(broker, setting, &arguments)?;
        loadgen.wait_for(|counter, total, _| counter == "connect_succ" && total >= count as f64)?;
        Ok(loadgen)
    }

    /// With publishers at work and subscribers that receive.
    fn pairs(broker: &Running, setting: &Setting, rate: f64) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let (path, clients) = (folder.path().join("pairs.toml"), PAIRS.publishers);
        let mut text = String::from("[run]\nprotocol-version = 4\ninterval = 0\n");
        for kind in ["sub", "pub"] {
            write!(text, "[[role]]\nname = \"{kind}\"\nkind = \"{kind}\"\ncount = {clients}\ntopic = \"bench/%i\"\n")?;
        }
        write!(text, "size = {PAYLOAD_BYTES}\ninterval_of_msg = {}\n", clients as f64 * 1e3 / rate)?;
        std::fs::write(&path, text)?;
        let path = path.to_str().context("the temporary folder has no name in UTF-8")?;
        let mut loadgen = Self::start_in(folder, broker, setting, &["run", path, "--threads", THREADS])?;
        loadgen.wait_for(|counter, _, per_s| counter == "recv" && per_s > 0.0)?;
        Ok(loadgen)
    }

    /// Reads lines such as `3s recv total=45000 rate=15000.00/sec` until one is as wanted (its counter, total and rate);
    /// returns its total.
    fn wait_for(&mut self, wanted: impl Fn(&str, f64, f64) -> bool) -> Result<f64> {
        let mut line = String::new();
        while self.lines.read_line(&mut line)? > 0 {
            let mut words = line.split_whitespace().skip(1);
            let counter = words.next().unwrap_or_default();
            let mut value = |name| words.next()?.strip_prefix(name)?.trim_end_matches("/sec").parse::<f64>().ok();
            if let (Some(total), Some(rate)) = (value("total="), value("rate="))
                && wanted(counter, total, rate)
            {
                return Ok(total);
            }
            line.clear();
        }
        bail!("loadgen ended before its time: {}", self.log())
    }

    /// Asks it to end, and waits for what it says.
    fn stop(self) -> Result<Summary> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM).context("loadgen has died")?;
        self.finish()
    }

    /// Waits for its end.
    fn finish(mut self) -> Result<Summary> {
        // It blocks once the pipe is full.
        std::io::copy(&mut self.lines, &mut std::io::sink())?;
        let status = self.child.wait()?;
        let text = std::fs::read_to_string(self.folder.path().join(SUMMARY));
        let text = text.with_context(|| format!("loadgen left no summary ({status}): {}", self.log()))?;
        Ok(Summary(serde_json::from_str(&text).context("loadgen's summary is not JSON")?))
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Program for Loadgen {
    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Telling for Loadgen {
    fn next_total(&mut self) -> Result<f64> {
        self.wait_for(|counter, _, _| counter == "recv")
    }
}

impl Drop for Loadgen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Summary {
    /// How well the plan was kept; an error when messages are missing, for then the other figures mean nothing.
    fn of_pairs(&self) -> Result<Figures> {
        let (publish, receive) = (&self.0["publish"], &self.0["receive"]);
        ensure!(receive["lost"] == 0 && receive["corrupted"] == 0, "messages are missing: {receive}");
        Ok(vec![
            ("send_lag_p99_us", number(&publish["send_lag_us"]["p99"])?),
            ("latency_p99_us", number(&receive["latency_us"]["p99"])?),
        ])
    }
}

fn number(value: &Value) -> Result<f64> {
    value.as_f64().with_context(|| format!("`{value}` stands where a number should in loadgen's summary"))
}

/// The least clients, idle.
struct HeldClients(Held);

impl HeldClients {
    fn start(broker: &Running, count: usize) -> Result<Self> {
        Held::start(broker.address, count, 0).map(Self)
    }
}

impl Program for HeldClients {
    fn pid(&self) -> u32 {
        self.0.pid()
    }
}

/// The least client at work; killed when dropped.
struct Least {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Least {
    fn start(broker: &Running, rate: f64) -> Result<Self> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command.args(["pairs".into(), broker.address.port().to_string(), rate.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the least client")?;
        let lines = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut least = Self { child, lines };
        ensure!(least.next_line()? == READY, "the least client has failed");
        Ok(least)
    }

    fn next_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Program for Least {
    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Telling for Least {
    fn next_total(&mut self) -> Result<f64> {
        self.next_line()?.parse().context("the least client has failed")
    }
}

impl Drop for Least {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of the least client: publishes until it is killed, and says every second how much it has received.
pub(crate) fn run_pairs(port: u16, rate: f64) -> Result<()> {
    let mut driver = Driver::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PAYLOAD_BYTES)?;
    let flow = Flow { qos: QoS::AtMostOnce, rate: Some(rate), ..PAIRS };
    let prepared = prepare(&mut driver, flow)?;
    println!("{READY}");
    publish_for(&mut driver, &prepared, flow, f64::INFINITY, |driver| {
        println!("{}", driver.seen.received);
        Ok(())
    })
}

/// The program, before anything is measured.
pub(crate) fn check_program(path: &Path) -> Result<()> {
    if !path.is_file() {
        bail!(
            "{} does not exist: `cargo build --release -p loadgen` makes it; --loadgen names another",
            path.display()
        );
    }
    Ok(())
}
