//! The command line: the guide's `-h -n -i` (its section 7.3), the flags that all our tools share, and what is new.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use mqtt_wire::{QoS, TopicName, Version};
use pacer::stamp::Stamp;
use runlog::clock::parse_duration;
use runlog::version;

use crate::carrier::CarrierArgs;

/// Measures the end-to-end latency of an MQTT broker with a publisher and a subscriber.
#[derive(Debug, Parser)]
#[command(name = "prober", version = version(), disable_help_flag = true, disable_version_flag = true)]
pub struct Args {
    /// Host name or address of the broker.
    #[arg(short = 'h', long, default_value = "localhost")]
    pub host: String,

    /// Port of the broker.
    #[arg(short, long, default_value_t = 1883)]
    pub port: u16,

    /// Probes to measure, of each pair.
    #[arg(short = 'n', long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub count: u32,

    /// Measure for this long instead of a number of probes.
    #[arg(long, value_parser = parse_duration, conflicts_with = "count")]
    pub duration: Option<Duration>,

    /// Measure until this signal comes (SIGINT does as well), and end with success then.
    #[arg(long, value_name = "SIGTERM", value_parser = parse_until, conflicts_with_all = ["count", "duration"])]
    pub until: Option<Until>,

    /// Milliseconds between two probes of a pair; fractions are allowed.
    #[arg(short, long, default_value = "10", value_parser = parse_interval)]
    pub interval: Duration,

    /// Independent random gaps with the interval as their mean, instead of even ones: arrivals that do not beat with
    /// anything periodic in the broker.
    #[arg(long)]
    pub poisson: bool,

    /// Seed of the random gaps.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Pairs of publisher and subscriber that probe side by side, each on a topic of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=PAIRS_MAX))]
    pub pairs: u32,

    /// One connection per pair that publishes to itself, as the guide's prober does.
    #[arg(long = "self")]
    pub one_connection: bool,

    /// QoS of publisher and subscription.
    #[arg(short, long, default_value = "0", value_parser = parse_qos)]
    pub qos: QoS,

    /// Probes of QoS 1 or 2 that may be under way at once, as far as the broker takes them; what is due beyond waits and
    /// is charged with it. Mosquitto throws away what exceeds 20 of QoS 2.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub inflight: u16,

    /// Bytes of payload, at least 16.
    #[arg(short = 's', long = "payload", visible_alias = "size", default_value_t = 24, value_parser = clap::value_parser!(u32).range(Stamp::LEN as i64..=PAYLOAD_MAX))]
    pub payload: u32,

    /// MQTT version: 3 (3.1), 4 (3.1.1) or 5.
    #[arg(short = 'V', long = "ver", default_value = "4", value_parser = parse_version)]
    pub protocol: Version,

    /// Topic of the probes, followed by the pair's number where there are several; default: one of this run alone.
    #[arg(short, long, value_parser = parse_topic)]
    pub topic: Option<String>,

    /// User name.
    #[arg(short, long)]
    pub username: Option<String>,

    /// Password.
    #[arg(short = 'P', long)]
    pub password: Option<String>,

    /// Source addresses: addresses, ranges (10.0.0.1-20) and networks (10.0.0.0/24), separated by commas; pairs take them
    /// in turn.
    #[arg(long)]
    pub ifaddr: Option<String>,

    /// What speaks MQTT: this prober's own connections, or those of the library rumqttc, as a cross-check (plain TCP, MQTT
    /// 3.1.1 and 5, no echo between the probes).
    #[arg(long, value_enum, default_value_t = Client::Native)]
    pub client: Client,

    /// Address of a TCP echo on the broker's host (`collector --echo PORT`): its round trips, between the probes, say how
    /// much of the latency is the path. Default: an echo of this process on loopback.
    #[arg(long, value_name = "HOST:PORT", value_parser = parse_endpoint)]
    pub floor: Option<String>,

    /// No echo between the probes.
    #[arg(long, conflicts_with = "floor")]
    pub no_floor: bool,

    /// Probes that are sent first and left out of the figures, of each pair.
    #[arg(long, default_value_t = 20)]
    pub warmup: u32,

    /// How long to wait for the last probes; what has not come by then is lost.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,

    /// How long before a due time to stop sleeping and watch the clock: hides the machine's wake-up time.
    #[arg(long, default_value = "50us", value_parser = parse_duration)]
    pub spin: Duration,

    /// Never sleep: takes one core whole, for latencies of a few microseconds.
    #[arg(long)]
    pub busy_poll: bool,

    /// Ask for real-time priority (SCHED_FIFO), which keeps probes on time when all cores are busy. On one machine with the
    /// broker it makes the kernel wake the broker on another core, which takes longer.
    #[arg(long, conflicts_with = "busy_poll")]
    pub realtime: bool,

    /// Fail unless every measured probe arrived in time, once, in order and undamaged.
    #[arg(long)]
    pub strict: bool,

    /// Run directory to make.
    #[arg(long)]
    pub run_dir: Option<PathBuf>,

    /// Free text that tells this run from its neighbours.
    #[arg(long, default_value = "untagged")]
    pub tag: String,

    /// File to write the summary to as JSON; -: standard output, and the curve goes to standard error.
    #[arg(long)]
    pub json: Option<PathBuf>,

    /// TLS and WebSocket.
    #[command(flatten)]
    pub carrier: CarrierArgs,

    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print version.
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// What ends a run that is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// SIGTERM or SIGINT.
    Signal,
}

/// What speaks MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Client {
    /// The prober's own connections.
    Native,
    /// The library rumqttc.
    Rumqttc,
}

impl Client {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Client::Native => "native",
            Client::Rumqttc => "rumqttc",
        }
    }
}

impl Args {
    /// Probes to measure, of each pair: counted, as many as the duration holds, or as many as memory is planned for.
    ///
    /// # Errors
    /// A sentence: there are none, or too many.
    pub fn measured(&self) -> Result<u32, String> {
        let most = (COUNT_MAX / i64::from(self.pairs)) as u32;
        if self.until.is_some() {
            return Ok(most - self.warmup.min(most / 2));
        }
        let counted = match self.duration {
            None => self.count.into(),
            Some(duration) => duration.as_nanos() / self.interval.as_nanos(),
        };
        match u32::try_from(counted) {
            Ok(0) => Err(format!("--duration is shorter than the interval of {:?}", self.interval)),
            Ok(count) if count <= most => Ok(count),
            _ => Err(format!(
                "{} pair(s) of {counted} probes are too many: {COUNT_MAX} are the limit in all",
                self.pairs
            )),
        }
    }

    /// The interval in nanoseconds.
    #[must_use]
    pub fn interval_ns(&self) -> u64 {
        self.interval.as_nanos() as u64
    }
}

fn parse_until(text: &str) -> Result<Until, String> {
    let known = ["SIGTERM", "SIGINT", "TERM", "INT"].contains(&text.to_ascii_uppercase().as_str());
    known.then_some(Until::Signal).ok_or_else(|| format!("{text:?} is not what ends a run: it is SIGTERM or SIGINT"))
}

fn parse_endpoint(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    port.map(|_| text.to_owned()).ok_or_else(|| format!("{text:?} is not HOST:PORT"))
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no interval: give milliseconds, at least 0.01");
    let ms: f64 = text.strip_suffix("ms").unwrap_or(text).parse().map_err(|_| bad())?;
    let interval = Duration::try_from_secs_f64(ms / 1_000.0).map_err(|_| bad())?;
    if interval >= INTERVAL_MIN && interval <= INTERVAL_MAX { Ok(interval) } else { Err(bad()) }
}

fn parse_qos(text: &str) -> Result<QoS, String> {
    let bits: u8 = text.parse().map_err(|_| format!("{text:?} is no QoS: it is 0, 1 or 2"))?;
    QoS::from_bits(bits).map_err(|_| format!("{text:?} is no QoS: it is 0, 1 or 2"))
}

fn parse_version(text: &str) -> Result<Version, String> {
    let level = text.parse().ok().and_then(Version::from_level);
    level.ok_or_else(|| format!("{text:?} is no MQTT version: it is 3 (3.1), 4 (3.1.1) or 5"))
}

fn parse_topic(text: &str) -> Result<String, String> {
    TopicName::new(text)
        .map(|_| text.to_owned())
        .map_err(|error| format!("{text:?} is no topic to publish to: {error}"))
}

/// Each probe keeps its stamps in memory, 32 bytes.
const COUNT_MAX: i64 = 10_000_000;

/// Each pair is two sockets, and each turn looks at every pair.
const PAIRS_MAX: i64 = 1_000;

/// What every broker takes in one packet.
const PAYLOAD_MAX: i64 = 1 << 20;

const INTERVAL_MIN: Duration = Duration::from_micros(10);
const INTERVAL_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
        let args = Args::parse_from(["prober", "-h", "172.28.130.87", "-n", "2000", "-i", "10"]);
        assert_eq!((args.host.as_str(), args.count, args.interval_ns()), ("172.28.130.87", 2_000, 10_000_000));
        assert_eq!(
            (args.port, args.qos, args.protocol, args.measured()),
            (1883, QoS::AtMostOnce, Version::V311, Ok(2_000))
        );
    }

    #[test]
    fn bad_values_are_told() {
        for (words, message) in [
            (["-i", "0"], "no interval"),
            (["-i", "soon"], "no interval"),
            (["-q", "3"], "no QoS"),
            (["-V", "6"], "no MQTT version"),
            (["-t", "a/#"], "no topic to publish to"),
            (["-n", "0"], "not in 1..=10000000"),
            (["-s", "15"], "not in 16..="),
            (["--until", "SIGHUP"], "SIGTERM or SIGINT"),
            (["--floor", "7007"], "is not HOST:PORT"),
            (["--pairs", "0"], "not in 1..=1000"),
        ] {
            let error = Args::try_parse_from([&["prober"][..], &words].concat()).unwrap_err().to_string();
            assert!(error.contains(message), "{words:?}: {error}");
        }
        let too_short = Args::parse_from(["prober", "--duration", "1ms"]);
        assert!(too_short.measured().unwrap_err().contains("shorter than the interval"));
        let too_many = Args::parse_from(["prober", "-n", "10000000", "--pairs", "2"]);
        assert!(too_many.measured().unwrap_err().contains("2 pair(s) of 10000000 probes are too many"));
    }
}
