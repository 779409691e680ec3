//! `/proc/net/snmp` and `/proc/net/netstat`: what TCP did, and what it refused. Both cost the same however many
//! connections there are.

use anyhow::{Context, Result, bail};
use runlog::columns;

use crate::procfile::ProcFile;
use crate::row::Row;
use crate::sources::Source;

/// TCP of this network namespace.
#[derive(Debug)]
pub(crate) struct Tcp {
    snmp: ProcFile,
    netstat: ProcFile,
}

impl Tcp {
    /// Opens the source.
    pub(crate) fn open() -> Result<Tcp> {
        let snmp = ProcFile::open("/proc/net/snmp").context("/proc/net/snmp")?;
        let netstat = ProcFile::open("/proc/net/netstat").context("/proc/net/netstat")?;
        Ok(Tcp { snmp, netstat })
    }
}

impl Source for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn sample(&mut self, row: &mut Row) -> Result<()> {
        fill(self.snmp.read().context("/proc/net/snmp")?, "Tcp:", &SNMP, row).context("/proc/net/snmp")?;
        fill(self.netstat.read().context("/proc/net/netstat")?, "TcpExt:", &NETSTAT, row).context("/proc/net/netstat")
    }
}

/// Both files come in pairs of lines, names above numbers. (The library reads only the first of them, and insists on
/// every counter of every protocol.)
fn fill(text: &str, group: &str, wanted: &[(&str, &'static str)], row: &mut Row) -> Result<()> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group));
    let (Some(names), Some(numbers)) = (lines.next(), lines.next()) else { bail!("no pair of lines {group}") };
    for (name, number) in names.split_ascii_whitespace().zip(numbers.split_ascii_whitespace()) {
        if let (Some((_, column)), Ok(number)) = (wanted.iter().find(|(known, _)| *known == name), number.parse()) {
            row.set(column, number);
        }
    }
    Ok(())
}

/// Names of the kernel's counters (RFC 4022; `Documentation/networking/snmp_counter.rst`) and their columns.
const SNMP: [(&str, &str); 10] = [
    ("ActiveOpens", columns::TCP_ACTIVE_OPENS),
    ("PassiveOpens", columns::TCP_PASSIVE_OPENS),
    ("AttemptFails", columns::TCP_ATTEMPT_FAILS),
    ("EstabResets", columns::TCP_ESTAB_RESETS),
    ("CurrEstab", columns::TCP_ESTAB),
    ("InSegs", columns::TCP_INSEGS),
    ("OutSegs", columns::TCP_OUTSEGS),
    ("RetransSegs", columns::TCP_RETRANSSEGS),
    ("InErrs", columns::TCP_IN_ERRS),
    ("OutRsts", columns::TCP_OUT_RSTS),
];

const NETSTAT: [(&str, &str); 11] = [
    ("ListenOverflows", columns::TCP_LISTEN_OVERFLOWS),
    ("ListenDrops", columns::TCP_LISTEN_DROPS),
    ("TCPTimeouts", columns::TCP_TIMEOUTS),
    ("TCPAbortOnMemory", columns::TCP_ABORT_ON_MEMORY),
    ("TCPBacklogDrop", columns::TCP_BACKLOG_DROP),
    ("TCPSynRetrans", columns::TCP_SYN_RETRANS),
    ("SyncookiesSent", columns::TCP_SYNCOOKIES_SENT),
    ("TCPReqQFullDrop", columns::TCP_REQ_Q_FULL_DROP),
    ("TCPAbortOnTimeout", columns::TCP_ABORT_ON_TIMEOUT),
    ("TCPMemoryPressures", columns::TCP_MEMORY_PRESSURES),
    ("TCPRcvQDrop", columns::TCP_RCVQ_DROP),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::captured::{assert_cells, captured};

    #[test]
    fn files_of_several_kernels() {
        let of = |kernel| {
            let mut row = Row::default();
            fill(&captured(kernel, "net_snmp"), "Tcp:", &SNMP, &mut row).unwrap();
            fill(&captured(kernel, "net_netstat"), "TcpExt:", &NETSTAT, &mut row).unwrap();
            let absent = SNMP.iter().chain(&NETSTAT).filter(|(_, column)| row.get(column).is_none()).count();
            assert_eq!(absent, 0, "every counter is known to Linux {kernel}");
            row
        };
        let opens = |active, passive, fails| {
            [columns::TCP_ACTIVE_OPENS, columns::TCP_PASSIVE_OPENS, columns::TCP_ATTEMPT_FAILS]
                .into_iter()
                .zip([active, passive, fails])
                .collect::<Vec<_>>()
        };
        assert_cells(&of("6.1"), &opens(6, 5, 1));
        let row = of("6.18");
        assert_cells(&row, &opens(1_168_043, 1_154_966, 8_883));
        let cells = [
            (columns::TCP_ESTAB_RESETS, 1_636_782),
            (columns::TCP_ESTAB, 9_101),
            (columns::TCP_INSEGS, 92_914_288),
            (columns::TCP_OUTSEGS, 92_729_169),
            (columns::TCP_RETRANSSEGS, 181_201),
            (columns::TCP_IN_ERRS, 845),
            (columns::TCP_OUT_RSTS, 855_371),
            (columns::TCP_LISTEN_OVERFLOWS, 192_310),
            (columns::TCP_TIMEOUTS, 137_734),
            (columns::TCP_SYN_RETRANS, 60_985),
            (columns::TCP_SYNCOOKIES_SENT, 33_149),
            (columns::TCP_BACKLOG_DROP, 0),
        ];
        assert_cells(&row, &cells);
    }

    #[test]
    fn counters_go_by_name_not_by_place() {
        let text = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
                    Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
                    Tcp: 1 200 120000 -1 11 12 13 14 100000 58940 85620 30 2 7 0\nTcp6: x\n";
        let mut row = Row::default();
        fill(text, "Tcp:", &SNMP, &mut row).unwrap();
        let cells = [11, 12, 13, 14, 100_000, 58_940, 85_620, 30, 2, 7];
        for ((_, column), value) in SNMP.iter().zip(cells) {
            assert_eq!(row.get(column), Some(value), "{column}");
        }
        fill("TcpExt: TCPTimeouts New ListenDrops\nTcpExt: 5 6 7\n", "TcpExt:", &NETSTAT, &mut row).unwrap();
        assert_eq!((row.get(columns::TCP_TIMEOUTS), row.get(columns::TCP_LISTEN_DROPS)), (Some(5), Some(7)));
        assert_eq!(row.get(columns::TCP_BACKLOG_DROP), None);
        assert!(fill("Udp: 1\n", "Tcp:", &SNMP, &mut row).is_err());
    }
}
