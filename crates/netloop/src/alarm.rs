//! A timer that wakes a poller at a nanosecond, not at the next whole millisecond.
//!
//! `epoll_wait` takes its timeout in milliseconds, which is too coarse for a schedule of one message every 66 us. An
//! alarm is a timer descriptor (`timerfd_create(2)`) registered with the poller. As registration is edge-triggered,
//! each expiry is one event and the descriptor is never read.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// One timer of one event loop.
#[derive(Debug)]
pub struct Alarm {
    timer: TimerFd,
    /// What the timer is set to, so that setting it again costs nothing.
    set_ns: Option<u64>,
}

impl Alarm {
    /// An alarm that is not set, registered under `token`.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&timer.as_fd().as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { timer, set_ns: None })
    }

    /// Sets the alarm to `at_ns` of `CLOCK_MONOTONIC`, instead of what it was set to. A time in the past wakes at once.
    ///
    /// # Errors
    /// What `timerfd_settime` said.
    pub fn set(&mut self, at_ns: u64) -> io::Result<()> {
        if self.set_ns == Some(at_ns) {
            return Ok(());
        }
        // Zero would disarm the timer.
        let at = TimeSpec::from_duration(Duration::from_nanos(at_ns.max(1)));
        self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        self.set_ns = Some(at_ns);
        Ok(())
    }

    /// To be called when the alarm's event has been seen: it is not set any more.
    pub fn rang(&mut self) {
        self.set_ns = None;
    }
}
