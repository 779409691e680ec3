//! What a laboratory asks of a run beyond emqtt_bench's flags, as typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::expect::Expectations;
use crate::part::Part;

/// Before and after the run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Laboratory")]
pub(crate) struct LabArgs {
    /// Check the limits, addresses, ports and brokers, say what to type where something is amiss, and end.
    #[arg(long)]
    pub(crate) preflight_only: bool,
    /// What has to hold, such as 'lost==0,p99<5ms'; decides the exit code: 0 when all of it holds, 3 when not. A name that
    /// does not exist is refused with a list of those that do.
    #[arg(long, value_name = "LIST")]
    pub(crate) expect: Option<Expectations>,
    /// Load for so long before messages count, once all clients are ready; adds to --duration. Publishing waits for all
    /// clients then. `ledger.jsonl` and `reconcile` count every message all the same.
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    pub(crate) warm_up: Option<Duration>,
    /// A directory that processes of one experiment share: each records in a directory of its own beneath it, and
    /// `loadgen reconcile DIR` closes the account over all of them.
    #[arg(long, value_name = "DIR", conflicts_with = "run_dir")]
    pub(crate) share: Option<PathBuf>,
    /// Begin when so many processes are ready in the directory of --share; all on one host.
    #[arg(long, value_name = "N", requires = "share", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) barrier: Option<u16>,
    /// Be one of N processes, each on a host of its own, that share the load: take the K-th part of the clients (-c), at that
    /// part of the rates (-R or -i, --churn), numbered as in the whole. Messages of the other parts are counted and not
    /// timed: their senders' clocks are others.
    #[arg(long, value_name = "K/N", conflicts_with = "clients_file")]
    pub(crate) part: Option<Part>,
    #[command(flatten)]
    pub(crate) capacity: CapacityArgs,
}

/// The search for capacity.
#[derive(Debug, Args)]
pub(crate) struct CapacityArgs {
    /// Find the highest rate of messages at which this holds, such as 'p99<5ms,lost==0,lag<1ms' (names as for --expect): trials
    /// of --duration each (10s) raise the rate of all publishers from the given one until it breaks, and confirm the
    /// interval that is left. With --run-dir, each trial records in a directory beneath it.
    #[arg(long, value_name = "LIST", conflicts_with_all = ["expect", "share", "part", "preflight_only"])]
    pub(crate) find_capacity: Option<Expectations>,
    /// Distance of the ends of the interval, in percent of the lower one.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0, requires = "find_capacity", value_parser = percent)]
    pub(crate) capacity_precision: f64,
    /// Trials that confirm each end: n of them leave a risk of 1 in 2^n that the end is wrong.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "find_capacity", value_parser = clap::value_parser!(u32).range(1..=30))]
    pub(crate) capacity_trials: u32,
}

fn percent(text: &str) -> Result<f64, String> {
    let value = text.strip_suffix('%').unwrap_or(text).parse().ok();
    value.filter(|value| (0.1..=100.0).contains(value)).ok_or_else(|| "give a percentage from 0.1 to 100".to_owned())
}
