//! A publisher and a subscriber on a topic of their own: publishing, acknowledging, taking what comes back.
//!
//! With one connection for both (`--self`) there is a publisher only, which is subscribed as well.

use anyhow::{Context, Result, bail};
use mio::{Registry, Token};
use mqtt_wire::packet::SubscribeFiltersBuf;
use mqtt_wire::window::SendWindow;
use mqtt_wire::{
    Ack, AckKind, Connect, Disconnect, Packet, Properties, Property, Publish, QoS, ReasonCode, Subscribe,
    SubscribeOptions, TopicFilter, Version,
};
use netloop::buffer::Inlet;
use pacer::stamp::Stamp;

use crate::link::{Link, refusal};
use crate::settings::Settings;

/// One pair.
#[derive(Debug)]
pub(crate) struct Pair {
    version: Version,
    qos: QoS,
    topic: String,
    publisher: Link,
    /// `None`: the publisher is the subscriber too.
    subscriber: Option<Link>,
    in_flight: SendWindow<()>,
    in_flight_max: u16,
    acked: u64,
    payload: Vec<u8>,
    /// Acknowledgements to send; empty between turns, kept for its memory.
    answers: Vec<Ack<'static>>,
}

/// Which of the pair's connections; with one connection for both, both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Publisher,
    Subscriber,
}

impl Pair {
    /// Begins to connect both; `number` counts the pairs.
    pub(crate) fn begin(settings: &Settings, number: u32, registry: &Registry) -> Result<Pair> {
        let link = |side: Side| {
            let name = settings.link_name(number, side);
            Link::connect(name, settings, settings.source(number), registry, side.token(number))
        };
        let subscriber = if settings.one_connection { None } else { Some(link(Side::Subscriber)?) };
        Ok(Pair {
            version: settings.version,
            qos: settings.qos,
            topic: settings.topic(number),
            publisher: link(Side::Publisher)?,
            subscriber,
            in_flight: SendWindow::default(),
            in_flight_max: settings.in_flight_max,
            acked: 0,
            payload: vec![0; settings.payload_bytes],
            answers: Vec::with_capacity(64),
        })
    }

    /// The connection on this side.
    pub(crate) fn link(&mut self, side: Side) -> &mut Link {
        match (side, &mut self.subscriber) {
            (Side::Subscriber, Some(subscriber)) => subscriber,
            _ => &mut self.publisher,
        }
    }

    /// Whether one more probe may be under way: always with QoS 0.
    pub(crate) fn may_publish(&self) -> bool {
        self.qos == QoS::AtMostOnce || self.in_flight.len() < usize::from(self.in_flight_max)
    }

    /// Publishes one probe, as sent at `now_ns`.
    pub(crate) fn publish(&mut self, stamp: Stamp, now_ns: u64) -> Result<()> {
        stamp.fill_sent_at(now_ns, &mut self.payload);
        let packet_id = match self.qos {
            QoS::AtMostOnce => 0,
            QoS::AtLeastOnce | QoS::ExactlyOnce => {
                self.in_flight.push(()).ok().context("no packet identifier is free")?
            }
        };
        self.publisher.send(&Packet::Publish(Publish {
            dup: false,
            qos: self.qos,
            retain: false,
            topic: &self.topic,
            packet_id,
            properties: Properties::default(),
            payload: &self.payload,
        }))
    }

    /// Reads all there is on one side, acknowledges, and hands each payload to `arrived` with the moment of its receipt.
    pub(crate) fn read(&mut self, side: Side, inlet: &mut Inlet, mut arrived: impl FnMut(&[u8], u64)) -> Result<()> {
        let Self { publisher, subscriber, in_flight, acked, answers, .. } = self;
        let link = match (side, subscriber) {
            (Side::Subscriber, Some(subscriber)) => subscriber,
            _ => publisher,
        };
        link.read(inlet, |packet, now_ns| {
            match packet {
                Packet::Publish(publish) => {
                    arrived(publish.payload, now_ns);
                    match publish.qos {
                        QoS::AtMostOnce => {}
                        QoS::AtLeastOnce => answers.push(Ack::new(AckKind::PubAck, publish.packet_id)),
                        QoS::ExactlyOnce => answers.push(Ack::new(AckKind::PubRec, publish.packet_id)),
                    }
                }
                Packet::Ack(ack) if ack.reason.is_error() => bail!("the broker refused a probe: {}", ack.reason.name()),
                Packet::Ack(Ack { kind: AckKind::PubAck | AckKind::PubComp, packet_id, .. }) => {
                    *acked += u64::from(in_flight.remove(packet_id).is_some());
                }
                Packet::Ack(Ack { kind: AckKind::PubRec, packet_id, .. }) => {
                    answers.push(Ack::new(AckKind::PubRel, packet_id));
                }
                Packet::Ack(Ack { kind: AckKind::PubRel, packet_id, .. }) => {
                    answers.push(Ack::new(AckKind::PubComp, packet_id));
                }
                _ => {}
            }
            Ok(())
        })?;
        answers.drain(..).try_for_each(|answer| link.send(&Packet::Ack(answer)))
    }

    /// Probes that the broker acknowledged to the end.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// Keeps the connections alive.
    pub(crate) fn ping(&mut self) -> Result<()> {
        self.each(|link| link.send(&Packet::PingReq))
    }

    /// Takes leave of the broker.
    pub(crate) fn leave(&mut self) -> Result<()> {
        let leave = Packet::Disconnect(Disconnect { reason: ReasonCode::SUCCESS, properties: Properties::default() });
        self.each(|link| link.send(&leave))
    }

    /// Sends CONNECT.
    pub(crate) fn send_connect(&mut self, settings: &Settings, number: u32, side: Side) -> Result<()> {
        let version = self.version;
        self.link(side).send(&Packet::Connect(Connect {
            version,
            clean_start: true,
            keep_alive: KEEP_ALIVE_S,
            client_id: &settings.client_id(number, side),
            will: None,
            user_name: settings.username.as_deref(),
            password: settings.password.as_deref().map(str::as_bytes),
            properties: Properties::default(),
        }))
    }

    /// Whether CONNACK has come by now. From then on no more probes are in flight than the broker takes.
    ///
    /// # Errors
    /// The broker refused.
    pub(crate) fn is_connected(&mut self, side: Side, inlet: &mut Inlet) -> Result<bool> {
        let version = self.version;
        let link = self.link(side);
        let name = link.name().to_owned();
        let mut granted = None;
        link.read(inlet, |packet, _| {
            if let Packet::ConnAck(answer) = packet {
                if answer.reason != ReasonCode::SUCCESS {
                    return Err(refusal(&name, version, answer.reason));
                }
                granted = Some(receive_maximum(&answer.properties));
            }
            Ok(())
        })?;
        if let Some(granted) = granted.filter(|_| side == Side::Publisher) {
            self.in_flight_max = self.in_flight_max.min(granted);
        }
        Ok(granted.is_some())
    }

    /// Sends SUBSCRIBE.
    pub(crate) fn send_subscribe(&mut self) -> Result<()> {
        let filter = TopicFilter::new(&self.topic).with_context(|| format!("{:?} is no topic filter", self.topic))?;
        let mut filters = SubscribeFiltersBuf::default();
        filters.push(filter, SubscribeOptions::with_qos(self.qos)).context("cannot encode the subscription")?;
        let subscribe = Subscribe { packet_id: 1, properties: Properties::default(), filters: filters.as_filters() };
        self.link(Side::Subscriber).send(&Packet::Subscribe(subscribe))
    }

    /// Whether SUBACK has come by now.
    ///
    /// # Errors
    /// The broker refused, or granted another QoS.
    pub(crate) fn is_subscribed(&mut self, inlet: &mut Inlet) -> Result<bool> {
        let mut granted = None;
        self.link(Side::Subscriber).read(inlet, |packet, _| {
            if let Packet::SubAck(answer) = packet {
                granted = Some(answer.codes.first().copied());
            }
            Ok(())
        })?;
        let (asked, topic) = (self.qos as u8, &self.topic);
        match granted {
            None => Ok(false),
            Some(Some(granted)) if granted == asked => Ok(true),
            Some(Some(granted @ 0..=2)) => {
                bail!("subscriber: the broker granted QoS {granted} instead of {asked} on {topic}")
            }
            Some(Some(code)) => {
                bail!("subscriber: the broker refused the subscription to {topic}: {}", ReasonCode(code).name())
            }
            Some(None) => bail!("subscriber: the broker answered SUBSCRIBE with nothing"),
        }
    }

    fn each(&mut self, mut act: impl FnMut(&mut Link) -> Result<()>) -> Result<()> {
        act(&mut self.publisher)?;
        self.subscriber.as_mut().map_or(Ok(()), act)
    }
}

impl Side {
    /// The side's name in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Side::Publisher => "publisher",
            Side::Subscriber => "subscriber",
        }
    }

    /// What the poller calls the connection.
    pub(crate) fn token(self, number: u32) -> Token {
        Token(2 * number as usize + usize::from(self == Side::Subscriber))
    }

    /// The reverse of [`Side::token`].
    pub(crate) fn of_token(token: Token) -> (usize, Side) {
        (token.0 / 2, if token.0 % 2 == 1 { Side::Subscriber } else { Side::Publisher })
    }
}

/// Receive Maximum of a CONNACK (5.0 section 3.2.2.3.3); 65,535 where there is none.
fn receive_maximum(properties: &Properties<'_>) -> u16 {
    let maximum = properties.iter().find_map(|property| match property {
        Property::ReceiveMaximum(maximum) => Some(maximum),
        _ => None,
    });
    maximum.unwrap_or(u16::MAX)
}

/// Pings go out every third of this.
pub(crate) const KEEP_ALIVE_S: u16 = 60;
