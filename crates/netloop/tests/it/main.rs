//! The parts of an event loop on real sockets of the loopback interface.

/// Waking a poller on time.
mod alarms;
/// TLS and WebSocket between our own two sides: every byte, however the peer behaves.
mod layers;
/// TLS and WebSocket against Mosquitto's OpenSSL and libwebsockets.
mod mosquitto;
/// Establishing, refusing, resetting; listeners that share a port.
mod sockets;
/// Connecting from planned pairs, over ports that are free and ports that are not.
mod sources;
/// An event loop of one connection, certificates, and servers of one connection.
mod support;
