//! The command line as typed. Flags, short names, defaults and meanings are those of emqtt_bench 0.6 where it has
//! them; what is new comes in long flags. What the words mean is decided in [`crate::settings`].

pub(crate) mod bench;
pub(crate) mod lab;
pub(crate) mod mqtt5;
pub(crate) mod storm;
pub(crate) mod transport;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand};
use pacer::pacing::Pacing;

use crate::metrics::Endpoint;

/// Many MQTT clients and planned load.
#[derive(Debug, Parser)]
#[command(name = "loadgen", version = runlog::version(), disable_help_flag = true, disable_version_flag = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What the clients do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Print help.
    #[arg(long, action = ArgAction::Help, global = true)]
    help: Option<bool>,
    /// Print version.
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
}

/// The role of the clients.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect and stay connected.
    Conn(ConnArgs),
    /// Connect, subscribe and receive.
    Sub(SubArgs),
    /// Connect and publish on a schedule.
    Pub(Box<PubArgs>),
    /// Several roles in one process, from a scenario file.
    Run(RunArgs),
    /// A run of mqtt-bench: its flags (with one dash, as it has them) and its result line.
    Bench(bench::BenchArgs),
    /// Close the account of what was sent and what arrived, over the run directories of all processes.
    Reconcile(ReconcileArgs),
}

/// `loadgen run`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct RunArgs {
    /// The scenario, a TOML file: `[run]` holds flags for all roles, each `[[role]]` has a kind (conn, sub, pub), a name, the
    /// flags of that command, and for pub a begin and an end.
    pub(crate) scenario: PathBuf,
    /// Flags of `loadgen conn`, such as -h HOST -p PORT --run-dir DIR; they replace those of all roles.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) flags: Vec<String>,
}

/// `loadgen reconcile`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ReconcileArgs {
    /// Run directories, or directories that hold some.
    #[arg(required = true)]
    pub(crate) dirs: Vec<PathBuf>,
    /// Write the accounts of all topics as JSON to this file (- for standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// `loadgen conn`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct ConnArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) short_ids: mqtt5::ShortIdsArgs,
}

/// `loadgen sub`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct SubArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(flatten)]
    pub(crate) short_ids: mqtt5::ShortIdsArgs,
    /// Topic filter, also shared ($share/GROUP/FILTER); %i is the client's number, %c its client id, %u its user name.
    /// Repeatable.
    #[arg(short = 't', long = "topic", required = true)]
    pub(crate) topics: Vec<String>,
    /// QoS of the subscription.
    #[arg(short = 'q', long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// What the publishers' payloads begin with, as given there: cnt64, ts or both. cnt64 counts loss, duplicates and
    /// disorder where each topic has one publisher; ts shows the mean latency (publish_latency).
    #[arg(long, value_delimiter = ',')]
    pub(crate) payload_hdrs: Vec<String>,
    #[command(flatten)]
    pub(crate) subscribe: mqtt5::SubscribeArgs,
}

/// `loadgen pub`.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct PubArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    /// Topic name; %i is the client's number, %c its client id, %u its user name, %s the number of the message.
    #[arg(short = 't', long = "topic", required_unless_present = "topics_payload")]
    pub(crate) topic: Option<String>,
    /// QoS of the messages.
    #[arg(short = 'q', long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    pub(crate) qos: u8,
    /// Payload size in bytes. From 16 bytes on, payloads carry sender, sequence number and due time.
    #[arg(short = 's', long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(..=268_000_000))]
    pub(crate) size: u32,
    /// Payload: text, file://PATH (the file as it is) or template://PATH (a file with %TIMESTAMP% or %TIMESTAMPMS%,
    /// %TIMESTAMPUS%, %TIMESTAMPNS%, %UNIQUE% and %RANDOM%, which is --size random bytes). It replaces our own payload,
    /// from which receivers count loss, duplicates, disorder and latency.
    #[arg(short = 'm', long)]
    pub(crate) message: Option<String>,
    /// Begin payloads with cnt64 (running number of the publisher) and/or ts (time of sending, ms), 8 bytes each, in this
    /// order. Give the same to the subscribers.
    #[arg(long, value_delimiter = ',')]
    pub(crate) payload_hdrs: Vec<String>,
    /// JSON file of topics with their intervals, QoS and payloads, in emqtt_bench's form; every client publishes to all.
    #[arg(long, conflicts_with_all = ["topic", "message"])]
    pub(crate) topics_payload: Option<PathBuf>,
    /// Milliseconds between two messages of one publisher; 0: as fast as the connection takes them.
    #[arg(short = 'I', long = "interval_of_msg", default_value_t = 1000.0, value_parser = milliseconds)]
    pub(crate) message_interval_ms: f64,
    /// When the messages of one publisher are due: constant (every -I; all publishers in turn), poisson (at random, -I on
    /// average), ramp:FROM-TO@TIME (from one rate to another within TIME, in messages per second of each publisher, such as
    /// ramp:1-50@30s; then stays), burst:N@TIME (N at once every TIME, all publishers together, such as burst:100@1s) or
    /// flat-out (as fast as the window, -F, and the connection take them). Random times follow --seed.
    #[arg(long, value_name = "KIND", default_value_t = Pacing::Constant)]
    pub(crate) pacing: Pacing,
    /// Messages to publish, all clients together; 0: no limit.
    #[arg(short = 'L', long, default_value_t = 0)]
    pub(crate) limit: u64,
    /// Set the RETAIN flag.
    #[arg(short = 'r', long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) retain: bool,
    /// Unacknowledged QoS 1 and 2 messages per client; 0: as many as there are packet identifiers. A full window does
    /// not change the plan: messages stay due and their delay is counted.
    #[arg(short = 'F', long, default_value_t = 1)]
    pub(crate) inflight: u16,
    /// Publish only when all clients have connected or failed to.
    #[arg(short = 'w', long = "wait-before-publishing", default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) wait_before_publishing: bool,
    /// Most milliseconds that a publisher waits, at random, before it begins.
    #[arg(long, default_value_t = 0)]
    pub(crate) max_random_wait: u64,
    /// Fewest milliseconds that a publisher waits before it begins.
    #[arg(long, default_value_t = 0)]
    pub(crate) min_random_wait: u64,
    /// Seconds after which an unacknowledged message is sent again (before MQTT 5.0, which forbids it); 0: never.
    #[arg(long, default_value_t = 0)]
    pub(crate) retry_interval: u64,
    #[command(flatten)]
    pub(crate) messages: mqtt5::MessageArgs,
}

/// Flags of every role.
#[derive(Debug, Args)]
pub(crate) struct CommonArgs {
    /// Broker host names or addresses, separated by commas; clients take them in turn.
    #[arg(short = 'h', long, default_value = "localhost", value_delimiter = ',')]
    pub(crate) host: Vec<String>,
    /// Broker port.
    #[arg(short = 'p', long, default_value_t = 1883)]
    pub(crate) port: u16,
    /// Protocol: 3 (MQTT 3.1), 4 (3.1.1) or 5 (5.0).
    #[arg(short = 'V', long = "protocol-version", visible_alias = "version", default_value_t = 5, value_parser = clap::value_parser!(u8).range(3..=5))]
    pub(crate) protocol: u8,
    /// Number of clients. [default: 200, or as many as --clients-file names]
    #[arg(short = 'c', long, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    pub(crate) count: Option<u32>,
    /// Connections begun per second; 0: use --interval.
    #[arg(short = 'R', long = "connrate", default_value_t = 0)]
    pub(crate) connection_rate: u32,
    /// Milliseconds between two connections; 0: as fast as possible.
    #[arg(short = 'i', long, default_value_t = 10.0, value_parser = milliseconds)]
    pub(crate) interval: f64,
    /// Source addresses: addresses, ranges (10.0.0.1-20), networks (10.0.0.0/24) and interface names, separated by
    /// commas.
    #[arg(long)]
    pub(crate) ifaddr: Option<String>,
    /// Client id prefix: ids are PREFIX_bench_ROLE_N instead of HOST_bench_ROLE_RANDOM_N.
    #[arg(long)]
    pub(crate) prefix: Option<String>,
    /// Client ids are the prefix, if any, and the client's number.
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) shortids: bool,
    /// Added to the number of every client; the first is this plus one.
    #[arg(short = 'n', long, default_value_t = 0)]
    pub(crate) startnumber: u32,
    /// Attempts to connect beyond the first one, per client, before it counts as failed.
    #[arg(long, default_value_t = 0)]
    pub(crate) num_retry_connect: u32,
    /// Attempts to come back after a connection was lost, per loss; 0: lost connections stay lost.
    #[arg(long, default_value_t = 0)]
    pub(crate) reconnect: u32,
    #[command(flatten)]
    pub(crate) transport: transport::TransportArgs,
    /// CSV file of clients: its first line names the columns client_id, username, password (each optional); each further
    /// line is a client.
    #[arg(long)]
    pub(crate) clients_file: Option<PathBuf>,
    /// User name; %i is the client's number, %c its client id.
    #[arg(short = 'u', long)]
    pub(crate) username: Option<String>,
    /// Password; %i is the client's number, %c its client id.
    #[arg(short = 'P', long)]
    pub(crate) password: Option<String>,
    /// Keep alive in seconds; 0: none.
    #[arg(short = 'k', long, default_value_t = 300)]
    pub(crate) keepalive: u16,
    /// Clean session (clean start).
    #[arg(short = 'C', long, default_value_t = true, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) clean: bool,
    /// Session expiry interval in seconds (MQTT 5.0).
    #[arg(short = 'x', long = "session-expiry", default_value_t = 0)]
    pub(crate) session_expiry: u32,
    #[command(flatten)]
    pub(crate) connect: mqtt5::ConnectArgs,
    #[command(flatten)]
    pub(crate) legacy: mqtt5::LegacyArgs,
    /// Collect metrics for Prometheus: emqtt_bench's flag; --restapi serves them, with or without it.
    #[arg(long, default_value_t = false, num_args = 0..=1, default_missing_value = "true", action = ArgAction::Set)]
    pub(crate) prometheus: bool,
    /// Serve metrics for Prometheus at /metrics: a port of all interfaces, or ADDRESS:PORT.
    #[arg(long, value_name = "[IP:]PORT")]
    pub(crate) restapi: Option<Endpoint>,
    /// Where the lines go: console, or null for nowhere. Errors and the verdict are told all the same.
    #[arg(long = "log_to", alias = "log-to", default_value = "console", value_parser = ["console", "null"])]
    pub(crate) log_to: String,
    /// How long to run once all clients are ready, such as 500ms, 10s, 2m; default: until stopped.
    #[arg(long, value_parser = duration)]
    pub(crate) duration: Option<Duration>,
    /// Event loops; default: one per core, but no more than clients.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Seed of client ids and sender numbers; default: a new one each time. Processes that work at the same time need
    /// different ones.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write the summary as JSON to this file (- for standard output).
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Make this directory and record the run in it.
    #[arg(long)]
    pub(crate) run_dir: Option<PathBuf>,
    /// Distance of the rows of counters.csv; 10ms or more.
    #[arg(long, default_value = "1s", value_parser = row_distance)]
    pub(crate) counters_interval: Duration,
    #[command(flatten)]
    pub(crate) storm: storm::StormArgs,
    #[command(flatten)]
    pub(crate) lab: lab::LabArgs,
}

/// Reads `500ms`, `1s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}`: use us, ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| "give a number and a unit, such as 500ms, 10s or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * scale)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "must be longer than zero".to_owned())
}

/// The reporter cannot look more often without costing more than the load.
fn row_distance(text: &str) -> Result<Duration, String> {
    let distance = duration(text)?;
    if distance < Duration::from_millis(10) { Err("must be 10ms or longer".to_owned()) } else { Ok(distance) }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "give true or false".to_owned())
}

fn milliseconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1e12).contains(&value) => Ok(value),
        _ => Err("give milliseconds, such as 10 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(duration("7"), Ok(Duration::from_secs(7)));
        for bad in ["", "s", "0s", "5x", "-1s", "1..2s", "9999999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    /// The commands of the guide's chapters 3, 4 and 6, as they stand there but for the program's name.
    #[test]
    fn the_guides_commands_parse() {
        for line in [
            "conn -c 25000 -i 4 -k 1500 -V 4 -h 172.28.130.87 -p 1883 --ifaddr 172.28.130.111,172.28.130.112",
            "sub -V 4 -h 172.28.130.87 -c 10 -t bench/1 -q 0",
            "pub -V 4 -h 172.28.130.87 -c 4000 -t bench/1 -q 2 -s 256 -I 16",
            "sub -V 4 -h 172.28.130.87 -c 4000 -t bench/nn/%i -q 1",
            "pub -V 4 -h 172.28.130.87 -c 4000 -t bench/nn/%i -q 1 -s 1024 -I 16",
        ] {
            let argv = std::iter::once("loadgen").chain(line.split(' '));
            Cli::try_parse_from(argv).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }
}
