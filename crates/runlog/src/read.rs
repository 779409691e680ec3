//! Finding and reading runs, ours and the guide's.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::hlog::{self, LatencyInterval};
use crate::meta::GuideMeta;
use crate::table::Table;
use crate::write::{self, CounterRow};
use crate::{
    Context, Error, Event, LedgerEntry, Loaded, Meta, Result, Role, Summary, Warning, clock, columns, ledger, name,
    parts,
};

/// Which tools wrote a run directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Ours: `meta.json`, nanosecond stamps.
    Ours,
    /// The guide's scripts: `meta.txt`, whole-second stamps.
    Guide,
}

/// A run directory that was found.
#[derive(Debug, Clone)]
pub struct Run {
    /// The directory.
    pub path: PathBuf,
    /// Who wrote it.
    pub format: Format,
    /// The part that the host played.
    pub role: Role,
    /// What tells it from its neighbours.
    pub tag: String,
    /// Start, seconds since 1970, from the metadata or else from the directory's name.
    pub utc: Option<u64>,
    /// The experiment that it belongs to.
    pub context: Option<Context>,
    /// `meta.json`, when there is one and it reads.
    pub meta: Option<Meta>,
    /// `meta.txt`, when there is one.
    pub guide_meta: Option<GuideMeta>,
    /// Directories that go on where this one ends, in the order of time: the file of samples was cut.
    pub continued: Vec<PathBuf>,
    /// What was wrong with the directory and its metadata.
    pub warnings: Vec<Warning>,
}

/// Walks the given directories and finds run directories in them (or that they are), in the order of their paths.
///
/// A run directory is one that holds `meta.json`, `meta.txt` or `raw.csv`; nothing is looked for below it. Symbolic links
/// below the given directories are not followed, and what was set aside ([`crate::RunDir::set_aside`]) is left out. Runs whose
/// file of samples goes on in the next directory are one run, see [`crate::parts`].
///
/// # Errors
/// A given path does not exist, is no directory, or cannot be read.
pub fn discover(roots: &[PathBuf]) -> Result<Vec<Run>> {
    Ok(parts::join(find(roots)?.into_iter().map(Run::open).collect()))
}

/// The paths of what [`discover`] would open, in the same order: cheap enough to look again and again while runs are made.
///
/// # Errors
/// As [`discover`].
pub fn find(roots: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for root in roots {
        walk(root, &mut paths)?;
    }
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Path of the plan that a playbook keeps in the directory of an experiment.
pub fn plan_path(experiment: &Path) -> PathBuf {
    experiment.join(write::PLAN)
}

/// Path of the claims that an experiment's report judges without being told to.
pub fn claims_path(experiment: &Path) -> PathBuf {
    experiment.join(write::CLAIMS)
}

/// The plan of an experiment; `None` when there is none.
///
/// # Errors
/// The file is there and cannot be read or parsed.
pub fn plan(experiment: &Path) -> Result<Option<serde_json::Value>> {
    let path = plan_path(experiment);
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
    serde_json::from_str(&text).map(Some).map_err(|reason| Error::Json { path, reason })
}

/// Where the rates of a file of samples go, by the names of the guide's script: `raw.csv` to `rates.csv`, `raw-x.csv` to
/// `rates-x.csv`, any other to itself with `.rates.csv` behind.
pub fn rates_beside(raw: &Path) -> PathBuf {
    let name = raw.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let rates = match name.strip_prefix(write::RAW_PREFIX) {
        _ if name == write::RAW => write::RATES.to_owned(),
        Some(rest) => format!("{}{rest}", write::RATES_PREFIX),
        None => format!("{name}.{}", write::RATES),
    };
    raw.with_file_name(rates)
}

impl Run {
    /// Reads the metadata of one run directory. Damage goes to `warnings`.
    pub fn open(path: impl Into<PathBuf>) -> Run {
        let path = path.into();
        let mut warnings = Vec::new();
        let meta = load_meta(&path.join(write::META), &mut warnings);
        let guide_meta = fs::read(path.join(write::GUIDE_META)).ok();
        let guide_meta = guide_meta.or_else(|| fs::read(copy_of(&path, write::GUIDE_META)?).ok());
        let guide_meta = guide_meta.map(|bytes| GuideMeta::parse(&String::from_utf8_lossy(&bytes)));
        let format = if guide_meta.is_some() && meta.is_none() { Format::Guide } else { Format::Ours };
        if meta.is_none() && guide_meta.is_none() && warnings.is_empty() {
            warnings.push(Warning::new(&path, None, "neither meta.json nor meta.txt: host and tool are unknown"));
        }
        let named = path.file_name().and_then(|name| name::parse_directory_name(&name.to_string_lossy()));
        let role = meta.as_ref().map(|meta| meta.role).or(named.as_ref().map(|(role, ..)| *role));
        let role = role.unwrap_or_else(|| {
            warnings.push(Warning::new(&path, None, "neither metadata nor name tell the role: taken as broker"));
            Role::Broker
        });
        let folder = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let tag = meta.as_ref().map(|meta| meta.tag.clone()).or(named.as_ref().map(|(_, tag, _)| tag.clone()));
        let utc = meta.as_ref().map(|meta| meta.started_wall_ns / clock::NS_PER_S).filter(|&started| started > 0);
        let utc = utc.or_else(|| guide_meta.as_ref()?.started_s).or(named.map(|(.., utc)| utc));
        let context = meta.as_ref().and_then(|meta| meta.context.clone());
        let tag = tag.unwrap_or(folder);
        Run { format, role, tag, utc, context, meta, guide_meta, continued: Vec::new(), warnings, path }
    }

    /// The files of samples of all its directories, in the order of time.
    pub fn raw_paths(&self) -> Vec<PathBuf> {
        std::iter::once(self.raw_path()).chain(self.continued.iter().map(|path| raw_in(path))).collect()
    }

    /// Path of the file that the metadata is in: `meta.json`, or the guide's `meta.txt`.
    pub fn manifest_path(&self) -> PathBuf {
        self.path.join(if self.format == Format::Guide { write::GUIDE_META } else { write::META })
    }

    /// Path of `raw.csv`, whether it exists or not; likewise the others. Where only the guide's copy under the run's own name
    /// was kept (`raw-<run>.csv`), that of the copy.
    pub fn raw_path(&self) -> PathBuf {
        raw_in(&self.path)
    }

    /// Path of `counters.csv`.
    pub fn counters_path(&self) -> PathBuf {
        self.path.join(write::COUNTERS)
    }

    /// Path of `rates.csv`, which `analyze rates` writes.
    pub fn rates_path(&self) -> PathBuf {
        self.path.join(write::RATES)
    }

    /// Path of `samples.csv`.
    pub fn samples_path(&self) -> PathBuf {
        self.path.join(write::SAMPLES)
    }

    /// Path of `events.jsonl`.
    pub fn events_path(&self) -> PathBuf {
        self.path.join(write::EVENTS)
    }

    /// Path of `latency.hlog`.
    pub fn latency_path(&self) -> PathBuf {
        self.path.join(write::LATENCY)
    }

    /// Path of `summary.json`.
    pub fn summary_path(&self) -> PathBuf {
        self.path.join(write::SUMMARY)
    }

    /// `processes.csv` of a collector: the target's processes one by one.
    ///
    /// # Errors
    /// It is absent or damaged as a whole.
    pub fn processes(&self) -> Result<Table> {
        Table::load(self.path.join(write::PROCESSES))
    }

    /// `threads.csv` of a collector: the target's threads at a slow beat.
    ///
    /// # Errors
    /// It is absent or damaged as a whole.
    pub fn threads(&self) -> Result<Table> {
        Table::load(self.path.join(write::THREADS))
    }

    /// `raw.csv` without its damaged lines.
    ///
    /// # Errors
    /// As [`Table::load`].
    pub fn raw(&self) -> Result<Table> {
        Table::load(self.raw_path())
    }

    /// `counters.csv`. A column that an older file lacks is 0.
    ///
    /// # Errors
    /// As [`Table::load`].
    pub fn counters(&self) -> Result<Loaded<Vec<CounterRow>>> {
        counter_rows(Table::load(self.counters_path())?)
    }

    /// `samples.csv` of a prober, in the order of the due times.
    ///
    /// # Errors
    /// It is absent or damaged as a whole, or lacks a column.
    pub fn probes(&self) -> Result<Loaded<Vec<Probe>>> {
        let table = Table::load(self.samples_path())?;
        let (due, received) = (table.numbers(columns::DUE_NS)?, table.numbers(columns::RECEIVED_NS)?);
        let probe = |(due_ns, received_ns): (Option<u64>, Option<u64>)| Some(Probe { due_ns: due_ns?, received_ns });
        let mut probes: Vec<Probe> = due.into_iter().zip(received).filter_map(probe).collect();
        probes.sort_by_key(|probe| probe.due_ns);
        Ok(Loaded { value: probes, warnings: table.warnings })
    }

    /// The last rows of `raw.csv`: see [`Table::load_tail`].
    ///
    /// # Errors
    /// As [`Table::load_tail`].
    pub fn raw_tail(&self, bytes_max: u64) -> Result<Table> {
        Table::load_tail(self.raw_path(), bytes_max)
    }

    /// The last rows of `counters.csv`.
    ///
    /// # Errors
    /// As [`Table::load_tail`].
    pub fn counters_tail(&self, bytes_max: u64) -> Result<Vec<CounterRow>> {
        Ok(counter_rows(Table::load_tail(self.counters_path(), bytes_max)?)?.value)
    }

    /// The last events; none when there is no file. A line that is no event, or not whole yet, is left out.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn events_tail(&self, bytes_max: u64) -> Result<Vec<Event>> {
        let path = self.events_path();
        if !path.exists() {
            return Ok(Vec::new());
        }
        let bytes = head_and_tail(&path, bytes_max).map_err(Error::io("read", &path))?;
        Ok(parse_events(&path, &bytes).value)
    }

    /// The events, in the order of the file; none when there is no file (the guide's runs have none).
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn events(&self) -> Result<Loaded<Vec<Event>>> {
        let path = self.events_path();
        if !path.exists() {
            return Ok(Loaded { value: Vec::new(), warnings: Vec::new() });
        }
        let bytes = fs::read(&path).map_err(Error::io("read", &path))?;
        Ok(parse_events(&path, &bytes))
    }

    /// The ledger; empty where the run wrote none.
    ///
    /// # Errors
    /// The file is there and cannot be read or parsed.
    pub fn ledger(&self) -> Result<Vec<LedgerEntry>> {
        ledger::read(&self.path.join(write::LEDGER))
    }

    /// `summary.json`; `None` when the tool did not live to write it, or is the guide's.
    ///
    /// # Errors
    /// The file is there and cannot be read or parsed.
    pub fn summary(&self) -> Result<Option<Summary>> {
        let path = self.summary_path();
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        Summary::from_json(&text).map(Some).map_err(|reason| Error::Json { path, reason })
    }

    /// The intervals of `latency.hlog`, values in ns.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn latency(&self) -> Result<Loaded<Vec<LatencyInterval>>> {
        hlog::read(&self.latency_path())
    }
}

/// One probe; stamps by `CLOCK_MONOTONIC`, ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// When it was due.
    pub due_ns: u64,
    /// When it came back; `None` when it was lost.
    pub received_ns: Option<u64>,
}

impl Probe {
    /// From the due time on, ns; `None` when it was lost.
    pub fn latency_ns(&self) -> Option<u64> {
        Some(self.received_ns?.saturating_sub(self.due_ns))
    }
}

fn walk(directory: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let is_run = [write::META, write::GUIDE_META, write::RAW].iter().any(|file| directory.join(file).is_file())
        || copy_of(directory, write::RAW).is_some();
    let entries = fs::read_dir(directory).map_err(Error::io("read directory", directory))?;
    if is_run {
        paths.push(directory.to_owned());
        return Ok(());
    }
    for entry in entries {
        let entry = entry.map_err(Error::io("read directory", directory))?;
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && entry.file_name() != write::SET_ASIDE {
            walk(&entry.path(), paths)?;
        }
    }
    Ok(())
}

/// The guide's copy of a file in a run directory: its name with `-<run>` before the extension, where `<run>` is the name of
/// the directory, as the guide's collectors leave it.
fn copy_of(directory: &Path, file: &str) -> Option<PathBuf> {
    let run = directory.file_name()?.to_string_lossy();
    let (stem, extension) = file.rsplit_once('.')?;
    let copy = directory.join(format!("{stem}-{run}.{extension}"));
    copy.is_file().then_some(copy)
}

fn counter_rows(table: Table) -> Result<Loaded<Vec<CounterRow>>> {
    let mut rows = vec![[0; columns::COUNTERS.len()]; table.rows as usize];
    for (index, column) in columns::COUNTERS.iter().enumerate().filter(|(_, column)| table.has(column.name)) {
        for (row, value) in rows.iter_mut().zip(table.numbers(column.name)?) {
            row[index] = value.unwrap_or(0);
        }
    }
    Ok(Loaded { value: rows.into_iter().map(CounterRow::from_values).collect(), warnings: table.warnings })
}

/// The first line of a file and at most about `bytes_max` of its last bytes, from a line's begin on.
pub(crate) fn head_and_tail(path: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= bytes_max.saturating_add(HEAD_BYTES_MAX) {
        file.take(length).read_to_end(&mut bytes)?;
        return Ok(bytes);
    }
    Read::by_ref(&mut file).take(HEAD_BYTES_MAX).read_to_end(&mut bytes)?;
    let head = bytes.iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |end| end + 1);
    bytes.truncate(head);
    file.seek(SeekFrom::Start(length - bytes_max))?;
    let mut tail = Vec::new();
    file.take(bytes_max).read_to_end(&mut tail)?;
    let begin = tail.iter().position(|&byte| byte == b'\n').map_or(tail.len(), |end| end + 1);
    bytes.extend_from_slice(&tail[begin..]);
    Ok(bytes)
}

/// No header is longer: with a hundred cores it has about 10 KiB.
const HEAD_BYTES_MAX: u64 = 64 * 1024;

fn raw_in(directory: &Path) -> PathBuf {
    let raw = directory.join(write::RAW);
    if raw.exists() { raw } else { copy_of(directory, write::RAW).unwrap_or(raw) }
}

fn load_meta(path: &Path, warnings: &mut Vec<Warning>) -> Option<Meta> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            warnings.push(Warning::new(path, None, format!("cannot be read: {error}")));
            return None;
        }
    };
    match serde_json::from_str(&text) {
        Ok(meta) => Some(meta),
        Err(error) => {
            warnings.push(Warning::new(path, Some(error.line() as u64), format!("not valid: {error}")));
            None
        }
    }
}

fn parse_events(path: &Path, bytes: &[u8]) -> Loaded<Vec<Event>> {
    let mut loaded = Loaded { value: Vec::new(), warnings: Vec::new() };
    for (number, line) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice(line) {
            Ok(event) => loaded.value.push(event),
            Err(_) if !line.ends_with(b"\n") => {
                let message = "the last line has no end: the tool was stopped while writing it; dropped";
                loaded.warnings.push(Warning::new(path, Some(number), message));
            }
            Err(error) => {
                loaded.warnings.push(Warning::new(path, Some(number), format!("not an event: {error}; line dropped")));
            }
        }
    }
    loaded
}
