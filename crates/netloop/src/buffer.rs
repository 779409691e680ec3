//! Buffers that an idle connection does not own.
//!
//! Input is read into one [`Inlet`] that belongs to the event loop. Only the beginning of a packet whose end has not
//! arrived is copied to the connection's [`Spill`], which is freed when the packet is whole. Output is written straight
//! from the event loop's scratch buffer; only what a slow peer does not take goes to the connection's [`Outbox`], which
//! is freed when it is empty. Idle, the two are three words.

use std::io::{self, Read, Write};

/// The incomplete packet at the end of what was read last.
#[derive(Debug, Default)]
pub struct Spill(Option<Box<[u8]>>);

impl Spill {
    /// Bytes kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |bytes| bytes.len())
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// The event loop's read buffer.
#[derive(Debug)]
pub struct Inlet {
    buf: Vec<u8>,
    size: usize,
    filled: usize,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// New bytes; `more` when the socket may hold more of them.
    Bytes {
        /// Whether the read filled the whole buffer, so that another read may bring more.
        more: bool,
    },
    /// Nothing to read now.
    Nothing,
    /// The peer has ended its side.
    End,
}

impl Inlet {
    /// A buffer that takes up to `size` bytes in one read.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self { buf: Vec::new(), size, filled: 0 }
    }

    /// Reads once. Afterwards [`bytes`](Self::bytes) are what `spill` held and what was read, and the spill is empty:
    /// what is not used must be handed to [`keep`](Self::keep).
    ///
    /// # Errors
    /// What the read said, except `WouldBlock` (which is [`Input::Nothing`]) and `Interrupted`. The spill is untouched.
    pub fn read(&mut self, spill: &mut Spill, from: &mut impl Read) -> io::Result<Input> {
        let head = spill.len();
        if self.buf.len() < head + self.size {
            self.buf.resize(head + self.size, 0);
        }
        self.filled = 0;
        let room = &mut self.buf[head..head + self.size];
        let count = loop {
            match from.read(room) {
                Ok(0) => return Ok(Input::End),
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Input::Nothing),
                Err(error) => return Err(error),
            }
        };
        if let Some(kept) = spill.0.take() {
            self.buf[..head].copy_from_slice(&kept);
        }
        self.filled = head + count;
        Ok(Input::Bytes { more: count == self.size })
    }

    /// What is there to be used.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.buf[..self.filled]
    }

    /// Keeps the bytes from `used` on for the next read of this connection.
    pub fn keep(&mut self, spill: &mut Spill, used: usize) {
        let rest = &self.buf[used..self.filled];
        if !rest.is_empty() {
            spill.0 = Some(rest.into());
        }
        self.filled = 0;
        // One large packet must not make the buffer large for good.
        if self.buf.len() > 4 * self.size {
            self.buf = Vec::new();
        }
    }
}

/// Output that the peer has not taken yet.
#[derive(Debug, Default)]
pub struct Outbox(Option<Box<Unsent>>);

#[derive(Debug)]
struct Unsent {
    bytes: Vec<u8>,
    /// How many of `bytes` have been sent already.
    sent: usize,
}

impl Outbox {
    /// Bytes that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |unsent| unsent.bytes.len() - unsent.sent)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Sends `bytes`, or keeps what cannot be sent now behind what waits already. Returns how many bytes, of those that
    /// waited and of `bytes`, were handed to the socket.
    ///
    /// # Errors
    /// What the write said, except `WouldBlock` and `Interrupted`.
    pub fn send(&mut self, to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        if let Some(unsent) = &mut self.0 {
            unsent.bytes.extend_from_slice(bytes);
            return self.flush(to);
        }
        let sent = write_all_it_takes(to, bytes)?;
        if sent < bytes.len() {
            self.0 = Some(Box::new(Unsent { bytes: bytes[sent..].to_vec(), sent: 0 }));
        }
        Ok(sent)
    }

    /// Sends what waits, as far as the peer takes it: first what `to` itself has taken and not sent (a TLS record), then
    /// what waits here. Returns how many of the latter bytes were handed over.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush(&mut self, to: &mut impl Write) -> io::Result<usize> {
        match to.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            result => result?,
        }
        let Some(unsent) = &mut self.0 else { return Ok(0) };
        let sent = write_all_it_takes(to, &unsent.bytes[unsent.sent..])?;
        unsent.sent += sent;
        if unsent.sent == unsent.bytes.len() {
            self.0 = None;
        } else if unsent.sent > unsent.bytes.len() / 2 {
            unsent.bytes.drain(..unsent.sent);
            unsent.sent = 0;
        }
        Ok(sent)
    }
}

fn write_all_it_takes(to: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match to.write(&bytes[sent..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => sent += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes, in pieces of at most three.
    struct Slow {
        room: usize,
        taken: Vec<u8>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room).min(3);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_outbox_keeps_order_and_is_gone_when_empty() {
        let mut peer = Slow { room: 4, taken: Vec::new() };
        let mut outbox = Outbox::default();
        assert_eq!(outbox.send(&mut peer, b"abcdef").unwrap(), 4);
        assert_eq!(outbox.send(&mut peer, b"ghi").unwrap(), 0);
        assert_eq!(outbox.len(), 5);
        peer.room = 4;
        assert_eq!(outbox.flush(&mut peer).unwrap(), 4);
        peer.room = 100;
        assert_eq!(outbox.send(&mut peer, b"jk").unwrap(), 3);
        assert!(outbox.is_empty());
        assert_eq!(peer.taken, b"abcdefghijk");
    }

    #[test]
    fn an_inlet_puts_the_spill_in_front_and_keeps_the_rest() {
        let mut inlet = Inlet::new(4);
        let mut spill = Spill::default();
        let mut source = &b"abcdefg"[..];
        assert_eq!(inlet.read(&mut spill, &mut source).unwrap(), Input::Bytes { more: true });
        assert_eq!(inlet.bytes(), b"abcd");
        inlet.keep(&mut spill, 1);
        assert_eq!(spill.len(), 3);
        assert_eq!(inlet.read(&mut spill, &mut source).unwrap(), Input::Bytes { more: false });
        assert_eq!(inlet.bytes(), b"bcdefg");
        assert!(spill.is_empty());
        inlet.keep(&mut spill, 6);
        assert!(spill.is_empty());
        assert_eq!(inlet.read(&mut spill, &mut source).unwrap(), Input::End);
    }

    #[test]
    fn an_idle_connection_pays_three_words() {
        assert_eq!(size_of::<(Spill, Outbox)>(), 3 * size_of::<usize>());
    }
}
