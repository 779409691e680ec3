//! mqtt-bench's command lines: those of the mqttx README, fewer clients and messages, and what else it can do.

use std::net::SocketAddr;
use std::process::Command;

use crate::support::{Mosquitto, Ours, free_addr, run, text_of};

/// The parts of the result line.
fn result(output: &str) -> (u64, u64, f64) {
    let line = output.lines().find(|line| line.starts_with("Result : broker=")).unwrap_or_else(|| panic!("{output}"));
    let field = |name: &str, end: &str| {
        let (_, rest) = line.split_once(name).unwrap_or_else(|| panic!("{name} in {line}"));
        rest.split_once(end).unwrap_or_else(|| panic!("{end} in {line}")).0.to_owned()
    };
    assert!(line.ends_with("messages/sec"), "{line}");
    (
        field("clients=", ", ").parse().unwrap(),
        field("totalCount=", ", ").parse().unwrap(),
        field("throughput=", "messages/sec").parse().unwrap(),
    )
}

fn the_readmes_runs(broker: SocketAddr) {
    for clean in ["", " -clean=false"] {
        for qos in [0, 1, 2] {
            let line = "bench -broker=tcp://localhost:1883 -action=pub -clients=1000 -qos=QOS -count=1000 -pretime=10";
            let line = line
                .replace("localhost:1883", &broker.to_string())
                .replace("=1000", "=20")
                .replace("QOS", &qos.to_string());
            let output = run(&format!("{line}{clean}"));
            let text = text_of(&output);
            assert!(output.status.success(), "{line}: {text}");
            assert!(
                text.contains("UTC Start benchmark\n") && text.contains("UTC End benchmark\n\nResult : "),
                "{text}"
            );
            let (clients, count, throughput) = result(&text);
            assert_eq!((clients, count), (20, 400), "{text}");
            assert!(throughput > 0.0, "{text}");
        }
    }
}

#[test]
fn the_readmes_runs_against_our_broker() {
    let broker = Ours::start();
    the_readmes_runs(broker.addr);
}

#[test]
fn the_readmes_runs_against_mosquitto_and_under_mqtt_benchs_name() {
    let Some(broker) = Mosquitto::start() else { return };
    the_readmes_runs(broker.addr);
    let dir = tempfile::TempDir::new().unwrap();
    let link = dir.path().join("mqtt-bench");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_loadgen"), &link).unwrap();
    let broker = format!("-broker=tcp://{}", broker.addr);
    let output =
        Command::new(link).args([&broker, "-action=p", "-pretime", "0", "-intervaltime=1", "-count=5"]).output();
    let text = text_of(&output.unwrap());
    assert_eq!(result(&text).1, 50, "{text}");
}

#[test]
fn subscribers_receive_what_publishers_send_and_every_client_sends_its_share() {
    let Some(broker) = Mosquitto::start() else { return };
    let addr = broker.addr;
    let sub =
        std::thread::spawn(move || run(&format!("bench -broker tcp://{addr} -action sub -clients 4 -count 30 -qos 1")));
    // Whenever the subscribers are there: what they need comes again and again until they have it.
    while !sub.is_finished() {
        let output =
            run(&format!("bench -broker tcp://{addr} -action pub -clients 4 -count 30 -qos 1 -pretime 0 -size 77"));
        let (clients, count, _) = result(&text_of(&output));
        assert_eq!((clients, count), (4, 120));
    }
    let output = sub.join().unwrap();
    let text = text_of(&output);
    assert!(output.status.success(), "{text}");
    let (clients, count, _) = result(&text);
    assert!(clients == 4 && count >= 120, "{text}");
}

#[test]
fn what_cannot_work_is_said() {
    for (args, hint) in [
        ("-broker=tcp://127.0.0.1:1 -action=walk", "Invalid argument : -action -> walk"),
        ("-broker=127.0.0.1:1 -action=pub", "Invalid argument : -broker -> 127.0.0.1:1"),
        ("-broker=quic://127.0.0.1:1 -action=pub", "scheme quic"),
        (
            "-broker=ssl://127.0.0.1:1 -action=pub -tls=server:no/file.pem",
            "File is not found. : certFile -> no/file.pem",
        ),
        ("-broker=ssl://127.0.0.1:1 -action=pub -tls=client:a,b", "ROOTCAFILE"),
        ("-action=pub", "--broker"),
    ] {
        let output = run(&format!("bench {args}"));
        assert!(!output.status.success() && text_of(&output).contains(hint), "{args}: {}", text_of(&output));
    }
    let nobody = run(&format!("bench -broker=tcp://{} -action=pub -pretime=0", free_addr()));
    let text = text_of(&nobody);
    assert!(!nobody.status.success() && text.contains("ECONNREFUSED") && !text.contains("Result"), "{text}");
}
