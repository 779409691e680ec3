//! Integration tests of the prober: the real binary against a real Mosquitto and the broker of this workspace.

mod allocations; // none per probe
mod carriers; // TLS, WebSocket, and the client library
mod curves; // figures, files and what a stalled broker does to them
mod failures; // brokers that are absent, refuse, die or fall silent
mod support; // starting brokers and probers
