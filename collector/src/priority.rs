//! Real-time priority: a sample that waits for its turn on a busy host is late just when it matters.

/// Whether this process was given real-time priority.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Priority {
    granted: bool,
}

impl Priority {
    /// Asks for the lowest real-time priority, enough to run before everything that has none; where that is not allowed,
    /// or not wanted, priority stays as it is.
    pub(crate) fn ask(wanted: bool) -> Priority {
        Priority { granted: wanted && set(libc::SCHED_FIFO, 1) }
    }

    /// Whether it was given.
    pub(crate) fn is_realtime(self) -> bool {
        self.granted
    }

    /// Does long work at ordinary priority, so that it takes no core from the target.
    pub(crate) fn lowered<T>(self, work: impl FnOnce() -> T) -> T {
        if !self.granted {
            return work();
        }
        set(libc::SCHED_OTHER, 0);
        let result = work();
        set(libc::SCHED_FIFO, 1);
        result
    }
}

fn set(policy: i32, priority: i32) -> bool {
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to a live `sched_param`; 0 is the calling thread.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) == 0 }
}
