//! Finding the interface and the process to watch.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, bail};
use procfs::net::RouteEntries;
use procfs::prelude::FromRead;
use runlog::columns::{self, interface_column};

use crate::sockdiag;

/// The interface that was asked for, or that of the default route, or `lo`.
pub(crate) fn interface(asked: Option<&str>) -> Result<String> {
    let name = asked.map(str::to_owned).or_else(default_route).unwrap_or_else(|| "lo".to_owned());
    if name.contains('/') || !Path::new("/sys/class/net").join(&name).is_dir() {
        let mut present = directory_names("/sys/class/net").context("cannot list network interfaces")?;
        present.sort();
        bail!("no network interface {name:?} on this host; it has: {}", present.join(", "));
    }
    Ok(name)
}

/// The other interfaces of this host, as far as a file can have columns for them.
pub(crate) fn further_interfaces(iface: &str) -> Result<Vec<String>> {
    let mut names = directory_names("/sys/class/net").context("cannot list network interfaces")?;
    let has_columns = |name: &str| interface_column(name, columns::RX_BYTES).is_some();
    names.retain(|name| name != iface && has_columns(name) && Path::new("/sys/class/net").join(name).is_dir());
    names.sort();
    if names.len() > INTERFACES_MAX {
        eprintln!("collector: {} further interfaces; only the first {INTERFACES_MAX} get columns", names.len());
        names.truncate(INTERFACES_MAX);
    }
    Ok(names)
}

/// A host of many containers has hundreds of interfaces: rows of a bounded length.
const INTERFACES_MAX: usize = 32;

/// Checks that a process exists.
pub(crate) fn check_pid(pid: u32) -> Result<u32> {
    match fs::metadata(format!("/proc/{pid}")) {
        Ok(_) => Ok(pid),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("no process {pid} on this host: start the target first and give its process id with --pid")
        }
        Err(error) => Err(error).with_context(|| format!("cannot look at process {pid}")),
    }
}

/// The one process of this name that is not a child of another of the same name.
pub(crate) fn by_name(name: &str) -> Result<u32> {
    let mut matching = Vec::new();
    for pid in pids()? {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
        let file_name = exe.as_ref().and_then(|exe| exe.file_name()).map(|name| name.to_string_lossy().into_owned());
        if pid != std::process::id() && (comm.trim_end() == name || file_name.as_deref() == Some(name)) {
            matching.push((pid, parent(pid)));
        }
    }
    let roots = matching.iter().filter(|(_, parent)| !matching.iter().any(|(pid, _)| Some(*pid) == *parent));
    match roots.map(|(pid, _)| *pid).collect::<Vec<u32>>().as_slice() {
        [pid] => Ok(*pid),
        [] => {
            bail!("no process named {name:?} on this host: start the target first, or give its process id with --pid")
        }
        several => bail!("several processes are named {name:?}: {several:?}; choose one with --pid"),
    }
}

/// The process that listens on a TCP port.
pub(crate) fn by_port(port: u16) -> Result<u32> {
    let inodes = sockdiag::listening_inodes(port)
        .with_context(|| format!("cannot ask the kernel who listens on port {port}"))?;
    if inodes.is_empty() {
        bail!(
            "nothing listens on TCP port {port} of this host: start the target first, or give its process id with --pid"
        );
    }
    let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut owners: Vec<u32> = pids()?.into_iter().filter(|&pid| owns_one(pid, &links)).collect();
    // A listener may be shared with children: the oldest ancestor stands for all of them.
    let all = owners.clone();
    owners.retain(|&pid| parent(pid).is_none_or(|parent| !all.contains(&parent)));
    match owners.as_slice() {
        [pid] => Ok(*pid),
        [] => bail!(
            "the process that listens on TCP port {port} cannot be seen: run as its user or as root, or give --pid"
        ),
        several => bail!("several processes listen on TCP port {port}: {several:?}; choose one with --pid"),
    }
}

fn owns_one(pid: u32, links: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.into_iter().any(|target| links.iter().any(|link| target == Path::new(link)))
}

fn parent(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn pids() -> Result<Vec<u32>> {
    let names = directory_names("/proc").context("cannot list processes")?;
    Ok(names.into_iter().filter_map(|name| name.parse().ok()).collect())
}

fn directory_names(path: &str) -> std::io::Result<Vec<String>> {
    Ok(fs::read_dir(path)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn default_route() -> Option<String> {
    let routes = RouteEntries::from_read(fs::File::open("/proc/net/route").ok()?).ok()?.0;
    let defaults = routes.into_iter().filter(|route| route.destination.is_unspecified() && route.mask.is_unspecified());
    defaults.min_by_key(|route| route.metrics).map(|route| route.iface)
}
