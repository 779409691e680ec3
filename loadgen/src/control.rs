//! What the reporter tells the workers.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering};

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
    /// The clients that may connect, and since when: see [`Admission`].
    admitted_first: AtomicU32,
    admitted_limit: AtomicU32,
    admitted_ns: AtomicU64,
    /// When all clients were told last to leave at once, `CLOCK_MONOTONIC`; 0: never.
    storm_ns: AtomicU64,
    /// Nobody leaves on purpose any more.
    is_calm: AtomicBool,
    /// Rates of messages are multiplied by this.
    pub(crate) pace: f64,
}

/// Clients that may connect: those below `limit`, from `first` on by the plan of connections, which began at `begin_ns`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Admission {
    pub(crate) first: u32,
    pub(crate) limit: u32,
    pub(crate) begin_ns: u64,
}

impl Control {
    /// `limit`: messages of all clients together. `go`: whether publishing need not wait. `admission`: who may connect at
    /// first.
    pub(crate) fn new(limit: Option<u64>, go: bool, admission: Admission, pace: f64) -> Self {
        Self {
            phase: AtomicU8::new(Phase::Run as u8),
            go_ns: AtomicU64::new(u64::from(go)),
            tickets: limit.map(|limit| AtomicI64::new(i64::try_from(limit).unwrap_or(i64::MAX))),
            admitted_first: AtomicU32::new(admission.first),
            admitted_limit: AtomicU32::new(admission.limit),
            admitted_ns: AtomicU64::new(admission.begin_ns),
            storm_ns: AtomicU64::new(0),
            is_calm: AtomicBool::new(false),
            pace,
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

    /// Who may connect.
    pub(crate) fn admission(&self) -> Admission {
        // The limit is written last and read first: with the new limit come the other two. With the old one, all clients
        // below it have begun, or the next step would not have.
        let limit = self.admitted_limit.load(Ordering::Acquire);
        let (first, begin_ns) = (self.admitted_first.load(Ordering::Relaxed), self.admitted_ns.load(Ordering::Relaxed));
        Admission { first, limit, begin_ns }
    }

    /// Lets more clients connect, once those admitted so far have had their outcome.
    pub(crate) fn admit(&self, admission: Admission) {
        self.admitted_first.store(admission.first, Ordering::Relaxed);
        self.admitted_ns.store(admission.begin_ns, Ordering::Relaxed);
        self.admitted_limit.store(admission.limit, Ordering::Release);
    }

    /// When all clients were told last to leave at once; 0: never.
    pub(crate) fn storm_ns(&self) -> u64 {
        self.storm_ns.load(Ordering::Acquire)
    }

    /// Lets all clients leave at once.
    pub(crate) fn storm(&self, now_ns: u64) {
        self.storm_ns.store(now_ns, Ordering::Release);
    }

    /// Whether nobody leaves on purpose any more.
    pub(crate) fn is_calm(&self) -> bool {
        self.is_calm.load(Ordering::Acquire)
    }

    /// Lets nobody leave any more.
    pub(crate) fn calm(&self) {
        self.is_calm.store(true, Ordering::Release);
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
