//! What the packets carry: payloads, headers, templates, files of topics, properties; seen with Mosquitto's own client.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::exchange::exchange;
use crate::support::{Listener, Loadgen, Mosquitto, run, text_of};

/// What `mosquitto_sub` prints of `count` messages while `loadgen pub` sends as many.
fn seen(broker: &Mosquitto, topic: &str, format: &str, count: usize, publish: &str) -> Vec<String> {
    let listener = Listener::start(broker.addr, topic, format, count);
    let end = Loadgen::start("pub", broker.addr, publish).finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    listener.finish()
}

#[test]
fn payloads_are_text_files_or_templates() {
    let Some(broker) = Mosquitto::start() else { return };
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("payload");
    std::fs::write(&path, "t=%TIMESTAMPMS% u=%UNIQUE% r=%RANDOM% 100%").unwrap();
    let common = "-c 1 -t m/%i/%s -I 5 -L 3 -q 1 -V 4";
    let lines = seen(&broker, "m/1/+", "%t %p", 3, &format!("{common} -m hello"));
    assert_eq!(lines, ["m/1/1 hello", "m/1/2 hello", "m/1/3 hello"]);
    let file = format!("{common} -m file://{}", path.display());
    assert_eq!(seen(&broker, "m/1/+", "%p", 3, &file), ["t=%TIMESTAMPMS% u=%UNIQUE% r=%RANDOM% 100%"; 3]);
    let template = format!("{common} -s 0 -m template://{}", path.display());
    let lines = seen(&broker, "m/1/+", "%p", 3, &template);
    let mut uniques = Vec::new();
    for line in &lines {
        let words: Vec<_> = line.split(' ').collect();
        let time: u64 = words[0].strip_prefix("t=").unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
        assert!(now - time < 60_000, "{line} at {now}");
        uniques.push(words[1].to_owned());
        assert_eq!(words[2..], ["r=", "100%"]);
    }
    uniques.dedup();
    assert_eq!(uniques.len(), 3, "{lines:?}");
}

#[test]
fn payload_headers_are_written_and_read() {
    let Some(broker) = Mosquitto::start() else { return };
    let lines = seen(&broker, "h", "%x", 3, "-c 1 -t h -I 5 -L 3 -m x --payload-hdrs cnt64,ts");
    for (at, line) in lines.iter().enumerate() {
        assert_eq!((line.len(), &line[..16], &line[32..]), (34, format!("{at:016x}").as_str(), "78"), "{line}");
    }
    // Before our own payload they change nothing in the account, and add emqtt_bench's line.
    let common = "-c 3 -q 1 -t h/%i --payload-hdrs ts,cnt64";
    let (sub, _) = exchange(&broker, common, &format!("{common} -I 3 -s 100 -w"), 300, 1);
    assert!(sub.output.contains("s publish_latency avg="), "{}", sub.output);
    assert_eq!(sub.summary.receive.unwrap().latency_us.count, 300);
    // Instead of it, the counter and the time take its place.
    let sub = Loadgen::start("sub", broker.addr, &format!("{common} --counters-interval 100ms"));
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, &format!("{common} -I 3 -L 60 -m hello")).finish();
    assert!(publish.output.contains("do not say who sent them"), "{}", publish.output);
    sub.wait_received(60);
    let received = sub.stop().summary.receive.unwrap();
    assert_eq!((received.delivered, received.lost, received.duplicated, received.out_of_order), (60, 0, 0, 0));
    assert_eq!(received.latency_us.count, 60);
}

#[test]
fn a_file_of_topics_is_published_by_every_client() {
    let Some(broker) = Mosquitto::start() else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    let text = r#"{"topics": [
        {"name": "fast/%i", "interval_ms": "10", "inject_timestamp": "ns", "QoS": 1, "payload": {"v": 1, "timestamp": "0"}},
        {"name": "slow/%c", "interval_ms": "100", "inject_timestamp": false, "QoS": 2, "render": "id",
         "payload": {"id": "car-%i"}}]}"#;
    std::fs::write(file.path(), text).unwrap();
    let flags = format!("-c 2 --shortids --prefix p --topics-payload {} -L 66 -F 0 -w", file.path().display());
    let lines = seen(&broker, "+/+", "%t %q %p", 66, &flags);
    let count = |wanted: &str| lines.iter().filter(|line| line.starts_with(wanted)).count();
    // Ten to one, as far as the last interval has come.
    assert!((28..=32).contains(&count("fast/1 1 {\"timestamp\":1")), "{lines:?}");
    assert!((28..=32).contains(&count("fast/2 1 {\"timestamp\":1")), "{lines:?}");
    assert!((2..=4).contains(&count("slow/p1 2 {\"id\":\"car-1\"}")), "{lines:?}");
    assert!((2..=4).contains(&count("slow/p2 2 {\"id\":\"car-2\"}")), "{lines:?}");
}

#[test]
fn properties_reach_the_subscriber() {
    let Some(broker) = Mosquitto::start() else { return };
    let flags = "-c 1 -t p -I 5 -L 2 -q 1 -m x --content-type text/plain --response-topic re/ply --correlation-data cor \
                 --message-expiry 100 --payload-format 1 --user-property a=b --user-property c=d=e --topic-alias";
    let lines = seen(&broker, "p", "%t|%C|%R|%D|%F|%P", 2, flags);
    assert_eq!(lines, ["p|text/plain|re/ply|cor|1|a:b c:d=e"; 2]);
    let v4 = run("pub -h 127.0.0.1 -V 4 -t p --content-type text/plain");
    assert!(!v4.status.success() && text_of(&v4).contains("--content-type needs MQTT 5.0"), "{}", text_of(&v4));
}

#[test]
fn topic_aliases_lose_nothing() {
    let Some(broker) = Mosquitto::start() else { return };
    for qos in [0, 1, 2] {
        let common = format!("-c 3 -q {qos} -t alias/{qos}/%i");
        exchange(&broker, &common, &format!("{common} -I 2 -s 64 --topic-alias -F 0"), 301, 1);
    }
    let end = Loadgen::start("pub", broker.addr, "-c 1 -t alias/%s -I 1 -L 5 --topic-alias").finish();
    assert_eq!(end.code, Some(0), "a topic that changes has no alias: {}", end.output);
}

#[test]
fn shared_subscriptions_divide_the_messages_and_account_for_them_together() {
    let Some(broker) = Mosquitto::start() else { return };
    let (sub, _) =
        exchange(&broker, "-c 4 -q 1 -t $share/g/share/# --threads 1", "-c 3 -q 1 -t share/%i -I 3 -s 64", 200, 1);
    assert_eq!(sub.summary.receive.unwrap().out_of_order, 0, "order among several receivers is not judged");
}

#[test]
fn subscription_options_are_sent() {
    let Some(broker) = Mosquitto::start() else { return };
    let retained = Loadgen::start("pub", broker.addr, "-c 1 -t kept -I 1 -L 1 -q 1 -r -m x").finish();
    assert_eq!(retained.code, Some(0), "{}", retained.output);
    for (handling, wanted) in [(0, 1), (2, 0)] {
        let flags = format!(
            "-c 1 -t kept --retain-handling {handling} --subscription-identifier 7 --no-local --duration 500ms"
        );
        let end = Loadgen::start("sub", broker.addr, &flags).finish();
        assert_eq!(end.code, Some(0), "{}", end.output);
        assert_eq!(end.summary.receive.unwrap().delivered, wanted, "retain handling {handling}");
    }
}

#[test]
fn a_lost_client_leaves_its_will() {
    let Some(broker) = Mosquitto::start() else { return };
    let listener = Listener::start(broker.addr, "will/#", "%t|%p|%C|%P", 2);
    let conn = Loadgen::start(
        "conn",
        broker.addr,
        "-c 2 -i 1 --prefix w --shortids --will-topic will/%c --will-message gone --will-qos 1 --will-content-type t/x \
         --will-user-property k=v",
    );
    conn.wait_ready();
    conn.signal(Signal::SIGKILL);
    let mut lines = listener.finish();
    lines.sort();
    assert_eq!(lines, ["will/w1|gone|t/x|k:v", "will/w2|gone|t/x|k:v"]);
}

#[test]
fn credentials_come_from_templates_or_from_a_file() {
    let dir = TempDir::new().unwrap();
    let passwords = dir.path().join("passwords");
    std::fs::write(&passwords, "u1:p1\nu2:p2\nann:secret\nbob:other\n").unwrap();
    assert!(Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status().unwrap().success());
    let settings = format!("allow_anonymous false\npassword_file {}\n", passwords.display());
    let Some(broker) = Mosquitto::with_settings(&settings) else { return };
    let file = dir.path().join("clients.csv");
    std::fs::write(&file, "client_id,username,password\nx1,ann,secret\nx2,bob,other\nx3,bob,wrong\n").unwrap();
    let from_file = format!("--clients-file {}", file.display());
    for (flags, good, bad) in [("-c 2 -u u%i -P p%i", 2, 0), (from_file.as_str(), 2, 1)] {
        let end = Loadgen::start("conn", broker.addr, &format!("-i 1 --duration 100ms {flags}")).finish();
        let connect = &end.summary.connect;
        assert_eq!((connect.succeeded, connect.failed), (good, bad), "{flags}: {}", end.output);
    }
    let many = run(&format!("conn -h 127.0.0.1 -c 4 {from_file}"));
    assert!(text_of(&many).contains("names 3 clients only"), "{}", text_of(&many));
}

/// A server that acknowledges nothing until the same message has come again.
#[test]
fn an_unacknowledged_message_is_sent_again() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let packet = |stream: &mut TcpStream| {
            let mut head = [0; 2];
            stream.read_exact(&mut head).unwrap();
            assert!(head[1] < 128, "packets of this test are short");
            let mut body = vec![0; usize::from(head[1])];
            stream.read_exact(&mut body).unwrap();
            (head[0], body)
        };
        assert_eq!(packet(&mut stream).0, 0x10);
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let (first, again) = (packet(&mut stream), packet(&mut stream));
        assert_eq!((first.0, again.0), (0x32, 0x3a), "the second has the DUP flag");
        assert_eq!(first.1, again.1);
        // Topic `r`, then the packet identifier.
        stream.write_all(&[0x40, 2, again.1[3], again.1[4]]).unwrap();
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let end = Loadgen::start("pub", addr, "-V 4 -c 1 -t r -q 1 -s 40 -L 1 -I 10 --retry-interval 1").finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let published = end.summary.publish.unwrap();
    assert_eq!((published.attempted, published.acked), (1, 1));
    server.join().unwrap();
}

#[test]
fn publishers_wait_their_random_time() {
    let Some(broker) = Mosquitto::start() else { return };
    let flags = "-c 5 -i 1 -t w -I 1 -L 5 -q 1 --min-random-wait 400 --max-random-wait 600";
    let publish = Loadgen::start("pub", broker.addr, flags).finish();
    assert_eq!(publish.code, Some(0), "{}", publish.output);
    assert!(publish.summary.elapsed_s >= 0.4, "{}", publish.summary.elapsed_s);
}

#[test]
fn lines_go_nowhere_and_ignored_flags_are_named() {
    let Some(broker) = Mosquitto::start() else { return };
    let end = Loadgen::start(
        "conn",
        broker.addr,
        "-c 1 --log_to null -Q true -l -d --keyex-algs x --duration 1200ms -s --version 4",
    )
    .finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    assert!(!end.output.contains("connect_succ total") && end.output.contains("-Q/--qoe is ignored"), "{}", end.output);
    assert!(end.output.contains("--keyex-algs is ignored"), "{}", end.output);
    let quic = run("conn -h 127.0.0.1 -c 1 --quic true");
    assert!(!quic.status.success() && text_of(&quic).contains("--quic"), "{}", text_of(&quic));
}
