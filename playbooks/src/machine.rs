//! What this machine allows.

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Pid, Uid, User};

/// Limits and identity that a plan depends on.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    /// Hard limit of open files of one process.
    pub(crate) files_max: u64,
    /// Processors that we may use; empty where that is not known.
    pub(crate) cpus: Vec<usize>,
    /// Who runs this.
    pub(crate) user: String,
}

impl Machine {
    /// Reads the limits, and raises the soft limit of open files to the hard one, which children inherit.
    pub(crate) fn look() -> Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read RLIMIT_NOFILE")?;
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
                .with_context(|| format!("cannot raise RLIMIT_NOFILE from {soft} to {hard}"))?;
        }
        let uid = Uid::effective();
        let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        Ok(Self { files_max: hard, cpus: cpus(), user })
    }

    /// A virtual machine of ours, where root may open as many files as we say.
    pub(crate) fn virtual_machine() -> Self {
        Self { files_max: crate::vm::guest::FILES_MAX, cpus: Vec::new(), user: "root".into() }
    }

    /// Connections that one process can hold beside the files that it needs for itself.
    pub(crate) fn connections_max(&self) -> u64 {
        self.files_max.saturating_sub(FILES_RESERVED).max(1)
    }
}

fn cpus() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).collect()
}

/// Listeners, pollers, logs, libraries being loaded: far below this for every broker that we know.
const FILES_RESERVED: u64 = 500;
