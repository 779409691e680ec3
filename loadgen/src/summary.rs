//! The verdict: what was asked for, what was done, and whether the generator itself was the limit.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use runlog::summary::{ConnectSummary, DisconnectSummary, GENERATOR_LAG_LIMIT_US, PublishSummary, ReceiveSummary};
use runlog::{LoadSummary, Percentiles, StretchSummary};

use serde::Serialize;

use crate::board::{Distribution, Series, Tally};
use crate::group::Group;
use crate::settings::{RoleSettings, Settings};

/// Everything that is known at the end about one role.
pub(crate) struct Outcome<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) tally: &'a Tally,
    /// The same without the messages of the warm-up.
    pub(crate) counted: Tally,
    pub(crate) series: &'a Series,
    pub(crate) connect_failures: &'a BTreeMap<String, u64>,
    pub(crate) disconnects: &'a BTreeMap<String, u64>,
    pub(crate) started_ns: u64,
    pub(crate) ended_ns: u64,
    /// CPU time of its threads.
    pub(crate) cpu_s: f64,
    /// Share of one core that the busiest worker used while it produced the load.
    pub(crate) busiest_worker: f64,
    /// Steps and storms.
    pub(crate) stretches: &'a [StretchSummary],
    /// The end came before all clients had an outcome, or before the limit was reached, because somebody said so.
    pub(crate) stopped: bool,
}

/// Everything that is known at the end of a run.
pub(crate) struct Whole<'a> {
    pub(crate) mode: &'a str,
    /// What concerns the whole run.
    pub(crate) settings: &'a Settings,
    pub(crate) groups: &'a [Group],
    pub(crate) started_ns: u64,
    pub(crate) ended_ns: u64,
    /// Length of the warm-up.
    pub(crate) warm_up_s: f64,
    pub(crate) self_cpu_s: f64,
    /// The run directory is incomplete.
    pub(crate) record_failure: Option<&'a str>,
    /// What went wrong in a worker.
    pub(crate) worker_failures: &'a [String],
    /// The end came early, because somebody said so.
    pub(crate) stopped: bool,
}

impl Whole<'_> {
    /// The summary of the run: of its one role, or of all together, with each of them beneath.
    pub(crate) fn summarise(&self) -> LoadSummary {
        let outcome = |group: &Group| group.outcome(self.started_ns, self.ended_ns, self.stopped).summarise();
        let mut summary = match self.groups {
            [group] => outcome(group),
            groups => {
                let roles = groups.iter().map(|group| {
                    let mut role = outcome(group);
                    role.name = group.role.name.clone();
                    role
                });
                self.together(roles.collect())
            }
        };
        summary.mode = self.mode.to_owned();
        summary.warm_up_s = self.warm_up_s;
        summary.self_cpu_s = self.self_cpu_s;
        summary.failures.splice(0..0, self.worker_failures.iter().cloned());
        summary.failures.extend(self.record_failure.map(incomplete));
        summary.ok = summary.failures.is_empty();
        self.expect(&mut summary);
        summary
    }

    /// The roles as one load.
    fn together(&self, roles: Vec<LoadSummary>) -> LoadSummary {
        let (mut tally, mut counted, mut series) = (Tally::default(), Tally::default(), Series::default());
        let (mut connect_failures, mut disconnects) = (BTreeMap::new(), BTreeMap::new());
        let add = |sum: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>| {
            more.iter().for_each(|(reason, count)| *sum.entry(reason.clone()).or_default() += count);
        };
        for group in self.groups {
            tally.add(&group.tally);
            counted.add(&group.counted());
            series.add(&group.series);
            add(&mut connect_failures, &group.connect_failures);
            add(&mut disconnects, &group.disconnects);
        }
        let outcome = Outcome {
            settings: self.settings,
            tally: &tally,
            counted,
            series: &series,
            connect_failures: &connect_failures,
            disconnects: &disconnects,
            started_ns: self.started_ns,
            ended_ns: self.ended_ns,
            cpu_s: self.self_cpu_s,
            busiest_worker: self.groups.iter().map(Group::busiest_worker).fold(0.0, f64::max),
            stretches: &[],
            stopped: self.stopped,
        };
        let of_roles = |texts: fn(&LoadSummary) -> &Vec<String>| {
            let named = |role: &LoadSummary| {
                texts(role).iter().map(|text| format!("{}: {text}", role.name)).collect::<Vec<_>>()
            };
            roles.iter().flat_map(named).collect::<Vec<_>>()
        };
        let generator_reasons = of_roles(|role| &role.generator_reasons);
        LoadSummary {
            failures: of_roles(|role| &role.failures),
            clients: roles.iter().map(|role| role.clients).sum(),
            publish: roles.iter().any(|role| role.publish.is_some()).then(|| outcome.publish()),
            receive: roles.iter().any(|role| role.receive.is_some()).then(|| outcome.receive()),
            generator_limited: !generator_reasons.is_empty(),
            generator_reasons,
            roles,
            ..outcome.summarise()
        }
    }

    /// Where expectations are stated, they are what decides; what else went wrong stands beside them.
    fn expect(&self, summary: &mut LoadSummary) {
        let expectations = &self.settings.expectations;
        if expectations.is_empty() {
            return;
        }
        let unmet = expectations.unmet(summary);
        summary.expected = Some(expectations.to_string());
        let broken: Vec<String> =
            self.worker_failures.iter().cloned().chain(self.record_failure.map(incomplete)).collect();
        summary.warnings = summary.failures.drain(..).filter(|failure| !broken.contains(failure)).collect();
        summary.failures = broken.into_iter().chain(unmet).collect();
        summary.ok = summary.failures.is_empty();
    }

    /// Whether the tool itself failed, so that its figures are not to be trusted.
    pub(crate) fn is_broken(&self) -> bool {
        self.record_failure.is_some() || !self.worker_failures.is_empty()
    }
}

impl Outcome<'_> {
    /// The summary of the role.
    fn summarise(&self) -> LoadSummary {
        let tally = self.tally;
        let failures = self.failures();
        let steps: Vec<_> = self.stretches.iter().filter(|stretch| stretch.name.starts_with("step")).collect();
        let settled_s = match steps.is_empty() {
            true => tally.settled_at_ns.saturating_sub(self.started_ns) as f64 / 1e9,
            // The time between the steps is no time of the ramp.
            false => steps.iter().filter_map(|step| step.settled_s).sum(),
        };
        let generator_reasons = self.generator_reasons();
        LoadSummary {
            tool: "loadgen".to_owned(),
            mode: self.settings.mode().to_owned(),
            ok: failures.is_empty(),
            failures,
            clients: u64::from(self.settings.clients),
            connect: ConnectSummary {
                attempted: tally.connect_attempted,
                succeeded: tally.connect_succ,
                failed: tally.connect_fail,
                by_reason: self.connect_failures.clone(),
                rate_per_s: if settled_s > 0.0 { tally.connect_succ as f64 / settled_s } else { 0.0 },
                established_us: percentiles(&self.series.established),
                connack_us: percentiles(&self.series.connack),
                suback_us: percentiles(&self.series.suback),
                duration_s: settled_s,
                tls_handshakes: tally.tls_handshakes,
                tls_resumed: tally.tls_resumed,
                retried: tally.connect_retried,
                reconnected: tally.reconnect_succ,
                churned: tally.churned,
            },
            publish: self.settings.publishing().map(|_| self.publish()),
            receive: matches!(self.settings.role, RoleSettings::Sub(_)).then(|| self.receive()),
            disconnected: DisconnectSummary { total: tally.disconnected, by_reason: self.disconnects.clone() },
            stretches: self.stretches.to_vec(),
            elapsed_s: self.ended_ns.saturating_sub(self.started_ns) as f64 / 1e9,
            self_cpu_s: self.cpu_s,
            generator_limited: !generator_reasons.is_empty(),
            generator_reasons,
            ..LoadSummary::default()
        }
    }

    /// Why the generator's own machine may have been the limit, so that the figures are a lower bound of what the
    /// broker can do:
    ///
    /// - a worker thread used more than [`BUSY_LIMIT`] of a core while it produced the load: from the start until all are
    ///   ready for `conn`, from then until the end for `sub` and `pub`; or
    /// - the 99th percentile of the *own* send lag exceeds [`GENERATOR_LAG_LIMIT_US`], and there are messages enough to know
    ///   it. Own lag is the lag of messages whose client was free to send when they became due; messages that waited for
    ///   the window or the socket are left out, because they waited for the peer.
    fn generator_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let Some(lag_us) = percentiles(&self.series.own_lag).p99.filter(|lag_us| *lag_us > GENERATOR_LAG_LIMIT_US) {
            reasons.push(format!(
                "1 % of the messages whose client was free were sent {:.1} ms late or later (limit {} ms)",
                lag_us / 1e3,
                GENERATOR_LAG_LIMIT_US / 1e3
            ));
        }
        if self.busiest_worker > BUSY_LIMIT {
            reasons.push(format!(
                "a worker used {:.0} % of a core (limit {:.0} %): give it more --threads or more machines",
                self.busiest_worker * 100.0,
                BUSY_LIMIT * 100.0
            ));
        }
        reasons
    }

    fn publish(&self) -> PublishSummary {
        let tally = &self.counted;
        // The maximum of the whole run is exact; without the warm-up it is the histogram's.
        let late_max_ns = match self.settings.warm_up.is_zero() {
            true => tally.late_max_ns,
            false => self.series.send_lag.histogram().map_or(0, hdrhistogram::Histogram::max),
        };
        PublishSummary {
            offered: tally.offered,
            attempted: tally.attempted,
            written: tally.written,
            acked: tally.acked,
            late_max_us: late_max_ns / 1_000,
            send_lag_us: percentiles(&self.series.send_lag),
            own_lag_us: percentiles(&self.series.own_lag),
            ack_us: percentiles(&self.series.ack),
        }
    }

    fn receive(&self) -> ReceiveSummary {
        let tally = &self.counted;
        ReceiveSummary {
            delivered: tally.delivered + tally.foreign(),
            bytes: tally.received_bytes,
            lost: tally.lost,
            expired: tally.expired,
            duplicated: tally.duplicated,
            out_of_order: tally.out_of_order,
            verified: tally.verified,
            foreign: tally.foreign(),
            corrupted: tally.corrupted(),
            latency_us: percentiles(&self.series.latency),
            uncorrected_latency_us: percentiles(&self.series.uncorrected),
        }
    }

    fn failures(&self) -> Vec<String> {
        let (settings, tally) = (self.settings, self.tally);
        let mut failures = Vec::new();
        let unready: u64 = self.connect_failures.values().sum();
        if unready > 0 {
            failures.push(format!(
                "{unready} of {} clients did not get ready: {}",
                settings.clients,
                list(self.connect_failures)
            ));
        }
        if tally.connect_succ == 0 {
            failures.push("no client connected".to_owned());
        }
        let away = tally.disconnected.saturating_sub(tally.recovered);
        if away > 0 {
            let came_back = if settings.reconnects_max > 0 { " and did not come back" } else { "" };
            failures.push(format!("{away} connections were lost{came_back}: {}", list(self.disconnects)));
        }
        // Those that left at the very end need not be back yet.
        if tally.shut_out > 0 {
            failures.push(format!("{} clients that left on purpose could not come back", tally.shut_out));
        }
        if let Some(publish) = settings.publishing() {
            let unsettled = tally.in_flight + tally.unwritten;
            if unsettled > 0 {
                failures.push(format!("{unsettled} messages were not acknowledged or not written at the end"));
            }
            if tally.pub_fail > 0 {
                failures.push(format!("{} messages failed with their connection or were refused", tally.pub_fail));
            }
            if let Some(limit) = publish.limit.filter(|limit| !self.stopped && tally.attempted < *limit) {
                failures.push(format!("{} of {limit} messages were sent (-L)", tally.attempted));
            }
        }
        failures
    }
}

fn incomplete(error: &str) -> String {
    format!("the run directory is incomplete: {error}")
}

/// Writes a value as JSON to a file, or hands it to `print` where the path is `-`.
pub(crate) fn write_json(path: &Path, value: &impl Serialize, print: impl FnOnce(&str)) -> Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    if path.as_os_str() == "-" {
        print(&text);
        return Ok(());
    }
    fs::write(path, text + "\n").with_context(|| format!("cannot write to {} (--json)", path.display()))
}

/// The summary for people.
pub(crate) fn text(summary: &LoadSummary) -> String {
    let mut lines = Vec::new();
    for role in &summary.roles {
        lines.push(format!("{} ({})", role.name, role.mode));
        lines.extend(figures(role).into_iter().map(|line| format!("  {line}")));
        lines.push(format!("  cost      {:.2} s of CPU", role.self_cpu_s));
    }
    if !summary.roles.is_empty() {
        lines.push("all roles".to_owned());
    }
    lines.extend(figures(summary));
    lines.push(format!("cost      {:.2} s of CPU in {:.2} s", summary.self_cpu_s, summary.elapsed_s));
    if summary.warm_up_s > 0.0 {
        lines.push(format!("warm-up   the messages of the first {:.1} s are not counted", summary.warm_up_s));
    }
    if summary.generator_limited {
        lines.push(
            "warning   the generator was late or saturated: its figures are a lower bound of what the broker can do"
                .to_owned(),
        );
    }
    lines.extend(summary.generator_reasons.iter().map(|reason| format!("          {reason}")));
    if let Some(expected) = &summary.expected {
        lines.push(format!("expected  {expected}: {}", if summary.ok { "met" } else { "not met" }));
    }
    lines.extend(summary.warnings.iter().map(|warning| format!("warning   {warning}")));
    lines.extend(summary.failures.iter().map(|failure| format!("failed    {failure}")));
    lines.join("\n")
}

/// What was done, one line per kind.
fn figures(summary: &LoadSummary) -> Vec<String> {
    let connect = &summary.connect;
    let mut lines = vec![format!(
        "connect   {} of {} in {:.2} s ({:.0}/s), CONNACK {}",
        connect.succeeded,
        summary.clients,
        connect.duration_s,
        connect.rate_per_s,
        curve(&connect.connack_us)
    )];
    for stretch in &summary.stretches {
        lines.push(format!(
            "{:<9} {} clients, {} connected {}, {} attempts failed, {} connections lost; CONNACK {}",
            stretch.name,
            stretch.clients,
            stretch.succeeded,
            stretch.settled_s.map_or_else(
                || "and not all of them in its time".to_owned(),
                |s| format!("in {s:.2} s ({:.0}/s)", stretch.rate_per_s.unwrap_or_default())
            ),
            stretch.failed,
            stretch.disconnected,
            curve(&stretch.connack_us)
        ));
    }
    if connect.tls_handshakes > 0 {
        lines.push(format!("tls       {} handshakes, {} resumed", connect.tls_handshakes, connect.tls_resumed));
    }
    if connect.retried + connect.reconnected + connect.churned > 0 {
        lines.push(format!(
            "again     {} connections left on purpose, {} came back, {} attempts repeated",
            connect.churned, connect.reconnected, connect.retried
        ));
    }
    if connect.suback_us.count > 0 {
        lines.push(format!("subscribe SUBACK {}", curve(&connect.suback_us)));
    }
    if let Some(publish) = &summary.publish {
        lines.push(format!(
            "publish   offered {}, attempted {}, written {}, acknowledged {}; send lag {}",
            publish.offered,
            publish.attempted,
            publish.written,
            publish.acked,
            curve(&publish.send_lag_us)
        ));
    }
    if let Some(receive) = &summary.receive {
        lines.push(format!(
            "receive   delivered {}, lost {}, expired {}, duplicated {}, out of order {}; latency {}",
            receive.delivered,
            receive.lost,
            receive.expired,
            receive.duplicated,
            receive.out_of_order,
            curve(&receive.latency_us)
        ));
        lines.push(format!(
            "payload   verified {}, foreign {}, corrupted {}",
            receive.verified, receive.foreign, receive.corrupted
        ));
    }
    lines.push(format!(
        "lost      {} connections; {}",
        summary.disconnected.total,
        list(&summary.disconnected.by_reason)
    ));
    lines
}

fn percentiles(distribution: &Distribution) -> Percentiles {
    distribution
        .histogram()
        .map_or_else(Percentiles::default, |histogram| Percentiles::of_histogram(histogram, 1e-3, 0))
}

fn curve(percentiles: &Percentiles) -> String {
    let parts = [("p50", percentiles.p50), ("p99", percentiles.p99), ("max", percentiles.max)];
    let shown: Vec<_> =
        parts.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {:.3} ms", value / 1e3))).collect();
    if shown.is_empty() { "unknown".to_owned() } else { shown.join(", ") }
}

fn list(by_reason: &BTreeMap<String, u64>) -> String {
    if by_reason.is_empty() {
        return "none".to_owned();
    }
    by_reason.iter().map(|(reason, count)| format!("{reason} x {count}")).collect::<Vec<_>>().join(", ")
}

/// Share of a core from which on a worker counts as saturated.
const BUSY_LIMIT: f64 = 0.9;
