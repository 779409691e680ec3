//! The lines of `events.jsonl`: what happened when, beside the numbers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock;

/// One line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// `CLOCK_MONOTONIC`, ns.
    pub mono_ns: u64,
    /// `CLOCK_REALTIME`, ns.
    pub wall_ns: u64,
    /// What sort of thing happened.
    pub kind: EventKind,
    /// Which one: a phase's name (`measure`, `ready`), a disconnect's reason, a gate's name.
    pub name: String,
    /// For things that last: whether this line is their begin or their end.
    #[serde(default)]
    pub edge: Option<Edge>,
    /// Whatever else belongs to it; an object or null.
    #[serde(default)]
    pub detail: Value,
}

impl Event {
    /// An event of this moment, without edge and detail.
    pub fn now(kind: EventKind, name: impl Into<String>) -> Event {
        let name = name.into();
        Event { mono_ns: clock::mono_ns(), wall_ns: clock::wall_ns(), kind, name, edge: None, detail: Value::Null }
    }

    /// The same event as the begin or end of something.
    #[must_use]
    pub fn edge(mut self, edge: Edge) -> Event {
        self.edge = Some(edge);
        self
    }

    /// The same event with details.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Event {
        self.detail = detail;
        self
    }
}

/// What sort of thing an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// A part of an experiment: `idle`, `ramp`, `settle`, `measure`, `drain`; also the mark `ready`.
    Phase,
    /// A connection that ended, with the reason.
    Disconnect,
    /// Something failed and the run went on, or ended because of it.
    Error,
    /// A validity gate's verdict.
    Gate,
    /// Anything else worth keeping: the target restarted, the clock stepped.
    Note,
}

/// Note of a runner: in the middle of a step it asks a load to end.
pub const LOAD_STOPPED: &str = "load-stopped";
/// The same: a load stands still from here on.
pub const LOAD_PAUSED: &str = "load-paused";
/// The same: a load goes on.
pub const LOAD_RESUMED: &str = "load-resumed";

/// Begin or end of what an event names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// It begins.
    Begin,
    /// It ends.
    End,
}
