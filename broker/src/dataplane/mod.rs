//! The share-nothing data plane: N workers, each with its own listeners, poller, connections, sessions, topic index and
//! shard of the retained store.
//!
//! A client identifier belongs to one worker (a hash says which); a connection that another worker accepted is handed
//! over with its first bytes. So a session never moves, and taking a session over is local. The modules, in the order
//! in which a byte meets them:
//!
//! - [`crew`]: threads, and which of them runs which worker; [`watch`]: which poller tells of what.
//! - [`worker`]: the loop: wait, take mail, read, act, send mail, write. All state hangs from here.
//! - [`intake`]: accepting, reading, cutting bytes into packets, dispatching them.
//! - [`connect`]: CONNECT: hand-over, takeover, a new or a resumed session.
//! - [`inbound`]: PUBLISH and acknowledgements from a client.
//! - [`route`]: who gets a message: subscribers here, groups, other workers.
//! - [`deliver`]: a message to one session: encoding, in-flight window, queue, drop policy, back-pressure.
//! - [`output`]: bytes to sockets.
//! - [`subscribe`] and [`retained`]: SUBSCRIBE, UNSUBSCRIBE, and what is kept for later subscribers.
//! - [`lifecycle`]: ends: closing, wills, expiry, timers, shutdown.
//!
//! and what they work on: [`conn`], [`session`], [`message`], [`subscribers`], [`mail`], [`settings`], [`counters`]. For
//! tests and for fuzzing, `stage` runs workers by hand.
//!
//! No async runtime, no lock per message, no knowledge of the control plane; whatever must wait is parked.
#![allow(
    clippy::box_collection,
    clippy::vec_box,
    reason = "a box in the struct of which there is one per client saves 16 bytes"
)]

mod alias;
mod conn;
mod connect;
mod counters;
mod crew;
mod deliver;
mod door;
mod inbound;
mod intake;
mod lifecycle;
mod mail;
mod message;
mod output;
mod retained;
mod route;
mod session;
mod settings;
#[cfg(any(test, fuzzing))]
mod stage;
mod subscribe;
mod subscribers;
mod subscriptions;
mod totals;
mod watch;
mod worker;

pub(crate) use counters::{Counters, Gauges};
pub(crate) use crew::{Crew, CrewError};
pub(crate) use settings::{Limits, MAX_WORKERS, Settings, SharePolicy, Spread};
#[cfg(fuzzing)]
pub(crate) use stage::Stage;
pub(crate) use worker::build;
