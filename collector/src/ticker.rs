//! The moments of sampling: planned once, on the monotonic clock, so that neither the cost of a sample nor a late
//! wake-up moves the ones after it.

use std::os::fd::AsFd;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use runlog::clock;

/// Why the ticker woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// A planned moment has come.
    Tick {
        /// How long ago it came, ns.
        late_ns: u64,
        /// Planned moments between the last tick and this one that passed unused.
        missed: u64,
    },
    /// SIGINT or SIGTERM.
    Stop(Signal),
}

/// Wakes at `start + k · interval`, or at a signal.
#[derive(Debug)]
pub(crate) struct Ticker {
    timer: TimerFd,
    signals: SignalFd,
    start_ns: u64,
    interval_ns: u64,
    next: u64,
}

impl Ticker {
    /// Plans the first moment for now. From here on SIGINT and SIGTERM no longer end the process but the waiting.
    pub(crate) fn start(interval: Duration) -> Result<Ticker> {
        let mask = hold_signals()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .context("cannot make a signalfd")?;
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_CLOEXEC).context("cannot make a timerfd")?;
        Ok(Ticker { timer, signals, start_ns: clock::mono_ns(), interval_ns: interval.as_nanos() as u64, next: 0 })
    }

    /// Number of the tick that comes next, counted from 0 in intervals since the start.
    pub(crate) fn next_index(&self) -> u64 {
        self.next
    }

    /// Waits for the next planned moment. One that is more than an interval ago is missed, not caught up with: two
    /// samples at one moment would tell nothing.
    pub(crate) fn wait(&mut self) -> Result<Wake> {
        let now_ns = clock::mono_ns();
        let missed = (now_ns.saturating_sub(self.due_ns(self.next))) / self.interval_ns;
        self.next += missed;
        let due_ns = self.due_ns(self.next);
        if let Some(signal) = self.sleep_until(due_ns)? {
            return Ok(Wake::Stop(signal));
        }
        self.next += 1;
        Ok(Wake::Tick { late_ns: clock::mono_ns().saturating_sub(due_ns), missed })
    }

    fn due_ns(&self, index: u64) -> u64 {
        self.start_ns + index * self.interval_ns
    }

    fn sleep_until(&mut self, due_ns: u64) -> Result<Option<Signal>> {
        let due = Expiration::OneShot(TimeSpec::from_duration(Duration::from_nanos(due_ns)));
        self.timer.set(due, TimerSetTimeFlags::TFD_TIMER_ABSTIME).context("cannot arm the timer")?;
        loop {
            let (timer, signals) = (self.timer.as_fd(), self.signals.as_fd());
            let mut fds = [PollFd::new(timer, PollFlags::POLLIN), PollFd::new(signals, PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("cannot wait for the timer"),
            }
            let [timer_ready, signal_ready] = fds.map(|fd| fd.any() == Some(true));
            if signal_ready && let Some(info) = self.signals.read_signal().context("cannot read the signalfd")? {
                return Ok(Some(if info.ssi_signo == Signal::SIGINT as u32 {
                    Signal::SIGINT
                } else {
                    Signal::SIGTERM
                }));
            }
            if timer_ready {
                return Ok(None);
            }
        }
    }
}

/// Keeps SIGINT and SIGTERM from ending the process: they wait for a ticker to notice them. Threads inherit this, so it must
/// come before the first one is started: a thread that does not hold them would still die of them, and all with it.
pub(crate) fn hold_signals() -> Result<SigSet> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGINT);
    mask.add(Signal::SIGTERM);
    mask.thread_block().context("cannot block SIGINT and SIGTERM")?;
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_to_their_plan() {
        let mut ticker = Ticker::start(Duration::from_millis(20)).unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let Wake::Tick { late_ns, .. } = ticker.wait().unwrap() else { panic!("nobody sent a signal") };
            seen.push((ticker.next_index() - 1, clock::mono_ns() - ticker.start_ns, late_ns));
        }
        for (index, at_ns, late_ns) in seen {
            // However late a wake-up was, it belongs to the planned moment of its index.
            assert!(at_ns >= index * 20_000_000 + late_ns, "tick {index} at {at_ns} ns, late by {late_ns} ns");
        }
    }

    #[test]
    fn moments_that_passed_are_missed_and_counted() {
        let mut ticker = Ticker::start(Duration::from_millis(10)).unwrap();
        ticker.start_ns -= 95_000_000;
        let Wake::Tick { missed, late_ns } = ticker.wait().unwrap() else { panic!("nobody sent a signal") };
        assert!(missed >= 9, "{missed}");
        assert!(late_ns < 95_000_000);
        assert_eq!(ticker.next_index(), missed + 1);
    }
}
