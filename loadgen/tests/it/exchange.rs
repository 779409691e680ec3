//! Publishers and subscribers over Mosquitto: everything arrives, and every count agrees with every other.

use crate::support::{Finished, Loadgen, Mosquitto};

/// Subscribers first; then publishers send exactly `limit` messages; then, when all have arrived, subscribers stop.
pub(crate) fn exchange(broker: &Mosquitto, sub: &str, publish: &str, limit: u64, copies: u64) -> (Finished, Finished) {
    let sub = Loadgen::start("sub", broker.addr, &format!("{sub} -R 1000 --counters-interval 100ms"));
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, &format!("{publish} -R 1000 -L {limit}")).finish();
    sub.wait_received(limit * copies);
    let sub = sub.stop();
    for end in [&sub, &publish] {
        assert_eq!(end.code, Some(0), "{}", end.output);
        assert!(end.summary.ok && end.summary.failures.is_empty(), "{:?}", end.summary.failures);
        end.assert_run_dir_complete();
    }
    let published = publish.summary.publish.as_ref().expect("a publisher's summary");
    assert_eq!((published.offered, published.attempted, published.written), (limit, limit, limit));
    assert_eq!(published.send_lag_us.count, limit);
    let received = sub.summary.receive.as_ref().expect("a subscriber's summary");
    assert_eq!(received.delivered, limit * copies);
    assert_eq!((received.lost, received.duplicated, received.corrupted), (0, 0, 0));
    for connect in [&sub.summary.connect, &publish.summary.connect] {
        assert_eq!((connect.established_us.count, connect.connack_us.count), (connect.succeeded, connect.succeeded));
        assert!(connect.established_us.max <= connect.connack_us.max, "{connect:?}");
    }
    assert_eq!(sub.summary.connect.suback_us.count, sub.summary.connect.succeeded);
    assert_eq!(publish.summary.connect.suback_us.count, 0);
    (sub, publish)
}

#[test]
fn nothing_is_lost_at_any_qos_in_any_version() {
    let Some(broker) = Mosquitto::start() else { return };
    for version in [3, 4, 5] {
        for qos in [0, 1, 2] {
            let limit = 503;
            let common = format!("-V {version} -q {qos} -c 5 -t exact/{version}/{qos}/%i");
            let (sub, publish) = exchange(&broker, &common, &format!("{common} -I 1 -s 100"), limit, 1);
            let published = publish.summary.publish.unwrap();
            assert_eq!(published.acked, if qos == 0 { 0 } else { limit }, "{common}");
            let received = sub.summary.receive.unwrap();
            assert_eq!(received.bytes, limit * 100);
            assert_eq!((received.latency_us.count, received.out_of_order), (limit, 0));
            assert_eq!((received.verified, received.foreign), (limit, 0));
            assert_eq!(received.uncorrected_latency_us.count, limit);
            assert!(received.latency_us.max >= received.uncorrected_latency_us.max, "due is never after sent");
        }
    }
}

#[test]
fn a_fan_out_delivers_each_message_to_each_subscriber() {
    let Some(broker) = Mosquitto::start() else { return };
    let (sub, _) = exchange(&broker, "-c 4 -q 1 -t fan/#", "-c 3 -q 1 -t fan/%c -I 2", 300, 4);
    assert_eq!(sub.summary.connect.succeeded, 4);
    assert!(sub.output.contains("s sub total=4 rate=") && sub.output.contains(" recv total="), "{}", sub.output);
}

#[test]
fn flat_out_publishing_keeps_to_the_limit_and_the_window() {
    let Some(broker) = Mosquitto::start() else { return };
    exchange(&broker, "-c 2 -q 2 -t flat/%i", "-c 2 -q 2 -t flat/%i -I 0 -F 10 -s 16", 3_001, 1);
    exchange(&broker, "-c 2 -q 0 -t flat/%i", "-c 2 -q 0 -t flat/%i -I 0 -s 2000 -w", 2_001, 1);
}

#[test]
fn large_payloads_cross_read_and_write_buffers() {
    let Some(broker) = Mosquitto::start() else { return };
    let (sub, _) = exchange(&broker, "-c 2 -q 1 -t large/%i", "-c 2 -q 1 -t large/%i -I 5 -s 1500000", 20, 1);
    assert_eq!(sub.summary.receive.unwrap().bytes, 20 * 1_500_000);
}

#[test]
fn payloads_too_short_for_a_stamp_are_delivered_without_latency() {
    let Some(broker) = Mosquitto::start() else { return };
    let (sub, _) = exchange(&broker, "-c 1 -t short", "-c 1 -t short -I 1 -s 8", 50, 1);
    assert_eq!(sub.summary.receive.unwrap().latency_us.count, 0);
}

#[test]
fn topics_may_carry_the_number_of_the_message() {
    let Some(broker) = Mosquitto::start() else { return };
    let sub = Loadgen::start("sub", broker.addr, "-c 1 -t numbered/1/7 --counters-interval 100ms");
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, "-c 1 -t numbered/%i/%s -I 1 -L 9").finish();
    assert_eq!(publish.code, Some(0), "{}", publish.output);
    sub.wait_received(1);
    let received = sub.stop().summary.receive.unwrap();
    assert_eq!((received.delivered, received.lost), (1, 6), "the seventh of nine; the six before it went elsewhere");
}

#[test]
fn idle_connections_live_on_keep_alive_and_take_source_addresses_in_turn() {
    let Some(broker) = Mosquitto::start() else { return };
    // Mosquitto drops a client after one and a half keep alive intervals of silence.
    let args = "-c 30 -R 2000 -k 1 --duration 3s --ifaddr 127.0.0.11-13 -V 4";
    let end = Loadgen::start("conn", broker.addr, args).finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let connect = &end.summary.connect;
    assert_eq!((connect.attempted, connect.succeeded, connect.failed), (30, 30, 0));
    assert_eq!((connect.connack_us.count, end.summary.disconnected.total), (30, 0));
    assert!(
        end.output.contains("addrs pool size: 3") && end.output.contains("1s connect_succ total=30"),
        "{}",
        end.output
    );
    end.assert_run_dir_complete();
}

#[test]
fn the_same_seed_gives_the_same_client_ids() {
    let Some(broker) = Mosquitto::start() else { return };
    // A second client with the same id takes the first one's session over, which ends the first one's connection.
    let first = Loadgen::start("conn", broker.addr, "-c 1 --seed 7");
    first.wait_ready();
    let other = Loadgen::start("conn", broker.addr, "-c 1 --seed 8 --duration 100ms").finish();
    assert_eq!(other.code, Some(0), "{}", other.output);
    let same = Loadgen::start("conn", broker.addr, "-c 1 --seed 7 --duration 1s").finish();
    assert_eq!(same.code, Some(0), "{}", same.output);
    let first = first.finish();
    assert_eq!((first.code, first.summary.disconnected.total), (Some(1), 1), "{}", first.output);
}

#[test]
fn parts_of_a_load_are_numbered_as_the_whole_and_time_only_their_own_messages() {
    let Some(broker) = Mosquitto::start() else { return };
    let clients = "-c 3 -R 1000 -t part/%i -q 1 --counters-interval 100ms";
    let subs = ["1/2", "2/2"].map(|part| Loadgen::start("sub", broker.addr, &format!("{clients} --part {part}")));
    subs.iter().for_each(Loadgen::wait_ready);
    // Both publish to the topic of the last client, which only the second part's subscribers have.
    for part in ["1/2", "2/2"] {
        let args = format!("-c 2 -t part/3 -q 1 -I 1 -L 40 -s 64 --part {part}");
        let end = Loadgen::start("pub", broker.addr, &args).finish();
        let publish = end.summary.publish.as_ref().expect("a publisher's summary");
        assert_eq!((end.code, publish.written), (Some(0), 40), "{}", end.output);
    }
    subs[1].wait_received(80);
    let [first, second] = subs.map(Loadgen::stop);
    let connected = [&first, &second].map(|end| end.summary.connect.succeeded);
    assert_eq!(connected, [1, 2], "three clients in two parts");
    let of = |end: &Finished| end.summary.receive.clone().expect("a subscriber's summary");
    assert_eq!(of(&first).delivered, 0, "its client is number 1");
    let received = of(&second);
    assert_eq!((received.delivered, received.lost, received.duplicated, received.corrupted), (80, 0, 0, 0));
    assert_eq!(received.latency_us.count, 40, "the other half carries the times of another clock");
}
