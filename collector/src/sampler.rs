//! One sample: every source asked once, what is dear only at a slow beat.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use runlog::{Event, EventKind, Role, clock, columns};
use serde_json::json;

use crate::args::Args;
use crate::canary::Canary;
use crate::echo::Echo;
use crate::find;
use crate::marks::Marks;
use crate::priority::Priority;
use crate::row::Row;
use crate::sockdiag::{self, End};
use crate::sources::{Cgroup, Cpu, Memory, Network, Pressure, Source, Target, Tcp};

/// All sources of this run.
pub(crate) struct Sampler {
    sources: Vec<Box<dyn Source>>,
    failed: BTreeSet<&'static str>,
    target: Option<Target>,
    /// Process id of the target, also after it ended.
    pid: Option<u32>,
    successor: Option<Successor>,
    port: Option<(u16, End)>,
    pub(crate) priority: Priority,
    refresh: Beat,
    pss: Beat,
    count: Beat,
    cgroup: Option<Cgroup>,
    marks: Marks,
    /// What fills cells without being a file.
    pub(crate) canary: Option<Canary>,
    pub(crate) echo: Option<Echo>,
    /// Whether the slow beat came with the last sample.
    pub(crate) is_slow: bool,
    /// Times that the target was replaced.
    pub(crate) restarts: u64,
}

/// How a process that replaces the target is found.
enum Successor {
    Named(String),
    Listening(u16),
}

impl Sampler {
    /// Opens all sources; `pid` is the target.
    pub(crate) fn open(args: &Args, iface: &str, pid: Option<u32>, priority: Priority) -> Result<Sampler> {
        // Traffic and TCP first, next to the time stamp: they are what rates are made of.
        let mut sources: Vec<Box<dyn Source>> = vec![
            Box::new(Network::open(iface).context("cannot read network counters")?),
            Box::new(Tcp::open().context("cannot read TCP counters")?),
            Box::new(Cpu::open().context("cannot read CPU counters")?),
            Box::new(Memory::open().context("cannot read memory counters")?),
        ];
        // Not on every kernel: its columns stay empty there.
        if let Ok(pressure) = Pressure::open() {
            sources.push(Box::new(pressure));
        }
        let end = if args.role == Role::Broker { End::Local } else { End::Remote };
        let listening = args.port.filter(|_| args.role == Role::Broker).map(Successor::Listening);
        Ok(Sampler {
            sources,
            failed: BTreeSet::new(),
            target: pid.map(Target::open).transpose()?,
            pid,
            successor: args.name.clone().map(Successor::Named).or(listening),
            port: args.port.map(|port| (port, end)),
            priority,
            refresh: Beat::every(REFRESH),
            pss: Beat::every(args.slow_interval),
            count: Beat::every(args.slow_interval),
            cgroup: pid.map(Cgroup::open),
            marks: Marks::default(),
            canary: None,
            echo: None,
            is_slow: false,
            restarts: 0,
        })
    }

    /// Fills the row with the counters of this moment and answers with what happened since the last one.
    pub(crate) fn sample(&mut self, row: &mut Row) -> Vec<Event> {
        let mut events = Vec::new();
        let (mono_ns, wall_ns) = (clock::mono_ns(), clock::wall_ns());
        row.clear();
        row.set(columns::MONO_NS, mono_ns);
        row.set(columns::WALL_NS, wall_ns);
        events.extend(self.marks.clock(mono_ns, wall_ns));
        row.set(columns::CLOCK_STEPS, self.marks.clock_steps);
        for source in &mut self.sources {
            if let Err(error) = source.sample(row)
                && self.failed.insert(source.name())
            {
                let detail = json!({"source": source.name(), "error": format!("{error:#}")});
                events.push(Event::now(EventKind::Error, "source failed").detail(detail));
            }
        }
        self.sample_target(mono_ns, row, &mut events);
        if let Some(echo) = &self.echo {
            echo.sample(row);
        }
        row.set(columns::SAMPLE_US, (clock::mono_ns() - mono_ns) / 1_000);
        events.extend(self.marks.counters(row, self.restarts));
        let (pss, count) = (self.pss.is_due(mono_ns), self.count.is_due(mono_ns));
        if pss || count {
            self.priority.lowered(|| self.sample_slowly(pss, count, row));
        }
        row.set(columns::SELF_CPU_US, clock::self_cpu_ns() / 1_000);
        self.is_slow = pss || count;
        events
    }

    /// What takes long and is due.
    fn sample_slowly(&mut self, pss: bool, count: bool, row: &mut Row) {
        let begun_ns = clock::mono_ns();
        if let Some(target) = self.target.as_mut().filter(|_| pss) {
            target.fill_pss(row);
            target.count_fds();
            self.cgroup.iter().for_each(|cgroup| cgroup.fill_memory(row));
            self.pss.spent(clock::mono_ns() - begun_ns);
        }
        let begun_ns = clock::mono_ns();
        if let Some(established) = count.then(|| self.established()).flatten() {
            row.set(columns::PORT_ESTAB, established);
            self.count.spent(clock::mono_ns() - begun_ns);
        }
    }

    /// Established connections of the watched port, counted now.
    pub(crate) fn established(&self) -> Option<u64> {
        let (port, end) = self.port?;
        sockdiag::established(port, end).ok()
    }

    /// Steps of the wall clock so far.
    pub(crate) fn clock_steps(&self) -> u64 {
        self.marks.clock_steps
    }

    /// The target, when there is one.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn sample_target(&mut self, mono_ns: u64, row: &mut Row, events: &mut Vec<Event>) {
        let refresh = self.refresh.is_due(mono_ns);
        let Some(target) = &mut self.target else { return };
        let was_alive = target.is_alive();
        if refresh && was_alive {
            target.refresh();
        }
        // The target reads its own files only, and takes an unreadable one as the end of its process.
        let _ = target.sample(row);
        row.set(columns::PROC_RESTARTS, self.restarts);
        if let (Some(pid), true) = (self.pid, target.is_alive()) {
            row.set(columns::PROC_PID, pid.into());
        }
        // A group that was removed answers no more, which leaves its cells empty.
        let _ = self.cgroup.as_mut().map(|cgroup| cgroup.sample(row));
        if was_alive && !target.is_alive() {
            events.push(Event::now(EventKind::Error, "target exited").detail(json!({"pid": self.pid})));
        } else if !was_alive && refresh {
            events.extend(self.adopt_successor());
        }
    }

    fn adopt_successor(&mut self) -> Option<Event> {
        let pid = match self.successor.as_ref()? {
            Successor::Named(name) => find::by_name(name),
            Successor::Listening(port) => find::by_port(*port),
        };
        let pid = pid.ok()?;
        self.target = Some(Target::open(pid).ok()?);
        self.cgroup = Some(Cgroup::open(pid));
        self.restarts += 1;
        let old = self.pid.replace(pid);
        Some(Event::now(EventKind::Note, "target restarted").detail(json!({"old_pid": old, "pid": pid})))
    }
}

/// Something done now and then. What takes long is done more rarely, so that it never costs more than a share of time.
#[derive(Debug)]
struct Beat {
    interval_ns: u64,
    next_ns: u64,
}

impl Beat {
    fn every(interval: Duration) -> Beat {
        Beat { interval_ns: interval.as_nanos() as u64, next_ns: 0 }
    }

    fn is_due(&mut self, now_ns: u64) -> bool {
        let due = self.interval_ns > 0 && now_ns >= self.next_ns;
        if due {
            self.next_ns = now_ns + self.interval_ns;
        }
        due
    }

    fn spent(&mut self, cost_ns: u64) {
        self.next_ns += (cost_ns * REST_PER_COST).saturating_sub(self.interval_ns);
    }
}

/// Pace of looking for new processes and threads of the target.
const REFRESH: Duration = Duration::from_secs(2);

/// A beat rests for this many times its own cost: it takes at most 0.2 % of one core.
const REST_PER_COST: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dear_beat_becomes_rare() {
        let mut beat = Beat::every(Duration::from_secs(10));
        assert!(beat.is_due(1));
        assert!(!beat.is_due(5_000_000_000) && beat.is_due(10_000_000_001));
        beat.spent(1_000_000);
        assert!(beat.is_due(20_000_000_001), "1 ms in 10 s is within the share");
        beat.spent(300_000_000);
        assert!(!beat.is_due(170_000_000_000) && beat.is_due(170_000_000_001), "300 ms are worth 150 s of rest");
        assert!(!Beat::every(Duration::ZERO).is_due(u64::MAX));
    }
}
