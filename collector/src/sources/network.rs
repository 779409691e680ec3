//! `/proc/net/dev` and `/proc/net/softnet_stat`: what passed the interface and what was dropped on the way.

use anyhow::{Context, Result};
use procfs::FromBufRead;
use procfs::net::{DeviceStatus, InterfaceDeviceStatus};
use runlog::columns::{self, INTERFACE_COUNTERS};

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// One interface, and the receive queues of all cores.
#[derive(Debug)]
pub(crate) struct Network {
    iface: String,
    dev: ProcFile,
    softnet: Option<ProcFile>,
    conntrack: Option<ProcFile>,
    conntrack_stat: Option<ProcFile>,
}

impl Network {
    /// Opens the source.
    pub(crate) fn open(iface: &str) -> Result<Network> {
        let dev = ProcFile::open("/proc/net/dev").context("/proc/net/dev")?;
        // Neither is there on every host: a kernel without SMP, a host without conntrack.
        let softnet = ProcFile::open("/proc/net/softnet_stat").ok();
        let conntrack = ProcFile::open("/proc/sys/net/netfilter/nf_conntrack_count").ok();
        let conntrack_stat = ProcFile::open("/proc/net/stat/nf_conntrack").ok();
        Ok(Network { iface: iface.to_owned(), dev, softnet, conntrack, conntrack_stat })
    }
}

impl Source for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        fill_dev(self.dev.read().context("/proc/net/dev")?, &self.iface, row)?;
        if let Some(softnet) = &mut self.softnet {
            fill_softnet(softnet.read().context("/proc/net/softnet_stat")?, row);
        }
        if let Some(conntrack) = &mut self.conntrack
            && let Ok(count) = conntrack.read().context("nf_conntrack_count")?.trim_end().parse()
        {
            row.set(columns::CONNTRACK_COUNT, count);
        }
        if let Some(stat) = &mut self.conntrack_stat {
            fill_conntrack(stat.read().context("/proc/net/stat/nf_conntrack")?, row);
        }
        Ok(())
    }
}

fn fill_dev(text: &str, iface: &str, row: &mut Row) -> Result<()> {
    let devices = InterfaceDeviceStatus::from_buf_read(text.as_bytes()).context("/proc/net/dev")?.0;
    let device = devices.get(iface).with_context(|| format!("/proc/net/dev no longer lists {iface}"))?;
    for (column, value) in INTERFACE_COUNTERS.into_iter().zip(counters(device)) {
        row.set(column, value);
    }
    for name in row.interfaces() {
        row.push_interface(devices.get(&*name).map(counters));
    }
    Ok(())
}

/// In the order of [`INTERFACE_COUNTERS`].
fn counters(device: &DeviceStatus) -> [u64; INTERFACE_COUNTERS.len()] {
    let received = [device.recv_bytes, device.recv_packets, device.recv_errs, device.recv_drop];
    let sent = [device.sent_bytes, device.sent_packets, device.sent_errs, device.sent_drop];
    [received[0], received[1], received[2], received[3], sent[0], sent[1], sent[2], sent[3]]
}

/// Names above one line per core, numbers in hex. Which names there are depends on the kernel.
fn fill_conntrack(text: &str, row: &mut Row) {
    let names: Vec<&str> = text.lines().next().unwrap_or_default().split_whitespace().collect();
    for (name, column) in [("drop", columns::CONNTRACK_DROP), ("insert_failed", columns::CONNTRACK_INSERT_FAILED)] {
        let Some(index) = names.iter().position(|known| *known == name) else { continue };
        let cells = text.lines().skip(1).map(|line| u64::from_str_radix(line.split_whitespace().nth(index)?, 16).ok());
        if let Some(sum) = cells.sum::<Option<u64>>() {
            row.set(column, sum);
        }
    }
}

/// One line per core, numbers in hex: processed, dropped, time_squeeze, ...
fn fill_softnet(text: &str, row: &mut Row) {
    let column = |index: usize| -> Option<u64> {
        text.lines().map(|line| u64::from_str_radix(line.split_whitespace().nth(index)?, 16).ok()).sum()
    };
    if let Some(processed) = column(0) {
        row.set(columns::SOFTNET_PROCESSED, processed);
    }
    if let (Some(dropped), Some(squeezed)) = (column(1), column(2)) {
        row.set(columns::SOFTNET_DROPPED, dropped);
        row.set(columns::SOFTNET_SQUEEZED, squeezed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::captured::{assert_cells, captured};

    #[test]
    fn one_of_several_interfaces() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                    lo: 33699003    2094    0    0    0     0          0         0 33699003    2094    0    0    0     0       0          0\n  \
                    eth0: 117049146   92600    1    2    0     0          0         0 76807104   42157    3    4    0     0       0          0\n";
        let mut row = Row::default();
        fill_dev(text, "eth0", &mut row).unwrap();
        let cells = [
            (columns::RX_BYTES, 117_049_146),
            (columns::RX_PACKETS, 92_600),
            (columns::RX_ERRORS, 1),
            (columns::RX_DROPPED, 2),
            (columns::TX_BYTES, 76_807_104),
            (columns::TX_PACKETS, 42_157),
            (columns::TX_ERRORS, 3),
            (columns::TX_DROPPED, 4),
        ];
        for (column, value) in cells {
            assert_eq!(row.get(column), Some(value), "{column}");
        }
        let error = fill_dev(text, "eth1", &mut row).unwrap_err();
        assert!(format!("{error:#}").contains("eth1"), "{error:#}");
    }

    #[test]
    fn conntrack_of_several_kernels() {
        for (kernel, drop, failed) in [("4.19", 3, 11), ("5.10", 5, 4), ("6.1", 0, 0), ("6.18", 0, 0)] {
            let mut row = Row::default();
            fill_conntrack(&captured(kernel, "nf_conntrack"), &mut row);
            assert_cells(&row, &[(columns::CONNTRACK_DROP, drop), (columns::CONNTRACK_INSERT_FAILED, failed)]);
        }
    }

    #[test]
    fn softnet_of_several_kernels_is_hex_and_summed() {
        for (kernel, processed, dropped, squeezed) in [
            ("4.19", 0x6c60 + 0x298, 16, 19),
            ("5.10", 0x6c60 + 0x298, 16, 19),
            ("6.1", 0x47 + 0x58, 0, 1),
            ("6.18", 0x02b8_103d + 0x02d2_0ea7, 0xcbb + 0x4be, 0xb + 4),
        ] {
            let mut row = Row::default();
            fill_softnet(&captured(kernel, "net_softnet_stat"), &mut row);
            let cells = [
                (columns::SOFTNET_PROCESSED, processed),
                (columns::SOFTNET_DROPPED, dropped),
                (columns::SOFTNET_SQUEEZED, squeezed),
            ];
            assert_cells(&row, &cells);
        }
    }
}
