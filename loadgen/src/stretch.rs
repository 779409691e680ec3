//! Parts of a run that are told by themselves: the steps of a ramp (`--steps`) and reconnect storms (`--storm`).
//!
//! The reporter decides when each begins and ends; the workers hear of it through [`Control`].

use runlog::clock::mono_ns;
use runlog::event::Edge;
use runlog::{Percentiles, StretchSummary};
use serde_json::json;

use crate::board::{Distribution, Series, Tally};
use crate::control::{Admission, Control, Phase};
use crate::record::Record;
use crate::settings::{Departures, Settings};

/// The stretches of one role.
#[derive(Debug)]
pub(crate) struct Stretches {
    role: String,
    started_ns: u64,
    open: Option<Open>,
    done: Vec<StretchSummary>,
    /// Steps that have begun.
    steps: usize,
    /// Storms that have begun.
    storms: usize,
    /// When the next storm is due, `CLOCK_MONOTONIC`.
    next_storm_ns: Option<u64>,
}

/// The stretch that is under way.
#[derive(Debug)]
struct Open {
    name: String,
    /// Of a step: the clients that should be connected at its end.
    target: Option<u64>,
    begun_ns: u64,
    /// The numbers at its begin.
    begun: Tally,
    /// When all its clients were there, or had failed.
    settled_ns: Option<u64>,
    connack: Distribution,
}

impl Stretches {
    /// With the first step under way, if there are steps.
    pub(crate) fn new(role: &str, settings: &Settings, started_ns: u64, record: &mut Record) -> Self {
        let mut stretches = Self {
            role: role.to_owned(),
            started_ns,
            open: None,
            done: Vec::new(),
            steps: 0,
            storms: 0,
            next_storm_ns: None,
        };
        if !settings.steps.is_empty() {
            stretches.begin_step(settings, Tally::default(), started_ns, record);
        }
        stretches
    }

    /// Who may connect before any step is over.
    pub(crate) fn first_admission(settings: &Settings, begin_ns: u64) -> Admission {
        Admission { first: 0, limit: settings.steps.first().copied().unwrap_or(u32::MAX), begin_ns }
    }

    /// Takes what was measured since the last call.
    pub(crate) fn add(&mut self, series: &Series) {
        if let Some(open) = &mut self.open {
            open.connack.add(&series.connack);
        }
    }

    /// Whether the stretch that is under way may end now, or the next one begin: then what was measured has to be at hand.
    pub(crate) fn look(&mut self, settings: &Settings, control: &Control, tally: &Tally, record: &mut Record) -> bool {
        let now_ns = mono_ns();
        if control.phase() != Phase::Run {
            return false;
        }
        if let Some(Departures::Storm { every, .. }) = settings.departures
            && self.next_storm_ns.is_none()
        {
            self.next_storm_ns = control.go_ns().map(|go_ns| go_ns.max(self.started_ns) + every.as_nanos() as u64);
        }
        let storm_is_due = self.storm_is_due(control, now_ns);
        let Some(open) = &mut self.open else { return storm_is_due };
        if open.settled_ns.is_none() && open.is_settled(settings, tally) {
            open.settled_ns = Some(now_ns);
            if let Some(clients) = open.target {
                let detail = json!({ "role": self.role, "clients": clients, "connected": tally.connected });
                record.mark(&format!("{} reached", open.name), None, detail);
            }
        }
        let hold_ns = settings.hold.as_nanos() as u64;
        let held = open.settled_ns.is_some_and(|settled_ns| now_ns >= settled_ns + hold_ns);
        match open.target {
            // The last step ends with the load, or with the first storm.
            Some(_) => held && self.steps < settings.steps.len() || storm_is_due,
            None => open.settled_ns.is_some() || storm_is_due,
        }
    }

    /// Ends what is over, and begins what is due, after [`look`](Self::look) has said so.
    pub(crate) fn turn(&mut self, settings: &Settings, control: &Control, tally: &Tally, record: &mut Record) {
        let now_ns = mono_ns();
        let was_step = self.open.as_ref().is_some_and(|open| open.target.is_some());
        self.close(tally, record);
        if was_step && self.steps < settings.steps.len() {
            let first = settings.steps[self.steps - 1];
            self.begin_step(settings, *tally, now_ns, record);
            control.admit(Admission { first, limit: settings.steps[self.steps - 1], begin_ns: now_ns });
        } else if self.storm_is_due(control, now_ns) {
            let Some(Departures::Storm { every, .. }) = settings.departures else { return };
            self.next_storm_ns = self.next_storm_ns.map(|due_ns| due_ns + every.as_nanos() as u64);
            self.storms += 1;
            self.open(format!("storm-{}", self.storms), None, *tally, now_ns, record);
            control.storm(now_ns);
        }
    }

    /// Ends the stretch that is under way.
    pub(crate) fn close(&mut self, tally: &Tally, record: &mut Record) {
        let Some(open) = self.open.take() else { return };
        let summary = open.summary(tally, self.started_ns);
        let detail = json!({
            "role": self.role, "clients": summary.clients, "connected": tally.connected, "failed": summary.failed,
            "settled_s": summary.settled_s, "connack_p50_us": summary.connack_us.p50,
            "connack_p99_us": summary.connack_us.p99,
        });
        record.mark(&open.name, Some(Edge::End), detail);
        self.done.push(summary);
    }

    /// Those that are over.
    pub(crate) fn done(&self) -> &[StretchSummary] {
        &self.done
    }

    fn storm_is_due(&self, control: &Control, now_ns: u64) -> bool {
        !control.is_calm() && self.next_storm_ns.is_some_and(|due_ns| now_ns >= due_ns)
    }

    fn begin_step(&mut self, settings: &Settings, tally: Tally, now_ns: u64, record: &mut Record) {
        let target = u64::from(settings.steps[self.steps]);
        self.steps += 1;
        self.open(format!("step-{}", self.steps), Some(target), tally, now_ns, record);
    }

    fn open(&mut self, name: String, target: Option<u64>, begun: Tally, begun_ns: u64, record: &mut Record) {
        let detail = json!({ "role": self.role, "connected": begun.connected });
        record.mark(&name, Some(Edge::Begin), detail);
        let connack = Distribution::default();
        self.open = Some(Open { name, target, begun_ns, begun, settled_ns: None, connack });
    }
}

impl Open {
    fn is_settled(&self, settings: &Settings, tally: &Tally) -> bool {
        let since = |of: fn(&Tally) -> u64| of(tally) - of(&self.begun);
        match self.target {
            Some(clients) => tally.settled >= clients,
            None => {
                since(|tally| tally.storms) >= settings.threads as u64
                    && since(|tally| tally.rejoined) >= since(|tally| tally.churned)
            }
        }
    }

    fn summary(&self, tally: &Tally, started_ns: u64) -> StretchSummary {
        let since = |of: fn(&Tally) -> u64| of(tally) - of(&self.begun);
        let seconds = |from_ns: u64, to_ns: u64| to_ns.saturating_sub(from_ns) as f64 / 1e9;
        let succeeded = since(|tally| tally.connect_succ + tally.reconnect_succ);
        let settled_s = self.settled_ns.map(|settled_ns| {
            // A step is told with the precision of the workers, not of the reporter.
            let at_ns = if self.target.is_some() { tally.settled_at_ns.min(settled_ns) } else { settled_ns };
            seconds(self.begun_ns, at_ns)
        });
        let connack_us = self
            .connack
            .histogram()
            .map_or_else(Percentiles::default, |histogram| Percentiles::of_histogram(histogram, 1e-3, 0));
        StretchSummary {
            name: self.name.clone(),
            clients: self.target.unwrap_or_else(|| since(|tally| tally.churned)),
            begin_s: seconds(started_ns, self.begun_ns),
            length_s: seconds(self.begun_ns, mono_ns()),
            settled_s,
            connected: tally.connected,
            succeeded,
            failed: since(|tally| tally.connect_fail + tally.connect_retried + tally.reconnect_fail),
            disconnected: since(|tally| tally.disconnected),
            rate_per_s: settled_s.filter(|s| *s > 0.0).map(|s| succeeded as f64 / s),
            connack_us,
        }
    }
}
