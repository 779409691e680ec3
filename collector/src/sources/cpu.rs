//! `/proc/stat`: CPU time by class, for the host and each core; context switches, interrupts, softirqs.

use anyhow::{Context, Result};
use procfs::{CpuTime, FromBufReadSI, KernelStats, current_system_info};
use runlog::columns::{self, CORE_CLASSES};

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// The CPUs of the host.
#[derive(Debug)]
pub(crate) struct Cpu {
    stat: ProcFile,
    loadavg: ProcFile,
}

impl Cpu {
    /// Opens the source.
    pub(crate) fn open() -> Result<Cpu> {
        let stat = ProcFile::open("/proc/stat").context("/proc/stat")?;
        Ok(Cpu { stat, loadavg: ProcFile::open("/proc/loadavg").context("/proc/loadavg")? })
    }

    /// Number of cores that `/proc/stat` lists now.
    pub(crate) fn cores(&mut self) -> Result<usize> {
        let text = self.stat.read().context("/proc/stat")?;
        Ok(text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count())
    }
}

impl Source for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        fill_loadavg(self.loadavg.read().context("/proc/loadavg")?, row);
        fill(self.stat.read().context("/proc/stat")?, row)
    }
}

fn fill(text: &str, row: &mut Row) -> Result<()> {
    let stats = KernelStats::from_buf_read(text.as_bytes(), current_system_info()).context("/proc/stat")?;
    row.set(columns::CTXT, stats.ctxt);
    fill_host(&stats.total, row);
    stats.cpu_time.iter().for_each(|core| row.push_core(core_ticks(core)));
    if let (Some(running), Some(blocked)) = (stats.procs_running, stats.procs_blocked) {
        row.set(columns::PROCS_RUNNING, running.into());
        row.set(columns::PROCS_BLOCKED, blocked.into());
    }
    // The library leaves these two lines out. `intr` begins with the sum over all sources; `softirq` with the sum and
    // then one number per class: HI, TIMER, NET_TX, NET_RX, ... (kernel/softirq.c).
    let number =
        |line: &str, index: usize| text.lines().find_map(|l| l.strip_prefix(line))?.split(' ').nth(index)?.parse().ok();
    if let Some(interrupts) = number("intr ", 0) {
        row.set(columns::INTR, interrupts);
    }
    if let (Some(net_tx), Some(net_rx)) = (number("softirq ", 3), number("softirq ", 4)) {
        row.set(columns::SOFTIRQ_NET_TX, net_tx);
        row.set(columns::SOFTIRQ_NET_RX, net_rx);
    }
    Ok(())
}

/// `0.20 0.18 0.12 1/80 11206`: loads, running and all tasks, the last process id.
fn fill_loadavg(text: &str, row: &mut Row) {
    let mut words = text.split_ascii_whitespace();
    for column in [columns::LOAD_1MIN_CENTI, columns::LOAD_5MIN_CENTI, columns::LOAD_15MIN_CENTI] {
        if let Some(load) = words.next().and_then(|word| word.parse::<f64>().ok()) {
            row.set(column, (load * 100.0).round() as u64);
        }
    }
    if let Some(tasks) = words.next().and_then(|word| word.split_once('/')?.1.parse().ok()) {
        row.set(columns::TASKS, tasks);
    }
}

fn fill_host(total: &CpuTime, row: &mut Row) {
    row.set(columns::CPU_USER_TICKS, total.user);
    row.set(columns::CPU_NICE_TICKS, total.nice);
    row.set(columns::CPU_SYSTEM_TICKS, total.system);
    row.set(columns::CPU_IDLE_TICKS, total.idle);
    let rest = [
        (columns::CPU_IOWAIT_TICKS, total.iowait),
        (columns::CPU_IRQ_TICKS, total.irq),
        (columns::CPU_SOFTIRQ_TICKS, total.softirq),
        (columns::CPU_STEAL_TICKS, total.steal),
    ];
    for (column, ticks) in rest {
        if let Some(ticks) = ticks {
            row.set(column, ticks);
        }
    }
}

/// In the order of [`CORE_CLASSES`]: user with nice, system with hard interrupts.
fn core_ticks(core: &CpuTime) -> [u64; CORE_CLASSES.len()] {
    let or_zero = |ticks: Option<u64>| ticks.unwrap_or(0);
    [
        core.user + core.nice,
        core.system + or_zero(core.irq),
        or_zero(core.softirq),
        or_zero(core.steal),
        or_zero(core.iowait),
        core.idle,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::captured::{assert_cells, captured};

    #[test]
    fn files_of_several_kernels() {
        for (kernel, ctxt, intr, [net_tx, net_rx], [user, system, idle, softirq]) in [
            ("6.1", 1_456, 1_740, [0, 82], [108, 208, 395, 4]),
            ("6.18", 21_963_648, 8_738_768, [226, 84_081_133], [151_101, 154_386, 566_904, 22_689]),
        ] {
            let mut row = Row::default();
            fill(&captured(kernel, "stat"), &mut row).unwrap();
            let cells = [
                (columns::CTXT, ctxt),
                (columns::INTR, intr),
                (columns::SOFTIRQ_NET_TX, net_tx),
                (columns::SOFTIRQ_NET_RX, net_rx),
                (columns::CPU_USER_TICKS, user),
                (columns::CPU_SYSTEM_TICKS, system),
                (columns::CPU_IDLE_TICKS, idle),
                (columns::CPU_SOFTIRQ_TICKS, softirq),
            ];
            assert_cells(&row, &cells);
        }
    }

    #[test]
    fn text_of_a_kernel_6_8() {
        let text = "cpu  10 1 20 300 4 5 6 7 0 0\ncpu0 4 1 8 150 1 2 3 4 0 0\ncpu1 6 0 12 150 3 3 3 3 0 0\n\
                    intr 74511292 0 9 0\nctxt 14204205\nbtime 1767080000\nprocesses 2000\nprocs_running 2\nprocs_blocked 1\n\
                    softirq 100 1 2 3 88418 5 6 7 8 9 10\n";
        let mut row = Row::default();
        fill(text, &mut row).unwrap();
        for (column, value) in [
            (columns::CTXT, 14_204_205),
            (columns::INTR, 74_511_292),
            (columns::SOFTIRQ_NET_TX, 3),
            (columns::SOFTIRQ_NET_RX, 88_418),
            (columns::CPU_USER_TICKS, 10),
            (columns::CPU_IOWAIT_TICKS, 4),
            (columns::CPU_STEAL_TICKS, 7),
            (columns::PROCS_BLOCKED, 1),
        ] {
            assert_eq!(row.get(column), Some(value), "{column}");
        }
    }

    #[test]
    fn loads_are_hundredths() {
        let mut row = Row::default();
        fill_loadavg("0.29 12.18 100.02 1/1234 11206\n", &mut row);
        let loads = [columns::LOAD_1MIN_CENTI, columns::LOAD_5MIN_CENTI, columns::LOAD_15MIN_CENTI, columns::TASKS];
        assert_eq!(loads.map(|column| row.get(column)), [Some(29), Some(1_218), Some(10_002), Some(1_234)]);
    }

    #[test]
    fn text_of_another_form_is_an_error() {
        assert!(fill("cpu 1\n", &mut Row::default()).is_err());
    }
}
