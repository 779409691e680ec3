//! `--part K/N`: one of several processes, each on a host of its own, that share a load.
//!
//! Each takes its part of the clients at its part of the rates, and numbers them as one process with all of them would, so
//! that ids and topics are those of the whole. Sender numbers tell the parts apart: a receiver counts the messages of the other
//! parts and does not time them, because their due times are of another host's clock.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Which part of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Part {
    /// From 1.
    number: u32,
    of: u32,
}

impl Part {
    /// Clients before this part's, and clients of it, when there are so many in all.
    pub(crate) fn clients(self, all: u32) -> (u32, u32) {
        let until = |part: u32| (u64::from(all) * u64::from(part) / u64::from(self.of)) as u32;
        let before = until(self.number - 1);
        (before, until(self.number) - before)
    }

    /// How many parts there are.
    pub(crate) fn of(self) -> u32 {
        self.of
    }

    /// The first number of the senders of this process, from one drawn at random.
    pub(crate) fn first_sender(self, drawn: u32) -> u32 {
        // Half of a part's numbers: the clients are counted on from here.
        self.number << Self::SHIFT | drawn & (u32::MAX >> (32 - Self::SHIFT + 1))
    }

    /// Whether a message of this sender carries times of this host's clock.
    pub(crate) fn is_of_this_host(self, sender: u32) -> bool {
        sender >> Self::SHIFT == self.number
    }

    /// 33 million senders for each part.
    const SHIFT: u32 = 26;
    /// The upper bits of a sender's number.
    const MAX: u32 = 63;
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is no part: write it like 2/3, at most {0}/{0}", Self::MAX);
        let (number, of) = text.split_once('/').ok_or_else(bad)?;
        let (number, of) = (number.parse().map_err(|_| bad())?, of.parse().map_err(|_| bad())?);
        if (1..=of).contains(&number) && of <= Self::MAX { Ok(Self { number, of }) } else { Err(bad()) }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        text.parse().expect("a part")
    }

    #[test]
    fn parts_are_the_whole() {
        for (all, of) in [(10, 1), (10, 3), (2, 3), (16_000_000, 63)] {
            let mut next = 0;
            for number in 1..=of {
                let (before, clients) = part(&format!("{number}/{of}")).clients(all);
                assert_eq!(before, next, "{number}/{of} of {all}");
                next += clients;
            }
            assert_eq!(next, all);
        }
    }

    #[test]
    fn senders_of_a_part_are_known_by_their_numbers() {
        let (one, last) = (part("1/63"), part("63/63"));
        for drawn in [0, 12_345, u32::MAX] {
            let first = last.first_sender(drawn);
            for sender in [first, first + 16_000_000] {
                assert!(last.is_of_this_host(sender) && !one.is_of_this_host(sender), "{sender:#x}");
            }
        }
    }

    #[test]
    fn what_is_no_part_is_refused() {
        for text in ["", "1", "0/2", "3/2", "1/64", "-1/2", "1/x", "1/2/3"] {
            assert!(text.parse::<Part>().is_err(), "{text}");
        }
    }
}
