//! The plan of probes and the books on them. Knows neither sockets nor clocks: every time is an argument, ns of the
//! monotonic clock.

use pacer::schedule::Schedule;
use pacer::stamp::{Reading, Stamp};
use runlog::Percentiles;

/// When one probe was due, sent and received; 0: not (yet).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) due_ns: u64,
    pub(crate) sent_ns: u64,
    pub(crate) received_ns: u64,
    /// Whether a prober that waits for each answer would have sent it too.
    pub(crate) closed_loop: bool,
}

/// What an arriving payload was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// A measured probe, for the first time: its number among the measured ones and its stamps.
    Measured(u32, Probe),
    /// A probe of the warm-up.
    Warmup,
    /// A probe that had come before.
    Duplicate,
    /// A payload of our topic that is not what was sent.
    Corrupted,
    /// A payload of another sender.
    Foreign,
}

/// What was counted about measured probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    pub(crate) corrupted: u64,
    pub(crate) late: u64,
}

/// All probes of one pair: first those of the warm-up, then the measured ones.
#[derive(Debug)]
pub(crate) struct Probes {
    sender: u32,
    schedule: Schedule,
    warmup: u32,
    timeout_ns: u64,
    /// Those sent, and blank ones behind them ([`Probes::make_ready`]).
    probes: Vec<Probe>,
    /// How many are to be sent.
    planned: u32,
    /// The next one to send.
    next: u32,
    /// Sent and not back yet, warm-up included.
    outstanding: u32,
    highest_received: Option<u32>,
    /// The probe that a closed loop would be waiting for.
    awaited: Option<u32>,
    counts: Counts,
}

impl Probes {
    /// Plans `warmup + measured` probes, none of which is due before [`Probes::begin`]; `sender` tells this pair's payloads
    /// from all others. Address space for all of them is taken now, so that none is asked for while measuring.
    pub(crate) fn new(sender: u32, warmup: u32, measured: u32, timeout_ns: u64) -> Probes {
        let schedule = Schedule::flat_out(u64::MAX);
        let planned = warmup + measured;
        Probes {
            sender,
            schedule,
            warmup,
            timeout_ns,
            probes: Vec::with_capacity(planned as usize),
            planned,
            next: 0,
            outstanding: 0,
            highest_received: None,
            awaited: None,
            counts: Counts::default(),
        }
    }

    /// Gives each probe its due time.
    pub(crate) fn begin(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }

    /// Touches the memory of the next `count` probes: the kernel hands pages out at their first use, which takes long
    /// enough to be seen in a latency.
    pub(crate) fn make_ready(&mut self, count: u32) {
        let wanted = (self.next.saturating_add(count)).min(self.planned) as usize;
        if wanted > self.probes.len() {
            self.probes.resize(wanted, Probe::default());
        }
    }

    /// When the next probe is due; `None` when all are sent.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        (self.next < self.planned).then(|| self.schedule.next_due_ns())
    }

    /// Takes the next probe when it is due, as sent at `now_ns`.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Stamp> {
        self.next_due_ns()?;
        let due_ns = self.schedule.take_due(now_ns)?;
        let stamp = Stamp { sender: self.sender, sequence: self.next, due_ns };
        let closed_loop = !self.is_awaiting(now_ns);
        if closed_loop {
            self.awaited = Some(self.next);
        }
        self.make_ready(1);
        self.probes[self.next as usize] = Probe { due_ns, sent_ns: now_ns, received_ns: 0, closed_loop };
        self.counts.sent += u64::from(self.is_measured(self.next));
        self.next += 1;
        self.outstanding += 1;
        Some(stamp)
    }

    /// Takes back the probe that was taken last and not sent after all: it leaves no trace but a gap in the plan.
    pub(crate) fn retract(&mut self) {
        self.next -= 1;
        self.outstanding -= 1;
        self.awaited = self.awaited.filter(|&sequence| sequence != self.next);
        self.counts.sent -= u64::from(self.is_measured(self.next));
    }

    /// Books a payload that arrived.
    pub(crate) fn arrived(&mut self, payload: &[u8], now_ns: u64) -> Arrival {
        let arrival = match Stamp::read(payload) {
            Reading::Intact(stamp) if stamp.sender == self.sender => self.book(stamp, now_ns),
            Reading::Intact(_) | Reading::Unstamped => Arrival::Foreign,
            Reading::Corrupted | Reading::Foreign => Arrival::Corrupted,
        };
        match arrival {
            Arrival::Duplicate => self.counts.duplicated += 1,
            Arrival::Corrupted => self.counts.corrupted += 1,
            Arrival::Measured(..) | Arrival::Warmup | Arrival::Foreign => {}
        }
        arrival
    }

    /// When to stop waiting for what is outstanding; `None` while there is more to send.
    pub(crate) fn give_up_ns(&self) -> Option<u64> {
        let last = self.next.checked_sub(1).map(|last| self.probes[last as usize]);
        let waits = self.next_due_ns().is_none() && self.outstanding > 0;
        waits.then(|| last.map_or(0, |last| last.sent_ns.max(last.due_ns)) + self.timeout_ns)
    }

    /// Whether all are sent and none is outstanding.
    pub(crate) fn is_done(&self) -> bool {
        self.next_due_ns().is_none() && self.outstanding == 0
    }

    /// Sends no more than what has been sent.
    pub(crate) fn cut_short(&mut self) {
        self.planned = self.next;
    }

    /// What was counted so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Measured probes that were sent and never came, with their numbers.
    pub(crate) fn lost(&self) -> impl Iterator<Item = (u32, Probe)> + '_ {
        self.measured().filter(|(_, probe)| probe.received_ns == 0)
    }

    /// Round trips from the send, in us, of what came back; lost is what was due back before `end_ns`.
    pub(crate) fn round_trips(&self, end_ns: u64) -> Percentiles {
        let (came, missing): (Vec<Probe>, Vec<Probe>) =
            self.measured().map(|(_, probe)| probe).partition(|probe| probe.received_ns > 0);
        let lost = missing.iter().filter(|probe| probe.sent_ns + self.timeout_ns < end_ns).count();
        percentiles(came.iter().map(|probe| probe.received_ns - probe.sent_ns).collect(), lost as u64)
    }

    /// Whether a closed loop would be waiting for an answer: until it comes or is given up.
    fn is_awaiting(&self, now_ns: u64) -> bool {
        let awaited = self.awaited.map(|sequence| self.probes[sequence as usize]);
        awaited.is_some_and(|probe| probe.received_ns == 0 && now_ns < probe.sent_ns + self.timeout_ns)
    }

    fn book(&mut self, stamp: Stamp, now_ns: u64) -> Arrival {
        let is_ours = stamp.sequence < self.next && self.probes[stamp.sequence as usize].due_ns == stamp.due_ns;
        if !is_ours {
            return Arrival::Corrupted;
        }
        let measured = self.is_measured(stamp.sequence);
        let probe = &mut self.probes[stamp.sequence as usize];
        if probe.received_ns > 0 {
            return Arrival::Duplicate;
        }
        probe.received_ns = now_ns;
        let probe = *probe;
        self.outstanding -= 1;
        let overtaken = self.highest_received.is_some_and(|highest| stamp.sequence < highest);
        self.highest_received = self.highest_received.max(Some(stamp.sequence));
        if !measured {
            return Arrival::Warmup;
        }
        self.counts.received += 1;
        self.counts.out_of_order += u64::from(overtaken);
        self.counts.late += u64::from(now_ns.saturating_sub(probe.due_ns) > self.timeout_ns);
        Arrival::Measured(stamp.sequence - self.warmup, probe)
    }

    fn is_measured(&self, sequence: u32) -> bool {
        sequence >= self.warmup
    }

    fn measured(&self) -> impl Iterator<Item = (u32, Probe)> + '_ {
        let sent = &self.probes[..self.next as usize];
        (0..).zip(sent.iter().skip(self.warmup as usize).copied())
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.sent += other.sent;
        self.received += other.received;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.corrupted += other.corrupted;
        self.late += other.late;
    }
}

/// Of all pairs: latency from the due time; latency from the send, of what a closed loop would have sent; lag of the send
/// behind the due time; all in us. What is lost counts as infinite in the first two.
pub(crate) fn curves(pairs: &[Probes]) -> [Percentiles; 3] {
    let measured = || pairs.iter().flat_map(Probes::measured).map(|(_, probe)| probe);
    let of = |chosen: &dyn Fn(&Probe) -> bool, from: &dyn Fn(&Probe) -> u64| {
        let (received, lost): (Vec<Probe>, Vec<Probe>) =
            measured().filter(chosen).partition(|probe| probe.received_ns > 0);
        let latency = |probe: &Probe| probe.received_ns.saturating_sub(from(probe));
        percentiles(received.iter().map(latency).collect(), lost.len() as u64)
    };
    let lag = measured().map(|probe| probe.sent_ns - probe.due_ns).collect();
    [of(&|_| true, &|probe| probe.due_ns), of(&|probe| probe.closed_loop, &|probe| probe.sent_ns), percentiles(lag, 0)]
}

fn percentiles(mut samples_ns: Vec<u64>, lost: u64) -> Percentiles {
    samples_ns.sort_unstable();
    Percentiles::of_sorted(&samples_ns, 0.001, lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probes(warmup: u32, measured: u32) -> Probes {
        let mut probes = Probes::new(7, warmup, measured, 5_000);
        assert_eq!(probes.take_due(u64::MAX - 1), None);
        probes.begin(Schedule::every(1_000, 100));
        probes
    }

    fn payload(stamp: Stamp) -> [u8; 24] {
        let mut payload = [0; 24];
        stamp.fill(&mut payload);
        payload
    }

    #[test]
    fn latency_counts_from_the_due_time() {
        let mut probes = probes(1, 3);
        assert_eq!(probes.take_due(999), None);
        let sent: Vec<Stamp> = [1_000, 1_350, 1_350, 1_350].map(|now| probes.take_due(now).unwrap()).to_vec();
        assert_eq!(sent.iter().map(|stamp| stamp.due_ns).collect::<Vec<_>>(), [1_000, 1_100, 1_200, 1_300]);
        assert_eq!((probes.take_due(9_999), probes.next_due_ns()), (None, None));
        assert_eq!(probes.give_up_ns(), Some(1_350 + 5_000));
        assert_eq!(probes.arrived(&payload(sent[0]), 1_400), Arrival::Warmup);
        for (number, stamp) in (0..).zip(&sent[1..]) {
            let closed_loop = false;
            let probe = Probe { due_ns: stamp.due_ns, sent_ns: 1_350, received_ns: 1_400, closed_loop };
            assert_eq!(probes.arrived(&payload(*stamp), 1_400), Arrival::Measured(number, probe));
        }
        assert!(probes.is_done());
        let [corrected, uncorrected, lag] = curves(std::slice::from_ref(&probes));
        assert_eq!((corrected.min, corrected.max), (Some(0.1), Some(0.3)));
        assert_eq!(uncorrected.count, 0, "a closed loop would still have waited for the warm-up's probe");
        assert_eq!((lag.min, lag.max), (Some(0.05), Some(0.25)));
        assert_eq!(probes.counts(), Counts { sent: 3, received: 3, ..Counts::default() });
    }

    #[test]
    fn what_goes_wrong_is_counted() {
        let mut probes = probes(0, 4);
        let sent: Vec<Stamp> = (0..4).map(|_| probes.take_due(2_000).unwrap()).collect();
        assert!(matches!(probes.arrived(&payload(sent[2]), 2_100), Arrival::Measured(2, _)));
        assert!(matches!(probes.arrived(&payload(sent[0]), 2_200), Arrival::Measured(0, _)));
        assert_eq!(probes.arrived(&payload(sent[0]), 2_300), Arrival::Duplicate);
        assert!(matches!(probes.arrived(&payload(sent[3]), 99_000), Arrival::Measured(3, _)));
        assert_eq!(probes.arrived(&payload(Stamp { sender: 8, ..sent[1] }), 2_300), Arrival::Foreign);
        assert_eq!(probes.arrived(b"short", 2_300), Arrival::Foreign);
        assert_eq!(probes.arrived(&payload(Stamp { due_ns: 1, ..sent[1] }), 2_300), Arrival::Corrupted);
        assert_eq!(probes.arrived(&payload(Stamp { sequence: 4, ..sent[1] }), 2_300), Arrival::Corrupted);
        let expected = Counts { sent: 4, received: 3, duplicated: 1, out_of_order: 1, corrupted: 2, late: 1 };
        assert_eq!(probes.counts(), expected);
        assert_eq!(probes.lost().map(|(number, _)| number).collect::<Vec<_>>(), [1]);
        let [corrected, uncorrected, lag] = curves(std::slice::from_ref(&probes));
        assert_eq!((corrected.count, corrected.max), (4, Some(f64::INFINITY)));
        assert_eq!((uncorrected.count, uncorrected.max, lag.count), (1, Some(0.2), 4));
        assert!(!probes.is_done());
    }

    #[test]
    fn a_stall_is_one_sample_of_a_closed_loop() {
        // Answers take 10, but for the time from 10,000 to 12,000, when all are held back until its end.
        let mut probes = probes(0, 200);
        let answered_at = |sent_ns: u64| if (10_000..12_000).contains(&sent_ns) { 12_000 } else { sent_ns + 10 };
        let mut under_way: Vec<Stamp> = Vec::new();
        for now_ns in (1_000..30_000).step_by(10) {
            under_way.retain(|stamp| {
                let arrives = answered_at(stamp.due_ns) <= now_ns;
                assert!(!arrives || matches!(probes.arrived(&payload(*stamp), now_ns), Arrival::Measured(..)));
                !arrives
            });
            under_way.extend(probes.take_due(now_ns));
        }
        let [corrected, uncorrected, _] = curves(std::slice::from_ref(&probes));
        assert_eq!((corrected.count, uncorrected.count), (200, 181));
        assert_eq!((corrected.max, uncorrected.max), (Some(2.0), Some(2.0)));
        assert_eq!((corrected.p95, uncorrected.p95), (Some(1.0), Some(0.01)));
    }

    #[test]
    fn a_run_that_is_cut_short_counts_what_it_sent() {
        let mut probes = probes(1, 100);
        (0..3).for_each(|_| assert!(probes.take_due(2_000).is_some()));
        probes.cut_short();
        assert_eq!((probes.next_due_ns(), probes.is_done()), (None, false));
        assert_eq!(curves(std::slice::from_ref(&probes))[0].count, 2);
    }
}
