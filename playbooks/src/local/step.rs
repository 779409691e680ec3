//! One step: broker up, collectors on, ramp, settle, measure, drain, everything down, gates.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;
use runlog::{Edge, Event, Run, clock, host};
use serde_json::json;

use super::child::{describe, stop};
use super::gates::{self, Gate};
use super::marks::Marks;
use super::progress::Progress;
use super::signals::Signals;
use super::site::{Process, Site, Start, Watched};
use crate::plan::{Action, Phase, PlannedCheck, PlannedPhase, PlannedProcess, PlannedStep, ProcessKind};

/// Runs the step and returns the verdict of every gate. An error means that results cannot be kept any more.
pub(super) fn run(
    step: &PlannedStep,
    steps: &[PlannedStep],
    site: &mut dyn Site,
    signals: &Signals,
    marks: &mut Marks,
    progress: &Progress,
) -> Result<Vec<Gate>> {
    site.begin(step)?;
    let mut running =
        Running { step, site, signals, children: Vec::new(), gates: Vec::new(), measured: None, phases: Vec::new() };
    let ended_early = match running.begin(marks)? {
        Ok(()) => running.phases(marks, progress)?,
        Err(early) => early,
    };
    running.stop_all();
    running.gates.extend(ended_early);
    if signals.stop_asked().is_none() {
        let changed = running.declared("manifest-after").err().flatten();
        running.gates.extend(changed);
    }
    running.site.end(step, &running.phases)?;
    for (name, detail) in running.site.findings() {
        marks.fact(step, name, detail)?;
    }
    if signals.stop_asked().is_none() {
        running.judge(steps);
    }
    for gate in &running.gates {
        marks.gate(step, gate)?;
    }
    Ok(running.gates)
}

/// A step that is under way.
struct Running<'a> {
    step: &'a PlannedStep,
    site: &'a mut dyn Site,
    signals: &'a Signals,
    /// In the order of starting; the broker is the first.
    children: Vec<Started<'a>>,
    gates: Vec<Gate>,
    /// The measure phase, monotonic nanoseconds.
    measured: Option<(u64, u64)>,
    /// The marks so far.
    phases: Vec<Event>,
}

/// A child.
struct Started<'a> {
    name: String,
    process: Box<dyn Process>,
    /// What the plan says of a tool, and where it writes; absent for the broker.
    tool: Option<(&'a PlannedProcess, String)>,
    is_stopped: bool,
    /// It was asked to end in the course of the measure phase.
    may_end: bool,
}

impl Started<'_> {
    fn is_load(&self) -> bool {
        self.tool.as_ref().is_some_and(|(planned, _)| planned.kind != ProcessKind::Collector)
    }

    fn ends_by_itself(&self) -> bool {
        self.tool.as_ref().is_some_and(|(planned, _)| planned.ends_by_itself)
    }
}

/// Why the phases ended before their time: a gate that failed, or `None` when the user asked.
type Early = Option<Gate>;

impl<'a> Running<'a> {
    /// Before the first phase: a clean slate, and settings as declared.
    fn begin(&mut self, marks: &mut Marks) -> Result<Result<(), Early>> {
        if let Err(early) = self.clean_slate(marks)? {
            return Ok(Err(early));
        }
        Ok(self.declared("manifest"))
    }

    /// Waits until no more than the allowed sockets are in TIME_WAIT, and notes what the step begins with.
    fn clean_slate(&mut self, marks: &mut Marks) -> Result<Result<(), Early>> {
        let step = self.step;
        let begin = Instant::now();
        let allowed = step.clean.map_or(u64::MAX, |clean| clean.time_wait_max);
        let limit = Duration::from_millis(step.clean.map_or(0, |clean| clean.limit_ms));
        let is_clean = |site: &dyn Site| site.time_wait().is_none_or(|sockets| sockets <= allowed);
        let outcome = self.wait_on_site(limit, |site, _| is_clean(site));
        let left = self.site.time_wait();
        let facts = json!({
            "time_wait": left, "waited_ms": begin.elapsed().as_millis() as u64, "boot_id": host::boot_id(),
            "fresh_network": self.site.is_fresh(),
        });
        marks.fact(step, "clean-slate", facts)?;
        Ok(outcome.and_then(|clean| {
            let reason = || {
                let left = left.unwrap_or_default();
                format!("{left} sockets in TIME_WAIT after {limit:?}, at most {allowed} may be")
            };
            if clean { Ok(()) } else { Err(Some(Gate::failed("clean-slate", &step.broker.host, reason()))) }
        }))
    }

    /// Declared settings are those observed.
    fn declared(&mut self, gate: &'static str) -> Result<(), Early> {
        self.checks(gate, &self.step.manifest, gates::differences)
    }

    /// The broker delivers, at each QoS that it grants.
    fn smoke(&mut self) -> Result<(), Early> {
        self.checks("smoke", &self.step.smoke, |_| None)
    }

    /// Runs these commands side by side; each must end with 0. `explain` may say why one did not, from its output.
    fn checks(
        &mut self,
        gate: &'static str,
        checks: &'a [PlannedCheck],
        explain: impl Fn(&str) -> Option<String>,
    ) -> Result<(), Early> {
        let mut started = Vec::new();
        for check in checks {
            let start = Start {
                name: &check.name,
                host: &check.host,
                argv: &check.argv,
                env: &self.step.env,
                log: &check.log,
                cpus: &[],
                watched: None,
            };
            let process = self.site.start(&start);
            let process = process.map_err(|error| Some(Gate::failed(gate, &check.name, format!("{error:#}"))))?;
            started.push((check, process));
        }
        let limit = Duration::from_millis(checks.iter().map(|check| check.limit_ms).max().unwrap_or(0));
        self.wait(limit, |_| started.iter_mut().all(|(_, process)| process.ended().is_some()))?;
        let mut failed = None;
        for (check, mut process) in started {
            let failure = match process.ended() {
                Some(status) if status.success() => None,
                Some(status) => {
                    let explained = explain(&process.output());
                    Some(explained.unwrap_or_else(|| format!("{}; {}", describe(status), process.last_words())))
                }
                None => Some(format!("not done after {limit:?}; {}", process.last_words())),
            };
            let judged = Gate::judged(gate, &check.name, failure);
            if judged.failure.is_some() && failed.is_none() {
                failed = Some(judged);
            } else {
                self.gates.push(judged);
            }
        }
        failed.map_or(Ok(()), |gate| Err(Some(gate)))
    }

    /// Goes through the phases; returns the gate that ended them early, if one did.
    fn phases(&mut self, marks: &mut Marks, progress: &Progress) -> Result<Option<Gate>> {
        for phase in [Phase::Ramp, Phase::Settle, Phase::Measure, Phase::Drain] {
            self.phases.push(marks.phase(self.step, phase, Edge::Begin)?);
            progress.phase(self.step, phase);
            let begin = clock::mono_ns();
            let outcome = match phase {
                Phase::Ramp => {
                    self.start_broker().and_then(|()| self.smoke()).and_then(|()| self.start_all(Phase::Ramp))
                }
                Phase::Settle => self.pass(phase),
                Phase::Measure => match self.start_all(Phase::Measure) {
                    Ok(()) => self.measure(marks)?,
                    Err(early) => Err(early),
                },
                Phase::Drain => self.drain(),
            };
            if phase == Phase::Measure && outcome.is_ok() {
                self.measured = Some((begin, clock::mono_ns()));
            }
            self.phases.push(marks.phase(self.step, phase, Edge::End)?);
            if let Err(early) = outcome {
                return Ok(early);
            }
        }
        Ok(None)
    }

    fn start_broker(&mut self) -> Result<(), Early> {
        let broker = &self.step.broker;
        if !broker.argv.is_empty() {
            let start = Start {
                name: BROKER,
                host: &broker.host,
                argv: &broker.argv,
                env: &broker.env,
                log: &broker.log,
                cpus: &broker.cpus,
                watched: None,
            };
            self.start(&start, None)?;
        }
        let address: SocketAddr = broker.address.parse().map_err(|error| {
            Some(Gate::failed("ready", BROKER, format!("'{}' is no address: {error}", broker.address)))
        })?;
        let limit = Duration::from_millis(broker.ready_timeout_ms);
        if self.wait_on_site(limit, |site, _| site.accepts(&broker.reached_from, &address, CONNECT_LIMIT))? {
            return Ok(());
        }
        let said = self.children.first().map(|broker| format!("; {}", broker.process.last_words())).unwrap_or_default();
        let reason = format!("does not accept connections on {address} after {limit:?}{said}");
        Err(Some(Gate::failed("ready", BROKER, reason)))
    }

    /// Starts the processes of a phase in order, each when the one before is ready.
    fn start_all(&mut self, phase: Phase) -> Result<(), Early> {
        let step = self.step;
        let limit = Duration::from_millis(step.phase(phase).limit_ms);
        let mut awaited = Vec::new();
        for planned in step.processes.iter().filter(|planned| planned.start == phase) {
            if !planned.with_previous {
                self.await_ready(&mut awaited, limit)?;
            }
            let values = self.runtime_values();
            let argv: Vec<String> = planned.argv.iter().map(|arg| with_values(arg, &values)).collect();
            let run_dir = with_values(&planned.run_dir, &values);
            let start = Start {
                name: &planned.name,
                host: &planned.host,
                argv: &argv,
                env: &step.env,
                log: &planned.log,
                cpus: &planned.cpus,
                watched: Some(Watched { kind: planned.kind, run_dir: &run_dir }),
            };
            self.start(&start, Some((planned, run_dir.clone())))?;
            if planned.awaits_ready {
                awaited.push(self.children.len() - 1);
            }
        }
        self.await_ready(&mut awaited, limit)
    }

    /// Waits until each of these children is ready.
    fn await_ready(&mut self, awaited: &mut Vec<usize>, limit: Duration) -> Result<(), Early> {
        for index in awaited.drain(..) {
            if !self.wait(limit, |children| children[index].process.is_ready())? {
                let started = &self.children[index];
                let reason = format!("not ready after {limit:?}; {}", started.process.last_words());
                return Err(Some(Gate::failed("ready", &started.name, reason)));
            }
        }
        Ok(())
    }

    /// Lets the time of a phase pass.
    fn pass(&mut self, phase: Phase) -> Result<(), Early> {
        self.wait(Duration::from_millis(self.step.phase(phase).expected_ms), |_| false).map(drop)
    }

    /// The measure phase lasts its time, and longer when a process with a set amount of work is not done. What is to be done
    /// to loads in its course is done, and noted.
    fn measure(&mut self, marks: &mut Marks) -> Result<Result<(), Early>> {
        let (step, begin) = (self.step, Instant::now());
        let phase = step.phase(Phase::Measure);
        for (at_ms, action, name) in step.actions() {
            let left = Duration::from_millis(at_ms).saturating_sub(begin.elapsed());
            if let Err(early) = self.wait(left, |_| false) {
                return Ok(Err(early));
            }
            if let Some(index) = self.children.iter().position(|started| started.name == name) {
                let started = &mut self.children[index];
                started.may_end |= action == Action::Stop;
                marks.fact(step, action.name(), json!({"process": name}))?;
                started.process.signal(action.signal());
            }
        }
        Ok(self.finish(phase, begin))
    }

    fn finish(&mut self, phase: &PlannedPhase, begin: Instant) -> Result<(), Early> {
        self.wait(Duration::from_millis(phase.expected_ms).saturating_sub(begin.elapsed()), |_| false)?;
        let limit = Duration::from_millis(phase.limit_ms - phase.expected_ms);
        let all_done = |children: &mut [Started<'_>]| {
            children
                .iter_mut()
                .filter(|started| started.ends_by_itself())
                .all(|started| started.process.ended().is_some())
        };
        if self.wait(limit, all_done)? {
            return Ok(());
        }
        let mut finite = self.children.iter_mut().filter(|started| started.ends_by_itself());
        let late = finite.find_map(|started| started.process.ended().is_none().then(|| started.name.clone()));
        let reason = format!("not done {limit:?} after the end of the measure phase");
        Err(Some(Gate::failed("finish", &late.unwrap_or_default(), reason)))
    }

    /// Stops the sender, lets arrive what is under way, then stops the others.
    fn drain(&mut self) -> Result<(), Early> {
        let senders: Vec<&str> = self.step.senders().map(|process| process.name.as_str()).collect();
        for index in (0..self.children.len()).rev() {
            if senders.contains(&self.children[index].name.as_str()) {
                self.stop(index);
            }
        }
        self.pass(Phase::Drain)?;
        for index in (0..self.children.len()).rev() {
            if self.children[index].is_load() {
                self.stop(index);
            }
        }
        Ok(())
    }

    /// Collectors and the broker, and whatever else is left.
    fn stop_all(&mut self) {
        for index in (0..self.children.len()).rev() {
            self.stop(index);
        }
    }

    /// Stops a child and judges how it ended.
    fn stop(&mut self, index: usize) {
        let started = &mut self.children[index];
        if started.is_stopped {
            return;
        }
        started.is_stopped = true;
        let grace = match &started.tool {
            Some(_) => TOOL_STOP_GRACE,
            None => Duration::from_millis(self.step.broker.stop_grace_ms),
        };
        let grace = grace + closing_time(super::connections_of(self.step));
        let stopped = stop(&mut *started.process, grace, self.signals);
        if self.signals.stop_asked().is_none() {
            let last_words = started.process.last_words();
            self.gates.push(match &started.tool {
                Some(_) => gates::tool_exit(&started.name, &stopped, &last_words),
                None => gates::broker_exit(&started.name, &stopped, &last_words),
            });
        }
    }

    fn judge(&mut self, steps: &[PlannedStep]) {
        let tools = self.children.iter().filter_map(|started| started.tool.as_ref());
        let runs: Vec<(&PlannedProcess, Run)> = tools.map(|(planned, dir)| (*planned, Run::open(dir))).collect();
        let written: Vec<gates::Written<'_>> = runs.iter().map(|(planned, run)| (*planned, run)).collect();
        let measured = |process: &PlannedProcess| {
            let (begin, end) = self.measured?;
            Some((self.site.mono_ns_of(&process.host, begin), self.site.mono_ns_of(&process.host, end)))
        };
        let judged = gates::judge(&written, &measured);
        self.gates.extend(judged);
        self.gates.extend(gates::since_first(self.step, steps));
        self.gates.extend(gates::steady(self.step, &written, self.measured));
    }

    fn start(&mut self, start: &Start<'_>, tool: Option<(&'a PlannedProcess, String)>) -> Result<(), Early> {
        let process = self.site.start(start);
        let process = process.map_err(|error| Some(Gate::failed("start", start.name, format!("{error:#}"))))?;
        self.children.push(Started { name: start.name.to_owned(), process, tool, is_stopped: false, may_end: false });
        Ok(())
    }

    /// Waits for a condition, a signal, the end of a child that should live, or the limit. `Ok(false)`: the limit.
    fn wait(&mut self, limit: Duration, mut condition: impl FnMut(&mut [Started<'a>]) -> bool) -> Result<bool, Early> {
        self.wait_on_site(limit, |_, children| condition(children))
    }

    fn wait_on_site(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&dyn Site, &mut [Started<'a>]) -> bool,
    ) -> Result<bool, Early> {
        let (site, signals, children) = (&*self.site, self.signals, &mut self.children);
        let mut early: Option<Early> = None;
        let met = signals.wait_until(limit, || {
            if signals.stop_asked().is_some() {
                early = Some(None);
            } else if let Some(gate) = children.iter_mut().find_map(died) {
                early = Some(Some(gate));
            }
            early.is_some() || condition(site, children)
        });
        early.map_or(Ok(met), Err)
    }

    fn runtime_values(&self) -> BTreeMap<String, String> {
        let pid = |started: &Started<'_>| (format!("${{PID:{}}}", started.name), started.process.pid().to_string());
        let mut values: BTreeMap<String, String> = self.children.iter().map(pid).collect();
        values.insert("${UTC}".into(), clock::utc_compact(clock::wall_ns()));
        values
    }
}

/// The gate that fails when a child that should live has ended.
fn died(started: &mut Started<'_>) -> Option<Gate> {
    let may_end = started.is_stopped || started.may_end || started.ends_by_itself();
    let status = started.process.ended()?;
    if may_end && status.success() || started.is_stopped {
        return None;
    }
    let reason = format!("ended in the middle of the step with {}; {}", describe(status), started.process.last_words());
    Some(Gate::failed("alive", &started.name, reason))
}

fn with_values(text: &str, values: &BTreeMap<String, String>) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Name of the broker among the step's processes.
const BROKER: &str = "broker";

/// For one attempt of the ready check.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);

/// Time for a tool to end after it was asked to, beside [`closing_time`]: it waits for acknowledgements and writes its summary.
const TOOL_STOP_GRACE: Duration = Duration::from_secs(10);

/// What closing the step's connections may add, for whoever is on their host: an emulated machine took more than 10 s for
/// 100,000, and a collector could not count a million of them before they were gone.
pub(crate) fn closing_time(connections: u64) -> Duration {
    Duration::from_millis(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtime_values_are_filled_in() {
        let values = BTreeMap::from([
            ("${PID:broker}".to_owned(), "42".to_owned()),
            ("${UTC}".to_owned(), "20251230T135910Z".to_owned()),
        ]);
        assert_eq!(with_values("--pid=${PID:broker} x-${UTC}", &values), "--pid=42 x-20251230T135910Z");
    }
}
