//! What carries the probes: TLS, WebSocket, and a client library that is not ours.

use std::net::TcpListener;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::support::{Broker, Prober};

#[test]
fn over_tls_and_websocket() {
    let place = tempfile::tempdir().unwrap();
    make_certificates(place.path());
    let file = |name: &str| place.path().join(name).display().to_string();
    let tls = format!("certfile {}\nkeyfile {}\n", file("server.pem"), file("server.key"));
    let (authority, client, key) = (file("ca.pem"), file("client.pem"), file("client.key"));
    let mutual = format!("{tls}cafile {authority}\nrequire_certificate true\n");
    let trusted = ["-S", "--cacertfile", &authority];
    let identified = [&trusted[..], &["--certfile", &client, "--keyfile", &key]].concat();
    let secure_websocket = [&trusted[..], &["--ws"]].concat();
    for (settings, flags, name) in [
        (tls.clone(), &["-S"][..], "ssl"),
        (mutual, &identified, "ssl"),
        ("protocol websockets\n".to_owned(), &["--ws"], "ws"),
        (format!("protocol websockets\n{tls}"), &secure_websocket, "wss"),
    ] {
        // Mosquitto 2.0.11 does not start with WebSocket listeners alone.
        let other = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let settings = format!("{settings}allow_anonymous true\nlistener {other} 127.0.0.1\n");
        let broker = Broker::mosquitto_with(&settings);
        let args = [&["-n", "80", "-i", "1", "-q", "2", "-s", "3000"], flags].concat();
        let probed = Prober::new(broker.port, &args).run().succeeded();
        assert_eq!((probed.summary().received, probed.summary().corrupted), (80, 0), "{name}");
        assert_eq!(probed.run.meta.as_ref().unwrap().config["transport"], name);
        assert_eq!(probed.stderr().contains("is not verified"), flags == ["-S"], "{}", probed.stderr());
    }
}

#[test]
fn a_server_that_is_not_trusted() {
    let (place, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    [&place, &other].into_iter().for_each(|place| make_certificates(place.path()));
    let file = |name: &str| place.path().join(name).display().to_string();
    let tls = format!("certfile {}\nkeyfile {}\nallow_anonymous true\n", file("server.pem"), file("server.key"));
    let broker = Broker::mosquitto_with(&tls);
    let wrong = other.path().join("ca.pem").display().to_string();
    let message = Prober::new(broker.port, &["-S", "--cacertfile", &wrong]).run().failed().stderr();
    assert!(message.contains("certificate"), "{message}");
    let message = Prober::new(broker.port, &["--cacertfile", &wrong]).command.output().unwrap().stderr;
    assert!(String::from_utf8_lossy(&message).contains("--cacertfile without TLS would change nothing: add -S"));
}

#[test]
fn the_library_probes_as_we_do() {
    let broker = Broker::mosquitto();
    for (version, qos, pairs) in [("4", "0", "1"), ("4", "1", "2"), ("5", "0", "2"), ("5", "2", "1")] {
        let args = ["--client", "rumqttc", "-n", "150", "-i", "2", "-V", version, "-q", qos, "--pairs", pairs];
        let probed = Prober::new(broker.port, &args).run().succeeded();
        let summary = probed.summary();
        let sent = 150 * pairs.parse::<u64>().unwrap();
        assert_eq!((summary.client.as_str(), summary.sent, summary.received), ("rumqttc", sent, sent));
        assert_eq!((summary.lost, summary.duplicated, summary.corrupted), (0, 0, 0));
        assert_eq!((summary.latency_us.count, summary.floor), (sent, None));
        assert!(summary.latency_us.min > Some(0.0) && probed.stdout().starts_with("P50: "));
    }
    let message = Prober::new(broker.port, &["--client", "rumqttc", "--ws"]).command.output().unwrap().stderr;
    assert!(String::from_utf8_lossy(&message).contains("--client rumqttc does not do -S and --ws"));
    let refused = Broker::mosquitto_with("allow_anonymous false");
    let message = Prober::new(refused.port, &["--client", "rumqttc"]).run().failed().stderr();
    assert!(message.contains("rumqttc failed"), "{message}");
}

/// An authority, a server for 127.0.0.1 and a client, as PEM files.
fn make_certificates(place: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // A name of its own: issuers are looked up by name.
    params.distinguished_name.push(DnType::CommonName, place.display().to_string());
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(place.join("ca.pem"), authority.pem()).unwrap();
    for (name, subjects) in [("server", vec!["127.0.0.1".to_owned()]), ("client", vec![])] {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(subjects).unwrap().signed_by(&key, &authority).unwrap();
        std::fs::write(place.join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(place.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}
