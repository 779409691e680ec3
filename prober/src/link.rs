//! One MQTT connection of the prober: bytes in, packets out, and back.

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, anyhow, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use mqtt_wire::{Frame, Packet, ReasonCode, Version};
use netloop::buffer::{Inlet, Input, Outbox, Spill};
use netloop::socket;
use netloop::transport::Transport;
use runlog::clock;

use crate::settings::Settings;

/// A connection under a name that messages use: `publisher`, `subscriber`.
#[derive(Debug)]
pub(crate) struct Link {
    name: String,
    remote: SocketAddr,
    version: Version,
    transport: Transport,
    spill: Spill,
    outbox: Outbox,
    scratch: Vec<u8>,
}

impl Link {
    /// Begins to connect; the connection stands when the poller says that it is writable and [`Link::check`] agrees.
    pub(crate) fn connect(
        name: String,
        settings: &Settings,
        source: Option<IpAddr>,
        registry: &Registry,
        token: Token,
    ) -> Result<Link> {
        let (version, remote) = (settings.version, settings.remote);
        let stream = begin(source, remote).with_context(|| format!("{name}: cannot connect to {remote}"))?;
        let mut transport = settings.carrier.wrap(stream, &settings.host, settings.port)?;
        mio::event::Source::register(&mut transport, registry, token, Interest::READABLE | Interest::WRITABLE)?;
        let (spill, outbox) = (Spill::default(), Outbox::default());
        Ok(Link { name, remote, version, transport, spill, outbox, scratch: Vec::with_capacity(1024) })
    }

    /// The name that messages use.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the connection stands by now.
    ///
    /// # Errors
    /// It was refused.
    pub(crate) fn check(&mut self) -> Result<bool> {
        match socket::finish_connect(self.transport.socket()).and_then(|()| self.transport.handshake()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => {
                let context = format!(
                    "{}: cannot connect to {} (is the broker up, host and port right?)",
                    self.name, self.remote
                );
                Err(error).context(context)
            }
        }
    }

    /// Sends one packet; what the kernel does not take now goes out when the socket is writable again.
    pub(crate) fn send(&mut self, packet: &Packet<'_>) -> Result<()> {
        self.scratch.clear();
        packet.encode(self.version, &mut self.scratch).with_context(|| format!("{}: cannot encode", self.name))?;
        let sent = self.outbox.send(&mut self.transport, &self.scratch);
        sent.map(drop).with_context(|| self.lost())
    }

    /// Sends what waits.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.outbox.flush(&mut self.transport).map(drop).with_context(|| self.lost())
    }

    /// Reads all there is and hands each packet to `visit`, with the moment at which the kernel gave it.
    ///
    /// # Errors
    /// The broker closed or broke the connection, or sent what is not MQTT.
    pub(crate) fn read(
        &mut self,
        inlet: &mut Inlet,
        mut visit: impl FnMut(Packet<'_>, u64) -> Result<()>,
    ) -> Result<()> {
        loop {
            let input = inlet.read(&mut self.spill, &mut self.transport);
            let now_ns = clock::mono_ns();
            let more = match input.with_context(|| self.lost())? {
                Input::Bytes { more } => more,
                Input::Nothing => return Ok(()),
                Input::End => bail!("{}: the broker closed the connection", self.name),
            };
            let used = self.visit_packets(inlet.bytes(), now_ns, &mut visit)?;
            inlet.keep(&mut self.spill, used);
            // What the socket had, it has given; the layers above may hold more than they gave at once.
            if !more && matches!(self.transport, Transport::Plain(_)) {
                return Ok(());
            }
        }
    }

    fn visit_packets(
        &self,
        bytes: &[u8],
        now_ns: u64,
        visit: &mut impl FnMut(Packet<'_>, u64) -> Result<()>,
    ) -> Result<usize> {
        let not_mqtt = || format!("{}: the broker sent what is not MQTT", self.name);
        let mut used = 0;
        while let Some(frame) = Frame::split(&bytes[used..], PACKET_MAX).with_context(not_mqtt)? {
            used += frame.raw.len();
            match Packet::decode(&frame, self.version).with_context(not_mqtt)? {
                Packet::Disconnect(packet) => bail!("{}: the broker disconnected: {}", self.name, packet.reason.name()),
                packet => visit(packet, now_ns)?,
            }
        }
        Ok(used)
    }

    fn lost(&self) -> String {
        format!("{}: the connection to the broker broke", self.name)
    }
}

/// Begins a connection from `source`, or from wherever the kernel likes.
///
/// # Errors
/// What the kernel said.
pub(crate) fn begin(source: Option<IpAddr>, remote: SocketAddr) -> Result<TcpStream> {
    let begun = match source {
        None => socket::connect(remote)?,
        Some(source) => socket::connect_from(SocketAddr::new(source, 0), remote)
            .with_context(|| format!("from source address {source}"))?,
    };
    Ok(begun.into_stream())
}

/// What a refused CONNACK means, by the tables of its version.
pub(crate) fn refusal(name: &str, version: Version, reason: ReasonCode) -> anyhow::Error {
    let text = match (version.has_properties(), reason.0) {
        (true, _) => reason.name(),
        (false, 1) => "unacceptable protocol version",
        (false, 2) => "client identifier rejected",
        (false, 3) => "server unavailable",
        (false, 4) => "bad user name or password",
        (false, 5) => "not authorized",
        (false, _) => "unknown return code",
    };
    anyhow!("{name}: the broker refused the connection: {text} (code {})", reason.0)
}

/// Largest packet that is read: the largest payload and room for topic and properties.
const PACKET_MAX: u32 = 2 << 20;
