//! The two connections and the poller that they share: connecting, subscribing, publishing, acknowledging.

use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use mqtt_wire::packet::SubscribeFiltersBuf;
use mqtt_wire::window::SendWindow;
use mqtt_wire::{
    Ack, AckKind, Connect, Disconnect, Packet, Properties, Property, Publish, QoS, ReasonCode, Subscribe,
    SubscribeOptions, TopicFilter, Version,
};
use netloop::alarm::Alarm;
use netloop::buffer::Inlet;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use pacer::stamp::Stamp;
use runlog::clock;

use crate::link::{Link, refusal};

/// What both connections are made with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) remote: SocketAddr,
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    pub(crate) topic: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// Begins both client identifiers.
    pub(crate) prefix: String,
    pub(crate) payload_bytes: usize,
    /// QoS 1 and 2: messages under way at once, unless the broker takes fewer.
    pub(crate) in_flight_max: u16,
    /// For each step of connecting.
    pub(crate) timeout: Duration,
}

/// A publisher and a subscriber that is subscribed.
#[derive(Debug)]
pub(crate) struct Pair {
    settings: Settings,
    poll: Poll,
    alarm: Alarm,
    signals: SignalFd,
    inlet: Inlet,
    publisher: Link,
    subscriber: Link,
    in_flight: SendWindow<()>,
    in_flight_max: u16,
    acked: u64,
    payload: Vec<u8>,
    /// Acknowledgements to send; empty between turns, kept for its memory.
    answers: Vec<Ack<'static>>,
    stopped_by: Option<Signal>,
}

impl Pair {
    /// Connects both, subscribes, and waits for the broker's consent to each. `signals` are those that ask to stop.
    pub(crate) fn open(settings: Settings, signals: SignalFd) -> Result<Pair> {
        let poll = Poll::new().context("cannot make a poller")?;
        let registry = poll.registry();
        let alarm = Alarm::new(registry, ALARM).context("cannot make a timer")?;
        registry.register(&mut SourceFd(&signals.as_fd().as_raw_fd()), SIGNALS, Interest::READABLE)?;
        let link = |name, token| Link::connect(name, settings.version, settings.remote, registry, token);
        let (publisher, subscriber) = (link(PUBLISHER.0, PUBLISHER.1)?, link(SUBSCRIBER.0, SUBSCRIBER.1)?);
        let payload = vec![0; settings.payload_bytes];
        let mut pair = Pair {
            settings,
            poll,
            alarm,
            signals,
            inlet: Inlet::new(INLET_BYTES),
            publisher,
            subscriber,
            in_flight: SendWindow::default(),
            in_flight_max: u16::MAX,
            acked: 0,
            payload,
            answers: Vec::new(),
            stopped_by: None,
        };
        pair.handshake()?;
        Ok(pair)
    }

    /// Whether one more probe may be under way: always with QoS 0.
    pub(crate) fn may_publish(&self) -> bool {
        self.settings.qos == QoS::AtMostOnce || self.in_flight.len() < usize::from(self.in_flight_max)
    }

    /// Publishes one probe, as sent at `now_ns`.
    pub(crate) fn publish(&mut self, stamp: Stamp, now_ns: u64) -> Result<()> {
        stamp.fill_sent_at(now_ns, &mut self.payload);
        let packet_id = match self.settings.qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                self.in_flight.push(()).ok().context("no packet identifier is free")?
            }
        };
        self.publisher.send(&Packet::Publish(Publish {
            dup: false,
            qos: self.settings.qos,
            retain: false,
            topic: &self.settings.topic,
            packet_id,
            properties: Properties::default(),
            payload: &self.payload,
        }))
    }

    /// Waits until something happens or the clock shows `until_ns` (0: does not wait), and hands each received payload
    /// to `arrived` with the moment of its receipt.
    pub(crate) fn turn(
        &mut self,
        events: &mut Events,
        until_ns: u64,
        mut arrived: impl FnMut(&[u8], u64),
    ) -> Result<()> {
        let timeout = if until_ns == 0 {
            Some(Duration::ZERO)
        } else {
            self.alarm.set(until_ns).context("cannot set the timer")?;
            None
        };
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            return Err(error).context("cannot wait for sockets");
        }
        for event in events.iter() {
            match event.token() {
                ALARM => self.alarm.rang(),
                SIGNALS => self.read_signal()?,
                token if token == SUBSCRIBER.1 => self.on_subscriber(event, &mut arrived)?,
                _ => self.on_publisher(event)?,
            }
        }
        Ok(())
    }

    /// The signal that asked to stop, if one did.
    pub(crate) fn stopped_by(&self) -> Option<Signal> {
        self.stopped_by
    }

    /// Probes that the broker acknowledged to the end.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// Keeps both connections alive.
    pub(crate) fn ping(&mut self) -> Result<()> {
        self.publisher.send(&Packet::PingReq)?;
        self.subscriber.send(&Packet::PingReq)
    }

    /// Takes leave of the broker. Failing at that is no failure of the measurement.
    pub(crate) fn close(mut self) {
        let leave = Packet::Disconnect(Disconnect { reason: ReasonCode::SUCCESS, properties: Properties::default() });
        let _ = self.publisher.send(&leave);
        let _ = self.subscriber.send(&leave);
    }

    fn on_publisher(&mut self, event: &Event) -> Result<()> {
        if event.is_writable() {
            self.publisher.flush()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        let Self { publisher, inlet, in_flight, acked, answers, .. } = self;
        publisher.read(inlet, |packet, _| {
            match packet {
                Packet::Ack(ack) if ack.reason.is_error() => {
                    bail!("publisher: the broker refused a probe: {}", ack.reason.name());
                }
                Packet::Ack(Ack { kind: AckKind::PubAck | AckKind::PubComp, packet_id, .. }) => {
                    *acked += u64::from(in_flight.remove(packet_id).is_some());
                }
                Packet::Ack(Ack { kind: AckKind::PubRec, packet_id, .. }) => {
                    answers.push(Ack::new(AckKind::PubRel, packet_id));
                }
                _ => {}
            }
            Ok(())
        })?;
        answers.drain(..).try_for_each(|answer| publisher.send(&Packet::Ack(answer)))
    }

    fn on_subscriber(&mut self, event: &Event, arrived: &mut impl FnMut(&[u8], u64)) -> Result<()> {
        if event.is_writable() {
            self.subscriber.flush()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        let Self { subscriber, inlet, answers, .. } = self;
        subscriber.read(inlet, |packet, now_ns| {
            match packet {
                Packet::Publish(publish) => {
                    arrived(publish.payload, now_ns);
                    match publish.qos {
                        QoS::AtMostOnce => {}
                        QoS::AtLeastOnce => answers.push(Ack::new(AckKind::PubAck, publish.packet_id)),
                        QoS::ExactlyOnce => answers.push(Ack::new(AckKind::PubRec, publish.packet_id)),
                    }
                }
                Packet::Ack(Ack { kind: AckKind::PubRel, packet_id, .. }) => {
                    answers.push(Ack::new(AckKind::PubComp, packet_id));
                }
                _ => {}
            }
            Ok(())
        })?;
        answers.drain(..).try_for_each(|answer| subscriber.send(&Packet::Ack(answer)))
    }

    fn read_signal(&mut self) -> Result<()> {
        while let Some(info) = self.signals.read_signal().context("cannot read the signalfd")? {
            self.stopped_by =
                Some(if info.ssi_signo == Signal::SIGINT as u32 { Signal::SIGINT } else { Signal::SIGTERM });
        }
        Ok(())
    }

    fn handshake(&mut self) -> Result<()> {
        self.connect(Side::Subscriber)?;
        self.subscribe()?;
        self.in_flight_max = self.connect(Side::Publisher)?.min(self.settings.in_flight_max);
        // While the publisher was waited for, nobody heard the subscriber; the poller does not repeat itself.
        self.read(Side::Subscriber, |_| Ok(()))
    }

    /// Sends CONNECT and waits for CONNACK; the answer is how many messages may be in flight.
    fn connect(&mut self, side: Side) -> Result<u16> {
        let (name, version) = (side.name(), self.settings.version);
        self.wait(side, "to accept the connection", |pair| pair.link(side).check())?;
        let settings = self.settings.clone();
        self.link(side).send(&Packet::Connect(Connect {
            version,
            clean_start: true,
            keep_alive: KEEP_ALIVE_S,
            client_id: &format!("{}-{}", settings.prefix, &name[..3]),
            will: None,
            user_name: settings.username.as_deref(),
            password: settings.password.as_deref().map(str::as_bytes),
            properties: Properties::default(),
        }))?;
        let mut granted = None;
        self.wait(side, "to answer CONNECT", |pair| {
            pair.read(side, |packet| {
                if let Packet::ConnAck(answer) = packet {
                    if answer.reason != ReasonCode::SUCCESS {
                        return Err(refusal(name, version, answer.reason));
                    }
                    granted = Some(receive_maximum(&answer.properties));
                }
                Ok(())
            })?;
            Ok(granted.is_some())
        })?;
        Ok(granted.unwrap_or(u16::MAX))
    }

    fn subscribe(&mut self) -> Result<()> {
        let (topic, qos) = (self.settings.topic.clone(), self.settings.qos);
        let filter = TopicFilter::new(&topic).with_context(|| format!("{topic:?} is no topic filter"))?;
        let mut filters = SubscribeFiltersBuf::default();
        filters.push(filter, SubscribeOptions::with_qos(qos)).context("cannot encode the subscription")?;
        let subscribe = Subscribe { packet_id: 1, properties: Properties::default(), filters: filters.as_filters() };
        self.subscriber.send(&Packet::Subscribe(subscribe))?;
        let mut granted = None;
        self.wait(Side::Subscriber, "to answer SUBSCRIBE", |pair| {
            pair.read(Side::Subscriber, |packet| {
                if let Packet::SubAck(answer) = packet {
                    granted = answer.codes.first().copied();
                }
                Ok(())
            })?;
            Ok(granted.is_some())
        })?;
        match granted {
            Some(granted) if granted == qos as u8 => Ok(()),
            Some(granted @ 0..=2) => {
                bail!("subscriber: the broker granted QoS {granted} instead of {} on {topic}", qos as u8)
            }
            Some(code) => {
                bail!("subscriber: the broker refused the subscription to {topic}: {}", ReasonCode(code).name())
            }
            None => bail!("subscriber: the broker answered SUBSCRIBE with nothing"),
        }
    }

    /// Turns the poller until `done`, for at most the time-out.
    fn wait(&mut self, side: Side, what: &str, mut done: impl FnMut(&mut Pair) -> Result<bool>) -> Result<()> {
        let deadline_ns = clock::mono_ns() + self.settings.timeout.as_nanos() as u64;
        let mut events = Events::with_capacity(8);
        while !done(self)? {
            if clock::mono_ns() >= deadline_ns {
                let (seconds, remote) = (self.settings.timeout.as_secs_f64(), self.settings.remote);
                bail!("{}: waited {seconds} s for {remote} {what}", side.name());
            }
            if let Some(signal) = self.stopped_by {
                bail!("stopped by {signal} while connecting");
            }
            self.alarm.set(deadline_ns).context("cannot set the timer")?;
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(error).context("cannot wait for sockets");
            }
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

    fn read(&mut self, side: Side, mut visit: impl FnMut(Packet<'_>) -> Result<()>) -> Result<()> {
        let Self { publisher, subscriber, inlet, .. } = self;
        let link = if side == Side::Publisher { publisher } else { subscriber };
        link.read(inlet, |packet, _| visit(packet))
    }

    fn link(&mut self, side: Side) -> &mut Link {
        if side == Side::Publisher { &mut self.publisher } else { &mut self.subscriber }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Publisher,
    Subscriber,
}

impl Side {
    fn name(self) -> &'static str {
        if self == Side::Publisher { PUBLISHER.0 } else { SUBSCRIBER.0 }
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

/// Receive Maximum of a CONNACK (5.0 section 3.2.2.3.3); 65,535 where there is none.
fn receive_maximum(properties: &Properties<'_>) -> u16 {
    let maximum = properties.iter().find_map(|property| match property {
        Property::ReceiveMaximum(maximum) => Some(maximum),
        _ => None,
    });
    maximum.unwrap_or(u16::MAX)
}

const PUBLISHER: (&str, Token) = ("publisher", Token(0));
const SUBSCRIBER: (&str, Token) = ("subscriber", Token(1));
const ALARM: Token = Token(2);
const SIGNALS: Token = Token(3);

/// Room for a burst of probes after a stall.
const INLET_BYTES: usize = 64 * 1024;

/// Pings go out every third of this.
pub(crate) const KEEP_ALIVE_S: u16 = 60;
