//! `/proc/net/dev` and `/proc/net/softnet_stat`: what passed the interface and what was dropped on the way.

use anyhow::{Context, Result};
use procfs::FromBufRead;
use procfs::net::InterfaceDeviceStatus;
use runlog::columns;

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
}

impl Network {
    /// Opens the source.
    pub(crate) fn open(iface: &str) -> Result<Network> {
        let dev = ProcFile::open("/proc/net/dev").context("/proc/net/dev")?;
        // Neither is there on every host: a kernel without SMP, a host without conntrack.
        let softnet = ProcFile::open("/proc/net/softnet_stat").ok();
        let conntrack = ProcFile::open("/proc/sys/net/netfilter/nf_conntrack_count").ok();
        Ok(Network { iface: iface.to_owned(), dev, softnet, conntrack })
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
        Ok(())
    }
}

fn fill_dev(text: &str, iface: &str, row: &mut Row) -> Result<()> {
    let devices = InterfaceDeviceStatus::from_buf_read(text.as_bytes()).context("/proc/net/dev")?.0;
    let device = devices.get(iface).with_context(|| format!("/proc/net/dev no longer lists {iface}"))?;
    row.set(columns::RX_BYTES, device.recv_bytes);
    row.set(columns::RX_PACKETS, device.recv_packets);
    row.set(columns::RX_ERRORS, device.recv_errs);
    row.set(columns::RX_DROPPED, device.recv_drop);
    row.set(columns::TX_BYTES, device.sent_bytes);
    row.set(columns::TX_PACKETS, device.sent_packets);
    row.set(columns::TX_ERRORS, device.sent_errs);
    row.set(columns::TX_DROPPED, device.sent_drop);
    Ok(())
}

/// One line per core, numbers in hex: processed, dropped, time_squeeze, ...
fn fill_softnet(text: &str, row: &mut Row) {
    let column = |index: usize| -> Option<u64> {
        text.lines().map(|line| u64::from_str_radix(line.split_whitespace().nth(index)?, 16).ok()).sum()
    };
    if let (Some(dropped), Some(squeezed)) = (column(1), column(2)) {
        row.set(columns::SOFTNET_DROPPED, dropped);
        row.set(columns::SOFTNET_SQUEEZED, squeezed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn softnet_lines_are_hex_and_summed() {
        let text = "00000298 00000001 00000010 00000000\n00006c60 0000000f 00000003 00000000\n";
        let mut row = Row::default();
        fill_softnet(text, &mut row);
        assert_eq!((row.get(columns::SOFTNET_DROPPED), row.get(columns::SOFTNET_SQUEEZED)), (Some(16), Some(19)));
    }
}
