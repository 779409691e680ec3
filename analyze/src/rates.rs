//! `analyze rates`: counters turned into rates per second, one row per interval.
//!
//! The columns keep their order: a counter `x` becomes `x_per_s` with two decimals, everything else is taken over from the
//! interval's later row. For the published files (whole-second stamps, 16 columns) that is, byte for byte, what the published
//! `postprocess_rates.py` writes. Files with nanosecond stamps get their true elapsed time, and say it in a last column.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use runlog::columns::{self, Kind};
use runlog::{Run, Warning};

use crate::series::{Clock, Series};
use crate::table::Table;

/// What [`write()`] did.
pub struct Written {
    /// The file that was written.
    pub path: PathBuf,
    /// Number of its rows.
    pub rows: usize,
    /// What was wrong with the input.
    pub warnings: Vec<Warning>,
}

/// Turns `raw` (a raw.csv, or the run directory that holds one) into rates in `out`, or beside it.
///
/// # Errors
/// When `raw` cannot be read or is no series, or `out` cannot be written.
pub fn write(raw: &Path, out: Option<&Path>) -> Result<Written> {
    let raw = if raw.is_dir() { Run::open(raw).raw_path() } else { raw.to_owned() };
    let series = Series::read(&raw)?;
    let beside = || Run::open(raw.parent().unwrap_or(Path::new(""))).rates_path();
    let path = out.map_or_else(beside, Path::to_owned);
    let text = text(&series);
    fs::write(&path, text)
        .with_context(|| format!("cannot write {}: choose another place with -o FILE", path.display()))?;
    Ok(Written { path, rows: series.intervals.len(), warnings: series.warnings })
}

/// The text of rates.csv.
pub fn text(series: &Series) -> String {
    let with_dt = series.clock == Clock::Monotonic;
    let columns: Vec<Column> = series.table.header().iter().map(|name| Column::of(series, name)).collect();
    let mut text = String::with_capacity(series.intervals.len() * columns.len() * 12);
    let mut names: Vec<String> = series.table.header().iter().map(|name| rate_name(name)).collect();
    names.extend(with_dt.then(|| columns::DT_S.to_owned()));
    text.push_str(&names.join(","));
    text.push('\n');
    for (row, interval) in series.intervals.iter().enumerate() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            column.push_cell(&mut text, row, interval.to);
        }
        if with_dt {
            push(&mut text, format_args!(",{:.6}", interval.dt_s));
        }
        text.push('\n');
    }
    text
}

/// A column's cells, before they are text.
enum Column<'a> {
    Rate(Vec<f64>),
    Stamp(Vec<Option<u64>>),
    Level(Vec<f64>),
    Text(Vec<&'a str>),
}

impl<'a> Column<'a> {
    fn of(series: &'a Series, name: &str) -> Self {
        let there = "the name is from the table's own header";
        match Table::kind(name) {
            Kind::Counter => Self::Rate(series.rates(name).expect(there)),
            Kind::Stamp => Self::Stamp(series.table.counts(name).expect(there)),
            Kind::Gauge => Self::Level(series.table.numbers(name).expect(there)),
            Kind::Text => Self::Text(series.table.texts(name).expect(there)),
        }
    }

    fn push_cell(&self, text: &mut String, interval: usize, row: usize) {
        match self {
            Self::Rate(rates) if rates[interval].is_finite() => push(text, format_args!("{:.2}", rates[interval])),
            Self::Level(levels) if levels[row].is_finite() => push(text, format_args!("{}", levels[row])),
            Self::Stamp(stamps) => stamps[row].into_iter().for_each(|stamp| push(text, format_args!("{stamp}"))),
            Self::Text(texts) => text.push_str(texts[row]),
            Self::Rate(_) | Self::Level(_) => {}
        }
    }
}

fn rate_name(name: &str) -> String {
    if Table::kind(name) == Kind::Counter { columns::rate_column(name) } else { name.to_owned() }
}

fn push(text: &mut String, arguments: std::fmt::Arguments) {
    text.write_fmt(arguments).expect("a String takes everything");
}
