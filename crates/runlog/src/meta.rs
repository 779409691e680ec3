//! What `meta.json` says of a run, and what the guide's `meta.txt` says.
//!
//! The manifests follow METHOD section 3: everything that a hostile reader could ask about the host and the target.
//! Every field has a default, so that older files stay readable and newer ones only say more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Context, Role, clock, host, secrets};

/// `meta.json`: who, where, what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Meta {
    /// Name of the tool that wrote the run.
    pub tool: String,
    /// Its version.
    pub version: String,
    /// The commit that it was built from, when known.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// SHA-256 of the tool's own executable, hex.
    #[serde(default)]
    pub binary_sha256: Option<String>,
    /// The command line, program first.
    #[serde(default)]
    pub argv: Vec<String>,
    /// The part that the host played.
    pub role: Role,
    /// Free text that tells this run from its neighbours.
    pub tag: String,
    /// The experiment that it belongs to, when a playbook started it.
    #[serde(default)]
    pub context: Option<Context>,
    /// Seed of everything random in the run.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The tool's settings as it understood them.
    #[serde(default)]
    pub config: Value,
    /// `CLOCK_REALTIME` at the start, ns.
    #[serde(default)]
    pub started_wall_ns: u64,
    /// `CLOCK_MONOTONIC` at the same moment, ns.
    #[serde(default)]
    pub started_mono_ns: u64,
    /// The machine.
    #[serde(default)]
    pub host: HostManifest,
    /// The target process; only of a collector that watches one.
    #[serde(default)]
    pub process: Option<ProcessManifest>,
}

impl Meta {
    /// The facts that hold for every tool: this host, this executable, this command line, this moment.
    /// Takes some milliseconds (it reads the kernel's settings and hashes the executable): call it before load begins.
    pub fn of_this_process(tool: &str, version: &str, role: Role, tag: &str, context: Option<Context>) -> Meta {
        Meta {
            tool: tool.to_owned(),
            version: version.to_owned(),
            git_commit: crate::GIT_COMMIT.map(str::to_owned),
            binary_sha256: host::file_sha256(std::path::Path::new("/proc/self/exe")),
            argv: secrets::without_secrets(std::env::args_os().map(|arg| arg.to_string_lossy().into_owned())),
            role,
            tag: tag.to_owned(),
            context,
            seed: None,
            config: Value::Null,
            started_wall_ns: clock::wall_ns(),
            started_mono_ns: clock::mono_ns(),
            host: host::manifest(),
            process: None,
        }
    }
}

/// The machine, at the start of a run. What could not be read is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostManifest {
    /// Host name.
    pub hostname: String,
    /// Kernel release and version.
    pub kernel: String,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// Machine architecture, such as `x86_64`.
    pub arch: String,
    /// Distribution, the `PRETTY_NAME` of `/etc/os-release`.
    pub os: Option<String>,
    /// CPU model.
    pub cpu_model: Option<String>,
    /// CPUs that are online.
    pub cpus: u64,
    /// CPUs that this process may use (affinity and cgroup's cpuset).
    pub cpus_allowed: Option<u64>,
    /// Physical cores and threads per core, as the kernel lists them: `cores` distinct (package, core) pairs.
    pub cores: Option<u64>,
    /// How the CPUs hang together.
    pub topology: Topology,
    /// Hypervisor as far as the firmware names it.
    pub hypervisor: Option<String>,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// Frequency driver of the first CPU, such as `intel_pstate`.
    pub cpufreq_driver: Option<String>,
    /// Microcode revision of the first CPU.
    pub microcode: Option<String>,
    /// Transparent huge pages: the choice in brackets is in force.
    pub huge_pages: Option<String>,
    /// Mitigations per known CPU weakness.
    pub mitigations: BTreeMap<String, String>,
    /// RAM, KiB.
    pub ram_kb: Option<u64>,
    /// Swap, KiB.
    pub swap_kb: Option<u64>,
    /// Bytes in a memory page.
    pub page_size: Option<u64>,
    /// Unit of the `_ticks` columns.
    pub clock_ticks_per_s: Option<u64>,
    /// The clock source in use, such as `tsc`.
    pub clock_source: Option<String>,
    /// Whether the kernel says that its clock is synchronised, and its own bound of the error.
    pub clock_sync: Option<ClockSync>,
    /// Identity of this boot.
    pub boot_id: Option<String>,
    /// Seconds since boot.
    pub uptime_s: Option<f64>,
    /// Load average over one minute.
    pub load1: Option<f64>,
    /// TCP sockets in `TIME_WAIT`: evidence of a clean slate.
    pub time_wait: Option<u64>,
    /// Tracked connections.
    pub conntrack: Option<u64>,
    /// Most that may be tracked.
    pub conntrack_max: Option<u64>,
    /// Network interfaces, without their addresses on foreign networks being resolved.
    pub interfaces: Vec<InterfaceManifest>,
    /// Limits of this tool's own process (`/proc/self/limits`): soft and hard.
    pub ulimits: BTreeMap<String, [String; 2]>,
    /// Every readable sysctl under `net`, `fs` and `vm`, dotted names.
    pub sysctls: BTreeMap<String, String>,
}

/// State of the kernel's clock discipline (adjtimex).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClockSync {
    /// Whether a daemon keeps the clock synchronised.
    pub synchronised: bool,
    /// The kernel's bound of the clock's error, us.
    pub max_error_us: Option<i64>,
    /// The kernel's estimate of the clock's error, us.
    pub estimated_error_us: Option<i64>,
    /// What is left to be corrected, us.
    pub offset_us: Option<f64>,
    /// Correction of the clock's frequency, parts per million.
    pub frequency_ppm: Option<f64>,
    /// Set flags of the clock's state, `STA_` names.
    pub flags: Vec<String>,
}

/// How the CPUs of a machine hang together (`/sys/devices/system/cpu`, `/sys/devices/system/node`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Topology {
    /// Sockets.
    pub packages: Option<u64>,
    /// Hardware threads of a physical core.
    pub threads_per_core: Option<u64>,
    /// CPUs of each NUMA node, as lists such as `0-3`.
    pub numa_nodes: BTreeMap<String, String>,
    /// Simultaneous multithreading: `on`, `off`, `notsupported`, ...
    pub smt: Option<String>,
    /// Caches of the first CPU: `L1 Data`, ... to size and the CPUs that share it.
    pub caches: BTreeMap<String, String>,
    /// CPUs that the kernel leaves out of its scheduling.
    pub isolated: Option<String>,
}

/// One network interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceManifest {
    /// Name, such as `eth0`.
    pub name: String,
    /// Bytes of the largest packet.
    pub mtu: Option<u64>,
    /// `up`, `down`, `unknown`.
    pub state: Option<String>,
    /// Mbit/s as the driver says.
    pub speed_mbit: Option<i64>,
    /// The driver's name.
    pub driver: Option<String>,
    /// Receive queues.
    pub rx_queues: Option<u64>,
    /// Send queues.
    pub tx_queues: Option<u64>,
    /// Addresses with prefix length.
    pub addresses: Vec<String>,
    /// Length of the driver's send queue, packets.
    pub tx_queue_len: Option<u64>,
    /// What the driver does for the kernel, by the kernel's names (`tx-tcp-segmentation`, `rx-gro`; `ethtool -k`).
    pub offloads: BTreeMap<String, bool>,
    /// Slots of the receive and send rings (`ethtool -g`).
    pub rings: Option<[u64; 2]>,
    /// Channels in use: receive, send, combined (`ethtool -l`).
    pub channels: Option<[u64; 3]>,
    /// Microseconds that an interrupt may be held back: receive, send (`ethtool -c`).
    pub coalesce_us: Option<[u64; 2]>,
    /// Driver's version, firmware and place on the bus (`ethtool -i`).
    pub driver_info: BTreeMap<String, String>,
    /// CPUs that receive packets are steered to, per queue, as masks, where set (RPS).
    pub rps_cpus: BTreeMap<String, String>,
}

/// The target process at the start of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessManifest {
    /// Process id.
    pub pid: u32,
    /// Path of the executable.
    pub exe: Option<String>,
    /// SHA-256 of the executable, hex.
    pub sha256: Option<String>,
    /// Version as the target says, when something asked it.
    pub version: Option<String>,
    /// Package and version that the executable came from, as the package manager's records say.
    pub package: Option<String>,
    /// Command line, program first.
    pub argv: Vec<String>,
    /// Start of the process, clock ticks since boot: tells two processes with one pid apart.
    pub start_ticks: Option<u64>,
    /// Start of the process, ns since 1970 (to a clock tick).
    pub started_wall_ns: Option<u64>,
    /// User id.
    pub uid: Option<u32>,
    /// Limits (`/proc/PID/limits`): soft and hard.
    pub ulimits: BTreeMap<String, [String; 2]>,
    /// Path in the cgroup hierarchy.
    pub cgroup: Option<String>,
    /// Limits of that cgroup, such as `memory.max`, where set and readable.
    pub cgroup_limits: BTreeMap<String, String>,
    /// CPUs that it may use, as a list such as `0-3`.
    pub cpus_allowed: Option<String>,
    /// Scheduling niceness.
    pub nice: Option<i64>,
    /// Environment; values that are secrets by their names or their form are blotted out.
    pub environment: BTreeMap<String, String>,
}

/// The guide's `meta.txt`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GuideMeta {
    /// Start, seconds since 1970.
    pub started_s: Option<u64>,
    /// Host name.
    pub hostname: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// CPUs.
    pub cpu_count: Option<u64>,
    /// The sysctls that the guide's script prints.
    pub sysctls: BTreeMap<String, String>,
    /// Everything as it stands in the file: key to value, long values with their line breaks.
    pub entries: BTreeMap<String, String>,
}

impl GuideMeta {
    /// Reads `key=value` lines; a key with an empty value takes the lines up to the next empty one or the next key.
    pub fn parse(text: &str) -> GuideMeta {
        let entries = guide_entries(text);
        let get = |key: &str| entries.get(key).cloned();
        let sysctls = entries.get("sysctl_selected").map(String::as_str).unwrap_or_default();
        let sysctls = sysctls.lines().filter_map(|line| line.split_once('='));
        GuideMeta {
            started_s: get("time_utc").and_then(|text| clock::parse_utc(&text)),
            hostname: get("hostname"),
            kernel: get("kernel"),
            cpu_count: get("cpu_count").and_then(|text| text.parse().ok()),
            sysctls: sysctls.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect(),
            entries,
        }
    }
}

fn guide_entries(text: &str) -> BTreeMap<String, String> {
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        let key = line.split_once('=').filter(|(key, _)| !key.is_empty() && key.bytes().all(is_key_byte));
        match (key, &block) {
            (Some((key, value)), _) => {
                block = value.is_empty().then(|| key.to_owned());
                entries.insert(key.to_owned(), value.to_owned());
            }
            (None, Some(_)) if line.trim().is_empty() => block = None,
            (None, Some(key)) => {
                let value = entries.get_mut(key).expect("a block is opened by inserting its key");
                value.push_str(line);
                value.push('\n');
            }
            (None, None) => {}
        }
    }
    entries
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_guides_script() {
        let text = "time_utc=2025-12-30T08:36:52Z\nhostname=h\nip_addr=\n1: lo: <UP> mtu=1\n    inet 127.0.0.1/8\n\n\
                    cpu_count=24\nsysctl_selected=\nnet.core.somaxconn = 65535\nnet.ipv4.tcp_rmem = 4096\t4194304\n";
        let meta = GuideMeta::parse(text);
        assert_eq!(
            (meta.started_s, meta.hostname.as_deref(), meta.cpu_count),
            (Some(1_767_083_812), Some("h"), Some(24))
        );
        assert_eq!(meta.entries["ip_addr"], "1: lo: <UP> mtu=1\n    inet 127.0.0.1/8\n");
        assert_eq!(meta.sysctls["net.ipv4.tcp_rmem"], "4096\t4194304");
        assert_eq!(meta.sysctls.len(), 2);
    }
}
