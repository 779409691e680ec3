//! What `meta.json` says of the target process.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sources::Cgroup;
use runlog::secrets::{self, without_secrets};
use runlog::{ProcessManifest, clock, host};

/// The target as it is now. Reads and hashes its executable: before sampling begins, not during it.
/// `version` is what the target was said to be: it is not asked, since a program may take any argument for an order.
pub(crate) fn process(pid: u32, version: Option<String>) -> ProcessManifest {
    let directory = PathBuf::from(format!("/proc/{pid}"));
    let exe = fs::read_link(directory.join("exe")).ok();
    let text =
        |name: &str| fs::read(directory.join(name)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let status = text("status").unwrap_or_default();
    let field = |key: &str| status.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
    let stat = text("stat").unwrap_or_default();
    // Behind the command's closing bracket, which may itself contain blanks, field 3 (state) is the first.
    let numbers: Vec<&str> =
        stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
    let start_ticks = numbers.get(19).and_then(|number| number.parse().ok());
    let cgroup = text("cgroup").and_then(|text| Cgroup::of(&text));
    ProcessManifest {
        pid,
        sha256: host::file_sha256(&directory.join("exe")),
        version,
        package: exe.as_deref().and_then(debian_package),
        exe: exe.map(|path| path.display().to_string()),
        argv: without_secrets(text("cmdline").map(|text| nul_separated(&text)).unwrap_or_default()),
        start_ticks,
        started_wall_ns: start_ticks.and_then(started_wall_ns),
        uid: field("Uid:").and_then(|ids| ids.split_whitespace().next()?.parse().ok()),
        ulimits: text("limits").map(|text| host::limits(&text)).unwrap_or_default(),
        cgroup_limits: cgroup.as_ref().map(Cgroup::limits).unwrap_or_default(),
        cgroup: cgroup.map(|cgroup| cgroup.path),
        cpus_allowed: field("Cpus_allowed_list:"),
        nice: numbers.get(16).and_then(|number| number.parse().ok()),
        environment: text("environ").map(|text| secrets::environment(&text)).unwrap_or_default(),
    }
}

fn nul_separated(text: &str) -> Vec<String> {
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// Start of a process in wall time: boot time plus its age at boot, good to a clock tick.
fn started_wall_ns(start_ticks: u64) -> Option<u64> {
    let uptime_text = fs::read_to_string("/proc/uptime").ok()?;
    let uptime_s: f64 = uptime_text.split(' ').next()?.parse().ok()?;
    let started_s = start_ticks as f64 / procfs::ticks_per_second() as f64;
    let age_ns = ((uptime_s - started_s).max(0.0) * clock::NS_PER_S as f64) as u64;
    Some(clock::wall_ns().saturating_sub(age_ns))
}

/// Name and version of the Debian package that a file came from, by the package manager's own records.
fn debian_package(file: &Path) -> Option<String> {
    let directory = Path::new("/var/lib/dpkg");
    let path = file.to_str()?;
    // Since /usr was merged, older packages record `/sbin/x` for what is at `/usr/sbin/x`.
    let recorded = |line: &str| line == path || path.strip_prefix("/usr").is_some_and(|short| line == short);
    let owner = fs::read_dir(directory.join("info")).ok()?.flatten().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().strip_suffix(".list")?.to_owned();
        fs::read_to_string(entry.path()).ok()?.lines().any(recorded).then_some(name)
    })?;
    let name = owner.split(':').next()?;
    let status = fs::read_to_string(directory.join("status")).ok()?;
    let paragraph =
        status.split("\n\n").find(|paragraph| paragraph.lines().next() == Some(&format!("Package: {name}")))?;
    let version = paragraph.lines().find_map(|line| line.strip_prefix("Version: "))?;
    Some(format!("{name} {version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process() {
        let manifest = process(std::process::id(), None);
        assert_eq!(manifest.exe.as_deref(), std::env::current_exe().unwrap().to_str());
        assert_eq!(manifest.argv, std::env::args().collect::<Vec<_>>());
        assert_eq!(manifest.sha256.as_ref().map(String::len), Some(64));
        assert!(manifest.ulimits.contains_key("Max open files"));
        let age_ns = clock::wall_ns() - manifest.started_wall_ns.unwrap();
        assert!(age_ns < 3_600 * clock::NS_PER_S, "a test does not run for an hour: {age_ns} ns");
    }
}
