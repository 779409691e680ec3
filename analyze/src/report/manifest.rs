//! Where figures come from: hosts, tools, command lines and every file with its size and hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use runlog::{HostManifest, Meta};
use serde::Serialize;

use super::experiment::Experiment;

/// Hosts, tools and files of an experiment.
#[derive(Debug, Default, Serialize)]
pub struct Manifest {
    /// The machines, each once.
    pub hosts: Vec<Host>,
    /// Whether broker, load and probes ran on one machine.
    pub is_shared_host: bool,
    /// The tools, each version once.
    pub tools: Vec<Tool>,
    /// One command line per run directory.
    pub commands: Vec<Command>,
    /// Every file of the experiment.
    pub files: Vec<File>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Host {
    /// The roles that it played.
    pub roles: Vec<String>,
    /// What it said of itself at the first run.
    #[serde(flatten)]
    pub manifest: HostManifest,
}

/// A tool and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Tool {
    /// Name.
    pub tool: String,
    /// Version.
    pub version: String,
    /// Commit, when known.
    pub git_commit: Option<String>,
    /// SHA-256 of the executable.
    pub binary_sha256: Option<String>,
}

/// How a run was started.
#[derive(Debug, Clone, Serialize)]
pub struct Command {
    /// The run directory, below the experiment's.
    pub run: String,
    /// The command line.
    pub argv: String,
    /// The seed of everything random.
    pub seed: Option<u64>,
}

/// A file of the experiment.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    /// Path below the experiment's directory.
    pub path: String,
    /// Bytes.
    pub bytes: u64,
    /// SHA-256, hex; absent when the file could not be read.
    pub sha256: Option<String>,
}

impl Manifest {
    /// Collects what the runs say, and hashes every file below the experiment's directory that no report is.
    pub fn of(experiment: &Experiment) -> Self {
        let runs = || experiment.points.iter().flat_map(super::experiment::Point::runs);
        let metas = || runs().filter_map(|run| run.meta.as_ref());
        let tools: BTreeSet<Tool> = metas().map(Tool::of).collect();
        let mut commands: Vec<Command> = runs()
            .filter_map(|run| {
                let meta = run.meta.as_ref()?;
                Some(Command { run: below(&experiment.dir, &run.path), argv: meta.argv.join(" "), seed: meta.seed })
            })
            .collect();
        commands.sort_by(|a, b| a.run.cmp(&b.run));
        let hosts = hosts(metas());
        let is_shared_host = hosts.len() == 1 && hosts[0].roles.len() > 1;
        let mut files = Vec::new();
        list_files(&experiment.dir, &experiment.dir, &mut files);
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self { hosts, is_shared_host, tools: tools.into_iter().collect(), commands, files }
    }
}

impl Tool {
    fn of(meta: &Meta) -> Self {
        Self {
            tool: meta.tool.clone(),
            version: meta.version.clone(),
            git_commit: meta.git_commit.clone(),
            binary_sha256: meta.binary_sha256.clone(),
        }
    }
}

impl Host {
    /// Name and value of the facts that a reader asks for first.
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let host = &self.manifest;
        let count = |value: Option<u64>| value.map(|v| v.to_string());
        let limit = host.ulimits.get("Max open files").map(|[soft, hard]| format!("{soft} (hard {hard})"));
        let sync = host.clock_sync.as_ref().map(|sync| match (sync.synchronised, sync.max_error_us) {
            (true, Some(us)) => format!("synchronised, error at most {us} µs"),
            (true, None) => "synchronised".to_owned(),
            (false, _) => "not synchronised".to_owned(),
        });
        [
            ("Roles", Some(self.roles.join(", "))),
            ("Host name", Some(host.hostname.clone())),
            ("CPU", host.cpu_model.clone()),
            ("CPUs online", Some(host.cpus.to_string())),
            ("CPUs that the tools may use", count(host.cpus_allowed)),
            ("Physical cores", count(host.cores)),
            ("RAM", host.ram_kb.map(|kb| super::format::bytes(kb * 1024))),
            ("Kernel", Some(host.kernel.clone())),
            ("System", host.os.clone()),
            ("Hypervisor", host.hypervisor.clone()),
            ("Frequency governor", host.governor.clone()),
            ("Clock source", host.clock_source.clone()),
            ("Clock", sync),
            ("Boot id", host.boot_id.clone()),
            ("Uptime at the first run", host.uptime_s.map(|s| format!("{s:.0} s"))),
            ("Load average at the first run", host.load1.map(|load| load.to_string())),
            ("Sockets in TIME_WAIT at the first run", count(host.time_wait)),
            ("Open files allowed to the tools", limit),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|v| !v.is_empty())?)))
        .collect()
    }

    /// The sysctls by which a result is most easily bent.
    pub fn sysctls(&self) -> Vec<(&str, &str)> {
        let value = |name: &'static str| Some((name, self.manifest.sysctls.get(name)?.as_str()));
        SYSCTLS.into_iter().filter_map(value).collect()
    }
}

/// One entry per boot of a machine; the roles are those of all its runs.
fn hosts<'a>(metas: impl Iterator<Item = &'a Meta>) -> Vec<Host> {
    let mut by_boot: BTreeMap<(String, String), (u64, Host)> = BTreeMap::new();
    for meta in metas {
        let key = (meta.host.hostname.clone(), meta.host.boot_id.clone().unwrap_or_default());
        let new = || (meta.started_wall_ns, Host { roles: Vec::new(), manifest: meta.host.clone() });
        let (first_ns, host) = by_boot.entry(key).or_insert_with(new);
        if meta.started_wall_ns < *first_ns {
            *first_ns = meta.started_wall_ns;
            host.manifest = meta.host.clone();
        }
        let role = meta.role.to_string();
        if !host.roles.contains(&role) {
            host.roles.push(role);
            host.roles.sort();
        }
    }
    by_boot.into_values().map(|(_, host)| host).collect()
}

fn list_files(root: &Path, dir: &Path, files: &mut Vec<File>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let (path, kind) = (entry.path(), entry.file_type());
        match kind {
            Ok(kind) if kind.is_dir() => list_files(root, &path, files),
            Ok(kind) if kind.is_file() && !is_report(root, &path) => files.push(File {
                path: below(root, &path),
                bytes: entry.metadata().map_or(0, |metadata| metadata.len()),
                sha256: runlog::host::file_sha256(&path),
            }),
            _ => {}
        }
    }
}

/// Reports are made from the data and are none.
fn is_report(root: &Path, path: &Path) -> bool {
    path.parent() == Some(root)
        && path.file_stem().is_some_and(|stem| stem == super::REPORT_STEM)
        && path.extension().is_some_and(|extension| super::REPORT_EXTENSIONS.iter().any(|known| extension == *known))
}

fn below(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).map_or_else(|_| path.to_owned(), PathBuf::from).display().to_string()
}

const SYSCTLS: [&str; 10] = [
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_tw_reuse",
    "net.core.netdev_max_backlog",
    "fs.file-max",
    "fs.nr_open",
];
