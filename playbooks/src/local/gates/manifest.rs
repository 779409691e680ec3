//! Settings: as declared (`collector check`), and the same in every repeat of a step.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use runlog::{HostManifest, Meta, ProcessManifest, Run};
use serde_json::Value;

use super::Gate;
use crate::local::resume::is_run_of_pattern;
use crate::plan::{PlannedStep, ProcessKind};

/// What `collector check --json` found to differ, from its output.
pub(in crate::local) fn differences(output: &str) -> Option<String> {
    let report: Value = serde_json::from_str(&output[output.find('{')?..]).ok()?;
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    let items = report["items"].as_array()?.iter().filter(|item| item["ok"] == Value::Bool(false));
    let items: Vec<String> = items
        .map(|item| {
            format!("{} is {}, declared {}", text(item, "name"), text(item, "observed"), text(item, "declared"))
        })
        .collect();
    (!items.is_empty()).then(|| items.join("; "))
}

/// Compares this step's hosts with those of the first of the plan's steps of this name that was run, and its broker with the
/// first of its own target: what figures are compared across must not have changed between them.
pub(in crate::local) fn since_first(step: &PlannedStep, steps: &[PlannedStep]) -> Vec<Gate> {
    let earlier: Vec<&PlannedStep> = steps
        .iter()
        .take_while(|other| (&other.dir, &other.step) != (&step.dir, &step.step))
        .filter(|other| other.step == step.step)
        .collect();
    let collectors = step.processes.iter().filter(|process| process.kind == ProcessKind::Collector);
    collectors
        .filter_map(|collector| {
            let now = meta(step, &collector.name)?;
            let first = earlier.iter().find_map(|other| Some((*other, meta(other, &collector.name)?)));
            let same = earlier.iter().filter(|other| other.target == step.target);
            let first_of_target = same.clone().find_map(|other| Some((*other, meta(other, &collector.name)?)));
            let mut found: Vec<String> = Vec::new();
            if let Some((other, then)) = &first {
                found.extend(changes(other, &host_facts(&then.host), &host_facts(&now.host)));
            }
            if let Some((other, then)) = &first_of_target
                && let (Some(then), Some(now)) = (&then.process, &now.process)
            {
                found.extend(changes(other, &process_facts(then), &process_facts(now)));
            }
            let failure = (!found.is_empty()).then(|| found.join("; "));
            first.map(|_| Gate::judged("manifest", &collector.name, failure))
        })
        .collect()
}

/// The metadata of a collector of a step that was run.
fn meta(step: &PlannedStep, collector: &str) -> Option<Meta> {
    let planned = step.processes.iter().find(|process| process.name == collector)?;
    Run::open(run_dir(&planned.run_dir)?).meta
}

/// The directory that a planned run directory has become.
fn run_dir(planned: &str) -> Option<PathBuf> {
    let planned = Path::new(planned);
    let pattern = planned.file_name()?.to_str()?;
    let entries = std::fs::read_dir(planned.parent()?).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| is_run_of_pattern(name, pattern))
    })
}

fn changes(then_step: &PlannedStep, then: &Facts, now: &Facts) -> Vec<String> {
    let names = then.keys().chain(now.keys().filter(|name| !then.contains_key(*name)));
    let of = |facts: &Facts, name: &String| facts.get(name).cloned().unwrap_or_else(|| "absent".to_owned());
    names
        .filter(|name| then.get(*name) != now.get(*name))
        .map(|name| {
            format!(
                "{name} is {}, and was {} in {} #{}",
                of(now, name),
                of(then, name),
                then_step.target,
                then_step.repeat
            )
        })
        .collect()
}

type Facts = BTreeMap<String, String>;

/// What must not change of a host between the steps that are compared. Counters and states are left out, and so is what a
/// host has none of.
fn host_facts(host: &HostManifest) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    add("kernel", Some(host.kernel.clone()));
    add("boot", host.boot_id.clone());
    add("CPUs online", Some(host.cpus.to_string()));
    add("CPU governor", host.governor.clone());
    add("huge pages", host.huge_pages.clone());
    add("clock source", host.clock_source.clone());
    add("RAM, KiB", host.ram_kb.map(|kb| kb.to_string()));
    add("swap, KiB", host.swap_kb.map(|kb| kb.to_string()));
    for interface in &host.interfaces {
        add(&format!("MTU of {}", interface.name), interface.mtu.map(|mtu| mtu.to_string()));
    }
    let sysctls = host.sysctls.iter().filter(|(name, _)| is_setting(name));
    facts.extend(sysctls.map(|(name, value)| (name.clone(), value.clone())));
    facts
}

/// What must not change of a broker between its repeats. Its command line and configuration are the plan's.
fn process_facts(process: &ProcessManifest) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name: &str, value: Option<String>| facts.extend(value.map(|value| (name.to_owned(), value)));
    add("the broker's executable", process.exe.clone());
    add("the broker's sha256", process.sha256.clone());
    add("the broker's package", process.package.clone());
    add("the broker's user", process.uid.map(|uid| uid.to_string()));
    add("the broker's niceness", process.nice.map(|nice| nice.to_string()));
    add("the broker's CPUs", process.cpus_allowed.clone());
    for (name, [soft, hard]) in &process.ulimits {
        facts.insert(format!("the broker's limit {name}"), format!("{soft} (hard {hard})"));
    }
    let cgroup = process.cgroup_limits.iter();
    facts.extend(cgroup.map(|(name, value)| (format!("the broker's {name}"), value.clone())));
    facts
}

/// A setting that can change what a broker does, and no counter, state or secret.
fn is_setting(name: &str) -> bool {
    SETTINGS.iter().any(|prefix| name.starts_with(prefix)) && !name.ends_with("fastopen_key")
}

const SETTINGS: &[&str] = &[
    "net.core.",
    "net.ipv4.tcp_",
    "net.ipv4.ip_local_port_range",
    "net.netfilter.nf_conntrack_max",
    "fs.file-max",
    "fs.nr_open",
    "vm.overcommit",
    "vm.swappiness",
    "vm.max_map_count",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_with_both_values() {
        let output = r#"note on stderr
            {"profile": "p", "ok": false, "items": [
                {"name": "net.core.somaxconn", "declared": "65535", "observed": "4096", "ok": false},
                {"name": "fs.nr_open", "declared": "at least 1", "observed": "2", "ok": true}]}"#;
        assert_eq!(differences(output).as_deref(), Some("net.core.somaxconn is 4096, declared 65535"));
        assert_eq!(differences("no such profile"), None);
    }

    #[test]
    fn settings_count_and_states_do_not() {
        let host = |somaxconn: &str, open: &str| HostManifest {
            sysctls: [("net.core.somaxconn", somaxconn), ("fs.file-nr", open), ("net.ipv4.tcp_fastopen_key", open)]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..HostManifest::default()
        };
        assert_eq!(host_facts(&host("1", "10 0 5")), host_facts(&host("1", "11 0 5")));
        assert_ne!(host_facts(&host("1", "")), host_facts(&host("2", "")));
    }
}
