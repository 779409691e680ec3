//! A file of `/proc` or `/sys` that stays open and is read again from its start.
//!
//! An open file of a process belongs to that very process: when it ends, reads fail, even if its id is used again.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open file and the buffer that its text is read into.
#[derive(Debug)]
pub(crate) struct ProcFile {
    file: File,
    buffer: Vec<u8>,
}

impl ProcFile {
    /// Opens a file.
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<ProcFile> {
        Ok(ProcFile { file: File::open(path)?, buffer: vec![0; 4096] })
    }

    /// Reads the whole text as it is now. The kernel makes these texts while they are read, so a text that fills the
    /// buffer is read again into a larger one rather than continued: all its numbers are then of one moment.
    pub(crate) fn read(&mut self) -> io::Result<&str> {
        let mut filled = 0;
        loop {
            match self.file.read_at(&mut self.buffer[filled..], filled as u64)? {
                0 => break,
                read => filled += read,
            }
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
                filled = 0;
            }
        }
        std::str::from_utf8(&self.buffer[..filled]).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
