//! What makes a figure checkable beside the figure: how settings differ between the targets, whether each point began from a
//! clean slate, whether the messages add up, and what observing cost.

use std::collections::BTreeMap;

use runlog::{Run, Summary, clock};
use serde::Serialize;

use super::experiment::{Experiment, Point, StepKind};

/// Evidence about all points.
#[derive(Debug, Default, Serialize)]
pub struct Provenance {
    /// Settings in which the hosts of two targets or two roles differ.
    pub differences: Vec<Difference>,
    /// How many settings were compared.
    pub compared: usize,
    /// How each point began.
    pub slates: Vec<Slate>,
    /// Message counts of each point that had messages.
    pub accounts: Vec<Account>,
    /// What the collectors say of themselves.
    pub observers: Vec<Observer>,
}

/// A setting that is not the same everywhere.
#[derive(Debug, Serialize)]
pub struct Difference {
    /// What.
    pub setting: String,
    /// Where, and what it is there.
    pub values: Vec<(String, String)>,
}

/// How a point began.
#[derive(Debug, Serialize)]
pub struct Slate {
    /// Step, label, repeat.
    pub point: String,
    /// Boot of the broker's host.
    pub boot_id: Option<String>,
    /// Process id of the broker.
    pub pid: Option<u32>,
    /// Age of the broker's process when its collector began, s.
    pub age_s: Option<f64>,
    /// Sockets in TIME_WAIT on its host then.
    pub time_wait: Option<u64>,
    /// Tracked connections.
    pub conntrack: Option<u64>,
    /// Load average of the minute before.
    pub load1: Option<f64>,
}

/// Where the messages of a point went.
#[derive(Debug, Serialize)]
pub struct Account {
    /// Step, label, repeat.
    pub point: String,
    /// Due by the plan.
    pub offered: u64,
    /// Given to a connection.
    pub attempted: u64,
    /// Taken by the kernel.
    pub written: u64,
    /// Acknowledged.
    pub acked: u64,
    /// Received, each once.
    pub delivered: u64,
    /// Gaps in the sequences.
    pub lost: u64,
    /// Came again.
    pub duplicated: u64,
    /// Came after a later one.
    pub out_of_order: u64,
    /// Not what was sent.
    pub corrupted: u64,
}

/// A collector's word on itself.
#[derive(Debug, Serialize)]
pub struct Observer {
    /// Step, label, repeat and role.
    pub point: String,
    /// Samples.
    pub ticks: u64,
    /// Samples that began late.
    pub late: u64,
    /// Samples that were not taken.
    pub missed: u64,
    /// The longest sample, us.
    pub sample_us_max: u64,
    /// CPU of the collector, percent of a core.
    pub cpu_percent: f64,
}

impl Provenance {
    /// Collects what the runs say.
    pub fn of(experiment: &Experiment) -> Self {
        let name = |point: &Point| {
            let (step, target) = (&experiment.steps[point.step].name, &experiment.targets[point.target].label);
            format!("{step} {target} #{}", point.repeat)
        };
        let mut provenance = Self::default();
        provenance.compare_settings(experiment);
        for point in &experiment.points {
            let name = name(point);
            provenance.slates.extend(point.broker.as_ref().and_then(|run| slate(&name, run)));
            if experiment.steps[point.step].kind == StepKind::Throughput {
                provenance.accounts.extend(account(&name, point));
            }
            provenance.observers.extend(point.runs().filter_map(|run| observer(&name, run)));
        }
        provenance
    }

    /// One set of facts per label, role and host: those of its first run.
    fn compare_settings(&mut self, experiment: &Experiment) {
        let mut first: BTreeMap<String, (u64, BTreeMap<String, String>)> = BTreeMap::new();
        for point in &experiment.points {
            let label = &experiment.targets[point.target].label;
            for run in point.runs() {
                let host = run.context.as_ref().and_then(|context| context.host.as_ref());
                let host = host.map_or_else(String::new, |host| format!(" {host}"));
                let (at, key) = (run.utc.unwrap_or(u64::MAX), format!("{label} {}{host}", run.role));
                let facts = settings(run);
                if !facts.is_empty() && first.get(&key).is_none_or(|(known, _)| at < *known) {
                    first.insert(key, (at, facts));
                }
            }
        }
        let mut by_setting: BTreeMap<&String, Vec<(String, String)>> = BTreeMap::new();
        for (place, (_, facts)) in &first {
            for (setting, value) in facts {
                by_setting.entry(setting).or_default().push((place.clone(), value.clone()));
            }
        }
        self.compared = by_setting.len();
        for (setting, values) in by_setting {
            let differs = values.iter().any(|(_, value)| *value != values[0].1);
            if differs {
                self.differences.push(Difference { setting: setting.clone(), values });
            }
        }
    }
}

impl Account {
    /// Whether every message that was due left the load tool, and none came back wrong.
    pub fn is_whole(&self) -> bool {
        self.offered == self.attempted
            && self.attempted == self.written
            && self.lost + self.duplicated + self.out_of_order + self.corrupted == 0
    }
}

/// Everything about a host that should stay the same during an experiment.
pub fn settings(run: &Run) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    if let Some(meta) = &run.meta {
        let host = &meta.host;
        let mut add = |name: &str, value: Option<String>| {
            facts.extend(value.map(|value| (name.to_owned(), value)));
        };
        add("host name", Some(host.hostname.clone()));
        add("kernel", Some(host.kernel.clone()));
        add("kernel command line", host.cmdline.clone());
        add("CPU model", host.cpu_model.clone());
        add("CPUs online", Some(host.cpus.to_string()));
        add("RAM, KiB", host.ram_kb.map(|kb| kb.to_string()));
        add("frequency governor", host.governor.clone());
        add("clock source", host.clock_source.clone());
        add("boot", host.boot_id.clone());
        let limit = host.ulimits.get("Max open files").map(|[soft, hard]| format!("{soft} / {hard}"));
        add("open files", limit);
        for (weakness, state) in &host.mitigations {
            add(&format!("mitigation {weakness}"), Some(state.clone()));
        }
        facts.extend(host.sysctls.iter().filter(|(name, _)| !is_counter(name)).map(|(k, v)| (k.clone(), v.clone())));
    }
    if let Some(meta) = &run.guide_meta {
        facts.extend(meta.sysctls.iter().map(|(name, value)| (name.clone(), value.clone())));
        facts.extend(meta.hostname.iter().map(|value| ("host name".to_owned(), value.clone())));
        facts.extend(meta.kernel.iter().map(|value| ("kernel".to_owned(), value.clone())));
        facts.extend(meta.cpu_count.iter().map(|value| ("CPUs online".to_owned(), value.to_string())));
    }
    facts
}

/// Entries below /proc/sys that are states, not settings.
fn is_counter(name: &str) -> bool {
    const STATES: [&str; 9] = [
        "fs.dentry-state",
        "fs.file-nr",
        "fs.inode-nr",
        "fs.inode-state",
        "fs.aio-nr",
        "fs.quota.",
        "net.netfilter.nf_conntrack_count",
        "vm.stat_refresh",
        "net.ipv4.route.",
    ];
    STATES.iter().any(|state| name.starts_with(state))
}

fn slate(point: &str, run: &Run) -> Option<Slate> {
    let meta = run.meta.as_ref()?;
    let process = meta.process.as_ref();
    let started_ns = process.and_then(|process| process.started_wall_ns);
    let age_ns = started_ns.and_then(|started| meta.started_wall_ns.checked_sub(started));
    Some(Slate {
        point: point.to_owned(),
        boot_id: meta.host.boot_id.clone(),
        pid: process.map(|process| process.pid),
        age_s: age_ns.map(|ns| ns as f64 / clock::NS_PER_S as f64),
        time_wait: meta.host.time_wait,
        conntrack: meta.host.conntrack,
        load1: meta.host.load1,
    })
}

fn account(point_name: &str, point: &Point) -> Option<Account> {
    let published = || point.loads("pub").filter_map(|load| load.summary.publish.as_ref());
    let received = || point.loads("sub").filter_map(|load| load.summary.receive.as_ref());
    published().next()?;
    Some(Account {
        point: point_name.to_owned(),
        offered: published().map(|p| p.offered).sum(),
        attempted: published().map(|p| p.attempted).sum(),
        written: published().map(|p| p.written).sum(),
        acked: published().map(|p| p.acked).sum(),
        delivered: received().map(|r| r.delivered).sum(),
        lost: received().map(|r| r.lost).sum(),
        duplicated: received().map(|r| r.duplicated).sum(),
        out_of_order: received().map(|r| r.out_of_order).sum(),
        corrupted: received().map(|r| r.corrupted).sum(),
    })
}

fn observer(point: &str, run: &Run) -> Option<Observer> {
    let Ok(Some(Summary::Collect(summary))) = run.summary() else { return None };
    let cpu_percent =
        if summary.duration_s > 0.0 { summary.self_cpu_us as f64 / summary.duration_s / 1e4 } else { 0.0 };
    Some(Observer {
        point: format!("{point} {}", run.role),
        ticks: summary.ticks,
        late: summary.late_ticks,
        missed: summary.missed_ticks,
        sample_us_max: summary.sample_us_max,
        cpu_percent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_whole_when_nothing_stayed_behind() {
        let mut account = Account {
            point: String::new(),
            offered: 10,
            attempted: 10,
            written: 10,
            acked: 0,
            delivered: 100,
            lost: 0,
            duplicated: 0,
            out_of_order: 0,
            corrupted: 0,
        };
        assert!(account.is_whole());
        account.lost = 1;
        assert!(!account.is_whole());
        account.lost = 0;
        account.written = 9;
        assert!(!account.is_whole());
    }

    #[test]
    fn states_are_no_settings() {
        assert!(is_counter("fs.file-nr") && !is_counter("fs.file-max"));
    }
}
