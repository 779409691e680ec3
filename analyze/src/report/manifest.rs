//! Where figures come from: hosts, tools, command lines and every file with its size and hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use runlog::{HostManifest, Meta, Run};
use serde::Serialize;

use super::experiment::Experiment;
use super::text::Text;

/// Hosts, tools and files of an experiment.
#[derive(Debug, Default, Serialize)]
pub struct Manifest {
    /// The machines, each once.
    pub hosts: Vec<Host>,
    /// Whether broker, load and probes ran on one machine.
    pub is_shared_host: bool,
    /// The tools, each version once.
    pub tools: Vec<Tool>,
    /// One command line per run directory that has one.
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
    /// The commit that the tool was built from, when known.
    pub git_commit: Option<String>,
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
                let run = below(&experiment.dir, &run.path);
                Some(Command { run, argv: meta.argv.join(" "), seed: meta.seed, git_commit: meta.git_commit.clone() })
            })
            .collect();
        commands.sort_by(|a, b| a.run.cmp(&b.run));
        let hosts = hosts(runs());
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
    /// Name and value of the facts that a reader asks for first; without a value where it was not recorded.
    pub fn facts(&self) -> Vec<(Text, Option<String>)> {
        let host = &self.manifest;
        let count = |value: Option<u64>| value.map(|v| v.to_string());
        let limit = host.ulimits.get("Max open files").map(|[soft, hard]| format!("{soft} (hard {hard})"));
        let sync = host.clock_sync.as_ref().map(|sync| match (sync.synchronised, sync.max_error_us) {
            (true, Some(us)) => format!("synchronised, error at most {us} µs"),
            (true, None) => "synchronised".to_owned(),
            (false, _) => "not synchronised".to_owned(),
        });
        [
            (Text::pair("Roles", "角色"), Some(self.roles.join(", "))),
            (Text::pair("Host name", "主机名"), Some(host.hostname.clone())),
            (Text::pair("CPU", "CPU"), host.cpu_model.clone()),
            (Text::pair("CPUs online", "在线 CPU 数"), Some(host.cpus.to_string()).filter(|_| host.cpus > 0)),
            (Text::pair("CPUs that the tools may use", "工具可用的 CPU 数"), count(host.cpus_allowed)),
            (Text::pair("Physical cores", "物理核数"), count(host.cores)),
            (Text::pair("RAM", "内存"), host.ram_kb.map(|kb| super::format::bytes(kb * 1024))),
            (Text::pair("Kernel", "内核"), Some(host.kernel.clone())),
            (Text::pair("System", "操作系统"), host.os.clone()),
            (Text::pair("Hypervisor", "虚拟化"), host.hypervisor.clone()),
            (Text::pair("Frequency governor", "调频策略"), host.governor.clone()),
            (Text::pair("Clock source", "时钟源"), host.clock_source.clone()),
            (Text::pair("Clock", "时钟同步"), sync),
            (Text::pair("Boot id", "启动标识"), host.boot_id.clone()),
            (Text::pair("Uptime at the first run", "首次运行时的开机时长"), host.uptime_s.map(|s| format!("{s:.0} s"))),
            (Text::pair("Tracked connections at the first run", "首次运行时的连接跟踪数"), count(host.conntrack)),
            (
                Text::pair("Load average at the first run", "首次运行时的平均负载"),
                host.load1.map(|load| load.to_string()),
            ),
            (
                Text::pair("Sockets in TIME_WAIT at the first run", "首次运行时 TIME_WAIT 套接字数"),
                count(host.time_wait),
            ),
            (Text::pair("Open files allowed to the tools", "工具允许的打开文件数"), limit),
        ]
        .into_iter()
        .map(|(name, value)| (name, value.filter(|v| !v.is_empty())))
        .collect()
    }

    /// The sysctls by which a result is most easily bent.
    pub fn sysctls(&self) -> Vec<(&str, &str)> {
        let value = |name: &'static str| Some((name, self.manifest.sysctls.get(name)?.as_str()));
        SYSCTLS.into_iter().filter_map(value).collect()
    }
}

/// One entry per boot of a machine, or host of the experiment; the roles are those of all its runs.
fn hosts<'a>(runs: impl Iterator<Item = &'a Run>) -> Vec<Host> {
    let mut by_boot: BTreeMap<(String, String), (u64, Host)> = BTreeMap::new();
    for run in runs {
        let Some(manifest) = run.meta.as_ref().map(|meta| meta.host.clone()).or_else(|| guide_host(run)) else {
            continue;
        };
        let started = run.utc.unwrap_or(u64::MAX);
        let named = run.context.as_ref().and_then(|context| context.host.clone());
        let name = named.unwrap_or_else(|| manifest.hostname.clone());
        let key = (name, manifest.boot_id.clone().unwrap_or_default());
        let new = || (started, Host { roles: Vec::new(), manifest: manifest.clone() });
        let (first, host) = by_boot.entry(key).or_insert_with(new);
        if started < *first {
            *first = started;
            host.manifest = manifest;
        }
        let role = run.role.to_string();
        if !host.roles.contains(&role) {
            host.roles.push(role);
            host.roles.sort();
        }
    }
    by_boot.into_values().map(|(_, host)| host).collect()
}

/// What the guide's script wrote down of its host.
fn guide_host(run: &Run) -> Option<HostManifest> {
    let meta = run.guide_meta.as_ref()?;
    Some(HostManifest {
        hostname: meta.hostname.clone().unwrap_or_default(),
        kernel: meta.kernel.clone().unwrap_or_default(),
        cpus: meta.cpu_count.unwrap_or_default(),
        sysctls: meta.sysctls.clone(),
        ..HostManifest::default()
    })
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

/// Reports are made from the data and are none; nor are the rates that `analyze` derives from it.
fn is_report(root: &Path, path: &Path) -> bool {
    let is_form = |extension: &std::ffi::OsStr| super::REPORT_EXTENSIONS.iter().any(|known| extension == *known);
    let is_page = path.parent() == Some(root)
        && path.file_stem().is_some_and(|stem| stem == super::REPORT_STEM)
        && path.extension().is_some_and(is_form);
    is_page || path.starts_with(root.join(super::charts_dir_name(super::REPORT_STEM)))
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
