//! Each gate trips on its real cause, the step becomes a failed point with the reason, and the run goes on.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{Edge, EventKind, Run, discover};
use serde_json::Value;

use crate::support::{
    IDLE, TRAFFIC, children, events, experiment_dir, folder_with, is_begun, output, playbook, said, turn, wait_for,
};

/// Runs the experiment of a folder against one target.
fn run(folder: &Path, target: &str, more: &[&str]) -> std::process::Output {
    output(folder, &[&["run", "--no-build", "--no-report", "small.toml", "--targets", target], more].concat())
}

/// The reason for which a gate failed for a process.
fn reason(experiment: &Path, target_repeat: &str, gate: &str, process: &str) -> Option<String> {
    let events = events(experiment, target_repeat);
    let mut failed = events.iter().filter(|event| {
        event.kind == EventKind::Gate && event.name == gate && event.detail["passed"] == Value::Bool(false)
    });
    let of_process = failed.find(|event| event.detail["process"].as_str().is_some_and(|of| of.starts_with(process)))?;
    of_process.detail["reason"].as_str().map(str::to_owned)
}

/// What the tool of a process recorded, for the message of a test that fails.
fn left_by(experiment: &Path, process: &str) -> String {
    let runs = discover(&[experiment.to_owned()]).unwrap_or_default();
    let of_process = runs.iter().filter(|run| run.path.to_string_lossy().contains(process));
    of_process.map(|run| std::fs::read_to_string(run.summary_path()).unwrap_or_default()).collect()
}

/// A target that is a Mosquitto behind or beside something: `start` is a shell script that ends in it. `$MOSQUITTO CONFIG`
/// starts it so that it ends with whoever started it.
fn target(name: &str, start: &str, mosquitto: &str) -> String {
    format!(
        r#"
        name = "{name}"
        title = "Mosquitto in trouble"
        sources = []
        [find]
        programs = ["mosquitto"]
        folders = ["/usr/sbin", "/usr/local/sbin"]
        [version]
        args = ["-h"]
        [start]
        program = "sh"
        args = ["{{config}}/start.sh"]
        [[start.file]]
        name = "start.sh"
        text = '''
{start}
'''
        [[start.file]]
        name = "mosquitto.conf"
        text = '''
allow_anonymous true
user {{user}}
max_inflight_messages 0
max_queued_messages 0
{mosquitto}
'''
        [[start.file]]
        name = "proxy.py"
        text = '''
{}
'''
        "#,
        PROXY.replace('{', "{{").replace('}', "}}")
    )
}

/// Damages the last byte of every second piece that a broker sends with the given bytes in it. Every second: a load tool
/// that cannot verify a single message takes them all for those of a publisher that is not ours.
const PROXY: &str = r#"
import asyncio, os, socket, subprocess, sys
host, port, exe, config, sign = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], bytes.fromhex(sys.argv[5])
probe = socket.socket(); probe.bind((host, 0)); behind = probe.getsockname()[1]; probe.close()
path = os.path.join(config, "behind.conf")
open(path, "w").write(f"listener {behind} {host}\n" + open(os.path.join(config, "mosquitto.conf")).read())
broker = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", exe, "-c", path])
async def pipe(reader, writer, damages):
    signs = 0
    try:
        while data := await reader.read(65536):
            signs += damages and sign in data
            if sign in data and signs % 2 == 1:
                data = data[:-1] + bytes([data[-1] ^ 255])
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()
async def serve(reader, writer):
    while True:
        try:
            up, down = await asyncio.open_connection(host, behind)
            break
        except OSError:
            await asyncio.sleep(0.02)
    await asyncio.gather(pipe(reader, down, False), pipe(up, writer, True))
async def main():
    async with await asyncio.start_server(serve, host, port) as server:
        await server.serve_forever()
asyncio.run(main())
"#;

#[test]
fn damage_on_the_way_is_found_before_any_load() {
    let folder = folder_with(["ours", "ours"], IDLE);
    // The topic of the smoke test at QoS 0.
    let start = format!("exec python3 {{config}}/proxy.py {{host}} {{port}} {{exe}} {{config}} {}", hex("smoke/0"));
    std::fs::write(folder.path().join("proxied.toml"), target("proxied", &start, "")).expect("written");
    let output =
        output(folder.path(), &["run", "--no-build", "--no-report", "small.toml", "--targets", "proxied.toml,ours"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let experiment = experiment_dir(folder.path());
    let why = reason(&experiment, "proxied-1", "smoke", "smoke-q0").expect("QoS 0 is damaged");
    assert!(why.contains("corrupted") || why.contains("not one of"), "{why}");
    for sound in ["smoke-q1", "smoke-q2"] {
        assert_eq!(reason(&experiment, "proxied-1", "smoke", sound), None);
    }
    let of_ours = events(&experiment, "ours-1");
    assert!(of_ours.iter().any(|event| event.name == "step-done" && event.detail["passed"] == Value::Bool(true)));
}

#[test]
fn damage_under_load_fails_the_point_and_is_kept_as_evidence() {
    let _turn = turn();
    let folder = folder_with(["ours", "ours"], &TRAFFIC.replace("qos = [0, 1]", "qos = [0]"));
    // Topic `t` with its length before it.
    let start = "exec python3 {config}/proxy.py {host} {port} {exe} {config} 000174";
    std::fs::write(folder.path().join("proxied.toml"), target("proxied", start, "")).expect("written");
    let output = run(folder.path(), "proxied.toml", &["--duration-scale", "0.2"]);
    let experiment = experiment_dir(folder.path());
    assert_eq!(output.status.code(), Some(3), "{}{}", said(&output), left_by(&experiment, "sub"));
    let why = reason(&experiment, "proxied-1", "payload", "sub")
        .unwrap_or_else(|| panic!("no damage was seen: {}{}", said(&output), left_by(&experiment, "sub")));
    assert!(why.contains("payloads were damaged"), "{why}");
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn subscribers_without_messages_are_a_lost_role() {
    let _turn = turn();
    let folder = folder_with(["ours", "ours"], &TRAFFIC.replace("qos = [0, 1]", "qos = [0]"));
    // Subscriptions to `t` are taken on, and nothing is delivered for them.
    let start = "printf 'topic write t\\ntopic readwrite playbook/#\\ntopic readwrite prober/#\\npattern readwrite #\\n' | \
                 sed '$d' >{config}/acl\nexec {exe} -c {config}/mosquitto.conf";
    let settings = "listener {port} {host}\nacl_file {config}/acl";
    std::fs::write(folder.path().join("deaf.toml"), target("deaf", start, settings)).expect("written");
    let output = run(folder.path(), "deaf.toml", &["--duration-scale", "0.2"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let why = reason(&experiment_dir(folder.path()), "deaf-1", "roles", "sub").expect("nothing was delivered");
    assert!(why.contains("received nothing"), "{why}");
}

/// A run under way.
struct Held {
    folder: tempfile::TempDir,
    runner: Child,
}

impl Held {
    fn begin(steps: &str) -> Self {
        let folder = folder_with(["ours", "ours"], steps);
        let log = std::fs::File::create(folder.path().join("runner.log")).expect("created");
        let mut command = playbook();
        command.args(["run", "--no-build", "--no-report", "small.toml", "--targets", "ours"]);
        let runner = command.current_dir(folder.path()).stdout(Stdio::null()).stderr(log).spawn();
        Self { folder, runner: runner.expect("the program starts") }
    }

    /// Waits for a mark of the only repeat.
    fn wait_for_mark(&mut self, phase: &str, edge: Edge) {
        wait_for(&format!("{phase} {edge:?}"), || {
            assert_eq!(self.runner.try_wait().expect("our own child"), None, "{}", self.said());
            is_begun(self.folder.path()) && {
                let events = Run::open(experiment_dir(self.folder.path()).join("ours-1")).events();
                events.is_ok_and(|events| events.value.iter().any(|e| e.name == phase && e.edge == Some(edge)))
            }
        });
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("runner.log")).unwrap_or_default()
    }

    /// A child of the runner by its program's name.
    fn child(&self, name: &str) -> Option<Pid> {
        let found = children(self.runner.id()).into_iter().find(|child| child.name == name);
        found.map(|child| Pid::from_raw(child.pid.cast_signed()))
    }

    fn reason(mut self, gate: &str, process: &str) -> Option<String> {
        let status = self.runner.wait().expect("our own child");
        assert!(matches!(status.code(), Some(0 | 3)), "{status}: {}", self.said());
        reason(&experiment_dir(self.folder.path()), "ours-1", gate, process)
    }
}

#[test]
fn a_collector_that_was_stopped_has_missed_its_ticks() {
    let mut held = Held::begin(&IDLE.replace("500ms", "4s"));
    held.wait_for_mark("measure", Edge::Begin);
    let collector = held.child("collector").expect("the broker's collector runs");
    kill(collector, Signal::SIGSTOP).expect("it lives");
    held.wait_for_mark("measure", Edge::End);
    kill(collector, Signal::SIGCONT).expect("it lives");
    let why = held.reason("ticks", "collect-broker").expect("no sample was made");
    assert!(why.contains("samples of the measure phase"), "{why}");
}

#[test]
fn a_prober_that_was_stopped_was_disturbed() {
    let steps = IDLE.replace("500ms", "3s").replace("idle", "probed") + PROBE;
    let mut held = Held::begin(&steps);
    held.wait_for_mark("measure", Edge::Begin);
    wait_for("a connected prober", || {
        let runs = discover(&[experiment_dir(held.folder.path())]).unwrap_or_default();
        let ready = |run: &Run| run.events().is_ok_and(|events| events.value.iter().any(|event| event.name == "ready"));
        runs.iter().any(|run| run.role == runlog::Role::Prober && ready(run))
    });
    let prober = held.child("prober").expect("the prober runs");
    kill(prober, Signal::SIGSTOP).expect("it lives");
    // So long that more than one probe in twenty is late, whatever else the machine does.
    std::thread::sleep(Duration::from_secs(2));
    kill(prober, Signal::SIGCONT).expect("it lives");
    let why = held.reason("prober", "probe").expect("its probes were late by its own fault");
    assert!(why.contains("its own delay"), "{why}");
}

const PROBE: &str = r#"
    [[step.load]]
    name = "probe"
    tool = "prober"
    start = "measure"
    ends = "by-itself"
    every = "10ms"
    args = ["-h", "{host}", "-p", "{port}", "-q", "0", "-n", "{count}", "-i", "{every_ms}"]
"#;

#[test]
fn memory_that_grows_is_no_steady_state() {
    let _turn = turn();
    // A session that takes nothing while 1,000 messages/s of 16 KiB wait for it without a limit.
    let steps = r#"
    [[step]]
    name = "grow-{mode}"
    purpose = "memory grows"
    matrix = { mode = ["MODE"] }
    ramp = "500ms"
    measure = "6s"
    steady = "MODE"
    [[step.load]]
    name = "slow"
    tool = "loadgen"
    connections = "1"
    pause = { at = "0s", for = "6s" }
    args = ["sub", "-h", "{host}", "-p", "{port}", "-c", "1", "-t", "t", "-q", "1", "--ifaddr", "{source}", "--expect", "connected>=1"]
    [[step.load]]
    name = "pub"
    tool = "loadgen"
    connections = "1"
    saturates = true
    args = ["pub", "-h", "{host}", "-p", "{port}", "-c", "1", "-t", "t", "-q", "1", "-F", "0", "-s", "16384", "-I", "1", "--ifaddr", "{source}"]
    "#;
    let both = steps.replace("MODE", "gate") + &steps.replace("MODE", "note");
    let folder = folder_with(["ours", "ours"], &both);
    let output = run(folder.path(), "mosquitto", &[]);
    let experiment = experiment_dir(folder.path());
    let why = reason(&experiment, "mosquitto-1", "steady", "").unwrap_or_else(|| panic!("{}", said(&output)));
    assert!(why.contains("rss_mib") && why.contains("moves"), "{why}");
    let remarks = events(&experiment, "mosquitto-1").into_iter().filter(|event| {
        event.name == "steady" && event.detail["step"] == "grow-note" && event.detail["passed"] == Value::Bool(true)
    });
    let remarks: Vec<Value> = remarks.map(|event| event.detail["remark"].clone()).collect();
    assert!(remarks.len() == 1 && remarks[0].as_str().is_some_and(|text| text.contains("rss_mib")), "{remarks:?}");
}

#[test]
fn declared_settings_that_are_not_observed_fail_the_point_before_it_begins() {
    let folder = folder_with(["ours", "ours"], IDLE);
    std::fs::write(folder.path().join("odd.toml"), "about = \"odd\"\n[sysctl]\n\"vm.swappiness\" = 12345\n")
        .expect("written");
    let path = folder.path().join("small.toml");
    let text = std::fs::read_to_string(&path).expect("written above");
    std::fs::write(&path, text.replace("repeats = 1", "repeats = 1\nprofiles = { sut = \"odd.toml\" }"))
        .expect("written");
    let output = run(folder.path(), "ours", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let why = reason(&experiment_dir(folder.path()), "ours-1", "manifest", "manifest-sut").expect("it is not so");
    assert!(why.contains("vm.swappiness is ") && why.contains("declared 12345"), "{why}");
}

#[test]
fn a_broker_with_other_limits_in_its_second_repeat_is_another_broker() {
    let folder = folder_with(["ours", "ours"], IDLE);
    let start = "echo once >>starts\nulimit -n $((1000 + $(wc -l <starts)))\nexec {exe} -c {config}/mosquitto.conf";
    std::fs::write(folder.path().join("moody.toml"), target("moody", start, "listener {port} {host}"))
        .expect("written");
    let output = run(folder.path(), "moody.toml", &["--repeats", "2"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let experiment = experiment_dir(folder.path());
    assert_eq!(reason(&experiment, "moody-1", "manifest", ""), None);
    let why = reason(&experiment, "moody-2", "manifest", "collect-broker").expect("it has changed");
    assert!(why.contains("Max open files is 1002") && why.contains("was 1001") && why.contains("moody #1"), "{why}");
}

#[test]
fn a_slate_that_is_not_clean_fails_the_point() {
    let folder = folder_with(["ours", "ours"], IDLE);
    let path = folder.path().join("small.toml");
    let text = std::fs::read_to_string(&path).expect("written above");
    let clean = "[clean]\ntime_wait_max = 0\nwait = \"200ms\"\n[collect]";
    std::fs::write(&path, text.replace("[collect]", clean)).expect("written");
    // Who closes first keeps the socket for a minute.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let mine = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (theirs, _) = listener.accept().expect("connected");
    drop(mine);
    drop(theirs);
    let output = run(folder.path(), "ours", &[]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let experiment = experiment_dir(folder.path());
    let why = reason(&experiment, "ours-1", "clean-slate", "sut").expect("a socket is left");
    assert!(why.contains("in TIME_WAIT"), "{why}");
    let evidence = events(&experiment, "ours-1").into_iter().find(|event| event.name == "clean-slate").expect("noted");
    assert!(evidence.detail["time_wait"].as_u64().is_some_and(|left| left > 0), "{}", evidence.detail);
}

#[test]
fn clients_that_leave_as_planned_are_no_failure() {
    let _turn = turn();
    let victims = r#"
    [[step.load]]
    name = "victims"
    tool = "loadgen"
    connections = "50"
    stop = "1s"
    args = ["conn", "-h", "{host}", "-p", "{port}", "-c", "50", "-R", "1000", "--crash", "--ifaddr", "{source}"]
"#;
    let steps = IDLE.replace("500ms", "3s").replace("idle", "crash") + victims + PROBE;
    let folder = folder_with(["ours", "ours"], &steps);
    let output = run(folder.path(), "mosquitto", &[]);
    let experiment = experiment_dir(folder.path());
    let events = events(&experiment, "mosquitto-1");
    let stopped = events.iter().find(|event| event.name == "load-stopped").expect("noted");
    assert_eq!(stopped.detail["process"], "victims");
    for gate in ["role-count", "exit", "alive", "summary"] {
        assert_eq!(reason(&experiment, "mosquitto-1", gate, ""), None, "{}", said(&output));
    }
}
