//! The load commands of the AXMQ reproduction guide (chapters 3 to 6) as they stand there, with `loadgen` in place of
//! `./emqtt_bench`; only addresses and numbers of clients are scaled down to this machine.

use std::net::SocketAddr;

use crate::support::{Finished, Loadgen, Mosquitto, Ours};

/// Chapter 3.2: four processes at the same time, with staggered keep-alive and source addresses of their own.
const STORM: [&str; 4] = [
    "./emqtt_bench conn -c 25000 -i 4 -k 1500 -V 4 -h $BROKER_IP -p 1883 --ifaddr 172.28.130.111,172.28.130.112,172.28.130.113,172.28.130.114,172.28.130.115 &",
    "./emqtt_bench conn -c 125000 -i 4 -k 1530 -V 4 -h $BROKER_IP -p 1883 --ifaddr 172.28.130.116,172.28.130.117,172.28.130.118,172.28.130.119,172.28.130.120 &",
    "./emqtt_bench conn -c 250000 -i 4 -k 1560 -V 4 -h $BROKER_IP -p 1883 --ifaddr 172.28.130.121,172.28.130.122,172.28.130.123,172.28.130.124,172.28.130.125 &",
    "./emqtt_bench conn -c 250000 -i 4 -k 1590 -V 4 -h $BROKER_IP -p 1883 --ifaddr 172.28.130.126,172.28.130.127,172.28.130.128,172.28.130.129,172.28.130.130 &",
];

/// Chapters 4.4, 5, 6.1 and 6.2 (1:10), 6.4 (N:N): subscriber, publisher, QoS, payload.
const EXCHANGES: [(&str, &str, u8, &str); 6] = [
    (FAN_OUT_SUB, FAN_OUT_PUB, 0, "256"),
    (
        "./emqtt_bench sub -V 4 -h 172.28.130.87 -c 10 -t \"bench/1\" -q 0",
        "./emqtt_bench pub -V 4 -h 172.28.130.87 -c 4000 -t \"bench/1\" -q 0 -s 1024 -I 16",
        0,
        "1024",
    ),
    (FAN_OUT_SUB, FAN_OUT_PUB, 1, "256"),
    (FAN_OUT_SUB, FAN_OUT_PUB, 2, "256"),
    (PAIRS_SUB, PAIRS_PUB, 0, "4096"),
    (PAIRS_SUB, PAIRS_PUB, 2, "1024"),
];
const FAN_OUT_SUB: &str = "./emqtt_bench sub -V 4 -h 172.28.130.87 -c 10 -t \"bench/1\" -q \"${QOS}\"";
const FAN_OUT_PUB: &str = "./emqtt_bench pub -V 4 -h 172.28.130.87 -c 4000 -t \"bench/1\" -q \"${QOS}\" -s 256 -I 16";
const PAIRS_SUB: &str = "./emqtt_bench sub -V 4 -h 172.28.130.87 -c \"${N}\" -t \"bench/nn/%i\" -q \"${QOS}\"";
const PAIRS_PUB: &str =
    "./emqtt_bench pub -V 4 -h 172.28.130.87 -c \"${N}\" -t \"bench/nn/%i\" -q \"${QOS}\" -s \"${SIZE}\" -I 16";

/// A line of the guide on this machine.
fn here(line: &str, broker: SocketAddr, qos: u8, size: &str) -> String {
    let line = line
        .trim_start_matches("./emqtt_bench ")
        .trim_end_matches(" &")
        .replace("$BROKER_IP", "127.0.0.1")
        .replace("172.28.130.87", "127.0.0.1")
        .replace("172.28.130.", "127.28.130.")
        .replace("${QOS}", &qos.to_string())
        .replace("${SIZE}", size)
        .replace("${N}", "12")
        .replace("-c 4000", "-c 12")
        .replace("-c 10 ", "-c 4 ")
        .replace("000 -i 4", " -i 4")
        .replace('"', "");
    let port = format!("-p {}", broker.port());
    if line.contains("-p 1883") { line.replace("-p 1883", &port) } else { format!("{line} {port}") }
}

/// The total of the last console line of a counter.
fn total(end: &Finished, counter: &str) -> Option<u64> {
    let mut lines = end.output.lines().filter_map(|line| line.split_once(&format!("s {counter} total=")));
    lines.next_back().and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
}

fn every_command_runs_against(broker: SocketAddr) {
    let storm = STORM.map(|line| Loadgen::line(&here(line, broker, 0, "")));
    for (conn, clients) in storm.into_iter().zip([25, 125, 250, 250]) {
        conn.wait_ready();
        let end = conn.stop();
        assert_eq!(end.code, Some(0), "{}", end.output);
        assert!(end.output.contains("addrs pool size: 5"), "{}", end.output);
        assert_eq!((end.summary.connect.succeeded, total(&end, "connect_succ")), (clients, Some(clients)));
    }
    for (sub, publish, qos, size) in EXCHANGES {
        let (sub, publish) = (here(sub, broker, qos, size), here(publish, broker, qos, size));
        let subscribers = Loadgen::line(&format!("{sub} --counters-interval 100ms"));
        subscribers.wait_ready();
        let publishers = Loadgen::line(&publish);
        publishers.wait_ready();
        subscribers.wait_received(200);
        let published = publishers.stop();
        assert_eq!(published.code, Some(0), "{publish}: {}", published.output);
        let sent = published.summary.publish.as_ref().unwrap();
        let copies = if sub.contains("%i") { 1 } else { 4 };
        subscribers.wait_received(sent.written * copies);
        let received = subscribers.stop();
        assert_eq!(received.code, Some(0), "{sub}: {}", received.output);
        // Each message once, also at QoS 0.
        assert_eq!(total(&published, "pub"), Some(sent.attempted), "{}", published.output);
        assert_eq!(total(&published, "pub_succ"), (qos > 0).then_some(sent.acked), "{}", published.output);
        assert_eq!(total(&received, "recv"), Some(sent.attempted * copies), "{}", received.output);
        assert_eq!(total(&received, "sub"), Some(if copies == 1 { 12 } else { 4 }));
        let receipt = received.summary.receive.as_ref().unwrap();
        assert_eq!((receipt.delivered, receipt.lost, receipt.duplicated), (sent.attempted * copies, 0, 0), "{sub}");
        assert_eq!(receipt.bytes, sent.attempted * copies * size.parse::<u64>().unwrap());
    }
    // emqtt_bench 0.6.2 divides by zero here.
    let one = Loadgen::line(&format!("conn -h 127.0.0.1 -p {} -R 2000 -c 1 --duration 100ms", broker.port())).finish();
    assert_eq!((one.code, one.summary.connect.succeeded), (Some(0), 1), "{}", one.output);
}

#[test]
fn against_our_broker() {
    let broker = Ours::start();
    every_command_runs_against(broker.addr);
}

#[test]
fn against_mosquitto() {
    let Some(broker) = Mosquitto::start() else { return };
    every_command_runs_against(broker.addr);
}
