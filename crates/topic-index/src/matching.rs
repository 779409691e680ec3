//! The matching rule of MQTT 5.0, section 4.7 (and of 3.1.1, section 4.7: they are the same).

/// Tells whether a valid topic filter matches a valid topic name.
///
/// `+` stands for exactly one level, which may be empty; `#`, as the last level, for its parent and any number of
/// levels below it. A filter whose first level is a wildcard matches no topic that begins with `$`
/// ([MQTT-4.7.2-1]); all else is compared byte by byte.
///
/// ```
/// use topic_index::matches;
/// assert!(matches("sport/tennis/+", "sport/tennis/player1"));
/// assert!(matches("sport/#", "sport"));
/// assert!(!matches("#", "$SYS/uptime"));
/// ```
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let hidden = is_hidden(topic) && filter.starts_with(['+', '#']);
    !hidden && levels_match(filter.as_bytes(), topic.as_bytes())
}

/// Whether leading wildcards pass this topic by ([MQTT-4.7.2-1]).
pub(crate) fn is_hidden(topic: &str) -> bool {
    topic.starts_with('$')
}

/// Whether a valid filter holds a wildcard: in a valid filter these characters are nothing else.
pub(crate) fn has_wildcard(filter: &str) -> bool {
    filter.bytes().any(|byte| byte == b'+' || byte == b'#')
}

/// The rule without its exception for `$`: for the part of a filter and of a topic below a common node.
pub(crate) fn levels_match(filter: &[u8], topic: &[u8]) -> bool {
    let (mut filter, mut topic) = (Some(filter), Some(topic));
    loop {
        match (filter.map(split_level), topic.map(split_level)) {
            (Some((b"#", None)), _) | (None, None) => return true,
            (Some((wanted, filter_rest)), Some((level, topic_rest))) if wanted == b"+" || wanted == level => {
                (filter, topic) = (filter_rest, topic_rest);
            }
            _ => return false,
        }
    }
}

/// Splits the first level from what follows its separator; `None` when nothing follows, not even an empty level.
pub(crate) fn split_level(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match separator(text) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    }
}

/// Where the first `/` is. Eight bytes at a time: levels are short, and their lengths are what a branch predictor cannot
/// know.
#[inline]
fn separator(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    const SLASHES: u64 = u64::from_le_bytes([b'/'; 8]);
    let (chunks, rest) = text.as_chunks::<8>();
    for (nth, chunk) in chunks.iter().enumerate() {
        // A byte of `zeros` is zero where the text has a slash; the lowest high bit of `found` is at the first of them.
        let zeros = u64::from_le_bytes(*chunk) ^ SLASHES;
        let found = zeros.wrapping_sub(ONES) & !zeros & HIGHS;
        if found != 0 {
            return Some(nth * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|byte| *byte == b'/').map(|at| chunks.len() * 8 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_found_wherever_they_are() {
        for length in 0..40 {
            for at in 0..length {
                // Bytes that differ from '/' in one bit, or carry into their neighbour.
                for other in [b'.', b'0', 0xAF, 0x00, 0x80, 0xFF] {
                    let mut text = vec![other; length];
                    assert_eq!(separator(&text), None);
                    text[at] = b'/';
                    assert_eq!(separator(&text), Some(at));
                    text[length - 1] = b'/';
                    assert_eq!(separator(&text), Some(at));
                }
            }
        }
    }
}
