//! The command line: the guide's `-h -n -i` (its section 7.3), the flags that all our tools share, and what is new.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser};
use mqtt_wire::{QoS, TopicName, Version};
use pacer::stamp::Stamp;
use runlog::clock::parse_duration;
use runlog::version;

/// Measures the end-to-end latency of an MQTT broker with one publisher and one subscriber.
#[derive(Debug, Parser)]
#[command(name = "prober", version = version(), disable_help_flag = true, disable_version_flag = true)]
pub(crate) struct Args {
    /// Host name or address of the broker.
    #[arg(short = 'h', long, default_value = "localhost")]
    pub(crate) host: String,

    /// Port of the broker.
    #[arg(short, long, default_value_t = 1883)]
    pub(crate) port: u16,

    /// Probes to measure.
    #[arg(short = 'n', long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    pub(crate) count: u32,

    /// Measure for this long instead of a number of probes.
    #[arg(long, value_parser = parse_duration, conflicts_with = "count")]
    pub(crate) duration: Option<Duration>,

    /// Milliseconds between two probes; fractions are allowed.
    #[arg(short, long, default_value = "10", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// Independent random gaps with the interval as their mean, instead of even ones: arrivals that do not beat with
    /// anything periodic in the broker.
    #[arg(long)]
    pub(crate) poisson: bool,

    /// Seed of the random gaps.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,

    /// QoS of publisher and subscription.
    #[arg(short, long, default_value = "0", value_parser = parse_qos)]
    pub(crate) qos: QoS,

    /// Probes of QoS 1 or 2 that may be under way at once, as far as the broker takes them; what is due beyond waits and
    /// is charged with it. Mosquitto throws away what exceeds 20 of QoS 2.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) inflight: u16,

    /// Bytes of payload, at least 16.
    #[arg(short = 's', long = "payload", visible_alias = "size", default_value_t = 24, value_parser = clap::value_parser!(u32).range(Stamp::LEN as i64..=PAYLOAD_MAX))]
    pub(crate) payload: u32,

    /// MQTT version: 3 (3.1), 4 (3.1.1) or 5.
    #[arg(short = 'V', long = "ver", default_value = "4", value_parser = parse_version)]
    pub(crate) protocol: Version,

    /// Topic of the probes; default: one of this run alone.
    #[arg(short, long, value_parser = parse_topic)]
    pub(crate) topic: Option<String>,

    /// User name.
    #[arg(short, long)]
    pub(crate) username: Option<String>,

    /// Password.
    #[arg(short = 'P', long)]
    pub(crate) password: Option<String>,

    /// Probes that are sent first and left out of the figures.
    #[arg(long, default_value_t = 20)]
    pub(crate) warmup: u32,

    /// How long to wait for the last probes; what has not come by then is lost.
    #[arg(long, default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// How long before a due time to stop sleeping and watch the clock: hides the machine's wake-up time.
    #[arg(long, default_value = "50us", value_parser = parse_duration)]
    pub(crate) spin: Duration,

    /// Never sleep: takes one core whole, for latencies of a few microseconds.
    #[arg(long)]
    pub(crate) busy_poll: bool,

    /// Do not ask for real-time priority (SCHED_FIFO), which keeps probes on time when all cores are busy.
    #[arg(long)]
    pub(crate) no_realtime: bool,

    /// Run directory to make.
    #[arg(long)]
    pub(crate) run_dir: Option<PathBuf>,

    /// Free text that tells this run from its neighbours.
    #[arg(long, default_value = "untagged")]
    pub(crate) tag: String,

    /// File to write the summary to.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,

    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,

    /// Print version.
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

impl Args {
    /// Probes to measure: counted, or as many as the duration holds.
    pub(crate) fn measured(&self) -> Result<u32, String> {
        let Some(duration) = self.duration else { return Ok(self.count) };
        let count = duration.as_nanos() / self.interval.as_nanos();
        match u32::try_from(count) {
            Ok(0) => Err(format!("--duration {duration:?} is shorter than the interval of {:?}", self.interval)),
            Ok(count) if i64::from(count) <= COUNT_MAX => Ok(count),
            _ => Err(format!("--duration {duration:?} would take {count} probes; {COUNT_MAX} is the limit")),
        }
    }

    /// The interval in nanoseconds.
    pub(crate) fn interval_ns(&self) -> u64 {
        self.interval.as_nanos() as u64
    }
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

/// Each probe keeps three stamps in memory.
const COUNT_MAX: i64 = 10_000_000;

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
        ] {
            let error = Args::try_parse_from([&["prober"][..], &words].concat()).unwrap_err().to_string();
            assert!(error.contains(message), "{words:?}: {error}");
        }
        let too_short = Args::parse_from(["prober", "--duration", "1ms"]);
        assert!(too_short.measured().unwrap_err().contains("shorter than the interval"));
    }
}
