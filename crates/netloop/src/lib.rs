//! Placeholder.

pub mod mailbox;
pub mod wheel;
