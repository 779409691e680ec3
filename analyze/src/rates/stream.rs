//! From rows to rates: one thread reads and splits, the other computes and writes. Only the row before is remembered.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use anyhow::{Context, Result, bail};
use runlog::columns::{self, Kind, MONO_NS, TIME_UTC, WALL_NS};
use runlog::rows::{Block, Damage, Rows};
use runlog::{Warning, Warnings, clock};

use super::number::push_hundredths;
use crate::series::{CLOCK_STEP_S, GAP_FACTOR};
use crate::table::{Table, push_capped, require_times};

/// What the rates look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Ours.
    Ours,
    /// That of the published script, with carriage returns in its line ends or without.
    Published {
        /// As the script writes them, rather than as they were published.
        crlf: bool,
    },
}

/// What [`convert`] did.
pub struct Converted {
    /// Rows written.
    pub rows: usize,
    /// What is wrong with the file or odd about its times.
    pub warnings: Vec<Warning>,
}

/// Opens a raw.csv for [`convert`].
///
/// # Errors
/// It cannot be read or is no CSV file of a run.
pub fn open(raw: &Path, form: Form) -> Result<Rows<File>> {
    let damage = if form == Form::Ours { Damage::Drop } else { Damage::Keep };
    let rows = Rows::open(raw, damage).context(crate::table::ADVICE)?;
    require_times(raw, rows.columns())?;
    if form != Form::Ours && !rows.columns().iter().any(|name| name == TIME_UTC) {
        bail!(
            "{}:1: no column {TIME_UTC}, by which the published script takes its times: leave --compat out",
            raw.display()
        );
    }
    Ok(rows)
}

/// Writes the rates of `rows` to `out`.
///
/// # Errors
/// The rest cannot be read, no two rows form an interval, or `out` takes no more.
pub fn convert(rows: Rows<File>, form: Form, out: &mut impl Write) -> Result<Converted> {
    let mut writer = Writer::new(&rows, form);
    out.write_all(&writer.head()).context("cannot write the rates")?;
    let (full, blocks) = mpsc::sync_channel::<Block>(BLOCKS);
    let (empty, used) = mpsc::channel::<Block>();
    let (rows, outcome) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut rows = rows;
            let outcome = loop {
                let mut block = used.try_recv().unwrap_or_default();
                match rows.read(&mut block) {
                    Ok(true) if full.send(block).is_ok() => {}
                    Ok(_) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            (rows, outcome)
        });
        let mut written = Ok(());
        for block in &blocks {
            written = out.write_all(writer.rates(&block));
            if written.is_err() {
                break;
            }
            // The reader may have ended; then nobody needs the block.
            let _ = empty.send(block);
        }
        drop(blocks);
        let (rows, read) = reader.join().expect("the reading thread does not panic");
        (rows, read.map_err(anyhow::Error::from).and_then(|()| written.context("cannot write the rates")))
    });
    outcome?;
    if writer.written == 0 {
        bail!(
            "{}: {} rows, and no two of them form an interval: a rate needs two samples at different times; let the tool \
             run longer",
            rows.path().display(),
            writer.seen
        );
    }
    let mut warnings = rows.warnings();
    writer.report(&mut warnings);
    Ok(Converted { rows: writer.written, warnings })
}

/// Where a cell of the output comes from.
#[derive(Clone, Copy)]
enum Source {
    /// The later row's cell.
    Copy(usize),
    /// A counter: its place among the counters.
    Rate(usize),
    /// Nothing: the input has no such column.
    Blank,
    /// The elapsed time.
    Elapsed,
}

struct Writer {
    form: Form,
    path: PathBuf,
    names: Vec<String>,
    sources: Vec<Source>,
    /// Column and name of each counter.
    counters: Vec<(usize, String)>,
    time: Time,
    wall: Option<(usize, usize)>,
    wall_offset_ns: Option<i128>,
    before: Option<i128>,
    values: Vec<Option<i128>>,
    next: Vec<Option<i128>>,
    text: Vec<u8>,
    seen: usize,
    written: usize,
    odd: Warnings,
    falls: Warnings,
    steps: Warnings,
    lengths: BTreeMap<u64, Length>,
}

/// Intervals of one length.
#[derive(Default)]
struct Length {
    count: usize,
    first_lines: Vec<u64>,
}

enum Time {
    MonotonicNs(usize),
    WholeSeconds { column: usize, day: Vec<u8>, day_s: u64 },
}

impl Writer {
    fn new(rows: &Rows<File>, form: Form) -> Self {
        let header = rows.columns();
        let at = |name: &str| header.iter().position(|column| column == name);
        let ours = form == Form::Ours;
        let time = match at(MONO_NS).filter(|_| ours) {
            Some(column) => Time::MonotonicNs(column),
            None => Time::WholeSeconds { column: at(TIME_UTC).unwrap_or(0), day: Vec::new(), day_s: 0 },
        };
        let is_counter =
            |name: &String| if ours { Table::kind(name) == Kind::Counter } else { !columns::is_guide_level(name) };
        let counters: Vec<(usize, String)> =
            header.iter().cloned().enumerate().filter(|(_, name)| is_counter(name)).collect();
        let place = |column: usize| counters.iter().position(|(of, _)| *of == column);
        let plain = |column: usize| match place(column) {
            Some(place) => (columns::rate_column(&header[column]), Source::Rate(place)),
            None => (header[column].clone(), Source::Copy(column)),
        };
        let mut outputs: Vec<(String, Source)> = Vec::new();
        if ours {
            outputs.extend((0..header.len()).map(plain));
            if matches!(time, Time::MonotonicNs(_)) {
                outputs.push((columns::DT_S.to_owned(), Source::Elapsed));
            }
        } else {
            let copied = |name: &str| (name.to_owned(), at(name).map_or(Source::Blank, Source::Copy));
            outputs.extend([TIME_UTC, columns::IFACE].map(copied));
            outputs.extend(counters.iter().map(|(column, _)| plain(*column)));
            outputs.extend(columns::GUIDE_LEVELS.into_iter().filter(|name| at(name).is_some()).map(copied));
        }
        let wall = at(MONO_NS).zip(at(WALL_NS)).filter(|_| ours);
        let (names, sources) = outputs.into_iter().unzip();
        Self {
            form,
            path: rows.path().to_owned(),
            names,
            sources,
            values: vec![None; counters.len()],
            next: vec![None; counters.len()],
            counters,
            time,
            wall,
            wall_offset_ns: None,
            before: None,
            text: Vec::new(),
            seen: 0,
            written: 0,
            odd: Warnings::default(),
            falls: Warnings::default(),
            steps: Warnings::default(),
            lengths: BTreeMap::new(),
        }
    }

    fn line_end(&self) -> &'static [u8] {
        if self.form == (Form::Published { crlf: true }) { b"\r\n" } else { b"\n" }
    }

    fn head(&self) -> Vec<u8> {
        let mut head = self.names.join(",").into_bytes();
        head.extend_from_slice(self.line_end());
        head
    }

    /// The rates of the rows of a block, as text.
    fn rates(&mut self, block: &Block) -> &[u8] {
        self.text.clear();
        for row in 0..block.rows() {
            self.seen += 1;
            self.take(block, row);
        }
        &self.text
    }

    fn take(&mut self, block: &Block, row: usize) {
        let Some(time) = self.time.of(block, row) else {
            let message = match self.form {
                Form::Ours => "no time in this row: dropped",
                Form::Published { .. } => "no time in this row, at which the published script stops: dropped",
            };
            return self.odd(block.line(row), message.to_owned());
        };
        self.check_wall(block, row);
        let elapsed = self.before.map(|before| time - before);
        for (next, (column, _)) in self.next.iter_mut().zip(&self.counters) {
            *next = block.number(row, *column).map(i128::from);
        }
        if self.form != Form::Ours {
            self.fill_as_published(block, row);
        }
        match elapsed {
            Some(0) if self.form == Form::Ours => {
                return self.odd(block.line(row), "the same time as the row before: no rate for this row".to_owned());
            }
            Some(elapsed) if elapsed > 0 => self.push_row(block, row, elapsed),
            Some(elapsed) => {
                let back_s = -elapsed as f64 * self.time.unit_s();
                let message = match self.form {
                    Form::Ours => format!("time went back by {back_s:.3} s: no rate for this row"),
                    Form::Published { .. } => {
                        "not later than the row before: left out, as in the published script".to_owned()
                    }
                };
                self.odd(block.line(row), message);
            }
            None => {}
        }
        self.before = Some(time);
        std::mem::swap(&mut self.values, &mut self.next);
    }

    /// What is no whole number for us may be one for the script, or counts as 0.
    fn fill_as_published(&mut self, block: &Block, row: usize) {
        for (next, (column, _)) in self.next.iter_mut().zip(&self.counters) {
            if next.is_none() {
                let cell = std::str::from_utf8(block.cell(row, *column)).unwrap_or_default();
                *next = Some(cell.trim().parse().unwrap_or(0));
            }
        }
    }

    fn push_row(&mut self, block: &Block, row: usize, elapsed: i128) {
        let elapsed_s = match self.time {
            Time::MonotonicNs(_) => elapsed as u64 as f64 * 1e-9,
            Time::WholeSeconds { .. } => elapsed as u64 as f64,
        };
        for index in 0..self.sources.len() {
            if index > 0 {
                self.text.push(b',');
            }
            match self.sources[index] {
                Source::Copy(column) => push_cell(&mut self.text, block.cell(row, column)),
                Source::Rate(place) => self.push_rate(place, elapsed_s, block.line(row)),
                Source::Elapsed => write!(self.text, "{elapsed_s:.6}").expect("a Vec takes everything"),
                Source::Blank => {}
            }
        }
        let end = self.line_end();
        self.text.extend_from_slice(end);
        self.written += 1;
        let length = self.lengths.entry((elapsed_s * 1e3).round() as u64).or_default();
        length.count += 1;
        if length.first_lines.len() < LINES_KEPT {
            length.first_lines.push(block.line(row));
        }
    }

    #[inline]
    fn push_rate(&mut self, place: usize, elapsed_s: f64, line: u64) {
        let (Some(before), Some(after)) = (self.values[place], self.next[place]) else { return };
        let increase = after - before;
        if increase < 0 && self.form == Form::Ours {
            let name = &self.counters[place].1;
            let message =
                format!("{name} fell from {before} to {after}: its source began anew; this rate is left blank");
            self.falls.push(Warning { file: self.path.clone(), line: Some(line), message });
            return;
        }
        // The conversion of a 64-bit number is one instruction, that of a 128-bit one a loop.
        let increase = i64::try_from(increase).map_or(increase as f64, |increase| increase as f64);
        push_hundredths(&mut self.text, increase / elapsed_s);
    }

    fn check_wall(&mut self, block: &Block, row: usize) {
        let Some((mono, wall)) = self.wall else { return };
        let (Some(mono), Some(wall)) = (block.number(row, mono), block.number(row, wall)) else { return };
        let offset_ns = i128::from(wall) - i128::from(mono);
        let step_s = self.wall_offset_ns.map_or(0.0, |last| (offset_ns - last) as f64 * 1e-9);
        if step_s.abs() > CLOCK_STEP_S {
            let message = format!("the wall clock was set by {step_s:+.3} s before this row");
            self.steps.push(Warning { file: self.path.clone(), line: Some(block.line(row)), message });
        }
        self.wall_offset_ns = Some(offset_ns);
    }

    fn odd(&mut self, line: u64, message: String) {
        self.odd.push(Warning { file: self.path.clone(), line: Some(line), message });
    }

    /// Adds what was odd to the file's own warnings.
    fn report(&self, warnings: &mut Vec<Warning>) {
        warnings.extend(self.odd.list("rows with an odd time"));
        let (mut seen, half) = (0, self.written.div_ceil(2));
        let usual = self.lengths.iter().find(|(_, length)| {
            seen += length.count;
            seen >= half
        });
        let usual_s = usual.map_or(0.0, |(ms, _)| *ms as f64 * 1e-3);
        let long = self.lengths.iter().map(|(ms, length)| (*ms as f64 * 1e-3, length));
        let mut gaps: Vec<(u64, f64)> = long
            .filter(|(length_s, _)| *length_s > GAP_FACTOR * usual_s)
            .flat_map(|(length_s, length)| length.first_lines.iter().map(move |line| (*line, length_s)))
            .collect();
        gaps.sort_unstable_by_key(|(line, _)| *line);
        let gap = |(line, length_s)| Warning {
            file: self.path.clone(),
            line: Some(line),
            message: format!("{length_s:.1} s since the row before, usual are {usual_s:.1} s: a gap"),
        };
        push_capped(warnings, gaps.into_iter().map(gap).collect(), "gaps");
        warnings.extend(self.steps.list("steps of the wall clock"));
        warnings.extend(self.falls.list("falls of a counter"));
    }
}

impl Time {
    /// The row's time in its own unit.
    fn of(&mut self, block: &Block, row: usize) -> Option<i128> {
        match self {
            Self::MonotonicNs(column) => block.number(row, *column).map(i128::from),
            Self::WholeSeconds { column, day, day_s } => {
                // The calendar is asked once a day.
                let cell = block.cell(row, *column);
                if let [date @ .., b'T', h1, h2, b':', m1, m2, b':', s1, s2, b'Z'] = cell
                    && date == day.as_slice()
                    && [h1, h2, m1, m2, s1, s2].into_iter().all(u8::is_ascii_digit)
                {
                    let two = |tens: &u8, ones: &u8| u64::from(tens - b'0') * 10 + u64::from(ones - b'0');
                    let (hour, minute, second) = (two(h1, h2), two(m1, m2), two(s1, s2));
                    if hour < 24 && minute < 60 && second < 60 {
                        return Some(i128::from(*day_s + hour * 3_600 + minute * 60 + second));
                    }
                }
                let text = std::str::from_utf8(cell).ok()?;
                let seconds = clock::parse_utc(text)?;
                if let Some((date, _)) = text.split_once('T') {
                    *day = date.as_bytes().to_vec();
                    *day_s = seconds / 86_400 * 86_400;
                }
                Some(i128::from(seconds))
            }
        }
    }

    fn unit_s(&self) -> f64 {
        if matches!(self, Self::MonotonicNs(_)) { 1e-9 } else { 1.0 }
    }
}

/// Appends a cell, quoted where it must be.
fn push_cell(text: &mut Vec<u8>, cell: &[u8]) {
    if !cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        return text.extend_from_slice(cell);
    }
    text.push(b'"');
    for byte in cell {
        if *byte == b'"' {
            text.push(b'"');
        }
        text.push(*byte);
    }
    text.push(b'"');
}

/// Blocks that the reader may be ahead.
const BLOCKS: usize = 4;
/// Lines that are kept of the intervals of one length.
const LINES_KEPT: usize = 16;
