//! Bytes to sockets: collected during a turn, written once per connection at its end.

use std::io::{self, Write};

use mqtt_wire::{Packet, PropertiesBuf, Property};

use super::conn::{Conn, ConnRef, Output, State};
use super::lifecycle::End;
use super::settings::{POOL_BYTES, POOLED_BUFFER_BYTES, POOLED_BUFFERS};
use super::worker::Worker;

/// Output buffers for reuse.
#[derive(Debug, Default)]
pub(super) struct Pool {
    buffers: Vec<Box<Output>>,
    /// Their capacities.
    bytes: usize,
}

impl Worker {
    /// The end of a connection's output, to append to.
    pub(super) fn output(&mut self, at: ConnRef) -> Option<&mut Vec<u8>> {
        let conn = self.conns.get_mut(at.slot as usize).filter(|conn| conn.generation == at.generation)?;
        if conn.state == State::Lingering {
            return None;
        }
        Some(output_of(conn, at, &mut self.dirty, &mut self.pool))
    }

    /// Appends bytes to a connection's output.
    pub(super) fn write(&mut self, at: ConnRef, bytes: &[u8]) {
        if let Some(output) = self.output(at) {
            output.extend_from_slice(bytes);
        }
    }

    /// Appends a packet to a connection's output.
    pub(super) fn send_packet(&mut self, at: ConnRef, packet: &Packet<'_>) {
        let Some(conn) = self.conn(at) else { return };
        let (version, max) = (conn.version, conn.v5.as_ref().map_or(0, |v5| v5.max_packet_bytes));
        let Some(output) = self.output(at) else { return };
        let start = output.len();
        if let Err(error) = packet.encode(version, output) {
            // Everything that the broker sends of its own fits; what it passes on was checked when it came in.
            tracing::error!(%error, ?packet, "a packet cannot be encoded");
        } else if max != 0 && output.len() - start > max as usize {
            // The client asked not to be sent this [MQTT-3.1.2-24].
            output.truncate(start);
        }
    }

    /// The property that says why in words, for a client that wants them [MQTT-3.1.2-29] and takes a packet that large;
    /// `other_bytes`: what the packet's body holds besides, but for the length of the properties.
    pub(super) fn reason_string(&mut self, at: ConnRef, why: &str, other_bytes: usize) -> PropertiesBuf {
        let mut list = PropertiesBuf::new();
        let Some(v5) = self.conn(at).and_then(|conn| conn.v5.as_ref()) else { return list };
        // Packet type, two lengths of at most two bytes here, identifier and length of the string.
        let size = 1 + 2 + 2 + 3 + why.len() + other_bytes;
        let fits = v5.max_packet_bytes == 0 || size <= v5.max_packet_bytes as usize;
        if v5.problem_information && fits && !why.is_empty() {
            // Cannot fail: our reasons are short.
            let _ = list.push(Property::ReasonString(why));
        }
        list
    }

    /// Writes what this turn has produced.
    pub(super) fn write_dirty(&mut self) {
        // Deliveries out of a queue list their connection anew.
        while let Some(at) = self.dirty.pop() {
            self.write_now(at);
        }
    }

    /// The socket takes bytes again.
    pub(super) fn on_writable(&mut self, at: ConnRef) {
        self.write_now(at);
    }

    /// Writes a connection's output, as much as the socket takes; then what waits in the session's queue may follow.
    pub(super) fn write_now(&mut self, at: ConnRef) {
        let Some(conn) = self.conn(at) else { return };
        conn.dirty = false;
        if conn.blocked {
            return;
        }
        let Some(output) = &mut conn.output else { return };
        let before = output.bytes.len() - output.start;
        let Ok(left) = write_some(&mut conn.transport, output) else {
            self.doomed.push_back((at, End::Abnormal));
            return;
        };
        let took_some = output.bytes.len() - output.start < before;
        let session = conn.session;
        if left {
            conn.blocked = true;
        } else if let Some(output) = conn.output.take() {
            let was_choked = std::mem::take(&mut conn.choked);
            self.pool.take_back(output);
            if was_choked {
                self.list_readable(at);
            }
        }
        if took_some {
            self.on_written(session, !left);
        }
    }
}

impl Pool {
    fn lend(&mut self) -> Box<Output> {
        let output = self.buffers.pop().unwrap_or_default();
        self.bytes -= output.bytes.capacity();
        output
    }

    /// Takes a buffer back, unless it is large or there are enough.
    pub(super) fn take_back(&mut self, mut output: Box<Output>) {
        let bytes = output.bytes.capacity();
        if self.buffers.len() < POOLED_BUFFERS && bytes <= POOLED_BUFFER_BYTES && self.bytes + bytes <= POOL_BYTES {
            output.bytes.clear();
            output.start = 0;
            self.bytes += bytes;
            self.buffers.push(output);
        }
    }
}

/// The output of a connection that is known to be there; listed to be written at the end of the turn.
pub(super) fn output_of<'a>(
    conn: &'a mut Conn,
    at: ConnRef,
    dirty: &mut Vec<ConnRef>,
    pool: &mut Pool,
) -> &'a mut Vec<u8> {
    if !conn.dirty {
        conn.dirty = true;
        dirty.push(at);
    }
    &mut conn.output.get_or_insert_with(|| pool.lend()).bytes
}

/// Writes until everything is out or the socket is full; `true` when something is left.
fn write_some(transport: &mut impl Write, output: &mut Output) -> io::Result<bool> {
    while output.start < output.bytes.len() {
        match transport.write(&output.bytes[output.start..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                output.start += count;
                if output.start < output.bytes.len() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    // Move the rest to the front only when that costs no more than what was written.
    if output.start * 2 > output.bytes.len() {
        output.bytes.drain(..output.start);
        output.start = 0;
    }
    Ok(output.start < output.bytes.len())
}
