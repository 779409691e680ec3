//! Building blocks of a readiness-based event loop: one poller (mio, edge-triggered) per thread, connections in a table,
//! buffers that belong to the loop.
//!
//! The crate has no loop of its own: the broker's and the load tools' loops differ in what a turn does, and are short
//! because these parts are here. In the order in which a connection meets them:
//!
//! - [`limits`]: may this process open so many connections at all;
//! - [`source`]: from which addresses and ports connections are made; [`occupied`]: which of them are taken;
//! - [`socket`]: connecting, listening and resetting without blocking;
//! - [`transport`]: what carries the bytes: plain TCP, [`tls`], [`websocket`], or the one over the other;
//! - [`carrier`]: which of these a client's flags ask for;
//! - [`buffer`]: input and output buffers that only a busy connection owns;
//! - [`wheel`]: many coarse timers, one structure, for time-outs and keep-alive;
//! - [`load`]: whether this thread and this machine are busy;
//! - [`alarm`]: waking a poller at a nanosecond, for schedules;
//! - [`mailbox`]: messages between event loops, in batches with one wake-up each.

pub mod alarm;
pub mod buffer;
pub mod carrier;
pub mod limits;
pub mod load;
pub mod mailbox;
pub mod occupied;
pub mod socket;
pub mod source;
pub mod tls;
pub mod transport;
pub mod websocket;
pub mod wheel;
