//! What the reporter tells the workers.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

/// What the workers should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Connect and produce load.
    Run = 0,
    /// Offer nothing more, give up what waits, and see to what is under way.
    Drain = 1,
    /// Say DISCONNECT and end.
    Close = 2,
}

/// Shared by the reporter and all workers.
#[derive(Debug)]
pub(crate) struct Control {
    phase: AtomicU8,
    /// When publishing may begin, `CLOCK_MONOTONIC`; 0: not yet.
    go_ns: AtomicU64,
    /// Messages that may still be offered; `None`: no limit.
    tickets: Option<AtomicI64>,
}

impl Control {
    /// `limit`: messages of all clients together. `go`: whether publishing need not wait.
    pub(crate) fn new(limit: Option<u64>, go: bool) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Run as u8),
            go_ns: AtomicU64::new(u64::from(go)),
            tickets: limit.map(|limit| AtomicI64::new(i64::try_from(limit).unwrap_or(i64::MAX))),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Run,
            1 => Phase::Drain,
            _ => Phase::Close,
        }
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    /// When publishing began or may begin; `None`: not yet.
    pub(crate) fn go_ns(&self) -> Option<u64> {
        Some(self.go_ns.load(Ordering::Acquire)).filter(|ns| *ns > 0)
    }

    pub(crate) fn go(&self, now_ns: u64) {
        self.go_ns.store(now_ns, Ordering::Release);
    }

    /// Takes the right to offer one message.
    pub(crate) fn take_ticket(&self) -> bool {
        // Threads that come too late push the count below zero, by one each: far from the end of the range.
        self.tickets
            .as_ref()
            .is_none_or(|tickets| tickets.load(Ordering::Relaxed) > 0 && tickets.fetch_sub(1, Ordering::AcqRel) > 0)
    }

    /// Whether the limit has been offered in full.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.tickets.as_ref().is_some_and(|tickets| tickets.load(Ordering::Acquire) <= 0)
    }
}
