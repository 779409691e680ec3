//! A TCP echo: bytes go back as they came. The floor that a latency probe over the same path is measured against, and a
//! side channel that shows when this host stands still.
//!
//! One thread of ordinary priority serves all connections, so that it suffers what a broker would and never delays a
//! sample. Memory is bounded: so many connections, each with a buffer of fixed size; what a peer does not take is not
//! read.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use runlog::columns;

use crate::row::Row;

/// The running echo. It ends with the process.
#[derive(Debug)]
pub(crate) struct Echo {
    address: SocketAddr,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    connections: AtomicU64,
    bytes: AtomicU64,
}

impl Echo {
    /// Listens on all addresses of this host; port 0 is any free one. Call before the process asks for real-time
    /// priority, which threads inherit.
    pub(crate) fn start(port: u16) -> Result<Echo> {
        // Dual-stack where there is IPv6, as for a broker that listens on everything.
        let listener = StdListener::bind((Ipv6Addr::UNSPECIFIED, port))
            .or_else(|_| StdListener::bind((Ipv4Addr::UNSPECIFIED, port)))
            .with_context(|| format!("cannot listen on port {port} for the echo"))?;
        listener.set_nonblocking(true).context("cannot make the echo's listener non-blocking")?;
        let address = listener.local_addr().context("the echo's listener has no address")?;
        let counters = Arc::new(Counters::default());
        let mut server = Server::new(TcpListener::from_std(listener), Arc::clone(&counters))?;
        let serve = move || {
            if let Err(error) = server.serve() {
                eprintln!("collector: the echo ended: {error}");
            }
        };
        thread::Builder::new().name("echo".to_owned()).spawn(serve).context("cannot start the echo")?;
        Ok(Echo { address, counters })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Fills the echo's cells.
    pub(crate) fn sample(&self, row: &mut Row) {
        row.set(columns::ECHO_CONNECTIONS, self.counters.connections.load(Ordering::Relaxed));
        row.set(columns::ECHO_BYTES, self.counters.bytes.load(Ordering::Relaxed));
    }
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    peers: Vec<Option<Peer>>,
    counters: Arc<Counters>,
}

struct Peer {
    stream: TcpStream,
    buffer: Box<[u8; BUFFER_LEN]>,
    /// What was read and is not sent yet.
    pending: std::ops::Range<usize>,
}

impl Server {
    fn new(mut listener: TcpListener, counters: Arc<Counters>) -> Result<Server> {
        let poll = Poll::new().context("cannot make a poller for the echo")?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)
            .context("cannot watch the echo's port")?;
        Ok(Server { poll, listener, peers: Vec::new(), counters })
    }

    fn serve(&mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                if event.token() == LISTENER {
                    self.accept();
                } else {
                    self.turn(event.token().0);
                }
            }
        }
    }

    fn accept(&mut self) {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => self.admit(stream),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // A peer that has gone already, or no descriptor left: the next event tries again.
                Err(error) if error.raw_os_error() == Some(libc::EMFILE) => return,
                Err(_) => {}
            }
        }
    }

    /// Takes a connection in, or closes it when there are too many.
    fn admit(&mut self, mut stream: TcpStream) {
        let slot = self.peers.iter().position(Option::is_none).unwrap_or(self.peers.len());
        if slot == CONNECTIONS_MAX || stream.set_nodelay(true).is_err() {
            return;
        }
        let interest = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(&mut stream, Token(slot), interest).is_err() {
            return;
        }
        let peer = Some(Peer { stream, buffer: Box::new([0; BUFFER_LEN]), pending: 0..0 });
        if slot == self.peers.len() {
            self.peers.push(peer);
        } else {
            self.peers[slot] = peer;
        }
        self.counters.connections.fetch_add(1, Ordering::Relaxed);
    }

    fn turn(&mut self, slot: usize) {
        let Some(peer) = self.peers.get_mut(slot).and_then(Option::as_mut) else { return };
        if !peer.pump(&self.counters.bytes) {
            // Counted before it is closed: a peer that sees the end is no longer in the number.
            self.counters.connections.fetch_sub(1, Ordering::Relaxed);
            self.peers[slot] = None;
        }
    }
}

impl Peer {
    /// Sends back what there is until the peer has no more or takes no more; false at the connection's end. (Events are
    /// edge-triggered, so it goes on until the kernel says that it must wait.)
    fn pump(&mut self, bytes: &AtomicU64) -> bool {
        loop {
            while !self.pending.is_empty() {
                match self.stream.write(&self.buffer[self.pending.clone()]) {
                    Ok(0) => return false,
                    Ok(written) => {
                        self.pending.start += written;
                        bytes.fetch_add(written as u64, Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(_) => return false,
                }
            }
            match self.stream.read(&mut self.buffer[..]) {
                Ok(0) => return false,
                Ok(read) => self.pending = 0..read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }
}

const LISTENER: Token = Token(usize::MAX);

/// Connections at a time; one more is closed at once.
const CONNECTIONS_MAX: usize = 1_024;

const BUFFER_LEN: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use std::net::{Shutdown, TcpStream as Client};

    use super::*;

    #[test]
    fn bytes_come_back_whatever_their_number() {
        let echo = Echo::start(0).unwrap();
        let client = || Client::connect((Ipv4Addr::LOCALHOST, echo.address().port())).unwrap();
        let (mut one, mut other) = (client(), client());
        // More than both kernels' buffers and ours hold: the echo must wait for its reader and then go on.
        let sent: Vec<u8> = (0..8_000_000u32).map(|i| (i / 7) as u8).collect();
        let (mut writer, expected) = (one.try_clone().unwrap(), sent.clone());
        let writing = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
        });
        let mut back = vec![0; expected.len()];
        other.write_all(b"x").unwrap();
        other.read_exact(&mut [0; 1]).unwrap();
        one.read_exact(&mut back).unwrap();
        writing.join().unwrap();
        assert!(back == expected, "bytes came back changed");
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(one.read(&mut [0; 1]).unwrap(), 0, "the echo closes when its peer does");
        let mut row = Row::default();
        echo.sample(&mut row);
        assert_eq!(row.get(columns::ECHO_BYTES), Some(8_000_001));
        assert_eq!(row.get(columns::ECHO_CONNECTIONS), Some(1));
    }
}
