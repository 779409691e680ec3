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
}

impl Memory {
    /// Opens the source.
    pub(crate) fn open() -> Result<Memory> {
        let meminfo = ProcFile::open("/proc/meminfo").context("/proc/meminfo")?;
        let sockstat = ProcFile::open("/proc/net/sockstat").context("/proc/net/sockstat")?;
        Ok(Memory { meminfo, sockstat })
    }
}

impl Source for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        fill_sockstat(self.sockstat.read().context("/proc/net/sockstat")?, row);
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
    Ok(())
}

fn fill_sockstat(text: &str, row: &mut Row) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let group = words.next().unwrap_or_default();
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            let column = match (group, key) {
                ("sockets:", "used") => columns::SOCK_USED,
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

    #[test]
    fn sockstat_with_a_million_connections() {
        let text =
            "sockets: used 1000148\nTCP: inuse 1000005 orphan 3 tw 12 alloc 1000007 mem 2345\nUDP: inuse 4 mem 1\n";
        let mut row = Row::default();
        fill_sockstat(text, &mut row);
        for (column, value) in [
            (columns::SOCK_USED, 1_000_148),
            (columns::SOCK_TCP_INUSE, 1_000_005),
            (columns::SOCK_TCP_ORPHAN, 3),
            (columns::SOCK_TCP_TW, 12),
            (columns::SOCK_TCP_ALLOC, 1_000_007),
            (columns::SOCK_TCP_MEM_PAGES, 2_345),
        ] {
            assert_eq!(row.get(column), Some(value), "{column}");
        }
    }
}
