//! Roles mixed in one process: the shipped scenario against our broker, and what is refused with file and line.

use runlog::{EventKind, Run};
use tempfile::TempDir;

use crate::support::{Loadgen, Ours, run, text_of};

const MIXED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/mixed.toml");
const RECONNECTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/reconnects.toml");

#[test]
fn the_shipped_scenario_runs_and_every_role_is_accounted_for() {
    let broker = Ours::start();
    // The file as it is, with a shorter course: the bursts of 5 begin at once, and the warm-up takes the first of them.
    let text = std::fs::read_to_string(MIXED).unwrap();
    let text = text.replace("begin = \"5s\"", "begin = \"0s\"").replace("end = \"15s\"", "end = \"2.5s\"");
    let text = text.replace("burst:5@2s", "burst:5@1s");
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("mixed.toml");
    std::fs::write(&file, text).unwrap();
    let flags = format!("-h 127.0.0.1 -p {} --warm-up 500ms --duration 3s --seed 3", broker.addr.port());
    let end = Loadgen::line(&format!("run {} {flags}", file.display())).finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let summary = &end.summary;
    assert_eq!((summary.mode.as_str(), summary.clients, summary.connect.succeeded), ("run", 342, 342));
    assert_eq!(summary.warm_up_s, 0.5);
    assert!(end.output.contains("the messages of the first 0.5 s are not counted"), "{}", end.output);
    let names: Vec<_> =
        summary.roles.iter().map(|role| (role.name.as_str(), role.mode.as_str(), role.clients)).collect();
    let wanted = [
        ("idle devices", "conn", 200),
        ("telemetry", "pub", 100),
        ("collector", "sub", 2),
        ("commands", "pub", 20),
        ("commanded devices", "sub", 20),
    ];
    assert_eq!(names, wanted);
    let publish = |at: usize| summary.roles[at].publish.as_ref().expect("a publisher's summary");
    let receive = |at: usize| summary.roles[at].receive.as_ref().expect("a subscriber's summary");
    // Of the bursts at 0, 1 and 2 s the first is in the warm-up, and none comes after the role's end.
    assert_eq!((publish(3).attempted, publish(3).acked), (20 * 5 * 2, 20 * 5 * 2));
    assert_eq!((receive(4).delivered, receive(4).lost), (20 * 5 * 2, 0));
    assert!(publish(1).attempted > 0 && receive(2).lost == 0);
    let both = summary.publish.as_ref().unwrap();
    assert_eq!(both.attempted, publish(1).attempted + publish(3).attempted);
    assert_eq!(summary.receive.as_ref().unwrap().delivered, receive(2).delivered + receive(4).delivered);
    assert_eq!(both.send_lag_us.count, both.attempted);
    // The counters go on over the warm-up: with it, everything that was sent has come, twice for the two collectors.
    let run = Run::open(end.run_dir());
    let last = *run.counters().unwrap().value.last().unwrap();
    assert_eq!(last.received, 2 * (last.written - 20 * 5 * 3) + 20 * 5 * 3);
    let events = end.events();
    let phases: Vec<_> =
        events.iter().filter(|event| event.kind == EventKind::Phase).map(|event| event.name.as_str()).collect();
    let wanted = ["ramp", "ramp", "ready", "warm-up", "warm-up", "load", "load", "drain", "drain"];
    assert_eq!(phases, wanted);
}

#[test]
fn roles_come_and_go_beside_steady_traffic() {
    let broker = Ours::start();
    let text = std::fs::read_to_string(RECONNECTS).unwrap();
    let text = text.replace("storm = \"8s\"", "storm = \"800ms\"").replace("begin = \"2s\"", "begin = \"100ms\"");
    let text = text.replace("end = \"28s\"", "end = \"2s\"").replace("flap = \"3s,1s\"", "flap = \"300ms,100ms\"");
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("reconnects.toml");
    std::fs::write(&file, text).unwrap();
    let line = format!("run {} -h 127.0.0.1 -p {} --duration 3s", file.display(), broker.addr.port());
    let end = Loadgen::line(&line).finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let role = |name: &str| end.summary.roles.iter().find(|role| role.name == name).unwrap();
    let counts = |name: &str| (role(name).connect.churned, role(name).disconnected.total);
    let storms = &role("meters").stretches;
    // At 0.9 and 1.7 s; the next one would come after the role's end. A slow machine may get to the first one only.
    assert!((1..=2).contains(&storms.len()), "{storms:?}");
    assert_eq!(counts("meters"), (storms.iter().map(|storm| storm.clients).sum(), 0));
    assert!(storms[0].clients == 200, "{storms:?}");
    let most = (15.0 * (end.summary.elapsed_s + 1.0)) as u64;
    assert!((1..=most).contains(&counts("phones").0), "5 % of 300 in each second: {:?}", counts("phones"));
    assert!(counts("bad radio").0 >= 20, "{:?}", counts("bad radio"));
    assert_eq!(role("alarms").connect.churned, 0);
    let events = end.events();
    assert!(events.iter().any(|event| event.name == "storm-1" && event.detail["role"] == "meters"), "{events:?}");
}

#[test]
fn mistakes_are_told_with_file_line_and_key() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("wrong.toml");
    for (text, words) in [
        ("[run]\nhost = \"h\"\nrole = 1\n[[role]]\nkind = \"conn\"", ":3: `role` is not a flag of every role"),
        ("[[role]]\nkind = \"pub\"\ntopic = \"a\"\nqso = 1", ":4: `qso` is not known to a role of kind pub"),
        ("[[role]]\nkind = \"pub\"\ntopic = \"a\"\nqos = 7", ":4: invalid value '7' for '--qos"),
        ("[[role]]\nkind = \"pub\"\ntopic = \"a\"\n\npacing = \"fast\"", ":5: invalid value 'fast'"),
        ("[[role]]\nkind = \"pub\"\ntopic = \"a\"\nduration = \"5s\"", ":4: `duration` concerns the whole run"),
        ("[[role]]\nkind = \"pub\"\ntopic = \"a\"\nend = \"soon\"", ":4: `end`"),
        ("[[role]]\nkind = \"cook\"", ":2: `cook` is not a kind"),
        ("[[role]]\nkind = \"conn\"\n[[role]]\nkind = \"conn\"", "another role has the name `conn`"),
        ("[[role]]\nkind = \"conn\"\nssl = \"maybe\"", ":3: invalid value 'maybe' for '--ssl"),
        ("[runs]\n[[role]]\nkind = \"conn\"", ":1: `runs` is not known here"),
        ("[[role]]\nkind = \"conn\"\nbegin = \"1s\"", "of roles that publish, or whose clients come and go"),
        ("[[role]]\nkind = ", ":2:"),
        ("", "no [[role]]"),
    ] {
        std::fs::write(&path, text).unwrap();
        let output = run(&format!("run {}", path.display()));
        let told = text_of(&output);
        assert!(!output.status.success() && told.contains(words) && told.contains("wrong.toml"), "{text}: {told}");
    }
}
