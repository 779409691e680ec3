//! MQTT conformance cases that run against any server.
//!
//! Each case opens connections, writes packets as bytes and says whether what came back is what a statement of the
//! specification demands. The modules, in the order in which a run meets them:
//!
//! - [`cases`]: the cases, by area.
//! - [`case`]: what a case is, and the names and connections that it works with.
//! - [`client`]: one connection: sends, waits, and tells what it saw instead.
//! - [`wire`] and [`received`]: packets as bytes, put together and taken apart by hand: no codec of the broker is used.
//! - [`runner`]: runs cases side by side and collects their verdicts.
//! - [`statements`]: the normative statements of both versions.
//! - [`report`]: tables in Markdown: of a run, and of which case shows which statement.
//!
//! The documents: *MQTT Version 3.1.1* (OASIS, 2014) and *MQTT Version 5.0* (OASIS, 2019). Statement numbers are those
//! of the OASIS standards.

pub mod case;
pub mod cases;
pub mod client;
pub mod received;
pub mod report;
pub mod runner;
pub mod statements;
pub mod wire;
