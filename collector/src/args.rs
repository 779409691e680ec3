//! The command line. Each setting of the guide's scripts keeps its environment variable as a fallback.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use runlog::clock::parse_duration;
use runlog::{Role, version};

/// Samples the counters of this host and of one target process into a run directory.
#[derive(Debug, Parser)]
#[command(name = "collector", version = version())]
pub(crate) struct Args {
    /// The part that this host plays: broker, loadgen or prober.
    #[arg(long, default_value = "broker")]
    pub(crate) role: Role,

    /// Process to watch, with all its descendants.
    #[arg(long, env = "PID", value_parser = parse_pid)]
    pub(crate) pid: Option<u32>,

    /// Find the process to watch by this name (as `comm` or file name of the executable).
    #[arg(long, conflicts_with = "pid")]
    pub(crate) name: Option<String>,

    /// Port of the broker: its established connections are counted at a slow beat; without --pid and --name the
    /// process that listens on it is watched (role broker).
    #[arg(long, env = "PORT")]
    pub(crate) port: Option<u16>,

    /// Network interface; default: that of the default route, else lo.
    #[arg(long, env = "INTERFACE")]
    pub(crate) iface: Option<String>,

    /// How long to sample; default: until SIGINT or SIGTERM.
    #[arg(long, env = "DURATION_SEC", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,

    /// Distance of two samples.
    #[arg(long, env = "INTERVAL_SEC", default_value = "1s", value_parser = parse_interval)]
    pub(crate) interval: Duration,

    /// Distance of two looks at what is dear to read: PSS and the connections of the port; 0: never.
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    pub(crate) slow_interval: Duration,

    /// Free text that tells this run from its neighbours.
    #[arg(long, env = "EXP_TAG", default_value = "untagged")]
    pub(crate) tag: String,

    /// Where the run directory ROLE-TAG-UTC is made.
    #[arg(long, default_value = "runs")]
    pub(crate) out: PathBuf,

    /// Exactly this run directory, instead of one under --out.
    #[arg(long, conflicts_with = "out")]
    pub(crate) run_dir: Option<PathBuf>,

    /// Do not ask for real-time priority (SCHED_FIFO), which keeps samples on time when all cores are busy.
    #[arg(long)]
    pub(crate) no_realtime: bool,
}

fn parse_pid(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ if text.trim().is_empty() => {
            Err("it is empty: the process was not found, or PID is set to nothing".to_owned())
        }
        _ => Err(format!("{text:?} is no process id: it must be one number above 0")),
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if interval < INTERVAL_MIN {
        return Err(format!("{text:?} is too short: a sample takes up to a millisecond, so at least 10ms"));
    }
    Ok(interval)
}

/// A shorter interval would measure the collector.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn pids() {
        assert_eq!(parse_pid(" 42\n"), Ok(42));
        assert!(parse_pid("").unwrap_err().contains("empty"));
        assert!(parse_pid("1 2").unwrap_err().contains("no process id"));
        assert!(parse_pid("0").is_err());
    }
}
