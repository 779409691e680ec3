//! The hosts of a step, as a step sees them: where processes are started, watched and stopped.
//!
//! [`Here`] is this machine, with or without network namespaces; hosts over SSH are another one.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use runlog::{Event, Run};
use serde_json::Value;

use super::child::{Child, Place};
use super::gates::time_wait;
use crate::netns::Network;
use crate::plan::{PlannedHost, PlannedStep, ProcessKind};

/// Where the processes of a step run. Paths are those of this machine, below the step's directory; a site whose hosts have
/// directories of their own maps them.
pub(crate) trait Site {
    /// A clean slate for a step: folders, configuration files, networks. An error means that the run cannot go on.
    fn begin(&mut self, step: &PlannedStep) -> Result<()>;

    /// The most sockets in TIME_WAIT that one of the hosts has; absent where that is not known.
    fn time_wait(&self) -> Option<u64>;

    /// Whether the hosts' networks were made for this step.
    fn is_fresh(&self) -> bool;

    /// Starts a process.
    fn start(&mut self, start: &Start<'_>) -> Result<Box<dyn Process>>;

    /// Whether a connection from a host to the address is accepted.
    fn accepts(&self, from: &str, address: &SocketAddr, limit: Duration) -> bool;

    /// All processes have ended: what they wrote is brought to the step's directory. `phases` are the marks of the step by our
    /// clocks.
    fn end(&mut self, step: &PlannedStep, phases: &[Event]) -> Result<()>;

    /// What a host's monotonic clock showed when ours showed this; known once the step is over.
    fn mono_ns_of(&self, host: &str, ours: u64) -> u64;

    /// What was found out about the hosts since the last call, for the events: a name, and details.
    fn findings(&mut self) -> Vec<(&'static str, Value)>;
}

/// A process to start.
pub(crate) struct Start<'a> {
    pub(crate) name: &'a str,
    /// Name of its host.
    pub(crate) host: &'a str,
    pub(crate) argv: &'a [String],
    pub(crate) env: &'a BTreeMap<String, String>,
    /// Its standard output and error.
    pub(crate) log: &'a str,
    /// Processors that it may use; empty: all.
    pub(crate) cpus: &'a [usize],
    /// What says that it is ready; absent: it is at once.
    pub(crate) watched: Option<Watched<'a>>,
}

/// A tool and the run directory in which it says that it is ready.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched<'a> {
    pub(crate) kind: ProcessKind,
    pub(crate) run_dir: &'a str,
}

impl Watched<'_> {
    /// A collector is ready when it has its first sample, a load when its events say so.
    pub(crate) fn is_ready(self) -> bool {
        // Opened before it exists: only the path counts here.
        let run = Run::open(self.run_dir);
        match self.kind {
            ProcessKind::Collector => run.raw().is_ok_and(|samples| samples.rows > 0),
            ProcessKind::Loadgen | ProcessKind::Prober => {
                run.events().is_ok_and(|events| events.value.iter().any(|event| event.name == READY))
            }
        }
    }
}

/// A process that was started. Dropping it kills it.
pub(crate) trait Process {
    /// Process id on its host.
    fn pid(&self) -> u32;

    /// How it ended, if it did.
    fn ended(&mut self) -> Option<ExitStatus>;

    /// Whether it does by now what it was started for.
    fn is_ready(&mut self) -> bool;

    /// Sends it a signal, if it is still there.
    fn signal(&mut self, signal: Signal);

    /// The end of its log, for an error message.
    fn last_words(&self) -> String;

    /// Its whole log.
    fn output(&self) -> String;
}

/// This machine.
#[derive(Default)]
pub(crate) struct Here<'a> {
    /// Hosts with networks of their own; empty: everything on loopback.
    pub(crate) hosts: &'a [PlannedHost],
    network: Option<Network>,
}

impl<'a> Here<'a> {
    /// With these hosts as network namespaces.
    pub(crate) fn with_hosts(hosts: &'a [PlannedHost]) -> Self {
        Self { hosts, network: None }
    }
}

impl Site for Here<'_> {
    fn begin(&mut self, step: &PlannedStep) -> Result<()> {
        // A network of its own: a clean slate, and no port in TIME_WAIT.
        self.network = if self.hosts.is_empty() { None } else { Some(Network::make(self.hosts)?) };
        let files = step.broker.files.iter();
        let paths = files.map(|file| &file.path).chain([&step.broker.log]).map(Path::new);
        for folder in paths.filter_map(Path::parent) {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        for file in &step.broker.files {
            std::fs::write(&file.path, &file.text).with_context(|| format!("cannot write {}", file.path))?;
        }
        Ok(())
    }

    fn time_wait(&self) -> Option<u64> {
        let Some(network) = &self.network else { return time_wait() };
        self.hosts.iter().filter_map(|host| network.on(&host.name, time_wait).ok().flatten()).max()
    }

    fn is_fresh(&self) -> bool {
        self.network.is_some()
    }

    fn start(&mut self, start: &Start<'_>) -> Result<Box<dyn Process>> {
        let namespace = self.network.as_ref().map(|network| network.host(start.host)).transpose()?;
        let place = Place { namespace, cpus: start.cpus };
        let child = Child::start(start.argv, start.env, Path::new(start.log), &place)?;
        let watched = start.watched.map(|watched| (watched.kind, watched.run_dir.to_owned()));
        Ok(Box::new(Watcher { child, watched }))
    }

    fn accepts(&self, from: &str, address: &SocketAddr, limit: Duration) -> bool {
        match &self.network {
            Some(network) => network.accepts(from, address, limit),
            None => TcpStream::connect_timeout(address, limit).is_ok(),
        }
    }

    fn end(&mut self, _: &PlannedStep, _: &[Event]) -> Result<()> {
        self.network = None;
        Ok(())
    }

    fn mono_ns_of(&self, _: &str, ours: u64) -> u64 {
        ours
    }

    fn findings(&mut self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
}

/// A child of ours, and what says that it is ready.
struct Watcher {
    child: Child,
    watched: Option<(ProcessKind, String)>,
}

impl Process for Watcher {
    fn pid(&self) -> u32 {
        self.child.pid()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.ended()
    }

    fn is_ready(&mut self) -> bool {
        self.watched.as_ref().is_none_or(|(kind, run_dir)| Watched { kind: *kind, run_dir }.is_ready())
    }

    fn signal(&mut self, signal: Signal) {
        self.child.signal(signal);
    }

    fn last_words(&self) -> String {
        self.child.last_words()
    }

    fn output(&self) -> String {
        self.child.output()
    }
}

/// The event by which a load tool says that all its clients are connected, and subscribed if they are to be.
const READY: &str = "ready";
