//! loadgen as a user runs it: the binary, real brokers, real sockets.

/// A network that drops, repeats, reorders and damages on purpose: each is counted exactly.
mod bad_network;
/// What packets carry: payloads, headers, templates, properties, credentials; repeated messages.
mod contents;
/// Counts at every QoS and protocol version against Mosquitto, to the last message.
mod exchange;
/// What must go wrong clearly: nobody there, broker killed, signals, bad flags, limits.
mod failures;
/// Starting Mosquitto and loadgen, waiting for what they write.
mod support;
/// TLS and WebSocket; connections that fail at first, and that are lost and come back.
mod transports;
