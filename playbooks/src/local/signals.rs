//! Ctrl-C and SIGTERM as a flag that every wait looks at.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The signals that end a run.
pub(crate) struct Signals {
    flags: Vec<(i32, Arc<AtomicBool>)>,
    /// How many were seen so far: a second one means "at once".
    seen: Cell<usize>,
    /// The first one.
    first: Cell<Option<i32>>,
}

impl Signals {
    /// Takes the signals over from their default action, which would end the runner before its children.
    pub(crate) fn listen() -> Result<Self> {
        let mut flags = Vec::new();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let flag = Arc::new(AtomicBool::new(false));
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot listen to signals")?;
            flags.push((signal, flag));
        }
        Ok(Self { flags, seen: Cell::new(0), first: Cell::new(None) })
    }

    /// The first signal that asked for the end, if any did.
    pub(crate) fn stop_asked(&self) -> Option<i32> {
        self.count();
        self.first.get()
    }

    /// Signals so far.
    pub(crate) fn count(&self) -> usize {
        for (signal, flag) in &self.flags {
            if flag.swap(false, Ordering::Relaxed) {
                self.seen.set(self.seen.get() + 1);
                self.first.set(self.first.get().or(Some(*signal)));
            }
        }
        self.seen.get()
    }

    /// Waits until the condition holds; false when the time is over first. Does not look at the signals by itself.
    pub(super) fn wait_until(&self, limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if condition() {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            sleep(left.min(POLL));
        }
    }
}

/// How often a wait looks: short against a phase, long against what it costs the machine under test.
const POLL: Duration = Duration::from_millis(10);
