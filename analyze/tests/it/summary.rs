//! `analyze summary` on runs of our own: the marked phase is the plateau, and a load tool's run says where its figures are.

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
