//! The floor: round trips of a TCP echo between the probes. What they take, every latency over this path contains; the
//! rest is the broker's. Over the same loop and the same kernel, so that it also holds what this machine adds.
//!
//! The protocol is bytes back as they came. A message is 32 bytes: a stamp with its pattern, so that a damaged one shows.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, Result};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use netloop::socket;
use pacer::schedule::Schedule;
use runlog::FloorSummary;

use crate::link;
use crate::probes::Probes;
use crate::settings::Echo;

/// One connection to an echo.
#[derive(Debug)]
pub(crate) struct Floor {
    remote: SocketAddr,
    own_loopback: bool,
    /// `None` once it has failed.
    stream: Option<TcpStream>,
    probes: Probes,
    /// What has come of a message that is not whole yet.
    partial: [u8; MESSAGE_LEN],
    filled: usize,
    failure: Option<String>,
}

impl Floor {
    /// Begins to connect, to an echo of this process if asked so; `sender` marks the messages.
    pub(crate) fn begin(
        echo: Echo,
        source: Option<IpAddr>,
        sender: u32,
        registry: &Registry,
        token: Token,
    ) -> Result<Floor> {
        let (remote, source) = match echo {
            Echo::At(remote) => (remote, source),
            Echo::Own => (serve().context("cannot serve an echo on loopback (--no-floor does without)")?, None),
        };
        let mut stream = link::begin(source, remote).with_context(|| unreachable(remote))?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Floor {
            remote,
            own_loopback: echo == Echo::Own,
            stream: Some(stream),
            probes: Probes::new(sender, WARMUP, COUNT_MAX, TIMEOUT_NS),
            partial: [0; MESSAGE_LEN],
            filled: 0,
            failure: None,
        })
    }

    /// Whether the connection stands by now.
    ///
    /// # Errors
    /// Nobody listens there.
    pub(crate) fn is_connected(&self) -> Result<bool> {
        let Some(stream) = &self.stream else { return Ok(false) };
        match socket::finish_connect(stream) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error).with_context(|| unreachable(self.remote)),
        }
    }

    /// Plans an echo in the middle between two probes that are `interval_ns` apart, but no more than a hundred a second.
    pub(crate) fn plan(&mut self, start_ns: u64, interval_ns: u64) {
        let every_ns = interval_ns.max(INTERVAL_NS_MIN).next_multiple_of(interval_ns);
        self.probes.begin(Schedule::every(start_ns + interval_ns / 2, every_ns));
        self.probes.make_ready(READY);
    }

    /// When the next echo is due.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.stream.is_some().then(|| self.probes.next_due_ns()).flatten()
    }

    /// Sends what is due.
    pub(crate) fn send_due(&mut self, now_ns: u64) {
        let Some(stream) = &mut self.stream else { return };
        // A loop that comes late sends one for all that were due: a burst of echoes would measure its own queue.
        let mut latest = None;
        while let Some(stamp) = self.probes.take_due(now_ns) {
            if self.probes.next_due_ns().is_some_and(|due_ns| due_ns <= now_ns) {
                self.probes.retract();
            } else {
                latest = Some(stamp);
            }
        }
        let Some(stamp) = latest else { return };
        let mut message = [0; MESSAGE_LEN];
        stamp.fill_sent_at(now_ns, &mut message);
        match stream.write(&message) {
            Ok(MESSAGE_LEN) => {}
            Ok(_) => self.fail("takes no more"),
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// Takes what has come back.
    pub(crate) fn read(&mut self, clock_ns: impl Fn() -> u64) {
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut self.partial[self.filled..]) {
                Ok(0) => self.fail("was closed"),
                Ok(count) => {
                    self.filled += count;
                    if self.filled == MESSAGE_LEN {
                        self.filled = 0;
                        self.probes.arrived(&self.partial, clock_ns());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.fail(&error.to_string()),
            }
        }
    }

    /// Once a second: memory for the next ones.
    pub(crate) fn make_ready(&mut self) {
        self.probes.make_ready(READY);
    }

    /// What was measured until `now_ns`.
    pub(crate) fn summary(&self, now_ns: u64) -> FloorSummary {
        let corrupted = self.probes.counts().corrupted;
        let damaged = (corrupted > 0).then(|| format!("{corrupted} messages came back damaged: that is no echo"));
        FloorSummary {
            remote: self.remote.to_string(),
            own_loopback: self.own_loopback,
            message_bytes: MESSAGE_LEN as u64,
            round_trip_us: self.probes.round_trips(now_ns),
            failure: self.failure.clone().or(damaged),
        }
    }

    fn fail(&mut self, reason: &str) {
        self.failure = Some(format!("the connection to the echo at {} {reason}", self.remote));
        self.stream = None;
    }
}

/// Serves one connection on loopback from a thread, which ends with that connection.
fn serve() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("echo".to_owned()).spawn(move || {
        let Ok((mut stream, _)) = listener.accept() else { return };
        let _ = stream.set_nodelay(true);
        let mut bytes = [0; 64 * MESSAGE_LEN];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
    })?;
    Ok(address)
}

fn unreachable(remote: SocketAddr) -> String {
    format!("cannot connect to the echo at {remote} (start one there: collector --echo {})", remote.port())
}

/// About the size of a probe on the wire.
const MESSAGE_LEN: usize = 32;

const WARMUP: u32 = 5;

/// Two hours and three quarters at the shortest interval; a run that is longer knows its floor by then.
const COUNT_MAX: u32 = 1_000_000;

const INTERVAL_NS_MIN: u64 = 10_000_000;

/// What has not come back after this is lost.
const TIMEOUT_NS: u64 = 5_000_000_000;

/// More than are due within a second.
const READY: u32 = 200;
