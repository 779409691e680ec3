//! `analyze compare`: verdicts between runs, and why some may not be compared.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{analyze, published, stderr, stdout};

/// A run of 120 s with load throughout: bytes per second around `rate`, `connections` up to `lost_at`, then ten fewer.
fn run(home: &Path, target: &str, repeat: u32, rate: f64, connections: u32, lost_at: Option<u32>) -> PathBuf {
    let dir = home.join(format!("broker-{target}-fan-run{repeat}-20260101T0000{repeat:02}Z"));
    fs::create_dir_all(&dir).unwrap();
    let mut text = "time_utc,rx_packets,tx_packets,tx_bytes,tcp_estab,mono_ns\n".to_owned();
    let (mut bytes, mut packets) = (0.0, 0);
    for second in 0..120_u32 {
        let wobble = 1.0 + 0.02 * (f64::from(second * 7 % 11) / 5.0 - 1.0);
        bytes += rate * wobble;
        packets += 5_000;
        let held = if lost_at.is_some_and(|at| second >= at) { connections - 10 } else { connections };
        let (minute, of_minute) = (second / 60, second % 60);
        let mono_ns = u64::from(second) * 1_000_000_000;
        text += &format!("2026-01-01T00:{minute:02}:{of_minute:02}Z,{packets},{packets},{bytes:.0},{held},{mono_ns}\n");
    }
    fs::write(dir.join("raw.csv"), text).unwrap();
    dir
}

fn side(home: &Path, target: &str, rates: &[f64]) -> PathBuf {
    let dir = home.join(target);
    for (repeat, rate) in (1..).zip(rates) {
        run(&dir, target, repeat, *rate, 1_000, None);
    }
    dir
}

fn compare(arguments: &[&Path]) -> Value {
    let arguments =
        [Path::new("compare")].into_iter().chain(arguments.iter().copied()).chain([Path::new("--format=json")]);
    serde_json::from_str(&stdout(&analyze(arguments))).unwrap()
}

fn row<'a>(comparison: &'a Value, metric: &str) -> &'a Value {
    comparison["rows"].as_array().unwrap().iter().find(|row| row["metric"] == metric).unwrap()
}

#[test]
fn repeats_give_an_interval_and_a_verdict() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[62e6, 61.5e6, 62.4e6, 61.8e6]);
    let b = side(home.path(), "B-other", &[100e6, 101e6, 99.5e6, 100.2e6]);
    let found = compare(&[&a, &b]);
    let tx = row(&found[0], "tx_mib_s");
    assert_eq!((found[0]["step"].as_str(), tx["basis"].as_str()), (Some("fan"), Some("repeats")));
    let verdict = tx["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("A lower by 38.") && verdict.contains('['), "{verdict}");
    let (low, high) = (tx["ratio_ci95"][0].as_f64().unwrap(), tx["ratio_ci95"][1].as_f64().unwrap());
    assert!(low < 0.618 && 0.618 < high && high - low < 0.03, "{low} {high}");
    assert_eq!(row(&found[0], "tx_pps")["verdict"], "no difference within noise");
}

#[test]
fn a_difference_within_that_of_equals_is_none() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[100e6, 100.1e6, 99.9e6]);
    let b = side(home.path(), "B-other", &[102e6, 102.1e6, 101.9e6]);
    let control = side(home.path(), "C-ours", &[98e6, 101e6]);
    let without = compare(&[&a, &b]);
    assert!(row(&without[0], "tx_mib_s")["verdict"].as_str().unwrap().starts_with("A lower by 2.0 %"));
    let with = compare(&[&a, &b, Path::new("--control"), &control]);
    assert_eq!(row(&with[0], "tx_mib_s")["verdict"], "no difference within noise");
}

#[test]
fn one_run_a_side_is_called_that() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (side(home.path(), "A-ours", &[80e6]), side(home.path(), "B-other", &[100e6]));
    let found = compare(&[&a, &b]);
    let verdict = row(&found[0], "tx_mib_s")["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("A lower by 20.0 %") && verdict.contains("one pair of runs"), "{verdict}");
}

#[test]
fn who_lost_connections_is_not_compared() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[80e6]);
    let b = run(&home.path().join("B"), "B-other", 1, 9e6, 1_000, Some(31));
    let found = compare(&[&a, &b]);
    assert_eq!(found[0]["rows"].as_array().unwrap().len(), 0);
    assert_eq!(found[0]["obstacles"][0], "B lost connections: 990 of 1000 from 0:31, 990 at the least");
    let text = stdout(&analyze([Path::new("compare"), &a, &b]));
    assert!(text.contains("not comparable: B lost connections"), "{text}");
}

#[test]
fn a_side_without_runs_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let output = analyze([Path::new("compare"), home.path(), home.path()]);
    assert!(!output.status.success() && stderr(&output).contains("no run in"), "{}", stderr(&output));
}

/// The published fan-out pair: B never had its ten subscribers beside its publishers, and A collapsed at the end.
#[test]
fn the_published_fan_out_pair_is_not_comparable() {
    let Some(published) = published() else { return };
    let run = |name: &str| published.join("runs").join(name);
    let found = compare(&[
        &run("broker-A-axmq-qos0-256-1to10-run1-20251230T135910Z"),
        &run("broker-B-emqx-qos0-256-1to10-run1-20251230T143620Z"),
    ]);
    let obstacles = found[0]["obstacles"].to_string();
    for reason in
        ["A held 4010 connections and B 4000", "A lost connections: 3327 of 4010 from 4:37, 1804 at the least"]
    {
        assert!(obstacles.contains(reason), "{obstacles}");
    }
}
