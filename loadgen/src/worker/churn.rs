//! Clients that leave on purpose and come back: at a steady rate and chosen at random (churn), all at once (a storm), or each
//! in turn (flapping).
//!
//! Open loop: the plan says when the next client leaves, however long the earlier ones take to return. It begins when all
//! clients of the run have had their outcome ([`Control::go_ns`](crate::control::Control::go_ns)).

use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mqtt_wire::{Disconnect, Packet};
use netloop::socket;
use netloop::transport::Transport;
use pacer::NS_PER_S;
use pacer::agenda::Agenda;
use pacer::rng::{Rng, mix};
use pacer::schedule::Schedule;
use runlog::clock::mono_ns;

use super::{Worker, spread};
use crate::board::Board;
use crate::cli::storm::Flap;
use crate::client::{Absence, Stage};
use crate::control::Phase;
use crate::reason;
use crate::settings::{Departures, Ending, Settings};

/// One worker's part of the departures.
#[derive(Debug)]
pub(super) struct Churn {
    departures: Option<Departures>,
    /// Between two departures of churn.
    interval_ns: u64,
    /// Departures of churn are numbered by chance, those of flapping by client.
    agenda: Agenda,
    is_planned: bool,
    rng: Rng,
    /// The storm that this worker has seen, and the client that leaves next in it.
    storm_ns: u64,
    leaver: u32,
    /// Connections that have gone silent: their sockets stay, so that nobody answers for them.
    silent: Vec<Transport>,
}

impl Churn {
    pub(super) fn new(settings: &Settings, worker: u32) -> Self {
        let interval_ns = match settings.departures {
            Some(Departures::Churn { per_s }) => ((1e9 * settings.threads as f64 / per_s) as u64).max(1),
            _ => 0,
        };
        Self {
            departures: settings.departures,
            interval_ns,
            agenda: Agenda::new(),
            is_planned: false,
            rng: Rng::new(mix(settings.seed ^ mix(u64::from(worker) << 32 | 0xC4))),
            storm_ns: 0,
            leaver: u32::MAX,
            silent: Vec::new(),
        }
    }

    /// Whether clients leave and come back.
    pub(super) fn is_on(&self) -> bool {
        self.departures.is_some()
    }

    /// When the next client leaves.
    pub(super) fn next_ns(&self) -> Option<u64> {
        if self.leaver == u32::MAX { self.agenda.next_due_ns() } else { Some(0) }
    }
}

impl Worker {
    /// Lets those leave whose time has come.
    pub(super) fn churn(&mut self, board: &mut Board) {
        let Some(departures) = self.churn.departures.filter(|_| self.control.phase() == Phase::Run) else { return };
        if self.control.is_calm() {
            self.churn.agenda = Agenda::new();
            return;
        }
        let Some(go_ns) = self.control.go_ns() else { return };
        let now_ns = mono_ns();
        if !self.churn.is_planned && now_ns >= go_ns {
            self.churn.is_planned = true;
            self.plan_departures(departures, go_ns);
        }
        if let Departures::Storm { .. } = departures {
            return self.storm(board);
        }
        for _ in 0..LEAVERS_PER_TURN {
            let Some(due) = self.churn.agenda.take_due(now_ns) else { return };
            let leaver = match departures {
                Departures::Flap(_) => Some(due.client),
                _ => self.any_ready(),
            };
            if let Some(index) = leaver {
                self.let_leave(index, board);
            }
        }
    }

    fn plan_departures(&mut self, departures: Departures, go_ns: u64) {
        match departures {
            Departures::Churn { .. } => {
                let interval_ns = self.churn.interval_ns;
                self.churn.agenda.join(0, Schedule::every(go_ns + interval_ns, interval_ns));
            }
            Departures::Flap(Flap { up, down }) => {
                let cycle_ns = (up + down).as_nanos() as u64;
                for index in 0..self.clients.len() as u32 {
                    let first_ns = go_ns + spread(self.share.global_index(index), cycle_ns);
                    self.churn.agenda.join(index, Schedule::every(first_ns, cycle_ns));
                }
            }
            Departures::Storm { .. } => {}
        }
    }

    /// Begins a storm when the reporter says so, and goes on with it.
    fn storm(&mut self, board: &mut Board) {
        let storm_ns = self.control.storm_ns();
        if storm_ns != self.churn.storm_ns {
            (self.churn.storm_ns, self.churn.leaver) = (storm_ns, 0);
        }
        if self.churn.leaver == u32::MAX {
            return;
        }
        let clients = self.clients.len() as u32;
        let end = clients.min(self.churn.leaver + STORM_LEAVERS_PER_TURN);
        for index in self.churn.leaver..end {
            self.let_leave(index, board);
        }
        self.churn.leaver = end;
        if end == clients {
            self.churn.leaver = u32::MAX;
            board.tally.storms += 1;
        }
    }

    /// One of those that are ready, by chance. Where hardly anybody is, there is nobody to leave.
    fn any_ready(&mut self) -> Option<u32> {
        let clients = self.clients.len() as u64;
        let mut chosen = (0..TRIES).map(|_| self.churn.rng.below(clients) as u32);
        chosen.find(|index| self.clients[*index as usize].stage == Stage::Ready)
    }

    /// Lets a client leave that is ready.
    fn let_leave(&mut self, index: u32, board: &mut Board) {
        let client = &mut self.clients[index as usize];
        if client.stage != Stage::Ready {
            return;
        }
        client.absence = Absence::Left;
        board.tally.churned += 1;
        self.leave(index, board);
        self.give_up_broken(board);
    }

    /// When a client that has left on purpose connects again.
    pub(super) fn returns_at_ns(&self, index: u32, now_ns: u64) -> u64 {
        match self.churn.departures {
            Some(Departures::Storm { back_per_s: Some(per_s), .. }) => {
                let turn_ns = u64::from(self.share.global_index(index)) * NS_PER_S / u64::from(per_s);
                now_ns.max(self.churn.storm_ns + turn_ns)
            }
            Some(Departures::Flap(Flap { down, .. })) => now_ns + down.as_nanos() as u64,
            _ => now_ns,
        }
    }

    /// Ends a connection in the way that was asked for. After DISCONNECT, the server closes.
    pub(super) fn leave(&mut self, index: u32, board: &mut Board) {
        let client = &mut self.clients[index as usize];
        client.stage = Stage::Leaving;
        let ended = match self.settings.ending {
            Ending::Disconnect => {
                let now_ns = mono_ns();
                let packet = Packet::Disconnect(Disconnect::default());
                let encoded = packet.encode(self.settings.version, &mut self.share.out);
                let sent = self.share.transmit(client, now_ns, &mut board.tally);
                self.share.wake(client, index, now_ns + LEAVE_GRACE_NS);
                encoded.is_err() || sent.is_err()
            }
            Ending::Crash => {
                if let Some(transport) = &client.transport {
                    // Otherwise it has ended already.
                    let _ = socket::reset_on_close(transport.socket());
                }
                true
            }
            Ending::Vanish => {
                if let Some(transport) = client.transport.take() {
                    let _ = socket::go_silent(transport.socket());
                    // The number is that of the next connection.
                    let _ = self.poll.registry().deregister(&mut SourceFd(&transport.socket().as_raw_fd()));
                    self.churn.silent.push(transport);
                }
                true
            }
        };
        if ended {
            self.broken.push((index, reason::CLOSED.to_owned()));
        }
    }

    /// Lets go of the connections that have gone silent, as quietly as this process may.
    pub(super) fn forget_the_silent(&mut self) {
        for transport in self.churn.silent.drain(..) {
            let _ = socket::forget_on_close(transport.socket());
        }
    }
}

/// How long the server has to close the connection after DISCONNECT.
const LEAVE_GRACE_NS: u64 = 1_000_000_000;
/// Clients that leave between two looks at the sockets.
const LEAVERS_PER_TURN: u32 = 64;
/// The same in a storm, where they are to leave at once.
const STORM_LEAVERS_PER_TURN: u32 = 1_024;
/// Random choices of one that is ready.
const TRIES: usize = 8;
