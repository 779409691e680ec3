//! The target: one process and all its descendants, summed.
//!
//! Counters of a process that ended are kept in the sums, so that they only grow while the target lives. Processes and
//! threads are looked for at the slow pace of [`Target::refresh`]; in between only files that are open are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use procfs::FromRead;
use procfs::process::Stat;
use runlog::columns;
use runlog::write::TableWriter;

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// A process and its descendants.
#[derive(Debug)]
pub(crate) struct Target {
    members: BTreeMap<u32, Member>,
    ended: Totals,
    ticks_per_s: u64,
    page_kb: u64,
}

/// What only grows.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    user_ticks: u64,
    system_ticks: u64,
    minor_faults: u64,
    major_faults: u64,
    voluntary: u64,
    involuntary: u64,
}

/// What a process holds at the moment.
#[derive(Debug, Clone, Copy, Default)]
struct Levels {
    threads: u64,
    rss_pages: u64,
    vsz_pages: u64,
    fds: u64,
}

#[derive(Debug)]
struct Member {
    directory: PathBuf,
    stat: ProcFile,
    /// Sizes, which `stat` holds too, but there only as an estimate that is off by up to some megabytes on many cores.
    statm: ProcFile,
    /// Context switches are counted per thread only: its `status` and the last numbers seen.
    threads: BTreeMap<u32, (ProcFile, [u64; 2])>,
    totals: Totals,
    levels: Levels,
    comm: String,
    /// Descriptors as counted by [`Target::count_fds`], for kernels (before 6.2) that do not keep their number.
    fds_counted: u64,
}

impl Target {
    /// Begins to watch a process.
    ///
    /// # Errors
    /// It does not exist, or is not ours to look at.
    pub(crate) fn open(pid: u32) -> Result<Target> {
        let mut target = Target {
            members: BTreeMap::from([(pid, Member::open(pid)?)]),
            ended: Totals::default(),
            ticks_per_s: procfs::ticks_per_second(),
            page_kb: procfs::page_size() / 1024,
        };
        target.refresh();
        target.count_fds();
        Ok(target)
    }

    /// Whether any process of the target lived at the last sample.
    pub(crate) fn is_alive(&self) -> bool {
        !self.members.is_empty()
    }

    /// Looks for new descendants and threads, and forgets threads that ended.
    pub(crate) fn refresh(&mut self) {
        let mut waiting: Vec<u32> = self.members.keys().copied().collect();
        while let Some(pid) = waiting.pop() {
            let Some(member) = self.members.get_mut(&pid) else { continue };
            for child in member.refresh() {
                // A child that ended in this very moment is no loss: it had no time to count anything.
                if !self.members.contains_key(&child)
                    && let Ok(new) = Member::open(child)
                {
                    self.members.insert(child, new);
                    waiting.push(child);
                }
            }
        }
    }

    /// Proportional and anonymous resident memory, KiB. The kernel walks all mappings for this and holds their lock.
    pub(crate) fn fill_pss(&self, row: &mut Row) {
        let rollups =
            self.members.values().filter_map(|member| fs::read_to_string(member.directory.join("smaps_rollup")).ok());
        let sums = rollups.filter_map(|text| Some((rollup_kb(&text, "Pss:")?, rollup_kb(&text, "Anonymous:")?)));
        if let Some((pss, anonymous)) = sums.reduce(|a, b| (a.0 + b.0, a.1 + b.1)) {
            row.set(columns::PROC_PSS_KB, pss);
            row.set(columns::PROC_ANON_KB, anonymous);
        }
    }

    /// Appends one line per process as of the last sample (`processes.csv`).
    pub(crate) fn write_processes(&self, mono_ns: u64, table: &mut TableWriter) -> runlog::Result<()> {
        let us = |ticks: u64| ticks * 1_000_000 / self.ticks_per_s;
        for (pid, member) in &self.members {
            let (totals, levels) = (member.totals, member.levels);
            table.number(mono_ns).number((*pid).into()).text(&member.comm);
            table.number(us(totals.user_ticks)).number(us(totals.system_ticks));
            table.number(totals.voluntary).number(totals.involuntary);
            table.number(totals.minor_faults).number(totals.major_faults);
            table.number(levels.threads).number(levels.fds);
            table.number(levels.rss_pages * self.page_kb).number(levels.vsz_pages * self.page_kb);
            table.end_row()?;
        }
        table.flush()
    }

    /// Appends one line per thread as of now (`threads.csv`): for the slow beat.
    pub(crate) fn write_threads(&self, mono_ns: u64, table: &mut TableWriter) -> runlog::Result<()> {
        for (pid, member) in &self.members {
            for (tid, (_, [voluntary, involuntary])) in &member.threads {
                let directory = member.directory.join("task").join(tid.to_string());
                // On the run queue and off it, ns; a thread that has just ended has no line.
                let Ok(schedstat) = fs::read_to_string(directory.join("schedstat")) else { continue };
                let mut times = schedstat.split(' ').map_while(|word| word.parse::<u64>().ok());
                let comm = fs::read_to_string(directory.join("comm")).unwrap_or_default();
                table.number(mono_ns).number((*pid).into()).number((*tid).into()).text(comm.trim_end());
                table.maybe(times.next().map(|ns| ns / 1_000)).maybe(times.next().map(|ns| ns / 1_000));
                table.number(*voluntary).number(*involuntary);
                table.end_row()?;
            }
        }
        table.flush()
    }

    /// Counts descriptors by listing them, on kernels (before 6.2) that do not keep their number: for the slow beat, since
    /// this grows with the number of connections.
    pub(crate) fn count_fds(&mut self) {
        for member in self.members.values_mut() {
            let directory = member.directory.join("fd");
            if fs::metadata(&directory).is_ok_and(|directory| directory.len() == 0) {
                member.fds_counted = fs::read_dir(directory).map_or(0, |entries| entries.count() as u64);
            }
        }
    }

    fn fill(&self, levels: Levels, row: &mut Row) {
        let totals = self.members.values().fold(self.ended, |sum, member| sum.plus(member.totals));
        let us = |ticks: u64| ticks * 1_000_000 / self.ticks_per_s;
        row.set(columns::PROC_CPU_USER_US, us(totals.user_ticks));
        row.set(columns::PROC_CPU_SYS_US, us(totals.system_ticks));
        row.set(columns::PROC_MINFLT, totals.minor_faults);
        row.set(columns::PROC_MAJFLT, totals.major_faults);
        row.set(columns::PROC_VOL_CTXT, totals.voluntary);
        row.set(columns::PROC_INVOL_CTXT, totals.involuntary);
        row.set(columns::PROC_RSS_KB, levels.rss_pages * self.page_kb);
        row.set(columns::PROC_VSZ_KB, levels.vsz_pages * self.page_kb);
        row.set(columns::PROC_THREADS, levels.threads);
        row.set(columns::PROC_FDS, levels.fds);
    }
}

impl Source for Target {
    fn name(&self) -> &'static str {
        "target"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        let mut levels = Levels::default();
        let mut ended = Vec::new();
        for (pid, member) in &mut self.members {
            match member.sample() {
                Some(of_member) => {
                    member.levels = of_member;
                    levels = levels.plus(of_member);
                }
                None => ended.push(*pid),
            }
        }
        for pid in ended {
            let member = self.members.remove(&pid).expect("a key that was just listed");
            self.ended = self.ended.plus(member.totals);
        }
        row.set(columns::PROC_COUNT, self.members.len() as u64);
        if self.is_alive() {
            self.fill(levels, row);
        }
        Ok(())
    }
}

impl Member {
    fn open(pid: u32) -> Result<Member> {
        let directory = PathBuf::from(format!("/proc/{pid}"));
        let mut stat = ProcFile::open(directory.join("stat")).with_context(|| format!("cannot watch process {pid}"))?;
        let text = stat.read().with_context(|| format!("cannot watch process {pid}"))?;
        if !is_living(&Stat::from_read(text.as_bytes())?) {
            bail!("process {pid} has ended and only waits for its parent (a zombie)");
        }
        let statm = ProcFile::open(directory.join("statm")).with_context(|| format!("cannot watch process {pid}"))?;
        Ok(Member {
            directory,
            stat,
            statm,
            threads: BTreeMap::new(),
            totals: Totals::default(),
            levels: Levels::default(),
            comm: String::new(),
            fds_counted: 0,
        })
    }

    /// The process as it is now; `None` when it has ended.
    fn sample(&mut self) -> Option<Levels> {
        let stat = Stat::from_read(self.stat.read().ok()?.as_bytes()).ok().filter(is_living)?;
        let mut sizes = self.statm.read().ok()?.split(' ').map_while(|word| word.parse().ok());
        let (vsz_pages, rss_pages) = (sizes.next()?, sizes.next()?);
        for (file, seen) in self.threads.values_mut() {
            if let Some(switches) = file.read().ok().and_then(context_switches) {
                self.totals.voluntary += switches[0].saturating_sub(seen[0]);
                self.totals.involuntary += switches[1].saturating_sub(seen[1]);
                *seen = switches;
            }
        }
        self.comm = stat.comm;
        self.totals.user_ticks = stat.utime;
        self.totals.system_ticks = stat.stime;
        self.totals.minor_faults = stat.minflt;
        self.totals.major_faults = stat.majflt;
        // Since Linux 6.2 the size of this directory is the number of its entries, at no cost.
        let fds = fs::metadata(self.directory.join("fd")).map_or(0, |directory| directory.len());
        Some(Levels {
            threads: stat.num_threads.max(0) as u64,
            rss_pages,
            vsz_pages,
            fds: if fds > 0 { fds } else { self.fds_counted },
        })
    }

    /// Opens new threads, closes ended ones, and answers with the children of all.
    fn refresh(&mut self) -> BTreeSet<u32> {
        let Ok(entries) = fs::read_dir(self.directory.join("task")) else { return BTreeSet::new() };
        let tasks: BTreeSet<u32> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        self.threads.retain(|task, _| tasks.contains(task));
        let mut children = BTreeSet::new();
        for task in tasks {
            let directory = self.directory.join("task").join(task.to_string());
            let listed = fs::read_to_string(directory.join("children")).unwrap_or_default();
            children.extend(listed.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            if !self.threads.contains_key(&task)
                && let Ok(status) = ProcFile::open(directory.join("status"))
            {
                self.threads.insert(task, (status, [0, 0]));
            }
        }
        children
    }
}

impl Totals {
    fn plus(self, other: Totals) -> Totals {
        Totals {
            user_ticks: self.user_ticks + other.user_ticks,
            system_ticks: self.system_ticks + other.system_ticks,
            minor_faults: self.minor_faults + other.minor_faults,
            major_faults: self.major_faults + other.major_faults,
            voluntary: self.voluntary + other.voluntary,
            involuntary: self.involuntary + other.involuntary,
        }
    }
}

impl Levels {
    fn plus(self, other: Levels) -> Levels {
        Levels {
            threads: self.threads + other.threads,
            rss_pages: self.rss_pages + other.rss_pages,
            vsz_pages: self.vsz_pages + other.vsz_pages,
            fds: self.fds + other.fds,
        }
    }
}

fn is_living(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X' | 'x')
}

/// Voluntary and involuntary switches from the text of a thread's `status`. Read for each thread at each sample, so
/// only these two of its sixty lines are looked at.
fn context_switches(status: &str) -> Option<[u64; 2]> {
    let at = status.rfind("\nvoluntary_ctxt_switches:")?;
    let mut numbers = status[at..].lines().skip(1).filter_map(|line| line.split_once(':')?.1.trim().parse().ok());
    Some([numbers.next()?, numbers.next()?])
}

fn rollup_kb(rollup: &str, key: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::captured::captured;

    #[test]
    fn a_process_on_several_kernels() {
        // Name, state, minor faults, ticks in user mode, threads.
        for (kernel, name, state, [minflt, utime, threads]) in
            [("6.1", "sleep", 'S', [112, 100, 1]), ("6.18", "python3", 'R', [1_927, 7, 1])]
        {
            let stat = Stat::from_read(captured(kernel, "pid_stat").as_bytes()).unwrap();
            assert_eq!((stat.comm.as_str(), stat.state, is_living(&stat)), (name, state, true));
            assert_eq!([stat.minflt, stat.utime, stat.num_threads as u64], [minflt, utime, threads]);
        }
    }

    #[test]
    fn switches_of_a_thread() {
        assert_eq!(context_switches(&captured("6.1", "pid_status")), Some([3, 8]));
        assert_eq!(context_switches(&captured("6.18", "pid_status")), Some([272, 35]));
        assert_eq!(context_switches("Name:\tvoluntary\n"), None);
    }

    #[test]
    fn rollups_of_several_kernels() {
        for (kernel, pss, anonymous) in [("4.19", 900, 77), ("6.1", 487, 48), ("6.18", 9_237, 6_868)] {
            let text = captured(kernel, "pid_smaps_rollup");
            assert_eq!((rollup_kb(&text, "Pss:"), rollup_kb(&text, "Anonymous:")), (Some(pss), Some(anonymous)));
        }
    }
}
