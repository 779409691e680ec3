//! Reading a CSV file of which any line may be damaged.
//!
//! [`Table::load`] keeps the header and the whole rows, as CSV text again ([`Table::csv`]), and reports every other line. It serves
//! what needs a column or two of a small file; who reads long files takes [`Rows`].

use std::io::Read;
use std::path::PathBuf;

use crate::rows::{Block, Damage, Rows};
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
    /// What was wrong with the rest: the first few places, and how many more there are.
    pub warnings: Vec<Warning>,
    /// Line numbers, ascending, of the lines that are no rows, empty ones included.
    pub dropped_lines: Vec<u64>,
    csv: Vec<u8>,
}

impl Table {
    /// Reads a file and drops what is damaged: a last line without line end, rows with another number of cells than the
    /// header, and rows in which a column known as a number ([`crate::columns::kind`]) is none. Empty cells are allowed.
    ///
    /// # Errors
    /// The file cannot be read, is empty, or its header names a column twice or not at all.
    pub fn load(path: impl Into<PathBuf>) -> Result<Table> {
        Table::collect(Rows::open(path, Damage::Drop)?)
    }

    /// Reads the header and only the last rows: at most about `bytes_max` bytes, however long the file is. Line numbers in
    /// warnings count from the header and are those of the part that was read.
    ///
    /// # Errors
    /// As [`Table::load`].
    pub fn load_tail(path: impl Into<PathBuf>, bytes_max: u64) -> Result<Table> {
        let path = path.into();
        let bytes = crate::read::head_and_tail(&path, bytes_max).map_err(Error::io("read", &path))?;
        Table::parse(path, &bytes)
    }

    /// The same for text that is in memory; `path` names it in warnings.
    ///
    /// # Errors
    /// As [`Table::load`], except reading.
    pub fn parse(path: PathBuf, bytes: &[u8]) -> Result<Table> {
        Table::collect(Rows::new(path, bytes, Damage::Drop)?)
    }

    fn collect<R: Read>(mut rows: Rows<R>) -> Result<Table> {
        let mut csv = rows.header().to_vec();
        csv.push(b'\n');
        let (mut block, mut count) = (Block::default(), 0);
        while rows.read(&mut block)? {
            for row in 0..block.rows() {
                csv.extend_from_slice(block.text(row));
                csv.push(b'\n');
            }
            count += block.rows() as u64;
        }
        Ok(Table {
            path: rows.path().to_owned(),
            columns: rows.columns().to_vec(),
            rows: count,
            warnings: rows.warnings(),
            dropped_lines: rows.dropped().to_vec(),
            csv,
        })
    }

    /// Header and whole rows as CSV text.
    pub fn csv(&self) -> &[u8] {
        &self.csv
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
        let mut rows = Rows::new(self.path.clone(), self.csv.as_slice(), Damage::Drop)?;
        let (mut block, mut values) = (Block::default(), Vec::with_capacity(self.rows as usize));
        while rows.read(&mut block)? {
            values.extend((0..block.rows()).map(|row| parse(block.cell(row, index))));
        }
        Ok(values)
    }
}
