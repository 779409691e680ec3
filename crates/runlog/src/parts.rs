//! Runs whose file of samples was cut: the second directory goes on where the first one ends.
//!
//! Directories of one role, tag and context are parts of one run where the next file has the same columns, begins no later than one
//! and a half periods after the last sample, and its counters go on from there. A repeat does none of this: between two repeats
//! lies the start of a broker, and of a collector.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::columns::{self, Kind, MONO_NS, TIME_UTC};
use crate::table::Table;
use crate::{Context, Role, Run, clock};

/// Joins the parts of runs; the others, and the order of what is left, stay as they are.
pub fn join(mut runs: Vec<Run>) -> Vec<Run> {
    let mut groups: BTreeMap<(Role, String, String), Vec<usize>> = BTreeMap::new();
    for (index, run) in runs.iter().enumerate() {
        let context = run.context.as_ref().map(Context::to_env).unwrap_or_default();
        groups.entry((run.role, run.tag.clone(), context)).or_default().push(index);
    }
    let mut follows: BTreeMap<usize, usize> = BTreeMap::new();
    for group in groups.into_values().filter(|group| group.len() > 1) {
        let mut ends: Vec<(usize, Ends)> =
            group.into_iter().filter_map(|index| Some((index, Ends::of(&runs[index].raw_path())?))).collect();
        ends.sort_by_key(|(_, ends)| ends.first_ns);
        for pair in ends.windows(2) {
            let [(before, earlier), (after, later)] = pair else { continue };
            if later.continues(earlier) {
                follows.insert(*after, *before);
            }
        }
    }
    let first_of = |index: usize| {
        let mut first = index;
        while let Some(before) = follows.get(&first) {
            first = *before;
        }
        first
    };
    let mut parts: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
    for (depth, index) in follows.keys().map(|index| (chain_length(&follows, *index), *index)) {
        parts.entry(first_of(index)).or_default().push((depth, index));
    }
    for (first, mut others) in parts {
        others.sort_unstable();
        runs[first].continued = others.into_iter().map(|(_, index)| runs[index].path.clone()).collect();
    }
    let mut index = 0;
    runs.retain(|_| {
        index += 1;
        !follows.contains_key(&(index - 1))
    });
    runs
}

fn chain_length(follows: &BTreeMap<usize, usize>, index: usize) -> u64 {
    let (mut length, mut at) = (0, index);
    while let Some(before) = follows.get(&at) {
        (length, at) = (length + 1, *before);
    }
    length
}

/// The first and the last rows of a file of samples.
struct Ends {
    header: Vec<u8>,
    first_ns: u64,
    last_ns: u64,
    /// The usual distance of rows at the end.
    period_ns: u64,
    /// Counters of the first and of the last row, by column.
    counters: BTreeMap<String, (Option<u64>, Option<u64>)>,
}

impl Ends {
    fn of(raw: &Path) -> Option<Self> {
        let head = head(raw)?;
        let tail = Table::load_tail(raw, END_BYTES).ok()?;
        let stamps = |table: &Table| -> Option<Vec<u64>> {
            if table.has(MONO_NS) {
                return Some(table.numbers(MONO_NS).ok()?.into_iter().flatten().collect());
            }
            let texts = table.texts(TIME_UTC).ok()?;
            Some(
                texts.iter().filter_map(|text| clock::parse_utc(text)).map(|second| second * clock::NS_PER_S).collect(),
            )
        };
        let (of_head, of_tail) = (stamps(&head)?, stamps(&tail)?);
        let mut distances: Vec<u64> = of_tail.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        distances.sort_unstable();
        let header = head.csv().split(|byte| *byte == b'\n').next().unwrap_or_default().to_vec();
        let names = String::from_utf8_lossy(&header).into_owned();
        let counters = names.trim().split(',').filter(|name| columns::kind(name) == Some(Kind::Counter));
        let ends = |name: &str| {
            let first = head.numbers(name).ok().and_then(|values| *values.first()?);
            let last = tail.numbers(name).ok().and_then(|values| *values.last()?);
            (name.to_owned(), (first, last))
        };
        Some(Self {
            counters: counters.map(ends).collect(),
            first_ns: *of_head.first()?,
            last_ns: *of_tail.last()?,
            period_ns: distances.get(distances.len() / 2).copied().unwrap_or(0),
            header,
        })
    }

    fn continues(&self, earlier: &Self) -> bool {
        let Some(gap_ns) = self.first_ns.checked_sub(earlier.last_ns) else { return false };
        let period_ns = earlier.period_ns.max(self.period_ns);
        let goes_on = |(name, (first, _)): (&String, &(Option<u64>, Option<u64>))| {
            let last = earlier.counters.get(name).and_then(|(_, last)| *last);
            first.zip(last).is_none_or(|(first, last)| first >= last)
        };
        self.header == earlier.header
            && period_ns > 0
            && gap_ns <= period_ns + period_ns / 2
            && !self.counters.is_empty()
            && self.counters.iter().all(goes_on)
    }
}

/// The first rows of a file.
fn head(raw: &Path) -> Option<Table> {
    let mut bytes = Vec::new();
    File::open(raw).ok()?.take(END_BYTES).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n')? + 1;
    Table::parse(raw.to_owned(), &bytes[..end]).ok()
}

/// Enough for a header and a hundred rows of the widest file.
const END_BYTES: u64 = 256 << 10;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(home: &Path, second: u64, rows: std::ops::Range<u64>) {
        let dir = home.join(format!("broker-A-x-load-run1-20260101T0000{second:02}Z"));
        fs::create_dir(&dir).unwrap();
        let row = |at: u64| format!("{},{}\n", clock::utc_text((1_767_000_000 + at) * clock::NS_PER_S), at * 10);
        fs::write(dir.join("raw.csv"), format!("time_utc,ctxt\n{}", rows.map(row).collect::<String>())).unwrap();
    }

    fn parts(pieces: &[std::ops::Range<u64>]) -> Vec<usize> {
        let home = tempfile::tempdir().unwrap();
        for (second, rows) in (0..).zip(pieces) {
            write(home.path(), second, rows.clone());
        }
        let runs = crate::discover(&[home.path().to_owned()]).unwrap();
        runs.iter().map(|run| 1 + run.continued.len()).collect()
    }

    #[test]
    fn a_cut_file_is_one_run_and_repeats_are_not() {
        assert_eq!(parts(&[0..20, 20..40, 40..60]), [3]);
        assert_eq!(parts(&[20..40, 0..20]), [2]);
        assert_eq!(parts(&[0..20, 23..40]), [1, 1]);
        assert_eq!(parts(&[0..20, 10..40]), [1, 1]);
        assert_eq!(parts(&[0..20, 20..21]), [2]);
    }
}
