//! What the command line means: resolved, checked, with every default filled in. The settings travel in `meta.json`.

mod describe;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mqtt_wire::{PropertiesBuf, QoS, SubscribeOptions, TopicFilter, TopicName, Version};
use netloop::carrier::Carrier;
use pacer::NS_PER_S;
use pacer::pacing::Pacing;
use pacer::rng::mix;
use runlog::clock;
use serde::Serialize;

use crate::bench::{self, Bench};
use crate::capacity::Capacity;
use crate::carrier;
use crate::cli::storm::{Flap, Steps, StormArgs};
use crate::cli::{Command, CommonArgs, PubArgs, SubArgs};
use crate::content::{self, Content, Header, TopicSpec};
use crate::expect::Expectations;
use crate::identity::{Identities, Roster};
use crate::metrics::Endpoint;
use crate::naming::{self, ClientIds, Variables};
use crate::part::Part;
use crate::properties::{self, ConnectExtras};

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
    pub(crate) connect: ConnectExtras,
    /// `loadgen bench`.
    pub(crate) bench: Option<Bench>,
    /// No lines are printed.
    pub(crate) is_quiet: bool,
    /// Where metrics are served.
    pub(crate) metrics: Option<Endpoint>,
    pub(crate) duration: Option<Duration>,
    /// Messages do not count so long.
    pub(crate) warm_up: Duration,
    pub(crate) threads: usize,
    pub(crate) seed: u64,
    pub(crate) json: Option<PathBuf>,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) counters_interval: Duration,
    /// Numbers of clients that connect step by step; empty: all at once.
    pub(crate) steps: Vec<u32>,
    /// How long each step is held.
    pub(crate) hold: Duration,
    /// PINGREQs are spread over the keep alive interval.
    pub(crate) keep_alive_spread: bool,
    pub(crate) departures: Option<Departures>,
    pub(crate) ending: Ending,
    /// The directory that the run directory is made in, among those of other processes.
    pub(crate) share: Option<PathBuf>,
    /// Processes that begin together.
    pub(crate) barrier: Option<usize>,
    /// Other hosts carry the rest of the load.
    pub(crate) part: Option<Part>,
    pub(crate) expectations: Expectations,
    /// The run is to be repeated at other rates, to find the highest one.
    pub(crate) capacity: Option<Capacity>,
    /// Look, and do not run.
    pub(crate) preflight_only: bool,
}

/// When clients leave on purpose, to come back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Departures {
    /// At random, so many per second, and back at once.
    Churn { per_s: f64 },
    /// All at once, and back at this rate (`None`: at once).
    Storm { every: Duration, back_per_s: Option<u32> },
    /// Each in turn, for a while.
    Flap(Flap),
}

/// How clients end their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Ending {
    /// DISCONNECT.
    Disconnect,
    /// RST.
    Crash,
    /// Silence.
    Vanish,
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
    pub(crate) options: SubscribeOptions,
    pub(crate) properties: PropertiesBuf,
    /// What payloads begin with.
    pub(crate) headers: Vec<Header>,
}

/// What publishers send.
#[derive(Debug)]
pub(crate) struct PubSettings {
    /// What each client publishes, each on a schedule of its own; one, unless a file says otherwise.
    pub(crate) lanes: Vec<TopicSpec>,
    /// The kind of these schedules.
    pub(crate) pacing: Pacing,
    /// Whether a payload says what time it is.
    pub(crate) needs_wall_clock: bool,
    pub(crate) retain: bool,
    pub(crate) properties: PropertiesBuf,
    /// Send topic aliases.
    pub(crate) aliases: bool,
    /// Messages of all clients together.
    pub(crate) limit: Option<u64>,
    /// Messages of each client.
    pub(crate) limit_per_client: Option<u32>,
    /// Most messages in flight per client.
    pub(crate) window: u16,
    /// Whether publishing waits for the end of the ramp.
    pub(crate) wait_for_all: bool,
    /// Shortest and longest wait before a client begins.
    pub(crate) random_wait_ns: (u64, u64),
    /// After so long an unacknowledged message is sent again.
    pub(crate) retry_interval_ns: Option<u64>,
}

impl Settings {
    /// Resolves and checks a command line.
    pub(crate) fn from_command(command: Command) -> Result<Self> {
        match command {
            Command::Conn(args) => {
                let short = args.short_ids.s;
                let mut common = args.common;
                common.shortids |= short.unwrap_or(false);
                let user_properties = std::mem::take(&mut common.connect.user_properties);
                Self::new(common, RoleSettings::Conn, &user_properties)
            }
            Command::Sub(SubArgs { mut common, short_ids, topics, qos, payload_hdrs, subscribe }) => {
                common.shortids |= short_ids.s.unwrap_or(false);
                let pairs = std::mem::take(&mut common.connect.user_properties);
                let version = version(&common)?;
                let (properties, options) = properties::of_subscriptions(&subscribe, to_qos(qos)?, &pairs, version)?;
                let headers = content::parse_headers(&payload_hdrs)?;
                Self::new(common, RoleSettings::Sub(SubSettings { filters: topics, options, properties, headers }), &[])
            }
            Command::Bench(args) => bench::settings(&args),
            Command::Pub(mut args) => {
                let pairs = std::mem::take(&mut args.common.connect.user_properties);
                let publish = PubSettings::from_args(&args, &pairs)?;
                Self::new(args.common, RoleSettings::Pub(publish), &[])
            }
            Command::Run(_) | Command::Reconcile(_) => bail!("this is not the command of one role"),
        }
    }

    /// `conn`, `sub` or `pub`.
    pub(crate) fn mode(&self) -> &'static str {
        self.role.name()
    }

    /// Lets everything random follow from another seed.
    pub(crate) fn reseed(&mut self, seed: u64) {
        self.seed = seed;
        self.identities.ids.seed = seed;
    }

    /// When client `index` (from 0) is due to connect, after the start of the run.
    pub(crate) fn connect_after_ns(&self, index: u32) -> u64 {
        let (ns, parts) = self.connect_interval;
        (u128::from(index) * u128::from(ns) / u128::from(parts)) as u64
    }

    /// What is published, if anything.
    pub(crate) fn publishing(&self) -> Option<&PubSettings> {
        match &self.role {
            RoleSettings::Pub(publish) => Some(publish),
            _ => None,
        }
    }

    /// What is subscribed to, if anything.
    pub(crate) fn subscribing(&self) -> Option<&SubSettings> {
        match &self.role {
            RoleSettings::Sub(sub) => Some(sub),
            _ => None,
        }
    }

    fn new(mut args: CommonArgs, role: RoleSettings, user_properties: &[(String, String)]) -> Result<Self> {
        let version = version(&args)?;
        if let Some(quic) = args.legacy.quic.as_deref().filter(|value| *value != "false") {
            bail!("--quic {quic}: QUIC is not spoken here; use TCP, -S (TLS) or --ws (WebSocket)");
        }
        if args.prometheus && args.restapi.is_none() {
            eprintln!("loadgen: --prometheus alone shows its metrics to nobody: add --restapi PORT");
        }
        for flag in args.legacy.given() {
            eprintln!("loadgen: {flag} is ignored: it has no meaning here");
        }
        let connect = ConnectExtras::new(&args.connect, args.session_expiry, user_properties, version)?;
        let roster = args.clients_file.as_deref().map(Roster::read).transpose()?;
        let named = roster.as_ref().map(|roster| u32::try_from(roster.len()).unwrap_or(u32::MAX));
        let steps = args.storm.steps.take().map_or_else(Vec::new, |Steps(steps)| steps);
        if let (Some(count), Some(last)) = (args.count, steps.last()) {
            ensure!(count == *last, "-c {count}: the last of --steps is {last}; leave out -c");
        }
        let whole = steps.last().copied().or(args.count).or(named).unwrap_or(CLIENTS);
        let part = args.lab.part;
        let (clients_before, clients) = part.map_or((0, whole), |part| part.clients(whole));
        ensure!(
            clients > 0,
            "--part {}: there are fewer clients than parts",
            part.map_or(String::new(), |p| p.to_string())
        );
        let parts = u64::from(part.map_or(1, Part::of));
        let steps: Vec<u32> = match part {
            Some(part) => steps.iter().map(|step| part.clients(*step).1).collect(),
            None => steps,
        };
        ensure!(
            steps.first() != Some(&0) && steps.is_sorted_by(|before, after| before < after),
            "--steps with --part: the first step, and what the others add, must be as many as there are parts or more"
        );
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
        let mut settings = Self {
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
            carrier: carrier::from_args(args.transport)?,
            version,
            clients,
            first_number: args.startnumber.saturating_add(1).saturating_add(clients_before),
            connect_interval: match args.connection_rate {
                0 => ((args.interval * 1e6).round() as u64 * parts, 1),
                rate => (NS_PER_S * parts, u64::from(rate)),
            },
            ifaddrs,
            keep_alive_s: args.keepalive,
            clean_start: args.clean,
            session_expiry_s: args.session_expiry,
            connect,
            bench: None,
            metrics: args.restapi,
            is_quiet: args.log_to == "null",
            duration: args.duration.or(args.storm.hold),
            warm_up: args.lab.warm_up.unwrap_or_default(),
            threads: args.threads.map_or(cores, usize::from).min(clients as usize),
            seed,
            json: args.json,
            run_dir: args.run_dir,
            counters_interval: args.counters_interval,
            expectations: args.lab.expect.unwrap_or_default(),
            steps,
            hold: args.storm.hold.unwrap_or_default(),
            keep_alive_spread: args.storm.keepalive_spread,
            departures: departures(&args.storm, clients, parts),
            ending: match (args.storm.crash, args.storm.vanish) {
                (true, _) => Ending::Crash,
                (_, true) => Ending::Vanish,
                _ => Ending::Disconnect,
            },
            share: args.lab.share,
            barrier: args.lab.barrier.map(usize::from),
            part,
            preflight_only: args.lab.preflight_only,
            capacity: Capacity::from_args(args.lab.capacity),
        };
        settings.check_topics()?;
        if settings.capacity.is_some() {
            settings.prepare_trials()?;
        }
        if settings.publishing().is_some() {
            ensure!(
                settings.departures.is_none(),
                "--churn, --storm and --flap are for conn and sub: publishers that leave would take their messages with them"
            );
            ensure!(settings.steps.is_empty(), "--steps is for conn and sub: publishers begin when they are connected");
        }
        if settings.threads > 1 && settings.subscribing().is_some_and(SubSettings::is_shared) {
            eprintln!(
                "loadgen: several threads divide the shared subscription: loss is not counted; --threads 1 counts it"
            );
        }
        Ok(settings)
    }

    /// What `--find-capacity` asks of a run: an end, and rates that can be raised.
    fn prepare_trials(&mut self) -> Result<()> {
        self.duration.get_or_insert(TRIAL);
        let Some(publish) = self.publishing() else { return Ok(()) };
        ensure!(
            matches!(publish.pacing, Pacing::Constant | Pacing::Poisson),
            "--find-capacity raises a rate: --pacing {} has none; use constant or poisson",
            publish.pacing
        );
        ensure!(publish.limit.is_none(), "--find-capacity makes trials of --duration: leave out -L");
        Ok(())
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
                for lane in &publish.lanes {
                    let topic = naming::numbered_topic(&naming::topic(&lane.topic, variables), 0);
                    TopicName::new(&topic).with_context(|| format!("-t {}", lane.topic))?;
                }
            }
        }
        if let Some(will) = &self.connect.will {
            TopicName::new(&naming::topic(&will.topic, variables))
                .with_context(|| format!("--will-topic {}", will.topic))?;
        }
        Ok(())
    }
}

/// Who leaves when, of `clients` that are one of so many parts.
fn departures(args: &StormArgs, clients: u32, parts: u64) -> Option<Departures> {
    let churn = args.churn.map(|churn| Departures::Churn { per_s: churn.divided_by(parts).per_s(clients) });
    let back_per_s = args.storm_rate.map(|per_s| per_s.div_ceil(parts as u32));
    let storm = args.storm.map(|every| Departures::Storm { every, back_per_s });
    churn.or(storm).or(args.flap.map(Departures::Flap))
}

impl SubSettings {
    /// Whether clients divide messages among themselves.
    pub(crate) fn is_shared(&self) -> bool {
        self.filters.iter().any(|filter| filter.starts_with("$share/"))
    }
}

impl PubSettings {
    fn from_args(args: &PubArgs, user_properties: &[(String, String)]) -> Result<Self> {
        let version = version(&args.common)?;
        let headers = content::parse_headers(&args.payload_hdrs)?;
        let lanes = match (&args.topics_payload, &args.topic) {
            (Some(path), _) => content::read_topics(path, &headers)?,
            (None, topic) => vec![TopicSpec {
                topic: topic.clone().context("-t is missing: the topic to publish to")?,
                qos: to_qos(args.qos)?,
                interval_ns: (args.message_interval_ms * 1e6).round() as u64,
                content: Content::from_flags(args.message.as_deref(), args.size as usize, headers)?,
            }],
        };
        let pacing = match args.pacing {
            // emqtt_bench's way to say it.
            Pacing::Constant if lanes.iter().any(|lane| lane.interval_ns == 0) => Pacing::FlatOut,
            pacing => pacing,
        };
        ensure!(
            pacing != Pacing::Poisson || lanes.iter().all(|lane| lane.interval_ns > 0),
            "--pacing poisson needs the mean interval of a publisher's messages: give -I in milliseconds, above 0"
        );
        ensure!(
            pacing != Pacing::FlatOut || lanes.len() == 1,
            "--pacing flat-out does not go with several topics: none of them would say how much of the load is its own"
        );
        let retry = args.retry_interval > 0;
        if retry && version == Version::V5 {
            eprintln!(
                "loadgen: --retry-interval is ignored: MQTT 5.0 forbids sending again on the same connection (4.4)"
            );
        }
        let (min, max) = (args.min_random_wait, args.max_random_wait.max(args.min_random_wait));
        let ns =
            |ms: u64| ms.checked_mul(1_000_000).context("--max-random-wait and --min-random-wait are in milliseconds");
        let publish = Self {
            retain: args.retain,
            properties: properties::of_messages(&args.messages, user_properties, version)?,
            aliases: args.messages.topic_alias,
            limit: Some(args.limit).filter(|limit| *limit > 0),
            limit_per_client: None,
            window: if args.inflight == 0 { u16::MAX } else { args.inflight },
            wait_for_all: args.wait_before_publishing,
            random_wait_ns: (ns(min)?, ns(max)?),
            retry_interval_ns: (retry && version != Version::V5).then(|| args.retry_interval.saturating_mul(NS_PER_S)),
            needs_wall_clock: lanes.iter().any(|lane| lane.content.needs_wall_clock()),
            lanes,
            pacing,
        };
        if !publish.is_stamped() && args.common.log_to != "null" {
            eprintln!(
                "loadgen: these payloads do not say who sent them, which they are and when they were due: receivers count \
                 messages, but neither loss, duplicates, disorder nor latency (except by --payload-hdrs)"
            );
        }
        Ok(publish)
    }

    /// Whether receivers can account for every message.
    pub(crate) fn is_stamped(&self) -> bool {
        self.lanes.iter().all(|lane| lane.content.is_stamped())
    }

    /// The highest QoS of a message.
    pub(crate) fn qos_max(&self) -> QoS {
        self.lanes.iter().map(|lane| lane.qos).max_by_key(|qos| *qos as u8).unwrap_or(QoS::AtMostOnce)
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

/// Length of a trial of a search for capacity, likewise.
const TRIAL: Duration = Duration::from_secs(10);
/// Clients, unless somebody says otherwise.
const CLIENTS: u32 = 200;

fn version(args: &CommonArgs) -> Result<Version> {
    Version::from_level(args.protocol).context("protocol version")
}

fn to_qos(bits: u8) -> Result<QoS> {
    Ok(QoS::from_bits(bits)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn settings(line: &str) -> Result<Settings> {
        let cli = Cli::try_parse_from(std::iter::once("loadgen").chain(line.split(' ')))?;
        Settings::from_command(cli.command)
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
