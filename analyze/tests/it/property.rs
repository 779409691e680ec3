//! What must hold for any input: the order and the place of runs change nothing, neither does cutting a file where rates are
//! concerned, and no rubbish makes a reader panic.

use std::fs;
use std::path::{Path, PathBuf};

use analyze::series::Series;
use analyze::{audit, claims, compare, console, summary};
use proptest::prelude::*;
use runlog::Run;
use serde_json::Value;

use crate::{model, tree};

/// Everything that looks at several runs, as JSON; of damaged runs also what it says of them.
fn everything(runs: &[Run]) -> Vec<String> {
    let summaries = runs.iter().map(|run| match summary::of_run(run) {
        Ok((summary, _)) => serde_json::to_string(&summary).unwrap(),
        Err(error) => format!("{error:#}"),
    });
    let mut all: Vec<String> = summaries.collect();
    all.sort();
    all.push(serde_json::to_string(&audit::run(runs)).unwrap());
    all.push(match compare::compare_all(runs.to_vec(), Vec::new(), &[]) {
        Ok((comparisons, _)) => serde_json::to_string(&comparisons).unwrap(),
        Err(error) => format!("{error:#}"),
    });
    for file in claims::ClaimsFile::shipped() {
        all.push(serde_json::to_string(&claims::judge(&file, runs)).unwrap());
    }
    all
}

/// The same without the places of the runs, and without the order that these give.
fn without_places(home: &Path, everything: Vec<String>) -> Vec<String> {
    let home = home.to_string_lossy();
    let name = |text: String| {
        let parts = text.split(&*home).map(|part| match part.find("broker-") {
            // What lies between the home and the run's own directory.
            Some(at) if part.starts_with('/') && !part[..at].contains('"') => &part[at..],
            _ => part,
        });
        parts.collect::<String>()
    };
    let lines = |text: String| {
        let pretty =
            serde_json::from_str(&text).and_then(|value: Value| serde_json::to_string_pretty(&value)).unwrap_or(text);
        let mut lines: Vec<String> = pretty.lines().map(|line| line.trim_end_matches(',').to_owned()).collect();
        lines.sort();
        lines.join("\n")
    };
    let mut all: Vec<String> = everything.into_iter().map(name).map(lines).collect();
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_runs_changes_nothing(order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle()) {
        let (_home, runs) = model::pair(|_| {});
        let shuffled: Vec<Run> = order.into_iter().map(|index| runs[index].clone()).collect();
        prop_assert_eq!(everything(&shuffled), everything(&runs));
    }

    #[test]
    fn the_place_of_runs_changes_nothing(depths in prop::collection::vec(0..4_usize, 6)) {
        let (home, runs) = model::pair(|_| {});
        let (flat, other) = (everything(&runs), tempfile::tempdir().unwrap());
        for (index, (run, depth)) in runs.iter().zip(depths).enumerate() {
            let mut to = other.path().to_owned();
            to.extend((0..depth).map(|level| format!("at{index}-{level}")));
            fs::create_dir_all(&to).unwrap();
            fs::rename(&run.path, to.join(run.path.file_name().unwrap())).unwrap();
        }
        let moved = everything(&model::discover(other.path()));
        prop_assert_eq!(without_places(other.path(), moved), without_places(home.path(), flat));
    }

    /// A file of samples that goes on in further directories of its role and tag is the same file.
    #[test]
    fn cutting_a_run_into_directories_changes_nothing(
        which in 0..6_usize,
        cuts in prop::collection::btree_set(2..299_usize, 1..4),
    ) {
        let (home, runs) = model::pair(|_| {});
        let (whole, run) = (everything(&runs), &runs[which]);
        let text = fs::read_to_string(run.raw_path()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let ends: Vec<usize> = cuts.into_iter().chain([lines.len()]).collect();
        fs::write(run.raw_path(), lines[..ends[0]].join("\n") + "\n").unwrap();
        for part in ends.windows(2) {
            let begin_ns = (run.utc.unwrap() + part[0] as u64) * runlog::clock::NS_PER_S;
            let dir = home.path().join(runlog::name::directory_name(run.role, &run.tag, begin_ns));
            fs::create_dir(&dir).unwrap();
            fs::copy(run.path.join("meta.txt"), dir.join("meta.txt")).unwrap();
            fs::write(dir.join("raw.csv"), [lines[0], &lines[part[0]..part[1]].join("\n"), ""].join("\n")).unwrap();
        }
        prop_assert_eq!(everything(&model::discover(home.path())), whole);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rates of two parts of a file that share a row are those of the whole, and so is the sum of what they counted.
    #[test]
    fn cutting_a_file_changes_no_rate(
        steps in prop::collection::vec((0..3_u64, 0..10_000_u64), 4..60),
        cut in 1..1_000_usize,
    ) {
        let home = tempfile::tempdir().unwrap();
        let (mut at_s, mut count) = (1_767_000_000_u64, 7_u64);
        let rows: Vec<String> = steps.iter().map(|(seconds, increase)| {
            (at_s, count) = (at_s + seconds, count + increase);
            format!("{},{count}\n", runlog::clock::utc_text(at_s * runlog::clock::NS_PER_S))
        }).collect();
        let read = |name: &str, rows: &[String]| {
            let path = home.path().join(name);
            fs::write(&path, format!("time_utc,ctxt\n{}", rows.concat())).unwrap();
            Series::read(&path).ok()
        };
        // Rows of one second belong together: the later of them makes no interval.
        let starts: Vec<usize> = (1..rows.len() - 1).filter(|row| steps[*row].0 > 0).collect();
        prop_assume!(!starts.is_empty());
        let cut = starts[cut % starts.len()];
        let whole = read("whole.csv", &rows);
        let parts = [read("first.csv", &rows[..=cut]), read("second.csv", &rows[cut..])];
        let rates = |series: &Option<Series>| series.as_ref().and_then(|s| s.rates("ctxt")).unwrap_or_default();
        prop_assert_eq!(rates(&whole), [rates(&parts[0]), rates(&parts[1])].concat());
        let sum = |series: &Option<Series>| {
            series.as_ref().and_then(|s| s.increases("ctxt")).unwrap_or_default().iter().sum::<f64>()
        };
        prop_assert_eq!(sum(&whole), sum(&parts[0]) + sum(&parts[1]));
    }

    #[test]
    fn any_bytes_are_read_as_a_console_log(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        if let Err(error) = console::read(file.path(), &[]) {
            let message = format!("{error:#}");
            let names_it = message.contains(&*file.path().to_string_lossy());
            prop_assert!(names_it, "{}", message);
        }
    }

    #[test]
    fn any_lines_like_a_console_logs_are_summed_up(
        lines in prop::collection::vec(
            "([0-9]{1,20}[dhms]){0,3} (recv|pub|sub|connect_succ)( total=[0-9]{0,21})?( rate=[-0-9.e]{0,9}/sec)?|Start with 3 workers|\\$ emqtt_bench pub -c [0-9]{0,3} -I [0-9]{0,3}",
            0..60,
        ),
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), lines.join("\n")).unwrap();
        if let Ok((runs, _)) = console::read(file.path(), &[]) {
            console::markdown(&runs);
            console::csv(&runs);
            serde_json::to_string(&runs).unwrap();
        }
    }
}

/// How a file is spoilt.
#[derive(Debug, Clone)]
enum Damage {
    Cut(prop::sample::Index),
    Bytes(Vec<u8>),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Text(String),
}

fn damage() -> impl Strategy<Value = Damage> {
    let cells = "[-0-9,.eE\\n\"{}\\[\\]a-zA-Z:]{0,60}";
    prop_oneof![
        any::<prop::sample::Index>().prop_map(Damage::Cut),
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Damage::Bytes),
        (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..40))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
        cells.prop_map(Damage::Text),
    ]
}

fn spoil(path: &Path, damage: &Damage) {
    let mut bytes = fs::read(path).unwrap();
    match damage {
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len().max(1))),
        Damage::Bytes(others) => bytes.clone_from(others),
        Damage::Flip(at, mask) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= mask;
        }
        Damage::Flip(..) => {}
        Damage::Insert(at, others) => {
            let at = at.index(bytes.len().max(1)).min(bytes.len());
            bytes.splice(at..at, others.iter().copied());
        }
        // A header that is right, and rubbish below it.
        Damage::Text(text) => {
            let line = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            bytes.truncate(line);
            bytes.extend(text.bytes());
        }
    }
    fs::write(path, bytes).unwrap();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to files of an experiment, what is whole is used, and nothing panics.
    #[test]
    fn any_damage_to_runs_is_survived(damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..4)) {
        let home = tempfile::tempdir().unwrap();
        let to = home.path().join("quickstart");
        for step in ["fan-q0", "idle"] {
            for target in ["ours", "mosquitto"] {
                tree::copy_step(&format!("{target}-1"), step, &to);
            }
        }
        let all = files(&to);
        for (file, damage) in &damages {
            spoil(&all[file.index(all.len())], damage);
        }
        let found = everything(&model::discover(home.path()));
        prop_assert!(found.iter().all(|text| serde_json::from_str::<Value>(text).is_ok() || text.contains(' ')));
    }
}
