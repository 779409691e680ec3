//! [`RunDir`]: making a run directory, and the writers that it hands out.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::columns::{self, Column};
use crate::hlog::LatencyLog;
use crate::{CapacitySummary, Error, Event, LedgerEntry, Meta, Result, Role, clock, ledger, name};

pub(crate) const META: &str = "meta.json";
pub(crate) const GUIDE_META: &str = "meta.txt";
pub(crate) const RAW: &str = "raw.csv";
pub(crate) const COUNTERS: &str = "counters.csv";
pub(crate) const RATES: &str = "rates.csv";
/// The guide's copies of its files, named after the run: `raw-<run>.csv`.
pub(crate) const RAW_PREFIX: &str = "raw-";
pub(crate) const RATES_PREFIX: &str = "rates-";
pub(crate) const SAMPLES: &str = "samples.csv";
pub(crate) const PROCESSES: &str = "processes.csv";
pub(crate) const THREADS: &str = "threads.csv";
pub(crate) const EVENTS: &str = "events.jsonl";
pub(crate) const LATENCY: &str = "latency.hlog";
pub(crate) const SUMMARY: &str = "summary.json";
/// Of a search for capacity.
const CAPACITY: &str = "capacity.json";
pub(crate) const PLAN: &str = "plan.json";
pub(crate) const CLAIMS: &str = "claims.toml";
/// A folder of this name holds what was set aside; see [`RunDir::set_aside`].
pub(crate) const SET_ASIDE: &str = "interrupted";
pub(crate) const LEDGER: &str = "ledger.jsonl";
const EVIDENCE: &str = "evidence";

/// A run directory that is being written. Making it opens no file: each tool asks for the writers that it needs, once.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
}

impl RunDir {
    /// Makes exactly this directory, with its parents.
    ///
    /// # Errors
    /// It cannot be made, or it exists and is not empty.
    pub fn create(path: impl Into<PathBuf>) -> Result<RunDir> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(Error::io("create directory", &path))?;
        let mut entries = fs::read_dir(&path).map_err(Error::io("read directory", &path))?;
        match entries.next() {
            None => Ok(RunDir { path }),
            Some(_) => Err(Error::NotEmpty { path }),
        }
    }

    /// A directory to go on writing in, made when it does not exist.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn reopen(path: impl Into<PathBuf>) -> Result<RunDir> {
        let path = path.into();
        fs::create_dir_all(&path).map_err(Error::io("create directory", &path))?;
        Ok(RunDir { path })
    }

    /// Moves an entry of this directory (a run directory, a log) into the folder of what was set aside, where
    /// [`crate::discover`] does not look: it is kept, and counts for nothing.
    ///
    /// # Errors
    /// It cannot be moved.
    pub fn set_aside(&self, entry: &Path) -> Result<()> {
        let folder = self.path.join(SET_ASIDE);
        fs::create_dir_all(&folder).map_err(Error::io("create directory", &folder))?;
        let name = entry.file_name().unwrap_or_default().to_owned();
        let mut place = folder.join(&name);
        for number in 2.. {
            if !place.exists() {
                break;
            }
            let mut numbered = name.clone();
            numbered.push(format!(".{number}"));
            place = folder.join(numbered);
        }
        fs::rename(self.path.join(entry), &place).map_err(Error::io("move", entry))
    }

    /// Moves those of this directory's events that `is_dropped` names into the events of what was set aside, and keeps the
    /// others. Not for a directory whose events somebody is writing.
    ///
    /// # Errors
    /// They cannot be read or written; then nothing is lost, and some events may stand in both places.
    pub fn set_events_aside(&self, mut is_dropped: impl FnMut(&Event) -> bool) -> Result<()> {
        let path = self.path.join(EVENTS);
        if !path.exists() {
            return Ok(());
        }
        let events = crate::Run::open(&self.path).events()?.value;
        let (dropped, kept): (Vec<Event>, Vec<Event>) = events.into_iter().partition(|event| is_dropped(event));
        if dropped.is_empty() {
            return Ok(());
        }
        let mut aside = RunDir::reopen(self.path.join(SET_ASIDE))?.events()?;
        for event in &dropped {
            aside.append(event)?;
        }
        let fresh = RunDir::reopen(self.path.join(SET_ASIDE).join("kept"))?;
        let mut log = fresh.events()?;
        for event in &kept {
            log.append(event)?;
        }
        fs::rename(fresh.path.join(EVENTS), &path).map_err(Error::io("replace", &path))?;
        fs::remove_dir(&fresh.path).map_err(Error::io("remove", &fresh.path))
    }

    /// Makes `<out>/<role>-<tag>-<utc>`. When a run of the same name began within the same second, waits for the next
    /// one: two runs never share a directory, and no name lies about its time.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create_in(out: &Path, role: Role, tag: &str) -> Result<RunDir> {
        fs::create_dir_all(out).map_err(Error::io("create directory", out))?;
        loop {
            let path = out.join(name::directory_name(role, tag, clock::wall_ns()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunDir { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(Error::io("create directory", &path)(error)),
            }
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `meta.json`; again, when more is known later. Atomic.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write_meta(&self, meta: &Meta) -> Result<()> {
        self.write_json(META, meta)
    }

    /// Writes `summary.json`, the last act of a run. Atomic.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write_summary(&self, summary: &impl Serialize) -> Result<()> {
        self.write_json(SUMMARY, summary)
    }

    /// Writes `capacity.json`, at the end of a search whose trials are run directories beneath this one.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write_capacity(&self, summary: &CapacitySummary) -> Result<()> {
        self.write_json(CAPACITY, summary)
    }

    /// Writes `ledger.jsonl`, at the end of a run.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write_ledger(&self, entries: &[LedgerEntry]) -> Result<()> {
        ledger::write(&self.path.join(LEDGER), entries)
    }

    /// Writes bytes that broke the rules of a protocol to `evidence-NUMBER.bin`, and returns the file's name.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn write_evidence(&self, number: usize, bytes: &[u8]) -> Result<String> {
        let name = format!("{EVIDENCE}-{number:04}.bin");
        let path = self.path.join(&name);
        fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        Ok(name)
    }

    /// Begins `raw.csv` with the columns of [`columns::RAW`] and the `extra` ones behind them.
    ///
    /// # Errors
    /// The file exists, or the disk does not take it.
    pub fn raw_writer(&self, extra: &[String]) -> Result<TableWriter> {
        TableWriter::create(self.path.join(RAW), columns::RAW, extra, Flush::EachRow)
    }

    /// Begins `counters.csv`.
    ///
    /// # Errors
    /// The file exists, or the disk does not take it.
    pub fn counters_writer(&self) -> Result<CountersWriter> {
        let table = TableWriter::create(self.path.join(COUNTERS), columns::COUNTERS, &[], Flush::EachRow)?;
        Ok(CountersWriter { table })
    }

    /// Begins `samples.csv`, whose rows the caller flushes, at least once a second.
    ///
    /// # Errors
    /// The file exists, or the disk does not take it.
    pub fn samples_writer(&self) -> Result<TableWriter> {
        TableWriter::create(self.path.join(SAMPLES), columns::SAMPLES, &[], Flush::WhenTold)
    }

    /// Begins `processes.csv`.
    ///
    /// # Errors
    /// The file exists, or the disk does not take it.
    pub fn processes_writer(&self) -> Result<TableWriter> {
        TableWriter::create(self.path.join(PROCESSES), columns::PROCESSES, &[], Flush::WhenTold)
    }

    /// Begins `threads.csv`.
    ///
    /// # Errors
    /// The file exists, or the disk does not take it.
    pub fn threads_writer(&self) -> Result<TableWriter> {
        TableWriter::create(self.path.join(THREADS), columns::THREADS, &[], Flush::WhenTold)
    }

    /// Opens `events.jsonl` for appending. Several processes may append to one file: each line is one write.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn events(&self) -> Result<EventLog> {
        let path = self.path.join(EVENTS);
        let file = File::options().create(true).append(true).open(&path).map_err(Error::io("create", &path))?;
        Ok(EventLog { path, file })
    }

    /// Begins `latency.hlog`.
    ///
    /// # Errors
    /// The file exists, or the disk does not take it.
    pub fn latency_log(&self) -> Result<LatencyLog> {
        LatencyLog::create(self.path.join(LATENCY), clock::wall_ns())
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let (path, temporary) = (self.path.join(name), self.path.join(format!(".{name}.tmp")));
        let mut text = serde_json::to_vec_pretty(value).map_err(|reason| Error::Json { path: path.clone(), reason })?;
        text.push(b'\n');
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        written.and_then(|()| fs::rename(&temporary, &path)).map_err(|reason| {
            let _ = fs::remove_file(&temporary);
            Error::Io { action: "write", path, reason }
        })
    }
}

/// Writes a CSV file cell by cell, row by row. A row reaches the file whole or not at all.
#[derive(Debug)]
pub struct TableWriter {
    path: PathBuf,
    file: File,
    flush: Flush,
    columns: usize,
    cells: usize,
    /// Rows that are not in the file yet, the last one maybe unfinished.
    pending: Vec<u8>,
    /// Where the last row in `pending` begins.
    row_start: usize,
    /// Bytes of whole rows in the file: what it is cut back to when the disk takes only a part of a row.
    whole_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flush {
    EachRow,
    WhenTold,
}

impl TableWriter {
    fn create(path: PathBuf, columns: &[Column], extra: &[String], flush: Flush) -> Result<TableWriter> {
        let file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let columns: Vec<&str> =
            columns.iter().map(|column| column.name).chain(extra.iter().map(String::as_str)).collect();
        let (pending, count) = (columns.join(",").into_bytes(), columns.len());
        let mut table =
            TableWriter { path, file, flush, columns: count, cells: count, pending, row_start: 0, whole_bytes: 0 };
        table.end_row()?;
        table.flush()?;
        Ok(table)
    }

    /// Appends a number.
    pub fn number(&mut self, value: u64) -> &mut Self {
        self.separate();
        write!(self.pending, "{value}").expect("writing to a Vec cannot fail");
        self
    }

    /// Appends a number, or an empty cell when it is not known.
    pub fn maybe(&mut self, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.number(value),
            None => {
                self.separate();
                self
            }
        }
    }

    /// Appends text, quoted where CSV asks for it. Control characters become spaces: a row is a line.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.separate();
        let value = value.replace(char::is_control, " ");
        if value.contains([',', '"']) {
            self.pending.extend_from_slice(format!("\"{}\"", value.replace('"', "\"\"")).as_bytes());
        } else {
            self.pending.extend_from_slice(value.as_bytes());
        }
        self
    }

    /// Ends the row; it reaches the kernel now, or at [`TableWriter::flush`] for a file that is flushed when told.
    ///
    /// # Errors
    /// The number of cells is not that of the columns (the row is dropped), or the disk does not take the row.
    pub fn end_row(&mut self) -> Result<()> {
        let cells = std::mem::take(&mut self.cells);
        if cells != self.columns {
            self.pending.truncate(self.row_start);
            return Err(Error::RowShape { path: self.path.clone(), cells, columns: self.columns });
        }
        self.pending.push(b'\n');
        self.row_start = self.pending.len();
        if self.flush == Flush::EachRow { self.flush() } else { Ok(()) }
    }

    /// Hands all ended rows to the kernel.
    ///
    /// # Errors
    /// The disk does not take them; the file is cut back to whole rows, and the rows are lost.
    pub fn flush(&mut self) -> Result<()> {
        let written = self.file.write_all(&self.pending[..self.row_start]);
        let bytes = self.row_start as u64;
        self.pending.drain(..self.row_start);
        self.row_start = 0;
        match written {
            Ok(()) => {
                self.whole_bytes += bytes;
                Ok(())
            }
            Err(reason) => {
                self.cut_back();
                Err(Error::Io { action: "append to", path: self.path.clone(), reason })
            }
        }
    }

    fn cut_back(&mut self) {
        use std::io::Seek;
        // Best effort: a reader drops a torn line too.
        let _ = self.file.set_len(self.whole_bytes);
        let _ = self.file.seek(std::io::SeekFrom::Start(self.whole_bytes));
    }

    fn separate(&mut self) {
        if self.cells > 0 {
            self.pending.push(b',');
        }
        self.cells += 1;
    }
}

/// One row of `counters.csv`: what a tool had done by this moment. Cumulative, except `connected`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CounterRow {
    /// `CLOCK_MONOTONIC`, ns.
    pub mono_ns: u64,
    /// `CLOCK_REALTIME`, ns.
    pub wall_ns: u64,
    /// Connections that live now, CONNACK received.
    pub connected: u64,
    /// CONNACKs with code 0.
    pub connect_succ: u64,
    /// Connection attempts that ended otherwise.
    pub connect_fail: u64,
    /// Connections that ended before they were meant to.
    pub disconnected: u64,
    /// Messages that the plan had due.
    pub offered: u64,
    /// Messages encoded and given to a connection.
    pub attempted: u64,
    /// Messages that the kernel took whole.
    pub written: u64,
    /// Messages acknowledged.
    pub acked: u64,
    /// Messages received.
    pub received: u64,
    /// Bytes of their payloads.
    pub received_bytes: u64,
    /// Gaps in the senders' sequences, as known now.
    pub lost: u64,
    /// Messages that came again.
    pub duplicated: u64,
    /// Messages that came after a later one of the same sender.
    pub out_of_order: u64,
    /// Messages whose payload was not the one that was sent.
    pub corrupted: u64,
    /// CPU time of the tool, us.
    pub self_cpu_us: u64,
}

impl CounterRow {
    /// The values in the order of [`columns::COUNTERS`].
    pub fn values(&self) -> [u64; 17] {
        [
            self.mono_ns,
            self.wall_ns,
            self.connected,
            self.connect_succ,
            self.connect_fail,
            self.disconnected,
            self.offered,
            self.attempted,
            self.written,
            self.acked,
            self.received,
            self.received_bytes,
            self.lost,
            self.duplicated,
            self.out_of_order,
            self.corrupted,
            self.self_cpu_us,
        ]
    }

    /// The row of values in that order.
    pub fn from_values(values: [u64; 17]) -> CounterRow {
        let [mono_ns, wall_ns, connected, connect_succ, connect_fail, disconnected, rest @ ..] = values;
        let [offered, attempted, written, acked, received, received_bytes, lost, rest @ ..] = rest;
        let [duplicated, out_of_order, corrupted, self_cpu_us] = rest;
        CounterRow {
            mono_ns,
            wall_ns,
            connected,
            connect_succ,
            connect_fail,
            disconnected,
            offered,
            attempted,
            written,
            acked,
            received,
            received_bytes,
            lost,
            duplicated,
            out_of_order,
            corrupted,
            self_cpu_us,
        }
    }
}

/// Writes `counters.csv`.
#[derive(Debug)]
pub struct CountersWriter {
    table: TableWriter,
}

impl CountersWriter {
    /// Appends a row; it reaches the kernel before the call returns.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn append(&mut self, row: &CounterRow) -> Result<()> {
        for value in row.values() {
            self.table.number(value);
        }
        self.table.end_row()
    }
}

/// Appends to `events.jsonl`.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

impl EventLog {
    /// Appends one event as one line; it reaches the kernel before the call returns.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn append(&mut self, event: &Event) -> Result<()> {
        let encoded = serde_json::to_vec(event).map_err(|reason| Error::Json { path: self.path.clone(), reason });
        let mut line = encoded?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("append to", &self.path))
    }
}
