//! One role while it runs: its threads, and everything that was seen of it. A run is a few of these under one reporter.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use anyhow::Result;
use mio::Waker;
use netloop::source::SourcePlan;
use runlog::LedgerEntry;

use crate::board::{Board, Series, Tally};
use crate::control::{Control, Phase};
use crate::record::Record;
use crate::scenario::Role;
use crate::settings::RoleSettings;
use crate::stretch::Stretches;
use crate::summary::Outcome;
use crate::worker::{Assignment, Worker};

/// A role with its workers.
pub(crate) struct Group {
    pub(crate) role: Role,
    pub(crate) control: Arc<Control>,
    boards: Vec<Arc<Mutex<Board>>>,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
    /// When it was looked at last.
    pub(crate) tally: Tally,
    /// At the end of the warm-up.
    warm: Tally,
    /// Of the whole run, without the messages of the warm-up.
    pub(crate) series: Series,
    /// What has been measured since the last row of counters.
    unrecorded: Series,
    pub(crate) stretches: Stretches,
    pub(crate) connect_failures: BTreeMap<String, u64>,
    pub(crate) disconnects: BTreeMap<String, u64>,
    load: LoadWindow,
}

/// When and as whom a group begins.
pub(crate) struct Start {
    /// Source pairs: per worker, one plan per target.
    pub(crate) sources: Vec<Vec<SourcePlan>>,
    /// Number of its first client as a sender.
    pub(crate) first_sender: u32,
    pub(crate) start_ns: u64,
    /// Whether its publishers need not wait for anybody.
    pub(crate) go: bool,
    /// Rates of messages are multiplied by this.
    pub(crate) pace: f64,
}

impl Group {
    /// Starts the threads.
    pub(crate) fn start(role: Role, start: Start, record: &mut Record) -> Result<Self> {
        let Start { sources, first_sender, start_ns, go, pace } = start;
        let limit = role.settings.publishing().and_then(|publish| publish.limit);
        let admission = Stretches::first_admission(&role.settings, start_ns);
        let control = Arc::new(Control::new(limit, go, admission, pace));
        let mut group = Self {
            control,
            stretches: Stretches::new(&role.name, &role.settings, start_ns, record),
            role,
            boards: Vec::new(),
            wakers: Vec::new(),
            threads: Vec::new(),
            tally: Tally::default(),
            warm: Tally::default(),
            series: Series::default(),
            unrecorded: Series::default(),
            connect_failures: BTreeMap::new(),
            disconnects: BTreeMap::new(),
            load: LoadWindow { started_ns: start_ns, ..LoadWindow::default() },
        };
        for (index, sources) in sources.into_iter().enumerate() {
            let board = Arc::new(Mutex::new(Board::default()));
            let (worker, waker) = Worker::new(Assignment {
                settings: group.role.settings.clone(),
                control: group.control.clone(),
                board: board.clone(),
                index: index as u32,
                sources,
                first_sender,
                start_ns,
            })?;
            let thread = thread::Builder::new()
                .name(format!("{}-{index}", group.role.settings.mode()))
                .spawn(move || worker.run())?;
            group.boards.push(board);
            group.wakers.push(waker);
            group.threads.push(thread);
        }
        Ok(group)
    }

    /// Lets the workers see at once what the control says.
    pub(crate) fn wake(&self) {
        for waker in &self.wakers {
            // A worker whose waker fails looks up within a tenth of a second all the same.
            let _ = waker.wake();
        }
    }

    /// Begins a phase.
    pub(crate) fn enter(&self, phase: Phase) {
        self.control.set_phase(phase);
        self.wake();
    }

    /// Whether all threads have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Whether it publishes nothing more, for now or ever: its limit or its end is reached.
    pub(crate) fn has_published(&self) -> bool {
        self.control.is_exhausted() || self.control.phase() != Phase::Run
    }

    /// Adds up the workers' numbers, and takes the failures that they have put on their boards.
    pub(crate) fn collect(&mut self, record: &mut Record) {
        let mut sum = Tally::default();
        let mut failures: BTreeMap<String, u64> = BTreeMap::new();
        let mut missed: BTreeMap<String, u64> = BTreeMap::new();
        let (mut endings, mut evidence) = (Vec::new(), Vec::new());
        for board in &self.boards {
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
        record.endings(&endings);
        record.evidence(&evidence);
        record.connect_failures("connect_fail", &failures);
        record.connect_failures("connect_retried", &missed);
        for ending in endings {
            *self.disconnects.entry(ending.reason).or_default() += 1;
        }
        failures.into_iter().for_each(|(reason, count)| *self.connect_failures.entry(reason).or_default() += count);
        self.tally = sum;
    }

    /// Takes what was measured since the last call.
    pub(crate) fn take_series(&mut self) -> Series {
        self.fetch_series();
        std::mem::take(&mut self.unrecorded)
    }

    /// What has been measured in the whole run so far.
    pub(crate) fn series_so_far(&mut self) -> &Series {
        self.fetch_series();
        &self.series
    }

    fn fetch_series(&mut self) {
        let mut interval = Series::default();
        for board in &self.boards {
            let series = std::mem::take(&mut board.lock().unwrap_or_else(PoisonError::into_inner).series);
            interval.add(&series);
        }
        self.series.add(&interval);
        self.stretches.add(&interval);
        self.unrecorded.add(&interval);
    }

    /// Ends the step or storm that is over, and begins the next one.
    pub(crate) fn turn_stretches(&mut self, record: &mut Record) {
        let (settings, control) = (self.role.settings.clone(), self.control.clone());
        if self.stretches.look(&settings, &control, &self.tally, record) {
            self.fetch_series();
            self.stretches.turn(&settings, &control, &self.tally, record);
            self.wake();
        }
    }

    /// The load is over, and with it the step or storm that is under way.
    pub(crate) fn close_stretch(&mut self, record: &mut Record) {
        self.fetch_series();
        self.stretches.close(&self.tally, record);
    }

    /// The warm-up is over: the messages so far do not count. Numbers and distributions are read at one moment of each
    /// worker, so that a message is in both or in neither.
    pub(crate) fn forget_messages(&mut self) {
        let mut warm = Tally::default();
        let mut series = Series::default();
        series.add_connecting(&self.series);
        for board in &self.boards {
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            warm.add(&board.tally);
            series.add_connecting(&std::mem::take(&mut board.series));
        }
        (self.tally, self.warm) = (warm, warm);
        self.series = series;
        self.unrecorded = Series::default();
    }

    /// What counts: everything, less the messages of the warm-up.
    pub(crate) fn counted(&self) -> Tally {
        self.tally.without_messages_of(&self.warm)
    }

    /// All clients of the run are ready.
    pub(crate) fn mark_ready(&mut self, now_ns: u64) {
        self.load.ready = Some((now_ns, self.cpu_ns()));
    }

    /// The load is over.
    pub(crate) fn mark_end(&mut self, now_ns: u64) {
        self.load.end = (now_ns, self.cpu_ns());
    }

    /// Share of a core that the busiest worker used while it produced the load.
    pub(crate) fn busiest_worker(&self) -> f64 {
        self.load.busiest_worker(matches!(self.role.settings.role, RoleSettings::Conn))
    }

    /// Who sent and got what, once all threads have ended.
    pub(crate) fn ledger(&self) -> Vec<LedgerEntry> {
        let take = |board: &Arc<Mutex<Board>>| {
            std::mem::take(&mut board.lock().unwrap_or_else(PoisonError::into_inner).ledger)
        };
        self.boards.iter().flat_map(take).collect()
    }

    /// What the threads died of.
    pub(crate) fn join(&mut self) -> Vec<String> {
        let ends = self.threads.drain(..).map(JoinHandle::join);
        ends.filter_map(|end| match end {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("a worker failed: {error}")),
            Err(_) => Some("a worker panicked".to_owned()),
        })
        .collect()
    }

    /// Its outcome, in a run of these times.
    pub(crate) fn outcome(&self, started_ns: u64, ended_ns: u64, stopped: bool) -> Outcome<'_> {
        Outcome {
            settings: &self.role.settings,
            tally: &self.tally,
            counted: self.counted(),
            series: &self.series,
            connect_failures: &self.connect_failures,
            disconnects: &self.disconnects,
            started_ns,
            ended_ns,
            cpu_s: self.cpu_ns().iter().sum::<u64>() as f64 / 1e9,
            busiest_worker: self.busiest_worker(),
            stretches: self.stretches.done(),
            stopped,
        }
    }

    fn cpu_ns(&self) -> Vec<u64> {
        let cpu = |board: &Arc<Mutex<Board>>| board.lock().unwrap_or_else(PoisonError::into_inner).tally.cpu_ns;
        self.boards.iter().map(cpu).collect()
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

/// A shorter load says nothing about saturation: workers post their CPU time every 20 ms.
const LOAD_WINDOW_NS_MIN: u64 = 200_000_000;
