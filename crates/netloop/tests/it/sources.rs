//! Source plans against real listeners.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::LazyLock;

use netloop::occupied::Occupied;
use netloop::source::{PortSpace, SourceError, Wanted, check_present, plan};

/// Somebody whose look at the host is old: whoever else connected since has to be skipped.
static UNSEEN: LazyLock<Occupied> = LazyLock::new(Occupied::default);

fn wanted(remote: SocketAddr, connections: usize) -> Wanted<'static> {
    let rotation = std::process::id() as usize * 1_009;
    Wanted { remote, connections, addrs: &[], workers: 1, rotation, occupied: &UNSEEN }
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

#[test]
fn every_connection_comes_from_the_pair_that_was_planned() {
    let (listener, remote) = listener();
    let mut planned = plan(&wanted(remote, 50), &PortSpace::of_this_host().unwrap()).unwrap();
    let open: Vec<_> = (0..50).map(|_| planned.workers[0].connect(remote).unwrap()).collect();
    for (_, pair) in &open {
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer, *pair);
    }
}

#[test]
fn ports_of_others_are_skipped_and_counted() {
    let (_listener, remote) = listener();
    let space = PortSpace::of_this_host().unwrap();
    let mut scout = plan(&wanted(remote, 20), &space).unwrap().workers.remove(0);
    let mut foreign = Vec::new();
    for _ in 0..5 {
        let pair = scout.next_pair().unwrap();
        // A listener owns its port whatever option others set; a port that yet others own is just as good here.
        foreign.extend(TcpListener::bind(pair));
    }
    let held: Vec<_> = foreign.iter().map(|listener| listener.local_addr().unwrap()).collect();
    assert!(!held.is_empty());
    let mut plan = plan(&wanted(remote, 20), &space).unwrap().workers.remove(0);
    let open: Vec<_> = (0..20).map(|_| plan.connect(remote).unwrap()).collect();
    assert!(open.iter().all(|(_, pair)| !held.contains(pair)));
    assert!(plan.skipped() >= held.len() as u64, "skipped {} of {}", plan.skipped(), held.len());
}

#[test]
fn two_plans_for_one_destination_get_along() {
    let (_listener, remote) = listener();
    let space = PortSpace::of_this_host().unwrap();
    let [mut one, mut other] = [0, 1].map(|_| plan(&wanted(remote, 30), &space).unwrap().workers.remove(0));
    let first: Vec<_> = (0..30).map(|_| one.connect(remote).unwrap()).collect();
    let second: Vec<_> = (0..30).map(|_| other.connect(remote).unwrap()).collect();
    assert!(first.iter().all(|(_, pair)| second.iter().all(|(_, other)| other != pair)));
    assert!(other.skipped() >= 30, "it met all 30 pairs of the first plan");
}

#[test]
fn addresses_of_other_hosts_are_reported_with_what_to_do() {
    assert!(check_present(&[Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(127, 0, 0, 77).into()]).is_ok());
    let error = check_present(&[Ipv4Addr::new(192, 0, 2, 1).into()]).unwrap_err();
    assert!(matches!(error, SourceError::NotHere { .. }));
    assert!(error.to_string().contains("ip addr add 192.0.2.1"), "{error}");
}

#[test]
fn connections_that_exist_are_seen_before_the_plan() {
    let (listener, remote) = listener();
    // An address that no other test and no other process connects from: its ports are taken by nobody else.
    let addrs = [Ipv4Addr::new(127, 219, 7, 31).into()];
    let wanted = |occupied| Wanted { addrs: &addrs, occupied, ..wanted(remote, 5) };
    let mut first = plan(&wanted(&UNSEEN), &PortSpace::of_this_host().unwrap()).unwrap().workers.remove(0);
    let open: Vec<_> = (0..5).map(|_| first.connect(remote).unwrap()).collect();
    let accepted: Vec<_> = (0..5).map(|_| listener.accept().unwrap()).collect();
    let occupied = Occupied::towards(remote).unwrap();
    assert!(!occupied.unknown, "a test host has few sockets");
    assert!(open.iter().all(|(_, pair)| occupied.in_use.contains(pair)), "{occupied:?}");
    let mut second = plan(&wanted(&occupied), &PortSpace::of_this_host().unwrap()).unwrap().workers.remove(0);
    let others: Vec<_> = (0..5).map(|_| second.connect(remote).unwrap()).collect();
    assert!(others.iter().all(|(_, pair)| !occupied.in_use.contains(pair)));
    assert_eq!(second.skipped(), 0, "known pairs are not even tried");
    drop(accepted);
}
