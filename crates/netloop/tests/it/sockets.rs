//! Connections that succeed, are refused and are reset.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use netloop::buffer::{Inlet, Input, Outbox, Spill};
use netloop::socket::{self, Connect};
use netloop::transport::Transport;

/// Waits until a started connection is established or refused.
fn finish(connect: Connect) -> io::Result<mio::net::TcpStream> {
    let mut stream = match connect {
        Connect::Established(stream) => return Ok(stream),
        Connect::InProgress(stream) => stream,
    };
    let mut poll = Poll::new()?;
    poll.registry().register(&mut stream, Token(0), Interest::WRITABLE)?;
    let mut events = Events::with_capacity(4);
    loop {
        poll.poll(&mut events, Some(Duration::from_secs(10)))?;
        assert!(!events.is_empty(), "no outcome in 10 s");
        match socket::finish_connect(&stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            outcome => return outcome.map(|()| stream),
        }
    }
}

#[test]
fn a_connection_carries_bytes_both_ways_without_nagle() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = finish(socket::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
    assert!(stream.nodelay().unwrap());
    let (mut peer, _) = listener.accept().unwrap();
    let mut transport = Transport::Plain(stream);
    let mut outbox = Outbox::default();
    let large = vec![7; 16 << 20];
    outbox.send(&mut transport, &large).unwrap();
    assert!(!outbox.is_empty(), "16 MiB do not fit the socket buffers");
    let reader = std::thread::spawn(move || {
        let mut got = vec![0; 16 << 20];
        peer.read_exact(&mut got).unwrap();
        peer.write_all(b"done").unwrap();
        got
    });
    let (mut inlet, mut spill) = (Inlet::new(1024), Spill::default());
    while outbox.flush(&mut transport).is_ok() {
        match inlet.read(&mut spill, &mut transport).unwrap() {
            Input::Bytes { .. } => break,
            Input::Nothing => std::thread::yield_now(),
            Input::End => panic!("the peer closed early"),
        }
    }
    assert_eq!(inlet.bytes(), b"done");
    assert!(reader.join().unwrap() == large);
}

#[test]
fn a_refused_connection_says_so() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let error = socket::connect(closed).and_then(finish).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_reset_is_seen_as_one() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let stream = finish(socket::connect(listener.local_addr().unwrap()).unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    socket::reset_on_close(&stream).unwrap();
    drop(stream);
    let error = peer.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[test]
fn listeners_share_a_port_only_with_their_own_kind() {
    let any: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let first = socket::listen(any, 16).unwrap();
    let addr = first.local_addr().unwrap();
    socket::listen(addr, 16).unwrap();
    assert_eq!(TcpListener::bind(addr).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
