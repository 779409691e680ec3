//! Runs in the published format, from a simple model of a host, and single runs of load tools: one flaw at a time.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use runlog::{Meta, Role, RunDir, clock};
use serde_json::json;

/// The host of a broker during one run, and what is odd about it.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) tag: String,
    /// When it began, seconds since 1970.
    pub(crate) begin_s: u64,
    pub(crate) samples: usize,
    /// True distance of samples, s.
    pub(crate) period_s: f64,
    /// Connections by time, s.
    pub(crate) connections: fn(f64) -> f64,
    /// Messages received and sent per second by time.
    pub(crate) messages_per_s: fn(f64) -> [f64; 2],
    /// Bytes of a packet received and sent, by time.
    pub(crate) packet_bytes: fn(f64) -> [f64; 2],
    /// Memory of the broker by time, MiB.
    pub(crate) rss_mib: fn(f64) -> f64,
    pub(crate) sysctls: &'static str,
    /// Time without a sample, s.
    pub(crate) gap_s: f64,
}

impl Host {
    /// A steady run of five minutes: 5,000 connections, 50,000 packets/s each way of 300 B, memory flat.
    pub(crate) fn steady(label: &str, target: &str, repeat: u32) -> Self {
        let turn = u64::from(repeat) * 2 + u64::from(label != "A");
        Self {
            tag: format!("{label}-{target}-load-run{repeat}"),
            begin_s: 1_767_000_000 + turn * 400,
            samples: 300,
            period_s: 1.0,
            connections: |_| 5_000.0,
            messages_per_s: |_| [50_000.0, 50_000.0],
            packet_bytes: |_| [300.0, 300.0],
            rss_mib: |_| 500.0,
            sysctls: "net.core.somaxconn = 4096\n",
            gap_s: 0.0,
        }
    }

    pub(crate) fn write(&self, home: &Path) {
        let utc = clock::utc_compact(self.begin_s * clock::NS_PER_S);
        let dir = home.join(format!("broker-{}-{utc}", self.tag));
        fs::create_dir_all(&dir).unwrap();
        let started = clock::utc_text(self.begin_s * clock::NS_PER_S);
        fs::write(dir.join("meta.txt"), format!("time_utc={started}\nsysctl_selected=\n{}", self.sysctls)).unwrap();
        fs::write(dir.join("raw.csv"), self.raw()).unwrap();
    }

    fn raw(&self) -> String {
        let mut text = String::from(
            "time_utc,iface,rx_bytes,rx_packets,tx_bytes,tx_packets,ctxt,intr,softirq_net_rx,softirq_net_tx,tcp_insegs,\
             tcp_outsegs,tcp_retranssegs,tcp_estab,proc_rss_kb,proc_vsz_kb\n",
        );
        let (mut bytes, mut packets) = ([0.0; 2], [0.0; 2]);
        for sample in 0..self.samples {
            let mut at_s = sample as f64 * self.period_s;
            if sample > self.samples / 2 {
                at_s += self.gap_s;
            }
            for way in [0, 1] {
                let count = (self.messages_per_s)(at_s)[way] * self.period_s;
                packets[way] += count;
                bytes[way] += count * (self.packet_bytes)(at_s)[way];
            }
            // Whole seconds, cut off: what the published script writes.
            let utc = clock::utc_text((self.begin_s + at_s as u64) * clock::NS_PER_S);
            let (connections, rss_kib) = ((self.connections)(at_s), (self.rss_mib)(at_s) * 1024.0);
            writeln!(
                text,
                "{utc},eth0,{:.0},{:.0},{:.0},{:.0},{},0,0,0,{:.0},{:.0},0,{connections:.0},{rss_kib:.0},900000",
                bytes[0],
                packets[0],
                bytes[1],
                packets[1],
                sample * 1000,
                packets[0],
                packets[1]
            )
            .unwrap();
        }
        text
    }
}

/// Two targets, three repeats each, taking turns; `change` may alter any run.
pub(crate) fn pair(change: impl Fn(&mut Host)) -> (tempfile::TempDir, Vec<runlog::Run>) {
    let home = tempfile::tempdir().unwrap();
    for repeat in 1..=3 {
        for (label, target) in [("A", "one"), ("B", "two")] {
            let mut host = Host::steady(label, target, repeat);
            change(&mut host);
            // Without samples a run was not made.
            if host.samples > 0 {
                host.write(home.path());
            }
        }
    }
    let runs = discover(home.path());
    (home, runs)
}

/// A load tool's or prober's own run with this summary.
pub(crate) fn tool_run(
    role: Role,
    tool: &str,
    summary: &impl serde::Serialize,
) -> (tempfile::TempDir, Vec<runlog::Run>) {
    let home = tempfile::tempdir().unwrap();
    add_tool_run(home.path(), role, tool, "A-one-load", summary);
    let runs = discover(home.path());
    (home, runs)
}

pub(crate) fn add_tool_run(home: &Path, role: Role, tool: &str, tag: &str, summary: &impl serde::Serialize) {
    let dir = RunDir::create(home.join(format!("{role}-{tag}-20260101T000000Z"))).unwrap();
    let meta: Meta = serde_json::from_value(
        json!({"tool": tool, "version": "0.1.0", "role": role, "tag": tag, "config": {"qos": 1}}),
    )
    .unwrap();
    dir.write_meta(&meta).unwrap();
    dir.write_summary(summary).unwrap();
}

pub(crate) fn discover(home: &Path) -> Vec<runlog::Run> {
    let homes: [PathBuf; 1] = [home.to_owned()];
    runlog::discover(&homes).unwrap()
}
