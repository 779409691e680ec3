//! The head of a payload: who sent it, which message it is, and when it was due.
//!
//! Layout of a payload, all integers little-endian:
//!
//! | bytes  | content |
//! |--------|---------|
//! | 0..8   | `due_ns`: `CLOCK_MONOTONIC` nanoseconds of the planned send |
//! | 8..12  | `sender` |
//! | 12..16 | `sequence` |
//! | 16..   | a pattern that follows from the 16 bytes before it |
//!
//! The pattern lets a receiver notice damage anywhere in the payload, its head included, without a checksum field and
//! without knowing the sender. A payload shorter than 16 bytes carries no stamp and cannot be checked; one of exactly
//! 16 bytes carries a stamp without any protection.

use crate::rng::mix;

/// The identity and planned time of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Who sent it: unique among the publishers of a run.
    pub sender: u32,
    /// The sender's running number, from 0.
    pub sequence: u32,
    /// When it was planned to be sent: nanoseconds of `CLOCK_MONOTONIC` on the sending host.
    pub due_ns: u64,
}

/// What a payload turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// A stamped payload whose pattern is intact.
    Intact(Stamp),
    /// A payload of at least 16 bytes that no sender of ours wrote like this.
    Corrupted,
    /// Shorter than a stamp.
    Unstamped,
}

impl Stamp {
    /// Bytes of a stamp.
    pub const LEN: usize = 16;

    /// The stamp as it stands at the head of a payload.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.due_ns.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.sender.to_le_bytes());
        bytes[12..].copy_from_slice(&self.sequence.to_le_bytes());
        bytes
    }

    /// The stamp at the head of `payload`, unchecked; `None` when the payload is too short to carry one.
    #[must_use]
    pub fn peek(payload: &[u8]) -> Option<Self> {
        let head: &[u8; Self::LEN] = payload.first_chunk()?;
        let [due_ns, identity] = [0, 8].map(|at| {
            let word: [u8; 8] = head[at..at + 8].try_into().expect("8 of 16 bytes");
            u64::from_le_bytes(word)
        });
        Some(Self { sender: identity as u32, sequence: (identity >> 32) as u32, due_ns })
    }

    /// Writes a whole payload: the stamp and the pattern behind it. A payload shorter than a stamp is zeroed.
    pub fn fill(self, payload: &mut [u8]) {
        let Some((head, rest)) = payload.split_first_chunk_mut() else {
            payload.fill(0);
            return;
        };
        *head = self.to_bytes();
        let mut word = self.pattern_seed();
        let (words, tail) = rest.as_chunks_mut::<8>();
        for chunk in words {
            *chunk = word.to_le_bytes();
            word = word.wrapping_add(PATTERN_STEP);
        }
        tail.copy_from_slice(&word.to_le_bytes()[..tail.len()]);
    }

    /// Reads a payload and checks every byte of it.
    #[must_use]
    pub fn read(payload: &[u8]) -> Reading {
        let Some(stamp) = Self::peek(payload) else { return Reading::Unstamped };
        let mut word = stamp.pattern_seed();
        let mut difference = 0;
        let (words, tail) = payload[Self::LEN..].as_chunks::<8>();
        for chunk in words {
            difference |= u64::from_le_bytes(*chunk) ^ word;
            word = word.wrapping_add(PATTERN_STEP);
        }
        if difference == 0 && *tail == word.to_le_bytes()[..tail.len()] {
            Reading::Intact(stamp)
        } else {
            Reading::Corrupted
        }
    }

    fn pattern_seed(self) -> u64 {
        mix((u64::from(self.sender) << 32 | u64::from(self.sequence)) ^ mix(self.due_ns))
    }
}

/// Odd, so that the pattern of one payload does not repeat; added, not mixed, so that filling and checking stay at a
/// few instructions per word.
const PATTERN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sender: 0x0403_0201, sequence: 0x0807_0605, due_ns: 0x1817_1615_1413_1211 };

    #[test]
    fn layout_is_due_sender_sequence_little_endian() {
        let expected = [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(STAMP.to_bytes(), expected);
        assert_eq!(Stamp::peek(&expected), Some(STAMP));
        assert_eq!(Stamp::peek(&expected[..15]), None);
    }

    #[test]
    fn every_length_reads_back_and_every_flipped_bit_is_noticed() {
        for len in 0..80 {
            let mut payload = vec![0xEE; len];
            STAMP.fill(&mut payload);
            if len < Stamp::LEN {
                assert_eq!(Stamp::read(&payload), Reading::Unstamped);
                continue;
            }
            assert_eq!(Stamp::read(&payload), Reading::Intact(STAMP));
            for bit in 0..len * 8 {
                payload[bit / 8] ^= 1 << (bit % 8);
                let reading = Stamp::read(&payload);
                // One byte of pattern notices damage to the head only by chance; eight do not miss any single bit.
                if len >= Stamp::LEN + 8 || bit >= Stamp::LEN * 8 {
                    assert_eq!(reading, Reading::Corrupted, "length {len}, bit {bit}");
                }
                payload[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn a_truncated_payload_of_another_length_is_still_this_senders_prefix() {
        let mut payload = [0; 64];
        STAMP.fill(&mut payload);
        assert_eq!(Stamp::read(&payload[..40]), Reading::Intact(STAMP));
        payload.swap(20, 30);
        assert_eq!(Stamp::read(&payload), Reading::Corrupted);
    }
}
