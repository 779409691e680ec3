//! What a laboratory asks of a run beyond emqtt_bench's flags, as typed.

use clap::Args;

/// Before and after the run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Laboratory")]
pub(crate) struct LabArgs {
    /// Check the limits, addresses, ports and brokers, say what to type where something is amiss, and end.
    #[arg(long)]
    pub(crate) preflight_only: bool,
}
