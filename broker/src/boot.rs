//! Start and stop: sockets, worker threads, signals.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::thread;

use anyhow::{Context, Result, bail};
use mio::net::TcpListener;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tracing::level_filters::LevelFilter;

use crate::config::Config;
use crate::dataplane::{self, Counters};

/// Connections that may wait to be accepted, per listener; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: u32 = 65_535;

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

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// An address that cannot be listened on, a thread that cannot be started, or a worker that fails.
pub(crate) fn serve(config: &Config) -> Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot catch signals")?;
    let files = netloop::limits::raise_open_files().context("cannot raise the limit of open files")?;
    let mut listeners: Vec<Vec<TcpListener>> = (0..config.workers).map(|_| Vec::new()).collect();
    for &address in &config.listen {
        let address = free_address(address)?;
        for of_worker in &mut listeners {
            let listener = netloop::socket::listen(address, BACKLOG);
            of_worker.push(listener.with_context(|| format!("cannot listen on {address}"))?);
        }
        tracing::info!("listening on {address}");
    }
    let (workers, stopper) = dataplane::build(&config.settings, listeners).context("cannot set up the workers")?;
    tracing::info!(workers = workers.len(), open_files = files, "broker {} started", env!("CARGO_PKG_VERSION"));
    let mut threads = Vec::new();
    for (id, worker) in workers.into_iter().enumerate() {
        let thread = thread::Builder::new().name(format!("worker-{id}")).spawn(move || worker.run());
        threads.push(thread.context("cannot start a worker thread")?);
    }
    if let Some(signal) = signals.forever().next() {
        tracing::info!(signal, "stopping");
    }
    stopper.stop();
    let mut total = Counters::default();
    for thread in threads {
        match thread.join() {
            Ok(counters) => total += counters.context("a worker failed")?,
            Err(_) => bail!("a worker panicked: this is a bug, please report it with the message above"),
        }
    }
    let counted: Vec<String> = total.iter().map(|(name, value)| format!("{name}={value}")).collect();
    tracing::info!("stopped: {}", counted.join(" "));
    Ok(())
}

/// The address with a port that nobody listens on. The workers share their port, and a port that may be shared can be
/// taken by a second broker unnoticed: so it is first asked for alone.
fn free_address(address: SocketAddr) -> Result<SocketAddr> {
    let alone = StdListener::bind(address).with_context(|| {
        format!("cannot listen on {address} (is another broker using the port? `ss -ltnp` shows who)")
    })?;
    alone.local_addr().context("cannot read the address of a listener")
}
