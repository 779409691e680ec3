//! Configuration. What was typed ([`Arguments`], [`File`]) and what it means ([`Config`]) are different types; flags
//! come before the file, the file before the defaults.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::dataplane::{MAX_WORKERS, Settings, SharePolicy, Spread};

/// The command line.
#[derive(Debug, clap::Parser)]
#[command(name = "broker", version, about = "An MQTT 3.1, 3.1.1 and 5.0 broker")]
pub(crate) struct Arguments {
    /// Where to listen, as `tcp://ADDRESS:PORT`; may be given more than once. Port 0 takes any free port
    #[arg(long, value_name = "URL")]
    listen: Vec<String>,
    /// Worker threads [default: the processors that this process may use]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Log more; twice for every packet that is refused
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// The configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<Vec<String>>,
    workers: Option<usize>,
    share_policy: Option<SharePolicyName>,
    spread: Option<SpreadName>,
    check_payload_format: Option<bool>,
    response_information: Option<String>,
    #[serde(default)]
    limits: LimitsFile,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SharePolicyName {
    RoundRobin,
    Random,
    HashClient,
    HashTopic,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SpreadName {
    WhenBusy,
    Always,
    Shuffle,
}

/// The `[limits]` section: [`crate::dataplane::Limits`] by the same names, durations in seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsFile {
    connect_timeout_s: Option<u32>,
    max_connections: Option<usize>,
    max_connections_per_ip: Option<u32>,
    max_connect_rate_per_ip: Option<u32>,
    max_sessions: Option<usize>,
    max_packet_bytes: Option<u32>,
    max_connect_bytes: Option<u32>,
    max_client_id_bytes: Option<usize>,
    max_topic_levels: Option<usize>,
    max_subscriptions: Option<usize>,
    receive_maximum: Option<u16>,
    max_inflight: Option<u16>,
    topic_alias_maximum: Option<u16>,
    max_outgoing_topic_aliases: Option<u16>,
    max_queued_messages: Option<usize>,
    max_queued_bytes: Option<usize>,
    max_output_bytes: Option<usize>,
    max_session_expiry_s: Option<u32>,
    max_retained: Option<usize>,
    max_retained_bytes: Option<usize>,
    max_memory_bytes: Option<usize>,
}

/// What the broker is to do.
#[derive(Debug)]
pub(crate) struct Config {
    /// Addresses to listen on, at least one.
    pub(crate) listen: Vec<SocketAddr>,
    /// Worker threads, 1 to [`MAX_WORKERS`].
    pub(crate) workers: usize,
    /// What the workers need to know.
    pub(crate) settings: Settings,
}

/// What the workers need before the first client comes, and a little for it.
const MIN_MEMORY_BYTES: usize = 16 * 1024 * 1024;
/// More is no topic prefix.
const MAX_RESPONSE_INFORMATION_BYTES: usize = 1_024;
const DEFAULT_LISTEN: &str = "tcp://127.0.0.1:1883";

impl Config {
    /// Puts flags, file and defaults together.
    ///
    /// # Errors
    /// A file that cannot be read or has an unknown key, an address that cannot be understood, a value out of range:
    /// each says where and what is possible.
    pub(crate) fn from_arguments(arguments: &Arguments) -> Result<Self> {
        let file = match &arguments.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let default = vec![DEFAULT_LISTEN.to_owned()];
        let listen =
            if arguments.listen.is_empty() { file.listen.unwrap_or(default) } else { arguments.listen.clone() };
        if listen.is_empty() {
            bail!("`listen` is empty: name at least one address, such as \"{DEFAULT_LISTEN}\"");
        }
        let mut addresses = Vec::new();
        for url in &listen {
            addresses.extend(parse_listen(url)?);
        }
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = arguments.workers.or(file.workers).unwrap_or(available.min(MAX_WORKERS));
        if !(1..=MAX_WORKERS).contains(&workers) {
            bail!("{workers} workers: must be from 1 to {MAX_WORKERS}");
        }
        let settings = Settings {
            limits: file.limits.apply().context("section [limits]")?,
            share_policy: file.share_policy.map_or(SharePolicy::default(), SharePolicyName::meaning),
            spread: file.spread.map_or(Spread::default(), SpreadName::meaning),
            check_payload_format: file.check_payload_format.unwrap_or(false),
            response_information: file.response_information.unwrap_or_default(),
        };
        let response_bytes = settings.response_information.len();
        if response_bytes > MAX_RESPONSE_INFORMATION_BYTES {
            bail!("response_information of {response_bytes} bytes: at most {MAX_RESPONSE_INFORMATION_BYTES}");
        }
        Ok(Self { listen: addresses, workers, settings })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("configuration file {}", path.display()))
    }
}

impl SharePolicyName {
    fn meaning(self) -> SharePolicy {
        match self {
            Self::RoundRobin => SharePolicy::RoundRobin,
            Self::Random => SharePolicy::Random,
            Self::HashClient => SharePolicy::HashClient,
            Self::HashTopic => SharePolicy::HashTopic,
        }
    }
}

impl SpreadName {
    fn meaning(self) -> Spread {
        match self {
            Self::WhenBusy => Spread::WhenBusy,
            Self::Always => Spread::Always,
            Self::Shuffle => Spread::Shuffle,
        }
    }
}

impl LimitsFile {
    fn apply(self) -> Result<crate::dataplane::Limits> {
        let default = crate::dataplane::Limits::default();
        let limits = crate::dataplane::Limits {
            connect_timeout: self
                .connect_timeout_s
                .map_or(default.connect_timeout, |seconds| Duration::from_secs(u64::from(seconds))),
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            max_connections_per_ip: self.max_connections_per_ip.unwrap_or(default.max_connections_per_ip),
            max_connect_rate_per_ip: self.max_connect_rate_per_ip.unwrap_or(default.max_connect_rate_per_ip),
            max_sessions: self.max_sessions.unwrap_or(default.max_sessions),
            max_packet_bytes: self.max_packet_bytes.unwrap_or(default.max_packet_bytes),
            max_connect_bytes: self.max_connect_bytes.unwrap_or(default.max_connect_bytes),
            max_client_id_bytes: self.max_client_id_bytes.unwrap_or(default.max_client_id_bytes),
            max_topic_levels: self.max_topic_levels.unwrap_or(default.max_topic_levels),
            max_subscriptions: self.max_subscriptions.unwrap_or(default.max_subscriptions),
            receive_maximum: self.receive_maximum.unwrap_or(default.receive_maximum),
            max_inflight: self.max_inflight.unwrap_or(default.max_inflight),
            topic_alias_maximum: self.topic_alias_maximum.unwrap_or(default.topic_alias_maximum),
            max_outgoing_topic_aliases: self.max_outgoing_topic_aliases.unwrap_or(default.max_outgoing_topic_aliases),
            max_queued_messages: self.max_queued_messages.unwrap_or(default.max_queued_messages),
            max_queued_bytes: self.max_queued_bytes.unwrap_or(default.max_queued_bytes),
            max_output_bytes: self.max_output_bytes.unwrap_or(default.max_output_bytes),
            max_session_expiry_s: self.max_session_expiry_s.unwrap_or(default.max_session_expiry_s),
            max_retained: self.max_retained.unwrap_or(default.max_retained),
            max_retained_bytes: self.max_retained_bytes.unwrap_or(default.max_retained_bytes),
            max_memory_bytes: match self.max_memory_bytes.unwrap_or(0) {
                0 => crate::memory::default_budget_bytes(),
                bytes => bytes,
            },
        };
        let positive = [
            ("connect_timeout_s", limits.connect_timeout.as_secs() as usize),
            ("max_packet_bytes", limits.max_packet_bytes as usize),
            ("max_connect_bytes", limits.max_connect_bytes as usize),
            ("receive_maximum", usize::from(limits.receive_maximum)),
            ("max_inflight", usize::from(limits.max_inflight)),
        ];
        if limits.max_memory_bytes < MIN_MEMORY_BYTES {
            bail!("max_memory_bytes = {}: must be at least {MIN_MEMORY_BYTES}, or 0", limits.max_memory_bytes);
        }
        if let Some((name, _)) = positive.iter().find(|(_, value)| *value == 0) {
            bail!("{name} = 0: must be at least 1");
        }
        Ok(limits)
    }
}

/// The addresses of a listen URL. A host name may have several.
fn parse_listen(url: &str) -> Result<Vec<SocketAddr>> {
    let Some((scheme, address)) = url.split_once("://") else {
        bail!("cannot listen on `{url}`: expected tcp://ADDRESS:PORT");
    };
    if scheme != "tcp" {
        bail!("cannot listen on `{url}`: scheme `{scheme}` is not supported, expected tcp://ADDRESS:PORT");
    }
    let addresses = address
        .to_socket_addrs()
        .with_context(|| format!("cannot listen on `{url}`: expected tcp://ADDRESS:PORT, such as {DEFAULT_LISTEN}"))?;
    Ok(addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn config(arguments: &[&str]) -> Result<Config> {
        Config::from_arguments(&Arguments::parse_from([&["broker"], arguments].concat()))
    }

    fn with_file(text: &str, arguments: &[&str]) -> Result<Config> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("broker.toml");
        std::fs::write(&path, text).unwrap();
        config(&[&["--config", path.to_str().unwrap()], arguments].concat())
    }

    #[test]
    fn flags_come_before_the_file_and_the_file_before_defaults() {
        let text = "listen = [\"tcp://127.0.0.1:1999\"]\nworkers = 3\n[limits]\nmax_inflight = 7\n";
        let from_file = with_file(text, &[]).unwrap();
        assert_eq!(from_file.listen, ["127.0.0.1:1999".parse().unwrap()]);
        assert_eq!((from_file.workers, from_file.settings.limits.max_inflight), (3, 7));
        assert_eq!(from_file.settings.limits.receive_maximum, Settings::default().limits.receive_maximum);
        let from_flags = with_file(text, &["--workers", "2", "--listen", "tcp://127.0.0.1:0"]).unwrap();
        assert_eq!((from_flags.workers, from_flags.listen[0].port()), (2, 0));
    }

    #[test]
    fn the_shipped_example_is_the_default() {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/broker.example.toml");
        let (from_example, default) = (config(&["--config", example]).unwrap(), config(&[]).unwrap());
        assert_eq!((from_example.listen, from_example.workers), (default.listen, default.workers));
        assert_eq!(from_example.settings, default.settings);
        let text = std::fs::read_to_string(example).unwrap();
        // The error for an unknown key lists the known ones.
        let error = format!("{:#}", with_file("[limits]\nno_such_key = 1", &[]).unwrap_err());
        let known: Vec<&str> = error.split('`').skip(1).step_by(2).filter(|key| *key != "no_such_key").collect();
        assert!(known.len() > 10, "{error}");
        for key in known {
            assert!(text.contains(&format!("\n{key} = ")), "{example} leaves out {key}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, arguments, named) in [
            ("max_inflight = 3", &[][..], "unknown field `max_inflight`"),
            ("[limits]\nmax_inflight = 0", &[], "max_inflight = 0"),
            ("[limits]\nmax_inflight = 70000", &[], "line 2"),
            ("[limits]\nmax_memory_bytes = 1024", &[], "max_memory_bytes = 1024"),
            ("workers = 0", &[], "0 workers"),
            ("", &["--listen", "127.0.0.1:1883"], "expected tcp://ADDRESS:PORT"),
            ("", &["--listen", "ftp://127.0.0.1:1883"], "scheme `ftp`"),
            ("response_information = \"%LONG%\"", &[], "response_information of 2000 bytes"),
            ("listen = []", &[], "at least one address"),
        ] {
            let text = text.replace("%LONG%", &"x".repeat(2_000));
            let error = format!("{:#}", with_file(&text, arguments).unwrap_err());
            assert!(error.contains(named), "{error:?} should name {named:?}");
        }
        let error = format!("{:#}", config(&["--config", "/nowhere/broker.toml"]).unwrap_err());
        assert!(error.contains("/nowhere/broker.toml"), "{error}");
    }
}
