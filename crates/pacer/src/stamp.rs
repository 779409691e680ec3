//! The head of a payload: who sent it, which message it is, when it was due and when it was sent.
//!
//! Layout of a payload, all integers little-endian:
//!
//! | bytes  | content |
//! |--------|---------|
//! | 0..8   | `due_ns`: `CLOCK_MONOTONIC` nanoseconds of the planned send |
//! | 8..12  | `sender` |
//! | 12..16 | `sequence` |
//! | 16..24 | `sent_ns`: when it was really handed over, for the uncorrected latency; only in payloads of 24 bytes and more |
//! | 24..   | a pattern that follows from the bytes before it |
//!
//! The pattern lets a receiver notice damage anywhere in the payload, its head included, without a checksum field and
//! without knowing the sender. A payload shorter than 16 bytes carries no stamp and cannot be checked; one of up to 24
//! bytes carries a stamp with little or no protection.

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
    /// A payload that a sender of ours wrote, and that was changed on its way: a part of the pattern is still there.
    Corrupted,
    /// A payload of at least 16 bytes in which nothing tells of a sender of ours: another program's, or one that was damaged
    /// beyond recognition, or damaged and too short (below 32 bytes) to be recognised.
    Foreign,
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
        let (due_ns, identity) = (word_at(payload, 0)?, word_at(payload, 8)?);
        Some(Self { sender: identity as u32, sequence: (identity >> 32) as u32, due_ns })
    }

    /// When the message was really sent, unchecked; `None` when the payload is too short to say so.
    #[must_use]
    pub fn peek_sent_ns(payload: &[u8]) -> Option<u64> {
        word_at(payload, Self::LEN)
    }

    /// Writes a whole payload for a message that is sent when it is due.
    pub fn fill(self, payload: &mut [u8]) {
        self.fill_sent_at(self.due_ns, payload);
    }

    /// Writes a whole payload: the stamp, the moment of sending and the pattern behind them, as far as they fit. A
    /// payload shorter than a stamp is zeroed.
    pub fn fill_sent_at(self, sent_ns: u64, payload: &mut [u8]) {
        let Some((head, rest)) = payload.split_first_chunk_mut() else {
            payload.fill(0);
            return;
        };
        *head = self.to_bytes();
        let (mut word, rest) = match rest.split_first_chunk_mut() {
            Some((sent, rest)) => {
                *sent = sent_ns.to_le_bytes();
                (self.pattern_seed(sent_ns), rest)
            }
            None => (self.pattern_seed(0), rest),
        };
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
        let (mut word, from) = match Self::peek_sent_ns(payload) {
            Some(sent_ns) => (stamp.pattern_seed(sent_ns), Self::LEN + 8),
            None => (stamp.pattern_seed(0), Self::LEN),
        };
        let (mut difference, seed) = (0, word);
        let (words, tail) = payload[from..].as_chunks::<8>();
        for chunk in words {
            difference |= u64::from_le_bytes(*chunk) ^ word;
            word = word.wrapping_add(PATTERN_STEP);
        }
        if difference == 0 && *tail == word.to_le_bytes()[..tail.len()] {
            Reading::Intact(stamp)
        } else if is_recognisable(words, seed) {
            Reading::Corrupted
        } else {
            Reading::Foreign
        }
    }

    fn pattern_seed(self, sent_ns: u64) -> u64 {
        mix((u64::from(self.sender) << 32 | u64::from(self.sequence)) ^ mix(self.due_ns ^ mix(sent_ns)))
    }
}

/// Whether any of the pattern is left: two words that follow each other as in every pattern, or the first word as the head has
/// it. A payload of another origin meets either by chance once in 2^64 words.
fn is_recognisable(words: &[[u8; 8]], seed: u64) -> bool {
    let mut words = words.iter().copied().map(u64::from_le_bytes);
    let Some(mut before) = words.next() else { return false };
    // A payload of zeros has a pattern that begins with zero.
    before == seed && seed != 0
        || words.any(|word| word.wrapping_sub(std::mem::replace(&mut before, word)) == PATTERN_STEP)
}

fn word_at(payload: &[u8], at: usize) -> Option<u64> {
    payload.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Odd, so that the pattern of one payload does not repeat; added, not mixed, so that filling and checking stay at a
/// few instructions per word.
const PATTERN_STEP: u64 = 0x9E37_79B9_7F4A_7C15;

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { sender: 0x0403_0201, sequence: 0x0807_0605, due_ns: 0x1817_1615_1413_1211 };

    #[test]
    fn layout_is_due_sender_sequence_sent_little_endian() {
        let expected = [0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(STAMP.to_bytes(), expected);
        assert_eq!(Stamp::peek(&expected), Some(STAMP));
        assert_eq!(Stamp::peek(&expected[..15]), None);
        let mut payload = [0; 24];
        STAMP.fill_sent_at(0x2827_2625_2423_2221, &mut payload);
        assert_eq!(payload[..16], expected);
        assert_eq!(payload[16..], [0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28]);
        assert_eq!(Stamp::peek_sent_ns(&payload), Some(0x2827_2625_2423_2221));
        assert_eq!(Stamp::peek_sent_ns(&payload[..23]), None);
    }

    #[test]
    fn every_length_reads_back_and_every_flipped_bit_is_noticed() {
        for len in 0..80 {
            let mut payload = vec![0xEE; len];
            STAMP.fill_sent_at(77, &mut payload);
            if len < Stamp::LEN {
                assert_eq!(Stamp::read(&payload), Reading::Unstamped);
                continue;
            }
            assert_eq!(Stamp::read(&payload), Reading::Intact(STAMP));
            // Without eight bytes of pattern, damage to the head goes unnoticed (16, 24) or is noticed by chance.
            let checked_from = match len {
                0..24 => Stamp::LEN,
                24..32 => Stamp::LEN + 8,
                _ => 0,
            };
            for bit in checked_from * 8..len * 8 {
                payload[bit / 8] ^= 1 << (bit % 8);
                // Recognised by what is left of the pattern: its first word under an intact head, or two words in a row.
                let in_pattern = (Stamp::LEN + 8) * 8..(Stamp::LEN + 16) * 8;
                let recognised = match len {
                    ..32 => false,
                    32..40 => bit >= in_pattern.end,
                    40..48 => !in_pattern.contains(&bit),
                    _ => true,
                };
                let expected = if recognised { Reading::Corrupted } else { Reading::Foreign };
                assert_eq!(Stamp::read(&payload), expected, "length {len}, bit {bit}");
                payload[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn swapped_bytes_are_noticed() {
        let mut payload = [0; 64];
        STAMP.fill(&mut payload);
        payload.swap(30, 41);
        assert_eq!(Stamp::read(&payload), Reading::Corrupted);
    }

    #[test]
    fn what_others_write_is_foreign() {
        let text = br#"{"temperature": 21.5, "unit": "C", "device": "sensor-0017", "sequence": 4}"#;
        let ramp: Vec<u8> = (0..=255).collect();
        let noise: Vec<u8> = (0..32).flat_map(|n| mix(n).to_le_bytes()).collect();
        for payload in [&text[..], &[0; 64], &[0xFF; 300], &ramp, &noise] {
            assert_eq!(Stamp::read(payload), Reading::Foreign, "{payload:?}");
        }
        let mut scrambled = [0; 64];
        STAMP.fill(&mut scrambled);
        scrambled.iter_mut().for_each(|byte| *byte ^= 0x55);
        assert_eq!(Stamp::read(&scrambled), Reading::Foreign, "beyond recognition");
    }
}
