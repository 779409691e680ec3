//! What the command line means: resolved, checked, with every default filled in. The settings travel in `meta.json`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mqtt_wire::{QoS, TopicFilter, TopicName, Version};
use pacer::NS_PER_S;
use pacer::rng::mix;
use runlog::clock;
use serde::Serialize;

use crate::carrier::Carrier;
use crate::cli::{Cli, Command, CommonArgs, PubArgs, SubArgs};
use crate::identity::{Identities, Roster};
use crate::naming::{self, ClientIds, Variables};

/// One run.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) role: RoleSettings,
    /// One destination per host given; clients take them in turn.
    pub(crate) targets: Vec<SocketAddr>,
    /// The hosts as they were given, one per target.
    pub(crate) hosts: Vec<String>,
    pub(crate) carrier: Carrier,
    pub(crate) version: Version,
    pub(crate) clients: u32,
    /// Number of the first client.
    pub(crate) first_number: u32,
    /// Nanoseconds between two connection attempts as a fraction: `interval_ns / interval_parts`. Zero: flat out.
    pub(crate) connect_interval: (u64, u64),
    pub(crate) ifaddrs: Vec<IpAddr>,
    pub(crate) identities: Identities,
    /// Attempts to connect beyond the first, before a client counts as failed.
    pub(crate) retries_max: u32,
    /// Attempts to come back after a loss.
    pub(crate) reconnects_max: u32,
    pub(crate) keep_alive_s: u16,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: u32,
    pub(crate) duration: Option<Duration>,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    pub(crate) json: Option<PathBuf>,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) counters_interval: Duration,
    /// Look, and do not run.
    pub(crate) preflight_only: bool,
}

/// What the clients do.
#[derive(Debug)]
pub(crate) enum RoleSettings {
    Conn,
    Sub(SubSettings),
    Pub(PubSettings),
}

/// What subscribers want.
#[derive(Debug)]
pub(crate) struct SubSettings {
    /// Templates of topic filters.
    pub(crate) filters: Vec<String>,
    pub(crate) qos: QoS,
}

/// What publishers send.
#[derive(Debug)]
pub(crate) struct PubSettings {
    /// Template of the topic name.
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) payload_len: usize,
    /// Between two messages of one client; 0: flat out.
    pub(crate) interval_ns: u64,
    /// Messages of all clients together.
    pub(crate) limit: Option<u64>,
    /// Most messages in flight per client.
    pub(crate) window: u16,
    /// Whether publishing waits for the end of the ramp.
    pub(crate) wait_for_all: bool,
}

impl Settings {
    /// Resolves and checks a command line.
    pub(crate) fn from_cli(cli: Cli) -> Result<Self> {
        match cli.command {
            Command::Conn(args) => Self::new(args.common, RoleSettings::Conn),
            Command::Sub(SubArgs { common, topics, qos }) => {
                let role = RoleSettings::Sub(SubSettings { filters: topics, qos: to_qos(qos)? });
                Self::new(common, role)
            }
            Command::Pub(args) => {
                let PubArgs { common, topic, qos, size, message_interval_ms, limit, retain, .. } = args;
                let role = RoleSettings::Pub(PubSettings {
                    topic,
                    qos: to_qos(qos)?,
                    retain,
                    payload_len: size as usize,
                    interval_ns: (message_interval_ms * 1e6).round() as u64,
                    limit: Some(limit).filter(|limit| *limit > 0),
                    window: if args.inflight == 0 { u16::MAX } else { args.inflight },
                    wait_for_all: args.wait_before_publishing,
                });
                Self::new(common, role)
            }
        }
    }

    /// `conn`, `sub` or `pub`.
    pub(crate) fn mode(&self) -> &'static str {
        self.role.name()
    }

    /// When client `index` (from 0) is due to connect, after the start of the run.
    pub(crate) fn connect_after_ns(&self, index: u32) -> u64 {
        let (ns, parts) = self.connect_interval;
        (u128::from(index) * u128::from(ns) / u128::from(parts)) as u64
    }

    /// The settings as `meta.json` shows them; the password is left out.
    pub(crate) fn describe(&self) -> serde_json::Value {
        #[derive(Serialize)]
        struct Shown<'a> {
            mode: &'a str,
            targets: &'a [SocketAddr],
            transport: &'a str,
            certificate_verified: Option<bool>,
            protocol: u8,
            clients: u32,
            first_number: u32,
            connections_per_s: Option<f64>,
            ifaddrs: &'a [IpAddr],
            keep_alive_s: u16,
            clean_start: bool,
            session_expiry_s: u32,
            retries_max: u32,
            reconnects_max: u32,
            duration_s: Option<f64>,
            threads: usize,
            topics: Vec<&'a str>,
            qos: Option<u8>,
            retain: Option<bool>,
            payload_bytes: Option<usize>,
            message_interval_ms: Option<f64>,
            limit: Option<u64>,
            window: Option<u16>,
            wait_for_all: Option<bool>,
        }
        let (interval_ns, parts) = self.connect_interval;
        let publish = self.publishing();
        let (topics, qos) = match &self.role {
            RoleSettings::Conn => (Vec::new(), None),
            RoleSettings::Sub(sub) => (sub.filters.iter().map(String::as_str).collect(), Some(sub.qos as u8)),
            RoleSettings::Pub(publish) => (vec![publish.topic.as_str()], Some(publish.qos as u8)),
        };
        let shown = Shown {
            mode: self.mode(),
            targets: &self.targets,
            transport: self.carrier.name(),
            certificate_verified: self.carrier.verifies(),
            protocol: self.version.level(),
            clients: self.clients,
            first_number: self.first_number,
            connections_per_s: (interval_ns > 0).then(|| (NS_PER_S * parts) as f64 / interval_ns as f64),
            ifaddrs: &self.ifaddrs,
            keep_alive_s: self.keep_alive_s,
            clean_start: self.clean_start,
            session_expiry_s: self.session_expiry_s,
            retries_max: self.retries_max,
            reconnects_max: self.reconnects_max,
            duration_s: self.duration.map(|duration| duration.as_secs_f64()),
            threads: self.threads,
            topics,
            qos,
            retain: publish.map(|publish| publish.retain),
            payload_bytes: publish.map(|publish| publish.payload_len),
            message_interval_ms: publish.map(|publish| publish.interval_ns as f64 / 1e6),
            limit: publish.and_then(|publish| publish.limit),
            window: publish.map(|publish| publish.window),
            wait_for_all: publish.map(|publish| publish.wait_for_all),
        };
        serde_json::to_value(shown).unwrap_or_default()
    }

    /// What is published, if anything.
    pub(crate) fn publishing(&self) -> Option<&PubSettings> {
        match &self.role {
            RoleSettings::Pub(publish) => Some(publish),
            _ => None,
        }
    }

    fn new(args: CommonArgs, role: RoleSettings) -> Result<Self> {
        let version = Version::from_level(args.protocol).context("protocol version")?;
        let roster = args.clients_file.as_deref().map(Roster::read).transpose()?;
        let named = roster.as_ref().map(|roster| u32::try_from(roster.len()).unwrap_or(u32::MAX));
        let clients = args.count.or(named).unwrap_or(CLIENTS);
        if let Some(named) = named.filter(|named| clients > *named) {
            bail!("-c {clients}: --clients-file names {named} clients only");
        }
        let users = args.username.is_some() || roster.as_ref().is_some_and(Roster::names_all_users);
        ensure!(
            version == Version::V5 || args.password.is_none() || users,
            "a password without a user name is not possible before MQTT 5.0: add -u"
        );
        ensure!(
            args.session_expiry == 0 || version == Version::V5,
            "-x (session expiry) needs MQTT 5.0: add -V 5, or leave it out"
        );
        let targets = args.host.iter().map(|host| resolve(host, args.port)).collect::<Result<Vec<_>>>()?;
        let ifaddrs = match &args.ifaddr {
            Some(list) => netloop::source::parse_list(list).context("--ifaddr")?,
            None => Vec::new(),
        };
        let seed = args.seed.unwrap_or_else(|| mix(clock::wall_ns() ^ u64::from(std::process::id()) << 40));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let host_name =
            nix::unistd::gethostname().map_or_else(|_| "localhost".into(), |name| name.to_string_lossy().into_owned());
        let settings = Self {
            identities: Identities {
                ids: ClientIds { role: role.name(), prefix: args.prefix, short: args.shortids, host_name, seed },
                user_name: args.username,
                password: args.password,
                roster,
            },
            retries_max: args.num_retry_connect,
            reconnects_max: args.reconnect,
            role,
            targets,
            hosts: args.host,
            carrier: Carrier::from_args(args.transport)?,
            version,
            clients,
            first_number: args.startnumber.saturating_add(1),
            connect_interval: match args.connection_rate {
                0 => ((args.interval * 1e6).round() as u64, 1),
                rate => (NS_PER_S, u64::from(rate)),
            },
            ifaddrs,
            keep_alive_s: args.keepalive,
            clean_start: args.clean,
            session_expiry_s: args.session_expiry,
            duration: args.duration,
            threads: args.threads.map_or(cores, usize::from).min(clients as usize),
            seed,
            json: args.json,
            run_dir: args.run_dir,
            counters_interval: args.counters_interval,
            preflight_only: args.lab.preflight_only,
        };
        settings.check_topics()?;
        Ok(settings)
    }

    /// Finds a topic that no broker would take before 250,000 clients find it.
    fn check_topics(&self) -> Result<()> {
        let first = self.identities.of(0, self.first_number, None);
        let variables = Variables::of(self.first_number, &first);
        match &self.role {
            RoleSettings::Conn => {}
            RoleSettings::Sub(sub) => {
                for template in &sub.filters {
                    TopicFilter::new(&naming::topic(template, variables)).with_context(|| format!("-t {template}"))?;
                }
            }
            RoleSettings::Pub(publish) => {
                let topic = naming::numbered_topic(&naming::topic(&publish.topic, variables), 0);
                TopicName::new(&topic).with_context(|| format!("-t {}", publish.topic))?;
            }
        }
        Ok(())
    }
}

impl RoleSettings {
    fn name(&self) -> &'static str {
        match self {
            Self::Conn => "conn",
            Self::Sub(_) => "sub",
            Self::Pub(_) => "pub",
        }
    }
}

/// The first address of a host, IPv4 before IPv6: brokers that listen on IPv4 only are the rule, and `localhost` has
/// both.
fn resolve(host: &str, port: u16) -> Result<SocketAddr> {
    let addrs = (host, port).to_socket_addrs().with_context(|| format!("cannot resolve broker host `{host}` (-h)"))?;
    let Some(addr) = addrs.min_by_key(SocketAddr::is_ipv6) else { bail!("broker host `{host}` (-h) has no address") };
    Ok(addr)
}

/// Clients, unless somebody says otherwise.
const CLIENTS: u32 = 200;

fn to_qos(bits: u8) -> Result<QoS> {
    Ok(QoS::from_bits(bits)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn settings(line: &str) -> Result<Settings> {
        Settings::from_cli(Cli::try_parse_from(std::iter::once("loadgen").chain(line.split(' ')))?)
    }

    #[test]
    fn a_rate_overrides_the_interval_and_does_not_drift() {
        let rate = settings("conn -h 127.0.0.1 -c 10 -i 4 -R 3").unwrap();
        assert_eq!(
            [0, 1, 2, 3, 300].map(|index| rate.connect_after_ns(index)),
            [0, 333_333_333, 666_666_666, 1_000_000_000, 100_000_000_000]
        );
        let interval = settings("conn -h 127.0.0.1 -c 10 -i 4").unwrap();
        assert_eq!(interval.connect_after_ns(250_000), 1_000 * NS_PER_S);
        assert_eq!(settings("conn -h 127.0.0.1 -c 10 -i 0").unwrap().connect_after_ns(7), 0);
    }

    #[test]
    fn what_cannot_work_is_refused_before_the_run() {
        for line in [
            "pub -h 127.0.0.1 -t a/+/b",
            "sub -h 127.0.0.1 -t a/#/b",
            "conn -h 127.0.0.1 -V 4 -x 10",
            "conn -h 127.0.0.1 -V 4 -P secret",
            "conn -h 127.0.0.1 --ifaddr 10.0.0",
            "conn -h no-such-host.invalid",
            "conn -h 127.0.0.1 -c 0",
            "conn -h 127.0.0.1 -V 6",
            "pub -h 127.0.0.1 -t a -q 3",
            "pub -h 127.0.0.1",
        ] {
            assert!(settings(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = settings("pub -h 127.0.0.1 -t a -u ann -P topsecret").unwrap().describe().to_string();
        assert!(!shown.contains("topsecret") && shown.contains("\"payload_bytes\":256"), "{shown}");
    }
}
