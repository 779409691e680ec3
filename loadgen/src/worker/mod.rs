//! The event loop: one thread, its share of the clients, everything that they share.
//!
//! One turn: wait for events or for the plan; read each ready socket into the worker's buffer and act on its packets,
//! with one write per connection for all answers; begin the connections that are due; count the messages that are due
//! as offered; send them, one write per client; look at deadlines that have passed.

mod books;
mod churn;
mod closing;
mod connecting;
mod publishing;
mod receiving;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token, Waker};
use netloop::alarm::Alarm;
use netloop::buffer::Inlet;
use netloop::source::SourcePlan;
use netloop::transport::Transport;
use netloop::wheel::TimerWheel;
use nix::time::{ClockId, clock_gettime};
use pacer::agenda::Agenda;
use pacer::receipt::Receipts;
use pacer::rng::GOLDEN_GAMMA;
use runlog::clock::mono_ns;

use crate::board::{Board, Ending, Tally};
use crate::client::{Absence, Client, Stage};
use crate::control::{Control, Phase};
use crate::reason;
use crate::settings::{RoleSettings, Settings, SubSettings};
use receiving::Heads;

/// What a worker needs to begin.
pub(crate) struct Assignment {
    pub(crate) settings: Arc<Settings>,
    pub(crate) control: Arc<Control>,
    pub(crate) board: Arc<Mutex<Board>>,
    /// From 0; worker `index` has the clients whose number is `index` modulo the number of workers.
    pub(crate) index: u32,
    /// Source pairs, one plan per target.
    pub(crate) sources: Vec<SourcePlan>,
    /// First sender number of the run.
    pub(crate) first_sender: u32,
    /// When the run begins, `CLOCK_MONOTONIC`.
    pub(crate) start_ns: u64,
}

/// One event loop.
pub(crate) struct Worker {
    settings: Arc<Settings>,
    control: Arc<Control>,
    board: Arc<Mutex<Board>>,
    poll: Poll,
    alarm: Alarm,
    inlet: Inlet,
    clients: Vec<Client>,
    /// Sockets that had more to read than one turn allows.
    unread: Vec<u32>,
    /// Clients whose connection is to be given up at the end of the step, with the reason.
    broken: Vec<(u32, String)>,
    connecting: connecting::Ramp,
    closing: closing::Closing,
    churn: churn::Churn,
    /// When unacknowledged messages were looked at last.
    repeated_at_ns: u64,
    /// When the CPU time was read last.
    cpu_read_ns: u64,
    /// The other one of the two lists of [`Share::senders`].
    served: Vec<u32>,
    share: Share,
}

/// What the clients of a worker share while one of them is being served.
struct Share {
    settings: Arc<Settings>,
    control: Arc<Control>,
    index: u32,
    first_sender: u32,
    /// Output of the client that is being served.
    out: Vec<u8>,
    /// Where messages end in `out`.
    ends: Vec<usize>,
    wheel: TimerWheel<u32>,
    agenda: Agenda,
    /// Publishers with something to send.
    senders: Vec<u32>,
    /// Publishers that are ready and wait for the end of the ramp.
    held: Vec<u32>,
    /// Clients on their way: begun, and neither ready nor failed.
    open: u32,
    receipts: Receipts,
    heads: Heads,
    books: books::Books,
}

impl Worker {
    /// Makes a worker and the handle that wakes it.
    pub(crate) fn new(assignment: Assignment) -> io::Result<(Self, Waker)> {
        let Assignment { settings, control, board, index, sources, first_sender, start_ns } = assignment;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let alarm = Alarm::new(poll.registry(), ALARM)?;
        let step = settings.threads as u32;
        let count = settings.clients / step + u32::from(index < settings.clients % step);
        let share = Share {
            settings: settings.clone(),
            control: control.clone(),
            index,
            first_sender,
            out: Vec::new(),
            ends: Vec::new(),
            wheel: TimerWheel::new(WHEEL_TICK_NS, WHEEL_SLOTS, start_ns),
            agenda: Agenda::new(),
            senders: Vec::new(),
            held: Vec::new(),
            open: 0,
            receipts: Receipts::new(),
            heads: Heads::default(),
            books: books::Books::new(&settings),
        };
        let worker = Self {
            connecting: connecting::Ramp::new(sources),
            closing: closing::Closing::default(),
            churn: churn::Churn::new(&settings, index),
            repeated_at_ns: 0,
            cpu_read_ns: 0,
            served: Vec::new(),
            clients: (0..count).map(|_| Client::default()).collect(),
            inlet: Inlet::new(READ_SIZE),
            unread: Vec::new(),
            broken: Vec::new(),
            settings,
            control,
            board,
            poll,
            alarm,
            share,
        };
        Ok((worker, waker))
    }

    /// Runs until the reporter says close and all connections have ended.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let board = self.board.clone();
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.wait(&mut events)?;
            let mut board = board.lock().unwrap_or_else(PoisonError::into_inner);
            self.turn(&events, &mut board)?;
            if self.closing.is_over() {
                self.share.heads.finish(&mut self.share.receipts);
                self.post(&mut board);
                self.forget_the_silent();
                for (index, client) in self.clients.iter().enumerate() {
                    // Those that were still to come back.
                    if let Some(publisher) = &client.publisher {
                        self.share.books.publisher_left(self.share.sender(index as u32), publisher);
                    }
                }
                board.ledger = self.share.ledger();
                return Ok(());
            }
        }
    }

    fn turn(&mut self, events: &Events, board: &mut Board) -> io::Result<()> {
        let phase = self.control.phase();
        for index in std::mem::take(&mut self.unread) {
            // No event will tell again what the socket still holds, its end included.
            self.read(index, true, board);
        }
        for event in events {
            self.handle(event, board);
        }
        match phase {
            Phase::Run => {
                self.begin_connections(board);
                self.churn(board);
                self.let_go();
                self.share.offer(&mut self.clients, &mut board.tally);
                self.send_what_is_due(board);
                self.repeat_unacknowledged(board);
            }
            Phase::Drain => {
                self.share.give_up_waiting(&mut self.clients, &mut board.tally);
                self.send_what_is_due(board);
            }
            Phase::Close => self.close(board),
        }
        self.look_at_deadlines(board);
        self.give_up_broken(board);
        self.post(board);
        Ok(())
    }

    fn handle(&mut self, event: &Event, board: &mut Board) {
        match event.token() {
            WAKE => {}
            ALARM => self.alarm.rang(),
            Token(index) => {
                let index = index as u32;
                if event.is_writable() || self.clients[index as usize].stage == Stage::Securing {
                    self.on_writable(index, board);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    let ending = event.is_read_closed() || event.is_error();
                    self.read(index, ending, board);
                }
                self.give_up_broken(board);
            }
        }
    }

    fn on_writable(&mut self, index: u32, board: &mut Board) {
        let client = &mut self.clients[index as usize];
        match client.stage {
            Stage::Connecting => self.on_connected(index, board),
            Stage::Securing => self.secure(index, board),
            Stage::New | Stage::Gone => {}
            _ if client.outbox.is_empty() && matches!(client.transport, Some(Transport::Plain(_))) => {}
            _ => {
                if let Err(error) = self.share.flush(client, &mut board.tally) {
                    self.broken.push((index, reason::of_error(&error)));
                }
                self.share.list_if_able(client, index);
            }
        }
    }

    /// Sleeps until something happens or is due.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let now_ns = mono_ns();
        let mut timeout_ns = TURN_NS_MAX;
        let planned = match self.control.phase() {
            Phase::Run => [self.next_connection_ns(), self.share.agenda.next_due_ns(), self.churn.next_ns()]
                .into_iter()
                .flatten()
                .min(),
            Phase::Drain => None,
            Phase::Close => self.closing.next_ns(),
        };
        if !self.unread.is_empty() || !self.share.senders.is_empty() {
            timeout_ns = 0;
        } else if let Some(planned_ns) = planned {
            if planned_ns <= now_ns {
                timeout_ns = 0;
            } else if planned_ns - now_ns < timeout_ns {
                self.alarm.set(planned_ns.max(now_ns + QUANTUM_NS))?;
            }
        }
        match self.poll.poll(events, Some(Duration::from_nanos(timeout_ns))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Publishing that waited for the end of the ramp begins.
    fn let_go(&mut self) {
        if !self.share.held.is_empty()
            && let Some(go_ns) = self.control.go_ns()
        {
            for index in std::mem::take(&mut self.share.held) {
                self.share.begin_publishing(&mut self.clients[index as usize], index, go_ns);
            }
        }
    }

    /// Ends the connections that turned out to be broken in this step.
    fn give_up_broken(&mut self, board: &mut Board) {
        while let Some((index, reason)) = self.broken.pop() {
            self.end(index, reason, board);
        }
    }

    /// A connection has ended, wanted or not.
    fn end(&mut self, index: u32, reason: String, board: &mut Board) {
        let stage = std::mem::replace(&mut self.clients[index as usize].stage, Stage::Gone);
        if stage == Stage::Gone {
            return;
        }
        self.give_back_pair(index);
        let comes_back = !self.closing.has_asked(index) && self.come_back(index, stage >= Stage::Ready, board);
        let client = &mut self.clients[index as usize];
        client.transport = None;
        client.spill = Default::default();
        client.outbox = Default::default();
        client.inbound = None;
        client.ping_pending = false;
        client.received_bytes = 0;
        let tally = &mut board.tally;
        if let Some(mut publisher) = client.publisher.take() {
            let unwritten = publisher.unwritten.take().map_or(0, |unwritten| unwritten.ends.len() as u64);
            let in_flight = std::mem::take(&mut publisher.window).len() as u64;
            publisher.unwritten_lost += unwritten;
            tally.unwritten -= unwritten;
            tally.in_flight -= in_flight;
            tally.pub_fail += unwritten.max(in_flight);
            if comes_back {
                // The plan goes on: what becomes due meanwhile waits.
                publisher.held_up = true;
                client.publisher = Some(publisher);
            } else {
                self.share.leave_agenda(index);
                tally.waiting -= publisher.waiting;
                let sender = self.share.sender(index);
                self.share.books.publisher_left(sender, &publisher);
            }
        }
        let is_sub = matches!(self.settings.role, RoleSettings::Sub(_));
        match stage {
            Stage::New | Stage::Connecting | Stage::Securing | Stage::Greeting | Stage::Subscribing => {
                if client.absence == Absence::Left {
                    client.absence = Absence::ShutOut;
                    tally.shut_out += 1;
                }
                self.share.open -= u32::from(stage != Stage::New);
                tally.connected -= u64::from(stage == Stage::Subscribing);
                if comes_back {
                    tally.connect_retried += 1;
                    *board.missed_attempts.entry(reason).or_default() += 1;
                } else if client.settled {
                    tally.reconnect_fail += 1;
                    *board.missed_attempts.entry(reason).or_default() += 1;
                } else {
                    tally.connect_fail += u64::from(stage != Stage::Subscribing);
                    tally.sub_fail += u64::from(is_sub);
                    *board.connect_failures.entry(reason).or_default() += 1;
                    settle(client, tally);
                }
            }
            Stage::Ready if client.absence == Absence::Left => tally.connected -= 1,
            Stage::Ready => {
                tally.connected -= 1;
                tally.disconnected += 1;
                client.absence = Absence::Lost;
                board.endings.push(Ending { client: self.share.number(index), reason });
            }
            Stage::Leaving => {
                tally.connected -= 1;
                if self.closing.has_asked(index) {
                    self.closing.left();
                }
            }
            Stage::Gone => {}
        }
    }

    /// Brings the numbers that live elsewhere onto the board.
    fn post(&mut self, board: &mut Board) {
        board.evidence.append(&mut self.share.books.take_evidence());
        let tally = &mut board.tally;
        let now_ns = mono_ns();
        if now_ns - self.cpu_read_ns >= CPU_READ_NS {
            self.cpu_read_ns = now_ns;
            tally.cpu_ns = thread_cpu_ns();
        }
        let receipts = self.share.receipts.totals();
        tally.delivered = receipts.delivered;
        // Parts of a shared subscription's stream that other workers have look like gaps.
        let whole = self.settings.threads == 1 || !self.settings.subscribing().is_some_and(SubSettings::is_shared);
        tally.lost = if whole { receipts.lost } else { 0 };
        tally.expired = receipts.expired;
        tally.duplicated = receipts.duplicated + receipts.stale;
        tally.out_of_order = receipts.out_of_order;
        tally.skipped_ports = self.connecting.skipped_ports();
    }
}

impl Share {
    /// The client's place among all clients of the run, from 0.
    fn global_index(&self, index: u32) -> u32 {
        index * self.settings.threads as u32 + self.index
    }

    /// The client's number, as in topics and client ids.
    fn number(&self, index: u32) -> u32 {
        self.settings.first_number.wrapping_add(self.global_index(index))
    }

    /// The client's number as a sender, in the stamps of its payloads.
    fn sender(&self, index: u32) -> u32 {
        self.first_sender.wrapping_add(self.global_index(index))
    }

    /// Sends what is in `out`; messages in it end at `ends`.
    fn transmit(&mut self, client: &mut Client, now_ns: u64, tally: &mut Tally) -> io::Result<()> {
        let result = self.transmit_out(client, now_ns, tally);
        self.out.clear();
        self.ends.clear();
        result
    }

    fn transmit_out(&mut self, client: &mut Client, now_ns: u64, tally: &mut Tally) -> io::Result<()> {
        let Some(transport) = client.transport.as_mut().filter(|_| !self.out.is_empty()) else { return Ok(()) };
        let messages = self.ends.len() as u64;
        client.sent_at_ms = to_ms(now_ns);
        tally.progress_at_ns = now_ns;
        let was_empty = client.outbox.is_empty();
        let taken = client.outbox.send(transport, &self.out).inspect_err(|_| {
            // At QoS 1 and 2 they are in flight, and fail with the rest of the window.
            let in_flight = client.publisher.as_ref().is_some_and(|publisher| !publisher.window.is_empty());
            tally.pub_fail += if in_flight { 0 } else { messages };
        })?;
        let Some(publisher) = &mut client.publisher else { return Ok(()) };
        if was_empty && client.outbox.is_empty() {
            tally.written += messages;
            return Ok(());
        }
        let unwritten = publisher.unwritten.get_or_insert_default();
        let queued = unwritten.queued;
        unwritten.ends.extend(self.ends.iter().map(|end| queued + *end as u64));
        unwritten.queued += self.out.len() as u64;
        tally.unwritten += messages;
        settle_written(client, taken, tally);
        Ok(())
    }

    /// Sends what waits in the outbox.
    fn flush(&mut self, client: &mut Client, tally: &mut Tally) -> io::Result<()> {
        let Some(transport) = &mut client.transport else { return Ok(()) };
        let taken = client.outbox.flush(transport)?;
        settle_written(client, taken, tally);
        Ok(())
    }
}

/// The kernel has taken so many bytes more of a publisher's outbox.
fn settle_written(client: &mut Client, taken: usize, tally: &mut Tally) {
    let Some(unwritten) = client.publisher.as_mut().and_then(|publisher| publisher.unwritten.as_mut()) else { return };
    unwritten.taken += taken as u64;
    while unwritten.ends.front().is_some_and(|end| *end <= unwritten.taken) {
        unwritten.ends.pop_front();
        tally.unwritten -= 1;
        tally.written += 1;
    }
    if client.outbox.is_empty()
        && let Some(publisher) = &mut client.publisher
    {
        publisher.unwritten = None;
    }
}

/// A client has become ready or has failed to, for the first time.
fn settle(client: &mut Client, tally: &mut Tally) {
    if std::mem::replace(&mut client.settled, true) {
        return;
    }
    tally.settled += 1;
    tally.settled_at_ns = mono_ns();
}

/// The client's place in an interval: the places of any number of clients are spread evenly over it.
fn spread(global_index: u32, interval: u64) -> u64 {
    // Multiples of the golden ratio; see `pacer::rng`.
    let share = u64::from(global_index).wrapping_mul(GOLDEN_GAMMA);
    ((u128::from(share) * u128::from(interval)) >> 64) as u64
}

/// Milliseconds of a `CLOCK_MONOTONIC` time, wrapping after 49 days.
fn to_ms(ns: u64) -> u32 {
    (ns / 1_000_000) as u32
}

/// CPU time of the calling thread.
fn thread_cpu_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(0, |time| Duration::from(time).as_nanos() as u64)
}

const WAKE: Token = Token(usize::MAX - 1);
const ALARM: Token = Token(usize::MAX - 2);

/// Events taken from the kernel at once.
const EVENTS: usize = 1_024;
/// Bytes read from a socket at once.
const READ_SIZE: usize = 256 * 1_024;
/// A worker looks up at least this often: for the reporter's sake, and because it is a tick of the wheel.
const TURN_NS_MAX: u64 = WHEEL_TICK_NS;
/// Messages that are due within this time of each other go out in one turn: a wake-up costs as much as a message. What
/// it adds to the send lag is recorded like any other delay.
const QUANTUM_NS: u64 = 400_000;
/// CPU time is read this often; reading it is a system call.
const CPU_READ_NS: u64 = 20_000_000;
/// Precision of keep-alive and time-outs.
const WHEEL_TICK_NS: u64 = 100_000_000;
/// One round of the wheel is 51 s.
const WHEEL_SLOTS: usize = 512;
