//! The shape of the quickstart's plan.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use runlog::Context;
use serde_json::Value;

use crate::support::{json, output, playbook, said};

fn quickstart(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let all: Vec<&str> =
        ["plan", "quickstart", "--targets", "ours,mosquitto"].into_iter().chain(args.iter().copied()).collect();
    json(&output(folder.path(), &all))
}

fn steps(plan: &Value) -> &Vec<Value> {
    plan["steps"].as_array().expect("a plan has steps")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is text in {value}"))
}

#[test]
fn steps_are_interleaved() {
    let plan = quickstart(&[]);
    let order: Vec<String> = steps(&plan)
        .iter()
        .map(|step| format!("{}{} {}", text(step, "label"), step["repeat"], text(step, "step")))
        .collect();
    // What RLIMIT_NOFILE allows, where that is less than what is asked.
    let fits = |asked: u64| asked.min(plan["files_max"].as_u64().expect("a number") - 500);
    let mut ramps: Vec<u64> = [1_000, 5_000, 10_000].map(fits).into();
    ramps.dedup();
    let mut names = vec!["idle".to_owned()];
    names.extend(ramps.iter().map(|clients| format!("ramp-{clients}")));
    names.push(format!("latency-{}", fits(10_000)));
    names.extend(["fan-q0", "fan-q1", "fan-q2", "nn-q0"].map(str::to_owned));
    let turns = |repeat: usize, labels: [&str; 2]| {
        let pairs = names.iter().flat_map(move |name| labels.map(|label| format!("{label}{repeat} {name}")));
        pairs.collect::<Vec<_>>()
    };
    let expected: Vec<String> = turns(1, ["A", "B"]).into_iter().chain(turns(2, ["B", "A"])).collect();
    assert_eq!(order, expected);
}

#[test]
fn forms_for_people_hold_every_command() {
    let args = ["plan", "quickstart", "--targets", "ours,mosquitto", "--repeats", "1", "--format"];
    let print = |format| {
        let output = output(Path::new("."), &[&args[..], &[format]].concat());
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let (md, sh) = (print("md"), print("sh"));
    for text in [&md, &sh] {
        assert!(text.contains("--ifaddr") && text.contains("${PID_broker}") && text.contains("listener "), "{text}");
        assert!(!text.contains("${PID:"), "{text}");
    }
    let mut shell =
        Command::new("sh").args(["-n", "/dev/stdin"]).stdin(Stdio::piped()).spawn().expect("there is a shell");
    shell.stdin.take().expect("piped").write_all(sh.as_bytes()).expect("the shell reads");
    assert!(shell.wait().expect("our own child").success(), "not a script:\n{sh}");
}

#[test]
fn it_fits_into_four_minutes() {
    let plan = quickstart(&[]);
    let phases = steps(&plan).iter().flat_map(|step| step["phases"].as_array().expect("a step has phases"));
    let phases_s = phases.map(|phase| phase["expected_ms"].as_u64().expect("a number")).sum::<u64>() as f64 / 1e3;
    let expected_s = plan["expected_s"].as_f64().expect("a number");
    assert!(expected_s > phases_s, "starting and stopping takes time too: {expected_s} against {phases_s}");
    assert!(expected_s < 220.0, "{expected_s} s leaves too little of 240 s for surprises");

    let half = quickstart(&["--repeats", "1"])["expected_s"].as_f64().expect("a number");
    assert!((half * 2.0 - expected_s).abs() < 0.01, "{half} is half of {expected_s}");
    let scaled = quickstart(&["--duration-scale", "0.1"])["expected_s"].as_f64().expect("a number");
    assert!(scaled < expected_s * 0.7, "{scaled} against {expected_s}");
}

#[test]
fn each_step_has_a_broker_and_places_of_its_own() {
    let plan = quickstart(&[]);
    let mut addresses = BTreeSet::new();
    let mut sources: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, step) in steps(&plan).iter().enumerate() {
        assert!(addresses.insert(text(&step["broker"], "address")), "two brokers share an address");
        for argv in step["processes"].as_array().expect("processes").iter().map(|process| process["argv"].as_array()) {
            let argv: Vec<&str> = argv.expect("a command").iter().filter_map(Value::as_str).collect();
            if let Some(at) = argv.iter().position(|arg| *arg == "--ifaddr") {
                assert_eq!(*sources.entry(argv[at + 1]).or_insert(index), index, "two steps share a source address");
            }
        }
    }
}

#[test]
fn every_command_is_complete() {
    let plan = quickstart(&[]);
    for step in steps(&plan) {
        let processes = step["processes"].as_array().expect("processes");
        let mut commands: Vec<&Value> = processes.iter().map(|process| &process["argv"]).collect();
        commands.push(&step["broker"]["argv"]);
        for word in commands.iter().flat_map(|argv| argv.as_array().expect("a command")) {
            let word = word.as_str().expect("words are text");
            let known = word.replace("${UTC}", "").replace("${PID:broker}", "").replace("${PID:pub}", "");
            assert!(!known.contains('{') && !known.contains('}'), "{word} is left open");
        }
        assert!(text(&processes[0], "name") == "collect-broker", "the broker is collected from the first moment");
    }
}

#[test]
fn tools_learn_where_their_run_belongs() {
    let plan = quickstart(&[]);
    for step in steps(&plan) {
        let context: Context = serde_json::from_str(text(&step["env"], Context::VARIABLE)).expect("a context");
        assert_eq!(context.experiment, text(&plan, "experiment"));
        assert_eq!(context.target, text(step, "target"));
        assert_eq!(context.label, text(step, "label"));
        assert_eq!(context.step, text(step, "step"));
        assert_eq!(u64::from(context.repeat), step["repeat"].as_u64().expect("a number"));
        assert!(text(step, "dir").ends_with(&format!("{}/{}-{}", context.experiment, context.target, context.repeat)));
    }
}

#[test]
fn mosquitto_is_started_without_artificial_limits() {
    let plan = quickstart(&[]);
    let of_mosquitto = steps(&plan).iter().find(|step| text(step, "target") == "mosquitto").expect("B is mosquitto");
    let broker = &of_mosquitto["broker"];
    let file = &broker["files"][0];
    let config = text(file, "text");
    let port = text(broker, "address").rsplit(':').next().expect("host:port");
    for line in [
        &format!("listener {port} 127.0.0.1"),
        "max_connections -1",
        "max_inflight_messages 0",
        "max_queued_messages 0",
    ] {
        assert!(config.lines().any(|have| have == line), "{line} in\n{config}");
    }
    assert!(broker["argv"].as_array().expect("a command").contains(&file["path"]));
    let sources = plan["targets"][1]["sources"].as_array().expect("sources");
    assert!(sources.iter().any(|source| source.as_str().is_some_and(|source| source.contains("mosquitto-conf"))));
}

#[test]
fn script_is_refused_for_several_hosts_with_what_to_use_instead() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = output(folder.path(), &["plan", "quickstart", "--in", "netns", "--targets", "ours", "--format", "sh"]);
    let said = said(&output);
    assert!(!output.status.success() && output.stdout.is_empty(), "{said}");
    assert!(said.contains("sut, tester, prober") && said.contains("--format md"), "{said}");
}

#[test]
fn reader_of_the_output_may_go() {
    for arguments in [&["list"][..], &["plan", "quickstart", "--targets", "ours"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = playbook().args(arguments).stdout(writer).output().expect("the program starts");
        assert!(output.status.success(), "{}", said(&output));
        assert!(output.stderr.is_empty(), "{}", said(&output));
    }
}

fn planned(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    json(&output(folder.path(), &[&["plan", "--targets", "ours"], args].concat()))
}

fn argument<'a>(process: &'a Value, flag: &str) -> &'a str {
    let argv = process["argv"].as_array().expect("a command");
    let at = argv.iter().position(|word| word == flag).unwrap_or_else(|| panic!("{flag} in {process}"));
    argv[at + 1].as_str().expect("text")
}

#[test]
fn the_runbook_says_what_is_done_in_the_course_of_a_phase() {
    let print = |name: &str, format: &str| {
        let output = output(Path::new("."), &["plan", name, "--targets", "ours", "--repeats", "1", "--format", format]);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("text")
    };
    let (md, sh) = (print("robustness", "md"), print("robustness", "sh"));
    for (asked, done) in [
        ("10 s after its begin, send SIGTERM to `victims`.", "sleep 10\nkill -TERM \"$PID_victims\"\nsleep 30\n"),
        (
            "30 s after its begin, send SIGCONT to `slow`.",
            "kill -STOP \"$PID_slow\"\nsleep 20\nkill -CONT \"$PID_slow\"\n",
        ),
        ("until `probe` has ended by itself.", "wait \"$PID_probe\" ||"),
        ("stop `pub` with SIGTERM.", "stop \"$PID_pub\"\nsleep 5\nstop_all\n"),
    ] {
        assert!(md.contains(asked), "{asked} in\n{md}");
        assert!(sh.contains(done), "{done} in\n{sh}");
    }
    let work = print("mqttx-bench", "sh");
    assert!(work.contains("sleep 30\nwait \"$PID_pub\""), "the work is waited for:\n{work}");
}

#[test]
fn a_set_amount_of_work_has_the_time_of_a_full_phase_in_a_short_one() {
    let limits = |args: &[&str]| -> Vec<u64> {
        let plan = planned(args);
        steps(&plan).iter().map(|step| step["phases"][2]["limit_ms"].as_u64().expect("a number")).collect()
    };
    assert_eq!(limits(&["mqttx-bench", "--duration-scale", "0.1"]), limits(&["mqttx-bench"]));
    assert!(limits(&["mqttx-bench", "--duration-scale", "2"]) > limits(&["mqttx-bench"]));
    assert!(limits(&["latency", "--duration-scale", "0.1"]) < limits(&["latency"]), "its number of probes is scaled");
}

#[test]
fn what_happens_in_a_phase_is_scaled_with_it() {
    let in_phase = |plan: &Value, step: &str, load: &str, flag: &str| {
        let step = steps(plan).iter().find(|planned| text(planned, "step").starts_with(step)).expect("planned").clone();
        let processes = step["processes"].as_array().expect("processes").clone();
        let process = processes.iter().find(|process| text(process, "name") == load).expect("a load");
        (argument(process, flag).to_owned(), process["stop_ms"].clone(), step["phases"][2]["expected_ms"].clone())
    };
    let storm = |args: &[&str]| in_phase(&planned(args), "storm-clean", "stormy", "--storm").0;
    assert_eq!(storm(&["reconnect-storm"]), "15000ms");
    assert_eq!(storm(&["reconnect-storm", "--duration-scale", "0.1"]), "1500ms");
    let silent = |args: &[&str]| in_phase(&planned(args), "crash-silent", "victims", "-k");
    let full = ("10".to_owned(), Value::from(10_000), Value::from(60_000));
    assert_eq!(silent(&["robustness"]), full);
    let short = ("2".to_owned(), Value::from(1_500), Value::from(9_000));
    assert_eq!(silent(&["robustness", "--duration-scale", "0.15"]), short, "seconds of keep alive are rounded up");
}

#[test]
fn what_was_scaled_is_noted_once() {
    let notes = |args: &[&str]| planned(args)["notes"].to_string();
    let full = notes(&["mqttx-bench"]);
    assert!(!full.contains("scale"), "{full}");
    let scaled = notes(&["mqttx-bench", "--scale", "0.1", "--duration-scale", "0.2"]);
    for said in
        ["clients 100 instead of 1000 (--scale 0.1)", "last 0.2 times as long as in full (--duration-scale 0.2)"]
    {
        assert_eq!(scaled.matches(said).count(), 1, "{said} in {scaled}");
    }
}
