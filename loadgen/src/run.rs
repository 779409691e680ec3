//! A run from preflight to verdict. The main thread is the reporter: it looks at the workers' boards, prints, records,
//! and decides when each phase is over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use pacer::rng::mix;
use runlog::clock::{mono_ns, wall_ns};
use runlog::event::Edge;
use runlog::{Barrier, LedgerEntry, LoadSummary};
use serde_json::json;

use crate::bench;
use crate::board::{Series, Tally};
use crate::capacity;
use crate::console::Console;
use crate::control::Phase;
use crate::group::{Group, Start};
use crate::metrics::Exporter;
use crate::preflight::Preflight;
use crate::record::Record;
use crate::scenario::Plan;
use crate::settings::Settings;
use crate::summary::{self, Whole};

/// How a command ended, which is its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 0: what was asked for was done, and stated expectations were met.
    Good,
    /// 1: something that was asked for was not done; the summary says what.
    Bad,
    /// 3: a stated expectation was not met.
    Unmet,
}

impl From<bool> for Verdict {
    fn from(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

/// Looks, runs, or runs again and again, as was asked for.
pub(crate) fn run(plan: Plan) -> Result<Verdict> {
    let signals = watch_signals()?;
    if plan.run().preflight_only {
        let preflight = Preflight::of(&plan, true);
        print!("{}", preflight.text());
        return Ok(preflight.passed().into());
    }
    let settings = plan.roles[0].settings.clone();
    let exporter = settings.metrics.map(Exporter::start).transpose()?.map(Arc::new);
    if let Some(capacity) = &settings.capacity {
        return capacity::search(&plan, capacity, |plan| once(plan, &signals, exporter.clone()));
    }
    let Conclusion { summary, is_broken, .. } = once(plan, &signals, exporter)?;
    Ok(match summary.ok {
        true => Verdict::Good,
        false if settings.expectations.is_empty() || is_broken => Verdict::Bad,
        false => Verdict::Unmet,
    })
}

/// What is left of a run.
pub(crate) struct Conclusion {
    pub(crate) summary: LoadSummary,
    /// The tool itself failed, so that its figures are not to be trusted.
    pub(crate) is_broken: bool,
    /// A signal ended it.
    pub(crate) was_stopped: bool,
}

/// One run, from preflight to summary.
fn once(plan: Plan, signals: &Arc<AtomicUsize>, exporter: Option<Arc<Exporter>>) -> Result<Conclusion> {
    let preflight = Preflight::of(&plan, false);
    ensure!(preflight.passed(), "{}", preflight.failures());
    let mut record = Record::create(&plan)?;
    for warning in preflight.warnings() {
        record.note("preflight", json!({ "warning": warning }));
    }
    let settings = plan.roles[0].settings.clone();
    let barrier = match (&settings.share, settings.barrier) {
        (Some(dir), Some(count)) => Some(Barrier::new(dir, count)?),
        _ => None,
    };
    let started_ns = mono_ns();
    let console = Console::start(&plan, started_ns);
    let (mode, clients, alone) = (plan.mode, plan.clients(), plan.roles.len() == 1);
    let (pace, is_trial, cpu_before_us) = (plan.pace(), plan.trial.is_some(), self_cpu_us());
    record.phase("ramp", Some(Edge::Begin), &Tally::default());
    let drawn = mix(settings.seed) as u32;
    let mut first_sender = settings.part.map_or(drawn, |part| part.first_sender(drawn));
    let mut groups = Vec::new();
    for (role, sources) in plan.roles.into_iter().zip(preflight.sources) {
        let waits = role.settings.publishing().is_some_and(|publish| publish.wait_for_all);
        let stays = role.settings.departures.is_none();
        let go = alone && !waits && stays && barrier.is_none() && settings.warm_up.is_zero();
        let senders = role.settings.clients;
        let start = Start { sources, first_sender, start_ns: started_ns, go, pace };
        groups.push(Group::start(role, start, &mut record)?);
        first_sender = first_sender.wrapping_add(senders);
    }
    let mut reporter = Reporter {
        console,
        record,
        next_line_ns: started_ns + LINE_NS,
        next_row_ns: started_ns + settings.counters_interval.as_nanos() as u64,
        started_ns,
        begun_ns: None,
        begun_wall_ns: 0,
        is_warm: false,
        mode,
        clients,
        settings,
        groups,
        signals: signals.clone(),
        barrier,
        exporter,
        is_trial,
        cpu_before_us,
    };
    reporter.run()
}

/// Counts SIGINT and SIGTERM; the second ends the process at once.
fn watch_signals() -> Result<Arc<AtomicUsize>> {
    use std::sync::atomic::AtomicBool;
    let seen = Arc::new(AtomicUsize::new(0));
    let again = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // In this order: the first signal arms the shutdown that the second one triggers.
        signal_hook::flag::register_conditional_shutdown(signal, 130, again.clone())?;
        signal_hook::flag::register(signal, again.clone())?;
        signal_hook::flag::register_usize(signal, seen.clone(), 1)?;
    }
    Ok(seen)
}

/// Watches the run.
struct Reporter {
    /// What concerns the whole run.
    settings: Arc<Settings>,
    mode: &'static str,
    clients: u64,
    groups: Vec<Group>,
    signals: Arc<AtomicUsize>,
    /// Not passed yet.
    barrier: Option<Barrier>,
    console: Console,
    exporter: Option<Arc<Exporter>>,
    record: Record,
    started_ns: u64,
    /// When all were ready and publishing began, `CLOCK_MONOTONIC` and since 1970.
    begun_ns: Option<u64>,
    begun_wall_ns: u64,
    /// Messages count: the warm-up is over.
    is_warm: bool,
    next_line_ns: u64,
    next_row_ns: u64,
    /// One of several runs, which are told together.
    is_trial: bool,
    /// CPU time of the process before the run.
    cpu_before_us: u64,
}

/// Why the load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The duration is over, or the limit is reached.
    Done,
    /// SIGINT or SIGTERM.
    Signal,
    /// No client lives.
    NobodyLeft,
}

impl Reporter {
    fn run(&mut self) -> Result<Conclusion> {
        let end = self.load()?;
        self.record.note("stopped", json!({ "by": format!("{end:?}") }));
        self.drain(end);
        self.close();
        let ended_ns = mono_ns();
        let worker_failures: Vec<String> = self.groups.iter_mut().flat_map(Group::join).collect();
        let tally = self.collect();
        self.row(&tally);
        self.console.tick(ended_ns, &tally);
        self.export(&tally);
        self.console.finish();
        let warm_up_ns = if self.is_warm { self.settings.warm_up.as_nanos() as u64 } else { 0 };
        let whole = Whole {
            mode: self.mode,
            settings: &self.settings,
            groups: &self.groups,
            started_ns: self.started_ns,
            ended_ns,
            warm_up_s: warm_up_ns as f64 / 1e9,
            self_cpu_s: self.cpu_us() as f64 / 1e6,
            record_failure: self.record.failure(),
            worker_failures: &worker_failures,
            stopped: end == End::Signal,
        };
        let (summary, is_broken) = (whole.summarise(), whole.is_broken());
        let ledger: Vec<LedgerEntry> = self.groups.iter().flat_map(Group::ledger).collect();
        self.record.ledger(&ledger);
        self.record.summary(&summary);
        if !self.is_trial {
            self.tell(&summary, &tally);
            self.write_json(&summary)?;
        }
        Ok(Conclusion { summary, is_broken, was_stopped: end == End::Signal })
    }

    /// CPU time that the run has taken.
    fn cpu_us(&self) -> u64 {
        self_cpu_us().saturating_sub(self.cpu_before_us)
    }

    /// The end as the user sees it.
    fn tell(&self, summary: &LoadSummary, tally: &Tally) {
        let Some(bench) = &self.settings.bench else {
            return self.console.print(&format!("\n{}", summary::text(summary)));
        };
        if let Some(begun_ns) = self.begun_ns.filter(|_| tally.connect_fail == 0) {
            let since_ns = tally.progress_at_ns.saturating_sub(begun_ns);
            self.console.print(&bench::line(self.begun_wall_ns + since_ns, "End benchmark"));
            // What was done: acknowledged where that is asked for, and otherwise handed to the kernel, or received.
            let done = match self.settings.publishing() {
                Some(publish) if publish.qos_max() as u8 > 0 => tally.acked,
                Some(_) => tally.written,
                None => tally.received,
            };
            self.console.print(&bench.result(&self.settings, done, begun_ns, tally.progress_at_ns));
        }
        summary.failures.iter().for_each(|failure| eprintln!("loadgen: {failure}"));
        if bench.is_talkative {
            self.console.print(&format!("\n{}", summary::text(summary)));
        }
    }

    /// Ramp and load, until something ends it.
    fn load(&mut self) -> Result<End> {
        let mut ready_ns = None;
        loop {
            self.sleep();
            // Before the counters: what is exhausted now is in them whole.
            let has_published = self.has_published();
            let tally = self.collect();
            self.show(&tally, ready_ns.is_some());
            let now_ns = mono_ns();
            for group in &mut self.groups {
                group.turn_stretches(&mut self.record);
            }
            if ready_ns.is_none()
                && tally.settled == self.clients
                && let Some(go_ns) = self.may_go(now_ns)?
            {
                ready_ns = Some(go_ns.max(now_ns));
                self.groups.iter_mut().for_each(|group| group.mark_ready(now_ns));
                self.on_ready(&tally);
            }
            if let Some(ready_ns) = ready_ns {
                self.begin_publishing(ready_ns, now_ns);
                self.warm_up(&tally, now_ns);
                self.end_roles(now_ns);
            }
            if let Some(end) = self.end(&tally, ready_ns, now_ns, has_published) {
                for group in &mut self.groups {
                    group.mark_end(now_ns);
                    group.close_stretch(&mut self.record);
                }
                let phase = match ready_ns {
                    None => "ramp",
                    Some(_) if self.is_warm => "load",
                    Some(_) => "warm-up",
                };
                self.record.phase(phase, Some(Edge::End), &tally);
                return Ok(end);
            }
        }
    }

    /// All clients are ready: when publishing may begin, if the other processes are ready too.
    fn may_go(&mut self, now_ns: u64) -> Result<Option<u64>> {
        match &mut self.barrier {
            None => Ok(Some(now_ns)),
            Some(barrier) => Ok(barrier.go_ns()?),
        }
    }

    fn on_ready(&mut self, tally: &Tally) {
        self.record.phase("ramp", Some(Edge::End), tally);
        self.record.phase("ready", None, tally);
        self.is_warm = self.settings.warm_up.is_zero();
        self.record.phase(if self.is_warm { "load" } else { "warm-up" }, Some(Edge::Begin), tally);
        if tally.skipped_ports > 0 {
            self.record.note("source ports in use by others were skipped", json!({ "count": tally.skipped_ports }));
        }
    }

    /// What waited for the end of the ramp begins.
    fn begin_publishing(&mut self, ready_ns: u64, now_ns: u64) {
        let pause = self.settings.bench.as_ref().map_or(Duration::ZERO, |bench| bench.pause);
        if self.begun_ns.is_some() || now_ns < ready_ns + pause.as_nanos() as u64 {
            return;
        }
        self.begun_ns = Some(now_ns);
        self.begun_wall_ns = wall_ns();
        if self.settings.bench.is_some() {
            self.console.print(&bench::line(self.begun_wall_ns, "Start benchmark"));
        }
        for group in self.groups.iter().filter(|group| group.control.go_ns().is_none()) {
            group.control.go(now_ns + group.role.begin.as_nanos() as u64);
            group.wake();
        }
    }

    /// Ends the warm-up when its time has come.
    fn warm_up(&mut self, tally: &Tally, now_ns: u64) {
        let over = |begun_ns: u64| now_ns.saturating_sub(begun_ns) >= self.settings.warm_up.as_nanos() as u64;
        if self.is_warm || !self.begun_ns.is_some_and(over) {
            return;
        }
        self.is_warm = true;
        // The row keeps what was measured so far out of the next one.
        self.row(tally);
        self.groups.iter_mut().for_each(Group::forget_messages);
        self.record.phase("warm-up", Some(Edge::End), tally);
        self.record.phase("load", Some(Edge::Begin), tally);
    }

    /// Ends the publishing, or the coming and going, of roles whose time is over. Their connections stay.
    fn end_roles(&self, now_ns: u64) {
        let Some(begun_ns) = self.begun_ns else { return };
        for group in &self.groups {
            let is_over = group.role.end.is_some_and(|end| now_ns >= begun_ns + end.as_nanos() as u64);
            if is_over && group.role.settings.publishing().is_none() {
                group.control.calm();
            } else if is_over && group.control.phase() == Phase::Run {
                group.enter(Phase::Drain);
            }
        }
    }

    /// Whether there is somebody who publishes, and all of them have offered what they were to.
    fn has_published(&self) -> bool {
        let mut publishing = self.groups.iter().filter(|group| group.role.settings.publishing().is_some()).peekable();
        publishing.peek().is_some() && publishing.all(Group::has_published)
    }

    fn end(&self, tally: &Tally, ready_ns: Option<u64>, now_ns: u64, has_published: bool) -> Option<End> {
        let over = |duration: Duration| {
            let whole = duration + self.settings.warm_up;
            ready_ns.is_some_and(|ready_ns| now_ns.saturating_sub(ready_ns) >= whole.as_nanos() as u64)
        };
        let bench_over =
            self.settings.bench.as_ref().is_some_and(|bench| {
                bench.has_all(&self.settings, tally) || ready_ns.is_some() && tally.connect_fail > 0
            });
        if self.signals.load(Ordering::Relaxed) > 0 {
            Some(End::Signal)
        } else if has_published && tally.is_quiet() || self.settings.duration.is_some_and(over) || bench_over {
            Some(End::Done)
        } else if ready_ns.is_some() && tally.connected + tally.returning == 0 && tally.churned == tally.rejoined
            || self.groups.iter().all(Group::is_over)
        {
            Some(End::NobodyLeft)
        } else {
            None
        }
    }

    /// Nothing new is offered; what is under way may arrive.
    fn drain(&mut self, end: End) {
        self.groups.iter().for_each(|group| group.enter(Phase::Drain));
        let tally = self.collect();
        self.record.phase("drain", Some(Edge::Begin), &tally);
        // Subscribers of the same run get what its publishers sent: no more comes when nothing has come for a while.
        let both = self.groups.iter().any(|group| group.role.settings.publishing().is_some())
            && self.groups.iter().any(|group| group.role.settings.subscribing().is_some());
        let begun_ns = mono_ns();
        let deadline_ns = begun_ns + DRAIN_MAX_NS;
        loop {
            let tally = self.collect();
            self.show(&tally, true);
            let now_ns = mono_ns();
            let all_came = !both || now_ns.saturating_sub(tally.progress_at_ns.max(begun_ns)) > SETTLE_NS;
            if end == End::NobodyLeft || tally.is_quiet() && all_came || now_ns > deadline_ns {
                self.record.phase("drain", Some(Edge::End), &tally);
                return;
            }
            self.sleep();
        }
    }

    /// DISCONNECT everywhere.
    fn close(&mut self) {
        self.groups.iter().for_each(|group| group.enter(Phase::Close));
        while !self.groups.iter().all(Group::is_over) {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn sleep(&self) {
        let now_ns = mono_ns();
        let wake_ns = self.next_line_ns.min(self.next_row_ns).min(now_ns + LOOK_NS);
        thread::sleep(Duration::from_nanos(wake_ns.saturating_sub(now_ns)));
    }

    /// The numbers of all roles together.
    fn collect(&mut self) -> Tally {
        let mut sum = Tally::default();
        for group in &mut self.groups {
            group.collect(&mut self.record);
            sum.add(&group.tally);
        }
        sum
    }

    /// Lines, rows and the bar, as they are due.
    fn show(&mut self, tally: &Tally, ready: bool) {
        let now_ns = mono_ns();
        if now_ns >= self.next_line_ns {
            self.console.tick(now_ns, tally);
            self.export(tally);
            self.next_line_ns = next_after(self.next_line_ns, LINE_NS, now_ns);
        }
        if now_ns >= self.next_row_ns {
            self.row(tally);
            let interval_ns = self.settings.counters_interval.as_nanos() as u64;
            self.next_row_ns = next_after(self.next_row_ns, interval_ns, now_ns);
        }
        self.console.progress(tally, ready);
    }

    /// The metrics as they are now.
    fn export(&mut self, tally: &Tally) {
        let Some(exporter) = self.exporter.clone() else { return };
        let (mut series, mut failures) = (Series::default(), BTreeMap::new());
        for group in &mut self.groups {
            series.add(group.series_so_far());
            for (reason, count) in &group.connect_failures {
                *failures.entry(reason.clone()).or_default() += count;
            }
        }
        exporter.show(tally, &series, &failures, self.cpu_us());
    }

    /// A row of counters, and what was measured since the last one.
    fn row(&mut self, tally: &Tally) {
        let mut interval = Series::default();
        self.groups.iter_mut().for_each(|group| interval.add(&group.take_series()));
        let cpu_us = self.cpu_us();
        self.record.interval(tally, &interval, cpu_us);
    }

    fn write_json(&self, summary: &LoadSummary) -> Result<()> {
        let Some(path) = &self.settings.json else { return Ok(()) };
        summary::write_json(path, summary, |text| self.console.print(text))
    }
}

/// The next multiple after `now_ns` of a beat that was last due at `due_ns`.
fn next_after(due_ns: u64, interval_ns: u64, now_ns: u64) -> u64 {
    due_ns + ((now_ns - due_ns) / interval_ns + 1) * interval_ns
}

/// CPU time of this process.
fn self_cpu_us() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| {
        let us = |time: nix::sys::time::TimeVal| time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
        us(usage.user_time()) + us(usage.system_time())
    })
}

/// Distance of console lines.
const LINE_NS: u64 = 1_000_000_000;
/// How often the reporter looks at the boards.
const LOOK_NS: u64 = 20_000_000;
/// In a run with publishers and subscribers, nothing more is expected after so long a silence.
const SETTLE_NS: u64 = 1_000_000_000;
/// How long messages under way may take to arrive at the end.
const DRAIN_MAX_NS: u64 = 5_000_000_000;
