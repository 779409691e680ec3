//! F11, F12, F15: what was not recorded: CPU, the load's and the prober's hosts, the kernel's memory.

use std::collections::BTreeMap;

use runlog::{Role, columns};

use super::scene::{carries_messages, connections_max, grouped, point};
use super::{Detector, Finding, Looked, Proof, Scene, Severity};
use crate::reading::Reading;
use crate::series::Series;

pub(super) const CPU: Detector =
    Detector { flaw: "F11", title: "No CPU time was recorded", needs: "runs of a broker's host", look: look_for_cpu };

pub(super) const ROLES: Detector = Detector {
    flaw: "F12",
    title: "The hosts of load and prober were not recorded",
    needs: "runs with load or connections",
    look: look_for_roles,
};

pub(super) const KERNEL_MEMORY: Detector = Detector {
    flaw: "F15",
    title: "The kernel's memory for sockets was not recorded",
    needs: "runs with a thousand connections or more",
    look: look_for_kernel_memory,
};

fn look_for_cpu(scene: &Scene) -> Looked {
    let lacks =
        |series: &Series| [columns::PROC_CPU_USER_US, columns::CPU_IDLE_TICKS].iter().all(|c| !knows(series, c));
    let proof = |reading: &Reading| {
        Proof::new(reading.raw_file(), "neither the CPU time of the broker nor that of the host is among the columns")
    };
    let finding = Finding {
        evidence: scene.brokers().filter(|(_, series)| lacks(series)).map(|(reading, _)| proof(reading)).collect(),
        ..CPU.finding(
            "no-cpu",
            Severity::Medium,
            "Runs hold no CPU time",
            "What a connection or a message costs is unknown; context switches are no measure of it.",
        )
    };
    Looked::new(scene.brokers().count(), [finding])
}

fn look_for_roles(scene: &Scene) -> Looked {
    let mut missing = ROLES.finding(
        "role-missing",
        Severity::Medium,
        "Runs of other hosts are missing",
        "Whether the generator or the prober was the limit cannot be told, and what they claim cannot be checked.",
    );
    let mut saturated = ROLES.finding(
        "generator-saturated",
        Severity::High,
        "The load generator was the limit",
        "The figures are a lower bound of the broker's.",
    );
    let needs_load =
        |reading: &Reading, series: &Series| connections_max(series) >= 1.0 || carries_messages(reading, series);
    let busy = || scene.brokers().filter(|(reading, series)| needs_load(reading, series));
    for (reading, series) in busy() {
        let of_point =
            |role: Role| scene.readings().iter().any(|other| other.run.role == role && point(other) == point(reading));
        if !of_point(Role::Loadgen) && !of_point(Role::Prober) {
            let text = format!("{} connections, and no run of the load's host", grouped(connections_max(series)));
            missing.evidence.push(Proof::new(reading.run.path.display().to_string(), text));
        }
    }
    let has_prober = scene.readings().iter().any(|reading| reading.run.role == Role::Prober);
    for file in scene.published.iter().filter(|file| !has_prober && scene.is_about(file)) {
        let latencies =
            file.claims.iter().filter(|claim| claim.unit == "µs" || claim.unit == "us" || claim.unit == "ms").count();
        if latencies > 0 {
            let text = format!("{latencies} published figures are latencies, and there is no run of a prober");
            missing.evidence.push(Proof::new(file.document.clone(), text));
        }
    }
    for (reading, _) in scene.all_loads().filter(|(_, load)| load.generator_limited) {
        let file = reading.run.summary_path().display().to_string();
        saturated.evidence.push(Proof::new(file, "the generator could not keep its own plan"));
    }
    for reading in scene.readings().iter().filter(|reading| reading.run.role == Role::Loadgen) {
        saturated.evidence.extend(busy_thread(reading));
    }
    Looked::new(busy().count(), [missing, saturated])
}

/// A thread of the load tool that left nothing of its core, by the threads.csv of a collector that watched it.
fn busy_thread(reading: &Reading) -> Option<Proof> {
    let table = reading.run.threads().ok()?;
    let numbers = |name| table.numbers(name).ok();
    let (stamps, threads, used) = (numbers(columns::MONO_NS)?, numbers("tid")?, numbers("cpu_us")?);
    let names = table.texts("comm").ok()?;
    let mut seen: BTreeMap<u64, [(u64, u64); 2]> = BTreeMap::new();
    let mut name_of: BTreeMap<u64, &str> = BTreeMap::new();
    for (row, ((stamp, thread), cpu)) in stamps.into_iter().zip(threads).zip(used).enumerate() {
        let (Some(stamp), Some(thread), Some(cpu)) = (stamp, thread, cpu) else { continue };
        let is_measured = reading.measured.is_none_or(|span| (span.begin_mono_ns..=span.end_mono_ns).contains(&stamp));
        if is_measured {
            seen.entry(thread).or_insert([(stamp, cpu); 2])[1] = (stamp, cpu);
            name_of.insert(thread, names.get(row).map_or("", String::as_str));
        }
    }
    let share = |[first, last]: &[(u64, u64); 2]| {
        let elapsed_us = last.0.saturating_sub(first.0) as f64 / 1e3;
        if elapsed_us >= BUSY_US_MIN { last.1.saturating_sub(first.1) as f64 / elapsed_us } else { 0.0 }
    };
    let (thread, busiest) =
        seen.iter().map(|(thread, ends)| (thread, share(ends))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (busiest >= BUSY_SHARE).then(|| {
        let text = format!("thread {thread} ({}) used {:.0} % of a core", name_of[thread], 100.0 * busiest);
        Proof::new(reading.run.path.display().to_string(), text)
    })
}

fn look_for_kernel_memory(scene: &Scene) -> Looked {
    let crowded = || scene.brokers().filter(|(_, series)| connections_max(series) >= CONNECTIONS_MIN);
    let lacks = |series: &Series| [columns::SOCK_TCP_MEM_PAGES, columns::SLAB_KB].iter().all(|c| !knows(series, c));
    let proof = |(reading, series): (&Reading, &Series)| {
        let rss = reading.summary.as_ref().and_then(|summary| summary.windows.plateau.rss_mib).unwrap_or(0.0);
        let text = format!(
            "{} connections: {} MiB in the process, the kernel's share is unknown",
            grouped(connections_max(series)),
            grouped(rss)
        );
        Proof::new(reading.raw_file(), text)
    };
    let finding = Finding {
        evidence: crowded().filter(|(_, series)| lacks(series)).map(proof).collect(),
        ..KERNEL_MEMORY.finding(
            "no-kernel-memory",
            Severity::Medium,
            "Memory per connection leaves out what the kernel holds",
            "A socket takes kilobytes of slab and buffers that no RSS shows; where the process takes little, that is \
                      most of the cost.",
        )
    };
    Looked::new(crowded().count(), [finding])
}

/// Whether a column is there and has a value.
fn knows(series: &Series, column: &str) -> bool {
    series.table.numbers(column).is_some_and(|values| values.iter().any(|value| value.is_finite()))
}

/// A thread above it has no time left for what comes late.
const BUSY_SHARE: f64 = 0.95;
/// Shorter stretches are bursts, us.
const BUSY_US_MIN: f64 = 2e6;
/// Below this a process's own memory decides.
const CONNECTIONS_MIN: f64 = 1000.0;
