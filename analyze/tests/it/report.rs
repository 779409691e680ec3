//! The report of an A/B experiment: every step, failed points with their reasons, and figures that the model predicts.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

use crate::support::{analyze, stderr, stdout};
use crate::tree;

#[test]
fn the_page_shows_every_step_and_every_failure_with_its_reason() {
    let (page, _) = model();
    for step in tree::step_names() {
        assert!(page.contains(&format!("id=\"step-{step}\"")), "{step} has no section");
    }
    assert!(page.contains(tree::GATE_REASON), "the gate's reason is missing");
    assert!(page.contains("not run: there is no run directory of this point"), "the point that was not run is missing");
    assert!(page.contains("3 of 36 failed"), "the verdict does not count the failed points");
    for fact in [
        "ours the broker",
        "mosquitto the broker",
        "1.2.3",
        "A CPU of 2 cores",
        "net.core.somaxconn",
        "0123456789abcdef",
    ] {
        assert!(page.contains(fact), "{fact} is missing");
    }
    assert!(page.contains("shared one machine with 2 CPUs"), "the shared host is not named");
}

#[test]
fn the_page_is_self_contained_and_accessible() {
    let (page, _) = model();
    for outside in ["<script", "src=", "@import", "url(", "<link", "http://", "https://"] {
        let hits = page.matches(outside).count();
        // The one address is the name of the SVG language, which nothing fetches.
        let allowed =
            if outside == "http://" { page.matches("xmlns=\"http://www.w3.org/2000/svg\"").count() } else { 0 };
        assert_eq!(hits, allowed, "{outside}");
    }
    assert_eq!(page.matches("<svg ").count(), page.matches("role=\"img\" aria-label=\"").count());
    assert!(page.matches("<svg ").count() >= 8, "charts are missing");
    assert!(!page.contains("<th>") && page.contains("scope=\"col\"") && page.contains("scope=\"row\""));
    assert!(page.contains("<html lang=\"en\">") && page.matches("<h1").count() == 1);
    assert!(!page.contains("NaN") && !page.contains("inf ") && !page.contains("{{"), "a hole in the page");
    assert!(page.contains("&lt;test&gt; &amp; co.conf") && !page.contains("<test>"), "data became markup");
}

#[test]
fn figures_are_those_of_the_model() {
    let (_, json) = model();
    let mean =
        |step: &str, metric: &str, target: usize| figure(json, step, metric, target)["estimate"]["mean"].as_f64();
    let near = |step: &str, metric: &str, target: usize, expected: f64| {
        let found = mean(step, metric, target).unwrap_or_else(|| panic!("{step} {metric} is missing"));
        assert!((found / expected - 1.0).abs() < 0.01, "{step} {metric}: {found}, expected {expected}");
    };
    near("fan-q0", "delivered_per_s", 0, 30_000.0);
    near("fan-q0", "delivered_percent", 0, 100.0);
    near("nn-q0", "delivered_percent", 1, 100.0);
    near("fan-q0", "cpu_us_per_message", 0, 3.1 * 1.006);
    near("fan-q0", "cpu_us_per_message", 1, 5.4 * 1.006);
    near("latency-9000", "latency_p50_us", 0, 62.0 * 1.006);
    near("latency-9000", "uncorrected_p50_us", 1, 88.0 * 1.006 * 0.9);
    near("ramp-9000", "bytes_per_connection", 1, 3_300.0 * 1.006);
    near("ramp-9000", "connections", 1, 9_000.0);
    near("idle", "broker_rss_mib", 0, 6_200.0 / 1024.0);
    near("idle", "host_busy_percent", 0, 45.0);
    let slope = json["memory"][0]["bytes_per_connection"]["mean"].as_f64().unwrap();
    assert!((slope / (900.0 * 1.006) - 1.0).abs() < 0.01, "{slope}");
}

#[test]
fn a_failed_point_is_null_and_never_a_number() {
    let (_, json) = model();
    let failed = figure(json, "fan-q2", "delivered_per_s", 1);
    assert_eq!((&failed["estimate"], failed["values"].as_array().map(Vec::len)), (&Value::Null, Some(0)));
    assert_eq!(figure(json, "nn-q0", "delivered_per_s", 1)["estimate"]["n"].as_u64(), Some(1));
    assert_eq!(figure(json, "nn-q0", "delivered_per_s", 0)["estimate"]["n"].as_u64(), Some(2));
    let verdict = json["verdicts"].to_string();
    assert!(verdict.contains("B has no valid figure") && verdict.contains(tree::GATE_REASON), "{verdict}");
    let p99 = figure(json, "latency-9000", "latency_p99_us", 0);
    assert!(
        p99["estimate"].is_null() && p99["voids"].to_string().contains("needs 368 samples, there are 300"),
        "{p99}"
    );
}

#[test]
fn a_step_that_failed_throughout_is_still_shown() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    for home in ["ours-1", "ours-2", "mosquitto-1", "mosquitto-2"] {
        let path = dir.join(home).join("events.jsonl");
        let text = fs::read_to_string(&path).unwrap();
        let failing = text.replace(
            r#""passed":true,"process":"sub","reason":null,"step":"fan-q1""#,
            r#""passed":false,"process":"sub","reason":"broken","step":"fan-q1""#,
        );
        assert_ne!(text, failing, "the gate's line has another form");
        fs::write(&path, failing).unwrap();
    }
    let table = stdout(&analyze([Path::new("report"), &dir]));
    let row = table.lines().find(|line| line.starts_with("fan-q1")).expect("the step has a row");
    assert_eq!(row.matches("failed").count(), 2, "{row}");
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("id=\"step-fan-q1\"") && page.contains("sub role-count: broken"));
}

#[test]
fn two_repeats_claim_no_interval() {
    let (page, json) = model();
    let estimate = &figure(json, "fan-q0", "cpu_us_per_message", 0)["estimate"];
    assert!(estimate["ci95"].is_null() && estimate["n"] == 2, "{estimate}");
    assert!(page.contains("two repeats are too few for a confidence interval"));
    assert!(page.contains("lie apart in one comparison out of 3"));
}

#[test]
fn markdown_and_terminal_carry_the_same_figures() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let table = stdout(&analyze([Path::new("report"), &dir]));
    let markdown = fs::read_to_string(dir.join("report.md")).unwrap();
    for text in ["30,000", "fan-q2", "failed", "−43 %", tree::GATE_REASON] {
        assert!(table.contains(text), "{text} is missing on the terminal:\n{table}");
        assert!(markdown.contains(text), "{text} is missing in Markdown");
    }
    assert!(table.trim_end().ends_with("report.html"), "{table}");
    assert!(!table.contains("NaN") && !markdown.contains("NaN"));
}

#[test]
fn a_report_is_the_same_when_made_again() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let first = report(&dir).0;
    assert_eq!(first, report(&dir).0, "the report counts itself among its data");
}

#[test]
fn every_file_is_listed_with_size_and_hash() {
    let (dir, (_, json)) = (tree::quickstart(), model());
    let files = json["manifest"]["files"].as_array().unwrap();
    // The plan, 4 event files; per point 3 files of the collector, and what the loads write.
    assert!(files.len() > 100, "{}", files.len());
    let plan = files.iter().find(|file| file["path"] == "plan.json").unwrap();
    assert_eq!(plan["bytes"].as_u64(), Some(fs::metadata(dir.join("plan.json")).unwrap().len()));
    assert!(files.iter().all(|file| file["sha256"].as_str().is_some_and(|hash| hash.len() == 64)));
}

#[test]
fn without_plan_and_marks_the_load_is_found_in_the_data() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    fs::remove_file(dir.join("plan.json")).unwrap();
    for home in ["ours-1", "ours-2", "mosquitto-1", "mosquitto-2"] {
        fs::remove_file(dir.join(home).join("events.jsonl")).unwrap();
    }
    let (_, json) = report(&dir);
    let found = figure(&json, "fan-q0", "delivered_per_s", 0)["estimate"]["mean"].as_f64().unwrap();
    assert!((found / 30_000.0 - 1.0).abs() < 0.01, "{found}");
    assert_eq!(json["steps"].as_array().unwrap().len(), 9);
}

#[test]
fn damaged_files_are_named_in_the_report() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let run = fs::read_dir(dir.join("ours-1")).unwrap().map(|entry| entry.unwrap().path());
    let raw = run.map(|path| path.join("raw.csv")).find(|path| path.exists()).unwrap();
    let text = fs::read_to_string(&raw).unwrap();
    fs::write(&raw, &text[..text.len() - 7]).unwrap();
    let (page, _) = report(&dir);
    assert!(page.contains("Damage and doubts") && page.contains("raw.csv:24"), "the truncated line is not reported");
}

#[test]
fn several_experiments_are_told_apart_and_runs_of_none_refused() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    fs::create_dir(runs.path().join("second")).unwrap();
    fs::rename(dir.join("ours-1"), runs.path().join("second/ours-1")).unwrap();
    let output = analyze([Path::new("report"), runs.path()]);
    assert!(!output.status.success() && stderr(&output).contains("holds 2 experiments"), "{}", stderr(&output));

    let alone = tempfile::tempdir().unwrap();
    let run = alone.path().join("broker-x-20260101T000000Z");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("raw.csv"), "time_utc\n").unwrap();
    let output = analyze([Path::new("report"), alone.path()]);
    assert!(!output.status.success() && stderr(&output).contains("analyze summary"), "{}", stderr(&output));
}

/// The page and the JSON of the model experiment, made once.
fn model() -> &'static (String, Value) {
    static REPORT: OnceLock<(String, Value)> = OnceLock::new();
    REPORT.get_or_init(|| report(tree::quickstart()))
}

/// The page and the JSON of an experiment.
fn report(dir: &Path) -> (String, Value) {
    stdout(&analyze([Path::new("report"), dir]));
    let json = fs::read_to_string(dir.join("report.json")).unwrap();
    (fs::read_to_string(dir.join("report.html")).unwrap(), serde_json::from_str(&json).unwrap())
}

fn figure<'a>(json: &'a Value, step: &str, metric: &str, target: usize) -> &'a Value {
    let named = |list: &'a Value, key: &str, name: &str| {
        list.as_array().unwrap().iter().find(|item| item[key] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let step = named(&json["steps"], "name", step);
    &named(&step["rows"], "metric", metric)["figures"][target]
}
