//! Reading a CSV file of any size, of which any line may be damaged, a block of rows at a time.
//!
//! [`Rows`] holds one block in memory, however long the file is. It keeps whole rows and reports every other line; what
//! counts as damage is decided here alone, and [`crate::table`] reads through it. A quoted cell may hold commas and doubled
//! quotes, but no line break: a stray quote costs its line and not the rest of the file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::columns::{self, Kind};
use crate::error::Warnings;
use crate::{Error, Result, Warning};

/// What becomes of a damaged row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// It is dropped: nothing is known of it for sure.
    Drop,
    /// It is used as the guide's script uses it: missing cells are empty, surplus ones ignored, and the last line counts even
    /// without its end.
    Keep,
}

/// A CSV file as blocks of rows.
#[derive(Debug)]
pub struct Rows<R> {
    path: PathBuf,
    reader: R,
    columns: Vec<String>,
    header: Vec<u8>,
    numeric: Vec<bool>,
    damage: Damage,
    /// Read and not yet handed out.
    pending: Vec<u8>,
    ended: bool,
    /// The line, from 1, at which `pending` begins.
    line: u64,
    warnings: Warnings,
    dropped: Vec<u64>,
}

/// Some rows of a file.
#[derive(Debug, Default)]
pub struct Block {
    bytes: Vec<u8>,
    cells: Vec<Cell>,
    rows: Vec<(u64, Range<u32>)>,
    width: usize,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    start: u32,
    end: u32,
    /// The cell as an unsigned number where it is one of a numeric column, else [`NO_NUMBER`].
    number: u64,
}

impl Block {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The line of the file, from 1, in which a row stands.
    pub fn line(&self, row: usize) -> u64 {
        self.rows[row].0
    }

    /// A row as it stands in the file, without its line end.
    pub fn text(&self, row: usize) -> &[u8] {
        let Range { start, end } = self.rows[row].1;
        &self.bytes[start as usize..end as usize]
    }

    /// A cell, without its quotes.
    #[inline]
    pub fn cell(&self, row: usize, column: usize) -> &[u8] {
        let cell = self.cells[row * self.width + column];
        &self.bytes[cell.start as usize..cell.end as usize]
    }

    /// A cell of a numeric column as an unsigned number; `None` where it is empty or has a fraction or sign.
    #[inline]
    pub fn number(&self, row: usize, column: usize) -> Option<u64> {
        let number = self.cells[row * self.width + column].number;
        if number == NO_NUMBER { std::str::from_utf8(self.cell(row, column)).ok()?.parse().ok() } else { Some(number) }
    }

    fn clear(&mut self, width: usize) {
        self.bytes.clear();
        self.cells.clear();
        self.rows.clear();
        self.width = width;
    }
}

impl Rows<File> {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or its header names a column twice or not at all.
    pub fn open(path: impl Into<PathBuf>, damage: Damage) -> Result<Self> {
        let path = path.into();
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        Rows::new(path, file, damage)
    }
}

impl<R: Read> Rows<R> {
    /// The same for any source of bytes; `path` names it in warnings.
    ///
    /// # Errors
    /// As [`Rows::open`].
    pub fn new(path: PathBuf, reader: R, damage: Damage) -> Result<Self> {
        let mut rows = Self {
            path,
            reader,
            columns: Vec::new(),
            header: Vec::new(),
            numeric: Vec::new(),
            damage,
            pending: Vec::new(),
            ended: false,
            line: 1,
            warnings: Warnings::default(),
            dropped: Vec::new(),
        };
        rows.read_header()?;
        Ok(rows)
    }

    /// Where the rows come from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the columns, the unknown ones included.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The header as it stands in the file, without its line end.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// What was wrong so far: the first few places and how many more there are.
    pub fn warnings(&self) -> Vec<Warning> {
        self.warnings.list("lines dropped")
    }

    /// Line numbers, ascending, of the lines so far that are no rows.
    pub fn dropped(&self) -> &[u64] {
        &self.dropped
    }

    /// Fills `block` with the next rows; false at the end of the file. A block may be without rows when all its lines are
    /// damaged.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn read(&mut self, block: &mut Block) -> Result<bool> {
        block.clear(self.columns.len());
        let Some(whole) = self.fill()? else { return self.take_last_line(block) };
        let rest = self.pending.split_off(whole);
        std::mem::swap(&mut block.bytes, &mut self.pending);
        self.pending = rest;
        let quoted = memchr::memchr(b'"', &block.bytes).is_some();
        let mut start = 0;
        while start < whole {
            let length = memchr::memchr(b'\n', &block.bytes[start..whole]).expect("a block ends with a line end");
            self.take_line(block, start..start + length, quoted);
            start += length + 1;
        }
        Ok(true)
    }

    /// Reads until there is a whole line and as much more as one block holds; the length of the whole lines, or `None` at the
    /// end of the file.
    fn fill(&mut self) -> Result<Option<usize>> {
        let mut searched = 0;
        loop {
            if self.pending.len() >= BLOCK_BYTES || self.ended {
                if let Some(last) = memchr::memrchr(b'\n', &self.pending[searched..]) {
                    return Ok(Some(searched + last + 1));
                }
                if self.ended {
                    return Ok(None);
                }
                searched = self.pending.len();
                if searched > LINE_BYTES_MAX {
                    return Err(Error::Header {
                        path: self.path.clone(),
                        reason: format!(
                            "line {} is longer than {} MiB: this is no CSV file of a run",
                            self.line,
                            LINE_BYTES_MAX >> 20
                        ),
                    });
                }
            }
            let start = self.pending.len();
            self.pending.resize(start + BLOCK_BYTES, 0);
            let count = loop {
                match self.reader.read(&mut self.pending[start..]) {
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    other => break other.map_err(Error::io("read", &self.path))?,
                }
            };
            self.pending.truncate(start + count);
            self.ended = count == 0;
        }
    }

    fn read_header(&mut self) -> Result<()> {
        let whole = self.fill()?;
        if self.pending.starts_with(BYTE_ORDER_MARK) {
            self.pending.drain(..BYTE_ORDER_MARK.len());
            self.warn_at(1, "begins with a byte order mark: ignored".to_owned());
        }
        let Some(end) = whole.and_then(|_| memchr::memchr(b'\n', &self.pending)) else {
            let reason = match self.pending.len() {
                0 => "the file is empty".to_owned(),
                count => format!("no whole line in {count} bytes, so no header"),
            };
            return Err(Error::Header { path: self.path.clone(), reason });
        };
        let rest = self.pending.split_off(end + 1);
        self.header = std::mem::replace(&mut self.pending, rest);
        self.header.truncate(trimmed(&self.header, 0..end).end);
        self.line = 2;
        let mut cells = Vec::new();
        let mut line = self.header.clone();
        let whole = line.len();
        split(&mut line, 0..whole, &mut cells).map_err(|fault| self.header_error(fault.to_owned()))?;
        let name = |cell: &Cell| String::from_utf8_lossy(&line[cell.start as usize..cell.end as usize]).into_owned();
        self.columns = cells.iter().map(name).collect();
        let mut seen = BTreeSet::new();
        for name in &self.columns {
            if name.is_empty() {
                return Err(self.header_error("a column without a name".to_owned()));
            }
            if !seen.insert(name) {
                return Err(self.header_error(format!("column {name:?} twice")));
            }
        }
        let is_numeric = |name: &String| columns::kind(name).is_some_and(|kind| kind != Kind::Text);
        self.numeric = self.columns.iter().map(is_numeric).collect();
        Ok(())
    }

    fn header_error(&self, reason: String) -> Error {
        Error::Header { path: self.path.clone(), reason }
    }

    /// What stands behind the last line end: a line that its writer did not finish.
    fn take_last_line(&mut self, block: &mut Block) -> Result<bool> {
        if self.pending.is_empty() {
            return Ok(false);
        }
        std::mem::swap(&mut block.bytes, &mut self.pending);
        self.pending.clear();
        match self.damage {
            Damage::Drop => {
                self.drop_line("the last line has no end: the writer was stopped while writing it; dropped".to_owned());
                Ok(false)
            }
            Damage::Keep => {
                self.warn_at(self.line, "the last line has no end: the writer was stopped while writing it".to_owned());
                let line = 0..block.bytes.len();
                self.take_line(block, line, true);
                Ok(true)
            }
        }
    }

    /// Adds a line of the block's bytes to its rows, or reports why not.
    fn take_line(&mut self, block: &mut Block, line: Range<usize>, quoted: bool) {
        let line = trimmed(&block.bytes, line);
        if line.is_empty() {
            self.dropped.push(self.line);
            self.line += 1;
            return;
        }
        let first_cell = block.cells.len();
        let split_line = if quoted && memchr::memchr(b'"', &block.bytes[line.clone()]).is_some() {
            split(&mut block.bytes, line.clone(), &mut block.cells)
        } else {
            split_plain(&block.bytes, line.clone(), &self.numeric, &mut block.cells);
            Ok(())
        };
        let fault = match split_line {
            Err(fault) => Some(fault.to_owned()),
            Ok(()) => self.fault(&block.bytes, &line, &block.cells[first_cell..]),
        };
        let is_header = block.bytes[line.clone()] == *self.header;
        match (fault, self.damage) {
            _ if is_header => {
                block.cells.truncate(first_cell);
                self.drop_line("the header again: two files in one? row dropped".to_owned());
                return;
            }
            (Some(fault), Damage::Drop) => {
                block.cells.truncate(first_cell);
                self.drop_line(format!("{fault}; row dropped"));
                return;
            }
            (Some(fault), Damage::Keep) => {
                let empty = Cell { start: line.end as u32, end: line.end as u32, number: NO_NUMBER };
                block.cells.resize(first_cell + self.columns.len(), empty);
                self.warn_at(self.line, format!("{fault}; what is missing or no number counts as 0"));
            }
            (None, _) => {}
        }
        block.rows.push((self.line, line.start as u32..line.end as u32));
        self.line += 1;
    }

    fn fault(&self, bytes: &[u8], line: &Range<usize>, cells: &[Cell]) -> Option<String> {
        if cells.len() != self.columns.len() {
            return Some(format!("{} cells under a header of {}", cells.len(), self.columns.len()));
        }
        for (index, cell) in cells.iter().enumerate() {
            if cell.number != NO_NUMBER || cell.start == cell.end {
                continue;
            }
            let text = &bytes[cell.start as usize..cell.end as usize];
            if self.numeric[index] && !is_number(text) {
                let text = String::from_utf8_lossy(text);
                return Some(format!("column {} holds {text:?}, which is no number", self.columns[index]));
            }
            if !self.numeric[index] && (memchr::memchr(0, text).is_some() || std::str::from_utf8(text).is_err()) {
                let text = String::from_utf8_lossy(text);
                return Some(format!("column {} holds {text:?}, which is no text", self.columns[index]));
            }
        }
        debug_assert!(line.end <= bytes.len());
        None
    }

    fn drop_line(&mut self, message: String) {
        self.warn_at(self.line, message);
        self.dropped.push(self.line);
        self.line += 1;
    }

    fn warn_at(&mut self, line: u64, message: String) {
        self.warnings.push(Warning::new(&self.path, Some(line), message));
    }
}

/// Cells of a line without quotes, numbers read on the way.
fn split_plain(bytes: &[u8], line: Range<usize>, numeric: &[bool], cells: &mut Vec<Cell>) {
    let mut start = line.start;
    for index in 0.. {
        let is_numeric = numeric.get(index).copied().unwrap_or(false);
        let (mut at, mut number) = (start, 0_u64);
        if is_numeric {
            while at < line.end && bytes[at].is_ascii_digit() {
                number = number.wrapping_mul(10).wrapping_add(u64::from(bytes[at] - b'0'));
                at += 1;
            }
        }
        let end = if at < line.end && bytes[at] != b',' {
            memchr::memchr(b',', &bytes[at..line.end]).map_or(line.end, |length| at + length)
        } else {
            at
        };
        // Twenty digits may not fit; they are read again, with care, where they are asked for.
        let is_whole = is_numeric && end == at && (1..20).contains(&(at - start));
        cells.push(Cell { start: start as u32, end: end as u32, number: if is_whole { number } else { NO_NUMBER } });
        if end == line.end {
            return;
        }
        start = end + 1;
    }
}

/// Cells of a line with quotes. A cell whose quotes are doubled is written out anew behind the bytes.
fn split(bytes: &mut Vec<u8>, line: Range<usize>, cells: &mut Vec<Cell>) -> Result<(), &'static str> {
    let mut at = line.start;
    loop {
        let quoted = bytes.get(at) == Some(&b'"') && at < line.end;
        let (start, end, next) = if quoted {
            let begin = bytes.len();
            let mut from = at + 1;
            loop {
                let Some(length) = memchr::memchr(b'"', &bytes[from..line.end]) else {
                    return Err("a quote without its end");
                };
                bytes.extend_from_within(from..from + length);
                from += length + 1;
                if bytes[..line.end].get(from) != Some(&b'"') {
                    break;
                }
                bytes.push(b'"');
                from += 1;
            }
            if from < line.end && bytes[from] != b',' {
                return Err("text behind a closing quote");
            }
            (begin, bytes.len(), from)
        } else {
            let end = memchr::memchr(b',', &bytes[at..line.end]).map_or(line.end, |length| at + length);
            (at, end, end)
        };
        cells.push(Cell { start: start as u32, end: end as u32, number: NO_NUMBER });
        if next >= line.end {
            return Ok(());
        }
        at = next + 1;
    }
}

/// The line without a carriage return at its end.
fn trimmed(bytes: &[u8], line: Range<usize>) -> Range<usize> {
    let mut end = line.end;
    while end > line.start && bytes[end - 1] == b'\r' {
        end -= 1;
    }
    line.start..end
}

fn is_number(cell: &[u8]) -> bool {
    std::str::from_utf8(cell)
        .is_ok_and(|text| text.parse::<u64>().is_ok() || text.parse::<f64>().is_ok_and(f64::is_finite))
}

const NO_NUMBER: u64 = u64::MAX;
const BLOCK_BYTES: usize = 256 << 10;
const LINE_BYTES_MAX: usize = 16 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that gives its bytes in pieces of one size.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn rows(text: &[u8], piece: usize, damage: Damage) -> (Vec<Vec<String>>, Vec<String>) {
        let mut rows = Rows::new("raw.csv".into(), Pieces(text, piece), damage).unwrap();
        let (mut block, mut found) = (Block::default(), Vec::new());
        while rows.read(&mut block).unwrap() {
            for row in 0..block.rows() {
                let cell = |column| String::from_utf8_lossy(block.cell(row, column)).into_owned();
                found.push((0..rows.columns().len()).map(cell).collect());
            }
        }
        (found, rows.warnings().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn every_sort_of_damage_is_named_with_its_line_and_the_rest_is_used() {
        let text = b"\xef\xbb\xbftime_utc,rx_bytes,iface\r\nT,1,lo\r\n\r\nT,2\nT,x,lo\nT,3,\xff\nT,4,l\0o\nT,\"5\",\"a,\"\"b\"\"\"\n\
                     T,6,\"open\ntime_utc,rx_bytes,iface\nT,7,\"a\"b\nT,8,lo\nT,9";
        let (found, warnings) = rows(text, 1000, Damage::Drop);
        assert_eq!(found, [["T", "1", "lo"], ["T", "5", "a,\"b\""], ["T", "8", "lo"]]);
        let lines: Vec<&str> = warnings.iter().map(|w| w.split(':').nth(1).unwrap()).collect();
        assert_eq!(lines, ["1", "4", "5", "6", "7", "9"]);
        assert!(warnings[5].contains("4 more lines dropped"), "{warnings:?}");
    }

    #[test]
    fn the_lenient_reader_uses_what_the_published_script_uses() {
        let (found, warnings) = rows(b"time_utc,rx_bytes\nT\nT,1,2\nT,x\nT,4", 1000, Damage::Keep);
        assert_eq!(found, [["T", ""], ["T", "1"], ["T", "x"], ["T", "4"]]);
        assert_eq!(warnings.len(), 4);
    }

    #[test]
    fn the_size_of_the_pieces_changes_nothing() {
        let line = "2026-01-01T00:00:00Z,18446744073709551615,eth0\n";
        let text = format!("time_utc,rx_bytes,iface\n{}T,3", line.repeat(12_000));
        let whole = rows(text.as_bytes(), usize::MAX, Damage::Drop);
        assert_eq!(whole.0.len(), 12_000);
        for piece in [1_000, 4_097, BLOCK_BYTES - 1] {
            assert!(rows(text.as_bytes(), piece, Damage::Drop) == whole, "{piece}");
        }
    }

    #[test]
    fn the_largest_number_is_one() {
        let mut rows = Rows::new("x".into(), &b"rx_bytes\n18446744073709551615\n00012\n"[..], Damage::Drop).unwrap();
        let mut block = Block::default();
        assert!(rows.read(&mut block).unwrap());
        assert_eq!((block.number(0, 0), block.number(1, 0)), (Some(u64::MAX), Some(12)));
    }
}
