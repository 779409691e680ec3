//! Churn: at a steady rate, clients chosen at random end their connection on purpose and come back at once.
//!
//! Open loop: the plan says when the next client leaves, however long the earlier ones take to return. It begins when all
//! clients of the worker have had their outcome.

use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mqtt_wire::{Disconnect, Packet};
use netloop::socket;
use netloop::transport::Transport;
use pacer::rng::{Rng, mix};
use pacer::schedule::Schedule;
use runlog::clock::mono_ns;

use super::Worker;
use crate::board::Board;
use crate::client::{Absence, Stage};
use crate::control::Phase;
use crate::reason;
use crate::settings::{Ending, Settings};

/// One worker's part of the churn.
#[derive(Debug)]
pub(super) struct Churn {
    /// Between two departures; `None`: nobody leaves.
    interval_ns: Option<u64>,
    schedule: Option<Schedule>,
    rng: Rng,
    /// Connections that have gone silent: their sockets stay, so that nobody answers for them.
    silent: Vec<Transport>,
}

impl Churn {
    pub(super) fn new(settings: &Settings, worker: u32) -> Self {
        let per_s = settings.churn.map_or(0.0, |churn| churn.per_s(settings.clients)) / settings.threads as f64;
        Self {
            interval_ns: (per_s > 0.0).then(|| ((1e9 / per_s) as u64).max(1)),
            schedule: None,
            rng: Rng::new(mix(settings.seed ^ mix(u64::from(worker) << 32 | 0xC4))),
            silent: Vec::new(),
        }
    }

    /// Whether clients leave and come back.
    pub(super) fn is_on(&self) -> bool {
        self.interval_ns.is_some()
    }

    /// When the next client leaves.
    pub(super) fn next_ns(&self) -> Option<u64> {
        self.schedule.as_ref().map(Schedule::next_due_ns)
    }
}

impl Worker {
    /// Lets those leave whose time has come.
    pub(super) fn churn(&mut self, board: &mut Board) {
        let Some(interval_ns) = self.churn.interval_ns.filter(|_| self.control.phase() == Phase::Run) else { return };
        let now_ns = mono_ns();
        if self.churn.schedule.is_none() {
            if self.clients.iter().any(|client| !client.settled) {
                return;
            }
            self.churn.schedule = Some(Schedule::every(now_ns + interval_ns, interval_ns));
        }
        for _ in 0..LEAVERS_PER_TURN {
            let Some(schedule) = &mut self.churn.schedule else { return };
            if schedule.take_due(now_ns).is_none() {
                return;
            }
            self.let_one_leave(board);
        }
    }

    fn let_one_leave(&mut self, board: &mut Board) {
        let clients = self.clients.len() as u64;
        // Most are ready; where hardly anybody is, there is nobody to leave.
        let mut chosen = (0..TRIES).map(|_| self.churn.rng.below(clients) as u32);
        let Some(index) = chosen.find(|index| self.clients[*index as usize].stage == Stage::Ready) else { return };
        self.clients[index as usize].absence = Absence::Left;
        board.tally.churned += 1;
        self.leave(index, board);
        self.give_up_broken(board);
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
/// Random choices of one that is ready.
const TRIES: usize = 8;
