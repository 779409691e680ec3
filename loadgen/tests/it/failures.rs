//! Whatever goes wrong is named, counted, and ends in a non-zero exit code; what was measured is kept.

use std::process::Command;

use nix::sys::signal::Signal;
use runlog::{EventKind, LoadSummary};

use crate::support::{Loadgen, Mosquitto, free_addr, run, text_of, wait_until};

#[test]
fn an_unreachable_broker_is_counted_by_errno() {
    let end = Loadgen::start("conn", free_addr(), "-c 7 -i 1").finish();
    assert_eq!(end.code, Some(1), "{}", end.output);
    let connect = &end.summary.connect;
    assert_eq!((connect.attempted, connect.succeeded, connect.failed), (7, 0, 7));
    assert_eq!(connect.by_reason.get("ECONNREFUSED"), Some(&7), "{:?}", connect.by_reason);
    assert!(end.output.contains("7 of 7 clients did not get ready: ECONNREFUSED x 7"), "{}", end.output);
    end.assert_run_dir_complete();
}

#[test]
fn a_refusal_is_counted_by_its_code() {
    let Some(broker) = Mosquitto::with_settings("allow_anonymous false\n") else { return };
    for (version, reason) in [(4, "CONNACK 5 not authorized"), (5, "CONNACK 135 not authorized")] {
        let end = Loadgen::start("sub", broker.addr, &format!("-c 3 -i 1 -V {version} -t x")).finish();
        assert_eq!(end.code, Some(1), "{}", end.output);
        assert_eq!(end.summary.connect.by_reason.get(reason), Some(&3), "{:?}", end.summary.connect.by_reason);
        assert!(end.output.contains("sub_fail total=3"), "{}", end.output);
    }
}

#[test]
fn a_killed_broker_ends_the_run_with_reasons_and_a_summary() {
    let Some(mut broker) = Mosquitto::start() else { return };
    let sub = Loadgen::start("sub", broker.addr, "-c 3 -i 1 -q 1 -t kill/# --counters-interval 100ms");
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, "-c 4 -i 1 -q 1 -t kill/%i -I 5");
    publish.wait_ready();
    sub.wait_received(30);
    broker.kill();
    for (end, clients) in [(sub.finish(), 3), (publish.finish(), 4)] {
        assert_eq!(end.code, Some(1), "{}", end.output);
        assert_eq!(end.summary.disconnected.total, clients, "{}", end.output);
        assert_eq!(end.summary.disconnected.by_reason.values().sum::<u64>(), clients);
        assert!(end.output.contains(&format!("{clients} connections were lost")), "{}", end.output);
        let disconnects = end.events().iter().filter(|event| event.kind == EventKind::Disconnect).count() as u64;
        assert_eq!(disconnects, clients);
        end.assert_run_dir_complete();
    }
}

#[test]
fn a_signal_ends_the_run_in_order() {
    let Some(broker) = Mosquitto::start() else { return };
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let publish = Loadgen::start("pub", broker.addr, "-c 2 -i 1 -q 2 -t signal -I 1");
        publish.wait_ready();
        publish.signal(signal);
        let end = publish.finish();
        assert_eq!(end.code, Some(0), "{}", end.output);
        let published = end.summary.publish.as_ref().unwrap();
        assert_eq!(published.acked, published.attempted, "what was under way was awaited");
        assert_eq!(end.summary.disconnected.total, 0);
        end.assert_run_dir_complete();
    }
}

#[test]
fn a_signal_during_the_ramp_ends_the_run_too() {
    let Some(broker) = Mosquitto::start() else { return };
    let conn = Loadgen::start("conn", broker.addr, "-c 1000 -i 100");
    wait_until("it has begun", || !conn.events().is_empty());
    let end = conn.stop();
    assert_eq!(end.code, Some(0), "{}", end.output);
    assert!(end.summary.connect.attempted < 1_000);
}

#[test]
fn bad_flags_are_refused_with_what_to_do() {
    for (args, hint) in [
        ("conn --no-such-flag", "--no-such-flag"),
        ("conn -V 6", "3..=5"),
        ("pub -h 127.0.0.1", "--topic"),
        ("pub -h 127.0.0.1 -t a/#", "-t a/#"),
        ("conn -h 127.0.0.1 -R fast", "fast"),
        ("conn -h 127.0.0.1 --duration 5parsec", "ms, s, m or h"),
        ("conn -h no-such-host.invalid", "no-such-host.invalid"),
        ("conn -h 127.0.0.1 --ifaddr 192.0.2.1", "ip addr add 192.0.2.1"),
        ("conn -h 127.0.0.1 --ifaddr ::1", "IPv6"),
        ("unknown", "unknown"),
    ] {
        let output = run(args);
        assert!(!output.status.success(), "{args}");
        assert!(text_of(&output).contains(hint), "{args}: {}", text_of(&output));
    }
}

#[test]
fn a_descriptor_limit_is_named_before_the_run() {
    let script = format!("ulimit -n 100 && exec {} conn -h 127.0.0.1 -c 200", env!("CARGO_BIN_EXE_loadgen"));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = text_of(&output);
    assert!(text.contains("-c 200") && text.contains("may open 100") && text.contains("ulimit -n "), "{text}");
    assert!(!text.contains("Start with"), "before the run: {text}");
}

/// The machine's own hard limit, whatever it is.
#[test]
fn more_clients_than_the_hard_limit_allows_are_refused_with_what_would_do() {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    // The largest -c there is.
    let hard = hard.min(16_000_000);
    let output = run(&format!("conn -h 127.0.0.1 -p {} -c {hard}", free_addr().port()));
    assert_eq!(output.status.code(), Some(1));
    let text = text_of(&output);
    assert!(text.contains("may open ") && text.contains("lower -c to "), "{text}");
}

#[test]
fn a_preflight_says_what_is_amiss_and_connects_nobody() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let good = run(&format!("conn -h 127.0.0.1 -p {port} -c 10 --ifaddr lo,127.0.0.9-11 --preflight-only"));
    let text = text_of(&good);
    assert_eq!(good.status.code(), Some(0), "{text}");
    for line in ["ok       open files", "ok       addresses    4 present", "ok       ports", "ok       broker"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let dead = free_addr();
    let bad = run(&format!("conn -h 127.0.0.1 -p {} -c 10 --ifaddr 192.0.2.1 --preflight-only", dead.port()));
    let text = text_of(&bad);
    assert_eq!(bad.status.code(), Some(1), "{text}");
    assert!(text.contains("FAILED   addresses") && text.contains("ip addr add 192.0.2.1"), "{text}");
    assert!(text.contains("FAILED   broker") && text.contains("ss -ltn"), "{text}");
}

#[test]
fn stated_expectations_decide_the_exit_code() {
    let Some(broker) = Mosquitto::start() else { return };
    let line = format!("pub -h 127.0.0.1 -p {} -c 2 -i 1 -t expect -q 1 -I 1 -L 50", broker.addr.port());
    let met = run(&format!("{line} --expect acked==50,connected>=2,connect_fail==0,mean<1000s"));
    assert_eq!(met.status.code(), Some(0), "{}", text_of(&met));
    assert!(text_of(&met).contains(": met"), "{}", text_of(&met));
    let unmet = run(&format!("{line} --expect acked>50"));
    assert_eq!(unmet.status.code(), Some(3), "{}", text_of(&unmet));
    assert!(text_of(&unmet).contains("expected acked>50: acked is 50"), "{}", text_of(&unmet));
    // What would fail a run otherwise is allowed where it is expected.
    let refused = run(&format!("conn -h 127.0.0.1 -p {} -c 3 -i 1 --expect connect_fail==3", free_addr().port()));
    assert_eq!(refused.status.code(), Some(0), "{}", text_of(&refused));
    let unknown = run(&format!("{line} --expect speed>1"));
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text_of(&unknown).contains("what can be: lost"), "{}", text_of(&unknown));
}

#[test]
fn a_run_directory_in_use_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("something"), "of value").unwrap();
    let output = run(&format!("conn -h 127.0.0.1 -c 1 --run-dir {}", dir.path().display()));
    assert_eq!(output.status.code(), Some(1));
    assert!(text_of(&output).contains("is not empty"), "{}", text_of(&output));
}

#[test]
fn the_summary_goes_where_it_is_wanted() {
    let (dir, addr) = (tempfile::TempDir::new().unwrap(), free_addr());
    let path = dir.path().join("summary.json");
    let output = run(&format!("conn -h 127.0.0.1 -p {} -c 2 -i 1 --json {}", addr.port(), path.display()));
    assert_eq!(output.status.code(), Some(1));
    let summary: LoadSummary = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!((summary.tool.as_str(), summary.connect.failed, summary.ok), ("loadgen", 2, false));
}

#[test]
fn help_and_version_are_long_flags_and_h_is_the_host() {
    let help = run("pub --help");
    assert!(help.status.success() && text_of(&help).contains("-h, --host"), "{}", text_of(&help));
    let version = run("--version");
    assert!(version.status.success() && text_of(&version).starts_with("loadgen "), "{}", text_of(&version));
}
