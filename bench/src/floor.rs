//! The floor: what forwarding MQTT over sockets costs at the very least. One thread, one poller, exact topics, QoS 0 and 1
//! passed on as they came; no sessions, no checks, no limits, nothing ever freed but buffers. It is no broker, only the
//! cost that no broker on sockets can go much below.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, Result};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use mqtt_wire::{Frame, PacketType};

const LISTENER: Token = Token(usize::MAX);
const READ_BYTES: usize = 256 * 1024;

#[derive(Default)]
struct Floor {
    connections: Vec<Connection>,
    subscribers: HashMap<Box<[u8]>, Vec<usize>>,
    dirty: Vec<usize>,
    /// Connections whose last read filled the buffer.
    more: Vec<usize>,
}

struct Connection {
    stream: Option<TcpStream>,
    input: Vec<u8>,
    output: Vec<u8>,
    dirty: bool,
    last_id: u16,
}

/// Serves until killed.
pub(crate) fn run(port: u16) -> Result<()> {
    netloop::limits::raise_open_files().context("cannot raise the limit of open files")?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut listener =
        netloop::socket::listen(address, 65_535).with_context(|| format!("cannot listen on {address}"))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut floor, mut events, mut buffer) = (Floor::default(), Events::with_capacity(1_024), vec![0; READ_BYTES]);
    loop {
        let timeout = (!floor.more.is_empty()).then_some(std::time::Duration::ZERO);
        match poll.poll(&mut events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for place in std::mem::take(&mut floor.more) {
            floor.read(place, &mut buffer);
        }
        for event in &events {
            if event.token() == LISTENER {
                floor.accept(&listener, &poll)?;
                continue;
            }
            let place = event.token().0;
            if event.is_writable() && !floor.connections[place].output.is_empty() {
                floor.mark(place);
            }
            if event.is_readable() {
                floor.read(place, &mut buffer);
            }
        }
        for place in std::mem::take(&mut floor.dirty) {
            floor.connections[place].flush();
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> Result<()> {
        loop {
            match listener.accept() {
                Ok((mut stream, _)) => {
                    let token = Token(self.connections.len());
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    let (input, output) = (Vec::new(), Vec::new());
                    let connection = Connection { stream: Some(stream), input, output, dirty: false, last_id: 0 };
                    self.connections.push(connection);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("cannot accept a connection"),
            }
        }
    }

    fn read(&mut self, place: usize, buffer: &mut [u8]) {
        let connection = &mut self.connections[place];
        let Some(stream) = &mut connection.stream else { return };
        let carried = connection.input.len();
        buffer[..carried].copy_from_slice(&connection.input);
        let count = match stream.read(&mut buffer[carried..]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(0) | Err(_) => {
                connection.stream = None;
                return;
            }
            Ok(count) => count,
        };
        connection.input = Vec::new();
        let length = carried + count;
        if length == buffer.len() {
            self.more.push(place);
        }
        let mut at = 0;
        while let Ok(Some(frame)) = Frame::split(&buffer[at..length], u32::MAX) {
            let (first, size, head) = (frame.first, frame.raw.len(), frame.raw.len() - frame.body.len());
            self.act(place, first, &mut buffer[at..at + size], head);
            at += size;
        }
        if at < length {
            self.connections[place].input = buffer[at..length].to_vec();
        }
    }

    fn act(&mut self, place: usize, first: u8, packet: &mut [u8], head: usize) {
        match PacketType::from_first_byte(first) {
            Ok(PacketType::Connect) => self.send(place, &[PacketType::ConnAck.first_byte(), 2, 0, 0]),
            Ok(PacketType::Subscribe) => {
                let body = &packet[head..];
                let filter_len = usize::from(u16::from_be_bytes([body[2], body[3]]));
                self.subscribers.entry(body[4..4 + filter_len].into()).or_default().push(place);
                let answer = [PacketType::SubAck.first_byte(), 3, body[0], body[1], body[4 + filter_len]];
                self.send(place, &answer);
            }
            Ok(PacketType::Publish) => {
                let topic_len = usize::from(u16::from_be_bytes([packet[head], packet[head + 1]]));
                let id_at = head + 2 + topic_len;
                let numbered = first & 0x06 != 0;
                if numbered {
                    let answer = [PacketType::PubAck.first_byte(), 2, packet[id_at], packet[id_at + 1]];
                    self.send(place, &answer);
                }
                let Self { connections, subscribers, dirty, .. } = self;
                for &receiver in subscribers.get(&packet[head + 2..id_at]).into_iter().flatten() {
                    let to = &mut connections[receiver];
                    if numbered {
                        to.last_id = to.last_id.wrapping_add(1).max(1);
                        packet[id_at..id_at + 2].copy_from_slice(&to.last_id.to_be_bytes());
                    }
                    to.output.extend_from_slice(packet);
                    if !to.dirty {
                        to.dirty = true;
                        dirty.push(receiver);
                    }
                }
            }
            Ok(PacketType::PingReq) => self.send(place, &mqtt_wire::packet::PINGRESP),
            _ => {}
        }
    }

    fn send(&mut self, place: usize, bytes: &[u8]) {
        self.connections[place].output.extend_from_slice(bytes);
        self.mark(place);
    }

    fn mark(&mut self, place: usize) {
        if !std::mem::replace(&mut self.connections[place].dirty, true) {
            self.dirty.push(place);
        }
    }
}

impl Connection {
    /// One write; what is left waits for the event that says that there is room.
    fn flush(&mut self) {
        self.dirty = false;
        let written = self.stream.as_mut().map_or(Ok(self.output.len()), |stream| stream.write(&self.output));
        let written = written.unwrap_or(0);
        if written == self.output.len() {
            self.output = Vec::new();
        } else {
            self.output.drain(..written);
        }
    }
}
