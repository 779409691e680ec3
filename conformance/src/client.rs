//! One connection to the server under test: sends bytes, and says what came back instead of what was wanted.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::received::{Answer, Hex, Incoming, Packet};
use crate::wire::{self, Publish, Version};

/// The server did something else than the case wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wanted {wanted}; saw {seen}")]
pub struct Mismatch {
    /// What the specification demands.
    pub wanted: String,
    /// What the server did.
    pub seen: String,
    /// The last packets of the connection, `>` sent and `<` received.
    pub packets: Vec<String>,
}

/// What a step of a case returns.
pub type Outcome<T = ()> = Result<T, Mismatch>;

/// A connection. Packets that came while another one was awaited are kept in order.
#[derive(Debug)]
pub struct Client {
    /// What the connection speaks.
    pub version: Version,
    stream: TcpStream,
    name: String,
    input: Vec<u8>,
    waiting: VecDeque<Packet>,
    transcript: Vec<String>,
    patience: Duration,
    last_id: u16,
}

/// What a wait ended with.
enum Event {
    Packet(Packet),
    Silence,
    Closed,
    /// Bytes that are no packet.
    Nonsense(String),
}

impl Client {
    /// Opens a connection and sends nothing. `patience`: how long to wait for what should come.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub fn open(name: &str, target: SocketAddr, version: Version, patience: Duration) -> Outcome<Self> {
        let stream = TcpStream::connect_timeout(&target, patience).and_then(|stream| {
            stream.set_nodelay(true)?;
            stream.set_write_timeout(Some(patience))?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| Mismatch {
            wanted: format!("a connection to {target}"),
            seen: error.to_string(),
            packets: Vec::new(),
        })?;
        Ok(Self {
            version,
            stream,
            name: name.to_owned(),
            input: Vec::new(),
            waiting: VecDeque::new(),
            transcript: Vec::new(),
            patience,
            last_id: 0,
        })
    }

    /// Waits this much longer for what should come.
    #[must_use]
    pub fn patient(mut self, longer: Duration) -> Self {
        self.patience += longer;
        self
    }

    /// Whether properties and reason codes are spoken.
    #[must_use]
    pub fn is_v5(&self) -> bool {
        self.version == Version::V5
    }

    /// A packet identifier that was not used before.
    pub fn new_id(&mut self) -> u16 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends bytes. That the server has closed the connection is found out by what is awaited next.
    pub fn send(&mut self, bytes: &[u8]) {
        let result = self.stream.write_all(bytes);
        let failed = result.err().map_or(String::new(), |error| format!(" (failed: {error})"));
        self.note(format!("> {}{failed}", Hex(bytes)));
    }

    /// The next packet.
    ///
    /// # Errors
    /// When none comes.
    pub fn next(&mut self, wanted: &str) -> Outcome<Packet> {
        match self.event(self.patience) {
            Event::Packet(packet) => Ok(packet),
            Event::Silence => Err(self.mismatch(wanted, "nothing")),
            Event::Closed => Err(self.mismatch(wanted, "the connection closed")),
            Event::Nonsense(text) => Err(self.mismatch(wanted, text)),
        }
    }

    /// The next packet, if one comes within a time.
    ///
    /// # Errors
    /// When the connection is closed instead.
    pub fn next_within(&mut self, wait: Duration, wanted: &str) -> Outcome<Option<Packet>> {
        match self.event(wait) {
            Event::Packet(packet) => Ok(Some(packet)),
            Event::Silence => Ok(None),
            Event::Closed => Err(self.mismatch(wanted, "the connection closed")),
            Event::Nonsense(text) => Err(self.mismatch(wanted, text)),
        }
    }

    /// The next packet, or `None` when the connection is closed instead.
    ///
    /// # Errors
    /// When neither comes.
    pub fn next_or_end(&mut self, wanted: &str) -> Outcome<Option<Packet>> {
        match self.event(self.patience) {
            Event::Packet(packet) => Ok(Some(packet)),
            Event::Closed => Ok(None),
            Event::Silence => Err(self.mismatch(wanted, "nothing")),
            Event::Nonsense(text) => Err(self.mismatch(wanted, text)),
        }
    }

    /// The server must close the connection, whatever it sends before.
    ///
    /// # Errors
    /// When it stays open.
    pub fn ended(&mut self, wanted: &str) -> Outcome {
        while self.next_or_end(&format!("the connection closed: {wanted}"))?.is_some() {}
        Ok(())
    }

    /// The server must refuse the SUBSCRIBE that was sent last: by a failure in SUBACK, or by ending the connection.
    ///
    /// # Errors
    /// When it grants it.
    pub fn refused_subscribe(&mut self, wanted: &str) -> Outcome {
        let wanted = format!("a refusal: {wanted}");
        match self.next_or_end(&wanted)? {
            None => Ok(()),
            Some(packet) if packet.kind() == 14 => self.ended(&wanted),
            Some(packet) => {
                let failure = packet.first == 0x90 && packet.body.last().is_some_and(|code| *code >= 0x80);
                self.check(failure, wanted, packet)
            }
        }
    }

    /// The next packet must be exactly these bytes.
    ///
    /// # Errors
    /// When it is not.
    pub fn expect(&mut self, bytes: &[u8]) -> Outcome {
        let wanted = Hex(bytes).to_string();
        let packet = self.next(&wanted)?;
        let same = wire::frame(packet.first, &packet.body) == bytes;
        if same { Ok(()) } else { Err(self.mismatch(wanted, packet)) }
    }

    /// The first packet to come that fulfils a condition; others are kept.
    ///
    /// # Errors
    /// When none does.
    pub fn wait_for(&mut self, wanted: &str, mut fits: impl FnMut(&Packet) -> bool) -> Outcome<Packet> {
        let mut kept = VecDeque::new();
        let found = loop {
            let packet = self.next(wanted)?;
            if fits(&packet) {
                break packet;
            }
            kept.push_back(packet);
        };
        kept.append(&mut self.waiting);
        self.waiting = kept;
        Ok(found)
    }

    /// The server must close the connection. In 5.0 it may send DISCONNECT first, whose reason code is returned.
    ///
    /// # Errors
    /// When it stays open, or something else is sent.
    pub fn closed(&mut self, wanted: &str) -> Outcome<Option<u8>> {
        let wanted = format!("the connection closed: {wanted}");
        let mut reason = None;
        loop {
            match self.event(self.patience) {
                Event::Closed => return Ok(reason),
                Event::Packet(packet) if self.is_v5() && packet.kind() == 14 && reason.is_none() => {
                    let answer = self.read(&wanted, packet.disconnect(self.version))?;
                    reason = answer.codes.first().copied();
                }
                Event::Packet(packet) => return Err(self.mismatch(wanted, packet)),
                Event::Silence => return Err(self.mismatch(wanted, "a connection that stays open")),
                Event::Nonsense(text) => return Err(self.mismatch(wanted, text)),
            }
        }
    }

    /// The server must close the connection, and if it sends DISCONNECT, then with one of these reasons.
    ///
    /// # Errors
    /// When it does otherwise.
    pub fn closed_for(&mut self, wanted: &str, reasons: &[u8]) -> Outcome {
        match self.closed(wanted)? {
            Some(reason) if !reasons.contains(&reason) => {
                let wanted = format!("{wanted}, with a reason of {reasons:02x?}");
                Err(self.mismatch(wanted, format!("DISCONNECT with reason 0x{reason:02x}")))
            }
            _ => Ok(()),
        }
    }

    /// Whatever the server had to say before now must have been nothing: PINGREQ is answered at once.
    ///
    /// # Errors
    /// When another packet comes first.
    pub fn silent(&mut self, wanted: &str) -> Outcome {
        self.send(wire::PINGREQ);
        let packet = self.next(wanted)?;
        if packet.first == 0xD0 { Ok(()) } else { Err(self.mismatch(format!("nothing: {wanted}"), packet)) }
    }

    /// Subscribes to one filter with an options byte and returns the code of SUBACK, which must not be a failure.
    ///
    /// # Errors
    /// When the subscription fails.
    pub fn subscribe(&mut self, filter: &str, options: u8) -> Outcome<u8> {
        let codes = self.subscribe_all(&[], &[(filter, options)])?;
        match codes[..] {
            [code] if code <= 2 => Ok(code),
            _ => Err(self.mismatch(format!("a subscription to \"{filter}\""), format!("codes {codes:02x?}"))),
        }
    }

    /// Subscribes and returns the codes of SUBACK.
    ///
    /// # Errors
    /// When SUBACK does not come, or not with the same packet identifier.
    pub fn subscribe_all(&mut self, properties: &[u8], filters: &[(&str, u8)]) -> Outcome<Vec<u8>> {
        let id = self.new_id();
        self.send(&wire::subscribe(self.version, id, properties, filters));
        self.answer(0x90, "SUBACK", id)
    }

    /// Unsubscribes and returns the codes of UNSUBACK: none in 3.1.1.
    ///
    /// # Errors
    /// When UNSUBACK does not come, or not with the same packet identifier.
    pub fn unsubscribe(&mut self, filters: &[&str]) -> Outcome<Vec<u8>> {
        let id = self.new_id();
        self.send(&wire::unsubscribe(self.version, id, filters));
        self.answer(0xB0, "UNSUBACK", id)
    }

    fn answer(&mut self, first: u8, name: &str, id: u16) -> Outcome<Vec<u8>> {
        let packet = self.wait_for(name, |packet| packet.kind() == first >> 4)?;
        let answer = self.read(name, packet.codes(first, self.version))?;
        if answer.id == id {
            Ok(answer.codes)
        } else {
            Err(self.mismatch(format!("{name} for packet identifier {id}"), format!("identifier {}", answer.id)))
        }
    }

    /// Publishes a message to the end of its QoS flow, and returns the reason code of PUBACK or PUBREC.
    ///
    /// # Errors
    /// When the flow is not the one of section 4.3.
    pub fn publish(&mut self, publish: &Publish) -> Outcome<u8> {
        let mut publish = publish.clone();
        if publish.qos > 0 && publish.id == 0 {
            publish.id = self.new_id();
        }
        self.send(&publish.bytes());
        match publish.qos {
            0 => Ok(0),
            1 => Ok(self.acknowledged(0x40, publish.id)?.codes[0]),
            _ => {
                let reason = self.acknowledged(0x50, publish.id)?.codes[0];
                if reason < 0x80 {
                    self.send(&wire::ack(0x62, publish.id));
                    self.acknowledged(0x70, publish.id)?;
                }
                Ok(reason)
            }
        }
    }

    /// Awaits PUBACK (0x40), PUBREC (0x50), PUBREL (0x62) or PUBCOMP (0x70) for a packet identifier.
    ///
    /// # Errors
    /// When it does not come.
    pub fn acknowledged(&mut self, first: u8, id: u16) -> Outcome<Answer> {
        let wanted = format!("{} for packet identifier {id}", Hex(&wire::ack(first, id)));
        let fits = |packet: &Packet| packet.first == first && packet.body.starts_with(&id.to_be_bytes());
        let packet = self.wait_for(&wanted, fits)?;
        self.read(&wanted, packet.ack(first, self.version))
    }

    /// The next packet, which must be a PUBLISH; it is not acknowledged.
    ///
    /// # Errors
    /// When it is not.
    pub fn incoming(&mut self, wanted: &str) -> Outcome<Incoming> {
        let packet = self.next(wanted)?;
        self.read(wanted, packet.publish(self.version))
    }

    /// Acknowledges a message to the end of its QoS flow.
    ///
    /// # Errors
    /// When the server does not go along.
    pub fn accept(&mut self, message: &Incoming) -> Outcome {
        match message.qos {
            0 => {}
            1 => self.send(&wire::ack(0x40, message.id)),
            _ => {
                self.send(&wire::ack(0x50, message.id));
                self.acknowledged(0x62, message.id)?;
                self.send(&wire::ack(0x70, message.id));
            }
        }
        Ok(())
    }

    /// The next packet, which must be a PUBLISH of this topic and payload; it is acknowledged.
    ///
    /// # Errors
    /// When it is not.
    pub fn message(&mut self, topic: &str, payload: &str) -> Outcome<Incoming> {
        let wanted = format!("PUBLISH \"{topic}\" {payload:?}");
        let message = self.incoming(&wanted)?;
        if message.topic != topic || message.payload != payload.as_bytes() {
            return Err(self.mismatch(wanted, format!("{message:?}")));
        }
        self.accept(&message)?;
        Ok(message)
    }

    /// The next packet, which must be a PUBLISH of this payload; it is acknowledged.
    ///
    /// # Errors
    /// When it is not.
    pub fn payload(&mut self, payload: &str) -> Outcome<Incoming> {
        let wanted = format!("PUBLISH {payload:?}");
        let message = self.incoming(&wanted)?;
        if message.payload != payload.as_bytes() {
            return Err(self.mismatch(wanted, format!("{message:?}")));
        }
        self.accept(&message)?;
        Ok(message)
    }

    /// Ends the connection by DISCONNECT, and returns when the server has closed it.
    ///
    /// # Errors
    /// When the server does not close it.
    pub fn disconnect(self) -> Outcome {
        self.disconnect_with(wire::DISCONNECT)
    }

    /// The same with a DISCONNECT as given.
    ///
    /// # Errors
    /// When the server does not close the connection.
    pub fn disconnect_with(mut self, disconnect: &[u8]) -> Outcome {
        self.send(disconnect);
        self.end("after DISCONNECT")
    }

    /// Ends the connection without DISCONNECT, and returns when the server has closed its end.
    ///
    /// # Errors
    /// When the server does not close it.
    pub fn vanish(mut self) -> Outcome {
        self.end("after the client closed it")
    }

    fn end(&mut self, when: &str) -> Outcome {
        // The server may have closed first: then there is nothing to shut down.
        let _ = self.stream.shutdown(Shutdown::Write);
        self.note("> (end)".to_owned());
        loop {
            match self.event(self.patience) {
                Event::Closed => return Ok(()),
                Event::Packet(_) => {}
                Event::Silence => return Err(self.mismatch(format!("the connection closed {when}"), "nothing")),
                Event::Nonsense(text) => return Err(self.mismatch("packets", text)),
            }
        }
    }

    /// A mismatch that tells the last packets of this connection.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "callers have text, owned or not, or packets")]
    pub fn mismatch(&self, wanted: impl ToString, seen: impl ToString) -> Mismatch {
        const TOLD: usize = 12;
        let from = self.transcript.len().saturating_sub(TOLD);
        let packets = self.transcript[from..].iter().map(|line| format!("{} {line}", self.name)).collect();
        Mismatch { wanted: wanted.to_string(), seen: seen.to_string(), packets }
    }

    /// Fails with this mismatch unless a condition holds.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn check(&self, holds: bool, wanted: impl ToString, seen: impl ToString) -> Outcome {
        if holds { Ok(()) } else { Err(self.mismatch(wanted, seen)) }
    }

    /// Turns what is wrong with a packet into a mismatch.
    ///
    /// # Errors
    /// When something is wrong with it.
    pub fn read<T>(&self, wanted: &str, result: Result<T, String>) -> Outcome<T> {
        result.map_err(|text| self.mismatch(wanted, text))
    }

    fn event(&mut self, wait: Duration) -> Event {
        if let Some(packet) = self.waiting.pop_front() {
            return Event::Packet(packet);
        }
        let deadline = Instant::now() + wait;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match Packet::split(&self.input) {
                Ok(Some((packet, taken))) => {
                    self.input.drain(..taken);
                    self.note(format!("< {packet}"));
                    return Event::Packet(packet);
                }
                Ok(None) => {}
                Err(text) => return Event::Nonsense(text),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Event::Silence;
            }
            if let Err(error) = self.stream.set_read_timeout(Some(left)) {
                return Event::Nonsense(error.to_string());
            }
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.note("< (end)".to_owned());
                    return if self.input.is_empty() {
                        Event::Closed
                    } else {
                        Event::Nonsense(format!("a connection that ends inside a packet: {}", Hex(&self.input)))
                    };
                }
                Ok(count) => self.input.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.note(format!("< ({error})"));
                    return Event::Closed;
                }
            }
        }
    }

    fn note(&mut self, line: String) {
        self.transcript.push(line);
    }
}
