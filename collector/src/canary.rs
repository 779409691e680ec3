//! The canary: a thread of ordinary priority that wants to run at planned moments, and measures how late it does.
//!
//! What it suffers, a login shell on this host suffers too. Every planned wake-up counts, also those that passed while the
//! thread could not run: a stall of 40 s at 10 ms is 4,000 late wake-ups, each in the second in which it was due, not one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use runlog::columns;
use runlog::hlog;
use runlog::{clock, write};

use crate::row::Row;

/// One second of the canary.
struct Interval {
    start_mono_ns: u64,
    length_ns: u64,
    histogram: Histogram<u64>,
}

/// What the sampler reads at each row.
#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    count: AtomicU64,
    late_ns_max: AtomicU64,
    next_due_ns: AtomicU64,
}

/// The running canary and its log.
pub(crate) struct Canary {
    shared: Arc<Shared>,
    intervals: Receiver<Interval>,
    thread: Option<JoinHandle<()>>,
    log: hlog::LatencyLog,
}

impl Canary {
    /// Starts it. Call before the process asks for real-time priority, which threads inherit.
    pub(crate) fn start(period: Duration, directory: &write::RunDir) -> Result<Canary> {
        let log = directory.latency_log()?;
        let shared = Arc::new(Shared::default());
        let (sender, intervals) = channel();
        let start_ns = clock::mono_ns() + period.as_nanos() as u64;
        shared.next_due_ns.store(start_ns, Ordering::Relaxed);
        let of_thread = Arc::clone(&shared);
        let run = move || beat(&of_thread, &sender, start_ns, period.as_nanos() as u64);
        let thread = thread::Builder::new().name("canary".to_owned()).spawn(run).context("cannot start the canary")?;
        Ok(Canary { shared, intervals, thread: Some(thread), log })
    }

    /// Fills the canary's cells and logs the seconds that are over.
    pub(crate) fn sample(&mut self, row: &mut Row) -> Result<()> {
        let count = self.shared.count.swap(0, Ordering::Relaxed);
        let recorded_ns = self.shared.late_ns_max.swap(0, Ordering::Relaxed);
        let waiting_ns = clock::mono_ns().saturating_sub(self.shared.next_due_ns.load(Ordering::Relaxed));
        row.set(columns::CANARY_COUNT, count);
        row.set(columns::CANARY_LATE_US_MAX, recorded_ns.max(waiting_ns) / 1_000);
        self.log_intervals()
    }

    /// Stops the thread and logs the rest.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the canary's thread has nothing that can panic");
        }
        self.log_intervals()
    }

    fn log_intervals(&mut self) -> Result<()> {
        while let Ok(interval) = self.intervals.try_recv() {
            let ago_ns = clock::mono_ns() - interval.start_mono_ns;
            let start_wall_ns = clock::wall_ns().saturating_sub(ago_ns);
            self.log.append(Some(TAG), start_wall_ns, interval.length_ns, &interval.histogram)?;
        }
        Ok(())
    }
}

fn beat(shared: &Shared, sender: &Sender<Interval>, start_ns: u64, period_ns: u64) {
    // Ordinary threads are woken up to 50 us late, so that wake-ups can be merged; this one says that it must not be.
    // SAFETY: this option takes a number and touches no memory of ours.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut seconds = Seconds { start_ns, period_ns, index: 0, begun_ns: start_ns, histogram: hlog::histogram() };
    while !shared.stop.load(Ordering::Relaxed) {
        let due = Duration::from_nanos(seconds.due_ns());
        let _ = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &due.into());
        let late = seconds.wake(clock::mono_ns(), |interval| {
            let _ = sender.send(interval);
        });
        shared.next_due_ns.store(seconds.due_ns(), Ordering::Relaxed);
        shared.count.fetch_add(late.count, Ordering::Relaxed);
        shared.late_ns_max.fetch_max(late.ns_max, Ordering::Relaxed);
    }
    let _ = sender.send(seconds.cut(seconds.due_ns()));
}

/// The planned moments and the histogram of the current second.
struct Seconds {
    start_ns: u64,
    period_ns: u64,
    index: u64,
    begun_ns: u64,
    histogram: Histogram<u64>,
}

/// What one wake-up found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Late {
    count: u64,
    ns_max: u64,
}

impl Seconds {
    fn due_ns(&self) -> u64 {
        self.start_ns + self.index * self.period_ns
    }

    /// Records every planned moment that has come by now, and hands out the seconds that are over.
    fn wake(&mut self, now_ns: u64, mut over: impl FnMut(Interval)) -> Late {
        let mut late = Late::default();
        while self.due_ns() <= now_ns {
            let due_ns = self.due_ns();
            if due_ns >= self.begun_ns + clock::NS_PER_S {
                over(self.cut(due_ns));
            }
            self.histogram.saturating_record(now_ns - due_ns);
            late.ns_max = late.ns_max.max(now_ns - due_ns);
            late.count += 1;
            self.index += 1;
        }
        late
    }

    fn cut(&mut self, end_ns: u64) -> Interval {
        let histogram = std::mem::replace(&mut self.histogram, hlog::histogram());
        let start_mono_ns = std::mem::replace(&mut self.begun_ns, end_ns);
        Interval { start_mono_ns, length_ns: end_ns - start_mono_ns, histogram }
    }
}

/// Tag of the canary's lines in the histogram log.
pub(crate) const TAG: &str = "canary";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_spread_over_the_seconds_that_it_took() {
        let ms = 1_000_000;
        let mut seconds =
            Seconds { start_ns: 0, period_ns: 10 * ms, index: 0, begun_ns: 0, histogram: hlog::histogram() };
        let mut intervals = Vec::new();
        for now in 0..50 {
            let late = seconds.wake(now * 10 * ms + 5, |interval| intervals.push(interval));
            assert_eq!(late, Late { count: 1, ns_max: 5 });
        }
        // Nothing runs from 0.5 s to 3.5 s.
        let late = seconds.wake(3_500 * ms, |interval| intervals.push(interval));
        assert_eq!(late, Late { count: 301, ns_max: 3_000 * ms });
        let maxima: Vec<u64> = intervals.iter().map(|interval| interval.histogram.max() / (100 * ms)).collect();
        assert_eq!(maxima, [30, 25, 15]);
        assert!(intervals.iter().all(|interval| interval.histogram.len() == 100 && interval.length_ns == 1_000 * ms));
        assert_eq!(seconds.histogram.len(), 51);
    }
}
