//! loadgen as a user runs it: the binary, real brokers, real sockets.

/// A network that drops, repeats, reorders and damages on purpose: each is counted exactly.
mod bad_network;
/// mqtt-bench's runs and its result line.
mod bench;
/// The search for the highest rate at which bounds hold.
mod capacity;
/// What packets carry: payloads, headers, templates, properties, credentials; repeated messages.
mod contents;
/// Counts at every QoS and protocol version against Mosquitto, to the last message.
mod exchange;
/// Messages whose time is over before they can be delivered.
mod expiry;
/// What must go wrong clearly: nobody there, broker killed, signals, bad flags, limits.
mod failures;
/// The command lines of the published guide, against our broker and Mosquitto.
mod guide;
/// What Prometheus scrapes.
mod metrics;
/// Planned against recorded times of sending.
mod pacing;
/// Roles mixed in one process, from a file.
mod scenario;
/// Clients that leave on purpose, in order or not, and come back.
mod storms;
/// Starting brokers and loadgen, waiting for what they write.
mod support;
/// TLS and WebSocket; connections that fail at first, and that are lost and come back.
mod transports;
