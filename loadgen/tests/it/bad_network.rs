//! A proxy between loadgen and Mosquitto that does known damage, and the accounts that must show exactly that.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use mqtt_wire::{Frame, PacketType};
use nix::sys::signal::Signal;
use runlog::summary::ReceiveSummary;

use crate::support::{Background, Loadgen, Mosquitto, run, text_of, wait_until};

/// What happens to a frame on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Drop,
    Repeat,
    /// Changes one byte of the payload.
    Damage,
    /// Lets the next one of its kind go first.
    Overtaken,
    /// Passes it after a pause.
    Delay(Duration),
}

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    ToBroker,
    ToClient,
}

/// A TCP proxy that gives the `n`-th frame of one type, on one way, a fate.
struct Proxy {
    addr: SocketAddr,
    /// Frames of the type and way that have come.
    seen: Arc<AtomicU64>,
    /// Those that have been passed on, each as often as it was.
    passed: Arc<AtomicU64>,
}

impl Proxy {
    fn start(
        broker: SocketAddr,
        way: Way,
        packet_type: PacketType,
        fate: impl Fn(u64) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let (seen, passed, fate) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::new(fate));
        let (counter, sent) = (seen.clone(), passed.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let broker = TcpStream::connect(broker).unwrap();
                for (one, other, this_way) in [
                    (client.try_clone().unwrap(), broker.try_clone().unwrap(), Way::ToBroker),
                    (broker, client, Way::ToClient),
                ] {
                    let (fate, counter, sent) = (fate.clone(), counter.clone(), sent.clone());
                    thread::spawn(move || {
                        let chosen = |frame: &Frame| {
                            let hit = this_way == way && frame.packet_type() == Ok(packet_type);
                            hit.then(|| fate(counter.fetch_add(1, Ordering::SeqCst)))
                        };
                        pump(one, &other, chosen, &sent);
                        let _ = other.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Self { addr, seen, passed }
    }
}

/// Copies frames until either side ends, and counts those that a fate was dealt to and that were sent.
fn pump(mut from: TcpStream, mut to: &TcpStream, fate: impl Fn(&Frame) -> Option<Fate>, passed: &AtomicU64) {
    let (mut bytes, mut held): (Vec<u8>, VecDeque<Vec<u8>>) = (Vec::new(), VecDeque::new());
    let mut buf = [0; 65_536];
    while let Ok(count) = from.read(&mut buf) {
        if count == 0 {
            break;
        }
        bytes.extend_from_slice(&buf[..count]);
        let (mut used, mut out, mut copies) = (0, Vec::new(), 0);
        while let Some(frame) = Frame::split(&bytes[used..], u32::MAX).expect("both ends speak MQTT") {
            used += frame.raw.len();
            let fate = fate(&frame);
            copies += match fate {
                None | Some(Fate::Drop | Fate::Overtaken) => 0,
                Some(Fate::Repeat) => 2,
                Some(_) => 1,
            };
            match fate.unwrap_or(Fate::Pass) {
                Fate::Drop => continue,
                Fate::Overtaken => {
                    held.push_back(frame.raw.to_vec());
                    continue;
                }
                Fate::Pass => out.extend_from_slice(frame.raw),
                Fate::Repeat => out.extend_from_slice(&[frame.raw, frame.raw].concat()),
                Fate::Damage => {
                    out.extend_from_slice(frame.raw);
                    *out.last_mut().expect("a frame has bytes") ^= 0x40;
                }
                Fate::Delay(pause) => {
                    thread::sleep(pause);
                    out.extend_from_slice(frame.raw);
                }
            }
            copies += held.len() as u64;
            held.drain(..).for_each(|frame| out.extend(frame));
        }
        bytes.drain(..used);
        if to.write_all(&out).is_err() {
            break;
        }
        passed.fetch_add(copies, Ordering::SeqCst);
    }
}

/// One subscriber behind a proxy that deals out `fate`; one publisher that sends `limit` messages.
fn receive_through(fate: impl Fn(u64) -> Fate + Send + Sync + 'static, limit: u64) -> Option<ReceiveSummary> {
    let broker = Mosquitto::start()?;
    let proxy = Proxy::start(broker.addr, Way::ToClient, PacketType::Publish, fate);
    let sub = Loadgen::start("sub", proxy.addr, "-c 1 -q 0 -t bad/net --counters-interval 50ms");
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, &format!("-c 1 -q 1 -t bad/net -I 1 -s 64 -L {limit}")).finish();
    assert_eq!(publish.code, Some(0), "{}", publish.output);
    wait_until("all frames have reached the proxy and the subscriber", || {
        let came = sub.last_row().map_or(0, |row| row.received);
        proxy.seen.load(Ordering::SeqCst) == limit && came == proxy.passed.load(Ordering::SeqCst)
    });
    let end = sub.stop();
    assert_eq!(end.code, Some(0), "{}", end.output);
    end.assert_run_dir_complete();
    end.summary.receive
}

#[test]
fn each_kind_of_damage_is_counted_exactly() {
    let fate = |n: u64| match n % 20 {
        3 | 4 => Fate::Drop,
        7 => Fate::Repeat,
        11 => Fate::Damage,
        15 => Fate::Overtaken,
        _ => Fate::Pass,
    };
    let Some(received) = receive_through(fate, 400) else { return };
    assert_eq!((received.verified, received.foreign, received.corrupted), (400 - 40, 0, 20), "copies included");
    assert_eq!(received.duplicated, 20);
    assert_eq!(received.out_of_order, 20);
    // A damaged message names no sender that could be trusted: its number is missing as well.
    assert_eq!(received.lost, 40 + 20);
    assert_eq!(received.delivered, 400 - 60);
    assert_eq!(received.latency_us.count, 340, "each message once");
}

/// What is left of the pattern shows that the sender is one of ours, even where not one message comes whole.
#[test]
fn a_receiver_of_nothing_but_damage_knows_that_it_is_damage() {
    let Some(received) = receive_through(|_| Fate::Damage, 50) else { return };
    assert_eq!((received.verified, received.foreign, received.corrupted), (0, 0, 50));
    assert_eq!(received.delivered, 0);
}

/// A receiver alone cannot know that the last messages are missing: the sender's ledger tells.
#[test]
fn publisher_and_subscriber_reconcile_what_only_both_can_know() {
    let Some(broker) = Mosquitto::start() else { return };
    // Of 100 messages on each of two topics: the last five of the first never come, and one is changed on its way.
    let fate = |n: u64| match n {
        10 => Fate::Damage,
        20 => Fate::Repeat,
        95.. => Fate::Drop,
        _ => Fate::Pass,
    };
    let proxy = Proxy::start(broker.addr, Way::ToClient, PacketType::Publish, fate);
    let dir = tempfile::TempDir::new().unwrap();
    let shared = dir.path().join("experiment");
    let start = |role: &str, addr: SocketAddr, args: &str| {
        Background::start(&format!(
            "{role} -h {} -p {} {args} -i 1 --counters-interval 50ms --share {} --barrier 4",
            addr.ip(),
            addr.port(),
            shared.display()
        ))
    };
    let damaged = start("sub", proxy.addr, "-c 1 -t rec/1 -q 0");
    let whole = start("sub", broker.addr, "-c 2 -t rec/2 -q 1");
    let publishers =
        [1, 2].map(|topic| start("pub", broker.addr, &format!("-c 1 -t rec/{topic} -q 1 -I 2 -s 64 -L 100")));
    for publisher in publishers {
        let end = publisher.finish();
        assert_eq!(end.status.code(), Some(0), "{}", text_of(&end));
    }
    wait_until("all frames have reached the proxy and the subscribers", || {
        let runs = runlog::discover(std::slice::from_ref(&shared)).unwrap();
        let rows = runs.iter().filter_map(|run| Some(run.counters().ok()?.value.last()?.received));
        let came: u64 = rows.sum();
        proxy.seen.load(Ordering::SeqCst) == 100 && came == 200 + proxy.passed.load(Ordering::SeqCst)
    });
    for sub in [damaged, whole] {
        sub.signal(Signal::SIGTERM);
        let end = sub.finish();
        assert_eq!(end.status.code(), Some(0), "{}", text_of(&end));
    }
    let output = run(&format!("reconcile {} --json -", shared.display()));
    assert_eq!(output.status.code(), Some(1), "not everything arrived: {}", text_of(&output));
    let account: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |topic: &str, name: &str| account["topics"][topic][name].as_u64().unwrap();
    assert_eq!(account["runs"].as_array().unwrap().len(), 4);
    let sent = ["offered", "attempted", "written", "acked"];
    assert_eq!(sent.map(|name| of("rec/1", name)), [100; 4]);
    let got = ["expected", "delivered", "lost", "corrupted", "duplicated", "out_of_order", "unaccounted"];
    assert_eq!(got.map(|name| of("rec/1", name)), [100, 94, 6, 1, 1, 0, 0]);
    assert_eq!(got.map(|name| of("rec/2", name)), [200, 200, 0, 0, 0, 0, 0], "two subscribers");
    assert_eq!(account["overall"]["lost"].as_u64(), Some(6));
    let text = text_of(&run(&format!("reconcile {}", shared.display())));
    assert!(text.contains("4 runs, 2 topics") && text.contains("rec/1: ") && !text.contains("rec/2: "), "{text}");
}

#[test]
fn the_first_messages_of_a_sender_are_missed_too() {
    let fate = |n: u64| if n < 5 { Fate::Drop } else { Fate::Pass };
    let Some(received) = receive_through(fate, 100) else { return };
    assert_eq!((received.lost, received.delivered), (5, 95));
}

/// Open loop: a peer that acknowledges slowly changes what is sent and when, and not what was offered.
#[test]
fn a_full_window_delays_messages_and_the_plan_goes_on() {
    let Some(broker) = Mosquitto::start() else { return };
    let pause = Duration::from_millis(100);
    let proxy = Proxy::start(broker.addr, Way::ToClient, PacketType::PubAck, move |_| Fate::Delay(pause));
    let end = Loadgen::start("pub", proxy.addr, "-c 1 -q 1 -t slow -I 10 -F 1 --duration 3s").finish();
    assert_eq!(end.code, Some(0), "{}", end.output);
    let publish = end.summary.publish.as_ref().unwrap();
    assert!(publish.attempted <= 32, "one per 100 ms at most: {}", publish.attempted);
    assert!(publish.offered >= 200, "one per 10 ms: {}", publish.offered);
    assert_eq!(publish.acked, publish.attempted);
    assert_eq!(publish.send_lag_us.count, publish.attempted);
    assert!(publish.late_max_us >= 1_000_000, "the last one sent was due long before: {} us", publish.late_max_us);
    assert!(!end.summary.generator_limited, "the peer was the limit: {}", end.output);
    assert!(end.output.contains("pub_overrun total="), "{}", end.output);
}

/// A QoS 2 PUBLISH that comes again before its PUBREL is one message.
#[test]
fn a_repeated_qos_2_publish_is_received_once() {
    let Some(broker) = Mosquitto::start() else { return };
    let proxy = Proxy::start(broker.addr, Way::ToClient, PacketType::Publish, |_| Fate::Repeat);
    let sub = Loadgen::start("sub", proxy.addr, "-c 1 -q 2 -t twice --counters-interval 100ms");
    sub.wait_ready();
    let publish = Loadgen::start("pub", broker.addr, "-c 1 -q 2 -t twice -I 1 -L 50").finish();
    assert_eq!(publish.code, Some(0), "{}", publish.output);
    sub.wait_received(50);
    let received = sub.stop().summary.receive.unwrap();
    assert_eq!((received.delivered, received.duplicated, received.lost), (50, 0, 0));
}

/// The poison of one connection ends that connection, with the reason.
#[test]
fn bytes_that_are_not_mqtt_end_the_connection_with_a_reason() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut client = client;
            let _ = client.read(&mut [0; 512]);
            let _ = client.write_all(&b"HTTP/1.1 400 Bad Request\r\n".repeat(10));
            keep.lock().unwrap().push(client);
        }
    });
    let end = Loadgen::start("conn", addr, "-c 2 -i 1").finish();
    assert_eq!(end.code, Some(1), "{}", end.output);
    assert_eq!(end.summary.connect.by_reason.values().sum::<u64>(), 2);
    assert_eq!(kept.lock().unwrap().len(), 2);
    let events = end.events();
    let evidence: Vec<_> = events.iter().filter(|event| event.name == "evidence").collect();
    assert_eq!(evidence.len(), 2, "{events:?}");
    for event in evidence {
        assert_eq!(event.detail["offset"], 0);
        let file = end.run_dir().join(event.detail["file"].as_str().unwrap());
        assert!(std::fs::read(file).unwrap().starts_with(b"HTTP/1.1 400 Bad Request"), "{event:?}");
    }
}
