//! A run from preflight to verdict. The main thread is the reporter: it looks at the workers' boards, prints, records,
//! and decides when each phase is over.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, ensure};
use mio::Waker;
use netloop::source::SourcePlan;
use nix::sys::resource::{UsageWho, getrusage};
use pacer::rng::mix;
use runlog::clock::{mono_ns, wall_ns};
use runlog::event::Edge;
use runlog::{Barrier, LedgerEntry};
use serde_json::json;

use crate::bench;
use crate::board::{Board, Series, Tally};
use crate::console::Console;
use crate::control::{Control, Phase};
use crate::preflight::Preflight;
use crate::record::Record;
use crate::settings::{RoleSettings, Settings};
use crate::summary::{self, Outcome};
use crate::worker::{Assignment, Worker};

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

/// Runs.
pub(crate) fn run(settings: Settings) -> Result<Verdict> {
    let signals = watch_signals()?;
    let settings = Arc::new(settings);
    let preflight = Preflight::of(&settings, settings.preflight_only);
    if settings.preflight_only {
        print!("{}", preflight.text());
        return Ok(preflight.passed().into());
    }
    ensure!(preflight.passed(), "{}", preflight.failures());
    let mut record = Record::create(&settings)?;
    for warning in preflight.warnings() {
        record.note("preflight", json!({ "warning": warning }));
    }
    let sources = preflight.sources;
    let started_ns = mono_ns();
    let wait_for_all = settings.publishing().is_some_and(|publish| publish.wait_for_all);
    let limit = settings.publishing().and_then(|publish| publish.limit);
    let barrier = match (&settings.share, settings.barrier) {
        (Some(dir), Some(count)) => Some(Barrier::new(dir, count)?),
        _ => None,
    };
    let control = Arc::new(Control::new(limit, !wait_for_all && barrier.is_none()));
    let crew = Crew::start(&settings, &control, sources, started_ns)?;
    let mut reporter = Reporter {
        console: Console::start(&settings, started_ns),
        record,
        series: Series::default(),
        connect_failures: BTreeMap::new(),
        disconnects: BTreeMap::new(),
        next_line_ns: started_ns + LINE_NS,
        next_row_ns: started_ns + settings.counters_interval.as_nanos() as u64,
        started_ns,
        begun_ns: None,
        begun_wall_ns: 0,
        settings,
        control,
        crew,
        signals,
        barrier,
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

/// The worker threads.
struct Crew {
    boards: Vec<Arc<Mutex<Board>>>,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Crew {
    fn start(
        settings: &Arc<Settings>,
        control: &Arc<Control>,
        sources: Vec<Vec<SourcePlan>>,
        start_ns: u64,
    ) -> Result<Self> {
        let mut crew = Self { boards: Vec::new(), wakers: Vec::new(), threads: Vec::new() };
        for (index, sources) in sources.into_iter().enumerate() {
            let board = Arc::new(Mutex::new(Board::default()));
            let (worker, waker) = Worker::new(Assignment {
                settings: settings.clone(),
                control: control.clone(),
                board: board.clone(),
                index: index as u32,
                sources,
                first_sender: mix(settings.seed) as u32,
                start_ns,
            })?;
            let thread = thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run())?;
            crew.boards.push(board);
            crew.wakers.push(waker);
            crew.threads.push(thread);
        }
        Ok(crew)
    }

    /// Lets the workers see a new phase at once.
    fn wake(&self) {
        for waker in &self.wakers {
            // A worker whose waker fails looks up within a tenth of a second all the same.
            let _ = waker.wake();
        }
    }

    fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Who sent and got what, once all have ended.
    fn ledger(&self) -> Vec<LedgerEntry> {
        let take = |board: &Arc<Mutex<Board>>| {
            std::mem::take(&mut board.lock().unwrap_or_else(PoisonError::into_inner).ledger)
        };
        self.boards.iter().flat_map(take).collect()
    }

    /// What the threads died of.
    fn join(&mut self) -> Vec<String> {
        let ends = self.threads.drain(..).map(JoinHandle::join);
        ends.filter_map(|end| match end {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("a worker failed: {error}")),
            Err(_) => Some("a worker panicked".to_owned()),
        })
        .collect()
    }
}

/// Watches the run.
struct Reporter {
    settings: Arc<Settings>,
    control: Arc<Control>,
    crew: Crew,
    signals: Arc<AtomicUsize>,
    /// Not passed yet.
    barrier: Option<Barrier>,
    console: Console,
    record: Record,
    /// Of the whole run.
    series: Series,
    connect_failures: BTreeMap<String, u64>,
    disconnects: BTreeMap<String, u64>,
    started_ns: u64,
    /// When all were ready and publishing began, `CLOCK_MONOTONIC` and since 1970.
    begun_ns: Option<u64>,
    begun_wall_ns: u64,
    next_line_ns: u64,
    next_row_ns: u64,
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
    fn run(&mut self) -> Result<Verdict> {
        self.record.phase("ramp", Some(Edge::Begin), &Tally::default());
        let (end, load) = self.load()?;
        self.record.note("stopped", json!({ "by": format!("{end:?}") }));
        self.drain(end);
        self.close();
        let ended_ns = mono_ns();
        let worker_failures = self.crew.join();
        let tally = self.collect();
        self.row(&tally);
        self.console.tick(ended_ns, &tally);
        self.console.finish();
        let outcome = Outcome {
            settings: &self.settings,
            tally: &tally,
            series: &self.series,
            connect_failures: &self.connect_failures,
            disconnects: &self.disconnects,
            started_ns: self.started_ns,
            ended_ns,
            self_cpu_s: self_cpu_us() as f64 / 1e6,
            busiest_worker: load.busiest_worker(matches!(self.settings.role, RoleSettings::Conn)),
            record_failure: self.record.failure(),
            worker_failures: &worker_failures,
            stopped: end == End::Signal,
        };
        let (summary, broken) = (outcome.summarise(), outcome.is_broken());
        self.record.ledger(&self.crew.ledger());
        self.record.summary(&summary);
        self.tell(&summary, &tally);
        self.write_json(&summary)?;
        Ok(match summary.ok {
            true => Verdict::Good,
            false if self.settings.expectations.is_empty() || broken => Verdict::Bad,
            false => Verdict::Unmet,
        })
    }

    /// The end as the user sees it.
    fn tell(&self, summary: &runlog::LoadSummary, tally: &Tally) {
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
    fn load(&mut self) -> Result<(End, LoadWindow)> {
        let mut window = LoadWindow::default();
        let mut ready_ns = None;
        loop {
            self.sleep();
            let exhausted = self.control.is_exhausted();
            let tally = self.collect();
            self.show(&tally, ready_ns.is_some());
            let now_ns = mono_ns();
            if ready_ns.is_none()
                && tally.settled == u64::from(self.settings.clients)
                && let Some(go_ns) = self.may_go(now_ns)?
            {
                ready_ns = Some(go_ns.max(now_ns));
                window.ready = Some((now_ns, self.worker_cpu_ns()));
                self.on_ready(&tally);
            }
            if let Some(ready_ns) = ready_ns {
                self.begin_publishing(ready_ns, now_ns);
            }
            let end = self.end(&tally, ready_ns, now_ns, exhausted);
            if let Some(end) = end {
                window.end = (now_ns, self.worker_cpu_ns());
                window.started_ns = self.started_ns;
                self.record.phase(if ready_ns.is_some() { "load" } else { "ramp" }, Some(Edge::End), &tally);
                return Ok((end, window));
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
        self.record.phase("load", Some(Edge::Begin), tally);
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
        if self.control.go_ns().is_none() {
            self.control.go(now_ns);
            self.crew.wake();
        }
    }

    fn end(&self, tally: &Tally, ready_ns: Option<u64>, now_ns: u64, exhausted: bool) -> Option<End> {
        let over = |duration: Duration| {
            ready_ns.is_some_and(|ready_ns| now_ns.saturating_sub(ready_ns) >= duration.as_nanos() as u64)
        };
        let bench_over =
            self.settings.bench.as_ref().is_some_and(|bench| {
                bench.has_all(&self.settings, tally) || ready_ns.is_some() && tally.connect_fail > 0
            });
        if self.signals.load(Ordering::Relaxed) > 0 {
            Some(End::Signal)
        } else if exhausted && tally.is_quiet() || self.settings.duration.is_some_and(over) || bench_over {
            Some(End::Done)
        } else if ready_ns.is_some() && tally.connected + tally.returning == 0 && tally.churned == tally.rejoined
            || self.crew.is_over()
        {
            Some(End::NobodyLeft)
        } else {
            None
        }
    }

    /// Nothing new is offered; what is under way may arrive.
    fn drain(&mut self, end: End) {
        self.control.set_phase(Phase::Drain);
        self.crew.wake();
        let tally = self.collect();
        self.record.phase("drain", Some(Edge::Begin), &tally);
        let deadline_ns = mono_ns() + DRAIN_MAX_NS;
        loop {
            let tally = self.collect();
            self.show(&tally, true);
            if end == End::NobodyLeft || tally.is_quiet() || mono_ns() > deadline_ns {
                self.record.phase("drain", Some(Edge::End), &tally);
                return;
            }
            self.sleep();
        }
    }

    /// DISCONNECT everywhere.
    fn close(&mut self) {
        self.control.set_phase(Phase::Close);
        self.crew.wake();
        while !self.crew.is_over() {
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn sleep(&self) {
        let now_ns = mono_ns();
        let wake_ns = self.next_line_ns.min(self.next_row_ns).min(now_ns + LOOK_NS);
        thread::sleep(Duration::from_nanos(wake_ns.saturating_sub(now_ns)));
    }

    /// Adds up the workers' numbers, and takes the failures that they have put on their boards.
    fn collect(&mut self) -> Tally {
        let mut sum = Tally::default();
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        let mut missed: BTreeMap<String, u64> = BTreeMap::new();
        let (mut endings, mut evidence) = (Vec::new(), Vec::new());
        for board in &self.crew.boards {
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            sum.add(&board.tally);
            endings.append(&mut board.endings);
            evidence.append(&mut board.evidence);
            let new = std::mem::take(&mut board.connect_failures);
            let new_missed = std::mem::take(&mut board.missed_attempts);
            drop(board);
            new_missed.into_iter().for_each(|(reason, count)| *missed.entry(reason).or_default() += count);
            new.into_iter().for_each(|(reason, count)| *failures.entry(reason).or_default() += count);
        }
        self.record.endings(&endings);
        self.record.evidence(&evidence);
        self.record.connect_failures("connect_fail", &failures);
        self.record.connect_failures("connect_retried", &missed);
        for ending in endings {
            *self.disconnects.entry(ending.reason).or_default() += 1;
        }
        failures.into_iter().for_each(|(reason, count)| *self.connect_failures.entry(reason).or_default() += count);
        sum
    }

    /// Lines, rows and the bar, as they are due.
    fn show(&mut self, tally: &Tally, ready: bool) {
        let now_ns = mono_ns();
        if now_ns >= self.next_line_ns {
            self.console.tick(now_ns, tally);
            self.next_line_ns = next_after(self.next_line_ns, LINE_NS, now_ns);
        }
        if now_ns >= self.next_row_ns {
            self.row(tally);
            let interval_ns = self.settings.counters_interval.as_nanos() as u64;
            self.next_row_ns = next_after(self.next_row_ns, interval_ns, now_ns);
        }
        self.console.progress(tally, ready);
    }

    /// A row of counters, and what was measured since the last one.
    fn row(&mut self, tally: &Tally) {
        let mut interval = Series::default();
        for board in &self.crew.boards {
            let series = std::mem::take(&mut board.lock().unwrap_or_else(PoisonError::into_inner).series);
            interval.add(&series);
        }
        self.record.interval(tally, &interval, self_cpu_us());
        self.series.add(&interval);
    }

    fn worker_cpu_ns(&self) -> Vec<u64> {
        let cpu = |board: &Arc<Mutex<Board>>| board.lock().unwrap_or_else(PoisonError::into_inner).tally.cpu_ns;
        self.crew.boards.iter().map(cpu).collect()
    }

    fn write_json(&self, summary: &runlog::LoadSummary) -> Result<()> {
        let Some(path) = &self.settings.json else { return Ok(()) };
        summary::write_json(path, summary, |text| self.console.print(text))
    }
}

/// The workers' CPU time when the run began, when all clients were ready, and when the load ended.
#[derive(Debug, Default)]
struct LoadWindow {
    started_ns: u64,
    ready: Option<(u64, Vec<u64>)>,
    end: (u64, Vec<u64>),
}

impl LoadWindow {
    /// Share of a core that the busiest worker used while it produced the load: until ready where connections are the
    /// load, and after that otherwise.
    fn busiest_worker(&self, load_is_ramp: bool) -> f64 {
        let start = (self.started_ns, vec![0; self.end.1.len()]);
        let ready = self.ready.as_ref();
        let ((begin_ns, begin), (end_ns, end)) = match load_is_ramp {
            true => (&start, ready.unwrap_or(&self.end)),
            false => (ready.unwrap_or(&start), &self.end),
        };
        let elapsed_ns = end_ns.saturating_sub(*begin_ns);
        if elapsed_ns < LOAD_WINDOW_NS_MIN {
            return 0.0;
        }
        let shares = end.iter().zip(begin).map(|(end, begin)| end.saturating_sub(*begin) as f64 / elapsed_ns as f64);
        shares.fold(0.0, f64::max)
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
/// A shorter load says nothing about saturation: workers post their CPU time every 20 ms.
const LOAD_WINDOW_NS_MIN: u64 = 200_000_000;
/// How long messages under way may take to arrive at the end.
const DRAIN_MAX_NS: u64 = 5_000_000_000;
