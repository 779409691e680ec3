//! Which thread runs which worker.
//!
//! There is a thread for each worker, but a thread costs something each time that it is woken: with little to do, N
//! threads need several times the processor time of one. So the workers come together in the first thread as long as
//! that is not busy, and go to their own when it is and when a processor has nothing else to do. A worker moves as a
//! whole, between two of its turns; it does not notice, and neither does anybody who sends it mail.
//!
//! The first thread sleeps in its own worker's poller, which tells of the sockets of its guests as well ([`super::watch`]).
//! The guests' own pollers are registered in it for what they bring along.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use mio::Events;
use netloop::load::{machine_idle_ns, thread_cpu_ns};
use netloop::mailbox::Sender;

use super::counters::{Counters, Gauges};
use super::mail::Mail;
use super::settings::{
    EVENTS_PER_TURN, GATHER_BELOW, IDLE_PROCESSORS_TO_SPREAD, LOAD_WINDOW_NS, SHUFFLE_WINDOW_NS, SPREAD_ABOVE, Spread,
};
use super::watch::{Subject, subject};
use super::worker::Worker;

/// Turns in which workers in one thread answer each other's mail, before the poller is asked again.
const ROUNDS: usize = 2;

/// The running threads.
#[derive(Debug)]
pub(crate) struct Crew {
    threads: Vec<JoinHandle<io::Result<Counters>>>,
    mailboxes: Vec<Sender<Mail>>,
}

/// A worker that another thread is to run, and the way back.
#[derive(Debug)]
pub(super) struct Lent {
    worker: Box<Worker>,
    back: mpsc::Sender<Box<Worker>>,
}

/// Why the threads did not end as they should.
#[derive(Debug)]
pub(crate) enum CrewError {
    /// A worker could not go on.
    Failed(io::Error),
    /// A bug.
    Panicked,
}

impl Crew {
    /// Starts a thread for each worker.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn start(workers: Vec<Worker>, spread: Spread) -> io::Result<Self> {
        let mailboxes = workers.first().map(|worker| worker.peers.clone()).unwrap_or_default();
        let first_load = Arc::new(AtomicU32::new(0));
        let mut threads = Vec::new();
        for worker in workers {
            let builder = thread::Builder::new().name(format!("worker-{}", worker.id));
            let (first, load, worker) = (mailboxes[0].clone(), Arc::clone(&first_load), Box::new(worker));
            threads.push(if worker.id == 0 {
                builder.spawn(move || First::new(worker, spread, load).run())?
            } else {
                builder.spawn(move || run_alone_or_lend(worker, spread, &first, &load))?
            });
        }
        Ok(Self { threads, mailboxes })
    }

    /// Number of workers.
    pub(crate) fn len(&self) -> usize {
        self.threads.len()
    }

    /// Asks every worker what it has counted and what it holds; one answer of each arrives.
    pub(crate) fn ask(&self) -> mpsc::Receiver<(Counters, Gauges)> {
        let (sender, receiver) = mpsc::channel();
        for mailbox in &self.mailboxes {
            mailbox.send_all(&mut vec![Mail::Report(sender.clone())], 0);
        }
        receiver
    }

    /// Has every worker say good-bye to its clients, waits for the ends of their threads, and returns what was counted.
    ///
    /// # Errors
    /// When a worker failed before.
    pub(crate) fn stop(self) -> Result<Counters, CrewError> {
        let mut total = Counters::default();
        let mut outcome = Ok(());
        // The first thread last: until then it may run the others' workers.
        for (thread, mailbox) in self.threads.into_iter().zip(&self.mailboxes).rev() {
            mailbox.send_all(&mut vec![Mail::Stop], 0);
            match thread.join() {
                Ok(Ok(counters)) => total += counters,
                Ok(Err(error)) => outcome = Err(CrewError::Failed(error)),
                Err(_) => outcome = Err(CrewError::Panicked),
            }
        }
        outcome.map(|()| total)
    }
}

/// The first thread: runs its own worker and those lent to it.
struct First {
    own: Box<Worker>,
    guests: Vec<Guest>,
    spread: Spread,
    load: Arc<AtomicU32>,
    meter: LoadMeter,
    /// [`machine_idle_ns`] at the end of the last window, if that was busy.
    idle_ns: Option<u64>,
}

struct Guest {
    lent: Lent,
    /// Its own poller may have events.
    brings_events: bool,
    /// Packets received and delivered at the end of the last window.
    done: u64,
}

impl First {
    fn new(own: Box<Worker>, spread: Spread, load: Arc<AtomicU32>) -> Self {
        Self { own, guests: Vec::new(), spread, load, meter: LoadMeter::new(spread), idle_ns: None }
    }

    fn run(mut self) -> io::Result<Counters> {
        let (mut events, mut brought) = (new_events(), new_events());
        while !self.own.stopping {
            let rests_ns = self.guests.iter_mut().map(Guest::rest_ns);
            let guests_ns = rests_ns.fold(None, sooner);
            let rest_ns = sooner(self.own.rest_ns(), guests_ns);
            self.own.poll(&mut events, rest_ns)?;
            // Whoever sends them mail need not wake them now: they have their turn below.
            self.guests.iter().for_each(|guest| guest.lent.worker.inbox.awake());
            let mut told = self.sort(&events);
            // All act before any writes: a connection that gets something from several workers is written once.
            for _ in 0..ROUNDS {
                self.own.act(&events);
                self.let_guests_act(&events, told);
                // What they sent to this thread's own worker needs no look at the poller.
                events.clear();
                told = 0;
                if !self.own.inbox.has_mail() {
                    break;
                }
            }
            self.own.write_out();
            self.guests.iter_mut().for_each(|guest| guest.worker().write_out());
            self.guests.iter_mut().try_for_each(|guest| guest.unpack(&mut brought))?;
            self.exchange_guests()?;
        }
        Ok(self.own.end())
    }

    /// Finds out whom the events are for: a bit for each guest that has some. Those for workers that have gone home are
    /// sent after them.
    fn sort(&mut self, events: &Events) -> u64 {
        let mut told = 0;
        for event in events {
            let (worker, subject) = subject(event.token());
            if worker == self.own.id {
                continue;
            }
            match self.guests.iter_mut().find(|guest| guest.lent.worker.id == worker) {
                Some(guest) if subject == Subject::Poller => guest.brings_events = true,
                Some(_) => told |= 1 << worker,
                None => self.own.send(worker, Mail::LeftBehind(event.token())),
            }
        }
        told
    }

    /// Has every guest act that has something to do.
    fn let_guests_act(&mut self, events: &Events, told: u64) {
        let now_ns = self.own.now_ns;
        for guest in &mut self.guests {
            let worker = guest.worker();
            // Its own last look at the clock may have been later.
            worker.now_ns = worker.now_ns.max(now_ns);
            if told & (1 << worker.id) != 0 || worker.has_work() {
                worker.act(events);
            }
        }
    }

    /// Takes in workers that have been lent, and sends home who has to stop or finds a processor.
    fn exchange_guests(&mut self) -> io::Result<()> {
        for mut lent in std::mem::take(&mut self.own.lent) {
            self.own.take_in_guest(&mut lent.worker)?;
            // What is in its poller already raised no event in ours.
            self.guests.push(Guest { lent, brings_events: true, done: 0 });
        }
        let share = self.meter.share(self.own.now_ns)?;
        if let Some(share) = share {
            self.load.store((share * 1e3) as u32, Ordering::Relaxed);
        }
        while let Some(place) = self.guests.iter().position(|guest| guest.lent.worker.stopping) {
            self.send_home(place)?;
        }
        if let Some(share) = share
            && self.is_to_spread(share)
            && let Some(place) = self.busiest_guest()
        {
            self.send_home(place)?;
        }
        Ok(())
    }

    fn send_home(&mut self, place: usize) -> io::Result<()> {
        let Lent { mut worker, back } = self.guests.swap_remove(place).lent;
        self.own.send_off_guest(&mut worker)?;
        // Cannot fail: its thread waits for nothing else.
        let _ = back.send(worker);
        Ok(())
    }

    /// Whether a guest is to go, after a window with this load.
    fn is_to_spread(&mut self, share: f64) -> bool {
        if self.spread == Spread::Shuffle {
            return true;
        }
        if share < SPREAD_ABOVE || self.guests.is_empty() {
            self.idle_ns = None;
            return false;
        }
        // A thread more is no gain where all processors are busy, be it with others' work.
        let idle_ns = machine_idle_ns();
        let before = std::mem::replace(&mut self.idle_ns, idle_ns);
        let (Some(before), Some(now)) = (before, idle_ns) else { return false };
        now.saturating_sub(before) as f64 / self.meter.window_took_ns as f64 >= IDLE_PROCESSORS_TO_SPREAD
    }

    /// The guest that has done most since this was last asked.
    fn busiest_guest(&mut self) -> Option<usize> {
        let done = |guest: &mut Guest| {
            let counters = &guest.lent.worker.counters;
            let done = counters.received + counters.delivered;
            done - std::mem::replace(&mut guest.done, done)
        };
        let done: Vec<u64> = self.guests.iter_mut().map(done).collect();
        (0..done.len()).max_by_key(|&place| done[place])
    }
}

impl Guest {
    fn worker(&mut self) -> &mut Worker {
        &mut self.lent.worker
    }

    fn rest_ns(&mut self) -> Option<u64> {
        if self.brings_events { Some(0) } else { self.worker().rest_ns() }
    }

    /// Has what its own poller tells of watched by this thread's.
    fn unpack(&mut self, events: &mut Events) -> io::Result<()> {
        if self.brings_events {
            let worker = self.worker();
            worker.poll(events, Some(0))?;
            events.iter().for_each(|event| worker.watch_here(event.token()));
            // A poller that had more to tell raises no event for the rest.
            self.brings_events = events.iter().count() >= EVENTS_PER_TURN;
        }
        Ok(())
    }
}

/// Any other thread: runs its worker, or waits while the first thread does.
fn run_alone_or_lend(
    mut worker: Box<Worker>,
    spread: Spread,
    first: &Sender<Mail>,
    first_load: &AtomicU32,
) -> io::Result<Counters> {
    let mut events = new_events();
    let (back, desk) = mpsc::channel();
    let mut gathers = spread != Spread::Always;
    loop {
        if gathers {
            first.send_all(&mut vec![Mail::Lend(Box::new(Lent { worker, back: back.clone() }))], 0);
            // Cannot fail: this thread holds a sender. Ends when the first thread sends the worker home, at the latest
            // when that is to stop.
            worker = desk.recv().map_err(io::Error::other)?;
        }
        let mut meter = LoadMeter::new(spread);
        meter.share(worker.now_ns)?;
        gathers = false;
        while !worker.stopping && !gathers {
            let rest_ns = worker.rest_ns();
            worker.poll(&mut events, rest_ns)?;
            worker.turn(&events);
            let share = if spread == Spread::Always { None } else { meter.share(worker.now_ns)? };
            gathers = share.is_some_and(|share| {
                let both = share + f64::from(first_load.load(Ordering::Relaxed)) / 1e3;
                both < GATHER_BELOW || spread == Spread::Shuffle
            });
        }
        if worker.stopping {
            return Ok(worker.end());
        }
    }
}

/// How much of its time a thread has run, window by window.
struct LoadMeter {
    window_ns: u64,
    since_ns: u64,
    cpu_ns: u64,
    /// Length of the window that ended last.
    window_took_ns: u64,
}

impl LoadMeter {
    fn new(spread: Spread) -> Self {
        let window_ns = if spread == Spread::Shuffle { SHUFFLE_WINDOW_NS } else { LOAD_WINDOW_NS };
        Self { window_ns, since_ns: 0, cpu_ns: 0, window_took_ns: 0 }
    }

    /// The share, when a window has ended.
    fn share(&mut self, now_ns: u64) -> io::Result<Option<f64>> {
        let took_ns = now_ns - self.since_ns;
        if took_ns < self.window_ns {
            return Ok(None);
        }
        let cpu_ns = thread_cpu_ns()?;
        let share = (cpu_ns - self.cpu_ns) as f64 / took_ns as f64;
        (self.since_ns, self.cpu_ns, self.window_took_ns) = (now_ns, cpu_ns, took_ns);
        Ok(Some(share))
    }
}

/// The sooner of two times, of which `None` is never.
fn sooner(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

fn new_events() -> Events {
    Events::with_capacity(EVENTS_PER_TURN)
}
