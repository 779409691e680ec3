//! `analyze rates`: counters turned into rates per second, one row per interval, however long the file is.
//!
//! - [`stream`]: from rows to rates, on two threads.
//! - [`number`]: a rate as text with two decimals, exactly rounded and quickly.
//!
//! **Our form** keeps the columns' order: a counter `x` becomes `x_per_s`, everything else is taken over from the interval's
//! later row, and files with nanosecond stamps get their true elapsed time and say it in a last column. A row that has the
//! time of the one before makes no interval, and its increase goes to the next.
//!
//! **The published form** (`--compat`) is what the published `postprocess_rates.py` writes, rows and rounding alike:
//! `time_utc`, `iface`, the rates of every column that it does not know as a level, then `tcp_estab`, `proc_rss_kb` and
//! `proc_vsz_kb`. A row whose time is not later than the one before is left out and its increase with it, blank and broken
//! cells count as 0, a counter that fell gives a negative rate, and a cut last line counts. The published `rates.csv` files
//! have Unix line ends; the script itself, by the default of Python's csv module, writes carriage returns too, and so
//! does `--compat=crlf`.

pub mod number;
pub mod stream;

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use runlog::{Run, Warning};

pub use stream::Form;

/// What [`write()`] did.
pub struct Written {
    /// The file that was written.
    pub path: PathBuf,
    /// Number of its rows.
    pub rows: usize,
    /// What was wrong with the input.
    pub warnings: Vec<Warning>,
}

/// Turns `raw` (a raw.csv, or the run directory that holds one) into rates in `out`, or beside it. A file appears only when
/// it is whole.
///
/// # Errors
/// When `raw` cannot be read or is no series, or `out` cannot be written.
pub fn write(raw: &Path, out: Option<&Path>, form: Form) -> Result<Written> {
    let raw = if raw.is_dir() { Run::open(raw).raw_path() } else { raw.to_owned() };
    let path = out.map_or_else(|| runlog::read::rates_beside(&raw), Path::to_owned);
    let is_special = fs::metadata(&path).is_ok_and(|meta| !meta.is_file());
    let mut partial = path.clone().into_os_string();
    partial.push(".partial");
    let target = if is_special { path.clone() } else { PathBuf::from(partial) };
    // The input is looked at first: a complaint about it says more than one about the output.
    let rows = stream::open(&raw, form)?;
    let advice = || format!("cannot write {}: choose another place with -o FILE", path.display());
    let file = File::options().write(true).create(true).truncate(!is_special).open(&target).with_context(advice)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let converted = stream::convert(rows, form, &mut out).and_then(|converted| {
        out.flush().with_context(advice)?;
        if !is_special {
            fs::rename(&target, &path).with_context(advice)?;
        }
        Ok(converted)
    });
    if converted.is_err() && !is_special {
        let _ = fs::remove_file(&target);
    }
    let converted = converted?;
    Ok(Written { path, rows: converted.rows, warnings: converted.warnings })
}
