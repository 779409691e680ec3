//! Reading a CSV file of which any line may be damaged.
//!
//! [`Table::load`] keeps the header and the whole rows and reports every other line. What it keeps is CSV text again
//! ([`Table::csv`]), ready for a data-frame library; the small readers here serve everything that needs only a column.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder};

use crate::columns::{self, Kind};
use crate::{Error, Result, Warning};

/// A CSV file without its damaged lines.
#[derive(Debug, Clone)]
pub struct Table {
    /// The file.
    pub path: PathBuf,
    /// Names of the columns, the unknown ones included.
    pub columns: Vec<String>,
    /// Number of whole rows.
    pub rows: u64,
    /// One entry per dropped line.
    pub warnings: Vec<Warning>,
    csv: Vec<u8>,
}

impl Table {
    /// Reads a file and drops what is damaged: a last line without line end, rows with another number of cells than the
    /// header, and rows in which a column known as a number ([`columns::kind`]) is none. Empty cells are allowed.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or its header names a column twice or not at all.
    pub fn load(path: impl Into<PathBuf>) -> Result<Table> {
        let path = path.into();
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        Table::parse(path, &bytes)
    }

    /// The same for text that is in memory; `path` names it in warnings.
    ///
    /// # Errors
    /// As [`Table::load`], except reading.
    pub fn parse(path: PathBuf, bytes: &[u8]) -> Result<Table> {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(&bytes[..whole]);
        let mut record = ByteRecord::new();
        if !read_record(&mut reader, &mut record) {
            return Err(Error::Header { path, reason: empty_reason(bytes) });
        }
        let columns = header(&path, &record)?;
        let numeric: Vec<bool> =
            columns.iter().map(|name| columns::kind(name).is_some_and(|kind| kind != Kind::Text)).collect();
        let mut table = Table { csv: Vec::with_capacity(whole), path, columns, rows: 0, warnings: Vec::new() };
        table.keep(bytes, 0, reader.position().byte());
        loop {
            let (start, line) = (reader.position().byte(), reader.position().line());
            if !read_record(&mut reader, &mut record) {
                break;
            }
            match table.fault(&record, &numeric) {
                None => {
                    table.keep(bytes, start, reader.position().byte());
                    table.rows += 1;
                }
                Some(fault) => table.warn(line, format!("{fault}; row dropped")),
            }
        }
        if whole < bytes.len() {
            let line = reader.position().line();
            table.warn(line, "the last line has no end: the writer was stopped while writing it; dropped".to_owned());
        }
        Ok(table)
    }

    /// Header and whole rows as CSV text.
    pub fn csv(&self) -> &[u8] {
        &self.csv
    }

    /// The same, without a copy, when nothing else of the table is needed any more.
    pub fn into_csv(self) -> Vec<u8> {
        self.csv
    }

    /// Whether the file has this column.
    pub fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// One column as unsigned numbers; an empty cell is `None`.
    ///
    /// # Errors
    /// [`Error::NoColumn`].
    pub fn numbers(&self, column: &str) -> Result<Vec<Option<u64>>> {
        self.cells(column, |cell| std::str::from_utf8(cell).ok()?.parse().ok())
    }

    /// One column as text.
    ///
    /// # Errors
    /// [`Error::NoColumn`].
    pub fn texts(&self, column: &str) -> Result<Vec<String>> {
        self.cells(column, |cell| String::from_utf8_lossy(cell).into_owned())
    }

    fn cells<T>(&self, column: &str, parse: impl Fn(&[u8]) -> T) -> Result<Vec<T>> {
        let Some(index) = self.columns.iter().position(|name| name == column) else {
            let (path, column, present) = (self.path.clone(), column.to_owned(), self.columns.join(", "));
            return Err(Error::NoColumn { path, column, present });
        };
        let mut reader = ReaderBuilder::new().has_headers(true).from_reader(self.csv.as_slice());
        let mut record = ByteRecord::new();
        let mut values = Vec::with_capacity(self.rows as usize);
        while read_record(&mut reader, &mut record) {
            values.push(parse(&record[index]));
        }
        Ok(values)
    }

    fn fault(&self, record: &ByteRecord, numeric: &[bool]) -> Option<String> {
        if record.len() != self.columns.len() {
            return Some(format!("{} cells under a header of {}", record.len(), self.columns.len()));
        }
        let bad =
            |(index, cell): (usize, &[u8])| (numeric[index] && !cell.is_empty() && !is_number(cell)).then_some(index);
        let index = record.iter().enumerate().find_map(bad)?;
        Some(format!(
            "column {} holds {:?}, which is no number",
            self.columns[index],
            String::from_utf8_lossy(&record[index])
        ))
    }

    fn keep(&mut self, bytes: &[u8], start: u64, end: u64) {
        self.csv.extend_from_slice(&bytes[start as usize..end as usize]);
    }

    fn warn(&mut self, line: u64, message: String) {
        self.warnings.push(Warning::new(&self.path, Some(line), message));
    }
}

fn header(path: &Path, record: &ByteRecord) -> Result<Vec<String>> {
    let mut seen = BTreeSet::new();
    let columns: Vec<String> = record.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    for name in &columns {
        if name.is_empty() || !seen.insert(name) {
            let reason =
                if name.is_empty() { "a column without a name".to_owned() } else { format!("column {name:?} twice") };
            return Err(Error::Header { path: path.to_owned(), reason });
        }
    }
    Ok(columns)
}

fn empty_reason(bytes: &[u8]) -> String {
    match bytes.len() {
        0 => "the file is empty".to_owned(),
        count => format!("no whole line in {count} bytes, so no header"),
    }
}

fn is_number(cell: &[u8]) -> bool {
    std::str::from_utf8(cell)
        .is_ok_and(|text| text.parse::<u64>().is_ok() || text.parse::<f64>().is_ok_and(f64::is_finite))
}

/// Reads the next record; false at the end. A slice reader fails at nothing: records are bytes of any number of cells.
fn read_record(reader: &mut csv::Reader<&[u8]>, record: &mut ByteRecord) -> bool {
    reader.read_byte_record(record).expect("flexible byte records of a slice always read")
}
