//! What brokers see of clients that leave: in order, by a reset, or without a word; once, or again and again.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use runlog::{Edge, Event};
use tempfile::NamedTempFile;

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
        let log = NamedTempFile::new().unwrap();
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

/// Begin or end of a step or storm, in nanoseconds.
fn mark<'a>(events: &'a [Event], name: &str, edge: Option<Edge>) -> &'a Event {
    let mut marks = events.iter().filter(|event| event.name == name && event.edge == edge);
    marks.next().unwrap_or_else(|| panic!("{name} {edge:?} in {events:?}"))
}

#[test]
fn each_step_of_a_ramp_is_reached_held_and_told() {
    let Some(broker) = Mosquitto::start() else { return };
    let end = Loadgen::start("conn", broker.addr, "--steps 10,25,0.04k -R 500 --hold 250ms").finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    assert_eq!((end.summary.clients, end.summary.connect.succeeded), (40, 40));
    let steps = &end.summary.stretches;
    let told: Vec<_> =
        steps.iter().map(|step| (step.name.as_str(), step.clients, step.succeeded, step.failed)).collect();
    assert_eq!(told, [("step-1", 10, 10, 0), ("step-2", 25, 15, 0), ("step-3", 40, 15, 0)], "{}", end.output);
    assert_eq!(steps.iter().map(|step| step.connack_us.count).collect::<Vec<_>>(), [10, 15, 15]);
    assert!(steps.iter().all(|step| step.length_s >= step.settled_s.unwrap() + 0.2), "{steps:?}");
    let events = end.events();
    for (step, connected) in [(1, 10), (2, 25), (3, 40)] {
        let reached = mark(&events, &format!("step-{step} reached"), None);
        let over = mark(&events, &format!("step-{step}"), Some(Edge::End));
        assert!(over.mono_ns - reached.mono_ns >= 240_000_000, "held: {events:?}");
        assert_eq!((&over.detail["connected"], &over.detail["clients"]), (&connected.into(), &connected.into()));
        assert!(step == 3 || mark(&events, &format!("step-{}", step + 1), Some(Edge::Begin)).mono_ns >= over.mono_ns);
    }
    assert!(end.output.contains("step-2    25 clients, 15 connected in"), "{}", end.output);
    end.assert_run_dir_complete();
}

#[test]
fn a_step_that_the_broker_does_not_allow_is_told_and_the_run_goes_on() {
    let Some(broker) = Mosquitto::with_settings("allow_anonymous true\nmax_connections 12\n") else { return };
    let end = Loadgen::start("conn", broker.addr, "--steps 10,15,18 -R 500 --hold 50ms").finish();
    assert_eq!(end.code, Some(1), "{}", end.output);
    let told: Vec<_> = end.summary.stretches.iter().map(|step| (step.succeeded, step.failed, step.connected)).collect();
    // Mosquitto takes the number that it was told, or one more.
    let all = end.summary.connect.succeeded;
    assert!((12..=13).contains(&all), "{}", end.output);
    assert_eq!(told, [(10, 0, 10), (all - 10, 15 - all, all), (0, 3, all)], "{}", end.output);
    for (line, hint) in [
        ("conn -h 127.0.0.1 -c 20 --steps 5,10", "the last of --steps is 10"),
        ("conn -h 127.0.0.1 --steps 10,5", "100k,500k,1M"),
        ("conn -h 127.0.0.1 --hold 1s", "--steps"),
        ("pub -h 127.0.0.1 -t x --steps 5,10", "--steps is for conn and sub"),
    ] {
        let output = run(line);
        assert!(!output.status.success() && text_of(&output).contains(hint), "{line}: {}", text_of(&output));
    }
}

/// A Mosquitto that writes down everything, and what it has written.
fn logging() -> Option<(Mosquitto, NamedTempFile)> {
    let log = NamedTempFile::new().unwrap();
    let settings = format!("allow_anonymous true\nlog_dest file {}\nlog_type all\n", log.path().display());
    Some((Mosquitto::with_settings(&settings)?, log))
}

fn lines_of(log: &NamedTempFile, of: impl Fn(&str) -> bool) -> usize {
    std::fs::read_to_string(log.path()).unwrap().lines().filter(|line| of(line)).count()
}

/// Clients that connect together would be silent together, here for 115 s. Spread, somebody pings three times a second.
#[test]
fn spread_clients_ping_in_turn() {
    let Some((broker, log)) = logging() else { return };
    let conn = Loadgen::start("conn", broker.addr, "-c 400 -i 0 -k 120 --keepalive-spread");
    conn.wait_ready();
    wait_until("a few have pinged", || lines_of(&log, |line| line.contains("Received PINGREQ")) >= 6);
    let pings = lines_of(&log, |line| line.contains("Received PINGREQ"));
    assert!(pings < 400, "not all at once");
    let end = conn.stop();
    assert_eq!((end.code, end.summary.disconnected.total), (Some(0), 0), "{}", end.output);
}

/// Every TIME all leave; what the broker has seen is what the run says.
#[test]
fn in_a_storm_all_leave_and_come_back_at_the_rate_that_was_asked_for() {
    let Some((broker, log)) = logging() else { return };
    let line = "-c 30 -i 1 -t storm/%i -q 1 --storm 300ms --storm-rate 200 --crash --prefix stormy";
    let sub = Loadgen::start("sub", broker.addr, line);
    wait_until("two storms are over", || {
        let over = |event: &Event| event.name.starts_with("storm-") && event.edge == Some(Edge::End);
        sub.events().iter().filter(|event| over(event)).count() >= 2
    });
    let end = sub.stop();
    assert_eq!(end.code, Some(0), "{}", end.output);
    assert_eq!(end.summary.disconnected.total, 0, "nobody was lost: {}", end.output);
    let storms = &end.summary.stretches;
    let first = &storms[0];
    assert_eq!((first.name.as_str(), first.clients), ("storm-1", 30), "{}", end.output);
    // On a slow machine, a storm may begin while some are still on their way back from the last one.
    if let Some(settled_s) = first.settled_s {
        assert_eq!((first.succeeded, first.failed, first.connack_us.count), (30, 0, 30), "{first:?}");
        assert!(settled_s >= 29.0 / 200.0, "the last of them comes back in its turn: {first:?}");
    }
    assert_eq!(storms.iter().map(|storm| storm.clients).sum::<u64>(), end.summary.connect.churned);
    let begun = lines_of(&log, |line| line.contains("New client connected") && line.contains("stormy_")) as u64;
    let connect = &end.summary.connect;
    assert!((connect.succeeded + connect.reconnected..=connect.attempted).contains(&begun), "{begun} of {connect:?}");
}

#[test]
fn flapping_clients_come_and_go_each_in_its_turn() {
    let Some((broker, log)) = logging() else { return };
    let conn = Loadgen::start("conn", broker.addr, "-c 10 -i 1 --flap 100ms,150ms --prefix flappy --shortids");
    let connects = |client: usize| {
        let id = format!(" as flappy_{client} ");
        let id_short = format!(" as flappy{client} ");
        lines_of(&log, |line| line.contains("New client connected") && (line.contains(&id) || line.contains(&id_short)))
    };
    wait_until("each has come back twice", || (1..=10).all(|client| connects(client) >= 3));
    let end = conn.stop();
    assert_eq!((end.code, end.summary.disconnected.total), (Some(0), 0), "{}", end.output);
    let connect = &end.summary.connect;
    assert!(connect.churned >= 20 && connect.churned - connect.reconnected <= 10, "{connect:?}");
    // A client stays and is away for a quarter of a second together.
    assert!(connect.churned as f64 <= 10.0 * (end.summary.elapsed_s / 0.25 + 1.0), "{connect:?}");
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
        ("conn -h 127.0.0.1 --churn 5%/s --storm 5s", "cannot be used with"),
        ("conn -h 127.0.0.1 --storm-rate 5", "--storm"),
        ("conn -h 127.0.0.1 --flap 5s", "such as 5s,2s"),
        ("pub -h 127.0.0.1 -t x --flap 1s,1s", "--churn, --storm and --flap are for conn and sub"),
        ("pub -h 127.0.0.1 -t x --churn 1/s", "are for conn and sub"),
    ] {
        let output = run(line);
        assert!(!output.status.success() && text_of(&output).contains(hint), "{line}: {}", text_of(&output));
    }
}
