//! Who is let in: connections and connect rate per address, sessions, the size of CONNECT.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use conformance::client::{Client, Mismatch, Outcome};
use conformance::wire::{self, Connect, Version, property};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
use std::os::fd::AsRawFd;

use crate::support::{Broker, PATIENCE};

/// What the return or reason code of an answer to CONNECT was.
fn answer(client: &mut Client, connect: &Connect) -> Outcome<u8> {
    client.send(&connect.bytes());
    let packet = client.next("CONNACK")?;
    let connack = client.read("CONNACK", packet.connack(client.version))?;
    if connack.reason != 0 {
        client.closed("refused")?;
    }
    Ok(connack.reason)
}

/// Tries until it succeeds: what a connection held is given back a little after its end.
fn soon<T>(mut attempt: impl FnMut() -> Outcome<T>) -> Outcome<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let outcome: Result<T, Mismatch> = attempt();
        if outcome.is_ok() || Instant::now() >= deadline {
            return outcome;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A connection to the broker from another address of this machine.
fn connect_from(source: [u8; 4], target: SocketAddr) -> TcpStream {
    let SocketAddr::V4(target) = target else { panic!("the broker listens on 127.0.0.1") };
    let fd = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    let [a, b, c, d] = source;
    bind(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 0)).expect("an address of 127.0.0.0/8");
    connect(fd.as_raw_fd(), &SockaddrIn::from(target)).expect("connected");
    TcpStream::from(fd)
}

#[test]
fn connections_per_address() -> Outcome {
    for workers in [1, 3] {
        let broker = Broker::start_with(workers, "[limits]\nmax_connections_per_ip = 2\n");
        for (version, refused) in [(Version::V5, 0x97), (Version::V311, 3)] {
            let lab = broker.lab(version, "perip");
            let one = soon(|| lab.client("one"))?;
            let mut two = soon(|| lab.client("two"))?;
            assert_eq!(answer(&mut lab.open("three")?, &lab.connect("three"))?, refused);
            two.silent("undisturbed")?;
            // Others are not affected.
            let mut other = connect_from([127, 0, 0, 2], broker.address);
            let old = Connect::new(Version::V311, "other");
            std::io::Write::write_all(&mut other, &old.bytes()).expect("sent");
            let mut connack = [0; 4];
            std::io::Read::read_exact(&mut other, &mut connack).expect("CONNACK");
            assert_eq!(connack, [0x20, 2, 0, 0]);
            one.disconnect()?;
            soon(|| lab.client("three"))?.disconnect()?;
            two.disconnect()?;
        }
        let counters = broker.stop();
        assert!(counters.get("refused_ip_connections") >= 2, "{counters:?}");
        assert_eq!(counters.get("refused_ip_rate"), 0);
    }
    Ok(())
}

/// Who says nothing after being turned away is closed soon, and without an answer when there are many of them.
#[test]
fn turned_away_without_connect() -> Outcome {
    let mut broker = Broker::start_with(1, "[limits]\nmax_connections_per_ip = 1\n");
    let lab = broker.lab(Version::V5, "silent");
    let mut one = lab.client("one")?;
    let mut silent: Vec<Client> = (0..300).map(|n| lab.open(&n.to_string())).collect::<Outcome<_>>()?;
    silent.iter_mut().try_for_each(|client| client.closed("not let in").map(drop))?;
    one.silent("undisturbed")?;
    let report = broker.wait_until_held(1, 1);
    assert_eq!(report.get("refused_ip_connections"), 300);
    Ok(())
}

#[test]
fn connect_rate_per_address() -> Outcome {
    const RATE: u32 = 5;
    for workers in [1, 3] {
        let broker = Broker::start_with(workers, &format!("[limits]\nmax_connect_rate_per_ip = {RATE}\n"));
        for (version, refused) in [(Version::V5, 0x9F), (Version::V311, 3)] {
            let lab = broker.lab(version, "rate");
            let (start, mut accepted, mut seen_refusal) = (Instant::now(), 0, false);
            while !seen_refusal {
                let mut client = lab.open("hasty")?;
                match answer(&mut client, &lab.connect("hasty"))? {
                    0 => accepted += 1,
                    code => {
                        assert_eq!(code, refused);
                        seen_refusal = true;
                    }
                }
                assert!(start.elapsed() < PATIENCE, "{accepted} connections in {:?}", start.elapsed());
            }
            let most = f64::from(RATE) * (1.0 + start.elapsed().as_secs_f64());
            assert!(f64::from(accepted) <= most + 1.0, "{accepted} in {:?}", start.elapsed());
            soon(|| lab.client("patient"))?;
        }
        let counters = broker.stop();
        assert!(counters.get("refused_ip_rate") >= 2, "{counters:?}");
        assert_eq!(counters.get("refused_ip_connections"), 0);
    }
    Ok(())
}

#[test]
fn sessions() -> Outcome {
    for workers in [1, 3] {
        let broker = Broker::start_with(workers, "[limits]\nmax_sessions = 2\n");
        for (version, refused) in [(Version::V5, 0x97), (Version::V311, 3)] {
            let lab = broker.lab(version, "sessions");
            lab.persistent("a")?.0.disconnect()?;
            let (b, _) = lab.persistent("b")?;
            assert_eq!(answer(&mut lab.open("c")?, &lab.connect("c"))?, refused);
            let (a, connack) = lab.persistent("a")?;
            assert_eq!(connack.flags, 1, "who has a session may come back");
            let mut anew = lab.client("a")?;
            drop(a);
            anew.silent("a new session in the place of the old one")?;
            anew.disconnect()?;
            soon(|| lab.client("c"))?.disconnect()?;
            b.disconnect()?;
            lab.clean_up();
            lab.client("b")?.disconnect()?;
        }
        assert!(broker.stop().get("refused_sessions") >= 2);
    }
    Ok(())
}

#[test]
fn connect_size() -> Outcome {
    const MOST: usize = 200;
    let broker = Broker::start_with(1, &format!("[limits]\nmax_connect_bytes = {MOST}\n"));
    for version in Version::ALL {
        let lab = broker.lab(version, "connect");
        let overhead = Connect::new(version, "").bytes().len() + 1;
        let fits = Connect::new(version, "x".repeat(MOST - overhead));
        assert_eq!(fits.bytes().len(), MOST);
        let (mut client, _) = lab.accepted("fits", &fits)?;
        client.publish(&lab.publish("t", "x".repeat(1_000)).qos(1, 0))?;
        let mut large = lab.open("large")?;
        let too_large = Connect::new(version, "x".repeat(MOST - overhead + 1));
        if lab.is_v5() {
            assert_eq!(answer(&mut large, &too_large)?, 0x95, "packet too large");
        } else {
            large.send(&too_large.bytes());
            assert_eq!(large.closed("too large")?, None);
        }
        // Announced is enough: it need not be sent.
        let mut announced = lab.open("announced")?;
        announced.send(&wire::frame(0x10, &[0; 4_000])[..2]);
        announced.send(&[0x7F]);
        announced.closed("too large")?;
    }
    assert_eq!(broker.stop().get("protocol_errors"), 4);
    Ok(())
}

/// The reason is given in words, where there is room for them.
#[test]
fn why_it_was_refused() -> Outcome {
    let broker = Broker::start_with(1, "[limits]\nmax_connections_per_ip = 1\n");
    let lab = broker.lab(Version::V5, "why");
    let _one = lab.client("one")?;
    for (size, has_words) in [(200, true), (10, false)] {
        let mut client = lab.open("two")?;
        client.send(&lab.connect("two").with(property::maximum_packet_size(size)).bytes());
        let packet = client.next("CONNACK")?;
        let connack = client.read("CONNACK", packet.connack(client.version))?;
        assert_eq!((connack.reason, connack.properties.has(0x1F)), (0x97, has_words));
    }
    Ok(())
}
