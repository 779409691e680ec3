//! Both sides are ours; between them real sockets, large and small messages, and peers that misbehave.

use std::io::{Read, Write};
use std::sync::mpsc;

use netloop::tls::{ClientSettings, ServerSettings, TlsClient, TlsServer, TlsStream, Trust, Versions};
use netloop::transport::Transport;
use netloop::websocket::{PATH, WsStream};

use crate::support::{Certificates, Peer, connect, server};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Layers {
    Tls,
    Ws,
    Wss,
}

fn server_settings(certificates: &Certificates) -> ServerSettings {
    ServerSettings {
        identity: certificates.identity("server"),
        client_authorities: None,
        client_certificate_optional: false,
        versions: Versions::Both,
        cipher_suites: Vec::new(),
    }
}

fn trusting(certificates: &Certificates) -> ClientSettings {
    ClientSettings { trust: Trust::File(certificates.authority()), ..ClientSettings::default() }
}

#[test]
fn every_byte_arrives_whatever_carries_it() {
    let certificates = Certificates::new();
    let tls_server = TlsServer::new(&server_settings(&certificates)).unwrap();
    let tls_client = TlsClient::new(&trusting(&certificates)).unwrap();
    for layers in [Layers::Tls, Layers::Ws, Layers::Wss] {
        let acceptor = tls_server.clone();
        let (addr, thread) = server(1, move |stream| {
            let lower = match layers {
                Layers::Ws => Transport::Plain(stream),
                _ => Transport::Tls(Box::new(acceptor.accept(stream).unwrap())),
            };
            let mut peer = Peer::new(match layers {
                Layers::Tls => lower,
                _ => Transport::WebSocket(Box::new(WsStream::server(lower, PATH, 1 << 20))),
            });
            peer.handshake().unwrap();
            peer.echo();
            peer.transport.finish().unwrap();
            peer.linger();
        });
        let lower = match layers {
            Layers::Ws => Transport::Plain(connect(addr)),
            _ => Transport::Tls(Box::new(tls_client.connect(connect(addr), "localhost").unwrap())),
        };
        let mut peer = Peer::new(match layers {
            Layers::Tls => lower,
            _ => Transport::WebSocket(Box::new(WsStream::client(lower, "localhost", PATH))),
        });
        peer.handshake().unwrap();
        assert_eq!(peer.transport.tls().and_then(TlsStream::is_resumed), (layers != Layers::Ws).then_some(false));
        // More than all socket buffers between the two, in pieces from one byte to more than a frame.
        let bytes: Vec<u8> = (0..6_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut sent = 0;
        for length in [1, 2, 125, 126, 65_535, 65_536, 70_000, 5_000_000].into_iter().cycle() {
            let end = (sent + length).min(bytes.len());
            peer.send(&bytes[sent..end]).unwrap();
            sent = end;
            if sent == bytes.len() {
                break;
            }
        }
        assert!(peer.receive(bytes.len()) == bytes, "{layers:?}: {} bytes came back", peer.received.len());
        peer.drain();
        peer.transport.finish().unwrap();
        peer.await_end().unwrap_or_else(|error| panic!("{layers:?}: {error}"));
        thread.join().unwrap();
    }
}

#[test]
fn a_client_certificate_is_asked_for_and_seen() {
    let certificates = Certificates::new();
    let settings =
        ServerSettings { client_authorities: Some(certificates.authority()), ..server_settings(&certificates) };
    let acceptor = TlsServer::new(&settings).unwrap();
    let (seen, subjects) = mpsc::channel();
    let (addr, thread) = server(2, move |stream| {
        let mut peer = Peer::new(Transport::Tls(Box::new(acceptor.accept(stream).unwrap())));
        let outcome = peer.handshake().map_err(|error| error.to_string());
        let certificate = peer.transport.tls().and_then(TlsStream::peer_certificate).map(<[u8]>::to_vec);
        seen.send((outcome, certificate)).unwrap();
    });
    let with = ClientSettings { identity: Some(certificates.identity("client")), ..trusting(&certificates) };
    let mut peer = Peer::new(Transport::Tls(Box::new(
        TlsClient::new(&with).unwrap().connect(connect(addr), "127.0.0.1").unwrap(),
    )));
    peer.handshake().unwrap();
    let (outcome, certificate) = subjects.recv().unwrap();
    outcome.unwrap();
    let der = certificate.expect("the server saw a certificate");
    assert!(der.windows(6).any(|window| window == b"client"), "it is the client's");
    // Without one: in TLS 1.3 the client's handshake is over before the server refuses; the alert says why.
    let without = TlsClient::new(&trusting(&certificates)).unwrap();
    let mut peer = Peer::new(Transport::Tls(Box::new(without.connect(connect(addr), "127.0.0.1").unwrap())));
    let error = peer.handshake().and_then(|()| peer.await_end()).unwrap_err().to_string();
    assert_eq!(error, "TLS: received fatal alert: CertificateRequired");
    assert_eq!(subjects.recv().unwrap().0.unwrap_err(), "TLS: peer sent no certificates");
    thread.join().unwrap();
}

#[test]
fn sessions_are_resumed_only_where_that_is_wanted() {
    let certificates = Certificates::new();
    for versions in [Versions::Tls12, Versions::Tls13] {
        let acceptor = TlsServer::new(&ServerSettings { versions, ..server_settings(&certificates) }).unwrap();
        for (resumed_sessions_max, wanted) in [(0, [false, false]), (8, [false, true])] {
            let client = TlsClient::new(&ClientSettings { resumed_sessions_max, ..trusting(&certificates) }).unwrap();
            let acceptor = acceptor.clone();
            let (addr, thread) = server(2, move |stream| {
                let mut peer = Peer::new(Transport::Tls(Box::new(acceptor.accept(stream).unwrap())));
                peer.handshake().unwrap();
                peer.echo();
            });
            for resumed in wanted {
                let mut peer = Peer::new(Transport::Tls(Box::new(client.connect(connect(addr), "localhost").unwrap())));
                peer.handshake().unwrap();
                // Tickets of TLS 1.3 come after the handshake.
                peer.send(b"x").unwrap();
                assert_eq!(peer.receive(1), b"x");
                assert_eq!(peer.transport.tls().unwrap().is_resumed(), Some(resumed), "{versions:?}");
                peer.transport.finish().unwrap();
                peer.await_end().unwrap();
            }
            thread.join().unwrap();
        }
    }
}

#[test]
fn an_untrusted_certificate_is_named() {
    let (certificates, others) = (Certificates::new(), Certificates::new());
    let acceptor = TlsServer::new(&server_settings(&certificates)).unwrap();
    let (addr, thread) = server(3, move |stream| {
        let mut peer = Peer::new(Transport::Tls(Box::new(acceptor.accept(stream).unwrap())));
        // The client's alert, or success where it accepts anyone.
        let _ = peer.handshake().and_then(|()| peer.await_end());
    });
    let anyone = ClientSettings::default();
    for (settings, name, outcome) in [
        (trusting(&others), "localhost", Err("TLS: invalid peer certificate: UnknownIssuer")),
        (trusting(&certificates), "example.org", Err("TLS: invalid peer certificate: certificate not valid for name")),
        (anyone, "example.org", Ok(())),
    ] {
        let client = TlsClient::new(&settings).unwrap();
        let mut peer = Peer::new(Transport::Tls(Box::new(client.connect(connect(addr), name).unwrap())));
        let end = peer.handshake().map_err(|error| error.to_string());
        match (end, outcome) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(wanted)) => assert!(error.starts_with(wanted), "{error}"),
            (end, outcome) => panic!("{end:?} instead of {outcome:?}"),
        }
    }
    thread.join().unwrap();
}

/// What a client of the layers says about a server that first reads something and then sends `bytes` and closes.
fn verdict_on(layers: Layers, bytes: &'static [u8]) -> String {
    let (addr, thread) = server(1, move |mut stream| {
        let mut request = [0; 4_096];
        while stream.read(&mut request).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
            std::thread::yield_now();
        }
        // The client may have left.
        let _ = stream.write_all(bytes);
    });
    let stream = connect(addr);
    let mut peer = Peer::new(match layers {
        Layers::Ws => Transport::WebSocket(Box::new(WsStream::client(Transport::Plain(stream), "h", PATH))),
        _ => {
            Transport::Tls(Box::new(TlsClient::new(&ClientSettings::default()).unwrap().connect(stream, "h").unwrap()))
        }
    });
    let error = peer.handshake().and_then(|()| peer.await_end()).unwrap_err();
    thread.join().unwrap();
    error.to_string()
}

#[test]
fn a_server_that_is_something_else_is_told_by_its_bytes() {
    for (layers, bytes, wanted) in [
        (
            Layers::Tls,
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            "TLS: received corrupt message of type InvalidContentType",
        ),
        (Layers::Tls, b"", "TLS: closed by the peer during the handshake"),
        (Layers::Tls, &[21, 3, 3, 0, 2, 2, 40], "TLS: received fatal alert: HandshakeFailure"),
        (Layers::Ws, b"", "WebSocket: closed by the peer during the handshake"),
        (Layers::Ws, &[0x20, 2, 0, 0], "WebSocket: the server does not speak HTTP"),
        (Layers::Ws, b"HTTP/1.1 403 Forbidden\r\n\r\n", "WebSocket: refused with HTTP 403 Forbidden"),
        (Layers::Ws, &[b'H'; 3_000], "WebSocket: the server does not speak HTTP"),
        (
            Layers::Ws,
            b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\n\r\n",
            "WebSocket: the server switches to another protocol",
        ),
    ] {
        let error = verdict_on(layers, bytes);
        assert!(error.starts_with(wanted), "{error} instead of {wanted}");
    }
}

/// What a client says when frames of a server behind a proper upgrade are these.
fn after_upgrade(frames: Vec<u8>) -> (Vec<u8>, Result<(), String>) {
    let (addr, thread) = server(1, move |stream| {
        let mut peer =
            Peer::new(Transport::WebSocket(Box::new(WsStream::server(Transport::Plain(stream), PATH, 1_000))));
        peer.handshake().unwrap();
        let mut socket = peer.socket();
        socket.write_all(&frames).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        peer.linger();
    });
    let mut peer =
        Peer::new(Transport::WebSocket(Box::new(WsStream::client(Transport::Plain(connect(addr)), "h", PATH))));
    peer.handshake().unwrap();
    let end = peer.await_end().map_err(|error| error.to_string());
    let received = std::mem::take(&mut peer.received);
    drop(peer);
    thread.join().unwrap();
    (received, end)
}

#[test]
fn frames_may_be_cut_anywhere_and_must_be_binary() {
    // Fragments with a ping between them, an empty message, and an end without a close frame.
    let fragments =
        [&[0x02, 2, b'a', b'b'][..], &[0x89, 1, b'p'], &[0x80, 1, b'c'], &[0x82, 0], &[0x82, 1, b'd']].concat();
    assert_eq!(after_upgrade(fragments), (b"abcd".to_vec(), Ok(())));
    assert_eq!(after_upgrade(vec![0x82, 1, b'x', 0x88, 2, 0x03, 0xe8]), (b"x".to_vec(), Ok(())), "closed in order");
    for (frames, wanted) in [
        (vec![0x82, 1, b'x', 0x81, 1, b't'], "WebSocket: a text message"),
        (vec![0x82, 1, b'x', 0x88, 4, 0x03, 0xf0, b'n', b'o'], "WebSocket: closed by the peer with 1008 no"),
        (vec![0x82, 1, b'x', 0x82, 0x81, 0, 0, 0, 0, 1], "WebSocket: "),
        (vec![0x82, 1, b'x', 0xf2, 1, 1], "WebSocket: "),
        (vec![0x82, 1, b'x', 0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "WebSocket: "),
    ] {
        let (received, end) = after_upgrade(frames.clone());
        assert_eq!(received, b"x", "what came before the failure arrives: {frames:x?}");
        let error = end.unwrap_err();
        assert!(error.starts_with(wanted), "{frames:x?}: {error}");
    }
}

#[test]
fn a_server_outlives_clients_that_speak_something_else() {
    let certificates = Certificates::new();
    let acceptor = TlsServer::new(&server_settings(&certificates)).unwrap();
    let garbage: [&[u8]; 5] = [
        b"",
        &[0x10, 0x0c, 0, 4],
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        &[0xff; 20_000],
        &[22, 3, 1, 0xff, 0xff, 1, 2, 3],
    ];
    for layers in [Layers::Tls, Layers::Ws] {
        let acceptor = acceptor.clone();
        let (addr, thread) = server(garbage.len(), move |stream| {
            let mut peer = Peer::new(match layers {
                Layers::Ws => Transport::WebSocket(Box::new(WsStream::server(Transport::Plain(stream), PATH, 1_000))),
                _ => Transport::Tls(Box::new(acceptor.accept(stream).unwrap())),
            });
            let error = peer.handshake().unwrap_err().to_string();
            assert!(
                error.starts_with("TLS: ") || error.starts_with("WebSocket: ") || error.contains("reset"),
                "{error}"
            );
        });
        for bytes in garbage {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            // The server may close before everything is sent.
            let _ = stream.write_all(bytes);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            if layers == Layers::Ws && bytes.starts_with(b"GET") {
                assert!(answer.starts_with(b"HTTP/1.1 404 Not Found\r\n"), "{}", String::from_utf8_lossy(&answer));
            }
        }
        thread.join().unwrap();
    }
}

#[test]
fn settings_that_cannot_work_are_refused_with_file_and_reason() {
    let certificates = Certificates::new();
    let key_only = ClientSettings { trust: Trust::File(certificates.identity("server").key), ..Default::default() };
    let missing = ClientSettings { trust: Trust::File("no/such/ca.pem".into()), ..Default::default() };
    let mut mixed = certificates.identity("client");
    mixed.key = certificates.identity("server").key;
    let mismatch = ClientSettings { identity: Some(mixed), ..Default::default() };
    for (settings, wanted) in [(key_only, "server.key"), (missing, "no/such/ca.pem"), (mismatch, "TLS settings")] {
        let error = TlsClient::new(&settings).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
    let client = TlsClient::new(&ClientSettings::default()).unwrap();
    let (addr, thread) = server(1, |_| {});
    let error = client.connect(connect(addr), "not a name").unwrap_err().to_string();
    assert!(error.contains("`not a name`"), "{error}");
    thread.join().unwrap();
}
