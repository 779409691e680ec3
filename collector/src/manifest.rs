//! What `meta.json` says of the target process.

use std::fs;
use std::path::{Path, PathBuf};

use runlog::meta::without_secrets;
use runlog::{ProcessManifest, clock, host};

/// The target as it is now. Reads and hashes its executable: before sampling begins, not during it.
pub(crate) fn process(pid: u32) -> ProcessManifest {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let text =
        |name: &str| fs::read(directory.join(name)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let status = text("status").unwrap_or_default();
    let field = |key: &str| status.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
    let stat = text("stat").unwrap_or_default();
    // Behind the command's closing bracket, which may itself contain blanks, field 3 (state) is the first.
    let numbers: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let start_ticks = numbers.get(19).and_then(|number| number.parse().ok());
    let cgroup = text("cgroup").and_then(|text| Some(text.lines().last()?.splitn(3, ':').nth(2)?.to_owned()));
    ProcessManifest {
        pid,
        exe: fs::read_link(directory.join("exe")).ok().map(|path| path.display().to_string()),
        sha256: host::file_sha256(&directory.join("exe")),
        version: None,
        argv: without_secrets(text("cmdline").map(|text| nul_separated(&text)).unwrap_or_default()),
        start_ticks,
        started_wall_ns: start_ticks.and_then(started_wall_ns),
        uid: field("Uid:").and_then(|ids| ids.split_whitespace().next()?.parse().ok()),
        ulimits: text("limits").map(|text| host::limits(&text)).unwrap_or_default(),
        cgroup_limits: cgroup.as_deref().map(cgroup_limits).unwrap_or_default(),
        cgroup,
        cpus_allowed: field("Cpus_allowed_list:"),
        nice: numbers.get(16).and_then(|number| number.parse().ok()),
        environment_names: text("environ").map(|text| variable_names(&text)).unwrap_or_default(),
    }
}

fn nul_separated(text: &str) -> Vec<String> {
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

fn variable_names(environ: &str) -> Vec<String> {
    let mut names: Vec<String> = environ
        .split('\0')
        .filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names
}

/// Start of a process in wall time: boot time plus its age at boot, good to a clock tick.
fn started_wall_ns(start_ticks: u64) -> Option<u64> {
    let uptime_text = fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: f64 = uptime_text.split(' ').next()?.parse().ok()?;
    let started_s = start_ticks as f64 / procfs::ticks_per_second() as f64;
    let age_ns = ((uptime_s - started_s).max(0.0) * clock::NS_PER_S as f64) as u64;
    Some(clock::wall_ns().saturating_sub(age_ns))
}

/// Limits of a cgroup of version 2, where they are set.
fn cgroup_limits(cgroup: &str) -> std::collections::BTreeMap<String, String> {
    let directory = Path::new("/sys/fs/cgroup").join(cgroup.trim_start_matches('/'));
    let read =
        |name: &&str| Some(((*name).to_owned(), fs::read_to_string(directory.join(name)).ok()?.trim().to_owned()));
    CGROUP_LIMITS.iter().filter_map(read).filter(|(_, value)| !value.is_empty()).collect()
}

const CGROUP_LIMITS: [&str; 7] =
    ["cpu.max", "cpu.weight", "cpuset.cpus.effective", "memory.high", "memory.max", "memory.swap.max", "pids.max"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process() {
        let manifest = process(std::process::id());
        assert_eq!(manifest.exe.as_deref(), std::env::current_exe().unwrap().to_str());
        assert_eq!(manifest.argv, std::env::args().collect::<Vec<_>>());
        assert_eq!(manifest.sha256.as_ref().map(String::len), Some(64));
        assert!(manifest.ulimits.contains_key("Max open files"));
        let age_ns = clock::wall_ns() - manifest.started_wall_ns.unwrap();
        assert!(age_ns < 3_600 * clock::NS_PER_S, "a test does not run for an hour: {age_ns} ns");
    }

    #[test]
    fn only_names_of_the_environment_are_kept() {
        assert_eq!(variable_names("PATH=/bin\0SECRET_KEY=a=b\0=odd\0"), ["PATH", "SECRET_KEY"]);
    }
}
