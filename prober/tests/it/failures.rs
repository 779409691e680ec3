//! Brokers that are absent, refuse, die or fall silent: a clear message, and what was measured is kept.

use std::net::TcpListener;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runlog::table::Table;

use crate::support::{Broker, Probed, Prober, wait_for};

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let probed = Prober::new(port, &["-n", "5"]).run().failed();
    let message = probed.stderr();
    assert!(
        message.contains(&format!("cannot connect to 127.0.0.1:{port}")) && message.contains("refused"),
        "{message}"
    );
    let summary = probed.summary();
    assert!(!summary.ok && summary.failures[0].contains("cannot connect"), "{summary:?}");
    assert!(probed.has_event("prober failed"));
    assert_eq!(probed.stdout(), "");
}

#[test]
fn a_host_without_a_name() {
    let output = Command::new(env!("CARGO_BIN_EXE_prober")).args(["-h", "no-such-host.invalid"]).output().unwrap();
    assert!(!output.status.success());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(message.contains("cannot resolve host \"no-such-host.invalid\""), "{message}");
}

#[test]
fn a_broker_that_lets_nobody_in() {
    let broker = Broker::mosquitto_with("allow_anonymous false");
    for version in ["3", "4", "5"] {
        let message = Prober::new(broker.port, &["-V", version]).run().failed().stderr();
        assert!(message.contains("subscriber: the broker refused the connection: not authorized"), "{message}");
    }
}

#[test]
fn strictness_is_about_every_probe() {
    let burst = ["-V", "4", "-q", "1", "-n", "300", "-i", "0.01", "--warmup", "0", "--timeout", "2s"];
    let strict = [&burst[..], &["--strict"]].concat();
    let broker = Broker::mosquitto_with("allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0");
    Prober::new(broker.port, &strict).run().succeeded();
    // What a subscriber does not take at once is dropped beyond one message.
    let dropping = Broker::mosquitto_with("allow_anonymous true\nmax_inflight_messages 1\nmax_queued_messages 1");
    Prober::new(dropping.port, &burst).run().succeeded();
    let probed = Prober::new(dropping.port, &strict).run().failed();
    assert!(probed.stderr().contains(" lost (--strict)"), "{}", probed.stderr());
    assert!(!probed.summary().ok);
}

#[test]
fn a_directory_that_is_in_use() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("file"), "").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_prober")).arg("--run-dir").arg(place.path()).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
}

#[test]
fn a_broker_that_dies_midway() {
    let broker = Broker::mosquitto();
    let probed = interrupted(broker.port, |_| broker.signal(Signal::SIGKILL));
    let message = probed.stderr();
    assert!(message.contains("the broker closed the connection") || message.contains("broke"), "{message}");
    assert!(probed.has_event("prober failed"));
}

#[test]
fn sigterm_midway() {
    let broker = Broker::mosquitto();
    let probed = interrupted(broker.port, |prober| kill(prober, Signal::SIGTERM).unwrap());
    assert!(probed.stderr().contains("stopped by SIGTERM"), "{}", probed.stderr());
    assert_eq!(probed.summary().lost, 0, "what was under way had time to come back");
}

#[test]
fn a_broker_that_falls_silent_loses_probes_which_count_as_infinite() {
    let broker = Broker::mosquitto();
    let (prober, child) = Prober::new(broker.port, &["-n", "100", "-i", "5", "--timeout", "300ms"]).measuring();
    broker.signal(Signal::SIGSTOP);
    let probed = prober.probed(child.wait_with_output().unwrap());
    let summary = probed.summary();
    assert_eq!((summary.sent, summary.received + summary.lost), (100, 100));
    assert!(summary.lost > 0);
    assert_eq!((summary.latency_us.count, summary.latency_us.max), (100, Some(f64::INFINITY)));
    assert!(probed.stdout().contains("Max: inf") && probed.stdout().contains("lost"), "{}", probed.stdout());
    let json = std::fs::read_to_string(probed.run.path.join("summary.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let latency = &json["latency_us"];
    assert!(latency["max"].is_null(), "{latency}");
    assert_eq!(latency["null_because"]["max"], "infinite: it falls among what was lost");
    let received = Table::load(probed.run.samples_path()).unwrap().numbers("received_ns").unwrap();
    assert_eq!(received.iter().filter(|stamp| stamp.is_none()).count() as u64, summary.lost);
    broker.signal(Signal::SIGCONT);
}

#[test]
fn nobody_echoes() {
    let broker = Broker::mosquitto();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = Prober::new(broker.port, &["--floor", &nowhere.to_string()]).run().failed().stderr();
    let expected =
        format!("cannot connect to the echo at {nowhere} (start one there: collector --echo {})", nowhere.port());
    assert!(message.contains(&expected), "{message}");
}

#[test]
fn a_source_address_of_somebody_else() {
    let message = Prober::new(1, &["--ifaddr", "192.0.2.1"]).command.output().unwrap().stderr;
    let message = String::from_utf8_lossy(&message).into_owned();
    assert!(message.contains("192.0.2.1 is not an address of this host"), "{message}");
}

#[test]
fn a_password_stays_out_of_the_run_directory() {
    let broker = Broker::mosquitto();
    let probed = Prober::new(broker.port, &["-n", "50", "-i", "1", "-u", "me", "-P", "sesame"]).run().succeeded();
    for entry in std::fs::read_dir(&probed.run.path).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"sesame"), "{}", path.display());
    }
    assert!(!probed.stderr().contains("sesame"));
}

/// A long run that something interrupts after its first second, and that must fail and keep what it measured.
fn interrupted(port: u16, interrupt: impl FnOnce(Pid)) -> Probed {
    let mut prober = Prober::new(port, &["-n", "100000", "-i", "5"]);
    let child = prober.command.spawn().unwrap();
    let samples = prober.run_dir().join("samples.csv");
    wait_for("filed samples", || Table::load(&samples).ok().filter(|table| table.rows > 0));
    interrupt(Pid::from_raw(child.id() as i32));
    let probed = prober.probed(child.wait_with_output().unwrap()).failed();
    let summary = probed.summary();
    assert!(!summary.ok && summary.sent >= summary.received && summary.received > 0 && summary.planned == 100_000);
    assert_eq!(Table::load(probed.run.samples_path()).unwrap().rows, summary.sent);
    assert!(probed.stdout().starts_with("P50: "), "{}", probed.stdout());
    probed
}
