//! Real runs, shortened, against real brokers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use runlog::{Edge, EventKind, Summary, discover};
use serde_json::Value;

use crate::support::{
    IDLE, OF_THE_MACHINE, TRAFFIC, events, experiment_dir, folder_with, output, playbook, said, turn, wait_for,
};

#[test]
fn ours_against_mosquitto_ends_in_a_report() {
    let _turn = turn();
    let folder = folder_with(["ours", "mosquitto"], &format!("{IDLE}{TRAFFIC}"));
    let output = output(folder.path(), &["run", "--no-build", "small.toml", "--duration-scale", "0.4"]);
    // 3: some gate failed; the marks below say which, and only the one about time may.
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));

    let experiment = experiment_dir(folder.path());
    let page = experiment.join("report.html");
    let html = std::fs::read_to_string(&page).expect("the report");
    assert!(html.contains("<html") && html.contains("mosquitto"), "{} bytes of something else", html.len());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(stdout.lines().count() > 3, "the main table is printed:\n{stdout}");
    let last = stdout.lines().last().expect("lines");
    assert!(last.ends_with("report.html") && folder.path().join(last).is_file(), "the path comes last:\n{stdout}");
    assert!(runlog::read::plan(&experiment).expect("readable").is_some(), "the plan lies beside the results");

    for target_repeat in ["ours-1", "mosquitto-1"] {
        check_marks(&experiment, target_repeat);
    }
    check_runs(&experiment);
}

/// Each step's phases in order, begin before end, and no gate that failed.
fn check_marks(experiment: &Path, target_repeat: &str) {
    let events = events(experiment, target_repeat);
    let marks: Vec<(&str, Option<Edge>, &str)> = events
        .iter()
        .filter(|event| event.kind == EventKind::Phase)
        .map(|event| (event.name.as_str(), event.edge, event.detail["step"].as_str().expect("a step")))
        .collect();
    let mut expected = Vec::new();
    for step in ["idle", "fan-q0", "fan-q1"] {
        for phase in ["ramp", "settle", "measure", "drain"] {
            expected.extend([(phase, Some(Edge::Begin), step), (phase, Some(Edge::End), step)]);
        }
    }
    assert_eq!(marks, expected, "{target_repeat}");
    assert!(events.is_sorted_by_key(|event| event.mono_ns), "{target_repeat}");
    check_gates(experiment, target_repeat);
}

/// The gates were there, and none failed but those that depend on what else this machine does.
fn check_gates(experiment: &Path, target_repeat: &str) {
    let events = events(experiment, target_repeat);
    let gates: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Gate).collect();
    for name in ["smoke", "role-count", "payload", "roles", "ticks", "prober"] {
        assert!(gates.iter().any(|gate| gate.name == name), "{name} of {target_repeat}: {gates:?}");
    }
    let failed: Vec<_> = gates.iter().filter(|gate| gate.detail["passed"] != Value::Bool(true)).collect();
    assert!(failed.iter().all(|gate| OF_THE_MACHINE.contains(&gate.name.as_str())), "{target_repeat}: {failed:?}");
}

/// A broker collector per step; subscriber, publisher, its collector and the prober per traffic step; all with their
/// place in the experiment, and every message accounted for.
fn check_runs(experiment: &Path) {
    let runs = discover(&[experiment.to_path_buf()]).expect("readable");
    let tools = |tool: &str| runs.iter().filter(|run| run.meta.as_ref().is_some_and(|meta| meta.tool == tool)).count();
    assert_eq!((tools("collector"), tools("loadgen"), tools("prober")), (2 * (3 + 2), 2 * 4, 2 * 2));
    for run in &runs {
        let context = run.context.as_ref().unwrap_or_else(|| panic!("{} has a context", run.path.display()));
        assert!(experiment.ends_with(&context.experiment), "{context:?}");
        let summary = run.summary().expect("a whole summary").expect("a summary");
        match summary {
            Summary::Load(load) => {
                assert!(load.ok, "{}: {:?}", run.path.display(), load.failures);
                if let Some(receive) = &load.receive {
                    assert!(receive.delivered > 0, "{}", run.path.display());
                    let bad = (receive.lost, receive.duplicated, receive.corrupted);
                    assert_eq!(bad, (0, 0, 0), "{}", run.path.display());
                }
            }
            Summary::Probe(probe) => assert!(probe.ok && probe.received == probe.sent && probe.sent > 0, "{probe:?}"),
            Summary::Collect(collect) => assert!(collect.ok && collect.ticks > 0, "{collect:?}"),
            Summary::Other(other) => panic!("{}: {other}", run.path.display()),
        }
    }
}

#[test]
fn without_a_second_broker_it_is_a_control_and_says_so() {
    let folder = folder_with(["ours", "absent.toml"], IDLE);
    std::fs::write(folder.path().join("absent.toml"), target("absent", "no-such-broker-anywhere")).expect("written");
    let output = output(folder.path(), &["run", "--no-build", "--no-report", "small.toml"]);
    assert!(output.status.success(), "{}", said(&output));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("A/A control") && stderr.contains("absent"), "{stderr}");
    let experiment = experiment_dir(folder.path());
    for target_repeat in ["ours-1", "ours-control-1"] {
        assert!(!events(&experiment, target_repeat).is_empty());
    }
}

#[test]
fn broker_that_does_not_start_is_a_failed_point_and_the_run_goes_on() {
    let folder = folder_with(["broken.toml", "ours"], IDLE);
    std::fs::write(folder.path().join("broken.toml"), target("broken", "false")).expect("written");
    let output = output(folder.path(), &["run", "--no-build", "--no-report", "small.toml"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.lines().any(|line| line.contains("idle A broken #1") && line.contains("exit code 1")), "{stderr}");

    let experiment = experiment_dir(folder.path());
    let failed: Vec<_> = events(&experiment, "broken-1")
        .into_iter()
        .filter(|event| event.kind == EventKind::Gate && event.detail["passed"] == Value::Bool(false))
        .collect();
    assert!(failed.iter().any(|gate| gate.name == "alive"), "{failed:?}");
    let complete = events(&experiment, "ours-1");
    let ends = complete.iter().filter(|event| event.name == "drain" && event.edge == Some(Edge::End));
    assert_eq!(ends.count(), 1);
}

#[test]
fn absent_broker_without_control_is_an_error_that_says_how_to_get_it() {
    let folder = folder_with(["ours", "ours"], IDLE);
    let text = target("absent", "no-such-broker-anywhere") + "[[install]]\nwith = \"apt\"\npackages = [\"no-such\"]\n";
    std::fs::write(folder.path().join("absent.toml"), text).expect("written");
    let output = output(folder.path(), &["run", "--no-build", "small.toml", "--targets", "ours,absent.toml"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("not on this machine: absent") && stderr.contains("apt-get install no-such"), "{stderr}");
    assert!(!folder.path().join("runs").exists(), "nothing is begun");
}

fn target(name: &str, program: &str) -> String {
    format!(
        r#"
        name = "{name}"
        title = "A broker that is not one"
        sources = []
        [find]
        programs = ["{program}"]
        [version]
        args = []
        [start]
        args = []
        "#
    )
}

/// Stands in for brokers that no package registry here has: checks how it is started as the vendor's documents say, and
/// becomes a Mosquitto where it was told to listen, so that what follows is real.
const VENDOR_CHECK: &str = r#"#!/usr/bin/env python3
import os, re, sys, tempfile, xml.etree.ElementTree as xml
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
def listener(text, pattern):
    return re.search(pattern, text, re.S).groups()
def where():
    if name == "nanomq":
        assert args[:2] == ["start", "--conf"] and len(args) == 3, args
        text = open(args[2]).read()
        assert text.count("{") == text.count("}"), text
        return listener(text, r'listeners.tcp \{\s+bind = "([0-9.]+):([0-9]+)"')
    if name == "flashmq":
        assert args[0] == "--config-file" and len(args) == 2, args
        text = open(args[1]).read()
        assert re.search("^allow_anonymous true$", text, re.M), text
        return listener(text, r"listen \{.*inet4_bind_address ([0-9.]+)\s+port ([0-9]+)\s+\}")
    if name == "ApexMQTT":
        assert args == [], args
        return listener(open("conf.yml").read(), r'\nhost: "([0-9.]+):([0-9]+)"')
    if name == "run.sh":
        folder = os.environ["HIVEMQ_CONFIG_FOLDER"]
        assert os.path.isdir(os.environ["HIVEMQ_DATA_FOLDER"]) and os.path.isdir(os.environ["HIVEMQ_LOG_FOLDER"])
        tcp = xml.parse(os.path.join(folder, "config.xml")).getroot().find("listeners/tcp-listener")
        return tcp.find("bind-address").text, tcp.find("port").text
    if name == "vernemq":
        assert args == ["console", "-noshell", "-noinput"], args
        text = open("/etc/vernemq/vernemq.conf").read()
        assert all(re.fullmatch(r"[a-z_.]+ = \S+|#.*|", line) for line in text.splitlines()), text
        assert os.access("/var/lib/vernemq", os.W_OK) and "accept_eula = yes" in text, text
        return listener(text, r"listener.tcp.default = ([0-9.]+):([0-9]+)")
    assert name == "emqx" and args == ["foreground"], (name, args)
    assert os.environ["EMQX_LISTENERS__WS__DEFAULT__ENABLE"] == "false"
    return os.environ["EMQX_LISTENERS__TCP__DEFAULT__BIND"].split(":")
if args == ["--version"]:
    print(name, "0.0.0"); sys.exit()
host, port = where()
config = tempfile.NamedTemporaryFile("w", suffix=".conf", dir=os.getcwd(), delete=False)
config.write(f"listener {port} {host}\nallow_anonymous true\nuser root\nmax_inflight_messages 0\n"); config.close()
os.environ["PATH"] += ":/usr/sbin:/usr/local/sbin"
os.execvp("mosquitto", ["mosquitto", "-c", config.name])
"#;

/// A folder with a stand-in of this name in `bin`, and what it is called in PATH.
fn stand_in(target: &str, program: &str) -> (tempfile::TempDir, std::ffi::OsString) {
    let folder = folder_with(["ours", target], IDLE);
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).expect("made");
    let path = programs.join(program);
    std::fs::write(&path, VENDOR_CHECK).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    let before = std::env::var_os("PATH").expect("there is a PATH");
    let all = std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&before)));
    (folder, all.expect("no colon in it"))
}

#[test]
fn targets_that_are_not_here_are_started_as_their_vendors_say() {
    let pairs = [("emqx", "emqx"), ("nanomq", "nanomq"), ("flashmq", "flashmq")];
    let pairs = pairs
        .into_iter()
        .flat_map(|(name, program)| [name.to_owned(), format!("{name}-default")].map(|name| (name, program)));
    for (target, program) in pairs.chain([("apexmqtt".to_owned(), "ApexMQTT")]) {
        let (folder, path) = stand_in(&target, program);
        let mut command = playbook();
        command.args(["run", "--no-build", "--no-report", "small.toml", "--targets", &target]).env("PATH", path);
        let output = command.current_dir(folder.path()).output().expect("the program starts");
        assert!(output.status.success(), "{target}: {}", said(&output));
    }
}

#[test]
fn hivemq_finds_its_folders() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("targets");
    for target in ["hivemq-ce", "hivemq-ce-default"] {
        let (folder, path) = stand_in(target, "run.sh");
        let text = std::fs::read_to_string(shipped.join(format!("{target}.toml"))).expect("shipped");
        let home = folder.path().join("bin").display().to_string();
        std::fs::write(folder.path().join("here.toml"), text.replace("/opt/hivemq/bin", &home)).expect("written");
        let mut command = playbook();
        command.args(["run", "--no-build", "--no-report", "small.toml", "--targets", "here.toml"]).env("PATH", path);
        let output = command.current_dir(folder.path()).output().expect("the program starts");
        assert!(output.status.success(), "{target}: {}", said(&output));
    }
}

/// In a mount namespace in which VerneMQ looks as installed: its folders lie in a layer that goes with the namespace.
#[test]
fn vernemq_reads_our_configuration_where_it_looks_for_its_own() {
    if !nix::unistd::Uid::effective().is_root() {
        eprintln!("skipped: not root, so no namespaces");
        return;
    }
    for target in ["vernemq", "vernemq-default"] {
        let (folder, path) = stand_in(target, "vernemq");
        let installed = r#"
            set -e
            mount -t tmpfs layer /mnt
            for place in etc var/lib var/log; do
                mkdir -p "/mnt/$place/up" "/mnt/$place/work"
                mount -t overlay layer -o "lowerdir=/$place,upperdir=/mnt/$place/up,workdir=/mnt/$place/work" "/$place"
            done
            mkdir -p /etc/vernemq /var/lib/vernemq /var/log/vernemq
            echo 'accept_eula = yes' >/etc/vernemq/vernemq.conf
            exec "$@"
        "#;
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", installed, "sh", env!("CARGO_BIN_EXE_playbook")]);
        command.args(["run", "--no-build", "--no-report", "small.toml", "--targets", target]).env("PATH", path);
        let output = command.current_dir(folder.path()).output().expect("unshare starts");
        assert!(output.status.success(), "{target}: {}", said(&output));
        assert!(!Path::new("/etc/vernemq").exists(), "nothing of it is left outside");
    }
}

#[test]
fn a_broker_that_runs_already_is_measured_and_left_alone() {
    let _turn = turn();
    let folder = folder_with(["ours", "ours"], &TRAFFIC.replace("qos = [0, 1]", "qos = [0]"));
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("bound").port();
    drop(free);
    let config = folder.path().join("mosquitto.conf");
    std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).expect("written");
    let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let mut broker = Command::new(program)
        .arg("-c")
        .arg(&config)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("mosquitto starts");
    wait_for("mosquitto", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let target = format!("external@127.0.0.1:{port}");
    let args = ["run", "--no-build", "small.toml", "--duration-scale", "0.3", "--targets", &target];
    let output = output(folder.path(), &args);
    assert_eq!(broker.try_wait().expect("our own child"), None, "it still runs");
    broker.kill().expect("it lives");
    broker.wait().expect("our own child");
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    assert!(
        said(&output).contains("neither") || said(&output).contains("one broker process serves every step"),
        "{}",
        said(&output)
    );
    let experiment = experiment_dir(folder.path());
    check_gates(&experiment, "external-1");
    let runs = discover(&[experiment]).expect("readable");
    let of_broker = runs.iter().filter_map(|run| run.meta.as_ref()?.process.as_ref());
    assert!(of_broker.into_iter().any(|process| process.pid == broker.id()), "the collector found its process");
}

/// What `playbook plan --format sh` prints, followed to the end by a shell: every tool is ready when it should be, ends when it
/// should, and leaves a run that its own summary calls good.
#[test]
fn the_script_does_by_itself_what_the_runner_does() {
    let _turn = turn();
    let folder = folder_with(["ours", "mosquitto"], TRAFFIC);
    let planned = output(folder.path(), &["plan", "small.toml", "--format", "sh", "--duration-scale", "0.2"]);
    assert!(planned.status.success(), "{}", said(&planned));
    std::fs::write(folder.path().join("small.sh"), &planned.stdout).expect("written");
    let followed = Command::new("sh").arg("small.sh").current_dir(folder.path()).output().expect("there is a shell");
    assert!(followed.status.success(), "{}", said(&followed));
    assert!(!said(&followed).contains("ended with"), "a probe failed: {}", said(&followed));

    let runs = discover(&[experiment_dir(folder.path())]).expect("readable");
    assert_eq!(runs.len(), 2 * 2 * 5, "a collector for broker and publisher, three loads, in each of four steps");
    for run in &runs {
        match run.summary().expect("a whole summary").expect("a summary") {
            Summary::Load(load) => {
                assert!(load.ok, "{}: {:?}", run.path.display(), load.failures);
                assert!(load.receive.is_none_or(|receive| receive.delivered > 0 && receive.lost == 0));
            }
            Summary::Probe(probe) => assert!(probe.received == probe.sent && probe.sent > 0, "{probe:?}"),
            Summary::Collect(collect) => assert!(collect.ticks > 0, "{collect:?}"),
            Summary::Other(other) => panic!("{}: {other}", run.path.display()),
        }
    }
}
