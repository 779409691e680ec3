//! Start and stop: sockets, worker threads, signals.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mio::net::TcpListener;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use tracing::level_filters::LevelFilter;

use crate::config::Config;
use crate::dataplane::{self, Counters, Crew, CrewError, Gauges};

/// Connections that may wait to be accepted, per listener; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 65_535;

/// How long a report waits for each worker.
const REPORT_PATIENCE: Duration = Duration::from_secs(2);

/// Logs to stderr: warnings and the course of things, more with each `verbose`.
pub(crate) fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::INFO,
        1 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
        .with_target(false)
        .init();
}

/// Serves until SIGTERM or SIGINT. On SIGUSR1 it logs what was counted and what is held.
///
/// # Errors
/// An address that cannot be listened on, a thread that cannot be started, or a worker that fails.
pub(crate) fn serve(config: &Config) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1]).context("cannot catch signals")?;
    let files = netloop::limits::raise_open_files().context("cannot raise the limit of open files")?;
    netloop::limits::reserve_open_files(files).context("cannot reserve descriptors")?;
    let mut listeners: Vec<Vec<TcpListener>> = (0..config.workers).map(|_| Vec::new()).collect();
    for &address in &config.listen {
        let address = free_address(address)?;
        for of_worker in &mut listeners {
            let listener = netloop::socket::listen(address, BACKLOG);
            of_worker.push(listener.with_context(|| format!("cannot listen on {address}"))?);
        }
        tracing::info!("listening on {address}");
    }
    let workers = dataplane::build(&config.settings, listeners).context("cannot set up the workers")?;
    tracing::info!(workers = workers.len(), open_files = files, "broker {} started", env!("CARGO_PKG_VERSION"));
    let crew = Crew::start(workers, config.settings.spread).context("cannot start a worker thread")?;
    for signal in signals.forever() {
        if signal != SIGUSR1 {
            tracing::info!(signal, "stopping");
            break;
        }
        report(&crew);
    }
    let total = match crew.stop() {
        Ok(total) => total,
        Err(CrewError::Failed(error)) => return Err(error).context("a worker failed"),
        Err(CrewError::Panicked) => bail!("a worker panicked: this is a bug, please report it with the message above"),
    };
    tracing::info!("stopped: {}", listed(total.iter()));
    Ok(())
}

/// Logs the sums over all workers.
fn report(crew: &Crew) {
    let (mut total, mut held) = (Counters::default(), Gauges::default());
    let answers = crew.ask();
    for _ in 0..crew.len() {
        let Ok((counters, gauges)) = answers.recv_timeout(REPORT_PATIENCE) else {
            tracing::warn!("a worker has not answered within {REPORT_PATIENCE:?}: no report");
            return;
        };
        total += counters;
        held += gauges;
    }
    let memory = [("memory_bytes", crate::memory::in_use_bytes() as u64)];
    tracing::info!("report: {}", listed(held.iter().chain(memory).chain(total.iter())));
}

fn listed(figures: impl Iterator<Item = (&'static str, u64)>) -> String {
    figures.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// The address with a port that nobody listens on. The workers share their port, and a port that may be shared can be
/// taken by a second broker unnoticed: so it is first asked for alone.
fn free_address(address: SocketAddr) -> Result<SocketAddr> {
    let alone = StdListener::bind(address).with_context(|| {
        format!("cannot listen on {address} (is another broker using the port? `ss -ltnp` shows who)")
    })?;
    alone.local_addr().context("cannot read the address of a listener")
}
