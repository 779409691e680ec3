//! The same probes through the library rumqttc (`--client rumqttc`): a cross-check by code that shares nothing with ours but
//! the plan and the books. A tokio runtime of one thread carries it; each connection is a task that stamps what arrives
//! when the library hands it out, so that the latency contains the library's queues, its codec and its scheduler.

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use mqtt_wire::Version;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use runlog::clock;
use tokio::io::unix::AsyncFd;
use tokio::task::LocalSet;

use crate::args::Args;
use crate::pair::{KEEP_ALIVE_S, Side};
use crate::recorder::Recorder;
use crate::run::{self, Ended};
use crate::session::Session;
use crate::settings::{CONNECT_TIMEOUT, Settings};

/// Connects and probes through the library.
pub(crate) fn probe(
    args: &Args,
    settings: &Settings,
    signals: SignalFd,
    session: &mut Session<'_>,
    recorder: &Recorder,
) -> Ended {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime.context("cannot start the library's runtime") {
        Ok(runtime) => runtime,
        Err(error) => return Ended::early(error),
    };
    LocalSet::new().block_on(&runtime, async {
        let mut crew = match Crew::open(settings, signals).await {
            Ok(crew) => crew,
            Err(error) => return Ended::early(error),
        };
        let start_ns = match run::begin(args, session, recorder) {
            Ok(start_ns) => start_ns,
            Err(error) => return Ended::early(error),
        };
        let outcome = crew.run(session).await;
        let outcome = session.end(outcome, crew.acked());
        crew.leave().await;
        Ended { outcome, elapsed_ns: clock::mono_ns().saturating_sub(start_ns), floor: None }
    })
}

/// What a connection's task has to tell.
enum Note {
    Connected,
    Subscribed,
    Arrived(Vec<u8>, u64),
    Acked,
    Failed(anyhow::Error),
}

/// Where the tasks leave their notes, with the number of their pair.
type Inbox = Rc<RefCell<Vec<(usize, Note)>>>;

/// A client of either version.
enum Client {
    V4(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

struct Pair {
    /// Publisher first.
    clients: Vec<Client>,
    topic: String,
    payload: Vec<u8>,
    sent: u64,
    acked: u64,
}

struct Crew {
    settings: Settings,
    pairs: Vec<Pair>,
    inbox: Inbox,
    /// Registered before and dropped before the timer that it watches.
    timer_events: AsyncFd<RawFd>,
    timer: TimerFd,
    signals: SignalFd,
}

impl Crew {
    async fn open(settings: &Settings, signals: SignalFd) -> Result<Crew> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // SAFETY: the descriptor is the timer's, which the crew keeps open for longer than this (order of its fields).
        let timer_events = unsafe { AsyncFd::register(timer.as_fd().as_raw_fd()) };
        let timer_events = timer_events.map_err(std::io::Error::from)?;
        let (inbox, pairs) = (Inbox::default(), Vec::new());
        let mut crew = Crew { settings: settings.clone(), pairs, inbox, timer_events, timer, signals };
        for number in 0..settings.pairs {
            let sides =
                if settings.one_connection { &[Side::Publisher][..] } else { &[Side::Publisher, Side::Subscriber] };
            let clients = sides.iter().map(|&side| {
                let subscribes = side == Side::Subscriber || settings.one_connection;
                match settings.version {
                    Version::V5 => v5::start(settings, number, side, subscribes, &crew.inbox).map(Client::V5),
                    _ => v4::start(settings, number, side, subscribes, &crew.inbox).map(Client::V4),
                }
            });
            let (clients, topic) = (clients.collect::<Result<Vec<_>>>()?, settings.topic(number));
            crew.pairs.push(Pair { clients, topic, payload: vec![0; settings.payload_bytes], sent: 0, acked: 0 });
        }
        crew.wait_until_ready().await?;
        Ok(crew)
    }

    async fn wait_until_ready(&mut self) -> Result<()> {
        let (mut connected, mut subscribed) = (0, 0);
        let deadline_ns = clock::mono_ns() + CONNECT_TIMEOUT.as_nanos() as u64;
        while connected < self.settings.connections() || subscribed < self.settings.pairs {
            for (_, note) in self.inbox.take() {
                match note {
                    Note::Connected => connected += 1,
                    Note::Subscribed => subscribed += 1,
                    Note::Failed(error) => return Err(error),
                    Note::Arrived(..) | Note::Acked => {}
                }
            }
            if let Some(signal) = self.signal()? {
                bail!("stopped by {signal} while connecting");
            }
            if clock::mono_ns() > deadline_ns {
                let (remote, seconds) = (self.settings.remote, CONNECT_TIMEOUT.as_secs());
                bail!("rumqttc: waited for {remote} to let us connect and subscribe for {seconds} s");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<()> {
        loop {
            self.take_notes(session)?;
            let mut now_ns = clock::mono_ns();
            for number in 0..self.pairs.len() {
                while self.may_publish(number) {
                    let Some(stamp) = session.take_due(number, now_ns) else { break };
                    stamp.fill_sent_at(now_ns, &mut self.pairs[number].payload);
                    self.publish(number)?;
                    now_ns = clock::mono_ns();
                }
            }
            session.beat(now_ns, || self.acked())?;
            if let Some(signal) = self.signal()? {
                session.stop(signal, now_ns);
            }
            if session.is_over(now_ns) {
                return Ok(());
            }
            // Notes wake nobody: while only they can bring the next step, look again soon.
            let waits_for_notes = session.all_sent() || (0..self.pairs.len()).any(|number| !self.may_publish(number));
            let also_ns = waits_for_notes.then_some(now_ns + NOTES_NS);
            match session.wake_ns(now_ns, |number| self.may_publish(number), also_ns) {
                0 => tokio::task::yield_now().await,
                until_ns => {
                    self.sleep(until_ns).await?;
                    session.woken(until_ns, clock::mono_ns());
                }
            }
        }
    }

    async fn leave(&self) {
        for client in self.pairs.iter().flat_map(|pair| &pair.clients) {
            // Failing at that is no failure of the measurement.
            let _ = match client {
                Client::V4(client) => client.try_disconnect().map_err(drop),
                Client::V5(client) => client.try_disconnect().map_err(drop),
            };
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    fn acked(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.acked).sum()
    }

    fn may_publish(&self, number: usize) -> bool {
        let pair = &self.pairs[number];
        self.settings.qos as u8 == 0 || pair.sent - pair.acked < self.settings.in_flight_max.into()
    }

    fn publish(&mut self, number: usize) -> Result<()> {
        let (pair, qos) = (&mut self.pairs[number], self.settings.qos as u8);
        pair.sent += 1;
        let (topic, payload) = (pair.topic.as_str(), pair.payload.clone());
        let taken = match &pair.clients[0] {
            Client::V4(client) => client.try_publish(topic, v4::qos(qos), false, payload).map_err(|e| anyhow!(e)),
            Client::V5(client) => client.try_publish(topic, v5::qos(qos), false, payload).map_err(|e| anyhow!(e)),
        };
        taken.context("rumqttc takes no more probes")
    }

    fn take_notes(&mut self, session: &mut Session<'_>) -> Result<()> {
        for (number, note) in self.inbox.take() {
            match note {
                Note::Arrived(payload, now_ns) => session.arrived(number, &payload, now_ns),
                Note::Acked => self.pairs[number].acked += 1,
                Note::Failed(error) => return Err(error),
                Note::Connected | Note::Subscribed => {}
            }
        }
        Ok(())
    }

    /// Tokio's own timers know whole milliseconds only.
    async fn sleep(&self, until_ns: u64) -> Result<()> {
        let at = TimeSpec::from_duration(Duration::from_nanos(until_ns));
        self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        let mut guard = self.timer_events.readable().await?;
        self.timer.wait()?;
        guard.clear_ready();
        Ok(())
    }

    fn signal(&self) -> Result<Option<Signal>> {
        let info = self.signals.read_signal().context("cannot read the signalfd")?;
        let which = |number| if number == Signal::SIGINT as u32 { Signal::SIGINT } else { Signal::SIGTERM };
        Ok(info.map(|info| which(info.ssi_signo)))
    }
}

/// The library has a module per version, with the same names for different types.
macro_rules! version {
    ($name:ident, $client:ty, $options:ty, $packet:path, $event:path, $qos:path, $granted:path,
     |$o:ident, $inflight:ident| $set:block) => {
        mod $name {
            use super::*;
            use $event as Event;
            use $granted as Granted;
            use $packet as Packet;
            use $qos as QoS;

            pub(super) fn qos(bits: u8) -> QoS {
                [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(bits)]
            }

            /// Begins a connection and its task; asks for the subscription.
            pub(super) fn start(
                settings: &Settings,
                number: u32,
                side: Side,
                subscribes: bool,
                inbox: &Inbox,
            ) -> Result<$client> {
                let (host, port) = (settings.remote.ip().to_string(), settings.remote.port());
                let mut $o = <$options>::new(settings.client_id(number, side), host, port);
                $o.set_keep_alive(Duration::from_secs(KEEP_ALIVE_S.into()));
                if let Some(user) = &settings.username {
                    $o.set_credentials(user, settings.password.as_deref().unwrap_or_default());
                }
                let $inflight = settings.in_flight_max;
                let (client, mut event_loop) = $set;
                let asked = qos(settings.qos as u8);
                if subscribes {
                    client.try_subscribe(settings.topic(number), asked).map_err(|error| anyhow!(error))?;
                }
                let (inbox, name) = (Rc::clone(inbox), settings.link_name(number, side));
                tokio::task::spawn_local(async move {
                    let note = |note| inbox.borrow_mut().push((number as usize, note));
                    loop {
                        match event_loop.poll().await {
                            Ok(Event::Incoming(packet)) => {
                                let now_ns = clock::mono_ns();
                                match packet {
                                    Packet::ConnAck(_) => note(Note::Connected),
                                    Packet::SubAck(ack) if ack.return_codes == [Granted::Success(asked)] => {
                                        note(Note::Subscribed);
                                    }
                                    Packet::SubAck(ack) => {
                                        let codes = ack.return_codes;
                                        note(Note::Failed(anyhow!(
                                            "{name}: the broker answered SUBSCRIBE with {codes:?}"
                                        )));
                                    }
                                    Packet::Publish(publish) => note(Note::Arrived(publish.payload.to_vec(), now_ns)),
                                    Packet::PubAck(_) | Packet::PubComp(_) => note(Note::Acked),
                                    _ => {}
                                }
                            }
                            Ok(Event::Outgoing(_)) => {}
                            Err(error) => {
                                return note(Note::Failed(anyhow!(error).context(format!("{name}: rumqttc failed"))));
                            }
                        }
                    }
                });
                Ok(client)
            }
        }
    };
}

version!(
    v4,
    rumqttc::AsyncClient,
    rumqttc::MqttOptions,
    rumqttc::Packet,
    rumqttc::Event,
    rumqttc::QoS,
    rumqttc::SubscribeReasonCode,
    |options, inflight| {
        options.set_inflight(inflight).set_max_packet_size(PACKET_MAX, PACKET_MAX);
        let (client, mut event_loop) = rumqttc::AsyncClient::new(options, QUEUE_MAX);
        event_loop.set_network_options(network());
        (client, event_loop)
    }
);

version!(
    v5,
    rumqttc::v5::AsyncClient,
    rumqttc::v5::MqttOptions,
    rumqttc::v5::mqttbytes::v5::Packet,
    rumqttc::v5::Event,
    rumqttc::v5::mqttbytes::QoS,
    rumqttc::v5::mqttbytes::v5::SubscribeReasonCode,
    |options, inflight| {
        options.set_outgoing_inflight_upper_limit(inflight).set_max_packet_size(Some(PACKET_MAX as u32));
        options.set_network_options(network());
        rumqttc::v5::AsyncClient::new(options, QUEUE_MAX)
    }
);

/// Without Nagle's delay, as our own connections.
fn network() -> rumqttc::NetworkOptions {
    let mut network = rumqttc::NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network
}

/// Probes that the library may hold while the broker stalls.
const QUEUE_MAX: usize = 1 << 20;

/// Largest packet that is read: the largest payload and room for topic and properties.
const PACKET_MAX: usize = 2 << 20;

/// How often notes are looked for while nothing else is to be done.
const NOTES_NS: u64 = 1_000_000;
