//! `analyze summary` on runs of our own: the marked phase is the plateau, and a load tool's run says where its figures are.
//! And on small runs in the published format, by hand: what the published rules make of odd files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{analyze, stdout};
use crate::tree;

#[test]
fn the_marked_phase_is_the_plateau() {
    let runs = summaries(&tree::quickstart().join("ours-1"));
    let run = find(&runs, "broker", "A-ours-fan-q0-");
    let plateau = &run["windows"]["plateau"];
    // Three seconds at four samples a second, from the second second on.
    assert_eq!(
        (plateau["rows"].as_u64(), plateau["from_s"].as_f64(), plateau["to_s"].as_f64()),
        (Some(12), Some(2.0), Some(5.0))
    );
    let cpu = plateau["cpu_percent"].as_f64().unwrap();
    assert!((cpu / 9.3 - 1.0).abs() < 0.01, "{cpu}");
    assert_eq!((run["target"].as_str(), run["period_s"].as_f64()), (Some("ours"), Some(0.25)));
}

#[test]
fn messages_are_those_of_the_subscribers_beside_the_run() {
    let runs = summaries(&tree::quickstart().join("ours-1"));
    let plateau = &find(&runs, "broker", "A-ours-fan-q0-")["windows"]["plateau"];
    let (delivered, cpu) = (plateau["delivered_s"].as_f64().unwrap(), plateau["cpu_percent"].as_f64().unwrap());
    assert!(delivered > 0.0);
    let per_message = plateau["cpu_us_per_message"].as_f64().unwrap();
    assert!((per_message / (cpu * 1e4 / delivered) - 1.0).abs() < 1e-9, "{per_message}");
    assert!(find(&runs, "broker", "A-ours-idle")["windows"]["plateau"]["delivered_s"].is_null());
}

/// A run in the published format: its rows, each of a second of the minute from 00:00 on and cells behind it.
fn published_run(home: &Path, header: &str, rows: impl IntoIterator<Item = (u32, String)>, end: &str) {
    let dir = home.join("broker-A-odd-load-run1-20260101T000000Z");
    fs::create_dir_all(&dir).unwrap();
    let mut text = format!("time_utc,iface,{header}\n");
    for (second, cells) in rows {
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        writeln!(text, "2026-01-01T{hour:02}:{minute:02}:{second:02}Z,eth0,{cells}").unwrap();
    }
    text += end;
    fs::write(dir.join("raw.csv"), text).unwrap();
}

/// An even count of rows, and fewer than a minute's: the rates are 1 to 10 per second, all of them in both tails.
#[test]
fn published_rules_on_a_short_run() {
    let home = tempfile::tempdir().unwrap();
    let count = |n: u32| n * (n + 1) / 2;
    published_run(home.path(), "ctxt,proc_rss_kb", (0..=10).map(|n| (n, format!("{},{}", count(n), n * 1024))), "");
    let windows = &summaries(home.path())[0]["windows"];
    for (rule, rows, ctxt, rss) in [("tail60", 10, 5.5, 5.5), ("rows60", 10, 5.5, 5.5), ("trim20-90", 7, 6.0, 6.0)] {
        let window = &windows[rule];
        assert_eq!(
            (window["rows"].as_u64(), window["ctxt_s"].as_f64(), window["rss_mib"].as_f64()),
            (Some(rows), Some(ctxt), Some(rss)),
            "{rule}"
        );
    }
}

/// The row of second 60 - exactly a minute before the end - counts, and the one before does not.
#[test]
fn the_last_minute_holds_the_row_at_its_begin() {
    let home = tempfile::tempdir().unwrap();
    let rows = (0..=60).map(|n| (n * 2, (n * n).to_string()));
    published_run(home.path(), "ctxt", rows, "");
    let windows = &summaries(home.path())[0]["windows"];
    // Rates are (2n - 1) / 2; n from 30 to 60 in the last minute, from 1 to 60 in the last 60 rows.
    assert_eq!((windows["tail60"]["rows"].as_u64(), windows["tail60"]["ctxt_s"].as_f64()), (Some(31), Some(44.5)));
    assert_eq!((windows["rows60"]["rows"].as_u64(), windows["rows60"]["ctxt_s"].as_f64()), (Some(60), Some(30.0)));
}

/// A second that was stamped twice: the script loses its increase, and we do not.
#[test]
fn a_repeated_second_costs_the_script_its_increase_and_not_us() {
    let home = tempfile::tempdir().unwrap();
    let seconds = [0, 1, 2, 3, 3, 4, 5, 6];
    published_run(home.path(), "ctxt", seconds.into_iter().zip((0..).map(|n| (n * 10).to_string())), "");
    let windows = &summaries(home.path())[0]["windows"];
    assert_eq!((windows["tail60"]["rows"].as_u64(), windows["tail60"]["ctxt_s"].as_f64()), (Some(6), Some(10.0)));
    assert_eq!(windows["plateau"]["ctxt_s"].as_f64(), Some(70.0 / 6.0));
}

/// Blank counters count as 0 for the script, blank levels are left out, a cut last line counts where its time is whole.
#[test]
fn blanks_and_a_cut_line_are_taken_as_the_script_takes_them() {
    let home = tempfile::tempdir().unwrap();
    let cells = ["10,1024", "20,2048", ",", "40,4096", "50,", "60,6144"].map(str::to_owned);
    published_run(home.path(), "ctxt,proc_rss_kb", (0..).zip(cells), "2026-01-01T00:00:06Z,eth0,7");
    let windows = &summaries(home.path())[0]["windows"];
    // 10, -20, 40, 10, 10, -53.
    let tail = &windows["tail60"];
    assert_eq!((tail["rows"].as_u64(), tail["ctxt_s"].as_f64()), (Some(6), Some(10.0)));
    assert_eq!(tail["rss_mib"].as_f64(), Some(4.0));
    // Rows 1 to 4 of 0 to 5: -20, 40, 10, 10, and the one known level among them.
    let trim = &windows["trim20-90"];
    assert_eq!(
        (trim["rows"].as_u64(), trim["ctxt_s"].as_f64(), trim["rss_mib"].as_f64()),
        (Some(4), Some(10.0), Some(5.0))
    );
    // Ours knows of an increase only where both ends are known.
    assert_eq!(windows["plateau"]["ctxt_s"].as_f64(), Some(10.0));
}

/// The published collectors also leave copies under the run's own name; where only those were kept, they are the run.
#[test]
fn a_run_whose_files_carry_its_name_is_read() {
    let home = tempfile::tempdir().unwrap();
    published_run(home.path(), "ctxt", (0..=10).map(|n| (n, (n * 10).to_string())), "");
    let name = "broker-A-odd-load-run1-20260101T000000Z";
    let dir = home.path().join(name);
    let before = summaries(home.path());
    fs::rename(dir.join("raw.csv"), dir.join(format!("raw-{name}.csv"))).unwrap();
    fs::write(dir.join(format!("meta-{name}.txt")), "time_utc=2026-01-01T00:00:00Z\n").unwrap();
    let renamed = summaries(home.path());
    assert_eq!(renamed[0]["windows"], before[0]["windows"]);
    assert_eq!((renamed[0]["target"].as_str(), renamed[0]["samples"].as_u64()), (Some("odd"), Some(11)));
    assert_eq!(renamed[0]["windows"]["tail60"]["ctxt_s"].as_f64(), Some(10.0));
}

#[test]
fn a_load_tools_run_has_no_windows_and_says_so() {
    let runs = summaries(&tree::quickstart().join("ours-1"));
    let run = find(&runs, "loadgen", "A-ours-fan-q0-sub");
    assert_eq!((run["samples"].as_u64(), run["doubts"][0]["code"].as_str()), (Some(0), Some("no-raw")));
}

#[test]
fn the_order_of_directories_changes_nothing() {
    let dir = tree::quickstart();
    let (one, two) = (dir.join("ours-1"), dir.join("mosquitto-1"));
    let of = |dirs: [&Path; 2]| stdout(&analyze([Path::new("summary"), dirs[0], dirs[1], Path::new("--format=csv")]));
    assert_eq!(of([&one, &two]), of([&two, &one]));
}

fn summaries(dir: &Path) -> Vec<Value> {
    serde_json::from_str(&stdout(&analyze([Path::new("summary"), dir, Path::new("--format=json")]))).unwrap()
}

fn find<'a>(runs: &'a [Value], role: &str, tag: &str) -> &'a Value {
    let is_it = |run: &&Value| run["role"] == role && run["tag"].as_str().is_some_and(|found| found.starts_with(tag));
    runs.iter().find(is_it).unwrap_or_else(|| panic!("no {role} {tag}"))
}
