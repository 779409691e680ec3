//! The parts of an event loop on real sockets of the loopback interface.

/// Waking a poller on time.
mod alarms;
/// Establishing, refusing, resetting; listeners that share a port.
mod sockets;
/// Connecting from planned pairs, over ports that are free and ports that are not.
mod sources;
