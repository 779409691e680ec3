//! The command line. Each setting of the guide's scripts keeps its environment variable as a fallback.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use runlog::Role;
use runlog::clock::parse_duration;

/// What a run of samples is told.
#[derive(Debug, ClapArgs)]
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

    /// Version of the target, as it was found out by whoever started it.
    #[arg(long, value_name = "TEXT")]
    pub(crate) target_version: Option<String>,

    /// Measure how late an ordinary thread is woken that wants to run this often, such as 10ms.
    #[arg(long, value_name = "PERIOD", value_parser = parse_canary)]
    pub(crate) canary: Option<Duration>,

    /// Serve a TCP echo on this port of all addresses, for `prober --floor HOST:PORT`; 0: any free port, which is printed.
    #[arg(long, value_name = "PORT")]
    pub(crate) echo: Option<u16>,

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

fn parse_canary(text: &str) -> Result<Duration, String> {
    let period = parse_duration(text)?;
    if period < CANARY_MIN || period > CANARY_MAX {
        return Err(format!("{text:?} is no period for a canary: it must lie between 100us and 1s"));
    }
    Ok(period)
}

/// A shorter period would load the host that is observed; a longer one sees nothing.
const CANARY_MIN: Duration = Duration::from_micros(100);
const CANARY_MAX: Duration = Duration::from_secs(1);

/// A shorter interval would measure the collector.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pids() {
        assert_eq!(parse_pid(" 42\n"), Ok(42));
        assert!(parse_pid("").unwrap_err().contains("empty"));
        assert!(parse_pid("1 2").unwrap_err().contains("no process id"));
        assert!(parse_pid("0").is_err());
    }
}
