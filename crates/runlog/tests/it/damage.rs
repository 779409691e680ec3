//! What readers make of truncated and bad files.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use runlog::table::Table;
use runlog::{Event, EventKind, Run, RunDir, discover, hlog};

fn load(text: &str) -> Table {
    Table::parse("raw.csv".into(), text.as_bytes()).unwrap()
}

#[test]
fn a_truncated_last_line_is_dropped_with_its_number() {
    let table = load("mono_ns,rx_bytes\n1,10\n2,20\n3,3");
    assert_eq!(table.numbers("rx_bytes").unwrap(), [Some(10), Some(20)]);
    assert_eq!(table.csv(), b"mono_ns,rx_bytes\n1,10\n2,20\n");
    let [warning] = table.warnings.as_slice() else { panic!("{:?}", table.warnings) };
    assert_eq!(warning.line, Some(4));
    assert!(warning.to_string().starts_with("raw.csv:4: the last line has no end"), "{warning}");
}

#[test]
fn bad_rows_are_dropped_and_unknown_columns_kept() {
    let table = load("mono_ns,rx_bytes,colour\n1,10,red\n2,x,red\n3,30\n\n4,,blue\n5,50,\"a, b\"\n");
    assert_eq!(table.numbers("mono_ns").unwrap(), [Some(1), Some(4), Some(5)]);
    assert_eq!(table.numbers("rx_bytes").unwrap(), [Some(10), None, Some(50)]);
    assert_eq!(table.texts("colour").unwrap(), ["red", "blue", "a, b"]);
    let warnings: Vec<String> = table.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "raw.csv:3: column rx_bytes holds \"x\", which is no number; row dropped",
            "raw.csv:4: 2 cells under a header of 3; row dropped",
        ]
    );
}

#[test]
fn files_without_a_header_are_errors() {
    let error = |text: &str| Table::parse("raw.csv".into(), text.as_bytes()).unwrap_err().to_string();
    assert_eq!(error(""), "raw.csv:1: the file is empty");
    assert_eq!(error("mono_ns"), "raw.csv:1: no whole line in 7 bytes, so no header");
    assert_eq!(error("a,a\n"), "raw.csv:1: column \"a\" twice");
    assert_eq!(error("a,,b\n"), "raw.csv:1: a column without a name");
    let missing = Table::load("/nowhere/raw.csv").unwrap_err().to_string();
    assert!(missing.contains("cannot read /nowhere/raw.csv"), "{missing}");
    let column = load("a,b\n").numbers("c").unwrap_err().to_string();
    assert_eq!(column, "raw.csv: no column \"c\"; it has: a, b");
    let root = discover(&["/nowhere".into()]).unwrap_err().to_string();
    assert!(root.contains("/nowhere"), "{root}");
}

#[test]
fn damaged_metadata_leaves_the_rest_readable() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("broker-A-x-20251230T135910Z");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("meta.json"), "{\n\"tool\": ").unwrap();
    fs::write(path.join("raw.csv"), "mono_ns\n1\n").unwrap();
    fs::write(path.join("summary.json"), "{").unwrap();
    let runs = discover(&[root.path().to_owned()]).unwrap();
    assert_eq!((runs[0].tag.as_str(), runs[0].utc), ("A-x", Some(1_767_103_150)));
    assert_eq!(runs[0].warnings.len(), 1);
    assert!(runs[0].warnings[0].to_string().contains("meta.json:2: not valid"), "{}", runs[0].warnings[0]);
    assert_eq!(runs[0].raw().unwrap().rows, 1);
    assert!(runs[0].summary().unwrap_err().to_string().contains("summary.json: not valid"));
    assert!(runs[0].latency().is_err());
}

#[test]
fn damaged_event_lines_are_dropped() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path().join("run")).unwrap();
    let event = Event::now(EventKind::Disconnect, "reset by peer");
    let mut log = run.events().unwrap();
    log.append(&event).unwrap();
    let good = fs::read_to_string(run.path().join("events.jsonl")).unwrap();
    fs::write(run.path().join("events.jsonl"), format!("{good}rubbish\n\n{good}{}", &good[..good.len() / 2])).unwrap();
    let events = Run::open(run.path()).events().unwrap();
    assert_eq!(events.value, [event.clone(), event]);
    let lines: Vec<Option<u64>> = events.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [Some(2), Some(5)]);
}

#[test]
fn damaged_histogram_lines_are_dropped() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path().join("run")).unwrap();
    let mut log = run.latency_log().unwrap();
    log.append(None, 1_000_000_000, 1_000_000_000, &hlog::histogram()).unwrap();
    assert!(log.append(Some("a b"), 0, 0, &hlog::histogram()).is_err());
    let path = run.path().join("latency.hlog");
    let good = fs::read_to_string(&path).unwrap();
    let last = good.lines().last().unwrap();
    fs::write(
        &path,
        format!("{good}1.000,1.000,0.000,AAAA\n1.000,1.000,0.000,****\nrubbish\n{}", &last[..last.len() / 2]),
    )
    .unwrap();
    let intervals = Run::open(run.path()).latency().unwrap();
    assert_eq!(intervals.value.len(), 1);
    let lines: Vec<Option<u64>> = intervals.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!(lines, [Some(5), Some(6), Some(7), Some(8)]);
}

proptest! {
    #[test]
    fn any_cut_of_a_good_file_keeps_the_whole_rows(cut in 0usize..200) {
        let rows: String = (0..10).map(|i| format!("{i},{}\n", i * 1_000)).collect();
        let text = format!("mono_ns,rx_bytes\n{rows}");
        let cut = cut.min(text.len());
        let whole_rows = text[..cut].matches('\n').count();
        match Table::parse(Path::new("raw.csv").into(), &text.as_bytes()[..cut]) {
            Ok(table) => {
                prop_assert_eq!(table.rows as usize + 1, whole_rows);
                prop_assert_eq!(table.warnings.len(), usize::from(!text[..cut].ends_with('\n')));
            }
            Err(_) => prop_assert_eq!(whole_rows, 0),
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(table) = Table::parse("raw.csv".into(), &bytes) {
            for name in &table.columns {
                prop_assert_eq!(table.numbers(name).unwrap().len() as u64, table.rows);
            }
        }
    }
}
