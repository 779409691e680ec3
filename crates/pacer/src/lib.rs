//! The open-loop plan of a load run: when each message is due, what it carries so that it can be recognised, and what
//! became of it.
//!
//! Open loop means that the plan is made without looking at the system under test: a message that is due at `t` stays
//! due at `t` however slow the peer is, it is sent late rather than skipped, and its latency counts from `t`. A closed
//! loop (send, wait, send) measures only the moments at which the peer was fast enough to be asked, which is known as
//! coordinated omission.
//!
//! The crate knows neither sockets nor clocks: every time is an argument, in nanoseconds of `CLOCK_MONOTONIC`, and
//! every random choice comes from a seed. In the order in which a message meets them:
//!
//! - [`rng`]: the seeded generator behind random schedules;
//! - [`schedule`]: one sequence of due times (constant rate, fixed interval, Poisson, ramp, burst, flat out);
//! - [`pacing`]: which of them a user asks for, in words;
//! - [`agenda`]: many clients with a schedule each, merged into one sequence of (client, due time);
//! - [`stamp`]: the 16 bytes at the head of a payload and the verifiable pattern behind them;
//! - [`receipt`]: per-sender sequence bookkeeping on the receiving side: delivered, lost, duplicated, out of order.

pub mod agenda;
pub mod pacing;
pub mod receipt;
pub mod rng;
pub mod schedule;
pub mod stamp;

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;
