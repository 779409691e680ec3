//! The report of an A/B experiment: every step, failed points with their reasons, and figures that the model predicts.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::{Value, json};

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
    assert!(page.contains("3 of 36 points failed"), "the verdict does not count the failed points");
    assert!(page.contains("36 个点中有 3 个失败"), "nor does it in Chinese");
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
    assert!(page.matches("<svg ").count() >= 15, "charts are missing");
    assert!(!page.contains("<th>") && page.contains("scope=\"col\"") && page.contains("scope=\"row\""));
    for landmark in
        ["<header>", "<nav aria-label=", "<main>", "<footer>", "class=\"skip\" href=\"#verdict\"", "<legend>"]
    {
        assert_eq!(page.matches(landmark).count(), 1, "{landmark}");
    }
    assert!(page.contains("<html lang=\"en\">") && page.matches("<h1").count() == 1);
    assert!(!page.contains("NaN") && !page.contains("inf ") && !page.contains("{{"), "a hole in the page");
    assert!(page.contains("&lt;test&gt; &amp; co.conf") && !page.contains("<test>"), "data became markup");
}

#[test]
fn every_kind_of_chart_is_there_when_its_data_is() {
    let (page, json) = model();
    let mut expected: Vec<String> = [
        "throughput",
        "pairs",
        "cpu",
        "latency-p99",
        "connect-rate",
        "connack",
        "generator",
        "memory",
        "scheduling-connections",
        "curve-latency-9000",
        "curve-fan-q0",
        "curve-ramp-9000",
    ]
    .map(str::to_owned)
    .to_vec();
    expected.extend(tree::step_names().filter(|step| *step != "idle").map(|step| format!("time-{step}")));
    for chart in expected {
        assert!(page.contains(&format!("<figure id=\"{chart}\"")), "the chart {chart} is missing");
    }
    let lines = |step: &str| {
        let step = json["steps"].as_array().unwrap().iter().find(|found| found["name"] == step).unwrap();
        step["timelines"][0]["lines"].to_string()
    };
    for quantity in ["connected", "connack_us_median", "connack_us_max", "broker_rss_mib", "load_cpu_percent"] {
        assert!(lines("ramp-9000").contains(&format!("\"{quantity}\"")), "{quantity} is not followed over the ramp");
    }
    for quantity in ["delivered_per_s", "latency_us_max", "broker_cpu_percent", "load_cpu_percent"] {
        assert!(lines("fan-q0").contains(&format!("\"{quantity}\"")), "{quantity} is not followed under load");
    }
}

#[test]
fn noise_steadiness_and_configuration_are_shown() {
    let (page, json) = model();
    let row = |step: &str, metric: &str| {
        let mut rows = json["noise"]["rows"].as_array().unwrap().iter();
        rows.find(|row| row["step"] == step && row["metric"] == metric).unwrap()
    };
    // Two repeats of the model lie 1.2 % apart, and B has one repeat of the last step.
    let spread = row("fan-q0", "cpu_us_per_message")["spread_percent"][0].as_f64().unwrap();
    assert!((spread - 1.2).abs() < 0.1, "{spread}");
    assert!(row("nn-q0", "delivered_per_s")["spread_percent"][1].is_null());
    let timelines = json["steps"][5]["timelines"].as_array().unwrap();
    let steady: Vec<&Value> = timelines.iter().flat_map(|timeline| timeline["steady"].as_array().unwrap()).collect();
    assert!(steady.iter().any(|s| s["quantity"] == "delivered_per_s" && s["course"] == "steady"), "{steady:?}");
    for text in [
        "id=\"steady\"",
        "id=\"noise\"",
        "A against itself",
        "listener 2000 127.0.0.1",
        "password_file ***",
        "--password ***",
        "environment: LIMIT",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    assert!(!page.contains("hunter2") && !json.to_string().contains("hunter2"));
}

#[test]
fn memory_that_grows_is_not_a_steady_state() {
    let runs = tempfile::tempdir().unwrap();
    for (label, growth_kib) in [("A-grows", 4_000), ("B-rests", 0)] {
        let dir = runs.path().join(format!("broker-{label}-fan-run1-20260101T000000Z"));
        fs::create_dir(&dir).unwrap();
        let mut raw = "time_utc,rx_bytes,rx_packets,tx_bytes,tx_packets,tcp_estab,proc_rss_kb,mono_ns\n".to_owned();
        for second in 0..60_u64 {
            // Load begins after the tenth second.
            let moved = second.saturating_sub(10);
            let rss_kib = 100_000 + growth_kib * second;
            let (packets, bytes) = (moved * 1_000, moved * 1_000_000);
            let time = format!("2026-01-01T00:00:{second:02}Z");
            let mono_ns = 1_000_000_000 * (second + 1);
            raw += &format!("{time},{bytes},{packets},{bytes},{packets},100,{rss_kib},{mono_ns}\n");
        }
        fs::write(dir.join("raw.csv"), raw).unwrap();
    }
    let (page, json) = report(runs.path());
    let sentences = json["verdicts"].to_string();
    assert!(
        sentences.contains("Steady state: 1 of the points that count") && sentences.contains("fan A #1"),
        "{sentences}"
    );
    assert!(page.contains("id=\"not-steady-table\""));
    assert!(json["headline"][0]["text"].as_str().unwrap().contains("1 of those that count were not steady"));
}

#[test]
fn console_logs_are_drawn_beside_plain_runs() {
    let runs = tempfile::tempdir().unwrap();
    for name in ["broker-A-ours-fan-run1-20260101T000000Z", "broker-B-other-fan-run1-20260101T010000Z"] {
        let dir = runs.path().join(name);
        fs::create_dir(&dir).unwrap();
        let rows: String = (0..20).map(|s| format!("2026-01-01T00:00:{s:02}Z,{},1000\n", s * 1_000_000)).collect();
        fs::write(dir.join("raw.csv"), format!("time_utc,tx_bytes,proc_rss_kb\n{rows}")).unwrap();
    }
    let log = |rate: u64| {
        let line = |second: u64| format!("{second}s recv total={} rate={rate}.00/sec\r\n", second * rate);
        let head = "$ loadgen sub -t x\nStart with 2 workers, addrs pool size: 1\n";
        let one: String = (1..30).map(line).collect();
        format!("{head}{one}1m1s recv total=\n^C\n{head}{one}")
    };
    fs::write(runs.path().join("ours-fan.txt"), log(700)).unwrap();
    fs::write(runs.path().join("other-fan.log"), log(900)).unwrap();
    fs::write(runs.path().join("stranger.txt"), log(1)).unwrap();
    fs::write(runs.path().join("notes.txt"), "recv total=7").unwrap();
    let (page, json) = report(runs.path());
    for chart in ["console-fan-1", "console-fan-2"] {
        assert!(page.contains(&format!("<figure id=\"{chart}\"")), "{chart} is missing");
    }
    let courses = json["consoles"].as_array().unwrap();
    let totals: Vec<(&str, Option<u64>, Option<f64>)> = courses
        .iter()
        .map(|c| (c["label"].as_str().unwrap(), c["total"].as_u64(), c["median_per_s"].as_f64()))
        .collect();
    let of = |label, rate: u64| (label, Some(29 * rate), Some(rate as f64));
    assert_eq!(totals, [of("B", 900), of("B", 900), of("A", 700), of("A", 700)]);
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains("stranger.txt") && warnings.contains("(ours, other)"), "{warnings}");
    assert!(warnings.contains("ours-fan.txt") && warnings.contains("does not end as one"), "{warnings}");
}

#[test]
fn three_targets_are_ranked_in_sentences() {
    let runs = tempfile::tempdir().unwrap();
    for (label, rate) in [("A-one", 3), ("B-two", 5), ("C-three", 4)] {
        for repeat in 1..=3 {
            let dir = runs.path().join(format!("broker-{label}-fan-run{repeat}-2026010{repeat}T000000Z"));
            fs::create_dir(&dir).unwrap();
            let bytes = |second: u64| second * (rate * 1_000_000 + repeat * 1_000);
            let row =
                |s: u64| format!("2026-01-01T00:00:{s:02}Z,{},{},{}\n", bytes(s), 1_000 * rate, s * 1_000_000_000);
            let rows: String = (0..40).map(row).collect();
            fs::write(dir.join("raw.csv"), format!("time_utc,tx_bytes,proc_rss_kb,mono_ns\n{rows}")).unwrap();
        }
    }
    let (page, json) = report(runs.path());
    let headline = json["headline"][1]["text"].as_str().unwrap();
    assert!(headline.contains("of 2 main figures of 3 targets, A leads in 1, B leads in 1"), "{headline}");
    let verdicts = json["verdicts"].to_string();
    assert!(verdicts.contains("MiB/s, best first: B 4.77") && verdicts.contains("(B against C: +25 %"), "{verdicts}");
    assert!(page.contains("由优至劣"), "nor in Chinese");
}

#[test]
fn one_target_alone_is_reported_in_plain_words() {
    let runs = tempfile::tempdir().unwrap();
    let dir = runs.path().join("broker-A-only-fan-run1-20260101T000000Z");
    fs::create_dir(&dir).unwrap();
    let rows: String = (0..20).map(|s| format!("2026-01-01T00:00:{s:02}Z,{},1000\n", s * 1_000_000)).collect();
    fs::write(dir.join("raw.csv"), format!("time_utc,tx_bytes,proc_rss_kb\n{rows}")).unwrap();
    let (page, json) = report(runs.path());
    let headline = json["headline"].to_string();
    assert!(headline.contains("there is one target, and nothing to compare it with"), "{headline}");
    assert!(!headline.contains("one side or both") && !page.contains("A against B"), "{headline}");
}

/// A load that only publishes, as the mqttx benchmark has it: nothing is due to arrive, and what the broker took counts.
#[test]
fn publishers_without_subscribers_are_no_failure() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    for home in ["ours-1", "ours-2", "mosquitto-1", "mosquitto-2"] {
        let tag = |name: &str| name.starts_with("loadgen-") && name.contains("-fan-q1-sub");
        for entry in fs::read_dir(dir.join(home)).unwrap() {
            let entry = entry.unwrap();
            if tag(entry.file_name().to_str().unwrap()) {
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
    }
    let (page, json) = report(&dir);
    assert!(!page.contains("none was delivered"), "nobody was there to be delivered to");
    let sent = figure(&json, "fan-q1", "sent_per_s", 0)["estimate"]["mean"].as_f64().unwrap();
    assert!((sent / 3_000.0 - 1.0).abs() < 0.01, "{sent}");
    let steps = json["steps"].as_array().unwrap();
    let rows = steps.iter().find(|step| step["name"] == "fan-q1").unwrap()["rows"].as_array().unwrap();
    let claims_deliveries =
        |row: &Value| ["delivered_per_s", "delivered_percent", "lost"].iter().any(|m| row["metric"] == *m);
    assert!(!rows.iter().any(claims_deliveries), "{rows:?}");
    let verdicts = json["verdicts"].to_string();
    assert!(verdicts.contains("nobody subscribes"), "{verdicts}");
}

/// A load that is stopped in the middle of a step: a prober's latency is high for half a second, or for good.
#[test]
fn recovery_is_timed_from_what_the_runner_did() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    for (home, slow_ms) in [("ours-1", 500), ("ours-2", 0), ("mosquitto-1", 500), ("mosquitto-2", 60_000)] {
        let home = dir.join(home);
        let events = fs::read_to_string(home.join("events.jsonl")).unwrap();
        let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_begin = |event: &Value| {
            event["name"] == "measure" && event["edge"] == "begin" && event["detail"]["step"] == "latency-9000"
        };
        let mut stopped = events.into_iter().find(is_begin).unwrap();
        let begin_ns = stopped["mono_ns"].as_u64().unwrap();
        let stopped_ns = begin_ns + 1_000_000_000;
        stopped["mono_ns"] = stopped_ns.into();
        (stopped["kind"], stopped["name"], stopped["edge"]) = ("note".into(), "load-stopped".into(), Value::Null);
        stopped["detail"]["process"] = "victims".into();
        let mut file = fs::OpenOptions::new().append(true).open(home.join("events.jsonl")).unwrap();
        writeln!(file, "{stopped}").unwrap();
        let probe = |at: u64| {
            let due_ns = begin_ns + at * 10_000_000;
            let is_slow = (stopped_ns..stopped_ns + slow_ms * 1_000_000).contains(&due_ns);
            // The first ones after the event are lost, and stand at the end of the file.
            let lost = is_slow && due_ns < stopped_ns + 50_000_000;
            let took_ns = if is_slow { 80_000_000 } else { 60_000 + at % 7 };
            let received = if lost { String::new() } else { (due_ns + took_ns).to_string() };
            (lost, format!("{at},{due_ns},{due_ns},{received},1,0\n"))
        };
        let mut rows: Vec<_> = (0..250).map(probe).collect();
        rows.sort_by_key(|(lost, _)| *lost);
        let rows: String = rows.into_iter().map(|(_, row)| row).collect();
        let is_prober =
            |path: &PathBuf| path.to_str().unwrap().contains("/prober-") && path.join("summary.json").exists();
        let prober = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path()).find(is_prober).unwrap();
        let header = "sequence,due_ns,sent_ns,received_ns,closed_loop,pair\n";
        fs::write(prober.join("samples.csv"), format!("{header}{rows}")).unwrap();
    }
    let mut plan: Value = serde_json::from_str(&fs::read_to_string(dir.join("plan.json")).unwrap()).unwrap();
    for step in plan["steps"].as_array_mut().unwrap().iter_mut().filter(|step| step["step"] == "latency-9000") {
        step["steady"] = json!("off");
    }
    fs::write(dir.join("plan.json"), plan.to_string()).unwrap();
    let (page, json) = report(&dir);
    let values = |target| figure(&json, "latency-9000", "recovery_s", target)["values"].clone();
    let (ours, theirs) = (values(0), values(1));
    assert!((ours[0][1].as_f64().unwrap() - 0.49).abs() < 1e-6, "{ours}");
    assert_eq!(ours[1][1], 0.0, "{ours}");
    assert_eq!(theirs.as_array().unwrap().len(), 1, "{theirs}");
    assert!(page.contains("load-stopped: latency was not as before within 1.5 s"));
    // What is meant to change is not looked at for a trend.
    for step in json["steps"].as_array().unwrap() {
        let judged = step["timelines"].as_array().unwrap().iter().any(|line| line["steady"] != json!([]));
        assert_eq!(judged, step["name"] != "latency-9000", "{}", step["name"]);
    }
}

/// Subscribers beside those that somebody publishes for, such as clients that only come and go.
#[test]
fn subscribers_to_other_topics_are_due_nothing() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let home = dir.join("ours-1");
    let change = |dir: &Path, file: &str, change: &dyn Fn(&mut Value)| {
        let path = dir.join(file);
        let mut json: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        change(&mut json);
        fs::write(path, json.to_string()).unwrap();
    };
    let loads: Vec<PathBuf> = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path()).collect();
    let of = |tag: &str| loads.iter().find(|path| path.to_str().unwrap().contains(tag)).unwrap();
    change(of("-fan-q0-pub-"), "meta.json", &|meta| meta["config"]["topics"] = json!(["bench/fan"]));
    let subscribers = of("-fan-q0-sub-");
    let others = PathBuf::from(subscribers.to_str().unwrap().replace("-fan-q0-sub-", "-fan-q0-others-"));
    tree::copy_dir(subscribers, &others);
    change(&others, "meta.json", &|meta| {
        meta["config"]["topics"] = json!(["bench/others/%i"]);
        meta["tag"] = json!("A-ours-fan-q0-others");
    });
    change(&others, "summary.json", &|summary| {
        summary["receive"]["delivered"] = json!(0);
        summary["connect"]["churned"] = json!(40);
        summary["connect"]["retried"] = json!(3);
        summary["stretches"] = json!([
            {"name": "step-1", "settled_s": 9.0},
            {"name": "storm-1", "settled_s": 0.25},
            {"name": "storm-2", "settled_s": 0.5},
        ]);
    });
    let counters = fs::read_to_string(others.join("counters.csv")).unwrap();
    let lines: Vec<&str> = counters.lines().collect();
    let received = lines[0].split(',').position(|name| name == "received").unwrap();
    let blank = |line: &&str| {
        let cells = line.split(',').enumerate();
        cells.map(|(at, cell)| if at == received { "0" } else { cell }).collect::<Vec<_>>().join(",") + "\n"
    };
    let rows: String = lines[1..].iter().map(blank).collect();
    fs::write(others.join("counters.csv"), format!("{}\n{rows}", lines[0])).unwrap();
    let (page, json) = report(&dir);
    let first = |metric| figure(&json, "fan-q0", metric, 0)["values"][0].clone();
    assert!((first("delivered_percent")[1].as_f64().unwrap() - 100.0).abs() < 1.0, "{}", first("delivered_percent"));
    assert_eq!(first("all_back_s"), json!([1, 0.5]));
    assert_eq!(first("connect_failed"), json!([1, 3.0]));
    assert!(page.contains("Until all clients were back after a storm"));
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
    let table = stdout(&analyze([Path::new("report"), &dir, Path::new("--no-png")]));
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
    let table = stdout(&analyze([Path::new("report"), &dir, Path::new("--no-png")]));
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
fn several_experiments_are_told_apart() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    fs::create_dir(runs.path().join("second")).unwrap();
    fs::rename(dir.join("ours-1"), runs.path().join("second/ours-1")).unwrap();
    let output = analyze([Path::new("report"), runs.path()]);
    assert!(!output.status.success() && stderr(&output).contains("holds 2 experiments"), "{}", stderr(&output));
}

#[test]
fn rubbish_is_no_report() {
    let alone = tempfile::tempdir().unwrap();
    let run = alone.path().join("broker-x-20260101T000000Z");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("raw.csv"), "time_utc\n").unwrap();
    let output = analyze([Path::new("report"), alone.path()]);
    let message = stderr(&output);
    assert!(!output.status.success(), "{message}");
    for text in ["nothing to report", "none of the 1 runs", "raw.csv", "let the tool run longer"] {
        assert!(message.contains(text), "{text:?} is missing from: {message}");
    }
    assert!(!alone.path().join("report.html").exists());
}

#[test]
fn links_resolve_and_ids_are_unique() {
    let (page, _) = model();
    let ids: Vec<&str> = attributes(page, "id").collect();
    for (index, id) in ids.iter().enumerate() {
        assert!(!ids[..index].contains(id), "the id {id} is there twice");
    }
    let references = attributes(page, "aria-labelledby").flat_map(str::split_whitespace);
    let links = attributes(page, "href").filter_map(|link| link.strip_prefix('#'));
    for target in links.chain(references) {
        assert!(ids.contains(&target), "nothing has the id {target}");
    }
    assert!(attributes(page, "href").all(|link| link.starts_with('#')), "a link leaves the page");
}

#[test]
fn every_chart_has_title_caption_and_description() {
    let (page, _) = model();
    let figures: Vec<&str> =
        page.split("<figure ").skip(1).map(|rest| rest.split("</figure>").next().unwrap()).collect();
    assert_eq!(figures.len(), page.matches("<svg ").count());
    for figure in figures {
        let id = attributes(figure, "id").next().unwrap();
        assert!(figure.contains("<svg role=\"img\" aria-labelledby="), "{id} is no image to a screen reader");
        for part in ["<h3 id=", "<figcaption><span lang=\"en\">", "class=\"aside\" id="] {
            let text = figure.split(part).nth(1).and_then(|rest| rest.split('>').nth(1)).unwrap_or_default();
            assert!(text.len() > 3, "{id}: {part} is empty");
        }
        assert!(figure.contains("n="), "{id} has no count");
    }
}

#[test]
fn both_languages_are_complete() {
    let (page, _) = model();
    let mut pairs = 0;
    for rest in page.split("<span lang=\"en\">").skip(1) {
        let (en, after) = rest.split_once("</span>").unwrap();
        // Names stand in marks of their own inside a sentence.
        let zh = after.split_once("<span lang=\"zh\">").map(|(_, zh)| zh.split_once("</span>").unwrap().0);
        let zh = zh.unwrap_or_else(|| panic!("{en:?} has no Chinese form"));
        assert!(!zh.trim().is_empty() || en.trim().is_empty(), "{en:?} has an empty Chinese form");
        let has_words = |text: &str| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        // Abbreviations and units are the same in both; an English sentence has small words.
        let is_prose =
            en.split(' ').filter(|word| word.len() > 2 && word.chars().all(|c| c.is_ascii_lowercase())).count() > 1;
        assert!(has_words(zh) || !is_prose, "{en:?} is not translated: {zh:?}");
        pairs += 1;
    }
    assert!(pairs > 300, "{pairs}");
    assert_eq!(pairs, page.matches("<span lang=\"zh\">").count());
    let words = |lang: &str| {
        page.split("<text")
            .filter(|text| text.split('>').next().unwrap().contains(&format!(" lang=\"{lang}\"")))
            .count()
    };
    assert!(words("en") > 30, "the charts' words are missing");
    assert_eq!(words("en"), words("zh"));
}

#[test]
fn the_language_is_chosen_for_page_and_files() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    stdout(&analyze([Path::new("report"), &dir, Path::new("--lang"), Path::new("zh"), Path::new("--no-png")]));
    let page = fs::read_to_string(dir.join("report.html")).unwrap();
    assert!(page.contains("<html lang=\"zh\">") && page.contains("id=\"language-zh\" checked"));
    assert!(fs::read_to_string(dir.join("report.md")).unwrap().contains("## 结论"));
    let svg = fs::read_to_string(dir.join("report-charts/memory.svg")).unwrap();
    assert!(svg.contains("保持的连接数") && !svg.contains("connections held") && svg.contains("<title>"), "{svg}");
}

#[test]
fn hostile_names_stay_text() {
    let runs = tempfile::tempdir().unwrap();
    let dir = tree::copy(runs.path());
    let hostile = "<img src=x onerror=alert(1)>\u{E000}";
    let plan = fs::read_to_string(dir.join("plan.json")).unwrap();
    let plan = plan.replace("\"fan-q0\"", &serde_json::to_string(hostile).unwrap());
    fs::write(dir.join("plan.json"), plan).unwrap();
    let (page, _) = report(&dir);
    assert!(!page.contains("<img") && page.contains("&lt;img src=x onerror=alert(1)&gt;"));
    assert!(fs::read_dir(dir.join("report-charts")).unwrap().count() > 10);
}

#[test]
fn csv_holds_every_figure_and_every_failure() {
    let (_, json) = model();
    let csv = fs::read_to_string(tree::quickstart().join("report.csv")).unwrap();
    let rows = json["steps"].as_array().unwrap().iter().flat_map(|step| step["rows"].as_array().unwrap());
    let figures: usize = rows.map(|row| row["figures"].as_array().unwrap().len()).sum();
    assert_eq!(csv.lines().count(), figures + 1);
    let failed = csv.lines().find(|line| line.starts_with("fan-q2,delivered_per_s,msg/s,B,")).unwrap();
    assert!(failed.contains(tree::GATE_REASON) && failed.contains("mosquitto,,,,,"), "{failed}");
}

/// The published tree has no context, no phase marks and no gates: what can be shown is shown, and the rest said.
#[test]
fn a_tree_of_the_guides_form_is_reported() {
    let Some(tree) = crate::support::published() else { return };
    let out = tempfile::tempdir().unwrap();
    let page = out.path().join("guide.html");
    let table = stdout(&analyze([Path::new("report"), &tree, Path::new("-o"), &page]));
    assert!(table.trim_end().ends_with("guide.html"), "{table}");
    let page = fs::read_to_string(&page).unwrap();
    for text in [
        "c1m-conn1000k-idle",
        "lost connections while load ran: 3327 of 4010 were left at 4:37, 1804 at the least",
        "10 clients were missing",
        "not run: there is no run directory of this point",
        "Not recorded: which tools, of which commit, made these runs.",
        "未记录：各工具的命令行与随机种子。",
        "net.core.somaxconn",
    ] {
        assert!(page.contains(text), "{text:?} is missing");
    }
    for chart in
        ["memory", "scheduling-connections", "throughput", "pairs", "time-qos0-256-1to10", "console-n2n-qos0-1-2-1"]
    {
        assert!(page.contains(&format!("<figure id=\"{chart}\"")), "the chart {chart} is missing");
        let svg = out.path().join("guide-charts").join(format!("{chart}.svg"));
        assert!(svg.exists());
        let png = fs::read(svg.with_extension("png")).expect("a machine for tests has a font");
        assert!(png.starts_with(b"\x89PNG") && png.len() > 5_000, "{chart} is an empty picture");
    }
    let json: Value = serde_json::from_str(&fs::read_to_string(out.path().join("guide.json")).unwrap()).unwrap();
    let rss = figure(&json, "c1m-conn1000k-idle", "broker_rss_mib", 0)["estimate"]["mean"].as_f64().unwrap();
    assert!((rss - 1630.0).abs() < 1.0, "{rss}");
}

/// The page and the JSON of the model experiment, made once.
fn model() -> &'static (String, Value) {
    static REPORT: OnceLock<(String, Value)> = OnceLock::new();
    REPORT.get_or_init(|| report(tree::quickstart()))
}

/// The page and the JSON of an experiment.
fn report(dir: &Path) -> (String, Value) {
    stdout(&analyze([Path::new("report"), dir, Path::new("--no-png")]));
    let json = fs::read_to_string(dir.join("report.json")).unwrap();
    (fs::read_to_string(dir.join("report.html")).unwrap(), serde_json::from_str(&json).unwrap())
}

/// Values of an attribute, in the order of the page.
fn attributes<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let begin = format!(" {name}=\"");
    page.split(&begin).skip(1).map(|rest| rest.split('"').next().unwrap()).collect::<Vec<_>>().into_iter()
}

fn figure<'a>(json: &'a Value, step: &str, metric: &str, target: usize) -> &'a Value {
    let named = |list: &'a Value, key: &str, name: &str| {
        list.as_array().unwrap().iter().find(|item| item[key] == name).unwrap_or_else(|| panic!("no {name}"))
    };
    let step = named(&json["steps"], "name", step);
    &named(&step["rows"], "metric", metric)["figures"][target]
}
