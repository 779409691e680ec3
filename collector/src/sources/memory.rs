//! `/proc/meminfo` and `/proc/net/sockstat`: the memory that a process's RSS does not show (METHOD F15).

use anyhow::{Context, Result};
use procfs::{FromBufRead, Meminfo};
use runlog::columns;

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// Memory of the host and of its sockets.
#[derive(Debug)]
pub(crate) struct Memory {
    meminfo: ProcFile,
    sockstat: ProcFile,
    /// Absent without IPv6.
    sockstat6: Option<ProcFile>,
}

impl Memory {
    /// Opens the source.
    pub(crate) fn open() -> Result<Memory> {
        let meminfo = ProcFile::open("/proc/meminfo").context("/proc/meminfo")?;
        let sockstat = ProcFile::open("/proc/net/sockstat").context("/proc/net/sockstat")?;
        Ok(Memory { meminfo, sockstat, sockstat6: ProcFile::open("/proc/net/sockstat6").ok() })
    }
}

impl Source for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        fill_sockstat(self.sockstat.read().context("/proc/net/sockstat")?, row);
        if let Some(sockstat6) = &mut self.sockstat6 {
            fill_sockstat(sockstat6.read().context("/proc/net/sockstat6")?, row);
        }
        fill_meminfo(self.meminfo.read().context("/proc/meminfo")?, row)
    }
}

fn fill_meminfo(text: &str, row: &mut Row) -> Result<()> {
    let meminfo = Meminfo::from_buf_read(text.as_bytes()).context("/proc/meminfo")?;
    // The library counts in bytes, the file and the column in KiB.
    row.set(columns::SLAB_KB, meminfo.slab / 1024);
    if let Some(available) = meminfo.mem_available {
        row.set(columns::MEM_AVAILABLE_KB, available / 1024);
    }
    if let Some(tables) = meminfo.page_tables {
        row.set(columns::PAGETABLES_KB, tables / 1024);
    }
    if let Some(unreclaimable) = meminfo.s_unreclaim {
        row.set(columns::SLAB_UNRECLAIM_KB, unreclaimable / 1024);
    }
    if let Some(stacks) = meminfo.kernel_stack {
        row.set(columns::KERNEL_STACK_KB, stacks / 1024);
    }
    row.set(columns::SWAP_USED_KB, meminfo.swap_total.saturating_sub(meminfo.swap_free) / 1024);
    Ok(())
}

fn fill_sockstat(text: &str, row: &mut Row) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let group = words.next().unwrap_or_default();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            let column = match (group, key) {
                ("sockets:", "used") => columns::SOCK_USED,
                ("TCP6:", "inuse") => columns::SOCK_TCP6_INUSE,
                ("TCP:", "inuse") => columns::SOCK_TCP_INUSE,
                ("TCP:", "orphan") => columns::SOCK_TCP_ORPHAN,
                ("TCP:", "tw") => columns::SOCK_TCP_TW,
                ("TCP:", "alloc") => columns::SOCK_TCP_ALLOC,
                ("TCP:", "mem") => columns::SOCK_TCP_MEM_PAGES,
                _ => continue,
            };
            if let Ok(value) = value.parse() {
                row.set(column, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::captured::{assert_cells, captured};

    #[test]
    fn sockstat_of_several_kernels() {
        for (kernel, used, [inuse, tw, alloc, mem, inuse6]) in
            [("6.1", 1, [0, 5, 1, 0, 1]), ("6.18", 9_626, [9_055, 6, 9_612, 280, 0])]
        {
            let mut row = Row::default();
            fill_sockstat(&captured(kernel, "net_sockstat"), &mut row);
            fill_sockstat(&captured(kernel, "net_sockstat6"), &mut row);
            let cells = [
                (columns::SOCK_USED, used),
                (columns::SOCK_TCP_INUSE, inuse),
                (columns::SOCK_TCP_ORPHAN, 0),
                (columns::SOCK_TCP_TW, tw),
                (columns::SOCK_TCP_ALLOC, alloc),
                (columns::SOCK_TCP_MEM_PAGES, mem),
                (columns::SOCK_TCP6_INUSE, inuse6),
            ];
            assert_cells(&row, &cells);
        }
    }

    #[test]
    fn sockstat_with_a_million_connections() {
        let text =
            "sockets: used 1000148\nTCP: inuse 1000005 orphan 3 tw 12 alloc 1000007 mem 2345\nUDP: inuse 4 mem 1\n";
        let mut row = Row::default();
        fill_sockstat(text, &mut row);
        fill_sockstat("TCP6: inuse 17\nUDP6: inuse 1\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n", &mut row);
        for (column, value) in [
            (columns::SOCK_USED, 1_000_148),
            (columns::SOCK_TCP_INUSE, 1_000_005),
            (columns::SOCK_TCP6_INUSE, 17),
            (columns::SOCK_TCP_ORPHAN, 3),
            (columns::SOCK_TCP_TW, 12),
            (columns::SOCK_TCP_ALLOC, 1_000_007),
            (columns::SOCK_TCP_MEM_PAGES, 2_345),
        ] {
            assert_eq!(row.get(column), Some(value), "{column}");
        }
    }
}
