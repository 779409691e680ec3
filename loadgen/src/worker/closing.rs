//! The end of a run: DISCONNECT on every connection (or the ending that was asked for), then wait until the broker has closed them.
//!
//! The broker closes first, as the specification wants it; so its side keeps the connection in `TIME_WAIT`, and the
//! next run finds its source ports free. A broker that does not close in time is closed on.

use runlog::clock::mono_ns;

use super::{Worker, settle};
use crate::board::Board;
use crate::client::Stage;
use crate::reason;

/// How far the end has come.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// The client that says DISCONNECT next.
    next: u32,
    /// Clients that have said it and are not gone.
    leaving: u32,
    /// When the last one said it, and waiting ends at.
    deadline_ns: Option<u64>,
    over: bool,
}

impl Closing {
    /// Whether all connections have ended.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the client has been asked to leave for good.
    pub(super) fn has_asked(&self, index: u32) -> bool {
        index < self.next
    }

    /// A client that had said DISCONNECT is gone.
    pub(super) fn left(&mut self) {
        self.leaving -= 1;
    }

    /// When the worker has to look again without being told to.
    pub(super) fn next_ns(&self) -> Option<u64> {
        Some(self.deadline_ns.unwrap_or(0))
    }
}

impl Worker {
    /// A slice of the end.
    pub(super) fn close(&mut self, board: &mut Board) {
        self.share.senders.clear();
        for _ in 0..CLOSED_PER_TURN {
            if self.closing.next as usize >= self.clients.len() {
                break;
            }
            let index = self.closing.next;
            self.closing.next += 1;
            self.close_one(index, board);
        }
        if (self.closing.next as usize) < self.clients.len() {
            return;
        }
        let now_ns = mono_ns();
        let deadline_ns = *self.closing.deadline_ns.get_or_insert(now_ns + CLOSE_GRACE_NS);
        if self.closing.leaving > 0 && now_ns >= deadline_ns {
            for index in 0..self.clients.len() as u32 {
                self.end(index, reason::CLOSED.to_owned(), board);
            }
        }
        self.closing.over = self.closing.leaving == 0;
    }

    fn close_one(&mut self, index: u32, board: &mut Board) {
        let client = &mut self.clients[index as usize];
        match client.stage {
            Stage::Gone => {}
            // Neither a success nor a failure: the run ended before its outcome.
            Stage::New => client.stage = Stage::Gone,
            Stage::Connecting | Stage::Securing | Stage::Greeting => {
                self.share.open -= 1;
                client.transport = None;
                client.stage = Stage::Gone;
                settle(client, &mut board.tally);
            }
            // It has said so already, by the plan.
            Stage::Leaving => self.closing.leaving += 1,
            Stage::Subscribing | Stage::Ready => {
                self.share.open -= u32::from(client.stage == Stage::Subscribing);
                self.closing.leaving += 1;
                self.leave(index, board);
            }
        }
    }
}

/// Clients that say DISCONNECT in one turn.
const CLOSED_PER_TURN: usize = 1_024;
/// How long the broker has to close the connections after the last DISCONNECT.
const CLOSE_GRACE_NS: u64 = 1_000_000_000;
