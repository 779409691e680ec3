//! A CSV file of a run as typed columns.
//!
//! `runlog` splits the lines, drops and reports damaged ones, and knows which columns are counters, levels or stamps; a column
//! that it does not know is kept as text. What is done with columns later is arithmetic on plain vectors, which is why no
//! data-frame library stands here (ADR 3).

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use runlog::Warning;
use runlog::columns::{self, Kind, MONO_NS, TIME_UTC};
use runlog::rows::{Block, Damage, Rows};

/// The rows of a CSV file that are whole.
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    /// One for each name of the header.
    columns: Vec<Column>,
    rows: usize,
    /// Line numbers, ascending, of lines that are no rows.
    dropped_lines: Vec<u64>,
    /// Where the rows of further files of a cut run begin, and what those lines are.
    further: Vec<(usize, PathBuf, Vec<u64>)>,
    /// What was wrong with the rest of the file.
    pub warnings: Vec<Warning>,
}

impl Table {
    /// Reads a file that the collector or a load tool wrote.
    ///
    /// # Errors
    /// When the file cannot be read, is empty, or its first line is no header with a time column.
    pub fn read(path: &Path) -> Result<Self> {
        let mut rows = Rows::open(path, Damage::Drop).context(ADVICE)?;
        require_times(path, rows.columns())?;
        let header = rows.columns().to_vec();
        let mut columns: Vec<Column> = header.iter().map(|name| Column::new(Self::kind(name))).collect();
        let (mut block, mut count) = (Block::default(), 0);
        while rows.read(&mut block)? {
            for (index, column) in columns.iter_mut().enumerate() {
                column.extend(&block, index);
            }
            count += block.rows();
        }
        Ok(Self {
            path: path.to_owned(),
            header,
            columns,
            rows: count,
            dropped_lines: rows.dropped().to_vec(),
            further: Vec::new(),
            warnings: rows.warnings(),
        })
    }

    /// Appends the rows of the next file of a cut run.
    ///
    /// # Errors
    /// Those of [`Table::read`], and columns that are not those of the first file.
    pub fn read_on(&mut self, path: &Path) -> Result<()> {
        let next = Self::read(path)?;
        if next.header != self.header {
            bail!("{}: its columns are not those of {}, which it continues", path.display(), self.path.display());
        }
        self.further.push((self.rows, next.path, next.dropped_lines));
        for (column, next) in self.columns.iter_mut().zip(next.columns) {
            column.append(next);
        }
        self.rows += next.rows;
        self.warnings.extend(next.warnings);
        Ok(())
    }

    /// Every file that the table was read from.
    pub fn paths(&self) -> Vec<&Path> {
        std::iter::once(&*self.path).chain(self.further.iter().map(|(_, path, _)| &**path)).collect()
    }

    /// Where the table was read from; of several files the first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Column names in the order of the file.
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The line of the file, counted from 1, in which a row stands.
    pub fn line(&self, row: usize) -> u64 {
        let (_, row, dropped_lines) = self.place(row);
        let mut line = row as u64 + 2;
        for dropped in dropped_lines {
            line += u64::from(*dropped <= line);
        }
        line
    }

    /// The file that a row is in, its place there, and the dropped lines of that file.
    fn place(&self, row: usize) -> (&Path, usize, &[u64]) {
        match self.further.iter().rfind(|(begin, ..)| *begin <= row) {
            Some((begin, path, dropped)) => (path, row - begin, dropped),
            None => (&self.path, row, &self.dropped_lines),
        }
    }

    /// Kind of a column; text for one that nobody knows.
    pub fn kind(name: &str) -> Kind {
        columns::kind(name).unwrap_or(Kind::Text)
    }

    fn column(&self, name: &str) -> Option<&Column> {
        self.columns.get(self.header.iter().position(|column| column == name)?)
    }

    /// A counter or stamp; `None` when there is no such column. Blank cells are `None`.
    pub fn counts(&self, name: &str) -> Option<Vec<Option<u64>>> {
        let Column::Counts { values, blank } = self.column(name)? else { return None };
        let is_blank = |row: usize| blank.get(row).copied().unwrap_or(false);
        Some(values.iter().enumerate().map(|(row, value)| (!is_blank(row)).then_some(*value)).collect())
    }

    /// Any numeric column as floating point; `None` when there is no such column. Blank cells are NaN.
    pub fn numbers(&self, name: &str) -> Option<Vec<f64>> {
        if let Column::Levels(levels) = self.column(name)? {
            return Some(levels.clone());
        }
        Some(self.counts(name)?.into_iter().map(|v| v.map_or(f64::NAN, |v| v as f64)).collect())
    }

    /// A text column; `None` when there is no such column. Blank cells are empty.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let Column::Texts { text, cells } = self.column(name)? else { return None };
        Some(cells.iter().map(|cell| &text[cell.clone()]).collect())
    }

    /// A warning about a row of this table.
    pub fn warning(&self, row: usize, message: impl Into<String>) -> Warning {
        Warning { file: self.place(row).0.to_owned(), line: Some(self.line(row)), message: message.into() }
    }
}

/// Adds `found` to `warnings`, but only the first few one by one: a file damaged throughout would bury everything else.
pub fn push_capped(warnings: &mut Vec<Warning>, mut found: Vec<Warning>, what: &str) {
    let more = found.split_off(found.len().min(WARNINGS_PER_KIND_MAX));
    warnings.append(&mut found);
    if let Some(next) = more.first() {
        let message = format!("{} more {what}, this one the next", more.len());
        warnings.push(Warning { file: next.file.clone(), line: next.line, message });
    }
}

/// Refuses a file whose header has no time column.
///
/// # Errors
/// With what the header begins with, and what to give instead.
pub fn require_times(path: &Path, header: &[String]) -> Result<()> {
    if [TIME_UTC, MONO_NS].iter().any(|time| header.iter().any(|name| name == time)) {
        return Ok(());
    }
    let start: String = header.join(",").chars().take(60).collect();
    bail!(
        "{}:1: not a CSV file of a run: its first line has neither a column {TIME_UTC} nor {MONO_NS}, it begins with \
         {start:?}; give the raw.csv that a collector wrote, or the directory that holds it",
        path.display()
    );
}

/// The cells of a column.
enum Column {
    /// Whole numbers from 0.
    Counts {
        /// One a row; 0 where blank.
        values: Vec<u64>,
        /// Whether a row is blank; as long as its last blank row needs, so nearly always empty.
        blank: Vec<bool>,
    },
    /// Numbers; NaN where blank.
    Levels(Vec<f64>),
    /// Text, in which successive rows with the same cell share one place.
    Texts { text: String, cells: Vec<Range<usize>> },
}

impl Column {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Stamp | Kind::Counter => Self::Counts { values: Vec::new(), blank: Vec::new() },
            Kind::Gauge => Self::Levels(Vec::new()),
            Kind::Text => Self::Texts { text: String::new(), cells: Vec::new() },
        }
    }

    /// Takes the cells of the column `index` of a block.
    fn extend(&mut self, block: &Block, index: usize) {
        let rows = 0..block.rows();
        match self {
            Self::Counts { values, blank } => {
                for row in rows {
                    let number = block.number(row, index);
                    if number.is_none() {
                        blank.resize(values.len(), false);
                        blank.push(true);
                    }
                    values.push(number.unwrap_or(0));
                }
            }
            Self::Levels(levels) => levels.extend(rows.map(|row| level(block, row, index))),
            Self::Texts { text, cells } => {
                for row in rows {
                    // A cell that is no text is damage, and its row is not here.
                    let cell = std::str::from_utf8(block.cell(row, index)).unwrap_or_default();
                    let place = cells.last().filter(|last| text[(*last).clone()] == *cell).cloned();
                    cells.push(place.unwrap_or_else(|| {
                        text.push_str(cell);
                        text.len() - cell.len()..text.len()
                    }));
                }
            }
        }
    }

    /// Takes the cells of a column of the same kind.
    fn append(&mut self, next: Self) {
        match (self, next) {
            (Self::Counts { values, blank }, Self::Counts { values: next_values, blank: next_blank }) => {
                blank.resize(values.len(), false);
                blank.extend(next_blank);
                values.extend(next_values);
            }
            (Self::Levels(levels), Self::Levels(next)) => levels.extend(next),
            (Self::Texts { text, cells }, Self::Texts { text: next_text, cells: next_cells }) => {
                let begin = text.len();
                text.push_str(&next_text);
                cells.extend(next_cells.into_iter().map(|cell| begin + cell.start..begin + cell.end));
            }
            _ => unreachable!("the kind of a column follows from its name"),
        }
    }
}

/// A cell of a numeric column; NaN where blank.
fn level(block: &Block, row: usize, column: usize) -> f64 {
    match block.number(row, column) {
        Some(number) => number as f64,
        None => std::str::from_utf8(block.cell(row, column)).ok().and_then(|t| t.parse().ok()).unwrap_or(f64::NAN),
    }
}

/// What to do about a file that cannot be read.
pub const ADVICE: &str = "give the raw.csv of a run; an empty one is left by a tool that ended before its first sample";

const WARNINGS_PER_KIND_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Table> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("raw.csv");
        std::fs::write(&path, text).unwrap();
        Table::read(&path)
    }

    fn messages(table: &Table) -> Vec<(Option<u64>, &str)> {
        table.warnings.iter().map(|w| (w.line, w.message.as_str())).collect()
    }

    #[test]
    fn columns_have_their_kinds_and_unknown_ones_are_kept() {
        let text = "time_utc,rx_bytes,proc_rss_kb,mono_ns,new_thing\nT,18446744073709551615,2.5,7,\"x, y\"\nT,,,8,\n";
        let table = read(text).unwrap();
        assert_eq!(table.rows(), 2);
        assert_eq!(table.counts("rx_bytes"), Some(vec![Some(u64::MAX), None]));
        assert_eq!(table.counts("mono_ns"), Some(vec![Some(7), Some(8)]));
        assert_eq!(table.numbers("proc_rss_kb").unwrap()[0], 2.5);
        assert!(table.numbers("proc_rss_kb").unwrap()[1].is_nan());
        assert_eq!(table.texts("new_thing"), Some(vec!["x, y", ""]));
        assert_eq!(table.counts("absent"), None);
        assert_eq!(messages(&table), []);
    }

    #[test]
    fn damage_costs_the_line_and_is_reported_with_its_number() {
        let table = read("time_utc,rx_bytes\nT,1\nT\nT,2,3\nT,x\nT,4\nT,55").unwrap();
        assert_eq!(table.counts("rx_bytes"), Some(vec![Some(1), Some(4)]));
        assert_eq!((table.line(0), table.line(1)), (2, 6));
        let lines: Vec<_> = table.warnings.iter().filter_map(|w| w.line).collect();
        assert_eq!(lines, [3, 4, 5, 7]);
    }

    #[test]
    fn line_ends_of_another_system() {
        let table = read("time_utc,rx_bytes\r\nT,1\r\nT,2\r\n").unwrap();
        assert_eq!(table.counts("rx_bytes"), Some(vec![Some(1), Some(2)]));
        assert_eq!(messages(&table), []);
    }

    #[test]
    fn a_file_damaged_throughout_does_not_bury_the_rest() {
        let table = read(&format!("time_utc,rx_bytes\n{}", "T\n".repeat(100))).unwrap();
        assert_eq!((table.rows(), table.warnings.len()), (0, WARNINGS_PER_KIND_MAX + 1));
        assert_eq!(table.warnings[WARNINGS_PER_KIND_MAX].message, "95 more lines dropped, this one the next");
    }

    #[test]
    fn what_is_no_run_is_refused_with_advice() {
        for (text, message) in [
            ("", "is empty"),
            ("{\"a\": 1}\n", "not a CSV file of a run"),
            ("time_utc,rx_bytes,rx_bytes\n", "\"rx_bytes\" twice"),
        ] {
            let error = format!("{:#}", read(text).err().unwrap());
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_header_alone_is_a_table_without_rows() {
        assert_eq!(read("time_utc,rx_bytes\n").unwrap().rows(), 0);
    }
}
