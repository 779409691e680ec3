//! Which poller tells a worker of its sockets.
//!
//! A thread waits in one poller for all workers that it runs: each further one would cost a system call in every turn. So
//! a descriptor is watched by the poller of the thread that runs its worker. A worker that changes threads may have a
//! million of them; they stay where they are, and each follows when the poller that it was left in tells of it.

use std::io;
use std::os::fd::RawFd;

use mio::unix::SourceFd;
use mio::{Interest as Readiness, Registry, Token};

use super::conn::ConnRef;
use super::settings::MAX_WORKERS;

/// Generations of connections: what lies above in the upper half of a token says what else an event may be about.
pub(super) const GENERATIONS: u32 = 0xFFFF_0000;
const POLLER: u32 = u32::MAX - 1;
const MAILBOX: u32 = u32::MAX;

/// Connections that a worker can have: the lower half of a token holds their slots beside the worker's number.
pub(super) const SLOTS: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = u32::BITS - MAX_WORKERS.ilog2();

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Conn(ConnRef),
    /// By its place among the worker's listeners.
    Listener(usize),
    Mailbox,
    /// Its own poller, while another thread runs it.
    Poller,
}

/// The pollers in which a worker's descriptors are watched.
#[derive(Debug)]
pub(super) struct Watch {
    worker: u16,
    own: Registry,
    /// That of the first thread.
    first: Registry,
    /// The first thread runs the worker.
    pub(super) is_guest: bool,
}

/// The name of an event.
pub(super) fn token(worker: u16, subject: Subject) -> Token {
    let (upper, slot) = match subject {
        Subject::Conn(at) => (at.generation, at.slot),
        Subject::Listener(place) => (GENERATIONS + place as u32, 0),
        Subject::Poller => (POLLER, 0),
        Subject::Mailbox => (MAILBOX, 0),
    };
    Token((upper as usize) << 32 | usize::from(worker) << SLOT_BITS | slot as usize)
}

/// Whose event it is, and what it is about.
pub(super) fn subject(token: Token) -> (u16, Subject) {
    let (upper, lower) = ((token.0 >> 32) as u32, token.0 as u32);
    let subject = match upper {
        MAILBOX => Subject::Mailbox,
        POLLER => Subject::Poller,
        GENERATIONS.. => Subject::Listener((upper - GENERATIONS) as usize),
        generation => Subject::Conn(ConnRef { slot: lower & (SLOTS as u32 - 1), generation }),
    };
    ((lower >> SLOT_BITS) as u16, subject)
}

impl Watch {
    /// For a worker with a poller of its own; `first` is that of the first thread, which may be the same.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new(worker: u16, own: &Registry, first: &Registry) -> io::Result<Self> {
        Ok(Self { worker, own: own.try_clone()?, first: first.try_clone()?, is_guest: false })
    }

    /// Has the poller of the worker's present thread tell of a socket. What there is to tell already, it tells at once.
    ///
    /// # Errors
    /// What `epoll_ctl` said.
    pub(super) fn add(&self, socket: RawFd, subject: Subject) -> io::Result<()> {
        let readiness = match subject {
            Subject::Conn(_) => Readiness::READABLE | Readiness::WRITABLE,
            _ => Readiness::READABLE,
        };
        self.present().register(&mut SourceFd(&socket), token(self.worker, subject), readiness)
    }

    /// No poller tells of the socket any more.
    ///
    /// # Errors
    /// What `epoll_ctl` said.
    pub(super) fn remove(&self, socket: RawFd) -> io::Result<()> {
        match self.present().deregister(&mut SourceFd(&socket)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let other = if self.is_guest { &self.own } else { &self.first };
                other.deregister(&mut SourceFd(&socket))
            }
            outcome => outcome,
        }
    }

    fn present(&self) -> &Registry {
        if self.is_guest { &self.first } else { &self.own }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn tokens_name_workers_and_what_they_have() {
        let last = ConnRef { slot: SLOTS as u32 - 1, generation: GENERATIONS - 1 };
        let first = ConnRef { slot: 0, generation: 0 };
        for worker in [0, 1, MAX_WORKERS as u16 - 1] {
            for about in [Subject::Conn(first), Subject::Conn(last), Subject::Mailbox, Subject::Poller] {
                assert_eq!(subject(token(worker, about)), (worker, about));
            }
            assert_eq!(subject(token(worker, Subject::Listener(1_000))), (worker, Subject::Listener(1_000)));
        }
    }

    fn told(poll: &mut Poll) -> Vec<Token> {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().filter(|event| event.is_readable()).map(mio::event::Event::token).collect()
    }

    #[test]
    fn what_was_left_behind_is_told_where_it_was_left_and_then_where_its_worker_is() {
        let (mut own, mut first) = (Poll::new().unwrap(), Poll::new().unwrap());
        let mut watch = Watch::new(1, own.registry(), first.registry()).unwrap();
        let (socket, mut peer) = UnixStream::pair().unwrap();
        let (socket, about) = (socket.as_raw_fd(), Subject::Conn(ConnRef { slot: 7, generation: 3 }));
        for is_guest in [true, false, true] {
            watch.is_guest = is_guest;
            watch.add(socket, about).unwrap();
            peer.write_all(b"x").unwrap();
            let (here, there) = if is_guest { (&mut first, &mut own) } else { (&mut own, &mut first) };
            assert_eq!(told(here), [token(1, about)]);

            watch.is_guest = !is_guest;
            peer.write_all(b"y").unwrap();
            assert_eq!((told(there), told(here)), (vec![], vec![token(1, about)]));
            watch.remove(socket).unwrap();
            watch.add(socket, about).unwrap();
            assert_eq!((told(here), told(there)), (vec![], vec![token(1, about)]), "what it has is told again");
            watch.remove(socket).unwrap();
            assert_eq!(watch.remove(socket).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    }
}
