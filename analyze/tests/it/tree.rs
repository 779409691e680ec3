//! The run directories of an A/B experiment, as a playbook and the tools write them, from a simple model of two brokers.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use runlog::columns::{self, Kind};
use runlog::summary::{ConnectSummary, PublishSummary, ReceiveSummary};
use runlog::write::CounterRow;
use runlog::{
    CollectSummary, Context, Edge, Event, EventKind, HostManifest, LoadSummary, Meta, Percentiles, ProbeSummary,
    ProcessManifest, Role, RunDir, hlog,
};
use serde_json::json;

/// A broker of the model.
struct Broker {
    label: &'static str,
    name: &'static str,
    idle_kib: f64,
    bytes_per_connection: f64,
    cpu_us_per_message: f64,
    latency_us: f64,
}

const BROKERS: [Broker; 2] = [
    Broker {
        label: "A",
        name: "ours",
        idle_kib: 6_200.0,
        bytes_per_connection: 900.0,
        cpu_us_per_message: 3.1,
        latency_us: 62.0,
    },
    Broker {
        label: "B",
        name: "mosquitto",
        idle_kib: 9_100.0,
        bytes_per_connection: 3_300.0,
        cpu_us_per_message: 5.4,
        latency_us: 88.0,
    },
];

/// What a step loads a broker with.
#[derive(Clone, Copy)]
enum Load {
    Idle,
    Connections(u64),
    Latency(u64),
    /// Publishers, subscribers, messages per second, deliveries per message, QoS.
    Messages(u64, u64, f64, f64, u64),
}

const STEPS: [(&str, Load); 9] = [
    ("idle", Load::Idle),
    ("ramp-1000", Load::Connections(1_000)),
    ("ramp-5000", Load::Connections(5_000)),
    ("ramp-9000", Load::Connections(9_000)),
    ("latency-9000", Load::Latency(9_000)),
    ("fan-q0", Load::Messages(30, 10, 3_000.0, 10.0, 0)),
    ("fan-q1", Load::Messages(30, 10, 3_000.0, 10.0, 1)),
    ("fan-q2", Load::Messages(30, 10, 3_000.0, 10.0, 2)),
    ("nn-q0", Load::Messages(200, 200, 10_000.0, 1.0, 0)),
];

/// Names of the steps.
pub(crate) fn step_names() -> impl Iterator<Item = &'static str> {
    STEPS.iter().map(|(name, _)| *name)
}

/// The reason of the points that failed: B at `fan-q2`, in every repeat.
pub(crate) const GATE_REASON: &str = "between 8 and 10 of 10 clients were connected during the measure phase";

/// The experiment `quickstart`, made once for all tests, none of which changes it: B fails a gate at `fan-q2`, and the run was
/// stopped before B's last step of the last repeat.
pub(crate) fn quickstart() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let runs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("analyze-report");
        if runs.exists() {
            fs::remove_dir_all(&runs).unwrap();
        }
        make(&runs)
    })
}

/// A copy of it under `runs`, for a test that changes it.
pub(crate) fn copy(runs: &Path) -> PathBuf {
    let to = runs.join("quickstart");
    copy_dir(quickstart(), &to);
    to
}

/// Copies the runs of one step of a target and repeat (`ours-1`), and what its runner noted, into the experiment `to`.
pub(crate) fn copy_step(target: &str, step: &str, to: &Path) {
    let (from, to) = (quickstart().join(target), to.join(target));
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(name)).unwrap();
        } else if name.contains(&format!("-{step}-")) {
            copy_dir(&entry.path(), &to.join(name));
        }
    }
}

/// Copies a directory with everything in it.
pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn make(runs: &Path) -> PathBuf {
    let dir = runs.join("quickstart");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("plan.json"), serde_json::to_string_pretty(&plan()).unwrap()).unwrap();
    for repeat in 1..=REPEATS {
        for (at, broker) in BROKERS.iter().enumerate() {
            let home = dir.join(format!("{}-{repeat}", broker.name));
            let mut events = RunDir::create(&home).unwrap().events().unwrap();
            for (index, (step, load)) in STEPS.iter().enumerate() {
                if broker.label == "B" && repeat == REPEATS && index + 1 == STEPS.len() {
                    continue;
                }
                let begin_ns = START_NS + (u64::from(repeat) * 40 + at as u64 * 20 + index as u64) * 10 * S;
                let mut writer = StepWriter { home: &home, broker, step, load: *load, repeat, begin_ns };
                writer.write(&mut events);
            }
        }
    }
    dir
}

/// One step against one broker.
struct StepWriter<'a> {
    home: &'a Path,
    broker: &'a Broker,
    step: &'a str,
    load: Load,
    repeat: u32,
    begin_ns: u64,
}

impl StepWriter<'_> {
    fn write(&mut self, events: &mut runlog::write::EventLog) {
        for (phase, edge, at_ns) in [
            ("ramp", Edge::Begin, 0),
            ("ramp", Edge::End, S),
            ("measure", Edge::Begin, MEASURE_NS.0),
            ("measure", Edge::End, MEASURE_NS.1),
        ] {
            let detail = json!({"step": self.step, "phase": phase});
            events.append(&self.event(EventKind::Phase, phase, at_ns).edge(edge).detail(detail)).unwrap();
        }
        let reason = (self.broker.label == "B" && self.step == "fan-q2").then_some(GATE_REASON);
        let detail = json!({"step": self.step, "process": "sub", "passed": reason.is_none(), "reason": reason});
        events.append(&self.event(EventKind::Gate, "role-count", END_NS).detail(detail)).unwrap();
        self.collect();
        match self.load {
            Load::Idle => {}
            Load::Connections(clients) => self.connect(clients),
            Load::Latency(clients) => {
                self.connect(clients);
                self.probe();
            }
            Load::Messages(publishers, subscribers, rate, fan_out, qos) => {
                self.subscribe(subscribers, rate * fan_out, fan_out, qos);
                self.publish(publishers, rate, qos);
            }
        }
    }

    fn event(&self, kind: EventKind, name: &str, after_ns: u64) -> Event {
        let mono_ns = self.begin_ns + after_ns;
        Event { mono_ns, wall_ns: mono_ns + WALL_OFFSET_NS, ..Event::now(kind, name) }
    }

    /// A little more in the second repeat, so that there is a spread.
    fn spread(&self) -> f64 {
        1.0 + 0.012 * f64::from(self.repeat - 1)
    }

    fn run_dir(&self, role: Role, tool: &str, mode: &str, config: serde_json::Value) -> RunDir {
        let tag = format!("{}-{}-{}-{mode}", self.broker.label, self.broker.name, self.step);
        let utc = runlog::clock::utc_compact(self.begin_ns + WALL_OFFSET_NS);
        let dir = RunDir::create(self.home.join(format!("{role}-{tag}-{utc}"))).unwrap();
        let meta = Meta {
            tool: tool.to_owned(),
            version: "0.1.0".to_owned(),
            git_commit: Some("0123456789abcdef".to_owned()),
            binary_sha256: Some("ab".repeat(32)),
            argv: vec![tool.to_owned(), mode.to_owned(), "-h".to_owned(), "127.0.0.1".to_owned()],
            role,
            tag,
            context: Some(Context {
                experiment: "quickstart".to_owned(),
                target: self.broker.name.to_owned(),
                label: self.broker.label.to_owned(),
                step: self.step.to_owned(),
                repeat: self.repeat,
                ..Context::default()
            }),
            seed: Some(42),
            config,
            started_wall_ns: self.begin_ns + WALL_OFFSET_NS,
            started_mono_ns: self.begin_ns,
            host: host(),
            process: (role == Role::Broker).then(|| ProcessManifest {
                pid: 4242,
                exe: Some(format!("/usr/sbin/{}", self.broker.name)),
                sha256: Some(self.broker.label.to_lowercase().repeat(64)),
                argv: vec![self.broker.name.to_owned(), "-c".to_owned(), "<test> & co.conf".to_owned()],
                ..ProcessManifest::default()
            }),
        };
        dir.write_meta(&meta).unwrap();
        dir
    }

    fn collect(&self) {
        let dir = self.run_dir(Role::Broker, "collector", "", json!({"interval_s": 0.25}));
        let mut raw = dir.raw_writer(&[]).unwrap();
        let (connections, delivered_per_s) = match self.load {
            Load::Idle => (0, 0.0),
            Load::Connections(clients) | Load::Latency(clients) => (clients, 50.0),
            Load::Messages(publishers, subscribers, rate, fan_out, _) => (publishers + subscribers, rate * fan_out),
        };
        for tick in 0..=END_NS / TICK_NS {
            let after_ns = tick * TICK_NS;
            let loaded_s = after_ns.saturating_sub(S) as f64 / S as f64;
            let seconds = after_ns as f64 / S as f64;
            let cpu_us = self.broker.cpu_us_per_message * self.spread() * delivered_per_s * loaded_s;
            let memory_kib = connections as f64 * self.broker.bytes_per_connection * self.spread() / 1024.0;
            let rss_kib = self.broker.idle_kib + memory_kib * (seconds).min(1.0);
            for column in columns::RAW {
                let name = column.name;
                let value = match name {
                    columns::MONO_NS => self.begin_ns + after_ns,
                    columns::WALL_NS => self.begin_ns + after_ns + WALL_OFFSET_NS,
                    columns::TCP_ESTAB => connections,
                    columns::PROC_RSS_KB => rss_kib as u64,
                    columns::PROC_COUNT => 1,
                    columns::PROC_CPU_USER_US => (cpu_us * 0.6) as u64,
                    columns::PROC_CPU_SYS_US => (cpu_us * 0.4) as u64,
                    columns::CPU_USER_TICKS => (seconds * 90.0) as u64,
                    columns::CPU_IDLE_TICKS => (seconds * 110.0) as u64,
                    _ => 0,
                };
                match (name, column.kind) {
                    (columns::TIME_UTC, _) => {
                        raw.text(&runlog::clock::utc_text(self.begin_ns + after_ns + WALL_OFFSET_NS));
                    }
                    (_, Kind::Text) => {
                        raw.text("lo");
                    }
                    _ => {
                        raw.number(value);
                    }
                }
            }
            raw.end_row().unwrap();
        }
        let summary = CollectSummary { tool: "collector".to_owned(), ok: true, ..CollectSummary::default() };
        dir.write_summary(&summary).unwrap();
    }

    fn connect(&self, clients: u64) {
        let dir = self.run_dir(Role::Loadgen, "loadgen", "conn", json!({"mode": "conn", "clients": clients}));
        self.counters(&dir, |_, row| row.connected = clients);
        let connack = values(self.broker.latency_us * 2.0 * self.spread(), clients as usize);
        let summary = LoadSummary {
            connect: ConnectSummary {
                attempted: clients,
                succeeded: clients,
                rate_per_s: 4_980.0 * self.spread(),
                connack_us: Percentiles::of_sorted(&connack, 0.001, 0),
                ..ConnectSummary::default()
            },
            ..load_summary("conn", clients)
        };
        let mut log = dir.latency_log().unwrap();
        for second in 0..2 {
            let mut histogram = hlog::histogram();
            connack.iter().skip(second).step_by(2).for_each(|value| histogram.saturating_record(*value));
            let start_ns = self.begin_ns + WALL_OFFSET_NS + second as u64 * S;
            log.append(Some(hlog::CONNACK), start_ns, S, &histogram).unwrap();
        }
        dir.write_summary(&summary).unwrap();
    }

    fn probe(&self) {
        let dir = self.run_dir(Role::Prober, "prober", "", json!({"interval_us": 10_000}));
        let (due, sent) = self.latencies(&dir, 300);
        let summary = ProbeSummary {
            tool: "prober".to_owned(),
            ok: true,
            sent: 300,
            received: 300,
            interval_us: 10_000,
            latency_us: Percentiles::of_sorted(&due, 0.001, 0),
            uncorrected_latency_us: Percentiles::of_sorted(&sent, 0.001, 0),
            ..ProbeSummary::default()
        };
        dir.write_summary(&summary).unwrap();
    }

    fn subscribe(&self, clients: u64, rate: f64, fan_out: f64, qos: u64) {
        let topic = if fan_out > 1.0 { "bench/fan" } else { "bench/nn/%i" };
        let config = json!({"mode": "sub", "clients": clients, "topics": [topic], "qos": qos});
        let dir = self.run_dir(Role::Loadgen, "loadgen", "sub", config);
        self.counters(&dir, |loaded_s, row| {
            row.connected = clients;
            row.received = (rate * loaded_s) as u64;
        });
        let (due, sent) = self.latencies(&dir, 20_000);
        let delivered = (rate * LOADED_S) as u64;
        let receive = ReceiveSummary {
            delivered,
            latency_us: Percentiles::of_sorted(&due, 0.001, 0),
            uncorrected_latency_us: Percentiles::of_sorted(&sent, 0.001, 0),
            ..ReceiveSummary::default()
        };
        dir.write_summary(&LoadSummary { receive: Some(receive), ..load_summary("sub", clients) }).unwrap();
    }

    fn publish(&self, clients: u64, rate: f64, qos: u64) {
        let config = json!({"mode": "pub", "clients": clients, "qos": qos});
        let dir = self.run_dir(Role::Loadgen, "loadgen", "pub", config);
        self.counters(&dir, |loaded_s, row| {
            row.connected = clients;
            (row.offered, row.written) = ((rate * loaded_s) as u64, (rate * loaded_s) as u64);
            row.acked = if qos > 0 { row.written } else { 0 };
        });
        let sent = (rate * LOADED_S) as u64;
        let acked = if qos > 0 { sent } else { 0 };
        let publish =
            PublishSummary { offered: sent, attempted: sent, written: sent, acked, ..PublishSummary::default() };
        dir.write_summary(&LoadSummary { publish: Some(publish), ..load_summary("pub", clients) }).unwrap();
    }

    fn counters(&self, dir: &RunDir, fill: impl Fn(f64, &mut CounterRow)) {
        let mut counters = dir.counters_writer().unwrap();
        for tick in 0..=END_NS / TICK_NS {
            let after_ns = tick * TICK_NS;
            let mono_ns = self.begin_ns + after_ns;
            let mut row = CounterRow { mono_ns, wall_ns: mono_ns + WALL_OFFSET_NS, ..CounterRow::default() };
            fill((after_ns.saturating_sub(S) as f64 / S as f64).min(LOADED_S), &mut row);
            row.self_cpu_us = after_ns / 10_000;
            counters.append(&row).unwrap();
        }
    }

    /// Writes the histogram log and returns the latencies, ns, in rising order.
    fn latencies(&self, dir: &RunDir, count: usize) -> (Vec<u64>, Vec<u64>) {
        let due = values(self.broker.latency_us * self.spread(), count);
        let sent: Vec<u64> = due.iter().map(|ns| (*ns as f64 * 0.9) as u64).collect();
        let mut log = dir.latency_log().unwrap();
        for second in 2..5 {
            for (tag, values) in [(hlog::CORRECTED, &due), (hlog::UNCORRECTED, &sent)] {
                let mut histogram = hlog::histogram();
                values.iter().for_each(|value| histogram.saturating_record(*value));
                let start_ns = self.begin_ns + WALL_OFFSET_NS + second * S;
                log.append(Some(tag), start_ns, S, &histogram).unwrap();
            }
        }
        (due, sent)
    }
}

/// Quantiles of a log-logistic distribution with this median, ns: a body and a heavy tail.
fn values(median_us: f64, count: usize) -> Vec<u64> {
    let odds = |i: usize| (i as f64 + 0.5) / (count - i) as f64;
    (0..count).map(|i| (median_us * 1e3 * odds(i).powf(0.3)) as u64).collect()
}

fn load_summary(mode: &str, clients: u64) -> LoadSummary {
    let connect = ConnectSummary { attempted: clients, succeeded: clients, ..ConnectSummary::default() };
    LoadSummary {
        tool: "loadgen".to_owned(),
        mode: mode.to_owned(),
        ok: true,
        clients,
        connect,
        ..LoadSummary::default()
    }
}

fn host() -> HostManifest {
    HostManifest {
        hostname: "lab".to_owned(),
        kernel: "6.8.0 #1 SMP".to_owned(),
        cpu_model: Some("A CPU of 2 cores".to_owned()),
        cpus: 2,
        ram_kb: Some(24_000_000),
        boot_id: Some("b00t".to_owned()),
        sysctls: [("net.core.somaxconn".to_owned(), "4096".to_owned())].into(),
        ..HostManifest::default()
    }
}

fn plan() -> serde_json::Value {
    let kind = |load: Load| match load {
        Load::Idle => json!([]),
        Load::Connections(_) => json!([{"kind": "loadgen", "argv": ["loadgen", "conn"]}]),
        Load::Latency(_) => {
            json!([{"kind": "loadgen", "argv": ["loadgen", "conn"]}, {"kind": "prober", "argv": ["prober"]}])
        }
        Load::Messages(..) => json!([{"kind": "loadgen", "argv": ["loadgen", "sub"]}]),
    };
    let mut steps = Vec::new();
    for repeat in 1..=REPEATS {
        for (name, load) in STEPS {
            for broker in &BROKERS {
                steps.push(json!({
                    "step": name, "purpose": format!("What {name} is for"), "target": broker.name, "label": broker.label,
                    "repeat": repeat, "processes": kind(load), "broker": planned_broker(broker, steps.len()),
                }));
            }
        }
    }
    let target = |broker: &Broker| {
        json!({
            "label": broker.label, "name": broker.name, "title": format!("{} the broker", broker.name),
            "version": "1.2.3", "exe": "/bin/x", "sha256": broker.label.repeat(64),
        })
    };
    json!({
        "experiment": "quickstart", "name": "quickstart", "title": "First look", "purpose": "A test",
        "caveats": ["Loopback has no network card."], "notes": [], "sources": [],
        "targets": BROKERS.iter().map(target).collect::<Vec<_>>(), "steps": steps,
    })
}

/// How a broker is started at a step: its port changes, and the rest does not.
fn planned_broker(broker: &Broker, step: usize) -> serde_json::Value {
    let text = format!("listener {} 127.0.0.1\nallow_anonymous true\npassword_file /etc/p\n", 2_000 + step);
    json!({
        "argv": [format!("/usr/bin/{}", broker.name), "-c", "x.conf", "--password", "hunter2"],
        "env": {"LIMIT": "7"},
        "files": [{"path": format!("/runs/{}/{step}/x.conf", broker.name), "text": text}],
    })
}

const REPEATS: u32 = 2;
const S: u64 = 1_000_000_000;
const TICK_NS: u64 = S / 4;
const START_NS: u64 = 5_000 * S;
const WALL_OFFSET_NS: u64 = 1_767_000_000 * S;
/// The measure phase, since the step's begin.
const MEASURE_NS: (u64, u64) = (2 * S, 5 * S);
const END_NS: u64 = 5 * S + S / 2;
/// Load begins one second into the step and ends with the measure phase.
const LOADED_S: f64 = 4.0;
