//! What is written is what is read.

use proptest::prelude::*;
use runlog::summary::ConnectSummary;
use runlog::write::CounterRow;
use runlog::{CollectSummary, Context, Edge, Event, EventKind, LoadSummary, Meta, Percentiles, Role, RunDir, Summary};
use runlog::{columns, discover, hlog};

fn context() -> Context {
    Context {
        experiment: "quick".into(),
        target: "ours".into(),
        label: "A".into(),
        step: "idle".into(),
        repeat: 2,
        ..Context::default()
    }
}

#[test]
fn a_run_with_everything() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create_in(root.path(), Role::Loadgen, "A ours/idle").unwrap();
    let mut meta = Meta::of_this_process("loadgen", "0.1.0", Role::Loadgen, "A ours/idle", Some(context()));
    meta.config = serde_json::json!({"clients": 10});
    meta.seed = Some(7);
    run.write_meta(&meta).unwrap();
    let event = Event::now(EventKind::Phase, "measure").edge(Edge::Begin).detail(serde_json::json!({"s": 3}));
    run.events().unwrap().append(&event).unwrap();
    let mut histogram = hlog::histogram();
    histogram.record(123_456).unwrap();
    let mut log = run.latency_log().unwrap();
    log.append(Some("corrected"), 1_767_103_150_500_000_000, 1_000_000_000, &histogram).unwrap();
    log.append(Some("corrected"), 1_767_103_151_500_000_000, 1_000_000_000, &histogram).unwrap();
    log.append(None, 1_767_103_151_500_000_000, 1_000_000_000, &histogram).unwrap();
    let connect =
        ConnectSummary { attempted: 10, connack_us: Percentiles::of_sorted(&[5; 10], 1.0, 1), ..Default::default() };
    let summary = LoadSummary { tool: "loadgen".into(), mode: "conn".into(), ok: true, connect, ..Default::default() };
    run.write_summary(&summary).unwrap();

    let found = discover(&[root.path().to_owned()]).unwrap();
    let [found] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(found.warnings, []);
    assert_eq!(
        (found.role, found.tag.as_str(), found.context.clone()),
        (Role::Loadgen, "A ours/idle", Some(context()))
    );
    assert_eq!(found.meta.as_ref(), Some(&meta));
    assert_eq!(found.utc, Some(meta.started_wall_ns / 1_000_000_000));
    assert_eq!(found.events().unwrap().value, [event]);
    assert_eq!(found.summary().unwrap(), Some(Summary::Load(Box::new(summary))));
    let intervals = found.latency().unwrap();
    assert!(intervals.warnings.is_empty(), "{:?}", intervals.warnings);
    assert_eq!(intervals.value[0].start_wall_ns, 1_767_103_150_500_000_000);
    assert_eq!(hlog::merge(&intervals.value, Some("corrected")).unwrap().len(), 2);
    assert_eq!(intervals.value[2].histogram, histogram);
}

#[test]
fn a_directory_belongs_to_one_run() {
    let root = tempfile::tempdir().unwrap();
    let exact = root.path().join("a/b/c");
    RunDir::create(&exact).unwrap().write_summary(&CollectSummary::default()).unwrap();
    let error = RunDir::create(&exact).unwrap_err().to_string();
    assert!(error.contains("not empty") && error.contains("a/b/c"), "{error}");
    let first = RunDir::create_in(root.path(), Role::Broker, "same").unwrap();
    let second = RunDir::create_in(root.path(), Role::Broker, "same").unwrap();
    assert_ne!(first.path(), second.path());
}

#[test]
fn a_row_of_the_wrong_length_is_refused_and_leaves_no_trace() {
    let root = tempfile::tempdir().unwrap();
    let run = RunDir::create(root.path().join("run")).unwrap();
    let mut samples = run.samples_writer().unwrap();
    samples.number(1).number(2);
    assert!(samples.end_row().unwrap_err().to_string().contains("2 cells under a header of 6"));
    samples.number(0).number(1).number(2).maybe(None).number(0).number(0).end_row().unwrap();
    samples.flush().unwrap();
    let table = runlog::table::Table::load(run.path().join("samples.csv")).unwrap();
    assert_eq!((table.rows, table.warnings.len()), (1, 0));
    assert_eq!(table.numbers("received_ns").unwrap(), [None]);
}

proptest! {
    #[test]
    fn any_counters(rows in proptest::collection::vec(any::<[u64; 17]>(), 0..20)) {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path().join("run")).unwrap();
        let mut writer = run.counters_writer().unwrap();
        let rows: Vec<CounterRow> = rows.into_iter().map(CounterRow::from_values).collect();
        rows.iter().for_each(|row| writer.append(row).unwrap());
        let read = runlog::Run::open(run.path()).counters().unwrap();
        prop_assert_eq!(read.value, rows);
        prop_assert!(read.warnings.is_empty());
    }

    #[test]
    fn any_raw_table(
        texts in proptest::collection::vec("[ -~\n\u{e9}]{0,12}", 1..8),
        numbers in proptest::collection::vec(proptest::option::of(any::<u64>()), columns::RAW.len() + 1),
    ) {
        let root = tempfile::tempdir().unwrap();
        let run = RunDir::create(root.path().join("run")).unwrap();
        let mut writer = run.raw_writer(&["cpu0_idle_ticks".to_owned()]).unwrap();
        for text in &texts {
            writer.text(text).text("eth0");
            numbers[2..].iter().for_each(|&number| { writer.maybe(number); });
            writer.end_row().unwrap();
        }
        let table = runlog::Run::open(run.path()).raw().unwrap();
        prop_assert!(table.warnings.is_empty(), "{:?}", table.warnings);
        let lines: Vec<String> = texts.iter().map(|text| text.replace('\n', " ")).collect();
        prop_assert_eq!(table.texts("time_utc").unwrap(), lines);
        prop_assert_eq!(table.numbers("cpu0_idle_ticks").unwrap(), vec![*numbers.last().unwrap(); texts.len()]);
        prop_assert_eq!(table.numbers(columns::RX_BYTES).unwrap(), vec![numbers[2]; texts.len()]);
    }
}
