//! A cursor over the body of one packet. Every read is bounds-checked and says which statement a failure breaks.

use crate::error::DecodeError;
use crate::frame;
use crate::topic::contains_any;

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that is left.
    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) =
            self.rest.split_at_checked(count).ok_or(DecodeError::Malformed("packet ends inside a field"))?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        let (&byte, rest) = self.rest.split_first().ok_or(DecodeError::Malformed("packet ends inside a field"))?;
        self.rest = rest;
        Ok(byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        let (head, rest) =
            self.rest.split_first_chunk::<2>().ok_or(DecodeError::Malformed("packet ends inside a field"))?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*head))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        let (head, rest) =
            self.rest.split_first_chunk::<4>().ok_or(DecodeError::Malformed("packet ends inside a field"))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*head))
    }

    /// A variable byte integer (section 1.5.5).
    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let (value, length) =
            frame::decode_varint(self.rest)?.ok_or(DecodeError::Malformed("packet ends inside a field"))?;
        if length > frame::varint_len(value) {
            return Err(DecodeError::Malformed("variable byte integer not in its shortest form [MQTT-1.5.5-1]"));
        }
        self.rest = &self.rest[length..];
        Ok(value)
    }

    /// Binary data with its two-byte length (section 1.5.6).
    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    /// A UTF-8 encoded string (section 1.5.4): well-formed, no surrogates, no U+0000.
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("ill-formed UTF-8 [MQTT-1.5.4-1]"))?;
        if contains_any(bytes, [0]) {
            return Err(DecodeError::Malformed("U+0000 in a string [MQTT-1.5.4-2]"));
        }
        Ok(text)
    }

    /// A packet identifier, which is never zero.
    pub(crate) fn packet_id(&mut self) -> Result<u16, DecodeError> {
        match self.u16()? {
            0 => Err(DecodeError::Protocol("packet identifier 0 [MQTT-2.2.1-3]")),
            id => Ok(id),
        }
    }

    /// Fails when bytes are left over.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::Malformed("bytes after the end of the packet")) }
    }
}
