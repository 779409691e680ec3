//! Fills the [`HostManifest`] of this machine from `/proc`, `/sys` and `/etc`.
//!
//! Nothing here fails: what this kernel or container does not show is left out of the manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::ethtool;
use crate::meta::{ClockSync, HostManifest, InterfaceManifest, Topology};

/// The manifest of this machine as it is now. Takes some milliseconds.
pub fn manifest() -> HostManifest {
    let cpuinfo = text("/proc/cpuinfo").unwrap_or_default();
    let meminfo = text("/proc/meminfo").unwrap_or_default();
    HostManifest {
        hostname: text("/proc/sys/kernel/hostname").unwrap_or_default(),
        kernel: [text("/proc/sys/kernel/osrelease"), text("/proc/sys/kernel/version")]
            .map(Option::unwrap_or_default)
            .join(" "),
        cmdline: text("/proc/cmdline"),
        arch: std::env::consts::ARCH.to_owned(),
        os: text("/etc/os-release").and_then(|text| os_name(&text)),
        cpu_model: key_value(&cpuinfo, "model name").or_else(|| key_value(&cpuinfo, "Model")),
        cpus: cpu_list_len(&text("/sys/devices/system/cpu/online").unwrap_or_default()).unwrap_or(1),
        cpus_allowed: std::thread::available_parallelism().ok().map(|count| count.get() as u64),
        cores: physical_cores(&cpuinfo),
        topology: topology(),
        hypervisor: hypervisor(&cpuinfo),
        governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        cpufreq_driver: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_driver"),
        microcode: key_value(&cpuinfo, "microcode"),
        huge_pages: text("/sys/kernel/mm/transparent_hugepage/enabled"),
        mitigations: directory_texts("/sys/devices/system/cpu/vulnerabilities"),
        ram_kb: kilobytes(&meminfo, "MemTotal"),
        swap_kb: kilobytes(&meminfo, "SwapTotal"),
        page_size: sysconf(nix::unistd::SysconfVar::PAGE_SIZE),
        clock_ticks_per_s: sysconf(nix::unistd::SysconfVar::CLK_TCK),
        clock_source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        clock_sync: clock_sync(),
        boot_id: boot_id(),
        uptime_s: text("/proc/uptime").and_then(|text| text.split(' ').next()?.parse().ok()),
        load1: text("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok()),
        time_wait: text("/proc/net/sockstat").and_then(|text| time_wait(&text)),
        conntrack: text("/proc/sys/net/netfilter/nf_conntrack_count").and_then(|text| text.parse().ok()),
        conntrack_max: text("/proc/sys/net/netfilter/nf_conntrack_max").and_then(|text| text.parse().ok()),
        interfaces: interfaces(),
        ulimits: text("/proc/self/limits").map(|text| limits(&text)).unwrap_or_default(),
        sysctls: sysctls(),
    }
}

/// What tells this start of the kernel from every other.
pub fn boot_id() -> Option<String> {
    text("/proc/sys/kernel/random/boot_id")
}

/// SHA-256 of a file, hex; `None` when it cannot be read.
pub fn file_sha256(path: &Path) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let mut digest = Sha256::new();
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => break,
            read => digest.update(&chunk[..read]),
        }
    }
    Some(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The text of `/proc/PID/limits` as name to (soft, hard).
pub fn limits(text: &str) -> BTreeMap<String, [String; 2]> {
    // The columns are padded: the header says where each begins.
    let Some(header) = text.lines().next() else { return BTreeMap::new() };
    let (Some(soft), Some(hard)) = (header.find("Soft Limit"), header.find("Hard Limit")) else {
        return BTreeMap::new();
    };
    let units = header.find("Units").unwrap_or(header.len());
    let cell =
        |line: &str, from: usize, to: usize| line.get(from..to.min(line.len())).unwrap_or_default().trim().to_owned();
    let row = |line: &str| (cell(line, 0, soft), [cell(line, soft, hard), cell(line, hard, units)]);
    text.lines().skip(1).map(row).collect()
}

fn clock_sync() -> Option<ClockSync> {
    // SAFETY: `timex` is plain old data for which all zeros is a valid value, and `modes` 0 asks to change nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, exclusively borrowed `timex`.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    let synchronised = state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0;
    let us_per_offset = if timex.status & libc::STA_NANO == 0 { 1.0 } else { 1e-3 };
    let flags = CLOCK_FLAGS.iter().filter(|(flag, _)| timex.status & flag != 0);
    (state >= 0).then(|| ClockSync {
        synchronised,
        max_error_us: Some(timex.maxerror),
        estimated_error_us: Some(timex.esterror),
        offset_us: Some(timex.offset as f64 * us_per_offset),
        // Scaled by 2^16 (adjtimex(2)).
        frequency_ppm: Some(timex.freq as f64 / 65_536.0),
        flags: flags.map(|(_, name)| (*name).to_owned()).collect(),
    })
}

fn topology() -> Topology {
    let cpu = Path::new("/sys/devices/system/cpu");
    let of_cpus = |file: &str| -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(cpu) else { return BTreeSet::new() };
        entries.flatten().filter_map(|entry| text(entry.path().join("topology").join(file))).collect()
    };
    let packages = of_cpus("physical_package_id").len() as u64;
    let siblings = text(cpu.join("cpu0/topology/thread_siblings_list"));
    let nodes = fs::read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    let node = |entry: fs::DirEntry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        Some((name, text(entry.path().join("cpulist"))?))
    };
    let caches = fs::read_dir(cpu.join("cpu0/cache")).into_iter().flatten().flatten();
    let cache = |entry: fs::DirEntry| {
        let read = |file: &str| text(entry.path().join(file));
        let shared = read("shared_cpu_list").map(|cpus| format!(", CPUs {cpus}")).unwrap_or_default();
        Some((format!("L{} {}", read("level")?, read("type")?), format!("{}{shared}", read("size")?)))
    };
    Topology {
        packages: (packages > 0).then_some(packages),
        threads_per_core: siblings.as_deref().and_then(cpu_list_len),
        numa_nodes: nodes.filter_map(node).collect(),
        smt: text(cpu.join("smt/control")),
        caches: caches.filter_map(cache).collect(),
        isolated: text(cpu.join("isolated")).filter(|list| !list.is_empty()),
    }
}

fn interfaces() -> Vec<InterfaceManifest> {
    let Ok(entries) = fs::read_dir("/sys/class/net") else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let addresses = addresses();
    names
        .into_iter()
        .filter(|name| Path::new("/sys/class/net").join(name).is_dir())
        .map(|name| interface(name, &addresses))
        .collect()
}

fn interface(name: String, addresses: &[(String, String)]) -> InterfaceManifest {
    let directory = Path::new("/sys/class/net").join(&name);
    let read = |file: &str| text(directory.join(file));
    let queues = |prefix: &str| {
        let entries = fs::read_dir(directory.join("queues")).ok()?;
        Some(entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)).count() as u64)
    };
    let driver = fs::read_link(directory.join("device/driver")).ok();
    let driver = driver.and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    let said = ethtool::ask(&name);
    let steered = |entry: fs::DirEntry| {
        let mask = text(entry.path().join("rps_cpus"))?;
        let is_set = mask.bytes().any(|byte| !matches!(byte, b'0' | b','));
        is_set.then(|| (entry.file_name().to_string_lossy().into_owned(), mask))
    };
    let queue_entries = fs::read_dir(directory.join("queues")).into_iter().flatten().flatten();
    InterfaceManifest {
        mtu: read("mtu").and_then(|text| text.parse().ok()),
        state: read("operstate"),
        speed_mbit: read("speed").and_then(|text| text.parse().ok()),
        driver: driver.or_else(|| said.driver_info.get("driver").cloned()),
        rx_queues: queues("rx-"),
        tx_queues: queues("tx-"),
        addresses: addresses.iter().filter(|(of, _)| *of == name).map(|(_, address)| address.clone()).collect(),
        tx_queue_len: read("tx_queue_len").and_then(|text| text.parse().ok()),
        offloads: said.offloads,
        rings: said.rings,
        channels: said.channels,
        coalesce_us: said.coalesce_us,
        driver_info: said.driver_info,
        rps_cpus: queue_entries.filter_map(steered).collect(),
        name,
    }
}

fn addresses() -> Vec<(String, String)> {
    let Ok(list) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let text = |entry: nix::ifaddrs::InterfaceAddress| {
        let address = entry.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => v4.ip().to_string(),
            (_, Some(v6)) => v6.ip().to_string(),
            _ => return None,
        };
        let prefix = entry.netmask.and_then(|mask| match (mask.as_sockaddr_in(), mask.as_sockaddr_in6()) {
            (Some(v4), _) => Some(u32::from(v4.ip()).count_ones()),
            (_, v6) => v6.map(|v6| u128::from(v6.ip()).count_ones()),
        });
        Some((entry.interface_name, prefix.map_or(ip.clone(), |bits| format!("{ip}/{bits}"))))
    };
    list.filter_map(text).collect()
}

fn sysctls() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for root in ["net", "fs", "vm"] {
        walk_sysctls(&Path::new("/proc/sys").join(root), root, &mut found);
    }
    found
}

fn walk_sysctls(directory: &Path, prefix: &str, found: &mut BTreeMap<String, String>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}.{}", entry.file_name().to_string_lossy());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk_sysctls(&entry.path(), &name, found),
            // Reading this one makes the kernel fold its statistics: a measurement must not.
            Ok(_) if name == "vm.stat_refresh" => {}
            Ok(_) => found.extend(text(entry.path()).map(|value| (name, value))),
            Err(_) => {}
        }
    }
}

fn directory_texts(directory: &str) -> BTreeMap<String, String> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    let pair = |entry: fs::DirEntry| Some((entry.file_name().to_string_lossy().into_owned(), text(entry.path())?));
    entries.flatten().filter_map(pair).collect()
}

fn physical_cores(cpuinfo: &str) -> Option<u64> {
    let ids = |key: &'static str| {
        cpuinfo.lines().filter(move |line| line.starts_with(key)).filter_map(|line| line.split(':').nth(1))
    };
    let pairs: BTreeSet<(&str, &str)> = ids("physical id").zip(ids("core id")).collect();
    (!pairs.is_empty()).then_some(pairs.len() as u64)
}

fn hypervisor(cpuinfo: &str) -> Option<String> {
    let flagged =
        cpuinfo.lines().any(|line| line.starts_with("flags") && line.split(' ').any(|flag| flag == "hypervisor"));
    let firmware = [text("/sys/class/dmi/id/sys_vendor"), text("/sys/class/dmi/id/product_name")].into_iter().flatten();
    let firmware = firmware.collect::<Vec<_>>().join(" ");
    match (text("/sys/hypervisor/type"), flagged, firmware.is_empty()) {
        (Some(kind), ..) => Some(kind),
        (None, true, false) => Some(firmware),
        (None, true, true) => Some("unnamed hypervisor".to_owned()),
        (None, false, _) => None,
    }
}

fn os_name(os_release: &str) -> Option<String> {
    let value = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(value.trim_matches('"').to_owned())
}

fn time_wait(sockstat: &str) -> Option<u64> {
    let tcp = sockstat.lines().find(|line| line.starts_with("TCP:"))?;
    let words: Vec<&str> = tcp.split_whitespace().collect();
    words.windows(2).find(|pair| pair[0] == "tw")?[1].parse().ok()
}

fn key_value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kilobytes(meminfo: &str, key: &str) -> Option<u64> {
    key_value(meminfo, key)?.split(' ').next()?.parse().ok()
}

/// Number of CPUs in a kernel list such as `0-3,8`.
fn cpu_list_len(list: &str) -> Option<u64> {
    let part = |part: &str| match part.split_once('-') {
        Some((first, last)) => Some(last.parse::<u64>().ok()?.checked_sub(first.parse().ok()?)? + 1),
        None => part.parse::<u64>().ok().map(|_| 1),
    };
    list.split(',').map(part).sum()
}

fn sysconf(variable: nix::unistd::SysconfVar) -> Option<u64> {
    nix::unistd::sysconf(variable).ok().flatten().and_then(|value| value.try_into().ok())
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

const CLOCK_FLAGS: [(i32, &str); 12] = [
    (libc::STA_PLL, "STA_PLL"),
    (libc::STA_PPSFREQ, "STA_PPSFREQ"),
    (libc::STA_PPSTIME, "STA_PPSTIME"),
    (libc::STA_FLL, "STA_FLL"),
    (libc::STA_INS, "STA_INS"),
    (libc::STA_DEL, "STA_DEL"),
    (libc::STA_UNSYNC, "STA_UNSYNC"),
    (libc::STA_FREQHOLD, "STA_FREQHOLD"),
    (libc::STA_PPSSIGNAL, "STA_PPSSIGNAL"),
    (libc::STA_CLOCKERR, "STA_CLOCKERR"),
    (libc::STA_NANO, "STA_NANO"),
    (libc::STA_MODE, "STA_MODE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(cpu_list_len("0-3,8"), Some(5));
        assert_eq!(cpu_list_len("0"), Some(1));
        assert_eq!(cpu_list_len(""), None);
    }

    #[test]
    fn limits_of_a_process() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max open files            1024                 1048576              files     \n\
                    Max nice priority         0                    0                    \n";
        let limits = limits(text);
        assert_eq!(limits["Max open files"], ["1024", "1048576"]);
        assert_eq!(limits["Max nice priority"], ["0", "0"]);
        assert_eq!(limits.len(), 3);
    }

    #[test]
    fn this_machine_is_described() {
        let host = manifest();
        assert!(host.cpus >= 1);
        assert!(host.ram_kb.is_some() && host.boot_id.is_some() && host.clock_source.is_some());
        assert!(
            host.interfaces
                .iter()
                .any(|interface| interface.name == "lo" && interface.addresses.contains(&"127.0.0.1/8".to_owned()))
        );
        assert!(host.sysctls.contains_key("fs.file-max"));
        let lo = host.interfaces.iter().find(|interface| interface.name == "lo").unwrap();
        assert_eq!(lo.offloads.get("tx-tcp-segmentation"), Some(&true), "{:?}", lo.offloads);
    }
}
