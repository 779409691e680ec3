//! The command line, the configuration file, start and stop.

use std::net::TcpStream;
use std::process::ExitStatus;

use conformance::wire::{self, Version};
use nix::sys::signal::Signal;

use crate::support::{Broker, command, output};

/// Runs the broker with arguments that it must refuse.
fn refused(arguments: &[&str]) -> (ExitStatus, String) {
    let (status, stdout, stderr) = output(command().args(arguments));
    assert!(!status.success(), "{arguments:?} accepted: {stdout}{stderr}");
    (status, stderr)
}

#[test]
fn version_and_help_are_printed() {
    let (status, stdout, _) = output(command().arg("--version"));
    assert!(status.success());
    assert!(stdout.starts_with(&format!("broker {}", env!("CARGO_PKG_VERSION"))), "{stdout}");
    let (status, stdout, _) = output(command().arg("--help"));
    assert!(status.success());
    for flag in ["--listen", "--workers", "--config", "--version"] {
        assert!(stdout.contains(flag), "{flag} in {stdout}");
    }
}

#[test]
fn unknown_flag_is_named() {
    let (status, stderr) = refused(&["--liisten", "tcp://127.0.0.1:0"]);
    assert_eq!(status.code(), Some(2));
    assert!(stderr.contains("--liisten"), "{stderr}");
}

#[test]
fn bad_addresses_are_named_with_what_is_expected() {
    for (url, named) in [
        ("127.0.0.1:1883", "expected tcp://ADDRESS:PORT"),
        ("ws://127.0.0.1:1883", "scheme `ws`"),
        ("tcp://127.0.0.1", "expected tcp://ADDRESS:PORT"),
        ("tcp://127.0.0.1:70000", "expected tcp://ADDRESS:PORT"),
        ("tcp://192.0.2.1:0", "cannot listen on 192.0.2.1:0"),
    ] {
        let (status, stderr) = refused(&["--listen", url]);
        assert_eq!(status.code(), Some(1), "{url}");
        assert!(stderr.contains(named), "{url}: {stderr}");
    }
}

#[test]
fn bad_worker_counts_are_named() {
    for count in ["0", "1000"] {
        let (status, stderr) = refused(&["--workers", count, "--listen", "tcp://127.0.0.1:0"]);
        assert_eq!(status.code(), Some(1));
        assert!(stderr.contains(&format!("{count} workers")), "{stderr}");
    }
}

#[test]
fn port_in_use_is_named() {
    let broker = Broker::start(2);
    let url = format!("tcp://127.0.0.1:{}", broker.port());
    let (status, stderr) = refused(&["--listen", &url]);
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains(&format!("cannot listen on 127.0.0.1:{}", broker.port())), "{stderr}");
    assert!(stderr.contains("another broker"), "{stderr}");
    // The first one goes on.
    let lab = broker.lab(Version::V311, "inuse");
    lab.client("a").and_then(|mut client| client.silent("it works")).expect("the first broker works");
    // Once it is gone the port is free, though its connections may linger.
    broker.stop();
    let again = Broker::spawn(command().args(["--listen", &url]));
    assert_eq!(format!("tcp://{}", again.address), url);
}

#[test]
fn mistakes_in_the_file_are_named_with_file_and_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mine.toml");
    for (text, named) in [
        ("listn = []\n", "unknown field `listn`"),
        ("[limits]\nmax_inflite = 3\n", "unknown field `max_inflite`"),
        ("[limits]\nmax_inflight = \"many\"\n", "line 2"),
        ("workers = \n", "line 1"),
        ("share_policy = \"best\"\n", "best"),
        ("[limits]\nmax_inflight = 0\n", "max_inflight"),
    ] {
        std::fs::write(&path, text).expect("written");
        let (status, stderr) = refused(&["--config", &path.to_string_lossy()]);
        assert_eq!(status.code(), Some(1), "{text}");
        assert!(stderr.contains(named), "{text}: {stderr}");
        assert!(stderr.contains("mine.toml") || stderr.contains("[limits]"), "{text}: {stderr}");
    }
    let (_, stderr) = refused(&["--config", "/nowhere/broker.toml"]);
    assert!(stderr.contains("/nowhere/broker.toml"), "{stderr}");
}

#[test]
fn several_addresses_are_listened_on() {
    let mut broker = Broker::spawn(command().args([
        "--listen",
        "tcp://127.0.0.1:0",
        "--listen",
        "tcp://127.0.0.2:0",
        "--workers",
        "2",
    ]));
    let line = broker.wait_for_line("listening on 127.0.0.2:");
    let (_, second) = line.split_once("listening on ").expect("the line that was waited for");
    for address in [broker.address.to_string(), second.to_owned()] {
        TcpStream::connect(&address).unwrap_or_else(|error| panic!("{address}: {error}"));
    }
    broker.stop();
}

#[test]
fn stopping_tells_the_clients() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut broker = Broker::start(2);
        let new = broker.lab(Version::V5, "stopnew");
        let old = broker.lab(Version::V311, "stopold");
        let mut clients: Vec<_> = (0..6).map(|n| new.client(&format!("c{n}")).expect("connected")).collect();
        let mut elder = old.client("elder").expect("connected");
        let mut silent = new.open("silent").expect("a connection without CONNECT");
        broker.signal(signal);
        for client in &mut clients {
            let reason = client.closed("the server stops").expect("closed");
            assert_eq!(reason, Some(0x8B), "server shutting down");
        }
        elder.closed("the server stops").expect("closed without a word: 3.1.1 has none");
        silent.closed("the server stops").expect("closed");
        assert_eq!(broker.wait().code(), Some(0));
    }
}

/// What was accepted before the signal is delivered before the end.
#[test]
fn stopping_loses_nothing_that_is_written() {
    let broker = Broker::start(1);
    let lab = broker.lab(Version::V311, "flush");
    let mut subscriber = lab.subscriber("subscriber", "flush/a", 0).expect("subscribed");
    let mut publisher = lab.client("publisher").expect("connected");
    for n in 0..200 {
        publisher.send(&lab.publish("flush/a", n.to_string()).bytes());
    }
    publisher.silent("read to here").expect("answered");
    broker.stop();
    for n in 0..200 {
        subscriber.message("flush/a", &n.to_string()).expect("delivered");
    }
    subscriber.closed("stopped").expect("closed");
}

/// A connection that stays open does not keep the broker from stopping.
#[test]
fn stopping_does_not_wait_for_clients() {
    let broker = Broker::start(2);
    let lab = broker.lab(Version::V5, "stuck");
    let mut stuck = lab.client("stuck").expect("connected");
    // Half a packet, and never a byte more.
    stuck.send(&wire::frame(0x30, &[0; 100])[..50]);
    broker.stop();
}
