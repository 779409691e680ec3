//! The prober's own MQTT client: all connections on one poller, and the loop that measures.
//!
//! A turn sends what is due, looks after the second's chores, and waits for whatever comes first: bytes, a signal, or the
//! next due time. Between the send of a probe and going to sleep lies as little as possible: where the broker shares a
//! core with the prober, it cannot run before the prober sleeps.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use netloop::alarm::Alarm;
use netloop::buffer::Inlet;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use pacer::NS_PER_S;
use runlog::clock;

use crate::floor::Floor;
use crate::pair::{KEEP_ALIVE_S, Pair, Side};
use crate::session::Session;
use crate::settings::{CONNECT_TIMEOUT, Settings};

/// All pairs, subscribed, and what they share.
#[derive(Debug)]
pub(crate) struct Wire {
    poll: Poll,
    alarm: Alarm,
    signals: SignalFd,
    stopped_by: Option<Signal>,
    inlet: Inlet,
    pairs: Vec<Pair>,
    floor: Option<Floor>,
    next_ping_ns: u64,
}

impl Wire {
    /// Connects all, subscribes, and waits for the broker's consent to each. `signals` are those that ask to stop.
    pub(crate) fn open(settings: &Settings, signals: SignalFd) -> Result<Wire> {
        let poll = Poll::new().context("cannot make a poller")?;
        let registry = poll.registry();
        let alarm = Alarm::new(registry, ALARM).context("cannot make a timer")?;
        registry.register(&mut SourceFd(&signals.as_fd().as_raw_fd()), SIGNALS, Interest::READABLE)?;
        let pairs = Vec::with_capacity(settings.pairs as usize);
        let inlet = Inlet::new(INLET_BYTES);
        let mut wire =
            Wire { poll, alarm, signals, stopped_by: None, inlet, pairs, floor: None, next_ping_ns: u64::MAX };
        for number in 0..settings.pairs {
            wire.add_pair(settings, number)?;
        }
        wire.add_floor(settings)?;
        // While the others were waited for, nobody heard the earlier ones; the poller does not repeat itself.
        let Wire { pairs, inlet, .. } = &mut wire;
        for pair in pairs {
            [Side::Publisher, Side::Subscriber].into_iter().try_for_each(|side| pair.read(side, inlet, |_, _| {}))?;
        }
        Ok(wire)
    }

    /// Probes that the broker acknowledged to the end.
    pub(crate) fn acked(&self) -> u64 {
        self.pairs.iter().map(Pair::acked).sum()
    }

    /// The echo between the probes.
    pub(crate) fn floor(&self) -> Option<&Floor> {
        self.floor.as_ref()
    }

    /// Plans the echoes and the pings; probes begin at `start_ns`.
    pub(crate) fn plan(&mut self, start_ns: u64, interval_ns: u64) {
        self.next_ping_ns = start_ns + PING_NS;
        if let Some(floor) = &mut self.floor {
            floor.plan(start_ns, interval_ns);
        }
    }

    /// Measures until the session is over.
    ///
    /// # Errors
    /// A connection broke, or the recorder failed.
    pub(crate) fn run(&mut self, session: &mut Session<'_>) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let now_ns = clock::mono_ns();
            self.send_due(session, now_ns)?;
            if session.beat(now_ns, || self.acked())? {
                self.chores(now_ns)?;
            }
            if let Some(signal) = self.stopped_by {
                session.stop(signal, now_ns);
            }
            if session.is_over(now_ns) {
                return Ok(());
            }
            let floor_ns = self.floor.as_ref().and_then(Floor::next_due_ns);
            let until_ns = session.wake_ns(now_ns, |pair| self.pairs[pair].may_publish(), floor_ns);
            self.turn(&mut events, until_ns, session)?;
        }
    }

    /// Takes leave of the broker. Failing at that is no failure of the measurement.
    pub(crate) fn close(&mut self) {
        for pair in &mut self.pairs {
            let _ = pair.leave();
        }
    }

    fn send_due(&mut self, session: &mut Session<'_>, mut now_ns: u64) -> Result<()> {
        for (number, pair) in self.pairs.iter_mut().enumerate() {
            while pair.may_publish() {
                let Some(stamp) = session.take_due(number, now_ns) else { break };
                pair.publish(stamp, now_ns)?;
                // A probe that waited behind others was sent when they were, not when the turn began.
                now_ns = clock::mono_ns();
            }
        }
        if let Some(floor) = &mut self.floor
            && floor.next_due_ns().is_some_and(|due_ns| due_ns <= now_ns)
        {
            floor.send_due(now_ns);
        }
        Ok(())
    }

    /// Once a second.
    fn chores(&mut self, now_ns: u64) -> Result<()> {
        if let Some(floor) = &mut self.floor {
            floor.make_ready();
        }
        if now_ns >= self.next_ping_ns {
            self.next_ping_ns = now_ns + PING_NS;
            self.pairs.iter_mut().try_for_each(Pair::ping)?;
        }
        Ok(())
    }

    /// Waits until something happens or the clock shows `until_ns` (0: does not wait), and books what came.
    fn turn(&mut self, events: &mut Events, until_ns: u64, session: &mut Session<'_>) -> Result<()> {
        self.poll(events, until_ns)?;
        for event in events.iter() {
            match event.token() {
                ALARM => {
                    self.alarm.rang();
                    session.woken(until_ns, clock::mono_ns());
                }
                SIGNALS => self.read_signal()?,
                FLOOR => self.floor.iter_mut().for_each(|floor| floor.read(clock::mono_ns)),
                _ => self.on_link(event, session)?,
            }
        }
        Ok(())
    }

    fn on_link(&mut self, event: &Event, session: &mut Session<'_>) -> Result<()> {
        let (number, side) = Side::of_token(event.token());
        let pair = &mut self.pairs[number];
        if event.is_writable() {
            pair.link(side).flush()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        pair.read(side, &mut self.inlet, |payload, received_ns| session.arrived(number, payload, received_ns))
    }

    fn poll(&mut self, events: &mut Events, until_ns: u64) -> Result<()> {
        let timeout = if until_ns == 0 {
            Some(Duration::ZERO)
        } else {
            self.alarm.set(until_ns).context("cannot set the timer")?;
            None
        };
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                Err(error).context("cannot wait for sockets")
            }
            _ => Ok(()),
        }
    }

    fn read_signal(&mut self) -> Result<()> {
        while let Some(info) = self.signals.read_signal().context("cannot read the signalfd")? {
            self.stopped_by =
                Some(if info.ssi_signo == Signal::SIGINT as u32 { Signal::SIGINT } else { Signal::SIGTERM });
        }
        Ok(())
    }

    fn add_pair(&mut self, settings: &Settings, number: u32) -> Result<()> {
        let sides = if settings.one_connection { &[Side::Publisher][..] } else { &[Side::Subscriber, Side::Publisher] };
        let pair = Pair::begin(settings, number, self.poll.registry())?;
        self.pairs.push(pair);
        let last = number as usize;
        for &side in sides {
            let name = settings.link_name(number, side);
            let who = format!("{name}: waited for {}", settings.remote);
            self.wait(&format!("{who} to accept the connection"), |wire| wire.pairs[last].link(side).check())?;
            self.pairs[last].send_connect(settings, number, side)?;
            self.wait(&format!("{who} to answer CONNECT"), |wire| {
                wire.pairs[last].is_connected(side, &mut wire.inlet)
            })?;
            if side == sides[0] {
                self.pairs[last].send_subscribe()?;
                self.wait(&format!("{who} to answer SUBSCRIBE"), |wire| {
                    wire.pairs[last].is_subscribed(&mut wire.inlet)
                })?;
            }
        }
        Ok(())
    }

    fn add_floor(&mut self, settings: &Settings) -> Result<()> {
        let Some(echo) = settings.floor else { return Ok(()) };
        let sender = settings.sender(settings.pairs);
        self.floor = Some(Floor::begin(echo, settings.source(0), sender, self.poll.registry(), FLOOR)?);
        self.wait("echo: waited for it to accept the connection", |wire| {
            wire.floor.as_ref().map_or(Ok(true), Floor::is_connected)
        })
    }

    /// Turns the poller until `done`, for at most the time-out.
    fn wait(&mut self, what: &str, mut done: impl FnMut(&mut Wire) -> Result<bool>) -> Result<()> {
        let deadline_ns = clock::mono_ns() + CONNECT_TIMEOUT.as_nanos() as u64;
        let mut events = Events::with_capacity(EVENTS);
        while !done(self)? {
            if clock::mono_ns() >= deadline_ns {
                bail!("{what} for {} s", CONNECT_TIMEOUT.as_secs());
            }
            if let Some(signal) = self.stopped_by {
                bail!("stopped by {signal} while connecting");
            }
            self.poll(&mut events, deadline_ns)?;
            for event in &events {
                match event.token() {
                    ALARM => self.alarm.rang(),
                    SIGNALS => self.read_signal()?,
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// Turns SIGINT and SIGTERM from the end of the process into something to read. To be called before any thread is made:
/// threads inherit what is blocked, and a signal goes to any thread that does not block it.
pub(crate) fn stop_signals() -> Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGINT);
    mask.add(Signal::SIGTERM);
    mask.thread_block().context("cannot block SIGINT and SIGTERM")?;
    SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).context("cannot make a signalfd")
}

const ALARM: Token = Token(usize::MAX - 1);
const SIGNALS: Token = Token(usize::MAX - 2);
const FLOOR: Token = Token(usize::MAX - 3);

/// What one turn takes from the poller; more pairs than this wait for the next turn.
const EVENTS: usize = 64;

/// Room for a burst of probes after a stall.
const INLET_BYTES: usize = 64 * 1024;

const PING_NS: u64 = KEEP_ALIVE_S as u64 * NS_PER_S / 3;
