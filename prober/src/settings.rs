//! What the command line means: addresses resolved, names chosen.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result};
use mqtt_wire::{QoS, Version};
use netloop::carrier::Carrier;
use netloop::source;
use runlog::clock;
use serde_json::{Value, json};

use crate::args::{Args, Client};
use crate::pair::Side;

/// What every connection is made with, and what is sent.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) remote: SocketAddr,
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) carrier: Carrier,
    /// The host as it was given, and the port: what TLS and WebSocket ask for.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) version: Version,
    pub(crate) qos: QoS,
    topic: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    /// A number that no other run has: names the clients and the topic, and marks the payloads.
    pub(crate) identity: u32,
    pub(crate) pairs: u32,
    pub(crate) one_connection: bool,
    pub(crate) payload_bytes: usize,
    /// Probes to measure, of each pair.
    pub(crate) measured: u32,
    /// QoS 1 and 2: messages under way at once, unless the broker takes fewer.
    pub(crate) in_flight_max: u16,
    /// Whose echo: `None` without one.
    pub(crate) floor: Option<Echo>,
}

/// Where the echo is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Echo {
    /// Served by somebody at this address.
    At(SocketAddr),
    /// To be served by this process, on loopback.
    Own,
}

impl Settings {
    /// # Errors
    /// A name does not resolve, an address is not of this host, a number is out of its range.
    pub(crate) fn new(args: &Args) -> Result<Settings> {
        let measured = args.measured().map_err(anyhow::Error::msg)?;
        let remote = resolve(&args.host, args.port)?;
        let sources = match &args.ifaddr {
            None => Vec::new(),
            Some(list) => source::parse_list(list).context("--ifaddr")?,
        };
        source::check_present(&sources).context("--ifaddr")?;
        if let Some(source) = sources.iter().find(|source| source.is_ipv4() != remote.is_ipv4()) {
            anyhow::bail!("--ifaddr {source} cannot reach {remote}: one is IPv4, the other IPv6");
        }
        let carrier = args.carrier.carrier()?;
        if args.client == Client::Rumqttc {
            let unknown = [
                ("-S and --ws", carrier.name() != "tcp"),
                ("--ifaddr", args.ifaddr.is_some()),
                ("--floor", args.floor.is_some()),
                ("-V 3", args.protocol == Version::V31),
            ];
            if let Some((flag, _)) = unknown.iter().find(|(_, given)| *given) {
                anyhow::bail!("--client rumqttc does not do {flag}: leave it out, or use the prober's own client");
            }
        }
        let floor = match &args.floor {
            None if args.no_floor || args.client == Client::Rumqttc => None,
            None => Some(Echo::Own),
            Some(endpoint) => {
                let (host, port) = endpoint.rsplit_once(':').context("--floor takes HOST:PORT")?;
                Some(Echo::At(resolve(host.trim_matches(['[', ']']), port.parse()?).context("--floor")?))
            }
        };
        let mut rng = pacer::rng::Rng::new(clock::wall_ns() ^ u64::from(std::process::id()) << 40);
        let identity = rng.next_u64() as u32;
        Ok(Settings {
            remote,
            sources,
            carrier,
            host: args.host.clone(),
            port: args.port,
            version: args.protocol,
            qos: args.qos,
            topic: args.topic.clone().unwrap_or_else(|| format!("prober/{identity:08x}")),
            username: args.username.clone(),
            password: args.password.clone(),
            identity,
            pairs: args.pairs,
            one_connection: args.one_connection,
            payload_bytes: args.payload as usize,
            measured,
            in_flight_max: args.inflight,
            floor,
        })
    }

    /// The topic of a pair.
    pub(crate) fn topic(&self, number: u32) -> String {
        if self.pairs == 1 { self.topic.clone() } else { format!("{}/{number}", self.topic) }
    }

    /// The source address of a pair; `None`: the kernel's choice.
    pub(crate) fn source(&self, number: u32) -> Option<IpAddr> {
        let count = self.sources.len().max(1);
        self.sources.get(number as usize % count).copied()
    }

    /// The client identifier of a connection: within the 23 characters that every broker takes.
    pub(crate) fn client_id(&self, number: u32, side: Side) -> String {
        let side = if self.one_connection { "self" } else { &side.name()[..3] };
        match self.pairs {
            1 => format!("prober-{:08x}-{side}", self.identity),
            _ => format!("pr-{:08x}-{side}-{number}", self.identity),
        }
    }

    /// What messages call a connection.
    pub(crate) fn link_name(&self, number: u32, side: Side) -> String {
        match (self.pairs, self.one_connection) {
            (1, false) => side.name().to_owned(),
            (1, true) => "client".to_owned(),
            (_, false) => format!("{} {number}", side.name()),
            (_, true) => format!("client {number}"),
        }
    }

    /// Marks the payloads of a pair; that of the echo comes behind those of all pairs.
    pub(crate) fn sender(&self, number: u32) -> u32 {
        self.identity.wrapping_add(number)
    }

    /// Connections that are made to the broker.
    pub(crate) fn connections(&self) -> u64 {
        u64::from(self.pairs) * if self.one_connection { 1 } else { 2 }
    }

    /// As `meta.json` shows them; without the password.
    pub(crate) fn to_json(&self, args: &Args) -> Value {
        json!({
            "remote": self.remote.to_string(),
            "sources": self.sources.iter().map(IpAddr::to_string).collect::<Vec<_>>(),
            "client": args.client.name(),
            "transport": self.carrier.name(),
            "certificate_verified": self.carrier.verifies(),
            "pairs": self.pairs,
            "one_connection": self.one_connection,
            "version": self.version.level(),
            "qos": self.qos as u8,
            "topic": self.topic,
            "payload_bytes": self.payload_bytes,
            "count": self.measured,
            "until_signal": args.until.is_some(),
            "warmup": args.warmup,
            "interval_us": args.interval.as_micros() as u64,
            "in_flight_max": self.in_flight_max,
            "schedule": if args.poisson { "poisson" } else { "even" },
            "timeout_us": args.timeout.as_micros() as u64,
            "spin_us": args.spin.as_micros() as u64,
            "busy_poll": args.busy_poll,
            "floor": match self.floor {
                None => Value::Null,
                Some(Echo::Own) => json!("own, on loopback"),
                Some(Echo::At(remote)) => json!(remote.to_string()),
            },
            "clock": {
                "name": "CLOCK_MONOTONIC",
                "source": std::fs::read_to_string(CLOCK_SOURCE).ok().map(|text| text.trim().to_owned()),
                "resolution_ns": clock::resolution_ns(),
                "reading_ns": reading_ns(),
            },
        })
    }
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let addresses = (host, port).to_socket_addrs().with_context(|| format!("cannot resolve host {host:?}"))?;
    // Brokers that listen on one family listen on IPv4: `localhost` must not end at an IPv6 port that nobody has.
    let addresses: Vec<SocketAddr> = addresses.collect();
    let preferred = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    preferred.copied().with_context(|| format!("host {host:?} has no address"))
}

/// What reading the clock once costs, as the mean of many.
fn reading_ns() -> u64 {
    const READINGS: u64 = 1_000;
    let begin_ns = clock::mono_ns();
    (0..READINGS).for_each(|_| {
        std::hint::black_box(clock::mono_ns());
    });
    (clock::mono_ns() - begin_ns) / READINGS
}

const CLOCK_SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// For each step of connecting.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
