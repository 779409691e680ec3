//! The cgroup of the target: what it is charged for, and how often its limits stopped it. Version 2 and version 1.
//!
//! Not of the root group, whose figures are the host's and stand in other columns.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use runlog::columns;

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// The control group of a process.
#[derive(Debug, Default)]
pub(crate) struct Cgroup {
    /// Its path in the hierarchy: of version 2 where the process is in a group of that, else of the memory controller.
    pub(crate) path: String,
    /// The group's directory per controller (`unified`, `memory`, `cpu`, ...).
    directories: BTreeMap<String, PathBuf>,
    files: Vec<(ProcFile, Read)>,
}

/// How a file's text becomes columns.
type Read = fn(&str, &mut Row);

impl Cgroup {
    /// Places of a process, from the text of its `/proc/PID/cgroup`: lines `id:controllers:path`.
    pub(crate) fn of(text: &str) -> Option<Cgroup> {
        let mut cgroup = Cgroup::default();
        let root = Path::new("/sys/fs/cgroup");
        for line in text.lines() {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            if cgroup.path.is_empty() || path != "/" {
                path.clone_into(&mut cgroup.path);
            }
            if path == "/" || path.contains("..") {
                continue;
            }
            let below = path.trim_start_matches('/');
            if controllers.is_empty() {
                // Beside version 1, version 2 is mounted one level lower.
                let base = if root.join("unified").is_dir() { root.join("unified") } else { root.to_owned() };
                cgroup.directories.insert("unified".to_owned(), base.join(below));
            }
            for controller in controllers.split(',').filter(|name| !name.is_empty() && !name.contains('=')) {
                cgroup.directories.insert(controller.to_owned(), root.join(controller).join(below));
            }
        }
        (!cgroup.path.is_empty()).then_some(cgroup)
    }

    /// Opens the files of a process's group; one that is in no group of its own has none.
    pub(crate) fn open(pid: u32) -> Cgroup {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mut cgroup = Cgroup::of(&text).unwrap_or_default();
        let open = |(controller, name, read): &(&str, &str, Read)| {
            Some((ProcFile::open(cgroup.directories.get(*controller)?.join(name)).ok()?, *read))
        };
        cgroup.files = FILES.iter().filter_map(open).collect();
        cgroup
    }

    /// Limits that are set, by the names of their files.
    pub(crate) fn limits(&self) -> BTreeMap<String, String> {
        let read = |(controller, name): &(&str, &str)| {
            let text = fs::read_to_string(self.directories.get(*controller)?.join(name)).ok()?.trim().to_owned();
            (!text.is_empty()).then(|| ((*name).to_owned(), text))
        };
        LIMITS.iter().filter_map(read).collect()
    }

    /// Memory by kind. The kernel sums this up over all cores and groups below: for the slow beat.
    pub(crate) fn fill_memory(&self, row: &mut Row) {
        let text = |controller: &str, file: &str| {
            fs::read_to_string(self.directories.get(controller)?.join(file)).unwrap_or_default().into()
        };
        if let Some(stat) = text("unified", "memory.stat") {
            fill_memory_stat(&stat, row);
        }
        let number = |file: &str| -> Option<u64> { text("memory", file)?.trim().parse().ok() };
        for (file, column) in [
            ("memory.kmem.tcp.usage_in_bytes", columns::CGROUP_SOCK_BYTES),
            ("memory.kmem.usage_in_bytes", columns::CGROUP_KERNEL_BYTES),
        ] {
            if let Some(value) = number(file) {
                row.set(column, value);
            }
        }
    }
}

impl Source for Cgroup {
    fn name(&self) -> &'static str {
        "cgroup"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        // A group that was removed answers no longer: its cells are empty, as those of its processes.
        for (file, read) in &mut self.files {
            if let Ok(text) = file.read() {
                read(text, row);
            }
        }
        Ok(())
    }
}

/// Lines `name value` to columns, with a divisor for the unit.
fn keyed(text: &str, wanted: &[(&str, &'static str, u64)], row: &mut Row) {
    for line in text.lines() {
        let Some((name, value)) = line.split_once(' ') else { continue };
        if let Some((_, column, divisor)) = wanted.iter().find(|(known, ..)| *known == name)
            && let Ok(value) = value.trim().parse::<u64>()
        {
            row.set(column, value / divisor);
        }
    }
}

fn fill_cpu_stat(text: &str, row: &mut Row) {
    let wanted = [
        ("usage_usec", columns::CGROUP_CPU_US, 1),
        ("user_usec", columns::CGROUP_CPU_USER_US, 1),
        ("system_usec", columns::CGROUP_CPU_SYS_US, 1),
        ("nr_throttled", columns::CGROUP_THROTTLED, 1),
        ("throttled_usec", columns::CGROUP_THROTTLED_US, 1),
        // Version 1, ns.
        ("throttled_time", columns::CGROUP_THROTTLED_US, 1_000),
    ];
    keyed(text, &wanted, row);
}

/// `cpuacct.stat` of version 1: clock ticks of 10 ms, whatever the kernel's own.
fn fill_cpuacct_stat(text: &str, row: &mut Row) {
    for line in text.lines() {
        let (column, ticks) = match line.split_once(' ') {
            Some(("user", ticks)) => (columns::CGROUP_CPU_USER_US, ticks),
            Some(("system", ticks)) => (columns::CGROUP_CPU_SYS_US, ticks),
            _ => continue,
        };
        if let Ok(ticks) = ticks.parse::<u64>() {
            row.set(column, ticks * 1_000_000 / procfs::ticks_per_second());
        }
    }
}

fn fill_memory_stat(text: &str, row: &mut Row) {
    let wanted = [("sock", columns::CGROUP_SOCK_BYTES, 1), ("kernel", columns::CGROUP_KERNEL_BYTES, 1)];
    keyed(text, &wanted, row);
}

fn fill_memory_events(text: &str, row: &mut Row) {
    let wanted = [("max", columns::CGROUP_MEM_MAX_HITS, 1), ("oom_kill", columns::CGROUP_OOM_KILLS, 1)];
    keyed(text, &wanted, row);
}

fn single(text: &str, column: &'static str, divisor: u64, row: &mut Row) {
    if let Ok(value) = text.trim().parse::<u64>() {
        row.set(column, value / divisor);
    }
}

const FILES: [(&str, &str, Read); 9] = [
    ("unified", "cpu.stat", fill_cpu_stat),
    ("unified", "memory.current", |text, row| single(text, columns::CGROUP_MEM_BYTES, 1, row)),
    ("unified", "memory.events", fill_memory_events),
    ("cpu", "cpu.stat", fill_cpu_stat),
    ("cpuacct", "cpuacct.usage", |text, row| single(text, columns::CGROUP_CPU_US, 1_000, row)),
    ("cpuacct", "cpuacct.stat", fill_cpuacct_stat),
    ("memory", "memory.usage_in_bytes", |text, row| single(text, columns::CGROUP_MEM_BYTES, 1, row)),
    ("memory", "memory.failcnt", |text, row| single(text, columns::CGROUP_MEM_MAX_HITS, 1, row)),
    ("memory", "memory.oom_control", fill_memory_events),
];

const LIMITS: [(&str, &str); 13] = [
    ("unified", "cpu.max"),
    ("unified", "cpu.weight"),
    ("unified", "cpuset.cpus.effective"),
    ("unified", "memory.high"),
    ("unified", "memory.max"),
    ("unified", "memory.swap.max"),
    ("unified", "pids.max"),
    ("cpu", "cpu.cfs_quota_us"),
    ("cpu", "cpu.cfs_period_us"),
    ("cpu", "cpu.shares"),
    ("cpuset", "cpuset.cpus"),
    ("memory", "memory.limit_in_bytes"),
    ("pids", "pids.max"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_both_versions() {
        let hybrid = "9:name=systemd:/\n4:memory:/box/a\n2:cpu,cpuacct:/box\n0::/\n";
        let cgroup = Cgroup::of(hybrid).unwrap();
        assert_eq!(cgroup.path, "/box");
        assert_eq!(cgroup.directories["memory"], Path::new("/sys/fs/cgroup/memory/box/a"));
        assert_eq!(cgroup.directories["cpuacct"], Path::new("/sys/fs/cgroup/cpuacct/box"));
        let unified = Cgroup::of("0::/system.slice/mosquitto.service\n").unwrap();
        assert!(unified.directories["unified"].ends_with("system.slice/mosquitto.service"));
        assert!(Cgroup::of("0::/\n").unwrap().directories.is_empty(), "the root group is the host");
        assert!(Cgroup::of("").is_none());
    }

    #[test]
    fn texts_of_version_2() {
        let mut row = Row::default();
        fill_cpu_stat(
            "usage_usec 900\nuser_usec 600\nsystem_usec 300\nnr_periods 9\nnr_throttled 2\nthrottled_usec 77\n",
            &mut row,
        );
        fill_memory_stat("anon 5\nfile 6\nkernel 4096\nkernel_stack 7\nsock 8192\n", &mut row);
        fill_memory_events("low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n", &mut row);
        for (column, value) in [
            (columns::CGROUP_CPU_US, 900),
            (columns::CGROUP_CPU_SYS_US, 300),
            (columns::CGROUP_THROTTLED_US, 77),
            (columns::CGROUP_KERNEL_BYTES, 4_096),
            (columns::CGROUP_SOCK_BYTES, 8_192),
            (columns::CGROUP_MEM_MAX_HITS, 3),
            (columns::CGROUP_OOM_KILLS, 1),
        ] {
            assert_eq!(row.get(column), Some(value), "{column}");
        }
    }

    #[test]
    fn texts_of_version_1() {
        let mut row = Row::default();
        fill_cpu_stat("nr_periods 9\nnr_throttled 2\nthrottled_time 77000\n", &mut row);
        fill_cpuacct_stat("user 300\nsystem 100\n", &mut row);
        single("1234567\n", columns::CGROUP_CPU_US, 1_000, &mut row);
        assert_eq!(row.get(columns::CGROUP_THROTTLED_US), Some(77));
        assert_eq!(row.get(columns::CGROUP_CPU_US), Some(1_234));
        assert_eq!(row.get(columns::CGROUP_CPU_USER_US), Some(300_000_000 / procfs::ticks_per_second()));
    }
}
