//! A run's books, whoever speaks MQTT: when a probe is due, what came back, what is filed each second, and when it is over.
//! A client asks [`Session::take_due`], reports [`Session::arrived`], and lets [`Session::beat`] do the second's chores.

use std::io::{IsTerminal, stderr};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use nix::sys::signal::Signal;
use pacer::NS_PER_S;
use pacer::schedule::Schedule;
use pacer::stamp::Stamp;
use runlog::write::CounterRow;
use runlog::{Edge, Event, EventKind, Percentiles, clock};
use serde_json::json;

use crate::args::Args;
use crate::probes::{Arrival, Counts, Probes};
use crate::recorder::{Batch, Recorder};
use crate::settings::Settings;

/// The books of all pairs.
pub(crate) struct Session<'a> {
    args: &'a Args,
    recorder: &'a Recorder,
    /// One book per pair.
    books: Vec<Probes>,
    connections: u64,
    batch: Batch,
    batch_start_ns: u64,
    /// Probes that a second may hold, all pairs together: twice what is due, so that a calm run asks for no memory.
    batch_capacity: usize,
    measuring: bool,
    acked: u64,
    received_bytes: u64,
    spin_ns: u64,
    /// The signal that ended the sending, and how long to wait for what is under way.
    stopped: Option<(Signal, u64)>,
    wakeup_errors_ns: runlog::hlog::Latencies,
    progress: Option<ProgressBar>,
}

impl<'a> Session<'a> {
    /// Books without a plan: nothing is due before [`Session::plan`].
    pub(crate) fn new(args: &'a Args, settings: &Settings, recorder: &'a Recorder) -> Session<'a> {
        let book = |number: u32| {
            let timeout_ns = args.timeout.as_nanos() as u64;
            Probes::new(settings.sender(number), args.warmup, settings.measured, timeout_ns)
        };
        let books: Vec<Probes> = (0..settings.pairs).map(book).collect();
        let batch_capacity = (per_second(args) * settings.pairs).min(BATCH_MAX) as usize;
        let planned = (args.until.is_none()).then(|| u64::from(settings.pairs) * u64::from(settings.measured));
        Session {
            args,
            recorder,
            books,
            connections: settings.connections(),
            batch: Batch::begin(batch_capacity),
            batch_start_ns: clock::mono_ns(),
            batch_capacity,
            measuring: false,
            acked: 0,
            received_bytes: 0,
            // Never more than a tenth of the time.
            spin_ns: (args.spin.as_nanos() as u64).min(args.interval_ns() / 10),
            stopped: None,
            wakeup_errors_ns: runlog::hlog::histogram(),
            progress: progress(planned),
        }
    }

    /// Gives each probe its due time: the pairs begin one after the other within the first interval.
    pub(crate) fn plan(&mut self, start_ns: u64) {
        let (args, pairs) = (self.args, self.books.len() as u64);
        for (number, book) in (0..).zip(&mut self.books) {
            book.begin(if args.poisson {
                Schedule::poisson(start_ns, 1.0 / args.interval.as_secs_f64(), args.seed.wrapping_add(number))
            } else {
                Schedule::every(start_ns + number * args.interval_ns() / pairs, args.interval_ns())
            });
            book.make_ready(per_second(args));
        }
        self.batch = Batch::begin(self.batch_capacity);
        self.batch_start_ns = clock::mono_ns();
    }

    /// Takes a pair's next probe when it is due, as sent at `now_ns`.
    pub(crate) fn take_due(&mut self, pair: usize, now_ns: u64) -> Option<Stamp> {
        let stamp = self.books[pair].take_due(now_ns)?;
        if !self.measuring && stamp.sequence >= self.args.warmup {
            self.measuring = true;
            // A recorder that fails says so at the next beat.
            let _ = self.mark_measure(Edge::Begin);
        }
        Some(stamp)
    }

    /// Books a payload that a pair's subscriber received.
    pub(crate) fn arrived(&mut self, pair: usize, payload: &[u8], now_ns: u64) {
        match self.books[pair].arrived(payload, now_ns) {
            Arrival::Measured(number, probe) => {
                self.batch.probes.push((pair as u32, number, probe));
                self.received_bytes += payload.len() as u64;
            }
            Arrival::Warmup | Arrival::Duplicate | Arrival::Corrupted | Arrival::Foreign => {}
        }
    }

    /// A timer set for `planned_ns` let the prober run at `now_ns`.
    pub(crate) fn woken(&mut self, planned_ns: u64, now_ns: u64) {
        self.wakeup_errors_ns.saturating_record(now_ns.saturating_sub(planned_ns).max(1));
    }

    /// Once a second: files what was measured, shows progress. Says whether a second is over.
    pub(crate) fn beat(&mut self, now_ns: u64, acked: impl FnOnce() -> u64) -> Result<bool> {
        if now_ns < self.batch_start_ns + BATCH_NS {
            return Ok(false);
        }
        self.acked = acked();
        self.end_batch(now_ns)?;
        let ready = per_second(self.args);
        self.books.iter_mut().for_each(|book| book.make_ready(ready));
        if let Some(progress) = &self.progress {
            progress.set_position(self.counts().sent);
        }
        Ok(true)
    }

    /// A signal ends the sending; what is under way may still come back for a moment.
    pub(crate) fn stop(&mut self, signal: Signal, now_ns: u64) {
        if self.stopped.is_none() {
            self.stopped = Some((signal, now_ns + GRACE_NS));
            self.books.iter_mut().for_each(Probes::cut_short);
        }
    }

    /// Whether everything is back, given up or told to stop.
    pub(crate) fn is_over(&self, now_ns: u64) -> bool {
        let grace_over = self.stopped.is_some_and(|(_, until_ns)| now_ns >= until_ns);
        let is_over =
            |book: &Probes| book.is_done() || book.give_up_ns().is_some_and(|give_up_ns| now_ns >= give_up_ns);
        grace_over || self.books.iter().all(is_over)
    }

    /// Whether nothing is left to send.
    pub(crate) fn all_sent(&self) -> bool {
        self.books.iter().all(|book| book.next_due_ns().is_none())
    }

    /// When to wake if nothing happens, for the client's own `also_ns` too; 0: not to sleep at all. A probe that the
    /// window of its pair holds back is sent when an acknowledgement arrives, not at a time.
    pub(crate) fn wake_ns(&self, now_ns: u64, may_publish: impl Fn(usize) -> bool, also_ns: Option<u64>) -> u64 {
        let beat_ns = self.batch_start_ns + BATCH_NS;
        let of_pair = |(pair, book): (usize, &Probes)| match book.next_due_ns() {
            Some(due_ns) => may_publish(pair).then(|| due_ns - self.spin_ns),
            None => book.give_up_ns(),
        };
        let grace_ns = self.stopped.map(|(_, until_ns)| until_ns);
        let times = self.books.iter().enumerate().filter_map(of_pair).chain(grace_ns).chain(also_ns);
        let until_ns = times.fold(beat_ns, u64::min);
        if self.args.busy_poll || until_ns <= now_ns { 0 } else { until_ns }
    }

    /// Files the rest, with the lost probes' number known by now; the outcome of all.
    ///
    /// # Errors
    /// `outcome` itself, a stop that came too early, or that nothing came back.
    pub(crate) fn end(&mut self, outcome: Result<()>, acked: u64) -> Result<()> {
        self.acked = acked;
        let marked = if self.measuring { self.mark_measure(Edge::End) } else { Ok(()) };
        let filed = self.end_batch(clock::mono_ns());
        if let Some(progress) = &self.progress {
            progress.finish_and_clear();
        }
        outcome?;
        marked.and(filed)?;
        self.verdict()
    }

    /// What was counted so far, of all pairs.
    pub(crate) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        self.books.iter().for_each(|book| sum += book.counts());
        sum
    }

    /// The books.
    pub(crate) fn books(&self) -> &[Probes] {
        &self.books
    }

    /// How late timers woke the prober, us.
    pub(crate) fn wakeup_error_us(&self) -> Percentiles {
        Percentiles::of_histogram(&self.wakeup_errors_ns, 0.001, 0)
    }

    fn verdict(&self) -> Result<()> {
        let counts = self.counts();
        if counts.sent > 0 && counts.received == 0 {
            bail!("not one of {} probes came back within {:?}", counts.sent, self.args.timeout);
        }
        match self.stopped {
            Some((signal, _)) if self.args.until.is_none() => {
                bail!("stopped by {signal} after {} measured probes; what came back is kept", counts.sent)
            }
            Some((signal, _)) if counts.sent == 0 => bail!("stopped by {signal} before the first measured probe"),
            _ => Ok(()),
        }
    }

    fn end_batch(&mut self, now_ns: u64) -> Result<()> {
        let mut batch = std::mem::replace(&mut self.batch, Batch::begin(self.batch_capacity));
        batch.length_ns = now_ns - self.batch_start_ns;
        batch.counters = self.counters(now_ns);
        self.batch_start_ns = now_ns;
        self.recorder.batch(batch)
    }

    fn mark_measure(&self, edge: Edge) -> Result<()> {
        let detail = json!({"warmup_probes_discarded": self.args.warmup * self.books.len() as u32});
        self.recorder.event(Event::now(EventKind::Phase, "measure").edge(edge).detail(detail))
    }

    fn counters(&self, now_ns: u64) -> CounterRow {
        let counts = self.counts();
        CounterRow {
            mono_ns: now_ns,
            wall_ns: clock::wall_ns(),
            connected: self.connections,
            connect_succ: self.connections,
            offered: counts.sent,
            attempted: counts.sent,
            written: counts.sent,
            acked: self.acked,
            received: counts.received,
            received_bytes: self.received_bytes,
            duplicated: counts.duplicated,
            out_of_order: counts.out_of_order,
            corrupted: counts.corrupted,
            self_cpu_us: clock::self_cpu_ns() / 1_000,
            ..CounterRow::default()
        }
    }
}

/// Twice the probes that one pair has due within a second, and some.
fn per_second(args: &Args) -> u32 {
    (2 * BATCH_NS / args.interval_ns()) as u32 + 16
}

fn progress(planned: Option<u64>) -> Option<ProgressBar> {
    if !stderr().is_terminal() {
        return None;
    }
    let (bar, template) = match planned {
        Some(planned) => (ProgressBar::new(planned), "{bar:40} {pos}/{len} probes, {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {pos} probes, {elapsed}; Ctrl-C ends"),
    };
    bar.set_style(ProgressStyle::with_template(template).expect("constant templates that indicatif accepts"));
    Some(bar)
}

/// One interval of `latency.hlog`.
const BATCH_NS: u64 = NS_PER_S;

/// Memory for a second's probes that is asked for beforehand.
const BATCH_MAX: u32 = 1 << 20;

/// How long after a signal probes that are under way may still come back.
const GRACE_NS: u64 = NS_PER_S;
