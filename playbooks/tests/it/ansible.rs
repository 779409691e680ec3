//! Runs on hosts over SSH, prepared by Ansible. These tests need root, OpenSSH and ansible-core; elsewhere they say so and end.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::{Edge, Event, EventKind, Run, Summary, discover};
use serde_json::Value;

use crate::sshlab::{SshLab, can_run, has_time_namespaces};
use crate::support::{OF_THE_MACHINE, TRAFFIC, events, experiment_dir, folder_with, said, turn, wait_for};

/// Four hosts; the second tester's clock is ahead by this, where the kernel can do that.
const AHEAD_S: u64 = 1_000;
const HOSTS: [&str; 4] = ["sut1", "tester1", "tester2", "prober1"];

/// Of each host's network, so that the machine's own stay as they are.
const PROFILE: &str =
    "[sysctl]\n\"net.core.somaxconn\" = \"4321\"\n\"net.ipv4.ip_local_port_range\" = \"2048 65000\"\n";

fn inventory(folder: &Path, port_of_tester2: u16) -> String {
    let host = |number: usize, more: &str| {
        let (name, last) = (HOSTS[number], number + 1);
        format!("        {name}: {{ansible_host: 10.78.0.{last}, lab_folder: {}/{name}/lab{more}}}\n", folder.display())
    };
    let tester1 = host(1, ", lab_secondary: [10.78.0.21, 10.78.0.22]");
    let tester2 = host(2, &format!(", lab_secondary: [10.78.0.31], ansible_port: {port_of_tester2}"));
    let python = python();
    format!(
        "all:\n  vars:\n    ansible_user: root\n    ansible_python_interpreter: {python}\n    ansible_ssh_private_key_file: \"{{{{ inventory_dir }}}}/key\"\n    \
         ansible_ssh_common_args: \"-o UserKnownHostsFile={{{{ inventory_dir }}}}/known_hosts -o StrictHostKeyChecking=yes \
         -o IdentitiesOnly=yes\"\n    lab_profile: \"{{{{ inventory_dir }}}}/profile.toml\"\n  children:\n    \
         sut:\n      hosts:\n{}    tester:\n      hosts:\n{tester1}{tester2}    prober:\n      hosts:\n{}",
        host(0, ""),
        host(3, ""),
    )
}

/// One step of a little traffic, with time for a loaded machine to start four tools at once.
fn small_traffic() -> String {
    TRAFFIC.replace("qos = [0, 1]", "qos = [1]").replace("ramp = \"500ms\"", "ramp = \"15s\"")
}

/// The program behind `python3`, which may be a wrapper that needs this environment.
fn python() -> String {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
    String::from_utf8_lossy(&output.expect("ansible-core came with it").stdout).trim().to_owned()
}

/// The runner, started where the hosts can be reached.
fn runner(lab: &SshLab, folder: &Path, args: &[&str]) -> Child {
    let log = fs::File::create(folder.join("runner.log")).expect("created");
    let mut command = lab.command(env!("CARGO_BIN_EXE_playbook"));
    command.args(["run", "small.toml", "--no-build", "--in", "ansible", "--inventory"]).args(args);
    command.stdout(log.try_clone().expect("a file")).stderr(log).spawn().expect("nsenter starts")
}

fn finish(runner: Child, folder: &Path) -> Output {
    let status = runner.wait_with_output().expect("our own child").status;
    Output { status, stdout: Vec::new(), stderr: fs::read(folder.join("runner.log")).expect("a log") }
}

fn as_found(lab: &SshLab) -> bool {
    lab.hosts.iter().all(|host| {
        host.sysctl("net/core/somaxconn") != "4321"
            && host.sysctl("net/ipv4/ip_local_port_range") != "2048 65000"
            && host.addresses().len() == 1
    })
}

#[test]
fn testers_share_a_load_and_a_killed_runner_leaves_nothing_on_any_host() {
    if !can_run() {
        return;
    }
    let _turn = turn();
    let ahead_s = if has_time_namespaces() { AHEAD_S } else { 0 };
    if ahead_s == 0 {
        eprintln!("skipped in part: no time namespaces, so all clocks are one");
    }
    let folder = folder_with(["ours", "mosquitto"], &small_traffic());
    let path = folder.path();
    fs::write(path.join("profile.toml"), PROFILE).expect("written");
    fs::write(path.join("inventory.yml"), inventory(path, 22)).expect("written");
    fs::write(path.join("wrong-port.yml"), inventory(path, 2)).expect("written");
    let lab = SshLab::start(path, &HOSTS.map(|name| (name, if name == "tester2" { ahead_s } else { 0 })));
    let before: Vec<String> = lab.hosts.iter().map(|host| host.sysctl("net/core/somaxconn")).collect();

    unreachable_and_incomplete_hosts_are_named(&lab, path);
    assert!(as_found(&lab));

    // Killed in the measure phase of the second step: the first is done, and kept.
    let mut killed = runner(&lab, path, &["inventory.yml"]);
    wait_for("the second step to be measured", || {
        let ended = killed.try_wait().expect("our own child");
        assert_eq!(ended, None, "{}", fs::read_to_string(path.join("runner.log")).unwrap_or_default());
        path.join("runs").is_dir() && is_measured(&experiment_dir(path).join("mosquitto-1"), Edge::Begin)
    });
    assert_eq!(lab.host("sut1").sysctl("net/core/somaxconn"), "4321", "the hosts are tuned");
    assert_eq!(lab.host("tester1").addresses().len(), 3, "further addresses are bound");
    let busy = lab.host("tester2").programs();
    assert!(busy.iter().filter(|name| *name == "loadgen").count() >= 2, "{busy:?}");
    kill(Pid::from_raw(killed.id().cast_signed()), Signal::SIGKILL).expect("the runner lives");
    killed.wait().expect("our own child");
    wait_for("every process of the run to be gone from every host", || {
        lab.hosts.iter().all(|host| host.programs().is_empty())
    });
    assert!(as_found(&lab), "the agents set the hosts back");
    let kept = experiment_dir(path);

    let output = finish(runner(&lab, path, &["inventory.yml"]), path);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    assert!(said(&output).contains("going on with"), "{}", said(&output));
    assert_eq!(experiment_dir(path), kept, "the run was gone on with");
    assert!(as_found(&lab), "Ansible set the hosts back");
    let after: Vec<String> = lab.hosts.iter().map(|host| host.sysctl("net/core/somaxconn")).collect();
    assert_eq!(after, before);
    wait_for("Ansible's sessions to end", || lab.hosts.iter().all(|host| host.programs().is_empty()));
    assert!(kept.join("report.html").is_file(), "{}", said(&output));
    for target_repeat in ["ours-1", "mosquitto-1"] {
        results_are_whole(&kept, target_repeat);
        clocks_are_known(&kept, target_repeat, ahead_s);
    }
    let table = said(&output);
    let delivered = table.lines().find(|line| line.to_lowercase().contains("delivered")).expect("a line of the table");
    assert!(delivered.chars().any(|c| c.is_ascii_digit()), "{table}");

    a_broker_that_runs_already_on_a_host_is_measured_and_left_alone(&lab, path);
    assert!(as_found(&lab));
}

fn a_broker_that_runs_already_on_a_host_is_measured_and_left_alone(lab: &SshLab, path: &Path) {
    let config = path.join("runs-already.conf");
    fs::write(&config, "listener 1883 10.78.0.1\nallow_anonymous true\nuser root\n").expect("written");
    let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
    let sut = lab.host("sut1");
    let mut broker = sut.start(program, &["-c", config.to_str().expect("a plain path")]);
    wait_for("mosquitto", || lab.accepts(([10, 78, 0, 1], 1883).into()));
    let args = ["inventory.yml", "--targets", "external@10.78.0.1:1883", "--out", "external/runs"];
    let output = finish(runner(lab, path, &args), path);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", said(&output));
    assert!(sut.programs().iter().any(|name| name == "mosquitto"), "it still runs: {}", said(&output));
    let experiment = experiment_dir(&path.join("external"));
    results_are_whole(&experiment, "external-1");
    let runs = discover(&[experiment.join("external-1").join("sut1")]).expect("readable");
    let of_broker = runs.iter().filter_map(|run| run.meta.as_ref()?.process.as_ref()?.exe.clone());
    assert!(of_broker.into_iter().any(|exe| exe.ends_with("mosquitto")), "the collector found its process");
    broker.kill().expect("it lives");
    broker.wait().expect("our own child");
}

fn unreachable_and_incomplete_hosts_are_named(lab: &SshLab, path: &Path) {
    let output = finish(runner(lab, path, &["wrong-port.yml"]), path);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("tester2") && text.contains("port 2: Connection refused"), "{text}");
    assert!(text.contains("a host cannot be reached"), "{text}");

    let target = "name = \"absent\"\ntitle = \"Absent\"\nsources = []\n[find]\nprograms = [\"no-such-broker\"]\n[version]\nargs = []\n[start]\nargs = []\n";
    fs::write(path.join("absent.toml"), target).expect("written");
    let output = finish(runner(lab, path, &["inventory.yml", "--targets", "absent.toml"]), path);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("not on sut1: absent"), "{}", said(&output));
    assert!(!path.join("runs").exists(), "nothing was begun");
}

fn is_measured(dir: &Path, edge: Edge) -> bool {
    let events = Run::open(dir).events();
    events.is_ok_and(|events| events.value.iter().any(|event| event.name == "measure" && event.edge == Some(edge)))
}

fn measured(events: &[Event], edge: Edge) -> &Event {
    let of_edge =
        |event: &&Event| event.kind == EventKind::Phase && event.name == "measure" && event.edge == Some(edge);
    events.iter().rev().find(of_edge).expect("a mark")
}

/// Every host's runs came home: both testers carried their part of each load, and every host was watched.
fn results_are_whole(experiment: &Path, target_repeat: &str) {
    let gates = events(experiment, target_repeat).into_iter().filter(|event| event.kind == EventKind::Gate);
    let failed: Vec<_> = gates.filter(|gate| gate.detail["passed"] != Value::Bool(true)).collect();
    assert!(failed.iter().all(|gate| OF_THE_MACHINE.contains(&gate.name.as_str())), "{target_repeat}: {failed:?}");
    let runs = discover(&[experiment.join(target_repeat)]).expect("readable");
    let mut clients = Vec::new();
    let mut sources = Vec::new();
    for host in HOSTS {
        let of_host: Vec<&Run> =
            runs.iter().filter(|run| run.path.parent().is_some_and(|dir| dir.ends_with(host))).collect();
        let tools = |tool: &'static str| {
            of_host.iter().filter(move |run| run.meta.as_ref().is_some_and(|meta| meta.tool == tool))
        };
        assert!(tools("collector").count() >= 1, "{host} was watched");
        let mine = |run: &&Run| run.context.as_ref().and_then(|context| context.host.as_deref()) == Some(host);
        assert!(of_host.iter().all(mine), "every run names its host");
        for run in tools("loadgen") {
            let Ok(Some(Summary::Load(summary))) = run.summary() else {
                panic!("{} has no summary", run.path.display())
            };
            clients.push((summary.mode.clone(), summary.connect.succeeded));
            sources.push(run.meta.as_ref().map(|meta| meta.config["ifaddrs"].to_string()));
            if let Some(receive) = &summary.receive {
                assert!(receive.delivered > 0 && receive.lost == 0, "{receive:?}");
                assert!(receive.latency_us.count > 0, "its own part's messages are timed");
                assert!(receive.latency_us.max.is_some_and(|max| max < 60e6), "by one clock: {receive:?}");
            }
        }
    }
    clients.sort();
    let wanted = [("pub", 1), ("pub", 1), ("sub", 2), ("sub", 3)].map(|(mode, count)| (mode.to_owned(), count));
    assert_eq!(clients, wanted, "{target_repeat}");
    sources.sort();
    sources.dedup();
    assert_eq!(sources.len(), 2, "each tester has addresses of its own: {sources:?}");
}

/// All hosts share this machine's clocks, except where a time namespace moves them by a known amount: the measured offsets are
/// right within their bounds, and so are the marks.
fn clocks_are_known(experiment: &Path, target_repeat: &str, ahead_s: u64) {
    let ours = events(experiment, target_repeat);
    for host in HOSTS {
        let truth = if host == "tester2" { ahead_s as i64 * 1_000_000_000 } else { 0 };
        let offsets: Vec<&Event> =
            ours.iter().filter(|event| event.name == "clock-offset" && event.detail["host"] == host).collect();
        assert_eq!(offsets.len(), 2, "before and after, {host}");
        let mut bound = 0;
        for event in offsets {
            let measured = event.detail["mono_offset_ns"].as_i64().expect("a number");
            let within = event.detail["bound_ns"].as_u64().expect("a number");
            assert!(measured.abs_diff(truth) <= within, "{host}: {measured} is not {truth} within {within}");
            bound = bound.max(within);
        }
        let theirs = events(experiment, &format!("{target_repeat}/{host}"));
        for edge in [Edge::Begin, Edge::End] {
            let moved = measured(&theirs, edge).mono_ns as i64 - measured(&ours, edge).mono_ns as i64;
            assert!(moved.abs_diff(truth) <= bound, "{host}: {moved} is not {truth} within {bound}");
        }
    }
    let runs = discover(&[experiment.join(target_repeat).join("tester2")]).expect("readable");
    for run in runs {
        let clock = run.context.as_ref().and_then(|context| context.clock).expect("the offset is in the metadata");
        assert!(clock.mono_ns.abs_diff(ahead_s as i64 * 1_000_000_000) <= clock.bound_ns, "{clock:?}");
    }
}

#[test]
fn a_plan_is_made_from_the_inventory_alone() {
    if !can_run() {
        return;
    }
    let folder = folder_with(["ours", "ours"], TRAFFIC);
    let path = folder.path();
    fs::write(path.join("inventory.yml"), inventory(path, 22)).expect("written");
    let mut command = crate::support::playbook();
    command.args(["plan", "small.toml", "--in", "ansible", "--inventory", "inventory.yml"]).current_dir(path);
    let output = command.stderr(Stdio::piped()).output().expect("the program starts");
    let plan = crate::support::json(&output);
    let names: Vec<&str> =
        plan["hosts"].as_array().expect("hosts").iter().filter_map(|host| host["name"].as_str()).collect();
    assert_eq!(names, HOSTS);
    let processes = plan["steps"][0]["processes"].as_array().expect("processes");
    let of = |load: &'static str| {
        processes.iter().filter(move |process| process["name"].as_str().is_some_and(|name| name.starts_with(load)))
    };
    let shares: Vec<&Value> = of("sub-").map(|process| &process["connections"]).collect();
    assert_eq!(shares, [&Value::from(2), &Value::from(3)], "five subscribers on two hosts");
    let argv: Vec<String> = of("sub-tester2").map(|process| process["argv"].to_string()).collect();
    assert!(argv[0].contains("--part\",\"2/2") && argv[0].contains("10.78.0.31"), "{argv:?}");
}
