//! Workers run by hand, one step at a time, in one thread and on a clock of the caller's: for tests of what depends on who
//! is first, and for fuzzing.

use std::io;
use std::net::TcpStream as StdStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
#[cfg(fuzzing)]
use std::time::Duration;

use mio::Events;
use mio::net::TcpStream;

#[cfg(fuzzing)]
use super::counters::Gauges;
use super::door::Entry;
use super::settings::{EVENTS_PER_TURN, Settings};
use super::worker::{Worker, build};

/// Workers without threads and listeners.
pub(crate) struct Stage {
    workers: Vec<Worker>,
    events: Events,
    now_ns: u64,
}

impl Stage {
    /// Makes so many workers.
    ///
    /// # Errors
    /// When the kernel gives no epoll instance or eventfd.
    pub(crate) fn new(settings: &Settings, workers: usize) -> io::Result<Self> {
        let workers = build(settings, (0..workers).map(|_| Vec::new()).collect())?;
        Ok(Self { workers, events: Events::with_capacity(EVENTS_PER_TURN), now_ns: 0 })
    }

    /// Connects to a worker; returns the client's end, which does not block. Nothing has been read from the worker's yet.
    ///
    /// # Errors
    /// When the kernel gives no pair of sockets.
    pub(crate) fn connect(&mut self, worker: usize) -> io::Result<UnixStream> {
        let (client, server) = UnixStream::pair()?;
        client.set_nonblocking(true)?;
        server.set_nonblocking(true)?;
        // A stream is a stream: reading, writing and shutting down are the same for both families.
        let server = TcpStream::from_std(StdStream::from(OwnedFd::from(server)));
        self.workers[worker].greet(server, Entry::default());
        Ok(client)
    }

    /// The worker that a client or topic belongs to.
    pub(crate) fn owner(&self, name: &str) -> usize {
        let any = &self.workers[0];
        usize::from(any.owner(any.hash(name)))
    }

    /// The first step of a worker's turn: acts on mail, bytes and deadlines, and keeps what comes of it.
    pub(crate) fn collect(&mut self, worker: usize) {
        let worker = &mut self.workers[worker];
        worker.poll(&mut self.events, Some(0)).expect("waiting for events does not fail");
        worker.now_ns = self.now_ns;
        worker.collect(&self.events);
    }

    /// The second step: sends mail to the other workers.
    pub(crate) fn send_mail(&mut self, worker: usize) {
        self.workers[worker].send_mail();
    }

    /// The last step: writes to the clients.
    pub(crate) fn write_out(&mut self, worker: usize) {
        self.workers[worker].write_out();
    }

    /// A whole turn of a worker.
    pub(crate) fn turn(&mut self, worker: usize) {
        self.collect(worker);
        self.send_mail(worker);
        self.write_out(worker);
    }

    /// Turns of all workers, until none has anything to do.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut busy = false;
            for worker in 0..self.workers.len() {
                self.turn(worker);
                busy |= !self.events.is_empty();
            }
            if !busy && !self.has_work() {
                return;
            }
        }
    }

    /// Whether any worker has something to do that no event tells of.
    pub(crate) fn has_work(&mut self) -> bool {
        self.workers.iter_mut().any(Worker::has_work)
    }

    /// Messages that wait in the queues of all sessions.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> usize {
        self.workers.iter().flat_map(|worker| &worker.sessions).map(|(_, session)| session.queue_len()).sum()
    }

    /// Lets time pass.
    #[cfg(fuzzing)]
    pub(crate) fn advance(&mut self, by: Duration) {
        self.now_ns += by.as_nanos() as u64;
    }

    /// What all workers hold.
    #[cfg(fuzzing)]
    pub(crate) fn gauges(&self) -> Gauges {
        let mut total = Gauges::default();
        self.workers.iter().for_each(|worker| total += worker.gauges());
        total
    }
}
