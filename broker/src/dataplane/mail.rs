//! What workers tell each other. Mail arrives in the order in which it was sent, and is read before any byte that a
//! client can have sent after learning of it: so a SUBACK may go out before the other workers know the subscription.

use std::sync::{Arc, mpsc};

use mio::Token;
use mio::net::TcpStream;

use super::counters::{Counters, Gauges};
use super::crew::Lent;
use super::door::{Entry, Source};
use super::message::Message;
use super::retained::{RetainedQuery, RetainedReply};
use super::session::SessionRef;
use super::subscribers::{GroupName, Member, SubscriptionIds};

/// Mail to a worker, collected during a turn.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) items: Vec<Mail>,
    /// Messages to be retained, which are sent first, to all workers: then whoever learns of one can ask for it.
    pub(super) retain: Vec<Mail>,
    /// What they hold.
    pub(super) bytes: usize,
    /// Publishers that wait until that worker has taken its mail.
    pub(super) held: Vec<SessionRef>,
}

/// One item of mail to a worker.
#[derive(Debug)]
pub(super) enum Mail {
    /// Say good-bye to the clients and return.
    Stop,
    /// A connection whose address the receiver counts.
    Arrival(Box<Arrival>),
    /// A connection that the receiver counted has ended.
    Departure { slot: u32 },
    /// A connection whose client belongs to the receiver, with everything read from it so far.
    Adopt(Box<Adopted>),
    /// Say what was counted and what is held.
    Report(mpsc::Sender<(Counters, Gauges)>),
    /// A worker to be run by the receiver's thread.
    Lend(Box<Lent>),
    /// An event of the receiver's, told by the poller of another thread, in which what it is about was left.
    LeftBehind(Token),
    /// A message with subscribers at the receiver.
    Publish(Message),
    /// A message for one member of a shared subscription.
    Direct(Box<Direct>),
    /// The sender now has, or no longer has, subscribers to a filter.
    Interest { filter: Box<str>, worker: u16, wanted: bool },
    /// A change in a shared subscription.
    Group(Box<GroupChange>),
    /// A retained message of the receiver's shard; an empty payload removes it. Sent before all other mail of a turn.
    Retain(Message),
    /// Has everything arrived that this worker has sent before?
    Sync { worker: u16 },
    /// The answer to so many questions: all that the sender has sent before it knew has arrived as well. What it is the first
    /// to be told to retain from now on has a stamp above this.
    Synced { worker: u16, count: u64, stamp: u64 },
    /// Which retained messages of the receiver's shard match a new subscription?
    RetainedQuery(Box<RetainedQuery>),
    /// The answer.
    Retained(Box<RetainedReply>),
    /// A consumer does not keep up with this publisher, or does again.
    Pause { publisher: SessionRef, paused: bool },
    /// This worker has taken its mail, for which the receiver waited.
    Room { worker: u16 },
}

impl Mail {
    /// Bytes that it holds, as far as clients decide on them.
    pub(super) fn size(&self) -> usize {
        let content = match self {
            Self::Publish(message) | Self::Retain(message) => message.size(),
            Self::Direct(direct) => size_of::<Direct>() + direct.message.size(),
            Self::Adopt(adopted) => adopted.bytes.len(),
            Self::Retained(reply) => reply.size(),
            _ => 0,
        };
        size_of::<Self>() + content
    }
}

#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) stream: TcpStream,
    pub(super) source: Source,
}

#[derive(Debug)]
pub(super) struct Adopted {
    pub(super) stream: TcpStream,
    pub(super) entry: Entry,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Direct {
    pub(super) session: SessionRef,
    pub(super) message: Message,
    pub(super) options: u8,
    pub(super) ids: SubscriptionIds,
    /// The group that it is a member of: another one gets the message when its session has ended.
    pub(super) group: Arc<GroupName>,
}

#[derive(Debug)]
pub(super) struct GroupChange {
    pub(super) filter: Box<str>,
    pub(super) name: Box<str>,
    pub(super) change: MemberChange,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum MemberChange {
    Join(Member),
    Leave(SessionRef),
    Presence(SessionRef, bool),
}
