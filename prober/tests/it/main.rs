//! Integration tests of the prober: the real binary against a real Mosquitto.
//!
//! Where `mosquitto` is not installed, a test that needs it prints a line that begins with SKIPPED and passes.

mod curves; // figures, files and what a stalled broker does to them
mod failures; // brokers that are absent, refuse, die or fall silent
mod support; // starting brokers and probers
