//! What the tests of layered transports share.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use netloop::buffer::{Inlet, Input, Outbox, Spill};
use netloop::socket;
use netloop::tls::Identity;
use netloop::transport::Transport;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// Nothing in these tests takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// The shortest event loop that keeps to the rules of `transport`: one connection, edge-triggered, small reads.
pub(crate) struct Peer {
    pub(crate) transport: Transport,
    pub(crate) received: Vec<u8>,
    /// How the input ended.
    pub(crate) end: Option<io::Result<()>>,
    poll: Poll,
    inlet: Inlet,
    spill: Spill,
    outbox: Outbox,
}

impl Peer {
    pub(crate) fn new(mut transport: Transport) -> Self {
        let poll = Poll::new().unwrap();
        poll.registry().register(&mut transport, Token(0), Interest::READABLE | Interest::WRITABLE).unwrap();
        Self {
            transport,
            received: Vec::new(),
            end: None,
            poll,
            inlet: Inlet::new(1_000),
            spill: Spill::default(),
            outbox: Outbox::default(),
        }
    }

    /// Brings the layers up.
    pub(crate) fn handshake(&mut self) -> io::Result<()> {
        loop {
            match self.transport.handshake() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(self.wait()),
                result => {
                    result?;
                    self.read(false);
                    return Ok(());
                }
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.outbox.send(&mut self.transport, bytes).map(drop)
    }

    /// Goes on until so many bytes have come, or until the end of input if it comes first.
    pub(crate) fn receive(&mut self, count: usize) -> &[u8] {
        while self.received.len() < count && self.end.is_none() {
            self.turn();
        }
        &self.received
    }

    /// Goes on until the input has ended.
    pub(crate) fn await_end(&mut self) -> io::Result<()> {
        while self.end.is_none() {
            self.turn();
        }
        self.end.take().unwrap()
    }

    /// Goes on until the peer has taken everything.
    pub(crate) fn drain(&mut self) {
        while !self.outbox.is_empty() && self.end.is_none() {
            self.turn();
        }
    }

    /// Sends back everything that comes, until the peer ends.
    pub(crate) fn echo(&mut self) {
        while self.end.is_none() {
            let bytes = std::mem::take(&mut self.received);
            if self.send(&bytes).is_err() {
                return;
            }
            self.turn();
        }
    }

    /// Waits for the end of TCP, whatever the layers said: closing a socket before would reset the connection.
    pub(crate) fn linger(self) {
        // A peer that leaves with our bytes unread resets the connection: an end as well.
        let _ = io::copy(&mut self.socket(), &mut io::sink());
    }

    /// The socket below all layers, blocking.
    pub(crate) fn socket(&self) -> TcpStream {
        let socket = TcpStream::from(self.transport.socket().as_fd().try_clone_to_owned().unwrap());
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    fn turn(&mut self) {
        let events = self.wait();
        for event in &events {
            if event.is_writable()
                && let Err(error) = self.outbox.flush(&mut self.transport)
            {
                self.end.get_or_insert(Err(error));
            }
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                self.read(event.is_read_closed() || event.is_error());
            }
        }
    }

    fn read(&mut self, ending: bool) {
        loop {
            match self.inlet.read(&mut self.spill, &mut self.transport) {
                Ok(Input::Bytes { more }) => {
                    self.received.extend_from_slice(self.inlet.bytes());
                    self.inlet.keep(&mut self.spill, self.inlet.bytes().len());
                    if !more && !ending {
                        return;
                    }
                }
                Ok(Input::Nothing) => return,
                Ok(Input::End) => return self.end = self.end.take().or(Some(Ok(()))),
                Err(error) => return self.end = self.end.take().or(Some(Err(error))),
            }
        }
    }

    fn wait(&mut self) -> Events {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(!events.is_empty(), "nothing happened in {PATIENCE:?}");
        events
    }
}

/// A plain connection, established.
pub(crate) fn connect(addr: SocketAddr) -> mio::net::TcpStream {
    let mut peer = Peer::new(Transport::Plain(socket::connect(addr).unwrap().into_stream()));
    loop {
        let Transport::Plain(stream) = &peer.transport else { unreachable!("made above") };
        match socket::finish_connect(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(peer.wait()),
            result => break result.unwrap(),
        }
    }
    peer.poll.registry().deregister(&mut peer.transport).unwrap();
    let Transport::Plain(stream) = peer.transport else { unreachable!("made above") };
    stream
}

/// A server that serves so many connections one after the other, each with what `serve` does.
pub(crate) fn server(
    connections: usize,
    mut serve: impl FnMut(mio::net::TcpStream) + Send + 'static,
) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nonblocking(true).unwrap();
            serve(mio::net::TcpStream::from_std(stream));
        }
    });
    (addr, thread)
}

/// An authority and what it has certified, as PEM files.
pub(crate) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// A server for `localhost` and 127.0.0.1, and a client.
    pub(crate) fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: authorities are told apart by it before any signature is looked at.
        params.distinguished_name.push(rcgen::DnType::CommonName, dir.path().display().to_string());
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), authority.pem()).unwrap();
        for (name, subjects) in [("server", vec!["localhost".to_owned(), "127.0.0.1".to_owned()]), ("client", vec![])] {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(subjects).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            let certificate = params.signed_by(&key, &authority).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { dir }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let file = |ending: &str| self.dir.path().join(format!("{name}.{ending}"));
        Identity { certificates: file("pem"), key: file("key") }
    }
}
