//! What became of a sender's messages, as one receiver sees it.
//!
//! A *stream* is the sequence numbers of one sender as they reach one receiver. In the normal case they arrive as
//! 0, 1, 2, ... and a stream is one number. Each departure is classified at once:
//!
//! - a jump ahead opens a *gap*; the numbers in it are lost until they arrive;
//! - a number out of a gap is *out of order*: it was overtaken, and it is not lost any more;
//! - any other number that is not ahead was delivered before: *duplicated*.
//!
//! Memory is bounded: a stream remembers at most [`GAPS_MAX`] gaps. When one more opens, the oldest is given up: its
//! numbers stay lost, and a message that still comes out of it is *stale*, as nothing tells any more whether it is a
//! duplicate or merely late.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// Gaps that one stream remembers. A stream that has this many holes at once is broken beyond doubt.
pub const GAPS_MAX: usize = 256;

/// How one message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first message of this stream; it is the receiver's business whether earlier ones should have come
    /// ([`Receipts::expect_from`]).
    First,
    /// The expected number.
    InOrder,
    /// Ahead of the expected number; so many are missing between.
    AfterGap(u64),
    /// Overtaken by a later message, but delivered once.
    OutOfOrder,
    /// Delivered before.
    Duplicated,
    /// Older than everything that is remembered.
    Stale,
}

/// The sums over all streams.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Distinct messages that arrived.
    pub delivered: u64,
    /// Messages that never arrived although a later one of their sender did, without those that expired.
    pub lost: u64,
    /// Messages that never arrived because their time was over ([`Receipts::expire`]).
    pub expired: u64,
    /// Arrivals of a message that had been delivered before.
    pub duplicated: u64,
    /// Messages that were delivered once, but after a later one of their sender.
    pub out_of_order: u64,
    /// Arrivals that are too old to be judged.
    pub stale: u64,
}

impl Totals {
    /// Adds another receiver's sums.
    pub fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.expired += other.expired;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.stale += other.stale;
    }
}

/// What became of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSummary {
    /// Numbers from 0 to before the first one that was, or should have been, received.
    pub skipped: u64,
    /// Distinct messages that arrived.
    pub delivered: u64,
    /// Further copies, and arrivals that are too old to be judged.
    pub duplicated: u64,
    /// Messages that arrived after a later one.
    pub out_of_order: u64,
    /// Missing messages whose time was over.
    pub expired: u64,
}

/// The streams of one or many receivers; the caller chooses the key, typically (receiver, sender).
#[derive(Debug, Default)]
pub struct Receipts {
    streams: HashMap<u64, Stream, BuildHasherDefault<KeyHasher>>,
    totals: Totals,
    /// Of the streams that are not as they should be: an orderly one pays nothing for it.
    disorder: HashMap<u64, Disorder, BuildHasherDefault<KeyHasher>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Disorder {
    duplicated: u64,
    out_of_order: u64,
    expired: u64,
}

impl Receipts {
    /// No streams yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Records an arrival and says what it was. Sequence numbers may wrap around: a number is taken as the nearest one
    /// to what is expected.
    pub fn record(&mut self, key: u64, sequence: u32) -> Arrival {
        let arrival = match self.streams.entry(key) {
            Entry::Vacant(vacant) => {
                vacant.insert(Stream::starting_at(sequence));
                Arrival::First
            }
            Entry::Occupied(stream) => stream.into_mut().record(sequence),
        };
        match arrival {
            Arrival::First | Arrival::InOrder => self.totals.delivered += 1,
            Arrival::AfterGap(missing) => {
                self.totals.delivered += 1;
                self.totals.lost += missing;
            }
            Arrival::OutOfOrder => {
                self.totals.delivered += 1;
                self.totals.out_of_order += 1;
                let missing = self.streams.get(&key).map_or(0, Stream::missing);
                let disorder = self.disorder.entry(key).or_default();
                disorder.out_of_order += 1;
                // One that was thought expired has come, if fewer are missing than have expired.
                if disorder.expired > missing {
                    disorder.expired -= 1;
                    self.totals.expired -= 1;
                } else {
                    self.totals.lost -= 1;
                }
            }
            Arrival::Duplicated => {
                self.totals.duplicated += 1;
                self.disorder.entry(key).or_default().duplicated += 1;
            }
            Arrival::Stale => {
                self.totals.stale += 1;
                self.disorder.entry(key).or_default().duplicated += 1;
            }
        }
        arrival
    }

    /// Records an arrival of a stream that several receivers divide among themselves and whose sockets are read in any order:
    /// the first message recorded need not be the first one of the stream, and nobody can say that one was overtaken.
    pub fn record_divided(&mut self, key: u64, sequence: u32) -> Arrival {
        self.expect_from(key, sequence);
        let arrival = self.record(key, sequence);
        if arrival == Arrival::OutOfOrder {
            self.totals.out_of_order -= 1;
            if let Some(disorder) = self.disorder.get_mut(&key) {
                disorder.out_of_order -= 1;
            }
        }
        arrival
    }

    /// Says that the messages from `sequence` on should have arrived too, where the stream begins with a later one. They
    /// are a gap like any other: lost until they arrive.
    pub fn expect_from(&mut self, key: u64, sequence: u32) {
        if let Some(stream) = self.streams.get_mut(&key) {
            let number = stream.nearest(sequence);
            self.totals.lost += stream.expect_from(number);
        }
    }

    /// Says that `count` of the missing messages of a stream have expired on their way: they are not lost. No more than are
    /// missing are counted.
    pub fn expire(&mut self, key: u64, count: u64) {
        let missing = self.streams.get(&key).map_or(0, Stream::missing);
        let disorder = self.disorder.entry(key).or_default();
        let count = count.min(missing - disorder.expired);
        disorder.expired += count;
        self.totals.expired += count;
        self.totals.lost -= count;
    }

    /// The sums so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Every stream: its key and what became of it.
    pub fn iter(&self) -> impl Iterator<Item = (u64, StreamSummary)> {
        self.streams.iter().map(|(key, stream)| {
            let Disorder { duplicated, out_of_order, expired } = self.disorder.get(key).copied().unwrap_or_default();
            (*key, StreamSummary { duplicated, out_of_order, expired, ..stream.summary() })
        })
    }

    /// Streams seen so far.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

/// One stream. Numbers are held in 64 bits, offset by 2^32, so that a wrapped or a late number needs no special case.
#[derive(Debug)]
struct Stream {
    /// The number that is expected next.
    next: u64,
    /// The first number that was seen; nothing below it is known unless a gap says so.
    first: u64,
    /// Only while something is missing.
    gaps: Option<Box<Gaps>>,
}

/// What is missing of a stream: disjoint ascending ranges `start..end`.
#[derive(Debug, Default)]
struct Gaps {
    ranges: Vec<(u64, u64)>,
    /// Numbers below this one are not remembered any more.
    floor: u64,
    /// How many were missing when they were given up.
    given_up: u64,
}

impl Stream {
    fn starting_at(sequence: u32) -> Self {
        let first = OFFSET + u64::from(sequence);
        Self { next: first + 1, first, gaps: None }
    }

    fn summary(&self) -> StreamSummary {
        StreamSummary {
            skipped: self.first.saturating_sub(OFFSET),
            delivered: self.next - self.first - self.missing(),
            duplicated: 0,
            out_of_order: 0,
            expired: 0,
        }
    }

    fn missing(&self) -> u64 {
        self.gaps.as_ref().map_or(0, |gaps| gaps.missing())
    }

    fn record(&mut self, sequence: u32) -> Arrival {
        let number = self.nearest(sequence);
        if number == self.next {
            self.next += 1;
            return Arrival::InOrder;
        }
        if number > self.next {
            let missing = number - self.next;
            self.gaps.get_or_insert_default().open(self.next, number);
            self.next = number + 1;
            return Arrival::AfterGap(missing);
        }
        let Some(gaps) = &mut self.gaps else {
            return if number < self.first { Arrival::Stale } else { Arrival::Duplicated };
        };
        let arrival = gaps.close(number);
        if gaps.ranges.is_empty() && gaps.floor == 0 {
            self.gaps = None;
        }
        if arrival == Arrival::Duplicated && number < self.first { Arrival::Stale } else { arrival }
    }

    /// The 64-bit number that `sequence` stands for: the one nearest to what is expected.
    fn nearest(&self, sequence: u32) -> u64 {
        let ahead = sequence.wrapping_sub(self.next as u32).cast_signed();
        self.next.wrapping_add_signed(i64::from(ahead))
    }

    fn expect_from(&mut self, number: u64) -> u64 {
        let start = number.max(OFFSET);
        let missing = self.first.saturating_sub(start);
        if missing > 0 {
            let gaps = self.gaps.get_or_insert_default();
            gaps.ranges.insert(0, (start, self.first));
            self.first = start;
        }
        missing
    }
}

impl Gaps {
    fn missing(&self) -> u64 {
        self.given_up + self.ranges.iter().map(|(start, end)| end - start).sum::<u64>()
    }

    fn give_up_oldest(&mut self) {
        let (start, end) = self.ranges.remove(0);
        self.given_up += end - start;
        self.floor = end;
    }

    fn open(&mut self, start: u64, end: u64) {
        if self.ranges.len() == GAPS_MAX {
            self.give_up_oldest();
        }
        self.ranges.push((start, end));
    }

    fn close(&mut self, number: u64) -> Arrival {
        if number < self.floor {
            return Arrival::Stale;
        }
        let at = self.ranges.partition_point(|(_, end)| *end <= number);
        let Some((start, end)) = self.ranges.get(at).copied().filter(|(start, _)| *start <= number) else {
            return Arrival::Duplicated;
        };
        match (number == start, number + 1 == end) {
            (true, true) => {
                self.ranges.remove(at);
            }
            (true, false) => self.ranges[at].0 += 1,
            (false, true) => self.ranges[at].1 -= 1,
            (false, false) => self.split(at, number),
        }
        Arrival::OutOfOrder
    }

    /// Takes a number out of the middle of a gap. A split makes one more gap, and so may give up the oldest.
    fn split(&mut self, at: usize, number: u64) {
        let (start, end) = self.ranges[at];
        self.ranges[at] = (number + 1, end);
        self.ranges.insert(at, (start, number));
        if self.ranges.len() > GAPS_MAX {
            self.give_up_oldest();
        }
    }
}

/// Room below the first number, so that a late one does not underflow.
const OFFSET: u64 = 1 << 32;

/// Keys are made of small numbers by this program, not by an adversary: one multiplication spreads them enough.
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * u128::from(crate::rng::GOLDEN_GAMMA);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(numbers: &[u32]) -> (Vec<Arrival>, Totals) {
        let mut receipts = Receipts::new();
        let arrivals = numbers.iter().map(|number| receipts.record(9, *number)).collect();
        (arrivals, receipts.totals())
    }

    #[test]
    fn classifies_each_departure_from_the_order() {
        use Arrival::{AfterGap, Duplicated, First, InOrder, OutOfOrder, Stale};
        let (arrivals, totals) = play(&[5, 6, 9, 7, 7, 9, 10, 4]);
        assert_eq!(arrivals, [First, InOrder, AfterGap(2), OutOfOrder, Duplicated, Duplicated, InOrder, Stale]);
        assert_eq!(totals, Totals { delivered: 5, lost: 1, expired: 0, duplicated: 2, out_of_order: 1, stale: 1 });
    }

    #[test]
    fn each_stream_is_summed_up() {
        let mut receipts = Receipts::new();
        [5, 6, 9, 7, 7, 9, 10, 4].iter().for_each(|number| {
            receipts.record(9, *number);
        });
        receipts.expect_from(9, 3);
        receipts.record(1, 0);
        let mut summaries: Vec<_> = receipts.iter().collect();
        summaries.sort_unstable_by_key(|(key, _)| *key);
        let orderly = StreamSummary { skipped: 0, delivered: 1, duplicated: 0, out_of_order: 0, expired: 0 };
        assert_eq!(summaries[0], (1, orderly));
        // Two before the first were expected and never came; 8 never came; 4 came too early to be judged.
        let disorderly = StreamSummary { skipped: 3, delivered: 5, duplicated: 3, out_of_order: 1, expired: 0 };
        assert_eq!(summaries[1], (9, disorderly));
    }

    #[test]
    fn numbers_wrap_around() {
        let (arrivals, totals) = play(&[u32::MAX - 1, u32::MAX, 0, 2, 1, u32::MAX]);
        assert_eq!(arrivals[2], Arrival::InOrder);
        assert_eq!(totals, Totals { delivered: 5, duplicated: 1, out_of_order: 1, ..Totals::default() });
    }

    #[test]
    fn what_was_expected_before_the_first_is_lost_until_it_comes() {
        let mut receipts = Receipts::new();
        receipts.record(1, 3);
        receipts.expect_from(1, 0);
        receipts.expect_from(1, 2);
        receipts.expect_from(2, 10);
        assert_eq!(receipts.totals().lost, 3);
        assert_eq!(receipts.record(1, 1), Arrival::OutOfOrder);
        assert_eq!(receipts.record(1, 1), Arrival::Duplicated);
        assert_eq!(
            receipts.totals(),
            Totals { delivered: 2, lost: 2, duplicated: 1, out_of_order: 1, ..Totals::default() }
        );
    }

    #[test]
    fn a_divided_stream_may_begin_in_the_middle_and_has_no_order() {
        let mut receipts = Receipts::new();
        let arrivals = [2, 6, 0, 4, 1, 2].map(|number| receipts.record_divided(1, number));
        use Arrival::{AfterGap, Duplicated, First, OutOfOrder};
        assert_eq!(arrivals, [First, AfterGap(3), OutOfOrder, OutOfOrder, OutOfOrder, Duplicated]);
        assert_eq!(receipts.totals(), Totals { delivered: 5, lost: 2, duplicated: 1, ..Totals::default() });
        let (_, stream) = receipts.iter().next().unwrap();
        assert_eq!((stream.skipped, stream.delivered, stream.out_of_order), (0, 5, 0));
    }

    #[test]
    fn what_has_expired_is_not_lost_unless_it_comes_after_all() {
        let mut receipts = Receipts::new();
        [0, 5].iter().for_each(|number| {
            receipts.record(1, *number);
        });
        receipts.expire(1, 3);
        assert_eq!(receipts.totals(), Totals { delivered: 2, lost: 1, expired: 3, ..Totals::default() });
        receipts.expire(1, 3);
        assert_eq!((receipts.totals().lost, receipts.totals().expired), (0, 4), "no more than are missing");
        receipts.expire(2, 3);
        receipts.record(1, 4);
        assert_eq!((receipts.totals().lost, receipts.totals().expired), (0, 3), "one has come");
        receipts.record(1, 9);
        receipts.record(1, 7);
        assert_eq!((receipts.totals().lost, receipts.totals().expired), (2, 3), "one that was lost has come");
        assert_eq!(receipts.iter().find(|(key, _)| *key == 1).unwrap().1.expired, 3);
    }

    #[test]
    fn a_stream_with_too_many_gaps_gives_up_the_oldest_and_keeps_counting() {
        let mut receipts = Receipts::new();
        let gaps = GAPS_MAX as u32 + 2;
        (0..=gaps).for_each(|index| {
            receipts.record(1, index * 2);
        });
        assert_eq!(receipts.totals().lost, u64::from(gaps));
        assert_eq!(receipts.record(1, 1), Arrival::Stale, "the oldest gap was given up");
        assert_eq!(receipts.record(1, 5), Arrival::OutOfOrder, "the third oldest was not");
        assert_eq!(receipts.totals().lost, u64::from(gaps) - 1);
        assert_eq!(receipts.totals().stale, 1);
    }

    #[test]
    fn an_orderly_stream_is_small() {
        assert!(size_of::<(u64, Stream)>() <= 32);
    }
}
