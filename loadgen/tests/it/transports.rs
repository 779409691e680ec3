//! What carries the connections, and connections that need more than one attempt.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::exchange::exchange;
use crate::support::{Loadgen, Mosquitto, free_addr, run, text_of, wait_until};

/// An authority, a server for 127.0.0.1 and a client, as PEM files.
struct Certificates(TempDir);

impl Certificates {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, dir.path().display().to_string());
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        for (name, subjects) in [("server", vec!["127.0.0.1".to_owned()]), ("client", vec![])] {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new(subjects).unwrap().signed_by(&key, &authority).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Mosquitto's settings for TLS.
    fn server(&self) -> String {
        format!("certfile {}\nkeyfile {}\n", self.path("server.pem").display(), self.path("server.key").display())
    }

    fn authority_flag(&self) -> String {
        format!("--cacertfile {}", self.path("ca.pem").display())
    }
}

const OPEN: &str = "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n";

#[test]
fn every_message_arrives_over_tls_and_websocket() {
    let certificates = Certificates::new();
    let server = certificates.server();
    let mutual = format!("{server}cafile {}\nrequire_certificate true\n", certificates.path("ca.pem").display());
    let ours = certificates.authority_flag();
    let client = certificates.path("client");
    let identity = format!("--certfile {0}.pem --keyfile {0}.key", client.display());
    for (settings, flags, verified) in [
        (server.clone(), "-S".to_owned(), Some(false)),
        (server.clone(), format!("--ssl-version tlsv1.2 {ours} --ciphers ECDHE-ECDSA-AES256-GCM-SHA384"), Some(true)),
        (mutual, format!("-S true {ours} {identity}"), Some(true)),
        ("protocol websockets\n".to_owned(), "--ws".to_owned(), None),
        (format!("protocol websockets\n{server}"), format!("--ws --ssl {ours}"), Some(true)),
    ] {
        // Mosquitto 2.0.11 does not start with WebSocket listeners alone.
        let other = format!("listener {} 127.0.0.1\n", free_addr().port());
        let Some(broker) = Mosquitto::with_settings(&format!("{settings}{OPEN}{other}")) else { return };
        let common = format!("-V 4 -q 1 -c 2 -t over/%i {flags}");
        let (sub, publish) = exchange(&broker, &common, &format!("{common} -I 20 -s 5000"), 41, 1);
        let handshakes = publish.summary.connect.tls_handshakes;
        assert_eq!((handshakes, publish.summary.connect.tls_resumed), (if verified.is_some() { 2 } else { 0 }, 0));
        assert_eq!(sub.output.contains("is not verified"), verified == Some(false), "{}", sub.output);
    }
}

#[test]
fn resumed_sessions_are_counted() {
    let certificates = Certificates::new();
    let Some(broker) = Mosquitto::with_settings(&format!("{}{OPEN}", certificates.server())) else { return };
    for version in ["tlsv1.2", "tlsv1.3"] {
        let args = format!("-c 10 -i 50 -S --ssl-resume --ssl-version {version} --duration 100ms");
        let end = Loadgen::start("conn", broker.addr, &args).finish();
        assert_eq!(end.code, Some(0), "{}", end.output);
        let connect = &end.summary.connect;
        assert_eq!(connect.tls_handshakes, 10);
        assert!((1..10).contains(&connect.tls_resumed), "{} resumed with {version}", connect.tls_resumed);
        assert!(end.output.contains(&format!("tls       10 handshakes, {} resumed", connect.tls_resumed)));
    }
}

#[test]
fn what_is_wrong_with_the_transport_is_counted_by_its_cause() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let Some(tls) = Mosquitto::with_settings(&format!("{}{OPEN}", certificates.server())) else { return };
    let Some(plain) = Mosquitto::start() else { return };
    for (broker, flags, reason) in [
        (&tls, format!("-S {}", others.authority_flag()), "TLS: invalid peer certificate: UnknownIssuer"),
        (
            &tls,
            format!("-S {} --ssl-server-name a.b", certificates.authority_flag()),
            "TLS: invalid peer certificate: ",
        ),
        (&tls, "--ws".to_owned(), "WebSocket: closed by the peer during the handshake"),
        (&plain, "-S".to_owned(), "TLS: closed by the peer during the handshake"),
    ] {
        let end = Loadgen::start("conn", broker.addr, &format!("-c 3 -i 1 {flags}")).finish();
        assert_eq!(end.code, Some(1), "{}", end.output);
        let by_reason = &end.summary.connect.by_reason;
        assert_eq!(by_reason.values().sum::<u64>(), 3, "{by_reason:?}");
        assert!(by_reason.keys().all(|found| found.starts_with(reason) || found == "ECONNRESET"), "{by_reason:?}");
    }
}

#[test]
fn flags_that_would_not_do_what_they_say_are_refused() {
    for (flags, hint) in [
        ("--cacertfile ca.pem", "add -S"),
        ("-S --cacertfile no/such.pem", "no/such.pem"),
        ("-S --ssl-version tlsv1.1", "tlsv1.2"),
        ("-S --ciphers RC4-MD5", "RC4-MD5"),
        ("-S --certfile client.pem", "--keyfile"),
        ("--ws --ws-path mqtt", "--ws-path"),
    ] {
        let output = run(&format!("conn -h 127.0.0.1 -c 1 {flags}"));
        assert!(!output.status.success() && text_of(&output).contains(hint), "{flags}: {}", text_of(&output));
    }
}

#[test]
fn a_broker_that_is_late_is_tried_again() {
    let addr = free_addr();
    let conn = Loadgen::start("conn", addr, "-c 4 -i 1 --num-retry-connect 100 --duration 200ms");
    wait_until("an attempt has failed", || conn.events().iter().any(|event| event.name == "connect_retried"));
    let Some(_broker) = Mosquitto::at(addr, OPEN) else { return };
    let end = conn.finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let connect = &end.summary.connect;
    assert_eq!((connect.succeeded, connect.failed), (4, 0));
    assert_eq!(connect.attempted, 4 + connect.retried);
    assert!(connect.retried >= 4 && end.output.contains("connect_retried total="), "{}", end.output);
}

#[test]
fn attempts_end_when_their_number_is_used_up() {
    let end = Loadgen::start("sub", free_addr(), "-c 2 -i 1 -t x --num-retry-connect 2").finish();
    assert_eq!(end.code, Some(1), "{}", end.output);
    let connect = &end.summary.connect;
    assert_eq!((connect.attempted, connect.retried, connect.failed), (6, 4, 2));
    assert_eq!(connect.by_reason.get("ECONNREFUSED"), Some(&2));
}

#[test]
fn lost_connections_come_back_and_go_on_with_their_work() {
    let Some(mut broker) = Mosquitto::with_settings(OPEN) else { return };
    let sub = Loadgen::start("sub", broker.addr, "-c 2 -i 1 -q 1 -t back/# --reconnect 100 --counters-interval 100ms");
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, "-c 3 -i 1 -q 1 -t back/%i -I 20 -s 64 --reconnect 100");
    publish.wait_ready();
    sub.wait_received(20);
    broker.kill();
    broker.restart();
    let received = sub.events();
    assert!(!received.is_empty());
    wait_until("all are back", || {
        let counted = |run: &Loadgen| run.last_row().map_or(0, |row| row.connected);
        // A row from before the loss looks the same, but for what it says of losses.
        let lost = |run: &Loadgen| run.last_row().map_or(0, |row| row.disconnected);
        (counted(&sub), counted(&publish)) == (2, 3) && (lost(&sub), lost(&publish)) == (2, 3)
    });
    let before = sub.last_row().map_or(0, |row| row.received);
    sub.wait_received(before + 50);
    for (end, clients) in [(publish.stop(), 3), (sub.stop(), 2)] {
        let connect = &end.summary.connect;
        assert_eq!((end.summary.disconnected.total, connect.reconnected), (clients, clients), "{}", end.output);
        assert!(end.output.contains(&format!("reconnect_succ total={clients}")), "{}", end.output);
        assert!(!end.summary.failures.iter().any(|text| text.contains("connections were lost")), "{}", end.output);
    }
}
