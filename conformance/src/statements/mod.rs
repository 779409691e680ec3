//! The normative statements, in short words of our own; those that bind only clients have a note that says so. The specifications have the full text.

mod v311;
mod v5;

use crate::wire::Version;

/// One statement.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Its number, without `MQTT-`.
    pub id: &'static str,
    /// What it says.
    pub about: &'static str,
    /// Why no case shows it, where none does.
    pub note: Option<&'static str>,
}

/// The statements of a version, in order.
#[must_use]
pub fn of(version: Version) -> &'static [Statement] {
    if version == Version::V5 { v5::STATEMENTS } else { v311::STATEMENTS }
}

/// A statement that cases show.
const fn shown(id: &'static str, about: &'static str) -> Statement {
    Statement { id, about, note: None }
}

/// A statement that no case shows, and why.
const fn noted(id: &'static str, about: &'static str, note: &'static str) -> Statement {
    Statement { id, about, note: Some(note) }
}

/// Why no case shows it.
const NO_WEBSOCKET: &str = "WebSocket is another transport; the cases speak TCP";
const SUPPORTED: &str = "bounds servers that lack a feature; a case shows that it is there";
const NEEDS_AUTH: &str = "needs an authentication method that the server has";
pub(crate) const SIDE_OF_CLIENT: &str =
    "binds the client; what a server does with a client that breaks it is left open";
