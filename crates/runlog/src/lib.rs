//! The run directory: the one format that the tools write and `analyze` reads.
//!
//! A *run* is what one tool did on one host in one go. It leaves a directory behind:
//!
//! ```text
//! runs/<experiment>/<target>-<repeat>/<role>-<tag>-<utc>/
//!     meta.json      who, where, what: tool, commit, argv, config, seed, host manifest, clock facts
//!     raw.csv        collector: counters and gauges, the guide's 16 columns first
//!     processes.csv  collector: the target's processes one by one
//!     threads.csv    collector: the target's threads, at a slow beat
//!     counters.csv   loadgen and prober: their own cumulative counters
//!     rates.csv      derived by `analyze rates`
//!     samples.csv    prober: one line per probe
//!     events.jsonl   phase marks, disconnects with reasons, errors, gate results
//!     latency.hlog   HdrHistogram interval log
//!     summary.json   final counts and percentiles
//! ```
//!
//! Runs from several hosts lie a folder deeper, `<target>-<repeat>/<host>/`, beside the phase marks by that host's clocks.
//!
//! Every line is handed to the kernel as soon as it is complete, so a tool that is killed loses at most the line that
//! it was writing. Readers take damage as normal: a truncated last line or a bad row becomes a [`Warning`] with file
//! and line, and what is whole is used. The published directories of the AXMQ guide (`raw.csv` + `meta.txt`) are read
//! through the same door.
//!
//! Modules, in the order in which a run meets them:
//! - [`clock`]: the one place that reads clocks, and the text forms of a UTC second.
//! - [`name`]: [`Role`], [`Context`] and the names of directories.
//! - [`columns`]: the columns of every CSV file: names, units, kinds.
//! - [`meta`]: what `meta.json` and `meta.txt` say.
//! - [`ethtool`]: what a network interface's driver says of itself.
//! - [`secrets`]: blots passwords out of what is published.
//! - [`mod@stdout`]: standard output of the tools, whose reader may go.
//! - [`host`]: fills the [`meta::HostManifest`] of this machine.
//! - [`event`]: the lines of `events.jsonl`.
//! - [`order`]: which percentiles a number of samples allows, and how sure they are.
//! - [`summary`]: the shapes of `summary.json`, with percentiles.
//! - [`ledger`]: who sent and who received how many messages; [`barrier`]: beginning together;
//! - [`mod@write`]: [`RunDir`] and the writers that it hands out.
//! - [`read`]: [`discover`] and [`Run`].
//! - [`parts`]: runs whose file of samples was cut.
//! - [`topics`]: who publishes for whom.
//! - [`rows`]: reading a CSV file of any size, a block of rows at a time.
//! - [`table`]: reading a CSV file of which any line may be damaged.
//! - [`console`]: what emqtt_bench and loadgen print on a terminal.
//! - [`hlog`]: reading and writing the histogram log.

pub mod barrier;
pub mod clock;
pub mod columns;
pub mod console;
pub mod ethtool;
pub mod event;
pub mod hlog;
pub mod host;
pub mod ledger;
pub mod meta;
pub mod name;
pub mod order;
pub mod parts;
pub mod read;
pub mod rows;
pub mod secrets;
pub mod stdout;
pub mod summary;
pub mod table;
pub mod topics;
pub mod write;

mod error;

use std::sync::LazyLock;

pub use barrier::Barrier;
pub use error::{Error, Loaded, Result, Warning, Warnings};
pub use event::{Edge, Event, EventKind};
pub use ledger::LedgerEntry;
pub use meta::{HostManifest, Meta, ProcessManifest};
pub use name::{ClockOffset, Context, Role};
pub use read::{Format, Run, discover};
pub use summary::{
    CapacitySummary, CollectSummary, FloorSummary, LoadSummary, Percentiles, ProbeSummary, StretchSummary, Summary,
    TrialSummary,
};
pub use write::RunDir;

/// The git commit that the tools were built from, when the build was told (`GIT_COMMIT=... cargo build`).
pub const GIT_COMMIT: Option<&str> = option_env!("GIT_COMMIT");

/// What `--version` prints after the tool's name: the version that all crates of the workspace share, and the git commit
/// when known.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| match GIT_COMMIT {
        Some(commit) => format!("{VERSION} (git {commit})"),
        None => VERSION.to_owned(),
    });
    &TEXT
}

/// The version that all crates of the workspace share.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
