//! The loop of one worker, and everything that it owns.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use hashbrown::HashTable;
use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest as Readiness, Poll, Token};
use netloop::mailbox::{self, Receiver, Sender};
use netloop::wheel::TimerWheel;
use slab::Slab;
use topic_index::{FilterIndex, TopicMap};

use super::conn::{Conn, ConnRef};
use super::counters::{Counters, Gauges};
use super::crew::Lent;
use super::deliver::Encoder;
use super::door::{Addresses, Entry};
use super::lifecycle::{End, Timer};
use super::mail::{Mail, Outbox};
use super::message::Message;
use super::output::Pool;
use super::retained::Walks;
use super::route::Match;
use super::session::{Session, SessionRef};
use super::settings::{
    ENDS_PER_TURN, MAIL_KEPT, MAILBOX_HIGH_BYTES, MAX_WORKERS, MEMORY_RESERVE, READ_BYTES, Settings, TICK_NS,
};
use super::subscribers::Interest;
use super::totals::Totals;
use super::watch::{GENERATIONS, Subject, Watch, subject, token};

/// One worker thread's whole world.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(super) id: u16,
    pub(super) settings: Settings,
    poll: Poll,
    pub(super) watch: Watch,
    pub(super) listeners: Vec<TcpListener>,
    /// Listeners that may have more connections than one turn accepts.
    pub(super) accepting: Vec<usize>,

    /// The addresses that hash to this worker.
    pub(super) addresses: Addresses,
    /// How connections of this worker came in, by slot; empty as long as addresses are not counted.
    pub(super) entries: HashMap<u32, Entry>,
    /// Those of them that are to be refused.
    pub(super) turned_away: usize,
    /// What this worker and the others hold.
    pub(super) totals: Arc<Totals>,
    pub(super) conns: Slab<Conn>,
    pub(super) sessions: Slab<Session>,
    /// Sessions by client identifier.
    pub(super) directory: HashTable<u32>,
    /// The same keys in all workers: they also say which worker a client belongs to.
    pub(super) hasher: RandomState,
    pub(super) filters: FilterIndex<Interest>,
    /// The shard of topics that hash to this worker.
    pub(super) retained: TopicMap<Message>,
    /// Counts the messages to be retained, of all workers. Touched for nothing else.
    pub(super) stamps: Arc<AtomicU64>,
    pub(super) walks: Walks,

    pub(super) inbox: Receiver<Mail>,
    pub(super) mail: Vec<Mail>,
    pub(super) peers: Vec<Sender<Mail>>,
    /// Mail to each worker, sent at the end of the turn.
    pub(super) outboxes: Vec<Outbox>,
    /// Some outboxes hold messages to be retained.
    pub(super) has_to_retain: bool,
    /// Workers with more mail than they should have, of which some is still in their outboxes here, a bit for each.
    pub(super) swamped: u64,

    pub(super) wheel: TimerWheel<Timer>,
    pub(super) started: Instant,
    /// Monotonic nanoseconds since the start of the data plane, read once a turn.
    pub(super) now_ns: u64,
    /// The last generation given to a connection or session.
    pub(super) generation: u32,

    pub(super) read_buffer: Vec<u8>,
    /// Connections to read from in this turn.
    pub(super) readable: Vec<ConnRef>,
    /// Connections with output of this turn.
    pub(super) dirty: VecDeque<ConnRef>,
    /// Connections to be closed when it is their turn: found dead in the middle of something else, or too many at once.
    pub(super) doomed: VecDeque<(ConnRef, End)>,
    /// Deadlines reached and not acted upon yet.
    pub(super) due: VecDeque<Timer>,
    /// How many connections may still be closed in this turn.
    pub(super) ends_left: usize,
    pub(super) pool: Pool,
    pub(super) matches: Vec<Match>,
    pub(super) encoder: Encoder,
    /// Memory to build messages in.
    pub(super) scratch: Vec<u8>,
    pub(super) counters: Counters,
    pub(super) stopping: bool,
    /// Workers that this one's thread is to run from now on.
    pub(super) lent: Vec<Lent>,
}

/// Makes one worker per element of `listeners`, which holds that worker's sockets.
///
/// # Errors
/// When the kernel gives no epoll instance or eventfd, or a listener cannot be registered.
///
/// # Panics
/// When there are more than [`MAX_WORKERS`] or no workers.
pub(crate) fn build(settings: &Settings, listeners: Vec<Vec<TcpListener>>) -> io::Result<Vec<Worker>> {
    assert!((1..=MAX_WORKERS).contains(&listeners.len()), "the number of workers is checked when settings are made");
    let polls = listeners.iter().map(|_| Poll::new()).collect::<io::Result<Vec<_>>>()?;
    let watches = polls.iter().zip(0..).map(|(poll, id)| Watch::new(id, poll.registry(), polls[0].registry()));
    let watches = watches.collect::<io::Result<Vec<_>>>()?;
    let mailboxes =
        polls.iter().zip(0..).map(|(poll, id)| mailbox::mailbox(poll.registry(), token(id, Subject::Mailbox)));
    let mailboxes = mailboxes.collect::<io::Result<Vec<_>>>()?;
    let (peers, inboxes): (Vec<_>, Vec<_>) = mailboxes.into_iter().unzip();
    let (hasher, started, totals) = (RandomState::new(), Instant::now(), Arc::new(Totals::default()));
    let stamps = Arc::default();
    let mut workers = Vec::new();
    let parts = polls.into_iter().zip(watches).zip(inboxes).zip(listeners);
    for (id, (((poll, watch), inbox), listeners)) in parts.enumerate() {
        for (place, listener) in listeners.iter().enumerate() {
            watch.add(listener.as_raw_fd(), Subject::Listener(place))?;
        }
        workers.push(Worker {
            id: id as u16,
            settings: settings.clone(),
            poll,
            watch,
            listeners,
            accepting: Vec::new(),
            addresses: Addresses::default(),
            entries: HashMap::new(),
            turned_away: 0,
            totals: Arc::clone(&totals),
            conns: Slab::new(),
            sessions: Slab::new(),
            directory: HashTable::new(),
            hasher: hasher.clone(),
            filters: FilterIndex::new(),
            retained: TopicMap::new(),
            stamps: Arc::clone(&stamps),
            walks: Walks::new(peers.len()),
            inbox,
            mail: Vec::new(),
            outboxes: peers.iter().map(|_| Outbox::default()).collect(),
            has_to_retain: false,
            swamped: 0,
            peers: peers.clone(),
            wheel: TimerWheel::new(TICK_NS, 1_024, 0),
            started,
            now_ns: 0,
            generation: 0,
            read_buffer: vec![0; READ_BYTES],
            readable: Vec::new(),
            dirty: VecDeque::new(),
            doomed: VecDeque::new(),
            due: VecDeque::new(),
            ends_left: ENDS_PER_TURN,
            pool: Pool::default(),
            matches: Vec::new(),
            encoder: Encoder::default(),
            scratch: Vec::new(),
            counters: Counters::default(),
            stopping: false,
            lent: Vec::new(),
        });
    }
    Ok(workers)
}

impl Worker {
    /// Nanoseconds until there is something to do that nobody tells of; `None`: never. Call before sleeping in
    /// [`poll`](Self::poll): from now on, whoever sends mail wakes the poller.
    pub(super) fn rest_ns(&mut self) -> Option<u64> {
        let may_sleep = !self.is_busy() && self.inbox.may_sleep();
        if may_sleep { self.wheel.wait_ns(self.now_ns) } else { Some(0) }
    }

    /// Whether there is something to do that no event tells of.
    pub(super) fn has_work(&mut self) -> bool {
        self.is_busy() || self.inbox.has_mail() || self.wheel.wait_ns(self.now_ns) == Some(0)
    }

    /// Whether the last turn has left something undone.
    fn is_busy(&self) -> bool {
        !(self.readable.is_empty() && self.accepting.is_empty() && self.doomed.is_empty() && self.due.is_empty())
    }

    /// Waits in the worker's own poller for events, at most so many nanoseconds, and reads the clock.
    ///
    /// # Errors
    /// When waiting for events fails, which it does not unless the process is out of order.
    pub(super) fn poll(&mut self, events: &mut Events, rest_ns: Option<u64>) -> io::Result<()> {
        let polled = self.poll.poll(events, rest_ns.map(Duration::from_nanos));
        self.now_ns = self.started.elapsed().as_nanos() as u64;
        match polled {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// One turn: acts on events, mail and deadlines, and writes what comes of it.
    pub(super) fn turn(&mut self, events: &Events) {
        self.act(events);
        self.write_out();
    }

    /// The first half of a turn: acts on events, mail and deadlines. What comes of it is collected, for sockets to be
    /// written by [`write_out`](Self::write_out); mail is sent, because what a client learns from a packet, the other workers
    /// must know before it can act on it.
    pub(super) fn act(&mut self, events: &Events) {
        self.collect(events);
        self.send_mail();
    }

    /// The same without the mail.
    pub(super) fn collect(&mut self, events: &Events) {
        self.inbox.awake();
        self.ends_left = ENDS_PER_TURN;
        self.take_mail();
        for event in events {
            self.on_event(event);
        }
        self.accept_waiting();
        self.read_readable();
        self.run_timers();
        self.close_doomed();
    }

    /// The second half.
    pub(super) fn write_out(&mut self) {
        if !self.dirty.is_empty() {
            self.write_dirty();
            self.close_doomed();
            // Publishers that need not wait any more may belong to others.
            self.send_mail();
        }
    }

    /// Says good-bye; returns what was counted.
    pub(super) fn end(mut self) -> Counters {
        self.say_goodbye();
        self.counters
    }

    /// Has the poller tell of another worker's sockets, and of events in that one's own poller: this one's thread is to run
    /// it.
    pub(super) fn take_in_guest(&self, guest: &mut Self) -> io::Result<()> {
        guest.watch.is_guest = true;
        let token = token(guest.id, Subject::Poller);
        self.poll.registry().register(&mut SourceFd(&guest.poll.as_raw_fd()), token, Readiness::READABLE)
    }

    /// No longer. What the poller still tells of is [left behind](Mail::LeftBehind).
    pub(super) fn send_off_guest(&self, guest: &mut Self) -> io::Result<()> {
        guest.watch.is_guest = false;
        self.poll.registry().deregister(&mut SourceFd(&guest.poll.as_raw_fd()))
    }

    /// Has what another poller told of watched by that of the present thread, which tells of it again.
    pub(super) fn watch_here(&mut self, token: Token) {
        let (_, subject) = subject(token);
        let socket = match subject {
            Subject::Conn(at) => self.conn(at).map(|conn| conn.transport.tcp().as_raw_fd()),
            Subject::Listener(place) => self.listeners.get(place).map(AsRawFd::as_raw_fd),
            Subject::Mailbox | Subject::Poller => None,
        };
        // It may have gone meanwhile.
        let Some(socket) = socket else { return };
        if let Err(error) = self.watch.remove(socket).and_then(|()| self.watch.add(socket, subject)) {
            tracing::error!(%error, ?subject, "cannot be watched any more");
            if let Subject::Conn(at) = subject {
                self.doomed.push_back((at, End::Abnormal));
            }
        }
    }

    fn on_event(&mut self, event: &mio::event::Event) {
        let at = match subject(event.token()) {
            (worker, Subject::Conn(at)) if worker == self.id => at,
            (worker, Subject::Listener(place)) if worker == self.id => return self.list_accepting(place),
            _ => return,
        };
        let Some(conn) = self.conn(at) else { return };
        if event.is_writable() && conn.blocked {
            conn.blocked = false;
            self.on_writable(at);
        }
        if event.is_readable() || event.is_error() {
            if let Some(conn) = self.conn(at).filter(|_| event.is_read_closed() || event.is_error()) {
                conn.ended = true;
            }
            self.list_readable(at);
        }
    }

    /// Reads the mailbox. Called before bytes are acted upon: see [`super::mail`].
    pub(super) fn take_mail(&mut self) {
        if !self.inbox.has_mail() {
            return;
        }
        let mut mail = std::mem::take(&mut self.mail);
        let waiting = self.inbox.take(&mut mail);
        // At once, and not after the mail is read: they can go on meanwhile.
        for worker in (0..MAX_WORKERS as u16).filter(|worker| waiting & (1 << worker) != 0) {
            self.peers[usize::from(worker)].send_all(&mut vec![Mail::Room { worker: self.id }], 0);
        }
        for item in mail.drain(..) {
            self.on_mail(item);
        }
        if mail.capacity() > MAIL_KEPT {
            mail = Vec::new();
        }
        self.mail = mail;
        if self.walks.are_asked_for() {
            self.answer_questions();
        }
    }

    fn on_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Stop => self.stopping = true,
            Mail::Lend(lent) => self.lent.push(*lent),
            Mail::Report(to) => {
                // Whoever asked may have gone.
                let _ = to.send((self.counters, self.gauges()));
            }
            Mail::Arrival(arrival) => self.meet_for_peer(*arrival),
            Mail::Departure { slot } => self.addresses.leave(slot),
            Mail::Adopt(adopted) => self.adopt(*adopted),
            Mail::LeftBehind(token) => self.watch_here(token),
            Mail::Publish(message) => self.route_from_peer(&message),
            Mail::Direct(direct) => self.deliver_direct(&direct),
            Mail::Interest { filter, worker, wanted } => self.note_interest(&filter, worker, wanted),
            Mail::Group(change) => self.change_group(&change),
            Mail::Retain(message) => self.keep_retained(&message),
            Mail::Sync { worker } => self.note_question(worker),
            Mail::Synced { worker, count, stamp } => self.note_answer(worker, count, stamp),
            Mail::RetainedQuery(query) => self.answer_retained(*query),
            Mail::Retained(reply) => self.deliver_retained(*reply),
            Mail::Pause { publisher, paused } => self.pause_publisher(publisher, paused),
            Mail::Room { worker } => self.release_held(worker),
        }
    }

    /// Puts mail for a worker into its outbox.
    pub(super) fn send(&mut self, worker: u16, mail: Mail) {
        let (outbox, peer) = (&mut self.outboxes[usize::from(worker)], &self.peers[usize::from(worker)]);
        outbox.bytes += mail.size();
        if let Mail::Retain(_) = mail {
            outbox.retain.push(mail);
            self.has_to_retain = true;
        } else {
            outbox.items.push(mail);
        }
        if outbox.bytes + peer.backlog_bytes() > MAILBOX_HIGH_BYTES {
            self.swamped |= 1 << worker;
        }
    }

    /// Puts the same mail into every other worker's outbox.
    pub(super) fn send_to_peers(&mut self, mut make: impl FnMut() -> Mail) {
        for worker in 0..self.outboxes.len() as u16 {
            if worker != self.id {
                self.send(worker, make());
            }
        }
    }

    pub(super) fn send_mail(&mut self) {
        self.swamped = 0;
        if std::mem::take(&mut self.has_to_retain) {
            for (outbox, peer) in self.outboxes.iter_mut().zip(&self.peers) {
                let bytes = outbox.retain.iter().map(Mail::size).sum();
                outbox.bytes -= bytes;
                peer.send_all(&mut outbox.retain, bytes);
            }
        }
        for (outbox, peer) in self.outboxes.iter_mut().zip(&self.peers) {
            peer.send_all(&mut outbox.items, std::mem::take(&mut outbox.bytes));
        }
    }

    pub(super) fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.conns.len() as u64,
            sessions: self.sessions.len() as u64,
            filters: self.filters.len() as u64,
            retained: self.retained.len() as u64,
            timers: self.wheel.len() as u64,
        }
    }

    /// Whether the broker holds nearly as much as it may: then no message is kept that could be dropped or refused.
    pub(super) fn memory_is_short(&self) -> bool {
        let most = self.settings.limits.max_memory_bytes;
        crate::memory::in_use_bytes() > most - most / MEMORY_RESERVE
    }

    /// Whether the broker holds as much as it may: then no connection and no subscription is taken on either. Until
    /// then clients can come back and fetch what waits for them.
    pub(super) fn memory_is_spent(&self) -> bool {
        crate::memory::in_use_bytes() > self.settings.limits.max_memory_bytes
    }

    /// Number of workers.
    pub(super) fn worker_count(&self) -> u64 {
        self.peers.len() as u64
    }

    /// The hash of a client identifier or topic, the same in all workers.
    pub(super) fn hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    /// The worker that a hash belongs to. Takes high bits: the low ones choose a place in the hash tables.
    pub(super) fn owner(&self, hash: u64) -> u16 {
        (((hash >> 32) * self.worker_count()) >> 32) as u16
    }

    pub(super) fn next_generation(&mut self) -> u32 {
        self.generation = (self.generation + 1) % GENERATIONS;
        self.generation
    }

    /// The connection, unless it has gone.
    pub(super) fn conn(&mut self, at: ConnRef) -> Option<&mut Conn> {
        self.conns.get_mut(at.slot as usize).filter(|conn| conn.generation == at.generation)
    }

    /// The session, unless it has ended or belongs to another worker.
    pub(super) fn session(&mut self, at: SessionRef) -> Option<&mut Session> {
        if at.worker != self.id {
            return None;
        }
        self.sessions.get_mut(at.slot as usize).filter(|session| session.generation == at.generation)
    }

    /// The name of a session of this worker.
    pub(super) fn session_ref(&self, slot: u32) -> SessionRef {
        SessionRef { worker: self.id, slot, generation: self.sessions[slot as usize].generation }
    }

    /// The present tick of the coarse clock.
    pub(super) fn tick(&self) -> u32 {
        (self.now_ns / TICK_NS) as u32
    }
}
