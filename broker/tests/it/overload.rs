//! Many ends at once, memory that runs out, and how the broker tells what it does about it.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance::case::Lab;
use conformance::client::Outcome;
use conformance::wire::{self, Connect, Version};
use nix::sys::socket::{setsockopt, sockopt};

use crate::support::{Broker, PATIENCE};

/// More than are dealt with in one turn.
const CROWD: usize = 400;

/// Connects a crowd, each with a subscription of its own and with one that all have.
fn crowd(broker: &Broker, lab: &Lab, keep_alive: u16) -> Vec<TcpStream> {
    let streams: Vec<TcpStream> = (0..CROWD)
        .map(|n| {
            let mut stream = TcpStream::connect(broker.address).expect("connected");
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            stream
                .write_all(&Connect::new(lab.version, format!("crowd{n}")).keep_alive(keep_alive).bytes())
                .expect("sent");
            let own = format!("own/{n}/+");
            stream.write_all(&wire::subscribe(lab.version, 1, &[], &[(&own, 1), ("all/#", 0)])).expect("sent");
            stream
        })
        .collect();
    for mut stream in &streams {
        // CONNACK of four bytes, SUBACK of six.
        let mut answers = [0; 10];
        stream.read_exact(&mut answers).expect("answered");
        assert_eq!((answers[..4].to_vec(), &answers[8..]), (vec![0x20, 2, 0, 0], &[1, 0][..]));
    }
    streams
}

fn reset(streams: Vec<TcpStream>) {
    for stream in &streams {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        setsockopt(stream, sockopt::Linger, &at_once).expect("SO_LINGER is set");
    }
    drop(streams);
}

/// Whoever stays is served, and nothing of who went is left.
#[test]
fn a_crowd_vanishes_by_reset() -> Outcome {
    for workers in [1, 3] {
        let mut broker = Broker::start(workers);
        let lab = broker.lab(Version::V311, "vanish");
        let mut subscriber = lab.subscriber("subscriber", "flow", 1)?;
        let mut publisher = lab.client("publisher")?;
        let crowd = crowd(&broker, &lab, 0);
        let full = broker.wait_until_held(CROWD as u64 + 2, CROWD as u64 + 2);
        assert!(full.get("filters") > CROWD as u64, "{full:?}");
        reset(crowd);
        for n in 0..100 {
            publisher.publish(&lab.publish("flow", n.to_string()).qos(1, 0))?;
            publisher.publish(&lab.publish("all/x", "to those who are still there"))?;
            subscriber.message("flow", &n.to_string())?;
        }
        let left = broker.wait_until_held(2, 2);
        // Each worker knows that somebody subscribes to `flow`.
        assert!(left.get("filters") <= workers as u64, "{left:?}");
    }
    Ok(())
}

#[test]
fn a_crowd_falls_silent() -> Outcome {
    let mut broker = Broker::start(2);
    let lab = broker.lab(Version::V311, "silent");
    let mut subscriber = lab.subscriber("subscriber", "flow", 0)?;
    let mut publisher = lab.client("publisher")?;
    let crowd = crowd(&broker, &lab, 1);
    let left = broker.wait_until_held(2 + CROWD as u64, 2);
    assert_eq!(left.get("keep_alive_timeouts"), CROWD as u64, "the connections linger until the peer closes them");
    publisher.publish(&lab.publish("flow", "still there"))?;
    subscriber.message("flow", "still there")?;
    drop(crowd);
    broker.wait_until_held(2, 2);
    Ok(())
}

#[test]
fn memory_runs_out_and_comes_back() -> Outcome {
    const BUDGET: u64 = 24 * 1024 * 1024;
    let mut broker = Broker::start_with(1, &format!("[limits]\nmax_memory_bytes = {BUDGET}\n"));
    let lab = broker.lab(Version::V5, "memory");
    for name in ["away0", "away1", "away2", "away3"] {
        let (mut client, _) = lab.persistent(name)?;
        client.subscribe(&format!("keep/{name}"), 1)?;
        client.disconnect()?;
    }
    let mut publisher = lab.client("publisher")?;
    let payload = "x".repeat(1024 * 1024);
    for n in 0..40 {
        publisher.publish(&lab.publish(&format!("keep/away{}", n % 4), payload.as_str()).qos(1, 0))?;
    }
    let short = broker.report();
    assert!(short.get("dropped_memory") >= 16, "{short:?}");
    assert!(short.get("memory_bytes") <= BUDGET, "{short:?}");
    publisher.publish(&lab.publish("kept", payload.as_str()).qos(1, 0).retain())?;

    // What need not wait goes through, and clients can come.
    let mut live = lab.subscriber("live", "live", 1)?;
    live.subscribe("kept", 0)?;
    live.silent("nothing was retained")?;
    publisher.publish(&lab.publish("live", "now").qos(1, 0))?;
    live.message("live", "now")?;

    // They fetch what was kept for them, and there is room again.
    for name in ["away0", "away1", "away2", "away3"] {
        let (mut client, connack) = lab.persistent(name)?;
        assert_eq!(connack.flags, 1, "the session was kept");
        for _ in 0..4 {
            client.message(&format!("keep/{name}"), &payload)?;
        }
    }
    assert!(broker.report().get("memory_bytes") < BUDGET / 2);
    publisher.publish(&lab.publish("kept", "yes").qos(1, 0).retain())?;
    live.message("kept", "yes")?;
    assert_eq!(broker.report().get("dropped_memory"), short.get("dropped_memory") + 1, "the retained message");
    Ok(())
}

/// Publishers are slowed down to the pace of the workers that deliver their messages: what waits between workers stays
/// bounded, and each message is delivered or counted as dropped; at QoS 1 none is.
#[test]
fn a_flood_between_workers() -> Outcome {
    const CLIENTS: u64 = 4;
    const MESSAGES: u64 = 15_000;
    const MOST_BYTES: u64 = 16 * 1024 * 1024;
    for qos in [0, 1] {
        let mut broker = Broker::start_with(2, "spread = \"always\"\n");
        let lab = broker.lab(Version::V311, "flood");
        let frame = lab.publish("flood", "x".repeat(1_000)).qos(qos, 1).bytes();
        let counted = Arc::new(AtomicU64::new(0));
        let subscribers: Vec<TcpStream> = (0..CLIENTS)
            .map(|n| {
                let mut stream = connected(&broker, &format!("subscriber{n}"));
                stream.write_all(&wire::subscribe(lab.version, 1, &[], &[("flood", qos)])).expect("sent");
                stream.read_exact(&mut [0; 5]).expect("SUBACK");
                let (reader, frame_bytes, counted) =
                    (stream.try_clone().expect("a handle"), frame.len(), Arc::clone(&counted));
                std::thread::spawn(move || count_messages(reader, frame_bytes, qos, &counted));
                stream
            })
            .collect();
        let idle_bytes = broker.report().get("memory_bytes");
        let publishers: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let mut stream = connected(&broker, &format!("publisher{n}"));
                let (mut reader, frame) = (stream.try_clone().expect("a handle"), frame.clone());
                let writer = std::thread::spawn(move || {
                    (0..MESSAGES).for_each(|_| stream.write_all(&frame).expect("sent"));
                    stream.write_all(&[0xC0, 0]).expect("PINGREQ is sent");
                });
                // PUBACKs, and PINGRESP when all has been acted upon.
                let answers = usize::from(qos) * 4 * MESSAGES as usize + 2;
                reader.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                std::thread::spawn(move || {
                    reader.read_exact(&mut vec![0; answers]).expect("answered");
                    writer.join().expect("everything is sent");
                })
            })
            .collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let report = broker.report();
            assert!(report.get("memory_bytes") < idle_bytes + MOST_BYTES, "{report:?}");
            assert_eq!(report.get("dropped_queue_full"), 0, "{report:?}");
            let (delivered, dropped) = (report.get("delivered"), report.get("dropped_slow_qos0"));
            if delivered + dropped == CLIENTS * CLIENTS * MESSAGES && counted.load(Ordering::Relaxed) == delivered {
                assert!(qos == 0 || dropped == 0, "{report:?}");
                break;
            }
            assert!(Instant::now() < deadline, "{counted:?} messages have arrived: {report:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        publishers.into_iter().for_each(|publisher| publisher.join().expect("answered"));
        subscribers.iter().for_each(|stream| stream.shutdown(Shutdown::Both).expect("ended"));
        let left = broker.wait_until_held(0, 0);
        assert!(left.get("memory_bytes") < idle_bytes + MOST_BYTES / 4, "memory is given back: {left:?}");
    }
    Ok(())
}

/// What is held back of publishers that wait counts, and when memory is short no more is: it is acted upon, and what
/// cannot be passed on is dropped and counted.
#[test]
fn input_held_back() -> Outcome {
    const BUDGET: u64 = 24 * 1024 * 1024;
    const PUBLISHERS: usize = 150;
    const MESSAGES: usize = 220;
    let mut broker = Broker::start_with(1, &format!("[limits]\nmax_memory_bytes = {BUDGET}\n"));
    let lab = broker.lab(Version::V311, "held");
    let frame = lab.publish("flood", "x".repeat(1_000)).qos(1, 1).bytes();
    let mut subscriber = connected(&broker, "subscriber");
    subscriber.write_all(&wire::subscribe(lab.version, 1, &[], &[("flood", 1)])).expect("sent");
    subscriber.read_exact(&mut [0; 5]).expect("SUBACK");
    let counted = Arc::new(AtomicU64::new(0));
    let (reader, frame_bytes, count) = (subscriber.try_clone().expect("a handle"), frame.len(), Arc::clone(&counted));
    // It never stalls, so that publishers wait for it, and is not fast either.
    std::thread::spawn(move || {
        count_messages_with(reader, frame_bytes, 1, &count, || std::thread::sleep(Duration::from_millis(1)));
    });
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|n| {
            let mut stream = connected(&broker, &format!("publisher{n}"));
            let flood = frame.repeat(MESSAGES);
            std::thread::spawn(move || {
                let mut reader = stream.try_clone().expect("a handle");
                let writer = std::thread::spawn(move || stream.write_all(&flood).expect("sent"));
                reader.read_exact(&mut vec![0; 4 * MESSAGES]).expect("acknowledged");
                writer.join().expect("everything is sent");
            })
        })
        .collect();
    let total = (PUBLISHERS * MESSAGES) as u64;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let report = broker.report();
        assert!(report.get("memory_bytes") <= BUDGET, "{report:?}");
        let (received, dropped) = (report.get("received"), report.get("dropped_memory"));
        if received == total && report.get("delivered") + dropped + report.get("dropped_queue_full") == total {
            assert!(report.get("publisher_pauses") > 0, "{report:?}");
            assert!(counted.load(Ordering::Relaxed) <= total);
            break;
        }
        assert!(Instant::now() < deadline, "not all has been dealt with: {report:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    publishers.into_iter().for_each(|publisher| publisher.join().expect("acknowledged"));
    Ok(())
}

/// Who makes the broker answer and does not listen is not read, and goes on when it listens.
#[test]
fn answers_that_are_not_taken() -> Outcome {
    // More than the kernel keeps: 4 MiB of output of the broker, by default, and what the client's small buffer takes.
    const PINGS: usize = 3_500_000;
    const MOST_BYTES: u64 = 2 * 1024 * 1024;
    let mut broker = Broker::start_with(1, "[limits]\nmax_output_bytes = 100000\n");
    let lab = broker.lab(Version::V311, "deaf");
    let mut stream = connected(&broker, "deaf");
    setsockopt(&stream, sockopt::RcvBuf, &(64 * 1024)).expect("SO_RCVBUF is set");
    let idle_bytes = broker.report().get("memory_bytes");
    let mut reader = stream.try_clone().expect("a handle");
    let writer = std::thread::spawn(move || stream.write_all(&[0xC0, 0].repeat(PINGS)).expect("sent"));
    let deadline = Instant::now() + PATIENCE;
    while broker.report().get("choked") == 0 {
        assert!(Instant::now() < deadline, "it is read on and on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut other = lab.client("other")?;
    other.publish(&lab.publish("x", "served").qos(1, 0))?;
    let report = broker.report();
    assert!(report.get("memory_bytes") < idle_bytes + MOST_BYTES, "{report:?}");
    let mut answers = vec![0; 2 * PINGS];
    reader.read_exact(&mut answers).expect("every PINGRESP");
    assert!(answers.chunks(2).all(|answer| answer == [0xD0, 0]));
    writer.join().expect("everything is sent");
    Ok(())
}

fn connected(broker: &Broker, name: &str) -> TcpStream {
    let mut stream = TcpStream::connect(broker.address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.write_all(&Connect::new(Version::V311, name).bytes()).expect("sent");
    stream.read_exact(&mut [0; 4]).expect("CONNACK");
    stream
}

/// Counts messages of one size until the connection ends, and acknowledges them.
fn count_messages(stream: TcpStream, frame_bytes: usize, qos: u8, counted: &AtomicU64) {
    count_messages_with(stream, frame_bytes, qos, counted, || ());
}

/// The same, with something to be done for each.
fn count_messages_with(mut stream: TcpStream, frame_bytes: usize, qos: u8, counted: &AtomicU64, each: impl Fn()) {
    let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
    let mut frame = vec![0; frame_bytes];
    // A header of three bytes, then the topic; behind it the identifier.
    let id_at = 3 + 2 + "flood".len();
    while reader.read_exact(&mut frame).is_ok() {
        assert_eq!(frame[0] >> 4, 3, "PUBLISH");
        if qos > 0 && stream.write_all(&[0x40, 2, frame[id_at], frame[id_at + 1]]).is_err() {
            break;
        }
        counted.fetch_add(1, Ordering::Relaxed);
        each();
    }
}

#[test]
fn what_it_holds_is_told_on_request() -> Outcome {
    let mut broker = Broker::start(3);
    let lab = broker.lab(Version::V5, "report");
    let mut subscriber = lab.subscriber("subscriber", "a/+", 1)?;
    let (client, _) = lab.persistent("away")?;
    client.disconnect()?;
    let mut publisher = lab.client("publisher")?;
    publisher.publish(&lab.publish("a/b", "x").qos(1, 0).retain())?;
    subscriber.message("a/b", "x")?;
    let report = broker.wait_until_held(2, 3);
    for (name, value) in [("retained", 1), ("received", 1), ("delivered", 1), ("connected", 3), ("protocol_errors", 0)]
    {
        assert_eq!(report.get(name), value, "{name}");
    }
    assert!(report.get("memory_bytes") > 0);
    assert_eq!(broker.stop().get("received"), 1);
    Ok(())
}
