//! `analyze compare`: verdicts between runs, and why some may not be compared.

use std::fs;
use std::path::{Path, PathBuf};

use runlog::summary::{PublishSummary, ReceiveSummary};
use runlog::write::CounterRow;
use runlog::{LoadSummary, Role, RunDir, hlog};
use serde_json::Value;

use crate::support::{analyze, published, stderr, stdout};
use crate::tree;

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

/// Runs of our tools, started by hand: 60 s of 1,000 msg/s to 10 subscribers on one topic each; `cost` scales latency, CPU and
/// memory. From the second `change.0` on only `change.1` subscribers are there, and none of them receives anything.
fn loaded(home: &Path, target: &str, cost: f64, change: Option<(u64, u64)>) -> PathBuf {
    const S: u64 = 1_000_000_000;
    let dir = home.join(target);
    let (begin_ns, wall_ns) = (1_000 * S, 1_767_000_000 * S);
    let run_dir = |role: Role, tool: &str, config: Value| {
        let mode = config["mode"].as_str().unwrap_or_default().to_owned();
        let run = RunDir::create(
            dir.join(format!("{role}-{target}-fan-run1-20260101T00000{}Z", usize::from(mode == "sub") + mode.len())),
        )
        .unwrap();
        let meta = serde_json::json!({"tool": tool, "version": "0.1.0", "role": role, "tag": format!("{target}-fan-run1"), "config": config});
        run.write_meta(&serde_json::from_value(meta).unwrap()).unwrap();
        run
    };
    let stamps = |second: u64| (begin_ns + second * S, wall_ns + second * S);
    let broker = run_dir(Role::Broker, "collector", serde_json::json!({}));
    let mut text = "time_utc,iface,rx_packets,tx_packets,proc_rss_kb,proc_count,proc_cpu_user_us,proc_cpu_sys_us,mono_ns,wall_ns\n".to_owned();
    for second in 0..=60 {
        let (mono, wall) = stamps(second);
        let wobble = second * 7 % 5;
        let cpu = (cost * (second * 10_000 + wobble * 30) as f64) as u64;
        let rss = (cost * (50_000 + wobble) as f64) as u64;
        let packets = second * 2_000;
        text +=
            &format!("{},lo,{packets},{packets},{rss},1,{cpu},{cpu},{mono},{wall}\n", runlog::clock::utc_text(wall));
    }
    fs::write(broker.path().join("raw.csv"), text).unwrap();
    let tool = |mode: &str, clients: u64, fill: &dyn Fn(u64, &mut CounterRow)| {
        let config = serde_json::json!({"mode": mode, "clients": clients, "qos": 0, "topics": ["t/%i"]});
        let run = run_dir(Role::Loadgen, "loadgen", config);
        let mut counters = run.counters_writer().unwrap();
        for second in 0..=60 {
            let (mono_ns, wall_ns) = stamps(second);
            let mut row = CounterRow { mono_ns, wall_ns, connected: clients, ..CounterRow::default() };
            fill(second, &mut row);
            counters.append(&row).unwrap();
        }
        run
    };
    let receive = ReceiveSummary { delivered: 60_000, ..ReceiveSummary::default() };
    let sub = tool("sub", 10, &|second, row| {
        let until = change.map_or(second, |(at, _)| second.min(at));
        row.received = 1_000 * until;
        row.connected = change.filter(|(at, _)| second >= *at).map_or(10, |(_, left)| left);
    });
    let mut log = sub.latency_log().unwrap();
    for second in 1..60 {
        let mut histogram = hlog::histogram();
        for step in 0..100 {
            let value_ns = cost * f64::from(100_000 + 1_000 * step + second % 7 * 50);
            histogram.record_n(value_ns as u64, 10).unwrap();
        }
        log.append(Some(hlog::CORRECTED), stamps(u64::from(second as u32)).1, S, &histogram).unwrap();
    }
    let summary = |mode: &str, clients| LoadSummary {
        tool: "loadgen".to_owned(),
        mode: mode.to_owned(),
        ok: true,
        clients,
        ..LoadSummary::default()
    };
    sub.write_summary(&LoadSummary { receive: Some(receive), ..summary("sub", 10) }).unwrap();
    let publish = tool("pub", 10, &|second, row| (row.offered, row.written) = (1_000 * second, 1_000 * second));
    let sent = PublishSummary { offered: 60_000, written: 60_000, ..PublishSummary::default() };
    publish.write_summary(&LoadSummary { publish: Some(sent), ..summary("pub", 10) }).unwrap();
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
    let tx = row(&found[0], "host_tx_mib_s");
    assert_eq!((found[0]["step"].as_str(), tx["basis"].as_str()), (Some("fan"), Some("repeats")));
    let verdict = tx["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("A lower by 38.") && verdict.contains('['), "{verdict}");
    let (low, high) = (tx["ratio_ci95"][0].as_f64().unwrap(), tx["ratio_ci95"][1].as_f64().unwrap());
    assert!(low < 0.618 && 0.618 < high && high - low < 0.03, "{low} {high}");
    assert_eq!(row(&found[0], "host_tx_packets_s")["verdict"], "no difference within noise: +0.0 % [+0.0, +0.0] %");
}

#[test]
fn a_difference_within_that_of_equals_is_none() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[100e6, 100.1e6, 99.9e6]);
    let b = side(home.path(), "B-other", &[102e6, 102.1e6, 101.9e6]);
    let control = side(home.path(), "C-ours", &[98e6, 101e6]);
    let without = compare(&[&a, &b]);
    assert!(row(&without[0], "host_tx_mib_s")["verdict"].as_str().unwrap().starts_with("A lower by 2.0 %"));
    let with = compare(&[&a, &b, Path::new("--noise"), &control]);
    let tx = row(&with[0], "host_tx_mib_s");
    assert_eq!(tx["kind"], "no-difference");
    let verdict = tx["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("no difference within noise: -2.0 %"), "{verdict}");
    assert!(verdict.ends_with("equal runs differ by up to 3.0 %"), "{verdict}");
}

#[test]
fn one_run_a_side_is_called_that() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (side(home.path(), "A-ours", &[80e6]), side(home.path(), "B-other", &[100e6]));
    let found = compare(&[&a, &b]);
    let verdict = row(&found[0], "host_tx_mib_s")["verdict"].as_str().unwrap();
    assert!(verdict.starts_with("A lower by 20.0 %") && verdict.contains("one pair of runs"), "{verdict}");
}

#[test]
fn two_repeats_have_ranges_and_no_interval() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[80e6, 82e6]);
    let found = compare(&[&a, &side(home.path(), "B-other", &[100e6, 101e6])]);
    let tx = row(&found[0], "host_tx_mib_s");
    assert_eq!((&tx["kind"], &tx["basis"], &tx["ratio_ci95"]), (&"lower".into(), &"none".into(), &Value::Null));
    assert!(tx["verdict"].as_str().unwrap().ends_with("too few repeats, but their ranges lie apart"), "{tx}");
    let found = compare(&[&a, &side(home.path(), "B-third", &[81e6, 101e6])]);
    let tx = row(&found[0], "host_tx_mib_s");
    assert_eq!(tx["kind"], "undecided");
    assert!(tx["verdict"].as_str().unwrap().contains("ranges of the repeats overlap"), "{tx}");
}

#[test]
fn who_lost_connections_is_not_compared() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[80e6]);
    let b = run(&home.path().join("B"), "B-other", 1, 9e6, 1_000, Some(31));
    let found = compare(&[&a, &b]);
    assert_eq!(found[0]["rows"].as_array().unwrap().len(), 0);
    let reason = "B lost connections while load ran: 990 of 1000 were left at 0:31, 990 at the least";
    assert_eq!(found[0]["obstacles"][0], reason);
    let text = stdout(&analyze([Path::new("compare"), &a, &b]));
    assert!(text.contains("not comparable: B lost connections"), "{text}");
    let text = stdout(&analyze([Path::new("compare"), &a, &b, Path::new("--format=csv")]));
    assert!(text.contains("not comparable: B lost connections") && text.contains("B, repeat 1 failed"), "{text}");
}

/// One bad repeat is told and left out; the others still say what they can.
#[test]
fn a_failed_repeat_is_shown_and_gives_no_figure() {
    let home = tempfile::tempdir().unwrap();
    let a = side(home.path(), "A-ours", &[80e6, 80.2e6, 80.1e6]);
    let b = side(home.path(), "B-other", &[100e6, 100.4e6, 100.2e6]);
    run(&b, "B-other", 4, 1e6, 1_000, Some(50));
    let found = compare(&[&a, &b]);
    assert_eq!(found[0]["b"]["points"], 3);
    assert_eq!(found[0]["b"]["failed"][0]["repeat"], 4);
    assert_eq!(row(&found[0], "host_tx_mib_s")["b"]["n"], 3);
    let text = stdout(&analyze([Path::new("compare"), &a, &b]));
    assert!(text.contains("B: other (4 points, 1 of them failed)"), "{text}");
    assert!(text.contains("- B, repeat 4 failed: lost connections while load ran"), "{text}");
}

/// The issue with a side whose subscribers vanish: the collector's connections look like any, the load tool's do not.
#[test]
fn who_has_no_subscribers_left_is_not_compared() {
    let home = tempfile::tempdir().unwrap();
    let a = loaded(home.path(), "A-ours", 1.0, None);
    let found = compare(&[&a, &loaded(home.path(), "B-gone", 1.0, Some((31, 0)))]);
    assert_eq!(found[0]["obstacles"][0], "B had no subscriber from 0:31");
    let found = compare(&[&a, &loaded(home.path(), "B-fewer", 1.0, Some((31, 7)))]);
    assert_eq!(found[0]["obstacles"][0], "B had 7 of 10 subscribers from 0:31");
    let found = compare(&[&a, &loaded(home.path(), "B-mute", 1.0, Some((31, 10)))]);
    let obstacle = found[0]["obstacles"][0].as_str().unwrap();
    assert!(obstacle.starts_with("B delivered nothing from 0:3"), "{obstacle}");
}

/// Messages, CPU and latency of a pair of single runs have an interval from what they showed over time.
#[test]
fn messages_latency_and_cpu_per_message_are_compared() {
    let home = tempfile::tempdir().unwrap();
    let (a, b) = (loaded(home.path(), "A-ours", 1.0, None), loaded(home.path(), "B-other", 2.0, None));
    let found = compare(&[&a, &b]);
    for (metric, ratio) in
        [("latency_p50_us", 0.5), ("latency_p99_us", 0.5), ("cpu_us_per_message", 0.5), ("broker_rss_mib", 0.5)]
    {
        let row = row(&found[0], metric);
        assert!((row["ratio"].as_f64().unwrap() - ratio).abs() < 0.02, "{row}");
        assert_eq!((&row["basis"], &row["better"]), (&"one-run".into(), &"A".into()), "{row}");
        let (low, high) = (row["ratio_ci95"][0].as_f64().unwrap(), row["ratio_ci95"][1].as_f64().unwrap());
        assert!(low <= ratio + 0.02 && ratio - 0.02 <= high && high - low < 0.1, "{row}");
    }
    let delivered = row(&found[0], "delivered_per_s");
    assert_eq!(delivered["kind"], "no-difference", "{delivered}");
    assert_eq!(row(&found[0], "latency_max_us")["basis"], "none");
    let only = compare(&[&a, &b, Path::new("--metric=latency_p99_us")]);
    assert_eq!(only[0]["rows"].as_array().unwrap().len(), 1);
    let output = analyze([Path::new("compare"), &a, &b, Path::new("--metric=speed")]);
    assert!(!output.status.success() && stderr(&output).contains("delivered_per_s"), "{}", stderr(&output));
}

#[test]
fn another_load_is_not_compared_under_one_name() {
    let home = tempfile::tempdir().unwrap();
    let a = loaded(home.path(), "A-ours", 1.0, None);
    let b = loaded(home.path(), "B-other", 1.0, None);
    let meta = fs::read_dir(&b).unwrap().map(|entry| entry.unwrap().path().join("meta.json"));
    for path in meta.filter(|path| fs::read_to_string(path).unwrap().contains("\"qos\": 0")) {
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace("\"qos\": 0", "\"qos\": 1")).unwrap();
    }
    let found = compare(&[&a, &b]);
    let expected = ["pub qos: 0 for A and 1 for B", "sub qos: 0 for A and 1 for B"];
    assert_eq!(found[0]["obstacles"], serde_json::json!(expected));
}

/// Points of an experiment: those that failed a gate are told, those of other steps are compared.
#[test]
fn an_experiments_targets_are_compared_step_by_step() {
    let dir = tree::quickstart();
    let sides = |target: &str| {
        let home = tempfile::tempdir().unwrap();
        let to = home.path().join("quickstart");
        fs::create_dir_all(&to).unwrap();
        for repeat in 1..=2 {
            let name = format!("{target}-{repeat}");
            tree::copy_dir(&dir.join(&name), &to.join(&name));
        }
        home
    };
    let (a, b) = (sides("ours"), sides("mosquitto"));
    let found = compare(&[a.path(), b.path()]);
    let of = |step: &str| found.as_array().unwrap().iter().find(|c| c["step"] == step).unwrap();
    let failed = of("fan-q2");
    assert_eq!(failed["rows"].as_array().unwrap().len(), 0);
    let obstacle = failed["obstacles"][0].as_str().unwrap();
    assert!(obstacle.starts_with("B failed in all 2 repeats") && obstacle.contains(tree::GATE_REASON), "{obstacle}");
    let cpu = row(of("fan-q0"), "cpu_us_per_message");
    assert!((cpu["ratio"].as_f64().unwrap() - 3.1 / 5.4).abs() < 0.02, "{cpu}");
    assert_eq!((&cpu["better"], &cpu["a"]["n"]), (&"A".into(), &2.into()));
    let p99 = row(of("latency-9000"), "latency_p99_us");
    assert_eq!(p99["kind"], "not-comparable");
    assert!(p99["verdict"].as_str().unwrap().contains("needs 368 samples, there are 300"), "{p99}");

    let noise = tempfile::tempdir().unwrap();
    for (step, target) in [("fan-q0", "ours-1"), ("fan-q0", "ours-2"), ("idle", "ours-1"), ("idle", "ours-2")] {
        tree::copy_step(target, step, &noise.path().join("quickstart"));
    }
    let metric = Path::new("--metric=cpu_us_per_message");
    let found = compare(&[a.path(), b.path(), Path::new("--noise"), noise.path(), metric]);
    let of = |step: &str| found.as_array().unwrap().iter().find(|c| c["step"] == step).unwrap();
    let noise = &row(of("fan-q0"), "cpu_us_per_message")["noise"];
    assert!(noise["runs"] == 2 && (1.0..1.4).contains(&noise["percent"].as_f64().unwrap()), "{noise}");
    assert!(of("fan-q1")["notes"][0].as_str().unwrap().ends_with("the noise is unknown"), "{}", of("fan-q1"));
}

#[test]
fn a_matrix_holds_every_target_against_every_other() {
    let home = tempfile::tempdir().unwrap();
    for (target, rates) in [
        ("A-one", [80e6, 80.2e6, 80.1e6]),
        ("B-two", [100e6, 100.4e6, 100.2e6]),
        ("C-three", [100e6, 100.3e6, 100.3e6]),
    ] {
        side(home.path(), target, &rates);
    }
    let arguments = [Path::new("--matrix"), home.path(), Path::new("--metric=host_tx_mib_s")];
    let found = compare(&arguments);
    let pairs: Vec<String> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{} {}", c["a"]["targets"][0], c["b"]["targets"][0]))
        .collect();
    assert_eq!(pairs, ["\"one\" \"three\"", "\"one\" \"two\"", "\"three\" \"two\""]);
    let text = stdout(&analyze([Path::new("compare")].into_iter().chain(arguments)));
    let line = |name: &str| text.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap().to_owned();
    assert!(line("one").contains("-20."), "{text}");
    assert!(line("two").contains("+25.") && line("two").contains("| = ("), "{text}");
    let nothing_lost = [Path::new("compare"), Path::new("--matrix"), tree::quickstart(), Path::new("--metric=lost")];
    let text = stdout(&analyze(nothing_lost));
    assert!(text.contains("| = (both 0) |") && !text.contains("not comparable |"), "{text}");
    let output = analyze([Path::new("compare"), Path::new("--matrix"), &home.path().join("A-one")]);
    assert!(!output.status.success() && stderr(&output).contains("of two targets or more"), "{}", stderr(&output));
    let output = analyze([Path::new("compare"), home.path()]);
    assert!(
        !output.status.success() && stderr(&output).contains("two directories, and 1 were given"),
        "{}",
        stderr(&output)
    );
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
    for reason in [
        "A lost connections while load ran: 3327 of 4010 were left at 4:37, 1804 at the least",
        "B had no subscriber from 0:",
    ] {
        assert!(obstacles.contains(reason), "{obstacles}");
    }
}
