//! A text that is never changed, in 24 bytes when it is short.

/// The longest text that needs no allocation of its own.
const SHORT_MAX: usize = 22;

/// The bytes of a topic, of a filter or of a part of one.
///
/// Most of them are short, and there may be millions: a `Box` for each would cost its own pointer, the allocator's
/// header and rounding, and a cache miss at every comparison.
#[derive(Clone)]
pub(crate) enum Text {
    Short { len: u8, bytes: [u8; SHORT_MAX] },
    Long(Box<[u8]>),
}

impl Text {
    pub(crate) fn new(text: &[u8]) -> Self {
        if text.len() > SHORT_MAX {
            return Self::Long(text.into());
        }
        let mut bytes = [0; SHORT_MAX];
        bytes[..text.len()].copy_from_slice(text);
        Self::Short { len: text.len() as u8, bytes }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => &bytes[..usize::from(*len)],
            Self::Long(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_every_length_and_stays_small() {
        let long: Vec<u8> = (0..=255).collect();
        for len in 0..long.len() {
            let text = Text::new(&long[..len]);
            assert_eq!(text.bytes(), &long[..len]);
            assert_eq!(matches!(text, Text::Long(_)), len > SHORT_MAX);
        }
        assert_eq!(size_of::<Text>(), 24);
    }
}
