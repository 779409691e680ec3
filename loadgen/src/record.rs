//! The run directory of a load run, written as the run goes.

use std::collections::BTreeMap;

use anyhow::Result;
use runlog::clock::{mono_ns, wall_ns};
use runlog::event::{Edge, Event, EventKind};
use runlog::hlog::LatencyLog;
use runlog::write::{CounterRow, CountersWriter, EventLog};
use runlog::{Context, LedgerEntry, LoadSummary, Meta, Role, RunDir};
use serde_json::json;

use crate::board::{Ending, Evidence, Series, Tally};
use crate::scenario::Plan;

/// Writes a run directory, or nothing when there is none. Errors of the disk do not end the run: the first is kept and
/// fails the run at its end.
pub(crate) struct Record {
    files: Option<Files>,
    failure: Option<String>,
}

struct Files {
    dir: RunDir,
    counters: CountersWriter,
    events: EventLog,
    latency: LatencyLog,
    interval_start_ns: u64,
    evidence: usize,
}

impl Record {
    /// Makes the run directory, if one is wanted, and writes what is known before the run.
    pub(crate) fn create(plan: &Plan) -> Result<Self> {
        let settings = plan.run();
        let context = Context::from_env()?;
        let run_dir = plan.trial.as_ref().map_or(&settings.run_dir, |trial| &trial.run_dir);
        let dir = match (run_dir, &settings.share) {
            (Some(path), _) => RunDir::create(path)?,
            (None, Some(share)) => RunDir::create_in(share, Role::Loadgen, plan.mode)?,
            (None, None) => return Ok(Self { files: None, failure: None }),
        };
        let mut meta = Meta::of_this_process("loadgen", env!("CARGO_PKG_VERSION"), Role::Loadgen, plan.mode, context);
        hide_password(&mut meta.argv);
        meta.seed = Some(settings.seed);
        meta.config = plan.describe();
        dir.write_meta(&meta)?;
        let (counters, events, latency) = (dir.counters_writer()?, dir.events()?, dir.latency_log()?);
        let files = Files { dir, counters, events, latency, interval_start_ns: wall_ns(), evidence: 0 };
        Ok(Self { files: Some(files), failure: None })
    }

    /// A row of counters, and the distributions since the last one.
    pub(crate) fn interval(&mut self, tally: &Tally, series: &Series, self_cpu_us: u64) {
        self.with(|files| {
            let now_ns = wall_ns();
            files.counters.append(&row(tally, now_ns, self_cpu_us))?;
            let (start_ns, length_ns) = (files.interval_start_ns, now_ns.saturating_sub(files.interval_start_ns));
            files.interval_start_ns = now_ns;
            for (tag, distribution) in series.logged() {
                if let Some(histogram) = distribution.histogram() {
                    files.latency.append(Some(tag), start_ns, length_ns, histogram)?;
                }
            }
            Ok(())
        });
    }

    /// The begin or end of a phase, or a mark without length.
    pub(crate) fn phase(&mut self, name: &str, edge: Option<Edge>, tally: &Tally) {
        let detail = json!({ "connected": tally.connected, "failed": tally.connect_fail, "settled": tally.settled });
        self.mark(name, edge, detail);
    }

    /// The begin or end of a part of the run that has a name of its own, or a moment of it.
    pub(crate) fn mark(&mut self, name: &str, edge: Option<Edge>, detail: serde_json::Value) {
        self.with(|files| {
            let event = Event::now(EventKind::Phase, name).detail(detail);
            files.events.append(&match edge {
                Some(edge) => event.edge(edge),
                None => event,
            })
        });
    }

    /// Something worth knowing.
    pub(crate) fn note(&mut self, name: &str, detail: serde_json::Value) {
        self.with(|files| files.events.append(&Event::now(EventKind::Note, name).detail(detail)));
    }

    /// Connections that ended before they were meant to: one line each, or one per reason when they are very many.
    pub(crate) fn endings(&mut self, endings: &[Ending]) {
        if endings.len() <= ENDINGS_ONE_BY_ONE {
            for Ending { client, reason } in endings {
                let event = Event::now(EventKind::Disconnect, reason.as_str()).detail(json!({ "client": client }));
                self.with(|files| files.events.append(&event));
            }
            return;
        }
        let mut by_reason: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for Ending { client, reason } in endings {
            by_reason.entry(reason).or_default().push(*client);
        }
        for (reason, clients) in by_reason {
            let (first, last) = (clients.iter().min(), clients.iter().max());
            let detail = json!({ "count": clients.len(), "client_min": first, "client_max": last });
            self.with(|files| files.events.append(&Event::now(EventKind::Disconnect, reason).detail(detail)));
        }
    }

    /// Connection attempts that failed: for good, or to be followed by another one.
    pub(crate) fn connect_failures(&mut self, name: &str, failures: &BTreeMap<String, u64>) {
        for (reason, count) in failures {
            let event = Event::now(EventKind::Error, name).detail(json!({ "reason": reason, "count": count }));
            self.with(|files| files.events.append(&event));
        }
    }

    /// Bytes that broke the rules, each in a file, with an event that says whose they are and where they stood.
    pub(crate) fn evidence(&mut self, evidence: &[Evidence]) {
        for Evidence { client, reason, offset, bytes } in evidence {
            self.with(|files| {
                files.evidence += 1;
                let file = files.dir.write_evidence(files.evidence, bytes)?;
                let detail = json!({ "client": client, "reason": reason, "offset": offset, "file": file });
                files.events.append(&Event::now(EventKind::Error, "evidence").detail(detail))
            });
        }
    }

    /// Who sent and got what.
    pub(crate) fn ledger(&mut self, entries: &[LedgerEntry]) {
        self.with(|files| files.dir.write_ledger(entries));
    }

    /// The last act.
    pub(crate) fn summary(&mut self, summary: &LoadSummary) {
        self.with(|files| files.dir.write_summary(summary));
    }

    /// The first thing that the disk did not take.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    fn with(&mut self, write: impl FnOnce(&mut Files) -> runlog::Result<()>) {
        if let Some(files) = &mut self.files
            && let Err(error) = write(files)
            && self.failure.is_none()
        {
            eprintln!("loadgen: {error}");
            self.failure = Some(error.to_string());
        }
    }
}

fn row(tally: &Tally, wall_ns: u64, self_cpu_us: u64) -> CounterRow {
    CounterRow {
        mono_ns: mono_ns(),
        wall_ns,
        connected: tally.connected,
        connect_succ: tally.connect_succ,
        connect_fail: tally.connect_fail,
        disconnected: tally.disconnected,
        offered: tally.offered,
        attempted: tally.attempted,
        written: tally.written,
        acked: tally.acked,
        received: tally.received,
        received_bytes: tally.received_bytes,
        lost: tally.lost,
        duplicated: tally.duplicated,
        out_of_order: tally.out_of_order,
        corrupted: tally.corrupted(),
        self_cpu_us,
    }
}

/// `meta.json` keeps the command line; it is no place for secrets.
fn hide_password(argv: &mut [String]) {
    for at in 1..argv.len() {
        let (before, arg) = argv.split_at_mut(at);
        let arg = &mut arg[0];
        if matches!(before[at - 1].as_str(), "-P" | "--password") {
            *arg = HIDDEN.to_owned();
        } else if let Some((flag, _)) = arg.split_once('=').filter(|(flag, _)| *flag == "--password") {
            *arg = format!("{flag}={HIDDEN}");
        } else if arg.starts_with("-P") && arg.len() > 2 {
            *arg = format!("-P{HIDDEN}");
        }
    }
}

const HIDDEN: &str = "***";
/// More disconnects than this between two looks are summed up by reason.
const ENDINGS_ONE_BY_ONE: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_do_not_reach_the_disk() {
        let mut argv: Vec<String> = "loadgen pub -P secret --password secret --password=secret -Psecret -p 1883 -t P"
            .split(' ')
            .map(Into::into)
            .collect();
        hide_password(&mut argv);
        assert_eq!(argv.join(" "), "loadgen pub -P *** --password *** --password=*** -P*** -p 1883 -t P");
    }
}
