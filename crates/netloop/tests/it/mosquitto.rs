//! Mosquitto's TLS is OpenSSL, its WebSocket libwebsockets: the stacks that most brokers have.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netloop::tls::{ClientSettings, TlsClient, Trust, Versions};
use netloop::transport::Transport;
use netloop::websocket::{PATH, WsStream};
use tempfile::TempDir;

use crate::support::{Certificates, Peer, connect};

/// Mosquitto with one listener each of TLS, TLS with client certificates, WebSocket, and WebSocket over TLS.
struct Mosquitto {
    child: Child,
    addrs: [SocketAddr; 4],
    _dir: TempDir,
}

const TLS: usize = 0;
const MUTUAL: usize = 1;
const WS: usize = 2;
const WSS: usize = 3;

impl Mosquitto {
    fn start(certificates: &Certificates) -> Self {
        let dir = TempDir::new().unwrap();
        let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let listeners = [free(), free(), free(), free()];
        let addrs = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
        drop(listeners);
        let identity = certificates.identity("server");
        let tls = format!("certfile {}\nkeyfile {}\n", identity.certificates.display(), identity.key.display());
        let mutual = format!("{tls}cafile {}\nrequire_certificate true\n", certificates.authority().display());
        let ws = "protocol websockets\n".to_owned();
        let mut config = "per_listener_settings false\nallow_anonymous true\nuser root\n".to_owned();
        for (addr, lines) in addrs.iter().zip([tls.clone(), mutual, ws.clone(), ws + &tls]) {
            write!(config, "listener {} 127.0.0.1\n{lines}", addr.port()).unwrap();
        }
        let path = dir.path().join("mosquitto.conf");
        std::fs::write(&path, config).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is on PATH: apt-get install mosquitto");
        let broker = Self { child, addrs, _dir: dir };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !addrs.iter().all(|addr| TcpStream::connect(addr).is_ok()) {
            assert!(Instant::now() < deadline, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        broker
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CONNECT (MQTT 3.1.1, clean session, client id `a`) and CONNACK; then a message of so many bytes to ourselves.
fn converse(mut peer: Peer, length: usize) -> Peer {
    peer.handshake().unwrap();
    peer.send(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a").unwrap();
    assert_eq!(peer.receive(4), [0x20, 2, 0, 0]);
    peer.send(b"\x82\x06\0\x01\0\x01t\0").unwrap();
    assert_eq!(peer.receive(9)[4..], [0x90, 3, 0, 1, 0]);
    // QoS 0, the remaining length in three bytes, topic `t`.
    let rest = length + 3;
    let mut publish =
        vec![0x30, (rest % 128) as u8 | 0x80, (rest / 128 % 128) as u8 | 0x80, (rest / 16_384) as u8, 0, 1, b't'];
    publish.resize(7 + length, b'x');
    peer.send(&publish).unwrap();
    let wanted = 9 + publish.len();
    assert!(peer.receive(wanted)[9..] == publish, "{} of {wanted} bytes, end {:?}", peer.received.len(), peer.end);
    peer
}

#[test]
fn tls_in_both_versions_with_and_without_verification_and_with_a_client_certificate() {
    let certificates = Certificates::new();
    let broker = Mosquitto::start(&certificates);
    let trust = Trust::File(certificates.authority());
    for (versions, suite, version, openssl) in [
        (Versions::Tls12, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLSv1_2", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (Versions::Tls13, "TLS_CHACHA20_POLY1305_SHA256", "TLSv1_3", "TLS_CHACHA20_POLY1305_SHA256"),
    ] {
        for (listener, trust, name) in [(TLS, Trust::Anyone, "some.where"), (MUTUAL, trust.clone(), "127.0.0.1")] {
            let settings = ClientSettings {
                trust,
                identity: (listener == MUTUAL).then(|| certificates.identity("client")),
                versions,
                cipher_suites: vec![openssl.to_owned()],
                resumed_sessions_max: 0,
            };
            let client = TlsClient::new(&settings).unwrap();
            let stream = client.connect(connect(broker.addrs[listener]), name).unwrap();
            let peer = converse(Peer::new(Transport::Tls(Box::new(stream))), TLS_BYTES);
            let tls = peer.transport.tls().unwrap();
            assert_eq!((tls.version(), tls.cipher_suite()), (Some(version), Some(suite)));
        }
    }
    let without = TlsClient::new(&ClientSettings { trust, ..ClientSettings::default() }).unwrap();
    let stream = without.connect(connect(broker.addrs[MUTUAL]), "localhost").unwrap();
    let mut peer = Peer::new(Transport::Tls(Box::new(stream)));
    let error = peer.handshake().and_then(|()| peer.await_end()).unwrap_err().to_string();
    assert!(error.starts_with("TLS: received fatal alert: "), "{error}");
}

#[test]
fn websocket_and_websocket_over_tls() {
    let certificates = Certificates::new();
    let broker = Mosquitto::start(&certificates);
    let client = TlsClient::new(&ClientSettings {
        trust: Trust::File(certificates.authority()),
        resumed_sessions_max: 8,
        ..ClientSettings::default()
    })
    .unwrap();
    let plain = Transport::Plain(connect(broker.addrs[WS]));
    converse(Peer::new(Transport::WebSocket(Box::new(WsStream::client(plain, "localhost", PATH)))), WS_BYTES);
    for resumed in [false, true] {
        let lower = Transport::Tls(Box::new(client.connect(connect(broker.addrs[WSS]), "localhost").unwrap()));
        let peer =
            converse(Peer::new(Transport::WebSocket(Box::new(WsStream::client(lower, "localhost", PATH)))), WS_BYTES);
        assert_eq!(peer.transport.tls().unwrap().is_resumed(), Some(resumed));
    }
    // A WebSocket client at a listener of MQTT: no HTTP comes back.
    let lower = Transport::Tls(Box::new(client.connect(connect(broker.addrs[TLS]), "localhost").unwrap()));
    let mut peer = Peer::new(Transport::WebSocket(Box::new(WsStream::client(lower, "localhost", PATH))));
    let error = peer.handshake().unwrap_err().to_string();
    assert_eq!(error, "WebSocket: closed by the peer during the handshake");
}

/// More than a record and the socket buffers hold.
const TLS_BYTES: usize = 2_000_000;
/// More than a frame of ours; Mosquitto's WebSocket side is slow with more.
const WS_BYTES: usize = 70_000;
