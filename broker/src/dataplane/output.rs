//! Bytes to sockets: collected during a turn, written once per connection at its end.

use std::collections::VecDeque;
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
        // The first first: the other way round, what has waited longest would wait for all the rest. Deliveries out of a
        // queue list their connection anew.
        while let Some(at) = self.dirty.pop_front() {
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
    dirty: &mut VecDeque<ConnRef>,
    pool: &mut Pool,
) -> &'a mut Vec<u8> {
    if !conn.dirty {
        conn.dirty = true;
        dirty.push_back(at);
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use mio::{Events, Interest, Poll, Token};

    use super::super::settings::Settings;
    use super::super::stage::Stage;

    #[test]
    fn what_came_first_is_written_first() {
        let mut stage = Stage::new(&Settings::default(), 1).unwrap();
        let mut poll = Poll::new().unwrap();
        let connect = |stage: &mut Stage, name: u8| {
            let mut stream = stage.connect(0).unwrap();
            stream.write_all(&[0x10, 13, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 1, name]).unwrap();
            stage.settle();
            stream
        };
        let names = b'a'..=b'p';
        let mut subscribers = Vec::new();
        for (place, topic) in names.clone().enumerate() {
            let mut stream = connect(&mut stage, topic);
            stream.write_all(&[0x82, 6, 0, 1, 0, 1, topic, 0]).unwrap();
            stage.settle();
            let answers = stream.read(&mut [0; 64]).unwrap();
            assert_eq!(answers, 4 + 5, "CONNACK and SUBACK");
            // The poller tells of sockets in the order in which they got something.
            let mut stream = mio::net::UnixStream::from_std(stream);
            poll.registry().register(&mut stream, Token(place), Interest::READABLE).unwrap();
            subscribers.push(stream);
        }
        let mut publisher = connect(&mut stage, b'z');
        let messages: Vec<u8> = names.flat_map(|topic| [0x30, 3, 0, 1, topic]).collect();
        publisher.write_all(&messages).unwrap();
        stage.turn(0);
        let mut events = Events::with_capacity(64);
        poll.poll(&mut events, Some(std::time::Duration::ZERO)).unwrap();
        let order: Vec<usize> = events.iter().map(|event| event.token().0).collect();
        assert_eq!(order, (0..subscribers.len()).collect::<Vec<_>>());
    }
}
