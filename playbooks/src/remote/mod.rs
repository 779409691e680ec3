//! Hosts over SSH: one session to each, with an agent at its other end.
//!
//! - [`protocol`]: what passes between runner and agent.
//! - [`agent`]: the other end.
//! - [`link`]: this end of a session.
//! - [`clocks`]: how far a host's clocks are from ours.
//! - [`fleet`]: the hosts as the place of a step.

pub(crate) mod agent;
pub(crate) mod clocks;
pub(crate) mod fleet;
pub(crate) mod link;
pub(crate) mod protocol;
