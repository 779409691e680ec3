//! Topic names and topic filters (section 4.7): text that has been checked once and need not be checked again.

use crate::error::DecodeError;

/// A topic name: what a message is published to. Not empty, no wildcard characters, no U+0000, at most 65,535 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks a topic name.
    ///
    /// # Errors
    /// [`DecodeError::TopicName`] with the rule that it breaks.
    pub fn new(text: &'a str) -> Result<Self, DecodeError> {
        if text.is_empty() {
            return Err(DecodeError::TopicName("empty [MQTT-4.7.3-1]"));
        }
        if text.len() > 65_535 {
            return Err(DecodeError::TopicName("longer than 65,535 bytes [MQTT-4.7.3-3]"));
        }
        if contains_any(text.as_bytes(), [b'+', b'#']) {
            return Err(DecodeError::TopicName("wildcard character [MQTT-3.3.2-2]"));
        }
        if contains_any(text.as_bytes(), [0]) {
            return Err(DecodeError::TopicName("U+0000 [MQTT-4.7.3-2]"));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the topic begins with `$`, so that leading wildcards do not match it (section 4.7.2).
    #[must_use]
    pub fn is_system(self) -> bool {
        self.0.starts_with('$')
    }
}

/// A topic filter: what a client subscribes to. `+` stands for one whole level, a final `#` for any number of levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks a topic filter. A filter of the form `$share/{name}/{filter}` is checked as a shared subscription.
    ///
    /// # Errors
    /// [`DecodeError::TopicFilter`] with the rule that it breaks.
    pub fn new(text: &'a str) -> Result<Self, DecodeError> {
        if text.is_empty() {
            return Err(DecodeError::TopicFilter("empty [MQTT-4.7.3-1]"));
        }
        if text.len() > 65_535 {
            return Err(DecodeError::TopicFilter("longer than 65,535 bytes [MQTT-4.7.3-3]"));
        }
        let mut previous = b'/';
        let bytes = text.as_bytes();
        for (index, &byte) in bytes.iter().enumerate() {
            let next = bytes.get(index + 1).copied();
            match byte {
                0 => return Err(DecodeError::TopicFilter("U+0000 [MQTT-4.7.3-2]")),
                b'#' if previous != b'/' || next.is_some() => {
                    return Err(DecodeError::TopicFilter("'#' is not the whole of the last level [MQTT-4.7.1-1]"));
                }
                b'+' if previous != b'/' || next.is_some_and(|b| b != b'/') => {
                    return Err(DecodeError::TopicFilter("'+' is not a whole level [MQTT-4.7.1-2]"));
                }
                _ => {}
            }
            previous = byte;
        }
        let filter = Self(text);
        if text.starts_with(SharedFilter::PREFIX) {
            SharedFilter::parse(text)?;
        }
        Ok(filter)
    }

    /// The text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether the filter has a wildcard.
    #[must_use]
    pub fn has_wildcard(self) -> bool {
        self.0.bytes().any(|b| b == b'+' || b == b'#')
    }

    /// The parts of a shared subscription, or `None` for an ordinary filter.
    #[must_use]
    pub fn shared(self) -> Option<SharedFilter<'a>> {
        if self.0.starts_with(SharedFilter::PREFIX) { SharedFilter::parse(self.0).ok() } else { None }
    }
}

/// A shared subscription `$share/{name}/{filter}` (section 4.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedFilter<'a> {
    /// The name that its subscribers share.
    pub name: &'a str,
    /// The filter that messages must match.
    pub filter: TopicFilter<'a>,
}

impl<'a> SharedFilter<'a> {
    const PREFIX: &'static str = "$share/";

    fn parse(text: &'a str) -> Result<Self, DecodeError> {
        let rest = text.strip_prefix(Self::PREFIX).unwrap_or_default();
        let (name, filter) =
            rest.split_once('/').ok_or(DecodeError::TopicFilter("share name without a filter [MQTT-4.8.2-2]"))?;
        if name.is_empty() || name.contains(['+', '#']) {
            return Err(DecodeError::TopicFilter("share name empty or with a wildcard [MQTT-4.8.2-1]"));
        }
        if filter.is_empty() {
            return Err(DecodeError::TopicFilter("share name without a filter [MQTT-4.8.2-2]"));
        }
        Ok(Self { name, filter: TopicFilter(filter) })
    }
}

/// Whether any of these bytes is among `bytes`. Looks at eight bytes at a time: every topic of every message passes here.
pub(crate) fn contains_any<const N: usize>(bytes: &[u8], wanted: [u8; N]) -> bool {
    const LOW: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let found_in = |chunk: [u8; 8]| {
        let word = u64::from_ne_bytes(chunk);
        wanted.iter().fold(0, |found, &byte| {
            // The high bit of a byte that is zero after the exclusive or, and of none where there is no such byte.
            let difference = word ^ (LOW * u64::from(byte));
            found | (difference.wrapping_sub(LOW) & !difference & HIGH)
        })
    };
    let Some(last) = bytes.last_chunk::<8>() else { return bytes.iter().any(|byte| wanted.contains(byte)) };
    // The last chunk overlaps the one before it unless the length is a multiple of eight.
    bytes.as_chunks::<8>().0.iter().fold(found_in(*last), |found, chunk| found | found_in(*chunk)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_of_several_bytes_at_every_place() {
        for length in 0..40 {
            let mut bytes: Vec<u8> = (0..length).map(|n| [b'a', 0x80, 0xFF, 1, b'"'][n % 5]).collect();
            assert!(!contains_any(&bytes, [0, b'#']), "{bytes:?}");
            for place in 0..length {
                let before = std::mem::replace(&mut bytes[place], if place % 2 == 0 { 0 } else { b'#' });
                assert!(contains_any(&bytes, [0, b'#']) && !contains_any(&bytes, [b'+']), "{bytes:?}");
                bytes[place] = before;
            }
        }
    }

    #[test]
    fn names() {
        for good in ["a", "/", "/a", "a/", "a//b", "$SYS/x", " ", "Ä/ö"] {
            assert_eq!(TopicName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "+", "#", "a/+", "a/#", "a+b", "\0", &"a".repeat(65_536)] {
            TopicName::new(bad).unwrap_err();
        }
    }

    #[test]
    fn filters() {
        for good in ["a", "/", "+", "#", "+/+", "/+", "a/#", "a/+/b", "+/a/#", "$SYS/#", "$share/g/a/+", "$share/g//"] {
            assert_eq!(TopicFilter::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a#",
            "a/#/b",
            "##",
            "a+",
            "+a",
            "a/b+/c",
            "a\0",
            "$share/",
            "$share/g",
            "$share/g/",
            "$share//a",
            "$share/+/a",
        ] {
            TopicFilter::new(bad).unwrap_err();
        }
        let shared = TopicFilter::new("$share/g/a/+").unwrap().shared().unwrap();
        assert_eq!((shared.name, shared.filter.as_str()), ("g", "a/+"));
        assert!(TopicFilter::new("$shared/g/a").unwrap().shared().is_none());
    }
}
