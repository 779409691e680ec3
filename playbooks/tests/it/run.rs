//! Real runs, shortened, against real brokers.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use runlog::{Edge, EventKind, Summary, discover};
use serde_json::Value;

use crate::support::{IDLE, TRAFFIC, events, experiment_dir, folder_with, output, playbook, said, turn};

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
    let gates: Vec<_> = events.iter().filter(|event| event.kind == EventKind::Gate).collect();
    assert!(gates.iter().any(|gate| gate.name == "role-count"), "{target_repeat}: {gates:?}");
    // Whether the generator kept its plan depends on what else this machine does.
    let failed: Vec<_> = gates.iter().filter(|gate| gate.detail["passed"] != Value::Bool(true)).collect();
    assert!(failed.iter().all(|gate| gate.name == "generator"), "{target_repeat}: {failed:?}");
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
    let _turn = turn();
    let folder = folder_with(["ours", "absent.toml"], IDLE);
    std::fs::write(folder.path().join("absent.toml"), target("absent", "no-such-broker-anywhere")).expect("written");
    let output = output(folder.path(), &["run", "--no-build", "small.toml"]);
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
    let _turn = turn();
    let folder = folder_with(["broken.toml", "ours"], IDLE);
    std::fs::write(folder.path().join("broken.toml"), target("broken", "false")).expect("written");
    let output = output(folder.path(), &["run", "--no-build", "small.toml"]);
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
/// accepts connections where it was told to.
const VENDOR_CHECK: &str = r#"#!/usr/bin/env python3
import os, re, signal, socket, sys
name, args = os.path.basename(sys.argv[0]), sys.argv[1:]
def where():
    if name == "nanomq":
        assert args[:2] == ["start", "--conf"] and len(args) == 3, args
        text = open(args[2]).read()
        assert text.count("{") == text.count("}") == 2, text
        return re.search(r'listeners.tcp \{\s+bind = "([0-9.]+):([0-9]+)"', text).groups()
    assert name == "emqx" and args == ["foreground"], (name, args)
    assert os.environ["EMQX_LISTENERS__WS__DEFAULT__ENABLE"] == "false"
    return os.environ["EMQX_LISTENERS__TCP__DEFAULT__BIND"].split(":")
if args == ["--version"]:
    print(name, "0.0.0"); sys.exit()
host, port = where()
listener = socket.create_server((host, int(port)))
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
held = []
while True:
    held.append(listener.accept())
"#;

#[test]
fn targets_that_are_not_here_are_started_as_their_vendors_say() {
    let _turn = turn();
    for target in ["emqx", "nanomq"] {
        let folder = folder_with(["ours", target], IDLE);
        let programs = folder.path().join("bin");
        std::fs::create_dir(&programs).expect("made");
        let program = programs.join(target);
        std::fs::write(&program, VENDOR_CHECK).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("made executable");
        let path = std::env::join_paths(
            [programs].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").expect("there is a PATH"))),
        );
        let mut command = playbook();
        command.args(["run", "--no-build", "small.toml"]).env("PATH", path.expect("no colon in it"));
        let output = command.current_dir(folder.path()).output().expect("the program starts");
        assert!(output.status.success(), "{target}: {}", said(&output));
    }
}
