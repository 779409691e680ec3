//! Reading and writing `latency.hlog`, the histogram log.
//!
//! The format is that of HdrHistogram's `HistogramLogWriter` 1.3 with compressed V2 histograms, which all of its tools
//! read (`HistogramLogProcessor`, hdr-plot, HistogramLogAnalyzer). Values are nanoseconds; the column `Interval_Max` is in
//! milliseconds, as those tools expect. Time stamps are seconds since 1970.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogHistogram, IntervalLogIterator, LogEntry};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::{Error, Loaded, Result, Warning, clock};

/// The largest value that a latency histogram holds, ns: one hour. Record with `saturating_record`.
pub const VALUE_NS_MAX: u64 = 3_600 * clock::NS_PER_S;

/// Tag of latencies from the due time.
pub const CORRECTED: &str = "corrected";

/// Tag of latencies from the actual send; the prober's are of those probes only that a closed loop would have sent.
pub const UNCORRECTED: &str = "uncorrected";

/// Tag of the times from the begin of the TCP connect to the CONNACK.
pub const CONNACK: &str = "connack";

/// Tag of the times from when a message was due to when it was sent.
pub const SEND_LAG: &str = "send_lag";

/// Tag of the same of those messages only whose client was free to send: what the generator itself is late.
pub const OWN_LAG: &str = "own_lag";

/// Latencies in ns.
pub type Latencies = Histogram<u64>;

/// An empty histogram for latencies in ns: three significant digits (error below 0.1 %), up to [`VALUE_NS_MAX`].
pub fn histogram() -> Latencies {
    Histogram::new_with_bounds(1, VALUE_NS_MAX, 3).expect("constant bounds that the library accepts")
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct LatencyInterval {
    /// What was measured, where one log holds several series (`corrected`, `uncorrected`).
    pub tag: Option<String>,
    /// Start of the interval, ns since 1970 (to a millisecond).
    pub start_wall_ns: u64,
    /// Its length, ns (to a millisecond).
    pub length_ns: u64,
    /// Values in ns.
    pub histogram: Histogram<u64>,
}

impl LatencyInterval {
    /// Whether it lies wholly between two moments, ns since 1970. Logs stamp their intervals to a millisecond; as much is allowed
    /// for at both ends, and as much again for the clock that was read for the moments.
    pub fn is_within(&self, begin_wall_ns: u64, end_wall_ns: u64) -> bool {
        let slack_ns = 2 * clock::NS_PER_S / 1_000;
        self.start_wall_ns + slack_ns >= begin_wall_ns && self.start_wall_ns + self.length_ns <= end_wall_ns + slack_ns
    }
}

/// Sums the intervals with a tag into one histogram; `None` when there are none.
pub fn merge<'a>(
    intervals: impl IntoIterator<Item = &'a LatencyInterval>,
    tag: Option<&str>,
) -> Option<Histogram<u64>> {
    let mut chosen = intervals.into_iter().filter(|interval| interval.tag.as_deref() == tag);
    let mut sum = chosen.next()?.histogram.clone();
    sum.auto(true);
    for interval in chosen {
        sum.add(&interval.histogram).expect("an auto-resizing histogram takes every value");
    }
    Some(sum)
}

/// Appends intervals to a log; each line reaches the kernel before the call returns.
#[derive(Debug)]
pub struct LatencyLog {
    path: PathBuf,
    file: File,
    encoded: Vec<u8>,
    line: String,
}

impl LatencyLog {
    pub(crate) fn create(path: PathBuf, started_wall_ns: u64) -> Result<LatencyLog> {
        let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
        let start_s = started_wall_ns as f64 / clock::NS_PER_S as f64;
        let header = format!(
            "#[Histogram log format version 1.3]\n#[StartTime: {start_s:.3} (seconds since epoch), {}]\n\
             \"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
            clock::utc_text(started_wall_ns)
        );
        file.write_all(header.as_bytes()).map_err(Error::io("append to", &path))?;
        Ok(LatencyLog { path, file, encoded: Vec::new(), line: String::new() })
    }

    /// Appends one interval. A tag must not contain commas, spaces or line breaks.
    ///
    /// # Errors
    /// The histogram cannot be encoded, the tag is not allowed, or the disk does not take the line.
    pub fn append(
        &mut self,
        tag: Option<&str>,
        start_wall_ns: u64,
        length_ns: u64,
        histogram: &Histogram<u64>,
    ) -> Result<()> {
        if let Some(tag) = tag.filter(|tag| tag.contains([',', ' ', '\r', '\n'])) {
            return Err(self.failed(format!("tag {tag:?} contains a comma, space or line break")));
        }
        self.encoded.clear();
        let encoded = V2DeflateSerializer::new().serialize(histogram, &mut self.encoded);
        encoded.map_err(|error| self.failed(error.to_string()))?;
        self.line.clear();
        if let Some(tag) = tag {
            self.line.push_str(&format!("Tag={tag},"));
        }
        let seconds = |ns: u64| ns as f64 / clock::NS_PER_S as f64;
        let max_ms = histogram.max() as f64 / 1e6;
        self.line.push_str(&format!("{:.3},{:.3},{max_ms:.3},", seconds(start_wall_ns), seconds(length_ns)));
        STANDARD.encode_string(&self.encoded, &mut self.line);
        self.line.push('\n');
        self.file.write_all(self.line.as_bytes()).map_err(Error::io("append to", &self.path))
    }

    fn failed(&self, reason: String) -> Error {
        Error::Histogram { path: self.path.clone(), reason }
    }
}

/// Reads a log; lines that do not decode become warnings.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> Result<Loaded<Vec<LatencyInterval>>> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    let mut loaded = Loaded { value: Vec::new(), warnings: Vec::new() };
    for (number, line) in (1..).zip(bytes.split_inclusive(|&byte| byte == b'\n')) {
        if !line.ends_with(b"\n") {
            let message = "the last line has no end: the tool was stopped while writing it; dropped";
            loaded.warnings.push(Warning::new(path, Some(number), message));
            break;
        }
        match line_interval(line) {
            Ok(interval) => loaded.value.extend(interval),
            Err(reason) => loaded.warnings.push(Warning::new(path, Some(number), format!("{reason}; line dropped"))),
        }
    }
    Ok(loaded)
}

fn line_interval(line: &[u8]) -> Result<Option<LatencyInterval>, String> {
    match IntervalLogIterator::new(line).next() {
        Some(Ok(LogEntry::Interval(interval))) => decode(&interval).map(Some),
        Some(Ok(LogEntry::StartTime(_) | LogEntry::BaseTime(_))) | None => Ok(None),
        Some(Err(_)) => Err("not a line of a histogram log".to_owned()),
    }
}

fn decode(interval: &IntervalLogHistogram<'_>) -> Result<LatencyInterval, String> {
    let encoded = STANDARD.decode(interval.encoded_histogram()).map_err(|error| format!("bad base64: {error}"))?;
    let histogram =
        Deserializer::new().deserialize(&mut encoded.as_slice()).map_err(|error| format!("bad histogram: {error}"))?;
    Ok(LatencyInterval {
        tag: interval.tag().map(|tag| tag.as_str().to_owned()),
        start_wall_ns: interval.start_timestamp().as_nanos() as u64,
        length_ns: interval.duration().as_nanos() as u64,
        histogram,
    })
}
