//! What brokers see of clients that leave: in order, by a reset, or without a word; once, or again and again.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use crate::support::{Listener, Loadgen, Mosquitto, Ours, PATIENCE, run, text_of, wait_until};

/// A will is what a broker says of a client that did not leave in order; each is published once.
#[test]
fn brokers_publish_the_wills_of_those_that_crash_or_vanish_and_of_no_others() {
    let ours = Ours::start();
    wills(ours.addr);
    let Some(theirs) = Mosquitto::start() else { return };
    wills(theirs.addr);
}

fn wills(broker: SocketAddr) {
    let listener = Listener::start(broker, "gone/#", "%t %p", 6);
    for ending in ["", "--crash", "--vanish"] {
        let line = format!(
            "conn -h 127.0.0.1 -p {} -c 3 -i 1 -k 1 {ending} --duration 100ms --will-topic gone/{ending}/%i --will-message w",
            broker.port()
        );
        let output = run(&line);
        assert_eq!(output.status.code(), Some(0), "{ending}: {}", text_of(&output));
    }
    let mut gone = listener.finish();
    gone.sort();
    let expected: Vec<String> =
        ["--crash", "--vanish"].iter().flat_map(|how| (1..=3).map(move |i| format!("gone/{how}/{i} w"))).collect();
    assert_eq!(gone, expected);
}

/// Every departure that we count is one that the broker has written down.
#[test]
fn churn_is_what_the_broker_has_logged() {
    for (ending, logged_end) in [("", "disconnected."), ("--crash", "closed its connection.")] {
        let log = tempfile::NamedTempFile::new().unwrap();
        let settings = format!(
            "allow_anonymous true\nlog_dest file {}\nlog_type notice\nlog_type error\nconnection_messages true\n",
            log.path().display()
        );
        let Some(broker) = Mosquitto::with_settings(&settings) else { return };
        let sub = Loadgen::start(
            "sub",
            broker.addr,
            &format!("-c 20 -i 1 -t churn/%i -q 1 --churn 100/s {ending} --prefix churner --counters-interval 50ms"),
        );
        sub.wait_ready();
        wait_until("connections were begun again and again", || {
            sub.last_row().is_some_and(|row| row.connect_succ >= 20)
                && std::fs::read_to_string(log.path()).is_ok_and(|text| text.matches("connected from").count() > 70)
        });
        let end = sub.stop();
        assert_eq!(end.code, Some(0), "{}", end.output);
        let connect = &end.summary.connect;
        assert_eq!((connect.succeeded, connect.failed, connect.retried), (20, 0, 0));
        assert_eq!(end.summary.disconnected.total, 0, "nobody was lost: {}", end.output);
        assert!(connect.churned - connect.reconnected <= 20, "{connect:?}");
        assert!(connect.churned as f64 <= 100.0 * end.summary.elapsed_s, "no more than asked for: {connect:?}");
        let ends = || {
            let log = std::fs::read_to_string(log.path()).unwrap();
            let of_ours = log.lines().filter(|line| line.contains("churner_"));
            let (mut begun, mut ended) = (0, 0);
            for line in of_ours {
                begun += u64::from(line.contains("connected from"));
                ended += u64::from(line.ends_with(logged_end));
            }
            (begun, ended)
        };
        // Each connection ended in the way that was asked for, by churn or at the end of the run. One whose CONNACK was
        // still on its way at the end is not counted as connected, and is closed without DISCONNECT.
        let connections = connect.succeeded + connect.reconnected;
        let mut seen = (0, 0);
        wait_until("the broker has noticed all ends", || {
            seen = ends();
            seen.0 >= connections && seen.1 >= if ending.is_empty() { connections } else { seen.0 }
        });
        assert!(seen.0 <= connect.attempted, "{ending}: {seen:?} {connect:?}");
        assert_eq!(seen.1, if ending.is_empty() { connections } else { seen.0 }, "{ending}: {seen:?} {connect:?}");
        assert!(end.output.contains("churned total="), "{}", end.output);
        end.assert_run_dir_complete();
    }
}

/// Neither FIN nor RST nor a packet: what a server's socket knows of a client whose host has lost power.
#[test]
fn a_vanished_client_says_nothing_and_comes_back_on_another_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let conn = Loadgen::start("conn", addr, "-c 1 -i 1 -V 4 --churn 20/s --vanish");
    let (mut first, _) = listener.accept().unwrap();
    welcome(&mut first);
    let (mut second, _) = listener.accept().unwrap();
    // It is gone, or there would be no second one.
    first.set_nonblocking(true).unwrap();
    assert_eq!(first.read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
    welcome(&mut second);
    let (third, _) = listener.accept().unwrap();
    drop(third);
    let end = conn.stop();
    let connect = &end.summary.connect;
    assert_eq!((connect.succeeded, connect.reconnected, connect.churned), (1, 1, 2), "{}", end.output);
}

/// Takes CONNECT (3.1.1, short) and accepts it.
fn welcome(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = [0; 2];
    stream.read_exact(&mut head).unwrap();
    assert_eq!(head[0], 0x10);
    stream.read_exact(&mut vec![0; usize::from(head[1])]).unwrap();
    stream.write_all(&[0x20, 2, 0, 0]).unwrap();
}

#[test]
fn those_that_cannot_come_back_are_named() {
    let Some(mut broker) = Mosquitto::start() else { return };
    let conn = Loadgen::start("conn", broker.addr, "-c 4 -i 1 --churn 100/s --reconnect 1000");
    conn.wait_ready();
    broker.kill();
    wait_until("attempts have failed", || conn.events().iter().any(|event| event.name == "connect_retried"));
    let end = conn.stop();
    assert_eq!(end.code, Some(1), "{}", end.output);
    for (line, hint) in [
        ("conn -h 127.0.0.1 --churn 5%/m", "write it like 5%/s or 100/s"),
        ("conn -h 127.0.0.1 --crash --vanish", "cannot be used with"),
        ("pub -h 127.0.0.1 -t x --churn 1/s", "--churn is for conn and sub"),
    ] {
        let output = run(line);
        assert!(!output.status.success() && text_of(&output).contains(hint), "{line}: {}", text_of(&output));
    }
}
