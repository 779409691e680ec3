//! The rows that the published script makes of a file of whole seconds.
//!
//! Its `rates.csv` is what the published tables were made of, so the published rules have to see the same rows: neighbours in
//! the file; none for a row that is not later than the one before, and that row's increase is lost; counters that are blank
//! or no number count as 0; a fall is a negative rate; a cut last line counts. Levels come from the later row. Where it would
//! stop, at a row without a time, it goes on here. Our own figures do none of this, see [`crate::series`].

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use runlog::columns::TIME_UTC;
use runlog::rows::{Block, Damage};
use runlog::{clock, rows};

use super::window::{Rows, needed_columns};

/// Reads the rows of a raw.csv, one block at a time; of a run that was cut its files one after the other, which have the same
/// columns.
///
/// # Errors
/// A file cannot be read.
pub fn rows(files: &[&Path]) -> Result<Rows> {
    let mut columns: Vec<Column> = Vec::new();
    let (mut from_s, mut to_s) = (Vec::new(), Vec::new());
    let (mut first_s, mut before_s) = (None, None);
    let mut block = Block::default();
    for (index, raw) in files.iter().enumerate() {
        let mut file = rows::Rows::open(raw, Damage::Keep).context(crate::table::ADVICE)?;
        let at = |name: &str| file.columns().iter().position(|column| column == name);
        let time = at(TIME_UTC);
        if index == 0 {
            let needed = needed_columns().into_iter();
            let column =
                |(name, is_counter)| Some(Column { name, at: at(name)?, is_counter, before: 0, values: Vec::new() });
            columns = needed.filter_map(column).collect();
        }
        while file.read(&mut block)? {
            for row in 0..block.rows() {
                let text = time.and_then(|time| std::str::from_utf8(block.cell(row, time)).ok());
                let Some(now_s) = text.and_then(clock::parse_utc).map(|s| s as f64) else { continue };
                let first_s = *first_s.get_or_insert(now_s);
                let earlier_s = before_s.replace(now_s).filter(|before_s| now_s > *before_s);
                if let Some(earlier_s) = earlier_s {
                    from_s.push(earlier_s - first_s);
                    to_s.push(now_s - first_s);
                }
                let elapsed_s = earlier_s.map(|before_s| now_s - before_s);
                columns.iter_mut().for_each(|column| column.take(&block, row, elapsed_s));
            }
        }
    }
    let values: BTreeMap<_, _> = columns.into_iter().map(|column| (column.name, column.values)).collect();
    Ok(Rows { from_s, to_s, values })
}

struct Column {
    name: &'static str,
    at: usize,
    is_counter: bool,
    before: i128,
    values: Vec<f64>,
}

impl Column {
    /// Takes a row's cell; a value comes of it when the row makes an interval.
    fn take(&mut self, block: &Block, row: usize, elapsed_s: Option<f64>) {
        let text = || std::str::from_utf8(block.cell(row, self.at)).unwrap_or_default().trim();
        if !self.is_counter {
            self.values.extend(elapsed_s.map(|_| text().parse().unwrap_or(f64::NAN)));
            return;
        }
        let count = block.number(row, self.at).map(i128::from).unwrap_or_else(|| text().parse().unwrap_or(0));
        let increase = count.saturating_sub(self.before) as f64;
        self.values.extend(elapsed_s.map(|elapsed_s| increase / elapsed_s));
        self.before = count;
    }
}

#[cfg(test)]
mod tests {
    use runlog::columns;

    use super::*;

    #[test]
    fn odd_rows_are_seen_as_the_script_sees_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("raw.csv");
        let text = "time_utc,ctxt,proc_rss_kb\n\
                    2026-01-01T00:00:00Z,100,1024\n\
                    2026-01-01T00:00:02Z,300,2048\n\
                    2026-01-01T00:00:02Z,900,4096\n\
                    2026-01-01T00:00:03Z,1000,\n\
                    2026-01-01T00:00:04Z,x,10\n\
                    2026-01-01T00:00:03Z,70,11\n\
                    2026-01-01T00:00:05Z,90,12\n\
                    noon,1,2\n\
                    2026-01-01T00:00:06Z,95";
        std::fs::write(&path, text).unwrap();
        let rows = rows(&[&path]).unwrap();
        assert_eq!(rows.to_s, [2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(rows.from_s, [0.0, 2.0, 3.0, 3.0, 5.0]);
        assert_eq!(rows.values[columns::CTXT], [100.0, 100.0, -1000.0, 10.0, 5.0]);
        let rss = &rows.values[columns::PROC_RSS_KB];
        assert_eq!((rss[0], rss[2], rss[3]), (2048.0, 10.0, 12.0));
        assert!(rss[1].is_nan() && rss[4].is_nan());
    }
}
